/* SPDX-License-Identifier: Apache-2.0
 * frames.c - freezes; see frames.h. */
#include "frames.h"

enum {
    INTERVAL_FIRST_US = 33333,
    INTERVAL_MIN_US = 5000, /* less is a catch-up, not a frame rate */
    INTERVAL_MAX_US = 200000,
    FREEZE_SLACK_US = 150000,
};

static void check_freeze(struct frame_watch *f, uint64_t at_us)
{
    uint64_t gap = at_us > f->last_us ? at_us - f->last_us : 0;
    uint64_t slack = f->interval_us + FREEZE_SLACK_US;

    if (gap <= 3 * f->interval_us || gap <= slack)
        return;
    f->tally->freezes++;
    f->tally->frozen_us += gap;
    histogram_push(&f->tally->freeze_us, gap);
}

static void learn_interval(struct frame_watch *f, uint64_t ts_us)
{
    uint64_t step = ts_us - f->last_ts_us;

    if (step >= INTERVAL_MIN_US && step <= INTERVAL_MAX_US)
        f->interval_us = f->interval_us ? (f->interval_us * 7 + step) / 8 : step;
    else if (!f->interval_us)
        f->interval_us = INTERVAL_FIRST_US;
}

void frame_watch_push(struct frame_watch *f, uint64_t at_us, uint64_t ts_us, bool keyframe)
{
    f->tally->frames++;
    f->tally->keyframes += keyframe;
    if (f->last_us) {
        histogram_push(&f->tally->step_us, ts_us > f->last_ts_us ? ts_us - f->last_ts_us : 0);
        learn_interval(f, ts_us);
        check_freeze(f, at_us);
    }
    f->last_us = at_us;
    f->last_ts_us = ts_us;
}

void frame_watch_end(struct frame_watch *f, uint64_t now_us)
{
    if (f->last_us && f->interval_us)
        check_freeze(f, now_us);
}
