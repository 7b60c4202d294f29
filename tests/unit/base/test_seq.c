/* SPDX-License-Identifier: Apache-2.0 */
#include "base/compiler.h"
#include "base/seq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct row {
    uint16_t a, b;
    bool before;
    int diff;
} rows[] = {
    {0, 0, false, 0},         {1, 2, true, -1},
    {2, 1, false, 1},         {65535, 0, true, -1},
    {0, 65535, false, 1},     {1, 65535, false, 2},
    {0, 32767, true, -32767}, {0, 32768, true, -32768},
    {0, 32769, false, 32767}, {40000, 7232, true, -32768},
    {65000, 100, true, -636},
};

static void sixteen_bits_are_ordered_on_the_circle(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_int_equal(seq16_before(rows[i].a, rows[i].b), rows[i].before);
        assert_int_equal(seq16_diff(rows[i].a, rows[i].b), rows[i].diff);
    }
}

static void numbers_are_extended_to_the_nearest(void **state)
{
    static const struct {
        uint64_t near64;
        uint16_t seq;
        uint64_t want;
    } cases[] = {
        {0x10000, 0, 0x10000},     {0x10000, 1, 0x10001},     {0x10000, 65535, 0x0ffff},
        {0x1ffff, 0, 0x20000},     {0x20000, 65535, 0x1ffff}, {0x12345, 0x2345, 0x12345},
        {0x10000, 32767, 0x17fff}, {0x10000, 32769, 0x08001}, {0x1fffffff0, 5, 0x200000005},
    };

    (void)state;
    for (size_t i = 0; i < LEN(cases); i++)
        assert_int_equal(seq16_extend(cases[i].near64, cases[i].seq), cases[i].want);
}

static void a_walk_of_three_circles_extends_without_a_gap(void **state)
{
    uint64_t at = 0x10000;

    (void)state;
    for (uint64_t i = 0x10000; i < 0x40000; i++) {
        at = seq16_extend(at, (uint16_t)i);
        assert_int_equal(at, i);
    }
}

static void timestamps_are_ordered_and_extended_alike(void **state)
{
    (void)state;
    assert_true(ts32_before(0xffffffff, 0));
    assert_false(ts32_before(0, 0xffffffff));
    assert_false(ts32_before(7, 7));
    assert_int_equal(ts32_extend(0x1ffffff00, 5), 0x200000005);
    assert_int_equal(ts32_extend(0x200000005, 0xffffff00), 0x1ffffff00);
    assert_int_equal(ts32_extend(0x100000000, 0x7fffffff), 0x17fffffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_bits_are_ordered_on_the_circle),
        cmocka_unit_test(numbers_are_extended_to_the_nearest),
        cmocka_unit_test(a_walk_of_three_circles_extends_without_a_gap),
        cmocka_unit_test(timestamps_are_ordered_and_extended_alike),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
