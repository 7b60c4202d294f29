/* SPDX-License-Identifier: Apache-2.0
 * red.h - redundant audio: a packet that carries those before it, too.
 *
 * Pure; any thread. Ownership: blocks borrow the payload.
 * Source: RFC 2198 s3. */
#pragma once

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

enum {
    RED_BLOCKS_MAX = 10, /* with the primary one; browsers send 2 or 3 */
    RED_LEN_MAX = (1 << 10) - 1,       /* bytes of a block that is not the primary */
    RED_TS_BEFORE_MAX = (1 << 14) - 1, /* ticks */
    RED_HEADERS_BYTES = 5,             /* of two blocks */
    RED_ERR = -1,        /* a length inside passes the end, no primary block, or too many */
};

struct red_block {
    const uint8_t *data;
    size_t len;         /* bytes; 0: nothing was to be said at that time */
    uint16_t ts_before; /* ticks that it is older than the packet's timestamp; 0 for the primary */
    uint8_t pt;
};

/* Returns how many blocks there are, the oldest first and the primary last, or RED_ERR with *out in part written. */
MUST_USE int red_parse(struct red_block out[RED_BLOCKS_MAX], const uint8_t *payload, size_t len);
/* What goes in front of a primary block of this payload type: the headers and the block before it (NULL: none), which is within the
 * bounds above. Returns its bytes. */
size_t red_write_front(uint8_t dst[RED_HEADERS_BYTES + RED_LEN_MAX], const struct red_block *before, uint8_t pt);
