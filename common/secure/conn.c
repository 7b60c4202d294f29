/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/conn.h"

#include "io/timer.h"

#include <errno.h>
#include <stdlib.h>

enum {
    HANDSHAKE_US = 10000000,   /* a TLS handshake takes three round trips at most */
    ALERT_LINGER_US = 1000000, /* to get the alert out that says why */
    END_LINGER_US = 5000000,   /* the peer has ended: what is queued may still go */
};

struct conn {
    struct tcp *tcp;
    struct tls *tls; /* NULL: plain */
    struct worker *worker;
    const struct conn_ops *ops;
    void *arg;
    struct timer handshake;  /* TLS only: runs until it is open */
    struct turn_hook resume; /* TLS only: hands over what came while paused */
    uint64_t linger_us;      /* of a conn_shutdown that waits for the handshake; 0: none */
    int err;                 /* for on_close, where has_err */
    bool has_err;
    bool closing; /* on_close is the only callback left */
    bool paused;
};

struct conn_listener {
    struct tcp_listener *tcp;
    struct tls_ctx *ctx;
    struct worker *worker;
    void (*on_accept)(void *arg, struct conn *c);
    void *arg;
};

/* ---- The end --------------------------------------------------------------------------------- */

/* No callback but on_close from here on; tcp goes down in its own time. */
static void stop(struct conn *c)
{
    c->closing = true;
    if (c->tls) {
        tls_stop(c->tls);
        timer_stop(&c->handshake);
        worker_disarm(&c->resume);
    }
}

static void finish(struct conn *c, int err, uint64_t linger_us)
{
    if (c->closing)
        return;
    c->err = err;
    c->has_err = true;
    stop(c);
    tcp_shutdown(c->tcp, linger_us);
}

static void on_tcp_close(void *arg, int err)
{
    struct conn *c = arg;

    if (c->has_err)
        err = c->err;
    else if (err == 0 && c->tls && !tls_is_open(c->tls))
        err = -ECONNRESET; /* that was not in order */
    stop(c);
    if (c->ops && c->ops->on_close)
        c->ops->on_close(c->arg, err);
    tls_destroy(&c->tls);
    free(c);
}

/* What tls_feed, tls_resume and tls_write return. */
static void after_tls(struct conn *c, int err)
{
    if (err == TLS_END && !c->closing) {
        tls_end(c->tls);
        finish(c, 0, END_LINGER_US);
    } else if (err == TLS_FAILED) {
        finish(c, CONN_ERR_TLS, ALERT_LINGER_US);
    }
}

static void on_handshake_late(struct timer *t, uint64_t now_us)
{
    struct conn *c = container_of(t, struct conn, handshake);

    (void)now_us;
    c->err = c->linger_us ? -ECANCELED : -ETIMEDOUT;
    c->has_err = true;
    stop(c);
    tcp_close(c->tcp);
}

/* ---- From TCP -------------------------------------------------------------------------------- */

static void on_tcp_open(void *arg)
{
    struct conn *c = arg;

    if (c->closing)
        return;
    if (c->tls)
        tls_start(c->tls);
    else if (c->ops->on_open)
        c->ops->on_open(c->arg);
}

static void on_tcp_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct conn *c = arg;

    if (c->closing)
        return;
    if (c->tls)
        after_tls(c, tls_feed(c->tls, bytes, len));
    else
        c->ops->on_data(c->arg, bytes, len);
}

static void on_tcp_drain(void *arg)
{
    struct conn *c = arg;

    if (!c->closing && c->ops->on_drain && (!c->tls || tls_is_open(c->tls)))
        c->ops->on_drain(c->arg);
}

static const struct tcp_ops tcp_side = {
    .on_open = on_tcp_open,
    .on_data = on_tcp_data,
    .on_drain = on_tcp_drain,
    .on_close = on_tcp_close,
};

/* ---- From TLS -------------------------------------------------------------------------------- */

static void on_tls_send(void *arg, const uint8_t *bytes, size_t len)
{
    struct conn *c = arg;
    tcp_write(c->tcp, bytes, len);
}

static void on_tls_open(void *arg)
{
    struct conn *c = arg;

    timer_stop(&c->handshake);
    if (c->closing)
        return;
    if (c->linger_us) { /* what was written went out just before */
        conn_shutdown(c, c->linger_us);
        return;
    }
    if (c->paused)
        conn_pause(c);
    if (c->ops->on_open)
        c->ops->on_open(c->arg);
}

static void on_tls_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct conn *c = arg;

    if (!c->closing)
        c->ops->on_data(c->arg, bytes, len);
}

static const struct tls_ops tls_side = {
    .send = on_tls_send,
    .on_open = on_tls_open,
    .on_data = on_tls_data,
};

static void on_resume(struct turn_hook *hook, uint64_t now_us)
{
    struct conn *c = container_of(hook, struct conn, resume);

    (void)now_us;
    if (!c->closing)
        after_tls(c, tls_resume(c->tls));
}

/* ---- Making ---------------------------------------------------------------------------------- */

/* A connection without its tcp yet. NULL when memory is short. */
static struct conn *conn_new(struct worker *w, struct tls_ctx *ctx, const char *peer_name)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->worker = w;
    if (ctx && tls_create(&c->tls, ctx, peer_name, &tls_side, c)) {
        free(c);
        return NULL;
    }
    timer_init(&c->handshake, w, on_handshake_late);
    c->resume = (struct turn_hook){.run = on_resume, .stage = TURN_FANOUT};
    return c;
}

