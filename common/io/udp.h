/* SPDX-License-Identifier: Apache-2.0
 * udp.h - a UDP socket that receives and sends in batches.
 *
 * In: recvmmsg with UDP_GRO into buffers of the socket; each datagram is handed out split. Out:
 * datagrams are written straight into the socket's arena; consecutive ones of the same size to the
 * same address leave as one GSO message (UDP_SEGMENT), many messages by one sendmmsg at the end of
 * the loop turn (or earlier when the arena is full). Without GSO (old kernel, device without
 * checksum offload) it falls back to plain sendmmsg. A socket bound to "any" answers each peer from
 * the address that the peer sent to. An error of one peer (ICMP, no route) touches no other.
 *
 * Thread: the worker's. Source: udp(7), Linux Documentation/networking/segmentation-offloads. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    UDP_DATAGRAM_MAX = 1500, /* bytes; what udp_reserve gives at most */
    UDP_BATCH_MAX = 64,      /* datagrams a callback: more gains nothing measurable */
};

struct udp_datagram {
    uint8_t *bytes; /* borrowed until the callback returns; may be changed in place (decryption) */
    size_t len;
    struct addr from;
};

struct udp_socket;

struct udp_cfg {
    struct addr bind;
    int recv_bytes, send_bytes; /* socket buffers asked for (SO_RCVBUFFORCE when allowed); 0: the system's */
    /* While datagrams come faster one after the other, the worker rests so long between two looks at them (worker_rest);
     * 0: never. */
    uint64_t gather_us;
    /* What viewers say: read when the turn's media have been sent, for a bounded time. While they speak it is looked at every 3 ms;
     * on a busy worker in turns that there are anyhow, as of media, and every 10 ms, since waking up costs more than most of what they say. */
    bool after_media;
    /* What was committed is about to be sent or moved: the last moment to write to it. NULL: not interested. */
    void (*on_send)(void *arg);
    /* Bound to "any": from which messages is learnt that their sender knows us by the address they came to. NULL: from all. */
    bool (*tells_address)(const uint8_t *bytes, size_t len);
    void (*on_datagrams)(void *arg, struct udp_datagram *v, size_t n); /* n is 1 .. UDP_BATCH_MAX */
    void *arg;
};

struct udp_counters {
    uint64_t received, received_bytes, sent, sent_bytes; /* datagrams; payload bytes */
    uint64_t send_calls, send_messages;                  /* sendmmsg calls; messages given to them */
    uint64_t dropped_full;   /* not sent: the socket stayed full and the arena too */
    uint64_t dropped_error;  /* not sent: refused by the system (unreachable, ...) */
    uint64_t dropped_kernel; /* received by the kernel, lost before us (SO_RXQ_OVFL) */
};

/* Returns 0 or a negative errno (-EADDRINUSE, ...). */
MUST_USE int udp_open(struct udp_socket **out, struct worker *w, const struct udp_cfg *cfg);
/* Sends what is gathered as far as it goes, closes, clears the pointer. May be called from on_datagrams. */
void udp_close(struct udp_socket **s);
/* With after_media: somebody joins, so what comes is read as soon as on a worker that is not busy, until it is called with false. */
void udp_hurry(struct udp_socket *s, bool hurry);
/* The bound address (port filled in when 0 was asked for). */
void udp_local(const struct udp_socket *s, struct addr *out);
const struct udp_counters *udp_counters(const struct udp_socket *s);

/* Space for a datagram of up to cap_bytes (<= UDP_DATAGRAM_MAX) to `to`; never fails to give space:
 * when all is full the datagram is dropped and counted at udp_commit. Follow with exactly one
 * udp_commit (len 0: changed my mind) before the next udp_reserve. */
uint8_t *udp_reserve(struct udp_socket *s, const struct addr *to, size_t cap_bytes);
void udp_commit(struct udp_socket *s, size_t len);
/* Whether a datagram of len bytes to `to`, committed next, would leave in the message before it. */
bool udp_joins(const struct udp_socket *s, const struct addr *to, size_t len);
/* Both in one, by copy. */
void udp_send(struct udp_socket *s, const struct addr *to, const void *bytes, size_t len);
