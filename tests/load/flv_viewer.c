/* SPDX-License-Identifier: Apache-2.0
 * flv_viewer.c - one viewer by HTTP-FLV. */
#include "fetch.h"
#include "flv_reader.h"
#include "frames.h"
#include "stamp.h"
#include "thread.h"
#include "wire/flv.h"

#include <stdlib.h>

enum {
    LIVE_AFTER_US = 2000000, /* delay is measured when the catch-up is over */
    JUMP_MS = 250,           /* of decode time from one frame to the next: frames were left out */
};

struct flv {
    struct viewer v;
    struct fetch fetch;
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
    uint64_t unix_us = worker_unix_us(p->v.thread->worker);
    struct stamp s;

    if (now_us >= p->live_from_us && stamp_find(m->data, m->data_len, &s))
        histogram_push(&p->v.thread->tally.delay_us, unix_us > s.sent_us ? unix_us - s.sent_us : 0);
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
        fetch_stop_timer(&p->fetch);
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
    uint64_t now_us = worker_now_us(p->v.thread->worker);

    if (!p->answered) {
        p->answered = true;
        histogram_push(&p->v.thread->tally.http_us, now_us - p->v.started_us);
    }
    p->v.media_us = now_us;
    p->v.thread->tally.bytes += len;
    if (flv_reader_push(&p->reader, bytes, len))
        return true;
    viewer_failed(&p->v, "not FLV");
    return false;
}

static void on_end(void *arg, const struct http_answer *a)
{
    (void)a;
    viewer_failed(&((struct flv *)arg)->v, "ended by the server");
}

static const char *awaits(const struct viewer *v)
{
    return container_of(v, const struct flv, v)->answered ? "media" : "http";
}

static void on_late(void *arg)
{
    struct flv *p = arg;
    viewer_failed(&p->v, p->answered ? "media timeout" : "http timeout");
}

/* ---- Life --------------------------------------------------------------------------------------------------------- */

static int start(struct viewer *v)
{
    struct flv *p = flv_of(v);
    struct fetch_cfg cfg = {.v = v, .method = "GET", .name = "flv", .on_body = on_body, .on_answer = on_end,
                            .on_late = on_late, .arg = p};
    struct addr to;
    struct url url;

    flv_reader_init(&p->reader, on_tag, p);
    p->watch.tally = &v->thread->tally;
    if (viewer_url(v, &url, &to)) {
        viewer_failed(v, "not a URL of a known host");
        return -1;
    }
    fetch_init(&p->fetch, &cfg, &url, &to);
    fetch_start(&p->fetch, NULL, 0);
    return 0;
}

static void close_viewer(struct viewer *v, bool politely)
{
    struct flv *p = flv_of(v);

    (void)politely;
    fetch_close(&p->fetch);
    frame_watch_end(&p->watch, worker_now_us(v->thread->worker));
}

struct viewer *flv_viewer_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_viewer, .awaits = awaits};
    struct flv *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
