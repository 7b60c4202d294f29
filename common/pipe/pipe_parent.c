/* SPDX-License-Identifier: Apache-2.0
 * pipe_parent.c - the child's control connection to one parent node: its life, pings, messages. */
#include "base/log.h"
#include "pipe/messages.h"
#include "pipe/pipe_client_priv.h"

#include <stdlib.h>
#include <string.h>

/* ---- Life ------------------------------------------------------------------------------------ */

void pipe_parent_unref(struct pipe_parent *p)
{
    if (--p->refs)
        return;
    control_reader_fini(&p->control);
    hash_fini(&p->by_id);
    free(p);
}

/* Nothing more comes of it, but for the conn's and the job's last calls. */
static void go_down(struct pipe_parent *p)
{
    if (p->state == PARENT_DOWN)
        return;
    p->state = PARENT_DOWN;
    p->client = NULL;
    list_remove(&p->link);
    timer_stop(&p->tick);
    control_reader_stop(&p->control);
    if (p->conn)
        conn_close(p->conn);
    pipe_parent_unref(p);
}

void pipe_parent_close(struct pipe_parent *p)
{
    go_down(p);
}

void pipe_parent_fail(struct pipe_parent *p, enum pipe_lost why)
{
    char text[ADDR_TEXT_CAP] = "?";

    if (p->state == PARENT_DOWN)
        return;
    LOG_LIMITED("pipe", "parent lost: %s node=%s peer=%s", pipe_lost_name(why), p->id,
                p->resolved ? addr_print(&p->address, text) : p->text);
    p->refs++; /* the callbacks may close every subscription */
    go_down(p);
    while (!list_empty(&p->subscriptions)) {
        struct pipe_subscription *s = container_of(p->subscriptions.next, struct pipe_subscription, link);
        pipe_subscription_over(s);
        s->ops->on_lost(s->arg, why);
    }
    pipe_parent_unref(p);
}

/* ---- Round trip and clock -------------------------------------------------------------------- */

void pipe_parent_note_rtt(struct pipe_parent *p, uint64_t rtt_us)
{
    p->rtt_us = p->rtt_us ? (p->rtt_us * 7 + rtt_us) / 8 : rtt_us; /* RFC 6298 s2 */
}

/* Of the last samples the one with the shortest round trip has waited least in queues: it errs least. */
int64_t pipe_parent_offset_us(const struct pipe_parent *p)
{
    const struct clock_sample *best = NULL;

    for (unsigned i = 0; i < p->n_samples && i < CLOCK_SAMPLES; i++)
        if (!best || p->samples[i].rtt_us < best->rtt_us)
            best = &p->samples[i];
    return best ? best->offset_us : 0;
}

static void on_pong(struct pipe_parent *p, const Pipe__Pong *m)
{
    uint64_t now_us = worker_unix_us(p->client->worker);
    int64_t there_us = (int64_t)(m->received_us - m->sent_us), back_us = (int64_t)(m->answered_us - now_us);
    int64_t rtt_us = there_us - back_us;

    if (rtt_us < 0 || rtt_us > 10 * PIPE_SILENCE_US)
        return; /* a clock was set meanwhile */
    p->samples[p->n_samples++ % CLOCK_SAMPLES] =
        (struct clock_sample){(uint64_t)rtt_us, (there_us + back_us) / 2};
    pipe_parent_note_rtt(p, rtt_us ? (uint64_t)rtt_us : 1);
}

/* ---- Sending --------------------------------------------------------------------------------- */

static void send_message(struct pipe_parent *p, const Pipe__Envelope *e)
{
    if (p->state != PARENT_DOWN && p->conn)
        control_send(p->conn, e);
}

static void send_hello(struct pipe_parent *p)
{
    Pipe__Hello m;
    Pipe__Envelope e;

    pipe__hello__init(&m);
    message_identity_fill(&m, &p->client->cfg.self);
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_HELLO;
    e.hello = &m;
    send_message(p, &e);
}

static void send_ping(struct pipe_parent *p)
{
    Pipe__Ping m;
    Pipe__Envelope e;

    pipe__ping__init(&m);
    m.sent_us = worker_unix_us(p->client->worker);
    m.rtt_us = p->rtt_us;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_PING;
    e.ping = &m;
    send_message(p, &e);
}

