/* SPDX-License-Identifier: Apache-2.0
 * fd_watch.h - readiness of a file descriptor that another library owns (hiredis).
 *
 * Thread: the worker's. The fd is borrowed and must stay open until fd_watch_close. */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"

#include <stdbool.h>

struct fd_watch;

/* on_ready gets an error (negative errno) or 0 with what is ready. Nothing is wanted at first.
 * Returns 0 or a negative errno. */
MUST_USE int fd_watch_open(struct fd_watch **out, struct worker *w, int fd,
                           void (*on_ready)(void *arg, int err, bool readable, bool writable), void *arg);
void fd_watch_want(struct fd_watch *f, bool readable, bool writable);
/* No callback after it; may be called from within on_ready. Clears the pointer. */
void fd_watch_close(struct fd_watch **f);
