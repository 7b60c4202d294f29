/* SPDX-License-Identifier: Apache-2.0
 * test_amf0.c - AMF0 values, real RTMP messages, and what hostile ones do. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "wire/amf0.h"

/* What a message reads as: keys, values, brackets, and how it ended. */
static const char *text_of(const uint8_t *msg, size_t len)
{
    static char text[512];
    static const char *const opens[] = {
        [AMF0_OBJECT] = "{ ", [AMF0_ECMA_ARRAY] = "[= ", [AMF0_STRICT_ARRAY] = "[ "};
    struct amf0_reader a = amf0_reader_init(msg, len);
    struct amf0_value v;
    size_t n = 0;
    int got;

    text[0] = '\0';
    while ((got = amf0_next(&a, &v)) == 1 && n < sizeof(text) - 64) {
        if (v.key.len)
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s:", (int)v.key.len, v.key.p);
        switch (v.type) {
        case AMF0_NUMBER: n += (size_t)snprintf(text + n, sizeof(text) - n, "%g ", v.number); break;
        case AMF0_DATE: n += (size_t)snprintf(text + n, sizeof(text) - n, "date %g ", v.number); break;
        case AMF0_BOOLEAN:
            n += (size_t)snprintf(text + n, sizeof(text) - n, v.boolean ? "true " : "false ");
            break;
        case AMF0_STRING:
            n += (size_t)snprintf(text + n, sizeof(text) - n, "'%.*s' ", (int)v.string.len, v.string.p);
            break;
        case AMF0_NULL: n += (size_t)snprintf(text + n, sizeof(text) - n, "null "); break;
        case AMF0_UNDEFINED: n += (size_t)snprintf(text + n, sizeof(text) - n, "undefined "); break;
        case AMF0_END: n += (size_t)snprintf(text + n, sizeof(text) - n, "end%u ", v.depth); break;
        default: n += (size_t)snprintf(text + n, sizeof(text) - n, "%s", opens[v.type]); break;
        }
    }
    if (got < 0)
        snprintf(text + n, sizeof(text) - n, "error %d", got);
    assert_int_equal(amf0_next(&a, &v),
                     got < 0 && got != AMF0_ERR_SHORT ? AMF0_ERR_SHORT : got); /* repeats */
    return text;
}

static const struct {
    const char *name, *msg;
    size_t len;
    const char *text;
} rows[] = {
    {"nothing", BYTES(""), ""},
    {"number", BYTES("\0\x3f\xf0\0\0\0\0\0\0"), "1 "},
    {"number cut", BYTES("\0\x3f\xf0\0\0\0\0\0"), "error -1"},
    {"boolean", BYTES("\1\0\1\1"), "false true "},
    {"string", BYTES("\2\0\3abc"), "'abc' "},
    {"empty string", BYTES("\2\0\0"), "'' "},
    {"string past the end", BYTES("\2\0\4abc"), "error -1"},
    {"long string", BYTES("\xc\0\0\0\3abc"), "'abc' "},
    {"long string of 4 GB",
     BYTES("\xc\xff\xff\xff\xff"
           "abc"),
     "error -1"},
    {"null, undefined, unsupported", BYTES("\5\6\xd"), "null undefined undefined "},
    {"date", BYTES("\xb\x40\x59\0\0\0\0\0\0\0\0"), "date 100 "},
    {"XML is a long string", BYTES("\xf\0\0\0\1x"), "'x' "},
    {"empty object", BYTES("\3\0\0\x9"), "{ end0 "},
    {"object", BYTES("\3\0\1a\1\1\0\1b\5\0\0\x9"), "{ a:true b:null end0 "},
    {"object in object", BYTES("\3\0\1a\3\0\1b\5\0\0\x9\0\0\x9\5"), "{ a:{ b:null end1 end0 null "},
    {"member with an empty key", BYTES("\3\0\0\5\0\0\x9"), "{ null end0 "},
    {"object that does not end", BYTES("\3\0\1a\5"), "{ a:null "},
    {"object key cut", BYTES("\3\0\1a\5\0"), "{ a:null error -1"},
    {"typed object", BYTES("\x10\0\2Cl\0\1a\5\0\0\x9"), "{ a:null end0 "},
    {"ECMA array with a wrong count", BYTES("\x8\0\0\0\x9\0\1a\5\0\0\x9"), "[= a:null end0 "},
    {"strict array", BYTES("\xa\0\0\0\2\5\6\5"), "[ null undefined end0 null "},
    {"empty strict array at the end", BYTES("\xa\0\0\0\0"), "[ end0 "},
    {"strict array in object", BYTES("\3\0\1a\xa\0\0\0\1\5\0\0\x9"), "{ a:[ null end1 end0 "},
    {"strict array of four billion", BYTES("\xa\xff\xff\xff\xff\5"), "error -1"},
    {"strict array cut", BYTES("\xa\0\0\0\3\5\0"), "error -1"},
    {"strict array short by one", BYTES("\xa\0\0\0\2\2\0\0"), "[ '' error -1"},
    {"reference", BYTES("\7\0\1"), "error -3"},
    {"AMF3 switch", BYTES("\x11\1"), "error -3"},
    {"movie clip", BYTES("\4"), "error -3"},
    {"eight deep",
     BYTES("\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\5"),
     "[ [ [ [ [ [ [ [ null end7 end6 end5 end4 end3 end2 end1 end0 "},
    {"nine deep",
     BYTES("\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0\1\xa\0\0\0"
           "\1\5"),
     "[ [ [ [ [ [ [ [ error -2"},
};

