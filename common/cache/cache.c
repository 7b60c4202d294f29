/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/cache.h"

#include <stdlib.h>
#include <string.h>

enum {
    RING_MIN = 256,
    EVICT_AHEAD = 3,        /* packets */
    LEAVING_MIN = 8,        /* packets: most pictures have no more */
    RESERVE = 16,           /* the budget's last part so large is for what comes before another worker has made room */
    EVICT_GROUP_BYTES = 1 << 20, /* at most so much of an idle stream at once */
    LAYER_SPAN_MAX = 1 << 16, /* seqs between the oldest and newest of a layer; a longer jump starts it anew */
};

/* The packets of one layer by sequence number: a ring that grows, with holes for what is missing. */
struct layer_index {
    struct packet **ring; /* not counted: the arrival ring holds the references; NULL: no packet was ever pushed */
    uint32_t cap;         /* a power of two */
    bool key_started;     /* the newest keyframe's FRAME_START packet is among them */
    bool has_key;
    uint64_t first, end;  /* kept numbers are in [first, end); equal when empty */
    uint64_t floor;       /* below it all has been evicted */
    uint64_t key_ts, key_seq, key_position; /* newest keyframe: time, lowest seq and lowest arrival position */
};

_Static_assert(sizeof(struct layer_index) == CACHE_LINE_BYTES, "a push touches one line of it");

struct cache {
    _Alignas(CACHE_LINE_BYTES) struct packet **ring; /* by arrival */
    size_t cap;           /* a power of two */
    uint64_t begin, end;  /* arrival positions */
    size_t bytes;
    struct cache_cfg cfg;
    struct list idle_link; /* in the group while idle */
    _Alignas(CACHE_LINE_BYTES) struct layer_index layers[TRACKS_MAX * LAYERS_MAX];
};

int cache_create(struct cache **out, const struct cache_cfg *cfg)
{
    struct cache *c = aligned_alloc(_Alignof(struct cache), sizeof(*c));
    if (!c)
        return -1;
    memset(c, 0, sizeof(*c));
    c->cfg = *cfg;
    c->cap = RING_MIN;
    list_init(&c->idle_link);
    c->ring = calloc(c->cap, sizeof(*c->ring));
    if (!c->ring) {
        free(c);
        return -1;
    }
    *out = c;
    return 0;
}

/* ---- By identity ------------------------------------------------------------------------------- */

static struct packet **layer_slot(const struct layer_index *x, uint64_t seq)
{
    return &x->ring[seq & (x->cap - 1)];
}

static struct layer_index *layer_of(struct cache *c, unsigned track, unsigned layer)
{
    return &c->layers[track * LAYERS_MAX + layer];
}

/* NULL when nothing was ever pushed, or there is no such layer. */
static const struct layer_index *layer_at(const struct cache *c, unsigned track, unsigned layer)
{
    const struct layer_index *x = track < TRACKS_MAX && layer < LAYERS_MAX ? &c->layers[track * LAYERS_MAX + layer] : NULL;

    return x && x->ring ? x : NULL;
}

static bool layer_open(struct layer_index *x)
{
    if (x->ring)
        return true;
    x->cap = RING_MIN;
    x->ring = calloc(x->cap, sizeof(*x->ring));
    return x->ring;
}

static void layer_close(struct layer_index *x)
{
    free(x->ring);
    *x = (struct layer_index){.ring = NULL};
}

static bool layer_grow(struct layer_index *x, size_t span)
{
    uint32_t cap = x->cap;
    while (cap < span)
        cap *= 2;
    if (cap == x->cap)
        return true;
    struct packet **ring = calloc(cap, sizeof(*ring));
    if (!ring)
        return false;
    for (uint64_t s = x->first; s < x->end; s++)
        ring[s & (cap - 1)] = *layer_slot(x, s);
    free(x->ring);
    x->ring = ring;
    x->cap = cap;
    return true;
}

/* The way of those that come in order: the next number, and room for it. */
static inline bool layer_append(struct layer_index *x, uint64_t seq)
{
    if (seq != x->end || x->first == x->end || seq - x->first >= x->cap)
        return false;
    x->end = seq + 1;
    return true;
}

