/* SPDX-License-Identifier: Apache-2.0
 * nack.h - which sequence numbers of one numbered flow are missing, and when to ask for them.
 *
 * Serves WebRTC ingest and pipes alike: numbers are 64-bit, nothing is sent here. A number is asked for when the
 * reorder window has passed over it (late is not lost), again each round-trip time, and given up by
 * age or number of tries. One that still comes later is welcome (NACK_LATE).
 * Pure: time is an argument; no allocation; one thread at a time. Ownership: embedded in its owner.
 * Source: RFC 4585 s6.2.1 (generic NACK), s3.5 (timing of repeated feedback). */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NACK_MISSING_MAX = 1000,      /* more missing at once cannot be repaired in time: all are given up */
    NACK_TRIES_MAX = 10,          /* requests a number */
    NACK_RTT_FIRST_US = 100000,   /* until a round trip was measured or set */
    NACK_RETRY_MIN_US = 10000,    /* the loop and the timer have their own grain */
    NACK_HISTORY = 2048,          /* numbers back from the highest for which duplicates are known */
};

struct nack_cfg {
    uint64_t max_age_us;      /* since it was found missing: later it is of no use. 0: 500 ms */
    uint64_t reorder_us;      /* ask no earlier than this after it was found missing ... 0: 5 ms */
    unsigned reorder_packets; /* ... unless so many higher numbers have come. 0: 16 */
    bool count_only;          /* never ask (feedback not negotiated): what does not come by itself is given up by age */
    /* n numbers between first and last were given up (age, tries, or too many): the medium has a hole there,
     * video wants a keyframe. Called from within on_packet, on_highest or poll. May be NULL. */
    void (*on_give_up)(void *arg, uint64_t first, uint64_t last, size_t n);
    void *arg;
};

struct nack_counters {
    uint64_t missed;     /* numbers found missing */
    uint64_t requested;  /* requests, repeated ones included */
    uint64_t recovered;  /* came after a request */
    uint64_t reordered;  /* came by themselves before the first request */
    uint64_t given_up;
    uint64_t duplicates; /* came more than once */
};

struct nack_missing {
    uint64_t seq;
    uint64_t since_us;      /* found missing */
    uint32_t asked_after_us; /* last request, since since_us */
    uint8_t tries;
};

struct nack_gen {
    struct nack_cfg cfg;
    uint64_t highest;      /* seen or told; valid when started */
    bool started;
    uint64_t rtt_us;       /* smoothed: measured by the answers, or told */
    bool rtt_told;
    size_t n;              /* of missing[], ascending */
    struct nack_counters counters;
    uint64_t seen[NACK_HISTORY / 64]; /* ring of bits: came at least once */
    struct nack_missing missing[NACK_MISSING_MAX];
};

enum nack_seen {
    NACK_NEW,       /* the highest so far */
    NACK_REORDERED, /* was missing, had not been asked for */
    NACK_RECOVERED, /* was missing, asked for */
    NACK_LATE,      /* given up before, or older than the history: new as far as is known */
    NACK_DUPLICATE, /* came before: drop it */
};

void nack_gen_init(struct nack_gen *g, const struct nack_cfg *cfg);
/* The flow is known to begin at seq: if a higher number comes first, those from seq on are missing. Before any
 * packet; without it the first packet is the beginning. */
void nack_gen_start(struct nack_gen *g, uint64_t seq);
/* A packet came. seq >= 1. */
enum nack_seen nack_gen_on_packet(struct nack_gen *g, uint64_t seq, uint64_t now_us);
/* The same for one that is known to be the answer to a request (by RTX): it measures the round trip. A packet that
 * comes after its request may as well be the original, late. */
enum nack_seen nack_gen_on_resent(struct nack_gen *g, uint64_t seq, uint64_t now_us);
/* The other side says that it has sent up to seq: the tail may be missing although nothing higher comes. */
void nack_gen_on_highest(struct nack_gen *g, uint64_t seq, uint64_t now_us);
/* The other side does not have it: no more requests. */
void nack_gen_forget(struct nack_gen *g, uint64_t seq);
/* The round trip as the owner measures it (by pings, say); from then on it is no longer guessed from the answers. */
void nack_gen_set_rtt(struct nack_gen *g, uint64_t rtt_us);

/* The numbers to ask for now, ascending, at most cap; they count as asked. What is too old is given up. */
size_t nack_gen_poll(struct nack_gen *g, uint64_t now_us, uint64_t *out, size_t cap);
/* When to poll next; UINT64_MAX when nothing is missing. May be in the past. */
uint64_t nack_gen_due_us(const struct nack_gen *g);
static inline size_t nack_gen_missing(const struct nack_gen *g)
{
    return g->n;
}
