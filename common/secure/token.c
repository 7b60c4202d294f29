/* SPDX-License-Identifier: Apache-2.0
 * token.c - see token.h. libjwt verifies the signature; it neither looks at exp nor minds which algorithm the header names, so
 * both are looked at here. */
#include "secure/token.h"

#include <errno.h>
#include <jansson.h>
#include <jwt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SECRET_MIN_BYTES = 32, RSA_MIN_BITS = 2048 /* RFC 7518 s3.2, s3.3 */ };

struct token_key {
    struct token_key *before; /* the one it replaced, or NULL */
    jwt_alg_t alg;
    size_t len;
    unsigned char bytes[TOKEN_KEY_MAX_BYTES + 1]; /* NUL-terminated */
};

/* ---- Keys --------------------------------------------------------------------------------------- */

static int fail(char error[TOKEN_ERROR_CAP], const char *why)
{
    snprintf(error, TOKEN_ERROR_CAP, "%s", why);
    return -1;
}

static int read_file(struct token_key *k, const char *path, char *error)
{
    FILE *f = fopen(path, "rb");

    if (!f)
        return fail(error, strerror(errno));
    k->len = fread(k->bytes, 1, sizeof(k->bytes), f);
    int bad = ferror(f) ? errno : 0; /* a folder can be opened, but not read */
    fclose(f);
    if (bad)
        return fail(error, strerror(bad));
    if (k->len > TOKEN_KEY_MAX_BYTES)
        return fail(error, "too large for a key");
    return 0;
}

/* JWT_ALG_NONE: of another kind, or too short. */
static jwt_alg_t algorithm_of(const EVP_PKEY *pkey)
{
    char group[32];

    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA)
        return EVP_PKEY_get_bits(pkey) >= RSA_MIN_BITS ? JWT_ALG_RS256 : JWT_ALG_NONE;
    if (EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC && EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
        strcmp(group, "prime256v1") == 0)
        return JWT_ALG_ES256;
    return JWT_ALG_NONE;
}

static int take_pem(struct token_key *k, char *error)
{
    BIO *bio = BIO_new_mem_buf(k->bytes, (int)k->len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    if (!pkey)
        return fail(error, "PEM, but not of a public key (openssl pkey -pubout)");
    k->alg = algorithm_of(pkey);
    EVP_PKEY_free(pkey);
    return k->alg == JWT_ALG_NONE ? fail(error, "a public key of neither P-256 nor RSA of 2048 bits") : 0;
}

static int take_secret(struct token_key *k, char *error)
{
    while (k->len && (k->bytes[k->len - 1] == '\n' || k->bytes[k->len - 1] == '\r'))
        k->bytes[--k->len] = '\0';
    k->alg = JWT_ALG_HS256;
    return k->len < SECRET_MIN_BYTES ? fail(error, "a secret of less than 32 bytes") : 0;
}

int token_key_load(struct token_key **out, const char *path, char error[TOKEN_ERROR_CAP])
{
    static const char begin[] = "-----BEGIN ";
    struct token_key *k = calloc(1, sizeof(*k));

    *out = NULL;
    if (!k)
        return fail(error, "out of memory");
    int err = read_file(k, path, error);
    if (err == 0)
        err = memmem(k->bytes, k->len, begin, sizeof(begin) - 1) ? take_pem(k, error) : take_secret(k, error);
    if (err == 0)
        *out = k;
    else
        token_key_free(&k);
    return err;
}

void token_key_free(struct token_key **key)
{
    if (!*key)
        return;
    token_key_free(&(*key)->before);
    OPENSSL_cleanse(*key, sizeof(**key));
    free(*key);
    *key = NULL;
}

void token_key_replace(struct token_key *key, struct token_key **fresh)
{
    struct token_key *with = *fresh, old;

    if (with->alg == key->alg && with->len == key->len && memcmp(with->bytes, key->bytes, key->len) == 0) {
        token_key_free(fresh);
        return;
    }
    token_key_free(&key->before);
    old = *key;
    *key = *with;
    *with = old;
    key->before = with;
    *fresh = NULL;
    OPENSSL_cleanse(&old, sizeof(old));
}

/* ---- Tokens ------------------------------------------------------------------------------------- */

static bool covers(const char *pattern, const char *stream)
{
    size_t n = pattern ? strlen(pattern) : 0;

    if (n > 2 && strcmp(pattern + n - 2, "/*") == 0)
        return strncmp(pattern, stream, n - 1) == 0;
    return n > 0 && strcmp(pattern, stream) == 0;
}

/* Claims of a token whose signature is good. A time may have a fraction (RFC 7519 s2). */
static enum token_result check_claims(const json_t *claims, const char *act, const char *stream, uint64_t now_unix_s)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    const char *for_act = json_string_value(json_object_get(claims, "act"));
    double now_s = (double)now_unix_s;

    if (!json_is_number(exp) || now_s >= json_number_value(exp))
        return TOKEN_EXPIRED;
    if (nbf && (!json_is_number(nbf) || now_s < json_number_value(nbf)))
        return TOKEN_EARLY;
    if (!for_act || strcmp(for_act, act) != 0)
        return TOKEN_ACT;
    return covers(json_string_value(json_object_get(claims, "sub")), stream) ? TOKEN_OK : TOKEN_STREAM;
}

