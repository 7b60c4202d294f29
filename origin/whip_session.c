/* SPDX-License-Identifier: Apache-2.0
 * whip_session.c - one WHIP session: claiming the name, connecting, live, the end; see whip_priv.h.
 *
 *   CLAIMING -> the name is ours -> 201 -> CONNECTING -> DTLS done -> LIVE
 *            -> it is not        -> 409 or 503, and over */
#include "origin/whip_priv.h"

#include "base/log.h"
#include "http/bearer.h"
#include "origin/transcode_tracks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- The end ----------------------------------------------------------------------------------- */

static void add_data(struct whip_data_counters *to, const struct whip_data *data)
{
    struct whip_data_counters c;

    if (!data)
        return;
    whip_data_counters(data, &c);
    to->messages += c.messages;
    to->bytes += c.bytes;
    to->throttled += c.throttled;
    to->dropped += c.dropped;
    to->bad += c.bad;
}

void whip_session_destroy(struct whip_session *s)
{
    if (s->state != WHIP_CLAIMING)
        s->w->publishers--;
    if (s->state == WHIP_LIVE)
        whip_media_count(&s->media, &s->w->past);
    hash_remove(&s->w->sessions, &s->item);
    timer_stop(&s->timer);
    add_data(&s->w->past_data, s->data);
    whip_data_destroy(&s->data);
    rtc_transport_destroy(&s->transport);
    publish_close(&s->publication);
    free(s->offer);
    free(s);
}

static void end(struct whip_session *s, uint64_t *counter, const char *why, const char *detail)
{
    char peer[ADDR_TEXT_CAP], id[RTC_ID_CAP];

    (*counter)++;
    log_info("whip", "session %s over: %s%s%s stream=%s peer=%s", rtc_resource_shown(&s->resource, id), why,
             detail[0] ? ": " : "", detail, s->stream, addr_print(&s->http_peer, peer));
    whip_session_destroy(s);
}

static void fail(struct whip_session *s, int status, const char *detail)
{
    struct http_exchange *x = s->x;

    s->x = NULL;
    whip_session_destroy(s);
    rtc_http_refuse(x, status, rtc_http_retry_s(), detail);
}

/* ---- Media ------------------------------------------------------------------------------------- */

static void schedule(struct whip_session *s)
{
    uint64_t now_us = worker_now_us(s->w->worker), due_us = whip_media_due_us(&s->media);

    if (!timer_running(&s->timer) || due_us < s->timer.due_us)
        timer_start(&s->timer, due_us > now_us ? due_us - now_us : 0);
}

static void on_timer(struct timer *timer, uint64_t now_us)
{
    struct whip_session *s = container_of(timer, struct whip_session, timer);

    whip_media_poll(&s->media, now_us);
    schedule(s);
}

static void push(void *arg, struct packet *p)
{
    struct whip_session *s = arg;

    publish_push(s->publication, p);
}

static void publish_tracks(struct whip_session *s)
{
    struct track_set tracks;

    whip_media_tracks(&s->media, &tracks);
    if (s->data)
        tracks.v[tracks.n++] = (struct track){.codec = CODEC_DATA, .clock_hz = 90000, .n_layers = 1};
    if (s->w->cfg.audio_transcode)
        transcode_derive_tracks(&tracks);
    publish_start(s->publication, &tracks);
    if (s->data)
        whip_data_ready(s->data);
}

static void on_source(void *arg)
{
    publish_tracks(arg);
}

static void send_rtcp(void *arg, const uint8_t *pkt, size_t len)
{
    struct whip_session *s = arg;

    (void)rtc_transport_send_rtcp(s->transport, pkt, len); /* what is refused is counted there */
}

static const struct whip_media_ops media_ops = {.push = push, .on_source = on_source, .send_rtcp = send_rtcp};

/* ---- The transport's callbacks ----------------------------------------------------------------- */

