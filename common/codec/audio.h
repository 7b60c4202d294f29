/* SPDX-License-Identifier: Apache-2.0
 * audio.h - AAC AudioSpecificConfig and ADTS, Opus TOC and OpusHead.
 *
 * Pure; any thread.
 * Source: ISO/IEC 14496-3 s1.6.2.1 and s1.A.3.2, RFC 6716 s3.1, RFC 7845 s5.1. */
#pragma once

#include "codec/codec.h"

/* ---- AAC ---- */

enum { AAC_OBJECT_LC = 2, AAC_OBJECT_SBR = 5, AAC_OBJECT_PS = 29, AAC_FRAME_SAMPLES = 1024 };

struct aac_config {
    uint32_t rate_hz;        /* of the core coder: the RTP clock and the 1024-sample frame go by it */
    uint32_t output_rate_hz; /* twice rate_hz with SBR signalled, else the same */
    uint16_t frame_samples;  /* 1024, or 960 */
    uint8_t object_type;     /* of the core: AAC_OBJECT_LC usually */
    uint8_t channels;        /* 1..8; 0 = told by a program config element */
    bool sbr, ps;
};

/* Parse an AudioSpecificConfig (explicit SBR/PS signalling included). */
MUST_USE int aac_config_parse(struct aac_config *out, const uint8_t *bytes, size_t len);

/* Write the two bytes (five with a rate that has no index) of a plain config: object_type, rate_hz,
 * channels; SBR is not signalled. Returns bytes, CODEC_ERR_ROOM or CODEC_ERR_SUPPORT. */
MUST_USE int aac_config_write(uint8_t *dst, size_t cap, const struct aac_config *c);

enum { AAC_ADTS_HEADER_BYTES = 7 };

/* Parse the ADTS header at bytes[0..len). Returns the length of the whole ADTS frame (header and access
 * unit; *header_bytes is 7 or 9), CODEC_ERR_SHORT or CODEC_ERR_SYNTAX. */
MUST_USE int aac_adts_parse(struct aac_config *out, size_t *header_bytes, const uint8_t *bytes, size_t len);

/* ---- Opus ---- */

enum { OPUS_CLOCK_HZ = 48000, OPUS_PACKET_MAX_TICKS = 5760 /* 120 ms; RFC 6716 s3.2.5 */ };

/* Duration of a packet in 48 kHz ticks, 120..5760; CODEC_ERR_SHORT or CODEC_ERR_SYNTAX. */
MUST_USE int opus_packet_ticks(const uint8_t *packet, size_t len);

/* TOC says stereo. */
static inline bool opus_packet_is_stereo(const uint8_t *packet, size_t len)
{
    return len > 0 && (packet[0] & 0x04) != 0;
}

struct opus_head {
    uint32_t input_rate_hz;
    uint16_t pre_skip_ticks;
    uint8_t channels; /* mapping family 0: 1 or 2 */
};

enum { OPUS_HEAD_BYTES = 19 };

MUST_USE int opus_head_parse(struct opus_head *out, const uint8_t *bytes, size_t len);
MUST_USE int opus_head_write(uint8_t *dst, size_t cap, const struct opus_head *h);
