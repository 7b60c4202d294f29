/* SPDX-License-Identifier: Apache-2.0
 * test_whep_offer.c - what is agreed on with a WHEP viewer: its offer and our answer, or our offer and its answer. */
#include "scene.h"
#include "unit/webrtc/fake_transport.h"
#include "webrtc/sctp.h"
#include "webrtc/sdp.h"

#include <stdlib.h>
#include <string.h>

static void an_offer_is_answered_with_all_that_a_later_epoch_may_need(void **state)
{
    struct fixture *f = *state;
    struct sdp_offer *answer = malloc(sizeof(*answer));

    publish(f, CODEC_H264, CODEC_OPUS);
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 201);
    assert_string_equal(x->content_type, "application/sdp");
    assert_int_equal(strncmp(x->location, "/whep/session/3-", 16), 0);
    assert_int_equal(strlen(x->location), 16 + 22);
    assert_true(x->etag[0] == '"' && strlen(x->etag) > 8);
    assert_string_equal(x->link, LINK);
    assert_true(fake_transport()->started);

    assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
    assert_true(answer->ice_lite);
    assert_int_equal(answer->n_media, 2);
    assert_int_equal(answer->n_candidates, 1);
    assert_string_equal(answer->ice_ufrag, "oursufrg");
    assert_int_equal(answer->setup, SDP_SETUP_PASSIVE);
    const struct sdp_media *audio = &answer->media[0], *video = &answer->media[1];
    assert_int_equal(audio->direction, SDP_SENDONLY);
    assert_int_equal(video->direction, SDP_SENDONLY);
    assert_int_equal(audio->n_codecs, 1);
    assert_int_equal(audio->codecs[0].codec, CODEC_OPUS);
    assert_int_equal(video->codecs[0].codec, CODEC_H264); /* the stream's first */
    assert_int_equal(video->codecs[0].h264_packetization, 1);
    bool has[CODEC_COUNT] = {false};
    for (size_t i = 0; i < video->n_codecs; i++) {
        has[video->codecs[i].codec] = true;
        assert_true(video->codecs[i].rtx_pt != 0);
        assert_true(video->codecs[i].codec != CODEC_H264 || video->codecs[i].h264_packetization == 1);
        assert_int_equal(video->codecs[i].feedback,
                         SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_TRANSPORT_CC);
    }
    assert_true(has[CODEC_VP8] && has[CODEC_VP9] && has[CODEC_AV1] && has[CODEC_H264]);
    assert_int_equal(video->n_ssrcs, 1);
    assert_true(video->ssrcs[0].ssrc != 0 && video->ssrcs[0].rtx_ssrc != 0);
    assert_true(audio->ssrcs[0].ssrc != video->ssrcs[0].ssrc);
    assert_string_equal(audio->cname, video->cname);
    assert_true(sdp_extmap_id(video, RTP_EXT_TRANSPORT_CC) != 0); /* all of it has RTX */
    assert_int_equal(audio->codecs[0].feedback, SDP_FB_TRANSPORT_CC);
    assert_int_equal(sdp_extmap_id(video, RTP_EXT_ABS_SEND_TIME), 0); /* not beside transport-cc, which says more */
    assert_int_equal(sdp_extmap_id(video, RTP_EXT_VIDEO_ORIENTATION), 13);

    assert_int_equal(whep_counters(f->whep)->joins, 1);
    assert_int_equal(whep_viewers(f->whep), 1);
    free(answer);
    free(x);
}

static void replace(struct fixture *f, const char *what, const char *with)
{
    assert_int_equal(strlen(what), strlen(with));
    f->offer[f->offer_len] = '\0';
    for (char *at = f->offer; (at = strstr(at, what)); at += strlen(what))
        memcpy(at, with, strlen(with));
}

