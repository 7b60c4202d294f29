/* SPDX-License-Identifier: Apache-2.0
 * Our lite agent against a full ICE agent that others wrote: libnice's NiceAgent, controlling. */
#include "rtc_pair.h"

#include <nice/agent.h>
#include <stun/usages/ice.h>

struct full {
    GMainContext *context;
    NiceAgent *agent;
    guint stream;
    struct timer pump;
    struct test_loop *loop;
    bool ready, failed;
    size_t received;
};

static void on_state(NiceAgent *agent, guint stream, guint component, guint state, gpointer arg)
{
    struct full *f = arg;

    (void)agent, (void)stream, (void)component;
    f->ready = f->ready || state == NICE_COMPONENT_STATE_READY;
    f->failed = f->failed || state == NICE_COMPONENT_STATE_FAILED;
    if (f->ready || f->failed)
        worker_stop(f->loop->w);
}

static void on_recv(NiceAgent *agent, guint stream, guint component, guint len, gchar *bytes, gpointer arg)
{
    struct full *f = arg;

    (void)agent, (void)stream, (void)component, (void)len, (void)bytes;
    f->received++;
}

/* GLib's loop is turned by a timer of ours: one thread, no locks. */
static void on_pump(struct timer *t, uint64_t now_us)
{
    struct full *f = container_of(t, struct full, pump);

    (void)now_us;
    while (g_main_context_iteration(f->context, FALSE)) {
    }
    timer_start(t, 2000);
}

static void full_init(struct full *f, struct test_loop *loop)
{
    NiceAddress local;

    *f = (struct full){.loop = loop, .context = g_main_context_new()};
    f->agent = nice_agent_new(f->context, NICE_COMPATIBILITY_RFC5245);
    g_object_set(f->agent, "controlling-mode", TRUE, "ice-tcp", FALSE, "upnp", FALSE, NULL);
    nice_address_init(&local);
    nice_address_set_from_string(&local, "127.0.0.1");
    nice_agent_add_local_address(f->agent, &local);
    f->stream = nice_agent_add_stream(f->agent, 1);
    g_signal_connect(f->agent, "component-state-changed", G_CALLBACK(on_state), f);
    nice_agent_attach_recv(f->agent, f->stream, 1, f->context, on_recv, f);
    nice_agent_gather_candidates(f->agent, f->stream);
    timer_init(&f->pump, loop->w, on_pump);
    timer_start(&f->pump, 0);
}

static void full_fini(struct full *f)
{
    timer_stop(&f->pump);
    nice_agent_remove_stream(f->agent, f->stream);
    g_object_unref(f->agent);
    while (g_main_context_iteration(f->context, FALSE)) {
    }
    g_main_context_unref(f->context);
}

static void set_remote(struct full *f, const struct rtc_side *server, const char *pwd)
{
    NiceCandidate *c = nice_candidate_new(NICE_CANDIDATE_TYPE_HOST);
    struct addr to;
    GSList *list;

    rtc_endpoint_local(server->endpoint, &to);
    c->component_id = 1;
    c->stream_id = f->stream;
    c->transport = NICE_CANDIDATE_TRANSPORT_UDP;
    c->priority = 2130706431;
    strcpy(c->foundation, "1");
    nice_address_set_from_sockaddr(&c->addr, &to.sa);
    nice_agent_set_remote_credentials(f->agent, f->stream, rtc_transport_ufrag(server->transport), pwd);
    list = g_slist_append(NULL, c);
    nice_agent_set_remote_candidates(f->agent, f->stream, 1, list);
    g_slist_free_full(list, (GDestroyNotify)nice_candidate_free);
}

static void start_server(struct rtc_pair *p, struct full *f)
{
    gchar *ufrag, *pwd;
    struct rtc_remote r = {.role = DTLS_PASSIVE};

    assert_true(nice_agent_get_local_credentials(f->agent, f->stream, &ufrag, &pwd));
    rtc_side_create(&p->server, true, false);
    r.ufrag = ufrag;
    r.pwd = pwd;
    assert_int_equal(fingerprint_parse(&r.fingerprint, cert_fingerprint(p->cert)), 0);
    assert_int_equal(rtc_transport_start(p->server.transport, &r), 0);
    g_free(ufrag);
    g_free(pwd);
}