static void each_message_reads_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(rows[i].msg, rows[i].len);
        print_message("  %s\n", rows[i].name);
        assert_string_equal(text_of(exact, rows[i].len), rows[i].text);
        free(exact);
    }
}

static size_t write_connect(uint8_t *buf, size_t cap)
{
    struct writer w = writer_init(buf, cap);

    amf0_write_string(&w, "connect");
    amf0_write_number(&w, 1);
    amf0_write_object_begin(&w);
    amf0_write_member_string(&w, "app", "live");
    amf0_write_member_boolean(&w, "fpad", false);
    amf0_write_member_number(&w, "audioCodecs", 3191);
    amf0_write_key(&w, "fourCcList");
    amf0_write_strict_array_begin(&w, 2);
    amf0_write_string(&w, "hvc1");
    amf0_write_string(&w, "av01");
    amf0_write_key(&w, "info");
    amf0_write_ecma_array_begin(&w, 1);
    amf0_write_key(&w, "at");
    amf0_write_date(&w, 5);
    amf0_write_end(&w);
    amf0_write_end(&w);
    amf0_write_null(&w);
    amf0_write_undefined(&w);
    return w.bad ? 0 : writer_len(&w);
}

static void a_written_command_reads_back(void **state)
{
    uint8_t buf[256];
    size_t len = write_connect(buf, sizeof(buf));

    (void)state;
    assert_true(len > 0);
    assert_string_equal(text_of(buf, len),
                        "'connect' 1 { app:'live' fpad:false audioCodecs:3191 fourCcList:[ 'hvc1' 'av01' "
                        "end1 info:[= at:date 5 end1 end0 null undefined ");
    assert_int_equal(write_connect(buf, len - 1), 0);
}

static void a_command_cut_anywhere_never_reads_past_its_end(void **state)
{
    uint8_t buf[256];
    size_t len = write_connect(buf, sizeof(buf));

    (void)state;
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = exact_dup(buf, cut);
        text_of(exact, cut);
        free(exact);
    }
}

static void arguments_are_taken_by_type(void **state)
{
    uint8_t buf[256];
    struct amf0_reader a = amf0_reader_init(buf, write_connect(buf, sizeof(buf)));
    struct amf0_str name;
    struct amf0_value v;
    double number;
    bool flag;

    (void)state;
    assert_int_equal(amf0_next_string(&a, &name), AMF0_OK);
    assert_true(amf0_str_is(name, "connect"));
    assert_false(amf0_str_is(name, "connec"));
    assert_int_equal(amf0_next_number(&a, &number), AMF0_OK);
    assert_true(number == 1);
    assert_int_equal(amf0_next(&a, &v), 1);
    assert_int_equal(v.type, AMF0_OBJECT);
    assert_int_equal(amf0_skip(&a, &v), AMF0_OK); /* with the containers in it */
    assert_int_equal(amf0_next(&a, &v), 1);
    assert_int_equal(v.type, AMF0_NULL);
    assert_int_equal(amf0_skip(&a, &v), AMF0_OK); /* nothing to skip */
    assert_int_equal(amf0_next_boolean(&a, &flag), AMF0_ERR_TYPE);
    assert_int_equal(amf0_next_number(&a, &number), AMF0_ERR_END);
}

static void a_string_above_64_kb_is_a_long_string(void **state)
{
    enum { LONG = 70000 };
    char *text = malloc(LONG + 1);
    uint8_t *buf = malloc(LONG + 16);
    struct writer w = writer_init(buf, LONG + 16);
    struct amf0_str back;

    (void)state;
    memset(text, 'x', LONG);
    text[LONG] = '\0';
    amf0_write_string(&w, text);
    struct amf0_reader a = amf0_reader_init(buf, writer_len(&w));
    assert_int_equal(amf0_next_string(&a, &back), AMF0_OK);
    assert_int_equal(back.len, LONG);
    w = writer_init(buf, LONG + 16);
    amf0_write_key(&w, text); /* keys have no long form */
    assert_true(w.bad);
    free(text);
    free(buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_reads_as_written),
        cmocka_unit_test(a_written_command_reads_back),
        cmocka_unit_test(a_command_cut_anywhere_never_reads_past_its_end),
        cmocka_unit_test(arguments_are_taken_by_type),
        cmocka_unit_test(a_string_above_64_kb_is_a_long_string),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
