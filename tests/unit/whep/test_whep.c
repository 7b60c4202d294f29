/* SPDX-License-Identifier: Apache-2.0
 * test_whep.c - WHEP requests and what becomes of them: a real router; HTTP, transport and relay are the test's. */
#include "fake_http.h"

#include "edge/whep.h"
#include "router/router.h"
#include "webrtc/resource.h"
#include "unit/io/loop.h"
#include "unit/webrtc/fake_transport.h"
#include "webrtc/sctp.h"
#include "webrtc/sdp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINK "<stun:stun.example.org>; rel=\"ice-server\""

enum { INDEX = 3, GRACE_US = 60000, JOIN_US = 80000 };

struct fixture {
    struct test_loop loop;
    struct router_set *routers;
    struct producer producer;
    struct whep *whep;
    uint64_t epoch;
    unsigned forwarded_to;
    bool can_forward;
    char *offer; /* of a browser */
    size_t offer_len;
};

/* ---- relay/relay.h: the routers of this fixture --------------------------------------------------------------- */

static struct fixture *F;

struct router *relay_router(struct relay *r, const char *name)
{
    (void)r;
    return router_open(F->routers, name);
}

struct worker *relay_worker(struct relay *r)
{
    (void)r;
    return F->loop.w;
}

/* ---- the fixture ------------------------------------------------------------------------------------------------ */

static void ignore_router(void *arg, struct router *r)
{
    (void)arg;
    (void)r;
}

static void on_want(struct producer *p, uint64_t want)
{
    (void)p;
    (void)want;
}

static void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    (void)track;
    (void)layer;
}

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    struct fixture *f = arg;

    f->forwarded_to = index;
    if (f->can_forward)
        http_reply(x, 299, NULL, NULL, 0);
    return f->can_forward;
}

static void load_offer(struct fixture *f)
{
    FILE *file = fopen(FIXTURES "/chromium_whep.sdp", "rb");

    assert_non_null(file);
    f->offer = malloc(SDP_BYTES_MAX);
    assert_non_null(f->offer);
    f->offer_len = fread(f->offer, 1, SDP_BYTES_MAX, file);
    fclose(file);
}

/* A node that takes three viewers. */
static void admit(void *arg, struct http_exchange *x, const char *stream, void (*go)(struct http_exchange *x, void *whep),
                  void *whep)
{
    struct fixture *f = arg;

    assert_true(stream_name_valid(stream));
    if (whep_viewers(f->whep) < 3)
        go(x, whep);
    else
        rtc_http_refuse(x, 503, 7, "full");
}

static int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 20, .cap_packets = 1024, .cap_us = 10000000},
                                 .linger_us = 10000000, .on_demand = ignore_router, .on_idle = ignore_router};

    assert_non_null(f);
    fake_forget_routes();
    test_loop_init(&f->loop);
    assert_int_equal(router_set_create(&f->routers, f->loop.w, &cfg), 0);
    assert_int_equal(whep_open(&f->whep, &(struct whep_cfg){.endpoint = fake_endpoint(f->loop.w), .index = INDEX, .link = LINK,
                               .grace_us = GRACE_US, .join_us = JOIN_US, .admit = admit, .forward = forward, .arg = f}), 0);
    load_offer(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    whep_close(&f->whep);
    assert_null(f->whep);
    assert_null(fake_transport());
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    router_set_destroy(&f->routers);
    test_loop_fini(&f->loop);
    free(f->offer);
    free(f);
    return 0;
}

static void publish(struct fixture *f, enum codec video, enum codec audio)
{
    static const struct producer_ops ops = {on_want, on_keyframe};
    struct router *r = router_open(f->routers, "live/test");
    struct track_set set = {.epoch = ++f->epoch, .n = 2};

    set.v[0] = (struct track){.codec = video, .clock_hz = 90000, .n_layers = 1};
    set.v[1] = (struct track){.codec = audio, .clock_hz = 48000, .n_layers = 1};
    f->producer = (struct producer){.ops = &ops, .kind = "test"};
    router_publish(r, &f->producer, &set);
    router_ready(&f->producer);
}

