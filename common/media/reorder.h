/* SPDX-License-Identifier: Apache-2.0
 * reorder.h - packets of one (track, layer) back into the order of their sequence numbers.
 *
 * Late and recovered packets travel out of order (a relay holds nothing back); whoever takes frames
 * together needs order and pays for it with waiting, here: a gap holds up what is behind it for at most
 * wait_us, then it counts as lost.
 * Pure; thread: its owner's. Ownership: holds a reference on each packet it keeps. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"

#include <stdbool.h>
#include <stdint.h>

enum { REORDER_SLOTS = 1024 /* packets behind a gap; 3 s of 4 Mbit/s */ };

struct reorder {
    uint64_t wait_us;
    uint64_t next_seq;     /* the one to come out; valid when started */
    uint64_t gap_since_us; /* when the present gap was first met; 0: none was */
    size_t held;
    bool started;
    uint64_t lost, late; /* numbers given up; packets that came after that, or twice */
    struct packet *slots[REORDER_SLOTS];
};

void reorder_init(struct reorder *r, uint64_t wait_us);
void reorder_fini(struct reorder *r);
/* Forgets everything; the next packet pushed may be any. */
void reorder_reset(struct reorder *r);
/* What comes out first is seq, or whatever follows when that does not come in time. On a fresh or reset
 * one. */
void reorder_start(struct reorder *r, uint64_t seq);
/* Keeps a reference of its own. */
void reorder_push(struct reorder *r, const struct packet *p);
/* The next packet in order, with its reference, or NULL: pop until then, after each push and when
 * reorder_due_us has come. */
struct packet *reorder_pop(struct reorder *r, uint64_t now_us);
/* When the present gap is given up; UINT64_MAX without one. */
uint64_t reorder_due_us(const struct reorder *r);
