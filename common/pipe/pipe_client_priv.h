/* SPDX-License-Identifier: Apache-2.0
 * pipe_client_priv.h - what pipe_client.c (socket, subscriptions) and pipe_parent.c (connections) share. */
#pragma once

#include "base/hash.h"
#include "io/job.h"
#include "io/timer.h"
#include "io/udp.h"
#include "pipe/control.h"
#include "pipe/pipe_client.h"
#include "pipe/pipe_rx.h"
#include "secure/conn.h"

enum {
    PARENT_TICK_US = 100000,
    PARENT_PING_TICKS = 2, /* and at once after Hello */
    PARENT_REPORT_TICKS = 10,
    /* Counted as well as measured: a thread that was held up counts one, and has read its sockets before that. */
    PARENT_SILENT_TICKS = PIPE_SILENCE_US / PARENT_TICK_US,
    CLOCK_SAMPLES = 8,
    SSRC_BLOCK_BITS = 12, /* of an SSRC: 64 associations of 64 layers */
    CLIENT_SEATS = 64,
    PARENT_ADDRESS_MAX = 255,
};

struct client_seat {
    struct pipe_subscription *s; /* NULL: free */
    uint32_t block;
};

struct pipe_client {
    struct pipe_client_cfg cfg; /* cfg.tls is referenced */
    struct worker *worker;
    struct udp_socket *udp;
    struct list parents; /* all that are not down */
    struct hash by_block; /* pipe_subscription.by_block */
    uint32_t next_block;
    struct client_seat seats[CLIENT_SEATS]; /* by block, those whose datagrams came last; else by_block knows */
    uint64_t unknown; /* datagrams for no subscription */
};

enum parent_state {
    PARENT_RESOLVING,
    PARENT_CONNECTING, /* TCP, TLS, Hello */
    PARENT_UP,
    PARENT_DOWN, /* nothing comes any more; it lives on for those who hold it */
};

/* Four timestamps of a ping (RFC 5905 s8), as round trip and offset. */
struct clock_sample {
    uint64_t rtt_us;
    int64_t offset_us;
};

/* A connection to a parent node. Counted: by the client while it is not down, by its conn, by a resolving
 * job, by each subscription. */
struct pipe_parent {
    struct list link;
    struct pipe_client *client; /* NULL when down */
    unsigned refs;
    enum parent_state state;
    enum pipe_lost why; /* of PARENT_DOWN */
    char id[PIPE_NODE_ID_MAX + 1], text[PARENT_ADDRESS_MAX + 1];
    struct addr address;
    bool resolved;
    struct job resolve;
    struct addr found_address; /* the job's, until it is done */
    bool found;
    struct conn *conn; /* NULL before connecting and once it has closed */
    struct control_reader control;
    struct timer tick;
    unsigned ticks, silent_ticks; /* silent_ticks: since heard_us */
    uint64_t heard_us;
    uint64_t opened_us, idle_since_us; /* idle_since_us: 0 while there are subscriptions */
    struct list subscriptions;
    struct hash by_id; /* pipe_subscription.by_id */
    uint32_t next_id;
    uint64_t rtt_us;
    struct clock_sample samples[CLOCK_SAMPLES];
    unsigned n_samples;
    struct pipe_counters total; /* of closed subscriptions */
};

enum subscription_state {
    SUBSCRIPTION_WAITING, /* for the parent's Hello */
    SUBSCRIPTION_ASKED,   /* Subscribe is sent */
    SUBSCRIPTION_OVER,    /* on_refused or on_lost was called */
};

struct pipe_subscription {
    /* What each packet touches, together. */
    _Alignas(CACHE_LINE_BYTES) struct pipe_rx rx;
    struct pipe_client *client;
    struct pipe_parent *parent; /* counted */
    uint32_t id, block;         /* block: first SSRC >> SSRC_BLOCK_BITS */
    const struct pipe_subscription_ops *ops;
    void *arg;
    struct timer timer;         /* at rx.wake_us */

    struct list link;           /* in parent->subscriptions, until it is over */
    struct hash_item by_id, by_block;
    enum subscription_state state;
    char stream[STREAM_NAME_MAX + 1];
    uint64_t want, allowed, patience_us;
    uint64_t from_epoch;
    struct pipe_position from[PIPE_STREAM_LAYERS];
    size_t n_from;
    struct pipe_path path; /* who asks through us, and we */
    int refusal;           /* decided here already: an enum pipe_refusal; 0: not */
    bool caught_up; /* on_caught_up, and then on_end(end), once what was sent before is here; end 0: not */
    enum stream_end end;
    struct pipe_counters reported;
};

/* The connection to that node, opened when there is none; NULL when memory is short. Takes no reference. */
struct pipe_parent *pipe_parent_get(struct pipe_client *c, const char *id, const char *text);
void pipe_parent_unref(struct pipe_parent *p);
/* Something authentic came from it. */
static inline void pipe_parent_heard(struct pipe_parent *p, uint64_t now_us)
{
    p->silent_ticks = 0;
    p->heard_us = now_us;
}
/* Ends the connection without a word to the subscriptions. */
void pipe_parent_close(struct pipe_parent *p);
/* Ends it and tells every subscription on_lost. */
void pipe_parent_fail(struct pipe_parent *p, enum pipe_lost why);
void pipe_parent_note_rtt(struct pipe_parent *p, uint64_t rtt_us);
int64_t pipe_parent_offset_us(const struct pipe_parent *p);

void pipe_parent_subscribe(struct pipe_parent *p, struct pipe_subscription *s);
void pipe_parent_send_want(struct pipe_parent *p, const struct pipe_subscription *s);
void pipe_parent_send_keyframe(struct pipe_parent *p, uint32_t id, unsigned track, unsigned layer);
void pipe_parent_send_unsubscribe(struct pipe_parent *p, uint32_t id);

/* What the parent says of a subscription. Each may end in a callback, after which s may be gone. */
void pipe_subscription_on_subscribed(struct pipe_subscription *s, const Pipe__Subscribed *m);
void pipe_subscription_on_started(struct pipe_subscription *s, const Pipe__Started *m);
void pipe_subscription_on_caught_up(struct pipe_subscription *s, const Pipe__CaughtUp *m);
void pipe_subscription_on_stream_end(struct pipe_subscription *s, const Pipe__StreamEnd *m);
void pipe_subscription_on_thinned(struct pipe_subscription *s, uint64_t allowed);
/* Takes it out of its parent; it waits to be closed. */
void pipe_subscription_over(struct pipe_subscription *s);
