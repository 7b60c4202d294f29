/* SPDX-License-Identifier: Apache-2.0
 * Whom a node asks for a stream. */
#include "relay/parents.h"

#include "relay/relay.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct node_record node(const char *id, enum node_role role, const char *region)
{
    struct node_record n = {.role = role};

    snprintf(n.id, sizeof(n.id), "%s", id);
    snprintf(n.region, sizeof(n.region), "%s", region);
    if (role != NODE_EDGE)
        snprintf(n.pipe, sizeof(n.pipe), "%s:9000", id);
    return n;
}

static const char *order(const struct parent_list *l)
{
    static char text[512];

    text[0] = '\0';
    for (size_t i = 0; i < l->n; i++) {
        strcat(text, i ? " " : "");
        strcat(text, l->v[i].id);
    }
    return text;
}

static void an_edge_asks_its_region_then_the_owners_then_others_then_the_owner(void **state)
{
    struct node_record v[] = {node("us-1", NODE_BACKBONE, "us"), node("origin", NODE_ORIGIN, "as"),
                              node("eu-1", NODE_BACKBONE, "eu"), node("other-origin", NODE_ORIGIN, "eu"),
                              node("as-1", NODE_BACKBONE, "as"), node("edge-1", NODE_EDGE, "eu")};
    struct parent_list out;

    (void)state;
    parents_choose(&out, &v[5], v, LEN(v), "live/a", "origin");
    assert_string_equal(order(&out), "eu-1 as-1 us-1 origin");
    assert_string_equal(out.v[0].address, "eu-1:9000");
}

/* The worker that is the stream's home has a port of its own. */
static void a_parent_is_asked_at_the_port_of_the_streams_home(void **state)
{
    static const struct {
        const char *pipe;
        uint32_t workers;
        const char *stream, *address;
    } rows[] = {
        {"eu-1:9000", 2, "live/a", NULL},    {"eu-1:9000", 2, "live/c", NULL}, {"eu-1:9000", 7, "live/a", NULL},
        {"[2001:db8::1]:9100", 4, "x/y", NULL}, {"eu-1:9000", 1, "live/a", "eu-1:9000"},
        {"eu-1:9000", 0, "live/a", "eu-1:9000"}, {"eu-1", 4, "live/a", "eu-1"},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct node_record v[] = {node("eu-1", NODE_BACKBONE, "eu"), node("edge-1", NODE_EDGE, "eu")};
        struct parent_list out;
        char expected[NODE_ADDRESS_MAX + 1];

        strcpy(v[0].pipe, rows[i].pipe);
        v[0].pipe_workers = rows[i].workers;
        const char *colon = strrchr(rows[i].pipe, ':');
        snprintf(expected, sizeof(expected), "%.*s:%lu", colon ? (int)(colon - rows[i].pipe) : 0, rows[i].pipe,
                 colon && rows[i].workers ? strtoul(colon + 1, NULL, 10) + stream_home(rows[i].stream, rows[i].workers) : 0);
        parents_choose(&out, &v[1], v, LEN(v), rows[i].stream, "origin");
        assert_int_equal(out.n, 1);
        assert_string_equal(out.v[0].address, rows[i].address ? rows[i].address : expected);
    }
    assert_int_not_equal(stream_home("live/a", 2), stream_home("live/c", 2)); /* so both ports were seen */
}

static void a_backbone_asks_the_owner(void **state)
{
    struct node_record v[] = {node("b1", NODE_BACKBONE, "eu"), node("b2", NODE_BACKBONE, "eu"),
                              node("origin", NODE_ORIGIN, "us")};
    struct parent_list out;

    (void)state;
    parents_choose(&out, &v[0], v, LEN(v), "live/a", "origin");
    assert_string_equal(order(&out), "origin");
}

/* The region of the nodes whose ids begin with it. */
static struct node_record in_region(const char *id, enum node_role role)
{
    char region[8];

    snprintf(region, sizeof(region), "%.2s", id);
    return node(id, role, region);
}

/* Follows the first choices from a node to the owner; counts the hops between regions. */
static size_t walk(const struct node_record *v, size_t n, size_t from, const char *stream, size_t *crossings,
                   char crossing[2 * NODE_ID_MAX])
{
    size_t hops = 0;

    *crossings = 0;
    while (v[from].role != NODE_ORIGIN) {
        struct parent_list out;
        size_t to = 0;
        parents_choose(&out, &v[from], v, n, stream, "eu-origin");
        assert_true(out.n > 0);
        while (strcmp(v[to].id, out.v[0].id) != 0)
            to++;
        if (strcmp(v[to].region, v[from].region) != 0) {
            ++*crossings;
            snprintf(crossing, 2 * NODE_ID_MAX, "%s-%s", v[to].id, v[from].id);
        }
        from = to;
        assert_true(++hops < 5);
    }
    return hops;
}

