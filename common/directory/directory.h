/* SPDX-License-Identifier: Apache-2.0
 * directory.h - which nodes there are and which node has which stream, in Redis under leases.
 *
 * Redis knows, nodes decide: every record is soft state. A node has one lease, and its streams live as long as that; the keys are listed in
 * scripts.h. Claim, register and release compare owner and epoch inside one Lua script, so a process that
 * wakes up after its lease ran out cannot touch its successor's entry. Changes are published on <prefix>events, many in one message; counts that
 * are compared from time to time show what was missed. While Redis is away, what is known goes on being served, claims are granted
 * provisionally and registered when it is back (the higher epoch wins).
 *
 * Thread: the main worker's; callbacks come from its loop, never from within a call. */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"
#include "media/track.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum node_role { NODE_ORIGIN = 1, NODE_BACKBONE, NODE_EDGE };
const char *node_role_name(enum node_role role);

enum { NODE_ID_MAX = 64, REGION_MAX = 32, NODE_ADDRESS_MAX = 128, HTTP_BASE_MAX = 256 };

struct node_record {
    char id[NODE_ID_MAX + 1];
    enum node_role role;
    char region[REGION_MAX + 1];
    char pipe[NODE_ADDRESS_MAX + 1]; /* host:port children connect to; "" where it takes none */
    uint32_t pipe_workers;           /* each has a port of its own, from that one up; 0: not known, all are reached by it */
    char http[HTTP_BASE_MAX + 1];    /* base URL of its HTTP server, for people and redirects */
    uint64_t started_us;             /* unix; tells a restarted node from its predecessor */
    uint32_t load_permille;          /* CPU of the process against its workers */
    bool overloaded;                 /* a worker of it lets nobody in (io/governor.h) */
    uint32_t viewers, streams;
    uint64_t egress_bps;
    uint32_t capacity_viewers; /* what it takes at most; 0: no bound */
    uint64_t capacity_bps;
    uint32_t capacity_permille; /* of CPU; 0: all of it */
    bool has_coordinates;
    double latitude, longitude; /* degrees */
    bool draining;
};

struct stream_record {
    char name[STREAM_NAME_MAX + 1];
    char owner[NODE_ID_MAX + 1]; /* node id of the origin */
    uint64_t epoch;
};

struct directory;

struct directory_ops {
    /* record NULL: nobody publishes it any more: it was released, or its owner's lease ran out. Told again when that owner is back. */
    void (*on_stream)(void *arg, const char *name, const struct stream_record *record);
    void (*on_nodes)(void *arg); /* a node came, went or changed its addresses, region or draining */
    /* A claim of ours was lost: another origin took the name over, or a provisional claim met a live owner. */
    void (*on_claim_lost)(void *arg, const char *name, uint64_t epoch, const char *new_owner);
};

struct directory_cfg {
    const char *address;  /* host:port of Redis; not used with sentinels */
    const char (*sentinels)[256]; /* host:port each: they are asked where the master is */
    size_t n_sentinels;   /* 0: none */
    const char *master_name; /* as the sentinels know it */
    const char *password; /* "" for none */
    unsigned database;
    const char *prefix;   /* of every key and channel, "mr:" */
    uint64_t lease_us;    /* records are renewed every third of it */
    struct node_record self;
    const struct directory_ops *ops;
    void *arg;
};

/* Starts connecting (with backoff and jitter, for ever; said once when it fails and once when it is back). Returns 0 or -1
 * (out of memory, or an address that cannot be parsed: *error points at a static text). */
MUST_USE int directory_open(struct directory **out, struct worker *w, const struct directory_cfg *cfg, const char **error);
/* Releases what is ours (node entry, claims), waits for Redis at most wait_us, then calls on_closed and is gone. */
void directory_close(struct directory *d, uint64_t wait_us, void (*on_closed)(void *arg), void *arg);

enum directory_state { DIRECTORY_CONNECTING = 1, DIRECTORY_UP, DIRECTORY_AWAY };
enum directory_state directory_state(const struct directory *d);
const char *directory_state_name(enum directory_state s);

/* What changes about ourselves. Written at once when draining or an address changed, or when this node is full or not full any more; what
 * moves the choice of others, with the next renewal; small changes of load every tenth. Loads are read by those who want them. */
void directory_set_self(struct directory *d, const struct node_record *self);

enum claim_result { CLAIM_OK = 0, CLAIM_TAKEN, CLAIM_FAILED /* out of memory, Redis answered with an error */ };

/* Claims name for this node: a new epoch, max(last + 1, unix milliseconds). takeover: even when another publishes it. Of an owner that
 * has not renewed for half its lease the name can be had without that.
 * With Redis away: CLAIM_OK with a provisional epoch (unix milliseconds). Renewed by itself until released. */
void directory_claim(struct directory *d, const char *name, bool takeover,
                     void (*on_claimed)(void *arg, enum claim_result result, uint64_t epoch, const char *owner), void *arg);
void directory_release(struct directory *d, const char *name, uint64_t epoch);

/* Asks for a stream of a live node: answered from what is known (events and lookups keep it fresh for a lease), else from Redis.
 * record NULL: nobody publishes it, or (known false) Redis could not be asked and nothing is known. */
void directory_find(struct directory *d, const char *name,
                    void (*on_found)(void *arg, const struct stream_record *record, bool known), void *arg);

/* Says that this node has (present) or has no longer a stream. A hint for sending viewers where a stream is already: written
 * when it changes and every half PRESENCE_MS, forgotten by others after PRESENCE_MS. */
void directory_set_present(struct directory *d, const char *name, bool present);
enum { PRESENCE_MS = 60000, PRESENCE_NODES_MAX = 64 };
/* Which nodes have it: ids[0..n), borrowed for the call; none when Redis cannot be asked. */
void directory_who_has(struct directory *d, const char *name,
                       void (*on_known)(void *arg, const char (*ids)[NODE_ID_MAX + 1], size_t n), void *arg);

/* How many watch a stream at this node; 0: nobody any more. A hint, forgotten by others after VIEWERS_MS. */
void directory_set_viewers(struct directory *d, const char *name, uint64_t viewers);
enum { VIEWERS_MS = 60000 };
/* How many watch it at other nodes; 0 when Redis cannot be asked. */
void directory_count_viewers(struct directory *d, const char *name, void (*on_known)(void *arg, uint64_t viewers), void *arg);

/* The live nodes, self included; borrowed until the next turn. */
size_t directory_nodes(const struct directory *d, const struct node_record **v);
/* Somebody is to choose by load: for the next LOADS_MS other nodes' loads are kept up to date. */
void directory_want_loads(struct directory *d);
enum { LOADS_MS = 60000 };
const struct node_record *directory_node(const struct directory *d, const char *id);
/* Streams known to be live now, of live nodes; fn may stop the walk by returning false. */
void directory_each_stream(const struct directory *d, bool (*fn)(void *arg, const struct stream_record *s), void *arg);

struct directory_counters {
    uint64_t connects, failures, commands, events, claims, claims_refused, claims_lost, finds, finds_cached, scans;
};
const struct directory_counters *directory_counters(const struct directory *d);
