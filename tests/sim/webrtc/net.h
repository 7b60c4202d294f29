/* SPDX-License-Identifier: Apache-2.0
 * net.h - one direction of a network on a virtual clock: delay, jitter (and so reordering), loss, duplication, all
 * drawn from a seed. Pure; for simulations. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* ---- random numbers: splitmix64 ------------------------------------------------------------------------- */

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *r)
{
    uint64_t z = r->state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* 0 .. below - 1 */
static inline uint64_t rng_below(struct rng *r, uint64_t below)
{
    return below ? rng_next(r) % below : 0;
}

/* True in n of 10,000 cases. */
static inline bool rng_chance(struct rng *r, uint64_t n)
{
    return rng_below(r, 10000) < n;
}

/* ---- the network ------------------------------------------------------------------------------------------- */

enum { NET_BYTES = 1500, NET_CAP = 16384 };

struct net_cfg {
    uint64_t delay_us, jitter_us;    /* jitter: up to so much more, each datagram for itself */
    uint64_t loss, duplicate;        /* of 10,000 */
};

struct net_datagram {
    uint64_t at_us, order;
    size_t len;
    uint8_t bytes[NET_BYTES];
};

struct net {
    struct net_cfg cfg;
    struct rng *rng;
    uint64_t order, lost;
    size_t n;                        /* under way: a heap by arrival */
    struct net_datagram *heap[NET_CAP];
};

static inline bool net_before(const struct net_datagram *a, const struct net_datagram *b)
{
    return a->at_us < b->at_us || (a->at_us == b->at_us && a->order < b->order);
}

static inline void net_put(struct net *net, uint64_t at_us, const void *bytes, size_t len)
{
    struct net_datagram *d = net->n < NET_CAP && len <= NET_BYTES ? malloc(sizeof(*d)) : NULL;
    size_t i = net->n;

    if (!d)
        abort();
    d->at_us = at_us;
    d->order = net->order++;
    d->len = len;
    memcpy(d->bytes, bytes, len);
    for (net->n++; i > 0 && net_before(d, net->heap[(i - 1) / 2]); i = (i - 1) / 2)
        net->heap[i] = net->heap[(i - 1) / 2];
    net->heap[i] = d;
}

static inline void net_send(struct net *net, uint64_t now_us, const void *bytes, size_t len)
{
    if (rng_chance(net->rng, net->cfg.loss)) {
        net->lost++;
        return;
    }
    net_put(net, now_us + net->cfg.delay_us + rng_below(net->rng, net->cfg.jitter_us + 1), bytes, len);
    if (rng_chance(net->rng, net->cfg.duplicate))
        net_put(net, now_us + net->cfg.delay_us + rng_below(net->rng, net->cfg.jitter_us + 1), bytes, len);
}

/* When the next one arrives; UINT64_MAX: nothing is under way. */
static inline uint64_t net_due_us(const struct net *net)
{
    return net->n ? net->heap[0]->at_us : UINT64_MAX;
}

/* The next one to arrive by now_us, or NULL; free() it. */
static inline struct net_datagram *net_pop(struct net *net, uint64_t now_us)
{
    struct net_datagram *first = net->n ? net->heap[0] : NULL, *last;
    size_t i = 0, child;

    if (!first || first->at_us > now_us)
        return NULL;
    last = net->heap[--net->n];
    while ((child = 2 * i + 1) < net->n) {
        if (child + 1 < net->n && net_before(net->heap[child + 1], net->heap[child]))
            child++;
        if (!net_before(net->heap[child], last))
            break;
        net->heap[i] = net->heap[child];
        i = child;
    }
    if (net->n)
        net->heap[i] = last;
    return first;
}

static inline void net_drain(struct net *net)
{
    struct net_datagram *d;

    while ((d = net_pop(net, UINT64_MAX)))
        free(d);
}

static inline uint64_t earliest(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}
