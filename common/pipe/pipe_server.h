/* SPDX-License-Identifier: Apache-2.0
 * pipe_server.h - the parent's end of pipes on one worker: accepts children and sends them streams.
 *
 * A Subscribe attaches a pipe_tx as a consumer (kind "pipe") to the stream's router on this worker; what
 * the child wants is that consumer's want. Whatever a child does wrong closes its own connection, with
 * a counted log line, and touches nothing else.
 * Thread: the worker's. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/udp.h"
#include "io/worker.h"
#include "pipe/pipe.h"
#include "router/router.h"
#include "secure/srtp.h"
#include "secure/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct pipe_server;

struct pipe_server_cfg {
    struct srtp_engine *engine; /* the worker's; borrowed */
    struct tls_ctx *tls;        /* TLS_MUTUAL_SERVER; referenced */
    struct pipe_identity self;
    struct addr listen, media;  /* TCP and UDP, this worker's own: the pipe port + worker index */
    size_t cap_subscriptions;   /* more are refused as OVERLOADED; 0: 4096 */
    uint64_t backfill_bps;      /* of all subscriptions together, beyond their live rates; 0: 800 Mbit/s */
    /* The stream's router on this worker (relay_router); NULL: refused as OVERLOADED. */
    struct router *(*open_router)(void *arg, const char *stream);
    /* A child goes on there at these packets of an epoch: told before it is attached, so that a node that has to fetch the
     * stream first asks for them too. May be NULL. */
    void (*resume)(void *arg, struct router *r, uint64_t epoch, const struct pipe_position *from, size_t n);
    /* Nodes the stream comes through to us, origin first, ourselves not among them; n = 0 when we are its
     * origin or do not know yet. May be NULL. */
    void (*source)(void *arg, struct router *r, struct pipe_path *out);
    void *arg;
};

/* Returns 0 or a negative errno; -EADDRINUSE when a port is taken. */
MUST_USE int pipe_server_open(struct pipe_server **out, struct worker *w, const struct pipe_server_cfg *cfg);
/* Detaches every consumer and drops the connections; they end in the loop turns that follow. Clears the
 * pointer. */
void pipe_server_close(struct pipe_server **s);
/* New connections get this certificate. */
void pipe_server_set_tls(struct pipe_server *s, struct tls_ctx *tls);
/* Draining: new subscriptions are refused, children are told to go away, what plays plays on. Reversible. */
void pipe_server_drain(struct pipe_server *s, bool draining);
/* The bound TCP and UDP addresses (tests ask for port 0). */
void pipe_server_local(const struct pipe_server *s, struct addr *control, struct addr *media);

/* The paths of all children of this worker that take the stream from router r, as one: what we say when we
 * ask our own parent for it. Our id is added by pipe_subscribe. */
void pipe_server_path(const struct pipe_server *s, const struct router *r, struct pipe_path *out);

struct pipe_child_stats {
    const char *id, *stream;   /* node id, stream; borrowed */
    struct addr address;       /* of the control connection */
    struct addr media;         /* where the packets go; AF_UNSPEC before the child spoke */
    uint64_t started_at_us;    /* unix */
    uint64_t want;
    uint64_t rtt_us;           /* as the child measures it */
    const struct pipe_counters *counters;
};

void pipe_server_each(const struct pipe_server *s,
                      void (*fn)(void *arg, const struct pipe_child_stats *child), void *arg);

struct pipe_server_counters {
    uint64_t connections, subscriptions; /* open now */
    uint64_t accepted, refused;          /* subscriptions so far */
    uint64_t bad_input;                  /* connections closed for what they sent */
    struct pipe_counters total;          /* of all subscriptions, closed ones included */
};
struct pipe_server_counters pipe_server_counters(const struct pipe_server *s);
/* Of the media socket. */
const struct udp_counters *pipe_server_udp_counters(const struct pipe_server *s);
