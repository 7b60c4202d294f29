/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/tls.h"

#include "secure/bio_priv.h"
#include "secure/cert_priv.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    READ_BYTES = 16384, /* one record's plaintext at most; RFC 8446 s5.1 */
};

struct tls_ctx {
    _Atomic uint32_t refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio;
    bool client;
    bool match_name; /* the certificate must be for the name that was asked for */
};

struct tls {
    struct tls_ctx *ctx;
    SSL *ssl;
    const struct tls_ops *ops;
    void *arg;
    const uint8_t *in; /* ciphertext being fed */
    size_t in_len;
    uint8_t *held; /* ciphertext that came while paused */
    size_t held_len;
    uint8_t *waiting; /* plaintext that waits for the handshake */
    size_t waiting_len, waiting_cap;
    bool open, stopped, paused;
    char subject[TLS_SUBJECT_CAP];
    char error[160];
};

/* ---- The BIO --------------------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *out, int cap)
{
    struct tls *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (t->in_len == 0 || cap <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = t->in_len < (size_t)cap ? t->in_len : (size_t)cap;
    memcpy(out, t->in, n);
    t->in += n;
    t->in_len -= n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct tls *t = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len > 0)
        t->ops->send(t->arg, (const uint8_t *)bytes, (size_t)len);
    return len;
}

/* ---- Context --------------------------------------------------------------------------------- */

static int set_ca(SSL_CTX *ssl, const char *path, char err[CERT_ERROR_CAP])
{
    if (!path) {
        snprintf(err, CERT_ERROR_CAP,
                 "no CA file given: both ends of a pipe must be able to check the other");
        return -1;
    }
    FILE *f = fopen(path, "re");
    if (!f) {
        snprintf(err, CERT_ERROR_CAP, "%s: %m", path);
        return -1;
    }
    fclose(f);
    STACK_OF(X509_NAME) *names = NULL;
    if (SSL_CTX_load_verify_file(ssl, path) == 1)
        names = SSL_load_client_CA_file(path);
    ERR_clear_error();
    if (!names) {
        snprintf(err, CERT_ERROR_CAP, "%s: no CA certificate in PEM form is in it", path);
        return -1;
    }
    SSL_CTX_set_client_CA_list(ssl, names); /* told to clients, so that they know which certificate to show */
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    return 0;
}

/* A client of servers that are not ours. */
static int set_up_client(SSL_CTX *ssl, const struct tls_cfg *cfg, char err[CERT_ERROR_CAP])
{
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_verify(ssl, cfg->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    int ok = cfg->ca ? SSL_CTX_load_verify_file(ssl, cfg->ca) : SSL_CTX_set_default_verify_paths(ssl);
    ERR_clear_error();
    if (ok == 1)
        return 0;
    snprintf(err, CERT_ERROR_CAP, "%s: no certificates in PEM form are in it", cfg->ca ? cfg->ca : "the system's trust store");
    return -1;
}

static int set_up(SSL_CTX *ssl, const struct tls_cfg *cfg, char err[CERT_ERROR_CAP])
{
    struct cert *cert;
    bool mutual = cfg->use != TLS_SERVER;

    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_num_tickets(ssl, mutual ? 0 : 1); /* pipes stay open; HTTPS clients come back */
    if (SSL_CTX_set_min_proto_version(ssl, mutual ? TLS1_3_VERSION : TLS1_2_VERSION) != 1) {
        snprintf(err, CERT_ERROR_CAP, "this OpenSSL does not do TLS 1.3");
        return -1;
    }
    if (cert_load(&cert, cfg->certificate, cfg->key, err))
        return -1;
    bool used = cert_use(cert, ssl);
    cert_destroy(&cert);
    if (!used) {
        snprintf(err, CERT_ERROR_CAP, "%s: %s", cfg->certificate, cert_openssl_reason());
        return -1;
    }
    return mutual ? set_ca(ssl, cfg->ca, err) : 0;
}

int tls_ctx_create(struct tls_ctx **out, const struct tls_cfg *cfg, char err[CERT_ERROR_CAP])
{
    struct tls_ctx *c = calloc(1, sizeof(*c));
    if (c) {
        c->refs = 1;
        c->client = cfg->use == TLS_MUTUAL_CLIENT || cfg->use == TLS_CLIENT;
        c->match_name = cfg->use == TLS_CLIENT && !cfg->insecure;
        c->ssl = SSL_CTX_new(c->client ? TLS_client_method() : TLS_server_method());
        c->bio = bio_method_create("bytes of a connection", bio_read, bio_write);
    }
    if (!c || !c->ssl || !c->bio) {
        snprintf(err, CERT_ERROR_CAP, "out of memory");
        tls_ctx_unref(&c);
        return -1;
    }
    if (cfg->use == TLS_CLIENT ? set_up_client(c->ssl, cfg, err) : set_up(c->ssl, cfg, err)) {
        tls_ctx_unref(&c);
        return -1;
    }
    *out = c;
    return 0;
}

static const char *copy_subject(X509 *x, char out[TLS_SUBJECT_CAP])
{
    if (!x || X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, out, TLS_SUBJECT_CAP) < 0)
        out[0] = 0;
    return out;
}

