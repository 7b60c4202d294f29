/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/choose.h"

#include <string.h>

enum { NEAR_MAX = 256 /* nodes considered; of more, the first ones */ };

static uint32_t share_permille(uint64_t used, uint64_t capacity)
{
    uint64_t s = capacity ? used * 1000 / capacity : 0;

    return s > 100000 ? 100000 : (uint32_t)s;
}

uint32_t node_load_permille(const struct node_record *n)
{
    uint32_t load = n->load_permille, viewers = share_permille(n->viewers, n->capacity_viewers);
    uint32_t egress = share_permille(n->egress_bps, n->capacity_bps);

    if (viewers > load)
        load = viewers;
    return egress > load ? egress : load;
}

static bool usable(const struct node_record *n, enum node_role role)
{
    return n->role == role && !n->draining && node_load_permille(n) < 1000 && n->http[0];
}

/* Keeps of near[0..n) those of the region; when there is none, all. */
static size_t keep_region(const struct node_record *nodes, int *near, size_t n, const char *region)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (strcmp(nodes[near[i]].region, region) == 0)
            near[kept++] = near[i];
    return kept ? kept : n;
}

/* Keeps those about as close as the closest. Nodes that do not know where they are count as far away. */
static size_t keep_close(const struct node_record *nodes, int *near, size_t n, const struct place *p)
{
    double km[NEAR_MAX], closest = 1e9;
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        const struct node_record *r = &nodes[near[i]];
        km[i] = r->has_coordinates ? place_distance_km(p->latitude, p->longitude, r->latitude, r->longitude) : 1e8;
        if (km[i] < closest)
            closest = km[i];
    }
    for (size_t i = 0; i < n; i++)
        if (km[i] <= closest + CHOOSE_NEAR_KM)
            near[kept++] = near[i];
    return kept;
}

static bool prefers(const struct choose_query *q, const struct node_record *a, const struct node_record *b)
{
    uint32_t load_a = node_load_permille(a), load_b = node_load_permille(b);
    bool has_a = q->has && load_a < CHOOSE_BUSY_PERMILLE && q->has(q->arg, a->id);
    bool has_b = q->has && load_b < CHOOSE_BUSY_PERMILLE && q->has(q->arg, b->id);

    return has_a != has_b ? has_a : load_a <= load_b;
}

static size_t find_near(const struct node_record *nodes, size_t n, const struct choose_query *q, int near[NEAR_MAX])
{
    size_t count = 0;

    for (size_t i = 0; i < n && count < NEAR_MAX; i++)
        if (usable(&nodes[i], q->role))
            near[count++] = (int)i;
    if (count && q->place && q->place->region[0])
        return keep_region(nodes, near, count, q->place->region);
    if (count && q->place && q->place->has_coordinates)
        return keep_close(nodes, near, count, q->place);
    return count;
}

bool choose_keeps(const struct node_record *nodes, size_t n, const struct choose_query *q, size_t at)
{
    int near[NEAR_MAX];
    size_t count = find_near(nodes, n, q, near);

    for (size_t i = 0; i < count; i++)
        if ((size_t)near[i] == at)
            return true;
    return false;
}

int choose_node(const struct node_record *nodes, size_t n, const struct choose_query *q)
{
    int near[NEAR_MAX];
    size_t count = find_near(nodes, n, q, near);

    if (count == 0)
        return -1;
    if (count == 1)
        return near[0];
    size_t a = (q->random & 0xffff) % count, b = (q->random >> 16) % (count - 1);
    b += b >= a; /* another one */
    return prefers(q, &nodes[near[a]], &nodes[near[b]]) ? near[a] : near[b];
}
