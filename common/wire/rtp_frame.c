/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/rtp_frame.h"

/* Until there are n bytes; false when r ends before. */
static bool gather(struct rtp_deframer *d, struct reader *r, size_t n)
{
    size_t missing = d->have < n ? n - d->have : 0;
    size_t take = missing < reader_left(r) ? missing : reader_left(r);

    if (take > 0)
        memcpy(d->bytes + d->have, reader_take(r, take), take);
    d->have += take;
    return take == missing;
}

static size_t packet_len(const struct rtp_deframer *d)
{
    struct reader header = reader_init(d->bytes, RTP_FRAME_HEADER_BYTES);

    return reader_u16(&header);
}

static bool is_whole(const struct rtp_deframer *d)
{
    return d->have >= RTP_FRAME_HEADER_BYTES && d->have == RTP_FRAME_HEADER_BYTES + packet_len(d);
}

int rtp_deframer_push(struct rtp_deframer *d, struct reader *r)
{
    do {
        if (is_whole(d))
            d->have = 0;
        if (!gather(d, r, RTP_FRAME_HEADER_BYTES))
            return RTP_FRAME_MORE;
        if (packet_len(d) > RTP_FRAME_MAX)
            return RTP_FRAME_ERR_LONG;
        if (!gather(d, r, RTP_FRAME_HEADER_BYTES + packet_len(d)))
            return RTP_FRAME_MORE;
    } while (packet_len(d) == 0);
    return RTP_FRAME_READY;
}

uint8_t *rtp_deframer_packet(struct rtp_deframer *d, size_t *len)
{
    *len = packet_len(d);
    return d->bytes + RTP_FRAME_HEADER_BYTES;
}
