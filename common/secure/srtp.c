/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/srtp.h"

#include "base/random.h"
#include "secure/srtp_priv.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>

static const struct profile_info {
    enum srtp_profile profile;
    uint8_t key_len, salt_len, tag_len; /* bytes */
    const char *name;
} profiles[] = {
    {SRTP_PROFILE_GCM_128, 16, 12, SRTP_GCM_TAG_BYTES, "AEAD_AES_128_GCM"},
    {SRTP_PROFILE_GCM_256, 32, 12, SRTP_GCM_TAG_BYTES, "AEAD_AES_256_GCM"},
    {SRTP_PROFILE_CM_SHA1_80, 16, 14, SRTP_CM_TAG_BYTES, "AES128_CM_HMAC_SHA1_80"},
};

static const struct profile_info *find(enum srtp_profile p)
{
    for (size_t i = 0; i < LEN(profiles); i++) {
        if (profiles[i].profile == p)
            return &profiles[i];
    }
    static const struct profile_info none = {.name = "none"};
    return &none;
}

size_t srtp_key_len(enum srtp_profile profile)
{
    return find(profile)->key_len;
}

size_t srtp_salt_len(enum srtp_profile profile)
{
    return find(profile)->salt_len;
}

size_t srtp_tag_len(enum srtp_profile profile)
{
    return find(profile)->tag_len;
}

const char *srtp_profile_name(enum srtp_profile profile)
{
    return find(profile)->name;
}

void srtp_master_random(struct srtp_master *out, enum srtp_profile profile)
{
    *out = (struct srtp_master){.profile = profile};
    random_bytes(out->key, srtp_key_len(profile));
    random_bytes(out->salt, srtp_salt_len(profile));
}

/* ---- Key derivation -------------------------------------------------------------------------- */

/* s4.3.1: the session key of a label is the AES-CM key stream of the master key, from
 * x = (label << 48) xor salt, times 2^16. */
static bool derive_one(EVP_CIPHER_CTX *ctx, const struct srtp_master *m, uint8_t label, uint8_t *out,
                       size_t len)
{
    static const uint8_t zeros[SRTP_KEY_MAX];
    uint8_t iv[SRTP_CM_IV_BYTES] = {0}; /* a 12-byte salt stands left of two zero bytes: RFC 7714 s11 */
    int n = 0;

    memcpy(iv, m->salt, srtp_salt_len(m->profile));
    iv[7] ^= label;
    const EVP_CIPHER *cipher = m->profile == SRTP_PROFILE_GCM_256 ? EVP_aes_256_ctr() : EVP_aes_128_ctr();
    return EVP_EncryptInit_ex(ctx, cipher, NULL, m->key, iv) == 1 &&
           EVP_EncryptUpdate(ctx, out, &n, zeros, (int)len) == 1;
}

bool srtp_derive(struct srtp_session *out, const struct srtp_master *m, enum srtp_kind kind)
{
    uint8_t label =
        kind == SRTP_KIND_RTP ? 0 : 3; /* s4.3.1, s4.3.2: cipher, then authentication, then salt */
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx)
        return false;
    *out = (struct srtp_session){.profile = m->profile};
    bool ok = derive_one(ctx, m, label, out->key, srtp_key_len(m->profile)) &&
              derive_one(ctx, m, (uint8_t)(label + 1), out->auth, SRTP_AUTH_KEY_BYTES) &&
              derive_one(ctx, m, (uint8_t)(label + 2), out->salt, srtp_salt_len(m->profile));
    EVP_CIPHER_CTX_free(ctx);
    return ok;
}

int srtp_key_init(struct srtp_engine *e, struct srtp_key *k, const struct srtp_master *m, enum srtp_kind kind,
                  enum srtp_way way)
{
    struct srtp_session s;

    if (srtp_key_len(m->profile) == 0)
        return SRTP_ERR_PROFILE;
    if (!srtp_derive(&s, m, kind))
        return SRTP_ERR_MEMORY;
    memcpy(k->salt, s.salt, sizeof(k->salt));
    k->profile = m->profile;
    int err = e->crypt->key_init(e, k, &s, way);
    OPENSSL_cleanse(&s, sizeof(s));
    return err;
}

void srtp_key_fini(struct srtp_engine *e, struct srtp_key *k)
{
    e->crypt->key_fini(k);
    OPENSSL_cleanse(k, sizeof(*k));
}

/* ---- Engine ---------------------------------------------------------------------------------- */

#if !MILLRACE_IPSEC_MB
int srtp_engine_init_mb(struct srtp_engine *e)
{
    (void)e;
    return SRTP_ERR_PROFILE;
}
#endif

int srtp_engine_create(struct srtp_engine **out, enum srtp_backend backend)
{
    struct srtp_engine *e = calloc(1, sizeof(*e));
    if (!e)
        return SRTP_ERR_MEMORY;
    int err = SRTP_ERR_PROFILE;
    if (backend != SRTP_BACKEND_OPENSSL)
        err = srtp_engine_init_mb(e);
    if (backend == SRTP_BACKEND_OPENSSL || (backend == SRTP_BACKEND_BEST && err == SRTP_ERR_PROFILE))
        err = srtp_engine_init_ossl(e);
    if (err) {
        free(e);
        return err;
    }
    *out = e;
    return 0;
}

void srtp_engine_destroy(struct srtp_engine **engine)
{
    struct srtp_engine *e = *engine;
    if (!e)
        return;
    e->crypt->engine_fini(e);
    free(e);
    *engine = NULL;
}

const char *srtp_engine_name(const struct srtp_engine *e)
{
    return e->name;
}
