/* SPDX-License-Identifier: Apache-2.0
 * rtp_sender.h - one outgoing track to one viewer: the cluster's packets become the viewer's RTP.
 *
 * The viewer sees one RTP stream whose numbers and timestamps run on, whatever happens behind it: a new epoch, another
 * layer, another parent. What is sent is cut into segments, in which the viewer's number is the cluster's plus
 * a constant; so no packet needs a memory of its own, a packet that comes late gets the number that was left free
 * for it, and a NACK leads back to the cluster's number and thereby to the cache. Where layers are left out (rtp_cut.h), what was
 * left out before the packet comes off.
 *
 * Catching up: a viewer that joins begins with a keyframe of the past. The timestamps between that and the moment at
 * which it has caught up are squeezed, linearly: the past is given as many ticks as it takes to send. So the
 * receiver sees frames that come exactly as their timestamps say, has nothing to buffer for, and is at live.
 * The squeeze is a function of the timestamp alone: a retransmission is the same bytes.
 *
 * Where transport-cc was agreed on, each packet has a transport-wide number in an extension, another one each time. So
 * nothing may be sent twice under one SRTP index: a second copy from the cluster is not sent, and retransmissions go by RTX
 * or not at all.
 *
 * Where RED was agreed on, a packet carries the one directly before it, too; a packet that comes late, or after a gap, itself alone.
 * Which of the two it was is remembered, so that a retransmission is the same bytes here too.
 *
 * Pure: time and random starts are arguments; nothing is sent here. Hot: no allocation, no lock, no log.
 * Thread: the worker's. Ownership: embedded in its owner.
 * Source: RFC 3550 s5.1, s6.4; RFC 4588 s4 (RTX); RFC 2198 (RED); RFC 3711 s3.3.1 (index); RFC 8285 (extensions). */
#pragma once

#include "base/compiler.h"
#include "cache/cache.h"
#include "codec/inspect.h"
#include "media/packet.h"
#include "webrtc/rtp_cut.h"
#include "wire/red.h"
#include "wire/rtcp.h"
#include "wire/rtp_ext.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RTP_OUT_HEADER_MAX = 12 + 4 + PACKET_EXT_MAX + 20, /* bytes: fixed header; the packet's extensions and ours */
    RTP_OUT_PREFIX_MAX = RED_HEADERS_BYTES + RED_LEN_MAX, /* bytes; others are shorter: RTX's 2, VP8's 6 */
    RTP_NEXT_HEADER_MAX = 28,        /* bytes: fixed header, transport-wide number, capture time */
    RTP_OUT_MAX = 1484,              /* bytes of header and payload: 1,500 less the SRTP tag */
    RTP_SENT_NUMBERS = 1024,         /* behind the highest, of which is known how they were sent */
    RTP_JUMP_MAX = 10000,            /* numbers; a hole in the cluster's beyond it is not passed on */
    RTP_RESEND_SLOTS = 64,           /* numbers remembered as resent a moment ago */
    RTP_RESEND_GAP_US = 5000,        /* the least time between two resends of one packet */
    RTP_RESEND_BUDGET_BYTES = 256 * 1024, /* at most; half of what is sent fills it up */
    RTP_CATCH_UP_MAX_US = 1500000,   /* live again after that, however old the keyframe */
    RTP_CATCH_UP_BPS = 20000000,     /* bits a second of a catch-up, unless the time above forbids */
};

struct rtp_sender_cfg {
    uint32_t ssrc, rtx_ssrc;   /* rtx_ssrc 0: no RTX, the same packet is sent again */
    uint16_t first_seq, first_rtx_seq; /* random; the top bit is cleared (RFC 3711 s3.3.1: no early roll-over) */
    uint32_t first_ts;                 /* random */
    bool two_byte_ext;         /* a=extmap-allow-mixed was agreed on: long elements may be sent (RFC 8285 s4.1.2) */
    uint8_t ext_id[RTP_EXT_KINDS]; /* negotiated id of each kind; 0: not negotiated */
};

/* A run of packets with constant offsets. */
struct rtp_segment {
    uint64_t epoch;               /* 0: none */
    uint64_t first_seq;           /* cluster's; nothing before it is sent */
    uint64_t seq_offset;          /* viewer's 64-bit number - cluster's, modulo 2^64 */
    uint64_t ts_offset;           /* the same of timestamps, from meet_ts on */
    uint64_t meet_ts;             /* cluster's: from here on nothing is squeezed */
    uint64_t run_ticks, span_ticks; /* span_ticks before meet_ts take run_ticks; equal: no squeeze */
    uint64_t start_us;            /* when it began */
    uint32_t clock_hz;
    uint16_t playout_ms;          /* least delay that the viewer is asked to play with; 0: its own affair */
    uint8_t track, layer, pt, rtx_pt;
    uint8_t red_pt;               /* 0: no RED; else the packets' payload type, pt that of their blocks */
    struct rtp_cut *cut;          /* NULL: all of the layer is sent */
    bool plain;                   /* most of its packets are such that rtp_sender_is_next may be true of them */
    bool vp8, vp8_known;          /* the descriptor's counters run on: offsets (modulo their sizes) are known with the first packet */
    uint16_t picture_id_offset;
    uint8_t tl0picidx_offset, keyidx_offset;
};

