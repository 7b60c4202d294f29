/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/recovery.h"

#include <string.h>

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t clamp_u64(uint64_t v, uint64_t low, uint64_t high)
{
    return v < low ? low : v > high ? high : v;
}

void recovery_init(struct recovery *r, uint64_t give_up_us, struct pipe_counters *counters)
{
    *r = (struct recovery){
        .give_up_us = give_up_us,
        .reorder_us = RECOVERY_REORDER_START_US,
        .counters = counters,
    };
}

/* ---- The list of gaps ------------------------------------------------------------------------ */

static void remove_gap(struct recovery *r, size_t i)
{
    memmove(&r->gaps[i], &r->gaps[i + 1], (r->n - i - 1) * sizeof(r->gaps[0]));
    r->n--;
}

static void give_up(struct recovery *r, size_t i)
{
    uint64_t count = r->gaps[i].end - r->gaps[i].first;

    if (r->gaps[i].tries == 0)
        r->counters->lost += count;
    r->counters->given_up += count;
    if (r->gaps[i].gone)
        r->counters->gone += count;
    remove_gap(r, i);
}

/* Puts g at place i. When all places are taken the oldest gap is given up. */
static void insert_gap(struct recovery *r, size_t i, struct recovery_gap g)
{
    if (r->n == RECOVERY_GAPS_MAX) {
        give_up(r, 0);
        i = i ? i - 1 : 0;
    }
    memmove(&r->gaps[i + 1], &r->gaps[i], (r->n - i) * sizeof(r->gaps[0]));
    r->gaps[i] = g;
    r->n++;
}

/* Most packets that were missing belong to one of the newest gaps. */
static size_t find_gap(const struct recovery *r, uint64_t seq)
{
    size_t i = r->n;

    while (i > 0 && r->gaps[i - 1].first > seq)
        i--;
    return i > 0 && seq < r->gaps[i - 1].end ? i - 1 : r->n;
}

static void take_from_gap(struct recovery *r, size_t i, uint64_t seq)
{
    struct recovery_gap *g = &r->gaps[i], rest = *g;

    if (g->end - g->first == 1) {
        remove_gap(r, i);
    } else if (seq == g->first) {
        g->first++;
    } else if (seq == g->end - 1) {
        g->end--;
    } else {
        g->end = seq;
        rest.first = seq + 1;
        insert_gap(r, i + 1, rest);
    }
}

/* ---- Start, stop, arrivals ------------------------------------------------------------------- */

static void add_gap(struct recovery *r, size_t i, uint64_t first, uint64_t end, uint64_t now_us)
{
    if (end - first > RECOVERY_SPAN_MAX) {
        uint64_t beyond = end - first - RECOVERY_SPAN_MAX;
        r->counters->lost += beyond;
        r->counters->given_up += beyond;
        first += beyond;
    }
    insert_gap(r, i, (struct recovery_gap){
        .first = first, .end = end, .found_us = now_us, .next_us = now_us + r->reorder_us});
}

void recovery_start(struct recovery *r, uint64_t first, uint64_t now_us)
{
    r->running = true;
    while (r->n && r->gaps[0].end <= first)
        remove_gap(r, 0);
    if (r->n && r->gaps[0].first < first)
        r->gaps[0].first = first;
    if (!r->based || first >= r->end) {
        r->based = true;
        r->end = first;
    } else if (first < r->begin) {
        add_gap(r, 0, first, r->begin, now_us);
    }
    r->begin = first;
}

void recovery_have(struct recovery *r, uint64_t seq, uint64_t now_us)
{
    size_t i = seq < r->end ? find_gap(r, seq) : r->n;

    if (i < r->n)
        take_from_gap(r, i, seq);
    else
        recovery_expect(r, seq, now_us);
    if (seq >= r->end)
        r->end = seq + 1;
}

void recovery_expect(struct recovery *r, uint64_t end, uint64_t now_us)
{
    if (!r->running || end <= r->end)
        return;
    add_gap(r, r->n, r->end, end, now_us);
    r->end = end;
}

void recovery_stop(struct recovery *r)
{
    r->running = r->based = false;
    r->n = 0;
}

/* It came without our asking, or far too soon for an answer: so late may packets be that are not lost. On
 * short paths the round trip is mostly waiting in the hosts, and nothing can be told from it. */
static void learn_reordering(struct recovery *r, const struct recovery_gap *g, uint64_t now_us)
{
    bool too_soon = r->rtt_us >= RECOVERY_RTT_TELLING_US && now_us - g->asked_us < r->rtt_us / 4;
    bool unasked = g->tries == 0 || (g->tries == 1 && too_soon);
    uint64_t wanted_us = (now_us - g->found_us) * 5 / 4;

    if (unasked && wanted_us > r->reorder_us)
        r->reorder_us = clamp_u64(wanted_us, RECOVERY_REORDER_MIN_US, RECOVERY_REORDER_MAX_US);
}

