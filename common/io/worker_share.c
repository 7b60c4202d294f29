/* SPDX-License-Identifier: Apache-2.0
 * worker_share.c - workers that rest take turns in one thread: each wake-up then serves all of them.
 *
 * Why: on the machine it was measured on, to sleep and to be woken costs a thread 20 us and more, as much as sending four messages. Two
 * workers that look at their sockets every 3 ms and find a message or two pay more for waking up than for anything else.
 *
 * A guest's loop runs in its host's thread, and its own thread waits for it to be given back; so it is always one thread's only, and
 * nothing that a worker owns knows of it. The host waits for what comes to any of them, ends its own turn, has its guests do a turn
 * each, and rests if one of them asked for it. A guest comes when it has rested again and again for a while, and goes when it, or the
 * host, does not rest any more, or they are too busy for one thread.
 *
 * Thread: the host's part is its thread's, but for the door, where guests knock; a guest's part is that of whoever runs its loop. */
#include "worker_priv.h"

#include "base/log.h"

#include <string.h>
#include <time.h>

enum {
    RESTING_US = 500000,     /* for so long it has rested again and again before it becomes a guest; and again before the next time */
    PAUSE_US = 100000,       /* without a rest: what came in many small pieces has ended */
    WINDOW_US = 100000,      /* over which it is judged how busy a thread is */
    BUSY_PERMILLE = 250,     /* of a core: a guest comes with less, and to a host with less ... */
    TOO_BUSY_PERMILLE = 600, /* ... which sends them home when it is so much with them */
    GUESTS_TURN_US = 10000,  /* a guest has a turn after so long at the latest */
};

/* ---- Resting --------------------------------------------------------------------------------- */

/* Returns what the turn has asked for. */
static uint64_t take_rest(struct worker *w, uint64_t now_us)
{
    struct worker_share *s = &w->share;
    uint64_t rest_us = w->rest_us;

    w->rest_us = 0;
    if (rest_us && now_us - s->asked_us > PAUSE_US)
        s->resting_since_us = now_us;
    if (rest_us)
        s->asked_us = now_us;
    return rest_us;
}

static bool rests(const struct worker *w, uint64_t now_us)
{
    return now_us - w->share.asked_us <= PAUSE_US;
}

static void sleep_us(struct worker *w, uint64_t us)
{
    struct timespec wait = {.tv_nsec = (long)us * 1000};

    if (!us)
        return;
    (void)nanosleep(&wait, NULL);
    w->rested_us += us;
}

/* What counts is the time of the core: two that others keep from running now and then are not better off with two threads to be
 * woken. But those that come too late for it, as the governor sees it, are to have what each one's own thread gets. */
static void judge(struct worker *w, uint64_t now_us)
{
    struct worker_share *s = &w->share;
    struct timespec used;

    if (now_us - s->window_us < WINDOW_US)
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    uint64_t used_us = (uint64_t)used.tv_sec * 1000000 + (uint64_t)used.tv_nsec / 1000;
    s->busy_permille = (used_us - s->window_used_us) * 1000 / (now_us - s->window_us);
    s->window_us = now_us;
    s->window_used_us = used_us;
}

static bool has_time(const struct worker *w, uint64_t busy_permille)
{
    return w->share.busy_permille < busy_permille && !w->governor.pressure;
}

/* ---- The guest ------------------------------------------------------------------------------- */

static bool wants_to_leave(const struct worker *w, uint64_t now_us)
{
    const struct worker_share *s = &w->share;

    return s->host && rests(w, now_us) && !w->stopping && has_time(w, BUSY_PERMILLE) && now_us - s->resting_since_us >= RESTING_US;
}

static bool knock(struct worker *host, struct worker *guest)
{
    struct worker_door *d = &host->share.door;

    uv_mutex_lock(&d->lock);
    bool open = d->open;
    if (open) {
        guest->share.away = true;
        d->v[d->n++] = guest;
        atomic_store_explicit(&d->knocked, true, memory_order_relaxed); /* the lock orders what it tells of */
        uv_async_send(&host->mail_wake);
    }
    uv_mutex_unlock(&d->lock);
    return open;
}

