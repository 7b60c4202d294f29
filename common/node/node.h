/* SPDX-License-Identifier: Apache-2.0
 * node.h - what the three roles have in common: a process with its workers, from the command line to the last byte.
 *
 * node_main reads the configuration, opens every worker's parts (relay, HTTP, WebRTC port, pipe ends) and the role's own, then
 * runs. The role's code sees one struct node_worker a worker and nothing of the others.
 * Thread: struct node_worker is its worker's; role.open is called for each on the main thread before any of them runs. */
#pragma once

#include "base/compiler.h"
#include "http/server.h"
#include "io/worker.h"
#include "node/config.h"
#include "node/metrics.h"
#include "relay/relay.h"

#include <jansson.h>

struct node;
struct cert;
struct pipe_client;
struct pipe_server;
struct rtc_endpoint;
struct srtp_engine;
struct token_key;

struct node_worker {
    struct node *node;
    const struct config *config;
    struct worker *worker;
    unsigned index;
    struct relay *relay;
    struct http_server *http;
    struct srtp_engine *srtp;
    struct rtc_endpoint *rtc;      /* NULL for a role without WebRTC */
    struct pipe_client *pipe_client; /* NULL for a role that does not pull */
    struct pipe_server *pipe_server; /* NULL for a role without children */
    struct token_key *key;         /* secure/token.h: of who publishes at an origin, who plays at an edge; NULL: anybody may */
    void *role;                    /* the role's own, set by its open() */
};

/* What the role adds to the node's figures; filled in on the worker. */
struct role_facts {
    unsigned publishers, viewers;
    uint64_t sent_bytes; /* media over HTTP, so far; what WebRTC and pipes send is counted by the node */
};

struct role {
    enum node_role role;
    bool webrtc, pulls, serves; /* has a WebRTC port; pulls from parents; has children */
    uint64_t gather_us;         /* pipe_client_cfg's */
    /* Opens the role's servers on w and sets w->role. 0, or -1 with one clear line in error. */
    int (*open)(struct node_worker *w, char error[CONFIG_ERROR_CAP]);
    /* On the worker's thread at the end: sessions end, servers close. May close w->http itself, where the order matters. */
    void (*close)(struct node_worker *w);
    /* Appends its sessions, as objects, to the JSON array. May be NULL. */
    void (*sessions)(struct node_worker *w, json_t *array);
    /* Adds its figures. May be NULL. */
    void (*metrics)(struct node_worker *w, struct metrics *m);
    void (*facts)(struct node_worker *w, struct role_facts *out);
    /* Viewers are sent to other nodes, spread over spread_us; or (false) may stay after all. May be NULL. */
    void (*drain)(struct node_worker *w, bool on, uint64_t spread_us);
};

/* The configured ICE servers as a Link field's value; NULL: none. Lives as long as the node. */
const char *node_ice_link(const struct node_worker *w);

/* The whole process: returns the exit code (0: stopped in order, 1: could not start, with one line on stderr that says why). */
int node_main(int argc, char **argv, const struct role *role);
/* Lets the worker at index answer x: handler runs there, with that worker's own struct node_worker (http/forward.h), whose role is NULL
 * where the worker has closed meanwhile: the node ends. False when there is no such worker; x is then still the caller's. */
bool node_forward(const struct node_worker *w, struct http_exchange *x, unsigned index,
                  void (*handler)(struct http_exchange *x, void *node_worker));

/* Whether this node takes the client; when not, x is answered: 503 with Retry-After. Called on w's thread. */
bool node_admit(struct node_worker *w, struct http_exchange *x);
/* Why one more client is not taken, for protocols other than HTTP; NULL: it is. */
const char *node_refusal(struct node_worker *w);
/* As node_admit for a WHEP POST of a stream, in a moment: go(x, arg) when it is let in; else x is answered, where route.redirect is on with 307 to
 * an edge that is nearer to the client, or that takes it while this one does not. */
void node_admit_viewer(struct node_worker *w, struct http_exchange *x, const char *stream,
                       void (*go)(struct http_exchange *x, void *arg), void *arg);
/* The WHEP URL of the stream at another edge for the client at `client`: on_known(arg, id, url) comes from the loop, url NULL when there
 * is none. */
void node_find_edge(struct node_worker *w, const struct addr *client, const char *stream,
                    void (*on_known)(void *arg, uint64_t id, const char *url), void *arg, uint64_t id);
/* How many watch a stream, at this node and, as far as they have told, at others: on_known comes from the loop. */
void node_count_viewers(struct node_worker *w, const char *stream,
                        void (*on_known)(void *arg, const char *stream, uint64_t viewers), void *arg);
/* Who the client is behind proxies that are trusted (route.trusted_proxies). */
void node_client(const struct node_worker *w, const struct http_exchange *x, struct addr *out);
