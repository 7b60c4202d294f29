/* SPDX-License-Identifier: Apache-2.0
 * tcp_queue.c - bytes on their way into a connection: shared ones by reference, small ones copied
 * one behind the other into a chunk. A connection that writes steadily comes to allocate nothing. */
#include "tcp_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 4000 /* a page with malloc's and our own header */, PIECES_FIRST = 8 };

struct buf *buf_create(size_t cap_bytes)
{
    struct buf *b = malloc(sizeof(*b) + cap_bytes);

    if (b) {
        atomic_init(&b->refs, 1);
        b->len = 0;
    }
    return b;
}

struct buf *buf_ref(struct buf *b)
{
    atomic_fetch_add_explicit(&b->refs, 1, memory_order_relaxed);
    return b;
}

void buf_unref(struct buf **pb)
{
    struct buf *b = *pb;

    *pb = NULL;
    if (b && atomic_fetch_sub_explicit(&b->refs, 1, memory_order_acq_rel) == 1)
        free(b);
}

static int grow(struct tcp_queue *q)
{
    size_t cap = q->cap ? 2 * q->cap : PIECES_FIRST;
    struct tcp_piece *pieces = malloc(cap * sizeof(*pieces));

    if (!pieces)
        return -ENOMEM;
    for (size_t i = 0; i < q->count; i++)
        pieces[i] = q->pieces[(q->head + i) & (q->cap - 1)];
    free(q->pieces);
    q->pieces = pieces;
    q->head = 0;
    q->cap = cap;
    return 0;
}

/* Takes over the caller's reference, unless it fails. */
static int push(struct tcp_queue *q, struct buf *b, size_t from, size_t to)
{
    if (q->count == q->cap && grow(q))
        return -ENOMEM;
    q->pieces[(q->head + q->count++) & (q->cap - 1)] = (struct tcp_piece){b, from, to};
    q->bytes += to - from;
    return 0;
}

/* Appends what fits into the chunk; to the last piece when that ends where the chunk does. */
static int copy_into_chunk(struct tcp_queue *q, const uint8_t *bytes, size_t len)
{
    struct buf *c = q->chunk;
    struct tcp_piece *last = q->count ? &q->pieces[(q->head + q->count - 1) & (q->cap - 1)] : NULL;
    size_t from = c->len;

    memcpy(c->bytes + from, bytes, len);
    if (last && last->b == c && last->to == from) {
        last->to += len;
        q->bytes += len;
    } else if (push(q, buf_ref(c), from, from + len)) {
        atomic_fetch_sub_explicit(&c->refs, 1, memory_order_relaxed);
        return -ENOMEM;
    }
    c->len += len;
    return 0;
}

int tcp_queue_copy(struct tcp_queue *q, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    while (len > 0) {
        size_t room = q->chunk ? q->chunk_cap - q->chunk->len : 0;
        size_t n = len < room ? len : room;

        if (n > 0 && copy_into_chunk(q, p, n))
            return -ENOMEM;
        p += n;
        len -= n;
        if (len == 0)
            return 0;
        buf_unref(&q->chunk);
        q->chunk_cap = len > CHUNK_BYTES ? len : CHUNK_BYTES;
        q->chunk = buf_create(q->chunk_cap);
        if (!q->chunk)
            return -ENOMEM;
    }
    return 0;
}

int tcp_queue_share(struct tcp_queue *q, struct buf *b, size_t from, size_t to)
{
    if (from >= to)
        return 0;
    if (push(q, buf_ref(b), from, to)) {
        struct buf *not_pushed = b;

        buf_unref(&not_pushed);
        return -ENOMEM;
    }
    return 0;
}

size_t tcp_queue_gather(const struct tcp_queue *q, struct iovec *iov, size_t cap)
{
    size_t n = q->count < cap ? q->count : cap;

    for (size_t i = 0; i < n; i++) {
        const struct tcp_piece *p = &q->pieces[(q->head + i) & (q->cap - 1)];

        iov[i] = (struct iovec){.iov_base = p->b->bytes + p->from, .iov_len = p->to - p->from};
    }
    return n;
}

void tcp_queue_consume(struct tcp_queue *q, size_t n)
{
    q->bytes -= n;
    while (n > 0) {
        struct tcp_piece *p = &q->pieces[q->head];
        size_t len = p->to - p->from;

        if (n < len) {
            p->from += n;
            return;
        }
        n -= len;
        buf_unref(&p->b);
        q->head = (q->head + 1) & (q->cap - 1);
        q->count--;
    }
    if (q->count > 0 || !q->chunk)
        return;
    if (q->chunk_cap > CHUNK_BYTES)
        buf_unref(&q->chunk);
    else
        q->chunk->len = 0; /* nobody points into it any more */
}

void tcp_queue_fini(struct tcp_queue *q)
{
    for (size_t i = 0; i < q->count; i++)
        buf_unref(&q->pieces[(q->head + i) & (q->cap - 1)].b);
    buf_unref(&q->chunk);
    free(q->pieces);
    *q = (struct tcp_queue){0};
}

void tcp_queue_trim(struct tcp_queue *q)
{
    if (q->count == 0)
        tcp_queue_fini(q);
}
