/* SPDX-License-Identifier: Apache-2.0
 * The cache by arrival and by identity: what it finds, what it forgets, where a viewer starts. */
#include "cache/cache.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const uint64_t FIRST = PACKET_SEQ_FIRST;

struct fixture {
    struct pool *pool;
    struct cache *cache;
    struct cache_budget budget;
};

static void open_with(struct fixture *f, struct cache_cfg cfg)
{
    assert_int_equal(packet_pool_create(&f->pool, 100000), 0);
    f->budget = (struct cache_budget){.cap_bytes = SIZE_MAX};
    if (!cfg.budget)
        cfg.budget = &f->budget;
    assert_int_equal(cache_create(&f->cache, &cfg), 0);
}

static void open_roomy(struct fixture *f)
{
    open_with(f, (struct cache_cfg){.cap_bytes = SIZE_MAX, .cap_packets = 1 << 20, .cap_us = UINT64_MAX / 2});
}

static void close_all(struct fixture *f)
{
    cache_destroy(&f->cache);
    pool_destroy(&f->pool);
}

/* A packet of 33 ms each by its number; returns what cache_push says. */
static bool push(struct fixture *f, unsigned track, uint64_t seq, uint8_t flags)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    p->track = (uint8_t)track;
    p->seq = seq;
    p->ts_ticks = seq * 3000;
    p->capture_us = seq * 33333;
    p->flags = flags;
    bool taken = cache_push(f->cache, p);
    packet_unref(&p);
    return taken;
}

static void a_packet_is_found_by_its_identity_and_by_its_place_of_arrival(void **state)
{
    struct fixture f;

    (void)state;
    open_roomy(&f);
    assert_true(push(&f, 0, FIRST, 0));
    assert_true(push(&f, 1, FIRST, 0));
    assert_int_equal(cache_find(f.cache, 0, 0, FIRST)->track, 0);
    assert_int_equal(cache_find(f.cache, 1, 0, FIRST)->track, 1);
    assert_null(cache_find(f.cache, 0, 1, FIRST));
    assert_null(cache_find(f.cache, 0, 0, FIRST + 1));
    assert_null(cache_find(f.cache, 0, 0, FIRST - 1));
    assert_null(cache_find(f.cache, TRACKS_MAX, 0, FIRST));
    assert_null(cache_find(f.cache, 0, LAYERS_MAX, FIRST));
    assert_int_equal(cache_end(f.cache) - cache_begin(f.cache), 2);
    assert_int_equal(cache_at(f.cache, cache_begin(f.cache) + 1)->track, 1);
    assert_null(cache_at(f.cache, cache_end(f.cache)));
    close_all(&f);
}

static void the_same_packet_is_taken_once(void **state)
{
    struct fixture f;

    (void)state;
    open_roomy(&f);
    assert_true(push(&f, 0, FIRST + 5, 0));
    assert_false(push(&f, 0, FIRST + 5, 0));
    assert_int_equal(cache_end(f.cache), 1);
    close_all(&f);
}

static void a_late_packet_fills_its_hole(void **state)
{
    struct fixture f;
    uint64_t first, end;

    (void)state;
    open_roomy(&f);
    assert_true(push(&f, 0, FIRST + 2, 0));
    assert_true(push(&f, 0, FIRST + 4, 0));
    assert_null(cache_find(f.cache, 0, 0, FIRST + 3));
    assert_true(push(&f, 0, FIRST + 3, 0));
    assert_non_null(cache_find(f.cache, 0, 0, FIRST + 3));
    assert_true(push(&f, 0, FIRST + 1, 0)); /* from before the first that came */
    assert_true(cache_range(f.cache, 0, 0, &first, &end));
    assert_int_equal(first, FIRST + 1);
    assert_int_equal(end, FIRST + 5);
    close_all(&f);
}

