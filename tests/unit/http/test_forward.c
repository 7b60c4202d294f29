/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "http/cors.h"
#include "http/forward.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK(method, fields)                                                                                  \
    method " /whip/session/abc?q=1 HTTP/1.1\r\nHost: relay:80\r\nConnection: close\r\n" fields "\r\n"

/* A server here, a worker in a thread there. */
struct two {
    struct scene scene;
    struct worker *there;
    void (*handler)(struct http_exchange *x, void *arg); /* runs there */
    struct http_exchange *kept;                          /* there */
    _Atomic unsigned handled;
};

static void forward(struct http_exchange *x, void *arg)
{
    struct two *t = arg;

    http_forward(x, t->there, t->handler, t);
}

static const struct http_cors cors = {.methods = "PATCH, DELETE", .expose = "ETag"};

static void setup(struct two *t, void (*handler)(struct http_exchange *x, void *arg))
{
    static const enum http_method methods[] = {HTTP_M_GET, HTTP_M_PATCH, HTTP_M_DELETE};

    *t = (struct two){.handler = handler};
    scene_init(&t->scene, NULL);
    for (size_t i = 0; i < LEN(methods); i++)
        http_route(t->scene.server, methods[i], "/whip/session/*", forward, t);
    http_cors_route(t->scene.server, "/whip/session/*", &cors);
    assert_int_equal(worker_create(&t->there, &(struct worker_cfg){.name = "there", .index = 7}), 0);
    assert_int_equal(worker_start(t->there), 0);
}

static void stop_there(struct mail *m, struct worker *there)
{
    free(m);
    worker_stop(there);
}

static void post(struct two *t, void (*run)(struct mail *m, struct worker *there))
{
    struct mail *m = calloc(1, sizeof(*m));

    m->run = run;
    worker_post(t->there, m);
}

static void teardown(struct two *t)
{
    post(t, stop_there);
    worker_join(t->there);
    scene_fini(&t->scene); /* takes the replies under way, and drops them */
    worker_destroy(&t->there);
}

static void describe(struct http_exchange *x, void *arg)
{
    struct two *t = arg;
    char text[512], base[128], peer[ADDR_TEXT_CAP];
    size_t len;
    const uint8_t *body = http_body(x, &len);

    t->handled++;
    http_base_url(x, base, sizeof(base));
    int n = snprintf(text, sizeof(text), "%d|%s|%s|%s|%.*s|%s|%s|%u", (int)http_method(x), http_path(x),
                     http_query(x, "q"), http_header(x, "if-match"), (int)len, (const char *)body, base,
                     addr_print_host(http_peer(x), peer), worker_index(http_worker(x)));
    http_reply_header(x, "ETag", "\"two\"");
    http_reply(x, 200, "text/plain", text, (size_t)n);
}

