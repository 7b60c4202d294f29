/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_track.h"

#include <stdlib.h>

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h264.h"
#include "codec/h265.h"
#include "codec/vpx.h"

enum {
    OBU_SIZE_MAX_BYTES = 4, /* a size field that was left out, of an OBU in a message below 16 MiB */
    SCRATCH_FIRST_BYTES = 64 << 10,
};

void rtmp_track_init(struct rtmp_track *t)
{
    *t = (struct rtmp_track){.next_seq = PACKET_SEQ_FIRST};
}

void rtmp_track_fini(struct rtmp_track *t)
{
    free(t->scratch);
    t->scratch = NULL;
}

static int scratch_reserve(struct rtmp_track *t, size_t bytes)
{
    size_t cap = t->scratch_bytes ? t->scratch_bytes : SCRATCH_FIRST_BYTES;

    if (bytes <= t->scratch_bytes)
        return CODEC_OK;
    while (cap < bytes)
        cap *= 2;
    uint8_t *grown = realloc(t->scratch, cap);
    if (!grown)
        return CODEC_ERR_MEMORY;
    t->scratch = grown;
    t->scratch_bytes = cap;
    return CODEC_OK;
}

/* ---- Sequence headers: each fills next from the record --------------------------------------- */

static void take_size(struct track *facts, const struct sps_info *sps)
{
    facts->layers[0].width = (uint16_t)sps->width;
    facts->layers[0].height = (uint16_t)sps->height;
}

static int configure_h264(struct rtmp_track *next, const struct flv_media *m)
{
    struct avcc record;
    struct sps_info sps;
    struct nal nal;
    int err = avcc_parse(&record, m->data, m->data_len);

    if (err)
        return err;
    int len = avcc_params_write(next->params, sizeof(next->params), &record);
    if (len < 0)
        return len;
    next->params_len = (size_t)len;
    next->length_bytes = record.length_bytes;
    struct reader sets = record.sps;
    if (!avcc_next(&sets, &nal))
        return CODEC_ERR_SYNTAX;
    err = h264_sps_parse(&sps, nal);
    if (err)
        return err;
    take_size(&next->facts, &sps);
    next->facts.profile = h264_profile_level_id(&sps);
    return CODEC_OK;
}

static int configure_h265(struct rtmp_track *next, const struct flv_media *m)
{
    struct hvcc record;
    struct sps_info sps;
    struct nal nal;
    int err = hvcc_parse(&record, m->data, m->data_len);

    if (err)
        return err;
    int len = hvcc_params_write(next->params, sizeof(next->params), &record);
    if (len < 0)
        return len;
    next->params_len = (size_t)len;
    next->length_bytes = record.length_bytes;
    while (hvcc_next(&record, &nal)) {
        if (h265_nal_type(nal) != H265_NAL_SPS)
            continue;
        err = h265_sps_parse(&sps, nal);
        if (err)
            return err;
        take_size(&next->facts, &sps);
        return CODEC_OK;
    }
    return CODEC_ERR_SYNTAX;
}

static int configure_av1(struct rtmp_track *next, const struct flv_media *m)
{
    struct av1c record;
    struct av1_obu obu;
    struct av1_sequence sequence;
    int err = av1c_parse(&record, m->data, m->data_len);

    if (err)
        return err;
    if (record.obus_len > sizeof(next->params))
        return CODEC_ERR_ROOM;
    if (record.obus_len)
        memcpy(next->params, record.obus, record.obus_len);
    next->params_len = record.obus_len;
    struct reader obus = reader_init(record.obus, record.obus_len);
    int got;
    while ((got = av1_obu_next(&obus, &obu)) == 1) {
        if (obu.type != AV1_OBU_SEQUENCE_HEADER ||
            av1_sequence_parse(&sequence, obu.payload, obu.payload_len))
            continue;
        next->facts.layers[0].width = (uint16_t)sequence.width;
        next->facts.layers[0].height = (uint16_t)sequence.height;
    }
    return got;
}

static int configure_vp9(struct rtmp_track *next, const struct flv_media *m)
{
    struct vpcc record;

    (void)next;
    return m->packet == FLV_PACKET_SEQUENCE_START ? vpcc_parse(&record, m->data, m->data_len) : CODEC_OK;
}

static int configure_aac(struct rtmp_track *next, const struct flv_media *m)
{
    struct aac_config config;
    int err = aac_config_parse(&config, m->data, m->data_len);

    if (err)
        return err;
    next->facts.clock_hz = config.rate_hz;
    next->facts.channels = config.channels;
    next->frame_ticks = config.frame_samples;
    return CODEC_OK;
}

