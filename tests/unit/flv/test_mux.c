/* SPDX-License-Identifier: Apache-2.0
 * test_mux.c - packets into FLV: the frames and times of a real stream come out as they were; order, loss, new
 * epochs, jumping clocks; ffprobe agrees. */
#include "unit/codec/clip.h"
#include "unit/flv/source.h"
#include "unit/io/count_alloc.h"
#include "unit/wire/exact.h"

#include <unistd.h>

#include "codec/packetise.h"
#include "edge/flv_mux.h"
#include "wire/flv.h"

enum { WAIT_US = 400000, CHUNKS_MAX = 4096 };

/* What came out of the muxer. */
struct sink {
    struct flv_mux *mux;
    struct flv_chunk chunks[CHUNKS_MAX];
    size_t n;
    bool forget; /* count only */
};

static struct source source;
static struct sink sink;

static int make_source(void **state)
{
    (void)state;
    source_create(&source, SOURCE_USUAL);
    return 0;
}

static int drop_source(void **state)
{
    (void)state;
    source_destroy(&source);
    return 0;
}

static void on_chunk(void *arg, const struct flv_chunk *chunk)
{
    struct sink *k = arg;
    struct buf *b = chunk->piece.framed;

    if (k->forget) {
        buf_unref(&b);
        return;
    }
    assert_true(k->n < CHUNKS_MAX);
    k->chunks[k->n++] = *chunk;
}

static int begin(void **state)
{
    (void)state;
    memset(&sink, 0, sizeof(sink));
    return flv_mux_create(&sink.mux, &(struct flv_mux_cfg){.reorder_wait_us = WAIT_US, .on_chunk = on_chunk, .arg = &sink});
}

static int end(void **state)
{
    (void)state;
    for (size_t i = 0; i < sink.n; i++)
        buf_unref(&sink.chunks[i].piece.framed);
    flv_mux_destroy(&sink.mux);
    return 0;
}

static void choose(const struct track_set *tracks)
{
    int video, audio;

    flv_mux_choose(tracks, &video, &audio);
    assert_int_equal(flv_mux_tracks(sink.mux, tracks, video, 0, audio), 0);
}

static struct reader bytes_of(const struct http_piece *p)
{
    return reader_init(p->framed->bytes + p->from, p->to - p->from);
}

static void append(uint8_t **bytes, size_t *len, const struct http_piece *p)
{
    struct reader r = bytes_of(p);
    size_t n = reader_left(&r);

    *bytes = realloc(*bytes, *len + n);
    assert_non_null(*bytes);
    memcpy(*bytes + *len, r.p, n);
    *len += n;
}

/* All chunks behind one another, after the head: what a viewer who joined first was sent. */
static uint8_t *whole_file(size_t *len)
{
    const struct http_piece *head = flv_mux_head(sink.mux);
    uint8_t *bytes = NULL;

    assert_non_null(head);
    *len = 0;
    append(&bytes, len, head);
    for (size_t i = 0; i < sink.n; i++)
        append(&bytes, len, &sink.chunks[i].piece);
    return bytes;
}

struct tags {
    struct reader r;
    uint8_t *bytes;
    uint32_t last_ms[2];
};

static void tags_open(struct tags *t)
{
    size_t len;
    bool audio, video;

    memset(t, 0, sizeof(*t));
    t->bytes = whole_file(&len);
    t->r = reader_init(t->bytes, len);
    assert_int_equal(flv_file_header_parse(&t->r, &audio, &video), FLV_OK);
}

/* The next frame; sequence headers and metadata are passed over. Decode times never go back. */
static bool tags_next(struct tags *t, struct flv_tag *tag, struct flv_media *m)
{
    while (flv_tag_parse(&t->r, tag) == FLV_OK) {
        if (tag->type == FLV_TAG_SCRIPT)
            continue;
        bool video = tag->type == FLV_TAG_VIDEO;
        assert_int_equal(video ? flv_video_parse(m, tag->body, tag->body_len)
                               : flv_audio_parse(m, tag->body, tag->body_len), FLV_OK);
        if (m->packet != FLV_PACKET_FRAME)
            continue;
        assert_true(tag->ts_ms >= t->last_ms[video]);
        t->last_ms[video] = tag->ts_ms;
        return true;
    }
    assert_int_equal(reader_left(&t->r), 0);
    return false;
}

