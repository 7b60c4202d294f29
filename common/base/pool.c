/* SPDX-License-Identifier: Apache-2.0 */
#include "base/pool.h"

#include <stdatomic.h>
#include <stdlib.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define POISON(p, n) __asan_poison_memory_region(p, n)
#define UNPOISON(p, n) __asan_unpoison_memory_region(p, n)
#else
#define POISON(p, n) ((void)0)
#define UNPOISON(p, n) ((void)0)
#endif

enum { SLAB_BYTES = 256 * 1024, ALIGN = 64 /* bytes; a cache line */ };

/* A free object's first bytes are its link. */
struct rest {
    struct rest *next;
};

struct slab {
    struct slab *next;
    _Alignas(ALIGN) uint8_t objects[];
};

struct pool {
    struct rest *local;           /* the owner's own free objects */
    struct rest *_Atomic given;   /* pushed by anyone, taken whole by the owner */
    struct slab *slabs;
    size_t object_bytes, per_slab; /* object_bytes: a multiple of ALIGN */
    size_t made, cap;              /* objects */
};

int pool_create(struct pool **out, size_t object_bytes, size_t cap_objects)
{
    struct pool *p = calloc(1, sizeof(*p));
    if (!p)
        return -1;
    p->object_bytes = (object_bytes + ALIGN - 1) / ALIGN * ALIGN;
    p->per_slab = SLAB_BYTES / p->object_bytes;
    if (p->per_slab == 0)
        p->per_slab = 1;
    p->cap = cap_objects;
    *out = p;
    return 0;
}

void pool_destroy(struct pool **pool)
{
    struct pool *p = *pool;
    if (!p)
        return;
    while (p->slabs) {
        struct slab *s = p->slabs;
        p->slabs = s->next;
        UNPOISON(s->objects, p->per_slab * p->object_bytes);
        free(s);
    }
    free(p);
    *pool = NULL;
}

static int add_slab(struct pool *p)
{
    if (p->made >= p->cap)
        return -1;
    size_t bytes = sizeof(struct slab) + p->per_slab * p->object_bytes;
    struct slab *s = aligned_alloc(ALIGN, (bytes + ALIGN - 1) / ALIGN * ALIGN);
    if (!s)
        return -1;
    s->next = p->slabs;
    p->slabs = s;
    for (size_t i = p->per_slab; i-- > 0;) {
        struct rest *r = (struct rest *)(void *)(s->objects + i * p->object_bytes);
        r->next = p->local;
        p->local = r;
        POISON(r, p->object_bytes);
    }
    p->made += p->per_slab;
    return 0;
}

void *pool_take(struct pool *p)
{
    if (!p->local)
        p->local = atomic_exchange_explicit(&p->given, NULL, memory_order_acquire);
    if (!p->local && add_slab(p) != 0)
        return NULL;
    struct rest *r = p->local;
    UNPOISON(r, p->object_bytes);
    p->local = r->next;
    __builtin_prefetch(p->local, 1); /* it is taken next */
    return r;
}

void pool_give(struct pool *p, void *object)
{
    struct rest *r = object;
    struct rest *head = atomic_load_explicit(&p->given, memory_order_relaxed);

    do {
        UNPOISON(r, sizeof(*r));
        r->next = head;
        POISON(r, p->object_bytes);
    } while (!atomic_compare_exchange_weak_explicit(&p->given, &head, r, memory_order_release,
                                                    memory_order_relaxed));
}

void pool_give_own(struct pool *p, void *object)
{
    struct rest *r = object;

    r->next = p->local;
    p->local = r;
    POISON(r, p->object_bytes);
}

int pool_reserve(struct pool *p, size_t n)
{
    while (p->made < n)
        if (add_slab(p) != 0)
            return -1;
    return 0;
}

size_t pool_made(const struct pool *p)
{
    return p->made;
}
