/* SPDX-License-Identifier: Apache-2.0
 * thread.h - one thread of the load tester: its share of the plan's viewers and publishers, and what it counts.
 *
 * Thread: a load_thread is its worker's; the main thread makes it, starts it, and gets tallies by mail.
 * Ownership: heap, the runner's. */
#pragma once

#include "assoc.h"
#include "base/list.h"
#include "fetch.h"
#include "http_client.h"
#include "media_source.h"
#include "plan.h"
#include "stamp.h"
#include "tally.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    LOAD_THREADS_MAX = 64,
    LOAD_ICE_AGENTS = 64, /* each remembers at most 200 checks under way */
};

/* What holds for all viewers. */
struct load_options {
    double check;          /* share of packets to decrypt, 0..1 */
    double timeout_s;      /* to join */
    bool no_feedback;      /* no NACK, PLI, transport-cc */
    bool no_rtx, no_transport_cc; /* not offered */
    bool no_events;        /* WHEP's server-sent events are not asked for */
    bool reconnect;        /* who loses the server comes again */
    const char *bearer;    /* token for WHEP, WHIP and FLV; "" none */
    struct tls_ctx *tls;   /* for https and rtmps */
    uint32_t network;      /* of PORT_SHARED, host byte order; 0: not given */
    unsigned network_bits;
    bool each;             /* PORT_EACH whatever the server */
    const enum srtp_profile *profiles; /* NULL: all */
};

/* A group with what the runner found out about it. */
struct load_group {
    const struct plan_group *plan;
    const struct media_source *media; /* publishers; shared, read-only */
    struct addr *to;                  /* address of each stream's host */
    unsigned n_to;
};

struct load_thread;
struct viewer;

/* A viewer's kind. */
struct viewer_ops {
    /* 0, or -1: viewer_failed was called. */
    int (*start)(struct viewer *v);
    /* Says goodbye and lets go of all but the memory. politely: the server is told. */
    void (*close)(struct viewer *v, bool politely);
    /* What a viewer waits for that has not joined: "http", "ice" ...; publishers: NULL. */
    const char *(*awaits)(const struct viewer *v);
    /* Before it is freed, never from within one of its own callbacks; may be NULL. */
    void (*fini)(struct viewer *v);
};

/* At the head of each kind. Freed by the thread some time after it was closed, never from within a callback. */
struct viewer {
    struct list link; /* in its thread's viewers, then in its dead */
    struct load_thread *thread;
    const struct viewer_ops *ops;
    const struct load_group *group;
    unsigned stream;     /* {n} */
    uint64_t started_us, deadline_us;
    uint64_t media_us;   /* when media came last */
    bool joined, closed;
    bool publisher;
    /* Two in one place, while one goes over to another server: */
    struct viewer *replacement; /* comes, and takes over with its first media; NULL: none */
    struct viewer *replaces;    /* plays on until then; NULL: none, or it has been lost meanwhile */
    char *moved_to;             /* where the server said; NULL: the group's URL */
    bool comes_back;            /* in the place of one that lost its server */
    char refused[TALLY_CAUSE_BYTES / 2]; /* why it was told to come again later; "": it was not */
};

struct viewer *whep_viewer_create(void); /* NULL when memory is short */
struct viewer *flv_viewer_create(void);
struct viewer *rtmp_publisher_create(void);
struct viewer *whip_publisher_create(void);

/* Media came (publishers: the server has accepted). at_us by the worker's clock. */
void viewer_joined(struct viewer *v, uint64_t at_us);
void viewer_keyframe(struct viewer *v, uint64_t at_us);
/* It is over; ops->close is called. */
void viewer_failed(struct viewer *v, const char *cause);
/* The same because of an HTTP answer, or because there was none. */
void viewer_http_failed(struct viewer *v, const struct http_answer *a);
/* The server has said to come again, and why. */
void viewer_refused(struct viewer *v, const struct http_answer *a);
/* The server wants it to be elsewhere: another one joins there in its place. */
void viewer_move(struct viewer *v, const char *url);
/* Of its time to join. */
uint64_t viewer_left_us(const struct viewer *v);
/* It leaves as planned; ops->close is called. */
void viewer_leave(struct viewer *v);
/* Its URL with its {n}, or where it was sent to, and that host's address. */
int viewer_url(const struct viewer *v, struct url *out, struct addr *to);
const struct addr *viewer_to(const struct viewer *v);
/* Starts another one in the place of v, which was sent elsewhere, or has lost its server. NULL when memory is short. thread.c */
struct viewer *viewer_replace(struct viewer *v, const char *url);
/* Arrival by the worker's clock of what the kernel got at unix_us. */
uint64_t viewer_at_us(const struct viewer *v, uint64_t unix_us);

/* Where a group stands in this thread. */
struct group_progress {
    unsigned started;   /* of this thread's share, churn not counted */
    double churn_debt;
    bool ended;
};

struct load_thread {
    struct worker *worker;
    unsigned index, n_threads;
    const struct load_options *options;
    const struct plan *plan;
    const struct load_group *groups;
    struct group_progress progress[PLAN_GROUPS_MAX];
    struct assoc_shared shared;
    struct ice_agent *ice[LOAD_ICE_AGENTS];
    unsigned next_ice;
    struct list viewers, dead;
    unsigned alive, playing; /* viewers only */
    struct timer tick, nap;
    uint64_t start_us, last_tick_us, next_mail_us;
    bool ending;
    enum port_mode port_mode;
    struct tally tally;
    struct stamp_firsts firsts;
    struct worker *main;
    void (*on_tally)(void *arg, struct load_thread *t, const struct tally *tally, unsigned playing, bool last);
    void *arg;
};

/* 0 or a negative errno, with a line in err. */
MUST_USE int load_thread_init(struct load_thread *t, char err[PLAN_ERROR_CAP]);
/* "one for all" or "one a viewer". */
const char *load_thread_sockets(const struct load_thread *t);
/* From the main thread: everyone leaves now. */
void load_thread_stop(struct load_thread *t);
void load_thread_fini(struct load_thread *t);
