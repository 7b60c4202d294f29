/* SPDX-License-Identifier: Apache-2.0 */
#include "http/request_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BODY_CAP = 32 };

#define HOST "Host: h\r\n"

static const struct row {
    const char *name, *bytes;
    int err;
    const char *method, *path, *body;
    bool keep_alive, expect;
} rows[] = {
    {"smallest", "GET / HTTP/1.1\r\n" HOST "\r\n", 0, "GET", "/", "", true, false},
    {"close is heard", "GET / HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", 0, "GET", "/", "", false,
     false},
    {"HTTP/1.0 closes", "GET / HTTP/1.0\r\n\r\n", 0, "GET", "/", "", false, false},
    {"HTTP/1.0 kept alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 0, "GET", "/", "", true,
     false},
    {"body by length", "POST /a HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 0, "POST", "/a", "abc",
     true, false},
    {"body by chunks",
     "POST /a HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nT: t\r\n\r\n",
     0, "POST", "/a", "abc", true, false},
    {"expects 100", "POST /a HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx", 0,
     "POST", "/a", "x", true, true},
    {"upgrade is not taken", "GET / HTTP/1.1\r\n" HOST "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n", 0,
     "GET", "/", "", true, false},
    {"empty lines before are skipped", "\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0, "GET", "/", "", true,
     false},
    {"body as large as may be",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 32\r\n\r\n01234567890123456789012345678901", 0, "POST", "/",
     "01234567890123456789012345678901", true, false},
    {"body too large by length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 33\r\n\r\n",
     REQUEST_ERR_BODY_LARGE, "POST", "/", "", true, false},
    {"body too large by chunks",
     "POST / HTTP/1.1\r\n" HOST
     "Transfer-Encoding: chunked\r\n\r\n21\r\n012345678901234567890123456789012\r\n0\r\n\r\n",
     REQUEST_ERR_BODY_LARGE, "POST", "/", "", true, false},
    {"length and chunks",
     "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     REQUEST_ERR_BAD, "", "", "", true, false},
    {"chunks and length",
     "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
     REQUEST_ERR_BAD, "", "", "", true, false},
    {"two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
     REQUEST_ERR_BAD, "", "", "", true, false},
    {"negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", REQUEST_ERR_BAD, "", "", "",
     true, false},
    {"length beyond 64 bits", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551617\r\n\r\n",
     REQUEST_ERR_BAD, "", "", "", true, false},
    {"unknown coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
     REQUEST_ERR_CODING, "POST", "/", "", true, false},
    {"chunked is not last", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
     REQUEST_ERR_CODING, "POST", "/", "", false, false},
    {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     REQUEST_ERR_BAD, "POST", "/", "", false, false},
    {"bad chunk size", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nzz\r\n", REQUEST_ERR_BAD,
     "POST", "/", "", true, false},
    {"no Host", "GET / HTTP/1.1\r\n\r\n", REQUEST_ERR_BAD, "GET", "/", "", true, false},
    {"two Hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", REQUEST_ERR_BAD, "GET", "/", "", true, false},
    {"Host that breaks a URL", "GET / HTTP/1.1\r\nHost: a/b@c\r\n\r\n", REQUEST_ERR_BAD, "GET", "/", "", true,
     false},
    {"traversal", "GET /../x HTTP/1.1\r\n" HOST "\r\n", REQUEST_ERR_BAD, "GET", "", "", true, false},
    {"no version", "GET /\r\n\r\n", REQUEST_ERR_VERSION, "GET", "", "", false, false},
    {"HTTP/2", "GET / HTTP/2.0\r\n" HOST "\r\n", REQUEST_ERR_VERSION, "", "", "", false, false},
    {"the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", REQUEST_ERR_BAD, "", "", "", false, false},
    {"a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", REQUEST_ERR_BAD, "", "", "", false,
     false},
    {"unknown method", "BREW / HTTP/1.1\r\n" HOST "\r\n", REQUEST_ERR_BAD, "", "", "", false, false},
    {"blank before the colon", "GET / HTTP/1.1\r\nHost : h\r\n\r\n", REQUEST_ERR_BAD, "", "", "", false,
     false},
    {"control character in a value", "GET / HTTP/1.1\r\nHost: h\r\nX: a\001b\r\n\r\n", REQUEST_ERR_BAD, "",
     "", "", false, false},
};

/* Feeds in pieces of `step` bytes, each in a block of its own size. Returns 0 at the end of the request. */
static int feed(struct request_parser *p, const char *bytes, size_t len, size_t step, unsigned *heads)
{
    for (size_t at = 0; at < len;) {
        size_t n = len - at < step ? len - at : step, used = 0;
        uint8_t *piece = malloc(n);
        enum request_event event;

        memcpy(piece, bytes + at, n);
        int err = request_parser_feed(p, piece, n, &used, &event);
        free(piece);
        if (err)
            return err;
        *heads += event == REQUEST_HEAD;
        at += used;
        if (event == REQUEST_DONE) {
            assert_int_equal(at, len);
            return 0;
        }
    }
    return 1; /* not complete */
}

static void check_row(const struct row *row, size_t step)
{
    struct request_parser *p;
    unsigned heads = 0;

    assert_int_equal(request_parser_create(&p, BODY_CAP), 0);
    int err = feed(p, row->bytes, strlen(row->bytes), step, &heads);
    assert_int_equal(err, row->err);
    if (err) {
        assert_true(request_parser_reason(p)[0]);
        assert_int_equal(
            request_parser_feed(p, (const uint8_t *)"x", 1, &(size_t){0}, &(enum request_event){0}), err);
    } else {
        struct request *r = request_parser_take(p);

        assert_int_equal(heads, 1);
        assert_string_equal(r->method, row->method);
        assert_string_equal(r->path, row->path);
        assert_int_equal(r->body.len, strlen(row->body));
        assert_memory_equal(r->body.len ? r->body.p : "", row->body, r->body.len);
        assert_int_equal(r->keep_alive, row->keep_alive);
        assert_int_equal(r->expect_continue, row->expect);
        request_destroy(&r);
    }
    request_parser_destroy(&p);
}

static void each_row_parses_as_written_whole_and_byte_by_byte(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("%s\n", rows[i].name);
        check_row(&rows[i], SIZE_MAX);
        check_row(&rows[i], 1);
        check_row(&rows[i], 7);
    }
}

