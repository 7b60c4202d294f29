/* SPDX-License-Identifier: Apache-2.0
 * tcp_priv.h - the inside of a connection, and its queue of bytes to send. */
#pragma once

#include "io/tcp.h"
#include "io/timer.h"

#include <stdbool.h>
#include <sys/uio.h>
#include <uv.h>

/* ---- Queue: pieces of shared buffers, and of a chunk that takes in what is copied ------------ */

struct tcp_piece {
    struct buf *b; /* one reference */
    size_t from, to;
};

struct tcp_queue {
    size_t bytes;
    struct tcp_piece *pieces; /* a ring */
    size_t head, count;
    size_t cap; /* 0 or a power of two */
    struct buf *chunk; /* not shared: it grows */
    size_t chunk_cap;
};

/* 0, or -ENOMEM with the queue as it was, or in part longer. */
MUST_USE int tcp_queue_copy(struct tcp_queue *q, const void *bytes, size_t len);
MUST_USE int tcp_queue_share(struct tcp_queue *q, struct buf *b, size_t from, size_t to);
/* Fills iov with the first bytes; returns how many entries. */
size_t tcp_queue_gather(const struct tcp_queue *q, struct iovec *iov, size_t cap);
/* The first n bytes are sent. */
void tcp_queue_consume(struct tcp_queue *q, size_t n);
/* An empty queue's memory is given back. */
void tcp_queue_trim(struct tcp_queue *q);
void tcp_queue_fini(struct tcp_queue *q);

/* ---- Connection ------------------------------------------------------------------------------ */

enum tcp_state { TCP_CONNECTING, TCP_OPEN, TCP_ENDED };

/* What a send touches stands first. */
struct tcp {
    struct worker *worker;
    int fd;
    enum tcp_state state;
    bool paused;
    bool blocked;  /* the socket is full: waiting for it to be writable */
    bool eof;      /* the peer has ended its direction */
    bool shutting; /* tcp_shutdown was called */
    bool fin_sent;
    bool batched; /* a send of it is gathered in the worker's batch */
    int err; /* for on_close */
    struct tcp_queue queue;
    uint64_t flush_turn;
    unsigned flushes; /* in that turn */
    struct turn_hook hook;
    uv_poll_t poll;
    struct timer linger;
    struct addr peer;
    const struct tcp_ops *ops;
    void *arg;
};

/* Takes the fd over, also when it fails (then it is closed). state is CONNECTING or OPEN. */
MUST_USE int tcp_create(struct tcp **out, struct worker *w, int fd, enum tcp_state state,
                        const struct addr *peer);

/* One send: how much of [from, to) the kernel took, or a negative errno. */
ssize_t tcp_try(struct tcp *t, const struct buf *b, size_t from, size_t to);
/* That is what came of it: the rest is queued, an error ends the connection. */
void tcp_sent(struct tcp *t, struct buf *b, size_t from, size_t to, ssize_t n);

/* ---- Batch (tcp_batch.c) --------------------------------------------------------------------- */

/* [from, to) is gathered; false: nothing is being gathered, or cannot be. The connection is open and has none there. */
MUST_USE bool tcp_batch_push(struct tcp *t, struct buf *b, size_t from, size_t to);
/* What was gathered is sent, and settled with its connections. */
void tcp_batch_flush(struct worker *w);