/* The tags are the source's, in the order given by the packets, with times after FLV_FIRST_MS. */
static void assert_same_as_source(void)
{
    struct tags t;
    struct flv_tag tag;
    struct flv_media m;
    size_t at[2] = {0, 0}, n[2] = {0, 0};

    tags_open(&t);
    while (tags_next(&t, &tag, &m)) {
        unsigned track = tag.type == FLV_TAG_VIDEO ? 0 : 1;
        while (at[track] < source.n_tags && source.tags[at[track]].track != track)
            at[track]++;
        assert_true(at[track] < source.n_tags);
        const struct source_tag *want = &source.tags[at[track]++];
        assert_int_equal(m.data_len, want->len);
        assert_memory_equal(m.data, want->data, want->len);
        assert_in_range(tag.ts_ms, FLV_FIRST_MS + want->dts_ms - (track == 1), FLV_FIRST_MS + want->dts_ms + (track == 1));
        if (track == 0) {
            assert_int_equal(m.cts_ms, want->cts_ms);
            assert_int_equal(m.keyframe, want->keyframe);
        }
        n[track]++;
    }
    assert_int_equal(n[0], source.n_video);
    assert_int_equal(n[1], source.n_audio);
    free(t.bytes);
}

static void frames_and_times_come_out_as_they_were(void **state)
{
    (void)state;
    choose(&source.tracks);
    assert_null(flv_mux_head(sink.mux)); /* nothing is known yet */
    for (size_t i = 0; i < source.n_packets; i++) {
        flv_mux_push(sink.mux, source.packets[i], i);
        if (i % 5 == 4)
            flv_mux_flush(sink.mux);
    }
    flv_mux_flush(sink.mux);
    assert_same_as_source();
    assert_int_equal(flv_mux_counters(sink.mux).video_frames, source.n_video);
    assert_int_equal(flv_mux_counters(sink.mux).audio_frames, source.n_audio);
    assert_int_equal(flv_mux_counters(sink.mux).resyncs, 0);
}

static void the_head_has_the_encoders_own_sequence_headers(void **state)
{
    struct flv_tag tag;
    struct flv_media m;
    bool audio, video;

    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < 200; i++)
        flv_mux_push(sink.mux, source.packets[i], 0);
    const struct http_piece *head = flv_mux_head(sink.mux);
    assert_non_null(head);
    const struct buf *made = head->framed;
    struct reader r = bytes_of(head);
    assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
    assert_true(audio && video);
    assert_int_equal(flv_tag_parse(&r, &tag), FLV_OK);
    assert_int_equal(tag.type, FLV_TAG_SCRIPT);
    assert_int_equal(flv_tag_parse(&r, &tag), FLV_OK);
    assert_int_equal(flv_video_parse(&m, tag.body, tag.body_len), FLV_OK);
    assert_int_equal(m.packet, FLV_PACKET_SEQUENCE_START);
    assert_in_range(m.data_len, source.avcc_len - 4, source.avcc_len); /* four bytes repeat what the SPS says */
    assert_memory_equal(m.data, source.avcc, m.data_len);
    assert_int_equal(flv_tag_parse(&r, &tag), FLV_OK);
    assert_int_equal(flv_audio_parse(&m, tag.body, tag.body_len), FLV_OK);
    assert_int_equal(m.packet, FLV_PACKET_SEQUENCE_START);
    assert_int_equal(m.data_len, source.tracks.v[1].config_len);
    assert_memory_equal(m.data, source.tracks.v[1].config, m.data_len);
    assert_int_equal(reader_left(&r), 0);
    assert_ptr_equal(flv_mux_head(sink.mux)->framed, made); /* made once */
}

