/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/directory_priv.h"
#include "directory/scripts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STREAMS_MAX = 200000, /* kept here; what is beyond is asked for when needed */
    SWEEP_BUCKETS = 4096, /* looked at a beat for entries to forget */
    SCAN_COUNT = 500,
};

struct stream_entry {
    struct hash_item item;
    struct stream_record record;
    uint64_t confirmed_us; /* monotonic: last heard of */
    bool gone;             /* known not to be published; the epoch is the last one's */
    bool orphan;           /* its owner's lease is over: it is neither found nor listed */
};

static struct stream_entry *entry_find(const struct directory *d, const char *name)
{
    struct hash_item *it = hash_find(&d->streams, name, strlen(name));

    return it ? container_of(it, struct stream_entry, item) : NULL;
}

const struct stream_record *streams_known(const struct directory *d, const char *name)
{
    const struct stream_entry *e = entry_find(d, name);

    return e ? &e->record : NULL;
}

static struct stream_entry *entry_open(struct directory *d, const char *name)
{
    struct stream_entry *e = entry_find(d, name);

    if (e || d->streams.count >= STREAMS_MAX)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    strcpy(e->record.name, name);
    e->gone = true;
    hash_push(&d->streams, &e->item, e->record.name, strlen(name));
    return e;
}

/* What Redis or an event says of a stream; tells when it is news. record NULL: nobody publishes it, which of a name that nobody has heard
 * of is neither news nor worth a place: whoever reaches a node may ask for any. */
static void learn(struct directory *d, const char *name, const struct stream_record *record)
{
    if (!record && d->streams.count < STREAMS_MAX && !entry_find(d, name))
        return;
    struct stream_entry *e = entry_open(d, name);
    bool news = true;

    if (e) {
        bool another = record && (e->record.epoch != record->epoch || strcmp(e->record.owner, record->owner) != 0);
        news = record ? e->gone || another : !e->gone && !e->orphan;
        e->confirmed_us = worker_now_us(d->worker);
        e->orphan = record && !news && e->orphan;
        e->gone = !record;
        if (record)
            e->record = *record;
    }
    if (news)
        d->cfg.ops->on_stream(d->cfg.arg, name, record);
}

void streams_on_event(struct directory *d, const struct stream_record *record, bool gone)
{
    const struct stream_entry *e = entry_find(d, record->name);

    if (!gone && e && e->record.epoch > record->epoch)
        return; /* of a publishing that is over */
    learn(d, record->name, gone ? NULL : record);
}

static void set_orphan(struct directory *d, struct stream_entry *e, bool orphan)
{
    if (e->gone || e->orphan == orphan)
        return;
    e->orphan = orphan;
    d->cfg.ops->on_stream(d->cfg.arg, e->record.name, orphan ? NULL : &e->record);
}

void streams_on_owner(struct directory *d, const struct node_record *owner, bool gone)
{
    if (owner->role != NODE_ORIGIN)
        return;
    hash_for_each(it, &d->streams) {
        struct stream_entry *e = container_of(it, struct stream_entry, item);
        if (strcmp(e->record.owner, owner->id) == 0)
            set_orphan(d, e, gone);
    }
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

/* HMGET owner epoch. */
static bool read_record(const redisReply *r, const char *name, struct stream_record *out)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[0]->type != REDIS_REPLY_STRING ||
        r->element[1]->type != REDIS_REPLY_STRING)
        return false;
    *out = (struct stream_record){.epoch = strtoull(r->element[1]->str, NULL, 10)};
    strcpy(out->name, name);
    snprintf(out->owner, sizeof(out->owner), "%s", r->element[0]->str);
    return out->epoch != 0;
}

static void ask(struct directory *d, const char *name, redis_reply_fn *fn, void *arg)
{
    char key[KEY_CAP];
    const char *argv[] = {"HMGET", key_of(d, "stream:", name, key), "owner", "epoch"};

    d->counters.commands++;
    redis_conn_command(d->commands, fn, arg, LEN(argv), argv, NULL);
}

/* A node that we do not see may have died, and its streams are kept for a lease more: entries are many, and where Redis itself had stood
 * still all nodes are late. */
static bool is_doubtful(const struct directory *d, const struct stream_record *s)
{
    return d->state == DIRECTORY_UP && worker_now_us(d->worker) >= d->returning_until_us && !directory_node(d, s->owner);
}

/* What a dead node has published nobody publishes. */
static void on_alive_reply(void *arg, const redisReply *r)
{
    struct request *q = arg;

    q->sent = false;
    q->has_record = !r || r->type != REDIS_REPLY_INTEGER || r->integer != 0;
    struct stream_entry *e = entry_find(q->d, q->name);
    if (e && strcmp(e->record.owner, q->record.owner) == 0)
        set_orphan(q->d, e, !q->has_record);
    request_answer(q);
}

