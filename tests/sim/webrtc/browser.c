/* SPDX-License-Identifier: Apache-2.0
 * browser.c - see browser.h. */
#include "browser.h"

#include <string.h>

enum { AGAIN_US = 100000, TRIES = 10, PATIENCE_US = 3000000 };

void browser_init(struct browser *b, uint64_t now_us)
{
    memset(b, 0, sizeof(*b));
    b->shown_us = now_us;
}

/* ---- what is missing ------------------------------------------------------------------------------------------ */

static void drop_missing(struct browser *b, size_t i)
{
    b->missing[i] = b->missing[--b->n_missing];
}

static void found(struct browser *b, uint64_t seq)
{
    for (size_t i = 0; i < b->n_missing; i++)
        if (b->missing[i].seq == seq)
            drop_missing(b, i--);
}

static void forget_before(struct browser *b, uint64_t seq)
{
    for (size_t i = 0; i < b->n_missing; i++)
        if (b->missing[i].seq < seq)
            drop_missing(b, i--);
}

static void note_missing(struct browser *b, uint64_t seq, uint64_t now_us)
{
    for (uint64_t s = b->highest + 1; b->highest && s < seq && b->n_missing < BROWSER_NACKS; s++) {
        b->missing[b->n_missing].seq = s;
        b->missing[b->n_missing].asked_us = now_us;
        b->missing[b->n_missing++].tries = 1;
        if (b->n_first < BROWSER_NACKS)
            b->first[b->n_first++] = (uint16_t)s;
    }
}

size_t browser_nacks(struct browser *b, uint64_t now_us, uint16_t *seqs, size_t cap)
{
    size_t n = b->n_first < cap ? b->n_first : cap;

    memcpy(seqs, b->first, n * sizeof(*seqs));
    b->n_first = 0;
    for (size_t i = 0; i < b->n_missing && n < cap; i++) {
        if (now_us - b->missing[i].asked_us < AGAIN_US)
            continue;
        if (b->missing[i].tries++ == TRIES) {
            drop_missing(b, i--);
            continue;
        }
        b->missing[i].asked_us = now_us;
        seqs[n++] = (uint16_t)b->missing[i].seq;
    }
    b->nacked += n;
    return n;
}

/* ---- frames and pictures ------------------------------------------------------------------------------------------ */

static struct browser_frame *frame_of(struct browser *b, uint64_t id)
{
    struct browser_frame *f = &b->frames[id % BROWSER_FRAMES];

    return id && f->id == id ? f : NULL;
}

static bool is_known(struct browser *b, uint64_t id)
{
    const struct browser_frame *f = frame_of(b, id);

    return f && f->continuous;
}

static void propagate(struct browser *b)
{
    uint64_t newest = 0;

    for (uint64_t id = b->shown + 1; id <= b->newest; id++) {
        struct browser_frame *f = frame_of(b, id);
        if (!f || (!f->continuous && f->refers_to && !is_known(b, f->refers_to)))
            continue;
        f->continuous = true;
        newest = id;
        if (f->marker && id > b->whole)
            b->whole = id;
    }
    if (newest)
        forget_before(b, frame_of(b, newest)->last_seq);
}

static bool can_decode(struct browser *b, uint64_t first, uint64_t last)
{
    for (uint64_t id = first; id <= last; id++) {
        const struct browser_frame *f = frame_of(b, id), *to = f ? frame_of(b, f->refers_to) : NULL;
        if (f && f->refers_to && !(to && (to->decoded || f->refers_to >= first)))
            return false;
    }
    return true;
}

static bool show_next(struct browser *b, uint64_t now_us)
{
    for (uint64_t last = b->shown + 1; last <= b->whole; last++) {
        const struct browser_frame *f = frame_of(b, last);
        uint64_t first = last - last % BROWSER_SPATIALS;
        if (!f || !f->marker || !can_decode(b, first, last))
            continue;
        for (uint64_t id = first; id <= last; id++)
            if (frame_of(b, id))
                frame_of(b, id)->decoded = true;
        b->longest_us = b->pictures && now_us - b->shown_us > b->longest_us ? now_us - b->shown_us : b->longest_us;
        b->shown = last;
        b->shown_us = now_us;
        b->pictures++;
        b->spatial = (uint8_t)(last % BROWSER_SPATIALS);
        return true;
    }
    return false;
}

static const struct browser_packet *packet_of(const struct browser *b, uint64_t seq, const struct browser_mark *of)
{
    const struct browser_packet *p = &b->packets[seq % BROWSER_PACKETS];

    return p->seq == seq && p->mark.picture == of->picture && p->mark.spatial == of->spatial ? p : NULL;
}

/* The frame that the packet is of, if it is whole now. */
static void assemble(struct browser *b, uint64_t seq, const struct browser_mark *m)
{
    const struct browser_packet *first = packet_of(b, seq, m), *last = first;
    uint64_t id = (uint64_t)m->picture * BROWSER_SPATIALS + m->spatial;

    while (first && !first->mark.start)
        first = packet_of(b, first->seq - 1, m);
    while (last && !last->mark.end)
        last = packet_of(b, last->seq + 1, m);
    if (!first || !last || id <= b->shown)
        return;
    b->frames[id % BROWSER_FRAMES] =
        (struct browser_frame){.id = id, .last_seq = last->seq, .refers_to = m->refers_to, .marker = last->marker};
    b->newest = id > b->newest ? id : b->newest;
}

void browser_on_packet(struct browser *b, uint64_t seq, const struct browser_mark *mark, bool marker, uint64_t now_us)
{
    if (b->packets[seq % BROWSER_PACKETS].seq == seq)
        return; /* a repeat */
    found(b, seq);
    note_missing(b, seq, now_us);
    b->highest = seq > b->highest ? seq : b->highest;
    b->packets[seq % BROWSER_PACKETS] = (struct browser_packet){seq, *mark, marker};
    assemble(b, seq, mark);
    propagate(b);
    while (show_next(b, now_us))
        ;
}

bool browser_wants_keyframe(struct browser *b, uint64_t now_us)
{
    if (now_us - b->shown_us < PATIENCE_US || now_us - b->asked_us < PATIENCE_US)
        return false;
    b->asked_us = now_us;
    b->keyframes_asked++;
    return true;
}
