/* SPDX-License-Identifier: Apache-2.0
 * test_directory.c - the directory against a real redis-server: nodes and streams are known to others. */
#include "directory/directory_priv.h"
#include "directory_scene.h"

#include <stdlib.h>
#include <string.h>

static bool b_told(const struct scene *s)
{
    return s->b.n > 0;
}

static void nodes_see_each_other_and_go_when_they_leave(void **state)
{
    struct scene s;
    const struct node_record *v;

    (void)state;
    scene_two(&s);
    const struct node_record *a = directory_node(s.b.d, "a");
    assert_non_null(a);
    assert_int_equal(a->role, NODE_ORIGIN);
    assert_string_equal(a->region, "eu");
    assert_string_equal(a->pipe, "a:9000");
    assert_true(s.b.nodes_news > 0);
    directory_close(s.a.d, 500000, on_closed, &s.a);
    assert_true(until(&s, a_closed, 1000000));
    test_loop_run_for(&s.loop, 200000);
    assert_int_equal(directory_nodes(s.b.d, &v), 1);
    assert_string_equal(test_redis_cli(&s.redis, "hexists t:records a"), "0");
    assert_string_equal(test_redis_cli(&s.redis, "zscore t:alive a"), "");
    scene_fini(&s);
}

static void others_are_told_of_a_stream_s_coming_and_going(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    assert_true(until(&s, b_told, 1000000));
    assert_string_equal(s.b.events[0].name, "live/x");
    assert_false(s.b.events[0].gone);
    assert_string_equal(s.b.events[0].record.owner, "a");
    assert_int_equal(s.b.events[0].record.epoch, s.a.epoch);
    s.b.n = 0;
    directory_release(s.a.d, "live/x", s.a.epoch);
    assert_true(until(&s, b_told, 1000000));
    assert_true(s.b.events[0].gone);
    scene_fini(&s);
}

static bool b_told_twice(const struct scene *s)
{
    return s->b.n == 2;
}

static void what_happens_in_a_moment_comes_in_one_message(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/one", false), CLAIM_OK);
    test_redis_cli(&s.redis, "del t:told");
    assert_int_equal(claim(&s, &s.a, "live/two", false), CLAIM_OK);
    assert_true(until(&s, b_told_twice, 1000000));
    assert_string_equal(test_redis_cli(&s.redis, "llen t:news"), "0");
    s.b.n = 0;
    test_redis_cli(&s.redis, "config resetstat");
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof(name), "live/more-%d", i);
        assert_int_equal(claim(&s, &s.a, name, false), CLAIM_OK);
    }
    for (int i = 0; i < 50 && s.b.n < 20; i++)
        test_loop_run_for(&s.loop, 10000);
    assert_int_equal(s.b.n, 20);
    const char *stats = strstr(test_redis_cli(&s.redis, "info commandstats"), "cmdstat_publish:calls=");
    assert_non_null(stats);
    uint64_t messages = strtoull(stats + strlen("cmdstat_publish:calls="), NULL, 10);
    print_message("20 events in %llu messages\n", (unsigned long long)messages);
    assert_true(messages < 20);
    scene_fini(&s);
}

static bool b_knows_missed(const struct scene *s)
{
    for (size_t i = 0; i < s->b.n; i++)
        if (strcmp(s->b.events[i].name, "live/missed") == 0)
            return true;
    return false;
}

static void a_stream_of_which_no_word_came_is_found_by_counting(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    put_node(&s, "z", 60000);
    put_stream(&s, "z", "live/missed", "1700000000000");
    assert_true(until(&s, b_knows_missed, 5 * LEASE_MS * 1000));
    scene_fini(&s);
}

static void more_nodes_than_an_answer_holds_are_all_learnt_and_the_loss_of_one_noticed(void **state)
{
    enum { NODES = 1200 };
    struct scene s;
    const struct node_record *v;
    char script[512];

    (void)state;
    scene_init(&s, true);
    put_node(&s, "z", 60000);
    snprintf(script, sizeof(script),
             "EVAL \"local r = redis.call('HGET', 't:records', 'z') local lease = redis.call('ZSCORE', 't:alive', 'z') for i = 1000, %d do "
             "local id = 'node-' .. i redis.call('HSET', 't:records', id, '\\010\\009' .. id .. string.sub(r, 4)) "
             "redis.call('ZADD', 't:alive', lease, id) redis.call('ZADD', 't:changes', redis.call('INCR', 't:version'), id) end\" 0",
             1000 + NODES - 1);
    test_redis_cli(&s.redis, script);
    party_open(&s, &s.a, "a", NODE_EDGE);
    assert_true(until(&s, both_up, 3000000));
    for (int i = 0; i < 300 && directory_nodes(s.a.d, &v) != NODES + 2; i++)
        test_loop_run_for(&s.loop, 10000);
    assert_int_equal(directory_nodes(s.a.d, &v), NODES + 2);
    assert_non_null(directory_node(s.a.d, "node-2199"));
    test_redis_cli(&s.redis, "hdel t:records node-1500"); /* and nobody says so */
    for (int i = 0; i < 300 && directory_node(s.a.d, "node-1500"); i++)
        test_loop_run_for(&s.loop, 10000);
    assert_null(directory_node(s.a.d, "node-1500"));
    assert_int_equal(directory_nodes(s.a.d, &v), NODES + 1);
    scene_fini(&s);
}

