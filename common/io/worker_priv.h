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

enum { WORKER_READ_BYTES = 65536 /* one TCP read: a socket's whole default receive window */ };

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
    uint64_t turn;                  /* counts up */
    uint64_t rest_us, rested_us;    /* after this turn; in all */
    _Atomic(struct mail *) mailbox; /* newest first */
    struct tcp_counters tcp;
    struct tcp_batch *batch; /* made when first asked for; NULL where there is no io_uring */
    bool batch_tried;
    unsigned jobs; /* in the thread pool */
    bool stopping;
    struct worker_cfg cfg;
    pthread_t thread;
    uint8_t read_buf[WORKER_READ_BYTES]; /* lent to one connection's read at a time */
};

/* tcp_batch.c */
void tcp_batch_destroy(struct worker *w);
