/* SPDX-License-Identifier: Apache-2.0
 * test_pipe_peers.c - who may subscribe, connections that end or cannot be had, what outsiders send. */
#include "pair.h"

#include "io/udp.h"
#include "secure/conn.h"

#include <stdio.h>
#include <stdlib.h>

static const uint64_t want_all = (uint64_t)0xffff;

/* ---- Refusals -------------------------------------------------------------------------------- */

static void refused_for(struct pair *p, const struct pipe_subscribe_cfg *cfg, enum pipe_refusal reason)
{
    struct pair_sink *sink = calloc(1, sizeof(*sink));

    assert_non_null(sink);
    pair_subscribe(p, sink, cfg);
    pair_until_set(p, &sink->refused);
    assert_int_equal(sink->refused, reason);
    assert_int_equal(sink->subscribed, 0);
    pair_sink_fini(sink);
    free(sink);
}

static void each_refusal_has_its_reason(void **state)
{
    struct pair *p = *state;
    const struct pipe_path deep = {.n = 1, .depth = PIPE_PATH_MAX - 1, .ids = {"a"}};
    const struct pipe_path deepest = {.n = 1, .depth = PIPE_PATH_MAX, .ids = {"a"}};
    const struct pipe_path loop = {.n = 1, .depth = 1, .ids = {"parent"}},
                           self = {.n = 1, .depth = 1, .ids = {"child"}};

    pair_publish(p, 1);
    refused_for(p, &(struct pipe_subscribe_cfg){.stream = "live/unknown"}, PIPE_REFUSED_UNKNOWN);
    refused_for(p, &(struct pipe_subscribe_cfg){.stream = "live/unreachable"}, PIPE_REFUSED_UNREACHABLE);
    refused_for(p, &(struct pipe_subscribe_cfg){.path = &loop}, PIPE_REFUSED_LOOP);
    refused_for(p, &(struct pipe_subscribe_cfg){.path = &self}, PIPE_REFUSED_LOOP);
    refused_for(p, &(struct pipe_subscribe_cfg){.path = &deep}, PIPE_REFUSED_DEPTH);
    refused_for(p, &(struct pipe_subscribe_cfg){.path = &deepest}, PIPE_REFUSED_DEPTH);
    p->source = (struct pipe_path){.n = 2, .ids = {"origin", "child"}};
    refused_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_REFUSED_LOOP);
    p->source = (struct pipe_path){.n = 1, .ids = {"origin"}};
    pipe_server_drain(p->server, true);
    refused_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_REFUSED_DRAINING);
    pipe_server_drain(p->server, false);
    assert_int_equal(pipe_server_counters(p->server).subscriptions, 0);
    pair_join(p);
    assert_int_equal(p->sink.source.n, 2);
    assert_string_equal(p->sink.source.ids[0], "origin");
}

/* Who asks before the parent has the stream itself is refused once it is known which way it comes. */
static void a_loop_is_refused_when_it_shows(void **state)
{
    struct pair *p = *state;

    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_all});
    for (unsigned i = 0; i < 500 && !pipe_server_counters(p->server).subscriptions; i++) pair_run_for(p, 10000);
    assert_int_equal(pipe_server_counters(p->server).subscriptions, 1);
    assert_int_equal(p->sink.refused, 0);
    p->source = (struct pipe_path){.n = 2, .ids = {"origin", "child"}};
    pair_publish(p, 1);
    pair_until_set(p, &p->sink.refused);
    assert_int_equal(p->sink.refused, PIPE_REFUSED_LOOP);
    assert_int_equal(p->sink.subscribed, 0);
    assert_int_equal(pipe_server_counters(p->server).refused, 1); /* the child need not notice by itself */
}

/* Many children of one node, each with a way of its own, are no deep path. */
static void requests_of_many_children_are_one(void **state)
{
    struct pair *p = *state;
    struct pair_sink *other = calloc(1, sizeof(*other));
    struct pipe_path wide = {.n = PIPE_PATH_IDS_MAX - 2, .depth = 2}, sum;
    const struct pipe_path narrow = {.n = 1, .depth = 1, .ids = {"edge-x"}};

    assert_non_null(other);
    for (size_t i = 0; i < wide.n; i++)
        snprintf(wide.ids[i], sizeof(wide.ids[i]), "edge-%zu", i);
    pair_publish(p, 1);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_all, .path = &wide});
    pair_until(p, &p->sink.subscribed, 1);
    pair_subscribe(p, other, &(struct pipe_subscribe_cfg){.want = want_all, .path = &narrow});
    pair_until(p, &other->subscribed, 1);
    pipe_server_path(p->server, p->router, &sum);
    assert_int_equal(sum.n, PIPE_PATH_IDS_MAX - 1); /* a place for the node itself is left */
    assert_int_equal(sum.depth, 2);
    pair_sink_fini(other);
    free(other);
}

