/* SPDX-License-Identifier: Apache-2.0
 * test_whip_live.c - WHIP sessions in which media arrives, from a client that is as real as the server. */
#include "scene.h"

#include "webrtc/sdp.h"

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
    claimed(f, PUBLISH_OK);
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
    struct publication *p = &f->publication;
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
    f->publication.ops->on_revoked(f->publication.arg, "another publisher took it");
    assert_false(f->publication.open);
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
        TEST(media_flows_from_the_client_into_the_publication),
        TEST(a_name_that_is_lost_ends_the_session),
        TEST(figures_of_past_sessions_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
