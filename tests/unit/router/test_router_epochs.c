/* SPDX-License-Identifier: Apache-2.0
 * test_router_epochs.c - what comes before live: the past of a stream, another parent, the next epoch. */
#include "router_scene.h"

struct relaying_ear {
    struct ear e;
    unsigned pasts;
};

static void ear_on_past(struct consumer *c)
{
    struct relaying_ear *r = container_of(c, struct relaying_ear, e.c);

    assert_int_equal(r->e.readies, 0);
    r->pasts++;
}

static void the_past_is_told_as_it_comes_where_it_may_be_passed_on(void **state)
{
    static const struct consumer_ops ops = {
        .on_tracks = ear_on_tracks, .on_ready = ear_on_ready, .on_past = ear_on_past, .on_packets = ear_on_packets, .on_end = ear_on_end};
    struct track_set tracks = two_tracks(1);

    (void)state;
    for (int passes = 0; passes < 2; passes++) {
        struct relaying_ear e = {.e = {.c = {.ops = &ops, .kind = "test"}}};
        struct mouth m = new_mouth();
        struct scene s;
        scene_init(&s);
        struct router *r = router_open(s.set, "live/a");
        m.p.passes = passes;
        router_attach(r, &e.e.c, want_track(0));
        router_publish(r, &m.p, &tracks);
        assert_int_equal(router_passes(r), passes);
        push(&s, r, 0, FIRST);
        push(&s, r, 0, FIRST + 1);
        turn(&s);
        assert_int_equal(e.pasts, passes); /* once a turn */
        push(&s, r, 0, FIRST + 2);
        turn(&s);
        assert_int_equal(e.pasts, 2 * passes);
        router_ready(&m.p);
        assert_false(router_passes(r));
        push(&s, r, 0, FIRST + 3);
        turn(&s);
        assert_int_equal(e.pasts, 2 * passes);
        assert_int_equal(e.e.n, 1);
        router_detach(&e.e.c);
        router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
        scene_fini(&s);
    }
}

