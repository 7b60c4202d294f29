/* SPDX-License-Identifier: Apache-2.0
 * transcode_audio.h - AAC into Opus and Opus into AAC: decode, resample to 48 kHz stereo, encode.
 *
 * Timestamps out are the source's, in the 48 kHz clock: the encoder's delay (its pre-skip) is taken off, so
 * that what a player hears at a timestamp is what the source had there. They follow the source within a
 * millisecond; short gaps are filled with silence, jumps start anew.
 * Thread: any, one at a time; made for a pool thread (io/job.h). Nothing here touches a worker.
 * Source: libavcodec's aac, opus and libopus; RFC 7845 s4.2 (pre-skip). */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"

#include <stddef.h>
#include <stdint.h>

enum {
    TRANSCODE_OPUS_BPS = 96000,
    TRANSCODE_AAC_BPS = 128000,
    /* 40 ms: two of Opus's frames in a packet. Half the packets to every viewer, and one of them for a picture, as an edge
     * likes to send them; the player's delay for transcoded sound has room for it. */
    TRANSCODE_OPUS_TICKS = 1920,
};

enum transcode_audio_err {
    TRANSCODE_OK = 0,
    TRANSCODE_ERR_CODEC = -1, /* libavcodec lacks it, or does not take the configuration */
    TRANSCODE_ERR_MEMORY = -2,
    TRANSCODE_ERR_FRAME = -3, /* the frame cannot be decoded: left out, the next one may be pushed */
};

struct transcode_audio_cfg {
    enum codec from, to;   /* CODEC_AAC and CODEC_OPUS, either way */
    uint32_t clock_hz;     /* of the source's timestamps */
    const uint8_t *config; /* AudioSpecificConfig of the source; borrowed for the call; Opus needs none */
    size_t config_len;
    /* An encoded frame, borrowed for the call. ts48_ticks: see above. */
    void (*on_frame)(void *arg, const uint8_t *data, size_t len, uint64_t ts48_ticks);
    void *arg;
};

struct transcode_audio;

MUST_USE int transcode_audio_create(struct transcode_audio **out, const struct transcode_audio_cfg *cfg);
void transcode_audio_destroy(struct transcode_audio **a);
/* A frame in canonical form. Calls on_frame for what comes out. */
MUST_USE int transcode_audio_push(struct transcode_audio *a, const uint8_t *data, size_t len,
                                  uint64_t ts_ticks);
/* A source timestamp in the 48 kHz clock. */
uint64_t transcode_audio_ts48(const struct transcode_audio *a, uint64_t ts_ticks);
/* Times that the source jumped and the encoder began anew; samples of silence put into gaps. */
uint64_t transcode_audio_resets(const struct transcode_audio *a);
uint64_t transcode_audio_silence(const struct transcode_audio *a);
