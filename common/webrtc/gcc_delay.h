/* SPDX-License-Identifier: Apache-2.0
 * gcc_delay.h - whether a queue grows on the way: the delay part of GCC.
 *
 * Packets sent within 5 ms are one group; how much later than its predecessor each group came, less how much later it was
 * sent, is summed up and smoothed, and a line is drawn through the last 20 sums. Its slope against a threshold that
 * adapts itself says whether the path is overused.
 * Pure; embedded in struct gcc. Source: draft-ietf-rmcat-gcc-02 s4; the trendline in place of the Kalman filter, with the
 * constants that browsers have (in milliseconds, as there). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { GCC_TREND_POINTS = 20 };

enum gcc_usage { GCC_NORMAL = 0, GCC_OVERUSED, GCC_UNDERUSED };

struct gcc_group {
    uint64_t first_sent_us, last_sent_us;
    int64_t first_arrival_us, last_arrival_us;
    bool any;
};

/* One of the line's: in us, and in eighths of one. */
struct gcc_point {
    uint64_t arrival, delay;
};

/* Over the points of a line. What becomes of them (gcc_delay.c) fits 64 bits, so it does not matter that they wrap around. */
struct gcc_sums {
    uint64_t x, y, xy, xx;
};

struct gcc_delay {
    struct gcc_group now, before;
    struct gcc_sums sums;
    unsigned n_points, next_point, n_deltas;
    double sum_ms, smooth_ms;   /* of the delay's differences */
    double trend, threshold_ms;
    double over_ms;             /* how long above the threshold; < 0: not */
    unsigned over_count;
    unsigned sudden;            /* groups on end that came far too late, before there is a trend */
    uint64_t threshold_us;      /* when the threshold was adapted */
    enum gcc_usage usage;
    struct gcc_point points[GCC_TREND_POINTS]; /* a ring; of it only the oldest is looked at */
};

void gcc_delay_init(struct gcc_delay *d);
/* Forgets what it saw, but for the threshold: after a queue that was made on purpose. */
void gcc_delay_restart(struct gcc_delay *d);
/* A packet was received; both times in clocks of their own. In the order of sending, as feedback has it. */
void gcc_delay_on_packet(struct gcc_delay *d, uint64_t sent_us, int64_t arrival_us, uint64_t now_us);
