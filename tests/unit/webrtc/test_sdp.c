/* SPDX-License-Identifier: Apache-2.0
 * Offers as browsers, OBS, GStreamer and Firefox write them, damaged ones, and the answers to them. */
#include "webrtc/sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Helpers ----------------------------------------------------------------------------------- */

/* Bytes of exactly this size on the heap, without NUL: a parser that reads one too many is caught. */
static char *exact(const char *text, size_t len)
{
    char *copy = malloc(len ? len : 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    return copy;
}

static int parse(struct sdp_offer *o, const char *text)
{
    char *bytes = exact(text, strlen(text));
    int err = sdp_offer_parse(o, bytes, strlen(text));

    free(bytes);
    return err;
}

static char *read_fixture(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), FIXTURES "/%s", name);
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    char *text = calloc(1, 32768);
    assert_non_null(text);
    assert_true(fread(text, 1, 32767, f) > 0);
    fclose(f);
    return text;
}

static struct sdp_offer *offer_of(const char *fixture)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    char *text = read_fixture(fixture);

    assert_non_null(o);
    assert_int_equal(parse(o, text), SDP_OK);
    free(text);
    return o;
}

/* ---- Real offers ------------------------------------------------------------------------------- */

struct expect {
    const char *fixture;
    bool publisher;
    enum sdp_setup setup;
    bool trickle, has_bundle;
    size_t n_media, n_candidates, n_ignored;
    /* the audio section, the video section */
    size_t audio, video;
    const char *mid[2];
    enum sdp_direction direction;
    size_t n_codecs[2], n_ssrcs[2], n_rids;
    enum codec first_video;
    uint8_t first_video_pt, first_video_rtx;
    uint8_t video_feedback;
    uint8_t mid_id[2], twcc_id[2]; /* header extensions */
    bool opus_stereo, opus_fec;
};

#define ALL_FB (SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_TRANSPORT_CC | SDP_FB_REMB)

static const struct expect expects[] = {
    {.fixture = "chromium_whip.sdp", .publisher = true, .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .n_ignored = 4, .audio = 0, .video = 1, .mid = {"0", "1"},
     .direction = SDP_SENDONLY, .n_codecs = {1, 10}, .n_ssrcs = {1, 1}, .first_video = CODEC_VP8,
     .first_video_pt = 96, .first_video_rtx = 97, .video_feedback = ALL_FB, .mid_id = {4, 4},
     .twcc_id = {3, 3}, .opus_fec = true},
    {.fixture = "chromium_whip_simulcast.sdp", .publisher = true, .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .audio = 0, .video = 1, .mid = {"0", "1"},
     .direction = SDP_SENDONLY, .n_codecs = {1, 10}, .n_ssrcs = {1, 0}, .n_rids = 3, .first_video = CODEC_VP8,
     .first_video_pt = 96, .first_video_rtx = 97, .video_feedback = ALL_FB, .mid_id = {4, 4},
     .twcc_id = {3, 3}, .opus_fec = true},
    {.fixture = "chromium_whep.sdp", .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .n_ignored = 4, .audio = 0, .video = 1, .mid = {"0", "1"},
     .direction = SDP_RECVONLY, .n_codecs = {1, 15}, .first_video = CODEC_VP8,
     .first_video_pt = 96, .first_video_rtx = 97, .video_feedback = ALL_FB, .mid_id = {4, 4},
     .twcc_id = {3, 3}, .opus_fec = true},
    {.fixture = "obs_whip.sdp", .publisher = true, .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .audio = 0, .video = 1, .mid = {"0", "1"},
     .direction = SDP_SENDONLY, .n_codecs = {1, 1}, .n_ssrcs = {1, 1}, .first_video = CODEC_H264,
     .first_video_pt = 96, .first_video_rtx = 97,
     .video_feedback = SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_REMB, .opus_stereo = true, .opus_fec = true},
    {.fixture = "gstreamer_whip.sdp", .publisher = true, .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .audio = 1, .video = 0, .mid = {"audio1", "video0"},
     .direction = SDP_SENDONLY, .n_codecs = {1, 1}, .n_ssrcs = {1, 1}, .first_video = CODEC_H264,
     .first_video_pt = 96, .first_video_rtx = 97,
     .video_feedback = SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_TRANSPORT_CC,
     .twcc_id = {0, 1}},
    {.fixture = "firefox_whep.sdp", .setup = SDP_SETUP_ACTPASS, .trickle = true,
     .has_bundle = true, .n_media = 2, .n_candidates = 1, .n_ignored = 3, .audio = 0, .video = 1,
     .mid = {"0", "1"}, .direction = SDP_RECVONLY, .n_codecs = {1, 4}, .n_ssrcs = {1, 1},
     .first_video = CODEC_VP8, .first_video_pt = 120, .first_video_rtx = 124, .video_feedback = ALL_FB,
     .mid_id = {3, 3}, .twcc_id = {0, 7}, .opus_stereo = true, .opus_fec = true},
};

