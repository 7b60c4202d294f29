/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/dtls.h"

#include "base/reader.h"
#include "secure/bio_priv.h"
#include "secure/cert_priv.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

enum {
    RTO_FIRST_US = 250000, /* RFC 6347 s4.2.4.1 says 1 s, and lets real-time uses have less */
    RTO_MAX_US = 3000000,
    FAREWELL_CAP = 64,     /* bytes; a close_notify takes 39 to 61 */
    LAST_FLIGHT_CAP = 192, /* bytes; ChangeCipherSpec and Finished of any of our suites take 75..110 */
    RESENDS = 16,          /* of the last flight, after dtls_shrink */
    DATA_MAX = 2048,       /* bytes of a record of data; none is longer than a datagram */
    RECORD_ALERT = 21,
    RECORD_HANDSHAKE = 22, /* RFC 5246 s6.2.1 */
};

static const char exporter_label[] = "EXTRACTOR-dtls_srtp"; /* RFC 5764 s4.2 */

struct dtls_ctx {
    SSL_CTX *ssl;
    BIO_METHOD *bio;
};

struct dtls {
    struct dtls_cfg cfg;
    SSL *ssl; /* NULL after dtls_shrink */
    enum dtls_state state;
    uint64_t deadline_us;
    const uint8_t *in; /* the datagram being fed, until OpenSSL reads it */
    size_t in_len;
    struct srtp_master tx, rx;
    uint8_t last[LAST_FLIGHT_CAP]; /* our latest datagram, when it fits */
    uint16_t last_len;
    uint8_t farewell[FAREWELL_CAP]; /* after dtls_shrink: our close_notify, made while we still could */
    uint8_t farewell_len;
    bool shrinking;                 /* what is written goes there */
    bool resting;                   /* dtls_rest */
    bool reading;                   /* within dtls_feed */
    uint8_t resends;
    char error[120];
};

/* ---- The BIO: one datagram a read, one a write ----------------------------------------------- */

static int bio_read(BIO *bio, char *out, int cap)
{
    struct dtls *d = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (!d->in || cap <= 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = d->in_len < (size_t)cap ? d->in_len : (size_t)cap;
    memcpy(out, d->in, n);
    d->in = NULL;
    return (int)n;
}

static int bio_write(BIO *bio, const char *bytes, int len)
{
    struct dtls *d = BIO_get_data(bio);
    const uint8_t *datagram = (const uint8_t *)bytes;

    BIO_clear_retry_flags(bio);
    if (d->shrinking) {
        d->farewell_len = (uint8_t)(len > 0 && len <= FAREWELL_CAP ? len : 0);
        memcpy(d->farewell, datagram, d->farewell_len);
        return len;
    }
    d->last_len = 0;
    if (len > 0 && len <= LAST_FLIGHT_CAP) {
        memcpy(d->last, datagram, (size_t)len);
        d->last_len = (uint16_t)len;
    }
    d->cfg.send(d->cfg.arg, datagram, (size_t)len);
    return len;
}

/* ---- Context --------------------------------------------------------------------------------- */

/* In place of a chain's verification: the fingerprint is all the trust there is (RFC 8827 s5). */
static int verify_fingerprint(X509_STORE_CTX *store, void *arg)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct dtls *d = SSL_get_ex_data(ssl, 0);

    (void)arg;
    if (cert_matches(X509_STORE_CTX_get0_cert(store), &d->cfg.peer))
        return 1;
    snprintf(d->error, sizeof(d->error), "the peer's certificate does not have the fingerprint of its SDP");
    X509_STORE_CTX_set_error(store, X509_V_ERR_CERT_REJECTED);
    return 0;
}

static const char *profile_word(enum srtp_profile p)
{
    switch (p) {
    case SRTP_PROFILE_GCM_128:
        return "SRTP_AEAD_AES_128_GCM";
    case SRTP_PROFILE_GCM_256:
        return "SRTP_AEAD_AES_256_GCM";
    case SRTP_PROFILE_CM_SHA1_80:
        return "SRTP_AES128_CM_SHA1_80";
    default:
        return NULL;
    }
}

