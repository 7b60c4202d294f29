/* SPDX-License-Identifier: Apache-2.0
 * test_udp.c - datagrams of any size and family arrive whole and counted; when they are looked at; closing. */
#include "udp_scene.h"

#include <pthread.h>
#include <unistd.h>

static uint64_t bytes_of(unsigned total)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < total; i++)
        sum += size_of(i);
    return sum;
}

/* ---- What goes well -------------------------------------------------------------------------- */

static void ten_thousand_datagrams_of_mixed_sizes_arrive_intact_and_counted(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    pair_run(&p, 10000);
    const struct udp_counters *out = udp_counters(p.a), *in = udp_counters(p.b);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(out->sent, 10000);
    assert_int_equal(out->sent_bytes, bytes_of(10000));
    assert_int_equal(out->dropped_full + out->dropped_error, 0);
    assert_int_equal(in->received, 10000);
    assert_int_equal(in->received_bytes, bytes_of(10000));
    assert_int_equal(in->dropped_kernel, 0);
    print_message("%u calls, %u messages\n", (unsigned)out->send_calls, (unsigned)out->send_messages);
    assert_true(out->send_messages < 5000); /* 7000 of the datagrams go by tens */
    assert_true(out->send_calls < 200);     /* 50 turns of 200 */
    pair_fini(&p);
}

/* A full socket makes the rest be moved, too. */
static void bytes_may_be_written_until_the_socket_says_that_it_sends(void **state)
{
    struct pair p;

    (void)state;
    for (unsigned times = 0; times < 2; times++) {
        pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
        p.late = true;
        trouble.times = times;
        trouble.err = EAGAIN;
        pair_run(&p, 5000);
        assert_int_equal(p.wrong, 0);
        assert_int_equal(udp_counters(p.a)->sent, 5000);
        assert_int_equal(p.n_unwritten, 0);
        pair_fini(&p);
    }
}

static void ten_thousand_datagrams_allocate_nothing(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    p.warm = 400;
    pair_run(&p, 10400);
    assert_int_equal(count_allocs() - p.allocs_before, 0);
    assert_int_equal(p.wrong, 0);
    pair_fini(&p);
}

static void a_socket_of_both_families_talks_to_ipv4_by_its_ipv4_name(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "[::]:0");
    uint16_t port = addr_port(&p.b_addr);
    assert_int_equal(addr_parse(&p.b_addr, "127.0.0.1:0"), 0);
    addr_set_port(&p.b_addr, port);
    pair_run(&p, 100);
    assert_int_equal(p.wrong, 0); /* from is compared with 127.0.0.1 */
    udp_send(p.b, &p.a_addr, "reply", 5);
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.b)->sent, 1);
    assert_int_equal(udp_counters(p.a)->received, 1);
    pair_fini(&p);
}

/* The client is known to b by 127.0.0.1 and asks 127.0.0.5: that is where the reply must come from. What the system would choose is not
 * said. */
static void a_reply_leaves_from_the_address_that_was_asked(void **state)
{
    static const struct {
        const char *name, *bind, *asked;
        unsigned said;
    } rows[] = {
        {"IPv4", "0.0.0.0:0", "127.0.0.5:0", 1},
        {"both families", "[::]:0", "127.0.0.5:0", 1},
        {"IPv4, the system's choice", "0.0.0.0:0", "127.0.0.1:0", 0},
        {"both families, the system's choice", "[::]:0", "127.0.0.1:0", 0},
    };
    struct pair p;
    struct addr asked;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        pair_init(&p, "127.0.0.1:0", rows[i].bind);
        assert_int_equal(addr_parse(&asked, rows[i].asked), 0);
        addr_set_port(&asked, addr_port(&p.b_addr));
        for (int j = 0; j < 3; j++) /* the source of the last reply stays */
            udp_send(p.a, &asked, "ask", 3);
        test_loop_run_for(&p.loop, 2000);
        sources_said = 0;
        for (int j = 0; j < 3; j++)
            udp_send(p.b, &p.a_addr, "reply", 5); /* segmented, from that source */
        test_loop_run_for(&p.loop, 2000);
        assert_int_equal(udp_counters(p.b)->send_messages, 1);
        assert_int_equal(p.heard, 3);
        assert_true(addr_equal(&p.heard_from, &asked));
        assert_int_equal(sources_said, rows[i].said);
        pair_fini(&p);
    }
}

static bool is_call(const uint8_t *bytes, size_t len)
{
    return len > 0 && bytes[0] == '!';
}

