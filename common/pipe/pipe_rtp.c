/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_rtp.h"

#include "base/bytes.h"
#include "wire/rtp_ext.h"

#include <assert.h>
#include <string.h>

enum {
    META_VERSION = 1,
    HAS_CTS = 1,
    HAS_LAYER = 2,
    ELEMENT_HEADER_BYTES = 2,
    EXT_HEADER_BYTES = 4,
    ELEMENTS_AT = RTP_HEADER_BYTES + EXT_HEADER_BYTES,
    META_AT = ELEMENTS_AT + ELEMENT_HEADER_BYTES,
    VERSION_2_EXTENDED = 0x90, /* no padding, no CSRCs */
    MARKER = 0x80,
    PROFILE_MASK = 0xfff0,
};

/* ---- Numbers ----------------------------------------------------------------------------------- */

static uint8_t *put_varint(uint8_t *at, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        *at++ = (uint8_t)(v | 0x80);
    *at++ = (uint8_t)v;
    return at;
}

/* Behind it; NULL when it is longer than `bits` allow. */
static const uint8_t *get_varint(uint64_t *out, const uint8_t *at, unsigned bits)
{
    uint64_t v = 0;

    for (unsigned shift = 0; shift < bits; shift += 7) {
        v |= (uint64_t)(*at & 0x7f) << shift;
        if (!(*at++ & 0x80)) {
            *out = v;
            return v >> bits ? NULL : at;
        }
    }
    return NULL;
}

static uint32_t zigzag(int32_t v)
{
    return (uint32_t)v << 1 ^ (v < 0 ? UINT32_MAX : 0);
}

static int32_t unzigzag(uint32_t v)
{
    return (int32_t)(v >> 1 ^ (v & 1 ? UINT32_MAX : 0));
}

/* ---- Writing ----------------------------------------------------------------------------------- */

/* Returns where it ends: PIPE_META_MAX behind its beginning at most. */
static uint8_t *write_meta(uint8_t *at, const struct packet *p)
{
    bool layer = p->spatial || p->temporal, cts = p->cts_ticks != 0;

    *at++ = (uint8_t)(META_VERSION << 4 | (layer ? HAS_LAYER : 0) | (cts ? HAS_CTS : 0));
    *at++ = p->flags;
    at = put_varint(at, p->seq >> 16);
    at = put_varint(at, p->ts_ticks >> 32);
    *at++ = (uint8_t)(p->capture_us >> 48);
    at = put16(at, (uint16_t)(p->capture_us >> 32));
    at = put32(at, (uint32_t)p->capture_us);
    if (layer)
        *at++ = (uint8_t)(p->spatial << 4 | (p->temporal & 0x0f));
    return cts ? put_varint(at, zigzag(p->cts_ticks)) : at;
}

/* The length of the canonical elements that go along. */
static size_t carried_ext(const struct packet *p, size_t meta_len)
{
    size_t len = (META_AT + meta_len + p->ext_len + 3) / 4 * 4;

    return len + p->payload_len + PIPE_TAG_BYTES <= PIPE_DATAGRAM_MAX ? p->ext_len : 0;
}

size_t pipe_rtp_write(uint8_t *dst, size_t cap, const struct packet *p, uint32_t ssrc)
{
    assert(cap >= PIPE_RTP_HEADER_MAX);
    uint8_t *at = write_meta(dst + META_AT, p);
    size_t meta_len = (size_t)(at - dst) - META_AT, ext_len = p->ext_len ? carried_ext(p, meta_len) : 0;

    if (ext_len) {
        memcpy(at, p->bytes, ext_len);
        at += ext_len;
    }
    memset(at, 0, 3);
    size_t len = (size_t)(at - dst + 3) / 4 * 4;
    dst[0] = VERSION_2_EXTENDED;
    dst[1] = (uint8_t)((p->flags & PACKET_MARKER ? MARKER : 0) | PIPE_RTP_PT);
    put16(dst + 2, (uint16_t)p->seq);
    put32(dst + 4, (uint32_t)p->ts_ticks);
    put32(dst + 8, ssrc);
    put16(dst + RTP_HEADER_BYTES, RTP_EXT_PROFILE_TWO_BYTE);
    put16(dst + RTP_HEADER_BYTES + 2, (uint16_t)((len - ELEMENTS_AT) / 4));
    dst[ELEMENTS_AT] = PACKET_EXT_PIPE;
    dst[ELEMENTS_AT + 1] = (uint8_t)meta_len;
    return len;
}

