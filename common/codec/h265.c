/* SPDX-License-Identifier: Apache-2.0
 * h265.c - H.265 SPS (s7.3.2.2, s7.3.3) and the hvcC record (ISO/IEC 14496-15 s8.3.3.1).
 * Pure; any thread. */
#include "codec/h265.h"

#include "codec/bits.h"

enum {
    PROFILE_BYTES = 12, /* general_profile_space .. general_level_idc, as hvcC repeats them */
    SAMPLES_MAX = 16384,
};

/* What hvcC wants to know of an SPS beyond sps_info. */
struct sps_fields {
    uint8_t profile_bytes[PROFILE_BYTES];
    uint8_t temporal_layers; /* 1..7 */
    bool temporal_nested;
    uint32_t chroma, depth_luma, depth_chroma; /* chroma_format_idc, bit_depth_*_minus8 */
};

/* s7.3.3 profile_tier_level(1, sub_layers_minus1). */
static void read_profile_tier_level(struct bits *b, unsigned sub_layers_minus1, uint8_t bytes[PROFILE_BYTES])
{
    bool profile_present[8], level_present[8];

    for (size_t i = 0; i < PROFILE_BYTES; i++)
        bytes[i] = (uint8_t)bits_u(b, 8);
    for (unsigned i = 0; i < sub_layers_minus1; i++) {
        profile_present[i] = bits_u1(b);
        level_present[i] = bits_u1(b);
    }
    if (sub_layers_minus1 > 0)
        bits_skip(b, 2 * (8 - sub_layers_minus1));
    for (unsigned i = 0; i < sub_layers_minus1; i++)
        bits_skip(b, (profile_present[i] ? 88u : 0u) + (level_present[i] ? 8u : 0u));
}

static uint32_t cropped(uint32_t samples, uint32_t a, uint32_t b, uint32_t unit)
{
    uint64_t off = ((uint64_t)a + b) * unit;

    return off < samples ? samples - (uint32_t)off : 0;
}

/* Returns sps_max_num_reorder_pics of the highest sub-layer. */
static uint32_t read_ordering(struct bits *b, unsigned sub_layers_minus1)
{
    unsigned count = bits_u1(b) ? sub_layers_minus1 + 1 : 1;
    uint32_t reorder = 0;

    for (unsigned i = 0; i < count; i++) {
        bits_ue(b); /* sps_max_dec_pic_buffering_minus1 */
        reorder = bits_ue(b);
        bits_ue(b); /* sps_max_latency_increase_plus1 */
    }
    return reorder;
}

/* The picture size less its conformance window, in *s; 0 when nothing would be left. */
static void read_size(struct bits *b, uint32_t chroma, bool separate, struct sps_info *s)
{
    uint32_t width = bits_ue(b), height = bits_ue(b);
    uint32_t left = 0, right = 0, top = 0, bottom = 0;
    uint32_t unit_x = !separate && (chroma == 1 || chroma == 2) ? 2 : 1;
    uint32_t unit_y = !separate && chroma == 1 ? 2 : 1;

    if (bits_u1(b)) { /* conformance_window_flag */
        left = bits_ue(b);
        right = bits_ue(b);
        top = bits_ue(b);
        bottom = bits_ue(b);
    }
    s->width = cropped(width, left, right, unit_x);
    s->height = cropped(height, top, bottom, unit_y);
}

static int parse_sps(struct sps_info *out, struct sps_fields *f, struct nal sps)
{
    struct bits b = bits_init_nal(sps.p, sps.len);
    struct sps_info s = {0};

    if ((bits_u(&b, 16) >> 9 & 0x3f) != H265_NAL_SPS)
        return b.bad ? CODEC_ERR_SHORT : CODEC_ERR_SYNTAX;
    bits_u(&b, 4); /* sps_video_parameter_set_id */
    unsigned sub_layers_minus1 = bits_u(&b, 3);
    if (sub_layers_minus1 > 6)
        return CODEC_ERR_SYNTAX;
    f->temporal_layers = (uint8_t)(sub_layers_minus1 + 1);
    f->temporal_nested = bits_u1(&b);
    read_profile_tier_level(&b, sub_layers_minus1, f->profile_bytes);
    bits_ue(&b); /* sps_seq_parameter_set_id */
    f->chroma = bits_ue(&b);
    bool separate = f->chroma == 3 && bits_u1(&b);
    read_size(&b, f->chroma, separate, &s);
    f->depth_luma = bits_ue(&b);
    f->depth_chroma = bits_ue(&b);
    bits_ue(&b); /* log2_max_pic_order_cnt_lsb_minus4 */
    s.b_frames_possible = read_ordering(&b, sub_layers_minus1) > 0;
    if (b.bad)
        return CODEC_ERR_SHORT;
    if (f->chroma > 3 || f->depth_luma > 8 || f->depth_chroma > 8 || s.width == 0 || s.height == 0 ||
        s.width > SAMPLES_MAX || s.height > SAMPLES_MAX)
        return CODEC_ERR_SYNTAX;
    s.profile = f->profile_bytes[0] & 0x1f;
    s.level = f->profile_bytes[PROFILE_BYTES - 1];
    *out = s;
    return CODEC_OK;
}

