/* SPDX-License-Identifier: Apache-2.0
 * pacer.c - see pacer.h. */
#include "webrtc/pacer.h"

#include <stdlib.h>
#include <string.h>

enum { RESEND_BURST_BYTES = 32 * 1024, DEBT_MOST_BYTES = 64 * 1024 };

void pacer_init(struct pacer *p, uint64_t target_bps, uint64_t now_us)
{
    memset(p, 0, sizeof(*p));
    p->filled_us = now_us;
    p->tokens_bytes = PACER_BURST_BYTES;
    p->resend_bytes = RESEND_BURST_BYTES;
    pacer_set_target(p, target_bps, 0, now_us);
}

void pacer_clear(struct pacer *p)
{
    for (; p->n > 0; p->n--, p->head = (p->head + 1) % p->cap)
        packet_unref(&p->waits[p->head].packet);
    p->n_resends = 0;
    p->waiting_bytes = 0;
}

void pacer_fini(struct pacer *p)
{
    pacer_clear(p);
    free(p->waits);
    p->waits = NULL;
    p->cap = p->head = 0;
}

/* False: as large as it may be, or memory is short. */
static bool grow(struct pacer *p)
{
    unsigned cap = p->cap ? p->cap * 2 : PACER_SLOTS_FIRST;
    struct pacer_wait *waits = cap <= PACER_SLOTS ? malloc(cap * sizeof(*waits)) : NULL;

    if (!waits)
        return false;
    for (unsigned i = 0; i < p->n; i++)
        waits[i] = p->waits[(p->head + i) % p->cap];
    free(p->waits);
    p->waits = waits;
    p->cap = cap;
    p->head = 0;
    return true;
}

static void fill(struct pacer *p, uint64_t now_us)
{
    uint64_t passed_us = now_us - p->filled_us;

    if (passed_us < 100)
        return; /* less than a byte may be lost at each step */
    if (passed_us > 1000000)
        passed_us = 1000000;
    p->filled_us = now_us;
    p->tokens_bytes += (int64_t)(p->pace_bps / 8 * passed_us / 1000000);
    if (p->tokens_bytes > p->burst_bytes)
        p->tokens_bytes = p->burst_bytes;
    p->resend_bytes += (int64_t)(p->resend_bps / 8 * passed_us / 1000000);
    if (p->resend_bytes > RESEND_BURST_BYTES)
        p->resend_bytes = RESEND_BURST_BYTES;
}

void pacer_set_target(struct pacer *p, uint64_t target_bps, uint64_t media_bps, uint64_t now_us)
{
    uint64_t least = media_bps + media_bps / 2;

    fill(p, now_us);
    p->pace_bps = target_bps * 5 / 2;
    if (p->pace_bps < least)
        p->pace_bps = least;
    int64_t burst = (int64_t)(p->pace_bps / 8 * PACER_BURST_US / 1000000);
    if (burst < PACER_BURST_LEAST_BYTES)
        burst = PACER_BURST_LEAST_BYTES;
    p->burst_bytes = burst < PACER_BURST_BYTES ? burst : PACER_BURST_BYTES;
    if (p->tokens_bytes > p->burst_bytes)
        p->tokens_bytes = p->burst_bytes;
    p->resend_bps = target_bps / 2;
}

void pacer_on_sent(struct pacer *p, size_t bytes)
{
    p->tokens_bytes -= (int64_t)bytes;
    if (p->tokens_bytes < -DEBT_MOST_BYTES)
        p->tokens_bytes = -DEBT_MOST_BYTES;
}

void pacer_on_resent(struct pacer *p, size_t bytes)
{
    p->resend_bytes -= (int64_t)bytes;
}

/* So much goes along with the burst when nothing comes behind it. */
static int64_t tail_bytes(const struct pacer *p)
{
    uint64_t turn_bytes = p->pace_bps / 8 * PACER_TURN_US / 1000000;

    return turn_bytes < PACER_TAIL_BYTES ? (int64_t)turn_bytes : PACER_TAIL_BYTES;
}

/* rest_bytes are all that there is. */
static bool may_leave(const struct pacer *p, uint64_t rest_bytes)
{
    return p->tokens_bytes > 0 || (int64_t)rest_bytes <= p->tokens_bytes + tail_bytes(p);
}

bool pacer_may_send(struct pacer *p, size_t rest_bytes, uint64_t now_us)
{
    fill(p, now_us);
    return p->n == 0 && may_leave(p, rest_bytes);
}

void pacer_refresh(struct pacer *p)
{
    p->tokens_bytes = p->burst_bytes;
}

bool pacer_push(struct pacer *p, const struct packet *packet, uint64_t now_us)
{
    if (p->n == p->cap && !grow(p))
        return false;
    p->waits[(p->head + p->n++) % p->cap] = (struct pacer_wait){packet_ref(packet), (uint32_t)now_us};
    p->waiting_bytes += packet->payload_len;
    return true;
}

bool pacer_push_resend(struct pacer *p, uint16_t seq, uint8_t track)
{
    if (p->n_resends == PACER_RESENDS)
        return false;
    p->resends[(p->resend_head + p->n_resends++) % PACER_RESENDS] = (struct pacer_resend){seq, track};
    return true;
}

struct packet *pacer_pop(struct pacer *p, bool force, uint64_t now_us)
{
    if (p->n == 0)
        return NULL;
    fill(p, now_us);
    uint32_t waited_us = (uint32_t)now_us - p->waits[p->head].since_us;
    if (!force && !may_leave(p, p->waiting_bytes) && waited_us < PACER_WAIT_US)
        return NULL;
    struct packet *packet = p->waits[p->head].packet;
    p->head = (p->head + 1) % p->cap;
    p->n--;
    p->waiting_bytes -= packet->payload_len;
    p->most_waited_us = waited_us > p->most_waited_us ? waited_us : p->most_waited_us;
    return packet;
}

bool pacer_pop_resend(struct pacer *p, struct pacer_resend *out, uint64_t now_us)
{
    if (p->n_resends == 0)
        return false;
    fill(p, now_us);
    if (p->tokens_bytes <= 0 || (p->resend_bytes <= 0 && p->n > 0))
        return false;
    *out = p->resends[p->resend_head];
    p->resend_head = (p->resend_head + 1) % PACER_RESENDS;
    p->n_resends--;
    return true;
}

uint64_t pacer_due_us(const struct pacer *p)
{
    if (p->n == 0 && p->n_resends == 0)
        return UINT64_MAX;
    if (p->tokens_bytes > 0)
        return p->filled_us;
    return p->filled_us + (uint64_t)-p->tokens_bytes * 8 * 1000000 / (p->pace_bps ? p->pace_bps : 1) + PACER_TURN_US;
}
