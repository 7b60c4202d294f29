/* SPDX-License-Identifier: Apache-2.0
 * The directory against a real redis-server: claims, leases, fencing, Redis away and back. */
#include "cluster/directory/redis.h"
#include "directory/directory.h"
#include "directory/record.h"
#include "unit/io/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEASE_MS = 1000, EVENTS_MAX = 64 };

/* A node's directory with all it was told. */
struct party {
    struct directory *d;
    struct node_record self;
    unsigned nodes_news, lost;
    char lost_to[NODE_ID_MAX + 1];
    size_t n;
    struct {
        char name[STREAM_NAME_MAX + 1];
        bool gone;
        struct stream_record record;
    } events[EVENTS_MAX];
    /* The last answer. */
    unsigned answers;
    enum claim_result claim;
    uint64_t epoch;
    char owner[NODE_ID_MAX + 1];
    bool found, known, closed;
};

struct scene {
    struct test_redis redis;
    struct test_loop loop;
    char address[32];
    struct party a, b;
};

static void on_stream(void *arg, const char *name, const struct stream_record *record)
{
    struct party *p = arg;

    assert_true(p->n < EVENTS_MAX);
    snprintf(p->events[p->n].name, sizeof(p->events[p->n].name), "%s", name);
    p->events[p->n].gone = !record;
    if (record)
        p->events[p->n].record = *record;
    p->n++;
}

static void on_nodes(void *arg)
{
    ((struct party *)arg)->nodes_news++;
}

static void on_claim_lost(void *arg, const char *name, uint64_t epoch, const char *new_owner)
{
    struct party *p = arg;

    (void)name;
    (void)epoch;
    p->lost++;
    snprintf(p->lost_to, sizeof(p->lost_to), "%s", new_owner);
}

static const struct directory_ops ops = {on_stream, on_nodes, on_claim_lost};

static void on_claimed(void *arg, enum claim_result result, uint64_t epoch, const char *owner)
{
    struct party *p = arg;

    p->answers++;
    p->claim = result;
    p->epoch = epoch;
    snprintf(p->owner, sizeof(p->owner), "%s", owner);
}

static void on_found(void *arg, const struct stream_record *record, bool known)
{
    struct party *p = arg;

    p->answers++;
    p->known = known;
    p->found = record != NULL;
    p->epoch = record ? record->epoch : 0;
    snprintf(p->owner, sizeof(p->owner), "%s", record ? record->owner : "");
}

static void on_closed(void *arg)
{
    ((struct party *)arg)->closed = true;
}

/* ---- Waiting, bounded ---- */

static bool until(struct scene *s, bool (*done)(const struct scene *s), uint64_t bound_us)
{
    for (uint64_t us = 0; us < bound_us && !done(s); us += 10000)
        test_loop_run_for(&s->loop, 10000);
    return done(s);
}

static bool both_up(const struct scene *s)
{
    return directory_state(s->a.d) == DIRECTORY_UP && (!s->b.d || directory_state(s->b.d) == DIRECTORY_UP);
}

static bool both_away(const struct scene *s)
{
    return directory_state(s->a.d) == DIRECTORY_AWAY && (!s->b.d || directory_state(s->b.d) == DIRECTORY_AWAY);
}

static bool both_see_both(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->a.d, &v) == 2 && directory_nodes(s->b.d, &v) == 2;
}

static bool a_answered(const struct scene *s)
{
    return s->a.answers > 0;
}

static bool b_answered(const struct scene *s)
{
    return s->b.answers > 0;
}

static bool b_told(const struct scene *s)
{
    return s->b.n > 0;
}

static bool a_lost(const struct scene *s)
{
    return s->a.lost > 0;
}

static bool a_closed(const struct scene *s)
{
    return s->a.closed;
}

static bool b_closed(const struct scene *s)
{
    return s->b.closed;
}

static void party_open(struct scene *s, struct party *p, const char *id, enum node_role role)
{
    const char *error;

    *p = (struct party){.self = {.role = role, .region = "eu", .started_us = 1}};
    snprintf(p->self.id, sizeof(p->self.id), "%s", id);
    snprintf(p->self.pipe, sizeof(p->self.pipe), "%s:9000", id);
    struct directory_cfg cfg = {.address = s->address,
                                .password = "",
                                .prefix = "t:",
                                .lease_us = LEASE_MS * 1000,
                                .self = p->self,
                                .ops = &ops,
                                .arg = p};
    assert_int_equal(directory_open(&p->d, s->loop.w, &cfg, &error), 0);
}

