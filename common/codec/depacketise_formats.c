/* SPDX-License-Identifier: Apache-2.0
 * depacketise_formats.c - payloads of each codec back into canonical frames. One thread at a time.
 * Source: RFC 6184, RFC 7798, RFC 7741, RFC 9628, AV1 RTP specification s4, RFC 7587, RFC 3640. */
#include "codec/av1.h"
#include "codec/depacketise_priv.h"
#include "codec/h265.h"
#include "codec/inspect.h"

/* ---- NAL units: H.264 and H.265 ---- */

enum { NAL_PREFIX_BYTES = 4 };

static int begin_nal(struct depacketiser *d)
{
    static const uint8_t unknown_yet[NAL_PREFIX_BYTES];

    d->unit_at = d->len;
    return depacketise_append(d, unknown_yet, sizeof(unknown_yet));
}

static void end_nal(struct depacketiser *d)
{
    struct writer w = writer_init(d->bytes + d->unit_at, NAL_PREFIX_BYTES);

    writer_u32(&w, (uint32_t)(d->len - d->unit_at - NAL_PREFIX_BYTES));
}

static int add_nal(struct depacketiser *d, const uint8_t *nal, size_t len)
{
    int err = begin_nal(d);

    if (!err)
        err = depacketise_append(d, nal, len);
    if (!err)
        end_nal(d);
    return err;
}

/* One fragment: header bytes of the NAL unit put together again, S and E bits, then its bytes. */
static int add_fragment(struct depacketiser *d, const uint8_t *header, size_t header_len, uint8_t fu,
                        const struct reader *body)
{
    bool start = fu & 0x80, end = fu & 0x40;
    int err = DEPACKETISE_OK;

    if (start == d->unit_open)
        return DEPACKETISE_DAMAGED; /* two beginnings, or a continuation of nothing */
    if (start) {
        err = begin_nal(d);
        if (!err)
            err = depacketise_append(d, header, header_len);
        d->unit_open = true;
    }
    if (!err)
        err = depacketise_append(d, body->p, reader_left(body));
    if (!err && end) {
        end_nal(d);
        d->unit_open = false;
    }
    return err;
}

/* The units of an aggregation packet: each after 16 bits of length. */
static int add_aggregate(struct depacketiser *d, struct reader r, size_t header_len)
{
    while (reader_left(&r) > 0) {
        size_t len = reader_u16(&r);
        const uint8_t *nal = reader_take(&r, len);
        if (r.bad || len < header_len)
            return DEPACKETISE_DAMAGED;
        int err = add_nal(d, nal, len);
        if (err)
            return err;
    }
    return DEPACKETISE_OK;
}

static bool h264_begins(const uint8_t *payload, size_t len)
{
    struct reader r = reader_init(payload, len);
    uint8_t type = reader_u8(&r) & 0x1f;

    if (type == H264_NAL_STAP_A) {
        reader_u16(&r);
        type = reader_u8(&r) & 0x1f;
    }
    return !r.bad && (type == H264_NAL_SPS || type == H264_NAL_AUD);
}

static int h264_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    struct reader r = reader_init(p->payload, p->len);
    struct payload_marks marks;
    uint8_t header = reader_u8(&r), type = header & 0x1f;

    if (codec_inspect(CODEC_H264, p->payload, p->len, &marks) || (d->unit_open && type != H264_NAL_FU_A))
        return DEPACKETISE_DAMAGED;
    if (type == H264_NAL_STAP_A)
        return add_aggregate(d, r, 1);
    if (type != H264_NAL_FU_A)
        return add_nal(d, p->payload, p->len);
    uint8_t fu = reader_u8(&r);
    uint8_t nal_header = (header & 0xe0) | (fu & 0x1f);
    return add_fragment(d, &nal_header, 1, fu, &r);
}

static bool h265_begins(const uint8_t *payload, size_t len)
{
    struct reader r = reader_init(payload, len);
    uint8_t type = reader_u16(&r) >> 9 & 0x3f;

    if (type == H265_NAL_AP) {
        reader_u16(&r);
        type = reader_u16(&r) >> 9 & 0x3f;
    }
    return !r.bad && (type == H265_NAL_VPS || type == H265_NAL_AUD);
}

