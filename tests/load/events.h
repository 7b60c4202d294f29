/* SPDX-License-Identifier: Apache-2.0
 * events.h - the server-sent events of a WHEP session: where the server wants its viewer to go.
 *
 * The 201's Link of relation urn:ietf:params:whep:ext:core:server-sent-events is asked for `reconnect` events by
 * POST, and the resource that it names is read. When the server offers none, or the stream of events ends, nothing
 * happens: the session plays on.
 * Thread: the worker's. Ownership: embedded in its viewer; events_close at any time.
 * Source: draft-ietf-wish-whep (server-sent events extension), WHATWG HTML s9.2 (text/event-stream). */
#pragma once

#include "http_client.h"

/* ---- The stream of events ---------------------------------------------------------------------------------- */

enum { SSE_LINE_MAX = 1024, SSE_NAME_MAX = 32 };

struct sse_reader {
    void (*on_event)(void *arg, const char *name, const char *data);
    void *arg;
    char line[SSE_LINE_MAX], name[SSE_NAME_MAX], data[SSE_LINE_MAX];
    size_t len;      /* of line; longer lines are cut */
    bool after_cr;   /* a line feed now belongs to the line before */
};

void sse_push(struct sse_reader *r, const uint8_t *bytes, size_t len);

/* ---- A session's ------------------------------------------------------------------------------------------- */

struct viewer;

struct events {
    struct viewer *v;
    struct url url;
    struct addr to;
    struct http_call *call;
    struct sse_reader reader;
    void (*on_reconnect)(void *arg, const char *url);
    void *arg;
};

/* a: the 201 to the viewer's offer, of base at to. on_reconnect may close it, as may what is called from there. */
void events_open(struct events *e, struct viewer *v, const struct url *base, const struct addr *to, const struct http_answer *a,
                 void (*on_reconnect)(void *arg, const char *url), void *arg);
void events_close(struct events *e);
