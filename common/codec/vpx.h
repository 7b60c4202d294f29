/* SPDX-License-Identifier: Apache-2.0
 * vpx.h - what VP8 and VP9 frames say in their first bytes, and the vpcC record.
 *
 * Pure; any thread.
 * Source: RFC 6386 s9.1 (VP8), VP9 bitstream specification s6.2, "VP Codec ISO Media File Format
 * Binding" (vpcC). */
#pragma once

#include "codec/codec.h"

struct vpx_frame {
    bool keyframe;
    bool shown;             /* VP9: show_frame or show_existing_frame */
    uint16_t width, height; /* keyframes only, else 0 */
    uint8_t profile;        /* VP9 0..3, VP8 version */
    uint8_t bit_depth;      /* VP9 keyframes: 8, 10, 12 */
    uint8_t chroma;         /* VP9 keyframes, as vpcC has it: 1 = 4:2:0 collocated, 2 = 4:2:2, 3 = 4:4:4 */
};

MUST_USE int vp8_frame_parse(struct vpx_frame *out, const uint8_t *frame, size_t len);
MUST_USE int vp9_frame_parse(struct vpx_frame *out, const uint8_t *frame, size_t len);

struct vpcc {
    uint8_t profile, level, bit_depth, chroma;
    bool full_range;
    uint8_t primaries, transfer, matrix; /* ISO/IEC 23091-2; 2 = unspecified */
};

/* VPCodecConfigurationRecord with its FullBox version and flags (12 bytes), as enhanced RTMP carries it;
 * reading, these may be missing. level is ten times the level: 10 for 1.0. */
MUST_USE int vpcc_parse(struct vpcc *out, const uint8_t *bytes, size_t len);
MUST_USE int vpcc_write(uint8_t *dst, size_t cap, const struct vpcc *v);
