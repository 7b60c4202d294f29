/* SPDX-License-Identifier: Apache-2.0
 * tcp_batch.c - sends of many connections that go to the kernel together, by io_uring.
 *
 * Each is tried without waiting (MSG_DONTWAIT), so its result is there when io_uring_submit returns: nothing is
 * in flight between two calls, and the ring is only a longer system call. Where there is none (an old kernel, a container's
 * seccomp, kernel.io_uring_disabled, a build without liburing) connections send for themselves. */
#include "tcp_priv.h"

#include "worker_priv.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef HAVE_LIBURING
#include <liburing.h>

enum { BATCH_SENDS = 128 /* 0.8 ms of sending; twice as many save nothing more */ };

struct batched_send {
    struct tcp *t;
    struct buf *b; /* one reference */
    size_t from, to;
    bool done;
};

struct tcp_batch {
    struct io_uring ring;
    bool gathering;
    bool broken; /* the kernel has refused a submission: no more of them */
    unsigned n;
    struct batched_send v[BATCH_SENDS];
};

static void open_ring(struct worker *w)
{
    struct tcp_batch *b = calloc(1, sizeof(*b));
    int err = b ? io_uring_queue_init(BATCH_SENDS, &b->ring, 0) : -ENOMEM;

    w->batch_tried = true;
    if (err) {
        log_info("tcp", "no io_uring, each send is a system call: %s", strerror(-err));
        free(b);
        return;
    }
    w->batch = b;
}

void tcp_batch_destroy(struct worker *w)
{
    if (!w->batch)
        return;
    io_uring_queue_exit(&w->batch->ring);
    free(w->batch);
    w->batch = NULL;
}

void tcp_batch_begin(struct worker *w)
{
    if (!w->batch_tried)
        open_ring(w);
    if (w->batch)
        w->batch->gathering = !w->batch->broken;
}

bool tcp_batch_push(struct tcp *t, struct buf *b, size_t from, size_t to)
{
    struct tcp_batch *batch = t->worker->batch;

    if (!batch || !batch->gathering)
        return false;
    if (batch->n == BATCH_SENDS)
        tcp_batch_flush(t->worker);
    struct io_uring_sqe *e = batch->broken ? NULL : io_uring_get_sqe(&batch->ring);
    if (!e)
        return false;
    io_uring_prep_send(e, t->fd, b->bytes + from, to - from, MSG_NOSIGNAL | MSG_DONTWAIT);
    io_uring_sqe_set_data64(e, batch->n);
    batch->v[batch->n++] = (struct batched_send){t, buf_ref(b), from, to, false};
    t->batched = true;
    return true;
}

static void settle(struct batched_send *s, ssize_t n)
{
    s->done = true;
    s->t->batched = false;
    tcp_sent(s->t, s->b, s->from, s->to, n);
    buf_unref(&s->b);
}

/* Returns how many of the n the kernel has taken: all, unless it is out of memory or forbids it. */
static unsigned submit(struct tcp_batch *b)
{
    unsigned taken = 0;

    while (taken < b->n) {
        int n = io_uring_submit(&b->ring);

        if (n <= 0 && n != -EINTR)
            break;
        taken += n > 0 ? (unsigned)n : 0;
    }
    return taken;
}

/* The results of the first so many; they are there, so this waits for nothing. */
static void reap(struct tcp_batch *b, unsigned taken)
{
    for (unsigned left = taken; left > 0;) {
        struct io_uring_cqe *e;
        int err = io_uring_wait_cqe(&b->ring, &e);

        if (err == -EINTR)
            continue;
        if (err)
            break;
        settle(&b->v[io_uring_cqe_get_data64(e)], e->res);
        io_uring_cqe_seen(&b->ring, e);
        left--;
    }
    for (unsigned i = 0; i < taken; i++)
        if (!b->v[i].done) /* how much of it is on its way nobody knows */
            settle(&b->v[i], -EIO);
}

void tcp_batch_flush(struct worker *w)
{
    struct tcp_batch *b = w->batch;

    if (!b || b->n == 0)
        return;
    unsigned taken = submit(b);
    w->tcp.send_calls++;
    w->tcp.batched_sends += taken;
    reap(b, taken);
    if (taken < b->n) { /* what lies in the ring must not leave with a later batch: none comes */
        log_warn("tcp", "io_uring takes no more sends, each is a system call from now on");
        b->broken = true;
        b->gathering = false;
    }
    for (unsigned i = taken; i < b->n; i++)
        settle(&b->v[i], tcp_try(b->v[i].t, b->v[i].b, b->v[i].from, b->v[i].to));
    b->n = 0;
}

void tcp_batch_end(struct worker *w)
{
    tcp_batch_flush(w);
    if (w->batch)
        w->batch->gathering = false;
}

#else

void tcp_batch_destroy(struct worker *w)
{
    (void)w;
}

void tcp_batch_begin(struct worker *w)
{
    (void)w;
}

bool tcp_batch_push(struct tcp *t, struct buf *b, size_t from, size_t to)
{
    (void)t;
    (void)b;
    (void)from;
    (void)to;
    return false;
}

void tcp_batch_flush(struct worker *w)
{
    (void)w;
}

void tcp_batch_end(struct worker *w)
{
    (void)w;
}
#endif
