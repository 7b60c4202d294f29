/* SPDX-License-Identifier: Apache-2.0
 * gcc.h - send-side bandwidth estimation: how many bits a second the path to a viewer carries.
 *
 * With transport-wide feedback the target is the lower of two: the delay part (gcc_delay.h) steers a rate by
 * AIMD, down to 0.85 of what arrives when a queue grows, up by 8 % a second, or in small steps near what was the limit; the loss
 * part goes down with losses above 10 %, and up with less than 2 %. Probes (probe.h) go up in one step. Without feedback: REMB
 * and the losses of receiver reports. Both are pushed back while more is under way than a round trip and a queue of 350 ms hold, and
 * go down by a fifth each second in which feedback that was there before stays away.
 * Pure: time is an argument. Hot: no allocation. Thread: the worker's. Ownership: embedded.
 * Source: draft-ietf-rmcat-gcc-02 s5, s6; draft-alvestrand-rmcat-remb-03; the push-back as in libwebrtc. */
#pragma once

#include "webrtc/gcc_delay.h"
#include "webrtc/probe.h"
#include "webrtc/twcc_send.h"

enum { GCC_RATE_BUCKETS = 10, GCC_RATE_BUCKET_US = 50000 };

/* Bytes that arrived in the last half second, on the receiver's clock. */
struct gcc_rate {
    int64_t first_us, newest_us;
    int64_t newest_bucket;
    bool any;
    uint32_t bytes[GCC_RATE_BUCKETS];
};

struct gcc_cfg {
    uint64_t start_bps, min_bps, max_bps;
};

enum gcc_aimd { GCC_HOLD = 0, GCC_INCREASE };

struct gcc {
    struct probe probe; /* first: what is sent is looked at with it */
    struct gcc_cfg cfg;
    struct gcc_rate acked;
    enum gcc_aimd aimd;
    uint64_t delay_bps, loss_bps, remb_bps; /* remb_bps 0: none */
    double link_kbps, link_deviation;       /* what arrived when the path was full; 0: not known */
    uint64_t raised_us, reduced_us;         /* delay part */
    uint64_t probed_us;                     /* when the last probe told something */
    uint64_t feedback_us;                   /* last; 0: none yet */
    uint64_t late_us;                       /* when feedback was last found missing */
    uint64_t pushed_us;
    double pushback;                        /* the part of the target that may be used now, 0.1 to 1 */
    uint64_t rtt_us;                        /* 0: not known */
    uint32_t received, lost;                /* since loss_us */
    uint64_t loss_us, loss_reduced_us;
    uint64_t feedbacks, overuses;
    struct gcc_delay delay;                 /* last: its points are not all looked at */
};

void gcc_init(struct gcc *g, const struct gcc_cfg *cfg);
/* Transport-wide feedback; RTCP_OK or a negative rtcp_err of its parser. */
MUST_USE int gcc_on_feedback(struct gcc *g, struct twcc_send *sent, const struct rtcp_packet *p, uint64_t now_us);
/* At the receiving end (remb.h) arrivals are known without feedback: each, and then the end of those that came together. */
void gcc_on_arrival(struct gcc *g, uint64_t sent_us, int64_t arrival_us, uint32_t bytes, uint64_t now_us);
void gcc_on_arrivals_end(struct gcc *g, uint64_t now_us);
/* The fallbacks; without effect once there is transport-wide feedback. fraction: of 256. */
void gcc_on_remb(struct gcc *g, uint64_t bps);
void gcc_on_loss_report(struct gcc *g, uint8_t fraction, uint64_t now_us);

/* After feedback, and while something is sent each second at least. wanted_bps: what the owner would send if it could; flight_bytes:
 * what it has not heard of (twcc_send.h). Begins probes; finds that feedback stays away. */
void gcc_poll(struct gcc *g, uint64_t wanted_bps, uint64_t flight_bytes, uint64_t now_us);
uint64_t gcc_target_bps(const struct gcc *g);
/* What arrives at the receiver; 0: not known. */
uint64_t gcc_acked_bps(const struct gcc *g);
/* "normal", "overused", "underused"; "no feedback" */
const char *gcc_state_name(const struct gcc *g);