/* key NULL: whoever has signed it, as it is known to be good. */
static enum token_result check(const struct token_key *key, const char *token, const char *act, const char *stream,
                               uint64_t now_unix_s)
{
    enum token_result result = TOKEN_MALFORMED;
    jwt_t *jwt = NULL;

    if (strlen(token) > TOKEN_MAX_BYTES || jwt_decode(&jwt, token, key ? key->bytes : NULL, key ? (int)key->len : 0) != 0)
        return TOKEN_MALFORMED;
    char *text = !key || jwt_get_alg(jwt) == key->alg ? jwt_get_grants_json(jwt, NULL) : NULL;
    json_t *claims = text ? json_loads(text, 0, NULL) : NULL;
    if (json_is_object(claims))
        result = check_claims(claims, act, stream, now_unix_s);
    json_decref(claims);
    free(text);
    jwt_free(jwt);
    return result;
}

enum token_result token_check(const struct token_key *key, const char *token, const char *act, const char *stream,
                              uint64_t now_unix_s)
{
    return check(key, token, act, stream, now_unix_s);
}

void token_mark(struct token_mark *out, const char *token)
{
    _Static_assert(sizeof(out->sha256) == SHA256_DIGEST_LENGTH, "one digest");
    SHA256((const unsigned char *)token, strlen(token), out->sha256);
}

bool token_has_mark(const char *token, const struct token_mark *mark)
{
    struct token_mark own;

    token_mark(&own, token);
    return CRYPTO_memcmp(own.sha256, mark->sha256, sizeof(own.sha256)) == 0;
}

enum token_result token_check_session(const struct token_key *key, const struct token_mark *begun_with, const char *token,
                                      const char *act, const char *stream, uint64_t now_unix_s)
{
    enum token_result result = check(key, token, act, stream, now_unix_s);

    if (result == TOKEN_MALFORMED && key->before)
        result = check(key->before, token, act, stream, now_unix_s);
    if (result == TOKEN_MALFORMED && begun_with && token_has_mark(token, begun_with))
        result = check(NULL, token, act, stream, now_unix_s); /* its signature was good then */
    return result;
}

const char *token_result_text(enum token_result result)
{
    switch (result) {
    case TOKEN_OK:
        return "The token is good.";
    case TOKEN_MALFORMED:
        return "The token is not one that this node trusts.";
    case TOKEN_EXPIRED:
        return "The token has expired.";
    case TOKEN_EARLY:
        return "The token is not valid yet.";
    case TOKEN_ACT:
        return "The token is for something else: publishing and playing take tokens of their own.";
    case TOKEN_STREAM:
        return "The token is for other streams.";
    }
    return "";
}
