/* SPDX-License-Identifier: Apache-2.0
 * nal.h - walking NAL units, as H.264 and H.265 store them: Annex B start codes or length prefixes.
 *
 * Pure; any thread. Ownership: a nal borrows the bytes.
 * Source: H.264 Annex B, ISO/IEC 14496-15 s5.3. */
#pragma once

#include "base/reader.h"
#include "base/writer.h"
#include "codec/codec.h"

struct nal {
    const uint8_t *p; /* begins with the NAL header */
    size_t len;       /* > 0 */
};

/* Next NAL unit between start codes; trailing zero bytes are not part of it. false at the end. */
bool nal_next_annexb(struct reader *r, struct nal *out);

/* Next NAL unit after a length of length_bytes (1, 2 or 4). Empty ones are skipped. false at the end or
 * at a length that passes it: then r->bad. */
bool nal_next_prefixed(struct reader *r, uint8_t length_bytes, struct nal *out);

/* Append the NAL with a 4-byte length. */
void nal_write_prefixed(struct writer *w, struct nal n);

/* Append the NAL with a 4-byte start code. */
void nal_write_annexb(struct writer *w, struct nal n);

/* Convert a frame to canonical 4-byte lengths. Returns the bytes written, CODEC_ERR_ROOM or
 * CODEC_ERR_SHORT. From Annex B it may grow by one byte a NAL (3-byte start codes); from
 * shorter prefixes by up to three. */
MUST_USE int nal_canonical_from_annexb(uint8_t *dst, size_t cap, const uint8_t *src, size_t len);
MUST_USE int nal_canonical_from_prefixed(uint8_t *dst, size_t cap, const uint8_t *src, size_t len,
                                         uint8_t length_bytes);