static void a_full_agent_reaches_ready_and_nominates(void **state)
{
    struct rtc_pair p;
    struct full f;
    struct addr peer;

    (void)state;
    rtc_pair_init(&p);
    full_init(&f, &p.loop);
    start_server(&p, &f);
    set_remote(&f, &p.server, rtc_transport_pwd(p.server.transport));
    test_loop_run(&p.loop);
    assert_true(f.ready && !f.failed);
    assert_true(p.server.transport->nominated);
    assert_true(rtc_transport_peer(p.server.transport, &peer));
    assert_true(addr_is_loopback(&peer));
    assert_int_equal(rtc_endpoint_counters(p.server.endpoint)->stun_malformed, 0);
    /* It may send now, and what it sends reaches the transport: the start of a ClientHello here. */
    nice_agent_send(f.agent, f.stream, 1, 13, "\x16\xfe\xff\0\0\0\0\0\0\0\0\0\0");
    test_loop_run_for(&p.loop, 20000);
    assert_non_null(p.server.transport->dtls);
    assert_int_equal(rtc_endpoint_counters(p.server.endpoint)->unknown_address, 0);
    full_fini(&f);
    rtc_pair_fini(&p);
}

static void with_a_wrong_password_it_never_gets_a_path(void **state)
{
    struct rtc_pair p;
    struct full f;

    (void)state;
    rtc_pair_init(&p);
    full_init(&f, &p.loop);
    start_server(&p, &f);
    set_remote(&f, &p.server, "thisisnotthepasswordofthesession");
    test_loop_run_for(&p.loop, 300000);
    assert_false(f.ready);
    assert_true(rtc_endpoint_counters(p.server.endpoint)->stun_unauthorized > 0);
    assert_int_equal(p.server.endpoint->by_addr.count, 0);
    full_fini(&f);
    rtc_pair_fini(&p);
}

/* RFC 8445 s7.3.1.1: a lite agent stays controlled, the other side is told to switch. */
static void a_controlled_peer_is_told_of_the_conflict(void **state)
{
    static const uint64_t tie_breakers[] = {0, 1, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < LEN(tie_breakers); i++) {
        StunAgent stun;
        StunMessage msg;
        struct ice_agent *server;
        struct ice_view v;
        struct addr from;
        uint8_t bytes[256], reply[ICE_REPLY_MAX];
        size_t reply_len;

        assert_int_equal(ice_agent_create(&server), 0);
        assert_int_equal(addr_parse(&from, "192.0.2.7:4711"), 0);
        stun_agent_init(&stun, STUN_ALL_KNOWN_ATTRIBUTES, STUN_COMPATIBILITY_RFC5389,
                        STUN_AGENT_USAGE_SHORT_TERM_CREDENTIALS | STUN_AGENT_USAGE_USE_FINGERPRINT);
        size_t n = stun_usage_ice_conncheck_create(
            &stun, &msg, bytes, sizeof(bytes), (const uint8_t *)"serv:clie", 9,
            (const uint8_t *)"password of the server", 22, false, false, 5, tie_breakers[i], NULL,
            STUN_USAGE_ICE_COMPATIBILITY_RFC5245);
        assert_int_equal(ice_view_parse(&v, bytes, n), ICE_OK);
        assert_int_equal(
            ice_request_answer(server, &v, &from, "password of the server", false, reply, &reply_len),
            ICE_ERR_CONFLICT);
        assert_int_equal(ice_view_parse(&v, reply, reply_len), ICE_OK);
        assert_int_equal(v.class, ICE_ERROR);
        StunMessage response;
        int code = 0;
        assert_int_equal(stun_agent_validate(&stun, &response, reply, reply_len, NULL, NULL),
                         STUN_VALIDATION_SUCCESS);
        assert_int_equal(stun_message_find_error(&response, &code), STUN_MESSAGE_RETURN_SUCCESS);
        assert_int_equal(code, 487);
        ice_agent_destroy(&server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_full_agent_reaches_ready_and_nominates),
        cmocka_unit_test(with_a_wrong_password_it_never_gets_a_path),
        cmocka_unit_test(a_controlled_peer_is_told_of_the_conflict),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
