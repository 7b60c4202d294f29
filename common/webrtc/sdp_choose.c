/* SPDX-License-Identifier: Apache-2.0
 * sdp_choose.c - what of an offer is for us: sections, payload types, H.264 profiles; and the words for what
 * is wrong. */
#include "webrtc/sdp.h"

#include <string.h>

/* ---- Errors ------------------------------------------------------------------------------------ */

const char *sdp_error_text(int err)
{
    switch ((enum sdp_err)err) {
    case SDP_OK:
        return "no error";
    case SDP_ERR_SIZE:
        return "the SDP is empty or too long";
    case SDP_ERR_TEXT:
        return "the SDP contains control characters";
    case SDP_ERR_SYNTAX:
        return "not a session description (v=, o=, m= lines)";
    case SDP_ERR_MEDIA:
        return "the SDP has no m-section, or too many";
    case SDP_ERR_RTPMAP:
        return "a payload type is out of range or defined twice, or an rtpmap, fmtp or rtcp-fb line is "
               "malformed";
    case SDP_ERR_FINGERPRINT:
        return "a=fingerprint is missing, malformed or of an unknown hash";
    case SDP_ERR_SETUP:
        return "a=setup is missing or unknown";
    case SDP_ERR_ICE:
        return "a=ice-ufrag or a=ice-pwd is missing or of a wrong length";
    case SDP_ERR_CANDIDATE:
        return "an a=candidate line is malformed";
    case SDP_ERR_EXTMAP:
        return "an a=extmap line is malformed or uses an id twice";
    case SDP_ERR_RID:
        return "an a=rid or a=simulcast line is malformed";
    case SDP_ERR_MID:
        return "a mid is malformed or used twice, or the BUNDLE group names a section that is not there";
    case SDP_ERR_SSRC:
        return "an a=ssrc or a=ssrc-group line is malformed";
    case SDP_ERR_BUNDLE:
        return "all media must be in one BUNDLE group";
    case SDP_ERR_RTCP_MUX:
        return "a=rtcp-mux is required";
    case SDP_ERR_PROTO:
        return "media must be UDP/TLS/RTP/SAVPF";
    case SDP_ERR_SECTIONS:
        return "at most one audio and one video section";
    case SDP_ERR_DIRECTION:
        return "no audio or video section of the right direction";
    case SDP_ERR_CODEC:
        return "no codec in common";
    case SDP_ERR_ROOM:
        return "the answer is too long";
    }
    return "unknown error";
}

int sdp_http_status(int err)
{
    return err == SDP_ERR_ROOM ? 500 : err <= SDP_ERR_BUNDLE ? 422 : 400;
}

/* ---- Sections ---------------------------------------------------------------------------------- */

bool sdp_media_usable(const struct sdp_media *m, bool publisher)
{
    enum sdp_direction wrong = publisher ? SDP_RECVONLY : SDP_SENDONLY;

    return (m->kind == SDP_AUDIO || m->kind == SDP_VIDEO) && !m->rejected && m->direction != wrong &&
           m->direction != SDP_INACTIVE;
}

const struct sdp_media *sdp_offer_data(const struct sdp_offer *o)
{
    for (size_t i = 0; i < o->n_media; i++) {
        const struct sdp_media *m = &o->media[i];

        if (m->kind == SDP_APPLICATION && !m->rejected && m->bundled && m->sctp_port &&
            strstr(m->proto, "/DTLS/SCTP") && strcmp(m->fmt, "webrtc-datachannel") == 0)
            return m;
    }
    return NULL;
}

static int check_media(const struct sdp_media *m, bool must_bundle)
{
    const char *rtp = strstr(m->proto, "RTP/SAVPF");

    if (!rtp || strncmp(m->proto, "TCP/", 4) == 0)
        return SDP_ERR_PROTO;
    if (!m->rtcp_mux)
        return SDP_ERR_RTCP_MUX;
    return must_bundle && !m->bundled ? SDP_ERR_BUNDLE : SDP_OK;
}

int sdp_offer_check(const struct sdp_offer *o, bool publisher)
{
    size_t n_audio = 0, n_video = 0;

    for (size_t i = 0; i < o->n_media; i++) {
        const struct sdp_media *m = &o->media[i];

        if (!sdp_media_usable(m, publisher))
            continue;
        int err = check_media(m, o->has_bundle || n_audio + n_video > 0);
        if (err)
            return err;
        n_audio += m->kind == SDP_AUDIO;
        n_video += m->kind == SDP_VIDEO;
    }
    if (n_audio > 1 || n_video > 1)
        return SDP_ERR_SECTIONS;
    return n_audio + n_video ? SDP_OK : SDP_ERR_DIRECTION;
}

uint8_t sdp_extmap_id(const struct sdp_media *m, enum rtp_ext_kind kind)
{
    for (size_t i = 0; i < m->n_extmaps; i++)
        if (m->extmaps[i].kind == kind)
            return m->extmaps[i].id;
    return 0;
}

const struct sdp_codec *sdp_codec_of_pt(const struct sdp_media *m, uint8_t pt)
{
    for (size_t i = 0; i < m->n_codecs; i++)
        if (m->codecs[i].pt == pt)
            return &m->codecs[i];
    return NULL;
}

/* ---- H.264 profiles ---------------------------------------------------------------------------- */

enum h264_profile {
    H264_UNKNOWN = 0,
    H264_CONSTRAINED_BASELINE,
    H264_BASELINE,
    H264_MAIN,
    H264_EXTENDED,
    H264_CONSTRAINED_HIGH,
    H264_HIGH,
    H264_HIGH_10,
    H264_HIGH_422,
    H264_HIGH_444,
    H264_PROFILES
};

