/* SPDX-License-Identifier: Apache-2.0
 * flv_mux.h - packets of a stream into FLV, once for all its viewers on a worker.
 *
 * packets -> order (media/reorder) -> frames (codec/depacketise) -> tags, gathered into chunks: shared,
 * immutable buffers, each of whole tags, framed for HTTP once for all viewers. What is muxed between two flushes becomes
 * one chunk, but a keyframe always begins a new one: that is where a viewer can start or go on.
 *
 * Timestamps are the stream's, not a viewer's, since the bytes are shared: the first frame that this muxer
 * wrote has FLV_FIRST_MS, and audio and video run on from there by their capture times. Decode times of a
 * track never go back.
 * Pure but for memory; thread: its owner's. Ownership: chunks given out are the callee's reference to keep.
 * Source: Adobe FLV specification 10.1 annex E; Veovera Enhanced RTMP v2 for what is not AVC and AAC. */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "media/packet.h"
#include "media/track.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    FLV_FIRST_MS = 1000, /* room for audio that was captured before the first picture */
    FLV_EPOCH_GAP_MS =
        10000, /* a new epoch's capture times go on from the old one's, unless farther off than this */
};

struct flv_chunk {
    struct http_piece piece; /* whole tags */
    uint32_t from_ms;        /* time of its first tag */
    uint32_t to_ms;          /* of its last */
    bool key;                /* a viewer can begin here: at a keyframe; anywhere where there is sound only */
    bool alone;              /* sound, and no picture has come for long: who comes can begin here, too */
};

struct flv_mux_cfg {
    uint64_t reorder_wait_us;
    /* Takes over the chunk's reference. Called from flv_mux_push, _poll, _flush. */
    void (*on_chunk)(void *arg, const struct flv_chunk *chunk);
    void *arg;
};

struct flv_mux_counters {
    uint64_t chunks, video_frames, audio_frames, bytes;
    uint64_t lost_packets, damaged_frames; /* given up in the order; broke their codec's rules */
    uint64_t resyncs;                      /* times a track's timeline jumped to its capture time */
};

struct flv_mux;

/* 0 or -1 when memory is short. */
MUST_USE int flv_mux_create(struct flv_mux **out, const struct flv_mux_cfg *cfg);
void flv_mux_destroy(struct flv_mux **m);

/* The tracks to be muxed, -1 for none; a video track's layer. Again at a new epoch: the timeline runs on.
 * Returns 0, or -1 when memory is short or the codecs cannot be carried. */
MUST_USE int flv_mux_tracks(struct flv_mux *m, const struct track_set *set, int video, unsigned layer,
                            int audio);
/* Tracks that the players can be given: audio AAC before Opus, native before derived. -1 where there is
 * none. */
void flv_mux_choose(const struct track_set *set, int *video, int *audio);

/* The first packet of a track to be expected is seq. After flv_mux_tracks, before its first packet. */
void flv_mux_start(struct flv_mux *m, unsigned track, uint64_t seq);
/* A packet; of any other track or layer: ignored. */
void flv_mux_push(struct flv_mux *m, const struct packet *p, uint64_t now_us);
/* Gives up on gaps that have waited long enough. */
void flv_mux_poll(struct flv_mux *m, uint64_t now_us);
/* What was muxed since the last flush. */
struct flv_gathered {
    size_t bytes; /* 0: nothing; without pictures: sound */
    unsigned pictures;
    bool key;             /* the first of them is a keyframe */
    uint64_t interval_us; /* between two pictures of the stream, a mean by their decode times; 0: not known */
};
struct flv_gathered flv_mux_gathered(const struct flv_mux *m);
/* It goes out as a chunk. */
void flv_mux_flush(struct flv_mux *m);

/* File header, onMetaData and the sequence headers as they are now: what a viewer gets first. NULL before a
 * keyframe has told what must be known. Borrowed until the next call of a flv_mux function. */
const struct http_piece *flv_mux_head(struct flv_mux *m);
/* The sequence headers only, at ts_ms, for a viewer that had others so far: out is the caller's. 0, or -1 when they are
 * not known or memory is short. */
MUST_USE int flv_mux_sequence(struct flv_mux *m, uint32_t ts_ms, struct http_piece *out);
/* Grows whenever the tracks or a sequence header change, always at a key chunk. */
unsigned flv_mux_serial(const struct flv_mux *m);
struct flv_mux_counters flv_mux_counters(const struct flv_mux *m);
