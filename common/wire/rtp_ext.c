/* SPDX-License-Identifier: Apache-2.0
 * rtp_ext.c - RTP header extension elements (RFC 8285) and the known extensions' values. Pure; any thread. */
#include "wire/rtp_ext.h"

struct rtp_ext_iter rtp_ext_iter_init(uint16_t ext_profile, const uint8_t *ext, size_t len)
{
    bool two_byte = (ext_profile & 0xfff0) == RTP_EXT_PROFILE_TWO_BYTE;

    if (!ext || (!two_byte && ext_profile != RTP_EXT_PROFILE_ONE_BYTE))
        len = 0;
    return (struct rtp_ext_iter){reader_init(ext, len), two_byte};
}

/* s4.2: id and length - 1 share a byte; id 0 is padding, id 15 ends the block. False: no element here. */
static bool one_byte_header(struct reader *r, struct rtp_ext *e)
{
    uint8_t b = reader_u8(r);

    if (b >> 4 == 15)
        r->p = r->end;
    e->id = b >> 4;
    e->len = (uint8_t)((b & 0x0f) + 1);
    return e->id != 0 && e->id != 15;
}

/* s4.3: an id, then a length which may be 0; a lone 0 byte is padding. */
static bool two_byte_header(struct reader *r, struct rtp_ext *e)
{
    e->id = reader_u8(r);
    if (e->id == 0)
        return false;
    e->len = reader_u8(r);
    return true;
}

bool rtp_ext_next(struct rtp_ext_iter *it, struct rtp_ext *out)
{
    struct rtp_ext e;

    while (reader_left(&it->r) > 0) {
        bool element = it->two_byte ? two_byte_header(&it->r, &e) : one_byte_header(&it->r, &e);
        if (!element)
            continue;
        e.data = reader_take(&it->r, e.len);
        if (it->r.bad)
            return false;
        *out = e;
        return true;
    }
    return false;
}

bool rtp_ext_find(struct rtp_ext *out, uint16_t ext_profile, const uint8_t *ext, size_t len, uint8_t id)
{
    struct rtp_ext_iter it = rtp_ext_iter_init(ext_profile, ext, len);
    struct rtp_ext e;

    while (rtp_ext_next(&it, &e)) {
        if (e.id == id) {
            *out = e;
            return true;
        }
    }
    return false;
}

struct rtp_ext_writer rtp_ext_writer_init(uint8_t *buf, size_t cap, bool two_byte)
{
    return (struct rtp_ext_writer){writer_init(buf, cap), two_byte, false};
}

void rtp_ext_write(struct rtp_ext_writer *w, uint8_t id, const uint8_t *data, size_t len)
{
    bool fits = w->two_byte ? id > 0 && len <= 255 : id > 0 && id < 15 && len >= 1 && len <= 16;

    if (!fits) {
        w->bad_value = true;
        return;
    }
    if (w->two_byte) {
        writer_u8(&w->w, id);
        writer_u8(&w->w, (uint8_t)len);
    } else {
        writer_u8(&w->w, (uint8_t)((size_t)id << 4 | (len - 1)));
    }
    writer_bytes(&w->w, data, len);
}

int rtp_ext_writer_finish(struct rtp_ext_writer *w)
{
    if (w->bad_value)
        return RTP_ERR_VALUE;
    while (!w->w.bad && writer_len(&w->w) % 4 != 0)
        writer_u8(&w->w, 0);
    return w->w.bad ? RTP_ERR_ROOM : (int)writer_len(&w->w);
}

/* ---- the known extensions ---- */

static const char *const uris[RTP_EXT_KINDS] = {
    [RTP_EXT_MID] = RTP_EXT_URI_MID,
    [RTP_EXT_RID] = RTP_EXT_URI_RID,
    [RTP_EXT_REPAIRED_RID] = RTP_EXT_URI_REPAIRED_RID,
    [RTP_EXT_ABS_SEND_TIME] = RTP_EXT_URI_ABS_SEND_TIME,
    [RTP_EXT_TRANSPORT_CC] = RTP_EXT_URI_TRANSPORT_CC,
    [RTP_EXT_AUDIO_LEVEL] = RTP_EXT_URI_AUDIO_LEVEL,
    [RTP_EXT_VIDEO_ORIENTATION] = RTP_EXT_URI_VIDEO_ORIENTATION,
    [RTP_EXT_PLAYOUT_DELAY] = RTP_EXT_URI_PLAYOUT_DELAY,
    [RTP_EXT_ABS_CAPTURE_TIME] = RTP_EXT_URI_ABS_CAPTURE_TIME,
    [RTP_EXT_DEPENDENCY_DESCRIPTOR] = RTP_EXT_URI_DEPENDENCY_DESCRIPTOR,
};

const char *rtp_ext_uri(enum rtp_ext_kind kind)
{
    return kind > RTP_EXT_UNKNOWN && kind < RTP_EXT_KINDS ? uris[kind] : NULL;
}

enum rtp_ext_kind rtp_ext_kind_of_uri(const char *uri, size_t uri_len)
{
    for (enum rtp_ext_kind k = RTP_EXT_MID; k < RTP_EXT_KINDS; k++)
        if (strlen(uris[k]) == uri_len && memcmp(uris[k], uri, uri_len) == 0)
            return k;
    return RTP_EXT_UNKNOWN;
}

bool rtp_ext_abs_send_time_parse(uint32_t *out, const uint8_t *data, size_t len)
{
    struct reader r = reader_init(data, len);

    if (len != RTP_EXT_ABS_SEND_TIME_BYTES)
        return false;
    *out = reader_u24(&r);
    return true;
}