static void fields_are_found_by_any_case_and_the_first_counts(void **state)
{
    static const char bytes[] = "GET /?q=1 HTTP/1.1\r\nHost: h\r\nX-One:  1 \r\nx-one: 2\r\nEmpty:\r\n\r\n";
    struct request_parser *p;
    unsigned heads = 0;

    (void)state;
    assert_int_equal(request_parser_create(&p, BODY_CAP), 0);
    assert_int_equal(feed(p, bytes, strlen(bytes), 1, &heads), 0);
    struct request *r = request_parser_take(p);
    assert_string_equal(request_field(r, "x-ONE"), "1");
    assert_string_equal(request_field(r, "empty"), "");
    assert_null(request_field(r, "absent"));
    assert_int_equal(r->n_params, 1);
    assert_string_equal(r->params[0].name, "q");
    request_destroy(&r);
    request_parser_destroy(&p);
}

/* prefix, then `unit` so often that the request has `total` bytes, then suffix. */
static int feed_long(const char *prefix, const char *unit, size_t total, const char *suffix)
{
    struct request_parser *p;
    struct text t = {0};
    unsigned heads = 0;

    text_push(&t, prefix, strlen(prefix));
    while (t.len < total)
        text_push(&t, unit, strlen(unit));
    text_push(&t, suffix, strlen(suffix));
    assert_int_equal(request_parser_create(&p, BODY_CAP), 0);
    int err = feed(p, t.p, t.len, 1000, &heads);
    request_parser_destroy(&p);
    text_fini(&t);
    return err;
}

static void heads_and_targets_are_bounded(void **state)
{
    static const char end[] = " HTTP/1.1\r\n" HOST "\r\n", head[] = "GET / HTTP/1.1\r\n" HOST;

    (void)state;
    assert_int_equal(feed_long("GET /", "a", 8000, end), 0);
    assert_int_equal(feed_long("GET /", "a", 8300, end), REQUEST_ERR_TARGET_LONG);
    assert_int_equal(feed_long("GET / HTTP/1.1\r\n" HOST "X: ", "a", 16000, "\r\n\r\n"), 0);
    assert_int_equal(feed_long("GET / HTTP/1.1\r\n" HOST "X: ", "a", 17000, "\r\n\r\n"),
                     REQUEST_ERR_HEAD_LARGE);
    assert_int_equal(feed_long(head, "A: b\r\n", 25 + 6 * 98, "\r\n"), 0);
    assert_int_equal(feed_long(head, "A: b\r\n", 25 + 6 * 101, "\r\n"), REQUEST_ERR_HEAD_LARGE);
    assert_int_equal(feed_long("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n",
                               "T: trailer\r\n", 30000, "\r\n"),
                     REQUEST_ERR_HEAD_LARGE);
    assert_int_equal(feed_long("", "\r\n", 100000, ""), REQUEST_ERR_HEAD_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_parses_as_written_whole_and_byte_by_byte),
        cmocka_unit_test(fields_are_found_by_any_case_and_the_first_counts),
        cmocka_unit_test(heads_and_targets_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
