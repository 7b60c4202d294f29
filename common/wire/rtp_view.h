/* SPDX-License-Identifier: Apache-2.0
 * rtp_view.h - read-only view of one RTP packet (RFC 3550 s5.1).
 *
 * Pure: no allocation, I/O, clock or logging; any thread.
 * Ownership: a view borrows the packet's bytes and dies with them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

enum rtp_err {
    RTP_OK = 0,
    RTP_ERR_SHORT = -1,   /* a declared length passes the end of the datagram */
    RTP_ERR_VERSION = -2, /* not version 2: STUN or DTLS on a shared port */
    RTP_ERR_PADDING = -3, /* padding count is 0 or exceeds the payload */
    RTP_ERR_ROOM = -4,    /* writing: does not fit the buffer */
    RTP_ERR_VALUE = -5,   /* writing: a field is outside what the wire can carry */
};

enum {
    RTP_HEADER_BYTES = 12,            /* without CSRCs and extension */
    RTP_EXT_PROFILE_ONE_BYTE = 0xbede, /* RFC 8285 s4.2 */
    RTP_EXT_PROFILE_TWO_BYTE = 0x1000, /* RFC 8285 s4.3; the low four bits are the application's */
};

struct rtp_view {
    const uint8_t *payload; /* padding removed */
    const uint8_t *ext;     /* extension elements (rtp_ext.h); NULL when X=0 */
    size_t payload_len;     /* bytes; 0 for a packet of padding only */
    size_t ext_len;         /* bytes, multiple of 4 */
    uint32_t ts_ticks;      /* media clock, not ms */
    uint32_t ssrc;
    uint16_t seq;         /* wraps; order with seq16_before(), never with < */
    uint16_t ext_profile; /* 0xBEDE = one-byte elements */
    uint8_t pt;
    bool marker;
};

/* Parse pkt[0..len). Returns RTP_OK and fills *out, or an rtp_err and leaves
 * *out untouched. pkt is not NULL; len may be 0. CSRCs are bounds-checked and skipped. */
MUST_USE int rtp_view_parse(struct rtp_view *out, const uint8_t *pkt, size_t len);