static void scene_init(struct scene *s, bool with_redis)
{
    *s = (struct scene){0};
    test_redis_start(&s->redis);
    if (!with_redis)
        test_redis_kill(&s->redis);
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", s->redis.port);
    test_loop_init(&s->loop);
}

static void scene_two(struct scene *s)
{
    scene_init(s, true);
    party_open(s, &s->a, "a", NODE_ORIGIN);
    party_open(s, &s->b, "b", NODE_ORIGIN);
    assert_true(until(s, both_up, 3000000));
    assert_true(until(s, both_see_both, 2000000));
}

static void scene_fini(struct scene *s)
{
    if (s->a.d && !s->a.closed) {
        directory_close(s->a.d, 500000, on_closed, &s->a);
        assert_true(until(s, a_closed, 2000000));
    }
    if (s->b.d && !s->b.closed) {
        directory_close(s->b.d, 500000, on_closed, &s->b);
        assert_true(until(s, b_closed, 2000000));
    }
    test_redis_kill(&s->redis);
    worker_destroy(&s->loop.w);
}

static enum claim_result claim(struct scene *s, struct party *p, const char *name, bool takeover)
{
    p->answers = 0;
    directory_claim(p->d, name, takeover, on_claimed, p);
    assert_int_equal(p->answers, 0); /* never from within the call */
    assert_true(until(s, p == &s->a ? a_answered : b_answered, 3000000));
    return p->claim;
}

static bool find(struct scene *s, struct party *p, const char *name)
{
    p->answers = 0;
    directory_find(p->d, name, on_found, p);
    assert_int_equal(p->answers, 0);
    assert_true(until(s, p == &s->a ? a_answered : b_answered, 3000000));
    return p->found;
}

static void let_lease_run_down(struct scene *s, const char *node, int left_ms)
{
    char words[256];

    snprintf(words, sizeof(words),
             "EVAL \"local t = redis.call('TIME') redis.call('ZADD', 't:alive', t[1] * 1000 + t[2] / 1000 + %d, '%s')\" 0", left_ms, node);
    test_redis_cli(&s->redis, words);
}

/* Another origin in Redis, as if it had written itself: its lease ends in left_ms. */
static void put_node(struct scene *s, const char *id, int left_ms)
{
    struct node_record n = {.role = NODE_ORIGIN, .region = "eu", .started_us = 1};
    uint8_t record[RECORD_BYTES_MAX];
    char words[1024];

    snprintf(n.id, sizeof(n.id), "%s", id);
    size_t len = record_write(record, sizeof(record), &n);
    int at = snprintf(words, sizeof(words), "EVAL \"redis.call('HSET', 't:records', '%s', '", id);
    for (size_t i = 0; i < len; i++)
        at += snprintf(words + at, sizeof(words) - (size_t)at, "\\%03u", record[i]);
    snprintf(words + at, sizeof(words) - (size_t)at, "') redis.call('ZADD', 't:changes', redis.call('INCR', 't:version'), '%s')\" 0", id);
    let_lease_run_down(s, id, left_ms);
    test_redis_cli(&s->redis, words);
}

/* A stream of a node, without a word to others. */
static void put_stream(struct scene *s, const char *owner, const char *name, const char *epoch)
{
    char words[512];

    snprintf(words, sizeof(words), "hset t:stream:%s owner %s epoch %s lease 1000", name, owner, epoch);
    test_redis_cli(&s->redis, words);
    snprintf(words, sizeof(words), "hset t:owned:%s %s %s", owner, name, epoch);
    test_redis_cli(&s->redis, words);
}

/* ---- */

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

static void a_name_has_one_owner_until_it_is_released(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t first = s.a.epoch;
    assert_true(first > 1700000000000);
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_TAKEN);
    assert_string_equal(s.b.owner, "a");
    assert_int_equal(s.b.epoch, first);
    assert_true(find(&s, &s.b, "live/x"));
    assert_string_equal(s.b.owner, "a");
    directory_release(s.a.d, "live/x", first);
    test_loop_run_for(&s.loop, 300000); /* others hear of it after a moment, as they did just now of the claim */
    assert_false(find(&s, &s.b, "live/x"));
    assert_true(s.b.known);
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_OK);
    assert_true(s.b.epoch > first);
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

static void a_claim_is_renewed_beyond_its_lease(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    test_loop_run_for(&s.loop, LEASE_MS * 2500);
    assert_int_equal(s.a.lost, 0);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "a");
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_TAKEN);
    scene_fini(&s);
}