void pipe_parent_subscribe(struct pipe_parent *p, struct pipe_subscription *s)
{
    Pipe__Position from[PIPE_STREAM_LAYERS], *list[PIPE_STREAM_LAYERS];
    char *path[PIPE_PATH_IDS_MAX];
    Pipe__Subscribe m;
    Pipe__Envelope e;

    pipe__subscribe__init(&m);
    m.id = s->id;
    m.stream = s->stream;
    m.epoch = s->from_epoch;
    m.want = s->want;
    m.patience_us = (uint32_t)s->patience_us;
    m.ssrc = s->block << SSRC_BLOCK_BITS;
    for (size_t i = 0; i < s->n_from; i++) {
        pipe__position__init(&from[i]);
        from[i].track = s->from[i].track;
        from[i].layer = s->from[i].layer;
        from[i].seq = s->from[i].seq;
        list[i] = &from[i];
    }
    m.n_from = s->n_from;
    m.from = list;
    m.n_path = message_path_fill(path, LEN(path), &s->path);
    m.path = path;
    m.depth = (uint32_t)s->path.depth;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_SUBSCRIBE;
    e.subscribe = &m;
    s->state = SUBSCRIPTION_ASKED;
    send_message(p, &e);
}

void pipe_parent_send_want(struct pipe_parent *p, const struct pipe_subscription *s)
{
    Pipe__Want m;
    Pipe__Envelope e;

    pipe__want__init(&m);
    m.id = s->id;
    m.mask = s->want;
    m.patience_us = (uint32_t)s->patience_us;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_WANT;
    e.want = &m;
    send_message(p, &e);
}

void pipe_parent_send_keyframe(struct pipe_parent *p, uint32_t id, unsigned track, unsigned layer)
{
    Pipe__NeedKeyframe m;
    Pipe__Envelope e;

    pipe__need_keyframe__init(&m);
    m.id = id;
    m.track = track;
    m.layer = layer;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_NEED_KEYFRAME;
    e.need_keyframe = &m;
    send_message(p, &e);
}

void pipe_parent_send_unsubscribe(struct pipe_parent *p, uint32_t id)
{
    Pipe__Unsubscribe m;
    Pipe__Envelope e;

    pipe__unsubscribe__init(&m);
    m.id = id;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_UNSUBSCRIBE;
    e.unsubscribe = &m;
    send_message(p, &e);
}

/* Silent while nothing is lost. */
static void send_report(struct pipe_parent *p, struct pipe_subscription *s)
{
    const struct pipe_counters *now = &s->rx.counters;
    Pipe__Report m;
    Pipe__Envelope e;

    pipe__report__init(&m);
    m.id = s->id;
    m.received = now->packets - s->reported.packets;
    m.lost = now->lost - s->reported.lost;
    m.given_up = now->given_up - now->gone - (s->reported.given_up - s->reported.gone);
    s->reported = *now;
    if (!m.lost && !m.given_up && s->allowed == UINT64_MAX)
        return;
    pipe__envelope__init(&e);
    e.message_case = PIPE__ENVELOPE__MESSAGE_REPORT;
    e.report = &m;
    send_message(p, &e);
}

/* ---- What the parent says -------------------------------------------------------------------- */

static void on_hello(struct pipe_parent *p, const Pipe__Hello *m)
{
    struct pipe_identity who;

    if (p->state == PARENT_UP || m->version < PIPE_VERSION || message_identity_parse(&who, m) != MESSAGE_OK ||
        strcmp(who.id, p->id) != 0) {
        LOG_LIMITED("pipe", "parent says it is '%.*s', not %s", PIPE_NODE_ID_MAX,
                    node_id_valid(m->node_id) ? m->node_id : "?", p->id);
        pipe_parent_fail(p, p->state == PARENT_UP ? PIPE_LOST_PROTOCOL : PIPE_LOST_CONNECT);
        return;
    }
    if (!message_identity_proven(&who, conn_peer_subject(p->conn))) {
        LOG_LIMITED("pipe", "parent %s has a certificate of another node", p->id);
        pipe_parent_fail(p, PIPE_LOST_CONNECT);
        return;
    }
    p->state = PARENT_UP;
    send_ping(p);
    list_for_each(l, &p->subscriptions)
    {
        struct pipe_subscription *s = container_of(l, struct pipe_subscription, link);
        if (s->state == SUBSCRIPTION_WAITING && !s->refusal)
            pipe_parent_subscribe(p, s);
    }
}

