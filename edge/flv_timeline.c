/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv_timeline.h"

enum { US_A_S = 1000000, US_A_MS = 1000 };

static uint64_t by_anchor(const struct flv_timeline *t, uint64_t ts_ticks)
{
    int64_t ticks = (int64_t)(ts_ticks - t->anchor_ticks), hz = t->clock_hz;

    return t->anchor_us + (uint64_t)(ticks / hz * US_A_S + ticks % hz * US_A_S / hz);
}

static bool within(uint64_t a, uint64_t b, int64_t bound)
{
    int64_t d = (int64_t)(a - b);

    return d <= bound && d >= -bound;
}

static uint64_t anchor(struct flv_timeline *t, uint64_t ts_ticks, uint64_t us)
{
    t->anchored = true;
    t->anchor_ticks = ts_ticks;
    t->anchor_us = us;
    return us;
}

/* Ticks and capture times have parted: whichever did not jump is right. */
static uint64_t resync(struct flv_timeline *t, uint64_t ts_ticks, uint64_t capture_us)
{
    uint64_t us = by_anchor(t, ts_ticks), told_us = capture_us + t->shift_us;

    t->resyncs++;
    if (within(told_us, us, FLV_JUMP_US))
        return anchor(t, ts_ticks, told_us);
    if (within(ts_ticks, t->last_ticks, (int64_t)t->clock_hz * (FLV_JUMP_US / US_A_S))) {
        t->shift_us = us - capture_us;
        return us;
    }
    if (!within(capture_us, t->last_capture_us, FLV_JUMP_US)) { /* both jumped */
        told_us = t->last_us + FLV_STEP_US;
        t->shift_us = told_us - capture_us;
    }
    return anchor(t, ts_ticks, told_us);
}

uint64_t flv_timeline_us(struct flv_timeline *t, uint64_t ts_ticks, uint64_t capture_us)
{
    uint64_t us;

    if (!t->anchored)
        us = anchor(t, ts_ticks, capture_us + t->shift_us);
    else if (within(capture_us + t->shift_us, by_anchor(t, ts_ticks), FLV_RESYNC_US))
        us = by_anchor(t, ts_ticks);
    else
        us = resync(t, ts_ticks, capture_us);
    t->last_ticks = ts_ticks;
    t->last_capture_us = capture_us;
    t->last_us = us;
    return us;
}

/* Milliseconds since base_us, rounded; 0 for what lies before. */
static int64_t to_ms(uint64_t us, uint64_t base_us)
{
    int64_t since_us = (int64_t)(us - base_us);

    return since_us < 0 ? 0 : (since_us + US_A_MS / 2) / US_A_MS;
}

struct flv_time flv_timeline_push(struct flv_timeline *t, uint64_t ts_ticks, int32_t cts_ticks,
                                  uint64_t base_us)
{
    int64_t pts_ms = to_ms(by_anchor(t, ts_ticks), base_us);
    int64_t dts_ms = to_ms(by_anchor(t, ts_ticks - (uint64_t)(int64_t)cts_ticks), base_us);
    int32_t back_ms = (int32_t)((uint32_t)dts_ms - t->last_dts_ms); /* FLV's 32 bits wrap after 49 days */

    if (t->written && back_ms < 0)
        dts_ms -= back_ms;
    t->written = true;
    t->last_dts_ms = (uint32_t)dts_ms;
    return (struct flv_time){(uint32_t)dts_ms, (int32_t)(pts_ms - dts_ms)};
}
