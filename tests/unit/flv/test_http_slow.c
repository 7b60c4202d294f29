/* SPDX-License-Identifier: Apache-2.0
 * test_http_slow.c - HTTP-FLV for readers that are slow or read nothing, layers that are not sent, sound that waits for pictures. */
#include "http_scene.h"

#include <sys/socket.h>

static void add_queued(void *arg, const struct flv_viewer_facts *v)
{
    *(size_t *)arg += v->queued_bytes;
}

static size_t all_queued(void)
{
    size_t bytes = 0;

    flv_each(flv, add_queued, &bytes);
    return bytes;
}

/* Enough rounds that the kernel's socket buffers are full too. */
static void a_slow_reader_skips_to_a_keyframe_and_the_other_gets_all(void **state)
{
    struct client slow, good;
    int small = 16 << 10;
    size_t rounds = 0;

    (void)state;
    open_all(&(struct flv_cfg){.queue_bytes = 200 << 10, .queue_ms = 1000000, .reorder_wait_us = 1});
    join(&slow, "GET");
    setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    join(&good, "GET");
    publish();
    play_round();
    client_read(&slow, false);
    for (rounds = 1; rounds < 40 && counters().dropped_to_keyframe == 0; rounds++)
        play_round();
    assert_int_equal(counters().dropped_to_keyframe, 1);
    play_round(); /* not for the slow one */
    client_read(&slow, true);
    while (all_queued() > 0) /* it takes what was queued */
        test_loop_run_for(&scene.loop, 2000);
    play_round();
    unpublish();
    client_run(&slow);
    client_run(&good);
    struct seen of_slow = look(&slow), of_good = look(&good);
    assert_int_equal(of_good.gaps, 0);
    assert_int_equal(of_good.video, (rounds + 2) * source.n_video);
    assert_int_equal(of_slow.gaps, 1);
    assert_int_equal(of_slow.gaps_to_key, 1);
    assert_int_equal(of_slow.last_ms, of_good.last_ms);
    assert_int_equal(counters().dropped_to_keyframe, 1);
    client_close(&slow);
    client_close(&good);
    end(state);
}

static void a_reader_too_far_behind_in_time_skips_too(void **state)
{
    struct client slow;
    int small = 16 << 10;

    (void)state;
    open_all(&(struct flv_cfg){.queue_bytes = 64 << 20, .queue_ms = 8000, .reorder_wait_us = 1});
    join(&slow, "GET");
    setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    publish();
    play_round();
    receive(&slow, 50000);
    test_loop_run_for(&scene.loop, 20000); /* its beginning has been read */
    client_read(&slow, false);
    for (int i = 0; i < 60 && counters().dropped_to_keyframe == 0; i++)
        play_round();
    assert_true(counters().dropped_to_keyframe >= 1);
    client_close(&slow);
    end(state);
}

static void a_reader_that_reads_nothing_is_dropped_in_the_end(void **state)
{
    struct client dead;
    int small = 16 << 10;

    (void)state;
    open_all(&(struct flv_cfg){.stall_us = 100000, .reorder_wait_us = 1});
    join(&dead, "GET");
    setsockopt(dead.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_read(&dead, false);
    publish();
    for (int i = 0; i < 30; i++)
        play_round();
    for (int i = 0; i < 100 && counters().viewers; i++)
        test_loop_run_for(&scene.loop, 50000);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(counters().stalled, 1);
    client_close(&dead);
    end(state);
}

static void a_simulcast_layer_that_is_not_sent_is_left_for_another(void **state)
{
    struct track_set two = source.tracks;
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.layer_silent_us = 50000});
    two.v[0].n_layers = 2;
    two.v[0].layers[1] = (struct layer){.width = UINT16_MAX, .height = UINT16_MAX}; /* the packets are of layer 0 */
    join(&a, "GET");
    router_publish(router_open(relay.set, "live/test"), &producer, &two);
    router_ready(&producer);
    play(0, key_position(1));
    assert_int_equal(counters().joins, 0);
    for (int i = 0; i < 100 && !(router_want(producer.router) & want_bit(0, 0)); i++)
        test_loop_run_for(&scene.loop, 20000);
    play(key_position(1), source.n_packets);
    assert_int_equal(counters().joins, 1);
    unpublish();
    client_run(&a);
    struct seen seen = look(&a);
    assert_true(seen.starts_with_key);
    assert_int_equal(seen.video, 75);
    client_close(&a);
    end(state);
}

