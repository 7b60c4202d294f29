/* SPDX-License-Identifier: Apache-2.0
 * test_media.c - audio and video messages, legacy and enhanced, with real frames of every codec: what goes in comes
 * back out of the packets; when tracks are announced; what is refused. */
#include "unit/codec/clip.h"
#include "unit/rtmp/stub_publish.h"
#include "unit/wire/exact.h"

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h264.h"
#include "codec/h265.h"
#include "codec/packetise.h"
#include "codec/vpx.h"
#include "origin/rtmp_media.h"
#include "wire/flv.h"

#define NOW_US 1700000000000000u

enum { BODY_MAX = 1 << 20, FRAME_MS = 40 };

static struct relay relay;
static struct rtmp_media *media;
static struct publication *publication;

static int begin(void **state)
{
    static const struct publish_ops no_ops;

    (void)state;
    memset(&relay, 0, sizeof(relay));
    assert_int_equal(publish_claim(&publication, &relay, "live/test", "rtmp", &no_ops, NULL), 0);
    return rtmp_media_create(&media, &(struct rtmp_media_cfg){.name = "live/test", .audio_transcode = true});
}

static int end(void **state)
{
    (void)state;
    rtmp_media_destroy(&media);
    if (publication)
        publish_close(&publication);
    stub_relay_fini(&relay);
    return 0;
}

/* A message of this medium at ts_ms, arriving in time. */
static int push(enum rtmp_message_type type, const struct flv_media *v, uint32_t ts_ms)
{
    static uint8_t body[BODY_MAX];
    struct writer w = writer_init(body, sizeof(body));

    assert_int_equal(type == RTMP_VIDEO ? flv_video_write(&w, v) : flv_audio_write(&w, v), 0);
    writer_bytes(&w, v->data, v->data_len);
    assert_false(w.bad);
    uint8_t *exact = exact_dup(body, writer_len(&w));
    struct rtmp_message m = {.body = exact, .len = writer_len(&w), .ts_ms = ts_ms, .type = (uint8_t)type};
    int err = rtmp_media_push(media, &m, NOW_US + ts_ms * 1000u);
    free(exact);
    return err;
}

static bool is_video(enum codec c)
{
    return codec_kind(c) == CODEC_KIND_VIDEO;
}

static enum rtmp_message_type type_of(enum codec c)
{
    return is_video(c) ? RTMP_VIDEO : RTMP_AUDIO;
}

/* The record that an encoder would send for this clip; 0 for none. */
static size_t record_of(const struct clip *c, uint8_t *dst, size_t cap)
{
    const struct clip_frame *f = &c->frames[0];
    struct vpcc vp9 = {.level = 10, .bit_depth = 8, .chroma = 1};
    struct aac_config aac = {.object_type = AAC_OBJECT_LC, .rate_hz = 48000, .channels = 2};
    struct opus_head opus = {.input_rate_hz = 48000, .channels = 2};
    int len = 0;

    switch (c->codec) {
    case CODEC_H264:
        len = avcc_write(dst, cap, f->data, f->len);
        break;
    case CODEC_H265:
        len = hvcc_write(dst, cap, f->data, f->len);
        break;
    case CODEC_AV1:
        len = av1c_write(dst, cap, f->data, f->len);
        break;
    case CODEC_VP9:
        len = vpcc_write(dst, cap, &vp9);
        break;
    case CODEC_AAC:
        len = aac_config_write(dst, cap, &aac);
        break;
    case CODEC_OPUS:
        len = opus_head_write(dst, cap, &opus);
        break;
    default:
        fail();
    }
    assert_true(len > 0);
    return (size_t)len;
}

static bool parameter_set(enum codec codec, struct nal n)
{
    if (codec == CODEC_H264)
        return h264_nal_type(n) == H264_NAL_SPS || h264_nal_type(n) == H264_NAL_PPS;
    return h265_nal_type(n) >= H265_NAL_VPS && h265_nal_type(n) <= H265_NAL_PPS;
}

/* What an encoder sends: without parameter sets. What arrives: all of them in front of each keyframe. */
static size_t strip(enum codec codec, const struct clip_frame *f, uint8_t *dst, uint8_t length_bytes)
{
    struct reader r = reader_init(f->data, f->len);
    struct writer w = writer_init(dst, BODY_MAX);
    struct nal n;

    while (nal_next_prefixed(&r, 4, &n)) {
        if (parameter_set(codec, n))
            continue;
        for (int shift = 8 * (length_bytes - 1); shift >= 0; shift -= 8)
            writer_u8(&w, (uint8_t)(n.len >> shift));
        writer_bytes(&w, n.p, n.len);
    }
    assert_false(w.bad);
    return writer_len(&w);
}

