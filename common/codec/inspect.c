/* SPDX-License-Identifier: Apache-2.0
 * inspect.c - frame borders, keyframes and layers, from one RTP payload. Pure; any thread. */
#include "codec/inspect.h"

#include "codec/av1.h"
#include "codec/h265.h"
#include "codec/vpx.h"

/* ---- H.264, RFC 6184 ---- */

/* first_mb_in_slice is ue(v): a leading 1 bit is 0, the picture's first slice (H.264 s7.3.3). */
static bool first_bit_set(const struct reader *body)
{
    return reader_left(body) > 0 && body->p[0] & 0x80;
}

/* One NAL unit, or the first fragment of one; body is what follows its header. */
static void mark_h264_nal(struct payload_marks *m, uint8_t nri, uint8_t type, const struct reader *body)
{
    bool first_slice = first_bit_set(body);

    switch (type) {
    case H264_NAL_SPS: m->keyframe = m->parameter_sets = m->frame_start = true; break;
    case H264_NAL_PPS: m->parameter_sets = m->frame_start = true; break;
    case H264_NAL_SEI:
    case H264_NAL_AUD: m->frame_start = true; break;
    case H264_NAL_IDR:
        m->frame_start |= first_slice;
        m->keyframe |= first_slice;
        break;
    case H264_NAL_SLICE:
    case H264_NAL_SLICE_A:
        m->frame_start |= first_slice;
        m->discardable = nri == 0;
        break;
    default: break;
    }
}

static int mark_stap_a(struct payload_marks *m, struct reader *r)
{
    if (reader_left(r) == 0)
        return CODEC_ERR_SHORT;
    while (reader_left(r) > 0) {
        struct reader nal = reader_sub(r, reader_u16(r));
        uint8_t header = reader_u8(&nal);
        if (r->bad || nal.bad)
            return CODEC_ERR_SHORT;
        mark_h264_nal(m, header & 0x60, header & 0x1f, &nal);
    }
    return CODEC_OK;
}

static int inspect_h264(struct reader r, struct payload_marks *m)
{
    uint8_t header = reader_u8(&r), nri = header & 0x60, type = header & 0x1f;

    switch (type) {
    case H264_NAL_STAP_A: return mark_stap_a(m, &r);
    case H264_NAL_FU_A: {
        uint8_t fu = reader_u8(&r);
        if (r.bad)
            return CODEC_ERR_SHORT;
        if (fu & 0x80) /* S: the first fragment has the slice header */
            mark_h264_nal(m, nri, fu & 0x1f, &r);
        else
            m->discardable = nri == 0 && (fu & 0x1f) == H264_NAL_SLICE;
        return CODEC_OK;
    }
    case H264_NAL_STAP_B:
    case H264_NAL_MTAP16:
    case H264_NAL_MTAP24:
    case H264_NAL_FU_B: return CODEC_ERR_SUPPORT; /* interleaved mode */
    case 0:
    case 30:
    case 31: return CODEC_ERR_SYNTAX; /* undefined, s5.2 */
    default: mark_h264_nal(m, nri, type, &r); return CODEC_OK;
    }
}

/* ---- H.265, RFC 7798 ---- */

static void mark_h265_nal(struct payload_marks *m, uint8_t type, const struct reader *body)
{
    enum { TSA_N = 2, TSA_R = 3 };
    bool first_slice = first_bit_set(body); /* first_slice_segment_in_pic_flag */

    if (type == H265_NAL_VPS || type == H265_NAL_SPS)
        m->keyframe = true;
    if (type >= H265_NAL_VPS && type <= H265_NAL_PPS)
        m->parameter_sets = true;
    if (type >= H265_NAL_VPS && type <= H265_NAL_SEI_PREFIX)
        m->frame_start = true;
    if (type <= H265_NAL_IRAP_LAST && first_slice) {
        m->frame_start = true;
        m->keyframe |= type >= H265_NAL_BLA_W_LP;
        m->switch_up = type == TSA_N || type == TSA_R;
    }
}

static int mark_ap(struct payload_marks *m, struct reader *r)
{
    if (reader_left(r) == 0)
        return CODEC_ERR_SHORT;
    while (reader_left(r) > 0) {
        struct reader nal = reader_sub(r, reader_u16(r));
        uint16_t header = reader_u16(&nal);
        if (r->bad || nal.bad)
            return CODEC_ERR_SHORT;
        mark_h265_nal(m, header >> 9 & 0x3f, &nal);
    }
    return CODEC_OK;
}

