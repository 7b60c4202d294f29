/* SPDX-License-Identifier: Apache-2.0
 * tcp.h - TCP connections: gathered writes, shared buffers, no copy for what many send.
 *
 * Writes are gathered and leave in one writev at the end of the loop turn.
 * When the peer ends its direction, what is queued by then is still sent (for 5 s at most).
 * Life of a connection:
 *   1. made by tcp_listen's on_accept or by tcp_connect;
 *   2. on_open once (connect only), then on_data, on_drain as they come;
 *   3. it ends by the peer, by an error, or by tcp_close; on_close is called exactly once, always
 *      from the loop and never from within the caller's own call, and is the last call; the struct tcp
 *      is freed after it returns. After tcp_close no other callback comes.
 * Thread: the worker's. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

/* ---- Shared bytes ---------------------------------------------------------------------------- */

/* Immutable once shared; counted, atomically, so that any thread may drop the last reference. */
struct buf {
    _Atomic uint32_t refs;
    size_t len; /* bytes used; cap is what was asked for at buf_create */
    uint8_t bytes[];
};

/* One reference, len 0; NULL when memory is short. */
struct buf *buf_create(size_t cap_bytes);
struct buf *buf_ref(struct buf *b);
void buf_unref(struct buf **b); /* clears the pointer; NULL inside is fine */

/* ---- Connections ----------------------------------------------------------------------------- */

struct tcp;
struct tcp_listener;

struct tcp_ops {
    /* Connected; may be NULL for accepted ones. */
    void (*on_open)(void *arg);
    /* bytes are borrowed; len > 0. */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len);
    /* The queue fell to zero after it was not; may be NULL. */
    void (*on_drain)(void *arg);
    /* 0: closed by the peer in order; negative errno else; -ECANCELED after tcp_close, tcp_shutdown. */
    void (*on_close)(void *arg, int err);
};

/* Opens a listening socket. reuse_port: several workers listen on the same port and the kernel spreads
 * connections over them; see tcp_probe for how a port in use by someone else is then noticed.
 * on_accept is given each connection; it must call tcp_set_ops (or tcp_close) before it returns.
 * Returns 0 or a negative errno. */
MUST_USE int tcp_listen(struct tcp_listener **out, struct worker *w, const struct addr *bind, bool reuse_port,
                        void (*on_accept)(void *arg, struct tcp *t), void *arg);
void tcp_listener_close(struct tcp_listener **l);
/* The bound address (port filled in when 0 was asked for). */
void tcp_listener_local(const struct tcp_listener *l, struct addr *out);
/* Binds and listens without SO_REUSEPORT, and closes again: -EADDRINUSE when anyone has the port. */
MUST_USE int tcp_probe(const struct addr *bind);

/* Starts connecting; the result comes by on_open or on_close. Returns 0 or a negative errno. */
MUST_USE int tcp_connect(struct tcp **out, struct worker *w, const struct addr *to, const struct tcp_ops *ops,
                         void *arg);
void tcp_set_ops(struct tcp *t, const struct tcp_ops *ops, void *arg);
/* Drops what is queued and closes. */
void tcp_close(struct tcp *t);
/* Sends what is queued, ends our direction, and waits for the peer to end its own (what it still sends
 * is thrown away: to close with unread bytes would make the kernel reset the connection and take our
 * last words with it). All within linger_us; then closes as tcp_close does. No callback but on_close. */
void tcp_shutdown(struct tcp *t, uint64_t linger_us);

/* Copies. A write after the end is ignored. -ENOMEM closes the connection. */
void tcp_write(struct tcp *t, const void *bytes, size_t len);
/* Takes a reference of its own; bytes [from, b->len) are sent without copy. */
void tcp_write_buf(struct tcp *t, struct buf *b, size_t from);
/* Bytes [from, to) without copy, and at once when nothing waits before them: for one who sends the same to many at the
 * end of a turn and has gathered it himself. Only what the kernel does not take is queued. */
void tcp_send_buf(struct tcp *t, struct buf *b, size_t from, size_t to);
/* Until tcp_batch_end, which must come in the same call from the loop, what tcp_send_buf would send at once is gathered and
 * goes to the kernel a hundred sends at a time (io_uring): each costs an eighth less. Where the kernel does not let us, nothing changes.
 * What is gathered counts neither as queued nor as sent. */
void tcp_batch_begin(struct worker *w);
void tcp_batch_end(struct worker *w);
/* Not yet taken by the kernel, which is given at most 128 KiB ahead of what it has sent
 * (TCP_NOTSENT_LOWAT): how far a slow reader is behind is seen here. */
size_t tcp_queued_bytes(const struct tcp *t);
/* tcp_send_buf comes soon: the memory it needs is fetched meanwhile. */
void tcp_soon(const struct tcp *t);
/* Gives back what the queue holds beyond its needs, when it is empty. */
void tcp_trim(struct tcp *t);
/* Another bound than 128 KiB, for what had better wait here. */
void tcp_set_unsent_bytes(struct tcp *t, unsigned bytes);
/* Stops reading (back-pressure) and goes on. */
void tcp_pause(struct tcp *t);
void tcp_resume(struct tcp *t);
const struct addr *tcp_peer(const struct tcp *t);

struct tcp_counters {
    uint64_t accepted, connected, closed;
    uint64_t refused; /* accepted only to be closed: no file descriptors left */
    uint64_t received_bytes, sent_bytes, send_calls;
    uint64_t batched_sends; /* by io_uring; a submission of many is one of the send_calls */
};

/* Of all connections of the worker. */
const struct tcp_counters *tcp_counters(const struct worker *w);
