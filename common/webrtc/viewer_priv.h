/* SPDX-License-Identifier: Apache-2.0
 * viewer_priv.h - the insides of a viewer, shared by viewer.c (media), viewer_tracks.c (which tracks), viewer_start.c
 * (the way to live), viewer_layers.c (layers), viewer_rate.c (what its path carries) and viewer_rtcp.c (reports and feedback). */
#pragma once

#include "io/timer.h"
#include "webrtc/gcc.h"
#include "webrtc/layer_choice.h"
#include "webrtc/layer_meter.h"
#include "webrtc/viewer.h"
#include "webrtc/viewer_data.h"

enum { VIEWER_KEYFRAME_AGAIN_US = 1000000 /* a publisher that did not hear of it is asked again */ };

struct viewer_track {
    enum codec codec; /* of the track being played; CODEC_NONE: none */
    uint32_t clock_hz;
    bool derived;     /* transcoded at the origin */
    uint8_t track, layer;
    uint8_t payload;  /* index into media.payloads */
    struct rtp_sender sender;
    struct rtc_viewer_media media;
};

/* Which layers of the video track are sent, and which shall be. */
struct viewer_layers {
    uint8_t n;               /* simulcast layers of the track; 0 or 1: the one may be scalable */
    bool silent;             /* what shall be sent does not come */
    struct rung target;      /* row: simulcast layer, or highest spatial one */
    struct rtc_layer_wish wish; /* for later epochs too */
    struct layer_choice choice;
    uint64_t allowed_bps;    /* what its network carries for video; UINT64_MAX: not known */
    uint64_t wanted_bps;     /* what the best that it may have takes, with room to spare; 0: not measured */
    uint64_t sent_bps;       /* what the chosen one takes; 0: not measured */
    uint64_t starving_us;    /* since when there is no room for the least; 0: there is */
    uint64_t asked_us;       /* for a keyframe */
    uint64_t nacked;         /* the sender's count at the last check */
    uint64_t down_us;        /* the last step down to fewer spatial layers */
    uint64_t key_us;         /* the last keyframe of a scalable track */
    uint64_t mend_us;        /* since when one is needed as something was lost for good; 0: none is */
    struct {
        uint64_t since_us, resent, packets; /* the sender's counts then */
    } loss;
    uint64_t octets, budget_us, debt_bytes; /* keyframes only: sent by then, and more than there was room for */
    uint64_t switches, pauses;
    struct timer check;
    /* With each visit: */
    struct layer_meter *meter; /* NULL: nobody asked yet, and there was always room */
    uint32_t rank;           /* among the worker's viewers, by chance: who is thinned first when it is overloaded (governor.h) */
    enum governor_thin thin; /* so it is now */
};

/* How fast the viewer may be sent to: see viewer_rate.c. */
struct viewer_rate {
    struct viewer_paced *paced; /* NULL: transport-cc was not agreed on, nothing is held back */
    uint64_t media_bps;         /* of what is sent, as measured */
    uint64_t window_us, window_bytes;
    struct gcc gcc;
};

struct rtc_viewer {
    const struct rtc_viewer_ops *ops;
    void *arg;
    struct viewer_layers layers;
    /* From the end of .layers to the beginning of .rate is what each visit needs beside the tracks: see on_soon. */
    struct worker *worker;
    struct consumer consumer;
    struct rtc_transport *transport;
    struct viewer_data *data; /* NULL: no data channels were agreed on */
    enum rtc_viewer_state state;
    int data_track;           /* of the present epoch; -1: it has none */
    uint64_t report_from_us; /* live: from then on the next sender reports leave with a picture */
    uint64_t first_packet_us;
    bool connected, ready;
    bool skipping;       /* live, but left out until the next keyframe: it does not read its connection */
    bool has_line;       /* line_us: the media time that is live, less the monotonic time */
    struct viewer_rate rate;
    struct viewer_track video, audio;
    uint64_t epoch;
    int64_t line_us;
    uint64_t audio_waits_us; /* since when audio comes, if it has not begun: 0 not yet */
    uint64_t asked_us;   /* waiting or skipping: when a keyframe was asked for */
    uint64_t cursor;     /* catching up: arrival position in the cache of what is sent next */
    struct timer pace;   /* catching up: the next frame is due */
    struct timer report; /* the next sender reports are due, alone */
    unsigned reports_sent; /* since it went live */
    uint64_t connected_us, catch_up_us;
    uint64_t keyframes_asked, bad_rtcp, skips;
    char cname[RTC_CNAME_BYTES + 1];
};

void viewer_send(struct rtc_viewer *v, const struct rtp_out *out);
/* Writes and sends a packet now, with pad_len bytes of padding where it may have any. */
void viewer_send_packet(struct rtc_viewer *v, struct viewer_track *t, const struct packet *p, size_t pad_len, uint64_t now_us);
/* Begins the segment of the track's present layer; from_layer: in place of another layer of it. */
void viewer_start_sender(struct rtc_viewer *v, struct viewer_track *t, const struct packet *first, uint64_t live_ts,
                         uint64_t run_us, bool from_layer);
static inline bool viewer_plays(const struct viewer_track *t, const struct packet *p)
{
    return t->codec != CODEC_NONE && p->track == t->track && p->layer == t->layer;
}