struct rtp_sender_counters {
    uint64_t packets, octets;     /* first transmissions; payload, as sender reports count it */
    uint64_t late;                /* of them behind the highest */
    uint64_t nacked;              /* numbers asked for */
    uint64_t resent, resent_octets;
    uint64_t resend_gone;         /* not in the cache (yet or any more) */
    uint64_t resend_refused;      /* over budget, or resent a moment ago */
    uint64_t repeated;            /* packets sent again unasked, to probe */
};

struct rtp_sender {
    /* What each packet needs is together, up to the first of .counters. */
    struct rtp_sender_cfg cfg;
    uint16_t transport_seq;       /* the owner's: goes into the next packet, where transport-cc was agreed on */
    bool sent_any, running;
    struct rtp_segment now;
    uint64_t highest;             /* viewer's 64-bit number last given out; the SRTP index is one roll-over less */
    uint64_t last_ts, last_us, last_capture_us; /* the viewer's timestamp, sending and capture time of the highest */
    uint32_t budget_bytes;
    struct rtp_sender_counters counters;
    uint64_t sent[RTP_SENT_NUMBERS / 64]; /* a bit for each number: with transport-cc or abs-send-time, it was sent; with RED alone, it was sent
                                             with the one before it */
    struct rtp_segment before;    /* of the same epoch, for retransmissions */
    struct rtp_cut *cuts;         /* of both; NULL: nothing was ever left out */
    uint64_t skipped;             /* pictures, where the segment has no cut (any more) */
    uint64_t rtx_next;
    uint64_t forget_below, forget_until_us; /* numbers below are not sent again before that time */
    uint64_t send_us;             /* of the packet being written: its abs-send-time, where that was agreed on */
    bool sent_vp8;                /* the next three are of the newest VP8 frame that was sent */
    uint16_t picture_id;
    uint8_t tl0picidx, keyidx;
    struct {
        uint32_t at_ms;
        uint16_t seq;
        bool used;
    } resent[RTP_RESEND_SLOTS];
    struct {
        uint64_t at_us;
        uint32_t lsr; /* middle of the NTP time that went out */
    } reports[2];
    unsigned next_report;
    uint64_t rtt_us;              /* 0: not known */
    uint32_t lost_total, jitter_ticks; /* as the viewer last reported */
    uint8_t lost_fraction;        /* of 256 */
};

/* A packet ready for protection: header | prefix | payload under index. Borrows the packet's payload. */
struct rtp_out {
    uint64_t index;
    const uint8_t *payload;
    size_t hdr_len, prefix_len, payload_len; /* bytes */
    bool numbered;       /* it has the sender's transport_seq, which the next packet must not have */
    uint8_t hdr[RTP_OUT_HEADER_MAX];
    uint8_t prefix[RTP_OUT_PREFIX_MAX]; /* RTX: the original number; a rewritten VP8 descriptor; RED: headers and the block before */
};

void rtp_sender_init(struct rtp_sender *s, const struct rtp_sender_cfg *cfg);
void rtp_sender_fini(struct rtp_sender *s);

struct rtp_start {
    uint64_t epoch;
    uint8_t track, layer, pt, rtx_pt;
    uint8_t red_pt;               /* 0: no RED; with it rtx_pt is not used */
    uint32_t clock_hz;
    uint64_t first_seq, first_ts; /* of the first packet to be sent: a keyframe's first, or whatever audio is next */
    uint64_t live_ts;             /* what is captured and on its way here at this moment; <= first_ts: no catching up */
    uint64_t run_us;              /* how long the catching up shall take: rtp_catch_up_us() */
    uint64_t first_capture_us;    /* of a layer of the track that was sent until now: its timestamps have another origin,
                                     captures tell how much time lies between. 0: by the time that has passed */
    bool vp8;                     /* its descriptor's counters go on too (RFC 7741 s4.2) */
    uint16_t playout_ms;          /* told with each keyframe where the extension is negotiated; steps of 10 ms */
};

/* Begins a segment: the next number, and a timestamp that is as much later as time has passed since the last; VP8's picture
 * id, tl0picidx and keyidx (RFC 7741 s4.2) go on too. */
void rtp_sender_start(struct rtp_sender *s, const struct rtp_start *start, uint64_t now_us);
/* Nothing more is sent until the next start. */
void rtp_sender_stop(struct rtp_sender *s);
static inline bool rtp_sender_running(const struct rtp_sender *s)
{
    return s->running;
}

/* From the next picture on that allows it no layers above these are sent, in this segment and those to come. 0, or -1 when memory is
 * short (1.5 KB at the first that leaves something out). */
