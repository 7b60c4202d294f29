/* SPDX-License-Identifier: Apache-2.0
 * viewer_rate.c - how fast a viewer is sent to: the estimate of its path (gcc.h), the spacing of large frames (pacer.h), and
 * probes while a better layer is waiting for room; see viewer.h.
 *
 * Only with transport-wide feedback is anything held back. Live video that finds the burst used up waits; catching up has
 * a schedule of its own (rtp_sender.h) and audio never waits: both are only counted. */
#include "webrtc/viewer_priv.h"

#include "base/random.h"
#include "webrtc/pacer.h"
#include "webrtc/resend_watch.h"

#include <stdlib.h>

enum {
    START_BPS = 10000000, /* nothing waits until a queue was seen: a viewer can take what is sent, or says so soon */
    MIN_BPS = 100000,
    MAX_BPS = 100000000,
    AUDIO_BPS = 100000,   /* with its headers: what is left of the target is video's */
    WINDOW_US = 1000000,
    REPEATS = 32,         /* recent packets that probes are made of */
};

/* What transport-wide feedback needs: 7 KB that other viewers do not have. */
struct viewer_paced {
    struct rtc_viewer *viewer;
    struct resend_watch watch; /* of video */
    struct timer due;
    uint64_t repeat;
    struct pacer pacer;    /* the end of it, and the beginning of the next, are looked at with each packet */
    struct twcc_send sent;
};

static uint64_t now_of(const struct rtc_viewer *v)
{
    return worker_now_us(v->worker);
}

/* ---- what waits ------------------------------------------------------------------------------------------------- */

static void arm(struct viewer_paced *w, uint64_t now_us)
{
    struct rtc_viewer *v = w->viewer;
    uint64_t due_us = pacer_due_us(&w->pacer);

    if (v->rate.gcc.probe.state == PROBE_SENDING && probe_due_us(&v->rate.gcc.probe) < due_us)
        due_us = probe_due_us(&v->rate.gcc.probe);
    if (due_us == UINT64_MAX)
        timer_stop(&w->due);
    else
        timer_start(&w->due, due_us > now_us ? due_us - now_us : 0);
}

static void number_next(struct rtc_viewer *v)
{
    if (v->rate.paced)
        v->video.sender.transport_seq = v->audio.sender.transport_seq = (uint16_t)v->rate.paced->sent.next;
}

static void resend(struct rtc_viewer *v, struct viewer_track *t, uint16_t seq, uint64_t now_us)
{
    struct router *r = v->consumer.router;
    struct rtp_out out;

    bool sends = rtp_sender_resend(&t->sender, seq, router_cache(r), router_epoch(r), now_us, &out);
    if (v->rate.paced && t == &v->video) {
        if (sends && out.numbered)
            resend_watch_on_sent(&v->rate.paced->watch, seq, v->rate.paced->sent.next);
        else
            resend_watch_drop(&v->rate.paced->watch, seq);
    }
    if (sends)
        viewer_send(v, &out);
}

static void send_resends(struct viewer_paced *w, uint64_t now_us)
{
    struct rtc_viewer *v = w->viewer;
    struct pacer_resend next;

    while (pacer_pop_resend(&w->pacer, &next, now_us)) {
        int64_t before = w->pacer.tokens_bytes;
        resend(v, next.track ? &v->audio : &v->video, next.seq, now_us);
        pacer_on_resent(&w->pacer, (size_t)(before - w->pacer.tokens_bytes));
    }
}

static void send_video(struct viewer_paced *w, bool force, uint64_t now_us)
{
    struct packet *p;

    while ((p = pacer_pop(&w->pacer, force, now_us))) {
        viewer_send_packet(w->viewer, &w->viewer->video, p, 0, now_us);
        packet_unref(&p);
    }
}

/* Packets of the last moments once more, by RTX: a receiver that has them drops them, one that misses one is glad. */
static void send_probe(struct viewer_paced *w, uint64_t now_us)
{
    struct rtc_viewer *v = w->viewer;
    struct router *r = v->consumer.router;
    struct rtp_out out;

    for (unsigned tries = 0; tries < REPEATS && probe_due_bytes(&v->rate.gcc.probe, now_us) > 0; tries++)
        if (rtp_sender_repeat(&v->video.sender, w->repeat++ % REPEATS, router_cache(r), router_epoch(r), &out))
            viewer_send(v, &out);
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct viewer_paced *w = container_of(t, struct viewer_paced, due);

    if (!w->viewer->consumer.router || w->viewer->state != RTC_VIEWER_LIVE)
        return;
    send_resends(w, now_us);
    send_video(w, false, now_us);
    send_probe(w, now_us);
    arm(w, now_us);
}

