/* SPDX-License-Identifier: Apache-2.0
 * dcep.h - the Data Channel Establishment Protocol: the two messages by which a data channel is opened.
 *
 * Pure; any thread. Ownership: a parsed message borrows label and protocol from its bytes.
 * Source: RFC 8832 (DCEP), RFC 8831 s6.6 (payload protocol identifiers). */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 8831 s8. Strings and bytes of length 0 cannot be sent: one byte under another number stands for them. */
enum dcep_ppid {
    PPID_DCEP = 50,
    PPID_STRING = 51,
    PPID_BINARY = 53,
    PPID_STRING_EMPTY = 56,
    PPID_BINARY_EMPTY = 57,
};

enum {
    DCEP_NAME_MAX = 64, /* bytes of a label and of a protocol; longer ones we refuse */
    DCEP_OPEN_FIXED_BYTES = 12,
    DCEP_OPEN_MAX = DCEP_OPEN_FIXED_BYTES + 2 * DCEP_NAME_MAX,
    DCEP_ACK_BYTES = 1,
};

/* RFC 8832 s5.1: the low bits of a channel type; the top bit: unordered. */
enum dcep_reliability { DCEP_RELIABLE = 0, DCEP_RETRANSMITS = 1, DCEP_LIFETIME = 2 };

enum dcep_err {
    DCEP_OK = 0,
    DCEP_ERR_SHORT = -1, /* a declared length passes the end */
    DCEP_ERR_TYPE = -2,  /* neither OPEN nor ACK, or a channel type that there is not */
    DCEP_ERR_NAME = -3,  /* label or protocol longer than DCEP_NAME_MAX */
};

struct dcep_open {
    bool unordered;
    enum dcep_reliability reliability;
    uint32_t limit;         /* DCEP_RETRANSMITS: how many; DCEP_LIFETIME: ms; else of no meaning */
    const uint8_t *label, *protocol; /* UTF-8 by what it should be; not terminated */
    size_t label_len, protocol_len;  /* bytes, 0 .. DCEP_NAME_MAX */
};

struct dcep_message {
    bool ack; /* else it is an OPEN */
    struct dcep_open open;
};

/* Fills *out, or returns a dcep_err and leaves it untouched. Bytes behind the message are ignored (s5.1 gives no rule). */
MUST_USE int dcep_parse(struct dcep_message *out, const uint8_t *bytes, size_t len);
/* Bytes written, at most DCEP_OPEN_MAX. */
size_t dcep_write_open(uint8_t dst[DCEP_OPEN_MAX], const struct dcep_open *m);
void dcep_write_ack(uint8_t dst[DCEP_ACK_BYTES]);
