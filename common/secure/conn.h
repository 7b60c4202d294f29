/* SPDX-License-Identifier: Apache-2.0
 * conn.h - a byte stream, plain TCP or TLS alike: what HTTP, RTMP and pipes are written on.
 *
 * The words and the life of io/tcp.h; ctx == NULL means plain TCP, and then nothing is added: buffers
 * shared by conn_write_buf go out without copy. With TLS, on_open comes after the handshake (on accepted
 * connections too) and everything written is encrypted for this peer alone.
 * Life: made by on_accept or conn_connect; on_open once; then on_data, on_drain; on_close exactly once, from
 * the loop and never from within the caller's own call; the struct conn is freed after it returns. After
 * conn_close only on_close comes. Thread: the worker's. */
#pragma once

#include "base/compiler.h"
#include "io/tcp.h"
#include "secure/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct conn;
struct conn_listener;

enum {
    /* Positive, so that they never meet a negative errno. */
    CONN_ERR_TLS = 1, /* handshake refused or record broken: conn_error says why */
};

struct conn_ops {
    void (*on_open)(void *arg);                                   /* may be NULL */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len); /* borrowed; len > 0 */
    void (*on_drain)(void *arg);                                  /* queue fell to zero; may be NULL */
    /* 0: the peer ended in order; negative errno; -ECANCELED after conn_close; or CONN_ERR_TLS. */
    void (*on_close)(void *arg, int err);
};

/* As tcp_listen. on_accept must call conn_set_ops or conn_close before it returns; a TLS connection is given
 * before its handshake. ctx is referenced; NULL for plain TCP. 0 or a negative errno. */
MUST_USE int conn_listen(struct conn_listener **out, struct worker *w, const struct addr *bind,
                         bool reuse_port, struct tls_ctx *ctx, void (*on_accept)(void *arg, struct conn *c),
                         void *arg);
/* Connections that were accepted live on. */
void conn_listener_close(struct conn_listener **l);
void conn_listener_local(const struct conn_listener *l, struct addr *out);
/* New connections get this context (certificate reload). The listener must have had one. */
void conn_listener_set_tls(struct conn_listener *l, struct tls_ctx *ctx);

/* As tcp_connect; peer_name as in tls_create. */
MUST_USE int conn_connect(struct conn **out, struct worker *w, const struct addr *to, struct tls_ctx *ctx,
                          const char *peer_name, const struct conn_ops *ops, void *arg);
/* ops is borrowed for the connection's life. */
void conn_set_ops(struct conn *c, const struct conn_ops *ops, void *arg);
/* Drops what is queued and closes. */
void conn_close(struct conn *c);
/* Sends what is queued (bounded by linger_us), then closes. */
void conn_shutdown(struct conn *c, uint64_t linger_us);

/* Copies. A write after the end is ignored. */
void conn_write(struct conn *c, const void *bytes, size_t len);
/* Bytes [from, b->len) of a shared buffer: by reference when plain, encrypted into a copy with TLS. */
void conn_write_buf(struct conn *c, struct buf *b, size_t from);
/* Bytes [from, to), as tcp_send_buf: at once when nothing waits before them. */
void conn_send_buf(struct conn *c, struct buf *b, size_t from, size_t to);
/* As tcp_trim; with TLS nothing is given back, as it copies what it writes. */
void conn_trim(struct conn *c);
/* Written and not yet taken by the kernel. */
size_t conn_queued_bytes(const struct conn *c);
/* conn_send_buf comes soon: what it needs beside c itself is fetched. */
void conn_soon(const struct conn *c);
void conn_pause(struct conn *c); /* stops on_data (back-pressure) */
void conn_resume(struct conn *c);
const struct addr *conn_peer(const struct conn *c);
bool conn_is_tls(const struct conn *c);
/* Common name of the peer's certificate (the node's id), from on_open on; "" when plain or none. */
const char *conn_peer_subject(const struct conn *c);
/* Why TLS failed; "" otherwise. Valid within on_close. */
const char *conn_error(const struct conn *c);
