/* SPDX-License-Identifier: Apache-2.0
 * nal.c - NAL units in Annex B and length-prefixed form. Pure; any thread. */
#include "codec/nal.h"

/* The next 00 00 01 at or after p; end when there is none. */
static const uint8_t *find_start_code(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 3; p++)
        if (p[0] == 0 && p[1] == 0 && p[2] == 1)
            return p;
    return end;
}

bool nal_next_annexb(struct reader *r, struct nal *out)
{
    while (reader_left(r) > 0) {
        const uint8_t *start = find_start_code(r->p, r->end);
        if (start == r->end) {
            r->p = r->end;
            return false;
        }
        start += 3;
        const uint8_t *stop = find_start_code(start, r->end);
        r->p = stop;
        while (stop > start && stop[-1] == 0) /* trailing_zero_8bits and the longer start code's zero_byte */
            stop--;
        if (stop > start) {
            *out = (struct nal){start, (size_t)(stop - start)};
            return true;
        }
    }
    return false;
}

static uint32_t read_length(struct reader *r, uint8_t length_bytes)
{
    switch (length_bytes) {
    case 1: return reader_u8(r);
    case 2: return reader_u16(r);
    case 4: return reader_u32(r);
    default: r->bad = true; return 0;
    }
}

bool nal_next_prefixed(struct reader *r, uint8_t length_bytes, struct nal *out)
{
    while (reader_left(r) > 0 && !r->bad) {
        size_t len = read_length(r, length_bytes);
        const uint8_t *p = reader_take(r, len);
        if (r->bad)
            return false;
        if (len > 0) {
            *out = (struct nal){p, len};
            return true;
        }
    }
    return false;
}

void nal_write_prefixed(struct writer *w, struct nal n)
{
    writer_u32(w, (uint32_t)n.len);
    writer_bytes(w, n.p, n.len);
}

void nal_write_annexb(struct writer *w, struct nal n)
{
    writer_u32(w, 1);
    writer_bytes(w, n.p, n.len);
}

int nal_canonical_from_annexb(uint8_t *dst, size_t cap, const uint8_t *src, size_t len)
{
    struct reader r = reader_init(src, len);
    struct writer w = writer_init(dst, cap);
    struct nal n;

    while (nal_next_annexb(&r, &n))
        nal_write_prefixed(&w, n);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

int nal_canonical_from_prefixed(uint8_t *dst, size_t cap, const uint8_t *src, size_t len,
                                uint8_t length_bytes)
{
    struct reader r = reader_init(src, len);
    struct writer w = writer_init(dst, cap);
    struct nal n;

    while (nal_next_prefixed(&r, length_bytes, &n))
        nal_write_prefixed(&w, n);
    if (r.bad)
        return CODEC_ERR_SHORT;
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}
