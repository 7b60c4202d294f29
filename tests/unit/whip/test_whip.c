/* SPDX-License-Identifier: Apache-2.0
 * test_whip.c - WHIP requests and what becomes of them, up to media that arrives: HTTP and the relay are the
 * test's, WebRTC is real on both ends. */
#include "unit/whep/fake_http.h"

#include "origin/whip.h"
#include "relay/publish.h"
#include "unit/webrtc/rtc_pair.h"
#include "webrtc/sdp.h"

enum { INDEX = 3, HOME = 3 };

/* ---- relay/publish.h, relay/relay.h: one publication, as the test wants it --------------------- */

struct publication {
    bool open;
    char name[STREAM_NAME_MAX + 1];
    const struct publish_ops *ops;
    void *arg;
    size_t n_starts, n_packets;
    struct track_set tracks;
    struct packet *last;
};

static struct {
    struct publication publication;
    struct pool *pool;
    unsigned home;
} relay_;

int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                  const struct publish_ops *ops, void *arg)
{
    struct publication *p = &relay_.publication;

    (void)relay;
    assert_false(p->open);
    assert_string_equal(kind, "whip");
    *p = (struct publication){.open = true, .ops = ops, .arg = arg};
    snprintf(p->name, sizeof(p->name), "%s", name);
    *out = p;
    return 0;
}

void publish_start(struct publication *p, const struct track_set *tracks)
{
    p->n_starts++;
    p->tracks = *tracks;
}

void publish_push(struct publication *p, struct packet *packet)
{
    assert_true(p->n_starts > 0);
    p->n_packets++;
    if (p->last)
        packet_unref(&p->last);
    p->last = packet;
}

struct pool *publish_pool(struct publication *p)
{
    (void)p;
    return relay_.pool;
}

void publish_close(struct publication **p)
{
    if (!*p)
        return;
    assert_true((*p)->open);
    (*p)->open = false;
    if ((*p)->last)
        packet_unref(&(*p)->last);
    *p = NULL;
}

unsigned relay_home(const struct relay *r, const char *name)
{
    (void)r, (void)name;
    return relay_.home;
}

/* ---- The fixture ------------------------------------------------------------------------------- */

struct fixture {
    struct rtc_pair pair;
    struct whip *whip;
    unsigned forwarded_to;
    bool can_forward;
    char *offer;
    size_t offer_len;
};

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    struct fixture *f = arg;

    f->forwarded_to = index;
    if (f->can_forward)
        http_reply(x, 299, NULL, NULL, 0);
    return f->can_forward;
}

static void load_offer(struct fixture *f, const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), FIXTURES "/%s", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    free(f->offer);
    f->offer = calloc(1, SDP_BYTES_MAX);
    assert_non_null(f->offer);
    f->offer_len = fread(f->offer, 1, SDP_BYTES_MAX - 1, file);
    fclose(file);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    fake_forget_routes();
    rtc_pair_init(&f->pair);
    memset(&relay_, 0, sizeof(relay_));
    relay_.home = HOME;
    assert_int_equal(packet_pool_create(&relay_.pool, 64), 0);
    struct whip_cfg cfg = {.endpoint = f->pair.server.endpoint, .index = INDEX, .audio_transcode = true,
                           .publishers_max = 2, .forward = forward, .arg = f};
    assert_int_equal(whip_open(&f->whip, &cfg), 0);
    load_offer(f, "chromium_whip.sdp");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    whip_close(&f->whip);
    assert_null(f->whip);
    assert_false(relay_.publication.open);
    rtc_pair_fini(&f->pair);
    pool_destroy(&relay_.pool);
    free(f->offer);
    free(f);
    return 0;
}

static struct http_exchange *request(enum http_method method, const char *path, const char *type,
                                     const char *if_match, const char *body, size_t len)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    assert_non_null(x);
    *x = (struct http_exchange){
        .method = method, .path = path, .type = type, .if_match = if_match, .body = body, .body_len = len};
    fake_request(x);
    return x;
}

