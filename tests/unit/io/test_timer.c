/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MANY = 2000 };

struct numbered {
    struct timer timer;
    unsigned number, runs;
    uint64_t due_us, order;
};

static struct {
    struct test_loop loop;
    unsigned ran[16], n;
    unsigned left;
    uint64_t last_due_us, last_order;
    unsigned disorder, early;
    struct numbered many[MANY];
} t;

static void start(struct numbered *n, uint64_t delay_us)
{
    static uint64_t order;

    timer_start(&n->timer, delay_us);
    n->due_us = worker_now_us(t.loop.w) + delay_us;
    n->order = order++;
}

static void note(struct timer *timer, uint64_t now_us)
{
    struct numbered *n = container_of(timer, struct numbered, timer);

    assert_false(timer_running(timer));
    assert_true(now_us >= n->due_us);
    t.ran[t.n++] = n->number;
    n->runs++;
    if (--t.left == 0)
        worker_stop(timer->worker);
}

static void setup(struct numbered *v, size_t n, void (*on_due)(struct timer *, uint64_t))
{
    memset(&t, 0, sizeof(t));
    test_loop_init(&t.loop);
    for (unsigned i = 0; i < n; i++) {
        v[i] = (struct numbered){.number = i};
        timer_init(&v[i].timer, t.loop.w, on_due);
        assert_false(timer_running(&v[i].timer));
        timer_stop(&v[i].timer); /* harmless */
    }
    t.left = (unsigned)n;
}

