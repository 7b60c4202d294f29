/* SPDX-License-Identifier: Apache-2.0
 * vpx.c - frame headers of VP8 (RFC 6386 s9.1) and VP9 (bitstream specification s6.2), and vpcC.
 * Pure; any thread. */
#include "codec/vpx.h"

#include "base/reader.h"
#include "base/writer.h"
#include "codec/bits.h"

int vp8_frame_parse(struct vpx_frame *out, const uint8_t *frame, size_t len)
{
    struct reader r = reader_init(frame, len);
    struct vpx_frame f = {.bit_depth = 8, .chroma = 1};
    uint8_t b0 = reader_u8(&r);

    reader_take(&r, 2); /* the rest of the first partition's size */
    f.keyframe = !(b0 & 1);
    f.profile = b0 >> 1 & 7;
    f.shown = b0 >> 4 & 1;
    if (f.keyframe) {
        const uint8_t *start = reader_take(&r, 3);
        const uint8_t *size = reader_take(&r, 4);
        if (r.bad)
            return CODEC_ERR_SHORT;
        if (memcmp(start, "\x9d\x01\x2a", 3) != 0)
            return CODEC_ERR_SYNTAX;
        f.width = (uint16_t)((size[1] << 8 | size[0]) & 0x3fff); /* little-endian; two bits of scaling */
        f.height = (uint16_t)((size[3] << 8 | size[2]) & 0x3fff);
    }
    if (r.bad)
        return CODEC_ERR_SHORT;
    *out = f;
    return CODEC_OK;
}

enum { VP9_SYNC_CODE = 0x498342, VP9_CS_RGB = 7 };

/* s6.2.2 color_config. */
static void read_color_config(struct bits *b, struct vpx_frame *f)
{
    bool any_chroma = f->profile == 1 || f->profile == 3;

    f->bit_depth = 8;
    if (f->profile >= 2)
        f->bit_depth = bits_u1(b) ? 12 : 10;
    if (bits_u(b, 3) == VP9_CS_RGB) {
        f->chroma = 3;
        if (any_chroma)
            bits_u1(b); /* reserved */
        return;
    }
    bits_u1(b); /* color_range */
    f->chroma = 1;
    if (any_chroma) {
        bool half_x = bits_u1(b), half_y = bits_u1(b);
        f->chroma = half_x && half_y ? 1 : half_x ? 2 : 3;
        bits_u1(b); /* reserved */
    }
}

int vp9_frame_parse(struct vpx_frame *out, const uint8_t *frame, size_t len)
{
    struct bits b = bits_init(frame, len);
    struct vpx_frame f = {0};

    if (bits_u(&b, 2) != 2 && !b.bad) /* frame_marker */
        return CODEC_ERR_SYNTAX;
    f.profile = (uint8_t)bits_u1(&b);
    f.profile |= (uint8_t)(bits_u1(&b) << 1);
    if (f.profile == 3)
        bits_u1(&b); /* reserved */
    if (bits_u1(&b)) { /* show_existing_frame */
        f.shown = true;
    } else {
        f.keyframe = !bits_u1(&b);
        f.shown = bits_u1(&b);
        bits_u1(&b); /* error_resilient_mode */
    }
    if (f.keyframe) {
        if (bits_u(&b, 24) != VP9_SYNC_CODE)
            return b.bad ? CODEC_ERR_SHORT : CODEC_ERR_SYNTAX;
        read_color_config(&b, &f);
        f.width = (uint16_t)(bits_u(&b, 16) + 1);
        f.height = (uint16_t)(bits_u(&b, 16) + 1);
    }
    if (b.bad)
        return CODEC_ERR_SHORT;
    *out = f;
    return CODEC_OK;
}

int vpcc_parse(struct vpcc *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    struct vpcc v = {0};

    if (len >= 12 && memcmp(bytes, "\1\0\0\0", 4) == 0) /* some writers leave the FullBox header out */
        reader_u32(&r);
    v.profile = reader_u8(&r);
    v.level = reader_u8(&r);
    uint8_t b = reader_u8(&r);
    v.bit_depth = b >> 4;
    v.chroma = b >> 1 & 7;
    v.full_range = b & 1;
    v.primaries = reader_u8(&r);
    v.transfer = reader_u8(&r);
    v.matrix = reader_u8(&r);
    reader_u16(&r); /* codecInitializationDataSize: 0 for VP8 and VP9 */
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (v.profile > 3 || v.bit_depth < 8 || v.bit_depth > 12)
        return CODEC_ERR_SYNTAX;
    *out = v;
    return CODEC_OK;
}

int vpcc_write(uint8_t *dst, size_t cap, const struct vpcc *v)
{
    struct writer w = writer_init(dst, cap);

    writer_u32(&w, 0x01000000); /* version 1, no flags */
    writer_u8(&w, v->profile);
    writer_u8(&w, v->level);
    writer_u8(&w, (uint8_t)(v->bit_depth << 4 | (v->chroma & 7) << 1 | (v->full_range ? 1 : 0)));
    writer_u8(&w, v->primaries);
    writer_u8(&w, v->transfer);
    writer_u8(&w, v->matrix);
    writer_u16(&w, 0);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}
