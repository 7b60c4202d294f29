/* SPDX-License-Identifier: Apache-2.0 */
#include "secure/srtp_rx.h"

#include "base/bytes.h"
#include "base/reader.h"
#include "base/seq.h"
#include "secure/srtp_priv.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <stdlib.h>

/* Of ipsec-mb's key for GCM a short packet, as feedback is, needs the beginning and the end: the lower a power of the hash key, the
 * further behind it lies. */
enum { LINE_BYTES = 64, ROUND_KEYS_BYTES = 176, HASH_KEYS_BYTES = 3 * LINE_BYTES };

static int create(struct srtp_rx **out, struct srtp_engine *e, const struct srtp_master *master, bool takes_rtp)
{
    size_t bytes = sizeof(struct srtp_rx) + (takes_rtp ? sizeof(struct srtp_key) : 0);
    struct srtp_rx *rx = aligned_alloc(_Alignof(struct srtp_rx), bytes);
    if (!rx)
        return SRTP_ERR_MEMORY;
    memset(rx, 0, bytes);
    rx->engine = e;
    rx->takes_rtp = takes_rtp;
    int err = takes_rtp ? srtp_key_init(e, rx->rtp, master, SRTP_KIND_RTP, SRTP_WAY_OPEN) : SRTP_OK;
    if (err) {
        free(rx);
        return err;
    }
    err = srtp_key_init(e, &rx->rtcp, master, SRTP_KIND_RTCP, SRTP_WAY_OPEN);
    if (err) {
        if (takes_rtp)
            srtp_key_fini(e, rx->rtp);
        free(rx);
        return err;
    }
    *out = rx;
    return SRTP_OK;
}

int srtp_rx_create(struct srtp_rx **out, struct srtp_engine *e, const struct srtp_master *master)
{
    return create(out, e, master, true);
}

int srtp_rx_create_rtcp(struct srtp_rx **out, struct srtp_engine *e, const struct srtp_master *master)
{
    return create(out, e, master, false);
}

void srtp_rx_destroy(struct srtp_rx **out)
{
    struct srtp_rx *rx = *out;
    if (!rx)
        return;
    if (rx->takes_rtp)
        srtp_key_fini(rx->engine, rx->rtp);
    srtp_key_fini(rx->engine, &rx->rtcp);
    free(rx);
    *out = NULL;
}

/* ---- The RTP window -------------------------------------------------------------------------- */

static uint64_t window_bit(uint64_t index)
{
    return 1ULL << (index % 64);
}

static size_t window_word(uint64_t index)
{
    return (size_t)(index % SRTP_WINDOW_PACKETS / 64);
}

/* Raises top, forgetting the places that come into the window. */
static void window_raise(struct srtp_window *w, uint64_t index)
{
    if (index - w->top >= SRTP_WINDOW_PACKETS) {
        memset(w->seen, 0, sizeof(w->seen));
    } else {
        for (uint64_t i = w->top + 1; i <= index; i++)
            w->seen[window_word(i)] &= ~window_bit(i);
    }
    w->top = index;
}

void srtp_window_init(struct srtp_window *w, uint64_t near_index)
{
    *w = (struct srtp_window){.top = near_index & SRTP_INDEX_MASK};
}

static int window_check(const struct srtp_window *w, uint64_t index)
{
    if (index > w->top)
        return SRTP_OK;
    if (w->top - index >= SRTP_WINDOW_PACKETS)
        return SRTP_ERR_OLD;
    return w->seen[window_word(index)] & window_bit(index) ? SRTP_ERR_REPLAY : SRTP_OK;
}

bool srtp_window_refuses(const struct srtp_window *w, uint64_t index)
{
    return window_check(w, index) != SRTP_OK;
}

static void window_mark(struct srtp_window *w, uint64_t index)
{
    if (index == w->top + 1) /* its bit is a window old */
        w->top = index;
    else if (index > w->top)
        window_raise(w, index);
    w->seen[window_word(index)] |= window_bit(index);
}

/* ---- RTP ------------------------------------------------------------------------------------- */

/* Bytes of header, CSRCs and extension: all that is sent clear. 0 when they pass the end. */
static size_t clear_len(const uint8_t *pkt, size_t len)
{
    struct reader r = reader_init(pkt, len);
    uint8_t b0 = reader_u8(&r);

    reader_take(&r, RTP_HEADER_BYTES - 1);
    reader_take(&r, (size_t)(b0 & 0x0f) * 4); /* CSRCs */
    if (b0 & 0x10) {
        reader_u16(&r); /* profile */
        size_t words = reader_u16(&r);
        reader_take(&r, words * 4);
    }
    return r.bad ? 0 : len - reader_left(&r);
}

