/* SPDX-License-Identifier: Apache-2.0
 * http_client.c - see http_client.h. */
#include "http_client.h"

#include "io/timer.h"
#include "secure/conn.h"

#include <errno.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEAD_MAX = 4096, FIELD_MAX = 64, VALUE_MAX = 1024 };

struct http_call {
    struct http_call_cfg cfg;
    struct conn *conn; /* NULL once it is closed */
    struct timer timer;
    http_parser parser;
    bool done;      /* on_done was called, or the owner cancelled: freed when the connection is */
    bool in_value;
    char field[FIELD_MAX], location[VALUE_MAX], link[VALUE_MAX], value[VALUE_MAX];
    uint32_t retry_after_s;
    char *body;
    size_t body_len, request_len;
    char *request;
    char error[96];
};

static void free_call(struct http_call *c)
{
    free(c->request);
    free(c->body);
    free(c);
}

/* The connection goes first; the call is freed when it has gone. */
static void finish(struct http_call *c, unsigned status)
{
    struct http_answer a = {.status = status,
                            .error = status ? "" : c->error,
                            .location = c->location,
                            .link = c->link,
                            .retry_after_s = c->retry_after_s,
                            .body = c->body ? c->body : "",
                            .body_len = c->body_len,
                            .peer = c->cfg.to};

    if (c->done)
        return;
    c->done = true;
    timer_stop(&c->timer);
    c->cfg.on_done(c->cfg.arg, &a);
    if (c->conn)
        conn_close(c->conn);
}

static void fail(struct http_call *c, const char *why)
{
    snprintf(c->error, sizeof(c->error), "%s", why);
    finish(c, 0);
}

/* ---- What the parser finds --------------------------------------------------------------------------- */

static void append(char *to, size_t cap, const char *from, size_t len)
{
    size_t at = strlen(to);

    if (len > cap - 1 - at)
        len = cap - 1 - at;
    memcpy(to + at, from, len);
    to[at + len] = '\0';
}

static void append_link(struct http_call *c)
{
    if (c->link[0])
        append(c->link, sizeof(c->link), ", ", 2);
    append(c->link, sizeof(c->link), c->value, strlen(c->value));
}

static void take_field(struct http_call *c)
{
    if (strcasecmp(c->field, "location") == 0)
        strcpy(c->location, c->value);
    else if (strcasecmp(c->field, "link") == 0)
        append_link(c);
    else if (strcasecmp(c->field, "retry-after") == 0)
        c->retry_after_s = (uint32_t)strtoul(c->value, NULL, 10);
    c->field[0] = c->value[0] = '\0';
}

static int on_header_field(http_parser *p, const char *at, size_t len)
{
    struct http_call *c = p->data;

    if (c->in_value)
        take_field(c);
    c->in_value = false;
    append(c->field, sizeof(c->field), at, len);
    return 0;
}

static int on_header_value(http_parser *p, const char *at, size_t len)
{
    struct http_call *c = p->data;

    c->in_value = true;
    append(c->value, sizeof(c->value), at, len);
    return 0;
}

static bool streaming(const struct http_call *c)
{
    return c->cfg.on_body && c->parser.status_code / 100 == 2;
}

static int on_headers_complete(http_parser *p)
{
    struct http_call *c = p->data;

    if (c->in_value)
        take_field(c);
    c->in_value = false;
    if (streaming(c))
        timer_stop(&c->timer);
    return strcmp(c->cfg.method, "HEAD") == 0 ? 1 : 0;
}

static int on_parsed_body(http_parser *p, const char *at, size_t len)
{
    struct http_call *c = p->data;

    if (streaming(c))
        return c->cfg.on_body(c->cfg.arg, (const uint8_t *)at, len) ? 0 : 1;
    if (len > HTTP_BODY_MAX - c->body_len)
        return 1;
    char *more = realloc(c->body, c->body_len + len + 1);
    if (!more)
        return 1;
    c->body = more;
    memcpy(c->body + c->body_len, at, len);
    c->body_len += len;
    c->body[c->body_len] = '\0';
    return 0;
}

static int on_message_complete(http_parser *p)
{
    http_parser_pause(p, 1);
    return 0;
}

static const http_parser_settings settings = {
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_parsed_body,
    .on_message_complete = on_message_complete,
};

/* ---- The connection ------------------------------------------------------------------------------------ */

