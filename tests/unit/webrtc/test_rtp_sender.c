/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_sender.c - numbers, timestamps, extensions, retransmissions and reports towards one viewer; see
 * webrtc/rtp_sender.h. */
#include "webrtc/rtp_sender.h"

#include "wire/rtp_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HZ 90000u
#define SEQ0 ((uint64_t)PACKET_SEQ_FIRST + 1000)
#define TS0 (UINT64_C(5) << 32)
#define UNIX0 UINT64_C(1767225600000000)

static const struct rtp_sender_cfg CFG = {.ssrc = 0x10, .rtx_ssrc = 0x11, .first_seq = 500, .first_rtx_seq = 9000, .first_ts = 7777};

struct fixture {
    struct pool *pool;
    struct cache *cache;
    struct rtp_sender s;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(packet_pool_create(&f->pool, 4096), 0);
    assert_int_equal(cache_create(&f->cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = 4096, .cap_us = 60000000}), 0);
    rtp_sender_init(&f->s, &CFG);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cache_destroy(&f->cache);
    pool_destroy(&f->pool);
    free(f);
    return 0;
}

/* Packet number n of a stream of 30 frames a second and 2 packets a frame; its payload tells its number. */
static struct packet *make(struct fixture *f, uint64_t n)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    p->seq = SEQ0 + n;
    p->ts_ticks = TS0 + n / 2 * 3000;
    p->capture_us = UNIX0 + n / 2 * 100000 / 3;
    p->flags = (uint8_t)(n % 2 ? PACKET_FRAME_END | PACKET_MARKER : PACKET_FRAME_START);
    p->payload_len = 100;
    memset(p->bytes, 0xee, p->payload_len);
    memcpy(p->bytes, &n, sizeof(n));
    return p;
}

static void start(struct fixture *f, uint64_t n, uint64_t epoch, uint64_t now_us)
{
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = epoch, .pt = 96, .rtx_pt = 97, .clock_hz = HZ,
                     .first_seq = SEQ0 + n, .first_ts = TS0 + n / 2 * 3000}, now_us);
}

/* The datagram before protection, as the viewer would see it. */
struct sent {
    uint8_t bytes[RTP_OUT_MAX];
    size_t len;
    uint64_t index;
    struct rtp_view view;
};

static void assemble(struct sent *d, const struct rtp_out *out)
{
    d->len = out->hdr_len + out->prefix_len + out->payload_len;
    d->index = out->index;
    assert_true(d->len <= sizeof(d->bytes));
    memcpy(d->bytes, out->hdr, out->hdr_len);
    memcpy(d->bytes + out->hdr_len, out->prefix, out->prefix_len);
    memcpy(d->bytes + out->hdr_len + out->prefix_len, out->payload, out->payload_len);
    assert_int_equal(rtp_view_parse(&d->view, d->bytes, d->len), RTP_OK);
    assert_int_equal((uint16_t)d->index, d->view.seq); /* or the receiver's SRTP guesses wrong */
}

static bool write_packet(struct fixture *f, struct packet *p, uint64_t now_us, struct sent *d)
{
    struct rtp_out out;
    bool ok = rtp_sender_write(&f->s, p, now_us, &out);

    if (ok)
        assemble(d, &out);
    return ok;
}

static bool write_n(struct fixture *f, uint64_t n, uint64_t now_us, struct sent *d)
{
    struct packet *p = make(f, n);
    bool ok = write_packet(f, p, now_us, d);

    packet_unref(&p);
    return ok;
}

/* ---- numbers and timestamps ------------------------------------------------------------------------------- */

static void the_first_packet_has_the_random_start(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    assert_false(write_n(f, 0, 0, &d)); /* not started */
    start(f, 0, 1, 0);
    assert_true(write_n(f, 0, 0, &d));
    assert_int_equal(d.view.seq, 500);
    assert_int_equal(d.index, 500);
    assert_int_equal(d.view.ts_ticks, 7777);
    assert_int_equal(d.view.ssrc, 0x10);
    assert_int_equal(d.view.pt, 96);
    assert_false(d.view.marker);
    assert_true(write_n(f, 1, 0, &d));
    assert_int_equal(d.view.seq, 501);
    assert_int_equal(d.view.ts_ticks, 7777);
    assert_true(d.view.marker);
    assert_true(write_n(f, 2, 0, &d));
    assert_int_equal(d.view.ts_ticks, 7777 + 3000);
}

static void a_gap_is_kept_and_filled_by_the_late_packet(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    assert_true(write_n(f, 0, 0, &d));
    assert_true(write_n(f, 5, 0, &d));
    assert_int_equal(d.view.seq, 505);
    assert_true(write_n(f, 2, 0, &d));
    assert_int_equal(d.view.seq, 502);
    assert_int_equal(d.view.ts_ticks, 7777 + 3000);
    assert_int_equal(f->s.counters.late, 1);
    assert_true(write_n(f, 6, 0, &d));
    assert_int_equal(d.view.seq, 506);
}

