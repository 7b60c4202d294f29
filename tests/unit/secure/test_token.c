/* SPDX-License-Identifier: Apache-2.0
 * Tokens made with OpenSSL, byte by byte, so that wrong ones can be made too. */
#include "secure/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOW UINT64_C(1000)
#define SECRET "0123456789abcdef0123456789abcdef"
#define GOOD "{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001}"

enum { TEXT_CAP = 8192 };
static char folder[] = "/tmp/millrace-token-XXXXXX";

/* ---- Keys ---------------------------------------------------------------------------------------- */

static const char *in_folder(const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static const char *write_text(const char *name, const char *text)
{
    FILE *f = fopen(in_folder(name), "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    return in_folder(name);
}

static const char *write_pem(const char *name, EVP_PKEY *pkey, bool private)
{
    FILE *f = fopen(in_folder(name), "wb");

    assert_non_null(f);
    assert_int_equal(private ? PEM_write_PrivateKey(f, pkey, NULL, NULL, 0, NULL, NULL) : PEM_write_PUBKEY(f, pkey), 1);
    fclose(f);
    return in_folder(name);
}

static struct token_key *load(const char *path)
{
    struct token_key *key;
    char error[TOKEN_ERROR_CAP];

    assert_int_equal(token_key_load(&key, path, error), 0);
    unlink(path);
    return key;
}

/* The reason. */
static const char *fails_to_load(const char *path)
{
    static char error[TOKEN_ERROR_CAP];
    struct token_key *key;

    assert_int_equal(token_key_load(&key, path, error), -1);
    assert_null(key);
    unlink(path);
    return error;
}

/* ---- Tokens -------------------------------------------------------------------------------------- */

static void append_base64url(char *to, const void *bytes, size_t len)
{
    char *at = to + strlen(to);
    int n = EVP_EncodeBlock((unsigned char *)at, bytes, (int)len);

    while (n && at[n - 1] == '=')
        at[--n] = '\0';
    for (; *at; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
}

/* "header.claims" */
static void begin(char out[TEXT_CAP], const char *alg, const char *claims)
{
    char header[64];

    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", alg);
    out[0] = '\0';
    append_base64url(out, header, strlen(header));
    strcat(out, ".");
    append_base64url(out, claims, strlen(claims));
}

static const char *hs256(const char *claims, const void *secret, size_t len)
{
    static char out[TEXT_CAP];
    unsigned char mac[32];
    unsigned mac_len = sizeof(mac);

    begin(out, "HS256", claims);
    HMAC(EVP_sha256(), secret, (int)len, (const unsigned char *)out, strlen(out), mac, &mac_len);
    strcat(out, ".");
    append_base64url(out, mac, mac_len);
    return out;
}

/* ECDSA's signature is r and s of 32 bytes each, not DER (RFC 7518 s3.4). */
static size_t flatten(unsigned char *signature, size_t len)
{
    const unsigned char *p = signature;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)len);

    assert_non_null(s);
    BN_bn2binpad(ECDSA_SIG_get0_r(s), signature, 32);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), signature + 32, 32);
    ECDSA_SIG_free(s);
    return 64;
}

static const char *signed_with(EVP_PKEY *pkey, const char *alg, const char *claims)
{
    static char out[TEXT_CAP];
    unsigned char signature[512];
    size_t len = sizeof(signature);
    EVP_MD_CTX *md = EVP_MD_CTX_new();

    begin(out, alg, claims);
    assert_int_equal(EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, pkey), 1);
    assert_int_equal(EVP_DigestSign(md, signature, &len, (const unsigned char *)out, strlen(out)), 1);
    EVP_MD_CTX_free(md);
    if (alg[0] == 'E')
        len = flatten(signature, len);
    strcat(out, ".");
    append_base64url(out, signature, len);
    return out;
}

static enum token_result play(const struct token_key *key, const char *token)
{
    return token_check(key, token, "play", "live/test", NOW);
}

/* ---- Tests --------------------------------------------------------------------------------------- */

