/* SPDX-License-Identifier: Apache-2.0
 * pipe_rtp.h - a packet as RTP on a pipe, and back: same number, same time, same payload.
 *
 * What RTP has no field for travels in a header extension element of ours (RFC 8285, two-byte form), sent
 * in the clear and authenticated; then come the packet's own canonical elements. The element, version 1:
 *   byte 0    version << 4 | HAS_LAYER 2 | HAS_CTS 1
 *   byte 1    enum packet_flags
 *   varint    seq >> 16      (7 bits a byte, least significant first, the top bit says that more follow)
 *   varint    ts_ticks >> 32
 *   7 bytes   capture_us
 *   1 byte    spatial << 4 | temporal, when HAS_LAYER
 *   varint    cts_ticks, zigzag (0, -1, 1, -2 ...), when HAS_CTS
 * Bytes after that are a later version's and skipped.
 *
 * The same packet under the same SSRC always gives the same bytes: a retransmission is identical.
 * Pure; any thread. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "wire/rtp_view.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PIPE_RTP_PT = 96,          /* payload type of all; the track says the codec */
    PIPE_DATAGRAM_MAX = 1472,  /* bytes of UDP payload: 1,500 less IPv4 and UDP headers */
    PIPE_TAG_BYTES = 16,       /* AEAD_AES_128_GCM */
    PIPE_META_MAX = 27,        /* bytes of our element's data */
    PIPE_RTP_HEADER_MAX = RTP_HEADER_BYTES + 4 + 2 + PIPE_META_MAX + PACKET_EXT_MAX + 3,
};
_Static_assert(RTP_HEADER_BYTES + 4 + 2 + PIPE_META_MAX + 3 + PACKET_PAYLOAD_MAX + PIPE_TAG_BYTES <=
                   PIPE_DATAGRAM_MAX,
               "any packet fits a datagram once its canonical elements are left out");

#define PIPE_INDEX_MASK (((uint64_t)1 << 48) - 1) /* SRTP's packet index: the low 48 bits of seq */

/* Writes the RTP header with its extension; payload and tag come after it. The canonical elements are left
 * out when the datagram would be longer than PIPE_DATAGRAM_MAX. cap >= PIPE_RTP_HEADER_MAX; behind the header up to three bytes of it
 * are overwritten. Returns its length. */
size_t pipe_rtp_write(uint8_t *dst, size_t cap, const struct packet *p, uint32_t ssrc);

/* Reads what was sent clear (before it is authenticated: nothing of it may be believed yet) of bytes[0..len) into the fields
 * of *out: all but refs, pool, track, layer and the payload, which is at *hdr_len. Strict: what pipes send has no CSRCs, no
 * padding, and our element first. Returns RTP_OK or an rtp_err; *out and *hdr_len are then undefined. */
MUST_USE int pipe_rtp_parse(struct packet *out, const uint8_t *bytes, size_t len, size_t *hdr_len);
