/* SPDX-License-Identifier: Apache-2.0
 * Data channels are opened by OPEN and ACK as RFC 8832 writes them, and by nothing else. */
#include "unit/wire/exact.h"
#include "webrtc/dcep.h"

#include "base/compiler.h"

#include <string.h>


#define S16 "0123456789abcdef"
#define S64 S16 S16 S16 S16

struct row {
    const char *what;
    const void *bytes;
    size_t len;
    int err;
    bool ack, unordered;
    enum dcep_reliability reliability;
    uint32_t limit;
    const char *label, *protocol;
};

static const struct row rows[] = {
    {"an ACK", BYTES("\x02"), DCEP_OK, true, false, 0, 0, "", ""},
    {"a reliable channel", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x04\x00\x00" "chat"), DCEP_OK, false, false, DCEP_RELIABLE, 0,
     "chat", ""},
    {"unordered", BYTES("\x03\x80\x01\x00\0\0\0\0\x00\x04\x00\x02" "chatp1"), DCEP_OK, false, true, DCEP_RELIABLE, 0, "chat",
     "p1"},
    {"three retransmissions", BYTES("\x03\x01\x00\x00\0\0\0\x03\x00\x00\x00\x00"), DCEP_OK, false, false, DCEP_RETRANSMITS,
     3, "", ""},
    {"a lifetime", BYTES("\x03\x82\x00\x00\0\0\x01\xf4\x00\x01\x00\x01xy"), DCEP_OK, false, true, DCEP_LIFETIME, 500, "x",
     "y"},
    {"the longest names", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x40\x00\x40" S64 S64), DCEP_OK, false, false, DCEP_RELIABLE, 0,
     S64, S64},
    {"bytes behind it are ignored", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x01\x00\x00zmore"), DCEP_OK, false, false,
     DCEP_RELIABLE, 0, "z", ""},
    {"nothing", BYTES(""), DCEP_ERR_SHORT, false, false, 0, 0, "", ""},
    {"an unknown type", BYTES("\x04\x00"), DCEP_ERR_TYPE, false, false, 0, 0, "", ""},
    {"an OPEN cut short", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x04\x00"), DCEP_ERR_SHORT, false, false, 0, 0, "", ""},
    {"a label past the end", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x05\x00\x00" "chat"), DCEP_ERR_SHORT, false, false, 0, 0, "", ""},
    {"a protocol past the end", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x01\xff\xff" "chat"), DCEP_ERR_SHORT, false, false, 0, 0, "",
     ""},
    {"no such channel type", BYTES("\x03\x03\x00\x00\0\0\0\0\x00\x00\x00\x00"), DCEP_ERR_TYPE, false, false, 0, 0, "", ""},
    {"a label too long", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x41\x00\x00" S64 "x"), DCEP_ERR_NAME, false, false, 0, 0, "", ""},
    {"a protocol too long", BYTES("\x03\x00\x00\x00\0\0\0\0\x00\x00\x00\x41" S64 "x"), DCEP_ERR_NAME, false, false, 0, 0, "", ""},
};

static void assert_name(const uint8_t *bytes, size_t len, const char *expected)
{
    assert_int_equal(len, strlen(expected));
    if (len)
        assert_memory_equal(bytes, expected, len);
}

static void each_row_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct row *r = &rows[i];
        struct dcep_message m = {.ack = true, .open.limit = 99};
        uint8_t *exact = exact_dup(r->bytes, r->len);
        int err = dcep_parse(&m, exact, r->len);

        print_message("%s\n", r->what);
        assert_int_equal(err, r->err);
        if (err != DCEP_OK) {
            assert_true(m.ack && m.open.limit == 99); /* untouched */
        } else {
            assert_int_equal(m.ack, r->ack);
            assert_int_equal(m.open.unordered, r->unordered);
            assert_int_equal(m.open.reliability, r->reliability);
            assert_int_equal(m.open.limit, r->limit);
            assert_name(m.open.label, m.open.label_len, r->label);
            assert_name(m.open.protocol, m.open.protocol_len, r->protocol);
        }
        free(exact);
    }
}

static void what_is_written_is_what_was_meant(void **state)
{
    uint8_t bytes[DCEP_OPEN_MAX], ack[DCEP_ACK_BYTES];
    struct dcep_open open = {.unordered = true, .reliability = DCEP_LIFETIME, .limit = 500,
                             .label = (const uint8_t *)"x", .label_len = 1, .protocol = (const uint8_t *)"y",
                             .protocol_len = 1};

    (void)state;
    assert_int_equal(dcep_write_open(bytes, &open), 14);
    assert_memory_equal(bytes, "\x03\x82\x00\x00\0\0\x01\xf4\x00\x01\x00\x01xy", 14);
    dcep_write_ack(ack);
    assert_int_equal(ack[0], 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_parses_as_written),
        cmocka_unit_test(what_is_written_is_what_was_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