/* Makes [first, end) reach over seq. False: too old, or no memory. */
static bool layer_reach(struct layer_index *x, uint64_t seq)
{
    if (seq < x->floor)
        return false;
    if (x->first == x->end) {
        x->first = seq;
        x->end = seq + 1;
        *layer_slot(x, seq) = NULL;
        return true;
    }
    uint64_t first = seq < x->first ? seq : x->first;
    uint64_t end = seq >= x->end ? seq + 1 : x->end;
    if (end - first > LAYER_SPAN_MAX || !layer_grow(x, end - first))
        return false;
    for (uint64_t s = first; s < x->first; s++)
        *layer_slot(x, s) = NULL;
    for (uint64_t s = x->end; s < end; s++)
        *layer_slot(x, s) = NULL;
    x->first = first;
    x->end = end;
    return true;
}

static void layer_note_key(struct layer_index *x, const struct packet *p, uint64_t position)
{
    bool same = x->has_key && p->ts_ticks == x->key_ts;

    if (!(p->flags & PACKET_KEYFRAME) || (x->has_key && !same && p->seq < x->key_seq)) /* timestamps may begin anew, lower */
        return;
    if (!same) {
        x->has_key = true;
        x->key_ts = p->ts_ticks;
        x->key_seq = p->seq;
        x->key_position = position;
        x->key_started = false;
    }
    if (p->seq < x->key_seq)
        x->key_seq = p->seq;
    if (p->flags & PACKET_FRAME_START)
        x->key_started = true;
}

static void layer_remove(struct layer_index *x, const struct packet *p)
{
    *layer_slot(x, p->seq) = NULL;
    if (p->seq >= x->floor)
        x->floor = p->seq + 1;
    while (x->first < x->end && !*layer_slot(x, x->first)) /* what arrived late goes when its turn comes */
        x->first++;
}

/* ---- By arrival ---------------------------------------------------------------------------------- */

static void evict(struct cache *c)
{
    struct packet **slot = &c->ring[c->begin & (c->cap - 1)];
    struct packet *p = *slot;

    *slot = NULL;
    c->begin++;
    c->bytes -= packet_cost_bytes(p);
    layer_remove(layer_of(c, p->track, p->layer), p);
    packet_unref_own(p, c->cfg.own);
    if (c->end - c->begin > EVICT_AHEAD) /* nobody has looked at it for long: it is fetched before its turn comes */
        __builtin_prefetch(c->ring[(c->begin + EVICT_AHEAD) & (c->cap - 1)], 1);
}

/* The budget hears of the difference to what the cache held before. Mostly there is none: one packet came, one went. */
static void account(struct cache *c, size_t before_bytes)
{
    if (c->cfg.budget && c->bytes != before_bytes)
        atomic_fetch_add_explicit(&c->cfg.budget->used_bytes, c->bytes - before_bytes, memory_order_relaxed); /* modulo */
}

static void evict_oldest(struct cache *c)
{
    size_t before_bytes = c->bytes;

    evict(c);
    account(c, before_bytes);
}

static const struct packet *oldest(const struct cache *c)
{
    return c->ring[c->begin & (c->cap - 1)];
}

static bool over_own_bounds(const struct cache *c, uint64_t newest_capture_us)
{
    return c->bytes > c->cfg.cap_bytes || c->end - c->begin > c->cfg.cap_packets ||
           newest_capture_us > oldest(c)->capture_us + c->cfg.cap_us;
}

/* ---- The node's budget ------------------------------------------------------------------------------- */

static size_t used_bytes(const struct cache_budget *b)
{
    return atomic_load_explicit(&b->used_bytes, memory_order_relaxed);
}

/* From here on idle streams give. */
static bool is_short(const struct cache_budget *b)
{
    return used_bytes(b) > (b->n_groups > 1 ? b->cap_bytes - b->cap_bytes / RESERVE : b->cap_bytes);
}

void cache_group_init(struct cache_group *g, struct cache_budget *b)
{
    *g = (struct cache_group){.budget = b, .oldest_us = UINT64_MAX};
    list_init(&g->idle);
    if (b && b->n_groups < CACHE_GROUPS_MAX)
        b->groups[b->n_groups++] = g;
}

void cache_group_fini(struct cache_group *g)
{
    struct cache_budget *b = g->budget;

    for (size_t i = 0; b && i < b->n_groups; i++)
        if (b->groups[i] == g)
            b->groups[i] = b->groups[--b->n_groups];
}

