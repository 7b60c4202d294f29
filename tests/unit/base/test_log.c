/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* stderr goes into a pipe while lines are written. */
struct capture {
    int fds[2], saved;
    char text[8192];
};

static void capture_begin(struct capture *c)
{
    assert_int_equal(pipe(c->fds), 0);
    c->saved = dup(STDERR_FILENO);
    dup2(c->fds[1], STDERR_FILENO);
}

static void capture_end(struct capture *c)
{
    dup2(c->saved, STDERR_FILENO);
    close(c->saved);
    close(c->fds[1]);
    ssize_t n = read(c->fds[0], c->text, sizeof(c->text) - 1);
    c->text[n > 0 ? n : 0] = '\0';
    close(c->fds[0]);
}

static size_t lines_in(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void a_line_says_when_how_bad_who_where_and_what(void **state)
{
    struct capture c;

    (void)state;
    capture_begin(&c);
    log_set_thread("worker 1");
    log_warn("rtmp", "bad chunk peer=%s", "10.0.0.7:1");
    log_set_thread(NULL);
    log_info("node", "ready");
    capture_end(&c);
    assert_int_equal(c.text[10], 'T');
    assert_int_equal(c.text[23], 'Z');
    assert_non_null(strstr(c.text, "Z WARN  worker 1 rtmp: bad chunk peer=10.0.0.7:1\n"));
    assert_non_null(strstr(c.text, "Z INFO  node: ready\n"));
}

static void lines_below_the_level_are_not_written(void **state)
{
    struct capture c;

    (void)state;
    capture_begin(&c);
    log_set_level(LOG_ERROR);
    log_warn("x", "no");
    log_error("x", "yes");
    log_set_level(LOG_INFO);
    log_debug("x", "no");
    capture_end(&c);
    assert_int_equal(lines_in(c.text), 1);
    assert_non_null(strstr(c.text, "ERROR x: yes\n"));
    assert_false(log_wanted(LOG_DEBUG));
    assert_true(log_wanted(LOG_INFO));
}

static void bytes_from_outside_cannot_forge_a_line(void **state)
{
    struct capture c;
    char very_long[3000];

    (void)state;
    memset(very_long, 'a', sizeof(very_long));
    very_long[sizeof(very_long) - 1] = '\0';
    capture_begin(&c);
    log_info("x", "name=%s", "a\nERROR forged\x1b[2J");
    log_info("x", "%s", very_long);
    capture_end(&c);
    assert_int_equal(lines_in(c.text), 2);
    assert_non_null(strstr(c.text, "name=a?ERROR forged?[2J\n"));
    assert_true(strlen(c.text) < 1200);
}

static void what_outsiders_can_provoke_is_one_line_a_second(void **state)
{
    struct log_limit limit = {0};
    struct capture c;
    uint64_t suppressed = 7;

    (void)state;
    assert_true(log_limit_pass(&limit, &suppressed));
    assert_int_equal(suppressed, 0);
    for (int i = 0; i < 5; i++)
        assert_false(log_limit_pass(&limit, &suppressed));
    limit.next_us = 0; /* a second later */
    assert_true(log_limit_pass(&limit, &suppressed));
    assert_int_equal(suppressed, 5);
    capture_begin(&c);
    for (int i = 0; i < 100; i++)
        LOG_LIMITED("x", "try %d", i);
    capture_end(&c);
    assert_int_equal(lines_in(c.text), 1);
    assert_non_null(strstr(c.text, "x: try 0 (held back 0)\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_when_how_bad_who_where_and_what),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(bytes_from_outside_cannot_forge_a_line),
        cmocka_unit_test(what_outsiders_can_provoke_is_one_line_a_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
