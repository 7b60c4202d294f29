/* SPDX-License-Identifier: Apache-2.0
 * whip.h - the WHIP server of one worker: publishers' offers in, answers out, sessions until they end.
 *
 *   POST   /whip/<app>/<name>                  offer -> 201 with answer, Location, ETag
 *   GET    /whip/<app>/<name>                  204; HEAD 200
 *   PATCH  /whip/session/<worker>-<token>      trickle 204, ICE restart 200
 *   DELETE /whip/session/<worker>-<token>      200: the publishing ends
 *
 * A POST is answered when the name has been claimed; the stream goes live when the publisher's media can
 * come, that is when DTLS is done. It ends by DELETE, by the end of DTLS or consent, or when the name is lost
 * to another publisher. A POST runs on the stream's home worker, a session's requests on the worker that has
 * the session: requests that the kernel gave to another worker are forwarded.
 * Thread: the worker's. Source: RFC 9725, RFC 8840 (trickle), RFC 6750 (tokens). */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "origin/whip_data.h"
#include "origin/whip_media.h"
#include "relay/relay.h"
#include "webrtc/endpoint.h"
#include "webrtc/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct whip;

struct whip_cfg {
    struct http_server *http;
    struct relay *relay;
    struct rtc_endpoint *endpoint;
    unsigned index;         /* this worker's */
    const char *link;       /* the ICE servers that clients are told of (webrtc/ice_link.h), borrowed; NULL: none */
    bool audio_transcode;   /* announce a derived track beside the audio */
    size_t publishers_max;  /* sessions of this worker; more get 503. 0: no bound */
    uint64_t keyframe_us; /* a video track without a keyframe for so long is asked for one, so that the cache
                             always has a start; 0: 4 s */
    const struct token_key *key; /* secure/token.h; publishers must show a token of it. NULL: anybody may publish. Borrowed */
    /* x is for another worker: give it to whip_on_request there (http/forward.h). NULL, or false: it is
     * answered here (POST) or with 404 (sessions). */
    bool (*forward)(void *arg, struct http_exchange *x, unsigned index);
    /* Whether one more publisher is let in; false: x has been answered. NULL: all are. */
    bool (*admit)(void *arg, struct http_exchange *x);
    void *arg;
};

/* Adds its routes to the HTTP server, which must live as long. 0, or -1 when memory is short. */
MUST_USE int whip_open(struct whip **out, const struct whip_cfg *cfg);
/* Ends all publishings; POSTs that wait get 503. */
void whip_close(struct whip **w);
/* A request that was forwarded to this worker. */
void whip_on_request(struct whip *w, struct http_exchange *x);

/* ---- For statistics ---------------------------------------------------------------------------- */

struct whip_counters {
    uint64_t publishes;       /* answered with 201 */
    uint64_t bad_requests;    /* 400, 415, 422: media type, name, offer, fragment */
    uint64_t unauthorized;    /* 401, 403: POSTs */
    uint64_t taken;           /* 409 */
    uint64_t overloaded;      /* 503 */
    uint64_t gone;            /* the client went away before the answer */
    /* How sessions ended. */
    uint64_t deleted;         /* by DELETE */
    uint64_t never_connected;
    uint64_t lost;            /* consent expired, DTLS failed or closed */
    uint64_t revoked;         /* lost their name to another publisher */
    uint64_t abusive;         /* closed for packets that belong to nothing agreed on */
};

const struct whip_counters *whip_counters(const struct whip *w);
/* Of all sessions, past and present. */
void whip_totals(const struct whip *w, struct whip_media_counters *out);
void whip_data_totals(const struct whip *w, struct whip_data_counters *out);
/* Sessions that have their answer. */
size_t whip_publishers(const struct whip *w);

/* What there is to say of a session; borrowed for the call. */
struct whip_facts {
    const char *id;         /* as in its URL, without the secret: the first characters only */
    const char *stream;
    struct addr peer;       /* nominated; AF_UNSPEC before */
    struct addr http_peer;  /* who asked */
    uint64_t started_unix_us;
    bool live;              /* connected, and the stream published */
    bool tcp;               /* by a TCP connection */
    const char *profile;    /* of SRTP */
    const struct rtc_transport_counters *transport;
    struct whip_media_facts media;
    bool carries_data;
    struct whip_data_counters data;
};
void whip_each(const struct whip *w, void (*fn)(void *arg, const struct whip_facts *f), void *arg);