static bool open_gcm(struct srtp_engine *e, struct srtp_key *k, uint64_t index, const uint8_t *pkt, size_t clear,
                     size_t len, uint8_t *dst)
{
    uint8_t iv[SRTP_GCM_IV_BYTES];

    srtp_gcm_iv(iv, k->salt, pkt + 8, index);
    return e->crypt->gcm_open(e, k, iv, pkt, clear, pkt + clear, len - clear, dst, pkt + len);
}

static bool open_cm(struct srtp_engine *e, struct srtp_key *k, uint64_t index, const uint8_t *pkt, size_t clear,
                    size_t len, uint8_t *dst)
{
    uint8_t iv[SRTP_CM_IV_BYTES], roc[4], mac[SRTP_SHA1_BYTES];

    srtp_put32(roc, (uint32_t)(index >> 16));
    e->crypt->cm_mac(k, pkt, len, roc, sizeof(roc), mac);
    if (CRYPTO_memcmp(mac, pkt + len, SRTP_CM_TAG_BYTES) != 0)
        return false;
    srtp_cm_iv(iv, k->salt, pkt + 8, index);
    e->crypt->cm_xor(e, k, iv, pkt + clear, len - clear, dst);
    return true;
}

/* len: without the tag. */
static int open_rtp(struct srtp_engine *e, struct srtp_rx *rx, struct srtp_window *w, uint64_t index, const uint8_t *pkt,
                    size_t clear, size_t len, uint8_t *dst)
{
    struct srtp_key *k = rx->rtp;
    int err = window_check(w, index);

    if (err)
        return err;
    if (!(srtp_is_gcm(k->profile) ? open_gcm : open_cm)(e, k, index, pkt, clear, len, dst))
        return SRTP_ERR_AUTH;
    window_mark(w, index);
    return SRTP_OK;
}

int srtp_rx_open(struct srtp_engine *e, struct srtp_rx *rx, struct srtp_window *w, const struct srtp_rx_packet *p)
{
    size_t tag_len = srtp_is_gcm(rx->rtp->profile) ? SRTP_GCM_TAG_BYTES : SRTP_CM_TAG_BYTES;

    assert(rx->takes_rtp && p->hdr_len >= RTP_HEADER_BYTES);
    if (p->len < p->hdr_len + tag_len)
        return SRTP_ERR_SHORT;
    return open_rtp(e, rx, w, p->index, p->bytes, p->hdr_len, p->len - tag_len, p->dst);
}

int srtp_rx_unprotect(struct srtp_engine *e, struct srtp_rx *rx, struct srtp_window *w, uint8_t *pkt,
                      size_t len, size_t *plain_len, uint64_t *index_out)
{
    assert(rx->takes_rtp);
    struct srtp_key *k = rx->rtp;
    size_t tag_len = srtp_is_gcm(k->profile) ? SRTP_GCM_TAG_BYTES : SRTP_CM_TAG_BYTES;

    if (len < RTP_HEADER_BYTES + tag_len)
        return SRTP_ERR_SHORT;
    len -= tag_len;
    size_t clear = clear_len(pkt, len);
    if (clear == 0)
        return SRTP_ERR_SHORT;
    uint16_t seq = (uint16_t)(pkt[2] << 8 | pkt[3]);
    uint64_t index = seq16_extend(w->top, seq) & SRTP_INDEX_MASK; /* s3.3.1, appendix A */
    int err = open_rtp(e, rx, w, index, pkt, clear, len, pkt + clear);
    if (err)
        return err;
    *plain_len = len;
    if (index_out)
        *index_out = index;
    return SRTP_OK;
}

void srtp_rx_prefetch(const struct srtp_rx *rx)
{
    const uint8_t *at = (const uint8_t *)rx->rtp;

    for (size_t i = 0; i < sizeof(*rx->rtp); i += 64)
        __builtin_prefetch(at + i);
}

/* ---- RTCP ------------------------------------------------------------------------------------ */

static struct srtcp_source *source_find(struct srtp_rx *rx, uint32_t ssrc)
{
    for (unsigned i = 0; i < rx->sources; i++) {
        if (rx->source[i].ssrc == ssrc)
            return &rx->source[i];
    }
    return NULL;
}

static int source_check(const struct srtp_rx *rx, const struct srtcp_source *s, uint32_t index)
{
    if (!s)
        return rx->sources < SRTCP_SOURCES ? SRTP_OK : SRTP_ERR_FULL;
    if (index > s->top)
        return SRTP_OK;
    if (s->top - index >= 64)
        return SRTP_ERR_OLD;
    return s->seen >> (s->top - index) & 1 ? SRTP_ERR_REPLAY : SRTP_OK;
}

