/* SPDX-License-Identifier: Apache-2.0
 * audio.c - AAC configuration and ADTS (ISO/IEC 14496-3), Opus packets (RFC 6716, RFC 7845).
 * Pure; any thread. */
#include "codec/audio.h"

#include "base/reader.h"
#include "base/writer.h"
#include "codec/bits.h"

/* ---- AAC ---- */

static const uint32_t rates_hz[] = {96000, 88200, 64000, 48000, 44100, 32000, 24000,
                                    22050, 16000, 12000, 11025, 8000,  7350}; /* table 1.18 */

enum { RATE_ESCAPE = 15, OBJECT_ESCAPE = 31, SYNC_EXTENSION = 0x2b7 };

/* A rate by index or in full; 0 for the reserved indices. */
static uint32_t read_rate(struct bits *b)
{
    uint32_t index = bits_u(b, 4);

    if (index == RATE_ESCAPE)
        return bits_u(b, 24);
    return index < LEN(rates_hz) ? rates_hz[index] : 0;
}

static uint8_t read_object_type(struct bits *b)
{
    uint32_t type = bits_u(b, 5);

    return (uint8_t)(type == OBJECT_ESCAPE ? 32 + bits_u(b, 6) : type);
}

/* s1.6.5.3: SBR told after the core's own config, so that old decoders do not see it. */
static void read_sync_extension(struct bits b, struct aac_config *c)
{
    if (bits_u(&b, 11) != SYNC_EXTENSION || read_object_type(&b) != AAC_OBJECT_SBR || !bits_u1(&b))
        return;
    uint32_t rate_hz = read_rate(&b);
    if (b.bad || rate_hz == 0)
        return;
    c->sbr = true;
    c->output_rate_hz = rate_hz;
}

int aac_config_parse(struct aac_config *out, const uint8_t *bytes, size_t len)
{
    static const uint8_t channels[16] = {0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 0, 8, 0}; /* table 1.19 */
    struct bits b = bits_init(bytes, len);
    struct aac_config c = {0};

    c.object_type = read_object_type(&b);
    c.rate_hz = c.output_rate_hz = read_rate(&b);
    c.channels = channels[bits_u(&b, 4)];
    if (c.object_type == AAC_OBJECT_SBR || c.object_type == AAC_OBJECT_PS) {
        c.sbr = true;
        c.ps = c.object_type == AAC_OBJECT_PS;
        c.output_rate_hz = read_rate(&b);
        c.object_type = read_object_type(&b);
    }
    c.frame_samples = bits_u1(&b) ? 960 : AAC_FRAME_SAMPLES; /* GASpecificConfig: frameLengthFlag */
    if (bits_u1(&b))                                         /* dependsOnCoreCoder */
        bits_skip(&b, 14);
    bits_u1(&b); /* extensionFlag */
    if (b.bad)
        return CODEC_ERR_SHORT;
    if (c.object_type == 0 || c.rate_hz == 0 || c.output_rate_hz == 0)
        return CODEC_ERR_SYNTAX;
    if (!c.sbr)
        read_sync_extension(b, &c);
    *out = c;
    return CODEC_OK;
}

int aac_config_write(uint8_t *dst, size_t cap, const struct aac_config *c)
{
    struct writer w = writer_init(dst, cap);
    uint8_t channels = c->channels == 8 ? 7 : c->channels, index = 0;

    if (c->object_type == 0 || c->object_type >= OBJECT_ESCAPE || c->channels > 8 || c->channels == 7 ||
        c->rate_hz == 0 || c->rate_hz >> 24)
        return CODEC_ERR_SUPPORT;
    while (index < LEN(rates_hz) && rates_hz[index] != c->rate_hz)
        index++;
    if (index == LEN(rates_hz))
        index = RATE_ESCAPE;
    uint64_t v = (uint64_t)c->object_type << 4 | index;
    v = index == RATE_ESCAPE ? v << 24 | c->rate_hz : v;
    v = v << 4 | channels;
    v = v << 3 | (c->frame_samples == 960 ? 4 : 0); /* frameLengthFlag, no core coder, no extension */
    if (index == RATE_ESCAPE)
        writer_u24(&w, (uint32_t)(v >> 16));
    writer_u16(&w, (uint16_t)v);
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}

