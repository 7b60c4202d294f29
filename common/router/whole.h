/* SPDX-License-Identifier: Apache-2.0
 * whole.h - within common/router: a picture whose end has not come yet is waited for, very briefly.
 *
 * A parent sends a picture in several messages (a short NAL unit is one of its own), and a worker that wakes up with the first finds the
 * others a few microseconds later. To hand out the first alone is a message more to each viewer, and the rest waits until all have had it.
 * Pure: time is an argument. Hot: no allocation. Thread: the worker's. Ownership: embedded. */
#pragma once

#include "media/packet.h"

#include <stdbool.h>
#include <stdint.h>

struct whole {
    uint64_t limit_us; /* so long the rest of a picture is waited for, once; 0: never */
    uint64_t since_us; /* it is, of the picture below; 0: no more */
    uint64_t ts_ticks; /* the newest picture */
    uint8_t track, layer;
};

/* Whether a turn that ends with this packet of a picture had better wait for what follows it. To be asked again when more has come, or
 * when limit_us have passed. */
bool whole_waits(struct whole *w, const struct packet *last, uint64_t now_us);
