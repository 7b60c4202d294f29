/* SPDX-License-Identifier: Apache-2.0
 * router_scene.h - a router with producers and consumers that note what they are told. */
#pragma once

#include "router/router.h"
#include "unit/io/loop.h"

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
    uint64_t wants_more;  /* says so in on_packets, and that it needs a keyframe, unless 0 */
};

struct mouth {
    struct producer p;
    unsigned wants, keyframes, patiences;
    uint64_t want, patience_us;
};

static inline void ear_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct ear *e = container_of(c, struct ear, c);
    e->tracks++;
    e->epoch = tracks->epoch;
    if (e->wants)
        consumer_want(c, e->wants);
}

static inline void ear_on_ready(struct consumer *c)
{
    container_of(c, struct ear, c)->readies++;
}

static inline void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct ear *e = container_of(c, struct ear, c);

    assert_true(e->readies > 0); /* never before on_ready */
    e->batches++;
    for (size_t i = 0; i < b->n; i++)
        e->seqs[e->n++] = b->v[i]->seq;
    if (e->detaches)
        router_detach(&e->detaches->c);
    if (e->wants_more) {
        consumer_want(c, e->wants_more);
        router_need_keyframe(c->router, 0, 0);
    }
}

static inline void ear_on_end(struct consumer *c, enum stream_end why)
{
    struct ear *e = container_of(c, struct ear, c);
    e->ends++;
    e->why = why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_ready = ear_on_ready, .on_packets = ear_on_packets, .on_end = ear_on_end};

static inline void mouth_on_want(struct producer *p, uint64_t want)
{
    struct mouth *m = container_of(p, struct mouth, p);
    m->wants++;
    m->want = want;
}

static inline void mouth_on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)track;
    (void)layer;
    container_of(p, struct mouth, p)->keyframes++;
}

static inline void mouth_on_patience(struct producer *p, uint64_t patience_us)
{
    struct mouth *m = container_of(p, struct mouth, p);
    m->patiences++;
    m->patience_us = patience_us;
}

static const struct producer_ops mouth_ops = {
    .on_want = mouth_on_want, .on_keyframe = mouth_on_keyframe, .on_patience = mouth_on_patience};

static inline struct ear new_ear(void)
{
    return (struct ear){.c = {.ops = &ear_ops, .kind = "test"}};
}

static inline struct mouth new_mouth(void)
{
    return (struct mouth){.p = {.ops = &mouth_ops, .kind = "test"}};
}

static inline void on_demand(void *arg, struct router *r)
{
    (void)r;
    ((struct scene *)arg)->demands++;
}

static inline void on_idle(void *arg, struct router *r)
{
    (void)r;
    ((struct scene *)arg)->idles++;
}

/* The end of a picture is waited for so long; a worker is busy from so much on. */
static inline void scene_init_with(struct scene *s, uint64_t linger_us, uint64_t whole_us, uint32_t hold_from_permille)
{
    *s = (struct scene){0};
    test_loop_init(&s->loop);
    struct router_set_cfg cfg = {
        .cache = {.cap_bytes = 1 << 24, .cap_packets = 1000, .cap_us = 100000000},
        .hold_us = 1000000,
        .hold_from_permille = hold_from_permille,
        .whole_us = whole_us,
        .linger_us = linger_us,
        .on_demand = on_demand,
        .on_idle = on_idle,
        .arg = s,
    };
    assert_int_equal(packet_pool_create(&s->pool, 1000), 0);
    assert_int_equal(router_set_create(&s->set, s->loop.w, &cfg), 0);
}

static inline void scene_init_lingering(struct scene *s, uint64_t linger_us)
{
    scene_init_with(s, linger_us, 0, 0);
}

static inline void scene_init(struct scene *s)
{
    scene_init_lingering(s, 20000);
}

static inline void scene_fini(struct scene *s)
{
    router_set_destroy(&s->set);
    pool_destroy(&s->pool);
    worker_destroy(&s->loop.w);
}

static inline struct track_set two_tracks(uint64_t epoch)
{
    return (struct track_set){.epoch = epoch,
                              .n = 2,
                              .v = {{.codec = CODEC_H264, .clock_hz = 90000, .n_layers = 1},
                                    {.codec = CODEC_OPUS, .clock_hz = 48000, .n_layers = 1}}};
}

static inline void push(struct scene *s, struct router *r, unsigned track, uint64_t seq)
{
    struct packet *p = packet_create(s->pool);

    assert_non_null(p);
    p->track = (uint8_t)track;
    p->seq = seq;
    p->ts_ticks = seq * (track == 1 ? 48000 : 3000); /* a second of sound: a busy machine's turn is shorter */
    p->capture_us = seq * 1000;
    router_push(r, p);
}

static inline void publish(struct router *r, struct mouth *m, uint64_t epoch)
{
    struct track_set tracks = two_tracks(epoch);

    router_publish(r, &m->p, &tracks);
    router_ready(&m->p);
}

static inline void turn(struct scene *s)
{
    test_loop_run_for(&s->loop, 1000);
}

/* No longer than it takes: what waits must not be due yet. */
static inline void short_turn(struct scene *s)
{
    struct test_loop_while w = {.turns = 1};

    timer_init(&w.timer, s->loop.w, test_loop_on_while);
    timer_start(&w.timer, 0);
    test_loop_run(&s->loop);
}

/* Two packets of sound, which play for a second each, and three pictures. */
static inline void show_three_pictures(struct scene *s, struct router *r)
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
