/* SPDX-License-Identifier: Apache-2.0
 * histogram.c - log-linear buckets; see histogram.h. */
#include "histogram.h"

#include <math.h>
#include <stddef.h>

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

static size_t bucket_of(uint64_t value)
{
    if (value >= UINT64_C(1) << HISTOGRAM_BITS)
        value = (UINT64_C(1) << HISTOGRAM_BITS) - 1;
    if (value < SUB)
        return (size_t)value;
    int shift = 63 - __builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return ((size_t)shift << HISTOGRAM_SUB_BITS) + (size_t)(value >> shift);
}

/* The middle of what falls into it. */
static double value_of(size_t bucket)
{
    if (bucket < 2 * SUB)
        return (double)bucket;
    int shift = (int)(bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t low = (uint64_t)(bucket - ((size_t)shift << HISTOGRAM_SUB_BITS)) << shift;
    return (double)low + (double)((UINT64_C(1) << shift) - 1) / 2;
}

void histogram_push(struct histogram *h, uint64_t value)
{
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
    h->buckets[bucket_of(value)]++;
}

void histogram_add(struct histogram *h, const struct histogram *other)
{
    h->count += other->count;
    h->sum += other->sum;
    if (other->max > h->max)
        h->max = other->max;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += other->buckets[i];
}

void histogram_subtract(struct histogram *h, const struct histogram *other)
{
    h->count -= other->count;
    h->sum -= other->sum;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        h->buckets[i] -= other->buckets[i];
}

double histogram_percentile(const struct histogram *h, double percent)
{
    uint64_t rank = (uint64_t)ceil(percent / 100 * (double)h->count);
    uint64_t below = 0;

    if (h->count == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        below += h->buckets[i];
        if (below >= rank)
            return value_of(i) > (double)h->max ? (double)h->max : value_of(i);
    }
    return (double)h->max;
}

double histogram_mean(const struct histogram *h)
{
    return h->count ? (double)h->sum / (double)h->count : 0;
}
