/* SPDX-License-Identifier: Apache-2.0 */
#include "loop.h"

#include <pthread.h>
#include <stdlib.h>

/* What ran, in order: one letter each. */
struct trace {
    char text[64];
    size_t len;
};

static void trace_push(struct trace *t, char c)
{
    assert_true(t->len + 1 < sizeof(t->text));
    t->text[t->len++] = c;
    t->text[t->len] = '\0';
}

/* ---- Mail ------------------------------------------------------------------------------------ */

enum { SENDERS = 4, MAILS = 20000 };

struct numbered {
    struct mail mail;
    unsigned sender, number;
};

static struct {
    struct worker *receiver;
    unsigned next[SENDERS];
    unsigned total;
    bool disorder;
    struct numbered *mails[SENDERS];
} post;

static void on_numbered(struct mail *m, struct worker *receiver)
{
    struct numbered *n = container_of(m, struct numbered, mail);

    post.disorder |= n->number != post.next[n->sender]++;
    if (++post.total == SENDERS * MAILS)
        worker_stop(receiver);
}

static void *send_all(void *arg)
{
    struct numbered *mails = arg;

    for (unsigned i = 0; i < MAILS; i++)
        worker_post(post.receiver, &mails[i].mail);
    return NULL;
}

static void mails_of_four_threads_arrive_each_in_their_order(void **state)
{
    struct test_loop l;
    pthread_t threads[SENDERS];

    (void)state;
    test_loop_init(&l);
    post.receiver = l.w;
    for (unsigned s = 0; s < SENDERS; s++) {
        post.mails[s] = calloc(MAILS, sizeof(struct numbered));
        for (unsigned i = 0; i < MAILS; i++)
            post.mails[s][i] = (struct numbered){.mail.run = on_numbered, .sender = s, .number = i};
        assert_int_equal(pthread_create(&threads[s], NULL, send_all, post.mails[s]), 0);
    }
    test_loop_run(&l);
    for (unsigned s = 0; s < SENDERS; s++) {
        pthread_join(threads[s], NULL);
        free(post.mails[s]);
    }
    assert_int_equal(post.total, SENDERS * MAILS);
    assert_false(post.disorder);
    test_loop_fini(&l);
}

/* Two workers in threads throw one mail to and fro. */
struct ball {
    struct mail mail;
    struct worker *players[2];
    unsigned throws;
};

static void on_stop(struct mail *m, struct worker *receiver)
{
    free(m);
    worker_stop(receiver);
}

static void stop_from_outside(struct worker *w)
{
    struct mail *m = calloc(1, sizeof(*m));

    m->run = on_stop;
    worker_post(w, m);
}

static void on_ball(struct mail *m, struct worker *receiver)
{
    struct ball *b = container_of(m, struct ball, mail);

    if (++b->throws < 1000) {
        worker_post(b->players[receiver == b->players[0]], m);
        return;
    }
    stop_from_outside(b->players[0]);
    stop_from_outside(b->players[1]);
}

static void workers_in_threads_reach_each_other(void **state)
{
    struct ball b = {.mail.run = on_ball};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(worker_create(&b.players[i], &(struct worker_cfg){.name = "player", .index = i}), 0);
        assert_int_equal(worker_index(b.players[i]), i);
        assert_string_equal(worker_name(b.players[i]), "player");
        assert_int_equal(worker_start(b.players[i]), 0);
    }
    worker_post(b.players[0], &b.mail);
    for (unsigned i = 0; i < 2; i++)
        worker_join(b.players[i]);
    for (unsigned i = 0; i < 2; i++)
        worker_destroy(&b.players[i]);
    assert_int_equal(b.throws, 1000);
}

/* ---- Hooks ----------------------------------------------------------------------------------- */

struct scene {
    struct test_loop loop;
    struct trace trace;
    struct mail first, second;
    struct timer timer_1, timer_2;
    struct turn_hook fanout, flush, late;
    uint64_t now_us; /* as the first of the turn saw it */
    unsigned count;
};

static struct scene *scene; /* of the running test */

static void hook_fanout(struct turn_hook *hook, uint64_t now_us)
{
    (void)hook;
    (void)now_us;
    trace_push(&scene->trace, 'r');
}

static void hook_flush(struct turn_hook *hook, uint64_t now_us)
{
    (void)hook;
    (void)now_us;
    trace_push(&scene->trace, 'f');
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    scene = s;
    test_loop_init(&s->loop);
    s->fanout = (struct turn_hook){.run = hook_fanout, .stage = TURN_FANOUT};
    s->flush = (struct turn_hook){.run = hook_flush, .stage = TURN_FLUSH};
}

static void mail_stop(struct mail *m, struct worker *w)
{
    (void)m;
    trace_push(&scene->trace, 'B');
    worker_stop(w);
}

static void mail_arm_both(struct mail *m, struct worker *w)
{
    (void)m;
    trace_push(&scene->trace, 'A');
    scene->second.run = mail_stop;
    worker_post(w, &scene->second); /* runs in the next turn: after the hooks of this one */
    worker_arm(w, &scene->flush);
    worker_arm(w, &scene->fanout);
    worker_arm(w, &scene->flush); /* twice is once */
}