static void who_goes_on_elsewhere_begins_at_the_lowest_that_is_missing(void **state)
{
    static const uint64_t missing[] = {3, 40, 41, 90};
    static const struct {
        uint64_t back, begins_at;
    } rows[] = {{1000, 3}, {100, 3}, {97, 3}, {96, 40}, {60, 40}, {59, 41}, {58, 90}, {1, 100}, {0, 100}};
    struct fixture f;
    uint64_t seq = 7;

    (void)state;
    open_roomy(&f);
    assert_false(cache_next_missing(f.cache, 0, 0, 10, &seq));
    for (uint64_t i = 0, k = 0; i < 100; i++)
        if (k < LEN(missing) && i == missing[k])
            k++;
        else
            assert_true(push(&f, 0, FIRST + i, 0));
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_true(cache_next_missing(f.cache, 0, 0, rows[i].back, &seq));
        assert_int_equal(seq, FIRST + rows[i].begins_at);
    }
    close_all(&f);
}

static void rings_grow_and_keep_every_packet_in_its_place(void **state)
{
    struct fixture f;
    const uint64_t n = 5000;

    (void)state;
    open_roomy(&f);
    for (uint64_t i = 0; i < n; i++)
        assert_true(push(&f, 0, FIRST + i * 3, 0)); /* every third: holes stay holes */
    for (uint64_t i = 0; i < n * 3; i++)
        assert_true(!!cache_find(f.cache, 0, 0, FIRST + i) == (i % 3 == 0));
    close_all(&f);
}

static void sequence_numbers_cross_16_bits_unharmed(void **state)
{
    struct fixture f;
    const uint64_t start = 3 * 65536 - 300;

    (void)state;
    open_roomy(&f);
    for (uint64_t i = 0; i < 600; i++)
        assert_true(push(&f, 0, start + i, 0));
    for (uint64_t i = 0; i < 600; i++)
        assert_int_equal(cache_find(f.cache, 0, 0, start + i)->seq, start + i);
    close_all(&f);
}

static void each_bound_lets_the_oldest_go(void **state)
{
    struct cache_budget small = {.cap_bytes = 10 * sizeof(struct packet)};
    const struct {
        const char *name;
        struct cache_cfg cfg;
    } rows[] = {
        {"bytes", {.cap_bytes = 10 * sizeof(struct packet), .cap_packets = 1000, .cap_us = UINT64_MAX / 2}},
        {"packets", {.cap_bytes = SIZE_MAX, .cap_packets = 10, .cap_us = UINT64_MAX / 2}},
        {"time", {.cap_bytes = SIZE_MAX, .cap_packets = 1000, .cap_us = 9 * 33333}},
        {"the node's budget", {.cap_bytes = SIZE_MAX, .cap_packets = 1000, .cap_us = UINT64_MAX / 2, .budget = &small}},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct fixture f;
        print_message("%s\n", rows[i].name);
        open_with(&f, rows[i].cfg);
        for (uint64_t n = 0; n < 100; n++)
            assert_true(push(&f, 0, FIRST + n, 0));
        assert_int_equal(cache_end(f.cache) - cache_begin(f.cache), 10);
        assert_int_equal(cache_bytes(f.cache), 10 * sizeof(struct packet));
        assert_null(cache_find(f.cache, 0, 0, FIRST + 89));
        assert_non_null(cache_find(f.cache, 0, 0, FIRST + 90));
        assert_false(push(&f, 0, FIRST + 50, 0)); /* older than all that is kept */
        close_all(&f);
        assert_int_equal(small.used_bytes, 0);
    }
}

static void a_viewer_starts_at_the_newest_keyframe_whose_start_is_here(void **state)
{
    struct fixture f;
    uint64_t at;

    (void)state;
    open_roomy(&f);
    assert_true(push(&f, 0, FIRST, PACKET_FRAME_START | PACKET_FRAME_END));
    assert_false(cache_keyframe(f.cache, 0, 0, &at));
    assert_true(push(&f, 1, FIRST, 0));
    assert_true(push(&f, 0, FIRST + 1, PACKET_FRAME_START | PACKET_FRAME_END | PACKET_KEYFRAME));
    assert_true(push(&f, 0, FIRST + 2, PACKET_FRAME_START | PACKET_FRAME_END));
    assert_true(cache_keyframe(f.cache, 0, 0, &at));
    assert_int_equal(cache_at(f.cache, at)->seq, FIRST + 1);
    assert_false(cache_keyframe(f.cache, 1, 0, &at));

    assert_true(push(&f, 0, FIRST + 3, PACKET_FRAME_START | PACKET_FRAME_END | PACKET_KEYFRAME));
    assert_true(cache_keyframe(f.cache, 0, 0, &at));
    assert_int_equal(cache_at(f.cache, at)->seq, FIRST + 3);
    close_all(&f);
}