const char *tls_ctx_subject(const struct tls_ctx *ctx, char out[TLS_SUBJECT_CAP])
{
    return copy_subject(SSL_CTX_get0_certificate(ctx->ssl), out);
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *ctx)
{
    atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

void tls_ctx_unref(struct tls_ctx **ctx)
{
    struct tls_ctx *c = *ctx;

    *ctx = NULL;
    if (!c || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) > 1)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    free(c);
}

/* ---- Connection ------------------------------------------------------------------------------ */

/* An address is never sent as SNI (RFC 6066 s3). */
static bool set_peer_name(const struct tls_ctx *ctx, SSL *ssl, const char *peer_name)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    char name[256]; /* a DNS name's limit; OpenSSL's macro casts const away */

    if (!peer_name)
        return !ctx->match_name;
    if (ctx->match_name && X509_VERIFY_PARAM_set1_ip_asc(param, peer_name) == 1)
        return true;
    ERR_clear_error();
    snprintf(name, sizeof(name), "%s", peer_name);
    if (ctx->match_name && X509_VERIFY_PARAM_set1_host(param, name, 0) != 1)
        return false;
    return SSL_set_tlsext_host_name(ssl, name) == 1;
}

int tls_create(struct tls **out, struct tls_ctx *ctx, const char *peer_name, const struct tls_ops *ops,
               void *arg)
{
    struct tls *t = calloc(1, sizeof(*t));
    if (!t)
        return -1;
    t->ops = ops;
    t->arg = arg;
    t->ctx = tls_ctx_ref(ctx);
    t->ssl = SSL_new(ctx->ssl);
    BIO *bio = BIO_new(ctx->bio);
    if (!t->ssl || !bio || !set_peer_name(ctx, t->ssl, peer_name)) {
        BIO_free(bio);
        ERR_clear_error();
        tls_destroy(&t);
        return -1;
    }
    BIO_set_data(bio, t);
    SSL_set_bio(t->ssl, bio, bio); /* owned by it, once */
    if (ctx->client)
        SSL_set_connect_state(t->ssl);
    else
        SSL_set_accept_state(t->ssl);
    *out = t;
    return 0;
}

void tls_destroy(struct tls **tls)
{
    struct tls *t = *tls;
    if (!t)
        return;
    SSL_free(t->ssl);
    tls_ctx_unref(&t->ctx);
    free(t->held);
    free(t->waiting);
    free(t);
    *tls = NULL;
}

static int fail(struct tls *t)
{
    long verify = SSL_get_verify_result(t->ssl);
    const char *reason = cert_openssl_reason();

    if (!t->error[0] && verify != X509_V_OK)
        snprintf(t->error, sizeof(t->error), "%s: %s", reason, X509_verify_cert_error_string(verify));
    if (!t->error[0])
        snprintf(t->error, sizeof(t->error), "%s", reason);
    return TLS_FAILED;
}

