/* SPDX-License-Identifier: Apache-2.0
 * test_endpoint.c - from whom an endpoint takes what, where it sends, by which credentials, and which addresses it names. */
#include "rtc_pair.h"

/* ---- Strangers --------------------------------------------------------------------------------- */

struct stranger {
    struct udp_socket *udp;
    size_t received;
};

static void on_stranger(void *arg, struct udp_datagram *v, size_t n)
{
    struct stranger *s = arg;

    (void)v;
    s->received += n;
}

static void stranger_open(struct stranger *s, struct rtc_pair *p)
{
    struct udp_cfg cfg = {.on_datagrams = on_stranger, .arg = s};

    *s = (struct stranger){0};
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&s->udp, p->loop.w, &cfg), 0);
}

static void datagrams_of_strangers_are_counted_and_forgotten(void **state)
{
    struct rtc_pair p;
    struct stranger s;
    struct addr to;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, true);
    stranger_open(&s, &p);
    rtc_endpoint_local(p.server.endpoint, &to);
    struct rtc_endpoint_counters before = *rtc_endpoint_counters(p.server.endpoint);
    udp_send(s.udp, &to, "\x16\xfe\xff\0\0\0\0\0\0\0\0\0\0", 13);         /* DTLS */
    udp_send(s.udp, &to, "\x80\x60\0\1\0\0\0\1\0\0\0\7payload", 19);      /* RTP */
    udp_send(s.udp, &to, "\x80\xc9\0\1\0\0\0\1", 8);                      /* RTCP */
    udp_send(s.udp, &to, "\0\1\0\0nonsense", 12);                         /* STUN, it says */
    udp_send(s.udp, &to, "\x40 TURN", 6);
    udp_send(s.udp, &to, "\xffx", 2);
    test_loop_run_for(&p.loop, 20000);
    const struct rtc_endpoint_counters *after = rtc_endpoint_counters(p.server.endpoint);
    assert_int_equal(after->unknown_address - before.unknown_address, 3);
    assert_int_equal(after->stun_malformed - before.stun_malformed, 1);
    assert_int_equal(after->unknown_protocol - before.unknown_protocol, 2);
    assert_int_equal(p.server.endpoint->by_addr.count, 1);
    assert_int_equal(s.received, 0);
    assert_false(p.server.closed);
    udp_close(&s.udp);
    rtc_pair_fini(&p);
}

/* A check from another address with the session's credentials. */
static void send_check(struct stranger *s, struct rtc_pair *p, const char *pwd, bool use_candidate)
{
    struct ice_agent *agent;
    uint8_t bytes[ICE_CHECK_MAX], id[ICE_ID_BYTES];
    char username[64];
    struct addr to;
    struct ice_check check = {
        .username = username, .pwd = pwd, .priority = 1, .use_candidate = use_candidate};

    snprintf(username, sizeof(username), "%s:abcd", rtc_transport_ufrag(p->server.transport));
    rtc_endpoint_local(p->server.endpoint, &to);
    assert_int_equal(ice_agent_create(&agent), 0);
    size_t n = ice_check_write(agent, &check, bytes, id);
    udp_send(s->udp, &to, bytes, n);
    ice_agent_destroy(&agent);
}

static void a_client_that_moves_is_followed_when_it_nominates(void **state)
{
    struct rtc_pair p;
    struct stranger s;
    struct addr peer, local, client;
    const char *pwd;

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    pwd = rtc_transport_pwd(p.server.transport);
    stranger_open(&s, &p);
    udp_local(s.udp, &local);
    rtc_endpoint_local(p.client.endpoint, &client);
    send_check(&s, &p, "a password that is not the one", true);
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(s.received, 1); /* 401 */
    assert_true(rtc_transport_peer(p.server.transport, &peer) && addr_equal(&peer, &client));
    send_check(&s, &p, pwd, false);
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(s.received, 2);
    assert_true(rtc_transport_peer(p.server.transport, &peer) && addr_equal(&peer, &client));
    send_check(&s, &p, pwd, true);
    test_loop_run_for(&p.loop, 20000);
    assert_true(rtc_transport_peer(p.server.transport, &peer) && addr_equal(&peer, &local));
    assert_int_equal(rtc_transport_counters(p.server.transport)->moves, 1);
    rtc_side_send(&p.server, 1, 7, 100);
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(s.received, 4);
    udp_close(&s.udp);
    rtc_pair_fini(&p);
}

