/* SPDX-License-Identifier: Apache-2.0
 * flv.c - FLV tags and the media headers in them, legacy and enhanced RTMP v2. Pure; any thread. */
#include "wire/flv.h"

enum { /* E.4.3.1 VIDEODATA, E.4.2.1 AUDIODATA */
    FRAME_KEY = 1,
    FRAME_INTER = 2,
    FRAME_GENERATED_KEY = 4,
    FRAME_COMMAND = 5,
    CODEC_ID_AVC = 7,
    CODEC_ID_HEVC = 12, /* not Adobe's; what encoders agreed on before enhanced RTMP */
    SOUND_EX_HEADER = 9,
    SOUND_AAC = 10,
    LEGACY_CONFIG = 0,
    LEGACY_FRAME = 1,
    LEGACY_END = 2,
};

enum { /* enhanced RTMP: VideoPacketType; AudioPacketType has the first three and ModEx alike */
    EX_SEQUENCE_START = 0,
    EX_CODED_FRAMES = 1,
    EX_SEQUENCE_END = 2,
    EX_CODED_FRAMES_X = 3,
    EX_METADATA = 4,
    EX_MPEG2TS_START = 5,
    EX_VIDEO_MULTITRACK = 6,
    EX_MOD_EX = 7,
    EX_AUDIO_CHANNELS = 4,
    EX_AUDIO_MULTITRACK = 5,
    MOD_EX_NANO_OFFSET = 0,
};

/* ---- file and tags ---- */

int flv_file_header_parse(struct reader *r, bool *audio, bool *video)
{
    struct reader at = *r;
    const uint8_t *magic = reader_take(&at, 4);
    uint8_t flags = reader_u8(&at);
    uint32_t header_bytes = reader_u32(&at);

    if (at.bad)
        return FLV_ERR_SHORT;
    if (memcmp(magic, "FLV\1", 4) != 0 || header_bytes < 9)
        return FLV_ERR_SIGNATURE;
    reader_take(&at, header_bytes - 9);
    reader_u32(&at); /* PreviousTagSize0 */
    if (at.bad)
        return FLV_ERR_SHORT;
    *audio = (flags & 4) != 0;
    *video = (flags & 1) != 0;
    *r = at;
    return FLV_OK;
}

void flv_file_header_write(struct writer *w, bool audio, bool video)
{
    writer_bytes(w, "FLV\1", 4);
    writer_u8(w, (uint8_t)((audio ? 4 : 0) | (video ? 1 : 0)));
    writer_u32(w, 9);
    writer_u32(w, 0);
}

int flv_tag_parse(struct reader *r, struct flv_tag *out)
{
    struct reader at = *r;
    struct flv_tag t = {0};

    t.type = reader_u8(&at) & 0x1f; /* the upper bits: reserved, and Filter (encryption), never seen */
    t.body_len = reader_u24(&at);
    t.ts_ms = reader_u24(&at);
    t.ts_ms |= (uint32_t)reader_u8(&at) << 24; /* TimestampExtended: the upper eight bits */
    reader_u24(&at);                           /* StreamID, always 0 */
    t.body = reader_take(&at, t.body_len);
    reader_u32(&at);
    if (at.bad)
        return FLV_ERR_MORE;
    *out = t;
    *r = at;
    return FLV_OK;
}

void flv_tag_header_write(struct writer *w, enum flv_tag_type type, size_t body_len, uint32_t ts_ms)
{
    writer_u8(w, (uint8_t)type);
    writer_u24(w, (uint32_t)body_len);
    writer_u24(w, ts_ms & 0xffffff);
    writer_u8(w, (uint8_t)(ts_ms >> 24));
    writer_u24(w, 0);
}

void flv_tag_trailer_write(struct writer *w, size_t body_len)
{
    writer_u32(w, (uint32_t)(FLV_TAG_HEADER_BYTES + body_len));
}

/* ---- reading bodies ---- */

static int32_t read_si24(struct reader *r)
{
    return (int32_t)(reader_u24(r) << 8) >> 8;
}

/* AVCPacketType and AACPacketType. */
static bool legacy_packet(uint8_t type, enum flv_packet *out)
{
    static const enum flv_packet packets[] = {
        [LEGACY_CONFIG] = FLV_PACKET_SEQUENCE_START,
        [LEGACY_FRAME] = FLV_PACKET_FRAME,
        [LEGACY_END] = FLV_PACKET_SEQUENCE_END,
    };

    if (type >= LEN(packets))
        return false;
    *out = packets[type];
    return true;
}

static int take_data(struct reader *r, struct flv_media *m, struct flv_media *out)
{
    if (r->bad)
        return FLV_ERR_SHORT;
    m->data_len = reader_left(r);
    m->data = r->p;
    *out = *m;
    return FLV_OK;
}

