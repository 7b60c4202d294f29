/* SPDX-License-Identifier: Apache-2.0
 * rtp_sender_priv.h - the insides of a sender: rtp_sender.c (numbers and times) and rtp_sender_packet.c (one packet). */
#pragma once

#include "webrtc/rtp_sender.h"
#include "webrtc/rtx.h"
#include "wire/rtp_write.h"

/* Each sending of a packet is another one then. */
static inline bool rtp_sender_stamps(const struct rtp_sender *s)
{
    return s->cfg.ext_id[RTP_EXT_TRANSPORT_CC] || s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME];
}

/* What a VP8 payload's descriptor says; false: it has none. */
bool rtp_sender_vp8_marks(const struct packet *p, struct payload_marks *m);
/* Offsets of the segment by its first packet, and what was sent last. */
void rtp_sender_follow_vp8(struct rtp_sender *s, const struct packet *p, bool newest);
/* Everything but number, SSRC and payload type, which an RTX packet has of its own. False: it does not fit. */
bool rtp_sender_write_packet(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                             struct rtp_header *h, struct rtp_out *out);
/* Sets .now.plain, when something has changed that it is made of. */
void rtp_sender_judge(struct rtp_sender *s);
/* The header that rtp_sender_write_packet makes of a packet of which rtp_sender_is_next is true, byte for byte, at once: its length in dst, where there is room for
 * RTP_NEXT_HEADER_MAX bytes. */
size_t rtp_sender_write_plain(const struct rtp_sender *s, const struct packet *p, uint16_t seq, uint32_t ts_ticks, bool padded,
                              uint8_t *dst);
/* What a packet that is sent in the first place has as payload type: RED's where there is something to say. */
static inline uint8_t rtp_sender_pt(const struct rtp_segment *g, const struct packet *p)
{
    return g->red_pt && p->payload_len > 0 ? g->red_pt : g->pt;
}
/* Whether the written packet p has room for the one before it (NULL: none), and RED can say how old that is. */
bool rtp_sender_red_carries(const struct rtp_segment *g, const struct packet *p, const struct packet *before,
                            const struct rtp_out *out);
/* The written packet as RED, with the one before it (NULL: without), which it can carry. */
void rtp_sender_wrap_red(const struct rtp_segment *g, const struct packet *p, const struct packet *before, struct rtp_out *out);
/* rtp_sender_cut that keeps the cut when it has become idle. */
bool rtp_sender_cut_on(struct rtp_sender *s, const struct packet *p);
/* rtp_sender_write_after without the short way that the common case takes. */
bool rtp_sender_write_any(struct rtp_sender *s, const struct packet *p, const struct packet *before, uint64_t now_us,
                          struct rtp_out *out);
