/* SPDX-License-Identifier: Apache-2.0
 * fetch.c - see fetch.h. */
#include "fetch.h"

#include "base/random.h"
#include "thread.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    REDIRECTS_MAX = 5,
    AGAIN_US = 250000, /* at least, before one that comes back tries once more; up to twice as long */
};

#define ENTRY_POINT "/route/"

static void ask(struct fetch *f);

/* ---- Where to go ---------------------------------------------------------------------------------------------- */

static void go_to(struct fetch *f, const char *location)
{
    char authority[URL_HOST_MAX + 10];
    struct url to;

    if (f->redirects++ == REDIRECTS_MAX || url_resolve(&to, &f->url, location)) {
        viewer_failed(f->cfg.v, "redirect that leads nowhere");
        return;
    }
    url_authority(&to, authority);
    if (addr_resolve(&f->to, authority)) {
        viewer_failed(f->cfg.v, "redirect to an unknown host");
        return;
    }
    f->url = to;
    f->cfg.v->thread->tally.redirects++;
    ask(f);
}

static void follow_json(struct fetch *f, const struct http_answer *a)
{
    json_t *o = json_loadb(a->body, a->body_len, 0, NULL);
    const char *url = json_string_value(json_object_get(o, f->cfg.name));

    if (url)
        go_to(f, url);
    else
        viewer_failed(f->cfg.v, "an entry point that names no server");
    json_decref(o);
}

/* ---- Once more ------------------------------------------------------------------------------------------------- */

/* When to try again after this answer; 0: it is final. */
static uint64_t wait_us(const struct fetch *f, const struct http_answer *a)
{
    uint64_t us = (uint64_t)a->retry_after_s * 1000000;

    if (us == 0 && f->cfg.v->comes_back)
        us = AGAIN_US + random_u32() % AGAIN_US;
    return us < viewer_left_us(f->cfg.v) ? us : 0;
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct fetch *f = container_of(t, struct fetch, timer);

    if (now_us >= f->cfg.v->deadline_us) {
        f->cfg.on_late(f->cfg.arg);
        return;
    }
    f->url = f->start;
    f->to = f->start_to;
    f->redirects = 0;
    ask(f);
}

static bool is_redirect(const struct fetch *f, unsigned status)
{
    /* POSTs stay POSTs by these two only (RFC 9110 s15.4) */
    return status == 307 || status == 308 ||
           ((status == 301 || status == 302 || status == 303) && (f->asks_route || strcmp(f->cfg.method, "GET") == 0));
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct fetch *f = arg;
    struct viewer *v = f->cfg.v;
    uint64_t us = wait_us(f, a);

    f->call = NULL;
    if (is_redirect(f, a->status)) {
        go_to(f, a->location);
    } else if (a->status / 100 == 2 && f->asks_route) {
        follow_json(f, a);
    } else if (a->status / 100 == 2) {
        v->refused[0] = '\0';
        f->cfg.on_answer(f->cfg.arg, a);
    } else if (us && !v->joined && (a->retry_after_s || v->comes_back)) {
        viewer_refused(v, a);
        timer_start(&f->timer, us);
    } else {
        viewer_http_failed(v, a);
    }
}

/* ---- Asking ------------------------------------------------------------------------------------------------------ */

static bool on_body(void *arg, const uint8_t *bytes, size_t len)
{
    struct fetch *f = arg;
    return f->cfg.on_body(f->cfg.arg, bytes, len);
}

static void ask(struct fetch *f)
{
    struct viewer *v = f->cfg.v;
    const struct load_options *options = v->thread->options;
    bool route = strncmp(f->url.path, ENTRY_POINT, strlen(ENTRY_POINT)) == 0;
    struct http_call_cfg cfg = {.url = f->url, .to = f->to, .tls = options->tls, .bearer = options->bearer,
                                .method = route ? "GET" : f->cfg.method, .accept = route ? NULL : f->cfg.accept,
                                .content_type = route ? NULL : f->cfg.content_type, .body = f->body,
                                .body_len = f->body_len, .timeout_us = (uint64_t)(options->timeout_s * 1e6),
                                .on_body = route || !f->cfg.on_body ? NULL : on_body, .on_done = on_done, .arg = f};

    f->asks_route = route;
    timer_start(&f->timer, viewer_left_us(v));
    if (http_call_start(&f->call, v->thread->worker, &cfg))
        viewer_failed(v, "http: no connection could be made");
}

void fetch_init(struct fetch *f, const struct fetch_cfg *cfg, const struct url *url, const struct addr *to)
{
    *f = (struct fetch){.cfg = *cfg, .url = *url, .start = *url, .to = *to, .start_to = *to};
    timer_init(&f->timer, cfg->v->thread->worker, on_due);
}

void fetch_start(struct fetch *f, const void *body, size_t len)
{
    f->body = f->cfg.content_type ? malloc(len + 1) : NULL;
    f->body_len = len;
    if (f->body)
        memcpy(f->body, body, len);
    if (f->cfg.content_type && !f->body)
        viewer_failed(f->cfg.v, "out of memory");
    else
        ask(f);
}

void fetch_stop_timer(struct fetch *f)
{
    timer_stop(&f->timer);
}

void fetch_close(struct fetch *f)
{
    if (f->timer.worker)
        timer_stop(&f->timer);
    http_call_cancel(&f->call);
    free(f->body);
    f->body = NULL;
}

/* ---- Link fields --------------------------------------------------------------------------------------------------- */

/* Whether params, up to len, have rel with this among its relations. */
static bool has_relation(const char *params, size_t len, const char *rel)
{
    size_t n = strlen(rel);

    for (size_t i = 0; i + 4 < len; i++) {
        if (strncasecmp(params + i, "rel=", 4) != 0)
            continue;
        const char *value = params + i + 4, *end = params + len;
        size_t value_len = *value == '"' ? strcspn(value + 1, "\"") + 1 : strcspn(value, "; ,");
        for (const char *at = value; at + n <= end && at + n <= value + value_len; at++) {
            bool begins = at == value || at[-1] == '"' || at[-1] == ' ';
            bool ends = at + n == value + value_len || at[n] == ' ' || at[n] == '"';
            if (begins && ends && strncasecmp(at, rel, n) == 0)
                return true;
        }
    }
    return false;
}

/* The end of a link-value: a comma outside of quotes, or the end of all. */
static size_t link_len(const char *text)
{
    bool quoted = false;
    size_t n = 0;

    for (; text[n] && (quoted || text[n] != ','); n++)
        quoted ^= text[n] == '"';
    return n;
}

bool fetch_link(const char *fields, const char *rel, char *out, size_t cap)
{
    while ((fields = strchr(fields, '<'))) {
        const char *target = fields + 1, *end = strchr(target, '>');
        if (!end)
            return false;
        size_t len = link_len(end);
        if (has_relation(end, len, rel) && (size_t)(end - target) < cap) {
            memcpy(out, target, (size_t)(end - target));
            out[end - target] = '\0';
            return true;
        }
        fields = end + len;
    }
    return false;
}
