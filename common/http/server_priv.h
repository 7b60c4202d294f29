/* SPDX-License-Identifier: Apache-2.0
 * server_priv.h - the inside of a server: connections (server.c), the exchange each has in work
 * (exchange.c, stream.c), routes (route.c). */
#pragma once

#include "http/server.h"

#include "base/list.h"
#include "io/timer.h"
#include "request_priv.h"
#include "secure/conn.h"

struct http_cors;

/* ---- Routes ---------------------------------------------------------------------------------- */

struct http_route {
    enum http_method method;
    const char *pattern;
    void (*handler)(struct http_exchange *x, void *arg);
    void *arg;
};

struct http_cors_route {
    const char *pattern;
    const struct http_cors *cors;
};

enum { ROUTES_MAX = 64, CORS_ROUTES_MAX = 16 };

enum phase {
    PHASE_IDLE, /* between requests */
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_WORK, /* conn->x is with its handler, or streams */
    PHASE_END,  /* shutting down; only on_close comes */
};

struct http_server {
    struct worker *worker;
    struct conn_listener *listener;
    struct list conns;
    struct list waiting; /* conns that have requests left for the next turn, by http_conn.wait */
    struct timer more;   /* that turn */
    unsigned begun;      /* requests, since it was last due */
    bool *gone;          /* set where it is closed by what on_more does; else NULL */
    size_t body_cap_bytes, max_connections;
    uint64_t bounds_us[PHASE_WORK]; /* by phase */
    struct http_route routes[ROUTES_MAX];
    struct http_cors_route cors[CORS_ROUTES_MAX];
    size_t n_routes, n_cors;
    struct http_counters counters;
    char date[32]; /* "Sun, 06 Nov 1994 08:49:37 GMT" */
    uint64_t date_s;
};

/* Bits of the methods routed on the pattern that matches path best; 0 when none matches. *route is
 * the one for method, or NULL. */
unsigned route_find(const struct http_server *s, const char *path, enum http_method method,
                    const struct http_route **route);
const struct http_cors *route_cors(const struct http_server *s, const char *path);
/* "GET, HEAD, OPTIONS" of such bits. */
void route_print_methods(unsigned methods, char *out, size_t cap);

/* ---- Connections ----------------------------------------------------------------------------- */

struct http_conn {
    struct list link;           /* in server->conns */
    struct list wait;           /* in server->waiting, or in none */
    struct http_server *server; /* NULL when that is closed */
    struct worker *worker;
    struct conn *conn;
    enum phase phase;
    bool in_feed;
    bool paused;
    struct timer timer; /* of the phase */
    size_t queued_then; /* at the timer's last look */
    struct request_parser *parser;
    struct http_exchange *x; /* NULL when none is in work */
    struct text pending;     /* came while one was in work */
    struct turn_hook hook;   /* feeds what is pending */
};

/* The exchange is over and freed; the connection goes on, or ends. */
void http_conn_done(struct http_conn *c, bool keep);
/* Sends what is queued, then closes. */
void http_conn_end(struct http_conn *c);
/* Closes at once. */
void http_conn_abort(struct http_conn *c);

/* ---- Exchanges ------------------------------------------------------------------------------- */

enum http_stream { STREAM_NO, STREAM_CHUNKED, STREAM_PLAIN, STREAM_HEAD };

struct http_exchange {
    struct http_conn *c;     /* NULL when forwarded here from another worker */
    struct forward *forward; /* NULL when not */
    struct request *r;       /* NULL when unknown, or forwarded from here */
    enum http_method method;
    bool http_1_1;
    bool close; /* the connection does not outlive the reply */
    enum http_stream stream;
    struct text headers; /* of the reply */
    void (*on_gone)(struct http_exchange *x, void *arg);
    void *gone_arg;
    void (*on_drain)(struct http_exchange *x, void *arg);
    void *drain_arg;
};

/* Takes the request over (also when it fails); r may be NULL. NULL when memory is short. */
struct http_exchange *exchange_create(struct http_conn *c, struct request *r);
void exchange_destroy(struct http_exchange **x);
/* Finds the handler and calls it, or answers 404, 405. */
void exchange_dispatch(struct http_exchange *x);
/* The client went away: tells the handler. x is freed. */
void exchange_gone(struct http_exchange *x);
/* Status line and header fields into out; length_known: with Content-Length. */
void exchange_head(struct http_exchange *x, struct text *out, int status, const char *content_type,
                   bool length_known, size_t len);
const char *status_phrase(int status);

/* ---- What another worker forwarded (forward.c) ----------------------------------------------- */

/* body is shared, or NULL and then bytes are copied. x is freed. */
void forward_reply(struct http_exchange *x, int status, const char *content_type, const void *bytes,
                   size_t len, struct buf *body);
const struct addr *forward_peer(const struct forward *f);
const char *forward_base_url(const struct forward *f);
struct worker *forward_worker(const struct forward *f);
