/* SPDX-License-Identifier: Apache-2.0
 * gcc_delay.c - see gcc_delay.h. */
#include "webrtc/gcc_delay.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    BURST_US = 5000,         /* s5.2: packets sent in such an interval are one group */
    BURST_LONGEST_US = 100000,
    RESET_US = 3000000,      /* a pause, or a jump of the receiver's clock: begin anew */
    DELTAS_MAX = 60,
    POINTS_LEAST = 10,       /* a short queue is full before there are 20 */
    SUDDEN_MS = 100,         /* and before there are 10, where few packets are sent: as much delay as that ... */
    SUDDEN_GROUPS = 2,       /* ... of so many groups on end is a queue, not a receiver that stood still */
    THRESHOLD_STEP_MS = 100, /* at most counted for one adaptation */
    DELAY_PARTS = 8,         /* of a microsecond */
};

static const double SMOOTHING = 0.9, GAIN = 4.0, THRESHOLD_FIRST_MS = 12.5, THRESHOLD_LEAST_MS = 6.0,
                    THRESHOLD_MOST_MS = 600.0, K_UP = 0.0087, K_DOWN = 0.039, OUTLIER_MS = 15.0, OVERUSE_MS = 10.0;

void gcc_delay_init(struct gcc_delay *d)
{
    memset(d, 0, sizeof(*d));
    d->threshold_ms = THRESHOLD_FIRST_MS;
    d->over_ms = -1;
}

void gcc_delay_restart(struct gcc_delay *d)
{
    double threshold_ms = d->threshold_ms;

    gcc_delay_init(d);
    d->threshold_ms = threshold_ms;
}

/* times: 1, or -1 modulo 2^64. */
static void sums_add(struct gcc_sums *s, const struct gcc_point *p, uint64_t times)
{
    s->x += times * p->arrival;
    s->y += times * p->delay;
    s->xy += times * p->arrival * p->delay;
    s->xx += times * p->arrival * p->arrival;
}

static void push_point(struct gcc_delay *d, int64_t arrival_us, double delay_ms)
{
    struct gcc_point *at = &d->points[d->next_point];

    if (d->n_points == GCC_TREND_POINTS)
        sums_add(&d->sums, at, UINT64_MAX);
    else
        d->n_points++;
    *at = (struct gcc_point){(uint64_t)arrival_us, (uint64_t)(int64_t)(delay_ms * 1000 * DELAY_PARTS)};
    sums_add(&d->sums, at, 1);
    d->next_point = (d->next_point + 1) % GCC_TREND_POINTS;
}

/* Of the line through the points (least squares). Both differences are the same wherever arrivals and delays are counted from, and small
 * for points of a few seconds: exact modulo 2^64. */
static double slope(const struct gcc_delay *d)
{
    const struct gcc_sums *s = &d->sums;
    int64_t above = (int64_t)(d->n_points * s->xy - s->x * s->y), below = (int64_t)(d->n_points * s->xx - s->x * s->x);

    return below > 0 ? (double)above / ((double)below * DELAY_PARTS) : d->trend;
}

/* s5.4: slow to grow, quick to shrink; a single spike does not count. */
static void adapt_threshold(struct gcc_delay *d, double trend_ms, uint64_t now_us)
{
    double off = fabs(trend_ms) - d->threshold_ms;
    double passed_ms = d->threshold_us ? (double)(now_us - d->threshold_us) / 1000 : 0;

    d->threshold_us = now_us;
    if (off > OUTLIER_MS)
        return;
    if (passed_ms > THRESHOLD_STEP_MS)
        passed_ms = THRESHOLD_STEP_MS;
    d->threshold_ms += (off < 0 ? K_DOWN : K_UP) * off * passed_ms;
    d->threshold_ms = fmin(fmax(d->threshold_ms, THRESHOLD_LEAST_MS), THRESHOLD_MOST_MS);
}

/* Before there is a trend. */
static bool is_sudden(struct gcc_delay *d)
{
    d->sudden = d->n_points < POINTS_LEAST && d->sum_ms > SUDDEN_MS ? d->sudden + 1 : 0;
    return d->sudden >= SUDDEN_GROUPS;
}

static void judge(struct gcc_delay *d, double trend, double sent_ms, uint64_t now_us)
{
    unsigned n = d->n_deltas < DELTAS_MAX ? d->n_deltas : DELTAS_MAX;
    double trend_ms = n * trend * GAIN;

    if (trend_ms > d->threshold_ms) {
        d->over_ms = d->over_ms < 0 ? sent_ms / 2 : d->over_ms + sent_ms;
        d->over_count++;
        if (d->over_ms > OVERUSE_MS && d->over_count > 1 && trend >= d->trend) {
            d->over_ms = 0;
            d->over_count = 0;
            d->usage = GCC_OVERUSED;
        }
    } else if (is_sudden(d)) {
        d->usage = GCC_OVERUSED;
    } else {
        d->over_ms = -1;
        d->over_count = 0;
        d->usage = trend_ms < -d->threshold_ms ? GCC_UNDERUSED : GCC_NORMAL;
    }
    d->trend = trend;
    adapt_threshold(d, trend_ms, now_us);
}

static void on_group(struct gcc_delay *d, uint64_t now_us)
{
    double sent_ms = (double)(int64_t)(d->now.last_sent_us - d->before.last_sent_us) / 1000;
    double arrival_ms = (double)(d->now.last_arrival_us - d->before.last_arrival_us) / 1000;

    d->n_deltas++;
    d->sum_ms += arrival_ms - sent_ms;
    d->smooth_ms = SMOOTHING * d->smooth_ms + (1 - SMOOTHING) * d->sum_ms;
    push_point(d, d->now.last_arrival_us, d->smooth_ms);
    judge(d, d->n_points >= POINTS_LEAST ? slope(d) : 0, sent_ms, now_us);
}

/* What arrives at once although it was sent over some time was held up on its way (Wi-Fi): one group too. */
static bool belongs(const struct gcc_group *g, uint64_t sent_us, int64_t arrival_us)
{
    int64_t arrival_by = arrival_us - g->last_arrival_us, sent_by = (int64_t)(sent_us - g->last_sent_us);

    if (sent_us - g->first_sent_us <= BURST_US)
        return true;
    return arrival_by - sent_by < 0 && arrival_by <= BURST_US && arrival_us - g->first_arrival_us < BURST_LONGEST_US;
}

void gcc_delay_on_packet(struct gcc_delay *d, uint64_t sent_us, int64_t arrival_us, uint64_t now_us)
{
    struct gcc_group *g = &d->now;

    if (g->any && (int64_t)(sent_us - g->first_sent_us) < 0)
        return; /* of a group that is done */
    if (g->any && (llabs(arrival_us - g->last_arrival_us) > RESET_US || sent_us - g->last_sent_us > RESET_US))
        gcc_delay_restart(d);
    if (g->any && belongs(g, sent_us, arrival_us)) {
        g->last_sent_us = sent_us > g->last_sent_us ? sent_us : g->last_sent_us;
        g->last_arrival_us = arrival_us > g->last_arrival_us ? arrival_us : g->last_arrival_us;
        return;
    }
    if (g->any && d->before.any)
        on_group(d, now_us);
    if (g->any)
        d->before = *g;
    *g = (struct gcc_group){sent_us, sent_us, arrival_us, arrival_us, true};
}
