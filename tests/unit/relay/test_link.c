/* SPDX-License-Identifier: Apache-2.0
 * Between workers: everything the home has goes over, however much it is and however far behind the other worker is. */
#include "relay/relay_priv.h"
#include "unit/io/loop.h"

#include <stdlib.h>

static const uint64_t FIRST = PACKET_SEQ_FIRST;
enum { PACKETS_CAP = 20000, PARCELS_MAX = 100000 };

/* Two workers' relays in one loop: their mails are real, and come one turn later. */
struct scene {
    struct test_loop loop;
    struct relay *relays[2], *home, *asker;
    struct producer mouth;
    uint64_t patience_us; /* that the mouth was told */
    struct consumer ear;
    bool ready;
    uint64_t begun, next; /* at the asker: first of the cache when it was ready; the number after the last packet */
    struct mail **taken;  /* parcels that the test holds, so that none are left */
    size_t n_taken;
};

void __wrap_hub_ask_find(struct hub *h, struct relay *asker, const char *name);
void __wrap_hub_ask_find(struct hub *h, struct relay *asker, const char *name)
{
    (void)h;
    (void)asker;
    (void)name;
}

static void mouth_on_want(struct producer *p, uint64_t want)
{
    (void)p;
    (void)want;
}

static void mouth_on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    (void)track;
    (void)layer;
}

static void mouth_on_patience(struct producer *p, uint64_t patience_us)
{
    container_of(p, struct scene, mouth)->patience_us = patience_us;
}

static const struct producer_ops mouth_ops = {
    .on_want = mouth_on_want, .on_keyframe = mouth_on_keyframe, .on_patience = mouth_on_patience};

static void ear_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    (void)c;
    assert_int_equal(tracks->epoch, 5);
}

static void ear_on_ready(struct consumer *c)
{
    struct scene *s = container_of(c, struct scene, ear);

    assert_true(cache_range(router_cache(c->router), 0, 0, &s->begun, &s->next));
    s->ready = true;
}

static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct scene *s = container_of(c, struct scene, ear);

    for (size_t i = 0; i < b->n; i++)
        assert_int_equal(b->v[i]->seq, s->next++);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops ear_ops = {
    .on_tracks = ear_on_tracks, .on_ready = ear_on_ready, .on_packets = ear_on_packets, .on_end = ear_on_end};

static void push(struct scene *s, uint64_t seq, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct packet *p = packet_create(relay_pool(s->home));
        assert_non_null(p);
        p->seq = seq + i;
        p->capture_us = seq + i;
        router_push(s->mouth.router, p);
    }
}

static void turns(struct scene *s)
{
    test_loop_run_for(&s->loop, 5000);
}

static void scene_init(struct scene *s)
{
    struct track_set tracks = {.epoch = 5, .n = 1, .v = {{.codec = CODEC_H264, .clock_hz = 90000, .n_layers = 1}}};

    *s = (struct scene){.mouth = {.ops = &mouth_ops, .kind = "test"}, .ear = {.ops = &ear_ops, .kind = "test"}};
    test_loop_init(&s->loop);
    for (unsigned i = 0; i < 2; i++) {
        struct relay_cfg cfg = {.index = i, .workers = 2, .linger_us = 1000, .packets = PACKETS_CAP, .cache = {
            .cap_bytes = SIZE_MAX, .cap_packets = PACKETS_CAP, .cap_us = 1000000}};
        assert_int_equal(relay_create(&s->relays[i], s->loop.w, &cfg), 0);
    }
    for (unsigned i = 0; i < 2; i++)
        relay_set_peers(s->relays[i], s->relays);
    s->home = s->relays[relay_home(s->relays[0], "live/a")];
    s->asker = s->relays[!relay_home(s->relays[0], "live/a")];
    router_publish(relay_router(s->home, "live/a"), &s->mouth, &tracks);
    router_ready(&s->mouth);
}

static void scene_fini(struct scene *s)
{
    router_detach(&s->ear);
    router_unpublish(&s->mouth, STREAM_UNPUBLISHED, false);
    for (unsigned i = 0; i < 2; i++)
        relay_close(s->relays[i]);
    turns(s);
    for (unsigned i = 0; i < 2; i++)
        relay_clear(s->relays[i]);
    for (unsigned i = 0; i < 2; i++)
        relay_destroy(&s->relays[i]);
    worker_destroy(&s->loop.w);
}