static struct http_exchange *post(struct fixture *f)
{
    return request(HTTP_M_POST, "/whip/live/test", "application/sdp", NULL, f->offer, f->offer_len);
}

static void claimed(enum publish_result result)
{
    struct publication *p = &relay_.publication;

    assert_true(p->open);
    p->ops->on_claimed(p->arg, result);
}

/* A session that has its answer. */
static struct http_exchange *publish(struct fixture *f)
{
    struct http_exchange *x = post(f);

    assert_false(x->replied);
    claimed(PUBLISH_OK);
    assert_int_equal(x->status, 201);
    return x;
}

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
    claimed(PUBLISH_OK);
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
    assert_string_equal(relay_.publication.name, "live/test");
    assert_int_equal(whip_publishers(f->whip), 0);
    claimed(PUBLISH_OK);
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
    assert_int_equal(relay_.publication.n_starts, 0); /* not before media can come */
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

        claimed(rows[i].result);
        assert_int_equal(x->status, rows[i].status);
        assert_int_equal(x->retry_after[0] != '\0', rows[i].retry);
        assert_string_equal(x->content_type, "application/problem+json");
        assert_false(relay_.publication.open);
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
        assert_false(relay_.publication.open);
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
    assert_false(relay_.publication.open);
    assert_int_equal(whip_counters(f->whip)->gone, 1);
    free(x);
}

static void a_post_runs_on_the_streams_home_worker(void **state)
{
    struct fixture *f = *state;

    relay_.home = 1;
    f->can_forward = true;
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 299);
    assert_int_equal(f->forwarded_to, 1);
    assert_false(relay_.publication.open);
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
    assert_true(relay_.publication.open);
    claimed(PUBLISH_OK);
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
    assert_false(relay_.publication.open);
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

/* ---- With media -------------------------------------------------------------------------------- */

/* Our client end publishes Opus and VP8. */
static struct http_exchange *publish_for_real(struct fixture *f)
{
    struct rtc_side *c = &f->pair.client;
    struct sdp_offer *answer = malloc(sizeof(*answer));
    char text[2048];

    assert_non_null(answer);
    rtc_side_create(c, false, true);
    c->other = NULL;
    int n = snprintf(text, sizeof(text),
                     "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n"
                     "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\n"
                     "a=fingerprint:%s\r\na=setup:actpass\r\n"
                     "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=sendonly\r\na=rtcp-mux\r\n"
                     "a=rtpmap:111 opus/48000/2\r\n"
                     "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=sendonly\r\na=rtcp-mux\r\n"
                     "a=rtpmap:96 VP8/90000\r\n"
                     "a=rtcp-fb:96 nack pli\r\na=rtcp-fb:96 nack\r\n",
                     rtc_transport_ufrag(c->transport), rtc_transport_pwd(c->transport),
                     rtc_endpoint_fingerprint(c->endpoint));
    struct http_exchange *x = request(HTTP_M_POST, "/whip/live/test", "application/sdp", NULL, text,
                                      (size_t)n);
    assert_false(x->replied);
    claimed(PUBLISH_OK);
    assert_int_equal(x->status, 201);
    assert_int_equal(sdp_offer_parse(answer, x->reply, x->reply_len), SDP_OK);
    assert_int_equal(answer->setup, SDP_SETUP_PASSIVE);
    struct rtc_remote remote = {.ufrag = answer->ice_ufrag,
                                .pwd = answer->ice_pwd,
                                .fingerprint = answer->fingerprint,
                                .role = DTLS_ACTIVE,
                                .candidates = answer->candidates,
                                .n_candidates = answer->n_candidates};
    assert_int_equal(rtc_transport_start(c->transport, &remote), 0);
    free(answer);
    return x;
}

