/* SPDX-License-Identifier: Apache-2.0 */
#include "worker_priv.h"

#include "base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

enum {
    HOOKS_A_TURN_MAX = 100000, /* hooks that arm each other without end must not stop the loop */
    REST_MAX_US = 10000,       /* others wait for it too */
    CLOSE_ROUNDS = 64,         /* loop turns given at destroy to handles that are closing */
};

/* ---- Mail: a stack that senders push on and the receiver takes whole ------------------------- */

void worker_post(struct worker *to, struct mail *m)
{
    struct mail *top = atomic_load_explicit(&to->mailbox, memory_order_relaxed);

    do {
        m->next = top;
    } while (!atomic_compare_exchange_weak_explicit(&to->mailbox, &top, m, memory_order_release,
                                                    memory_order_relaxed));
    if (!top) /* who finds it empty wakes the receiver; the others know it is awake */
        uv_async_send(&to->mail_wake);
}

static struct mail *oldest_first(struct mail *newest)
{
    struct mail *reversed = NULL;

    while (newest) {
        struct mail *older = newest->next;

        newest->next = reversed;
        reversed = newest;
        newest = older;
    }
    return reversed;
}

static void run_mails(struct worker *w)
{
    struct mail *m = oldest_first(atomic_exchange_explicit(&w->mailbox, NULL, memory_order_acquire));

    while (m) {
        struct mail *next = m->next; /* run() owns m from then on */

        m->run(m, w);
        m = next;
    }
}

/* ---- The end of a turn ----------------------------------------------------------------------- */

void worker_arm(struct worker *w, struct turn_hook *hook)
{
    if (hook->link.next && !list_empty(&hook->link))
        return;
    list_push_back(&w->hooks[hook->stage], &hook->link);
}

void worker_disarm(struct turn_hook *hook)
{
    if (hook->link.next)
        list_remove(&hook->link);
}

static struct turn_hook *first_armed(struct worker *w, int last_stage)
{
    for (int stage = 0; stage <= last_stage; stage++)
        if (!list_empty(&w->hooks[stage]))
            return container_of(w->hooks[stage].next, struct turn_hook, link);
    return NULL;
}

/* Those of the stages up to this one. */
static void run_hooks(struct worker *w, int last_stage)
{
    struct turn_hook *hook;

    for (int n = 0; (hook = first_armed(w, last_stage)); n++) {
        if (n == HOOKS_A_TURN_MAX) {
            uv_async_send(&w->mail_wake); /* the rest in the next turn, which comes at once */
            return;
        }
        list_remove(&hook->link);
        hook->run(hook, worker_now_us(w));
    }
}

static void on_due_wake(uv_timer_t *unused)
{
    (void)unused;
}

/* libuv counts in whole ms, from its own time, which is that of the turn's beginning unless it is told: the wait is rounded up,
 * so the loop wakes when the first timer is due, or less than 1 ms after it, and not before it in vain. */
static void set_due_wake(struct worker *w)
{
    uint64_t next_us = timer_heap_next_us(&w->timers), now_us;

    if (next_us == UINT64_MAX) {
        uv_timer_stop(&w->due_wake);
        return;
    }
    now_us = clock_now(w->clock); /* read anew by judge_turn: the turn may have been long */
    uv_update_time(&w->loop);
    (void)uv_timer_start(&w->due_wake, on_due_wake, next_us > now_us ? (next_us - now_us + 999) / 1000 : 0,
                         0);
}

static void judge_turn(struct worker *w)
{
    clock_expire(w->clock);
    governor_on_turn(&w->governor, clock_now(w->clock), uv_metrics_idle_time(&w->loop) / 1000 + w->rested_us,
                     w->aside_ns / 1000);
}

bool worker_has_more(const struct worker *w)
{
    bool more = atomic_load_explicit(&w->mailbox, memory_order_relaxed) != NULL;

    for (int stage = 0; stage < TURN_STAGES; stage++)
        more |= !list_empty(&w->hooks[stage]);
    return more;
}

void worker_look_again(struct worker *w)
{
    clock_expire(w->clock);
    list_for_each(l, &w->media) {
        struct turn_hook *look = container_of(l, struct turn_hook, link);
        look->run(look, worker_now_us(w));
    }
    run_mails(w);
    run_hooks(w, TURN_FANOUT);
}

void worker_end_turn(struct worker *w)
{
    run_mails(w);
    run_hooks(w, TURN_FANOUT); /* what is new before what waits for its time */
    timer_heap_run(&w->timers, w, worker_now_us(w));
    timer_heap_run(&w->lazy_timers, w, worker_now_us(w));
    run_hooks(w, TURN_STAGES - 1);
    judge_turn(w);
    set_due_wake(w);
    w->turn++;
}