static void each_keyframe_begins_a_chunk_and_no_other_frame_a_key_chunk(void **state)
{
    size_t keys = 0;

    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        flv_mux_push(sink.mux, source.packets[i], 0); /* all in one turn */
    flv_mux_flush(sink.mux);
    for (size_t i = 0; i < sink.n; i++) {
        struct reader r = bytes_of(&sink.chunks[i].piece);
        struct flv_tag tag;
        struct flv_media m = {0};
        assert_int_equal(flv_tag_parse(&r, &tag), FLV_OK);
        if (tag.type == FLV_TAG_VIDEO)
            assert_int_equal(flv_video_parse(&m, tag.body, tag.body_len), FLV_OK);
        assert_int_equal(sink.chunks[i].key, m.keyframe);
        assert_int_equal(sink.chunks[i].from_ms, tag.ts_ms);
        while (flv_tag_parse(&r, &tag) == FLV_OK)
            assert_false(tag.type == FLV_TAG_VIDEO && (tag.body[0] >> 4) == 1);
        assert_int_equal(sink.chunks[i].to_ms, tag.ts_ms);
        keys += sink.chunks[i].key;
    }
    assert_int_equal(keys, 4);
}

/* Within windows of 16, one of each twice; after the first keyframe, before which sound would not be written. */
static void shuffled_and_repeated_packets_make_the_same_file(void **state)
{
    uint64_t noise = 42;

    (void)state;
    choose(&source.tracks);
    flv_mux_start(sink.mux, 0, source.packets[0]->seq);
    flv_mux_start(sink.mux, 1, PACKET_SEQ_FIRST + 65000);
    for (size_t at = 0; at < source.n_packets; at += 16) {
        const struct packet *v[16];
        size_t n = source.n_packets - at < 16 ? source.n_packets - at : 16;
        for (size_t i = 0; i < n; i++)
            v[i] = source.packets[at + i];
        for (size_t i = at < 64 ? 1 : n; i > 1; i--) {
            size_t j = noise_next(&noise) % i;
            const struct packet *p = v[i - 1];
            v[i - 1] = v[j];
            v[j] = p;
        }
        for (size_t i = 0; i < n; i++) {
            flv_mux_push(sink.mux, v[i], at);
            if (i == 0)
                flv_mux_push(sink.mux, v[i], at);
        }
        flv_mux_flush(sink.mux);
    }
    assert_same_as_source();
    assert_int_equal(flv_mux_counters(sink.mux).lost_packets, 0);
}

static void a_lost_packet_costs_its_frame_after_the_wait(void **state)
{
    size_t lost = 0;

    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < 300; i++) {
        bool middle = i > 100 && source.packets[i]->track == 0 && !(source.packets[i]->flags & PACKET_KEYFRAME);
        if (middle && lost++ == 0)
            continue;
        flv_mux_push(sink.mux, source.packets[i], 1000);
    }
    flv_mux_flush(sink.mux);
    uint64_t before = flv_mux_counters(sink.mux).video_frames;
    flv_mux_poll(sink.mux, 1000 + WAIT_US - 1);
    assert_int_equal(flv_mux_counters(sink.mux).video_frames, before);
    flv_mux_poll(sink.mux, 1000 + WAIT_US);
    assert_true(flv_mux_counters(sink.mux).video_frames > before);
    assert_int_equal(flv_mux_counters(sink.mux).lost_packets, 1);
}

/* ffprobe's word on a file: "h264,100" and so on. */
static void assert_probed(const char *select, const char *entries, const char *want)
{
    char path[64], command[256], got[128] = "";
    size_t len;
    uint8_t *bytes = whole_file(&len);

    snprintf(path, sizeof(path), "/tmp/millrace-test-flv-%d.flv", (int)getpid());
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    fclose(f);
    free(bytes);
    snprintf(command, sizeof(command), "ffprobe -v error -count_frames -select_streams %s -show_entries stream=%s -of csv=p=0 %s",
             select, entries, path);
    f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(got, sizeof(got), f));
    assert_int_equal(pclose(f), 0);
    unlink(path);
    got[strcspn(got, "\n")] = '\0';
    assert_string_equal(got, want);
}