static void assert_ran(const unsigned *want, size_t n)
{
    assert_int_equal(t.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(t.ran[i], want[i]);
}

static void timers_run_in_the_order_they_are_due(void **state)
{
    struct numbered v[5];

    (void)state;
    setup(v, LEN(v), note);
    start(&v[0], 4000);
    start(&v[1], 1000);
    start(&v[2], 3000);
    start(&v[3], 0);
    start(&v[4], 1000); /* ties in the order of starting */
    test_loop_run(&t.loop);
    assert_ran((unsigned[]){3, 1, 4, 2, 0}, 5);
    test_loop_fini(&t.loop);
}

static void a_restarted_timer_runs_once_at_its_new_time(void **state)
{
    struct numbered v[4];

    (void)state;
    setup(v, LEN(v), note);
    start(&v[0], 1000);
    start(&v[1], 5000);
    start(&v[2], 2000);
    start(&v[3], 3000);
    start(&v[0], 4000); /* later */
    start(&v[1], 500);  /* sooner */
    start(&v[2], 3000); /* later, to a tie with one started before it */
    test_loop_run(&t.loop);
    assert_ran((unsigned[]){1, 3, 2, 0}, 4);
    test_loop_fini(&t.loop);
}

static void a_stopped_timer_does_not_run(void **state)
{
    struct numbered v[3];

    (void)state;
    setup(v, LEN(v), note);
    start(&v[0], 1000);
    start(&v[1], 500);
    start(&v[2], 1500);
    timer_stop(&v[1].timer);
    timer_stop(&v[1].timer);
    assert_false(timer_running(&v[1].timer));
    assert_true(timer_running(&v[0].timer));
    t.left = 2;
    test_loop_run(&t.loop);
    assert_ran((unsigned[]){0, 2}, 2);
    test_loop_fini(&t.loop);
}

static struct numbered *other;

static void note_and_stop_other(struct timer *timer, uint64_t now_us)
{
    note(timer, now_us);
    timer_stop(&other->timer);
}

static void a_timer_may_stop_another_that_is_due_with_it(void **state)
{
    struct numbered v[3];

    (void)state;
    setup(v, LEN(v), note_and_stop_other);
    other = &v[1];
    start(&v[0], 1000);
    start(&v[1], 1000);
    start(&v[2], 1000);
    t.left = 2;
    test_loop_run(&t.loop);
    assert_ran((unsigned[]){0, 2}, 2);
    test_loop_fini(&t.loop);
}

static void note_and_repeat(struct timer *timer, uint64_t now_us)
{
    struct numbered *n = container_of(timer, struct numbered, timer);

    if (n->runs < 4)
        start(n, 1000);
    n->due_us = 0;
    assert_int_equal(timer_running(timer), n->runs < 4);
    n->runs++;
    if (--t.left == 0)
        worker_stop(timer->worker);
    (void)now_us;
}

static void a_timer_may_start_itself_again(void **state)
{
    struct numbered v[2];

    (void)state;
    setup(v, LEN(v), note_and_repeat);
    start(&v[0], 1000);
    start(&v[1], 1000);
    t.left = 10;
    test_loop_run(&t.loop);
    assert_int_equal(v[0].runs, 5);
    assert_int_equal(v[1].runs, 5);
    test_loop_fini(&t.loop);
}

static void repeat_at_once(struct timer *timer, uint64_t now_us)
{
    (void)now_us;
    t.n++;
    timer_start(timer, 0);
}

static void a_timer_started_again_for_now_leaves_the_loop_its_turns(void **state)
{
    struct numbered v[1];

    (void)state;
    setup(v, LEN(v), repeat_at_once);
    timer_start(&v[0].timer, 0);
    test_loop_run_for(&t.loop, 3000);
    assert_true(t.n > 2);
    timer_stop(&v[0].timer);
    test_loop_fini(&t.loop);
}

static void check_order(struct timer *timer, uint64_t now_us)
{
    struct numbered *n = container_of(timer, struct numbered, timer);

    t.early += now_us < n->due_us;
    t.disorder += n->due_us < t.last_due_us || (n->due_us == t.last_due_us && n->order < t.last_order);
    t.last_due_us = n->due_us;
    t.last_order = n->order;
    n->runs++;
    if (--t.left == 0)
        worker_stop(timer->worker);
}

static void thousands_restarted_and_stopped_at_random_keep_their_order(void **state)
{
    unsigned seed = 1;

    (void)state;
    setup(t.many, MANY, check_order);
    print_message("seed %u\n", seed);
    for (unsigned i = 0; i < MANY; i++) { /* setup cleared t, and many with it */
        timer_init(&t.many[i].timer, t.loop.w, check_order);
        start(&t.many[i], (uint64_t)rand_r(&seed) % 50 * 1000);
    }
    for (unsigned i = 0; i < 5 * MANY; i++)
        start(&t.many[(unsigned)rand_r(&seed) % MANY], (uint64_t)rand_r(&seed) % 50 * 1000);
    for (unsigned i = 0; i < MANY; i += 7)
        timer_stop(&t.many[i].timer);
    t.left = MANY - (MANY + 6) / 7;
    test_loop_run(&t.loop);
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(t.many[i].runs, i % 7 != 0);
    assert_int_equal(t.early, 0);
    assert_int_equal(t.disorder, 0);
    test_loop_fini(&t.loop);
}

static void a_delay_beyond_the_end_of_time_is_never_due(void **state)
{
    struct numbered v[1];

    (void)state;
    setup(v, LEN(v), note);
    timer_start(&v[0].timer, UINT64_MAX);
    test_loop_run_for(&t.loop, 2000);
    assert_true(timer_running(&v[0].timer));
    assert_int_equal(t.n, 0);
    timer_stop(&v[0].timer);
    test_loop_fini(&t.loop);
}

enum { NAPS = 20, NAP_US = 3000, WORK_US = 1500 };

static void count_turn(struct timer *timer, uint64_t now_us)
{
    (void)now_us;
    t.n++;
    timer_start(timer, 0);
}

static void nap(struct timer *timer, uint64_t now_us)
{
    struct numbered *n = container_of(timer, struct numbered, timer);

    (void)now_us;
    usleep(WORK_US); /* whatever the turn began with is no longer the time */
    if (++n->runs == NAPS)
        worker_stop(timer->worker);
    timer_start(timer, NAP_US);
}

/* Woken before the time it would wait once more, for what is left of a millisecond. */
static void a_timer_wakes_the_loop_once(void **state)
{
    struct numbered v[1], turns;

    (void)state;
    setup(v, LEN(v), nap);
    timer_init_lazy(&turns.timer, t.loop.w, count_turn);
    timer_start(&turns.timer, 0);
    timer_start(&v[0].timer, 0);
    test_loop_run(&t.loop);
    assert_in_range(t.n, NAPS, NAPS * 3 / 2); /* some machines are stopped just there */
    timer_stop(&turns.timer);
    timer_stop(&v[0].timer);
    test_loop_fini(&t.loop);
}

enum { CROWD = 60, CROWD_WORK_US = 200 /* each: twelve times what media wait at most */ };

static struct {
    struct mail mail;
    struct turn_hook hook;
    unsigned at_mail, at_hook; /* timers that had run */
} news;

static void on_news_hook(struct turn_hook *hook, uint64_t now_us)
{
    (void)hook, (void)now_us;
    news.at_hook = t.n;
}

static void on_news(struct mail *m, struct worker *w)
{
    (void)m;
    news.at_mail = t.n;
    worker_arm(w, &news.hook);
}

static void work(struct timer *timer, uint64_t now_us)
{
    assert_true(now_us >= timer->due_us);
    if (t.n++ == 0)
        worker_post(timer->worker, &news.mail);
    usleep(CROWD_WORK_US);
    if (--t.left == 0)
        worker_stop(timer->worker);
}

static void what_comes_while_a_crowd_of_timers_runs_is_handed_out_in_between(void **state)
{
    static struct numbered v[CROWD];

    (void)state;
    memset(&news, 0, sizeof(news));
    news.mail.run = on_news;
    news.hook = (struct turn_hook){.run = on_news_hook, .stage = TURN_FANOUT};
    setup(v, LEN(v), work);
    for (unsigned i = 0; i < CROWD; i++)
        timer_start(&v[i].timer, 0);
    test_loop_run(&t.loop);
    assert_int_equal(t.n, CROWD);
    assert_in_range(news.at_mail, 1, CROWD / 2);
    assert_int_equal(news.at_hook, news.at_mail);
    test_loop_fini(&t.loop);
}

static void a_lazy_timer_runs_in_the_turn_of_another(void **state)
{
    static const unsigned order[] = {1, 0};
    struct numbered v[2];

    (void)state;
    setup(v, LEN(v), note);
    timer_init_lazy(&v[0].timer, t.loop.w, note);
    start(&v[0], 2000);
    start(&v[1], 30000);
    test_loop_run(&t.loop);
    assert_ran(order, LEN(order));
    start(&v[0], 2000);
    timer_stop(&v[0].timer);
    test_loop_run_for(&t.loop, 5000);
    assert_int_equal(v[0].runs, 1);
    test_loop_fini(&t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timers_run_in_the_order_they_are_due),
        cmocka_unit_test(a_restarted_timer_runs_once_at_its_new_time),
        cmocka_unit_test(a_stopped_timer_does_not_run),
        cmocka_unit_test(a_timer_may_stop_another_that_is_due_with_it),
        cmocka_unit_test(a_timer_may_start_itself_again),
        cmocka_unit_test(a_timer_started_again_for_now_leaves_the_loop_its_turns),
        cmocka_unit_test(thousands_restarted_and_stopped_at_random_keep_their_order),
        cmocka_unit_test(a_delay_beyond_the_end_of_time_is_never_due),
        cmocka_unit_test(a_timer_wakes_the_loop_once),
        cmocka_unit_test(a_lazy_timer_runs_in_the_turn_of_another),
        cmocka_unit_test(what_comes_while_a_crowd_of_timers_runs_is_handed_out_in_between),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
