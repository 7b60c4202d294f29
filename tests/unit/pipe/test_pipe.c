/* SPDX-License-Identifier: Apache-2.0
 * test_pipe.c - a parent and a child in one loop: streams over real TLS and UDP. */
#include "pair.h"

#include "unit/router/silent.h"

#include <stdlib.h>

static const uint64_t want_all = (uint64_t)0xffff;

/* ---- Packets --------------------------------------------------------------------------------- */

static void packets_arrive_equal_in_every_field(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 7);
    pair_join(p);
    assert_int_equal(p->sink.tracks.epoch, 7);
    struct track_set sent = pair_tracks(7);
    assert_memory_equal(&p->sink.tracks, &sent, sizeof(sent));
    assert_int_equal(p->sink.source.n, 1);
    assert_string_equal(p->sink.source.ids[0], "parent");
    pair_run_for(p, 20000); /* the hello */
    pair_push_run(p, 100000, 400, 100, 16);
    pair_until_size(p, &p->sink.n, 500);
    pair_check_layer(&p->sink, 0, 0, 100000, 400);
    pair_check_layer(&p->sink, 1, 0, 25000, 100);
    for (size_t i = 0; i < p->sink.n; i++)
        pair_check_packet(p, p->sink.packets[i]);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->packets, 500);
    assert_int_equal(c->lost + c->duplicates + c->unauthenticated + c->stale + c->late, 0);
}

static void numbers_go_on_across_every_wrap(void **state)
{
    struct pair *p = *state;
    uint64_t first = ((uint64_t)1 << 32) - 100; /* 16 and 32 bits at once */

    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, first, 200, 1000, 10);
    pair_until_size(p, &p->sink.n, 250);
    pair_check_layer(&p->sink, 0, 0, first, 200);
    uint64_t far = first + ((uint64_t)1 << 40) + 40000; /* a gap of many roll-overs */
    pair_push(p, 0, 0, far, true);
    pair_until_size(p, &p->sink.n, 251);
    pair_check_packet(p, p->sink.packets[250]);
}

static bool lose_each_tenth(uint32_t ssrc, uint16_t seq)
{
    (void)ssrc;
    return seq % 10 == 3;
}

static void what_is_lost_comes_again_as_the_very_same_bytes(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_each_tenth;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 70000, 1000, 100, 20);
    router_unpublish(&p->producer, STREAM_UNPUBLISHED, false); /* the last packet is lost: the end shows that */
    pair_until_set(p, &p->sink.ended);
    assert_int_equal(p->sink.n, 1250);
    pair_check_layer(&p->sink, 0, 0, 70000, 1000);
    pair_check_layer(&p->sink, 1, 0, 17500, 250);
    for (size_t i = 0; i < p->sink.n; i++)
        pair_check_packet(p, p->sink.packets[i]);
    assert_in_range(pair_path()->lost, 100, 130);
    assert_int_equal(pair_path()->differing, 0);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_in_range(c->lost, pair_path()->lost, pair_path()->lost * 5 / 4); /* held up, it asks for what waits in its own socket */
    assert_int_equal(c->recovered, c->lost);
    assert_int_equal(c->given_up, 0);
    assert_in_range(pipe_server_counters(p->server).total.retransmitted, pair_path()->lost, c->requested);
}

static bool lose_the_tail(uint32_t ssrc, uint16_t seq)
{
    return ssrc % 64 == 0 && seq == (uint16_t)70099;
}

/* For longer than the beginning of the pictures would be waited for. */
static void the_end_waits_for_the_last_packet(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_the_tail;
    pair_path()->again = 50;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 70000, 100, 1000, 20);
    router_unpublish(&p->producer, STREAM_UNPUBLISHED, false);
    pair_until_set(p, &p->sink.ended);
    assert_int_equal(pair_path()->again, 0);
    pair_check_layer(&p->sink, 0, 0, 70000, 100);
}

