/* SPDX-License-Identifier: Apache-2.0
 * reader.h - bounds-checked big-endian reader over borrowed bytes.
 *
 * Sticky: the first short read sets .bad and empties the reader; later reads yield 0. Read
 * straight through, test .bad once; test it before a value read sizes a loop.
 * Pure; any thread. Ownership: the reader borrows the bytes. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct reader {
    const uint8_t *p, *end; /* p <= end */
    bool bad;
};

static inline struct reader reader_init(const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    return (struct reader){p, n ? p + n : p, false};
}

static inline size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->p);
}

/* The next n bytes, or NULL (and .bad) when fewer are left. n may be 0. */
static inline const uint8_t *reader_take(struct reader *r, size_t n)
{
    if (reader_left(r) < n) {
        r->bad = true;
        r->p = r->end;
        return NULL;
    }
    const uint8_t *at = r->p;
    if (n)
        r->p += n;
    return at;
}

/* The next n bytes as a reader of their own: a nested length cannot reach its sibling. */
static inline struct reader reader_sub(struct reader *r, size_t n)
{
    const uint8_t *b = reader_take(r, n);
    return r->bad ? (struct reader){r->end, r->end, true} : reader_init(b, n);
}

static inline uint8_t reader_u8(struct reader *r)
{
    const uint8_t *b = reader_take(r, 1);
    return b ? b[0] : 0;
}

static inline uint16_t reader_u16(struct reader *r)
{
    const uint8_t *b = reader_take(r, 2);
    return (uint16_t)(b ? b[0] << 8 | b[1] : 0);
}

static inline uint32_t reader_u24(struct reader *r)
{
    const uint8_t *b = reader_take(r, 3);
    return b ? (uint32_t)b[0] << 16 | (uint32_t)b[1] << 8 | b[2] : 0;
}

static inline uint32_t reader_u32(struct reader *r)
{
    const uint8_t *b = reader_take(r, 4);
    return b ? (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3] : 0;
}

static inline uint64_t reader_u64(struct reader *r)
{
    uint64_t high = reader_u32(r);
    return high << 32 | reader_u32(r);
}
