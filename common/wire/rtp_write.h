/* SPDX-License-Identifier: Apache-2.0
 * rtp_write.h - the RTP header (RFC 3550 s5.1) as bytes; the counterpart of rtp_view.h.
 *
 * Pure; any thread. The caller puts the payload right after the header. */
#pragma once

#include "wire/rtp_view.h"

struct rtp_header {
    const uint8_t *ext;   /* extension block (rtp_ext_writer_finish()), or NULL */
    size_t ext_len;       /* bytes, multiple of 4; 0 writes X=0 */
    uint32_t ts_ticks;
    uint32_t ssrc;
    uint16_t seq;
    uint16_t ext_profile; /* RTP_EXT_PROFILE_ONE_BYTE or _TWO_BYTE when ext_len > 0 */
    uint8_t pt;           /* 0..127 */
    bool marker;
};

/* Write the header into dst[0..cap). Returns its length in bytes, RTP_ERR_ROOM when it does not
 * fit, RTP_ERR_VALUE for pt > 127 or an ext_len that is no multiple of 4. */
MUST_USE int rtp_header_write(uint8_t *dst, size_t cap, const struct rtp_header *h);
