/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/data_message.h"

#include "base/reader.h"
#include "base/writer.h"

#include <assert.h>

enum { VERSION = 1, KIND_BITS = 0x03, NEGOTIATED = 0x04, UNORDERED = 0x80 };

size_t data_header_write(uint8_t dst[DATA_HEADER_MAX], const struct data_header *h)
{
    struct writer w = writer_init(dst, DATA_HEADER_MAX);

    assert(h->len <= DATA_MESSAGE_MAX && h->open.label_len <= DCEP_NAME_MAX && h->open.protocol_len <= DCEP_NAME_MAX);
    writer_u8(&w, (uint8_t)(VERSION << 4 | h->kind | (h->negotiated ? NEGOTIATED : 0)));
    writer_u8(&w, (uint8_t)(h->open.reliability | (h->open.unordered ? UNORDERED : 0)));
    writer_u16(&w, h->channel);
    writer_u32(&w, h->open.limit);
    writer_u32(&w, h->len);
    writer_u8(&w, (uint8_t)h->open.label_len);
    writer_bytes(&w, h->open.label, h->open.label_len);
    writer_u8(&w, (uint8_t)h->open.protocol_len);
    writer_bytes(&w, h->open.protocol, h->open.protocol_len);
    assert(!w.bad);
    return writer_len(&w);
}

int data_header_parse(struct data_header *out, size_t *header_len, const uint8_t *payload, size_t len)
{
    struct reader r = reader_init(payload, len);
    struct data_header h = {0};
    uint8_t head = reader_u8(&r), type = reader_u8(&r);

    h.channel = reader_u16(&r);
    h.open.limit = reader_u32(&r);
    h.len = reader_u32(&r);
    h.open.label_len = reader_u8(&r);
    h.open.label = reader_take(&r, h.open.label_len);
    h.open.protocol_len = reader_u8(&r);
    h.open.protocol = reader_take(&r, h.open.protocol_len);
    if (r.bad)
        return DATA_ERR_SHORT;
    if (head >> 4 != VERSION || (head & KIND_BITS) >= DATA_KINDS || (type & ~UNORDERED) > DCEP_LIFETIME ||
        h.len > DATA_MESSAGE_MAX || h.open.label_len > DCEP_NAME_MAX || h.open.protocol_len > DCEP_NAME_MAX)
        return DATA_ERR_VALUE;
    h.kind = (enum data_kind)(head & KIND_BITS);
    h.negotiated = head & NEGOTIATED;
    h.open.unordered = type & UNORDERED;
    h.open.reliability = (enum dcep_reliability)(type & ~UNORDERED);
    *out = h;
    *header_len = len - reader_left(&r);
    return DATA_OK;
}