static int inspect_h265(struct reader r, struct payload_marks *m)
{
    uint16_t header = reader_u16(&r);
    uint8_t type = header >> 9 & 0x3f, tid_plus1 = header & 7;

    if (r.bad)
        return CODEC_ERR_SHORT;
    if (tid_plus1 == 0)
        return CODEC_ERR_SYNTAX;
    m->has_layers = true;
    m->temporal_id = (uint8_t)(tid_plus1 - 1);
    switch (type) {
    case H265_NAL_AP: return mark_ap(m, &r);
    case H265_NAL_FU: {
        uint8_t fu = reader_u8(&r);
        if (r.bad)
            return CODEC_ERR_SHORT;
        if (fu & 0x80)
            mark_h265_nal(m, fu & 0x3f, &r);
        return CODEC_OK;
    }
    case H265_NAL_PACI: return CODEC_ERR_SUPPORT;
    default:
        if (type > H265_NAL_PACI)
            return CODEC_ERR_SYNTAX;
        mark_h265_nal(m, type, &r);
        return CODEC_OK;
    }
}

/* ---- VP8, RFC 7741 s4.2 ---- */

/* 7 bits, or 15 when the first one is set; the offset is kept for whoever rewrites it. */
static void read_picture_id(struct reader *r, const uint8_t *payload, struct payload_marks *m)
{
    m->picture_id_at = (uint8_t)(r->p - payload);
    uint8_t b = reader_u8(r);
    m->picture_id_bits = b & 0x80 ? 15 : 7;
    m->picture_id = b & 0x7f;
    if (b & 0x80)
        m->picture_id = (uint16_t)(m->picture_id << 8 | reader_u8(r));
}

static void read_vp8_extension(struct reader *r, const uint8_t *payload, struct payload_marks *m)
{
    uint8_t flags = reader_u8(r);

    if (flags & 0x80) /* I */
        read_picture_id(r, payload, m);
    if (flags & 0x40) { /* L */
        m->tl0picidx_at = (uint8_t)(r->p - payload);
        m->tl0picidx = reader_u8(r);
    }
    if (flags & 0x30) { /* T or K share a byte: TID, Y, KEYIDX */
        uint8_t at = (uint8_t)(r->p - payload), b = reader_u8(r);
        if (flags & 0x20) {
            m->has_layers = true;
            m->temporal_id = b >> 6;
            m->switch_up = b >> 5 & 1;
        }
        if (flags & 0x10) {
            m->keyidx_at = at;
            m->keyidx = b & 0x1f;
        }
    }
}

/* RFC 6386 s9.1: a key frame's start code and size follow the three-byte frame tag. */
static void read_vp8_size(struct reader r, struct payload_marks *m)
{
    const uint8_t *b = reader_take(&r, 10);

    if (!b)
        return;
    m->width = (uint16_t)((b[7] << 8 | b[6]) & 0x3fff);
    m->height = (uint16_t)((b[9] << 8 | b[8]) & 0x3fff);
}

static int inspect_vp8(struct reader r, struct payload_marks *m)
{
    const uint8_t *payload = r.p;
    uint8_t b = reader_u8(&r);

    if (b & 0x80) /* X */
        read_vp8_extension(&r, payload, m);
    if (r.bad || reader_left(&r) == 0)
        return CODEC_ERR_SHORT;
    m->header_bytes = (uint16_t)(r.p - payload);
    m->discardable = b >> 5 & 1;           /* N */
    m->frame_start = (b & 0x17) == 0x10;   /* S, partition 0 */
    m->keyframe = m->frame_start && !(r.p[0] & 1);
    if (m->keyframe)
        read_vp8_size(r, m);
    return CODEC_OK;
}

/* ---- VP9, RFC 9628 s4.2 ---- */

/* Scalability structure: layers' sizes, then the picture group. */
static void read_vp9_structure(struct reader *r, struct payload_marks *m)
{
    uint8_t b = reader_u8(r);
    unsigned layers = (b >> 5) + 1u;

    for (unsigned i = 0; i < layers && b & 0x10; i++) { /* Y; the last is the highest */
        m->width = reader_u16(r);
        m->height = reader_u16(r);
    }
    unsigned pictures = b & 0x08 ? reader_u8(r) : 0; /* G */
    for (unsigned i = 0; i < pictures && !r->bad; i++)
        reader_take(r, reader_u8(r) >> 2 & 3); /* R reference differences */
}

static void read_vp9_layer(struct reader *r, const uint8_t *payload, bool flexible, struct payload_marks *m)
{
    uint8_t b = reader_u8(r);

    m->has_layers = true;
    m->temporal_id = b >> 5;
    m->switch_up = b >> 4 & 1;
    m->spatial_id = b >> 1 & 7;
    m->inter_layer = b & 1;
    if (!flexible) {
        m->tl0picidx_at = (uint8_t)(r->p - payload);
        m->tl0picidx = reader_u8(r);
    }
}