static void a_keyframe_whose_start_was_lost_serves_when_it_has_come(void **state)
{
    struct fixture f;
    struct packet *p;
    uint64_t at;

    (void)state;
    open_roomy(&f);
    p = packet_create(f.pool);
    p->seq = FIRST + 1;
    p->ts_ticks = 9000;
    p->flags = PACKET_KEYFRAME | PACKET_FRAME_END;
    assert_true(cache_push(f.cache, p));
    packet_unref(&p);
    assert_false(cache_keyframe(f.cache, 0, 0, &at));
    p = packet_create(f.pool);
    p->seq = FIRST;
    p->ts_ticks = 9000;
    p->flags = PACKET_KEYFRAME | PACKET_FRAME_START;
    assert_true(cache_push(f.cache, p));
    packet_unref(&p);
    assert_true(cache_keyframe(f.cache, 0, 0, &at));
    assert_int_equal(at, 0); /* where its first packet arrived: nothing of the frame is left out */
    close_all(&f);
}

/* Which keyframe is the newer one is told by its number: an encoder that begins anew may count its time from anywhere. */
static void where_timestamps_go_back_the_newest_keyframe_is_still_the_start(void **state)
{
    static const struct {
        uint64_t seq, ts_ticks;
        uint8_t flags;
    } rows[] = {
        {0, 900000, PACKET_KEYFRAME},
        {1, 903000, 0},
        {20, 1000, PACKET_KEYFRAME},
        {21, 4000, 0},
        {5, 909000, PACKET_KEYFRAME}, /* late */
    };
    struct fixture f;
    uint64_t at;

    (void)state;
    open_roomy(&f);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct packet *p = packet_create(f.pool);
        p->seq = FIRST + rows[i].seq;
        p->ts_ticks = rows[i].ts_ticks;
        p->flags = PACKET_FRAME_START | PACKET_FRAME_END | rows[i].flags;
        assert_true(cache_push(f.cache, p));
        packet_unref(&p);
    }
    assert_true(cache_keyframe(f.cache, 0, 0, &at));
    assert_int_equal(cache_at(f.cache, at)->seq, FIRST + 20);
    close_all(&f);
}

static void an_evicted_keyframe_is_no_start(void **state)
{
    struct fixture f;
    uint64_t at;

    (void)state;
    open_with(&f, (struct cache_cfg){.cap_bytes = SIZE_MAX, .cap_packets = 4, .cap_us = UINT64_MAX / 2});
    assert_true(push(&f, 0, FIRST, PACKET_FRAME_START | PACKET_KEYFRAME));
    assert_true(cache_keyframe(f.cache, 0, 0, &at));
    for (uint64_t i = 1; i <= 4; i++)
        assert_true(push(&f, 0, FIRST + i, PACKET_FRAME_START));
    assert_false(cache_keyframe(f.cache, 0, 0, &at));
    close_all(&f);
}

static void a_jump_beyond_any_reordering_starts_the_layer_anew(void **state)
{
    struct fixture f;

    (void)state;
    open_roomy(&f);
    assert_true(push(&f, 0, FIRST, 0));
    assert_true(push(&f, 0, FIRST + 10000000, 0));
    assert_null(cache_find(f.cache, 0, 0, FIRST));
    assert_non_null(cache_find(f.cache, 0, 0, FIRST + 10000000));
    close_all(&f);
}

