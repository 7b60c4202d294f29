/* SPDX-License-Identifier: Apache-2.0
 * test_whip_media.c - a publisher's RTP into packets, packet by packet. */
#include "media_scene.h"
#include "unit/io/count_alloc.h"

/* ---- Frames ------------------------------------------------------------------------------------ */

#define H264_PPS "\x68\xce\x3c\x80"
#define H264_IDR_START "\x7c\x85\x88"  /* FU-A, S, type 5 */
#define H264_IDR_END "\x7c\x45\x11"    /* FU-A, E */
#define H264_SLICE_UNUSED "\x01\x9a\x00" /* nal_ref_idc 0 */
#define K PACKET_KEYFRAME
#define S PACKET_FRAME_START
#define E (PACKET_FRAME_END | PACKET_MARKER)

struct row {
    const char *name;
    uint16_t seq;
    uint32_t ts;
    bool marker;
    const char *payload;
    size_t len;
    unsigned flags;
};

#define ROW(name, seq, ts, marker, payload, flags) \
    {name, seq, ts, marker, payload, sizeof(payload) - 1, flags}

static void check_rows(enum codec codec, const struct row *rows, size_t n)
{
    struct fixture f;

    fixture_init(&f, codec);
    for (size_t i = 0; i < n; i++) {
        video(&f, rows[i].seq, rows[i].ts, rows[i].marker, rows[i].payload, rows[i].len);
        assert_int_equal(f.n_packets, i + 1);
        const struct packet *p = f.packets[i];
        print_message("%s\n", rows[i].name);
        assert_int_equal(p->flags, rows[i].flags);
        assert_int_equal(p->track, 1);
        assert_int_equal(p->layer, 0);
        assert_int_equal(p->seq & 0xffff, rows[i].seq);
        assert_true(p->seq >= PACKET_SEQ_FIRST);
        assert_int_equal((uint32_t)p->ts_ticks, rows[i].ts);
        assert_int_equal(p->cts_ticks, 0);
        assert_int_equal(p->payload_len, rows[i].len);
        assert_memory_equal(packet_payload(p), rows[i].payload, rows[i].len);
    }
    fixture_fini(&f);
}

static void h264_frames_begin_at_a_new_timestamp_and_keyframes_are_marked_to_their_end(void **state)
{
    static const struct row rows[] = {
        ROW("SPS", 10, 9000, false, H264_SPS, S | K),
        ROW("PPS: looks like a start, is none", 11, 9000, false, H264_PPS, K),
        ROW("IDR, first fragment", 12, 9000, false, H264_IDR_START, K),
        ROW("IDR, last fragment", 13, 9000, true, H264_IDR_END, K | E),
        ROW("a slice", 14, 12000, true, H264_SLICE, S | E),
        ROW("a slice that nobody refers to", 15, 15000, true, H264_SLICE_UNUSED,
            S | E | PACKET_DISCARDABLE | PACKET_LAYER_SYNC),
        ROW("a packet is missing before: the payload's word counts", 17, 18000, true, H264_SLICE, S | E),
    };

    (void)state;
    check_rows(CODEC_H264, rows, LEN(rows));
}

static void vp8_frames_begin_where_the_payload_says(void **state)
{
    static const struct row rows[] = {
        ROW("keyframe, first packet", 10, 9000, false, "\x10\x10\x00\x00\x9d\x01\x2a\x40\x01\xf0\x00", S | K),
        ROW("keyframe, second packet", 11, 9000, true, "\x00zz", K | E),
        ROW("interframe", 12, 12000, true, "\x10\x11\x00\x00", S | E),
        ROW("interframe that nobody refers to", 13, 15000, true, "\x30\x11\x00\x00",
            S | E | PACKET_DISCARDABLE),
    };

    (void)state;
    check_rows(CODEC_VP8, rows, LEN(rows));
}

static void a_late_packet_of_a_keyframe_is_known_by_its_timestamp(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, false, H264_SPS, 4);
    video(&f, 11, 9000, false, H264_PPS, 4);
    video(&f, 13, 9000, true, H264_IDR_END, 3);
    video(&f, 14, 12000, true, H264_SLICE, 3);
    video(&f, 12, 9000, false, H264_IDR_START, 3);
    assert_int_equal(f.n_packets, 5);
    assert_int_equal(f.packets[4]->flags, K);
    assert_int_equal(f.packets[4]->seq + 2, f.packets[3]->seq);
    fixture_fini(&f);
}