static void check_section(const struct expect *e, const struct sdp_media *m, int which)
{
    assert_int_equal(m->kind, which ? SDP_VIDEO : SDP_AUDIO);
    assert_string_equal(m->mid, e->mid[which]);
    assert_int_equal(m->direction, e->direction);
    assert_int_equal(m->n_codecs, e->n_codecs[which]);
    assert_int_equal(m->n_ssrcs, e->n_ssrcs[which]);
    assert_int_equal(sdp_extmap_id(m, RTP_EXT_MID), e->mid_id[which]);
    assert_int_equal(sdp_extmap_id(m, RTP_EXT_TRANSPORT_CC), e->twcc_id[which]);
    assert_true(m->rtcp_mux);
    assert_true(m->bundled);
    assert_false(m->rejected);
}

static void offers_of_real_clients_are_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(expects); i++) {
        const struct expect *e = &expects[i];
        struct sdp_offer *o = offer_of(e->fixture);
        const struct sdp_media *audio = &o->media[e->audio], *video = &o->media[e->video];

        print_message("%s\n", e->fixture);
        assert_int_equal(sdp_offer_check(o, e->publisher), SDP_OK);
        assert_int_equal(sdp_offer_check(o, !e->publisher), SDP_ERR_DIRECTION);
        assert_int_equal(o->setup, e->setup);
        assert_int_equal(o->ice_trickle, e->trickle);
        assert_int_equal(o->has_bundle, e->has_bundle);
        assert_int_equal(o->n_media, e->n_media);
        assert_int_equal(o->n_candidates, e->n_candidates);
        assert_int_equal(o->n_candidates_ignored, e->n_ignored);
        assert_int_equal(o->fingerprint.len, 32);
        assert_string_equal(o->fingerprint.hash, "sha-256");
        assert_true(strlen(o->ice_ufrag) >= 4 && strlen(o->ice_pwd) >= 22);
        check_section(e, audio, 0);
        check_section(e, video, 1);
        assert_int_equal(audio->codecs[0].codec, CODEC_OPUS);
        assert_int_equal(audio->codecs[0].clock_hz, 48000);
        assert_int_equal(audio->codecs[0].channels, 2);
        assert_int_equal(audio->codecs[0].stereo, e->opus_stereo);
        assert_int_equal(audio->codecs[0].fec, e->opus_fec);
        assert_int_equal(video->codecs[0].codec, e->first_video);
        assert_int_equal(video->codecs[0].pt, e->first_video_pt);
        assert_int_equal(video->codecs[0].rtx_pt, e->first_video_rtx);
        assert_int_equal(video->codecs[0].feedback, e->video_feedback);
        assert_int_equal(video->n_rids, e->n_rids);
        free(o);
    }
}

static void simulcast_layers_keep_their_order(void **state)
{
    struct sdp_offer *o = offer_of("chromium_whip_simulcast.sdp");

    (void)state;
    assert_string_equal(o->media[1].rids[0], "q");
    assert_string_equal(o->media[1].rids[1], "h");
    assert_string_equal(o->media[1].rids[2], "f");
    free(o);
}

static void the_rtx_source_is_joined_to_its_own(void **state)
{
    struct sdp_offer *o = offer_of("chromium_whip.sdp");

    (void)state;
    assert_int_equal(o->media[1].ssrcs[0].ssrc, 2110274981u);
    assert_int_equal(o->media[1].ssrcs[0].rtx_ssrc, 3403482786u);
    assert_string_equal(o->media[1].cname, "uYUaPjHI2L0NVRCd");
    free(o);
}

/* ---- Damaged offers ---------------------------------------------------------------------------- */

#define FP \
    "a=fingerprint:sha-256 6A:1F:0C:95:7E:B3:42:D8:21:9C:5A:F0:64:8B:17:3E:" \
    "D5:72:A9:0B:C6:38:E1:4D:90:2F:7B:B4:5C:86:13:EA\r\n"
#define AUDIO \
    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n" \
    "a=rtpmap:111 opus/48000/2\r\na=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:1 cname:x\r\n"
#define VIDEO \
    "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n" \
    "a=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;profile-level-id=42e01f\r\n" \
    "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rid:a send\r\na=rid:b send\r\na=simulcast:send a;b\r\na=ssrc-group:FID 5 6\r\n"

static const char base[] =
    "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:abcd\r\n"
    "a=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\n" FP AUDIO VIDEO;

struct damage {
    const char *name, *find, *put;
    int parse_err, check_err, http;
};

