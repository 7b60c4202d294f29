/* SPDX-License-Identifier: Apache-2.0 */
#include "router_priv.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum {
    RELIEF_US = 100000,
    TRACKLESS_LINGER_US = 1000000, /* clients may ask for any name; one that had no tracks left nothing to go on from */
};

/* ---- Wants -------------------------------------------------------------------------------------------- */

static uint64_t wanted_now(const struct router *r)
{
    uint64_t want = 0;

    each_link(l, r) want |= container_of(l, const struct consumer, link)->want;
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
    router_reconsider_patience(r);
}

/* ---- Packets in -------------------------------------------------------------------------------------------- */

static void tell_past(struct router *r)
{
    each_consumer(c, r) if (c->ops->on_past) c->ops->on_past(c);
}

static void on_turn_end(struct turn_hook *hook, uint64_t now_us)
{
    struct router *r = container_of(hook, struct router, fanout);

    if (r->n_turn && router_waits(r, now_us))
        return;
    if (r->n_turn)
        router_deliver(r);
    else if (router_passes(r))
        tell_past(r);
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
        if (router_passes(r))
            worker_arm(r->set->worker, &r->fanout);
        return;
    }
    if (r->n_turn == PACKET_BATCH_MAX)
        router_deliver(r);
    r->turn[r->n_turn++] = p;
    worker_arm(r->set->worker, &r->fanout);
}

/* Up to the tracks' number, and where the turn's packets are noted. */
static void fetch_own(const struct router *r)
{
    const uint8_t *at = (const uint8_t *)r, *end = (const uint8_t *)(&r->tracks.n + 1);

    for (; at < end; at += CACHE_LINE_BYTES)
        __builtin_prefetch(at, 1);
    __builtin_prefetch(r->turn, 1);
}

void router_soon(const struct router *r, unsigned step, unsigned track, unsigned layer, size_t n)
{
    const struct list *list = &r->consumers[PROMPT];

    if (step == 0) {
        fetch_own(r);
        return;
    }
    cache_soon(r->cache, step - 1, track, layer, n);
    if (list_empty(list))
        list = &r->consumers[PATIENT]; /* pipes to busy edges */
    if (list_empty(list))
        return;
    const struct consumer *c = container_of(list->next, const struct consumer, link);
    if (step == 1)
        __builtin_prefetch(c);
    else if (c->ops->on_soon)
        c->ops->on_soon(c, ROUTER_SOON_STEPS - step);
}

/* ---- Consumers -------------------------------------------------------------------------------------------- */

/* Who only keeps the stream here does not watch it. */
static bool is_watched(const struct router *r)
{
    each_link(l, r) {
        const char *kind = container_of(l, const struct consumer, link)->kind;
        if (!kind || strcmp(kind, "prefetch") != 0)
            return true;
    }
    return false;
}

/* Behind the others of the list that it belongs into now. */
static void link_consumer(struct router *r, struct consumer *c)
{
    c->list = c->patient && c->want & r->pictures ? PATIENT : PROMPT;
    list_push_back(&r->consumers[c->list], &c->link);
    if (c->patience_us)
        router_reconsider_asked(r);
}

static void unlink_consumer(struct router *r, struct consumer *c)
{
    for (struct walk *w = r->walks; w; w = w->outer)
        if (w->next == &c->link)
            w->next = c->link.next;
    list_remove(&c->link);
    if (c->patience_us)
        router_reconsider_asked(r);
}

void router_attach(struct router *r, struct consumer *c, uint64_t want)
{
    router_deliver_all(r); /* what is in the cache now is behind c, what comes is before it: nothing twice */
    c->router = r;
    c->want = want;
    c->joined = r->walks ? r->fanouts : 0;
    link_consumer(r, c);
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
    unlink_consumer(r, c);
    r->n_consumers--;
    cache_set_idle(r->cache, !is_watched(r));
    c->router = NULL;
    router_expire(r);
}

/* It begins or ceases to be one for whom sound waits. Nothing waits for it then, and a walk that is under way does not visit
 * it a second time. */
static void relist(struct router *r, struct consumer *c)
{
    if ((c->list == PATIENT) == (c->patient && c->want & r->pictures))
        return;
    router_deliver_all(r);
    unlink_consumer(r, c);
    link_consumer(r, c);
    if (r->walks)
        c->joined = r->fanouts;
}

void consumer_want(struct consumer *c, uint64_t want)
{
    c->want = want;
    if (!c->router)
        return;
    relist(c->router, c);
    reconsider_want(c->router);
}

void consumer_patience(struct consumer *c, uint64_t patience_us)
{
    struct router *r = c->router;

    if (patience_us == c->patience_us)
        return;
    c->patience_us = patience_us;
    c->patient = patience_us > 0;
    if (!r)
        return;
    relist(r, c);
    router_reconsider_asked(r);
    router_reconsider_patience(r);
}

