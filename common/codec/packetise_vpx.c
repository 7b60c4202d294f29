/* SPDX-License-Identifier: Apache-2.0
 * packetise_vpx.c - VP8 (RFC 7741) and VP9 (RFC 9628, non-flexible mode without layers) into payloads.
 * One thread at a time. */
#include "codec/packetise_priv.h"

enum {
    VP8_DESCRIPTOR_BYTES = 4, /* X, I, 15 bits of picture id */
    VP9_DESCRIPTOR_BYTES = 3,
    VP9_STRUCTURE_BYTES = 8, /* one layer's size, a group of one picture */
};

static size_t descriptor_bytes(const struct packetiser *p)
{
    return p->codec == CODEC_VP8 ? VP8_DESCRIPTOR_BYTES : VP9_DESCRIPTOR_BYTES;
}

static bool has_structure(const struct packetiser *p)
{
    return p->codec == CODEC_VP9 && p->frame.keyframe && p->frame.width && p->frame.height;
}

int packetise_vpx_begin(struct packetiser *p)
{
    size_t extra = has_structure(p) ? VP9_STRUCTURE_BYTES : 0;

    if (p->frame.len == 0)
        return CODEC_ERR_SHORT;
    /* The structure counts as bytes of the first fragment, so that all payloads are of one size. */
    p->piece_bytes = fragment_bytes(p->frame.len + extra, p->max_bytes - descriptor_bytes(p));
    if (p->piece_bytes <= extra)
        p->piece_bytes = extra + 1;
    return CODEC_OK;
}

static void write_vp8_descriptor(const struct packetiser *p, struct writer *w)
{
    writer_u8(w, p->first ? 0x90 : 0x80); /* X; S at the start of the frame; partition 0 */
    writer_u8(w, 0x80);                   /* I */
    writer_u16(w, 0x8000 | p->picture_id);
}

/* s4.2.1: one spatial layer with its size; a picture group of one that refers to the one before. */
static void write_vp9_structure(const struct packetiser *p, struct writer *w)
{
    writer_u8(w, 0x18); /* N_S 0, Y, G */
    writer_u16(w, p->frame.width);
    writer_u16(w, p->frame.height);
    writer_u8(w, 1);    /* N_G */
    writer_u8(w, 0x04); /* temporal id 0, one reference */
    writer_u8(w, 1);    /* P_DIFF */
}

static void write_vp9_descriptor(const struct packetiser *p, struct writer *w, bool last)
{
    enum { I = 0x80, P = 0x40, B = 0x08, E = 0x04, V = 0x02 };
    bool structure = p->first && has_structure(p);
    int flags = I | (p->frame.keyframe ? 0 : P) | (p->first ? B : 0) | (last ? E : 0) | (structure ? V : 0);

    writer_u8(w, (uint8_t)flags);
    writer_u16(w, 0x8000 | p->picture_id);
    if (structure)
        write_vp9_structure(p, w);
}

void packetise_vpx_next(struct packetiser *p, struct writer *w)
{
    size_t extra = p->first && has_structure(p) ? VP9_STRUCTURE_BYTES : 0;
    size_t left = reader_left(&p->rest), n = p->piece_bytes - extra;

    n = left < n ? left : n;
    if (p->codec == CODEC_VP8)
        write_vp8_descriptor(p, w);
    else
        write_vp9_descriptor(p, w, n == left);
    writer_bytes(w, reader_take(&p->rest, n), n);
    p->done = n == left;
    if (p->done)
        p->picture_id = (p->picture_id + 1) & 0x7fff;
}
