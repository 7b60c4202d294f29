/* SPDX-License-Identifier: Apache-2.0
 * silent.h - callbacks of a router that have nothing to do in a test. */
#pragma once

#include "router/router.h"

static inline void ignore_router(void *arg, struct router *r)
{
    (void)arg, (void)r;
}

static inline void ignore_want(struct producer *p, uint64_t want)
{
    (void)p, (void)want;
}

static inline void ignore_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p, (void)track, (void)layer;
}
