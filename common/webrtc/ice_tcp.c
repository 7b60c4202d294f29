/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/ice_tcp.h"

#include "transport_priv.h"

#include "base/list.h"
#include "base/log.h"
#include "io/tcp.h"
#include "wire/rtp_frame.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

enum {
    BEHIND_US = 500000,
    LAST_WORDS_US = 1000000, /* for a close_notify to leave */
    UNSENT_BYTES = 16 << 10, /* lent to the kernel: what waits shall wait here, where it is known */
};

_Static_assert((int)RTP_FRAME_MAX == (int)UDP_DATAGRAM_MAX, "a packet is one whichever way it came");

struct ice_tcp {
    struct worker *worker;
    struct ice_tcp_cfg cfg;
    struct tcp_listener *listener;
    struct list strangers, known, leaving; /* struct ice_tcp_conn, the oldest first */
    size_t n_strangers;
    struct ice_tcp_counters counters;
    uint8_t scratch[RTP_FRAME_HEADER_BYTES + UDP_DATAGRAM_MAX]; /* the packet reserved */
};

struct ice_tcp_conn {
    struct ice_tcp *owner; /* NULL: it is closed, and .tcp's last callback to come */
    struct list item;
    struct tcp *tcp;
    struct ice_path *path;
    bool left;             /* it ended for us, and sends its last words at most */
    struct timer idle;
    uint64_t waiting_us; /* since when there was always something waiting */
    struct rtp_deframer in;
};

/* ---- The end of a connection ------------------------------------------------------------------- */

/* Nobody's any more. */
static void leave(struct ice_tcp_conn *c)
{
    struct ice_tcp *t = c->owner;

    t->n_strangers -= !c->path;
    c->path = NULL;
    c->left = true;
    timer_stop(&c->idle);
    list_remove(&c->item);
    list_push_back(&t->leaving, &c->item);
}

static void lose(struct ice_tcp_conn *c)
{
    if (c->path)
        c->owner->cfg.on_lost(c->owner->cfg.arg, c);
    leave(c);
}

static void drop(struct ice_tcp_conn *c)
{
    lose(c);
    tcp_close(c->tcp);
}

void ice_tcp_end(struct ice_tcp_conn *c)
{
    leave(c);
    tcp_shutdown(c->tcp, LAST_WORDS_US);
}

static void on_close(void *arg, int err)
{
    struct ice_tcp_conn *c = arg;

    (void)err;
    if (c->owner && !c->left)
        lose(c);
    if (c->owner)
        list_remove(&c->item);
    free(c);
}

static bool is_wanted(const struct ice_tcp_conn *c, uint64_t now_us)
{
    return c->path && (c->path->transport->path == c->path || now_us - c->path->checked_us < RTC_CONSENT_US);
}

static void on_idle_due(struct timer *t, uint64_t now_us)
{
    struct ice_tcp_conn *c = container_of(t, struct ice_tcp_conn, idle);

    if (is_wanted(c, now_us)) {
        timer_start(&c->idle, RTC_CONSENT_US);
        return;
    }
    c->owner->counters.strangers += !c->path;
    drop(c);
}

/* ---- Packets in -------------------------------------------------------------------------------- */

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct ice_tcp_conn *c = arg;
    struct reader r = reader_init(bytes, len);
    int state = RTP_FRAME_READY;

    while (!c->left && (state = rtp_deframer_push(&c->in, &r)) == RTP_FRAME_READY) {
        struct udp_datagram d = {.from = *tcp_peer(c->tcp)};

        d.bytes = rtp_deframer_packet(&c->in, &d.len);
        c->owner->counters.received++;
        c->owner->cfg.on_packet(c->owner->cfg.arg, c, &d);
    }
    if (!c->left && state == RTP_FRAME_ERR_LONG) {
        char peer[ADDR_TEXT_CAP];

        LOG_LIMITED("webrtc", "malformed frame on TCP peer=%s", addr_print(tcp_peer(c->tcp), peer));
        c->owner->counters.malformed++;
        drop(c);
    }
}

