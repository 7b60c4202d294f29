/* SPDX-License-Identifier: Apache-2.0
 * server.c - the connections of a server: bytes in, one request after the other, and what strangers
 * may not do to us by being slow. */
#include "server_priv.h"

#include "base/log.h"

#include <errno.h>
#include <stdlib.h>

enum {
    BODY_CAP_BYTES = 64 << 10,
    CONNECTIONS_MAX = 16384,
    HEAD_US = 10000000,
    BODY_US = 30000000,
    IDLE_US = 60000000,
    LINGER_US = 2000000,
    PENDING_MAX = 64 << 10,  /* bytes of pipelined requests; then the connection is not read */
    REPLIES_MAX = 256 << 10, /* bytes of replies not yet taken; then no further request is begun */
    REQUESTS_A_TURN = 16,    /* of all connections: media is what the turns are for, and of the smallest a socket holds thousands */
};

/* ---- Phases ---------------------------------------------------------------------------------- */

static void enter(struct http_conn *c, enum phase phase)
{
    c->phase = phase;
    c->queued_then = conn_queued_bytes(c->conn);
    if (phase == PHASE_WORK || phase == PHASE_END)
        timer_stop(&c->timer);
    else
        timer_start(&c->timer, c->server->bounds_us[phase]);
}

void http_conn_end(struct http_conn *c)
{
    if (c->phase == PHASE_END)
        return;
    enter(c, PHASE_END);
    worker_disarm(&c->hook);
    list_remove(&c->wait);
    conn_shutdown(c->conn, LINGER_US);
}

void http_conn_abort(struct http_conn *c)
{
    enter(c, PHASE_END);
    worker_disarm(&c->hook);
    list_remove(&c->wait);
    conn_close(c->conn);
}

/* A malformed, too large or too slow request: told so, counted, logged; the connection ends. */
static void refuse(struct http_conn *c, int status, const char *reason)
{
    char peer[ADDR_TEXT_CAP];

    c->server->counters.bad++;
    LOG_LIMITED("http", "bad request: %s peer=%s", reason, addr_print(conn_peer(c->conn), peer));
    /* With the request as far as it is known: its route's fields go into the reply. */
    struct http_exchange *x = exchange_create(c, request_parser_take(c->parser));
    if (!x) {
        http_conn_abort(c);
        return;
    }
    x->close = true;
    c->x = x;
    enter(c, PHASE_WORK);
    http_problem(x, status, "%s", reason);
}

static void on_timer(struct timer *t, uint64_t now_us)
{
    struct http_conn *c = container_of(t, struct http_conn, timer);
    size_t queued = conn_queued_bytes(c->conn);

    (void)now_us;
    if (c->phase == PHASE_IDLE && queued > 0 && queued < c->queued_then)
        enter(c, PHASE_IDLE); /* a slow reader, but it reads */
    else if (c->phase == PHASE_IDLE)
        http_conn_end(c);
    else
        refuse(c, 408, c->phase == PHASE_HEAD ? "the head took too long" : "the body took too long");
}

/* ---- Bytes in -------------------------------------------------------------------------------- */

static int status_of(int err)
{
    switch (err) {
    case REQUEST_ERR_TARGET_LONG:
        return 414;
    case REQUEST_ERR_HEAD_LARGE:
        return 431;
    case REQUEST_ERR_BODY_LARGE:
        return 413;
    case REQUEST_ERR_CODING:
        return 501;
    case REQUEST_ERR_VERSION:
        return 505;
    case REQUEST_ERR_MEMORY:
        return 503;
    default:
        return 400;
    }
}

static void on_head(struct http_conn *c)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    const struct request *r = request_parser_peek(c->parser);

    enter(c, PHASE_BODY);
    if (r->expect_continue && r->has_body)
        conn_write(c->conn, go_on, sizeof(go_on) - 1);
}

static void on_request(struct http_conn *c)
{
    struct http_exchange *x = exchange_create(c, request_parser_take(c->parser));

    if (!x) {
        http_conn_abort(c);
        return;
    }
    if (c->server->begun++ == 0)
        timer_start(&c->server->more, 0);
    c->server->counters.requests++;
    c->x = x;
    enter(c, PHASE_WORK);
    exchange_dispatch(x);
}

