/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_clock.h"

enum { US_A_MS = 1000, US_A_S = 1000000, MS_A_S = 1000 };

static void anchor(struct rtmp_clock *c, uint64_t media_ms, uint64_t unix_us)
{
    c->anchor_ms = media_ms;
    c->anchor_us = unix_us;
}

/* How far the media runs on from the message before: by its timestamps, or, when these jump, by the
 * time that has passed. */
static int64_t step_ms(struct rtmp_clock *c, uint32_t wire_ms, uint64_t unix_us)
{
    int64_t by_wire = (int32_t)(wire_ms - c->wire_ms);

    if (by_wire >= -RTMP_JUMP_BACK_MS && by_wire <= RTMP_JUMP_FORWARD_MS)
        return by_wire;
    int64_t passed = (int64_t)(unix_us - c->arrival_us) / US_A_MS;
    c->jumps++;
    return passed < 1 ? 1 : passed > RTMP_JUMP_FORWARD_MS ? RTMP_JUMP_FORWARD_MS : passed;
}

uint64_t rtmp_clock_push(struct rtmp_clock *c, uint32_t wire_ms, uint64_t unix_us)
{
    if (!c->started) {
        c->started = true;
        c->media_ms = RTMP_MEDIA_BASE_MS;
        anchor(c, c->media_ms, unix_us);
    } else {
        c->media_ms += (uint64_t)step_ms(c, wire_ms, unix_us);
    }
    c->wire_ms = wire_ms;
    c->arrival_us = unix_us;

    int64_t late_us = (int64_t)(unix_us - (c->anchor_us + (c->media_ms - c->anchor_ms) * US_A_MS));
    if (late_us < -RTMP_DRIFT_AHEAD_US || late_us > RTMP_DRIFT_BEHIND_US) {
        anchor(c, c->media_ms, unix_us);
        c->reanchors++;
    }
    return c->media_ms;
}

uint64_t rtmp_ticks_of_ms(uint64_t media_ms, uint32_t clock_hz)
{
    return media_ms / MS_A_S * clock_hz + media_ms % MS_A_S * clock_hz / MS_A_S;
}

uint64_t rtmp_clock_capture_us(const struct rtmp_clock *c, uint64_t ts_ticks, uint32_t clock_hz)
{
    uint64_t us = ts_ticks / clock_hz * US_A_S + ts_ticks % clock_hz * US_A_S / clock_hz;

    return c->anchor_us + (us - c->anchor_ms * US_A_MS); /* modulo 2^64: may lie before the anchor */
}

uint64_t audio_clock_push(struct audio_clock *a, uint64_t media_ms, uint32_t frame_ticks)
{
    uint64_t told = rtmp_ticks_of_ms(media_ms, a->clock_hz), ts = a->next_ticks;
    int64_t off = (int64_t)(told - ts), bound = (int64_t)a->clock_hz * AUDIO_RESYNC_MS / MS_A_S;

    if (!a->started || off > bound || off < -bound) {
        a->resyncs += a->started;
        a->started = true;
        ts = told;
    } else {
        ts += (uint64_t)(off / (1 << AUDIO_FOLLOW_SHIFT));
    }
    a->next_ticks = ts + frame_ticks;
    return ts;
}
