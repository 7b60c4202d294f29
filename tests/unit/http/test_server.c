/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include "http/cors.h"

#include <stdio.h>
#include <string.h>

#define HOST "Host: relay.example:8080\r\n"

/* ---- Handlers -------------------------------------------------------------------------------- */

static void say(struct http_exchange *x, void *arg)
{
    http_reply(x, 200, "text/plain", arg, strlen(arg));
}

static void echo(struct http_exchange *x, void *arg)
{
    size_t len;
    const uint8_t *body = http_body(x, &len);

    (void)arg;
    http_reply(x, 201, "application/octet-stream", body, len);
}

static void describe(struct http_exchange *x, void *arg)
{
    char text[512], base[128], peer[ADDR_TEXT_CAP];
    const char *q = http_query(x, "stream"), *h = http_header(x, "X-Test");

    (void)arg;
    http_base_url(x, base, sizeof(base));
    int n = snprintf(text, sizeof(text), "%s|%s|%s|%s|%s", http_path(x), q ? q : "-", h ? h : "-", base,
                     addr_print_host(http_peer(x), peer));
    http_reply_header(x, "X-Reply", "yes");
    http_reply_header(x, "X-Split", "a\r\nb: c");
    http_reply(x, 200, "text/plain", text, (size_t)n);
}

static void nothing_to_say(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply(x, 204, NULL, NULL, 0);
}

static void forget(struct http_exchange *x, void *arg)
{
    (void)x;
    (void)arg;
}

static const struct http_cors whip_cors = {.methods = "POST, OPTIONS",
                                           .headers = "Authorization, Content-Type",
                                           .expose = "Location, ETag, Link",
                                           .accept_post = "application/sdp"};

static char exact_text[] = "exact", rest_text[] = "rest", suffix_text[] = "suffix", longer_text[] = "longer";

static void setup(struct scene *s)
{
    scene_init(s, &(struct http_server_cfg){.body_cap_bytes = 1000});
    http_route(s->server, HTTP_M_GET, "/exact", say, exact_text);
    http_route(s->server, HTTP_M_GET, "/rest/*", say, rest_text);
    http_route(s->server, HTTP_M_GET, "/rest/of/*", say, longer_text);
    http_route(s->server, HTTP_M_GET, "*.flv", say, suffix_text);
    http_route(s->server, HTTP_M_GET, "/describe/*", describe, NULL);
    http_route(s->server, HTTP_M_GET, "/empty", nothing_to_say, NULL);
    http_route(s->server, HTTP_M_GET, "/forget", forget, NULL);
    http_route(s->server, HTTP_M_POST, "/whip/*", echo, NULL);
    http_route(s->server, HTTP_M_DELETE, "/whip/*", nothing_to_say, NULL);
    http_cors_route(s->server, "/whip/*", &whip_cors);
}

/* ---- Requests and replies -------------------------------------------------------------------- */

