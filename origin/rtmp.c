/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "origin/rtmp_session.h"

enum {
    CONNECTIONS_DEFAULT = 1024,
    HANDSHAKE_US_DEFAULT = 10000000,
    PUBLISH_US_DEFAULT = 30000000,
    IDLE_US_DEFAULT = 30000000,
};

struct rtmp {
    struct rtmp_host host;
    struct conn_listener *listener;
    size_t cap_connections;
};

static void on_accept(void *arg, struct conn *conn)
{
    struct rtmp *r = arg;

    if (r->host.n_sessions >= r->cap_connections) {
        r->host.counters.refused_overload++;
        conn_close(conn);
        return;
    }
    rtmp_session_open(&r->host, conn);
}

int rtmp_open(struct rtmp **out, struct worker *w, const struct rtmp_cfg *cfg)
{
    struct rtmp *r = calloc(1, sizeof(*r));

    *out = NULL;
    if (!r)
        return -ENOMEM;
    r->host = (struct rtmp_host){
        .worker = w,
        .relay = cfg->relay,
        .audio_transcode = cfg->audio_transcode,
        .key = cfg->key,
        .refusal = cfg->refusal,
        .arg = cfg->arg,
        .handshake_us = cfg->handshake_us ? cfg->handshake_us : HANDSHAKE_US_DEFAULT,
        .publish_us = cfg->publish_us ? cfg->publish_us : PUBLISH_US_DEFAULT,
        .idle_us = cfg->idle_us ? cfg->idle_us : IDLE_US_DEFAULT,
    };
    list_init(&r->host.sessions);
    r->cap_connections = cfg->cap_connections ? cfg->cap_connections : CONNECTIONS_DEFAULT;
    int err = conn_listen(&r->listener, w, &cfg->listen, cfg->reuse_port, cfg->tls, on_accept, r);
    if (err) {
        free(r);
        return err;
    }
    *out = r;
    return 0;
}

void rtmp_close(struct rtmp **r)
{
    if (!*r)
        return;
    conn_listener_close(&(*r)->listener);
    list_for_each(it, &(*r)->host.sessions)
        rtmp_session_close(rtmp_session_of(it));
    free(*r);
    *r = NULL;
}

void rtmp_local(const struct rtmp *r, struct addr *out)
{
    conn_listener_local(r->listener, out);
}

const char *rtmp_bad_input_name(enum rtmp_bad_input kind)
{
    static const char *const names[] = {"handshake", "chunk", "command", "media"};

    static_assert(LEN(names) == RTMP_BAD_INPUTS, "a name each");
    return names[kind];
}

const char *rtmp_session_state_name(enum rtmp_session_state state)
{
    static const char *const names[] = {"handshake", "commands", "claiming", "publishing", "ended"};

    static_assert(LEN(names) == RTMP_SESSION_ENDED + 1, "a name each");
    return names[state];
}

const struct rtmp_counters *rtmp_counters(const struct rtmp *r)
{
    return &r->host.counters;
}

void rtmp_each(const struct rtmp *r, void (*fn)(void *arg, const struct rtmp_session_facts *f), void *arg)
{
    struct rtmp_session_facts facts;

    list_for_each(it, &r->host.sessions) {
        rtmp_session_facts(rtmp_session_of(it), &facts);
        fn(arg, &facts);
    }
}
