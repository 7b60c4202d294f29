/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/relay.h"

#include "base/hash.h"
#include "base/log.h"
#include "relay/relay_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    UNKNOWN_US = 1000000,     /* how long "nobody publishes it" is remembered */
    RETRY_US = 300000,        /* between two rounds over the parents */
    UNREACHABLE_US = 3000000, /* of failing until those who wait are told */
    PARCELS_CAP = 16384,      /* mails with packets under way from one worker: seconds of a hundred streams, made as needed */
};

struct relay {
    struct relay_cfg cfg;
    struct worker *worker;
    struct router_set *routers;
    struct pool *packets, *parcels;
    struct relay_pipes pipes;
    void (*on_published)(void *arg, struct router *router); /* NULL: nobody asks */
    void *published_arg;
    struct relay *const *peers; /* by index, this one too */
    struct relay_counters counters;
    bool closed; /* the node ends: no new supply, even for a worker that is not told yet */
};

/* ---- Supply: one a router ------------------------------------------------------------------------------ */

static void ask(struct supply *s)
{
    s->ask_again = s->asking;
    if (s->asking)
        return;
    s->asking = true;
    hub_ask_find(s->relay->cfg.hub, s->relay, router_name(s->router));
}

/* Nobody has seen where the stream stopped, so nothing has to go on there: the next viewer starts with the newest pictures. */
static void forget_where_it_stopped(struct supply *s)
{
    if (!s->pull && !router_live(s->router) && !router_consumers(s->router, NULL))
        router_refuse(s->router, STREAM_UNREACHABLE);
}

static void on_later(struct timer *t, uint64_t now_us)
{
    struct supply *s = container_of(t, struct supply, later);
    enum stream_end why = s->refuse;

    (void)now_us;
    s->refuse = 0;
    if (router_live(s->router))
        return;
    if (why)
        router_refuse(s->router, why);
    else if (!s->pull && router_consumers(s->router, NULL))
        ask(s);
    else
        forget_where_it_stopped(s);
}

/* Answers those who wait, but not from within their own call. */
static void refuse_soon(struct supply *s, enum stream_end why)
{
    s->refuse = why;
    timer_start(&s->later, 0);
}

void supply_unknown(struct supply *s)
{
    s->unknown_until_us = worker_now_us(s->relay->worker) + UNKNOWN_US;
    s->failing_since_us = 0;
    if (!router_live(s->router))
        router_refuse(s->router, STREAM_UNKNOWN);
}

void supply_unreachable(struct supply *s)
{
    uint64_t now_us = worker_now_us(s->relay->worker);

    s->refuse = 0;
    timer_start(&s->later, RETRY_US);
    if (!s->failing_since_us) {
        s->failing_since_us = now_us;
        log_warn("relay", "%s: no node can serve it now; trying again and again", router_name(s->router));
    }
    if (now_us - s->failing_since_us >= UNREACHABLE_US && !router_live(s->router))
        router_refuse(s->router, STREAM_UNREACHABLE);
}

static bool is_home(const struct relay *r, const char *name)
{
    return relay_home(r, name) == r->cfg.index;
}

void supply_demand(struct supply *s)
{
    struct relay *r = s->relay;

    if (s->feed || s->asking || timer_running(&s->later))
        return; /* under way */
    if (s->link) {
        link_demand(s);
    } else if (!is_home(r, router_name(s->router))) {
        if (link_open(s) != 0)
            refuse_soon(s, STREAM_UNREACHABLE);
    } else if (s->pull) {
        if (pull_ended(s->pull))
            refuse_soon(s, STREAM_UNPUBLISHED);
    } else if (!r->cfg.pulls) {
        refuse_soon(s, STREAM_UNKNOWN);
    } else if (worker_now_us(r->worker) < s->unknown_until_us) {
        r->counters.unknown++;
        refuse_soon(s, STREAM_UNKNOWN);
    } else {
        ask(s);
    }
}

static void on_demand(void *arg, struct router *router)
{
    (void)arg;
    supply_demand(router_user(router));
}

static void supply_destroy(struct supply *s)
{
    timer_stop(&s->later);
    router_detach(&s->prefetch);
    if (s->pull)
        pull_close(s);
    if (s->link)
        link_close(s);
    links_forget(s);
    free(s->resume);
    router_set_user(s->router, NULL);
    free(s);
}

/* Nobody has wanted the stream for linger_us. */
static void on_idle(void *arg, struct router *router)
{
    struct supply *s = router_user(router);

    (void)arg;
    if (s && !s->feed)
        supply_destroy(s);
}

