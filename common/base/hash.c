/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"

#include "base/random.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { BUCKETS_MIN = 16 };

static uint64_t process_key[2];
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

static void draw_process_key(void)
{
    random_bytes(process_key, sizeof(process_key));
}

static uint64_t rotl(uint64_t v, int bits)
{
    return v << bits | v >> (64 - bits);
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash-2-4 (Aumasson, Bernstein 2012), little-endian words. */
static uint64_t siphash(const uint64_t key[2], const uint8_t *p, size_t len)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575U, key[1] ^ 0x646f72616e646f6dU,
                     key[0] ^ 0x6c7967656e657261U, key[1] ^ 0x7465646279746573U};
    uint64_t last = (uint64_t)len << 56;

    for (; len >= 8; p += 8, len -= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        v[3] ^= word;
        sip_round(v);
        sip_round(v);
        v[0] ^= word;
    }
    for (size_t i = 0; i < len; i++)
        last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t hash_code(const void *key, size_t len)
{
    pthread_once(&key_once, draw_process_key);
    return siphash(process_key, key, len);
}

uint64_t hash_code_stable(const void *key, size_t len)
{
    static const uint64_t fixed[2] = {0x6d696c6c72616365U, 0x706c6163656d656eU};
    return siphash(fixed, key, len);
}

int hash_init(struct hash *h)
{
    *h = (struct hash){.n_buckets = BUCKETS_MIN};
    h->buckets = calloc(h->n_buckets, sizeof(*h->buckets));
    return h->buckets ? 0 : -1;
}

void hash_fini(struct hash *h)
{
    free(h->buckets);
    *h = (struct hash){0};
}

static struct hash_item **bucket_of(const struct hash *h, uint64_t code)
{
    return &h->buckets[code & (h->n_buckets - 1)];
}

/* Doubles the table; when memory is short it just stays dense. */
static void grow(struct hash *h)
{
    struct hash bigger = {.n_buckets = h->n_buckets * 2, .count = h->count};

    bigger.buckets = calloc(bigger.n_buckets, sizeof(*bigger.buckets));
    if (!bigger.buckets)
        return;
    hash_for_each(it, h) {
        struct hash_item **at = bucket_of(&bigger, it->code);
        it->next = *at;
        *at = it;
    }
    free(h->buckets);
    *h = bigger;
}

void hash_push(struct hash *h, struct hash_item *item, const void *key, size_t key_len)
{
    if (h->count * 2 >= h->n_buckets)
        grow(h);
    *item = (struct hash_item){.key = key, .key_len = key_len, .code = hash_code(key, key_len)};
    struct hash_item **at = bucket_of(h, item->code);
    item->next = *at;
    *at = item;
    h->count++;
}

void hash_prefetch_bucket(const struct hash *h, uint64_t code)
{
    __builtin_prefetch(bucket_of(h, code));
}

void hash_prefetch_item(const struct hash *h, uint64_t code)
{
    __builtin_prefetch(*bucket_of(h, code));
}

struct hash_item *hash_find(const struct hash *h, const void *key, size_t key_len)
{
    return hash_find_code(h, key, key_len, hash_code(key, key_len));
}

struct hash_item *hash_find_code(const struct hash *h, const void *key, size_t key_len, uint64_t code)
{
    for (struct hash_item *it = *bucket_of(h, code); it; it = it->next)
        if (it->code == code && it->key_len == key_len && memcmp(it->key, key, key_len) == 0)
            return it;
    return NULL;
}

void hash_remove(struct hash *h, struct hash_item *item)
{
    struct hash_item **at = bucket_of(h, item->code);

    while (*at != item)
        at = &(*at)->next;
    *at = item->next;
    item->next = NULL;
    h->count--;
}
