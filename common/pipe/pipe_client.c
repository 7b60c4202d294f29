/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_client.h"

#include "base/bytes.h"
#include "base/random.h"
#include "pipe/messages.h"
#include "pipe/pipe_client_priv.h"
#include "router/router.h"
#include "wire/demux.h"
#include "wire/rtp_view.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    GIVE_UP_US = 1000000,
    CONNECT_US = 3000000,
    IDLE_US = 10000000,
    MEDIA_SOCKET_BYTES = 8 * 1024 * 1024,
    BLOCK_MASK = (1 << (32 - SSRC_BLOCK_BITS)) - 1,
};

/* ---- Media ----------------------------------------------------------------------------------- */

static void wake(struct pipe_subscription *s, uint64_t now_us)
{
    uint64_t due_us = s->rx.wake_us;

    if (due_us == UINT64_MAX)
        timer_stop(&s->timer);
    else if (!timer_running(&s->timer) || s->timer.due_us != due_us)
        timer_start(&s->timer, due_us > now_us ? due_us - now_us : 0);
}

/* Blocks are given out one after the other: each mostly finds its place by itself. */
static struct client_seat *seat_of(struct pipe_client *c, uint32_t block)
{
    return &c->seats[block % CLIENT_SEATS];
}

static struct pipe_subscription *find_seated(struct pipe_client *c, uint32_t ssrc)
{
    uint32_t block = ssrc >> SSRC_BLOCK_BITS;
    const struct client_seat *seat = seat_of(c, block);

    return seat->block == block ? seat->s : NULL;
}

static struct pipe_subscription *find_block(struct pipe_client *c, uint32_t ssrc)
{
    uint32_t block = ssrc >> SSRC_BLOCK_BITS;
    struct client_seat *seat = seat_of(c, block);

    if (seat->s && seat->block == block)
        return seat->s;
    struct hash_item *it = hash_find(&c->by_block, &block, sizeof(block));
    if (it)
        *seat = (struct client_seat){container_of(it, struct pipe_subscription, by_block), block};
    return it ? seat->s : NULL;
}

static void on_rtp(struct pipe_subscription *s, struct udp_datagram *d, uint64_t now_us)
{
    struct packet *p = pipe_rx_take(&s->rx, s->client->cfg.pool, d->bytes, d->len, now_us);

    if (!p)
        return;
    pipe_parent_heard(s->parent, now_us);
    if (s->rx.wake_us < s->timer.due_us)
        wake(s, now_us);
    s->ops->on_packet(s->arg, p);
}

static void on_rtcp(struct pipe_subscription *s, struct udp_datagram *d, uint64_t now_us)
{
    uint64_t rtt_us;

    if (!pipe_rx_feedback(&s->rx, d->bytes, d->len, now_us, &rtt_us))
        return;
    pipe_parent_heard(s->parent, now_us);
    if (rtt_us)
        pipe_parent_note_rtt(s->parent, rtt_us);
}

static void on_datagram(struct pipe_client *c, struct udp_datagram *d, uint64_t now_us)
{
    enum demux_kind kind = demux_datagram(d->bytes, d->len);
    bool ours = d->len >= RTP_HEADER_BYTES && (kind == DEMUX_RTP || kind == DEMUX_RTCP);
    struct pipe_subscription *s = ours ? find_block(c, get32(d->bytes + (kind == DEMUX_RTP ? 8 : 4))) : NULL; /* the SSRC */

    if (!s)
        c->unknown++;
    else if (kind == DEMUX_RTP)
        on_rtp(s, d, now_us);
    else
        on_rtcp(s, d, now_us);
}

/* Packets of one layer, one after the other. */
struct run {
    const struct pipe_subscription *s;
    uint32_t ssrc;
    struct pipe_soon what;
};

static size_t find_runs(struct pipe_client *c, const struct udp_datagram *v, size_t n, struct run *runs)
{
    size_t n_runs = 0;

    for (size_t i = 0; i < n; i++) {
        if (v[i].len < RTP_HEADER_BYTES || demux_datagram(v[i].bytes, v[i].len) != DEMUX_RTP)
            continue;
        uint32_t ssrc = get32(v[i].bytes + 8);
        if (n_runs && runs[n_runs - 1].ssrc == ssrc) {
            runs[n_runs - 1].what.n++;
            continue;
        }
        struct pipe_subscription *s = find_seated(c, ssrc);
        if (!s) /* its first, or noise: not worth a search of its own */
            continue;
        pipe_rx_soon(&s->rx);
        __builtin_prefetch(&s->arg);
        __builtin_prefetch(&s->timer.due_us);
        runs[n_runs++] = (struct run){s, ssrc, {.n = 1}};
    }
    return n_runs;
}

