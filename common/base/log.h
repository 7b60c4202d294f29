/* SPDX-License-Identifier: Apache-2.0
 * log.h - lines for the operator, on stderr, one write(2) a line; any thread.
 *
 *   2026-01-31T12:00:00.123Z WARN  rtmp: bad chunk header peer=10.0.0.7:51312
 *
 * Never on the packet path. What a peer can cause at will is limited: LOG_LIMITED() lets through a
 * line a second a place and counts what it held back. */
#pragma once

#include "base/compiler.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level level);
/* Name shown in each line of this thread (a worker's); NULL for none. Borrowed. */
void log_set_thread(const char *name);
bool log_wanted(enum log_level level);
void log_line(enum log_level level, const char *area, const char *fmt, ...) PRINTF_LIKE(3, 4);

#define log_debug(area, ...) \
    do { \
        if (log_wanted(LOG_DEBUG)) \
            log_line(LOG_DEBUG, area, __VA_ARGS__); \
    } while (0)
#define log_info(area, ...) log_line(LOG_INFO, area, __VA_ARGS__)
#define log_warn(area, ...) log_line(LOG_WARN, area, __VA_ARGS__)
#define log_error(area, ...) log_line(LOG_ERROR, area, __VA_ARGS__)

struct log_limit {
    _Atomic uint64_t next_us;    /* monotonic; before it lines are held back */
    _Atomic uint64_t suppressed; /* held back since the last line */
};

/* True when a line may be written now; *suppressed is then what was held back before it. */
bool log_limit_pass(struct log_limit *limit, uint64_t *suppressed);

/* A warning that outsiders can provoke: at most one a second from this place in the code. */
#define LOG_LIMITED(area, fmt, ...) \
    do { \
        static struct log_limit limit_; \
        uint64_t held_; \
        if (log_limit_pass(&limit_, &held_)) \
            log_line(LOG_WARN, area, fmt " (held back %llu)" __VA_OPT__(, ) __VA_ARGS__, \
                     (unsigned long long)held_); \
    } while (0)