static void on_go_away(struct pipe_parent *p)
{
    struct list all;

    p->refs++;
    list_init(&all); /* callbacks may close any of them: each goes through `all` once */
    while (!list_empty(&p->subscriptions)) {
        struct list *l = p->subscriptions.next;
        list_remove(l);
        list_push_back(&all, l);
    }
    while (!list_empty(&all)) {
        struct pipe_subscription *s = container_of(all.next, struct pipe_subscription, link);
        list_remove(&s->link);
        list_push_back(&p->subscriptions, &s->link);
        if (s->ops->on_go_away)
            s->ops->on_go_away(s->arg);
    }
    pipe_parent_unref(p);
}

static struct pipe_subscription *find_subscription(const struct pipe_parent *p, uint32_t id)
{
    struct hash_item *it = hash_find(&p->by_id, &id, sizeof(id));

    return it ? container_of(it, struct pipe_subscription, by_id) : NULL;
}

static void on_refused(struct pipe_subscription *s, uint32_t reason)
{
    pipe_subscription_over(s);
    s->ops->on_refused(s->arg, (enum pipe_refusal)reason);
}

/* Messages of a subscription that was closed here meanwhile find none. */
static void on_subscription_message(struct pipe_parent *p, const Pipe__Envelope *e)
{
    struct pipe_subscription *s;

    switch (e->message_case) {
    case PIPE__ENVELOPE__MESSAGE_SUBSCRIBED:
        if ((s = find_subscription(p, e->subscribed->id)))
            pipe_subscription_on_subscribed(s, e->subscribed);
        break;
    case PIPE__ENVELOPE__MESSAGE_STARTED:
        if ((s = find_subscription(p, e->started->id)))
            pipe_subscription_on_started(s, e->started);
        break;
    case PIPE__ENVELOPE__MESSAGE_CAUGHT_UP:
        if ((s = find_subscription(p, e->caught_up->id)))
            pipe_subscription_on_caught_up(s, e->caught_up);
        break;
    case PIPE__ENVELOPE__MESSAGE_REFUSED:
        if ((s = find_subscription(p, e->refused->id)))
            on_refused(s, e->refused->reason);
        break;
    case PIPE__ENVELOPE__MESSAGE_STREAM_END:
        if ((s = find_subscription(p, e->stream_end->id)))
            pipe_subscription_on_stream_end(s, e->stream_end);
        break;
    case PIPE__ENVELOPE__MESSAGE_THINNED:
        if ((s = find_subscription(p, e->thinned->id)))
            pipe_subscription_on_thinned(s, e->thinned->allowed);
        break;
    default:
        pipe_parent_fail(p, PIPE_LOST_PROTOCOL); /* what only children send */
    }
}

static void on_message(void *arg, const Pipe__Envelope *e)
{
    struct pipe_parent *p = arg;

    if (p->state != PARENT_UP && e->message_case != PIPE__ENVELOPE__MESSAGE_HELLO) {
        pipe_parent_fail(p, PIPE_LOST_PROTOCOL);
        return;
    }
    switch (e->message_case) {
    case PIPE__ENVELOPE__MESSAGE_HELLO: on_hello(p, e->hello); break;
    case PIPE__ENVELOPE__MESSAGE_PONG: on_pong(p, e->pong); break;
    case PIPE__ENVELOPE__MESSAGE_GO_AWAY: on_go_away(p); break;
    default: on_subscription_message(p, e);
    }
}

/* ---- The connection -------------------------------------------------------------------------- */

static void on_open(void *arg)
{
    struct pipe_parent *p = arg;

    if (p->state == PARENT_CONNECTING)
        send_hello(p);
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct pipe_parent *p = arg;

    if (p->state == PARENT_DOWN)
        return;
    pipe_parent_heard(p, worker_now_us(p->client->worker));
    int err = control_reader_feed(&p->control, bytes, len);
    if (!err)
        return;
    LOG_LIMITED("pipe", "bad message from parent: %s node=%s", control_err_text(err), p->id);
    pipe_parent_fail(p, PIPE_LOST_PROTOCOL);
}

static void on_close(void *arg, int err)
{
    struct pipe_parent *p = arg;

    if (err == CONN_ERR_TLS)
        LOG_LIMITED("pipe", "no TLS with parent: %s node=%s", conn_error(p->conn), p->id);
    p->conn = NULL;
    pipe_parent_fail(p, p->state == PARENT_UP ? PIPE_LOST_CONTROL : PIPE_LOST_CONNECT);
    pipe_parent_unref(p);
}

static const struct conn_ops conn_ops = {.on_open = on_open, .on_data = on_data, .on_close = on_close};

