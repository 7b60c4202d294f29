/* SPDX-License-Identifier: Apache-2.0
 * What lies in Redis, and the words on the events channel. */
#include "directory/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct node_record full = {.id = "edge-1",
                                        .role = NODE_EDGE,
                                        .region = "eu",
                                        .pipe = "10.0.0.1:9200",
                                        .http = "https://edge-1.example.org",
                                        .started_us = 1795358805282123,
                                        .load_permille = 300,
                                        .viewers = 12,
                                        .streams = 3,
                                        .egress_bps = 123456789012,
                                        .capacity_viewers = 5000,
                                        .capacity_bps = 10000000000,
                                        .capacity_permille = 800,
                                        .overloaded = true,
                                        .pipe_workers = 8,
                                        .has_coordinates = true,
                                        .latitude = 50.11,
                                        .longitude = -8.68,
                                        .draining = true};

static void a_record_comes_back_as_it_was_written(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    struct node_record out;
    size_t len = record_write(bytes, sizeof(bytes), &full);

    (void)state;
    assert_true(len > 0);
    memset(&out, 0xff, sizeof(out));
    assert_int_equal(record_parse(&out, bytes, len), 0);
    assert_string_equal(out.id, full.id);
    assert_int_equal(out.role, full.role);
    assert_string_equal(out.region, full.region);
    assert_string_equal(out.pipe, full.pipe);
    assert_string_equal(out.http, full.http);
    assert_int_equal(out.started_us, full.started_us);
    assert_int_equal(out.load_permille, full.load_permille);
    assert_int_equal(out.viewers, full.viewers);
    assert_int_equal(out.streams, full.streams);
    assert_int_equal(out.egress_bps, full.egress_bps);
    assert_true(out.draining);
    assert_int_equal(out.capacity_viewers, full.capacity_viewers);
    assert_int_equal(out.capacity_bps, full.capacity_bps);
    assert_int_equal(out.capacity_permille, full.capacity_permille);
    assert_int_equal(out.overloaded, full.overloaded);
    assert_int_equal(out.pipe_workers, full.pipe_workers);
    assert_true(out.has_coordinates);
    assert_true(out.latitude == full.latitude);
    assert_true(out.longitude == full.longitude);
    assert_int_equal(record_write(bytes, len - 1, &full), 0);
}

static void a_cut_record_is_refused_or_lacks_its_end_but_never_reads_beyond(void **state)
{
    uint8_t bytes[RECORD_BYTES_MAX];
    size_t len = record_write(bytes, sizeof(bytes), &full);

    (void)state;
    for (size_t n = 0; n < len; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        struct node_record out = {.id = "untouched"};
        memcpy(exact, bytes, n);
        if (record_parse(&out, exact, n) != 0)
            assert_string_equal(out.id, "untouched");
        free(exact);
    }
}

static void records_that_are_not_ours_are_refused(void **state)
{
    struct node_record bad = full, out;
    uint8_t bytes[RECORD_BYTES_MAX];

    (void)state;
    bad.role = (enum node_role)9;
    assert_int_equal(record_parse(&out, bytes, record_write(bytes, sizeof(bytes), &bad)), -1);
    bad = full;
    bad.id[0] = '\0';
    assert_int_equal(record_parse(&out, bytes, record_write(bytes, sizeof(bytes), &bad)), -1);
}

static void events_are_read_word_by_word(void **state)
{
    static const struct {
        const char *text;
        int kind; /* 0: refused */
        const char *name, *owner;
        uint64_t epoch;
    } rows[] = {
        {"stream live/a origin-1 1795358805282", EVENT_STREAM, "live/a", "origin-1", 1795358805282},
        {"gone live/a", EVENT_GONE, "live/a", "", 0},
        {"node edge-1", EVENT_NODE, "", "edge-1", 0},
        {"node-gone edge-1", EVENT_NODE_GONE, "", "edge-1", 0},
        {"", 0, "", "", 0},
        {"stream", 0, "", "", 0},
        {"stream live/a", 0, "", "", 0},
        {"stream live/a o", 0, "", "", 0},
        {"stream live/a o 0", 0, "", "", 0},
        {"stream live/a o 12x", 0, "", "", 0},
        {"stream live/a o 12 more", 0, "", "", 0},
        {"stream nota.name o 12", 0, "", "", 0},
        {"gone ../../etc", 0, "", "", 0},
        {"nodes x", 0, "", "", 0},
        {"node 0123456789012345678901234567890123456789012345678901234567890123456789", 0, "", "", 0},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct event e = {0};
        print_message("'%s'\n", rows[i].text);
        char *exact = malloc(strlen(rows[i].text) + 1); /* no byte behind it is looked at: the next event may be there */
        assert_non_null(exact);
        memcpy(exact, rows[i].text, strlen(rows[i].text));
        exact[strlen(rows[i].text)] = 'x';
        int err = event_parse(&e, exact, strlen(rows[i].text));
        free(exact);
        assert_int_equal(err, rows[i].kind ? 0 : -1);
        assert_int_equal(e.kind, rows[i].kind);
        assert_string_equal(e.stream.name, rows[i].name);
        assert_string_equal(rows[i].kind == EVENT_STREAM ? e.stream.owner : e.node, rows[i].owner);
        assert_int_equal(e.stream.epoch, rows[i].epoch);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_comes_back_as_it_was_written),
        cmocka_unit_test(a_cut_record_is_refused_or_lacks_its_end_but_never_reads_beyond),
        cmocka_unit_test(records_that_are_not_ours_are_refused),
        cmocka_unit_test(events_are_read_word_by_word),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