static const struct damage damages[] = {
    {"the offer as it should be", "", "", SDP_OK, SDP_OK, 400},
    {"no version line", "v=0\r\n", "", SDP_ERR_SYNTAX, 0, 400},
    {"another version", "v=0", "v=1", SDP_ERR_SYNTAX, 0, 400},
    {"no origin line", "o=- 1 2 IN IP4 127.0.0.1\r\n", "", SDP_ERR_SYNTAX, 0, 400},
    {"a line without =", "s=-", "hello", SDP_ERR_SYNTAX, 0, 400},
    {"a control character", "s=-", "s=\x01", SDP_ERR_TEXT, 0, 400},
    {"HTML instead", base, "<html></html>", SDP_ERR_SYNTAX, 0, 400},
    {"no media", AUDIO VIDEO, "", SDP_ERR_MEDIA, 0, 400},
    {"nine sections", VIDEO, AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO AUDIO, SDP_ERR_MEDIA, 0, 400},
    {"an m-line without formats", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio 9 UDP/TLS/RTP/SAVPF",
     SDP_ERR_SYNTAX, 0, 400},
    {"an m-line cut short", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "m=audio", SDP_ERR_SYNTAX, 0, 400},
    {"a payload type that is no number", "SAVPF 111", "SAVPF opus", SDP_ERR_RTPMAP, 0, 400},
    {"a payload type of 128", "rtpmap:111", "rtpmap:128", SDP_ERR_RTPMAP, 0, 400},
    {"a payload type defined twice", "a=rtpmap:97 rtx", "a=rtpmap:96 rtx", SDP_ERR_RTPMAP, 0, 400},
    {"an rtpmap without clock", "opus/48000/2", "opus", SDP_ERR_RTPMAP, 0, 400},
    {"an rtpmap with clock 0", "opus/48000/2", "opus/0/2", SDP_ERR_RTPMAP, 0, 400},
    {"RTX without apt", "a=fmtp:97 apt=96", "a=fmtp:97 rtx-time=3000", SDP_ERR_RTPMAP, 0, 400},
    {"a profile that is no hex", "42e01f", "42x01f", SDP_ERR_RTPMAP, 0, 400},
    {"a profile too long", "42e01f", "42e01f00", SDP_ERR_RTPMAP, 0, 400},
    {"no fingerprint", FP, "", SDP_ERR_FINGERPRINT, 0, 400},
    {"a fingerprint too short", ":13:EA", "", SDP_ERR_FINGERPRINT, 0, 400},
    {"a fingerprint of MD5", "sha-256", "md5", SDP_ERR_FINGERPRINT, 0, 400},
    {"no setup", "a=setup:actpass\r\n", "", SDP_ERR_SETUP, 0, 400},
    {"setup holdconn", "setup:actpass", "setup:holdconn", SDP_ERR_SETUP, 0, 400},
    {"no ufrag", "a=ice-ufrag:abcd\r\n", "", SDP_ERR_ICE, 0, 400},
    {"a ufrag of three", "ufrag:abcd", "ufrag:abc", SDP_ERR_ICE, 0, 400},
    {"a pwd too short", "ghijkl", "ghijk", SDP_ERR_ICE, 0, 400},
    {"a candidate cut short", "a=mid:0", "a=mid:0\r\na=candidate:1 1 udp 1", SDP_ERR_CANDIDATE, 0, 400},
    {"a candidate with port 65536", "a=mid:0", "a=mid:0\r\na=candidate:1 1 udp 1 10.0.0.1 65536 typ host",
     SDP_ERR_CANDIDATE, 0, 400},
    {"an mDNS candidate", "a=mid:0", "a=mid:0\r\na=candidate:1 1 udp 1 x.local 5 typ host", SDP_OK, SDP_OK,
     400},
    {"extension id 0", "extmap:1", "extmap:0", SDP_ERR_EXTMAP, 0, 400},
    {"extension id 15", "extmap:1", "extmap:15", SDP_ERR_EXTMAP, 0, 400},
    {"extension id 256", "extmap:1", "extmap:256", SDP_ERR_EXTMAP, 0, 400},
    {"an extension id used twice", "a=ssrc:1", "a=extmap:1 urn:x\r\na=ssrc:1", SDP_ERR_EXTMAP, 0, 400},
    {"a rid with a forbidden character", "rid:a send", "rid:a! send", SDP_ERR_RID, 0, 400},
    {"a rid without direction", "rid:a send", "rid:a", SDP_ERR_RID, 0, 400},
    {"simulcast of an undeclared rid", "send a;b", "send a;c", SDP_ERR_RID, 0, 400},
    {"simulcast of one rid twice", "send a;b", "send a;a", SDP_ERR_RID, 0, 400},
    {"simulcast with an alternative and a pause", "send a;b", "recv x send a,b;~b", SDP_OK, SDP_OK, 400},
    {"a mid used twice", "a=mid:1", "a=mid:0", SDP_ERR_MID, 0, 400},
    {"a BUNDLE group of a section that is not there", "BUNDLE 0 1", "BUNDLE 0 1 2", SDP_ERR_MID, 0, 400},
    {"an SSRC that is no number", "ssrc:1", "ssrc:one", SDP_ERR_SSRC, 0, 400},
    {"an SSRC of 33 bits", "ssrc:1 ", "ssrc:4294967296 ", SDP_ERR_SSRC, 0, 400},
    {"a group of one", "FID 5 6", "FID 5", SDP_ERR_SSRC, 0, 400},
    {"a group of itself", "FID 5 6", "FID 5 5", SDP_ERR_SSRC, 0, 400},
    {"no BUNDLE", "a=group:BUNDLE 0 1\r\n", "", SDP_OK, SDP_ERR_BUNDLE, 422},
    {"half a BUNDLE", "BUNDLE 0 1", "BUNDLE 0", SDP_OK, SDP_ERR_BUNDLE, 422},
    {"no rtcp-mux", "a=rtcp-mux\r\na=rtpmap:111", "a=rtpmap:111", SDP_OK, SDP_ERR_RTCP_MUX, 422},
    {"plain RTP", "m=audio 9 UDP/TLS/RTP/SAVPF", "m=audio 9 RTP/AVP", SDP_OK, SDP_ERR_PROTO, 422},
    {"two video sections", "m=audio", "m=video", SDP_OK, SDP_ERR_SECTIONS, 422},
    {"a WHEP offer sent to WHIP",
     "a=sendonly\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\n"
     "a=extmap:1 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=ssrc:1 cname:x\r\n"
     "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=mid:1\r\na=sendonly",
     "a=recvonly\r\na=rtcp-mux\r\nm=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=recvonly", SDP_OK,
     SDP_ERR_DIRECTION, 422},
    {"a data channel beside", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0",
     "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0", SDP_OK, SDP_OK, 400},
};

