/* SPDX-License-Identifier: Apache-2.0
 * dd.h - the AV1 dependency descriptor RTP header extension (AV1 RTP specification, appendix A).
 *
 * Pure; any thread. Ownership: the caller keeps the template structure of each RTP stream, which a
 * descriptor on a keyframe brings and later ones refer to. */
#pragma once

#include "codec/codec.h"

enum {
    DD_TEMPLATES_MAX = 64, /* template ids are 6 bits */
    DD_TARGETS_MAX = 32,   /* 5 bits + 1 */
    DD_CHAINS_MAX = 32,    /* no more than targets */
    DD_FDIFFS_MAX = 8,     /* references one frame may have; AV1 has 8 slots */
    DD_RESOLUTIONS_MAX = 4, /* spatial ids 0..3 */
    DD_RESTRICT_MORE = 5,  /* bytes that dd_restrict adds at most: flags, and a bit a target */
};

enum dd_dti { DD_NOT_PRESENT = 0, DD_DISCARDABLE = 1, DD_SWITCH = 2, DD_REQUIRED = 3 };

struct dd_template {
    uint8_t spatial_id, temporal_id;
    uint8_t fdiff_count;
    uint16_t fdiffs[DD_FDIFFS_MAX]; /* frame_number differences, 1..4096 */
    uint8_t dti[DD_TARGETS_MAX];   /* enum dd_dti for each decode target */
    uint8_t chain_fdiffs[DD_CHAINS_MAX]; /* to the chain's frame before; 0 = none is needed */
};

struct dd_structure {
    bool valid;
    uint8_t template_id_offset;
    uint8_t template_count, target_count, chain_count, resolution_count;
    uint8_t target_chain[DD_TARGETS_MAX]; /* which chain protects the target */
    uint8_t target_spatial[DD_TARGETS_MAX], target_temporal[DD_TARGETS_MAX]; /* derived: highest in use */
    struct dd_template templates[DD_TEMPLATES_MAX];
    uint16_t widths[DD_RESOLUTIONS_MAX], heights[DD_RESOLUTIONS_MAX];
};

struct dd_frame {
    uint16_t frame_number;
    bool start_of_frame, end_of_frame;
    bool has_structure; /* this descriptor brought a new structure: a keyframe */
    bool has_active_targets; /* this descriptor says which targets the sender still sends */
    uint32_t active_targets; /* bit mask; only with has_active_targets */
    uint8_t template_id;
    uint16_t width, height;   /* largest of the frame's spatial layer; 0 = not told */
    struct dd_template frame; /* the template with the frame's own overrides */
};

/* Parse one descriptor. *structure is read, and replaced when the descriptor brings a new one. Returns
 * CODEC_OK, CODEC_ERR_SHORT, CODEC_ERR_SYNTAX, or CODEC_ERR_SUPPORT while no structure has been
 * seen (wait for a keyframe). On an error *out and *structure are untouched. */
MUST_USE int dd_parse(struct dd_frame *out, struct dd_structure *structure, const uint8_t *data, size_t len);

/* What of a structure is needed to say which layers go on: the layers of each target. */
struct dd_targets {
    uint8_t count; /* 0: not known */
    uint8_t layers[DD_TARGETS_MAX]; /* spatial << 4 | temporal */
};

/* True, and *out filled, when the descriptor brings a structure. */
bool dd_targets_learn(struct dd_targets *out, const uint8_t *data, size_t len);
/* The targets that need no layer above these. */
uint32_t dd_targets_mask(const struct dd_targets *t, unsigned spatial, unsigned temporal);
/* The descriptor saying that of its active targets only those of mask still come (A.8.3.3). targets: of the structure in force,
 * its own if it brings one. Returns the length; 0 when it is damaged or does not fit. */
size_t dd_restrict(uint8_t *dst, size_t cap, const struct dd_targets *targets, uint32_t mask, const uint8_t *data, size_t len);