bool viewer_rate_holds(struct rtc_viewer *v, const struct packet *p, size_t rest_bytes, uint64_t now_us)
{
    struct viewer_paced *w = v->rate.paced;

    if (!w || pacer_may_send(&w->pacer, rest_bytes, now_us))
        return false;
    if (!pacer_push(&w->pacer, p, now_us)) {
        send_video(w, true, now_us);
        return false;
    }
    if (!timer_running(&w->due))
        arm(w, now_us);
    return true;
}

void viewer_rate_resend(struct rtc_viewer *v, struct viewer_track *t, uint16_t seq, uint64_t now_us)
{
    struct viewer_paced *w = v->rate.paced;

    if (!w || v->state != RTC_VIEWER_LIVE) {
        resend(v, t, seq, now_us);
        return;
    }
    if (t == &v->video && resend_watch_has(&w->watch, &w->sent, seq))
        return;
    if (!pacer_push_resend(&w->pacer, seq, t == &v->audio))
        return;
    send_resends(w, now_us);
    if (!timer_running(&w->due))
        arm(w, now_us);
}

void viewer_rate_flush(struct rtc_viewer *v, uint64_t now_us)
{
    if (v->rate.paced && v->rate.paced->pacer.n > 0)
        send_video(v->rate.paced, true, now_us);
}

void viewer_rate_clear(struct rtc_viewer *v)
{
    if (!v->rate.paced)
        return;
    pacer_clear(&v->rate.paced->pacer);
    resend_watch_clear(&v->rate.paced->watch);
    timer_stop(&v->rate.paced->due);
}

void viewer_rate_live(struct rtc_viewer *v)
{
    if (v->rate.paced)
        pacer_refresh(&v->rate.paced->pacer);
}

void viewer_rate_prefetch(const struct rtc_viewer *v, unsigned ahead)
{
    const struct viewer_paced *w = v->rate.paced;

    if (!w)
        return;
    if (ahead == 1) {
        __builtin_prefetch(&w->sent.slots[w->sent.next % TWCC_SEND_SLOTS], 1);
        return;
    }
    __builtin_prefetch(&w->pacer.n, 1);
    __builtin_prefetch(&w->pacer.filled_us, 1);
    __builtin_prefetch(&w->sent.flight_from, 1);
}

/* What it tells of is what was under way when the last one came. */
void viewer_rate_prefetch_feedback(const struct rtc_viewer *v, unsigned ahead)
{
    const struct viewer_paced *w = v->rate.paced;

    if (!w)
        return;
    if (ahead == 1) {
        uint64_t from = w->sent.flight_from;
        __builtin_prefetch(&w->sent.slots[from % TWCC_SEND_SLOTS], 1);
        __builtin_prefetch(&w->sent.slots[(from + 16) % TWCC_SEND_SLOTS], 1);
        __builtin_prefetch(&w->sent.slots[(from + 32) % TWCC_SEND_SLOTS], 1);
        return;
    }
    viewer_rate_prefetch(v, ahead);
    __builtin_prefetch(&v->rate.gcc.delay.points[v->rate.gcc.delay.next_point], 1);
    __builtin_prefetch(&w->watch.n);
    __builtin_prefetch(&w->due.running);
}

uint64_t viewer_rate_waited_us(const struct rtc_viewer *v)
{
    return v->rate.paced ? v->rate.paced->pacer.most_waited_us : 0;
}

/* Retransmissions that were lost. */
static void resend_again(struct viewer_paced *w, uint64_t now_us)
{
    unsigned gave_up = 0;
    uint16_t seq;

    while (resend_watch_next(&w->watch, &w->sent, &seq, &gave_up))
        if (!pacer_push_resend(&w->pacer, seq, 0))
            resend_watch_drop(&w->watch, seq);
    if (w->pacer.n_resends)
        send_resends(w, now_us);
    if (gave_up)
        viewer_layers_on_hole(w->viewer);
}

/* ---- what was sent --------------------------------------------------------------------------------------------------- */

/* True at the end of a window. */
static bool measure(struct viewer_rate *r, size_t bytes, uint64_t now_us)
{
    uint64_t run_us = now_us - r->window_us;

    r->window_bytes += bytes;
    if (run_us < WINDOW_US)
        return false;
    r->media_bps = r->window_bytes * 8000000 / run_us;
    r->window_bytes = 0;
    r->window_us = now_us;
    return true;
}

