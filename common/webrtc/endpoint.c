/* SPDX-License-Identifier: Apache-2.0 */
#include "transport_priv.h"

#include "base/log.h"
#include "wire/demux.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- Datagrams --------------------------------------------------------------------------------- */

static void log_bad(const char *what, const struct addr *from)
{
    char peer[ADDR_TEXT_CAP];

    LOG_LIMITED("webrtc", "%s peer=%s", what, addr_print(from, peer));
}

static struct ice_path *path_of_item(struct hash_item *found)
{
    return found ? container_of(found, struct ice_path, item) : NULL;
}

static struct ice_path *find_path(const struct rtc_endpoint *e, const struct addr *from)
{
    uint8_t key[ADDR_KEY_BYTES];

    addr_key(from, key);
    return path_of_item(hash_find(&e->by_addr, key, sizeof(key)));
}

static int on_stun_request(struct rtc_endpoint *e, const struct ice_view *v, const struct ice_source *from,
                           uint64_t now_us)
{
    struct hash_item *found = hash_find(&e->by_ufrag, v->username, v->ufrag_len);

    if (!found) {
        e->counters.stun_unknown_ufrag++;
        return ICE_OK;
    }
    int err = transport_ice_on_request(container_of(found, struct ice_local, item), v, from, now_us);
    e->counters.stun_requests += err == ICE_OK;
    return err;
}

static struct ice_path *path_from(const struct rtc_endpoint *e, const struct ice_source *from)
{
    return from->tcp ? ice_tcp_path(from->tcp) : find_path(e, from->addr);
}

static int on_stun_response(struct rtc_endpoint *e, const struct ice_view *v, const struct ice_source *from,
                            uint64_t now_us)
{
    struct ice_path *p = path_from(e, from);

    if (!p) {
        e->counters.unknown_address++;
        return ICE_OK;
    }
    int err = transport_ice_on_response(p, v, now_us);
    return err == ICE_ERR_UNMATCHED ? ICE_OK : err; /* late answers are no fault */
}

static void on_stun(struct rtc_endpoint *e, const struct udp_datagram *d, struct ice_tcp_conn *tcp, uint64_t now_us)
{
    const struct ice_source from = {.addr = &d->from, .tcp = tcp};
    struct ice_view v;
    int err = ice_view_parse(&v, d->bytes, d->len);

    if (err == ICE_OK && v.class == ICE_INDICATION) {
        e->counters.stun_indications++;
        return;
    }
    if (err == ICE_OK)
        err = v.class == ICE_REQUEST ? on_stun_request(e, &v, &from, now_us)
                                     : on_stun_response(e, &v, &from, now_us);
    if (err == ICE_ERR_UNAUTHORIZED) {
        e->counters.stun_unauthorized++;
        log_bad("STUN request with a wrong password", &d->from);
    } else if (err == ICE_ERR_MALFORMED || err == ICE_ERR_UNKNOWN) {
        e->counters.stun_malformed++;
        log_bad("malformed STUN message", &d->from);
    }
}

static void on_media(struct rtc_endpoint *e, struct ice_path *p, struct udp_datagram *d, enum demux_kind kind,
                     uint64_t now_us)
{
    if (!p || !p->valid)
        e->counters.unknown_address++;
    else if (kind == DEMUX_RTP)
        rtc_transport_on_rtp(p->transport, d, now_us);
    else if (kind == DEMUX_RTCP)
        rtc_transport_on_rtcp(p->transport, d, now_us);
    else
        rtc_transport_on_dtls(p->transport, p, d, now_us);
}

/* A datagram, and what is found out about it before any of its batch is read. */
struct arrival {
    struct udp_datagram *datagram;
    enum demux_kind kind;
    bool looked_up; /* STUN is told by names in it */
    uint8_t key[ADDR_KEY_BYTES];
    uint64_t code;  /* of the key */
    struct ice_path *path; /* while nothing has changed; NULL: none */
};

struct batch {
    struct arrival v[UDP_BATCH_MAX];
    size_t n;
    uint64_t changes; /* the endpoint's, when paths were looked up */
    struct arrival *handshakes[UDP_BATCH_MAX];
    size_t n_handshakes;
};

static void sort_out(const struct rtc_endpoint *e, struct arrival *a, const struct arrival *before)
{
    a->kind = demux_datagram(a->datagram->bytes, a->datagram->len);
    a->looked_up = a->kind == DEMUX_RTP || a->kind == DEMUX_RTCP || a->kind == DEMUX_DTLS;
    if (!a->looked_up)
        return;
    if (before && before->looked_up && addr_equal(&a->datagram->from, &before->datagram->from)) {
        memcpy(a->key, before->key, sizeof(a->key));
        a->code = before->code;
        return;
    }
    addr_key(&a->datagram->from, a->key);
    a->code = hash_code(a->key, sizeof(a->key));
    hash_prefetch_bucket(&e->by_addr, a->code);
}

