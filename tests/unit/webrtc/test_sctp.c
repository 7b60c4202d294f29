/* SPDX-License-Identifier: Apache-2.0
 * SCTP associations with each other: messages of all sizes in order, over loss, on several threads; streams that are
 * closed; what a peer may do that it should not. */
#include "unit/webrtc/sctp_pair.h"

#include "base/compiler.h"

#include <stdatomic.h>
#include <usrsctp.h>

struct fixture {
    struct test_loop loop;
    struct rtc_sctp_stack *stack;
    struct sctp_end x, y;
    struct timer pump;
    bool (*done)(const struct fixture *f);
};

static void on_pump(struct timer *t, uint64_t now_us)
{
    struct fixture *f = container_of(t, struct fixture, pump);

    (void)now_us;
    while (sctp_wires_run(&f->x, &f->y))
        ;
    if (f->done(f))
        worker_stop(f->loop.w);
    else
        timer_start(t, 1000);
}

static void run_until(struct fixture *f, bool (*done)(const struct fixture *f))
{
    f->done = done;
    timer_start(&f->pump, 0);
    test_loop_run(&f->loop);
}

static bool both_up(const struct fixture *f)
{
    return f->x.up && f->y.up;
}

static void open_pair(struct fixture *f)
{
    *f = (struct fixture){0};
    test_loop_init(&f->loop);
    timer_init(&f->pump, f->loop.w, on_pump);
    assert_int_equal(rtc_sctp_stack_open(&f->stack, f->loop.w), 0);
    sctp_end_open(&f->x, f->stack, f->loop.w);
    sctp_end_open(&f->y, f->stack, f->loop.w);
}

static void close_pair(struct fixture *f)
{
    sctp_end_fini(&f->x);
    sctp_end_fini(&f->y);
    assert_int_equal(rtc_sctp_stack_alive(f->stack), 0);
    rtc_sctp_stack_close(&f->stack);
    timer_stop(&f->pump);
    test_loop_fini(&f->loop);
}

static uint8_t *numbered(size_t n, size_t len)
{
    uint8_t *bytes = malloc(len);

    assert_non_null(bytes);
    for (size_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)(n + i * 7);
    return bytes;
}

static int send_one(struct sctp_end *e, uint16_t stream, size_t n, size_t len)
{
    uint8_t *bytes = numbered(n, len);
    int err = rtc_sctp_send(e->a, &(struct rtc_sctp_message){.stream = stream, .ppid = (uint32_t)(51 + n % 3),
                                                            .retransmits = -1, .lifetime_ms = -1, .bytes = bytes, .len = len});

    free(bytes);
    return err;
}

static void assert_heard(const struct sctp_end *e, size_t at, uint16_t stream, size_t n, size_t len)
{
    uint8_t *bytes = numbered(n, len);

    assert_true(at < e->n_heard);
    assert_int_equal(e->heard[at].stream, stream);
    assert_int_equal(e->heard[at].ppid, 51 + n % 3);
    assert_int_equal(e->heard[at].len, len);
    assert_memory_equal(e->heard[at].bytes, bytes, len);
    free(bytes);
}

/* ---- Messages ------------------------------------------------------------------------------------ */

static const size_t sizes[] = {1, 2, 3, 100, 1100, 1140, 1160, 1161, 2400, 20000, 65535, 65536};

static bool all_sizes_heard(const struct fixture *f)
{
    return f->y.n_heard == LEN(sizes);
}

static void messages_of_all_sizes_arrive_whole_and_in_order(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    for (size_t i = 0; i < LEN(sizes); i++) {
        while (send_one(&f.x, 4, i, sizes[i]) == RTC_SCTP_FULL)
            while (sctp_wires_run(&f.x, &f.y))
                ;
    }
    run_until(&f, all_sizes_heard);
    for (size_t i = 0; i < LEN(sizes); i++)
        assert_heard(&f.y, i, 4, i, sizes[i]);
    assert_int_equal(f.x.n_heard, 0);
    close_pair(&f);
}

enum { LOSSY = 60 };

static bool all_lossy_heard(const struct fixture *f)
{
    return f->y.n_heard == LOSSY && f->x.n_heard == LOSSY;
}

