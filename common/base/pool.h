/* SPDX-License-Identifier: Apache-2.0
 * pool.h - objects of one size, made in slabs, taken by one thread, given back by any.
 *
 * Taking costs a pointer; giving costs one compare-and-swap, or a pointer in the owner's thread. What is given back goes on a lock-free
 * stack that only the owner empties, whole, so there is no ABA. Memory is returned at destroy only.
 * Under ASan the objects at rest are poisoned, so use after give is caught. */
#pragma once

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct pool;

/* Objects of object_bytes, at most cap_objects of them; rounded up to whole slabs. Nothing is
 * allocated before the first take. Returns 0, or -1 when memory is short. */
MUST_USE int pool_create(struct pool **out, size_t object_bytes, size_t cap_objects);
/* Every object must have been given back, or never be touched again. */
void pool_destroy(struct pool **pool);

/* An object, its bytes undefined; NULL when the cap is reached or memory is short (count it and drop).
 * Owner thread only. */
void *pool_take(struct pool *pool);
/* Any thread. object came from this pool. */
void pool_give(struct pool *pool, void *object);
/* The same by the owner's thread, which takes it again first: while it still is in the processor's cache. */
void pool_give_own(struct pool *pool, void *object);
/* Makes slabs for n objects now, so that taking them allocates nothing. 0, or -1 when short. Owner. */
MUST_USE int pool_reserve(struct pool *pool, size_t n);
/* Objects made so far, at rest or not. Owner thread. */
size_t pool_made(const struct pool *pool);
