/* SPDX-License-Identifier: Apache-2.0
 * packetise_priv.h - what the packetisers of the codecs share. */
#pragma once

#include "base/writer.h"
#include "codec/packetise.h"

/* Size of the fragments of n bytes with at most max each: all equal but the last, which is shorter. */
static inline size_t fragment_bytes(size_t n, size_t max)
{
    size_t count = (n + max - 1) / max;

    return count ? (n + count - 1) / count : 0;
}

/* Each codec: begin checks and prepares p->frame; next writes one payload and sets p->done behind the
 * last one. A frame with nothing to send is done at begin. */
int packetise_nal_begin(struct packetiser *p);
void packetise_nal_next(struct packetiser *p, struct writer *w);
int packetise_vpx_begin(struct packetiser *p);
void packetise_vpx_next(struct packetiser *p, struct writer *w);
int packetise_av1_begin(struct packetiser *p);
void packetise_av1_next(struct packetiser *p, struct writer *w);
int packetise_audio_begin(struct packetiser *p);
void packetise_audio_next(struct packetiser *p, struct writer *w);
