/* SPDX-License-Identifier: Apache-2.0
 * twcc_feedback.h - the receiving end of transport-wide congestion control: when which packet came, told to
 * the sender each 100 ms, so that a browser finds its bitrate in seconds and not in half a minute.
 *
 * Pure: time is an argument; no allocation; one thread at a time. Ownership: embedded in its owner.
 * Source: draft-holmer-rmcat-transport-wide-cc-extensions-01. */
#pragma once

#include "base/compiler.h"
#include "base/writer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TWCC_WINDOW = 1024, /* packets not yet told of: 100 ms of 10,000 a second; older ones are left out */
    TWCC_INTERVAL_US = 100000, /* between two feedback packets: 50 to 250 ms are usual */
};

struct twcc_feedback {
    bool started;
    uint64_t next;               /* the first number (extended) not told of yet */
    uint64_t end;                /* one past the highest that came */
    uint64_t due_us;             /* UINT64_MAX: nothing to tell */
    uint32_t media_ssrc;         /* of the last packet; the draft asks for one of the transport's */
    uint8_t count;               /* of feedback packets */
    int64_t arrival_us[TWCC_WINDOW]; /* by number modulo the window; 0: did not come */
};

_Static_assert(65536 % TWCC_WINDOW == 0, "16-bit numbers wrap on a window's border");

void twcc_feedback_init(struct twcc_feedback *f);
/* A packet with this transport-wide number came. */
void twcc_feedback_on_packet(struct twcc_feedback *f, uint16_t seq, uint32_t media_ssrc, uint64_t now_us);
/* Appends a feedback packet about as much as fits. Returns false when there is nothing to tell (nothing is
 * written). Call again until it does, with room for a new compound packet each time. */
bool twcc_feedback_write(struct twcc_feedback *f, struct writer *w, uint32_t sender_ssrc, uint64_t now_us);
/* When to write next; UINT64_MAX: not before another packet. */
static inline uint64_t twcc_feedback_due_us(const struct twcc_feedback *f)
{
    return f->due_us;
}
