/* SPDX-License-Identifier: Apache-2.0
 * parents.h - which nodes a node pulls a stream from, best first.
 *
 * An edge asks a backbone of its region, chosen by rendezvous hashing of (stream, node id), so that all
 * edges of a region choose alike and a stream lives on as few backbones as needed; then the other
 * backbones of the region, those of the owner's region, those of other regions, and last the owner itself.
 *
 * A backbone of the owner's region asks the owner. In another region one backbone, the first choice of that region's edges,
 * asks the first choice of the owner's region; the others of its region ask it. So one copy of a stream crosses
 * between two regions, on the way edge - backbone - (backbone) - backbone - origin at the most. A backbone asks another of its
 * region only when that one has the greater weight, so requests cannot go round.
 * Pure; any thread. Source: Thaler and Ravishankar 1998 (rendezvous, highest random weight). */
#pragma once

#include "directory/directory.h"
#include "relay/hub.h"

#include <stddef.h>

/* nodes[0..n): the live ones; self and nodes without a pipe address or draining are left out (the owner
 * is taken even while it drains). owner: node id of the stream's origin. */
void parents_choose(struct parent_list *out, const struct node_record *self, const struct node_record *nodes, size_t n,
                    const char *stream, const char *owner);
