/* SPDX-License-Identifier: Apache-2.0
 * whip_media.h - a WebRTC publisher's RTP into packets, and the feedback it gets: reports, NACK, PLI.
 *
 *   pkt -> payload type -> track -> (RTX unwrapped) -> rtp_receiver (number, duplicates, capture time)
 *       -> codec_inspect (frame, keyframe, layers) -> header extensions -> struct packet -> push
 *
 * Thread: the worker's. Ownership: embedded in its session; hot: no allocation, lock or log but at the first
 * packet of a kind.
 * Source: RFC 3550, RFC 4585, RFC 4588 (RTX), RFC 9143 (payload types tell sections apart). */
#pragma once

#include "base/compiler.h"
#include "codec/dd.h"
#include "media/packet.h"
#include "media/track.h"
#include "webrtc/rtp_receiver.h"
#include "webrtc/sdp.h"
#include "webrtc/twcc_feedback.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WHIP_TRACKS_MAX = 2,       /* one audio, one video: RFC 9725 s4.2 */
    WHIP_RECENT = 256,         /* packets whose timestamps are remembered: to tell where frames begin */
    WHIP_KEY_FRAMES = 4,       /* keyframes whose packets are still recognised */
    WHIP_SILENT_US = 10000000, /* without a packet: said once; the session lives on (a muted camera) */
    WHIP_RTCP_CAP = 1200,      /* bytes of a compound packet that we write */
    WHIP_STRANGERS_MAX = 10000, /* packets of nothing agreed on; the SRTP layer keeps state for each SSRC */
};

/* Of one track, and summed up. */
struct whip_media_counters {
    uint64_t packets, bytes;   /* pushed; payload bytes */
    uint64_t keyframes, frames;
    uint64_t duplicates;       /* seen before */
    uint64_t recovered;        /* came after a NACK */
    uint64_t lost;             /* expected and never seen */
    uint64_t nacked;           /* numbers asked for */
    uint64_t plis;             /* keyframes asked for */
    uint64_t bad_rtp;          /* header malformed */
    uint64_t bad_payload;      /* breaks its codec's rules */
    uint64_t oversize;         /* payload longer than PACKET_PAYLOAD_MAX */
    uint64_t strangers;        /* payload type or source not agreed on */
    uint64_t dropped_pool;     /* no packet to be had */
    uint64_t bad_rtcp;
};

struct whip_track_cfg {
    struct track facts;        /* as announced */
    uint8_t index;             /* in the announced set */
    uint8_t pt, rtx_pt;        /* rtx_pt 0: none */
    uint32_t ssrc, rtx_ssrc;   /* as the offer says; 0: the first packet tells */
    bool nack, pli;            /* agreed on */
    uint8_t ext_id[RTP_EXT_KINDS]; /* 0: not agreed on */
};

struct whip_recent {
    uint64_t seq, ts_ticks;
};

struct whip_track {
    struct whip_track_cfg cfg;
    struct rtp_receiver receiver;
    struct rtp_receiver rtx_receiver; /* only counts, for the reports about the RTX stream */
    bool has_source, has_rtx_source;
    bool want_keyframe;        /* a PLI goes with the next feedback */
    bool b_frames;             /* presentation times went back: seen, and logged */
    bool silent;               /* nothing came for WHIP_SILENT_US: seen, and logged */
    uint64_t asked_us;         /* the last PLI */
    uint64_t keyframe_us;      /* when the last keyframe began to come */
    uint64_t packet_us;        /* when the last packet came */
    uint64_t newest_ts;        /* of frames in order */
    unsigned next_key;
    uint64_t key_ts[WHIP_KEY_FRAMES];
    struct whip_recent recent[WHIP_RECENT];
    struct dd_structure dd;
    struct whip_media_counters counters;
};

/* Where it all goes. */
struct whip_media_ops {
    /* Takes over the reference. */
    void (*push)(void *arg, struct packet *p);
    /* A track has a new source (SSRC): its numbers begin anew, so a new epoch must. */
    void (*on_source)(void *arg);
    void (*send_rtcp)(void *arg, const uint8_t *pkt, size_t len);
};

struct whip_media_cfg {
    const struct whip_media_ops *ops;
    void *arg;
    struct pool *pool;          /* of packets */
    uint64_t keyframe_us;       /* see whip.h */
    const char *stream;         /* for log lines; borrowed */
    size_t n_tracks;
    struct whip_track_cfg tracks[WHIP_TRACKS_MAX];
};

struct whip_media {
    struct whip_media_cfg cfg;
    struct rtp_clock clock;
    struct twcc_feedback twcc;
    uint32_t ssrc;              /* ours, as sender of reports */
    uint64_t report_us;         /* when the next receiver report is due */
    uint64_t bad_rtp, strangers, bad_rtcp; /* that belong to no track */
    struct whip_track tracks[WHIP_TRACKS_MAX];
    uint8_t by_pt[128];         /* track + 1; with WHIP_PT_RTX: of its RTX */
};

enum { WHIP_PT_RTX = 0x80 };

void whip_media_init(struct whip_media *m, const struct whip_media_cfg *cfg, uint64_t now_us);
/* One decrypted RTP packet. */
void whip_media_on_rtp(struct whip_media *m, const uint8_t *pkt, size_t len, uint64_t now_us,
                       uint64_t unix_us);
/* One decrypted compound RTCP packet. */
void whip_media_on_rtcp(struct whip_media *m, const uint8_t *pkt, size_t len, uint64_t now_us,
                        uint64_t unix_us);
/* Sends what feedback is due. */
void whip_media_poll(struct whip_media *m, uint64_t now_us);
/* When to poll next; may have come nearer after each packet. */
uint64_t whip_media_due_us(const struct whip_media *m);
/* A consumer needs a keyframe of that track of the announced set: with the next poll. */
void whip_media_need_keyframe(struct whip_media *m, unsigned track);
/* The announced tracks. */
void whip_media_tracks(const struct whip_media *m, struct track_set *out);
/* All its packets belonged to nothing agreed on for too long. */
static inline bool whip_media_abused(const struct whip_media *m)
{
    return m->strangers > WHIP_STRANGERS_MAX;
}

struct whip_track_facts {
    enum codec codec;
    uint64_t silent_us;         /* since the last packet; UINT64_MAX: none came yet */
    uint32_t jitter_ticks;
    bool b_frames;
    struct whip_media_counters counters;
};

struct whip_media_facts {
    size_t n_tracks;
    struct whip_track_facts tracks[WHIP_TRACKS_MAX];
};

void whip_media_facts(const struct whip_media *m, uint64_t now_us, struct whip_media_facts *out);
/* Adds all tracks' figures to *out. */
void whip_media_count(const struct whip_media *m, struct whip_media_counters *out);
