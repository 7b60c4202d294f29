/* SPDX-License-Identifier: Apache-2.0
 * whole.c - see whole.h. */
#include "whole.h"

bool whole_waits(struct whole *w, const struct packet *last, uint64_t now_us)
{
    bool same_layer = w->track == last->track && w->layer == last->layer;

    if (same_layer && last->ts_ticks < w->ts_ticks)
        return false; /* a repair */
    if (!same_layer || last->ts_ticks != w->ts_ticks) {
        w->track = last->track;
        w->layer = last->layer;
        w->ts_ticks = last->ts_ticks;
        w->since_us = now_us;
    }
    if (last->flags & PACKET_MARKER || now_us - w->since_us >= w->limit_us)
        w->since_us = 0; /* what comes of it later is a repair, or was sent later */
    return w->since_us != 0;
}
