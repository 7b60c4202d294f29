/* SPDX-License-Identifier: Apache-2.0 */
#include "request_priv.h"

#include <errno.h>
#include <http_parser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct request_parser {
    struct http_parser http;
    struct request *r; /* in the making; NULL before its first byte, so that a connection between requests costs little */
    size_t body_cap_bytes;
    size_t head_bytes;
    bool in_value;      /* the last piece was of a value */
    bool head_complete; /* what looks like fields now are trailers */
    bool message_complete;
    int err;
    const char *reason;
};

static int fail(struct request_parser *p, int err, const char *reason)
{
    p->err = err;
    p->reason = reason;
    return -1; /* makes http_parser_execute return */
}

/* ---- Callbacks: every string may come in pieces ---------------------------------------------- */

static int push_text(struct request_parser *p, const char *at, size_t n)
{
    p->head_bytes += n;
    if (p->head_bytes > REQUEST_HEAD_MAX)
        return fail(p, REQUEST_ERR_HEAD_LARGE, "head over 16 KiB");
    text_push(&p->r->text, at, n);
    return p->r->text.bad ? fail(p, REQUEST_ERR_MEMORY, "out of memory") : 0;
}

static int on_url(http_parser *http, const char *at, size_t n)
{
    struct request_parser *p = http->data;

    if (p->r->text.len + n > REQUEST_TARGET_MAX)
        return fail(p, REQUEST_ERR_TARGET_LONG, "target over 8 KiB");
    return push_text(p, at, n);
}

/* A NUL ends the string before, without the blanks behind a value (RFC 9110 s5.5); the next begins
 * behind it. */
static int end_string(struct request_parser *p)
{
    struct text *t = &p->r->text;

    while (p->in_value && t->len > 0 && (t->p[t->len - 1] == ' ' || t->p[t->len - 1] == '\t'))
        t->len--;
    return push_text(p, "", 1);
}

static int on_field(http_parser *http, const char *at, size_t n)
{
    struct request_parser *p = http->data;
    struct request *r = p->r;

    if (p->head_complete) { /* trailers are counted and forgotten */
        p->head_bytes += n;
        return p->head_bytes > REQUEST_HEAD_MAX ? fail(p, REQUEST_ERR_HEAD_LARGE, "trailers over 16 KiB") : 0;
    }
    if (p->in_value || r->n_fields == 0) {
        if (r->n_fields == REQUEST_FIELDS_MAX)
            return fail(p, REQUEST_ERR_HEAD_LARGE, "over 100 fields");
        if (end_string(p))
            return -1;
        r->fields[r->n_fields++] = (struct request_field){.name = (uint32_t)r->text.len};
        p->in_value = false;
    }
    return push_text(p, at, n);
}

static int on_value(http_parser *http, const char *at, size_t n)
{
    struct request_parser *p = http->data;
    struct request *r = p->r;

    if (p->head_complete || r->n_fields == 0)
        return on_field(http, at, n);
    if (!p->in_value) {
        if (end_string(p))
            return -1;
        r->fields[r->n_fields - 1].value = (uint32_t)r->text.len;
        p->in_value = true;
    }
    return push_text(p, at, n);
}

static size_t count_fields(const struct request *r, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < r->n_fields; i++)
        n += strcasecmp(r->text.p + r->fields[i].name, name) == 0;
    return n;
}

/* RFC 9112 s6: a message whose length two could read differently is refused. That Content-Length and
 * Transfer-Encoding come together, the parser has refused already. */
static int check_framing(struct request_parser *p)
{
    const struct request *r = p->r;
    const char *coding = request_field(r, "transfer-encoding");

    if (coding && (!r->http_1_1 || count_fields(r, "transfer-encoding") > 1))
        return fail(p, REQUEST_ERR_BAD, "ambiguous transfer encoding");
    if (coding && strcasecmp(coding, "chunked") != 0)
        return fail(p, REQUEST_ERR_CODING, "unknown transfer coding");
    if (count_fields(r, "content-length") > 1)
        return fail(p, REQUEST_ERR_BAD, "two content lengths");
    if (p->http.content_length != UINT64_MAX && p->http.content_length > p->body_cap_bytes)
        return fail(p, REQUEST_ERR_BODY_LARGE, "body too large");
    return 0;
}

/* RFC 9112 s3.2: one Host, and nothing in it that would break out of a URL made of it. */
static int check_host(struct request_parser *p)
{
    const struct request *r = p->r;
    const char *host = request_field(r, "host");
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._:[]%";

    if (count_fields(r, "host") > 1 || (!host && r->http_1_1))
        return fail(p, REQUEST_ERR_BAD, "not one Host");
    if (host && host[strspn(host, allowed)])
        return fail(p, REQUEST_ERR_BAD, "malformed Host");
    return 0;
}

