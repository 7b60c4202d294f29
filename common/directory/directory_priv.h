/* SPDX-License-Identifier: Apache-2.0
 * directory_priv.h - what the files of directory/ share.
 *
 * directory.c   life, state, the beat that renews
 * nodes.c       our own lease and record; the other nodes
 * streams.c     what is known of streams: events, finds, the sweep
 * presence.c    which nodes have a stream, as a hint
 * claims.c      our own claims: taken, renewed, released
 * redis_conn.c  a connection that comes back
 * sentinel.c    where the master is
 * record.c      bytes of records and events, pure
 * scripts.h     Lua */
#pragma once

#include "base/hash.h"
#include "base/list.h"
#include "directory/directory.h"
#include "directory/redis_conn.h"
#include "directory/sentinel.h"
#include "io/timer.h"

enum { KEY_CAP = 64 + STREAM_NAME_MAX + NODE_ID_MAX, PREFIX_MAX = 40 /* bytes */ };

struct node_table {
    struct node_record *v; /* self first */
    uint64_t *codes;       /* of the ids, to find one fast */
    size_t n, cap;
};

struct directory {
    struct directory_cfg cfg;
    struct worker *worker;
    char address[256], password[256], prefix[PREFIX_MAX + 1], channel[KEY_CAP];
    struct sentinels sentinels;
    struct redis_conn *commands, *events;
    enum directory_state state;
    struct node_record self;
    struct timer beat; /* a third of the lease */
    struct timer look; /* nodes came or went: one question for many events */
    struct timer spread; /* what was told while others had just been published */
    struct timer soon; /* self changed: written at once; answers that were known when asked */

    struct node_table nodes;
    struct node_table fresh;     /* reading_all: what will be nodes */
    struct node_record written;  /* self as others know it; id "": not known to them */
    uint64_t version;            /* of the last change that was read */
    uint64_t loads_until_us;     /* monotonic: loads are read until then */
    uint64_t read_all_us;        /* monotonic: when all were read last */
    uint64_t returning_until_us; /* Redis came back, perhaps empty: who is not there yet may still come */
    size_t strange_nodes;        /* whose records are not understood */
    unsigned beats_untold;       /* since written */
    bool reading_all, syncing, sync_again, announce;
    bool loads_anew;             /* all of them are to be read */
    bool registered;             /* what a predecessor of our id had claimed is gone */

    struct hash streams; /* struct stream_entry */
    struct hash claims;  /* struct claim */
    uint64_t last_epoch; /* the highest of all that were proposed here, or granted */
    struct hash present; /* struct present_entry: streams that this node has */
    uint64_t presence_due_us; /* monotonic: when they are to be written again */
    struct list pending; /* struct request: finds and claims, waiting for an answer or for Redis */
    struct list answered; /* struct request: their callbacks come from the loop */
    uint64_t sweep_at;   /* bucket of streams where the next sweep begins */
    uint64_t verify_at;  /* bucket of claims that is looked at next */
    bool scan_due;       /* as soon as the nodes are known */
    size_t check_at;     /* node whose streams were counted last */
    char suspect[NODE_ID_MAX + 1]; /* whose streams seemed to be others than we know; "": none */

    struct timer closing;
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct directory_counters counters;
};

struct request {
    struct list link; /* in pending or answered */
    struct directory *d;
    char name[STREAM_NAME_MAX + 1];
    void *arg;
    /* One of the two. */
    void (*on_claimed)(void *arg, enum claim_result result, uint64_t epoch, const char *owner);
    void (*on_found)(void *arg, const struct stream_record *record, bool known);
    bool is_claim, takeover, sent;
    /* The answer. */
    enum claim_result result;
    bool has_record, known;
    struct stream_record record; /* claim: owner and epoch */
};

/* ---- directory.c ---- */
char *key_of(const struct directory *d, const char *kind, const char *name, char out[KEY_CAP]);
/* A request's answer is complete: its callback comes from the loop, then it is freed. */
void request_answer(struct request *q);
/* Redis cannot be asked now. */
void request_fail(struct request *q);

/* We told something: it is published now, or by us in a moment. */
void spread_soon(struct directory *d);

/* ---- nodes.c ---- */
MUST_USE int nodes_init(struct directory *d);
void nodes_clear(struct directory *d);
/* Renews our lease, and reads what others have changed. announce: others are to look at once. */
void nodes_sync(struct directory *d, bool announce);
void nodes_on_up(struct directory *d);
void nodes_on_gone(struct directory *d, const char *id);
/* Takes us out of Redis. */
void nodes_leave(struct directory *d);

/* ---- streams.c ---- */
void streams_on_up(struct directory *d);
/* All nodes are known: the streams of those that have some can be read. */
void streams_on_nodes(struct directory *d);
/* An owner has gone or come: its streams with it. */
void streams_on_owner(struct directory *d, const struct node_record *owner, bool gone);
void streams_on_event(struct directory *d, const struct stream_record *record, bool gone);
/* Forgets what has long gone; looks whether an owner has the streams that we know of. */
void streams_sweep(struct directory *d);
void streams_clear(struct directory *d);
/* Last known record of a stream, even an old one; NULL: none. */
const struct stream_record *streams_known(const struct directory *d, const char *name);
void find_send(struct request *q);

/* ---- presence.c ---- */
/* Writes all that are present, when it is time or `all` is asked for. */
void presence_renew(struct directory *d, bool all);
void presence_clear(struct directory *d);

/* ---- claims.c ---- */
/* Puts all claims to Redis, which may have lost them, or given them to others; announce: tells everybody of each. */
void claims_register(struct directory *d, bool announce);
/* Some of them, so that all are looked at in some minutes. What is lost is known from events; this is for what they missed. */
void claims_verify(struct directory *d);
/* Somebody has claimed a name: perhaps one of ours. */
void claims_on_event(struct directory *d, const struct stream_record *record);
/* Redis says that we own this. */
void claims_on_owned(struct directory *d, const struct stream_record *record);
void claims_release_all(struct directory *d);
void claims_clear(struct directory *d);
void claim_send(struct request *q);
/* Redis is away: a provisional claim, unless another owner is known to live. */
void claim_provisionally(struct request *q);
bool claims_has(const struct directory *d, const char *name);
