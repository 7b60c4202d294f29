/* SPDX-License-Identifier: Apache-2.0
 * transport.h - one WebRTC association: ICE, then DTLS, then SRTP both ways.
 *
 *   rtc_transport_create -> rtc_transport_ufrag/_pwd go into our SDP
 *   rtc_transport_start  <- what the other side's SDP says
 *   on_connected         -> rtc_transport_send_rtp/_rtcp, on_rtp, on_rtcp ...
 *   on_closed            -> rtc_transport_destroy
 *
 * As a server it is an ICE-lite agent: it answers checks and sends to the address, or on the TCP connection, that the client
 * nominated last. As a client (.controlling, for the load tester and tests) it sends checks itself.
 * Rules of its life:
 *   1. on_closed comes at most once, from the loop and never from within a call of the owner's; after it no
 *      other callback comes, and only rtc_transport_destroy is left to call;
 *   2. rtc_transport_destroy is fine at any time, from within any callback too; no callback after it.
 *
 * Thread: the worker's. Ownership: heap, the creator's; it must go before its endpoint.
 * Source: RFC 8445 (ICE), s2.5 (lite), RFC 7675 (consent), RFC 5764 (DTLS-SRTP), RFC 8842 (roles). */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "secure/cert.h"
#include "secure/dtls.h"
#include "webrtc/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtc_transport;

enum {
    ICE_UFRAG_BYTES = 8,       /* what we draw: 48 bits; RFC 8445 s5.3 asks for 24 */
    ICE_PWD_BYTES = 24,        /* 144 bits; asks for 128 */
    ICE_CREDENTIAL_MAX = 256,  /* bytes of a remote ufrag or pwd; RFC 8839 s5.4 */
    RTC_CONSENT_US = 30000000, /* RFC 7675 s5.1: consent expires 30 s after the last valid check */
    RTC_RTP_MAX = UDP_DATAGRAM_MAX - 16, /* bytes before protection; 16: the longest tag */
    RTC_DATA_MAX = DTLS_MTU - 37, /* bytes before protection; RFC 6347 s4.1, RFC 5288: header, nonce, tag */
};

enum rtc_close {
    RTC_CLOSE_UNREACHED = 1, /* no valid check came within RTC_CONSENT_US of the start; among a crowd that joins, in 4 s */
    RTC_CLOSE_DTLS,          /* the handshake failed or was given up: detail says why */
    RTC_CLOSE_CONSENT, /* no valid check (nor authenticated media from a publisher) for RTC_CONSENT_US */
    RTC_CLOSE_PEER,    /* close_notify */
};
const char *rtc_close_name(enum rtc_close why); /* "consent lost" and the like */

struct rtc_transport_ops {
    void (*on_connected)(void *arg);
    /* One decrypted RTP packet, borrowed, may be changed in place. Only with .receive_media. */
    void (*on_rtp)(void *arg, uint8_t *pkt, size_t len, uint64_t now_us);
    /* One decrypted, not yet checked, compound RTCP packet, borrowed. */
    void (*on_rtcp)(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us);
    /* on_rtcp comes soon: what that reads can be asked for already (prefetch), first (ahead: 3) the owner's own, then (2) what that
     * points to, and (1) what that tells of. Nothing else. NULL: not interested. */
    void (*on_rtcp_soon)(const void *arg, unsigned ahead);
    void (*on_closed)(void *arg, enum rtc_close why, const char *detail);
};

struct rtc_transport_cfg {
    const struct rtc_transport_ops *ops; /* borrowed for the transport's life */
    void *arg;
    bool receive_media; /* a publisher: RTP of any SSRC is taken (libsrtp2). Else it is dropped, counted */
    bool controlling;   /* we are the client: send checks to the remote candidates */
};

/* What the other side's SDP says. */
struct rtc_remote {
    const char *ufrag, *pwd;        /* copied */
    struct fingerprint fingerprint; /* what its certificate must have */
    enum dtls_role role;            /* ours: DTLS_PASSIVE when the other side is active */
    const struct addr *candidates;  /* only for .controlling; copied, the first RTC_CANDIDATES_MAX */
    size_t n_candidates;
};

/* Draws our credentials. Returns 0 or -1 when memory is short. */
MUST_USE int rtc_transport_create(struct rtc_transport **out, struct rtc_endpoint *e,
                                  const struct rtc_transport_cfg *cfg);
/* Once. Checks are answered (or sent) from now on. 0, or -1: a credential is too long or memory is short. */
MUST_USE int rtc_transport_start(struct rtc_transport *t, const struct rtc_remote *remote);
/* Tells the peer (close_notify), frees, clears the pointer; NULL inside is fine. */
void rtc_transport_destroy(struct rtc_transport **t);

/* The association carries data beside media: packets of SCTP, as DTLS records. Before rtc_transport_start. on_data: one
 * packet, borrowed, between on_connected and on_closed; it must not destroy the transport. OpenSSL's state stays then. */
