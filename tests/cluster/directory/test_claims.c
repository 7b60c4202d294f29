/* SPDX-License-Identifier: Apache-2.0
 * test_claims.c - who owns a name: claims, leases, fencing, takeover, dead owners. */
#include "directory_scene.h"

#include <string.h>

static bool a_lost(const struct scene *s)
{
    return s->a.lost > 0;
}

static void a_name_has_one_owner_until_it_is_released(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t first = s.a.epoch;
    assert_true(first > 1700000000000);
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_TAKEN);
    assert_string_equal(s.b.owner, "a");
    assert_int_equal(s.b.epoch, first);
    assert_true(find(&s, &s.b, "live/x"));
    assert_string_equal(s.b.owner, "a");
    directory_release(s.a.d, "live/x", first);
    test_loop_run_for(&s.loop, 300000); /* others hear of it after a moment, as they did just now of the claim */
    assert_false(find(&s, &s.b, "live/x"));
    assert_true(s.b.known);
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_OK);
    assert_true(s.b.epoch > first);
    scene_fini(&s);
}

static void a_claim_is_renewed_beyond_its_lease(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    test_loop_run_for(&s.loop, LEASE_MS * 2500);
    assert_int_equal(s.a.lost, 0);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "a");
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_TAKEN);
    scene_fini(&s);
}

/* The stopped process: its lease runs out, another takes the name, then it wakes up and renews, releases, and all that
 * must not touch the new owner's entry. */
static void who_wakes_up_after_its_lease_cannot_touch_the_new_owner_s_entry(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t old = s.a.epoch;
    assert_string_equal(test_redis_cli(&s.redis, "del t:stream:live/x"), "1"); /* its lease has run out */
    assert_int_equal(claim(&s, &s.b, "live/x", false), CLAIM_OK);
    assert_true(s.b.epoch > old);
    char mine[32];
    snprintf(mine, sizeof(mine), "%llu", (unsigned long long)s.b.epoch);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
    assert_string_equal(s.a.lost_to, "b");
    directory_release(s.a.d, "live/x", old);
    directory_release(s.a.d, "live/x", s.b.epoch); /* even with the right number it is not the owner */
    test_loop_run_for(&s.loop, LEASE_MS * 1000);
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x owner"), "b");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/x epoch"), mine);
    assert_int_equal(s.b.lost, 0);
    scene_fini(&s);
}

/* A dead origin must not keep its publishers from another one for a whole lease. */
static void of_an_owner_that_missed_a_renewal_the_name_can_be_had_before_its_lease_ends(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/silent", false), CLAIM_OK);
    uint64_t epoch = s.a.epoch;
    assert_int_equal(claim(&s, &s.b, "live/silent", false), CLAIM_TAKEN);
    /* As if the last renewal were 0.6 leases ago. */
    let_lease_run_down(&s, "a", 400);
    assert_int_equal(claim(&s, &s.b, "live/silent", false), CLAIM_OK);
    assert_true(s.b.epoch > epoch);
    assert_true(until(&s, a_lost, 2 * LEASE_MS * 1000)); /* it lives after all: told with its next renewal */
    assert_string_equal(s.a.lost_to, s.b.self.id);
    scene_fini(&s);
}

/* Whatever words are lost: the lease's own renewal says that it had run out, and then every claim is looked at. */
static void of_a_lease_that_ran_out_every_claim_is_looked_at(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/taken", false), CLAIM_OK);
    assert_int_equal(claim(&s, &s.a, "live/kept", false), CLAIM_OK);
    assert_int_equal(claim(&s, &s.a, "live/lost", false), CLAIM_OK);
    put_node(&s, "z", 60000);
    put_stream(&s, "z", "live/taken", "9000000000000");
    test_redis_cli(&s.redis, "del t:stream:live/lost");
    let_lease_run_down(&s, "a", -1);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
    test_loop_run_for(&s.loop, LEASE_MS * 500);
    assert_int_equal(s.a.lost, 1);
    assert_string_equal(s.a.lost_to, "z");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/taken owner"), "z");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/kept owner"), "a");
    assert_string_equal(test_redis_cli(&s.redis, "hget t:stream:live/lost owner"), "a");
    scene_fini(&s);
}

static void a_claim_lost_without_a_word_is_noticed_by_and_by(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/taken", false), CLAIM_OK);
    put_node(&s, "z", 60000);
    put_stream(&s, "z", "live/taken", "9000000000000");
    assert_true(until(&s, a_lost, 10 * LEASE_MS * 1000));
    assert_string_equal(s.a.lost_to, "z");
    scene_fini(&s);
}

static bool b_sees_three(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->b.d, &v) == 3;
}

static bool b_sees_two(const struct scene *s)
{
    const struct node_record *v;
    return directory_nodes(s->b.d, &v) == 2;
}