static void ask_alive(struct request *q)
{
    struct directory *d = q->d;
    char alive[KEY_CAP];
    const char *argv[] = {"EVAL", script_alive, "1", key_of(d, "alive", "", alive), q->record.owner};

    d->counters.commands++;
    q->sent = true;
    redis_conn_command(d->commands, on_alive_reply, q, LEN(argv), argv, NULL);
}

static void on_find_reply(void *arg, const redisReply *r)
{
    struct request *q = arg;

    q->sent = false;
    if (!r || r->type == REDIS_REPLY_ERROR) {
        request_fail(q);
        return;
    }
    q->known = true;
    q->has_record = read_record(r, q->name, &q->record);
    learn(q->d, q->name, q->has_record ? &q->record : NULL);
    if (q->has_record && is_doubtful(q->d, &q->record))
        ask_alive(q);
    else
        request_answer(q);
}

void find_send(struct request *q)
{
    q->sent = true;
    ask(q->d, q->name, on_find_reply, q);
}

/* An entry says yes for a lease after it was last confirmed, and for as long as Redis is away; "no" is always asked
 * anew (the relay remembers it for a moment). */
static bool answer_from_memory(struct directory *d, struct request *q)
{
    const struct stream_entry *e = entry_find(d, q->name);

    if (!e || e->gone || is_doubtful(d, &e->record) ||
        (d->state == DIRECTORY_UP && worker_now_us(d->worker) - e->confirmed_us > d->cfg.lease_us))
        return false;
    q->known = q->has_record = true;
    q->record = e->record;
    d->counters.finds_cached++;
    request_answer(q);
    return true;
}

void directory_find(struct directory *d, const char *name,
                    void (*on_found)(void *arg, const struct stream_record *record, bool known), void *arg)
{
    struct request *q = calloc(1, sizeof(*q));

    d->counters.finds++;
    if (!q) {
        on_found(arg, NULL, false); /* from within the call, this once: there is no memory to do it later */
        return;
    }
    *q = (struct request){.d = d, .arg = arg, .on_found = on_found};
    strcpy(q->name, name);
    list_push_back(&d->pending, &q->link);
    if (answer_from_memory(d, q))
        return;
    if (d->state == DIRECTORY_UP)
        find_send(q);
    else if (d->state == DIRECTORY_AWAY)
        request_fail(q);
}

void directory_each_stream(const struct directory *d, bool (*fn)(void *arg, const struct stream_record *s), void *arg)
{
    hash_for_each(it, &d->streams) {
        const struct stream_entry *e = container_of(it, struct stream_entry, item);
        if (!e->gone && !e->orphan && !fn(arg, &e->record))
            return;
    }
}

/* ---- Repair: what events missed ------------------------------------------------------------------------------------ */

struct check {
    struct directory *d;
    char name[STREAM_NAME_MAX + 1];
};

static void on_check_reply(void *arg, const redisReply *r)
{
    struct check *c = arg;
    struct stream_record record;

    if (r && r->type != REDIS_REPLY_ERROR)
        learn(c->d, c->name, read_record(r, c->name, &record) ? &record : NULL);
    free(c);
}

static void check(struct directory *d, const char *name)
{
    struct check *c = calloc(1, sizeof(*c));

    if (!c || !stream_name_valid(name)) {
        free(c);
        return;
    }
    c->d = d;
    strcpy(c->name, name);
    ask(d, name, on_check_reply, c);
}

/* Reading all streams of one owner. */
struct scan {
    struct directory *d;
    uint64_t began_us;
    char owner[NODE_ID_MAX + 1];
};

/* What we thought that the owner has, and the scan has not met. */
static void check_unseen(const struct scan *s)
{
    hash_for_each(it, &s->d->streams) {
        const struct stream_entry *e = container_of(it, struct stream_entry, item);
        if (!e->gone && e->confirmed_us < s->began_us && strcmp(e->record.owner, s->owner) == 0)
            check(s->d, e->record.name);
    }
}

static void take_owned(const struct scan *s, const redisReply *name, const redisReply *epoch)
{
    struct stream_record record = {0};

    if (name->type != REDIS_REPLY_STRING || epoch->type != REDIS_REPLY_STRING || !stream_name_valid(name->str))
        return;
    strcpy(record.name, name->str);
    strcpy(record.owner, s->owner);
    record.epoch = strtoull(epoch->str, NULL, 10);
    if (strcmp(s->owner, s->d->self.id) == 0)
        claims_on_owned(s->d, &record);
    streams_on_event(s->d, &record, false);
}

