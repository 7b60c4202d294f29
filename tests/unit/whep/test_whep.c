/* SPDX-License-Identifier: Apache-2.0
 * test_whep.c - WHEP sessions: waiting for the stream, layers, PATCH and DELETE, and how they end. */
#include "scene.h"
#include "unit/webrtc/fake_transport.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A session that plays; its URL into location. */
static void join(struct fixture *f, char location[128], char etag[64])
{
    struct http_exchange *x = post(f);

    assert_int_equal(x->status, 201);
    memcpy(location, x->location, 128);
    memcpy(etag, x->etag, 64);
    free(x);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(a_viewer_chooses_layers_by_either_name),
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