/* The camera is off: one layer after the other is tried, and nothing of that is heard. */
static void while_no_simulcast_layer_is_sent_sound_goes_on(void **state)
{
    struct track_set two = source.tracks;
    struct client a;
    enum { ROUNDS = 5 };

    (void)state;
    open_all(&(struct flv_cfg){.layer_silent_us = 50000});
    two.v[0].n_layers = 2;
    join(&a, "GET");
    router_publish(router_open(relay.set, "live/test"), &producer, &two);
    router_ready(&producer);
    play_round();
    for (int n = 0; n < ROUNDS; n++, round_++) {
        uint64_t want = router_want(producer.router);
        for (int i = 0; i < 100 && router_want(producer.router) == want; i++)
            test_loop_run_for(&scene.loop, 20000);
        for (size_t i = 0; i < source.n_packets; i++)
            if (source.packets[i]->track == 1)
                push(i);
        test_loop_run_for(&scene.loop, 0);
    }
    unpublish();
    client_run(&a);
    assert_in_range(look(&a).audio, (ROUNDS + 1) * source.n_audio - 2 * ROUNDS, (ROUNDS + 1) * source.n_audio);
    client_close(&a);
    end(state);
}

/* A packet a turn: what leaves together was put together by the waiting. */
static void play_slowly(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        push(i);
        test_loop_run_for(&scene.loop, 0);
    }
}

static void sound_leaves_with_the_next_picture(void **state)
{
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.sound_wait_us = 60000000});
    join(&a, "GET");
    publish();
    play_slowly(0, source.n_packets);
    struct flv_mux_counters mux = counters().mux;
    assert_int_equal(mux.video_frames, source.n_video);
    assert_int_equal(mux.audio_frames, source.n_audio);
    assert_in_range(mux.chunks, source.n_video, source.n_video + 4); /* what waits at a keyframe goes before it */
    unpublish();
    client_run(&a);
    assert_int_equal(look(&a).audio, source.n_audio); /* the last of it at the end */
    client_close(&a);
    end(state);
}

static void sound_does_not_wait_long_for_a_picture(void **state)
{
    struct client a;
    size_t sounds = 0;

    (void)state;
    open_all(&(struct flv_cfg){.sound_wait_us = 3000});
    join(&a, "GET");
    publish();
    play(0, key_position(1));
    uint64_t chunks = counters().mux.chunks;
    for (size_t i = key_position(1); sounds < 10; i++) {
        if (source.packets[i]->track == 0)
            continue;
        push(i);
        sounds++;
    }
    test_loop_run_for(&scene.loop, 0);
    assert_int_equal(counters().mux.chunks, chunks);
    for (int i = 0; i < 1000 && counters().mux.chunks == chunks; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().mux.chunks, chunks + 1);
    client_close(&a);
    end(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slow_reader_skips_to_a_keyframe_and_the_other_gets_all),
        cmocka_unit_test(a_reader_too_far_behind_in_time_skips_too),
        cmocka_unit_test(a_reader_that_reads_nothing_is_dropped_in_the_end),
        cmocka_unit_test(a_simulcast_layer_that_is_not_sent_is_left_for_another),
        cmocka_unit_test(while_no_simulcast_layer_is_sent_sound_goes_on),
        cmocka_unit_test(sound_leaves_with_the_next_picture),
        cmocka_unit_test(sound_does_not_wait_long_for_a_picture),
    };
    return cmocka_run_group_tests(tests, make_source, drop_source);
}