bool worker_share_visit(struct worker *w)
{
    struct worker_share *s = &w->share;

    if (!s->leaving)
        return false;
    s->leaving = false;
    s->resting_since_us = s->ended_us = uv_hrtime() / 1000;
    if (knock(s->host, w))
        uv_sem_wait(&s->back);
    return !w->stopping;
}

/* ---- The host -------------------------------------------------------------------------------- */

static void on_guest_ready(uv_poll_t *poll, int status, int events)
{
    struct worker *guest = poll->data;

    (void)status;
    (void)events;
    guest->share.ready = true; /* it is run when the host's own turn has ended */
}

static void on_guests_due(uv_timer_t *unused)
{
    (void)unused; /* it only wakes the loop */
}

/* The set of descriptors that a guest's loop waits for can be waited for itself. */
static bool watch(struct worker *host, struct worker *guest)
{
    struct worker_share *s = &host->share;
    uv_poll_t *poll = &s->polls[guest->share.place];

    if (!poll->data && uv_poll_init(&host->loop, poll, uv_backend_fd(&guest->loop)) != 0)
        return false;
    poll->data = guest;
    return uv_poll_start(poll, UV_READABLE, on_guest_ready) == 0;
}

static void give_back(struct worker *guest)
{
    guest->share.resting_since_us = uv_hrtime() / 1000;
    guest->share.away = false;
    uv_sem_post(&guest->share.back);
}

static void send_home(struct worker *host, size_t i)
{
    struct worker_share *s = &host->share;
    struct worker *guest = s->guests[i];

    (void)uv_poll_stop(&s->polls[guest->share.place]);
    s->guests[i] = s->guests[--s->n];
    if (s->n == 0)
        (void)uv_timer_stop(&s->guests_due);
    give_back(guest);
}

static void let_in(struct worker *host, struct worker *guest, uint64_t now_us)
{
    struct worker_share *s = &host->share;

    if (!rests(host, now_us) || !has_time(host, BUSY_PERMILLE) || !watch(host, guest)) {
        give_back(guest);
        return;
    }
    guest->share.ready = true;
    s->guests[s->n++] = guest;
    log_debug("worker", "%s runs in the thread of %s", guest->cfg.name, host->cfg.name);
}

static void answer_door(struct worker *host, uint64_t now_us)
{
    struct worker_door *d = &host->share.door;
    struct worker *v[WORKER_GUESTS_MAX];
    size_t n;

    if (!atomic_load_explicit(&d->knocked, memory_order_relaxed))
        return;
    uv_mutex_lock(&d->lock);
    n = d->n;
    memcpy(v, d->v, n * sizeof(v[0]));
    d->n = 0;
    atomic_store_explicit(&d->knocked, false, memory_order_relaxed);
    uv_mutex_unlock(&d->lock);
    for (size_t i = 0; i < n; i++)
        let_in(host, v[i], now_us);
}

static bool is_due(const struct worker *g, uint64_t now_us)
{
    return g->share.ready || timer_heap_next_us(&g->timers) <= now_us || now_us >= g->share.ended_us + GUESTS_TURN_US;
}

/* Sockets are read, then the turn ends, as in its own thread; then what the turn has begun to watch is watched. Returns the rest that
 * it asked for. */
static uint64_t run_guest(struct worker *g, uint64_t now_us)
{
    struct worker_share *s = &g->share;

    g->rested_us += clock_now(g->clock) - s->ended_us;
    s->ready = false;
    log_set_thread(g->cfg.name);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    worker_end_turn(g);
    (void)uv_run(&g->loop, UV_RUN_NOWAIT);
    if (worker_has_more(g))
        worker_end_turn(g);
    clock_expire(g->clock);
    s->ended_us = uv_hrtime() / 1000;
    return take_rest(g, now_us);
}

