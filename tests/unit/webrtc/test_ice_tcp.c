/* SPDX-License-Identifier: Apache-2.0
 * ICE, DTLS and SRTP over TCP: our client speaks UDP to a bridge in this process, which frames what it says on a
 * connection to the server, as a browser's own TCP socket would. */
#include "rtc_pair.h"

#include "io/tcp.h"
#include "wire/rtp_frame.h"

struct bridge {
    struct udp_socket *udp;
    struct addr client, server; /* the client's UDP address; the server's TCP address */
    struct tcp *tcp;            /* NULL: none */
    struct rtp_deframer in;
    uint8_t check[UDP_DATAGRAM_MAX]; /* the last STUN request of the client */
    size_t check_len;
    size_t closes, packets, stop_after;
    struct worker *worker;
};

static void bridge_send(struct bridge *b, const uint8_t *bytes, size_t len)
{
    uint8_t header[RTP_FRAME_HEADER_BYTES];

    if (!b->tcp)
        return;
    rtp_frame_write(header, len);
    tcp_write(b->tcp, header, sizeof(header));
    tcp_write(b->tcp, bytes, len);
}

static void bridge_on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct bridge *b = arg;

    for (size_t i = 0; i < n; i++) {
        b->client = v[i].from;
        if (v[i].len > 1 && v[i].bytes[0] == 0 && v[i].bytes[1] == 1) {
            memcpy(b->check, v[i].bytes, v[i].len);
            b->check_len = v[i].len;
        }
        bridge_send(b, v[i].bytes, v[i].len);
    }
}

static void bridge_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct bridge *b = arg;
    struct reader r = reader_init(bytes, len);
    int state;

    while ((state = rtp_deframer_push(&b->in, &r)) == RTP_FRAME_READY) {
        size_t n;
        const uint8_t *packet = rtp_deframer_packet(&b->in, &n);
        udp_send(b->udp, &b->client, packet, n);
        if (++b->packets == b->stop_after)
            worker_stop(b->worker);
    }
    assert_int_equal(state, RTP_FRAME_MORE);
}

static void bridge_on_close(void *arg, int err)
{
    struct bridge *b = arg;

    (void)err;
    b->tcp = NULL;
    b->closes++;
}

static void bridge_connect(struct bridge *b, struct worker *w)
{
    static const struct tcp_ops ops = {.on_data = bridge_on_data, .on_close = bridge_on_close};

    b->worker = w;
    rtp_deframer_init(&b->in);
    assert_int_equal(tcp_connect(&b->tcp, w, &b->server, &ops, b), 0);
}

struct scene {
    struct rtc_pair pair;
    struct bridge bridge;
};

static void scene_init(struct scene *s)
{
    struct rtc_endpoint_cfg cfg;
    struct udp_cfg udp = {.on_datagrams = bridge_on_datagrams, .arg = &s->bridge};
    size_t n;

    s->bridge = (struct bridge){0};
    rtc_pair_init(&s->pair);
    rtc_endpoint_close(&s->pair.server.endpoint);
    cfg = (struct rtc_endpoint_cfg){.cert = s->pair.cert, .srtp = s->pair.srtp};
    assert_int_equal(addr_parse(&cfg.listen, "127.0.0.1:0"), 0);
    cfg.tcp = cfg.listen;
    assert_int_equal(rtc_endpoint_open(&s->pair.server.endpoint, s->pair.loop.w, &cfg), 0);
    const struct addr *candidates = rtc_endpoint_tcp_candidates(s->pair.server.endpoint, &n);
    assert_int_equal(n, 1);
    s->bridge.server = candidates[0];
    assert_int_equal(addr_parse(&udp.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&s->bridge.udp, s->pair.loop.w, &udp), 0);
    bridge_connect(&s->bridge, s->pair.loop.w);
}

static void scene_fini(struct scene *s)
{
    if (s->bridge.tcp)
        tcp_close(s->bridge.tcp);
    udp_close(&s->bridge.udp);
    rtc_pair_fini(&s->pair);
}

