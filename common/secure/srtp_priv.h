/* SPDX-License-Identifier: Apache-2.0
 * srtp_priv.h - within common/secure: session keys, and the table of functions that a backend is.
 *
 * Thread: the worker's. Source: RFC 3711 s4 (AES-CM, HMAC-SHA1, key derivation), RFC 7714 s8, s9. */
#pragma once

#include "secure/srtp.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

enum {
    SRTP_AUTH_KEY_BYTES = 20, /* HMAC-SHA1 session key; RFC 3711 s5.2 */
    SRTP_CM_TAG_BYTES = 10,   /* HMAC-SHA1-80 */
    SRTP_GCM_TAG_BYTES = 16,  /* RFC 7714 s13.2 */
    SRTP_GCM_IV_BYTES = 12,
    SRTP_CM_IV_BYTES = 16,
    SRTP_SHA1_BYTES = 20,
    SRTP_KEY_ROOM = 1024,  /* bytes; ipsec-mb's expanded GCM key with its hash key's powers */
    RTP_HEADER_BYTES = 12, /* RFC 3550 s5.1, without CSRCs */
    RTCP_CLEAR_BYTES = 8,  /* header and sender SSRC stay clear; RFC 3711 s3.4 */
    SRTCP_INDEX_BYTES = 4,
};

#define SRTP_INDEX_MASK 0xffffffffffffULL /* 48 bits: 32 of roll-over counter, 16 of sequence */
#define SRTCP_E 0x80000000u               /* the packet is encrypted; RFC 3711 s3.4 */

/* What key derivation yields for one kind of packet (RTP or RTCP). */
struct srtp_session {
    enum srtp_profile profile;
    uint8_t key[SRTP_KEY_MAX];
    uint8_t salt[SRTP_SALT_MAX];       /* 12 bytes used for GCM */
    uint8_t auth[SRTP_AUTH_KEY_BYTES]; /* CM_SHA1_80 only */
};

/* A session key as its backend keeps it: expanded, or a kept OpenSSL context. */
struct srtp_key {
    _Alignas(64) uint8_t room[SRTP_KEY_ROOM];
    uint8_t salt[SRTP_SALT_MAX];
    enum srtp_profile profile;
};

enum srtp_kind { SRTP_KIND_RTP, SRTP_KIND_RTCP };
enum srtp_way { SRTP_WAY_SEAL, SRTP_WAY_OPEN }; /* a key does one of them all its life */

/* dst may be src; they do not overlap otherwise. */
struct srtp_crypt {
    /* 0 or SRTP_ERR_MEMORY. The salt and the profile are set already. */
    int (*key_init)(struct srtp_engine *e, struct srtp_key *k, const struct srtp_session *s,
                    enum srtp_way way);
    void (*key_fini)(struct srtp_key *k); /* the room is wiped by the caller */
    /* Writes src's ciphertext to dst, and the tag. */
    void (*gcm_seal)(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     uint8_t tag[SRTP_GCM_TAG_BYTES]);
    /* False when the tag does not fit; dst is undefined then. */
    bool (*gcm_open)(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_GCM_IV_BYTES],
                     const uint8_t *aad, size_t aad_len, const uint8_t *src, size_t len, uint8_t *dst,
                     const uint8_t tag[SRTP_GCM_TAG_BYTES]);
    /* AES in counter mode, either way. */
    void (*cm_xor)(struct srtp_engine *e, struct srtp_key *k, const uint8_t iv[SRTP_CM_IV_BYTES],
                   const uint8_t *src, size_t len, uint8_t *dst);
    /* HMAC-SHA1 of a and b one after the other. b may be empty. */
    void (*cm_mac)(struct srtp_key *k, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                   uint8_t mac[SRTP_SHA1_BYTES]);
    /* n CM_SHA1_80 packets at once; NULL when the backend has no better way than one by one. */
    void (*cm_seal_batch)(struct srtp_engine *e, const struct srtp_tx_packet *packets, size_t n);
    void (*engine_fini)(struct srtp_engine *e);
};

struct srtp_engine {
    const struct srtp_crypt *crypt;
    void *impl; /* the backend's own */
    const char *name;
};