static void conn_free(struct conn *c)
{
    tls_destroy(&c->tls);
    free(c);
}

static void on_accepted(void *arg, struct tcp *t)
{
    struct conn_listener *l = arg;
    struct conn *c = conn_new(l->worker, l->ctx, NULL);

    if (!c) {
        tcp_close(t);
        return;
    }
    c->tcp = t;
    tcp_set_ops(t, &tcp_side, c);
    if (c->tls)
        timer_start(&c->handshake, HANDSHAKE_US);
    l->on_accept(l->arg, c);
}

int conn_listen(struct conn_listener **out, struct worker *w, const struct addr *bind, bool reuse_port,
                struct tls_ctx *ctx, void (*on_accept)(void *arg, struct conn *c), void *arg)
{
    struct conn_listener *l = calloc(1, sizeof(*l));
    if (!l)
        return -ENOMEM;
    *l = (struct conn_listener){.worker = w, .on_accept = on_accept, .arg = arg};
    int err = tcp_listen(&l->tcp, w, bind, reuse_port, on_accepted, l);
    if (err) {
        free(l);
        return err;
    }
    if (ctx)
        l->ctx = tls_ctx_ref(ctx);
    *out = l;
    return 0;
}

void conn_listener_close(struct conn_listener **listener)
{
    struct conn_listener *l = *listener;
    if (!l)
        return;
    tcp_listener_close(&l->tcp);
    tls_ctx_unref(&l->ctx);
    free(l);
    *listener = NULL;
}

void conn_listener_local(const struct conn_listener *l, struct addr *out)
{
    tcp_listener_local(l->tcp, out);
}

void conn_listener_set_tls(struct conn_listener *l, struct tls_ctx *ctx)
{
    struct tls_ctx *before = l->ctx;

    l->ctx = tls_ctx_ref(ctx);
    tls_ctx_unref(&before);
}

int conn_connect(struct conn **out, struct worker *w, const struct addr *to, struct tls_ctx *ctx,
                 const char *peer_name, const struct conn_ops *ops, void *arg)
{
    struct conn *c = conn_new(w, ctx, peer_name);
    if (!c)
        return -ENOMEM;
    int err = tcp_connect(&c->tcp, w, to, &tcp_side, c);
    if (err) {
        conn_free(c);
        return err;
    }
    if (c->tls)
        timer_start(&c->handshake, HANDSHAKE_US);
    conn_set_ops(c, ops, arg);
    *out = c;
    return 0;
}

void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg)
{
    c->ops = ops;
    c->arg = arg;
}

/* ---- Use ------------------------------------------------------------------------------------- */

void conn_close(struct conn *c)
{
    c->err = -ECANCELED;
    c->has_err = true;
    stop(c);
    tcp_close(c->tcp);
}

void conn_shutdown(struct conn *c, uint64_t linger_us)
{
    if (c->closing)
        return;
    if (c->tls && !tls_is_open(c->tls) && tls_waiting_bytes(c->tls) > 0) {
        c->linger_us = linger_us ? linger_us : 1;
        timer_start(&c->handshake, c->linger_us);
        return;
    }
    if (c->tls)
        tls_end(c->tls);
    finish(c, -ECANCELED, linger_us);
}

/* Ended by the caller, if only as soon as the handshake is done. */
static bool ended(const struct conn *c)
{
    return c->closing || c->linger_us;
}

void conn_write(struct conn *c, const void *bytes, size_t len)
{
    if (ended(c))
        return;
    if (c->tls)
        after_tls(c, tls_write(c->tls, bytes, len));
    else
        tcp_write(c->tcp, bytes, len);
}

void conn_write_buf(struct conn *c, struct buf *b, size_t from)
{
    if (ended(c))
        return;
    if (c->tls)
        after_tls(c, tls_write(c->tls, b->bytes + from, b->len - from));
    else
        tcp_write_buf(c->tcp, b, from);
}

void conn_send_buf(struct conn *c, struct buf *b, size_t from, size_t to)
{
    if (ended(c))
        return;
    if (c->tls)
        after_tls(c, tls_write(c->tls, b->bytes + from, to - from));
    else
        tcp_send_buf(c->tcp, b, from, to);
}

void conn_trim(struct conn *c)
{
    if (!c->tls)
        tcp_trim(c->tcp);
}

size_t conn_queued_bytes(const struct conn *c)
{
    return tcp_queued_bytes(c->tcp) + (c->tls ? tls_waiting_bytes(c->tls) : 0);
}

void conn_soon(const struct conn *c)
{
    if (c->tcp)
        tcp_soon(c->tcp);
}

/* TLS pauses once it is open: the handshake needs both directions. */
void conn_pause(struct conn *c)
{
    c->paused = true;
    if (c->tls && !tls_is_open(c->tls))
        return;
    if (c->tls) {
        worker_disarm(&c->resume);
        tls_pause(c->tls);
    }
    tcp_pause(c->tcp);
}

void conn_resume(struct conn *c)
{
    c->paused = false;
    if (c->tls && !c->closing)
        worker_arm(c->worker, &c->resume);
    tcp_resume(c->tcp);
}

const struct addr *conn_peer(const struct conn *c)
{
    return tcp_peer(c->tcp);
}

bool conn_is_tls(const struct conn *c)
{
    return c->tls != NULL;
}

const char *conn_peer_subject(const struct conn *c)
{
    return c->tls ? tls_peer_subject(c->tls) : "";
}

const char *conn_error(const struct conn *c)
{
    return c->tls ? tls_error(c->tls) : "";
}