static void send_vp8(struct fixture *f, uint64_t index, bool key)
{
    uint8_t hdr[12] = {0x80,
                       0x80 | 96,
                       (uint8_t)(index >> 8),
                       (uint8_t)index,
                       0,
                       0,
                       (uint8_t)(index * 3000 >> 8),
                       (uint8_t)(index * 3000),
                       0,
                       0,
                       0,
                       42};
    static const uint8_t keyframe[] = {0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xf0, 0},
                         inter[] = {0x10, 0x11, 0, 0};
    struct rtc_rtp p = {.index = index, .hdr = hdr, .hdr_len = 12, .payload = key ? keyframe : inter,
                        .payload_len = key ? sizeof(keyframe) : sizeof(inter)};

    assert_true(rtc_transport_send_rtp(f->pair.client.transport, &p) > 0);
}

static void find_live(void *arg, const struct whip_facts *facts)
{
    struct whip_facts *out = arg;

    *out = *facts;
}

static void media_flows_from_the_client_into_the_publication(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = publish_for_real(f);
    struct publication *p = &relay_.publication;
    struct whip_facts facts = {0};

    test_loop_run(&f->pair.loop); /* until the client is connected */
    test_loop_run_for(&f->pair.loop, 10000);
    assert_int_equal(p->n_starts, 1);
    assert_int_equal(p->tracks.n, 3);
    assert_int_equal(p->tracks.v[0].codec, CODEC_OPUS);
    assert_int_equal(p->tracks.v[0].channels, 2);
    assert_int_equal(p->tracks.v[1].codec, CODEC_VP8);
    assert_int_equal(p->tracks.v[1].n_layers, 1);
    assert_true(p->tracks.v[2].derived && p->tracks.v[2].codec == CODEC_AAC && p->tracks.v[2].source == 0);
    send_vp8(f, 1, true);
    send_vp8(f, 2, false);
    send_vp8(f, 4, false); /* 3 is lost */
    f->pair.client.stop_after_rtcp = 1; /* a NACK */
    test_loop_run(&f->pair.loop);
    assert_int_equal(p->n_packets, 3);
    assert_int_equal(p->last->track, 1);
    assert_int_equal(p->last->seq & 0xffff, 4);
    whip_each(f->whip, find_live, &facts);
    assert_true(facts.live);
    assert_string_equal(facts.stream, "live/test");
    assert_string_equal(facts.profile, "AEAD_AES_128_GCM");
    assert_int_equal(facts.media.n_tracks, 2);
    assert_int_equal(facts.media.tracks[1].counters.packets, 3);
    assert_int_equal(facts.media.tracks[1].counters.keyframes, 1);
    assert_int_equal(facts.media.tracks[1].counters.nacked, 1);
    assert_true(facts.media.tracks[0].silent_us == UINT64_MAX);
    /* Someone needs a keyframe. */
    f->pair.client.stop_after_rtcp = f->pair.client.n_rtcp + 1;
    p->ops->on_keyframe(p->arg, 1, 0);
    test_loop_run(&f->pair.loop);
    free(x);
}

static void a_name_that_is_lost_ends_the_session(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = publish_for_real(f);

    test_loop_run(&f->pair.loop);
    test_loop_run_for(&f->pair.loop, 10000);
    relay_.publication.ops->on_revoked(relay_.publication.arg, "another publisher took it");
    assert_false(relay_.publication.open);
    assert_int_equal(whip_publishers(f->whip), 0);
    assert_int_equal(whip_counters(f->whip)->revoked, 1);
    free(x);
}

static void figures_of_past_sessions_are_kept(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = publish_for_real(f);
    struct whip_media_counters before, after;

    test_loop_run(&f->pair.loop);
    send_vp8(f, 1, true);
    test_loop_run_for(&f->pair.loop, 20000);
    whip_totals(f->whip, &before);
    assert_int_equal(before.packets, 1);
    free(request(HTTP_M_DELETE, x->location, NULL, NULL, NULL, 0));
    whip_totals(f->whip, &after);
    assert_memory_equal(&before, &after, sizeof(before));
    free(x);
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
        TEST(media_flows_from_the_client_into_the_publication),
        TEST(a_name_that_is_lost_ends_the_session),
        TEST(figures_of_past_sessions_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