/* Browsers offer RED behind Opus; setCodecPreferences puts it first. */
static void red_is_agreed_on_where_it_is_preferred(void **state)
{
    static const struct {
        const char *offered, *line;
        uint8_t red_pt;
    } rows[] = {
        {"SAVPF 111 63", "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n", 0},
        {"SAVPF 63 111", "m=audio 9 UDP/TLS/RTP/SAVPF 63 111\r\n", 63},
    };
    struct fixture *f = *state;
    struct sdp_offer *answer = malloc(sizeof(*answer));

    publish(f, CODEC_H264, CODEC_OPUS);
    for (size_t i = 0; i < LEN(rows); i++) {
        replace(f, "SAVPF 111 63", rows[i].offered);
        struct http_exchange *x = post(f);
        assert_int_equal(x->status, 201);
        assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
        const struct sdp_media *audio = &answer->media[0];
        assert_int_equal(audio->n_codecs, 1);
        assert_int_equal(audio->codecs[0].pt, 111);
        assert_int_equal(audio->codecs[0].red_pt, rows[i].red_pt);
        assert_int_equal(audio->codecs[0].red_first, rows[i].red_pt != 0);
        assert_true(audio->codecs[0].fec); /* in-band FEC either way */
        assert_int_equal(audio->codecs[0].feedback, SDP_FB_TRANSPORT_CC);
        assert_non_null(memmem(x->reply, x->reply_len, rows[i].line, strlen(rows[i].line)));
        free(x);
    }
    free(answer);
}

/* A browser of before transport-cc: REMB, which is estimated from the time that each packet was sent at. */
static void without_transport_cc_remb_and_send_times_are_agreed_on(void **state)
{
    struct fixture *f = *state;
    struct sdp_offer *answer = malloc(sizeof(*answer));

    publish(f, CODEC_VP8, CODEC_OPUS);
    replace(f, "transport-wide-cc", "nothing-we-know--");
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 201);
    assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
    const struct sdp_media *audio = &answer->media[0], *video = &answer->media[1];
    assert_int_equal(sdp_extmap_id(video, RTP_EXT_TRANSPORT_CC), 0);
    assert_true(sdp_extmap_id(video, RTP_EXT_ABS_SEND_TIME) != 0);
    assert_int_equal(sdp_extmap_id(audio, RTP_EXT_TRANSPORT_CC), 0);
    for (size_t i = 0; i < video->n_codecs; i++)
        assert_int_equal(video->codecs[i].feedback, SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_REMB);
    free(answer);
    free(x);
}

static void offer_data_too(struct fixture *f)
{
    static const char section[] = "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:2\r\n"
                                  "a=sctp-port:5000\r\na=max-message-size:262144\r\n";

    f->offer[f->offer_len] = '\0';
    char *at = strstr(f->offer, "BUNDLE 0 1") + strlen("BUNDLE 0 1");
    memmove(at + 2, at, strlen(at) + 1);
    memcpy(at, " 2", 2);
    strcat(f->offer, section);
    f->offer_len = strlen(f->offer);
}

/* Whether or not the stream has messages yet: a later epoch may. */
static void data_channels_are_agreed_on_where_they_are_offered(void **state)
{
    static const struct {
        bool stack, offered, published, agreed;
    } rows[] = {{true, true, true, true}, {true, true, false, true}, {true, false, true, false}, {false, true, true, false}};
    struct fixture *f = *state;
    struct sdp_offer *answer = malloc(sizeof(*answer));
    struct rtc_sctp_stack *stack;

    assert_int_equal(rtc_sctp_stack_open(&stack, f->loop.w), 0);
    for (size_t i = 0; i < LEN(rows); i++) {
        fake_endpoint_sctp(rows[i].stack ? stack : NULL);
        free(f->offer);
        load_offer(f);
        if (rows[i].offered)
            offer_data_too(f);
        router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
        publish(f, CODEC_VP8, rows[i].published ? CODEC_DATA : CODEC_OPUS);
        struct http_exchange *x = post(f), gone;
        assert_int_equal(x->status, 201);
        assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
        assert_int_equal(answer->n_media, rows[i].offered ? 3 : 2);
        const struct sdp_media *m = sdp_offer_data(answer);
        assert_int_equal(m != NULL, rows[i].agreed);
        assert_int_equal(fake_transport()->on_data != NULL, rows[i].agreed);
        if (m)
            assert_int_equal(m->message_max, VIEWER_DATA_TAKES);
        assert_int_equal(request(HTTP_M_DELETE, x->location, NULL, NULL, NULL, &gone), 200);
        free(x);
    }
    fake_endpoint_sctp(NULL);
    rtc_sctp_stack_close(&stack);
    free(answer);
}