static char *damaged(const struct damage *d)
{
    const char *at = strstr(base, d->find);
    char *text = malloc(sizeof(base) + strlen(d->put) + 4096);

    assert_non_null(at);
    assert_non_null(text);
    sprintf(text, "%.*s%s%s", (int)(at - base), base, d->put, at + strlen(d->find));
    return text;
}

static void each_damage_is_named(void **state)
{
    struct sdp_offer *o = malloc(sizeof(*o));

    (void)state;
    assert_non_null(o);
    for (size_t i = 0; i < LEN(damages); i++) {
        const struct damage *d = &damages[i];
        char *text = damaged(d);
        int err = parse(o, text);

        print_message("%s: %s\n", d->name, sdp_error_text(err));
        assert_int_equal(err, d->parse_err);
        if (!err) {
            err = sdp_offer_check(o, true);
            assert_int_equal(err, d->check_err);
        }
        if (err)
            assert_int_equal(sdp_http_status(err), d->http);
        assert_true(strlen(sdp_error_text(err)) > 5);
        free(text);
    }
    free(o);
}

static void size_and_nul_are_checked_first(void **state)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    char *big = malloc(SDP_BYTES_MAX + 1);
    char line[SDP_LINE_MAX + 8];

    (void)state;
    assert_non_null(o);
    assert_non_null(big);
    memset(big, 'a', SDP_BYTES_MAX + 1);
    assert_int_equal(sdp_offer_parse(o, big, SDP_BYTES_MAX + 1), SDP_ERR_SIZE);
    assert_int_equal(sdp_offer_parse(o, big, 0), SDP_ERR_SIZE);
    assert_int_equal(sdp_offer_parse(o, "v=0\r\n\0s=-", 9), SDP_ERR_TEXT);
    memset(line, 'x', sizeof(line));
    memcpy(line, "s=", 2);
    assert_int_equal(sdp_offer_parse(o, line, sizeof(line)), SDP_ERR_SIZE);
    free(big);
    free(o);
}

static void every_prefix_of_an_offer_parses_or_fails_cleanly(void **state)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    char *text = read_fixture("chromium_whip.sdp");
    size_t len = strlen(text);

    (void)state;
    assert_non_null(o);
    for (size_t n = 1; n < len; n += 7) {
        char *bytes = exact(text, n);
        int err = sdp_offer_parse(o, bytes, n);
        if (!err)
            (void)!sdp_offer_check(o, true);
        free(bytes);
    }
    free(text);
    free(o);
}

/* ---- H.264 profiles ---------------------------------------------------------------------------- */

