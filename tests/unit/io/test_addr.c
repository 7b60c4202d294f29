/* SPDX-License-Identifier: Apache-2.0 */
#include "io/addr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct row {
    const char *name, *text;
    int result;
    const char *printed, *host;
    int family;
    unsigned port;
    bool any, loopback;
} rows[] = {
    {"IPv4", "10.0.0.1:80", 0, "10.0.0.1:80", "10.0.0.1", AF_INET, 80, false, false},
    {"any by an empty host", ":8080", 0, "0.0.0.0:8080", "0.0.0.0", AF_INET, 8080, true, false},
    {"any in full", "0.0.0.0:0", 0, "0.0.0.0:0", "0.0.0.0", AF_INET, 0, true, false},
    {"loopback", "127.8.9.1:65535", 0, "127.8.9.1:65535", "127.8.9.1", AF_INET, 65535, false, true},
    {"IPv6 loopback", "[::1]:443", 0, "[::1]:443", "::1", AF_INET6, 443, false, true},
    {"IPv6 any", "[::]:1", 0, "[::]:1", "::", AF_INET6, 1, true, false},
    {"IPv6 with a scope", "[fe80::1%7]:9", 0, "[fe80::1%7]:9", "fe80::1%7", AF_INET6, 9, false, false},
    {"empty", "", -1, "", "", 0, 0, false, false},
    {"no port", "10.0.0.1", -1, "", "", 0, 0, false, false},
    {"empty port", "10.0.0.1:", -1, "", "", 0, 0, false, false},
    {"port too large", "10.0.0.1:65536", -1, "", "", 0, 0, false, false},
    {"port with a sign", "10.0.0.1:+80", -1, "", "", 0, 0, false, false},
    {"port with a tail", "10.0.0.1:80x", -1, "", "", 0, 0, false, false},
    {"a name is not a number", "localhost:80", -1, "", "", 0, 0, false, false},
    {"three numbers", "10.0.1:80", -1, "", "", 0, 0, false, false},
    {"IPv6 without brackets", "::1:80", -1, "", "", 0, 0, false, false},
    {"IPv6 without end", "[::1:80", -1, "", "", 0, 0, false, false},
    {"brackets around nothing", "[]:80", -1, "", "", 0, 0, false, false},
    {"IPv4 in brackets", "[10.0.0.1]:80", -1, "", "", 0, 0, false, false},
    {"unknown scope", "[fe80::1%nowhere]:9", -1, "", "", 0, 0, false, false},
};

static void each_row_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct addr a;
        char text[ADDR_TEXT_CAP];

        memset(&a, 0, sizeof(a));
        print_message("%s\n", r->name);
        assert_int_equal(addr_parse(&a, r->text), r->result);
        assert_string_equal(r->result ? "" : addr_print(&a, text), r->printed);
        assert_string_equal(r->result ? "" : addr_print_host(&a, text), r->host);
        assert_int_equal(a.sa.sa_family, r->family);
        assert_int_equal(addr_port(&a), r->port);
        assert_int_equal(addr_is_any(&a), r->any);
        assert_int_equal(addr_is_loopback(&a), r->loopback);
    }
}

static void a_host_longer_than_any_address_is_refused(void **state)
{
    char text[400];
    struct addr a;

    (void)state;
    memset(text, '1', sizeof(text));
    memcpy(text + sizeof(text) - 4, ":80", 4);
    assert_int_equal(addr_parse(&a, text), -1);
}

static void a_mapped_address_becomes_ipv4_and_others_stay(void **state)
{
    struct addr mapped, v4, v6, kept;

    (void)state;
    assert_int_equal(addr_parse(&mapped, "[::ffff:10.1.2.3]:77"), 0);
    assert_int_equal(addr_parse(&v4, "10.1.2.3:77"), 0);
    assert_int_equal(addr_parse(&v6, "[2001:db8::1]:77"), 0);
    kept = v6;
    addr_unmap(&mapped);
    addr_unmap(&v6);
    assert_true(addr_equal(&mapped, &v4));
    assert_true(addr_equal(&v6, &kept));
    assert_int_equal(addr_len(&mapped), sizeof(struct sockaddr_in));
}

static void addresses_are_equal_when_host_and_port_are(void **state)
{
    struct addr a, b;

    (void)state;
    assert_int_equal(addr_parse(&a, "10.1.2.3:77"), 0);
    b = a;
    assert_true(addr_equal(&a, &b));
    addr_set_port(&b, 78);
    assert_false(addr_equal(&a, &b));
    assert_int_equal(addr_parse(&b, "[::1]:77"), 0);
    assert_false(addr_equal(&a, &b));
    assert_int_equal(addr_parse(&a, "[::1]:77"), 0);
    assert_true(addr_equal(&a, &b));
}

static void a_name_is_resolved(void **state)
{
    struct addr a;

    (void)state;
    assert_int_equal(addr_resolve(&a, "localhost:80"), 0);
    assert_true(addr_is_loopback(&a));
    assert_int_equal(addr_port(&a), 80);
    assert_int_equal(addr_resolve(&a, "127.0.0.1:81"), 0);
    assert_int_equal(addr_port(&a), 81);
    assert_int_equal(addr_resolve(&a, "no.such.name.invalid:81"), -1);
}

static void the_interfaces_include_loopback_and_stop_at_the_cap(void **state)
{
    struct addr a[64];
    size_t n = addr_interfaces(a, LEN(a));
    bool loopback = false;

    (void)state;
    for (size_t i = 0; i < n; i++) {
        loopback |= addr_is_loopback(&a[i]);
        assert_int_equal(addr_port(&a[i]), 0);
    }
    assert_true(loopback);
    assert_int_equal(addr_interfaces(a, 1), 1);
    assert_int_equal(addr_interfaces(a, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_parses_as_written),
        cmocka_unit_test(a_host_longer_than_any_address_is_refused),
        cmocka_unit_test(a_mapped_address_becomes_ipv4_and_others_stay),
        cmocka_unit_test(addresses_are_equal_when_host_and_port_are),
        cmocka_unit_test(a_name_is_resolved),
        cmocka_unit_test(the_interfaces_include_loopback_and_stop_at_the_cap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