static void claims_say_what_when_and_which(void **state)
{
    static const struct {
        const char *claims;
        enum token_result result;
    } rows[] = {
        {GOOD, TOKEN_OK},
        {"{\"sub\":\"live/*\",\"act\":\"play\",\"exp\":1001}", TOKEN_OK},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1000.5,\"nbf\":999.5}", TOKEN_OK},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001,\"nbf\":1000}", TOKEN_OK},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1000}", TOKEN_EXPIRED},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":-1}", TOKEN_EXPIRED},
        {"{\"sub\":\"live/test\",\"act\":\"play\"}", TOKEN_EXPIRED},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":\"1001\"}", TOKEN_EXPIRED},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":null}", TOKEN_EXPIRED},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001,\"nbf\":1001}", TOKEN_EARLY},
        {"{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001,\"nbf\":\"1\"}", TOKEN_EARLY},
        {"{\"sub\":\"live/test\",\"act\":\"publish\",\"exp\":1001}", TOKEN_ACT},
        {"{\"sub\":\"live/test\",\"act\":[\"play\"],\"exp\":1001}", TOKEN_ACT},
        {"{\"sub\":\"live/test\",\"exp\":1001}", TOKEN_ACT},
        {"{\"sub\":\"live/tes\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"live/test2\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"live/te*\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"liv/*\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"/*\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"*\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":\"\",\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"sub\":7,\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{\"act\":\"play\",\"exp\":1001}", TOKEN_STREAM},
        {"{}", TOKEN_EXPIRED},
        {"[]", TOKEN_MALFORMED},
        {"{\"sub\":\"live/test\",", TOKEN_MALFORMED},
    };
    struct token_key *key = load(write_text("secret", SECRET));

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        if (play(key, hs256(rows[i].claims, SECRET, 32)) != rows[i].result)
            fail_msg("%s", rows[i].claims);
    token_key_free(&key);
    assert_null(key);
}

/* All in the folder a/, however deep; and not the folder's own name. */
static void a_pattern_covers_a_folder(void **state)
{
    struct token_key *key = load(write_text("secret", SECRET));
    const char *token = hs256("{\"sub\":\"a/*\",\"act\":\"publish\",\"exp\":1001}", SECRET, 32);

    (void)state;
    assert_int_equal(token_check(key, token, "publish", "a/b", NOW), TOKEN_OK);
    assert_int_equal(token_check(key, token, "publish", "a/b/c", NOW), TOKEN_OK);
    assert_int_equal(token_check(key, token, "publish", "ab/c", NOW), TOKEN_STREAM);
    assert_int_equal(token_check(key, token, "publish", "a", NOW), TOKEN_STREAM);
    token_key_free(&key);
}

static void a_secret_takes_its_own_hs256_only(void **state)
{
    struct token_key *key = load(write_text("secret", SECRET "\r\n")); /* line ends are not part of it */
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    char text[TEXT_CAP];

    (void)state;
    assert_int_equal(play(key, hs256(GOOD, SECRET, 32)), TOKEN_OK);
    assert_int_equal(play(key, hs256(GOOD, SECRET, 31)), TOKEN_MALFORMED);
    assert_int_equal(play(key, hs256(GOOD, "", 0)), TOKEN_MALFORMED);
    assert_int_equal(play(key, signed_with(ec, "ES256", GOOD)), TOKEN_MALFORMED);
    strcpy(text, hs256(GOOD, SECRET, 32));
    text[30] = text[30] == 'A' ? 'B' : 'A'; /* a claim or header that was changed later */
    assert_int_equal(play(key, text), TOKEN_MALFORMED);
    EVP_PKEY_free(ec);
    token_key_free(&key);
}

/* HS512 with the right secret: the mac is good, and the algorithm still not the one that was agreed on. */
static void another_algorithm_is_refused_although_its_signature_is_good(void **state)
{
    struct token_key *key = load(write_text("secret", SECRET));
    char text[TEXT_CAP];
    unsigned char mac[64];
    unsigned len = sizeof(mac);

    (void)state;
    begin(text, "HS512", GOOD);
    HMAC(EVP_sha512(), SECRET, 32, (const unsigned char *)text, strlen(text), mac, &len);
    strcat(text, ".");
    append_base64url(text, mac, len);
    assert_int_equal(play(key, text), TOKEN_MALFORMED);
    token_key_free(&key);
}

static void alg_none_is_refused(void **state)
{
    static const char *const names[] = {"none", "None", "NONE", ""};
    EVP_PKEY *ec = EVP_EC_gen("P-256");
    struct token_key *keys[] = {load(write_text("secret", SECRET)), load(write_pem("pem", ec, false))};
    char text[TEXT_CAP];

    (void)state;
    for (size_t k = 0; k < LEN(keys); k++)
        for (size_t i = 0; i < LEN(names); i++) {
            begin(text, names[i], GOOD);
            assert_int_equal(play(keys[k], text), TOKEN_MALFORMED);
            strcat(text, ".");
            assert_int_equal(play(keys[k], text), TOKEN_MALFORMED);
            strcat(text, "AAAA");
            assert_int_equal(play(keys[k], text), TOKEN_MALFORMED);
        }
    token_key_free(&keys[0]);
    token_key_free(&keys[1]);
    EVP_PKEY_free(ec);
}

/* The public key is no secret: a token whose mac was made with its bytes must not pass (RFC 8725 s2.1). */
static void a_public_key_is_no_secret(void **state)
{
    EVP_PKEY *pkeys[] = {EVP_EC_gen("P-256"), EVP_RSA_gen(2048)}, *other = EVP_EC_gen("P-256");
    static const char *const algs[] = {"ES256", "RS256"};
    char pem[TEXT_CAP];

    (void)state;
    for (size_t i = 0; i < LEN(pkeys); i++) {
        FILE *f = fopen(write_pem("pem", pkeys[i], false), "rb");
        size_t len = fread(pem, 1, sizeof(pem), f);
        fclose(f);
        struct token_key *key = load(in_folder("pem"));
        assert_int_equal(play(key, signed_with(pkeys[i], algs[i], GOOD)), TOKEN_OK);
        assert_int_equal(play(key, hs256(GOOD, pem, len)), TOKEN_MALFORMED);
        assert_int_equal(play(key, hs256(GOOD, pem, len - 1)), TOKEN_MALFORMED);
        assert_int_equal(play(key, signed_with(other, "ES256", GOOD)), TOKEN_MALFORMED);
        assert_int_equal(play(key, signed_with(pkeys[i], algs[i], "{\"exp\":999}")), TOKEN_EXPIRED);
        token_key_free(&key);
        EVP_PKEY_free(pkeys[i]);
    }
    EVP_PKEY_free(other);
}

static void garbage_is_refused(void **state)
{
    static const char *const rows[] = {"", ".", "..", "...", "a", "a.b.c", "é.é.é", "eyJ.eyJ.", "e30.e30.e30", "%00.%00.%00", "\x01\xff"};
    struct token_key *key = load(write_text("secret", SECRET));
    char *text = malloc(TEXT_CAP);

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        assert_int_equal(play(key, rows[i]), TOKEN_MALFORMED);
    const char *good = hs256(GOOD, SECRET, 32);
    for (size_t cut = 0; cut < strlen(good); cut++) { /* exact, for the sanitizer to see what is read behind it */
        char *part = strndup(good, cut);
        assert_int_equal(play(key, part), TOKEN_MALFORMED);
        free(part);
    }
    snprintf(text, TEXT_CAP, "%sAAAA", good);
    assert_int_equal(play(key, text), TOKEN_MALFORMED);
    free(text);
    token_key_free(&key);
}

static void an_oversize_token_is_refused(void **state)
{
    struct token_key *key = load(write_text("secret", SECRET));
    char claims[4096];

    (void)state;
    snprintf(claims, sizeof(claims), "{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001,\"x\":\"%02000d\"}", 0);
    assert_int_equal(play(key, hs256(claims, SECRET, 32)), TOKEN_OK);
    snprintf(claims, sizeof(claims), "{\"sub\":\"live/test\",\"act\":\"play\",\"exp\":1001,\"x\":\"%03100d\"}", 0);
    assert_int_equal(play(key, hs256(claims, SECRET, 32)), TOKEN_MALFORMED);
    token_key_free(&key);
}

static void after_a_new_key_sessions_go_on_with_the_one_before(void **state)
{
    static const char *const secrets[] = {SECRET, "another secret, as long as it is to be", "and a third one, long enough as well"};
    static const struct {
        size_t replaced;                    /* times */
        enum token_result now[3], session[3]; /* of tokens by each secret */
    } rows[] = {
        {0, {TOKEN_OK, TOKEN_MALFORMED, TOKEN_MALFORMED}, {TOKEN_OK, TOKEN_MALFORMED, TOKEN_MALFORMED}},
        {1, {TOKEN_MALFORMED, TOKEN_OK, TOKEN_MALFORMED}, {TOKEN_OK, TOKEN_OK, TOKEN_MALFORMED}},
        {2, {TOKEN_MALFORMED, TOKEN_MALFORMED, TOKEN_OK}, {TOKEN_MALFORMED, TOKEN_OK, TOKEN_OK}},
    };
    struct token_key *key = load(write_text("k", SECRET));

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *secret = secrets[rows[i].replaced];
        struct token_key *fresh = load(write_text("k", secret)), *same = load(write_text("k", secret));
        token_key_replace(key, &fresh);
        token_key_replace(key, &same); /* as SIGHUP for a certificate does */
        assert_null(fresh);
        assert_null(same);
        for (size_t s = 0; s < 3; s++) {
            const char *token = hs256(GOOD, secrets[s], strlen(secrets[s]));
            assert_int_equal(play(key, token), rows[i].now[s]);
            assert_int_equal(token_check_session(key, NULL, token, "play", "live/test", NOW), rows[i].session[s]);
            assert_int_equal(token_check_session(key, NULL, token, "publish", "live/test", NOW),
                             rows[i].session[s] == TOKEN_OK ? TOKEN_ACT : TOKEN_MALFORMED);
        }
    }
    token_key_free(&key);
}

