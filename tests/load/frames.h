/* SPDX-License-Identifier: Apache-2.0
 * frames.h - what a viewer sees of the picture: whole frames, breaks, freezes, and how old they are.
 *
 * The stamp is how delay is measured: a publisher of millrace-load puts the time of sending into one of some frames as an H.264
 * SEI (user data unregistered), which relays carry along; a viewer on the same host (or one of the same time) finds it.
 *
 * Pure; one thread at a time. Source: H.264 s7.3.2.3.1, annex D.1.7; freezes as in the W3C's webrtc-stats (freezeCount):
 * a frame that comes later than max(3 intervals, interval + 150 ms) after the one before. */
#pragma once

#include "tally.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- The stamp ---------------------------------------------------------------------------------------- */

enum { STAMP_NAL_BYTES = 2 + 1 + 16 + 16 + 1 /* NAL and payload type, size, UUID, 16 hex digits, trailing bits */ };

/* A whole SEI NAL unit that says unix_us. No emulation prevention is needed: its bytes are never small. */
void stamp_write(uint8_t dst[STAMP_NAL_BYTES], uint64_t unix_us);
/* Looks for a stamp in the first bytes of a frame, in whatever packaging. */
bool stamp_find(const uint8_t *bytes, size_t len, uint64_t *unix_us);

/* Those that have come to a thread lately: the first viewer to get one is told by it. */
enum { STAMPS_SEEN = 32 };

struct stamps_seen {
    uint64_t unix_us[STAMPS_SEEN]; /* 0: none */
    unsigned next;
};

/* Whether it comes for the first time. */
bool stamps_seen_push(struct stamps_seen *s, uint64_t unix_us);

/* ---- Frames -------------------------------------------------------------------------------------------- */

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