/* All but some. */
static void take_parcels(struct scene *s, size_t but)
{
    struct pool *pool = relay_parcels(s->home);

    if (!s->taken)
        s->taken = malloc(sizeof(*s->taken) * PARCELS_MAX);
    assert_non_null(s->taken);
    while ((s->taken[s->n_taken] = pool_take(pool)))
        s->n_taken++;
    while (but--)
        pool_give(pool, s->taken[--s->n_taken]);
}

static void give_parcels(struct scene *s)
{
    while (s->n_taken)
        pool_give(relay_parcels(s->home), s->taken[--s->n_taken]);
    free(s->taken);
}

static void a_long_past_goes_over_whole(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 18000);
    turns(&s);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, want_track(0));
    turns(&s);
    assert_true(s.ready);
    assert_int_equal(s.begun, FIRST);
    assert_int_equal(s.next, FIRST + 18000);
    assert_int_equal(router_counters(s.ear.router)->packets, 18000);
    scene_fini(&s);
}

/* Live packets for which there is no parcel are sent when there is one again. */
static void who_was_far_behind_misses_nothing(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 10);
    turns(&s);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, want_track(0));
    turns(&s);
    take_parcels(&s, 1);
    push(&s, FIRST + 10, 100); /* the second half of these does not fit */
    turns(&s);
    assert_int_equal(s.next, FIRST + 10 + PARCEL_MAX);
    take_parcels(&s, 0);
    push(&s, FIRST + 110, 1);
    turns(&s);
    give_parcels(&s);
    push(&s, FIRST + 111, 300); /* more than a batch */
    turns(&s);
    assert_int_equal(s.next, FIRST + 411);
    push(&s, FIRST + 411, 1);
    turns(&s);
    assert_int_equal(s.next, FIRST + 412);
    assert_int_equal(relay_counters(s.home)->dropped_pool, 0);
    scene_fini(&s);
}

/* The past itself, too: then it is ready later. */
/* A viewer says what it wants when it has heard of the tracks; the home's packets do not wait for that. */
static void what_comes_before_anything_is_wanted_is_not_missing_after_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 10);
    turns(&s);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, 0);
    turns(&s);
    assert_true(s.ready);
    assert_int_equal(s.next, FIRST + 10);
    push(&s, FIRST + 10, 10);
    turns(&s);
    assert_int_equal(s.next, FIRST + 10);
    consumer_want(&s.ear, want_track(0));
    push(&s, FIRST + 20, 1);
    turns(&s);
    push(&s, FIRST + 21, 1);
    turns(&s);
    assert_int_equal(s.next, FIRST + 22);
    scene_fini(&s);
}

static void who_is_far_behind_at_the_start_is_ready_when_the_past_is_there(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 1000);
    turns(&s);
    take_parcels(&s, 2);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, want_track(0));
    turns(&s);
    assert_false(s.ready);
    give_parcels(&s);
    push(&s, FIRST + 1000, 1);
    turns(&s);
    assert_true(s.ready);
    assert_int_equal(s.begun, FIRST);
    assert_int_equal(s.next, FIRST + 1001);
    scene_fini(&s);
}

/* The workers of a node that ends do not close in the same moment. */
static void a_viewer_who_comes_when_the_home_has_closed_waits_in_vain(void **state)
{
    struct scene s;
    struct consumer late = {.ops = &ear_ops, .kind = "test"};

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 1);
    turns(&s);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, want_track(0));
    turns(&s);
    router_unpublish(&s.mouth, STREAM_UNPUBLISHED, false);
    turns(&s);
    relay_close(s.home);
    router_attach(s.ear.router, &late, 0);
    turns(&s);
    assert_false(router_live(late.router));
    router_detach(&late);
    scene_fini(&s);
}

static void patience_goes_through_to_who_feeds_the_home(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    push(&s, FIRST, 10);
    turns(&s);
    router_attach(relay_router(s.asker, "live/a"), &s.ear, want_track(0));
    turns(&s);
    assert_int_equal(s.patience_us, 0);
    consumer_patience(&s.ear, 40000);
    turns(&s);
    assert_int_equal(s.patience_us, 40000);
    consumer_patience(&s.ear, 0);
    turns(&s);
    assert_int_equal(s.patience_us, 0);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_long_past_goes_over_whole),
        cmocka_unit_test(who_was_far_behind_misses_nothing),
        cmocka_unit_test(what_comes_before_anything_is_wanted_is_not_missing_after_it),
        cmocka_unit_test(who_is_far_behind_at_the_start_is_ready_when_the_past_is_there),
        cmocka_unit_test(a_viewer_who_comes_when_the_home_has_closed_waits_in_vain),
        cmocka_unit_test(patience_goes_through_to_who_feeds_the_home),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
