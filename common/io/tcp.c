/* SPDX-License-Identifier: Apache-2.0
 * tcp.c - a connection, over its own non-blocking socket under uv_poll.
 *
 * Not a uv_tcp_t: its queue would hide what waits, copy the list of buffers at each write and
 * allocate a request for it; and SO_REUSEPORT, half-closing and lingering need the socket anyway. */
#include "tcp_priv.h"

#include "worker_priv.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    GATHER_MAX = 64,          /* pieces a sendmsg */
    SENDS_A_FLUSH = 8,        /* then the others' turn */
    FLUSHES_A_TURN = 4,       /* an on_drain that always has more must not keep the turn from ending */
    READS_A_TURN = 4,         /* of WORKER_READ_BYTES */
    UNSENT_BYTES = 128 << 10, /* lent to the kernel ahead of what it has sent */
    EOF_LINGER_US = 5000000,
    USER_TIMEOUT_MS = 60000, /* bytes unacknowledged, or a window shut, for so long: gone */
};

static void on_ready(uv_poll_t *handle, int status, int events);

/* ---- The end --------------------------------------------------------------------------------- */

static void on_poll_closed(uv_handle_t *handle)
{
    struct tcp *t = container_of((uv_poll_t *)handle, struct tcp, poll);

    if (t->ops && t->ops->on_close)
        t->ops->on_close(t->arg, t->err);
    free(t);
}

/* What it has in the batch is sent before anything else is done with it. */
static void settle(struct tcp *t)
{
    if (t->batched)
        tcp_batch_flush(t->worker);
}

static void end(struct tcp *t, int err)
{
    settle(t);
    if (t->state == TCP_ENDED)
        return;
    t->state = TCP_ENDED;
    t->err = err;
    tcp_queue_fini(&t->queue);
    worker_disarm(&t->hook);
    timer_stop(&t->linger);
    t->worker->tcp.closed++;
    uv_close((uv_handle_t *)&t->poll, on_poll_closed);
    close(t->fd);
}

static void on_linger_due(struct timer *timer, uint64_t now_us)
{
    struct tcp *t = container_of(timer, struct tcp, linger);

    (void)now_us;
    end(t, t->shutting ? -ECANCELED : -ETIMEDOUT);
}

/* Nothing is queued: whoever waits for that goes on. */
static void on_empty(struct tcp *t)
{
    if (t->eof) {
        end(t, t->shutting ? -ECANCELED : 0);
    } else if (t->shutting && !t->fin_sent) {
        t->fin_sent = true;
        (void)shutdown(t->fd, SHUT_WR);
    }
}

/* ---- Readiness ------------------------------------------------------------------------------- */

static void want(struct tcp *t)
{
    bool read = t->state == TCP_OPEN && !t->eof && (t->shutting || !t->paused);
    bool write = t->state == TCP_CONNECTING || t->blocked;

    if (t->state != TCP_ENDED)
        (void)uv_poll_start(&t->poll, (read ? UV_READABLE : 0) | (write ? UV_WRITABLE : 0), on_ready);
}

static void on_peer_eof(struct tcp *t)
{
    t->eof = true;
    if (t->queue.bytes == 0) {
        on_empty(t);
        return;
    }
    if (!t->shutting)
        timer_start(&t->linger, EOF_LINGER_US);
    want(t);
}

static void read_some(struct tcp *t)
{
    uint8_t *bytes = t->worker->read_buf;

    for (int i = 0; i < READS_A_TURN && t->state == TCP_OPEN && !t->eof && (t->shutting || !t->paused); i++) {
        ssize_t n = recv(t->fd, bytes, WORKER_READ_BYTES, MSG_DONTWAIT);

        if (n == 0)
            on_peer_eof(t);
        if (n < 0 && errno != EAGAIN && errno != EINTR)
            end(t, -errno);
        if (n <= 0)
            return;
        t->worker->tcp.received_bytes += (uint64_t)n;
        if (!t->shutting)
            t->ops->on_data(t->arg, bytes, (size_t)n);
        if (n < WORKER_READ_BYTES)
            return;
    }
}

static int pending_error(const struct tcp *t)
{
    int err = 0;
    socklen_t len = sizeof(err);

    (void)getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &err, &len);
    return err;
}

