/* SPDX-License-Identifier: Apache-2.0
 * h264.c - H.264 SPS (s7.3.2.1.1, annex E) and the avcC record (ISO/IEC 14496-15 s5.3.3.1).
 * Pure; any thread. */
#include "codec/h264.h"

#include "codec/bits.h"

enum {
    PICTURE_MAX_MBS = 1024,  /* 16384 samples a side: far above level 6.2 */
    POC_CYCLE_MAX = 255,     /* num_ref_frames_in_pic_order_cnt_cycle, s7.4.2.1.1 */
    CPB_COUNT_MAX = 32,      /* cpb_cnt_minus1 is 0..31, annex E.2.2 */
    PROFILE_BASELINE = 66,   /* has no B slices (annex A.2.1) */
    EXTENDED_SAR = 255,
};

/* The profiles whose SPS has chroma format, bit depths and scaling lists. */
static bool has_chroma_info(uint8_t profile)
{
    static const uint8_t profiles[] = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135};

    for (size_t i = 0; i < LEN(profiles); i++)
        if (profiles[i] == profile)
            return true;
    return false;
}

/* s7.3.2.1.1.1: only read past it. */
static void skip_scaling_list(struct bits *b, unsigned size)
{
    int32_t last = 8, next = 8;

    for (unsigned i = 0; i < size && !b->bad; i++) {
        if (next != 0)
            next = (last + bits_se(b) % 256 + 256) % 256;
        last = next == 0 ? last : next;
    }
}

/* Returns chroma_format_idc; *separate: separate_colour_plane_flag. */
static uint32_t read_chroma_info(struct bits *b, bool *separate)
{
    uint32_t format = bits_ue(b);

    if (format == 3)
        *separate = bits_u1(b);
    bits_ue(b); /* bit_depth_luma_minus8 */
    bits_ue(b); /* bit_depth_chroma_minus8 */
    bits_u1(b); /* qpprime_y_zero_transform_bypass_flag */
    if (bits_u1(b)) { /* seq_scaling_matrix_present_flag */
        unsigned lists = format == 3 ? 12 : 8;
        for (unsigned i = 0; i < lists && !b->bad; i++)
            if (bits_u1(b))
                skip_scaling_list(b, i < 6 ? 16 : 64);
    }
    return format;
}

/* Returns pic_order_cnt_type. */
static uint32_t read_poc(struct bits *b)
{
    uint32_t type = bits_ue(b);

    if (type == 0) {
        bits_ue(b); /* log2_max_pic_order_cnt_lsb_minus4 */
    } else if (type == 1) {
        bits_u1(b); /* delta_pic_order_always_zero_flag */
        bits_se(b); /* offset_for_non_ref_pic */
        bits_se(b); /* offset_for_top_to_bottom_field */
        uint32_t cycle = bits_ue(b);
        if (cycle > POC_CYCLE_MAX)
            b->bad = true;
        for (uint32_t i = 0; i < cycle && !b->bad; i++)
            bits_se(b);
    }
    return type;
}

static void skip_hrd(struct bits *b)
{
    uint32_t count = bits_ue(b) + 1;

    if (count > CPB_COUNT_MAX)
        b->bad = true;
    bits_skip(b, 8); /* bit_rate_scale, cpb_size_scale */
    for (uint32_t i = 0; i < count && !b->bad; i++) {
        bits_ue(b); /* bit_rate_value_minus1 */
        bits_ue(b); /* cpb_size_value_minus1 */
        bits_u1(b); /* cbr_flag */
    }
    bits_skip(b, 20); /* four lengths of five bits */
}