static void what_is_not_of_the_segment_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct sent d;
    struct packet *other = make(f, 10);

    start(f, 4, 1, 0);
    assert_true(write_n(f, 4, 0, &d));
    assert_false(write_n(f, 3, 0, &d)); /* before the first */
    other->track = 1;
    assert_false(write_packet(f, other, 0, &d));
    other->track = 0;
    other->layer = 1;
    assert_false(write_packet(f, other, 0, &d));
    packet_unref(&other);
    rtp_sender_stop(&f->s);
    assert_false(write_n(f, 5, 0, &d));
}

static void numbers_and_index_run_over_the_wrap(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 140000; n++) {
        assert_true(write_n(f, n, n * 16667, &d));
        assert_int_equal(d.view.seq, (uint16_t)(500 + n));
        assert_int_equal(d.index, 500 + n); /* the first roll-over counter is 0 */
        assert_int_equal(d.view.ts_ticks, (uint32_t)(7777 + n / 2 * 3000));
    }
}

static void the_timeline_runs_on_over_epochs_by_the_time_that_passed(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    assert_true(write_n(f, 0, 1000000, &d));
    rtp_sender_stop(&f->s);
    start(f, 50000, 2, 4500000); /* another epoch: other numbers, other timestamps, 3.5 s later */
    assert_true(write_n(f, 50000, 4500000, &d));
    assert_int_equal(d.view.seq, 501);
    assert_int_equal(d.view.ts_ticks, 7777 + 3500 * 90);
    assert_true(write_n(f, 50002, 4533000, &d));
    assert_int_equal(d.view.seq, 503);
    assert_int_equal(d.view.ts_ticks, 7777 + 3500 * 90 + 3000);
    start(f, 7, 3, 4533000); /* at once: a new frame all the same */
    assert_true(write_n(f, 7, 4533000, &d));
    assert_int_equal(d.view.seq, 504);
    assert_int_equal(d.view.ts_ticks, 7777 + 3500 * 90 + 3001);
}

static void a_jump_of_the_source_is_not_passed_on(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    assert_true(write_n(f, 0, 0, &d));
    assert_true(write_n(f, RTP_JUMP_MAX, 0, &d)); /* this far it is loss */
    assert_int_equal(d.view.seq, 500 + RTP_JUMP_MAX);
    assert_true(write_n(f, 80000, 0, &d));
    assert_int_equal(d.view.seq, 500 + RTP_JUMP_MAX + 1);
    assert_int_equal(d.view.ts_ticks, 7777 + 40000 * 3000);
    assert_false(write_n(f, 79999, 0, &d));
}

/* ---- the squeeze --------------------------------------------------------------------------------------------- */

static void catching_up_takes_a_fourth_of_the_time_within_bounds(void **state)
{
    static const struct {
        const char *name;
        uint64_t span_us, bytes, us;
    } rows[] = {
        {"nothing to catch up", 0, 0, 0},
        {"two seconds of little", 2000000, 100000, 500000},
        {"two seconds of 8 Mbit/s: 20 Mbit/s at most", 2000000, 2000000, 800000},
        {"ten seconds: live again in 1.5 s", 10000000, 1000000, 1500000},
        {"a big keyframe alone", 40000, 250000, 100000},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        assert_int_equal(rtp_catch_up_us(rows[i].span_us, rows[i].bytes), rows[i].us);
    }
}

static void squeezed_timestamps_rise_and_meet_live(void **state)
{
    static const struct {
        uint64_t behind_us, run_us;
    } rows[] = {{2000000, 500000}, {10000000, 1500000}, {33333, 8333}, {1000, 1000}, {3600000000, 1500000}, {0, 0}, {500000, 0}};
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(rows); i++) {
        uint64_t live = TS0 + rows[i].behind_us * 9 / 100, now_us = 1000000, before;
        uint64_t out0 = f->s.last_ts + (f->s.sent_any ? 1 : 0);
        rtp_sender_start(&f->s, &(struct rtp_start){.epoch = i + 1, .clock_hz = HZ, .first_seq = SEQ0, .first_ts = TS0,
                         .live_ts = live, .run_us = rows[i].run_us}, now_us);
        const struct rtp_segment *g = &f->s.now;
        assert_int_equal(rtp_segment_ts(g, TS0), out0);
        assert_int_equal(rtp_segment_due_us(g, TS0), now_us);
        before = rtp_segment_ts(g, TS0 - 10000); /* a leading picture: before the keyframe */
        for (uint64_t ts = TS0; ts < g->meet_ts + 100000; ts += 1 + (g->meet_ts - TS0) / 5000) {
            uint64_t out = rtp_segment_ts(g, ts);
            assert_true(out >= before);
            assert_int_equal(out, rtp_segment_ts(g, ts));
            /* what is said of it and when it is sent go together, to the microsecond and tick */
            uint64_t due = rtp_segment_due_us(g, ts) - now_us;
            uint64_t run = ts < g->meet_ts ? out - out0 : g->run_ticks;
            assert_in_range(due * 9 / 100 + 1, run, run + 2);
            before = out;
        }
        if (rows[i].run_us && rows[i].behind_us) { /* at the end of the run live has come so far */
            assert_int_equal(g->meet_ts, live + rows[i].run_us * 9 / 100);
            assert_in_range(rtp_segment_due_us(g, g->meet_ts) - now_us, rows[i].run_us - 12, rows[i].run_us);
            assert_int_equal(rtp_segment_ts(g, g->meet_ts), out0 + rows[i].run_us * 9 / 100);
        }
        assert_int_equal(rtp_segment_ts(g, g->meet_ts + 3000), rtp_segment_ts(g, g->meet_ts) + 3000);
    }
}

