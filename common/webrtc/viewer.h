/* SPDX-License-Identifier: Apache-2.0
 * viewer.h - one WebRTC viewer of one stream: a consumer of its router, a transport, and a sender for each of
 * audio and video.
 *
 *   rtc_viewer_create -> rtc_viewer_play -> on_tracks(playable) -> SDP answer, rtc_transport_start
 *   connected and the router ready: video from the newest cached keyframe, caught up with live (rtp_sender.h), audio live
 *   on_end: nothing comes any more; a new epoch begins with on_tracks, in the same session, its timeline running on
 *   on_closed -> rtc_viewer_destroy
 *
 * What the viewer misses is answered from the cache within a budget; that it needs a keyframe goes to the router,
 * where such needs are coalesced. Nothing else it does leaves this file.
 * Thread: the worker's. Ownership: heap, the creator's; owns transport and senders.
 * Source: RFC 4585 (NACK, PLI), RFC 5104 (FIR), RFC 3550 s6.4 (reports), RFC 7022 (CNAME). */
#pragma once

#include "base/compiler.h"
#include "codec/codec.h"
#include "router/router.h"
#include "webrtc/rtp_sender.h"
#include "webrtc/transport.h"
#include "webrtc/viewer_data.h"

#include <stdbool.h>
#include <stdint.h>

struct rtc_viewer;

enum {
    RTC_PAYLOADS_MAX = 16, /* browsers have up to 14 that count */
    RTC_CNAME_BYTES = 16,  /* 96 random bits: RFC 7022 s5 */
    RTC_LAYERS_MAX = 32,   /* 8 spatial by 4 temporal ones */
};

/* A payload type that was agreed on. */
struct rtc_payload {
    enum codec codec;
    uint32_t h264_profile; /* profile-level-id */
    uint8_t pt, rtx_pt;    /* rtx_pt 0: none */
    uint8_t packetization; /* H.264: packetization-mode */
    uint8_t red_pt;        /* sent with what was before it: RED (RFC 2198); 0: as it is */
};

/* What was agreed on for one m-section. */
struct rtc_viewer_media {
    size_t n_payloads; /* 0: there is no such section */
    struct rtc_payload payloads[RTC_PAYLOADS_MAX]; /* in the order of preference */
    bool two_byte_ext;
    uint8_t ext_id[RTP_EXT_KINDS];
};

struct rtc_viewer_ops {
    /* An epoch begins, its tracks are known. playable: at least one of them goes with what was agreed on.
     * May come from within rtc_viewer_play. */
    void (*on_tracks)(void *arg, bool playable);
    /* The stream ended, or there is none. on_tracks may follow. */
    void (*on_end)(void *arg, enum stream_end why);
    /* The transport is gone; only rtc_viewer_destroy is left to call (here already). Never from within a call. */
    void (*on_closed)(void *arg, enum rtc_close why, const char *detail);
}; /* the first two come from the router and must not destroy the viewer */

struct rtc_viewer_cfg {
    struct rtc_endpoint *endpoint;
    const struct rtc_viewer_media *audio, *video; /* copied */
    const struct rtc_viewer_ops *ops; /* borrowed */
    void *arg;
};

/* Draws SSRCs, CNAME and credentials. 0, or -1 when memory is short. */
MUST_USE int rtc_viewer_create(struct rtc_viewer **out, const struct rtc_viewer_cfg *cfg);
/* Clears the pointer; NULL inside is fine. */
void rtc_viewer_destroy(struct rtc_viewer **v);
/* Before it is connected: of what it was created with, the peer's answer takes these extensions and this RTX only (NULL: no such
 * section); and it has RED where the answer puts that first. 0, or -1 when memory is short. */
MUST_USE int rtc_viewer_narrow(struct rtc_viewer *v, const struct rtc_viewer_media *audio,
                               const struct rtc_viewer_media *video);
/* Attaches to the stream. Once. */
void rtc_viewer_play(struct rtc_viewer *v, struct router *router);

/* The viewer takes data channels too: before its transport starts. port, message_max: of its SDP;
 * active: we are the DTLS client. 0, or -1 when memory is short. */
MUST_USE int rtc_viewer_carry_data(struct rtc_viewer *v, uint16_t port, uint32_t message_max, bool active);

