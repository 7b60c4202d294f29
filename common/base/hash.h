/* SPDX-License-Identifier: Apache-2.0
 * hash.h - intrusive hash table over byte-string keys.
 *
 * Keys are hashed with SipHash-2-4 under a random key a process, so that names chosen from outside
 * cannot be made to collide. Doubles when it is half full (on insert, so never on the packet path's find).
 * Ownership: the table owns its buckets only; items and the bytes of their keys are the caller's
 * and must outlive their stay in the table. Not thread-safe. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hash_item {
    struct hash_item *next;
    const void *key;
    size_t key_len; /* bytes */
    uint64_t code;
};

struct hash {
    struct hash_item **buckets;
    size_t n_buckets; /* a power of two */
    size_t count;
};

/* SipHash-2-4 of the bytes under the process's key. */
uint64_t hash_code(const void *key, size_t len);
/* The same under a fixed key: the same number in every process (placement on workers and nodes). */
uint64_t hash_code_stable(const void *key, size_t len);

/* Returns 0 or -1 when memory is short. */
MUST_USE int hash_init(struct hash *h);
/* Frees the buckets; the items still inside are simply forgotten. */
void hash_fini(struct hash *h);
/* Inserts item under key. The key must not be in the table yet. */
void hash_push(struct hash *h, struct hash_item *item, const void *key, size_t key_len);
struct hash_item *hash_find(const struct hash *h, const void *key, size_t key_len);
/* The same in steps, where many keys are looked for at once; code is hash_code(key, key_len). The first two ask for what the next
 * one reads to be in the processor's cache by then. */
void hash_prefetch_bucket(const struct hash *h, uint64_t code);
void hash_prefetch_item(const struct hash *h, uint64_t code);
struct hash_item *hash_find_code(const struct hash *h, const void *key, size_t key_len, uint64_t code);
/* Removes item, which must be in the table. */
void hash_remove(struct hash *h, struct hash_item *item);

/* Walks all items; the current one may be removed within the body. */
#define hash_for_each(it, h) \
    for (size_t it##_b = 0; it##_b < (h)->n_buckets; it##_b++) \
        for (struct hash_item *it = (h)->buckets[it##_b], *it##_next = it ? it->next : NULL; it; \
             it = it##_next, it##_next = it ? it->next : NULL)
