/* SPDX-License-Identifier: Apache-2.0
 * twcc_send.c - see twcc_send.h. */
#include "webrtc/twcc_send.h"

#include "base/seq.h"

#include <string.h>

_Static_assert(65536 % TWCC_SEND_SLOTS == 0, "seq wrap");
_Static_assert(sizeof(struct twcc_send_slot) == 4, "four bytes");

enum { TICK_US = 64 };

/* The reference time has 24 bits of 64 ms. */
#define ARRIVAL_WRAP_US (INT64_C(64000) << 24)

void twcc_send_init(struct twcc_send *t, uint16_t first)
{
    memset(t, 0, sizeof(*t));
    t->next = t->flight_from = (UINT64_C(1) << 16) + first;
}

/* Of those up to this number. */
static void end_flight(struct twcc_send *t, uint64_t number)
{
    for (; t->flight_from <= number; t->flight_from++)
        t->flight_bytes -= t->slots[t->flight_from % TWCC_SEND_SLOTS].bytes;
}

uint16_t twcc_send_push(struct twcc_send *t, size_t bytes, uint8_t probe, uint64_t now_us)
{
    struct twcc_send_slot *s = &t->slots[t->next % TWCC_SEND_SLOTS];

    if (t->next >= t->flight_from + TWCC_SEND_SLOTS)
        end_flight(t, t->flight_from);
    *s = (struct twcc_send_slot){
        .sent_ticks = (uint16_t)(now_us / TICK_US),
        .bytes = (unsigned)(bytes < 0x7ff ? bytes : 0x7ff) & 0x7ffu,
        .probe = probe & 7u,
        .state = TWCC_UNDER_WAY,
    };
    t->flight_bytes += s->bytes;
    return (uint16_t)t->next++;
}

/* Arrival times run on where the reference time wraps. */
static int64_t unwrap(struct twcc_send *t, int64_t arrival_us)
{
    if (t->any_arrival) {
        int64_t by = (arrival_us - t->arrival_us) % ARRIVAL_WRAP_US;
        if (by > ARRIVAL_WRAP_US / 2)
            by -= ARRIVAL_WRAP_US;
        else if (by < -ARRIVAL_WRAP_US / 2)
            by += ARRIVAL_WRAP_US;
        arrival_us = t->arrival_us + by;
    }
    t->any_arrival = true;
    t->arrival_us = arrival_us;
    return arrival_us;
}

static struct twcc_send_slot *slot_of(struct twcc_send *t, uint16_t seq)
{
    uint64_t number = seq16_extend(t->next - 1, seq);

    if (number >= t->next || number + TWCC_SEND_SLOTS < t->next)
        return NULL;
    struct twcc_send_slot *s = &t->slots[number % TWCC_SEND_SLOTS];
    return s->state == TWCC_UNKNOWN ? NULL : s;
}

/* The moment before now that has these ticks. */
static uint64_t sent_us(const struct twcc_send_slot *s, uint64_t now_us)
{
    uint64_t now_ticks = now_us / TICK_US;

    return (now_ticks - (uint16_t)((uint16_t)now_ticks - s->sent_ticks)) * TICK_US;
}

bool twcc_send_next(struct twcc_send *t, struct rtcp_twcc *f, uint64_t now_us, struct twcc_result *out)
{
    struct rtcp_twcc_arrival a;

    while (rtcp_twcc_next(f, &a)) {
        struct twcc_send_slot *s = slot_of(t, a.seq);
        unsigned state = a.received ? TWCC_RECEIVED : TWCC_LOST;
        if (!s || s->state >= state)
            continue; /* known already, or never sent */
        *out = (struct twcc_result){
            .sent_us = sent_us(s, now_us),
            .arrival_us = a.received ? unwrap(t, a.arrival_us) : 0,
            .bytes = s->bytes,
            .probe = s->probe,
            .received = a.received,
            .was_lost = s->state == TWCC_LOST,
        };
        end_flight(t, seq16_extend(t->next - 1, a.seq));
        s->state = state & 3u;
        if (a.received && out->sent_us > t->newest_sent_us)
            t->newest_sent_us = out->sent_us;
        return true;
    }
    return false;
}

enum twcc_fate twcc_send_fate(const struct twcc_send *t, uint64_t number)
{
    if (number >= t->next || number + TWCC_SEND_SLOTS < t->next)
        return TWCC_UNKNOWN;
    enum twcc_fate fate = t->slots[number % TWCC_SEND_SLOTS].state;
    return fate == TWCC_UNDER_WAY && number < t->flight_from ? TWCC_UNKNOWN : fate; /* its feedback was lost */
}
