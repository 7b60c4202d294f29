/* SPDX-License-Identifier: Apache-2.0
 * whep_counter.c - the counter-offer: what a player that has no offer, or none that goes with us, is offered instead
 * (406 with an SDP offer and Location; the player PATCHes its answer, 204); see whep_priv.h.
 *
 * What we can send is kept as the offer of a player that could receive all of it. A session is opened for that one as for
 * any other; its answer, with setup turned to actpass, is our offer. The player's answer must take the payloads
 * that the stream is played with now.
 * Source: draft-ietf-wish-whep, RFC 8829 s5.2 (offers), RFC 8842 (setup), RFC 2198 (RED). */
#include "edge/whep_priv.h"

#include <stdlib.h>
#include <string.h>

/* Its credentials are never used: the real ones come with the answer. */
static const char everything[] =
    "v=0\r\n"
    "o=- 1 1 IN IP4 127.0.0.1\r\n"
    "s=-\r\n"
    "t=0 0\r\n"
    "a=group:BUNDLE 0 1 2\r\n"
    "a=extmap-allow-mixed\r\n"
    "a=ice-ufrag:none\r\n"
    "a=ice-pwd:nonenonenonenonenonenone\r\n"
    "a=fingerprint:sha-256 00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00:00\r\n"
    "a=setup:actpass\r\n"
    "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"
    "c=IN IP4 0.0.0.0\r\n"
    "a=mid:0\r\n"
    "a=recvonly\r\n"
    "a=rtcp-mux\r\n"
    "a=rtcp-rsize\r\n"
    "a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\n"
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\n"
    "a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    "a=rtcp-fb:111 transport-cc\r\n"
    "a=rtpmap:111 opus/48000/2\r\n"
    "a=fmtp:111 minptime=10;useinbandfec=1;stereo=1;sprop-stereo=1\r\n"
    "a=rtpmap:63 red/48000/2\r\n" /* for who answers with it in front */
    "a=fmtp:63 111/111\r\n"
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97 98 99 102 103 104 105 106 107 45 46 108 109\r\n"
    "c=IN IP4 0.0.0.0\r\n"
    "a=mid:1\r\n"
    "a=recvonly\r\n"
    "a=rtcp-mux\r\n"
    "a=rtcp-rsize\r\n"
    "a=extmap:2 http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time\r\n"
    "a=extmap:3 urn:3gpp:video-orientation\r\n"
    "a=extmap:4 http://www.webrtc.org/experiments/rtp-hdrext/playout-delay\r\n"
    "a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n"
    "a=extmap:6 https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension\r\n"
#define VIDEO(pt, rtx, codec) \
    "a=rtpmap:" pt " " codec "/90000\r\na=rtcp-fb:" pt " ccm fir\r\na=rtcp-fb:" pt " nack\r\na=rtcp-fb:" pt " nack pli\r\n" \
    "a=rtcp-fb:" pt " transport-cc\r\n" \
    "a=rtpmap:" rtx " rtx/90000\r\na=fmtp:" rtx " apt=" pt "\r\n"
#define H264(pt, profile) "a=fmtp:" pt " level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=" profile "\r\n"
    VIDEO("96", "97", "VP8")
    VIDEO("98", "99", "VP9")
    VIDEO("102", "103", "H264") H264("102", "42e01f")
    VIDEO("104", "105", "H264") H264("104", "4d001f")
    VIDEO("106", "107", "H264") H264("106", "64001f")
    VIDEO("45", "46", "AV1")
    VIDEO("108", "109", "H265")
    "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n"
    "c=IN IP4 0.0.0.0\r\n"
    "a=mid:2\r\n"
    "a=sctp-port:5000\r\n";

struct sdp_offer *whep_counter_create(void)
{
    struct sdp_offer *o = malloc(sizeof(*o));

    if (o && sdp_offer_parse(o, everything, sizeof(everything) - 1) == SDP_OK && sdp_offer_check(o, false) == SDP_OK)
        return o;
    free(o);
    return NULL;
}

/* An answer's setup is "passive", of the same length: an ICE-lite server lets the player begin either way. */
void whep_counter_turn(char *text)
{
    static const char from[] = "a=setup:passive", to[] = "a=setup:actpass";

    _Static_assert(sizeof(from) == sizeof(to), "replaced in place");
    for (char *p = strstr(text, from); p; p = strstr(p, from))
        memcpy(p, to, sizeof(to) - 1);
}

/* ---- The player's answer ------------------------------------------------------------------------ */

static const struct sdp_media *section(const struct sdp_offer *o, enum sdp_kind kind)
{
    for (size_t i = 0; i < o->n_media; i++)
        if (o->media[i].kind == kind && sdp_media_usable(&o->media[i], false))
            return &o->media[i];
    return NULL;
}

static bool takes(const struct sdp_offer *o, const struct whep_section *ours, const struct track *track)
{
    enum sdp_kind kind = codec_kind(track->codec) == CODEC_KIND_VIDEO ? SDP_VIDEO : SDP_AUDIO; /* data: to nobody */
    const struct sdp_media *theirs = section(o, kind);
    int at = rtc_payload_find(&ours->media, track);

    if (at < 0)
        return true; /* it is not played to anyone */
    const struct sdp_codec *c = theirs ? sdp_codec_of_pt(theirs, ours->media.payloads[at].pt) : NULL;
    return c && c->codec == track->codec;
}

static bool takes_all(const struct whep_session *s, const struct sdp_offer *o)
{
    const struct track_set *tracks = rtc_viewer_tracks(s->viewer);
    struct whep_section audio, video;

    whep_agree(s->offer, &audio, &video);
    for (size_t i = 0; tracks && i < tracks->n; i++)
        if (!takes(o, codec_kind(tracks->v[i].codec) == CODEC_KIND_VIDEO ? &video : &audio, &tracks->v[i]))
            return false;
    return true;
}

static int narrow(struct whep_session *s, const struct sdp_offer *answer)
{
    struct whep_section audio, video;

    whep_agree(answer, &audio, &video);
    return rtc_viewer_narrow(s->viewer, audio.at >= 0 ? &audio.media : NULL, video.at >= 0 ? &video.media : NULL);
}

static int start(struct whep_session *s, const struct sdp_offer *answer)
{
    if (narrow(s, answer) < 0 || whep_agree_on_data(s, answer) < 0)
        return -1;
    return whep_session_start(s, answer);
}

int whep_counter_on_answer(struct whep_session *s, struct http_exchange *x)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    size_t len;
    const uint8_t *body = http_body(x, &len);
    int err = o ? sdp_offer_parse(o, (const char *)body, len) : SDP_ERR_ROOM, status = 0;

    if (err == SDP_OK && o->setup == SDP_SETUP_ACTPASS)
        err = SDP_ERR_SETUP; /* RFC 8842 s5.3: an answer decides */
    if (err == SDP_OK)
        err = sdp_offer_check(o, false);
    if (err == SDP_OK && !takes_all(s, o))
        err = SDP_ERR_CODEC;
    if (err != SDP_OK) {
        status = sdp_http_status(err);
        http_problem(x, status, "%s", sdp_error_text(err));
    } else if (start(s, o) < 0) {
        rtc_http_refuse(x, 503, rtc_http_retry_s(), "out of memory");
    } else {
        http_reply(x, 204, NULL, NULL, 0);
    }
    free(o);
    return status;
}