static int configure_opus(struct rtmp_track *next, const struct flv_media *m)
{
    struct opus_head head = {.channels = 2};

    if (m->packet == FLV_PACKET_SEQUENCE_START) {
        int err = opus_head_parse(&head, m->data, m->data_len);
        if (err)
            return err;
    }
    next->facts.channels = head.channels;
    return CODEC_OK;
}

static int configure_codec(struct rtmp_track *next, const struct flv_media *m)
{
    switch (next->facts.codec) {
    case CODEC_H264:
        return configure_h264(next, m);
    case CODEC_H265:
        return configure_h265(next, m);
    case CODEC_AV1:
        return configure_av1(next, m);
    case CODEC_VP9:
        return configure_vp9(next, m);
    case CODEC_AAC:
        return configure_aac(next, m);
    case CODEC_OPUS:
        return configure_opus(next, m);
    default:
        return CODEC_ERR_SUPPORT;
    }
}

int rtmp_track_configure(struct rtmp_track *t, const struct flv_media *m)
{
    struct rtmp_track next = *t;
    enum codec codec = codec_of_fourcc(m->fourcc);

    if (m->packet != FLV_PACKET_SEQUENCE_START && codec != CODEC_VP9 && codec != CODEC_OPUS)
        return CODEC_ERR_SYNTAX; /* a frame whose sequence header never came */
    next.facts = (struct track){
        .codec = codec, .clock_hz = codec_clock_hz(codec), .n_layers = 1, .b_frames = t->facts.b_frames};
    next.params_len = 0;
    int err = configure_codec(&next, m);
    if (!err && (codec != t->facts.codec || !t->configured))
        err = packetiser_init(&next.packetiser, &(struct packetiser_cfg){.codec = codec});
    if (err)
        return err;
    if (m->packet == FLV_PACKET_SEQUENCE_START && m->data_len <= TRACK_CONFIG_MAX) {
        memcpy(next.facts.config, m->data, m->data_len);
        next.facts.config_len = m->data_len;
    }
    if (next.facts.clock_hz != t->facts.clock_hz)
        next.audio_clock = (struct audio_clock){.clock_hz = next.facts.clock_hz};
    next.configured = true;
    *t = next;
    return CODEC_OK;
}

/* ---- Frames into canonical form -------------------------------------------------------------- */

static int canonical_nals(struct rtmp_track *t, const struct rtmp_frame *f, struct packetise_frame *out)
{
    if (t->length_bytes != 4) {
        int err =
            scratch_reserve(t, f->len * 3); /* a 1-byte length becomes 4, each before at least 1 byte */
        if (err)
            return err;
        int len =
            nal_canonical_from_prefixed(t->scratch, t->scratch_bytes, f->data, f->len, t->length_bytes);
        if (len < 0)
            return len;
        out->data = t->scratch;
        out->len = (size_t)len;
    }
    bool key = t->facts.codec == CODEC_H264 ? h264_frame_is_key(out->data, out->len)
                                            : h265_frame_is_key(out->data, out->len);
    out->keyframe |= key;
    out->params = t->params;
    out->params_len = t->params_len;
    return CODEC_OK;
}

/* Every OBU with a size, no temporal delimiters, and a sequence header in front of a keyframe. */
static int canonical_av1(struct rtmp_track *t, const struct rtmp_frame *f, struct packetise_frame *out)
{
    struct reader in = reader_init(f->data, f->len);
    struct av1_obu obu;
    int got = scratch_reserve(t, t->params_len + f->len + OBU_SIZE_MAX_BYTES);

    if (got)
        return got;
    struct writer w = writer_init(t->scratch, t->scratch_bytes);
    if (f->keyframe && !av1_unit_is_key(f->data, f->len))
        writer_bytes(&w, t->params, t->params_len);
    while ((got = av1_obu_next(&in, &obu)) == 1)
        if (obu.type != AV1_OBU_TEMPORAL_DELIMITER)
            av1_obu_write(&w, &obu);
    if (got < 0 || w.bad)
        return got < 0 ? got : CODEC_ERR_ROOM;
    out->data = t->scratch;
    out->len = writer_len(&w);
    return CODEC_OK;
}

static int canonical_vp9(const struct rtmp_frame *f, struct packetise_frame *out)
{
    struct vpx_frame frame;
    int err = vp9_frame_parse(&frame, f->data, f->len);

    if (err)
        return err;
    out->keyframe = frame.keyframe;
    out->width = frame.width;
    out->height = frame.height;
    return CODEC_OK;
}

static int canonical(struct rtmp_track *t, const struct rtmp_frame *f, struct packetise_frame *out)
{
    *out = (struct packetise_frame){.data = f->data, .len = f->len, .keyframe = f->keyframe};
    switch (t->facts.codec) {
    case CODEC_H264:
    case CODEC_H265:
        return canonical_nals(t, f, out);
    case CODEC_AV1:
        return canonical_av1(t, f, out);
    case CODEC_VP9:
        return canonical_vp9(f, out);
    default:
        out->keyframe = true; /* audio: every frame can be started with */
        return CODEC_OK;
    }
}

