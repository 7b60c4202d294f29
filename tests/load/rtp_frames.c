/* SPDX-License-Identifier: Apache-2.0
 * rtp_frames.c - see rtp_frames.h. */
#include "rtp_frames.h"

#include <string.h>

enum { HERE = 1, LOST = 2, MARKER = 4, KEYFRAME = 8, MANY = 1 << 16 };

static uint8_t *slot(struct rtp_frames *f, uint64_t seq)
{
    return &f->flags[seq % RTP_FRAMES_WINDOW];
}

void rtp_frames_init(struct rtp_frames *f, struct tally *tally, void (*on_keyframe)(void *arg, uint64_t at_us), void *arg)
{
    memset(f, 0, sizeof(*f));
    f->watch.tally = tally;
    f->on_keyframe = on_keyframe;
    f->arg = arg;
    f->broken = true; /* nothing to show before the first keyframe */
    f->into = MANY;
}

static void break_picture(struct rtp_frames *f)
{
    if (!f->broken)
        f->watch.tally->breaks++;
    f->broken = true;
}

/* The frame that ends here. */
static void end_frame(struct rtp_frames *f, uint64_t ts_us)
{
    bool whole = f->begun && !f->damaged;

    if (!whole)
        break_picture(f);
    if (whole && f->key)
        f->broken = false;
    if (!f->broken) {
        frame_watch_push(&f->watch, f->last_at_us, ts_us, f->key);
        if (f->key)
            f->on_keyframe(f->arg, f->last_at_us);
    }
    f->begun = true;
    f->into = 0;
    f->damaged = f->key = false;
}

/* Everything that is decided at the head of the window. */
static void advance(struct rtp_frames *f)
{
    for (uint8_t *s = slot(f, f->next); *s; s = slot(f, f->next)) {
        if (*s & LOST) {
            f->damaged = true; /* and whether a marker was in it is not known: see rtp_frames_lose */
            f->into = MANY;
            break_picture(f);
        } else {
            f->key = f->key || (*s & KEYFRAME);
            f->begun = f->begun || (*s & KEYFRAME);
            if (*s & KEYFRAME)
                f->damaged = false; /* what was lost belonged to the frame before */
            f->into++;
            if (*s & MARKER)
                end_frame(f, f->ts_us[f->next % RTP_FRAMES_WINDOW]);
        }
        *s = 0;
        f->next++;
    }
}

/* The window moves so that seq is inside: what it leaves behind is lost. */
static void make_room(struct rtp_frames *f, uint64_t seq, uint64_t at_us)
{
    if (seq - f->next >= 4 * RTP_FRAMES_WINDOW) { /* another stream as it were */
        memset(f->flags, 0, sizeof(f->flags));
        break_picture(f);
        f->begun = f->damaged = f->key = false;
        f->into = MANY;
        f->next = seq;
    }
    while (seq - f->next >= RTP_FRAMES_WINDOW)
        rtp_frames_lose(f, f->next, f->next, at_us);
}

void rtp_frames_push(struct rtp_frames *f, const struct rtp_frames_packet *p)
{
    if (!f->started) {
        f->started = true;
        f->next = p->seq;
    }
    if (p->seq < f->next)
        return;
    make_room(f, p->seq, p->at_us);
    uint8_t *s = slot(f, p->seq);
    if (*s & HERE)
        return;
    *s = (uint8_t)(HERE | (p->marker ? MARKER : 0) | (p->keyframe ? KEYFRAME : 0));
    f->ts_us[p->seq % RTP_FRAMES_WINDOW] = p->ts_us;
    f->last_at_us = p->at_us;
    if (p->seq == f->next)
        advance(f);
}

void rtp_frames_lose(struct rtp_frames *f, uint64_t first, uint64_t last, uint64_t now_us)
{
    (void)now_us;
    for (uint64_t seq = first; seq <= last; seq++) {
        if (seq < f->next || seq - f->next >= RTP_FRAMES_WINDOW)
            continue;
        if (!(*slot(f, seq) & HERE))
            *slot(f, seq) = LOST;
    }
    advance(f);
}

bool rtp_frames_begins(const struct rtp_frames *f, uint64_t seq, unsigned n)
{
    uint64_t ahead = seq - f->next;

    if (!f->started)
        return true;
    if (seq < f->next || ahead >= RTP_FRAMES_WINDOW)
        return false;
    for (uint64_t k = 1; k <= n && k <= ahead; k++)
        if (f->flags[(seq - k) % RTP_FRAMES_WINDOW] & MARKER)
            return true;
    return f->into + ahead < n;
}
