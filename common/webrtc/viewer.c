/* SPDX-License-Identifier: Apache-2.0
 * viewer.c - what a viewer does with the router's packets; how it begins is in viewer_start.c, its RTCP in viewer_rtcp.c. See viewer.h. */
#include "webrtc/viewer_priv.h"

#include "base/random.h"
#include "media/track.h"
#include "webrtc/endpoint.h"

#include <stdlib.h>
#include <string.h>

enum {
    AUDIO_BEHIND_US = 150000,    /* encoders, interleaving and transcoding stay below it */
    AUDIO_WAIT_US = 1500000,     /* audio that is behind for longer is so for good: better late than none */
    /* Sound waits in a player's buffer, and pictures are then held back until lips match: browsers feel their way there
     * in half a minute. Told a likely delay, they start with it. */
    PLAYOUT_MS = 60,             /* three Opus packets: what a browser's audio buffer holds at least */
    PLAYOUT_DERIVED_MS = 120,    /* and as much again for sound that is transcoded */
    PAD_MAX_BYTES = 64,  /* of a frame's last fragment: less than the message that it saves costs */
    PAD_EACH_BYTES = 4,  /* of each of the others: browsers make them equal but for a byte */
};

static uint64_t now_us(const struct rtc_viewer *v)
{
    return worker_now_us(v->worker);
}

/* ---- sending -------------------------------------------------------------------------------------------- */

/* The least delay that video should be played with, so that sound is in step from the first picture on. */
static uint16_t playout_ms(const struct rtc_viewer *v)
{
    if (v->audio.codec == CODEC_NONE)
        return 0;
    return v->audio.derived ? PLAYOUT_DERIVED_MS : PLAYOUT_MS;
}

void viewer_start_sender(struct rtc_viewer *v, struct viewer_track *t, const struct packet *first, uint64_t live_ts,
                         uint64_t run_us, bool from_layer)
{
    const struct rtc_payload *payload = &t->media.payloads[t->payload];
    struct rtp_start start = {
        .epoch = v->epoch,
        .track = t->track,
        .layer = t->layer,
        .pt = payload->pt,
        .rtx_pt = payload->rtx_pt,
        .red_pt = payload->red_pt,
        .clock_hz = t->clock_hz,
        .first_seq = first->seq,
        .first_ts = first->ts_ticks,
        .live_ts = live_ts,
        .run_us = run_us,
        .first_capture_us = from_layer ? first->capture_us : 0,
        .vp8 = t->codec == CODEC_VP8,
        .playout_ms = t == &v->video ? playout_ms(v) : 0,
    };

    if (from_layer && first->layer < t->sender.now.layer)
        viewer_rate_clear(v); /* its network carries no more: what waits of the better layer would only be in the way */
    else if (t == &v->video)
        viewer_rate_flush(v, now_us(v));
    rtp_sender_start(&t->sender, &start, now_us(v));
}

void viewer_send(struct rtc_viewer *v, const struct rtp_out *out)
{
    struct rtc_rtp rtp = {
        .index = out->index,
        .hdr = out->hdr,
        .hdr_len = out->hdr_len,
        .prefix = out->prefix_len ? out->prefix : NULL,
        .prefix_len = out->prefix_len,
        .payload = out->payload,
        .payload_len = out->payload_len,
    };

    viewer_rate_on_sent(v, rtc_transport_send_rtp(v->transport, &rtp), out->numbered, now_us(v));
}

/* The common case, with nothing written twice; in one function, since passing things on was a third of its instructions. */
__attribute__((flatten)) static bool send_next(struct rtc_viewer *v, struct viewer_track *t, const struct packet *p, size_t pad_len,
                                               uint64_t now)
{
    uint8_t *at = rtc_transport_reserve_rtp(v->transport, RTP_NEXT_HEADER_MAX + p->payload_len + pad_len);
    struct rtc_rtp rtp = {.hdr = at, .payload = packet_payload(p), .payload_len = p->payload_len};

    if (!at)
        return false;
    rtp.hdr_len = rtp_sender_write_next(&t->sender, p, pad_len > 0, now, at, &rtp.index);
    viewer_rate_on_sent(v, rtc_transport_commit_rtp(v->transport, &rtp, pad_len), true, now);
    return true;
}

