/* SPDX-License-Identifier: Apache-2.0
 * pacer.h - when the next bytes to a viewer may leave: bursts at once, more than that spaced at 2.5 times the target. A burst
 * is 40 ms at that pace, 16 KiB at most: a path that carries little has a short queue.
 *
 * Audio goes first: it is sent at once and only counted. Retransmissions come next, within a budget of their own. Video that may
 * not leave yet waits in a ring, in its order; one turn sends what has come together, so that a frame's packets still
 * leave as one GSO message. A frame that fits the burst never waits, and the little that is left over of one leaves with the rest
 * of it. Nothing is ever dropped here: what has waited too long, or does not fit, goes out.
 * Pure: time is an argument. Hot: no allocation but that the ring doubles when more waits than ever did. Thread: the
 * worker's. Ownership: embedded; holds a reference to each packet that waits. */
#pragma once

#include "media/packet.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PACER_BURST_BYTES = 16 * 1024, /* at most ... */
    PACER_BURST_LEAST_BYTES = 3000,
    PACER_BURST_US = 40000,
    PACER_TAIL_BYTES = 4 * 1024, /* the last of a frame, of so much at most or what the pace lets go in a turn: a turn of its own costs more */
    PACER_SLOTS = 512,       /* packets that wait at most: a keyframe of 600 KB */
    PACER_SLOTS_FIRST = 64,  /* room for so many at first: most keyframes */
    PACER_RESENDS = 128,     /* numbers that wait */
    PACER_WAIT_US = 500000,  /* nothing waits longer */
    PACER_TURN_US = 5000,    /* what is due within it leaves together, as browsers pace */
};

struct pacer_resend {
    uint16_t seq;
    uint8_t track; /* the owner's */
};

struct pacer_wait {
    struct packet *packet;
    uint32_t since_us; /* low bits */
};

struct pacer {
    struct pacer_resend resends[PACER_RESENDS];
    unsigned resend_head, n_resends;
    uint64_t waiting_bytes, most_waited_us;
    struct pacer_wait *waits;           /* a ring of cap; NULL with 0 */
    unsigned head, n, cap;              /* video; this and what follows is looked at with each packet */
    uint64_t pace_bps, resend_bps;
    int64_t burst_bytes;
    int64_t tokens_bytes, resend_bytes; /* may be sent now; below zero after a packet that just fitted, and after audio */
    uint64_t filled_us;
};

void pacer_init(struct pacer *p, uint64_t target_bps, uint64_t now_us);
/* Lets all references go. */
void pacer_clear(struct pacer *p);
/* And the memory. */
void pacer_fini(struct pacer *p);
/* Pace and budget of retransmissions follow the target; media_bps: what has to go through in any case. */
void pacer_set_target(struct pacer *p, uint64_t target_bps, uint64_t media_bps, uint64_t now_us);
/* Something left, whatever it was. */
void pacer_on_sent(struct pacer *p, size_t bytes);

/* Whether the next packet may leave now, because nothing waits and the burst is not used up. rest_bytes: what comes with it, itself
 * included. */
bool pacer_may_send(struct pacer *p, size_t rest_bytes, uint64_t now_us);
/* The burst is whole again. */
void pacer_refresh(struct pacer *p);
/* Takes a reference. False when there is no room: pop and send first. */
bool pacer_push(struct pacer *p, const struct packet *packet, uint64_t now_us);
/* False when there is no room (they will be asked for again). */
bool pacer_push_resend(struct pacer *p, uint16_t seq, uint8_t track);
/* The next video packet that may leave now, or NULL; the reference is the caller's. force: whether it may or not. */
struct packet *pacer_pop(struct pacer *p, bool force, uint64_t now_us);
/* The next retransmission that may leave now. Its bytes are to be told by pacer_on_resent too. */
bool pacer_pop_resend(struct pacer *p, struct pacer_resend *out, uint64_t now_us);
void pacer_on_resent(struct pacer *p, size_t bytes);
/* When something that waits may leave; UINT64_MAX: nothing waits. */
uint64_t pacer_due_us(const struct pacer *p);