/* A turn comes to streams whose memory other streams and other processes have driven out of the processor's cache since their last
 * packets. So all that the batch will read and write is asked for first, of all its streams at a time: what is asked for in one step
 * says where the next one's is. */
static void look_ahead(struct pipe_client *c, const struct udp_datagram *v, size_t n)
{
    struct run runs[UDP_BATCH_MAX];
    size_t n_runs = find_runs(c, v, n, runs);

    for (size_t i = 0; i < n_runs; i++) {
        unsigned layer = pipe_rx_soon_layer(&runs[i].s->rx, runs[i].ssrc);
        runs[i].what.track = layer / LAYERS_MAX;
        runs[i].what.layer = layer % LAYERS_MAX;
        __builtin_prefetch(runs[i].s->arg);
    }
    for (unsigned step = 0; step < ROUTER_SOON_STEPS; step++)
        for (size_t i = 0; i < n_runs; i++)
            if (runs[i].s->ops->on_soon)
                runs[i].s->ops->on_soon(runs[i].s->arg, step, &runs[i].what);
}

static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct pipe_client *c = arg;
    uint64_t now_us = worker_now_us(c->worker);

    look_ahead(c, v, n);
    for (size_t i = 0; i < n; i++)
        on_datagram(c, &v[i], now_us);
}

/* ---- The client ------------------------------------------------------------------------------ */

static void set_defaults(struct pipe_client_cfg *cfg)
{
    cfg->give_up_us = cfg->give_up_us ? cfg->give_up_us : GIVE_UP_US;
    cfg->connect_us = cfg->connect_us ? cfg->connect_us : CONNECT_US;
    cfg->idle_us = cfg->idle_us ? cfg->idle_us : IDLE_US;
}

/* Parents are reached over whichever family their name or address has; where there is no IPv6, over the
 * other. */
static int open_socket(struct pipe_client *c)
{
    struct udp_cfg media = {
        .bind = c->cfg.bind,
        .recv_bytes = MEDIA_SOCKET_BYTES,
        .send_bytes = MEDIA_SOCKET_BYTES,
        .gather_us = c->cfg.gather_us,
        .on_datagrams = on_datagrams,
        .arg = c,
    };

    if (media.bind.sa.sa_family != AF_UNSPEC)
        return udp_open(&c->udp, c->worker, &media);
    media.bind.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
    if (udp_open(&c->udp, c->worker, &media) == 0)
        return 0;
    media.bind.v4 = (struct sockaddr_in){.sin_family = AF_INET};
    return udp_open(&c->udp, c->worker, &media);
}

int pipe_client_open(struct pipe_client **out, struct worker *w, const struct pipe_client_cfg *cfg)
{
    struct pipe_client *c = calloc(1, sizeof(*c));
    if (!c)
        return -ENOMEM;
    c->cfg = *cfg;
    c->cfg.tls = tls_ctx_ref(cfg->tls);
    c->worker = w;
    c->next_block = random_u32() & BLOCK_MASK;
    set_defaults(&c->cfg);
    list_init(&c->parents);
    int err = hash_init(&c->by_block) ? -ENOMEM : open_socket(c);
    if (err) {
        pipe_client_close(&c);
        return err;
    }
    *out = c;
    return 0;
}

void pipe_client_close(struct pipe_client **client)
{
    struct pipe_client *c = *client;
    if (!c)
        return;
    *client = NULL;
    assert(c->by_block.count == 0);
    list_for_each(l, &c->parents) pipe_parent_close(container_of(l, struct pipe_parent, link));
    if (c->udp)
        udp_close(&c->udp);
    hash_fini(&c->by_block);
    tls_ctx_unref(&c->cfg.tls);
    free(c);
}

void pipe_client_set_tls(struct pipe_client *c, struct tls_ctx *tls)
{
    struct tls_ctx *old = c->cfg.tls;

    c->cfg.tls = tls_ctx_ref(tls);
    tls_ctx_unref(&old);
}

/* ---- Subscribing ----------------------------------------------------------------------------- */