__attribute__((noinline)) static bool send_other(struct rtc_viewer *v, struct viewer_track *t, const struct packet *p, size_t pad_len,
                                                 uint64_t now)
{
    struct rtp_out out;
    uint8_t room[PACKET_PAYLOAD_MAX + PAD_MAX_BYTES];

    const struct packet *before =
        t->sender.now.red_pt ? cache_find(router_cache(v->consumer.router), p->track, p->layer, p->seq - 1) : NULL;
    if (!rtp_sender_write_after(&t->sender, p, before, now, &out))
        return false;
    if (pad_len && rtp_sender_may_pad(&out) && out.hdr_len + out.prefix_len + out.payload_len + pad_len <= RTP_OUT_MAX)
        rtp_sender_pad(&out, room, pad_len);
    viewer_send(v, &out);
    return true;
}

void viewer_send_packet(struct rtc_viewer *v, struct viewer_track *t, const struct packet *p, size_t pad_len, uint64_t now)
{
    bool sent = rtp_sender_is_next(&t->sender, p) ? send_next(v, t, p, pad_len, now) : send_other(v, t, p, pad_len, now);

    if (sent && v->first_packet_us == 0)
        v->first_packet_us = now;
}

/* ---- the router's callbacks ----------------------------------------------------------------------------------- */

/* Audio has no past: it begins at live. But a track that is made on demand, or that this node has only just asked for,
 * begins with a run of what was before; sent, it would stay in the viewer's buffer as delay. */
static bool audio_is_past(struct rtc_viewer *v, const struct packet *p, uint64_t now)
{
    uint64_t video_us, ts;

    if (v->audio_waits_us == 0)
        v->audio_waits_us = now;
    if (v->video.codec == CODEC_NONE || !router_clock(v->consumer.router, v->video.track, &video_us, &ts))
        return false;
    return p->capture_us + AUDIO_BEHIND_US < video_us && now - v->audio_waits_us < AUDIO_WAIT_US;
}

static void push_audio(struct rtc_viewer *v, const struct packet *p, uint64_t now)
{
    if (!rtp_sender_running(&v->audio.sender)) {
        if (audio_is_past(v, p, now))
            return;
        viewer_start_sender(v, &v->audio, p, p->ts_ticks, 0, false);
    }
    viewer_send_packet(v, &v->audio, p, 0, now);
}

/* What of a batch is this viewer's. */
struct share {
    size_t n_video, n_audio;
    uint16_t most_bytes; /* the longest payload of video */
    bool reports;        /* are to go along */
};

static struct share share_of(const struct rtc_viewer *v, const struct packet_batch *b)
{
    struct share s = {0};

    for (size_t i = 0; i < b->n; i++) {
        const struct packet *p = b->v[i];
        if (viewer_plays(&v->video, p)) {
            s.n_video++;
            s.most_bytes = p->payload_len > s.most_bytes ? p->payload_len : s.most_bytes;
        } else {
            s.n_audio += viewer_plays(&v->audio, p);
        }
    }
    return s;
}

/* A message ends with the first packet that is shorter than those before it, so fragments that are a little shorter are filled
 * up when something follows: the next fragment, or behind the last (left: 0) sound or reports. */
static size_t padding(const struct share *s, const struct packet *p, size_t left)
{
    size_t missing = (size_t)(s->most_bytes - p->payload_len);

    if (left == 0)
        return (s->n_audio || s->reports) && missing <= PAD_MAX_BYTES ? missing : 0;
    return missing <= PAD_EACH_BYTES ? missing : 0;
}

/* Live video for a viewer that does not read its connection is left out, up to the keyframe after it has read all. */
static bool is_skipped(struct rtc_viewer *v, const struct packet *p, uint64_t now)
{
    const uint8_t begins = PACKET_KEYFRAME | PACKET_FRAME_START;

    if (!v->skipping && !rtc_transport_behind(v->transport))
        return false;
    if (!v->skipping) {
        v->skipping = true;
        v->skips++;
        v->asked_us = 0;
        viewer_rate_clear(v);
        rtp_sender_stop(&v->video.sender);
    }
    if (rtc_transport_behind(v->transport))
        return true;
    if ((p->flags & begins) == begins) {
        v->skipping = false;
        viewer_start_sender(v, &v->video, p, p->ts_ticks, 0, true);
    } else if (now - v->asked_us >= VIEWER_KEYFRAME_AGAIN_US) {
        router_need_keyframe(v->consumer.router, v->video.track, v->video.layer);
        v->asked_us = now;
    }
    return v->skipping;
}

