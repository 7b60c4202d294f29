/* SPDX-License-Identifier: Apache-2.0
 * layer_meter.h - what comes of a video track: how much of each layer, and the rungs between which a viewer can
 * choose.
 *
 * A row is a simulcast layer, or a spatial layer together with those below it. A rung is a row up to a temporal layer. From
 * the lowest to the best:
 *   keyframes only | row 0: each temporal layer | each further row: without its highest temporal layer, whole
 * A row's whole rung is RTP_LEVEL_ALL, whatever comes of it.
 *
 * Pure: time is an argument. Hot: no allocation. Thread: the worker's. Ownership: embedded. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "webrtc/layer_choice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    METER_ROWS = LAYERS_MAX,
    METER_TEMPORALS = 4,     /* ids above count as the highest */
    METER_WINDOW_US = 1000000,
    METER_SILENT_US = 1000000, /* a few frames of the slowest camera */
    RUNGS_MAX = 1 + METER_TEMPORALS + 2 * (METER_ROWS - 1),
};

struct layer_meter {
    bool scalable;           /* rows are spatial layers */
    uint8_t rows;            /* simulcast layers, or the spatial layers that come */
    uint64_t window_us;      /* since when bytes are counted */
    uint64_t wanted_us[METER_ROWS]; /* simulcast: since when the layer is asked for; 0: it is not */
    uint64_t packet_us[METER_ROWS]; /* its last packet; 0: none */
    uint32_t bytes[METER_ROWS][METER_TEMPORALS], bps[METER_ROWS][METER_TEMPORALS];
};

struct rung {
    uint8_t row;
    int8_t temporal; /* RTP_LEVEL_KEYFRAMES, an id, RTP_LEVEL_ALL */
};

/* What a viewer may and must have. */
struct rung_limits {
    uint8_t row, temporal; /* none above */
    bool keyframes;        /* there is a rung of keyframes only */
};

/* simulcast: how many layers; 0, 1: spatial ones are looked for. */
void layer_meter_init(struct layer_meter *m, uint8_t simulcast, uint64_t now_us);
void layer_meter_push(struct layer_meter *m, const struct packet *p, uint64_t now_us);
/* So many microseconds of media were pushed at once: their rates, instead of waiting for a window. */
void layer_meter_settle(struct layer_meter *m, uint64_t run_us, uint64_t now_us);
/* Several times a second. */
void layer_meter_poll(struct layer_meter *m, uint64_t now_us);
/* Of a row up to a temporal layer, with all that it takes; 0: not known. */
uint64_t layer_meter_bps(const struct layer_meter *m, unsigned row, unsigned temporal);
/* The highest temporal layer that comes of a row. */
unsigned layer_meter_temporal(const struct layer_meter *m, unsigned row);

/* From the lowest to the best, with what layer_choice_pick needs; pixels: of each row. Returns how many, at least 1. */
size_t layer_rungs(const struct layer_meter *m, const uint32_t pixels[METER_ROWS], struct rung_limits limits, uint64_t now_us,
                   struct rung rungs[RUNGS_MAX], struct layer_option options[RUNGS_MAX]);
/* The best rung that is not above this one. */
size_t layer_rung_find(const struct rung *rungs, size_t n, struct rung rung);
