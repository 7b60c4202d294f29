/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/directory.h"

#include "base/log.h"
#include "base/random.h"
#include "directory/directory_priv.h"
#include "directory/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOOK_US = 200000 /* a hundred nodes that start at once are asked for once, and not by all at the same time */ };

enum { RETURN_US = 3000000 /* twice the longest pause between two attempts to connect (redis_conn.c) */ };

const char *node_role_name(enum node_role role)
{
    static const char *const names[] = {[NODE_ORIGIN] = "origin", [NODE_BACKBONE] = "backbone", [NODE_EDGE] = "edge"};
    return names[role];
}

const char *directory_state_name(enum directory_state s)
{
    static const char *const names[] = {
        [DIRECTORY_CONNECTING] = "connecting", [DIRECTORY_UP] = "up", [DIRECTORY_AWAY] = "away"};
    return names[s];
}

char *key_of(const struct directory *d, const char *kind, const char *name, char out[KEY_CAP])
{
    snprintf(out, KEY_CAP, "%s%s%s", d->prefix, kind, name);
    return out;
}

/* ---- Requests ----------------------------------------------------------------------------------------------- */

void request_answer(struct request *q)
{
    list_remove(&q->link);
    list_push_back(&q->d->answered, &q->link);
    timer_start(&q->d->soon, 0);
}

void request_fail(struct request *q)
{
    if (q->is_claim && !q->d->on_closed) {
        claim_provisionally(q);
        return;
    }
    const struct stream_record *last = streams_known(q->d, q->name);
    q->result = CLAIM_FAILED;
    q->known = q->has_record = last && last->epoch;
    if (last)
        q->record = *last;
    request_answer(q);
}

static void answer_all(struct directory *d)
{
    while (!list_empty(&d->answered)) {
        struct request *q = container_of(d->answered.next, struct request, link);
        list_remove(&q->link);
        if (q->on_claimed)
            q->on_claimed(q->arg, q->result, q->record.epoch, q->record.owner);
        else
            q->on_found(q->arg, q->has_record ? &q->record : NULL, q->known);
        free(q);
    }
}

/* Those that wait for Redis to be there, or not to be. */
static void settle_pending(struct directory *d)
{
    list_for_each(l, &d->pending) {
        struct request *q = container_of(l, struct request, link);
        if (q->sent)
            continue;
        if (d->state == DIRECTORY_UP)
            (q->is_claim ? claim_send : find_send)(q);
        else
            request_fail(q);
    }
}

/* ---- Nodes --------------------------------------------------------------------------------------------------- */

size_t directory_nodes(const struct directory *d, const struct node_record **v)
{
    *v = d->nodes;
    return d->n_nodes;
}

const struct node_record *directory_node(const struct directory *d, const char *id)
{
    for (size_t i = 0; i < d->n_nodes; i++)
        if (strcmp(d->nodes[i].id, id) == 0)
            return &d->nodes[i];
    return NULL;
}

static bool node_push(struct directory *d, const struct node_record *n)
{
    if (d->n_nodes == d->cap_nodes) {
        size_t cap = d->cap_nodes ? d->cap_nodes * 2 : 16;
        struct node_record *v = realloc(d->nodes, cap * sizeof(*v));
        if (!v)
            return false;
        d->nodes = v;
        d->cap_nodes = cap;
    }
    d->nodes[d->n_nodes++] = *n;
    return true;
}

/* What others act on; load changes every second and is no news. */
static bool same_place(const struct node_record *a, const struct node_record *b)
{
    return a->role == b->role && a->draining == b->draining && a->started_us == b->started_us &&
           strcmp(a->region, b->region) == 0 && strcmp(a->pipe, b->pipe) == 0 && strcmp(a->http, b->http) == 0;
}

/* Those of before that are not in the list: kept while nodes are still coming back to a Redis that came back. */
static void keep_returning(struct directory *d, const struct node_record *before, size_t n)
{
    if (worker_now_us(d->worker) >= d->returning_until_us)
        return;
    for (size_t i = 0; i < n; i++)
        if (!directory_node(d, before[i].id))
            node_push(d, &before[i]);
}

