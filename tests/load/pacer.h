/* SPDX-License-Identifier: Apache-2.0
 * pacer.h - a source's frames at their times, round and round, some with the stamp of their sending.
 *
 * A program that was stopped for a while goes on with a keyframe at the time that it is then, as an encoder would: what was due
 * meanwhile is not made up for.
 *
 * Thread: the worker's. Ownership: embedded in a publisher. */
#pragma once

#include "io/timer.h"
#include "media_source.h"
#include "stamp.h"
#include "tally.h"

#include <stdint.h>

struct pacer {
    const struct media_source *media;
    struct tally *tally;
    /* Time to send it. round_us is added to its times. Video: the data may begin with a stamp. */
    void (*on_frame)(void *arg, const struct media_frame *f, uint64_t round_us);
    void *arg;
    struct timer timer;
    uint64_t start_us, round_us;
    size_t next;
    unsigned n_video, stamp_every;
    struct stamp_past past;
    uint8_t *stamped; /* room for the largest frame and its stamp */
};

/* Of stamp_every frames of video one is stamped. 0 or -1 when memory is short. */
MUST_USE int pacer_start(struct pacer *p, struct worker *w, const struct media_source *m, unsigned stamp_every,
                         struct tally *tally, void (*on_frame)(void *, const struct media_frame *, uint64_t),
                         void *arg);
/* Harmless when it was never started (zero). */
void pacer_stop(struct pacer *p);
