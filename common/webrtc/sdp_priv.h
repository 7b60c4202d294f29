/* SPDX-License-Identifier: Apache-2.0
 * sdp_priv.h - what sdp_parse.c (the session) and sdp_media.c (a section) share: words of a line.
 *
 * Pure; any thread. Words are views into gstsdp's strings and die with the message. */
#pragma once

#include "webrtc/sdp.h"

#include <gst/sdp/gstsdpmessage.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct word {
    const char *p; /* not terminated */
    size_t len;
};

/* The next word up to one of the separators (which are skipped); len 0 at the end. */
struct word sdp_word(const char **at, const char *separators);
bool sdp_word_is(struct word w, const char *text); /* case-insensitive */
/* Decimal, 0 .. max. */
bool sdp_word_number(struct word w, uint64_t max, uint64_t *out);
/* False when it does not fit cap bytes with its NUL. */
bool sdp_word_copy(char *dst, size_t cap, struct word w);

/* Never NULL. */
static inline const char *sdp_value(const GstSDPAttribute *a)
{
    return a->value ? a->value : "";
}

/* What may stand in the session or in a section. */
struct sdp_shared {
    const char *ufrag, *pwd;
    struct fingerprint fingerprint;
    enum sdp_setup setup;
    bool extmap_allow_mixed;
    enum sdp_direction direction;
};

/* Where candidates go, of an offer or a fragment. */
struct sdp_candidates {
    struct addr *v; /* SDP_CANDIDATES_MAX */
    size_t *n, *n_ignored;
    bool *end;
};

/* One attribute; SDP_OK also when it is none of these. */
MUST_USE int sdp_shared_attribute(struct sdp_shared *s, const GstSDPAttribute *a);
MUST_USE int sdp_candidate_attribute(const struct sdp_candidates *c, const GstSDPAttribute *a);

/* One m-section. shared comes with the session's values and leaves with the section's own in their place. */
MUST_USE int sdp_media_parse(struct sdp_media *out, const GstSDPMedia *media, struct sdp_shared *shared);