static void a_draining_parent_sends_its_children_away_and_serves_on(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    pipe_server_drain(p->server, true);
    pair_until(p, &p->sink.went_away, 1);
    pair_push_run(p, 100000, 40, 50, 10);
    pair_until_size(p, &p->sink.n, 50);
}

/* ---- Connections ----------------------------------------------------------------------------- */

static void subscriptions_share_a_connection(void **state)
{
    struct pair *p = *state;
    struct pair_sink *other = calloc(1, sizeof(*other));

    assert_non_null(other);
    pair_publish(p, 1);
    pair_join(p);
    pair_subscribe(p, other, &(struct pipe_subscribe_cfg){.want = want_all});
    pair_until(p, &other->subscribed, 1);
    struct pipe_server_counters c = pipe_server_counters(p->server);
    assert_int_equal(c.connections, 1);
    assert_int_equal(c.subscriptions, 2);
    pair_push_run(p, 100000, 40, 50, 10);
    pair_until_size(p, &p->sink.n, 50);
    pair_until_size(p, &other->n, 50);
    pair_sink_fini(other);
    pair_run_for(p, 20000);
    assert_int_equal(pipe_server_counters(p->server).subscriptions, 1);
    free(other);
}

static void until_patience(struct pair *p, uint64_t us)
{
    for (unsigned i = 0; i < 2000 && p->producer_patience_us != us; i++)
        pair_run_for(p, 10000);
    assert_int_equal(p->producer_patience_us, us);
}

/* Told by the parent's router to what feeds it: so it has heard of it, and holds for as long. */
static void a_child_s_patience_is_the_parent_s_when_all_its_children_have_it(void **state)
{
    struct pair *p = *state;
    struct pair_sink *other = calloc(1, sizeof(*other));

    assert_non_null(other);
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 100000, 40, 50, 10);
    pair_until_size(p, &p->sink.n, 50);
    assert_int_equal(p->producer_patience_us, 0);
    pipe_subscription_patience(p->sink.s, 40000);
    until_patience(p, 40000);
    pipe_subscription_patience(p->sink.s, 5000000);
    until_patience(p, 100000); /* no longer, whoever says so */
    pair_subscribe(p, other, &(struct pipe_subscribe_cfg){.want = want_all, .patience_us = 20000});
    pair_until(p, &other->subscribed, 1);
    pair_push_run(p, 100040, 80, 50, 10);
    pair_until_size(p, &other->n, 50);
    until_patience(p, 20000);
    pipe_subscription_patience(other->s, 0);
    until_patience(p, 0);
    pair_sink_fini(other);
    free(other);
}

static void a_parent_that_closes_is_reported_lost(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    pipe_server_close(&p->server);
    pair_until_set(p, &p->sink.lost);
    assert_int_equal(p->sink.lost, PIPE_LOST_CONTROL);
}

static void lost_for(struct pair *p, const struct pipe_subscribe_cfg *cfg, enum pipe_lost why)
{
    struct pair_sink *sink = calloc(1, sizeof(*sink));

    assert_non_null(sink);
    pair_subscribe(p, sink, cfg);
    assert_int_equal(sink->lost, 0); /* never from within the call */
    pair_until_set(p, &sink->lost);
    assert_int_equal(sink->lost, why);
    pair_sink_fini(sink);
    free(sink);
}

static void a_parent_that_cannot_be_reached_is_reported_lost(void **state)
{
    struct pair *p = *state;

    lost_for(p, &(struct pipe_subscribe_cfg){.parent_address = "127.0.0.1:1"}, PIPE_LOST_CONNECT);
    lost_for(p, &(struct pipe_subscribe_cfg){.parent_address = "name.invalid:9000"}, PIPE_LOST_CONNECT);
    lost_for(p, &(struct pipe_subscribe_cfg){.parent_id = "somebody-else"}, PIPE_LOST_CONNECT);
}

static void a_parent_by_name_is_resolved(void **state)
{
    struct pair *p = *state;
    char text[64];

    snprintf(text, sizeof(text), "localhost:%u", addr_port(&p->control));
    pair_publish(p, 1);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.parent_address = text, .want = want_all});
    pair_until(p, &p->sink.subscribed, 1);
}

static void a_certificate_of_another_authority_is_refused(void **state)
{
    struct pair *p = *state;

    pipe_client_set_tls(p->client, p->stranger_tls);
    lost_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_LOST_CONNECT);
}

