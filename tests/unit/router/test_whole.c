/* SPDX-License-Identifier: Apache-2.0
 * When the end of a picture is waited for, and for how long. */
#include "router/whole.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct packet *the_packet(uint64_t ts_ticks, bool ends, uint8_t layer)
{
    static struct packet p;

    p.ts_ticks = ts_ticks;
    p.flags = ends ? PACKET_MARKER : 0;
    p.layer = layer;
    return &p;
}

static void a_picture_is_waited_for_once_up_to_its_end_or_the_limit(void **state)
{
    static const struct {
        const char *name;
        uint64_t ts_ticks, now_us;
        bool ends;
        uint8_t layer;
        bool waits;
    } rows[] = {
        {"whole", 3000, 1000000, true, 0, false},
        {"the first part of one", 6000, 1033000, false, 0, true},
        {"more of it", 6000, 1033400, false, 0, true},
        {"its end", 6000, 1033500, true, 0, false},
        {"a repair of it", 6000, 1034000, false, 0, false},
        {"a repair of the one before", 3000, 1034000, false, 0, false},
        {"the first part of the next", 9000, 1066000, false, 0, true},
        {"a repair of the one before meanwhile", 6000, 1066100, false, 0, false},
        {"the limit has passed", 9000, 1067000, false, 0, false},
        {"more of it", 9000, 1067100, false, 0, false},
        {"its end, much later", 9000, 1080000, true, 0, false},
        {"another layer, with a clock of its own", 1000, 1081000, false, 1, true},
        {"its end", 1000, 1081100, true, 1, false},
    };
    struct whole w = {.limit_us = 1000};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        assert_int_equal(whole_waits(&w, the_packet(rows[i].ts_ticks, rows[i].ends, rows[i].layer), rows[i].now_us), rows[i].waits);
    }
}

static void without_a_limit_nothing_waits(void **state)
{
    struct whole w = {0};

    (void)state;
    assert_false(whole_waits(&w, the_packet(3000, false, 0), 1000000));
    assert_false(whole_waits(&w, the_packet(6000, true, 0), 1033000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_picture_is_waited_for_once_up_to_its_end_or_the_limit),
        cmocka_unit_test(without_a_limit_nothing_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
