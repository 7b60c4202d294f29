/* SPDX-License-Identifier: Apache-2.0
 * whip_publisher.c - publishes a source by WHIP: H.264 and Opus, each publisher with a socket of its own.
 *
 * NACKs are answered with the very same packet; PLIs are counted only, the next keyframe is never far.
 * Source: RFC 9725. */
#include "base/random.h"
#include "codec/packetise.h"
#include "fetch.h"
#include "offer.h"
#include "pacer.h"
#include "thread.h"
#include "webrtc/endpoint.h"
#include "webrtc/sdp.h"
#include "webrtc/transport.h"
#include "wire/rtcp.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_write.h"

#include <stdlib.h>
#include <string.h>

enum {
    SENT_MAX = 512, /* packets kept for NACKs: 2 s of 2.5 Mbit/s */
    PAYLOAD_MAX = PACKETISE_PAYLOAD_DEFAULT_BYTES,
    REPORT_US = 1000000,
    DELETE_TIMEOUT_US = 250000,
};

struct sent {
    uint64_t index;
    uint16_t len; /* header and payload; 0: none */
    uint8_t bytes[RTP_HEADER_BYTES + PAYLOAD_MAX];
};

struct out_track {
    uint32_t ssrc, first_ts, hz;
    uint8_t pt;
    uint64_t index;  /* of the next packet */
    uint32_t packets, octets, last_ts;
    struct packetiser packetiser;
    struct sent *sent; /* SENT_MAX; video only */
};

struct whip {
    struct viewer v;
    struct fetch fetch;
    struct url session;
    bool has_session;
    struct timer timer; /* reports */
    struct rtc_endpoint *endpoint;
    struct rtc_transport *transport;
    struct out_track video, audio;
    struct pacer pacer;
};

static struct whip *whip_of(struct viewer *v)
{
    return container_of(v, struct whip, v);
}

/* ---- Media ------------------------------------------------------------------------------------------------------ */

static void send_sent(struct whip *p, const struct sent *s)
{
    (void)rtc_transport_send_rtp(p->transport, &(struct rtc_rtp){.index = s->index, .hdr = s->bytes,
                                                                 .hdr_len = RTP_HEADER_BYTES,
                                                                 .payload = s->bytes + RTP_HEADER_BYTES,
                                                                 .payload_len = s->len - (size_t)RTP_HEADER_BYTES});
}

static void send_packet(struct whip *p, struct out_track *t, const uint8_t *payload, size_t len, bool marker)
{
    struct sent one, *s = t->sent ? &t->sent[t->index % SENT_MAX] : &one;
    struct rtp_header h = {.ts_ticks = t->last_ts, .ssrc = t->ssrc, .seq = (uint16_t)t->index, .pt = t->pt,
                           .marker = marker};

    s->index = t->index++;
    if (rtp_header_write(s->bytes, RTP_HEADER_BYTES, &h) < 0)
        return;
    memcpy(s->bytes + RTP_HEADER_BYTES, payload, len);
    s->len = (uint16_t)(RTP_HEADER_BYTES + len);
    t->packets++;
    t->octets += (uint32_t)len;
    send_sent(p, s);
}

static void on_frame(void *arg, const struct media_frame *f, uint64_t round_us)
{
    struct whip *p = arg;
    const struct media_source *m = p->v.group->media;
    struct out_track *t = f->video ? &p->video : &p->audio;
    struct packetise_frame frame = {.data = f->data, .len = f->len, .keyframe = f->keyframe};
    uint8_t payload[PAYLOAD_MAX];
    bool last;

    if (f->video) {
        frame.params = m->params;
        frame.params_len = m->params_len;
    }
    t->last_ts = t->first_ts + (uint32_t)((round_us + f->pts_us) * t->hz / 1000000);
    if (packetise_begin(&t->packetiser, &frame) != CODEC_OK)
        return;
    for (size_t n; (n = packetise_next(&t->packetiser, payload, sizeof(payload), &last)) > 0;)
        send_packet(p, t, payload, n, last && f->video);
}

