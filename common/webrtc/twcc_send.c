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

/* NULL: never sent, or too long ago. */
static struct twcc_send_slot *slot_of(struct twcc_send *t, uint64_t number)
{
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

/* Left when the first did, and is news in the same way. */
static bool is_alike(const struct twcc_send_slot *s, const struct twcc_send_slot *first)
{
    return s && s->sent_ticks == first->sent_ticks && s->state == first->state && (s->probe | first->probe) == 0;
}

/* From this slot on as many of the run as are alike. */
static void take_run(struct twcc_send *t, struct rtcp_twcc_run *run, uint64_t number, struct twcc_result *out)
{
    const struct twcc_send_slot first = t->slots[number % TWCC_SEND_SLOTS];
    struct twcc_send_slot *s = &t->slots[number % TWCC_SEND_SLOTS];

    do {
        s->state = run->received ? TWCC_RECEIVED : TWCC_LOST;
        out->bytes += s->bytes;
        out->packets++;
        run->seq++;
        run->n--;
        s = slot_of(t, ++number);
    } while (run->n > 0 && is_alike(s, &first));
    end_flight(t, number - 1);
}

bool twcc_send_next(struct twcc_send *t, struct twcc_walk *w, uint64_t now_us, struct twcc_result *out)
{
    struct rtcp_twcc_run *run = &w->run;

    while (run->n > 0 || rtcp_twcc_next_run(&w->feedback, run)) {
        uint64_t number = seq16_extend(t->next - 1, run->seq);
        const struct twcc_send_slot *s = slot_of(t, number);
        if (!s || s->state >= (run->received ? TWCC_RECEIVED : TWCC_LOST)) {
            run->seq++; /* known already, or never sent */
            run->n--;
            continue;
        }
        *out = (struct twcc_result){
            .sent_us = sent_us(s, now_us),
            .arrival_us = run->received ? unwrap(t, run->arrival_us) : 0,
            .probe = s->probe,
            .received = run->received,
            .was_lost = s->state == TWCC_LOST,
        };
        if (run->received && out->sent_us > t->newest_sent_us)
            t->newest_sent_us = out->sent_us;
        take_run(t, run, number, out);
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
