/* SPDX-License-Identifier: Apache-2.0
 * hub.h - the relays' common ground on the main thread: what they ask of the directory.
 *
 * Workers share nothing; what concerns the whole node - claims, where a stream is, which parents
 * there are - is asked of the hub by mail and answered by mail.
 * Thread: hub_create ... hub_destroy are the main worker's; hub_ask_* are any worker's. */
#pragma once

#include "base/compiler.h"
#include "directory/directory.h"
#include "io/worker.h"
#include "media/track.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hub;
struct relay;

enum { PARENTS_MAX = 8 /* candidates that a pull tries in turn */ };

struct parent {
    char id[NODE_ID_MAX + 1];
    char address[NODE_ADDRESS_MAX + 1]; /* host:port of its pipe listener; of the stream's home there */
    bool owner;                         /* the stream's origin */
};

/* The nodes to pull a stream from, best first; and those that would be, but drain: who has one of these leaves it. */
struct parent_list {
    size_t n, n_draining;
    struct parent v[PARENTS_MAX];
    char draining[PARENTS_MAX][NODE_ID_MAX + 1];
};

enum prefetch { PREFETCH_DEMAND, PREFETCH_REGION, PREFETCH_ALL };

struct hub_cfg {
    struct node_record self;
    enum prefetch prefetch; /* of a backbone */
    bool takeover;          /* a second publisher of a name replaces the first */
};

MUST_USE int hub_create(struct hub **out, struct worker *main_worker, const struct hub_cfg *cfg);
void hub_destroy(struct hub **h);
/* The directory's callbacks, to be given to directory_open with the hub as arg; then tell the hub about it. */
const struct directory_ops *hub_directory_ops(void);
void hub_set_directory(struct hub *h, struct directory *d);
/* Who else hears of streams that come and go, as directory_ops.on_stream; one at most. */
void hub_set_observer(struct hub *h, void (*on_stream)(void *arg, const char *name, const struct stream_record *record),
                      void *arg);
/* The relays of all workers, by index; before any worker runs. */
void hub_set_relays(struct hub *h, struct relay *const *relays, size_t n);
const struct node_record *hub_self(const struct hub *h);

/* ---- Questions, from any worker -------------------------------------------------------------------- */

/* Where is it? The answer arrives as relay_on_found() on the asking relay. */
void hub_ask_find(struct hub *h, struct relay *asker, const char *name);
/* May I publish it? The answer arrives as relay_on_claim() with the same token. */
void hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token);
/* This node has, or has no longer, the stream: viewers are better sent to where it is. */
void hub_tell_presence(struct hub *h, const char *name, bool present);
void hub_tell_release(struct hub *h, const char *name, uint64_t epoch);
