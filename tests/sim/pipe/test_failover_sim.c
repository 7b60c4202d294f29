/* SPDX-License-Identifier: Apache-2.0
 * test_failover_sim.c - a child whose parents die, at any moment, over paths that lose and reorder: on a virtual clock.
 *
 * The origin's packets reach every parent, a little later at each; a parent keeps them (cache/cache.h), sends them on, and answers requests.
 * The child keeps what comes, asks for what is missing (pipe/recovery.h), and when its parent is dead - it notices at once, or after up to 0.7 s
 * of silence - subscribes at the next one from the first packet that it misses (cache_next_missing), as relay/pull.c does. Every packet must
 * come (but for one in 100,000 that is given up after a second of requests), and be new to the cache once. Every run has a seed, printed when it fails; MILLRACE_SEED=n runs that one alone. */
#include "events.h"

#include "cache/cache.h"
#include "pipe/recovery.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PARENTS = 3,
    PACKETS = 2500,
    TAIL = 600, /* of the last ones nothing later shows that they are lost */
    FIRST = PACKET_SEQ_FIRST,
    GIVE_UP_US = 1000000,
    SILENCE_US = 700000,
    HOLES_MAX = 2048,
    READY_US = 600000, /* before the beginning is whole, a new parent is asked for all of it (relay/pull.c) */
    PACE_US = 50, /* between two packets */
};

struct path {
    const char *name;
    uint64_t delay_us, jitter_us; /* one way */
    double loss;
    uint64_t every_us; /* between two packets */
    unsigned deaths, seeds;
};

static const struct path paths[] = {
    {"40 ms, 5 % loss, two deaths", 40000, 0, 0.05, 1000, 2, 400},
    {"40 ms, 5 % loss, 10 ms jitter, four deaths", 40000, 10000, 0.05, 1000, 4, 400},
    {"1 ms, 1 % loss, six deaths", 1000, 500, 0.01, 1000, 6, 400},
    {"100 ms, 3 % loss, 20 Mbit/s, two deaths", 100000, 5000, 0.03, 500, 2, 300},
    {"nothing lost, four deaths", 20000, 0, 0, 1000, 4, 100},
};

enum event_kind {
    SEND,      /* the origin: packet number */
    FEED,      /* parent `who` gets it */
    ARRIVE,    /* the child gets it by association `who` */
    REQUEST,   /* the parent of association `who` is asked for count from number on */
    SUBSCRIBE, /* the parent of association `who` is told where to go on */
    STARTED,   /* the child is told where association `who` starts */
    DIE,
    NOTICE,    /* the child: association `who` is dead */
};

struct parent {
    struct cache *cache;
    uint64_t delay_us; /* from the origin */
    unsigned serves;   /* the association that it serves; 0: none */
    uint64_t from;
    uint64_t free_us; /* when it can send the next packet */
    bool dead;
};

struct run {
    const struct path *path;
    struct dice dice;
    uint64_t now_us;
    struct events events;
    struct packet *const *made;
    struct parent parents[PARENTS];
    /* the child */
    struct cache *cache;
    struct recovery recovery;
    struct pipe_counters counters;
    unsigned association; /* number of the present one, from 1; its parent is (association - 1) % PARENTS */
    uint64_t seen_by[PACKETS]; /* association by which it came last: what the replay window knows */
    unsigned new_ones[PACKETS];
    unsigned failovers;
};

static struct parent *parent_of(struct run *r, unsigned association)
{
    return &r->parents[(association - 1) % PARENTS];
}

/* Over the lossy path; a message of the control connection (sure) always comes. */
static void cross(struct run *r, struct event e, uint64_t later_us, bool sure)
{
    const struct path *p = r->path;

    if (!sure && roll_unit(&r->dice) < p->loss)
        return;
    e.at_us = r->now_us + later_us + p->delay_us + (p->jitter_us && !sure ? roll(&r->dice) % p->jitter_us : 0);
    events_push(&r->events, e);
}

/* ---- Parents --------------------------------------------------------------------------------- */

/* In order: what is live waits for the past. */
static void parent_send(struct run *r, struct parent *p, uint64_t seq)
{
    uint64_t later_us = p->free_us > r->now_us ? p->free_us - r->now_us : 0;

    cross(r, (struct event){.kind = ARRIVE, .who = p->serves, .number = seq}, later_us, false);
    p->free_us = r->now_us + later_us + PACE_US;
}

