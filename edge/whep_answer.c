/* SPDX-License-Identifier: Apache-2.0
 * whep_answer.c - what of an offer we agree to, and the answer's text; see whep_priv.h. */
#include "edge/whep_priv.h"

#include "webrtc/sctp.h"

#include <string.h>

/* Extensions of the cluster's packets that are passed on, and the capture time that each packet has. */
static const enum rtp_ext_kind extensions[] = {RTP_EXT_AUDIO_LEVEL, RTP_EXT_VIDEO_ORIENTATION,
                                               RTP_EXT_PLAYOUT_DELAY, RTP_EXT_DEPENDENCY_DESCRIPTOR,
                                               RTP_EXT_ABS_CAPTURE_TIME};

static bool has_mode_1(const struct sdp_media *m)
{
    for (size_t i = 0; i < m->n_codecs; i++)
        if (m->codecs[i].codec == CODEC_H264 && m->codecs[i].h264_packetization == 1)
            return true;
    return false;
}

static bool can_send(const struct sdp_media *m, const struct sdp_codec *c)
{
    if (c->codec == CODEC_H264 && c->h264_packetization != 1 && has_mode_1(m))
        return false; /* the cluster's packets are of mode 1 */
    return c->codec != CODEC_AAC &&
           codec_kind(c->codec) != CODEC_KIND_NONE; /* AAC has an Opus track beside it */
}

/* Browsers offer RED behind Opus, whoever wants it puts it first. */
static bool wants_red(const struct sdp_codec *c)
{
    return c->red_pt && c->red_first;
}

static bool usable(const struct sdp_media *m, enum sdp_kind kind)
{
    return m->kind == kind && !m->rejected && (m->direction == SDP_RECVONLY || m->direction == SDP_SENDRECV);
}

static void agree_on_section(const struct sdp_offer *o, enum sdp_kind kind, struct whep_section *s)
{
    memset(s, 0, sizeof(*s));
    s->at = -1;
    for (size_t i = 0; i < o->n_media && s->at < 0; i++)
        if (usable(&o->media[i], kind))
            s->at = (int)i;
    if (s->at < 0)
        return;
    const struct sdp_media *m = &o->media[s->at];
    for (size_t i = 0; i < m->n_codecs && s->media.n_payloads < RTC_PAYLOADS_MAX; i++) {
        const struct sdp_codec *c = &m->codecs[i];
        if (!can_send(m, c))
            continue;
        s->media.payloads[s->media.n_payloads++] = (struct rtc_payload){
            .codec = c->codec,
            .h264_profile = c->h264_profile,
            .pt = c->pt,
            .rtx_pt = wants_red(c) ? 0 : c->rtx_pt,
            .packetization = c->h264_packetization,
            .red_pt = wants_red(c) ? c->red_pt : 0,
        };
    }
    s->media.two_byte_ext = m->extmap_allow_mixed;
    for (size_t i = 0; i < LEN(extensions); i++)
        s->media.ext_id[extensions[i]] = sdp_extmap_id(m, extensions[i]);
    if (s->media.n_payloads == 0)
        s->at = -1;
}

/* Whether the section's packets may have this stamp, of which that feedback tells. With it no packet is sent twice as it was, so
 * what may be asked for again (video) must have RTX. */
static bool can_stamp(const struct sdp_offer *o, const struct whep_section *s, enum rtp_ext_kind kind, uint8_t feedback,
                      bool rtx)
{
    if (s->at < 0)
        return false;
    const struct sdp_media *m = &o->media[s->at];
    uint8_t id = sdp_extmap_id(m, kind);
    for (size_t i = 0; i < s->media.n_payloads; i++) {
        const struct sdp_codec *c = sdp_codec_of_pt(m, s->media.payloads[i].pt);
        if (!c || !(c->feedback & feedback) || (rtx && c->rtx_pt == 0))
            return false;
    }
    return id >= 1 && id <= 14; /* the one-byte form must be able to carry it */
}

static bool agree_on_stamp(const struct sdp_offer *o, struct whep_section *audio, struct whep_section *video,
                           enum rtp_ext_kind kind, uint8_t feedback)
{
    if (!can_stamp(o, video, kind, feedback, true))
        return false;
    video->media.ext_id[kind] = sdp_extmap_id(&o->media[video->at], kind);
    if (can_stamp(o, audio, kind, feedback, false))
        audio->media.ext_id[kind] = sdp_extmap_id(&o->media[audio->at], kind);
    return true;
}