static void push_video(struct rtc_viewer *v, const struct packet_batch *b, const struct share *s, uint64_t now)
{
    bool live = v->state == RTC_VIEWER_LIVE, may_skip = v->skipping || rtc_transport_tcp(v->transport);
    size_t left = s->n_video;

    for (size_t i = 0; i < b->n; i++) {
        const struct packet *p = b->v[i];
        if (v->layers.meter && p->track == v->video.track)
            viewer_layers_on_packet(v, p, now);
        if (!viewer_plays(&v->video, p))
            continue;
        left -= left > 0; /* another layer may have begun within the batch */
        if (!live)
            viewer_note_line(v, p, now);
        else if (!(may_skip && is_skipped(v, p, now)) && rtp_sender_takes(&v->video.sender, p) && !viewer_rate_holds(v, p, (left + 1) * s->most_bytes, now))
            viewer_send_packet(v, &v->video, p, padding(s, p, left), now);
    }
}

static void push_data(struct rtc_viewer *v, const struct packet_batch *b, uint64_t now)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->v[i]->track == v->data_track)
            viewer_data_push(v->data, b->v[i], now);
}

/* Pictures first, then sound, which is short: so both are one message. */
static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct rtc_viewer *v = container_of(c, struct rtc_viewer, consumer);
    uint64_t now = now_us(v);
    enum governor_thin thin = worker_thinning(v->worker, v->layers.rank);

    if (thin != v->layers.thin)
        viewer_layers_thin(v, thin);
    if (v->data)
        push_data(v, b, now);
    bool live = v->state == RTC_VIEWER_LIVE, playing = v->connected && v->ready;
    struct share s = share_of(v, b);

    s.reports = live && now >= v->report_from_us;
    if (s.n_video || v->layers.meter)
        push_video(v, b, &s, now);
    for (size_t i = 0; s.n_audio && playing && i < b->n; i++)
        if (viewer_plays(&v->audio, b->v[i]))
            push_audio(v, b->v[i], now);
    if (s.reports)
        viewer_report_along(v, now);
    if (live || !playing || s.n_video == 0)
        return;
    if (v->state == RTC_VIEWER_WAITING)
        viewer_start_video(v);
    /* Only here: the cache ends with this batch, so from the next one on the batches are what is new. */
    if (v->state == RTC_VIEWER_CATCHING_UP && viewer_pump(v, now))
        viewer_go_live(v);
}

/* Nothing of the present epoch is sent any more; the senders keep their timelines. */
static void pause_sending(struct rtc_viewer *v)
{
    rtp_sender_stop(&v->video.sender);
    rtp_sender_stop(&v->audio.sender);
    timer_stop(&v->pace);
    timer_stop(&v->report);
    timer_stop(&v->layers.check);
    viewer_rate_clear(v);
    if (v->data)
        viewer_data_reset(v->data);
    v->state = RTC_VIEWER_IDLE;
    v->ready = v->skipping = false;
    v->has_line = false;
    v->audio_waits_us = 0;
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct rtc_viewer *v = container_of(c, struct rtc_viewer, consumer);

    pause_sending(v);
    v->epoch = tracks->epoch;
    viewer_choose_track(&v->video, CODEC_KIND_VIDEO, tracks);
    viewer_choose_track(&v->audio, CODEC_KIND_AUDIO, tracks);
    v->data_track = track_set_find(tracks, CODEC_DATA);
    viewer_layers_start(v, v->video.codec != CODEC_NONE ? &tracks->v[v->video.track] : NULL);
    viewer_want(v);
    v->ops->on_tracks(v->arg, v->video.codec != CODEC_NONE || v->audio.codec != CODEC_NONE);
}

static void on_ready(struct consumer *c)
{
    struct rtc_viewer *v = container_of(c, struct rtc_viewer, consumer);
    uint64_t first, end;

    v->ready = true;
    if (v->data && v->data_track >= 0 && cache_range(router_cache(c->router), (unsigned)v->data_track, 0, &first, &end))
        viewer_data_expect(v->data, end);
    viewer_begin(v);
}

static void on_end(struct consumer *c, enum stream_end why)
{
    struct rtc_viewer *v = container_of(c, struct rtc_viewer, consumer);

    pause_sending(v);
    v->ops->on_end(v->arg, why);
}

static void fetch(const void *from, const void *to)
{
    for (const uint8_t *at = from; at < (const uint8_t *)to; at += 64)
        __builtin_prefetch(at);
}

static void fetch_track(const struct viewer_track *t, unsigned ahead)
{
    const struct rtp_sender *s = &t->sender;

    if (ahead == 1)
        __builtin_prefetch(&s->sent[(s->highest + 1) % RTP_SENT_NUMBERS / 64], 1);
    else
        fetch(t, &s->counters.nacked);
}