static struct ice_path *look_up(const struct rtc_endpoint *e, const struct arrival *a)
{
    return a->looked_up ? path_of_item(hash_find_code(&e->by_addr, a->key, sizeof(a->key), a->code)) : NULL;
}

/* Hundreds of viewers speak in turn, and nothing of theirs is in the processor's cache: what is read of the table is asked for, for
 * all of the batch, before it is read. */
static void find_paths(const struct rtc_endpoint *e, struct batch *b, struct udp_datagram *v, size_t n)
{
    b->n = n;
    b->n_handshakes = 0;
    b->changes = e->by_addr_changes;
    for (size_t i = 0; i < n; i++) {
        b->v[i].datagram = &v[i];
        sort_out(e, &b->v[i], i > 0 ? &b->v[i - 1] : NULL);
    }
    for (size_t i = 0; i < n; i++)
        if (b->v[i].looked_up)
            hash_prefetch_item(&e->by_addr, b->v[i].code);
    for (size_t i = 0; i < n; i++)
        b->v[i].path = look_up(e, &b->v[i]);
}

/* The same of the session, a step with each of the datagrams before. After changes the transport may be gone. */
static void look_ahead(const struct rtc_endpoint *e, const struct batch *b, size_t i, unsigned ahead)
{
    if (i >= b->n || b->changes != e->by_addr_changes || b->v[i].kind != DEMUX_RTCP)
        return;
    const struct ice_path *p = b->v[i].path;
    if (p && p->valid)
        rtc_transport_prefetch_rtcp(p->transport, ahead);
}

static struct ice_path *path_now(const struct rtc_endpoint *e, const struct batch *b, const struct arrival *a)
{
    return b->changes == e->by_addr_changes ? a->path : look_up(e, a);
}

static void take(struct rtc_endpoint *e, struct batch *b, struct arrival *a, uint64_t now_us)
{
    if (a->kind == DEMUX_DTLS)
        b->handshakes[b->n_handshakes++] = a;
    else if (a->kind == DEMUX_STUN)
        on_stun(e, a->datagram, NULL, now_us);
    else if (a->looked_up)
        on_media(e, path_now(e, b, a), a->datagram, a->kind, now_us);
    else
        e->counters.unknown_protocol++;
}

/* Media and checks first, handshakes after: a public-key operation takes as long as fanning out a hundred
 * packets. How much is read in a turn is bounded where the peers are viewers (cfg.after_media). */
static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct rtc_endpoint *e = arg;
    uint64_t now_us = worker_now_us(e->worker);
    struct batch b;

    find_paths(e, &b, v, n);
    for (size_t at = 0; at < n + RTC_RTCP_AHEAD; at++) {
        for (unsigned ahead = RTC_RTCP_AHEAD; ahead > 0; ahead--)
            look_ahead(e, &b, at - (RTC_RTCP_AHEAD - ahead), ahead);
        if (at >= RTC_RTCP_AHEAD)
            take(e, &b, &b.v[at - RTC_RTCP_AHEAD], now_us);
    }
    for (size_t i = 0; i < b.n_handshakes; i++)
        on_media(e, path_now(e, &b, b.handshakes[i]), b.handshakes[i]->datagram, DEMUX_DTLS, now_us);
}

static void on_tcp_packet(void *arg, struct ice_tcp_conn *c, struct udp_datagram *d)
{
    struct rtc_endpoint *e = arg;
    uint64_t now_us = worker_now_us(e->worker);
    enum demux_kind kind = demux_datagram(d->bytes, d->len);

    if (kind == DEMUX_STUN)
        on_stun(e, d, c, now_us);
    else if (kind == DEMUX_RTP || kind == DEMUX_RTCP || kind == DEMUX_DTLS)
        on_media(e, ice_tcp_path(c), d, kind, now_us);
    else
        e->counters.unknown_protocol++;
}

static void on_tcp_lost(void *arg, struct ice_tcp_conn *c)
{
    (void)arg;
    transport_ice_on_lost(ice_tcp_path(c));
}

/* ---- Candidates -------------------------------------------------------------------------------- */

static void add_candidate(struct rtc_candidates *c, struct addr a, uint16_t port)
{
    if (c->n == RTC_CANDIDATES_MAX)
        return;
    addr_set_port(&a, port);
    c->v[c->n++] = a;
}

/* Can a datagram to `a` reach a socket bound to `local`? An IPv6 wildcard takes IPv4 too. */
static bool reaches(const struct addr *local, const struct addr *a)
{
    return local->sa.sa_family == AF_INET6 || a->sa.sa_family == AF_INET;
}

/* Loopback last: it serves a browser on this very machine only. */
static void add_interfaces(struct rtc_candidates *c, const struct addr *local)
{
    struct addr found[4 * RTC_CANDIDATES_MAX];
    size_t n = addr_interfaces(found, LEN(found));

    for (int loopback = 0; loopback < 2; loopback++)
        for (size_t i = 0; i < n; i++)
            if (addr_is_loopback(&found[i]) == loopback && reaches(local, &found[i]))
                add_candidate(c, found[i], addr_port(local));
}

