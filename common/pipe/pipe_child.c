/* SPDX-License-Identifier: Apache-2.0
 * pipe_child.c - the parent's end of one child's control connection, and the child's subscriptions. */
#include "base/log.h"
#include "base/random.h"
#include "pipe/messages.h"
#include "pipe/pipe_server_priv.h"

#include <stdlib.h>
#include <string.h>

static void drop(struct pipe_child *c, const char *why)
{
    char peer[ADDR_TEXT_CAP];

    if (!c->server)
        return;
    LOG_LIMITED("pipe", "child closed: %s node=%s peer=%s", why, c->who.id,
                addr_print(conn_peer(c->conn), peer));
    c->server->counters.bad_input++;
    pipe_child_close(c);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_hello(struct pipe_child *c)
{
    Pipe__Hello m;
    Pipe__Envelope e;

    pipe__hello__init(&m);
    message_identity_fill(&m, &c->server->cfg.self);
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_HELLO;
    e.hello = &m;
    control_send(c->conn, &e);
}

static void send_refused(struct pipe_child *c, uint32_t id, enum pipe_refusal reason)
{
    Pipe__SubscribeRefused m;
    Pipe__Envelope e;

    if (c->server)
        c->server->counters.refused++;
    pipe__subscribe_refused__init(&m);
    m.id = id;
    m.reason = (uint32_t)reason;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_REFUSED;
    e.refused = &m;
    control_send(c->conn, &e);
}

void pipe_child_go_away(struct pipe_child *c, const char *reason)
{
    Pipe__GoAway m;
    Pipe__Envelope e;

    pipe__go_away__init(&m);
    m.reason = (char *)(uintptr_t)reason;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_GO_AWAY;
    e.go_away = &m;
    control_send(c->conn, &e);
}

static Pipe__Keys *fill_keys(Pipe__Keys *m, struct srtp_master *master)
{
    pipe__keys__init(m);
    m->key = (ProtobufCBinaryData){srtp_key_len(master->profile), master->key};
    m->salt = (ProtobufCBinaryData){srtp_salt_len(master->profile), master->salt};
    return m;
}

static void send_subscribed(struct child_stream *cs, const struct track_set *tracks)
{
    struct message_tracks room;
    char *source[PIPE_PATH_IDS_MAX];
    Pipe__Keys to_child, to_parent;
    Pipe__Subscribed m;
    Pipe__Envelope e;

    pipe__subscribed__init(&m);
    message_tracks_fill(&room, &m, tracks);
    m.id = cs->id;
    m.cause = cs->subscribed ? PIPE__CAUSE__CAUSE_EPOCH : PIPE__CAUSE__CAUSE_SUBSCRIBE;
    m.ssrc = cs->tx.ssrc;
    m.feedback_ssrc = cs->tx.feedback_ssrc;
    m.media_port = addr_port(&cs->child->server->media);
    m.to_child = fill_keys(&to_child, &cs->tx.to_child);
    m.to_parent = fill_keys(&to_parent, &cs->tx.to_parent);
    m.n_source = message_path_fill(source, LEN(source), &cs->source);
    m.source = source;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_SUBSCRIBED;
    e.subscribed = &m;
    control_send(cs->child->conn, &e);
    cs->subscribed = true;
}

/* The positions of some layers as a message has them. */
struct positions {
    Pipe__Position v[PIPE_STREAM_LAYERS], *list[PIPE_STREAM_LAYERS];
    size_t n;
};

static void add_position(struct positions *p, unsigned i, uint64_t seq)
{
    Pipe__Position *m = &p->v[p->n];

    pipe__position__init(m);
    m->track = i / LAYERS_MAX;
    m->layer = i % LAYERS_MAX;
    m->seq = seq;
    p->list[p->n++] = m;
}

/* One past the last packet sent of each wanted layer. */
static void add_ends(struct positions *p, const struct pipe_tx *tx)
{
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++)
        if (tx->want >> i & 1 && tx->layers[i].end)
            add_position(p, i, tx->layers[i].end);
}

static void send_stream_end(const struct child_stream *cs, enum stream_end why)
{
    struct positions p = {.n = 0};
    Pipe__StreamEnd m;
    Pipe__Envelope e;

    add_ends(&p, &cs->tx);
    pipe__stream_end__init(&m);
    m.id = cs->id;
    m.why = (uint32_t)why;
    m.n_end = p.n;
    m.end = p.list;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_STREAM_END;
    e.stream_end = &m;
    control_send(cs->child->conn, &e);
}

/* ---- What the sending end says --------------------------------------------------------------- */

static struct child_stream *stream_of(struct pipe_tx *tx)
{
    return container_of(tx, struct child_stream, tx);
}

