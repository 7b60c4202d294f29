/* SPDX-License-Identifier: Apache-2.0
 * Connections over loopback, plain and TLS by the same rows. */
#include "secure/conn.h"

#include "pki.h"
#include "unit/io/loop.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { BIG = 3000000 };

struct scene;

struct side {
    struct scene *scene;
    struct conn *c;
    size_t received, wrong; /* bytes; wrong: not as pattern() says */
    int opens, drains, closes, err;
    char subject[64], error[160];
    bool stop_on_close, pause_on_data, close_on_data, echo;
    int after_close; /* callbacks that must not have come */
    bool closed;
    size_t stop_at;
};

struct scene {
    struct test_loop loop;
    struct conn_listener *listener;
    struct addr addr;
    char folder[32];
    struct tls_ctx *ctx[2]; /* client, server; NULL: plain */
    struct side client, server;
};

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 7 + i / 253);
}

static void on_open(void *arg)
{
    struct side *s = arg;

    s->opens++;
    s->after_close += s->closed;
    snprintf(s->subject, sizeof(s->subject), "%s", conn_peer_subject(s->c));
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    s->after_close += s->closed;
    for (size_t i = 0; i < len; i++)
        s->wrong += bytes[i] != pattern(s->received + i);
    s->received += len;
    if (s->echo)
        conn_write(s->c, bytes, len);
    if (s->pause_on_data)
        conn_pause(s->c);
    if (s->close_on_data) {
        s->closed = true;
        conn_close(s->c);
    }
    if (s->stop_at && s->received >= s->stop_at)
        worker_stop(s->scene->loop.w);
}

static void on_drain(void *arg)
{
    struct side *s = arg;

    s->drains++;
    s->after_close += s->closed;
}

static void on_close(void *arg, int err)
{
    struct side *s = arg;

    s->closes++;
    s->err = err;
    if (s->c) /* not where two connections share a side */
        snprintf(s->error, sizeof(s->error), "%s", conn_error(s->c));
    s->c = NULL;
    if (s->stop_on_close)
        worker_stop(s->scene->loop.w);
}

static const struct conn_ops ops = {on_open, on_data, on_drain, on_close};

static void on_accept(void *arg, struct conn *c)
{
    struct scene *s = arg;

    s->server.c = c;
    conn_set_ops(c, &ops, &s->server);
}

static struct tls_ctx *context(const char *folder, enum tls_use use, const char *name)
{
    char cert[PKI_PATH_CAP], key[PKI_PATH_CAP], ca[PKI_PATH_CAP], err[CERT_ERROR_CAP] = "";
    struct tls_cfg cfg = {.use = use,
                          .certificate = pki_path(cert, folder, name, ".pem"),
                          .key = pki_path(key, folder, name, ".key"),
                          .ca = pki_path(ca, folder, "ca", ".pem")};
    struct tls_ctx *ctx = NULL;

    if (tls_ctx_create(&ctx, &cfg, err))
        fail_msg("%s", err);
    return ctx;
}

/* client and server: names of certificates, NULL for plain. */
static void scene_init(struct scene *s, const char *client, const char *server)
{
    *s = (struct scene){.folder = "/tmp/test_conn.XXXXXX", .client.scene = s, .server.scene = s};
    pki_open(s->folder);
    if (client)
        s->ctx[0] = context(s->folder, TLS_MUTUAL_CLIENT, client);
    if (server)
        s->ctx[1] = context(s->folder, TLS_MUTUAL_SERVER, server);
    test_loop_init(&s->loop);
    assert_int_equal(addr_parse(&s->addr, "127.0.0.1:0"), 0);
    assert_int_equal(conn_listen(&s->listener, s->loop.w, &s->addr, false, s->ctx[1], on_accept, s), 0);
    conn_listener_local(s->listener, &s->addr);
    assert_int_equal(conn_connect(&s->client.c, s->loop.w, &s->addr, s->ctx[0], client ? "parent" : NULL,
                                  &ops, &s->client),
                     0);
}

static void scene_fini(struct scene *s)
{
    assert_int_equal(s->client.after_close + s->server.after_close, 0);
    if (s->server.c)
        conn_close(s->server.c);
    if (s->client.c)
        conn_close(s->client.c);
    conn_listener_close(&s->listener);
    assert_null(s->listener);
    test_loop_run_for(&s->loop, 1000);
    assert_int_equal(s->client.closes, 1);
    assert_true(s->server.closes <= 1);
    test_loop_fini(&s->loop);
    tls_ctx_unref(&s->ctx[0]);
    tls_ctx_unref(&s->ctx[1]);
    pki_close(s->folder);
}

