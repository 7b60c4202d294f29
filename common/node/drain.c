/* SPDX-License-Identifier: Apache-2.0
 *
 * Admission: whether this node takes one more client. The limits of the configuration are looked at by the worker that is asked, against
 * what all workers said last (once a second) and have let in since.
 *
 * Drain: this node takes no more clients and its viewers and children go elsewhere. Begun by POST /api/v1/drain and called back by DELETE, or
 * begun by SIGTERM: then the node ends when all are gone, or at a deadline, or at once when there is nobody, or nowhere to go to.
 */
#include "node/node_priv.h"

#include "base/log.h"
#include "base/random.h"
#include "directory/choose.h"
#include "pipe/pipe_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RETRY_MIN_S = 1, RETRY_SPREAD_S = 4, LOOK_US = 100000 };

/* ---- Admission ------------------------------------------------------------------------------------------------ */

static uint64_t viewers_now(struct node *n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n->n; i++)
        sum += atomic_load(&n->seats[i].facts.viewers) + atomic_load(&n->seats[i].facts.admitted);
    return sum;
}

const char *admission_refusal(struct node_worker *w)
{
    struct node *n = w->node;
    const struct config *c = &n->config;

    if (atomic_load(&n->draining))
        return "this node is draining";
    if (c->limits.viewers && viewers_now(n) >= c->limits.viewers)
        return "this node has all the viewers it can take";
    if (c->limits.egress_bps && atomic_load(&n->egress_bps) >= c->limits.egress_bps)
        return "this node sends all that it can send";
    if (c->limits.cpu_permille && atomic_load(&n->cpu_permille) >= c->limits.cpu_permille)
        return "this node has no CPU to spare";
    if (governor_level(worker_governor(w->worker)) == 3)
        return "this node is overloaded";
    return NULL;
}

const char *node_refusal(struct node_worker *w)
{
    return admission_refusal(w);
}

void admission_count(struct node_worker *w)
{
    atomic_fetch_add(&container_of(w, struct seat, w)->facts.admitted, 1);
}

void admission_refuse(struct node_worker *w, struct http_exchange *x, const char *why)
{
    char after[8];

    atomic_fetch_add(&container_of(w, struct seat, w)->facts.refused, 1);
    snprintf(after, sizeof(after), "%u", RETRY_MIN_S + random_u32() % RETRY_SPREAD_S);
    http_reply_header(x, "Retry-After", after);
    http_problem(x, 503, "%s", why);
}

bool node_admit(struct node_worker *w, struct http_exchange *x)
{
    const char *why = admission_refusal(w);

    if (why)
        admission_refuse(w, x, why);
    else
        admission_count(w);
    return !why;
}

/* ---- Drain: a worker's part -------------------------------------------------------------------------------------- */

/* The origin goes on serving its children: nobody else has its streams. */
static void run_drain(struct mail *m, struct worker *worker)
{
    struct seat *s = container_of(m, struct seat, drain_mail);
    struct node *n = s->w.node;
    bool on = atomic_load(&n->draining);

    (void)worker;
    atomic_store(&s->drain_posted, false);
    if (s->closed)
        return;
    seat_count(s); /* whether there is anyone to wait for */
    if (s->w.pipe_server && n->role->pulls)
        pipe_server_drain(s->w.pipe_server, on);
    if (n->role->drain)
        n->role->drain(&s->w, on, n->config.node.drain_ms * 1000 / 2);
}

/* ---- Drain: the node's ---------------------------------------------------------------------------------------------- */

static void set_draining(struct node *n, bool on)
{
    if (n->self.draining == on)
        return;
    log_info("node", on ? "draining: no new clients, present ones are sent elsewhere" : "draining is called back");
    n->self.draining = on;
    atomic_store(&n->draining, on);
    directory_set_self(n->directory, &n->self);
    for (size_t i = 0; i < n->n; i++)
        if (!atomic_exchange(&n->seats[i].drain_posted, true)) {
            n->seats[i].drain_mail.run = run_drain;
            worker_post(n->seats[i].w.worker, &n->seats[i].drain_mail);
        }
}

static uint64_t clients(const struct node *n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < n->n; i++)
        sum += atomic_load(&n->seats[i].facts.viewers) + atomic_load(&n->seats[i].facts.children);
    return sum;
}

/* Another node of our role that takes clients. */
static bool has_stand_in(const struct node *n)
{
    const struct node_record *v;
    size_t count = directory_nodes(n->directory, &v);

    for (size_t i = 0; i < count; i++)
        if (v[i].role == n->self.role && strcmp(v[i].id, n->self.id) != 0 && !v[i].draining && node_load_permille(&v[i]) < 1000)
            return true;
    return false;
}

static void on_look(struct timer *t, uint64_t now_us)
{
    struct node *n = container_of(t, struct node, drain);

    if (n->drain_until_us && (clients(n) == 0 || now_us >= n->drain_until_us)) {
        log_info("node", "drained: %llu clients are left", (unsigned long long)clients(n));
        node_end(n);
        return;
    }
    timer_start(t, LOOK_US);
}

void drain_init(struct node *n)
{
    timer_init(&n->drain, n->main, on_look);
}

/* Publishers cannot be sent elsewhere, so an origin ends at once; who has no client ends with the first look, by when
 * every worker has counted anew. */
bool drain_to_end(struct node *n)
{
    if (n->drain_until_us || !n->config.node.drain_ms || n->self.role == NODE_ORIGIN || !has_stand_in(n))
        return false;
    set_draining(n, true);
    n->drain_until_us = worker_now_us(n->main) + n->config.node.drain_ms * 1000;
    timer_start(&n->drain, LOOK_US);
    return true;
}

/* ---- The API ------------------------------------------------------------------------------------------------------------ */

static void drain_on_main(struct node *n, struct part *out)
{
    set_draining(n, true);
    out->json = json_pack("{s:b}", "draining", true);
}

static void undrain_on_main(struct node *n, struct part *out)
{
    n->drain_until_us = 0;
    timer_stop(&n->drain);
    set_draining(n, false);
    out->json = json_pack("{s:b}", "draining", false);
}

static void answer(struct http_exchange *x, struct part *parts, size_t n)
{
    const json_t *draining = json_object_get(parts[n].json, "draining");

    if (!draining)
        http_problem(x, 503, "this node is ending");
    else if (json_is_true(draining))
        http_reply(x, 200, "application/json", "{\"draining\": true}\n", 19);
    else
        http_reply(x, 200, "application/json", "{\"draining\": false}\n", 20);
}

static void post_drain(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_main = drain_on_main, .answer = answer};

    operator_ask(arg, x, &q);
}

static void delete_drain(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_main = undrain_on_main, .answer = answer};

    operator_ask(arg, x, &q);
}

void drain_open(struct node_worker *w)
{
    http_route(w->http, HTTP_M_POST, "/api/v1/drain", post_drain, w);
    http_route(w->http, HTTP_M_DELETE, "/api/v1/drain", delete_drain, w);
}
