/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/cert.h"

#include "base/random.h"
#include "secure/cert_priv.h"

#include <ctype.h>
#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    DAY_S = 24 * 60 * 60,
    VALID_DAYS = 365,
    VERSION_3 = 2, /* X.509's numbering */
};

/* ---- Fingerprints ---------------------------------------------------------------------------- */

static const struct hash_info {
    const char *name;
    size_t len; /* bytes */
    const EVP_MD *(*md)(void);
} hashes[] = {
    {"sha-256", 32, EVP_sha256},
    {"sha-384", 48, EVP_sha384},
    {"sha-512", 64, EVP_sha512},
    {"sha-1", 20, EVP_sha1},
};

static const struct hash_info *hash_find_name(const char *name, size_t len)
{
    for (size_t i = 0; i < LEN(hashes); i++) {
        if (strlen(hashes[i].name) == len && strncasecmp(hashes[i].name, name, len) == 0)
            return &hashes[i];
    }
    return NULL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)tolower((unsigned char)c);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int fingerprint_parse(struct fingerprint *out, const char *text)
{
    struct fingerprint f = {0};
    size_t name_len = strcspn(text, " ");
    const struct hash_info *h = hash_find_name(text, name_len);

    if (!h)
        return -1;
    text += name_len;
    text += strspn(text, " ");
    for (; f.len < h->len; f.len++) { /* two digits, and a colon before all but the first */
        if (f.len > 0 && *text++ != ':')
            return -1;
        int high = hex_digit(text[0]), low = high < 0 ? -1 : hex_digit(text[1]);
        if (low < 0)
            return -1;
        f.bytes[f.len] = (uint8_t)(high << 4 | low);
        text += 2;
    }
    text += strspn(text, " \t\r\n");
    if (*text)
        return -1;
    snprintf(f.hash, sizeof(f.hash), "%s", h->name);
    *out = f;
    return 0;
}

const char *fingerprint_print(const struct fingerprint *f, char out[FINGERPRINT_TEXT_CAP])
{
    size_t at = (size_t)snprintf(out, FINGERPRINT_TEXT_CAP, "%s ", f->hash);

    for (size_t i = 0; i < f->len && i < FINGERPRINT_BYTES_MAX; i++)
        at += (size_t)snprintf(out + at, FINGERPRINT_TEXT_CAP - at, i ? ":%02X" : "%02X", f->bytes[i]);
    return out;
}

static bool digest_of(X509 *x509, const struct hash_info *h, struct fingerprint *out)
{
    unsigned len = 0;

    memset(out, 0, sizeof(*out));
    snprintf(out->hash, sizeof(out->hash), "%s", h->name);
    if (X509_digest(x509, h->md(), out->bytes, &len) != 1)
        return false;
    out->len = len;
    return true;
}

bool cert_matches(X509 *x509, const struct fingerprint *f)
{
    const struct hash_info *h = hash_find_name(f->hash, strlen(f->hash));
    struct fingerprint is;

    return h && digest_of(x509, h, &is) && is.len == f->len && memcmp(is.bytes, f->bytes, f->len) == 0;
}

/* ---- Making one ------------------------------------------------------------------------------ */

static bool sign_self(X509 *x, EVP_PKEY *key, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(x); /* the certificate's own */

    return X509_set_version(x, VERSION_3) == 1 &&
           ASN1_INTEGER_set_uint64(X509_get_serialNumber(x), random_u64() >> 1 | 1) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(x), -DAY_S) && /* peers' clocks differ */
           X509_gmtime_adj(X509_getm_notAfter(x), (long)VALID_DAYS * DAY_S) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)common_name, -1, -1,
                                      0) == 1 &&
           X509_set_issuer_name(x, name) == 1 && X509_set_pubkey(x, key) == 1 &&
           X509_sign(x, key, EVP_sha256()) > 0;
}

/* Takes over the three; frees them on failure. */
static int finish(struct cert **out, X509 *x, EVP_PKEY *key, STACK_OF(X509) * chain)
{
    struct cert *c = calloc(1, sizeof(*c));
    struct fingerprint f;

    if (!c || !x || !key || !digest_of(x, &hashes[0], &f)) {
        X509_free(x);
        EVP_PKEY_free(key);
        sk_X509_pop_free(chain, X509_free);
        free(c);
        return -1;
    }
    *c = (struct cert){.x509 = x, .key = key, .chain = chain};
    fingerprint_print(&f, c->fingerprint);
    *out = c;
    return 0;
}