static void more_addresses_than_we_keep_push_out_the_oldest(void **state)
{
    struct rtc_pair p;
    struct stranger s[6];

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    for (size_t i = 0; i < LEN(s); i++) {
        stranger_open(&s[i], &p);
        send_check(&s[i], &p, rtc_transport_pwd(p.server.transport), i == 5);
        test_loop_run_for(&p.loop, 10000);
        assert_int_equal(s[i].received, 1);
        assert_true(p.server.endpoint->by_addr.count <= ICE_PATHS_MAX);
    }
    for (size_t i = 0; i < LEN(s); i++)
        udp_close(&s[i].udp);
    rtc_pair_fini(&p);
}

static void an_address_in_use_is_not_given_to_another_session(void **state)
{
    struct rtc_pair p;
    struct rtc_side thief = {0};
    uint8_t key[ADDR_KEY_BYTES];
    struct addr victim;
    struct ice_agent *agent;
    struct ice_view v;
    uint8_t bytes[ICE_CHECK_MAX], id[ICE_ID_BYTES];
    char username[64];

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    rtc_endpoint_local(p.client.endpoint, &victim);
    addr_key(&victim, key);
    thief.loop = &p.loop;
    thief.endpoint = p.server.endpoint;
    rtc_side_create(&thief, false, false);
    rtc_side_start(&thief, &p.client, DTLS_PASSIVE);
    /* It sends a check of its own session under the victim's address. */
    snprintf(username, sizeof(username), "%s:abcd", rtc_transport_ufrag(thief.transport));
    struct ice_check check = {
        .username = username, .pwd = rtc_transport_pwd(thief.transport), .use_candidate = true};
    assert_int_equal(ice_agent_create(&agent), 0);
    size_t n = ice_check_write(agent, &check, bytes, id);
    assert_int_equal(ice_view_parse(&v, bytes, n), ICE_OK);
    const struct ice_source from = {.addr = &victim};
    uint64_t now_us = worker_now_us(p.loop.w);
    assert_int_equal(transport_ice_on_request(&thief.transport->local, &v, &from, now_us), ICE_OK);
    assert_false(rtc_transport_peer(thief.transport, &(struct addr){0}));
    assert_true(rtc_transport_peer(p.server.transport, &(struct addr){0}));
    /* Later, when the victim has been silent for longer than a living one is. */
    assert_int_equal(
        transport_ice_on_request(&thief.transport->local, &v, &from, now_us + ICE_PATH_SILENT_US + 1000000),
        ICE_OK);
    assert_true(rtc_transport_peer(thief.transport, &(struct addr){0}));
    assert_false(rtc_transport_peer(p.server.transport, &(struct addr){0}));
    assert_int_equal(rtc_side_send(&p.server, 1, 7, 10), 0);
    ice_agent_destroy(&agent);
    rtc_transport_destroy(&thief.transport);
    rtc_pair_fini(&p);
}

/* ---- ICE restart ------------------------------------------------------------------------------- */

static void a_restart_keeps_the_old_credentials_until_the_new_ones_are_used(void **state)
{
    struct rtc_pair p;
    struct stranger s;
    char old_ufrag[ICE_UFRAG_BYTES + 1], old_pwd[ICE_PWD_BYTES + 1];

    (void)state;
    rtc_pair_init(&p);
    rtc_pair_connect(&p, false);
    stranger_open(&s, &p);
    strcpy(old_ufrag, rtc_transport_ufrag(p.server.transport));
    strcpy(old_pwd, rtc_transport_pwd(p.server.transport));
    assert_int_equal(rtc_transport_restart_ice(p.server.transport, "newufrag", "new password of the client"),
                     0);
    assert_string_not_equal(rtc_transport_ufrag(p.server.transport), old_ufrag);
    assert_string_not_equal(rtc_transport_pwd(p.server.transport), old_pwd);
    assert_int_equal(p.server.endpoint->by_ufrag.count, 2);
    assert_non_null(hash_find(&p.server.endpoint->by_ufrag, old_ufrag, ICE_UFRAG_BYTES));
    /* A second restart before the first was used: still one pair of old ones. */
    assert_int_equal(rtc_transport_restart_ice(p.server.transport, "newufrag", "new password of the client"),
                     0);
    assert_int_equal(p.server.endpoint->by_ufrag.count, 2);
    send_check(&s, &p, rtc_transport_pwd(p.server.transport), true);
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(p.server.endpoint->by_ufrag.count, 1);
    assert_null(hash_find(&p.server.endpoint->by_ufrag, old_ufrag, ICE_UFRAG_BYTES));
    assert_false(p.server.closed);
    assert_true(rtc_transport_connected(p.server.transport));
    udp_close(&s.udp);
    rtc_pair_fini(&p);
}