/* ---- header extensions ------------------------------------------------------------------------------------------ */

static void add_element(struct packet *p, uint8_t id, uint8_t len, uint8_t fill)
{
    memmove(p->bytes + p->ext_len + 2 + len, p->bytes + p->ext_len, p->payload_len);
    p->bytes[p->ext_len] = id;
    p->bytes[p->ext_len + 1] = len;
    memset(p->bytes + p->ext_len + 2, fill, len);
    p->ext_len = (uint8_t)(p->ext_len + 2 + len);
}

static void extensions_get_the_viewers_ids(void **state)
{
    static const struct {
        const char *name;
        uint8_t element, element_len; /* beside an audio level */
        bool mixed;
        uint8_t id;                   /* negotiated for it */
        uint16_t profile;             /* 0: no extension */
        size_t level_bytes, element_bytes; /* found with the viewer */
    } rows[] = {
        {"both", PACKET_EXT_VIDEO_ORIENTATION, 1, false, 4, RTP_EXT_PROFILE_ONE_BYTE, 1, 1},
        {"not negotiated", PACKET_EXT_VIDEO_ORIENTATION, 1, false, 0, RTP_EXT_PROFILE_ONE_BYTE, 1, 0},
        {"unknown in the cluster", 77, 1, false, 0, RTP_EXT_PROFILE_ONE_BYTE, 1, 0},
        {"long, one-byte form only", PACKET_EXT_DEPENDENCY, 40, false, 4, RTP_EXT_PROFILE_ONE_BYTE, 1, 0},
        {"long, mixed forms agreed on", PACKET_EXT_DEPENDENCY, 40, true, 4, RTP_EXT_PROFILE_TWO_BYTE, 1, 40},
        {"16 bytes still fit the one-byte form", PACKET_EXT_DEPENDENCY, 16, true, 4, RTP_EXT_PROFILE_ONE_BYTE, 1, 16},
        {"an id above 14 needs the two-byte form", PACKET_EXT_DEPENDENCY, 3, true, 20, RTP_EXT_PROFILE_TWO_BYTE, 1, 3},
        {"an id above 14 without it is not sent", PACKET_EXT_DEPENDENCY, 3, false, 20, RTP_EXT_PROFILE_ONE_BYTE, 1, 0},
    };

    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture *f = *state;
        struct rtp_sender_cfg cfg = CFG;
        struct packet *p = make(f, 1);
        struct rtp_ext e;
        struct sent d;
        print_message("  %s\n", rows[i].name);
        cfg.two_byte_ext = rows[i].mixed;
        cfg.ext_id[RTP_EXT_AUDIO_LEVEL] = 2;
        cfg.ext_id[RTP_EXT_VIDEO_ORIENTATION] = rows[i].element == PACKET_EXT_VIDEO_ORIENTATION ? rows[i].id : 0;
        cfg.ext_id[RTP_EXT_DEPENDENCY_DESCRIPTOR] = rows[i].element == PACKET_EXT_DEPENDENCY ? rows[i].id : 0;
        rtp_sender_init(&f->s, &cfg);
        start(f, 0, 1, 0);
        add_element(p, rows[i].element, rows[i].element_len, 0xab);
        add_element(p, PACKET_EXT_AUDIO_LEVEL, 1, 0x55);
        assert_true(write_packet(f, p, 0, &d));
        assert_int_equal(d.view.ext_profile, rows[i].profile);
        assert_int_equal(d.view.payload_len, 100);
        bool level = rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 2);
        assert_int_equal(level ? e.len : 0, rows[i].level_bytes);
        assert_true(!level || e.data[0] == 0x55);
        bool other = rows[i].id && rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, rows[i].id);
        assert_int_equal(other ? e.len : 0, rows[i].element_bytes);
        assert_true(!other || (e.data[0] == 0xab && e.data[e.len - 1] == 0xab));
        packet_unref(&p);
    }
}

static void capture_time_is_told_where_a_frame_begins(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct rtp_abs_capture_time at;
    struct rtp_ext e;
    struct sent d;

    cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] = 5;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 0);
    assert_true(write_n(f, 2, 0, &d));
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 5));
    assert_true(rtp_ext_abs_capture_time_parse(&at, e.data, e.len));
    assert_in_range(ntp_to_unix_us(at.ntp), UNIX0 + 33332, UNIX0 + 33334);
    assert_true(write_n(f, 3, 0, &d));
    assert_int_equal(d.view.ext_len, 0);
}