/* How far other workers' idle streams reach back. */
static uint64_t others_oldest_us(const struct cache_group *g)
{
    uint64_t oldest_us = UINT64_MAX;

    for (size_t i = 0; i < g->budget->n_groups; i++) {
        const struct cache_group *o = g->budget->groups[i];
        uint64_t us = o == g ? UINT64_MAX : atomic_load_explicit(&o->oldest_us, memory_order_relaxed);
        oldest_us = us < oldest_us ? us : oldest_us;
    }
    return oldest_us;
}

void cache_set_idle(struct cache *c, bool idle)
{
    list_remove(&c->idle_link);
    if (idle && c->cfg.group)
        list_push_back(&c->cfg.group->idle, &c->idle_link);
}

/* The idle cache that reaches back the farthest; NULL: none has anything. */
static struct cache *oldest_idle(const struct cache_group *g)
{
    struct cache *found = NULL;

    for (const struct list *l = g->idle.next; l != &g->idle; l = l->next) {
        struct cache *c = container_of(l, struct cache, idle_link);
        if (c->begin != c->end && (!found || oldest(c)->capture_us < oldest(found)->capture_us))
            found = c;
    }
    return found;
}

/* The oldest group of pictures as a whole: without its keyframe the rest of it starts nobody. */
static void evict_group(struct cache *c)
{
    size_t gone = 0;

    do {
        gone += packet_cost_bytes(oldest(c));
        evict_oldest(c);
    } while (c->begin != c->end && gone < EVICT_GROUP_BYTES &&
             (oldest(c)->flags & (PACKET_KEYFRAME | PACKET_FRAME_START)) != (PACKET_KEYFRAME | PACKET_FRAME_START));
}

/* What is the oldest of all workers', or, when the budget is used up, of this one. pushing: keeps its last packet; may be NULL. */
static void group_relieve(struct cache_group *g, const struct cache *pushing)
{
    const struct cache_budget *b = g->budget;
    uint64_t others_us = others_oldest_us(g);
    struct cache *idle;

    while ((idle = oldest_idle(g)) && is_short(b) && (oldest(idle)->capture_us <= others_us || used_bytes(b) > b->cap_bytes) &&
           (idle != pushing || idle->end - idle->begin > 1))
        evict_group(idle);
    atomic_store_explicit(&g->oldest_us, idle ? oldest(idle)->capture_us : UINT64_MAX, memory_order_relaxed);
}

void cache_group_poll(struct cache_group *g)
{
    if (g->budget)
        group_relieve(g, NULL);
}

/* Looking for the oldest takes a walk, but each frees a group of pictures: many pushes' worth. When others have older ones it is left to
 * them, as long as there is room. */
static void relieve_budget(struct cache *c)
{
    const struct cache_budget *b = c->cfg.budget;
    struct cache_group *g = c->cfg.group;

    if (!b || !is_short(b))
        return;
    if (g && (used_bytes(b) > b->cap_bytes || atomic_load_explicit(&g->oldest_us, memory_order_relaxed) <= others_oldest_us(g)))
        group_relieve(g, c);
    while (used_bytes(b) > b->cap_bytes && c->end - c->begin > 1)
        evict_oldest(c);
}

static bool arrival_grow(struct cache *c)
{
    size_t cap = c->cap * 2;
    struct packet **ring = calloc(cap, sizeof(*ring));
    if (!ring)
        return false;
    for (uint64_t i = c->begin; i < c->end; i++)
        ring[i & (cap - 1)] = c->ring[i & (c->cap - 1)];
    free(c->ring);
    c->ring = ring;
    c->cap = cap;
    return true;
}

/* A jump beyond any reordering: what is kept of the layer is of no use to anyone. */
static void layer_restart(struct cache *c, struct layer_index *x, uint64_t seq)
{
    if (x->first == x->end || seq < x->end || seq - x->first < LAYER_SPAN_MAX)
        return;
    while (x->first != x->end && c->begin != c->end)
        evict_oldest(c);
    x->has_key = false;
}