/* Two streams, one watched: it may fill the node, and the idle one gives whole groups of pictures, the oldest first. */
static void under_pressure_idle_streams_give_their_oldest_groups_first(void **state)
{
    struct fixture f;
    struct cache *idle;
    struct cache_group group;
    struct cache_cfg cfg = {.cap_bytes = SIZE_MAX, .cap_packets = 1 << 20, .cap_us = UINT64_MAX / 2, .group = &group};
    uint64_t first, end;

    (void)state;
    open_with(&f, cfg);
    cfg.budget = &f.budget;
    cache_group_init(&group, &f.budget);
    assert_int_equal(cache_create(&idle, &cfg), 0);
    cache_set_idle(idle, true);
    struct cache *watched = f.cache;
    f.cache = idle;
    for (uint64_t i = 0; i < 40; i++)
        assert_true(push(&f, 0, FIRST + i, i % 10 ? 0 : PACKET_KEYFRAME | PACKET_FRAME_START));
    size_t one = cache_bytes(idle) / 40;
    f.budget.cap_bytes = 60 * one;
    f.cache = watched;
    for (uint64_t i = 0; i < 25; i++)
        assert_true(push(&f, 0, FIRST + i, 0));
    assert_true(cache_range(idle, 0, 0, &first, &end));
    assert_int_equal(first, FIRST + 10);
    assert_int_equal(cache_bytes(watched), 25 * one);
    for (uint64_t i = 25; i < 70; i++)
        assert_true(push(&f, 0, FIRST + i, 0));
    assert_int_equal(cache_bytes(idle), 0);
    assert_int_equal(cache_bytes(watched), 60 * one); /* then its own oldest */
    assert_true(cache_range(watched, 0, 0, &first, &end));
    assert_int_equal(first, FIRST + 10);
    cache_destroy(&idle);
    close_all(&f);
}

/* Two workers: who needs room leaves it to the other one that has older idle streams, as long as there is some. */
static void what_reaches_back_the_farthest_goes_first_whichever_worker_has_it(void **state)
{
    struct fixture f;
    struct cache *old, *recent;
    struct cache_group here, there;
    struct cache_cfg cfg = {.cap_bytes = SIZE_MAX, .cap_packets = 1 << 20, .cap_us = UINT64_MAX / 2, .group = &here};
    uint64_t first, end;

    (void)state;
    open_with(&f, cfg);
    cfg.budget = &f.budget;
    cache_group_init(&here, &f.budget);
    cache_group_init(&there, &f.budget);
    assert_int_equal(cache_create(&recent, &cfg), 0);
    cfg.group = &there;
    assert_int_equal(cache_create(&old, &cfg), 0);
    struct cache *watched = f.cache;
    f.cache = old;
    for (uint64_t i = 0; i < 40; i++)
        assert_true(push(&f, 0, FIRST + i, i % 10 ? 0 : PACKET_KEYFRAME | PACKET_FRAME_START));
    f.cache = recent;
    for (uint64_t i = 20; i < 60; i++)
        assert_true(push(&f, 0, FIRST + i, i % 10 ? 0 : PACKET_KEYFRAME | PACKET_FRAME_START));
    cache_set_idle(old, true);
    cache_set_idle(recent, true);
    cache_group_poll(&here);
    cache_group_poll(&there);
    size_t one = cache_bytes(old) / 40;
    f.budget.cap_bytes = 160 * one; /* short of room from 150 on */
    f.cache = watched;
    for (uint64_t i = 0; i < 75; i++)
        assert_true(push(&f, 0, FIRST + i, 0));
    assert_int_equal(f.budget.used_bytes, 155 * one); /* left to the other worker, which has not looked yet */
    cache_group_poll(&there);
    assert_true(cache_range(old, 0, 0, &first, &end));
    assert_int_equal(first, FIRST + 10);
    assert_int_equal(f.budget.used_bytes, 145 * one);
    for (uint64_t i = 75; i < 95; i++)
        assert_true(push(&f, 0, FIRST + i, 0));
    assert_true(f.budget.used_bytes <= 160 * one); /* the other one sleeps: this worker's own idle stream gives */
    assert_int_equal(cache_bytes(watched), 95 * one);
    assert_int_equal(cache_bytes(recent), 30 * one);
    cache_group_poll(&there); /* it had the oldest all the time */
    assert_int_equal(cache_bytes(old), 20 * one);
    cache_destroy(&recent);
    cache_destroy(&old);
    close_all(&f);
}