/* Pictures wait for the beginning; behind the end nothing more comes, so what is missing before it may take its time. */
static void wait_for_expected(struct pipe_subscription *s, uint64_t now_us)
{
    uint64_t rtt_us = s->parent->rtt_us, wait_us = rtt_us * 4 > RX_WAIT_MIN_US ? rtt_us * 4 : RX_WAIT_MIN_US;

    pipe_rx_wait(&s->rx, now_us, s->end ? s->client->cfg.give_up_us : wait_us);
    wake(s, now_us);
}

/* One callback at a time: it may close the subscription. */
static void on_complete(struct pipe_subscription *s, uint64_t now_us)
{
    enum stream_end end = s->end;

    if (s->caught_up) {
        s->caught_up = false;
        if (end)
            wait_for_expected(s, now_us);
        s->ops->on_caught_up(s->arg);
    } else if (end) {
        s->end = 0;
        s->ops->on_end(s->arg, end);
    }
}

/* A timer that is due at once: a refusal decided here is told from the loop, as all are. */
static void on_due(struct timer *t, uint64_t now_us)
{
    struct pipe_subscription *s = container_of(t, struct pipe_subscription, timer);

    if (s->refusal) {
        enum pipe_refusal reason = (enum pipe_refusal)s->refusal;
        pipe_subscription_over(s);
        s->ops->on_refused(s->arg, reason);
        return;
    }
    enum pipe_rx_event event = pipe_rx_poll(&s->rx, now_us, s->parent->rtt_us);
    wake(s, now_us);
    if (event == PIPE_RX_COMPLETE) {
        on_complete(s, now_us);
    } else if (event == PIPE_RX_DEAF) {
        pipe_parent_send_unsubscribe(s->parent, s->id);
        pipe_subscription_over(s);
        s->ops->on_lost(s->arg, PIPE_LOST_MEDIA);
    }
}

static bool copy_text(char *dst, size_t cap, const char *src)
{
    size_t len = strnlen(src, cap);

    if (len == cap)
        return false;
    memcpy(dst, src, len + 1);
    return true;
}

static uint32_t free_block(struct pipe_client *c)
{
    while (hash_find(&c->by_block, &c->next_block, sizeof(c->next_block)))
        c->next_block = (c->next_block + 1) & BLOCK_MASK;
    uint32_t block = c->next_block;
    c->next_block = (c->next_block + 1) & BLOCK_MASK;
    return block;
}

static int copy_request(struct pipe_subscription *s, const struct pipe_subscribe_cfg *cfg)
{
    if (!stream_name_valid(cfg->stream) || !copy_text(s->stream, sizeof(s->stream), cfg->stream) ||
        cfg->n_from > LEN(s->from))
        return -1;
    s->want = cfg->want;
    s->patience_us = cfg->patience_us;
    s->from_epoch = cfg->epoch;
    s->n_from = cfg->n_from;
    if (cfg->n_from)
        memcpy(s->from, cfg->from, cfg->n_from * sizeof(*cfg->from));
    if (cfg->path)
        s->path = *cfg->path;
    s->path.depth++;
    if (path_has(&s->path, s->client->cfg.self.id))
        s->refusal = PIPE_REFUSED_LOOP;
    else if (s->path.depth > PIPE_PATH_MAX || !path_add(&s->path, s->client->cfg.self.id))
        s->refusal = PIPE_REFUSED_DEPTH;
    return 0;
}

static struct pipe_subscription *subscription_create(struct pipe_client *c,
                                                     const struct pipe_subscribe_cfg *cfg)
{
    struct pipe_subscription *s = aligned_alloc(_Alignof(struct pipe_subscription), sizeof(*s));
    if (!s)
        return NULL;
    memset(s, 0, sizeof(*s));
    s->client = c;
    s->ops = cfg->ops;
    s->arg = cfg->arg;
    s->allowed = UINT64_MAX;
    list_init(&s->link);
    pipe_rx_init(&s->rx, c->cfg.engine, c->udp, c->cfg.give_up_us);
    timer_init(&s->timer, c->worker, on_due);
    if (copy_request(s, cfg) != 0) {
        free(s);
        return NULL;
    }
    return s;
}

