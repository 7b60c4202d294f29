/* SPDX-License-Identifier: Apache-2.0 */
#include "router/router.h"

#include "base/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct media_clock {
    uint64_t capture_us, ts_ticks;
    bool known;
};

/* A walk over the consumers that is under way; a consumer that detaches meanwhile moves it on. */
struct walk {
    struct list *next;
    struct walk *outer;
};

struct router {
    struct hash_item item;
    char name[STREAM_NAME_MAX + 1];
    struct router_set *set;
    void *user;

    struct producer *primary;
    struct list producers; /* the primary one too */
    struct list consumers;
    size_t n_consumers;
    struct walk *walks;
    uint64_t fanouts; /* walks with packets so far; see consumer.joined */

    struct track_set tracks;
    bool ended; /* consumers were told so; the next publish tells them the tracks anew */
    bool ready; /* live packets are fanned out; before, they only fill the cache */
    uint64_t want; /* grows at once, shrinks linger_us later */
    struct cache *cache;
    struct packet *turn[PACKET_BATCH_MAX]; /* pushed in this loop turn; one reference each */
    size_t n_turn;
    struct turn_hook fanout;

    struct timer linger;
    struct media_clock clocks[TRACKS_MAX];
    uint64_t keyframe_asked_us[TRACKS_MAX][LAYERS_MAX];
    struct router_counters counters;
};

struct router_set {
    struct router_set_cfg cfg;
    struct worker *worker;
    struct hash by_name;
    struct cache_group caches;
};

/* ---- Walking the consumers -------------------------------------------------------------------------- */

static struct consumer *walk_begin(struct router *r, struct walk *w)
{
    w->next = r->consumers.next;
    w->outer = r->walks;
    r->walks = w;
    return NULL;
}

static struct consumer *walk_next(struct router *r, struct walk *w)
{
    if (w->next == &r->consumers) {
        r->walks = w->outer;
        return NULL;
    }
    struct consumer *c = container_of(w->next, struct consumer, link);
    w->next = w->next->next;
    return c;
}

