/* SPDX-License-Identifier: Apache-2.0
 * media_source.h - what a publisher sends: all frames of a file, or made here, in memory; played round and round.
 *
 * Thread: made on one thread; read-only afterwards and then shared by any number of publishers of any thread.
 * Ownership: heap. */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"
#include "plan.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MEDIA_ERROR_CAP = 256 };

struct media_frame {
    uint8_t *data; /* canonical form, codec/codec.h */
    size_t len;
    uint64_t dts_us, pts_us; /* from 0 */
    bool video, keyframe;
};

struct media_source {
    struct media_frame *frames; /* by dts */
    size_t n_frames, cap_frames;
    uint64_t duration_us;       /* of one round */
    bool has_video, has_audio;
    enum codec audio_codec;     /* AAC or Opus; video is always H.264 */
    uint8_t *avcc, *asc;        /* AVCDecoderConfigurationRecord, AudioSpecificConfig (AAC) */
    size_t avcc_len, asc_len;
    uint8_t params[512];        /* SPS and PPS, canonical */
    size_t params_len;
    uint32_t h264_profile;      /* profile-level-id */
    unsigned width, height, fps, sample_hz, channels;
};

/* The libraries behind it write to stderr only what went wrong. Once, at start. */
void media_source_quiet(void);

/* webrtc: sound as Opus wants it there, else AAC. 0, or -1 with the reason in err. */
MUST_USE int media_source_open_file(struct media_source **out, const char *path, bool webrtc, char err[MEDIA_ERROR_CAP]);
/* A moving picture at a constant bitrate (a keyframe every second second, no B-frames) and a tone. */
MUST_USE int media_source_make(struct media_source **out, const struct plan_synthetic *s, bool webrtc,
                               char err[MEDIA_ERROR_CAP]);
void media_source_destroy(struct media_source **m);