static struct http_exchange *post(struct fixture *f)
{
    struct http_exchange *x = calloc(1, sizeof(*x));

    assert_non_null(x);
    *x = (struct http_exchange){.method = HTTP_M_POST, .path = "/whep/live/test", .type = "application/sdp", .body = f->offer,
                                .body_len = f->offer_len};
    fake_request(x);
    return x;
}

/* A session that plays; its URL into location. */
static void join(struct fixture *f, char location[128], char etag[64])
{
    struct http_exchange *x = post(f);

    assert_int_equal(x->status, 201);
    memcpy(location, x->location, 128);
    memcpy(etag, x->etag, 64);
    free(x);
}

static int request(enum http_method method, const char *path, const char *type, const char *if_match, const char *body,
                   struct http_exchange *x)
{
    *x = (struct http_exchange){.method = method, .path = path, .type = type, .if_match = if_match, .body = body,
                                .body_len = body ? strlen(body) : 0};
    fake_request(x);
    assert_true(x->replied);
    return x->status;
}

/* ---- POST ------------------------------------------------------------------------------------------------------------ */

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

static void publish_with_data(struct fixture *f)
{
    static const struct producer_ops ops = {on_want, on_keyframe};
    struct track_set set = {.epoch = ++f->epoch, .n = 2};

    set.v[0] = (struct track){.codec = CODEC_VP8, .clock_hz = 90000, .n_layers = 1};
    set.v[1] = (struct track){.codec = CODEC_DATA, .clock_hz = 90000, .n_layers = 1};
    f->producer = (struct producer){.ops = &ops, .kind = "test"};
    router_publish(router_open(f->routers, "live/test"), &f->producer, &set);
    router_ready(&f->producer);
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
        if (rows[i].published)
            publish_with_data(f);
        else
            publish(f, CODEC_VP8, CODEC_OPUS);
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

static void a_viewer_chooses_layers_by_either_name(void **state)
{
    static const struct {
        const char *body;
        int status;
        const char *told; /* in the answer */
    } rows[] = {
        {"{\"maxSpatialLayerId\":1,\"maxTemporalLayerId\":0}", 200, "\"chosen\":{\"maxSpatialLayerId\":1,\"maxTemporalLayerId\":0}"},
        {"{\"mediaId\":\"1\",\"spatialLayerId\":2}", 200, "\"chosen\":{\"maxSpatialLayerId\":2}"},
        {"{\"temporalLayerId\":1,\"maxTemporalLayerId\":null}", 200, "\"chosen\":{\"maxTemporalLayerId\":1}"},
        {"{\"encodingId\":null}", 200, "\"chosen\":null"},
        {"{}", 200, "\"layers\":[]"},
        {"{\"maxSpatialLayerId\":8}", 400, "maxSpatialLayerId"},
        {"{\"maxTemporalLayerId\":-1}", 400, "maxSpatialLayerId"},
        {"{\"maxTemporalLayerId\":\"0\"}", 400, "maxSpatialLayerId"},
        {"{\"encodingId\":\"q\"}", 422, "no such layer"},
        {"{\"encodingId\":\"a-rid-that-is-far-too-long\"}", 422, "no such layer"},
        {"{\"mediaId\":\"7\",\"maxSpatialLayerId\":1}", 422, "not the video's"},
        {"[1]", 400, "must be"},
        {"{", 400, "must be"},
    };
    struct fixture *f = *state;
    char location[128], etag[64], path[160], told[1024];
    struct http_exchange x;

    publish(f, CODEC_VP9, CODEC_OPUS);
    join(f, location, etag);
    snprintf(path, sizeof(path), "%s/layer", location);
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_int_equal(request(HTTP_M_POST, path, "application/json", NULL, rows[i].body, &x), rows[i].status);
        snprintf(told, sizeof(told), "%.*s", (int)x.reply_len, (const char *)x.reply);
        assert_non_null(strstr(told, rows[i].told));
    }
    assert_int_equal(request(HTTP_M_POST, path, "text/plain", NULL, "{}", &x), 415);
    assert_int_equal(request(HTTP_M_GET, path, NULL, NULL, NULL, &x), 200);
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

static void a_post_waits_for_the_stream_to_be_fetched(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    assert_false(x->replied);
    test_loop_run_for(&f->loop, 20000);
    assert_false(x->replied);
    assert_int_equal(whep_viewers(f->whep), 0);
    publish(f, CODEC_VP8, CODEC_OPUS);
    assert_int_equal(x->status, 201);
    assert_int_equal(whep_viewers(f->whep), 1);
    test_loop_run_for(&f->loop, JOIN_US + 20000); /* the deadline was the answer's, not the session's */
    assert_int_equal(whep_viewers(f->whep), 1);
    free(x);
}

static void why_there_is_no_stream_decides_the_status(void **state)
{
    static const struct {
        enum stream_end why;
        int status;
    } rows[] = {{STREAM_UNKNOWN, 409}, {STREAM_UNPUBLISHED, 409}, {STREAM_UNREACHABLE, 503}};
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_exchange *x = post(f);
        assert_false(x->replied);
        router_refuse(router_find(f->routers, "live/test"), rows[i].why);
        assert_int_equal(x->status, rows[i].status);
        assert_in_range(atoi(x->retry_after), 1, 3);
        assert_int_equal(x->on_gone != NULL, 1);
        test_loop_run_for(&f->loop, 5000);
        assert_null(fake_transport());
        assert_int_equal(router_consumers(router_find(f->routers, "live/test"), NULL), 0);
        free(x);
    }
    assert_int_equal(whep_counters(f->whep)->no_publisher, 2);
    assert_int_equal(whep_counters(f->whep)->unreachable, 1);
}