void whep_agree(const struct sdp_offer *o, struct whep_section *audio, struct whep_section *video)
{
    agree_on_section(o, SDP_AUDIO, audio);
    agree_on_section(o, SDP_VIDEO, video);
    if (agree_on_stamp(o, audio, video, RTP_EXT_TRANSPORT_CC, SDP_FB_TRANSPORT_CC))
        return;
    (void)agree_on_stamp(o, audio, video, RTP_EXT_ABS_SEND_TIME, SDP_FB_REMB); /* what REMB is estimated from */
}

/* The payload that the stream's track is sent with, or -1. */
static int preferred(const struct rtc_viewer_media *m, const struct track_set *tracks, enum codec_kind kind)
{
    for (size_t i = 0; tracks && i < tracks->n; i++) {
        int at = codec_kind(tracks->v[i].codec) == kind ? rtc_payload_find(m, &tracks->v[i]) : -1;
        if (at >= 0)
            return at;
    }
    return -1;
}

static void answer_stamps(struct sdp_answer_media *m, const struct rtc_viewer_media *agreed, enum codec_kind kind)
{
    bool numbered = agreed->ext_id[RTP_EXT_TRANSPORT_CC], timed = agreed->ext_id[RTP_EXT_ABS_SEND_TIME];

    m->extensions |= (numbered ? UINT32_C(1) << RTP_EXT_TRANSPORT_CC : 0) | (timed ? UINT32_C(1) << RTP_EXT_ABS_SEND_TIME : 0);
    if (numbered)
        m->feedback |= SDP_FB_TRANSPORT_CC;
    else if (timed || kind == CODEC_KIND_VIDEO)
        m->feedback |= SDP_FB_REMB;
    if ((numbered || timed) && kind == CODEC_KIND_AUDIO)
        m->feedback &= (uint8_t)~SDP_FB_NACK; /* it has no RTX */
}

/* All payloads that a later epoch may need stay agreed on; the one of this epoch leads. */
static void answer_section(struct sdp_answer *a, const struct whep_section *s, int first,
                           const struct whep_session *session, enum codec_kind kind)
{
    if (s->at < 0)
        return;
    const struct sdp_media *offered = &a->offer->media[s->at];
    struct sdp_answer_media *m = &a->media[s->at];
    m->accepted = true;
    m->direction = SDP_SENDONLY;
    if (first >= 0)
        m->codecs[m->n_codecs++] = sdp_codec_of_pt(offered, s->media.payloads[first].pt);
    for (size_t i = 0; i < s->media.n_payloads && m->n_codecs < SDP_ANSWER_CODECS_MAX; i++)
        if ((int)i != first)
            m->codecs[m->n_codecs++] = sdp_codec_of_pt(offered, s->media.payloads[i].pt);
    m->red = session->counter;
    for (size_t i = 0; i < s->media.n_payloads; i++)
        m->red |= s->media.payloads[i].red_pt != 0;
    m->rtx = true;
    m->feedback = SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR;
    for (size_t i = 0; i < LEN(extensions); i++)
        m->extensions |= UINT32_C(1) << extensions[i];
    answer_stamps(m, &s->media, kind);
    m->ssrc = rtc_viewer_ssrc(session->viewer, kind);
    m->rtx_ssrc = rtc_viewer_rtx_ssrc(session->viewer, kind);
    m->msid_stream = "millrace";
    m->msid_track = kind == CODEC_KIND_AUDIO ? "audio" : "video";
}

int whep_answer_write(char *dst, size_t cap, struct whep_session *s, const struct track_set *tracks)
{
    struct whep_section audio, video;
    struct sdp_answer a;

    whep_agree(s->offer, &audio, &video);
    sdp_answer_init(&a, s->offer);
    answer_section(&a, &audio, preferred(&audio.media, tracks, CODEC_KIND_AUDIO), s, CODEC_KIND_AUDIO);
    answer_section(&a, &video, preferred(&video.media, tracks, CODEC_KIND_VIDEO), s, CODEC_KIND_VIDEO);
    if (video.at >= 0)
        memcpy(s->video_mid, s->offer->media[video.at].mid, sizeof(s->video_mid));
    for (size_t i = 0; i < s->offer->n_media; i++)
        a.media[i].cname = rtc_viewer_cname(s->viewer);
    const struct sdp_media *data = rtc_endpoint_sctp(s->w->cfg.endpoint) ? sdp_offer_data(s->offer) : NULL;
    if (data)
        a.media[data - s->offer->media] = (struct sdp_answer_media){
            .accepted = true, .sctp_port = SCTP_PORT_DEFAULT, .message_max = VIEWER_DATA_TAKES};
    rtc_resource_answer(&s->resource, rtc_viewer_transport(s->viewer), &a);
    return sdp_answer_write(dst, cap, &a);
}
