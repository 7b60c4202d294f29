/* SPDX-License-Identifier: Apache-2.0 */
#include "io/udp_priv.h"

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
    struct udp_sources *s = udp_sources_create();
    unsigned found = 0;

    for (unsigned i = 0; i < PEERS; i++) {
        struct addr a = peer(i, format);
        struct in6_addr l = local(i);

        assert_null(udp_sources_find(s, &a));
        udp_sources_push(s, &a, &l);
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
    struct udp_sources *s = udp_sources_create();
    struct addr a = peer(1, "10.0.%u.%u:%u"), b = peer(2, "10.0.%u.%u:%u");
    struct in6_addr one = local(1), two = local(2);

    (void)state;
    udp_sources_push(s, &a, &one);
    udp_sources_push(s, &b, &one);
    udp_sources_push(s, &a, &two);
    assert_memory_equal(udp_sources_find(s, &a), &two, sizeof(two));
    assert_memory_equal(udp_sources_find(s, &b), &one, sizeof(one));
    udp_sources_destroy(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_peers_are_remembered_each_by_its_own),
        cmocka_unit_test(the_newest_address_of_a_peer_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
