/* SPDX-License-Identifier: Apache-2.0
 * test_transport.c - ICE, DTLS and SRTP end to end: our server side against our client side over loopback. Addresses are
 * test_endpoint.c's. */
#include "rtc_pair.h"

/* ---- Connecting and media ---------------------------------------------------------------------- */

static void a_publisher_connects_and_its_packets_arrive_as_they_were(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, true);
    assert_string_equal(rtc_transport_profile(p.server.transport), "AEAD_AES_128_GCM");
    assert_string_equal(rtc_transport_profile(p.client.transport), "AEAD_AES_128_GCM");
    p.server.stop_after_rtp = 3;
    for (uint64_t i = 65534; i < 65537; i++) /* over a roll-over */
        assert_int_equal(rtc_side_send(&p.client, i, 7, 100), 12 + 100 + 16);
    test_loop_run(&p.loop);
    assert_int_equal(p.server.rtp_len, 112);
    assert_int_equal(p.server.rtp[3], 0);
    assert_int_equal(p.server.rtp[111], 0);
    assert_int_equal(rtc_transport_counters(p.server.transport)->rtp_in, 3);
    p.client.stop_after_rtcp = 1;
    assert_true(rtc_transport_send_rtcp(p.server.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
    test_loop_run(&p.loop);
    assert_int_equal(p.client.rtcp_len, sizeof(rtc_pair_rr));
    assert_memory_equal(p.client.rtcp, rtc_pair_rr, sizeof(rtc_pair_rr));
    rtc_pair_fini(&p);
}

static void a_viewer_gets_media_and_its_feedback_arrives(void **state)
{
    struct rtc_pair p;
    uint8_t hdr[12] = {0x80, 97, 0, 1}, payload[50] = {1, 2, 3};
    struct rtc_rtp packet = {.index = 1,
                             .hdr = hdr,
                             .hdr_len = 12,
                             .prefix = (const uint8_t *)"OS",
                             .prefix_len = 2,
                             .payload = payload,
                             .payload_len = sizeof(payload)};

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    p.client.stop_after_rtp = 1;
    assert_int_equal(rtc_transport_send_rtp(p.server.transport, &packet), 12 + 2 + 50 + 16);
    test_loop_run(&p.loop);
    assert_int_equal(p.client.rtp_len, 64);
    assert_memory_equal(p.client.rtp + 12, "OS\1\2\3", 5);
    p.server.stop_after_rtcp = 1;
    assert_true(rtc_transport_send_rtcp(p.client.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
    test_loop_run(&p.loop);
    assert_memory_equal(p.server.rtcp, rtc_pair_rr, sizeof(rtc_pair_rr));
    rtc_side_send(&p.client, 5, 9, 10); /* a viewer that sends media */
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(rtc_transport_counters(p.server.transport)->unwanted, 1);
    rtc_pair_fini(&p);
}

static void the_server_may_be_the_active_side(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_start(&p, true, DTLS_ACTIVE);
    test_loop_run(&p.loop);
    assert_true(p.server.connected && p.client.connected);
    p.server.stop_after_rtp = 1;
    rtc_side_send(&p.client, 1, 7, 100);
    test_loop_run(&p.loop);
    rtc_pair_fini(&p);
}

static void a_frame_leaves_as_one_message(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    test_loop_run_for(&p.loop, 1000);
    struct udp_counters before = *rtc_endpoint_udp_counters(p.server.endpoint);
    p.client.stop_after_rtp = 10;
    for (uint64_t i = 1; i <= 10; i++)
        rtc_side_send(&p.server, i, 7, 1100);
    test_loop_run(&p.loop);
    const struct udp_counters *after = rtc_endpoint_udp_counters(p.server.endpoint);
    assert_int_equal(after->sent - before.sent, 10);
    assert_int_equal(after->send_messages - before.send_messages, 1);
    rtc_pair_fini(&p);
}

static void a_report_joins_the_frame_before_it(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    test_loop_run_for(&p.loop, 1000);
    struct udp_counters before = *rtc_endpoint_udp_counters(p.server.endpoint);
    assert_false(rtc_transport_rtcp_joins(p.server.transport, sizeof(rtc_pair_rr)));
    for (uint64_t i = 1; i <= 3; i++)
        rtc_side_send(&p.server, i, 7, 1100);
    assert_true(rtc_transport_rtcp_joins(p.server.transport, sizeof(rtc_pair_rr)));
    assert_false(rtc_transport_rtcp_joins(p.server.transport, 1300)); /* longer than the fragments */
    assert_true(rtc_transport_send_rtcp(p.server.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
    assert_false(rtc_transport_rtcp_joins(p.server.transport, sizeof(rtc_pair_rr))); /* one short segment ends a message */
    p.client.stop_after_rtcp = 1;
    test_loop_run(&p.loop);
    const struct udp_counters *after = rtc_endpoint_udp_counters(p.server.endpoint);
    assert_int_equal(after->sent - before.sent, 4);
    assert_int_equal(after->send_messages - before.send_messages, 1);
    rtc_pair_fini(&p);
}

static void a_header_is_written_where_it_leaves_from_and_padding_behind_the_payload(void **state)
{
    static const size_t rows[] = {0, 1, 2, 64, 255};
    struct rtc_pair p;
    uint8_t payload[50] = {1, 2, 3, [49] = 50}, zeros[255] = {0};

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *at = rtc_transport_reserve_rtp(p.server.transport, 28 + sizeof(payload) + rows[i]);
        assert_non_null(at);
        memcpy(at, (uint8_t[12]){rows[i] ? 0xa0 : 0x80, 97, 0, (uint8_t)(1 + i), [11] = 9}, 12);
        struct rtc_rtp packet = {.index = 1 + i, .hdr = at, .hdr_len = 12, .payload = payload, .payload_len = sizeof(payload)};
        p.client.stop_after_rtp = (unsigned)i + 1;
        assert_int_equal(rtc_transport_commit_rtp(p.server.transport, &packet, rows[i]), 12 + 50 + rows[i] + 16);
        test_loop_run(&p.loop);
        assert_int_equal(p.client.rtp_len, 12 + 50 + rows[i]);
        assert_int_equal(p.client.rtp[3], 1 + i);
        assert_memory_equal(p.client.rtp + 12, payload, sizeof(payload));
        assert_memory_equal(p.client.rtp + 12 + 50, zeros, rows[i] ? rows[i] - 1 : 0);
        assert_int_equal(p.client.rtp[p.client.rtp_len - 1], rows[i] ? rows[i] : 50);
    }
    assert_null(rtc_transport_reserve_rtp(p.server.transport, RTC_RTP_MAX + 1));
    assert_int_equal(rtc_transport_counters(p.server.transport)->send_refused, 1);
    rtc_pair_fini(&p);
}

static void what_is_too_long_or_too_early_is_refused(void **state)
{
    struct rtc_pair p;
    uint8_t big[RTC_RTP_MAX + 1] = {0x80};

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_start(&p, false, DTLS_PASSIVE);
    assert_int_equal(rtc_side_send(&p.server, 1, 7, 100), 0);
    assert_int_equal(rtc_transport_send_rtcp(p.server.transport, rtc_pair_rr, sizeof(rtc_pair_rr)), 0);
    test_loop_run(&p.loop);
    struct rtc_rtp packet = {
        .index = 1, .hdr = big, .hdr_len = 12, .payload = big, .payload_len = RTC_RTP_MAX - 11};
    assert_int_equal(rtc_transport_send_rtp(p.server.transport, &packet), 0);
    assert_int_equal(rtc_transport_send_rtcp(p.server.transport, big, UDP_DATAGRAM_MAX), 0);
    assert_int_equal(rtc_transport_counters(p.server.transport)->send_refused, 4);
    packet.payload_len--;
    assert_int_equal(rtc_transport_send_rtp(p.server.transport, &packet), UDP_DATAGRAM_MAX);
    rtc_pair_fini(&p);
}

static void another_certificate_than_announced_ends_it(void **state)
{
    struct rtc_pair p;
    struct cert *other;
    struct rtc_remote r;
    struct addr to;

    (void)state;
    rtc_pair_init(&p);
    assert_int_equal(cert_create_self_signed(&other, "other"), 0);
    rtc_side_create(&p.server, true, false);
    rtc_side_create(&p.client, false, true);
    r = (struct rtc_remote){.ufrag = rtc_transport_ufrag(p.client.transport),
                            .pwd = rtc_transport_pwd(p.client.transport)};
    assert_int_equal(fingerprint_parse(&r.fingerprint, cert_fingerprint(other)), 0);
    r.role = DTLS_PASSIVE;
    assert_int_equal(rtc_transport_start(p.server.transport, &r), 0);
    rtc_endpoint_local(p.server.endpoint, &to);
    rtc_side_start(&p.client, &p.server, DTLS_ACTIVE);
    p.client.quiet = true;
    test_loop_run(&p.loop);
    assert_true(p.server.closed && !p.server.connected);
    assert_int_equal(p.server.why, RTC_CLOSE_DTLS);
    assert_true(p.server.detail[0]);
    cert_destroy(&other);
    rtc_pair_fini(&p);
}

/* ---- Ends -------------------------------------------------------------------------------------- */

static void without_checks_for_30_s_consent_is_lost(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    p.server.transport->alive_us -= RTC_CONSENT_US;
    rtc_transport_schedule(p.server.transport, worker_now_us(p.loop.w));
    test_loop_run(&p.loop);
    assert_true(p.server.closed);
    assert_int_equal(p.server.why, RTC_CLOSE_CONSENT);
    assert_int_equal(rtc_side_send(&p.server, 1, 7, 100), 0);
    assert_int_equal(p.server.endpoint->by_addr.count, 0);
    assert_int_equal(p.server.endpoint->by_ufrag.count, 0);
    rtc_pair_fini(&p);
}

static void a_publishers_media_keeps_it_alive_and_a_viewers_reports_do_not(void **state)
{
    (void)state;
    for (int publish = 0; publish < 2; publish++) {
        struct rtc_pair p;

        rtc_pair_init(&p);
        rtc_pair_connect(&p, publish);
        uint64_t before_us = p.server.transport->alive_us -= 1000000;
        p.server.stop_after_rtcp = 1;
        rtc_transport_send_rtcp(p.client.transport, rtc_pair_rr, sizeof(rtc_pair_rr));
        test_loop_run(&p.loop);
        assert_int_equal(p.server.transport->alive_us > before_us, publish);
        rtc_pair_fini(&p);
    }
}

static void who_never_comes_is_given_up(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_side_create(&p.server, true, false);
    rtc_side_create(&p.client, false, true);
    rtc_side_start(&p.server, &p.client, DTLS_PASSIVE);
    p.server.transport->started_us -= RTC_CONSENT_US;
    rtc_transport_schedule(p.server.transport, worker_now_us(p.loop.w));
    test_loop_run(&p.loop);
    assert_true(p.server.closed);
    assert_int_equal(p.server.why, RTC_CLOSE_UNREACHED);
    rtc_pair_fini(&p);
}

static void in_a_crowd_who_never_comes_is_given_up_soon(void **state)
{
    enum { CROWD = 1024 };
    struct rtc_transport_cfg cfg = {.ops = &rtc_side_ops};
    struct rtc_transport **crowd = calloc(CROWD, sizeof(struct rtc_transport *));

    (void)state;
    for (size_t n = CROWD - 1; n <= CROWD; n++) {
        struct rtc_pair p;

        rtc_pair_init(&p);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(rtc_transport_create(&crowd[i], p.server.endpoint, &cfg), 0);
        rtc_side_create(&p.server, true, false);
        rtc_side_create(&p.client, false, true);
        p.server.quiet = true;
        rtc_side_start(&p.server, &p.client, DTLS_PASSIVE);
        p.server.transport->started_us -= 4000000;
        rtc_transport_schedule(p.server.transport, worker_now_us(p.loop.w));
        test_loop_run_for(&p.loop, 20);
        assert_int_equal(p.server.closed, n == CROWD);
        for (size_t i = 0; i < n; i++)
            rtc_transport_destroy(&crowd[i]);
        rtc_pair_fini(&p);
    }
    free(crowd);
}

static void a_hint_of_close_notify_counts_when_silence_follows(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, true);
    struct rtc_transport *t = p.server.transport;
    t->leaving_us = worker_now_us(p.loop.w) - 2000000;
    rtc_transport_schedule(t, worker_now_us(p.loop.w));
    rtc_side_send(&p.client, 1, 7, 10); /* it goes on sending: the hint was forged */
    p.server.stop_after_rtp = 1;
    test_loop_run(&p.loop);
    assert_int_equal(t->leaving_us, 0);
    t->leaving_us = worker_now_us(p.loop.w) - 3000000;
    rtc_transport_schedule(t, worker_now_us(p.loop.w));
    test_loop_run(&p.loop);
    assert_true(p.server.closed);
    assert_int_equal(p.server.why, RTC_CLOSE_PEER);
    rtc_pair_fini(&p);
}

static void the_owner_may_destroy_it_from_within_any_callback(void **state)
{
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    p.server.destroy_when_connected = true;
    rtc_pair_start(&p, true, DTLS_PASSIVE);
    test_loop_run_for(&p.loop, 200000);
    assert_true(p.server.connected);
    rtc_pair_fini(&p);

    rtc_pair_init(&p);
    rtc_pair_connect(&p, true);
    p.server.destroy_on_rtp = true;
    for (uint64_t i = 1; i < 5; i++)
        rtc_side_send(&p.client, i, 7, 100);
    test_loop_run_for(&p.loop, 50000);
    assert_int_equal(p.server.n_rtp, 1);
    rtc_pair_fini(&p);

    rtc_pair_init(&p); /* what came with it was looked up for it already */
    rtc_pair_connect(&p, false);
    p.server.destroy_on_rtcp = true;
    for (uint64_t i = 1; i < 8; i++)
        assert_true(rtc_transport_send_rtcp(p.client.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
    test_loop_run_for(&p.loop, 50000);
    assert_int_equal(p.server.n_rtcp, 1);
    assert_true(rtc_endpoint_counters(p.server.endpoint)->unknown_address >= 6);
    rtc_pair_fini(&p);
}

/* ---- Many -------------------------------------------------------------------------------------- */

enum { AT_ONCE = 10, ROUNDS = 100 };

/* A thousand handshakes on one endpoint: nothing of them stays (LeakSanitizer sees the rest). */
static void a_thousand_sessions_come_and_go(void **state)
{
    struct rtc_pair p;
    struct rtc_side servers[AT_ONCE], clients[AT_ONCE] = {0};
    size_t connected = 0;

    (void)state;
    rtc_pair_init(&p);
    for (size_t i = 0; i < AT_ONCE; i++)
        rtc_side_open(&p, &clients[i], "127.0.0.1:0");
    for (size_t round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < AT_ONCE; i++) {
            servers[i] = (struct rtc_side){.loop = &p.loop, .endpoint = p.server.endpoint, .quiet = i > 0};
            clients[i].quiet = true;
            rtc_side_create(&servers[i], true, false);
            rtc_side_create(&clients[i], false, true);
            rtc_side_start(&servers[i], &clients[i], DTLS_PASSIVE);
            rtc_side_start(&clients[i], &servers[i], DTLS_ACTIVE);
        }
        test_loop_run_for(&p.loop, round % 2 ? 30000 : 5000); /* some are still in the handshake */
        for (size_t i = 0; i < AT_ONCE; i++) {
            connected += servers[i].connected;
            rtc_transport_destroy(&servers[i].transport);
            rtc_transport_destroy(&clients[i].transport);
        }
    }
    print_message("%zu of them connected\n", connected);
    assert_true(connected > 0);
    assert_int_equal(rtc_endpoint_counters(p.server.endpoint)->transports, AT_ONCE * ROUNDS);
    assert_int_equal(rtc_endpoint_transports(p.server.endpoint), 0);
    assert_int_equal(p.server.endpoint->by_addr.count, 0);
    assert_int_equal(p.server.endpoint->by_ufrag.count, 0);
    for (size_t i = 0; i < AT_ONCE; i++)
        rtc_endpoint_close(&clients[i].endpoint);
    rtc_pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publisher_connects_and_its_packets_arrive_as_they_were),
        cmocka_unit_test(a_viewer_gets_media_and_its_feedback_arrives),
        cmocka_unit_test(the_server_may_be_the_active_side),
        cmocka_unit_test(a_header_is_written_where_it_leaves_from_and_padding_behind_the_payload),
        cmocka_unit_test(a_frame_leaves_as_one_message),
        cmocka_unit_test(a_report_joins_the_frame_before_it),
        cmocka_unit_test(what_is_too_long_or_too_early_is_refused),
        cmocka_unit_test(another_certificate_than_announced_ends_it),
        cmocka_unit_test(without_checks_for_30_s_consent_is_lost),
        cmocka_unit_test(a_publishers_media_keeps_it_alive_and_a_viewers_reports_do_not),
        cmocka_unit_test(who_never_comes_is_given_up),
        cmocka_unit_test(in_a_crowd_who_never_comes_is_given_up_soon),
        cmocka_unit_test(a_hint_of_close_notify_counts_when_silence_follows),
        cmocka_unit_test(the_owner_may_destroy_it_from_within_any_callback),
        cmocka_unit_test(a_thousand_sessions_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