/* The stopped process: its lease runs out, another takes the name, then it wakes up and renews, releases, and all that
 * must not touch the new owner's entry. */
static void who_wakes_up_after_its_lease_cannot_touch_the_new_owner_s_entry(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t old = s.a.epoch;
    assert_string_equal(test_redis_cli(&s.redis, "del t:stream:live/x"), "1"); /* its lease has run out */
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_OK);
    assert_true(s.b.epoch > old);
    char mine[32];
    snprintf(mine, sizeof(mine), "%llu", (unsigned long long)s.b.epoch);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
    assert_string_equal(s.a.lost_to, "b");
    directory_release(s.a.d, "live/x", old);
    directory_release(s.a.d, "live/x", s.b.epoch); /* even with the right number it is not the owner */
    test_loop_run_for(&s.loop, LEASE_MS * 1000);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "b");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x epoch"), mine);
    assert_int_equal(s.b.lost, 0);
    scene_fini(&s);
}

/* A dead origin must not keep its publishers from another one for a whole lease. */
static void of_an_owner_that_missed_a_renewal_the_name_can_be_had_before_its_lease_ends(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/silent", false), CLAIM_OK);
    uint64_t epoch = s.a.epoch;
    assert_int_equal(claim(&s, &s.b, "live/silent", false), CLAIM_TAKEN);
    /* As if the last renewal were 0.6 leases ago. */
    let_lease_run_down(&s, "a", 400);
    assert_int_equal(claim(&s, &s.b, "live/silent", false), CLAIM_OK);
    assert_true(s.b.epoch > epoch);
    assert_true(until(&s, a_lost, 2 * LEASE_MS * 1000)); /* it lives after all: told with its next renewal */
    assert_string_equal(s.a.lost_to, s.b.self.id);
    scene_fini(&s);
}

/* Whatever words are lost: the lease's own renewal says that it had run out, and then every claim is looked at. */
static void of_a_lease_that_ran_out_every_claim_is_looked_at(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/taken", false), CLAIM_OK);
    assert_int_equal(claim(&s, &s.a, "live/kept", false), CLAIM_OK);
    assert_int_equal(claim(&s, &s.a, "live/lost", false), CLAIM_OK);
    put_node(&s, "z", 60000);
    put_stream(&s, "z", "live/taken", "9000000000000");
    test_redis_cli(&s.redis, "del t:stream:live/lost");
    let_lease_run_down(&s, "a", -1);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
    test_loop_run_for(&s.loop, LEASE_MS * 500);
    assert_int_equal(s.a.lost, 1);
    assert_string_equal(s.a.lost_to, "z");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/taken owner"), "z");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/kept owner"), "a");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/lost owner"), "a");
    scene_fini(&s);
}

static void a_claim_lost_without_a_word_is_noticed_by_and_by(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/taken", false), CLAIM_OK);
    put_node(&s, "z", 60000);
    put_stream(&s, "z", "live/taken", "9000000000000");
    assert_true(until(&s, a_lost, 10 * LEASE_MS * 1000));
    assert_string_equal(s.a.lost_to, "z");
    scene_fini(&s);
}

static bool b_sees_three(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->b.d, &v) == 3;
}

static bool b_sees_two(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->b.d, &v) == 2;
}

static bool z_has_nothing(const struct scene *s)
{
    return strcmp(test_redis_cli(&s->redis, "exists t:stream:live/z t:owned:z"), "0") == 0;
}

static bool note_listed(void *arg, const struct stream_record *record)
{
    *(bool *)arg |= strcmp(record->name, "live/z") == 0;
    return true;
}

static bool is_listed(const struct scene *s)
{
    bool listed = false;

    directory_each_stream(s->b.d, note_listed, &listed);
    return listed;
}

