/* SPDX-License-Identifier: Apache-2.0
 * whip_source.h - one RTP stream of a publisher (an SSRC and its RTX): a track, or one simulcast layer of it.
 *
 * Where frames begin and which are keyframes, and what of the header extensions goes on, become a struct packet here.
 * Thread: the worker's. Ownership: embedded in whip_media.
 * Source: RFC 3550, RFC 4588 (RTX), RFC 8853 (simulcast). */
#pragma once

#include "base/compiler.h"
#include "codec/dd.h"
#include "codec/inspect.h"
#include "media/packet.h"
#include "media/track.h"
#include "webrtc/rtp_receiver.h"
#include "wire/rtp_ext.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WHIP_LAYERS_MAX = 4,    /* simulcast layers of a track; browsers send up to three */
    WHIP_RECENT = 256,      /* packets whose timestamps are remembered: to tell where frames begin */
    WHIP_KEY_FRAMES = 4,    /* keyframes whose packets are still recognised */
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
    struct track facts;        /* as announced; the layers' order and sizes are found out */
    uint8_t index;             /* in the announced set */
    uint8_t pt, rtx_pt, red_pt; /* of its RTX and RED; 0: none */
    uint32_t ssrc, rtx_ssrc;   /* as the offer says; 0: the first packet tells */
    size_t n_rids;             /* simulcast: RFC 8853; 0: there is one stream */
    char rids[WHIP_LAYERS_MAX][RID_MAX + 1];
    bool nack, pli;            /* agreed on */
    uint8_t ext_id[RTP_EXT_KINDS]; /* 0: not agreed on */
};

struct whip_recent {
    uint64_t seq, ts_ticks;
    bool discardable;
};

struct whip_source {
    const struct whip_track_cfg *cfg; /* of its track */
    const char *stream;        /* for log lines; borrowed */
    const char *rid;           /* of cfg; "" when there is one stream */
    uint8_t layer;             /* in the announced track */
    uint16_t width, height;    /* as its keyframes say; 0: not known yet */
    struct rtp_receiver receiver;
    struct rtp_receiver rtx_receiver; /* only counts, for the reports about the RTX stream */
    bool has_source, has_rtx_source;
    bool want_keyframe;        /* a PLI goes with the next feedback */
    bool b_frames;             /* presentation times went back: seen, and logged */
    bool mixed_frames;         /* H.264: some packets of frames that nothing refers to do not say so */
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

void whip_source_init(struct whip_source *s, const struct whip_track_cfg *cfg, const char *rid, const char *stream,
                      uint64_t now_us);
/* A new SSRC: its numbers and timestamps begin anew. */
void whip_source_start(struct whip_source *s, uint32_t ssrc, struct rtp_clock *clock);
void whip_source_start_rtx(struct whip_source *s, uint32_t ssrc, struct rtp_clock *clock);
/* Everything of p but its reference count. marks NULL: a packet without payload. */
void whip_source_fill(struct whip_source *s, const struct rtp_view *v, const struct rtp_arrival *a,
                      const struct payload_marks *marks, struct packet *p, uint64_t now_us);
/* Learns the picture's size where the payload tells it. */
void whip_source_note_size(struct whip_source *s, const struct rtp_view *v, const struct payload_marks *marks);
/* With what the present SSRC's receiver has counted. */
struct whip_media_counters whip_source_counters(const struct whip_source *s);
bool whip_find_extension(const struct whip_track_cfg *cfg, const struct rtp_view *v, enum rtp_ext_kind kind,
                         struct rtp_ext *out);
