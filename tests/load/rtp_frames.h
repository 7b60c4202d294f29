/* SPDX-License-Identifier: Apache-2.0
 * rtp_frames.h - packets of a video track into the knowledge of which frames are whole, without keeping their bytes.
 *
 * A frame counts when all its packets are here and, from the last keyframe on, all before it too: what a decoder could show.
 * Pure; one thread at a time. Ownership: embedded (13 KiB). */
#pragma once

#include "frames.h"

#include <stdbool.h>
#include <stdint.h>

enum { RTP_FRAMES_WINDOW = 1024 /* packets that may wait for a missing one: 1 s of 10 Mbit/s */ };

struct rtp_frames {
    struct frame_watch watch;
    void (*on_keyframe)(void *arg, uint64_t at_us); /* each whole one */
    void *arg;
    uint64_t next;     /* the number that is wanted next; all before are done with */
    uint64_t last_at_us; /* the latest arrival in the frame being put together */
    bool started;
    bool begun;        /* the first packet of the frame at `next` is known to be its first */
    unsigned into;     /* so many packets of that frame are done with; where that is not known, many */
    bool broken;       /* no frame can be shown before the next keyframe */
    bool damaged, key; /* the frame being put together: a packet is lost; a keyframe begins in it */
    uint8_t flags[RTP_FRAMES_WINDOW];
    uint64_t ts_us[RTP_FRAMES_WINDOW];
};

struct rtp_frames_packet {
    uint64_t seq, ts_us; /* extended; of the track's own clock */
    uint64_t at_us;      /* arrival */
    bool marker;         /* last of its frame */
    bool keyframe;       /* begins a keyframe */
};

void rtp_frames_init(struct rtp_frames *f, struct tally *tally, void (*on_keyframe)(void *arg, uint64_t at_us), void *arg);
void rtp_frames_push(struct rtp_frames *f, const struct rtp_frames_packet *p);
/* Those of first..last that are not here will not come. */
void rtp_frames_lose(struct rtp_frames *f, uint64_t first, uint64_t last, uint64_t now_us);
/* Whether this packet is known to be one of the first n of its frame: the first says when that came, and some of them what it is. */
bool rtp_frames_begins(const struct rtp_frames *f, uint64_t seq, unsigned n);
