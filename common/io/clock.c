/* SPDX-License-Identifier: Apache-2.0 */
#include "clock_priv.h"

#include <time.h>

enum { OFFSET_KEPT_US = 1000000 };

static uint64_t read_us(clockid_t id)
{
    struct timespec t;

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t clock_now(struct clock *c)
{
    if (c->fresh)
        return c->now_us;
    c->now_us = read_us(CLOCK_MONOTONIC);
    c->fresh = true;
    if (c->now_us >= c->offset_due_us) {
        c->offset_us = read_us(CLOCK_REALTIME) - c->now_us;
        c->offset_due_us = c->now_us + OFFSET_KEPT_US;
    }
    return c->now_us;
}

uint64_t clock_unix(struct clock *c)
{
    uint64_t now_us = clock_now(c);

    return now_us + c->offset_us;
}
