/* SPDX-License-Identifier: Apache-2.0 */
#include "timer_priv.h"

#include "worker_priv.h"

enum { LOOK_NS = 1000000 /* hundreds of viewers' pacers are due at once, and take several ms */ };

/* ---- Pairing heap: a node's children are a list; prev of the first child is the parent ------- */

static bool due_before(const struct timer *a, const struct timer *b)
{
    return a->key_us != b->key_us ? a->key_us < b->key_us : a->key_order < b->key_order;
}

/* Two heaps become one; either may be NULL. Neither root has siblings. */
static struct timer *heap_meld(struct timer *a, struct timer *b)
{
    if (!a || !b)
        return a ? a : b;
    if (due_before(b, a)) {
        struct timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (b->next)
        b->next->prev = b;
    a->child = b;
    return a;
}

/* A list of siblings becomes one heap: melded in pairs, then the pairs from the last to the first. */
static struct timer *heap_merge_pairs(struct timer *first)
{
    struct timer *pairs = NULL, *whole = NULL;

    while (first) {
        struct timer *a = first, *b = first->next;

        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b)
            b->next = b->prev = NULL;
        a = heap_meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    while (pairs) {
        struct timer *rest = pairs->next;

        pairs->next = NULL;
        whole = heap_meld(whole, pairs);
        pairs = rest;
    }
    return whole;
}

static void heap_push(struct timer_heap *h, struct timer *t)
{
    t->child = t->next = t->prev = NULL;
    t->key_us = t->due_us;
    t->key_order = t->order;
    h->root = heap_meld(h->root, t);
}

static void heap_remove(struct timer_heap *h, struct timer *t)
{
    struct timer *rest = heap_merge_pairs(t->child);

    if (h->root == t) {
        h->root = rest;
        return;
    }
    if (t->prev->child == t)
        t->prev->child = t->next;
    else
        t->prev->next = t->next;
    if (t->next)
        t->next->prev = t->prev;
    h->root = heap_meld(h->root, rest);
}

/* ---- The worker's side ----------------------------------------------------------------------- */

/* The timer that is due first, put in its true place: one that was moved to a later time is still
 * where it was when it was first started. */
static struct timer *heap_first(struct timer_heap *h)
{
    while (h->root && h->root->key_order != h->root->order) {
        struct timer *t = h->root;

        heap_remove(h, t);
        heap_push(h, t);
    }
    return h->root;
}

void timer_heap_run(struct timer_heap *h, struct worker *w, uint64_t now_us)
{
    uint64_t started_before = h->next_order, until_us = now_us, looked_ns = h->root ? uv_hrtime() : 0;
    struct timer *t;

    while ((t = heap_first(h)) && t->due_us <= until_us && t->order < started_before) {
        heap_remove(h, t);
        t->running = false;
        t->on_due(t, now_us);
        if (uv_hrtime() - looked_ns < LOOK_NS)
            continue;
        worker_look_again(w);
        now_us = worker_now_us(w);
        looked_ns = uv_hrtime();
    }
}

uint64_t timer_heap_next_us(const struct timer_heap *h)
{
    return h->root ? h->root->key_us : UINT64_MAX;
}

/* ---- The owner's side ------------------------------------------------------------------------ */

void timer_init(struct timer *t, struct worker *w, void (*on_due)(struct timer *, uint64_t now_us))
{
    *t = (struct timer){.on_due = on_due, .worker = w};
}

void timer_init_lazy(struct timer *t, struct worker *w, void (*on_due)(struct timer *, uint64_t now_us))
{
    *t = (struct timer){.on_due = on_due, .worker = w, .lazy = true};
}

static struct timer_heap *heap_of(const struct timer *t)
{
    return t->lazy ? &t->worker->lazy_timers : &t->worker->timers;
}

void timer_start(struct timer *t, uint64_t delay_us)
{
    struct timer_heap *h = heap_of(t);
    uint64_t now_us = worker_now_us(t->worker);

    t->due_us = delay_us < UINT64_MAX - 1 - now_us ? now_us + delay_us : UINT64_MAX - 1;
    t->order = h->next_order++;
    if (t->running && t->due_us >= t->key_us)
        return; /* heap_first moves it when its old time comes */
    if (t->running)
        heap_remove(h, t);
    t->running = true;
    heap_push(h, t);
}

void timer_stop(struct timer *t)
{
    if (!t->running)
        return;
    heap_remove(heap_of(t), t);
    t->running = false;
}