static void audio_packets_are_whole_frames(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_H264);
    deliver(&f, &(struct sent){.pt = AUDIO_PT,
                               .ssrc = AUDIO_SSRC,
                               .seq = 65535,
                               .ts = 960,
                               .payload = "\x78opus",
                               .payload_len = 5});
    deliver(&f, &(struct sent){.pt = AUDIO_PT,
                               .ssrc = AUDIO_SSRC,
                               .seq = 0,
                               .ts = 1920,
                               .payload = "\x78opus",
                               .payload_len = 5});
    assert_int_equal(f.n_packets, 2);
    assert_int_equal(f.packets[0]->flags, S | K | PACKET_FRAME_END);
    assert_int_equal(f.packets[0]->track, 0);
    assert_int_equal(f.packets[1]->seq, f.packets[0]->seq + 1); /* over the roll-over */
    assert_int_equal(f.packets[1]->ts_ticks, f.packets[0]->ts_ticks + 960);
    assert_true(f.packets[1]->capture_us > f.packets[0]->capture_us);
    fixture_fini(&f);
}

static void b_frames_are_noticed(void **state)
{
    struct fixture f;
    struct whip_media_facts facts;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SLICE, 3);
    video(&f, 11, 18000, true, H264_SLICE, 3);
    whip_media_facts(f.media, f.now_us, &facts);
    assert_false(facts.tracks[1].b_frames);
    video(&f, 12, 12000, true, H264_SLICE_UNUSED, 3);
    whip_media_facts(f.media, f.now_us, &facts);
    assert_true(facts.tracks[1].b_frames);
    fixture_fini(&f);
}

/* ---- Extensions, RTX, what is refused ---------------------------------------------------------- */

static void extensions_that_mean_something_beyond_the_hop_go_on_in_cluster_form(void **state)
{
    struct fixture f;
    uint8_t block[32];
    struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), false);

    (void)state;
    fixture_init(&f, CODEC_VP8);
    rtp_ext_write(&w, 3, (const uint8_t *)"\0\7", 2); /* transport-cc: this hop's */
    rtp_ext_write(&w, 13, (const uint8_t *)"\1", 1);   /* orientation */
    rtp_ext_write(&w, 4, (const uint8_t *)"1", 1);     /* mid: this hop's */
    int n = rtp_ext_writer_finish(&w);
    assert_true(n > 0);
    deliver(&f, &(struct sent){.pt = VIDEO_PT,
                               .ssrc = VIDEO_SSRC,
                               .seq = 1,
                               .ts = 1,
                               .payload = "\x10\x11\0\0",
                               .payload_len = 4,
                               .ext = block,
                               .ext_len = (size_t)n});
    assert_int_equal(f.n_packets, 1);
    assert_int_equal(f.packets[0]->ext_len, 3);
    assert_memory_equal(f.packets[0]->bytes, ((uint8_t[]){PACKET_EXT_VIDEO_ORIENTATION, 1, 1}), 3);
    assert_memory_equal(packet_payload(f.packets[0]), "\x10\x11\0\0", 4);
    fixture_fini(&f);
}

static void a_retransmission_takes_the_place_of_what_was_lost(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SLICE, 3);
    video(&f, 12, 15000, true, H264_SLICE, 3);
    f.now_us += 20000;
    assert_true(whip_media_due_us(f.media) <= f.now_us);
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    deliver(&f, &(struct sent){.pt = RTX_PT, .ssrc = RTX_SSRC, .seq = 500, .ts = 12000, .marker = true,
                               .payload = "\0\x0b" H264_SLICE, .payload_len = 5});
    assert_int_equal(f.n_packets, 3);
    assert_int_equal(f.packets[2]->seq, f.packets[0]->seq + 1);
    assert_int_equal(f.packets[2]->payload_len, 3);
    struct whip_media_counters c = {0};
    whip_media_count(f.media, &c);
    assert_int_equal(c.nacked, 1);
    assert_int_equal(c.recovered, 1);
    assert_int_equal(c.lost, 0);
    /* Once more, and a bare probe: nothing new. */
    deliver(&f, &(struct sent){.pt = RTX_PT, .ssrc = RTX_SSRC, .seq = 501, .ts = 12000, .marker = true,
                               .payload = "\0\x0b" H264_SLICE, .payload_len = 5});
    deliver(&f, &(struct sent){.pt = RTX_PT, .ssrc = RTX_SSRC, .seq = 502, .ts = 12000});
    assert_int_equal(f.n_packets, 3);
    fixture_fini(&f);
}

