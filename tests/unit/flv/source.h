/* SPDX-License-Identifier: Apache-2.0
 * source.h - a real H.264 and AAC stream, made by ffmpeg, as its FLV tags and as packets of a router. */
#pragma once

#include "media/packet.h"
#include "media/track.h"

struct source_tag {
    uint8_t *data; /* the coded frame, in canonical form; heap, exactly len bytes */
    size_t len;
    uint32_t dts_ms;
    int32_t cts_ms;
    unsigned track; /* 0 video, 1 audio */
    bool keyframe;
};

struct source {
    struct track_set tracks; /* epoch 1: H.264, AAC */
    struct source_tag *tags; /* media frames, in file order */
    size_t n_tags, n_video, n_audio;
    struct packet **packets; /* of all tags, in that order */
    size_t n_packets;
    struct pool *pool;
    uint8_t avcc[512];
    size_t avcc_len;
};

/* ffmpeg arguments between input and output: encoder settings. */
void source_create(struct source *s, const char *ffmpeg_arguments);
void source_destroy(struct source *s);

/* 4 s of 640x360 at 25 frames a second with two B-frames and a keyframe each second, and 44.1 kHz sound. */
#define SOURCE_USUAL \
    "-f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 -t 4 " \
    "-pix_fmt yuv420p -c:v libx264 -preset veryfast -bf 2 -g 25 -threads 1 -c:a aac -ac 2"
#define SOURCE_CAPTURE_US 1700000000000000u /* of time 0 of the file */
