/* SPDX-License-Identifier: Apache-2.0
 * rtmp_handshake.h - the server's side of the RTMP handshake.
 *
 * The simple handshake of the specification. Clients that put a digest into C1 (ffmpeg, Flash) accept
 * the plain answer when they publish, so C1 and C2 are not looked at beyond the version byte.
 * Pure; any thread.
 * Source: Adobe RTMP specification 1.0, s5.2. */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"

enum {
    RTMP_VERSION = 3,
    RTMP_HANDSHAKE_PART_BYTES = 1536, /* C1, C2, S1, S2 */
    RTMP_HANDSHAKE_REPLY_BYTES = 1 + 2 * RTMP_HANDSHAKE_PART_BYTES,
};

enum rtmp_handshake_state {
    RTMP_HANDSHAKE_C0C1, /* zero: an empty struct is ready */
    RTMP_HANDSHAKE_C2,
    RTMP_HANDSHAKE_DONE,
};

struct rtmp_handshake {
    enum rtmp_handshake_state state;
    size_t got; /* bytes of the present part */
    uint8_t c0c1[1 + RTMP_HANDSHAKE_PART_BYTES];
};

enum rtmp_handshake_result {
    RTMP_HANDSHAKE_MORE = 0,
    RTMP_HANDSHAKE_REPLY = 1,        /* send rtmp_handshake_write's bytes, then read on */
    RTMP_HANDSHAKE_FINISHED = 2,     /* what is left in the reader is chunks */
    RTMP_HANDSHAKE_ERR_VERSION = -1, /* not RTMP: HTTP, TLS, or the encrypted RTMPE (version 6) */
};

/* Takes bytes from in until one of the results. */
MUST_USE int rtmp_handshake_read(struct rtmp_handshake *h, struct reader *in);

/* S0, S1 and S2. random: bytes for S1, RTMP_HANDSHAKE_PART_BYTES - 8 of them. */
void rtmp_handshake_write(const struct rtmp_handshake *h, const uint8_t *random,
                          uint8_t out[RTMP_HANDSHAKE_REPLY_BYTES]);