/* P=0 means "no inter-picture prediction", but some senders (ffmpeg) never set P: the frame's own header
 * decides where it can be read. */
static bool starts_vp9_key(const struct reader *frame)
{
    struct vpx_frame f;

    return vp9_frame_parse(&f, frame->p, reader_left(frame)) != CODEC_OK || f.keyframe;
}

static int inspect_vp9(struct reader r, struct payload_marks *m)
{
    enum { I = 0x80, P = 0x40, L = 0x20, F = 0x10, B = 0x08, E = 0x04, V = 0x02, Z = 0x01 };
    enum { REFERENCES_MAX = 3 };
    const uint8_t *payload = r.p;
    uint8_t b = reader_u8(&r);

    if (b & I)
        read_picture_id(&r, payload, m);
    if (b & L)
        read_vp9_layer(&r, payload, b & F, m);
    if ((b & (F | P)) == (F | P)) { /* P_DIFF with N: another one follows */
        unsigned count = 1;
        while (reader_u8(&r) & 1)
            if (++count > REFERENCES_MAX)
                return CODEC_ERR_SYNTAX;
    }
    if (b & V)
        read_vp9_structure(&r, m);
    if (r.bad || reader_left(&r) == 0)
        return CODEC_ERR_SHORT;
    m->header_bytes = (uint16_t)(r.p - payload);
    m->frame_start = b & B && m->spatial_id == 0;
    m->frame_end = b & E;
    m->keyframe = m->frame_start && !(b & P) && starts_vp9_key(&r);
    m->not_upper_reference = b & Z;
    return CODEC_OK;
}

/* ---- AV1 RTP specification s4.4 ---- */

/* The header of an OBU element that begins an OBU. */
static void mark_av1_obu(struct reader obu, struct payload_marks *m)
{
    uint8_t header = reader_u8(&obu);

    if ((header >> 3 & 0x0f) == AV1_OBU_SEQUENCE_HEADER && !obu.bad)
        m->keyframe = m->parameter_sets = true;
    if (header & 4) { /* extension: the whole packet belongs to this layer (s6) */
        uint8_t ext = reader_u8(&obu);
        m->has_layers = !obu.bad;
        m->temporal_id = ext >> 5;
        m->spatial_id = ext >> 3 & 3;
    }
}

static int inspect_av1(struct reader r, struct payload_marks *m)
{
    uint8_t b = reader_u8(&r);
    bool continues = b & 0x80, first_of_sequence = b & 0x08;
    unsigned count = b >> 4 & 3; /* W; 0: every element has a length */

    if (continues && first_of_sequence)
        return CODEC_ERR_SYNTAX; /* "if N equals 1 then Z must equal 0" */
    if (reader_left(&r) == 0)
        return CODEC_ERR_SHORT;
    m->header_bytes = 1;
    m->frame_start = !continues;
    for (unsigned i = 0; reader_left(&r) > 0; i++) {
        size_t len = count > 0 && i + 1 == count ? reader_left(&r) : av1_leb128_read(&r);
        struct reader element = reader_sub(&r, len);
        if (r.bad)
            return CODEC_ERR_SHORT;
        if (i > 0 || !continues)
            mark_av1_obu(element, m);
    }
    m->keyframe |= first_of_sequence;
    return CODEC_OK;
}

/* ---- audio ---- */

static int inspect_audio(struct payload_marks *m)
{
    m->frame_start = m->frame_end = m->keyframe = true;
    return CODEC_OK;
}

static int inspect_aac(struct reader r, struct payload_marks *m)
{
    size_t header_bits = reader_u16(&r); /* RFC 3640 s3.2.1: AU-headers-length */

    reader_take(&r, (header_bits + 7) / 8);
    return r.bad ? CODEC_ERR_SHORT : inspect_audio(m);
}

static int inspect(enum codec codec, struct reader r, struct payload_marks *m)
{
    switch (codec) {
    case CODEC_H264: return inspect_h264(r, m);
    case CODEC_H265: return inspect_h265(r, m);
    case CODEC_VP8: return inspect_vp8(r, m);
    case CODEC_VP9: return inspect_vp9(r, m);
    case CODEC_AV1: return inspect_av1(r, m);
    case CODEC_AAC: return inspect_aac(r, m);
    case CODEC_OPUS: return inspect_audio(m);
    default: return CODEC_ERR_SUPPORT;
    }
}

int codec_inspect(enum codec codec, const uint8_t *payload, size_t len, struct payload_marks *out)
{
    struct payload_marks m = {0};

    if (len == 0)
        return CODEC_ERR_SHORT;
    int err = inspect(codec, reader_init(payload, len), &m);
    if (!err)
        *out = m;
    return err;
}
