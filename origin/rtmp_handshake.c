/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_handshake.h"

/* How many bytes of the present part are at hand, at most. */
static size_t take_up_to(const struct rtmp_handshake *h, const struct reader *in, size_t part_bytes)
{
    size_t n = part_bytes - h->got;

    return n < reader_left(in) ? n : reader_left(in);
}

int rtmp_handshake_read(struct rtmp_handshake *h, struct reader *in)
{
    if (h->state == RTMP_HANDSHAKE_C0C1) {
        size_t n = take_up_to(h, in, sizeof(h->c0c1));
        if (n > 0)
            memcpy(h->c0c1 + h->got, reader_take(in, n), n);
        h->got += n;
        if (h->got > 0 && h->c0c1[0] != RTMP_VERSION)
            return RTMP_HANDSHAKE_ERR_VERSION;
        if (h->got < sizeof(h->c0c1))
            return RTMP_HANDSHAKE_MORE;
        h->state = RTMP_HANDSHAKE_C2;
        h->got = 0;
        return RTMP_HANDSHAKE_REPLY;
    }
    if (h->state == RTMP_HANDSHAKE_C2) {
        size_t n = take_up_to(h, in, RTMP_HANDSHAKE_PART_BYTES);
        reader_take(in, n);
        h->got += n;
        if (h->got < RTMP_HANDSHAKE_PART_BYTES)
            return RTMP_HANDSHAKE_MORE;
        h->state = RTMP_HANDSHAKE_DONE;
    }
    return RTMP_HANDSHAKE_FINISHED;
}

void rtmp_handshake_write(const struct rtmp_handshake *h, const uint8_t *random,
                          uint8_t out[RTMP_HANDSHAKE_REPLY_BYTES])
{
    uint8_t *s1 = out + 1, *s2 = s1 + RTMP_HANDSHAKE_PART_BYTES;

    out[0] = RTMP_VERSION;
    memset(s1, 0, 8); /* s5.2.3: our time, which begins at 0, and four zero bytes */
    memcpy(s1 + 8, random, RTMP_HANDSHAKE_PART_BYTES - 8);
    memcpy(s2, h->c0c1 + 1, RTMP_HANDSHAKE_PART_BYTES); /* s5.2.4: the echo of C1 */
}
