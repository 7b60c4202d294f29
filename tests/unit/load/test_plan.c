/* SPDX-License-Identifier: Apache-2.0
 * test_plan.c - numbers, URLs, scenarios, and when who comes and goes. */
#include "load/plan.h"
#include "load/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void numbers_have_decimal_multiples(void **state)
{
    static const struct {
        const char *text;
        int result;
        double value;
    } rows[] = {{"0", 0, 0},     {"12", 0, 12},   {"2.5M", 0, 2.5e6}, {"800k", 0, 8e5}, {"1K", 0, 1e3},
                {"", -1, 0},     {"k", -1, 0},    {"-1", -1, 0},      {"5x", -1, 0},    {"5Mb", -1, 0},
                {"nan", -1, 0},  {"inf", -1, 0},  {"1e400", -1, 0}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        double v = 0;
        assert_int_equal(plan_number(rows[i].text, &v), rows[i].result);
        assert_true(v == rows[i].value);
    }
}

static void synthetic_media_are_height_rate_and_bitrate(void **state)
{
    static const struct {
        const char *text;
        int result;
        unsigned width, height, fps;
        double bps;
    } rows[] = {{"720p30@2.5M", 0, 1280, 720, 30, 2.5e6}, {"1080p60@8M", 0, 1920, 1080, 60, 8e6},
                {"180p15@100k", 0, 320, 180, 15, 1e5},    {"720p30", -1, 0, 0, 0, 0},
                {"720p30@", -1, 0, 0, 0, 0},              {"721p30@2M", -1, 0, 0, 0, 0},
                {"720p0@2M", -1, 0, 0, 0, 0},             {"720p30@1", -1, 0, 0, 0, 0},
                {"9999p30@2M", -1, 0, 0, 0, 0},           {"picture", -1, 0, 0, 0, 0}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct plan_synthetic s = {0};
        assert_int_equal(plan_synthetic(rows[i].text, &s), rows[i].result);
        assert_int_equal(s.width, rows[i].width);
        assert_int_equal(s.height, rows[i].height);
        assert_int_equal(s.fps, rows[i].fps);
        assert_true(s.bps == rows[i].bps);
    }
}

static void urls_have_scheme_host_port_and_path(void **state)
{
    static const struct {
        const char *text;
        int result;
        const char *scheme, *host;
        unsigned port;
        const char *path;
    } rows[] = {
        {"http://127.0.0.1:8082/whep/live/test", 0, "http", "127.0.0.1", 8082, "/whep/live/test"},
        {"http://edge.example/a?b=c#d", 0, "http", "edge.example", 80, "/a?b=c"},
        {"HTTPS://edge.example", 0, "https", "edge.example", 443, "/"},
        {"rtmp://[::1]:1936/live/key", 0, "rtmp", "::1", 1936, "/live/key"},
        {"rtmps://host/live/key", 0, "rtmps", "host", 443, "/live/key"},
        {"rtmp://host:/live/key", 0, "rtmp", "host", 1935, "/live/key"},
        {"http://host?x", 0, "http", "host", 80, "/?x"},
        {"ftp://host/", -1, "", "", 0, ""},
        {"http://", -1, "", "", 0, ""},
        {"http://:80/", -1, "", "", 0, ""},
        {"http://host:0/", -1, "", "", 0, ""},
        {"http://host:70000/", -1, "", "", 0, ""},
        {"http://host:8a/", -1, "", "", 0, ""},
        {"http://[::1/", -1, "", "", 0, ""},
        {"http://me:secret@host/", -1, "", "", 0, ""},
        {"", -1, "", "", 0, ""},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct url u = {0};
        assert_int_equal(url_parse(&u, rows[i].text), rows[i].result);
        assert_string_equal(u.scheme, rows[i].scheme);
        assert_string_equal(u.host, rows[i].host);
        assert_int_equal(u.port, rows[i].port);
        assert_string_equal(u.path, rows[i].path);
    }
}

