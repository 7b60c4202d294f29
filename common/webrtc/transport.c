/* SPDX-License-Identifier: Apache-2.0 */
#include "transport_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    /* After a hint of close_notify: without a check for longer than their greatest interval (RFC 7675 s5.1:
     * 6 s) the viewer is gone; a publisher, who sends all the time, in half of it. */
    LEAVING_US = 6500000,
    LEAVING_PUBLISHER_US = 3000000,
    LEAVING_GRACE_US = 500000, /* media that was under way when it left */
    /* While so many of a worker's are joining, who has not been heard of at all is given up soon: a request costs a client
     * nothing, and each would have its memory for half a minute. */
    CROWD = 1024,
    CROWD_UNREACHED_US = 4000000,
    RTCP_MAX = UDP_DATAGRAM_MAX - SRTCP_OVERHEAD_MAX,
};

_Static_assert(RTC_RTP_MAX + SRTP_TAG_MAX <= UDP_DATAGRAM_MAX, "a protected packet fits a datagram");

const char *rtc_close_name(enum rtc_close why)
{
    switch (why) {
    case RTC_CLOSE_UNREACHED:
        return "never reached";
    case RTC_CLOSE_DTLS:
        return "DTLS failed";
    case RTC_CLOSE_CONSENT:
        return "consent lost";
    case RTC_CLOSE_PEER:
        return "closed by the peer";
    }
    return "unknown";
}

/* ---- Life -------------------------------------------------------------------------------------- */

static void free_transport(struct rtc_transport *t)
{
    free(t->client);
    free(t);
}

bool rtc_transport_leave(struct rtc_transport *t)
{
    bool alive = !t->destroyed;

    if (--t->depth == 0 && !alive)
        free_transport(t);
    return alive;
}

/* From its creation until it is connected or has failed. */
static void set_joining(struct rtc_transport *t, bool joining)
{
    struct rtc_endpoint *e = t->endpoint;

    if (t->joining == joining)
        return;
    t->joining = joining;
    e->joining = joining ? e->joining + 1 : e->joining - 1;
    udp_hurry(e->udp, e->joining > 0);
}

/* Everything but the struct itself. */
static void stop(struct rtc_transport *t)
{
    set_joining(t, false);
    if (t->dtls)
        dtls_close(t->dtls);
    timer_stop(&t->dtls_timer);
    timer_stop(&t->life_timer);
    transport_ice_stop(t);
    dtls_destroy(&t->dtls);
    rtc_endpoint_protect(t->endpoint); /* what waits may be this one's */
    srtp_tx_destroy(&t->tx);
    srtp_rx_destroy(&t->rx);
    srtp_in_destroy(&t->in);
}

void rtc_transport_close(struct rtc_transport *t, enum rtc_close why, const char *detail)
{
    char text[256] = "";

    if (t->closed)
        return;
    t->closed = true;
    if (detail)
        strncpy(text, detail, sizeof(text) - 1); /* it may be the DTLS session's own, which goes now */
    stop(t);
    t->cfg.ops->on_closed(t->cfg.arg, why, text);
}

static void on_dtls_due(struct timer *timer, uint64_t now_us);
static void on_life_due(struct timer *timer, uint64_t now_us);

int rtc_transport_create(struct rtc_transport **out, struct rtc_endpoint *e,
                         const struct rtc_transport_cfg *cfg)
{
    struct rtc_transport *t = aligned_alloc(_Alignof(struct rtc_transport), sizeof(*t));

    if (!t)
        return -1;
    memset(t, 0, sizeof(*t));
    if (cfg->controlling && !(t->client = calloc(1, sizeof(*t->client)))) {
        free(t);
        return -1;
    }
    t->endpoint = e;
    t->cfg = *cfg;
    timer_init(&t->dtls_timer, e->worker, on_dtls_due);
    timer_init(&t->life_timer, e->worker, on_life_due);
    transport_ice_init(t);
    e->alive++;
    e->counters.transports++;
    set_joining(t, true);
    *out = t;
    return 0;
}

int rtc_transport_start(struct rtc_transport *t, const struct rtc_remote *remote)
{
    uint64_t now_us = worker_now_us(t->endpoint->worker);

    t->fingerprint = remote->fingerprint;
    t->role = remote->role;
    if (transport_ice_start(t, remote))
        return -1;
    t->started_us = now_us;
    rtc_transport_schedule(t, now_us);
    return 0;
}

