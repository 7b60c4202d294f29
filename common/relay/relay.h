/* SPDX-License-Identifier: Apache-2.0
 * relay.h - where a stream's packets come from on this worker: a publisher here, another worker, or a parent node.
 *
 * Every stream has a home worker in each process, hash_code_stable(name) % workers. The home's router is fed by the
 * local publisher or by the one pull from a parent; the routers of other workers are fed by a link (a mailbox) from the home.
 * Thread: one relay a worker; functions are that worker's. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "router/router.h"

struct relay;
struct pipe_position;

/* The router of a stream on this worker; attach a consumer and the relay fetches the stream. NULL: bad name or no memory. */
struct router *relay_router(struct relay *r, const char *name);
/* A child will take the stream from this router and goes on there at these packets. A node that has to fetch the stream first
 * asks its own parent from the same ones on, so that a change of parents is without loss behind a cold one too. */
void relay_resume(struct router *router, uint64_t epoch, const struct pipe_position *from, size_t n);
struct worker *relay_worker(struct relay *r);
/* Packets of this worker. */
struct pool *relay_pool(struct relay *r);
/* The worker index that is home of a stream on a node with so many workers, and on this one. */
unsigned stream_home(const char *name, unsigned workers);
unsigned relay_home(const struct relay *r, const char *name);

/* ---- Making one (common/node) -------------------------------------------------------------------- */

struct hub;
struct pipe_client;
struct pipe_path;

struct relay_cfg {
    struct hub *hub;
    unsigned index, workers;    /* this worker's, and how many there are */
    struct cache_cfg cache;     /* of the home's routers; the copies on other workers count no budget */
    uint64_t hold_us;           /* sound waits so long for pictures to leave with (router.h: patient); 0: not */
    uint32_t hold_from_permille; /* while the worker is so busy */
    uint64_t whole_us;          /* and the end of a picture is waited for so long (router.h) */
    uint64_t linger_us;         /* a pull is kept so long after its last consumer */
    size_t packets;             /* cap of the worker's packet pool */
    bool takeover;              /* a second publisher of a name on this node replaces the first */
    bool pulls;                 /* backbone and edge: from parents; an origin does not */
};

MUST_USE int relay_create(struct relay **out, struct worker *w, const struct relay_cfg *cfg);
/* What it pulls with, where cfg.pulls; before the worker runs. path fills in the nodes down the line that take the stream
 * through us (pipe_server_path); NULL where there are none. Borrowed. */
void relay_set_client(struct relay *r, struct pipe_client *client,
                      void (*path)(void *arg, const struct router *router, struct pipe_path *out), void *arg);
/* fn is called on the home worker each time a publisher here has begun an epoch (router_publish was called). */
void relay_on_published(struct relay *r, void (*fn)(void *arg, struct router *router), void *arg);
/* All relays of the process by worker index, this one too; before any worker runs. Borrowed. */
void relay_set_peers(struct relay *r, struct relay *const *peers);
/* On the worker's thread, before its loop ends: closes pulls and links. */
void relay_close(struct relay *r);
/* After all workers have ended: drops all routers with their packets, which may be of any worker's pool. */
void relay_clear(struct relay *r);
/* After relay_clear on the relays of all workers. */
void relay_destroy(struct relay **r);
/* All routers of this worker. */
struct router_set *relay_routers(struct relay *r);

struct relay_counters {
    uint64_t pulls;         /* subscriptions begun at a parent */
    uint64_t pulls_failed;  /* refused or lost */
    uint64_t links;         /* routers fed from the home worker */
    uint64_t unknown;       /* answered from the memory that nobody publishes it */
    uint64_t dropped_pool;  /* packets dropped because the pool was exhausted */
};
const struct relay_counters *relay_counters(const struct relay *r);
/* For statistics: where this router's packets come from: "publish", "link", "pull", "" ; parent node id or "". */
const char *relay_source(struct relay *r, const struct router *router, const char **parent);
/* The nodes that the router's stream comes through to us, origin first; none when it is published here. */
void relay_source_path(const struct router *router, struct pipe_path *out);

struct pipe_counters;
/* Of the pull that feeds the router; NULL when none does. */
const struct pipe_counters *relay_pipe_counters(const struct router *router);
