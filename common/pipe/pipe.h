/* SPDX-License-Identifier: Apache-2.0
 * pipe.h - the words that both ends of a pipe share.
 *
 * A pipe carries streams from a parent node to a child node: control by TLS 1.3 with certificates of the
 * cluster's CA, media by UDP under SRTP (AEAD_AES_128_GCM), packets with the origin's identity.
 *
 * Connections are between workers, not nodes: the worker of the child that is home of a stream opens a
 * connection to the parent's port, where the kernel gives it to one of the parent's workers. Workers
 * share nothing, so that connection, its UDP sockets, its streams and their keys live and die with the
 * two workers: no lock, no hand-over, and no stream waits for one on another worker.
 *
 * Association: what one Subscribed starts. It has keys of its own for each direction, and ends with the next
 * Subscribed of the same subscription (a new epoch of the stream) or with the subscription.
 *   SSRC of a packet = association's first SSRC + track * LAYERS_MAX + layer
 * Each end chooses the SSRCs that it receives, so they are unique on its socket and tell it the
 * association, whatever address a datagram comes from.
 *
 * Plain values; any thread. */
#pragma once

#include "media/packet.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PIPE_VERSION = 1,
    PIPE_PATH_MAX = 8,        /* nodes in a row from the origin on; more is a configuration gone wrong */
    PIPE_PATH_IDS_MAX = 32,
    PIPE_NODE_ID_MAX = 64,    /* bytes, without NUL */
    PIPE_STREAM_LAYERS = TRACKS_MAX * LAYERS_MAX,
    PIPE_SILENCE_US = 700000, /* media silent, pings and hellos unanswered for so long: the parent is lost, and another serves within a second */
};

/* Who a node is, as it says in Hello. The id is the common name of its certificate; one of the name "*" is
 * anybody's, for a cluster that shares one. */
struct pipe_identity {
    char id[PIPE_NODE_ID_MAX + 1];
    char role[16];
    char region[PIPE_NODE_ID_MAX + 1];
};

/* Ids of the nodes that a stream, or a request for it, has come through. A stream comes one way: then they
 * are in their order. Requests of many children become one: then they are those of all, as far as there is
 * room (a loop by one that is left out shows when its stream comes), and depth is the length of the shortest
 * way. */
struct pipe_path {
    size_t n, depth;
    char ids[PIPE_PATH_IDS_MAX][PIPE_NODE_ID_MAX + 1];
};

/* Why a parent does not serve a subscription. Values are those of pipe.proto. */
enum pipe_refusal {
    PIPE_REFUSED_UNKNOWN = 1, /* nobody publishes the stream */
    PIPE_REFUSED_LOOP,        /* the parent is on the child's path, or the child on the stream's way here */
    PIPE_REFUSED_DEPTH,       /* PIPE_PATH_MAX */
    PIPE_REFUSED_OVERLOADED,
    PIPE_REFUSED_DRAINING,
    PIPE_REFUSED_UNREACHABLE, /* the parent could not get it either */
    PIPE_REFUSED_INVALID,     /* the request was not understood */
};

/* "unknown", "loop", ...: for logs and the API. */
const char *pipe_refusal_name(enum pipe_refusal reason);

/* Where a layer goes on. */
struct pipe_position {
    uint8_t track, layer;
    uint64_t seq; /* the first one wanted */
};

/* Counters of one subscription's media, at either end; what an end does not know stays 0. */
struct pipe_counters {
    uint64_t packets, bytes;  /* sent for the first time, or received and delivered; RTP payload bytes */
    uint64_t retransmitted;   /* parent: sent again on request; not in packets */
    uint64_t backfilled;      /* parent: of packets, those out of the cache at the start of a layer */
    uint64_t requested;       /* packets asked for again (child: asked, parent: was asked), repeats included */
    uint64_t gone;            /* parent: was asked for and had not got; child: of given_up, what the parent said it had not got */
    uint64_t lost;            /* seen missing after the reorder window (parent: as the child reports) */
    uint64_t recovered;       /* child: of lost, those that came after all */
    uint64_t repair_us;       /* child: of recovered, from the moment they were missed on, in sum */
    uint64_t slow_repairs;    /* child: of recovered, those that took more than two round trips */
    uint64_t given_up;        /* of lost, those whose deadline passed (parent: as the child reports) */
    uint64_t late;            /* child: came after they were given up; delivered all the same */
    uint64_t duplicates;      /* child: dropped, had them */
    uint64_t stale;           /* child: of an association that is over; dropped */
    uint64_t unauthenticated; /* datagrams that failed authentication or were no RTP; dropped */
    uint64_t exhausted;       /* child: no packet left in the pool; parent: did not fit a datagram; dropped */
};

void pipe_counters_add(struct pipe_counters *sum, const struct pipe_counters *c);
