/* SPDX-License-Identifier: Apache-2.0
 * test_frames.c - which frames are whole, when the picture is broken, when it freezes. */
#include "base/compiler.h"
#include "load/rtp_frames.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { INTERVAL_US = 33333, PACKETS = 3 /* a frame */ };

struct scene {
    struct tally *tally;
    struct rtp_frames *frames;
    unsigned keyframes;
    uint64_t keyframe_at_us;
};

static void on_keyframe(void *arg, uint64_t at_us)
{
    struct scene *s = arg;
    s->keyframes++;
    s->keyframe_at_us = at_us;
}

static int set_up(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    s->tally = calloc(1, sizeof(*s->tally));
    s->frames = calloc(1, sizeof(*s->frames));
    rtp_frames_init(s->frames, s->tally, on_keyframe, s);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    free(s->tally);
    free(s->frames);
    free(s);
    return 0;
}

/* Packet k of frame n; number 1000 is the first. at_us: 0 means at the frame's time. */
static void push(struct scene *s, unsigned n, unsigned k, bool key, uint64_t at_us)
{
    uint64_t ts_us = (uint64_t)n * INTERVAL_US;

    rtp_frames_push(s->frames, &(struct rtp_frames_packet){.seq = 1000 + n * PACKETS + k, .ts_us = ts_us,
                                                           .at_us = at_us ? at_us : 1000000 + ts_us,
                                                           .marker = k == PACKETS - 1, .keyframe = key && k == 0});
}

static void push_frame(struct scene *s, unsigned n, bool key)
{
    for (unsigned k = 0; k < PACKETS; k++)
        push(s, n, k, key, 0);
}

static void frames_count_from_the_first_whole_keyframe_on(void **state)
{
    struct scene *s = *state;

    push(s, 0, 1, false, 0); /* joined in the middle of a frame */
    push(s, 0, 2, false, 0);
    push_frame(s, 1, false);
    assert_int_equal(s->tally->frames, 0);
    push(s, 2, 0, true, 0);
    push(s, 2, 1, true, 0);
    assert_int_equal(s->keyframes, 0);
    push(s, 2, 2, true, 0);
    assert_int_equal(s->keyframes, 1);
    push_frame(s, 3, false);
    assert_int_equal(s->tally->frames, 2);
    assert_int_equal(s->tally->keyframes, 1);
    assert_int_equal(s->tally->breaks, 0);
}

static void a_packet_that_comes_late_completes_its_frame_then(void **state)
{
    struct scene *s = *state;

    push_frame(s, 0, true);
    push(s, 1, 0, false, 0);
    push(s, 1, 2, false, 0);
    push_frame(s, 2, false);
    assert_int_equal(s->tally->frames, 1);
    push(s, 1, 1, false, 1100000);
    assert_int_equal(s->tally->frames, 3);
    assert_int_equal(s->tally->breaks, 0);
    push(s, 1, 1, false, 1200000); /* again */
    assert_int_equal(s->tally->frames, 3);
}

static void a_lost_packet_breaks_the_picture_until_the_next_keyframe(void **state)
{
    struct scene *s = *state;

    push_frame(s, 0, true);
    push(s, 1, 0, false, 0);
    push(s, 1, 2, false, 0);
    push_frame(s, 2, false);
    rtp_frames_lose(s->frames, 1000 + PACKETS, 1000 + 2 * PACKETS, 0); /* those that are here are not lost */
    assert_int_equal(s->tally->frames, 1);
    assert_int_equal(s->tally->breaks, 1);
    push_frame(s, 3, false);
    assert_int_equal(s->tally->frames, 1);
    push_frame(s, 4, true);
    push_frame(s, 5, false);
    assert_int_equal(s->tally->frames, 3);
    assert_int_equal(s->tally->breaks, 1);
    assert_int_equal(s->keyframes, 2);
}

static void a_lost_end_of_a_frame_does_not_spoil_the_keyframe_after_it(void **state)
{
    struct scene *s = *state;

    push_frame(s, 0, true);
    push(s, 1, 0, false, 0);
    push(s, 1, 1, false, 0);
    push_frame(s, 2, true);
    rtp_frames_lose(s->frames, 1000 + PACKETS + 2, 1000 + PACKETS + 2, 0);
    assert_int_equal(s->tally->frames, 2);
    assert_int_equal(s->keyframes, 2);
    assert_int_equal(s->tally->breaks, 1);
}

