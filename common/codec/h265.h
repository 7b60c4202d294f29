/* SPDX-License-Identifier: Apache-2.0
 * h265.h - H.265 NAL types, SPS, and the hvcC record.
 *
 * Pure; any thread. Ownership: parsed records borrow the bytes.
 * Source: ITU-T H.265 s7.3.1, s7.3.2.2, s7.3.3; ISO/IEC 14496-15 s8.3.3. */
#pragma once

#include "codec/h264.h"

enum h265_nal_type {
    H265_NAL_RASL_R = 9, /* last of the leading and trailing pictures; even types below 16 are no reference */
    H265_NAL_BLA_W_LP = 16,
    H265_NAL_IDR_W_RADL = 19,
    H265_NAL_IDR_N_LP = 20,
    H265_NAL_CRA = 21,
    H265_NAL_IRAP_LAST = 23,
    H265_NAL_VPS = 32,
    H265_NAL_SPS = 33,
    H265_NAL_PPS = 34,
    H265_NAL_AUD = 35,
    H265_NAL_END_SEQUENCE = 36,
    H265_NAL_END_STREAM = 37,
    H265_NAL_FILLER = 38,
    H265_NAL_SEI_PREFIX = 39,
    H265_NAL_SEI_SUFFIX = 40,
    H265_NAL_AP = 48, /* these from RFC 7798 s4.4 */
    H265_NAL_FU = 49,
    H265_NAL_PACI = 50,
};

enum { H265_NAL_HEADER_BYTES = 2 };

static inline uint8_t h265_nal_type(struct nal n)
{
    return n.p[0] >> 1 & 0x3f;
}

/* Parse an SPS NAL unit. CODEC_OK or CODEC_ERR_SHORT, CODEC_ERR_SYNTAX. */
MUST_USE int h265_sps_parse(struct sps_info *out, struct nal sps);

struct hvcc {
    struct reader arrays; /* pull with hvcc_next() */
    uint16_t left;        /* NAL units left in the present array */
    uint8_t length_bytes;
    uint8_t profile, level;
};

/* HEVCDecoderConfigurationRecord. Checks that every parameter set is inside. */
MUST_USE int hvcc_parse(struct hvcc *out, const uint8_t *bytes, size_t len);
bool hvcc_next(struct hvcc *h, struct nal *out);

/* All NAL units of the record in canonical form. Returns bytes or CODEC_ERR_ROOM. */
MUST_USE int hvcc_params_write(uint8_t *dst, size_t cap, const struct hvcc *h);

/* Write a record from VPS, SPS and PPS in canonical form, with 4-byte lengths. Returns bytes,
 * CODEC_ERR_ROOM, or CODEC_ERR_SYNTAX when one of the three is missing or damaged. */
MUST_USE int hvcc_write(uint8_t *dst, size_t cap, const uint8_t *params, size_t params_len);

/* Does this canonical frame have an IRAP picture in it? */
bool h265_frame_is_key(const uint8_t *frame, size_t len);
