/* SPDX-License-Identifier: Apache-2.0
 * rtcp_priv.h - what the files of rtcp.h share: the common header. */
#pragma once

#include "wire/rtcp.h"

enum { RTCP_HEADER_BYTES = 4, RTCP_FEEDBACK_BYTES = 12 /* header and the two SSRCs */ };

/* The header of a packet of body_bytes (a multiple of 4) after it. */
static inline void rtcp_header_write(struct writer *w, uint8_t type, uint8_t count, size_t body_bytes)
{
    writer_u8(w, (uint8_t)(0x80 | (count & 0x1f)));
    writer_u8(w, type);
    writer_u16(w, (uint16_t)(body_bytes / 4)); /* "length in 32-bit words minus one": the header's own */
}

static inline size_t rtcp_room(const struct writer *w)
{
    return w->bad ? 0 : (size_t)(w->end - w->p);
}