int pipe_subscribe(struct pipe_subscription **out, struct pipe_client *c, const struct pipe_subscribe_cfg *cfg)
{
    if (!node_id_valid(cfg->parent_id) || strlen(cfg->parent_address) > PARENT_ADDRESS_MAX)
        return -1;
    struct pipe_subscription *s = subscription_create(c, cfg);
    struct pipe_parent *p = s ? pipe_parent_get(c, cfg->parent_id, cfg->parent_address) : NULL;
    if (!p) {
        free(s);
        return -1;
    }
    s->block = free_block(c);
    hash_push(&c->by_block, &s->by_block, &s->block, sizeof(s->block));
    s->parent = p;
    p->refs++;
    p->idle_since_us = 0;
    s->id = p->next_id++;
    hash_push(&p->by_id, &s->by_id, &s->id, sizeof(s->id));
    list_push_back(&p->subscriptions, &s->link);
    if (s->refusal)
        timer_start(&s->timer, 0);
    else if (p->state == PARENT_UP)
        pipe_parent_subscribe(p, s);
    *out = s;
    return 0;
}

void pipe_subscription_over(struct pipe_subscription *s)
{
    struct pipe_parent *p = s->parent;

    if (s->state == SUBSCRIPTION_OVER)
        return;
    s->state = SUBSCRIPTION_OVER;
    timer_stop(&s->timer);
    list_remove(&s->link);
    hash_remove(&p->by_id, &s->by_id);
    hash_remove(&s->client->by_block, &s->by_block);
    if (seat_of(s->client, s->block)->s == s)
        seat_of(s->client, s->block)->s = NULL;
    pipe_rx_fini(&s->rx);
    if (list_empty(&p->subscriptions))
        p->idle_since_us = worker_now_us(s->client->worker);
}