static void on_connected(struct tcp *t)
{
    int err = pending_error(t);

    if (err) {
        end(t, -err);
        return;
    }
    t->state = TCP_OPEN;
    t->worker->tcp.connected++;
    want(t);
    if (t->queue.bytes > 0 || t->shutting)
        worker_arm(t->worker, &t->hook);
    if (t->ops->on_open && !t->shutting)
        t->ops->on_open(t->arg);
}

static void flush(struct tcp *t);

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct tcp *t = container_of(handle, struct tcp, poll);

    if (t->state == TCP_CONNECTING) {
        on_connected(t);
        return;
    }
    if (events & UV_READABLE || status < 0)
        read_some(t); /* what came before an error too */
    if (t->state == TCP_OPEN && events & UV_WRITABLE) {
        t->blocked = false;
        flush(t);
        want(t);
    }
    if (t->state == TCP_OPEN && status < 0) {
        int err = pending_error(t);
        end(t, err ? -err : -EIO);
    }
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* One sendmsg of what is queued. Returns true when all it was given is taken and it may go on. */
static bool send_once(struct tcp *t)
{
    struct iovec iov[GATHER_MAX];
    size_t bytes = 0;
    struct msghdr h = {.msg_iov = iov, .msg_iovlen = tcp_queue_gather(&t->queue, iov, GATHER_MAX)};

    for (size_t i = 0; i < h.msg_iovlen; i++)
        bytes += iov[i].iov_len;
    ssize_t n = sendmsg(t->fd, &h, MSG_NOSIGNAL | MSG_DONTWAIT);
    t->worker->tcp.send_calls++;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        end(t, -errno);
        return false;
    }
    if (n > 0) {
        t->worker->tcp.sent_bytes += (uint64_t)n;
        tcp_queue_consume(&t->queue, (size_t)n);
    }
    return n == (ssize_t)bytes;
}

/* What is left, if anything, waits for the socket. */
static void flush(struct tcp *t)
{
    for (int i = 0; i < SENDS_A_FLUSH && t->queue.bytes > 0; i++)
        if (!send_once(t))
            break;
    if (t->state != TCP_OPEN)
        return;
    if (t->queue.bytes > 0) {
        t->blocked = true;
        want(t);
        return;
    }
    on_empty(t);
    if (t->state == TCP_OPEN && !t->shutting && t->ops->on_drain)
        t->ops->on_drain(t->arg);
}

static void on_turn_flush(struct turn_hook *hook, uint64_t now_us)
{
    struct tcp *t = container_of(hook, struct tcp, hook);

    (void)now_us;
    if (t->state != TCP_OPEN || t->blocked)
        return;
    if (t->flush_turn != t->worker->turn) {
        t->flush_turn = t->worker->turn;
        t->flushes = 0;
    }
    if (t->flushes++ < FLUSHES_A_TURN) {
        if (t->queue.bytes > 0)
            flush(t);
        else
            on_empty(t);
        return;
    }
    t->blocked = true; /* writable at once: in the next turn */
    want(t);
}

/* A write that did not fit into memory ends the connection: the bytes after it would make no sense. */
static void after_push(struct tcp *t, int err)
{
    if (err)
        end(t, err);
    else if (t->state == TCP_OPEN)
        worker_arm(t->worker, &t->hook);
}

void tcp_write(struct tcp *t, const void *bytes, size_t len)
{
    settle(t);
    if (t->state != TCP_ENDED && !t->shutting && len > 0)
        after_push(t, tcp_queue_copy(&t->queue, bytes, len));
}

void tcp_write_buf(struct tcp *t, struct buf *b, size_t from)
{
    settle(t);
    if (t->state != TCP_ENDED && !t->shutting)
        after_push(t, tcp_queue_share(&t->queue, b, from, b->len));
}

ssize_t tcp_try(struct tcp *t, const struct buf *b, size_t from, size_t to)
{
    ssize_t n = send(t->fd, b->bytes + from, to - from, MSG_NOSIGNAL | MSG_DONTWAIT);

    t->worker->tcp.send_calls++;
    return n < 0 ? -errno : n;
}

