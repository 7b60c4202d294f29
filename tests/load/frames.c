/* SPDX-License-Identifier: Apache-2.0
 * frames.c - stamps and freezes; see frames.h. */
#include "frames.h"

#include <stdio.h>
#include <string.h>

enum {
    SEI_NAL_TYPE = 6,
    SEI_USER_DATA_UNREGISTERED = 5,
    UUID_BYTES = 16,
    HEX_BYTES = 16,
    INTERVAL_FIRST_US = 33333,
    INTERVAL_MIN_US = 5000, /* less is a catch-up, not a frame rate */
    INTERVAL_MAX_US = 200000,
    FREEZE_SLACK_US = 150000,
};

static const uint8_t uuid[UUID_BYTES] = {0x6d, 0x69, 0x6c, 0x6c, 0x72, 0x61, 0x63, 0x65,
                                         0x8e, 0x41, 0xb7, 0x53, 0x9d, 0x2f, 0xa6, 0x71};

void stamp_write(uint8_t dst[STAMP_NAL_BYTES], uint64_t unix_us)
{
    char hex[HEX_BYTES + 1];

    snprintf(hex, sizeof(hex), "%016llx", (unsigned long long)unix_us);
    dst[0] = SEI_NAL_TYPE;
    dst[1] = SEI_USER_DATA_UNREGISTERED;
    dst[2] = UUID_BYTES + HEX_BYTES;
    memcpy(dst + 3, uuid, UUID_BYTES);
    memcpy(dst + 3 + UUID_BYTES, hex, HEX_BYTES);
    dst[STAMP_NAL_BYTES - 1] = 0x80; /* s7.3.2.11: rbsp_trailing_bits */
}

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool stamp_find(const uint8_t *bytes, size_t len, uint64_t *unix_us)
{
    const uint8_t *at = memmem(bytes, len, uuid, UUID_BYTES);
    uint64_t value = 0;

    if (!at || (size_t)(bytes + len - at) < UUID_BYTES + HEX_BYTES)
        return false;
    for (size_t i = 0; i < HEX_BYTES; i++) {
        int d = digit(at[UUID_BYTES + i]);
        if (d < 0)
            return false;
        value = value << 4 | (uint64_t)d;
    }
    *unix_us = value;
    return true;
}

bool stamps_seen_push(struct stamps_seen *s, uint64_t unix_us)
{
    for (size_t i = 0; i < STAMPS_SEEN; i++)
        if (s->unix_us[i] == unix_us)
            return false;
    s->unix_us[s->next++ % STAMPS_SEEN] = unix_us;
    return true;
}

static void check_freeze(struct frame_watch *f, uint64_t at_us)
{
    uint64_t gap = at_us > f->last_us ? at_us - f->last_us : 0;
    uint64_t slack = f->interval_us + FREEZE_SLACK_US;

    if (gap <= 3 * f->interval_us || gap <= slack)
        return;
    f->tally->freezes++;
    f->tally->frozen_us += gap;
    histogram_push(&f->tally->freeze_us, gap);
}

static void learn_interval(struct frame_watch *f, uint64_t ts_us)
{
    uint64_t step = ts_us - f->last_ts_us;

    if (step >= INTERVAL_MIN_US && step <= INTERVAL_MAX_US)
        f->interval_us = f->interval_us ? (f->interval_us * 7 + step) / 8 : step;
    else if (!f->interval_us)
        f->interval_us = INTERVAL_FIRST_US;
}

void frame_watch_push(struct frame_watch *f, uint64_t at_us, uint64_t ts_us, bool keyframe)
{
    f->tally->frames++;
    f->tally->keyframes += keyframe;
    if (f->last_us) {
        histogram_push(&f->tally->step_us, ts_us > f->last_ts_us ? ts_us - f->last_ts_us : 0);
        learn_interval(f, ts_us);
        check_freeze(f, at_us);
    }
    f->last_us = at_us;
    f->last_ts_us = ts_us;
}

void frame_watch_end(struct frame_watch *f, uint64_t now_us)
{
    if (f->last_us && f->interval_us)
        check_freeze(f, now_us);
}
