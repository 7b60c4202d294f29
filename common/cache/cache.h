/* SPDX-License-Identifier: Apache-2.0
 * cache.h - the last groups of pictures of one stream: for instant start and for retransmission.
 *
 * Two indexes over the same packets: by arrival (a viewer that joins is given everything since the
 * newest keyframe, audio and video interleaved as it came) and by identity (track, layer, seq),
 * which answers a NACK or a child that goes on where its old parent stopped.
 * Bounded by bytes, time and packets a stream and by a budget a node; the oldest go first. When the node's budget is used
 * up, the oldest groups of pictures of streams that nobody watches go before anything of the stream that needs room, whichever worker has
 * them: workers tell each other by one number how far their idle ones reach back, and each looks after its own. The last sixteenth of the
 * budget is for what comes before the other worker has looked; beyond it a stream gives of its own.
 * Thread: the worker's; the node's budget is atomic. Ownership: holds a reference a packet. */
#pragma once

#include "base/compiler.h"
#include "base/list.h"
#include "media/packet.h"

#include <stdatomic.h>
#include <stdint.h>

enum { CACHE_GROUPS_MAX = 256 };

/* Shared by all caches of a process. */
struct cache_budget {
    _Atomic size_t used_bytes;
    size_t cap_bytes;
    struct cache_group *groups[CACHE_GROUPS_MAX];
    size_t n_groups;
};

/* The caches of one worker that are idle now. */
struct cache_group {
    struct list idle;
    struct cache_budget *budget; /* NULL: none */
    _Atomic uint64_t oldest_us;  /* capture of their oldest packet when it was last looked for; UINT64_MAX: they have none */
};

struct cache_cfg {
    size_t cap_bytes, cap_packets;
    uint64_t cap_us;             /* span between the oldest and newest packet's capture */
    struct cache_budget *budget; /* NULL: none (a copy whose packets are counted elsewhere) */
    struct cache_group *group;   /* NULL: this cache gives room only itself */
    struct pool *own;            /* that of the worker, which takes back what leaves the cache first; NULL: none */
};

struct cache;

/* Joins the budget, which may be NULL; before any worker runs. At most CACHE_GROUPS_MAX. */
void cache_group_init(struct cache_group *g, struct cache_budget *b);
/* Leaves it; after all have ended. */
void cache_group_fini(struct cache_group *g);
/* The group's worker, some times a second: gives up what is the oldest of all workers' idle groups of pictures when the node is short
 * of room, which another worker may be the one to notice. */
void cache_group_poll(struct cache_group *g);

MUST_USE int cache_create(struct cache **out, const struct cache_cfg *cfg);
void cache_destroy(struct cache **c);
/* Forgets all packets (a new epoch). */
void cache_clear(struct cache *c);

/* Nobody watches the stream, or somebody does. A new cache is not idle. */
void cache_set_idle(struct cache *c, bool idle);

/* Adds p (takes a reference of its own). Returns false when its (track, layer, seq) is here already
 * or is older than all that is kept: the caller drops it as a duplicate or too late. */
MUST_USE bool cache_push(struct cache *c, struct packet *p);

/* n packets of that layer are about to be pushed: what that reads and writes is asked for (prefetch), each step what the one before it
 * has asked for tells of. Steps 0 .. CACHE_SOON_STEPS - 1, with other things to do between them. */
enum { CACHE_SOON_STEPS = 3 };
void cache_soon(const struct cache *c, unsigned step, unsigned track, unsigned layer, size_t n);

/* The packet, borrowed until the next push, or NULL when it is not (or no longer) here. */
struct packet *cache_find(const struct cache *c, unsigned track, unsigned layer, uint64_t seq);
/* Lowest and highest + 1 of what is kept of a layer; false when nothing is. */
bool cache_range(const struct cache *c, unsigned track, unsigned layer, uint64_t *first, uint64_t *end);

/* The lowest number of a layer that is missing, looked for from `back` numbers before the newest on: where a child goes on at another
 * parent. False when nothing of the layer is kept. */
bool cache_next_missing(const struct cache *c, unsigned track, unsigned layer, uint64_t back, uint64_t *seq);

/* Arrival positions grow by one a packet and are never reused. */
uint64_t cache_begin(const struct cache *c); /* oldest kept */
uint64_t cache_end(const struct cache *c);   /* one past the newest */
/* The packet at an arrival position, borrowed; NULL when it has gone. */
struct packet *cache_at(const struct cache *c, uint64_t position);
/* Position of the first packet (by arrival) of the newest keyframe of (track, layer), when that
 * frame's start is here; false when there is none. What is missing after it may still come. */
bool cache_keyframe(const struct cache *c, unsigned track, unsigned layer, uint64_t *position);

size_t cache_bytes(const struct cache *c);