/* Where the cfg says which messages tell, others change nothing. */
static void only_messages_that_tell_an_address_change_where_replies_leave_from(void **state)
{
    static const struct {
        const char *said, *from;
    } rows[] = {{"word", "127.0.0.1:0"}, {"!call", "127.0.0.5:0"}, {"word", "127.0.0.5:0"}};
    struct udp_cfg cfg = {.on_datagrams = nothing, .tells_address = is_call};
    struct udp_socket *told;
    struct addr asked, from;
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    assert_int_equal(addr_parse(&cfg.bind, "0.0.0.0:0"), 0);
    assert_int_equal(udp_open(&told, p.loop.w, &cfg), 0);
    udp_local(told, &from);
    assert_int_equal(addr_parse(&asked, "127.0.0.5:0"), 0);
    addr_set_port(&asked, addr_port(&from));
    for (size_t i = 0; i < LEN(rows); i++) {
        udp_send(p.a, &asked, rows[i].said, strlen(rows[i].said));
        test_loop_run_for(&p.loop, 2000);
        assert_int_equal(udp_counters(told)->received, i + 1);
        udp_send(told, &p.a_addr, "reply", 5);
        test_loop_run_for(&p.loop, 2000);
        assert_int_equal(p.heard, i + 1);
        assert_int_equal(addr_parse(&from, rows[i].from), 0);
        addr_set_port(&from, addr_port(&asked));
        assert_true(addr_equal(&p.heard_from, &from));
    }
    udp_close(&told);
    pair_fini(&p);
}

/* ---- Trouble --------------------------------------------------------------------------------- */

static void what_the_kernel_drops_is_counted(void **state)
{
    struct pair p;
    uint8_t big[1200] = {0};
    struct test_loop slow;
    struct udp_socket *s;
    struct udp_cfg cfg = {.on_datagrams = nothing, .recv_bytes = 16384};
    struct addr slow_addr;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    test_loop_init(&slow);
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&s, slow.w, &cfg), 0);
    udp_local(s, &slow_addr);
    for (int i = 0; i < 500; i++) {
        udp_send(p.a, &slow_addr, big, sizeof(big));
        udp_send(p.a, &p.b_addr, big, 100); /* so that nothing is merged */
    }
    test_loop_run_for(&p.loop, 5000);
    test_loop_run_for(&slow, 2000);
    udp_send(p.a, &slow_addr, big, sizeof(big)); /* brings the count along */
    test_loop_run_for(&p.loop, 2000);
    test_loop_run_for(&slow, 2000);
    assert_true(udp_counters(s)->dropped_kernel > 0);
    assert_int_equal(udp_counters(s)->received + udp_counters(s)->dropped_kernel, 501);
    udp_close(&s);
    test_loop_fini(&slow);
    pair_fini(&p);
}

enum { DRIPS = 60 };

static void *drip(void *arg)
{
    const struct pair *p = arg;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    for (int i = 0; i < DRIPS; i++) {
        if (sendto(fd, "drip", 4, 0, &p->b_addr.sa, addr_len(&p->b_addr)) != 4)
            break;
        usleep(300);
    }
    close(fd);
    return NULL;
}

static void count_looks(void *arg, struct udp_datagram *v, size_t n)
{
    struct pair *p = arg;

    (void)v;
    p->heard++;
    p->received += (unsigned)n;
    if (p->received == DRIPS)
        worker_stop(p->loop.w);
}

/* A busy machine makes fewer looks of it still. */
static void what_comes_fast_is_looked_at_now_and_then(void **state)
{
    struct udp_cfg cfg = {.on_datagrams = count_looks, .gather_us = 5000};
    pthread_t thread;
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    udp_close(&p.b);
    cfg.arg = &p;
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&p.b, p.loop.w, &cfg), 0);
    udp_local(p.b, &p.b_addr);
    assert_int_equal(pthread_create(&thread, NULL, drip, &p), 0);
    test_loop_run(&p.loop);
    pthread_join(thread, NULL);
    assert_in_range(p.heard, 1, DRIPS / 3);
    pair_fini(&p);
}

static void close_in_callback(void *arg, struct udp_datagram *v, size_t n)
{
    struct pair *p = arg;

    (void)v;
    (void)n;
    p->received++;
    udp_send(p->b, &p->a_addr, "bye", 3); /* still leaves */
    udp_close(&p->b);
}

static void a_socket_may_be_closed_in_its_callback(void **state)
{
    struct pair p;
    struct udp_cfg cfg = {.on_datagrams = close_in_callback, .arg = &p};

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    udp_close(&p.b);
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&p.b, p.loop.w, &cfg), 0);
    udp_local(p.b, &p.b_addr);
    for (int i = 0; i < 300; i++)
        udp_send(p.a, &p.b_addr, "hello", 5);
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(p.received, 1);
    assert_null(p.b);
    assert_int_equal(udp_counters(p.a)->received, 1);
    udp_send(p.a, &p.b_addr, "hello?", 6);
    pair_fini(&p);
}

/* ---- Media first ----------------------------------------------------------------------------- */

struct order {
    struct test_loop loop;
    struct udp_socket *media, *viewers, *sender;
    struct turn_hook fanout, flush;
    char text[16];
};

