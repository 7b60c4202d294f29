/* SPDX-License-Identifier: Apache-2.0
 * test_layer_choice.c - which simulcast layer a viewer sees; see webrtc/layer_choice.h. */
#include "webrtc/layer_choice.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { N = 3, LOW = 0, MID = 1, TOP = 2 };
#define SECOND UINT64_C(1000000)
#define ANY UINT64_MAX

static const struct layer_option ALL[N] = {{150000, 320 * 180, false}, {500000, 640 * 360, false}, {2500000, 1280 * 720, false}};

struct row {
    const char *name;
    uint64_t at_us, allowed_bps;
    size_t seen; /* the layer from then on */
};

static void check(struct layer_choice *c, const struct layer_option *layers, size_t current, const struct row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        print_message("  %s\n", rows[i].name);
        current = layer_choice_pick(c, layers, N, current, rows[i].allowed_bps, SECOND + rows[i].at_us);
        assert_int_equal(current, rows[i].seen);
    }
}

static void down_at_once_and_up_when_there_has_been_room_for_a_while(void **state)
{
    static const struct row rows[] = {
        {"nobody knows the network: the best", 0, ANY, TOP},
        {"room for the middle", SECOND, 600000, MID},
        {"room for the lowest", SECOND + 1, 200000, LOW},
        {"less than the lowest takes: it is sent all the same", SECOND + 2, 10000, LOW},
        {"room again, but it was lowered a moment ago", 2 * SECOND, 900000, LOW},
        {"for 8 s", 10 * SECOND, 900000, LOW},
        {"10 s after the step down", 11 * SECOND + 2, 900000, MID},
        {"the top would just fit, with nothing to spare", 20 * SECOND, 2600000, MID},
        {"with some", 21 * SECOND, 2900000, MID},
        {"for 2 s, 10 s after the step down", 23 * SECOND + 1, 2900000, TOP},
        {"what it takes and no more is enough to stay", 24 * SECOND, 2500000, TOP},
    };
    struct layer_choice c;

    (void)state;
    layer_choice_init(&c);
    check(&c, ALL, TOP, rows, sizeof(rows) / sizeof(rows[0]));
}

static void room_that_comes_and_goes_is_no_room(void **state)
{
    static const struct row rows[] = {
        {"room", 0, 900000, LOW},
        {"gone", 1900000, 300000, LOW},
        {"back", 2100000, 900000, LOW},
        {"not for 2 s", 4000000, 900000, LOW},
        {"for 2 s", 4100000, 900000, MID},
    };
    struct layer_choice c;

    (void)state;
    layer_choice_init(&c);
    check(&c, ALL, LOW, rows, sizeof(rows) / sizeof(rows[0]));
}

static void a_step_up_that_does_not_last_makes_the_next_one_wait_twice_as_long(void **state)
{
    static const struct row rows[] = {
        {"no room", 0, 200000, LOW},
        {"room", 10 * SECOND, 2900000, TOP},
        {"which there was not: down, in two steps", 11 * SECOND, 600000, MID},
        {"the second", 12 * SECOND, 200000, LOW},
        {"room, 19 s after it", 31 * SECOND, 2900000, LOW},
        {"20 s after it", 32 * SECOND, 2900000, TOP},
        {"nor was there: down", 33 * SECOND, 200000, LOW},
        {"room, 39 s after it", 72 * SECOND, 2900000, LOW},
        {"40 s after it", 73 * SECOND, 2900000, TOP},
        {"nor: down", 74 * SECOND, 200000, LOW},
        {"40 s are the longest: 39", 113 * SECOND, 2900000, LOW},
        {"40", 114 * SECOND, 2900000, TOP},
        {"it lasts, and ends", 120 * SECOND, 200000, LOW},
        {"room, 9 s after it", 129 * SECOND, 2900000, LOW},
        {"10 s again", 130 * SECOND, 2900000, TOP},
    };
    struct layer_choice c;

    (void)state;
    layer_choice_init(&c);
    check(&c, ALL, TOP, rows, 1);
    for (size_t i = 1; i < sizeof(rows) / sizeof(rows[0]); i++) {
        c.room_since_us = rows[i].allowed_bps > ALL[TOP].bps ? 1 : 0; /* for long enough */
        check(&c, ALL, rows[i - 1].seen, &rows[i], 1);
    }
}

static void the_viewers_own_choice_is_followed_at_once_where_there_is_room(void **state)
{
    struct layer_choice c;

    (void)state;
    layer_choice_init(&c);
    layer_choice_limit(&c, LOW);
    assert_int_equal(layer_choice_pick(&c, ALL, N, TOP, ANY, SECOND), LOW);
    layer_choice_limit(&c, MID);
    assert_int_equal(layer_choice_pick(&c, ALL, N, LOW, ANY, SECOND), MID);
    layer_choice_limit(&c, TOP);
    assert_int_equal(layer_choice_pick(&c, ALL, N, MID, 600000, SECOND), MID); /* its network carries no more */
    layer_choice_limit(&c, LAYER_ANY);
    assert_int_equal(layer_choice_pick(&c, ALL, N, MID, ANY, SECOND), MID);
    assert_int_equal(layer_choice_pick(&c, ALL, N, MID, ANY, 3 * SECOND), TOP);
}

static void a_silent_layer_is_replaced_at_once(void **state)
{
    static const struct {
        const char *name;
        bool silent[N];
        size_t current, seen;
    } rows[] = {
        {"the best of those that are sent", {false, false, true}, TOP, MID},
        {"the lowest is left", {false, true, true}, TOP, LOW},
        {"upward too", {true, false, false}, LOW, TOP},
        {"all are: no change helps", {true, true, true}, MID, MID},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct layer_option layers[N] = {ALL[0], ALL[1], ALL[2]};
        struct layer_choice c;

        print_message("  %s\n", rows[i].name);
        layer_choice_init(&c);
        for (size_t k = 0; k < N; k++)
            layers[k].silent = rows[i].silent[k];
        assert_int_equal(layer_choice_pick(&c, layers, N, rows[i].current, ANY, SECOND), rows[i].seen);
    }
}

static void a_rate_that_is_not_measured_is_guessed_by_pixels(void **state)
{
    static const struct layer_option some[N] = {{0, 320 * 180, false}, {500000, 640 * 360, false}, {0, 1280 * 720, false}};
    static const struct layer_option none[N] = {{0, 320 * 180, false}, {0, 640 * 360, false}, {0, 0, false}};

    (void)state;
    assert_int_equal(layer_bps(some, N, 0), 125000);
    assert_int_equal(layer_bps(some, N, 1), 500000);
    assert_int_equal(layer_bps(some, N, 2), 2000000);
    assert_int_equal(layer_bps(none, N, 0), 320 * 180 * 3);
    assert_int_equal(layer_bps(none, N, 2), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(down_at_once_and_up_when_there_has_been_room_for_a_while),
        cmocka_unit_test(room_that_comes_and_goes_is_no_room),
        cmocka_unit_test(a_step_up_that_does_not_last_makes_the_next_one_wait_twice_as_long),
        cmocka_unit_test(the_viewers_own_choice_is_followed_at_once_where_there_is_room),
        cmocka_unit_test(a_silent_layer_is_replaced_at_once),
        cmocka_unit_test(a_rate_that_is_not_measured_is_guessed_by_pixels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