static enum recovery_arrival push_missing(struct recovery *r, size_t i, uint64_t seq, uint64_t now_us)
{
    learn_reordering(r, &r->gaps[i], now_us);
    if (r->gaps[i].tries) {
        uint64_t repair_us = now_us - r->gaps[i].found_us;
        r->counters->recovered++;
        r->counters->repair_us += repair_us;
        r->counters->slow_repairs += r->rtt_us && repair_us > 2 * r->rtt_us;
    }
    take_from_gap(r, i, seq);
    return RECOVERY_RECOVERED;
}

enum recovery_arrival recovery_push_out_of_order(struct recovery *r, uint64_t seq, uint64_t now_us)
{
    if (!r->based) {
        r->based = true;
        r->begin = r->end = seq;
    }
    if (seq < r->end) {
        size_t i = find_gap(r, seq);
        if (i < r->n)
            return push_missing(r, i, seq, now_us);
        r->counters->late += r->running;
        return RECOVERY_LATE;
    }
    if (seq > r->end) {
        r->reorder_us -= (r->reorder_us - RECOVERY_REORDER_MIN_US) / 64;
        add_gap(r, r->n, r->end, seq, now_us);
    }
    r->end = seq + 1;
    return RECOVERY_NEW;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* Requests come in pairs, a quarter of a round trip apart: where 5 % are lost each way, one request in ten stays
 * without answer, and waiting for that makes a repair take longer than two round trips; both of a pair fail once in a
 * hundred times. That costs the lost packets a second time, no others; a long gap, as a stall leaves, is asked for
 * once. Between pairs a little more than the round trip passes, so that an answer under way is waited for. After two
 * pairs it is the path that is ill, and more requests make it worse. */
static uint64_t retry_us(const struct recovery *r, uint32_t tries, uint64_t count)
{
    uint64_t rtt_us = r->rtt_us ? r->rtt_us : RECOVERY_RTT_UNKNOWN_US;
    uint64_t wait_us = rtt_us + rtt_us / 16 + 1000;

    if (tries > 4)
        return wait_us * 2;
    return tries % 2 && count <= RECOVERY_PAIR_MAX ? wait_us / 4 : wait_us;
}

static void ask(struct recovery *r, struct recovery_gap *g, uint64_t now_us)
{
    uint64_t count = g->end - g->first;

    if (g->tries == 0)
        r->counters->lost += count;
    r->counters->requested += count;
    g->tries++;
    g->told = false;
    g->asked_us = now_us;
    g->next_us = now_us + retry_us(r, g->tries, count);
}

/* A request of a pair may be answered after the other's answer has put the next one off: that counts once. */
static void put_off(const struct recovery *r, struct recovery_gap *g, uint64_t now_us)
{
    if (g->tries == 0 || g->told)
        return;
    uint64_t wait_us = max_u64(retry_us(r, 0, 0), RECOVERY_GONE_US) << (g->gone < 8 ? g->gone : 8);
    g->told = true;
    g->gone++;
    g->next_us = now_us + wait_us;
}

/* Gap i ends at `at`, and the rest is one of its own. */
static void split_gap(struct recovery *r, size_t i, uint64_t at)
{
    struct recovery_gap rest = r->gaps[i];

    r->gaps[i].end = rest.first = at;
    insert_gap(r, i + 1, rest);
}

void recovery_gone(struct recovery *r, uint64_t first, uint64_t end, uint64_t now_us)
{
    for (size_t i = 0; i < r->n && r->gaps[i].first < end; i++) {
        const struct recovery_gap *g = &r->gaps[i];
        bool begins = first > g->first && first < g->end, ends = end < g->end;

        if (g->end <= first)
            continue;
        if ((begins || ends) && r->n == RECOVERY_GAPS_MAX)
            return; /* no place to tell its parts apart: all of it stays as it is */
        if (begins) {
            split_gap(r, i, first);
            continue;
        }
        if (ends)
            split_gap(r, i, end);
        put_off(r, &r->gaps[i], now_us);
    }
}

size_t recovery_poll(struct recovery *r, uint64_t now_us, uint64_t rtt_us, struct recovery_ask *out, size_t cap)
{
    size_t n = 0, i = 0;

    r->rtt_us = rtt_us;
    if (!r->running)
        return 0;
    while (i < r->n) {
        struct recovery_gap *g = &r->gaps[i];
        uint64_t deadline_us = g->found_us + r->give_up_us;

        if (now_us >= deadline_us) {
            give_up(r, i);
            continue;
        }
        if (g->next_us <= now_us && g->tries && now_us + rtt_us > deadline_us) {
            g->next_us = deadline_us; /* an answer would come too late */
        } else if (g->next_us <= now_us && n < cap) {
            out[n++] = (struct recovery_ask){g->first, (uint32_t)(g->end - g->first)};
            ask(r, g, now_us);
        }
        i++;
    }
    return n;
}

uint64_t recovery_deadline_us(const struct recovery *r)
{
    uint64_t due_us = UINT64_MAX;

    for (size_t i = 0; r->running && i < r->n; i++) {
        due_us = min_u64(due_us, r->gaps[i].next_us);
        due_us = min_u64(due_us, r->gaps[i].found_us + r->give_up_us);
    }
    return due_us;
}

bool recovery_complete(const struct recovery *r, uint64_t end)
{
    return r->based && r->end >= end && (r->n == 0 || r->gaps[0].first >= end);
}
