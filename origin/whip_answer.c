/* SPDX-License-Identifier: Apache-2.0
 * whip_answer.c - what of an offer we agree to, and the answer's text; see whip_priv.h. */
#include "origin/whip_priv.h"

#include "webrtc/sctp.h"

#include <string.h>

enum {
    FEEDBACK = SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR,
    EXTENSIONS = 1u << RTP_EXT_MID | 1u << RTP_EXT_AUDIO_LEVEL | 1u << RTP_EXT_VIDEO_ORIENTATION |
                 1u << RTP_EXT_PLAYOUT_DELAY | 1u << RTP_EXT_ABS_CAPTURE_TIME | 1u << RTP_EXT_DEPENDENCY_DESCRIPTOR,
    SIMULCAST_EXTENSIONS = 1u << RTP_EXT_RID | 1u << RTP_EXT_REPAIRED_RID,
    START_KBPS = 2500, /* where a browser begins to feel its way: else its upper layers stay off for seconds */
};

/* ---- What is agreed on ------------------------------------------------------------------------- */

/* The codec of a section; NULL: it is answered with port 0. */
static const struct sdp_codec *choose(const struct sdp_media *m)
{
    return sdp_media_usable(m, true) ? sdp_choose_first(m) : NULL;
}

/* RFC 8853, for the codecs whose simulcast browsers can send; each layer then is a stream of its own. */
static bool is_simulcast(const struct sdp_media *m, const struct sdp_codec *c)
{
    return m->n_rids > 1 && m->n_rids <= WHIP_LAYERS_MAX && codec_kind(c->codec) == CODEC_KIND_VIDEO &&
           sdp_extmap_id(m, RTP_EXT_RID);
}

static bool is_numbered(const struct sdp_media *m, const struct sdp_codec *c)
{
    return c->feedback & SDP_FB_TRANSPORT_CC && sdp_extmap_id(m, RTP_EXT_TRANSPORT_CC);
}

/* Without transport-wide feedback a publisher's bitrate is steered by REMB, which is estimated from its send times. */
static bool is_timed(const struct sdp_media *m, const struct sdp_codec *c)
{
    return !is_numbered(m, c) && c->feedback & SDP_FB_REMB && sdp_extmap_id(m, RTP_EXT_ABS_SEND_TIME) &&
           codec_kind(c->codec) == CODEC_KIND_VIDEO;
}

static uint32_t extensions_of(const struct sdp_media *m, const struct sdp_codec *c)
{
    return EXTENSIONS | (is_simulcast(m, c) ? SIMULCAST_EXTENSIONS : 0) |
           (is_numbered(m, c) ? 1u << RTP_EXT_TRANSPORT_CC : 0) | (is_timed(m, c) ? 1u << RTP_EXT_ABS_SEND_TIME : 0);
}

static void fill_track(struct whip_track_cfg *t, const struct sdp_media *m, const struct sdp_codec *c,
                       uint8_t index)
{
    *t = (struct whip_track_cfg){
        .facts = {.codec = c->codec, .clock_hz = c->clock_hz, .n_layers = 1, .profile = c->h264_profile},
        .index = index,
        .pt = c->pt,
        .rtx_pt = c->rtx_pt,
        .red_pt = c->red_pt,
        .ssrc = m->n_ssrcs ? m->ssrcs[0].ssrc : 0,
        .rtx_ssrc = m->n_ssrcs ? m->ssrcs[0].rtx_ssrc : 0,
        .nack = c->feedback & SDP_FB_NACK,
        .pli = c->feedback & SDP_FB_NACK_PLI,
    };
    if (codec_kind(c->codec) == CODEC_KIND_AUDIO)
        t->facts.channels = c->channels;
    for (enum rtp_ext_kind kind = RTP_EXT_UNKNOWN + 1; kind < RTP_EXT_KINDS; kind++)
        if (extensions_of(m, c) >> kind & 1)
            t->ext_id[kind] = sdp_extmap_id(m, kind);
    if (!is_simulcast(m, c))
        return;
    t->ssrc = t->rtx_ssrc = 0;
    t->n_rids = m->n_rids;
    t->facts.n_layers = (uint8_t)m->n_rids;
    memcpy(t->rids, m->rids, m->n_rids * sizeof(m->rids[0]));
}

int whip_agree(const struct sdp_offer *o, struct whip_media_cfg *out)
{
    *out = (struct whip_media_cfg){0};
    for (size_t i = 0; i < o->n_media && out->n_tracks < WHIP_TRACKS_MAX; i++) {
        const struct sdp_codec *c = choose(&o->media[i]);

        if (!c)
            continue;
        fill_track(&out->tracks[out->n_tracks], &o->media[i], c, (uint8_t)out->n_tracks);
        out->n_tracks++;
    }
    return out->n_tracks ? SDP_OK : SDP_ERR_CODEC;
}

const struct sdp_media *whip_agree_data(const struct whip *w, const struct sdp_offer *o)
{
    return rtc_endpoint_sctp(w->cfg.endpoint) ? sdp_offer_data(o) : NULL;
}

/* ---- The answer -------------------------------------------------------------------------------- */

static void answer_section(struct sdp_answer *a, size_t i, const struct sdp_codec *c)
{
    struct sdp_answer_media *m = &a->media[i];

    m->accepted = true;
    m->direction = SDP_RECVONLY;
    m->codecs[0] = c;
    m->n_codecs = 1;
    m->rtx = m->red = true;
    m->feedback = FEEDBACK | (is_numbered(&a->offer->media[i], c) ? SDP_FB_TRANSPORT_CC : 0) |
                  (is_timed(&a->offer->media[i], c) ? SDP_FB_REMB : 0);
    m->extensions = extensions_of(&a->offer->media[i], c);
    m->simulcast = is_simulcast(&a->offer->media[i], c);
    m->start_kbps = m->simulcast ? START_KBPS : 0;
}

int whip_answer_write(char *dst, size_t cap, struct whip_session *s)
{
    struct sdp_answer a;

    sdp_answer_init(&a, s->offer);
    for (size_t i = 0; i < s->offer->n_media; i++) {
        const struct sdp_codec *c = choose(&s->offer->media[i]);

        if (c)
            answer_section(&a, i, c);
        else if (s->data && &s->offer->media[i] == whip_agree_data(s->w, s->offer))
            a.media[i] = (struct sdp_answer_media){
                .accepted = true, .sctp_port = SCTP_PORT_DEFAULT, .message_max = WHIP_DATA_MESSAGE_MAX};
    }
    rtc_resource_answer(&s->resource, s->transport, &a);
    return sdp_answer_write(dst, cap, &a);
}
