/* SPDX-License-Identifier: Apache-2.0
 * srtp.h - what SRTP sending and receiving share: profiles, master keys, the worker's engine.
 *
 * Two backends do the same work and give the same bytes: intel-ipsec-mb on x86-64, and OpenSSL EVP
 * everywhere. The engine is chosen at run time by what the CPU has.
 * Thread: an engine and every key made with it belong to one worker; nothing is shared.
 * Source: RFC 3711 (SRTP), RFC 7714 (AES-GCM), RFC 5764 s4.1.2 (profile numbers). */
#pragma once

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

/* Values are the numbers of the DTLS-SRTP registry. */
enum srtp_profile {
    SRTP_PROFILE_NONE = 0,
    SRTP_PROFILE_CM_SHA1_80 = 0x0001, /* SRTP_AES128_CM_HMAC_SHA1_80 */
    SRTP_PROFILE_GCM_128 = 0x0007,    /* SRTP_AEAD_AES_128_GCM */
    SRTP_PROFILE_GCM_256 = 0x0008,    /* SRTP_AEAD_AES_256_GCM */
};

enum {
    SRTP_KEY_MAX = 32,       /* bytes */
    SRTP_SALT_MAX = 14,      /* bytes */
    SRTP_TAG_MAX = 16,       /* bytes that RTP protection adds at most */
    SRTCP_OVERHEAD_MAX = 20, /* bytes that RTCP protection adds at most: tag and index word */
};

enum srtp_err {
    SRTP_OK = 0,
    SRTP_ERR_SHORT = -1,  /* a declared length passes the end of the packet, or no room for the tag */
    SRTP_ERR_AUTH = -2,   /* tag does not fit: forged, damaged, or other keys */
    SRTP_ERR_REPLAY = -3, /* seen before */
    SRTP_ERR_OLD = -4,    /* before the replay window */
    SRTP_ERR_PLAIN = -5,  /* RTCP with its E bit clear; WebRTC and pipes always encrypt (RFC 8827 s6.5) */
    SRTP_ERR_FULL = -6,   /* too many sources in one association */
    SRTP_ERR_MEMORY = -7,
    SRTP_ERR_PROFILE = -8, /* not one of enum srtp_profile */
};

/* Master key and salt of one direction, with the profile they are for. */
struct srtp_master {
    enum srtp_profile profile;
    uint8_t key[SRTP_KEY_MAX];   /* srtp_key_len(profile) bytes used */
    uint8_t salt[SRTP_SALT_MAX]; /* srtp_salt_len(profile) bytes used */
};

/* 0 for SRTP_PROFILE_NONE and unknown values. */
size_t srtp_key_len(enum srtp_profile profile);
size_t srtp_salt_len(enum srtp_profile profile);
size_t srtp_tag_len(enum srtp_profile profile);
/* "AEAD_AES_128_GCM" and the like, for logs and the API. */
const char *srtp_profile_name(enum srtp_profile profile);
/* A fresh random master of that profile, for associations whose keys we choose (pipes). */
void srtp_master_random(struct srtp_master *out, enum srtp_profile profile);

/* ---- The engine: one a worker ---------------------------------------------------------------- */

enum srtp_backend {
    SRTP_BACKEND_BEST, /* ipsec-mb where it is built in and the CPU has AES-NI, else OpenSSL */
    SRTP_BACKEND_IPSEC_MB,
    SRTP_BACKEND_OPENSSL,
};

struct srtp_engine;

/* Returns 0, SRTP_ERR_MEMORY, or SRTP_ERR_PROFILE when that backend is not to be had here. */
MUST_USE int srtp_engine_create(struct srtp_engine **out, enum srtp_backend backend);
/* After every key made with it. */
void srtp_engine_destroy(struct srtp_engine **e);
/* "ipsec-mb avx512" and the like. */
const char *srtp_engine_name(const struct srtp_engine *e);
