/* SPDX-License-Identifier: Apache-2.0
 * rtp_in.h - the media of one WHEP viewer: numbers, repair, decryption of a share, frames, reports.
 *
 * Thread: the worker's. Ownership: embedded in its viewer (100 KiB). Source: RFC 3550, 3711, 4585, 4588, 8285,
 * draft-holmer-rmcat-transport-wide-cc-extensions-01. */
#pragma once

#include "assoc.h"
#include "rtp_frames.h"
#include "stamp.h"
#include "webrtc/rtp_receiver.h"
#include "webrtc/sdp.h"
#include "webrtc/twcc_feedback.h"

enum { RTP_IN_SOURCES_MAX = 6, RTP_IN_TRACKS = 2 };

/* What the answer agreed on for a payload type. */
struct rtp_in_payload {
    enum codec codec; /* CODEC_NONE: not agreed on */
    uint8_t of;       /* RTX: the payload type that it repeats; else 0 */
    uint8_t ext_transport_cc; /* id in its section; 0: none */
    bool nack;
    uint32_t clock_hz;
};

struct rtp_in_source {
    uint32_t ssrc;
    uint8_t pt;
    bool used;
    struct srtp_window window;
};

struct rtp_in_track {
    bool started;
    uint8_t pt;
    struct rtp_receiver receiver;
};

struct rtp_in_cfg {
    struct assoc *assoc;
    struct tally *tally;
    struct stamp_firsts *firsts; /* of all viewers of the thread; NULL: who is the first is not asked */
    double check; /* share of packets to decrypt */
    bool no_feedback; /* no NACK, PLI, transport-cc whatever was agreed on */
    void (*on_first_packet)(void *arg, uint64_t at_us);
    void (*on_first_keyframe)(void *arg, uint64_t at_us);
    void *arg;
};

struct rtp_in {
    struct rtp_in_cfg cfg;
    struct worker *worker;
    struct rtp_in_payload payloads[128];
    struct rtp_in_source sources[RTP_IN_SOURCES_MAX];
    struct rtp_clock clock;
    struct rtp_in_track video, audio;
    struct rtp_frames frames;
    struct stamp_arrivals arrivals;
    struct twcc_feedback *twcc; /* NULL: not agreed on */
    struct timer timer;
    uint64_t report_due_us, pli_due_us, live_from_us;
    uint32_t ssrc;          /* ours, in reports */
    double check_debt;      /* grows by .check a packet; one is decrypted when it reaches 1 */
    unsigned unchecked;     /* in a row */
    bool first_packet, first_keyframe, wants_keyframe, closed;
};

void rtp_in_init(struct rtp_in *r, struct worker *w, const struct rtp_in_cfg *cfg);
/* Before any packet. answer is the server's. 0 or -1 when memory is short. */
MUST_USE int rtp_in_agree(struct rtp_in *r, const struct sdp_offer *answer);
/* After on_connected: reports begin. */
void rtp_in_start(struct rtp_in *r);
void rtp_in_close(struct rtp_in *r);
/* One protected datagram, changed in place. at_us: arrival by the worker's clock, unix_us: the same by the wall clock. */
void rtp_in_on_rtp(struct rtp_in *r, uint8_t *bytes, size_t len, uint64_t at_us, uint64_t unix_us);
void rtp_in_on_rtcp(struct rtp_in *r, const uint8_t *bytes, size_t len, uint64_t at_us, uint64_t unix_us);
