/* SPDX-License-Identifier: Apache-2.0
 * Data beside media on one transport: DTLS records both ways where it was agreed on, and nothing of it where not. */
#include "unit/webrtc/rtc_pair.h"

struct heard {
    struct rtc_side *side;
    size_t n, len, stop_after;
    uint8_t bytes[RTC_DATA_MAX];
};

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct heard *h = arg;

    assert_true(h->side->connected && !h->side->closed && len <= sizeof(h->bytes));
    memcpy(h->bytes, bytes, len);
    h->len = len;
    if (++h->n == h->stop_after)
        worker_stop(h->side->loop->w);
}

/* A server that is sent media and a client, connected; carry: which of the two carries data. */
static void connect_pair(struct rtc_pair *p, struct heard *server, struct heard *client, bool server_carries,
                         bool client_carries)
{
    *server = (struct heard){.side = &p->server};
    *client = (struct heard){.side = &p->client};
    rtc_pair_init(p);
    rtc_side_create(&p->server, true, false);
    rtc_side_create(&p->client, false, true);
    if (server_carries)
        rtc_transport_carry_data(p->server.transport, on_data, server);
    if (client_carries)
        rtc_transport_carry_data(p->client.transport, on_data, client);
    rtc_side_start(&p->server, &p->client, DTLS_PASSIVE);
    rtc_side_start(&p->client, &p->server, DTLS_ACTIVE);
    test_loop_run(&p->loop);
    assert_true(p->server.connected && p->client.connected);
}

static void data_goes_both_ways_beside_media(void **state)
{
    struct rtc_pair p;
    struct heard server, client;
    uint8_t bytes[RTC_DATA_MAX + 1];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    connect_pair(&p, &server, &client, true, true);
    client.stop_after = server.stop_after = 2;
    assert_true(rtc_transport_send_data(p.server.transport, bytes, 1));
    assert_true(rtc_transport_send_data(p.server.transport, bytes, RTC_DATA_MAX));
    test_loop_run(&p.loop);
    assert_int_equal(client.len, RTC_DATA_MAX);
    assert_memory_equal(client.bytes, bytes, RTC_DATA_MAX);
    assert_true(rtc_transport_send_data(p.client.transport, bytes + 5, 100));
    assert_true(rtc_transport_send_data(p.client.transport, bytes + 9, 200));
    test_loop_run(&p.loop);
    assert_int_equal(server.len, 200);
    assert_memory_equal(server.bytes, bytes + 9, 200);
    p.server.stop_after_rtp = 1;
    assert_true(rtc_side_send(&p.client, 5, 9, 100) > 0);
    test_loop_run(&p.loop);
    assert_int_equal(p.server.n_rtp, 1);
    assert_false(rtc_transport_send_data(p.server.transport, bytes, sizeof(bytes)));
    assert_int_equal(rtc_transport_counters(p.server.transport)->send_refused, 1);
    rtc_transport_destroy(&p.client.transport); /* its close_notify can be authenticated: the end comes at once */
    test_loop_run(&p.loop);
    assert_true(p.server.closed);
    assert_int_equal(p.server.why, RTC_CLOSE_PEER);
    rtc_pair_fini(&p);
}

static void who_has_not_agreed_on_data_neither_sends_nor_hears_any(void **state)
{
    struct rtc_pair p;
    struct heard server, client;

    (void)state;
    connect_pair(&p, &server, &client, false, true);
    assert_false(rtc_transport_send_data(p.server.transport, (const uint8_t *)"no", 2));
    assert_true(rtc_transport_send_data(p.client.transport, (const uint8_t *)"uninvited", 9));
    p.server.stop_after_rtp = 1;
    assert_true(rtc_side_send(&p.client, 5, 9, 100) > 0); /* behind it on the wire */
    test_loop_run(&p.loop);
    assert_int_equal(server.n, 0);
    assert_false(p.server.closed);
    rtc_pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_goes_both_ways_beside_media),
        cmocka_unit_test(who_has_not_agreed_on_data_neither_sends_nor_hears_any),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
