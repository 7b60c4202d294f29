/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <stdlib.h>
#include <string.h>

#define GET_FLV "GET /live/test.flv HTTP/1.1\r\nHost: h\r\n"

struct live {
    struct http_exchange *x;
    bool chunked;
    unsigned drains, gone;
};

static void on_gone(struct http_exchange *x, void *arg)
{
    struct live *l = arg;

    assert_ptr_equal(x, l->x);
    l->gone++;
    l->x = NULL;
}

static void on_drain(struct http_exchange *x, void *arg)
{
    struct live *l = arg;

    assert_ptr_equal(x, l->x);
    l->drains++;
}

static void begin(struct http_exchange *x, void *arg)
{
    struct live *l = arg;

    l->x = x;
    http_on_gone(x, on_gone, l);
    http_stream_begin(x, 200, "video/x-flv", l->chunked, on_drain, l);
}

static void setup(struct scene *s, struct live *l, bool chunked)
{
    *l = (struct live){.chunked = chunked};
    scene_init(s, NULL);
    http_route(s->server, HTTP_M_GET, "*.flv", begin, l);
}

static void run_briefly(struct scene *s)
{
    test_loop_run_for(&s->loop, 2000);
}

static struct http_piece some_piece(size_t len)
{
    struct http_piece p;
    uint8_t *bytes = malloc(len);

    assert_non_null(bytes);
    memset(bytes, 'x', len);
    assert_int_equal(http_piece_create(&p, bytes, len), 0);
    free(bytes);
    return p;
}

static void chunks_carry_what_is_written_and_the_connection_goes_on(void **state)
{
    struct scene s;
    struct live l;
    struct client c;
    struct http_piece p;
    char got[256];

    (void)state;
    setup(&s, &l, true);
    assert_int_equal(http_piece_create(&p, "shared bytes", 12), 0);
    client_open(&c, &s);
    client_send(&c, GET_FLV "\r\nGET /none HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    run_briefly(&s);
    assert_non_null(strstr(c.got.p, "Transfer-Encoding: chunked\r\n"));
    assert_null(strstr(c.got.p, "Content-Length"));
    http_stream_write(l.x, "FLV", 3);
    http_stream_write(l.x, "", 0); /* would be the end */
    http_stream_send(l.x, &p);
    assert_int_equal(p.framed->refs, 2); /* behind what waits */
    run_briefly(&s);
    assert_int_equal(p.framed->refs, 1);
    assert_int_equal(http_stream_queued_bytes(l.x), 0);
    assert_true(l.drains > 0);
    http_stream_send(l.x, &p);
    assert_int_equal(p.framed->refs, 1); /* the kernel has it already */
    assert_int_equal(http_stream_queued_bytes(l.x), 0);
    http_stream_end(l.x);
    client_run(&c);
    assert_non_null(strstr(body_of(&c.got), "3\r\nFLV\r\nc\r\nshared bytes\r\nc\r\nshared bytes\r\n0\r\n\r\nHTTP/1.1 404"));
    assert_string_equal(statuses(&c.got, got), "200 404");
    assert_int_equal(l.gone, 0);
    client_close(&c);
    buf_unref(&p.framed);
    scene_fini(&s);
}

static void without_chunks_the_end_of_the_connection_is_the_end(void **state)
{
    static const struct {
        const char *name, *request;
        bool chunked;
    } cases[] = {
        {"plain", GET_FLV "\r\n", false},
        {"chunks are not for HTTP/1.0", "GET /a.flv HTTP/1.0\r\n\r\n", true},
    };
    struct scene s;
    struct live l;
    struct client c;
    struct http_piece p;

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        print_message("%s\n", cases[i].name);
        setup(&s, &l, cases[i].chunked);
        assert_int_equal(http_piece_create(&p, " and more", 9), 0);
        client_open(&c, &s);
        client_send(&c, cases[i].request);
        run_briefly(&s);
        http_stream_write(l.x, "FLV", 3);
        http_stream_send(l.x, &p);
        http_stream_end(l.x);
        client_run(&c);
        assert_non_null(strstr(c.got.p, "Connection: close\r\n\r\nFLV"));
        assert_string_equal(body_of(&c.got), "FLV and more");
        client_close(&c);
        buf_unref(&p.framed);
        scene_fini(&s);
    }
}

