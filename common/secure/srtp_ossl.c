/* SPDX-License-Identifier: Apache-2.0
 * The SRTP backend over OpenSSL EVP: a key is a kept cipher context that gets a new nonce a packet. */
#include "secure/srtp_priv.h"

#include <openssl/evp.h>
#include <stdlib.h>

struct ossl_key {
    EVP_CIPHER_CTX *ctx;
    struct srtp_mac mac; /* CM_SHA1_80 only */
};

_Static_assert(sizeof(struct ossl_key) <= SRTP_KEY_ROOM, "room for a key");

static struct ossl_key *of(struct srtp_key *k)
{
    return (struct ossl_key *)(void *)k->room;
}

static const EVP_CIPHER *cipher_of(enum srtp_profile p)
{
    if (p == SRTP_PROFILE_GCM_128)
        return EVP_aes_128_gcm();
    if (p == SRTP_PROFILE_GCM_256)
        return EVP_aes_256_gcm();
    return EVP_aes_128_ctr();
}

static int key_init(struct srtp_engine *e, struct srtp_key *k, const struct srtp_session *s,
                    enum srtp_way way)
{
    struct ossl_key *o = of(k);
    static const uint8_t zero_iv[SRTP_CM_IV_BYTES];

    (void)e;
    o->ctx = EVP_CIPHER_CTX_new();
    if (!o->ctx)
        return SRTP_ERR_MEMORY;
    if (EVP_CipherInit_ex(o->ctx, cipher_of(s->profile), NULL, s->key, zero_iv, way == SRTP_WAY_SEAL) != 1) {
        EVP_CIPHER_CTX_free(o->ctx);
        o->ctx = NULL;
        return SRTP_ERR_MEMORY;
    }
    srtp_mac_init(&o->mac, s->auth);
    return 0;
}

static void key_fini(struct srtp_key *k)
{
    EVP_CIPHER_CTX_free(of(k)->ctx);
}

/* The calls below cannot fail for what they are given; if one ever does, sending what is in dst would be
 * sending plaintext or nonsense, so it ends the process. */
static void must(int ok)
{
    if (ok != 1)
        abort();
}

static void gcm_seal(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     uint8_t tag[SRTP_GCM_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = of(k)->ctx;
    int n = 0;

    (void)e;
    must(EVP_EncryptInit_ex(ctx, NULL, NULL, NULL, iv));
    must(EVP_EncryptUpdate(ctx, NULL, &n, aad, (int)aad_len));
    if (len)
        must(EVP_EncryptUpdate(ctx, dst, &n, src, (int)len));
    must(EVP_EncryptFinal_ex(ctx, tag, &n)); /* writes nothing in GCM */
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SRTP_GCM_TAG_BYTES, tag));
}

static bool gcm_open(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     const uint8_t tag[SRTP_GCM_TAG_BYTES])
{
    EVP_CIPHER_CTX *ctx = of(k)->ctx;
    uint8_t wanted[SRTP_GCM_TAG_BYTES], nothing[SRTP_GCM_TAG_BYTES];
    int n = 0;

    (void)e;
    memcpy(wanted, tag, sizeof(wanted));
    must(EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, iv));
    must(EVP_DecryptUpdate(ctx, NULL, &n, aad, (int)aad_len));
    if (len)
        must(EVP_DecryptUpdate(ctx, dst, &n, src, (int)len));
    must(EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SRTP_GCM_TAG_BYTES, wanted));
    return EVP_DecryptFinal_ex(ctx, nothing, &n) == 1;
}

static void cm_xor(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_CM_IV_BYTES],
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    EVP_CIPHER_CTX *ctx = of(k)->ctx;
    int n = 0;

    (void)e;
    must(EVP_CipherInit_ex(ctx, NULL, NULL, NULL, iv, -1));
    if (len)
        must(EVP_CipherUpdate(ctx, dst, &n, src, (int)len));
}

static void cm_mac(struct srtp_key *k, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                   uint8_t mac[SRTP_SHA1_BYTES])
{
    srtp_mac_run(&of(k)->mac, a, a_len, b, b_len, mac);
}

static void engine_fini(struct srtp_engine *e)
{
    (void)e;
}

int srtp_engine_init_ossl(struct srtp_engine *e)
{
    static const struct srtp_crypt crypt = {
        .key_init = key_init,
        .key_fini = key_fini,
        .gcm_seal = gcm_seal,
        .gcm_open = gcm_open,
        .cm_xor = cm_xor,
        .cm_mac = cm_mac,
        .engine_fini = engine_fini,
    };
    e->crypt = &crypt;
    e->name = "openssl";
    return 0;
}