/* Of two tokens by a key that nobody has any more: the one that the session was begun with, and another. */
static void a_session_goes_on_by_the_token_it_was_begun_with_whatever_the_key_is(void **state)
{
    static const char *const own = GOOD, *const other = "{\"sub\":\"live/*\",\"act\":\"play\",\"exp\":1001}";
    static const struct {
        const char *claims;
        bool known; /* the session's mark */
        const char *act, *stream;
        uint64_t now_unix_s;
        enum token_result result;
    } rows[] = {
        {own, true, "play", "live/test", NOW, TOKEN_OK},
        {own, true, "play", "live/test", NOW + 1, TOKEN_EXPIRED},
        {own, true, "publish", "live/test", NOW, TOKEN_ACT},
        {own, true, "play", "live/other", NOW, TOKEN_STREAM},
        {own, false, "play", "live/test", NOW, TOKEN_MALFORMED},
        {other, true, "play", "live/test", NOW, TOKEN_MALFORMED},
    };
    static const char gone[] = "a secret of two rotations ago, long enough";
    const struct token_mark none = {0};
    struct token_key *key = load(write_text("secret", SECRET));
    struct token_mark mark;

    (void)state;
    token_mark(&mark, hs256(own, gone, strlen(gone)));
    for (size_t i = 0; i < LEN(rows); i++) {
        const char *token = hs256(rows[i].claims, gone, strlen(gone));
        enum token_result result = token_check_session(key, rows[i].known ? &mark : NULL, token, rows[i].act, rows[i].stream,
                                                       rows[i].now_unix_s);
        if (result != rows[i].result)
            fail_msg("row %zu: %s", i, token_result_text(result));
        assert_int_equal(token_has_mark(token, &mark), rows[i].claims == own);
        assert_false(token_has_mark(token, &none));
    }
    token_key_free(&key);
}