static void scene_connect(struct scene *s, bool publish)
{
    struct rtc_pair *p = &s->pair;
    struct addr to;
    struct rtc_remote r = {.role = DTLS_ACTIVE, .candidates = &to, .n_candidates = 1};

    rtc_side_create(&p->server, publish, false);
    rtc_side_create(&p->client, !publish, true);
    rtc_side_start(&p->server, &p->client, DTLS_PASSIVE);
    r.ufrag = rtc_transport_ufrag(p->server.transport);
    r.pwd = rtc_transport_pwd(p->server.transport);
    udp_local(s->bridge.udp, &to);
    assert_int_equal(fingerprint_parse(&r.fingerprint, rtc_endpoint_fingerprint(p->server.endpoint)), 0);
    assert_int_equal(rtc_transport_start(p->client.transport, &r), 0);
    test_loop_run(&p->loop);
    assert_true(p->server.connected && p->client.connected);
    assert_true(rtc_transport_tcp(p->server.transport));
}

static const struct ice_tcp_counters *counters(const struct scene *s)
{
    return rtc_endpoint_tcp_counters(s->pair.server.endpoint);
}

static void a_session_over_tcp_carries_media_both_ways(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    scene_connect(&s, true);
    s.pair.server.stop_after_rtp = 3;
    for (uint64_t i = 1; i <= 3; i++) /* the longest there is, too */
        assert_true(rtc_side_send(&s.pair.client, i, 7, i == 3 ? RTC_RTP_MAX - 12 : 100) > 0);
    test_loop_run(&s.pair.loop);
    assert_int_equal(s.pair.server.rtp_len, RTC_RTP_MAX);
    s.pair.client.stop_after_rtcp = 1;
    assert_true(rtc_transport_send_rtcp(s.pair.server.transport, rtc_pair_rr, sizeof(rtc_pair_rr)) > 0);
    test_loop_run(&s.pair.loop);
    assert_memory_equal(s.pair.client.rtcp, rtc_pair_rr, sizeof(rtc_pair_rr));
    assert_int_equal(counters(&s)->accepted, 1);
    assert_int_equal(rtc_endpoint_udp_counters(s.pair.server.endpoint)->received, 0);
    assert_int_equal(rtc_endpoint_udp_counters(s.pair.server.endpoint)->sent, 0);
    scene_fini(&s);
}

static void a_connection_that_dies_leaves_the_session_to_another(void **state)
{
    struct scene s;
    struct addr peer;

    (void)state;
    scene_init(&s);
    scene_connect(&s, false);
    tcp_close(s.bridge.tcp);
    test_loop_run_for(&s.pair.loop, 20000);
    assert_false(s.pair.server.closed);
    assert_false(rtc_transport_peer(s.pair.server.transport, &peer));
    assert_int_equal(rtc_side_send(&s.pair.server, 1, 7, 100), 0);
    assert_int_equal(rtc_transport_counters(s.pair.server.transport)->send_refused, 1);

    bridge_connect(&s.bridge, s.pair.loop.w);
    bridge_send(&s.bridge, s.bridge.check, s.bridge.check_len); /* the client's next one would be due in seconds */
    test_loop_run_for(&s.pair.loop, 20000);
    assert_true(rtc_transport_peer(s.pair.server.transport, &peer));
    s.pair.client.stop_after_rtp = 1;
    assert_true(rtc_side_send(&s.pair.server, 2, 7, 100) > 0);
    test_loop_run(&s.pair.loop);
    s.pair.client.stop_after_rtp = 2; /* and one that is written where it leaves from */
    uint8_t *at = rtc_transport_reserve_rtp(s.pair.server.transport, 12 + 100 + 64), payload[100] = {[99] = 5};
    memcpy(at, (uint8_t[12]){0xa0, 96, 0, 3, [11] = 7}, 12);
    struct rtc_rtp padded = {.index = 3, .hdr = at, .hdr_len = 12, .payload = payload, .payload_len = sizeof(payload)};
    assert_int_equal(rtc_transport_commit_rtp(s.pair.server.transport, &padded, 64), 12 + 100 + 64 + 16);
    test_loop_run(&s.pair.loop);
    assert_int_equal(s.pair.client.rtp_len, 12 + 100 + 64);
    assert_memory_equal(s.pair.client.rtp + 12, payload, sizeof(payload));
    assert_int_equal(s.pair.client.rtp[12 + 100 + 63], 64);
    scene_fini(&s);
}

