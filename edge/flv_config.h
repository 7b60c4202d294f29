/* SPDX-License-Identifier: Apache-2.0
 * flv_config.h - sequence headers from what is in-band, and frames without it.
 *
 * RTP carries parameter sets before each keyframe; FLV wants them once, in a record of their own
 * (avcC, hvcC, av1C, vpcC), and again when they change.
 * Pure; any thread. */
#pragma once

#include "base/compiler.h"
#include "base/writer.h"
#include "codec/codec.h"
#include "media/track.h"

enum { FLV_CONFIG_MAX = 1536 /* bytes of a record; one of H.264 has some 50, of H.265 some 120 */ };

struct flv_config {
    size_t len; /* 0: not known yet */
    uint8_t record[FLV_CONFIG_MAX];
};

/* From a keyframe in canonical form. 1: the record is new or has changed; 0: as before, also when the frame
 * has no parameter sets; or a negative codec_err: not as before, and the old record stays. */
MUST_USE int flv_config_of_keyframe(struct flv_config *c, enum codec codec, const uint8_t *frame,
                                    size_t len);
/* AudioSpecificConfig or OpusHead of an audio track. 0 or a negative codec_err. */
MUST_USE int flv_config_of_audio(struct flv_config *c, const struct track *t);

/* Appends the frame without what the record says already: parameter sets and access unit delimiters. */
void flv_frame_write(struct writer *w, enum codec codec, const uint8_t *frame, size_t len);