static void a_location_is_seen_from_where_it_was_told(void **state)
{
    static const struct {
        const char *location;
        int result;
        const char *authority, *path;
    } rows[] = {
        {"/whep/session/x", 0, "[::1]:8082", "/whep/session/x"},
        {"/a?b=c#d", 0, "[::1]:8082", "/a?b=c"},
        {"http://other:81/y", 0, "other:81", "/y"},
        {"https://other/y?z", 0, "other:443", "/y?z"},
        {"//other/y", 0, "other:80", "/y"},
        {"y", 0, "[::1]:8082", "/whep/live/y"},
        {"session/7?t=http://a/", 0, "[::1]:8082", "/whep/live/session/7?t=http://a/"},
        {"./y", 0, "[::1]:8082", "/whep/live/y"},
        {"../y/.", 0, "[::1]:8082", "/whep/y/"},
        {"../../../../y/..", 0, "[::1]:8082", "/"},
        {"/a/./b/../c", 0, "[::1]:8082", "/a/c"},
        {"?q=2", 0, "[::1]:8082", "/whep/live/test?q=2"},
        {"", -1, "", ""},
        {"mailto:me", -1, "", ""},
        {"//", -1, "", ""},
    };
    struct url base;

    (void)state;
    assert_int_equal(url_parse(&base, "http://[::1]:8082/whep/live/test?old=/1/2"), 0);
    for (size_t i = 0; i < LEN(rows); i++) {
        char authority[URL_HOST_MAX + 10] = "";
        struct url u = {0};
        assert_int_equal(url_resolve(&u, &base, rows[i].location), rows[i].result);
        if (rows[i].result == 0)
            url_authority(&u, authority);
        assert_string_equal(authority, rows[i].authority);
        assert_string_equal(u.path, rows[i].path);
    }
}

static void n_in_a_url_becomes_a_number(void **state)
{
    char out[32], small[8];

    (void)state;
    url_number(out, sizeof(out), "live/s{n}-{n}.flv", 12);
    assert_string_equal(out, "live/s12-12.flv");
    url_number(small, sizeof(small), "live/s{n}", 123456);
    assert_string_equal(small, "live/s1");
}

/* ---- Scenarios ---------------------------------------------------------------------------------------------- */

static int read_text(struct plan *p, const char *text, char err[PLAN_ERROR_CAP])
{
    size_t len = strlen(text);
    char *exact = malloc(len ? len : 1);

    memcpy(exact, text, len);
    plan_init(p);
    int result = plan_read(p, "s.yaml", exact, len, err);
    free(exact);
    return result;
}

static void a_scenario_becomes_groups(void **state)
{
    struct plan p;
    char err[PLAN_ERROR_CAP] = "";

    (void)state;
    assert_int_equal(read_text(&p,
                               "duration: 20\n"
                               "publish:\n"
                               "  - rtmp: rtmp://127.0.0.1/live/s{n}\n"
                               "    synthetic: 720p30@2.5M\n"
                               "    count: 4\n"
                               "    stamp_every: 11\n"
                               "watch:\n"
                               "  - whep: http://127.0.0.1:8082/whep/live/s{n}\n"
                               "    viewers: 400\n"
                               "    streams: 4\n"
                               "    ramp: 100\n"
                               "    start: 2\n"
                               "    hold: 60\n"
                               "    churn: 5\n"
                               "    surge: { at: 20, viewers: 200, ramp: 1000, hold: 10 }\n"
                               "  - flv: http://127.0.0.1:8082/live/s0.flv\n",
                               err), 0);
    assert_int_equal(p.n_groups, 4);
    assert_true(p.duration_s == 20);
    assert_int_equal(p.groups[0].kind, PLAN_RTMP);
    assert_int_equal(p.groups[0].count, 4);
    assert_int_equal(p.groups[0].stamp_every, 11);
    assert_int_equal(p.groups[1].stamp_every, PLAN_STAMP_EVERY);
    assert_string_equal(p.groups[0].synthetic, "720p30@2.5M");
    assert_int_equal(p.groups[1].kind, PLAN_WHEP);
    assert_int_equal(p.groups[1].count, 400);
    assert_int_equal(p.groups[1].streams, 4);
    assert_true(p.groups[1].ramp == 100 && p.groups[1].start_s == 2 && p.groups[1].hold_s == 60 && p.groups[1].churn == 5);
    assert_int_equal(p.groups[2].kind, PLAN_WHEP); /* the surge */
    assert_string_equal(p.groups[2].url, p.groups[1].url);
    assert_int_equal(p.groups[2].count, 200);
    assert_int_equal(p.groups[2].streams, 4);
    assert_true(p.groups[2].ramp == 1000 && p.groups[2].start_s == 20 && p.groups[2].hold_s == 10);
    assert_true(p.groups[2].churn == 0);
    assert_int_equal(p.groups[3].kind, PLAN_FLV);
    assert_int_equal(p.groups[3].count, 1);
    assert_true(p.groups[3].hold_s < 0);
    assert_int_equal(plan_check(&p, err), 0);
}

