/* SPDX-License-Identifier: Apache-2.0
 * rtmp_session.h - one RTMP connection: handshake, commands, publishing.
 *
 *   HANDSHAKE -> COMMANDS -> CLAIMING -> PUBLISHING -> COMMANDS ... -> ENDED
 *
 * Thread: the worker's. Ownership: made for an accepted connection and frees itself when the connection
 * has closed; until then it is in its server's list. */
#pragma once

#include "base/list.h"
#include "origin/rtmp.h"
#include "secure/conn.h"

/* What a session needs of its server; the session may outlive it (see rtmp_session_close). */
struct rtmp_host {
    struct worker *worker;
    struct relay *relay;
    struct rtmp_counters counters;
    struct list sessions;
    size_t n_sessions;
    bool audio_transcode;
    uint64_t handshake_us, publish_us, idle_us;
    const struct token_key *key;
    const char *(*refusal)(void *arg);
    void *arg;
};

struct rtmp_session;

/* Takes the connection over; when memory is short it is closed. */
void rtmp_session_open(struct rtmp_host *host, struct conn *conn);
/* The host goes away: the publishing ends now, the rest when the connection has closed. */
void rtmp_session_close(struct rtmp_session *s);
struct rtmp_session *rtmp_session_of(struct list *link);
void rtmp_session_facts(const struct rtmp_session *s, struct rtmp_session_facts *out);
