/* SPDX-License-Identifier: Apache-2.0
 * twcc_send.c - see twcc_send.h. */
#include "webrtc/twcc_send.h"

#include "base/seq.h"

#include <string.h>

_Static_assert(65536 % TWCC_SEND_SLOTS == 0, "seq wrap");

enum { TICK_US = 64 };

/* A slot, from its low bits up: bytes, the probe's cluster that it is of (0: none), enum twcc_fate, and when it was sent in ticks, of which
 * 16 bits are four seconds. */
enum { BYTES_MASK = 0x7ff, PROBE_AT = 11, PROBE_MASK = TWCC_PROBE_MAX << PROBE_AT, FATE_AT = 14, FATE_MASK = 3 << FATE_AT, TICKS_AT = 16 };

static enum twcc_fate fate_of(uint32_t slot)
{
    return slot >> FATE_AT & 3;
}

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
        t->flight_bytes -= t->slots[t->flight_from % TWCC_SEND_SLOTS] & BYTES_MASK;
}

uint16_t twcc_send_push(struct twcc_send *t, size_t bytes, uint8_t probe, uint64_t now_us)
{
    uint32_t counted = bytes < BYTES_MASK ? (uint32_t)bytes : BYTES_MASK;

    if (t->next >= t->flight_from + TWCC_SEND_SLOTS)
        end_flight(t, t->flight_from);
    t->slots[t->next % TWCC_SEND_SLOTS] = (uint32_t)(now_us / TICK_US) << TICKS_AT | (uint32_t)TWCC_UNDER_WAY << FATE_AT |
                                          (uint32_t)(probe & TWCC_PROBE_MAX) << PROBE_AT | counted;
    t->flight_bytes += counted;
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

/* 0: never sent, or too long ago. */
static uint32_t slot_of(const struct twcc_send *t, uint64_t number)
{
    if (number >= t->next || number + TWCC_SEND_SLOTS < t->next)
        return 0;
    return t->slots[number % TWCC_SEND_SLOTS];
}

/* The moment before now that has these ticks. */
static uint64_t sent_us(uint32_t slot, uint64_t now_us)
{
    uint64_t now_ticks = now_us / TICK_US;

    return (now_ticks - (uint16_t)((uint16_t)now_ticks - (uint16_t)(slot >> TICKS_AT))) * TICK_US;
}

/* From this slot on as many of the run as left when the first did, and are news in the same way; of a probe one. */
static void take_run(struct twcc_send *t, struct rtcp_twcc_run *run, uint64_t number, struct twcc_result *out)
{
    const uint32_t first = t->slots[number % TWCC_SEND_SLOTS], fate = run->received ? TWCC_RECEIVED : TWCC_LOST;
    const uint64_t sent = t->next - number;
    unsigned n = 0, most = run->n < sent ? run->n : (unsigned)sent;
    uint32_t slot = first, bytes = 0;

    if (first & PROBE_MASK)
        most = 1;
    do {
        bytes += slot & BYTES_MASK;
        t->slots[(number + n) % TWCC_SEND_SLOTS] = (slot & ~(uint32_t)FATE_MASK) | fate << FATE_AT;
        slot = t->slots[(number + ++n) % TWCC_SEND_SLOTS];
    } while (n < most && ((slot ^ first) & ~(uint32_t)BYTES_MASK) == 0);
    run->seq = (uint16_t)(run->seq + n);
    run->n = (uint16_t)(run->n - n);
    out->bytes = bytes;
    out->packets = (uint16_t)n;
    if (t->flight_from != number) {
        end_flight(t, number + n - 1);
        return;
    }
    t->flight_from += n; /* as usual */
    t->flight_bytes -= bytes;
}

bool twcc_send_next(struct twcc_send *t, struct twcc_walk *w, uint64_t now_us, struct twcc_result *out)
{
    struct rtcp_twcc_run *run = &w->run;

    while (run->n > 0 || rtcp_twcc_next_run(&w->feedback, run)) {
        uint64_t number = seq16_extend(t->next - 1, run->seq);
        uint32_t slot = slot_of(t, number);
        if (fate_of(slot) == TWCC_UNKNOWN || fate_of(slot) >= (run->received ? TWCC_RECEIVED : TWCC_LOST)) {
            run->seq++; /* known already, or never sent */
            run->n--;
            continue;
        }
        *out = (struct twcc_result){
            .sent_us = sent_us(slot, now_us),
            .arrival_us = run->received ? unwrap(t, run->arrival_us) : 0,
            .probe = (uint8_t)((slot & PROBE_MASK) >> PROBE_AT),
            .received = run->received,
            .was_lost = fate_of(slot) == TWCC_LOST,
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
    enum twcc_fate fate = fate_of(slot_of(t, number));

    return fate == TWCC_UNDER_WAY && number < t->flight_from ? TWCC_UNKNOWN : fate; /* its feedback was lost */
}
