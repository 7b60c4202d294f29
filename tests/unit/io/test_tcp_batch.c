/* SPDX-License-Identifier: Apache-2.0
 * Sends to many that go to the kernel together, and what happens where it does not let us. */
#include "count_alloc.h"
#include "tcp_scene.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CROWD = 300, A_CALL = 128 };

struct crowd {
    struct scene s; /* for its loop and address */
    size_t n, closed;
    struct tcp *t[CROWD];
    int fd[CROWD], err; /* the other ends; with what the last one ended */
};

static int refuse_init, refuse_submit;

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __real_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags);
int __wrap_io_uring_submit(struct io_uring *ring);
int __real_io_uring_submit(struct io_uring *ring);

int __wrap_io_uring_queue_init(unsigned entries, struct io_uring *ring, unsigned flags)
{
    return refuse_init ? refuse_init : __real_io_uring_queue_init(entries, ring, flags);
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    return refuse_submit ? refuse_submit : __real_io_uring_submit(ring);
}

/* ---- Scene ------------------------------------------------------------------------------------ */

static void ignore_data(void *arg, const uint8_t *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    (void)len;
}

static void count_close(void *arg, int err)
{
    struct crowd *c = arg;

    c->closed++;
    c->err = err;
}

static void crowd_on_accept(void *arg, struct tcp *t)
{
    static const struct tcp_ops ops = {.on_data = ignore_data, .on_close = count_close};
    struct crowd *c = arg;

    tcp_set_ops(t, &ops, c);
    c->t[c->n++] = t;
}

static void crowd_open(struct crowd *c, size_t n)
{
    memset(c, 0, sizeof(*c));
    test_loop_init(&c->s.loop);
    assert_int_equal(addr_parse(&c->s.addr, "127.0.0.1:0"), 0);
    assert_int_equal(tcp_listen(&c->s.listener, c->s.loop.w, &c->s.addr, false, crowd_on_accept, c), 0);
    tcp_listener_local(c->s.listener, &c->s.addr);
    for (size_t i = 0; i < n; i++) { /* one after the other: so each is known by its place */
        c->fd[i] = raw_connect(&c->s);
        while (c->n == i)
            test_loop_run_for(&c->s.loop, 100);
    }
}

static void crowd_close(struct crowd *c)
{
    for (size_t i = 0; i < c->n; i++) {
        if (c->t[i])
            tcp_close(c->t[i]);
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    }
    tcp_listener_close(&c->s.listener);
    test_loop_fini(&c->s.loop);
}

/* The next bytes at the other end are these. */
static void assert_got(int fd, const struct buf *b, size_t from, size_t to)
{
    uint8_t *got = malloc(to - from);

    assert_int_equal(recv(fd, got, to - from, MSG_WAITALL), to - from);
    assert_memory_equal(got, b->bytes + from, to - from);
    free(got);
}

