/* SPDX-License-Identifier: Apache-2.0
 * ice.h - the STUN messages of ICE: connectivity checks answered as a lite agent, and sent as a client.
 *
 * Bytes from outside are first walked by ice_view_parse (bounds, method, each attribute that matters); only
 * what it accepts is given to libnice's STUN layer, which does integrity, fingerprint and replies. No state
 * of sessions is here: the caller knows whose ufrag it is.
 *
 * Thread: one agent a worker, used by it alone. Ownership: views borrow the datagram.
 * Source: RFC 8489 (STUN), RFC 8445 s7.3 (server), s2.5 (lite), RFC 7675 (consent checks are these same
 * requests). */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ICE_REPLY_MAX = 256,    /* bytes of any reply that we write; checks may be longer by two ufrags */
    ICE_CHECK_MAX = 768,    /* bytes of a check that we write: USERNAME has up to 513 */
    ICE_USERNAME_MAX = 513, /* bytes; RFC 8489 s14.3: less than 509, RFC 8445: two ufrags of 256 and ':' */
    ICE_ID_BYTES = 16,      /* cookie and transaction id, as libnice keeps them */
};

enum ice_err {
    ICE_OK = 0,
    ICE_ERR_MALFORMED = -1, /* not STUN, or a length inside does not fit, or a needed attribute is missing */
    ICE_ERR_UNAUTHORIZED = -2, /* integrity missing or wrong */
    ICE_ERR_CONFLICT = -3,     /* both sides want the same role: answered with 487 */
    ICE_ERR_UNKNOWN = -4,      /* a mandatory attribute that we do not know: answered with 420 */
    ICE_ERR_UNMATCHED = -5,    /* a response to nothing that we asked */
};

enum ice_class { ICE_REQUEST, ICE_INDICATION, ICE_RESPONSE, ICE_ERROR };

struct ice_view {
    enum ice_class class;
    const uint8_t *bytes; /* the whole datagram */
    size_t len;
    const uint8_t *id;       /* ICE_ID_BYTES: cookie and transaction id */
    const uint8_t *username; /* NULL when absent */
    size_t username_len, ufrag_len; /* ufrag: the part before ':', that of the receiver */
    bool use_candidate;
};

/* A Binding message in one datagram. ICE_OK, or ICE_ERR_MALFORMED with *out untouched. A request has a USERNAME
 * with ':' inside, MESSAGE-INTEGRITY and FINGERPRINT. */
MUST_USE int ice_view_parse(struct ice_view *out, const uint8_t *pkt, size_t len);

struct ice_agent;

MUST_USE int ice_agent_create(struct ice_agent **out); /* 0 or -1 when memory is short */
void ice_agent_destroy(struct ice_agent **a);

/* Checks a request against our password and writes the reply: success, or the error that RFC 8445 and 8489
 * ask for. controlling: our role (false for a lite agent). Returns ICE_OK when the check is valid, else an
 * ice_err; *reply_len is 0 when there is nothing to send. */
MUST_USE int ice_request_answer(struct ice_agent *a, const struct ice_view *v, const struct addr *from,
                                const char *pwd, bool controlling, uint8_t reply[ICE_REPLY_MAX],
                                size_t *reply_len);

/* ---- The client's side ------------------------------------------------------------------------- */

struct ice_check {
    const char *username; /* "theirs:ours" */
    const char *pwd;      /* theirs; must live until the answer came or ice_check_forget */
    uint64_t tie_breaker;
    uint32_t priority;
    bool use_candidate;
};

/* Writes a check; id gets what to forget later. Returns its bytes, 0 when it does not fit or too many are
 * under way. */
size_t ice_check_write(struct ice_agent *a, const struct ice_check *c, uint8_t dst[ICE_CHECK_MAX],
                       uint8_t id[ICE_ID_BYTES]);
/* No answer is expected any more. Harmless when it was answered. */
void ice_check_forget(struct ice_agent *a, const uint8_t id[ICE_ID_BYTES]);
/* A response to a check of ours: ICE_OK when it is authentic and says success (and is then forgotten). */
MUST_USE int ice_response_read(struct ice_agent *a, const struct ice_view *v);