static void write_pattern(struct conn *c, size_t from, size_t n)
{
    uint8_t bytes[5000];

    for (size_t at = 0; at < n; at += sizeof(bytes)) {
        size_t len = n - at < sizeof(bytes) ? n - at : sizeof(bytes);
        for (size_t i = 0; i < len; i++)
            bytes[i] = pattern(from + at + i);
        conn_write(c, bytes, len);
    }
}

static void each_way(void (*test)(struct scene *s, bool tls))
{
    for (int tls = 0; tls < 2; tls++) {
        struct scene s;
        scene_init(&s, tls ? "child" : NULL, tls ? "parent" : NULL);
        test(&s, tls);
        scene_fini(&s);
    }
}

/* ---- Bytes ----------------------------------------------------------------------------------- */

static void echoes(struct scene *s, bool tls)
{
    s->server.echo = true;
    write_pattern(s->client.c, 0, 1000); /* before it is open */
    assert_int_equal(conn_queued_bytes(s->client.c), 1000);
    write_pattern(s->client.c, 1000, 99000);
    s->client.stop_at = 100000;
    test_loop_run(&s->loop);
    assert_int_equal(s->client.received, 100000);
    assert_int_equal(s->client.wrong + s->server.wrong, 0);
    assert_int_equal(s->client.opens, 1);
    assert_int_equal(s->server.opens, tls ? 1 : 0); /* plain accepted ones are open from the start */
    assert_true(s->client.drains > 0);
    assert_int_equal(conn_is_tls(s->client.c), tls);
    assert_string_equal(s->client.subject, tls ? "node-parent" : "");
    assert_string_equal(conn_peer_subject(s->server.c), tls ? "node-child" : "");
    assert_true(addr_is_loopback(conn_peer(s->server.c)));
    assert_true(addr_equal(conn_peer(s->client.c), &s->addr));
}

static void what_is_written_comes_back(void **state)
{
    (void)state;
    each_way(echoes);
}

static void shares(struct scene *s, bool tls)
{
    struct buf *b = buf_create(BIG);

    (void)tls;
    assert_non_null(b);
    for (size_t i = 0; i < BIG; i++)
        b->bytes[i] = pattern(i - 10);
    b->len = BIG;
    conn_write_buf(s->client.c, b, 10);
    buf_unref(&b);
    s->server.stop_at = BIG - 10;
    test_loop_run(&s->loop);
    assert_int_equal(s->server.received, BIG - 10);
    assert_int_equal(s->server.wrong, 0);
}

static void a_shared_buffer_arrives_from_where_it_is_asked(void **state)
{
    (void)state;
    each_way(shares);
}

static void pauses(struct scene *s, bool tls)
{
    unsigned rounds = 0;

    (void)tls;
    write_pattern(s->client.c, 0, BIG);
    s->server.pause_on_data = true; /* before the first byte can come */
    s->server.stop_at = 1;
    while (!s->server.c)
        test_loop_run_for(&s->loop, 1000);
    for (; s->server.received < BIG; rounds++) {
        size_t before = s->server.received;
        conn_resume(s->server.c);
        if (rounds % 2) { /* at once paused again: nothing may come */
            conn_pause(s->server.c);
            test_loop_run_for(&s->loop, 500);
            assert_int_equal(s->server.received, before);
        } else {
            test_loop_run(&s->loop);
            assert_in_range(s->server.received - before, 1, 65536);
        }
    }
    assert_int_equal(s->server.wrong, 0);
    assert_true(rounds > BIG / 65536);
}

static void paused_nothing_comes_and_nothing_is_lost(void **state)
{
    (void)state;
    each_way(pauses);
}

/* ---- The end --------------------------------------------------------------------------------- */

static void shuts_down(struct scene *s, bool tls)
{
    (void)tls;
    write_pattern(s->client.c, 0, BIG);
    conn_shutdown(s->client.c, 5000000); /* before it is open, even */
    conn_write(s->client.c, "late", 4);
    s->server.stop_on_close = true;
    test_loop_run(&s->loop);
    assert_int_equal(s->server.received, BIG);
    assert_int_equal(s->server.wrong, 0);
    assert_int_equal(s->server.closes, 1);
    assert_int_equal(s->server.err, 0);
    while (s->client.closes == 0)
        test_loop_run_for(&s->loop, 1000);
    assert_int_equal(s->client.err, -ECANCELED);
}

static void shutdown_sends_what_is_queued_and_ends_in_order(void **state)
{
    (void)state;
    each_way(shuts_down);
}

