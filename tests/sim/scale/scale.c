/* SPDX-License-Identifier: Apache-2.0
 * scale.c - the directory and the parent choice with many nodes and streams, against a real redis-server.
 *
 *   scale [--nodes N] [--streams N]
 *
 * Starts a redis-server of its own, writes the records of N nodes and the claims of N streams with the very scripts that nodes use,
 * and opens one real directory that has to learn them all. Prints one figure a line, and fails when one makes no sense. */
#include "cluster/directory/redis.h"
#include "directory/choose.h"
#include "directory/directory.h"
#include "directory/record.h"
#include "directory/scripts.h"
#include "relay/parents.h"
#include "unit/io/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <cmocka.h>
#include <hiredis/hiredis.h>

enum {
    REGIONS = 10,
    PIPELINE = 500,
    CHOICES = 100000,
    FINDS = 20000,
};

#define BEATS_PER_S 0.3 /* every third of a lease of 10 s */

static size_t n_nodes = 1000, n_streams = 100000;

struct scene {
    struct test_redis redis;
    redisContext *c;
    struct node_record *nodes;
};

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_utime.tv_sec + (double)u.ru_utime.tv_usec / 1e6 + (double)u.ru_stime.tv_sec +
           (double)u.ru_stime.tv_usec / 1e6;
}

static void figure(const char *what, double value, const char *unit)
{
    printf("%-58s %14.1f %s\n", what, value, unit);
    fflush(stdout);
}

/* 2% origins, 5% backbones, the rest edges; spread over the regions. */
static void make_node(struct node_record *n, size_t i)
{
    size_t in_fifty = i % 50;

    *n = (struct node_record){.role = in_fifty == 0 ? NODE_ORIGIN : in_fifty <= 3 ? NODE_BACKBONE : NODE_EDGE,
                              .started_us = 1, .load_permille = (uint32_t)(i * 7 % 600)};
    snprintf(n->id, sizeof(n->id), "%s-%zu", node_role_name(n->role), i);
    snprintf(n->region, sizeof(n->region), "r%zu", i / 50 % REGIONS);
    snprintf(n->http, sizeof(n->http), "http://10.%zu.%zu.%zu:8080", i >> 16 & 255, i >> 8 & 255, i & 255);
    if (n->role != NODE_EDGE)
        snprintf(n->pipe, sizeof(n->pipe), "10.%zu.%zu.%zu:9000", i >> 16 & 255, i >> 8 & 255, i & 255);
}

static const char *stream_name(size_t i, char out[40])
{
    snprintf(out, 40, "live/stream-%zu", i);
    return out;
}

/* The origin that has stream i. */
static const char *owner_of(size_t i)
{
    static char id[32];

    snprintf(id, sizeof(id), "origin-%zu", i % (n_nodes / 50) * 50);
    return id;
}

/* ---- Redis, as all those nodes use it ---- */

static double info(struct scene *s, const char *section, const char *field)
{
    redisReply *r = redisCommand(s->c, "INFO %s", section);
    const char *at = strstr(r->str, field);
    double value = at ? strtod(at + strlen(field), NULL) : 0;

    freeReplyObject(r);
    return value;
}

static double used_memory(struct scene *s)
{
    return info(s, "memory", "used_memory:");
}

/* What Redis has used: the figures are the same on a machine that others use too. */
static double redis_s(struct scene *s)
{
    return info(s, "cpu", "used_cpu_sys:") + info(s, "cpu", "used_cpu_user:");
}

static void take_replies(redisContext *c, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        redisReply *r;
        assert_int_equal(redisGetReply(c, (void **)&r), REDIS_OK);
        assert_true(r->type != REDIS_REPLY_ERROR);
        freeReplyObject(r);
    }
}

/* As a node's beat (nodes.c) does. changed: 0, 1 (its load), 2; reads: "loads" or "changes"; known: the version up to which it knows the
 * others. */
static void append_sync(struct scene *s, size_t node, int changed, const char *reads, const char *known)
{
    uint8_t record[RECORD_BYTES_MAX];
    size_t len = record_write(record, sizeof(record), &s->nodes[node]);

    redisAppendCommand(s->c, "EVAL %s 6 t:alive t:records t:changes t:loads t:version t:%s %s %b 3600000 %d 0 0 %s 500 t:", script_sync,
                       reads, s->nodes[node].id, record, len, changed, known);
}

