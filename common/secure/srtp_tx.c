/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/srtp_tx.h"

#include "secure/srtp_priv.h"

#include <assert.h>
#include <stdlib.h>

enum { BATCH = 64 /* packets handed to the backend at once; more than its lanes, fewer than its queue */ };

int srtp_tx_create(struct srtp_tx **out, struct srtp_engine *e, const struct srtp_master *master)
{
    struct srtp_tx *tx = aligned_alloc(_Alignof(struct srtp_tx), sizeof(*tx));
    if (!tx)
        return SRTP_ERR_MEMORY;
    memset(tx, 0, sizeof(*tx));
    tx->engine = e;
    int err = srtp_key_init(e, &tx->rtp, master, SRTP_KIND_RTP, SRTP_WAY_SEAL);
    if (err) {
        free(tx);
        return err;
    }
    err = srtp_key_init(e, &tx->rtcp, master, SRTP_KIND_RTCP, SRTP_WAY_SEAL);
    if (err) {
        srtp_key_fini(e, &tx->rtp);
        free(tx);
        return err;
    }
    *out = tx;
    return 0;
}

void srtp_tx_destroy(struct srtp_tx **out)
{
    struct srtp_tx *tx = *out;
    if (!tx)
        return;
    srtp_key_fini(tx->engine, &tx->rtp);
    srtp_key_fini(tx->engine, &tx->rtcp);
    free(tx);
    *out = NULL;
}

bool srtp_tx_gains_by_batch(const struct srtp_tx *tx)
{
    return !srtp_is_gcm(tx->rtp.profile) && tx->engine->crypt->cm_seal_batch;
}

void srtp_tx_prefetch(const struct srtp_tx *tx)
{
    const uint8_t *at = (const uint8_t *)&tx->rtp;

    for (size_t i = 0; i < sizeof(tx->rtp); i += 64)
        __builtin_prefetch(at + i);
}

enum srtp_profile srtp_tx_profile(const struct srtp_tx *tx)
{
    return tx->rtp.profile;
}

size_t srtp_tx_tag_len(const struct srtp_tx *tx)
{
    return srtp_is_gcm(tx->rtp.profile) ? SRTP_GCM_TAG_BYTES : SRTP_CM_TAG_BYTES;
}

/* ---- RTP ------------------------------------------------------------------------------------- */

/* Header and, where there is a prefix, the whole payload to dst; returns where the plaintext is. */
static const uint8_t *gather(const struct srtp_tx_packet *p)
{
    uint8_t *body = p->dst + p->hdr_len;

    assert(p->hdr_len >= RTP_HEADER_BYTES);
    if (p->hdr != p->dst)
        memcpy(p->dst, p->hdr, p->hdr_len);
    if (p->prefix_len == 0)
        return p->payload;
    memmove(body + p->prefix_len, p->payload, p->payload_len);
    memcpy(body, p->prefix, p->prefix_len);
    return body;
}

static void seal_gcm(struct srtp_engine *e, const struct srtp_tx_packet *p, const uint8_t *plain)
{
    struct srtp_key *k = &p->tx->rtp;
    size_t len = (size_t)p->prefix_len + p->payload_len;
    uint8_t *body = p->dst + p->hdr_len;
    uint8_t iv[SRTP_GCM_IV_BYTES];

    srtp_gcm_iv(iv, k->salt, p->hdr + 8, p->index);
    e->crypt->gcm_seal(e, k, iv, p->dst, p->hdr_len, plain, len, body, body + len);
}

__attribute__((noinline)) static void seal_cm(struct srtp_engine *e, const struct srtp_tx_packet *p, const uint8_t *plain)
{
    struct srtp_key *k = &p->tx->rtp;
    size_t len = (size_t)p->prefix_len + p->payload_len;
    uint8_t *body = p->dst + p->hdr_len;
    uint8_t iv[SRTP_CM_IV_BYTES], roc[4], mac[SRTP_SHA1_BYTES];

    srtp_cm_iv(iv, k->salt, p->hdr + 8, p->index);
    e->crypt->cm_xor(e, k, iv, plain, len, body);
    srtp_put32(roc, (uint32_t)(p->index >> 16));
    e->crypt->cm_mac(k, p->dst, p->hdr_len + len, roc, sizeof(roc), mac);
    memcpy(body + len, mac, SRTP_CM_TAG_BYTES);
}

size_t srtp_tx_protect(struct srtp_engine *e, const struct srtp_tx_packet *p)
{
    const uint8_t *plain = gather(p);

    if (srtp_is_gcm(p->tx->rtp.profile))
        seal_gcm(e, p, plain);
    else
        seal_cm(e, p, plain);
    return srtp_tx_packet_len(p);
}

/* How many packets from the first on are CM_SHA1_80, at most BATCH. */
static size_t cm_run(const struct srtp_tx_packet *packets, size_t n)
{
    size_t i = 0;
    while (i < n && i < BATCH && !srtp_is_gcm(packets[i].tx->rtp.profile))
        i++;
    return i;
}

void srtp_tx_protect_batch(struct srtp_engine *e, const struct srtp_tx_packet *packets, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t run = e->crypt->cm_seal_batch ? cm_run(packets + i, n - i) : 0;
        if (run > 1) {
            e->crypt->cm_seal_batch(e, packets + i, run);
            i += run;
        } else {
            (void)srtp_tx_protect(e, &packets[i++]);
        }
    }
}

/* ---- RTCP ------------------------------------------------------------------------------------ */

int srtp_tx_protect_rtcp(struct srtp_engine *e, struct srtp_tx *tx, uint8_t *pkt, size_t len, size_t cap)
{
    struct srtp_key *k = &tx->rtcp;
    size_t tag_len = srtp_tx_tag_len(tx), body_len = len - RTCP_CLEAR_BYTES;
    uint8_t *body = pkt + RTCP_CLEAR_BYTES, word[SRTCP_INDEX_BYTES];

    assert(len >= RTCP_CLEAR_BYTES);
    if (len + tag_len + SRTCP_INDEX_BYTES > cap || len > UINT16_MAX || tx->rtcp_next & SRTCP_E)
        return SRTP_ERR_SHORT;
    uint32_t index = tx->rtcp_next++;
    srtp_put32(word, index | SRTCP_E);
    if (srtp_is_gcm(k->profile)) { /* RFC 7714 s9.2, s9.3: clear header and index word are authenticated; tag,
                                      then word */
        uint8_t iv[SRTP_GCM_IV_BYTES], aad[RTCP_CLEAR_BYTES + SRTCP_INDEX_BYTES];
        srtp_gcm_iv(iv, k->salt, pkt + 4, index);
        memcpy(aad, pkt, RTCP_CLEAR_BYTES);
        memcpy(aad + RTCP_CLEAR_BYTES, word, sizeof(word));
        e->crypt->gcm_seal(e, k, iv, aad, sizeof(aad), body, body_len, body, pkt + len);
        memcpy(pkt + len + tag_len, word, sizeof(word));
    } else { /* RFC 3711 s3.4: word, then tag over everything before it */
        uint8_t iv[SRTP_CM_IV_BYTES], mac[SRTP_SHA1_BYTES];
        srtp_cm_iv(iv, k->salt, pkt + 4, index);
        e->crypt->cm_xor(e, k, iv, body, body_len, body);
        memcpy(pkt + len, word, sizeof(word));
        e->crypt->cm_mac(k, pkt, len + sizeof(word), NULL, 0, mac);
        memcpy(pkt + len + sizeof(word), mac, SRTP_CM_TAG_BYTES);
    }
    return (int)(len + tag_len + SRTCP_INDEX_BYTES);
}
