/* SPDX-License-Identifier: Apache-2.0
 *
 * A pull feeds the home's router from one parent at a time. What came before live only fills the cache
 * (router_ready comes when the parent has caught up), so the first viewer starts as instantly as the second. A lost parent
 * is followed by the next candidate, which is asked to go on at the packets that are missing; consumers are told nothing.
 */
#include "base/log.h"
#include "relay/relay_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    CATCH_UP_US = 2000000, /* live begins at the latest this long after the tracks are known */
    HOLES_MAX = 2048,      /* packets; how far back a new parent is asked for what is missing: a second of 20 Mbit/s */
};

/* What is asked for before the tracks are known: the first two, as publishers have one video and one audio track. Saves
 * the first viewer a round trip; what its consumers really want follows at once. */
static uint64_t want_before_tracks(const struct supply *s)
{
    uint64_t want = router_want(s->router);

    return want ? want : want_bit(0, 0) | want_bit(1, 0);
}

struct pull {
    struct supply *supply;
    struct parent_list parents;
    size_t at; /* of the present one */
    size_t unknown; /* parents of this round that said nobody publishes it */
    struct pipe_subscription *sub;
    struct producer in;
    struct pipe_path source; /* the nodes that the stream comes through, origin first */
    struct timer catch_up;
    struct timer unasked; /* what was asked for before anybody wanted it, and nobody does, is sent no more */
    bool ended;
};

static const struct pipe_subscription_ops sub_ops;

static size_t positions(struct router *r, struct pipe_position *out)
{
    const struct track_set *tracks = router_tracks(r);
    struct cache *c = router_cache(r);
    uint64_t seq;
    size_t n = 0;

    for (unsigned t = 0; tracks && t < tracks->n; t++)
        for (unsigned l = 0; l < tracks->v[t].n_layers; l++)
            if (cache_next_missing(c, t, l, HOLES_MAX, &seq))
                out[n++] = (struct pipe_position){(uint8_t)t, (uint8_t)l, seq};
    return n;
}

/* All candidates have failed already, and are tried again some times a second, for each stream: that has been said. */
static bool is_failing(const struct pull *p)
{
    return p->supply->failing_since_us != 0;
}

static int subscribe(struct pull *p)
{
    struct relay *r = p->supply->relay;
    const struct relay_pipes *pipes = relay_pipes(r);
    const struct parent *parent = &p->parents.v[p->at];
    struct pipe_position from[PIPE_STREAM_LAYERS];
    bool goes_on = router_is_ready(p->supply->router);
    const struct resume *resume = goes_on ? NULL : p->supply->resume;
    struct pipe_path path = {0};

    if (pipes->path)
        pipes->path(pipes->arg, p->supply->router, &path);
    links_add_paths(p->supply, &path);
    struct pipe_subscribe_cfg cfg = {
        .parent_id = parent->id,
        .parent_address = parent->address,
        .stream = router_name(p->supply->router),
        .want = want_before_tracks(p->supply),
        .patience_us = router_patience_us(p->supply->router),
        .epoch = goes_on ? router_epoch(p->supply->router) : resume ? resume->epoch : 0,
        .from = resume ? resume->from : from,
        .n_from = goes_on ? positions(p->supply->router, from) : resume ? resume->n : 0,
        .path = &path,
        .ops = &sub_ops,
        .arg = p,
    };
    relay_count(r)->pulls++;
    if (!is_failing(p))
        log_info("relay", "%s: pulling from %s at %s%s", cfg.stream, parent->id, parent->address,
                 goes_on ? ", going on where it stopped" : "");
    return pipe_subscribe(&p->sub, pipes->client, &cfg);
}

/* Leaves the present parent; consumers do not notice yet. */
static void leave(struct pull *p)
{
    timer_stop(&p->catch_up);
    timer_stop(&p->unasked);
    pipe_subscription_close(&p->sub);
    router_unpublish(&p->in, STREAM_UNREACHABLE, true);
}

