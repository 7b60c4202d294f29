/* SPDX-License-Identifier: Apache-2.0
 * transcode.h - makes the packets of a derived audio track, while somebody wants them.
 *
 *   router --source track--> order, frames --> a job in the thread pool --> packets --derived track--> router
 *
 * The router's want of the derived track comes from the whole cluster, so a stream is transcoded once, at its
 * origin, and not at all without a viewer who needs it. One job a track is under way at a time; what comes
 * meanwhile is gathered for the next, bounded. Nothing is allocated while it runs but what the codecs do.
 * Thread: the worker's; decoding and encoding run in the pool. */
#pragma once

#include "base/compiler.h"
#include "router/router.h"

#include <stdint.h>

struct transcode;

struct transcode_cfg {
    struct router *router;    /* of the stream's home worker */
    struct pool *pool;        /* for packets; this worker's */
    unsigned source, derived; /* tracks of the router's present epoch */
};

struct transcode_counters {
    uint64_t starts; /* times somebody began to want the derived track */
    uint64_t frames_in, packets_out;
    uint64_t frames_waiting;                        /* now: gathered, or with the job under way */
    uint64_t dropped_frames;                        /* the jobs were too slow, or no packets were left */
    uint64_t damaged_frames, resets, silence_ticks; /* see transcode_audio.h */
};

/* On tracks that router_tracks() has now. 0 or -1 when memory is short. */
MUST_USE int transcode_open(struct transcode **out, const struct transcode_cfg *cfg);
/* Detaches at once; memory goes when the job under way is done. Clears the pointer. */
void transcode_close(struct transcode **t);
bool transcode_running(const struct transcode *t);
void transcode_counters(const struct transcode *t, struct transcode_counters *out);

/* ---- All transcoders of a worker ------------------------------------------------------------- */

struct transcoders;

MUST_USE int transcoders_create(struct transcoders **out, struct pool *pool);
/* Detaches from all routers. */
void transcoders_destroy(struct transcoders **t);
/* Call when a stream is published on its home worker (twice does no harm): opens a transcode for each
 * derived track of every epoch until the stream ends. */
void transcoders_watch(struct transcoders *t, struct router *r);
/* Sums, of ended ones too. */
void transcoders_counters(const struct transcoders *t, struct transcode_counters *out);
size_t transcoders_running(const struct transcoders *t);