static bool lose_a_stretch(uint32_t ssrc, uint16_t seq)
{
    return ssrc % 64 == 0 && seq >= 10000 && seq < 10300;
}

static void a_burst_of_losses_is_one_request(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_a_stretch;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 65536 + 9900, 600, 1000, 50);
    pair_until_size(p, &p->sink.n, 750);
    pair_check_layer(&p->sink, 0, 0, 65536 + 9900, 600);
    assert_int_equal(pair_path()->lost, 300);
    assert_int_equal(pair_path()->differing, 0);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->requested, 300);
}

static bool lose_a_long_stretch(uint32_t ssrc, uint16_t seq)
{
    return ssrc % 64 == 0 && seq >= 10000 && seq < 13000;
}

/* A stall of the line: one range, answered in as many goes as the pace takes. */
static void a_stall_of_three_thousand_packets_is_made_good(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_a_long_stretch;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 65536 + 9900, 3200, 1000, 50);
    pair_until_size(p, &p->sink.n, 4000);
    pair_check_layer(&p->sink, 0, 0, 65536 + 9900, 3200);
    assert_int_equal(pair_path()->lost, 3000);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->recovered, 3000);
    assert_int_equal(c->given_up, 0);
}

/* ---- Joining --------------------------------------------------------------------------------- */

static void a_late_child_gets_the_newest_keyframe_and_all_after_it(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_push_run(p, 100000, 950, 300, 50); /* keyframes at 100200, 100500, 100800 */
    pair_join(p);
    pair_until(p, &p->sink.caught_up, 1);
    assert_int_equal(pair_count(&p->sink, 0, 0), 150);
    assert_int_equal(p->sink.n_at_caught_up, p->sink.n);
    pair_push_run(p, 100950, 100, 300, 10);
    pair_until_size(p, &p->sink.n, 150 + 100 + 62);
    pair_run_for(p, 50000);
    pair_check_layer(&p->sink, 0, 0, 100800, 250);
    pair_check_layer(&p->sink, 1, 0, 25200, 62);
    assert_int_equal(p->sink.packets[0]->seq, 100800); /* in the order they came */
    assert_int_equal(pipe_subscription_counters(p->sink.s)->duplicates, 0);
    assert_int_equal(p->sink.caught_up, 1);
}

static void the_past_goes_on_as_it_comes_and_has_its_end_when_the_parent_has_it(void **state)
{
    struct pair *p = *state;
    struct track_set tracks = pair_tracks(1);

    p->producer.passes = true;
    router_publish(p->router, &p->producer, &tracks);
    pair_join(p);
    pair_push_run(p, 100000, 100, 1000, 10); /* the parent's own past, on its way from the one before it */
    pair_until_size(p, &p->sink.n, 125);
    pair_run_for(p, 20000);
    assert_int_equal(p->sink.caught_up, 0);
    pair_push_run(p, 100100, 100, 1000, 10);
    pair_until_size(p, &p->sink.n, 250);
    assert_int_equal(p->sink.caught_up, 0);
    router_ready(&p->producer);
    pair_until(p, &p->sink.caught_up, 1);
    pair_push_run(p, 100200, 100, 1000, 10); /* live */
    pair_until_size(p, &p->sink.n, 375);
    pair_check_layer(&p->sink, 0, 0, 100000, 300);
    pair_check_layer(&p->sink, 1, 0, 25000, 75);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->lost, 0);
    assert_int_equal(p->sink.caught_up, 1);
}

static void a_child_joins_while_packets_come_without_missing_or_doubling_any(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_push_run(p, 100000, 3000, 3000, 500); /* a keyframe at 102000 */
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_all});
    pair_push_run(p, 103000, 900, 3000, 3);
    pair_until_size(p, &p->sink.n, 1900 + 475);
    pair_run_for(p, 50000);
    pair_check_layer(&p->sink, 0, 0, 102000, 1900);
    pair_check_layer(&p->sink, 1, 0, 25500, 475);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->duplicates, 0);
    assert_int_equal(c->requested, 0);
}

