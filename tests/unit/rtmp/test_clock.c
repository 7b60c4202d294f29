/* SPDX-License-Identifier: Apache-2.0
 * test_clock.c - RTMP milliseconds into media time and capture time; AAC frames counted against them. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "origin/rtmp_clock.h"

#define NOW_US 1700000000000000u
#define BASE RTMP_MEDIA_BASE_MS

struct step {
    uint32_t wire_ms;
    uint64_t arrival_ms; /* after NOW_US */
    uint64_t media_ms;   /* expected, after BASE; modulo 2^64 */
};

struct row {
    const char *name;
    uint64_t jumps, reanchors;
    size_t n;
    struct step steps[4];
};

static const struct row rows[] = {
    {"starts at the base whatever the first timestamp is", 0, 0, 1, {{123456, 0, 0}}},
    {"runs with the timestamps", 0, 0, 3, {{40, 0, 0}, {80, 41, 40}, {120, 79, 80}}},
    {"audio a little behind video", 0, 0, 3, {{1000, 0, 0}, {800, 1, (uint64_t)-200}, {1040, 40, 40}}},
    {"wraps at 32 bits", 0, 0, 3, {{0xfffffff0, 0, 0}, {4, 20, 20}, {0xfffffffc, 21, 12}}},
    {"a pause is kept", 0, 0, 2, {{0, 0, 0}, {9000, 9000, 9000}}},
    {"a new start goes on by the time that passed", 1, 0, 3, {{500000, 0, 0}, {0, 50, 50}, {40, 90, 90}}},
    {"a leap ahead does too", 1, 0, 3, {{0, 0, 0}, {7000000, 30, 30}, {7000040, 70, 70}}},
    {"a jump at the same moment moves on by one", 1, 0, 2, {{500000, 0, 0}, {0, 0, 1}}},
    {"sent faster than it plays: tied to arrival anew", 0, 1, 3, {{0, 0, 0}, {5000, 10, 5000}, {5100, 20, 5100}}},
    {"a stalled uplink that catches up is let be", 0, 0, 2, {{0, 0, 0}, {40, 9900, 40}}},
    {"too far behind: tied to arrival anew", 0, 1, 2, {{0, 0, 0}, {40, 10100, 40}}},
};

static void each_row_maps_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct rtmp_clock c = {0};
        for (size_t s = 0; s < rows[i].n; s++) {
            const struct step *step = &rows[i].steps[s];
            uint64_t media_ms = rtmp_clock_push(&c, step->wire_ms, NOW_US + step->arrival_ms * 1000);
            if (media_ms != BASE + step->media_ms)
                print_message("row: %s, step %zu\n", rows[i].name, s);
            assert_int_equal(media_ms, BASE + step->media_ms);
        }
        assert_int_equal(c.jumps, rows[i].jumps);
        assert_int_equal(c.reanchors, rows[i].reanchors);
    }
}

/* Within a tick: a timestamp cannot say it any better. */
static void assert_close(uint64_t us, uint64_t want_us, uint32_t clock_hz)
{
    assert_true(us <= want_us && us + 1000000 / clock_hz + 1 >= want_us);
}

static void capture_time_is_linear_and_the_same_for_all_clocks(void **state)
{
    static const uint32_t clocks[] = {90000, 48000, 44100, 16000};
    struct rtmp_clock c = {0};

    (void)state;
    rtmp_clock_push(&c, 1000, NOW_US);
    rtmp_clock_push(&c, 3000, NOW_US + 2100000); /* a little late: the map stays */
    for (size_t i = 0; i < LEN(clocks); i++) {
        assert_true(rtmp_ticks_of_ms(BASE, clocks[i]) >= (uint64_t)1 << 32);
        for (uint64_t ms = 0; ms < 5000; ms += 250) {
            assert_close(rtmp_clock_capture_us(&c, rtmp_ticks_of_ms(BASE + ms, clocks[i]), clocks[i]), NOW_US + ms * 1000,
                         clocks[i]);
        }
        assert_close(rtmp_clock_capture_us(&c, rtmp_ticks_of_ms(BASE - 200, clocks[i]), clocks[i]), NOW_US - 200000,
                     clocks[i]);
    }
}

/* Frames of 1024 samples whose times were rounded down to whole milliseconds. */
static void rounded_milliseconds_leave_the_sample_count_exact(void **state)
{
    static const uint32_t rates[] = {48000, 44100, 32000, 22050};

    (void)state;
    for (size_t r = 0; r < LEN(rates); r++) {
        struct audio_clock a = {.clock_hz = rates[r]};
        uint64_t first = audio_clock_push(&a, BASE, 1024);
        assert_int_equal(first, rtmp_ticks_of_ms(BASE, rates[r]));
        for (uint64_t n = 1; n < 20000; n++) /* 7 minutes and more */
            assert_int_equal(audio_clock_push(&a, BASE + n * 1024 * 1000 / rates[r], 1024), first + n * 1024);
        assert_int_equal(a.resyncs, 0);
    }
}

static void a_slow_sound_card_is_followed_without_jumps(void **state)
{
    struct audio_clock a = {.clock_hz = 48000};
    uint64_t last = audio_clock_push(&a, BASE, 1024), n;

    (void)state;
    for (n = 1; n < 100000; n++) { /* half an hour, 300 ppm slow */
        uint64_t ts = audio_clock_push(&a, BASE + n * 1024 * 10003 / 10000 / 48, 1024);
        assert_true(ts - last >= 1020 && ts - last <= 1030);
        last = ts;
    }
    uint64_t told = rtmp_ticks_of_ms(BASE + (n - 1) * 1024 * 10003 / 10000 / 48, 48000);
    assert_true(told - last < 48 * 5 || last - told < 48 * 5);
    assert_int_equal(a.resyncs, 0);
}

static void beyond_the_bound_the_milliseconds_win(void **state)
{
    struct audio_clock a = {.clock_hz = 48000};

    (void)state;
    audio_clock_push(&a, BASE, 1024);
    assert_int_equal(audio_clock_push(&a, BASE + 21 + 500, 1024), rtmp_ticks_of_ms(BASE + 521, 48000));
    assert_int_equal(a.resyncs, 1);
    assert_int_equal(audio_clock_push(&a, BASE + 200, 1024), rtmp_ticks_of_ms(BASE + 200, 48000));
    assert_int_equal(a.resyncs, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_maps_as_written),
        cmocka_unit_test(capture_time_is_linear_and_the_same_for_all_clocks),
        cmocka_unit_test(rounded_milliseconds_leave_the_sample_count_exact),
        cmocka_unit_test(a_slow_sound_card_is_followed_without_jumps),
        cmocka_unit_test(beyond_the_bound_the_milliseconds_win),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