static void the_least_delay_is_told_with_each_keyframe_unless_the_publisher_says_one(void **state)
{
    static const struct {
        const char *name;
        uint8_t flags, id, own; /* own: the publisher's element is there */
        uint16_t ms, told;      /* 0: nothing */
    } rows[] = {
        {"keyframe", PACKET_KEYFRAME | PACKET_FRAME_START, 6, 0, 120, 120},
        {"the keyframe's second packet", PACKET_KEYFRAME, 6, 0, 120, 0},
        {"another frame", PACKET_FRAME_START, 6, 0, 120, 0},
        {"not negotiated", PACKET_KEYFRAME | PACKET_FRAME_START, 0, 0, 120, 0},
        {"an id that the one-byte form cannot carry", PACKET_KEYFRAME | PACKET_FRAME_START, 15, 0, 120, 0},
        {"nothing to be told", PACKET_KEYFRAME | PACKET_FRAME_START, 6, 0, 0, 0},
        {"the publisher's own is passed on", PACKET_KEYFRAME | PACKET_FRAME_START, 6, 1, 120, 20},
    };

    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture *f = *state;
        struct rtp_sender_cfg cfg = CFG;
        struct rtp_playout_delay delay = {0};
        struct rtp_ext e;
        struct sent d;
        struct packet *p = make(f, 0);
        print_message("  %s\n", rows[i].name);
        cfg.ext_id[RTP_EXT_PLAYOUT_DELAY] = rows[i].id;
        rtp_sender_init(&f->s, &cfg);
        rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .clock_hz = HZ, .first_seq = SEQ0, .first_ts = TS0,
                         .playout_ms = rows[i].ms}, 0);
        p->flags = rows[i].flags;
        if (rows[i].own) {
            memmove(p->bytes + 5, p->bytes, p->payload_len);
            p->bytes[0] = PACKET_EXT_PLAYOUT_DELAY;
            p->bytes[1] = 3;
            rtp_ext_playout_delay_write(p->bytes + 2, &(struct rtp_playout_delay){20, 40});
            p->ext_len = 5;
        }
        assert_true(write_packet(f, p, 0, &d));
        bool told = rows[i].id && rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, rows[i].id);
        assert_int_equal(told, rows[i].told != 0);
        assert_true(!told || rtp_ext_playout_delay_parse(&delay, e.data, e.len));
        assert_int_equal(delay.min_ms, rows[i].told);
        assert_true(!told || delay.max_ms >= delay.min_ms);
        packet_unref(&p);
    }
}

static void the_largest_packet_with_the_longest_extensions_still_fits(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.two_byte_ext = true;
    cfg.ext_id[RTP_EXT_DEPENDENCY_DESCRIPTOR] = 3;
    for (uint8_t len = 0; len <= PACKET_EXT_MAX - 2; len++) {
        struct packet *p = make(f, 1);
        rtp_sender_init(&f->s, &cfg);
        start(f, 0, 1, 0);
        p->payload_len = PACKET_PAYLOAD_MAX;
        memset(p->bytes, 0, PACKET_PAYLOAD_MAX);
        add_element(p, PACKET_EXT_DEPENDENCY, len, 1);
        assert_true(write_packet(f, p, 0, &d));
        assert_true(d.len + 2 <= RTP_OUT_MAX); /* its retransmission has two bytes more */
        packet_unref(&p);
    }
}

/* ---- retransmission ------------------------------------------------------------------------------------------------ */

static void send_and_cache(struct fixture *f, uint64_t n, uint64_t now_us, struct sent *d)
{
    struct packet *p = make(f, n);

    assert_true(write_packet(f, p, now_us, d));
    assert_true(cache_push(f->cache, p));
    packet_unref(&p);
}

static bool resend(struct fixture *f, uint16_t seq, uint64_t epoch, uint64_t now_us, struct sent *d)
{
    struct rtp_out out;
    bool ok = rtp_sender_resend(&f->s, seq, f->cache, epoch, now_us, &out);

    if (ok)
        assemble(d, &out);
    return ok;
}

static void rtx_has_its_own_numbers_and_the_original_in_front(void **state)
{
    struct fixture *f = *state;
    struct sent d[10], again;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 10; n++)
        send_and_cache(f, n, 0, &d[n]);
    for (uint16_t k = 0; k < 3; k++) {
        const struct sent *first = &d[3 + k];
        assert_true(resend(f, (uint16_t)(503 + k), 1, 1000, &again));
        assert_int_equal(again.view.ssrc, 0x11);
        assert_int_equal(again.view.pt, 97);
        assert_int_equal(again.view.seq, 9000 + k);
        assert_int_equal(again.index, 9000 + k);
        assert_int_equal(again.view.ts_ticks, first->view.ts_ticks);
        assert_int_equal(again.view.marker, first->view.marker);
        assert_int_equal(again.view.payload_len, first->view.payload_len + 2);
        assert_int_equal(again.view.payload[0] << 8 | again.view.payload[1], first->view.seq);
        assert_memory_equal(again.view.payload + 2, first->view.payload, first->view.payload_len);
    }
    assert_int_equal(f->s.counters.resent, 3);
    assert_int_equal(f->s.counters.resent_octets, 300);
    assert_int_equal(f->s.counters.packets, 10);
}

