/* SPDX-License-Identifier: Apache-2.0
 * depacketise.c - where frames begin and end in a sequence of packets, and what a gap costs; the formats are
 * in depacketise_formats.c. One thread at a time. */
#include "codec/depacketise.h"

#include <stdlib.h>
#include <string.h>

#include "codec/depacketise_priv.h"

enum { FRAME_MAX_DEFAULT_BYTES = 4 << 20, FRAME_FIRST_BYTES = 16 << 10 };

int depacketiser_create(struct depacketiser **out, const struct depacketiser_cfg *cfg)
{
    *out = NULL;
    if (cfg->codec <= CODEC_NONE || cfg->codec >= CODEC_COUNT || !cfg->on_frame)
        return CODEC_ERR_SUPPORT;
    struct depacketiser *d = calloc(1, sizeof(*d));
    if (!d)
        return CODEC_ERR_MEMORY;
    d->cfg = *cfg;
    if (!d->cfg.max_frame_bytes)
        d->cfg.max_frame_bytes = FRAME_MAX_DEFAULT_BYTES;
    *out = d;
    return CODEC_OK;
}

void depacketiser_destroy(struct depacketiser **d)
{
    if (!*d)
        return;
    free((*d)->bytes);
    free(*d);
    *d = NULL;
}

void depacketiser_reset(struct depacketiser *d)
{
    d->state = DEPACKETISE_IDLE;
    d->seen = d->border_known = d->after_loss = false;
}

static void clear_frame(struct depacketiser *d)
{
    d->len = d->unit_at = d->expected = 0;
    d->unit_open = d->key = false;
}

/* Room for n more bytes: doubles, so that growing ends with the largest frame. */
static int grow(struct depacketiser *d, size_t n)
{
    if (n > d->cfg.max_frame_bytes || d->len > d->cfg.max_frame_bytes - n)
        return DEPACKETISE_TOO_BIG;
    if (d->len + n <= d->cap)
        return DEPACKETISE_OK;
    size_t cap = d->cap ? d->cap : FRAME_FIRST_BYTES;
    while (cap < d->len + n)
        cap *= 2;
    uint8_t *bytes = realloc(d->bytes, cap);
    if (!bytes)
        return DEPACKETISE_MEMORY;
    d->bytes = bytes;
    d->cap = cap;
    return DEPACKETISE_OK;
}

int depacketise_append(struct depacketiser *d, const void *bytes, size_t n)
{
    int err = grow(d, n);

    if (!err && n)
        memcpy(d->bytes + d->len, bytes, n);
    if (!err)
        d->len += n;
    return err;
}

void depacketise_emit(struct depacketiser *d, uint64_t last_seq)
{
    struct depacketised_frame f = {
        .data = d->bytes,
        .len = d->len,
        .ts_ticks = d->ts_ticks,
        .first_seq = d->first_seq,
        .last_seq = last_seq,
        .keyframe = d->key,
        .after_loss = d->after_loss,
    };

    d->after_loss = false;
    d->cfg.on_frame(d->cfg.arg, &f);
    clear_frame(d);
}

static int lose_frame(struct depacketiser *d, int why)
{
    d->state = DEPACKETISE_SKIPPING;
    d->after_loss = true;
    return why;
}

/* The frame has had its last packet. One with a unit still open is damaged. */
static int finish_frame(struct depacketiser *d, uint64_t last_seq)
{
    const struct depacketise_format *format = depacketise_format_of(d->cfg.codec);

    if (d->state != DEPACKETISE_BUILDING)
        return DEPACKETISE_OK;
    d->state = DEPACKETISE_IDLE;
    if (d->unit_open || d->expected > 0) {
        d->after_loss = true;
        return DEPACKETISE_DAMAGED;
    }
    if (format->is_key)
        d->key = format->is_key(d->bytes, d->len);
    if (d->len > 0) /* else nothing in it was for us: an AV1 temporal delimiter */
        depacketise_emit(d, last_seq);
    return DEPACKETISE_OK;
}

/* Account for the packet's place in the sequence. */
static int note_sequence(struct depacketiser *d, uint64_t seq)
{
    bool gap = d->seen && seq != d->last_seq + 1;

    d->seen = true;
    d->last_seq = seq;
    if (!gap)
        return DEPACKETISE_OK;
    d->border_known = false;
    return lose_frame(d, DEPACKETISE_LOST);
}

static void begin_frame(struct depacketiser *d, const struct depacketise_packet *p, bool certain)
{
    clear_frame(d);
    d->ts_ticks = p->ts_ticks;
    d->first_seq = p->seq;
    d->state = DEPACKETISE_BUILDING;
    if (!d->border_known && !certain)
        lose_frame(d, DEPACKETISE_LOST);
}

static int take_payload(struct depacketiser *d, const struct depacketise_format *format,
                        const struct depacketise_packet *p)
{
    int err = format->add(d, p);

    if (err)
        return lose_frame(d, err);
    if (format->whole_packets && d->len == 0)
        d->state = DEPACKETISE_IDLE; /* emitted */
    else if (p->marker)
        return finish_frame(d, p->seq);
    return DEPACKETISE_OK;
}

int depacketise_push(struct depacketiser *d, const struct depacketise_packet *p)
{
    const struct depacketise_format *format = depacketise_format_of(d->cfg.codec);
    uint64_t seq_before = d->last_seq;

    if (d->seen && p->seq <= d->last_seq)
        return DEPACKETISE_OLD;
    int result = note_sequence(d, p->seq), err = DEPACKETISE_OK;
    if (p->len == 0)
        return result;
    bool new_ts = d->state != DEPACKETISE_IDLE && p->ts_ticks != d->ts_ticks;
    if (new_ts)
        err = finish_frame(d, seq_before); /* its marker was not set, or it is lost */
    bool in_doubt = !d->border_known || d->state == DEPACKETISE_SKIPPING;
    bool certain = in_doubt && format->begins(p->payload, p->len);
    if (d->state == DEPACKETISE_IDLE || new_ts || certain)
        begin_frame(d, p, certain);
    if (d->state == DEPACKETISE_BUILDING) {
        int add_err = take_payload(d, format, p);
        err = add_err ? add_err : err;
    }
    if (d->state == DEPACKETISE_SKIPPING && p->marker)
        d->state = DEPACKETISE_IDLE;
    d->border_known = true;
    return result ? result : err;
}