/* The whole list anew, from MGET of all ids. */
static void on_nodes_reply(void *arg, const redisReply *r)
{
    struct directory *d = arg;
    struct node_record *before = d->nodes;
    size_t n_before = d->n_nodes;
    bool news;

    if (!r || r->type != REDIS_REPLY_ARRAY)
        return;
    d->nodes = NULL;
    d->n_nodes = d->cap_nodes = 0;
    node_push(d, &d->self);
    for (size_t i = 0; i < r->elements; i++) {
        const redisReply *e = r->element[i];
        struct node_record n;
        if (e->type != REDIS_REPLY_STRING)
            continue; /* its lease ran out */
        if (record_parse(&n, (const uint8_t *)e->str, e->len) != 0)
            LOG_LIMITED("directory", "a node record of %zu bytes is not understood", e->len);
        else if (strcmp(n.id, d->self.id) != 0)
            node_push(d, &n);
    }
    keep_returning(d, before, n_before);
    news = d->n_nodes != n_before;
    for (size_t i = 0; i < n_before && !news; i++) {
        const struct node_record *now = directory_node(d, before[i].id);
        news = !now || !same_place(now, &before[i]);
    }
    free(before);
    if (news)
        d->cfg.ops->on_nodes(d->cfg.arg);
}

/* MGET's arguments: the keys of the ids in r. */
static void on_ids_reply(void *arg, const redisReply *r)
{
    struct directory *d = arg;

    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements == 0)
        return;
    char(*keys)[KEY_CAP] = malloc(r->elements * sizeof(*keys));
    const char **argv = malloc((r->elements + 1) * sizeof(*argv));
    if (keys && argv) {
        argv[0] = "MGET";
        for (size_t i = 0; i < r->elements; i++)
            argv[i + 1] = key_of(d, "node:", r->element[i]->type == REDIS_REPLY_STRING ? r->element[i]->str : "", keys[i]);
        d->counters.commands++;
        redis_conn_command(d->commands, on_nodes_reply, d, (int)r->elements + 1, argv, NULL);
    }
    free(keys);
    free(argv);
}

static void ask_nodes(struct directory *d)
{
    char key[KEY_CAP];
    const char *argv[] = {"SMEMBERS", key_of(d, "nodes", "", key)};

    d->counters.commands++;
    redis_conn_command(d->commands, on_ids_reply, d, LEN(argv), argv, NULL);
}

/* ---- Ourselves -------------------------------------------------------------------------------------------------- */

static void write_self(struct directory *d)
{
    char key[KEY_CAP], all[KEY_CAP], lease[24];
    uint8_t record[RECORD_BYTES_MAX];
    size_t len = record_write(record, sizeof(record), &d->self);

    snprintf(lease, sizeof(lease), "%" PRIu64, d->cfg.lease_us / 1000);
    const char *set[] = {"SET", key_of(d, "node:", d->self.id, key), (const char *)record, "PX", lease};
    const size_t set_len[] = {3, strlen(key), len, 2, strlen(lease)};
    const char *add[] = {"SADD", key_of(d, "nodes", "", all), d->self.id};
    redis_conn_command(d->commands, NULL, NULL, LEN(set), set, set_len);
    redis_conn_command(d->commands, NULL, NULL, LEN(add), add, NULL);
    d->counters.commands += 2;
}

static void announce_self(struct directory *d, const char *word)
{
    char text[NODE_ID_MAX + 16];
    const char *argv[] = {"PUBLISH", d->channel, text};

    snprintf(text, sizeof(text), "%s %s", word, d->self.id);
    d->counters.commands++;
    redis_conn_command(d->commands, NULL, NULL, LEN(argv), argv, NULL);
}

void directory_set_self(struct directory *d, const struct node_record *self)
{
    bool news = !same_place(&d->self, self);

    d->self = *self;
    if (d->n_nodes)
        d->nodes[0] = *self;
    if (news && d->state == DIRECTORY_UP) {
        write_self(d);
        announce_self(d, "node");
    }
}

static void remove_self(struct directory *d)
{
    char key[KEY_CAP], all[KEY_CAP];
    const char *del[] = {"DEL", key_of(d, "node:", d->self.id, key)};
    const char *rem[] = {"SREM", key_of(d, "nodes", "", all), d->self.id};

    redis_conn_command(d->commands, NULL, NULL, LEN(del), del, NULL);
    redis_conn_command(d->commands, NULL, NULL, LEN(rem), rem, NULL);
}

