/* SPDX-License-Identifier: Apache-2.0
 * directory_scene.h - two nodes with a directory each, and a Redis of their own. */
#pragma once

#include "cluster/directory/redis.h"
#include "directory/directory.h"
#include "directory/record.h"
#include "unit/io/loop.h"

#include <stdio.h>

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

static inline void on_stream(void *arg, const char *name, const struct stream_record *record)
{
    struct party *p = arg;

    assert_true(p->n < EVENTS_MAX);
    snprintf(p->events[p->n].name, sizeof(p->events[p->n].name), "%s", name);
    p->events[p->n].gone = !record;
    if (record)
        p->events[p->n].record = *record;
    p->n++;
}

static inline void on_nodes(void *arg)
{
    ((struct party *)arg)->nodes_news++;
}

static inline void on_claim_lost(void *arg, const char *name, uint64_t epoch, const char *new_owner)
{
    struct party *p = arg;

    (void)name;
    (void)epoch;
    p->lost++;
    snprintf(p->lost_to, sizeof(p->lost_to), "%s", new_owner);
}

static const struct directory_ops ops = {on_stream, on_nodes, on_claim_lost};

static inline void on_claimed(void *arg, enum claim_result result, uint64_t epoch, const char *owner)
{
    struct party *p = arg;

    p->answers++;
    p->claim = result;
    p->epoch = epoch;
    snprintf(p->owner, sizeof(p->owner), "%s", owner);
}

static inline void on_found(void *arg, const struct stream_record *record, bool known)
{
    struct party *p = arg;

    p->answers++;
    p->known = known;
    p->found = record != NULL;
    p->epoch = record ? record->epoch : 0;
    snprintf(p->owner, sizeof(p->owner), "%s", record ? record->owner : "");
}

static inline void on_closed(void *arg)
{
    ((struct party *)arg)->closed = true;
}

static inline bool until(struct scene *s, bool (*done)(const struct scene *s), uint64_t bound_us)
{
    for (uint64_t us = 0; us < bound_us && !done(s); us += 10000)
        test_loop_run_for(&s->loop, 10000);
    return done(s);
}

static inline bool both_up(const struct scene *s)
{
    return directory_state(s->a.d) == DIRECTORY_UP && (!s->b.d || directory_state(s->b.d) == DIRECTORY_UP);
}

static inline bool both_see_both(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->a.d, &v) == 2 && directory_nodes(s->b.d, &v) == 2;
}

static inline bool a_answered(const struct scene *s)
{
    return s->a.answers > 0;
}

static inline bool b_answered(const struct scene *s)
{
    return s->b.answers > 0;
}

static inline bool a_closed(const struct scene *s)
{
    return s->a.closed;
}

static inline bool b_closed(const struct scene *s)
{
    return s->b.closed;
}

static inline void party_open(struct scene *s, struct party *p, const char *id, enum node_role role)
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

static inline void scene_init(struct scene *s, bool with_redis)
{
    *s = (struct scene){0};
    test_redis_start(&s->redis);
    if (!with_redis)
        test_redis_kill(&s->redis);
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%u", s->redis.port);
    test_loop_init(&s->loop);
}

static inline void scene_two(struct scene *s)
{
    scene_init(s, true);
    party_open(s, &s->a, "a", NODE_ORIGIN);
    party_open(s, &s->b, "b", NODE_ORIGIN);
    assert_true(until(s, both_up, 3000000));
    assert_true(until(s, both_see_both, 2000000));
}

static inline void scene_fini(struct scene *s)
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

static inline enum claim_result claim(struct scene *s, struct party *p, const char *name, bool takeover)
{
    p->answers = 0;
    directory_claim(p->d, name, takeover, on_claimed, p);
    assert_int_equal(p->answers, 0); /* never from within the call */
    assert_true(until(s, p == &s->a ? a_answered : b_answered, 3000000));
    return p->claim;
}

static inline bool find(struct scene *s, struct party *p, const char *name)
{
    p->answers = 0;
    directory_find(p->d, name, on_found, p);
    assert_int_equal(p->answers, 0);
    assert_true(until(s, p == &s->a ? a_answered : b_answered, 3000000));
    return p->found;
}

static inline void let_lease_run_down(struct scene *s, const char *node, int left_ms)
{
    char words[256];

    snprintf(words, sizeof(words),
             "EVAL \"local t = redis.call('TIME') redis.call('ZADD', 't:alive', t[1] * 1000 + t[2] / 1000 + %d, '%s')\" 0", left_ms, node);
    test_redis_cli(&s->redis, words);
}

/* Another origin in Redis, as if it had written itself: its lease ends in left_ms. */
static inline void put_node(struct scene *s, const char *id, int left_ms)
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
static inline void put_stream(struct scene *s, const char *owner, const char *name, const char *epoch)
{
    char words[512];

    snprintf(words, sizeof(words), "hset t:stream:%s owner %s epoch %s lease 1000", name, owner, epoch);
    test_redis_cli(&s->redis, words);
    snprintf(words, sizeof(words), "hset t:owned:%s %s %s", owner, name, epoch);
    test_redis_cli(&s->redis, words);
}
