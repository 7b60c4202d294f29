/* SPDX-License-Identifier: Apache-2.0
 * virtual_worker.h - a worker whose clock stands until the test moves it, in place of io/worker.c and io/timer.c: what
 * lives on a worker (routers, viewers) runs as fast as the machine can, and no machine is too slow for it. One a program.
 *
 * A simulation moves the clock itself. A test that uses loop.h as with any worker has worker_run do so: each turn is at the time
 * at which the next timer is due. */
#pragma once

#include "io/timer.h"
#include "io/worker.h"

struct worker *virtual_worker(void);
/* Forgets all timers and hooks. */
void virtual_worker_reset(uint64_t now_us);
/* One loop turn at this time: timers that are due, then the hooks. */
void virtual_worker_turn(uint64_t now_us);
/* Time passes; nothing runs. */
void virtual_worker_advance(uint64_t now_us);
