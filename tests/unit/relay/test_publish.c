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
    size_t n;
    uint64_t seqs[2 * NOTES];
};

/* The hub, for which there would have to be a directory: grants all. */
void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token);
void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token)
{
    (void)h;
    relay_on_claim(asker, name, token, CLAIM_OK, 7, "");
}

void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch);
void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch)
{
    (void)h;
    (void)name;
    assert_int_equal(epoch, 7);
}

static void push(struct scene *s, uint64_t seq)
{
    struct packet *p = packet_create(publish_pool(s->pub));

    assert_non_null(p);
    p->seq = seq;
    p->capture_us = seq;
    publish_push(s->pub, p);
}

/* With the first the publishing begins. Each brings two packets, and has the next one there for the next turn. */
static void on_datagrams(void *arg, struct udp_datagram *v, size_t n)
{
    struct scene *s = arg;
    struct track_set tracks = {.n = 1, .v = {{.codec = CODEC_H264, .clock_hz = 90000, .n_layers = 1}}};

    (void)v;
    assert_int_equal(n, 1);
    if (s->came == 0)
        publish_start(s->pub, &tracks);
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
    (void)c;
    assert_int_equal(tracks->epoch, 7);
}

static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct scene *s = container_of(c, struct scene, ear);

    for (size_t i = 0; i < b->n; i++)
        s->seqs[s->n++] = b->v[i]->seq;
    if (s->n == 2 * NOTES)
        worker_stop(s->loop.w);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_packets = ear_on_packets, .on_end = ear_on_end};

static void scene_init(struct scene *s)
{
    struct udp_cfg udp = {.on_datagrams = on_datagrams, .arg = s};
    struct relay_cfg cfg = {
        .workers = 1, .cache = {.cap_bytes = 1 << 20, .cap_packets = 100, .cap_us = 1000000}, .linger_us = 1000, .packets = 100};

    *s = (struct scene){.ear = {.ops = &ear_ops, .kind = "test"}};
    test_loop_init(&s->loop);
    assert_int_equal(relay_create(&s->relay, s->loop.w, &cfg), 0);
    s->peers[0] = s->relay;
    relay_set_peers(s->relay, s->peers);
    assert_int_equal(addr_parse(&udp.bind, "127.0.0.1:0"), 0);
    assert_int_equal(udp_open(&s->udp, s->loop.w, &udp), 0);
    udp_local(s->udp, &s->self);
}

static void what_comes_in_the_turn_after_the_start_does_not_overtake_what_came_with_it(void **state)
{
    struct scene s;

    (void)state;
    scene_init(&s);
    router_attach(relay_router(s.relay, "live/a"), &s.ear, want_track(0));
    assert_int_equal(publish_claim(&s.pub, s.relay, "live/a", "test", &publish_ops, &s), 0);
    test_loop_run(&s.loop);
    for (size_t i = 0; i < s.n; i++)
        assert_int_equal(s.seqs[i], FIRST + i);
    router_detach(&s.ear);
    publish_close(&s.pub);
    udp_close(&s.udp);
    test_loop_run_for(&s.loop, 10000);
    relay_close(s.relay);
    relay_destroy(&s.relay);
    worker_destroy(&s.loop.w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_in_the_turn_after_the_start_does_not_overtake_what_came_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
