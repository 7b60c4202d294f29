/* SPDX-License-Identifier: Apache-2.0
 * whep.h - the WHEP server of one worker: offers in, answers out, sessions until they end.
 *
 *   POST   /whep/<app>/<name>                  offer -> 201 with answer, Location, ETag
 *   POST   /whep/<app>/<name>                  without an offer, or with none of our codecs -> 406 with our own, Location
 *   GET    /whep/<app>/<name>                  204; HEAD 200
 *   PATCH  /whep/session/<worker>-<token>      trickle 204, ICE restart 200
 *   PATCH  /whep/session/<worker>-<token>      the answer to our offer 204
 *   DELETE /whep/session/<worker>-<token>      200
 *   POST   /whep/session/<worker>-<token>/events  201: server-sent events (whep_events.h)
 *
 * A POST waits until the stream's tracks are known: at once where it plays already, else until it has been
 * fetched. When the publisher stops, sessions stay for the grace time and play on when it comes back.
 * The token is the secret of a session; the number before it says which worker has it, and requests that the kernel gave to
 * another worker are forwarded.
 * Thread: the worker's.
 * Source: draft-ietf-wish-whep, RFC 9725 (WHIP, whose session resource WHEP shares), RFC 8840 (trickle), RFC 6750
 * (tokens). */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "relay/relay.h"
#include "webrtc/endpoint.h"
#include "webrtc/transport.h"
#include "webrtc/viewer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct whep;
struct whep_events;

struct whep_cfg {
    struct http_server *http;
    struct relay *relay;
    struct rtc_endpoint *endpoint;
    unsigned index;       /* this worker's */
    const char *link;     /* the ICE servers that clients are told of (webrtc/ice_link.h), borrowed; NULL: none */
    uint64_t grace_us;    /* a session is kept so long after its stream ended */
    uint64_t join_us;     /* a POST waits so long for the stream's tracks; 0: 4 s */
    /* Lets a POST in: go(x, whep), now or later; or answers it. NULL: all are let in. */
    void (*admit)(void *arg, struct http_exchange *x, const char *stream, void (*go)(struct http_exchange *x, void *whep),
                  void *whep);
    const struct token_key *key; /* secure/token.h; players must show a token of it. NULL: anybody may play. Borrowed */
    struct whep_events *events; /* whep_events.h; NULL: none. Borrowed */
    /* x is for the session of another worker: give it to whep_on_session there (http/forward.h). NULL, or false: 404. */
    bool (*forward)(void *arg, struct http_exchange *x, unsigned index);
    void *arg;
};

/* Adds its routes to the HTTP server, which must live as long. 0, or -1 when memory is short. */
MUST_USE int whep_open(struct whep **out, const struct whep_cfg *cfg);
/* Ends all sessions; those still waiting get 503. */
void whep_close(struct whep **w);
/* A request for /whep/session/..., from the route or forwarded. */
void whep_on_session(struct whep *w, struct http_exchange *x);

/* How joins went: one is added for each POST. */
struct whep_counters {
    uint64_t joins;          /* answered with 201 */
    uint64_t bad_requests;   /* 400, 415, 422: media type, name, offer */
    uint64_t unauthorized;   /* 401, 403 */
    uint64_t not_acceptable; /* 406: nothing in common */
    uint64_t no_publisher;   /* 409 */
    uint64_t unreachable;    /* 503: no node could be asked */
    uint64_t timeouts;       /* 504: no tracks in time */
    uint64_t overloaded;     /* 503: too many viewers, no memory */
    uint64_t gone;           /* the client went away before the answer */
    /* How sessions ended. */
    uint64_t deleted;        /* by DELETE */
    uint64_t never_connected;
    uint64_t lost;           /* consent expired, DTLS failed or closed */
    uint64_t ended;          /* the stream ended and did not come back in time */
};

/* Of all sessions, past and present. */
struct whep_totals {
    uint64_t packets, octets;  /* payload, retransmissions not counted */
    uint64_t resent, nacked, resend_gone, resend_refused;
    uint64_t keyframes_asked, bad_rtcp, skips;
    uint64_t pictures_left_out; /* above what a path, a choice or an overloaded worker allows */
    uint64_t thinned, thinned_to_keyframes; /* sessions now, for an overloaded worker */
    struct viewer_data_counters data;
};

const struct whep_counters *whep_counters(const struct whep *w);
void whep_totals(const struct whep *w, struct whep_totals *out);
/* Sessions that have their answer. */
size_t whep_viewers(const struct whep *w);
/* All sessions, those that wait for their answer too. */
size_t whep_sessions(const struct whep *w);

/* What there is to say of a session; borrowed for the call. */
struct whep_facts {
    const char *id;            /* as in its URL, without the secret: the first characters only */
    const char *stream;
    struct addr peer;          /* nominated; AF_UNSPEC before */
    struct addr http_peer;     /* who asked */
    uint64_t started_unix_us;
    bool ended;                /* the stream has ended, the grace time runs */
    bool tcp;                  /* by a TCP connection */
    const char *profile;       /* SRTP's; "" before the handshake */
    const struct rtc_transport_counters *transport;
    struct rtc_viewer_facts viewer;
};
void whep_each(const struct whep *w, void (*fn)(void *arg, const struct whep_facts *f), void *arg);