static void assert_got_nothing_more(int fd)
{
    uint8_t byte;

    assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static const struct tcp_counters *counters(const struct crowd *c)
{
    return tcp_counters(c->s.loop.w);
}

static void send_to_all(struct crowd *c, struct buf *b)
{
    tcp_batch_begin(c->s.loop.w);
    for (size_t i = 0; i < c->n; i++)
        tcp_send_buf(c->t[i], b, 1, b->len);
    tcp_batch_end(c->s.loop.w);
}

static void assert_all_got(const struct crowd *c, const struct buf *b)
{
    for (size_t i = 0; i < c->n; i++) {
        assert_got(c->fd[i], b, 1, b->len);
        assert_got_nothing_more(c->fd[i]);
        assert_int_equal(tcp_queued_bytes(c->t[i]), 0);
    }
    assert_int_equal(b->refs, 1);
}

/* Whether this machine has io_uring for us: where it has not, the other ways are what can be tested. */
static bool had_ring(const struct crowd *c)
{
    if (counters(c)->batched_sends == 0)
        print_message("no io_uring here\n");
    return counters(c)->batched_sends > 0;
}

/* ---- Tests ------------------------------------------------------------------------------------ */

static void what_goes_to_many_takes_few_calls(void **state)
{
    struct buf *b = pattern_buf(0, 10000);
    struct crowd c;

    (void)state;
    crowd_open(&c, CROWD);
    send_to_all(&c, b);
    assert_all_got(&c, b);
    assert_int_equal(counters(&c)->sent_bytes, CROWD * 9999);
    if (had_ring(&c)) {
        assert_int_equal(counters(&c)->batched_sends, CROWD);
        assert_int_equal(counters(&c)->send_calls, (CROWD + A_CALL - 1) / A_CALL);
        size_t before = count_allocs();
        for (int i = 0; i < 20; i++) {
            send_to_all(&c, b);
            for (size_t k = 0; k < c.n; k++)
                assert_int_equal(recv(c.fd[k], (uint8_t[9999]){0}, 9999, MSG_WAITALL), 9999);
        }
        assert_int_equal(count_allocs() - before, 0);
    }
    tcp_send_buf(c.t[0], b, 0, 10); /* outside of a batch: at once */
    assert_got(c.fd[0], b, 0, 10);
    crowd_close(&c);
    buf_unref(&b);
}

static void what_is_done_with_a_connection_finds_its_send_done(void **state)
{
    struct buf *a = pattern_buf(0, 5000), *b = pattern_buf(9000, 300);
    struct crowd c;

    (void)state;
    crowd_open(&c, 6);
    tcp_batch_begin(c.s.loop.w);
    for (size_t i = 0; i < 6; i++)
        tcp_send_buf(c.t[i], a, 0, 5000);
    tcp_write(c.t[0], b->bytes, 300);
    tcp_write_buf(c.t[1], b, 0);
    tcp_send_buf(c.t[2], b, 0, 300);
    tcp_close(c.t[3]);
    tcp_shutdown(c.t[4], 1000000);
    tcp_send_buf(c.t[5], b, 300, 300); /* nothing */
    tcp_batch_end(c.s.loop.w);
    c.t[3] = c.t[4] = NULL;
    test_loop_run_for(&c.s.loop, 2000);
    for (size_t i = 0; i < 6; i++)
        assert_got(c.fd[i], a, 0, 5000);
    for (size_t i = 0; i < 3; i++)
        assert_got(c.fd[i], b, 0, 300);
    for (size_t i = 3; i < 5; i++)
        assert_int_equal(recv(c.fd[i], (uint8_t[1]){0}, 1, 0), 0); /* the end, after all of it */
    assert_got_nothing_more(c.fd[5]);
    close(c.fd[4]);
    c.fd[4] = -1;
    test_loop_run_for(&c.s.loop, 2000);
    assert_int_equal(c.closed, 2);
    assert_int_equal(a->refs, 1);
    assert_int_equal(b->refs, 1);
    crowd_close(&c);
    buf_unref(&a);
    buf_unref(&b);
}

static void one_that_is_full_and_one_that_is_dead_trouble_nobody_else(void **state)
{
    enum { MORE = 8 << 20 };
    const struct linger reset = {.l_onoff = 1};
    struct buf *b = pattern_buf(0, MORE);
    struct crowd c;

    (void)state;
    crowd_open(&c, 3);
    assert_int_equal(setsockopt(c.fd[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(c.fd[1]);
    c.fd[1] = -1;
    tcp_batch_begin(c.s.loop.w);
    tcp_send_buf(c.t[0], b, 0, MORE); /* a part of it taken */
    tcp_send_buf(c.t[1], b, 0, MORE);
    tcp_send_buf(c.t[2], b, 0, 1000);
    tcp_batch_end(c.s.loop.w);
    c.t[1] = NULL;
    assert_in_range(tcp_queued_bytes(c.t[0]), 1, MORE - 1);
    assert_got(c.fd[2], b, 0, 1000);
    test_loop_run_for(&c.s.loop, 2000);
    assert_int_equal(c.closed, 1);
    assert_int_equal(c.err, -ECONNRESET);
    size_t got = 0;
    for (uint8_t bytes[65536]; got < MORE;) {
        ssize_t n = recv(c.fd[0], bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n > 0)
            assert_memory_equal(bytes, b->bytes + got, (size_t)n);
        got += n > 0 ? (size_t)n : 0;
        if (n < 0)
            test_loop_run_for(&c.s.loop, 1000);
    }
    assert_int_equal(tcp_queued_bytes(c.t[0]), 0);
    assert_int_equal(b->refs, 1);
    crowd_close(&c);
    buf_unref(&b);
}

static void without_io_uring_each_send_is_a_call(void **state)
{
    struct buf *b = pattern_buf(0, 3000);
    struct crowd c;

    (void)state;
    refuse_init = -EPERM; /* a container's seccomp, kernel.io_uring_disabled */
    crowd_open(&c, 10);
    send_to_all(&c, b);
    assert_all_got(&c, b);
    assert_int_equal(counters(&c)->batched_sends, 0);
    assert_int_equal(counters(&c)->send_calls, 10);
    crowd_close(&c);
    refuse_init = 0;
    buf_unref(&b);
}

static void when_the_kernel_takes_no_more_nothing_is_lost_or_sent_twice(void **state)
{
    struct buf *b = pattern_buf(0, 3000);
    struct crowd c;

    (void)state;
    crowd_open(&c, 10);
    send_to_all(&c, b);
    assert_all_got(&c, b);
    uint64_t batched = counters(&c)->batched_sends;
    for (int i = 0; i < 3; i++) {
        refuse_submit = i == 0 ? -ENOMEM : 0; /* it would take them again, but the ring is not clean */
        send_to_all(&c, b);
        assert_all_got(&c, b);
        assert_int_equal(counters(&c)->batched_sends, batched);
    }
    crowd_close(&c);
    buf_unref(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_to_many_takes_few_calls),
        cmocka_unit_test(what_is_done_with_a_connection_finds_its_send_done),
        cmocka_unit_test(one_that_is_full_and_one_that_is_dead_trouble_nobody_else),
        cmocka_unit_test(without_io_uring_each_send_is_a_call),
        cmocka_unit_test(when_the_kernel_takes_no_more_nothing_is_lost_or_sent_twice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
