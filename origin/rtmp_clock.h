/* SPDX-License-Identifier: Apache-2.0
 * rtmp_clock.h - RTMP's 32-bit milliseconds into 64-bit media time and capture time.
 *
 * All tracks of a publisher share one clock, so what is done to it keeps them in sync: wraps are
 * unrolled, a jump (an encoder that starts anew, a looped file) is bridged, and the map to the wall clock
 * stays linear until arrival and timestamps have drifted apart beyond a bound.
 * AAC frames are 1024 samples long while RTMP says whole milliseconds: audio_clock counts samples and
 * follows the milliseconds gently.
 * Pure; any thread. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RTMP_JUMP_BACK_MS = 3000,      /* audio and video may be interleaved that badly; more is a new start */
    RTMP_JUMP_FORWARD_MS = 10000,  /* a gap in sending; more is another timeline */
    RTMP_DRIFT_AHEAD_US = 5000000,   /* media ahead of the clock: a file sent faster than it plays */
    RTMP_DRIFT_BEHIND_US =
        10000000, /* arrives late: a congested uplink catches up, a slow clock does not */
};

/* Media time begins here, so that in any track's clock a timestamp is at least 2^32. */
#define RTMP_MEDIA_BASE_MS ((uint64_t)1 << 32)

struct rtmp_clock { /* zero: ready */
    bool started;
    uint64_t media_ms;   /* of the newest message; its low bits are not the wire's after a jump */
    uint32_t wire_ms;    /* of the same message */
    uint64_t arrival_us; /* unix; of the same message */
    uint64_t anchor_ms;  /* media time ... */
    uint64_t anchor_us;  /* ... and the unix time it was captured at */
    uint64_t jumps, reanchors;
};

/* Decode time of a message that arrived at unix_us, as 64-bit media milliseconds. */
uint64_t rtmp_clock_push(struct rtmp_clock *c, uint32_t wire_ms, uint64_t unix_us);
/* Capture time (unix) of a moment of the media, ticks in a clock of clock_hz. */
uint64_t rtmp_clock_capture_us(const struct rtmp_clock *c, uint64_t ts_ticks, uint32_t clock_hz);
/* Media milliseconds as ticks. */
uint64_t rtmp_ticks_of_ms(uint64_t media_ms, uint32_t clock_hz);

struct audio_clock { /* zero with clock_hz set: ready */
    uint32_t clock_hz;
    bool started;
    uint64_t next_ticks; /* where the next frame is expected */
    uint64_t resyncs;
};

enum {
    AUDIO_RESYNC_MS = 100,  /* farther off than this, the milliseconds are right and not the count */
    AUDIO_FOLLOW_SHIFT = 6, /* a 64th of the difference a frame: rounding to ms leaves the count exact */
};

/* Timestamp of a frame of frame_ticks that came with media_ms. */
uint64_t audio_clock_push(struct audio_clock *a, uint64_t media_ms, uint32_t frame_ticks);