static void source_mark(struct srtp_rx *rx, struct srtcp_source *s, uint32_t ssrc, uint32_t index)
{
    if (!s) {
        rx->source[rx->sources++] = (struct srtcp_source){ssrc, index, 1};
    } else if (index > s->top) {
        s->seen = index - s->top >= 64 ? 1 : s->seen << (index - s->top) | 1;
        s->top = index;
    } else {
        s->seen |= 1ULL << (s->top - index);
    }
}

/* len: without tag and index word. RFC 7714 s9: the tag lies before the word. */
static bool open_rtcp_gcm(struct srtp_engine *e, struct srtp_key *k, uint8_t *pkt, size_t len)
{
    uint8_t iv[SRTP_GCM_IV_BYTES], aad[RTCP_CLEAR_BYTES + SRTCP_INDEX_BYTES];
    const uint8_t *word = pkt + len + SRTP_GCM_TAG_BYTES;

    memcpy(aad, pkt, RTCP_CLEAR_BYTES);
    memcpy(aad + RTCP_CLEAR_BYTES, word, SRTCP_INDEX_BYTES);
    srtp_gcm_iv(iv, k->salt, pkt + 4, get32(word) & ~SRTCP_E);
    return e->crypt->gcm_open(e, k, iv, aad, sizeof(aad), pkt + RTCP_CLEAR_BYTES, len - RTCP_CLEAR_BYTES,
                              pkt + RTCP_CLEAR_BYTES, pkt + len);
}

/* As above; RFC 3711 s3.4: the tag lies after the word and covers it. */
static bool open_rtcp_cm(struct srtp_engine *e, struct srtp_key *k, uint8_t *pkt, size_t len)
{
    uint8_t iv[SRTP_CM_IV_BYTES], mac[SRTP_SHA1_BYTES];
    const uint8_t *word = pkt + len, *tag = word + SRTCP_INDEX_BYTES;

    e->crypt->cm_mac(k, pkt, len + SRTCP_INDEX_BYTES, NULL, 0, mac);
    if (CRYPTO_memcmp(mac, tag, SRTP_CM_TAG_BYTES) != 0)
        return false;
    srtp_cm_iv(iv, k->salt, pkt + 4, get32(word) & ~SRTCP_E);
    e->crypt->cm_xor(e, k, iv, pkt + RTCP_CLEAR_BYTES, len - RTCP_CLEAR_BYTES, pkt + RTCP_CLEAR_BYTES);
    return true;
}

int srtp_rx_unprotect_rtcp(struct srtp_engine *e, struct srtp_rx *rx, uint8_t *pkt, size_t len,
                           size_t *plain_len)
{
    struct srtp_key *k = &rx->rtcp;
    bool gcm = srtp_is_gcm(k->profile);
    size_t tag_len = gcm ? SRTP_GCM_TAG_BYTES : SRTP_CM_TAG_BYTES;

    if (len < RTCP_CLEAR_BYTES + tag_len + SRTCP_INDEX_BYTES)
        return SRTP_ERR_SHORT;
    len -= tag_len + SRTCP_INDEX_BYTES;
    uint32_t word = get32(pkt + len + (gcm ? tag_len : 0)), index = word & ~SRTCP_E;
    if (!(word & SRTCP_E))
        return SRTP_ERR_PLAIN;
    uint32_t ssrc = get32(pkt + 4);
    struct srtcp_source *s = source_find(rx, ssrc);
    int err = source_check(rx, s, index);
    if (err)
        return err;
    if (!(gcm ? open_rtcp_gcm(e, k, pkt, len) : open_rtcp_cm(e, k, pkt, len)))
        return SRTP_ERR_AUTH;
    source_mark(rx, s, ssrc, index);
    *plain_len = len;
    return SRTP_OK;
}

void srtp_rx_prefetch_rtcp(const struct srtp_rx *rx)
{
    const uint8_t *key = (const uint8_t *)&rx->rtcp;

    for (size_t i = 0; i < ROUND_KEYS_BYTES; i += LINE_BYTES)
        __builtin_prefetch(key + i);
    for (size_t i = SRTP_KEY_ROOM - HASH_KEYS_BYTES; i < sizeof(rx->rtcp); i += LINE_BYTES)
        __builtin_prefetch(key + i);
    __builtin_prefetch(rx->source, 1);
    __builtin_prefetch(&rx->sources);
}
