/* SPDX-License-Identifier: Apache-2.0
 * offer.h - the SDP offers of WHEP viewers and WHIP publishers: what a browser would offer, in its form.
 *
 * Pure; any thread. Source: RFC 8829, RFC 9725, RFC 8843. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"

#include <stdbool.h>
#include <stddef.h>

struct offer {
    const char *ufrag, *pwd, *fingerprint;
    const struct addr *candidate; /* ours; NULL: none */
    bool publish;       /* sendonly, H.264 and Opus only; else recvonly, all codecs */
    bool audio, video;
    bool rtx, transport_cc;
    uint32_t audio_ssrc, video_ssrc, rtx_ssrc; /* publishers */
};

enum { OFFER_BYTES_MAX = 8192, OFFER_PT_OPUS = 111, OFFER_PT_H264 = 102, OFFER_PT_H264_RTX = 103 };

/* Bytes, or -1 when it does not fit. */
MUST_USE int offer_write(char *dst, size_t cap, const struct offer *o);