static void what_leaves_the_window_is_lost(void **state)
{
    struct scene *s = *state;

    push_frame(s, 0, true);
    for (unsigned n = 2; n < 2 + RTP_FRAMES_WINDOW / PACKETS; n++)
        push_frame(s, n, false);
    assert_int_equal(s->tally->breaks, 1);
    push_frame(s, 2 + RTP_FRAMES_WINDOW / PACKETS, true);
    assert_int_equal(s->keyframes, 2);
    /* and a jump far ahead begins anew */
    push_frame(s, 100000, true);
    assert_int_equal(s->keyframes, 3);
    push_frame(s, 5, true); /* long past */
    assert_int_equal(s->keyframes, 3);
}

static void the_first_packets_of_frames_are_known(void **state)
{
    struct scene *s = *state;

    assert_true(rtp_frames_begins(s->frames, 7, 1)); /* nothing is known yet */
    push(s, 0, 1, true, 0);
    assert_false(rtp_frames_begins(s->frames, 1002, PACKETS)); /* nor whether it began before that */
    push(s, 0, 2, true, 0);
    for (unsigned k = 0; k < PACKETS; k++) {
        for (unsigned n = 1; n <= PACKETS; n++)
            assert_int_equal(rtp_frames_begins(s->frames, 1000 + PACKETS + k, n), k < n);
        push(s, 1, k, false, 0);
    }
    push(s, 2, 0, false, 0);
    assert_false(rtp_frames_begins(s->frames, 1000 + 2 * PACKETS + 2, 1));
    push(s, 2, 2, false, 0);
    for (unsigned n = 1; n <= PACKETS; n++) { /* after a marker, though one is missing */
        assert_true(rtp_frames_begins(s->frames, 1000 + 3 * PACKETS, n));
        assert_int_equal(rtp_frames_begins(s->frames, 1000 + 3 * PACKETS + 1, n), n > 1);
    }
    rtp_frames_lose(s->frames, 1000 + 2 * PACKETS + 1, 1000 + 2 * PACKETS + 1, 0);
    assert_true(rtp_frames_begins(s->frames, 1000 + 3 * PACKETS, 1));
    assert_false(rtp_frames_begins(s->frames, 1000 + 2 * PACKETS, PACKETS)); /* done with */
    push(s, 3, 0, false, 0);
    rtp_frames_lose(s->frames, 1000 + 3 * PACKETS + 1, 1000 + 3 * PACKETS + 1, 0);
    assert_false(rtp_frames_begins(s->frames, 1000 + 3 * PACKETS + 2, PACKETS)); /* what is lost may have ended it */
}

static void a_gap_beyond_three_intervals_and_150_ms_is_a_freeze(void **state)
{
    static const struct {
        uint64_t gap_us;
        unsigned freezes;
    } rows[] = {{33333, 0}, {100000, 0}, {183000, 0}, {184000, 1}, {2000000, 1}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct tally *t = calloc(1, sizeof(*t));
        struct frame_watch f = {.tally = t};
        uint64_t at_us = 5000000;

        for (unsigned n = 0; n < 30; n++, at_us += INTERVAL_US)
            frame_watch_push(&f, at_us, (uint64_t)n * INTERVAL_US, n == 0);
        at_us += rows[i].gap_us - INTERVAL_US;
        frame_watch_push(&f, at_us, 30 * (uint64_t)INTERVAL_US, false);
        assert_int_equal(t->freezes, rows[i].freezes);
        assert_int_equal(t->frozen_us, rows[i].freezes ? rows[i].gap_us : 0);
        assert_int_equal(t->freeze_us.count, rows[i].freezes);
        frame_watch_end(&f, at_us + 1000000); /* and nothing more came */
        assert_int_equal(t->freezes, rows[i].freezes + 1);
        free(t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_count_from_the_first_whole_keyframe_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_packet_that_comes_late_completes_its_frame_then, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_packet_breaks_the_picture_until_the_next_keyframe, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_lost_end_of_a_frame_does_not_spoil_the_keyframe_after_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_leaves_the_window_is_lost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_packets_of_frames_are_known, set_up, tear_down),
        cmocka_unit_test(a_gap_beyond_three_intervals_and_150_ms_is_a_freeze),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
