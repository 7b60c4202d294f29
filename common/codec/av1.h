/* SPDX-License-Identifier: Apache-2.0
 * av1.h - AV1 OBUs, sequence header, and the av1C record.
 *
 * Pure; any thread. Ownership: an obu borrows the bytes.
 * Source: AV1 bitstream specification s5.3, s5.5; AV1 Codec ISO Media File Format Binding s2.3. */
#pragma once

#include "base/reader.h"
#include "base/writer.h"
#include "codec/codec.h"

enum av1_obu_type {
    AV1_OBU_SEQUENCE_HEADER = 1,
    AV1_OBU_TEMPORAL_DELIMITER = 2,
    AV1_OBU_FRAME_HEADER = 3,
    AV1_OBU_TILE_GROUP = 4,
    AV1_OBU_METADATA = 5,
    AV1_OBU_FRAME = 6,
    AV1_OBU_REDUNDANT_FRAME_HEADER = 7,
    AV1_OBU_TILE_LIST = 8,
    AV1_OBU_PADDING = 15,
};

struct av1_obu {
    const uint8_t *payload; /* after header and size */
    size_t payload_len;
    uint8_t type;
    uint8_t header[2]; /* header byte and extension byte, as they are */
    uint8_t header_len; /* 1 or 2 */
    uint8_t temporal_id, spatial_id;
};

/* leb128 of at most 8 bytes (s4.10.5); a value above 32 bits sets r->bad. */
uint32_t av1_leb128_read(struct reader *r);
void av1_leb128_write(struct writer *w, uint32_t v);
size_t av1_leb128_bytes(uint32_t v);

/* Next OBU of a low-overhead bitstream; one without a size field takes all that is left. 1, 0 at the
 * end, or CODEC_ERR_SHORT, CODEC_ERR_SYNTAX. */
MUST_USE int av1_obu_next(struct reader *r, struct av1_obu *out);

/* Append the OBU with a size field. */
void av1_obu_write(struct writer *w, const struct av1_obu *o);

struct av1_sequence {
    uint32_t width, height; /* max_frame_width, max_frame_height */
    uint8_t profile, level, tier; /* of operating point 0 */
    bool reduced_still_picture;
    uint8_t bit_depth;
    bool monochrome, subsampling_x, subsampling_y;
    uint8_t chroma_position;
};

/* Parse the payload of a sequence header OBU. */
MUST_USE int av1_sequence_parse(struct av1_sequence *out, const uint8_t *payload, size_t len);

/* av1C: the four fixed bytes and the sequence header OBU of a temporal unit (canonical). Returns bytes,
 * CODEC_ERR_ROOM, or CODEC_ERR_SYNTAX when there is no sequence header in the unit. */
MUST_USE int av1c_write(uint8_t *dst, size_t cap, const uint8_t *unit, size_t unit_len);

struct av1c {
    const uint8_t *obus; /* canonical, usually one sequence header */
    size_t obus_len;
    uint8_t profile, level, tier;
};

MUST_USE int av1c_parse(struct av1c *out, const uint8_t *bytes, size_t len);

/* Does the canonical temporal unit have a sequence header (a random access point)? */
bool av1_unit_is_key(const uint8_t *unit, size_t len);
