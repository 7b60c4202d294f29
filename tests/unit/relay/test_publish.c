/* SPDX-License-Identifier: Apache-2.0
 * A publisher whose connection is on the stream's home worker: packets keep their order, whenever they come. */
#include "io/udp.h"
#include "relay/publish.h"
#include "relay/relay_priv.h"
#include "unit/io/loop.h"

static const uint64_t FIRST = PACKET_SEQ_FIRST;
enum { NOTES = 3 };

struct scene {
    struct test_loop loop;
    struct relay *relay, *peers[1];
    struct publication *pub;
    struct consumer ear;
    struct udp_socket *udp; /* datagrams to ourselves: what comes from the network, in its place in a turn */
    struct addr self;
    unsigned came;
    uint64_t epoch; /* that the ear has heard of */
    void (*on_note)(struct scene *s); /* what a datagram brings */
    size_t n, awaited;
    uint64_t seqs[2 * NOTES], epochs[2 * NOTES];
};

static uint64_t granted, released;
static enum claim_result refuse_with; /* 0: nothing is refused */

/* The hub, for which there would have to be a directory. */
void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token);
void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token)
{
    (void)h;
    relay_on_claim(asker, name, token, refuse_with, refuse_with ? 0 : ++granted, "another");
}

void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch);
void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch)
{
    (void)h;
    (void)name;
    assert_int_equal(epoch, granted);
    released = epoch;
}

static void push(struct scene *s, uint64_t seq)
{
    struct packet *p = packet_create(publish_pool(s->pub));

    assert_non_null(p);
    p->seq = seq;
    p->capture_us = seq;
    publish_push(s->pub, p);
}

static void start(struct scene *s, enum codec codec)
{
    struct track_set tracks = {.n = 1, .v = {{.codec = codec, .clock_hz = 90000, .n_layers = 1}}};

    publish_start(s->pub, &tracks);
}

static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct scene *s = arg;

    (void)v;
    assert_int_equal(n, 1);
    s->on_note(s);
}

/* With the first the publishing begins. Each brings two packets, and has the next one there for the next turn. */
static void on_two_packets(struct scene *s)
{
    if (s->came == 0)
        start(s, CODEC_H264);
    push(s, FIRST + 2 * s->came);
    push(s, FIRST + 2 * s->came + 1);
    if (++s->came < NOTES)
        udp_send(s->udp, &s->self, "on", 2);
}

static void on_claimed(void *arg, enum publish_result result)
{
    struct scene *s = arg;

    assert_int_equal(result, PUBLISH_OK);
    udp_send(s->udp, &s->self, "on", 2);
}

static void on_want(void *arg, uint64_t want)
{
    (void)arg;
    (void)want;
}

static void on_keyframe(void *arg, unsigned track, unsigned layer)
{
    (void)arg;
    (void)track;
    (void)layer;
}

static void on_revoked(void *arg, const char *why)
{
    (void)arg;
    fail_msg("%s", why);
}

static const struct publish_ops publish_ops = {on_claimed, on_want, on_keyframe, on_revoked};

static void ear_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct scene *s = container_of(c, struct scene, ear);

    assert_int_equal(tracks->epoch, ++s->epoch);
}

/* One packet, the next when it has arrived; other tracks with the third. */
static void on_other_tracks(struct scene *s)
{
    bool other = s->came == 2;

    if (s->came == 0 || other)
        start(s, other ? CODEC_VP8 : CODEC_H264);
    push(s, FIRST + 1000 * s->came++ + 10);
}

static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct scene *s = container_of(c, struct scene, ear);

    for (size_t i = 0; i < b->n; i++) {
        s->epochs[s->n] = s->epoch;
        s->seqs[s->n++] = b->v[i]->seq;
    }
    if (s->n == s->awaited)
        worker_stop(s->loop.w);
    else if (s->on_note == on_other_tracks)
        udp_send(s->udp, &s->self, "on", 2);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_packets = ear_on_packets, .on_end = ear_on_end};

