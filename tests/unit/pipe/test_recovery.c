/* SPDX-License-Identifier: Apache-2.0
 * test_recovery.c - what is missing, when it is asked for, and when no more; on a virtual clock. */
#include "../wire/exact.h"

#include "base/compiler.h"
#include "pipe/recovery.h"

enum { GIVE_UP_US = 500000, RTT_US = 40000, T0 = 1000000 };

struct rig {
    struct recovery r;
    struct pipe_counters c;
    struct recovery_ask asks[RECOVERY_GAPS_MAX];
};

static struct rig *rig_create(void)
{
    struct rig *g = calloc(1, sizeof(*g));

    assert_non_null(g);
    recovery_init(&g->r, GIVE_UP_US, &g->c);
    return g;
}

static size_t poll(struct rig *g, uint64_t now_us)
{
    return recovery_poll(&g->r, now_us, RTT_US, g->asks, RECOVERY_GAPS_MAX);
}

static void nothing_is_missing_of_a_row(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    for (uint64_t seq = 100; seq < 200; seq++)
        assert_int_equal(recovery_push(&g->r, seq, T0 + seq), RECOVERY_NEW);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX);
    assert_true(recovery_complete(&g->r, 200));
    assert_false(recovery_complete(&g->r, 201));
    free(g);
}

static void a_gap_is_asked_for_after_the_reorder_window(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 100, T0);
    recovery_push(&g->r, 104, T0);
    uint64_t due_us = recovery_deadline_us(&g->r);
    assert_in_range(due_us, T0 + RECOVERY_REORDER_MIN_US, T0 + RECOVERY_REORDER_MAX_US);
    assert_int_equal(poll(g, due_us - 1), 0);
    assert_int_equal(poll(g, due_us), 1);
    assert_int_equal(g->asks[0].first, 101);
    assert_int_equal(g->asks[0].count, 3);
    assert_int_equal(poll(g, due_us + RTT_US / 4), 0);
    assert_int_equal(poll(g, due_us + RTT_US / 2), 1); /* in pairs: one of the two may be lost */
    assert_int_equal(poll(g, due_us + RTT_US * 3 / 2), 0); /* the answer may still be under way */
    assert_int_equal(poll(g, due_us + RTT_US * 2), 1);
    assert_int_equal(poll(g, due_us + RTT_US * 5 / 2), 1);
    assert_int_equal(poll(g, due_us + RTT_US * 7 / 2), 0);
    assert_int_equal(g->c.lost, 3);
    assert_int_equal(g->c.requested, 12);
    free(g);
}

static void what_came_out_of_order_is_not_lost(void **state)
{
    struct rig *g = rig_create();
    static const uint64_t order[] = {103, 101, 100, 102, 104};

    (void)state;
    recovery_start(&g->r, 100, T0);
    for (size_t i = 0; i < LEN(order); i++)
        recovery_push(&g->r, order[i], T0 + i * 100);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX);
    assert_int_equal(g->c.lost + g->c.recovered, 0);
    free(g);
}

static void the_window_widens_to_what_comes_late_by_itself(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 0, T0);
    for (uint64_t i = 0; i < 40; i++) {
        recovery_push(&g->r, i * 2 + 1, T0 + i * 100000);
        (void)!poll(g, T0 + i * 100000 + 7000);
        recovery_push(&g->r, i * 2, T0 + i * 100000 + 8000); /* 8 ms late, each second one */
    }
    assert_in_range(g->r.reorder_us, 8000, 12000);
    assert_true(g->c.lost <= 2); /* only before it had learnt */
    free(g);
}

static void what_came_before_a_late_start_is_not_asked_for(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_push(&g->r, 108, T0);
    recovery_start(&g->r, 100, T0);
    for (uint64_t seq = 100; seq < 112; seq += seq == 102 || seq == 108 ? 2 : 1) /* 103 and 109 are missing */
        recovery_have(&g->r, seq, T0);
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 2);
    assert_int_equal(g->asks[0].first, 103);
    assert_int_equal(g->asks[0].count, 1);
    assert_int_equal(g->asks[1].first, 109);
    assert_int_equal(g->asks[1].count, 1);
    assert_int_equal(recovery_push(&g->r, 112, T0), RECOVERY_NEW);
    assert_int_equal(g->c.late, 0);
    free(g);
}

static void part_of_a_gap_leaves_the_rest_to_ask_for(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 110, T0);
    assert_int_equal(recovery_push(&g->r, 104, T0 + 1), RECOVERY_RECOVERED);
    assert_int_equal(recovery_push(&g->r, 100, T0 + 1), RECOVERY_RECOVERED);
    assert_int_equal(recovery_push(&g->r, 109, T0 + 1), RECOVERY_RECOVERED);
    assert_int_equal(recovery_push(&g->r, 110, T0 + 1), RECOVERY_LATE); /* not missing */
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 2);
    assert_int_equal(g->asks[0].first, 101);
    assert_int_equal(g->asks[0].count, 3);
    assert_int_equal(g->asks[1].first, 105);
    assert_int_equal(g->asks[1].count, 4);
    for (uint64_t seq = 101; seq < 109; seq++)
        recovery_push(&g->r, seq, T0 + 100000);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX);
    assert_int_equal(g->c.recovered, 7);
    free(g);
}