static void publishers_come_and_go_and_surges_may_be_many(void **state)
{
    struct plan p;
    char err[PLAN_ERROR_CAP] = "";

    (void)state;
    assert_int_equal(read_text(&p,
                               "publish:\n"
                               "  - whip: https://h/whip/live/s{n}\n"
                               "    file: clip.mp4\n"
                               "    count: 11\n"
                               "    start: 1\n"
                               "    ramp: 5\n"
                               "    hold: 4\n"
                               "  - rtmp: rtmps://h/live/a\n"
                               "    synthetic: 180p15@200k\n"
                               "watch:\n"
                               "  - flv: https://h/live/a.flv\n"
                               "    hold: 20\n"
                               "    surge:\n"
                               "      - { at: 5, viewers: 10, hold: 1 }\n"
                               "      - { at: 15, viewers: 20, hold: 1 }\n",
                               err), 0);
    assert_int_equal(plan_check(&p, err), 0);
    assert_int_equal(p.n_groups, 5);
    assert_true(plan_group_ramped_s(&p.groups[0]) == 3);
    assert_true(plan_group_end_s(&p, &p.groups[0]) == 7);
    assert_true(plan_group_end_s(&p, &p.groups[1]) == 20);
    assert_int_equal(p.groups[3].count, 10);
    assert_true(p.groups[3].start_s == 5);
    assert_int_equal(p.groups[4].count, 20);
    assert_true(p.groups[4].start_s == 15 && p.groups[4].kind == PLAN_FLV);
}