/* Returns TLS_OK both when it is done (t->open) and when it waits for the peer. */
static int handshake(struct tls *t)
{
    ERR_clear_error();
    int ret = SSL_do_handshake(t->ssl);
    if (ret != 1)
        return SSL_get_error(t->ssl, ret) == SSL_ERROR_WANT_READ ? TLS_OK : fail(t);
    t->open = true;
    copy_subject(SSL_get0_peer_certificate(t->ssl), t->subject);
    uint8_t *bytes = t->waiting;
    size_t len = t->waiting_len;
    t->waiting = NULL;
    t->waiting_len = t->waiting_cap = 0;
    int err = tls_write(t, bytes, len);
    free(bytes);
    if (!err)
        t->ops->on_open(t->arg);
    return err;
}

static int read_all(struct tls *t)
{
    uint8_t bytes[READ_BYTES];

    while (!t->stopped && !t->paused) {
        ERR_clear_error();
        int n = SSL_read(t->ssl, bytes, sizeof(bytes));
        if (n > 0) {
            t->ops->on_data(t->arg, bytes, (size_t)n);
            continue;
        }
        int err = SSL_get_error(t->ssl, n);
        if (err == SSL_ERROR_ZERO_RETURN)
            return TLS_END;
        return err == SSL_ERROR_WANT_READ ? TLS_OK : fail(t);
    }
    return TLS_OK;
}

static int hold(struct tls *t, const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return TLS_OK;
    uint8_t *held = realloc(t->held, t->held_len + len);
    if (!held) {
        snprintf(t->error, sizeof(t->error), "out of memory");
        return TLS_FAILED;
    }
    memcpy(held + t->held_len, bytes, len);
    t->held = held;
    t->held_len += len;
    return TLS_OK;
}

void tls_start(struct tls *t)
{
    if (t->ctx->client && !t->open)
        (void)handshake(t); /* its first step waits for the peer */
}

int tls_feed(struct tls *t, const uint8_t *bytes, size_t len)
{
    int err = TLS_OK;

    if (t->stopped)
        return TLS_OK;
    if (t->paused)
        return hold(t, bytes, len);
    t->in = bytes;
    t->in_len = len;
    if (!t->open)
        err = handshake(t);
    if (!err && t->open)
        err = read_all(t);
    if (!err && t->paused)
        err = hold(t, t->in, t->in_len);
    t->in_len = 0;
    return err;
}

void tls_stop(struct tls *t)
{
    t->stopped = true;
}

void tls_pause(struct tls *t)
{
    t->paused = true;
}

int tls_resume(struct tls *t)
{
    uint8_t *held = t->held;
    size_t len = t->held_len;

    t->held = NULL;
    t->held_len = 0;
    t->paused = false;
    int err = tls_feed(t, held, len);
    free(held);
    return err;
}

static int wait_for_open(struct tls *t, const void *bytes, size_t len)
{
    if (t->waiting_cap - t->waiting_len < len) {
        size_t cap = (t->waiting_len + len) * 2;
        uint8_t *bigger = realloc(t->waiting, cap);
        if (!bigger) {
            snprintf(t->error, sizeof(t->error), "out of memory");
            return TLS_FAILED;
        }
        t->waiting = bigger;
        t->waiting_cap = cap;
    }
    memcpy(t->waiting + t->waiting_len, bytes, len);
    t->waiting_len += len;
    return TLS_OK;
}

int tls_write(struct tls *t, const void *bytes, size_t len)
{
    size_t done = 0;

    if (len == 0)
        return TLS_OK;
    if (!t->open)
        return wait_for_open(t, bytes, len);
    ERR_clear_error();
    return SSL_write_ex(t->ssl, bytes, len, &done) == 1 && done == len ? TLS_OK : fail(t);
}

void tls_end(struct tls *t)
{
    if (t->open && !t->error[0]) {
        ERR_clear_error();
        (void)SSL_shutdown(t->ssl);
        ERR_clear_error();
    }
}

bool tls_is_open(const struct tls *t)
{
    return t->open;
}

size_t tls_waiting_bytes(const struct tls *t)
{
    return t->waiting_len;
}

const char *tls_error(const struct tls *t)
{
    return t->error;
}

const char *tls_peer_subject(const struct tls *t)
{
    return t->subject;
}
