/* SPDX-License-Identifier: Apache-2.0
 * track.h - what a stream consists of: the tracks of one epoch and their layers.
 *
 * Plain values, copied freely. Made at the origin, carried unchanged by pipes and the directory. */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"
#include "media/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    STREAM_NAME_MAX = 128, /* bytes of "app/name", without NUL */
    TRACK_CONFIG_MAX = 512, /* bytes */
    RID_MAX = 16,           /* bytes; RFC 8852 allows more, browsers use 1 to 3 */
};

/* One simulcast encoding. 0 where unknown. */
struct layer {
    char rid[RID_MAX + 1];
    uint16_t width, height; /* pixels */
    uint32_t max_bps;
};

struct track {
    enum codec codec;
    uint32_t clock_hz;
    uint8_t channels;     /* audio */
    uint8_t n_layers;     /* >= 1 */
    bool derived;         /* made at the origin from track `source` only while someone wants it */
    uint8_t source;
    bool b_frames;        /* presentation and decode order differ: WebRTC viewers will see it jump */
    uint8_t spatial_layers, temporal_layers; /* SVC; 0 or 1: none */
    uint32_t profile;     /* H.264: profile-level-id (RFC 6184 s8.1) as 0xPPCCLL; 0 unknown */
    struct layer layers[LAYERS_MAX];
    size_t config_len;
    uint8_t config[TRACK_CONFIG_MAX]; /* AudioSpecificConfig; avcC, hvcC, av1C when known at publish (in-band is truth) */
};

struct track_set {
    uint64_t epoch; /* one publishing of the stream; grows; never 0 for a live one */
    size_t n;
    struct track v[TRACKS_MAX];
};

/* "app/name": two or more segments of [A-Za-z0-9._-], none starting with a dot, STREAM_NAME_MAX bytes at most. */
bool stream_name_valid(const char *name);

/* All layers of every track that is not derived: what a backbone that prefetches wants. */
uint64_t track_set_native(const struct track_set *set);
/* Index of the first track with this codec, or -1. */
int track_set_find(const struct track_set *set, enum codec codec);
/* Index of the first video track, or -1. */
int track_set_video(const struct track_set *set);