static bool stays(const struct worker *host, const struct worker *guest, uint64_t now_us)
{
    return rests(host, now_us) && rests(guest, now_us) && !guest->stopping && has_time(host, TOO_BUSY_PERMILLE);
}

static void set_guests_due(struct worker *host, uint64_t now_us)
{
    struct worker_share *s = &host->share;
    uint64_t wait_ms = GUESTS_TURN_US / 1000;

    for (size_t i = 0; i < s->n; i++) {
        uint64_t next_us = timer_heap_next_us(&s->guests[i]->timers);
        uint64_t ms = next_us > now_us ? (next_us - now_us + 999) / 1000 : 0;
        wait_ms = ms < wait_ms ? ms : wait_ms;
    }
    if (s->n)
        (void)uv_timer_start(&s->guests_due, on_guests_due, wait_ms, 0);
}

/* Returns the longest rest that one of them asked for. */
static uint64_t run_guests(struct worker *host, uint64_t now_us)
{
    struct worker_share *s = &host->share;
    uint64_t rest_us = 0;

    for (size_t i = s->n; i > 0; i--) {
        struct worker *g = s->guests[i - 1];
        uint64_t asked_us = is_due(g, now_us) ? run_guest(g, now_us) : 0;
        rest_us = asked_us > rest_us ? asked_us : rest_us;
        if (!stays(host, g, now_us))
            send_home(host, i - 1);
    }
    log_set_thread(host->cfg.name);
    set_guests_due(host, now_us);
    return rest_us;
}

/* ---- Any worker ------------------------------------------------------------------------------ */

void worker_share_rest(struct worker *w, uint64_t now_us)
{
    struct worker_share *s = &w->share;
    uint64_t rest_us = take_rest(w, now_us), guests_us;

    if (!s->shared) {
        sleep_us(w, rest_us);
        return;
    }
    judge(w, now_us);
    answer_door(w, now_us);
    if (wants_to_leave(w, now_us)) {
        s->leaving = true;
        uv_stop(&w->loop);
        return;
    }
    guests_us = s->n ? run_guests(w, now_us) : 0;
    rest_us = rest_us > guests_us ? rest_us : guests_us;
    sleep_us(w, rest_us);
}

void worker_share_open(struct worker *w)
{
    uv_mutex_lock(&w->share.door.lock);
    w->share.door.open = true;
    uv_mutex_unlock(&w->share.door.lock);
}

void worker_share_close(struct worker *w)
{
    struct worker_share *s = &w->share;

    uv_mutex_lock(&s->door.lock);
    s->door.open = false;
    uv_mutex_unlock(&s->door.lock);
    for (size_t i = 0; i < s->door.n; i++)
        give_back(s->door.v[i]);
    s->door.n = 0;
    while (s->n)
        send_home(w, s->n - 1);
}

int worker_share_init(struct worker *w)
{
    struct worker_share *s = &w->share;

    int err = uv_mutex_init(&s->door.lock);
    if (err)
        return err;
    err = uv_sem_init(&s->back, 0);
    if (err) {
        uv_mutex_destroy(&s->door.lock);
        return err;
    }
    return 0;
}

void worker_share_open_handles(struct worker *w)
{
    (void)uv_timer_init(&w->loop, &w->share.guests_due);
}

void worker_share_close_handles(struct worker *w)
{
    struct worker_share *s = &w->share;

    uv_close((uv_handle_t *)&s->guests_due, NULL);
    for (size_t i = 0; i < WORKER_GUESTS_MAX; i++)
        if (s->polls[i].data)
            uv_close((uv_handle_t *)&s->polls[i], NULL);
}

void worker_share_fini(struct worker *w)
{
    uv_mutex_destroy(&w->share.door.lock);
    uv_sem_destroy(&w->share.back);
}

void worker_share(struct worker *const *v, size_t n)
{
    for (size_t i = 0; i < n && i <= WORKER_GUESTS_MAX; i++) {
        v[i]->share.shared = true;
        v[i]->share.host = i ? v[0] : NULL;
        v[i]->share.place = i - 1; /* of a guest */
    }
}