void rtc_transport_carry_data(struct rtc_transport *t, void (*on_data)(void *arg, const uint8_t *bytes, size_t len),
                              void *arg)
{
    t->on_data = on_data;
    t->data_arg = arg;
}

void rtc_transport_destroy(struct rtc_transport **transport)
{
    struct rtc_transport *t = *transport;

    *transport = NULL;
    if (!t)
        return;
    stop(t);
    t->closed = t->destroyed = true;
    t->endpoint->alive--;
    if (t->depth == 0)
        free_transport(t);
}

/* ---- Is the peer still there? ------------------------------------------------------------------ */

static uint64_t leaving_us(const struct rtc_transport *t)
{
    return t->leaving_us + (t->cfg.receive_media ? LEAVING_PUBLISHER_US : LEAVING_US);
}

static uint64_t life_deadline_us(const struct rtc_transport *t)
{
    if (!t->alive_us && t->endpoint->joining > CROWD)
        return t->started_us + CROWD_UNREACHED_US;
    if (!t->tx) /* both for the first check and for the handshake after it */
        return t->started_us + RTC_CONSENT_US;
    uint64_t consent_us = t->alive_us + RTC_CONSENT_US;
    return t->leaving_us && leaving_us(t) < consent_us ? leaving_us(t) : consent_us;
}

void rtc_transport_schedule(struct rtc_transport *t, uint64_t now_us)
{
    uint64_t due_us = life_deadline_us(t);

    timer_start(&t->life_timer, due_us > now_us ? due_us - now_us : 0);
}

static void on_life_due(struct timer *timer, uint64_t now_us)
{
    struct rtc_transport *t = container_of(timer, struct rtc_transport, life_timer);

    rtc_transport_enter(t);
    if (life_deadline_us(t) > now_us)
        rtc_transport_schedule(t, now_us);
    else if (!t->alive_us)
        rtc_transport_close(t, RTC_CLOSE_UNREACHED, "no connectivity check came");
    else if (!t->tx)
        rtc_transport_close(t, RTC_CLOSE_DTLS, "the handshake took too long");
    else if (t->leaving_us && leaving_us(t) <= now_us)
        rtc_transport_close(t, RTC_CLOSE_PEER, "close_notify, and silence after it");
    else
        rtc_transport_close(t, RTC_CLOSE_CONSENT, "no connectivity check for 30 s");
    rtc_transport_leave(t);
}

/* ---- DTLS -------------------------------------------------------------------------------------- */

static void send_dtls(void *arg, const uint8_t *datagram, size_t len)
{
    struct rtc_transport *t = arg;

    if (!t->path)
        return;
    memcpy(path_reserve(t, len), datagram, len);
    if (!path_commit(t, len))
        t->counters.send_dropped++;
}

static int create_srtp(struct rtc_transport *t)
{
    struct srtp_master tx, rx;
    int err;

    dtls_keys(t->dtls, &tx, &rx);
    if (t->cfg.receive_media)
        err = srtp_in_create(&t->in, SRTP_IN_RECEIVE, &rx);
    else
        err = srtp_rx_create_rtcp(&t->rx, t->endpoint->srtp, &rx);
    if (err == SRTP_OK)
        err = srtp_tx_create(&t->tx, t->endpoint->srtp, &tx);
    explicit_bzero(&tx, sizeof(tx));
    explicit_bzero(&rx, sizeof(rx));
    return err;
}

static void go_live(struct rtc_transport *t, uint64_t now_us)
{
    if (create_srtp(t) != SRTP_OK) {
        rtc_transport_close(t, RTC_CLOSE_DTLS, "no memory for SRTP");
        return;
    }
    if (t->on_data)
        dtls_rest(t->dtls);
    else
        dtls_shrink(t->dtls);
    timer_stop(&t->dtls_timer);
    set_joining(t, false);
    t->alive_us = now_us;
    rtc_transport_schedule(t, now_us);
    t->cfg.ops->on_connected(t->cfg.arg);
}

static void schedule_dtls(struct rtc_transport *t, uint64_t now_us)
{
    uint64_t due_us = dtls_deadline_us(t->dtls);

    if (due_us == UINT64_MAX)
        timer_stop(&t->dtls_timer);
    else
        timer_start(&t->dtls_timer, due_us > now_us ? due_us - now_us : 0);
}

