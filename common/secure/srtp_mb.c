/* SPDX-License-Identifier: Apache-2.0
 * The SRTP backend over intel-ipsec-mb (x86-64 with AES-NI).
 *
 * GCM goes through the direct functions, a packet a call: they are as fast as their job form and keep no
 * queue. CM_SHA1_80 goes through the job queue, where SHA-1 works on many packets side by side; there its
 * jobs hash bytes of dst, which the job names as an offset from src (the library adds it to the pointer). */
#include "secure/srtp_priv.h"

#include <assert.h>
#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdlib.h>

enum { CM_BATCH = 64 /* jobs in flight; the library's queue takes IMB_MAX_JOBS, lanes are 16 at most */ };
_Static_assert(CM_BATCH < IMB_MAX_JOBS, "a batch fits the queue");

struct mb {
    IMB_MGR *mgr;
    struct gcm_context_data gcm; /* scratch of the call under way */
    struct {
        uint8_t iv[SRTP_CM_IV_BYTES];
        uint8_t mac[SRTP_SHA1_BYTES];
    } slot[CM_BATCH];
};

/* CM_SHA1_80 */
struct mb_cm_key {
    _Alignas(16) uint8_t enc[11 * 16]; /* AES-128 round keys */
    uint8_t ipad[SRTP_SHA1_BYTES], opad[SRTP_SHA1_BYTES];
    struct srtp_mac mac; /* for packets one by one */
};

_Static_assert(sizeof(struct gcm_key_data) <= SRTP_KEY_ROOM, "room for a GCM key");
_Static_assert(sizeof(struct mb_cm_key) <= SRTP_KEY_ROOM, "room for a CM key");

static struct gcm_key_data *gcm_of(struct srtp_key *k)
{
    return (struct gcm_key_data *)(void *)k->room;
}

static struct mb_cm_key *cm_of(struct srtp_key *k)
{
    return (struct mb_cm_key *)(void *)k->room;
}

static void hmac_half(IMB_MGR *mgr, const uint8_t key[SRTP_AUTH_KEY_BYTES], uint8_t pad,
                      uint8_t out[SRTP_SHA1_BYTES])
{
    uint8_t block[IMB_SHA1_BLOCK_SIZE];

    memset(block, pad, sizeof(block));
    for (int i = 0; i < SRTP_AUTH_KEY_BYTES; i++)
        block[i] ^= key[i];
    IMB_SHA1_ONE_BLOCK(mgr, block, out);
    OPENSSL_cleanse(block, sizeof(block));
}

static int key_init(struct srtp_engine *e, struct srtp_key *k, const struct srtp_session *s,
                    enum srtp_way way)
{
    IMB_MGR *mgr = ((struct mb *)e->impl)->mgr;

    (void)way; /* all three profiles only ever run AES forwards */
    if (s->profile == SRTP_PROFILE_GCM_128) {
        IMB_AES128_GCM_PRE(mgr, s->key, gcm_of(k));
    } else if (s->profile == SRTP_PROFILE_GCM_256) {
        IMB_AES256_GCM_PRE(mgr, s->key, gcm_of(k));
    } else {
        struct mb_cm_key *c = cm_of(k);
        _Alignas(16) uint8_t dec[11 * 16];
        IMB_AES_KEYEXP_128(mgr, s->key, c->enc, dec);
        OPENSSL_cleanse(dec, sizeof(dec));
        hmac_half(mgr, s->auth, 0x36, c->ipad);
        hmac_half(mgr, s->auth, 0x5c, c->opad);
        srtp_mac_init(&c->mac, s->auth);
    }
    return 0;
}

static void key_fini(struct srtp_key *k)
{
    (void)k;
}

static void gcm_seal(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     uint8_t tag[SRTP_GCM_TAG_BYTES])
{
    struct mb *mb = e->impl;

    if (k->profile == SRTP_PROFILE_GCM_128)
        IMB_AES128_GCM_ENC(mb->mgr, gcm_of(k), &mb->gcm, dst, src, len, iv, aad, aad_len, tag,
                           SRTP_GCM_TAG_BYTES);
    else
        IMB_AES256_GCM_ENC(mb->mgr, gcm_of(k), &mb->gcm, dst, src, len, iv, aad, aad_len, tag,
                           SRTP_GCM_TAG_BYTES);
}

static bool gcm_open(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     const uint8_t tag[SRTP_GCM_TAG_BYTES])
{
    struct mb *mb = e->impl;
    uint8_t is[SRTP_GCM_TAG_BYTES];

    if (k->profile == SRTP_PROFILE_GCM_128)
        IMB_AES128_GCM_DEC(mb->mgr, gcm_of(k), &mb->gcm, dst, src, len, iv, aad, aad_len, is, sizeof(is));
    else
        IMB_AES256_GCM_DEC(mb->mgr, gcm_of(k), &mb->gcm, dst, src, len, iv, aad, aad_len, is, sizeof(is));
    return CRYPTO_memcmp(is, tag, sizeof(is)) == 0;
}

/* ---- CM_SHA1_80 ------------------------------------------------------------------------------ */

static IMB_JOB *ctr_job(IMB_MGR *mgr, struct mb_cm_key *c, const uint8_t *iv, const uint8_t *src, size_t len,
                        uint8_t *dst)
{
    IMB_JOB *j = IMB_GET_NEXT_JOB(mgr);

    j->cipher_mode = IMB_CIPHER_CNTR;
    j->cipher_direction = IMB_DIR_ENCRYPT;
    j->chain_order = IMB_ORDER_CIPHER_HASH;
    j->enc_keys = j->dec_keys = c->enc;
    j->key_len_in_bytes = IMB_KEY_128_BYTES;
    j->iv = iv;
    j->iv_len_in_bytes = SRTP_CM_IV_BYTES;
    j->src = src;
    j->dst = dst;
    j->cipher_start_src_offset_in_bytes = 0;
    j->msg_len_to_cipher_in_bytes = len;
    j->hash_alg = IMB_AUTH_NULL;
    return j;
}