/* E.1.1. Returns max_num_reorder_frames, or UINT32_MAX when the VUI does not say. */
static uint32_t read_vui_reorder(struct bits *b)
{
    if (bits_u1(b) && bits_u(b, 8) == EXTENDED_SAR) /* aspect_ratio */
        bits_skip(b, 32);
    if (bits_u1(b)) /* overscan_info */
        bits_u1(b);
    if (bits_u1(b)) { /* video_signal_type */
        bits_skip(b, 4);
        if (bits_u1(b))
            bits_skip(b, 24);
    }
    if (bits_u1(b)) { /* chroma_loc_info */
        bits_ue(b);
        bits_ue(b);
    }
    if (bits_u1(b)) /* timing_info */
        bits_skip(b, 65);
    bool nal_hrd = bits_u1(b);
    if (nal_hrd)
        skip_hrd(b);
    bool vcl_hrd = bits_u1(b);
    if (vcl_hrd)
        skip_hrd(b);
    if (nal_hrd || vcl_hrd)
        bits_u1(b); /* low_delay_hrd_flag */
    bits_u1(b);     /* pic_struct_present_flag */
    if (!bits_u1(b)) /* bitstream_restriction_flag */
        return UINT32_MAX;
    bits_u1(b); /* motion_vectors_over_pic_boundaries_flag */
    for (int i = 0; i < 4; i++)
        bits_ue(b); /* two sizes, two vector lengths */
    return bits_ue(b);
}

struct crop {
    uint32_t left, right, top, bottom;
};

static struct crop read_crop(struct bits *b)
{
    struct crop c = {0};

    if (bits_u1(b)) {
        c.left = bits_ue(b);
        c.right = bits_ue(b);
        c.top = bits_ue(b);
        c.bottom = bits_ue(b);
    }
    return c;
}

/* samples less the crop on both sides; 0 when nothing would be left. */
static uint32_t cropped(uint32_t samples, uint32_t a, uint32_t b, uint32_t unit)
{
    uint64_t off = ((uint64_t)a + b) * unit;

    return off < samples ? samples - (uint32_t)off : 0;
}

int h264_sps_parse(struct sps_info *out, struct nal sps)
{
    struct bits b = bits_init_nal(sps.p, sps.len);
    struct sps_info s = {0};
    uint32_t chroma = 1;
    bool separate = false;

    if ((bits_u(&b, 8) & 0x1f) != H264_NAL_SPS)
        return b.bad ? CODEC_ERR_SHORT : CODEC_ERR_SYNTAX;
    s.profile = (uint8_t)bits_u(&b, 8);
    s.constraints = (uint8_t)bits_u(&b, 8);
    s.level = (uint8_t)bits_u(&b, 8);
    bits_ue(&b); /* seq_parameter_set_id */
    if (has_chroma_info(s.profile))
        chroma = read_chroma_info(&b, &separate);
    bits_ue(&b); /* log2_max_frame_num_minus4 */
    uint32_t poc_type = read_poc(&b);
    bits_ue(&b); /* max_num_ref_frames */
    bits_u1(&b); /* gaps_in_frame_num_value_allowed_flag */
    uint32_t width_mbs = bits_ue(&b) + 1, height_units = bits_ue(&b) + 1;
    bool frames_only = bits_u1(&b);
    if (!frames_only)
        bits_u1(&b); /* mb_adaptive_frame_field_flag */
    bits_u1(&b);     /* direct_8x8_inference_flag */
    struct crop crop = read_crop(&b);
    uint32_t reorder = bits_u1(&b) ? read_vui_reorder(&b) : UINT32_MAX;
    if (b.bad)
        return CODEC_ERR_SHORT;
    if (chroma > 3 || width_mbs - 1 >= PICTURE_MAX_MBS || height_units - 1 >= PICTURE_MAX_MBS)
        return CODEC_ERR_SYNTAX;
    uint32_t unit_x = chroma == 1 || chroma == 2 ? 2 : 1;
    uint32_t unit_y = (chroma == 1 ? 2u : 1u) * (frames_only ? 1 : 2);
    s.width = cropped(width_mbs * 16, crop.left, crop.right, separate ? 1 : unit_x);
    s.height = cropped(height_units * 16 * (frames_only ? 1 : 2), crop.top, crop.bottom,
                       separate ? (frames_only ? 1 : 2) : unit_y);
    if (s.width == 0 || s.height == 0)
        return CODEC_ERR_SYNTAX;
    /* Type 2: output order is decoding order (s8.2.1.3). Else the VUI tells; else only Baseline is sure. */
    s.b_frames_possible =
        poc_type != 2 && (reorder == UINT32_MAX ? s.profile != PROFILE_BASELINE : reorder > 0);
    *out = s;
    return CODEC_OK;
}

