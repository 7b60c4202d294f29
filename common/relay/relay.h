/* SPDX-License-Identifier: Apache-2.0
 * relay.h - where a stream's packets come from on this worker: a publisher here, another worker, or a parent node.
 *
 * Every stream has a home worker in each process, hash_code_stable(name) % workers. The home's router is fed by the
 * local publisher or by the one pull from a parent; the routers of other workers are fed by a link (a mailbox) from the home.
 * Thread: one relay a worker; functions are that worker's. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "router/router.h"

struct relay;

/* The router of a stream on this worker; attach a consumer and the relay fetches the stream. NULL: bad name or no memory. */
struct router *relay_router(struct relay *r, const char *name);
/* As relay_router but only when it exists. */
struct router *relay_find(struct relay *r, const char *name);
struct worker *relay_worker(struct relay *r);
/* Packets of this worker. */
struct pool *relay_pool(struct relay *r);
/* The worker index that is home of a stream. */
unsigned relay_home(const struct relay *r, const char *name);