static void cm_xor(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_CM_IV_BYTES],
                   const uint8_t *src, size_t len, uint8_t *dst)
{
    struct mb *mb = e->impl;

    if (len == 0)
        return;
    ctr_job(mb->mgr, cm_of(k), iv, src, len, dst);
    IMB_JOB *done = IMB_SUBMIT_JOB(mb->mgr);
    while (!done)
        done = IMB_FLUSH_JOB(mb->mgr);
    assert(done->status == IMB_STATUS_COMPLETED);
}

static void cm_mac(struct srtp_key *k, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                   uint8_t mac[SRTP_SHA1_BYTES])
{
    srtp_mac_run(&cm_of(k)->mac, a, a_len, b, b_len, mac);
}

static void batch_submit(struct mb *mb, const struct srtp_tx_packet *p, unsigned slot)
{
    struct srtp_key *k = &p->tx->rtp;
    struct mb_cm_key *c = cm_of(k);
    size_t len = (size_t)p->prefix_len + p->payload_len, clear = p->hdr_len;
    const uint8_t *src = p->payload;

    if (p->hdr != p->dst)
        memcpy(p->dst, p->hdr, clear);
    if (p->prefix_len) { /* two sources: gathered first, then encrypted in place */
        memmove(p->dst + clear + p->prefix_len, p->payload, p->payload_len);
        memcpy(p->dst + clear, p->prefix, p->prefix_len);
        src = p->dst + clear;
    }
    srtp_cm_iv(mb->slot[slot].iv, k->salt, p->hdr + 8, p->index);
    /* s4.2: the tag covers the packet and the roll-over counter, which waits where the tag will be. */
    srtp_put32(p->dst + clear + len, (uint32_t)(p->index >> 16));

    IMB_JOB *j = ctr_job(mb->mgr, c, mb->slot[slot].iv, src, len, p->dst + clear);
    j->hash_alg = IMB_AUTH_HMAC_SHA_1;
    j->hash_start_src_offset_in_bytes = (uintptr_t)p->dst - (uintptr_t)src; /* wraps when dst lies below */
    j->msg_len_to_hash_in_bytes = clear + len + 4;
    j->u.HMAC._hashed_auth_key_xor_ipad = c->ipad;
    j->u.HMAC._hashed_auth_key_xor_opad = c->opad;
    j->auth_tag_output = mb->slot[slot].mac;
    j->auth_tag_output_len_in_bytes = SRTP_SHA1_BYTES;
    (void)IMB_SUBMIT_JOB_NOCHECK(mb->mgr);
}

static void cm_seal_batch(struct srtp_engine *e, const struct srtp_tx_packet *packets, size_t n)
{
    struct mb *mb = e->impl;

    assert(n <= CM_BATCH);
    for (unsigned i = 0; i < n; i++)
        batch_submit(mb, &packets[i], i);
    while (IMB_FLUSH_JOB(mb->mgr)) {
    }
    for (size_t i = 0; i < n; i++) {
        const struct srtp_tx_packet *p = &packets[i];
        memcpy(p->dst + p->hdr_len + p->prefix_len + p->payload_len, mb->slot[i].mac, SRTP_CM_TAG_BYTES);
    }
}

/* ---- Engine ---------------------------------------------------------------------------------- */

static void engine_fini(struct srtp_engine *e)
{
    struct mb *mb = e->impl;

    free_mb_mgr(mb->mgr);
    OPENSSL_cleanse(mb, sizeof(*mb));
    free(mb);
}

static const char *arch_name(IMB_ARCH arch)
{
    static const char *const names[IMB_ARCH_NUM] = {
        [IMB_ARCH_SSE] = "ipsec-mb sse",
        [IMB_ARCH_AVX] = "ipsec-mb avx",
        [IMB_ARCH_AVX2] = "ipsec-mb avx2",
        [IMB_ARCH_AVX512] = "ipsec-mb avx512",
    };
    return arch < IMB_ARCH_NUM ? names[arch] : NULL; /* NULL too without AES-NI: OpenSSL does better there */
}

static const struct srtp_crypt mb_crypt = {
    .key_init = key_init,
    .key_fini = key_fini,
    .gcm_seal = gcm_seal,
    .gcm_open = gcm_open,
    .cm_xor = cm_xor,
    .cm_mac = cm_mac,
    .cm_seal_batch = cm_seal_batch,
    .engine_fini = engine_fini,
};

int srtp_engine_init_mb(struct srtp_engine *e)
{
    IMB_ARCH arch = IMB_ARCH_NONE;
    struct mb *mb = aligned_alloc(64, (sizeof(*mb) + 63) / 64 * 64);
    if (!mb)
        return SRTP_ERR_MEMORY;
    memset(mb, 0, sizeof(*mb));
    mb->mgr = alloc_mb_mgr(0);
    if (!mb->mgr) {
        free(mb);
        return SRTP_ERR_MEMORY;
    }
    init_mb_mgr_auto(mb->mgr, &arch);
    if (!arch_name(arch) || imb_get_errno(mb->mgr) != 0) {
        free_mb_mgr(mb->mgr);
        free(mb);
        return SRTP_ERR_PROFILE;
    }
    e->crypt = &mb_crypt;
    e->impl = mb;
    e->name = arch_name(arch);
    return 0;
}
