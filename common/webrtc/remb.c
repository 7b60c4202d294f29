/* SPDX-License-Identifier: Apache-2.0
 * remb.c - see remb.h. */
#include "webrtc/remb.h"

#include <string.h>

enum {
    START_BPS = 10000000, /* no limit until a queue was seen */
    LEAST_BPS = 100000,
    MOST_BPS = 100000000,
    STEER_US = 50000,     /* as often as feedback would come */
    TELL_US = 1000000,
    TICKS_MASK = 0xffffff,
};

/* Less by 3 % is told at once. */
static bool is_less(uint64_t bps, uint64_t told_bps)
{
    return bps < told_bps - told_bps / 32;
}

void remb_init(struct remb *r)
{
    memset(r, 0, sizeof(*r));
    gcc_init(&r->gcc, &(struct gcc_cfg){.start_bps = START_BPS, .min_bps = LEAST_BPS, .max_bps = MOST_BPS});
}

/* The newest goes on; a packet that was overtaken keeps its place before it. */
static uint64_t unwrap(struct remb *r, uint32_t ticks)
{
    int32_t step = (int32_t)((ticks - r->sent_ticks) << 8) >> 8;

    if (!r->any) {
        r->any = true;
        r->sent_ticks = ticks;
        r->sent_us = UINT64_C(1) << 32;
        return r->sent_us;
    }
    uint64_t us = (uint64_t)((int64_t)r->sent_us + (int64_t)step * 1000000 / (1 << 18));
    if (step > 0) {
        r->sent_us = us;
        r->sent_ticks = ticks & TICKS_MASK;
    }
    return us;
}

void remb_on_packet(struct remb *r, uint32_t abs_send_time, size_t bytes, uint64_t now_us)
{
    gcc_on_arrival(&r->gcc, unwrap(r, abs_send_time), (int64_t)now_us, (uint32_t)bytes, now_us);
    if (!r->steer_us)
        r->steer_us = now_us + STEER_US;
    if (!r->tell_us)
        r->tell_us = now_us + TELL_US;
}

bool remb_poll(struct remb *r, uint64_t now_us, uint64_t *bps)
{
    if (r->steer_us && now_us >= r->steer_us) {
        gcc_on_arrivals_end(&r->gcc, now_us);
        r->steer_us = 0;
    }
    uint64_t found = gcc_target_bps(&r->gcc);
    bool due = r->tell_us && now_us >= r->tell_us, less = r->told_bps && is_less(found, r->told_bps);
    if (!due && !less)
        return false;
    *bps = r->told_bps = found;
    r->tell_us = 0; /* with the next packet again: who sends nothing needs no limit */
    return true;
}

uint64_t remb_due_us(const struct remb *r)
{
    uint64_t steer_us = r->steer_us ? r->steer_us : UINT64_MAX, tell_us = r->tell_us ? r->tell_us : UINT64_MAX;

    return steer_us < tell_us ? steer_us : tell_us;
}
