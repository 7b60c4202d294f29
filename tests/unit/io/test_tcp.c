/* SPDX-License-Identifier: Apache-2.0 */
#include "count_alloc.h"
#include "tcp_scene.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- Sending --------------------------------------------------------------------------------- */

static void bytes_go_both_ways(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s);
    write_pattern(s.client.t, 0, 1000);
    write_pattern(s.server.t, 0, 70000);
    s.client.stop_at = 70000;
    test_loop_run(&s.loop);
    assert_int_equal(s.server.received, 1000);
    assert_int_equal(s.server.wrong + s.client.wrong, 0);
    assert_int_equal(s.server.drains, 1);
    assert_int_equal(tcp_queued_bytes(s.server.t), 0);
    assert_true(addr_is_loopback(tcp_peer(s.server.t)));
    assert_true(addr_equal(tcp_peer(s.client.t), &s.addr));
    scene_fini(&s);
}

static void many_writes_of_a_turn_leave_in_one_call(void **state)
{
    struct scene s;
    struct buf *b;

    (void)state;
    scene_open(&s);
    uint64_t calls = tcp_counters(s.loop.w)->send_calls;
    size_t at = 0;
    for (int i = 0; i < 30; i++) { /* 60 pieces: a small header, copied, and a shared body, thirty times */
        write_pattern(s.server.t, at, 11);
        b = pattern_buf(at + 11 - 5, 105);
        tcp_write_buf(s.server.t, b, 5);
        buf_unref(&b);
        at += 111;
    }
    assert_int_equal(tcp_queued_bytes(s.server.t), at);
    s.client.stop_at = at;
    test_loop_run(&s.loop);
    assert_int_equal(tcp_counters(s.loop.w)->send_calls - calls, 1);
    assert_int_equal(s.client.received, at);
    assert_int_equal(s.client.wrong, 0);
    scene_fini(&s);
}

static void shared_bytes_are_released_when_sent_or_dropped(void **state)
{
    struct scene s;
    struct buf *b = pattern_buf(0, 1000), *empty = buf_create(10);

    (void)state;
    scene_open(&s);
    tcp_write_buf(s.server.t, b, 0);
    tcp_write_buf(s.server.t, empty, 0);
    assert_int_equal(b->refs, 2);
    assert_int_equal(empty->refs, 1);
    s.client.stop_at = 1000;
    test_loop_run(&s.loop);
    assert_int_equal(b->refs, 1);
    tcp_write_buf(s.server.t, b, 0);
    assert_int_equal(b->refs, 2);
    tcp_close(s.server.t);
    assert_int_equal(b->refs, 1);
    tcp_write_buf(s.server.t, b, 0); /* after the end: ignored */
    tcp_write(s.server.t, "x", 1);
    assert_int_equal(b->refs, 1);
    test_loop_run_for(&s.loop, 2000);
    scene_fini(&s);
    buf_unref(&b);
    buf_unref(&empty);
    assert_null(b);
}

static void what_is_sent_at_once_waits_only_for_what_was_before_it(void **state)
{
    enum { MORE = 8 << 20 };
    struct scene s;
    struct buf *b = pattern_buf(0, 1900), *more = pattern_buf(1900, MORE);

    (void)state;
    scene_open(&s);
    uint64_t calls = tcp_counters(s.loop.w)->send_calls;
    tcp_send_buf(s.server.t, b, 0, 900); /* all of it taken */
    assert_int_equal(tcp_queued_bytes(s.server.t), 0);
    assert_int_equal(b->refs, 1);
    assert_int_equal(tcp_counters(s.loop.w)->send_calls - calls, 1);
    write_pattern(s.server.t, 900, 100);
    tcp_send_buf(s.server.t, b, 1000, 1900); /* behind what waits */
    assert_int_equal(tcp_queued_bytes(s.server.t), 1000);
    s.client.stop_at = 1900;
    test_loop_run(&s.loop);
    tcp_pause(s.client.t);
    tcp_send_buf(s.server.t, more, 0, MORE); /* a part of it taken */
    assert_in_range(tcp_queued_bytes(s.server.t), 1, MORE - 1);
    tcp_resume(s.client.t);
    s.client.stop_at = 1900 + MORE;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.received, 1900 + MORE);
    assert_int_equal(s.client.wrong, 0);
    assert_int_equal(s.server.drains, 2);
    tcp_trim(s.server.t); /* what it had is given back, and comes again when needed */
    write_pattern(s.server.t, 1900 + MORE, 10);
    s.client.stop_at = 1900 + MORE + 10;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.wrong, 0);
    tcp_close(s.server.t);
    tcp_send_buf(s.server.t, b, 0, 10); /* after the end: ignored */
    assert_int_equal(b->refs, 1);
    test_loop_run_for(&s.loop, 2000);
    scene_fini(&s);
    buf_unref(&b);
    buf_unref(&more);
}

