/* SPDX-License-Identifier: Apache-2.0
 * h264.h - H.264 NAL types, SPS, and the avcC record.
 *
 * Pure; any thread. Ownership: parsed records borrow the bytes.
 * Source: ITU-T H.264 s7.3.2.1, s7.4.1, annex E; ISO/IEC 14496-15 s5.3.3. */
#pragma once

#include "codec/nal.h"

enum h264_nal_type {
    H264_NAL_SLICE = 1,
    H264_NAL_SLICE_A = 2,
    H264_NAL_IDR = 5,
    H264_NAL_SEI = 6,
    H264_NAL_SPS = 7,
    H264_NAL_PPS = 8,
    H264_NAL_AUD = 9,
    H264_NAL_END_SEQUENCE = 10,
    H264_NAL_END_STREAM = 11,
    H264_NAL_FILLER = 12,
    H264_NAL_SPS_EXT = 13,
    H264_NAL_STAP_A = 24, /* these from RFC 6184 s5.2 */
    H264_NAL_STAP_B = 25,
    H264_NAL_MTAP16 = 26,
    H264_NAL_MTAP24 = 27,
    H264_NAL_FU_A = 28,
    H264_NAL_FU_B = 29,
};

static inline uint8_t h264_nal_type(struct nal n)
{
    return n.p[0] & 0x1f;
}

/* What a parameter set says; shared with H.265. */
struct sps_info {
    uint32_t width, height; /* luma samples, cropped */
    uint8_t profile;        /* profile_idc; H.265: general_profile_idc */
    uint8_t constraints;    /* H.264: the byte after profile_idc; H.265: 0 */
    uint8_t level;          /* level_idc */
    bool b_frames_possible; /* decode and presentation order may differ: WebRTC viewers cannot play it */
};

/* Parse an SPS NAL unit. CODEC_OK or CODEC_ERR_SHORT, CODEC_ERR_SYNTAX. */
MUST_USE int h264_sps_parse(struct sps_info *out, struct nal sps);

enum { H264_PARAMS_MAX = 32 }; /* SPS ids are 0..31 */

struct avcc {
    struct reader sps, pps; /* NAL units after 16-bit lengths: pull with avcc_next() */
    uint8_t profile, constraints, level;
    uint8_t length_bytes; /* 1, 2 or 4 */
    uint8_t sps_count, pps_count;
};

/* AVCDecoderConfigurationRecord. Checks that every parameter set is inside. */
MUST_USE int avcc_parse(struct avcc *out, const uint8_t *bytes, size_t len);
bool avcc_next(struct reader *sets, struct nal *out);

/* All SPS and then all PPS of the record in canonical form (4-byte lengths): what packetise.h wants
 * before a keyframe. Returns bytes or CODEC_ERR_ROOM. */
MUST_USE int avcc_params_write(uint8_t *dst, size_t cap, const struct avcc *a);

/* Write a record from parameter sets in canonical form (other NAL types among them are skipped), with
 * 4-byte lengths. Returns bytes, CODEC_ERR_ROOM, or CODEC_ERR_SYNTAX without an SPS and a PPS. */
MUST_USE int avcc_write(uint8_t *dst, size_t cap, const uint8_t *params, size_t params_len);

/* Does this canonical frame begin a random access point (an IDR slice in it)? */
bool h264_frame_is_key(const uint8_t *frame, size_t len);

/* "profile-level-id" of SDP, RFC 6184 s8.1: 24 bits. */
static inline uint32_t h264_profile_level_id(const struct sps_info *s)
{
    return (uint32_t)s->profile << 16 | (uint32_t)s->constraints << 8 | s->level;
}