static const struct row {
    const char *name, *request, *statuses, *contains;
} rows[] = {
    {"a page", "GET /exact HTTP/1.1\r\n" HOST "\r\n", "200", "Content-Length: 5\r\n\r\nexact"},
    {"type and date", "GET /exact HTTP/1.1\r\n" HOST "\r\n", "200", " GMT\r\nContent-Type: text/plain\r\n"},
    {"HEAD has the head alone", "HEAD /exact HTTP/1.1\r\n" HOST "\r\n", "200", "Content-Length: 5\r\n\r\n"},
    {"the rest of a path", "GET /rest/any/thing HTTP/1.1\r\n" HOST "\r\n", "200", "rest"},
    {"the longest pattern", "GET /rest/of/it HTTP/1.1\r\n" HOST "\r\n", "200", "longer"},
    {"a suffix", "GET /live/test.flv HTTP/1.1\r\n" HOST "\r\n", "200", "suffix"},
    {"no body", "GET /empty HTTP/1.1\r\n" HOST "\r\n", "204", "GMT\r\n\r\n"},
    {"the parts of a request", "GET /describe/a%20b?stream=live%2Ftest HTTP/1.1\r\n" HOST "x-test: T\r\n\r\n",
     "200", "/describe/a b|live/test|T|http://relay.example:8080|127.0.0.1"},
    {"a reply field", "GET /describe/ HTTP/1.1\r\n" HOST "\r\n", "200",
     "X-Reply: yes\r\n\r\n/describe/|-|-|"},
    {"HTTP/1.0 without Host", "GET /describe/ HTTP/1.0\r\n\r\n", "200", "http://127.0.0.1:"},
    {"HTTP/1.0 kept alive", "GET /exact HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "200",
     "Connection: keep-alive\r\n"},
    {"a body by length", "POST /whip/a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", "201",
     "\r\n\r\nabc"},
    {"a body by chunks",
     "POST /whip/a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "201",
     "\r\n\r\nabc"},
    {"100 before the body",
     "POST /whip/a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc", "100 201",
     "abc"},
    {"no 100 without body", "GET /exact HTTP/1.1\r\n" HOST "Expect: 100-continue\r\n\r\n", "200", "exact"},
    {"pipelined",
     "GET /exact HTTP/1.1\r\n" HOST "\r\nPOST /whip/a HTTP/1.1\r\n" HOST
     "Content-Length: 3\r\n\r\nabcGET /none HTTP/1.1\r\n" HOST "\r\n",
     "200 201 404", "abc"},
    {"nothing after close",
     "GET /exact HTTP/1.1\r\n" HOST "Connection: close\r\n\r\nGET /exact HTTP/1.1\r\n" HOST "\r\n", "200",
     "exact"},
    {"preflight", "OPTIONS /whip/a HTTP/1.1\r\n" HOST "\r\n", "200",
     "Access-Control-Allow-Origin: *\r\nAccess-Control-Expose-Headers: Location, ETag, Link\r\n"
     "Access-Control-Allow-Methods: POST, OPTIONS\r\nAccess-Control-Allow-Headers: Authorization, "
     "Content-Type\r\n"
     "Access-Control-Max-Age: 86400\r\nAllow: POST, OPTIONS\r\nAccept-Post: application/sdp\r\n"},
    {"CORS on a reply", "DELETE /whip/a HTTP/1.1\r\n" HOST "\r\n", "204",
     "Access-Control-Allow-Origin: *\r\n"},
    {"unknown path", "GET /none HTTP/1.1\r\n" HOST "\r\n", "404",
     "application/problem+json\r\nContent-Length: 84\r\n\r\n"
     "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"nothing at /none\"}"},
    {"a path that would break JSON", "GET /\"%5c%ff HTTP/1.1\r\n" HOST "\r\n", "404",
     "nothing at /\\\"\\\\?\""},
    {"wrong method", "PUT /whip/a HTTP/1.1\r\n" HOST "\r\n", "405", "Allow: POST, DELETE, OPTIONS\r\n"},
    {"wrong method on GET", "POST /exact HTTP/1.1\r\n" HOST "\r\n", "405", "Allow: GET, HEAD\r\n"},
    {"a method nobody routes", "PROPFIND /exact HTTP/1.1\r\n" HOST "\r\n", "405", "Allow: GET, HEAD\r\n"},
    {"CORS on an error of the server", "POST /whip/a HTTP/1.1\r\n" HOST "Content-Length: 1001\r\n\r\n", "413",
     "Access-Control-Allow-Origin: *\r\n"},
    {"length and chunks",
     "POST /whip/a HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     "400", "\"status\":400"},
    {"traversal", "GET /rest/../../etc/passwd HTTP/1.1\r\n" HOST "\r\n", "400", "malformed target"},
    {"traversal, encoded", "GET /rest/%2e%2e/x HTTP/1.1\r\n" HOST "\r\n", "400", "malformed target"},
    {"not HTTP", "\x03\x01\x02hello\r\n\r\n", "400", "Connection: close"},
    {"HTTP/2", "GET / HTTP/2.0\r\n" HOST "\r\n", "505", "Connection: close"},
    {"unknown coding", "POST /whip/a HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip\r\n\r\n", "501",
     "Connection: close"},
    {"bad after good", "GET /exact HTTP/1.1\r\n" HOST "\r\n\x01garbage", "200 400", "exact"},
    {"a handler that forgets to reply", "GET /forget HTTP/1.1\r\n" HOST "\r\n", "500", "no reply"},
};

static void each_request_gets_its_reply(void **state)
{
    struct scene s;
    char got[256];

    (void)state;
    setup(&s);
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        struct text reply = scene_ask(&s, rows[i].request);
        assert_string_equal(statuses(&reply, got), rows[i].statuses);
        if (!strstr(reply.p, rows[i].contains))
            print_message("%s\n", reply.p);
        assert_non_null(strstr(reply.p, rows[i].contains));
        assert_null(strstr(reply.p, "X-Split"));
        text_fini(&reply);
    }
    scene_fini(&s);
}