/* local: the bound address of a socket. */
static void find_candidates(struct rtc_candidates *c, const struct rtc_endpoint_cfg *cfg, const struct addr *local,
                            bool keep_ports)
{
    for (size_t i = 0; i < cfg->n_announce; i++) {
        uint16_t port = addr_port(&cfg->announce[i]);

        add_candidate(c, cfg->announce[i], port && keep_ports ? port : addr_port(local));
    }
    if (cfg->n_announce)
        return;
    if (addr_is_any(local))
        add_interfaces(c, local);
    else
        add_candidate(c, *local, addr_port(local));
}

static void find_all_candidates(struct rtc_endpoint *e, const struct rtc_endpoint_cfg *cfg)
{
    struct addr local;

    udp_local(e->udp, &local);
    find_candidates(&e->candidates, cfg, &local, true);
    if (!e->tcp)
        return;
    ice_tcp_local(e->tcp, &local);
    find_candidates(&e->tcp_candidates, cfg, &local, false);
}

/* ---- Life -------------------------------------------------------------------------------------- */

void rtc_endpoint_protect(struct rtc_endpoint *e)
{
    srtp_tx_protect_batch(e->srtp, e->waiting, e->n_waiting);
    e->n_waiting = 0;
}

static void on_send(void *arg)
{
    rtc_endpoint_protect(arg);
}

/* ICE checks each pair of addresses before anything else uses it, and each few seconds after. */
static bool is_check(const uint8_t *bytes, size_t len)
{
    return demux_datagram(bytes, len) == DEMUX_STUN;
}

static int open_parts(struct rtc_endpoint *e, const struct rtc_endpoint_cfg *cfg)
{
    struct udp_cfg udp = {.bind = cfg->listen, .recv_bytes = cfg->recv_bytes, .send_bytes = cfg->send_bytes,
                          .after_media = cfg->after_media, .on_send = on_send, .tells_address = is_check,
                          .on_datagrams = on_datagrams, .arg = e};

    if (hash_init(&e->by_ufrag) || hash_init(&e->by_addr) || ice_agent_create(&e->ice) ||
        dtls_ctx_create(&e->dtls, cfg->cert, NULL))
        return -ENOMEM;
    int err = udp_open(&e->udp, e->worker, &udp);
    if (err || cfg->tcp.sa.sa_family == AF_UNSPEC)
        return err;
    return ice_tcp_open(&e->tcp, e->worker, &(struct ice_tcp_cfg){.listen = cfg->tcp, .on_packet = on_tcp_packet,
                                                                   .on_lost = on_tcp_lost, .arg = e});
}

int rtc_endpoint_open(struct rtc_endpoint **out, struct worker *w, const struct rtc_endpoint_cfg *cfg)
{
    struct rtc_endpoint *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->worker = w;
    e->srtp = cfg->srtp;
    e->sctp = cfg->sctp;
    e->cert = cfg->cert;
    int err = open_parts(e, cfg);
    if (err) {
        rtc_endpoint_close(&e);
        return err;
    }
    find_all_candidates(e, cfg);
    *out = e;
    return 0;
}

void rtc_endpoint_close(struct rtc_endpoint **endpoint)
{
    struct rtc_endpoint *e = *endpoint;
    if (!e)
        return;
    if (e->udp)
        udp_close(&e->udp);
    ice_tcp_close(&e->tcp);
    dtls_ctx_destroy(&e->dtls);
    ice_agent_destroy(&e->ice);
    hash_fini(&e->by_ufrag);
    hash_fini(&e->by_addr);
    free(e);
    *endpoint = NULL;
}

struct worker *rtc_endpoint_worker(const struct rtc_endpoint *e)
{
    return e->worker;
}

void rtc_endpoint_local(const struct rtc_endpoint *e, struct addr *out)
{
    udp_local(e->udp, out);
}

const struct addr *rtc_endpoint_candidates(const struct rtc_endpoint *e, size_t *n)
{
    *n = e->candidates.n;
    return e->candidates.v;
}

const struct addr *rtc_endpoint_tcp_candidates(const struct rtc_endpoint *e, size_t *n)
{
    *n = e->tcp_candidates.n;
    return e->tcp_candidates.v;
}

struct rtc_sctp_stack *rtc_endpoint_sctp(const struct rtc_endpoint *e)
{
    return e->sctp;
}

const char *rtc_endpoint_fingerprint(const struct rtc_endpoint *e)
{
    return cert_fingerprint(e->cert);
}

const struct rtc_endpoint_counters *rtc_endpoint_counters(const struct rtc_endpoint *e)
{
    return &e->counters;
}

const struct udp_counters *rtc_endpoint_udp_counters(const struct rtc_endpoint *e)
{
    return udp_counters(e->udp);
}

const struct ice_tcp_counters *rtc_endpoint_tcp_counters(const struct rtc_endpoint *e)
{
    return e->tcp ? ice_tcp_counters(e->tcp) : NULL;
}

size_t rtc_endpoint_transports(const struct rtc_endpoint *e)
{
    return e->alive;
}
