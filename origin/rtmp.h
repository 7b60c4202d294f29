/* SPDX-License-Identifier: Apache-2.0
 * rtmp.h - the RTMP server of one worker: publishers in, nobody out.
 *
 * "rtmp://host/app" with the stream key "name" publishes "app/name"; a query behind the key is cut off and
 * kept. Plain TCP or TLS (rtmps). Whatever a peer sends wrong closes its own connection, is counted and
 * logged with its address.
 * Thread: the worker's. Source: Adobe RTMP specification 1.0; Veovera Enhanced RTMP v2. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"
#include "origin/rtmp_media.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct relay;
struct rtmp;
struct tls_ctx;
struct token_key;

struct rtmp_cfg {
    struct addr listen;
    struct tls_ctx *tls;    /* NULL: plain; borrowed for the call */
    bool reuse_port;        /* all workers listen on the same port */
    struct relay *relay;    /* outlives the server */
    bool audio_transcode;   /* announce a derived track beside the audio */
    const struct token_key *key; /* secure/token.h; publishers must show a token of it, as NAME?token=TOKEN. NULL: anybody may publish.
                                    Borrowed */
    /* Why one more publisher is not taken now; NULL: it is. NULL function: all are. */
    const char *(*refusal)(void *arg);
    void *arg;
    size_t cap_connections; /* 0: 1024; more are refused at once */
    /* How long the handshake may take, from there to publish, and a publisher be silent; 0: 10, 30, 30 s. */
    uint64_t handshake_us, publish_us, idle_us;
};

/* 0 or a negative errno. */
MUST_USE int rtmp_open(struct rtmp **out, struct worker *w, const struct rtmp_cfg *cfg);
/* Ends every publishing and closes every connection. */
void rtmp_close(struct rtmp **r);
void rtmp_local(const struct rtmp *r, struct addr *out);

/* ---- For statistics -------------------------------------------------------------------------- */

enum rtmp_bad_input {
    RTMP_BAD_HANDSHAKE,
    RTMP_BAD_CHUNK,
    RTMP_BAD_COMMAND, /* AMF, control messages, commands out of order */
    RTMP_BAD_MEDIA,
    RTMP_BAD_INPUTS
};

const char *rtmp_bad_input_name(enum rtmp_bad_input kind);

struct rtmp_counters {
    uint64_t connections; /* accepted */
    uint64_t publishes;   /* granted */
    uint64_t refused_taken, refused_name, refused_overload, refused_codec, refused_play, refused_token;
    uint64_t timed_out;       /* handshake, publish or data did not come in time */
    uint64_t revoked;         /* lost their name to another publisher */
    uint64_t messages, bytes; /* received */
    uint64_t bad_input[RTMP_BAD_INPUTS];
};

const struct rtmp_counters *rtmp_counters(const struct rtmp *r);

enum rtmp_session_state {
    RTMP_SESSION_HANDSHAKE,
    RTMP_SESSION_COMMANDS, /* connected or about to; publishes nothing */
    RTMP_SESSION_CLAIMING,
    RTMP_SESSION_PUBLISHING,
    RTMP_SESSION_ENDED, /* only what is queued still goes out */
};

/* Valid for the call only. */
struct rtmp_session_facts {
    const char *id;      /* unguessable */
    const char *stream;  /* "" before publish */
    const char *params;  /* the query that came with the name, "" without one */
    const char *encoder; /* as the client names itself */
    const struct addr *peer;
    uint64_t started_unix_us;
    uint64_t bytes, messages;
    enum rtmp_session_state state;
    struct rtmp_media_facts media; /* zero before publish */
};

const char *rtmp_session_state_name(enum rtmp_session_state state);
void rtmp_each(const struct rtmp *r, void (*fn)(void *arg, const struct rtmp_session_facts *f), void *arg);
