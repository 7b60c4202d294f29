/* SPDX-License-Identifier: Apache-2.0
 * histogram.h - how often a value came: constant memory, merged by adding, percentiles within 1.6%.
 *
 * Values are whole numbers (here microseconds). Below 128 each has a bucket of its own; above, every power of two is cut
 * in 64. Thread: plain data, one at a time. Ownership: embedded. */
#pragma once

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 6,
    HISTOGRAM_BITS = 36, /* greater values count as the greatest: 19 hours in microseconds */
    HISTOGRAM_BUCKETS = (HISTOGRAM_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
    uint64_t count, sum, max;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_push(struct histogram *h, uint64_t value);
/* h += other. */
void histogram_add(struct histogram *h, const struct histogram *other);
/* h -= other, an earlier state of the same: what came since. max stays that of all. */
void histogram_subtract(struct histogram *h, const struct histogram *other);
/* The value that `percent` of all are not above (nearest rank); 0 when empty. */
double histogram_percentile(const struct histogram *h, double percent);
double histogram_mean(const struct histogram *h);
