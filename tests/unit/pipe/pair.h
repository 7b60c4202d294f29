/* SPDX-License-Identifier: Apache-2.0
 * pair.h - a parent and a child node in one loop, joined by real TLS and UDP on loopback.
 *
 * The parent has a router fed by the test; the child keeps what it is given. What crosses between them can be
 * dropped and looked at: pipe_rx_take and pipe_tx_feedback are wrapped (see CMakeLists.txt). */
#pragma once

#include "../io/loop.h"
#include "../secure/pki.h"

#include "pipe/pipe_client.h"
#include "pipe/pipe_server.h"
#include "router/router.h"

enum { PAIR_PACKETS_MAX = 16384, PAIR_POOL = 40000 };

/* A child's subscription, and all that came by it. */
struct pair_sink {
    struct pipe_subscription *s;
    struct track_set tracks;
    struct pipe_path source;
    unsigned subscribed, caught_up, went_away, thinned;
    int refused, lost, ended; /* the last reason; 0: none */
    struct packet *packets[PAIR_PACKETS_MAX];
    size_t n, n_at_caught_up;
    bool close_at_first; /* closes itself in on_packet */
};

struct pair {
    struct test_loop loop;
    char folder[64];
    /* the parent */
    struct srtp_engine *parent_engine;
    struct tls_ctx *parent_tls;
    struct pool *parent_pool;
    struct router_set *routers;
    struct router *router;
    struct producer producer;
    uint64_t producer_want, producer_patience_us;
    unsigned keyframes_asked;
    struct pipe_path source; /* given as the stream's */
    struct pipe_server *server;
    struct addr control, media;
    char control_text[ADDR_TEXT_CAP];
    /* the child */
    struct srtp_engine *child_engine;
    struct tls_ctx *child_tls, *stranger_tls;
    struct pool *child_pool;
    struct pipe_client *client;
    struct pair_sink sink;
};

int pair_setup(void **state);
int pair_teardown(void **state);

/* A context with the certificate folder/name. */
struct tls_ctx *pair_make_tls(const char *folder, enum tls_use use, const char *name);

/* Video "0" with two layers, audio "1" with one. */
struct track_set pair_tracks(uint64_t epoch);
/* Publishes and is ready at once. */
void pair_publish(struct pair *p, uint64_t epoch);
/* A packet whose every field follows from its identity; a keyframe when key. */
struct packet *pair_packet(struct pair *p, unsigned track, unsigned layer, uint64_t seq, bool key);
void pair_push(struct pair *p, unsigned track, unsigned layer, uint64_t seq, bool key);
/* Layer 0 of the video, n packets from seq on, `gop` packets a group; an audio packet after every fourth. A
 * loop turn each `a_turn` of them. */
void pair_push_run(struct pair *p, uint64_t seq, size_t n, size_t gop, size_t a_turn);

void pair_subscribe(struct pair *p, struct pair_sink *sink, const struct pipe_subscribe_cfg *cfg);
/* The usual one: everything native of "live/test". */
void pair_join(struct pair *p);
void pair_sink_fini(struct pair_sink *sink);
void pair_check_packet(struct pair *p, const struct packet *got);
/* How many packets of a layer came; they must be [first, first + count) with none twice. */
void pair_check_layer(const struct pair_sink *sink, unsigned track, unsigned layer, uint64_t first,
                      size_t count);
size_t pair_count(const struct pair_sink *sink, unsigned track, unsigned layer);

/* Runs the loop until *value >= least; fails after 20 s. */
void pair_until_size(struct pair *p, const size_t *value, size_t least);
void pair_until(struct pair *p, const unsigned *value, unsigned least);
void pair_until_set(struct pair *p, const int *value);
void pair_run_for(struct pair *p, uint64_t us);

/* ---- The path -------------------------------------------------------------------------------- */

struct pair_path {
    /* whether the datagram, the first of its (SSRC, sequence), is lost; NULL: none is */
    bool (*lose)(uint32_t ssrc, uint16_t seq);
    size_t again; /* so many retransmissions are lost, too */
    size_t lost, differing; /* differing: retransmissions that are not the very same bytes */
    bool deaf;              /* the parent hears no feedback at all */
    bool keep;              /* remember a datagram and a feedback */
    uint8_t datagram[1500], feedback[1500];
    size_t datagram_len, feedback_len;
};
struct pair_path *pair_path(void);