static void on_scan_reply(void *arg, const redisReply *r);

static void scan_on(struct scan *s, const char *cursor)
{
    char key[KEY_CAP], count[16];
    const char *argv[] = {"HSCAN", key_of(s->d, "owned:", s->owner, key), cursor, "COUNT", count};

    snprintf(count, sizeof(count), "%d", SCAN_COUNT);
    s->d->counters.commands++;
    s->d->counters.scans++;
    redis_conn_command(s->d->commands, on_scan_reply, s, LEN(argv), argv, NULL);
}

static void on_scan_reply(void *arg, const redisReply *r)
{
    struct scan *s = arg;

    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 2 || r->element[1]->type != REDIS_REPLY_ARRAY) {
        free(s);
        return;
    }
    const redisReply *owned = r->element[1];
    for (size_t i = 0; i + 1 < owned->elements; i += 2)
        take_owned(s, owned->element[i], owned->element[i + 1]);
    if (strcmp(r->element[0]->str, "0") != 0) {
        scan_on(s, r->element[0]->str);
        return;
    }
    check_unseen(s);
    free(s);
}

static void scan(struct directory *d, const char *owner)
{
    struct scan *s = calloc(1, sizeof(*s));

    if (!s)
        return; /* the next check of this owner tries again */
    s->d = d;
    s->began_us = worker_now_us(d->worker);
    strcpy(s->owner, owner);
    scan_on(s, "0");
}

void streams_on_up(struct directory *d)
{
    d->scan_due = true;
}

void streams_on_nodes(struct directory *d)
{
    if (!d->scan_due)
        return;
    d->scan_due = false;
    for (size_t i = 0; i < d->nodes.n; i++)
        if (d->nodes.v[i].role == NODE_ORIGIN)
            scan(d, d->nodes.v[i].id);
}

static size_t known_of(const struct directory *d, const char *owner)
{
    size_t n = 0;

    hash_for_each(it, &d->streams) {
        const struct stream_entry *e = container_of(it, struct stream_entry, item);
        n += !e->gone && strcmp(e->record.owner, owner) == 0;
    }
    return n;
}

struct count {
    struct directory *d;
    char owner[NODE_ID_MAX + 1];
};

/* Events may be under way, so it takes two counts in a row to doubt what we know. */
static void on_count_reply(void *arg, const redisReply *r)
{
    struct count *c = arg;
    struct directory *d = c->d;
    bool differs = r && r->type == REDIS_REPLY_INTEGER && (size_t)r->integer != known_of(d, c->owner);

    if (differs && strcmp(d->suspect, c->owner) == 0)
        scan(d, c->owner);
    strcpy(d->suspect, differs && !d->suspect[0] ? c->owner : "");
    free(c);
}

/* One owner a beat: has it as many streams as we know of? */
static void count_next(struct directory *d)
{
    size_t left = d->nodes.n;
    char key[KEY_CAP];

    if (!d->suspect[0]) {
        do
            d->check_at = (d->check_at + 1) % d->nodes.n;
        while (d->nodes.v[d->check_at].role != NODE_ORIGIN && --left);
        if (!left)
            return;
    }
    struct count *c = calloc(1, sizeof(*c));
    if (!c)
        return;
    c->d = d;
    strcpy(c->owner, d->suspect[0] ? d->suspect : d->nodes.v[d->check_at].id);
    const char *argv[] = {"HLEN", key_of(d, "owned:", c->owner, key)};
    d->counters.commands++;
    redis_conn_command(d->commands, on_count_reply, c, LEN(argv), argv, NULL);
}

void streams_sweep(struct directory *d)
{
    uint64_t now_us = worker_now_us(d->worker);

    for (size_t i = 0; i < d->streams.n_buckets && i < SWEEP_BUCKETS; i++) {
        struct hash_item *it = d->streams.buckets[d->sweep_at++ & (d->streams.n_buckets - 1)];
        while (it) {
            struct stream_entry *e = container_of(it, struct stream_entry, item);
            it = it->next;
            if (!e->gone || now_us - e->confirmed_us < d->cfg.lease_us)
                continue;
            hash_remove(&d->streams, &e->item);
            free(e);
        }
    }
    if (d->streams.count < STREAMS_MAX)
        count_next(d);
}

void streams_clear(struct directory *d)
{
    hash_for_each(it, &d->streams) {
        struct stream_entry *e = container_of(it, struct stream_entry, item);
        hash_remove(&d->streams, it);
        free(e);
    }
    hash_fini(&d->streams);
}
