/* SPDX-License-Identifier: Apache-2.0
 * transport_priv.h - what endpoint.c (whose datagram), ice_tcp.c (whose connection), transport_ice.c (addresses, checks, consent)
 * and transport.c (DTLS, SRTP, life) share.
 *
 * Thread: the worker's. Ownership: see endpoint.h and transport.h. */
#pragma once

#include "base/hash.h"
#include "io/timer.h"
#include "media/packet.h"
#include "secure/dtls.h"
#include "secure/srtp_in.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"
#include "webrtc/ice.h"
#include "webrtc/ice_tcp.h"
#include "webrtc/transport.h"

enum {
    ICE_PATHS_MAX = 4,   /* addresses of one client that passed a check; it nominates one of its few pairs */
    ADDR_KEY_BYTES = 18, /* IPv6 (or mapped IPv4) address and port */
    RTC_BATCH = 64,      /* packets that are protected at once; a hash has 16 lanes */
    RTC_RTCP_AHEAD = 4,
    ICE_PENDING_MAX = 4, /* checks without answer (client); older ones are forgotten */
    ICE_PATH_SILENT_US = 6000000, /* RFC 7675 s5.1: consent checks are at most 6 s apart. An address checked
                                     since then is not given to another session, however valid its check */
};

struct rtc_candidates {
    size_t n;
    struct addr v[RTC_CANDIDATES_MAX];
};

struct rtc_endpoint {
    struct worker *worker;
    struct udp_socket *udp;
    struct ice_tcp *tcp;      /* NULL: UDP only */
    struct ice_agent *ice;
    struct dtls_ctx *dtls;
    struct srtp_engine *srtp; /* borrowed */
    struct rtc_sctp_stack *sctp; /* borrowed */
    const struct cert *cert;  /* borrowed */
    struct hash by_ufrag;     /* struct ice_local */
    struct hash by_addr;      /* struct ice_path, of UDP */
    uint64_t by_addr_changes; /* how often one of them came or went */
    size_t alive;
    size_t joining; /* of them, neither connected nor closed: what comes is read soon */
    struct rtc_candidates candidates, tcp_candidates;
    struct rtc_endpoint_counters counters;
    struct srtp_tx_packet waiting[RTC_BATCH]; /* written into the socket's arena, not protected yet */
    size_t n_waiting;
};

/* Where a packet came from, and its answer goes. */
struct ice_source {
    const struct addr *addr;
    struct ice_tcp_conn *tcp; /* NULL: UDP */
};

/* An address of the peer, or a connection from it. */
struct ice_path {
    struct hash_item item; /* in the endpoint's by_addr while .used, without .tcp. To the end of .transport one cache line: */
    uint8_t key[ADDR_KEY_BYTES];
    bool used;
    bool valid;            /* a check passed; always so for a server, whose paths are made by checks */
    struct rtc_transport *transport;
    struct ice_tcp_conn *tcp; /* NULL: UDP */
    struct addr addr;
    uint64_t checked_us;   /* the last one */
};

/* Our credentials. */
struct ice_local {
    struct hash_item item; /* in the endpoint's by_ufrag while .used */
    struct rtc_transport *transport;
    bool used;
    char ufrag[ICE_UFRAG_BYTES + 1], pwd[ICE_PWD_BYTES + 1];
};

/* What only a client has: it checks. */
struct ice_client {
    struct rtc_transport *transport;
    char *username, *pwd;  /* "theirs:ours", theirs */
    struct timer timer;
    uint64_t tie_breaker;
    unsigned next_path, sent;
    size_t n_pending;
    uint8_t pending[ICE_PENDING_MAX][ICE_ID_BYTES];
};

