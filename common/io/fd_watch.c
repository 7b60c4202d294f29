/* SPDX-License-Identifier: Apache-2.0 */
#include "io/fd_watch.h"

#include "worker_priv.h"

#include <errno.h>
#include <stdlib.h>

struct fd_watch {
    uv_poll_t poll;
    void (*on_ready)(void *arg, int err, bool readable, bool writable);
    void *arg;
};

/* At an error libuv has stopped watching; the owner says again what it wants, or closes. */
static void on_poll(uv_poll_t *handle, int status, int events)
{
    struct fd_watch *f = container_of(handle, struct fd_watch, poll);

    f->on_ready(f->arg, status < 0 ? status : 0, events & UV_READABLE, events & UV_WRITABLE);
}

int fd_watch_open(struct fd_watch **out, struct worker *w, int fd,
                  void (*on_ready)(void *arg, int err, bool readable, bool writable), void *arg)
{
    struct fd_watch *f = calloc(1, sizeof(*f));
    int err = f ? uv_poll_init(&w->loop, &f->poll, fd) : -ENOMEM;

    if (err) {
        free(f);
        return err;
    }
    f->on_ready = on_ready;
    f->arg = arg;
    *out = f;
    return 0;
}

void fd_watch_want(struct fd_watch *f, bool readable, bool writable)
{
    (void)uv_poll_start(&f->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0), on_poll);
}

static void on_poll_closed(uv_handle_t *handle)
{
    free(container_of((uv_poll_t *)handle, struct fd_watch, poll));
}

void fd_watch_close(struct fd_watch **pf)
{
    struct fd_watch *f = *pf;

    if (!f)
        return;
    *pf = NULL;
    uv_close((uv_handle_t *)&f->poll, on_poll_closed);
}
