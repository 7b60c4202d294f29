/* SPDX-License-Identifier: Apache-2.0
 * pacer.c - see pacer.h. */
#include "pacer.h"

#include "base/writer.h"

#include <stdlib.h>

enum {
    LATE_US = 5000,
    STOPPED_US = 500000, /* so late is not slow but was stopped */
    LENGTH_BYTES = 4,
    AUD_NAL_TYPE = 9,
};

/* An access unit delimiter must stay the first NAL unit (H.264 s7.4.1.2.3); the stamp comes before all others. */
static size_t place_of_stamp(const struct media_frame *f)
{
    if (f->len > LENGTH_BYTES && (f->data[LENGTH_BYTES] & 0x1f) == AUD_NAL_TYPE) {
        size_t n = (size_t)f->data[2] << 8 | f->data[3];
        return n + LENGTH_BYTES <= f->len ? n + LENGTH_BYTES : 0;
    }
    return 0;
}

static void stamp(struct pacer *p, struct media_frame *f, const struct stamp_frame *sent)
{
    size_t at = place_of_stamp(f);
    struct writer w = writer_init(p->stamped, f->len + LENGTH_BYTES + STAMP_NAL_MAX_BYTES);
    uint8_t nal[STAMP_NAL_MAX_BYTES];
    size_t len = stamp_write(nal, sent, &p->past);

    writer_bytes(&w, f->data, at);
    writer_u32(&w, (uint32_t)len);
    writer_bytes(&w, nal, len);
    writer_bytes(&w, f->data + at, f->len - at);
    f->data = p->stamped;
    f->len = writer_len(&w);
}

static void send_one(struct pacer *p, const struct media_frame *frame)
{
    struct stamp_frame sent = {p->round_us + frame->pts_us, worker_unix_us(p->timer.worker)};
    struct media_frame f = *frame;

    if (f.video && p->n_video++ % p->stamp_every == 0)
        stamp(p, &f, &sent);
    else if (f.video)
        stamp_past_push(&p->past, &sent);
    p->tally->publish_frames++;
    p->tally->publish_bytes += f.len;
    p->on_frame(p->arg, &f, p->round_us);
}

/* The next keyframe is due now. */
static void go_on_at(struct pacer *p, uint64_t now_us)
{
    const struct media_source *m = p->media;

    for (size_t i = 0; i < m->n_frames; i++) {
        size_t at = (p->next + i) % m->n_frames;
        const struct media_frame *f = &m->frames[at];

        if (!f->video || !f->keyframe)
            continue;
        p->next = at;
        p->round_us = now_us - p->start_us - f->dts_us;
        return;
    }
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct pacer *p = container_of(t, struct pacer, timer);
    const struct media_source *m = p->media;

    for (;;) {
        const struct media_frame *f = &m->frames[p->next];
        uint64_t due_us = p->start_us + p->round_us + f->dts_us;

        if (due_us > now_us) {
            timer_start(t, due_us - now_us);
            return;
        }
        p->tally->publish_late += now_us - due_us > LATE_US;
        if (now_us - due_us > STOPPED_US && m->has_video) {
            go_on_at(p, now_us);
            f = &m->frames[p->next];
        }
        send_one(p, f);
        if (!p->stamped)
            return; /* stopped meanwhile */
        if (++p->next == m->n_frames) {
            p->next = 0;
            p->round_us += m->duration_us;
        }
    }
}

int pacer_start(struct pacer *p, struct worker *w, const struct media_source *m, unsigned stamp_every, struct tally *tally,
                void (*on_frame)(void *, const struct media_frame *, uint64_t), void *arg)
{
    size_t max = 0;

    for (size_t i = 0; i < m->n_frames; i++)
        max = m->frames[i].len > max ? m->frames[i].len : max;
    *p = (struct pacer){.media = m,
                        .stamp_every = stamp_every,
                        .tally = tally,
                        .on_frame = on_frame,
                        .arg = arg,
                        .start_us = worker_now_us(w)};
    p->stamped = malloc(max + LENGTH_BYTES + STAMP_NAL_MAX_BYTES);
    if (!p->stamped)
        return -1;
    timer_init(&p->timer, w, on_due);
    timer_start(&p->timer, 0);
    return 0;
}

void pacer_stop(struct pacer *p)
{
    if (!p->stamped)
        return;
    timer_stop(&p->timer);
    free(p->stamped);
    p->stamped = NULL;
}