void rtc_transport_carry_data(struct rtc_transport *t, void (*on_data)(void *arg, const uint8_t *bytes, size_t len),
                              void *arg);

/* An ICE restart (RFC 8445 s9) with new remote credentials: draws new ones of ours. The old ones stay good
 * until a check with the new ones passes, so a restart that comes to nothing leaves the session alive.
 * 0, or -1 when a credential is too long. */
MUST_USE int rtc_transport_restart_ice(struct rtc_transport *t, const char *ufrag, const char *pwd);

/* ---- Sending ----------------------------------------------------------------------------------- */

/* One packet to one peer: header | prefix | payload, see srtp_tx.h. All borrowed. */
struct rtc_rtp {
    uint64_t index;         /* 48 bits: roll-over << 16 | sequence; its low 16 bits are the header's */
    const uint8_t *hdr;     /* RTP header with extensions */
    const uint8_t *prefix;  /* this peer's own first bytes of the payload; NULL with 0 */
    const uint8_t *payload; /* shared, not written to */
    size_t hdr_len, prefix_len, payload_len; /* bytes; together at most RTC_RTP_MAX */
};

/* Protects straight into the socket's arena; it leaves at the end of the loop turn. Packets of the same size
 * sent one after the other to one peer become one GSO message: so send a frame viewer by viewer. Returns the
 * bytes of the datagram, or 0 when not connected, too long, or the peer does not read its connection (counted). */
size_t rtc_transport_send_rtp(struct rtc_transport *t, const struct rtc_rtp *p);
/* The same in two steps, for a header that is written where it leaves from: room for a packet of up to plain_len bytes before protection,
 * NULL when not connected or too long (counted); then the packet, whose hdr is that room, without a prefix. pad_len (0 .. 255): bytes of
 * padding (RFC 3550 s5.1) behind the payload; the header says so. */
uint8_t *rtc_transport_reserve_rtp(struct rtc_transport *t, size_t plain_len);
size_t rtc_transport_commit_rtp(struct rtc_transport *t, const struct rtc_rtp *p, size_t pad_len);
/* A packet will be sent soon: asks for what that reads to be in the processor's cache by then. Twice: with ahead 2 for the transport
 * itself, with 1 for what it points to. */
void rtc_transport_prefetch(const struct rtc_transport *t, unsigned ahead);
/* Protects a copy of the compound packet. Returns the bytes of the datagram, or 0 as above. */
size_t rtc_transport_send_rtcp(struct rtc_transport *t, const uint8_t *pkt, size_t len);
/* Whether a compound packet of len bytes would leave in the message of what was sent before: then it costs little more than its bytes. */
bool rtc_transport_rtcp_joins(const struct rtc_transport *t, size_t len);

/* One packet of at most RTC_DATA_MAX bytes. False: not connected, or none was agreed on (counted). */
bool rtc_transport_send_data(struct rtc_transport *t, const uint8_t *bytes, size_t len);

/* ---- What it is -------------------------------------------------------------------------------- */

const char *rtc_transport_ufrag(const struct rtc_transport *t);
const char *rtc_transport_pwd(const struct rtc_transport *t);
bool rtc_transport_connected(const struct rtc_transport *t);
/* The nominated address; false before the first check. */
bool rtc_transport_peer(const struct rtc_transport *t, struct addr *out);
/* By a TCP connection, which the client chose (ice_tcp.h). */
bool rtc_transport_tcp(const struct rtc_transport *t);
/* Over TCP, and the peer has not read for a while: media should be left out until it does. */
bool rtc_transport_behind(const struct rtc_transport *t);
/* "AEAD_AES_128_GCM"; "" before on_connected. */
const char *rtc_transport_profile(const struct rtc_transport *t);
struct rtc_endpoint *rtc_transport_endpoint(const struct rtc_transport *t);

struct rtc_transport_counters {
    uint64_t rtp_in, rtp_in_bytes, rtcp_in;    /* authenticated; bytes of datagrams */
    uint64_t rtp_out, rtp_out_bytes, rtcp_out; /* bytes of datagrams */
    uint64_t bad_auth;     /* SRTP or SRTCP whose tag does not fit */
    uint64_t bad_replay;   /* seen before, or before the replay window */
    uint64_t bad_other;    /* too short, unencrypted RTCP, too many senders */
    uint64_t early;        /* media before the keys were there */
    uint64_t unwanted;     /* RTP to a transport without .receive_media */
    uint64_t send_refused; /* not connected, or too long */
    uint64_t send_dropped; /* over TCP: too much waits already */
    uint64_t checks;       /* valid STUN requests */
    uint64_t moves;        /* times that the nominated address changed after the first */
};
const struct rtc_transport_counters *rtc_transport_counters(const struct rtc_transport *t);