static void profiles_are_compared_as_rfc_6184_table_5_says(void **state)
{
    static const struct {
        uint32_t a, b;
        bool same;
    } rows[] = {
        {0x42e01f, 0x42c01f, true},  /* Constrained Baseline, two spellings */
        {0x42e01f, 0x42e034, true},  /* levels do not count */
        {0x42e01f, 0x4d801f, true},  /* Main with constraint_set1: also Constrained Baseline */
        {0x42e01f, 0x42001f, false}, /* Baseline */
        {0x4d001f, 0x4d401f, true},  /* Main */
        {0x4d001f, 0x64001f, false},
        {0x64001f, 0x640c1f, false}, /* High, Constrained High */
        {0x640028, 0x64001f, true},
        {0xf4001f, 0xf40028, true},
        {0x7b001f, 0x7b0028, true},  /* unknown, but the same */
        {0x7b001f, 0x7c001f, false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_int_equal(sdp_h264_same_profile(rows[i].a, rows[i].b), rows[i].same);
}

static void the_payload_type_fits_the_stream(void **state)
{
    static const struct {
        const char *fixture;
        enum codec codec;
        uint32_t h264;
        uint8_t profile;
        int pt; /* -1: none */
    } rows[] = {
        {"chromium_whep.sdp", CODEC_H264, 0x42c01f, 0, 108}, /* Constrained Baseline, mode 1 */
        {"chromium_whep.sdp", CODEC_H264, 0x42001f, 0, 102},
        {"chromium_whep.sdp", CODEC_H264, 0x4d401f, 0, 116}, /* Main */
        {"chromium_whep.sdp", CODEC_H264, 0x640028, 0, 41},  /* High is not offered: High 4:4:4 contains it */
        {"firefox_whep.sdp", CODEC_H264, 0x640028, 0, 126},
          /* nothing contains it: mode 1 of what there is */
        {"chromium_whep.sdp", CODEC_VP8, 0, 0, 96},
        {"chromium_whep.sdp", CODEC_VP9, 0, 0, 98},
        {"chromium_whep.sdp", CODEC_VP9, 0, 2, 100},
        {"chromium_whep.sdp", CODEC_AV1, 0, 0, 45},
        {"chromium_whep.sdp", CODEC_H265, 0, 1, -1},
        {"firefox_whep.sdp", CODEC_AV1, 0, 0, -1},
        {"firefox_whep.sdp", CODEC_OPUS, 0, 0, -1}, /* it is in the other section */
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct sdp_offer *o = offer_of(rows[i].fixture);
        const struct sdp_codec *c = sdp_choose(&o->media[1], rows[i].codec, rows[i].h264, rows[i].profile);

        assert_int_equal(c ? c->pt : -1, rows[i].pt);
        free(o);
    }
}

static void the_first_codec_prefers_packetization_mode_1(void **state)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    struct damage d = {.find = "m=video 9 UDP/TLS/RTP/SAVPF 96 97",
                       .put = "m=video 9 UDP/TLS/RTP/SAVPF 98 96 97\r\na=rtpmap:98 H264/90000\r\n"
                              "a=fmtp:98 profile-level-id=42c00d"};
    char *text = damaged(&d);

    (void)state;
    assert_non_null(o);
    assert_int_equal(parse(o, text), SDP_OK);
    assert_int_equal(o->media[1].codecs[0].pt, 98);
    assert_int_equal(o->media[1].codecs[0].h264_packetization, 0);
    assert_int_equal(sdp_choose_first(&o->media[1])->pt, 96);
    assert_int_equal(sdp_choose_first(&o->media[0])->pt, 111);
    free(text);
    free(o);
}

/* ---- Answers ----------------------------------------------------------------------------------- */

static const char *const FINGERPRINT =
    "sha-256 00:01:02:03:04:05:06:07:08:09:0A:0B:0C:0D:0E:0F:10:11:12:13:14:15:16:17:18:19:1A:1B:1C:1D:1E:1F";

static void answer_init(struct sdp_answer *a, const struct sdp_offer *o, struct addr candidates[2])
{
    sdp_answer_init(a, o);
    assert_int_equal(addr_parse(&candidates[0], "192.0.2.1:8000"), 0);
    assert_int_equal(addr_parse(&candidates[1], "[2001:db8::1]:8000"), 0);
    a->session_id = 1234567890123456789u;
    a->version = 2;
    a->ice_ufrag = "ourufrag";
    a->ice_pwd = "ourpasswordofsufficientlen";
    a->fingerprint = FINGERPRINT;
    a->candidates = a->tcp_candidates = candidates;
    a->n_candidates = a->n_tcp_candidates = 2;
}

static void accept_all(struct sdp_answer *a, bool publisher)
{
    for (size_t i = 0; i < a->offer->n_media; i++) {
        struct sdp_answer_media *m = &a->media[i];

        m->codecs[0] = sdp_choose_first(&a->offer->media[i]);
        m->n_codecs = 1;
        m->accepted = m->codecs[0] != NULL;
        m->direction = publisher ? SDP_RECVONLY : SDP_SENDONLY;
        m->rtx = true;
        m->feedback = SDP_FB_NACK | SDP_FB_NACK_PLI;
        m->extensions = 1u << RTP_EXT_MID | 1u << RTP_EXT_TRANSPORT_CC;
        m->simulcast = publisher;
        if (publisher)
            continue;
        m->ssrc = 1000 + (uint32_t)i;
        m->rtx_ssrc = a->offer->media[i].kind == SDP_VIDEO ? 2000 : 0;
        m->cname = "cname";
        m->msid_stream = "stream";
        m->msid_track = i ? "video" : "audio";
    }
}

static void has(const char *text, const char *line)
{
    if (!strstr(text, line))
        fail_msg("%s is not in\n%s", line, text);
}

static void has_not(const char *text, const char *line)
{
    if (strstr(text, line))
        fail_msg("%s is in\n%s", line, text);
}

static void a_whip_answer_receives_and_says_all_at_once(void **state)
{
    struct sdp_offer *o = offer_of("chromium_whip_simulcast.sdp");
    struct sdp_answer a;
    struct addr candidates[2];
    char text[8192];

    (void)state;
    answer_init(&a, o, candidates);
    accept_all(&a, true);
    int n = sdp_answer_write(text, sizeof(text), &a);
    assert_int_equal(n, strlen(text));
    has(text, "v=0\r\no=- 1234567890123456789 2 IN IP4 127.0.0.1\r\n");
    has(text, "a=ice-lite\r\n");
    has(text, "a=group:BUNDLE 0 1\r\n");
    has(text, "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n");
    has(text, "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\n");
    has(text, "a=setup:passive\r\n");
    has(text, "a=recvonly\r\n");
    has(text, "a=rtcp-rsize\r\n");
    has(text, "a=rtpmap:111 opus/48000/2\r\n");
    has(text, "a=fmtp:111 minptime=10;useinbandfec=1\r\n");
    has(text, "a=rtcp-fb:96 nack pli\r\n");
    has_not(text, "goog-remb");
    has(text, "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n");
    has(text, "a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n");
    has_not(text, "abs-send-time");
    has(text, "a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n");
    has(text, "a=candidate:1 1 udp 2130706431 192.0.2.1 8000 typ host\r\n");
    has(text, "a=candidate:2 1 udp 2130706175 2001:db8::1 8000 typ host\r\n");
    has(text, "a=candidate:3 1 tcp 1520435199 192.0.2.1 8000 typ host tcptype passive\r\n");
    has(text, "a=candidate:4 1 tcp 1520434943 2001:db8::1 8000 typ host tcptype passive\r\na=end-of-candidates\r\n");
    has_not(text, "a=ssrc");
    free(o);
}

/* Chromium's offer has "63 red/48000/2" behind Opus; whoever wants it sent puts it first. */
static void red_is_answered_in_the_place_where_it_was_offered(void **state)
{
    static const struct {
        const char *formats, *fmtp, *line;
    } rows[] = {
        {"111 63", "111/111", "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"},
        {"63 111", "111/111", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n"},
        {"111 63", "111/110", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"}, /* of two codecs: none of ours */
    };
    struct sdp_offer *o = malloc(sizeof(*o));

    (void)state;
    assert_non_null(o);
    for (size_t i = 0; i < LEN(rows); i++) {
        char *text = read_fixture("chromium_whip.sdp"), out[8192];
        struct sdp_answer a;
        struct addr candidates[2];
        char *line = strstr(text, "SAVPF 111 63"), *fmtp = strstr(text, "a=fmtp:63 111/111");

        assert_true(line && fmtp);
        memcpy(line + 6, rows[i].formats, strlen(rows[i].formats));
        memcpy(fmtp + 10, rows[i].fmtp, strlen(rows[i].fmtp));
        assert_int_equal(parse(o, text), SDP_OK);
        answer_init(&a, o, candidates);
        accept_all(&a, true);
        a.media[0].red = a.media[1].red = true;
        assert_true(sdp_answer_write(out, sizeof(out), &a) > 0);
        has(out, rows[i].line);
        if (i < 2)
            has(out, "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n");
        free(text);
    }
    free(o);
}

static void a_whep_answer_sends_with_its_own_sources(void **state)
{
    struct sdp_offer *o = offer_of("firefox_whep.sdp");
    struct sdp_answer a;
    struct addr candidates[2];
    char text[8192];

    (void)state;
    answer_init(&a, o, candidates);
    accept_all(&a, false);
    assert_true(sdp_answer_write(text, sizeof(text), &a) > 0);
    has(text, "a=sendonly\r\n");
    has(text, "a=msid:stream video\r\na=ssrc-group:FID 1001 2000\r\na=ssrc:1001 cname:cname\r\n");
    has(text, "a=ssrc:2000 cname:cname\r\n");
    has(text, "a=fmtp:109 maxplaybackrate=48000;stereo=1;useinbandfec=1\r\n");
    free(o);
}

static void every_answer_parses_again_as_what_was_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(expects); i++) {
        struct sdp_offer *o = offer_of(expects[i].fixture), *back = malloc(sizeof(*back));
        struct sdp_answer a;
        struct addr candidates[2];
        char text[8192], print[FINGERPRINT_TEXT_CAP];

        assert_non_null(back);
        answer_init(&a, o, candidates);
        accept_all(&a, expects[i].publisher);
        assert_true(sdp_answer_write(text, sizeof(text), &a) > 0);
        assert_int_equal(parse(back, text), SDP_OK);
        assert_int_equal(sdp_offer_check(back, !expects[i].publisher), SDP_OK);
        assert_true(back->ice_lite && back->end_of_candidates);
        assert_int_equal(back->setup, SDP_SETUP_PASSIVE);
        assert_string_equal(back->ice_ufrag, "ourufrag");
        assert_string_equal(back->ice_pwd, "ourpasswordofsufficientlen");
        assert_string_equal(fingerprint_print(&back->fingerprint, print), FINGERPRINT);
        assert_int_equal(back->n_candidates, 2);
        assert_true(addr_equal(&back->candidates[0], &candidates[0]));
        assert_true(addr_equal(&back->candidates[1], &candidates[1]));
        for (size_t m = 0; m < o->n_media; m++) {
            assert_string_equal(back->media[m].mid, o->media[m].mid);
            assert_int_equal(back->media[m].n_codecs, 1);
            assert_int_equal(back->media[m].codecs[0].codec, a.media[m].codecs[0]->codec);
            assert_int_equal(back->media[m].codecs[0].rtx_pt, a.media[m].codecs[0]->rtx_pt);
            assert_int_equal(back->media[m].n_ssrcs, a.media[m].ssrc != 0);
        }
        free(back);
        free(o);
    }
}

static void rejected_sections_and_passive_offers_are_answered_in_kind(void **state)
{
    struct sdp_offer *o = offer_of("chromium_whip.sdp");
    struct sdp_answer a;
    struct addr candidates[2];
    char text[8192], small[64];

    (void)state;
    o->setup = SDP_SETUP_PASSIVE;
    answer_init(&a, o, candidates);
    accept_all(&a, true);
    a.media[0].accepted = false;
    assert_true(sdp_answer_write(text, sizeof(text), &a) > 0);
    has(text, "m=audio 0 UDP/TLS/RTP/SAVPF 111\r\n");
    has(text, "a=group:BUNDLE 1\r\n");
    has(text, "a=setup:active\r\n");
    has(text, "a=end-of-candidates\r\n");
    assert_int_equal(sdp_answer_write(small, sizeof(small), &a), SDP_ERR_ROOM);
    assert_int_equal(sdp_fragment_write(small, sizeof(small), &a), SDP_ERR_ROOM);
    free(o);
}

/* ---- Trickle ----------------------------------------------------------------------------------- */

/* ---- Data channels (RFC 8841) ------------------------------------------------------------------- */

struct data_row {
    const char *name, *bundle, *section;
    uint16_t port;  /* 0: not for us */
    uint32_t message_max;
};

static const struct data_row data_rows[] = {
    {"as Chromium offers them", "0 1 2",
     "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n",
     5000, 262144},
    {"as Firefox does", "0 1 2",
     "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sendrecv\r\na=mid:2\r\na=sctp-port:5001\r\na=max-message-size:1073741823\r\n",
     5001, 1073741823},
    {"messages of any size", "0 1 2",
     "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\na=max-message-size:0\r\n", 5000, UINT32_MAX},
    {"no size said", "0 1 2", "m=application 9 TCP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n", 5000, 65536},
    {"bundle-only", "0 1 2",
     "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=bundle-only\r\na=mid:2\r\na=sctp-port:5000\r\n", 5000, 65536},
    {"rejected", "0 1 2", "m=application 0 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n", 0, 0},
    {"in a transport of its own", "0 1", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n", 0, 0},
    {"no port", "0 1 2", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\n", 0, 0},
    {"a port out of range", "0 1 2", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:65536\r\n", 0, 0},
    {"a size that is none", "0 1 2",
     "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\na=max-message-size:many\r\n", 0, 0},
    {"the old form", "0 1 2", "m=application 9 DTLS/SCTP 5000\r\na=mid:2\r\na=sctpmap:5000 webrtc-datachannel 256\r\n", 0, 0},
    {"another protocol", "0 1 2", "m=application 9 UDP/BFCP webrtc-datachannel\r\na=mid:2\r\na=sctp-port:5000\r\n", 0, 0},
};

static void data_channels_are_answered_in_the_transport_of_the_media(void **state)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    char offer[sizeof(base) + 512], text[8192];
    struct addr candidates[2];
    struct sdp_answer a;

    (void)state;
    assert_non_null(o);
    for (size_t i = 0; i < LEN(data_rows); i++) {
        const struct data_row *r = &data_rows[i];
        const char *at = strstr(base, "0 1\r\n");

        print_message("%s\n", r->name);
        snprintf(offer, sizeof(offer), "%.*s%s%s%s", (int)(at - base), base, r->bundle, at + 3, r->section);
        assert_int_equal(parse(o, offer), SDP_OK);
        assert_int_equal(sdp_offer_check(o, true), SDP_OK);
        const struct sdp_media *m = sdp_offer_data(o);
        answer_init(&a, o, candidates);
        accept_all(&a, true);
        assert_int_equal(m != NULL, r->port != 0);
        if (m) {
            assert_int_equal(m->sctp_port, r->port);
            assert_int_equal(m->message_max, r->message_max);
            a.media[2] = (struct sdp_answer_media){.accepted = true, .sctp_port = 5000, .message_max = 65536};
        }
        assert_true(sdp_answer_write(text, sizeof(text), &a) > 0);
        has(text, m ? "a=group:BUNDLE 0 1 2\r\n" : "a=group:BUNDLE 0 1\r\n");
        has(text, m ? "m=application 9 " : "m=application 0 ");
        if (m)
            has(text, "a=mid:2\r\na=sctp-port:5000\r\na=max-message-size:65536\r\n");
        else
            has_not(text, "sctp-port");
    }
    free(o);
}

static void fragments_bring_candidates_or_a_restart(void **state)
{
    static const struct {
        const char *name, *text;
        int err;
        size_t n, ignored;
        bool end, credentials;
    } rows[] = {
        {"RFC 8840's example",
         "a=ice-ufrag:8hhY\r\na=ice-pwd:asd88fgpdd777uzjYhagZg\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n"
         "a=candidate:1 1 UDP 2130706431 198.51.100.1 8998 typ host\r\na=end-of-candidates\r\n", SDP_OK, 1,
         0, true, true},
        {"candidates only",
         "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n"
         "a=candidate:1 2 udp 1 10.0.0.1 2 typ host\r\n"
         "a=candidate:1 1 tcp 1 10.0.0.1 9 typ host tcptype active\r\n"
         "a=candidate:1 1 udp 1 f00.local 3 typ host\r\na=candidate:1 1 udp 1 fd00::1 4 typ host\r\n",
         SDP_OK, 2, 3, false, false},
        {"the end alone", "a=end-of-candidates\r\n", SDP_OK, 0, 0, true, false},
        {"half the credentials", "a=ice-ufrag:8hhY\r\n", SDP_ERR_ICE, 0, 0, false, false},
        {"a candidate out of form", "a=candidate:x\r\n", SDP_ERR_CANDIDATE, 0, 0, false, false},
        {"no SDP", "{}", SDP_ERR_SYNTAX, 0, 0, false, false},
        {"nothing", "", SDP_ERR_SIZE, 0, 0, false, false},
    };
    struct sdp_fragment f;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        char *bytes = exact(rows[i].text, strlen(rows[i].text));

        print_message("%s\n", rows[i].name);
        assert_int_equal(sdp_fragment_parse(&f, bytes, strlen(rows[i].text)), rows[i].err);
        free(bytes);
        if (rows[i].err)
            continue;
        assert_int_equal(f.n_candidates, rows[i].n);
        assert_int_equal(f.n_candidates_ignored, rows[i].ignored);
        assert_int_equal(f.end_of_candidates, rows[i].end);
        assert_int_equal(f.has_credentials, rows[i].credentials);
    }
}

static void the_answer_to_a_restart_brings_new_credentials(void **state)
{
    struct sdp_offer *o = offer_of("chromium_whip.sdp");
    struct sdp_answer a;
    struct sdp_fragment f;
    struct addr candidates[2];
    char text[2048];

    (void)state;
    answer_init(&a, o, candidates);
    accept_all(&a, true);
    int n = sdp_fragment_write(text, sizeof(text), &a);
    assert_true(n > 0);
    assert_int_equal(sdp_fragment_parse(&f, text, (size_t)n), SDP_OK);
    assert_true(f.has_credentials && f.end_of_candidates);
    assert_string_equal(f.ice_ufrag, "ourufrag");
    assert_int_equal(f.n_candidates, 2);
    free(o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_of_real_clients_are_understood),
        cmocka_unit_test(simulcast_layers_keep_their_order),
        cmocka_unit_test(the_rtx_source_is_joined_to_its_own),
        cmocka_unit_test(each_damage_is_named),
        cmocka_unit_test(size_and_nul_are_checked_first),
        cmocka_unit_test(every_prefix_of_an_offer_parses_or_fails_cleanly),
        cmocka_unit_test(profiles_are_compared_as_rfc_6184_table_5_says),
        cmocka_unit_test(the_payload_type_fits_the_stream),
        cmocka_unit_test(the_first_codec_prefers_packetization_mode_1),
        cmocka_unit_test(a_whip_answer_receives_and_says_all_at_once),
        cmocka_unit_test(red_is_answered_in_the_place_where_it_was_offered),
        cmocka_unit_test(a_whep_answer_sends_with_its_own_sources),
        cmocka_unit_test(every_answer_parses_again_as_what_was_meant),
        cmocka_unit_test(rejected_sections_and_passive_offers_are_answered_in_kind),
        cmocka_unit_test(data_channels_are_answered_in_the_transport_of_the_media),
        cmocka_unit_test(fragments_bring_candidates_or_a_restart),
        cmocka_unit_test(the_answer_to_a_restart_brings_new_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
