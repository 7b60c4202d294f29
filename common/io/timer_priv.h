/* SPDX-License-Identifier: Apache-2.0
 * timer_priv.h - the heap of a worker's timers.
 *
 * A pairing heap threaded through the timers themselves: starting one allocates nothing and so
 * cannot fail. Thread: the worker's. */
#pragma once

#include "io/timer.h"

struct timer_heap {
    struct timer *root;  /* the one due first */
    uint64_t next_order; /* ties are run in the order of timer_start */
};

/* Runs what is due at now_us, in order. Those that are started from within for now run next time. Where it takes long, media that
 * come meanwhile are not kept waiting (worker_look_again). */
void timer_heap_run(struct timer_heap *h, struct worker *w, uint64_t now_us);
/* When the first may be due; UINT64_MAX when none runs. */
uint64_t timer_heap_next_us(const struct timer_heap *h);
