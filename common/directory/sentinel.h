/* SPDX-License-Identifier: Apache-2.0
 * sentinel.h - asks Redis Sentinel where the master is.
 *
 * Thread: any; it blocks, so it runs in a job (io/job.h). Ownership: the struct is plain and may be copied.
 * Source: redis.io, "Guidelines for Redis clients with support for Redis Sentinel": any sentinel that knows the name answers; whoever
 * connects then checks ROLE; after every lost connection they are asked anew. */
#pragma once

#include "base/compiler.h"

#include <stddef.h>

enum { SENTINELS_MAX = 8, SENTINEL_TEXT_MAX = 255, SENTINEL_ASK_MS = 500 /* each, to connect and to answer */ };

struct sentinels {
    size_t n;
    char address[SENTINELS_MAX][SENTINEL_TEXT_MAX + 1]; /* host:port */
    char master_name[SENTINEL_TEXT_MAX + 1];
};

/* 0 with "host:port" in address, or -1 when none of them knows. */
MUST_USE int sentinels_find_master(const struct sentinels *s, char *address, size_t cap);
