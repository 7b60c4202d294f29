/* SPDX-License-Identifier: Apache-2.0
 * test_layer_meter.c - the rates of a track's layers, and the rungs between which a viewer can choose; see
 * webrtc/layer_meter.h. */
#include "webrtc/layer_meter.h"

#include "webrtc/rtp_cut.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define SECOND UINT64_C(1000000)

enum { ALL = RTP_LEVEL_ALL, KEYFRAMES = RTP_LEVEL_KEYFRAMES };

static const struct rung_limits ANY = {.row = ALL, .temporal = ALL};
static const uint32_t PIXELS[METER_ROWS] = {320 * 180, 640 * 360, 1280 * 720};

static void push(struct layer_meter *m, uint8_t layer, uint8_t spatial, uint8_t temporal, uint16_t bytes, uint64_t now_us)
{
    struct packet p = {.layer = layer, .spatial = spatial, .temporal = temporal, .payload_len = bytes};

    layer_meter_push(m, &p, now_us);
}

/* A second of L3T2: S0 40 + 20, S1 100 + 50, S2 400 + 200 kbit/s. */
static void second_of_l3t2(struct layer_meter *m, unsigned rows, uint64_t now_us)
{
    static const uint16_t bytes[3][2] = {{500, 250}, {1250, 625}, {5000, 2500}};

    for (unsigned i = 0; i < 10; i++)
        for (uint8_t row = 0; row < rows; row++)
            for (uint8_t t = 0; t < 2; t++)
                push(m, 0, row, t, bytes[row][t], now_us + i * SECOND / 10);
    layer_meter_poll(m, now_us + SECOND);
}

struct row {
    uint8_t row;
    int temporal;
    uint64_t bps;
};

static void check_rungs(const struct layer_meter *m, struct rung_limits limits, uint64_t now_us, const struct row *rows, size_t n)
{
    struct rung rungs[RUNGS_MAX];
    struct layer_option options[RUNGS_MAX];

    assert_int_equal(layer_rungs(m, PIXELS, limits, now_us, rungs, options), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rungs[i].row, rows[i].row);
        assert_int_equal(rungs[i].temporal, rows[i].temporal);
        assert_int_equal(options[i].bps, rows[i].bps);
        assert_int_equal(options[i].pixels, rows[i].temporal == KEYFRAMES ? 0 : PIXELS[rows[i].row]);
        assert_false(options[i].silent);
        assert_int_equal(layer_rung_find(rungs, n, rungs[i]), i);
    }
}

static void a_spatial_layer_takes_those_below_it(void **state)
{
    static const struct row all[] = {{0, 0, 40000}, {0, ALL, 60000}, {1, 0, 140000}, {1, ALL, 210000}, {2, 0, 540000}, {2, ALL, 810000}};
    static const struct row keys[] = {{0, KEYFRAMES, 1}, {0, 0, 40000}, {0, ALL, 60000}};
    static const struct row slow[] = {{0, 0, 40000}, {1, 0, 140000}, {2, 0, 540000}};
    struct layer_meter m;

    (void)state;
    layer_meter_init(&m, 1, SECOND);
    second_of_l3t2(&m, 3, SECOND);
    check_rungs(&m, ANY, 2 * SECOND, all, LEN(all));
    check_rungs(&m, (struct rung_limits){.row = 0, .temporal = ALL, .keyframes = true}, 2 * SECOND, keys, LEN(keys));
    check_rungs(&m, (struct rung_limits){.row = ALL, .temporal = 0}, 2 * SECOND, slow, LEN(slow));
}

static void a_spatial_layer_that_stops_is_no_rung_until_it_comes_back(void **state)
{
    static const struct row two[] = {{0, 0, 40000}, {0, ALL, 60000}, {1, 0, 140000}, {1, ALL, 210000}};
    struct layer_meter m;
    struct rung rungs[RUNGS_MAX];
    struct layer_option options[RUNGS_MAX];

    (void)state;
    layer_meter_init(&m, 1, SECOND);
    second_of_l3t2(&m, 3, SECOND);
    second_of_l3t2(&m, 2, 2 * SECOND);
    layer_meter_poll(&m, 3 * SECOND);
    check_rungs(&m, ANY, 3 * SECOND, two, LEN(two));
    size_t n = layer_rungs(&m, PIXELS, ANY, 3 * SECOND, rungs, options);
    assert_int_equal(layer_rung_find(rungs, n, (struct rung){2, ALL}), n - 1);
    assert_int_equal(layer_rung_find(rungs, n, (struct rung){ALL, 0}), n - 2);
    second_of_l3t2(&m, 3, 3 * SECOND);
    assert_int_equal(layer_rungs(&m, PIXELS, ANY, 4 * SECOND, rungs, options), 6);
}

static void a_simulcast_layer_stands_for_itself_and_may_be_silent(void **state)
{
    struct layer_meter m;
    struct rung rungs[RUNGS_MAX];
    struct layer_option options[RUNGS_MAX];

    (void)state;
    layer_meter_init(&m, 3, SECOND);
    m.wanted_us[0] = m.wanted_us[2] = SECOND;
    for (unsigned i = 0; i < 10; i++) {
        push(&m, 0, 0, i % 2, 1000, SECOND + i * SECOND / 10);
        push(&m, 1, 0, 0, 1000, SECOND + i * SECOND / 10); /* somebody else's want */
    }
    layer_meter_poll(&m, 2 * SECOND);
    assert_int_equal(layer_rungs(&m, PIXELS, ANY, 2 * SECOND, rungs, options), 4);
    assert_int_equal(options[0].bps, 40000);
    assert_int_equal(options[1].bps, 80000);
    assert_int_equal(rungs[2].row, 1);
    assert_int_equal(options[2].bps, 0); /* not wanted all the time: nobody knows */
    assert_false(options[2].silent);
    assert_int_equal(rungs[3].row, 2);
    assert_true(options[3].silent);
    assert_false(options[1].silent);
}

static void one_layer_is_one_rung_and_its_past_tells_its_rate(void **state)
{
    static const struct row one[] = {{0, ALL, 160000}};
    struct layer_meter m;

    (void)state;
    layer_meter_init(&m, 0, SECOND);
    for (unsigned i = 0; i < 10; i++)
        push(&m, 0, 0, 0, 1000, SECOND);
    layer_meter_settle(&m, SECOND / 2, SECOND);
    check_rungs(&m, ANY, SECOND, one, LEN(one));
    push(&m, 0, 200, 0, 1000, SECOND); /* ids that no codec has */
    push(&m, 0, 0, 255, 1000, SECOND);
    layer_meter_settle(&m, SECOND, 2 * SECOND);
    assert_int_equal(layer_meter_temporal(&m, 0), METER_TEMPORALS - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_spatial_layer_takes_those_below_it),
        cmocka_unit_test(a_spatial_layer_that_stops_is_no_rung_until_it_comes_back),
        cmocka_unit_test(a_simulcast_layer_stands_for_itself_and_may_be_silent),
        cmocka_unit_test(one_layer_is_one_rung_and_its_past_tells_its_rate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
