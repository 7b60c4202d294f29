/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /api/v1/streams/events?prefix=<app>/: who publishes, in the whole cluster, as server-sent events.
 *
 *   event: published    {"name", "epoch", "node"}   each stream that is live already; then who comes, or comes again
 *   event: ready        {"truncated"}               what was live at the beginning has been told
 *   event: unpublished  {"name"}
 *
 * A client that was cut off opens the stream again and is told everything anew; comments keep proxies from
 * cutting it off. The directory's news are the main thread's: it holds the list of watches and posts what concerns
 * one to the worker whose connection it is. A watch is its worker's: when the client goes, it is sent through the
 * main thread, which takes it off the list, and freed when it is back, behind all that was still posted to it.
 * Source: HTML standard, s9.2 (server-sent events). */
#include "node/node_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    WATCHES_MAX = 1024,             /* a node; more get 503 */
    STATE_MAX = 2000,               /* streams that are told at the beginning */
    QUEUED_MAX_BYTES = 1024 * 1024, /* not yet read by the client; it is cut off and may come again */
    HEARTBEAT_US = 15000000,
    RETRY_S = 5,
};

struct watch {
    struct mail enter, leave;
    struct list link;          /* in node.watches: the main thread's */
    struct node *node;
    struct worker *worker;
    struct http_exchange *x;   /* NULL once the client has gone */
    struct timer heartbeat;
    char prefix[STREAM_NAME_MAX + 1];
};

/* Text for one watch, on its way to the worker. */
struct news {
    struct mail mail;
    struct watch *watch;
    size_t len;
    char text[];
};

/* ---- The worker's side -------------------------------------------------------------------------- */

static void run_free(struct mail *m, struct worker *w)
{
    struct watch *watch = container_of(m, struct watch, leave);

    (void)w;
    atomic_fetch_sub(&watch->node->n_watches, 1);
    free(watch);
}

static void run_leave(struct mail *m, struct worker *w)
{
    struct watch *watch = container_of(m, struct watch, leave);

    (void)w;
    list_remove(&watch->link);
    m->run = run_free;
    worker_post(watch->worker, m);
}

static void watch_end(struct watch *watch)
{
    watch->x = NULL;
    timer_stop(&watch->heartbeat);
    watch->leave.run = run_leave;
    worker_post(watch->node->main, &watch->leave);
}

static void watch_write(struct watch *watch, const char *text, size_t len)
{
    if (http_stream_queued_bytes(watch->x) + len <= QUEUED_MAX_BYTES) {
        http_stream_write(watch->x, text, len);
        return;
    }
    http_stream_abort(watch->x);
    watch_end(watch);
}

static void on_heartbeat(struct timer *t, uint64_t now_us)
{
    struct watch *watch = container_of(t, struct watch, heartbeat);

    (void)now_us;
    timer_start(t, HEARTBEAT_US);
    watch_write(watch, ":\n\n", 3);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    (void)x;
    watch_end(arg);
}

static void run_news(struct mail *m, struct worker *w)
{
    struct news *news = container_of(m, struct news, mail);

    (void)w;
    if (news->watch->x)
        watch_write(news->watch, news->text, news->len);
    free(news);
}

/* ---- The main thread's side --------------------------------------------------------------------- */

/* Takes over data. Out of memory: this watch misses the event, and the client the stream until it asks again. */
static void tell(struct watch *watch, const char *event, json_t *data)
{
    char *json = data ? json_dumps(data, JSON_COMPACT) : NULL;
    size_t cap = json ? strlen(json) + strlen(event) + sizeof("event: \ndata: \n\n") : 0;
    struct news *news = json ? malloc(sizeof(*news) + cap) : NULL;

    if (news) {
        news->mail.run = run_news;
        news->watch = watch;
        news->len = (size_t)snprintf(news->text, cap, "event: %s\ndata: %s\n\n", event, json);
        worker_post(watch->worker, &news->mail);
    }
    free(json);
    json_decref(data);
}

static bool concerns(const struct watch *watch, const char *name)
{
    return strncmp(name, watch->prefix, strlen(watch->prefix)) == 0;
}

static void tell_published(struct watch *watch, const struct stream_record *s)
{
    tell(watch, "published",
         json_pack("{s:s, s:I, s:s}", "name", s->name, "epoch", (json_int_t)s->epoch, "node", s->owner));
}

struct state_walk {
    struct watch *watch;
    size_t n;
};

static bool tell_state(void *arg, const struct stream_record *s)
{
    struct state_walk *walk = arg;

    if (!concerns(walk->watch, s->name))
        return true;
    if (walk->n++ == STATE_MAX)
        return false;
    tell_published(walk->watch, s);
    return true;
}

static void run_enter(struct mail *m, struct worker *w)
{
    struct watch *watch = container_of(m, struct watch, enter);
    struct state_walk walk = {watch, 0};

    (void)w;
    list_push_back(&watch->node->watches, &watch->link);
    if (watch->node->directory)
        directory_each_stream(watch->node->directory, tell_state, &walk);
    tell(watch, "ready", json_pack("{s:b}", "truncated", walk.n > STATE_MAX));
}

static void on_stream(void *arg, const char *name, const struct stream_record *record)
{
    struct node *n = arg;

    list_for_each(it, &n->watches) {
        struct watch *watch = container_of(it, struct watch, link);
        if (!concerns(watch, name))
            continue;
        if (record)
            tell_published(watch, record);
        else
            tell(watch, "unpublished", json_pack("{s:s}", "name", name));
    }
}

/* ---- The route ---------------------------------------------------------------------------------- */

static void refuse(struct http_exchange *x, const char *why)
{
    char after[8];

    snprintf(after, sizeof(after), "%d", RETRY_S);
    http_reply_header(x, "Retry-After", after);
    http_problem(x, 503, "%s", why);
}

static void get_events(struct http_exchange *x, void *arg)
{
    struct node_worker *w = arg;
    const char *prefix = http_query(x, "prefix");
    struct watch *watch;

    if (prefix && strlen(prefix) > STREAM_NAME_MAX) {
        http_problem(x, 400, "no stream has a name that long");
        return;
    }
    if (atomic_load(&w->node->n_watches) >= WATCHES_MAX || !(watch = calloc(1, sizeof(*watch)))) {
        refuse(x, "this node has all the listeners that it can take");
        return;
    }
    atomic_fetch_add(&w->node->n_watches, 1);
    watch->node = w->node;
    watch->worker = w->worker;
    watch->x = x;
    strcpy(watch->prefix, prefix ? prefix : "");
    list_init(&watch->link);
    timer_init(&watch->heartbeat, w->worker, on_heartbeat);
    timer_start(&watch->heartbeat, HEARTBEAT_US);
    http_on_gone(x, on_gone, watch);
    http_reply_header(x, "Cache-Control", "no-store");
    http_reply_header(x, "X-Accel-Buffering", "no"); /* nginx in between passes it on as it comes */
    http_stream_begin(x, 200, "text/event-stream", true, NULL, NULL);
    watch->enter.run = run_enter;
    worker_post(w->node->main, &watch->enter);
}

void events_init(struct node *n)
{
    list_init(&n->watches);
    hub_set_observer(n->hub, on_stream, n);
}

void events_open(struct node_worker *w)
{
    http_route(w->http, HTTP_M_GET, "/api/v1/streams/events", get_events, w);
}
