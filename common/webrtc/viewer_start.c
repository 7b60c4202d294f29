/* SPDX-License-Identifier: Apache-2.0
 * viewer_start.c - how a viewer begins: from the newest keyframe in the cache, faster than it was made, until it is live. See viewer.h. */
#include "webrtc/viewer_priv.h"

enum {
    LIVE_LEAD_MAX_US = 200000, /* live is believed to be this far ahead of the newest packet at most */
    REPORT_SOON_US = 50000,    /* once live: two reports make a receiver's clock line */
    BEHIND_AGAIN_US = 50000,   /* catching up over a connection that is slower */
};

/* Live runs along the line of the packets that came soonest after their time. */
void viewer_note_line(struct rtc_viewer *v, const struct packet *p, uint64_t now)
{
    uint32_t hz = v->video.clock_hz;
    int64_t line = (int64_t)(p->ts_ticks / hz * 1000000 + p->ts_ticks % hz * 1000000 / hz) - (int64_t)now;

    if (!v->has_line || line > v->line_us)
        v->line_us = line;
    v->has_line = true;
}

/* The timestamp of what is live now, newest being that of the newest packet here. */
static uint64_t live_ts(const struct rtc_viewer *v, uint64_t newest, uint64_t now)
{
    uint32_t hz = v->video.clock_hz;
    uint64_t live_us = (uint64_t)((int64_t)now + v->line_us);
    uint64_t ts = live_us / 1000000 * hz + live_us % 1000000 * hz / 1000000;
    uint64_t most = newest + (uint64_t)LIVE_LEAD_MAX_US * hz / 1000000;

    if (!v->has_line || (int64_t)(ts - newest) < 0)
        return newest;
    return ts < most ? ts : most;
}

void viewer_go_live(struct rtc_viewer *v)
{
    v->state = RTC_VIEWER_LIVE;
    viewer_rate_live(v);
    v->reports_sent = 0;
    viewer_report_in(v, REPORT_SOON_US);
}

bool viewer_pump(struct rtc_viewer *v, uint64_t now)
{
    const struct cache *cache = router_cache(v->consumer.router);

    for (; v->cursor < cache_end(cache); v->cursor++) {
        if (rtc_transport_behind(v->transport)) {
            timer_start(&v->pace, BEHIND_AGAIN_US);
            return false;
        }
        const struct packet *p = cache_at(cache, v->cursor);
        if (!p || !viewer_plays(&v->video, p))
            continue;
        uint64_t due = rtp_segment_due_us(&v->video.sender.now, p->ts_ticks);
        if (due > now) {
            timer_start(&v->pace, due - now);
            return false;
        }
        if (rtp_sender_takes(&v->video.sender, p))
            viewer_send_packet(v, &v->video, p, 0, now);
    }
    return true;
}

/* Video begins with the newest keyframe in the cache; when there is none, one is asked for. */
void viewer_start_video(struct rtc_viewer *v)
{
    struct router *r = v->consumer.router;
    const struct cache *cache = router_cache(r);
    uint64_t position, now = worker_now_us(v->worker), bytes = 0;

    if (!viewer_layers_keyframe(v, &position)) {
        if (v->state != RTC_VIEWER_WAITING || now - v->asked_us >= VIEWER_KEYFRAME_AGAIN_US) {
            router_need_keyframe(r, v->video.track, v->video.layer);
            v->asked_us = now;
        }
        v->state = RTC_VIEWER_WAITING;
        return;
    }
    const struct packet *first = cache_at(cache, position);
    uint64_t newest = first->ts_ticks;
    for (uint64_t at = position; at < cache_end(cache); at++) {
        const struct packet *p = cache_at(cache, at);
        if (!p || !viewer_plays(&v->video, p))
            continue;
        bytes += p->payload_len;
        newest = (int64_t)(p->ts_ticks - newest) > 0 ? p->ts_ticks : newest;
    }
    uint64_t live = live_ts(v, newest, now);
    uint64_t span_us = (live - first->ts_ticks) * 1000000 / v->video.clock_hz;
    v->catch_up_us = rtp_catch_up_us(span_us, bytes);
    viewer_start_sender(v, &v->video, first, live, v->catch_up_us, false);
    v->cursor = position;
    v->state = RTC_VIEWER_CATCHING_UP;
    viewer_pump(v, now);
}

void viewer_begin(struct rtc_viewer *v)
{
    if (!v->connected || !v->ready || !v->consumer.router)
        return;
    if (v->video.codec != CODEC_NONE)
        viewer_start_video(v);
    else if (v->audio.codec != CODEC_NONE)
        viewer_go_live(v);
}

void viewer_on_pace(struct timer *t, uint64_t now)
{
    struct rtc_viewer *v = container_of(t, struct rtc_viewer, pace);

    if (v->state == RTC_VIEWER_CATCHING_UP && v->consumer.router)
        viewer_pump(v, now);
}
