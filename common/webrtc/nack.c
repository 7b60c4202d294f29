/* SPDX-License-Identifier: Apache-2.0
 * nack.c - the list of missing numbers, ascending, with the history of each; see nack.h.
 *
 * A plain array: it is empty nearly always, a few entries under loss, and a thousand for a moment. */
#include "webrtc/nack.h"

#include <string.h>

_Static_assert((NACK_HISTORY & (NACK_HISTORY - 1)) == 0, "ring of bits by mask");

/* ---- numbers seen: a ring of bits over the last NACK_HISTORY up to highest ------------------------- */

static void seen_set(struct nack_gen *g, uint64_t seq)
{
    g->seen[seq % NACK_HISTORY / 64] |= (uint64_t)1 << (seq % 64);
}

static bool seen_has(const struct nack_gen *g, uint64_t seq)
{
    return g->seen[seq % NACK_HISTORY / 64] >> (seq % 64) & 1;
}

/* highest becomes `to`: the ring's places for the numbers above it are free again. */
static void seen_advance(struct nack_gen *g, uint64_t to)
{
    if (to - g->highest >= NACK_HISTORY)
        memset(g->seen, 0, sizeof(g->seen));
    else
        for (uint64_t s = g->highest + 1; s <= to; s++)
            g->seen[s % NACK_HISTORY / 64] &= ~((uint64_t)1 << (s % 64));
    g->highest = to;
}

/* ---- the missing ones ------------------------------------------------------------------------------ */

