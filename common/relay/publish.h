/* SPDX-License-Identifier: Apache-2.0
 * publish.h - how an ingest protocol (WHIP, RTMP) brings a stream in.
 *
 *   publish_claim  -> on_claimed(PUBLISH_OK) -> publish_start(tracks) -> publish_push ... -> publish_close
 *                  -> on_claimed(PUBLISH_TAKEN ...): refused; only publish_close is left to call
 *
 * The claim is decided on the stream's home worker and in the directory; packets go to the home's router,
 * through a mailbox when the ingest's connection is on another worker.
 * Thread: the worker that called publish_claim, callbacks too. Callbacks never come from within a call. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "media/track.h"

#include <stdbool.h>
#include <stdint.h>

struct relay;
struct publication;

enum publish_result {
    PUBLISH_OK = 0,
    PUBLISH_TAKEN,       /* someone publishes this name and takeover is not allowed */
    PUBLISH_NAME,        /* not a valid stream name */
    PUBLISH_OVERLOADED,  /* this node takes no more */
};

struct publish_ops {
    void (*on_claimed)(void *arg, enum publish_result result);
    /* What the consumers of the stream want changed (mask of want_bit). Before the first call: 0. */
    void (*on_want)(void *arg, uint64_t want);
    void (*on_keyframe)(void *arg, unsigned track, unsigned layer);
    /* Another publisher took the name over, or the lease was lost to another origin. Close now. */
    void (*on_revoked)(void *arg, const char *why);
};

/* kind: "whip", "rtmp". Returns 0 with *out, or -1 when memory is short. name is copied. */
MUST_USE int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                           const struct publish_ops *ops, void *arg);
/* After on_claimed(PUBLISH_OK). tracks->epoch is ignored and set by the claim. May be called again when the
 * tracks change (a new epoch follows by itself). */
void publish_start(struct publication *p, const struct track_set *tracks);
/* Takes over the reference. Packets come from packet_create(publish_pool(p)). */
void publish_push(struct publication *p, struct packet *packet);
struct pool *publish_pool(struct publication *p);
/* Ends the publication (the stream ends with STREAM_UNPUBLISHED), at any point; clears the pointer; no callback after. */
void publish_close(struct publication **p);
