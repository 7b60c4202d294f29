/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_server.h"

#include "base/reader.h"
#include "pipe/messages.h"
#include "pipe/pipe_server_priv.h"
#include "wire/demux.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CAP_SUBSCRIPTIONS = 4096,
    BACKFILL_BPS = 800 * 1000 * 1000, /* of all; a second of 2.5 Mbit/s takes 12 ms of a quarter of it */
    TICK_LATE_US = 10000, /* a worker held up for longer does not make up for it */
    RESEND_BURST_BYTES = 512 * 1024, /* at once; of a longer answer the child asks for the rest again */
    MEDIA_SOCKET_BYTES = 8 * 1024 * 1024,
};

/* ---- Media ----------------------------------------------------------------------------------- */

static void on_datagram(struct pipe_server *s, struct udp_datagram *d)
{
    struct reader r = reader_init(d->bytes, d->len);

    reader_u32(&r); /* version, type, length */
    uint32_t ssrc = reader_u32(&r);
    struct hash_item *it = NULL;
    if (!r.bad && demux_datagram(d->bytes, d->len) == DEMUX_RTCP)
        it = hash_find(&s->by_feedback, &ssrc, sizeof(ssrc));
    if (!it) {
        s->counters.total.unauthenticated++;
        return;
    }
    struct child_stream *cs = container_of(it, struct child_stream, by_feedback);
    pipe_tx_feedback(&cs->tx, d->bytes, d->len, &d->from, worker_now_us(s->worker));
}

static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct pipe_server *s = arg;

    for (size_t i = 0; i < n; i++)
        on_datagram(s, &v[i]);
}

/* ---- The pace of backfill -------------------------------------------------------------------- */

/* Each gets the same helping, at most a quarter of all: so one alone does not flood its path. */
static void on_tick(struct timer *t, uint64_t now_us)
{
    struct pipe_server *s = container_of(t, struct pipe_server, tick);
    uint64_t passed_us = now_us - s->ticked_us < TICK_LATE_US ? now_us - s->ticked_us : TICK_LATE_US;
    uint64_t bytes = s->cfg.backfill_bps / 8 * passed_us / 1000000, n = 0;

    s->ticked_us = now_us;
    list_for_each(l, &s->shared.catching) n++;
    list_for_each(l, &s->shared.catching)
    {
        struct pipe_tx *tx = container_of(l, struct pipe_tx, catching_link);
        pipe_tx_tick(tx, (int64_t)(bytes / (n < 4 ? 4 : n)));
    }
    if (!list_empty(&s->shared.catching))
        timer_start(&s->tick, TX_TICK_US);
}

