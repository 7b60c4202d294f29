/* SPDX-License-Identifier: Apache-2.0
 * rtcp.h - RTCP packets: walk a compound packet, parse and write each type that Millrace speaks.
 *
 * Pure; any thread. Ownership: parsed structs borrow the packet's bytes where they hold pointers.
 * Writers append one RTCP packet to a writer (base/writer.h); an overflow sticks in w->bad and a
 * compound packet is several writes in a row.
 * Source: RFC 3550 s6, RFC 4585 s6, RFC 5104 s4.3.1 (FIR), RFC 5506 (reduced size),
 * draft-alvestrand-rmcat-remb-03, draft-holmer-rmcat-transport-wide-cc-extensions-01. */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"
#include "base/writer.h"

enum rtcp_err {
    RTCP_OK = 0,
    RTCP_ERR_SHORT = -1,   /* a declared length passes the end */
    RTCP_ERR_VERSION = -2, /* not version 2 */
    RTCP_ERR_PADDING = -3, /* padding of 0 bytes, or more than there are */
    RTCP_ERR_FIRST = -4,   /* RFC 3550 s6.1: a full compound packet begins with SR or RR */
    RTCP_ERR_TYPE = -5,    /* the packet is of another type or format than the one asked for */
    RTCP_ERR_VALUE = -6,   /* a field contradicts another (counts against lengths) */
};

enum rtcp_type {
    RTCP_SR = 200,
    RTCP_RR = 201,
    RTCP_SDES = 202,
    RTCP_BYE = 203,
    RTCP_APP = 204,
    RTCP_RTPFB = 205, /* transport feedback: formats below */
    RTCP_PSFB = 206,  /* payload-specific feedback */
    RTCP_XR = 207,
};

enum rtcp_format {
    RTCP_RTPFB_NACK = 1,
    RTCP_RTPFB_TWCC = 15,
    RTCP_PSFB_PLI = 1,
    RTCP_PSFB_FIR = 4,
    RTCP_PSFB_AFB = 15, /* application layer feedback: REMB */
};

/* ---- walking ---- */

struct rtcp_packet {
    const uint8_t *body; /* after the four-byte header; padding removed */
    size_t body_len;
    uint8_t type;  /* enum rtcp_type, or one not known here */
    uint8_t count; /* report count, source count or feedback format: the low 5 bits of byte 0 */
};

struct rtcp_walk {
    struct reader r;
};

struct rtcp_walk rtcp_walk_init(const uint8_t *pkt, size_t len);

/* 1 and the next packet, 0 at the end, or a negative rtcp_err (and the walk is over). */
MUST_USE int rtcp_walk_next(struct rtcp_walk *walk, struct rtcp_packet *out);

/* Check the frame of the whole datagram before any of it is acted on. reduced_size: a=rtcp-rsize was
 * negotiated (RFC 5506), so that it may begin with any type. An empty datagram is RTCP_ERR_SHORT. */
MUST_USE int rtcp_compound_check(const uint8_t *pkt, size_t len, bool reduced_size);

/* ---- sender and receiver reports ---- */

struct rtcp_report_block {
    uint32_t ssrc;
    uint32_t highest_seq; /* cycles << 16 | sequence */
    uint32_t jitter_ticks;
    uint32_t lsr;       /* middle 32 bits of the NTP time of the last SR; 0 = none yet */
    uint32_t dlsr;      /* delay since that SR, 1/65536 s */
    int32_t lost_total; /* 24 bits signed on the wire; the writer clamps */
    uint8_t lost_fraction; /* of 256 since the last report */
};

enum { RTCP_REPORT_BLOCKS_MAX = 31 }; /* five bits of count */

struct rtcp_report {
    uint64_t ntp; /* SR only, 32.32 since 1900; as packets, octets and ts_ticks */
    uint32_t ts_ticks;
    uint32_t packets, octets;
    uint32_t ssrc; /* of the one that reports */
    bool sender;   /* SR; false: RR */
    uint8_t block_count;
    struct rtcp_report_block blocks[RTCP_REPORT_BLOCKS_MAX];
};

MUST_USE int rtcp_report_parse(struct rtcp_report *out, const struct rtcp_packet *p);
void rtcp_report_write(struct writer *w, const struct rtcp_report *r);

/* ---- SDES and BYE ---- */

struct rtcp_cname {
    const char *name; /* not terminated */
    size_t name_len;  /* 0..255 */
    uint32_t ssrc;
};

/* The first chunk that has a CNAME. RTCP_ERR_VALUE when no chunk has one. */
MUST_USE int rtcp_sdes_parse(struct rtcp_cname *out, const struct rtcp_packet *p);
void rtcp_sdes_write(struct writer *w, const struct rtcp_cname *c);

