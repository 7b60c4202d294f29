/* SPDX-License-Identifier: Apache-2.0
 * server.h - HTTP/1.1 server of one worker.
 *
 * Requests are parsed (http-parser), bodies gathered up to a bound, routed by method and path, and
 * answered at once or later. One request is in work a connection; pipelined ones wait.
 * Bounds on strangers: a head of 16 KiB and 100 fields (431), a target of 8 KiB (414), the body's cap
 * (413), 10 s for a head and 30 s for a body (408), 60 s of silence between requests; a few requests of all a turn, the others
 * wait for the next.
 * Thread: the worker's. Source: RFC 9110, RFC 9112; problem documents RFC 9457. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/tcp.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;
struct http_exchange; /* one request and its reply */
struct tls_ctx;       /* secure/tls.h */

enum http_method {
    HTTP_M_GET,
    HTTP_M_HEAD,
    HTTP_M_POST,
    HTTP_M_PUT,
    HTTP_M_PATCH,
    HTTP_M_DELETE,
    HTTP_M_OPTIONS,
    HTTP_M_OTHER /* answered 405 or 404 */
};

struct http_server_cfg {
    struct addr listen;
    struct tls_ctx *tls;    /* NULL: plain */
    size_t body_cap_bytes;  /* larger bodies get 413; 0 means 64 KiB */
    size_t max_connections; /* more are closed at once; 0 means 16384 */
    /* How long a request's head, its body, the pause before it may take; 0: 10, 30, 60 s. */
    uint64_t head_us, body_us, idle_us;
    bool reuse_port;
};

struct http_counters {
    uint64_t accepted, refused; /* connections; refused: over max_connections */
    uint64_t open;              /* connections now */
    uint64_t requests;          /* complete ones, as given to handlers or answered 404, 405 */
    uint64_t bad;               /* malformed, too large or too slow */
    uint64_t status[6];         /* replies by class: [2] is 2xx */
};

MUST_USE int http_server_open(struct http_server **out, struct worker *w, const struct http_server_cfg *cfg);
/* Open exchanges are ended (on_gone is called for those that asked for it). */
void http_server_close(struct http_server **s);
/* New connections meet this certificate; the server must have had one. Takes a reference. */
void http_server_set_tls(struct http_server *s, struct tls_ctx *tls);
void http_server_local(const struct http_server *s, struct addr *out);
const struct http_counters *http_server_counters(const struct http_server *s);

/* Patterns: "/whip/ *" without the space: a trailing '*' matches the rest; a pattern may also
 * start with '*' ("*.flv"). The longest literal match wins, whatever its methods: those not routed on it
 * get 405 with Allow; unknown paths 404. HEAD falls back to GET's route with the body left out.
 * A handler replies, or asks for on_gone and replies later. Patterns are borrowed for the server's life;
 * see cors.h for pages of other origins. */
void http_route(struct http_server *s, enum http_method method, const char *pattern,
                void (*handler)(struct http_exchange *x, void *arg), void *arg);

/* ---- The request: valid until the reply ends, or a stream begins (its peer and method longer) ---- */
enum http_method http_method(const struct http_exchange *x);
/* Percent-decoded, without query, "." and empty segments; starts with '/'. ".." and control
 * characters never come here: 400. */
const char *http_path(const struct http_exchange *x);
/* Value of the first query parameter of that name, decoded ('+' is a space), or NULL. */
const char *http_query(const struct http_exchange *x, const char *name);
/* Value of the first header of that name (case-insensitive), or NULL. */
const char *http_header(const struct http_exchange *x, const char *name);
const uint8_t *http_body(const struct http_exchange *x, size_t *len);
const struct addr *http_peer(const struct http_exchange *x);
struct worker *http_worker(const struct http_exchange *x);
/* "http://host:port" as the client addressed this server (Host header, scheme), for absolute URLs.
 * cap is in bytes; cut short when it does not fit. */
void http_base_url(const struct http_exchange *x, char *out, size_t cap);

/* ---- The reply: now, or later (keep x; ask for on_gone) -------------------------------------- */
/* Called when the client goes away before the reply was finished; x is dead after it. At most once;
 * never after http_reply. */
void http_on_gone(struct http_exchange *x, void (*on_gone)(struct http_exchange *x, void *arg), void *arg);
/* A header field of the reply, copied; a line break in it is refused, with an error in the log. */
void http_reply_header(struct http_exchange *x, const char *name, const char *value);
/* Ends the exchange. content_type may be NULL with len 0. Body copied. Content-Length, Date set here. */
void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len);
/* The same with a shared body, not copied; takes a reference of its own. */
void http_reply_buf(struct http_exchange *x, int status, const char *content_type, struct buf *body);
/* RFC 9457 problem JSON: {"type":"about:blank","title","status","detail"}; detail printf-like. */
void http_problem(struct http_exchange *x, int status, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* ---- A reply without end: FLV, server-sent events -------------------------------------------- */
/* Sends status and headers. chunked: Transfer-Encoding chunked (HTTP/1.1 clients), else until close. The
 * stream then lives until http_stream_end or on_gone (so ask for on_gone first). on_drain may be NULL. To
 * HEAD the head is sent, what is written is dropped, and on_gone comes soon. */
void http_stream_begin(struct http_exchange *x, int status, const char *content_type, bool chunked,
                       void (*on_drain)(struct http_exchange *x, void *arg), void *arg);
void http_stream_write(struct http_exchange *x, const void *bytes, size_t len);  /* copied */
/* A piece of a body that many streams are sent, with the framing of a chunk (RFC 9112 s7.1) around it, made once for all. */
struct http_piece {
    struct buf *framed; /* NULL: no piece */
    size_t from, to;    /* the body's own bytes */
};
/* Copies; len > 0. The piece holds the one reference, for buf_unref. 0, or -1 when memory is short. */
MUST_USE int http_piece_create(struct http_piece *out, const void *bytes, size_t len);
/* Shared, not copied, and sent at once when nothing waits before it. */
void http_stream_send(struct http_exchange *x, const struct http_piece *p);
size_t http_stream_queued_bytes(const struct http_exchange *x);
/* Who sends to a crowd waits for memory more than it computes. http_stream_send comes soon, in `steps` sends of others: called with
 * HTTP_SOON_STEPS, and on down to 1, it fetches what will be needed, each time what the last time has told the place of. */
enum { HTTP_SOON_STEPS = 4 };
void http_stream_soon(const struct http_exchange *x, unsigned steps);
void http_stream_end(struct http_exchange *x);   /* sends what is queued, then ends; x is dead */
void http_stream_abort(struct http_exchange *x); /* drops the connection; x is dead; no on_gone */
