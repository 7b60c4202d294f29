/* SPDX-License-Identifier: Apache-2.0
 * whep_session.c - one WHEP session: joining, playing, the grace time, the end; see whep_priv.h.
 *
 *   JOINING -> tracks that go with the offer  -> 201 -> PLAYING <-> GRACE (the stream ended, and came back)
 *           -> our own offer (whep_counter.c) -> 406 -> OFFERING -> the player's answer -> PLAYING
 *           -> anything else                  -> an error -> OVER */
#include "edge/whep_events.h"
#include "edge/whep_priv.h"

#include "base/log.h"
#include "http/bearer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OFFERED_US = 15000000 /* for the player to answer */ };

/* ---- the end ------------------------------------------------------------------------------------ */

static void add_past(struct whep_totals *t, const struct rtc_viewer *viewer)
{
    struct rtc_viewer_facts f;

    rtc_viewer_facts(viewer, &f);
    for (size_t i = 0; i < LEN(f.sent); i++) {
        t->packets += f.sent[i].packets;
        t->octets += f.sent[i].octets;
        t->resent += f.sent[i].resent;
        t->nacked += f.sent[i].nacked;
        t->resend_gone += f.sent[i].resend_gone;
        t->resend_refused += f.sent[i].resend_refused;
    }
    t->keyframes_asked += f.keyframes_asked;
    t->bad_rtcp += f.bad_rtcp;
    t->data.sent += f.data.sent;
    t->data.bytes += f.data.bytes;
    t->data.dropped += f.data.dropped;
    t->data.skipped += f.data.skipped;
    t->data.received += f.data.received;
    t->skips += f.skips;
    t->pictures_left_out += f.skipped;
}

void whep_session_destroy(struct whep_session *s)
{
    if (s->state == WHEP_PLAYING || s->state == WHEP_GRACE)
        s->w->viewers--;
    add_past(&s->w->past, s->viewer);
    hash_remove(&s->w->sessions, &s->item);
    timer_stop(&s->timer);
    rtc_viewer_destroy(&s->viewer);
    free(s->offer);
    free(s);
}

/* From within the router's callbacks: they still look at the viewer. */
static void destroy_soon(struct whep_session *s)
{
    if (s->state == WHEP_PLAYING || s->state == WHEP_GRACE)
        s->w->viewers--;
    s->state = WHEP_OVER;
    timer_start(&s->timer, 0);
}

static void fail_join(struct whep_session *s, int status, bool retry, const char *detail)
{
    rtc_http_refuse(s->x, status, retry ? rtc_http_retry_s() : 0, detail);
    s->x = NULL;
    destroy_soon(s);
}

/* ---- the answer --------------------------------------------------------------------------------- */

static int start_transport(struct whep_session *s, const struct sdp_offer *theirs)
{
    struct rtc_remote remote = {
        .ufrag = theirs->ice_ufrag,
        .pwd = theirs->ice_pwd,
        .fingerprint = theirs->fingerprint,
        .role = sdp_answer_role(theirs),
    };

    return rtc_transport_start(rtc_viewer_transport(s->viewer), &remote);
}

static void begin_playing(struct whep_session *s)
{
    s->w->counters.joins++;
    s->w->viewers++;
    s->state = WHEP_PLAYING;
    timer_stop(&s->timer);
    free(s->offer);
    s->offer = NULL;
}

static void counter_offer(struct whep_session *s, char *text, size_t len)
{
    whep_counter_turn(text);
    rtc_resource_offered(&s->resource, s->x, "/whep/session/", s->w->cfg.link, text, len);
    s->x = NULL;
    s->w->counters.not_acceptable++;
    s->state = WHEP_OFFERING;
    timer_start(&s->timer, OFFERED_US);
}

int whep_session_start(struct whep_session *s, const struct sdp_offer *answer)
{
    if (start_transport(s, answer) < 0)
        return -1;
    rtc_resource_set_remote(&s->resource, answer->ice_ufrag);
    begin_playing(s);
    return 0;
}

