/* SPDX-License-Identifier: Apache-2.0
 * packetise_nal.c - H.264 (RFC 6184 packetization-mode 1) and H.265 (RFC 7798) into payloads: small
 * neighbouring NAL units share a packet, large ones are cut. One thread at a time. */
#include "codec/h265.h"
#include "codec/packetise_priv.h"

enum { UNIT_LENGTH_BYTES = 2 /* before each NAL unit of an aggregation packet, in both formats */ };

/* Bytes of the NAL header, of an aggregation packet's own header, and of a fragment's headers. */
static size_t nal_header_bytes(const struct packetiser *p)
{
    return p->codec == CODEC_H264 ? 1 : H265_NAL_HEADER_BYTES;
}

static size_t fragment_header_bytes(const struct packetiser *p)
{
    return nal_header_bytes(p) + 1;
}

/* Access unit delimiters and filler say nothing that RTP does not: they stay here. */
static bool is_sent(const struct packetiser *p, struct nal n)
{
    if (n.len < nal_header_bytes(p))
        return false;
    uint8_t type = p->codec == CODEC_H264 ? h264_nal_type(n) : h265_nal_type(n);
    if (p->codec == CODEC_H264)
        return type != H264_NAL_AUD && type != H264_NAL_FILLER;
    return type != H265_NAL_AUD && type != H265_NAL_FILLER;
}

static bool is_sps(const struct packetiser *p, struct nal n)
{
    return p->codec == CODEC_H264 ? h264_nal_type(n) == H264_NAL_SPS : h265_nal_type(n) == H265_NAL_SPS;
}

/* The next NAL unit to send: parameter sets, then the frame's. The readers move behind it. */
static bool next_nal(const struct packetiser *p, struct reader *params, struct reader *rest, struct nal *out)
{
    while (nal_next_prefixed(params, 4, out) || nal_next_prefixed(rest, 4, out))
        if (is_sent(p, *out))
            return true;
    return false;
}

static bool nothing_left(const struct packetiser *p)
{
    struct reader params = p->params, rest = p->rest;
    struct nal n;

    return !next_nal(p, &params, &rest, &n);
}

int packetise_nal_begin(struct packetiser *p)
{
    struct reader r = p->rest, sets = reader_init(p->frame.params, p->frame.params_len);
    bool has_sps = false;
    struct nal n;

    while (nal_next_prefixed(&r, 4, &n))
        has_sps |= n.len >= nal_header_bytes(p) && is_sps(p, n);
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (p->frame.keyframe && !has_sps) {
        p->params = sets;
        while (nal_next_prefixed(&sets, 4, &n))
            ;
        if (sets.bad)
            return CODEC_ERR_SHORT;
    }
    p->done = nothing_left(p);
    return CODEC_OK;
}

/* How many of the next NAL units fit one aggregation packet; 0 or 1 means: no aggregation. */
static unsigned count_aggregated(const struct packetiser *p)
{
    struct reader params = p->params, rest = p->rest;
    size_t bytes = nal_header_bytes(p);
    unsigned count = 0;
    struct nal n;

    while (next_nal(p, &params, &rest, &n)) {
        bytes += UNIT_LENGTH_BYTES + n.len;
        if (bytes > p->max_bytes)
            break;
        count++;
    }
    return count;
}

/* RFC 6184 s5.3: F is the OR, NRI the maximum of all. */
static void stap_a_header(struct writer *w, const struct packetiser *p, unsigned count)
{
    struct reader params = p->params, rest = p->rest;
    uint8_t forbidden = 0, nri = 0;
    struct nal n;

    for (unsigned i = 0; i < count && next_nal(p, &params, &rest, &n); i++) {
        forbidden |= n.p[0] & 0x80;
        if ((n.p[0] & 0x60) > nri)
            nri = n.p[0] & 0x60;
    }
    writer_u8(w, forbidden | nri | H264_NAL_STAP_A);
}

/* RFC 7798 s4.4.2: F is the OR, layer id and temporal id the lowest of all. */
static void ap_header(struct writer *w, const struct packetiser *p, unsigned count)
{
    struct reader params = p->params, rest = p->rest;
    unsigned forbidden = 0, layer = 0x3f, tid = 7;
    struct nal n;

    for (unsigned i = 0; i < count && next_nal(p, &params, &rest, &n); i++) {
        unsigned header = (unsigned)n.p[0] << 8 | n.p[1];
        forbidden |= header & 0x8000;
        layer = (header >> 3 & 0x3f) < layer ? header >> 3 & 0x3f : layer;
        tid = (header & 7) < tid ? header & 7 : tid;
    }
    writer_u16(w, (uint16_t)(forbidden | H265_NAL_AP << 9 | layer << 3 | tid));
}

static void write_aggregate(struct packetiser *p, struct writer *w, unsigned count)
{
    struct nal n;

    if (p->codec == CODEC_H264)
        stap_a_header(w, p, count);
    else
        ap_header(w, p, count);
    for (unsigned i = 0; i < count && next_nal(p, &p->params, &p->rest, &n); i++) {
        writer_u16(w, (uint16_t)n.len);
        writer_bytes(w, n.p, n.len);
    }
}

/* s5.8 FU-A, RFC 7798 s4.4.3 FU: the NAL header is taken apart, its type goes into the FU header. */
static void fragment_headers(struct packetiser *p, struct writer *w, bool start, bool end)
{
    struct nal n = {p->unit, p->unit_len};
    uint8_t marks = (uint8_t)((start ? 0x80 : 0) | (end ? 0x40 : 0));

    if (p->codec == CODEC_H264) {
        writer_u8(w, (n.p[0] & 0xe0) | H264_NAL_FU_A);
        writer_u8(w, marks | h264_nal_type(n));
    } else {
        writer_u8(w, (uint8_t)((n.p[0] & 0x81) | H265_NAL_FU << 1));
        writer_u8(w, n.p[1]);
        writer_u8(w, marks | h265_nal_type(n));
    }
}

static void write_fragment(struct packetiser *p, struct writer *w)
{
    size_t left = p->unit_len - p->unit_at;
    size_t n = left < p->piece_bytes ? left : p->piece_bytes;

    fragment_headers(p, w, p->unit_at == nal_header_bytes(p), n == left);
    writer_bytes(w, p->unit + p->unit_at, n);
    p->unit_at += n;
    if (p->unit_at == p->unit_len)
        p->unit = NULL;
}

void packetise_nal_next(struct packetiser *p, struct writer *w)
{
    unsigned count = p->unit ? 0 : count_aggregated(p);
    struct nal n;

    if (p->unit) {
        write_fragment(p, w);
    } else if (count >= 2) {
        write_aggregate(p, w, count);
    } else if (next_nal(p, &p->params, &p->rest, &n) && n.len <= p->max_bytes) {
        writer_bytes(w, n.p, n.len);
    } else {
        p->unit = n.p;
        p->unit_len = n.len;
        p->unit_at = nal_header_bytes(p);
        p->piece_bytes = fragment_bytes(n.len - p->unit_at, p->max_bytes - fragment_header_bytes(p));
        write_fragment(p, w);
    }
    p->done = !p->unit && nothing_left(p);
}