int cert_create_self_signed(struct cert **out, const char *common_name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();

    if (!key || !x || !sign_self(x, key, common_name)) {
        EVP_PKEY_free(key);
        X509_free(x);
        return -1;
    }
    return finish(out, x, key, NULL);
}

void cert_destroy(struct cert **cert)
{
    struct cert *c = *cert;
    if (!c)
        return;
    X509_free(c->x509);
    EVP_PKEY_free(c->key);
    sk_X509_pop_free(c->chain, X509_free);
    free(c);
    *cert = NULL;
}

const char *cert_fingerprint(const struct cert *cert)
{
    return cert->fingerprint;
}

/* ---- Loading --------------------------------------------------------------------------------- */

static int refuse(char err[CERT_ERROR_CAP], const char *fmt, ...) PRINTF_LIKE(2, 3);
static int refuse(char err[CERT_ERROR_CAP], const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(err, CERT_ERROR_CAP, fmt, ap);
    va_end(ap);
    return -1;
}

const char *cert_openssl_reason(void)
{
    unsigned long code = ERR_peek_last_error();
    const char *text = code ? ERR_reason_error_string(code) : NULL;

    ERR_clear_error();
    return text ? text : "no reason given";
}

/* Asked for a passphrase: there is nobody to type one. */
static int no_passphrase(char *buf, int cap, int writing, void *arg)
{
    (void)buf, (void)cap, (void)writing;
    *(bool *)arg = true;
    return -1;
}

static FILE *open_file(const char *path, char err[CERT_ERROR_CAP])
{
    FILE *f = fopen(path, "re");
    if (!f)
        (void)refuse(err, "%s: %s", path, strerror(errno));
    return f;
}

/* The first certificate to *x, those after it to *chain. */
static int load_chain(const char *path, X509 **x, STACK_OF(X509) * *chain, char err[CERT_ERROR_CAP])
{
    FILE *f = open_file(path, err);
    if (!f)
        return -1;
    X509 *next;
    *x = PEM_read_X509(f, NULL, NULL, NULL);
    while (*x && (next = PEM_read_X509(f, NULL, NULL, NULL)) != NULL) {
        if ((!*chain && !(*chain = sk_X509_new_null())) || sk_X509_push(*chain, next) <= 0)
            X509_free(next);
    }
    fclose(f);
    ERR_clear_error(); /* the end of the file is an error to it */
    return *x ? 0 : refuse(err, "%s: no certificate in PEM form is in it", path);
}

static int load_key(const char *path, EVP_PKEY **key, char err[CERT_ERROR_CAP])
{
    bool encrypted = false;
    FILE *f = open_file(path, err);
    if (!f)
        return -1;
    *key = PEM_read_PrivateKey(f, NULL, no_passphrase, &encrypted);
    fclose(f);
    ERR_clear_error();
    if (*key)
        return 0;
    return refuse(err,
                  encrypted ? "%s: the private key is encrypted; one without passphrase is needed"
                            : "%s: no private key in PEM form is in it",
                  path);
}

int cert_load(struct cert **out, const char *chain_path, const char *key_path, char err[CERT_ERROR_CAP])
{
    X509 *x = NULL;
    EVP_PKEY *key = NULL;
    STACK_OF(X509) *chain = NULL;
    int bad = load_chain(chain_path, &x, &chain, err);

    if (!bad)
        bad = load_key(key_path, &key, err);
    if (!bad && X509_check_private_key(x, key) != 1) {
        ERR_clear_error();
        bad = refuse(err, "%s: this key does not belong to the certificate in %s", key_path, chain_path);
    }
    if (bad) {
        X509_free(x);
        EVP_PKEY_free(key);
        sk_X509_pop_free(chain, X509_free);
        return -1;
    }
    return finish(out, x, key, chain) ? refuse(err, "%s: out of memory", chain_path) : 0;
}

bool cert_use(const struct cert *cert, SSL_CTX *ctx)
{
    return SSL_CTX_use_cert_and_key(ctx, cert->x509, cert->key, cert->chain, 1) == 1;
}
