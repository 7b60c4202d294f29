/* SPDX-License-Identifier: Apache-2.0
 * test_router.c - the switchboard: who is told what, when, and how often. */
#include "router_scene.h"

static void a_turn_s_packets_come_as_one_batch_and_only_the_wanted_ones(void **state)
{
    struct scene s;
    struct ear both = new_ear(), video = new_ear(), none = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 7);
    router_attach(r, &both.c, want_track(0) | want_track(1));
    router_attach(r, &video.c, want_bit(0, 0));
    router_attach(r, &none.c, 0);
    assert_int_equal(both.tracks, 1);
    assert_int_equal(both.readies, 1);
    assert_int_equal(both.epoch, 7);
    push(&s, r, 0, FIRST);
    push(&s, r, 1, FIRST);
    push(&s, r, 0, FIRST + 1);
    assert_int_equal(both.batches, 0); /* not before the turn's end */
    turn(&s);
    assert_int_equal(both.batches, 1);
    assert_int_equal(both.n, 3);
    assert_int_equal(video.batches, 1);
    assert_int_equal(video.n, 2);
    assert_int_equal(none.batches, 0);
    router_detach(&both.c);
    router_detach(&video.c);
    router_detach(&none.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void a_newcomer_gets_nothing_twice(void **state)
{
    struct scene s;
    struct ear old = new_ear(), young = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &old.c, want_track(0));
    push(&s, r, 0, FIRST);
    router_attach(r, &young.c, want_track(0)); /* the first packet is in the cache for it */
    assert_int_equal(cache_end(router_cache(r)), 1);
    push(&s, r, 0, FIRST + 1);
    turn(&s);
    assert_int_equal(old.n, 2);
    assert_int_equal(young.n, 1);
    assert_int_equal(young.seqs[0], FIRST + 1);
    router_detach(&old.c);
    router_detach(&young.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* It may be half gone: a pull has closed its subscription by then. */
static void who_leaves_hears_no_wishes_while_what_it_brought_is_handed_out(void **state)
{
    struct scene s;
    struct ear ear = new_ear();
    struct mouth leaves = new_mouth(), stays = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &leaves, 1);
    router_add_producer(r, &stays.p);
    router_attach(r, &ear.c, want_track(0));
    ear.wants_more = want_track(0) | want_track(1);
    unsigned wants = leaves.wants;
    uint64_t want = leaves.want;
    push(&s, r, 0, FIRST);
    router_unpublish(&leaves.p, STREAM_UNREACHABLE, true);
    assert_int_equal(ear.n, 1);
    assert_int_equal(leaves.keyframes, 0);
    assert_int_equal(leaves.wants, wants);
    assert_int_equal(leaves.want, want);
    assert_int_equal(stays.keyframes, 1);
    assert_int_equal(stays.want, ear.wants_more);
    router_detach(&ear.c);
    router_unpublish(&stays.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void sound_waits_for_the_patient_and_comes_with_the_next_pictures(void **state)
{
    struct scene s;
    struct ear patient = new_ear(), prompt = new_ear(), deaf = new_ear(), blind = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    patient.c.patient = deaf.c.patient = blind.c.patient = true;
    router_attach(r, &patient.c, want_track(0) | want_track(1));
    router_attach(r, &prompt.c, want_track(0) | want_track(1));
    router_attach(r, &deaf.c, want_track(0));
    router_attach(r, &blind.c, want_track(1));
    push(&s, r, 1, FIRST + 97); /* nothing is known of when pictures come */
    short_turn(&s);
    assert_int_equal(patient.n, 1);
    show_three_pictures(&s, r);
    assert_int_equal(patient.n, 6);
    push(&s, r, 1, FIRST + 100);
    short_turn(&s);
    assert_int_equal(patient.n, 6);
    assert_int_equal(prompt.n, 7);
    assert_int_equal(blind.n, 4); /* it wants no pictures */
    unsigned batches = patient.batches;
    push(&s, r, 0, FIRST + 3);
    short_turn(&s);
    assert_int_equal(patient.batches, batches + 1);
    assert_int_equal(patient.n, 8);
    assert_int_equal(patient.seqs[6], FIRST + 100);
    assert_int_equal(patient.seqs[7], FIRST + 3);
    assert_int_equal(prompt.n, 8);
    assert_int_equal(deaf.n, 4);
    assert_int_equal(blind.n, 4);
    assert_int_equal(patient.tracks, 1);
    router_detach(&patient.c);
    router_detach(&prompt.c);
    router_detach(&deaf.c);
    router_detach(&blind.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* A message takes one of them. */
static void of_two_packets_of_sound_the_newer_waits_for_the_picture_after(void **state)
{
    struct scene s;
    struct ear patient = new_ear(), prompt = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    patient.c.patient = true;
    router_attach(r, &patient.c, want_track(0) | want_track(1));
    router_attach(r, &prompt.c, want_track(0) | want_track(1));
    show_three_pictures(&s, r);
    assert_int_equal(patient.n, 5);
    push(&s, r, 1, FIRST + 100);
    short_turn(&s);
    push(&s, r, 1, FIRST + 101);
    push(&s, r, 0, FIRST + 3);
    short_turn(&s);
    assert_int_equal(prompt.n, 8);
    assert_int_equal(patient.n, 7);
    assert_int_equal(patient.seqs[5], FIRST + 100);
    assert_int_equal(patient.seqs[6], FIRST + 3);
    push(&s, r, 0, FIRST + 4);
    short_turn(&s);
    assert_int_equal(patient.n, 9);
    assert_int_equal(patient.seqs[7], FIRST + 101);
    assert_int_equal(patient.seqs[8], FIRST + 4);
    push(&s, r, 1, FIRST + 102);
    push(&s, r, 1, FIRST + 103);
    push(&s, r, 0, FIRST + 5);
    short_turn(&s);
    assert_int_equal(patient.n, 11);
    test_loop_run_for(&s.loop, 1500000); /* no picture comes */
    assert_int_equal(patient.n, 12);
    assert_int_equal(patient.seqs[11], FIRST + 103);
    router_detach(&patient.c);
    router_detach(&prompt.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void push_part(struct scene *s, struct router *r, uint64_t seq, uint64_t picture, bool ends)
{
    struct packet *p = packet_create(s->pool);

    assert_non_null(p);
    p->seq = seq;
    p->ts_ticks = picture * 3000;
    p->flags = ends ? PACKET_MARKER : 0;
    router_push(r, p);
}

static void a_picture_in_pieces_is_one_batch_for_the_patient_but_is_not_waited_for_long(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init_with(&s, 20000, 100000, 0);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &e.c, want_track(0));
    push_part(&s, r, FIRST, 1, true); /* the first one: it is not known yet that the worker is busy */
    short_turn(&s);
    push_part(&s, r, FIRST + 1, 2, false);
    short_turn(&s);
    assert_int_equal(e.batches, 2); /* nobody is patient */
    router_detach(&e.c);
    e.c.patient = true;
    router_attach(r, &e.c, want_track(0));
    push_part(&s, r, FIRST + 2, 3, false);
    short_turn(&s);
    assert_int_equal(e.batches, 2);
    push_part(&s, r, FIRST + 3, 3, true);
    short_turn(&s);
    assert_int_equal(e.batches, 3);
    assert_int_equal(e.n, 4);
    push_part(&s, r, FIRST + 4, 4, false);
    short_turn(&s);
    assert_int_equal(e.n, 4);
    test_loop_run_for(&s.loop, 150000);
    assert_int_equal(e.n, 5);
    push_part(&s, r, FIRST + 5, 4, false);
    short_turn(&s);
    assert_int_equal(e.n, 6);
    router_detach(&e.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void sound_that_waits_goes_alone_when_no_picture_comes_in_time(void **state)
{
    struct scene s;
    struct ear e = new_ear(), late = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    e.c.patient = late.c.patient = true;
    router_attach(r, &e.c, want_track(0) | want_track(1));
    show_three_pictures(&s, r);
    push(&s, r, 1, FIRST + 100);
    short_turn(&s);
    assert_int_equal(e.n, 5);
    router_attach(r, &late.c, want_track(0) | want_track(1)); /* what waits is before it */
    assert_int_equal(e.n, 6);
    assert_int_equal(late.n, 0);
    push(&s, r, 1, FIRST + 101);
    short_turn(&s);
    assert_int_equal(e.n, 6);
    test_loop_run_for(&s.loop, 1500000);
    assert_int_equal(e.n, 7);
    assert_int_equal(late.n, 1);
    push(&s, r, 1, FIRST + 102); /* the camera has stopped */
    short_turn(&s);
    assert_int_equal(e.n, 8);
    router_detach(&e.c);
    router_detach(&late.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* In on_tracks consumers say what they want of the new epoch, and so may begin to be patient. */
static void who_becomes_patient_is_told_the_tracks_once(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    e.c.patient = true;
    e.wants = want_track(0) | want_track(1);
    router_attach(r, &e.c, 0);
    publish(r, &m, 1);
    assert_int_equal(e.tracks, 1);
    assert_int_equal(e.readies, 1);
    show_three_pictures(&s, r);
    assert_int_equal(e.n, 5);
    push(&s, r, 1, FIRST + 100);
    short_turn(&s);
    assert_int_equal(e.n, 5);
    consumer_want(&e.c, want_track(1)); /* sound alone waits for nothing */
    assert_int_equal(e.n, 6);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    assert_int_equal(e.ends, 1);
    router_detach(&e.c);
    scene_fini(&s);
}

static void one_may_leave_while_packets_are_handed_out(void **state)
{
    struct scene s;
    struct ear a = new_ear(), b = new_ear(), c = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &a.c, want_track(0));
    router_attach(r, &b.c, want_track(0));
    router_attach(r, &c.c, want_track(0));
    a.detaches = &b; /* the next in line */
    push(&s, r, 0, FIRST);
    turn(&s);
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 0);
    assert_int_equal(c.n, 1);
    a.detaches = &a;
    push(&s, r, 0, FIRST + 1);
    turn(&s);
    assert_int_equal(c.n, 2);
    assert_int_equal(router_consumers(r, NULL), 1);
    router_detach(&c.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void a_duplicate_is_dropped_and_counted(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &e.c, want_track(0));
    push(&s, r, 0, FIRST);
    push(&s, r, 0, FIRST);
    turn(&s);
    assert_int_equal(e.n, 1);
    assert_int_equal(router_counters(r)->duplicates, 1);
    router_detach(&e.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void wants_are_the_union_and_shrink_only_after_the_linger(void **state)
{
    struct scene s;
    struct ear a = new_ear(), b = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &a.c, want_bit(0, 0));
    assert_int_equal(m.want, want_bit(0, 0));
    router_attach(r, &b.c, want_bit(1, 0));
    assert_int_equal(m.want, want_bit(0, 0) | want_bit(1, 0));
    router_detach(&b.c);
    turn(&s);
    assert_int_equal(m.want, want_bit(0, 0) | want_bit(1, 0)); /* it may come back */
    test_loop_run_for(&s.loop, 40000);
    assert_int_equal(m.want, want_bit(0, 0));
    consumer_want(&a.c, want_bit(0, 1));
    assert_int_equal(m.want, want_bit(0, 0) | want_bit(0, 1));
    router_detach(&a.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void keyframe_needs_are_gated_for_each_layer(void **state)
{
    struct scene s;
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    for (int i = 0; i < 10; i++)
        router_need_keyframe(r, 0, 0);
    assert_int_equal(m.keyframes, 1);
    router_need_keyframe(r, 0, 1);
    assert_int_equal(m.keyframes, 2);
    router_need_keyframe(r, 9, 0); /* no such track */
    assert_int_equal(m.keyframes, 2);
    assert_int_equal(router_counters(r)->keyframe_requests_gated, 9);
    test_loop_run_for(&s.loop, KEYFRAME_GATE_US + 10000);
    router_need_keyframe(r, 0, 0);
    assert_int_equal(m.keyframes, 3);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void a_router_nobody_needs_goes_after_the_linger(void **state)
{
    struct scene s;
    struct ear e = new_ear();

    (void)state;
    scene_init(&s);
    assert_null(router_open(s.set, "not a name"));
    struct router *r = router_open(s.set, "live/a");
    assert_ptr_equal(router_open(s.set, "live/a"), r);
    router_attach(r, &e.c, 0);
    test_loop_run_for(&s.loop, 40000);
    assert_non_null(router_find(s.set, "live/a"));
    assert_int_equal(s.idles, 0);
    router_detach(&e.c);
    test_loop_run_for(&s.loop, 40000);
    assert_int_equal(s.idles, 1);
    assert_null(router_find(s.set, "live/a"));
    scene_fini(&s);
}

static void the_linger_begins_when_the_last_one_leaves(void **state)
{
    struct scene s;
    struct ear e = new_ear(), other = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &other.c, 0);
    router_attach(r, &e.c, want_bit(0, 0));
    router_detach(&other.c);
    test_loop_run_for(&s.loop, 15000);
    router_detach(&e.c);
    test_loop_run_for(&s.loop, 15000);
    assert_int_equal(s.idles, 0);
    assert_int_equal(m.want, want_bit(0, 0));
    test_loop_run_for(&s.loop, 10000);
    assert_int_equal(s.idles, 1);
    assert_int_equal(m.want, 0);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* Any name may be asked for, and what is kept for each is memory. */
static void a_name_that_nobody_publishes_is_not_kept_as_a_stream_is(void **state)
{
    struct scene s;
    struct ear e = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init_lingering(&s, 10000000);
    publish(router_open(s.set, "live/a"), &m, 1);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    struct router *r = router_open(s.set, "no/stream");
    router_attach(r, &e.c, 0);
    router_refuse(r, STREAM_UNKNOWN);
    router_detach(&e.c);
    test_loop_run_for(&s.loop, 1100000);
    assert_int_equal(s.idles, 1);
    assert_null(router_find(s.set, "no/stream"));
    assert_non_null(router_find(s.set, "live/a"));
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_s_packets_come_as_one_batch_and_only_the_wanted_ones),
        cmocka_unit_test(a_newcomer_gets_nothing_twice),
        cmocka_unit_test(who_leaves_hears_no_wishes_while_what_it_brought_is_handed_out),
        cmocka_unit_test(sound_waits_for_the_patient_and_comes_with_the_next_pictures),
        cmocka_unit_test(of_two_packets_of_sound_the_newer_waits_for_the_picture_after),
        cmocka_unit_test(a_picture_in_pieces_is_one_batch_for_the_patient_but_is_not_waited_for_long),
        cmocka_unit_test(sound_that_waits_goes_alone_when_no_picture_comes_in_time),
        cmocka_unit_test(who_becomes_patient_is_told_the_tracks_once),
        cmocka_unit_test(one_may_leave_while_packets_are_handed_out),
        cmocka_unit_test(a_duplicate_is_dropped_and_counted),
        cmocka_unit_test(wants_are_the_union_and_shrink_only_after_the_linger),
        cmocka_unit_test(keyframe_needs_are_gated_for_each_layer),
        cmocka_unit_test(a_router_nobody_needs_goes_after_the_linger),
        cmocka_unit_test(the_linger_begins_when_the_last_one_leaves),
        cmocka_unit_test(a_name_that_nobody_publishes_is_not_kept_as_a_stream_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