/* Fill e->crypt, e->impl, e->name. 0, SRTP_ERR_MEMORY, or SRTP_ERR_PROFILE when not to be had here. */
MUST_USE int srtp_engine_init_mb(struct srtp_engine *e);
MUST_USE int srtp_engine_init_ossl(struct srtp_engine *e);

/* RFC 3711 s4.3, key derivation rate 0. False when the system cannot do AES. */
MUST_USE bool srtp_derive(struct srtp_session *out, const struct srtp_master *m, enum srtp_kind kind);
/* Derivation and key_init. 0, SRTP_ERR_MEMORY or SRTP_ERR_PROFILE. */
MUST_USE int srtp_key_init(struct srtp_engine *e, struct srtp_key *k, const struct srtp_master *m,
                           enum srtp_kind kind, enum srtp_way way);
void srtp_key_fini(struct srtp_engine *e, struct srtp_key *k);

/* HMAC-SHA1 with the states after ipad and opad kept: for backends' cm_mac (srtp_mac.c). */
struct srtp_mac {
    _Alignas(8) uint8_t inner[96], outer[96]; /* SHA_CTX */
};
void srtp_mac_init(struct srtp_mac *m, const uint8_t key[SRTP_AUTH_KEY_BYTES]);
void srtp_mac_run(const struct srtp_mac *m, const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len,
                  uint8_t mac[SRTP_SHA1_BYTES]);

/* ---- Nonces ---------------------------------------------------------------------------------- */

/* XORs SSRC | 48 bits of index into at. */
static inline void srtp_xor_packet(uint8_t at[10], const uint8_t ssrc[4], uint64_t index)
{
    uint64_t word;
    uint32_t source;

    memcpy(&source, ssrc, sizeof(source));
    memcpy(&word, at, sizeof(word));
    word ^= htobe64((uint64_t)be32toh(source) << 32 | (uint32_t)(index >> 16));
    memcpy(at, &word, sizeof(word));
    at[8] ^= (uint8_t)(index >> 8);
    at[9] ^= (uint8_t)index;
}

/* RFC 7714 s8.1: 00 00 | SSRC | ROC | SEQ, xor salt. s9.1 for RTCP: 00 00 | SSRC | 00 00 | index, the same
 * places when the 31-bit index is taken for a 48-bit one. */
static inline void srtp_gcm_iv(uint8_t iv[SRTP_GCM_IV_BYTES], const uint8_t *salt, const uint8_t ssrc[4],
                               uint64_t index)
{
    memcpy(iv, salt, SRTP_GCM_IV_BYTES);
    srtp_xor_packet(iv + 2, ssrc, index);
}

/* RFC 3711 s4.1.1: salt * 2^16 xor SSRC * 2^64 xor index * 2^16. */
static inline void srtp_cm_iv(uint8_t iv[SRTP_CM_IV_BYTES], const uint8_t *salt, const uint8_t ssrc[4],
                              uint64_t index)
{
    memcpy(iv, salt, SRTP_SALT_MAX);
    iv[14] = iv[15] = 0;
    srtp_xor_packet(iv + 4, ssrc, index);
}

static inline void srtp_put32(uint8_t at[4], uint32_t v)
{
    at[0] = (uint8_t)(v >> 24);
    at[1] = (uint8_t)(v >> 16);
    at[2] = (uint8_t)(v >> 8);
    at[3] = (uint8_t)v;
}

static inline bool srtp_is_gcm(enum srtp_profile p)
{
    return p != SRTP_PROFILE_CM_SHA1_80;
}

struct srtp_tx {
    struct srtp_key rtp, rtcp;
    struct srtp_engine *engine; /* for destroy */
    uint32_t rtcp_next;         /* index of the next RTCP packet, 31 bits */
};

/* An RTCP sender: indexes of SRTCP are explicit, so a mask below the highest is enough. */
struct srtcp_source {
    uint32_t ssrc;
    uint32_t top;  /* highest index so far */
    uint64_t seen; /* bit i: top - i */
};

struct srtp_rx {
    struct srtp_key rtcp;
    struct srtp_engine *engine; /* for destroy */
    struct srtcp_source source[SRTCP_SOURCES];
    unsigned sources;
    bool takes_rtp;
    struct srtp_key rtp[]; /* one, or none */
};