/* ---- Producers -------------------------------------------------------------------------------------------- */

void router_add_producer(struct router *r, struct producer *p)
{
    p->router = r;
    list_push_back(&r->producers, &p->link);
    if (r->want)
        p->ops->on_want(p, r->want);
}

static uint64_t pictures_of(const struct track_set *set)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < set->n; i++)
        if (codec_kind(set->v[i].codec) == CODEC_KIND_VIDEO)
            mask |= want_track((unsigned)i);
    return mask;
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
        r->pictures = pictures_of(tracks);
        r->hold = (struct hold){.busy.from_permille = r->set->cfg.hold_from_permille};
        router_set_hold(r);
        r->whole = (struct whole){.limit_us = r->set->cfg.whole_us};
        each_consumer(c, r) relist(r, c); /* other tracks may be pictures now */
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
    list_remove(&p->link); /* first: of what it brought may come wishes, which it must not hear any more */
    router_deliver_all(r);
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

bool router_passes(const struct router *r)
{
    return r->primary && r->primary->passes && !r->ready;
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

uint64_t router_patience_us(const struct router *r)
{
    return r->patience_us;
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
    each_link(l, r) n += strcmp(container_of(l, const struct consumer, link)->kind, kind) == 0;
    return n;
}

size_t router_viewers(const struct router *r)
{
    size_t n = 0;

    each_link(l, r) n += container_of(l, const struct consumer, link)->viewers;
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
    timer_stop(&r->held);
    timer_stop(&r->rest);
    router_let_go(r->turn, r->n_turn);
    router_let_go(r->hold.v, r->hold.n);
    cache_destroy(&r->cache);
    free(r);
}

static uint64_t linger_us(const struct router *r)
{
    uint64_t us = r->set->cfg.linger_us;

    return r->tracks.epoch || us < TRACKLESS_LINGER_US ? us : TRACKLESS_LINGER_US;
}

/* Nothing has changed for linger_us: less may be wanted upstream, and an empty router goes. */
static void on_linger(struct timer *t, uint64_t now_us)
{
    struct router *r = container_of(t, struct router, linger);

    if (!r->n_consumers && now_us < r->expired_us + linger_us(r)) { /* the last one left when the timer ran already */
        timer_start(t, r->expired_us + linger_us(r) - now_us);
        return;
    }
    set_want(r, wanted_now(r));
    if (r->n_consumers)
        return;
    r->set->cfg.on_idle(r->set->cfg.arg, r);
    if (list_empty(&r->producers) && !r->n_consumers && !r->user)
        router_destroy(r);
}

void router_expire(struct router *r)
{
    r->expired_us = worker_now_us(r->set->worker);
    if (!timer_running(&r->linger))
        timer_start(&r->linger, linger_us(r));
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
    r = aligned_alloc(_Alignof(struct router), sizeof(*r));
    if (!r)
        return NULL;
    memset(r, 0, sizeof(*r));
    if (cache_create(&r->cache, &s->cfg.cache) != 0) {
        free(r);
        return NULL;
    }
    strcpy(r->name, name); /* stream_name_valid has measured it */
    r->set = s;
    list_init(&r->producers);
    list_init(&r->consumers[PROMPT]);
    list_init(&r->consumers[PATIENT]);
    list_init(&r->fanout.link);
    cache_set_idle(r->cache, true);
    r->fanout.run = on_turn_end;
    r->fanout.stage = TURN_FANOUT;
    timer_init(&r->linger, s->worker, on_linger);
    timer_init(&r->held, s->worker, router_on_held);
    timer_init(&r->rest, s->worker, router_on_rest);
    router_expire(r);
    hash_push(&s->by_name, &r->item, r->name, strlen(r->name));
    return r;
}

static void on_relief(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    timer_start(t, RELIEF_US);
    cache_group_poll(&container_of(t, struct router_set, relief)->caches);
}

int router_set_create(struct router_set **out, struct worker *w, const struct router_set_cfg *cfg)
{
    struct router_set *s = calloc(1, sizeof(*s));
    if (!s)
        return -1;
    s->cfg = *cfg;
    s->worker = w;
    cache_group_init(&s->caches, cfg->cache.budget);
    s->cfg.cache.group = &s->caches;
    if (hash_init(&s->by_name) != 0) {
        cache_group_fini(&s->caches);
        free(s);
        return -1;
    }
    timer_init(&s->relief, w, on_relief);
    timer_start(&s->relief, RELIEF_US);
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
    timer_stop(&s->relief);
    cache_group_fini(&s->caches);
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
