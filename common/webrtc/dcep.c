/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/dcep.h"

#include "base/reader.h"
#include "base/writer.h"

#include <assert.h>

enum { TYPE_ACK = 2, TYPE_OPEN = 3, UNORDERED = 0x80 };

static int parse_open(struct dcep_open *out, struct reader *r)
{
    uint8_t channel_type = reader_u8(r);

    reader_u16(r); /* priority: all are alike to us */
    out->limit = reader_u32(r);
    out->label_len = reader_u16(r);
    out->protocol_len = reader_u16(r);
    out->label = reader_take(r, out->label_len);
    out->protocol = reader_take(r, out->protocol_len);
    if (r->bad)
        return DCEP_ERR_SHORT;
    if ((channel_type & ~UNORDERED) > DCEP_LIFETIME)
        return DCEP_ERR_TYPE;
    if (out->label_len > DCEP_NAME_MAX || out->protocol_len > DCEP_NAME_MAX)
        return DCEP_ERR_NAME;
    out->unordered = channel_type & UNORDERED;
    out->reliability = (enum dcep_reliability)(channel_type & ~UNORDERED);
    return DCEP_OK;
}

int dcep_parse(struct dcep_message *out, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    struct dcep_message m = {0};
    uint8_t type = reader_u8(&r);
    int err = r.bad ? DCEP_ERR_SHORT : DCEP_ERR_TYPE;

    if (type == TYPE_ACK) {
        m.ack = true;
        err = DCEP_OK;
    } else if (type == TYPE_OPEN) {
        err = parse_open(&m.open, &r);
    }
    if (err == DCEP_OK)
        *out = m;
    return err;
}

size_t dcep_write_open(uint8_t dst[DCEP_OPEN_MAX], const struct dcep_open *m)
{
    struct writer w = writer_init(dst, DCEP_OPEN_MAX);

    assert(m->label_len <= DCEP_NAME_MAX && m->protocol_len <= DCEP_NAME_MAX);
    writer_u8(&w, TYPE_OPEN);
    writer_u8(&w, (uint8_t)(m->reliability | (m->unordered ? UNORDERED : 0)));
    writer_u16(&w, 0);
    writer_u32(&w, m->limit);
    writer_u16(&w, (uint16_t)m->label_len);
    writer_u16(&w, (uint16_t)m->protocol_len);
    writer_bytes(&w, m->label, m->label_len);
    writer_bytes(&w, m->protocol, m->protocol_len);
    assert(!w.bad);
    return writer_len(&w);
}

void dcep_write_ack(uint8_t dst[DCEP_ACK_BYTES])
{
    dst[0] = TYPE_ACK;
}
