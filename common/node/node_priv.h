/* SPDX-License-Identifier: Apache-2.0
 * node_priv.h - what the files of node/ share.
 *
 * node.c         command line, start, signals, orderly end
 * node_worker.c  one worker's parts, opened and closed
 * certificates.c of HTTPS and pipes, and the tokens' key: read at the start and on SIGHUP
 * audience.c     how many watch a stream, here and elsewhere
 * route.c        /route/play/..., /route/publish/...: which node a client should use
 * drain.c        whether a client is let in; draining
 * gather.c       a question to all workers and the main thread, answered once
 * operator.c     who may drain this node and see its sessions
 * events.c       /api/v1/streams/events: who publishes, as server-sent events
 * api.c          /healthz /readyz /metrics /api/v1/... and the pages
 * metrics.c      figures as Prometheus text
 * config.c       the YAML file */
#pragma once

#include "base/list.h"
#include "cache/cache.h"
#include "directory/directory.h"
#include "directory/locate.h"
#include "http/static.h"
#include "io/cidr.h"
#include "io/timer.h"
#include "node/node.h"
#include "relay/hub.h"

#include <stdatomic.h>

enum { WORKERS_MAX = 256 };

/* What a worker tells the main thread once a second. */
struct worker_facts {
    _Atomic unsigned publishers, viewers, streams, children;
    _Atomic unsigned admitted; /* since viewers was counted last */
    _Atomic uint64_t refused, redirected;
    _Atomic uint64_t sent_bytes;
    _Atomic bool overloaded;
};

/* A worker with what only node/ touches. */
struct seat {
    struct node_worker w;
    char name[8]; /* "w0" */
    struct worker_facts facts;
    struct timer beat;
    struct http_static *pages;
    bool closed;
    struct mail round; /* of the orderly end */
    struct mail drain_mail;
    _Atomic bool drain_posted; /* it is under way */
};

/* Of what was configured; NULL: not given. */
struct certificates {
    struct tls_ctx *http, *pipe_server, *pipe_client;
};

struct audience;

struct node {
    struct config config;
    const struct role *role;
    struct worker *main;
    struct hub *hub;
    struct directory *directory;
    struct locator *locator;         /* read-only once it runs */
    struct cidr *proxies;            /* whose X-Forwarded-For is believed */
    size_t n_proxies;
    struct node_record self;
    struct audience *audience;       /* the main thread's */
    struct list watches;             /* events.c: the main thread's */
    _Atomic unsigned n_watches;
    struct cache_budget budget;
    struct cert *cert;
    struct rtc_sctp_stack *sctp;     /* NULL: no data channels */
    char *ice_link;                  /* see node_ice_link */
    struct certificates certificates;
    struct seat *seats;
    size_t n;
    struct relay *relays[WORKERS_MAX];
    uint64_t started_us; /* unix */
    bool ready_once;     /* the directory was there: this node can be found */
    struct timer beat;
    struct signal_watch *signals[3];
    uint64_t cpu_us, cpu_at_us, sent_bytes; /* as of the last beat */
    unsigned rounds_left, answers_left;     /* of the orderly end */
    bool ending, directory_closed;
    _Atomic bool draining;     /* self.draining, for the workers */
    _Atomic uint64_t egress_bps;
    _Atomic uint32_t cpu_permille;
    struct timer drain;
    uint64_t drain_until_us;   /* monotonic: the node ends when it is drained, or then; 0: it does not end */
};

/* ---- node_worker.c ---- */
/* `at`, for the worker: its port is that and its index; any port stays any. */
struct addr port_of_worker(const struct addr *at, unsigned index);
MUST_USE int seat_open(struct node *n, unsigned index, char error[CONFIG_ERROR_CAP]);
/* On the worker's thread: brings its facts up to date, as happens once a second. */
void seat_count(struct seat *s);
/* On the worker's thread. */
void seat_close(struct seat *s);
/* After all workers have ended and relay_clear was called on each. */
void seat_destroy(struct seat *s);

/* ---- certificates.c ---- */
/* Reads the configured files. 0, or -1 with a line in error. */
MUST_USE int certificates_open(struct certificates *out, const struct config *c, char error[CONFIG_ERROR_CAP]);
void certificates_fini(struct certificates *c);
/* On the main thread (SIGHUP): reads these files and the tokens' key again; what connects from now on meets the new ones. When one is not
 * good, the log says why, and all stay as they are. */
void certificates_reload(struct node *n);

/* ---- gather.c ---- */

/* What one worker, or the main thread, adds. */
struct part {
    json_t *json;
    struct metrics *metrics;
};

struct question {
    void (*on_worker)(struct node_worker *w, struct part *out); /* NULL: the workers are not asked */
    void (*on_main)(struct node *n, struct part *out);          /* NULL: the main thread is not asked */
    /* Answers; parts[0..n) are the workers', parts[n] the main thread's; they are freed afterwards. */
    void (*answer)(struct http_exchange *x, struct part *parts, size_t n);
};

/* Takes over x and replies to it when all have spoken; 503 when memory is short. */
void gather(struct node_worker *w, struct http_exchange *x, const struct question *q);

/* ---- operator.c ---- */

/* gather() for the operator: with http.admin_token, or where none is configured from this host itself; 401 for others. */
void operator_ask(struct node_worker *w, struct http_exchange *x, const struct question *q);

/* ---- audience.c ---- */
MUST_USE int audience_open(struct node *n);
/* On the worker's thread, once a second. */
void audience_report(struct seat *s);
/* The node ends: tells the directory, while it is there, that nobody watches here. */
void audience_end(struct node *n);
void audience_close(struct node *n);

/* ---- route.c ---- */
/* Reads the configuration's ranges, file and proxies. 0, or -1 with a line in error. */
MUST_USE int route_init(struct node *n, char error[CONFIG_ERROR_CAP]);
void route_fini(struct node *n);
void route_open(struct node_worker *w);

/* ---- events.c ---- */
/* On the main thread, once there is a hub. */
void events_init(struct node *n);
void events_open(struct node_worker *w);

/* ---- node.c ---- */
/* The orderly end begins. */
void node_end(struct node *n);

/* ---- drain.c ---- */
void drain_init(struct node *n);
/* The API's routes. */
void drain_open(struct node_worker *w);
/* SIGTERM: drains, and ends the node afterwards. False: there is no need to, end at once. */
bool drain_to_end(struct node *n);
/* Why one more client is not taken; NULL: it is, then admission_count. */
const char *admission_refusal(struct node_worker *w);
void admission_count(struct node_worker *w);
/* 503 with a jittered Retry-After. */
void admission_refuse(struct node_worker *w, struct http_exchange *x, const char *why);

/* ---- api.c ---- */
/* pages: the folder of web pages; NULL: none. */
void api_open(struct node_worker *w, struct http_static *pages);