static void mistakes_in_a_scenario_are_told_with_their_line(void **state)
{
    static const struct {
        const char *text, *err;
    } rows[] = {
        {"", "s.yaml:1: publish, watch and duration were expected"},
        {"view: 3\n", "s.yaml:1: unknown key (publish, watch, duration): view"},
        {"duration: long\n", "s.yaml:1: a number was expected: long"},
        {"watch: 3\n", "s.yaml:1: a list was expected"},
        {"watch:\n  - whep: http://h/\n    vievers: 3\n", "s.yaml:3: unknown key of a watch group: vievers"},
        {"watch:\n  - viewers: 3\n", "s.yaml:2: a group needs whep or flv"},
        {"watch:\n  - whep: http://h/\n    viewers: 0\n", "s.yaml:3: a whole number from 1 to 1000000 was expected"},
        {"watch:\n  - whep: http://h/\n    viewers: 1.5\n", "s.yaml:3: a whole number from 1 to 1000000 was expected"},
        {"watch:\n  - whep: http://h/\n    surge: { in: 3 }\n", "s.yaml:3: unknown key of a surge (at, viewers, ramp, hold): in"},
        {"publish:\n  - rtmp: rtmp://h/a/b\n    viewers: 3\n", "s.yaml:3: unknown key of a publish group: viewers"},
        {"publish:\n  - file: x\n", "s.yaml:2: a group needs rtmp or whip"},
        {"publish:\n  - rtmp: rtmp://h/a/b\n    whip: http://h/\n", "s.yaml:3: a group is of one kind, this is a second: whip"},
        {"watch:\n  - whep: http://h/\n    flv: http://h/\n", "s.yaml:3: a group is of one kind, this is a second: flv"},
        {"watch:\n  - whep: http://h/\n    ramp: 1\n    ramp: 2\n", "s.yaml:4: given twice: ramp"},
        {"duration: 1\nwatch: []\nduration: 2\n", "s.yaml:3: given twice: duration"},
        {"watch:\n  - whep: http://h/\n    surge: [ { at: 3 }, { at: soon } ]\n", "s.yaml:3: a number was expected: soon"},
        {"watch:\n  - whep: http://h/\n    surge: 5\n", "s.yaml:3: keys and values were expected"},
        {"watch:\n  - whep\n", "s.yaml:2: keys and values were expected"},
        {"watch:\n  - whep: [a]\n", "s.yaml:2: a text was expected, and not so long"},
        {"watch:\n  - whep: http://h/\n    hold: -3\n", "s.yaml:3: a number was expected: -3"},
        {"watch: [", "s.yaml:2: did not find expected node content"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct plan p;
        char err[PLAN_ERROR_CAP] = "";
        assert_int_equal(read_text(&p, rows[i].text, err), -1);
        assert_string_equal(err, rows[i].err);
    }
}

static void a_plan_that_cannot_be_is_refused(void **state)
{
    static const struct {
        const char *text, *err;
    } rows[] = {
        {"duration: 3\n", "nothing to do: no viewers, no publishers"},
        {"watch:\n  - whep: rtmp://h/a\n", "rtmp://h/a: not a URL of http"},
        {"publish:\n  - rtmp: http://h/a\n    file: x\n", "http://h/a: not a URL of rtmp"},
        {"publish:\n  - rtmp: rtmp://h/a/b\n", "rtmp://h/a/b: a file or synthetic media to publish, one of both"},
        {"publish:\n  - whip: http://h/a\n    synthetic: big\n", "big: synthetic media are given as 720p30@2.5M"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct plan p;
        char err[PLAN_ERROR_CAP] = "";
        assert_int_equal(read_text(&p, rows[i].text, err), 0);
        assert_int_equal(plan_check(&p, err), -1);
        assert_string_equal(err, rows[i].err);
    }
}

static void viewers_come_when_servers_know_the_streams(void **state)
{
    static const struct {
        double publish_s[2]; /* the starts of two groups of publishers, the second of 11 at 10 a second; -1: not said, -2: none */
        double watch_s, starts_s;
    } rows[] = {{{-2, -2}, -1, 0}, {{-2, -2}, 3, 3}, {{-1, -2}, -1, 2}, {{-1, -2}, 0, 0}, {{1.5, -2}, -1, 3.5}, {{1.5, -1}, -1, 3.5}, {{1.5, 1}, -1, 4}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct plan *p = calloc(1, sizeof(*p));

        plan_init(p);
        struct plan_group *watch = plan_group_push(p, PLAN_FLV, "http://h/x.flv");
        watch->start_s = rows[i].watch_s;
        for (size_t k = 0; k < LEN(rows[i].publish_s) && rows[i].publish_s[k] > -2; k++) {
            struct plan_group *g = plan_group_push(p, PLAN_RTMP, "rtmp://h/a/x");
            g->start_s = rows[i].publish_s[k];
            g->count = k ? 11 : 1;
            g->ramp = 10;
        }
        plan_finish(p);
        assert_true(watch->start_s == rows[i].starts_s);
        for (size_t k = 1; k < p->n_groups; k++)
            assert_true(p->groups[k].start_s == (rows[i].publish_s[k - 1] < 0 ? 0 : rows[i].publish_s[k - 1]));
        free(p);
    }
}

static void groups_end_their_hold_after_the_last_has_been_started(void **state)
{
    struct plan p;
    struct plan_group *first, *second, *publisher;

    (void)state;
    plan_init(&p);
    p.duration_s = 10;
    first = plan_group_push(&p, PLAN_WHEP, "http://h/");
    first->count = 101;
    first->ramp = 50;
    first->start_s = 1;
    second = plan_group_push(&p, PLAN_FLV, "http://h/");
    second->start_s = 2;
    second->hold_s = 3;
    publisher = plan_group_push(&p, PLAN_RTMP, "rtmp://h/a/b");
    assert_true(plan_group_ramped_s(first) == 3);
    assert_true(plan_ramped_s(&p) == 3);
    assert_true(plan_group_end_s(&p, first) == 13); /* the duration counts from the last ramp of all */
    assert_true(plan_group_end_s(&p, second) == 5);
    assert_true(plan_group_end_s(&p, publisher) == 13);
    assert_true(plan_end_s(&p) == 13);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_decimal_multiples),
        cmocka_unit_test(synthetic_media_are_height_rate_and_bitrate),
        cmocka_unit_test(urls_have_scheme_host_port_and_path),
        cmocka_unit_test(a_location_is_seen_from_where_it_was_told),
        cmocka_unit_test(n_in_a_url_becomes_a_number),
        cmocka_unit_test(a_scenario_becomes_groups),
        cmocka_unit_test(publishers_come_and_go_and_surges_may_be_many),
        cmocka_unit_test(mistakes_in_a_scenario_are_told_with_their_line),
        cmocka_unit_test(a_plan_that_cannot_be_is_refused),
        cmocka_unit_test(viewers_come_when_servers_know_the_streams),
        cmocka_unit_test(groups_end_their_hold_after_the_last_has_been_started),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