bool cache_push(struct cache *c, struct packet *p)
{
    struct layer_index *x = layer_of(c, p->track, p->layer);

    if (!layer_open(x))
        return false;
    if (!layer_append(x, p->seq)) {
        layer_restart(c, x, p->seq);
        if (!layer_reach(x, p->seq) || *layer_slot(x, p->seq))
            return false;
    }
    size_t before_bytes = c->bytes;
    if (c->end - c->begin == c->cap && !arrival_grow(c))
        evict(c);
    *layer_slot(x, p->seq) = p;
    layer_note_key(x, p, c->end);
    c->ring[c->end++ & (c->cap - 1)] = packet_ref(p);
    c->bytes += packet_cost_bytes(p);
    while (c->end - c->begin > 1 && over_own_bounds(c, p->capture_us))
        evict(c);
    account(c, before_bytes);
    relieve_budget(c);
    return true;
}

/* As many leave as come, of whichever layer, but a picture at once. */
static void soon_leaving(const struct cache *c, unsigned step, size_t n)
{
    n = n > LEAVING_MIN ? n : LEAVING_MIN;
    for (size_t i = 0; i < n && c->begin + i < c->end; i++) {
        struct packet *const *slot = &c->ring[(c->begin + i) & (c->cap - 1)];
        __builtin_prefetch(step ? (const void *)*slot : slot, 1);
    }
}

void cache_soon(const struct cache *c, unsigned step, unsigned track, unsigned layer, size_t n)
{
    const struct layer_index *x = &c->layers[track * LAYERS_MAX + layer];

    if (step == 0) {
        __builtin_prefetch(c, 1);
        __builtin_prefetch(&c->cfg.group);
        __builtin_prefetch(x, 1);
    } else if (step == 1) {
        soon_leaving(c, 0, n);
        __builtin_prefetch(&c->ring[c->end & (c->cap - 1)], 1);
        if (x->ring) {
            __builtin_prefetch(&x->ring[x->end & (x->cap - 1)], 1);
            __builtin_prefetch(&x->ring[x->first & (x->cap - 1)], 1);
        }
    } else {
        soon_leaving(c, 1, n);
    }
}

void cache_clear(struct cache *c)
{
    while (c->begin != c->end)
        evict_oldest(c);
    for (unsigned i = 0; i < TRACKS_MAX * LAYERS_MAX; i++)
        layer_close(&c->layers[i]);
}

void cache_destroy(struct cache **cache)
{
    struct cache *c = *cache;
    if (!c)
        return;
    cache_clear(c);
    list_remove(&c->idle_link);
    free(c->ring);
    free(c);
    *cache = NULL;
}

/* ---- Looking up ------------------------------------------------------------------------------------ */

struct packet *cache_find(const struct cache *c, unsigned track, unsigned layer, uint64_t seq)
{
    const struct layer_index *x = layer_at(c, track, layer);

    return x && seq >= x->first && seq < x->end ? *layer_slot(x, seq) : NULL;
}

bool cache_range(const struct cache *c, unsigned track, unsigned layer, uint64_t *first, uint64_t *end)
{
    const struct layer_index *x = layer_at(c, track, layer);

    if (!x || x->first == x->end)
        return false;
    *first = x->first;
    *end = x->end;
    return true;
}

bool cache_next_missing(const struct cache *c, unsigned track, unsigned layer, uint64_t back, uint64_t *seq)
{
    uint64_t first, end;

    if (!cache_range(c, track, layer, &first, &end))
        return false;
    *seq = end - first > back ? end - back : first;
    while (*seq < end && cache_find(c, track, layer, *seq))
        ++*seq;
    return true;
}

uint64_t cache_begin(const struct cache *c)
{
    return c->begin;
}

uint64_t cache_end(const struct cache *c)
{
    return c->end;
}

struct packet *cache_at(const struct cache *c, uint64_t position)
{
    return position >= c->begin && position < c->end ? c->ring[position & (c->cap - 1)] : NULL;
}

bool cache_keyframe(const struct cache *c, unsigned track, unsigned layer, uint64_t *position)
{
    const struct layer_index *x = layer_at(c, track, layer);

    if (!x || !x->has_key || !x->key_started || x->key_position < c->begin)
        return false;
    *position = x->key_position;
    return true;
}

size_t cache_bytes(const struct cache *c)
{
    return c->bytes;
}