/* A turn of more packets than a batch, in which the child goes live: none is taken for sent already, none sent twice. */
static void a_child_goes_live_in_the_middle_of_a_turn(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    pair_run_for(p, 20000);
    pair_push_run(p, 100000, 600, 3000, 0);
    pair_until_size(p, &p->sink.n, 750);
    pair_run_for(p, 50000);
    pair_check_layer(&p->sink, 0, 0, 100000, 600);
    pair_check_layer(&p->sink, 1, 0, 25000, 150);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->duplicates, 0);
    assert_int_equal(c->requested, 0);
}

static bool lose_the_first_ones(uint32_t ssrc, uint16_t seq)
{
    (void)ssrc;
    return seq == (uint16_t)100800 || seq == (uint16_t)100801;
}

static void a_lost_beginning_is_asked_for(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_the_first_ones;
    pair_publish(p, 1);
    pair_push_run(p, 100000, 950, 300, 50);
    pair_join(p);
    pair_until(p, &p->sink.caught_up, 1); /* which waits for them */
    pair_check_layer(&p->sink, 0, 0, 100800, 150);
    assert_int_equal(pair_path()->lost, 2);
}

static void a_child_goes_on_where_it_stopped(void **state)
{
    struct pair *p = *state;
    const struct pipe_position from[] = {{0, 0, 100123}, {1, 0, 25030}};

    pair_publish(p, 5);
    pair_push_run(p, 100000, 950, 300, 50);
    pair_subscribe(p, &p->sink,
                   &(struct pipe_subscribe_cfg){.want = want_all, .epoch = 5, .from = from, .n_from = 2});
    pair_until_size(p, &p->sink.n, 827 + 207);
    pair_check_layer(&p->sink, 0, 0, 100123, 827);
    pair_check_layer(&p->sink, 1, 0, 25030, 207);
}

static void positions_of_another_epoch_are_not_used(void **state)
{
    struct pair *p = *state;
    const struct pipe_position from[] = {{0, 0, 100123}};

    pair_publish(p, 6);
    pair_push_run(p, 100000, 950, 300, 50);
    pair_subscribe(
        p, &p->sink,
        &(struct pipe_subscribe_cfg){.want = want_bit(0, 0), .epoch = 5, .from = from, .n_from = 1});
    pair_until(p, &p->sink.caught_up, 1);
    pair_check_layer(&p->sink, 0, 0, 100800, 150);
}

static void what_the_parent_no_longer_has_is_given_up_and_counted(void **state)
{
    struct pair *p = *state;
    const struct pipe_position from[] = {{0, 0, 99990}};

    pair_publish(p, 5);
    pair_push_run(p, 100000, 100, 300, 50);
    pair_subscribe(
        p, &p->sink,
        &(struct pipe_subscribe_cfg){.want = want_bit(0, 0), .epoch = 5, .from = from, .n_from = 1});
    pair_until(p, &p->sink.caught_up, 1);
    pair_check_layer(&p->sink, 0, 0, 100000, 100);
    pair_run_for(p, 1200000); /* the playout deadline */
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->given_up, 10);
    assert_int_equal(c->gone, 10);
    assert_in_range(c->requested, 10, 60);
    assert_in_range(pipe_server_counters(p->server).total.gone, 10, c->requested);
}

static const struct producer_ops deaf_producer = {.on_want = ignore_want, .on_keyframe = ignore_keyframe};

