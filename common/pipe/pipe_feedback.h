/* SPDX-License-Identifier: Apache-2.0
 * pipe_feedback.h - what the ends of an association say to each other by RTCP: APP packets named "MRP1".
 *
 *   hello    child -> parent: here I am, send to where this comes from. Repeated until something comes back.
 *   welcome  parent -> child: the answer, with the hello's time in it
 *   ask      child -> parent: ranges of packets to send again
 *   gone     parent -> child: ranges of them that it has not got
 *
 * RFC 4585's generic NACK names 17 packets in 4 bytes; a range here names up to 65,535 of any layer of the
 * association in 8 bytes, so a gap of any length is one request.
 * Pure; any thread. Source: RFC 3550 s6.7 (APP). */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FEEDBACK_HEADER_BYTES = 12,
    FEEDBACK_HELLO_BYTES = FEEDBACK_HEADER_BYTES + 8,
    FEEDBACK_RANGE_BYTES = 8,
    FEEDBACK_RANGES_MAX = 128, /* of one packet: 1,036 bytes */
    FEEDBACK_BYTES_MAX = FEEDBACK_HEADER_BYTES + FEEDBACK_RANGES_MAX * FEEDBACK_RANGE_BYTES,
};

enum feedback_kind { FEEDBACK_HELLO = 1, FEEDBACK_WELCOME = 2, FEEDBACK_ASK = 3, FEEDBACK_GONE = 4 };

enum feedback_err {
    FEEDBACK_OK = 0,
    FEEDBACK_ERR_SHORT = -1, /* a length passes the end, or does not fit the kind */
    FEEDBACK_ERR_KIND = -2,  /* no APP packet of ours */
};

struct feedback_range {
    uint8_t track, layer;
    uint16_t count;
    uint32_t first; /* low 32 bits of the sequence number */
};

struct feedback {
    struct reader ranges; /* of FEEDBACK_ASK and _GONE; pull with feedback_next */
    uint64_t sent_us;     /* of the other two: the child's own clock */
    uint32_t ssrc;
    enum feedback_kind kind;
};

/* One decrypted RTCP datagram. */
MUST_USE int feedback_parse(struct feedback *out, const uint8_t *pkt, size_t len);
bool feedback_next(struct feedback *f, struct feedback_range *out);

/* Write one packet into dst; return its length. */
size_t feedback_write_hello(uint8_t dst[FEEDBACK_HELLO_BYTES], enum feedback_kind kind, uint32_t ssrc,
                            uint64_t sent_us);
size_t feedback_write_ranges(uint8_t dst[FEEDBACK_BYTES_MAX], enum feedback_kind kind, uint32_t ssrc,
                             const struct feedback_range *v, size_t n);
