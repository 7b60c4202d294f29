/* SPDX-License-Identifier: Apache-2.0
 * whip_media.h - a WebRTC publisher's RTP into packets, and the feedback it gets: reports, NACK, PLI.
 *
 *   pkt -> payload type -> track -> SSRC, rid -> source -> (RTX unwrapped) -> rtp_receiver (number, duplicates, capture time)
 *       -> codec_inspect (frame, keyframe, layers) -> header extensions -> struct packet -> push
 *
 * A simulcast track has a source for each rid. Which of them is the better picture is not in the offer: the track is
 * announced when each has shown the size of its picture, or when that takes too long.
 *
 * Thread: the worker's. Ownership: embedded in its session; hot: no allocation, lock or log but at the first
 * packet of a kind.
 * Source: RFC 3550, RFC 4585, RFC 4588 (RTX), RFC 9143 (payload types tell sections apart),
 * RFC 8852, 8853 (rids tell layers apart). */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "media/track.h"
#include "origin/whip_source.h"
#include "webrtc/remb.h"
#include "webrtc/sdp.h"
#include "webrtc/twcc_feedback.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WHIP_TRACKS_MAX = 2,       /* one audio, one video: RFC 9725 s4.2 */
    WHIP_SOURCES_MAX = 1 + WHIP_LAYERS_MAX,
    WHIP_SILENT_US = 10000000, /* without a packet: said once; the session lives on (a muted camera) */
    WHIP_RTCP_CAP = 1200,      /* bytes of a compound packet that we write */
    WHIP_STRANGERS_MAX = 10000, /* packets of nothing agreed on; the SRTP layer keeps state for each SSRC */
};

struct whip_track {
    struct whip_track_cfg cfg;
    struct whip_source *sources; /* one, or one for each rid in the offer's order */
    size_t n_sources;
};

/* Where it all goes. */
struct whip_media_ops {
    /* Takes over the reference. */
    void (*push)(void *arg, struct packet *p);
    /* A track has a new source (SSRC): its numbers begin anew, so a new epoch must. Or the layers of a simulcast
     * track are known now, see whip_media_announced. */
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
    struct remb remb;           /* for a publisher without transport-wide feedback */
    uint32_t ssrc;              /* ours, as sender of reports */
    uint64_t report_us;         /* when the next receiver report is due */
    uint64_t bad_rtp, strangers, bad_rtcp; /* that belong to no track */
    bool announced;             /* the layers are known: packets are pushed */
    uint64_t announce_us;       /* until then: when it is done with what is known */
    struct whip_track tracks[WHIP_TRACKS_MAX];
    size_t n_sources;
    struct whip_source sources[WHIP_SOURCES_MAX];
    uint8_t by_pt[128];         /* track + 1; with WHIP_PT_RTX or _RED: of its RTX or RED */
};

enum { WHIP_PT_RTX = 0x80, WHIP_PT_RED = 0x40 };

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
/* A consumer needs a keyframe of that layer and track of the announced set: with the next poll. */
void whip_media_need_keyframe(struct whip_media *m, unsigned track, unsigned layer);
/* The tracks can be announced. False with simulcast at first: on_source comes when they can. */
static inline bool whip_media_announced(const struct whip_media *m)
{
    return m->announced;
}
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
