/* SPDX-License-Identifier: Apache-2.0
 * dtls.h - DTLS 1.2 with use_srtp over datagrams that the caller carries: no sockets, no loop.
 *
 * Make a session only after a STUN check has passed: ICE proves the address, so there is no cookie.
 * Life of a session:
 *   1. dtls_create, then dtls_start (an active one sends its ClientHello);
 *   2. every datagram whose first byte is 20..63 (RFC 7983) goes to dtls_feed; dtls_poll at dtls_deadline_us
 *      sends again what was lost;
 *   3. on DTLS_LIVE: take the keys by dtls_keys, then dtls_shrink frees OpenSSL's state (74 KiB; 0.6 stay),
 *      keeping our last flight (some 100 bytes) to answer a peer that did not get it. One that carries data (dtls_write, .on_data) is
 *      given dtls_rest instead, which frees 33 KiB, the record buffers, between datagrams;
 *   4. DTLS_FAILED or DTLS_CLOSED: destroy it.
 * After dtls_shrink an alert can no longer be authenticated: it gives DTLS_LEAVING, a hint after which the
 * caller should close unless a fresh consent check (RFC 7675) passes soon; a forged one does no harm then.
 *
 * Time: now_us is the caller's clock. OpenSSL measures retransmission with the system's own; the deadline is
 * translated from it at each call.
 * Thread: a dtls_ctx is read-only after creation; a session is its worker's.
 * Source: RFC 6347 (DTLS 1.2), RFC 5764 (use_srtp), RFC 8842 (roles), RFC 8827 s6.5. */
#pragma once

#include "base/compiler.h"
#include "secure/cert.h"
#include "secure/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dtls_ctx; /* certificate, ciphers, profiles; one a process or a worker */
struct dtls;

enum {
    DTLS_MTU = 1200, /* bytes of UDP payload that every path carries */
};

enum dtls_role {
    DTLS_PASSIVE, /* the DTLS server: what we answer to actpass and active offers */
    DTLS_ACTIVE,
};

enum dtls_state {
    DTLS_HANDSHAKE,
    DTLS_LIVE,    /* keys are there */
    DTLS_LEAVING, /* as DTLS_LIVE, but what may be the peer's close_notify came (after dtls_shrink) */
    DTLS_CLOSED,  /* the peer's close_notify, authenticated */
    DTLS_FAILED,  /* refused or given up: see dtls_error */
};

/* profiles: in our order of preference, ended by SRTP_PROFILE_NONE; NULL for all three, GCM_128 first.
 * The certificate is borrowed for the context's life. Returns 0 or -1. */
MUST_USE int dtls_ctx_create(struct dtls_ctx **out, const struct cert *cert,
                             const enum srtp_profile *profiles);
void dtls_ctx_destroy(struct dtls_ctx **ctx); /* after its sessions */

struct dtls_cfg {
    enum dtls_role role;
    struct fingerprint peer; /* what the peer's certificate must have, from its SDP */
    /* Sends one datagram of at most DTLS_MTU bytes, borrowed; from within dtls_start, _feed, _poll, _close. */
    void (*send)(void *arg, const uint8_t *datagram, size_t len);
    /* One record of the peer's data, borrowed; from within dtls_feed, and must not destroy the session. NULL: dropped. */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len);
    void *arg;
};

/* Returns 0 or -1 when memory is short. */
MUST_USE int dtls_create(struct dtls **out, const struct dtls_ctx *ctx, const struct dtls_cfg *cfg);
/* Sends nothing. Clears the pointer; NULL inside is fine. */
void dtls_destroy(struct dtls **d);

enum dtls_state dtls_start(struct dtls *d, uint64_t now_us);
/* One datagram from the peer. What does not parse is dropped, as RFC 6347 s4.1.2.7 says. */
enum dtls_state dtls_feed(struct dtls *d, const uint8_t *datagram, size_t len, uint64_t now_us);
enum dtls_state dtls_poll(struct dtls *d, uint64_t now_us);
/* When dtls_poll wants to be called; UINT64_MAX for never. */
uint64_t dtls_deadline_us(const struct dtls *d);
enum dtls_state dtls_state(const struct dtls *d);
/* Why it failed: a line for the log. "" when it did not. */
const char *dtls_error(const struct dtls *d);

/* Only in DTLS_LIVE and DTLS_LEAVING: the keys for what we send and for what we receive. */
void dtls_keys(const struct dtls *d, struct srtp_master *tx, struct srtp_master *rx);
/* Frees OpenSSL's state. Only in DTLS_LIVE. The keys are wiped too: take them first. */
void dtls_shrink(struct dtls *d);
/* Frees OpenSSL's buffers (33 KiB) whenever no record is being read or written. Only in DTLS_LIVE; wipes the keys too. */
void dtls_rest(struct dtls *d);
/* Sends bytes as one record of a datagram of its own; len + 37 <= DTLS_MTU. False when not live, or after dtls_shrink. */
bool dtls_write(struct dtls *d, const uint8_t *bytes, size_t len);
/* Sends close_notify where there are keys, after dtls_shrink too. The state becomes DTLS_CLOSED. */
void dtls_close(struct dtls *d);
