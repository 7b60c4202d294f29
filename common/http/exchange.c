/* SPDX-License-Identifier: Apache-2.0
 * exchange.c - one request and its reply. */
#include "server_priv.h"

#include "base/log.h"
#include "http/cors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DETAIL_CAP = 512 /* bytes of a problem's detail; the rest is cut */ };

/* ---- Life ------------------------------------------------------------------------------------ */

static enum http_method method_of(const char *name)
{
    static const char *const names[] = {
        [HTTP_M_GET] = "GET",        [HTTP_M_HEAD] = "HEAD",   [HTTP_M_POST] = "POST",
        [HTTP_M_PUT] = "PUT",        [HTTP_M_PATCH] = "PATCH", [HTTP_M_DELETE] = "DELETE",
        [HTTP_M_OPTIONS] = "OPTIONS"};

    for (unsigned i = 0; i < LEN(names); i++)
        if (strcmp(names[i], name) == 0)
            return (enum http_method)i;
    return HTTP_M_OTHER;
}

static void push_cors(struct http_exchange *x)
{
    const struct http_cors *cors = x->c->server ? route_cors(x->c->server, http_path(x)) : NULL;

    if (!cors)
        return;
    http_reply_header(x, "Access-Control-Allow-Origin", "*");
    if (cors->expose)
        http_reply_header(x, "Access-Control-Expose-Headers", cors->expose);
}

struct http_exchange *exchange_create(struct http_conn *c, struct request *r)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    if (!x) {
        request_destroy(&r);
        return NULL;
    }
    x->c = c;
    x->r = r;
    x->method = r ? method_of(r->method) : HTTP_M_OTHER;
    x->http_1_1 = r && r->http_1_1;
    x->close = !r || !r->keep_alive;
    push_cors(x);
    return x;
}

void exchange_destroy(struct http_exchange **px)
{
    struct http_exchange *x = *px;

    *px = NULL;
    request_destroy(&x->r);
    text_fini(&x->headers);
    free(x);
}

void exchange_gone(struct http_exchange *x)
{
    x->c->x = NULL;
    if (x->on_gone)
        x->on_gone(x, x->gone_arg);
    exchange_destroy(&x);
}

void exchange_dispatch(struct http_exchange *x)
{
    struct http_conn *c = x->c;
    const struct http_route *route;
    unsigned methods = route_find(c->server, http_path(x), x->method, &route);
    char allow[80];

    if (!methods) {
        http_problem(x, 404, "nothing at %.200s", http_path(x));
        return;
    }
    if (!route) {
        route_print_methods(methods, allow, sizeof(allow));
        http_reply_header(x, "Allow", allow);
        http_problem(x, 405, "allowed here: %s", allow);
        return;
    }
    route->handler(x, route->arg);
    if (c->x == x && !x->on_gone && x->stream == STREAM_NO) {
        log_error("http", "handler of %s %s forgot to reply", x->r->method, route->pattern);
        http_problem(x, 500, "no reply");
    }
}

/* ---- The request ----------------------------------------------------------------------------- */

enum http_method http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->r ? x->r->path : "";
}

const char *http_query(const struct http_exchange *x, const char *name)
{
    for (size_t i = 0; x->r && i < x->r->n_params; i++)
        if (strcmp(x->r->params[i].name, name) == 0)
            return x->r->params[i].value;
    return NULL;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    return x->r ? request_field(x->r, name) : NULL;
}

const uint8_t *http_body(const struct http_exchange *x, size_t *len)
{
    *len = x->r ? x->r->body.len : 0;
    return *len ? (const uint8_t *)x->r->body.p : (const uint8_t *)"";
}

const struct addr *http_peer(const struct http_exchange *x)
{
    return x->forward ? forward_peer(x->forward) : conn_peer(x->c->conn);
}

struct worker *http_worker(const struct http_exchange *x)
{
    return x->forward ? forward_worker(x->forward) : x->c->worker;
}

void http_base_url(const struct http_exchange *x, char *out, size_t cap)
{
    const char *host = http_header(x, "host");
    char local_text[ADDR_TEXT_CAP];
    struct addr local;

    if (x->forward) {
        snprintf(out, cap, "%s", forward_base_url(x->forward));
        return;
    }
    if (!host || !host[0]) { /* HTTP/1.0 */
        memset(&local, 0, sizeof(local));
        if (x->c->server)
            http_server_local(x->c->server, &local);
        host = addr_print(&local, local_text);
    }
    snprintf(out, cap, "%s://%s", conn_is_tls(x->c->conn) ? "https" : "http", host);
}

