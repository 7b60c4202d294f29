/* SPDX-License-Identifier: Apache-2.0
 * events.c - see events.h. */
#include "events.h"

#include "fetch.h"
#include "thread.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

enum { REQUEST_US = 5000000 };

#define RELATION "urn:ietf:params:whep:ext:core:server-sent-events"

/* ---- The stream of events ------------------------------------------------------------------------------------- */

static const char *value_of(const char *line, const char *field)
{
    size_t n = strlen(field);

    if (strncmp(line, field, n) != 0 || line[n] != ':')
        return NULL;
    return line[n + 1] == ' ' ? line + n + 2 : line + n + 1;
}

static void on_line(struct sse_reader *r)
{
    const char *value;

    r->line[r->len] = '\0';
    if (r->len == 0) {
        if (r->data[0])
            r->on_event(r->arg, r->name[0] ? r->name : "message", r->data);
        r->name[0] = r->data[0] = '\0';
    } else if ((value = value_of(r->line, "event"))) {
        snprintf(r->name, sizeof(r->name), "%s", value);
    } else if ((value = value_of(r->line, "data"))) {
        size_t at = strlen(r->data);
        snprintf(r->data + at, sizeof(r->data) - at, "%s%s", at ? "\n" : "", value);
    }
    r->len = 0;
}

/* Lines end by CR LF, LF, or CR. */
void sse_push(struct sse_reader *r, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool second = bytes[i] == '\n' && r->after_cr;

        r->after_cr = bytes[i] == '\r';
        if (second)
            continue;
        if (bytes[i] == '\r' || bytes[i] == '\n')
            on_line(r);
        else if (r->len < SSE_LINE_MAX - 1)
            r->line[r->len++] = (char)bytes[i];
    }
}

/* ---- A session's ------------------------------------------------------------------------------------------------ */

static void on_event(void *arg, const char *name, const char *data)
{
    struct events *e = arg;
    json_t *o = strcmp(name, "reconnect") == 0 ? json_loads(data, 0, NULL) : NULL;
    const char *url = json_string_value(json_object_get(o, "url"));

    if (url && e->on_reconnect)
        e->on_reconnect(e->arg, url);
    json_decref(o);
}

static bool on_body(void *arg, const uint8_t *bytes, size_t len)
{
    struct events *e = arg;

    sse_push(&e->reader, bytes, len);
    return true;
}

static void on_ended(void *arg, const struct http_answer *a)
{
    struct events *e = arg;

    e->call = NULL;
    if (a->status / 100 != 2)
        e->v->thread->tally.events_failed++;
}

static int request(struct events *e, const char *method, const char *body, void (*on_done)(void *, const struct http_answer *))
{
    const struct load_options *options = e->v->thread->options;
    struct http_call_cfg cfg = {.url = e->url, .to = e->to, .tls = options->tls, .method = method, .bearer = options->bearer,
                                .content_type = body ? "application/json" : NULL, .body = body,
                                .body_len = body ? strlen(body) : 0, .accept = body ? NULL : "text/event-stream",
                                .timeout_us = REQUEST_US, .on_body = body ? NULL : on_body, .on_done = on_done, .arg = e};

    return http_call_start(&e->call, e->v->thread->worker, &cfg);
}

static void on_created(void *arg, const struct http_answer *a)
{
    struct events *e = arg;
    struct url to;

    e->call = NULL;
    if (a->status == 201 && a->location[0] && url_resolve(&to, &e->url, a->location) == 0) {
        e->url = to;
        if (request(e, "GET", NULL, on_ended) == 0) {
            e->v->thread->tally.events++;
            return;
        }
    }
    e->v->thread->tally.events_failed++;
}

void events_open(struct events *e, struct viewer *v, const struct url *base, const struct addr *to, const struct http_answer *a,
                 void (*on_reconnect)(void *arg, const char *url), void *arg)
{
    char target[URL_BYTES_MAX + 1], before[URL_HOST_MAX + 10], after[URL_HOST_MAX + 10];

    *e = (struct events){.v = v, .to = *to, .on_reconnect = on_reconnect, .arg = arg,
                         .reader = {.on_event = on_event, .arg = e}};
    if (!fetch_link(a->link, RELATION, target, sizeof(target)) || url_resolve(&e->url, base, target))
        return;
    url_authority(base, before);
    url_authority(&e->url, after);
    if (strcmp(before, after) != 0 && addr_resolve(&e->to, after))
        return;
    if (request(e, "POST", "[\"reconnect\"]", on_created))
        v->thread->tally.events_failed++;
}

void events_close(struct events *e)
{
    e->on_reconnect = NULL;
    http_call_cancel(&e->call);
}