static void ffprobe_decodes_all_of_it(void **state)
{
    char want[64];

    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        flv_mux_push(sink.mux, source.packets[i], 0);
    flv_mux_flush(sink.mux);
    assert_probed("v", "codec_name,width,height,has_b_frames,nb_read_frames", "h264,640,360,2,100");
    snprintf(want, sizeof(want), "aac,44100,2,%zu", source.n_audio);
    assert_probed("a", "codec_name,sample_rate,channels,nb_read_frames", want);
}

/* A copy of a packet with other times. */
static void push_moved(const struct packet *p, uint64_t capture_us, uint64_t ts_ticks)
{
    struct packet *moved = packet_create(source.pool);

    assert_non_null(moved);
    moved->seq = p->seq;
    moved->cts_ticks = p->cts_ticks;
    moved->track = p->track;
    moved->flags = p->flags;
    moved->payload_len = p->payload_len;
    memcpy(moved->bytes, packet_payload(p), p->payload_len);
    moved->capture_us = p->capture_us + capture_us;
    moved->ts_ticks = p->ts_ticks + ts_ticks;
    flv_mux_push(sink.mux, moved, 0);
    packet_unref(&moved);
}

/* The whole source again as another epoch whose clocks are off by so much; the times run on without a jump. */
static void assert_epochs_run_on(int64_t capture_us, uint64_t ts_ticks)
{
    struct tags t;
    struct flv_tag tag;
    struct flv_media m;
    uint32_t last_ms = 0, n = 0;

    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        flv_mux_push(sink.mux, source.packets[i], 0);
    unsigned serial = flv_mux_serial(sink.mux);
    choose(&source.tracks);
    assert_true(flv_mux_serial(sink.mux) != serial);
    for (size_t i = 0; i < source.n_packets; i++)
        push_moved(source.packets[i], (uint64_t)capture_us, ts_ticks);
    flv_mux_flush(sink.mux);
    tags_open(&t);
    while (tags_next(&t, &tag, &m)) {
        if (tag.type != FLV_TAG_VIDEO)
            continue;
        assert_true(last_ms == 0 || tag.ts_ms - last_ms <= 5000 + 100);
        last_ms = tag.ts_ms;
        n++;
    }
    assert_int_equal(n, 2 * source.n_video);
    assert_true(last_ms < 8000 + FLV_FIRST_MS + 5000 + 100);
    free(t.bytes);
}

static void a_new_epoch_goes_on_by_its_capture_times(void **state)
{
    (void)state;
    assert_epochs_run_on(5000000, 12345678);
}

static void an_epoch_of_an_origin_whose_clock_is_an_hour_behind_goes_on_too(void **state)
{
    (void)state;
    assert_epochs_run_on(-3600 * 1000000ll, 0);
}

static void an_epoch_of_an_origin_whose_clock_is_an_hour_ahead_goes_on_too(void **state)
{
    (void)state;
    assert_epochs_run_on(3600 * 1000000ll, 0);
}

static void a_stepped_wall_clock_is_no_jump_of_the_medium(void **state)
{
    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        push_moved(source.packets[i], i < source.n_packets / 2 ? 0 : 86400u * 1000000u, 0);
    flv_mux_flush(sink.mux);
    assert_same_as_source();
    assert_int_equal(flv_mux_counters(sink.mux).resyncs, 2); /* once a track */
}

/* A file sent faster than it plays: ingest ties capture times to its clock anew again and again. */
static void capture_times_that_fall_back_leave_the_medium_alone(void **state)
{
    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        push_moved(source.packets[i], i * 4 < source.n_packets * 3 ? 0 : (uint64_t)-5000000, 0);
    flv_mux_flush(sink.mux);
    assert_same_as_source();
}

static void sound_alone_is_muxed_at_once(void **state)
{
    (void)state;
    assert_int_equal(flv_mux_tracks(sink.mux, &source.tracks, -1, 0, 1), 0);
    for (size_t i = 0; i < source.n_packets; i++)
        flv_mux_push(sink.mux, source.packets[i], 0);
    flv_mux_flush(sink.mux);
    assert_int_equal(flv_mux_counters(sink.mux).audio_frames, source.n_audio);
    assert_int_equal(flv_mux_counters(sink.mux).video_frames, 0);
    for (size_t i = 0; i < sink.n; i++)
        assert_true(sink.chunks[i].key);
}