/* The next candidate; when there is none left the supply begins a new round. */
static void next_parent(struct pull *p)
{
    struct supply *s = p->supply;

    relay_count(s->relay)->pulls_failed++;
    leave(p);
    while (++p->at < p->parents.n)
        if (subscribe(p) == 0)
            return;
    bool unknown = p->unknown >= p->parents.n;
    pull_close(s);
    if (unknown)
        supply_unknown(s);
    else
        supply_unreachable(s);
}

static bool path_has(const struct pipe_path *path, const char *id)
{
    for (size_t i = 0; i < path->n; i++)
        if (strcmp(path->ids[i], id) == 0)
            return true;
    return false;
}

/* ---- What the parent says ---------------------------------------------------------------------------------- */

static void on_subscribed(void *arg, const struct track_set *tracks, const struct pipe_path *source)
{
    struct pull *p = arg;
    struct supply *s = p->supply;

    p->source = *source;
    if (tracks->epoch < router_epoch(s->router)) {
        log_info("relay", "%s: %s is behind, at epoch %llu", router_name(s->router), pull_parent(p),
                 (unsigned long long)tracks->epoch);
        next_parent(p);
        return;
    }
    if (path_has(source, hub_self(relay_hub(s->relay))->id)) {
        log_warn("relay", "%s: %s has it from us: a loop", router_name(s->router), pull_parent(p));
        next_parent(p);
        return;
    }
    p->ended = false;
    p->unknown = 0;
    if (is_failing(p))
        log_info("relay", "%s: %s serves it", router_name(s->router), pull_parent(p));
    s->failing_since_us = 0;
    free(s->resume); /* used */
    s->resume = NULL;
    hub_tell_presence(relay_hub(s->relay), router_name(s->router), true);
    router_unpublish(&p->in, STREAM_UNPUBLISHED, true);
    router_publish(s->router, &p->in, tracks);
    if (s->pull != p)
        return;
    if (!router_is_ready(s->router))
        timer_start(&p->catch_up, CATCH_UP_US);
    if (!router_want(s->router))
        timer_start(&p->unasked, relay_config(s->relay)->linger_us);
}

static void on_caught_up(void *arg)
{
    struct pull *p = arg;

    timer_stop(&p->catch_up);
    router_ready(&p->in);
}

static void on_catch_up_due(struct timer *t, uint64_t now_us)
{
    struct pull *p = container_of(t, struct pull, catch_up);

    (void)now_us;
    router_ready(&p->in);
}

static void on_unasked(struct timer *t, uint64_t now_us)
{
    struct pull *p = container_of(t, struct pull, unasked);

    (void)now_us;
    pipe_subscription_want(p->sub, router_want(p->supply->router));
}

static void on_packet(void *arg, struct packet *packet)
{
    struct pull *p = arg;

    if (p->in.router)
        router_push(p->in.router, packet);
    else
        packet_unref(&packet);
}

static void on_soon(const void *arg, unsigned step, const struct pipe_soon *what)
{
    const struct pull *p = arg;

    if (p->in.router && step < ROUTER_SOON_STEPS)
        router_soon(p->in.router, step, what->track, what->layer, what->n);
}

static void on_end(void *arg, enum stream_end why)
{
    struct pull *p = arg;

    timer_stop(&p->catch_up);
    p->ended = true;
    if (p->in.router)
        router_unpublish(&p->in, why, false);
    else
        router_refuse(p->supply->router, why);
}

static void on_refused(void *arg, enum pipe_refusal reason)
{
    struct pull *p = arg;

    if (!is_failing(p))
        log_info("relay", "%s: refused by %s: %s", router_name(p->supply->router), pull_parent(p), pipe_refusal_name(reason));
    p->unknown += reason == PIPE_REFUSED_UNKNOWN;
    next_parent(p);
}

static void on_lost(void *arg, enum pipe_lost why)
{
    struct pull *p = arg;

    if (!is_failing(p))
        log_warn("relay", "%s: parent %s lost: %s", router_name(p->supply->router), pull_parent(p), pipe_lost_name(why));
    next_parent(p);
}

