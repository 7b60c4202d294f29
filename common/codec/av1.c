/* SPDX-License-Identifier: Apache-2.0
 * av1.c - OBUs, sequence header (s5.5) and av1C. Pure; any thread. */
#include "codec/av1.h"

#include "codec/bits.h"

/* ---- leb128, s4.10.5 ---- */

uint32_t av1_leb128_read(struct reader *r)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < 8; i++) {
        uint8_t b = reader_u8(r);
        v |= (uint64_t)(b & 0x7f) << (7 * i);
        if (!(b & 0x80)) {
            if (v > UINT32_MAX)
                break;
            return r->bad ? 0 : (uint32_t)v;
        }
    }
    r->bad = true;
    r->p = r->end;
    return 0;
}

void av1_leb128_write(struct writer *w, uint32_t v)
{
    while (v > 0x7f) {
        writer_u8(w, (uint8_t)(v | 0x80));
        v >>= 7;
    }
    writer_u8(w, (uint8_t)v);
}

size_t av1_leb128_bytes(uint32_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

/* ---- OBUs, s5.3 ---- */

int av1_obu_next(struct reader *r, struct av1_obu *out)
{
    struct av1_obu o = {.header_len = 1};

    if (reader_left(r) == 0)
        return 0;
    o.header[0] = reader_u8(r);
    if (o.header[0] & 0x80) /* obu_forbidden_bit */
        return CODEC_ERR_SYNTAX;
    o.type = o.header[0] >> 3 & 0x0f;
    if (o.header[0] & 4) { /* obu_extension_flag */
        o.header[1] = reader_u8(r);
        o.header_len = 2;
        o.temporal_id = o.header[1] >> 5;
        o.spatial_id = o.header[1] >> 3 & 3;
    }
    o.payload_len = o.header[0] & 2 ? av1_leb128_read(r) : reader_left(r);
    o.payload = reader_take(r, o.payload_len);
    if (r->bad)
        return CODEC_ERR_SHORT;
    *out = o;
    return 1;
}

void av1_obu_write(struct writer *w, const struct av1_obu *o)
{
    writer_u8(w, o->header[0] | 2); /* obu_has_size_field */
    if (o->header_len == 2)
        writer_u8(w, o->header[1]);
    av1_leb128_write(w, (uint32_t)o->payload_len);
    writer_bytes(w, o->payload, o->payload_len);
}

/* ---- sequence header, s5.5 ---- */

/* What the operating points' syntax depends on. */
struct timing {
    bool decoder_model, display_delay;
    unsigned delay_bits;
};

static void skip_uvlc(struct bits *b)
{
    unsigned zeros = 0;

    while (!b->bad && zeros < 32 && bits_u1(b) == 0)
        zeros++;
    if (zeros < 32)
        bits_skip(b, zeros);
}

/* timing_info, decoder_model_info. */
static struct timing read_timing(struct bits *b)
{
    struct timing t = {0};

    if (bits_u1(b)) { /* timing_info_present_flag */
        bits_skip(b, 64);
        if (bits_u1(b)) /* equal_picture_interval */
            skip_uvlc(b);
        t.decoder_model = bits_u1(b);
    }
    if (t.decoder_model) {
        t.delay_bits = bits_u(b, 5) + 1;
        bits_skip(b, 32 + 5 + 5);
    }
    t.display_delay = bits_u1(b);
    return t;
}

static void read_operating_points(struct bits *b, const struct timing *t, struct av1_sequence *s)
{
    unsigned count = bits_u(b, 5) + 1;

    for (unsigned i = 0; i < count && !b->bad; i++) {
        bits_u(b, 12); /* operating_point_idc */
        uint8_t level = (uint8_t)bits_u(b, 5), tier = 0;
        if (level > 7)
            tier = (uint8_t)bits_u1(b);
        if (t->decoder_model && bits_u1(b))
            bits_skip(b, 2 * (size_t)t->delay_bits + 1);
        if (t->display_delay && bits_u1(b))
            bits_skip(b, 4);
        if (i == 0) {
            s->level = level;
            s->tier = tier;
        }
    }
}

static void read_size(struct bits *b, struct av1_sequence *s)
{
    unsigned width_bits = bits_u(b, 4) + 1, height_bits = bits_u(b, 4) + 1;

    s->width = bits_u(b, width_bits) + 1;
    s->height = bits_u(b, height_bits) + 1;
    if (!s->reduced_still_picture && bits_u1(b)) /* frame_id_numbers_present_flag */
        bits_skip(b, 4 + 3);
}

static void skip_tools(struct bits *b, bool reduced)
{
    bits_skip(b, 3); /* superblock size, filter intra, intra edge */
    if (!reduced) {
        bits_skip(b, 4); /* interintra, masked compound, warped motion, dual filter */
        bool order_hint = bits_u1(b);
        if (order_hint)
            bits_skip(b, 2);
        bool screen_content = true; /* "select" counts as possible */
        if (!bits_u1(b))            /* seq_choose_screen_content_tools */
            screen_content = bits_u1(b);
        if (screen_content && !bits_u1(b)) /* seq_choose_integer_mv */
            bits_u1(b);
        if (order_hint)
            bits_skip(b, 3);
    }
    bits_skip(b, 3); /* superres, cdef, restoration */
}

/* s5.5.2 color_config, as far as av1C wants it. */
static void read_color(struct bits *b, struct av1_sequence *s)
{
    uint32_t description = 0x020202; /* unspecified */
    enum { SRGB = 0x010d00 /* BT.709 primaries, sRGB transfer, identity matrix */ };

    bool high = bits_u1(b);
    s->bit_depth = high ? 10 : 8;
    if (s->profile == 2 && high && bits_u1(b))
        s->bit_depth = 12;
    s->monochrome = s->profile != 1 && bits_u1(b);
    if (bits_u1(b))
        description = bits_u(b, 24);
    if (!s->monochrome && description == SRGB)
        return; /* 4:4:4 */
    bits_u1(b); /* color_range */
    s->subsampling_x = s->monochrome || s->profile == 0;
    s->subsampling_y = s->subsampling_x;
    if (s->profile == 2 && !s->monochrome) {
        s->subsampling_x = s->bit_depth != 12 || bits_u1(b);
        s->subsampling_y = s->bit_depth == 12 && s->subsampling_x && bits_u1(b);
    }
    if (!s->monochrome && s->subsampling_x && s->subsampling_y)
        s->chroma_position = (uint8_t)bits_u(b, 2);
}

int av1_sequence_parse(struct av1_sequence *out, const uint8_t *payload, size_t len)
{
    struct bits b = bits_init(payload, len);
    struct av1_sequence s = {0};

    s.profile = (uint8_t)bits_u(&b, 3);
    bits_u1(&b); /* still_picture */
    s.reduced_still_picture = bits_u1(&b);
    if (s.reduced_still_picture) {
        s.level = (uint8_t)bits_u(&b, 5);
    } else {
        struct timing t = read_timing(&b);
        read_operating_points(&b, &t, &s);
    }
    read_size(&b, &s);
    skip_tools(&b, s.reduced_still_picture);
    read_color(&b, &s);
    if (b.bad)
        return CODEC_ERR_SHORT;
    if (s.profile > 2)
        return CODEC_ERR_SYNTAX;
    *out = s;
    return CODEC_OK;
}

/* ---- av1C ---- */

/* The sequence header of a temporal unit. False when there is none. */
static bool find_sequence(const uint8_t *unit, size_t len, struct av1_obu *out)
{
    struct reader r = reader_init(unit, len);

    while (av1_obu_next(&r, out) == 1)
        if (out->type == AV1_OBU_SEQUENCE_HEADER)
            return true;
    return false;
}

int av1c_write(uint8_t *dst, size_t cap, const uint8_t *unit, size_t unit_len)
{
    struct writer w = writer_init(dst, cap);
    struct av1_obu obu;
    struct av1_sequence s;

    if (!find_sequence(unit, unit_len, &obu) || av1_sequence_parse(&s, obu.payload, obu.payload_len))
        return CODEC_ERR_SYNTAX;
    writer_u8(&w, 0x81); /* marker, version 1 */
    writer_u8(&w, (uint8_t)(s.profile << 5 | s.level));
    writer_u8(&w,
              (uint8_t)(s.tier << 7 | (s.bit_depth > 8) << 6 | (s.bit_depth == 12) << 5 | s.monochrome << 4 |
                        s.subsampling_x << 3 | s.subsampling_y << 2 | s.chroma_position));
    writer_u8(&w, 0); /* initial presentation delay: not told */
    av1_obu_write(&w, &obu);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

int av1c_parse(struct av1c *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    uint8_t version = reader_u8(&r), b1 = reader_u8(&r), b2 = reader_u8(&r);

    reader_u8(&r);
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (version != 0x81)
        return CODEC_ERR_SYNTAX;
    *out = (struct av1c){
        .obus = r.p,
        .obus_len = reader_left(&r),
        .profile = b1 >> 5,
        .level = b1 & 0x1f,
        .tier = b2 >> 7,
    };
    return CODEC_OK;
}

bool av1_unit_is_key(const uint8_t *unit, size_t len)
{
    struct av1_obu obu;

    return find_sequence(unit, len, &obu);
}