/* One packet, one nonce: the same index must be the same bytes, squeezed timestamp and extensions included. */
static void without_rtx_the_very_same_packet_goes_out_again(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d[8], again;

    cfg.rtx_ssrc = 0;
    cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] = 5;
    cfg.ext_id[RTP_EXT_AUDIO_LEVEL] = 2;
    rtp_sender_init(&f->s, &cfg);
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .pt = 96, .rtx_pt = 97, .clock_hz = HZ, .first_seq = SEQ0,
                     .first_ts = TS0, .live_ts = TS0 + 180000, .run_us = 500000}, 0);
    for (uint64_t n = 0; n < 8; n++)
        send_and_cache(f, n, n * 1000, &d[n]);
    for (uint16_t n = 0; n < 8; n++) {
        assert_true(resend(f, (uint16_t)(500 + n), 1, 50000 + n * 100000u, &again));
        assert_int_equal(again.index, d[n].index);
        assert_int_equal(again.len, d[n].len);
        assert_memory_equal(again.bytes, d[n].bytes, d[n].len);
    }
}

/* ---- RED ------------------------------------------------------------------------------------------------------------ */

/* Opus of 20 ms by RED 63; the cache has what was sent. */
struct said {
    uint64_t n, ts_ticks;
    uint16_t len;
};

static void start_red(struct fixture *f, const struct rtp_sender_cfg *cfg)
{
    rtp_sender_init(&f->s, cfg);
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .pt = 111, .rtx_pt = 112, .red_pt = 63, .clock_hz = 48000,
                     .first_seq = SEQ0, .first_ts = TS0}, 0);
}

static struct packet *say(struct fixture *f, const struct said *w)
{
    struct packet *p = make(f, w->n);

    p->ts_ticks = TS0 + w->ts_ticks;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END;
    p->payload_len = w->len;
    memset(p->bytes, (int)(0xa0 + w->n), w->len);
    return p;
}

static bool send_said(struct fixture *f, const struct said *w, struct sent *d)
{
    struct packet *p = say(f, w);
    struct rtp_out out;

    (void)!cache_push(f->cache, p); /* again: a copy */
    bool ok = rtp_sender_write_after(&f->s, p, cache_find(f->cache, 0, 0, p->seq - 1), 0, &out);
    if (ok)
        assemble(d, &out);
    packet_unref(&p);
    return ok;
}

/* In the order they come; each must be the packet before it, if it is to be carried, and itself, byte for byte. */
static void red_carries_the_packet_directly_before(void **state)
{
    static const struct {
        const char *name;
        struct said w;
        uint16_t carried; /* bytes of the packet before it; 0: it goes alone */
        uint8_t headers[4];
    } rows[] = {
        {"the first", {0, 0, 4}, 0, {0}},
        {"20 ms later", {1, 960, 3}, 4, {0xef, 0x0f, 0x00, 0x04}},
        {"after a gap", {3, 2880, 3}, 0, {0}},
        {"late: it fills the gap", {2, 1920, 3}, 0, {0}},
        {"after what went alone", {4, 3840, 1023}, 3, {0xef, 0x0f, 0x00, 0x03}},
        {"the longest that can be carried", {5, 3840 + 120, 300}, 1023, {0xef, 0x01, 0xe3, 0xff}},
        {"the oldest that can be carried", {6, 3960 + 16383, 1024}, 300, {0xef, 0xff, 0xfd, 0x2c}},
        {"one too long before it", {7, 20343 + 960, 500}, 0, {0}},
        {"one too old before it", {8, 21303 + 16384, 981}, 0, {0}},
        {"too long together", {9, 37687 + 960, 487}, 0, {0}},
        {"as long as may be", {10, 38647 + 960, 980}, 487, {0xef, 0x0f, 0x01, 0xe7}},
        {"a mark, nothing to be said", {11, 39607 + 960, 0}, 0, {0}},
        {"after a mark", {12, 40567 + 960, 5}, 0, {0}},
    };
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d[LEN(rows)], again;

    cfg.rtx_ssrc = 0;
    start_red(f, &cfg);
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct said *w = &rows[i].w;
        uint8_t want[RTP_OUT_MAX], *to = want;

        print_message("  %s\n", rows[i].name);
        assert_true(send_said(f, w, &d[i]));
        assert_int_equal(d[i].view.pt, w->len ? 63 : 111);
        assert_int_equal(d[i].view.seq, 500 + w->n);
        assert_int_equal(d[i].view.ts_ticks, 7777 + w->ts_ticks);
        if (rows[i].carried) {
            memcpy(to, rows[i].headers, 4);
            to += 4;
        }
        if (w->len)
            *to++ = 0x6f;
        memset(to, (int)(0xa0 + w->n - 1), rows[i].carried);
        memset(to + rows[i].carried, (int)(0xa0 + w->n), w->len);
        to += rows[i].carried + w->len;
        assert_int_equal(d[i].view.payload_len, to - want);
        assert_memory_equal(d[i].view.payload, want, (size_t)(to - want));
    }
    /* The packet before 3 is here by now, that before 1 always was: the same bytes under the same index all the same. */
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_true(resend(f, (uint16_t)(500 + rows[i].w.n), 1, 50000 + i * 100000u, &again));
        assert_int_equal(again.index, d[i].index);
        assert_int_equal(again.len, d[i].len);
        assert_memory_equal(again.bytes, d[i].bytes, d[i].len);
    }
    /* A second copy: not sent where it would be other bytes. */
    assert_false(send_said(f, &rows[1].w, &again));
    assert_true(send_said(f, &rows[2].w, &again));
    assert_memory_equal(again.bytes, d[2].bytes, d[2].len);
}