static void unindex(struct child_stream *cs)
{
    if (cs->indexed)
        hash_remove(&cs->child->server->by_feedback, &cs->by_feedback);
    cs->indexed = false;
}

static void stream_close(struct child_stream *cs)
{
    struct pipe_server *s = cs->child->server;

    unindex(cs);
    pipe_tx_close(&cs->tx);
    hash_remove(&cs->child->streams, &cs->by_id);
    pipe_counters_add(&s->counters.total, &cs->tx.counters);
    s->counters.subscriptions--;
    free(cs);
}

/* While it is being attached the router still looks at it: then it is closed a little later. */
static void refuse(struct child_stream *cs, enum pipe_refusal reason)
{
    if (cs->over)
        return;
    send_refused(cs->child, cs->id, reason);
    cs->over = true;
    if (!cs->opening)
        stream_close(cs);
}

/* Whether a stream may be given to who asks by this path; 0 or an enum pipe_refusal. */
static int judge(const struct pipe_server *s, const struct pipe_path *path, const struct pipe_path *source)
{
    if (path_has(path, s->cfg.self.id))
        return PIPE_REFUSED_LOOP;
    for (size_t i = 0; i < path->n; i++)
        if (path_has(source, path->ids[i]))
            return PIPE_REFUSED_LOOP;
    return path->depth + source->n >= PIPE_PATH_MAX ? PIPE_REFUSED_DEPTH : 0;
}

static void on_associated(struct pipe_tx *tx, const struct track_set *tracks)
{
    struct child_stream *cs = stream_of(tx);
    struct pipe_server *s = cs->child->server;

    unindex(cs);
    while (hash_find(&s->by_feedback, &tx->feedback_ssrc, sizeof(tx->feedback_ssrc)))
        tx->feedback_ssrc = random_u32();
    cs->feedback_key = tx->feedback_ssrc;
    hash_push(&s->by_feedback, &cs->by_feedback, &cs->feedback_key, sizeof(cs->feedback_key));
    cs->indexed = true;
    if (s->cfg.source)
        s->cfg.source(s->cfg.arg, tx->consumer.router, &cs->source);
    int reason = judge(s, &cs->path, &cs->source); /* which way the stream comes may not have been known before */
    if (!reason && (!path_add(&cs->source, s->cfg.self.id) || cs->source.n > PIPE_PATH_MAX))
        reason = PIPE_REFUSED_DEPTH;
    if (reason) {
        refuse(cs, (enum pipe_refusal)reason);
        return;
    }
    send_subscribed(cs, tracks);
}

static void on_started(struct pipe_tx *tx, uint64_t layers)
{
    struct positions p = {.n = 0};
    Pipe__Started m;
    Pipe__Envelope e;

    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++)
        if (layers >> i & 1)
            add_position(&p, i, tx->layers[i].first);
    pipe__started__init(&m);
    m.id = stream_of(tx)->id;
    m.n_first = p.n;
    m.first = p.list;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_STARTED;
    e.started = &m;
    control_send(stream_of(tx)->child->conn, &e);
}

static void on_caught_up(struct pipe_tx *tx)
{
    struct positions p = {.n = 0};
    Pipe__CaughtUp m;
    Pipe__Envelope e;

    add_ends(&p, tx);
    pipe__caught_up__init(&m);
    m.id = stream_of(tx)->id;
    m.n_end = p.n;
    m.end = p.list;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_CAUGHT_UP;
    e.caught_up = &m;
    control_send(stream_of(tx)->child->conn, &e);
}

static void on_thinned(struct pipe_tx *tx, uint64_t allowed)
{
    Pipe__Thinned m;
    Pipe__Envelope e;

    pipe__thinned__init(&m);
    m.id = stream_of(tx)->id;
    m.allowed = allowed;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_THINNED;
    e.thinned = &m;
    control_send(stream_of(tx)->child->conn, &e);
    LOG_LIMITED("pipe", "layers %s for a lossy pipe node=%s stream=%s",
                allowed == UINT64_MAX ? "whole again" : "thinned", stream_of(tx)->child->who.id,
                stream_of(tx)->stream);
}

/* Before Subscribed the stream was never there for the child: it is refused, and may ask elsewhere. */
static void on_stream_end(struct pipe_tx *tx, enum stream_end why)
{
    struct child_stream *cs = stream_of(tx);

    if (cs->subscribed)
        send_stream_end(cs, why);
    else
        refuse(cs, why == STREAM_UNREACHABLE ? PIPE_REFUSED_UNREACHABLE : PIPE_REFUSED_UNKNOWN);
}

static void on_tx_failed(struct pipe_tx *tx)
{
    refuse(stream_of(tx), PIPE_REFUSED_OVERLOADED);
}

