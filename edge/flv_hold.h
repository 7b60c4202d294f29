/* SPDX-License-Identifier: Apache-2.0
 * flv_hold.h - whether a picture of HTTP-FLV waits for the next one, to leave in one send with it.
 *
 * What counts is how often viewers are sent something. On a worker that has much to do a picture waits while the next one is
 * due within limit_us of the first that waits: of 30 a second every other waits for 33 ms, the others for nothing. As only
 * pictures less than limit_us apart wait at all, the mean is below half of it. A keyframe never waits, nor do pictures whose
 * next ones have come late: after one that waited in vain some leave at once, twice as many each time.
 * Pure: time is an argument. Thread: the worker's. Ownership: embedded in its stream. */
#pragma once

#include "edge/flv_mux.h"
#include "io/governor.h"

#include <stdbool.h>
#include <stdint.h>

struct flv_hold {
    uint64_t limit_us;      /* the longest that a picture waits; 0: none does */
    struct governor_mark busy; /* .past: its worker has so much to do that it pays */
    unsigned pictures;      /* that have been gathered since the last send */
    uint64_t since_us;      /* when the first of them came */
    unsigned at_once;       /* so many more pictures leave at once */
    unsigned in_vain;       /* and so many did after the last one that waited in vain */
};

/* After packets were muxed into g, on a worker that is so busy (io/governor.h). True: it had better wait, until
 * flv_hold_until_us at most. */
bool flv_hold_wants(struct flv_hold *h, const struct flv_gathered *g, uint32_t busy_permille, uint64_t now_us);
uint64_t flv_hold_until_us(const struct flv_hold *h);
/* What was gathered is sent. late: because flv_hold_until_us has passed. */
void flv_hold_sent(struct flv_hold *h, bool late);