static void on_dtls_state(struct rtc_transport *t, enum dtls_state state, uint64_t now_us)
{
    switch (state) {
    case DTLS_HANDSHAKE:
        schedule_dtls(t, now_us);
        break;
    case DTLS_LIVE:
    case DTLS_LEAVING:
        if (!t->tx)
            go_live(t, now_us);
        else if (state == DTLS_LEAVING && !t->leaving_us) {
            t->leaving_us = now_us;
            rtc_transport_schedule(t, now_us);
        }
        break;
    case DTLS_CLOSED:
        rtc_transport_close(t, RTC_CLOSE_PEER, "close_notify");
        break;
    case DTLS_FAILED:
        rtc_transport_close(t, RTC_CLOSE_DTLS, dtls_error(t->dtls));
        break;
    }
}

/* What comes with the end of the handshake is before its time: SCTP sends again. */
static void on_dtls_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct rtc_transport *t = arg;

    if (t->tx && t->on_data)
        t->on_data(t->data_arg, bytes, len);
}

static void start_dtls(struct rtc_transport *t, uint64_t now_us)
{
    struct dtls_cfg cfg = {.role = t->role, .peer = t->fingerprint, .send = send_dtls, .on_data = on_dtls_data, .arg = t};

    if (dtls_create(&t->dtls, t->endpoint->dtls, &cfg))
        rtc_transport_close(t, RTC_CLOSE_DTLS, "no memory for DTLS");
    else
        on_dtls_state(t, dtls_start(t->dtls, now_us), now_us);
}

/* An active side begins as soon as it knows where to; a passive one keeps no state before a ClientHello. */
void rtc_transport_on_path(struct rtc_transport *t, uint64_t now_us)
{
    if (t->closed || t->dtls || t->role != DTLS_ACTIVE)
        return;
    rtc_transport_enter(t);
    start_dtls(t, now_us);
    rtc_transport_leave(t);
}

void rtc_transport_on_dtls(struct rtc_transport *t, struct ice_path *p, struct udp_datagram *d,
                           uint64_t now_us)
{
    rtc_transport_enter(t);
    if (!t->nominated)
        t->path = p; /* the client made its choice, its nomination is under way */
    if (!t->dtls)
        start_dtls(t, now_us);
    if (t->dtls)
        on_dtls_state(t, dtls_feed(t->dtls, d->bytes, d->len, now_us), now_us);
    rtc_transport_leave(t);
}

static void on_dtls_due(struct timer *timer, uint64_t now_us)
{
    struct rtc_transport *t = container_of(timer, struct rtc_transport, dtls_timer);

    rtc_transport_enter(t);
    on_dtls_state(t, dtls_poll(t->dtls, now_us), now_us);
    rtc_transport_leave(t);
}

/* ---- Receiving --------------------------------------------------------------------------------- */

static void count_bad(struct rtc_transport *t, int err)
{
    t->counters.bad_auth += err == SRTP_ERR_AUTH;
    t->counters.bad_replay += err == SRTP_ERR_REPLAY || err == SRTP_ERR_OLD;
    t->counters.bad_other += err != SRTP_ERR_AUTH && err != SRTP_ERR_REPLAY && err != SRTP_ERR_OLD;
}

/* RFC 7675 counts checks only, since media says nothing about a wish to receive. We send a publisher nothing
 * but feedback on what it sends, so its authentic media keeps it alive too. */
static void publisher_alive(struct rtc_transport *t, uint64_t now_us)
{
    t->alive_us = now_us;
    if (t->leaving_us && now_us - t->leaving_us > LEAVING_GRACE_US)
        t->leaving_us = 0;
}

void rtc_transport_on_rtp(struct rtc_transport *t, struct udp_datagram *d, uint64_t now_us)
{
    size_t len;

    if (!t->in) {
        if (t->tx)
            t->counters.unwanted++;
        else
            t->counters.early++;
        return;
    }
    int err = srtp_in_unprotect(t->in, d->bytes, d->len, &len);
    if (err != SRTP_OK) {
        count_bad(t, err);
        return;
    }
    t->counters.rtp_in++;
    t->counters.rtp_in_bytes += d->len;
    publisher_alive(t, now_us);
    rtc_transport_enter(t);
    t->cfg.ops->on_rtp(t->cfg.arg, d->bytes, len, now_us);
    rtc_transport_leave(t);
}