static void loss_delays_messages_and_loses_none(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    f.x.lose_percent = f.y.lose_percent = 5;
    for (size_t i = 0; i < LOSSY; i++) {
        assert_int_equal(send_one(&f.x, 0, i, 1 + i * 31), RTC_SCTP_OK);
        assert_int_equal(send_one(&f.y, 1, i, 1 + i * 17), RTC_SCTP_OK);
    }
    run_until(&f, all_lossy_heard);
    assert_true(f.x.lost > 0 && f.y.lost > 0);
    for (size_t i = 0; i < LOSSY; i++) {
        assert_heard(&f.y, i, 0, i, 1 + i * 31);
        assert_heard(&f.x, i, 1, i, 1 + i * 17);
    }
    close_pair(&f);
}

/* ---- Bounds -------------------------------------------------------------------------------------- */

static bool room_and_all_heard(const struct fixture *f)
{
    return f->x.rooms > 0 && f->y.n_heard == 2;
}

static void what_does_not_fit_is_refused_until_there_is_room(void **state)
{
    struct fixture f;
    size_t sent = 0;

    (void)state;
    open_pair(&f);
    assert_int_equal(send_one(&f.x, 0, 0, 10), RTC_SCTP_DOWN); /* not up yet */
    run_until(&f, both_up);
    rtc_sctp_pause(f.y.a, true);
    while (send_one(&f.x, 0, sent, 60000) == RTC_SCTP_OK)
        sent++;
    assert_int_equal(sent, 2); /* of 128 KiB */
    assert_int_equal(send_one(&f.x, 0, 9, 60000), RTC_SCTP_FULL);
    assert_int_equal(send_one(&f.x, 0, 9, 200000), RTC_SCTP_DOWN); /* never */
    while (sctp_wires_run(&f.x, &f.y))
        ;
    assert_int_equal(f.y.n_heard, 0);
    rtc_sctp_pause(f.y.a, false);
    run_until(&f, room_and_all_heard);
    assert_heard(&f.y, 0, 0, 0, 60000);
    assert_heard(&f.y, 1, 0, 1, 60000);
    assert_int_equal(send_one(&f.x, RTC_SCTP_STREAMS, 0, 10), RTC_SCTP_DOWN); /* no such stream */
    close_pair(&f);
}

static bool last_heard(const struct fixture *f)
{
    return f->y.n_heard == 1;
}

static void a_message_that_is_too_long_is_dropped_and_the_next_one_heard(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    assert_int_equal(send_one(&f.x, 2, 1, 65537), RTC_SCTP_OK);
    assert_int_equal(send_one(&f.x, 2, 2, 33), RTC_SCTP_OK);
    run_until(&f, last_heard);
    assert_heard(&f.y, 0, 2, 2, 33);
    assert_int_equal(rtc_sctp_counters(f.y.a)->oversize, 1);
    close_pair(&f);
}

/* ---- Streams closed, ends gone ------------------------------------------------------------------- */

static bool reset_heard(const struct fixture *f)
{
    return f->y.n_resets > 0;
}

static void a_closed_stream_is_told_and_can_be_used_again(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    assert_int_equal(send_one(&f.x, 6, 1, 33), RTC_SCTP_OK);
    run_until(&f, last_heard);
    rtc_sctp_reset(f.x.a, 6);
    run_until(&f, reset_heard);
    assert_int_equal(f.y.n_resets, 1);
    assert_int_equal(f.y.resets[0], 6);
    f.y.n_heard = 0;
    free(f.y.heard[0].bytes);
    run_until(&f, both_up); /* the reset's answer is on its way */
    assert_int_equal(send_one(&f.x, 6, 2, 44), RTC_SCTP_OK);
    run_until(&f, last_heard);
    assert_heard(&f.y, 0, 6, 2, 44);
    close_pair(&f);
}

static bool y_down(const struct fixture *f)
{
    return f->y.down;
}

static void who_goes_says_so(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    rtc_sctp_destroy(&f.x.a);
    run_until(&f, y_down);
    assert_false(rtc_sctp_up(f.y.a));
    assert_int_equal(send_one(&f.y, 0, 0, 10), RTC_SCTP_DOWN);
    close_pair(&f);
}

static bool y_gone(const struct fixture *f)
{
    return !f->y.a;
}

