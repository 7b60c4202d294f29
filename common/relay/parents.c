/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/parents.h"

#include "base/hash.h"

#include <stdio.h>
#include <string.h>

struct candidate {
    const struct node_record *node;
    unsigned tier;   /* lower is asked first */
    uint64_t weight; /* within a tier, higher first */
};

enum { TIER_REGION, TIER_ELSEWHERE, TIER_OWNER, TIER_NONE };

static uint64_t rendezvous_weight(const char *stream, const char *node_id)
{
    char key[STREAM_NAME_MAX + NODE_ID_MAX + 2];
    int n = snprintf(key, sizeof(key), "%s\n%s", stream, node_id);

    return hash_code_stable(key, (size_t)n);
}

static unsigned tier_of(const struct node_record *self, const struct node_record *node, const char *owner)
{
    if (strcmp(node->id, self->id) == 0 || node->pipe[0] == '\0')
        return TIER_NONE;
    if (strcmp(node->id, owner) == 0)
        return TIER_OWNER;
    if (self->role != NODE_EDGE || node->role != NODE_BACKBONE || node->draining)
        return TIER_NONE;
    return strcmp(node->region, self->region) == 0 ? TIER_REGION : TIER_ELSEWHERE;
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

void parents_choose(struct parent_list *out, const struct node_record *self, const struct node_record *nodes, size_t n,
                    const char *stream, const char *owner)
{
    struct candidate v[PARENTS_MAX], last = {.tier = TIER_NONE};
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        struct candidate c = {&nodes[i], tier_of(self, &nodes[i], owner), rendezvous_weight(stream, nodes[i].id)};
        if (c.tier == TIER_OWNER)
            last = c;
        else if (c.tier != TIER_NONE)
            count = insert(v, count, c);
    }
    if (last.tier == TIER_OWNER)
        v[count < PARENTS_MAX ? count++ : PARENTS_MAX - 1] = last;
    out->n = count;
    for (size_t i = 0; i < count; i++) {
        strcpy(out->v[i].id, v[i].node->id);
        strcpy(out->v[i].address, v[i].node->pipe);
    }
}
