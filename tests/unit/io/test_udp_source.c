/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_priv.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { PEERS = 1000 };

static struct addr peer(unsigned i, const char *format)
{
    char text[ADDR_TEXT_CAP];
    struct addr a;

    snprintf(text, sizeof(text), format, i / 250, i % 250, 1000 + i);
    assert_int_equal(addr_parse(&a, text), 0);
    return a;
}

static struct in6_addr local(unsigned i)
{
    struct in6_addr a = {.s6_addr = {1, 2, 3}};

    memcpy(&a.s6_addr[12], &i, 4);
    return a;
}

/* A few share a set with two newer ones and are pushed out; no one gets another's address. */
static void check_peers(const char *format)
{
    struct udp_sources *s = udp_sources_create(peer(0, format).sa.sa_family);
    unsigned found = 0;

    for (unsigned i = 0; i < PEERS; i++) {
        struct addr a = peer(i, format);
        struct in6_addr l = local(i);

        assert_null(udp_sources_find(s, &a));
        udp_sources_push(s, &a, &l, 0);
        assert_memory_equal(udp_sources_find(s, &a), &l, sizeof(l));
    }
    for (unsigned i = 0; i < PEERS; i++) {
        struct addr a = peer(i, format);
        struct in6_addr l = local(i);
        const struct in6_addr *kept = udp_sources_find(s, &a);

        if (kept)
            assert_memory_equal(kept, &l, sizeof(l));
        found += kept != NULL;
    }
    print_message("%s: %u of %u\n", format, found, PEERS);
    assert_true(found > PEERS * 9 / 10);
    udp_sources_destroy(&s);
    assert_null(s);
}

static void a_thousand_peers_are_remembered_each_by_its_own(void **state)
{
    (void)state;
    check_peers("10.0.%u.%u:%u");
    check_peers("[2001:db8::%u:%u]:%u");
    check_peers("[::ffff:10.0.%u.%u]:%u");
}

static void the_newest_address_of_a_peer_counts(void **state)
{
    struct udp_sources *s = udp_sources_create(AF_INET);
    struct addr a = peer(1, "10.0.%u.%u:%u"), b = peer(2, "10.0.%u.%u:%u");
    struct in6_addr one = local(1), two = local(2);

    (void)state;
    udp_sources_push(s, &a, &one, 0);
    udp_sources_push(s, &b, &one, 0);
    udp_sources_push(s, &a, &two, 0);
    assert_memory_equal(udp_sources_find(s, &a), &two, sizeof(two));
    assert_memory_equal(udp_sources_find(s, &b), &one, sizeof(one));
    udp_sources_destroy(&s);
}

static struct in6_addr loopback(uint8_t last)
{
    return (struct in6_addr){.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = last}};
}

/* Loopback is reached from 127.0.0.1, unless another is said. */
static void what_the_system_would_choose_is_not_said(void **state)
{
    static const struct {
        const char *name, *peer;
        int family;
    } rows[] = {{"IPv4", "127.0.0.1:4000", AF_INET}, {"both families", "[::ffff:127.0.0.1]:4000", AF_INET6}};
    struct in6_addr chosen = loopback(1), other = loopback(5);
    struct addr a;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct udp_sources *s = udp_sources_create(rows[i].family);
        print_message("  %s\n", rows[i].name);
        assert_int_equal(addr_parse(&a, rows[i].peer), 0);
        udp_sources_push(s, &a, &chosen, 1000000);
        assert_null(udp_sources_find(s, &a));
        udp_sources_push(s, &a, &other, 1000000); /* at once, however short ago it was asked */
        assert_memory_equal(udp_sources_find(s, &a), &other, sizeof(other));
        udp_sources_push(s, &a, &chosen, 9000000);
        assert_null(udp_sources_find(s, &a));
        udp_sources_destroy(&s);
    }
}

/* And one for whom it has to be said changes nothing for the others. */
static void each_peer_has_its_own_answer(void **state)
{
    struct udp_sources *s = udp_sources_create(AF_INET);
    struct in6_addr chosen = loopback(1), other = loopback(5);

    (void)state;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned i = 0; i < PEERS; i++) {
            struct addr a = peer(i, "127.0.%u.%u:%u");
            bool said = i % 3 == round; /* each changes its mind once or twice, some are pushed out while it is said */
            udp_sources_push(s, &a, said ? &other : &chosen, round * 10000000);
            const struct in6_addr *found = udp_sources_find(s, &a);
            assert_true(said ? found && memcmp(found, &other, sizeof(other)) == 0 : found == NULL);
        }
    for (unsigned i = 0; i < PEERS; i++) {
        struct addr a = peer(i, "127.0.%u.%u:%u");
        udp_sources_push(s, &a, &chosen, 40000000);
        assert_null(udp_sources_find(s, &a));
    }
    udp_sources_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_peers_are_remembered_each_by_its_own),
        cmocka_unit_test(the_newest_address_of_a_peer_counts),
        cmocka_unit_test(what_the_system_would_choose_is_not_said),
        cmocka_unit_test(each_peer_has_its_own_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