/* ---- Redis comes and goes ------------------------------------------------------------------------------------------ */

static void on_up(void *arg)
{
    struct directory *d = arg;

    if (!redis_conn_up(d->commands) || !redis_conn_up(d->events))
        return; /* both are needed: no event may be missed between the scan and the subscription */
    log_info("directory", "redis at %s is there", d->address);
    if (d->counters.connects++)
        d->returning_until_us = worker_now_us(d->worker) + d->cfg.lease_us + RETURN_US;
    d->state = DIRECTORY_UP;
    write_self(d);
    announce_self(d, "node");
    claims_renew(d);
    presence_renew(d, true);
    ask_nodes(d);
    streams_on_up(d);
    settle_pending(d);
    timer_start(&d->beat, d->cfg.lease_us / 3);
}

static void on_down(void *arg, const char *why)
{
    struct directory *d = arg;

    d->counters.failures++;
    if (d->state != DIRECTORY_AWAY)
        log_warn("directory", "redis at %s is away (%s): what is known goes on being served; trying again", d->address, why);
    d->state = DIRECTORY_AWAY;
    timer_stop(&d->beat);
    settle_pending(d);
}

static void on_beat(struct timer *t, uint64_t now_us)
{
    struct directory *d = container_of(t, struct directory, beat);

    (void)now_us;
    timer_start(t, d->cfg.lease_us / 3);
    write_self(d);
    claims_renew(d);
    presence_renew(d, false);
    ask_nodes(d);
    streams_sweep(d);
}

static void on_look(struct timer *t, uint64_t now_us)
{
    struct directory *d = container_of(t, struct directory, look);

    (void)now_us;
    if (d->state == DIRECTORY_UP)
        ask_nodes(d);
}

static void on_soon(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    answer_all(container_of(t, struct directory, soon));
}

static void on_message(void *arg, const char *text, size_t len)
{
    struct directory *d = arg;
    struct event e;

    d->counters.events++;
    if (event_parse(&e, text, len) != 0) {
        LOG_LIMITED("directory", "an event of %zu bytes is not understood", len);
        return;
    }
    switch (e.kind) {
    case EVENT_STREAM:
    case EVENT_GONE:
        streams_on_event(d, &e.stream, e.kind == EVENT_GONE);
        break;
    case EVENT_NODE:
    case EVENT_NODE_GONE:
        if (strcmp(e.node, d->self.id) != 0 && !timer_running(&d->look))
            timer_start(&d->look, LOOK_US / 2 + random_u32() % LOOK_US);
        break;
    }
}

/* ---- Life ----------------------------------------------------------------------------------------------------------- */

enum directory_state directory_state(const struct directory *d)
{
    return d->state;
}

const struct directory_counters *directory_counters(const struct directory *d)
{
    return &d->counters;
}

static void directory_destroy(struct directory *d)
{
    redis_conn_close(&d->commands);
    redis_conn_close(&d->events);
    timer_stop(&d->beat);
    timer_stop(&d->soon);
    timer_stop(&d->look);
    list_for_each(l, &d->pending) {
        list_remove(l);
        free(container_of(l, struct request, link));
    }
    list_for_each(l, &d->answered) {
        list_remove(l);
        free(container_of(l, struct request, link));
    }
    if (d->claims.buckets)
        claims_clear(d);
    if (d->streams.buckets)
        streams_clear(d);
    if (d->present.buckets)
        presence_clear(d);
    free(d->nodes);
    free(d);
}

static int open_connections(struct directory *d)
{
    struct redis_conn_cfg cfg = {.address = d->address,
                                 .sentinels = d->sentinels.n ? &d->sentinels : NULL,
                                 .password = d->password,
                                 .database = d->cfg.database,
                                 .on_up = on_up,
                                 .on_down = on_down,
                                 .on_message = on_message,
                                 .arg = d};

    if (redis_conn_open(&d->commands, d->worker, &cfg) != 0)
        return -1;
    cfg.channel = d->channel;
    return redis_conn_open(&d->events, d->worker, &cfg);
}