void rtc_transport_on_rtcp(struct rtc_transport *t, struct udp_datagram *d, uint64_t now_us)
{
    size_t len;
    int err;

    if (!t->tx) {
        t->counters.early++;
        return;
    }
    if (t->in)
        err = srtp_in_unprotect_rtcp(t->in, d->bytes, d->len, &len);
    else
        err = srtp_rx_unprotect_rtcp(t->endpoint->srtp, t->rx, d->bytes, d->len, &len);
    if (err != SRTP_OK) {
        count_bad(t, err);
        return;
    }
    t->counters.rtcp_in++;
    if (t->in)
        publisher_alive(t, now_us);
    rtc_transport_enter(t);
    t->cfg.ops->on_rtcp(t->cfg.arg, d->bytes, len, now_us);
    rtc_transport_leave(t);
}

void rtc_transport_prefetch_rtcp(const struct rtc_transport *t, unsigned ahead)
{
    if (ahead == RTC_RTCP_AHEAD) {
        __builtin_prefetch(t);
        __builtin_prefetch(&t->depth, 1);
        return;
    }
    if (ahead == RTC_RTCP_AHEAD - 1 && t->rx)
        srtp_rx_prefetch_rtcp(t->rx);
    if (t->cfg.ops->on_rtcp_soon)
        t->cfg.ops->on_rtcp_soon(t->cfg.arg, ahead);
}

/* ---- Sending ----------------------------------------------------------------------------------- */

/* Written where it leaves from, and protected together with others before it does. */
__attribute__((noinline)) static size_t protect_later(struct rtc_endpoint *e, const struct srtp_tx_packet *p)
{
    uint8_t *body = p->dst + p->hdr_len;

    if (e->n_waiting == RTC_BATCH)
        rtc_endpoint_protect(e);
    if (p->hdr != p->dst)
        memcpy(p->dst, p->hdr, p->hdr_len);
    if (p->prefix_len)
        memcpy(body, p->prefix, p->prefix_len);
    if (p->payload != body)
        memcpy(body + p->prefix_len, p->payload, p->payload_len);
    e->waiting[e->n_waiting++] = (struct srtp_tx_packet){
        .tx = p->tx,
        .index = p->index,
        .hdr = p->dst,
        .payload = body,
        .dst = p->dst,
        .hdr_len = p->hdr_len,
        .payload_len = (uint16_t)(p->prefix_len + p->payload_len),
    };
    return srtp_tx_packet_len(p);
}

static inline uint8_t *reserve_rtp(struct rtc_transport *t, size_t plain_len)
{
    if (t->tx && t->path && plain_len <= RTC_RTP_MAX)
        return path_reserve(t, plain_len + SRTP_TAG_MAX);
    t->counters.send_refused++;
    return NULL;
}

static inline size_t commit_rtp(struct rtc_transport *t, const struct srtp_tx_packet *p)
{
    bool later = !t->path->tcp && srtp_tx_gains_by_batch(t->tx);
    size_t len = later ? protect_later(t->endpoint, p) : srtp_tx_protect(t->endpoint->srtp, p);

    if (!path_commit(t, len)) {
        t->counters.send_dropped++;
        return 0;
    }
    t->counters.rtp_out++;
    t->counters.rtp_out_bytes += len;
    return len;
}

static inline struct srtp_tx_packet to_protect(const struct rtc_transport *t, const struct rtc_rtp *p, uint8_t *dst)
{
    return (struct srtp_tx_packet){
        .tx = t->tx,
        .index = p->index,
        .hdr = p->hdr,
        .prefix = p->prefix,
        .payload = p->payload,
        .dst = dst,
        .hdr_len = (uint16_t)p->hdr_len,
        .prefix_len = (uint16_t)p->prefix_len,
        .payload_len = (uint16_t)p->payload_len,
    };
}

size_t rtc_transport_send_rtp(struct rtc_transport *t, const struct rtc_rtp *p)
{
    uint8_t *dst = reserve_rtp(t, p->hdr_len + p->prefix_len + p->payload_len);

    if (!dst)
        return 0;
    struct srtp_tx_packet out = to_protect(t, p, dst);
    return commit_rtp(t, &out);
}

