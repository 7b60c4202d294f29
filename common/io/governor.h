/* SPDX-License-Identifier: Apache-2.0
 * governor.h - how overloaded a worker is, and which viewers are served less for it.
 *
 * A worker is overloaded when it never waits and its turns grow long: each turn then has more to send than the
 * last. Pressure rises while that is so and falls when there is time to spare again; in between it stays, so that a worker
 * settles where it is busy but not late. Pressure is counted in viewers: of 1,000 ranks, that many lose the frames that
 * nothing refers to; beyond 1,000, that many more see keyframes only. So viewers are thinned one by one, always the same
 * ones first, and those who are whole lose nothing.
 *
 * What counts is the time by the clock: a worker that other processes keep from running is as late as one with too much to do.
 * Pure: time is an argument. Thread: the worker's. Ownership: embedded in its worker. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum {
    GOVERNOR_RANKS = 1000,
    GOVERNOR_PRESSURE_MAX = 2 * GOVERNOR_RANKS,
    GOVERNOR_REFUSE_FROM = GOVERNOR_RANKS * 3 / 2, /* half of the viewers see keyframes only: no more are let in ... */
    GOVERNOR_REFUSE_US = 5000000, /* ... when it lasts: a crowd that comes at once is an overload that passes */
    GOVERNOR_UNREAD_US = 3000000, /* nor while what viewers say has had to wait for so long: handshakes would end too late */
    GOVERNOR_WINDOW_US = 100000,                   /* over which is judged; a longer turn is a window */
    GOVERNOR_LOAD_WINDOWS = 8,                     /* over which a mean is taken, about a second */
    GOVERNOR_TURN_US = 60000,                      /* longer is late: two frames of 30 a second at once */
    GOVERNOR_TURN_FAR_US = 240000,                 /* far too late: pressure rises twice as fast */
    GOVERNOR_BUSY_PERMILLE = 950,                  /* more: it never waits */
    GOVERNOR_SPARE_PERMILLE = 850,                 /* less: there is room to serve more */
};

enum governor_thin {
    GOVERNOR_WHOLE,
    GOVERNOR_TEMPORAL,  /* without the frames that nothing refers to */
    GOVERNOR_KEYFRAMES, /* keyframes only */
};

struct governor {
    uint32_t pressure;      /* 0 .. GOVERNOR_PRESSURE_MAX */
    uint32_t busy_permille; /* of the last window */
    uint32_t load_sum;      /* the same, summed up over the last windows as far as they count; see governor_load_permille */
    uint64_t turn_us;       /* the longest turn of the last window */
    uint64_t window_us, window_idle_us, longest_us; /* of the present window: its beginning, what had been waited by then */
    uint64_t last_us, last_idle_us, last_aside_us;  /* of the last turn */
    uint64_t crowded_us;    /* so long the pressure has been one to refuse for */
    uint64_t unread_us;     /* so long what viewers say has not been read to its end: more comes than there is time for */
    bool late;              /* the last window was: one alone may be a stall of the machine */
    uint64_t overloaded_us; /* so long in all windows that were late */
};

void governor_init(struct governor *g, uint64_t now_us);
/* At the end of each turn. Since the worker began, idle_us: what it has waited for something to do; aside_us: what it has spent,
 * bounded in each turn, on what may wait, as handshakes: it makes no turn late. */
void governor_on_turn(struct governor *g, uint64_t now_us, uint64_t idle_us, uint64_t aside_us);

/* rank: 0 .. GOVERNOR_RANKS - 1, a viewer's own for life; the lowest are thinned first. */
static inline enum governor_thin governor_thinning(const struct governor *g, uint32_t rank)
{
    if (g->pressure > GOVERNOR_RANKS + rank)
        return GOVERNOR_KEYFRAMES;
    return g->pressure > rank ? GOVERNOR_TEMPORAL : GOVERNOR_WHOLE;
}

/* How busy it is on average: what a keyframe takes for once makes little of it. */
static inline uint32_t governor_load_permille(const struct governor *g)
{
    return g->load_sum / GOVERNOR_LOAD_WINDOWS;
}

/* Whether it is busy enough for what spares it work. That makes it less busy: so once it is, half of it will do. */
static inline bool governor_is_past(uint32_t load_permille, uint32_t from_permille, bool was_past)
{
    return load_permille >= (was_past ? from_permille / 2 : from_permille);
}

enum { GOVERNOR_MARK_WEIGHT_LOG2 = 5 /* a second of pictures */ };

/* The same for who looks at it with each picture, and has a mean of its own over those. */
struct governor_mark {
    uint32_t from_permille; /* so busy its worker has to be; 0: it need not be */
    uint32_t sum;           /* of the busy share, per mille, a mean over the last pictures times how many those are */
    bool past;
};

static inline void governor_mark_push(struct governor_mark *m, uint32_t busy_permille)
{
    m->sum += busy_permille - (m->sum >> GOVERNOR_MARK_WEIGHT_LOG2);
    m->past = governor_is_past(m->sum >> GOVERNOR_MARK_WEIGHT_LOG2, m->from_permille, m->past);
}

/* 0: all is well; 1: frames are left out; 2: some see keyframes only; 3: nobody else is let in. */
static inline unsigned governor_level(const struct governor *g)
{
    if (g->crowded_us >= GOVERNOR_REFUSE_US || g->unread_us >= GOVERNOR_UNREAD_US)
        return 3;
    return g->pressure > GOVERNOR_RANKS ? 2 : g->pressure > 0;
}