static void on_accept(void *arg, struct tcp *tcp)
{
    static const struct tcp_ops ops = {.on_data = on_data, .on_close = on_close};
    struct ice_tcp *t = arg;
    struct ice_tcp_conn *c = malloc(sizeof(*c));

    if (!c) {
        tcp_close(tcp);
        return;
    }
    if (t->n_strangers == ICE_TCP_STRANGERS_MAX) {
        t->counters.strangers++;
        drop(container_of(t->strangers.next, struct ice_tcp_conn, item));
    }
    c->owner = t;
    c->tcp = tcp;
    c->path = NULL;
    c->left = false;
    c->waiting_us = 0;
    rtp_deframer_init(&c->in);
    timer_init(&c->idle, t->worker, on_idle_due);
    timer_start(&c->idle, ICE_TCP_STRANGER_US);
    list_push_back(&t->strangers, &c->item);
    t->n_strangers++;
    t->counters.accepted++;
    tcp_set_unsent_bytes(tcp, UNSENT_BYTES);
    tcp_set_ops(tcp, &ops, c);
}

struct ice_path *ice_tcp_path(const struct ice_tcp_conn *c)
{
    return c->path;
}

void ice_tcp_set_path(struct ice_tcp_conn *c, struct ice_path *path)
{
    if (!c->path) {
        list_remove(&c->item);
        list_push_back(&c->owner->known, &c->item);
        c->owner->n_strangers--;
    }
    c->path = path;
}

/* ---- Packets out ------------------------------------------------------------------------------- */

uint8_t *ice_tcp_reserve(struct ice_tcp_conn *c, size_t cap_bytes)
{
    assert(cap_bytes <= UDP_DATAGRAM_MAX);
    return c->owner->scratch + RTP_FRAME_HEADER_BYTES;
}

bool ice_tcp_commit(struct ice_tcp_conn *c, size_t len)
{
    struct ice_tcp *t = c->owner;

    if (len == 0)
        return false;
    if (tcp_queued_bytes(c->tcp) + len > ICE_TCP_QUEUE_MAX) {
        t->counters.dropped++;
        return false;
    }
    if (tcp_queued_bytes(c->tcp) == 0)
        c->waiting_us = worker_now_us(t->worker);
    rtp_frame_write(t->scratch, len);
    tcp_write(c->tcp, t->scratch, RTP_FRAME_HEADER_BYTES + len);
    t->counters.sent++;
    return true;
}

bool ice_tcp_behind(const struct ice_tcp_conn *c)
{
    return tcp_queued_bytes(c->tcp) > 0 && worker_now_us(c->owner->worker) - c->waiting_us > BEHIND_US;
}

/* ---- Life -------------------------------------------------------------------------------------- */

int ice_tcp_open(struct ice_tcp **out, struct worker *w, const struct ice_tcp_cfg *cfg)
{
    struct ice_tcp *t = calloc(1, sizeof(*t));
    int err = t ? tcp_listen(&t->listener, w, &cfg->listen, false, on_accept, t) : -ENOMEM;

    if (err) {
        free(t);
        return err;
    }
    t->worker = w;
    t->cfg = *cfg;
    list_init(&t->strangers);
    list_init(&t->known);
    list_init(&t->leaving);
    *out = t;
    return 0;
}

static void close_all(struct list *conns)
{
    list_for_each(it, conns) {
        struct ice_tcp_conn *c = container_of(it, struct ice_tcp_conn, item);

        timer_stop(&c->idle);
        list_remove(&c->item);
        c->owner = NULL;
        c->left = true;
        tcp_close(c->tcp);
    }
}

void ice_tcp_close(struct ice_tcp **tcp)
{
    struct ice_tcp *t = *tcp;

    if (!t)
        return;
    tcp_listener_close(&t->listener);
    close_all(&t->strangers);
    close_all(&t->known);
    close_all(&t->leaving);
    free(t);
    *tcp = NULL;
}

void ice_tcp_local(const struct ice_tcp *t, struct addr *out)
{
    tcp_listener_local(t->listener, out);
}

const struct ice_tcp_counters *ice_tcp_counters(const struct ice_tcp *t)
{
    return &t->counters;
}
