/* SPDX-License-Identifier: Apache-2.0
 * stamp.c - see stamp.h. */
#include "stamp.h"

#include <stdio.h>
#include <string.h>

enum {
    SEI_NAL_TYPE = 6,
    SEI_USER_DATA_UNREGISTERED = 5,
    SIZE_STEP = 255,        /* D.1: a size is written as so many of these, and what is left */
    HALF_DIGITS = 6,        /* of an entry of the past */
    PTS_BIAS_US = 0x800000, /* it may be below 0 */
    HALF_MAX = 0xffffff,
    BEGINS_WITHIN_BYTES = 256,
    MATCH_US = 2000,        /* RTMP has whole milliseconds */
    FIRST_WAYS = 4,
    FIRST_AFTER_US = 1000000,
};

static const uint8_t uuid[STAMP_UUID_BYTES] = {0x6d, 0x69, 0x6c, 0x6c, 0x72, 0x61, 0x63, 0x65,
                                               0x8e, 0x41, 0xb7, 0x53, 0x9d, 0x2f, 0xa6, 0x71};

/* ---- At the publisher ------------------------------------------------------------------------------------- */

void stamp_past_push(struct stamp_past *p, const struct stamp_frame *f)
{
    p->frames[p->n++ % STAMP_PAST_MAX] = *f;
}

static uint8_t *write_hex(uint8_t *at, uint64_t value, int digits)
{
    char text[STAMP_HEX_BYTES + 1];

    snprintf(text, sizeof(text), "%0*llx", digits, (unsigned long long)value);
    memcpy(at, text, (size_t)digits);
    return at + digits;
}

/* One that is too far off to be told is left out. */
static uint8_t *write_past(uint8_t *at, const struct stamp_frame *f, const struct stamp_frame *before)
{
    uint64_t pts = f->pts_us + PTS_BIAS_US - before->pts_us, sent = f->sent_us - before->sent_us;

    if (pts > HALF_MAX || sent > HALF_MAX)
        return at;
    return write_hex(write_hex(at, pts, HALF_DIGITS), sent, HALF_DIGITS);
}

size_t stamp_write(uint8_t dst[STAMP_NAL_MAX_BYTES], const struct stamp_frame *f, struct stamp_past *past)
{
    uint8_t body[STAMP_BODY_MAX_BYTES], *end = body, *at = dst;
    unsigned n = past->n < STAMP_PAST_MAX ? past->n : STAMP_PAST_MAX;

    memcpy(end, uuid, STAMP_UUID_BYTES);
    end = write_hex(end + STAMP_UUID_BYTES, f->sent_us, STAMP_HEX_BYTES);
    for (unsigned i = 0; i < n; i++)
        end = write_past(end, f, &past->frames[i]);
    past->n = 0;
    *at++ = SEI_NAL_TYPE;
    *at++ = SEI_USER_DATA_UNREGISTERED;
    size_t len = (size_t)(end - body), left = len;
    for (; left >= SIZE_STEP; left -= SIZE_STEP)
        *at++ = SIZE_STEP;
    *at++ = (uint8_t)left;
    memcpy(at, body, len);
    at += len;
    *at++ = 0x80; /* s7.3.2.11: rbsp_trailing_bits */
    return (size_t)(at - dst);
}

/* ---- At the viewer ------------------------------------------------------------------------------------------ */

/* -1: other than hex digits, or cut off. */
static int64_t read_hex(const uint8_t *at, const uint8_t *end, int digits)
{
    uint64_t value = 0;

    if (end - at < digits)
        return -1;
    for (int i = 0; i < digits; i++) {
        bool decimal = at[i] >= '0' && at[i] <= '9';
        if (!decimal && (at[i] < 'a' || at[i] > 'f'))
            return -1;
        value = value << 4 | (uint64_t)(decimal ? at[i] - '0' : at[i] - 'a' + 10);
    }
    return value > INT64_MAX ? -1 : (int64_t)value;
}