static void parent_feed(struct run *r, unsigned i, uint64_t seq)
{
    struct parent *p = &r->parents[i];

    assert_true(cache_push(p->cache, r->made[seq - FIRST])); /* of a dead one, that of the node that takes its place */
    if (!p->dead && p->serves && seq >= p->from)
        parent_send(r, p, seq);
}

static void parent_subscribe(struct run *r, const struct event *e)
{
    struct parent *p = parent_of(r, e->who);

    if (p->dead)
        return;
    p->serves = e->who;
    p->from = e->number;
    for (uint64_t at = cache_begin(p->cache); at < cache_end(p->cache); at++) {
        const struct packet *k = cache_at(p->cache, at);
        if (k->seq >= p->from)
            parent_send(r, p, k->seq);
    }
    cross(r, (struct event){.kind = STARTED, .who = e->who, .number = p->from}, 0, true);
}

static void parent_resend(struct run *r, const struct event *e)
{
    struct parent *p = parent_of(r, e->who);

    for (uint64_t seq = e->number; !p->dead && p->serves == e->who && seq < e->number + e->count; seq++)
        if (cache_find(p->cache, 0, 0, seq))
            parent_send(r, p, seq);
}

/* The present parent. */
static void die(struct run *r)
{
    struct parent *p = parent_of(r, r->association);
    uint64_t notice_us = roll(&r->dice) % 2 ? 1000 : SILENCE_US * 3 / 4 + roll(&r->dice) % (SILENCE_US / 4);

    if (p->dead)
        return;
    p->dead = true;
    events_push(&r->events, (struct event){.at_us = r->now_us + notice_us, .kind = NOTICE, .who = r->association});
}

/* ---- The child --------------------------------------------------------------------------------- */

static void child_subscribe(struct run *r)
{
    uint64_t from;

    r->association++;
    recovery_init(&r->recovery, GIVE_UP_US, &r->counters);
    if (!cache_next_missing(r->cache, 0, 0, HOLES_MAX, &from))
        from = FIRST;
    cross(r, (struct event){.kind = SUBSCRIBE, .who = r->association, .number = from}, 0, true);
}

static void child_notice(struct run *r, const struct event *e)
{
    parent_of(r, e->who)->dead = false; /* another node takes its place, and serves nobody yet */
    parent_of(r, e->who)->serves = 0;
    r->failovers++;
    child_subscribe(r);
}

static void child_take(struct run *r, const struct event *e)
{
    size_t i = e->number - FIRST;

    if (e->who != r->association || r->seen_by[i] == e->who)
        return;
    r->seen_by[i] = e->who;
    recovery_push(&r->recovery, e->number, r->now_us);
    r->new_ones[i] += cache_push(r->cache, r->made[i]);
}

static void child_poll(struct run *r)
{
    struct recovery_ask asks[RECOVERY_GAPS_MAX];
    uint64_t rtt_us = 2 * r->path->delay_us + r->path->jitter_us;
    size_t n = recovery_poll(&r->recovery, r->now_us, rtt_us, asks, RECOVERY_GAPS_MAX);

    for (size_t i = 0; i < n; i++)
        cross(r, (struct event){.kind = REQUEST, .who = r->association, .number = asks[i].first, .count = asks[i].count}, 0, false);
}

/* ---- A run --------------------------------------------------------------------------------------- */

static void origin_send(struct run *r, uint64_t seq)
{
    for (unsigned i = 0; i < PARENTS; i++)
        events_push(&r->events, (struct event){.at_us = r->now_us + r->parents[i].delay_us, .kind = FEED, .who = i, .number = seq});
    if (seq + 1 < FIRST + PACKETS)
        events_push(&r->events, (struct event){.at_us = r->now_us + r->path->every_us, .kind = SEND, .number = seq + 1});
}

static void step(struct run *r)
{
    struct event e = events_pop(&r->events);

    r->now_us = e.at_us;
    switch (e.kind) {
    case SEND: origin_send(r, e.number); break;
    case FEED: parent_feed(r, e.who, e.number); break;
    case ARRIVE: child_take(r, &e); break;
    case REQUEST: parent_resend(r, &e); break;
    case SUBSCRIBE: parent_subscribe(r, &e); break;
    case STARTED:
        if (e.who == r->association)
            recovery_start(&r->recovery, e.number, r->now_us);
        break;
    case DIE: die(r); break;
    case NOTICE: child_notice(r, &e); break;
    }
}

