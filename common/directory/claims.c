/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/directory_priv.h"

#include "base/log.h"
#include "directory/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { EPOCH_MEMORY_MS = 86400000 /* a day: how long a stream's highest epoch outlives its last publishing */ };

struct claim {
    struct hash_item item;
    struct directory *d;
    char name[STREAM_NAME_MAX + 1];
    uint64_t epoch;
};

/* A renewal under way; the claim itself may be released meanwhile. */
struct renewal {
    struct directory *d;
    char name[STREAM_NAME_MAX + 1];
    uint64_t epoch;
};

struct keys {
    char stream[KEY_CAP], epoch[KEY_CAP], all[KEY_CAP];
};

static void keys_init(const struct directory *d, const char *name, struct keys *k)
{
    key_of(d, "stream:", name, k->stream);
    key_of(d, "epoch:", name, k->epoch);
    key_of(d, "streams", "", k->all);
}

static struct claim *claim_find(const struct directory *d, const char *name)
{
    struct hash_item *it = hash_find(&d->claims, name, strlen(name));

    return it ? container_of(it, struct claim, item) : NULL;
}

bool claims_has(const struct directory *d, const char *name)
{
    return claim_find(d, name) != NULL;
}

/* Ours now, under this epoch. */
static bool claim_keep(struct directory *d, const char *name, uint64_t epoch)
{
    struct claim *c = claim_find(d, name);

    if (!c) {
        c = calloc(1, sizeof(*c));
        if (!c)
            return false;
        strcpy(c->name, name);
        c->d = d;
        hash_push(&d->claims, &c->item, c->name, strlen(c->name));
    }
    c->epoch = epoch;
    return true;
}

static void claim_drop(struct claim *c)
{
    hash_remove(&c->d->claims, &c->item);
    free(c);
}

/* {verdict, owner, epoch} of the scripts; false when it is anything else. */
static bool read_verdict(const redisReply *r, bool *granted, char owner[NODE_ID_MAX + 1], uint64_t *epoch)
{
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 3 || r->element[0]->type != REDIS_REPLY_INTEGER ||
        r->element[1]->type != REDIS_REPLY_STRING || r->element[2]->type != REDIS_REPLY_STRING)
        return false;
    *granted = r->element[0]->integer == 1;
    snprintf(owner, NODE_ID_MAX + 1, "%s", r->element[1]->str);
    *epoch = strtoull(r->element[2]->str, NULL, 10);
    return true;
}

static void log_error_reply(const char *what, const char *name, const redisReply *r)
{
    if (r)
        log_error("directory", "%s of %s: redis answered: %s", what, name,
                  r->type == REDIS_REPLY_ERROR ? r->str : "something unexpected");
}

/* ---- Taking ------------------------------------------------------------------------------------------------- */

static uint64_t proposed_epoch(const struct directory *d, const char *name)
{
    const struct stream_record *last = streams_known(d, name);
    uint64_t now_ms = worker_unix_us(d->worker) / 1000;

    return last && last->epoch >= now_ms ? last->epoch + 1 : now_ms;
}

void claim_provisionally(struct request *q)
{
    uint64_t epoch = proposed_epoch(q->d, q->name);

    log_warn("directory", "%s: claimed provisionally, redis is away", q->name);
    q->result = claim_keep(q->d, q->name, epoch) ? CLAIM_OK : CLAIM_FAILED;
    q->record.epoch = epoch;
    strcpy(q->record.owner, q->d->self.id);
    request_answer(q);
}

static void on_claim_reply(void *arg, const redisReply *r)
{
    struct request *q = arg;
    bool granted = false;

    q->sent = false;
    if (!r) {
        request_fail(q);
        return;
    }
    if (!read_verdict(r, &granted, q->record.owner, &q->record.epoch)) {
        log_error_reply("claim", q->name, r);
        q->result = CLAIM_FAILED;
    } else if (!granted) {
        q->d->counters.claims_refused++;
        q->result = CLAIM_TAKEN;
    } else {
        q->result = claim_keep(q->d, q->name, q->record.epoch) ? CLAIM_OK : CLAIM_FAILED;
    }
    request_answer(q);
}

