/* SPDX-License-Identifier: Apache-2.0
 * events.h - what the simulations of a pipe run on: dice that fall the same for a seed everywhere, and events in the order of
 * their time, those of one time in the order in which they were pushed. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { EVENTS_MAX = 1 << 15 };

/* xorshift64*; the state, a seed, is not 0. */
struct dice {
    uint64_t state;
};

uint64_t roll(struct dice *d);
double roll_unit(struct dice *d); /* 0 <= x < 1 */

struct event {
    uint64_t at_us;
    uint64_t order; /* set by events_push */
    unsigned kind;  /* the simulation's own */
    unsigned who;
    uint64_t number;
    uint32_t count;
};

/* All zero: empty. */
struct events {
    struct event heap[EVENTS_MAX];
    size_t n;
    uint64_t order;
};

/* Fails the test when there are too many. */
void events_push(struct events *q, struct event e);
/* The first one; there must be one. */
struct event events_pop(struct events *q);