static bool takes_bytes(const struct http_conn *c)
{
    return c->phase < PHASE_WORK && conn_queued_bytes(c->conn) <= REPLIES_MAX;
}

/* False: this turn has done enough requests, and c goes on in the next. */
static bool has_share(struct http_conn *c)
{
    if (c->server->begun < REQUESTS_A_TURN)
        return true;
    if (list_empty(&c->wait))
        list_push_back(&c->server->waiting, &c->wait);
    return false;
}

/* Feeds until a request is in work; returns how much was used up. */
static size_t feed(struct http_conn *c, const uint8_t *bytes, size_t len)
{
    size_t at = 0;

    c->in_feed = true;
    while (at < len && takes_bytes(c) && has_share(c)) {
        enum request_event event;
        size_t used = 0;

        if (c->phase == PHASE_IDLE)
            enter(c, PHASE_HEAD);
        int err = request_parser_feed(c->parser, bytes + at, len - at, &used, &event);
        if (err) {
            refuse(c, status_of(err), request_parser_reason(c->parser));
            break;
        }
        at += used;
        if (event == REQUEST_HEAD)
            on_head(c);
        else if (event == REQUEST_DONE)
            on_request(c);
    }
    c->in_feed = false;
    return at;
}

/* Reading goes on while a request is in work, so that the client's going away is noticed; but not
 * without bound. */
static void keep_pending(struct http_conn *c, const uint8_t *bytes, size_t len)
{
    if (c->phase == PHASE_END || len == 0)
        return;
    text_push(&c->pending, (const char *)bytes, len);
    if (c->pending.bad) {
        http_conn_abort(c);
        return;
    }
    if (c->pending.len > PENDING_MAX && !c->paused) {
        c->paused = true;
        conn_pause(c->conn);
    }
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct http_conn *c = arg;
    size_t used = c->pending.len == 0 ? feed(c, bytes, len) : 0;

    keep_pending(c, bytes + used, len - used);
    if (takes_bytes(c) && c->pending.len > 0)
        worker_arm(c->worker, &c->hook);
}

static void feed_pending(struct http_conn *c)
{
    struct text pending = c->pending;

    if (pending.len > 0) {
        const uint8_t *bytes = (const uint8_t *)pending.p;

        c->pending = (struct text){0};
        size_t used = feed(c, bytes, pending.len);
        keep_pending(c, bytes + used, pending.len - used);
        text_fini(&pending);
    }
    if (c->paused && c->phase != PHASE_END && c->pending.len <= PENDING_MAX) {
        c->paused = false;
        conn_resume(c->conn);
    }
}

static void on_turn(struct turn_hook *hook, uint64_t now_us)
{
    struct http_conn *c = container_of(hook, struct http_conn, hook);

    (void)now_us;
    if (!takes_bytes(c) || has_share(c))
        feed_pending(c);
}

/* Another turn, for those who wait in the order they came. */
static void on_more(struct timer *t, uint64_t now_us)
{
    struct http_server *s = container_of(t, struct http_server, more);
    bool gone = false;

    (void)now_us;
    s->begun = 0;
    s->gone = &gone;
    while (!gone && s->begun < REQUESTS_A_TURN && !list_empty(&s->waiting)) {
        struct http_conn *c = container_of(s->waiting.next, struct http_conn, wait);

        list_remove(&c->wait);
        feed_pending(c);
    }
    if (!gone)
        s->gone = NULL;
}

static void on_drain(void *arg)
{
    struct http_conn *c = arg;

    if (c->x && c->x->stream != STREAM_NO)
        conn_trim(c->conn);
    if (c->x && c->x->on_drain)
        c->x->on_drain(c->x, c->x->drain_arg);
    else if (c->pending.len > 0 && takes_bytes(c))
        worker_arm(c->worker, &c->hook);
}

