/* SPDX-License-Identifier: Apache-2.0
 * flv.h - HTTP-FLV: GET /<app>/<name>.flv, for ffmpeg, VLC, mpegts.js.
 *
 * The first viewer of a stream attaches a muxer to its router; all viewers share the muxer's
 * chunks (edge/flv_mux.h), so a chunk is written once and sent by reference. A viewer begins at once with the
 * newest keyframe and what followed it. One that reads too slowly gets nothing more until the next
 * keyframe after it has caught up, is counted, and troubles nobody else. The response ends when the
 * publisher stops; 404 when nobody publishes.
 * Thread: the worker's. */
#pragma once

#include "base/compiler.h"
#include "edge/flv_mux.h"
#include "http/server.h"
#include "relay/relay.h"

#include <stddef.h>
#include <stdint.h>

struct flv;

struct flv_cfg {
    struct relay *relay;
    struct http_server *server; /* its routes are set here; it is closed before the flv */
    /* 0 means the default in brackets. */
    uint64_t park_us;         /* a viewer waits so long for tracks and a keyframe [10 s] */
    size_t queue_bytes;       /* a viewer that has more unsent is slow [8 MiB] ... */
    uint32_t queue_ms;        /* ... or is so far behind [5000] */
    uint64_t stall_us;        /* one that has not read a byte for so long is dropped [30 s] */
    size_t gop_bytes;         /* kept for the next viewer's instant start [16 MiB] */
    uint64_t reorder_wait_us; /* for a lost packet [400 ms] */
    uint64_t sound_wait_us;   /* sound waits so long at most for a picture to leave with [34 ms: 30 a second] */
    uint64_t hold_us;         /* on a busy worker a picture waits so long at most for the next one to leave with; 0: never (edge/flv_hold.h) */
    uint32_t hold_from_permille; /* of its time that a worker is busy from which on pictures do; 0: always */
    uint64_t layer_silent_us; /* a simulcast layer without packets for so long is left for another [2 s] */
    size_t cap_viewers;       /* 503 beyond [20000] */
    const struct token_key *key; /* secure/token.h; viewers must show a token of it. NULL: anybody may play. Borrowed */
    /* Whether a viewer is let in; false: x has been answered. NULL: all are, up to cap_viewers. */
    bool (*admit)(void *arg, struct http_exchange *x);
    void *arg;
    uint64_t grace_us;        /* when a stream is lost and not ended by its publisher, viewers are kept so long [0] */
};

/* 0 or -1 when memory is short. */
MUST_USE int flv_open(struct flv **out, const struct flv_cfg *cfg);
/* Ends every response. */
void flv_close(struct flv **f);

struct flv_counters {
    uint64_t joins;               /* viewers who got media */
    uint64_t viewers;             /* now, parked ones too */
    uint64_t bytes;               /* handed to connections; a shared chunk counts for each viewer */
    uint64_t dropped_to_keyframe; /* times a slow viewer was made to skip */
    uint64_t stalled;             /* dropped for reading nothing */
    uint64_t thinned_bytes;       /* not sent because the worker is overloaded (io/governor.h) */
    uint64_t not_found, timed_out, unreachable, overloaded, unauthorized; /* refused: 404, 504, 503, 503, 401 or 403 */
    struct flv_mux_counters mux;                            /* of all streams, ended ones too */
};

void flv_counters(const struct flv *f, struct flv_counters *out);

enum flv_viewer_state { FLV_PARKED, FLV_LIVE, FLV_SKIPPING };

/* Valid for the call only. */
struct flv_viewer_facts {
    const char *id;
    const char *stream;
    const struct addr *peer;
    uint64_t started_unix_us;
    enum flv_viewer_state state;
    uint64_t bytes; /* taken by the kernel so far */
    uint64_t dropped_to_keyframe;
    uint64_t thinned_bytes; /* not sent because the worker is overloaded */
    size_t queued_bytes;
    uint32_t lag_ms; /* media behind the newest chunk */
};

const char *flv_viewer_state_name(enum flv_viewer_state state);
void flv_each(const struct flv *f, void (*fn)(void *arg, const struct flv_viewer_facts *v), void *arg);