static void a_long_backfill_does_not_hold_up_another_stream(void **state)
{
    struct pair *p = *state;
    struct pair_sink *other = calloc(1, sizeof(*other));
    struct router *second = router_open(p->routers, "live/second");
    struct producer producer = {.ops = &deaf_producer, .kind = "test"};
    struct track_set tracks = pair_tracks(1);

    assert_non_null(other);
    router_publish(second, &producer, &tracks);
    router_ready(&producer);
    pair_publish(p, 1);
    pair_push_run(p, 100000, 8000, 8000, 1000); /* a keyframe at 104000: 4,000 packets of backfill */
    pair_subscribe(p, other, &(struct pipe_subscribe_cfg){.stream = "live/second", .want = want_all});
    pair_until(p, &other->subscribed, 1);
    pair_run_for(p, 20000);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_all});
    pair_until_size(p, &p->sink.n, 10);
    for (size_t i = 0; i < 20; i++) {
        router_push(second, pair_packet(p, 0, 0, 70000 + i, i == 0));
        pair_until_size(p, &other->n, i + 1);
        assert_true(i > 0 || p->sink.n < 3000); /* it is under way */
    }
    pair_until(p, &p->sink.caught_up, 1);
    pair_check_layer(&p->sink, 0, 0, 104000, 4000);
    pair_sink_fini(other);
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
    free(other);
}

/* ---- Wants ----------------------------------------------------------------------------------- */

static void push_both_layers(struct pair *p, uint64_t seq, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pair_push(p, 0, 0, seq + i, (seq + i) % 100 == 0);
        pair_push(p, 0, 1, seq + 50000 + i, (seq + i) % 100 == 0);
        if (i % 10 == 9)
            pair_run_for(p, 1000);
    }
}

static void only_what_is_wanted_is_sent_and_a_new_layer_begins_at_its_keyframe(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_bit(0, 0)});
    pair_until(p, &p->sink.subscribed, 1);
    assert_int_equal(p->producer_want, want_bit(0, 0));
    push_both_layers(p, 100000, 250);
    pair_until_size(p, &p->sink.n, 250);
    assert_int_equal(pair_count(&p->sink, 0, 1), 0);

    pipe_subscription_want(p->sink.s, want_bit(0, 0) | want_bit(0, 1));
    pair_until_size(p, &p->sink.n, 250 + 50);
    assert_int_equal(p->producer_want, want_bit(0, 0) | want_bit(0, 1));
    push_both_layers(p, 100250, 50);
    pair_until_size(p, &p->sink.n, 250 + 50 + 100);
    pair_check_layer(&p->sink, 0, 0, 100000, 300);
    pair_check_layer(&p->sink, 0, 1, 150200, 100);

    pipe_subscription_want(p->sink.s, want_bit(0, 1));
    pair_run_for(p, 20000);
    push_both_layers(p, 100300, 50);
    pair_until_size(p, &p->sink.n, 450);
    pair_check_layer(&p->sink, 0, 0, 100000, 300);
    pair_check_layer(&p->sink, 0, 1, 150200, 150);

    pipe_subscription_want(p->sink.s,
                           want_bit(0, 0) | want_bit(0, 1)); /* back: from its newest keyframe, 100300 */
    pair_until_size(p, &p->sink.n, 500);
    pair_check_layer(&p->sink, 0, 0, 100000, 350);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->requested, 0); /* what was not wanted is not lost */
}

enum { SMALL = 1, LARGE = 3 }; /* wants: layer 0 of the video, or both of it */

static void assert_nothing_came_twice(struct pair *p)
{
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);

    assert_int_equal(c->duplicates, 0);
    assert_int_equal(c->given_up, 0);
}

/* Both layers from 100000 (150000) on, then the upper one is left at `seq`. */
static void watch_and_leave(struct pair *p, uint64_t seq)
{
    pair_publish(p, 1);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = LARGE});
    pair_until(p, &p->sink.subscribed, 1);
    pair_run_for(p, 20000);
    push_both_layers(p, 100000, seq - 100000);
    pair_until_size(p, &p->sink.n, 2 * (seq - 100000) - pair_path()->lost);
    pipe_subscription_want(p->sink.s, SMALL);
    pair_run_for(p, 20000);
}

