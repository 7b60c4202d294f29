/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/redis_conn.h"

#include "base/random.h"
#include "directory/sentinel.h"
#include "io/addr.h"
#include "io/fd_watch.h"
#include "io/job.h"
#include "io/timer.h"

#include <hiredis/async.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_US = 3000000, /* from the first packet to "up" */
    PING_US = 1000000,
    SILENCE_US = 3000000, /* a ping unanswered for so long: the connection is dead */
    BACKOFF_MIN_US = 200000,
    BACKOFF_MAX_US = 1000000, /* what plays goes on without Redis, but who comes back is to be known within a lease */
};

/* Resolving outlives the connection when that is closed meanwhile. */
struct lookup {
    struct job job;
    struct redis_conn *conn; /* NULL: closed */
    struct sentinels *sentinels; /* a copy; NULL: none */
    char address[256];
    struct addr result;
    int err;
};

struct redis_conn {
    struct redis_conn_cfg cfg;
    struct worker *worker;
    redisAsyncContext *ac; /* NULL between two attempts */
    struct fd_watch *watch;
    bool want_read, want_write;
    bool up, was_told_down;
    struct lookup *lookup;
    struct timer retry, beat; /* next attempt; connect deadline, then pings */
    uint64_t backoff_us;
    uint64_t asked_us; /* the oldest unanswered ping; 0: none */
};

static void attempt(struct redis_conn *c);

/* ---- hiredis' event hooks --------------------------------------------------------------------------- */

static void want(struct redis_conn *c)
{
    if (c->watch)
        fd_watch_want(c->watch, c->want_read, c->want_write);
}

static void ev_add_read(void *p)
{
    struct redis_conn *c = p;
    c->want_read = true;
    want(c);
}

static void ev_del_read(void *p)
{
    struct redis_conn *c = p;
    c->want_read = false;
    want(c);
}

static void ev_add_write(void *p)
{
    struct redis_conn *c = p;
    c->want_write = true;
    want(c);
}

static void ev_del_write(void *p)
{
    struct redis_conn *c = p;
    c->want_write = false;
    want(c);
}

static void ev_cleanup(void *p)
{
    struct redis_conn *c = p;

    c->ac = NULL; /* hiredis frees it now */
    if (c->watch)
        fd_watch_close(&c->watch);
}

/* An error shows as readiness too: hiredis then reads it off the socket. */
static void on_ready(void *arg, int err, bool readable, bool writable)
{
    struct redis_conn *c = arg;

    if (readable && c->cfg.channel)
        c->asked_us = 0; /* see send_ping */
    if ((writable || err) && c->ac)
        redisAsyncHandleWrite(c->ac);
    if ((readable || err) && c->ac)
        redisAsyncHandleRead(c->ac);
}

/* Lets go of the context: its pending commands get NULL, no event of it reaches us any more. hiredis frees it now, or
 * when the callback that we are in returns. */
static void let_go(struct redis_conn *c)
{
    redisAsyncContext *ac = c->ac;

    c->ac = NULL;
    if (c->watch)
        fd_watch_close(&c->watch);
    if (!ac)
        return;
    ac->onDisconnect = NULL;
    memset(&ac->ev, 0, sizeof(ac->ev));
    redisAsyncFree(ac);
}

/* ---- Up and down --------------------------------------------------------------------------------------- */

static void go_down(struct redis_conn *c, const char *why)
{
    char text[128];

    snprintf(text, sizeof(text), "%s", why); /* may live in the context */
    c->up = false;
    c->asked_us = 0;
    timer_stop(&c->beat);
    let_go(c);
    if (!timer_running(&c->retry)) {
        timer_start(&c->retry, c->backoff_us / 2 + random_u32() % c->backoff_us);
        c->backoff_us = c->backoff_us * 2 < BACKOFF_MAX_US ? c->backoff_us * 2 : BACKOFF_MAX_US;
        c->cfg.on_down(c->cfg.arg, text);
    }
}

static void go_up(struct redis_conn *c)
{
    c->up = true;
    c->backoff_us = BACKOFF_MIN_US;
    timer_start(&c->beat, PING_US);
    c->cfg.on_up(c->cfg.arg);
}

static void on_pong(redisAsyncContext *ac, void *reply, void *p)
{
    struct redis_conn *c = ac->data;

    (void)p;
    if (c && reply)
        c->asked_us = 0;
}

/* On a subscribed context the answer is a message for which hiredis has no callback, and would keep each of ours for ever. So the words are
 * written past its list, and whatever comes is the answer. Without them one whose host or firewall has forgotten it stays open without a
 * word, as nothing else is ever sent on it. */
static void send_ping(struct redis_conn *c)
{
    if (!c->cfg.channel)
        redisAsyncCommand(c->ac, on_pong, NULL, "PING");
    else if (redisAppendCommand(&c->ac->c, "PING") == REDIS_OK)
        ev_add_write(c);
}