/* When it fails at once, the next tick says so: from the loop. */
static void connect_now(struct pipe_parent *p)
{
    p->state = PARENT_CONNECTING;
    if (conn_connect(&p->conn, p->client->worker, &p->address, p->client->cfg.tls, NULL, &conn_ops, p) == 0)
        p->refs++;
    else
        timer_start(&p->tick, 0);
}

static void resolve(struct job *j)
{
    struct pipe_parent *p = container_of(j, struct pipe_parent, resolve);

    p->found = addr_resolve(&p->found_address, p->text) == 0;
}

static void on_resolved(struct job *j)
{
    struct pipe_parent *p = container_of(j, struct pipe_parent, resolve);

    if (p->state == PARENT_RESOLVING && p->found) {
        p->address = p->found_address;
        p->resolved = true;
        connect_now(p);
    } else {
        pipe_parent_fail(p, PIPE_LOST_CONNECT);
    }
    pipe_parent_unref(p);
}

static void begin(struct pipe_parent *p)
{
    p->resolved = addr_parse(&p->address, p->text) == 0;
    if (p->resolved) {
        connect_now(p);
        return;
    }
    p->resolve = (struct job){.run = resolve, .on_done = on_resolved};
    if (job_start(p->client->worker, &p->resolve) == 0)
        p->refs++;
    else
        p->state = PARENT_CONNECTING; /* without a conn: the next tick gives up */
}

/* ---- Time ------------------------------------------------------------------------------------ */

static bool connect_failed(const struct pipe_parent *p, uint64_t now_us)
{
    bool nowhere = p->state == PARENT_CONNECTING && !p->conn;

    return p->state != PARENT_UP && (nowhere || now_us - p->opened_us >= p->client->cfg.connect_us);
}

static bool silent_for_long(const struct pipe_parent *p, uint64_t now_us)
{
    return p->state == PARENT_UP && p->silent_ticks >= PARENT_SILENT_TICKS && now_us - p->heard_us >= PIPE_SILENCE_US;
}

/* The last one comes just when the silence is long enough. */
static uint64_t next_tick_us(const struct pipe_parent *p, uint64_t now_us)
{
    uint64_t end_us = p->heard_us + PIPE_SILENCE_US;

    return p->state == PARENT_UP && end_us > now_us && end_us - now_us < PARENT_TICK_US ? end_us - now_us : PARENT_TICK_US;
}

static void on_tick(struct timer *t, uint64_t now_us)
{
    struct pipe_parent *p = container_of(t, struct pipe_parent, tick);
    bool idle = p->idle_since_us && now_us - p->idle_since_us >= p->client->cfg.idle_us;

    if (connect_failed(p, now_us)) {
        pipe_parent_fail(p, PIPE_LOST_CONNECT);
        return;
    }
    p->silent_ticks++;
    if (silent_for_long(p, now_us)) {
        pipe_parent_fail(p, PIPE_LOST_SILENCE);
        return;
    }
    if (idle) {
        pipe_parent_close(p);
        return;
    }
    timer_start(&p->tick, next_tick_us(p, now_us));
    if (p->state != PARENT_UP)
        return;
    p->ticks++;
    if (p->ticks % PARENT_PING_TICKS == 0)
        send_ping(p);
    if (p->ticks % PARENT_REPORT_TICKS == 0)
        list_for_each(l, &p->subscriptions) send_report(p, container_of(l, struct pipe_subscription, link));
}

static struct pipe_parent *parent_create(struct pipe_client *c, const char *id, const char *text)
{
    struct pipe_parent *p = calloc(1, sizeof(*p));

    if (!p || hash_init(&p->by_id) != 0) {
        free(p);
        return NULL;
    }
    p->client = c;
    p->refs = 1;
    strcpy(p->id, id); /* pipe_subscribe has measured both */
    strcpy(p->text, text);
    list_init(&p->subscriptions);
    list_push_back(&c->parents, &p->link);
    control_reader_init(&p->control, on_message, p);
    timer_init(&p->tick, c->worker, on_tick);
    timer_start(&p->tick, PARENT_TICK_US);
    p->opened_us = worker_now_us(c->worker);
    return p;
}

struct pipe_parent *pipe_parent_get(struct pipe_client *c, const char *id, const char *text)
{
    list_for_each(l, &c->parents)
    {
        struct pipe_parent *p = container_of(l, struct pipe_parent, link);
        if (strcmp(p->id, id) == 0 && strcmp(p->text, text) == 0)
            return p;
    }
    struct pipe_parent *p = parent_create(c, id, text);
    if (p)
        begin(p);
    return p;
}
