/* SPDX-License-Identifier: Apache-2.0
 * inspect.h - what one RTP payload tells about itself: frame borders, keyframe, layers.
 *
 * Pure: one look at the payload's first bytes, no state; any thread. Run once, where a packet enters
 * the cluster; what it found travels in the packet's metadata.
 * Source: RFC 6184 (H.264), RFC 7798 (H.265), RFC 7741 (VP8), RFC 9628 (VP9), the AV1 RTP
 * specification s4.4. */
#pragma once

#include "codec/codec.h"

struct payload_marks {
    /* The payload can be the first of a frame. VP8, VP9 and audio: certain. H.264, H.265, AV1: a
     * further packet of a frame may look the same (PPS after SPS, a second OBU); whoever knows the
     * timestamps takes the first packet of a new timestamp. */
    bool frame_start;
    bool frame_end; /* VP9: last packet of a layer frame (E). Audio: always. Others: see the marker bit */

    /* Begins, or is part of the start of, a random access point: H.264 SPS or start of an IDR
     * slice; H.265 VPS, SPS or start of an IRAP slice; VP8 start of a key frame; VP9 start of a picture
     * with P=0 whose frame header does not say otherwise; AV1 first packet of a coded video sequence. Set on
     * the first packet of the frame, not on later fragments. Audio: always. */
    bool keyframe;
    bool parameter_sets; /* H.264, H.265: VPS, SPS or PPS inside; AV1: sequence header */

    bool discardable; /* no other frame refers to it: H.264 nal_ref_idc 0, VP8 N. Never set for H.265,
                       * VP9 and AV1, whose payloads do not say it for certain */
    bool switch_up;   /* from here a receiver may go up to this temporal layer: VP8 Y, VP9 U, H.265 TSA */
    bool inter_layer; /* VP9 D: this spatial layer frame refers to the one below */
    bool not_upper_reference; /* VP9 Z: upper spatial layers do not refer to this one */
    bool has_layers;  /* the two ids were in the payload, else they are 0 */
    uint8_t spatial_id, temporal_id;

    /* VP8 and VP9 descriptor fields and where they are, as offsets into the payload, for rewriting.
     * An offset of 0 means that the field is absent. */
    uint16_t picture_id;     /* 7 or 15 bits */
    uint8_t picture_id_bits; /* 7, 15, or 0 = absent */
    uint8_t tl0picidx, keyidx;
    uint8_t picture_id_at, tl0picidx_at, keyidx_at;

    uint16_t width, height; /* VP8 key frame, VP9 scalability structure (highest layer); else 0 */
    uint16_t header_bytes; /* payload descriptor before the codec's own bytes: VP8, VP9, AV1 (1); else 0 */
};

/* Look at payload[0..len). Returns CODEC_OK and fills *out, or CODEC_ERR_SHORT, _SYNTAX, _SUPPORT and
 * leaves *out untouched: the packet is damaged and should be counted and dropped. An empty payload is
 * CODEC_ERR_SHORT: ask only for packets that carry media. */
MUST_USE int codec_inspect(enum codec codec, const uint8_t *payload, size_t len, struct payload_marks *out);
