/* SPDX-License-Identifier: Apache-2.0
 * packetise.h - a coded frame into RTP payloads of equal size.
 *
 * A frame of n bytes with at most m a payload becomes ceil(n / m) payloads, all of one size but the
 * last, which may be shorter: that is the shape the kernel's UDP segmentation (GSO) takes as one message.
 *
 * Thread: any, one at a time. Ownership: the frame stays the caller's and must live until the last
 * packetise_next(); payloads are written into the caller's buffers. No allocation.
 * Source: RFC 6184 packetization-mode 1, RFC 7798, RFC 7741, RFC 9628 (non-flexible mode), AV1 RTP
 * specification s4, RFC 7587, RFC 3640 AAC-hbr.
 *
 *     packetise_begin(&p, &(struct packetise_frame){.data = f, .len = n, .keyframe = key});
 *     while ((len = packetise_next(&p, buf, sizeof buf, &last)) > 0)
 *         send(buf, len, last as the marker bit); */
#pragma once

#include "base/reader.h"
#include "codec/codec.h"

enum {
    PACKETISE_PAYLOAD_MIN_BYTES = 64, /* below, headers would be most of it */
    PACKETISE_PAYLOAD_DEFAULT_BYTES = 1160, /* 1200-byte datagrams less RTP header, extensions and SRTP tag */
};

struct packetiser_cfg {
    enum codec codec;
    size_t max_payload_bytes; /* 0 = PACKETISE_PAYLOAD_DEFAULT_BYTES */
    uint16_t first_picture_id; /* VP8, VP9: should be random */
};

struct packetise_frame {
    const uint8_t *data; /* canonical form, codec.h */
    size_t len;
    /* H.264, H.265: parameter sets in canonical form, sent before a keyframe that does not have
     * them inside; may be NULL. */
    const uint8_t *params;
    size_t params_len;
    bool keyframe;
    uint16_t width, height; /* VP9 keyframes: for the scalability structure; 0 = do not send it */
};

struct packetiser {
    enum codec codec;
    size_t max_bytes;
    uint16_t picture_id; /* of the next frame, 15 bits */
    /* the frame being cut */
    struct packetise_frame frame;
    struct reader rest;      /* of the frame, or of its NAL units or OBUs after the present unit */
    struct reader params;    /* of the parameter sets */
    const uint8_t *unit;     /* NAL unit or OBU being cut, NULL = between units */
    size_t unit_len, unit_at; /* bytes, and how many of them are sent */
    size_t piece_bytes;      /* size of this frame's (unit's) fragments, descriptor excluded */
    uint8_t unit_header[2], unit_header_len; /* AV1: OBU header without its size field */
    bool first; /* nothing of the frame is sent yet */
    bool done;
};

/* CODEC_OK, or CODEC_ERR_SUPPORT for CODEC_NONE or a max_payload_bytes below the minimum. */
MUST_USE int packetiser_init(struct packetiser *p, const struct packetiser_cfg *cfg);

/* Begin a frame; what is left of the one before is forgotten. CODEC_OK, or CODEC_ERR_SHORT /
 * CODEC_ERR_SYNTAX when the frame is not in canonical form: nothing will come out. */
MUST_USE int packetise_begin(struct packetiser *p, const struct packetise_frame *f);

/* Write the next payload. Returns its bytes, or 0 when the frame is at its end (a frame with nothing to
 * send gives 0 at once). cap must be at least max_payload_bytes. *last: this was the frame's last
 * payload; it is the marker bit for video and for AAC (Opus: see RFC 7587, the marker stays 0). */
size_t packetise_next(struct packetiser *p, uint8_t *dst, size_t cap, bool *last);