static void prefetch_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    consumer_want(c, track_set_native(tracks));
}

static void prefetch_on_packets(struct consumer *c, const struct packet_batch *b)
{
    (void)c;
    (void)b; /* the router's cache has them */
}

static void prefetch_on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops prefetch_ops = {
    .on_tracks = prefetch_on_tracks, .on_packets = prefetch_on_packets, .on_end = prefetch_on_end};

static struct supply *supply_find(const struct relay *r, const char *name)
{
    struct router *router = router_find(r->routers, name);

    return router ? router_user(router) : NULL;
}

struct supply *supply_open(struct relay *relay, const char *name)
{
    if (relay->closed)
        return supply_find(relay, name);

    struct router *router = router_open(relay->routers, name);
    struct supply *s = router ? router_user(router) : NULL;

    if (!router || s)
        return s;
    s = calloc(1, sizeof(*s));
    if (!s)
        return NULL;
    s->relay = relay;
    s->router = router;
    s->prefetch = (struct consumer){.ops = &prefetch_ops, .kind = "prefetch"};
    list_init(&s->links);
    timer_init(&s->later, relay->worker, on_later);
    router_set_user(router, s);
    return s;
}

/* Whether it matters here who could be asked for the stream. */
static bool is_wanted(const struct supply *s)
{
    return !s->feed && !s->link && s->relay->cfg.pulls && (s->pull || router_consumers(s->router, NULL));
}

/* ---- What the hub says ------------------------------------------------------------------------------------ */

void relay_on_found(struct relay *r, const char *name, const struct stream_record *record, bool known,
                    const struct parent_list *parents)
{
    struct supply *s = supply_find(r, name);

    if (!s)
        return;
    s->asking = false;
    if (s->feed || s->link || !r->cfg.pulls)
        return;
    if (s->ask_again) {
        ask(s);
        return;
    }
    if (!record && known) {
        if (!s->pull)
            supply_unknown(s);
    } else if (!record || !parents->n) {
        if (!s->pull)
            supply_unreachable(s);
    } else if (s->pull) {
        pull_follow(s, parents);
    } else if (!router_consumers(s->router, NULL)) {
        forget_where_it_stopped(s);
    } else if (pull_open(s, parents) != 0) {
        supply_unreachable(s);
    }
}

void relay_on_claim(struct relay *r, const char *name, uint64_t token, enum claim_result result, uint64_t epoch,
                    const char *owner)
{
    struct supply *s = supply_find(r, name);

    if (result == CLAIM_TAKEN)
        log_info("relay", "%s is published at %s already", name, owner);
    if (s && s->feed)
        feed_on_claim(s, token, result, epoch);
    else if (result == CLAIM_OK)
        hub_tell_release(r->cfg.hub, name, epoch); /* the publisher has gone meanwhile */
}

void relay_on_claim_lost(struct relay *r, const char *name, uint64_t epoch, const char *new_owner)
{
    struct supply *s = supply_find(r, name);

    if (!s || !s->feed || feed_epoch(s->feed) != epoch)
        return;
    log_warn("relay", "%s: the name was taken over by %s", name, new_owner);
    feed_revoke(s->feed, "taken over by another origin");
}

void relay_on_stream(struct relay *r, const char *name, bool published, bool prefetch)
{
    struct supply *s = published && prefetch ? supply_open(r, name) : supply_find(r, name);

    if (!s)
        return;
    if (published)
        s->unknown_until_us = 0;
    if (published && prefetch && !s->prefetch.router)
        router_attach(s->router, &s->prefetch, 0);
    else if (!published)
        router_detach(&s->prefetch);
    if (published && is_wanted(s))
        ask(s);
}

static void ask_anew(void *arg, struct router *router)
{
    struct supply *s = router_user(router);

    (void)arg;
    if (s && is_wanted(s))
        ask(s);
}

void relay_on_nodes(struct relay *r)
{
    router_set_each(r->routers, ask_anew, NULL);
}

/* ---- The relay ---------------------------------------------------------------------------------------------- */

struct router *relay_router(struct relay *r, const char *name)
{
    struct supply *s = supply_open(r, name);

    return s ? s->router : NULL;
}

void relay_resume(struct router *router, uint64_t epoch, const struct pipe_position *from, size_t n)
{
    struct supply *s = router_user(router);

    if (!s || s->pull || s->link || s->resume || n > LEN(s->resume->from))
        return;
    s->resume = calloc(1, sizeof(*s->resume));
    if (!s->resume)
        return; /* the child misses what no cache on its way has */
    s->resume->epoch = epoch;
    s->resume->n = n;
    memcpy(s->resume->from, from, n * sizeof(*from));
}