/* Shows certificates of these names from now on; NULL: as before. */
static void show(struct pair *p, const char *child, const char *parent)
{
    struct tls_ctx *ctx;

    if (child) {
        pki_make_cert(p->folder, "child", "ca", child);
        ctx = pair_make_tls(p->folder, TLS_MUTUAL_CLIENT, "child");
        pipe_client_set_tls(p->client, ctx);
        tls_ctx_unref(&ctx);
    }
    if (parent) {
        pki_make_cert(p->folder, "parent", "ca", parent);
        ctx = pair_make_tls(p->folder, TLS_MUTUAL_SERVER, "parent");
        pipe_server_set_tls(p->server, ctx);
        tls_ctx_unref(&ctx);
    }
}

static void a_certificate_of_another_node_is_refused(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    show(p, "edge-2", NULL);
    lost_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_LOST_CONNECT);
    show(p, "child-2", NULL);
    lost_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_LOST_CONNECT);
    assert_int_equal(pipe_server_counters(p->server).bad_input, 2);
    show(p, "child", "backbone-2");
    lost_for(p, &(struct pipe_subscribe_cfg){.want = want_all}, PIPE_LOST_CONNECT);
    show(p, NULL, "parent");
    pair_join(p);
}

static void a_certificate_that_all_share_is_anybodys(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    show(p, "*", "*");
    pair_join(p);
}

static void a_subscription_may_close_itself_in_its_callback(void **state)
{
    struct pair *p = *state;

    p->sink.close_at_first = true;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 100000, 40, 50, 40);
    pair_run_for(p, 50000);
    assert_null(p->sink.s);
    assert_int_equal(p->sink.n, 1);
    assert_int_equal(pipe_server_counters(p->server).subscriptions, 0);
}

static void note_parent(void *arg, const struct pipe_parent_stats *s)
{
    *(struct pipe_parent_stats *)arg = *s;
}

static void round_trip_and_clock_are_measured(void **state)
{
    struct pair *p = *state;
    struct pipe_parent_stats stats = {0};

    pair_publish(p, 1);
    pair_join(p);
    pair_run_for(p, 300000);
    pipe_client_each_parent(p->client, note_parent, &stats);
    assert_string_equal(stats.id, "parent");
    assert_true(stats.connected);
    assert_int_equal(stats.subscriptions, 1);
    assert_in_range(stats.rtt_us, 1, 100000);
    assert_in_range(stats.clock_offset_us + 100000, 0, 200000);
}

/* ---- What comes from outside ----------------------------------------------------------------- */

static void note_child(void *arg, const struct pipe_child_stats *s)
{
    *(struct pipe_child_stats *)arg = *s;
}

static void no_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    (void)arg;
    (void)v;
    (void)n;
}

static void forged_and_replayed_datagrams_change_nothing(void **state)
{
    struct pair *p = *state;
    struct pair_path *path = pair_path();
    struct pipe_child_stats before = {0}, after = {0};
    struct udp_socket *foreign;
    struct udp_cfg cfg = {.on_datagrams = no_datagrams};

    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&foreign, p->loop.w, &cfg), 0);
    path->keep = true;
    pair_publish(p, 1);
    pair_join(p);
    pair_push_run(p, 100000, 40, 50, 10);
    pair_until_size(p, &p->sink.n, 50);
    path->keep = false;
    pipe_server_each(p->server, note_child, &before);
    assert_true(path->feedback_len > 0 && path->datagram_len > 0);

    /* to the parent: the child's own hello again, one with a bit changed, noise of every length */
    udp_send(foreign, &p->media, path->feedback, path->feedback_len);
    path->feedback[path->feedback_len - 20] ^= 1;
    udp_send(foreign, &p->media, path->feedback, path->feedback_len);
    /* to the child: a packet again, one with a bit changed */
    udp_send(foreign, &before.media, path->datagram, path->datagram_len);
    path->datagram[path->datagram_len - 1] ^= 1;
    udp_send(foreign, &before.media, path->datagram, path->datagram_len);
    path->datagram[3] = (uint8_t)(path->datagram[3] + 100); /* a number that has not been seen */
    udp_send(foreign, &before.media, path->datagram, path->datagram_len);
    for (size_t len = 0; len < 40; len++) {
        udp_send(foreign, &p->media, path->feedback, len < path->feedback_len ? len : path->feedback_len);
        udp_send(foreign, &before.media, path->datagram, len);
    }
    pair_run_for(p, 50000);
    pipe_server_each(p->server, note_child, &after);
    assert_true(addr_equal(&before.media, &after.media));
    assert_int_equal(p->sink.n, 50);
    const struct pipe_counters *c = pipe_subscription_counters(p->sink.s);
    assert_in_range(c->duplicates, 2, 2 + 40);
    assert_true(c->unauthenticated >= 1);
    assert_true(after.counters->unauthenticated >= 2);
    pair_push_run(p, 100040, 40, 50, 10); /* and the pipe plays on */
    pair_until_size(p, &p->sink.n, 100);
    udp_close(&foreign);
}

