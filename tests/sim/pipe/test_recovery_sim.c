/* SPDX-License-Identifier: Apache-2.0
 * test_recovery_sim.c - recovery over a simulated path: delay, jitter, loss, duplicates, on a virtual clock.
 *
 * A parent sends packets at a steady rate and answers requests out of a cache that has all; both ways go
 * through the path. Every run has a seed, printed when it fails; MILLRACE_SEED=n runs that one alone. */
#include "events.h"

#include "pipe/recovery.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    PACKETS = 1000,
    FIRST = 1 << 16,
    GIVE_UP_US = 1000000,
};

struct path {
    const char *name;
    uint64_t delay_us, jitter_us; /* one way; each packet is late by 0 .. jitter_us on top */
    double loss, burst,
        duplicate; /* burst: probability that the packet after a lost one is lost too; 0: independent */
    uint64_t every_us;             /* between two packets */
    unsigned seeds;
    /* what must come out, over all seeds */
    double residual_max;      /* of all packets, never arrived */
    double in_two_trips_min;  /* of recovered packets, with less added delay than 2 RTT */
    double needless_max;      /* retransmissions of packets that were not lost, of all packets */
};

static const struct path paths[] = {
    {"40 ms, 5 % loss", 40000, 0, 0.05, 0, 0, 2500, 1500, 1e-4, 0.985, 0.001},
    {"40 ms, 5 % loss, 8 ms jitter, duplicates", 40000, 8000, 0.05, 0, 0.02, 2500, 1500, 1e-4, 0.98, 0.02},
    {"40 ms, 5 % loss in bursts", 40000, 0, 0.02, 0.6, 0, 2500, 500, 1e-3, 0.985, 0.001},
    {"1 ms, 1 % loss", 1000, 0, 0.01, 0, 0, 1000, 500, 1e-6, 0, 0.001},
    {"120 ms, 10 % loss", 120000, 5000, 0.10, 0, 0.01, 2500, 500, 1e-2, 0.95, 0.02},
    {"jitter only, wider than the first window", 20000, 15000, 0, 0, 0.05, 1000, 500, 0, 0, 0.01},
    {"nothing is lost", 40000, 0, 0, 0, 0, 1000, 100, 0, 0, 0},
};

enum event_kind { SEND, ARRIVE, REQUEST };

struct run {
    const struct path *path;
    uint64_t seed, now_us;
    struct dice dice;
    struct events events;
    bool losing; /* the last packet was lost */

    struct recovery recovery;
    struct pipe_counters counters;
    bool sent[PACKETS], dropped[PACKETS], seen[PACKETS];
    unsigned resent[PACKETS];
    uint64_t deliveries;
};

struct totals {
    uint64_t packets, lost, residual, recovered, in_time, needless, added_us;
};

/* ---- The path, and the parent at its other end ----------------------------------------------- */

static bool roll_lost(struct run *r)
{
    const struct path *p = r->path;

    r->losing = roll_unit(&r->dice) < (r->losing && p->burst > 0 ? p->burst : p->loss);
    return r->losing;
}

static void cross(struct run *r, struct event e)
{
    const struct path *p = r->path;
    unsigned copies = roll_unit(&r->dice) < p->duplicate ? 2 : 1;

    if (roll_lost(r)) {
        if (e.kind == ARRIVE)
            r->dropped[e.number - FIRST] = true;
        return;
    }
    for (unsigned i = 0; i < copies; i++) {
        uint64_t late_us = p->jitter_us ? roll(&r->dice) % p->jitter_us : 0;
        e.at_us = r->now_us + p->delay_us + late_us;
        events_push(&r->events, e);
    }
}

static void parent_resend(struct run *r, const struct event *request)
{
    for (uint64_t seq = request->number; seq < request->number + request->count; seq++) {
        assert_in_range(seq, FIRST, FIRST + PACKETS - 1);
        assert_true(r->sent[seq - FIRST]);
        r->resent[seq - FIRST]++;
        cross(r, (struct event){.kind = ARRIVE, .number = seq, .count = 1});
    }
}

static uint64_t due_us(const struct path *p, uint64_t seq)
{
    return 1000000 + (seq - FIRST) * p->every_us; /* when it is sent */
}

static void child_take(struct run *r, uint64_t seq, struct totals *t)
{
    const struct path *p = r->path;
    uint64_t rtt_us = 2 * p->delay_us + p->jitter_us;

    if (r->seen[seq - FIRST])
        return; /* the replay window's work */
    r->seen[seq - FIRST] = true;
    r->deliveries++;
    recovery_push(&r->recovery, seq, r->now_us);
    if (!r->dropped[seq - FIRST])
        return;
    /* undisturbed it would have come at most so late */
    uint64_t expected_us = due_us(p, seq) + p->delay_us + p->jitter_us, added_us = r->now_us - expected_us;
    t->recovered++;
    t->added_us += added_us;
    t->in_time += added_us < 2 * rtt_us;
}

