/* SPDX-License-Identifier: Apache-2.0
 * Data channel messages: what parses must come out the same when it is written and parsed again. */
#include "webrtc/dcep.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
    return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dcep_message m, again;
    uint8_t bytes[DCEP_OPEN_MAX];

    if (dcep_parse(&m, data, size) != DCEP_OK || m.ack)
        return 0;
    size_t len = dcep_write_open(bytes, &m.open);
    if (len > size || dcep_parse(&again, bytes, len) != DCEP_OK || again.ack)
        abort();
    if (m.open.unordered != again.open.unordered || m.open.reliability != again.open.reliability ||
        m.open.limit != again.open.limit ||
        !same(m.open.label, m.open.label_len, again.open.label, again.open.label_len) ||
        !same(m.open.protocol, m.open.protocol_len, again.open.protocol, again.open.protocol_len))
        abort();
    return 0;
}