MUST_USE int rtp_sender_limit(struct rtp_sender *s, struct rtp_level level);
/* What is sent now, and what shall be; RTP_LEVEL_ALL: nothing is left out. */
struct rtp_level rtp_sender_level(const struct rtp_sender *s);
struct rtp_level rtp_sender_target(const struct rtp_sender *s);
/* Pictures left out so far. */
uint64_t rtp_sender_skipped(const struct rtp_sender *s);
/* Once for each packet of the segment, as they come, before it is written or waits for that: false when it is left out. */
static inline bool rtp_sender_takes(struct rtp_sender *s, const struct packet *p);

/* How long to take for span_us of media of so many bytes: a fourth of it, more when that is too many bits a second. */
uint64_t rtp_catch_up_us(uint64_t span_us, uint64_t bytes);
/* The viewer's (64-bit) timestamp of a cluster timestamp in this segment; never falls when ts grows. */
uint64_t rtp_segment_ts(const struct rtp_segment *g, uint64_t ts_ticks);
/* When a packet with this timestamp is to be sent: never later than the end of the catching up. */
uint64_t rtp_segment_due_us(const struct rtp_segment *g, uint64_t ts_ticks);

bool rtp_sender_cut(struct rtp_sender *s, const struct packet *p);
static inline bool rtp_sender_takes(struct rtp_sender *s, const struct packet *p)
{
    return !s->now.cut || rtp_sender_cut(s, p);
}

/* The packet in the viewer's terms, counted as sent at now_us. False when it is not of this segment (another track or
 * layer, before the first). */
static inline bool rtp_sender_write(struct rtp_sender *s, const struct packet *p, uint64_t now_us, struct rtp_out *out);
/* The same with the packet before it (NULL: not here), which RED carries where it can. */
bool rtp_sender_write_after(struct rtp_sender *s, const struct packet *p, const struct packet *before, uint64_t now_us,
                            struct rtp_out *out);
static inline bool rtp_sender_write(struct rtp_sender *s, const struct packet *p, uint64_t now_us, struct rtp_out *out)
{
    return rtp_sender_write_after(s, p, NULL, now_us, out);
}

/* Most packets of most viewers are the next one of their segment, say nothing but their transport-wide number and, at a frame's start, when
 * they were captured, and their payload is as it came. Whether this one is: then it may be written by ... */
static inline bool rtp_sender_is_next(const struct rtp_sender *s, const struct packet *p)
{
    const struct rtp_segment *g = &s->now;
    const uint8_t begins = g->vp8 ? PACKET_FRAME_START : PACKET_KEYFRAME | PACKET_FRAME_START; /* these say more */

    return g->plain && p->seq + g->seq_offset == s->highest + 1 && s->running && p->track == g->track && p->layer == g->layer &&
           p->ext_len == 0 && (p->flags & begins) != begins;
}
/* ... its header alone, to where it leaves from (dst: room for RTP_NEXT_HEADER_MAX bytes), counted as sent. It has the sender's
 * transport_seq, as with .numbered below. padded: padding will be behind the payload. Returns the header's length; index: of SRTP. */
size_t rtp_sender_write_next(struct rtp_sender *s, const struct packet *p, bool padded, uint64_t now_us, uint8_t *dst, uint64_t *index);

/* Whether padding may be added to what was just written: only where it is never sent again under its index. */
static inline bool rtp_sender_may_pad(const struct rtp_out *out)
{
    return out->numbered;
}
/* Padding (RFC 3550 s5.1) behind the payload, which is copied into room (PACKET_PAYLOAD_MAX + pad_len bytes) and is borrowed from
 * there. pad_len: 1 .. 255. */
void rtp_sender_pad(struct rtp_out *out, uint8_t *room, size_t pad_len);

/* What the viewer misses: number as in its NACK. True with the retransmission in *out; false when there is
 * none to be had or allowed (counted). epoch: of the cache's packets. */
bool rtp_sender_resend(struct rtp_sender *s, uint16_t seq, const struct cache *cache, uint64_t epoch, uint64_t now_us,
                       struct rtp_out *out);

/* A keyframe is on its way: what was sent before this call is not sent again until then. */
static inline void rtp_sender_forget(struct rtp_sender *s, uint64_t until_us)
{
    s->forget_below = s->highest + 1;
    s->forget_until_us = until_us;
}

/* A recent packet once more by RTX, unasked: n counts back from the newest. False when there is no RTX or no such packet. */
bool rtp_sender_repeat(struct rtp_sender *s, uint64_t n, const struct cache *cache, uint64_t epoch, struct rtp_out *out);

/* The sender report for now, capture time as NTP time. False while there is nothing to report: nothing sent, or
 * still catching up (timestamps do not yet run like a clock). */
bool rtp_sender_report(struct rtp_sender *s, uint64_t now_us, struct rtcp_report *out);
/* A report block about our SSRC. */
void rtp_sender_on_report(struct rtp_sender *s, const struct rtcp_report_block *b, uint64_t now_us);
