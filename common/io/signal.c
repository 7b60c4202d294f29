/* SPDX-License-Identifier: Apache-2.0 */
#include "io/signal.h"

#include "worker_priv.h"

#include <errno.h>
#include <stdlib.h>

struct signal_watch {
    uv_signal_t handle;
    void (*on_signal)(void *arg, int signum);
    void *arg;
};

static void on_uv_signal(uv_signal_t *handle, int signum)
{
    struct signal_watch *s = container_of(handle, struct signal_watch, handle);

    s->on_signal(s->arg, signum);
}

static void on_closed(uv_handle_t *handle)
{
    free(container_of((uv_signal_t *)handle, struct signal_watch, handle));
}

int signal_watch_open(struct signal_watch **out, struct worker *w, int signum,
                      void (*on_signal)(void *arg, int signum), void *arg)
{
    struct signal_watch *s = calloc(1, sizeof(*s));
    int err = s ? uv_signal_init(&w->loop, &s->handle) : -ENOMEM;

    if (err) {
        free(s);
        return err;
    }
    s->on_signal = on_signal;
    s->arg = arg;
    err = uv_signal_start(&s->handle, on_uv_signal, signum);
    if (err) {
        uv_close((uv_handle_t *)&s->handle, on_closed);
        return err;
    }
    *out = s;
    return 0;
}

void signal_watch_close(struct signal_watch **ps)
{
    struct signal_watch *s = *ps;

    if (!s)
        return;
    *ps = NULL;
    uv_close((uv_handle_t *)&s->handle, on_closed);
}