/* Index of the first entry >= seq. */
static size_t missing_place(const struct nack_gen *g, uint64_t seq)
{
    size_t low = 0, high = g->n;

    while (low < high) {
        size_t mid = (low + high) / 2;
        if (g->missing[mid].seq < seq)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static bool missing_find(const struct nack_gen *g, uint64_t seq, size_t *at)
{
    *at = missing_place(g, seq);
    return *at < g->n && g->missing[*at].seq == seq;
}

static void missing_remove(struct nack_gen *g, size_t at)
{
    g->n--;
    memmove(&g->missing[at], &g->missing[at + 1], (g->n - at) * sizeof(g->missing[0]));
}

static void give_up(struct nack_gen *g, uint64_t first, uint64_t last, size_t n)
{
    g->counters.given_up += n;
    if (n && g->cfg.on_give_up)
        g->cfg.on_give_up(g->cfg.arg, first, last, n);
}

/* highest becomes `to`, and the numbers between (to itself when it has not come) are missing. */
static void advance(struct nack_gen *g, uint64_t to, bool came, uint64_t now_us)
{
    uint64_t first = g->highest + 1, gap = to - g->highest - (came ? 1 : 0);

    seen_advance(g, to);
    if (came)
        seen_set(g, to);
    g->counters.missed += gap;
    if (g->n + gap > NACK_MISSING_MAX) {
        uint64_t oldest = g->n ? g->missing[0].seq : first;
        size_t all = g->n + (size_t)gap;
        g->n = 0;
        give_up(g, oldest, first + gap - 1, all);
        return;
    }
    for (uint64_t i = 0; i < gap; i++)
        g->missing[g->n++] = (struct nack_missing){.seq = first + i, .since_us = now_us};
}

/* ---- round trip -------------------------------------------------------------------------------------- */

static uint64_t retry_us(const struct nack_gen *g)
{
    uint64_t us = g->rtt_us + g->rtt_us / 4;

    return us > NACK_RETRY_MIN_US ? us : NACK_RETRY_MIN_US;
}

/* The answer to a single request measures the round trip. After several it is not known which of them was
 * answered (Karn); but were those left out, an estimate too low would never be corrected, as every packet would
 * be asked for twice. So they count too, from about the first request on, with little weight. */
static void measure_rtt(struct nack_gen *g, const struct nack_missing *m, uint64_t now_us)
{
    uint64_t since = m->since_us + (m->tries == 1 ? m->asked_after_us : g->cfg.reorder_us);
    uint64_t sample = now_us > since ? now_us - since : 0;

    if (g->rtt_told)
        return;
    if (m->tries == 1) {
        g->rtt_us = g->rtt_us - g->rtt_us / 8 + sample / 8;
    } else if (sample > g->rtt_us) {
        uint64_t cap = 2 * g->rtt_us + NACK_RETRY_MIN_US;
        g->rtt_us += ((sample < cap ? sample : cap) - g->rtt_us) / 16;
    }
}

/* ---- the interface ------------------------------------------------------------------------------------ */

void nack_gen_init(struct nack_gen *g, const struct nack_cfg *cfg)
{
    g->cfg = *cfg;
    if (!g->cfg.max_age_us)
        g->cfg.max_age_us = 500000;
    if (!g->cfg.reorder_us)
        g->cfg.reorder_us = 5000;
    if (!g->cfg.reorder_packets)
        g->cfg.reorder_packets = 16;
    g->highest = 0;
    g->started = false;
    g->rtt_us = NACK_RTT_FIRST_US;
    g->rtt_told = false;
    g->n = 0;
    g->counters = (struct nack_counters){0};
    memset(g->seen, 0, sizeof(g->seen));
}

void nack_gen_start(struct nack_gen *g, uint64_t seq)
{
    g->started = true;
    g->highest = seq - 1;
}

static enum nack_seen on_old_packet(struct nack_gen *g, uint64_t seq, bool resent, uint64_t now_us)
{
    size_t at;

    if (missing_find(g, seq, &at)) {
        struct nack_missing m = g->missing[at];
        missing_remove(g, at);
        if (g->highest - seq < NACK_HISTORY)
            seen_set(g, seq);
        if (m.tries == 0) {
            g->counters.reordered++;
            return NACK_REORDERED;
        }
        if (resent)
            measure_rtt(g, &m, now_us);
        g->counters.recovered++;
        return NACK_RECOVERED;
    }
    if (g->highest - seq >= NACK_HISTORY)
        return NACK_LATE;
    if (seen_has(g, seq)) {
        g->counters.duplicates++;
        return NACK_DUPLICATE;
    }
    seen_set(g, seq);
    return NACK_LATE;
}

static enum nack_seen on_packet(struct nack_gen *g, uint64_t seq, bool resent, uint64_t now_us)
{
    if (!g->started)
        nack_gen_start(g, seq);
    if (seq <= g->highest)
        return on_old_packet(g, seq, resent, now_us);
    advance(g, seq, true, now_us);
    return NACK_NEW;
}

enum nack_seen nack_gen_on_packet(struct nack_gen *g, uint64_t seq, uint64_t now_us)
{
    return on_packet(g, seq, false, now_us);
}

enum nack_seen nack_gen_on_resent(struct nack_gen *g, uint64_t seq, uint64_t now_us)
{
    return on_packet(g, seq, true, now_us);
}

void nack_gen_on_highest(struct nack_gen *g, uint64_t seq, uint64_t now_us)
{
    if (g->started && seq > g->highest)
        advance(g, seq, false, now_us);
}

void nack_gen_forget(struct nack_gen *g, uint64_t seq)
{
    size_t at;

    if (!missing_find(g, seq, &at))
        return;
    missing_remove(g, at);
    g->counters.given_up++;
}

void nack_gen_set_rtt(struct nack_gen *g, uint64_t rtt_us)
{
    g->rtt_us = g->rtt_told ? g->rtt_us - g->rtt_us / 8 + rtt_us / 8 : rtt_us;
    g->rtt_told = true;
}

/* When the next request for m is due; UINT64_MAX when there will be none. */
static uint64_t ask_due_us(const struct nack_gen *g, const struct nack_missing *m)
{
    if (g->cfg.count_only || m->tries >= NACK_TRIES_MAX)
        return UINT64_MAX;
    if (m->tries)
        return m->since_us + m->asked_after_us + retry_us(g);
    return g->highest - m->seq >= g->cfg.reorder_packets ? m->since_us : m->since_us + g->cfg.reorder_us;
}

/* When m is given up: by age, or when the last of its requests has had its time. */
static uint64_t give_up_due_us(const struct nack_gen *g, const struct nack_missing *m)
{
    uint64_t by_age = m->since_us + g->cfg.max_age_us;
    uint64_t by_tries = m->since_us + m->asked_after_us + retry_us(g);

    return m->tries >= NACK_TRIES_MAX && by_tries < by_age ? by_tries : by_age;
}

size_t nack_gen_poll(struct nack_gen *g, uint64_t now_us, uint64_t *out, size_t cap)
{
    uint64_t first = 0, last = 0;
    size_t kept = 0, asked = 0, gone = 0;

    for (size_t i = 0; i < g->n; i++) {
        struct nack_missing m = g->missing[i];
        if (now_us >= give_up_due_us(g, &m)) {
            first = gone++ ? first : m.seq;
            last = m.seq;
            continue;
        }
        if (asked < cap && now_us >= ask_due_us(g, &m)) {
            out[asked++] = m.seq;
            m.asked_after_us = (uint32_t)(now_us - m.since_us);
            m.tries++;
        }
        g->missing[kept++] = m;
    }
    g->n = kept;
    g->counters.requested += asked;
    give_up(g, first, last, gone);
    return asked;
}

uint64_t nack_gen_due_us(const struct nack_gen *g)
{
    uint64_t due = UINT64_MAX;

    for (size_t i = 0; i < g->n; i++) {
        uint64_t ask = ask_due_us(g, &g->missing[i]), end = give_up_due_us(g, &g->missing[i]);
        uint64_t first = ask < end ? ask : end;
        due = first < due ? first : due;
    }
    return due;
}
