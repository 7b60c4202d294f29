/* SPDX-License-Identifier: Apache-2.0
 * depacketise_priv.h - the depacketiser's state, and the formats that add payloads to a frame. */
#pragma once

#include "codec/depacketise.h"

enum depacketise_state {
    DEPACKETISE_IDLE,     /* between frames */
    DEPACKETISE_BUILDING, /* packets of one timestamp are being put together */
    DEPACKETISE_SKIPPING, /* this timestamp's frame is lost */
};

struct depacketiser {
    struct depacketiser_cfg cfg;
    enum depacketise_state state;
    /* the frame being built */
    uint8_t *bytes;
    size_t len, cap;
    uint64_t ts_ticks, first_seq;
    size_t unit_at;  /* offset of the open unit (NAL length prefix, OBU) in bytes; see unit_open */
    size_t expected; /* AAC: bytes of the access unit that is sent in fragments */
    bool unit_open;  /* a NAL unit or OBU continues in the next packet */
    bool key;
    /* the sequence */
    uint64_t last_seq;
    bool seen;         /* last_seq is valid */
    bool border_known; /* the packet before the next one is known: a new timestamp begins a frame */
    bool after_loss;
};

/* Append n bytes to the frame. 0, DEPACKETISE_TOO_BIG or DEPACKETISE_MEMORY. */
MUST_USE int depacketise_append(struct depacketiser *d, const void *bytes, size_t n);

/* Give the frame built so far to on_frame, and begin the next one empty. */
void depacketise_emit(struct depacketiser *d, uint64_t last_seq);

struct depacketise_format {
    /* The payload for certain begins a frame, whatever may have been lost before it. */
    bool (*begins)(const uint8_t *payload, size_t len);
    /* Add the payload to d's frame, which has d->len bytes so far. 0 or a depacketise_result. */
    int (*add)(struct depacketiser *d, const struct depacketise_packet *p);
    /* Is the finished frame a keyframe? NULL: add() sets d->key. */
    bool (*is_key)(const uint8_t *frame, size_t len);
    bool whole_packets; /* audio: add() has emitted what was complete; the marker means nothing */
};

/* Never NULL for the codecs of codec.h. */
const struct depacketise_format *depacketise_format_of(enum codec codec);