static void note(struct order *o, char c)
{
    size_t n = strlen(o->text);

    assert_true(n + 1 < sizeof(o->text));
    o->text[n] = c;
}

static void on_fanout(struct turn_hook *hook, uint64_t now_us)
{
    (void)now_us;
    note(container_of(hook, struct order, fanout), 'f');
}

static void on_flush(struct turn_hook *hook, uint64_t now_us)
{
    (void)now_us;
    note(container_of(hook, struct order, flush), 's');
}

static void on_media(void *arg, struct udp_datagram *v, size_t n)
{
    struct order *o = arg;

    (void)v, (void)n;
    note(o, 'm');
    worker_arm(o->loop.w, &o->flush);
    worker_arm(o->loop.w, &o->fanout);
}

static void on_viewers(void *arg, struct udp_datagram *v, size_t n)
{
    (void)v, (void)n;
    note(arg, 'v');
}

/* Both wait when the turn begins, and the viewers' came first: media are read, fanned out and sent before it is looked at. */
static void what_viewers_say_is_read_after_media_were_sent(void **state)
{
    struct order o = {.fanout = {.run = on_fanout, .stage = TURN_FANOUT}, .flush = {.run = on_flush, .stage = TURN_FLUSH}};
    struct udp_cfg cfg = {.on_datagrams = on_viewers, .after_media = true, .arg = &o};
    struct addr media, viewers;

    (void)state;
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    test_loop_init(&o.loop);
    assert_int_equal(udp_open(&o.viewers, o.loop.w, &cfg), 0);
    cfg.after_media = false;
    cfg.on_datagrams = on_media;
    assert_int_equal(udp_open(&o.media, o.loop.w, &cfg), 0);
    assert_int_equal(udp_open(&o.sender, o.loop.w, &cfg), 0);
    udp_local(o.media, &media);
    udp_local(o.viewers, &viewers);
    udp_send(o.sender, &viewers, "nack", 4);
    udp_send(o.sender, &media, "frame", 5);
    udp_close(&o.sender); /* with this both have left */
    test_loop_run_for(&o.loop, 20000);
    assert_string_equal(o.text, "mfsv");
    assert_int_equal(udp_counters(o.viewers)->received, 1);
    udp_close(&o.media);
    udp_close(&o.viewers);
    test_loop_fini(&o.loop);
}

enum { CROWD = 200, CROWD_CALL_US = 5000 /* to be done with what one call reads: two or three of seven a turn */ };

struct crowd {
    struct test_loop loop;
    struct udp_socket *viewers;
    size_t n;
    uint64_t unread_us; /* the longest that the governor heard of */
};

static void on_crowd(void *arg, struct udp_datagram *v, size_t n)
{
    struct crowd *c = arg;
    uint64_t unread_us = worker_governor(c->loop.w)->unread_us;

    (void)v;
    c->n += n;
    c->unread_us = unread_us > c->unread_us ? unread_us : c->unread_us;
    usleep(CROWD_CALL_US);
}

static void of_what_has_to_wait_the_governor_hears(void **state)
{
    struct crowd c = {0};
    struct udp_cfg cfg = {.on_datagrams = on_crowd, .after_media = true, .arg = &c};
    struct addr to;

    (void)state;
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    test_loop_init(&c.loop);
    assert_int_equal(udp_open(&c.viewers, c.loop.w, &cfg), 0);
    udp_local(c.viewers, &to);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    for (int i = 0; i < CROWD; i++)
        assert_int_equal(sendto(fd, "hello", 5, 0, &to.sa, addr_len(&to)), 5);
    close(fd);
    for (int i = 0; i < 200 && c.n < CROWD; i++)
        test_loop_run_for(&c.loop, 10000);
    assert_int_equal(c.n, CROWD);
    assert_true(c.unread_us >= CROWD_CALL_US);
    test_loop_run_for(&c.loop, 10000);
    assert_int_equal(worker_governor(c.loop.w)->unread_us, 0);
    udp_close(&c.viewers);
    test_loop_fini(&c.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_datagrams_of_mixed_sizes_arrive_intact_and_counted),
        cmocka_unit_test(bytes_may_be_written_until_the_socket_says_that_it_sends),
        cmocka_unit_test(ten_thousand_datagrams_allocate_nothing),
        cmocka_unit_test(a_socket_of_both_families_talks_to_ipv4_by_its_ipv4_name),
        cmocka_unit_test(a_reply_leaves_from_the_address_that_was_asked),
        cmocka_unit_test(only_messages_that_tell_an_address_change_where_replies_leave_from),
        cmocka_unit_test(what_the_kernel_drops_is_counted),
        cmocka_unit_test(what_comes_fast_is_looked_at_now_and_then),
        cmocka_unit_test(a_socket_may_be_closed_in_its_callback),
        cmocka_unit_test(what_viewers_say_is_read_after_media_were_sent),
        cmocka_unit_test(of_what_has_to_wait_the_governor_hears),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