void tcp_sent(struct tcp *t, struct buf *b, size_t from, size_t to, ssize_t n)
{
    if (n < 0 && n != -EAGAIN && n != -EINTR) {
        end(t, (int)n);
        return;
    }
    from += n > 0 ? (size_t)n : 0;
    t->worker->tcp.sent_bytes += n > 0 ? (uint64_t)n : 0;
    if (from < to)
        after_push(t, tcp_queue_share(&t->queue, b, from, to));
}

void tcp_send_buf(struct tcp *t, struct buf *b, size_t from, size_t to)
{
    settle(t);
    if (t->state == TCP_ENDED || t->shutting || from >= to)
        return;
    if (t->state != TCP_OPEN || t->queue.bytes > 0 || t->blocked)
        after_push(t, tcp_queue_share(&t->queue, b, from, to));
    else if (!tcp_batch_push(t, b, from, to))
        tcp_sent(t, b, from, to, tcp_try(t, b, from, to));
}

size_t tcp_queued_bytes(const struct tcp *t)
{
    return t->queue.bytes;
}

void tcp_soon(const struct tcp *t)
{
    __builtin_prefetch(t);
    __builtin_prefetch(&t->queue.count);
}

void tcp_trim(struct tcp *t)
{
    tcp_queue_trim(&t->queue);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void set_options(int fd)
{
    static const struct {
        int level, name, value;
    } options[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1}, /* the end of the turn gathers better than Nagle */
        {IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES},
        {SOL_SOCKET, SO_KEEPALIVE, 1}, /* a peer that vanished without a word is found */
        {IPPROTO_TCP, TCP_KEEPIDLE, 60},
        {IPPROTO_TCP, TCP_KEEPINTVL, 10},
        {IPPROTO_TCP, TCP_KEEPCNT, 3},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_MS}, /* nor does a queue wait longer for one */
    };

    for (size_t i = 0; i < LEN(options); i++)
        (void)setsockopt(fd, options[i].level, options[i].name, &options[i].value, sizeof(options[i].value));
}

void tcp_set_unsent_bytes(struct tcp *t, unsigned bytes)
{
    (void)setsockopt(t->fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &bytes, sizeof(bytes));
}

int tcp_create(struct tcp **out, struct worker *w, int fd, enum tcp_state state, const struct addr *peer)
{
    struct tcp *t = calloc(1, sizeof(*t));
    int err = t ? uv_poll_init(&w->loop, &t->poll, fd) : -ENOMEM;

    if (err) {
        free(t);
        close(fd);
        return err;
    }
    set_options(fd);
    t->worker = w;
    t->fd = fd;
    t->state = state;
    t->peer = *peer;
    addr_unmap(&t->peer);
    t->hook = (struct turn_hook){.run = on_turn_flush, .stage = TURN_FLUSH};
    timer_init(&t->linger, w, on_linger_due);
    want(t);
    *out = t;
    return 0;
}

int tcp_connect(struct tcp **out, struct worker *w, const struct addr *to, const struct tcp_ops *ops,
                void *arg)
{
    int fd = socket(to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    if (connect(fd, &to->sa, addr_len(to)) < 0 && errno != EINPROGRESS) {
        int err = -errno;

        close(fd);
        return err;
    }
    int err = tcp_create(out, w, fd, TCP_CONNECTING, to);
    if (!err)
        tcp_set_ops(*out, ops, arg);
    return err;
}

void tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *arg)
{
    t->ops = ops;
    t->arg = arg;
}

void tcp_close(struct tcp *t)
{
    end(t, -ECANCELED);
}

void tcp_shutdown(struct tcp *t, uint64_t linger_us)
{
    if (t->state == TCP_ENDED || t->shutting)
        return;
    t->shutting = true;
    timer_start(&t->linger, linger_us);
    if (t->state == TCP_OPEN)
        worker_arm(t->worker, &t->hook);
    want(t);
}

void tcp_pause(struct tcp *t)
{
    t->paused = true;
    want(t);
}

void tcp_resume(struct tcp *t)
{
    t->paused = false;
    want(t);
}

const struct addr *tcp_peer(const struct tcp *t)
{
    return &t->peer;
}

const struct tcp_counters *tcp_counters(const struct worker *w)
{
    return &w->tcp;
}
