/* SPDX-License-Identifier: Apache-2.0
 * router.h - the switchboard of one stream on one worker (mediasoup's word and meaning).
 *
 * A producer pushes packets in; they are cached at once and handed to every consumer as one batch
 * at the end of the loop turn. Consumers say which (track, layer) they want; the union goes to the
 * producers, which carry it upstream.
 * Thread: the worker's. Ownership: producers and consumers are embedded in their owners, who must
 * detach them before they die; a router is freed by its set when nothing is attached. */
#pragma once

#include "base/compiler.h"
#include "base/hash.h"
#include "base/list.h"
#include "cache/cache.h"
#include "io/timer.h"
#include "io/worker.h"
#include "media/packet.h"
#include "media/track.h"

#include <stdbool.h>
#include <stdint.h>

struct router;
struct router_set;
struct consumer;
struct producer;

/* Why a stream has no packets any more. It may come back under a new epoch. */
enum stream_end {
    STREAM_UNPUBLISHED = 1, /* the publisher stopped or went away */
    STREAM_UNKNOWN,         /* nobody publishes it (so says the directory or the parent) */
    STREAM_UNREACHABLE,     /* no node could be asked */
};

/* ---- Consumers -------------------------------------------------------------------------------- */

struct consumer_ops {
    /* A new epoch: these are its tracks (borrowed until the next on_tracks). Before any packet of it. */
    void (*on_tracks)(struct consumer *c, const struct track_set *tracks);
    /* The cache now holds what came before live (nothing, when the publisher has only just begun): start from it here;
     * on_packets follows with what comes after it. At once after on_tracks on a stream that plays here already; a little
     * later when this node is still fetching the beginning from another. NULL: not interested. */
    void (*on_ready)(struct consumer *c);
    /* Before on_ready, where router_passes: the cache has grown by what came in this turn. NULL: waits for all of it. */
    void (*on_past)(struct consumer *c);
    /* The wanted packets of this turn. Everything is borrowed: take a packet_ref to keep one. What goes
     * wrong for one consumer is its own affair and counted there. The consumer may detach itself here. */
    void (*on_packets)(struct consumer *c, const struct packet_batch *b);
    void (*on_end)(struct consumer *c, enum stream_end why);
    /* on_packets comes when two others have been served (ahead: 2), or one (1): what it reads can be asked for already (prefetch),
     * first the consumer's own, then what that points to, as consumers are too many for the processor's cache. Nothing else.
     * NULL: not interested. */
    void (*on_soon)(const struct consumer *c, unsigned ahead);
};

struct consumer {
    const struct consumer_ops *ops; /* set before router_attach */
    struct router *router;          /* NULL when detached */
    uint64_t want;                  /* mask of want_bit(); change by consumer_want */
    const char *kind;               /* "whep", "flv", "pipe", "link", "transcode": for the stream's statistics */
    unsigned viewers;               /* people behind it, as it says itself: 1, or those of a shared muxer */
    bool patient; /* set before router_attach: while it wants pictures, on a busy worker, sound waits for the next of them (for as long
                     as a packet of it plays, at most the set's hold_us) and comes in one batch with them, before them. What it wants alone comes at once */
    uint64_t patience_us; /* a patient one's: it does so however busy the worker is, but no longer than this; 0: as above. Change by consumer_patience */
    struct list link;
    uint64_t joined; /* the router's: which fan-out it must not be part of yet */
    uint64_t told;   /* and which walk it has been part of */
    int list;        /* the one that it is in */
};

/* Attaches; when the stream is live, or waits for a producer to go on, on_tracks is called before it returns. The first
 * consumer of a router without producer makes the set's on_demand be called (at the end of the turn at the latest). */
void router_attach(struct router *r, struct consumer *c, uint64_t want);
/* Harmless when detached. May be called from within the consumer's own callbacks. */
void router_detach(struct consumer *c);
void consumer_want(struct consumer *c, uint64_t want);
/* It is patient from now on, or (0) no more: for who knows of many patient ones behind it (a link, a pipe). */
void consumer_patience(struct consumer *c, uint64_t patience_us);

/* ---- Producers -------------------------------------------------------------------------------- */

struct producer_ops {
    /* The union of what all consumers want changed. */
    void (*on_want)(struct producer *p, uint64_t want);
    /* Someone needs a keyframe of this layer (already coalesced: at most one each KEYFRAME_GATE_US a layer). */
    void (*on_keyframe)(struct producer *p, unsigned track, unsigned layer);
    /* All of them are patient, for so long: sound may as well wait where it comes from, and wake nobody up on its way. 0: no more. NULL:
     * it cannot. A producer that takes over asks for router_patience_us. */
    void (*on_patience)(struct producer *p, uint64_t patience_us);
};

struct producer {
    const struct producer_ops *ops; /* set before attach */
    struct router *router;          /* NULL when detached */
    const char *kind;               /* "whip", "rtmp", "pipe", "link", "transcode" */
    bool passes;                    /* set before router_publish: see router_passes */
    bool primary;                   /* brings the tracks; others (a transcoder) only add packets to a derived one */
    struct list link;
};

