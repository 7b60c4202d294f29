/* SPDX-License-Identifier: Apache-2.0
 * timer.h - a timer on a worker, in microseconds of its monotonic clock.
 *
 * Embedded in its owner; no close to wait for: timers live in the worker's own heap, not in libuv,
 * so a viewer may have several and stop them in its destructor. Resolution 1 ms.
 * Thread: the worker's. */
#pragma once

#include "io/worker.h"

#include <stdbool.h>
#include <stdint.h>

struct timer {
    void (*on_due)(struct timer *t, uint64_t now_us);
    struct worker *worker;
    uint64_t due_us;
    /* timer.c's own: the heap runs through the timers, so that starting one allocates nothing. */
    struct timer *child, *next, *prev;
    uint64_t order;             /* of timer_start, among those due together */
    uint64_t key_us, key_order; /* place in the heap; behind due_us and order when it was moved later */
    bool running, lazy;
};

void timer_init(struct timer *t, struct worker *w, void (*on_due)(struct timer *, uint64_t now_us));
/* It wakes nobody: it runs in the first turn that there is once it is due, whatever that turn is for. */
void timer_init_lazy(struct timer *t, struct worker *w, void (*on_due)(struct timer *, uint64_t now_us));
/* (Re)starts it: due once, delay_us from now. Repeat by starting again in on_due. Moving a running
 * timer to a later time, as an idle timeout does with every packet, costs two stores. */
void timer_start(struct timer *t, uint64_t delay_us);
/* Harmless when it is not running. */
void timer_stop(struct timer *t);
static inline bool timer_running(const struct timer *t)
{
    return t->running;
}