/* Before "up": the deadline of connecting. Then: pings. */
static void on_beat(struct timer *t, uint64_t now_us)
{
    struct redis_conn *c = container_of(t, struct redis_conn, beat);

    if (!c->up) {
        go_down(c, "no answer");
        return;
    }
    if (c->asked_us && now_us - c->asked_us >= SILENCE_US) {
        go_down(c, "silent");
        return;
    }
    if (!c->asked_us) {
        c->asked_us = now_us;
        send_ping(c);
    }
    timer_start(t, PING_US);
}

static bool failed(const redisReply *r)
{
    return !r || r->type == REDIS_REPLY_ERROR;
}

/* The last word of connecting was answered. */
static void on_settled(redisAsyncContext *ac, void *reply, void *p)
{
    struct redis_conn *c = ac->data;

    (void)p;
    if (!c || c->ac != ac || !reply)
        return; /* going down already */
    const redisReply *r = reply;
    if (failed(r))
        go_down(c, r->str);
    else if (!c->up)
        go_up(c);
}

/* ROLE: a sentinel may still name a master that has been made a replica. */
static void on_role(redisAsyncContext *ac, void *reply, void *p)
{
    struct redis_conn *c = ac->data;
    const redisReply *r = reply;

    (void)p;
    if (!c || c->ac != ac || !r)
        return;
    if (failed(r))
        go_down(c, r->str);
    else if (r->type != REDIS_REPLY_ARRAY || r->elements == 0 || r->element[0]->type != REDIS_REPLY_STRING ||
             strcmp(r->element[0]->str, "master") != 0)
        go_down(c, "it is not the master");
}

static void on_step(redisAsyncContext *ac, void *reply, void *p)
{
    struct redis_conn *c = ac->data;

    (void)p;
    if (c && c->ac == ac && reply && failed(reply))
        go_down(c, ((const redisReply *)reply)->str);
}

static void on_channel(redisAsyncContext *ac, void *reply, void *p)
{
    struct redis_conn *c = ac->data;
    const redisReply *r = reply;

    (void)p;
    if (!c || c->ac != ac)
        return;
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 3 || r->element[0]->type != REDIS_REPLY_STRING) {
        on_settled(ac, reply, NULL);
        return;
    }
    if (strcmp(r->element[0]->str, "subscribe") == 0)
        on_settled(ac, reply, NULL);
    else if (strcmp(r->element[0]->str, "message") == 0 && r->element[2]->type == REDIS_REPLY_STRING)
        c->cfg.on_message(c->cfg.arg, r->element[2]->str, r->element[2]->len);
}

static void settle(struct redis_conn *c)
{
    if (c->cfg.password[0])
        redisAsyncCommand(c->ac, on_step, NULL, "AUTH %s", c->cfg.password);
    if (c->ac && c->cfg.database)
        redisAsyncCommand(c->ac, on_step, NULL, "SELECT %u", c->cfg.database);
    if (c->ac && c->cfg.sentinels)
        redisAsyncCommand(c->ac, on_role, NULL, "ROLE");
    if (!c->ac)
        return;
    if (c->cfg.channel)
        redisAsyncCommand(c->ac, on_channel, NULL, "SUBSCRIBE %s", c->cfg.channel);
    else
        redisAsyncCommand(c->ac, on_settled, NULL, "PING");
}

static void on_connect(const redisAsyncContext *ac, int status)
{
    struct redis_conn *c = ac->data;

    if (status == REDIS_OK) {
        settle(c);
        return;
    }
    c->ac = NULL; /* hiredis frees it after this callback; it calls ev_cleanup then */
    go_down(c, ac->errstr[0] ? ac->errstr : "connection refused");
}

static void on_disconnect(const redisAsyncContext *ac, int status)
{
    struct redis_conn *c = ac->data;

    c->ac = NULL;
    go_down(c, status == REDIS_OK ? "closed" : ac->errstr);
}

/* ---- Connecting ------------------------------------------------------------------------------------------- */

static void connect_to(struct redis_conn *c, const struct addr *to)
{
    char host[ADDR_TEXT_CAP];
    redisAsyncContext *ac = redisAsyncConnect(addr_print_host(to, host), addr_port(to));

    if (!ac || ac->err) {
        go_down(c, ac ? ac->errstr : "out of memory");
        if (ac)
            redisAsyncFree(ac);
        return;
    }
    ac->data = c;
    ac->ev.data = c;
    ac->ev.addRead = ev_add_read;
    ac->ev.delRead = ev_del_read;
    ac->ev.addWrite = ev_add_write;
    ac->ev.delWrite = ev_del_write;
    ac->ev.cleanup = ev_cleanup;
    c->ac = ac;
    c->want_read = c->want_write = false;
    if (fd_watch_open(&c->watch, c->worker, ac->c.fd, on_ready, c) != 0) {
        go_down(c, "its socket cannot be watched");
        return;
    }
    redisAsyncSetConnectCallback(ac, on_connect); /* asks for writability */
    redisAsyncSetDisconnectCallback(ac, on_disconnect);
    timer_start(&c->beat, CONNECT_US);
}