static void unusable_keys_are_told(void **state)
{
    EVP_PKEY *p384 = EVP_EC_gen("P-384"), *rsa = EVP_RSA_gen(1024), *ec = EVP_EC_gen("P-256");
    char large[TOKEN_KEY_MAX_BYTES + 2];

    (void)state;
    memset(large, 'x', sizeof(large) - 1);
    large[sizeof(large) - 1] = '\0';
    assert_non_null(strstr(fails_to_load(in_folder("missing")), "No such file"));
    assert_non_null(strstr(fails_to_load("/tmp"), "directory"));
    assert_non_null(strstr(fails_to_load(write_text("k", "")), "32 bytes"));
    assert_non_null(strstr(fails_to_load(write_text("k", "0123456789abcdef0123456789abcde\n")), "32 bytes"));
    assert_non_null(strstr(fails_to_load(write_text("k", large)), "too large"));
    assert_non_null(strstr(fails_to_load(write_text("k", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")), "PEM"));
    assert_non_null(strstr(fails_to_load(write_pem("k", ec, true)), "PEM"));
    assert_non_null(strstr(fails_to_load(write_pem("k", p384, false)), "P-256"));
    assert_non_null(strstr(fails_to_load(write_pem("k", rsa, false)), "2048"));
    EVP_PKEY_free(p384);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_say_what_when_and_which),
        cmocka_unit_test(a_pattern_covers_a_folder),
        cmocka_unit_test(a_secret_takes_its_own_hs256_only),
        cmocka_unit_test(another_algorithm_is_refused_although_its_signature_is_good),
        cmocka_unit_test(alg_none_is_refused),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(garbage_is_refused),
        cmocka_unit_test(an_oversize_token_is_refused),
        cmocka_unit_test(after_a_new_key_sessions_go_on_with_the_one_before),
        cmocka_unit_test(a_session_goes_on_by_the_token_it_was_begun_with_whatever_the_key_is),
        cmocka_unit_test(unusable_keys_are_told),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
