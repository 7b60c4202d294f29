/* SPDX-License-Identifier: Apache-2.0
 * endpoint.h - a worker's one UDP port for WebRTC, and its TCP port: which packet belongs to which transport.
 *
 * A STUN request finds its transport by the local half of its USERNAME; everything else by the
 * address it comes from, which a transport owns only after a STUN check from there has passed. So a
 * datagram from a stranger costs a look-up and a count, and no memory. Over TCP (ice_tcp.h) the connection stands for
 * the address.
 * Within a batch media goes before handshakes: a crowd of newcomers does not delay what is playing.
 *
 * Thread: the worker's. Ownership: transports belong to whoever created them and must be destroyed
 * before the endpoint is closed.
 * Source: RFC 7983 (demultiplexing), RFC 8445 s7.3 (USERNAME). */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/udp.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cert;         /* secure/cert.h */
struct ice_tcp_counters;
struct srtp_engine;  /* secure/srtp.h */
struct rtc_sctp_stack; /* webrtc/sctp.h */
struct rtc_endpoint;

enum { RTC_CANDIDATES_MAX = 16 /* addresses that we announce */ };

struct rtc_endpoint_cfg {
    struct addr listen;         /* port 0: any */
    struct addr tcp;            /* for ICE over TCP; AF_UNSPEC: none. Port 0: any */
    /* Copied; entries with port 0 get ours, those of TCP always. n_announce 0: every usable address of the machine's interfaces that
     * the sockets can reach, loopback included. */
    const struct addr *announce;
    size_t n_announce;
    const struct cert *cert;    /* of our DTLS; borrowed for the endpoint's life */
    struct srtp_engine *srtp;   /* the worker's; borrowed for the endpoint's life */
    struct rtc_sctp_stack *sctp; /* the process's, borrowed; NULL: no data channels */
    int recv_bytes, send_bytes; /* socket buffers; 0: the system's */
    bool after_media;           /* its peers are viewers: what they say is read after media (udp.h) */
};

struct rtc_endpoint_counters {
    uint64_t stun_requests;      /* valid ones, answered */
    uint64_t stun_indications;   /* dropped: they come unauthenticated */
    uint64_t stun_malformed;     /* not STUN, or a length inside does not fit */
    uint64_t stun_unknown_ufrag; /* for no session here (any more) */
    uint64_t stun_unauthorized;  /* MESSAGE-INTEGRITY does not fit, or none */
    uint64_t unknown_address;    /* not STUN and from nobody we know */
    uint64_t unknown_protocol;   /* neither STUN, DTLS, RTP nor RTCP */
    uint64_t transports;         /* created so far */
};

/* Returns 0 or a negative errno (-EADDRINUSE, ...; -ENOMEM also when no DTLS context can be made). */
MUST_USE int rtc_endpoint_open(struct rtc_endpoint **out, struct worker *w,
                               const struct rtc_endpoint_cfg *cfg);
void rtc_endpoint_close(struct rtc_endpoint **e);

struct worker *rtc_endpoint_worker(const struct rtc_endpoint *e);
void rtc_endpoint_local(const struct rtc_endpoint *e, struct addr *out);
/* The addresses for a=candidate lines, with ports; borrowed for the endpoint's life. Those of TCP are none without it. */
const struct addr *rtc_endpoint_candidates(const struct rtc_endpoint *e, size_t *n);
const struct addr *rtc_endpoint_tcp_candidates(const struct rtc_endpoint *e, size_t *n);
struct rtc_sctp_stack *rtc_endpoint_sctp(const struct rtc_endpoint *e);
/* "sha-256 AB:CD:..." of our certificate. */
const char *rtc_endpoint_fingerprint(const struct rtc_endpoint *e);
const struct rtc_endpoint_counters *rtc_endpoint_counters(const struct rtc_endpoint *e);
const struct udp_counters *rtc_endpoint_udp_counters(const struct rtc_endpoint *e);
const struct ice_tcp_counters *rtc_endpoint_tcp_counters(const struct rtc_endpoint *e); /* ice_tcp.h; NULL: no TCP */
size_t rtc_endpoint_transports(const struct rtc_endpoint *e); /* alive now */