static int h265_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    struct reader r = reader_init(p->payload, p->len);
    struct payload_marks marks;
    uint16_t header = reader_u16(&r);
    uint8_t type = header >> 9 & 0x3f;

    if (codec_inspect(CODEC_H265, p->payload, p->len, &marks) || (d->unit_open && type != H265_NAL_FU))
        return DEPACKETISE_DAMAGED;
    if (type == H265_NAL_AP)
        return add_aggregate(d, r, H265_NAL_HEADER_BYTES);
    if (type != H265_NAL_FU)
        return add_nal(d, p->payload, p->len);
    uint8_t fu = reader_u8(&r);
    uint8_t nal_header[] = {(uint8_t)((header >> 8 & 0x81) | (fu & 0x3f) << 1), (uint8_t)header};
    return add_fragment(d, nal_header, sizeof(nal_header), fu, &r);
}

/* ---- VP8 and VP9: the bytes after the descriptor ---- */

static bool vpx_begins(enum codec codec, const uint8_t *payload, size_t len)
{
    struct payload_marks m;

    return codec_inspect(codec, payload, len, &m) == CODEC_OK && m.frame_start;
}

static int vpx_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    struct payload_marks m;

    if (codec_inspect(d->cfg.codec, p->payload, p->len, &m) || (d->len == 0) != m.frame_start)
        return DEPACKETISE_DAMAGED;
    d->key |= m.keyframe;
    return depacketise_append(d, p->payload + m.header_bytes, p->len - m.header_bytes);
}

static bool vp8_begins(const uint8_t *payload, size_t len)
{
    return vpx_begins(CODEC_VP8, payload, len);
}

static bool vp9_begins(const uint8_t *payload, size_t len)
{
    return vpx_begins(CODEC_VP9, payload, len);
}

/* ---- AV1: OBU elements; sizes go back into the OBUs ---- */

static bool av1_begins(const uint8_t *payload, size_t len)
{
    struct payload_marks m;

    return codec_inspect(CODEC_AV1, payload, len, &m) == CODEC_OK && m.frame_start && m.keyframe;
}

/* The OBU at unit_at is whole: check it, leave it out if it is not to be seen, give it a size field. */
static int end_obu(struct depacketiser *d)
{
    struct reader r = reader_init(d->bytes + d->unit_at, d->len - d->unit_at);
    uint8_t size[8];
    struct writer w = writer_init(size, sizeof(size));
    struct av1_obu o;

    d->unit_open = false;
    if (av1_obu_next(&r, &o) != 1)
        return DEPACKETISE_DAMAGED;
    if (o.type == AV1_OBU_TEMPORAL_DELIMITER || o.type == AV1_OBU_TILE_LIST) {
        d->len = d->unit_at; /* s5: "MUST be ignored by receivers" */
        return DEPACKETISE_OK;
    }
    d->key |= o.type == AV1_OBU_SEQUENCE_HEADER;
    if (o.header[0] & 2) /* it came with its size */
        return reader_left(&r) == 0 ? DEPACKETISE_OK : DEPACKETISE_DAMAGED;
    av1_leb128_write(&w, (uint32_t)o.payload_len);
    size_t n = writer_len(&w), payload_at = d->unit_at + o.header_len;
    int err = depacketise_append(d, size, n); /* room for it; may move the buffer */
    if (err)
        return err;
    memmove(d->bytes + payload_at + n, d->bytes + payload_at, o.payload_len);
    memcpy(d->bytes + payload_at, size, n);
    d->bytes[d->unit_at] |= 2;
    return DEPACKETISE_OK;
}

static int av1_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    struct reader r = reader_init(p->payload, p->len);
    struct payload_marks m;
    uint8_t header = reader_u8(&r);
    bool continues = header & 0x80, goes_on = header & 0x40;
    unsigned count = header >> 4 & 3;

    if (codec_inspect(CODEC_AV1, p->payload, p->len, &m) || continues != d->unit_open)
        return DEPACKETISE_DAMAGED;
    for (unsigned i = 0; reader_left(&r) > 0; i++) {
        size_t len = count > 0 && i + 1 == count ? reader_left(&r) : av1_leb128_read(&r);
        const uint8_t *element = reader_take(&r, len);
        if (r.bad)
            return DEPACKETISE_DAMAGED;
        if (len == 0 && !d->unit_open)
            continue;
        if (!d->unit_open)
            d->unit_at = d->len;
        d->unit_open = true;
        int err = depacketise_append(d, element, len);
        if (!err && !(goes_on && reader_left(&r) == 0))
            err = end_obu(d);
        if (err)
            return err;
    }
    return DEPACKETISE_OK;
}

