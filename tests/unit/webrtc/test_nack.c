/* SPDX-License-Identifier: Apache-2.0
 * test_nack.c - when a missing number is asked for, again, and given up; see webrtc/nack.h. */
#include "webrtc/nack.h"

#include "base/compiler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What happens to one generator, line by line: packets that come at a time, polls and what they must give. */
enum what { END, COME, TOLD, POLL, DUE, START, FORGET, RTT };

struct step {
    enum what what;
    uint64_t at_ms;
    uint64_t seq;          /* COME, TOLD, START, FORGET; RTT: ms; DUE: the expected time in ms, 0 = never */
    int seen;              /* COME: enum nack_seen */
    size_t n;              /* POLL: how many are asked for ... */
    uint64_t ask[4];       /* ... and which, the first four */
    size_t missing;        /* after the step */
    uint64_t given_up;     /* so far */
};

#define S (1 << 16)
#define CAME(ms, s, res, miss) {COME, ms, (s), res, 0, {0}, miss, 0}

struct script {
    const char *name;
    struct nack_cfg cfg;
    struct step v[40];
};

static const struct script scripts[] = {
    {"in order nothing is missing",
     {0},
     {CAME(0, S, NACK_NEW, 0), CAME(1, S + 1, NACK_NEW, 0), CAME(2, S + 2, NACK_NEW, 0),
      {POLL, 100, 0, 0, 0, {0}, 0, 0}, {DUE, 100, 0, 0, 0, {0}, 0, 0}}},
    {"a gap is asked for after the reorder time, not before",
     {.reorder_us = 5000},
     {CAME(0, S, NACK_NEW, 0), CAME(1, S + 3, NACK_NEW, 2),
      {DUE, 1, 6, 0, 0, {0}, 2, 0},
      {POLL, 5, 0, 0, 0, {0}, 2, 0},
      {POLL, 6, 0, 0, 2, {S + 1, S + 2}, 2, 0}}},
    {"a gap is asked for at once when enough later ones came",
     {.reorder_us = 50000, .reorder_packets = 3},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1), CAME(0, S + 3, NACK_NEW, 1),
      {POLL, 0, 0, 0, 0, {0}, 1, 0}, CAME(0, S + 4, NACK_NEW, 1),
      {POLL, 0, 0, 0, 1, {S + 1}, 1, 0}}},
    {"reordering is not loss",
     {.reorder_us = 5000},
     {CAME(0, S, NACK_NEW, 0), CAME(1, S + 2, NACK_NEW, 1), CAME(3, S + 1, NACK_REORDERED, 0),
      {POLL, 10, 0, 0, 0, {0}, 0, 0}}},
    {"a packet that came twice is a duplicate, in order or not",
     {0},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S, NACK_DUPLICATE, 0), CAME(0, S + 2, NACK_NEW, 1),
      CAME(0, S + 1, NACK_REORDERED, 0), CAME(0, S + 1, NACK_DUPLICATE, 0)}},
    {"before the first is late, not missing",
     {0},
     {CAME(0, S + 5, NACK_NEW, 0), CAME(0, S + 4, NACK_LATE, 0), CAME(0, S + 4, NACK_DUPLICATE, 0)}},
    {"asked again each round trip and a quarter",
     {.reorder_us = 5000, .max_age_us = 10000000},
     {{RTT, 0, 40, 0, 0, {0}, 0, 0}, CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1),
      {POLL, 5, 0, 0, 1, {S + 1}, 1, 0}, {DUE, 5, 55, 0, 0, {0}, 1, 0},
      {POLL, 54, 0, 0, 0, {0}, 1, 0}, {POLL, 55, 0, 0, 1, {S + 1}, 1, 0},
      CAME(80, S + 1, NACK_RECOVERED, 0), {DUE, 80, 0, 0, 0, {0}, 0, 0}}},
    {"ten tries, then given up",
     {.reorder_us = 1000, .max_age_us = 10000000},
     {{RTT, 0, 1, 0, 0, {0}, 0, 0}, CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1),
      {POLL, 10, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 20, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 30, 0, 0, 1, {S + 1}, 1, 0},
      {POLL, 40, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 50, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 60, 0, 0, 1, {S + 1}, 1, 0},
      {POLL, 70, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 80, 0, 0, 1, {S + 1}, 1, 0}, {POLL, 90, 0, 0, 1, {S + 1}, 1, 0},
      {POLL, 100, 0, 0, 1, {S + 1}, 1, 0}, {DUE, 100, 110, 0, 0, {0}, 1, 0},
      {POLL, 109, 0, 0, 0, {0}, 1, 0}, {POLL, 110, 0, 0, 0, {0}, 0, 1}, CAME(111, S + 1, NACK_LATE, 0)}},
    {"too old is given up, however few the tries",
     {.reorder_us = 1000, .max_age_us = 50000},
     {{RTT, 0, 100, 0, 0, {0}, 0, 0}, CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1),
      {POLL, 1, 0, 0, 1, {S + 1}, 1, 0}, {DUE, 1, 50, 0, 0, {0}, 1, 0}, {POLL, 50, 0, 0, 0, {0}, 0, 1}}},
    {"a thousand missing are asked for",
     {.reorder_us = 1000},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S + 1001, NACK_NEW, 1000),
      {POLL, 1, 0, 0, 1000, {S + 1, S + 2, S + 3, S + 4}, 1000, 0}}},
    {"more than a thousand are given up with what was missing before",
     {0},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1), CAME(0, S + 1003, NACK_NEW, 0),
      {DUE, 0, 0, 0, 0, {0}, 0, 1001}, CAME(1, S + 1004, NACK_NEW, 0), CAME(1, S + 1, NACK_LATE, 0)}},
    {"a beginning that is known is missed when it does not come",
     {.reorder_us = 1000},
     {{START, 0, S, 0, 0, {0}, 0, 0}, CAME(0, S + 2, NACK_NEW, 2), {POLL, 1, 0, 0, 2, {S, S + 1}, 2, 0}}},
    {"the tail is missed when the other side says what it sent",
     {.reorder_us = 1000},
     {CAME(0, S, NACK_NEW, 0), {TOLD, 5, S + 2, 0, 0, {0}, 2, 0}, {TOLD, 5, S + 2, 0, 0, {0}, 2, 0},
      {POLL, 6, 0, 0, 2, {S + 1, S + 2}, 2, 0}, CAME(9, S + 2, NACK_RECOVERED, 1),
      CAME(9, S + 3, NACK_NEW, 1)}},
    {"what the other side has not is not asked for again",
     {.reorder_us = 1000},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S + 3, NACK_NEW, 2), {FORGET, 0, S + 1, 0, 0, {0}, 1, 1},
      {FORGET, 0, S + 9, 0, 0, {0}, 1, 1}, {POLL, 1, 0, 0, 1, {S + 2}, 1, 1}}},
    {"without feedback nothing is asked for, and age gives up",
     {.count_only = true, .max_age_us = 50000},
     {CAME(0, S, NACK_NEW, 0), CAME(0, S + 2, NACK_NEW, 1), {DUE, 0, 50, 0, 0, {0}, 1, 0},
      {POLL, 49, 0, 0, 0, {0}, 1, 0}, {POLL, 50, 0, 0, 0, {0}, 0, 1}}},
};

