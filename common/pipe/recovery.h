/* SPDX-License-Identifier: Apache-2.0
 * recovery.h - what is missing of one layer, when to ask for it again, and when to stop asking.
 *
 *   found missing -> (reorder window) -> asked -> (round trip) -> asked ... -> came, or given up
 *
 * What the parent says it has not got may still come to it, and then comes without being asked for. So it is asked for more and
 * more seldom, only in case that it was lost on the way from there.
 *
 * Missing packets are kept as ranges. The reorder window follows what the path does: it widens to what was
 * seen to come late by itself and shrinks slowly.
 * Pure: time is an argument, nothing is allocated. Ownership: none; embed it. Source: RFC 4585 s6.2.1 (what a
 * NACK means), RFC 6298 (the retry follows the round trip). */
#pragma once

#include "base/compiler.h"
#include "pipe/pipe.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    RECOVERY_GAPS_MAX = 512,  /* ranges; 5 % loss of 20 Mbit/s leaves some 20 open, but of the backfill of a new parent some hundreds */
    RECOVERY_SPAN_MAX = 4096, /* packets of one gap asked for: a stall of a second at 40 Mbit/s; what is older comes too late for anyone */
    RECOVERY_PAIR_MAX = 8,    /* packets of a gap that is asked for in pairs */
    RECOVERY_REORDER_MIN_US = 2000,   /* packets of one burst may pass each other in the host itself */
    RECOVERY_REORDER_START_US = 5000,
    RECOVERY_REORDER_MAX_US = 50000,
    RECOVERY_RTT_TELLING_US = 8000,
    RECOVERY_RTT_UNKNOWN_US = 100000, /* between two requests before the first ping came back */
    RECOVERY_GONE_US = 50000, /* after the parent said that it has not got it; then twice as long each time */
};

struct recovery_gap {
    uint64_t first, end;        /* missing: [first, end) */
    uint64_t found_us, next_us; /* when to ask (again) */
    uint64_t asked_us;
    uint32_t tries;
    uint16_t gone; /* requests that were answered with "gone" */
    bool told;     /* the last one was */
};

struct recovery {
    uint64_t give_up_us;
    uint64_t reorder_us, rtt_us;
    struct pipe_counters *counters; /* lost, recovered, repairs, given_up, gone, late, requested */
    bool running; /* the start is known: gaps are real */
    bool based;   /* something was received or the start is known: begin and end hold */
    uint64_t begin, end; /* received or missing: [begin, end) */
    size_t n;
    struct recovery_gap gaps[RECOVERY_GAPS_MAX]; /* in order */
};

/* A range to ask for. */
struct recovery_ask {
    uint64_t first;
    uint32_t count;
};

enum recovery_arrival {
    RECOVERY_NEW,       /* the next one, or one after a gap */
    RECOVERY_RECOVERED, /* it was missing */
    RECOVERY_LATE,      /* it was given up, or lies before the start */
};

void recovery_init(struct recovery *r, uint64_t give_up_us, struct pipe_counters *counters);
/* Sending begins with `first`: what is missing from there on is lost. May come after packets did. */
void recovery_start(struct recovery *r, uint64_t first, uint64_t now_us);
/* This one came before the start did. */
void recovery_have(struct recovery *r, uint64_t seq, uint64_t now_us);
/* All up to `end` has been sent: what has not come of it is missing, though nothing after it shows that. */
void recovery_expect(struct recovery *r, uint64_t end, uint64_t now_us);
/* The layer is no longer sent: nothing is missing. */
void recovery_stop(struct recovery *r);
/* A packet came that was not here before. */
enum recovery_arrival recovery_push_out_of_order(struct recovery *r, uint64_t seq, uint64_t now_us);
static inline enum recovery_arrival recovery_push(struct recovery *r, uint64_t seq, uint64_t now_us)
{
    if (!r->based || seq != r->end)
        return recovery_push_out_of_order(r, seq, now_us);
    r->end = seq + 1;
    return RECOVERY_NEW;
}
/* The parent has not got [first, end), which was asked for. */
void recovery_gone(struct recovery *r, uint64_t first, uint64_t end, uint64_t now_us);
/* Ranges to ask for now: writes at most cap and returns how many; the others stay due. */
size_t recovery_poll(struct recovery *r, uint64_t now_us, uint64_t rtt_us, struct recovery_ask *out,
                     size_t cap);
/* When recovery_poll has something to do; UINT64_MAX: never. */
uint64_t recovery_deadline_us(const struct recovery *r);
/* Whether all up to `end` is here or given up. */
bool recovery_complete(const struct recovery *r, uint64_t end);