static void push_record(const struct clip *c, bool enhanced)
{
    uint8_t record[4096];
    struct flv_media v = {.fourcc = codec_fourcc(c->codec), .enhanced = enhanced, .keyframe = true,
                          .packet = FLV_PACKET_SEQUENCE_START, .data = record,
                          .data_len = record_of(c, record, sizeof(record))};

    assert_int_equal(push(type_of(c->codec), &v, 0), 0);
}

static void push_frame(const struct clip *c, size_t i, bool enhanced, int32_t cts_ms, uint32_t ts_ms)
{
    static uint8_t bytes[BODY_MAX];
    const struct clip_frame *f = &c->frames[i];
    struct flv_media v = {.fourcc = codec_fourcc(c->codec), .enhanced = enhanced, .keyframe = f->keyframe,
                          .packet = FLV_PACKET_FRAME, .data = f->data, .data_len = f->len, .cts_ms = cts_ms};

    if (c->codec == CODEC_H264 || c->codec == CODEC_H265) {
        v.data = bytes;
        v.data_len = strip(c->codec, f, bytes, 4);
    }
    assert_int_equal(push(type_of(c->codec), &v, ts_ms), 0);
}

/* The clip's frames came out, in order, on this track. */
static void assert_frames(const struct clip *c, unsigned track)
{
    size_t at = 0;

    for (size_t i = 0; i < relay.n_frames; i++) {
        const struct stub_frame *f = &relay.frames[i];
        if (f->track != track)
            continue;
        assert_true(at < c->count);
        assert_int_equal(f->len, c->frames[at].len);
        assert_memory_equal(f->data, c->frames[at].data, f->len);
        assert_int_equal(f->keyframe, c->frames[at].keyframe || !is_video(c->codec));
        at++;
    }
    assert_int_equal(at, c->count);
    assert_int_equal(relay.broken, 0);
    assert_true(relay.max_payload_bytes <= PACKETISE_PAYLOAD_DEFAULT_BYTES);
}

static void frames_of_every_codec_come_out_as_they_went_in(void **state)
{
    static const struct {
        enum codec codec;
        bool enhanced;
    } rows[] = {{CODEC_H264, false}, {CODEC_H264, true}, {CODEC_H265, true}, {CODEC_AV1, true},
                {CODEC_VP9, true},   {CODEC_AAC, false}, {CODEC_AAC, true},  {CODEC_OPUS, true}};

    for (size_t i = 0; i < LEN(rows); i++) {
        struct clip c = clip_of(rows[i].codec);
        begin(state);
        rtmp_media_start(media, publication);
        rtmp_media_metadata(media, &(struct rtmp_metadata){
                                       .known = true, .video = is_video(c.codec), .audio = !is_video(c.codec)});
        push_record(&c, rows[i].enhanced);
        for (size_t f = 0; f < c.count; f++)
            push_frame(&c, f, rows[i].enhanced, 0, (uint32_t)f * FRAME_MS);
        assert_int_equal(relay.starts, 1);
        assert_int_equal(relay.tracks.v[0].codec, c.codec);
        assert_frames(&c, 0);
        clip_destroy(&c);
        end(state);
    }
}

static void short_nal_lengths_are_made_long(void **state)
{
    static uint8_t bytes[BODY_MAX];
    struct clip c = clip_of(CODEC_H264);
    uint8_t record[512];
    struct flv_media v = {.fourcc = FLV_AVC1, .packet = FLV_PACKET_SEQUENCE_START, .keyframe = true, .data = record,
                          .data_len = record_of(&c, record, sizeof(record))};

    (void)state;
    record[4] = (uint8_t)((record[4] & ~3) | 1); /* lengthSizeMinusOne: two bytes */
    rtmp_media_start(media, publication);
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .video = true});
    assert_int_equal(push(RTMP_VIDEO, &v, 0), 0);
    for (size_t f = 0; f < c.count; f++) {
        v = (struct flv_media){.fourcc = FLV_AVC1, .packet = FLV_PACKET_FRAME, .keyframe = c.frames[f].keyframe,
                               .data = bytes, .data_len = strip(CODEC_H264, &c.frames[f], bytes, 2)};
        assert_int_equal(push(RTMP_VIDEO, &v, (uint32_t)f * FRAME_MS), 0);
    }
    assert_frames(&c, 0);
    clip_destroy(&c);
}