uint32_t rtp_ext_abs_send_time_of_us(uint64_t now_us)
{
    uint64_t wrapped_us = now_us % 64000000; /* 6 bits of seconds; keeps the shift below in range */

    return (uint32_t)(((wrapped_us << 18) + 500000) / 1000000) & 0xffffff;
}

void rtp_ext_abs_send_time_write(uint8_t dst[RTP_EXT_ABS_SEND_TIME_BYTES], uint64_t now_us)
{
    struct writer w = writer_init(dst, RTP_EXT_ABS_SEND_TIME_BYTES);

    writer_u24(&w, rtp_ext_abs_send_time_of_us(now_us));
}

bool rtp_ext_transport_cc_parse(uint16_t *out, const uint8_t *data, size_t len)
{
    struct reader r = reader_init(data, len);

    if (len < RTP_EXT_TRANSPORT_CC_BYTES) /* version 2 of the extension appends a feedback request */
        return false;
    *out = reader_u16(&r);
    return true;
}

void rtp_ext_transport_cc_write(uint8_t dst[RTP_EXT_TRANSPORT_CC_BYTES], uint16_t seq)
{
    struct writer w = writer_init(dst, RTP_EXT_TRANSPORT_CC_BYTES);

    writer_u16(&w, seq);
}

bool rtp_ext_audio_level_parse(struct rtp_audio_level *out, const uint8_t *data, size_t len)
{
    if (len < RTP_EXT_AUDIO_LEVEL_BYTES) /* RFC 6464 s4: the two-byte form may carry a padding byte */
        return false;
    *out = (struct rtp_audio_level){.level_dbov = data[0] & 0x7f, .voice = data[0] >> 7};
    return true;
}

void rtp_ext_audio_level_write(uint8_t dst[RTP_EXT_AUDIO_LEVEL_BYTES], const struct rtp_audio_level *v)
{
    dst[0] = (uint8_t)((v->voice ? 0x80 : 0) | (v->level_dbov > 127 ? 127 : v->level_dbov));
}

/* TS 26.114 s7.4.5: 0 0 0 0 C F R1 R0. */
bool rtp_ext_video_orientation_parse(struct rtp_video_orientation *out, const uint8_t *data, size_t len)
{
    if (len != RTP_EXT_VIDEO_ORIENTATION_BYTES)
        return false;
    *out = (struct rtp_video_orientation){
        .rotation_degrees = (uint16_t)((data[0] & 3) * 90),
        .flipped = (data[0] & 4) != 0,
        .back_camera = (data[0] & 8) != 0,
    };
    return true;
}

void rtp_ext_video_orientation_write(uint8_t dst[RTP_EXT_VIDEO_ORIENTATION_BYTES],
                                     const struct rtp_video_orientation *v)
{
    dst[0] = (uint8_t)((v->back_camera ? 8 : 0) | (v->flipped ? 4 : 0) | (v->rotation_degrees / 90 & 3));
}

bool rtp_ext_playout_delay_parse(struct rtp_playout_delay *out, const uint8_t *data, size_t len)
{
    struct reader r = reader_init(data, len);
    uint32_t both = reader_u24(&r);

    if (len != RTP_EXT_PLAYOUT_DELAY_BYTES)
        return false;
    *out = (struct rtp_playout_delay){.min_ms = (both >> 12) * 10, .max_ms = (both & 0xfff) * 10};
    return true;
}

static uint32_t playout_units(uint32_t delay_ms)
{
    return delay_ms / 10 > 0xfff ? 0xfff : delay_ms / 10;
}

void rtp_ext_playout_delay_write(uint8_t dst[RTP_EXT_PLAYOUT_DELAY_BYTES], const struct rtp_playout_delay *v)
{
    struct writer w = writer_init(dst, RTP_EXT_PLAYOUT_DELAY_BYTES);

    writer_u24(&w, playout_units(v->min_ms) << 12 | playout_units(v->max_ms));
}

bool rtp_ext_abs_capture_time_parse(struct rtp_abs_capture_time *out, const uint8_t *data, size_t len)
{
    struct reader r = reader_init(data, len);

    if (len != RTP_EXT_ABS_CAPTURE_TIME_BYTES && len != RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES)
        return false;
    *out = (struct rtp_abs_capture_time){.ntp = reader_u64(&r)};
    out->has_clock_offset = len == RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES;
    if (out->has_clock_offset)
        out->clock_offset = (int64_t)reader_u64(&r);
    return true;
}

size_t rtp_ext_abs_capture_time_write(uint8_t dst[RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES],
                                      const struct rtp_abs_capture_time *v)
{
    size_t bytes = v->has_clock_offset ? RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES : RTP_EXT_ABS_CAPTURE_TIME_BYTES;
    struct writer w = writer_init(dst, bytes);

    writer_u64(&w, v->ntp);
    if (v->has_clock_offset)
        writer_u64(&w, (uint64_t)v->clock_offset);
    return writer_len(&w);
}

static const uint64_t ntp_to_unix_s = 2208988800; /* 1900 to 1970, RFC 868 */

uint64_t ntp_of_unix_us(uint64_t unix_us)
{
    uint64_t seconds = unix_us / 1000000 + ntp_to_unix_s;
    uint64_t fraction = ((unix_us % 1000000) << 32) / 1000000;

    return seconds << 32 | fraction;
}

uint64_t ntp_to_unix_us(uint64_t ntp)
{
    uint64_t seconds = (ntp >> 32) - ntp_to_unix_s;
    uint64_t fraction_us = ((ntp & UINT32_MAX) * 1000000 + (1u << 31)) >> 32;

    return seconds * 1000000 + fraction_us;
}
