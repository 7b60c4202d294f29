/* SPDX-License-Identifier: Apache-2.0
 * metrics.h - figures of all workers, added up and printed as Prometheus text.
 *
 * Thread: a struct metrics belongs to one worker at a time; it is filled on each worker and merged
 * on the one that answers. Source: Prometheus text exposition format 0.0.4. */
#pragma once

#include "base/compiler.h"

#include <stddef.h>
#include <stdint.h>

struct metrics;

enum metric_type { METRIC_COUNTER, METRIC_GAUGE };

/* A figure's family; a table of them is written beside the code that counts. Borrowed for ever (static). */
struct metric {
    const char *name; /* "millrace_..."; counters end in _total */
    const char *help;
    enum metric_type type;
};

MUST_USE int metrics_create(struct metrics **out);
void metrics_destroy(struct metrics **m);
/* Adds value to the sample of family with these labels ("kind=\"whep\"", or ""; copied). */
void metrics_add(struct metrics *m, const struct metric *family, const char *labels, double value);
/* Adds all of from to into. */
void metrics_merge(struct metrics *into, const struct metrics *from);
/* The text, to be freed by the caller; NULL when memory is short. */
char *metrics_print(const struct metrics *m, size_t *len);
