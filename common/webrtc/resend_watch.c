/* SPDX-License-Identifier: Apache-2.0
 * resend_watch.c - see resend_watch.h. */
#include "webrtc/resend_watch.h"

#include <string.h>

static void drop(struct resend_watch *w, unsigned i)
{
    w->n -= w->slots[i].state != RESEND_NONE;
    w->slots[i].state = RESEND_NONE;
}

static unsigned slot_of(const struct resend_watch *w, uint16_t seq)
{
    unsigned i = 0;

    while (i < RESEND_WATCH_SLOTS && (w->slots[i].state == RESEND_NONE || w->slots[i].seq != seq))
        i++;
    return i;
}

static enum twcc_fate fate_of(const struct resend_watch *w, const struct twcc_send *sent, unsigned i)
{
    return twcc_send_fate(sent, sent->next - (uint32_t)((uint32_t)sent->next - w->slots[i].number));
}

void resend_watch_on_sent(struct resend_watch *w, uint16_t seq, uint64_t number)
{
    unsigned i = slot_of(w, seq);

    if (i == RESEND_WATCH_SLOTS) {
        i = w->next;
        w->next = (w->next + 1) % RESEND_WATCH_SLOTS;
        drop(w, i);
        w->slots[i].tries = 0;
        w->n++;
    }
    w->slots[i].number = (uint32_t)number;
    w->slots[i].seq = seq;
    w->slots[i].tries++;
    w->slots[i].state = RESEND_UNDER_WAY;
}

bool resend_watch_has(struct resend_watch *w, const struct twcc_send *sent, uint16_t seq)
{
    unsigned i = w->n ? slot_of(w, seq) : RESEND_WATCH_SLOTS;

    return i < RESEND_WATCH_SLOTS && (w->slots[i].state == RESEND_DUE || fate_of(w, sent, i) == TWCC_UNDER_WAY);
}

bool resend_watch_next(struct resend_watch *w, const struct twcc_send *sent, uint16_t *seq, unsigned *gave_up)
{
    for (unsigned i = 0; w->n > 0 && i < RESEND_WATCH_SLOTS; i++) {
        if (w->slots[i].state != RESEND_UNDER_WAY)
            continue;
        enum twcc_fate fate = fate_of(w, sent, i);
        if (fate == TWCC_UNDER_WAY)
            continue;
        if (fate == TWCC_LOST && w->slots[i].tries < RESEND_WATCH_TRIES) {
            w->slots[i].state = RESEND_DUE;
            *seq = w->slots[i].seq;
            return true;
        }
        *gave_up += fate == TWCC_LOST;
        drop(w, i);
    }
    return false;
}

void resend_watch_drop(struct resend_watch *w, uint16_t seq)
{
    unsigned i = w->n ? slot_of(w, seq) : RESEND_WATCH_SLOTS;

    if (i < RESEND_WATCH_SLOTS)
        drop(w, i);
}

void resend_watch_clear(struct resend_watch *w)
{
    memset(w, 0, sizeof(*w));
}
