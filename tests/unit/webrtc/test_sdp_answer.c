/* SPDX-License-Identifier: Apache-2.0
 * test_sdp_answer.c - the answers to offers. */
#include "sdp_offers.h"

/* ---- Which payload type ------------------------------------------------------------------------- */

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
    static const struct {
        const char *fixture;
        bool publisher;
    } rows[] = {
        {"chromium_whip.sdp", true}, {"chromium_whip_simulcast.sdp", true}, {"chromium_whep.sdp", false},
        {"obs_whip.sdp", true}, {"gstreamer_whip.sdp", true}, {"firefox_whep.sdp", false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct sdp_offer *o = offer_of(rows[i].fixture), *back = malloc(sizeof(*back));
        struct sdp_answer a;
        struct addr candidates[2];
        char text[8192], print[FINGERPRINT_TEXT_CAP];

        assert_non_null(back);
        answer_init(&a, o, candidates);
        accept_all(&a, rows[i].publisher);
        assert_true(sdp_answer_write(text, sizeof(text), &a) > 0);
        assert_int_equal(parse(back, text), SDP_OK);
        assert_int_equal(sdp_offer_check(back, !rows[i].publisher), SDP_OK);
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
        cmocka_unit_test(the_payload_type_fits_the_stream),
        cmocka_unit_test(the_first_codec_prefers_packetization_mode_1),
        cmocka_unit_test(a_whip_answer_receives_and_says_all_at_once),
        cmocka_unit_test(red_is_answered_in_the_place_where_it_was_offered),
        cmocka_unit_test(a_whep_answer_sends_with_its_own_sources),
        cmocka_unit_test(every_answer_parses_again_as_what_was_meant),
        cmocka_unit_test(rejected_sections_and_passive_offers_are_answered_in_kind),
        cmocka_unit_test(data_channels_are_answered_in_the_transport_of_the_media),
        cmocka_unit_test(the_answer_to_a_restart_brings_new_credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
