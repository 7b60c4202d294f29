/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_priv.h"

#include <stdlib.h>

struct gather {
    const struct question *question;
    struct http_exchange *x; /* NULL once the client has gone */
    struct node *node;
    struct worker *asker;
    size_t left;
    struct part parts[WORKERS_MAX + 1];
    struct errand {
        struct mail mail;
        struct gather *gather;
        size_t index;
    } errands[WORKERS_MAX + 1];
};

static void finish(struct gather *g)
{
    size_t n = g->node->n;

    if (g->x)
        g->question->answer(g->x, g->parts, n);
    for (size_t i = 0; i <= n; i++) {
        json_decref(g->parts[i].json);
        metrics_destroy(&g->parts[i].metrics);
    }
    free(g);
}

static void run_back(struct mail *m, struct worker *w)
{
    struct gather *g = container_of(m, struct errand, mail)->gather;

    (void)w;
    if (--g->left == 0)
        finish(g);
}

static void run_there(struct mail *m, struct worker *w)
{
    struct errand *e = container_of(m, struct errand, mail);
    struct gather *g = e->gather;
    struct part *part = &g->parts[e->index];

    (void)w;
    /* Of a node that ends, parts are gone already: those questions stay without an answer. */
    if (e->index < g->node->n && !g->node->seats[e->index].closed)
        g->question->on_worker(&g->node->seats[e->index].w, part);
    else if (e->index == g->node->n && !g->node->ending)
        g->question->on_main(g->node, part);
    m->run = run_back;
    worker_post(g->asker, m);
}

static void send_errand(struct gather *g, size_t index, struct worker *to)
{
    struct errand *e = &g->errands[index];

    *e = (struct errand){.mail.run = run_there, .gather = g, .index = index};
    worker_post(to, &e->mail);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    struct gather *g = arg;

    (void)x;
    g->x = NULL;
}

void gather(struct node_worker *w, struct http_exchange *x, const struct question *q)
{
    struct gather *g = calloc(1, sizeof(*g));
    if (!g) {
        http_problem(x, 503, "out of memory");
        return;
    }
    g->question = q;
    g->x = x;
    g->node = w->node;
    g->asker = w->worker;
    g->left = (q->on_worker ? w->node->n : 0) + (q->on_main ? 1 : 0);
    http_on_gone(x, on_gone, g);
    for (size_t i = 0; q->on_worker && i < w->node->n; i++)
        send_errand(g, i, w->node->seats[i].w.worker);
    if (q->on_main)
        send_errand(g, w->node->n, w->node->main);
}
