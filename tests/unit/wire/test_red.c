/* SPDX-License-Identifier: Apache-2.0
 * RFC 2198's packets: their blocks, and lengths that do not fit. */
#include "wire/red.h"

#include "exact.h"

struct row {
    const char *name, *bytes;
    size_t len;
    int n;
    struct {
        uint8_t pt;
        uint16_t ts_before;
        const char *data;
    } blocks[3];
};

static const struct row rows[] = {
    {"nothing", BYTES(""), RED_ERR, {{0}}},
    {"the primary alone", BYTES("\157abc"), 1, {{111, 0, "abc"}}},
    {"a primary of no bytes", BYTES("\157"), 1, {{111, 0, ""}}},
    {"one before it", BYTES("\357\17\0\2\157xyabc"), 2, {{111, 960, "xy"}, {111, 0, "abc"}}},
    {"two, the older first", BYTES("\357\36\0\1\357\17\0\2\157wxyabc"), 3, {{111, 1920, "w"}, {111, 960, "xy"}, {111, 0, "abc"}}},
    {"one that says nothing", BYTES("\357\17\0\0\157abc"), 2, {{111, 960, ""}, {111, 0, "abc"}}},
    {"the greatest offset", BYTES("\357\377\374\1\157xa"), 2, {{111, 16383, "x"}, {111, 0, "a"}}},
    {"a length past the end", BYTES("\357\17\0\4\157xya"), RED_ERR, {{0}}},
    {"half a header", BYTES("\357\17\0"), RED_ERR, {{0}}},
    {"headers only", BYTES("\357\17\0\0"), RED_ERR, {{0}}},
};

static void each_row_gives_its_blocks(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct red_block blocks[RED_BLOCKS_MAX];
        uint8_t *exact = exact_dup(rows[i].bytes, rows[i].len);

        print_message("%s\n", rows[i].name);
        assert_int_equal(red_parse(blocks, exact, rows[i].len), rows[i].n);
        for (int k = 0; k < rows[i].n; k++) {
            assert_int_equal(blocks[k].pt, rows[i].blocks[k].pt);
            assert_int_equal(blocks[k].ts_before, rows[i].blocks[k].ts_before);
            assert_int_equal(blocks[k].len, strlen(rows[i].blocks[k].data));
            assert_memory_equal(blocks[k].data, rows[i].blocks[k].data, blocks[k].len);
        }
        free(exact);
    }
}

static void too_many_blocks_are_refused(void **state)
{
    uint8_t bytes[4 * RED_BLOCKS_MAX + 1] = {0};
    struct red_block blocks[RED_BLOCKS_MAX];

    (void)state;
    for (int i = 0; i < RED_BLOCKS_MAX; i++)
        bytes[4 * i] = 0xef;
    assert_int_equal(red_parse(blocks, bytes, sizeof(bytes)), RED_ERR);
    assert_int_equal(red_parse(blocks, bytes + 4, sizeof(bytes) - 4), RED_BLOCKS_MAX);
}

/* RFC 2198 s3: F=1 | PT, ts offset(14), length(10); F=0 | PT; the older block, then (behind what is written here) the primary. */
static void what_goes_in_front_of_a_primary_block_is_as_rfc_2198_says(void **state)
{
    static const uint8_t two[] = {0xef, 0x0f, 0x00, 0x03, 0x6f, 'o', 'l', 'd'}, one[] = {0x6f};
    static uint8_t longest[RED_LEN_MAX] = {7, [RED_LEN_MAX - 1] = 9};
    const struct red_block before = {(const uint8_t *)"old", 3, 960, 111};
    const struct red_block most = {longest, RED_LEN_MAX, RED_TS_BEFORE_MAX, 127};
    uint8_t out[RED_HEADERS_BYTES + RED_LEN_MAX];
    struct red_block blocks[RED_BLOCKS_MAX];

    (void)state;
    assert_int_equal(red_write_front(out, &before, 111), sizeof(two));
    assert_memory_equal(out, two, sizeof(two));
    assert_int_equal(red_write_front(out, NULL, 111), sizeof(one));
    assert_memory_equal(out, one, sizeof(one));
    assert_int_equal(red_write_front(out, &most, 111), sizeof(out));
    assert_int_equal(red_parse(blocks, out, sizeof(out)), 2);
    assert_int_equal(blocks[0].pt, 127);
    assert_int_equal(blocks[0].ts_before, RED_TS_BEFORE_MAX);
    assert_int_equal(blocks[0].len, RED_LEN_MAX);
    assert_memory_equal(blocks[0].data, longest, RED_LEN_MAX);
    assert_int_equal(blocks[1].pt, 111);
    assert_int_equal(blocks[1].len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_gives_its_blocks),
        cmocka_unit_test(too_many_blocks_are_refused),
        cmocka_unit_test(what_goes_in_front_of_a_primary_block_is_as_rfc_2198_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
