/* SPDX-License-Identifier: Apache-2.0
 * report.h - what a run found: lines for the terminal, JSON, CSV, and a page with plots that needs no network.
 *
 * Thread: the main one. Ownership: plain values. */
#pragma once

#include "base/compiler.h"
#include "plan.h"
#include "tally.h"

#include <stdbool.h>
#include <stddef.h>

/* One interval of the run. */
struct report_sample {
    double at_s, seconds; /* its end since the start, and its length */
    unsigned playing;
    uint64_t joined, failed, rtp_received, rtp_lost, nacks, bytes, frames, freezes, socket_drops;
    double join_p50_ms, join_p95_ms, keyframe_p50_ms, keyframe_p95_ms, delay_p50_ms, delay_p95_ms, delay_p99_ms, jitter_p95_ms;
};

struct report {
    char command[1024];      /* as it was called */
    double seconds;          /* from the start to the end */
    double steady_from_s, steady_s; /* when all viewers were started, and how long that lasted; 0: never */
    const char *socket_mode; /* "one socket for many" and the like */
    unsigned threads;
    struct tally total, steady; /* steady: of that window only */
    unsigned playing_at_end;
    struct report_sample *samples;
    size_t n_samples, cap_samples;
};

/* The difference of two states as a sample. */
void report_sample_make(struct report_sample *s, const struct tally *delta, double at_s, double seconds, unsigned playing);
MUST_USE int report_sample_push(struct report *r, const struct report_sample *s); /* 0 or -1 */
void report_fini(struct report *r);

void report_print_line(const struct report_sample *s, const struct tally *total, bool terminal);
void report_print_end(const struct report *r);
/* 0, or -1 with a line on stderr. */
MUST_USE int report_write_json(const struct report *r, const char *path);
MUST_USE int report_write_csv(const struct report *r, const char *path);
MUST_USE int report_write_html(const struct report *r, const char *path);
/* As report_write_json writes it; the caller frees. NULL when memory is short. */
char *report_json(const struct report *r);