static void one_copy_of_a_stream_crosses_between_two_regions(void **state)
{
    struct node_record v[] = {
        in_region("eu-origin", NODE_ORIGIN), in_region("eu-b1", NODE_BACKBONE), in_region("eu-b2", NODE_BACKBONE),
        in_region("us-b1", NODE_BACKBONE),   in_region("us-b2", NODE_BACKBONE), in_region("us-b3", NODE_BACKBONE),
        in_region("us-e1", NODE_EDGE),       in_region("us-e2", NODE_EDGE),     in_region("eu-e1", NODE_EDGE)};
    char name[32], first[2 * NODE_ID_MAX], other[2 * NODE_ID_MAX];
    size_t crossings;

    (void)state;
    for (int s = 0; s < 200; s++) {
        snprintf(name, sizeof(name), "live/s%d", s);
        assert_int_equal(walk(v, LEN(v), 6, name, &crossings, first), 3); /* edge, backbone, backbone, origin */
        assert_int_equal(crossings, 1);
        for (size_t from = 3; from <= 7; from++) { /* backbones that prefetch, too */
            assert_in_range(walk(v, LEN(v), from, name, &crossings, other), 2, 3);
            assert_int_equal(crossings, 1);
            assert_string_equal(other, first);
        }
        assert_int_equal(walk(v, LEN(v), 8, name, &crossings, other), 2);
        assert_int_equal(crossings, 0);
    }
}

static void where_no_owner_is_known_backbones_ask_nobody_of_their_region(void **state)
{
    struct node_record v[] = {in_region("us-b1", NODE_BACKBONE), in_region("us-b2", NODE_BACKBONE)};
    struct parent_list out;

    (void)state;
    for (size_t i = 0; i < LEN(v); i++) {
        parents_choose(&out, &v[i], v, LEN(v), "live/a", "eu-origin");
        assert_int_equal(out.n, 0);
    }
}

static void a_draining_backbone_is_left_out_but_a_draining_owner_is_asked(void **state)
{
    struct node_record v[] = {node("b1", NODE_BACKBONE, "eu"), node("origin", NODE_ORIGIN, "eu"),
                              node("edge", NODE_EDGE, "eu")};
    struct parent_list out;

    (void)state;
    v[0].draining = v[1].draining = true;
    parents_choose(&out, &v[2], v, LEN(v), "live/a", "origin");
    assert_string_equal(order(&out), "origin");
}

static void nobody_is_left_when_the_owner_is_not_there(void **state)
{
    struct node_record v[] = {node("edge", NODE_EDGE, "eu")};
    struct parent_list out;

    (void)state;
    parents_choose(&out, &v[0], v, LEN(v), "live/a", "origin");
    assert_int_equal(out.n, 0);
}

static void the_owner_keeps_its_place_behind_many_backbones(void **state)
{
    struct node_record v[22];
    struct parent_list out;
    char id[8];

    (void)state;
    for (size_t i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "b%zu", i);
        v[i] = node(id, NODE_BACKBONE, "eu");
    }
    v[20] = node("origin", NODE_ORIGIN, "eu");
    v[21] = node("edge", NODE_EDGE, "eu");
    parents_choose(&out, &v[21], v, LEN(v), "live/a", "origin");
    assert_int_equal(out.n, PARENTS_MAX);
    assert_string_equal(out.v[PARENTS_MAX - 1].id, "origin");
}

/* Rendezvous: all choose alike, streams spread, and a node that goes moves only its own streams. */
static void streams_spread_over_backbones_and_stay_when_another_goes(void **state)
{
    enum { BACKBONES = 5, STREAMS = 1000 };
    struct node_record v[BACKBONES + 2], edge2 = node("edge-2", NODE_EDGE, "eu");
    size_t load[BACKBONES] = {0}, moved = 0;
    struct parent_list out, other, without;
    char id[16], name[32];

    (void)state;
    for (size_t i = 0; i < BACKBONES; i++) {
        snprintf(id, sizeof(id), "b%zu", i);
        v[i] = node(id, NODE_BACKBONE, "eu");
    }
    v[BACKBONES] = node("origin", NODE_ORIGIN, "eu");
    v[BACKBONES + 1] = node("edge-1", NODE_EDGE, "eu");
    for (size_t s = 0; s < STREAMS; s++) {
        snprintf(name, sizeof(name), "live/s%zu", s);
        parents_choose(&out, &v[BACKBONES + 1], v, LEN(v), name, "origin");
        parents_choose(&other, &edge2, v, LEN(v), name, "origin");
        assert_string_equal(out.v[0].id, other.v[0].id);
        load[out.v[0].id[1] - '0']++;
        parents_choose(&without, &v[BACKBONES + 1], v + 1, LEN(v) - 1, name, "origin");
        if (strcmp(out.v[0].id, "b0") != 0)
            assert_string_equal(without.v[0].id, out.v[0].id);
        else
            moved++;
    }
    assert_int_equal(moved, load[0]);
    for (size_t i = 0; i < BACKBONES; i++)
        assert_in_range(load[i], STREAMS / BACKBONES * 3 / 4, STREAMS / BACKBONES * 5 / 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edge_asks_its_region_then_the_owners_then_others_then_the_owner),
        cmocka_unit_test(one_copy_of_a_stream_crosses_between_two_regions),
        cmocka_unit_test(where_no_owner_is_known_backbones_ask_nobody_of_their_region),
        cmocka_unit_test(a_parent_is_asked_at_the_port_of_the_streams_home),
        cmocka_unit_test(a_backbone_asks_the_owner),
        cmocka_unit_test(a_draining_backbone_is_left_out_but_a_draining_owner_is_asked),
        cmocka_unit_test(nobody_is_left_when_the_owner_is_not_there),
        cmocka_unit_test(the_owner_keeps_its_place_behind_many_backbones),
        cmocka_unit_test(streams_spread_over_backbones_and_stay_when_another_goes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
