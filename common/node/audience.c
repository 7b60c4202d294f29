/* SPDX-License-Identifier: Apache-2.0
 *
 * How many watch a stream. Each worker says once a second how many it serves; the main thread adds them up, tells the directory what has
 * changed, and answers with what other nodes have told it.
 */
#include "node/node_priv.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    BEAT_US = 2000000,
    TELL_US = VIEWERS_MS / 2 * 1000, /* what has not changed is told so often, before others forget it */
};

/* What one worker serves; its streams without viewers are left out. */
struct report {
    struct mail mail;
    struct node *node;
    unsigned worker;
    size_t n, cap;
    struct served {
        char name[STREAM_NAME_MAX + 1];
        unsigned viewers;
    } v[];
};

/* A stream that has viewers here, or had some at the last beat. */
struct entry {
    struct hash_item item;
    char name[STREAM_NAME_MAX + 1];
    uint64_t now, told;
    uint64_t told_us; /* monotonic */
};

struct audience {
    struct node *node;
    struct hash entries;
    struct timer beat;
    struct report *last[WORKERS_MAX];
};

/* ---- The worker's word ------------------------------------------------------------------------------------------ */

/* Who waits for a stream that never was watches nothing, and costs the directory nothing. */
static size_t viewers_of(const struct router *r)
{
    return router_tracks(r) ? router_viewers(r) : 0;
}

static void count_streams(void *arg, struct router *r)
{
    size_t *n = arg;

    *n += viewers_of(r) > 0;
}

static void add_stream(void *arg, struct router *r)
{
    struct report *p = arg;
    size_t viewers = viewers_of(r);

    if (!viewers || p->n == p->cap)
        return;
    strcpy(p->v[p->n].name, router_name(r));
    p->v[p->n++].viewers = (unsigned)viewers;
}

static void run_report(struct mail *m, struct worker *w)
{
    struct report *p = container_of(m, struct report, mail);
    struct audience *a = p->node->audience;

    (void)w;
    free(a->last[p->worker]);
    a->last[p->worker] = p;
}

void audience_report(struct seat *s)
{
    struct router_set *routers = relay_routers(s->w.relay);
    size_t n = 0;

    router_set_each(routers, count_streams, &n);
    struct report *p = malloc(sizeof(*p) + n * sizeof(p->v[0]));
    if (!p)
        return; /* the next one comes in a second */
    *p = (struct report){.mail.run = run_report, .node = s->w.node, .worker = s->w.index, .cap = n};
    router_set_each(routers, add_stream, p);
    worker_post(s->w.node->main, &p->mail);
}

/* ---- Adding up ------------------------------------------------------------------------------------------------------ */

static struct entry *entry_find(const struct audience *a, const char *name)
{
    struct hash_item *it = hash_find(&a->entries, name, strlen(name));

    return it ? container_of(it, struct entry, item) : NULL;
}

static struct entry *entry_open(struct audience *a, const char *name)
{
    struct entry *e = entry_find(a, name);

    if (e)
        return e;
    e = calloc(1, sizeof(*e));
    if (!e)
        return NULL;
    strcpy(e->name, name);
    hash_push(&a->entries, &e->item, e->name, strlen(e->name));
    return e;
}

static void add_up(struct audience *a)
{
    hash_for_each(it, &a->entries) container_of(it, struct entry, item)->now = 0;
    for (size_t w = 0; w < a->node->n; w++)
        for (size_t i = 0; a->last[w] && i < a->last[w]->n; i++) {
            struct entry *e = entry_open(a, a->last[w]->v[i].name);
            if (e)
                e->now += a->last[w]->v[i].viewers;
        }
}

static void on_beat(struct timer *t, uint64_t now_us)
{
    struct audience *a = container_of(t, struct audience, beat);

    timer_start(t, BEAT_US);
    add_up(a);
    hash_for_each(it, &a->entries) {
        struct entry *e = container_of(it, struct entry, item);
        if (e->now != e->told || now_us - e->told_us >= TELL_US) {
            directory_set_viewers(a->node->directory, e->name, e->now);
            e->told = e->now;
            e->told_us = now_us;
        }
        if (e->now)
            continue;
        hash_remove(&a->entries, it);
        free(e);
    }
}

/* ---- A worker's question ------------------------------------------------------------------------------------------------ */

struct inquiry {
    struct mail mail;
    struct node_worker *asker;
    char name[STREAM_NAME_MAX + 1];
    uint64_t viewers;
    void (*on_known)(void *arg, const char *stream, uint64_t viewers);
    void *arg;
};

static void run_known(struct mail *m, struct worker *w)
{
    struct inquiry *q = container_of(m, struct inquiry, mail);

    (void)w;
    if (!container_of(q->asker, struct seat, w)->closed)
        q->on_known(q->arg, q->name, q->viewers);
    free(q);
}

static void on_others(void *arg, uint64_t viewers)
{
    struct inquiry *q = arg;
    const struct entry *e = entry_find(q->asker->node->audience, q->name);

    q->viewers = viewers + (e ? e->now : 0);
    q->mail.run = run_known;
    worker_post(q->asker->worker, &q->mail);
}

static void run_inquiry(struct mail *m, struct worker *w)
{
    struct inquiry *q = container_of(m, struct inquiry, mail);
    struct directory *d = q->asker->node->directory;

    (void)w;
    if (d)
        directory_count_viewers(d, q->name, on_others, q);
    else
        on_others(q, 0);
}

void node_count_viewers(struct node_worker *w, const char *stream,
                        void (*on_known)(void *arg, const char *stream, uint64_t viewers), void *arg)
{
    struct inquiry *q = malloc(sizeof(*q));

    if (!q)
        return; /* who asked will ask again */
    *q = (struct inquiry){.mail.run = run_inquiry, .asker = w, .on_known = on_known, .arg = arg};
    snprintf(q->name, sizeof(q->name), "%s", stream);
    worker_post(w->node->main, &q->mail);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------ */

int audience_open(struct node *n)
{
    struct audience *a = calloc(1, sizeof(*a));

    if (!a || hash_init(&a->entries) != 0) {
        free(a);
        return -1;
    }
    a->node = n;
    n->audience = a;
    timer_init(&a->beat, n->main, on_beat);
    timer_start(&a->beat, BEAT_US);
    return 0;
}

void audience_end(struct node *n)
{
    struct audience *a = n->audience;

    timer_stop(&a->beat);
    hash_for_each(it, &a->entries) directory_set_viewers(n->directory, container_of(it, struct entry, item)->name, 0);
}

void audience_close(struct node *n)
{
    struct audience *a = n->audience;

    n->audience = NULL;
    if (!a)
        return;
    hash_for_each(it, &a->entries) free(container_of(it, struct entry, item));
    hash_fini(&a->entries);
    for (size_t i = 0; i < LEN(a->last); i++)
        free(a->last[i]);
    free(a);
}
