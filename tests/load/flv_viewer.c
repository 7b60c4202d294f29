/* SPDX-License-Identifier: Apache-2.0
 * flv_viewer.c - one viewer by HTTP-FLV. */
#include "flv_reader.h"
#include "frames.h"
#include "http_client.h"
#include "thread.h"
#include "wire/flv.h"

#include <stdlib.h>

enum {
    REDIRECTS_MAX = 5,
    LIVE_AFTER_US = 2000000, /* delay is measured when the catch-up is over */
    JUMP_MS = 250,           /* of decode time from one frame to the next: frames were left out */
};

struct flv {
    struct viewer v;
    struct url url;
    struct addr to;
    unsigned redirects;
    struct http_call *call;
    struct timer timer; /* to retry, and the time to join */
    struct flv_reader reader;
    struct frame_watch watch;
    uint64_t live_from_us;
    uint32_t last_ts_ms;
    bool answered, has_video;
};

static struct flv *flv_of(struct viewer *v)
{
    return container_of(v, struct flv, v);
}

/* ---- Media --------------------------------------------------------------------------------------------------- */

static void look_at_delay(struct flv *p, const struct flv_media *m, uint64_t now_us)
{
    uint64_t sent_us, unix_us = worker_unix_us(p->v.thread->worker);

    if (now_us >= p->live_from_us && stamp_find(m->data, m->data_len, &sent_us))
        histogram_push(&p->v.thread->tally.delay_us, unix_us > sent_us ? unix_us - sent_us : 0);
}

static void on_video(struct flv *p, const struct flv_seen *tag)
{
    uint64_t now_us = worker_now_us(p->v.thread->worker);
    struct flv_media m;

    if (flv_video_parse(&m, tag->head, tag->head_len) != FLV_OK || m.packet != FLV_PACKET_FRAME)
        return;
    if (!p->has_video && m.keyframe)
        viewer_keyframe(&p->v, now_us);
    if (p->has_video && tag->ts_ms - p->last_ts_ms > JUMP_MS)
        p->v.thread->tally.jumps++;
    p->last_ts_ms = tag->ts_ms;
    if (!p->has_video && !m.keyframe)
        return;
    p->has_video = true;
    look_at_delay(p, &m, now_us);
    frame_watch_push(&p->watch, now_us, (uint64_t)tag->ts_ms * 1000, m.keyframe);
}

static void on_tag(void *arg, const struct flv_seen *tag)
{
    struct flv *p = arg;

    p->v.thread->tally.flv_tags++;
    if (tag->type == FLV_TAG_SCRIPT)
        return;
    if (!p->v.joined) {
        uint64_t now_us = worker_now_us(p->v.thread->worker);
        timer_stop(&p->timer);
        p->live_from_us = now_us + LIVE_AFTER_US;
        viewer_joined(&p->v, now_us);
    }
    if (tag->type == FLV_TAG_VIDEO)
        on_video(p, tag);
}

/* ---- HTTP ------------------------------------------------------------------------------------------------------ */

static bool on_body(void *arg, const uint8_t *bytes, size_t len)
{
    struct flv *p = arg;

    if (!p->answered) {
        p->answered = true;
        histogram_push(&p->v.thread->tally.http_us, worker_now_us(p->v.thread->worker) - p->v.started_us);
    }
    p->v.thread->tally.bytes += len;
    return flv_reader_push(&p->reader, bytes, len);
}

static void get(struct flv *p);

static void redirect(struct flv *p, const struct http_answer *a)
{
    char authority[URL_HOST_MAX + 10];
    struct url to;

    if (p->redirects++ == REDIRECTS_MAX || url_resolve(&to, &p->url, a->location)) {
        viewer_failed(&p->v, "redirect that leads nowhere");
        return;
    }
    url_authority(&to, authority);
    if (addr_resolve(&p->to, authority)) {
        viewer_failed(&p->v, "redirect to an unknown host");
        return;
    }
    p->url = to;
    p->v.thread->tally.redirects++;
    get(p);
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct flv *p = arg;
    uint64_t now_us = worker_now_us(p->v.thread->worker), wait_us = (uint64_t)a->retry_after_s * 1000000;

    p->call = NULL;
    if (a->status == 301 || a->status == 302 || a->status == 307 || a->status == 308) {
        redirect(p, a);
    } else if (a->status >= 400 && wait_us && !p->v.joined && now_us + wait_us < p->v.deadline_us) {
        p->v.thread->tally.retries++;
        timer_start(&p->timer, wait_us);
    } else if (p->reader.bad) {
        viewer_failed(&p->v, "not FLV");
    } else if (a->status / 100 == 2) {
        viewer_failed(&p->v, "ended by the server");
    } else {
        viewer_http_failed(&p->v, a);
    }
}

static void get(struct flv *p)
{
    const struct load_options *options = p->v.thread->options;
    struct http_call_cfg cfg = {.url = p->url, .to = p->to, .method = "GET", .bearer = options->bearer,
                                .timeout_us = (uint64_t)(options->timeout_s * 1e6), .on_body = on_body,
                                .on_done = on_done, .arg = p};

    timer_start(&p->timer, viewer_left_us(&p->v));
    if (http_call_start(&p->call, p->v.thread->worker, &cfg))
        viewer_failed(&p->v, "http: no connection could be made");
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct flv *p = container_of(t, struct flv, timer);

    if (now_us < p->v.deadline_us)
        get(p);
    else
        viewer_failed(&p->v, p->answered ? "no media" : "http timeout");
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static int start(struct viewer *v)
{
    struct flv *p = flv_of(v);
    struct worker *w = v->thread->worker;

    timer_init(&p->timer, w, on_due);
    flv_reader_init(&p->reader, on_tag, p);
    p->watch.tally = &v->thread->tally;
    p->to = *viewer_to(v);
    if (viewer_url(v, &p->url)) {
        viewer_failed(v, "not a URL");
        return -1;
    }
    get(p);
    return 0;
}

static void close_viewer(struct viewer *v, bool politely)
{
    struct flv *p = flv_of(v);

    (void)politely;
    timer_stop(&p->timer);
    http_call_cancel(&p->call);
    frame_watch_end(&p->watch, worker_now_us(v->thread->worker));
}

struct viewer *flv_viewer_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_viewer};
    struct flv *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