static void a_head_sent_for_head_has_no_body(void **state)
{
    struct scene s;

    (void)state;
    setup(&s);
    struct text reply = scene_ask(&s, "HEAD /exact HTTP/1.1\r\n" HOST "\r\n");
    assert_string_equal(body_of(&reply), "");
    text_fini(&reply);
    scene_fini(&s);
}

static void a_head_too_large_gets_431_and_a_long_target_414(void **state)
{
    struct scene s;
    struct text head = {0}, target = {0};
    char got[256];

    (void)state;
    setup(&s);
    text_print(&head, "GET / HTTP/1.1\r\nX: %020000d\r\n\r\n", 0);
    text_print(&target, "GET /%09000d HTTP/1.1\r\n\r\n", 0);
    struct text reply = scene_ask(&s, head.p);
    assert_string_equal(statuses(&reply, got), "431");
    text_fini(&reply);
    reply = scene_ask(&s, target.p);
    assert_string_equal(statuses(&reply, got), "414");
    text_fini(&reply);
    text_fini(&head);
    text_fini(&target);
    scene_fini(&s);
}

static void everything_is_counted(void **state)
{
    struct scene s;
    static const char *const requests[] = {"GET /exact HTTP/1.1\r\n" HOST "\r\n",
                                           "GET /none HTTP/1.1\r\n" HOST "\r\n", "bad\r\n\r\n",
                                           "POST /whip/a HTTP/1.1\r\n" HOST "Content-Length: 5000\r\n\r\n"};

    (void)state;
    setup(&s);
    for (size_t i = 0; i < LEN(requests); i++) {
        struct text reply = scene_ask(&s, requests[i]);
        text_fini(&reply);
    }
    test_loop_run_for(&s.loop, 2000);
    const struct http_counters *c = http_server_counters(s.server);
    assert_int_equal(c->accepted, 4);
    assert_int_equal(c->refused, 0);
    assert_int_equal(c->open, 0);
    assert_int_equal(c->requests, 2);
    assert_int_equal(c->bad, 2);
    assert_int_equal(c->status[2], 1);
    assert_int_equal(c->status[4], 3);
    scene_fini(&s);
}

static void a_connection_is_kept_for_the_next_request(void **state)
{
    struct scene s;
    struct client c;
    char got[256];

    (void)state;
    setup(&s);
    client_open(&c, &s);
    for (int i = 0; i < 3; i++) {
        c.stop_at = c.got.len + 1;
        client_send(&c, "GET /exact HTTP/1.1\r\n" HOST "\r\n");
        test_loop_run(&s.loop);
    }
    assert_string_equal(statuses(&c.got, got), "200 200 200");
    assert_null(strstr(c.got.p, "Connection:"));
    assert_int_equal(http_server_counters(s.server)->accepted, 1);
    assert_int_equal(http_server_counters(s.server)->open, 1);
    client_close(&c);
    scene_fini(&s);
}

/* ---- Slow and many --------------------------------------------------------------------------- */

static void who_is_too_slow_gets_408_and_who_is_silent_is_closed(void **state)
{
    static const struct {
        const char *name, *bytes, *statuses;
    } cases[] = {
        {"a head that does not end", "GET /exact HTTP/1.1\r\nHo", "408"},
        {"a body that does not come", "POST /whip/a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nab", "408"},
        {"silence", "", ""},
        {"silence after a request", "GET /exact HTTP/1.1\r\n" HOST "\r\n", "200"},
    };
    struct scene s;
    char got[256];

    (void)state;
    scene_init(&s, &(struct http_server_cfg){.head_us = 3000, .body_us = 3000, .idle_us = 3000});
    http_route(s.server, HTTP_M_GET, "/exact", say, exact_text);
    http_route(s.server, HTTP_M_POST, "/whip/*", echo, NULL);
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        struct text reply = scene_ask_open(&s, cases[i].bytes);
        assert_string_equal(statuses(&reply, got), cases[i].statuses);
        text_fini(&reply);
    }
    assert_int_equal(http_server_counters(s.server)->bad, 2);
    scene_fini(&s);
}

/* A byte now and then does not prolong a head's time. */
struct dripper {
    struct timer timer;
    struct client client;
};

