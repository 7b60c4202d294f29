/* SPDX-License-Identifier: Apache-2.0
 * test_udp_messages.c - which datagrams leave as one message, and what becomes of a message that cannot. */
#include "udp_scene.h"

#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- What goes well -------------------------------------------------------------------------- */

static void ipv6_is_segmented_too(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "[::1]:0", "[::1]:0");
    pair_run(&p, 1000);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 1000);
    assert_true(udp_counters(p.a)->send_messages < 500);
    pair_fini(&p);
}

static void runs_end_at_the_limits_of_the_system(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    for (int i = 0; i < 130; i++)
        udp_send(p.a, &p.b_addr, "tiny", 4);
    uint8_t big[UDP_DATAGRAM_MAX] = {0};
    for (int i = 0; i < 43; i++) /* 42 make 63000 bytes */
        udp_send(p.a, &p.b_addr, big, sizeof(big));
    udp_reserve(p.a, &p.b_addr, 1000);
    udp_commit(p.a, 0); /* changed my mind */
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->send_calls, 1);
    assert_int_equal(udp_counters(p.a)->send_messages, 3 + 2); /* 64 + 64 + 2; 42 + 1 */
    assert_int_equal(udp_counters(p.b)->received, 173);
    pair_fini(&p);
}

static void what_is_sent_before_the_turn_ends_cuts_no_message(void **state)
{
    enum { FRAMES = 64, FRAGMENTS = 8 }; /* 563 KB: twice what is sent early */
    struct pair p;
    uint8_t fragment[1100] = {0};

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    for (int i = 0; i < FRAMES * FRAGMENTS; i++)
        udp_send(p.a, i / FRAGMENTS % 2 ? &p.a_addr : &p.b_addr, fragment, sizeof(fragment));
    assert_in_range(udp_counters(p.a)->send_calls, 1, 2);
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->send_messages, FRAMES);
    assert_int_equal(udp_counters(p.a)->sent, FRAMES * FRAGMENTS);
    pair_fini(&p);
}

static void what_joins_the_message_before_is_known(void **state)
{
    struct pair p;
    uint8_t fragment[1100] = {0};

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    assert_false(udp_joins(p.a, &p.b_addr, 10)); /* there is none */
    udp_send(p.a, &p.b_addr, fragment, sizeof(fragment));
    assert_true(udp_joins(p.a, &p.b_addr, sizeof(fragment)));
    assert_false(udp_joins(p.a, &p.b_addr, sizeof(fragment) + 1));
    assert_false(udp_joins(p.a, &p.a_addr, 10)); /* another's */
    udp_send(p.a, &p.b_addr, fragment, 10);
    assert_false(udp_joins(p.a, &p.b_addr, 10)); /* a shorter one has ended it */
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->send_messages, 1);
    pair_fini(&p);
}

/* ---- Trouble --------------------------------------------------------------------------------- */

static void a_device_without_offload_gets_datagram_by_datagram(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    trouble.err = EIO;
    trouble.times = 1;
    trouble.only_gso = true;
    pair_run(&p, 2000);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 2000);
    assert_int_equal(udp_counters(p.a)->send_messages, 2000);
    pair_fini(&p);
}

static void a_message_that_cannot_be_segmented_goes_plain_and_others_stay(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    trouble.err = EINVAL;
    trouble.times = 2; /* first the socket lets datagrams be cut */
    trouble.only_gso = true;
    pair_run(&p, 700);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 700);
    assert_int_equal(udp_counters(p.a)->send_messages, 10 + 69);
    pair_fini(&p);
}

static void what_a_full_socket_refuses_is_sent_when_it_is_writable(void **state)
{
    struct pair p;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    trouble.err = EAGAIN;
    trouble.times = 5;
    pair_run(&p, 2000);
    assert_int_equal(trouble.times, 0);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 2000);
    assert_int_equal(udp_counters(p.a)->dropped_full, 0);
    pair_fini(&p);
}

static void what_does_not_fit_behind_a_full_socket_is_dropped_and_counted(void **state)
{
    struct pair p;
    uint8_t big[1200] = {0};

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    trouble.err = EAGAIN;
    trouble.times = 1000000;
    for (int i = 0; i < 2000; i++) /* 2.4 MB: twice the arena */
        udp_send(p.a, &p.b_addr, big, sizeof(big));
    uint64_t dropped = udp_counters(p.a)->dropped_full;
    assert_in_range(dropped, 1000, 1200);
    trouble.times = 0;
    test_loop_run_for(&p.loop, 20000);
    assert_int_equal(udp_counters(p.a)->sent, 2000 - dropped);
    udp_send(p.a, &p.b_addr, big, sizeof(big)); /* and it goes on */
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->sent, 2001 - dropped);
    pair_fini(&p);
}

