/* SPDX-License-Identifier: Apache-2.0
 *
 * One script call a beat renews our lease, writes our record when it has changed enough to matter, and answers with the records that
 * others have changed since the last time. So what a node reads grows with what happens, not with the number of nodes.
 * When the count of nodes is not what Redis says, one has gone unnoticed: all records are read anew.
 */
#include "directory/choose.h"
#include "directory/directory_priv.h"
#include "directory/record.h"
#include "directory/scripts.h"

#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGE = 500,            /* records an answer */
    LOAD_PERMILLE = 50,    /* what others choose by: less is no news */
    EGRESS_BPS = 1000000,
    TOLD_BEATS = 10,       /* small changes are told so often */
};

/* ---- The table --------------------------------------------------------------------------------------------------- */

static size_t table_find(const struct node_table *t, const char *id)
{
    uint64_t code = hash_code(id, strlen(id));
    size_t i = 0;

    while (i < t->n && (t->codes[i] != code || strcmp(t->v[i].id, id) != 0))
        i++;
    return i;
}

static bool table_push(struct node_table *t, const struct node_record *n)
{
    if (t->n == t->cap) {
        size_t cap = t->cap ? t->cap * 2 : 16;
        struct node_record *v = realloc(t->v, cap * sizeof(*v));
        if (!v)
            return false;
        t->v = v;
        uint64_t *codes = realloc(t->codes, cap * sizeof(*codes));
        if (!codes)
            return false;
        t->codes = codes;
        t->cap = cap;
    }
    t->codes[t->n] = hash_code(n->id, strlen(n->id));
    t->v[t->n++] = *n;
    return true;
}

static void table_remove(struct node_table *t, size_t at)
{
    t->v[at] = t->v[--t->n];
    t->codes[at] = t->codes[t->n];
}

static void table_fini(struct node_table *t)
{
    free(t->v);
    free(t->codes);
    *t = (struct node_table){0};
}

size_t directory_nodes(const struct directory *d, const struct node_record **v)
{
    *v = d->nodes.v;
    return d->nodes.n;
}

const struct node_record *directory_node(const struct directory *d, const char *id)
{
    size_t at = table_find(&d->nodes, id);

    return at < d->nodes.n ? &d->nodes.v[at] : NULL;
}

/* ---- What is news -------------------------------------------------------------------------------------------------- */

/* What others act on when they hear it; load changes every second. */
static bool same_place(const struct node_record *a, const struct node_record *b)
{
    return a->role == b->role && a->draining == b->draining && a->started_us == b->started_us &&
           strcmp(a->region, b->region) == 0 && strcmp(a->pipe, b->pipe) == 0 &&
           a->pipe_workers == b->pipe_workers && strcmp(a->http, b->http) == 0;
}

static bool is_full(const struct node_record *n)
{
    return node_load_permille(n) >= 1000;
}

/* What others should know at once. */
static bool is_urgent(const struct node_record *before, const struct node_record *now)
{
    return !same_place(before, now) || is_full(before) != is_full(now);
}

/* By an eighth, and by no less than least. */
static bool moved(uint64_t from, uint64_t to, uint64_t least)
{
    uint64_t by = from > to ? from - to : to - from;

    return by >= least && by * 8 >= from;
}

static bool load_moved(const struct node_record *a, const struct node_record *b)
{
    uint32_t from = a->load_permille, to = b->load_permille;

    return (from > to ? from - to : to - from) >= LOAD_PERMILLE || moved(a->viewers, b->viewers, 1) ||
           moved(a->streams, b->streams, 1) || moved(a->egress_bps, b->egress_bps, EGRESS_BPS);
}

/* Of self, against what was written last. */
enum change { CHANGE_NONE, CHANGE_LOAD, CHANGE_URGENT };

static enum change change_of(const struct directory *d)
{
    if (!d->written.id[0] || d->announce || is_urgent(&d->written, &d->self))
        return CHANGE_URGENT;
    if (load_moved(&d->written, &d->self))
        return CHANGE_LOAD;
    return d->beats_untold >= TOLD_BEATS && memcmp(&d->written, &d->self, sizeof(d->self)) != 0 ? CHANGE_LOAD : CHANGE_NONE;
}

/* ---- Reading ---------------------------------------------------------------------------------------------------------- */

