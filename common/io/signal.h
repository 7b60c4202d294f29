/* SPDX-License-Identifier: Apache-2.0
 * signal.h - a process signal as an event of one worker (the main thread's). */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"

struct signal_watch;

MUST_USE int signal_watch_open(struct signal_watch **out, struct worker *w, int signum,
                               void (*on_signal)(void *arg, int signum), void *arg);
void signal_watch_close(struct signal_watch **s);
