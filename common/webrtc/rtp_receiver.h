/* SPDX-License-Identifier: Apache-2.0
 * rtp_receiver.h - one incoming RTP stream (SSRC) of a publisher: 64-bit numbering, statistics, capture time,
 * what to NACK.
 *
 *   rtp_view_parse -> (rtx_unwrap) -> rtp_receiver_push -> struct rtp_arrival -> packet
 *   a timer at rtp_receiver_due_us -> rtp_receiver_poll_nack -> rtcp_nack_write
 *   each RR interval               -> rtp_receiver_report    -> rtcp_report_write
 *
 * Pure: time is an argument; no allocation. Thread: the worker's. Ownership: embedded in its owner (27 KiB).
 * now_us is monotonic, unix_us the wall clock of the same moment.
 * Source: RFC 3550 A.1, A.3, A.8, s6.4.1; RFC 4588. */
#pragma once

#include "base/compiler.h"
#include "webrtc/nack.h"
#include "webrtc/rtx.h"
#include "wire/rtcp.h"
#include "wire/rtp_view.h"

#include <stdbool.h>
#include <stdint.h>

/* ---- The publisher's clock, shared by all its receivers ------------------------------------------ */

/* Where the publisher's NTP clock lies against our wall clock: learnt from the arrival of its sender reports,
 * the quickest of which tell most. One a publisher, so that its tracks stay in step with each other. */
struct rtp_clock {
    bool known;
    int64_t offset_us; /* our unix time minus the publisher's NTP time, whatever epoch that has */
    uint64_t learnt_us; /* monotonic: when it was last looked at */
};

/* ---- The receiver -------------------------------------------------------------------------------- */

enum {
    RTP_DROPOUT_MAX = 3000,  /* packets ahead; RFC 3550 A.1 MAX_DROPOUT */
    RTP_MISORDER_MAX = 2048, /* packets behind; A.1 has 100, which a retransmission may well exceed */
};

struct rtp_receiver_cfg {
    uint32_t ssrc;
    uint32_t clock_hz;       /* > 0 */
    struct rtp_clock *clock; /* borrowed; zeroed by the owner before its first receiver */
    struct nack_cfg nack;
    bool no_nack;            /* feedback not negotiated: only count what is lost */
};

struct rtp_receiver {
    uint32_t ssrc, clock_hz;
    struct rtp_clock *clock;
    bool started, has_sr, has_capture_time;
    bool resync;             /* a packet far off came: if the next number follows it, the source restarted */
    uint16_t resync_seq;
    uint64_t first_seq, highest_seq;
    uint64_t last_ts;        /* extended, of the last packet in order */
    uint64_t received, received_bytes; /* without duplicates */
    uint64_t expected_prior, received_prior; /* at the last report */
    int64_t transit_ticks;   /* A.8 */
    uint64_t jitter_x16;     /* A.8: scaled by 16 */
    uint64_t anchor_ts;      /* capture time is a line through (anchor_ts, anchor_us) ... */
    int64_t anchor_us;
    int64_t slew_us;         /* ... that moves by this, 1 us in 20, from there on */
    uint64_t sr_ntp, sr_now_us; /* the last sender report, and when it came */
    struct nack_gen nack;
};

/* What the receiver adds to a packet's own header. */
struct rtp_arrival {
    uint64_t seq;        /* extended, PACKET_SEQ_FIRST or above */
    uint64_t ts_ticks;   /* extended, 1 << 32 or above */
    uint64_t capture_us; /* our wall clock at capture: linear in ts_ticks, corrected by at most 1 in 20 */
    bool late;           /* filled a hole (reordered or retransmitted) */
};

enum rtp_push_result {
    RTP_PUSH_NEW = 0,   /* *out is filled: pass it on */
    RTP_PUSH_DUPLICATE, /* seen before */
    RTP_PUSH_FAR,       /* far off the sequence: dropped, accepted when the next one follows it */
};

void rtp_receiver_init(struct rtp_receiver *r, const struct rtp_receiver_cfg *cfg);
/* One packet of this SSRC, or unwrapped from its RTX stream (retransmitted: it says nothing about jitter). */
enum rtp_push_result rtp_receiver_push(struct rtp_receiver *r, const struct rtp_view *v, bool retransmitted,
                                       uint64_t now_us, uint64_t unix_us, struct rtp_arrival *out);
/* A sender report whose ssrc is this one's. */
void rtp_receiver_on_sr(struct rtp_receiver *r, const struct rtcp_report *sr, uint64_t now_us, uint64_t unix_us);
/* What a packet says of itself (abs-capture-time), until the first report comes. */
void rtp_receiver_on_capture_time(struct rtp_receiver *r, uint64_t ntp, uint32_t ts_ticks, uint64_t now_us, uint64_t unix_us);
/* Capture time of an extended timestamp on the present line. */
uint64_t rtp_receiver_capture_us(const struct rtp_receiver *r, uint64_t ts_ticks);

/* Fills the block for the next receiver report; false before the first packet. */
bool rtp_receiver_report(struct rtp_receiver *r, uint64_t now_us, struct rtcp_report_block *out);

/* Numbers (16-bit, in order) to put into a NACK now; at most cap. */
size_t rtp_receiver_poll_nack(struct rtp_receiver *r, uint64_t now_us, uint16_t *out, size_t cap);
/* When to poll next; UINT64_MAX: not before another packet. */
uint64_t rtp_receiver_due_us(const struct rtp_receiver *r);
/* Packets expected so far that did not come (RFC 3550 A.3); may be negative with none here: 0 then. */
uint64_t rtp_receiver_lost(const struct rtp_receiver *r);
