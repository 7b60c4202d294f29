/* SPDX-License-Identifier: Apache-2.0
 * tls.h - TLS 1.3 over bytes that the caller carries: contexts and the engine of one connection.
 *
 * Thread: a tls_ctx is read-only after creation and counted atomically, so workers may share one; reload a
 * certificate by making a new one and giving it to new connections. A struct tls is its worker's.
 * Source: RFC 8446. Callers usually want conn.h. */
#pragma once

#include "base/compiler.h"
#include "secure/cert.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_ctx;
struct tls;

enum tls_use {
    TLS_SERVER, /* HTTPS: shows its certificate, asks for none; TLS 1.2 is let in too, for old players */
    TLS_MUTUAL_SERVER, /* pipes, the parent's end: both sides show a certificate of the CA; TLS 1.3 only */
    TLS_MUTUAL_CLIENT, /* pipes, the child's end */
    TLS_CLIENT, /* of anybody's HTTPS: shows no certificate; the server's must be valid for peer_name */
};

struct tls_cfg {
    enum tls_use use;
    const char *certificate, *key; /* PEM files: chain, private key */
    const char *ca;                /* PEM file: the cluster's CA; TLS_CLIENT: whom to trust, NULL: whom the system trusts */
    bool insecure;                 /* TLS_CLIENT: any certificate will do */
};

/* Returns 0, or -1 with the reason (which file, what is wrong) in err. */
MUST_USE int tls_ctx_create(struct tls_ctx **out, const struct tls_cfg *cfg, char err[CERT_ERROR_CAP]);
/* Common name of our own certificate into out; "" when it has none. */
enum { TLS_SUBJECT_CAP = 128 };
const char *tls_ctx_subject(const struct tls_ctx *ctx, char out[TLS_SUBJECT_CAP]);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx);
void tls_ctx_unref(struct tls_ctx **ctx);

/* ---- One connection -------------------------------------------------------------------------- */

struct tls_ops {
    /* Ciphertext for the peer, borrowed; called from within tls_start, _feed, _write, _end. */
    void (*send)(void *arg, const uint8_t *bytes, size_t len);
    void (*on_open)(void *arg);                                   /* handshake done, peer verified */
    void (*on_data)(void *arg, const uint8_t *bytes, size_t len); /* plaintext, borrowed; len > 0 */
};

enum tls_err {
    TLS_OK = 0,
    TLS_END = -1,    /* the peer's close_notify: nothing more will come */
    TLS_FAILED = -2, /* handshake refused or a record broken; tls_error says why; an alert was sent */
};

/* Holds a reference of ctx. peer_name: for clients, the name sent as SNI, or NULL. For TLS_CLIENT, which needs one, a name or
 * an address that the certificate must be for; pipes do not match it (nodes are known by the CA and their subject). 0 or -1. */
MUST_USE int tls_create(struct tls **out, struct tls_ctx *ctx, const char *peer_name,
                        const struct tls_ops *ops, void *arg);
/* Not from within one of its own callbacks. */
void tls_destroy(struct tls **t);
/* A client speaks first; a server does nothing here. */
void tls_start(struct tls *t);
/* Ciphertext from the peer. A callback may call tls_write, tls_end, tls_stop and tls_pause; not tls_feed. */
MUST_USE int tls_feed(struct tls *t, const uint8_t *bytes, size_t len);
/* From within a callback or not: no further callback, ever. */
void tls_stop(struct tls *t);
/* From within a callback or not: no on_data until tls_resume; what comes meanwhile is kept. */
void tls_pause(struct tls *t);
/* Not from within a callback. As tls_feed with what was kept. */
MUST_USE int tls_resume(struct tls *t);
/* Plaintext for the peer. Before on_open it is kept and sent then. TLS_OK or TLS_FAILED. */
MUST_USE int tls_write(struct tls *t, const void *bytes, size_t len);
/* Sends close_notify. */
void tls_end(struct tls *t);
/* The handshake is done. */
bool tls_is_open(const struct tls *t);
/* Plaintext that waits for the handshake. */
size_t tls_waiting_bytes(const struct tls *t);
const char *tls_error(const struct tls *t);
/* Common name of the peer's certificate: the node's id. "" when it showed none. */
const char *tls_peer_subject(const struct tls *t);