static bool z_has_nothing(const struct scene *s)
{
    return strcmp(test_redis_cli(&s->redis, "exists t:stream:live/z t:owned:z"), "0") == 0;
}

static bool note_listed(void *arg, const struct stream_record *record)
{
    *(bool *)arg |= strcmp(record->name, "live/z") == 0;
    return true;
}

static bool is_listed(const struct scene *s)
{
    bool listed = false;

    directory_each_stream(s->b.d, note_listed, &listed);
    return listed;
}

static void a_dead_node_goes_when_its_lease_ends_and_its_streams_a_lease_later(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    put_node(&s, "z", 700);
    put_stream(&s, "z", "live/z", "1700000000000");
    assert_true(until(&s, b_sees_three, LEASE_MS * 500));
    assert_true(find(&s, &s.b, "live/z"));
    assert_string_equal(s.b.owner, "z");
    assert_true(is_listed(&s));
    s.b.n = 0;
    assert_true(until(&s, b_sees_two, LEASE_MS * 1500));
    assert_false(find(&s, &s.b, "live/z")); /* but nobody is sent there any more */
    assert_false(is_listed(&s));
    assert_int_equal(s.b.n, 1);
    assert_string_equal(s.b.events[0].name, "live/z");
    assert_true(s.b.events[0].gone);
    assert_string_equal(test_redis_cli(&s.redis, "exists t:stream:live/z"), "1");
    let_lease_run_down(&s, "y", LEASE_MS); /* lives, though its record is not known here */
    put_stream(&s, "y", "live/y", "1700000000000");
    assert_true(find(&s, &s.b, "live/y"));
    s.b.n = 0;
    assert_true(until(&s, z_has_nothing, LEASE_MS * 2000));
    assert_int_equal(s.b.n, 0); /* told before */
    assert_string_equal(test_redis_cli(&s.redis, "zscore t:alive z"), "");
    scene_fini(&s);
}

/* It was held up for longer than its lease, and its claims still stand. */
static void the_streams_of_a_node_that_is_back_are_listed_again(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    put_node(&s, "z", 700);
    put_stream(&s, "z", "live/z", "1700000000000");
    assert_true(until(&s, b_sees_three, LEASE_MS * 500));
    assert_true(find(&s, &s.b, "live/z"));
    assert_true(until(&s, b_sees_two, LEASE_MS * 1500));
    assert_false(is_listed(&s));
    s.b.n = 0;
    put_node(&s, "z", LEASE_MS * 10);
    assert_true(until(&s, b_sees_three, LEASE_MS * 1000));
    assert_true(is_listed(&s));
    assert_int_equal(s.b.n, 1);
    assert_false(s.b.events[0].gone);
    assert_int_equal(s.b.events[0].record.epoch, 1700000000000);
    scene_fini(&s);
}

static void what_a_predecessor_of_the_same_id_had_claimed_is_gone_at_once(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, true);
    party_open(&s, &s.b, "b", NODE_ORIGIN);
    put_node(&s, "a", 60000);
    put_stream(&s, "a", "live/before", "1700000000000");
    party_open(&s, &s.a, "a", NODE_ORIGIN);
    assert_int_equal(claim(&s, &s.a, "live/now", false), CLAIM_OK);
    assert_string_equal(test_redis_cli(&s.redis, "exists t:stream:live/before"), "0");
    assert_string_equal(test_redis_cli(&s.redis, "hkeys t:owned:a"), "live/now");
    scene_fini(&s);
}

static void a_takeover_ends_the_old_claim(void **state)
{
    struct scene s;

    (void)state;
    scene_two(&s);
    assert_int_equal(claim(&s, &s.a, "live/x", false), CLAIM_OK);
    uint64_t old = s.a.epoch;
    assert_int_equal(claim(&s, &s.b, "live/x", true), CLAIM_OK);
    assert_true(s.b.epoch > old);
    assert_true(until(&s, a_lost, LEASE_MS * 1000));
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_has_one_owner_until_it_is_released),
        cmocka_unit_test(a_claim_is_renewed_beyond_its_lease),
        cmocka_unit_test(who_wakes_up_after_its_lease_cannot_touch_the_new_owner_s_entry),
        cmocka_unit_test(of_an_owner_that_missed_a_renewal_the_name_can_be_had_before_its_lease_ends),
        cmocka_unit_test(of_a_lease_that_ran_out_every_claim_is_looked_at),
        cmocka_unit_test(a_claim_lost_without_a_word_is_noticed_by_and_by),
        cmocka_unit_test(a_dead_node_goes_when_its_lease_ends_and_its_streams_a_lease_later),
        cmocka_unit_test(the_streams_of_a_node_that_is_back_are_listed_again),
        cmocka_unit_test(what_a_predecessor_of_the_same_id_had_claimed_is_gone_at_once),
        cmocka_unit_test(a_takeover_ends_the_old_claim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
