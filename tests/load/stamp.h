/* SPDX-License-Identifier: Apache-2.0
 * stamp.h - how delay is measured: when a publisher of millrace-load sent a frame, and when it came.
 *
 * A publisher puts the time of sending into one of some frames as an H.264 SEI (user data unregistered), which relays carry along; a
 * viewer on the same host (or one of the same time) finds it. A NAL unit more is a packet and a message more, so a stamped frame is not
 * what others are. Therefore a stamp also says when the frames since the one before were sent, and by how much earlier their
 * presentation is: a viewer has kept when those came, and tells them by their RTP timestamps, which servers may change by a
 * constant, but not their distances. Where no frame fits, or every frame has a stamp, the stamped frame itself is what is measured.
 *
 * Pure; one thread at a time. Ownership: plain data. Source: H.264 s7.3.2.3.1, annex D.1.7. */
#pragma once

#include "histogram.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STAMP_PAST_MAX = 60, /* frames that a stamp tells of beside its own */
    STAMP_UUID_BYTES = 16,
    STAMP_HEX_BYTES = 16, /* the time of sending */
    STAMP_PAST_BYTES = 12, /* of each frame before it: 6 hex digits of presentation, 6 of sending, both before this one */
    STAMP_BODY_MAX_BYTES = STAMP_UUID_BYTES + STAMP_HEX_BYTES + STAMP_PAST_MAX * STAMP_PAST_BYTES,
    STAMP_NAL_MAX_BYTES = 2 + 4 + STAMP_BODY_MAX_BYTES + 1, /* NAL and payload type, size, body, trailing bits; less than a packet */
};

struct stamp_frame {
    uint64_t pts_us, sent_us; /* of the media's clock; wall clock */
};

/* ---- At the publisher ------------------------------------------------------------------------------------- */

/* The frames since the last stamp. */
struct stamp_past {
    struct stamp_frame frames[STAMP_PAST_MAX];
    unsigned n; /* since the last stamp; the latest STAMP_PAST_MAX are kept */
};

void stamp_past_push(struct stamp_past *p, const struct stamp_frame *f);
/* A whole SEI NAL unit that says f->sent_us and the past, which is empty then. Returns its length. No emulation prevention is needed: its
 * bytes are never small. */
size_t stamp_write(uint8_t dst[STAMP_NAL_MAX_BYTES], const struct stamp_frame *f, struct stamp_past *past);

/* ---- At the viewer ------------------------------------------------------------------------------------------ */

struct stamp {
    uint64_t sent_us;
    unsigned n_past;
    struct {
        int64_t pts_before_us; /* this one's presentation minus its; below 0 with B-frames */
        uint64_t sent_us;
    } past[STAMP_PAST_MAX];
};

/* Looks for a stamp that begins in the first bytes of a frame, in whatever packaging; as much of the past as is there. */
bool stamp_find(const uint8_t *bytes, size_t len, struct stamp *out);

/* When the latest frames of a track came. */
enum { STAMP_ARRIVALS = 128 };

struct stamp_arrivals {
    struct stamp_arrival {
        uint64_t ts_us, unix_us; /* its timestamp, in microseconds; 0: none, or its delay is known */
    } frames[STAMP_ARRIVALS];
    unsigned next;
};

/* The first at each of some viewers to get a frame. It is known when a second has passed in which nobody else told of it. */
enum { STAMP_FIRSTS = 1024 };

struct stamp_firsts {
    struct stamp_first {
        uint64_t sent_us, delay_us, told_us; /* sent_us 0: none */
    } slots[STAMP_FIRSTS];
};

/* Of a thread's viewers. */
struct stamp_counts {
    struct histogram *delay_us;  /* borrowed: where all count */
    struct stamp_firsts *firsts; /* borrowed; NULL: who is the first is not asked */
    struct histogram *first_us;  /* where those count */
};

void stamp_arrivals_push(struct stamp_arrivals *a, uint64_t ts_us, uint64_t unix_us);
/* A stamp was in the frame of ts_us, which came at unix_us: delays become known. now_us: any clock, for firsts. */
void stamp_count(struct stamp_arrivals *a, const struct stamp *s, const struct stamp_arrival *frame, const struct stamp_counts *c, uint64_t now_us);
/* Now and then; all: at the end. */
void stamp_firsts_settle(struct stamp_firsts *f, struct histogram *first_us, uint64_t now_us, bool all);