/* ---- Its own addresses ------------------------------------------------------------------------- */

static void an_ipv6_wildcard_serves_both_families(void **state)
{
    static const char *const from[] = {"127.0.0.1:0", "[::1]:0"};
    struct rtc_pair p;

    (void)state;
    rtc_pair_init(&p);
    rtc_endpoint_close(&p.server.endpoint);
    rtc_side_open(&p, &p.server, "[::]:0");
    for (size_t i = 0; i < LEN(from); i++) {
        struct addr local, to;
        struct rtc_remote r = {.role = DTLS_ACTIVE, .candidates = &to, .n_candidates = 1};

        rtc_endpoint_close(&p.client.endpoint);
        rtc_side_open(&p, &p.client, from[i]);
        rtc_side_create(&p.server, true, false);
        rtc_side_create(&p.client, false, true);
        rtc_side_start(&p.server, &p.client, DTLS_PASSIVE);
        rtc_endpoint_local(p.server.endpoint, &local);
        assert_int_equal(addr_parse(&to, from[i]), 0);
        addr_set_port(&to, addr_port(&local));
        r.ufrag = rtc_transport_ufrag(p.server.transport);
        r.pwd = rtc_transport_pwd(p.server.transport);
        assert_int_equal(fingerprint_parse(&r.fingerprint, cert_fingerprint(p.cert)), 0);
        assert_int_equal(rtc_transport_start(p.client.transport, &r), 0);
        test_loop_run(&p.loop);
        assert_true(p.server.connected && p.client.connected);
        assert_true(rtc_transport_peer(p.server.transport, &to));
        assert_int_equal(to.sa.sa_family, i ? AF_INET6 : AF_INET);
        rtc_transport_destroy(&p.server.transport);
        rtc_transport_destroy(&p.client.transport);
    }
    rtc_pair_fini(&p);
}

static void candidates_are_what_is_announced_or_what_the_machine_has(void **state)
{
    struct rtc_pair p;
    struct rtc_endpoint *e;
    struct addr announce[2];
    const struct addr *found;
    struct rtc_endpoint_cfg cfg;
    char text[ADDR_TEXT_CAP];
    size_t n;

    (void)state;
    rtc_pair_init(&p);
    cfg = (struct rtc_endpoint_cfg){.cert = p.cert, .srtp = p.srtp, .announce = announce, .n_announce = 2};
    assert_int_equal(addr_parse(&cfg.listen, "0.0.0.0:0"), 0);
    assert_int_equal(addr_parse(&announce[0], "198.51.100.1:5000"), 0);
    assert_int_equal(addr_parse(&announce[1], "[2001:db8::1]:0"), 0);
    assert_int_equal(rtc_endpoint_open(&e, p.loop.w, &cfg), 0);
    struct addr local;
    rtc_endpoint_local(e, &local);
    found = rtc_endpoint_candidates(e, &n);
    assert_int_equal(n, 2);
    assert_string_equal(addr_print(&found[0], text), "198.51.100.1:5000");
    assert_int_equal(addr_port(&found[1]), addr_port(&local));
    rtc_endpoint_close(&e);
    cfg.n_announce = 0;
    assert_int_equal(rtc_endpoint_open(&e, p.loop.w, &cfg), 0);
    rtc_endpoint_local(e, &local);
    found = rtc_endpoint_candidates(e, &n);
    assert_true(n >= 1);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(found[i].sa.sa_family, AF_INET); /* an IPv4 socket */
        assert_int_equal(addr_port(&found[i]), addr_port(&local));
        assert_true(!addr_is_loopback(&found[i]) || i == n - 1);
    }
    rtc_endpoint_close(&e);
    found = rtc_endpoint_candidates(p.server.endpoint, &n);
    assert_int_equal(n, 1);
    assert_true(addr_is_loopback(&found[0]));
    rtc_pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(datagrams_of_strangers_are_counted_and_forgotten),
        cmocka_unit_test(a_client_that_moves_is_followed_when_it_nominates),
        cmocka_unit_test(more_addresses_than_we_keep_push_out_the_oldest),
        cmocka_unit_test(an_address_in_use_is_not_given_to_another_session),
        cmocka_unit_test(a_restart_keeps_the_old_credentials_until_the_new_ones_are_used),
        cmocka_unit_test(an_ipv6_wildcard_serves_both_families),
        cmocka_unit_test(candidates_are_what_is_announced_or_what_the_machine_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
