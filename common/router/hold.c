/* SPDX-License-Identifier: Apache-2.0
 * hold.c - see hold.h. */
#include "hold.h"

#include <assert.h>
#include <string.h>

enum {
    TOGETHER_US = 4000,  /* pictures of less distance are one frame's: 240 a second are none too few */
    PAUSE_US = 1000000,  /* pictures of more distance say nothing of the next */
    WEIGHT_LOG2 = 3,
};

void hold_on_pictures(struct hold *h, uint64_t now_us, uint32_t busy_permille)
{
    uint64_t since_us = now_us - h->picture_us;

    if (h->picture_us && since_us < TOGETHER_US)
        return;
    if (!h->picture_us || since_us > PAUSE_US)
        h->interval_us = 0;
    else if (h->interval_us == 0)
        h->interval_us = since_us;
    else
        h->interval_us += since_us / (1 << WEIGHT_LOG2) - h->interval_us / (1 << WEIGHT_LOG2);
    h->picture_us = now_us;
    governor_mark_push(&h->busy, busy_permille);
}

void hold_on_sound(struct hold *h, const struct packet *p, uint32_t clock_hz, uint64_t now_us)
{
    uint64_t ticks = p->ts_ticks - h->sound_ts;

    if (p->track == h->sound_track && p->seq == h->sound_seq + 1 && ticks <= clock_hz) /* more than a second is a jump */
        h->sound_us = ticks * 1000000 / clock_hz;
    h->sound_seq = p->seq;
    h->sound_ts = p->ts_ticks;
    h->sound_track = p->track;
    h->sound_at_us = now_us;
}

uint64_t hold_us(const struct hold *h)
{
    return h->sound_us < h->limit_us ? h->sound_us : h->limit_us;
}

/* Overdue ones are still waited for, but not for ever: the publisher may have stopped its camera. */
bool hold_wants(const struct hold *h, size_t n, uint64_t now_us)
{
    uint64_t due_us = h->picture_us + h->interval_us, limit_us = hold_us(h);

    if (!hold_on(h) || limit_us == 0 || h->interval_us == 0 || h->n + n > HOLD_PACKETS_MAX)
        return false;
    return due_us <= now_us + limit_us && now_us <= due_us + limit_us;
}

uint64_t hold_left_us(const struct hold *h, uint64_t now_us)
{
    uint64_t waited_us = now_us - h->sound_at_us, limit_us = hold_us(h);

    return waited_us < limit_us ? limit_us - waited_us : 0;
}

bool hold_keeps(const struct hold *h, uint64_t now_us)
{
    return hold_on(h) && !h->upstream && h->interval_us > 0 && h->interval_us <= hold_left_us(h, now_us);
}

void hold_push(struct hold *h, struct packet *const *v, size_t n)
{
    assert(h->n + n <= HOLD_PACKETS_MAX);
    memcpy(h->v + h->n, v, n * sizeof(*v));
    h->n += n;
}

size_t hold_take(struct hold *h, struct packet **out)
{
    size_t n = h->n;

    memcpy(out, h->v, n * sizeof(*out));
    h->n = 0;
    return n;
}
