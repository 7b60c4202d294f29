/* SPDX-License-Identifier: Apache-2.0
 * RFC 4571 frames: whatever the bytes are, cutting them elsewhere gives the same packets. */
#include "wire/rtp_frame.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A sum over all packets and their lengths, and the last state. */
static uint64_t push_all(const uint8_t *data, size_t size, size_t step, int *state)
{
    static struct rtp_deframer d;
    uint64_t sum = 0;

    rtp_deframer_init(&d);
    *state = RTP_FRAME_MORE;
    for (size_t at = 0; at < size && *state != RTP_FRAME_ERR_LONG; at += step) {
        struct reader r = reader_init(data + at, size - at < step ? size - at : step);

        while ((*state = rtp_deframer_push(&d, &r)) == RTP_FRAME_READY) {
            size_t len;
            const uint8_t *packet = rtp_deframer_packet(&d, &len);

            if (len == 0 || len > RTP_FRAME_MAX)
                abort();
            sum = sum * 31 + len;
            for (size_t i = 0; i < len; i++)
                sum = sum * 31 + packet[i];
        }
    }
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int whole, cut;

    if (size == 0)
        return 0;
    size_t step = 1 + data[0] % 64u;
    if (push_all(data, size, size, &whole) != push_all(data, size, step, &cut) || whole != cut)
        abort();
    return 0;
}