static void red_that_cannot_be_built_again_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.rtx_ssrc = 0;
    start_red(f, &cfg);
    for (uint64_t n = 0; n < RTP_SENT_NUMBERS + 1; n++)
        assert_true(send_said(f, &(struct said){n, n * 960, 10}, &d));
    assert_false(resend(f, 500, 1, 50000, &d)); /* nobody knows how it was sent */
    assert_int_equal(f->s.counters.resend_gone, 1);
    assert_true(resend(f, 501, 1, 50000, &d));
    cache_clear(f->cache);
    struct packet *p = say(f, &(struct said){700, 700 * 960, 10});
    assert_true(cache_push(f->cache, p));
    packet_unref(&p);
    assert_false(resend(f, 500 + 700, 1, 50000, &d)); /* 699, which it carried, is gone */
    assert_int_equal(f->s.counters.resend_gone, 2);
    assert_int_equal(f->s.counters.resent, 1);
}

static void red_with_transport_cc_uses_no_index_twice(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    start_red(f, &cfg);
    for (uint64_t n = 0; n < 3; n++)
        assert_true(send_said(f, &(struct said){n, n * 960, 10}, &d));
    assert_int_equal(d.view.pt, 63);
    assert_int_equal(d.view.payload_len, 5 + 20);
    assert_false(send_said(f, &(struct said){0, 0, 10}, &d));
    assert_false(send_said(f, &(struct said){2, 1920, 10}, &d));
    assert_false(resend(f, 502, 1, 50000, &d)); /* RED has no RTX, whatever was offered */
    assert_int_equal(f->s.counters.resend_refused, 1);
}

/* A packet within a frame has its number only; the longest that fits still has it, a longer one goes without. */
static void a_packet_within_a_frame_has_only_its_transport_wide_number(void **state)
{
    static const uint8_t header[] = {0x90, 0xe0, 0x01, 0xf5, 0x00, 0x00, 0x1e, 0x61, 0x00, 0x00,
                                     0x00, 0x10, 0xbe, 0xde, 0x00, 0x01, 0x51, 0xab, 0xcd, 0x00};
    static const struct {
        size_t payload_len, hdr_len;
    } rows[] = {{100, 20}, {RTP_OUT_MAX - 22, 20}, {RTP_OUT_MAX - 21, 12}};
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct packet *p = make(f, 1);
        struct rtp_out out;
        rtp_sender_init(&f->s, &cfg);
        start(f, 0, 1, 1000000);
        f->s.transport_seq = 0xabcd;
        p->payload_len = (uint16_t)rows[i].payload_len;
        assert_true(rtp_sender_write(&f->s, p, 1000000, &out));
        assert_int_equal(out.hdr_len, rows[i].hdr_len);
        assert_int_equal(out.numbered, rows[i].hdr_len == sizeof(header));
        assert_int_equal(out.payload_len, rows[i].payload_len);
        assert_memory_equal(out.hdr + 1, header + 1, 11);
        assert_int_equal(out.hdr[0], out.numbered ? 0x90 : 0x80);
        if (out.numbered)
            assert_memory_equal(out.hdr, header, sizeof(header));
        packet_unref(&p);
    }
}

/* A transport-wide number makes each sending another packet: none may share its SRTP index with one before. */
static void with_transport_cc_no_index_is_used_twice(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    cfg.rtx_ssrc = 0;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    f->s.transport_seq = 0xabcd;
    send_and_cache(f, 0, 1000000, &d);
    struct rtp_ext e;
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 5));
    assert_int_equal(e.len, 2);
    assert_memory_equal(e.data, "\xab\xcd", 2);
    f->s.transport_seq++;
    assert_false(write_n(f, 0, 1000000, &d));            /* a copy */
    assert_false(resend(f, d.view.seq, 1, 2000000, &d)); /* no RTX */
    assert_int_equal(f->s.counters.resend_refused, 1);
    assert_true(write_n(f, 3, 1000000, &d));
    assert_true(write_n(f, 1, 1000000, &d)); /* late ... */
    assert_false(write_n(f, 1, 1000000, &d)); /* ... but once */
    assert_true(write_n(f, 2 + RTP_SENT_NUMBERS, 1000000, &d));
    assert_false(write_n(f, 2, 1000000, &d)); /* so late that nobody knows */
    assert_true(write_n(f, 4, 1000000, &d));
    assert_true(write_n(f, 9000, 1000000, &d));
    assert_true(write_n(f, 8999, 1000000, &d));
    assert_false(write_n(f, 9000, 1000000, &d));
}