static void a_reader_that_pauses_makes_the_queue_grow_and_drain(void **state)
{
    enum { TOTAL = 16 << 20 };
    struct scene s;

    (void)state;
    scene_open(&s);
    tcp_pause(s.client.t);
    write_pattern(s.server.t, 0, TOTAL);
    test_loop_run_for(&s.loop, 20000);
    assert_true(tcp_queued_bytes(s.server.t) > 4 << 20);
    assert_int_equal(s.server.drains, 0);
    assert_int_equal(s.client.received, 0);
    tcp_resume(s.client.t);
    s.client.stop_at = TOTAL;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.received, TOTAL);
    assert_int_equal(s.client.wrong, 0);
    assert_int_equal(tcp_queued_bytes(s.server.t), 0);
    assert_int_equal(s.server.drains, 1);
    scene_fini(&s);
}

/* A producer without end, which writes at each drain. */
static void drain_and_write(void *arg)
{
    struct side *s = arg;

    s->drains++;
    write_pattern(s->t, 0, 10);
}

static void a_producer_that_always_has_more_leaves_the_loop_its_turns(void **state)
{
    static const struct tcp_ops ops = {NULL, side_on_data, drain_and_write, side_on_close};
    struct scene s;

    (void)state;
    scene_open(&s);
    tcp_set_ops(s.server.t, &ops, &s.server);
    tcp_write(s.server.t, "x", 1);
    test_loop_run_for(&s.loop, 5000);
    assert_true(s.server.drains > 10);
    assert_true(s.client.received > 100);
    scene_fini(&s);
}

static void write_and_stop(void *arg)
{
    struct side *s = arg;

    if (++s->drains < 1000)
        write_pattern(s->t, 0, 1300);
    else
        worker_stop(s->scene->loop.w);
}

static void steady_writes_allocate_nothing(void **state)
{
    static const struct tcp_ops ops = {NULL, side_on_data, write_and_stop, side_on_close};
    struct scene s;

    (void)state;
    scene_open(&s);
    tcp_set_ops(s.server.t, &ops, &s.server);
    write_pattern(s.server.t, 0, 1300);
    size_t before = count_allocs();
    test_loop_run(&s.loop);
    assert_int_equal(count_allocs() - before, 0);
    scene_fini(&s);
}

static void what_is_sent_at_once_allocates_nothing(void **state)
{
    struct buf *b = pattern_buf(0, 10000);
    struct scene s;

    (void)state;
    scene_open(&s);
    tcp_write(s.server.t, b->bytes, 1); /* as after a reply's head: what it took is given back */
    s.client.stop_at = 1;
    test_loop_run(&s.loop);
    tcp_trim(s.server.t);
    size_t before = count_allocs();
    for (int i = 0; i < 10000; i++) {
        tcp_send_buf(s.server.t, b, 1, 10000);
        tcp_send_buf(s.server.t, b, 0, 1);
        s.client.stop_at += 10000;
        test_loop_run(&s.loop);
    }
    assert_int_equal(count_allocs() - before, 0);
    assert_int_equal(b->refs, 1);
    buf_unref(&b);
    scene_fini(&s);
}

