/* SPDX-License-Identifier: Apache-2.0
 * Stream names and what a set of tracks says about itself. */
#include "media/track.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void names_are_two_or_more_plain_segments(void **state)
{
    static const struct {
        const char *name;
        bool valid;
    } rows[] = {
        {"live/test", true},       {"a/b/c", true},      {"A-1/_x.y", true}, {"", false},
        {"live", false},           {"/live/test", false}, {"live/", false},   {"live//test", false},
        {"live/.hidden", false},   {"../etc", false},     {"live/te st", false}, {"live/t\xc3\xa9", false},
        {"live/test\n", false},    {"live/a%2f", false},
    };
    char longest[STREAM_NAME_MAX + 2];

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("'%s'\n", rows[i].name);
        assert_int_equal(stream_name_valid(rows[i].name), rows[i].valid);
    }
    memset(longest, 'a', sizeof(longest));
    longest[1] = '/';
    longest[STREAM_NAME_MAX] = '\0';
    assert_true(stream_name_valid(longest));
    longest[STREAM_NAME_MAX] = 'a';
    longest[STREAM_NAME_MAX + 1] = '\0';
    assert_false(stream_name_valid(longest));
}

static void native_leaves_derived_tracks_out(void **state)
{
    struct track_set s = {.n = 3,
                          .v = {{.codec = CODEC_VP8, .n_layers = 3},
                                {.codec = CODEC_OPUS, .n_layers = 1},
                                {.codec = CODEC_AAC, .n_layers = 1, .derived = true, .source = 1}}};

    (void)state;
    assert_int_equal(track_set_native(&s), want_bit(0, 0) | want_bit(0, 1) | want_bit(0, 2) | want_bit(1, 0));
    assert_int_equal(track_set_find(&s, CODEC_AAC), 2);
    assert_int_equal(track_set_find(&s, CODEC_H264), -1);
    assert_int_equal(track_set_video(&s), 0);
    s.v[0].codec = CODEC_AAC;
    assert_int_equal(track_set_video(&s), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_two_or_more_plain_segments),
        cmocka_unit_test(native_leaves_derived_tracks_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