/* REMB's receivers are told when each packet left, also what goes by RTX. */
static void a_send_time_is_that_of_each_sending(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;
    struct rtp_ext e;
    uint32_t first, again;

    cfg.ext_id[RTP_EXT_ABS_SEND_TIME] = 6;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    send_and_cache(f, 0, 1000000, &d);
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 6));
    assert_true(rtp_ext_abs_send_time_parse(&first, e.data, e.len));
    assert_false(write_n(f, 0, 1000000, &d)); /* a copy */
    assert_true(resend(f, d.view.seq, 1, 1500000, &d));
    assert_int_equal(d.view.ssrc, cfg.rtx_ssrc);
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 6));
    assert_true(rtp_ext_abs_send_time_parse(&again, e.data, e.len));
    assert_in_range(again - first, (1 << 18) / 2 - 1, (1 << 18) / 2 + 1); /* half a second */

    cfg.rtx_ssrc = 0;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    assert_true(write_n(f, 0, 1000000, &d));
    assert_false(resend(f, d.view.seq, 1, 2000000, &d)); /* another packet under the same index */
    assert_int_equal(f->s.counters.resend_refused, 1);
}

static void what_cannot_be_sent_again_is_counted_by_its_cause(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 10; n++)
        if (n != 4)
            send_and_cache(f, n, 0, &d);
    assert_false(resend(f, 504, 1, 0, &d));   /* never came */
    assert_false(resend(f, 510, 1, 0, &d));   /* not sent yet */
    assert_false(resend(f, 499, 1, 0, &d));   /* before the first */
    assert_false(resend(f, 503, 2, 0, &d));   /* the cache is of another epoch */
    assert_int_equal(f->s.counters.resend_gone, 4);
    assert_true(resend(f, 503, 1, 10000, &d));
    assert_false(resend(f, 503, 1, 14000, &d)); /* still on its way */
    assert_true(resend(f, 503, 1, 15000, &d));
    f->s.rtt_us = 80000;
    assert_false(resend(f, 503, 1, 54000, &d));
    assert_true(resend(f, 503, 1, 55000, &d));
    f->s.budget_bytes = 99;
    assert_false(resend(f, 505, 1, 60000, &d));
    assert_int_equal(f->s.counters.resend_refused, 3);
    assert_int_equal(f->s.counters.nacked, 10);
    assert_int_equal(f->s.counters.resent, 3);
    send_and_cache(f, 10, 0, &d); /* what is sent earns half of it */
    assert_true(resend(f, 505, 1, 60000, &d));
}

static void the_segment_before_can_be_asked_for_within_an_epoch(void **state)
{
    struct fixture *f = *state;
    struct sent d, again;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 4; n++)
        send_and_cache(f, n, 0, &d);
    struct sent third = d; /* 503 */
    assert_int_equal(rtp_view_parse(&third.view, third.bytes, third.len), RTP_OK);
    start(f, 20, 1, 0);    /* went on elsewhere */
    send_and_cache(f, 20, 0, &d);
    assert_int_equal(d.view.seq, 504);
    assert_true(resend(f, 503, 1, 10000, &again));
    assert_memory_equal(again.view.payload + 2, third.view.payload, 100);
    assert_int_equal(again.view.ts_ticks, third.view.ts_ticks);
    assert_true(resend(f, 504, 1, 10000, &again));
    assert_memory_equal(again.view.payload + 2, d.view.payload, 100);
    start(f, 40, 2, 0); /* a new epoch: the cache holds other packets under those numbers */
    assert_false(resend(f, 503, 2, 20000, &again));
}

/* ---- reports --------------------------------------------------------------------------------------------------------- */

static void a_report_pairs_capture_time_and_timestamp(void **state)
{
    struct fixture *f = *state;
    struct rtcp_report sr;
    struct sent d;

    assert_false(rtp_sender_report(&f->s, 0, &sr));
    start(f, 0, 1, 1000000);
    for (uint64_t n = 0; n < 60; n++) /* 29 frames after the first: 966,667 us */
        assert_true(write_n(f, n, 1000000 + n / 2 * 33333, &d));
    assert_true(rtp_sender_report(&f->s, 1000000 + 29 * 33333 + 500000, &sr));
    assert_true(sr.sender);
    assert_int_equal(sr.ssrc, 0x10);
    assert_int_equal(sr.packets, 60);
    assert_int_equal(sr.octets, 6000);
    assert_int_equal(sr.ts_ticks, d.view.ts_ticks + 45000);
    assert_in_range(ntp_to_unix_us(sr.ntp), UNIX0 + 966666 + 500000 - 1, UNIX0 + 966666 + 500000 + 1);
}