static void what_is_not_agreed_on_or_broken_is_counted_and_dropped(void **state)
{
    struct fixture f;
    char big[PACKET_PAYLOAD_MAX + 1] = H264_SLICE;
    struct whip_media_counters c = {0};

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, big, sizeof(big));
    video(&f, 11, 9000, true, "\x7c", 1); /* FU-A without its header */
    deliver(&f, &(struct sent){.pt = 50, .ssrc = 1, .seq = 1, .ts = 1, .payload = "x", .payload_len = 1});
    whip_media_on_rtp(f.media, (const uint8_t *)"\x80", 1, f.now_us, f.unix_us);
    whip_media_on_rtcp(f.media, (const uint8_t *)"\x80\xc8\0\x09", 4, f.now_us, f.unix_us);
    video(&f, 12, 9000, true, H264_SLICE, 3);
    video(&f, 12, 9000, true, H264_SLICE, 3);
    whip_media_count(f.media, &c);
    assert_int_equal(f.n_packets, 1);
    assert_int_equal(c.oversize, 1);
    assert_int_equal(c.bad_payload, 1);
    assert_int_equal(c.strangers, 1);
    assert_int_equal(c.bad_rtp, 1);
    assert_int_equal(c.bad_rtcp, 1);
    assert_int_equal(c.duplicates, 1);
    fixture_fini(&f);
}

static void padding_keeps_its_place_in_the_sequence(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SLICE, 3);
    video(&f, 11, 9000, false, NULL, 0);
    video(&f, 12, 12000, true, H264_SLICE, 3);
    assert_int_equal(f.n_packets, 3);
    assert_int_equal(f.packets[1]->flags, PACKET_PADDING);
    assert_int_equal(f.packets[1]->payload_len, 0);
    assert_int_equal(f.packets[2]->flags, S | E);
    fixture_fini(&f);
}

static void an_exhausted_pool_is_a_counted_drop(void **state)
{
    struct fixture f;
    struct pool *small;
    struct whip_media_counters c = {0};
    uint16_t seq = 0;

    (void)state;
    fixture_init(&f, CODEC_H264);
    assert_int_equal(packet_pool_create(&small, 1), 0);
    f.media->cfg.pool = small;
    while (c.dropped_pool == 0 && seq < 1000) {
        video(&f, seq, (uint32_t)seq * 3000, true, H264_SLICE, 3);
        seq++;
        if (f.n_packets == LEN(f.packets)) /* a slab has more than one */
            break;
        c = (struct whip_media_counters){0};
        whip_media_count(f.media, &c);
    }
    if (f.n_packets < LEN(f.packets))
        assert_int_equal(c.dropped_pool, 1);
    for (size_t i = 0; i < f.n_packets; i++)
        packet_unref(&f.packets[i]);
    f.n_packets = 0;
    pool_destroy(&small);
    fixture_fini(&f);
}

static void a_new_source_begins_a_new_epoch(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SLICE, 3);
    assert_int_equal(f.n_sources, 0);
    deliver(&f, &(struct sent){.pt = VIDEO_PT,
                               .ssrc = 77,
                               .seq = 40000,
                               .ts = 5,
                               .marker = true,
                               .payload = H264_SLICE,
                               .payload_len = 3});
    assert_int_equal(f.n_sources, 1);
    assert_int_equal(f.n_packets, 2);
    /* Who changes for ever is no publisher. */
    for (uint32_t i = 0; i < 200 && !whip_media_abused(f.media); i++) {
        packet_unref(&f.packets[--f.n_packets]);
        deliver(&f, &(struct sent){.pt = VIDEO_PT,
                                   .ssrc = 100 + i,
                                   .seq = 1,
                                   .ts = 5,
                                   .marker = true,
                                   .payload = H264_SLICE,
                                   .payload_len = 3});
    }
    assert_true(whip_media_abused(f.media));
    fixture_fini(&f);
}

