/* SPDX-License-Identifier: Apache-2.0
 * ice_tcp.h - a worker's TCP port for WebRTC: passive ICE candidates for clients whose network carries no UDP.
 *
 * Each connection carries the same packets as the UDP port, framed. It becomes a path of a transport when a STUN check
 * with one of our ufrags passes on it; until then it is a stranger's: few of those are kept (the oldest go first), for
 * a short time. What a peer does not read is bounded: beyond ICE_TCP_QUEUE_MAX packets are dropped and counted, and long
 * before that ice_tcp_behind tells whoever chooses what to send. The end of a connection ends its path only.
 *
 * Thread: the worker's. Ownership: connections own themselves; a transport that needs one no more calls ice_tcp_end.
 * Source: RFC 6544 (passive candidates), RFC 4571 (framing). */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ice_tcp;
struct ice_tcp_conn;
struct ice_path;     /* webrtc/transport_priv.h */
struct udp_datagram; /* io/udp.h */

enum {
    ICE_TCP_QUEUE_MAX = 512 << 10, /* bytes that wait for one peer */
    ICE_TCP_STRANGERS_MAX = 256,   /* connections a worker without a valid check: half a megabyte */
    ICE_TCP_STRANGER_US = 10000000, /* so long do they live; a browser's first check follows its connection at once */
};

struct ice_tcp_cfg {
    struct addr listen; /* port 0: any */
    /* One packet, borrowed, may be changed in place; .from is the peer. */
    void (*on_packet)(void *arg, struct ice_tcp_conn *c, struct udp_datagram *d);
    /* c carries nothing more: its path, when it has one, is to be forgotten. Not after ice_tcp_end. */
    void (*on_lost)(void *arg, struct ice_tcp_conn *c);
    void *arg;
};

struct ice_tcp_counters {
    uint64_t accepted, received, sent; /* connections; packets */
    uint64_t strangers;                /* closed: no valid check in time, or too many of them */
    uint64_t malformed;                /* closed: a length that no packet has */
    uint64_t dropped;                  /* packets not sent: the peer does not read */
};

/* Returns 0 or a negative errno. */
MUST_USE int ice_tcp_open(struct ice_tcp **out, struct worker *w, const struct ice_tcp_cfg *cfg);
/* Closes the port and every connection, without a callback. NULL inside is fine. */
void ice_tcp_close(struct ice_tcp **t);
void ice_tcp_local(const struct ice_tcp *t, struct addr *out);
const struct ice_tcp_counters *ice_tcp_counters(const struct ice_tcp *t);

/* The path that it carries; NULL: a stranger's. */
struct ice_path *ice_tcp_path(const struct ice_tcp_conn *c);
void ice_tcp_set_path(struct ice_tcp_conn *c, struct ice_path *path);
/* Space for a packet of up to cap_bytes (<= UDP_DATAGRAM_MAX); follow with one commit. False: dropped, counted. */
__attribute__((noinline)) uint8_t *ice_tcp_reserve(struct ice_tcp_conn *c, size_t cap_bytes);
__attribute__((noinline)) bool ice_tcp_commit(struct ice_tcp_conn *c, size_t len);
/* Something has waited for the peer for half a second: media that is sent now only makes it worse. */
bool ice_tcp_behind(const struct ice_tcp_conn *c);
/* Sends what waits if the peer takes it soon, and closes. */
void ice_tcp_end(struct ice_tcp_conn *c);
