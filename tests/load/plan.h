/* SPDX-License-Identifier: Apache-2.0
 * plan.h - what to do: groups of viewers and publishers, from the command line or a scenario in YAML.
 *
 * A group of viewers joins at `ramp` a second, stays for `hold`, leaves; meanwhile `churn` viewers a second leave and are
 * replaced. A surge is a group of its own that starts later. Scenario files look like this (every key but the URL may be
 * left out):
 *
 *   duration: 30           # seconds after the last ramp; for groups without hold
 *   publish:
 *     - rtmp: rtmp://127.0.0.1/live/s{n}
 *       synthetic: 720p30@2.5M
 *       count: 4           # {n} is 0, 1, 2, 3
 *       stamp_every: 7     # of so many frames one says when it and those since the last one were sent
 *       start: 1           # and ramp, hold: as below; without hold they publish until all viewers have left
 *   watch:
 *     - whep: http://127.0.0.1:8082/whep/live/s{n}
 *       viewers: 400
 *       streams: 4         # {n} goes round 0..3
 *       ramp: 100
 *       start: 2
 *       hold: 60
 *       churn: 5
 *       surge: { at: 20, viewers: 200, ramp: 1000, hold: 10 }   # or a list of them
 *     - flv: http://127.0.0.1:8082/live/s{n}.flv
 *       viewers: 100       # without start: 2 s after the last publisher, or at once
 *
 * Pure but for plan_read_file; any thread. Ownership: plain values. */
#pragma once

#include "base/compiler.h"
#include "url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PLAN_GROUPS_MAX = 64, PLAN_ERROR_CAP = 512, PLAN_PATH_MAX = 1024 };

enum plan_kind { PLAN_WHEP, PLAN_FLV, PLAN_RTMP, PLAN_WHIP };

struct plan_group {
    enum plan_kind kind;
    char url[URL_BYTES_MAX + 1]; /* may have {n} in it */
    unsigned count;      /* viewers or publishers */
    unsigned streams;    /* viewers: {n} goes round 0 .. streams - 1 */
    double ramp;         /* joins a second; 0: all at once */
    double start_s; /* < 0: not said, see plan_finish */
    double hold_s;  /* < 0: the plan's duration; publishers: until all viewers have left */
    double churn;        /* viewers: so many a second leave and are replaced */
    char source[PLAN_PATH_MAX]; /* publishers: a file, or */
    char synthetic[64];  /* "720p30@2.5M" */
    unsigned stamp_every; /* publishers: of so many frames one says when it was sent (stamp.h) */
};

enum {
    /* A NAL unit more is a packet and a message more, which many encoders do not send. Odd and prime, so that frames of all
     * places in a group of pictures have a stamp at some time. */
    PLAN_STAMP_EVERY = 7,
    PLAN_PUBLISHED_S = 2,
};

struct plan {
    struct plan_group groups[PLAN_GROUPS_MAX];
    size_t n_groups;
    double duration_s;
};

static inline bool plan_is_viewer(const struct plan_group *g)
{
    return g->kind == PLAN_WHEP || g->kind == PLAN_FLV;
}

/* Zero but for the defaults. */
void plan_init(struct plan *p);
/* A new group with defaults; NULL when there are too many. */
struct plan_group *plan_group_push(struct plan *p, enum plan_kind kind, const char *url);
/* Appends what a scenario says. 0, or -1 with file, line and what is wrong in err. */
MUST_USE int plan_read(struct plan *p, const char *name, const char *text, size_t len, char err[PLAN_ERROR_CAP]);
MUST_USE int plan_read_file(struct plan *p, const char *path, char err[PLAN_ERROR_CAP]);
/* When all is read: groups that do not say when they start do so at once, viewers where there are publishers PLAN_PUBLISHED_S after the
 * last of those, so that servers know their streams. */
void plan_finish(struct plan *p);
/* Whether it can be done: URLs, counts, sources. 0, or -1 with the reason. */
MUST_USE int plan_check(const struct plan *p, char err[PLAN_ERROR_CAP]);

/* Seconds after the start until the last of the group has been started, and until it leaves. */
double plan_group_ramped_s(const struct plan_group *g);
double plan_group_end_s(const struct plan *p, const struct plan_group *g);
/* Of the whole plan: the last viewer has been started; the last has left. */
double plan_ramped_s(const struct plan *p);
double plan_end_s(const struct plan *p);

/* "2.5M", "800k", "12": decimal multiples. 0 or -1. */
MUST_USE int plan_number(const char *text, double *out);

/* "720p30@2.5M": height, frames a second, bits a second. 0 or -1. */
struct plan_synthetic {
    unsigned width, height, fps;
    double bps;
};
MUST_USE int plan_synthetic(const char *text, struct plan_synthetic *out);
