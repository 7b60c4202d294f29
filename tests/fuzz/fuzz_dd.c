/* SPDX-License-Identifier: Apache-2.0
 * fuzz_dd.c - dependency descriptors: two from one input, the second on the structure of the first. */
#include <stdlib.h>

#include "codec/dd.h"

static void check(struct dd_structure *s, const uint8_t *data, size_t size)
{
    struct dd_frame f;

    if (dd_parse(&f, s, data, size))
        return;
    if (!s->valid || s->template_count > DD_TEMPLATES_MAX || s->target_count > DD_TARGETS_MAX ||
        f.frame.fdiff_count > DD_FDIFFS_MAX || s->chain_count > s->target_count || f.frame.spatial_id > 3)
        abort();
    for (unsigned i = 0; i < s->target_count && s->chain_count > 0; i++)
        if (s->target_chain[i] >= s->chain_count)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct dd_structure s = {0};
    size_t first = size > 0 ? data[0] % size : 0;

    if (size == 0)
        return 0;
    check(&s, data + 1, first);
    check(&s, data + 1 + first, size - 1 - first);
    return 0;
}