static const struct pipe_tx_ops tx_ops = {
    .on_associated = on_associated,
    .on_started = on_started,
    .on_caught_up = on_caught_up,
    .on_thinned = on_thinned,
    .on_end = on_stream_end,
    .on_failed = on_tx_failed,
};

/* ---- What the child says --------------------------------------------------------------------- */

static struct child_stream *find_stream(const struct pipe_child *c, uint32_t id)
{
    struct hash_item *it = hash_find(&c->streams, &id, sizeof(id));

    return it ? container_of(it, struct child_stream, by_id) : NULL;
}

static int check_subscribe(const struct pipe_child *c, const Pipe__Subscribe *m, struct pipe_path *path)
{
    const struct pipe_server *s = c->server;

    if (!stream_name_valid(m->stream) || m->ssrc % (64 * PIPE_STREAM_LAYERS) != 0)
        return PIPE_REFUSED_INVALID;
    if (message_path_parse(path, m->n_path, m->path) != MESSAGE_OK || !path_add(path, c->who.id))
        return PIPE_REFUSED_INVALID;
    path->depth = m->depth;
    if (m->depth > PIPE_PATH_MAX)
        return PIPE_REFUSED_DEPTH;
    if (s->draining)
        return PIPE_REFUSED_DRAINING;
    return s->counters.subscriptions >= s->cfg.cap_subscriptions ? PIPE_REFUSED_OVERLOADED : 0;
}

static struct child_stream *stream_create(struct pipe_child *c, const Pipe__Subscribe *m,
                                          const struct pipe_path *path, const struct pipe_path *source)
{
    struct child_stream *cs = calloc(1, sizeof(*cs));
    if (!cs)
        return NULL;
    cs->child = c;
    cs->id = m->id;
    cs->path = *path;
    cs->source = *source;
    cs->started_at_us = worker_unix_us(c->server->worker);
    strcpy(cs->stream, m->stream); /* stream_name_valid has measured it */
    pipe_tx_init(&cs->tx, &c->server->shared, &tx_ops, m->ssrc);
    hash_push(&c->streams, &cs->by_id, &cs->id, sizeof(cs->id));
    c->server->counters.subscriptions++;
    return cs;
}

/* Where the child goes on. */
static void take_positions(struct child_stream *cs, const Pipe__Subscribe *m, struct router *r)
{
    const struct pipe_server_cfg *cfg = &cs->child->server->cfg;
    struct pipe_position from[PIPE_STREAM_LAYERS];
    size_t n = 0;

    for (size_t i = 0; i < m->n_from && n < LEN(from); i++)
        if (message_position_parse(&from[n], m->from[i]))
            pipe_tx_from(&cs->tx, m->epoch, &from[n++]);
    if (n && cfg->resume)
        cfg->resume(cfg->arg, r, m->epoch, from, n);
}

static void on_subscribe(struct pipe_child *c, const Pipe__Subscribe *m)
{
    struct pipe_server *s = c->server;
    struct pipe_path path = {0}, source = {0};
    struct router *r = NULL;

    if (find_stream(c, m->id)) {
        drop(c, "subscription id used twice");
        return;
    }
    int reason = check_subscribe(c, m, &path);
    if (!reason) {
        r = s->cfg.open_router(s->cfg.arg, m->stream);
        if (r && s->cfg.source)
            s->cfg.source(s->cfg.arg, r, &source);
        reason = r ? judge(s, &path, &source) : PIPE_REFUSED_OVERLOADED;
    }
    struct child_stream *cs = reason ? NULL : stream_create(c, m, &path, &source);
    if (!cs) {
        send_refused(c, m->id, reason ? (enum pipe_refusal)reason : PIPE_REFUSED_OVERLOADED);
        return;
    }
    s->counters.accepted++;
    take_positions(cs, m, r);
    cs->opening = true;
    pipe_tx_open(&cs->tx, r, m->want);
    pipe_tx_patience(&cs->tx, m->patience_us);
    cs->opening = false;
    if (cs->over)
        stream_close(cs);
}

static void on_need_keyframe(const struct pipe_child *c, const Pipe__NeedKeyframe *m)
{
    const struct child_stream *cs = find_stream(c, m->id);

    if (cs && m->track < TRACKS_MAX && m->layer < LAYERS_MAX)
        router_need_keyframe(cs->tx.consumer.router, m->track, m->layer);
}

static void on_ping(struct pipe_child *c, const Pipe__Ping *ping)
{
    Pipe__Pong m;
    Pipe__Envelope e;

    c->rtt_us = ping->rtt_us;
    pipe__pong__init(&m);
    m.sent_us = ping->sent_us;
    m.received_us = m.answered_us = worker_unix_us(c->server->worker);
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_PONG;
    e.pong = &m;
    control_send(c->conn, &e);
}

