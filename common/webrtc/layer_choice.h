/* SPDX-License-Identifier: Apache-2.0
 * layer_choice.h - which simulcast layer a viewer should see: the best that its network carries, not above what it asked
 * for itself.
 *
 * Down at once; up only when there has been room for a while, and a longer while after a step down, so that a viewer
 * on the border between two layers does not see the picture change all the time. A step up that did not last makes that
 * twice as long: behind a policer what is sent for a moment comes whole, and every try would cost the viewer a pause.
 * Pure: time is an argument. Thread: the worker's. Ownership: embedded in its owner. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LAYER_UP_US = 2000000,          /* room for the better layer before it is taken ... */
    LAYER_UP_AGAIN_US = 10000000,   /* ... and after a step down for want of room; twice as long after each that did ... */
    LAYER_UP_LASTS_US = 5000000,    /* ... not last this long ... */
    LAYER_UP_AGAIN_MOST_US = 40000000, /* ... but no longer than this */
    LAYER_UP_PERCENT = 115,         /* of its rate: room */
    LAYER_ANY = -1,                 /* no choice of the viewer's own */
};

/* A layer as it is now; layers are numbered from the smallest picture up. */
struct layer_option {
    uint64_t bps;     /* measured; 0: not known */
    uint32_t pixels;  /* 0: not known */
    bool silent;      /* its publisher does not send it just now */
};

struct layer_choice {
    int most;              /* the viewer's own choice; LAYER_ANY */
    uint64_t room_since_us; /* for a better layer; 0: there is none */
    uint64_t lowered_us;   /* the last step down for want of room; 0: none */
    uint64_t raised_us;    /* the last step up, until it has failed; 0: none */
    uint64_t again_us;     /* how long after lowered_us the next step up may come */
};

void layer_choice_init(struct layer_choice *c);
/* The viewer's own choice: no better layer than that, and that one at once where there is room. LAYER_ANY: the best. */
void layer_choice_limit(struct layer_choice *c, int most);
/* The layer to be seen from now on. n >= 1, current < n; allowed_bps: what the network carries for video, UINT64_MAX when
 * nobody knows. The lowest layer is sent whatever the network carries. */
size_t layer_choice_pick(struct layer_choice *c, const struct layer_option *layers, size_t n, size_t current,
                         uint64_t allowed_bps, uint64_t now_us);
/* What layer i takes: as measured, else by its pixels and a layer that is measured, or by a usual figure. */
uint64_t layer_bps(const struct layer_option *layers, size_t n, size_t i);