static void audio_and_video_share_a_clock(void **state)
{
    struct clip video = clip_of(CODEC_H264), audio = clip_of(CODEC_AAC);
    size_t a = 0;

    (void)state;
    rtmp_media_start(media, publication);
    push_record(&video, false);
    push_record(&audio, false);
    assert_int_equal(relay.starts, 0); /* the first picture tells about B-frames */
    for (size_t v = 0; v < video.count; v++) {
        for (; a < audio.count && a * 1024 * 1000 / 48000 <= v * FRAME_MS; a++)
            push_frame(&audio, a, false, 0, (uint32_t)(a * 1024 * 1000 / 48000));
        push_frame(&video, v, false, 80, (uint32_t)v * FRAME_MS);
    }
    assert_int_equal(relay.starts, 1);
    assert_int_equal(relay.tracks.n, 3);
    assert_int_equal(relay.tracks.v[0].codec, CODEC_H264);
    assert_true(relay.tracks.v[0].b_frames);
    assert_int_equal(relay.tracks.v[1].codec, CODEC_AAC);
    assert_int_equal(relay.tracks.v[1].clock_hz, 48000);
    assert_int_equal(relay.tracks.v[2].codec, CODEC_OPUS);
    assert_true(relay.tracks.v[2].derived);
    assert_int_equal(relay.tracks.v[2].source, 1);
    uint64_t nv = 0, na = 0;
    for (size_t i = 0; i < relay.n_frames; i++) {
        const struct stub_frame *f = &relay.frames[i];
        assert_true(f->ts_ticks >= (uint64_t)1 << 32);
        if (f->track == 0) {
            assert_int_equal(f->ts_ticks, (RTMP_MEDIA_BASE_MS + nv * FRAME_MS + 80) * 90);
            assert_int_equal(f->cts_ticks, 80 * 90);
            assert_int_equal(f->capture_us, NOW_US + (nv++ * FRAME_MS + 80) * 1000);
        } else {
            assert_int_equal(f->ts_ticks, RTMP_MEDIA_BASE_MS * 48 + na * 1024);
            assert_int_equal(f->capture_us, NOW_US + na++ * 1024 * 1000000 / 48000);
        }
    }
    assert_int_equal(nv, video.count);
    assert_int_equal(na, a);
    clip_destroy(&video);
    clip_destroy(&audio);
}

static void frames_wait_for_the_claim_and_lose_nothing(void **state)
{
    struct clip c = clip_of(CODEC_H264);

    (void)state;
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .video = true});
    push_record(&c, false);
    for (size_t f = 0; f < 5; f++)
        push_frame(&c, f, false, 0, (uint32_t)f * FRAME_MS);
    assert_int_equal(relay.starts, 0);
    rtmp_media_start(media, publication);
    assert_int_equal(relay.starts, 1);
    assert_int_equal(relay.n_frames, 5);
    for (size_t f = 5; f < c.count; f++)
        push_frame(&c, f, false, 0, (uint32_t)f * FRAME_MS);
    assert_frames(&c, 0);
    clip_destroy(&c);
}

static void what_does_not_come_is_waited_for_a_second(void **state)
{
    struct clip c = clip_of(CODEC_AAC);

    (void)state;
    rtmp_media_start(media, publication);
    push_record(&c, false);
    push_frame(&c, 0, false, 0, 0);
    assert_true(rtmp_media_waits(media));
    assert_false(rtmp_media_waits(media)); /* once */
    assert_int_equal(relay.starts, 0);
    rtmp_media_poll(media);
    assert_int_equal(relay.starts, 1);
    assert_int_equal(relay.tracks.n, 2); /* and the derived one */
    assert_int_equal(relay.n_frames, 1);
    clip_destroy(&c);
}

static void a_track_that_comes_later_is_announced_anew(void **state)
{
    struct clip video = clip_of(CODEC_H264), audio = clip_of(CODEC_AAC);

    (void)state;
    rtmp_media_start(media, publication);
    push_record(&audio, false);
    push_frame(&audio, 0, false, 0, 0);
    rtmp_media_poll(media);
    assert_int_equal(relay.starts, 1);
    push_record(&video, false);
    push_frame(&video, 0, false, 0, 20);
    push_frame(&audio, 1, false, 0, 21);
    assert_int_equal(relay.starts, 2);
    assert_int_equal(relay.tracks.n, 3);
    assert_int_equal(relay.tracks.v[0].codec, CODEC_H264);
    assert_int_equal(relay.n_frames, 3);
    assert_int_equal(relay.frames[2].track, 1);
    clip_destroy(&video);
    clip_destroy(&audio);
}