static void an_association_may_go_within_its_own_callbacks(void **state)
{
    struct fixture f;

    (void)state;
    open_pair(&f);
    f.y.destroy_on_up = true;
    run_until(&f, y_gone);
    close_pair(&f);

    open_pair(&f);
    f.y.destroy_on_message = true;
    run_until(&f, both_up);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(send_one(&f.x, 0, i, 500), RTC_SCTP_OK);
    run_until(&f, y_gone);
    assert_int_equal(f.y.n_heard, 1);
    close_pair(&f);
}

/* ---- Bad packets --------------------------------------------------------------------------------- */

/* Noise, and true packets cut short or with bytes changed under a false or a true checksum's place. */
static void malformed_packets_change_nothing(void **state)
{
    struct fixture f;
    unsigned seed = 7;
    uint8_t noise[1200];

    (void)state;
    open_pair(&f);
    run_until(&f, both_up);
    for (int i = 0; i < 3000; i++) {
        size_t len = (size_t)rand_r(&seed) % sizeof(noise);
        uint8_t *exact = malloc(len ? len : 1);

        assert_non_null(exact);
        for (size_t k = 0; k < len; k++)
            exact[k] = (uint8_t)rand_r(&seed);
        rtc_sctp_feed(f.y.a, exact, len);
        free(exact);
    }
    assert_int_equal(send_one(&f.x, 0, 1, 3000), RTC_SCTP_OK);
    for (size_t at = f.x.first; at < f.x.end; at++) {
        const struct wire_packet *p = &f.x.wire[at % WIRE_PACKETS];

        for (size_t len = 0; len < p->len; len += 1 + len / 8) {
            uint8_t *exact = malloc(len ? len : 1);

            assert_non_null(exact);
            memcpy(exact, p->bytes, len);
            rtc_sctp_feed(f.y.a, exact, len);
            free(exact);
        }
    }
    assert_true(rtc_sctp_up(f.y.a));
    run_until(&f, last_heard);
    assert_heard(&f.y, 0, 0, 1, 3000);
    assert_int_equal(f.y.n_heard, 1);
    close_pair(&f);
}

enum { HEADER = 12, CHECKSUM_AT = 8 }; /* RFC 9260 s3.1 */

static size_t draw(unsigned *seed, size_t n)
{
    return (size_t)rand_r(seed) % n;
}

static void change(struct wire_packet *p, unsigned *seed)
{
    for (size_t n = 1 + draw(seed, 3); n; n--)
        p->bytes[HEADER + draw(seed, p->len - HEADER)] = (uint8_t)rand_r(seed);
    if (draw(seed, 8) == 0)
        p->len = HEADER + draw(seed, p->len - HEADER);
    memset(p->bytes + CHECKSUM_AT, 0, 4);
    uint32_t sum = usrsctp_crc32c(p->bytes, p->len);
    memcpy(p->bytes + CHECKSUM_AT, &sum, sizeof(sum));
}

/* Packets of a true conversation, whose bytes behind the common header are changed and the checksum made right again:
 * what a peer with the keys could send. It may end the association, and nothing else. */
static void changed_packets_with_a_right_checksum_end_an_association_at_worst(void **state)
{
    struct fixture f;
    unsigned seed = 11, ended = 0;

    (void)state;
    for (unsigned round = 0; round < 100; round++) {
        open_pair(&f);
        for (int turns = 0; turns < 40; turns++) {
            if (turns == 20 && rtc_sctp_up(f.x.a))
                assert_int_equal(send_one(&f.x, 3, round, 1 + round * 17), RTC_SCTP_OK);
            if (turns == 25 && rtc_sctp_up(f.x.a))
                rtc_sctp_reset(f.x.a, 3);
            for (size_t at = f.x.first; at < f.x.end; at++) {
                struct wire_packet *p = &f.x.wire[at % WIRE_PACKETS];

                if (p->len > HEADER && draw(&seed, 4) == 0)
                    change(p, &seed);
            }
            sctp_wire_run(&f.x, &f.y);
            sctp_wire_run(&f.y, &f.x);
        }
        ended += f.y.down;
        close_pair(&f);
    }
    print_message("%u of 100 ended\n", ended);
}

/* ---- Several workers ----------------------------------------------------------------------------- */

enum { THREADS = 3, ROUNDS = 4, THREAD_MESSAGES = 30 };