static void a_layer_wanted_again_goes_on_where_it_stopped_and_nothing_is_sent_twice(void **state)
{
    struct pair *p = *state;

    watch_and_leave(p, 100250); /* its newest keyframe, 150200, has been sent */
    push_both_layers(p, 100250, 30);
    pipe_subscription_want(p->sink.s, LARGE);
    pair_until_size(p, &p->sink.n, 560);
    push_both_layers(p, 100280, 20);
    pair_until_size(p, &p->sink.n, 600);
    pair_check_layer(&p->sink, 0, 1, 150000, 300);
    assert_nothing_came_twice(p);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->requested, 0);
}

static bool lose_the_last_of_the_upper_layer(uint32_t ssrc, uint16_t seq)
{
    return ssrc % PIPE_STREAM_LAYERS == 1 && seq >= (150240 & 0xffff) && seq < (150250 & 0xffff);
}

static void what_was_lost_when_a_layer_was_left_comes_when_it_is_wanted_again(void **state)
{
    struct pair *p = *state;

    pair_path()->lose = lose_the_last_of_the_upper_layer;
    watch_and_leave(p, 100250);
    assert_int_equal(pair_path()->lost, 10);
    assert_int_equal(pair_count(&p->sink, 0, 1), 240);
    pipe_subscription_want(p->sink.s, LARGE);
    push_both_layers(p, 100250, 50);
    pair_until_size(p, &p->sink.n, 600);
    pair_check_layer(&p->sink, 0, 1, 150000, 300);
    assert_nothing_came_twice(p);
}

/* The parent has had nothing of it meanwhile either: what is behind the gap is no use without a keyframe. */
static void a_layer_that_has_not_gone_on_waits_for_its_next_packets(void **state)
{
    struct pair *p = *state;

    watch_and_leave(p, 100250);
    for (uint64_t seq = 150260; seq < 150270; seq++)
        pair_push(p, 0, 1, seq, false);
    pair_run_for(p, 5000);
    pipe_subscription_want(p->sink.s, LARGE);
    pair_run_for(p, 20000);
    assert_int_equal(pair_count(&p->sink, 0, 1), 250);
    for (uint64_t seq = 150300; seq < 150350; seq++)
        pair_push(p, 0, 1, seq, seq == 150300);
    pair_until_size(p, &p->sink.n, 550);
    assert_int_equal(pair_count(&p->sink, 0, 1), 300);
    assert_nothing_came_twice(p);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->requested, 0);
}

/* The parent has missed some of it, the keyframe too, and will not get that any more. */
static void a_gap_of_the_parent_in_a_layer_that_is_wanted_again_is_not_asked_for_all_the_time(void **state)
{
    struct pair *p = *state;

    watch_and_leave(p, 100250);
    for (uint64_t seq = 150250; seq < 150420; seq++)
        if (seq < 150260 || seq >= 150360)
            pair_push(p, 0, 1, seq, false);
    pipe_subscription_want(p->sink.s, LARGE);
    pair_until_size(p, &p->sink.n, 570);
    pair_run_for(p, 1200000); /* the playout deadline */
    assert_int_equal(pair_count(&p->sink, 0, 1), 320);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_int_equal(c->gone, 100);
    assert_int_equal(c->given_up, 100);
    assert_in_range(c->requested, 100, 600);
    pair_run_for(p, 1200000); /* a report */
    assert_int_equal(pipe_server_counters(p->server).total.given_up, 0); /* the pipe has lost nothing */
    assert_int_equal(p->sink.thinned, 0);
}

static void a_want_that_comes_after_the_tracks_starts_the_stream(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_push_run(p, 100000, 250, 100, 50);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = 0});
    pair_until(p, &p->sink.subscribed, 1);
    pair_run_for(p, 30000);
    assert_int_equal(p->sink.n, 0);
    assert_int_equal(p->sink.caught_up, 0);
    pipe_subscription_want(p->sink.s, want_all);
    pair_until(p, &p->sink.caught_up, 1);
    pair_check_layer(&p->sink, 0, 0, 100200, 50);
}

