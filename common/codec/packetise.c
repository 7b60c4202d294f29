/* SPDX-License-Identifier: Apache-2.0
 * packetise.c - the packetiser's life cycle; audio (RFC 7587, RFC 3640 AAC-hbr). One thread at a time. */
#include "codec/packetise.h"

#include <assert.h>

#include "codec/packetise_priv.h"

static const struct {
    int (*begin)(struct packetiser *p);
    void (*next)(struct packetiser *p, struct writer *w);
} formats[CODEC_COUNT] = {
    [CODEC_H264] = {packetise_nal_begin, packetise_nal_next},
    [CODEC_H265] = {packetise_nal_begin, packetise_nal_next},
    [CODEC_VP8] = {packetise_vpx_begin, packetise_vpx_next},
    [CODEC_VP9] = {packetise_vpx_begin, packetise_vpx_next},
    [CODEC_AV1] = {packetise_av1_begin, packetise_av1_next},
    [CODEC_OPUS] = {packetise_audio_begin, packetise_audio_next},
    [CODEC_AAC] = {packetise_audio_begin, packetise_audio_next},
};

int packetiser_init(struct packetiser *p, const struct packetiser_cfg *cfg)
{
    size_t max = cfg->max_payload_bytes ? cfg->max_payload_bytes : PACKETISE_PAYLOAD_DEFAULT_BYTES;

    if (cfg->codec <= CODEC_NONE || cfg->codec >= CODEC_COUNT || max < PACKETISE_PAYLOAD_MIN_BYTES)
        return CODEC_ERR_SUPPORT;
    *p = (struct packetiser){
        .codec = cfg->codec,
        .max_bytes = max,
        .picture_id = cfg->first_picture_id & 0x7fff,
        .done = true,
    };
    return CODEC_OK;
}

int packetise_begin(struct packetiser *p, const struct packetise_frame *f)
{
    p->frame = *f;
    p->rest = reader_init(f->data, f->len);
    p->params = reader_init(NULL, 0);
    p->unit = NULL;
    p->unit_len = p->unit_at = 0;
    p->first = true;
    p->done = false;
    int err = formats[p->codec].begin(p);
    if (err)
        p->done = true;
    return err;
}

size_t packetise_next(struct packetiser *p, uint8_t *dst, size_t cap, bool *last)
{
    struct writer w = writer_init(dst, cap);

    assert(cap >= p->max_bytes);
    *last = false;
    if (p->done)
        return 0;
    formats[p->codec].next(p, &w);
    assert(!w.bad); /* the sizes were chosen to fit max_bytes */
    p->first = false;
    *last = p->done;
    return writer_len(&w);
}

/* ---- audio ---- */

enum { AAC_HEADERS_BYTES = 4, AAC_UNIT_MAX_BYTES = 0x1fff /* sizelength=13 */ };

int packetise_audio_begin(struct packetiser *p)
{
    bool aac = p->codec == CODEC_AAC;

    if (p->frame.len == 0)
        return CODEC_ERR_SHORT;
    if (aac && p->frame.len > AAC_UNIT_MAX_BYTES)
        return CODEC_ERR_SYNTAX;
    if (!aac && p->frame.len > p->max_bytes)
        return CODEC_ERR_SUPPORT; /* RFC 7587 s4.2: a packet is one payload */
    p->piece_bytes = fragment_bytes(p->frame.len, p->max_bytes - (aac ? AAC_HEADERS_BYTES : 0u));
    return CODEC_OK;
}

void packetise_audio_next(struct packetiser *p, struct writer *w)
{
    size_t n = reader_left(&p->rest) < p->piece_bytes ? reader_left(&p->rest) : p->piece_bytes;

    if (p->codec == CODEC_AAC) {
        writer_u16(w, 16);                            /* AU-headers-length, bits */
        writer_u16(w, (uint16_t)(p->frame.len << 3)); /* size of the whole unit, also in fragments; index 0 */
    }
    writer_bytes(w, reader_take(&p->rest, n), n);
    p->done = reader_left(&p->rest) == 0;
}