static void what_is_written_before_the_connection_is_open_arrives(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    scene_connect(&s, side_ops());
    write_pattern(s.client.t, 0, 100);
    s.server.stop_at = 100;
    test_loop_run(&s.loop);
    assert_int_equal(s.server.wrong, 0);
    scene_fini(&s);
}

/* ---- Ends ------------------------------------------------------------------------------------ */

static void reply_to_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    (void)bytes;
    s->received += len;
    write_pattern(s->t, 0, 50000);
}

static void a_peer_that_ends_its_direction_still_gets_the_reply(void **state)
{
    static const struct tcp_ops ops = {NULL, reply_to_data, NULL, side_on_close};
    struct scene s;
    uint8_t reply[50001];
    size_t n = 0;

    (void)state;
    scene_init(&s);
    s.server_ops = &ops;
    s.server.stop_on_close = true;
    int fd = raw_connect(&s);
    assert_int_equal(send(fd, "request", 7, 0), 7);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    test_loop_run(&s.loop);
    assert_int_equal(s.server.received, 7);
    assert_int_equal(s.server.closes, 1);
    assert_int_equal(s.server.err, 0);
    for (ssize_t got; (got = recv(fd, reply + n, sizeof(reply) - n, 0)) > 0;)
        n += (size_t)got;
    assert_int_equal(n, 50000);
    close(fd);
    scene_fini(&s);
}

static void a_reset_is_an_error_after_the_data_before_it(void **state)
{
    struct scene s;
    struct linger reset = {.l_onoff = 1};

    (void)state;
    scene_init(&s);
    s.server.stop_on_close = true;
    int fd = raw_connect(&s);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fd);
    test_loop_run(&s.loop);
    assert_int_equal(s.server.closes, 1);
    assert_int_equal(s.server.err, -ECONNRESET);
    scene_fini(&s);
}

static void a_refused_connection_closes_with_its_error(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    tcp_listener_close(&s.listener);
    scene_connect(&s, side_ops());
    s.client.stop_on_close = true;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.opens, 0);
    assert_int_equal(s.client.closes, 1);
    assert_int_equal(s.client.err, -ECONNREFUSED);
    scene_fini(&s);
}

static void close_on_open(void *arg)
{
    struct side *s = arg;

    s->opens++;
    tcp_close(s->t);
    tcp_close(s->t);                /* twice is once */
    assert_int_equal(s->closes, 0); /* never from within the call */
}

static void close_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct side *s = arg;

    (void)bytes;
    s->received += len;
    tcp_close(s->t);
}

static void close_on_drain(void *arg)
{
    struct side *s = arg;

    s->drains++;
    tcp_close(s->t);
}

static void closing_within_any_callback_calls_on_close_once(void **state)
{
    static const struct tcp_ops at_open = {close_on_open, side_on_data, side_on_drain, side_on_close};
    static const struct tcp_ops at_data = {side_on_open, close_on_data, side_on_drain, side_on_close};
    static const struct tcp_ops at_drain = {side_on_open, side_on_data, close_on_drain, side_on_close};
    static const struct tcp_ops *const rows[] = {&at_open, &at_data, &at_drain};
    struct scene s;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        scene_init(&s);
        scene_connect(&s, rows[i]);
        s.client.stop_on_close = true;
        write_pattern(s.client.t, 0, 10);
        test_loop_run_for(&s.loop, 1000);
        if (s.server.t)
            write_pattern(s.server.t, 0, 200000);
        test_loop_run_for(&s.loop, 5000);
        assert_int_equal(s.client.opens, 1);
        assert_int_equal(s.client.closes, 1);
        assert_int_equal(s.client.err, -ECANCELED);
        assert_int_equal(s.server.closes, 1);
        scene_fini(&s);
    }
}

