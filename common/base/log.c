/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE_CAP = 1024 /* bytes; a longer line is cut */, LIMIT_US = 1000000 };

static _Atomic int min_level = LOG_INFO;
static _Thread_local const char *thread_name;

void log_set_level(enum log_level level)
{
    min_level = (int)level;
}

void log_set_thread(const char *name)
{
    thread_name = name;
}

bool log_wanted(enum log_level level)
{
    return (int)level >= min_level;
}

/* Characters below space, from outside, could forge a second line. */
static void flatten(char *line, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)line[i] < ' ')
            line[i] = '?';
}

void log_line(enum log_level level, const char *area, const char *fmt, ...)
{
    static const char *const names[] = {"DEBUG", "INFO ", "WARN ", "ERROR"};
    char line[LINE_CAP];
    struct timespec now;
    struct tm utc;

    if (!log_wanted(level))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t n = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, sizeof(line) - n, ".%03ldZ %s %s%s%s: ", now.tv_nsec / 1000000,
                          names[level], thread_name ? thread_name : "", thread_name ? " " : "", area);
    va_list args;
    va_start(args, fmt);
    int more = vsnprintf(line + n, sizeof(line) - n - 1, fmt, args);
    va_end(args);
    if (more < 0)
        return;
    n += (size_t)more;
    if (n > sizeof(line) - 2)
        n = sizeof(line) - 2;
    flatten(line, n);
    line[n++] = '\n';
    if (write(STDERR_FILENO, line, n) < 0)
        return; /* nowhere left to say it */
}

bool log_limit_pass(struct log_limit *limit, uint64_t *suppressed)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    uint64_t now_us = (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
    uint64_t next_us = limit->next_us;

    if (now_us < next_us || !atomic_compare_exchange_strong(&limit->next_us, &next_us, now_us + LIMIT_US)) {
        limit->suppressed++;
        return false;
    }
    *suppressed = atomic_exchange(&limit->suppressed, 0);
    return true;
}