static void a_stream_that_does_not_come_in_time_is_504(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    test_loop_run_for(&f->loop, JOIN_US + 40000);
    assert_int_equal(x->status, 504);
    assert_true(x->retry_after[0] != '\0');
    assert_int_equal(whep_counters(f->whep)->timeouts, 1);
    assert_null(fake_transport());
    free(x);
}

static void a_client_that_goes_away_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    fake_gone(x);
    assert_int_equal(whep_counters(f->whep)->gone, 1);
    assert_null(fake_transport());
    publish(f, CODEC_VP8, CODEC_OPUS);
    assert_false(x->replied);
    free(x);
}

static void more_viewers_than_allowed_are_turned_away_for_a_while(void **state)
{
    struct fixture *f = *state;
    char location[128], etag[64];

    publish(f, CODEC_VP8, CODEC_OPUS);
    for (int i = 0; i < 3; i++)
        join(f, location, etag);
    struct http_exchange *x = post(f);
    assert_int_equal(x->status, 503);
    assert_int_equal(atoi(x->retry_after), 7);
    free(x);
}

static void the_endpoint_can_be_looked_at(void **state)
{
    struct http_exchange x;

    (void)state;
    assert_int_equal(request(HTTP_M_GET, "/whep/live/test", NULL, NULL, NULL, &x), 204);
    assert_int_equal(x.reply_len, 0);
    assert_int_equal(request(HTTP_M_HEAD, "/whep/live/test", NULL, NULL, NULL, &x), 200);
    assert_int_equal(x.reply_len, 0);
}

/* ---- sessions ------------------------------------------------------------------------------------------------------- */

#define FRAGMENT "application/trickle-ice-sdpfrag"
#define TRICKLE \
    "a=ice-ufrag:QT1E\r\na=ice-pwd:e2UBpKHQBX4dYpQ4Sl1d8eA7\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n" \
    "a=candidate:1 1 udp 2113937151 52361af0-4253-4cd6-80c3-a922071eb1dc.local 51032 typ host\r\n"
#define RESTART \
    "a=ice-ufrag:NEW1\r\na=ice-pwd:e2UBpKHQBX4dYpQ4Sl1dNEWW\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\n"

