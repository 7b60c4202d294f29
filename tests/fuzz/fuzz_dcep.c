/* SPDX-License-Identifier: Apache-2.0
 * What opens data channels, and the headers of messages inside the cluster: what parses must come out the same when it is
 * written and parsed again. */
#include "webrtc/data_message.h"
#include "webrtc/dcep.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static bool same_channel(const struct dcep_open *a, const struct dcep_open *b)
{
    return a->unordered == b->unordered && a->reliability == b->reliability && a->limit == b->limit &&
           same(a->label, a->label_len, b->label, b->label_len) &&
           same(a->protocol, a->protocol_len, b->protocol, b->protocol_len);
}

static void look_at_open(const uint8_t *data, size_t size)
{
    struct dcep_message m, again;
    uint8_t bytes[DCEP_OPEN_MAX];

    if (dcep_parse(&m, data, size) != DCEP_OK || m.ack)
        return;
    size_t len = dcep_write_open(bytes, &m.open);
    if (len > size || dcep_parse(&again, bytes, len) != DCEP_OK || again.ack || !same_channel(&m.open, &again.open))
        abort();
}

static void look_at_header(const uint8_t *data, size_t size)
{
    struct data_header h, again;
    uint8_t bytes[DATA_HEADER_MAX];
    size_t at, again_at;

    if (data_header_parse(&h, &at, data, size) != DATA_OK)
        return;
    if (at > size || data_header_write(bytes, &h) != at || data_header_parse(&again, &again_at, bytes, at) != DATA_OK ||
        again_at != at || again.kind != h.kind || again.negotiated != h.negotiated || again.channel != h.channel ||
        again.len != h.len || !same_channel(&h.open, &again.open))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    look_at_open(data, size);
    look_at_header(data, size);
    return 0;
}