static void write_nodes(struct scene *s)
{
    uint8_t record[RECORD_BYTES_MAX];
    size_t bytes = 0;

    for (size_t i = 0; i < n_nodes; i++) {
        bytes += record_write(record, sizeof(record), &s->nodes[i]);
        append_sync(s, i, 2, "changes", "9000000000000000");
        take_replies(s->c, 1);
    }
    figure("a node's record", (double)bytes / (double)n_nodes, "bytes");
}

static double each_stream(struct scene *s, const char *what, void (*append)(redisContext *c, size_t i))
{
    double began = redis_s(s);

    for (size_t i = 0; i < n_streams; i++) {
        append(s->c, i);
        if ((i + 1) % PIPELINE == 0 || i + 1 == n_streams)
            take_replies(s->c, i % PIPELINE + 1);
    }
    double rate = (double)n_streams / (redis_s(s) - began);
    figure(what, rate, "a second of Redis' CPU");
    return rate;
}

static void append_claim(redisContext *c, size_t i)
{
    char name[40];

    stream_name(i, name);
    redisAppendCommand(c, "EVAL %s 3 t:stream:%s t:epoch:%s t:alive %s 1700000000000 3600000 0 t: %s 86400000",
                       script_claim, name, name, owner_of(i), name);
}

static void append_find(redisContext *c, size_t i)
{
    char name[40];

    redisAppendCommand(c, "HMGET t:stream:%s owner epoch", stream_name(i, name));
}

/* All streams of all owners, a hundred a call (claims.c). */
static double verify_all(struct scene *s)
{
    enum { BATCH = 100, HEAD = 9 };
    const size_t owners = n_nodes / 50;
    double began = redis_s(s);

    for (size_t owner = 0; owner < owners; owner++) {
        char names[BATCH][40], owned[64];
        const char *argv[HEAD + 2 * BATCH] = {"EVAL", script_register, "1", owned, owner_of(owner), "3600000", "t:", "86400000", "0"};
        size_t n = 0;
        snprintf(owned, sizeof(owned), "t:owned:%s", owner_of(owner));
        for (size_t i = owner; i < n_streams; i += owners) {
            argv[HEAD + 2 * n] = stream_name(i, names[n]);
            argv[HEAD + 2 * n + 1] = "1700000000000";
            if (++n < BATCH && i + owners < n_streams)
                continue;
            redisAppendCommandArgv(s->c, (int)(HEAD + 2 * n), argv, NULL);
            take_replies(s->c, 1);
            n = 0;
        }
    }
    return (double)n_streams / (redis_s(s) - began);
}

/* What a core of Redis is busy with when something that takes each_s happens so often a second. */
static void busy(const char *what, double each_s, double often)
{
    figure(what, 100 * each_s * often, "% of a core");
}

static void redis_carries_all_claims_and_looks_at_each_of_them(void **state)
{
    struct scene *s = *state;
    double before;

    write_nodes(s);
    before = used_memory(s);
    each_stream(s, "claims", append_claim);
    figure("a stream in Redis", (used_memory(s) - before) / (double)n_streams, "bytes");
    double rate = verify_all(s);
    figure("claims looked at, a hundred a call", rate, "a second of Redis' CPU");
    busy("each of them once in 100 beats", 1 / rate, (double)n_streams * BEATS_PER_S / 100);
    each_stream(s, "look-ups of a stream", append_find);
    redisReply *r = redisCommand(s->c, "HLEN t:owned:%s", owner_of(0));
    assert_int_equal(r->integer, (n_streams + n_nodes / 50 - 1) / (n_nodes / 50));
    freeReplyObject(r);
}

/* One beat of every node. Of a thousand, `moved` have another load and one is full or not full any more; `choosing` of them are asked for
 * routes, and read loads. known: where each has read to. */