static void sound_waits_three_seconds_for_a_picture(void **state)
{
    (void)state;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++)
        if (source.packets[i]->track == 1)
            flv_mux_push(sink.mux, source.packets[i], 0);
    flv_mux_flush(sink.mux);
    assert_in_range(flv_mux_counters(sink.mux).audio_frames, 40, 50); /* the last second of four */
    assert_true(sink.n > 0 && sink.chunks[0].key);
    assert_non_null(flv_mux_head(sink.mux));
}

static void other_codecs_get_enhanced_tags_and_their_records(void **state)
{
    static const enum codec codecs[] = {CODEC_H265, CODEC_VP9, CODEC_AV1};

    for (size_t k = 0; k < LEN(codecs); k++) {
        struct clip c = clip_of(codecs[k]);
        struct track_set set = {.epoch = 1, .n = 1, .v = {{.codec = codecs[k], .clock_hz = 90000, .n_layers = 1}}};
        struct packetiser by;
        uint64_t seq = PACKET_SEQ_FIRST;
        begin(state);
        choose(&set);
        assert_int_equal(packetiser_init(&by, &(struct packetiser_cfg){.codec = codecs[k]}), 0);
        for (size_t i = 0; i < c.count; i++) {
            struct packetise_frame f = {.data = c.frames[i].data, .len = c.frames[i].len, .keyframe = c.frames[i].keyframe};
            bool last = false;
            assert_int_equal(packetise_begin(&by, &f), 0);
            while (!last) {
                struct packet *p = packet_create(source.pool);
                assert_non_null(p);
                p->payload_len = (uint16_t)packetise_next(&by, p->bytes, PACKET_PAYLOAD_MAX, &last);
                p->seq = seq++;
                p->ts_ticks = ((uint64_t)1 << 33) + i * 3600;
                p->capture_us = SOURCE_CAPTURE_US + i * 40000;
                p->flags = last ? PACKET_MARKER : 0;
                flv_mux_push(sink.mux, p, 0);
                packet_unref(&p);
            }
        }
        flv_mux_flush(sink.mux);
        struct tags t;
        struct flv_tag tag;
        struct flv_media m;
        size_t n = 0;
        tags_open(&t);
        while (tags_next(&t, &tag, &m)) {
            assert_int_equal(m.fourcc, codec_fourcc(codecs[k]));
            assert_int_equal(tag.ts_ms, FLV_FIRST_MS + n * 40);
            assert_int_equal(m.keyframe, c.frames[n].keyframe);
            n++;
        }
        assert_int_equal(n, c.count);
        free(t.bytes);
        end(state);
        clip_destroy(&c);
    }
}

