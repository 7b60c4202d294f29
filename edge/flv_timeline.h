/* SPDX-License-Identifier: Apache-2.0
 * flv_timeline.h - a track's 64-bit ticks into the milliseconds of an FLV.
 *
 * Ticks are exact and capture times tie the tracks together: a track goes by its ticks, from an anchor whose
 * capture time is known, and takes a new anchor when the two have parted by FLV_RESYNC_US. A jump of the
 * wall clock, with ticks running on, is no jump of the medium: it is taken out.
 * Pure; any thread. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FLV_RESYNC_US = 100000, /* ticks and capture times may part by so much before the latter win */
    FLV_JUMP_US = 3000000,  /* a step that long is a jump of the clock that makes it */
    FLV_STEP_US = 40000,    /* from the frame before, when nothing tells how long it took */
};

struct flv_timeline { /* zero with clock_hz set: ready */
    uint32_t clock_hz;
    bool anchored, written;
    uint64_t anchor_ticks, anchor_us;
    uint64_t last_ticks, last_capture_us, last_us; /* of the frame before */
    uint64_t shift_us; /* added to capture times, modulo 2^64: jumps that were taken out */
    uint32_t last_dts_ms;
    uint64_t resyncs;
};

struct flv_time {
    uint32_t dts_ms; /* never below the one before */
    int32_t cts_ms;
};

/* Unix time of a frame's presentation, by the track's anchor, which is set or moved here. */
uint64_t flv_timeline_us(struct flv_timeline *t, uint64_t ts_ticks, uint64_t capture_us);
/* After flv_timeline_us for the same frame: base_us is the unix time of the FLV's time 0. */
struct flv_time flv_timeline_push(struct flv_timeline *t, uint64_t ts_ticks, int32_t cts_ticks,
                                  uint64_t base_us);