static void a_slow_reader_is_seen_in_the_queue_and_drains_later(void **state)
{
    enum { PIECE = 65536, PIECES = 256 }; /* 16 MB */
    struct scene s;
    struct live l;
    struct client c;
    struct http_piece p = some_piece(PIECE);

    (void)state;
    setup(&s, &l, false);
    client_open(&c, &s);
    client_send(&c, GET_FLV "\r\n");
    run_briefly(&s);
    client_read(&c, false);
    size_t head = c.got.len;
    unsigned drains = l.drains;
    for (int i = 0; i < PIECES; i++)
        http_stream_send(l.x, &p);
    run_briefly(&s);
    assert_true(http_stream_queued_bytes(l.x) > 4 << 20);
    assert_int_equal(l.drains, drains);
    client_read(&c, true);
    c.stop_at = head + (size_t)PIECE * PIECES;
    test_loop_run(&s.loop);
    run_briefly(&s);
    assert_int_equal(l.drains, drains + 1);
    assert_int_equal(p.framed->refs, 1);
    http_stream_end(l.x);
    client_run(&c);
    assert_int_equal(c.got.len, head + (size_t)PIECE * PIECES);
    client_close(&c);
    buf_unref(&p.framed);
    scene_fini(&s);
}

static void a_viewer_that_goes_away_is_told_once_and_drops_its_bytes(void **state)
{
    struct scene s;
    struct live l;
    struct client c;
    struct http_piece p = some_piece(1 << 20);

    (void)state;
    setup(&s, &l, true);
    client_open(&c, &s);
    client_send(&c, GET_FLV "\r\n");
    run_briefly(&s);
    client_read(&c, false);
    for (int i = 0; i < 16; i++)
        http_stream_send(l.x, &p);
    run_briefly(&s);
    assert_true(p.framed->refs > 1);
    client_close(&c);
    run_briefly(&s);
    assert_int_equal(l.gone, 1);
    assert_int_equal(p.framed->refs, 1);
    buf_unref(&p.framed);
    scene_fini(&s);
    assert_int_equal(l.gone, 1);
}

static void abort_drops_the_connection_without_on_gone(void **state)
{
    struct scene s;
    struct live l;
    struct client c;

    (void)state;
    setup(&s, &l, true);
    client_open(&c, &s);
    client_send(&c, GET_FLV "\r\n");
    run_briefly(&s);
    http_stream_abort(l.x);
    client_run(&c);
    assert_int_equal(l.gone, 0);
    assert_null(strstr(c.got.p, "0\r\n\r\n"));
    client_close(&c);
    scene_fini(&s);
}

static void head_of_a_stream_is_a_head_and_the_handler_is_let_go(void **state)
{
    struct scene s;
    struct live l;

    (void)state;
    setup(&s, &l, true);
    struct text reply = scene_ask_open(&s, "HEAD /a.flv HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_non_null(strstr(reply.p, "Content-Type: video/x-flv\r\n"));
    assert_string_equal(body_of(&reply), "");
    text_fini(&reply);
    run_briefly(&s);
    assert_int_equal(l.gone, 1);
    scene_fini(&s);
}

static void closing_the_server_lets_the_streams_go(void **state)
{
    struct scene s;
    struct live l;
    struct client c;

    (void)state;
    setup(&s, &l, true);
    client_open(&c, &s);
    client_send(&c, GET_FLV "\r\n");
    run_briefly(&s);
    http_server_close(&s.server);
    assert_int_equal(l.gone, 1);
    client_run(&c);
    client_close(&c);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_carry_what_is_written_and_the_connection_goes_on),
        cmocka_unit_test(without_chunks_the_end_of_the_connection_is_the_end),
        cmocka_unit_test(a_slow_reader_is_seen_in_the_queue_and_drains_later),
        cmocka_unit_test(a_viewer_that_goes_away_is_told_once_and_drops_its_bytes),
        cmocka_unit_test(abort_drops_the_connection_without_on_gone),
        cmocka_unit_test(head_of_a_stream_is_a_head_and_the_handler_is_let_go),
        cmocka_unit_test(closing_the_server_lets_the_streams_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