static void patches_do_what_rfc_9725_says(void **state)
{
    static const struct {
        const char *name, *type, *match, *body; /* match "=": the present ETag */
        int status;
        unsigned restarts; /* so far */
    } rows[] = {
        {"trickle", FRAGMENT, "=", TRICKLE, 204, 0},
        {"another type", "application/sdp", "=", TRICKLE, 415, 0},
        {"without If-Match", FRAGMENT, NULL, TRICKLE, 428, 0},
        {"stale", FRAGMENT, "\"nothing-7\"", TRICKLE, 412, 0},
        {"no fragment", FRAGMENT, "=", "a=candidate\r\n", 400, 0},
        {"any, with the credentials that we know", FRAGMENT, "*", TRICKLE, 204, 0},
        {"restart", FRAGMENT, "*", RESTART, 200, 1},
        {"the same restart again is one", FRAGMENT, "*", RESTART, 204, 1},
        {"trickle after it", FRAGMENT, "=", RESTART, 204, 1},
        {"the old ETag is stale", FRAGMENT, "old", TRICKLE, 412, 1},
    };
    struct fixture *f = *state;
    char location[128], etag[64], old[64];

    publish(f, CODEC_VP8, CODEC_OPUS);
    join(f, location, etag);
    memcpy(old, etag, sizeof(old));
    for (size_t i = 0; i < LEN(rows); i++) {
        const char *match = rows[i].match;
        struct http_exchange x;
        print_message("  %s\n", rows[i].name);
        if (match && strcmp(match, "=") == 0)
            match = etag;
        if (match && strcmp(match, "old") == 0)
            match = old;
        assert_int_equal(request(HTTP_M_PATCH, location, rows[i].type, match, rows[i].body, &x), rows[i].status);
        assert_int_equal(fake_transport()->restarts, rows[i].restarts);
        assert_int_equal(whep_viewers(f->whep), 1);
        if (rows[i].status == 200) {
            assert_string_equal(x.content_type, FRAGMENT);
            assert_string_not_equal(x.etag, etag);
            assert_non_null(strstr(x.reply, "a=ice-ufrag:again1\r\n"));
            assert_non_null(strstr(x.reply, "a=mid:0\r\n"));
            memcpy(etag, x.etag, sizeof(etag));
        }
    }
}

static void a_deleted_session_is_gone(void **state)
{
    struct fixture *f = *state;
    char location[128], etag[64];
    struct http_exchange x;

    publish(f, CODEC_VP8, CODEC_OPUS);
    join(f, location, etag);
    assert_int_equal(request(HTTP_M_DELETE, location, NULL, NULL, NULL, &x), 200);
    assert_int_equal(whep_viewers(f->whep), 0);
    assert_null(fake_transport());
    assert_int_equal(request(HTTP_M_DELETE, location, NULL, NULL, NULL, &x), 404);
    assert_int_equal(request(HTTP_M_PATCH, location, FRAGMENT, etag, TRICKLE, &x), 404);
    assert_int_equal(whep_counters(f->whep)->deleted, 1);
}

static void a_session_of_another_worker_is_forwarded(void **state)
{
    static const struct {
        const char *path;
        bool can;
        int status;
        unsigned to; /* 99: not asked */
    } rows[] = {
        {"/whep/session/7-abcdefghijklmnopqrstuv", true, 299, 7},
        {"/whep/session/7-abcdefghijklmnopqrstuv", false, 404, 7},
        {"/whep/session/3-abcdefghijklmnopqrstuv", true, 404, 99},
        {"/whep/session/65535-abc", true, 404, 99},
        {"/whep/session/123456789012345678901-abc", true, 404, 99},
        {"/whep/session/-1-abc", true, 404, 99},
        {"/whep/session/3", true, 404, 99},
        {"/whep/session/", true, 404, 99},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < LEN(rows); i++) {
        struct http_exchange x;
        f->forwarded_to = 99;
        f->can_forward = rows[i].can;
        assert_int_equal(request(HTTP_M_DELETE, rows[i].path, NULL, NULL, NULL, &x), rows[i].status);
        assert_int_equal(f->forwarded_to, rows[i].to);
    }
}

