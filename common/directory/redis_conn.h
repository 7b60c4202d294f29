/* SPDX-License-Identifier: Apache-2.0
 * redis_conn.h - one connection to Redis that comes back by itself.
 *
 * hiredis' async context over io/fd_watch, with what it lacks: names resolved off the thread, a bound on connecting, pings that
 * notice a peer gone silent, and reconnecting with backoff and jitter.
 * A command on a context that subscribes kills it, so subscribing takes a connection of its own.
 * Thread: the worker's. */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"

#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stdint.h>

struct redis_conn;
struct sentinels;

struct redis_conn_cfg {
    const char *address;  /* "host:port"; borrowed for the connection's life, as the rest */
    const struct sentinels *sentinels; /* NULL: none; else they say each time where the master is */
    const char *password; /* "" for none */
    unsigned database;
    const char *channel;  /* NULL: for commands; else it subscribes to this channel and takes no commands */
    void (*on_up)(void *arg);                      /* authenticated, database chosen, subscribed */
    void (*on_down)(void *arg, const char *why);   /* was up, or an attempt to connect failed; it tries on */
    void (*on_message)(void *arg, const char *text, size_t len); /* of the channel */
    void *arg;
};

/* 0 or -1 when memory is short. Starts connecting; callbacks come from the loop. */
MUST_USE int redis_conn_open(struct redis_conn **out, struct worker *w, const struct redis_conn_cfg *cfg);
/* Pending commands get a NULL reply. No other callback after it. Clears the pointer. */
void redis_conn_close(struct redis_conn **c);
bool redis_conn_up(const struct redis_conn *c);

/* Called once with the reply (borrowed), or with NULL when the connection was lost before it came. */
typedef void redis_reply_fn(void *arg, const redisReply *reply);
/* argv as redis takes it; argvlen NULL: texts. When the connection is down, or memory is short, fn is called with NULL before
 * it returns. fn may be NULL. */
void redis_conn_command(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc, const char **argv,
                        const size_t *argvlen);