static void go_live(struct whip_session *s)
{
    struct whip_media_cfg *cfg = &s->agreed;
    char peer[ADDR_TEXT_CAP], id[RTC_ID_CAP];

    cfg->ops = &media_ops;
    cfg->arg = s;
    cfg->pool = publish_pool(s->publication);
    cfg->keyframe_us = s->w->cfg.keyframe_us;
    cfg->stream = s->stream;
    whip_media_init(&s->media, cfg, worker_now_us(s->w->worker));
    s->state = WHIP_LIVE;
    if (s->data)
        whip_data_start(s->data);
    if (whip_media_announced(&s->media))
        publish_tracks(s);
    schedule(s);
    log_info("whip", "live: %s%s%s session %s stream=%s peer=%s", codec_name(cfg->tracks[0].facts.codec),
             cfg->n_tracks > 1 ? " and " : "",
             cfg->n_tracks > 1 ? codec_name(cfg->tracks[1].facts.codec) : "",
             rtc_resource_shown(&s->resource, id), s->stream, addr_print(&s->http_peer, peer));
}

static void on_connected(void *arg)
{
    go_live(arg);
}

static void on_rtp(void *arg, uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct whip_session *s = arg;

    whip_media_on_rtp(&s->media, pkt, len, now_us, worker_unix_us(s->w->worker));
    if (whip_media_abused(&s->media))
        end(s, &s->w->counters.abusive, "too many packets of nothing agreed on", "");
    else
        schedule(s);
}

static void on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct whip_session *s = arg;

    whip_media_on_rtcp(&s->media, pkt, len, now_us, worker_unix_us(s->w->worker));
}

static void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct whip_session *s = arg;
    struct whip_counters *c = &s->w->counters;

    end(s, why == RTC_CLOSE_UNREACHED ? &c->never_connected : &c->lost, rtc_close_name(why), detail);
}

static const struct rtc_transport_ops transport_ops = {
    .on_connected = on_connected, .on_rtp = on_rtp, .on_rtcp = on_rtcp, .on_closed = on_closed};

/* ---- The answer -------------------------------------------------------------------------------- */

static int open_data(struct whip_session *s)
{
    struct whip_data_cfg cfg = {
        .transport = s->transport,
        .worker = s->w->worker,
        .offered = whip_agree_data(s->w, s->offer),
        .active = sdp_answer_role(s->offer) == DTLS_ACTIVE,
        .pool = publish_pool(s->publication),
        .track = (uint8_t)s->agreed.n_tracks, /* behind the media */
        .push = push,
        .arg = s,
    };

    return cfg.offered ? whip_data_create(&s->data, &cfg) : 0;
}

static int start_transport(struct whip_session *s)
{
    struct rtc_transport_cfg cfg = {.ops = &transport_ops, .arg = s, .receive_media = true};
    struct rtc_remote remote = {
        .ufrag = s->offer->ice_ufrag,
        .pwd = s->offer->ice_pwd,
        .fingerprint = s->offer->fingerprint,
        .role = sdp_answer_role(s->offer),
    };

    if (rtc_transport_create(&s->transport, s->w->cfg.endpoint, &cfg) < 0 || open_data(s) < 0)
        return -1;
    return rtc_transport_start(s->transport, &remote);
}

static void answer(struct whip_session *s)
{
    char *text = malloc(WHIP_ANSWER_CAP);
    int len = text && start_transport(s) == 0 ? whip_answer_write(text, WHIP_ANSWER_CAP, s) : SDP_ERR_ROOM;

    if (len < 0) {
        s->w->counters.overloaded++;
        fail(s, 503, "out of memory");
    } else {
        rtc_resource_created(&s->resource, s->x, "/whip/session/", s->w->cfg.link, text, (size_t)len);
        s->x = NULL;
        s->state = WHIP_CONNECTING;
        s->w->publishers++;
        s->w->counters.publishes++;
        free(s->offer);
        s->offer = NULL;
    }
    free(text);
}

/* ---- The publication's callbacks --------------------------------------------------------------- */

static void on_claimed(void *arg, enum publish_result result)
{
    struct whip_session *s = arg;

    switch (result) {
    case PUBLISH_OK:
        answer(s);
        break;
    case PUBLISH_TAKEN:
        s->w->counters.taken++;
        fail(s, 409, "someone publishes this stream already");
        break;
    case PUBLISH_NAME:
        s->w->counters.bad_requests++;
        fail(s, 400, "not a stream name: app/name");
        break;
    case PUBLISH_OVERLOADED:
        s->w->counters.overloaded++;
        fail(s, 503, "this node takes no more publishers");
        break;
    }
}

/* A browser sends all it has; layers that nobody wants are for simulcast. */
static void on_want(void *arg, uint64_t want)
{
    (void)arg, (void)want;
}

