/* SPDX-License-Identifier: Apache-2.0
 * fuzz_inspect.c - one payload as each of the codecs; offsets that come out must lie inside it. */
#include <stdlib.h>

#include "codec/inspect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct payload_marks m;

    for (enum codec c = CODEC_NONE; c <= CODEC_COUNT; c++) {
        if (codec_inspect(c, data, size, &m))
            continue;
        if (m.header_bytes >= size || m.picture_id_at >= size || m.tl0picidx_at >= size ||
            m.keyidx_at >= size)
            abort();
    }
    return 0;
}
