/* SPDX-License-Identifier: Apache-2.0
 * test_readers.c - FLV cut anywhere. */
#include "base/compiler.h"
#include "load/flv_reader.h"
#include "wire/flv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct seen {
    size_t n;
    struct flv_seen tags[8];
    uint8_t first[8]; /* bytes of their bodies */
};

static void on_tag(void *arg, const struct flv_seen *tag)
{
    struct seen *s = arg;

    assert_true(s->n < LEN(s->tags));
    s->first[s->n] = tag->head_len ? tag->head[0] : 0;
    s->tags[s->n++] = *tag;
}

/* Two tags around an empty one; the second is longer than what is kept. */
static size_t write_stream(uint8_t *bytes, size_t cap)
{
    struct writer w = writer_init(bytes, cap);

    flv_file_header_write(&w, true, true);
    flv_tag_header_write(&w, FLV_TAG_AUDIO, 3, 0);
    writer_bytes(&w, "abc", 3);
    flv_tag_trailer_write(&w, 3);
    flv_tag_header_write(&w, FLV_TAG_SCRIPT, 0, 5);
    flv_tag_trailer_write(&w, 0);
    flv_tag_header_write(&w, FLV_TAG_VIDEO, 1000, 0x12345678);
    memset(writer_take(&w, 1000), 'v', 1000);
    flv_tag_trailer_write(&w, 1000);
    assert_false(w.bad);
    return writer_len(&w);
}

static void a_stream_is_read_whatever_the_size_of_its_pieces(void **state)
{
    uint8_t bytes[2048];
    size_t len = write_stream(bytes, sizeof(bytes));

    (void)state;
    for (size_t piece = 1; piece <= len; piece += piece < 40 ? 1 : 97) {
        struct seen s = {0};
        struct flv_reader r;

        flv_reader_init(&r, on_tag, &s);
        for (size_t at = 0; at < len; at += piece) {
            size_t n = len - at < piece ? len - at : piece;
            uint8_t *exact = malloc(n);
            memcpy(exact, bytes + at, n);
            assert_true(flv_reader_push(&r, exact, n));
            free(exact);
        }
        assert_int_equal(s.n, 3);
        assert_int_equal(s.tags[0].type, FLV_TAG_AUDIO);
        assert_int_equal(s.tags[0].body_len, 3);
        assert_int_equal(s.tags[0].head_len, 3);
        assert_int_equal(s.first[0], 'a');
        assert_int_equal(s.tags[1].type, FLV_TAG_SCRIPT);
        assert_int_equal(s.tags[1].body_len, 0);
        assert_int_equal(s.tags[1].ts_ms, 5);
        assert_int_equal(s.tags[2].type, FLV_TAG_VIDEO);
        assert_int_equal(s.tags[2].body_len, 1000);
        assert_int_equal(s.tags[2].head_len, FLV_HEAD_MAX);
        assert_int_equal(s.tags[2].ts_ms, 0x12345678);
        assert_int_equal(s.first[2], 'v');
    }
}

static void what_is_not_flv_is_told_and_thrown_away(void **state)
{
    struct seen s = {0};
    struct flv_reader r;
    uint8_t bytes[2048];
    size_t len = write_stream(bytes, sizeof(bytes));

    (void)state;
    flv_reader_init(&r, on_tag, &s);
    assert_false(flv_reader_push(&r, (const uint8_t *)"<!doctype html><html>", 21));
    assert_false(flv_reader_push(&r, bytes, len));
    assert_int_equal(s.n, 0);
    flv_reader_init(&r, on_tag, &s);
    bytes[13 + 11 + 3 + 4] = 0xff; /* the second tag's type */
    assert_false(flv_reader_push(&r, bytes, len));
    assert_int_equal(s.n, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_read_whatever_the_size_of_its_pieces),
        cmocka_unit_test(what_is_not_flv_is_told_and_thrown_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