static bool is_host_port(const char *address)
{
    const char *colon = strrchr(address, ':');

    return colon && colon != address && colon[1] && strspn(colon + 1, "0123456789") == strlen(colon + 1);
}

/* NULL: all is well; else what is wrong. */
static const char *check_cfg(const struct directory_cfg *cfg)
{
    if (!is_host_port(cfg->address))
        return "expected host:port, as 127.0.0.1:6379";
    for (size_t i = 0; i < cfg->n_sentinels; i++)
        if (!is_host_port(cfg->sentinels[i]))
            return "expected a sentinel as host:port, as 127.0.0.1:26379";
    if (cfg->n_sentinels > SENTINELS_MAX)
        return "too many sentinels";
    if (cfg->n_sentinels && (!cfg->master_name[0] || strlen(cfg->master_name) > SENTINEL_TEXT_MAX))
        return "sentinels need a master name";
    const struct directory *d = NULL;
    if (strlen(cfg->address) >= sizeof(d->address) || strlen(cfg->password) >= sizeof(d->password) ||
        strlen(cfg->prefix) > PREFIX_MAX)
        return "address, password or prefix is too long";
    return NULL;
}

static void copy_sentinels(struct directory *d, const struct directory_cfg *cfg)
{
    d->sentinels.n = cfg->n_sentinels;
    for (size_t i = 0; i < cfg->n_sentinels; i++)
        strcpy(d->sentinels.address[i], cfg->sentinels[i]);
    if (cfg->n_sentinels) {
        strcpy(d->sentinels.master_name, cfg->master_name);
        snprintf(d->address, sizeof(d->address), "%.200s (by sentinels)", cfg->master_name);
    }
}

int directory_open(struct directory **out, struct worker *w, const struct directory_cfg *cfg, const char **error)
{
    struct directory *d;

    *error = check_cfg(cfg);
    if (*error)
        return -1;
    *error = "out of memory";
    d = calloc(1, sizeof(*d));
    if (!d)
        return -1;
    d->cfg = *cfg;
    d->self = cfg->self;
    d->worker = w;
    d->state = DIRECTORY_CONNECTING;
    strcpy(d->address, cfg->address);
    copy_sentinels(d, cfg);
    strcpy(d->password, cfg->password);
    strcpy(d->prefix, cfg->prefix);
    key_of(d, "events", "", d->channel);
    list_init(&d->pending);
    list_init(&d->answered);
    timer_init(&d->beat, w, on_beat);
    timer_init(&d->soon, w, on_soon);
    timer_init(&d->look, w, on_look);
    if (hash_init(&d->streams) != 0 || hash_init(&d->claims) != 0 || hash_init(&d->present) != 0 || !node_push(d, &cfg->self) ||
        open_connections(d) != 0) {
        directory_destroy(d);
        return -1;
    }
    *out = d;
    return 0;
}

static void on_closing_due(struct timer *t, uint64_t now_us)
{
    struct directory *d = container_of(t, struct directory, closing);
    void (*on_closed)(void *) = d->on_closed;
    void *arg = d->closed_arg;

    (void)now_us;
    timer_stop(t);
    directory_destroy(d);
    on_closed(arg);
}

/* The answer to the last command: all before it was done. */
static void on_last_reply(void *arg, const redisReply *r)
{
    struct directory *d = arg;

    (void)r;
    if (timer_running(&d->closing))
        timer_start(&d->closing, 0); /* not within hiredis' callback */
}

void directory_close(struct directory *d, uint64_t wait_us, void (*on_closed)(void *arg), void *arg)
{
    d->on_closed = on_closed;
    d->closed_arg = arg;
    timer_stop(&d->beat);
    timer_init(&d->closing, d->worker, on_closing_due);
    timer_start(&d->closing, d->state == DIRECTORY_UP ? wait_us : 0);
    if (d->state != DIRECTORY_UP)
        return;
    claims_release_all(d);
    remove_self(d);
    char text[NODE_ID_MAX + 16];
    const char *argv[] = {"PUBLISH", d->channel, text};
    snprintf(text, sizeof(text), "node-gone %s", d->self.id);
    redis_conn_command(d->commands, on_last_reply, d, LEN(argv), argv, NULL);
}