int h265_sps_parse(struct sps_info *out, struct nal sps)
{
    struct sps_fields f;

    return parse_sps(out, &f, sps);
}

/* ---- hvcC ---- */

static void skip_array(struct reader *r)
{
    reader_u8(r); /* completeness and type */
    uint16_t count = reader_u16(r);
    for (uint16_t i = 0; i < count && !r->bad; i++)
        reader_take(r, reader_u16(r));
}

int hvcc_parse(struct hvcc *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    struct hvcc h = {0};
    uint8_t version = reader_u8(&r);

    h.profile = reader_u8(&r) & 0x1f;
    reader_take(&r, 10); /* compatibility and constraint flags */
    h.level = reader_u8(&r);
    reader_take(&r, 8); /* segmentation, parallelism, chroma, depths, frame rate */
    h.length_bytes = (uint8_t)((reader_u8(&r) & 3) + 1);
    uint8_t arrays = reader_u8(&r);
    const uint8_t *start = r.p;
    for (unsigned i = 0; i < arrays && !r.bad; i++)
        skip_array(&r);
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (version != 1 || h.length_bytes == 3)
        return CODEC_ERR_SYNTAX;
    h.arrays = reader_init(start, (size_t)(r.p - start));
    *out = h;
    return CODEC_OK;
}

bool hvcc_next(struct hvcc *h, struct nal *out)
{
    while (h->left > 0 || reader_left(&h->arrays) > 0) {
        if (h->left == 0) {
            reader_u8(&h->arrays);
            h->left = reader_u16(&h->arrays);
            continue;
        }
        h->left--;
        size_t len = reader_u16(&h->arrays);
        const uint8_t *p = reader_take(&h->arrays, len);
        if (len >= H265_NAL_HEADER_BYTES && p) {
            *out = (struct nal){p, len};
            return true;
        }
    }
    return false;
}

int hvcc_params_write(uint8_t *dst, size_t cap, const struct hvcc *h)
{
    struct writer w = writer_init(dst, cap);
    struct hvcc at = *h;
    struct nal n;

    while (hvcc_next(&at, &n))
        nal_write_prefixed(&w, n);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

static unsigned count_type(struct reader params, uint8_t type, struct nal *first)
{
    unsigned count = 0;
    struct nal n;

    while (count < UINT16_MAX && nal_next_prefixed(&params, 4, &n)) {
        if (h265_nal_type(n) != type || n.len > UINT16_MAX)
            continue;
        if (count++ == 0)
            *first = n;
    }
    return count;
}

static void write_array(struct writer *w, struct reader params, uint8_t type, unsigned count)
{
    struct nal n;

    writer_u8(w, (uint8_t)(0x80 | type)); /* array_completeness: none are in the frames only */
    writer_u16(w, (uint16_t)count);
    while (count > 0 && nal_next_prefixed(&params, 4, &n)) {
        if (h265_nal_type(n) != type || n.len > UINT16_MAX)
            continue;
        writer_u16(w, (uint16_t)n.len);
        writer_bytes(w, n.p, n.len);
        count--;
    }
}

static void write_fixed(struct writer *w, const struct sps_fields *f)
{
    writer_u8(w, 1);
    writer_bytes(w, f->profile_bytes, PROFILE_BYTES);
    writer_u16(w, 0xf000); /* min_spatial_segmentation_idc: unknown */
    writer_u8(w, 0xfc);    /* parallelismType: unknown */
    writer_u8(w, (uint8_t)(0xfc | f->chroma));
    writer_u8(w, (uint8_t)(0xf8 | f->depth_luma));
    writer_u8(w, (uint8_t)(0xf8 | f->depth_chroma));
    writer_u16(w, 0); /* avgFrameRate: unspecified */
    writer_u8(w, (uint8_t)(f->temporal_layers << 3 | (f->temporal_nested ? 4 : 0) | 3)); /* 4-byte lengths */
}

int hvcc_write(uint8_t *dst, size_t cap, const uint8_t *params, size_t params_len)
{
    static const uint8_t types[] = {H265_NAL_VPS, H265_NAL_SPS, H265_NAL_PPS};
    struct reader r = reader_init(params, params_len);
    struct writer w = writer_init(dst, cap);
    struct nal first[LEN(types)] = {0};
    unsigned counts[LEN(types)];
    struct sps_fields f;
    struct sps_info info;

    for (size_t i = 0; i < LEN(types); i++) {
        counts[i] = count_type(r, types[i], &first[i]);
        if (counts[i] == 0)
            return CODEC_ERR_SYNTAX;
    }
    if (parse_sps(&info, &f, first[1]) || f.depth_luma > 7 || f.depth_chroma > 7) /* three bits in hvcC */
        return CODEC_ERR_SYNTAX;
    write_fixed(&w, &f);
    writer_u8(&w, LEN(types));
    for (size_t i = 0; i < LEN(types); i++)
        write_array(&w, r, types[i], counts[i]);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

bool h265_frame_is_key(const uint8_t *frame, size_t len)
{
    struct reader r = reader_init(frame, len);
    struct nal n;

    while (nal_next_prefixed(&r, 4, &n)) {
        uint8_t type = h265_nal_type(n);
        if (type >= H265_NAL_BLA_W_LP && type <= H265_NAL_IRAP_LAST)
            return true;
    }
    return false;
}