void http_conn_done(struct http_conn *c, bool keep)
{
    c->x = NULL;
    if (!keep || !c->server) {
        http_conn_end(c);
        return;
    }
    enter(c, PHASE_IDLE);
    if (c->pending.len > 0 && !c->in_feed)
        worker_arm(c->worker, &c->hook); /* not from within the handler's reply */
}

/* ---- Life of a connection -------------------------------------------------------------------- */

static void on_close(void *arg, int err)
{
    struct http_conn *c = arg;

    (void)err;
    if (c->x)
        exchange_gone(c->x);
    if (c->server) {
        c->server->counters.open--;
        list_remove(&c->link);
    }
    list_remove(&c->wait);
    worker_disarm(&c->hook);
    timer_stop(&c->timer);
    request_parser_destroy(&c->parser);
    text_fini(&c->pending);
    free(c);
}

static const struct conn_ops conn_callbacks = {
    .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static struct http_conn *create_conn(struct http_server *s, struct conn *conn)
{
    struct http_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    if (request_parser_create(&c->parser, s->body_cap_bytes)) {
        free(c);
        return NULL;
    }
    c->server = s;
    c->worker = s->worker;
    c->conn = conn;
    list_init(&c->wait);
    c->hook = (struct turn_hook){.run = on_turn, .stage = TURN_FANOUT};
    timer_init(&c->timer, s->worker, on_timer);
    return c;
}

static void on_accept(void *arg, struct conn *conn)
{
    struct http_server *s = arg;
    struct http_conn *c = NULL;

    s->counters.accepted++;
    if (s->counters.open < s->max_connections)
        c = create_conn(s, conn);
    if (!c) {
        s->counters.refused++;
        LOG_LIMITED("http", "connection refused: %llu are open", (unsigned long long)s->counters.open);
        conn_close(conn);
        return;
    }
    s->counters.open++;
    list_push_back(&s->conns, &c->link);
    conn_set_ops(conn, &conn_callbacks, c);
    enter(c, PHASE_IDLE);
}

/* ---- The server ------------------------------------------------------------------------------ */

int http_server_open(struct http_server **out, struct worker *w, const struct http_server_cfg *cfg)
{
    struct http_server *s = calloc(1, sizeof(*s));

    if (!s)
        return -ENOMEM;
    s->worker = w;
    s->body_cap_bytes = cfg->body_cap_bytes ? cfg->body_cap_bytes : BODY_CAP_BYTES;
    s->max_connections = cfg->max_connections ? cfg->max_connections : CONNECTIONS_MAX;
    s->bounds_us[PHASE_IDLE] = cfg->idle_us ? cfg->idle_us : IDLE_US;
    s->bounds_us[PHASE_HEAD] = cfg->head_us ? cfg->head_us : HEAD_US;
    s->bounds_us[PHASE_BODY] = cfg->body_us ? cfg->body_us : BODY_US;
    list_init(&s->conns);
    list_init(&s->waiting);
    timer_init(&s->more, w, on_more);
    int err = conn_listen(&s->listener, w, &cfg->listen, cfg->reuse_port, cfg->tls, on_accept, s);
    if (err) {
        free(s);
        return err;
    }
    *out = s;
    return 0;
}

void http_server_close(struct http_server **ps)
{
    struct http_server *s = *ps;

    if (!s)
        return;
    *ps = NULL;
    conn_listener_close(&s->listener);
    timer_stop(&s->more);
    if (s->gone)
        *s->gone = true;
    list_for_each(it, &s->conns) {
        struct http_conn *c = container_of(it, struct http_conn, link);

        list_remove(&c->link);
        http_conn_abort(c);
        if (c->x)
            exchange_gone(c->x);
        c->server = NULL; /* on_close comes later */
    }
    free(s);
}

void http_server_set_tls(struct http_server *s, struct tls_ctx *tls)
{
    conn_listener_set_tls(s->listener, tls);
}

void http_server_local(const struct http_server *s, struct addr *out)
{
    conn_listener_local(s->listener, out);
}

const struct http_counters *http_server_counters(const struct http_server *s)
{
    return &s->counters;
}
