/* SPDX-License-Identifier: Apache-2.0
 * depacketise.h - RTP payloads in order into coded frames; the counterpart of packetise.h, and
 * tolerant of what browsers and encoders send.
 *
 * Rule: a frame that comes out is whole. A gap in the sequence discards the frame it touches, and with it
 * a following frame whose beginning cannot be told for certain from its payload.
 *
 * Thread: any, one at a time. Ownership: the depacketiser owns its frame buffer, which grows to the
 * largest frame seen (up to max_frame_bytes) and stays so; a frame given to on_frame is borrowed for the
 * call. Source: as packetise.h. */
#pragma once

#include "codec/codec.h"

struct depacketised_frame {
    const uint8_t *data; /* canonical form, codec.h */
    size_t len;
    uint64_t ts_ticks;  /* as given with its packets */
    uint64_t first_seq, last_seq;
    bool keyframe;
    bool after_loss; /* at least one frame before this one was lost or left out */
};

struct depacketiser_cfg {
    enum codec codec;
    size_t max_frame_bytes; /* 0 = 4 MiB */
    /* AAC without AU-headers options other than AAC-hbr's is not carried: sizelength 13, indexlength 3 */
    void (*on_frame)(void *arg, const struct depacketised_frame *f); /* must not push into the depacketiser */
    void *arg;
};

struct depacketise_packet {
    const uint8_t *payload;
    size_t len; /* 0: a packet of padding, which only closes the gap */
    uint64_t ts_ticks;
    uint64_t seq; /* extended; must grow */
    bool marker;
};

enum depacketise_result {
    DEPACKETISE_OK = 0,
    DEPACKETISE_LOST = -1,    /* a gap before this packet; at least one frame is lost */
    DEPACKETISE_DAMAGED = -2, /* the payload breaks its format's rules: its frame is lost */
    DEPACKETISE_TOO_BIG = -3, /* the frame passes max_frame_bytes: it is lost */
    DEPACKETISE_MEMORY = -4,  /* no memory for the buffer: the frame is lost */
    DEPACKETISE_OLD = -5,     /* seq not after the last one: ignored */
};

struct depacketiser;

/* 0 or CODEC_ERR_MEMORY, CODEC_ERR_SUPPORT; *out is NULL then. */
MUST_USE int depacketiser_create(struct depacketiser **out, const struct depacketiser_cfg *cfg);
void depacketiser_destroy(struct depacketiser **d);

/* Give the next packet. on_frame is called for each frame it completes: none, one, or two (a new timestamp
 * ends a frame whose marker was not set). Returns an enum depacketise_result; whatever it is,
 * the next packet may be pushed. */
int depacketise_push(struct depacketiser *d, const struct depacketise_packet *p);

/* Forget the frame being built; the next packet may have any seq (a new epoch). */
void depacketiser_reset(struct depacketiser *d);