static void the_other_worker_sees_the_whole_request_and_its_reply_comes_back(void **state)
{
    struct two t;

    (void)state;
    setup(&t, describe);
    struct text reply =
        scene_ask_open(&t.scene, ASK("PATCH", "If-Match: \"one\"\r\nContent-Length: 4\r\n") "body");
    assert_non_null(strstr(reply.p, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(reply.p, "Content-Type: text/plain\r\n"));
    assert_non_null(
        strstr(reply.p,
               "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: ETag\r\nETag: \"two\"\r\n"));
    assert_string_equal(body_of(&reply), "4|/whip/session/abc|1|\"one\"|body|http://relay:80|127.0.0.1|7");
    text_fini(&reply);
    teardown(&t);
}

static void gone(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply(x, 204, NULL, NULL, 0);
}

static void refuse(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_problem(x, 412, "stale \"tag\"");
}

static void share(struct http_exchange *x, void *arg)
{
    struct buf *b = buf_create(20000);

    (void)arg;
    memset(b->bytes, 's', 20000);
    b->len = 20000;
    http_reply_buf(x, 200, NULL, b);
    buf_unref(&b);
}

static void every_kind_of_reply_comes_back(void **state)
{
    static const struct {
        const char *name;
        void (*handler)(struct http_exchange *x, void *arg);
        const char *request, *statuses, *contains;
        size_t body_len;
    } rows[] = {
        {"nothing", gone, ASK("DELETE", ""), "204", "Connection: close\r\n\r\n", 0},
        {"problem", refuse, ASK("DELETE", ""), "412", "\"detail\":\"stale \\\"tag\\\"\"}", 91},
        {"shared bytes", share, ASK("GET", ""), "200", "Content-Length: 20000\r\n", 20000},
        {"the head alone", share, ASK("HEAD", ""), "200", "Content-Length: 20000\r\n", 0},
    };
    struct two t;
    char got[256];

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        setup(&t, rows[i].handler);
        struct text reply = scene_ask_open(&t.scene, rows[i].request);
        assert_string_equal(statuses(&reply, got), rows[i].statuses);
        assert_non_null(strstr(reply.p, rows[i].contains));
        assert_int_equal(strlen(body_of(&reply)), rows[i].body_len);
        text_fini(&reply);
        teardown(&t);
    }
}

/* ---- Later, or never ------------------------------------------------------------------------- */

static struct two *scene_of_test; /* mails carry no argument here */

static void keep(struct http_exchange *x, void *arg)
{
    struct two *t = arg;

    t->kept = x;
    t->handled++;
}

static void reply_to_kept(struct mail *m, struct worker *there)
{
    (void)there;
    free(m);
    http_reply(scene_of_test->kept, 202, NULL, NULL, 0);
    scene_of_test->handled++;
}

static void run_until_handled(struct two *t, unsigned n)
{
    while (t->handled < n)
        test_loop_run_for(&t->scene.loop, 200);
}

static void a_later_reply_comes_back_too(void **state)
{
    struct two t;
    struct client c;
    char got[256];

    (void)state;
    setup(&t, keep);
    scene_of_test = &t;
    client_open(&c, &t.scene);
    client_send(&c, ASK("DELETE", ""));
    run_until_handled(&t, 1);
    assert_int_equal(c.got.len, 0);
    post(&t, reply_to_kept);
    client_run(&c);
    assert_string_equal(statuses(&c.got, got), "202");
    client_close(&c);
    teardown(&t);
}

static void a_reply_for_a_client_that_has_gone_is_dropped(void **state)
{
    struct two t;
    struct client c;

    (void)state;
    setup(&t, keep);
    scene_of_test = &t;
    client_open(&c, &t.scene);
    client_send(&c, ASK("DELETE", ""));
    run_until_handled(&t, 1);
    client_close(&c);
    test_loop_run_for(&t.scene.loop, 2000);
    assert_int_equal(http_server_counters(t.scene.server)->open, 0);
    post(&t, reply_to_kept);
    run_until_handled(&t, 2);
    test_loop_run_for(&t.scene.loop, 2000);
    assert_int_equal(http_server_counters(t.scene.server)->status[2], 0);
    teardown(&t);
}

static void many_clients_on_one_connection_after_the_other_get_their_replies(void **state)
{
    struct two t;

    (void)state;
    setup(&t, describe);
    for (int i = 0; i < 200; i++) {
        struct text reply = scene_ask_open(&t.scene, ASK("GET", "If-Match: x\r\n"));
        assert_non_null(strstr(reply.p, " 200 "));
        text_fini(&reply);
    }
    assert_int_equal(t.handled, 200);
    teardown(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_worker_sees_the_whole_request_and_its_reply_comes_back),
        cmocka_unit_test(every_kind_of_reply_comes_back),
        cmocka_unit_test(a_later_reply_comes_back_too),
        cmocka_unit_test(a_reply_for_a_client_that_has_gone_is_dropped),
        cmocka_unit_test(many_clients_on_one_connection_after_the_other_get_their_replies),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
