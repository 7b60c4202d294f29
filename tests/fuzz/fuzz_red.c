/* SPDX-License-Identifier: Apache-2.0
 * RFC 2198: whatever the bytes are, the blocks lie within them, one behind the other. */
#include "wire/red.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct red_block blocks[RED_BLOCKS_MAX];
    const uint8_t *at = data;
    int n = red_parse(blocks, data, size);

    for (int i = 0; i < n; i++) {
        if (blocks[i].data < at || blocks[i].data + blocks[i].len > data + size)
            abort();
        at = blocks[i].data + blocks[i].len;
    }
    if (n > 0 && at != data + size)
        abort();
    return 0;
}
