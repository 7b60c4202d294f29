/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_feedback.h"

#include "base/writer.h"
#include "wire/rtcp.h"

#include <assert.h>

enum { NAME = 0x4d525031 /* "MRP1" */ };

int feedback_parse(struct feedback *out, const uint8_t *pkt, size_t len)
{
    struct reader r = reader_init(pkt, len);
    uint8_t head = reader_u8(&r), type = reader_u8(&r);
    uint16_t words = reader_u16(&r);
    struct feedback f = {.ssrc = reader_u32(&r)};
    uint32_t name = reader_u32(&r);

    if (r.bad || ((size_t)words + 1) * 4 != len)
        return FEEDBACK_ERR_SHORT;
    if (head >> 5 != 4 || type != RTCP_APP || name != NAME) /* version 2, no padding */
        return FEEDBACK_ERR_KIND;
    f.kind = head & 0x1f;
    switch (f.kind) {
    case FEEDBACK_HELLO:
    case FEEDBACK_WELCOME:
        f.sent_us = reader_u64(&r);
        break;
    case FEEDBACK_ASK:
    case FEEDBACK_GONE:
        r.bad = reader_left(&r) % FEEDBACK_RANGE_BYTES != 0;
        f.ranges = r;
        break;
    default:
        return FEEDBACK_ERR_KIND;
    }
    if (r.bad)
        return FEEDBACK_ERR_SHORT;
    *out = f;
    return FEEDBACK_OK;
}

bool feedback_next(struct feedback *f, struct feedback_range *out)
{
    if (reader_left(&f->ranges) < FEEDBACK_RANGE_BYTES)
        return false;
    out->track = reader_u8(&f->ranges);
    out->layer = reader_u8(&f->ranges);
    out->count = reader_u16(&f->ranges);
    out->first = reader_u32(&f->ranges);
    return true;
}

static void write_header(struct writer *w, enum feedback_kind kind, uint32_t ssrc, size_t len)
{
    writer_u8(w, (uint8_t)(0x80 | kind));
    writer_u8(w, RTCP_APP);
    writer_u16(w, (uint16_t)(len / 4 - 1));
    writer_u32(w, ssrc);
    writer_u32(w, NAME);
}

size_t feedback_write_hello(uint8_t dst[FEEDBACK_HELLO_BYTES], enum feedback_kind kind, uint32_t ssrc,
                            uint64_t sent_us)
{
    struct writer w = writer_init(dst, FEEDBACK_HELLO_BYTES);

    write_header(&w, kind, ssrc, FEEDBACK_HELLO_BYTES);
    writer_u64(&w, sent_us);
    return writer_len(&w);
}

size_t feedback_write_ranges(uint8_t dst[FEEDBACK_BYTES_MAX], enum feedback_kind kind, uint32_t ssrc,
                             const struct feedback_range *v, size_t n)
{
    struct writer w = writer_init(dst, FEEDBACK_BYTES_MAX);

    assert(n <= FEEDBACK_RANGES_MAX);
    write_header(&w, kind, ssrc, FEEDBACK_HEADER_BYTES + n * FEEDBACK_RANGE_BYTES);
    for (size_t i = 0; i < n; i++) {
        writer_u8(&w, v[i].track);
        writer_u8(&w, v[i].layer);
        writer_u16(&w, v[i].count);
        writer_u32(&w, v[i].first);
    }
    return writer_len(&w);
}
