/* SPDX-License-Identifier: Apache-2.0
 *
 * The governor on a virtual clock: a model of a worker that fans out a frame every 33 ms to viewers who cost what they cost, with as
 * much of a processor as it is given. */
#include "base/compiler.h"
#include "io/governor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { FRAME_US = 33333, FRAMES_A_GOP = 60 };

struct model {
    struct governor g;
    uint64_t now_us, idle_us, aside_us, next_frame_us;
    uint64_t handshakes_us; /* that each turn spends beside */
    unsigned frame;
    unsigned viewers;
    double us_a_frame;  /* to send a frame to a viewer, with a whole processor */
    double share;       /* of a processor that it gets */
    bool layered;       /* every second frame is one that nothing refers to */
    uint64_t longest_us; /* turn since it was reset */
    uint64_t sent, due;  /* frames to viewers */
};

static void model_init(struct model *m, unsigned viewers, double us_a_frame)
{
    *m = (struct model){.now_us = 1000000, .viewers = viewers, .us_a_frame = us_a_frame, .share = 1};
    m->next_frame_us = m->now_us;
    governor_init(&m->g, m->now_us);
}

static bool is_sent(const struct model *m, unsigned viewer)
{
    switch (governor_thinning(&m->g, viewer * GOVERNOR_RANKS / m->viewers)) {
    case GOVERNOR_KEYFRAMES:
        return m->frame % FRAMES_A_GOP == 0;
    case GOVERNOR_TEMPORAL:
        return !m->layered || m->frame % 2 == 0;
    default:
        return true;
    }
}

/* One turn: all frames that are due; then the wait for the next. */
static void turn(struct model *m)
{
    double work_us = 50;

    if (m->now_us < m->next_frame_us) {
        m->idle_us += m->next_frame_us - m->now_us;
        m->now_us = m->next_frame_us;
    }
    for (uint64_t now_us = m->now_us; m->next_frame_us <= now_us; m->next_frame_us += FRAME_US, m->frame++)
        for (unsigned i = 0; i < m->viewers; i++) {
            m->due++;
            m->sent += is_sent(m, i);
            work_us += is_sent(m, i) ? m->us_a_frame : 0;
        }
    uint64_t turn_us = (uint64_t)(work_us / m->share);
    m->now_us += turn_us + m->handshakes_us;
    m->aside_us += m->handshakes_us;
    m->longest_us = turn_us > m->longest_us ? turn_us : m->longest_us;
    governor_on_turn(&m->g, m->now_us, m->idle_us, m->aside_us);
}

static void run(struct model *m, double seconds)
{
    uint64_t until_us = m->now_us + (uint64_t)(seconds * 1e6);

    while (m->now_us < until_us)
        turn(m);
}

static double sent_share(struct model *m, double seconds)
{
    m->sent = m->due = 0;
    m->longest_us = 0;
    run(m, seconds);
    return (double)m->sent / (double)m->due;
}

static void who_is_not_overloaded_thins_nobody(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 1000, 28); /* 84% busy */
    assert_true(sent_share(&m, 20) >= 1);
    assert_int_equal(m.g.pressure, 0);
    assert_int_equal(governor_level(&m.g), 0);
    assert_in_range(m.g.busy_permille, 800, 880);
    assert_in_range(governor_load_permille(&m.g), 820, 860);
    assert_int_equal(m.g.overloaded_us, 0);
}

static void who_is_busy_but_not_late_thins_nobody(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 1000, 32.5); /* 98% */
    assert_true(sent_share(&m, 20) >= 1);
    assert_int_equal(m.g.pressure, 0);
}

static void a_crowd_that_comes_at_once_makes_no_turn_late(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 500, 30); /* 15 ms a picture; with the handshakes two of them at once */
    m.handshakes_us = 30000;
    run(&m, 2);
    assert_true(m.g.busy_permille >= GOVERNOR_BUSY_PERMILLE);
    assert_int_equal(m.g.pressure, 0);
}

static void nobody_is_refused_for_an_overload_that_passes(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 1000, 90);
    run(&m, 5); /* full pressure takes two seconds at the least */
    assert_true(m.g.pressure >= GOVERNOR_REFUSE_FROM);
    assert_int_equal(governor_level(&m.g), 2);
    run(&m, 8);
    assert_int_equal(governor_level(&m.g), 3);
    m.share = 5;
    run(&m, 8);
    assert_true(governor_level(&m.g) < 3);
}

static void a_single_stall_is_forgiven(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 100, 20);
    run(&m, 1);
    m.now_us += 700000; /* in the middle of a turn */
    governor_on_turn(&m.g, m.now_us, m.idle_us, m.aside_us);
    assert_int_equal(m.g.pressure, 0);
    run(&m, 5);
    assert_int_equal(m.g.pressure, 0);
}

