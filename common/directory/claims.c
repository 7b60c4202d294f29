/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/directory_priv.h"

#include "base/log.h"
#include "directory/scripts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EPOCH_MEMORY_MS = 86400000, /* a day: how long a stream's highest epoch outlives its last publishing */
    REGISTER_BATCH = 100,       /* claims a script call: Redis does nothing else meanwhile */
    VERIFY_BEATS = 100,         /* in so many all claims have been looked at */
    VERIFY_BUCKETS = 8,         /* or, of few, so many a beat */
};

struct claim {
    struct hash_item item;
    struct directory *d;
    char name[STREAM_NAME_MAX + 1];
    uint64_t epoch;
};

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

/* Later than any before it, though the clock may have been set back, and Redis, which remembers, be away. */
static uint64_t proposed_epoch(struct directory *d, const char *name)
{
    const struct stream_record *last = streams_known(d, name);
    uint64_t epoch = worker_unix_us(d->worker) / 1000;

    if (last && last->epoch >= epoch)
        epoch = last->epoch + 1;
    if (d->last_epoch >= epoch)
        epoch = d->last_epoch + 1;
    return d->last_epoch = epoch;
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
        if (q->record.epoch > q->d->last_epoch)
            q->d->last_epoch = q->record.epoch;
        q->result = claim_keep(q->d, q->name, q->record.epoch) ? CLAIM_OK : CLAIM_FAILED;
    }
    request_answer(q);
}

void claim_send(struct request *q)
{
    struct directory *d = q->d;
    char stream[KEY_CAP], epochs[KEY_CAP], alive[KEY_CAP], proposed[24], lease[24], memory[24];

    snprintf(proposed, sizeof(proposed), "%" PRIu64, proposed_epoch(d, q->name));
    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    snprintf(memory, sizeof(memory), "%d", EPOCH_MEMORY_MS);
    const char *argv[] = {"EVAL", script_claim, "3", key_of(d, "stream:", q->name, stream), key_of(d, "epoch:", q->name, epochs),
                          key_of(d, "alive", "", alive), d->self.id, proposed, lease, q->takeover ? "1" : "0", d->prefix, q->name,
                          memory};
    q->sent = true;
    spread_soon(d);
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

static void claim_lost(struct claim *c, const char *owner, uint64_t epoch)
{
    struct directory *d = c->d;
    struct stream_record was = {.epoch = c->epoch};

    strcpy(was.name, c->name);
    log_warn("directory", "%s: our claim (epoch %" PRIu64 ") is lost to %s (epoch %" PRIu64 ")", was.name, was.epoch,
             owner[0] ? owner : "a later publishing", epoch);
    d->counters.claims_lost++;
    claim_drop(c);
    d->cfg.ops->on_claim_lost(d->cfg.arg, was.name, was.epoch, owner);
}

void claims_on_event(struct directory *d, const struct stream_record *record)
{
    struct claim *c = claim_find(d, record->name);

    if (c && record->epoch > c->epoch && strcmp(record->owner, d->self.id) != 0)
        claim_lost(c, record->owner, record->epoch);
}

/* name, owner, epoch, name ... of the lost ones. What was claimed anew since the question has the higher epoch. */
static void on_register_reply(void *arg, const redisReply *r)
{
    struct directory *d = arg;

    if (!r)
        return; /* the next connection puts all of them again */
    if (r->type != REDIS_REPLY_ARRAY) {
        log_error_reply("registration", "our streams", r);
        return;
    }
    for (size_t i = 0; i + 2 < r->elements; i += 3) {
        const redisReply *const *v = (const redisReply *const *)&r->element[i];
        if (v[0]->type != REDIS_REPLY_STRING || v[1]->type != REDIS_REPLY_STRING || v[2]->type != REDIS_REPLY_STRING)
            continue;
        struct claim *c = claim_find(d, v[0]->str);
        uint64_t epoch = strtoull(v[2]->str, NULL, 10);
        if (c && c->epoch < epoch)
            claim_lost(c, v[1]->str, epoch);
    }
}

/* Claims on their way to Redis: many in one call. */
struct batch {
    struct directory *d;
    bool announce;
    size_t n;
    char name[REGISTER_BATCH][STREAM_NAME_MAX + 1], epoch[REGISTER_BATCH][24];
};

static void batch_send(struct batch *b)
{
    struct directory *d = b->d;
    char owned[KEY_CAP], lease[24], memory[24];
    const char *argv[9 + 2 * REGISTER_BATCH] = {"EVAL", script_register, "1", key_of(d, "owned:", d->self.id, owned), d->self.id,
                                                lease, d->prefix, memory, b->announce ? "1" : "0"};
    int argc = 9;

    if (b->n == 0)
        return;
    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    snprintf(memory, sizeof(memory), "%d", EPOCH_MEMORY_MS);
    for (size_t i = 0; i < b->n; i++) {
        argv[argc++] = b->name[i];
        argv[argc++] = b->epoch[i];
    }
    b->n = 0;
    spread_soon(d);
    d->counters.commands++;
    redis_conn_command(d->commands, on_register_reply, d, argc, argv, NULL);
}

static void batch_push(struct batch *b, const struct claim *c)
{
    strcpy(b->name[b->n], c->name);
    snprintf(b->epoch[b->n], sizeof(b->epoch[0]), "%" PRIu64, c->epoch);
    if (++b->n == REGISTER_BATCH)
        batch_send(b);
}

void claims_register(struct directory *d, bool announce)
{
    struct batch b = {.d = d, .announce = announce};

    hash_for_each(it, &d->claims) batch_push(&b, container_of(it, struct claim, item));
    batch_send(&b);
}

void claims_verify(struct directory *d)
{
    struct batch b = {.d = d};
    size_t buckets = d->claims.n_buckets / VERIFY_BEATS + VERIFY_BUCKETS;

    while (buckets--)
        for (struct hash_item *it = d->claims.buckets[d->verify_at++ & (d->claims.n_buckets - 1)]; it; it = it->next)
            batch_push(&b, container_of(it, struct claim, item));
    batch_send(&b);
}

/* ---- Giving up -------------------------------------------------------------------------------------------------- */

static void send_release(struct directory *d, const char *name, uint64_t epoch)
{
    char stream[KEY_CAP], owned[KEY_CAP], text[24];
    const char *argv[] = {"EVAL", script_release, "2", key_of(d, "stream:", name, stream), key_of(d, "owned:", d->self.id, owned),
                          d->self.id, text, d->prefix, name};

    spread_soon(d);
    snprintf(text, sizeof(text), "%" PRIu64, epoch);
    d->counters.commands++;
    redis_conn_command(d->commands, NULL, NULL, LEN(argv), argv, NULL);
}

void directory_release(struct directory *d, const char *name, uint64_t epoch)
{
    struct claim *c = claim_find(d, name);

    if (!c || c->epoch != epoch)
        return;
    send_release(d, name, epoch);
    claim_drop(c);
}

/* It was released while Redis was away. */
void claims_on_owned(struct directory *d, const struct stream_record *record)
{
    const struct claim *c = claim_find(d, record->name);

    if (!c || c->epoch != record->epoch)
        send_release(d, record->name, record->epoch);
}

void claims_release_all(struct directory *d)
{
    hash_for_each(it, &d->claims) {
        struct claim *c = container_of(it, struct claim, item);
        send_release(d, c->name, c->epoch);
        claim_drop(c);
    }
}

void claims_clear(struct directory *d)
{
    hash_for_each(it, &d->claims) claim_drop(container_of(it, struct claim, item));
    hash_fini(&d->claims);
}
