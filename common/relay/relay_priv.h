/* SPDX-License-Identifier: Apache-2.0
 * relay_priv.h - what the files of relay/ share.
 *
 * hub.c      main thread: directory, claims, candidates; answers by mail
 * relay.c    a worker's relay and the life of each router's supply
 * pull.c     home worker: one subscription at a parent, and the next parent when it is lost
 * link.c     a router fed by the same stream's router on the home worker, through mail
 * publish.c  a publisher here feeds the home's router
 * parcel.c   packets in a mail
 * parents.c  whom to ask, pure */
#pragma once

#include "base/list.h"
#include "directory/directory.h"
#include "io/timer.h"
#include "pipe/pipe_client.h"
#include "relay/hub.h"
#include "relay/relay.h"
#include "router/router.h"

struct pull;
struct link;
struct feed;

/* Positions of one epoch. */
struct resume {
    uint64_t epoch;
    size_t n;
    struct pipe_position from[PIPE_STREAM_LAYERS];
};

/* A router's supply: what the relay knows of where its packets come from; router_user(). At most one of
 * the three sources is there. */
struct supply {
    struct relay *relay;
    struct router *router;
    struct pull *pull; /* home worker: from a parent node */
    struct link *link; /* other workers: from the home */
    struct feed *feed; /* home worker: a publisher on this node */
    bool asking;       /* hub_ask_find is under way */
    bool ask_again;    /* something changed since that question */
    struct resume *resume;     /* where a child goes on, for a pull that has nothing yet; NULL: nobody does */
    uint64_t unknown_until_us; /* nobody publishes it, and nobody needs to be asked before */
    uint64_t failing_since_us; /* no parent could be reached since; 0: all is well */
    enum stream_end refuse;    /* what `later` is to say; 0: ask the hub */
    struct timer later;
    struct list links;         /* other workers' links that take from this router */
    struct consumer prefetch;  /* attached while this backbone wants the stream by itself */
};

/* The supply of name's router on this worker, made when missing; NULL: bad name, no memory. */
struct supply *supply_open(struct relay *relay, const char *name);
/* Nobody publishes the stream: says so to all who wait, and remembers it for a moment. */
void supply_unknown(struct supply *s);
/* No parent could serve it: asks the hub again in a moment; who waits is told after a while. */
void supply_unreachable(struct supply *s);
/* Fetches the stream, when it is not on its way already. */
void supply_demand(struct supply *s);

/* ---- pull.c: from a parent node ---- */
/* Begins to pull from the first of parents. Returns 0 or -1 (no memory). */
MUST_USE int pull_open(struct supply *s, const struct parent_list *parents);
void pull_close(struct supply *s);
/* The owner or the candidates changed: goes over when the present parent is not among them any more. */
void pull_follow(struct supply *s, const struct parent_list *parents);
/* The stream ended at the parent and may return there. */
bool pull_ended(const struct pull *p);
const char *pull_parent(const struct pull *p);
const struct pipe_counters *pull_counters(const struct pull *p);
const struct pipe_path *pull_source(const struct pull *p);

/* ---- link.c: from the home worker ---- */
MUST_USE int link_open(struct supply *s);
void link_close(struct supply *s);
/* Someone new asks for a stream that the home could not supply before. */
void link_demand(struct supply *s);
const struct pipe_path *link_source(const struct link *l);
/* Adds the nodes that take the home's stream by way of other workers. */
void links_add_paths(const struct supply *s, struct pipe_path *sum);
/* The home's supply goes. */
void links_forget(struct supply *s);

/* ---- publish.c: a publisher on this node ---- */
/* Stops the publisher: another has the name now. */
void feed_revoke(struct feed *f, const char *why);
void feed_on_claim(struct supply *s, uint64_t token, enum claim_result result, uint64_t epoch);
uint64_t feed_epoch(const struct feed *f);

/* ---- Mail from the hub, run on the relay's worker ---- */
void relay_on_found(struct relay *r, const char *name, const struct stream_record *record, bool known,
                    const struct parent_list *parents);
void relay_on_claim(struct relay *r, const char *name, uint64_t token, enum claim_result result, uint64_t epoch,
                    const char *owner);
void relay_on_claim_lost(struct relay *r, const char *name, uint64_t epoch, const char *new_owner);
/* The directory says that the stream changed: it is published, or not any more; prefetch: this node wants it by itself. */
void relay_on_stream(struct relay *r, const char *name, bool published, bool prefetch);
/* Nodes came, went or drain. */
void relay_on_nodes(struct relay *r);

/* ---- parcel.c: a mail with packets, from one worker to another ---- */
enum { PARCEL_MAX = 64 /* packets a mail: a turn's worth of one stream at 50 Mbit/s */ };
struct parcel {
    struct mail mail;
    void *to; /* what the receiver knows it by */
    struct relay *from;
    size_t n;
    struct packet *v[PARCEL_MAX]; /* a reference each */
};

/* Posts v[0..n), taking references of its own, in as many parcels as it needs; run() gets each on worker
 * `receiver` and ends with parcel_give. Returns how many packets went, fewer when the pool has no more parcels: the receiver is far behind. */
size_t parcel_post(struct relay *from, struct worker *receiver, void (*run)(struct mail *, struct worker *), void *to,
                   struct packet *const *v, size_t n);
void parcel_give(struct parcel *p);

/* Mails with packets, of this worker's links and publishers. */
struct pool *relay_parcels(struct relay *r);
struct relay_counters *relay_count(struct relay *r);

void relay_tell_published(struct relay *r, struct router *router);
/* What pulls are made with; see relay_set_client. */
struct relay_pipes {
    struct pipe_client *client;
    void (*path)(void *arg, const struct router *router, struct pipe_path *out);
    void *arg;
};
const struct relay_pipes *relay_pipes(const struct relay *r);

struct hub *relay_hub(const struct relay *r);
const struct relay_cfg *relay_config(const struct relay *r);
struct relay *relay_peer(const struct relay *r, unsigned index);
