/* SPDX-License-Identifier: Apache-2.0
 * bits.h - bounds-checked bit reader over borrowed bytes, most significant bit first.
 *
 * Sticky, as base/reader.h: past the end reads yield 0 and .bad is set; test .bad before a value sizes a
 * loop. With .nal set it leaves out the emulation prevention bytes of NAL units (00 00 03; H.264
 * s7.4.1, H.265 s7.4.2). Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bits {
    const uint8_t *p, *end;
    uint32_t byte, bits_left; /* the byte being read, and its bits still to come */
    uint8_t zeros; /* zero bytes just before p */
    bool nal;
    bool bad;
};

static inline struct bits bits_init(const uint8_t *p, size_t len)
{
    return (struct bits){.p = p, .end = len ? p + len : p};
}

static inline struct bits bits_init_nal(const uint8_t *p, size_t len)
{
    struct bits b = bits_init(p, len);

    b.nal = true;
    return b;
}

static inline void bits_refill(struct bits *b)
{
    if (b->nal && b->zeros >= 2 && b->p < b->end && *b->p == 3) {
        b->p++;
        b->zeros = 0;
    }
    if (b->p == b->end) {
        b->bad = true;
        b->byte = 0;
    } else {
        b->byte = *b->p++;
        b->zeros = b->byte == 0 ? (uint8_t)(b->zeros < 2 ? b->zeros + 1 : 2) : 0;
    }
    b->bits_left = 8;
}

static inline uint32_t bits_u1(struct bits *b)
{
    if (b->bits_left == 0)
        bits_refill(b);
    b->bits_left--;
    return b->byte >> b->bits_left & 1;
}

/* n bits, 0..32. */
static inline uint32_t bits_u(struct bits *b, unsigned n)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n && !b->bad; i++)
        v = v << 1 | bits_u1(b);
    return b->bad ? 0 : v;
}

static inline void bits_skip(struct bits *b, size_t n)
{
    for (size_t i = 0; i < n && !b->bad; i++)
        bits_u1(b);
}

/* Exp-Golomb ue(v) (H.264 s9.1); more than 32 leading zeros is bad. */
static inline uint32_t bits_ue(struct bits *b)
{
    unsigned zeros = 0;

    while (!b->bad && bits_u1(b) == 0)
        zeros++;
    if (zeros > 31)
        b->bad = true;
    if (b->bad)
        return 0;
    return (uint32_t)((1u << zeros) - 1) + bits_u(b, zeros);
}

static inline int32_t bits_se(struct bits *b)
{
    uint32_t k = bits_ue(b); /* 0, 1, -1, 2, -2, ... */

    return k & 1 ? (int32_t)(k / 2 + 1) : -(int32_t)(k / 2);
}
