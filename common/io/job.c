/* SPDX-License-Identifier: Apache-2.0 */
#include "io/job.h"

#include "worker_priv.h"

#include <errno.h>
#include <stdlib.h>

struct request {
    uv_work_t work;
    struct worker *worker;
    struct job *job;
};

static void in_pool_thread(uv_work_t *work)
{
    struct job *j = container_of(work, struct request, work)->job;

    j->run(j);
}

/* Never cancelled, so status is always 0. */
static void back_on_worker(uv_work_t *work, int status)
{
    struct request *r = container_of(work, struct request, work);
    struct job *j = r->job;

    (void)status;
    r->worker->jobs--;
    free(r);
    j->handle = NULL;
    j->on_done(j);
}

int job_start(struct worker *w, struct job *j)
{
    struct request *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->worker = w;
    r->job = j;
    int err = uv_queue_work(&w->loop, &r->work, in_pool_thread, back_on_worker);
    if (err) {
        free(r);
        return err;
    }
    j->handle = r;
    w->jobs++;
    return 0;
}