static int legacy_video(struct reader *r, uint8_t codec_id, struct flv_media *m, struct flv_media *out)
{
    if (codec_id != CODEC_ID_AVC && codec_id != CODEC_ID_HEVC)
        return FLV_ERR_CODEC;
    m->fourcc = codec_id == CODEC_ID_AVC ? FLV_AVC1 : FLV_HVC1;
    uint8_t type = reader_u8(r);
    m->cts_ms = read_si24(r);
    if (!r->bad && !legacy_packet(type, &m->packet))
        return FLV_ERR_PACKET_TYPE;
    return take_data(r, m, out);
}

/* "ModEx": sized extras before the packet type that they change. Returns that packet type. */
static uint8_t read_mod_ex(struct reader *r, struct flv_media *m)
{
    uint8_t type = EX_MOD_EX;

    while (type == EX_MOD_EX && !r->bad) {
        size_t size = (size_t)reader_u8(r) + 1;
        if (size == 256)
            size = (size_t)reader_u16(r) + 1;
        struct reader extra = reader_sub(r, size);
        uint8_t kinds = reader_u8(r);
        if (kinds >> 4 == MOD_EX_NANO_OFFSET && size >= 3)
            m->nano_offset = reader_u24(&extra);
        type = kinds & 0x0f;
    }
    return type;
}

static bool known_video(uint32_t fourcc)
{
    return fourcc == FLV_AVC1 || fourcc == FLV_HVC1 || fourcc == FLV_AV01 || fourcc == FLV_VP09 ||
           fourcc == FLV_VP08;
}

/* The packet types whose bytes follow the FourCC alike for every codec, but for the composition time. */
static int ex_video_packet(struct reader *r, uint8_t type, struct flv_media *m)
{
    switch (type) {
    case EX_SEQUENCE_START: m->packet = FLV_PACKET_SEQUENCE_START; return FLV_OK;
    case EX_SEQUENCE_END: m->packet = FLV_PACKET_SEQUENCE_END; return FLV_OK;
    case EX_METADATA: m->packet = FLV_PACKET_METADATA; return FLV_OK;
    case EX_MPEG2TS_START: m->packet = FLV_PACKET_OTHER; return FLV_OK;
    case EX_CODED_FRAMES_X: m->packet = FLV_PACKET_FRAME; return FLV_OK;
    case EX_CODED_FRAMES:
        m->packet = FLV_PACKET_FRAME;
        if (m->fourcc == FLV_AVC1 || m->fourcc == FLV_HVC1)
            m->cts_ms = read_si24(r);
        return FLV_OK;
    default: return FLV_ERR_PACKET_TYPE;
    }
}

static int ex_video(struct reader *r, uint8_t type, bool command, struct flv_media *m, struct flv_media *out)
{
    m->enhanced = true;
    if (type == EX_MOD_EX)
        type = read_mod_ex(r, m);
    if (r->bad)
        return FLV_ERR_SHORT;
    if (command && type != EX_METADATA) {
        m->packet = FLV_PACKET_OTHER;
        return take_data(r, m, out);
    }
    if (type == EX_VIDEO_MULTITRACK)
        return FLV_ERR_MULTITRACK;
    m->fourcc = reader_u32(r);
    if (r->bad)
        return FLV_ERR_SHORT;
    if (!known_video(m->fourcc))
        return FLV_ERR_CODEC;
    int err = ex_video_packet(r, type, m);
    return err ? err : take_data(r, m, out);
}

int flv_video_parse(struct flv_media *out, const uint8_t *body, size_t len)
{
    struct reader r = reader_init(body, len);
    struct flv_media m = {0};
    uint8_t b = reader_u8(&r);
    uint8_t frame_type = b >> 4 & 7;

    if (r.bad)
        return FLV_ERR_SHORT;
    m.keyframe = frame_type == FRAME_KEY || frame_type == FRAME_GENERATED_KEY;
    if (b & 0x80)
        return ex_video(&r, b & 0x0f, frame_type == FRAME_COMMAND, &m, out);
    if (frame_type == FRAME_COMMAND) {
        m.packet = FLV_PACKET_OTHER;
        return take_data(&r, &m, out);
    }
    return legacy_video(&r, b & 0x0f, &m, out);
}

static int ex_audio(struct reader *r, uint8_t type, struct flv_media *m, struct flv_media *out)
{
    m->enhanced = true;
    if (type == EX_MOD_EX)
        type = read_mod_ex(r, m);
    if (r->bad)
        return FLV_ERR_SHORT;
    if (type == EX_AUDIO_MULTITRACK)
        return FLV_ERR_MULTITRACK;
    m->fourcc = reader_u32(r);
    if (r->bad)
        return FLV_ERR_SHORT;
    if (m->fourcc != FLV_OPUS && m->fourcc != FLV_MP4A)
        return FLV_ERR_CODEC;
    switch (type) {
    case EX_SEQUENCE_START: m->packet = FLV_PACKET_SEQUENCE_START; break;
    case EX_CODED_FRAMES: m->packet = FLV_PACKET_FRAME; break;
    case EX_SEQUENCE_END: m->packet = FLV_PACKET_SEQUENCE_END; break;
    case EX_AUDIO_CHANNELS: m->packet = FLV_PACKET_OTHER; break;
    default: return FLV_ERR_PACKET_TYPE;
    }
    return take_data(r, m, out);
}