static void a_gap_is_given_up_at_its_deadline(void **state)
{
    struct rig *g = rig_create();
    unsigned asked = 0;

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 101, T0);
    while (recovery_deadline_us(&g->r) != UINT64_MAX) {
        uint64_t now_us = recovery_deadline_us(&g->r);
        assert_true(now_us <= T0 + GIVE_UP_US);
        asked += (unsigned)poll(g, now_us);
    }
    assert_in_range(asked, 5, 12);
    assert_int_equal(g->c.given_up, 1);
    assert_int_equal(g->c.lost, 1);
    assert_int_equal(recovery_push(&g->r, 100, T0 + GIVE_UP_US + 1), RECOVERY_LATE);
    assert_int_equal(g->c.late, 1);
    assert_int_equal(g->c.recovered, 0);
    free(g);
}

static void what_the_parent_has_not_got_is_asked_for_more_and_more_seldom(void **state)
{
    struct rig *g = rig_create();
    size_t asked = 0;

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 100, T0);
    recovery_push(&g->r, 104, T0);
    uint64_t now_us = recovery_deadline_us(&g->r);
    for (; recovery_deadline_us(&g->r) != UINT64_MAX; now_us = recovery_deadline_us(&g->r)) {
        size_t n = poll(g, now_us);
        asked += n;
        assert_in_range(now_us, T0, T0 + GIVE_UP_US);
        for (size_t i = 0; i < n; i++)
            recovery_gone(&g->r, g->asks[i].first, g->asks[i].first + g->asks[i].count, now_us);
    }
    assert_int_equal(asked, 4); /* at 5, 55, 155 and 355 ms */
    assert_int_equal(g->c.requested, 4 * 3);
    assert_int_equal(g->c.lost, 3);
    assert_int_equal(g->c.given_up, 3);
    assert_int_equal(g->c.gone, 3);
    free(g);
}

static void both_answers_to_a_pair_of_requests_count_as_one(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 101, T0);
    recovery_gone(&g->r, 100, 101, T0 + 1); /* nobody has asked */
    uint64_t due_us = recovery_deadline_us(&g->r);
    assert_in_range(due_us, T0 + RECOVERY_REORDER_MIN_US, T0 + RECOVERY_REORDER_MAX_US);
    assert_int_equal(poll(g, due_us), 1);
    assert_int_equal(poll(g, due_us + RTT_US / 2), 1);
    recovery_gone(&g->r, 100, 101, due_us + RTT_US);
    recovery_gone(&g->r, 100, 101, due_us + RTT_US * 5 / 4);
    assert_int_equal(recovery_deadline_us(&g->r), due_us + RTT_US + RECOVERY_GONE_US);
    assert_int_equal(recovery_push(&g->r, 100, due_us + RTT_US * 2), RECOVERY_RECOVERED); /* the parent got it after all */
    assert_int_equal(g->c.recovered, 1);
    assert_int_equal(g->c.gone + g->c.given_up, 0);
    free(g);
}

static void a_part_that_is_gone_leaves_the_rest_to_ask_for(void **state)
{
    static const struct {
        uint64_t first, end; /* gone, of [101, 110) */
        size_t rest;         /* ranges that are still asked for */
        uint64_t ask[2][2];
    } rows[] = {
        {101, 104, 1, {{104, 110}}},
        {107, 110, 1, {{101, 107}}},
        {104, 106, 2, {{101, 104}, {106, 110}}},
        {90, 200, 0, {{0, 0}}},
        {90, 101, 1, {{101, 110}}},
        {110, 200, 1, {{101, 110}}},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct rig *g = rig_create();
        recovery_start(&g->r, 100, T0);
        recovery_push(&g->r, 100, T0);
        recovery_push(&g->r, 110, T0);
        uint64_t due_us = recovery_deadline_us(&g->r);
        assert_int_equal(poll(g, due_us), 1);
        recovery_gone(&g->r, rows[i].first, rows[i].end, due_us + 1000);
        assert_int_equal(poll(g, due_us + RTT_US + RTT_US / 8), rows[i].rest);
        for (size_t k = 0; k < rows[i].rest; k++) {
            assert_int_equal(g->asks[k].first, rows[i].ask[k][0]);
            assert_int_equal(g->asks[k].first + g->asks[k].count, rows[i].ask[k][1]);
        }
        free(g);
    }
}

static void a_start_told_later_than_the_first_packets_reveals_what_is_missing_before_them(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_push(&g->r, 105, T0);
    recovery_push(&g->r, 107, T0);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX); /* perhaps it began at 105 */
    recovery_start(&g->r, 102, T0);
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 2);
    assert_int_equal(g->asks[0].first, 102);
    assert_int_equal(g->asks[0].count, 3);
    assert_int_equal(g->asks[1].first, 106);
    free(g);
}