static void beat_all(struct scene *s, unsigned moved, unsigned choosing, char (*known)[24])
{
    for (size_t i = 0; i < n_nodes; i++) {
        unsigned random = (unsigned)(i * 7919 % 1000);
        append_sync(s, i, moved == 0 ? 0 : random < 1 ? 2 : random < moved, i * 104729 % 1000 < choosing ? "loads" : "changes", known[i]);
        if ((i + 1) % PIPELINE != 0)
            continue;
        for (size_t at = i + 1 - PIPELINE; at <= i; at++) {
            redisReply *r;
            assert_int_equal(redisGetReply(s->c, (void **)&r), REDIS_OK);
            assert_int_equal(r->type, REDIS_REPLY_ARRAY);
            snprintf(known[at], sizeof(known[at]), "%s", r->element[1]->str);
            freeReplyObject(r);
        }
    }
}

static void beats(struct scene *s, const char *what, unsigned moved, unsigned choosing)
{
    char(*known)[24] = calloc(n_nodes, sizeof(*known));

    assert_non_null(known);
    redisReply *r = redisCommand(s->c, "GET t:version");
    for (size_t i = 0; i < n_nodes; i++)
        snprintf(known[i], sizeof(known[i]), "%s", r->str);
    freeReplyObject(r);
    beat_all(s, moved, choosing, known);
    double began = redis_s(s);
    beat_all(s, moved, choosing, known);
    busy(what, (redis_s(s) - began) / (double)n_nodes, (double)n_nodes * BEATS_PER_S);
    free(known);
}

static void redis_carries_the_beats_of_all_nodes(void **state)
{
    struct scene *s = *state;

    beats(s, "all nodes renew their leases, nothing changes", 0, 0);
    beats(s, "5% of the nodes have another load in a beat; none chooses", 50, 0);
    beats(s, "and 10% choose for viewers, so read loads", 50, 100);
    beats(s, "and all do", 50, 1000);
    double began = now_s();
    append_sync(s, 0, 0, "changes", "0");
    take_replies(s->c, 1);
    figure("a page of 500 records for a node that begins", (now_s() - began) * 1e3, "ms");
}

/* Every node hears of every stream that begins or ends; many leave in one message, as each is a write for each node. */
static void redis_tells_all_nodes_of_streams(void **state)
{
    enum { LISTENERS = 1000, MESSAGES = 50, TOGETHER = 100 };
    struct scene *s = *state;
    redisContext **listeners = calloc(LISTENERS, sizeof(*listeners));

    assert_non_null(listeners);
    for (size_t i = 0; i < LISTENERS; i++) {
        listeners[i] = redisConnect("127.0.0.1", s->redis.port);
        assert_non_null(listeners[i]);
        assert_int_equal(listeners[i]->err, 0);
        freeReplyObject(redisCommand(listeners[i], "SUBSCRIBE u:events"));
    }
    double began = redis_s(s);
    for (size_t i = 0; i < MESSAGES; i++) {
        for (size_t k = 0; k < TOGETHER; k++)
            freeReplyObject(redisCommand(s->c, "RPUSH u:news %s", "stream live/some-stream origin-1 1700000000000"));
        freeReplyObject(redisCommand(s->c, "DEL u:told"));
        redisReply *r = redisCommand(s->c, "EVAL %s 0 u:", script_spread);
        assert_int_equal(r->integer, 0);
        freeReplyObject(r);
    }
    double each_s = (redis_s(s) - began) / MESSAGES;
    figure("100 streams' events to 1,000 nodes", each_s * 1e3, "ms of Redis' CPU");
    busy("1,000 streams begin or end in a second", each_s, 1000.0 / SPREAD_MS);
    for (size_t i = 0; i < LISTENERS; i++)
        redisFree(listeners[i]);
    free(listeners);
}