/* Whether or not the stream has messages now: a later epoch may, and there is no second offer. */
int whep_agree_on_data(struct whep_session *s, const struct sdp_offer *theirs)
{
    const struct sdp_media *m = sdp_offer_data(theirs);

    if (!m || !rtc_endpoint_sctp(s->w->cfg.endpoint))
        return 0;
    return rtc_viewer_carry_data(s->viewer, m->sctp_port, m->message_max, sdp_answer_role(theirs) == DTLS_ACTIVE);
}

static void answer(struct whep_session *s)
{
    char *text = s->counter || whep_agree_on_data(s, s->offer) == 0 ? malloc(WHEP_ANSWER_CAP) : NULL;
    int len = text ? whep_answer_write(text, WHEP_ANSWER_CAP, s, rtc_viewer_tracks(s->viewer)) : SDP_ERR_ROOM;

    if (len < 0 || (!s->counter && start_transport(s, s->offer) < 0)) {
        s->w->counters.overloaded++;
        fail_join(s, 503, true, "out of memory");
    } else if (s->counter) {
        counter_offer(s, text, (size_t)len);
    } else {
        whep_layer_link(s, s->x);
        if (s->w->cfg.events)
            whep_events_add_link(s->x, s->resource.id);
        rtc_resource_created(&s->resource, s->x, "/whep/session/", s->w->cfg.link, text, (size_t)len);
        s->x = NULL;
        begin_playing(s);
    }
    free(text);
}

/* ---- the viewer's callbacks --------------------------------------------------------------------- */

static void on_tracks(void *arg, bool playable)
{
    struct whep_session *s = arg;

    if (s->state == WHEP_GRACE && playable) {
        s->state = WHEP_PLAYING;
        timer_stop(&s->timer);
    }
    if (s->state != WHEP_JOINING)
        return;
    if (playable) {
        answer(s);
        return;
    }
    s->w->counters.not_acceptable++;
    fail_join(s, 406, false, "the stream has no codec that the offer can receive");
}

static void refuse_join(struct whep_session *s, enum stream_end why)
{
    if (why == STREAM_UNREACHABLE) {
        s->w->counters.unreachable++;
        fail_join(s, 503, true, "the stream's nodes cannot be reached");
        return;
    }
    s->w->counters.no_publisher++;
    fail_join(s, 409, true, "nobody publishes this stream");
}

static void on_end(void *arg, enum stream_end why)
{
    struct whep_session *s = arg;

    if (s->state == WHEP_JOINING) {
        refuse_join(s, why);
    } else if (s->state == WHEP_OFFERING) {
        destroy_soon(s);
    } else if (s->state == WHEP_PLAYING) {
        s->state = WHEP_GRACE;
        timer_start(&s->timer, s->w->cfg.grace_us);
    }
}

static void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct whep_session *s = arg;
    char id[RTC_ID_CAP];

    if (why == RTC_CLOSE_UNREACHED)
        s->w->counters.never_connected++;
    else
        s->w->counters.lost++;
    log_info("whep", "session %s over: %s%s%s stream=%s", rtc_resource_shown(&s->resource, id),
             rtc_close_name(why), detail && detail[0] ? ": " : "", detail ? detail : "", s->stream);
    whep_session_destroy(s);
}

static const struct rtc_viewer_ops viewer_ops = {
    .on_tracks = on_tracks, .on_end = on_end, .on_closed = on_closed};

static void on_timer(struct timer *t, uint64_t now_us)
{
    struct whep_session *s = container_of(t, struct whep_session, timer);

    (void)now_us;
    if (s->state == WHEP_JOINING) {
        s->w->counters.timeouts++;
        rtc_http_refuse(s->x, 504, rtc_http_retry_s(), "the stream did not come in time");
    } else if (s->state == WHEP_OFFERING) {
        s->w->counters.never_connected++;
    } else if (s->state == WHEP_GRACE) {
        s->w->counters.ended++;
    }
    whep_session_destroy(s);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    struct whep_session *s = arg;

    (void)x;
    s->w->counters.gone++;
    whep_session_destroy(s);
}

