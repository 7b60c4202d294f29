/* SPDX-License-Identifier: Apache-2.0
 * srtp_tx.h - SRTP and SRTCP protection for fan-out and pipes: header and ciphertext are written
 * straight into the datagram, the shared plaintext is not touched.
 *
 * The caller gives the packet index (roll-over << 16 | sequence), so protecting the same packet
 * under the same index again gives the very same bytes. Never protect two different packets under
 * one (SSRC, index): with GCM that gives the authentication key away.
 * Hot: srtp_tx_protect* allocate nothing and take no lock.
 * Thread: the worker's. Ownership: a srtp_tx owns its keys (2.2 KiB, aligned to the cache line).
 * Source: RFC 3711, RFC 7714. */
#pragma once

#include "base/compiler.h"
#include "secure/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct srtp_tx; /* one association, sending: session keys of RTP and RTCP, RTCP index */

/* Derives the session keys. The engine must outlive it. 0, SRTP_ERR_MEMORY or SRTP_ERR_PROFILE. */
MUST_USE int srtp_tx_create(struct srtp_tx **out, struct srtp_engine *e, const struct srtp_master *master);
/* Wipes the keys; clears the pointer. NULL inside is fine. */
void srtp_tx_destroy(struct srtp_tx **tx);
/* Whether srtp_tx_protect_batch is much better for it than packets one by one. */
bool srtp_tx_gains_by_batch(const struct srtp_tx *tx);
/* Asks for what protecting a packet reads to be in the processor's cache soon. */
void srtp_tx_prefetch(const struct srtp_tx *tx);
enum srtp_profile srtp_tx_profile(const struct srtp_tx *tx);
/* Bytes that protection adds to an RTP packet: 16 or 10. */
size_t srtp_tx_tag_len(const struct srtp_tx *tx);

/* One packet to protect: its datagram is header | encrypted(prefix | payload) | tag. All borrowed. */
struct srtp_tx_packet {
    struct srtp_tx *tx;
    uint64_t index;         /* 48 bits: roll-over << 16 | sequence; its low 16 bits are the header's */
    const uint8_t *hdr;     /* RTP header with CSRCs and extension; sent clear, authenticated; >= 12 bytes. May be dst */
    const uint8_t *prefix;  /* the first bytes of the payload where they are this viewer's own (RTX's original
                               sequence number, a rewritten VP8 descriptor); NULL with 0 */
    const uint8_t *payload; /* shared; not written to. May be where it goes to (dst + hdr_len + prefix_len) */
    uint8_t *dst;           /* room for srtp_tx_packet_len() bytes; overlaps nothing else */
    uint16_t hdr_len, prefix_len, payload_len; /* bytes */
};

static inline size_t srtp_tx_packet_len(const struct srtp_tx_packet *p)
{
    return (size_t)p->hdr_len + p->prefix_len + p->payload_len + srtp_tx_tag_len(p->tx);
}

/* Writes p->dst and returns its length, srtp_tx_packet_len(p). */
size_t srtp_tx_protect(struct srtp_engine *e, const struct srtp_tx_packet *p);
/* The same for n packets, of one or many viewers: much cheaper for CM_SHA1_80, whose hash works on
 * several packets at a time. n is not bounded. */
void srtp_tx_protect_batch(struct srtp_engine *e, const struct srtp_tx_packet *packets, size_t n);

/* Protects the compound RTCP packet pkt[0..len) in place, under the next RTCP index. len >= 8; cap is
 * the buffer's. Returns the new length, at most len + SRTCP_OVERHEAD_MAX, or SRTP_ERR_SHORT when cap
 * has no room (or after 2^31 packets, where RFC 3711 s9.2 demands new keys). */
MUST_USE int srtp_tx_protect_rtcp(struct srtp_engine *e, struct srtp_tx *tx, uint8_t *pkt, size_t len,
                                  size_t cap);
