/* SPDX-License-Identifier: Apache-2.0
 * resource.h - what a WHIP and a WHEP session have in common as HTTP resources: URL, ETag, the 201 that makes
 * it known, and PATCH with trickled candidates or an ICE restart.
 *
 * A session's URL is <prefix><worker>-<token>: the token is its secret, and the number before it says which
 * worker has it. Its ETag names the ICE session, as RFC 9725 s4.3.1 wants.
 * Thread: the worker's. Ownership: embedded in the session.
 * Source: RFC 9725 s4.2, s4.3 (WHIP; WHEP shares it), RFC 8840 (trickle fragments). */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "secure/token.h"
#include "webrtc/sdp.h"
#include "webrtc/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RTC_TYPE_SDP "application/sdp"
#define RTC_TYPE_FRAGMENT "application/trickle-ice-sdpfrag"

enum {
    RTC_TOKEN_BYTES = 22, /* 132 bits */
    RTC_TOKEN_SHOWN = 8,  /* characters that logs and the API show: 48 bits, enough to tell sessions apart */
    RTC_ID_CAP = 40,      /* bytes of "65535-", the token and NUL */
};

struct rtc_resource {
    char id[RTC_ID_CAP];           /* "<worker>-<token>" */
    size_t token_at;               /* where in it the token begins */
    struct token_mark begun_with;  /* the POST's bearer token; the user's to set */
    unsigned generation;           /* of ICE credentials: the ETag */
    uint64_t remote_ufrag;         /* hash of the client's present ufrag */
    enum sdp_kind kind;            /* of the section that has the transport ... */
    char mid[SDP_TOKEN_MAX + 1];   /* ... and its name, for the answer to a restart */
};

/* Draws the token. */
void rtc_resource_init(struct rtc_resource *r, unsigned worker_index, const struct sdp_offer *offer);
/* RTC_TOKEN_BYTES characters. */
static inline const char *rtc_resource_token(const struct rtc_resource *r)
{
    return r->id + r->token_at;
}
/* What may be shown of the id: "3-Rk29_aX0". Returns out. */
const char *rtc_resource_shown(const struct rtc_resource *r, char out[RTC_ID_CAP]);
/* The client's ufrag where it comes later than rtc_resource_init: by its answer to an offer of ours. */
void rtc_resource_set_remote(struct rtc_resource *r, const char *ufrag);
/* Splits "<worker>-<token>"; returns the token, or NULL when it is not of that form. */
const char *rtc_resource_split(const char *id, unsigned *worker_index);

/* The o= line, credentials, fingerprint and candidates of an answer for this session; and which section of
 * the offer is the first accepted one (see kind and mid above), so fill in a->media before. */
void rtc_resource_answer(struct rtc_resource *r, struct rtc_transport *t, struct sdp_answer *a);
/* 201 with Location, ETag and the answer. prefix: "/whip/session/". link: the ICE servers' (ice_link.h); NULL: none. */
void rtc_resource_created(const struct rtc_resource *r, struct http_exchange *x, const char *prefix,
                          const char *link, const char *answer, size_t len);
/* The same with an offer in place of an answer: 406, the counter-offer of WHEP. */
void rtc_resource_offered(const struct rtc_resource *r, struct http_exchange *x, const char *prefix, const char *link,
                          const char *offer, size_t len);
/* PATCH: 204, 200 with new credentials, or the error. Returns 0, or the status of an error that is the
 * client's fault by what it sent (400, 415): count and log it. */
int rtc_resource_patch(struct rtc_resource *r, struct rtc_transport *t, struct http_exchange *x);

/* ---- Small things of both servers -------------------------------------------------------------- */

/* The request's media type, its parameters left out. */
bool rtc_http_has_type(const struct http_exchange *x, const char *type);
/* A problem document, with Retry-After unless it is 0. */
void rtc_http_refuse(struct http_exchange *x, int status, unsigned retry_after_s, const char *detail);
/* 1 to 3 s: spread, so that a crowd that was refused does not come back as one. */
unsigned rtc_http_retry_s(void);