static void drip(struct timer *t, uint64_t now_us)
{
    struct dripper *d = container_of(t, struct dripper, timer);

    (void)now_us;
    (void)send(d->client.fd, "X: y\r\n", 6, MSG_NOSIGNAL);
    timer_start(t, 1000);
}

static void a_head_that_comes_drop_by_drop_gets_408(void **state)
{
    struct scene s;
    struct dripper d;
    char got[256];

    (void)state;
    scene_init(&s, &(struct http_server_cfg){.head_us = 15000});
    client_open(&d.client, &s);
    client_send(&d.client, "GET / HTTP/1.1\r\n");
    timer_init(&d.timer, s.loop.w, drip);
    timer_start(&d.timer, 1000);
    d.client.stop_at = 1;
    test_loop_run(&s.loop);
    timer_stop(&d.timer);
    assert_string_equal(statuses(&d.client.got, got), "408");
    client_close(&d.client);
    scene_fini(&s);
}

static void connections_over_the_bound_are_closed(void **state)
{
    struct scene s;
    struct client a, b, c;

    (void)state;
    scene_init(&s, &(struct http_server_cfg){.max_connections = 2});
    client_open(&a, &s);
    client_open(&b, &s);
    client_open(&c, &s);
    client_run(&c);
    assert_int_equal(c.got.len, 0);
    assert_false(a.ended || b.ended);
    assert_int_equal(http_server_counters(s.server)->refused, 1);
    assert_int_equal(http_server_counters(s.server)->open, 2);
    client_close(&a);
    test_loop_run_for(&s.loop, 2000);
    client_close(&c);
    client_open(&c, &s);
    test_loop_run_for(&s.loop, 2000);
    assert_false(c.ended);
    client_close(&b);
    client_close(&c);
    scene_fini(&s);
}

/* ---- Replies that come later ----------------------------------------------------------------- */

struct later {
    struct http_exchange *x[16];
    size_t n, gone;
};

static void on_gone(struct http_exchange *x, void *arg)
{
    struct later *l = arg;

    (void)x;
    l->gone++;
}

static void keep(struct http_exchange *x, void *arg)
{
    struct later *l = arg;

    l->x[l->n++] = x;
    http_on_gone(x, on_gone, l);
}

static void a_later_reply_holds_back_the_pipelined_ones(void **state)
{
    struct scene s;
    struct later l = {0};
    struct client c;
    char got[256];

    (void)state;
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/later", keep, &l);
    client_open(&c, &s);
    client_send(&c, "GET /later HTTP/1.1\r\n" HOST "\r\nGET /exact HTTP/1.1\r\n" HOST
                    "\r\nGET /later HTTP/1.1\r\n" HOST "\r\nGET /none HTTP/1.1\r\n" HOST
                    "Connection: close\r\n\r\n");
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(l.n, 1);
    assert_int_equal(c.got.len, 0);
    http_reply(l.x[0], 202, NULL, NULL, 0);
    assert_int_equal(l.n, 1); /* not from within the reply */
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(l.n, 2);
    http_problem(l.x[1], 503, "busy");
    client_run(&c);
    assert_string_equal(statuses(&c.got, got), "202 200 503 404");
    assert_int_equal(l.gone, 0);
    client_close(&c);
    scene_fini(&s);
}