struct given_up {
    uint64_t n;
};

static void on_give_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct given_up *g = arg;

    assert_true(first <= last && n <= last - first + 1);
    g->n += n;
}

static void run_step(struct nack_gen *g, const struct step *s)
{
    uint64_t out[NACK_MISSING_MAX] = {0}, now_us = s->at_ms * 1000, due;

    switch (s->what) {
    case COME: assert_int_equal(nack_gen_on_packet(g, s->seq, now_us), s->seen); break;
    case TOLD: nack_gen_on_highest(g, s->seq, now_us); break;
    case START: nack_gen_start(g, s->seq); break;
    case FORGET: nack_gen_forget(g, s->seq); break;
    case RTT: nack_gen_set_rtt(g, s->seq * 1000); break;
    case DUE:
        due = nack_gen_due_us(g);
        assert_int_equal(due, s->seq ? s->seq * 1000 : UINT64_MAX);
        break;
    case POLL:
        assert_int_equal(nack_gen_poll(g, now_us, out, LEN(out)), s->n);
        for (size_t i = 0; i < s->n && i < LEN(s->ask); i++)
            assert_int_equal(out[i], s->ask[i]);
        break;
    case END: break;
    }
    assert_int_equal(nack_gen_missing(g), s->missing);
}

static void each_script_plays_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(scripts); i++) {
        struct given_up told = {0};
        uint64_t forgotten = 0; /* by the owner's wish: no callback */
        struct nack_cfg cfg = scripts[i].cfg;
        struct nack_gen *g = malloc(sizeof(*g));
        assert_non_null(g);
        cfg.on_give_up = on_give_up;
        cfg.arg = &told;
        nack_gen_init(g, &cfg);
        print_message("  %s\n", scripts[i].name);
        for (const struct step *s = scripts[i].v; s->what != END; s++) {
            uint64_t before = g->counters.given_up;
            run_step(g, s);
            if (s->what == FORGET)
                forgotten += g->counters.given_up - before;
            if (s->what != COME)
                assert_int_equal(g->counters.given_up, s->given_up);
        }
        assert_int_equal(told.n + forgotten, g->counters.given_up);
        free(g);
    }
}

