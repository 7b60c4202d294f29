/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/list.h"
#include "base/log.h"
#include "origin/transcode.h"

/* A stream that is watched for derived tracks. */
struct watch {
    struct list link;
    struct transcoders *owner;
    struct consumer consumer;
    struct router *router;
    struct transcode *v[TRACKS_MAX];
};

struct transcoders {
    struct pool *pool;
    struct list watches;
    struct transcode_counters ended;
};

int transcoders_create(struct transcoders **out, struct pool *pool)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return -1;
    (*out)->pool = pool;
    list_init(&(*out)->watches);
    return 0;
}

static void add_up(struct transcode_counters *sum, const struct transcode *t)
{
    struct transcode_counters c;

    transcode_counters(t, &c);
    sum->starts += c.starts;
    sum->frames_in += c.frames_in;
    sum->packets_out += c.packets_out;
    sum->frames_waiting += c.frames_waiting;
    sum->dropped_frames += c.dropped_frames;
    sum->damaged_frames += c.damaged_frames;
    sum->resets += c.resets;
    sum->silence_ticks += c.silence_ticks;
}

static void close_all(struct watch *w)
{
    for (unsigned i = 0; i < TRACKS_MAX; i++) {
        if (w->v[i])
            add_up(&w->owner->ended, w->v[i]);
        transcode_close(&w->v[i]);
        w->owner->ended.frames_waiting = 0; /* they wait no longer */
    }
}

static void watch_close(struct watch *w)
{
    close_all(w);
    router_detach(&w->consumer);
    list_remove(&w->link);
    free(w);
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct watch *w = container_of(c, struct watch, consumer);

    close_all(w);
    for (unsigned i = 0; i < tracks->n; i++) {
        const struct track *t = &tracks->v[i];
        if (!t->derived || t->source >= tracks->n)
            continue;
        struct transcode_cfg cfg = {
            .router = w->router, .pool = w->owner->pool, .source = t->source, .derived = i};
        if (transcode_open(&w->v[i], &cfg))
            log_error("transcode", "out of memory stream=%s", router_name(w->router));
    }
}

static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    (void)c; /* wants none */
    (void)b;
}

static void on_end(struct consumer *c, enum stream_end why)
{
    (void)why;
    watch_close(container_of(c, struct watch, consumer));
}

static const struct consumer_ops consumer_ops = {
    .on_tracks = on_tracks, .on_packets = on_packets, .on_end = on_end};

void transcoders_watch(struct transcoders *t, struct router *r)
{
    list_for_each(it, &t->watches)
        if (container_of(it, struct watch, link)->router == r)
            return;
    struct watch *w = calloc(1, sizeof(*w));
    if (!w) {
        log_error("transcode", "out of memory stream=%s", router_name(r));
        return;
    }
    w->owner = t;
    w->router = r;
    w->consumer = (struct consumer){.ops = &consumer_ops, .kind = "transcode"};
    list_push_back(&t->watches, &w->link);
    router_attach(r, &w->consumer, 0);
}

void transcoders_destroy(struct transcoders **t)
{
    if (!*t)
        return;
    list_for_each(it, &(*t)->watches)
        watch_close(container_of(it, struct watch, link));
    free(*t);
    *t = NULL;
}

void transcoders_counters(const struct transcoders *t, struct transcode_counters *out)
{
    *out = t->ended;
    for (const struct list *it = t->watches.next; it != &t->watches; it = it->next) {
        const struct watch *w = container_of(it, const struct watch, link);
        for (unsigned i = 0; i < TRACKS_MAX; i++)
            if (w->v[i])
                add_up(out, w->v[i]);
    }
}

size_t transcoders_running(const struct transcoders *t)
{
    size_t n = 0;

    for (const struct list *it = t->watches.next; it != &t->watches; it = it->next) {
        const struct watch *w = container_of(it, const struct watch, link);
        for (unsigned i = 0; i < TRACKS_MAX; i++)
            n += w->v[i] && transcode_running(w->v[i]);
    }
    return n;
}