static void the_past_fills_the_cache_before_live_begins(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth m = new_mouth();
    struct track_set tracks = two_tracks(1);

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    router_attach(r, &e.c, 0);
    assert_int_equal(s.demands, 1);
    router_publish(r, &m.p, &tracks);
    assert_int_equal(e.tracks, 1);
    consumer_want(&e.c, want_track(0));
    push(&s, r, 0, FIRST);
    turn(&s);
    assert_int_equal(e.readies, 0);
    assert_int_equal(e.n, 0);
    router_ready(&m.p);
    assert_int_equal(e.readies, 1);
    assert_int_equal(cache_end(router_cache(r)), 1);
    push(&s, r, 0, FIRST + 1);
    turn(&s);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.seqs[0], FIRST + 1);
    router_detach(&e.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void another_parent_goes_on_in_the_same_epoch_unnoticed(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth first = new_mouth(), second = new_mouth();
    struct track_set tracks = two_tracks(5);

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &first, 5);
    router_attach(r, &e.c, want_track(0));
    push(&s, r, 0, FIRST);
    router_unpublish(&first.p, STREAM_UNREACHABLE, true);
    router_publish(r, &second.p, &tracks);
    push(&s, r, 0, FIRST);
    push(&s, r, 0, FIRST + 1);
    turn(&s);
    assert_int_equal(e.tracks, 1);
    assert_int_equal(e.readies, 1);
    assert_int_equal(e.ends, 0);
    assert_int_equal(e.n, 2);
    assert_int_equal(second.want, want_track(0));
    router_detach(&e.c);
    router_unpublish(&second.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* Its parent is lost and the next one not there yet: who comes now starts from what is kept, and goes on as all do. */
static void who_joins_between_two_parents_is_told_the_tracks(void **state)
{
    struct scene s;
    struct ear e = new_ear(), late = new_ear();
    struct mouth first = new_mouth(), second = new_mouth();
    struct track_set tracks = two_tracks(5);

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &first, 5);
    router_attach(r, &e.c, want_track(0));
    push(&s, r, 0, FIRST);
    router_unpublish(&first.p, STREAM_UNREACHABLE, true);
    router_attach(r, &late.c, want_track(1));
    assert_int_equal(late.tracks, 1);
    assert_int_equal(late.epoch, 5);
    assert_int_equal(late.readies, 1);
    assert_int_equal(s.demands, 1); /* it may be that nobody is looking for one */
    router_publish(r, &second.p, &tracks);
    assert_int_equal(late.tracks, 1);
    assert_int_equal(late.readies, 1);
    push(&s, r, 0, FIRST + 1);
    push(&s, r, 1, FIRST);
    turn(&s);
    assert_int_equal(e.n, 2);
    assert_int_equal(late.n, 1);
    assert_int_equal(second.want, want_track(0) | want_track(1));
    router_detach(&e.c);
    router_detach(&late.c);
    router_unpublish(&second.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* The same before the first parent had brought the past. */
static void who_joins_before_the_past_is_here_is_told_when_it_is(void **state)
{
    struct scene s;
    struct ear late = new_ear();
    struct mouth first = new_mouth(), second = new_mouth();
    struct track_set tracks = two_tracks(5);

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    router_publish(r, &first.p, &tracks);
    router_unpublish(&first.p, STREAM_UNREACHABLE, true);
    router_attach(r, &late.c, want_track(0));
    assert_int_equal(late.tracks, 1);
    assert_int_equal(late.readies, 0);
    router_publish(r, &second.p, &tracks);
    router_ready(&second.p);
    assert_int_equal(late.tracks, 1);
    assert_int_equal(late.readies, 1);
    router_unpublish(&second.p, STREAM_UNREACHABLE, true);
    router_refuse(r, STREAM_UNREACHABLE); /* none was found: now it has ended */
    struct ear later = new_ear();
    router_attach(r, &later.c, want_track(0));
    assert_int_equal(later.tracks, 0);
    assert_int_equal(later.readies, 0);
    router_detach(&late.c);
    router_detach(&later.c);
    scene_fini(&s);
}

static void a_new_epoch_begins_with_its_tracks_and_an_empty_cache(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth first = new_mouth(), second = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &first, 5);
    router_attach(r, &e.c, want_track(0));
    push(&s, r, 0, FIRST);
    router_unpublish(&first.p, STREAM_UNPUBLISHED, false);
    assert_int_equal(e.n, 1); /* what was pushed before the end is not lost */
    assert_int_equal(e.ends, 1);
    assert_int_equal(e.why, STREAM_UNPUBLISHED);
    publish(r, &second, 6);
    assert_int_equal(e.tracks, 2);
    assert_int_equal(e.readies, 2);
    assert_int_equal(e.epoch, 6);
    assert_null(cache_find(router_cache(r), 0, 0, FIRST));
    push(&s, r, 0, FIRST); /* the same number is another packet now */
    turn(&s);
    assert_int_equal(e.n, 2);
    router_detach(&e.c);
    router_unpublish(&second.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void the_same_epoch_coming_back_after_its_end_is_told_anew(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth first = new_mouth(), second = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &first, 5);
    router_attach(r, &e.c, want_track(0));
    router_unpublish(&first.p, STREAM_UNREACHABLE, false);
    publish(r, &second, 5);
    assert_int_equal(e.tracks, 2);
    assert_int_equal(e.readies, 2);
    router_detach(&e.c);
    router_unpublish(&second.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_past_is_told_as_it_comes_where_it_may_be_passed_on),
        cmocka_unit_test(the_past_fills_the_cache_before_live_begins),
        cmocka_unit_test(another_parent_goes_on_in_the_same_epoch_unnoticed),
        cmocka_unit_test(who_joins_between_two_parents_is_told_the_tracks),
        cmocka_unit_test(who_joins_before_the_past_is_here_is_told_when_it_is),
        cmocka_unit_test(a_new_epoch_begins_with_its_tracks_and_an_empty_cache),
        cmocka_unit_test(the_same_epoch_coming_back_after_its_end_is_told_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
