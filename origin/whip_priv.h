/* SPDX-License-Identifier: Apache-2.0
 * whip_priv.h - the insides of the WHIP server, shared by whip.c (HTTP), whip_session.c (one session) and
 * whip_answer.c (what is agreed on). */
#pragma once

#include "base/hash.h"
#include "http/cors.h"
#include "io/timer.h"
#include "origin/whip.h"
#include "origin/whip_data.h"
#include "relay/publish.h"
#include "webrtc/resource.h"
#include "webrtc/sdp.h"

enum { WHIP_ANSWER_CAP = 16 * 1024 /* bytes */ };

enum whip_state {
    WHIP_CLAIMING,   /* the POST waits for the name */
    WHIP_CONNECTING, /* answered; ICE and DTLS are under way */
    WHIP_LIVE,       /* published */
};

struct whip_session {
    struct whip *w;
    struct hash_item item;       /* by token */
    struct rtc_resource resource;
    enum whip_state state;
    struct http_exchange *x;     /* WHIP_CLAIMING: the POST */
    struct sdp_offer *offer;     /* WHIP_CLAIMING */
    struct publication *publication;
    struct rtc_transport *transport;
    struct whip_data *data;      /* NULL: no data channels were agreed on */
    struct timer timer;          /* feedback */
    uint64_t started_unix_us;
    struct addr http_peer;
    char stream[STREAM_NAME_MAX + 1];
    struct whip_media_cfg agreed; /* until it is live */
    struct whip_media media;
};

struct whip {
    struct whip_cfg cfg;
    struct http_cors cors; /* of the endpoint */
    struct worker *worker;
    struct hash sessions;
    size_t publishers;
    struct whip_counters counters;
    struct whip_media_counters past; /* of sessions that are gone */
    struct whip_data_counters past_data;
};

/* ---- whip_answer.c ----------------------------------------------------------------------------- */

/* Chooses a codec for each usable section and fills in the tracks. Returns SDP_OK or SDP_ERR_CODEC. */
MUST_USE int whip_agree(const struct sdp_offer *o, struct whip_media_cfg *out);
/* The section of data channels that we agree to; NULL: none. */
const struct sdp_media *whip_agree_data(const struct whip *w, const struct sdp_offer *o);
/* Bytes or SDP_ERR_ROOM. */
MUST_USE int whip_answer_write(char *dst, size_t cap, struct whip_session *s);

/* ---- whip_session.c ---------------------------------------------------------------------------- */

/* A session for this POST: claims the name and answers x later. Takes over the offer. */
void whip_session_open(struct whip *w, struct http_exchange *x, const char *stream, struct sdp_offer *offer,
                       const struct whip_media_cfg *agreed);
/* Ends the publishing, if any. */
void whip_session_destroy(struct whip_session *s);
struct whip_session *whip_session_find(const struct whip *w, const char *token);