/* For the answer, and to be started with what the offer says. Owned by the viewer. */
struct rtc_transport *rtc_viewer_transport(struct rtc_viewer *v);
uint32_t rtc_viewer_ssrc(const struct rtc_viewer *v, enum codec_kind kind);
uint32_t rtc_viewer_rtx_ssrc(const struct rtc_viewer *v, enum codec_kind kind);
/* Of the epoch that is being played or was last; NULL before the first. */
const struct track_set *rtc_viewer_tracks(const struct rtc_viewer *v);
/* Of both tracks: so the receiver knows that they belong together. */
const char *rtc_viewer_cname(const struct rtc_viewer *v);
/* Index of the payload for this track, or -1. Of H.264's, the same profile in mode 1 is best, then one that contains
 * the track's, then any: decoders go by what is in the stream. */
int rtc_payload_find(const struct rtc_viewer_media *m, const struct track *track);

/* A viewer's own choice: these and none better. */
struct rtc_layer_wish {
    char rid[RID_MAX + 1];    /* simulcast; "": any */
    int8_t spatial, temporal; /* ids; -1: any */
};

/* Of a stream's layers as they come. */
struct rtc_layer {
    uint8_t row;      /* simulcast layer, or spatial one of a track that has one */
    uint8_t temporal; /* up to this one */
    uint64_t bps;     /* with all that it takes; 0: not measured */
    uint16_t width, height; /* 0: not known */
};

/* In later epochs too; all any: the best that its network carries. False: the stream has no layer with that rid. */
bool rtc_viewer_choose_layer(struct rtc_viewer *v, const struct rtc_layer_wish *wish);
const struct rtc_layer_wish *rtc_viewer_layer_wish(const struct rtc_viewer *v);
/* The video track that is played; NULL: none is. */
const struct track *rtc_viewer_video(const struct rtc_viewer *v);
/* From the least to the best: of simulcast the whole of each, of a scalable track all that there is. Returns how many. */
size_t rtc_viewer_layers(struct rtc_viewer *v, struct rtc_layer *out, size_t cap);
/* What is sent: the simulcast layer, and the highest spatial and temporal ones of it. */
uint8_t rtc_viewer_layer(const struct rtc_viewer *v);
struct rtp_level rtc_viewer_level(const struct rtc_viewer *v);

enum rtc_viewer_state {
    RTC_VIEWER_IDLE,     /* no tracks, or not connected */
    RTC_VIEWER_WAITING,  /* for a keyframe */
    RTC_VIEWER_CATCHING_UP,
    RTC_VIEWER_LIVE,
};
const char *rtc_viewer_state_name(enum rtc_viewer_state state);

struct rtc_viewer_facts {
    enum rtc_viewer_state state;
    bool connected;
    uint64_t epoch;              /* being played; 0: none */
    enum codec video, audio;     /* CODEC_NONE: not played */
    uint64_t first_packet_us;    /* after the connection; 0: none yet */
    uint64_t catch_up_us;        /* taken for the last catching up */
    struct rtp_sender_counters sent[2]; /* video, audio */
    uint64_t rtt_us;
    uint8_t lost_fraction;       /* of 256, video's (or audio's), as last reported */
    uint8_t layers, layer;       /* of the video track; the one that is sent */
    struct rtp_level level;      /* highest scalable layers that are sent */
    uint64_t layer_switches;
    uint64_t pauses, skipped;    /* times that it saw keyframes only; pictures left out */
    uint64_t target_bps, acked_bps; /* what the path is believed to carry, and what arrives (0: not known) */
    const char *path;            /* "normal", "overused", "underused", "remb"; "no feedback" */
    uint64_t probes, paced_us;   /* clusters sent to find out more; the longest that video has waited */
    enum governor_thin thin;     /* what it is spared because the worker is overloaded */
    uint64_t keyframes_asked;    /* PLI and FIR received */
    uint64_t skips;              /* times that it was left out up to the next keyframe: it did not read its TCP connection */
    uint64_t bad_rtcp;
    bool carries_data;
    struct viewer_data_counters data;
};
void rtc_viewer_facts(const struct rtc_viewer *v, struct rtc_viewer_facts *out);
