/* SPDX-License-Identifier: Apache-2.0
 * rtx.c - reading the retransmission payload format; see rtx.h. */
#include "webrtc/rtx.h"

int rtx_unwrap(struct rtp_view *v, uint32_t ssrc, uint8_t pt)
{
    if (v->payload_len <= RTX_OSN_BYTES) /* an original without payload was padding: nothing to repeat */
        return -1;
    v->seq = (uint16_t)(v->payload[0] << 8 | v->payload[1]);
    v->payload += RTX_OSN_BYTES;
    v->payload_len -= RTX_OSN_BYTES;
    v->ssrc = ssrc;
    v->pt = pt;
    return 0;
}
