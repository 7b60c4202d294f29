/* SPDX-License-Identifier: Apache-2.0
 * assoc.h - the receiving client of a WebRTC server: ICE checks, DTLS, keys, on a slot of a shared port.
 *
 * Unlike webrtc/transport.h it can share one socket with thousands of others, and leaves RTP protected, so that its
 * owner can look at headers only.
 *
 * Thread: the worker's. Ownership: embedded in its owner; assoc_close at any time, no callback after it.
 * Source: RFC 8445 (full agent, controlling, aggressive toward lite peers), RFC 7675 (consent), RFC 5764. */
#pragma once

#include "base/compiler.h"
#include "io/timer.h"
#include "port.h"
#include "secure/dtls.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"
#include "webrtc/ice.h"
#include "webrtc/transport.h"

enum { ASSOC_CANDIDATES_MAX = 8, ASSOC_PENDING_MAX = 3, ASSOC_RTCP_MAX = 1200 };

struct assoc;

struct assoc_ops {
    void (*on_ice)(struct assoc *a);       /* the first check was answered */
    void (*on_connected)(struct assoc *a); /* keys are there */
    /* One datagram as it came, still protected, from the server's address. */
    void (*on_rtp)(struct assoc *a, uint8_t *bytes, size_t len, uint64_t unix_us);
    void (*on_rtcp)(struct assoc *a, const uint8_t *bytes, size_t len, uint64_t unix_us); /* plain */
    void (*on_failed)(struct assoc *a, const char *cause); /* assoc_close is all that is left to do */
};

/* What the associations of a thread share. */
struct assoc_shared {
    struct worker *worker;
    struct port *port;
    struct cert *cert;
    struct dtls_ctx *dtls;
    struct srtp_engine *srtp;
};

struct assoc {
    const struct assoc_ops *ops;
    struct assoc_shared *shared;
    struct port_slot slot;
    struct ice_agent *ice; /* borrowed from a set of few: each remembers a bounded number of checks */
    char ufrag[ICE_UFRAG_BYTES + 1], pwd[ICE_PWD_BYTES + 1];
    char *username, *remote_pwd;
    uint64_t tie_breaker, answered_us;
    struct addr candidates[ASSOC_CANDIDATES_MAX];
    size_t n_candidates, n_pending;
    uint8_t pending[ASSOC_PENDING_MAX][ICE_ID_BYTES];
    unsigned sent;
    int path; /* candidate in use; -1: none yet */
    enum dtls_role role;
    struct fingerprint fingerprint;
    struct dtls *dtls;
    struct srtp_tx *tx; /* not NULL: connected */
    struct srtp_rx *rx;
    struct timer check_timer, dtls_timer;
};

/* Takes a slot and draws credentials; toward: the server's address, as far as it is known. 0 or a negative errno. */
MUST_USE int assoc_open(struct assoc *a, struct assoc_shared *shared, struct ice_agent *ice, const struct addr *toward,
                        const struct assoc_ops *ops);
/* Before assoc_start: the server turns out to be at an address of another family. 0 or a negative errno. */
MUST_USE int assoc_turn(struct assoc *a, const struct addr *toward);
/* What the answer says; checks begin. 0 or -1. */
MUST_USE int assoc_start(struct assoc *a, const struct rtc_remote *remote);
void assoc_close(struct assoc *a);
bool assoc_connected(const struct assoc *a);
/* bytes[0..len) with room for SRTCP_OVERHEAD_MAX more. */
void assoc_send_rtcp(struct assoc *a, uint8_t *bytes, size_t len, size_t cap);
