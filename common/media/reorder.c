/* SPDX-License-Identifier: Apache-2.0 */
#include "media/reorder.h"

#include <string.h>

_Static_assert((REORDER_SLOTS & (REORDER_SLOTS - 1)) == 0, "slots are found by masking");

static struct packet **slot(struct reorder *r, uint64_t seq)
{
    return &r->slots[seq & (REORDER_SLOTS - 1)];
}

void reorder_init(struct reorder *r, uint64_t wait_us)
{
    memset(r, 0, sizeof(*r));
    r->wait_us = wait_us;
}

void reorder_reset(struct reorder *r)
{
    for (uint64_t i = 0; r->held && i < REORDER_SLOTS; i++) {
        if (!r->slots[i])
            continue;
        packet_unref(&r->slots[i]);
        r->held--;
    }
    r->started = false;
    r->gap_since_us = 0;
}

void reorder_fini(struct reorder *r)
{
    reorder_reset(r);
}

void reorder_start(struct reorder *r, uint64_t seq)
{
    r->next_seq = seq;
    r->started = true;
}

void reorder_push(struct reorder *r, const struct packet *p)
{
    if (r->started && p->seq >= r->next_seq + REORDER_SLOTS) {
        /* A gap longer than all there is room for. What was behind the old place is given up with it. */
        r->lost += p->seq - r->next_seq;
        reorder_reset(r);
    }
    if (!r->started)
        reorder_start(r, p->seq);
    if (p->seq < r->next_seq || *slot(r, p->seq)) {
        r->late++;
        return;
    }
    *slot(r, p->seq) = packet_ref(p);
    r->held++;
}

static void give_up_gap(struct reorder *r)
{
    while (!*slot(r, r->next_seq)) {
        r->next_seq++;
        r->lost++;
    }
}

struct packet *reorder_pop(struct reorder *r, uint64_t now_us)
{
    if (r->held == 0)
        return NULL;
    if (!*slot(r, r->next_seq)) {
        if (r->gap_since_us == 0)
            r->gap_since_us = now_us;
        if (now_us - r->gap_since_us < r->wait_us)
            return NULL;
        give_up_gap(r);
    }
    struct packet **at = slot(r, r->next_seq), *p = *at;
    *at = NULL;
    r->held--;
    r->next_seq++;
    r->gap_since_us = 0;
    return p;
}

uint64_t reorder_due_us(const struct reorder *r)
{
    return r->gap_since_us ? r->gap_since_us + r->wait_us : UINT64_MAX;
}
