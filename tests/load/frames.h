/* SPDX-License-Identifier: Apache-2.0
 * frames.h - what a viewer sees of the picture: whole frames, breaks, freezes.
 *
 * Pure; one thread at a time. Source: freezes as in the W3C's webrtc-stats (freezeCount): a frame that comes later than
 * max(3 intervals, interval + 150 ms) after the one before. */
#pragma once

#include "tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct frame_watch {
    struct tally *tally; /* borrowed: where it counts */
    uint64_t last_us;    /* arrival of the last whole frame; 0: none yet */
    uint64_t last_ts_us; /* its timestamp */
    uint64_t interval_us; /* between frames by their timestamps, smoothed */
};

/* A whole frame at its turn: at_us is its arrival (any clock), ts_us its timestamp. */
void frame_watch_push(struct frame_watch *f, uint64_t at_us, uint64_t ts_us, bool keyframe);
/* The end: nothing has come since the last frame. */
void frame_watch_end(struct frame_watch *f, uint64_t now_us);