/* A dead owner's streams go in one script call, in which Redis does nothing else. */
static void redis_forgets_a_dead_owner_s_streams(void **state)
{
    struct scene *s = *state;
    const size_t victim = n_nodes - 50;

    redisReply *r = redisCommand(s->c, "HLEN t:owned:%s", s->nodes[victim].id);
    double owned = (double)r->integer;
    freeReplyObject(r);
    freeReplyObject(redisCommand(s->c, "ZADD t:alive 1 %s", s->nodes[victim].id));
    append_sync(s, 1, 0, "changes", "9000000000000000"); /* the node goes; the streams with the next */
    take_replies(s->c, 1);
    double began = redis_s(s);
    append_sync(s, 1, 0, "changes", "9000000000000000");
    take_replies(s->c, 1);
    figure("a dead origin's streams", owned, "");
    figure("forgotten in", (redis_s(s) - began) * 1e3, "ms of Redis' CPU");
    r = redisCommand(s->c, "EXISTS t:owned:%s", s->nodes[victim].id);
    assert_int_equal(r->integer, 0);
    freeReplyObject(r);
}

/* ---- One real directory ---- */

struct party {
    struct directory *d;
    size_t streams, answers, found;
    bool closed;
};

static void on_stream(void *arg, const char *name, const struct stream_record *record)
{
    (void)name;
    ((struct party *)arg)->streams += record != NULL;
}

static void on_nodes(void *arg)
{
    (void)arg;
}

static void on_claim_lost(void *arg, const char *name, uint64_t epoch, const char *owner)
{
    (void)arg;
    (void)name;
    (void)epoch;
    (void)owner;
}

static void on_found(void *arg, const struct stream_record *record, bool known)
{
    struct party *p = arg;

    p->answers++;
    p->found += record && known;
}

static void on_closed(void *arg)
{
    ((struct party *)arg)->closed = true;
}

