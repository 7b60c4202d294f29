/* SPDX-License-Identifier: Apache-2.0
 * sctp.h - SCTP associations of data channels, over datagrams that the caller carries (DTLS).
 *
 *   rtc_sctp_create -> send() of our INIT ...; what comes goes to rtc_sctp_feed
 *   on_up           -> rtc_sctp_send; on_message
 *   rtc_sctp_destroy, also from within any callback but send
 *
 * The protocol is libusrsctp's, without its sockets and threads. Its state is the process's: associations of all
 * workers are in the same tables, their timers in one queue. Its own locks are made for this; what they do not give is
 * that an association whose owner has closed it is not within a timer on another thread at that moment. So there is
 * one lock around the library (struct rtc_sctp_stack), held for a call at a time, never during a callback but send.
 * Only data channels ever take it: media does not come near. The stack's timer runs on the main worker, and only while
 * there are associations; what it makes an association of another worker send goes there by mail.
 *
 * Thread: a stack is shared by all; its timer is that of the worker it was opened with. An association is its worker's.
 * Source: RFC 9260 (SCTP), RFC 8261 (over DTLS), RFC 8831 s6 (options), RFC 6525 (stream reset), RFC 3758 (partial
 * reliability). */
#pragma once

#include "base/compiler.h"
#include "io/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rtc_sctp_stack;
struct rtc_sctp;

enum {
    SCTP_PORT_DEFAULT = 5000,   /* RFC 8841 s4 */
    RTC_SCTP_STREAMS = 32,      /* ids 0 .. 31 each way: 16 channels opened by either side */
    RTC_SCTP_PACKET_MAX = 1160, /* bytes; with DTLS's 37 a datagram stays within DTLS_MTU */
};

/* Once a process; main's timer drives it. 0, or -1 when memory is short. */
MUST_USE int rtc_sctp_stack_open(struct rtc_sctp_stack **out, struct worker *main);
/* After all associations. Clears the pointer; NULL inside is fine. */
void rtc_sctp_stack_close(struct rtc_sctp_stack **s);
/* Associations of all workers. */
size_t rtc_sctp_stack_alive(const struct rtc_sctp_stack *s);

struct rtc_sctp_ops {
    /* One packet for the peer, borrowed; the stack's lock is held: call nothing of sctp.h. */
    void (*send)(void *arg, const uint8_t *packet, size_t len);
    void (*on_up)(void *arg);
    /* A whole message, borrowed. */
    void (*on_message)(void *arg, uint16_t stream, uint32_t ppid, const uint8_t *bytes, size_t len);
    /* The peer has closed its side of the stream; ours is closed by rtc_sctp_reset. */
    void (*on_reset)(void *arg, uint16_t stream);
    /* There may be room again for what was refused. */
    void (*on_room)(void *arg);
    /* The association has failed or ended; only rtc_sctp_destroy is left to call. */
    void (*on_down)(void *arg);
};

struct rtc_sctp_cfg {
    struct rtc_sctp_stack *stack;
    struct worker *worker;      /* the owner's */
    const struct rtc_sctp_ops *ops; /* borrowed */
    void *arg;
    uint16_t port;              /* the peer's; ours is SCTP_PORT_DEFAULT */
    uint32_t message_max;       /* bytes of a message that is taken (and of memory); a longer one is dropped, counted */
    uint32_t recv_bytes, send_bytes; /* what may wait in each direction; both more than the longest message */
};

/* Begins to connect (both sides do: RFC 9260 s5.2.1 makes one association of it). 0, or -1 when memory is short. */
MUST_USE int rtc_sctp_create(struct rtc_sctp **out, const struct rtc_sctp_cfg *cfg);
/* Aborts the association. Clears the pointer; NULL inside is fine. */
void rtc_sctp_destroy(struct rtc_sctp **a);
/* One packet from the peer, whatever it is. */
void rtc_sctp_feed(struct rtc_sctp *a, const uint8_t *packet, size_t len);
/* While paused no messages are taken, so that the peer's window closes; afterwards those that wait come at once. */
void rtc_sctp_pause(struct rtc_sctp *a, bool paused);

enum rtc_sctp_err {
    RTC_SCTP_OK = 0,
    RTC_SCTP_FULL = -1, /* no room at present: on_room tells when to try again */
    RTC_SCTP_DOWN = -2, /* not up (any more), no such stream, or longer than send_bytes: it will never go */
};

struct rtc_sctp_message {
    uint16_t stream;
    bool unordered;
    int32_t retransmits, lifetime_ms; /* of this message at most; negative: without end. Not both */
    uint32_t ppid;
    const uint8_t *bytes;
    size_t len; /* > 0 */
};

/* All of it or nothing. */
int rtc_sctp_send(struct rtc_sctp *a, const struct rtc_sctp_message *m);
/* Closes our side of a stream (RFC 6525, RFC 8831 s6.7). */
void rtc_sctp_reset(struct rtc_sctp *a, uint16_t stream);
bool rtc_sctp_up(const struct rtc_sctp *a);

struct rtc_sctp_counters {
    uint64_t packets_in, packets_out;
    uint64_t oversize; /* messages longer than message_max */
};
const struct rtc_sctp_counters *rtc_sctp_counters(const struct rtc_sctp *a);