static void child_poll(struct run *r)
{
    struct recovery_ask asks[RECOVERY_GAPS_MAX];
    uint64_t rtt_us = 2 * r->path->delay_us + r->path->jitter_us;
    size_t n = recovery_poll(&r->recovery, r->now_us, rtt_us, asks, RECOVERY_GAPS_MAX);

    for (size_t i = 0; i < n; i++)
        cross(r, (struct event){.kind = REQUEST, .number = asks[i].first, .count = asks[i].count});
    assert_true(recovery_deadline_us(&r->recovery) > r->now_us);
}

/* ---- A run ----------------------------------------------------------------------------------- */

static void step(struct run *r, struct totals *t)
{
    struct event e = events_pop(&r->events);

    r->now_us = e.at_us;
    switch (e.kind) {
    case SEND:
        r->sent[e.number - FIRST] = true;
        cross(r, (struct event){.kind = ARRIVE, .number = e.number, .count = 1});
        if (e.number + 1 < FIRST + PACKETS)
            events_push(&r->events, (struct event){.at_us = due_us(r->path, e.number + 1), .kind = SEND, .number = e.number + 1});
        break;
    case ARRIVE:
        child_take(r, e.number, t);
        break;
    case REQUEST:
        parent_resend(r, &e);
        break;
    }
}

static void run_to_end(struct run *r, struct totals *t)
{
    for (;;) {
        uint64_t deadline_us = recovery_deadline_us(&r->recovery);
        uint64_t next_us = r->events.n ? r->events.heap[0].at_us : UINT64_MAX;
        if (deadline_us == UINT64_MAX && next_us == UINT64_MAX)
            return;
        if (deadline_us <= next_us) {
            r->now_us = deadline_us;
            child_poll(r);
        } else {
            step(r, t);
        }
    }
}

/* The newest packet that came is the last whose loss can be noticed. */
static void add_up(const struct run *r, struct totals *t)
{
    size_t end = PACKETS;

    while (end > 0 && !r->seen[end - 1])
        end--;
    for (size_t i = 0; i < end; i++) {
        t->packets++;
        t->lost += r->dropped[i];
        t->residual += !r->seen[i];
        t->needless += r->dropped[i] ? 0 : r->resent[i];
    }
}

static void run_seed(const struct path *p, uint64_t seed, struct totals *t)
{
    struct run *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    r->path = p;
    r->seed = seed;
    r->dice.state = seed * 0x9e3779b97f4a7c15U + 1;
    r->now_us = 1;
    recovery_init(&r->recovery, GIVE_UP_US, &r->counters);
    recovery_start(&r->recovery, FIRST, r->now_us);
    events_push(&r->events, (struct event){.at_us = due_us(p, FIRST), .kind = SEND, .number = FIRST});
    uint64_t residual = t->residual;
    run_to_end(r, t);
    add_up(r, t);
    residual = t->residual - residual;
    bool sound = r->counters.lost >= r->counters.recovered + r->counters.given_up &&
                 r->counters.given_up >= residual && r->deliveries <= PACKETS && r->recovery.n == 0;
    if (!sound)
        printf("seed %" PRIu64 " of '%s': lost %" PRIu64 " recovered %" PRIu64 " given up %" PRIu64
               " residual %" PRIu64 "\n",
               seed, p->name, r->counters.lost, r->counters.recovered, r->counters.given_up, residual);
    assert_true(sound);
    free(r);
}

static void check(const struct path *p, const struct totals *t)
{
    double packets = (double)t->packets, recovered = t->recovered ? (double)t->recovered : 1;

    printf("%-42s lost %5.2f %%  residual %.1e  in 2 RTT %.4f  mean added %5.1f ms  needless %.4f\n",
           p->name, (double)t->lost * 100 / packets, (double)t->residual / packets,
           (double)t->in_time / recovered, (double)t->added_us / recovered / 1000,
           (double)t->needless / packets);
    assert_true((double)t->residual / packets <= p->residual_max);
    assert_true(p->in_two_trips_min <= (double)t->in_time / recovered);
    assert_true((double)t->needless / packets <= p->needless_max);
}

static void every_path_leaves_no_more_loss_than_it_may(void **state)
{
    const char *only = getenv("MILLRACE_SEED");

    (void)state;
    for (size_t i = 0; i < LEN(paths); i++) {
        struct totals t = {0};
        if (only) {
            run_seed(&paths[i], strtoull(only, NULL, 10), &t);
            continue;
        }
        for (uint64_t seed = 1; seed <= paths[i].seeds; seed++)
            run_seed(&paths[i], seed, &t);
        check(&paths[i], &t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_path_leaves_no_more_loss_than_it_may)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
