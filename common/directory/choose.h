/* SPDX-License-Identifier: Apache-2.0
 * choose.h - which node a client is sent to.
 *
 * The near ones: of the client's region; else those about as close as the closest; else all. Among them two at random, of which
 * the one that has the stream already wins unless it is busy, then the less loaded (Mitzenmacher 2001: two choices).
 * Never a draining or full one.
 * Pure; any thread. */
#pragma once

#include "directory/directory.h"
#include "directory/locate.h"

#include <stddef.h>
#include <stdint.h>

enum {
    CHOOSE_NEAR_KM = 300,       /* farther than the closest by no more: as near */
    CHOOSE_BUSY_PERMILLE = 700, /* a node with the stream is preferred below this load */
};

struct choose_query {
    enum node_role role;      /* NODE_EDGE to play, NODE_ORIGIN to publish */
    const struct place *place; /* of the client; NULL: unknown */
    /* Whether a node has the stream. NULL: nobody is known to have it. */
    bool (*has)(void *arg, const char *node_id);
    void *arg;
    uint32_t random;          /* decides between equals */
};

/* Index into nodes[0..n), or -1 when there is none to take it. */
int choose_node(const struct node_record *nodes, size_t n, const struct choose_query *q);
/* Whether nodes[at] is among the near ones and would take the client: then there is no reason to send it elsewhere. */
bool choose_keeps(const struct node_record *nodes, size_t n, const struct choose_query *q, size_t at);
/* The greatest share of its capacities that a node uses, 0 .. 1000 and above; an overloaded one uses all. */
uint32_t node_load_permille(const struct node_record *n);
