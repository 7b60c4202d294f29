/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/choose.h"

#include <string.h>

static uint32_t share_permille(uint64_t used, uint64_t capacity)
{
    uint64_t s = capacity ? used * 1000 / capacity : 0;

    return s > 100000 ? 100000 : (uint32_t)s;
}

uint32_t node_load_permille(const struct node_record *n)
{
    uint32_t load = n->capacity_permille ? share_permille(n->load_permille, n->capacity_permille) : n->load_permille;
    uint32_t viewers = share_permille(n->viewers, n->capacity_viewers);
    uint32_t egress = share_permille(n->egress_bps, n->capacity_bps);

    if (n->overloaded && load < 1000)
        load = 1000;
    if (viewers > load)
        load = viewers;
    return egress > load ? egress : load;
}

static bool usable(const struct node_record *n, enum node_role role)
{
    return n->role == role && !n->draining && node_load_permille(n) < 1000 && n->http[0];
}

/* Which of the usable nodes are near: those of the client's region; else those about as close as the closest; else all. */
struct nearness {
    const struct choose_query *q;
    bool by_region, by_distance;
    double closest_km;
};

/* Nodes that do not know where they are count as far away. */
static double distance_km(const struct place *p, const struct node_record *n)
{
    return n->has_coordinates ? place_distance_km(p->latitude, p->longitude, n->latitude, n->longitude) : 1e8;
}

static bool is_near(const struct nearness *near, const struct node_record *n)
{
    if (!usable(n, near->q->role))
        return false;
    if (near->by_region)
        return strcmp(n->region, near->q->place->region) == 0;
    return !near->by_distance || distance_km(near->q->place, n) <= near->closest_km + CHOOSE_NEAR_KM;
}

static void nearness_init(struct nearness *near, const struct node_record *nodes, size_t n, const struct choose_query *q)
{
    const struct place *p = q->place;

    *near = (struct nearness){.q = q, .by_distance = p && !p->region[0] && p->has_coordinates, .closest_km = 1e9};
    for (size_t i = 0; i < n; i++) {
        if (!p || !usable(&nodes[i], q->role))
            continue;
        if (p->region[0] && strcmp(nodes[i].region, p->region) == 0)
            near->by_region = true;
        if (near->by_distance && distance_km(p, &nodes[i]) < near->closest_km)
            near->closest_km = distance_km(p, &nodes[i]);
    }
}

static bool prefers(const struct choose_query *q, const struct node_record *a, const struct node_record *b)
{
    uint32_t load_a = node_load_permille(a), load_b = node_load_permille(b);
    bool has_a = q->has && load_a < CHOOSE_BUSY_PERMILLE && q->has(q->arg, a->id);
    bool has_b = q->has && load_b < CHOOSE_BUSY_PERMILLE && q->has(q->arg, b->id);

    return has_a != has_b ? has_a : load_a <= load_b;
}

bool choose_keeps(const struct node_record *nodes, size_t n, const struct choose_query *q, size_t at)
{
    struct nearness near;

    nearness_init(&near, nodes, n, q);
    return is_near(&near, &nodes[at]);
}

int choose_node(const struct node_record *nodes, size_t n, const struct choose_query *q)
{
    struct nearness near;
    size_t count = 0, seen = 0;
    int first = -1, second = -1;

    nearness_init(&near, nodes, n, q);
    for (size_t i = 0; i < n; i++)
        count += is_near(&near, &nodes[i]);
    if (count == 0)
        return -1;
    size_t a = (q->random & 0xffff) % count, b = count > 1 ? (q->random >> 16) % (count - 1) : 0;
    b += b >= a; /* another one */
    for (size_t i = 0; i < n; i++) {
        if (!is_near(&near, &nodes[i]))
            continue;
        first = seen == a ? (int)i : first;
        second = seen == b ? (int)i : second;
        seen++;
    }
    return second < 0 || prefers(q, &nodes[first], &nodes[second]) ? first : second;
}
