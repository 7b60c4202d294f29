/* SPDX-License-Identifier: Apache-2.0
 * resend_watch.h - what became of retransmissions: one that is lost too is sent again without being asked for.
 *
 * Browsers end their asking when a frame of the lowest spatial layer comes whole after the hole, while no picture can be shown until
 * the hole in the upper layer is filled; and behind a full queue they ask again for what is on its way. Transport-wide
 * feedback tells both.
 * Pure. Hot: no allocation. Thread: the worker's. Ownership: embedded. */
#pragma once

#include "webrtc/twcc_send.h"

enum {
    RESEND_WATCH_SLOTS = 64, /* retransmissions under way; the oldest are given up for more */
    RESEND_WATCH_TRIES = 6,
};

enum resend_state { RESEND_NONE = 0, RESEND_UNDER_WAY, RESEND_DUE };

struct resend_watch {
    struct {
        uint32_t number; /* transport-wide, low bits, of the newest try */
        uint16_t seq;
        uint8_t tries;
        uint8_t state;   /* enum resend_state */
    } slots[RESEND_WATCH_SLOTS];
    unsigned next, n;    /* n: in use */
};

/* The packet seq was sent again under this number. */
void resend_watch_on_sent(struct resend_watch *w, uint16_t seq, uint64_t number);
/* It is on its way, as far as anybody knows, or will be sent anyway: it need not be sent because it is asked for. */
bool resend_watch_has(struct resend_watch *w, const struct twcc_send *sent, uint16_t seq);
/* After feedback: the next one that was lost and is to be sent again. False when there is none. gave_up counts those that
 * were lost too often. */
bool resend_watch_next(struct resend_watch *w, const struct twcc_send *sent, uint16_t *seq, unsigned *gave_up);
/* It is not sent again after all. */
void resend_watch_drop(struct resend_watch *w, uint16_t seq);
/* Nothing is watched any more. */
void resend_watch_clear(struct resend_watch *w);
