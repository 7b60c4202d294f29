/* SPDX-License-Identifier: Apache-2.0
 * When sound waits for pictures, and when it does not. */
#include "router/hold.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* Pictures each picture_us, the last one at 1,000,000; two packets of sound of sound_us. */
static struct hold after(uint64_t limit_us, uint64_t picture_us, uint64_t sound_us)
{
    struct hold h = {.limit_us = limit_us};
    struct packet *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    for (uint64_t i = 0; picture_us && i <= 5; i++)
        hold_on_pictures(&h, 1000000 - (5 - i) * picture_us, 0);
    for (uint64_t i = 0; sound_us && i < 2; i++) {
        p->track = 1;
        p->seq = PACKET_SEQ_FIRST + i;
        p->ts_ticks = i * sound_us * 48000 / 1000000;
        hold_on_sound(&h, p, 48000, 990000 + i * 5000);
    }
    free(p);
    return h;
}

static void sound_waits_for_pictures_that_come_while_it_plays(void **state)
{
    static const struct {
        const char *name;
        uint64_t limit_us, picture_us, sound_us, since_us;
        bool waits;
    } rows[] = {
        {"20 ms of sound, the picture in 15", 40000, 33000, 20000, 18000, true},
        {"20 ms of sound, the picture in 25", 40000, 33000, 20000, 8000, false},
        {"40 ms of sound, the picture in 32", 40000, 33000, 40000, 1000, true},
        {"40 ms of sound, but 20 are allowed", 20000, 33000, 40000, 1000, false},
        {"five pictures a second", 40000, 200000, 20000, 50000, false},
        {"the picture is a little late", 40000, 33000, 20000, 45000, true},
        {"the camera has stopped", 40000, 33000, 20000, 60000, false},
        {"never", 0, 33000, 20000, 30000, false},
        {"no picture came yet", 40000, 0, 20000, 1000, false},
        {"nobody knows how long the sound plays", 40000, 33000, 0, 30000, false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct hold h = after(rows[i].limit_us, rows[i].picture_us, rows[i].sound_us);
        print_message("  %s\n", rows[i].name);
        assert_int_equal(hold_wants(&h, 1, 1000000 + rows[i].since_us), rows[i].waits);
    }
}

/* The newest came at 995,000. */
static void of_two_packets_of_sound_one_waits_when_the_next_picture_is_due_while_it_plays(void **state)
{
    static const struct {
        const char *name;
        uint64_t limit_us, picture_us, sound_us, now_us, left_us;
        bool keeps;
    } rows[] = {
        {"40 ms of sound, 5 have passed, the picture in 33", 40000, 33000, 40000, 1000000, 35000, true},
        {"8 have passed", 40000, 33000, 40000, 1003000, 32000, false},
        {"all of it has passed", 40000, 33000, 40000, 1050000, 0, false},
        {"20 ms of sound", 40000, 33000, 20000, 1000000, 15000, false},
        {"20 are allowed", 20000, 33000, 40000, 1000000, 15000, false},
        {"60 pictures a second", 40000, 16667, 20000, 998000, 17000, true},
        {"never", 0, 33000, 40000, 1000000, 0, false},
        {"no picture came yet", 40000, 0, 40000, 1000000, 35000, false},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct hold h = after(rows[i].limit_us, rows[i].picture_us, rows[i].sound_us);
        h.busy.past = true;
        print_message("  %s\n", rows[i].name);
        assert_int_equal(hold_left_us(&h, rows[i].now_us), rows[i].left_us);
        assert_int_equal(hold_keeps(&h, rows[i].now_us), rows[i].keeps);
        h.busy.past = false;
        assert_false(hold_keeps(&h, rows[i].now_us));
    }
}

static void more_than_there_is_room_for_does_not_wait(void **state)
{
    struct hold h = after(40000, 33000, 20000);

    (void)state;
    assert_true(hold_wants(&h, HOLD_PACKETS_MAX, 1030000));
    assert_false(hold_wants(&h, HOLD_PACKETS_MAX + 1, 1030000));
}

static void a_frame_in_pieces_is_one(void **state)
{
    struct hold h = after(40000, 33000, 20000);

    (void)state;
    hold_on_pictures(&h, 1001000, 0);
    assert_int_equal(h.picture_us, 1000000);
    hold_on_pictures(&h, 3000000, 0); /* after a pause */
    assert_int_equal(h.interval_us, 0);
    hold_on_pictures(&h, 3040000, 0);
    assert_int_equal(h.interval_us, 40000);
}

/* On a worker that is so busy for a second. */
static bool waits_when(struct hold *h, uint32_t busy_permille)
{
    uint64_t now_us = h->picture_us;

    for (unsigned i = 0; i < 150; i++)
        hold_on_pictures(h, now_us += 33000, busy_permille);
    return hold_wants(h, 1, now_us + 18000);
}

static void it_waits_on_a_busy_worker_only(void **state)
{
    struct hold h = after(40000, 33000, 20000);

    (void)state;
    h.busy.from_permille = 300;
    assert_false(waits_when(&h, 200));
    assert_true(waits_when(&h, 320));
    assert_true(waits_when(&h, 200)); /* which is what it saves */
    assert_false(waits_when(&h, 100));
    assert_false(waits_when(&h, 200));
}

static void a_moment_of_work_does_not_count(void **state)
{
    struct hold h = after(40000, 33000, 20000);

    (void)state;
    h.busy.from_permille = 300;
    waits_when(&h, 100);
    for (unsigned i = 0; i < 3; i++)
        hold_on_pictures(&h, h.picture_us + 33000, 1000);
    assert_false(hold_wants(&h, 1, h.picture_us + 18000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_waits_for_pictures_that_come_while_it_plays),
        cmocka_unit_test(of_two_packets_of_sound_one_waits_when_the_next_picture_is_due_while_it_plays),
        cmocka_unit_test(more_than_there_is_room_for_does_not_wait),
        cmocka_unit_test(a_frame_in_pieces_is_one),
        cmocka_unit_test(it_waits_on_a_busy_worker_only),
        cmocka_unit_test(a_moment_of_work_does_not_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