static void clearing_gives_every_packet_back(void **state)
{
    struct fixture f;

    (void)state;
    open_roomy(&f);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(push(&f, (unsigned)(i % 3), FIRST + i / 3, 0));
    cache_clear(f.cache);
    assert_int_equal(cache_bytes(f.cache), 0);
    assert_int_equal(f.budget.used_bytes, 0);
    size_t made = pool_made(f.pool);
    for (uint64_t i = 0; i < 1000; i++)
        assert_true(push(&f, 0, FIRST + i, 0)); /* also those before: a new epoch has numbers of its own */
    assert_int_equal(pool_made(f.pool), made);
    close_all(&f);
}

/* Memory that was touched last is taken first; another worker's goes back to where it came from. */
static void what_leaves_is_made_anew_at_once(void **state)
{
    struct fixture f;
    struct pool *others;

    (void)state;
    open_roomy(&f);
    struct cache_cfg cfg = {.cap_bytes = SIZE_MAX, .cap_packets = 10, .cap_us = UINT64_MAX / 2, .own = f.pool};
    cache_destroy(&f.cache);
    assert_int_equal(cache_create(&f.cache, &cfg), 0);
    for (uint64_t i = 0; i < 10; i++)
        assert_true(push(&f, 0, FIRST + i, 0));
    struct packet *first = cache_at(f.cache, 0);
    assert_true(push(&f, 0, FIRST + 10, 0));
    struct packet *again = packet_create(f.pool);
    assert_ptr_equal(again, first);
    packet_unref(&again);
    assert_int_equal(packet_pool_create(&others, 100), 0);
    struct packet *theirs = packet_create(others);
    theirs->seq = FIRST + 11;
    assert_true(cache_push(f.cache, theirs));
    packet_unref(&theirs);
    cache_clear(f.cache);
    size_t made = pool_made(others);
    for (size_t i = 0; i < made; i++)
        assert_non_null(packet_create(others));
    assert_int_equal(pool_made(others), made);
    pool_destroy(&others);
    close_all(&f);
}

static void asking_for_what_a_push_reads_changes_nothing(void **state)
{
    struct fixture f;

    (void)state;
    open_roomy(&f);
    for (uint64_t i = 0; i < 300; i++) {
        for (unsigned step = 0; step < CACHE_SOON_STEPS; step++)
            for (size_t n = 1; n <= 1000; n *= 10)
                cache_soon(f.cache, step, i % 2 ? 0 : TRACKS_MAX - 1, i % 3 ? 0 : LAYERS_MAX - 1, n);
        assert_int_equal(cache_end(f.cache), i);
        assert_true(push(&f, 0, FIRST + i, 0));
        assert_int_equal(cache_bytes(f.cache), (i + 1) * packet_cost_bytes(NULL));
    }
    close_all(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_is_found_by_its_identity_and_by_its_place_of_arrival),
        cmocka_unit_test(the_same_packet_is_taken_once),
        cmocka_unit_test(a_late_packet_fills_its_hole),
        cmocka_unit_test(who_goes_on_elsewhere_begins_at_the_lowest_that_is_missing),
        cmocka_unit_test(rings_grow_and_keep_every_packet_in_its_place),
        cmocka_unit_test(sequence_numbers_cross_16_bits_unharmed),
        cmocka_unit_test(each_bound_lets_the_oldest_go),
        cmocka_unit_test(a_viewer_starts_at_the_newest_keyframe_whose_start_is_here),
        cmocka_unit_test(a_keyframe_whose_start_was_lost_serves_when_it_has_come),
        cmocka_unit_test(where_timestamps_go_back_the_newest_keyframe_is_still_the_start),
        cmocka_unit_test(an_evicted_keyframe_is_no_start),
        cmocka_unit_test(a_jump_beyond_any_reordering_starts_the_layer_anew),
        cmocka_unit_test(under_pressure_idle_streams_give_their_oldest_groups_first),
        cmocka_unit_test(what_reaches_back_the_farthest_goes_first_whichever_worker_has_it),
        cmocka_unit_test(clearing_gives_every_packet_back),
        cmocka_unit_test(what_leaves_is_made_anew_at_once),
        cmocka_unit_test(asking_for_what_a_push_reads_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