uint8_t *rtc_transport_reserve_rtp(struct rtc_transport *t, size_t plain_len)
{
    return reserve_rtp(t, plain_len);
}

/* The payload and its padding where they leave from; to be encrypted in place. */
__attribute__((noinline)) static void write_padded(uint8_t *body, const uint8_t *payload, size_t len, size_t pad_len)
{
    memcpy(body, payload, len);
    memset(body + len, 0, pad_len - 1);
    body[len + pad_len - 1] = (uint8_t)pad_len;
}

size_t rtc_transport_commit_rtp(struct rtc_transport *t, const struct rtc_rtp *p, size_t pad_len)
{
    uint8_t *dst = (uint8_t *)(uintptr_t)p->hdr; /* as reserved */
    struct srtp_tx_packet out = to_protect(t, p, dst);

    if (pad_len) {
        out.payload = dst + p->hdr_len;
        out.payload_len = (uint16_t)(p->payload_len + pad_len);
        write_padded(dst + p->hdr_len, p->payload, p->payload_len, pad_len);
    }
    return commit_rtp(t, &out);
}

void rtc_transport_prefetch(const struct rtc_transport *t, unsigned ahead)
{
    if (ahead > 1) {
        __builtin_prefetch(t);
        __builtin_prefetch(&t->depth);
        __builtin_prefetch(&t->counters.rtp_out, 1);
        return;
    }
    if (t->path) {
        __builtin_prefetch(&t->path->transport);
        __builtin_prefetch(&t->path->addr);
    }
    if (t->tx)
        srtp_tx_prefetch(t->tx);
}

size_t rtc_transport_send_rtcp(struct rtc_transport *t, const uint8_t *pkt, size_t len)
{
    if (!t->tx || !t->path || len > RTCP_MAX) {
        t->counters.send_refused++;
        return 0;
    }
    uint8_t *dst = path_reserve(t, len + SRTCP_OVERHEAD_MAX);
    memcpy(dst, pkt, len);
    int protected_len = srtp_tx_protect_rtcp(t->endpoint->srtp, t->tx, dst, len, len + SRTCP_OVERHEAD_MAX);
    bool sent = path_commit(t, protected_len > 0 ? (size_t)protected_len : 0);
    if (protected_len <= 0) {
        t->counters.send_refused++;
        return 0;
    }
    if (!sent) {
        t->counters.send_dropped++;
        return 0;
    }
    t->counters.rtcp_out++;
    return (size_t)protected_len;
}

bool rtc_transport_rtcp_joins(const struct rtc_transport *t, size_t len)
{
    return t->path && (t->path->tcp || udp_joins(t->endpoint->udp, &t->path->addr, len + SRTCP_OVERHEAD_MAX));
}

bool rtc_transport_send_data(struct rtc_transport *t, const uint8_t *bytes, size_t len)
{
    if (t->tx && t->path && t->on_data && len <= RTC_DATA_MAX && dtls_write(t->dtls, bytes, len))
        return true;
    t->counters.send_refused++;
    return false;
}

/* ---- What it is -------------------------------------------------------------------------------- */

const char *rtc_transport_ufrag(const struct rtc_transport *t)
{
    return t->local.ufrag;
}

const char *rtc_transport_pwd(const struct rtc_transport *t)
{
    return t->local.pwd;
}

bool rtc_transport_connected(const struct rtc_transport *t)
{
    return t->tx != NULL;
}

bool rtc_transport_peer(const struct rtc_transport *t, struct addr *out)
{
    if (t->path)
        *out = t->path->addr;
    return t->path != NULL;
}

bool rtc_transport_tcp(const struct rtc_transport *t)
{
    return t->path && t->path->tcp;
}

bool rtc_transport_behind(const struct rtc_transport *t)
{
    return t->path && t->path->tcp && ice_tcp_behind(t->path->tcp);
}

const char *rtc_transport_profile(const struct rtc_transport *t)
{
    return t->tx ? srtp_profile_name(srtp_tx_profile(t->tx)) : "";
}

struct rtc_endpoint *rtc_transport_endpoint(const struct rtc_transport *t)
{
    return t->endpoint;
}

const struct rtc_transport_counters *rtc_transport_counters(const struct rtc_transport *t)
{
    return &t->counters;
}