static void new_parameter_sets_need_no_new_announcement(void **state)
{
    struct clip a = clip_of(CODEC_H264);
    struct clip b = clip_create(CODEC_H264, "-f lavfi -i testsrc2=size=160x90:rate=25:duration=1 -c:v libx264 "
                                            "-preset ultrafast -pix_fmt yuv420p -bsf:v h264_metadata=aud=insert -f h264");

    (void)state;
    rtmp_media_start(media, publication);
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .video = true});
    push_record(&a, false);
    push_frame(&a, 0, false, 0, 0);
    push_record(&b, false);
    push_frame(&b, 0, false, 0, 40);
    assert_int_equal(relay.starts, 1);
    assert_int_equal(relay.n_frames, 2);
    assert_memory_equal(relay.frames[1].data, b.frames[0].data, b.frames[0].len); /* with its own sets */
    clip_destroy(&a);
    clip_destroy(&b);
}

/* Nothing in-band tells a player of it. */
static void push_aac_config(uint8_t channels, uint32_t ts_ms, int result)
{
    uint8_t record[16];
    struct aac_config config = {.object_type = AAC_OBJECT_LC, .rate_hz = 48000, .channels = channels};
    int len = aac_config_write(record, sizeof(record), &config);
    struct flv_media v = {.fourcc = FLV_MP4A, .packet = FLV_PACKET_SEQUENCE_START, .data = record, .data_len = (size_t)len};

    assert_true(len > 0);
    assert_int_equal(push(RTMP_AUDIO, &v, ts_ms), result);
}

static void another_configuration_of_audio_is_announced_anew(void **state)
{
    struct clip c = clip_of(CODEC_AAC);
    struct track first;

    (void)state;
    rtmp_media_start(media, publication);
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .audio = true});
    push_aac_config(2, 0, RTMP_MEDIA_OK);
    push_frame(&c, 0, false, 0, 0);
    push_aac_config(2, 20, RTMP_MEDIA_OK); /* said again */
    assert_int_equal(relay.starts, 1);
    first = relay.tracks.v[0];
    push_aac_config(1, 40, RTMP_MEDIA_OK);
    assert_int_equal(relay.starts, 2);
    assert_int_equal(relay.tracks.v[0].channels, 1);
    assert_int_equal(relay.tracks.v[0].config_len, first.config_len);
    assert_memory_not_equal(relay.tracks.v[0].config, first.config, first.config_len);
    clip_destroy(&c);
}

static void who_changes_its_tracks_all_the_time_is_no_publisher(void **state)
{
    uint32_t ms = 0;

    (void)state;
    rtmp_media_start(media, publication);
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .audio = true});
    for (uint32_t i = 0; i < 100; i++) /* a playlist: one a quarter of a minute */
        push_aac_config(1 + i % 2, ms += 15000, RTMP_MEDIA_OK);
    assert_int_equal(relay.starts, 100);
    ms += 1000000;
    for (uint32_t i = 0; i <= RTMP_CHANGES_MAX; i++)
        push_aac_config(1 + i % 2, ms += 10, i < RTMP_CHANGES_MAX ? RTMP_MEDIA_OK : RTMP_MEDIA_ERR_RESTLESS);
    assert_int_equal(relay.starts, 100 + RTMP_CHANGES_MAX);
}

struct bad_row {
    const char *name;
    enum rtmp_message_type type;
    const char *body;
    size_t len;
    int result;
};

static const struct bad_row bad_rows[] = {
    {"keep-alive without a body", RTMP_VIDEO, BYTES(""), RTMP_MEDIA_OK},
    {"Sorenson video", RTMP_VIDEO, BYTES("\x12\0\0\0"), RTMP_MEDIA_ERR_CODEC},
    {"Speex", RTMP_AUDIO, BYTES("\xb2\0\0"), RTMP_MEDIA_ERR_CODEC},
    {"half a video header", RTMP_VIDEO, BYTES("\x17\0"), RTMP_MEDIA_ERR_SYNTAX},
    {"avcC of three bytes", RTMP_VIDEO, BYTES("\x17\0\0\0\0\1\x64\0"), RTMP_MEDIA_ERR_SYNTAX},
    {"AudioSpecificConfig of one byte", RTMP_AUDIO, BYTES("\xaf\0\x11"), RTMP_MEDIA_ERR_SYNTAX},
    {"FourCC nobody knows", RTMP_VIDEO, BYTES("\x90xxxx\0"), RTMP_MEDIA_ERR_CODEC},
    {"a frame whose sequence header never came", RTMP_VIDEO, BYTES("\x17\1\0\0\0\0\0\0\1\x65"), RTMP_MEDIA_OK},
    {"end of sequence", RTMP_VIDEO, BYTES("\x17\2\0\0\0"), RTMP_MEDIA_OK},
};