/* Sockets were read in the poll before this; what follows it is the wait. */
static void on_turn_end(uv_prepare_t *handle)
{
    struct worker *w = container_of(handle, struct worker, turn_end);

    if (w->share.away) /* its host ends the turn */
        return;
    worker_end_turn(w);
    worker_share_rest(w, worker_now_us(w));
    clock_expire(w->clock);
    if (w->stopping)
        uv_stop(&w->loop);
}

static void on_mail_wake(uv_async_t *unused)
{
    (void)unused; /* the turn's end runs the mails */
}

/* ---- Life ------------------------------------------------------------------------------------ */

/* The handles of the worker itself. libuv's init calls on an initialised loop do not fail, except
 * uv_async_init, which is first. */
static int open_handles(struct worker *w)
{
    int err = uv_loop_init(&w->loop);

    if (err)
        return err;
    err = uv_async_init(&w->loop, &w->mail_wake, on_mail_wake);
    if (err) {
        (void)uv_loop_close(&w->loop);
        return err;
    }
    (void)uv_loop_configure(&w->loop, UV_METRICS_IDLE_TIME);
    (void)uv_prepare_init(&w->loop, &w->turn_end);
    (void)uv_prepare_start(&w->turn_end, on_turn_end);
    (void)uv_timer_init(&w->loop, &w->due_wake);
    worker_share_open_handles(w);
    return 0;
}

static void close_handles(struct worker *w)
{
    uv_close((uv_handle_t *)&w->mail_wake, NULL);
    uv_close((uv_handle_t *)&w->turn_end, NULL);
    uv_close((uv_handle_t *)&w->due_wake, NULL);
    worker_share_close_handles(w);
}

int worker_create(struct worker **out, const struct worker_cfg *cfg)
{
    struct worker *w = calloc(1, sizeof(*w));

    if (!w)
        return -ENOMEM;
    w->cfg = *cfg;
    w->clock = &w->clock_store;
    governor_init(&w->governor, clock_now(w->clock));
    clock_expire(w->clock);
    for (int stage = 0; stage < TURN_STAGES; stage++)
        list_init(&w->hooks[stage]);
    list_init(&w->media);
    signal(SIGPIPE, SIG_IGN); /* libraries may write to a socket that the peer has closed */
    int err = worker_share_init(w);
    if (!err && (err = open_handles(w)))
        worker_share_fini(w);
    if (err) {
        free(w);
        return err;
    }
    *out = w;
    return 0;
}

/* Jobs are waited for, as their memory is in use; handles that are closing get their turns. */
static void finish_closing(struct worker *w)
{
    while (w->jobs > 0)
        uv_run(&w->loop, UV_RUN_ONCE);
    for (int i = 0; i < CLOSE_ROUNDS && uv_run(&w->loop, UV_RUN_NOWAIT); i++)
        ;
}

void worker_destroy(struct worker **pw)
{
    struct worker *w = *pw;

    if (!w)
        return;
    *pw = NULL;
    tcp_batch_destroy(w);
    uv_prepare_stop(&w->turn_end); /* nothing of the owner's runs any more but on_close */
    finish_closing(w);
    close_handles(w);
    finish_closing(w);
    if (uv_loop_close(&w->loop) == UV_EBUSY) {
        log_error("worker", "%s destroyed with sockets still open", w->cfg.name);
        return; /* their memory points here: better lost than used after free */
    }
    worker_share_fini(w);
    free(w);
}

void worker_run(struct worker *w)
{
    log_set_thread(w->cfg.name);
    worker_share_open(w);
    do {
        uv_run(&w->loop, UV_RUN_DEFAULT);
    } while (worker_share_visit(w));
    worker_share_close(w);
    w->stopping = false;
    log_set_thread(NULL);
}

static void *thread_main(void *arg)
{
    worker_run(arg);
    return NULL;
}

/* Signals are the main thread's. */
int worker_start(struct worker *w)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int err = pthread_create(&w->thread, NULL, thread_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -err;
}

void worker_join(struct worker *w)
{
    pthread_join(w->thread, NULL);
}

void worker_stop(struct worker *w)
{
    w->stopping = true;
}

unsigned worker_index(const struct worker *w)
{
    return w->cfg.index;
}

const char *worker_name(const struct worker *w)
{
    return w->cfg.name;
}

void worker_rest(struct worker *w, uint64_t rest_us)
{
    w->rest_us = rest_us < REST_MAX_US ? rest_us : REST_MAX_US;
}

uint64_t worker_now_us(const struct worker *w)
{
    return clock_now(w->clock);
}

uint64_t worker_unix_us(const struct worker *w)
{
    return clock_unix(w->clock);
}

const struct governor *worker_governor(const struct worker *w)
{
    return &w->governor;
}

enum governor_thin worker_thinning(const struct worker *w, uint32_t rank)
{
    return governor_thinning(&w->governor, rank);
}
