/* SPDX-License-Identifier: Apache-2.0
 * probe.c - see probe.h. */
#include "webrtc/probe.h"

#include "webrtc/twcc_send.h"

#include <string.h>

enum { SPACING_US = 2000, AGAIN_US = 50000 /* after one that passed: let its queue drain */ };

void probe_init(struct probe *p)
{
    memset(p, 0, sizeof(*p));
}

static void end(struct probe *p, uint64_t now_us, uint64_t pause_us)
{
    p->state = PROBE_IDLE;
    p->next_us = now_us + pause_us;
}

void probe_poll(struct probe *p, uint64_t target_bps, uint64_t wanted_bps, bool at_rest, uint64_t now_us)
{
    if (p->state == PROBE_SENDING && now_us - p->start_us > PROBE_WAIT_US)
        end(p, now_us, PROBE_INTERVAL_US); /* nothing to send it with */
    if (p->state == PROBE_WAITING && now_us - p->start_us > PROBE_WAIT_US) {
        p->failed++;
        end(p, now_us, PROBE_INTERVAL_US / 4);
    }
    if (p->state != PROBE_IDLE || now_us < p->next_us || wanted_bps <= target_bps)
        return;
    if (!at_rest) {
        p->next_us = now_us + PROBE_INTERVAL_US / 4;
        return;
    }
    uint64_t most = wanted_bps + wanted_bps / 4, next_us = p->next_us, clusters = p->clusters + 1, failed = p->failed;
    uint8_t id = p->id == TWCC_PROBE_MAX ? 1 : (uint8_t)(p->id + 1);
    *p = (struct probe){
        .state = PROBE_SENDING,
        .id = id,
        .rate_bps = target_bps * 2 < most ? target_bps * 2 : most,
        .start_us = now_us,
        .next_us = next_us,
        .clusters = clusters,
        .failed = failed,
    };
    p->need_bytes = (uint32_t)(p->rate_bps / 8 * PROBE_US / 1000000);
}

size_t probe_due_bytes(const struct probe *p, uint64_t now_us)
{
    if (p->state != PROBE_SENDING)
        return 0;
    /* A step ahead, so that the first ones leave at once. */
    uint64_t due = (now_us - p->start_us + SPACING_US) * p->rate_bps / 8 / 1000000;
    return due > p->sent_bytes ? (size_t)(due - p->sent_bytes) : 0;
}

uint64_t probe_due_us(const struct probe *p)
{
    if (p->state == PROBE_IDLE)
        return p->next_us;
    if (p->state == PROBE_WAITING)
        return p->start_us + PROBE_WAIT_US + 1;
    uint64_t at = p->start_us + (uint64_t)p->sent_bytes * 8 * 1000000 / p->rate_bps;
    return at > SPACING_US ? at - SPACING_US + 1 : 0;
}

void probe_on_sent(struct probe *p, size_t bytes, uint64_t now_us)
{
    if (p->state != PROBE_SENDING)
        return;
    p->sent_packets++;
    p->sent_bytes += (uint32_t)bytes;
    if (p->sent_packets < PROBE_PACKETS || p->sent_bytes < p->need_bytes)
        return;
    p->state = PROBE_WAITING;
    p->start_us = now_us;
}

void probe_on_arrival(struct probe *p, uint8_t id, uint64_t sent_us, int64_t arrival_us, uint32_t bytes)
{
    if (id == 0 || id != p->id || p->state == PROBE_IDLE)
        return;
    if (p->packets == 0 || arrival_us < p->first_arrival_us) {
        p->first_arrival_us = arrival_us;
        p->first_bytes = bytes;
    }
    if (p->packets == 0 || arrival_us > p->last_arrival_us)
        p->last_arrival_us = arrival_us;
    if (p->packets == 0 || sent_us < p->first_sent_us)
        p->first_sent_us = sent_us;
    if (p->packets == 0 || sent_us >= p->last_sent_us) {
        p->last_sent_us = sent_us;
        p->last_bytes = bytes;
    }
    p->packets++;
    p->bytes += bytes;
}

bool probe_conclude(struct probe *p, uint64_t now_us, struct probe_result *out)
{
    if (p->state != PROBE_WAITING || p->packets * 5 < p->sent_packets * 4)
        return false;
    int64_t sent_us = (int64_t)(p->last_sent_us - p->first_sent_us), arrival_us = p->last_arrival_us - p->first_arrival_us;
    uint64_t sent_bps = sent_us > 0 ? (uint64_t)(p->bytes - p->last_bytes) * 8000000 / (uint64_t)sent_us : UINT64_MAX;
    uint64_t came_bps = arrival_us > 0 ? (uint64_t)(p->bytes - p->first_bytes) * 8000000 / (uint64_t)arrival_us : UINT64_MAX;
    uint64_t bps = sent_bps < came_bps ? sent_bps : came_bps;

    out->limited = came_bps < p->rate_bps - p->rate_bps / 10 && came_bps < sent_bps - sent_bps / 10;
    out->whole = p->packets >= p->sent_packets;
    out->bps = bps < p->rate_bps ? bps : p->rate_bps;
    if (out->limited)
        out->bps = came_bps - came_bps / 20; /* what it carries to the last bit is what makes a queue */
    end(p, now_us, out->limited ? PROBE_INTERVAL_US : AGAIN_US);
    return true;
}
