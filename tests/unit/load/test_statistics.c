/* SPDX-License-Identifier: Apache-2.0
 * test_statistics.c - histograms and tallies. */
#include "load/histogram.h"
#include "load/tally.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void assert_near(double value, double expected)
{
    if (fabs(value - expected) > expected * 0.016 + 0.5)
        fail_msg("%f is not within 1.6%% of %f", value, expected);
}

static int by_value(const void *a, const void *b)
{
    uint64_t x, y;

    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return (x > y) - (x < y);
}

static void an_empty_histogram_has_no_percentiles(void **state)
{
    struct histogram h = {0};

    (void)state;
    assert_true(histogram_percentile(&h, 50) == 0);
    assert_true(histogram_mean(&h) == 0);
}

static void small_values_are_exact(void **state)
{
    struct histogram h = {0};

    (void)state;
    for (uint64_t v = 1; v <= 100; v++)
        histogram_push(&h, v);
    assert_true(histogram_percentile(&h, 0) == 1);
    assert_true(histogram_percentile(&h, 1) == 1);
    assert_true(histogram_percentile(&h, 50) == 50);
    assert_true(histogram_percentile(&h, 95) == 95);
    assert_true(histogram_percentile(&h, 99) == 99);
    assert_true(histogram_percentile(&h, 100) == 100);
    assert_true(histogram_mean(&h) == 50.5);
    assert_int_equal(h.max, 100);
}

/* Against sorting all values, over nine powers of ten. */
static void percentiles_are_within_1_6_percent_of_sorted_values(void **state)
{
    enum { N = 20000 };
    static uint64_t values[N];
    struct histogram h = {0};
    uint64_t seed = 7;

    (void)state;
    for (size_t i = 0; i < N; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        values[i] = (uint64_t)pow(10, (double)(seed >> 40) / (1 << 24) * 9);
        histogram_push(&h, values[i]);
    }
    qsort(values, N, sizeof(values[0]), by_value);
    static const double percents[] = {1, 10, 25, 50, 75, 90, 95, 99, 99.9};
    for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
        size_t rank = (size_t)ceil(percents[i] / 100 * N);
        assert_near(histogram_percentile(&h, percents[i]), (double)values[rank - 1]);
    }
    assert_true(histogram_percentile(&h, 100) <= (double)h.max);
}

static void a_value_beyond_the_range_counts_as_the_greatest(void **state)
{
    struct histogram h = {0};

    (void)state;
    histogram_push(&h, UINT64_MAX);
    assert_int_equal(h.count, 1);
    assert_int_equal(h.max, UINT64_MAX);
    assert_near(histogram_percentile(&h, 50), (double)(UINT64_C(1) << HISTOGRAM_BITS));
}

static void adding_is_as_if_all_had_been_pushed_into_one_and_subtracting_undoes_it(void **state)
{
    struct histogram a = {0}, b = {0}, both = {0}, sum;

    (void)state;
    for (uint64_t v = 0; v < 5000; v += 7) {
        histogram_push(v % 2 ? &a : &b, v * v);
        histogram_push(&both, v * v);
    }
    sum = a;
    histogram_add(&sum, &b);
    assert_memory_equal(&sum, &both, sizeof(sum));
    histogram_subtract(&sum, &b);
    assert_int_equal(sum.count, a.count);
    assert_int_equal(sum.sum, a.sum);
    assert_memory_equal(sum.buckets, a.buckets, sizeof(sum.buckets));
}

static void tallies_add_counters_histograms_and_causes_by_name(void **state)
{
    struct tally *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));

    (void)state;
    a->asked = 3;
    b->asked = 4;
    b->publish_late = 2;
    histogram_push(&b->delay_us, 1000);
    tally_cause_push(a, "http 404", 1);
    tally_cause_push(b, "ice timeout", 2);
    tally_cause_push(b, "http 404", 5);
    tally_add(a, b);
    assert_int_equal(a->asked, 7);
    assert_int_equal(a->publish_late, 2);
    assert_int_equal(a->delay_us.count, 1);
    assert_string_equal(a->causes[0].name, "http 404");
    assert_int_equal(a->causes[0].count, 6);
    assert_string_equal(a->causes[1].name, "ice timeout");
    assert_int_equal(a->causes[1].count, 2);
    tally_subtract(a, b);
    assert_int_equal(a->asked, 3);
    assert_int_equal(a->delay_us.count, 0);
    free(a);
    free(b);
}

static void causes_beyond_the_list_count_as_other(void **state)
{
    struct tally *t = calloc(1, sizeof(*t));
    char name[16];

    (void)state;
    for (unsigned i = 0; i < TALLY_CAUSES_MAX + 10; i++) {
        snprintf(name, sizeof(name), "cause %u", i);
        tally_cause_push(t, name, 1);
    }
    assert_string_equal(t->causes[TALLY_CAUSES_MAX - 1].name, "other");
    assert_int_equal(t->causes[TALLY_CAUSES_MAX - 1].count, 11);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_has_no_percentiles),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(percentiles_are_within_1_6_percent_of_sorted_values),
        cmocka_unit_test(a_value_beyond_the_range_counts_as_the_greatest),
        cmocka_unit_test(adding_is_as_if_all_had_been_pushed_into_one_and_subtracting_undoes_it),
        cmocka_unit_test(tallies_add_counters_histograms_and_causes_by_name),
        cmocka_unit_test(causes_beyond_the_list_count_as_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
