/* SPDX-License-Identifier: Apache-2.0
 * stub_publish.h - a stand-in for relay/publish.h that takes packets back into frames and remembers them. */
#pragma once

#include "io/timer.h"
#include "media/track.h"
#include "relay/publish.h"

struct stub_frame {
    uint8_t *data; /* heap, exactly len bytes */
    size_t len;
    unsigned track;
    uint64_t ts_ticks, capture_us;
    int32_t cts_ticks;
    bool keyframe, discardable;
};

/* What all publications of a test brought; outlives them. */
struct relay {
    struct worker *worker;        /* NULL: no answers to claims */
    enum publish_result answer;
    void (*on_change)(void *arg); /* a publication was started or closed; may be NULL */
    void *arg;
    struct publication *open; /* the last one claimed, while it lasts */
    char name[STREAM_NAME_MAX + 1], kind[8];
    size_t claims, starts, closes;
    struct track_set tracks; /* of the last start */
    struct stub_frame *frames;
    size_t n_frames, n_packets;
    size_t max_payload_bytes;
    bool discards; /* packets are counted only */
    size_t broken; /* packets that did not go into whole frames, or with wrong facts */
};

void stub_relay_fini(struct relay *r);
/* As another publisher taking over would. */
void stub_revoke(struct relay *r, const char *why);
