/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_sender.c - numbers, timestamps, extensions and reports towards one viewer; see webrtc/rtp_sender.h. */
#include "sender_scene.h"

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
        IN_FIXTURE(a_report_pairs_capture_time_and_timestamp),
        IN_FIXTURE(there_is_no_report_while_catching_up),
        IN_FIXTURE(the_round_trip_comes_from_the_report_that_is_answered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
