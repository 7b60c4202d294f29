/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv_config.h"

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h264.h"
#include "codec/h265.h"
#include "codec/vpx.h"

static bool h264_out_of_band(uint8_t type)
{
    return type == H264_NAL_SPS || type == H264_NAL_PPS || type == H264_NAL_AUD;
}

static bool h265_out_of_band(uint8_t type)
{
    return type == H265_NAL_VPS || type == H265_NAL_SPS || type == H265_NAL_PPS || type == H265_NAL_AUD;
}

static bool out_of_band(enum codec codec, struct nal n)
{
    return codec == CODEC_H264 ? h264_out_of_band(h264_nal_type(n)) : h265_out_of_band(h265_nal_type(n));
}

static bool has_sps(enum codec codec, const uint8_t *frame, size_t len)
{
    struct reader nals = reader_init(frame, len);
    struct nal n;

    while (nal_next_prefixed(&nals, 4, &n))
        if (codec == CODEC_H264 ? h264_nal_type(n) == H264_NAL_SPS : h265_nal_type(n) == H265_NAL_SPS)
            return true;
    return false;
}

static int vpx_record(uint8_t *dst, size_t cap, enum codec codec, const uint8_t *frame, size_t len)
{
    struct vpx_frame f;
    int err = codec == CODEC_VP9 ? vp9_frame_parse(&f, frame, len) : vp8_frame_parse(&f, frame, len);

    if (err)
        return err;
    struct vpcc v = {.profile = f.profile,
                     .level = 31, /* 720p30 is 3.1; players take it as a hint */
                     .bit_depth = codec == CODEC_VP9 ? f.bit_depth : 8,
                     .chroma = codec == CODEC_VP9 ? f.chroma : 1,
                     .primaries = 2,
                     .transfer = 2,
                     .matrix = 2};
    return vpcc_write(dst, cap, &v);
}

/* Bytes of the record, 0 when the frame has nothing to make one of, or a negative codec_err. */
static int make_record(uint8_t *dst, size_t cap, enum codec codec, const uint8_t *frame, size_t len)
{
    switch (codec) {
    case CODEC_H264:
        return has_sps(codec, frame, len) ? avcc_write(dst, cap, frame, len) : 0;
    case CODEC_H265:
        return has_sps(codec, frame, len) ? hvcc_write(dst, cap, frame, len) : 0;
    case CODEC_AV1:
        return av1_unit_is_key(frame, len) ? av1c_write(dst, cap, frame, len) : 0;
    case CODEC_VP8:
    case CODEC_VP9:
        return vpx_record(dst, cap, codec, frame, len);
    default:
        return CODEC_ERR_SUPPORT;
    }
}

int flv_config_of_keyframe(struct flv_config *c, enum codec codec, const uint8_t *frame, size_t len)
{
    uint8_t record[FLV_CONFIG_MAX];
    int n = make_record(record, sizeof(record), codec, frame, len);

    if (n <= 0)
        return n;
    if (c->len == (size_t)n && memcmp(c->record, record, c->len) == 0)
        return 0;
    c->len = (size_t)n;
    memcpy(c->record, record, c->len);
    return 1;
}

int flv_config_of_audio(struct flv_config *c, const struct track *t)
{
    struct aac_config aac = {.object_type = AAC_OBJECT_LC, .rate_hz = t->clock_hz, .channels = t->channels};
    struct opus_head opus = {.input_rate_hz = OPUS_CLOCK_HZ, .channels = t->channels == 1 ? 1 : 2};
    int n;

    if (t->config_len > 0) {
        n = (int)t->config_len;
        memcpy(c->record, t->config, t->config_len);
    } else if (t->codec == CODEC_AAC) {
        n = aac_config_write(c->record, sizeof(c->record), &aac);
    } else {
        n = opus_head_write(c->record, sizeof(c->record), &opus);
    }
    c->len = n > 0 ? (size_t)n : 0;
    return n < 0 ? n : 0;
}

void flv_frame_write(struct writer *w, enum codec codec, const uint8_t *frame, size_t len)
{
    if (codec != CODEC_H264 && codec != CODEC_H265) {
        writer_bytes(w, frame, len);
        return;
    }
    struct reader nals = reader_init(frame, len);
    struct nal n;
    while (nal_next_prefixed(&nals, 4, &n))
        if (!out_of_band(codec, n))
            nal_write_prefixed(w, n);
}