static void run_to_end(struct run *r)
{
    for (;;) {
        uint64_t deadline_us = recovery_deadline_us(&r->recovery);
        uint64_t next_us = r->events.n ? r->events.heap[0].at_us : UINT64_MAX;
        if (deadline_us == UINT64_MAX && next_us == UINT64_MAX)
            return;
        if (deadline_us <= next_us) {
            r->now_us = deadline_us > r->now_us ? deadline_us : r->now_us;
            child_poll(r);
        } else {
            step(r);
        }
    }
}

/* The origin's, for all runs over a path. */
static struct pool *make_packets(const struct path *p, struct packet *made[PACKETS])
{
    struct pool *pool;

    assert_int_equal(packet_pool_create(&pool, PACKETS), 0);
    for (size_t i = 0; i < PACKETS; i++) {
        made[i] = packet_create(pool);
        assert_non_null(made[i]);
        made[i]->seq = FIRST + i;
        made[i]->capture_us = 1 + i * p->every_us;
    }
    return pool;
}

static struct cache *make_cache(void)
{
    struct cache_cfg cfg = {.cap_bytes = SIZE_MAX, .cap_packets = 2 * PACKETS, .cap_us = 10000000};
    struct cache *c;

    assert_int_equal(cache_create(&c, &cfg), 0);
    return c;
}

static struct run *run_create(const struct path *p, uint64_t seed, struct packet *const *made)
{
    struct run *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->path = p;
    r->dice.state = seed * 0x9e3779b97f4a7c15U + 1;
    r->now_us = 1;
    r->made = made;
    r->cache = make_cache();
    for (unsigned i = 0; i < PARENTS; i++) {
        r->parents[i].cache = make_cache();
        r->parents[i].delay_us = 1000 + roll(&r->dice) % 50000;
    }
    events_push(&r->events, (struct event){.at_us = 1, .kind = SEND, .number = FIRST});
    child_subscribe(r);
    for (unsigned i = 0; i < p->deaths; i++)
        events_push(&r->events, (struct event){.at_us = READY_US + roll(&r->dice) % ((PACKETS - TAIL) * p->every_us - READY_US), .kind = DIE});
    return r;
}

static void run_destroy(struct run *r)
{
    cache_destroy(&r->cache);
    for (unsigned i = 0; i < PARENTS; i++)
        cache_destroy(&r->parents[i].cache);
    free(r);
}

struct totals {
    uint64_t packets, missing, failovers, asked;
};

static void run_seed(const struct path *p, uint64_t seed, struct packet *const *made, struct totals *t)
{
    struct run *r = run_create(p, seed, made);
    uint64_t missing = 0, twice = 0;

    run_to_end(r);
    for (size_t i = 0; i < PACKETS - TAIL; i++) {
        missing += r->new_ones[i] == 0;
        twice += r->new_ones[i] > 1;
    }
    if (missing || twice)
        printf("seed %" PRIu64 " of '%s': %" PRIu64 " missing, %" PRIu64 " twice, after %u failovers\n", seed, p->name, missing, twice,
               r->failovers);
    assert_int_equal(twice, 0);
    t->packets += PACKETS - TAIL;
    t->missing += missing;
    t->failovers += r->failovers;
    t->asked += r->counters.requested;
    run_destroy(r);
}

static void whoever_dies_nothing_is_missed_and_nothing_comes_twice(void **state)
{
    const char *only = getenv("MILLRACE_SEED");

    (void)state;
    for (size_t i = 0; i < LEN(paths); i++) {
        struct totals t = {0};
        struct packet *made[PACKETS];
        struct pool *pool = make_packets(&paths[i], made);
        uint64_t first = only ? strtoull(only, NULL, 10) : 1, last = only ? first : paths[i].seeds;
        for (uint64_t seed = first; seed <= last; seed++)
            run_seed(&paths[i], seed, made, &t);
        printf("%-44s %5" PRIu64 " failovers, %7" PRIu64 " packets, %" PRIu64 " missing, %" PRIu64 " asked for again\n", paths[i].name,
               t.failovers, t.packets, t.missing, t.asked);
        assert_true(only || t.failovers >= paths[i].seeds);
        if (paths[i].loss > 0) /* what was given up after a second of trying */
            assert_true((double)t.missing <= (double)t.packets * 1e-5);
        else
            assert_int_equal(t.missing, 0);
        for (size_t k = 0; k < PACKETS; k++)
            packet_unref(&made[k]);
        pool_destroy(&pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(whoever_dies_nothing_is_missed_and_nothing_comes_twice)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
