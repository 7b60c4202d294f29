/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/parents.h"

#include "base/hash.h"
#include "relay/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct candidate {
    const struct node_record *node;
    unsigned tier;   /* lower is asked first */
    uint64_t weight; /* within a tier, higher first */
};

enum { TIER_REGION, TIER_OWNERS_REGION, TIER_ELSEWHERE, TIER_OWNER, TIER_NONE };

static uint64_t rendezvous_weight(const char *stream, const char *node_id)
{
    char key[STREAM_NAME_MAX + NODE_ID_MAX + 2];
    int n = snprintf(key, sizeof(key), "%s\n%s", stream, node_id);

    return hash_code_stable(key, (size_t)n);
}

/* What the choice is made for. */
struct choice {
    const struct node_record *self;
    const char *owner, *owners_region; /* the region NULL: the owner is not among the nodes */
    uint64_t weight;                   /* of self */
};

/* Whether a backbone may ask another one of its own region: only for a stream of another region, and only upwards in
 * weight, so that requests cannot go round. */
static bool asks_above(const struct choice *c, uint64_t weight)
{
    return c->owners_region && strcmp(c->self->region, c->owners_region) != 0 && weight > c->weight;
}

static unsigned tier_of(const struct choice *c, const struct node_record *node, uint64_t weight)
{
    const struct node_record *self = c->self;

    if (strcmp(node->id, self->id) == 0 || node->pipe[0] == '\0')
        return TIER_NONE;
    if (strcmp(node->id, c->owner) == 0)
        return TIER_OWNER;
    if (self->role == NODE_ORIGIN || node->role != NODE_BACKBONE || node->draining)
        return TIER_NONE;

    bool of_region = strcmp(node->region, self->region) == 0;
    bool of_owner = c->owners_region && strcmp(node->region, c->owners_region) == 0;
    if (self->role == NODE_BACKBONE) {
        if (of_region)
            return asks_above(c, weight) ? TIER_REGION : TIER_NONE;
        return of_owner ? TIER_OWNERS_REGION : TIER_NONE;
    }
    return of_region ? TIER_REGION : of_owner ? TIER_OWNERS_REGION : TIER_ELSEWHERE;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
    return a->tier != b->tier ? a->tier < b->tier : a->weight > b->weight;
}

/* Keeps v sorted, best first, and at most PARENTS_MAX long; the owner is always the last resort. */
static size_t insert(struct candidate *v, size_t n, struct candidate c)
{
    size_t at = n;

    while (at > 0 && better(&c, &v[at - 1]))
        at--;
    if (at == PARENTS_MAX)
        return n;
    size_t last = n < PARENTS_MAX ? n : PARENTS_MAX - 1;
    memmove(&v[at + 1], &v[at], (last - at) * sizeof(*v));
    v[at] = c;
    return last + 1;
}

static const char *region_of(const struct node_record *nodes, size_t n, const char *id)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(nodes[i].id, id) == 0)
            return nodes[i].region;
    return NULL;
}

/* A node's address for the worker that is the stream's home there: it need not hand the packets over to another. */
static void address_for(char out[NODE_ADDRESS_MAX + 1], const struct node_record *node, const char *stream)
{
    const char *colon = strrchr(node->pipe, ':');
    unsigned long port = colon ? strtoul(colon + 1, NULL, 10) : 0;

    strcpy(out, node->pipe);
    if (port == 0 || node->pipe_workers < 2)
        return;
    size_t at = (size_t)(colon + 1 - node->pipe);
    snprintf(out + at, NODE_ADDRESS_MAX + 1 - at, "%lu", port + stream_home(stream, node->pipe_workers));
}

void parents_choose(struct parent_list *out, const struct node_record *self, const struct node_record *nodes, size_t n,
                    const char *stream, const char *owner)
{
    struct choice choice = {self, owner, region_of(nodes, n, owner), rendezvous_weight(stream, self->id)};
    struct candidate v[PARENTS_MAX], last = {.tier = TIER_NONE};
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        if (nodes[i].role == NODE_EDGE)
            continue; /* most of them: no weight needs to be known */
        struct candidate c = {.node = &nodes[i], .weight = rendezvous_weight(stream, nodes[i].id)};
        c.tier = tier_of(&choice, c.node, c.weight);
        if (c.tier == TIER_OWNER)
            last = c;
        else if (c.tier != TIER_NONE)
            count = insert(v, count, c);
    }
    if (last.tier == TIER_OWNER)
        v[count < PARENTS_MAX ? count++ : PARENTS_MAX - 1] = last;
    out->n = count;
    out->n_draining = 0;
    for (size_t i = 0; i < n && out->n_draining < PARENTS_MAX; i++)
        if (nodes[i].draining && nodes[i].role == NODE_BACKBONE)
            strcpy(out->draining[out->n_draining++], nodes[i].id);
    for (size_t i = 0; i < count; i++) {
        strcpy(out->v[i].id, v[i].node->id);
        address_for(out->v[i].address, v[i].node, stream);
        out->v[i].owner = v[i].tier == TIER_OWNER;
    }
}