int aac_adts_parse(struct aac_config *out, size_t *header_bytes, const uint8_t *bytes, size_t len)
{
    struct bits b = bits_init(bytes, len);
    struct aac_config c = {.frame_samples = AAC_FRAME_SAMPLES};

    uint32_t sync = bits_u(&b, 12);
    bits_u1(&b); /* MPEG-2 or -4 */
    uint32_t layer = bits_u(&b, 2);
    bool no_crc = bits_u1(&b);
    c.object_type = (uint8_t)(bits_u(&b, 2) + 1);
    uint32_t rate_index = bits_u(&b, 4);
    bits_u1(&b); /* private */
    c.channels = (uint8_t)bits_u(&b, 3);
    bits_skip(&b, 4);
    uint32_t frame_bytes = bits_u(&b, 13);
    bits_skip(&b, 11); /* buffer fullness */
    uint32_t blocks = bits_u(&b, 2) + 1;
    size_t header = no_crc ? 7 : 9;
    if (b.bad || (sync == 0xfff && len < frame_bytes))
        return CODEC_ERR_SHORT;
    if (sync != 0xfff || layer != 0 || rate_index >= LEN(rates_hz) || frame_bytes <= header)
        return CODEC_ERR_SYNTAX;
    if (blocks != 1)
        return CODEC_ERR_SUPPORT;
    c.rate_hz = c.output_rate_hz = rates_hz[rate_index];
    if (c.channels == 7)
        c.channels = 8;
    *out = c;
    *header_bytes = header;
    return (int)frame_bytes;
}

/* ---- Opus ---- */

/* RFC 6716 table 2: duration of a frame by the TOC's config. */
static int frame_ticks(uint8_t config)
{
    static const int silk_ticks[] = {480, 960, 1920, 2880};

    if (config < 12)
        return silk_ticks[config & 3];
    if (config < 16)
        return config & 1 ? 960 : 480; /* hybrid */
    return 120 << (config & 3);        /* CELT: 2.5, 5, 10, 20 ms */
}

int opus_packet_ticks(const uint8_t *packet, size_t len)
{
    struct reader r = reader_init(packet, len);
    uint8_t toc = reader_u8(&r);
    int frames = (toc & 3) == 0 ? 1 : 2;

    if (!r.bad && (toc & 3) == 3)
        frames = reader_u8(&r) & 0x3f;
    if (r.bad)
        return CODEC_ERR_SHORT;
    int ticks = frame_ticks(toc >> 3) * frames;
    return ticks > 0 && ticks <= OPUS_PACKET_MAX_TICKS ? ticks : CODEC_ERR_SYNTAX;
}

static uint16_t read_le16(struct reader *r)
{
    uint16_t v = reader_u16(r);

    return (uint16_t)(v >> 8 | v << 8);
}

int opus_head_parse(struct opus_head *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    const uint8_t *magic = reader_take(&r, 8);
    uint8_t version = reader_u8(&r);
    struct opus_head h = {.channels = reader_u8(&r)};

    h.pre_skip_ticks = read_le16(&r);
    h.input_rate_hz = read_le16(&r);
    h.input_rate_hz |= (uint32_t)read_le16(&r) << 16;
    reader_u16(&r); /* output gain */
    uint8_t family = reader_u8(&r);
    if (r.bad)
        return CODEC_ERR_SHORT;
    if (memcmp(magic, "OpusHead", 8) != 0 || version >> 4 != 0 || h.channels == 0)
        return CODEC_ERR_SYNTAX;
    if (family != 0 || h.channels > 2)
        return CODEC_ERR_SUPPORT; /* surround */
    *out = h;
    return CODEC_OK;
}

int opus_head_write(uint8_t *dst, size_t cap, const struct opus_head *h)
{
    struct writer w = writer_init(dst, cap);

    if (h->channels == 0 || h->channels > 2)
        return CODEC_ERR_SUPPORT;
    writer_bytes(&w, "OpusHead\1", 9);
    writer_u8(&w, h->channels);
    writer_u8(&w, (uint8_t)h->pre_skip_ticks);
    writer_u8(&w, (uint8_t)(h->pre_skip_ticks >> 8));
    for (unsigned shift = 0; shift < 32; shift += 8)
        writer_u8(&w, (uint8_t)(h->input_rate_hz >> shift));
    writer_u24(&w, 0); /* no gain; mapping family 0 */
    return w.bad ? CODEC_ERR_ROOM : (int)writer_len(&w);
}