/* ---- Audio, capture time, epochs -------------------------------------------------------------- */

static void audio(struct fixture *f, uint8_t pt, uint16_t seq, uint32_t ts, const char *payload, size_t len)
{
    deliver(f, &(struct sent){.pt = pt, .ssrc = AUDIO_SSRC, .seq = seq, .ts = ts, .payload = payload, .payload_len = len});
}

/* Each packet has the one before it, too: what is lost between two is taken from the second. */
static void red_is_taken_apart_and_fills_what_was_lost(void **state)
{
    enum { RED_PT = 63 };
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_VP8);
    f.media->tracks[0].cfg.red_pt = RED_PT;
    f.media->by_pt[RED_PT] = 1 | WHIP_PT_RED;
    audio(&f, RED_PT, 10, 9600, "\357\17\0\2\157xyAAA", 10); /* before the first: not known of */
    audio(&f, RED_PT, 11, 10560, "\357\17\0\3\157AAABBB", 11);
    audio(&f, RED_PT, 13, 12480, "\357\17\0\2\157CCDDD", 10); /* 12 was lost */
    audio(&f, AUDIO_PT, 14, 13440, "EEE", 3);                  /* a browser may change between the two */
    audio(&f, RED_PT, 15, 14400, "\357\17\0\77\157", 5);      /* damaged */
    assert_int_equal(f.n_packets, 5);
    static const char *const payloads[] = {"AAA", "BBB", "CC", "DDD", "EEE"};
    for (size_t i = 0; i < 5; i++) {
        const struct packet *p = f.packets[i];
        assert_int_equal(p->payload_len, strlen(payloads[i]));
        assert_memory_equal(packet_payload(p), payloads[i], p->payload_len);
        assert_int_equal(p->seq, f.packets[0]->seq + i);
        assert_int_equal(p->ts_ticks, f.packets[0]->ts_ticks + i * 960);
        assert_int_equal(p->track, 0);
    }
    struct whip_media_counters c = {0};
    whip_media_count(f.media, &c);
    assert_int_equal(c.bad_payload, 1);
    assert_int_equal(c.duplicates, 0);
    fixture_fini(&f);
}

/* Silence: one byte of Opus now and then (RFC 7587 s3.1.3), whose timestamps jump while its numbers do not. */
static void dtx_goes_on_as_it_comes(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, CODEC_VP8);
    audio(&f, AUDIO_PT, 1, 960, "\170abcd", 5);
    audio(&f, AUDIO_PT, 2, 1920, "\170", 1);
    audio(&f, AUDIO_PT, 3, 1920 + 19200, "\170", 1); /* 400 ms on */
    audio(&f, AUDIO_PT, 4, 1920 + 20160, "\170ef", 3);
    assert_int_equal(f.n_packets, 4);
    assert_int_equal(f.packets[1]->payload_len, 1);
    assert_int_equal(f.packets[2]->ts_ticks - f.packets[1]->ts_ticks, 19200);
    assert_int_equal(f.packets[2]->capture_us - f.packets[1]->capture_us, 400000);
    assert_int_equal(f.packets[3]->seq - f.packets[0]->seq, 3);
    fixture_fini(&f);
}