static void on_open(void *arg)
{
    struct http_call *c = arg;

    if (!c->done)
        conn_write(c->conn, c->request, c->request_len);
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct http_call *c = arg;

    if (c->done)
        return;
    http_parser_execute(&c->parser, &settings, (const char *)bytes, len);
    enum http_errno err = HTTP_PARSER_ERRNO(&c->parser);
    if (c->done)
        return;
    if (err == HPE_PAUSED)
        finish(c, c->parser.status_code);
    else if (err == HPE_CB_body)
        fail(c, streaming(c) ? "ended by this side" : "answer too large");
    else if (err != HPE_OK)
        fail(c, "not HTTP");
}

static const char *reason(int err)
{
    switch (err) {
    case 0:
        return "closed by the server";
    case -ECONNREFUSED:
        return "connection refused";
    case -ECONNRESET:
        return "connection reset";
    default:
        return err < 0 ? strerror(-err) : "connection lost";
    }
}

static void on_close(void *arg, int err)
{
    struct http_call *c = arg;
    char why[96];

    snprintf(why, sizeof(why), err == CONN_ERR_TLS ? "tls: %s" : "%s", err == CONN_ERR_TLS ? conn_error(c->conn) : reason(err));
    c->conn = NULL;
    if (!c->done && err == 0 && c->parser.status_code) /* a body that ends with the connection */
        http_parser_execute(&c->parser, &settings, "", 0);
    if (!c->done && HTTP_PARSER_ERRNO(&c->parser) == HPE_PAUSED)
        finish(c, c->parser.status_code);
    fail(c, why);
    free_call(c);
}

static const struct conn_ops ops = {.on_open = on_open, .on_data = on_data, .on_close = on_close};

static void on_timeout(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    fail(container_of(t, struct http_call, timer), "http timeout");
}

/* ---- Starting ------------------------------------------------------------------------------------------- */

static int write_request(struct http_call *c, const struct http_call_cfg *cfg)
{
    char authority[URL_HOST_MAX + 10], head[HEAD_MAX];
    bool has_body = cfg->content_type != NULL;

    url_authority(&cfg->url, authority);
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: millrace-load/%s\r\nConnection: close\r\n",
                     cfg->method, cfg->url.path, authority, MILLRACE_VERSION);
    if (cfg->accept)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Accept: %s\r\n", cfg->accept);
    if (cfg->bearer && cfg->bearer[0])
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Authorization: Bearer %.1024s\r\n", cfg->bearer);
    if (has_body)
        n += snprintf(head + n, sizeof(head) - (size_t)n, "Content-Type: %s\r\nContent-Length: %zu\r\n", cfg->content_type,
                      cfg->body_len);
    n += snprintf(head + n, sizeof(head) - (size_t)n, "\r\n");
    c->request_len = (size_t)n + (has_body ? cfg->body_len : 0);
    c->request = malloc(c->request_len);
    if (!c->request)
        return -ENOMEM;
    memcpy(c->request, head, (size_t)n);
    if (has_body)
        memcpy(c->request + n, cfg->body, cfg->body_len);
    return 0;
}

int http_call_start(struct http_call **out, struct worker *w, const struct http_call_cfg *cfg)
{
    struct http_call *c = calloc(1, sizeof(*c));

    if (!c)
        return -ENOMEM;
    c->cfg = *cfg;
    struct tls_ctx *tls = url_is_secure(&cfg->url) ? cfg->tls : NULL;
    http_parser_init(&c->parser, HTTP_RESPONSE);
    c->parser.data = c;
    timer_init(&c->timer, w, on_timeout);
    int err = write_request(c, cfg);
    if (!err)
        err = url_is_secure(&cfg->url) && !tls ? -EPROTONOSUPPORT
                                               : conn_connect(&c->conn, w, &cfg->to, tls, tls ? cfg->url.host : NULL, &ops, c);
    if (err) {
        free_call(c);
        return err;
    }
    if (cfg->timeout_us)
        timer_start(&c->timer, cfg->timeout_us);
    *out = c;
    return 0;
}

static void on_deleted(void *arg, const struct http_answer *a)
{
    (void)arg, (void)a;
}

void http_delete(struct worker *w, const struct url *url, const struct addr *to, struct tls_ctx *tls, const char *bearer,
                 uint64_t timeout_us)
{
    struct http_call *c; /* it frees itself */
    struct http_call_cfg cfg = {.url = *url, .to = *to, .tls = tls, .method = "DELETE", .bearer = bearer, .timeout_us = timeout_us,
                                .on_done = on_deleted};
    int err = http_call_start(&c, w, &cfg);

    (void)err; /* then the server finds out by itself */
}

void http_call_cancel(struct http_call **pc)
{
    struct http_call *c = *pc;

    *pc = NULL;
    if (!c || c->done)
        return;
    c->done = true;
    timer_stop(&c->timer);
    if (c->conn)
        conn_close(c->conn);
}