static bool set_profiles(SSL_CTX *ssl, const enum srtp_profile *profiles)
{
    static const enum srtp_profile all[] = {SRTP_PROFILE_GCM_128, SRTP_PROFILE_GCM_256,
                                            SRTP_PROFILE_CM_SHA1_80, SRTP_PROFILE_NONE};
    char list[128] = "";
    size_t at = 0;

    for (const enum srtp_profile *p = profiles ? profiles : all; *p != SRTP_PROFILE_NONE; p++) {
        if (!profile_word(*p) || at >= sizeof(list))
            return false;
        at += (size_t)snprintf(list + at, sizeof(list) - at, "%s%s", at ? ":" : "", profile_word(*p));
    }
    return at < sizeof(list) && SSL_CTX_set_tlsext_use_srtp(ssl, list) == 0; /* 0 is success, here alone */
}

static bool set_up(SSL_CTX *ssl, const struct cert *cert, const enum srtp_profile *profiles)
{
    char groups[] = "X25519:P-256:P-384"; /* OpenSSL's macro casts const away */

    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_QUERY_MTU |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_cert_verify_callback(ssl, verify_fingerprint, NULL);
    return SSL_CTX_set_min_proto_version(ssl, DTLS1_2_VERSION) == 1 &&
           SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20:ECDHE+AES") == 1 &&
           SSL_CTX_set1_groups_list(ssl, groups) == 1 && cert_use(cert, ssl) && set_profiles(ssl, profiles);
}

int dtls_ctx_create(struct dtls_ctx **out, const struct cert *cert, const enum srtp_profile *profiles)
{
    struct dtls_ctx *c = calloc(1, sizeof(*c));
    if (!c)
        return -1;
    c->ssl = SSL_CTX_new(DTLS_method());
    c->bio = bio_method_create("datagrams of a session", bio_read, bio_write);
    if (!c->ssl || !c->bio || !set_up(c->ssl, cert, profiles)) {
        dtls_ctx_destroy(&c);
        ERR_clear_error();
        return -1;
    }
    *out = c;
    return 0;
}

void dtls_ctx_destroy(struct dtls_ctx **ctx)
{
    struct dtls_ctx *c = *ctx;
    if (!c)
        return;
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    free(c);
    *ctx = NULL;
}

/* ---- Session --------------------------------------------------------------------------------- */

/* How long to wait for an answer before sending the flight again; before_us is 0 for a new flight. */
static unsigned int next_rto_us(SSL *ssl, unsigned int before_us)
{
    (void)ssl;
    if (before_us == 0)
        return RTO_FIRST_US;
    return before_us >= RTO_MAX_US / 2 ? RTO_MAX_US : before_us * 2;
}

int dtls_create(struct dtls **out, const struct dtls_ctx *ctx, const struct dtls_cfg *cfg)
{
    struct dtls *d = calloc(1, sizeof(*d));
    if (!d)
        return -1;
    d->cfg = *cfg;
    d->deadline_us = UINT64_MAX;
    d->resends = RESENDS;
    d->ssl = SSL_new(ctx->ssl);
    BIO *bio = BIO_new(ctx->bio);
    if (!d->ssl || !bio || !SSL_set_ex_data(d->ssl, 0, d) || !SSL_set_mtu(d->ssl, DTLS_MTU)) {
        BIO_free(bio);
        SSL_free(d->ssl);
        free(d);
        ERR_clear_error();
        return -1;
    }
    BIO_set_data(bio, d);
    SSL_set_bio(d->ssl, bio, bio); /* owned by it, once */
    DTLS_set_timer_cb(d->ssl, next_rto_us);
    if (cfg->role == DTLS_ACTIVE)
        SSL_set_connect_state(d->ssl);
    else
        SSL_set_accept_state(d->ssl);
    *out = d;
    return 0;
}

void dtls_destroy(struct dtls **dtls)
{
    struct dtls *d = *dtls;
    if (!d)
        return;
    if (d->ssl)
        SSL_free(d->ssl); /* sends nothing: no SSL_shutdown before it */
    OPENSSL_cleanse(d, sizeof(*d));
    free(d);
    *dtls = NULL;
}