struct intruder {
    struct conn *conn;
    const uint8_t *bytes;
    size_t len;
    int closed;
};

static void intruder_on_open(void *arg)
{
    struct intruder *i = arg;

    conn_write(i->conn, i->bytes, i->len);
}

static void intruder_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    (void)len;
}

static void intruder_on_close(void *arg, int err)
{
    (void)err;
    ((struct intruder *)arg)->closed = 1;
}

static const struct conn_ops intruder_ops = {
    .on_open = intruder_on_open, .on_data = intruder_on_data, .on_close = intruder_on_close};

#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

static void a_child_that_breaks_the_protocol_is_closed_and_no_other(void **state)
{
    static const struct {
        const char *name;
        const uint8_t *bytes;
        size_t len;
    } rows[] = {
        {"an HTTP request", BYTES("GET / HTTP/1.1\r\n\r\n")},
        {"a frame of no bytes", BYTES("\0\0\0\0")},
        {"a frame longer than any", BYTES("\0\1\0\1")},
        {"no protobuf", BYTES("\0\0\0\4\xff\xff\xff\xff")},
        {"a Ping before Hello", BYTES("\0\0\0\4\x52\2\x08\1")},
        {"a Hello without an id", BYTES("\0\0\0\4\x0a\2\x08\1")},
        {"a Hello with a line break in the id", BYTES("\0\0\0\x08\x0a\6\x08\1\x12\2a\n")},
        {"Hello twice", BYTES("\0\0\0\7\x0a\5\x08\1\x12\1a" "\0\0\0\7\x0a\5\x08\1\x12\1a")},
        {"what only parents send", BYTES("\0\0\0\7\x0a\5\x08\1\x12\1a" "\0\0\0\4\x3a\2\x08\1")},
    };
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct intruder intruder = {.bytes = rows[i].bytes, .len = rows[i].len};
        print_message("%s\n", rows[i].name);
        assert_int_equal(conn_connect(&intruder.conn, p->loop.w, &p->control, p->child_tls, NULL,
                                      &intruder_ops, &intruder),
                         0);
        pair_until_set(p, &intruder.closed);
        assert_int_equal(pipe_server_counters(p->server).bad_input, i + 1);
    }
    assert_int_equal(pipe_server_counters(p->server).connections, 1);
    pair_push_run(p, 100000, 40, 50, 10);
    pair_until_size(p, &p->sink.n, 50);
}

static void an_unfinished_frame_is_waited_for_and_forgotten_with_its_connection(void **state)
{
    struct pair *p = *state;
    struct intruder intruder = {.bytes = (const uint8_t *)"\0\0\0\7\x0a\5\x08", .len = 7};

    assert_int_equal(
        conn_connect(&intruder.conn, p->loop.w, &p->control, p->child_tls, NULL, &intruder_ops, &intruder),
        0);
    pair_run_for(p, 100000);
    assert_int_equal(intruder.closed, 0);
    assert_int_equal(pipe_server_counters(p->server).connections, 1);
    conn_close(intruder.conn);
    pair_until_set(p, &intruder.closed);
    pair_run_for(p, 20000);
    assert_int_equal(pipe_server_counters(p->server).connections, 0);
    assert_int_equal(pipe_server_counters(p->server).bad_input, 0);
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(each_refusal_has_its_reason),
        PAIR_TEST(a_loop_is_refused_when_it_shows),
        PAIR_TEST(requests_of_many_children_are_one),
        PAIR_TEST(a_draining_parent_sends_its_children_away_and_serves_on),
        PAIR_TEST(subscriptions_share_a_connection),
        PAIR_TEST(a_child_s_patience_is_the_parent_s_when_all_its_children_have_it),
        PAIR_TEST(a_parent_that_closes_is_reported_lost),
        PAIR_TEST(a_parent_that_cannot_be_reached_is_reported_lost),
        PAIR_TEST(a_parent_by_name_is_resolved),
        PAIR_TEST(a_certificate_of_another_authority_is_refused),
        PAIR_TEST(a_certificate_of_another_node_is_refused),
        PAIR_TEST(a_certificate_that_all_share_is_anybodys),
        PAIR_TEST(a_subscription_may_close_itself_in_its_callback),
        PAIR_TEST(round_trip_and_clock_are_measured),
        PAIR_TEST(forged_and_replayed_datagrams_change_nothing),
        PAIR_TEST(a_child_that_breaks_the_protocol_is_closed_and_no_other),
        PAIR_TEST(an_unfinished_frame_is_waited_for_and_forgotten_with_its_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
