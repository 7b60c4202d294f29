/* SPDX-License-Identifier: Apache-2.0
 * test_http_hold.c - HTTP-FLV over loopback: pictures that wait for the next one, on the way from the router to a viewer. */
#include "http_scene.h"

static int begin_holding(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){.hold_us = 10000000});
    return 0;
}

static int begin_holding_shortly(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){.hold_us = 50000});
    return 0;
}

/* Packets before the nth picture (from 0) after those. */
static size_t picture_position(size_t from, size_t n)
{
    for (size_t i = from; i < source.n_packets; i++)
        if (source.packets[i]->track == 0 && source.packets[i]->flags & PACKET_FRAME_START && n-- == 0)
            return i;
    fail();
    return 0;
}

/* Pictures only; sound would leave with them. */
static size_t push_picture(size_t at)
{
    size_t next = picture_position(at + 1, 0);

    for (size_t i = at; i < next; i++)
        if (source.packets[i]->track == 0)
            push(i);
    test_loop_run_for(&scene.loop, 5000);
    return next;
}

static void pictures_wait_and_leave_together_and_keyframes_at_once(void **state)
{
    struct client c;
    size_t at = key_position(1), key = key_position(2);

    (void)state;
    publish();
    play(0, at);
    join(&c, "GET");
    test_loop_run_for(&scene.loop, 5000);
    uint64_t chunks = counters().mux.chunks, pictures = counters().mux.video_frames;
    at = push_picture(at);
    assert_int_equal(counters().mux.chunks, chunks + 1); /* the keyframe */
    size_t got = c.got.len;
    while (at < key)
        at = push_picture(at);
    assert_int_equal(counters().mux.video_frames, pictures + 25);
    assert_int_equal(counters().mux.chunks, chunks + 1); /* the others wait, for 10 s */
    assert_int_equal(c.got.len, got);
    at = push_picture(at);
    assert_int_equal(counters().mux.chunks, chunks + 3); /* those, and the next keyframe */
    assert_true(c.got.len > got);
    (void)push_picture(at);
    assert_int_equal(counters().mux.chunks, chunks + 3);
    unpublish(); /* nothing stays behind */
    client_run(&c);
    assert_int_equal(counters().mux.chunks, chunks + 4);
    assert_int_equal(look(&c).keyframes, 3);
    client_close(&c);
}

static void a_picture_that_waits_in_vain_leaves_by_itself(void **state)
{
    struct client c;
    size_t at = key_position(1);

    (void)state;
    publish();
    play(0, at);
    join(&c, "GET");
    at = push_picture(at);
    uint64_t chunks = counters().mux.chunks;
    (void)push_picture(at);
    for (int i = 0; i < 2000 && counters().mux.chunks == chunks; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().mux.chunks, chunks + 1);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(pictures_wait_and_leave_together_and_keyframes_at_once, begin_holding, end),
        cmocka_unit_test_setup_teardown(a_picture_that_waits_in_vain_leaves_by_itself, begin_holding_shortly, end),
    };

    return cmocka_run_group_tests(tests, make_source, drop_source);
}
