/* SPDX-License-Identifier: Apache-2.0
 * tcp_listener.c - a listening socket; goes on when file descriptors run out. */
#include "tcp_priv.h"

#include "base/log.h"
#include "worker_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ACCEPTS_A_TURN = 64,
    BACKLOG = 4096,    /* cut to net.core.somaxconn */
    RETRY_US = 100000, /* when even the reserve is gone */
};

struct tcp_listener {
    struct worker *worker;
    uv_poll_t poll;
    int fd;
    int reserve_fd; /* given up for a moment to take, and close, what could not be accepted */
    bool closed;
    struct timer retry;
    void (*on_accept)(void *arg, struct tcp *t);
    void *arg;
};

static void on_ready(uv_poll_t *handle, int status, int events);

static void watch(struct tcp_listener *l)
{
    (void)uv_poll_start(&l->poll, UV_READABLE, on_ready);
}

static void on_retry(struct timer *timer, uint64_t now_us)
{
    (void)now_us;
    watch(container_of(timer, struct tcp_listener, retry));
}

/* The connection stays in the backlog and the socket readable, so the loop would spin: take it and
 * close it with the descriptor held in reserve, so that the peer learns it at once. */
static void refuse_one(struct tcp_listener *l)
{
    LOG_LIMITED("tcp", "no file descriptors left: connection refused");
    close(l->reserve_fd);
    int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0) {
        close(fd);
        l->worker->tcp.refused++;
    }
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Returns false when there is nothing more to accept now. */
static bool accept_one(struct tcp_listener *l)
{
    struct addr peer;
    socklen_t len = sizeof(peer);
    struct tcp *t;

    memset(&peer, 0, sizeof(peer));
    int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && (errno == ECONNABORTED || errno == EINTR || errno == EPROTO))
        return true; /* that one is gone; there may be others */
    if (fd < 0 && (errno == EMFILE || errno == ENFILE) && l->reserve_fd >= 0) {
        refuse_one(l);
        return true;
    }
    if (fd < 0 && errno != EAGAIN) {
        uv_poll_stop(&l->poll);
        timer_start(&l->retry, RETRY_US);
    }
    if (fd < 0)
        return false;
    if (tcp_create(&t, l->worker, fd, TCP_OPEN, &peer))
        return true;
    l->worker->tcp.accepted++;
    l->on_accept(l->arg, t);
    if (!t->ops)
        tcp_close(t);
    return true;
}

static void on_ready(uv_poll_t *handle, int status, int events)
{
    struct tcp_listener *l = container_of(handle, struct tcp_listener, poll);

    (void)events;
    for (int i = 0; i < ACCEPTS_A_TURN && !l->closed && accept_one(l); i++)
        ;
    if (status < 0 && !l->closed)
        watch(l);
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* SO_REUSEADDR: connections of a former process in TIME_WAIT do not hold the port. */
static int bound_fd(const struct addr *bind_to, bool reuse_port, int *out)
{
    int on = 1, off = 0, fd = socket(bind_to->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind_to->sa.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    if ((reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0) ||
        bind(fd, &bind_to->sa, addr_len(bind_to)) < 0 || listen(fd, BACKLOG) < 0) {
        int err = -errno;

        close(fd);
        return err;
    }
    *out = fd;
    return 0;
}

int tcp_probe(const struct addr *bind_to)
{
    int fd, err = bound_fd(bind_to, false, &fd);

    if (!err)
        close(fd);
    return err;
}

int tcp_listen(struct tcp_listener **out, struct worker *w, const struct addr *bind_to, bool reuse_port,
               void (*on_accept)(void *arg, struct tcp *t), void *arg)
{
    struct tcp_listener *l = calloc(1, sizeof(*l));
    int err = l ? bound_fd(bind_to, reuse_port, &l->fd) : -ENOMEM;

    if (err) {
        free(l);
        return err;
    }
    err = uv_poll_init(&w->loop, &l->poll, l->fd);
    if (err) {
        close(l->fd);
        free(l);
        return err;
    }
    l->worker = w;
    l->on_accept = on_accept;
    l->arg = arg;
    l->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    timer_init(&l->retry, w, on_retry);
    watch(l);
    *out = l;
    return 0;
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct tcp_listener, poll));
}

void tcp_listener_close(struct tcp_listener **pl)
{
    struct tcp_listener *l = *pl;

    if (!l)
        return;
    *pl = NULL;
    l->closed = true;
    timer_stop(&l->retry);
    uv_close((uv_handle_t *)&l->poll, on_poll_closed);
    close(l->fd);
    if (l->reserve_fd >= 0)
        close(l->reserve_fd);
}

void tcp_listener_local(const struct tcp_listener *l, struct addr *out)
{
    socklen_t len = sizeof(*out);

    memset(out, 0, sizeof(*out));
    (void)getsockname(l->fd, &out->sa, &len);
}