static void on_keyframe(void *arg, unsigned track, unsigned layer)
{
    struct whip_session *s = arg;

    if (s->state != WHIP_LIVE)
        return;
    whip_media_need_keyframe(&s->media, track, layer);
    schedule(s);
}

static void on_revoked(void *arg, const char *why)
{
    struct whip_session *s = arg;

    if (s->state == WHIP_CLAIMING)
        fail(s, 409, why);
    else
        end(s, &s->w->counters.revoked, "the name was lost", why);
}

static const struct publish_ops publish_ops = {
    .on_claimed = on_claimed, .on_want = on_want, .on_keyframe = on_keyframe, .on_revoked = on_revoked};

/* ---- The beginning ----------------------------------------------------------------------------- */

static void on_gone(struct http_exchange *x, void *arg)
{
    struct whip_session *s = arg;

    (void)x;
    s->x = NULL;
    s->w->counters.gone++;
    whip_session_destroy(s);
}

static void init_session(struct whip_session *s, struct whip *w, struct http_exchange *x, const char *stream,
                         struct sdp_offer *offer)
{
    s->w = w;
    s->x = x;
    s->offer = offer;
    s->http_peer = *http_peer(x);
    s->started_unix_us = worker_unix_us(w->worker);
    snprintf(s->stream, sizeof(s->stream), "%s", stream);
    rtc_resource_init(&s->resource, w->cfg.index, offer);
    http_bearer_mark(s->x, w->cfg.key, &s->resource.begun_with);
    hash_push(&w->sessions, &s->item, rtc_resource_token(&s->resource), RTC_TOKEN_BYTES);
    timer_init(&s->timer, w->worker, on_timer);
}

void whip_session_open(struct whip *w, struct http_exchange *x, const char *stream, struct sdp_offer *offer,
                       const struct whip_media_cfg *agreed)
{
    struct whip_session *s = calloc(1, sizeof(*s));

    if (!s) {
        free(offer);
        w->counters.overloaded++;
        rtc_http_refuse(x, 503, rtc_http_retry_s(), "out of memory");
        return;
    }
    init_session(s, w, x, stream, offer);
    s->agreed = *agreed;
    if (publish_claim(&s->publication, w->cfg.relay, stream, "whip", &publish_ops, s) < 0) {
        w->counters.overloaded++;
        fail(s, 503, "out of memory");
        return;
    }
    http_on_gone(x, on_gone, s);
}

struct whip_session *whip_session_find(const struct whip *w, const char *token)
{
    struct hash_item *item = hash_find(&w->sessions, token, strlen(token));
    struct whip_session *s = item ? container_of(item, struct whip_session, item) : NULL;

    return s && s->state != WHIP_CLAIMING ? s : NULL;
}

/* ---- What it is -------------------------------------------------------------------------------- */

void whip_totals(const struct whip *w, struct whip_media_counters *out)
{
    *out = w->past;
    hash_for_each(it, &w->sessions)
    {
        struct whip_session *s = container_of(it, struct whip_session, item);
        if (s->state == WHIP_LIVE)
            whip_media_count(&s->media, out);
    }
}

void whip_data_totals(const struct whip *w, struct whip_data_counters *out)
{
    *out = w->past_data;
    hash_for_each(it, &w->sessions) add_data(out, container_of(it, struct whip_session, item)->data);
}

void whip_each(const struct whip *w, void (*fn)(void *arg, const struct whip_facts *f), void *arg)
{
    hash_for_each(it, &w->sessions)
    {
        struct whip_session *s = container_of(it, struct whip_session, item);
        char id[RTC_ID_CAP];

        if (s->state == WHIP_CLAIMING)
            continue;
        struct whip_facts f = {
            .id = rtc_resource_shown(&s->resource, id),
            .stream = s->stream,
            .http_peer = s->http_peer,
            .started_unix_us = s->started_unix_us,
            .live = s->state == WHIP_LIVE,
            .tcp = rtc_transport_tcp(s->transport),
            .profile = rtc_transport_profile(s->transport),
            .transport = rtc_transport_counters(s->transport),
        };
        if (!rtc_transport_peer(s->transport, &f.peer))
            memset(&f.peer, 0, sizeof(f.peer));
        if (f.live)
            whip_media_facts(&s->media, worker_now_us(w->worker), &f.media);
        f.carries_data = s->data != NULL;
        add_data(&f.data, s->data);
        fn(arg, &f);
    }
}