/* ---- avcC ---- */

/* The next `count` sets as a reader of their own, each after 16 bits of length. */
static struct reader take_sets(struct reader *r, unsigned count)
{
    const uint8_t *start = r->p;

    for (unsigned i = 0; i < count && !r->bad; i++)
        reader_take(r, reader_u16(r));
    return r->bad ? reader_init(NULL, 0) : reader_init(start, (size_t)(r->p - start));
}

int avcc_parse(struct avcc *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    struct avcc a = {0};
    uint8_t version = reader_u8(&r);

    a.profile = reader_u8(&r);
    a.constraints = reader_u8(&r);
    a.level = reader_u8(&r);
    a.length_bytes = (uint8_t)((reader_u8(&r) & 3) + 1);
    a.sps_count = reader_u8(&r) & 0x1f;
    a.sps = take_sets(&r, a.sps_count);
    a.pps_count = reader_u8(&r);
    a.pps = take_sets(&r, a.pps_count); /* what follows for High profiles repeats the SPS */
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (version != 1 || a.length_bytes == 3)
        return CODEC_ERR_SYNTAX;
    *out = a;
    return CODEC_OK;
}

bool avcc_next(struct reader *sets, struct nal *out)
{
    return nal_next_prefixed(sets, 2, out);
}

int avcc_params_write(uint8_t *dst, size_t cap, const struct avcc *a)
{
    struct writer w = writer_init(dst, cap);
    struct reader sps = a->sps, pps = a->pps;
    struct nal n;

    while (avcc_next(&sps, &n))
        nal_write_prefixed(&w, n);
    while (avcc_next(&pps, &n))
        nal_write_prefixed(&w, n);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

static unsigned count_type(struct reader params, uint8_t type, struct nal *first)
{
    unsigned count = 0;
    struct nal n;

    while (nal_next_prefixed(&params, 4, &n)) {
        if (h264_nal_type(n) != type || n.len > UINT16_MAX)
            continue;
        if (count++ == 0)
            *first = n;
    }
    return count;
}

static void write_type(struct writer *w, struct reader params, uint8_t type, unsigned count)
{
    struct nal n;

    while (count > 0 && nal_next_prefixed(&params, 4, &n)) {
        if (h264_nal_type(n) != type || n.len > UINT16_MAX)
            continue;
        writer_u16(w, (uint16_t)n.len);
        writer_bytes(w, n.p, n.len);
        count--;
    }
}

int avcc_write(uint8_t *dst, size_t cap, const uint8_t *params, size_t params_len)
{
    struct reader r = reader_init(params, params_len);
    struct writer w = writer_init(dst, cap);
    struct nal sps = {0}, pps = {0};
    unsigned sps_count = count_type(r, H264_NAL_SPS, &sps), pps_count = count_type(r, H264_NAL_PPS, &pps);

    if (sps_count == 0 || pps_count == 0 || sps.len < 4)
        return CODEC_ERR_SYNTAX;
    sps_count = sps_count > 31 ? 31 : sps_count; /* five bits */
    pps_count = pps_count > 255 ? 255 : pps_count;
    writer_u8(&w, 1);
    writer_bytes(&w, sps.p + 1, 3); /* profile, constraints, level */
    writer_u8(&w, 0xfc | 3);
    writer_u8(&w, (uint8_t)(0xe0 | sps_count));
    write_type(&w, r, H264_NAL_SPS, sps_count);
    writer_u8(&w, (uint8_t)pps_count);
    write_type(&w, r, H264_NAL_PPS, pps_count);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

bool h264_frame_is_key(const uint8_t *frame, size_t len)
{
    struct reader r = reader_init(frame, len);
    struct nal n;

    while (nal_next_prefixed(&r, 4, &n))
        if (h264_nal_type(n) == H264_NAL_IDR)
            return true;
    return false;
}
