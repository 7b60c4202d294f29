/* SPDX-License-Identifier: Apache-2.0
 * fake_http.c - see fake_http.h. */
#include "fake_http.h"

#include "http/cors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static struct {
    enum http_method method;
    const char *pattern;
    void (*handler)(struct http_exchange *x, void *arg);
    void *arg;
} routes[16];
static size_t n_routes;
static struct addr peer;

void fake_forget_routes(void)
{
    n_routes = 0;
    assert_int_equal(addr_parse(&peer, "192.0.2.1:4711"), 0);
}

void http_route(struct http_server *s, enum http_method method, const char *pattern,
                void (*handler)(struct http_exchange *x, void *arg), void *arg)
{
    (void)s;
    assert_true(n_routes < LEN(routes));
    routes[n_routes].method = method;
    routes[n_routes].pattern = pattern;
    routes[n_routes].handler = handler;
    routes[n_routes++].arg = arg;
}

void http_cors_route(struct http_server *s, const char *pattern, const struct http_cors *cors)
{
    (void)s;
    assert_non_null(pattern);
    assert_non_null(strstr(cors->methods, "OPTIONS"));
}

void fake_request(struct http_exchange *x)
{
    enum http_method method = x->method == HTTP_M_HEAD ? HTTP_M_GET : x->method;
    size_t best = LEN(routes), best_len = 0;

    for (size_t i = 0; i < n_routes; i++) {
        size_t len = strlen(routes[i].pattern) - 1;
        if (routes[i].method == method && len > best_len && strncmp(x->path, routes[i].pattern, len) == 0) {
            best = i;
            best_len = len;
        }
    }
    assert_true(best < n_routes);
    routes[best].handler(x, routes[best].arg);
}

void fake_gone(struct http_exchange *x)
{
    assert_false(x->replied);
    x->dead = true;
    if (x->on_gone)
        x->on_gone(x, x->gone_arg);
}

/* ---- http/server.h -------------------------------------------------------------------------------------------- */

enum http_method http_method(const struct http_exchange *x)
{
    return x->method;
}

const char *http_path(const struct http_exchange *x)
{
    return x->path;
}

const char *http_header(const struct http_exchange *x, const char *name)
{
    if (strcasecmp(name, "Content-Type") == 0)
        return x->type;
    return strcasecmp(name, "If-Match") == 0 ? x->if_match : NULL;
}

const char *http_query(const struct http_exchange *x, const char *name)
{
    (void)x;
    (void)name;
    return NULL;
}

const uint8_t *http_body(const struct http_exchange *x, size_t *len)
{
    *len = x->body_len;
    return (const uint8_t *)x->body;
}

const struct addr *http_peer(const struct http_exchange *x)
{
    (void)x;
    return &peer;
}

void http_on_gone(struct http_exchange *x, void (*on_gone)(struct http_exchange *x, void *arg), void *arg)
{
    x->on_gone = on_gone;
    x->gone_arg = arg;
}

void http_reply_header(struct http_exchange *x, const char *name, const char *value)
{
    assert_false(x->replied || x->dead);
    if (strcmp(name, "Location") == 0)
        snprintf(x->location, sizeof(x->location), "%s", value);
    else if (strcmp(name, "ETag") == 0)
        snprintf(x->etag, sizeof(x->etag), "%s", value);
    else if (strcmp(name, "Retry-After") == 0)
        snprintf(x->retry_after, sizeof(x->retry_after), "%s", value);
    else if (strcmp(name, "Allow") == 0)
        snprintf(x->allow, sizeof(x->allow), "%s", value);
    else if (strcmp(name, "Accept-Patch") == 0)
        snprintf(x->accept_patch, sizeof(x->accept_patch), "%s", value);
    else if (strcmp(name, "Link") == 0)
        snprintf(x->link, sizeof(x->link), "%s", value);
    else
        fail_msg("header %s", name);
}

void http_reply(struct http_exchange *x, int status, const char *content_type, const void *body, size_t len)
{
    assert_false(x->replied || x->dead);
    assert_true(len < sizeof(x->reply));
    assert_true(status != 405 || x->allow[0]);                                         /* RFC 9110 s15.5.6 */
    assert_true(status != 415 || x->method != HTTP_M_PATCH || x->accept_patch[0]); /* RFC 5789 s2.2 */
    x->replied = true;
    x->status = status;
    snprintf(x->content_type, sizeof(x->content_type), "%s", content_type ? content_type : "");
    if (len)
        memcpy(x->reply, body, len);
    x->reply_len = len;
    x->reply[len] = '\0';
}

void http_problem(struct http_exchange *x, int status, const char *fmt, ...)
{
    char detail[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(detail, sizeof(detail), fmt, args);
    va_end(args);
    assert_true(detail[0] != '\0');
    http_reply(x, status, "application/problem+json", detail, strlen(detail));
}
