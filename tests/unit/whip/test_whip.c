/* SPDX-License-Identifier: Apache-2.0
 * test_whip.c - WHIP requests and what becomes of them; test_whip_live.c has the media that arrives. */
#include "scene.h"

/* ---- POST -------------------------------------------------------------------------------------- */

static void simulcast_is_taken_with_every_layer(void **state)
{
    struct fixture *f = *state;

    load_offer(f, "chromium_whip_simulcast.sdp");
    struct http_exchange *x = publish(f);
    char *text = strndup(x->reply, x->reply_len);
    assert_non_null(text);
    assert_non_null(strstr(text, "a=rid:q recv\r\na=rid:h recv\r\na=rid:f recv\r\na=simulcast:recv q;h;f\r\n"));
    assert_non_null(strstr(text, RTP_EXT_URI_RID "\r\n"));
    assert_non_null(strstr(text, RTP_EXT_URI_REPAIRED_RID "\r\n"));
    assert_non_null(strstr(text, "x-google-start-bitrate=2500\r\n"));
    free(text);
    free(x);
}

static void without_transport_cc_remb_and_send_times_are_agreed_on(void **state)
{
    struct fixture *f = *state;
    struct sdp_offer *answer = malloc(sizeof(*answer));

    assert_non_null(answer);
    for (char *at = f->offer; (at = strstr(at, "transport-wide-cc")); at++)
        memcpy(at, "nothing-we-know--", 17);
    struct http_exchange *x = post(f);
    claimed(f, PUBLISH_OK);
    assert_int_equal(x->status, 201);
    assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
    assert_int_equal(sdp_extmap_id(&answer->media[1], RTP_EXT_TRANSPORT_CC), 0);
    assert_true(sdp_extmap_id(&answer->media[1], RTP_EXT_ABS_SEND_TIME) != 0);
    assert_int_equal(answer->media[1].codecs[0].feedback,
                     SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_REMB);
    assert_int_equal(sdp_extmap_id(&answer->media[0], RTP_EXT_ABS_SEND_TIME), 0); /* by its pictures alone */
    free(answer);
    free(x);
}

static void a_post_is_answered_when_the_name_is_claimed(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);
    struct sdp_offer *answer = malloc(sizeof(*answer));

    assert_non_null(answer);
    assert_false(x->replied);
    assert_string_equal(f->publication.name, "live/test");
    assert_int_equal(whip_publishers(f->whip), 0);
    claimed(f, PUBLISH_OK);
    assert_int_equal(x->status, 201);
    assert_string_equal(x->content_type, "application/sdp");
    assert_int_equal(strncmp(x->location, "/whip/session/3-", 16), 0);
    assert_int_equal(strlen(x->location), 16 + 22);
    assert_true(x->etag[0] == '"' && x->etag[strlen(x->etag) - 1] == '"');
    assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
    assert_int_equal(sdp_offer_check(answer, false), SDP_OK);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(answer->media[i].direction, SDP_RECVONLY);
        assert_int_equal(answer->media[i].n_codecs, 1);
        assert_int_equal(sdp_extmap_id(&answer->media[i], RTP_EXT_TRANSPORT_CC), 3);
        assert_int_equal(sdp_extmap_id(&answer->media[i], RTP_EXT_ABS_SEND_TIME), 0);
    }
    assert_int_equal(answer->media[1].codecs[0].codec, CODEC_VP8);
    assert_int_equal(answer->media[1].codecs[0].rtx_pt, 97);
    assert_int_equal(answer->media[1].codecs[0].feedback,
                     SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_TRANSPORT_CC);
    assert_int_equal(whip_publishers(f->whip), 1);
    assert_int_equal(f->publication.n_starts, 0); /* not before media can come */
    free(answer);
    free(x);
}

static void refusals_are_told_as_what_they_are(void **state)
{
    static const struct {
        enum publish_result result;
        int status;
        bool retry;
    } rows[] = {{PUBLISH_TAKEN, 409, true}, {PUBLISH_NAME, 400, true}, {PUBLISH_OVERLOADED, 503, true}};
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_exchange *x = post(f);

        claimed(f, rows[i].result);
        assert_int_equal(x->status, rows[i].status);
        assert_int_equal(x->retry_after[0] != '\0', rows[i].retry);
        assert_string_equal(x->content_type, "application/problem+json");
        assert_false(f->publication.open);
        free(x);
    }
    assert_int_equal(whip_counters(f->whip)->taken, 1);
    assert_int_equal(rtc_endpoint_transports(f->pair.server.endpoint), 0);
}

