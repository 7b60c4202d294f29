/* SPDX-License-Identifier: Apache-2.0
 * forward.c - a request travels to another worker and its reply back, in one and the same mail.
 *
 * Nothing is shared at any time: the mail, and the request in it, belong to the worker that has it.
 * The one thing that stays behind, x, is touched at home only. */
#include "http/forward.h"

#include "server_priv.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BASE_URL_CAP = 300 /* bytes; names have 253 characters at most */, CONTENT_TYPE_CAP = 128 };

struct forward {
    struct mail mail;
    struct worker *home, *to;
    void (*handler)(struct http_exchange *x, void *arg);
    void *arg;
    struct http_exchange *x;     /* at home; NULL when its client went away */
    struct http_exchange *proxy; /* there */
    struct addr peer;
    char base_url[BASE_URL_CAP];
    /* The reply. */
    int status;
    char content_type[CONTENT_TYPE_CAP]; /* "": none */
    struct text headers;
    struct buf *body; /* NULL: none */
};

static void free_forward(struct forward *f)
{
    if (f->proxy)
        exchange_destroy(&f->proxy);
    text_fini(&f->headers);
    buf_unref(&f->body);
    free(f);
}

/* ---- Back home ------------------------------------------------------------------------------- */

static void on_reply(struct mail *m, struct worker *home)
{
    struct forward *f = container_of(m, struct forward, mail);
    struct http_exchange *x = f->x;
    const char *content_type = f->content_type[0] ? f->content_type : NULL;

    (void)home;
    if (x) {
        if (f->headers.len > 0)
            text_push(&x->headers, f->headers.p, f->headers.len);
        if (f->body)
            http_reply_buf(x, f->status, content_type, f->body);
        else
            http_reply(x, f->status, content_type, NULL, 0);
    }
    free_forward(f);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    struct forward *f = arg;

    (void)x;
    f->x = NULL;
}

/* ---- There ----------------------------------------------------------------------------------- */

static void on_request(struct mail *m, struct worker *there)
{
    struct forward *f = container_of(m, struct forward, mail);

    (void)there;
    f->handler(f->proxy, f->arg);
}

static struct buf *copy(const void *bytes, size_t len)
{
    struct buf *b = buf_create(len);

    if (b) {
        memcpy(b->bytes, bytes, len);
        b->len = len;
    }
    return b;
}

void forward_reply(struct http_exchange *x, int status, const char *content_type, const void *bytes,
                   size_t len, struct buf *body)
{
    struct forward *f = x->forward;

    f->status = status;
    snprintf(f->content_type, sizeof(f->content_type), "%s", content_type ? content_type : "");
    f->headers = x->headers;
    x->headers = (struct text){0};
    if (body || len > 0)
        f->body = body ? buf_ref(body) : copy(bytes, len);
    if (f->headers.bad || (len > 0 && !f->body)) /* rather no reply than half of one */
        f->status = 503;
    exchange_destroy(&f->proxy);
    f->mail.run = on_reply;
    worker_post(f->home, &f->mail);
}

const struct addr *forward_peer(const struct forward *f)
{
    return &f->peer;
}

const char *forward_base_url(const struct forward *f)
{
    return f->base_url;
}

struct worker *forward_worker(const struct forward *f)
{
    return f->to;
}

/* ---- At home, first -------------------------------------------------------------------------- */

void http_forward(struct http_exchange *x, struct worker *to,
                  void (*handler)(struct http_exchange *x, void *arg), void *arg)
{
    struct forward *f = calloc(1, sizeof(*f));
    struct http_exchange *proxy = calloc(1, sizeof(*proxy));

    assert(!x->forward); /* once is enough: each worker knows the home of everything */
    if (!f || !proxy) {
        free(f);
        free(proxy);
        http_problem(x, 503, "short of memory");
        return;
    }
    *f = (struct forward){.mail.run = on_request,
                          .home = http_worker(x),
                          .to = to,
                          .handler = handler,
                          .arg = arg,
                          .x = x,
                          .proxy = proxy,
                          .peer = *http_peer(x)};
    http_base_url(x, f->base_url, sizeof(f->base_url));
    proxy->forward = f;
    proxy->method = x->method;
    proxy->http_1_1 = x->http_1_1;
    proxy->r = x->r;
    x->r = NULL;
    http_on_gone(x, on_gone, f);
    worker_post(to, &f->mail);
}