static void what_lies_before_the_start_is_not_missing(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_push(&g->r, 100, T0);
    recovery_push(&g->r, 110, T0);
    recovery_start(&g->r, 108, T0);
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 1);
    assert_int_equal(g->asks[0].first, 108);
    assert_int_equal(g->asks[0].count, 2);
    free(g);
}

static void a_stopped_layer_misses_nothing_until_it_starts_again(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 105, T0);
    recovery_stop(&g->r);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX);
    recovery_push(&g->r, 106, T0 + 1); /* was under way */
    recovery_push(&g->r, 5000, T0 + 2);
    recovery_start(&g->r, 5000, T0 + 3);
    assert_int_equal(poll(g, T0 + 100000), 0);
    recovery_push(&g->r, 5002, T0 + 4);
    assert_int_equal(poll(g, T0 + 100000), 1);
    assert_int_equal(g->asks[0].first, 5001);
    free(g);
}

static void a_lost_tail_is_missing_once_its_end_is_known(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, 100, T0);
    recovery_expect(&g->r, 101, T0);
    assert_int_equal(recovery_deadline_us(&g->r), UINT64_MAX);
    recovery_expect(&g->r, 104, T0);
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 1);
    assert_int_equal(g->asks[0].first, 101);
    assert_int_equal(g->asks[0].count, 3);
    assert_false(recovery_complete(&g->r, 104));
    for (uint64_t seq = 101; seq < 104; seq++)
        recovery_push(&g->r, seq, T0 + 60000);
    assert_true(recovery_complete(&g->r, 104));
    free(g);
}

static void of_an_endless_gap_the_newest_part_is_asked_for(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 100, T0);
    recovery_push(&g->r, (uint64_t)1 << 50, T0);
    assert_int_equal(poll(g, T0 + RECOVERY_REORDER_MAX_US), 1);
    assert_int_equal(g->asks[0].first, ((uint64_t)1 << 50) - RECOVERY_SPAN_MAX);
    assert_int_equal(g->asks[0].count, RECOVERY_SPAN_MAX);
    assert_int_equal(g->c.given_up, ((uint64_t)1 << 50) - 100 - RECOVERY_SPAN_MAX);
    free(g);
}

static void more_gaps_than_places_give_up_the_oldest(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 0, T0);
    for (uint64_t i = 0; i < RECOVERY_GAPS_MAX + 10; i++)
        recovery_push(&g->r, i * 2 + 1, T0);
    assert_int_equal(g->r.n, RECOVERY_GAPS_MAX);
    assert_int_equal(g->c.given_up, 10);
    assert_int_equal(g->r.gaps[0].first, 20);
    free(g);
}

static void a_short_answer_buffer_leaves_the_rest_due(void **state)
{
    struct rig *g = rig_create();

    (void)state;
    recovery_start(&g->r, 0, T0);
    for (uint64_t i = 0; i < 10; i++)
        recovery_push(&g->r, i * 2 + 1, T0);
    assert_int_equal(recovery_poll(&g->r, T0 + 60000, RTT_US, g->asks, 4), 4);
    assert_true(recovery_deadline_us(&g->r) <= T0 + 60000);
    assert_int_equal(recovery_poll(&g->r, T0 + 60000, RTT_US, g->asks, 100), 6);
    assert_int_equal(g->asks[0].first, 8);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_missing_of_a_row),
        cmocka_unit_test(a_gap_is_asked_for_after_the_reorder_window),
        cmocka_unit_test(what_came_out_of_order_is_not_lost),
        cmocka_unit_test(the_window_widens_to_what_comes_late_by_itself),
        cmocka_unit_test(what_came_before_a_late_start_is_not_asked_for),
        cmocka_unit_test(part_of_a_gap_leaves_the_rest_to_ask_for),
        cmocka_unit_test(a_gap_is_given_up_at_its_deadline),
        cmocka_unit_test(what_the_parent_has_not_got_is_asked_for_more_and_more_seldom),
        cmocka_unit_test(both_answers_to_a_pair_of_requests_count_as_one),
        cmocka_unit_test(a_part_that_is_gone_leaves_the_rest_to_ask_for),
        cmocka_unit_test(a_start_told_later_than_the_first_packets_reveals_what_is_missing_before_them),
        cmocka_unit_test(what_lies_before_the_start_is_not_missing),
        cmocka_unit_test(a_stopped_layer_misses_nothing_until_it_starts_again),
        cmocka_unit_test(a_lost_tail_is_missing_once_its_end_is_known),
        cmocka_unit_test(of_an_endless_gap_the_newest_part_is_asked_for),
        cmocka_unit_test(more_gaps_than_places_give_up_the_oldest),
        cmocka_unit_test(a_short_answer_buffer_leaves_the_rest_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