static double rss(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    unsigned long size = 0, resident = 0;

    if (f) {
        if (fscanf(f, "%lu %lu", &size, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return (double)resident * 4096;
}

static void find_all(struct test_loop *loop, struct party *p, const char *what, const char *format)
{
    char name[48];
    double began = now_s();

    p->answers = p->found = 0;
    for (size_t i = 0; i < FINDS; i++) {
        snprintf(name, sizeof(name), format, i % n_streams);
        directory_find(p->d, name, on_found, p);
    }
    for (int i = 0; i < 1000 && p->answers < FINDS; i++)
        test_loop_run_for(loop, 10000);
    assert_int_equal(p->answers, FINDS);
    figure(what, FINDS / (now_s() - began), "a second");
}

static void a_directory_learns_all_and_answers_from_memory(void **state)
{
    static const struct directory_ops ops = {on_stream, on_nodes, on_claim_lost};
    struct scene *s = *state;
    struct test_loop loop;
    struct party p = {0};
    const struct node_record *v;
    char address[32];
    const char *error;
    double before = rss(), began = now_s(), cpu = cpu_s();

    snprintf(address, sizeof(address), "127.0.0.1:%u", s->redis.port);
    test_loop_init(&loop);
    struct directory_cfg cfg = {.address = address, .password = "", .prefix = "t:", .lease_us = 60000000,
                                .self = {.id = "observer", .role = NODE_EDGE, .region = "r0", .started_us = 1}, .ops = &ops, .arg = &p};
    assert_int_equal(directory_open(&p.d, loop.w, &cfg, &error), 0);
    for (int i = 0; i < 6000 && (p.streams < n_streams || directory_nodes(p.d, &v) < n_nodes + 1); i++)
        test_loop_run_for(&loop, 10000);
    assert_int_equal(p.streams, n_streams);
    assert_int_equal(directory_nodes(p.d, &v), n_nodes + 1);
    figure("a new node knows all nodes and streams after", now_s() - began, "s");
    figure("its CPU for it", cpu_s() - cpu, "s");
    figure("its memory for it", (rss() - before) / 1e6, "MB");
    find_all(&loop, &p, "streams found from memory", "live/stream-%zu");
    assert_int_equal(p.found, FINDS);
    find_all(&loop, &p, "unknown streams asked of Redis", "live/nobody-%zu");
    assert_int_equal(p.found, 0);
    directory_close(p.d, 500000, on_closed, &p);
    for (int i = 0; i < 300 && !p.closed; i++)
        test_loop_run_for(&loop, 10000);
    assert_true(p.closed);
    worker_destroy(&loop.w);
}

/* ---- The choices ---- */

static void parents_are_chosen_quickly_and_spread(void **state)
{
    struct scene *s = *state;
    size_t *load = calloc(n_nodes, sizeof(*load)), most = 0, sum = 0, used = 0;
    struct parent_list out;
    char name[40];

    assert_non_null(load);
    double began = now_s();
    size_t edge = 0;
    for (size_t i = 0; i < CHOICES; i++) {
        do
            edge = (edge + 1) % n_nodes;
        while (s->nodes[edge].role != NODE_EDGE);
        parents_choose(&out, &s->nodes[edge], s->nodes, n_nodes, stream_name(i % n_streams, name), owner_of(i % n_streams));
        assert_true(out.n > 0);
        load[strtoul(strrchr(out.v[0].id, '-') + 1, NULL, 10)]++;
    }
    figure("choosing parents", (now_s() - began) * 1e6 / CHOICES, "us");
    for (size_t i = 0; i < n_nodes; i++) {
        if (s->nodes[i].role != NODE_BACKBONE)
            continue;
        used++;
        sum += load[i];
        most = load[i] > most ? load[i] : most;
    }
    figure("the busiest backbone, of the mean", 100.0 * (double)most * (double)used / (double)sum, "%");
    assert_true(most * used < sum * 2);
    free(load);
}

static void viewers_are_spread_over_the_near_edges(void **state)
{
    struct scene *s = *state;
    size_t *load = calloc(n_nodes, sizeof(*load)), most = 0, used = 0;
    uint32_t random = 12345;

    assert_non_null(load);
    double began = now_s();
    for (size_t i = 0; i < CHOICES; i++) {
        struct place place = {0};
        snprintf(place.region, sizeof(place.region), "r%zu", i % REGIONS);
        random = random * 1664525 + 1013904223;
        struct choose_query q = {.role = NODE_EDGE, .place = &place, .random = random ^ random >> 13};
        int at = choose_node(s->nodes, n_nodes, &q);
        assert_true(at >= 0);
        assert_string_equal(s->nodes[at].region, place.region);
        load[at]++;
    }
    figure("choosing an edge for a viewer", (now_s() - began) * 1e6 / CHOICES, "us");
    for (size_t i = 0; i < n_nodes; i++) {
        used += load[i] > 0;
        most = load[i] > most ? load[i] : most;
    }
    figure("edges that get viewers", (double)used, "");
    figure("the busiest edge, of the mean (loads are 0 to 60%)", 100.0 * (double)most * (double)used / CHOICES, "%");
    free(load);
}

static int set_up(void **state)
{
    static struct scene s;

    test_redis_start(&s.redis);
    s.c = redisConnect("127.0.0.1", s.redis.port);
    assert_non_null(s.c);
    assert_int_equal(s.c->err, 0);
    s.nodes = calloc(n_nodes, sizeof(*s.nodes));
    assert_non_null(s.nodes);
    for (size_t i = 0; i < n_nodes; i++)
        make_node(&s.nodes[i], i);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    redisFree(s->c);
    free(s->nodes);
    test_redis_kill(&s->redis);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(redis_carries_all_claims_and_looks_at_each_of_them),
        cmocka_unit_test(redis_carries_the_beats_of_all_nodes),
        cmocka_unit_test(a_directory_learns_all_and_answers_from_memory),
        cmocka_unit_test(redis_tells_all_nodes_of_streams),
        cmocka_unit_test(redis_forgets_a_dead_owner_s_streams),
        cmocka_unit_test(parents_are_chosen_quickly_and_spread),
        cmocka_unit_test(viewers_are_spread_over_the_near_edges),
    };

    for (int i = 1; i + 1 < argc; i += 2) {
        size_t value = strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--nodes") == 0)
            n_nodes = value - value % 500; /* every region has its share */
        else if (strcmp(argv[i], "--streams") == 0)
            n_streams = value;
    }
    if (n_nodes < 500 || n_streams < 1) {
        fprintf(stderr, "usage: scale [--nodes N] [--streams N]   at least 500 nodes, in steps of 500\n");
        return 1;
    }
    printf("%zu nodes in %d regions, %zu streams\n", n_nodes, REGIONS, n_streams);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
