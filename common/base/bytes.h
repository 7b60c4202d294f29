/* SPDX-License-Identifier: Apache-2.0
 * bytes.h - numbers in network order at an address whose room the caller has checked, where a packet's way is too hot for
 * reader.h and writer.h, which check each.
 *
 * Pure; any thread. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline uint16_t get16(const uint8_t *at)
{
    uint16_t v;

    memcpy(&v, at, sizeof(v));
    return be16toh(v);
}

static inline uint32_t get32(const uint8_t *at)
{
    uint32_t v;

    memcpy(&v, at, sizeof(v));
    return be32toh(v);
}

/* These return where the number ends. */
static inline uint8_t *put16(uint8_t *at, uint16_t v)
{
    v = htobe16(v);
    memcpy(at, &v, sizeof(v));
    return at + sizeof(v);
}

static inline uint8_t *put32(uint8_t *at, uint32_t v)
{
    v = htobe32(v);
    memcpy(at, &v, sizeof(v));
    return at + sizeof(v);
}