/* ---- viewer_tracks.c ---- */

/* The first track of this kind that the viewer can receive. */
void viewer_choose_track(struct viewer_track *out, enum codec_kind kind, const struct track_set *set);

/* ---- viewer_start.c ---- */

/* Begins, once it is connected and the router has its past. */
void viewer_begin(struct rtc_viewer *v);
/* Video begins, or goes on waiting for a keyframe of its layer. */
void viewer_start_video(struct rtc_viewer *v);
/* A packet of its video has come before it is live. */
void viewer_note_line(struct rtc_viewer *v, const struct packet *p, uint64_t now_us);
/* Sends what is due of the cache from the cursor on, as its connection takes it. True when nothing is left. */
bool viewer_pump(struct rtc_viewer *v, uint64_t now_us);
void viewer_go_live(struct rtc_viewer *v);
/* rtc_viewer.pace: the next frame is due. */
void viewer_on_pace(struct timer *t, uint64_t now_us);

/* ---- viewer_layers.c ---- */

void viewer_layers_init(struct rtc_viewer *v);
void viewer_layers_fini(struct rtc_viewer *v);
/* An epoch begins, its video track (NULL: none) and best layer are chosen: perhaps another layer, and what is wanted. */
void viewer_layers_start(struct rtc_viewer *v, const struct track *video);
/* What the viewer wants of its router. */
void viewer_want(struct rtc_viewer *v);
/* The cached keyframe that video can begin with. */
bool viewer_layers_keyframe(const struct rtc_viewer *v, uint64_t *position);
/* A packet of the video track, whatever layer, where there is a meter; the layer may have changed when it returns. */
void viewer_layers_on_packet(struct rtc_viewer *v, const struct packet *p, uint64_t now_us);
/* The worker has become more or less overloaded: this viewer is to be spared something else than before. */
void viewer_layers_thin(struct rtc_viewer *v, enum governor_thin thin);
/* The layer that keyframes are needed of. */
uint8_t viewer_layers_needed(const struct rtc_viewer *v);
/* It sees keyframes only: asking for more of them would not help. */
bool viewer_layers_pauses(const struct rtc_viewer *v);
/* The viewer has asked for packets again. */
void viewer_layers_on_nack(struct rtc_viewer *v, uint64_t now_us);
/* A packet that it asked for will not come any more. */
void viewer_layers_on_hole(struct rtc_viewer *v);
/* What the viewer's network carries for video has changed; UINT64_MAX: it is not known. */
void viewer_allow(struct rtc_viewer *v, uint64_t video_bps);

/* ---- viewer_rate.c ---- */

/* 0, or -1 when memory is short. */
MUST_USE int viewer_rate_init(struct rtc_viewer *v);
void viewer_rate_fini(struct rtc_viewer *v);
/* Video of the present segment that waits goes out: another one begins. */
void viewer_rate_flush(struct rtc_viewer *v, uint64_t now_us);
/* Nothing of what waits is sent any more. */
void viewer_rate_clear(struct rtc_viewer *v);
/* Catching up is over: what it took is not held against what follows. */
void viewer_rate_live(struct rtc_viewer *v);
/* True: the live video packet waits for its turn. rest_bytes: of what comes with it, its own included. */
bool viewer_rate_holds(struct rtc_viewer *v, const struct packet *p, size_t rest_bytes, uint64_t now_us);
/* A datagram of so many bytes has left (0: none has), with the next transport-wide number or without. */
void viewer_rate_on_sent(struct rtc_viewer *v, size_t bytes, bool numbered, uint64_t now_us);
/* A packet that the viewer asks for again, now or in its turn. */
void viewer_rate_resend(struct rtc_viewer *v, struct viewer_track *t, uint16_t seq, uint64_t now_us);
/* Something is sent soon: see struct consumer_ops.on_soon. */
void viewer_rate_prefetch(const struct rtc_viewer *v, unsigned ahead);
/* Feedback comes soon: see struct rtc_transport_ops.on_rtcp_soon, the last two steps. */
void viewer_rate_prefetch_feedback(const struct rtc_viewer *v, unsigned ahead);
uint64_t viewer_rate_waited_us(const struct rtc_viewer *v);
/* The three kinds of feedback; the first two return RTCP_OK or a negative rtcp_err. */
int viewer_rate_on_twcc(struct rtc_viewer *v, const struct rtcp_packet *p, uint64_t now_us);
int viewer_rate_on_remb(struct rtc_viewer *v, const struct rtcp_packet *p);
void viewer_rate_on_loss(struct rtc_viewer *v, uint8_t fraction, uint64_t now_us);

/* ---- viewer_rtcp.c ---- */

/* struct rtc_transport_ops.on_rtcp */
void viewer_on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us);
/* The timer of the sender reports. */
void viewer_on_report_due(struct timer *t, uint64_t now_us);
/* Starts it: due in so long, or up to 50 ms later together with other viewers' reports, as each moment of its own would wake
 * the worker. */
void viewer_report_in(struct rtc_viewer *v, uint64_t delay_us);
/* .report_from_us is over, and something was sent: the reports go along if they leave in its message. */
void viewer_report_along(struct rtc_viewer *v, uint64_t now_us);
