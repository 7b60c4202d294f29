/* SPDX-License-Identifier: Apache-2.0
 * test_hold.c - pictures that wait for the next one, on a virtual clock. */
#include "edge/flv_hold.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { GOP = 60, PICTURES = 20 * GOP };

/* What a stream and its viewers make of it. */
struct play {
    struct flv_hold hold;
    struct flv_gathered g;
    uint64_t came_us[PICTURES]; /* of those gathered */
    bool waiting;
    uint64_t sends, late, waited_us, longest_us;
};

static void send_all(struct play *p, uint64_t now_us, bool late)
{
    for (unsigned i = 0; i < p->g.pictures; i++) {
        uint64_t us = now_us - p->came_us[i];
        p->waited_us += us;
        p->longest_us = us > p->longest_us ? us : p->longest_us;
    }
    p->sends += p->g.pictures > 0;
    p->late += late;
    p->g.pictures = 0;
    p->waiting = p->g.key = false;
}

static void picture(struct play *p, uint64_t now_us, bool key, uint32_t busy_permille)
{
    if (p->waiting && flv_hold_until_us(&p->hold) <= now_us) { /* its timer */
        uint64_t until_us = flv_hold_until_us(&p->hold);
        flv_hold_sent(&p->hold, true);
        send_all(p, until_us, true);
    }
    if (key) { /* begins a chunk: what is before it leaves */
        send_all(p, now_us, false);
        p->g.key = true;
    }
    p->came_us[p->g.pictures++] = now_us;
    p->waiting = flv_hold_wants(&p->hold, &p->g, busy_permille, now_us);
    assert_false(p->waiting && key);
    if (!p->waiting) {
        flv_hold_sent(&p->hold, false);
        send_all(p, now_us, false);
    }
    for (unsigned i = 0; i < 3 && p->waiting; i++) /* sound comes in between: nothing new */
        assert_true(flv_hold_wants(&p->hold, &p->g, busy_permille, now_us + i * 1000));
}

static void pictures_leave_together_where_they_are_close_enough(void **state)
{
    static const struct {
        uint64_t interval_us, known_us, limit_us;
        uint32_t from_permille;
        uint64_t sends_a_gop, longest_us, mean_us;
    } rows[] = {
        {33333, 33333, 40000, 0, 31, 33333, 16667},  /* a keyframe, 29 pairs, and one that a keyframe comes after */
        {33333, 33333, 40000, 900, GOP, 0, 0},       /* a worker with little to do */
        {33333, 33333, 0, 0, GOP, 0, 0},             /* off */
        {33333, 0, 40000, 0, GOP, 0, 0},             /* nothing known of the stream yet */
        {33333, 33333, 33000, 0, GOP, 0, 0},         /* not in time */
        {40000, 40000, 40000, 0, GOP, 0, 0},         /* 25 a second: the mean would be 20 ms */
        {50000, 50000, 40000, 0, GOP, 0, 0},
        {40000, 40000, 60000, 0, 31, 40000, 20000},  /* unless one asks for it */
        {20000, 20000, 40000, 0, 31, 20000, 10000},
        {16667, 16667, 40000, 0, 21, 33334, 16667},  /* 60 a second: three at a time */
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct play p = {.hold = {.limit_us = rows[i].limit_us, .busy.from_permille = rows[i].from_permille},
                         .g.interval_us = rows[i].known_us};
        for (unsigned n = 0; n < PICTURES; n++)
            picture(&p, 1000000 + n * rows[i].interval_us, n % GOP == 0, 500);
        p.sends += p.waiting;
        assert_int_equal(p.sends, rows[i].sends_a_gop * PICTURES / GOP);
        assert_int_equal(p.longest_us, rows[i].longest_us);
        assert_in_range(p.waited_us / PICTURES, rows[i].mean_us * 9 / 10, rows[i].mean_us);
        assert_int_equal(p.late, 0);
    }
}

static void none_waits_longer_than_the_limit_and_seldom_in_vain(void **state)
{
    struct play p = {.hold.limit_us = 40000, .g.interval_us = 33333};
    uint64_t now_us = 1000000;

    (void)state;
    for (unsigned n = 0; n < 1000; n++, now_us += p.waiting ? 45000 : 25000) /* the next one is late wherever one waits */
        picture(&p, now_us, false, 0);
    assert_int_equal(p.longest_us, 40000);
    assert_in_range(p.late, 9, 11); /* 1, 2, 4, ... 256 pictures between two tries */
    assert_in_range(p.sends, 999, 1000);
    for (unsigned n = 0; n < 600; n++, now_us += 33333) /* they come evenly again */
        picture(&p, now_us, false, 0);
    p.sends = p.late = 0;
    for (unsigned n = 0; n < 100; n++, now_us += 33333)
        picture(&p, now_us, false, 0);
    assert_int_equal(p.sends, 50);
    assert_int_equal(p.late, 0);
}

static void it_goes_on_down_to_half_of_the_load(void **state)
{
    static const struct {
        uint32_t busy_permille;
        bool pairs;
    } rows[] = {{40, false}, {49, false}, {55, true}, {30, true}, {26, true}, {20, false}, {45, false}, {1000, true}, {0, false}};
    struct play p = {.hold = {.limit_us = 40000, .busy.from_permille = 50}, .g.interval_us = 33333};
    uint64_t now_us = 1000000;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        for (unsigned n = 0; n < 300; n++, now_us += 33333) /* until the mean has followed */
            picture(&p, now_us, false, rows[i].busy_permille);
        p.sends = 0;
        for (unsigned n = 0; n < 100; n++, now_us += 33333)
            picture(&p, now_us, false, rows[i].busy_permille);
        assert_int_equal(p.sends, rows[i].pairs ? 50 : 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_leave_together_where_they_are_close_enough),
        cmocka_unit_test(none_waits_longer_than_the_limit_and_seldom_in_vain),
        cmocka_unit_test(it_goes_on_down_to_half_of_the_load),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