enum { KEYFRAME_GATE_US = 500000 /* between two keyframe requests of a layer */ };

/* The one primary producer, in two steps: router_publish, then (perhaps after packets of the past, which only fill the
 * cache) router_ready, from which on packets are fanned out. Starts an epoch with these tracks (copied; epoch must be greater than any seen before
 * in this router: asserted by the caller having asked router_epoch). Consumers get on_tracks; the cache is cleared
 * when the epoch differs from the last one, and kept when a new producer continues the same epoch. */
void router_publish(struct router *r, struct producer *p, const struct track_set *tracks);
void router_ready(struct producer *p);
/* A secondary producer. */
void router_add_producer(struct router *r, struct producer *p);
/* Takes over the caller's reference. The packet's fields must be complete and its track in the set. */
void router_push(struct router *r, struct packet *p);
/* n packets of that layer are about to be pushed: what that and the first consumer read is asked for (prefetch), as cache_soon says. */
enum { ROUTER_SOON_STEPS = 1 + CACHE_SOON_STEPS };
void router_soon(const struct router *r, unsigned step, unsigned track, unsigned layer, size_t n);
/* Detaches: what came is handed out, and p's ops are not called any more. For the primary producer the stream has ended with this
 * reason, unless keep_epoch: then a successor will go on (another parent) and consumers are told nothing. Harmless when detached. */
void router_unpublish(struct producer *p, enum stream_end why, bool keep_epoch);
/* For a router that never got a producer: tells the waiting consumers why. */
void router_refuse(struct router *r, enum stream_end why);

/* ---- The router itself ------------------------------------------------------------------------- */

const char *router_name(const struct router *r); /* "app/name" */
struct worker *router_worker(const struct router *r);
bool router_live(const struct router *r);  /* has a producer: the tracks are known */
bool router_is_ready(const struct router *r);
/* What comes before live is coming now, from the newest keyframe on (or from where this node stopped): who sends it on to
 * another node need not wait for the end of it. */
bool router_passes(const struct router *r);
/* The tracks of the current (or, when not live, last) epoch; NULL before the first. */
const struct track_set *router_tracks(const struct router *r);
uint64_t router_epoch(const struct router *r);
struct producer *router_producer(const struct router *r);
uint64_t router_want(const struct router *r);
uint64_t router_patience_us(const struct router *r);
struct cache *router_cache(struct router *r);
/* Gated and passed to the producers. */
void router_need_keyframe(struct router *r, unsigned track, unsigned layer);
/* Newest (capture_us, ts_ticks) of a track, for sender reports; false before its first packet. */
bool router_clock(const struct router *r, unsigned track, uint64_t *capture_us, uint64_t *ts_ticks);
size_t router_consumers(const struct router *r, const char *kind); /* kind NULL: all */
size_t router_viewers(const struct router *r);

struct router_counters {
    uint64_t packets, bytes;        /* pushed, payload bytes */
    uint64_t duplicates;            /* refused by the cache */
    uint64_t keyframe_requests;     /* passed upstream */
    uint64_t keyframe_requests_gated;
    uint64_t epochs;                /* times router_publish started one */
};
const struct router_counters *router_counters(const struct router *r);

/* ---- All routers of a worker --------------------------------------------------------------------- */

struct router_set_cfg {
    struct cache_cfg cache; /* for each router */
    uint64_t hold_us;       /* the longest that sound waits for pictures where the consumer is patient; 0: not at all */
    uint32_t hold_from_permille; /* and only while the worker is so busy */
    uint64_t whole_us;      /* where it is that busy and somebody is patient, so long the end of a picture is waited for; 0: not */
    /* How long a router with neither consumer nor producer, or whose last consumer left, is kept. At most a second while it has had
     * no tracks. */
    uint64_t linger_us;
    /* The first consumer arrived and there is no producer: find one (relay/). */
    void (*on_demand)(void *arg, struct router *r);
    /* The last consumer has been gone for linger_us: whoever pulls may stop. */
    void (*on_idle)(void *arg, struct router *r);
    void *arg;
};

MUST_USE int router_set_create(struct router_set **out, struct worker *w, const struct router_set_cfg *cfg);
/* All producers and consumers must be detached. */
void router_set_destroy(struct router_set **s);
/* The router of that name, made when missing; NULL when memory is short or the name is not valid. A router that nobody
 * attaches to is freed after linger_us. */
struct router *router_open(struct router_set *s, const char *name);
struct router *router_find(const struct router_set *s, const char *name);
struct worker *router_set_worker(const struct router_set *s);
/* Nothing holds the router any more on the relay's side: it goes after linger_us unless someone attaches. */
void router_expire(struct router *r);
/* Where the relay keeps what it knows of this router (one pointer, not owned). While it is set the router stays. */
void *router_user(const struct router *r);
void router_set_user(struct router *r, void *user);
void router_set_each(struct router_set *s, void (*fn)(void *arg, struct router *r), void *arg);