static void bad_requests_never_claim_anything(void **state)
{
    struct fixture *f = *state;
    const struct {
        const char *path, *type, *body;
        int status;
    } rows[] = {
        {"/whip/live/test", NULL, f->offer, 415},
        {"/whip/live/test", "application/json", f->offer, 415},
        {"/whip/live/test", "application/sdpx", f->offer, 415},
        {"/whip/test", "application/sdp", f->offer, 400},
        {"/whip/live/../x", "application/sdp", f->offer, 400},
        {"/whip/live/test", "application/sdp", "", 400},
        {"/whip/live/test", "application/sdp", "v=0\r\n", 400},
        {"/whip/live/test", "application/sdp; charset=utf-8", "{}", 400},
    };

    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_exchange *x = request(HTTP_M_POST, rows[i].path, rows[i].type, NULL, rows[i].body,
                                          strlen(rows[i].body));

        assert_true(x->replied);
        assert_int_equal(x->status, rows[i].status);
        assert_false(f->publication.open);
        free(x);
    }
    load_offer(f, "chromium_whep.sdp"); /* one that wants to receive */
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 422);
    free(x);
    assert_int_equal(whip_counters(f->whip)->bad_requests, LEN(rows) + 1);
}

static void the_endpoint_answers_get_and_head(void **state)
{
    struct http_exchange *x = request(HTTP_M_GET, "/whip/live/test", NULL, NULL, NULL, 0);

    (void)state;
    assert_int_equal(x->status, 204);
    free(x);
    x = request(HTTP_M_HEAD, "/whip/live/test", NULL, NULL, NULL, 0);
    assert_int_equal(x->status, 200);
    free(x);
}

static void a_client_that_goes_away_gives_its_claim_back(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    fake_gone(x);
    assert_false(f->publication.open);
    assert_int_equal(whip_counters(f->whip)->gone, 1);
    free(x);
}

static void a_post_runs_on_the_streams_home_worker(void **state)
{
    struct fixture *f = *state;

    f->home = 1;
    f->can_forward = true;
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 299);
    assert_int_equal(f->forwarded_to, 1);
    assert_false(f->publication.open);
    free(x);
    /* As it arrives there. */
    x = calloc(1, sizeof(*x));
    assert_non_null(x);
    *x = (struct http_exchange){.method = HTTP_M_POST,
                                .path = "/whip/live/test",
                                .type = "application/sdp",
                                .body = f->offer,
                                .body_len = f->offer_len};
    whip_on_request(f->whip, x);
    assert_true(f->publication.open);
    claimed(f, PUBLISH_OK);
    assert_int_equal(x->status, 201);
    free(x);
}

static void stopping_answers_those_who_wait(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    whip_close(&f->whip);
    assert_int_equal(x->status, 503);
    assert_string_equal(x->retry_after, "1");
    free(x);
}

/* ---- PATCH, DELETE ----------------------------------------------------------------------------- */

#define FRAGMENT "application/trickle-ice-sdpfrag"
#define CANDIDATE "m=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 10.0.0.1 1 typ host\r\n"
#define CREDENTIALS "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"

static void a_patch_is_judged_by_its_if_match(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *session = publish(f);
    const struct {
        const char *name, *type, *match, *body;
        int status;
    } rows[] = {
        {"trickle", FRAGMENT, session->etag, CANDIDATE, 204},
        {"trickle with any tag", FRAGMENT, "*", CANDIDATE, 204},
        {"without If-Match", FRAGMENT, NULL, CANDIDATE, 428},
        {"a stale tag", FRAGMENT, "\"stale\"", CANDIDATE, 412},
        {"another type", "application/sdp", session->etag, CANDIDATE, 415},
        {"no fragment", FRAGMENT, session->etag, "{}", 400},
        {"half the credentials", FRAGMENT, "*", "a=ice-ufrag:EsAw\r\n", 400},
    };

    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_exchange *x = request(HTTP_M_PATCH, session->location, rows[i].type, rows[i].match,
                                          rows[i].body, strlen(rows[i].body));
        print_message("%s\n", rows[i].name);
        assert_int_equal(x->status, rows[i].status);
        free(x);
    }
    free(session);
}