static void send_report(struct whip *p, const struct out_track *t)
{
    uint8_t bytes[256];
    struct writer w = writer_init(bytes, sizeof(bytes));

    if (t->packets == 0)
        return;
    rtcp_report_write(&w, &(struct rtcp_report){.sender = true, .ssrc = t->ssrc, .ts_ticks = t->last_ts,
                                                .ntp = ntp_of_unix_us(worker_unix_us(p->v.thread->worker)),
                                                .packets = t->packets, .octets = t->octets});
    rtcp_sdes_write(&w, &(struct rtcp_cname){.name = "load", .name_len = 4, .ssrc = t->ssrc});
    (void)rtc_transport_send_rtcp(p->transport, bytes, writer_len(&w));
}

static void on_nack(struct whip *p, const struct rtcp_packet *packet)
{
    struct rtcp_nack n;
    uint16_t seq;

    if (rtcp_nack_parse(&n, packet) != RTCP_OK || n.media_ssrc != p->video.ssrc)
        return;
    while (rtcp_nack_next(&n, &seq)) {
        const struct sent *s = &p->video.sent[seq % SENT_MAX];
        p->v.thread->tally.nacks++;
        if (s->len && (uint16_t)s->index == seq)
            send_sent(p, s);
    }
}

static void on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct whip *p = arg;
    struct rtcp_walk walk = rtcp_walk_init(pkt, len);
    struct rtcp_packet packet;

    (void)now_us;
    while (rtcp_walk_next(&walk, &packet) == 1) {
        if (packet.type == RTCP_RTPFB && packet.count == RTCP_RTPFB_NACK)
            on_nack(p, &packet);
        else if (packet.type == RTCP_PSFB && packet.count == RTCP_PSFB_PLI)
            p->v.thread->tally.plis++;
    }
}

static void on_rtp(void *arg, uint8_t *pkt, size_t len, uint64_t now_us)
{
    (void)arg, (void)pkt, (void)len, (void)now_us;
}

/* ---- Connecting --------------------------------------------------------------------------------------------------- */

static void on_connected(void *arg)
{
    struct whip *p = arg;
    struct worker *w = p->v.thread->worker;

    fetch_stop_timer(&p->fetch);
    viewer_joined(&p->v, worker_now_us(w));
    timer_start(&p->timer, REPORT_US);
    if (pacer_start(&p->pacer, w, p->v.group->media, p->v.group->plan->stamp_every, &p->v.thread->tally, on_frame, p))
        viewer_failed(&p->v, "out of memory");
}

static void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct whip *p = arg;

    (void)detail;
    viewer_failed(&p->v, rtc_close_name(why));
}

/* What the answer chose of our payload types; the extension that it may want is left out. */
static const char *take_answer(struct whip *p, const struct sdp_offer *answer)
{
    struct rtc_remote remote = {.ufrag = answer->ice_ufrag,
                                .pwd = answer->ice_pwd,
                                .fingerprint = answer->fingerprint,
                                .role = sdp_answer_role(answer),
                                .candidates = answer->candidates,
                                .n_candidates = answer->n_candidates};

    if (answer->n_candidates == 0)
        return "sdp: no usable candidate";
    return rtc_transport_start(p->transport, &remote) ? "out of memory" : NULL;
}

static void on_answer(void *arg, const struct http_answer *a)
{
    struct whip *p = arg;
    struct sdp_offer *answer = malloc(sizeof(*answer));
    const char *why = "out of memory";

    if (a->location[0] && url_resolve(&p->session, &p->fetch.url, a->location) == 0)
        p->has_session = true;
    if (answer)
        why = sdp_offer_parse(answer, a->body, a->body_len) ? "sdp: malformed" : take_answer(p, answer);
    free(answer);
    if (why)
        viewer_failed(&p->v, why);
}

static void on_late(void *arg)
{
    viewer_failed(&((struct whip *)arg)->v, "whip timeout");
}

