/* SPDX-License-Identifier: Apache-2.0
 * viewer_priv.h - the insides of a viewer, shared by viewer.c (media) and viewer_rtcp.c (reports and feedback). */
#pragma once

#include "io/timer.h"
#include "webrtc/viewer.h"

struct viewer_track {
    struct rtc_viewer_media media;
    enum codec codec; /* of the track being played; CODEC_NONE: none */
    uint32_t clock_hz;
    bool derived;     /* transcoded at the origin */
    uint8_t track, layer;
    uint8_t payload;  /* index into media.payloads */
    struct rtp_sender sender;
};

struct rtc_viewer {
    const struct rtc_viewer_ops *ops;
    void *arg;
    struct worker *worker;
    struct consumer consumer;
    struct rtc_transport *transport;
    uint64_t epoch;
    enum rtc_viewer_state state;
    bool connected, ready;
    bool has_line;       /* line_us: the media time that is live, less the monotonic time */
    int64_t line_us;
    uint64_t audio_waits_us; /* since when audio comes, if it has not begun: 0 not yet */
    uint64_t asked_us;   /* waiting: when a keyframe was asked for */
    uint64_t cursor;     /* catching up: arrival position in the cache of what is sent next */
    struct timer pace;   /* catching up: the next frame is due */
    struct timer report; /* the next sender reports are due */
    unsigned reports_sent; /* since it went live */
    uint64_t connected_us, first_packet_us, catch_up_us;
    uint64_t keyframes_asked, bad_rtcp;
    char cname[RTC_CNAME_BYTES + 1];
    struct viewer_track video, audio;
};

void viewer_send(struct rtc_viewer *v, const struct rtp_out *out);
/* struct rtc_transport_ops.on_rtcp */
void viewer_on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us);
/* The timer of the sender reports. */
void viewer_on_report_due(struct timer *t, uint64_t now_us);