static void a_client_that_goes_away_is_told_once(void **state)
{
    struct scene s;
    struct later l = {0};
    struct client c;

    (void)state;
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/later", keep, &l);
    client_open(&c, &s);
    client_send(&c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(l.n, 1);
    client_close(&c);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(l.gone, 1);
    assert_int_equal(http_server_counters(s.server)->open, 0);
    scene_fini(&s);
    assert_int_equal(l.gone, 1);
}

static void closing_the_server_ends_what_is_open(void **state)
{
    struct scene s;
    struct later l = {0};
    struct client c[3];

    (void)state;
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/later", keep, &l);
    for (size_t i = 0; i < LEN(c); i++) {
        client_open(&c[i], &s);
        client_send(&c[i], i < 2 ? "GET /later HTTP/1.1\r\n" HOST "\r\n" : "GET /la");
    }
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(l.n, 2);
    http_server_close(&s.server);
    assert_int_equal(l.gone, 2);
    for (size_t i = 0; i < LEN(c); i++) {
        client_run(&c[i]);
        assert_int_equal(c[i].got.len, 0);
        client_close(&c[i]);
    }
    scene_fini(&s);
}

static void close_server(struct http_exchange *x, void *arg)
{
    struct scene *s = arg;

    (void)x;
    http_server_close(&s->server);
}

static void a_handler_may_close_the_server(void **state)
{
    struct scene s;

    (void)state;
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/stop", close_server, &s);
    struct text reply =
        scene_ask_open(&s, "GET /stop HTTP/1.1\r\n" HOST "\r\nGET /stop HTTP/1.1\r\n" HOST "\r\n");
    assert_int_equal(reply.len, 0);
    text_fini(&reply);
    scene_fini(&s);
}

/* How many requests were dealt with in the turn that had the most; the time stands still within a turn. */
struct tally {
    uint64_t turn_us;
    unsigned in_turn, most, all;
};

static void count_in_turn(struct http_exchange *x, void *arg)
{
    struct tally *t = arg;
    uint64_t now_us = worker_now_us(http_worker(x));

    t->in_turn = now_us == t->turn_us ? t->in_turn + 1 : 1;
    t->turn_us = now_us;
    t->most = t->in_turn > t->most ? t->in_turn : t->most;
    t->all++;
    http_reply(x, 204, NULL, NULL, 0);
}

/* Whoever asks a thousand times at once, by one connection or by many, takes no more of a turn than media can do without. */
static void many_requests_at_once_are_spread_over_turns(void **state)
{
    enum { CLIENTS = 10, EACH = 200 };
    static char text[EACH * 64];
    struct client clients[CLIENTS];
    struct scene s;
    struct tally tally = {0};

    (void)state;
    for (size_t i = 0, n = 0; i < EACH; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "GET /count HTTP/1.1\r\n" HOST "\r\n");
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/count", count_in_turn, &tally);
    for (size_t i = 0; i < CLIENTS; i++)
        client_open(&clients[i], &s);
    for (size_t i = 0; i < CLIENTS; i++)
        client_send(&clients[i], text);
    for (int i = 0; i < 100 && tally.all < CLIENTS * EACH; i++)
        test_loop_run_for(&s.loop, 10000);
    assert_int_equal(tally.all, CLIENTS * EACH);
    assert_in_range(tally.most, 1, 32);
    for (size_t i = 0; i < CLIENTS; i++)
        client_close(&clients[i]);
    scene_fini(&s);
}

static void pipelined_bytes_without_end_are_not_gathered(void **state)
{
    struct scene s;
    struct later l = {0};
    struct client c;
    static char bytes[32768];
    size_t sent = 0;

    (void)state;
    setup(&s);
    http_route(s.server, HTTP_M_GET, "/later", keep, &l);
    client_open(&c, &s);
    client_send(&c, "GET /later HTTP/1.1\r\n" HOST "\r\n");
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = "\r\n"[i % 2];
    for (int i = 0; i < 2000; i++) { /* 64 MB, unless it stops taking them */
        ssize_t n = send(c.fd, bytes, sizeof(bytes), MSG_NOSIGNAL | MSG_DONTWAIT);
        sent += n > 0 ? (size_t)n : 0;
        if (n < 0)
            test_loop_run_for(&s.loop, 100);
    }
    print_message("%zu bytes taken\n", sent);
    assert_true(sent < 32 << 20);
    http_reply(l.x[0], 200, NULL, NULL, 0);
    client_run(&c); /* 80 KB of empty lines are no request */
    client_close(&c);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_gets_its_reply),
        cmocka_unit_test(a_head_sent_for_head_has_no_body),
        cmocka_unit_test(a_head_too_large_gets_431_and_a_long_target_414),
        cmocka_unit_test(everything_is_counted),
        cmocka_unit_test(a_connection_is_kept_for_the_next_request),
        cmocka_unit_test(who_is_too_slow_gets_408_and_who_is_silent_is_closed),
        cmocka_unit_test(a_head_that_comes_drop_by_drop_gets_408),
        cmocka_unit_test(connections_over_the_bound_are_closed),
        cmocka_unit_test(a_later_reply_holds_back_the_pipelined_ones),
        cmocka_unit_test(a_client_that_goes_away_is_told_once),
        cmocka_unit_test(closing_the_server_ends_what_is_open),
        cmocka_unit_test(a_handler_may_close_the_server),
        cmocka_unit_test(many_requests_at_once_are_spread_over_turns),
        cmocka_unit_test(pipelined_bytes_without_end_are_not_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
