/* SPDX-License-Identifier: Apache-2.0
 * fetch.h - how a viewer or publisher gets its answer by HTTP, whatever the server makes of it.
 *
 * Redirects are followed. An entry point (/route/...) is asked first where to go: by 307, or by JSON that has a URL for
 * each protocol. 409, 503 and whatever has Retry-After are tried again, until the time to join is over; a viewer that
 * comes back after it lost its server tries again whatever went wrong.
 *
 *   fetch_start -> on_answer once, with status 2xx (with .on_body: when the body has ended)
 *               or viewer_failed(), with the cause
 *   on_late when the time to join is over: the owner knows how far it got; fetch_stop_timer when it has joined
 * Thread: the worker's. Ownership: embedded in its viewer; fetch_close at any time, no callback after it. */
#pragma once

#include "http_client.h"
#include "io/timer.h"

struct viewer;

struct fetch_cfg {
    struct viewer *v;
    const char *method, *content_type, *accept; /* as in http_call_cfg */
    const char *name;                           /* of the protocol, as entry points call it: "whep", "flv", "whip" */
    bool (*on_body)(void *arg, const uint8_t *bytes, size_t len);
    void (*on_answer)(void *arg, const struct http_answer *a);
    void (*on_late)(void *arg);
    void *arg;
};

struct fetch {
    struct fetch_cfg cfg;
    struct url url;      /* that was asked last: what a Location is seen from */
    struct url start;    /* where to begin anew */
    struct addr to, start_to; /* their hosts */
    char *body;
    size_t body_len;
    unsigned redirects;
    bool asks_route;     /* the present call is to an entry point */
    struct http_call *call;
    struct timer timer;
};

/* to: the URL's host. Before fetch_start. */
void fetch_init(struct fetch *f, const struct fetch_cfg *cfg, const struct url *url, const struct addr *to);
/* body is copied; none without content_type. */
void fetch_start(struct fetch *f, const void *body, size_t len);
void fetch_stop_timer(struct fetch *f);
void fetch_close(struct fetch *f);

/* The target of the link of this relation in Link fields: its URI reference, copied. False: there is none.
 * Source: RFC 8288 s3. */
bool fetch_link(const char *fields, const char *rel, char *out, size_t cap);