/* RFC 6184 s8.1 table 5, and Constrained High of H.264 A.2.4.2: profile_idc, and which bits of profile-iop
 * must be what. */
static enum h264_profile h264_profile(uint32_t profile_level_id)
{
    static const struct {
        uint8_t idc, mask, iop;
        enum h264_profile profile;
    } table[] = {
        {0x42, 0x4f, 0x40, H264_CONSTRAINED_BASELINE}, {0x4d, 0x8f, 0x80, H264_CONSTRAINED_BASELINE},
        {0x58, 0xcf, 0xc0, H264_CONSTRAINED_BASELINE}, {0x42, 0x4f, 0x00, H264_BASELINE},
        {0x58, 0xcf, 0x80, H264_BASELINE},             {0x4d, 0xaf, 0x00, H264_MAIN},
        {0x58, 0xcf, 0x00, H264_EXTENDED},             {0x64, 0xff, 0x0c, H264_CONSTRAINED_HIGH},
        {0x64, 0xff, 0x00, H264_HIGH},                 {0x6e, 0xff, 0x00, H264_HIGH_10},
        {0x7a, 0xff, 0x00, H264_HIGH_422},             {0xf4, 0xff, 0x00, H264_HIGH_444},
    };
    uint8_t idc = (uint8_t)(profile_level_id >> 16), iop = (uint8_t)(profile_level_id >> 8);

    for (size_t i = 0; i < LEN(table); i++)
        if (table[i].idc == idc && (iop & table[i].mask) == table[i].iop)
            return table[i].profile;
    return H264_UNKNOWN;
}

bool sdp_h264_same_profile(uint32_t a, uint32_t b)
{
    enum h264_profile pa = h264_profile(a), pb = h264_profile(b);

    return pa == H264_UNKNOWN ? a >> 8 == b >> 8 : pa == pb;
}

/* Does a decoder of `decoder` play a stream of `stream` (H.264 A.2)? */
static bool h264_contains(uint32_t decoder, uint32_t stream)
{
#define P(x) (1u << H264_##x)
    static const unsigned plays[H264_PROFILES] = {
        [H264_CONSTRAINED_BASELINE] = P(CONSTRAINED_BASELINE),
        [H264_BASELINE] = P(CONSTRAINED_BASELINE) | P(BASELINE),
        [H264_MAIN] = P(CONSTRAINED_BASELINE) | P(MAIN),
        [H264_EXTENDED] = P(CONSTRAINED_BASELINE) | P(BASELINE) | P(MAIN) | P(EXTENDED),
        [H264_CONSTRAINED_HIGH] = P(CONSTRAINED_BASELINE) | P(CONSTRAINED_HIGH),
        [H264_HIGH] = P(CONSTRAINED_BASELINE) | P(MAIN) | P(CONSTRAINED_HIGH) | P(HIGH),
        [H264_HIGH_10] = P(CONSTRAINED_BASELINE) | P(MAIN) | P(CONSTRAINED_HIGH) | P(HIGH) | P(HIGH_10),
        [H264_HIGH_422] = P(CONSTRAINED_BASELINE) | P(MAIN) | P(CONSTRAINED_HIGH) | P(HIGH) | P(HIGH_10) |
                          P(HIGH_422),
        [H264_HIGH_444] = P(CONSTRAINED_BASELINE) | P(MAIN) | P(CONSTRAINED_HIGH) | P(HIGH) | P(HIGH_10) |
                          P(HIGH_422) | P(HIGH_444),
    };
#undef P
    enum h264_profile p = h264_profile(stream);

    return p != H264_UNKNOWN && plays[h264_profile(decoder)] >> p & 1;
}

/* ---- Payload types ----------------------------------------------------------------------------- */

/* How well it fits; 0: another codec. Mode 1 beats mode 0 only among payload types that fit alike. */
static unsigned fit(const struct sdp_codec *c, enum codec codec, uint32_t profile_level_id, uint8_t profile)
{
    if (c->codec != codec)
        return 0;
    if (codec != CODEC_H264)
        return c->profile == profile ? 2 : 1;
    unsigned points = sdp_h264_same_profile(c->h264_profile, profile_level_id) ? 6
                      : h264_contains(c->h264_profile, profile_level_id)       ? 4
                                                                               : 2;
    return points + (c->h264_packetization == 1);
}

const struct sdp_codec *sdp_choose(const struct sdp_media *m, enum codec codec,
                                   uint32_t h264_profile_level_id, uint8_t profile)
{
    const struct sdp_codec *best = NULL;
    unsigned best_fit = 0;

    for (size_t i = 0; i < m->n_codecs; i++) {
        unsigned points = fit(&m->codecs[i], codec, h264_profile_level_id, profile);

        if (points > best_fit) {
            best = &m->codecs[i];
            best_fit = points;
        }
    }
    return best;
}

const struct sdp_codec *sdp_choose_first(const struct sdp_media *m)
{
    enum codec_kind kind = m->kind == SDP_AUDIO ? CODEC_KIND_AUDIO : CODEC_KIND_VIDEO;

    for (size_t i = 0; i < m->n_codecs; i++) {
        const struct sdp_codec *c = &m->codecs[i];

        if (codec_kind(c->codec) == kind)
            return sdp_choose(m, c->codec, c->h264_profile, c->profile);
    }
    return NULL;
}