__attribute__((noinline)) static void follow(struct rtc_viewer *v, uint64_t now_us);

void viewer_rate_on_sent(struct rtc_viewer *v, size_t bytes, bool numbered, uint64_t now_us)
{
    struct viewer_paced *w = v->rate.paced;

    if (bytes == 0)
        return;
    bool measured = measure(&v->rate, bytes, now_us);
    if (!w)
        return;
    pacer_on_sent(&w->pacer, bytes);
    if (!numbered)
        return;
    twcc_send_push(&w->sent, bytes, probe_id(&v->rate.gcc.probe), now_us);
    probe_on_sent(&v->rate.gcc.probe, bytes, now_us);
    number_next(v);
    if (measured)
        follow(v, now_us); /* feedback may stay away */
}

/* ---- feedback --------------------------------------------------------------------------------------------------------- */

/* What would be sent if there were room. 0: it is sent. */
static uint64_t wanted_bps(const struct rtc_viewer *v)
{
    return v->layers.wanted_bps && v->state == RTC_VIEWER_LIVE ? v->layers.wanted_bps + AUDIO_BPS : 0;
}

/* The estimate has changed: for the layers, the pace, and perhaps a probe. */
static void follow(struct rtc_viewer *v, uint64_t now_us)
{
    if (v->rate.paced)
        gcc_poll(&v->rate.gcc, wanted_bps(v), v->rate.paced->sent.flight_bytes, now_us);
    uint64_t target_bps = gcc_target_bps(&v->rate.gcc);
    viewer_allow(v, target_bps > 2 * AUDIO_BPS ? target_bps - AUDIO_BPS : target_bps / 2);
    if (!v->rate.paced)
        return;
    pacer_set_target(&v->rate.paced->pacer, target_bps, v->rate.media_bps, now_us);
    if (v->consumer.router && v->state == RTC_VIEWER_LIVE)
        arm(v->rate.paced, now_us);
}

int viewer_rate_on_twcc(struct rtc_viewer *v, const struct rtcp_packet *p, uint64_t now_us)
{
    if (!v->rate.paced)
        return RTCP_OK; /* not agreed on */
    int err = gcc_on_feedback(&v->rate.gcc, &v->rate.paced->sent, p, now_us);
    if (err != RTCP_OK)
        return err;
    if (v->rate.paced->watch.n && v->state == RTC_VIEWER_LIVE)
        resend_again(v->rate.paced, now_us);
    follow(v, now_us);
    return RTCP_OK;
}

int viewer_rate_on_remb(struct rtc_viewer *v, const struct rtcp_packet *p)
{
    struct rtcp_remb remb;

    if (rtcp_remb_parse(&remb, p) != RTCP_OK)
        return RTCP_OK; /* some other application's feedback */
    gcc_on_remb(&v->rate.gcc, remb.bitrate_bps);
    follow(v, now_of(v));
    return RTCP_OK;
}

void viewer_rate_on_loss(struct rtc_viewer *v, uint8_t fraction, uint64_t now_us)
{
    if (v->rate.paced)
        return; /* its feedback tells better */
    gcc_on_loss_report(&v->rate.gcc, fraction, now_us);
    follow(v, now_us);
}

/* ---- life ---------------------------------------------------------------------------------------------------------------- */

int viewer_rate_init(struct rtc_viewer *v)
{
    gcc_init(&v->rate.gcc, &(struct gcc_cfg){.start_bps = START_BPS, .min_bps = MIN_BPS, .max_bps = MAX_BPS});
    v->rate.window_us = now_of(v);
    if (!v->video.sender.cfg.ext_id[RTP_EXT_TRANSPORT_CC]) {
        v->audio.sender.cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 0;
        return 0;
    }
    struct viewer_paced *w = calloc(1, sizeof(*w));
    if (!w)
        return -1;
    w->viewer = v;
    twcc_send_init(&w->sent, (uint16_t)random_u32());
    pacer_init(&w->pacer, START_BPS, now_of(v));
    timer_init(&w->due, v->worker, on_due);
    v->rate.paced = w;
    number_next(v);
    return 0;
}

void viewer_rate_fini(struct rtc_viewer *v)
{
    viewer_rate_clear(v);
    if (v->rate.paced)
        pacer_fini(&v->rate.paced->pacer);
    free(v->rate.paced);
    v->rate.paced = NULL;
}