/* Into the table, or beside it while all are read anew. Returns whether it is news to consumers of the list. */
static bool take_record(struct directory *d, const redisReply *e)
{
    struct node_table *t = d->reading_all ? &d->fresh : &d->nodes;
    struct node_record n;

    if (e->type != REDIS_REPLY_STRING)
        return false;
    if (record_parse(&n, (const uint8_t *)e->str, e->len) != 0) {
        LOG_LIMITED("directory", "a node record of %zu bytes is not understood", e->len);
        d->strange_nodes += d->reading_all;
        return false;
    }
    if (strcmp(n.id, d->self.id) == 0)
        return false;
    size_t at = table_find(t, n.id);
    if (at == t->n) {
        if (!d->reading_all)
            streams_on_owner(d, &n, false);
        return table_push(t, &n);
    }
    bool news = !same_place(&t->v[at], &n);
    t->v[at] = n;
    return news;
}

/* Those of before that are not in the list: kept while nodes are still coming back to a Redis that came back. */
static void keep_returning(struct directory *d, const struct node_table *before)
{
    if (worker_now_us(d->worker) >= d->returning_until_us)
        return;
    for (size_t i = 0; i < before->n; i++)
        if (!directory_node(d, before->v[i].id))
            table_push(&d->nodes, &before->v[i]);
}

static void read_all(struct directory *d)
{
    table_fini(&d->fresh);
    d->strange_nodes = 0;
    d->reading_all = table_push(&d->fresh, &d->self);
    d->version = 0;
    d->read_all_us = worker_now_us(d->worker);
}

static void tell_owners(struct directory *d, const struct node_table *before)
{
    for (size_t i = 0; i < before->n; i++)
        if (!directory_node(d, before->v[i].id))
            streams_on_owner(d, &before->v[i], true);
    for (size_t i = 0; i < d->nodes.n; i++)
        if (table_find(before, d->nodes.v[i].id) == before->n)
            streams_on_owner(d, &d->nodes.v[i], false);
}

/* All have been read: that is the list now. Returns whether it differs. */
static bool finish_reading(struct directory *d)
{
    struct node_table before = d->nodes;

    d->nodes = d->fresh;
    d->fresh = (struct node_table){0};
    d->reading_all = false;
    keep_returning(d, &before);
    bool news = d->nodes.n != before.n;
    for (size_t i = 0; i < before.n && !news; i++) {
        const struct node_record *now = directory_node(d, before.v[i].id);
        news = !now || !same_place(now, &before.v[i]);
    }
    tell_owners(d, &before);
    table_fini(&before);
    streams_on_nodes(d);
    return news;
}

/* ---- The beat's script -------------------------------------------------------------------------------------------------- */

struct answer {
    bool had; /* our lease had not run out */
    uint64_t version;
    size_t alive;
    const redisReply *records;
    bool news_left; /* to be published */
};

static bool read_answer(const redisReply *r, struct answer *out)
{
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 5 || r->element[0]->type != REDIS_REPLY_INTEGER ||
        r->element[1]->type != REDIS_REPLY_STRING || r->element[2]->type != REDIS_REPLY_INTEGER ||
        r->element[3]->type != REDIS_REPLY_ARRAY || r->element[4]->type != REDIS_REPLY_INTEGER)
        return false;
    *out = (struct answer){.had = r->element[0]->integer == 1,
                           .version = strtoull(r->element[1]->str, NULL, 10),
                           .alive = (size_t)r->element[2]->integer,
                           .records = r->element[3],
                           .news_left = r->element[4]->integer > 0};
    return true;
}

static void on_sync_reply(void *arg, const redisReply *r)
{
    struct directory *d = arg;
    struct answer a;
    bool news = false;

    d->syncing = false;
    if (!r || !read_answer(r, &a)) {
        d->written.id[0] = '\0'; /* perhaps nothing was written */
        if (r)
            log_error("directory", "redis answered to the lease's renewal: %s", r->type == REDIS_REPLY_ERROR ? r->str : "something unexpected");
        return;
    }
    if (!a.had || !d->registered)
        claims_register(d, true);
    d->registered = true;
    if (a.news_left)
        spread_soon(d);
    for (size_t i = 0; i < a.records->elements; i++)
        news |= take_record(d, a.records->element[i]);
    d->version = a.version;
    if (a.records->elements == PAGE)
        d->sync_again = true;
    else if (d->reading_all)
        news = finish_reading(d);
    else if (d->nodes.n + d->strange_nodes != a.alive && worker_now_us(d->worker) - d->read_all_us > d->cfg.lease_us / 4) {
        read_all(d);
        d->sync_again = true;
    }
    if (d->sync_again)
        nodes_sync(d, false);
    if (news)
        d->cfg.ops->on_nodes(d->cfg.arg);
}

