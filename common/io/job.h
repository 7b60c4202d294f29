/* SPDX-License-Identifier: Apache-2.0
 * job.h - work off the media threads (libuv's thread pool): file reads, transcoding steps.
 *
 * Thread: job_start and on_done are the worker's; run is a pool thread's and touches nothing but
 * the job's own data. */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"

struct job {
    void (*run)(struct job *j);     /* in a pool thread */
    void (*on_done)(struct job *j); /* back on the worker; owns the job */
    void *handle;                   /* job.c's own */
};

/* Returns 0 or a negative errno (then on_done is not called). The job must outlive on_done. */
MUST_USE int job_start(struct worker *w, struct job *j);
