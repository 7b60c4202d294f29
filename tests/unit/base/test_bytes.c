/* SPDX-License-Identifier: Apache-2.0 */
#include "base/reader.h"
#include "base/writer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18};

/* In a block of just n bytes, so that ASan sees one byte over. */
static uint8_t *exact(size_t n)
{
    uint8_t *copy = malloc(n ? n : 1);

    assert_non_null(copy);
    memcpy(copy, bytes, n);
    return copy;
}

static void numbers_are_read_in_network_order(void **state)
{
    struct reader r = reader_init(bytes, sizeof(bytes));

    (void)state;
    assert_int_equal(reader_u8(&r), 0x01);
    assert_int_equal(reader_u16(&r), 0x0203);
    assert_int_equal(reader_u24(&r), 0x040506);
    assert_int_equal(reader_u32(&r), 0x0708090a);
    assert_int_equal(reader_u64(&r), 0x0b0c0d0e0f101112);
    assert_int_equal(reader_left(&r), 0);
    assert_false(r.bad);
}

static void the_first_short_read_empties_the_reader_and_the_rest_is_zero(void **state)
{
    (void)state;
    for (size_t n = 0; n < 8; n++) {
        uint8_t *b = exact(n);
        struct reader r = reader_init(b, n);

        assert_int_equal(reader_u64(&r) != 0, n >= 4); /* its first half may have been there */
        assert_true(r.bad);
        assert_int_equal(reader_left(&r), 0);
        assert_int_equal(reader_u8(&r) + reader_u16(&r) + reader_u24(&r) + reader_u32(&r), 0);
        assert_null(reader_take(&r, 0 + 1));
        assert_true(r.bad);
        free(b);
    }
}

static void a_nested_length_cannot_reach_its_sibling(void **state)
{
    struct reader r = reader_init(bytes, sizeof(bytes));
    struct reader sub = reader_sub(&r, 4);

    (void)state;
    assert_int_equal(reader_left(&sub), 4);
    assert_int_equal(reader_left(&r), 14);
    assert_null(reader_take(&sub, 5));
    assert_true(sub.bad);
    assert_false(r.bad);
    assert_int_equal(reader_u8(&r), 5);
    struct reader too_long = reader_sub(&r, 14);
    assert_true(too_long.bad);
    assert_true(r.bad);
    assert_int_equal(reader_left(&too_long), 0);
}

static void taking_nothing_is_fine_even_from_nothing(void **state)
{
    struct reader r = reader_init(NULL, 0);

    (void)state;
    (void)reader_take(&r, 0);
    struct reader sub = reader_sub(&r, 0);
    assert_false(r.bad);
    assert_false(sub.bad);
    assert_int_equal(reader_left(&sub), 0);
    assert_null(reader_take(&r, SIZE_MAX));
    assert_true(r.bad);
}

static void what_is_written_is_what_is_read(void **state)
{
    uint8_t *b = exact(18);
    struct writer w = writer_init(b, 18);

    (void)state;
    memset(b, 0, 18);
    writer_u8(&w, 0x01);
    writer_u16(&w, 0x0203);
    writer_u24(&w, 0x040506);
    writer_u32(&w, 0x0708090a);
    writer_u64(&w, 0x0b0c0d0e0f101112);
    assert_false(w.bad);
    assert_int_equal(writer_len(&w), 18);
    assert_memory_equal(b, bytes, 18);
    free(b);
}

static void what_does_not_fit_is_not_written_nor_what_follows(void **state)
{
    uint8_t *b = exact(3);
    struct writer w = writer_init(b, 3);

    (void)state;
    writer_u16(&w, 0xaaaa);
    writer_u16(&w, 0xbbbb);
    writer_u8(&w, 0xcc); /* would fit, but makes no sense there */
    writer_bytes(&w, "x", 1);
    writer_bytes(&w, NULL, 0);
    assert_true(w.bad);
    assert_int_equal(writer_len(&w), 2);
    assert_int_equal(b[2], 3);
    assert_null(writer_take(&w, 0));
    free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_read_in_network_order),
        cmocka_unit_test(the_first_short_read_empties_the_reader_and_the_rest_is_zero),
        cmocka_unit_test(a_nested_length_cannot_reach_its_sibling),
        cmocka_unit_test(taking_nothing_is_fine_even_from_nothing),
        cmocka_unit_test(what_is_written_is_what_is_read),
        cmocka_unit_test(what_does_not_fit_is_not_written_nor_what_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
