/* SPDX-License-Identifier: Apache-2.0 */
#include "wire/red.h"

#include "base/reader.h"

#include <string.h>

/* s3: F, block PT(7), timestamp offset(14), block length(10); the last header is F=0 and the PT alone. */
int red_parse(struct red_block out[RED_BLOCKS_MAX], const uint8_t *payload, size_t len)
{
    struct reader r = reader_init(payload, len);
    int n = 0;

    for (;;) {
        uint8_t first = reader_u8(&r);

        if (r.bad || n == RED_BLOCKS_MAX)
            return RED_ERR;
        out[n] = (struct red_block){.pt = first & 0x7f};
        if (!(first & 0x80))
            break;
        uint32_t rest = reader_u24(&r);
        out[n].ts_before = (uint16_t)(rest >> 10);
        out[n++].len = rest & 0x3ff;
    }
    for (int i = 0; i < n; i++)
        out[i].data = reader_take(&r, out[i].len);
    out[n].len = reader_left(&r);
    out[n].data = r.p;
    return r.bad ? RED_ERR : n + 1;
}

size_t red_write_front(uint8_t dst[RED_HEADERS_BYTES + RED_LEN_MAX], const struct red_block *before, uint8_t pt)
{
    size_t n = 0;

    if (before) {
        uint32_t rest = (uint32_t)before->ts_before << 10 | (uint32_t)before->len;
        dst[n++] = 0x80 | before->pt;
        dst[n++] = (uint8_t)(rest >> 16);
        dst[n++] = (uint8_t)(rest >> 8);
        dst[n++] = (uint8_t)rest;
    }
    dst[n++] = pt;
    if (!before)
        return n;
    memcpy(dst + n, before->data, before->len);
    return n + before->len;
}
