/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/whep_events.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/random.h"
#include "http/bearer.h"
#include "http/cors.h"
#include "codec/codec.h"
#include "io/timer.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EVENTS WHEP_EVENTS_PREFIX

enum {
    TICK_US = 100000,
    COUNT_US = 2000000,  /* between two questions of how many watch a stream */
    ALIVE_US = 15000000, /* a comment so often: proxies close what is silent */
    ASK_AGAIN_US = 1000000,
    EVENT_CAP = 1024,
};

struct whep_events {
    struct whep_events_cfg cfg;
    struct worker *worker;
    struct list listeners;
    struct hash topics;
    struct timer tick;
    bool draining;
    uint64_t ids;
};

/* A stream that somebody listens to. */
struct topic {
    struct hash_item item;
    unsigned listeners;
    bool counted;
    uint64_t viewers, asked_us;
    char stream[STREAM_NAME_MAX + 1];
};

/* One response, and a consumer that wants no packets. */
struct listener {
    struct list link;
    struct whep_events *owner;
    struct http_exchange *x;
    struct consumer consumer;
    struct addr client;
    uint64_t id, alive_us;
    uint64_t leave_us; /* when it is to be sent elsewhere; 0: it stays */
    struct topic *topic;
};

/* ---- Events ------------------------------------------------------------------------------------------------ */

static void send_event(struct listener *l, const char *event, const char *data)
{
    char text[EVENT_CAP];
    int n = snprintf(text, sizeof(text), "event: %s\ndata: %s\n\n", event, data);

    if (n > 0 && n < EVENT_CAP)
        http_stream_write(l->x, text, (size_t)n);
    l->alive_us = worker_now_us(l->owner->worker);
}

/* The layers of the first video track. Their names are of characters that need no escape (RFC 8851). */
static void send_layers(struct listener *l, const struct track_set *tracks)
{
    char text[EVENT_CAP / 2];
    size_t n = (size_t)snprintf(text, sizeof(text), "{\"video\": [");
    unsigned t = 0;

    while (t < tracks->n && codec_kind(tracks->v[t].codec) != CODEC_KIND_VIDEO)
        t++;
    for (unsigned i = 0; t < tracks->n && i < tracks->v[t].n_layers && n < sizeof(text); i++) {
        const struct layer *y = &tracks->v[t].layers[i];
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s{\"rid\": \"%s\", \"width\": %u, \"height\": %u}", i ? ", " : "",
                              y->rid, y->width, y->height);
    }
    if (n < sizeof(text))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "]}");
    if (n < sizeof(text))
        send_event(l, "layers", text);
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct listener *l = container_of(c, struct listener, consumer);

    send_event(l, "active", "{}");
    send_layers(l, tracks);
}

static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    (void)c;
    (void)b; /* none are wanted */
}

static void on_end(struct consumer *c, enum stream_end why)
{
    (void)why;
    send_event(container_of(c, struct listener, consumer), "inactive", "{}");
}

static const struct consumer_ops ops = {.on_tracks = on_tracks, .on_packets = on_packets, .on_end = on_end};

/* ---- Topics ---------------------------------------------------------------------------------------------------- */

static struct topic *topic_find(const struct whep_events *e, const char *stream)
{
    struct hash_item *it = hash_find(&e->topics, stream, strlen(stream));

    return it ? container_of(it, struct topic, item) : NULL;
}

static struct topic *topic_open(struct whep_events *e, const char *stream)
{
    struct topic *t = topic_find(e, stream);

    if (!t) {
        t = calloc(1, sizeof(*t));
        if (!t)
            return NULL;
        strcpy(t->stream, stream);
        hash_push(&e->topics, &t->item, t->stream, strlen(t->stream));
    }
    t->listeners++;
    return t;
}

static void topic_close(struct whep_events *e, struct topic *t)
{
    if (--t->listeners)
        return;
    hash_remove(&e->topics, &t->item);
    free(t);
}

static void send_viewers(struct listener *l)
{
    char data[64];

    snprintf(data, sizeof(data), "{\"viewercount\": %" PRIu64 "}", l->topic->viewers);
    send_event(l, "viewercount", data);
}

void whep_events_on_viewers(struct whep_events *e, const char *stream, uint64_t viewers)
{
    struct topic *t = e ? topic_find(e, stream) : NULL;

    if (!t || (t->counted && t->viewers == viewers))
        return;
    t->counted = true;
    t->viewers = viewers;
    list_for_each(it, &e->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        if (l->topic == t)
            send_viewers(l);
    }
}

static void count_topics(struct whep_events *e, uint64_t now_us)
{
    hash_for_each(it, &e->topics) {
        struct topic *t = container_of(it, struct topic, item);
        if (t->asked_us && now_us - t->asked_us < COUNT_US)
            continue;
        t->asked_us = now_us;
        e->cfg.count_viewers(e->cfg.arg, t->stream);
    }
}

/* ---- Listeners ------------------------------------------------------------------------------------------------ */