static void on_soon(const struct consumer *c, unsigned ahead)
{
    const struct rtc_viewer *v = container_of(c, const struct rtc_viewer, consumer);

    rtc_transport_prefetch(v->transport, ahead);
    viewer_rate_prefetch(v, ahead);
    fetch_track(&v->video, ahead);
    fetch_track(&v->audio, ahead);
    if (ahead > 1)
        __builtin_prefetch(&v->layers.meter);
}

static void on_rtcp_soon(const void *arg, unsigned ahead)
{
    const struct rtc_viewer *v = arg;

    if (ahead < 3) {
        viewer_rate_prefetch_feedback(v, ahead);
        return;
    }
    fetch(&v->worker, v->rate.gcc.delay.points);
    __builtin_prefetch(&v->layers.allowed_bps, 1);
    __builtin_prefetch(&v->layers.meter);
}

static const struct consumer_ops consumer_ops = {
    .on_soon = on_soon,
    .on_tracks = on_tracks,
    .on_ready = on_ready,
    .on_packets = on_packets,
    .on_end = on_end,
};

/* ---- the transport's callbacks ---------------------------------------------------------------------------------- */

static void on_connected(void *arg)
{
    struct rtc_viewer *v = arg;

    v->connected = true;
    v->connected_us = now_us(v);
    if (v->data)
        viewer_data_start(v->data);
    viewer_begin(v);
}

static void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct rtc_viewer *v = arg;

    router_detach(&v->consumer);
    pause_sending(v);
    v->connected = false;
    v->ops->on_closed(v->arg, why, detail);
}

static const struct rtc_transport_ops transport_ops = {
    .on_connected = on_connected,
    .on_rtcp = viewer_on_rtcp,
    .on_rtcp_soon = on_rtcp_soon,
    .on_closed = on_closed,
};

/* ---- life ---------------------------------------------------------------------------------------------------------- */

/* SSRCs of one association must differ (RFC 3550 s8.1): the low bits say which of the viewer's it is. */
static void init_track(struct viewer_track *t, const struct rtc_viewer_media *media, uint32_t ssrc)
{
    struct rtp_sender_cfg cfg = {
        .ssrc = ssrc,
        .first_seq = (uint16_t)random_u32(),
        .first_rtx_seq = (uint16_t)random_u32(),
        .first_ts = random_u32(),
        .two_byte_ext = media->two_byte_ext,
    };

    t->media = *media;
    t->codec = CODEC_NONE;
    for (size_t i = 0; i < media->n_payloads; i++)
        if (media->payloads[i].rtx_pt)
            cfg.rtx_ssrc = ssrc + 1;
    memcpy(cfg.ext_id, media->ext_id, sizeof(cfg.ext_id));
    rtp_sender_init(&t->sender, &cfg);
}

int rtc_viewer_create(struct rtc_viewer **out, const struct rtc_viewer_cfg *cfg)
{
    static const struct rtc_viewer_media none;
    struct rtc_viewer *v = calloc(1, sizeof(*v));
    uint32_t ssrc = (random_u32() & 0x7ffffff0) | 0x10;

    if (!v)
        return -1;
    v->ops = cfg->ops;
    v->arg = cfg->arg;
    v->worker = rtc_endpoint_worker(cfg->endpoint);
    v->consumer = (struct consumer){.ops = &consumer_ops, .kind = "whep", .viewers = 1, .patient = true};
    random_token(v->cname, RTC_CNAME_BYTES);
    init_track(&v->video, cfg->video ? cfg->video : &none, ssrc);
    init_track(&v->audio, cfg->audio ? cfg->audio : &none, ssrc + 2);
    timer_init(&v->pace, v->worker, viewer_on_pace);
    timer_init(&v->report, v->worker, viewer_on_report_due);
    viewer_layers_init(v);
    struct rtc_transport_cfg transport = {.ops = &transport_ops, .arg = v};
    if (viewer_rate_init(v) < 0 || rtc_transport_create(&v->transport, cfg->endpoint, &transport) < 0) {
        viewer_rate_fini(v);
        free(v);
        return -1;
    }
    *out = v;
    return 0;
}

void rtc_viewer_destroy(struct rtc_viewer **v)
{
    struct rtc_viewer *gone = *v;

    *v = NULL;
    if (!gone)
        return;
    router_detach(&gone->consumer);
    timer_stop(&gone->pace);
    timer_stop(&gone->report);
    viewer_layers_fini(gone);
    viewer_rate_fini(gone);
    rtp_sender_fini(&gone->video.sender);
    viewer_data_destroy(&gone->data);
    rtc_transport_destroy(&gone->transport);
    free(gone);
}