struct rtcp_bye {
    const char *reason; /* not terminated; NULL when none was given */
    size_t reason_len;
    uint8_t ssrc_count;
    uint32_t ssrcs[31];
};

MUST_USE int rtcp_bye_parse(struct rtcp_bye *out, const struct rtcp_packet *p);
void rtcp_bye_write(struct writer *w, const struct rtcp_bye *b);

/* ---- feedback ---- */

/* Generic NACK as a pull: parse, then rtcp_nack_next() until false. At most 17 numbers each 4 bytes. */
struct rtcp_nack {
    struct reader fci;
    uint32_t sender_ssrc, media_ssrc;
    uint16_t pid, blp; /* what is left of the present entry */
};

MUST_USE int rtcp_nack_parse(struct rtcp_nack *out, const struct rtcp_packet *p);
bool rtcp_nack_next(struct rtcp_nack *n, uint16_t *seq);

/* seqs in order (wrapping), count > 0. Returns how many of them were taken: fewer than count when
 * the buffer is full (the packet written is whole), 0 when not even one entry fits (w->bad). */
size_t rtcp_nack_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, const uint16_t *seqs,
                       size_t count);

struct rtcp_pli {
    uint32_t sender_ssrc, media_ssrc;
};

MUST_USE int rtcp_pli_parse(struct rtcp_pli *out, const struct rtcp_packet *p);
void rtcp_pli_write(struct writer *w, const struct rtcp_pli *pli);

/* FIR as a pull, as NACK is: one entry a media source. */
struct rtcp_fir {
    struct reader fci;
    uint32_t sender_ssrc;
};

MUST_USE int rtcp_fir_parse(struct rtcp_fir *out, const struct rtcp_packet *p);
bool rtcp_fir_next(struct rtcp_fir *f, uint32_t *media_ssrc, uint8_t *command_seq);
void rtcp_fir_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t command_seq);

struct rtcp_remb {
    struct reader fci; /* the SSRCs; pull with rtcp_remb_next() */
    uint64_t bitrate_bps;
    uint32_t sender_ssrc;
};

MUST_USE int rtcp_remb_parse(struct rtcp_remb *out, const struct rtcp_packet *p);
bool rtcp_remb_next(struct rtcp_remb *r, uint32_t *media_ssrc);
void rtcp_remb_write(struct writer *w, uint32_t sender_ssrc, uint64_t bitrate_bps, const uint32_t *ssrcs,
                     uint8_t ssrc_count);

/* Transport-wide congestion control feedback as a pull: parse checks all of it (every chunk has its
 * deltas), then rtcp_twcc_next() gives status_count packets, beginning at base_seq. */
struct rtcp_twcc {
    struct reader chunks, deltas;
    int64_t at_us; /* arrival time of the last received one, in the receiver's own clock */
    uint32_t sender_ssrc, media_ssrc;
    uint16_t base_seq;
    uint16_t status_count;
    int32_t reference_64ms; /* signed 24 bits */
    uint8_t feedback_count;
    uint16_t given; /* of status_count */
    uint16_t chunk; /* the present chunk, and how many of its symbols are used */
    uint16_t chunk_used, chunk_symbols;
};

struct rtcp_twcc_arrival {
    int64_t arrival_us; /* receiver's clock, 250 us steps, wraps at +-2^23 * 64 ms (6 days): look at
                         * differences; undefined when not received */
    uint16_t seq;
    bool received;
};

MUST_USE int rtcp_twcc_parse(struct rtcp_twcc *out, const struct rtcp_packet *p);
bool rtcp_twcc_next(struct rtcp_twcc *t, struct rtcp_twcc_arrival *out);

/* Consecutive ones that arrived at one time, or did not arrive. */
struct rtcp_twcc_run {
    int64_t arrival_us;
    uint16_t seq, n; /* the first; 1 or more */
    bool received;
};
/* The same, many at a time; not always as many as there are. */
bool rtcp_twcc_next_run(struct rtcp_twcc *t, struct rtcp_twcc_run *out);

/* Write feedback about arrivals[0..count): consecutive sequence numbers beginning at
 * arrivals[0].seq, not received ones included. Returns how many were taken; fewer than count when
 * the buffer is full or an arrival is more than 8.19 s away from the one before: begin the next
 * packet there. 0 (and w->bad) when nothing fits. The first one should be a received one. */
size_t rtcp_twcc_write(struct writer *w, uint32_t sender_ssrc, uint32_t media_ssrc, uint8_t feedback_count,
                       const struct rtcp_twcc_arrival *arrivals, size_t count);
