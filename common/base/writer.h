/* SPDX-License-Identifier: Apache-2.0
 * writer.h - bounds-checked big-endian writer into a borrowed buffer.
 *
 * Sticky, as the reader is: the first write that does not fit sets .bad and nothing more is
 * written. Write straight through, test .bad once, take writer_len().
 * Pure; any thread. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct writer {
    uint8_t *start, *p, *end; /* start <= p <= end */
    bool bad;
};

static inline struct writer writer_init(void *buf, size_t cap)
{
    uint8_t *b = buf;
    return (struct writer){b, b, b + cap, false};
}

static inline size_t writer_len(const struct writer *w)
{
    return (size_t)(w->p - w->start);
}

/* Space for n bytes at the writer's place, which moves past them; NULL (and .bad) if short. */
static inline uint8_t *writer_take(struct writer *w, size_t n)
{
    if (w->bad || (size_t)(w->end - w->p) < n) {
        w->bad = true;
        return NULL;
    }
    w->p += n;
    return w->p - n;
}

static inline void writer_bytes(struct writer *w, const void *src, size_t n)
{
    uint8_t *b = writer_take(w, n);
    if (b && n)
        memcpy(b, src, n);
}

static inline void writer_u8(struct writer *w, uint8_t v)
{
    uint8_t *b = writer_take(w, 1);
    if (b)
        b[0] = v;
}

static inline void writer_u16(struct writer *w, uint16_t v)
{
    uint8_t *b = writer_take(w, 2);
    if (b) {
        b[0] = (uint8_t)(v >> 8);
        b[1] = (uint8_t)v;
    }
}

static inline void writer_u24(struct writer *w, uint32_t v)
{
    uint8_t *b = writer_take(w, 3);
    if (b) {
        b[0] = (uint8_t)(v >> 16);
        b[1] = (uint8_t)(v >> 8);
        b[2] = (uint8_t)v;
    }
}

static inline void writer_u32(struct writer *w, uint32_t v)
{
    uint8_t *b = writer_take(w, 4);
    if (b) {
        b[0] = (uint8_t)(v >> 24);
        b[1] = (uint8_t)(v >> 16);
        b[2] = (uint8_t)(v >> 8);
        b[3] = (uint8_t)v;
    }
}

static inline void writer_u64(struct writer *w, uint64_t v)
{
    uint8_t *b = writer_take(w, 8);
    for (unsigned i = 0; b && i < 8; i++)
        b[i] = (uint8_t)(v >> (56 - 8 * i));
}