static void listener_free(struct listener *l)
{
    router_detach(&l->consumer);
    list_remove(&l->link);
    topic_close(l->owner, l->topic);
    free(l);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    (void)x;
    listener_free(arg);
}

static void on_get(struct http_exchange *x, void *arg)
{
    struct whep_events *e = arg;
    const char *stream = http_path(x) + strlen(EVENTS);

    if (!http_bearer_session(x, e->cfg.key, NULL, "play", stream))
        return;
    struct router *router = stream_name_valid(stream) ? relay_router(e->cfg.relay, stream) : NULL;
    struct listener *l = router ? calloc(1, sizeof(*l)) : NULL;

    if (l)
        l->topic = topic_open(e, stream);
    if (!l || !l->topic) {
        free(l);
        http_problem(x, router ? 503 : 404, "no events of this stream");
        return;
    }
    l->owner = e;
    l->x = x;
    l->id = ++e->ids;
    l->consumer = (struct consumer){.ops = &ops, .kind = "events"};
    l->client = *http_peer(x);
    if (e->cfg.client)
        e->cfg.client(e->cfg.arg, x, &l->client);
    if (e->draining)
        l->leave_us = worker_now_us(e->worker) + 1;
    list_push_back(&e->listeners, &l->link);
    http_on_gone(x, on_gone, l);
    http_reply_header(x, "Cache-Control", "no-store");
    http_stream_begin(x, 200, "text/event-stream", true, NULL, NULL);
    http_stream_write(x, ": events of WHEP\n\n", 18);
    l->alive_us = worker_now_us(e->worker);
    router_attach(router, &l->consumer, 0);
    if (l->topic->counted)
        send_viewers(l);
}

static void on_delete(struct http_exchange *x, void *arg)
{
    const struct whep_events *e = arg;

    if (!http_bearer_session(x, e->cfg.key, NULL, "play", http_path(x) + strlen(EVENTS)))
        return;
    /* nothing is kept but the response of the GET, which ends by itself */
    http_reply(x, 200, NULL, NULL, 0);
}

/* ---- Sending viewers elsewhere -------------------------------------------------------------------------------------- */

static void on_tick(struct timer *t, uint64_t now_us)
{
    struct whep_events *e = container_of(t, struct whep_events, tick);

    timer_start(t, TICK_US);
    count_topics(e, now_us);
    list_for_each(it, &e->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        if (now_us - l->alive_us >= ALIVE_US) {
            http_stream_write(l->x, ":\n\n", 3);
            l->alive_us = now_us;
        }
        if (l->leave_us && now_us >= l->leave_us) {
            l->leave_us = now_us + ASK_AGAIN_US;
            e->cfg.find_edge(e->cfg.arg, &l->client, l->topic->stream, l->id);
        }
    }
}

void whep_events_drain(struct whep_events *e, bool on, uint64_t spread_us)
{
    uint64_t now_us = worker_now_us(e->worker);

    e->draining = on;
    list_for_each(it, &e->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        l->leave_us = on ? now_us + 1 + random_u32() % (uint32_t)(spread_us + 1) : 0;
    }
}

void whep_events_on_edge(struct whep_events *e, uint64_t id, const char *url)
{
    char data[EVENT_CAP / 2];

    if (!url || !e->draining || snprintf(data, sizeof(data), "{\"url\": \"%s\"}", url) >= (int)sizeof(data))
        return;
    list_for_each(it, &e->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        if (l->id != id)
            continue;
        send_event(l, "reconnect", data);
        l->leave_us += 4 * ASK_AGAIN_US; /* told once more when it is still here then */
        return;
    }
}

/* ---- Life ------------------------------------------------------------------------------------------------------------- */

int whep_events_open(struct whep_events **out, const struct whep_events_cfg *cfg)
{
    static const struct http_cors cors = {.methods = "GET, DELETE, OPTIONS", .headers = "Authorization, Last-Event-ID"};
    struct whep_events *e = calloc(1, sizeof(*e));

    if (!e)
        return -1;
    e->cfg = *cfg;
    e->worker = relay_worker(cfg->relay);
    list_init(&e->listeners);
    if (hash_init(&e->topics) != 0) {
        free(e);
        return -1;
    }
    timer_init(&e->tick, e->worker, on_tick);
    timer_start(&e->tick, TICK_US);
    http_route(cfg->http, HTTP_M_GET, EVENTS "*", on_get, e);
    http_route(cfg->http, HTTP_M_DELETE, EVENTS "*", on_delete, e);
    http_cors_route(cfg->http, EVENTS "*", &cors);
    *out = e;
    return 0;
}

void whep_events_close(struct whep_events **events)
{
    struct whep_events *e = *events;

    *events = NULL;
    if (!e)
        return;
    timer_stop(&e->tick);
    list_for_each(it, &e->listeners)
    {
        struct listener *l = container_of(it, struct listener, link);
        struct http_exchange *x = l->x;
        listener_free(l);
        http_stream_end(x);
    }
    hash_fini(&e->topics);
    free(e);
}
