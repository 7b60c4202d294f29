/* SPDX-License-Identifier: Apache-2.0
 * viewer_rtcp.c - a viewer's reports and feedback, both ways; see viewer.h. */
#include "webrtc/viewer_priv.h"

#include "base/writer.h"
#include "wire/rtcp.h"

#include <string.h>

enum {
    REPORT_FIRST_US = 250000, /* the second report: receivers need two to draw the line from time to timestamps */
    REPORT_US = 1050000,      /* at most; browsers take a second for video, RFC 3550 s6.2 would allow for more */
    REPORT_RIDE_US = 250000,  /* the last of it: a report leaves with a picture then, as a message of its own costs as much as a picture's */
    REPORT_BYTES = 2 * (28 + 12 + RTC_CNAME_BYTES), /* at most: two SR, two SDES */
    REPORT_BEAT_US = 50000,   /* reports of all viewers are due at its multiples */
    COMPOUND_MAX = 512,       /* bytes: two SR, two SDES */
    NACKED_MAX = 512,         /* of a datagram; it could name 6,000, each looked for in the cache. Who misses more asks again */
};

/* ---- out: sender reports ------------------------------------------------------------------------------- */

static void write_report(struct rtc_viewer *v, struct viewer_track *t, uint64_t now_us, struct writer *reports,
                         struct writer *names)
{
    struct rtcp_report sr;
    struct rtcp_cname name = {.name = v->cname, .name_len = strlen(v->cname), .ssrc = t->sender.cfg.ssrc};

    if (t->codec == CODEC_NONE || !rtp_sender_report(&t->sender, now_us, &sr))
        return;
    rtcp_report_write(reports, &sr);
    rtcp_sdes_write(names, &name);
}

void viewer_report_in(struct rtc_viewer *v, uint64_t delay_us)
{
    uint64_t now_us = worker_now_us(v->worker), due_us = now_us + delay_us;

    timer_start(&v->report, (due_us + REPORT_BEAT_US - 1) / REPORT_BEAT_US * REPORT_BEAT_US - now_us);
    v->report_from_us = delay_us > REPORT_RIDE_US ? due_us - REPORT_RIDE_US : UINT64_MAX;
}

/* One compound packet for both tracks: they are reported for the same moment. */
static void report(struct rtc_viewer *v, uint64_t now_us)
{
    uint8_t compound[COMPOUND_MAX], sdes[COMPOUND_MAX / 2];
    struct writer reports = writer_init(compound, sizeof(compound)), names = writer_init(sdes, sizeof(sdes));

    viewer_report_in(v, v->reports_sent++ == 0 ? REPORT_FIRST_US : REPORT_US);
    write_report(v, &v->video, now_us, &reports, &names);
    write_report(v, &v->audio, now_us, &reports, &names);
    writer_bytes(&reports, sdes, writer_len(&names));
    if (!reports.bad && !names.bad && writer_len(&reports))
        rtc_transport_send_rtcp(v->transport, compound, writer_len(&reports));
}

void viewer_on_report_due(struct timer *timer, uint64_t now_us)
{
    struct rtc_viewer *v = container_of(timer, struct rtc_viewer, report);

    if (v->state == RTC_VIEWER_LIVE)
        report(v, now_us);
}

void viewer_report_along(struct rtc_viewer *v, uint64_t now_us)
{
    if (rtc_transport_rtcp_joins(v->transport, REPORT_BYTES))
        report(v, now_us);
}

/* ---- in: what the viewer reports and asks for ------------------------------------------------------------- */

static struct viewer_track *track_of_ssrc(struct rtc_viewer *v, uint32_t ssrc)
{
    if (ssrc == v->video.sender.cfg.ssrc)
        return &v->video;
    return ssrc == v->audio.sender.cfg.ssrc ? &v->audio : NULL;
}

static int on_report(struct rtc_viewer *v, const struct rtcp_packet *p, uint64_t now_us)
{
    struct rtcp_report r;
    int err = rtcp_report_parse(&r, p);

    for (uint8_t i = 0; err == RTCP_OK && i < r.block_count; i++) {
        struct viewer_track *t = track_of_ssrc(v, r.blocks[i].ssrc);
        if (!t)
            continue;
        rtp_sender_on_report(&t->sender, &r.blocks[i], now_us);
        if (t == &v->video)
            viewer_rate_on_loss(v, r.blocks[i].lost_fraction, now_us);
    }
    return err;
}

/* nacked: numbers asked for in this datagram so far. */
static int on_nack(struct rtc_viewer *v, const struct rtcp_packet *p, unsigned *nacked, uint64_t now_us)
{
    struct rtcp_nack nack;
    int err = rtcp_nack_parse(&nack, p);
    struct viewer_track *t = err == RTCP_OK ? track_of_ssrc(v, nack.media_ssrc) : NULL;
    uint16_t seq;

    while (t && v->consumer.router && *nacked < NACKED_MAX && rtcp_nack_next(&nack, &seq)) {
        ++*nacked;
        viewer_rate_resend(v, t, seq, now_us);
    }
    if (t == &v->video)
        viewer_layers_on_nack(v, now_us);
    return err;
}

static void need_keyframe(struct rtc_viewer *v, uint32_t media_ssrc)
{
    if (media_ssrc != v->video.sender.cfg.ssrc)
        return;
    v->keyframes_asked++;
    if (v->consumer.router && v->video.codec != CODEC_NONE && v->state != RTC_VIEWER_IDLE && !viewer_layers_pauses(v))
        router_need_keyframe(v->consumer.router, v->video.track, viewer_layers_needed(v));
}

static int on_pli(struct rtc_viewer *v, const struct rtcp_packet *p)
{
    struct rtcp_pli pli;
    int err = rtcp_pli_parse(&pli, p);

    if (err == RTCP_OK)
        need_keyframe(v, pli.media_ssrc);
    return err;
}

static int on_fir(struct rtc_viewer *v, const struct rtcp_packet *p)
{
    struct rtcp_fir fir;
    int err = rtcp_fir_parse(&fir, p);
    uint32_t ssrc;
    uint8_t command;

    while (err == RTCP_OK && rtcp_fir_next(&fir, &ssrc, &command))
        need_keyframe(v, ssrc);
    return err;
}

static int on_packet(struct rtc_viewer *v, const struct rtcp_packet *p, unsigned *nacked, uint64_t now_us)
{
    switch (p->type) {
    case RTCP_RR:
    case RTCP_SR: return on_report(v, p, now_us);
    case RTCP_RTPFB:
        if (p->count == RTCP_RTPFB_TWCC)
            return viewer_rate_on_twcc(v, p, now_us);
        return p->count == RTCP_RTPFB_NACK ? on_nack(v, p, nacked, now_us) : RTCP_OK;
    case RTCP_PSFB:
        if (p->count == RTCP_PSFB_PLI)
            return on_pli(v, p);
        if (p->count == RTCP_PSFB_AFB)
            return viewer_rate_on_remb(v, p);
        return p->count == RTCP_PSFB_FIR ? on_fir(v, p) : RTCP_OK;
    default: return RTCP_OK;
    }
}

void viewer_on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct rtc_viewer *v = arg;
    struct rtcp_walk walk = rtcp_walk_init(pkt, len);
    struct rtcp_packet p;
    unsigned nacked = 0;

    if (rtcp_compound_check(pkt, len, true) != RTCP_OK) {
        v->bad_rtcp++;
        return;
    }
    while (rtcp_walk_next(&walk, &p) > 0)
        if (on_packet(v, &p, &nacked, now_us) != RTCP_OK)
            v->bad_rtcp++;
}