/* ---- audio ---- */

static bool opus_begins(const uint8_t *payload, size_t len)
{
    (void)payload;
    return len > 0;
}

static int opus_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    int err = depacketise_append(d, p->payload, p->len);

    if (err)
        return err;
    d->key = true;
    depacketise_emit(d, p->seq);
    return DEPACKETISE_OK;
}

enum { AU_HEADER_BITS = 16 }; /* AAC-hbr: sizelength 13, indexlength 3 (RFC 3640 s3.3.6) */

/* The AU headers of a payload; *data is left with what they speak of. False: not AAC-hbr. */
static bool aac_headers(const uint8_t *payload, size_t len, struct reader *headers, struct reader *data)
{
    struct reader r = reader_init(payload, len);
    size_t bits = reader_u16(&r);

    *headers = reader_sub(&r, bits / 8);
    *data = r;
    return !r.bad && bits > 0 && bits % AU_HEADER_BITS == 0;
}

static bool aac_begins(const uint8_t *payload, size_t len)
{
    struct reader headers, data;

    return aac_headers(payload, len, &headers, &data) &&
           (size_t)(reader_u16(&headers) >> 3) <= reader_left(&data);
}

/* A payload with one header whose size passes the data is a fragment; all of its fragments say the same. */
static int aac_add_fragment(struct depacketiser *d, const struct depacketise_packet *p, size_t unit_bytes,
                            const struct reader *data)
{
    if (d->len > 0 && d->expected != unit_bytes)
        return DEPACKETISE_DAMAGED;
    d->expected = unit_bytes;
    if (d->len + reader_left(data) > unit_bytes || reader_left(data) == 0)
        return DEPACKETISE_DAMAGED;
    int err = depacketise_append(d, data->p, reader_left(data));
    if (err)
        return err;
    d->key = true;
    if (d->len == unit_bytes)
        depacketise_emit(d, p->seq);
    return DEPACKETISE_OK;
}

static int aac_add(struct depacketiser *d, const struct depacketise_packet *p)
{
    enum { UNIT_TICKS = 1024 };
    struct reader headers, data;

    if (!aac_headers(p->payload, p->len, &headers, &data))
        return DEPACKETISE_DAMAGED;
    bool alone = reader_left(&headers) == AU_HEADER_BITS / 8;
    while (reader_left(&headers) > 0) {
        size_t unit_bytes = reader_u16(&headers) >> 3;
        if (unit_bytes == 0)
            return DEPACKETISE_DAMAGED;
        if (alone && (d->len > 0 || unit_bytes > reader_left(&data)))
            return aac_add_fragment(d, p, unit_bytes, &data);
        const uint8_t *unit = reader_take(&data, unit_bytes);
        if (!unit)
            return DEPACKETISE_DAMAGED;
        int err = depacketise_append(d, unit, unit_bytes);
        if (err)
            return err;
        d->key = true;
        depacketise_emit(d, p->seq);
        d->ts_ticks += UNIT_TICKS; /* RFC 3640 s3.2.1.1: the units of a packet follow each other */
    }
    return DEPACKETISE_OK;
}

static const struct depacketise_format formats[CODEC_COUNT] = {
    [CODEC_H264] = {.begins = h264_begins, .add = h264_add, .is_key = h264_frame_is_key},
    [CODEC_H265] = {.begins = h265_begins, .add = h265_add, .is_key = h265_frame_is_key},
    [CODEC_VP8] = {.begins = vp8_begins, .add = vpx_add},
    [CODEC_VP9] = {.begins = vp9_begins, .add = vpx_add},
    [CODEC_AV1] = {.begins = av1_begins, .add = av1_add},
    [CODEC_OPUS] = {.begins = opus_begins, .add = opus_add, .whole_packets = true},
    [CODEC_AAC] = {.begins = aac_begins, .add = aac_add, .whole_packets = true},
};

const struct depacketise_format *depacketise_format_of(enum codec codec)
{
    return &formats[codec];
}
