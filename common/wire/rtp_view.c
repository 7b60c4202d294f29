/* SPDX-License-Identifier: Apache-2.0
 * rtp_view.c - parse and write the RTP header (RFC 3550 s5.1, RFC 8285 s4.1). Pure; any thread. */
#include "wire/rtp_view.h"

#include "base/reader.h"
#include "base/writer.h"
#include "wire/rtp_write.h"

/* s5.1: the last octet counts padding octets, itself included. */
static bool strip_padding(struct rtp_view *v)
{
    uint8_t pad = v->payload_len ? v->payload[v->payload_len - 1] : 0;

    if (pad == 0 || pad > v->payload_len)
        return false;
    v->payload_len -= pad;
    return true;
}

/* s5.3.1: profile, length in words without these four bytes, then the elements. */
static void read_extension(struct reader *r, struct rtp_view *v)
{
    v->ext_profile = reader_u16(r);
    v->ext_len = (size_t)reader_u16(r) * 4;
    v->ext = reader_take(r, v->ext_len);
}

int rtp_view_parse(struct rtp_view *out, const uint8_t *pkt, size_t len)
{
    struct reader r = reader_init(pkt, len);
    struct rtp_view v = {0};
    uint8_t b0 = reader_u8(&r), b1 = reader_u8(&r);

    if (!r.bad && b0 >> 6 != 2) /* first: nothing after it means what it seems */
        return RTP_ERR_VERSION;
    v.marker = b1 >> 7;
    v.pt = b1 & 0x7f;
    v.seq = reader_u16(&r);
    v.ts_ticks = reader_u32(&r);
    v.ssrc = reader_u32(&r);
    reader_take(&r, (size_t)(b0 & 0x0f) * 4); /* CSRCs */
    if (b0 & 0x10)
        read_extension(&r, &v);
    if (r.bad)
        return RTP_ERR_SHORT;
    v.payload_len = reader_left(&r);
    v.payload = r.p;
    if (b0 & 0x20 && !strip_padding(&v))
        return RTP_ERR_PADDING;
    *out = v;
    return RTP_OK;
}

int rtp_header_write(uint8_t *dst, size_t cap, const struct rtp_header *h)
{
    struct writer w = writer_init(dst, cap);

    if (h->pt > 127 || h->ext_len % 4 != 0 || h->ext_len / 4 > UINT16_MAX)
        return RTP_ERR_VALUE;
    writer_u8(&w, h->ext_len ? 0x90 : 0x80);
    writer_u8(&w, (uint8_t)((h->marker ? 0x80 : 0) | h->pt));
    writer_u16(&w, h->seq);
    writer_u32(&w, h->ts_ticks);
    writer_u32(&w, h->ssrc);
    if (h->ext_len) {
        writer_u16(&w, h->ext_profile);
        writer_u16(&w, (uint16_t)(h->ext_len / 4));
        writer_bytes(&w, h->ext, h->ext_len);
    }
    return w.bad ? RTP_ERR_ROOM : (int)writer_len(&w);
}
