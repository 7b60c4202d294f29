/* SPDX-License-Identifier: Apache-2.0
 * Figures of several workers become one text. */
#include "node/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct metric viewers = {"millrace_viewers", "Viewers now", METRIC_GAUGE};
static const struct metric bytes = {"millrace_bytes_total", "Bytes", METRIC_COUNTER};

static void samples_are_added_up_by_family_and_labels(void **state)
{
    struct metrics *a, *b;
    size_t len;

    (void)state;
    assert_int_equal(metrics_create(&a), 0);
    assert_int_equal(metrics_create(&b), 0);
    metrics_add(a, &viewers, "kind=\"whep\"", 2);
    metrics_add(a, &bytes, "", 10);
    metrics_add(b, &viewers, "kind=\"flv\"", 1);
    metrics_add(b, &viewers, "kind=\"whep\"", 3);
    metrics_add(b, &bytes, "", 9007199254740993.0);
    metrics_merge(a, b);
    char *text = metrics_print(a, &len);
    assert_non_null(text);
    assert_int_equal(len, strlen(text));
    assert_string_equal(text, "# HELP millrace_viewers Viewers now\n"
                              "# TYPE millrace_viewers gauge\n"
                              "millrace_viewers{kind=\"whep\"} 5\n"
                              "millrace_viewers{kind=\"flv\"} 1\n"
                              "# HELP millrace_bytes_total Bytes\n"
                              "# TYPE millrace_bytes_total counter\n"
                              "millrace_bytes_total 9007199254741002\n");
    free(text);
    metrics_destroy(&a);
    metrics_destroy(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(samples_are_added_up_by_family_and_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