static void an_ice_restart_brings_new_credentials_and_a_new_tag(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *session = publish(f);
    struct sdp_fragment fragment;
    struct http_exchange *x = request(HTTP_M_PATCH, session->location, FRAGMENT, "*", CREDENTIALS CANDIDATE,
                                      strlen(CREDENTIALS CANDIDATE));

    assert_int_equal(x->status, 200);
    assert_string_equal(x->content_type, FRAGMENT);
    assert_string_not_equal(x->etag, session->etag);
    assert_int_equal(sdp_fragment_parse(&fragment, x->reply, x->reply_len), SDP_OK);
    assert_true(fragment.has_credentials && fragment.end_of_candidates && fragment.n_candidates > 0);
    assert_null(strstr(session->reply, fragment.ice_ufrag));
    struct http_exchange *stale = request(HTTP_M_PATCH, session->location, FRAGMENT, session->etag, CANDIDATE,
                                          strlen(CANDIDATE));
    assert_int_equal(stale->status, 412);
    /* The same again is no restart. */
    struct http_exchange *again = request(HTTP_M_PATCH, session->location, FRAGMENT, "*", CREDENTIALS,
                                          strlen(CREDENTIALS));
    assert_int_equal(again->status, 204);
    free(again);
    free(stale);
    free(x);
    free(session);
}

static void delete_ends_the_publishing(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *session = publish(f);
    struct http_exchange *x = request(HTTP_M_DELETE, session->location, NULL, NULL, NULL, 0);

    assert_int_equal(x->status, 200);
    assert_false(f->publication.open);
    assert_int_equal(rtc_endpoint_transports(f->pair.server.endpoint), 0);
    free(x);
    x = request(HTTP_M_DELETE, session->location, NULL, NULL, NULL, 0);
    assert_int_equal(x->status, 404);
    free(x);
    free(session);
}

static void sessions_of_other_workers_are_forwarded_and_unknown_ones_are_404(void **state)
{
    static const struct {
        const char *path;
        bool can_forward;
        int status;
        unsigned to;
    } rows[] = {
        {"/whip/session/1-abcdefghijklmnopqrstuv", true, 299, 1},
        {"/whip/session/1-abcdefghijklmnopqrstuv", false, 404, 1},
        {"/whip/session/3-abcdefghijklmnopqrstuv", true, 404, 99},
        {"/whip/session/abcdefghijklmnopqrstuv", true, 404, 99},
        {"/whip/session/99999999999999999999-a", true, 404, 99},
        {"/whip/session/-1-a", true, 404, 99},
        {"/whip/session/", true, 404, 99},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(rows); i++) {
        f->can_forward = rows[i].can_forward;
        f->forwarded_to = 99;
        struct http_exchange *x = request(HTTP_M_DELETE, rows[i].path, NULL, NULL, NULL, 0);
        assert_int_equal(x->status, rows[i].status);
        assert_int_equal(f->forwarded_to, rows[i].to);
        free(x);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(simulcast_is_taken_with_every_layer),
        TEST(a_post_is_answered_when_the_name_is_claimed),
        TEST(without_transport_cc_remb_and_send_times_are_agreed_on),
        TEST(refusals_are_told_as_what_they_are),
        TEST(bad_requests_never_claim_anything),
        TEST(the_endpoint_answers_get_and_head),
        TEST(a_client_that_goes_away_gives_its_claim_back),
        TEST(a_post_runs_on_the_streams_home_worker),
        TEST(stopping_answers_those_who_wait),
        TEST(a_patch_is_judged_by_its_if_match),
        TEST(an_ice_restart_brings_new_credentials_and_a_new_tag),
        TEST(delete_ends_the_publishing),
        TEST(sessions_of_other_workers_are_forwarded_and_unknown_ones_are_404),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
