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

static struct ice_path *find_path(const struct rtc_endpoint *e, const struct addr *from)
{
    uint8_t key[ADDR_KEY_BYTES];

    addr_key(from, key);
    struct hash_item *found = hash_find(&e->by_addr, key, sizeof(key));
    return found ? container_of(found, struct ice_path, item) : NULL;
}

static int on_stun_request(struct rtc_endpoint *e, const struct ice_view *v, const struct addr *from,
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

static int on_stun_response(struct rtc_endpoint *e, const struct ice_view *v, const struct addr *from,
                            uint64_t now_us)
{
    struct ice_path *p = find_path(e, from);

    if (!p) {
        e->counters.unknown_address++;
        return ICE_OK;
    }
    int err = transport_ice_on_response(p, v, now_us);
    return err == ICE_ERR_UNMATCHED ? ICE_OK : err; /* late answers are no fault */
}

static void on_stun(struct rtc_endpoint *e, const struct udp_datagram *d, uint64_t now_us)
{
    struct ice_view v;
    int err = ice_view_parse(&v, d->bytes, d->len);

    if (err == ICE_OK && v.class == ICE_INDICATION) {
        e->counters.stun_indications++;
        return;
    }
    if (err == ICE_OK)
        err = v.class == ICE_REQUEST ? on_stun_request(e, &v, &d->from, now_us)
                                     : on_stun_response(e, &v, &d->from, now_us);
    if (err == ICE_ERR_UNAUTHORIZED) {
        e->counters.stun_unauthorized++;
        log_bad("STUN request with a wrong password", &d->from);
    } else if (err == ICE_ERR_MALFORMED || err == ICE_ERR_UNKNOWN) {
        e->counters.stun_malformed++;
        log_bad("malformed STUN message", &d->from);
    }
}

static void on_media(struct rtc_endpoint *e, struct udp_datagram *d, enum demux_kind kind, uint64_t now_us)
{
    struct ice_path *p = find_path(e, &d->from);

    if (!p || !p->valid)
        e->counters.unknown_address++;
    else if (kind == DEMUX_RTP)
        rtc_transport_on_rtp(p->transport, d, now_us);
    else if (kind == DEMUX_RTCP)
        rtc_transport_on_rtcp(p->transport, d, now_us);
    else
        rtc_transport_on_dtls(p->transport, p, d, now_us);
}

/* Media and checks first, handshakes after: a public-key operation takes as long as fanning out a hundred
 * packets. If a crowd ever keeps a worker from its media, handshakes of one turn can be bounded here: what is
 * left out is a lost datagram for DTLS, which sends it again. */
static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct rtc_endpoint *e = arg;
    uint64_t now_us = worker_now_us(e->worker);
    uint8_t handshakes[UDP_BATCH_MAX];
    size_t n_handshakes = 0;

    for (size_t i = 0; i < n; i++) {
        enum demux_kind kind = demux_datagram(v[i].bytes, v[i].len);

        if (kind == DEMUX_DTLS)
            handshakes[n_handshakes++] = (uint8_t)i;
        else if (kind == DEMUX_STUN)
            on_stun(e, &v[i], now_us);
        else if (kind == DEMUX_RTP || kind == DEMUX_RTCP)
            on_media(e, &v[i], kind, now_us);
        else
            e->counters.unknown_protocol++;
    }
    for (size_t i = 0; i < n_handshakes; i++)
        on_media(e, &v[handshakes[i]], DEMUX_DTLS, now_us);
}

/* ---- Candidates -------------------------------------------------------------------------------- */

static void add_candidate(struct rtc_endpoint *e, struct addr a, uint16_t port)
{
    if (e->n_candidates == RTC_CANDIDATES_MAX)
        return;
    if (addr_port(&a) == 0)
        addr_set_port(&a, port);
    e->candidates[e->n_candidates++] = a;
}

/* Can a datagram to `a` reach a socket bound to `local`? An IPv6 wildcard takes IPv4 too. */
static bool reaches(const struct addr *local, const struct addr *a)
{
    return local->sa.sa_family == AF_INET6 || a->sa.sa_family == AF_INET;
}

/* Loopback last: it serves a browser on this very machine only. */
static void find_candidates(struct rtc_endpoint *e, const struct rtc_endpoint_cfg *cfg)
{
    struct addr local, found[4 * RTC_CANDIDATES_MAX];

    udp_local(e->udp, &local);
    for (size_t i = 0; i < cfg->n_announce; i++)
        add_candidate(e, cfg->announce[i], addr_port(&local));
    if (cfg->n_announce)
        return;
    if (!addr_is_any(&local)) {
        add_candidate(e, local, addr_port(&local));
        return;
    }
    size_t n = addr_interfaces(found, LEN(found));
    for (int loopback = 0; loopback < 2; loopback++)
        for (size_t i = 0; i < n; i++)
            if (addr_is_loopback(&found[i]) == loopback && reaches(&local, &found[i]))
                add_candidate(e, found[i], addr_port(&local));
}

/* ---- Life -------------------------------------------------------------------------------------- */

static int open_parts(struct rtc_endpoint *e, const struct rtc_endpoint_cfg *cfg)
{
    struct udp_cfg udp = {.bind = cfg->listen, .recv_bytes = cfg->recv_bytes, .send_bytes = cfg->send_bytes,
                          .on_datagrams = on_datagrams, .arg = e};

    if (hash_init(&e->by_ufrag) || hash_init(&e->by_addr) || ice_agent_create(&e->ice) ||
        dtls_ctx_create(&e->dtls, cfg->cert, NULL))
        return -ENOMEM;
    return udp_open(&e->udp, e->worker, &udp);
}

int rtc_endpoint_open(struct rtc_endpoint **out, struct worker *w, const struct rtc_endpoint_cfg *cfg)
{
    struct rtc_endpoint *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    e->worker = w;
    e->srtp = cfg->srtp;
    e->cert = cfg->cert;
    int err = open_parts(e, cfg);
    if (err) {
        rtc_endpoint_close(&e);
        return err;
    }
    find_candidates(e, cfg);
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
    *n = e->n_candidates;
    return e->candidates;
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

size_t rtc_endpoint_transports(const struct rtc_endpoint *e)
{
    return e->alive;
}