/* 1,500 ms after the sender's clock says so: both tracks have one line before any report. */
static void capture_times_hold_before_the_first_report(void **state)
{
    struct fixture f;
    uint8_t block[16], value[RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES];

    (void)state;
    fixture_init(&f, CODEC_VP8);
    f.media->tracks[0].cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] = f.media->tracks[1].cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] = 7;
    for (int i = 0; i < 2; i++) { /* sound of 100 ms later than the picture, which comes 100 ms after it */
        struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), false);
        struct rtp_abs_capture_time at = {.ntp = ntp_of_unix_us(1600000000000000 + (i == 0 ? 100000 : 0))};

        rtp_ext_write(&w, 7, value, rtp_ext_abs_capture_time_write(value, &at));
        int len = rtp_ext_writer_finish(&w);
        deliver(&f, &(struct sent){.pt = i ? VIDEO_PT : AUDIO_PT, .ssrc = i ? VIDEO_SSRC : AUDIO_SSRC, .seq = 1, .ts = 9,
                                   .marker = true, .payload = "\x10\x11\0\0", .payload_len = 4, .ext = block, .ext_len = (size_t)len});
        f.now_us += 99000;
        f.unix_us += 99000;
    }
    assert_int_equal(f.n_packets, 2);
    assert_in_range(f.packets[0]->capture_us - f.packets[1]->capture_us, 99900, 100100);
    fixture_fini(&f);
}

/* ---- The hot path ------------------------------------------------------------------------------ */

static void push_raw(struct fixture *f, uint8_t pt, uint32_t ssrc, uint16_t seq, uint32_t ts, bool marker)
{
    static const uint8_t cc[] = {0x31, 0, 0, 0};
    uint8_t bytes[1200] = {0};
    struct rtp_header h = {.ext = cc, .ext_len = sizeof(cc), .ext_profile = RTP_EXT_PROFILE_ONE_BYTE, .ts_ticks = ts, .ssrc = ssrc,
                           .seq = seq, .pt = pt, .marker = marker};
    int n = rtp_header_write(bytes, sizeof(bytes), &h);

    assert_true(n > 0);
    bytes[n] = 0x61;
    whip_media_on_rtp(f->media, bytes, pt == AUDIO_PT ? 150 : sizeof(bytes), f->now_us, f->unix_us);
    f->now_us += 1000;
    f->unix_us += 1000;
}

/* Pictures of six packets, one of them lost in each third, sound, and the feedback that is due. */
static void moment(struct fixture *f, unsigned i)
{
    for (uint16_t k = 0; k < 6; k++)
        if (i % 3 != 1 || k != 2)
            push_raw(f, VIDEO_PT, VIDEO_SSRC, (uint16_t)(i * 6 + k), i * 3000, k == 5);
    push_raw(f, AUDIO_PT, AUDIO_SSRC, (uint16_t)i, i * 960, false);
    whip_media_poll(f->media, f->now_us);
}

static void ten_thousand_packets_come_in_without_an_allocation(void **state)
{
    struct fixture f;
    unsigned i = 0;

    (void)state;
    fixture_init(&f, CODEC_H264);
    f.discards = true;
    while (f.n_packets < 500)
        moment(&f, i++);
    size_t before = count_allocs(), packets = f.n_packets, feedback = f.n_rtcp;
    while (f.n_packets < packets + 10000)
        moment(&f, i++);
    assert_int_equal(count_allocs() - before, 0);
    assert_true(f.n_rtcp > feedback);
    f.n_packets = 0; /* none are kept */
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h264_frames_begin_at_a_new_timestamp_and_keyframes_are_marked_to_their_end),
        cmocka_unit_test(vp8_frames_begin_where_the_payload_says),
        cmocka_unit_test(a_late_packet_of_a_keyframe_is_known_by_its_timestamp),
        cmocka_unit_test(audio_packets_are_whole_frames),
        cmocka_unit_test(b_frames_are_noticed),
        cmocka_unit_test(extensions_that_mean_something_beyond_the_hop_go_on_in_cluster_form),
        cmocka_unit_test(a_retransmission_takes_the_place_of_what_was_lost),
        cmocka_unit_test(what_is_not_agreed_on_or_broken_is_counted_and_dropped),
        cmocka_unit_test(padding_keeps_its_place_in_the_sequence),
        cmocka_unit_test(an_exhausted_pool_is_a_counted_drop),
        cmocka_unit_test(red_is_taken_apart_and_fills_what_was_lost),
        cmocka_unit_test(dtx_goes_on_as_it_comes),
        cmocka_unit_test(capture_times_hold_before_the_first_report),
        cmocka_unit_test(a_new_source_begins_a_new_epoch),
        cmocka_unit_test(ten_thousand_packets_come_in_without_an_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
