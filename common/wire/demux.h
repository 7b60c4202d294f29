/* SPDX-License-Identifier: Apache-2.0
 * demux.h - which protocol a datagram on a shared UDP port belongs to (RFC 7983 s7, RFC 5761 s4).
 *
 * Pure; any thread. Only the first two bytes are looked at: the protocol's parser decides whether
 * the rest is what it seems. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum demux_kind {
    DEMUX_UNKNOWN = 0, /* empty, ZRTP, QUIC or noise: drop and count */
    DEMUX_STUN,        /* first byte 0..3 */
    DEMUX_DTLS,        /* 20..63 */
    DEMUX_TURN,        /* 64..79: TURN channel data */
    DEMUX_RTP,         /* 128..191 */
    DEMUX_RTCP,        /* 128..191, and the second byte is an RTCP packet type, 192..223 */
};

static inline enum demux_kind demux_datagram(const uint8_t *pkt, size_t len)
{
    if (len == 0)
        return DEMUX_UNKNOWN;
    if (pkt[0] <= 3)
        return DEMUX_STUN;
    if (pkt[0] >= 20 && pkt[0] <= 63)
        return DEMUX_DTLS;
    if (pkt[0] >= 64 && pkt[0] <= 79)
        return DEMUX_TURN;
    if (pkt[0] < 128 || pkt[0] > 191 || len < 2)
        return DEMUX_UNKNOWN;
    /* RFC 5761 s4: RTP payload types 64..95 stay unused, so that these values mean RTCP. */
    return pkt[1] >= 192 && pkt[1] <= 223 ? DEMUX_RTCP : DEMUX_RTP;
}
