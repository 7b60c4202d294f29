/* SPDX-License-Identifier: Apache-2.0
 * rtmp_track.h - one medium of an RTMP publisher: sequence header and frames into packets.
 *
 * Frames are brought into the canonical form (codec/codec.h), given their parameter sets, cut into
 * fragments of equal size and pushed with all that is known about them.
 * Thread: the worker's. Ownership: embedded in rtmp_media; frames are borrowed for the call.
 * Source: Adobe FLV specification E.4.2, E.4.3; Veovera Enhanced RTMP v2. */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"
#include "codec/packetise.h"
#include "media/track.h"
#include "origin/rtmp_clock.h"
#include "relay/publish.h"
#include "wire/flv.h"

enum { RTMP_PARAMETER_SETS_MAX = 4096 /* bytes; x265 puts 2.4 KB of its options beside the hvcC's sets */ };

struct rtmp_track {
    struct track facts;   /* as announced; codec CODEC_NONE: there is none */
    uint8_t index;        /* in the announced set */
    bool configured;      /* enough is known to announce it */
    uint8_t length_bytes; /* H.264, H.265: size of the NAL lengths in the sender's frames */
    uint32_t frame_ticks; /* AAC: samples a frame */
    struct packetiser packetiser;
    struct audio_clock audio_clock;
    uint64_t next_seq;
    uint8_t *scratch; /* for frames that must be rewritten; grows to the largest */
    size_t scratch_bytes;
    size_t params_len;
    uint8_t params[RTMP_PARAMETER_SETS_MAX]; /* canonical; AV1: OBUs */
    uint64_t frames, keyframes, packets, bytes;
    uint64_t dropped_frames; /* the pool was empty, or the frame broke its codec's rules */
};

struct rtmp_frame {
    const uint8_t *data;
    size_t len;
    uint64_t media_ms; /* decode time, rtmp_clock */
    int32_t cts_ms;
    uint32_t nano_offset; /* to be added to the presentation time */
    bool keyframe;
};

void rtmp_track_init(struct rtmp_track *t);
void rtmp_track_fini(struct rtmp_track *t);

/* A sequence header, or the first frame of a codec that needs none (VP9, Opus). CODEC_OK; or a codec_err:
 * the record is damaged or not carried, and the track is as before. */
MUST_USE int rtmp_track_configure(struct rtmp_track *t, const struct flv_media *m);

/* Presentation and decode order differ in this frame. */
static inline bool rtmp_frame_reordered(const struct rtmp_frame *f)
{
    return f->cts_ms != 0;
}

/* Cuts the frame and pushes its packets. CODEC_OK, or a codec_err: a damaged frame, of which nothing was
 * sent. */
MUST_USE int rtmp_track_push(struct rtmp_track *t, const struct rtmp_frame *f,
                             const struct rtmp_clock *clock, struct publication *to);