static void a_keyframe_need_reaches_the_producer(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    pipe_subscription_keyframe(p->sink.s, 0, 0);
    pair_until(p, &p->keyframes_asked, 1);
}

/* ---- Epochs and ends ------------------------------------------------------------------------- */

static void a_new_epoch_comes_under_new_keys_in_the_same_subscription(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 3);
    pair_join(p);
    pair_push_run(p, 100000, 100, 50, 10);
    pair_until_size(p, &p->sink.n, 125);
    router_unpublish(&p->producer, STREAM_UNPUBLISHED, false);
    pair_until_set(p, &p->sink.ended);
    assert_int_equal(p->sink.ended, STREAM_UNPUBLISHED);
    pair_publish(p, 4);
    pair_until(p, &p->sink.subscribed, 2);
    assert_int_equal(p->sink.tracks.epoch, 4);
    size_t before = p->sink.n;
    for (uint64_t seq = 100000; seq < 100100; seq++) /* the numbers of before, other packets */
        pair_push(p, 1, 0, seq, false);
    pair_until_size(p, &p->sink.n, before + 100);
    for (size_t i = before; i < p->sink.n; i++)
        pair_check_packet(p, p->sink.packets[i]);
    assert_int_equal(pipe_subscription_counters(p->sink.s)->unauthenticated, 0);
}

static void a_successor_of_the_same_epoch_is_not_noticed(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 3);
    pair_join(p);
    pair_push_run(p, 100000, 100, 50, 10);
    router_unpublish(&p->producer, STREAM_UNREACHABLE, true);
    pair_publish(p, 3);
    pair_push_run(p, 100100, 100, 50, 10);
    pair_until_size(p, &p->sink.n, 250);
    pair_check_layer(&p->sink, 0, 0, 100000, 200);
    assert_int_equal(p->sink.subscribed, 1);
    assert_int_equal(p->sink.ended, 0);
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(packets_arrive_equal_in_every_field),
        PAIR_TEST(numbers_go_on_across_every_wrap),
        PAIR_TEST(what_is_lost_comes_again_as_the_very_same_bytes),
        PAIR_TEST(the_end_waits_for_the_last_packet),
        PAIR_TEST(a_burst_of_losses_is_one_request),
        PAIR_TEST(a_stall_of_three_thousand_packets_is_made_good),
        PAIR_TEST(a_late_child_gets_the_newest_keyframe_and_all_after_it),
        PAIR_TEST(the_past_goes_on_as_it_comes_and_has_its_end_when_the_parent_has_it),
        PAIR_TEST(a_child_joins_while_packets_come_without_missing_or_doubling_any),
        PAIR_TEST(a_child_goes_live_in_the_middle_of_a_turn),
        PAIR_TEST(a_lost_beginning_is_asked_for),
        PAIR_TEST(a_child_goes_on_where_it_stopped),
        PAIR_TEST(positions_of_another_epoch_are_not_used),
        PAIR_TEST(what_the_parent_no_longer_has_is_given_up_and_counted),
        PAIR_TEST(a_long_backfill_does_not_hold_up_another_stream),
        PAIR_TEST(only_what_is_wanted_is_sent_and_a_new_layer_begins_at_its_keyframe),
        PAIR_TEST(a_layer_wanted_again_goes_on_where_it_stopped_and_nothing_is_sent_twice),
        PAIR_TEST(what_was_lost_when_a_layer_was_left_comes_when_it_is_wanted_again),
        PAIR_TEST(a_layer_that_has_not_gone_on_waits_for_its_next_packets),
        PAIR_TEST(a_gap_of_the_parent_in_a_layer_that_is_wanted_again_is_not_asked_for_all_the_time),
        PAIR_TEST(a_want_that_comes_after_the_tracks_starts_the_stream),
        PAIR_TEST(a_keyframe_need_reaches_the_producer),
        PAIR_TEST(a_new_epoch_comes_under_new_keys_in_the_same_subscription),
        PAIR_TEST(a_successor_of_the_same_epoch_is_not_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
