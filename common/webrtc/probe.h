/* SPDX-License-Identifier: Apache-2.0
 * probe.h - finding out whether the path carries more than is being sent: short clusters at a higher rate.
 *
 * A relay sends no more than its source gives, so the estimate never grows by itself to what the next layer needs. While
 * more is wanted than the target, a cluster of packets (media that is due, and repeats of what was sent) goes out at twice the
 * target; the rate at which it arrives is what the path carries. One that passes whole is followed by the next at once.
 * Pure; embedded in struct gcc. Source: draft-ietf-rmcat-gcc-02 s5.5 leaves it open; this is packet-train dispersion. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROBE_PACKETS = 5,        /* at least */
    PROBE_US = 20000,         /* of sending, at least */
    PROBE_INTERVAL_US = 1500000, /* from one that found the limit to the next */
    PROBE_WAIT_US = 1000000,  /* for feedback of a cluster */
};

enum probe_state { PROBE_IDLE = 0, PROBE_SENDING, PROBE_WAITING };

struct probe {
    enum probe_state state;
    uint8_t id;               /* of the present cluster, 1 .. TWCC_PROBE_MAX; packets of others are not looked at */
    uint64_t rate_bps;        /* that it is sent with */
    uint64_t start_us, next_us;
    uint32_t sent_packets, sent_bytes, need_bytes;
    /* what arrived of it */
    uint32_t packets, bytes, first_bytes, last_bytes;
    uint64_t first_sent_us, last_sent_us;
    int64_t first_arrival_us, last_arrival_us;
    uint64_t clusters, failed;
};

void probe_init(struct probe *p);
/* Begins a cluster when one is due: wanted_bps is more than target_bps, and the path is at rest. */
void probe_poll(struct probe *p, uint64_t target_bps, uint64_t wanted_bps, bool at_rest, uint64_t now_us);
/* Bytes of the cluster that should have left by now: send repeats until it is 0. */
size_t probe_due_bytes(const struct probe *p, uint64_t now_us);
/* When probe_due_bytes is more than 0 next, or a cluster may begin. */
uint64_t probe_due_us(const struct probe *p);
/* The cluster that a packet sent now belongs to; 0: none. */
static inline uint8_t probe_id(const struct probe *p)
{
    return p->state == PROBE_SENDING ? p->id : 0;
}
/* Any packet was sent, media too. */
void probe_on_sent(struct probe *p, size_t bytes, uint64_t now_us);
void probe_on_arrival(struct probe *p, uint8_t id, uint64_t sent_us, int64_t arrival_us, uint32_t bytes);

struct probe_result {
    uint64_t bps;    /* what the path carries, at least */
    bool limited;    /* it carries no more than that */
    bool whole;      /* no packet of it is missing */
};
/* After the arrivals of a feedback: true once for each cluster that tells something. */
bool probe_conclude(struct probe *p, uint64_t now_us, struct probe_result *out);
