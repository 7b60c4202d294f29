/* SPDX-License-Identifier: Apache-2.0
 * The same server behind TLS. */
#include "scene.h"

#include "secure/conn.h"
#include "unit/secure/pki.h"

#include <string.h>

enum { BODY_BYTES = 3 << 20 };

struct secure_scene {
    struct scene s;
    char folder[32];
    struct tls_ctx *server_ctx, *client_ctx;
    struct conn *conn; /* the client's */
    struct text got;
    bool closed;
    struct buf *body;
    struct http_exchange *x;
    unsigned drains;
};

static struct tls_ctx *context(const char *folder, enum tls_use use, const char *name)
{
    char cert[PKI_PATH_CAP], key[PKI_PATH_CAP], ca[PKI_PATH_CAP], err[CERT_ERROR_CAP] = "";
    struct tls_cfg cfg = {.use = use,
                          .certificate = pki_path(cert, folder, name, ".pem"),
                          .key = pki_path(key, folder, name, ".key"),
                          .ca = use == TLS_SERVER ? NULL : pki_path(ca, folder, "ca", ".pem")};
    struct tls_ctx *ctx = NULL;

    if (tls_ctx_create(&ctx, &cfg, err))
        fail_msg("%s", err);
    return ctx;
}

static void setup(struct secure_scene *t)
{
    *t = (struct secure_scene){.folder = "/tmp/test_http.XXXXXX"};
    pki_open(t->folder);
    t->server_ctx = context(t->folder, TLS_SERVER, "parent");
    t->client_ctx = context(t->folder, TLS_MUTUAL_CLIENT, "child");
    scene_init(&t->s, &(struct http_server_cfg){.tls = t->server_ctx});
    t->body = buf_create(BODY_BYTES);
    memset(t->body->bytes, 'b', BODY_BYTES);
    t->body->len = BODY_BYTES;
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    text_push(&((struct secure_scene *)arg)->got, (const char *)bytes, len);
}

static void on_close(void *arg, int err)
{
    struct secure_scene *t = arg;

    (void)err;
    t->closed = true;
    worker_stop(t->s.loop.w);
}

static const struct conn_ops ops = {.on_data = on_data, .on_close = on_close};

static void ask(struct secure_scene *t, const char *request)
{
    text_fini(&t->got);
    text_push(&t->got, "", 0);
    t->closed = false;
    assert_int_equal(conn_connect(&t->conn, t->s.loop.w, &t->s.addr, t->client_ctx, "relay.example", &ops, t),
                     0);
    conn_write(t->conn, request, strlen(request));
    while (!t->closed)
        test_loop_run(&t->s.loop);
}

static void teardown(struct secure_scene *t)
{
    text_fini(&t->got);
    buf_unref(&t->body);
    scene_fini(&t->s);
    tls_ctx_unref(&t->server_ctx);
    tls_ctx_unref(&t->client_ctx);
    pki_close(t->folder);
}

static void say_base_url(struct http_exchange *x, void *arg)
{
    char url[128];

    (void)arg;
    http_base_url(x, url, sizeof(url));
    http_reply(x, 200, "text/plain", url, strlen(url));
}

static void reply_shared(struct http_exchange *x, void *arg)
{
    http_reply_buf(x, 200, "text/plain", ((struct secure_scene *)arg)->body);
}

static void requests_and_replies_go_through_tls(void **state)
{
    struct secure_scene t;
    char got[256];

    (void)state;
    setup(&t);
    http_route(t.s.server, HTTP_M_GET, "/url", say_base_url, NULL);
    http_route(t.s.server, HTTP_M_GET, "/shared", reply_shared, &t);
    ask(&t, "GET /url HTTP/1.1\r\nHost: relay.example\r\n\r\nGET /url HTTP/1.1\r\nHost: relay.example\r\n"
            "Connection: close\r\n\r\n");
    assert_string_equal(statuses(&t.got, got), "200 200");
    assert_non_null(strstr(t.got.p, "\r\n\r\nhttps://relay.example"));
    ask(&t, "GET /shared HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    assert_int_equal(strlen(body_of(&t.got)), BODY_BYTES);
    assert_int_equal(t.body->refs, 1);
    ask(&t, "malformed\r\n\r\n");
    assert_string_equal(statuses(&t.got, got), "400");
    teardown(&t);
}

/* Writes at each drain, as one who minds the queue does. */
static void on_drain(struct http_exchange *x, void *arg)
{
    struct secure_scene *t = arg;

    if (++t->drains > 3)
        http_stream_end(x);
    else
        http_stream_send(x, &(struct http_piece){t->body, 0, t->body->len});
}

static void on_gone(struct http_exchange *x, void *arg)
{
    (void)x;
    (void)arg;
    fail();
}

static void stream(struct http_exchange *x, void *arg)
{
    http_on_gone(x, on_gone, arg);
    http_stream_begin(x, 200, "video/x-flv", false, on_drain, arg);
}

static void a_stream_goes_through_tls_and_drains(void **state)
{
    struct secure_scene t;

    (void)state;
    setup(&t);
    http_route(t.s.server, HTTP_M_GET, "*.flv", stream, &t);
    ask(&t, "GET /live/test.flv HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(strlen(body_of(&t.got)), 3 * BODY_BYTES);
    assert_int_equal(t.drains, 4);
    teardown(&t);
}

static void plain_http_to_a_tls_port_is_closed(void **state)
{
    struct secure_scene t;
    char got[256];

    (void)state;
    setup(&t);
    struct text reply = scene_ask_open(&t.s, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_string_equal(statuses(&reply, got), "");
    text_fini(&reply);
    test_loop_run_for(&t.s.loop, 2000);
    assert_int_equal(http_server_counters(t.s.server)->open, 0);
    teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_and_replies_go_through_tls),
        cmocka_unit_test(a_stream_goes_through_tls_and_drains),
        cmocka_unit_test(plain_http_to_a_tls_port_is_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
