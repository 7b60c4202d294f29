/* SPDX-License-Identifier: Apache-2.0
 * worker_priv.h - the inside of a worker, for the sources of common/io. */
#pragma once

#include "io/worker.h"

#include "clock_priv.h"
#include "io/tcp.h"
#include "timer_priv.h"

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

enum {
    WORKER_READ_BYTES = 65536, /* one TCP read: a socket's whole default receive window */
    WORKER_GUESTS_MAX = 31,    /* of a host */
};

/* ---- Workers that rest take turns in one thread (worker_share.c) ----------------------------- */

/* Where guests knock, from their own threads. */
struct worker_door {
    uv_mutex_t lock;
    struct worker *v[WORKER_GUESTS_MAX];
    size_t n;
    bool open;           /* the host's loop runs */
    atomic_bool knocked; /* somebody stands there */
};

struct worker_share {
    bool shared;
    uint64_t asked_us;         /* when a rest was asked for last */
    uint64_t resting_since_us; /* it was again and again */
    uint64_t busy_permille;    /* of a core, by its own thread in the last window */
    uint64_t window_us, window_used_us;
    /* As a guest. */
    struct worker *host; /* whose thread it may run in; NULL: only in its own */
    size_t place;        /* of its poll at the host */
    uv_sem_t back;       /* posted when it is its own thread's again */
    uint64_t ended_us;   /* its last turn */
    bool ready;          /* something has come */
    bool leaving, away;  /* away: set by its own thread, cleared by the host, each before the other goes on */
    /* As a host. */
    struct worker *guests[WORKER_GUESTS_MAX];
    size_t n;
    uv_poll_t polls[WORKER_GUESTS_MAX]; /* of the guests' loops; .data: the guest, when it has been one */
    uv_timer_t guests_due;              /* only wakes the loop */
    struct worker_door door;
};

struct worker {
    uv_loop_t loop;
    uv_prepare_t turn_end; /* runs before the loop blocks */
    uv_async_t mail_wake;  /* only wakes the loop */
    uv_timer_t due_wake;   /* only wakes the loop */
    struct clock clock_store;
    struct clock *clock; /* &clock_store: the question for the time, of a const worker, may read it anew */
    struct timer_heap timers, lazy_timers;
    struct governor governor;
    uint64_t aside_ns; /* spent on what viewers say, see udp.c */
    struct list hooks[TURN_STAGES];
    struct list media; /* turn_hook.link of who looks at a socket of media, out of turn */
    uint64_t turn;                  /* counts up */
    uint64_t rest_us, rested_us;    /* after this turn; in all */
    _Atomic(struct mail *) mailbox; /* newest first */
    struct worker_share share;
    struct tcp_counters tcp;
    struct tcp_batch *batch; /* made when first asked for; NULL where there is no io_uring */
    bool batch_tried;
    unsigned jobs; /* in the thread pool */
    bool stopping;
    struct worker_cfg cfg;
    pthread_t thread;
    uint8_t read_buf[WORKER_READ_BYTES]; /* lent to one connection's read at a time */
};

/* Mails, timers and hooks, when sockets have been read. */
void worker_end_turn(struct worker *w);

/* In the midst of a long turn: media that have come are read, and handed out. The clock goes on. */
void worker_look_again(struct worker *w);

/* Something came that no turn's end has dealt with. */
bool worker_has_more(const struct worker *w);

/* 0 or a negative errno. */
MUST_USE int worker_share_init(struct worker *w);
void worker_share_fini(struct worker *w);
void worker_share_open_handles(struct worker *w);
void worker_share_close_handles(struct worker *w);
/* While its loop runs. */
void worker_share_open(struct worker *w);
void worker_share_close(struct worker *w);
/* After a turn: rests if it asked for that. */
void worker_share_rest(struct worker *w, uint64_t now_us);
/* The loop has stopped. True: it was not to end but to be a guest, and has come back. */
bool worker_share_visit(struct worker *w);

/* tcp_batch.c */
void tcp_batch_destroy(struct worker *w);