static const struct pipe_subscription_ops sub_ops = {
    .on_subscribed = on_subscribed,
    .on_caught_up = on_caught_up,
    .on_packet = on_packet,
    .on_soon = on_soon,
    .on_end = on_end,
    .on_refused = on_refused,
    .on_lost = on_lost,
};

/* ---- What the router wants ----------------------------------------------------------------------------------- */

static void on_want(struct producer *pr, uint64_t want)
{
    struct pull *p = container_of(pr, struct pull, in);

    pipe_subscription_want(p->sub, want);
}

static void on_keyframe(struct producer *pr, unsigned track, unsigned layer)
{
    struct pull *p = container_of(pr, struct pull, in);

    pipe_subscription_keyframe(p->sub, track, layer);
}

static void on_patience(struct producer *pr, uint64_t patience_us)
{
    struct pull *p = container_of(pr, struct pull, in);

    pipe_subscription_patience(p->sub, patience_us);
}

static const struct producer_ops in_ops = {.on_want = on_want, .on_keyframe = on_keyframe, .on_patience = on_patience};

int pull_open(struct supply *s, const struct parent_list *parents)
{
    struct pull *p = calloc(1, sizeof(*p));
    if (!p)
        return -1;
    p->supply = s;
    p->parents = *parents;
    p->in = (struct producer){.ops = &in_ops, .kind = "pipe", .passes = true};
    timer_init(&p->catch_up, relay_worker(s->relay), on_catch_up_due);
    timer_init(&p->unasked, relay_worker(s->relay), on_unasked);
    if (subscribe(p) != 0) {
        free(p);
        return -1;
    }
    s->pull = p;
    return 0;
}

void pull_close(struct supply *s)
{
    struct pull *p = s->pull;

    s->pull = NULL;
    hub_tell_presence(relay_hub(s->relay), router_name(s->router), false);
    leave(p);
    free(p);
}

static bool drains(const struct parent_list *parents, const char *id)
{
    for (size_t i = 0; i < parents->n_draining; i++)
        if (strcmp(parents->draining[i], id) == 0)
            return true;
    return false;
}

static size_t parent_at(const struct parent_list *parents, const char *id)
{
    size_t i = 0;

    while (i < parents->n && strcmp(parents->v[i].id, id) != 0)
        i++;
    return i;
}

/* Takes over the candidates, the present parent first. */
static void keep_present(struct pull *p, const struct parent *present, const struct parent_list *parents)
{
    p->parents = *parents;
    p->at = parent_at(parents, present->id);
    if (p->at < parents->n)
        return;
    p->at = 0;
    p->parents.n = parents->n < PARENTS_MAX ? parents->n + 1 : PARENTS_MAX;
    memmove(&p->parents.v[1], &p->parents.v[0], (p->parents.n - 1) * sizeof(p->parents.v[0]));
    p->parents.v[0] = *present;
}

/* A parent that serves is kept whatever the directory says of it (its entry may be missing while Redis comes back), unless
 * it drains or was the owner and is not any more. */
void pull_follow(struct supply *s, const struct parent_list *parents)
{
    struct pull *p = s->pull;
    const struct parent present = p->parents.v[p->at];
    size_t at = parent_at(parents, present.id);

    if (!drains(parents, present.id) && (at < parents->n || !present.owner)) {
        keep_present(p, &present, parents);
        return;
    }
    p->parents = *parents;
    p->at = 0;
    p->unknown = 0;
    leave(p);
    if (subscribe(p) != 0)
        next_parent(p);
}

bool pull_ended(const struct pull *p)
{
    return p->ended;
}

const char *pull_parent(const struct pull *p)
{
    return p->parents.v[p->at].id;
}

const struct pipe_counters *pull_counters(const struct pull *p)
{
    return pipe_subscription_counters(p->sub);
}

const struct pipe_path *pull_source(const struct pull *p)
{
    return &p->source;
}