static int on_headers_complete(http_parser *http)
{
    struct request_parser *p = http->data;
    struct request *r = p->r;
    char *query;

    if (end_string(p))
        return -1;
    http->upgrade = 0; /* not taken: the request is answered as it is */
    p->head_complete = true;
    if (http->http_major != 1)
        return fail(p, REQUEST_ERR_VERSION, "not HTTP/1");
    r->method = http_method_str((enum http_method)http->method);
    r->http_1_1 = http->http_minor >= 1;
    r->keep_alive = http_should_keep_alive(http);
    if (target_split(r->text.p, &r->path, &query))
        return fail(p, REQUEST_ERR_BAD, "malformed target");
    r->n_params = target_params(query, r->params, REQUEST_PARAMS_MAX);
    if (check_framing(p) || check_host(p))
        return -1;
    const char *expect = request_field(r, "expect");
    r->expect_continue = r->http_1_1 && expect && strcasecmp(expect, "100-continue") == 0;
    r->has_body = request_field(r, "transfer-encoding") ||
                  (http->content_length != UINT64_MAX && http->content_length > 0);
    http_parser_pause(http, 1);
    return 0;
}

static int on_body(http_parser *http, const char *at, size_t n)
{
    struct request_parser *p = http->data;

    if (n > p->body_cap_bytes - p->r->body.len)
        return fail(p, REQUEST_ERR_BODY_LARGE, "body too large");
    text_push(&p->r->body, at, n);
    return p->r->body.bad ? fail(p, REQUEST_ERR_MEMORY, "out of memory") : 0;
}

static int on_message_complete(http_parser *http)
{
    struct request_parser *p = http->data;

    p->message_complete = true;
    http_parser_pause(http, 1);
    return 0;
}

static const http_parser_settings callbacks = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* ---- Feeding --------------------------------------------------------------------------------- */

static int parser_error(struct request_parser *p)
{
    enum http_errno code = HTTP_PARSER_ERRNO(&p->http);

    if (p->err)
        return p->err;
    p->reason = http_errno_description(code);
    p->err = code == HPE_HEADER_OVERFLOW ? REQUEST_ERR_HEAD_LARGE : REQUEST_ERR_BAD;
    return p->err;
}

static int begin_request(struct request_parser *p)
{
    p->r = calloc(1, sizeof(*p->r));
    if (!p->r)
        return -ENOMEM;
    p->r->method = p->r->path = "";
    return 0;
}

int request_parser_feed(struct request_parser *p, const uint8_t *bytes, size_t len, size_t *used,
                        enum request_event *event)
{
    bool head_before = p->head_complete;

    if (p->err)
        return p->err;
    if (!p->r && begin_request(p))
        return fail(p, REQUEST_ERR_MEMORY, "out of memory"), p->err;
    *used = http_parser_execute(&p->http, &callbacks, (const char *)bytes, len);
    if (p->err || (HTTP_PARSER_ERRNO(&p->http) != HPE_OK && HTTP_PARSER_ERRNO(&p->http) != HPE_PAUSED))
        return parser_error(p);
    if (HTTP_PARSER_ERRNO(&p->http) == HPE_PAUSED)
        http_parser_pause(&p->http, 0);
    *event = p->message_complete                ? REQUEST_DONE
             : p->head_complete && !head_before ? REQUEST_HEAD
                                                : REQUEST_MORE;
    return REQUEST_OK;
}

const struct request *request_parser_peek(const struct request_parser *p)
{
    return p->r;
}

const char *request_parser_reason(const struct request_parser *p)
{
    return p->reason ? p->reason : "";
}

static void start(struct request_parser *p)
{
    size_t body_cap_bytes = p->body_cap_bytes;

    *p = (struct request_parser){.body_cap_bytes = body_cap_bytes};
    http_parser_init(&p->http, HTTP_REQUEST);
    p->http.data = p;
}

struct request *request_parser_take(struct request_parser *p)
{
    struct request *r = p->r;

    start(p);
    return r;
}

int request_parser_create(struct request_parser **out, size_t body_cap_bytes)
{
    struct request_parser *p = calloc(1, sizeof(*p));

    if (!p)
        return -ENOMEM;
    p->body_cap_bytes = body_cap_bytes;
    start(p);
    *out = p;
    return 0;
}

void request_parser_destroy(struct request_parser **pp)
{
    struct request_parser *p = *pp;

    if (!p)
        return;
    *pp = NULL;
    request_destroy(&p->r);
    free(p);
}

void request_destroy(struct request **pr)
{
    struct request *r = *pr;

    if (!r)
        return;
    *pr = NULL;
    text_fini(&r->text);
    text_fini(&r->body);
    free(r);
}

const char *request_field(const struct request *r, const char *name)
{
    for (size_t i = 0; i < r->n_fields; i++)
        if (r->fields[i].value && strcasecmp(r->text.p + r->fields[i].name, name) == 0)
            return r->text.p + r->fields[i].value;
    return NULL;
}