static void accept_and_close(void *arg, struct tcp *t)
{
    struct scene *s = arg;

    tcp_close(t);
    tcp_listener_close(&s->listener);
}

static void a_listener_and_its_connection_may_be_closed_in_on_accept(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    tcp_listener_close(&s.listener);
    assert_int_equal(addr_parse(&s.addr, "[::]:0"), 0);
    assert_int_equal(tcp_listen(&s.listener, s.loop.w, &s.addr, false, accept_and_close, &s), 0);
    tcp_listener_local(s.listener, &s.addr);
    scene_connect(&s, side_ops());
    s.client.stop_on_close = true;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.closes, 1);
    assert_null(s.listener);
    scene_fini(&s);
}

static void shutdown_sends_all_and_survives_unread_bytes_of_the_peer(void **state)
{
    struct scene s;

    (void)state;
    scene_open(&s);
    write_pattern(s.client.t, 0, 100000); /* an upload that the server does not want */
    write_pattern(s.server.t, 0, 3000000);
    tcp_shutdown(s.server.t, 2000000);
    tcp_shutdown(s.server.t, 1);
    write_pattern(s.server.t, 0, 10); /* after the end: ignored */
    s.client.stop_on_close = true;
    test_loop_run(&s.loop);
    assert_int_equal(s.client.received, 3000000);
    assert_int_equal(s.client.wrong, 0);
    assert_int_equal(s.client.err, 0);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(s.server.received, 0);
    assert_int_equal(s.server.closes, 1);
    assert_int_equal(s.server.err, -ECANCELED);
    scene_fini(&s);
}

static void shutdown_gives_up_on_a_peer_that_never_ends(void **state)
{
    struct scene s;
    char byte;

    (void)state;
    scene_init(&s);
    int fd = raw_connect(&s);
    test_loop_run_for(&s.loop, 2000);
    tcp_write(s.server.t, "x", 1);
    tcp_shutdown(s.server.t, 3000);
    s.server.stop_on_close = true;
    test_loop_run(&s.loop);
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
    close(fd);
    scene_fini(&s);
}

static void shutdown_before_the_connection_opens_sends_first(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    scene_connect(&s, side_ops());
    write_pattern(s.client.t, 0, 10);
    tcp_shutdown(s.client.t, 1000000);
    s.server.stop_on_close = true;
    test_loop_run(&s.loop);
    assert_int_equal(s.server.received, 10);
    test_loop_run_for(&s.loop, 2000);
    assert_int_equal(s.client.closes, 1);
    assert_int_equal(s.client.opens, 0); /* no callback but side_on_close */
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(many_writes_of_a_turn_leave_in_one_call),
        cmocka_unit_test(shared_bytes_are_released_when_sent_or_dropped),
        cmocka_unit_test(what_is_sent_at_once_waits_only_for_what_was_before_it),
        cmocka_unit_test(a_reader_that_pauses_makes_the_queue_grow_and_drain),
        cmocka_unit_test(a_producer_that_always_has_more_leaves_the_loop_its_turns),
        cmocka_unit_test(steady_writes_allocate_nothing),
        cmocka_unit_test(what_is_sent_at_once_allocates_nothing),
        cmocka_unit_test(what_is_written_before_the_connection_is_open_arrives),
        cmocka_unit_test(a_peer_that_ends_its_direction_still_gets_the_reply),
        cmocka_unit_test(a_reset_is_an_error_after_the_data_before_it),
        cmocka_unit_test(a_refused_connection_closes_with_its_error),
        cmocka_unit_test(closing_within_any_callback_calls_on_close_once),
        cmocka_unit_test(a_listener_and_its_connection_may_be_closed_in_on_accept),
        cmocka_unit_test(shutdown_sends_all_and_survives_unread_bytes_of_the_peer),
        cmocka_unit_test(shutdown_gives_up_on_a_peer_that_never_ends),
        cmocka_unit_test(shutdown_before_the_connection_opens_sends_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
