/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_rtp.h"

#include "base/reader.h"
#include "base/writer.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_write.h"

#include <assert.h>

enum { META_VERSION = 1, HAS_CTS = 1, HAS_LAYER = 2, ELEMENT_HEADER_BYTES = 2, EXT_HEADER_BYTES = 4 };

static void write_varint(struct writer *w, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        writer_u8(w, (uint8_t)(v | 0x80));
    writer_u8(w, (uint8_t)v);
}

/* .bad when it is longer than `bits` allow. */
static uint64_t read_varint(struct reader *r, unsigned bits)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t b = reader_u8(r);
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            r->bad |= v >> bits != 0;
            return v;
        }
    }
    r->bad = true;
    return 0;
}

static uint32_t zigzag(int32_t v)
{
    return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0);
}

static int32_t unzigzag(uint32_t v)
{
    return (int32_t)(v >> 1 ^ (v & 1 ? UINT32_MAX : 0));
}

static void write_meta(struct writer *w, const struct packet *p)
{
    bool layer = p->spatial || p->temporal, cts = p->cts_ticks != 0;

    writer_u8(w, (uint8_t)(META_VERSION << 4 | (layer ? HAS_LAYER : 0) | (cts ? HAS_CTS : 0)));
    writer_u8(w, p->flags);
    write_varint(w, p->seq >> 16);
    write_varint(w, p->ts_ticks >> 32);
    writer_u24(w, (uint32_t)(p->capture_us >> 32) & 0xffffff);
    writer_u32(w, (uint32_t)p->capture_us);
    if (layer)
        writer_u8(w, (uint8_t)(p->spatial << 4 | (p->temporal & 0x0f)));
    if (cts)
        write_varint(w, zigzag(p->cts_ticks));
}

static bool read_meta(struct packet *out, const uint8_t *data, size_t len)
{
    struct reader r = reader_init(data, len);
    uint8_t head = reader_u8(&r);

    if (head >> 4 != META_VERSION)
        return false;
    out->flags = reader_u8(&r);
    out->seq = read_varint(&r, 48) << 16;
    out->ts_ticks = read_varint(&r, 32) << 32;
    out->capture_us = (uint64_t)reader_u24(&r) << 32;
    out->capture_us |= reader_u32(&r);
    uint8_t layer = head & HAS_LAYER ? reader_u8(&r) : 0;
    out->spatial = layer >> 4;
    out->temporal = layer & 0x0f;
    out->cts_ticks = head & HAS_CTS ? unzigzag((uint32_t)read_varint(&r, 32)) : 0;
    return !r.bad;
}

/* The length of the canonical elements that go along. */
static size_t carried_ext(const struct packet *p, size_t meta_len)
{
    size_t len = RTP_HEADER_BYTES + EXT_HEADER_BYTES + ELEMENT_HEADER_BYTES + meta_len + p->ext_len;

    len = (len + 3) / 4 * 4;
    return len + p->payload_len + PIPE_TAG_BYTES <= PIPE_DATAGRAM_MAX ? p->ext_len : 0;
}

size_t pipe_rtp_write(uint8_t *dst, size_t cap, const struct packet *p, uint32_t ssrc)
{
    uint8_t block[PIPE_RTP_HEADER_MAX];
    struct writer w = writer_init(block, sizeof(block));

    writer_u8(&w, PACKET_EXT_PIPE);
    uint8_t *meta_len = writer_take(&w, 1);
    write_meta(&w, p);
    *meta_len = (uint8_t)(writer_len(&w) - ELEMENT_HEADER_BYTES);
    writer_bytes(&w, p->bytes, carried_ext(p, *meta_len));
    while (writer_len(&w) % 4)
        writer_u8(&w, 0);
    assert(!w.bad);
    int len = rtp_header_write(dst, cap, &(struct rtp_header){
        .ext = block,
        .ext_len = writer_len(&w),
        .ts_ticks = (uint32_t)p->ts_ticks,
        .ssrc = ssrc,
        .seq = (uint16_t)p->seq,
        .ext_profile = RTP_EXT_PROFILE_TWO_BYTE,
        .pt = PIPE_RTP_PT,
        .marker = p->flags & PACKET_MARKER,
    });
    assert(len > 0);
    return (size_t)len;
}

static bool keep_element(struct packet *out, const struct rtp_ext *e)
{
    if (out->ext_len + ELEMENT_HEADER_BYTES + e->len > PACKET_EXT_MAX)
        return false;
    struct writer w = writer_init(out->bytes + out->ext_len, (size_t)(PACKET_EXT_MAX - out->ext_len));
    writer_u8(&w, e->id);
    writer_u8(&w, e->len);
    writer_bytes(&w, e->data, e->len);
    out->ext_len = (uint8_t)(out->ext_len + writer_len(&w));
    return true;
}

int pipe_rtp_parse(struct packet *out, const struct rtp_view *v)
{
    struct rtp_ext_iter it = rtp_ext_iter_init(v->ext_profile, v->ext, v->ext_len);
    struct rtp_ext e;
    bool meta = false;

    out->ext_len = 0;
    while (rtp_ext_next(&it, &e)) {
        bool fine = e.id == PACKET_EXT_PIPE ? !meta && read_meta(out, e.data, e.len) : keep_element(out, &e);
        if (!fine)
            return RTP_ERR_VALUE;
        meta |= e.id == PACKET_EXT_PIPE;
    }
    if (it.r.bad)
        return RTP_ERR_SHORT;
    if (!meta)
        return RTP_ERR_VALUE;
    out->seq |= v->seq;
    out->ts_ticks |= v->ts_ticks;
    return RTP_OK;
}
