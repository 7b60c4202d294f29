/* SPDX-License-Identifier: Apache-2.0
 * whep_events.h - WHEP's server-sent events: what a viewer's page should know while it plays.
 *
 *   POST /whep/session/<id>/events   ["active", ...] -> 201, Location: /whep/events/<app>/<name>
 *   GET  /whep/events/<app>/<name>   text/event-stream:
 *     active, inactive   the publisher is there, or away
 *     layers             {"video": [{"rid", "width", "height"}]}: what the publisher sends
 *     viewercount        {"viewercount": n}: who watches the stream, by whatever protocol and at whatever edge
 *     reconnect          {"url": "..."}: the stream's WHEP URL at another edge; this one drains
 *
 * A session's 201 tells the POST's URL by Link. The event resource belongs to the stream, not to the session: it needs no state
 * before the GET, which any worker serves.
 * Thread: the worker's.
 * Source: draft-ietf-wish-whep, "urn:ietf:params:whep:ext:core:server-sent-events". */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "relay/relay.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEP_EVENTS_PATH "/events" /* behind a session's URL */
#define WHEP_EVENTS_PREFIX "/whep/events/"
#define WHEP_EVENTS_NAMES "active,inactive,layers,viewercount,reconnect"

struct whep_events;

struct whep_events_cfg {
    struct http_server *http;
    struct relay *relay;
    const struct token_key *key; /* as whep_cfg's */
    /* The stream at another edge: answered by whep_events_on_edge with the same id, or not at all. */
    void (*find_edge)(void *arg, const struct addr *client, const char *stream, uint64_t id);
    /* How many watch it: answered by whep_events_on_viewers, or not at all. */
    void (*count_viewers)(void *arg, const char *stream);
    /* Who the client is. NULL: its address as the server sees it. */
    void (*client)(void *arg, const struct http_exchange *x, struct addr *out);
    void *arg;
};

/* Adds its routes. 0, or -1 when memory is short. */
MUST_USE int whep_events_open(struct whep_events **out, const struct whep_events_cfg *cfg);
/* Ends all responses; before the HTTP server is closed. */
void whep_events_close(struct whep_events **e);
/* Answers the POST for a session of this stream. */
void whep_events_create(struct http_exchange *x, const char *stream);
/* The Link field of a 201. */
void whep_events_add_link(struct http_exchange *x, const char *session_id);
/* Sends everyone elsewhere, each at some time within spread_us; or not any more. Who comes later is sent at once. */
void whep_events_drain(struct whep_events *e, bool on, uint64_t spread_us);
/* url NULL: there is no other edge now; it is asked for again a second later. */
void whep_events_on_edge(struct whep_events *e, uint64_t id, const char *url);
void whep_events_on_viewers(struct whep_events *e, const char *stream, uint64_t viewers);