/* H.264 s7.4.1: nal_ref_idc 0 in all slices. For the other codecs nothing is claimed. */
static bool is_discardable(enum codec codec, const struct packetise_frame *f)
{
    struct reader nals = reader_init(f->data, f->len);
    struct nal nal;
    bool slices = false;

    while (codec == CODEC_H264 && nal_next_prefixed(&nals, 4, &nal)) {
        uint8_t type = h264_nal_type(nal);
        if (type < H264_NAL_SLICE || type > H264_NAL_IDR)
            continue;
        if (nal.p[0] & 0x60)
            return false;
        slices = true;
    }
    return slices;
}

/* ---- Packets --------------------------------------------------------------------------------- */

/* Presentation time in the track's clock. */
static uint64_t presentation_ticks(struct rtmp_track *t, const struct rtmp_frame *f)
{
    uint32_t hz = t->facts.clock_hz;

    if (codec_kind(t->facts.codec) == CODEC_KIND_VIDEO) {
        uint64_t pts_ms = f->media_ms + (uint64_t)(int64_t)f->cts_ms;
        return rtmp_ticks_of_ms(pts_ms, hz) + (uint64_t)f->nano_offset * hz / 1000000000u;
    }
    int opus_ticks = t->facts.codec == CODEC_OPUS ? opus_packet_ticks(f->data, f->len) : 0;
    uint32_t frame_ticks = opus_ticks > 0 ? (uint32_t)opus_ticks : t->frame_ticks;
    return audio_clock_push(&t->audio_clock, f->media_ms, frame_ticks);
}

/* What is the same in all packets of a frame. */
static struct packet describe(struct rtmp_track *t, const struct rtmp_frame *f,
                              const struct packetise_frame *cut, const struct rtmp_clock *clock)
{
    uint64_t ts_ticks = presentation_ticks(t, f);
    uint32_t hz = t->facts.clock_hz;
    bool discardable = is_discardable(t->facts.codec, cut); /* a temporal layer of their own: such frames */
    int flags = (cut->keyframe ? PACKET_KEYFRAME : 0) | (discardable ? PACKET_DISCARDABLE | PACKET_LAYER_SYNC : 0);

    return (struct packet){
        .ts_ticks = ts_ticks,
        .capture_us = rtmp_clock_capture_us(clock, ts_ticks, hz),
        .cts_ticks = (int32_t)((int64_t)f->cts_ms * hz / 1000),
        .track = t->index,
        .flags = (uint8_t)flags,
        .temporal = discardable,
    };
}

/* Takes the number also when there is no packet: those behind shall see that something is missing. */
static struct packet *next_packet(struct rtmp_track *t, const struct packet *like, struct publication *to)
{
    struct packet *p = packet_create(publish_pool(to));
    uint64_t seq = t->next_seq++;

    if (!p)
        return NULL;
    p->seq = seq;
    p->ts_ticks = like->ts_ticks;
    p->capture_us = like->capture_us;
    p->cts_ticks = like->cts_ticks;
    p->track = like->track;
    p->flags = like->flags;
    p->temporal = like->temporal;
    return p;
}

int rtmp_track_push(struct rtmp_track *t, const struct rtmp_frame *f, const struct rtmp_clock *clock,
                    struct publication *to)
{
    struct packetise_frame cut;
    int err = canonical(t, f, &cut);

    if (!err)
        err = packetise_begin(&t->packetiser, &cut);
    if (err) {
        t->dropped_frames++;
        return err;
    }
    struct packet like = describe(t, f, &cut, clock);
    uint8_t at_frame = PACKET_FRAME_START;
    bool last = false;
    while (!last) {
        struct packet *p = next_packet(t, &like, to);
        if (!p) {
            t->dropped_frames++;
            return CODEC_OK; /* our shortage, not the sender's fault */
        }
        size_t len = packetise_next(&t->packetiser, p->bytes, PACKET_PAYLOAD_MAX, &last);
        if (len == 0) {
            t->next_seq--;
            packet_unref(&p);
            break;
        }
        p->payload_len = (uint16_t)len;
        p->flags |= at_frame;
        if (last)
            p->flags |= PACKET_FRAME_END | (t->facts.codec == CODEC_OPUS ? 0 : PACKET_MARKER);
        at_frame = 0;
        t->packets++;
        publish_push(to, p);
    }
    t->frames++;
    t->keyframes += cut.keyframe;
    t->bytes += f->len;
    return CODEC_OK;
}