/* On another thread. */
static void run_lookup(struct job *j)
{
    struct lookup *l = container_of(j, struct lookup, job);

    l->err = l->sentinels ? sentinels_find_master(l->sentinels, l->address, sizeof(l->address)) : 0;
    if (!l->err)
        l->err = addr_resolve(&l->result, l->address);
}

static void lookup_destroy(struct lookup *l)
{
    if (l)
        free(l->sentinels);
    free(l);
}

static void on_lookup_done(struct job *j)
{
    struct lookup *l = container_of(j, struct lookup, job);
    struct redis_conn *c = l->conn;

    if (c) {
        c->lookup = NULL;
        if (l->err)
            go_down(c, l->sentinels ? "no sentinel says where the master is" : "its name cannot be resolved");
        else
            connect_to(c, &l->result);
    }
    lookup_destroy(l);
}

static struct lookup *lookup_create(struct redis_conn *c)
{
    struct lookup *l = calloc(1, sizeof(*l));

    if (!l)
        return NULL;
    *l = (struct lookup){.job = {.run = run_lookup, .on_done = on_lookup_done}, .conn = c};
    snprintf(l->address, sizeof(l->address), "%s", c->cfg.address);
    if (!c->cfg.sentinels)
        return l;
    l->sentinels = malloc(sizeof(*l->sentinels));
    if (!l->sentinels) {
        free(l);
        return NULL;
    }
    *l->sentinels = *c->cfg.sentinels;
    return l;
}

static void attempt(struct redis_conn *c)
{
    struct addr to;

    if (!c->cfg.sentinels && addr_parse(&to, c->cfg.address) == 0) {
        connect_to(c, &to);
        return;
    }
    struct lookup *l = lookup_create(c);
    if (!l) {
        go_down(c, "out of memory");
        return;
    }
    c->lookup = l;
    if (job_start(c->worker, &l->job) != 0) {
        c->lookup = NULL;
        lookup_destroy(l);
        go_down(c, "its name cannot be resolved now");
    }
}

static void on_retry(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    attempt(container_of(t, struct redis_conn, retry));
}

int redis_conn_open(struct redis_conn **out, struct worker *w, const struct redis_conn_cfg *cfg)
{
    struct redis_conn *c = calloc(1, sizeof(*c));
    if (!c)
        return -1;
    c->cfg = *cfg;
    c->worker = w;
    c->backoff_us = BACKOFF_MIN_US;
    timer_init(&c->retry, w, on_retry);
    timer_init(&c->beat, w, on_beat);
    timer_start(&c->retry, 0);
    *out = c;
    return 0;
}

static void ignore(void *arg)
{
    (void)arg;
}

static void ignore_down(void *arg, const char *why)
{
    (void)arg;
    (void)why;
}

void redis_conn_close(struct redis_conn **conn)
{
    struct redis_conn *c = *conn;

    *conn = NULL;
    if (!c)
        return;
    c->cfg.on_up = ignore;
    c->cfg.on_down = ignore_down;
    c->up = false;
    if (c->ac)
        c->ac->data = NULL; /* what hiredis still says about it finds nobody */
    let_go(c);
    timer_stop(&c->retry);
    timer_stop(&c->beat);
    if (c->lookup)
        c->lookup->conn = NULL;
    free(c);
}

bool redis_conn_up(const struct redis_conn *c)
{
    return c->up;
}

/* ---- Commands ------------------------------------------------------------------------------------------------ */

struct command {
    redis_reply_fn *fn;
    void *arg;
};

static void on_reply(redisAsyncContext *ac, void *reply, void *p)
{
    struct command *cmd = p;

    (void)ac;
    cmd->fn(cmd->arg, reply);
    free(cmd);
}

void redis_conn_command(struct redis_conn *c, redis_reply_fn *fn, void *arg, int argc, const char **argv,
                        const size_t *argvlen)
{
    struct command *cmd = NULL;

    if (c->up && fn) {
        cmd = malloc(sizeof(*cmd));
        if (cmd)
            *cmd = (struct command){fn, arg};
    }
    if (c->up && (cmd || !fn) &&
        redisAsyncCommandArgv(c->ac, fn ? on_reply : NULL, cmd, argc, argv, argvlen) == REDIS_OK)
        return;
    free(cmd);
    if (fn)
        fn(arg, NULL);
}
