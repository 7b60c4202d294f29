/* SPDX-License-Identifier: Apache-2.0
 * The switchboard: who is told what, when, and how often. */
#include "router/router.h"
#include "unit/io/loop.h"

#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const uint64_t FIRST = PACKET_SEQ_FIRST;

struct scene {
    struct test_loop loop;
    struct pool *pool;
    struct router_set *set;
    unsigned demands, idles;
};

/* A consumer that writes down all it hears. */
struct ear {
    struct consumer c;
    unsigned tracks, readies, batches, ends;
    uint64_t epoch;
    size_t n;
    uint64_t seqs[64];
    enum stream_end why;
    struct ear *detaches; /* on its first packets */
    uint64_t wants;       /* says so in on_tracks, unless 0 */
};

struct mouth {
    struct producer p;
    unsigned wants, keyframes;
    uint64_t want;
};

static void ear_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct ear *e = container_of(c, struct ear, c);
    e->tracks++;
    e->epoch = tracks->epoch;
    if (e->wants)
        consumer_want(c, e->wants);
}

static void ear_on_ready(struct consumer *c)
{
    container_of(c, struct ear, c)->readies++;
}

static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct ear *e = container_of(c, struct ear, c);

    assert_true(e->readies > 0); /* never before on_ready */
    e->batches++;
    for (size_t i = 0; i < b->n; i++)
        e->seqs[e->n++] = b->v[i]->seq;
    if (e->detaches)
        router_detach(&e->detaches->c);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    struct ear *e = container_of(c, struct ear, c);
    e->ends++;
    e->why = why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_ready = ear_on_ready, .on_packets = ear_on_packets, .on_end = ear_on_end};

static void mouth_on_want(struct producer *p, uint64_t want)
{
    struct mouth *m = container_of(p, struct mouth, p);
    m->wants++;
    m->want = want;
}

static void mouth_on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)track;
    (void)layer;
    container_of(p, struct mouth, p)->keyframes++;
}

static const struct producer_ops mouth_ops = {mouth_on_want, mouth_on_keyframe};

static struct ear new_ear(void)
{
    return (struct ear){.c = {.ops = &ear_ops, .kind = "test"}};
}

static struct mouth new_mouth(void)
{
    return (struct mouth){.p = {.ops = &mouth_ops, .kind = "test"}};
}

static void on_demand(void *arg, struct router *r)
{
    (void)r;
    ((struct scene *)arg)->demands++;
}

static void on_idle(void *arg, struct router *r)
{
    (void)r;
    ((struct scene *)arg)->idles++;
}

static void scene_init(struct scene *s)
{
    *s = (struct scene){0};
    test_loop_init(&s->loop);
    struct router_set_cfg cfg = {
        .cache = {.cap_bytes = 1 << 24, .cap_packets = 1000, .cap_us = 100000000},
        .hold_us = 1000000,
        .linger_us = 20000,
        .on_demand = on_demand,
        .on_idle = on_idle,
        .arg = s,
    };
    assert_int_equal(packet_pool_create(&s->pool, 1000), 0);
    assert_int_equal(router_set_create(&s->set, s->loop.w, &cfg), 0);
}

static void scene_fini(struct scene *s)
{
    router_set_destroy(&s->set);
    pool_destroy(&s->pool);
    worker_destroy(&s->loop.w);
}

static struct track_set two_tracks(uint64_t epoch)
{
    return (struct track_set){.epoch = epoch,
                              .n = 2,
                              .v = {{.codec = CODEC_H264, .clock_hz = 90000, .n_layers = 1},
                                    {.codec = CODEC_OPUS, .clock_hz = 48000, .n_layers = 1}}};
}

static void push(struct scene *s, struct router *r, unsigned track, uint64_t seq)
{
    struct packet *p = packet_create(s->pool);

    assert_non_null(p);
    p->track = (uint8_t)track;
    p->seq = seq;
    p->ts_ticks = seq * (track == 1 ? 48000 : 3000); /* a second of sound: a busy machine's turn is shorter */
    p->capture_us = seq * 1000;
    router_push(r, p);
}

static void publish(struct router *r, struct mouth *m, uint64_t epoch)
{
    struct track_set tracks = two_tracks(epoch);

    router_publish(r, &m->p, &tracks);
    router_ready(&m->p);
}

static void turn(struct scene *s)
{
    test_loop_run_for(&s->loop, 1000);
}

/* No longer than it takes: what waits must not be due yet. */
static void short_turn(struct scene *s)
{
    struct test_loop_while w = {.turns = 1};

    timer_init(&w.timer, s->loop.w, test_loop_on_while);
    timer_start(&w.timer, 0);
    test_loop_run(&s->loop);
}

/* ---- */

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

/* Two packets of sound, which play for a second each, and three pictures. */
static void show_three_pictures(struct scene *s, struct router *r)
{
    push(s, r, 1, FIRST + 98);
    push(s, r, 1, FIRST + 99);
    for (uint64_t i = 0; i < 3; i++) {
        push(s, r, 0, FIRST + i);
        short_turn(s);
        if (i < 2)
            test_loop_run_for(&s->loop, 20000);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_turn_s_packets_come_as_one_batch_and_only_the_wanted_ones),
        cmocka_unit_test(a_newcomer_gets_nothing_twice),
        cmocka_unit_test(sound_waits_for_the_patient_and_comes_with_the_next_pictures),
        cmocka_unit_test(of_two_packets_of_sound_the_newer_waits_for_the_picture_after),
        cmocka_unit_test(sound_that_waits_goes_alone_when_no_picture_comes_in_time),
        cmocka_unit_test(who_becomes_patient_is_told_the_tracks_once),
        cmocka_unit_test(one_may_leave_while_packets_are_handed_out),
        cmocka_unit_test(a_duplicate_is_dropped_and_counted),
        cmocka_unit_test(wants_are_the_union_and_shrink_only_after_the_linger),
        cmocka_unit_test(the_past_is_told_as_it_comes_where_it_may_be_passed_on),
        cmocka_unit_test(the_past_fills_the_cache_before_live_begins),
        cmocka_unit_test(another_parent_goes_on_in_the_same_epoch_unnoticed),
        cmocka_unit_test(who_joins_between_two_parents_is_told_the_tracks),
        cmocka_unit_test(who_joins_before_the_past_is_here_is_told_when_it_is),
        cmocka_unit_test(a_new_epoch_begins_with_its_tracks_and_an_empty_cache),
        cmocka_unit_test(the_same_epoch_coming_back_after_its_end_is_told_anew),
        cmocka_unit_test(keyframe_needs_are_gated_for_each_layer),
        cmocka_unit_test(a_router_nobody_needs_goes_after_the_linger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