static void a_dead_node_goes_when_its_lease_ends_and_its_streams_a_lease_later(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    put_node(&s, "z", 700);
    put_stream(&s, "z", "live/z", "1700000000000");
    assert_true(until(&s, b_sees_three, LEASE_MS * 500));
    assert_true(find(&s, &s.b, "live/z"));
    assert_string_equal(s.b.owner, "z");
    assert_true(is_listed(&s));
    s.b.n = 0;
    assert_true(until(&s, b_sees_two, LEASE_MS * 1500));
    assert_false(find(&s, &s.b, "live/z")); /* but nobody is sent there any more */
    assert_false(is_listed(&s));
    assert_int_equal(s.b.n, 1);
    assert_string_equal(s.b.events[0].name, "live/z");
    assert_true(s.b.events[0].gone);
    assert_string_equal(test_redis_cli(&s.redis, "exists t:stream:live/z"), "1");
    let_lease_run_down(&s, "y", LEASE_MS); /* lives, though its record is not known here */
    put_stream(&s, "y", "live/y", "1700000000000");
    assert_true(find(&s, &s.b, "live/y"));
    s.b.n = 0;
    assert_true(until(&s, z_has_nothing, LEASE_MS * 2000));
    assert_int_equal(s.b.n, 0); /* told before */
    assert_string_equal(test_redis_cli(&s.redis, "zscore t:alive z"), "");
    scene_fini(&s);
}

/* It was held up for longer than its lease, and its claims still stand. */
static void the_streams_of_a_node_that_is_back_are_listed_again(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    put_node(&s, "z", 700);
    put_stream(&s, "z", "live/z", "1700000000000");
    assert_true(until(&s, b_sees_three, LEASE_MS * 500));
    assert_true(find(&s, &s.b, "live/z"));
    assert_true(until(&s, b_sees_two, LEASE_MS * 1500));
    assert_false(is_listed(&s));
    s.b.n = 0;
    put_node(&s, "z", LEASE_MS * 10);
    assert_true(until(&s, b_sees_three, LEASE_MS * 1000));
    assert_true(is_listed(&s));
    assert_int_equal(s.b.n, 1);
    assert_false(s.b.events[0].gone);
    assert_int_equal(s.b.events[0].record.epoch, 1700000000000);
    scene_fini(&s);
}

static void what_a_predecessor_of_the_same_id_had_claimed_is_gone_at_once(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, true);
    party_open(&s, &s.b, "b", NODE_ORIGIN);
    put_node(&s, "a", 60000);
    put_stream(&s, "a", "live/before", "1700000000000");
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_int_equal(claim(&s, &s.a, "live/now", false), CLAIM_OK);
    assert_string_equal(test_redis_cli(&s.redis, "exists t:stream:live/before"), "0");
    assert_string_equal(test_redis_cli(&s.redis, "hkeys t:owned:a"), "live/now");
    scene_fini(&s);
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

static void a_takeover_ends_the_old_claim(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t old = s.a.epoch;
    assert_int_equal(claim(&s, &s.b, "live/x", true), CLAIM_OK);
    assert_true(s.b.epoch > old);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
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
        cmocka_unit_test(a_name_has_one_owner_until_it_is_released),
        cmocka_unit_test(others_are_told_of_a_stream_s_coming_and_going),
        cmocka_unit_test(what_happens_in_a_moment_comes_in_one_message),
        cmocka_unit_test(a_claim_is_renewed_beyond_its_lease),
        cmocka_unit_test(who_wakes_up_after_its_lease_cannot_touch_the_new_owner_s_entry),
        cmocka_unit_test(of_an_owner_that_missed_a_renewal_the_name_can_be_had_before_its_lease_ends),
        cmocka_unit_test(of_a_lease_that_ran_out_every_claim_is_looked_at),
        cmocka_unit_test(a_claim_lost_without_a_word_is_noticed_by_and_by),
        cmocka_unit_test(a_dead_node_goes_when_its_lease_ends_and_its_streams_a_lease_later),
        cmocka_unit_test(the_streams_of_a_node_that_is_back_are_listed_again),
        cmocka_unit_test(what_a_predecessor_of_the_same_id_had_claimed_is_gone_at_once),
        cmocka_unit_test(what_was_released_while_redis_was_away_is_gone_when_it_is_back),
        cmocka_unit_test(a_stream_of_which_no_word_came_is_found_by_counting),
        cmocka_unit_test(more_nodes_than_an_answer_holds_are_all_learnt_and_the_loss_of_one_noticed),
        cmocka_unit_test(load_is_told_when_it_matters_to_those_who_want_to_know),
        cmocka_unit_test(a_takeover_ends_the_old_claim),
        cmocka_unit_test(redis_killed_and_back_empty_has_everything_again_within_a_lease),
        cmocka_unit_test(with_redis_away_a_claim_is_provisional_and_registered_later),
        cmocka_unit_test(a_claim_made_while_connecting_waits_for_redis),
        cmocka_unit_test(a_silent_redis_is_noticed),
        cmocka_unit_test(records_and_events_that_make_no_sense_harm_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
