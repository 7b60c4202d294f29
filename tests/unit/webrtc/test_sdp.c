/* SPDX-License-Identifier: Apache-2.0
 * test_sdp.c - offers as browsers, OBS, GStreamer and Firefox write them, damaged ones, and ICE fragments. */
#include "sdp_offers.h"

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

/* In the m-line, where it has no meaning to; whatever is said of it is read once, too. */
static void a_payload_type_named_again_counts_once(void **state)
{
    const struct damage d = {.find = "SAVPF 96 97", .put = "SAVPF 96 97 96 96 97 096"};
    struct sdp_offer *o = malloc(sizeof(*o));
    char *text = damaged(&d);

    (void)state;
    assert_non_null(o);
    assert_int_equal(parse(o, text), SDP_OK);
    assert_int_equal(o->media[1].n_codecs, 1);
    assert_int_equal(o->media[1].codecs[0].pt, 96);
    assert_int_equal(o->media[1].codecs[0].rtx_pt, 97);
    free(text);
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

/* ---- Fragments ----------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_of_real_clients_are_understood),
        cmocka_unit_test(simulcast_layers_keep_their_order),
        cmocka_unit_test(the_rtx_source_is_joined_to_its_own),
        cmocka_unit_test(each_damage_is_named),
        cmocka_unit_test(a_payload_type_named_again_counts_once),
        cmocka_unit_test(size_and_nul_are_checked_first),
        cmocka_unit_test(every_prefix_of_an_offer_parses_or_fails_cleanly),
        cmocka_unit_test(profiles_are_compared_as_rfc_6184_table_5_says),
        cmocka_unit_test(fragments_bring_candidates_or_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