void claim_send(struct request *q)
{
    struct directory *d = q->d;
    struct keys k;
    char proposed[24], lease[24], memory[24];

    keys_init(d, q->name, &k);
    snprintf(proposed, sizeof(proposed), "%" PRIu64, proposed_epoch(d, q->name));
    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    snprintf(memory, sizeof(memory), "%d", EPOCH_MEMORY_MS);
    const char *argv[] = {"EVAL",       script_claim, "3",   k.stream,
                          k.epoch,      k.all,        d->self.id, proposed,
                          lease,        q->takeover ? "1" : "0", d->channel, q->name,
                          memory};
    q->sent = true;
    d->counters.commands++;
    redis_conn_command(d->commands, on_claim_reply, q, LEN(argv), argv, NULL);
}

void directory_claim(struct directory *d, const char *name, bool takeover,
                     void (*on_claimed)(void *arg, enum claim_result result, uint64_t epoch, const char *owner),
                     void *arg)
{
    struct request *q = calloc(1, sizeof(*q));

    d->counters.claims++;
    if (!q) {
        on_claimed(arg, CLAIM_FAILED, 0, NULL); /* from within the call, this once: there is no memory to do it later */
        return;
    }
    *q = (struct request){.d = d, .arg = arg, .on_claimed = on_claimed, .is_claim = true, .takeover = takeover};
    strcpy(q->name, name);
    list_push_back(&d->pending, &q->link);
    if (d->state == DIRECTORY_UP)
        claim_send(q);
    else if (d->state == DIRECTORY_AWAY)
        claim_provisionally(q);
}

/* ---- Keeping --------------------------------------------------------------------------------------------------- */

static void on_renew_reply(void *arg, const redisReply *r)
{
    struct renewal *n = arg;
    struct claim *c = claim_find(n->d, n->name);
    char owner[NODE_ID_MAX + 1];
    uint64_t epoch;
    bool granted;

    if (r && !read_verdict(r, &granted, owner, &epoch)) {
        log_error_reply("renewal", n->name, r);
    } else if (r && !granted && c && c->epoch == n->epoch) {
        log_warn("directory", "%s: our claim (epoch %" PRIu64 ") is lost to %s (epoch %" PRIu64 ")", n->name, n->epoch,
                 owner[0] ? owner : "a later publishing", epoch);
        n->d->counters.claims_lost++;
        claim_drop(c);
        n->d->cfg.ops->on_claim_lost(n->d->cfg.arg, n->name, n->epoch, owner);
    }
    free(n);
}

static void renew(struct claim *c)
{
    struct directory *d = c->d;
    struct renewal *n = calloc(1, sizeof(*n));
    struct keys k;
    char epoch[24], lease[24], memory[24];

    if (!n)
        return; /* the next beat tries again */
    n->d = d;
    n->epoch = c->epoch;
    strcpy(n->name, c->name);
    keys_init(d, c->name, &k);
    snprintf(epoch, sizeof(epoch), "%" PRIu64, c->epoch);
    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    snprintf(memory, sizeof(memory), "%d", EPOCH_MEMORY_MS);
    const char *argv[] = {"EVAL", script_renew, "3",   k.stream,   k.epoch, k.all,
                          d->self.id, epoch,    lease, d->channel, c->name, memory};
    d->counters.commands++;
    redis_conn_command(d->commands, on_renew_reply, n, LEN(argv), argv, NULL);
}

void claims_renew(struct directory *d)
{
    hash_for_each(it, &d->claims) renew(container_of(it, struct claim, item));
}

/* ---- Giving up -------------------------------------------------------------------------------------------------- */

static void release(struct claim *c)
{
    struct directory *d = c->d;
    struct keys k;
    char epoch[24];

    keys_init(d, c->name, &k);
    snprintf(epoch, sizeof(epoch), "%" PRIu64, c->epoch);
    const char *argv[] = {"EVAL", script_release, "3", k.stream, k.epoch, k.all, d->self.id, epoch, d->channel, c->name};
    d->counters.commands++;
    redis_conn_command(d->commands, NULL, NULL, LEN(argv), argv, NULL);
    claim_drop(c);
}

void directory_release(struct directory *d, const char *name, uint64_t epoch)
{
    struct claim *c = claim_find(d, name);

    if (c && c->epoch == epoch)
        release(c);
}

void claims_release_all(struct directory *d)
{
    hash_for_each(it, &d->claims) release(container_of(it, struct claim, item));
}

void claims_clear(struct directory *d)
{
    hash_for_each(it, &d->claims) claim_drop(container_of(it, struct claim, item));
    hash_fini(&d->claims);
}