/* ---- the beginning ------------------------------------------------------------------------------ */

static int create_viewer(struct whep_session *s)
{
    struct whep_section audio, video;

    whep_agree(s->offer, &audio, &video);
    struct rtc_viewer_cfg cfg = {
        .endpoint = s->w->cfg.endpoint,
        .audio = audio.at >= 0 ? &audio.media : NULL,
        .video = video.at >= 0 ? &video.media : NULL,
        .ops = &viewer_ops,
        .arg = s,
    };
    return rtc_viewer_create(&s->viewer, &cfg);
}

void whep_session_open(struct whep *w, struct http_exchange *x, const char *stream, struct sdp_offer *offer,
                       bool counter)
{
    struct router *router = relay_router(w->cfg.relay, stream);
    struct whep_session *s = router ? calloc(1, sizeof(*s)) : NULL;

    if (s) {
        s->w = w;
        s->offer = offer;
        s->counter = counter;
    }
    if (!s || create_viewer(s) < 0) {
        free(s);
        free(offer);
        w->counters.overloaded++;
        rtc_http_refuse(x, 503, rtc_http_retry_s(), "out of memory");
        return;
    }
    s->x = x;
    s->http_peer = *http_peer(x);
    s->started_unix_us = worker_unix_us(w->worker);
    snprintf(s->stream, sizeof(s->stream), "%s", stream);
    rtc_resource_init(&s->resource, w->cfg.index, offer);
    http_bearer_mark(x, w->cfg.key, &s->resource.begun_with);
    hash_push(&w->sessions, &s->item, rtc_resource_token(&s->resource), RTC_TOKEN_BYTES);
    timer_init(&s->timer, w->worker, on_timer);
    timer_start(&s->timer, w->cfg.join_us);
    http_on_gone(x, on_gone, s);
    rtc_viewer_play(s->viewer, router);
}

struct whep_session *whep_session_find(const struct whep *w, const char *token)
{
    struct hash_item *item = hash_find(&w->sessions, token, strlen(token));
    struct whep_session *s = item ? container_of(item, struct whep_session, item) : NULL;

    return s && s->state != WHEP_JOINING && s->state != WHEP_OVER ? s : NULL;
}

/* ---- what it is --------------------------------------------------------------------------------- */

void whep_totals(const struct whep *w, struct whep_totals *out)
{
    *out = w->past;
    hash_for_each(it, &w->sessions)
    {
        struct whep_session *s = container_of(it, struct whep_session, item);
        struct rtc_viewer_facts f;
        add_past(out, s->viewer);
        rtc_viewer_facts(s->viewer, &f);
        out->thinned += f.thin == GOVERNOR_TEMPORAL;
        out->thinned_to_keyframes += f.thin == GOVERNOR_KEYFRAMES;
    }
}

void whep_each(const struct whep *w, void (*fn)(void *arg, const struct whep_facts *f), void *arg)
{
    hash_for_each(it, &w->sessions)
    {
        struct whep_session *s = container_of(it, struct whep_session, item);
        struct rtc_transport *t = rtc_viewer_transport(s->viewer);
        char id[RTC_ID_CAP];
        struct whep_facts f = {
            .id = rtc_resource_shown(&s->resource, id),
            .stream = s->stream,
            .http_peer = s->http_peer,
            .started_unix_us = s->started_unix_us,
            .ended = s->state == WHEP_GRACE,
            .tcp = rtc_transport_tcp(t),
            .profile = rtc_transport_profile(t),
            .transport = rtc_transport_counters(t),
        };
        if (s->state != WHEP_PLAYING && s->state != WHEP_GRACE)
            continue;
        if (!rtc_transport_peer(t, &f.peer))
            memset(&f.peer, 0, sizeof(f.peer));
        rtc_viewer_facts(s->viewer, &f.viewer);
        fn(arg, &f);
    }
}