static void bad_requests_are_refused_with_the_reason(void **state)
{
    static const char CUT[] = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n";
    static const struct {
        const char *name, *path, *type, *body; /* body NULL: the good offer */
        int status;
    } rows[] = {
        {"no type", "/whep/live/test", NULL, NULL, 415},
        {"another type", "/whep/live/test", "application/sdp+json", NULL, 415},
        {"parameters are fine", "/whep/live/test", "Application/SDP; charset=utf-8", NULL, 201},
        {"no app", "/whep/test", "application/sdp", NULL, 400},
        {"a name with a hole", "/whep/live//x", "application/sdp", NULL, 400},
        {"no SDP", "/whep/live/test", "application/sdp", "hello", 400},
        {"no body", "/whep/live/test", "application/sdp", "", 400},
        {"no media", "/whep/live/test", "application/sdp", CUT, 400},
    };
    struct fixture *f = *state;
    unsigned bad = 0;

    publish(f, CODEC_VP8, CODEC_OPUS);
    for (size_t i = 0; i < LEN(rows); i++) {
        size_t len = rows[i].body ? strlen(rows[i].body) : f->offer_len;
        char *exact = malloc(len ? len : 1);
        struct http_exchange *x = calloc(1, sizeof(*x));
        print_message("  %s\n", rows[i].name);
        memcpy(exact, rows[i].body ? rows[i].body : f->offer, len);
        *x = (struct http_exchange){.method = HTTP_M_POST, .path = rows[i].path, .type = rows[i].type, .body = exact, .body_len = len};
        fake_request(x);
        assert_true(x->replied);
        assert_int_equal(x->status, rows[i].status);
        if (rows[i].status != 201) {
            assert_string_equal(x->content_type, "application/problem+json");
            assert_string_equal(x->location, "");
            bad++;
        }
        assert_int_equal(whep_counters(f->whep)->bad_requests, bad);
        free(exact);
        free(x);
    }
}

static void what_we_cannot_do_is_422_and_nothing_in_common_406(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_H265, CODEC_AAC); /* this browser has no H.265, and the stream no Opus */
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 406);
    assert_int_equal(whep_counters(f->whep)->not_acceptable, 1);
    free(x);
    replace(f, "a=rtcp-mux", "a=rtcp-nux");
    x = post(f);
    assert_int_equal(x->status, 422);
    assert_int_equal(whep_counters(f->whep)->bad_requests, 1);
    free(x);
    replace(f, "a=rtcp-nux", "a=rtcp-mux");
    replace(f, "a=recvonly", "a=inactive");
    x = post(f);
    assert_int_equal(x->status, 422);
    free(x);
    test_loop_run_for(&f->loop, 5000);
    assert_int_equal(whep_viewers(f->whep), 0);
}

/* The player's answer to our offer: the same text, seen from its side. */
static char *answer_to(const char *offer, const char *codec)
{
    static const struct {
        const char *from, *to;
    } turns[] = {{"a=sendonly", "a=recvonly"}, {"a=setup:actpass", "a=setup:passive"}};
    char *text = strdup(offer);

    assert_non_null(text);
    for (size_t i = 0; i < LEN(turns); i++)
        for (char *at = text; (at = strstr(at, turns[i].from)); at++)
            memcpy(at, turns[i].to, strlen(turns[i].to));
    for (char *at = text; (at = strstr(at, codec)); at++)
        memcpy(at, "XX", 2);
    return text;
}