void nodes_sync(struct directory *d, bool announce)
{
    static const char *const words[] = {[CHANGE_NONE] = "0", [CHANGE_LOAD] = "1", [CHANGE_URGENT] = "2"};
    char alive[KEY_CAP], records[KEY_CAP], changes[KEY_CAP], loads[KEY_CAP], versions[KEY_CAP], lease[24], known[24], most[16];
    uint8_t record[RECORD_BYTES_MAX];

    d->announce |= announce;
    d->sync_again = d->syncing;
    if (d->syncing || d->on_closed)
        return;
    enum change change = change_of(d);
    bool want_loads = worker_now_us(d->worker) < d->loads_until_us;
    size_t len = record_write(record, sizeof(record), &d->self);
    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    snprintf(known, sizeof(known), "%" PRIu64, d->loads_anew ? 0 : d->version);
    d->loads_anew = false;
    snprintf(most, sizeof(most), "%d", PAGE);
    const char *argv[] = {"EVAL", script_sync, "6", key_of(d, "alive", "", alive), key_of(d, "records", "", records),
                          key_of(d, "changes", "", changes), key_of(d, "loads", "", loads), key_of(d, "version", "", versions),
                          want_loads ? loads : changes, d->self.id, (const char *)record, lease, words[change],
                          d->announce ? "1" : "0", d->registered ? "0" : "1", known, most, d->prefix};
    size_t lens[LEN(argv)];
    for (size_t i = 0; i < LEN(argv); i++)
        lens[i] = argv[i] == (const char *)record ? len : strlen(argv[i]);
    d->beats_untold = change ? 0 : d->beats_untold + 1;
    if (change)
        d->written = d->self;
    d->syncing = true;
    d->announce = false;
    d->counters.commands++;
    redis_conn_command(d->commands, on_sync_reply, d, LEN(argv), argv, lens);
}

void directory_want_loads(struct directory *d)
{
    uint64_t now_us = worker_now_us(d->worker);
    bool again = now_us < d->loads_until_us;

    d->loads_until_us = now_us + LOADS_MS * 1000;
    if (again || d->state != DIRECTORY_UP)
        return;
    d->loads_anew = true; /* from their list's beginning: what it says is not in the list of changes */
    nodes_sync(d, false);
}

/* ---- Ourselves -------------------------------------------------------------------------------------------------------------- */

void directory_set_self(struct directory *d, const struct node_record *self)
{
    bool urgent = is_urgent(&d->self, self);

    d->self = *self;
    d->nodes.v[0] = *self;
    if (urgent && d->state == DIRECTORY_UP)
        nodes_sync(d, true);
}

int nodes_init(struct directory *d)
{
    return table_push(&d->nodes, &d->self) ? 0 : -1;
}

void nodes_on_up(struct directory *d)
{
    d->written.id[0] = '\0';
    d->sync_again = false;
    read_all(d);
    nodes_sync(d, true);
}

void nodes_on_gone(struct directory *d, const char *id)
{
    size_t at = table_find(&d->nodes, id);

    if (at == 0 || at == d->nodes.n || worker_now_us(d->worker) < d->returning_until_us)
        return;
    const struct node_record gone = d->nodes.v[at];
    table_remove(&d->nodes, at);
    streams_on_owner(d, &gone, true);
    d->cfg.ops->on_nodes(d->cfg.arg);
}

void nodes_leave(struct directory *d)
{
    char alive[KEY_CAP], records[KEY_CAP], changes[KEY_CAP], loads[KEY_CAP];
    const char *argv[] = {"EVAL", script_leave, "4", key_of(d, "alive", "", alive), key_of(d, "records", "", records),
                          key_of(d, "changes", "", changes), key_of(d, "loads", "", loads), d->self.id, d->prefix};

    redis_conn_command(d->commands, NULL, NULL, LEN(argv), argv, NULL);
}

void nodes_clear(struct directory *d)
{
    table_fini(&d->nodes);
    table_fini(&d->fresh);
}
