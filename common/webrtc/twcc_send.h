/* SPDX-License-Identifier: Apache-2.0
 * twcc_send.h - the sending end of transport-wide congestion control: which number left when, and what the receiver's
 * feedback says of it.
 *
 * Pure: time is an argument. Hot: no allocation. Thread: the worker's. Ownership: embedded.
 * Source: draft-holmer-rmcat-transport-wide-cc-extensions-01. */
#pragma once

#include "wire/rtcp.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TWCC_SEND_SLOTS = 1024, /* packets: half a second of 20 Mbit/s; feedback comes after a round trip and 100 ms */
    TWCC_PROBE_MAX = 7,     /* the highest id of a probe's cluster */
};

struct twcc_send {
    uint64_t next;           /* number of the packet that is sent next; its low 16 bits go out */
    int64_t arrival_us;      /* the last one's, unwrapped */
    bool any_arrival;
    uint64_t newest_sent_us; /* of those acknowledged: for the round trip */
    uint64_t flight_bytes;   /* sent after the newest that was heard of ... */
    uint64_t flight_from;    /* ... from this number on */
    uint32_t slots[TWCC_SEND_SLOTS]; /* four bytes each (twcc_send.c), as each viewer has a thousand */
};

/* Of one packet, or of several on end that left and came together, or left together and are missing. Those of a probe are told one by one. */
struct twcc_result {
    uint64_t sent_us;   /* rounded down to 64 */
    int64_t arrival_us; /* receiver's clock; only with received */
    uint32_t bytes;
    uint16_t packets;
    uint8_t probe;
    bool received;
    bool was_lost; /* an earlier feedback called it lost */
};

/* One feedback while it is read. .feedback: parsed, the rest zero. */
struct twcc_walk {
    struct rtcp_twcc feedback;
    struct rtcp_twcc_run run; /* what is left of it */
};

enum twcc_fate { TWCC_UNKNOWN = 0, TWCC_UNDER_WAY, TWCC_LOST, TWCC_RECEIVED };

void twcc_send_init(struct twcc_send *t, uint16_t first);
/* A packet of so many bytes leaves now; probe: 0 .. TWCC_PROBE_MAX. Returns its number for the extension. */
uint16_t twcc_send_push(struct twcc_send *t, size_t bytes, uint8_t probe, uint64_t now_us);
/* The next packets that the feedback has news of: they arrived, or are called lost for the first time. False at its end. Numbers that
 * were never sent, or too long ago, are passed over. */
bool twcc_send_next(struct twcc_send *t, struct twcc_walk *w, uint64_t now_us, struct twcc_result *out);
/* What became of the packet with this number (not only its low bits), as far as feedback has told; unknown when it was sent too
 * long ago. */
enum twcc_fate twcc_send_fate(const struct twcc_send *t, uint64_t number);
