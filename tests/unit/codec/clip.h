/* SPDX-License-Identifier: Apache-2.0
 * clip.h - real coded frames for the tests: ffmpeg encodes a moving picture or a tone, the frames come
 * back in canonical form (codec/codec.h). */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"

struct clip_frame {
    uint8_t *data; /* heap, exactly len bytes */
    size_t len;
    bool keyframe;
};

struct clip {
    enum codec codec;
    struct clip_frame *frames;
    size_t count;
};

/* Run ffmpeg with these arguments (input, encoder, container; the output is a pipe) and split what it
 * writes. Fails the test when ffmpeg does. */
struct clip clip_create(enum codec codec, const char *ffmpeg_arguments);
void clip_destroy(struct clip *c);

/* The usual clip of each codec: about two seconds, several keyframes. */
struct clip clip_of(enum codec codec);