static void a_refused_message_is_dropped_alone(void **state)
{
    struct pair p;
    struct addr unreachable;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    assert_int_equal(addr_parse(&unreachable, "[2001:db8::1]:9"), 0); /* an IPv4 socket cannot */
    for (int i = 0; i < 10; i++) {
        udp_send(p.a, &p.b_addr, "good", 4);
        udp_send(p.a, &unreachable, "bad", 3);
    }
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->sent, 10);
    assert_int_equal(udp_counters(p.a)->dropped_error, 10);
    assert_int_equal(udp_counters(p.b)->received, 10);
    pair_fini(&p);
}

static void icmp_errors_of_one_peer_do_not_touch_another(void **state)
{
    struct pair p;
    struct addr closed;
    struct udp_socket *c;

    (void)state;
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    assert_int_equal(udp_open(&c, p.loop.w, &(struct udp_cfg){.bind = p.a_addr, .on_datagrams = nothing}),
                     -EADDRINUSE);
    struct udp_cfg cfg = {.on_datagrams = nothing};
    assert_int_equal(addr_parse(&cfg.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&c, p.loop.w, &cfg), 0);
    udp_local(c, &closed);
    udp_close(&c);
    for (int i = 0; i < 100; i++) {
        udp_send(p.a, &closed, "gone", 4);
        udp_send(p.a, &p.b_addr, "good", 4);
        test_loop_run_for(&p.loop, 100);
    }
    assert_int_equal(udp_counters(p.b)->received, 100);
    pair_fini(&p);
}

/* A network of our own from here on, whose loopback carries no more than so much. False: nobody lets us. */
static bool enter_narrow_network(int mtu_bytes)
{
    struct ifreq lo = {.ifr_name = "lo"};

    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    lo.ifr_mtu = mtu_bytes;
    bool set = ioctl(fd, SIOCSIFMTU, &lo) == 0;
    lo.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
    set = set && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    close(fd);
    assert_true(set);
    return true;
}

/* As ICMP tells of a router on the way: what the system then refuses goes without "don't fragment", in messages as before. Then a narrow device. */
static void what_is_too_long_for_a_router_on_the_way_arrives(void **state)
{
    struct pair p;

    (void)state;
    if (!enter_narrow_network(65536) || system("ip route replace local 127.0.0.1 dev lo table local mtu 1000 2>/dev/null") != 0) {
        print_message("no network namespaces or no ip command here\n");
        skip();
    }
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    pair_run(&p, 700);
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 700);
    assert_int_equal(udp_counters(p.a)->dropped_error + udp_counters(p.a)->dropped_full, 0);
    assert_int_equal(udp_counters(p.b)->received, 700);
    assert_int_equal(udp_counters(p.a)->send_messages, 70);
    pair_fini(&p);
}

/* The kernel refuses segments that are longer than the device takes; alone they are cut in fragments. Last of all tests: there is no way back. */
static void what_is_too_long_for_a_path_arrives_in_fragments(void **state)
{
    struct pair p;

    (void)state;
    if (!enter_narrow_network(1000)) {
        print_message("no network namespaces here\n");
        skip();
    }
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    pair_run(&p, 1700); /* messages of 1,200 bytes a datagram, then single ones of up to 1,500, and of 1,200 again */
    assert_int_equal(p.wrong, 0);
    assert_int_equal(udp_counters(p.a)->sent, 1700);
    assert_int_equal(udp_counters(p.a)->dropped_error + udp_counters(p.a)->dropped_full, 0);
    assert_int_equal(udp_counters(p.b)->received, 1700);
    assert_in_range(udp_counters(p.a)->send_messages, 1600, 1700); /* some 440 where the path takes them */
    pair_fini(&p);
    pair_init(&p, "127.0.0.1:0", "127.0.0.1:0");
    for (int i = 0; i < 9; i++) /* what fits goes as one message still */
        udp_send(p.a, &p.b_addr, (uint8_t[900]){0}, 900);
    test_loop_run_for(&p.loop, 5000);
    assert_int_equal(udp_counters(p.a)->send_messages, 1);
    assert_int_equal(udp_counters(p.b)->received, 9);
    pair_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ipv6_is_segmented_too),
        cmocka_unit_test(runs_end_at_the_limits_of_the_system),
        cmocka_unit_test(what_is_sent_before_the_turn_ends_cuts_no_message),
        cmocka_unit_test(what_joins_the_message_before_is_known),
        cmocka_unit_test(a_device_without_offload_gets_datagram_by_datagram),
        cmocka_unit_test(a_message_that_cannot_be_segmented_goes_plain_and_others_stay),
        cmocka_unit_test(what_a_full_socket_refuses_is_sent_when_it_is_writable),
        cmocka_unit_test(what_does_not_fit_behind_a_full_socket_is_dropped_and_counted),
        cmocka_unit_test(a_refused_message_is_dropped_alone),
        cmocka_unit_test(icmp_errors_of_one_peer_do_not_touch_another),
        cmocka_unit_test(what_is_too_long_for_a_router_on_the_way_arrives),
        cmocka_unit_test(what_is_too_long_for_a_path_arrives_in_fragments),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