static void tracks_are_chosen_native_before_derived(void **state)
{
    static const struct {
        enum codec codecs[3];
        int derived, video, audio;
    } rows[] = {
        {{CODEC_H264, CODEC_AAC, CODEC_OPUS}, 2, 0, 1}, {{CODEC_VP8, CODEC_OPUS, CODEC_AAC}, 2, 0, 2},
        {{CODEC_OPUS, CODEC_H264, CODEC_NONE}, -1, 1, 0}, {{CODEC_AAC, CODEC_NONE, CODEC_NONE}, -1, -1, 0},
        {{CODEC_NONE, CODEC_NONE, CODEC_NONE}, -1, -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct track_set set = {0};
        int video, audio;
        for (int k = 0; k < 3 && rows[i].codecs[k] != CODEC_NONE; k++)
            set.v[set.n++] = (struct track){.codec = rows[i].codecs[k], .n_layers = 1, .derived = k == rows[i].derived};
        flv_mux_choose(&set, &video, &audio);
        assert_int_equal(video, rows[i].video);
        assert_int_equal(audio, rows[i].audio);
    }
}

static void what_was_gathered_is_told(void **state)
{
    uint64_t keys = 0;

    (void)state;
    choose(&source.tracks);
    assert_int_equal(flv_mux_gathered(sink.mux).bytes, 0);
    for (size_t i = 0; i < source.n_packets; i++) {
        const struct packet *p = source.packets[i];
        const struct flv_mux_counters before = flv_mux_counters(sink.mux);
        flv_mux_push(sink.mux, p, 0);
        const struct flv_mux_counters after = flv_mux_counters(sink.mux);
        const struct flv_gathered g = flv_mux_gathered(sink.mux);
        assert_int_equal(g.pictures, after.video_frames - before.video_frames);
        assert_int_equal(g.bytes > 0, g.pictures + after.audio_frames - before.audio_frames > 0);
        assert_int_equal(g.key, g.pictures && p->flags & PACKET_KEYFRAME);
        keys += g.key;
        flv_mux_flush(sink.mux);
        assert_int_equal(flv_mux_gathered(sink.mux).bytes, 0);
        assert_int_equal(flv_mux_gathered(sink.mux).pictures, 0);
        assert_false(flv_mux_gathered(sink.mux).key);
    }
    assert_int_equal(keys, 4);
    assert_in_range(flv_mux_gathered(sink.mux).interval_us, 39000, 41000); /* 25 a second */
    assert_true(flv_mux_counters(sink.mux).audio_frames > 0);
}

/* The shared buffers are all that is allocated: one a flush, however many viewers there are. */
static void ten_thousand_packets_allocate_one_buffer_a_chunk(void **state)
{
    size_t pushed = 0;

    (void)state;
    sink.forget = true;
    choose(&source.tracks);
    for (size_t i = 0; i < source.n_packets; i++) /* frame buffers grow to their size */
        flv_mux_push(sink.mux, source.packets[i], 0);
    for (uint64_t round = 1; pushed < 10000; round++) {
        choose(&source.tracks);
        uint64_t chunks = flv_mux_counters(sink.mux).chunks;
        size_t before = count_allocs();
        for (size_t i = 0; i < source.n_packets; i++, pushed++) {
            flv_mux_push(sink.mux, source.packets[i], round);
            if (i % 8 == 7)
                flv_mux_flush(sink.mux);
        }
        assert_int_equal(count_allocs() - before, flv_mux_counters(sink.mux).chunks - chunks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_and_times_come_out_as_they_were, begin, end),
        cmocka_unit_test_setup_teardown(the_head_has_the_encoders_own_sequence_headers, begin, end),
        cmocka_unit_test_setup_teardown(each_keyframe_begins_a_chunk_and_no_other_frame_a_key_chunk, begin, end),
        cmocka_unit_test_setup_teardown(shuffled_and_repeated_packets_make_the_same_file, begin, end),
        cmocka_unit_test_setup_teardown(a_lost_packet_costs_its_frame_after_the_wait, begin, end),
        cmocka_unit_test_setup_teardown(ffprobe_decodes_all_of_it, begin, end),
        cmocka_unit_test_setup_teardown(a_new_epoch_goes_on_by_its_capture_times, begin, end),
        cmocka_unit_test_setup_teardown(an_epoch_of_an_origin_whose_clock_is_an_hour_behind_goes_on_too, begin, end),
        cmocka_unit_test_setup_teardown(an_epoch_of_an_origin_whose_clock_is_an_hour_ahead_goes_on_too, begin, end),
        cmocka_unit_test_setup_teardown(a_stepped_wall_clock_is_no_jump_of_the_medium, begin, end),
        cmocka_unit_test_setup_teardown(capture_times_that_fall_back_leave_the_medium_alone, begin, end),
        cmocka_unit_test_setup_teardown(sound_alone_is_muxed_at_once, begin, end),
        cmocka_unit_test_setup_teardown(sound_waits_three_seconds_for_a_picture, begin, end),
        cmocka_unit_test(other_codecs_get_enhanced_tags_and_their_records),
        cmocka_unit_test(tracks_are_chosen_native_before_derived),
        cmocka_unit_test_setup_teardown(what_was_gathered_is_told, begin, end),
        cmocka_unit_test_setup_teardown(ten_thousand_packets_allocate_one_buffer_a_chunk, begin, end),
    };
    return cmocka_run_group_tests(tests, make_source, drop_source);
}
