/* SPDX-License-Identifier: Apache-2.0
 * rtp_frame.h - packets (STUN, DTLS, RTP, RTCP) on a byte stream: 16 bits of length before each.
 *
 * Pure; any thread. Ownership: a packet is the deframer's own copy (bytes of a stream come cut anywhere), good until
 * the next push, and may be changed in place.
 * Source: RFC 4571 s2, RFC 6544 s3. */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RTP_FRAME_HEADER_BYTES = 2,
    RTP_FRAME_MAX = 1500, /* bytes of a packet: those of a datagram; a longer one is nobody's */
};

enum rtp_frame_state {
    RTP_FRAME_MORE = 0,      /* all bytes are taken, the packet is not whole */
    RTP_FRAME_READY = 1,
    RTP_FRAME_ERR_LONG = -1, /* a length over RTP_FRAME_MAX: the stream makes no sense from here on */
};

struct rtp_deframer {
    size_t have; /* bytes of the header and the packet under way */
    uint8_t bytes[RTP_FRAME_HEADER_BYTES + RTP_FRAME_MAX];
};

static inline void rtp_deframer_init(struct rtp_deframer *d)
{
    d->have = 0;
}

/* Takes bytes from r until one packet is whole (READY: call again for the next) or r is empty (MORE). Packets of no
 * bytes are skipped. After ERR_LONG only rtp_deframer_init. */
MUST_USE int rtp_deframer_push(struct rtp_deframer *d, struct reader *r);
/* After READY: the packet, and its length in *len. */
uint8_t *rtp_deframer_packet(struct rtp_deframer *d, size_t *len);

/* The header of a packet of len bytes, at most RTP_FRAME_MAX. */
static inline void rtp_frame_write(uint8_t header[RTP_FRAME_HEADER_BYTES], size_t len)
{
    header[0] = (uint8_t)(len >> 8);
    header[1] = (uint8_t)len;
}
