/* SPDX-License-Identifier: Apache-2.0
 * flv_stream.h - one stream on one worker: router -> muxer -> its FLV viewers.
 *
 * Thread: the worker's. Ownership: made for the first viewer; closes itself when the last has gone or the
 * stream has ended. Viewers are embedded in nobody: made for an exchange, freed when it is over. */
#pragma once

#include "base/hash.h"
#include "base/list.h"
#include "edge/flv.h"
#include "edge/flv_hold.h"
#include "io/timer.h"
#include "router/router.h"

enum { FLV_VIEWER_ID_CHARS = 22, FLV_MARKS = 1024 /* chunks; 10 s and more of the past, see lag_ms */ };

/* What all streams of a worker share. */
struct flv_host {
    struct flv_cfg cfg; /* defaults filled in */
    struct worker *worker;
    struct hash streams;
    struct flv_counters counters; /* .mux: of streams that have ended */
};

/* What each chunk touches stands first, in a line of the processor's cache. */
struct flv_viewer {
    struct list link;
    struct flv_stream *stream;
    struct http_exchange *exchange;
    uint64_t written_bytes;
    enum flv_viewer_state state;
    unsigned serial; /* of the sequence headers it has */
    uint32_t rank;   /* which viewers are thinned first when the worker is overloaded (io/governor.h) */
    bool thinned;    /* skipping for that */
    bool bursting;   /* still being sent what it began with */
    size_t burst_bytes;
    uint64_t progress_bytes, progress_us;
    uint64_t started_unix_us, dropped_to_keyframe, thinned_bytes;
    struct timer parked;
    char id[FLV_VIEWER_ID_CHARS + 1];
};

/* Chunks since the newest keyframe. */
struct flv_gop {
    struct flv_chunk *v;
    size_t n, cap, bytes;
    bool whole; /* false: none yet, or it grew beyond the bound */
};

/* Where in the stream of chunks which moment of the media is. */
struct flv_mark {
    uint64_t end_bytes;
    uint32_t to_ms;
};

struct flv_stream {
    struct hash_item item;
    struct flv_host *host;
    struct router *router;
    struct consumer consumer;
    struct flv_mux *mux;
    struct list viewers;
    struct turn_hook send;     /* what was gathered goes out */
    struct flv_hold hold;
    struct timer waited;       /* what was gathered goes out without a picture, or without the next one */
    struct timer tick;
    struct flv_gop gop;
    int video, audio; /* tracks, -1 for none */
    unsigned layer;
    uint64_t video_seen_us; /* when the last packet of the chosen layer came */
    uint64_t total_bytes;   /* of all chunks */
    uint64_t n_marks;
    struct flv_mark marks[FLV_MARKS];
    uint64_t grace_until_us; /* lost with its origin; viewers wait for it so long; 0: not lost */
    unsigned ticks;
    bool opening; /* in router_attach: must not be freed yet */
    char name[STREAM_NAME_MAX + 1];
};

/* The stream of that name gets a viewer for this exchange, which is answered in all cases. */
void flv_stream_view(struct flv_host *host, const char *name, struct http_exchange *x);
/* Ends all responses and frees it. */
void flv_stream_close(struct flv_stream *s);
/* Unless it has viewers, or is about to. */
void flv_stream_free_if_idle(struct flv_stream *s);