static void closes_within(struct scene *s, bool tls)
{
    (void)tls;
    s->server.close_on_data = true;
    write_pattern(s->client.c, 0, BIG);
    s->client.stop_on_close = true;
    test_loop_run(&s->loop);
    while (s->server.closes == 0)
        test_loop_run_for(&s->loop, 1000);
    assert_int_equal(s->server.err, -ECANCELED);
    assert_int_equal(s->server.after_close, 0);
    assert_true(s->server.received > 0 && s->server.received <= 65536);
    assert_true(s->client.err == 0 || s->client.err == -ECONNRESET || s->client.err == -EPIPE);
}

static void after_close_only_on_close_comes(void **state)
{
    (void)state;
    each_way(closes_within);
}

static void closes_at_once(struct scene *s, bool tls)
{
    (void)tls;
    conn_close(s->client.c);
    assert_int_equal(s->client.closes, 0); /* never from within the call */
    s->client.stop_on_close = true;
    test_loop_run(&s->loop);
    assert_int_equal(s->client.closes, 1);
    assert_int_equal(s->client.opens, 0);
    assert_int_equal(s->client.err, -ECANCELED);
}

static void on_close_never_comes_from_within_close(void **state)
{
    (void)state;
    each_way(closes_at_once);
}

/* ---- TLS's own ------------------------------------------------------------------------------- */

static void a_stranger_is_refused_and_both_are_told_why(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "stranger", "parent");
    while (s.client.closes == 0 || s.server.closes == 0)
        test_loop_run_for(&s.loop, 1000);
    assert_int_equal(s.server.opens, 0);
    assert_int_equal(s.server.err, CONN_ERR_TLS);
    assert_ptr_equal(strstr(s.server.error, "certificate verify failed"), s.server.error);
    assert_int_equal(s.client.err, CONN_ERR_TLS);
    assert_non_null(strstr(s.client.error, "alert"));
    scene_fini(&s);
}

static void plain_bytes_to_a_tls_listener_end_that_connection_alone(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, NULL, "parent");
    conn_write(s.client.c, "GET / HTTP/1.1\r\n\r\n", 18);
    while (s.server.closes == 0)
        test_loop_run_for(&s.loop, 1000);
    assert_int_equal(s.server.err, CONN_ERR_TLS);
    assert_string_not_equal(s.server.error, "");
    while (s.client.closes == 0)
        test_loop_run_for(&s.loop, 1000);
    scene_fini(&s);
}

static void a_handshake_cut_off_is_not_an_end_in_order(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, NULL, "parent");
    while (!s.server.c)
        test_loop_run_for(&s.loop, 1000);
    conn_close(s.client.c);
    while (s.server.closes == 0)
        test_loop_run_for(&s.loop, 1000);
    assert_int_equal(s.server.err, -ECONNRESET);
    scene_fini(&s);
}

static void a_new_certificate_serves_new_connections(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, "child", "parent");
    s.server.echo = true;
    write_pattern(s.client.c, 0, 10);
    s.client.stop_at = 10;
    test_loop_run(&s.loop);
    struct tls_ctx *next = context(s.folder, TLS_MUTUAL_SERVER, "child");
    conn_listener_set_tls(s.listener, next);
    tls_ctx_unref(&next);
    struct conn *old = s.server.c;
    struct side second = {.scene = &s, .stop_at = 5};
    assert_int_equal(conn_connect(&second.c, s.loop.w, &s.addr, s.ctx[0], NULL, &ops, &second), 0);
    s.server.received = 0;
    write_pattern(second.c, 0, 5);
    test_loop_run(&s.loop);
    assert_string_equal(second.subject, "node-child");
    assert_string_equal(s.client.subject, "node-parent");
    conn_close(second.c);
    conn_close(old);
    while (second.closes == 0 || s.server.closes < 2)
        test_loop_run_for(&s.loop, 1000);
    s.server.closes = 0;
    scene_fini(&s);
}

static void a_port_in_use_is_an_error(void **state)
{
    struct scene s;
    struct conn_listener *l = NULL;

    (void)state;
    scene_init(&s, NULL, NULL);
    assert_int_equal(conn_listen(&l, s.loop.w, &s.addr, false, NULL, on_accept, &s), -EADDRINUSE);
    assert_null(l);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(a_shared_buffer_arrives_from_where_it_is_asked),
        cmocka_unit_test(paused_nothing_comes_and_nothing_is_lost),
        cmocka_unit_test(shutdown_sends_what_is_queued_and_ends_in_order),
        cmocka_unit_test(after_close_only_on_close_comes),
        cmocka_unit_test(on_close_never_comes_from_within_close),
        cmocka_unit_test(a_stranger_is_refused_and_both_are_told_why),
        cmocka_unit_test(plain_bytes_to_a_tls_listener_end_that_connection_alone),
        cmocka_unit_test(a_handshake_cut_off_is_not_an_end_in_order),
        cmocka_unit_test(a_new_certificate_serves_new_connections),
        cmocka_unit_test(a_port_in_use_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
