/* SPDX-License-Identifier: Apache-2.0
 * pipe_server_priv.h - what pipe_server.c (sockets, pace) and pipe_child.c (a child's connection) share. */
#pragma once

#include "base/hash.h"
#include "io/timer.h"
#include "io/udp.h"
#include "pipe/control.h"
#include "pipe/pipe_server.h"
#include "pipe/pipe_tx.h"
#include "secure/conn.h"

enum {
    CHILD_HELLO_US = 5000000,   /* TLS and Hello must be through by then */
    CHILD_SILENCE_US = 5000000, /* children ping five times a second */
};

struct pipe_server {
    struct pipe_server_cfg cfg;
    struct worker *worker;
    struct conn_listener *listener;
    struct udp_socket *udp;
    struct addr media;
    struct pipe_tx_shared shared;
    struct timer tick;
    uint64_t ticked_us; /* helpings have been given for the time until then */
    struct hash by_feedback; /* child_stream.by_feedback, by feedback_ssrc */
    struct list children;
    bool draining;
    struct pipe_server_counters counters; /* total: of closed subscriptions */
};

/* A child node's connection. Freed when its conn has closed. */
struct pipe_child {
    struct list link;
    struct pipe_server *server; /* NULL once it is closed */
    struct conn *conn;
    struct control_reader control;
    struct pipe_identity who;
    bool known; /* Hello came */
    struct timer silence;
    struct hash streams; /* child_stream.by_id */
    uint64_t rtt_us;
};

/* One subscription of a child. */
struct child_stream {
    struct pipe_tx tx;
    struct pipe_child *child;
    struct hash_item by_id, by_feedback;
    uint32_t id, feedback_key;
    char stream[STREAM_NAME_MAX + 1];
    struct pipe_path path, source; /* who asks; what we come through */
    uint64_t started_at_us;
    bool subscribed;    /* Subscribed was sent */
    bool indexed;       /* in by_feedback */
    bool opening, over; /* it ended while it was being attached */
};

/* Takes an accepted connection over; closes it when memory is short. */
void pipe_child_open(struct pipe_server *s, struct conn *c);
/* Ends its streams now, the connection in the turns that follow. */
void pipe_child_close(struct pipe_child *c);
void pipe_child_go_away(struct pipe_child *c, const char *reason);
