/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/directory.h"

#include "base/log.h"
#include "base/random.h"
#include "directory/directory_priv.h"
#include "directory/record.h"
#include "directory/scripts.h"

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
    streams_on_up(d);
    nodes_on_up(d);
    claims_register(d, false);
    presence_renew(d, true);
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
    nodes_sync(d, false);
    claims_verify(d);
    presence_renew(d, false);
    streams_sweep(d);
}

static void on_look(struct timer *t, uint64_t now_us)
{
    struct directory *d = container_of(t, struct directory, look);

    (void)now_us;
    if (d->state == DIRECTORY_UP)
        nodes_sync(d, false);
}

static void on_soon(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    answer_all(container_of(t, struct directory, soon));
}

static void on_spread_reply(void *arg, const redisReply *r)
{
    if (r && r->type == REDIS_REPLY_INTEGER && r->integer > 0)
        spread_soon(arg);
}

static void on_spread(struct timer *t, uint64_t now_us)
{
    struct directory *d = container_of(t, struct directory, spread);
    const char *argv[] = {"EVAL", script_spread, "0", d->prefix};

    (void)now_us;
    if (d->state != DIRECTORY_UP || d->on_closed)
        return;
    d->counters.commands++;
    redis_conn_command(d->commands, on_spread_reply, d, LEN(argv), argv, NULL);
}

void spread_soon(struct directory *d)
{
    if (!timer_running(&d->spread))
        timer_start(&d->spread, (SPREAD_MS + 10) * 1000);
}

static void on_event(struct directory *d, const char *text, size_t len)
{
    struct event e;

    d->counters.events++;
    if (event_parse(&e, text, len) != 0) {
        LOG_LIMITED("directory", "an event of %zu bytes is not understood", len);
        return;
    }
    switch (e.kind) {
    case EVENT_STREAM:
        claims_on_event(d, &e.stream);
        streams_on_event(d, &e.stream, false);
        break;
    case EVENT_GONE:
        streams_on_event(d, &e.stream, true);
        break;
    case EVENT_NODE:
        if (strcmp(e.node, d->self.id) != 0 && !timer_running(&d->look))
            timer_start(&d->look, LOOK_US / 2 + random_u32() % LOOK_US);
        break;
    case EVENT_NODE_GONE:
        nodes_on_gone(d, e.node);
        break;
    }
}

/* One event a line. */
static void on_message(void *arg, const char *text, size_t len)
{
    while (len) {
        const char *end = memchr(text, '\n', len);
        size_t n = end ? (size_t)(end - text) : len;
        on_event(arg, text, n);
        n += end != NULL;
        text += n;
        len -= n;
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
    timer_stop(&d->spread);
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
    nodes_clear(d);
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
    timer_init(&d->spread, w, on_spread);
    if (hash_init(&d->streams) != 0 || hash_init(&d->claims) != 0 || hash_init(&d->present) != 0 || nodes_init(d) != 0 ||
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
    nodes_leave(d);
    const char *argv[] = {"PING"};
    redis_conn_command(d->commands, on_last_reply, d, LEN(argv), argv, NULL);
}