static void each_bad_message_is_answered_as_written(void **state)
{
    for (size_t i = 0; i < LEN(bad_rows); i++) {
        uint8_t *exact = exact_dup(bad_rows[i].body, bad_rows[i].len);
        struct rtmp_message m = {.body = exact, .len = bad_rows[i].len, .type = (uint8_t)bad_rows[i].type};
        begin(state);
        rtmp_media_start(media, publication);
        int got = rtmp_media_push(media, &m, NOW_US);
        if (got != bad_rows[i].result)
            print_message("row: %s\n", bad_rows[i].name);
        assert_int_equal(got, bad_rows[i].result);
        assert_int_equal(relay.n_packets, 0);
        end(state);
        free(exact);
    }
}

static void a_damaged_frame_is_left_out_and_counted(void **state)
{
    struct clip c = clip_of(CODEC_H264);
    struct flv_media bad = {.fourcc = FLV_AVC1, .packet = FLV_PACKET_FRAME, .data = (const uint8_t *)"\0\0\1\0x", .data_len = 5};
    struct rtmp_media_facts facts;

    (void)state;
    rtmp_media_start(media, publication);
    rtmp_media_metadata(media, &(struct rtmp_metadata){.known = true, .video = true});
    push_record(&c, false);
    push_frame(&c, 0, false, 0, 0);
    assert_int_equal(push(RTMP_VIDEO, &bad, 40), RTMP_MEDIA_OK);
    push_frame(&c, 1, false, 0, 80);
    assert_int_equal(relay.n_frames, 2);
    assert_int_equal(relay.broken, 0);
    rtmp_media_facts(media, &facts);
    assert_int_equal(facts.dropped_frames, 1);
    assert_int_equal(facts.video_frames, 2);
    clip_destroy(&c);
}

static void held_frames_are_bounded(void **state)
{
    static uint8_t frame[64 << 10];
    struct clip c = clip_of(CODEC_H264);
    struct flv_media v = {.fourcc = FLV_AVC1, .packet = FLV_PACKET_FRAME, .data = frame, .data_len = sizeof(frame)};
    struct rtmp_media_facts facts;
    size_t fit = RTMP_HELD_MAX_BYTES / sizeof(frame);

    (void)state;
    push_record(&c, false);
    for (uint32_t i = 0; i < fit + 10; i++) /* the claim is never answered */
        assert_int_equal(push(RTMP_VIDEO, &v, i * FRAME_MS), RTMP_MEDIA_OK);
    rtmp_media_facts(media, &facts);
    assert_int_equal(facts.dropped_frames, 10);
    assert_int_equal(relay.n_packets, 0);
    clip_destroy(&c);
}

static void held_frames_are_bounded_however_small(void **state)
{
    struct clip c = clip_of(CODEC_H264);
    struct flv_media v = {.fourcc = FLV_AVC1, .packet = FLV_PACKET_FRAME, .data = (const uint8_t *)"x", .data_len = 1};
    struct rtmp_media_facts facts;

    (void)state;
    push_record(&c, false);
    for (uint32_t i = 0; i < RTMP_HELD_MAX_FRAMES + 10; i++)
        assert_int_equal(push(RTMP_VIDEO, &v, i), RTMP_MEDIA_OK);
    rtmp_media_facts(media, &facts);
    assert_int_equal(facts.dropped_frames, 10);
    clip_destroy(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_of_every_codec_come_out_as_they_went_in),
        cmocka_unit_test_setup_teardown(short_nal_lengths_are_made_long, begin, end),
        cmocka_unit_test_setup_teardown(audio_and_video_share_a_clock, begin, end),
        cmocka_unit_test_setup_teardown(frames_wait_for_the_claim_and_lose_nothing, begin, end),
        cmocka_unit_test_setup_teardown(what_does_not_come_is_waited_for_a_second, begin, end),
        cmocka_unit_test_setup_teardown(a_track_that_comes_later_is_announced_anew, begin, end),
        cmocka_unit_test_setup_teardown(new_parameter_sets_need_no_new_announcement, begin, end),
        cmocka_unit_test_setup_teardown(another_configuration_of_audio_is_announced_anew, begin, end),
        cmocka_unit_test_setup_teardown(who_changes_its_tracks_all_the_time_is_no_publisher, begin, end),
        cmocka_unit_test(each_bad_message_is_answered_as_written),
        cmocka_unit_test_setup_teardown(a_damaged_frame_is_left_out_and_counted, begin, end),
        cmocka_unit_test_setup_teardown(held_frames_are_bounded, begin, end),
        cmocka_unit_test_setup_teardown(held_frames_are_bounded_however_small, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
