/* SPDX-License-Identifier: Apache-2.0
 * test_router_patience.c - who speaks for many patient consumers: what waits for it, and what goes upstream. */
#include "router_scene.h"

enum { NEVER_BUSY = 1001 /* per mille */ };

static const uint64_t BOTH = (uint64_t)0xff | (uint64_t)0xff << LAYERS_MAX;

static void sound_waits_for_who_asks_for_it_on_an_idle_worker_too(void **state)
{
    struct scene s;
    struct ear asks = new_ear(), patient = new_ear(), prompt = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init_with(&s, 20000, 0, NEVER_BUSY);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    patient.c.patient = true;
    router_attach(r, &asks.c, BOTH);
    router_attach(r, &patient.c, BOTH);
    router_attach(r, &prompt.c, BOTH);
    show_three_pictures(&s, r);
    push(&s, r, 1, FIRST + 100);
    short_turn(&s);
    assert_int_equal(asks.n, 6);
    assert_int_equal(patient.n, 6); /* its worker is not busy */
    consumer_patience(&asks.c, 900000);
    push(&s, r, 0, FIRST + 3);
    short_turn(&s);
    push(&s, r, 1, FIRST + 101);
    short_turn(&s);
    assert_int_equal(asks.n, 7);
    assert_int_equal(prompt.n, 8);
    push(&s, r, 0, FIRST + 4);
    short_turn(&s);
    assert_int_equal(asks.n, 9);
    assert_int_equal(prompt.n, 9);
    push(&s, r, 1, FIRST + 102);
    short_turn(&s);
    assert_int_equal(asks.n, 9);
    consumer_patience(&asks.c, 0); /* what waits comes at once */
    assert_int_equal(asks.n, 10);
    assert_int_equal(patient.n, 10);
    push(&s, r, 1, FIRST + 103);
    short_turn(&s);
    assert_int_equal(asks.n, 11);
    router_detach(&asks.c);
    router_detach(&patient.c);
    router_detach(&prompt.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void the_producer_hears_when_all_who_want_sound_are_patient(void **state)
{
    struct scene s;
    struct ear one = new_ear(), two = new_ear(), prompt = new_ear(), deaf = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init_with(&s, 20000, 0, NEVER_BUSY);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    router_attach(r, &one.c, BOTH);
    router_attach(r, &deaf.c, want_track(0)); /* sound is nothing to it */
    assert_int_equal(m.patiences, 0);
    consumer_patience(&one.c, 40000);
    assert_int_equal(m.patience_us, 40000);
    two.c.patient = true;
    two.c.patience_us = 30000;
    router_attach(r, &two.c, BOTH);
    assert_int_equal(m.patience_us, 30000); /* the least */
    assert_int_equal(router_patience_us(r), 30000);
    router_attach(r, &prompt.c, BOTH);
    assert_int_equal(m.patience_us, 0);
    router_detach(&prompt.c);
    router_detach(&two.c);
    push(&s, r, 0, FIRST);
    short_turn(&s); /* with pictures it is looked at again */
    assert_int_equal(m.patience_us, 40000);
    consumer_want(&one.c, want_track(1)); /* what is wanted alone comes at once */
    assert_int_equal(m.patience_us, 0);
    consumer_want(&one.c, BOTH);
    assert_int_equal(m.patience_us, 40000);
    assert_int_equal(m.patiences, 6);
    router_detach(&one.c);
    router_detach(&deaf.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

static void viewers_on_a_busy_worker_are_all_patient_together(void **state)
{
    struct scene s;
    struct ear viewer = new_ear();
    struct mouth m = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &m, 1);
    viewer.c.patient = true;
    router_attach(r, &viewer.c, BOTH);
    assert_int_equal(m.patiences, 0);
    push(&s, r, 0, FIRST);
    short_turn(&s);
    assert_int_equal(m.patience_us, 1000000);
    push(&s, r, 1, FIRST); /* it may still come alone, a moment before its pictures */
    push(&s, r, 1, FIRST + 1);
    push(&s, r, 0, FIRST + 1);
    short_turn(&s);
    assert_int_equal(viewer.n, 4); /* what has waited upstream is not kept again */
    router_detach(&viewer.c);
    router_unpublish(&m.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

/* It may be half gone. */
static void who_leaves_hears_of_no_patience_any_more(void **state)
{
    struct scene s;
    struct ear viewer = new_ear();
    struct mouth leaves = new_mouth(), next = new_mouth();

    (void)state;
    scene_init(&s);
    struct router *r = router_open(s.set, "live/a");
    publish(r, &leaves, 1);
    viewer.c.patient = true;
    router_attach(r, &viewer.c, BOTH);
    push(&s, r, 0, FIRST);
    router_unpublish(&leaves.p, STREAM_UNREACHABLE, true); /* the picture is handed out here */
    assert_int_equal(viewer.n, 1);
    assert_int_equal(leaves.patiences, 0);
    assert_int_equal(router_patience_us(r), 0);
    publish(r, &next, 1);
    push(&s, r, 0, FIRST + 1);
    short_turn(&s);
    assert_int_equal(next.patience_us, 1000000);
    router_detach(&viewer.c);
    router_unpublish(&next.p, STREAM_UNPUBLISHED, false);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sound_waits_for_who_asks_for_it_on_an_idle_worker_too),
        cmocka_unit_test(the_producer_hears_when_all_who_want_sound_are_patient),
        cmocka_unit_test(viewers_on_a_busy_worker_are_all_patient_together),
        cmocka_unit_test(who_leaves_hears_of_no_patience_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
