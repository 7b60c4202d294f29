/* SPDX-License-Identifier: Apache-2.0
 * test_redis_away.c - Redis silent, away, and back, also empty. */
#include "directory_scene.h"

#include <signal.h>

static bool both_away(const struct scene *s)
{
    return directory_state(s->a.d) == DIRECTORY_AWAY && (!s->b.d || directory_state(s->b.d) == DIRECTORY_AWAY);
}

static void what_was_released_while_redis_was_away_is_gone_when_it_is_back(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    kill(s.redis.pid, SIGSTOP);
    assert_true(until(&s, both_away, 6000000));
    directory_release(s.a.d, "live/x", s.a.epoch);
    kill(s.redis.pid, SIGCONT);
    assert_true(until(&s, both_up, 8000000));
    test_loop_run_for(&s.loop, LEASE_MS * 300);
    assert_string_equal(test_redis_cli(&s.redis, "exists t:stream:live/x t:owned:a"), "0");
    assert_false(find(&s, &s.b, "live/x"));
    scene_fini(&s);
}

static void redis_killed_and_back_empty_has_everything_again_within_a_lease(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t epoch = s.a.epoch;
    assert_true(find(&s, &s.b, "live/x"));
    test_redis_kill(&s.redis);
    assert_true(until(&s, both_away, 3000000));
    assert_true(find(&s, &s.b, "live/x")); /* what is known goes on being served */
    assert_int_equal(s.b.epoch, epoch);
    assert_non_null(directory_node(s.b.d, "a"));
    test_redis_start(&s.redis);
    assert_true(until(&s, both_up, 8000000));
    assert_non_null(directory_node(s.a.d, "b")); /* whoever was first back has not forgotten the other */
    assert_non_null(directory_node(s.b.d, "a"));
    test_loop_run_for(&s.loop, LEASE_MS * 1000);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "a");
    assert_string_equal(test_redis_cli(&s.redis, "hlen t:records"), "2");
    assert_int_equal(s.a.lost, 0);
    scene_fini(&s);
}

static void with_redis_away_a_claim_is_provisional_and_registered_later(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, false);
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_true(until(&s, both_away, 3000000));
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    assert_false(find(&s, &s.a, "live/y"));
    assert_false(s.a.known); /* nobody could be asked */
    test_redis_start(&s.redis);
    assert_true(until(&s, both_up, 8000000));
    test_loop_run_for(&s.loop, 100000);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "a");
    scene_fini(&s);
}

/* However fast one follows the other, and whatever the clock says meanwhile: an epoch is one publishing. */
static void provisional_epochs_grow_with_each_claim(void **state)
{
    struct scene s;
    uint64_t last = 0;

    (void)state;
    scene_init(&s, false);
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_true(until(&s, both_away, 3000000));
    for (int i = 0; i < 100; i++) {
        s.a.answers = 0;
        directory_claim(s.a.d, "live/x", false, on_claimed, &s.a);
        while (!s.a.answers)
            test_loop_run_for(&s.loop, 0);
        assert_int_equal(s.a.claim, CLAIM_OK);
        assert_true(s.a.epoch > last);
        last = s.a.epoch;
        if (i % 2)
            directory_release(s.a.d, "live/x", last);
    }
    scene_fini(&s);
}

static void a_claim_made_while_connecting_waits_for_redis(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, true);
    assert_string_equal(test_redis_cli(&s.redis, "hset t:stream:live/x owner z epoch 99 lease 1000"), "3");
    let_lease_run_down(&s, "z", 1000);
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_TAKEN);
    assert_string_equal(s.a.owner, "z");
    scene_fini(&s);
}

static void a_silent_redis_is_noticed(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, true);
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_true(until(&s, both_up, 3000000));
    kill(s.redis.pid, SIGSTOP);
    assert_true(until(&s, both_away, 6000000));
    kill(s.redis.pid, SIGCONT);
    assert_true(until(&s, both_up, 8000000));
    scene_fini(&s);
}

static bool b_connected_anew(const struct scene *s)
{
    return directory_counters(s->b.d)->failures > 0 && directory_state(s->b.d) == DIRECTORY_UP;
}

static bool b_heard(const struct scene *s)
{
    return s->b.n > 0;
}

/* The one for events, too, on which nothing is sent but what others do. */
static void connections_that_are_forgotten_on_their_way_are_made_anew(void **state)
{
    struct scene s;
    struct test_way way;

    (void)state;
    scene_init(&s, true);
    test_way_open(&way, &s.redis);
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    snprintf(s.address, sizeof(s.address), "127.0.0.1:%u", way.port);
    party_open(&s, &s.b, "b", NODE_BACKBONE);
    assert_true(until(&s, both_up, 3000000));
    assert_true(until(&s, both_see_both, 2000000));
    test_way_forget(&way);
    assert_true(until(&s, b_connected_anew, 12000000));
    test_loop_run_for(&s.loop, 2 * LEASE_MS * 1000); /* both have been looked at */
    assert_true(until(&s, both_up, 8000000));
    uint64_t events = directory_counters(s.b.d)->events;
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    assert_true(until(&s, b_heard, 3000000));
    assert_true(directory_counters(s.b.d)->events > events); /* not from a look at what it missed */
    scene_fini(&s);
    test_way_close(&way);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_released_while_redis_was_away_is_gone_when_it_is_back),
        cmocka_unit_test(redis_killed_and_back_empty_has_everything_again_within_a_lease),
        cmocka_unit_test(with_redis_away_a_claim_is_provisional_and_registered_later),
        cmocka_unit_test(provisional_epochs_grow_with_each_claim),
        cmocka_unit_test(a_claim_made_while_connecting_waits_for_redis),
        cmocka_unit_test(a_silent_redis_is_noticed),
        cmocka_unit_test(connections_that_are_forgotten_on_their_way_are_made_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