static void fail(struct dtls *d, const char *why)
{
    if (!d->error[0])
        snprintf(d->error, sizeof(d->error), "%s", why);
    d->state = DTLS_FAILED;
    d->deadline_us = UINT64_MAX;
    ERR_clear_error();
}

/* OpenSSL's timer, in the caller's clock. */
static void set_deadline(struct dtls *d, uint64_t now_us)
{
    struct timeval left;

    d->deadline_us = UINT64_MAX;
    if (d->state == DTLS_HANDSHAKE && DTLSv1_get_timeout(d->ssl, &left))
        d->deadline_us = now_us + (uint64_t)left.tv_sec * 1000000 + (uint64_t)left.tv_usec;
}

static enum srtp_profile chosen_profile(const struct dtls *d)
{
    const SRTP_PROTECTION_PROFILE *p = SSL_get_selected_srtp_profile(d->ssl);
    return p ? (enum srtp_profile)p->id : SRTP_PROFILE_NONE;
}

/* RFC 5764 s4.2: client key, server key, client salt, server salt. */
static bool export_keys(struct dtls *d)
{
    uint8_t block[2 * (SRTP_KEY_MAX + SRTP_SALT_MAX)];
    enum srtp_profile profile = chosen_profile(d);
    size_t key_len = srtp_key_len(profile), salt_len = srtp_salt_len(profile);
    struct srtp_master *client = d->cfg.role == DTLS_ACTIVE ? &d->tx : &d->rx;
    struct srtp_master *server = d->cfg.role == DTLS_ACTIVE ? &d->rx : &d->tx;

    if (key_len == 0)
        return false;
    if (SSL_export_keying_material(d->ssl, block, 2 * (key_len + salt_len), exporter_label,
                                   sizeof(exporter_label) - 1, NULL, 0, 0) != 1)
        return false;
    struct reader r = reader_init(block, 2 * (key_len + salt_len));
    client->profile = server->profile = profile;
    memcpy(client->key, reader_take(&r, key_len), key_len);
    memcpy(server->key, reader_take(&r, key_len), key_len);
    memcpy(client->salt, reader_take(&r, salt_len), salt_len);
    memcpy(server->salt, reader_take(&r, salt_len), salt_len);
    OPENSSL_cleanse(block, sizeof(block));
    return true;
}

static void step_handshake(struct dtls *d)
{
    ERR_clear_error();
    int ret = SSL_do_handshake(d->ssl);
    if (ret == 1) {
        if (export_keys(d))
            d->state = DTLS_LIVE;
        else
            fail(d, "the peer offered none of our SRTP profiles");
    } else if (SSL_get_error(d->ssl, ret) != SSL_ERROR_WANT_READ) {
        fail(d, cert_openssl_reason());
    }
}

/* Live: data, alerts and repeated handshake messages. */
static void step_live(struct dtls *d)
{
    uint8_t data[DATA_MAX];
    int ret;

    for (;;) {
        ERR_clear_error();
        ret = SSL_read(d->ssl, data, sizeof(data));
        if (ret <= 0)
            break;
        if (d->cfg.on_data)
            d->cfg.on_data(d->cfg.arg, data, (size_t)ret);
    }
    int err = SSL_get_error(d->ssl, ret);
    if (err == SSL_ERROR_ZERO_RETURN)
        d->state = DTLS_CLOSED;
    else if (err != SSL_ERROR_WANT_READ)
        fail(d, cert_openssl_reason());
}

enum dtls_state dtls_start(struct dtls *d, uint64_t now_us)
{
    if (d->cfg.role == DTLS_ACTIVE && d->state == DTLS_HANDSHAKE) {
        step_handshake(d);
        set_deadline(d, now_us);
    }
    return d->state;
}