static void hooks_armed_by_a_mail_run_in_the_same_turn_by_stage(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.first.run = mail_arm_both;
    worker_post(s.loop.w, &s.first);
    test_loop_run(&s.loop);
    assert_string_equal(s.trace.text, "ArfB");
    test_loop_fini(&s.loop);
}

static void due_2(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    trace_push(&scene->trace, '2');
    worker_stop(t->worker);
}

static void due_1(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    trace_push(&scene->trace, '1');
    worker_arm(t->worker, &scene->fanout);
    timer_start(&scene->timer_2, 0); /* the next turn */
}

static void a_hook_armed_by_a_timer_runs_in_the_same_turn(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    timer_init(&s.timer_1, s.loop.w, due_1);
    timer_init(&s.timer_2, s.loop.w, due_2);
    timer_start(&s.timer_1, 1000);
    test_loop_run(&s.loop);
    assert_string_equal(s.trace.text, "1r2");
    test_loop_fini(&s.loop);
}

static void hook_fanout_arms_flush(struct turn_hook *hook, uint64_t now_us)
{
    hook_fanout(hook, now_us);
    worker_arm(scene->loop.w, &scene->flush);
    worker_arm(scene->loop.w, &scene->late);
    worker_disarm(&scene->late);
    worker_disarm(&scene->late); /* harmless */
}

/* A flush that makes a router's packets (a transcoder's, say): they still leave in this turn. */
static void hook_flush_arms_fanout_once(struct turn_hook *hook, uint64_t now_us)
{
    hook_flush(hook, now_us);
    if (scene->count++ == 0)
        worker_arm(scene->loop.w, &scene->fanout);
}

static void mail_arm_fanout(struct mail *m, struct worker *w)
{
    mail_arm_both(m, w);
    worker_disarm(&scene->flush);
}

static void hooks_may_arm_hooks_of_their_own_and_other_stages(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.fanout.run = hook_fanout_arms_flush;
    s.flush.run = hook_flush_arms_fanout_once;
    s.late = (struct turn_hook){.run = hook_flush, .stage = TURN_FLUSH};
    s.first.run = mail_arm_fanout;
    worker_disarm(&s.late); /* never armed */
    worker_post(s.loop.w, &s.first);
    test_loop_run(&s.loop);
    assert_string_equal(s.trace.text, "ArfrfB");
    test_loop_fini(&s.loop);
}

static void hook_for_ever(struct turn_hook *hook, uint64_t now_us)
{
    (void)now_us;
    scene->count++;
    worker_arm(scene->loop.w, hook);
}

static void a_hook_that_arms_itself_for_ever_does_not_stop_the_loop(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.fanout.run = hook_for_ever;
    worker_arm(s.loop.w, &s.fanout);
    test_loop_run_for(&s.loop, 5000);
    assert_true(s.count > 0);
    worker_disarm(&s.fanout);
    test_loop_fini(&s.loop);
}

/* ---- Clock ----------------------------------------------------------------------------------- */

static void hook_compare_time(struct turn_hook *hook, uint64_t now_us)
{
    (void)hook;
    assert_int_equal(now_us, scene->now_us);
    worker_stop(scene->loop.w);
}

static void mail_take_time(struct mail *m, struct worker *w)
{
    (void)m;
    scene->now_us = worker_now_us(w);
    worker_arm(w, &scene->fanout);
}

static void mail_after_rest(struct mail *m, struct worker *w)
{
    (void)m;
    assert_true(worker_now_us(w) >= scene->now_us + 5000);
    worker_stop(w);
}

static void mail_rest(struct mail *m, struct worker *w)
{
    (void)m;
    scene->now_us = worker_now_us(w);
    scene->second.run = mail_after_rest;
    worker_post(w, &scene->second); /* runs in the next turn */
    worker_rest(w, 5000);
}

static void a_turn_that_asks_for_it_is_followed_by_a_rest(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.first.run = mail_rest;
    worker_post(s.loop.w, &s.first);
    test_loop_run(&s.loop);
    test_loop_fini(&s.loop);
}

static void the_time_stands_still_within_a_turn_and_is_that_of_the_day(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    s.first.run = mail_take_time;
    s.fanout.run = hook_compare_time;
    worker_post(s.loop.w, &s.first);
    test_loop_run(&s.loop);
    assert_true(worker_now_us(s.loop.w) >= s.now_us);
    assert_true(worker_unix_us(s.loop.w) > 1700000000000000); /* after 2023 */
    assert_true(worker_unix_us(s.loop.w) < 5000000000000000); /* before 2128 */
    test_loop_fini(&s.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mails_of_four_threads_arrive_each_in_their_order),
        cmocka_unit_test(workers_in_threads_reach_each_other),
        cmocka_unit_test(hooks_armed_by_a_mail_run_in_the_same_turn_by_stage),
        cmocka_unit_test(a_hook_armed_by_a_timer_runs_in_the_same_turn),
        cmocka_unit_test(hooks_may_arm_hooks_of_their_own_and_other_stages),
        cmocka_unit_test(a_hook_that_arms_itself_for_ever_does_not_stop_the_loop),
        cmocka_unit_test(a_turn_that_asks_for_it_is_followed_by_a_rest),
        cmocka_unit_test(the_time_stands_still_within_a_turn_and_is_that_of_the_day),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