static void a_player_without_an_offer_answers_ours(void **state)
{
    static const struct {
        const char *name, *type, *without; /* without: the codec that the answer does not take */
        int status;
    } rows[] = {
        {"another type", "text/plain", "none", 415},
        {"the stream's video is not taken", "application/sdp", "VP8/", 422},
        {"the stream's audio is not taken", "application/sdp", "opus/", 422},
        {"another video is not taken", "application/sdp", "H264/", 204},
        {"answered already", "application/sdp", "none", 415},
    };
    struct fixture *f = *state;
    struct http_exchange *x = calloc(1, sizeof(*x)), *patched = calloc(1, sizeof(*patched));

    assert_true(x && patched);
    publish(f, CODEC_VP8, CODEC_OPUS);
    assert_int_equal(request(HTTP_M_POST, "/whep/live/test", NULL, NULL, NULL, x), 406);
    assert_string_equal(x->content_type, "application/sdp");
    assert_true(x->etag[0] == '"');
    assert_non_null(strstr(x->reply, "a=setup:actpass"));
    assert_null(strstr(x->reply, "a=setup:passive"));
    assert_false(fake_transport()->started);
    assert_int_equal(whep_viewers(f->whep), 0);
    assert_non_null(strstr(x->reply, "a=rtcp-fb:96 transport-cc\r\n"));
    assert_non_null(strstr(x->reply, "transport-wide-cc"));
    assert_non_null(strstr(x->reply, "m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\n"));
    assert_non_null(strstr(x->reply, "a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\n"));
    for (size_t i = 0; i < LEN(rows); i++) {
        char *answer = answer_to(x->reply, rows[i].without);
        print_message("  %s\n", rows[i].name);
        assert_int_equal(request(HTTP_M_PATCH, x->location, rows[i].type, NULL, answer, patched), rows[i].status);
        assert_int_equal(fake_transport()->started, i >= 3);
        assert_int_equal(whep_viewers(f->whep), i >= 3);
        free(answer);
    }
    assert_int_equal(whep_counters(f->whep)->joins, 1);
    free(patched);
    free(x);
}

static void hevc_goes_to_who_can_receive_it(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = calloc(1, sizeof(*x)), *patched = calloc(1, sizeof(*patched));

    assert_true(x && patched);
    publish(f, CODEC_H265, CODEC_OPUS);
    assert_int_equal(request(HTTP_M_POST, "/whep/live/test", NULL, NULL, NULL, x), 406);
    assert_non_null(strstr(x->reply, "a=rtpmap:108 H265/90000\r\n"));
    for (int can = 0; can < 2; can++) {
        char *answer = answer_to(x->reply, can ? "none" : "H265/");
        assert_int_equal(request(HTTP_M_PATCH, x->location, "application/sdp", NULL, answer, patched), can ? 204 : 422);
        free(answer);
    }
    assert_true(fake_transport()->started);
    free(patched);
    free(x);
}

static void an_offer_of_ours_ends_with_its_stream(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = calloc(1, sizeof(*x));
    char location[128];

    assert_non_null(x);
    publish(f, CODEC_VP8, CODEC_OPUS);
    assert_int_equal(request(HTTP_M_POST, "/whep/live/test", NULL, NULL, NULL, x), 406);
    memcpy(location, x->location, sizeof(location));
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    test_loop_run_for(&f->loop, 5000);
    assert_null(fake_transport());
    assert_int_equal(request(HTTP_M_PATCH, location, "application/sdp", NULL, "v=0\r\n", x), 404);
    free(x);
}

static void an_offer_with_only_foreign_codecs_gets_ours_in_return(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_VP8, CODEC_OPUS);

    replace(f, "opus/48000/2", "kazu/48000/2");
    for (const char *const *c = (const char *const[]){"VP8/", "VP9/", "AV1/", NULL}; *c; c++)
        replace(f, *c, "XX8/");
    replace(f, "H264/", "H2XX/");
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 406);
    assert_string_equal(x->content_type, "application/sdp");
    assert_int_equal(strncmp(x->location, "/whep/session/3-", 16), 0);
    assert_non_null(strstr(x->reply, "VP8/90000"));
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(an_offer_is_answered_with_all_that_a_later_epoch_may_need),
        IN_FIXTURE(red_is_agreed_on_where_it_is_preferred),
        IN_FIXTURE(data_channels_are_agreed_on_where_they_are_offered),
        IN_FIXTURE(without_transport_cc_remb_and_send_times_are_agreed_on),
        IN_FIXTURE(bad_requests_are_refused_with_the_reason),
        IN_FIXTURE(what_we_cannot_do_is_422_and_nothing_in_common_406),
        IN_FIXTURE(an_offer_with_only_foreign_codecs_gets_ours_in_return),
        IN_FIXTURE(a_player_without_an_offer_answers_ours),
        IN_FIXTURE(hevc_goes_to_who_can_receive_it),
        IN_FIXTURE(an_offer_of_ours_ends_with_its_stream),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
