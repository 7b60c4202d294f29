/* SPDX-License-Identifier: Apache-2.0
 * udp_priv.h - the two halves of a UDP socket: udp.c opens and receives, udp_out.c sends. */
#pragma once

#include "io/timer.h"
#include "io/udp.h"

#include <netinet/udp.h>
#include <stdbool.h>
#include <uv.h>

enum {
    SEGMENTS_MAX = 64,         /* UDP_MAX_SEGMENTS of kernels before 6.9 */
    MESSAGE_BYTES_MAX = 64000, /* an IPv4 datagram's 65507 bytes of payload, rounded down */
    CALL_MESSAGES = 64,        /* a sendmmsg; more gains nothing measurable */
    RECV_MESSAGES = 32,        /* a recvmmsg */
    RECV_MESSAGE_BYTES = 65536, /* what UDP_GRO may merge into one message */
    RECV_STAGGER_BYTES = 320,
};

/* Datagrams to one address that lie one after the other in the arena, equally long but for the last. */
struct out_message {
    struct addr to;         /* as the socket's family wants it */
    uint32_t at, len, sent; /* bytes in the arena; sent counts from at */
    uint16_t segment_bytes;
    uint16_t count;
    bool ended; /* a shorter datagram ended it */
    bool plain; /* GSO was refused for it */
};

struct udp_out {
    uint8_t *arena;
    struct out_message *messages;
    size_t head, tail; /* messages [head, tail) wait */
    struct out_message *open; /* the last of them, while any datagram that is not longer may simply be appended; NULL: see udp_out.c */
    size_t used_bytes; /* of the arena */
    struct turn_hook hook;
    bool gso;
    bool unfragmented; /* IPv4: datagrams leave with "don't fragment" */
    bool blocked;      /* the socket is full: waiting for it to be writable */
    struct addr to;    /* of the datagram reserved, unless it goes where the last message goes */
    bool again;        /* it does */
    uint8_t *reserved; /* NULL: none; else in the arena, or scratch */
    size_t reserved_cap;
    uint8_t scratch[UDP_DATAGRAM_MAX]; /* where datagrams are written that will be dropped */
};

/* ---- The address each peer sent to (udp_source.c) -------------------------------------------- */

/* Peers as the socket's family names them; local addresses of IPv4 in their mapped form. */
struct udp_sources;

struct udp_sources *udp_sources_create(int family); /* the socket's; NULL when memory is short */
void udp_sources_destroy(struct udp_sources **s);
/* The peer sent to that address of ours. */
void udp_sources_push(struct udp_sources *s, const struct addr *peer, const struct in6_addr *local, uint64_t now_us);
/* What has to be said to answer from there; NULL: nothing, the system would choose it, or it is not known. */
const struct in6_addr *udp_sources_find(struct udp_sources *s, const struct addr *peer);
/* It will be looked for soon: asks for it to be in the processor's cache by then. */
void udp_sources_prefetch(struct udp_sources *s, const struct addr *peer);

/* ---- The socket ------------------------------------------------------------------------------ */

struct udp_in {
    struct udp_recv *recv;
    struct udp_datagram batch[UDP_BATCH_MAX];
    size_t batched;
    uint64_t looked_us;
    uint64_t dense_from_us, dense_received; /* when the window began, and what had come by then */
    bool dense;
    uint32_t overflows; /* SO_RXQ_OVFL's count when last seen */
    struct turn_hook look; /* in worker.media unless cfg.after_media */
    struct turn_hook hook; /* cfg.after_media: something is to be read */
    struct timer soon;     /* and the next look, in a turn that there is anyhow (lazy) */
    struct timer rest;     /* at the latest */
    uint64_t unread_us;    /* since when it has not been read to its end; 0: it has */
    bool resting;          /* until then the system is not asked whether there is something */
    bool sparing;          /* the worker is busy: it is woken less often for what viewers say */
    bool hurried;          /* but somebody's handshake is under way (udp_hurry) */
};

struct udp_socket {
    struct worker *worker;
    struct udp_cfg cfg;
    uv_poll_t poll;
    int fd;
    bool v6;
    bool closed;
    struct udp_counters counters;
    struct udp_sources *sources; /* NULL: bound to one address, which is the source of all */
    struct udp_in in;
    struct udp_out out;
};

/* 0 or -ENOMEM. */
MUST_USE int udp_out_init(struct udp_socket *s);
void udp_out_fini(struct udp_socket *s);
/* Sends as far as the socket takes it. */
void udp_out_flush(struct udp_socket *s);
/* The socket takes more again. */
void udp_out_on_writable(struct udp_socket *s);
/* Asks for readiness: always to read, to write when out.blocked. */
void udp_want(struct udp_socket *s);
