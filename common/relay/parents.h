/* SPDX-License-Identifier: Apache-2.0
 * parents.h - which nodes a node pulls a stream from, best first.
 *
 * An edge asks a backbone of its region, chosen by rendezvous hashing of (stream, node id), so that all
 * edges of a region choose alike and a stream lives on as few backbones as needed; then the other
 * backbones of the region, those of other regions, and last the owner itself. A backbone asks the owner.
 * Pure; any thread. Source: Thaler and Ravishankar 1998 (rendezvous, highest random weight). */
#pragma once

#include "directory/directory.h"
#include "relay/hub.h"

#include <stddef.h>

/* nodes[0..n): the live ones; self and nodes without a pipe address or draining are left out (the owner
 * is taken even while it drains). owner: node id of the stream's origin. */
void parents_choose(struct parent_list *out, const struct node_record *self, const struct node_record *nodes, size_t n,
                    const char *stream, const char *owner);