static void scene_init(struct scene *s, void (*on_note)(struct scene *s), size_t awaited)
{
    struct udp_cfg udp = {.on_datagrams = on_datagrams, .arg = s};
    struct relay_cfg cfg = {
        .workers = 1, .cache = {.cap_bytes = 1 << 20, .cap_packets = 100, .cap_us = 1000000}, .linger_us = 1000, .packets = 100};

    *s = (struct scene){.ear = {.ops = &ear_ops, .kind = "test"}, .on_note = on_note, .awaited = awaited};
    granted = released = 0;
    refuse_with = CLAIM_OK;
    test_loop_init(&s->loop);
    assert_int_equal(relay_create(&s->relay, s->loop.w, &cfg), 0);
    s->peers[0] = s->relay;
    relay_set_peers(s->relay, s->peers);
    assert_int_equal(addr_parse(&udp.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&s->udp, s->loop.w, &udp), 0);
    udp_local(s->udp, &s->self);
}

static void publish_all(struct scene *s)
{
    router_attach(relay_router(s->relay, "live/a"), &s->ear, want_track(0));
    assert_int_equal(publish_claim(&s->pub, s->relay, "live/a", "test", &publish_ops, s), 0);
    test_loop_run(&s->loop);
}

static void scene_fini(struct scene *s)
{
    router_detach(&s->ear);
    publish_close(&s->pub);
    udp_close(&s->udp);
    test_loop_run_for(&s->loop, 10000);
    relay_close(s->relay);
    relay_destroy(&s->relay);
    worker_destroy(&s->loop.w);
}

static void what_comes_in_the_turn_after_the_start_does_not_overtake_what_came_with_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, on_two_packets, 2 * NOTES);
    publish_all(&s);
    for (size_t i = 0; i < s.n; i++)
        assert_int_equal(s.seqs[i], FIRST + i);
    scene_fini(&s);
}

static void packets_of_other_tracks_do_not_get_into_the_epoch_before(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s, on_other_tracks, NOTES);
    publish_all(&s);
    for (size_t i = 0; i < s.n; i++) {
        assert_int_equal(s.seqs[i], FIRST + 1000 * i + 10);
        assert_int_equal(s.epochs[i], i < 2 ? 1 : 2);
    }
    scene_fini(&s);
}

static void on_refused(void *arg, enum publish_result result)
{
    struct scene *s = arg;

    assert_int_equal(result, PUBLISH_TAKEN);
    worker_stop(s->loop.w);
}

/* The ingest may have words left to say to its client: by then nobody at the home needs the stream any more. */
static void who_was_refused_may_close_later(void **state)
{
    static const struct publish_ops ops = {on_refused, on_want, on_keyframe, on_revoked};
    struct scene s;

    (void)state;
    scene_init(&s, on_two_packets, 0);
    refuse_with = CLAIM_TAKEN;
    assert_int_equal(publish_claim(&s.pub, s.relay, "live/a", "test", &ops, &s), 0);
    test_loop_run(&s.loop);
    test_loop_run_for(&s.loop, 20000);
    assert_null(router_find(relay_routers(s.relay), "live/a"));
    assert_int_equal(released, 0);
    scene_fini(&s);
}

static void on_revoked_at_last(void *arg, const char *why)
{
    struct scene *s = arg;

    assert_non_null(why);
    worker_stop(s->loop.w);
}

/* Of what it published before nothing stays in the directory. */
static void who_cannot_claim_again_for_other_tracks_gives_the_name_up(void **state)
{
    static const struct publish_ops ops = {on_claimed, on_want, on_keyframe, on_revoked_at_last};
    struct scene s;

    (void)state;
    scene_init(&s, on_two_packets, 2 * NOTES);
    router_attach(relay_router(s.relay, "live/a"), &s.ear, want_track(0));
    assert_int_equal(publish_claim(&s.pub, s.relay, "live/a", "test", &ops, &s), 0);
    test_loop_run(&s.loop);
    refuse_with = CLAIM_FAILED;
    start(&s, CODEC_VP8);
    test_loop_run(&s.loop);
    assert_int_equal(released, 1);
    scene_fini(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_the_turn_after_the_start_does_not_overtake_what_came_with_it),
        cmocka_unit_test(packets_of_other_tracks_do_not_get_into_the_epoch_before),
        cmocka_unit_test(who_was_refused_may_close_later),
        cmocka_unit_test(who_cannot_claim_again_for_other_tracks_gives_the_name_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
