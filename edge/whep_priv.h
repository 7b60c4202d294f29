/* SPDX-License-Identifier: Apache-2.0
 * whep_priv.h - the insides of the WHEP server, shared by whep.c (HTTP), whep_session.c (one session), whep_answer.c (what is
 * agreed on), whep_counter.c (our own offer) and whep_layer.c (the viewer's choice of a layer). */
#pragma once

#include "base/hash.h"
#include "base/list.h"
#include "edge/whep.h"
#include "http/cors.h"
#include "io/timer.h"
#include "webrtc/resource.h"
#include "webrtc/sdp.h"

enum { WHEP_ANSWER_CAP = 24 * 1024 /* bytes */ };

enum whep_state {
    WHEP_JOINING, /* the POST waits for the tracks */
    WHEP_OFFERING, /* the counter-offer is out; the timer ends it */
    WHEP_PLAYING, /* answered; the stream lives */
    WHEP_GRACE,   /* answered; the stream has ended */
    WHEP_OVER,    /* the timer destroys it: not from within the router's callback */
};

/* What a section of the offer is answered with: the payloads, in our order. */
struct whep_section {
    int at;       /* index of the m-section; -1: none */
    struct rtc_viewer_media media;
};

struct whep_session {
    struct whep *w;
    struct hash_item item;     /* by token */
    struct rtc_resource resource;
    enum whep_state state;
    struct http_exchange *x;   /* WHEP_JOINING: the POST */
    struct sdp_offer *offer;   /* WHEP_JOINING, WHEP_OFFERING */
    bool counter;              /* the offer is whep_counter_create's: the player is to answer ours */
    struct rtc_viewer *viewer;
    struct timer timer;        /* the join's deadline, the grace time, or the end */
    uint64_t started_unix_us;
    struct addr http_peer;
    char stream[STREAM_NAME_MAX + 1];
    char video_mid[SDP_TOKEN_MAX + 1]; /* of the video section; "": none */
};

struct whep {
    struct whep_cfg cfg;
    struct http_cors cors; /* of the endpoint */
    struct worker *worker;
    struct hash sessions;
    size_t viewers;
    struct whep_counters counters;
    struct whep_totals past;   /* of sessions that are gone */
};

/* ---- whep_answer.c ------------------------------------------------------------------------------ */

/* What we can do of the offer's first usable audio and video section. */
void whep_agree(const struct sdp_offer *o, struct whep_section *audio, struct whep_section *video);
/* Writes the answer; tracks: the stream's own payload goes first. Bytes or SDP_ERR_ROOM. */
MUST_USE int whep_answer_write(char *dst, size_t cap, struct whep_session *s, const struct track_set *tracks);

/* ---- whep_layer.c ------------------------------------------------------------------------------- */

#define WHEP_LAYER_PATH "/layer"

/* Adds the Link field that makes the layer extension known to the reply. */
void whep_layer_link(const struct whep_session *s, struct http_exchange *x);
/* GET or POST on <session>/layer. */
void whep_layer_on_request(struct whep_session *s, struct http_exchange *x);

/* ---- whep_counter.c ----------------------------------------------------------------------------- */

/* The offer of a player that can receive all that we can send; NULL: out of memory. */
MUST_USE struct sdp_offer *whep_counter_create(void);
/* Makes an offer of the answer to it. */
void whep_counter_turn(char *text);
/* PATCH with the player's answer: replies; 0, or the status of an error that is the player's fault. */
int whep_counter_on_answer(struct whep_session *s, struct http_exchange *x);

/* ---- whep_session.c ----------------------------------------------------------------------------- */

/* A session for this POST, attached to the stream: it answers x, at once or later. Takes over the offer. counter: it is
 * whep_counter_create's, and x is answered with our own. */
void whep_session_open(struct whep *w, struct http_exchange *x, const char *stream, struct sdp_offer *offer,
                       bool counter);
/* The viewer has data channels where this description of its has them. 0, or -1 when memory is short. */
MUST_USE int whep_agree_on_data(struct whep_session *s, const struct sdp_offer *theirs);
/* WHEP_OFFERING: plays to who has sent this answer (which is borrowed). 0, or -1 when memory is short. */
MUST_USE int whep_session_start(struct whep_session *s, const struct sdp_offer *answer);
/* At once; not from within a callback of the router. */
void whep_session_destroy(struct whep_session *s);
struct whep_session *whep_session_find(const struct whep *w, const char *token);
