/* SPDX-License-Identifier: Apache-2.0
 * Which node a client is sent to. */
#include "directory/choose.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct node_record edge(const char *id, const char *region, double lat, double lon)
{
    struct node_record n = {.role = NODE_EDGE, .has_coordinates = true, .latitude = lat, .longitude = lon};

    snprintf(n.id, sizeof(n.id), "%s", id);
    snprintf(n.region, sizeof(n.region), "%s", region);
    snprintf(n.http, sizeof(n.http), "http://%s", id);
    return n;
}

static struct place at(double lat, double lon)
{
    return (struct place){.has_coordinates = true, .latitude = lat, .longitude = lon};
}

/* All nodes that are chosen over many draws, in the order of the array. */
static const char *chosen(const struct node_record *v, size_t n, struct choose_query q)
{
    static char text[256];
    bool seen[16] = {0};

    text[0] = '\0';
    for (uint32_t r = 0; r < 2000; r++) {
        q.role = q.role ? q.role : NODE_EDGE;
        q.random = r * 2654435761u;
        int i = choose_node(v, n, &q);
        if (i >= 0)
            seen[i] = true;
    }
    for (size_t i = 0; i < n; i++)
        if (seen[i])
            sprintf(text + strlen(text), "%s%s", text[0] ? " " : "", v[i].id);
    return text;
}

static bool only_eu2(void *arg, const char *id)
{
    (void)arg;
    return strcmp(id, "eu2") == 0;
}

static void the_near_and_able_ones_are_chosen(void **state)
{
    struct node_record v[] = {edge("eu1", "eu", 50.1, 8.7), edge("eu2", "eu", 52.4, 4.9), edge("us1", "us", 40.7, -74),
                              edge("origin", "eu", 50.1, 8.7)};
    struct place eu = {.region = "eu"}, asia = {.region = "asia"}, paris = at(48.9, 2.4), boston = at(42.4, -71);

    (void)state;
    v[3].role = NODE_ORIGIN;
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &eu}), "eu1 eu2");
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &asia}), "eu1 eu2 us1"); /* no node there */
    assert_string_equal(chosen(v, 4, (struct choose_query){0}), "eu1 eu2 us1");
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &paris}), "eu1 eu2"); /* 478 km and 430 km */
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &boston}), "us1");
    assert_string_equal(chosen(v, 4, (struct choose_query){.role = NODE_ORIGIN}), "origin");
    v[2].draining = true;
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &boston}), "eu2"); /* Amsterdam: 314 km less */
    v[0].capacity_viewers = 100;
    v[0].viewers = 100;
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &eu}), "eu2"); /* eu1 is full */
    v[1].load_permille = 1000;
    assert_string_equal(chosen(v, 4, (struct choose_query){.place = &eu}), "");
    assert_string_equal(chosen(v, 0, (struct choose_query){0}), "");
}

static void of_two_the_one_with_the_stream_wins_unless_busy_then_the_less_loaded(void **state)
{
    struct node_record v[] = {edge("eu1", "eu", 50, 8), edge("eu2", "eu", 50, 8)};

    (void)state;
    v[0].load_permille = 100;
    v[1].load_permille = 400;
    assert_string_equal(chosen(v, 2, (struct choose_query){0}), "eu1");
    assert_string_equal(chosen(v, 2, (struct choose_query){.has = only_eu2}), "eu2");
    v[1].load_permille = CHOOSE_BUSY_PERMILLE;
    assert_string_equal(chosen(v, 2, (struct choose_query){.has = only_eu2}), "eu1");
}

static void the_highest_share_of_a_capacity_is_the_load(void **state)
{
    struct node_record n = {.load_permille = 100, .viewers = 30, .capacity_viewers = 100, .egress_bps = 900000000};

    (void)state;
    assert_int_equal(node_load_permille(&n), 300);
    n.capacity_bps = 1000000000;
    assert_int_equal(node_load_permille(&n), 900);
    n.load_permille = 950;
    assert_int_equal(node_load_permille(&n), 950);
    n.capacity_permille = 500;
    assert_int_equal(node_load_permille(&n), 1900);
    n.capacity_permille = 0;
    n.overloaded = true;
    assert_int_equal(node_load_permille(&n), 1000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_near_and_able_ones_are_chosen),
        cmocka_unit_test(of_two_the_one_with_the_stream_wins_unless_busy_then_the_less_loaded),
        cmocka_unit_test(the_highest_share_of_a_capacity_is_the_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
