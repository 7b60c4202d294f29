/* SPDX-License-Identifier: Apache-2.0
 * Where a client is, by the map of ranges; and the ranges themselves. (The MMDB file is tried in tests/cluster.) */
#include "directory/locate.h"
#include "io/cidr.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct addr ip(const char *text)
{
    struct addr a;
    char with_port[ADDR_TEXT_CAP];

    snprintf(with_port, sizeof(with_port), strchr(text, ':') ? "[%s]:0" : "%s:0", text);
    assert_int_equal(addr_parse(&a, with_port), 0);
    return a;
}

static void ranges_are_parsed_strictly(void **state)
{
    static const struct {
        const char *text;
        int bits; /* -1: refused */
    } rows[] = {
        {"10.0.0.0/8", 8},    {"10.1.2.3", 32},   {"0.0.0.0/0", 0},   {"2001:db8::/32", 32}, {"::1", 128},
        {"10.0.0.1/8", -1},   {"10.0.0.0/33", -1}, {"10.0.0.0/", -1},  {"/8", -1},            {"", -1},
        {"10.0.0/8", -1},     {"2001:db8::1/32", -1}, {"::/129", -1},  {"10.0.0.0/8x", -1},   {"10.0.0.0/-1", -1},
        {"here", -1},         {"10.0.0.0/1000", -1},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct cidr c = {.bits = 77};
        print_message("'%s'\n", rows[i].text);
        assert_int_equal(cidr_parse(&c, rows[i].text, strlen(rows[i].text)), rows[i].bits < 0 ? -1 : 0);
        assert_int_equal(c.bits, rows[i].bits < 0 ? 77u : (unsigned)rows[i].bits);
    }
}

static void addresses_match_by_their_prefix(void **state)
{
    static const struct {
        const char *range, *address;
        bool match;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},          {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.0/9", "10.127.255.255", true},      {"10.0.0.0/9", "10.128.0.0", false},
        {"0.0.0.0/0", "203.0.113.7", true},          {"0.0.0.0/0", "2001:db8::1", false},
        {"2001:db8::/33", "2001:db8:7fff::1", true}, {"2001:db8::/33", "2001:db8:8000::1", false},
        {"10.1.2.3", "10.1.2.3", true},              {"10.1.2.3", "10.1.2.4", false},
        {"10.0.0.0/8", "::ffff:10.1.1.1", true},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct cidr c;
        struct addr a = ip(rows[i].address);
        print_message("%s in %s\n", rows[i].address, rows[i].range);
        assert_int_equal(cidr_parse(&c, rows[i].range, strlen(rows[i].range)), 0);
        assert_int_equal(cidr_match(&c, &a), rows[i].match);
    }
}

static void the_longest_prefix_says_the_region(void **state)
{
    static const char ranges[][256] = {"10.0.0.0/8=eu", "10.9.0.0/16=us", "2001:db8::/32=asia"};
    char error[LOCATE_ERROR_CAP];
    struct locator *l;
    struct place p;

    (void)state;
    assert_int_equal(locator_create(&l, ranges, LEN(ranges), "", error), 0);
    struct addr a = ip("10.1.1.1"), b = ip("10.9.1.1"), c = ip("2001:db8::5"), d = ip("203.0.113.1");
    assert_true(locator_find(l, &a, &p));
    assert_string_equal(p.region, "eu");
    assert_true(locator_find(l, &b, &p));
    assert_string_equal(p.region, "us");
    assert_true(locator_find(l, &c, &p));
    assert_string_equal(p.region, "asia");
    assert_false(locator_find(l, &d, &p));
    assert_string_equal(p.region, "");
    locator_destroy(&l);
}

static void what_cannot_be_used_is_named(void **state)
{
    static const char bad[][256] = {"10.0.0.0/8"}, none[][256] = {""};
    char error[LOCATE_ERROR_CAP];
    struct locator *l;

    (void)state;
    assert_int_equal(locator_create(&l, bad, 1, "", error), -1);
    assert_string_equal(error, "'10.0.0.0/8': expected RANGE=REGION, as 10.1.0.0/16=eu");
    assert_int_equal(locator_create(&l, none, 0, "/nonexistent.mmdb", error), -1);
    assert_non_null(strstr(error, "/nonexistent.mmdb: "));
}

static void distances_are_right_within_a_percent(void **state)
{
    double lat, lon;

    (void)state;
    assert_true(fabs(place_distance_km(50.11, 8.68, 40.71, -74.01) - 6203) < 62); /* Frankfurt, New York */
    assert_true(fabs(place_distance_km(35.68, 139.69, -33.87, 151.21) - 7826) < 78); /* Tokyo, Sydney */
    assert_true(place_distance_km(10, 20, 10, 20) < 0.001);
    assert_true(country_middle("DE", &lat, &lon));
    assert_true(place_distance_km(lat, lon, 51, 10) < 100);
    assert_false(country_middle("ZZ", &lat, &lon));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_parsed_strictly),
        cmocka_unit_test(addresses_match_by_their_prefix),
        cmocka_unit_test(the_longest_prefix_says_the_region),
        cmocka_unit_test(what_cannot_be_used_is_named),
        cmocka_unit_test(distances_are_right_within_a_percent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