/* Begins a cache line; what each datagram needs is in the first two. */
struct rtc_transport {
    _Alignas(CACHE_LINE_BYTES) struct rtc_endpoint *endpoint;
    struct rtc_transport_cfg cfg;
    struct ice_path *path; /* where we send; NULL: nowhere yet */
    struct srtp_tx *tx;    /* not NULL: connected */
    struct srtp_rx *rx;    /* RTCP of a viewer */
    struct srtp_in *in;    /* everything of a publisher */
    unsigned depth;
    bool nominated, closed, joining;
    bool destroyed;        /* freed when the callback that is running (depth > 0) has returned */
    struct rtc_transport_counters counters;
    struct ice_path paths[ICE_PATHS_MAX];
    struct dtls *dtls;
    struct ice_local local;
    struct ice_local previous; /* those before an ICE restart, until a check with the new ones passes */
    struct ice_client *client;        /* NULL for a server */
    struct fingerprint fingerprint;
    enum dtls_role role;
    struct timer dtls_timer, life_timer;
    uint64_t started_us; /* 0: not yet */
    uint64_t alive_us;   /* last sign of the peer that nobody can forge; 0: none yet */
    uint64_t leaving_us; /* a hint of close_notify came then; 0: none */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len); /* NULL: no data is carried */
    void *data_arg;
};
_Static_assert(offsetof(struct ice_path, tcp) == CACHE_LINE_BYTES, "one line");
_Static_assert(offsetof(struct rtc_transport, paths) % CACHE_LINE_BYTES == 0, "the first path begins one");

/* ---- endpoint.c -------------------------------------------------------------------------------- */

/* Protects what is waiting for it. */
void rtc_endpoint_protect(struct rtc_endpoint *e);

/* ---- transport.c ------------------------------------------------------------------------------- */

/* Around everything that may call the owner. leave returns false when the transport is gone. */
static inline void rtc_transport_enter(struct rtc_transport *t)
{
    t->depth++;
}
bool rtc_transport_leave(struct rtc_transport *t);
/* The end; the owner is told. */
void rtc_transport_close(struct rtc_transport *t, enum rtc_close why, const char *detail);
/* A path to the peer is there. */
void rtc_transport_on_path(struct rtc_transport *t, uint64_t now_us);
/* Datagrams by kind, from an address that passed a check. */
void rtc_transport_on_dtls(struct rtc_transport *t, struct ice_path *p, struct udp_datagram *d,
                           uint64_t now_us);
void rtc_transport_on_rtp(struct rtc_transport *t, struct udp_datagram *d, uint64_t now_us);
void rtc_transport_on_rtcp(struct rtc_transport *t, struct udp_datagram *d, uint64_t now_us);
/* RTCP comes soon: from RTC_RTCP_AHEAD down to 1, each step reads only what those before have asked for. */
void rtc_transport_prefetch_rtcp(const struct rtc_transport *t, unsigned ahead);
/* When it ends unless something comes. */
void rtc_transport_schedule(struct rtc_transport *t, uint64_t now_us);

/* ---- transport_ice.c --------------------------------------------------------------------------- */

void addr_key(const struct addr *a, uint8_t key[ADDR_KEY_BYTES]);
/* Draws our credentials; .client is set before. */
void transport_ice_init(struct rtc_transport *t);
MUST_USE int transport_ice_start(struct rtc_transport *t, const struct rtc_remote *remote);
/* Forgets addresses, credentials and checks: no datagram finds the transport any more. */
void transport_ice_stop(struct rtc_transport *t);
/* A request with one of our ufrags. Returns an ice_err for the endpoint's counters. */
int transport_ice_on_request(struct ice_local *l, const struct ice_view *v, const struct ice_source *from,
                             uint64_t now_us);
int transport_ice_on_response(struct ice_path *p, const struct ice_view *v, uint64_t now_us);
/* The path's connection has ended; the transport lives on until another path is nominated, or consent expires. */
void transport_ice_on_lost(struct ice_path *p);

/* ---- A datagram to where the transport sends ---------------------------------------------------- */

static inline uint8_t *path_reserve(const struct rtc_transport *t, size_t cap_bytes)
{
    const struct ice_path *p = t->path;

    return __builtin_expect(p->tcp != NULL, 0) ? ice_tcp_reserve(p->tcp, cap_bytes) : udp_reserve(t->endpoint->udp, &p->addr, cap_bytes);
}

/* False: dropped, the peer does not read its connection. */
static inline bool path_commit(const struct rtc_transport *t, size_t len)
{
    if (t->path->tcp)
        return ice_tcp_commit(t->path->tcp, len);
    udp_commit(t->endpoint->udp, len);
    return true;
}
