/* SPDX-License-Identifier: Apache-2.0
 * virtual_worker.c - see virtual_worker.h. */
#include "virtual_worker.h"

#include <stdlib.h>

struct worker {
    uint64_t now_us, order;
    struct timer *timers; /* a list through next and prev: there are few */
    struct list armed[TURN_STAGES];
    struct governor governor;
    bool stopped;
};

static struct worker the_worker;

struct worker *virtual_worker(void)
{
    return &the_worker;
}

void virtual_worker_reset(uint64_t now_us)
{
    the_worker = (struct worker){.now_us = now_us};
    for (unsigned i = 0; i < TURN_STAGES; i++)
        list_init(&the_worker.armed[i]);
}

void virtual_worker_advance(uint64_t now_us)
{
    the_worker.now_us = now_us;
}

static struct timer *next_due(const struct worker *w, uint64_t order)
{
    struct timer *found = NULL;

    for (struct timer *t = w->timers; t; t = t->next)
        if (t->due_us <= w->now_us && t->order < order &&
            (!found || t->due_us < found->due_us || (t->due_us == found->due_us && t->order < found->order)))
            found = t;
    return found;
}

static bool run_hook(struct worker *w)
{
    for (unsigned i = 0; i < TURN_STAGES; i++) {
        if (list_empty(&w->armed[i]))
            continue;
        struct turn_hook *hook = container_of(w->armed[i].next, struct turn_hook, link);
        list_remove(&hook->link);
        hook->run(hook, w->now_us);
        return true;
    }
    return false;
}

void virtual_worker_turn(uint64_t now_us)
{
    struct worker *w = &the_worker;
    struct timer *t;

    w->now_us = now_us;
    uint64_t order = w->order;
    while ((t = next_due(w, order))) {
        timer_stop(t);
        t->on_due(t, now_us);
    }
    while (run_hook(w))
        ;
}

/* ---- io/worker.h ---------------------------------------------------------------------------------------------- */

int worker_create(struct worker **out, const struct worker_cfg *cfg)
{
    (void)cfg;
    virtual_worker_reset(1000000);
    *out = &the_worker;
    return 0;
}

void worker_destroy(struct worker **w)
{
    *w = NULL;
}

void worker_stop(struct worker *w)
{
    w->stopped = true;
}

static uint64_t first_due_us(const struct worker *w)
{
    uint64_t first = UINT64_MAX;

    for (const struct timer *t = w->timers; t; t = t->next)
        first = t->due_us < first ? t->due_us : first;
    return first;
}

void worker_run(struct worker *w)
{
    for (w->stopped = false; !w->stopped;) {
        virtual_worker_turn(w->now_us);
        uint64_t next_us = first_due_us(w);
        if (!w->stopped && next_us == UINT64_MAX)
            abort(); /* it would never end */
        w->now_us = !w->stopped && next_us > w->now_us ? next_us : w->now_us;
    }
}

uint64_t worker_now_us(const struct worker *w)
{
    return w->now_us;
}

uint64_t worker_unix_us(const struct worker *w)
{
    return w->now_us;
}

const struct governor *worker_governor(const struct worker *w)
{
    return &w->governor;
}

enum governor_thin worker_thinning(const struct worker *w, uint32_t rank)
{
    (void)w, (void)rank;
    return GOVERNOR_WHOLE;
}

/* Nobody else is there to write to it. */
void worker_post(struct worker *to, struct mail *m)
{
    (void)to, (void)m;
    abort();
}

void worker_arm(struct worker *w, struct turn_hook *hook)
{
    if (!hook->link.next)
        list_init(&hook->link);
    if (list_empty(&hook->link))
        list_push_back(&w->armed[hook->stage], &hook->link);
}

void worker_disarm(struct turn_hook *hook)
{
    if (hook->link.next)
        list_remove(&hook->link);
}

/* ---- io/timer.h ------------------------------------------------------------------------------------------------- */

void timer_init(struct timer *t, struct worker *w, void (*on_due)(struct timer *, uint64_t now_us))
{
    *t = (struct timer){.on_due = on_due, .worker = w};
}

void timer_start(struct timer *t, uint64_t delay_us)
{
    struct worker *w = t->worker;

    timer_stop(t);
    t->due_us = w->now_us + delay_us;
    t->order = w->order++;
    t->running = true;
    t->prev = NULL;
    t->next = w->timers;
    if (w->timers)
        w->timers->prev = t;
    w->timers = t;
}

void timer_stop(struct timer *t)
{
    if (!t->running)
        return;
    t->running = false;
    if (t->prev)
        t->prev->next = t->next;
    else
        t->worker->timers = t->next;
    if (t->next)
        t->next->prev = t->prev;
}
