/* SPDX-License-Identifier: Apache-2.0
 * loop.h - a worker for a test: it runs until the test's callbacks stop it, or fails when it takes too long.
 */
#pragma once

#include "io/timer.h"
#include "io/worker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct test_loop {
    struct worker *w;
    struct timer deadline;
    bool late;
};

static inline void test_loop_on_deadline(struct timer *t, uint64_t now_us)
{
    struct test_loop *l = container_of(t, struct test_loop, deadline);

    (void)now_us;
    l->late = true;
    worker_stop(l->w);
}

static inline void test_loop_init(struct test_loop *l)
{
    *l = (struct test_loop){0};
    assert_int_equal(worker_create(&l->w, &(struct worker_cfg){.name = "test", .index = 3}), 0);
    timer_init(&l->deadline, l->w, test_loop_on_deadline);
}

/* Until a callback calls worker_stop. */
static inline void test_loop_run(struct test_loop *l)
{
    timer_start(&l->deadline, 20000000);
    worker_run(l->w);
    timer_stop(&l->deadline);
    assert_false(l->late);
}

struct test_loop_while {
    struct timer timer;
    unsigned turns;
};

static inline void test_loop_on_while(struct timer *t, uint64_t now_us)
{
    struct test_loop_while *l = container_of(t, struct test_loop_while, timer);

    (void)now_us;
    if (l->turns-- > 0)
        timer_start(t, 0);
    else
        worker_stop(t->worker);
}

/* For a while: what is under way arrives, or shows that it does not come. On a busy machine the time
 * may pass without the loop having run, so some turns are added. */
static inline void test_loop_run_for(struct test_loop *l, uint64_t us)
{
    struct test_loop_while w = {.turns = 50};

    timer_init(&w.timer, l->w, test_loop_on_while);
    timer_start(&w.timer, us);
    test_loop_run(l);
    timer_stop(&w.timer);
}

static inline void test_loop_fini(struct test_loop *l)
{
    worker_destroy(&l->w);
    assert_null(l->w);
}