struct side {
    struct worker *w;
    struct rtc_sctp_stack *stack;
    struct mail start, over;
    struct timer pump;
    struct sctp_end x, y;
    unsigned round;
    bool sent;
    _Atomic unsigned *running;
    struct worker *main;
};

static void side_open(struct side *s)
{
    memset(&s->x, 0, sizeof(s->x));
    memset(&s->y, 0, sizeof(s->y));
    sctp_end_open(&s->x, s->stack, s->w);
    sctp_end_open(&s->y, s->stack, s->w);
    s->x.seed = s->y.seed = s->round + 1;
    s->x.lose_percent = s->y.lose_percent = 4; /* so that timers on main send for associations here */
    s->sent = false;
    timer_start(&s->pump, 0);
}

static void run_over(struct mail *m, struct worker *w)
{
    struct side *s = container_of(m, struct side, over);

    if (atomic_fetch_sub(s->running, 1) == 1)
        worker_stop(w);
}

static void run_stop(struct mail *m, struct worker *w)
{
    (void)m;
    worker_stop(w);
}

static void side_next(struct side *s)
{
    for (size_t i = 0; i < THREAD_MESSAGES; i++)
        assert_heard(&s->y, i, 0, i, 1 + i * 113);
    sctp_end_fini(&s->x);
    sctp_end_fini(&s->y);
    if (++s->round < ROUNDS)
        side_open(s);
    else
        worker_post(s->main, &s->over);
}

static void side_on_pump(struct timer *t, uint64_t now_us)
{
    struct side *s = container_of(t, struct side, pump);

    (void)now_us;
    while (sctp_wires_run(&s->x, &s->y))
        ;
    if (s->x.up && s->y.up && !s->sent) {
        for (size_t i = 0; i < THREAD_MESSAGES; i++)
            assert_int_equal(send_one(&s->x, 0, i, 1 + i * 113), RTC_SCTP_OK);
        s->sent = true;
    }
    if (s->y.n_heard == THREAD_MESSAGES)
        side_next(s);
    else
        timer_start(t, 1000);
}

static void side_run_start(struct mail *m, struct worker *w)
{
    (void)w;
    side_open(container_of(m, struct side, start));
}

static void associations_of_several_workers_do_not_meet(void **state)
{
    struct test_loop loop;
    struct rtc_sctp_stack *stack;
    _Atomic unsigned running = THREADS;
    struct mail stop[THREADS];
    struct side *sides = calloc(THREADS, sizeof(*sides));

    (void)state;
    assert_non_null(sides);
    test_loop_init(&loop);
    assert_int_equal(rtc_sctp_stack_open(&stack, loop.w), 0);
    for (unsigned i = 0; i < THREADS; i++) {
        struct side *s = &sides[i];

        assert_int_equal(worker_create(&s->w, &(struct worker_cfg){.name = "side", .index = i}), 0);
        s->stack = stack;
        s->main = loop.w;
        s->running = &running;
        s->start.run = side_run_start;
        s->over.run = run_over;
        timer_init(&s->pump, s->w, side_on_pump);
        assert_int_equal(worker_start(s->w), 0);
        worker_post(s->w, &s->start);
    }
    test_loop_run(&loop);
    for (unsigned i = 0; i < THREADS; i++) {
        stop[i].run = run_stop;
        worker_post(sides[i].w, &stop[i]);
        worker_join(sides[i].w);
        worker_destroy(&sides[i].w);
    }
    assert_int_equal(rtc_sctp_stack_alive(stack), 0);
    rtc_sctp_stack_close(&stack);
    test_loop_fini(&loop);
    free(sides);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_of_all_sizes_arrive_whole_and_in_order),
        cmocka_unit_test(loss_delays_messages_and_loses_none),
        cmocka_unit_test(what_does_not_fit_is_refused_until_there_is_room),
        cmocka_unit_test(a_message_that_is_too_long_is_dropped_and_the_next_one_heard),
        cmocka_unit_test(a_closed_stream_is_told_and_can_be_used_again),
        cmocka_unit_test(who_goes_says_so),
        cmocka_unit_test(an_association_may_go_within_its_own_callbacks),
        cmocka_unit_test(malformed_packets_change_nothing),
        cmocka_unit_test(changed_packets_with_a_right_checksum_end_an_association_at_worst),
        cmocka_unit_test(associations_of_several_workers_do_not_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