struct worker *relay_worker(struct relay *r)
{
    return r->worker;
}

struct pool *relay_pool(struct relay *r)
{
    return r->packets;
}

struct pool *relay_parcels(struct relay *r)
{
    return r->parcels;
}

unsigned stream_home(const char *name, unsigned workers)
{
    return (unsigned)(hash_code_stable(name, strlen(name)) % workers);
}

unsigned relay_home(const struct relay *r, const char *name)
{
    return stream_home(name, r->cfg.workers);
}

struct hub *relay_hub(const struct relay *r)
{
    return r->cfg.hub;
}

const struct relay_cfg *relay_config(const struct relay *r)
{
    return &r->cfg;
}

struct relay *relay_peer(const struct relay *r, unsigned index)
{
    return r->peers[index];
}

struct router_set *relay_routers(struct relay *r)
{
    return r->routers;
}

struct relay_counters *relay_count(struct relay *r)
{
    return &r->counters;
}

const struct relay_counters *relay_counters(const struct relay *r)
{
    return &r->counters;
}

const char *relay_source(struct relay *r, const struct router *router, const char **parent)
{
    const struct supply *s = router_user(router);

    (void)r;
    *parent = s && s->pull ? pull_parent(s->pull) : "";
    if (!s)
        return "";
    return s->feed ? "publish" : s->link ? "link" : s->pull ? "pull" : "";
}

void relay_source_path(const struct router *router, struct pipe_path *out)
{
    const struct supply *s = router_user(router);

    *out = s && s->pull ? *pull_source(s->pull) : s && s->link ? *link_source(s->link) : (struct pipe_path){0};
}

const struct pipe_counters *relay_pipe_counters(const struct router *router)
{
    const struct supply *s = router_user(router);

    return s && s->pull ? pull_counters(s->pull) : NULL;
}

int relay_create(struct relay **out, struct worker *w, const struct relay_cfg *cfg)
{
    struct relay *r = calloc(1, sizeof(*r));
    if (!r)
        return -1;
    struct router_set_cfg set = {
        .cache = cfg->cache, .hold_us = cfg->hold_us, .hold_from_permille = cfg->hold_from_permille, .whole_us = cfg->whole_us,
        .linger_us = cfg->linger_us, .on_demand = on_demand, .on_idle = on_idle, .arg = r};
    r->cfg = *cfg;
    r->worker = w;
    if (packet_pool_create(&r->packets, cfg->packets) != 0 ||
        pool_create(&r->parcels, sizeof(struct parcel), PARCELS_CAP) != 0) {
        relay_destroy(&r);
        return -1;
    }
    set.cache.own = r->packets;
    if (router_set_create(&r->routers, w, &set) != 0) {
        relay_destroy(&r);
        return -1;
    }
    *out = r;
    return 0;
}

void relay_set_client(struct relay *r, struct pipe_client *client,
                      void (*path)(void *arg, const struct router *router, struct pipe_path *out), void *arg)
{
    r->pipes = (struct relay_pipes){client, path, arg};
}

void relay_on_published(struct relay *r, void (*fn)(void *arg, struct router *router), void *arg)
{
    r->on_published = fn;
    r->published_arg = arg;
}

void relay_tell_published(struct relay *r, struct router *router)
{
    if (r->on_published)
        r->on_published(r->published_arg, router);
}

const struct relay_pipes *relay_pipes(const struct relay *r)
{
    return &r->pipes;
}

void relay_set_peers(struct relay *r, struct relay *const *peers)
{
    r->peers = peers;
}

static void close_supply(void *arg, struct router *router)
{
    struct supply *s = router_user(router);

    (void)arg;
    if (s && !s->feed)
        supply_destroy(s);
}

void relay_close(struct relay *r)
{
    r->closed = true;
    router_set_each(r->routers, close_supply, NULL);
}

static void free_supply(void *arg, struct router *router)
{
    struct supply *s = router_user(router);

    (void)arg;
    if (!s)
        return;
    timer_stop(&s->later);
    free(s->resume);
    free(s);
}

void relay_clear(struct relay *r)
{
    if (r->routers)
        router_set_each(r->routers, free_supply, NULL);
    router_set_destroy(&r->routers);
}

void relay_destroy(struct relay **relay)
{
    struct relay *r = *relay;
    if (!r)
        return;
    relay_clear(r);
    pool_destroy(&r->parcels);
    pool_destroy(&r->packets);
    free(r);
    *relay = NULL;
}