#define each_consumer(c, r) \
    struct walk c##_walk; \
    for (struct consumer *c = walk_begin(r, &c##_walk); (c = walk_next(r, &c##_walk));)

/* ---- Wants -------------------------------------------------------------------------------------------- */

static uint64_t wanted_now(const struct router *r)
{
    uint64_t want = 0;

    for (const struct list *l = r->consumers.next; l != &r->consumers; l = l->next)
        want |= container_of(l, const struct consumer, link)->want;
    return want;
}

static void set_want(struct router *r, uint64_t want)
{
    if (want == r->want)
        return;
    r->want = want;
    list_for_each(l, &r->producers) {
        struct producer *p = container_of(l, struct producer, link);
        p->ops->on_want(p, want);
    }
}

/* What more is wanted goes upstream at once; what is wanted no longer when it has stayed so. */
static void reconsider_want(struct router *r)
{
    uint64_t now = wanted_now(r);

    set_want(r, r->want | now);
    if (now != r->want)
        router_expire(r);
}

/* ---- Fan-out --------------------------------------------------------------------------------------------- */

/* The wanted ones of v[0..n) into out; returns how many. */
static size_t pick(uint64_t want, struct packet *const *v, size_t n, struct packet **out)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (want & want_bit(v[i]->track, v[i]->layer))
            out[kept++] = v[i];
    return kept;
}

static void deliver(struct router *r)
{
    struct packet *v[PACKET_BATCH_MAX], *some[PACKET_BATCH_MAX];
    size_t n = r->n_turn;
    uint64_t present = 0;

    memcpy(v, r->turn, n * sizeof(*v));
    r->n_turn = 0; /* a consumer may push in turn (a transcoder): that is the next batch */
    for (size_t i = 0; i < n; i++)
        present |= want_bit(v[i]->track, v[i]->layer);
    uint64_t serial = ++r->fanouts;
    each_consumer(c, r)
    {
        struct packet_batch b = {v, n};
        if (c->joined == serial || !(c->want & present))
            continue;
        if ((c->want & present) != present)
            b = (struct packet_batch){some, pick(c->want, v, n, some)};
        c->ops->on_packets(c, &b);
    }
    for (size_t i = 0; i < n; i++)
        packet_unref(&v[i]);
}

static void on_turn_end(struct turn_hook *hook, uint64_t now_us)
{
    struct router *r = container_of(hook, struct router, fanout);

    (void)now_us;
    if (r->n_turn)
        deliver(r);
}

static void note_clock(struct router *r, const struct packet *p)
{
    struct media_clock *m = &r->clocks[p->track];

    if (m->known && p->ts_ticks <= m->ts_ticks)
        return;
    *m = (struct media_clock){p->capture_us, p->ts_ticks, true};
}

void router_push(struct router *r, struct packet *p)
{
    assert(p->track < r->tracks.n && p->layer < LAYERS_MAX);
    if (!cache_push(r->cache, p)) {
        r->counters.duplicates++;
        packet_unref(&p);
        return;
    }
    r->counters.packets++;
    r->counters.bytes += p->payload_len;
    note_clock(r, p);
    if (!r->ready) {
        packet_unref(&p);
        return;
    }
    if (r->n_turn == PACKET_BATCH_MAX)
        deliver(r);
    r->turn[r->n_turn++] = p;
    worker_arm(r->set->worker, &r->fanout);
}

/* ---- Consumers -------------------------------------------------------------------------------------------- */

/* Who only keeps the stream here does not watch it. */
static bool is_watched(const struct router *r)
{
    for (const struct list *l = r->consumers.next; l != &r->consumers; l = l->next) {
        const char *kind = container_of(l, const struct consumer, link)->kind;
        if (!kind || strcmp(kind, "prefetch") != 0)
            return true;
    }
    return false;
}

void router_attach(struct router *r, struct consumer *c, uint64_t want)
{
    if (r->n_turn && !r->walks)
        deliver(r); /* what is in the cache now is behind c, what comes is before it: nothing twice */
    c->router = r;
    c->want = want;
    c->joined = r->walks ? r->fanouts : 0;
    list_push_back(&r->consumers, &c->link);
    r->n_consumers++;
    cache_set_idle(r->cache, !is_watched(r));
    if (r->tracks.epoch && !r->ended) /* between two parents, too: the next goes on and tells nobody */
        c->ops->on_tracks(c, &r->tracks);
    if (r->ready && c->router == r && c->ops->on_ready)
        c->ops->on_ready(c);
    if (c->router != r)
        return; /* it did not like them */
    reconsider_want(r);
    if (!r->primary)
        r->set->cfg.on_demand(r->set->cfg.arg, r);
}

void router_detach(struct consumer *c)
{
    struct router *r = c->router;

    if (!r)
        return;
    for (struct walk *w = r->walks; w; w = w->outer)
        if (w->next == &c->link)
            w->next = c->link.next;
    list_remove(&c->link);
    r->n_consumers--;
    cache_set_idle(r->cache, !is_watched(r));
    c->router = NULL;
    router_expire(r);
}

void consumer_want(struct consumer *c, uint64_t want)
{
    c->want = want;
    if (c->router)
        reconsider_want(c->router);
}

/* ---- Producers -------------------------------------------------------------------------------------------- */

void router_add_producer(struct router *r, struct producer *p)
{
    p->router = r;
    list_push_back(&r->producers, &p->link);
    if (r->want)
        p->ops->on_want(p, r->want);
}

void router_publish(struct router *r, struct producer *p, const struct track_set *tracks)
{
    bool new_epoch = tracks->epoch != r->tracks.epoch;
    bool goes_on = !new_epoch && !r->ended;

    assert(!r->primary && tracks->epoch >= r->tracks.epoch && tracks->n <= TRACKS_MAX);
    r->tracks = *tracks;
    r->primary = p;
    p->primary = true;
    if (new_epoch) {
        r->counters.epochs++;
        cache_clear(r->cache);
        memset(r->clocks, 0, sizeof(r->clocks));
        memset(r->keyframe_asked_us, 0, sizeof(r->keyframe_asked_us));
    }
    if (!goes_on) {
        r->ended = r->ready = false;
        each_consumer(c, r) c->ops->on_tracks(c, &r->tracks);
    }
    if (r->primary != p)
        return; /* a consumer's answer ended it */
    router_add_producer(r, p);
}

void router_ready(struct producer *p)
{
    struct router *r = p->router;

    if (!r || r->primary != p || r->ready)
        return;
    r->ready = true;
    each_consumer(c, r) if (c->ops->on_ready) c->ops->on_ready(c);
}

static void tell_end(struct router *r, enum stream_end why)
{
    each_consumer(c, r) c->ops->on_end(c, why);
}

void router_unpublish(struct producer *p, enum stream_end why, bool keep_epoch)
{
    struct router *r = p->router;

    if (!r)
        return;
    if (r->n_turn && !r->walks)
        deliver(r);
    list_remove(&p->link);
    p->router = NULL;
    if (!p->primary)
        return;
    r->primary = NULL;
    p->primary = false;
    if (!keep_epoch) {
        r->ready = false;
        r->ended = true;
        tell_end(r, why);
    }
    if (!r->n_consumers)
        router_expire(r);
}

void router_refuse(struct router *r, enum stream_end why)
{
    assert(!r->primary);
    r->ready = false;
    r->ended = true;
    tell_end(r, why);
}

void router_need_keyframe(struct router *r, unsigned track, unsigned layer)
{
    uint64_t now_us = worker_now_us(r->set->worker);

    if (track >= r->tracks.n || layer >= LAYERS_MAX)
        return;
    uint64_t *asked_us = &r->keyframe_asked_us[track][layer];
    if (*asked_us && now_us - *asked_us < KEYFRAME_GATE_US) {
        r->counters.keyframe_requests_gated++;
        return;
    }
    *asked_us = now_us;
    r->counters.keyframe_requests++;
    list_for_each(l, &r->producers) {
        struct producer *p = container_of(l, struct producer, link);
        p->ops->on_keyframe(p, track, layer);
    }
}

/* ---- Facts --------------------------------------------------------------------------------------------------- */

const char *router_name(const struct router *r)
{
    return r->name;
}

struct worker *router_worker(const struct router *r)
{
    return r->set->worker;
}

bool router_live(const struct router *r)
{
    return r->primary != NULL;
}

const struct track_set *router_tracks(const struct router *r)
{
    return r->tracks.epoch ? &r->tracks : NULL;
}

bool router_is_ready(const struct router *r)
{
    return r->ready;
}

uint64_t router_epoch(const struct router *r)
{
    return r->tracks.epoch;
}

struct producer *router_producer(const struct router *r)
{
    return r->primary;
}

uint64_t router_want(const struct router *r)
{
    return r->want;
}

struct cache *router_cache(struct router *r)
{
    return r->cache;
}

bool router_clock(const struct router *r, unsigned track, uint64_t *capture_us, uint64_t *ts_ticks)
{
    if (track >= TRACKS_MAX || !r->clocks[track].known)
        return false;
    *capture_us = r->clocks[track].capture_us;
    *ts_ticks = r->clocks[track].ts_ticks;
    return true;
}

size_t router_consumers(const struct router *r, const char *kind)
{
    size_t n = 0;

    if (!kind)
        return r->n_consumers;
    for (const struct list *l = r->consumers.next; l != &r->consumers; l = l->next)
        n += strcmp(container_of(l, const struct consumer, link)->kind, kind) == 0;
    return n;
}

size_t router_viewers(const struct router *r)
{
    size_t n = 0;

    for (const struct list *l = r->consumers.next; l != &r->consumers; l = l->next)
        n += container_of(l, const struct consumer, link)->viewers;
    return n;
}

const struct router_counters *router_counters(const struct router *r)
{
    return &r->counters;
}

void *router_user(const struct router *r)
{
    return r->user;
}

void router_set_user(struct router *r, void *user)
{
    r->user = user;
}

/* ---- The set ----------------------------------------------------------------------------------------------------- */

static void router_destroy(struct router *r)
{
    hash_remove(&r->set->by_name, &r->item);
    timer_stop(&r->linger);
    worker_disarm(&r->fanout);
    for (size_t i = 0; i < r->n_turn; i++)
        packet_unref(&r->turn[i]);
    cache_destroy(&r->cache);
    free(r);
}

/* Nothing has changed for linger_us: less may be wanted upstream, and an empty router goes. */
static void on_linger(struct timer *t, uint64_t now_us)
{
    struct router *r = container_of(t, struct router, linger);

    (void)now_us;
    set_want(r, wanted_now(r));
    if (r->n_consumers)
        return;
    r->set->cfg.on_idle(r->set->cfg.arg, r);
    if (list_empty(&r->producers) && !r->n_consumers && !r->user)
        router_destroy(r);
}

void router_expire(struct router *r)
{
    if (!timer_running(&r->linger))
        timer_start(&r->linger, r->set->cfg.linger_us);
}

struct router *router_find(const struct router_set *s, const char *name)
{
    struct hash_item *it = hash_find(&s->by_name, name, strlen(name));

    return it ? container_of(it, struct router, item) : NULL;
}

struct router *router_open(struct router_set *s, const char *name)
{
    struct router *r = router_find(s, name);

    if (r || !stream_name_valid(name))
        return r;
    r = calloc(1, sizeof(*r));
    if (!r)
        return NULL;
    if (cache_create(&r->cache, &s->cfg.cache) != 0) {
        free(r);
        return NULL;
    }
    strcpy(r->name, name); /* stream_name_valid has measured it */
    r->set = s;
    list_init(&r->producers);
    list_init(&r->consumers);
    list_init(&r->fanout.link);
    cache_set_idle(r->cache, true);
    r->fanout.run = on_turn_end;
    r->fanout.stage = TURN_FANOUT;
    timer_init(&r->linger, s->worker, on_linger);
    timer_start(&r->linger, s->cfg.linger_us);
    hash_push(&s->by_name, &r->item, r->name, strlen(r->name));
    return r;
}

int router_set_create(struct router_set **out, struct worker *w, const struct router_set_cfg *cfg)
{
    struct router_set *s = calloc(1, sizeof(*s));
    if (!s)
        return -1;
    s->cfg = *cfg;
    s->worker = w;
    list_init(&s->caches.idle);
    s->cfg.cache.group = &s->caches;
    if (hash_init(&s->by_name) != 0) {
        free(s);
        return -1;
    }
    *out = s;
    return 0;
}

void router_set_destroy(struct router_set **set)
{
    struct router_set *s = *set;
    if (!s)
        return;
    hash_for_each(it, &s->by_name) router_destroy(container_of(it, struct router, item));
    hash_fini(&s->by_name);
    free(s);
    *set = NULL;
}

struct worker *router_set_worker(const struct router_set *s)
{
    return s->worker;
}

void router_set_each(struct router_set *s, void (*fn)(void *arg, struct router *r), void *arg)
{
    hash_for_each(it, &s->by_name) fn(arg, container_of(it, struct router, item));
}