static void a_session_outlives_its_publisher_for_the_grace_time(void **state)
{
    struct fixture *f = *state;
    char location[128], etag[64];

    publish(f, CODEC_VP8, CODEC_OPUS);
    join(f, location, etag);
    fake_connect(fake_transport());
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    test_loop_run_for(&f->loop, GRACE_US / 2);
    assert_int_equal(whep_viewers(f->whep), 1);
    publish(f, CODEC_H264, CODEC_OPUS); /* it is back: the time no longer runs */
    test_loop_run_for(&f->loop, GRACE_US + 20000);
    assert_int_equal(whep_viewers(f->whep), 1);
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    test_loop_run_for(&f->loop, GRACE_US + 40000);
    assert_int_equal(whep_viewers(f->whep), 0);
    assert_int_equal(whep_counters(f->whep)->ended, 1);
    assert_null(fake_transport());
}

static void a_lost_transport_ends_its_session(void **state)
{
    struct fixture *f = *state;
    char location[128], etag[64];

    publish(f, CODEC_VP8, CODEC_OPUS);
    join(f, location, etag);
    fake_close(fake_transport(), RTC_CLOSE_UNREACHED);
    join(f, location, etag);
    fake_connect(fake_transport());
    fake_close(fake_transport(), RTC_CLOSE_CONSENT);
    assert_int_equal(whep_viewers(f->whep), 0);
    assert_int_equal(whep_counters(f->whep)->never_connected, 1);
    assert_int_equal(whep_counters(f->whep)->lost, 1);
}

static void look(void *arg, const struct whep_facts *s)
{
    unsigned *seen = arg;

    (*seen)++;
    assert_int_equal(strlen(s->id), 2 + 8); /* the secret is not told */
    assert_string_equal(s->stream, "live/test");
    assert_string_equal(s->profile, "AEAD_AES_128_GCM");
    assert_int_equal(s->viewer.video, CODEC_VP8);
    assert_int_equal(s->viewer.audio, CODEC_OPUS);
    assert_true(s->viewer.connected);
    assert_false(s->ended);
    assert_int_equal(addr_port(&s->peer), 8000);
    assert_int_equal(addr_port(&s->http_peer), 4711);
}

static void sessions_can_be_listed(void **state)
{
    struct fixture *f = *state;
    char location[128], etag[64];
    struct whep_totals totals;
    unsigned seen = 0;

    whep_each(f->whep, look, &seen);
    assert_int_equal(seen, 0);
    publish(f, CODEC_VP8, CODEC_OPUS);
    join(f, location, etag);
    fake_connect(fake_transport());
    whep_each(f->whep, look, &seen);
    assert_int_equal(seen, 1);
    whep_totals(f->whep, &totals);
    assert_int_equal(totals.packets, 0);
}

static void a_node_that_stops_answers_those_who_wait(void **state)
{
    struct fixture *f = *state;
    struct http_exchange *x = post(f);

    whep_close(&f->whep);
    assert_int_equal(x->status, 503);
    free(x);
}

#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

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
        IN_FIXTURE(a_viewer_chooses_layers_by_either_name),
        IN_FIXTURE(hevc_goes_to_who_can_receive_it),
        IN_FIXTURE(an_offer_of_ours_ends_with_its_stream),
        IN_FIXTURE(a_post_waits_for_the_stream_to_be_fetched),
        IN_FIXTURE(why_there_is_no_stream_decides_the_status),
        IN_FIXTURE(a_stream_that_does_not_come_in_time_is_504),
        IN_FIXTURE(a_client_that_goes_away_leaves_nothing),
        IN_FIXTURE(more_viewers_than_allowed_are_turned_away_for_a_while),
        IN_FIXTURE(the_endpoint_can_be_looked_at),
        IN_FIXTURE(patches_do_what_rfc_9725_says),
        IN_FIXTURE(a_deleted_session_is_gone),
        IN_FIXTURE(a_session_of_another_worker_is_forwarded),
        IN_FIXTURE(a_session_outlives_its_publisher_for_the_grace_time),
        IN_FIXTURE(a_lost_transport_ends_its_session),
        IN_FIXTURE(sessions_can_be_listed),
        IN_FIXTURE(a_node_that_stops_answers_those_who_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