static void on_catching(struct pipe_tx_shared *shared)
{
    struct pipe_server *s = container_of(shared, struct pipe_server, shared);

    if (timer_running(&s->tick))
        return;
    s->ticked_us = worker_now_us(s->worker);
    timer_start(&s->tick, TX_TICK_US);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void on_accept(void *arg, struct conn *c)
{
    pipe_child_open(arg, c);
}

static int open_sockets(struct pipe_server *s)
{
    struct udp_cfg media = {
        .bind = s->cfg.media,
        .recv_bytes = MEDIA_SOCKET_BYTES,
        .send_bytes = MEDIA_SOCKET_BYTES,
        .on_datagrams = on_datagrams,
        .arg = s,
    };
    int err = udp_open(&s->udp, s->worker, &media);
    if (err)
        return err;
    s->shared.udp = s->udp;
    udp_local(s->udp, &s->media);
    return conn_listen(&s->listener, s->worker, &s->cfg.listen, true, s->cfg.tls, on_accept, s);
}

int pipe_server_open(struct pipe_server **out, struct worker *w, const struct pipe_server_cfg *cfg)
{
    struct pipe_server *s = calloc(1, sizeof(*s));
    if (!s)
        return -ENOMEM;
    s->cfg = *cfg;
    s->cfg.tls = tls_ctx_ref(cfg->tls);
    s->worker = w;
    if (!s->cfg.cap_subscriptions)
        s->cfg.cap_subscriptions = CAP_SUBSCRIPTIONS;
    if (!s->cfg.backfill_bps)
        s->cfg.backfill_bps = BACKFILL_BPS;
    list_init(&s->children);
    list_init(&s->shared.catching);
    s->shared.worker = w;
    s->shared.engine = cfg->engine;
    s->shared.on_catching = on_catching;
    s->shared.resend = (struct tx_bucket){
        .bytes = RESEND_BURST_BYTES, .cap_bytes = RESEND_BURST_BYTES, .bps = s->cfg.backfill_bps};
    timer_init(&s->tick, w, on_tick);
    int err = hash_init(&s->by_feedback) ? -ENOMEM : open_sockets(s);
    if (err) {
        pipe_server_close(&s);
        return err;
    }
    *out = s;
    return 0;
}

void pipe_server_close(struct pipe_server **server)
{
    struct pipe_server *s = *server;
    if (!s)
        return;
    *server = NULL;
    list_for_each(l, &s->children) pipe_child_close(container_of(l, struct pipe_child, link));
    timer_stop(&s->tick);
    if (s->listener)
        conn_listener_close(&s->listener);
    if (s->udp)
        udp_close(&s->udp);
    hash_fini(&s->by_feedback);
    tls_ctx_unref(&s->cfg.tls);
    free(s);
}

void pipe_server_set_tls(struct pipe_server *s, struct tls_ctx *tls)
{
    conn_listener_set_tls(s->listener, tls);
}

void pipe_server_drain(struct pipe_server *s, bool draining)
{
    if (draining && !s->draining)
        list_for_each(l, &s->children) pipe_child_go_away(container_of(l, struct pipe_child, link), "draining");
    s->draining = draining;
}

void pipe_server_local(const struct pipe_server *s, struct addr *control, struct addr *media)
{
    conn_listener_local(s->listener, control);
    *media = s->media;
}

/* ---- Facts ----------------------------------------------------------------------------------- */

/* One place stays free for ourselves. */
static void add_path(struct pipe_path *sum, const struct pipe_path *path)
{
    if (sum->n == 0 || path->depth < sum->depth)
        sum->depth = path->depth;
    for (size_t i = 0; i < path->n && sum->n < PIPE_PATH_IDS_MAX - 1; i++)
        if (!path_add(sum, path->ids[i]))
            return;
}

void pipe_server_path(const struct pipe_server *s, const struct router *r, struct pipe_path *out)
{
    *out = (struct pipe_path){0};
    for (const struct list *l = s->children.next; l != &s->children; l = l->next) {
        const struct pipe_child *c = container_of(l, const struct pipe_child, link);
        hash_for_each(it, &c->streams)
        {
            const struct child_stream *cs = container_of(it, struct child_stream, by_id);
            if (cs->tx.consumer.router == r)
                add_path(out, &cs->path);
        }
    }
}

static struct pipe_child_stats stats_of(const struct pipe_child *c, const struct child_stream *cs)
{
    return (struct pipe_child_stats){
        .id = c->who.id,
        .stream = cs->stream,
        .address = *conn_peer(c->conn),
        .media = cs->tx.heard ? cs->tx.peer : (struct addr){.sa = {.sa_family = AF_UNSPEC}},
        .started_at_us = cs->started_at_us,
        .want = cs->tx.want,
        .rtt_us = c->rtt_us,
        .counters = &cs->tx.counters,
    };
}

void pipe_server_each(const struct pipe_server *s, void (*fn)(void *arg, const struct pipe_child_stats *),
                      void *arg)
{
    for (const struct list *l = s->children.next; l != &s->children; l = l->next) {
        const struct pipe_child *c = container_of(l, const struct pipe_child, link);
        hash_for_each(it, &c->streams)
        {
            struct pipe_child_stats stats = stats_of(c, container_of(it, struct child_stream, by_id));
            fn(arg, &stats);
        }
    }
}

static void add_stats(void *arg, const struct pipe_child_stats *child)
{
    struct pipe_server_counters *sum = arg;

    pipe_counters_add(&sum->total, child->counters);
}

struct pipe_server_counters pipe_server_counters(const struct pipe_server *s)
{
    struct pipe_server_counters sum = s->counters;

    pipe_server_each(s, add_stats, &sum);
    return sum;
}

const struct udp_counters *pipe_server_udp_counters(const struct pipe_server *s)
{
    return udp_counters(s->udp);
}