static void narrow(struct viewer_track *t, const struct rtc_viewer_media *answered)
{
    for (size_t i = 0; i < LEN(t->media.ext_id); i++)
        if (!answered || !answered->ext_id[i])
            t->media.ext_id[i] = t->sender.cfg.ext_id[i] = 0;
    for (size_t i = 0; i < t->media.n_payloads; i++) {
        struct rtc_payload *p = &t->media.payloads[i];
        bool rtx = false;
        for (size_t k = 0; answered && k < answered->n_payloads; k++) {
            if (answered->payloads[k].pt != p->pt)
                continue;
            rtx = answered->payloads[k].rtx_pt;
            p->red_pt = answered->payloads[k].red_pt;
        }
        p->rtx_pt = rtx ? p->rtx_pt : 0;
    }
}

int rtc_viewer_narrow(struct rtc_viewer *v, const struct rtc_viewer_media *audio, const struct rtc_viewer_media *video)
{
    narrow(&v->audio, audio);
    narrow(&v->video, video);
    viewer_rate_fini(v);
    return viewer_rate_init(v);
}

void rtc_viewer_play(struct rtc_viewer *v, struct router *router)
{
    router_attach(router, &v->consumer, 0);
}

int rtc_viewer_carry_data(struct rtc_viewer *v, uint16_t port, uint32_t message_max, bool active)
{
    struct viewer_data_cfg cfg = {
        .transport = v->transport, .worker = v->worker, .port = port, .message_max = message_max, .active = active};

    if (viewer_data_create(&v->data, &cfg) != 0)
        return -1;
    viewer_want(v);
    return 0;
}

/* ---- what it is ------------------------------------------------------------------------------------------------------ */

struct rtc_transport *rtc_viewer_transport(struct rtc_viewer *v)
{
    return v->transport;
}

static const struct viewer_track *track_of(const struct rtc_viewer *v, enum codec_kind kind)
{
    return kind == CODEC_KIND_AUDIO ? &v->audio : &v->video;
}

uint32_t rtc_viewer_ssrc(const struct rtc_viewer *v, enum codec_kind kind)
{
    return track_of(v, kind)->sender.cfg.ssrc;
}

uint32_t rtc_viewer_rtx_ssrc(const struct rtc_viewer *v, enum codec_kind kind)
{
    return track_of(v, kind)->sender.cfg.rtx_ssrc;
}

const struct track_set *rtc_viewer_tracks(const struct rtc_viewer *v)
{
    return v->consumer.router ? router_tracks(v->consumer.router) : NULL;
}

const char *rtc_viewer_cname(const struct rtc_viewer *v)
{
    return v->cname;
}

const char *rtc_viewer_state_name(enum rtc_viewer_state state)
{
    switch (state) {
    case RTC_VIEWER_WAITING: return "waiting for a keyframe";
    case RTC_VIEWER_CATCHING_UP: return "catching up";
    case RTC_VIEWER_LIVE: return "live";
    default: return "idle";
    }
}

void rtc_viewer_facts(const struct rtc_viewer *v, struct rtc_viewer_facts *out)
{
    const struct rtp_sender *reported = v->video.codec != CODEC_NONE ? &v->video.sender : &v->audio.sender;

    *out = (struct rtc_viewer_facts){
        .state = v->state,
        .connected = v->connected,
        .epoch = v->consumer.router ? v->epoch : 0,
        .video = v->video.codec,
        .audio = v->audio.codec,
        .first_packet_us = v->first_packet_us ? v->first_packet_us - v->connected_us : 0,
        .catch_up_us = v->catch_up_us,
        .sent = {v->video.sender.counters, v->audio.sender.counters},
        .rtt_us = reported->rtt_us,
        .lost_fraction = reported->lost_fraction,
        .layer = v->video.layer,
        .layers = v->layers.n,
        .target_bps = gcc_target_bps(&v->rate.gcc),
        .acked_bps = gcc_acked_bps(&v->rate.gcc),
        .path = gcc_state_name(&v->rate.gcc),
        .probes = v->rate.gcc.probe.clusters,
        .paced_us = viewer_rate_waited_us(v),
        .level = rtp_sender_level(&v->video.sender),
        .layer_switches = v->layers.switches,
        .pauses = v->layers.pauses,
        .thin = v->layers.thin,
        .skipped = rtp_sender_skipped(&v->video.sender),
        .keyframes_asked = v->keyframes_asked,
        .skips = v->skips,
        .bad_rtcp = v->bad_rtcp,
        .carries_data = v->data != NULL,
    };
    if (v->data)
        viewer_data_counters(v->data, &out->data);
}
