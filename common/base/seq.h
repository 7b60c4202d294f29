/* SPDX-License-Identifier: Apache-2.0
 * seq.h - all arithmetic on numbers that wrap around: RTP sequence numbers and timestamps.
 *
 * Pure; any thread. Source: RFC 1982 (serial number arithmetic), RFC 3550 A.1. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* True when a comes before b on the 16-bit circle (half of it is "before"). */
static inline bool seq16_before(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(a - b) < 0;
}

/* Signed distance from b to a on the 16-bit circle: seq16_diff(1, 65535) == 2. */
static inline int seq16_diff(uint16_t a, uint16_t b)
{
    return (int16_t)(uint16_t)(a - b);
}

static inline bool ts32_before(uint32_t a, uint32_t b)
{
    return (int32_t)(a - b) < 0;
}

/* The 64-bit number nearest to `near64` whose low 16 bits are `seq`. Numbers start at 1 << 16 at
 * least, so that "just before the first" does not fall below zero. */
static inline uint64_t seq16_extend(uint64_t near64, uint16_t seq)
{
    return near64 + (uint64_t)(int64_t)seq16_diff(seq, (uint16_t)near64);
}

/* As seq16_extend, for 32-bit RTP timestamps. */
static inline uint64_t ts32_extend(uint64_t near64, uint32_t ts)
{
    return near64 + (uint64_t)(int64_t)(int32_t)(ts - (uint32_t)near64);
}