/* ---- The reply ------------------------------------------------------------------------------- */

void http_on_gone(struct http_exchange *x, void (*on_gone)(struct http_exchange *x, void *arg), void *arg)
{
    x->on_gone = on_gone;
    x->gone_arg = arg;
}

void http_reply_header(struct http_exchange *x, const char *name, const char *value)
{
    if (name[strcspn(name, "\r\n: ")] || value[strcspn(value, "\r\n")]) {
        log_error("http", "reply field %s refused: it would split the reply", name);
        return;
    }
    text_print(&x->headers, "%s: %s\r\n", name, value);
}

/* RFC 9110 s5.6.7; strftime would follow the locale. */
static const char *date(struct http_server *s)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    uint64_t now_s = worker_unix_us(s->worker) / 1000000;
    time_t t = (time_t)now_s;
    struct tm tm;

    if (now_s == s->date_s)
        return s->date;
    s->date_s = now_s;
    gmtime_r(&t, &tm);
    snprintf(s->date, sizeof(s->date), "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
             (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12], (unsigned)(tm.tm_year + 1900) % 10000,
             (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
    return s->date;
}

void exchange_head(struct http_exchange *x, struct text *out, int status, const char *content_type,
                   bool length_known, size_t len)
{
    struct http_server *s = x->c->server;

    if (status >= 100 && status < 600)
        s->counters.status[status / 100]++;
    text_print(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, status_phrase(status), date(s));
    if (content_type)
        text_print(out, "Content-Type: %s\r\n", content_type);
    if (length_known && status != 204 && status != 304) /* RFC 9110 s8.6 */
        text_print(out, "Content-Length: %zu\r\n", len);
    if (x->headers.len)
        text_push(out, x->headers.p, x->headers.len);
    if (x->close)
        text_print(out, "Connection: close\r\n");
    else if (!x->http_1_1)
        text_print(out, "Connection: keep-alive\r\n");
    text_push(out, "\r\n", 2);
    out->bad |= x->headers.bad;
}

/* Head, then body: inline, shared, or left out for HEAD. */
static void reply(struct http_exchange *x, struct text *head, const void *body, size_t len,
                  struct buf *shared)
{
    struct http_conn *c = x->c;
    bool keep = !x->close && !head->bad;

    if (x->method == HTTP_M_HEAD)
        len = 0;
    if (len > 0 && len <= 8192) /* one write, one TLS record */
        text_push(head, body, len);
    if (!head->bad)
        conn_write(c->conn, head->p, head->len);
    if (!head->bad && len > 8192)
        shared ? conn_write_buf(c->conn, shared, 0) : conn_write(c->conn, body, len);
    text_fini(head);
    exchange_destroy(&x);
    http_conn_done(c, keep);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len)
{
    struct text head = {0};

    if (x->forward) {
        forward_reply(x, status, content_type, body, len, NULL);
        return;
    }
    exchange_head(x, &head, status, content_type, true, len);
    reply(x, &head, body, len, NULL);
}

void http_reply_buf(struct http_exchange *x, int status, const char *content_type, struct buf *body)
{
    struct text head = {0};

    if (x->forward) {
        forward_reply(x, status, content_type, NULL, 0, body);
        return;
    }
    exchange_head(x, &head, status, content_type, true, body->len);
    reply(x, &head, body->bytes, body->len, body);
}

/* What a path may contain is escaped as RFC 8259 s7 asks; bytes beyond ASCII become '?', as they may
 * not be UTF-8. */
static void push_json(struct text *out, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;

        if (c == '"' || c == '\\')
            text_print(out, "\\%c", c);
        else
            text_print(out, "%c", c < ' ' || c > '~' ? '?' : c);
    }
}

void http_problem(struct http_exchange *x, int status, const char *fmt, ...)
{
    struct text body = {0};
    char detail[DETAIL_CAP];
    va_list args;

    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    text_print(&body, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"",
               status_phrase(status), status);
    push_json(&body, detail);
    text_print(&body, "\"}\n");
    http_reply(x, status, "application/problem+json", body.bad ? "" : body.p, body.bad ? 0 : body.len);
    text_fini(&body);
}