/* ---- Reading ----------------------------------------------------------------------------------- */

/* PIPE_META_MAX bytes may be read at `at`, whatever is in them; of what was said there are len. */
static inline bool read_meta(struct packet *out, const uint8_t *at, size_t len)
{
    const uint8_t *end = at + len;
    uint64_t seq, ts, cts = 0;
    uint8_t head = at[0], layer = 0;

    if (head >> 4 != META_VERSION)
        return false;
    out->flags = at[1];
    if (!(at = get_varint(&seq, at + 2, 48)) || !(at = get_varint(&ts, at, 32)))
        return false;
    out->seq = seq << 16;
    out->ts_ticks = ts << 32;
    out->capture_us = (uint64_t)at[0] << 48 | (uint64_t)get16(at + 1) << 32 | get32(at + 3);
    at += 7;
    if (head & HAS_LAYER)
        layer = *at++;
    out->spatial = layer >> 4;
    out->temporal = layer & 0x0f;
    if (head & HAS_CTS && !(at = get_varint(&cts, at, 32)))
        return false;
    out->cts_ticks = unzigzag((uint32_t)cts);
    return at <= end;
}

/* At the end of a short datagram there may not be so much to read. */
__attribute__((noinline)) static bool read_meta_at_end(struct packet *out, const uint8_t *at, size_t len)
{
    uint8_t room[PIPE_META_MAX] = {0};

    memcpy(room, at, len < sizeof(room) ? len : sizeof(room));
    return read_meta(out, room, len);
}

static bool keep_element(struct packet *out, const struct rtp_ext *e)
{
    uint8_t *at = out->bytes + out->ext_len;

    if (e->id == PACKET_EXT_PIPE || out->ext_len + ELEMENT_HEADER_BYTES + e->len > PACKET_EXT_MAX)
        return false;
    at[0] = e->id;
    at[1] = e->len;
    memcpy(at + ELEMENT_HEADER_BYTES, e->data, e->len);
    out->ext_len = (uint8_t)(out->ext_len + ELEMENT_HEADER_BYTES + e->len);
    return true;
}

static int keep_elements(struct packet *out, const uint8_t *at, size_t len)
{
    struct rtp_ext_iter it = rtp_ext_iter_init(RTP_EXT_PROFILE_TWO_BYTE, at, len);
    struct rtp_ext e;

    while (rtp_ext_next(&it, &e))
        if (!keep_element(out, &e))
            return RTP_ERR_VALUE;
    return it.r.bad ? RTP_ERR_SHORT : RTP_OK;
}

int pipe_rtp_parse(struct packet *out, const uint8_t *bytes, size_t len, size_t *hdr_len)
{
    if (len < META_AT)
        return RTP_ERR_SHORT;
    if (bytes[0] != VERSION_2_EXTENDED || (get16(bytes + RTP_HEADER_BYTES) & PROFILE_MASK) != RTP_EXT_PROFILE_TWO_BYTE)
        return RTP_ERR_VALUE;
    size_t end = ELEMENTS_AT + (size_t)get16(bytes + RTP_HEADER_BYTES + 2) * 4, at = META_AT + bytes[ELEMENTS_AT + 1];
    if (end > len || at > end)
        return RTP_ERR_SHORT;
    if (bytes[ELEMENTS_AT] != PACKET_EXT_PIPE)
        return RTP_ERR_VALUE;
    if (!(len >= META_AT + PIPE_META_MAX ? read_meta(out, bytes + META_AT, at - META_AT)
                                         : read_meta_at_end(out, bytes + META_AT, at - META_AT)))
        return RTP_ERR_VALUE;
    out->seq |= get16(bytes + 2);
    out->ts_ticks |= get32(bytes + 4);
    out->ext_len = 0;
    *hdr_len = end;
    while (at < end && bytes[at] == 0)
        at++;
    return at == end ? RTP_OK : keep_elements(out, bytes + at, end - at);
}