static void there_is_no_report_while_catching_up(void **state)
{
    struct fixture *f = *state;
    struct rtcp_report sr;
    struct sent d;

    /* 1 s behind, caught up in 0.25 s: live is met at 1.25 s of media, frame 38 */
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .pt = 96, .clock_hz = HZ, .first_seq = SEQ0, .first_ts = TS0,
                     .live_ts = TS0 + 90000, .run_us = 250000}, 0);
    for (uint64_t n = 0; n < 76; n++)
        assert_true(write_n(f, n, 200000, &d));
    assert_false(rtp_sender_report(&f->s, 200000, &sr));
    assert_true(write_n(f, 76, 300000, &d));
    assert_true(rtp_sender_report(&f->s, 300000, &sr));
    assert_int_equal(sr.ts_ticks, d.view.ts_ticks);
    rtp_sender_stop(&f->s);
    assert_false(rtp_sender_report(&f->s, 300000, &sr));
    start(f, 500, 2, 400000); /* the counts are of the old epoch's packets: nothing was sent in this one */
    assert_false(rtp_sender_report(&f->s, 400000, &sr));
}

static void the_round_trip_comes_from_the_report_that_is_answered(void **state)
{
    struct fixture *f = *state;
    struct rtcp_report sr;
    struct sent d;

    start(f, 0, 1, 0);
    assert_true(write_n(f, 0, 0, &d));
    assert_true(write_n(f, 2, 0, &d));
    assert_true(rtp_sender_report(&f->s, 1000000, &sr));
    struct rtcp_report_block b = {.ssrc = 0x10, .lsr = (uint32_t)(sr.ntp >> 16), .dlsr = 65536 / 2, .lost_fraction = 12,
                                  .lost_total = 34, .jitter_ticks = 56};
    rtp_sender_on_report(&f->s, &b, 1000000 + 500000 + 40000);
    assert_int_equal(f->s.rtt_us, 40000);
    assert_int_equal(f->s.lost_fraction, 12);
    assert_int_equal(f->s.lost_total, 34);
    assert_int_equal(f->s.jitter_ticks, 56);
    b.lsr++; /* not a report of ours */
    rtp_sender_on_report(&f->s, &b, 9000000);
    assert_int_equal(f->s.rtt_us, 40000);
    b.lsr--;
    rtp_sender_on_report(&f->s, &b, 1000000 + 500000 + 120000);
    assert_int_equal(f->s.rtt_us, 50000); /* an eighth of the way */
    b.lost_total = -3;
    rtp_sender_on_report(&f->s, &b, 0); /* a dlsr that passes what has elapsed */
    assert_int_equal(f->s.lost_total, 0);
}

#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(the_first_packet_has_the_random_start),
        IN_FIXTURE(a_gap_is_kept_and_filled_by_the_late_packet),
        IN_FIXTURE(what_is_not_of_the_segment_is_not_sent),
        IN_FIXTURE(numbers_and_index_run_over_the_wrap),
        IN_FIXTURE(the_timeline_runs_on_over_epochs_by_the_time_that_passed),
        IN_FIXTURE(a_jump_of_the_source_is_not_passed_on),
        IN_FIXTURE(catching_up_takes_a_fourth_of_the_time_within_bounds),
        IN_FIXTURE(squeezed_timestamps_rise_and_meet_live),
        IN_FIXTURE(extensions_get_the_viewers_ids),
        IN_FIXTURE(capture_time_is_told_where_a_frame_begins),
        IN_FIXTURE(the_least_delay_is_told_with_each_keyframe_unless_the_publisher_says_one),
        IN_FIXTURE(the_largest_packet_with_the_longest_extensions_still_fits),
        IN_FIXTURE(rtx_has_its_own_numbers_and_the_original_in_front),
        IN_FIXTURE(without_rtx_the_very_same_packet_goes_out_again),
        IN_FIXTURE(red_carries_the_packet_directly_before),
        IN_FIXTURE(red_that_cannot_be_built_again_is_not_sent_again),
        IN_FIXTURE(red_with_transport_cc_uses_no_index_twice),
        IN_FIXTURE(a_packet_within_a_frame_has_only_its_transport_wide_number),
        IN_FIXTURE(with_transport_cc_no_index_is_used_twice),
        IN_FIXTURE(a_send_time_is_that_of_each_sending),
        IN_FIXTURE(what_cannot_be_sent_again_is_counted_by_its_cause),
        IN_FIXTURE(the_segment_before_can_be_asked_for_within_an_epoch),
        IN_FIXTURE(a_report_pairs_capture_time_and_timestamp),
        IN_FIXTURE(there_is_no_report_while_catching_up),
        IN_FIXTURE(the_round_trip_comes_from_the_report_that_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