bool stamp_find(const uint8_t *bytes, size_t len, struct stamp *out)
{
    const uint8_t *end = bytes + len, *at = memmem(bytes, len < BEGINS_WITHIN_BYTES ? len : BEGINS_WITHIN_BYTES, uuid, STAMP_UUID_BYTES);
    int64_t sent_us = at ? read_hex(at + STAMP_UUID_BYTES, end, STAMP_HEX_BYTES) : -1;

    if (sent_us < 0)
        return false;
    out->sent_us = (uint64_t)sent_us;
    out->n_past = 0;
    at += STAMP_UUID_BYTES + STAMP_HEX_BYTES;
    for (; out->n_past < STAMP_PAST_MAX; out->n_past++, at += STAMP_PAST_BYTES) {
        int64_t pts = read_hex(at, end, HALF_DIGITS), sent = pts < 0 ? -1 : read_hex(at + HALF_DIGITS, end, HALF_DIGITS);
        if (sent < 0)
            break;
        out->past[out->n_past].pts_before_us = pts - PTS_BIAS_US;
        out->past[out->n_past].sent_us = out->sent_us - (uint64_t)sent;
    }
    return true;
}

void stamp_arrivals_push(struct stamp_arrivals *a, uint64_t ts_us, uint64_t unix_us)
{
    a->frames[a->next++ % STAMP_ARRIVALS] = (struct stamp_arrival){ts_us, unix_us};
}

/* When the frame of that timestamp came, which is asked once; 0: it did not, or is not known. */
static uint64_t take_arrival(struct stamp_arrivals *a, uint64_t ts_us)
{
    for (unsigned i = 0; i < STAMP_ARRIVALS; i++) {
        struct stamp_arrival *f = &a->frames[i];
        uint64_t unix_us = f->unix_us;

        if (unix_us == 0 || f->ts_us + MATCH_US < ts_us || f->ts_us > ts_us + MATCH_US)
            continue;
        f->unix_us = 0;
        return unix_us;
    }
    return 0;
}

/* Four places for each: what was there is told when it is the oldest of them. */
static void push_first(const struct stamp_counts *c, uint64_t sent_us, uint64_t delay_us, uint64_t now_us)
{
    uint64_t hash = sent_us * UINT64_C(0x9e3779b97f4a7c15) >> 32;
    struct stamp_first *set = &c->firsts->slots[hash % (STAMP_FIRSTS / FIRST_WAYS) * FIRST_WAYS], *oldest = set;

    for (unsigned i = 0; i < FIRST_WAYS; i++) {
        if (set[i].sent_us == sent_us) {
            set[i].delay_us = delay_us < set[i].delay_us ? delay_us : set[i].delay_us;
            set[i].told_us = now_us;
            return;
        }
        oldest = set[i].told_us < oldest->told_us ? &set[i] : oldest;
    }
    if (oldest->sent_us)
        histogram_push(c->first_us, oldest->delay_us);
    *oldest = (struct stamp_first){sent_us, delay_us, now_us};
}

static void count_one(const struct stamp_counts *c, uint64_t sent_us, uint64_t unix_us, uint64_t now_us)
{
    uint64_t delay_us = unix_us > sent_us ? unix_us - sent_us : 0;

    histogram_push(c->delay_us, delay_us);
    if (c->firsts)
        push_first(c, sent_us, delay_us, now_us);
}

void stamp_count(struct stamp_arrivals *a, const struct stamp *s, const struct stamp_arrival *frame, const struct stamp_counts *c, uint64_t now_us)
{
    unsigned known = 0;

    for (unsigned i = 0; i < s->n_past; i++) {
        uint64_t unix_us = take_arrival(a, frame->ts_us - (uint64_t)s->past[i].pts_before_us);
        if (unix_us == 0)
            continue;
        known++;
        count_one(c, s->past[i].sent_us, unix_us, now_us);
    }
    if (known == 0)
        count_one(c, s->sent_us, frame->unix_us, now_us);
}

void stamp_firsts_settle(struct stamp_firsts *f, struct histogram *first_us, uint64_t now_us, bool all)
{
    for (unsigned i = 0; i < STAMP_FIRSTS; i++) {
        struct stamp_first *s = &f->slots[i];

        if (s->sent_us == 0 || (!all && now_us < s->told_us + FIRST_AFTER_US))
            continue;
        histogram_push(first_us, s->delay_us);
        *s = (struct stamp_first){0};
    }
}
