/* SPDX-License-Identifier: Apache-2.0
 * pipe_client.h - the child's end of pipes on one worker: subscribes to streams at parent nodes.
 *
 *   pipe_subscribe -> on_subscribed -> on_packet ... on_caught_up -> on_packet ... -> pipe_subscription_close
 *                  -> on_refused | on_lost: over; only pipe_subscription_close is left to call
 *
 * The connection to a parent node is opened with the first subscription to it, shared by all of this worker,
 * and closed some time after the last. Nothing is retried here: which parent is next, and when, the
 * relay decides.
 * Thread: the worker's. Callbacks come from the loop, never from within a call of these functions; a
 * subscription may be closed, and others opened, in any of them. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/udp.h"
#include "io/worker.h"
#include "media/packet.h"
#include "media/track.h"
#include "pipe/pipe.h"
#include "router/router.h"
#include "secure/srtp.h"
#include "secure/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct pipe_client;
struct pipe_subscription;

/* ---- The worker's end ------------------------------------------------------------------------ */

struct pipe_client_cfg {
    struct srtp_engine *engine;  /* the worker's; borrowed */
    struct pool *pool;           /* packets are made from it (media/packet.h); borrowed */
    struct tls_ctx *tls;         /* TLS_MUTUAL_CLIENT; referenced */
    struct pipe_identity self;
    struct addr bind;            /* of the UDP socket; port 0 for any. AF_UNSPEC: any address, IPv6 and IPv4 */
    uint64_t give_up_us;         /* playout deadline: so long a missing packet is asked for; 0: 1 s */
    uint64_t connect_us;         /* bound on resolving, connecting, TLS and Hello; 0: 3 s */
    uint64_t gather_us;          /* udp_cfg.gather_us of the media; 0: never */
    uint64_t idle_us;            /* how long a connection without subscriptions is kept; 0: 10 s */
};

/* Returns 0 or a negative errno. */
MUST_USE int pipe_client_open(struct pipe_client **out, struct worker *w, const struct pipe_client_cfg *cfg);
/* Every subscription must have been closed. Connections end in the loop turns that follow. Clears
 * the pointer. */
void pipe_client_close(struct pipe_client **c);
/* New connections show this certificate. */
void pipe_client_set_tls(struct pipe_client *c, struct tls_ctx *tls);

/* ---- Subscriptions --------------------------------------------------------------------------- */

enum pipe_lost {
    PIPE_LOST_CONNECT = 1, /* no connection to the parent, or TLS or Hello failed */
    PIPE_LOST_CONTROL,     /* the control connection ended */
    PIPE_LOST_SILENCE,     /* neither media nor answers for PIPE_SILENCE_US */
    PIPE_LOST_MEDIA,       /* control lives, but no datagram comes through (a firewall in the way) */
    PIPE_LOST_PROTOCOL,    /* the parent sent what it must not */
};
const char *pipe_lost_name(enum pipe_lost why);

/* n packets of a layer. */
struct pipe_soon {
    unsigned track, layer;
    size_t n;
};

struct pipe_subscription_ops {
    /* The stream is there: its tracks with their epoch (borrowed). Comes again, after on_end or without it,
     * when the stream has a new epoch; packets that follow are of the new one. source: the nodes that it
     * comes through, origin first, parent last (for router paths further down). */
    void (*on_subscribed)(void *arg, const struct track_set *tracks, const struct pipe_path *source);
    /* Takes over the reference. Never twice the same one; out of order when it had been lost. */
    void (*on_packet)(void *arg, struct packet *p);
    /* on_packet comes soon, so often: what it reads can be asked for (prefetch), in ROUTER_SOON_STEPS steps (router/router.h). NULL: not interested. */
    void (*on_soon)(const void *arg, unsigned step, const struct pipe_soon *what);
    /* All that the parent's cache held of the wanted layers is here (or given up): live packets follow, so
     * this is the time for router_ready. Once after each on_subscribed; not while nothing is wanted. */
    void (*on_caught_up)(void *arg);
    /* The stream ended at the parent, and its last packets have come. The subscription stays: on_subscribed
     * comes if it returns there. */
    void (*on_end)(void *arg, enum stream_end why);
    void (*on_refused)(void *arg, enum pipe_refusal reason);
    void (*on_lost)(void *arg, enum pipe_lost why);
    /* The parent is about to leave and serves on meanwhile: move to another one soon. May be NULL. */
    void (*on_go_away)(void *arg);
    /* The parent sends no more than these layers, because the pipe loses too much; or all again. NULL: no matter. */
    void (*on_thinned)(void *arg, uint64_t allowed);
};

struct pipe_subscribe_cfg {
    const char *parent_id;      /* node id */
    const char *parent_address; /* "host:port" of its pipe listener; a name is resolved off the thread */
    const char *stream;         /* "app/name" */
    uint64_t want;              /* mask of want_bit(); may be 0 until the tracks are known */
    uint64_t patience_us;       /* see pipe_subscription_patience */
    uint64_t epoch;             /* of the positions in from; 0 when there are none */
    const struct pipe_position *from; /* where layers go on; the others start at the newest keyframe */
    size_t n_from;
    const struct pipe_path *path; /* nodes down the line that ask through us, our own id left out; or NULL */
    const struct pipe_subscription_ops *ops; /* borrowed for the subscription's life */
    void *arg;
};

/* Everything in cfg but ops is copied. Returns 0, or -1 when memory is short or an id or name is too long. */
MUST_USE int pipe_subscribe(struct pipe_subscription **out, struct pipe_client *c,
                            const struct pipe_subscribe_cfg *cfg);
/* Unsubscribes; no callback after it. Clears the pointer. */
void pipe_subscription_close(struct pipe_subscription **s);
/* What to send from now on. A layer that is wanted anew starts at the newest keyframe that the parent has. */
void pipe_subscription_want(struct pipe_subscription *s, uint64_t want);
/* At the parent sound waits so long at most for the next pictures to come with (router.h); 0: it comes at once. */
void pipe_subscription_patience(struct pipe_subscription *s, uint64_t patience_us);
/* Not gated here: router_need_keyframe has done so. */
void pipe_subscription_keyframe(struct pipe_subscription *s, unsigned track, unsigned layer);
const struct pipe_counters *pipe_subscription_counters(const struct pipe_subscription *s);
const char *pipe_subscription_parent(const struct pipe_subscription *s); /* node id */

/* ---- What is known about the parents --------------------------------------------------------- */

struct pipe_parent_stats {
    const char *id;          /* borrowed */
    struct addr address;     /* of its control connection */
    bool connected;          /* Hello was exchanged */
    uint64_t rtt_us;         /* smoothed; 0: not known yet */
    int64_t clock_offset_us; /* the parent's wall clock minus ours */
    size_t subscriptions;
    struct pipe_counters total; /* of all subscriptions, closed ones included */
};

void pipe_client_each_parent(const struct pipe_client *c,
                             void (*fn)(void *arg, const struct pipe_parent_stats *s), void *arg);
/* Datagrams that were for no subscription: noise, or of one that was closed. */
uint64_t pipe_client_unknown(const struct pipe_client *c);
/* Of the media socket. */
const struct udp_counters *pipe_client_udp_counters(const struct pipe_client *c);
/* Round trip to this subscription's parent, and its clock against ours. */
uint64_t pipe_subscription_rtt_us(const struct pipe_subscription *s);
int64_t pipe_subscription_clock_offset_us(const struct pipe_subscription *s);
