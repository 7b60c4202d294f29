/* SPDX-License-Identifier: Apache-2.0
 * srtp_rx.h - SRTP and SRTCP unprotection with replay windows: viewers' RTCP, pipes both.
 *
 * State for an SSRC exists only after a packet of it was authenticated: RTP windows are the caller's
 * (it has a table of the SSRCs it asked for), RTCP has a few slots inside.
 * Hot: srtp_rx_unprotect* allocate nothing and take no lock.
 * Thread: the worker's. Source: RFC 3711 s3.3 (receiving), s3.3.2 (replay), RFC 7714. */
#pragma once

#include "base/compiler.h"
#include "secure/srtp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct srtp_rx; /* one association, receiving: session keys of RTP and RTCP, RTCP windows */

/* The engine must outlive it. 0, SRTP_ERR_MEMORY or SRTP_ERR_PROFILE. */
MUST_USE int srtp_rx_create(struct srtp_rx **out, struct srtp_engine *e, const struct srtp_master *master);
/* The same for one that RTP never comes from, as a viewer: 1 KiB less. */
MUST_USE int srtp_rx_create_rtcp(struct srtp_rx **out, struct srtp_engine *e, const struct srtp_master *master);
void srtp_rx_destroy(struct srtp_rx **rx); /* wipes the keys; clears the pointer */

/* ---- RTP ------------------------------------------------------------------------------------- */

enum { SRTP_WINDOW_PACKETS = 8192 /* s3.3.2 asks for 64; a pipe's retransmissions after a stall come that late */ };

/* Packet indexes seen of one SSRC. */
struct srtp_window {
    uint64_t top;                            /* highest index so far, or where the caller expects the first */
    uint64_t seen[SRTP_WINDOW_PACKETS / 64]; /* ring of bits, by index modulo the window */
};

/* near_index: the index (48 bits) expected about now; a packet's roll-over counter is guessed as the one
 * that brings it nearest to top. For a stream from its start: the sequence number of its first packet. */
void srtp_window_init(struct srtp_window *w, uint64_t near_index);
/* A packet of this index would be refused: it was seen, or is too old to tell. */
bool srtp_window_refuses(const struct srtp_window *w, uint64_t index);

/* Authenticates and decrypts pkt[0..len) in place and marks it in the window. Returns SRTP_OK with the
 * length without tag and the 48-bit index; else an srtp_err: the window is then untouched, and the
 * payload's bytes are undefined. index may be NULL. */
MUST_USE int srtp_rx_unprotect(struct srtp_engine *e, struct srtp_rx *rx, struct srtp_window *w, uint8_t *pkt,
                               size_t len, size_t *plain_len, uint64_t *index);

/* A packet whose header its receiver has read: all borrowed. */
struct srtp_rx_packet {
    uint64_t index; /* 48 bits, as the packet claims: it does not authenticate under another */
    const uint8_t *bytes;
    size_t len;     /* with the tag */
    size_t hdr_len; /* of bytes: all that was sent clear; >= 12 */
    uint8_t *dst;   /* room for len - hdr_len bytes; overlaps nothing */
};

/* The same, but the plain payload goes to dst, and the index is given: so the window needs no guess, and moves by any gap to what
 * proved authentic. The payload's length is len - hdr_len - the tag's. */
MUST_USE int srtp_rx_open(struct srtp_engine *e, struct srtp_rx *rx, struct srtp_window *w, const struct srtp_rx_packet *p);
/* Asks for the key that RTP is opened with to be in the processor's cache soon. */
void srtp_rx_prefetch(const struct srtp_rx *rx);

/* ---- RTCP ------------------------------------------------------------------------------------ */

enum { SRTCP_SOURCES = 16 /* RTCP senders of one association, each with a window of 64 */ };

/* As above for a compound RTCP packet; the windows are inside. A seventeenth sender's packets are refused
 * with SRTP_ERR_FULL. */
MUST_USE int srtp_rx_unprotect_rtcp(struct srtp_engine *e, struct srtp_rx *rx, uint8_t *pkt, size_t len,
                                    size_t *plain_len);
/* It will be called soon: asks for what it reads to be in the processor's cache by then. */
void srtp_rx_prefetch_rtcp(const struct srtp_rx *rx);
