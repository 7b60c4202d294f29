/* SPDX-License-Identifier: Apache-2.0 */
#include "http/target_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In a block of just its size, so that ASan sees one byte over. */
static char *exact(const char *s)
{
    char *copy = malloc(strlen(s) + 1);

    assert_non_null(copy);
    return strcpy(copy, s);
}

static const struct row {
    const char *name, *target;
    int result;
    const char *path, *query;
} rows[] = {
    {"origin form", "/whip/live/test", 0, "/whip/live/test", ""},
    {"root", "/", 0, "/", ""},
    {"query", "/a?x=1&y=%20", 0, "/a", "x=1&y=%20"},
    {"empty query", "/a?", 0, "/a", ""},
    {"a second question mark belongs to the query", "/a?b?c", 0, "/a", "b?c"},
    {"fragment is no business of ours", "/a?b#c", 0, "/a", "b"},
    {"absolute form", "http://host:80/a/b?q", 0, "/a/b", "q"},
    {"absolute form, HTTPS, any case", "HTTPS://host/", 0, "/", ""},
    {"percent", "/a%20b%C3%a9", 0, "/a b\xc3\xa9", ""},
    {"plus is plus in a path", "/a+b", 0, "/a+b", ""},
    {"an encoded slash is a slash", "/live%2Ftest", 0, "/live/test", ""},
    {"double slashes", "//a///b", 0, "/a/b", ""},
    {"dot segments", "/./a/././b/.", 0, "/a/b/", ""},
    {"only slashes and dots", "/.//./", 0, "/", ""},
    {"trailing slash stays", "/a/", 0, "/a/", ""},
    {"dots within names are names", "/..a/b../.c/...", 0, "/..a/b../.c/...", ""},
    {"parent", "/../etc/passwd", -1, "", ""},
    {"parent within", "/a/../b", -1, "", ""},
    {"parent at the end", "/a/..", -1, "", ""},
    {"parent encoded", "/%2e%2E/etc/passwd", -1, "", ""},
    {"parent with encoded slash", "/a%2f..%2fb", -1, "", ""},
    {"NUL", "/a%00.js", -1, "", ""},
    {"line break", "/a%0d%0ab", -1, "", ""},
    {"delete", "/a%7f", -1, "", ""},
    {"percent at the end", "/a%", -1, "", ""},
    {"percent and one digit", "/a%4", -1, "", ""},
    {"percent and no digits", "/a%zz", -1, "", ""},
    {"asterisk form", "*", -1, "", ""},
    {"authority form", "host:443", -1, "", ""},
    {"absolute form without path", "http://host", -1, "", ""},
    {"empty", "", -1, "", ""},
};

static void each_row_splits_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        char *target = exact(rows[i].target), *query = NULL;
        const char *path = NULL;

        print_message("%s\n", rows[i].name);
        assert_int_equal(target_split(target, &path, &query), rows[i].result);
        if (rows[i].result == 0) {
            assert_string_equal(path, rows[i].path);
            assert_string_equal(query, rows[i].query);
        }
        free(target);
    }
}

static const struct query_row {
    const char *name, *query;
    size_t n;
    struct target_param params[4];
} query_rows[] = {
    {"none", "", 0, {{0}}},
    {"one", "a=1", 1, {{"a", "1"}}},
    {"two", "a=1&b=2", 2, {{"a", "1"}, {"b", "2"}}},
    {"no value", "a&b=", 2, {{"a", ""}, {"b", ""}}},
    {"no name", "=1", 1, {{"", "1"}}},
    {"empty ones", "&&a=1&", 1, {{"a", "1"}}},
    {"encoded", "st%72eam=live%2Ftest+x", 1, {{"stream", "live/test x"}}},
    {"an encoded separator separates nothing", "a=1%26b%3D2", 1, {{"a", "1&b=2"}}},
    {"equals in the value", "a=b=c", 1, {{"a", "b=c"}}},
    {"badly encoded is left out", "a=%4&b=2&%=3", 1, {{"b", "2"}}},
    {"control character is left out", "a=%0a&b=2", 1, {{"b", "2"}}},
    {"beyond the cap", "a=1&b=2&c=3&d=4&e=5", 4, {{"a", "1"}, {"b", "2"}, {"c", "3"}, {"d", "4"}}},
};

static void each_query_gives_its_parameters(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(query_rows); i++) {
        const struct query_row *r = &query_rows[i];
        struct target_param params[4];
        char *query = exact(r->query);

        print_message("%s\n", r->name);
        assert_int_equal(target_params(query, params, LEN(params)), r->n);
        for (size_t j = 0; j < r->n; j++) {
            assert_string_equal(params[j].name, r->params[j].name);
            assert_string_equal(params[j].value, r->params[j].value);
        }
        free(query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_splits_as_written),
        cmocka_unit_test(each_query_gives_its_parameters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
