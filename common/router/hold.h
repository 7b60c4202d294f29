/* SPDX-License-Identifier: Apache-2.0
 * hold.h - within common/router: sound that waits for the next pictures, to leave with them.
 *
 * A message to a viewer costs several times what a packet in it does, and sound alone would be more messages than all
 * pictures. When pictures come is known from those before: sound waits only when they are due in time. And only on a worker
 * that has much to do: what has waited comes less evenly, and players keep more of it and play it later than its picture.
 * Pure: time is an argument. Hot: no allocation. Thread: the worker's. Ownership: embedded; owns the references it holds. */
#pragma once

#include "io/governor.h"
#include "media/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOLD_PACKETS_MAX = 16 /* 300 ms of Opus: more than ever waits */ };

struct hold {
    uint64_t limit_us;    /* the longest that sound waits; 0: it never does */
    struct governor_mark busy; /* .past: its worker has so much to do that it pays */
    bool asked;           /* it pays elsewhere, however busy this worker is */
    bool upstream;        /* sound waits there already: it is not kept twice */
    uint64_t picture_us;  /* when pictures last came; 0: never */
    uint64_t interval_us; /* mean time between them; 0: not known */
    uint64_t sound_us;    /* how long a packet of sound plays; 0: not known */
    uint64_t sound_seq, sound_ts, sound_at_us; /* of the newest one, of this track; when it came */
    uint8_t sound_track;
    size_t n;
    struct packet *v[HOLD_PACKETS_MAX];
};

static inline bool hold_on(const struct hold *h)
{
    return h->limit_us > 0 && (h->asked || h->busy.past);
}

/* A packet of sound was pushed. */
void hold_on_sound(struct hold *h, const struct packet *p, uint32_t clock_hz, uint64_t now_us);
/* Pictures came, to a worker that is so busy (io/governor.h). */
void hold_on_pictures(struct hold *h, uint64_t now_us, uint32_t busy_permille);
/* Whether n packets of sound had better wait: pictures are due soon enough, and there is room. Sound never waits for longer than
 * a packet of it plays: what a player keeps of it at least is more than that. */
bool hold_wants(const struct hold *h, size_t n, uint64_t now_us);
/* Pictures leave, and with them several packets of sound, of which a message takes one: whether the newest had better wait for the next
 * pictures, on the same terms. */
bool hold_keeps(const struct hold *h, uint64_t now_us);
/* The longest that sound waits. */
uint64_t hold_us(const struct hold *h);
/* How much of that is left to the newest. */
uint64_t hold_left_us(const struct hold *h, uint64_t now_us);
/* Takes over the references. */
void hold_push(struct hold *h, struct packet *const *v, size_t n);
/* Into out (HOLD_PACKETS_MAX), with the references; returns how many. */
size_t hold_take(struct hold *h, struct packet **out);