static uint32_t viewers_of_a(const struct scene *s)
{
    return directory_node(s->b.d, "a")->viewers;
}

static void load_is_told_when_it_matters_to_those_who_want_to_know(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    s.a.self.capacity_viewers = 1000;
    s.a.self.viewers = 400;
    directory_set_self(s.a.d, &s.a.self);
    test_loop_run_for(&s.loop, LEASE_MS * 800); /* with the beats */
    assert_int_equal(viewers_of_a(&s), 0);      /* nobody wanted to know */
    directory_want_loads(s.b.d);
    test_loop_run_for(&s.loop, LEASE_MS * 100);
    assert_int_equal(viewers_of_a(&s), 400);
    s.a.self.viewers = 410;
    directory_set_self(s.a.d, &s.a.self);
    test_loop_run_for(&s.loop, LEASE_MS * 800);
    assert_int_equal(viewers_of_a(&s), 400);
    unsigned news = s.b.nodes_news;
    s.a.self.viewers = 1000; /* full: at once, as fast as one who hears of it asks */
    directory_set_self(s.a.d, &s.a.self);
    assert_true(until(&s, both_see_both, 1000));
    for (int i = 0; i < 60 && viewers_of_a(&s) != 1000; i++)
        test_loop_run_for(&s.loop, 10000);
    assert_int_equal(viewers_of_a(&s), 1000);
    assert_int_equal(s.b.nodes_news, news); /* of this nobody needs to look for another parent */
    scene_fini(&s);
}

/* Whoever reaches a node may ask it for any name. */
static void names_that_nobody_publishes_take_no_place(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof(name), "live/none-%d", i);
        directory_find(s.b.d, name, on_found, &s.b);
    }
    assert_false(find(&s, &s.b, "live/none"));
    assert_true(s.b.known);
    assert_int_equal(s.b.n, 0);
    assert_int_equal(s.b.d->streams.count, 0);
    scene_fini(&s);
}

static void records_and_events_that_make_no_sense_harm_nobody(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    test_redis_cli(&s.redis, "hset t:records bad garbage");
    test_redis_cli(&s.redis, "zadd t:changes 9000000000000 bad");
    test_redis_cli(&s.redis, "zadd t:alive 9000000000000 bad");
    test_redis_cli(&s.redis, "set t:owned:bad text");
    test_redis_cli(&s.redis, "publish t:events 'stream x'");
    test_redis_cli(&s.redis, "publish t:events ''");
    test_redis_cli(&s.redis, "hset t:stream:live/bad owner z epoch many");
    test_redis_cli(&s.redis, "set t:stream:live/worse text");
    assert_false(find(&s, &s.a, "live/bad"));
    assert_false(find(&s, &s.a, "live/worse"));
    assert_int_equal(claim(&s, &s.a, "live/worse", false), CLAIM_FAILED);
    test_loop_run_for(&s.loop, LEASE_MS * 500);
    assert_null(directory_node(s.a.d, "bad"));
    assert_true(both_see_both(&s));
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_see_each_other_and_go_when_they_leave),
        cmocka_unit_test(others_are_told_of_a_stream_s_coming_and_going),
        cmocka_unit_test(what_happens_in_a_moment_comes_in_one_message),
        cmocka_unit_test(a_stream_of_which_no_word_came_is_found_by_counting),
        cmocka_unit_test(more_nodes_than_an_answer_holds_are_all_learnt_and_the_loss_of_one_noticed),
        cmocka_unit_test(load_is_told_when_it_matters_to_those_who_want_to_know),
        cmocka_unit_test(names_that_nobody_publishes_take_no_place),
        cmocka_unit_test(records_and_events_that_make_no_sense_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