static void a_peer_that_does_not_read_costs_bounded_memory(void **state)
{
    struct scene s;
    uint64_t index = 1, dropped;

    (void)state;
    scene_init(&s);
    scene_connect(&s, false);
    assert_false(rtc_transport_behind(s.pair.server.transport));
    test_loop_run_for(&s.pair.loop, 1000);
    size_t before = s.bridge.packets;
    tcp_pause(s.bridge.tcp);
    for (int turn = 0; turn < 100 && !rtc_transport_counters(s.pair.server.transport)->send_dropped; turn++) {
        for (int i = 0; i < 200; i++) /* until the kernel's buffers are full, and ours */
            rtc_side_send(&s.pair.server, index++, 7, 1200);
        test_loop_run_for(&s.pair.loop, 1000);
    }
    dropped = rtc_transport_counters(s.pair.server.transport)->send_dropped;
    assert_true(dropped > 0);
    assert_int_equal(counters(&s)->dropped, dropped);
    test_loop_run_for(&s.pair.loop, 600000);
    assert_true(rtc_transport_behind(s.pair.server.transport));
    assert_false(s.pair.server.closed);

    s.bridge.stop_after = before + index - 1 - dropped; /* all that was taken arrives, and it goes on */
    tcp_resume(s.bridge.tcp);
    test_loop_run(&s.pair.loop);
    test_loop_run_for(&s.pair.loop, 1000);
    assert_false(rtc_transport_behind(s.pair.server.transport));
    s.pair.client.stop_after_rtp = s.pair.client.n_rtp + 1;
    assert_true(rtc_side_send(&s.pair.server, index, 7, 100) > 0);
    test_loop_run(&s.pair.loop);
    scene_fini(&s);
}

static void the_end_of_a_session_ends_its_connection(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    scene_connect(&s, false);
    rtc_transport_destroy(&s.pair.server.transport);
    test_loop_run_for(&s.pair.loop, 20000);
    assert_int_equal(s.bridge.closes, 1);
    scene_fini(&s);
}

static void on_stranger_close(void *arg, int err)
{
    size_t *closes = arg;

    (void)err;
    ++*closes;
}

static void ignore_data(void *arg, const uint8_t *bytes, size_t len)
{
    (void)arg, (void)bytes, (void)len;
}

static const struct tcp_ops stranger_ops = {.on_data = ignore_data, .on_close = on_stranger_close};

static void noise_ends_the_connection_and_is_counted(void **state)
{
    struct scene s;
    struct tcp *t;
    size_t closes = 0;

    (void)state;
    scene_init(&s);
    assert_int_equal(tcp_connect(&t, s.pair.loop.w, &s.bridge.server, &stranger_ops, &closes), 0);
    tcp_write(t, "\0\4abcd\0\0GET / HTTP/1.1\r\n", 24); /* a frame of nothing known, an empty one, nonsense */
    test_loop_run_for(&s.pair.loop, 20000);
    assert_int_equal(closes, 1);
    assert_int_equal(counters(&s)->malformed, 1);
    assert_int_equal(counters(&s)->received, 1);
    assert_int_equal(rtc_endpoint_counters(s.pair.server.endpoint)->unknown_protocol, 1);
    scene_fini(&s);
}

static void of_too_many_strangers_the_oldest_go(void **state)
{
    struct scene s;
    struct tcp *t[ICE_TCP_STRANGERS_MAX + 10];
    size_t closes[LEN(t)] = {0}, closed = 0;

    (void)state;
    scene_init(&s);
    scene_connect(&s, false); /* no stranger, and older than all */
    for (size_t i = 0; i < LEN(t); i++) {
        assert_int_equal(tcp_connect(&t[i], s.pair.loop.w, &s.bridge.server, &stranger_ops, &closes[i]), 0);
        test_loop_run_for(&s.pair.loop, 200); /* one after the other */
    }
    test_loop_run_for(&s.pair.loop, 20000);
    for (size_t i = 0; i < LEN(t); i++) {
        closed += closes[i];
        assert_int_equal(closes[i], i < 10);
    }
    assert_int_equal(closed, 10);
    assert_int_equal(counters(&s)->strangers, 10);
    s.pair.client.stop_after_rtp = 1;
    assert_true(rtc_side_send(&s.pair.server, 1, 7, 100) > 0);
    test_loop_run(&s.pair.loop);
    for (size_t i = 10; i < LEN(t); i++)
        tcp_close(t[i]);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_over_tcp_carries_media_both_ways),
        cmocka_unit_test(a_connection_that_dies_leaves_the_session_to_another),
        cmocka_unit_test(a_peer_that_does_not_read_costs_bounded_memory),
        cmocka_unit_test(the_end_of_a_session_ends_its_connection),
        cmocka_unit_test(noise_ends_the_connection_and_is_counted),
        cmocka_unit_test(of_too_many_strangers_the_oldest_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