static void on_hello(struct pipe_child *c, const Pipe__Hello *m)
{
    if (c->known || m->version < PIPE_VERSION || message_identity_parse(&c->who, m) != MESSAGE_OK) {
        drop(c, "bad Hello");
        return;
    }
    if (!message_identity_proven(&c->who, conn_peer_subject(c->conn))) {
        drop(c, "its certificate is of another node");
        return;
    }
    c->known = true;
    send_hello(c);
    if (c->server->draining)
        pipe_child_go_away(c, "draining");
}

static void on_stream_message(struct pipe_child *c, const Pipe__Envelope *e)
{
    struct child_stream *cs = NULL;

    switch (e->message_case) {
    case PIPE__ENVELOPE__MESSAGE_WANT:
        if ((cs = find_stream(c, e->want->id))) {
            pipe_tx_want(&cs->tx, e->want->mask);
            pipe_tx_patience(&cs->tx, e->want->patience_us);
        }
        break;
    case PIPE__ENVELOPE__MESSAGE_UNSUBSCRIBE:
        if ((cs = find_stream(c, e->unsubscribe->id)))
            stream_close(cs);
        break;
    case PIPE__ENVELOPE__MESSAGE_REPORT:
        if ((cs = find_stream(c, e->report->id)))
            pipe_tx_report(&cs->tx, e->report->received, e->report->lost, e->report->given_up,
                           worker_now_us(c->server->worker));
        break;
    default:
        drop(c, "a message that only parents send");
    }
}

static void on_message(void *arg, const Pipe__Envelope *e)
{
    struct pipe_child *c = arg;

    if (!c->known && e->message_case != PIPE__ENVELOPE__MESSAGE_HELLO) {
        drop(c, "no Hello first");
        return;
    }
    switch (e->message_case) {
    case PIPE__ENVELOPE__MESSAGE_HELLO: on_hello(c, e->hello); break;
    case PIPE__ENVELOPE__MESSAGE_PING: on_ping(c, e->ping); break;
    case PIPE__ENVELOPE__MESSAGE_SUBSCRIBE: on_subscribe(c, e->subscribe); break;
    case PIPE__ENVELOPE__MESSAGE_NEED_KEYFRAME: on_need_keyframe(c, e->need_keyframe); break;
    default: on_stream_message(c, e);
    }
}

/* ---- The connection -------------------------------------------------------------------------- */

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct pipe_child *c = arg;

    if (!c->server)
        return;
    timer_start(&c->silence, CHILD_SILENCE_US);
    int err = control_reader_feed(&c->control, bytes, len);
    if (err && c->server)
        drop(c, control_err_text(err));
}

static void on_silence(struct timer *t, uint64_t now_us)
{
    struct pipe_child *c = container_of(t, struct pipe_child, silence);

    (void)now_us;
    drop(c, c->known ? "silent" : "no Hello in time");
}

static void on_close(void *arg, int err)
{
    struct pipe_child *c = arg;
    char peer[ADDR_TEXT_CAP];

    if (err == CONN_ERR_TLS)
        LOG_LIMITED("pipe", "child refused: %s peer=%s", conn_error(c->conn),
                    addr_print(conn_peer(c->conn), peer));
    if (err == CONN_ERR_TLS && c->server)
        c->server->counters.bad_input++;
    c->conn = NULL;
    pipe_child_close(c);
    control_reader_fini(&c->control);
    hash_fini(&c->streams);
    free(c);
}

static const struct conn_ops conn_ops = {.on_data = on_data, .on_close = on_close};

void pipe_child_open(struct pipe_server *s, struct conn *conn)
{
    struct pipe_child *c = calloc(1, sizeof(*c));

    if (!c || hash_init(&c->streams) != 0) {
        free(c);
        conn_close(conn);
        return;
    }
    c->server = s;
    c->conn = conn;
    control_reader_init(&c->control, on_message, c);
    timer_init(&c->silence, s->worker, on_silence);
    timer_start(&c->silence, CHILD_HELLO_US);
    list_push_back(&s->children, &c->link);
    s->counters.connections++;
    conn_set_ops(conn, &conn_ops, c);
}

void pipe_child_close(struct pipe_child *c)
{
    if (!c->server)
        return;
    hash_for_each(it, &c->streams) stream_close(container_of(it, struct child_stream, by_id));
    c->server->counters.connections--;
    c->server = NULL;
    list_remove(&c->link);
    timer_stop(&c->silence);
    control_reader_stop(&c->control);
    if (c->conn)
        conn_close(c->conn);
}