void pipe_subscription_close(struct pipe_subscription **subscription)
{
    struct pipe_subscription *s = *subscription;
    if (!s)
        return;
    *subscription = NULL;
    if (s->state == SUBSCRIPTION_ASKED)
        pipe_parent_send_unsubscribe(s->parent, s->id);
    pipe_subscription_over(s);
    pipe_counters_add(&s->parent->total, &s->rx.counters);
    pipe_parent_unref(s->parent);
    free(s);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

void pipe_subscription_want(struct pipe_subscription *s, uint64_t want)
{
    uint64_t ended = s->want & ~want;

    if (want == s->want)
        return;
    s->want = want;
    pipe_rx_stopped(&s->rx, ended);
    if (s->state == SUBSCRIPTION_ASKED)
        pipe_parent_send_want(s->parent, s);
}

void pipe_subscription_patience(struct pipe_subscription *s, uint64_t patience_us)
{
    if (patience_us == s->patience_us)
        return;
    s->patience_us = patience_us;
    if (s->state == SUBSCRIPTION_ASKED)
        pipe_parent_send_want(s->parent, s);
}

void pipe_subscription_keyframe(struct pipe_subscription *s, unsigned track, unsigned layer)
{
    if (s->state == SUBSCRIPTION_ASKED)
        pipe_parent_send_keyframe(s->parent, s->id, track, layer);
}

/* ---- What the parent says -------------------------------------------------------------------- */

static bool copy_keys(struct srtp_master *out, const Pipe__Keys *m)
{
    out->profile = SRTP_PROFILE_GCM_128;
    if (!m || m->key.len != srtp_key_len(out->profile) || m->salt.len != srtp_salt_len(out->profile))
        return false;
    memcpy(out->key, m->key.data, m->key.len);
    memcpy(out->salt, m->salt.data, m->salt.len);
    return true;
}

static bool parse_subscribed(const struct pipe_subscription *s, const Pipe__Subscribed *m,
                             struct pipe_rx_cfg *cfg, struct track_set *tracks, struct pipe_path *source)
{
    cfg->ssrc = m->ssrc;
    cfg->feedback_ssrc = m->feedback_ssrc;
    cfg->tracks = tracks;
    if (m->ssrc >> SSRC_BLOCK_BITS != s->block || m->ssrc % PIPE_STREAM_LAYERS != 0 || m->media_port == 0 ||
        m->media_port > UINT16_MAX || !copy_keys(&cfg->to_child, m->to_child) ||
        !copy_keys(&cfg->to_parent, m->to_parent))
        return false;
    cfg->peer = *conn_peer(s->parent->conn);
    addr_set_port(&cfg->peer, (uint16_t)m->media_port);
    return message_tracks_parse(tracks, m) == MESSAGE_OK && m->n_source <= PIPE_PATH_MAX &&
           message_path_parse(source, m->n_source, m->source) == MESSAGE_OK;
}

void pipe_subscription_on_subscribed(struct pipe_subscription *s, const Pipe__Subscribed *m)
{
    struct pipe_rx_cfg cfg;
    struct track_set tracks;
    struct pipe_path source;
    uint64_t now_us = worker_now_us(s->client->worker);

    if (!parse_subscribed(s, m, &cfg, &tracks, &source)) {
        pipe_parent_fail(s->parent, PIPE_LOST_PROTOCOL);
        return;
    }
    if (pipe_rx_associate(&s->rx, &cfg, now_us) != 0) {
        pipe_parent_send_unsubscribe(s->parent, s->id);
        pipe_subscription_over(s);
        s->ops->on_lost(s->arg, PIPE_LOST_MEDIA);
        return;
    }
    s->caught_up = false;
    s->end = 0;
    pipe_rx_poll(&s->rx, now_us, s->parent->rtt_us); /* says hello */
    wake(s, now_us);
    s->ops->on_subscribed(s->arg, &tracks, &source);
}

void pipe_subscription_on_started(struct pipe_subscription *s, const Pipe__Started *m)
{
    uint64_t now_us = worker_now_us(s->client->worker);
    struct pipe_position first;

    for (size_t i = 0; i < m->n_first; i++)
        if (message_position_parse(&first, m->first[i]) &&
            s->want & s->allowed & want_bit(first.track, first.layer))
            pipe_rx_started(&s->rx, &first, now_us);
    wake(s, now_us);
}

/* These end where they were sent; what has not come of them yet is waited for. */
static void expect(struct pipe_subscription *s, size_t n, Pipe__Position *const *ends)
{
    uint64_t now_us = worker_now_us(s->client->worker);
    struct pipe_position end;

    for (size_t i = 0; i < n; i++)
        if (message_position_parse(&end, ends[i]))
            pipe_rx_expect(&s->rx, &end, now_us);
    wait_for_expected(s, now_us);
}

void pipe_subscription_on_caught_up(struct pipe_subscription *s, const Pipe__CaughtUp *m)
{
    s->caught_up = true;
    expect(s, m->n_end, m->end);
}

void pipe_subscription_on_stream_end(struct pipe_subscription *s, const Pipe__StreamEnd *m)
{
    bool known = m->why >= STREAM_UNPUBLISHED && m->why <= STREAM_UNREACHABLE;

    s->end = known ? (enum stream_end)m->why : STREAM_UNPUBLISHED;
    expect(s, m->n_end, m->end);
}

void pipe_subscription_on_thinned(struct pipe_subscription *s, uint64_t allowed)
{
    pipe_rx_stopped(&s->rx, s->allowed & ~allowed);
    s->allowed = allowed;
    if (s->ops->on_thinned)
        s->ops->on_thinned(s->arg, allowed);
}

uint64_t pipe_client_unknown(const struct pipe_client *c)
{
    return c->unknown;
}

const struct udp_counters *pipe_client_udp_counters(const struct pipe_client *c)
{
    return udp_counters(c->udp);
}

/* ---- Facts ----------------------------------------------------------------------------------- */

const struct pipe_counters *pipe_subscription_counters(const struct pipe_subscription *s)
{
    return &s->rx.counters;
}

const char *pipe_subscription_parent(const struct pipe_subscription *s)
{
    return s->parent->id;
}

uint64_t pipe_subscription_rtt_us(const struct pipe_subscription *s)
{
    return s->parent->rtt_us;
}

int64_t pipe_subscription_clock_offset_us(const struct pipe_subscription *s)
{
    return pipe_parent_offset_us(s->parent);
}

static struct pipe_parent_stats stats_of(const struct pipe_parent *p)
{
    struct pipe_parent_stats stats = {
        .id = p->id,
        .address = p->address,
        .connected = p->state == PARENT_UP,
        .rtt_us = p->rtt_us,
        .clock_offset_us = pipe_parent_offset_us(p),
        .total = p->total,
    };

    for (const struct list *l = p->subscriptions.next; l != &p->subscriptions; l = l->next) {
        stats.subscriptions++;
        pipe_counters_add(&stats.total, &container_of(l, const struct pipe_subscription, link)->rx.counters);
    }
    return stats;
}

void pipe_client_each_parent(const struct pipe_client *c,
                             void (*fn)(void *arg, const struct pipe_parent_stats *), void *arg)
{
    for (const struct list *l = c->parents.next; l != &c->parents; l = l->next) {
        struct pipe_parent_stats stats = stats_of(container_of(l, const struct pipe_parent, link));
        fn(arg, &stats);
    }
}