/* After dtls_shrink: which records are in the datagram is all that can still be known. */
static void feed_shrunk(struct dtls *d, const uint8_t *datagram, size_t len)
{
    struct reader r = reader_init(datagram, len);
    bool finished = false;

    while (reader_left(&r) > 0) { /* RFC 6347 s4.1: type, version, epoch, sequence, length */
        uint8_t type = reader_u8(&r);
        reader_u16(&r);
        uint16_t epoch = reader_u16(&r);
        reader_take(&r, 6);
        reader_take(&r, reader_u16(&r));
        if (r.bad)
            break;
        if (type == RECORD_HANDSHAKE && epoch == 1)
            finished = true; /* the peer's Finished again: ours got lost (s4.2.4) */
        if (type == RECORD_ALERT && epoch == 1)
            d->state = DTLS_LEAVING;
    }
    if (finished && d->last_len && d->resends && d->cfg.role == DTLS_PASSIVE) {
        d->resends--;
        d->cfg.send(d->cfg.arg, d->last, d->last_len);
    }
}

/* OpenSSL's write path expects its buffers to be there. False when memory is short. */
static bool wake(struct dtls *d)
{
    return !d->resting || SSL_alloc_buffers(d->ssl) == 1;
}

static void rest(struct dtls *d)
{
    if (d->resting && !d->reading)
        SSL_free_buffers(d->ssl);
}

enum dtls_state dtls_feed(struct dtls *d, const uint8_t *datagram, size_t len, uint64_t now_us)
{
    if (d->state == DTLS_FAILED || d->state == DTLS_CLOSED || len == 0)
        return d->state;
    if (!d->ssl) {
        feed_shrunk(d, datagram, len);
        return d->state;
    }
    if (!wake(d))
        return d->state; /* the datagram is lost */
    d->reading = true;
    d->in = datagram;
    d->in_len = len;
    if (d->state == DTLS_HANDSHAKE)
        step_handshake(d);
    if (d->state == DTLS_LIVE)
        step_live(d);
    d->in = NULL;
    d->reading = false;
    set_deadline(d, now_us);
    rest(d);
    return d->state;
}

enum dtls_state dtls_poll(struct dtls *d, uint64_t now_us)
{
    if (d->state != DTLS_HANDSHAKE || now_us < d->deadline_us)
        return d->state;
    ERR_clear_error();
    if (DTLSv1_handle_timeout(d->ssl) < 0)
        fail(d, "the peer did not answer");
    else
        set_deadline(d, now_us);
    return d->state;
}

uint64_t dtls_deadline_us(const struct dtls *d)
{
    return d->deadline_us;
}

enum dtls_state dtls_state(const struct dtls *d)
{
    return d->state;
}

const char *dtls_error(const struct dtls *d)
{
    return d->error;
}

void dtls_keys(const struct dtls *d, struct srtp_master *tx, struct srtp_master *rx)
{
    assert(d->state == DTLS_LIVE || d->state == DTLS_LEAVING);
    *tx = d->tx;
    *rx = d->rx;
}

void dtls_shrink(struct dtls *d)
{
    assert(d->state == DTLS_LIVE);
    d->shrinking = true;
    ERR_clear_error();
    (void)SSL_shutdown(d->ssl);
    ERR_clear_error();
    d->shrinking = false;
    SSL_free(d->ssl);
    d->ssl = NULL;
    OPENSSL_cleanse(&d->tx, sizeof(d->tx));
    OPENSSL_cleanse(&d->rx, sizeof(d->rx));
}

void dtls_rest(struct dtls *d)
{
    assert(d->state == DTLS_LIVE);
    d->resting = true;
    OPENSSL_cleanse(&d->tx, sizeof(d->tx));
    OPENSSL_cleanse(&d->rx, sizeof(d->rx));
    rest(d);
}

bool dtls_write(struct dtls *d, const uint8_t *bytes, size_t len)
{
    if (d->state != DTLS_LIVE || !d->ssl || len == 0 || len > DTLS_MTU || !wake(d))
        return false;
    ERR_clear_error();
    int ret = SSL_write(d->ssl, bytes, (int)len);
    ERR_clear_error();
    rest(d);
    return ret == (int)len;
}

void dtls_close(struct dtls *d)
{
    if (d->state == DTLS_LIVE && d->ssl && wake(d)) {
        ERR_clear_error();
        (void)SSL_shutdown(d->ssl);
        ERR_clear_error();
    }
    if (d->farewell_len)
        d->cfg.send(d->cfg.arg, d->farewell, d->farewell_len);
    d->farewell_len = 0;
    d->state = DTLS_CLOSED;
    d->deadline_us = UINT64_MAX;
}
