/* SPDX-License-Identifier: Apache-2.0
 * srtp_fixture.h - what the SRTP tests share: every backend with every profile, packets on the heap. */
#pragma once

#include "secure/srtp_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
/* after those four */
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const enum srtp_profile fixture_profiles[] = {SRTP_PROFILE_GCM_128, SRTP_PROFILE_GCM_256,
                                                     SRTP_PROFILE_CM_SHA1_80};
static const enum srtp_backend fixture_backends[] = {SRTP_BACKEND_OPENSSL, SRTP_BACKEND_IPSEC_MB};

struct fixture {
    struct srtp_engine *e;
    struct srtp_master m;
    struct srtp_tx *tx;
    struct srtp_rx *rx;
};

/* A copy whose end is the allocation's end, so that ASan sees one byte over. */
static inline uint8_t *exact(const void *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    if (len)
        memcpy(copy, bytes, len);
    return copy;
}

/* Calls test for each backend that is to be had here and each profile. */
static inline void for_each_crypto(void (*test)(struct fixture *f))
{
    for (size_t b = 0; b < LEN(fixture_backends); b++) {
        for (size_t p = 0; p < LEN(fixture_profiles); p++) {
            struct fixture f = {0};
            if (srtp_engine_create(&f.e, fixture_backends[b])) {
                print_message("backend %zu is not to be had here\n", b);
                break;
            }
            for (size_t i = 0; i < sizeof(f.m.key); i++)
                f.m.key[i] = (uint8_t)(i * 7 + 1);
            for (size_t i = 0; i < sizeof(f.m.salt); i++)
                f.m.salt[i] = (uint8_t)(0xa0 + i);
            f.m.profile = fixture_profiles[p];
            assert_int_equal(srtp_tx_create(&f.tx, f.e, &f.m), 0);
            assert_int_equal(srtp_rx_create(&f.rx, f.e, &f.m), 0);
            test(&f);
            srtp_tx_destroy(&f.tx);
            srtp_rx_destroy(&f.rx);
            srtp_engine_destroy(&f.e);
            assert_null(f.tx);
        }
    }
}

/* RTP header with a one-word extension: 20 bytes. */
enum { FIXTURE_HDR = 20 };
static inline void fixture_header(uint8_t hdr[FIXTURE_HDR], uint32_t ssrc, uint16_t seq)
{
    memset(hdr, 0, FIXTURE_HDR);
    hdr[0] = 0x90;
    hdr[1] = 0x80 | 96;
    hdr[2] = (uint8_t)(seq >> 8);
    hdr[3] = (uint8_t)seq;
    srtp_put32(hdr + 4, seq * 3000u);
    srtp_put32(hdr + 8, ssrc);
    hdr[12] = 0xbe;
    hdr[13] = 0xde;
    hdr[15] = 1;
    hdr[16] = 0x10;
    hdr[17] = 0x55;
}

/* Protects one packet into a heap buffer of exactly its length. */
static inline uint8_t *fixture_protect(struct fixture *f, uint32_t ssrc, uint64_t index,
                                       const uint8_t *payload, size_t payload_len, size_t *len)
{
    uint8_t hdr[FIXTURE_HDR];

    fixture_header(hdr, ssrc, (uint16_t)index);
    struct srtp_tx_packet p = {.tx = f->tx,
                               .index = index,
                               .hdr = hdr,
                               .payload = payload,
                               .hdr_len = FIXTURE_HDR,
                               .payload_len = (uint16_t)payload_len};
    p.dst = malloc(srtp_tx_packet_len(&p));
    assert_non_null(p.dst);
    *len = srtp_tx_protect(f->e, &p);
    assert_int_equal(*len, srtp_tx_packet_len(&p));
    return p.dst;
}
