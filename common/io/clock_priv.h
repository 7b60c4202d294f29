/* SPDX-License-Identifier: Apache-2.0
 * clock_priv.h - the one place that reads the clocks; everyone else is given the time.
 *
 * The monotonic clock is read at most once a loop turn, when somebody first asks for it. The wall
 * clock is kept as an offset to it, taken anew once a second: a step of the system's clock is
 * followed, but never within a turn.
 * Thread: the worker's. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct clock {
    uint64_t now_us;        /* of this turn, when fresh */
    uint64_t offset_us;     /* unix time = monotonic + offset, modulo 2^64 */
    uint64_t offset_due_us; /* when the offset is taken anew */
    bool fresh;
};

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t clock_now(struct clock *c);
/* Microseconds since 1970. */
uint64_t clock_unix(struct clock *c);
/* The turn is over: the next question reads the clock again. */
static inline void clock_expire(struct clock *c)
{
    c->fresh = false;
}
