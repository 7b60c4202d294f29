/* SPDX-License-Identifier: Apache-2.0
 * remb.h - bandwidth estimation at the receiving end, for publishers that know no transport-wide feedback: what their path
 * carries, told them by REMB.
 *
 * The delay part of gcc.h, fed with the send times that the packets carry (abs-send-time) and their arrivals here. The losses
 * are the publisher's own affair: receiver reports tell it of them. Told each second, and at once when it has become less.
 * Pure: time is an argument; no allocation. Thread: one at a time. Ownership: embedded.
 * Source: draft-alvestrand-rmcat-congestion-03 (receiver side), draft-alvestrand-rmcat-remb-03. */
#pragma once

#include "webrtc/gcc.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct remb {
    struct gcc gcc;
    bool any;
    uint32_t sent_ticks; /* the last abs-send-time: 24 bits of 2^-18 s */
    uint64_t sent_us;    /* unwrapped, on a clock of its own */
    uint64_t steer_us;   /* when the arrivals since the last time are looked at; 0: none came */
    uint64_t tell_us, told_bps;
};

void remb_init(struct remb *r);
/* A packet of so many bytes, with this abs-send-time. */
void remb_on_packet(struct remb *r, uint32_t abs_send_time, size_t bytes, uint64_t now_us);
/* True when *bps is to be told now. */
bool remb_poll(struct remb *r, uint64_t now_us, uint64_t *bps);
/* When to poll next; UINT64_MAX: not before another packet. */
uint64_t remb_due_us(const struct remb *r);