static int write_offer(const struct whip *p, char text[OFFER_BYTES_MAX])
{
    size_t n;
    struct offer o = {.ufrag = rtc_transport_ufrag(p->transport), .pwd = rtc_transport_pwd(p->transport),
                      .fingerprint = rtc_endpoint_fingerprint(p->endpoint), .publish = true, .video = true,
                      .candidate = rtc_endpoint_candidates(p->endpoint, &n), .audio = p->v.group->media->has_audio,
                      .video_ssrc = p->video.ssrc, .audio_ssrc = p->audio.ssrc};

    if (n == 0)
        o.candidate = NULL;
    return offer_write(text, OFFER_BYTES_MAX, &o);
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct whip *p = container_of(t, struct whip, timer);

    (void)now_us;
    send_report(p, &p->video);
    send_report(p, &p->audio);
    timer_start(t, REPORT_US);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------ */

static int open_track(struct out_track *t, enum codec codec, uint8_t pt, bool keep)
{
    *t = (struct out_track){.ssrc = random_u32(), .first_ts = random_u32() >> 1, .hz = codec_clock_hz(codec), .pt = pt,
                        .index = random_u32() & 0x7fff};
    if (keep && !(t->sent = calloc(SENT_MAX, sizeof(*t->sent))))
        return -1;
    return packetiser_init(&t->packetiser, &(struct packetiser_cfg){.codec = codec});
}

static int open_rtc(struct whip *p, const struct addr *to)
{
    static const struct rtc_transport_ops ops = {
        .on_connected = on_connected, .on_rtp = on_rtp, .on_rtcp = on_rtcp, .on_closed = on_closed};
    struct load_thread *t = p->v.thread;
    struct rtc_endpoint_cfg endpoint = {.cert = t->shared.cert, .srtp = t->shared.srtp};
    struct rtc_transport_cfg transport = {.ops = &ops, .arg = p, .controlling = true};

    endpoint.listen.sa.sa_family = to->sa.sa_family;
    if (rtc_endpoint_open(&p->endpoint, t->worker, &endpoint))
        return -1;
    return rtc_transport_create(&p->transport, p->endpoint, &transport);
}

static int start(struct viewer *v)
{
    struct whip *p = whip_of(v);
    struct fetch_cfg cfg = {.v = v, .method = "POST", .content_type = "application/sdp", .accept = "application/sdp",
                            .name = "whip", .on_answer = on_answer, .on_late = on_late, .arg = p};
    char text[OFFER_BYTES_MAX];
    struct addr to;
    struct url url;
    int len;

    timer_init(&p->timer, v->thread->worker, on_due);
    if (viewer_url(v, &url, &to) || open_track(&p->video, CODEC_H264, OFFER_PT_H264, true) ||
        open_track(&p->audio, CODEC_OPUS, OFFER_PT_OPUS, false) || open_rtc(p, &to) || (len = write_offer(p, text)) < 0) {
        viewer_failed(v, "whip: cannot be set up");
        return -1;
    }
    fetch_init(&p->fetch, &cfg, &url, &to);
    fetch_start(&p->fetch, text, (size_t)len);
    return 0;
}

static void close_publisher(struct viewer *v, bool politely)
{
    struct whip *p = whip_of(v);
    const struct load_options *options = v->thread->options;

    timer_stop(&p->timer);
    pacer_stop(&p->pacer);
    fetch_close(&p->fetch);
    if (p->has_session && politely)
        http_delete(v->thread->worker, &p->session, &p->fetch.to, options->tls, options->bearer, DELETE_TIMEOUT_US);
    rtc_transport_destroy(&p->transport);
    free(p->video.sent);
    p->video.sent = NULL;
}

/* The endpoint may be in the middle of a batch when its transport closes. */
static void fini(struct viewer *v)
{
    rtc_endpoint_close(&whip_of(v)->endpoint);
}

struct viewer *whip_publisher_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_publisher, .fini = fini};
    struct whip *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