static void the_round_trip_is_learnt_from_the_answers(void **state)
{
    struct nack_gen *g = malloc(sizeof(*g));
    uint64_t out[4], now_us = 0;

    (void)state;
    assert_non_null(g);
    nack_gen_init(g, &(struct nack_cfg){.reorder_us = 1000});
    nack_gen_on_packet(g, S, 0);
    for (uint64_t s = S + 2; s < S + 400; s += 2) { /* every second one is lost, and comes 30 ms after the request */
        nack_gen_on_packet(g, s, now_us);
        now_us += 1000;
        assert_int_equal(nack_gen_poll(g, now_us, out, LEN(out)), 1);
        now_us += 30000;
        assert_int_equal(nack_gen_on_resent(g, s - 1, now_us), NACK_RECOVERED);
    }
    assert_in_range(g->rtt_us, 29000, 31000);
    nack_gen_on_packet(g, S + 1000, now_us); /* the original, late: no answer */
    assert_int_equal(nack_gen_poll(g, now_us, out, LEN(out)), LEN(out));
    for (int i = 0; i < 4; i++)
        assert_int_equal(nack_gen_on_packet(g, out[i], now_us), NACK_RECOVERED);
    assert_in_range(g->rtt_us, 29000, 31000);
    free(g);
}

static void an_estimate_too_low_recovers_although_all_is_asked_twice(void **state)
{
    struct nack_gen *g = malloc(sizeof(*g));
    uint64_t out[4], now_us = 0;

    (void)state;
    assert_non_null(g);
    nack_gen_init(g, &(struct nack_cfg){.reorder_us = 1000, .max_age_us = 1000000});
    g->rtt_us = 1000;
    nack_gen_on_packet(g, S, 0);
    for (uint64_t s = S + 2; s < S + 800; s += 2) {
        nack_gen_on_packet(g, s, now_us);
        for (int i = 0; i < 81; i++) {
            now_us += 1000;
            (void)nack_gen_poll(g, now_us, out, LEN(out));
        }
        assert_int_equal(nack_gen_on_resent(g, s - 1, now_us), NACK_RECOVERED);
    }
    assert_in_range(g->rtt_us, 60000, 90000);
    free(g);
}

static void numbers_given_in_parts_are_asked_for_once_each(void **state)
{
    struct nack_gen *g = malloc(sizeof(*g));
    uint64_t out[3];

    (void)state;
    assert_non_null(g);
    nack_gen_init(g, &(struct nack_cfg){.reorder_us = 1000});
    nack_gen_on_packet(g, S, 0);
    nack_gen_on_packet(g, S + 8, 0);
    for (uint64_t next = S + 1; next < S + 7; next += 3) {
        assert_int_equal(nack_gen_poll(g, 2000, out, LEN(out)), 3);
        assert_int_equal(out[0], next);
        assert_int_equal(out[2], next + 2);
    }
    assert_int_equal(nack_gen_poll(g, 2000, out, LEN(out)), 1);
    assert_int_equal(out[0], S + 7);
    assert_int_equal(nack_gen_poll(g, 2000, out, LEN(out)), 0);
    free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_script_plays_as_written),
        cmocka_unit_test(the_round_trip_is_learnt_from_the_answers),
        cmocka_unit_test(an_estimate_too_low_recovers_although_all_is_asked_twice),
        cmocka_unit_test(numbers_given_in_parts_are_asked_for_once_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