static void overload_thins_viewers_one_by_one_until_turns_are_short(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 1000, 50); /* half as much again as there is time for */
    run(&m, 6);
    assert_in_range(m.g.pressure, GOVERNOR_RANKS + 1, GOVERNOR_PRESSURE_MAX);
    double share = sent_share(&m, 20);
    assert_true(share > 0.4 && share < 0.75);    /* what there is time for: no less by much */
    assert_true(m.longest_us < 500000);
    assert_true(m.g.overloaded_us > 0);
    /* some are whole all the while, some see keyframes only */
    assert_int_equal(governor_thinning(&m.g, 0), GOVERNOR_KEYFRAMES);
    assert_int_not_equal(governor_thinning(&m.g, GOVERNOR_RANKS - 1), GOVERNOR_KEYFRAMES);
}

static void frames_that_nothing_refers_to_go_first(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 1000, 40); /* 20% too much: half of the frames are more than that */
    m.layered = true;
    run(&m, 10);
    assert_in_range(m.g.pressure, 1, GOVERNOR_RANKS);
    assert_int_equal(governor_level(&m.g), 1);
    assert_true(sent_share(&m, 20) > 0.6);
    assert_in_range(m.g.pressure, 1, GOVERNOR_RANKS);
}

static void a_worker_that_is_kept_from_running_thins_and_recovers(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 500, 30); /* 45% */
    run(&m, 3);
    assert_int_equal(m.g.pressure, 0);
    m.share = 0.25; /* others take the processor */
    run(&m, 10);
    assert_true(m.g.pressure > GOVERNOR_RANKS);
    m.share = 1;
    run(&m, 15);
    assert_int_equal(m.g.pressure, 0);
    assert_true(sent_share(&m, 3) >= 1);
}

static void levels_follow_pressure(void **state)
{
    static const struct {
        uint32_t pressure;
        uint64_t crowded_us, unread_us;
        unsigned level;
        enum governor_thin lowest, middle, highest; /* of ranks */
    } rows[] = {
        {0, 0, 0, 0, GOVERNOR_WHOLE, GOVERNOR_WHOLE, GOVERNOR_WHOLE},
        {0, 0, GOVERNOR_UNREAD_US - 1, 0, GOVERNOR_WHOLE, GOVERNOR_WHOLE, GOVERNOR_WHOLE},
        {0, 0, GOVERNOR_UNREAD_US, 3, GOVERNOR_WHOLE, GOVERNOR_WHOLE, GOVERNOR_WHOLE}, /* those who play lack nothing */
        {1, 0, 0, 1, GOVERNOR_TEMPORAL, GOVERNOR_WHOLE, GOVERNOR_WHOLE},
        {500, 0, 0, 1, GOVERNOR_TEMPORAL, GOVERNOR_WHOLE, GOVERNOR_WHOLE},
        {501, 0, 0, 1, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL, GOVERNOR_WHOLE},
        {1000, 0, 0, 1, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL},
        {1001, 0, 0, 2, GOVERNOR_KEYFRAMES, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL},
        {1499, 0, 0, 2, GOVERNOR_KEYFRAMES, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL},
        {1500, GOVERNOR_REFUSE_US, 0, 3, GOVERNOR_KEYFRAMES, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL},
        {1500, GOVERNOR_REFUSE_US - 1, 0, 2, GOVERNOR_KEYFRAMES, GOVERNOR_TEMPORAL, GOVERNOR_TEMPORAL}, /* it may pass */
        {1501, GOVERNOR_REFUSE_US, 0, 3, GOVERNOR_KEYFRAMES, GOVERNOR_KEYFRAMES, GOVERNOR_TEMPORAL},
        {2000, GOVERNOR_REFUSE_US, 0, 3, GOVERNOR_KEYFRAMES, GOVERNOR_KEYFRAMES, GOVERNOR_KEYFRAMES},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct governor g = {.pressure = rows[i].pressure, .crowded_us = rows[i].crowded_us, .unread_us = rows[i].unread_us};
        assert_int_equal(governor_level(&g), rows[i].level);
        assert_int_equal(governor_thinning(&g, 0), rows[i].lowest);
        assert_int_equal(governor_thinning(&g, 500), rows[i].middle);
        assert_int_equal(governor_thinning(&g, 999), rows[i].highest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_not_overloaded_thins_nobody),
        cmocka_unit_test(who_is_busy_but_not_late_thins_nobody),
        cmocka_unit_test(a_crowd_that_comes_at_once_makes_no_turn_late),
        cmocka_unit_test(nobody_is_refused_for_an_overload_that_passes),
        cmocka_unit_test(a_single_stall_is_forgiven),
        cmocka_unit_test(overload_thins_viewers_one_by_one_until_turns_are_short),
        cmocka_unit_test(frames_that_nothing_refers_to_go_first),
        cmocka_unit_test(a_worker_that_is_kept_from_running_thins_and_recovers),
        cmocka_unit_test(levels_follow_pressure),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