int flv_audio_parse(struct flv_media *out, const uint8_t *body, size_t len)
{
    struct reader r = reader_init(body, len);
    struct flv_media m = {0};
    uint8_t b = reader_u8(&r);

    if (r.bad)
        return FLV_ERR_SHORT;
    if (b >> 4 == SOUND_EX_HEADER)
        return ex_audio(&r, b & 0x0f, &m, out);
    if (b >> 4 != SOUND_AAC)
        return FLV_ERR_CODEC;
    m.fourcc = FLV_MP4A;
    m.sound_16bit = (b & 2) != 0;
    m.sound_stereo = (b & 1) != 0;
    uint8_t type = reader_u8(&r);
    if (!r.bad && (type == LEGACY_END || !legacy_packet(type, &m.packet)))
        return FLV_ERR_PACKET_TYPE;
    return take_data(&r, &m, out);
}

/* ---- writing ---- */

static uint32_t si24(int32_t v)
{
    enum { MAX = 0x7fffff };
    int32_t clamped = v > MAX ? MAX : v < -MAX - 1 ? -MAX - 1 : v;

    return (uint32_t)clamped & 0xffffff;
}

static bool legacy_type(enum flv_packet packet, uint8_t *type)
{
    switch (packet) {
    case FLV_PACKET_SEQUENCE_START: *type = LEGACY_CONFIG; return true;
    case FLV_PACKET_FRAME: *type = LEGACY_FRAME; return true;
    case FLV_PACKET_SEQUENCE_END: *type = LEGACY_END; return true;
    default: return false;
    }
}

static bool ex_video_type(const struct flv_media *m, uint8_t *type)
{
    bool reorders = m->fourcc == FLV_AVC1 || m->fourcc == FLV_HVC1;

    switch (m->packet) {
    case FLV_PACKET_SEQUENCE_START: *type = EX_SEQUENCE_START; return true;
    case FLV_PACKET_SEQUENCE_END: *type = EX_SEQUENCE_END; return true;
    case FLV_PACKET_METADATA: *type = EX_METADATA; return true;
    case FLV_PACKET_FRAME: /* X saves the three bytes; only these two codecs have them at all */
        *type = reorders && m->cts_ms == 0 ? EX_CODED_FRAMES_X : EX_CODED_FRAMES;
        return true;
    default: return false;
    }
}

int flv_video_write(struct writer *w, const struct flv_media *m)
{
    uint8_t frame_type = m->keyframe ? FRAME_KEY << 4 : FRAME_INTER << 4, type;

    if (!known_video(m->fourcc))
        return FLV_ERR_CODEC;
    if (m->fourcc == FLV_AVC1 && !m->enhanced) {
        if (!legacy_type(m->packet, &type))
            return FLV_ERR_PACKET_TYPE;
        writer_u8(w, frame_type | CODEC_ID_AVC);
        writer_u8(w, type);
        writer_u24(w, type == LEGACY_FRAME ? si24(m->cts_ms) : 0);
        return w->bad ? FLV_ERR_SHORT : FLV_OK;
    }
    if (!ex_video_type(m, &type))
        return FLV_ERR_PACKET_TYPE;
    writer_u8(w, (uint8_t)(0x80 | frame_type | type));
    writer_u32(w, m->fourcc);
    if (type == EX_CODED_FRAMES && (m->fourcc == FLV_AVC1 || m->fourcc == FLV_HVC1))
        writer_u24(w, si24(m->cts_ms));
    return w->bad ? FLV_ERR_SHORT : FLV_OK;
}

int flv_audio_write(struct writer *w, const struct flv_media *m)
{
    uint8_t type;

    if (m->fourcc != FLV_MP4A && m->fourcc != FLV_OPUS)
        return FLV_ERR_CODEC;
    if (!legacy_type(m->packet, &type)) /* the three values are the same in both headers */
        return FLV_ERR_PACKET_TYPE;
    if (m->fourcc == FLV_MP4A && !m->enhanced) {
        if (type == LEGACY_END)
            return FLV_ERR_PACKET_TYPE;
        writer_u8(w, SOUND_AAC << 4 | 0x0f); /* E.4.2.1: AAC always says 44 kHz, 16 bits, stereo */
        writer_u8(w, type);
    } else {
        writer_u8(w, (uint8_t)(SOUND_EX_HEADER << 4 | type));
        writer_u32(w, m->fourcc);
    }
    return w->bad ? FLV_ERR_SHORT : FLV_OK;
}
