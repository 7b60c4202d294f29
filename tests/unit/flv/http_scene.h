/* SPDX-License-Identifier: Apache-2.0
 * http_scene.h - HTTP-FLV over loopback: a router fed by the test stands for the relay. */
#pragma once

#include "edge/flv.h"
#include "unit/flv/source.h"
#include "unit/http/scene.h"
#include "unit/wire/exact.h"
#include "wire/flv.h"

#include <stdlib.h>
#include <string.h>

struct relay {
    struct router_set *set;
    struct pool *pool;
    int refuse; /* enum stream_end; 0: nobody answers */
};

static struct source source;
static struct scene scene;
static struct relay relay;
static struct flv *flv;
static struct producer producer;
static uint64_t round_;  /* the source is played again and again */

struct router *relay_router(struct relay *r, const char *name)
{
    return router_open(r->set, name);
}

struct worker *relay_worker(struct relay *r)
{
    return router_set_worker(r->set);
}

/* ---- Setting --------------------------------------------------------------------------------- */

static inline void on_demand(void *arg, struct router *r)
{
    const struct relay *of = arg;

    if (of->refuse)
        router_refuse(r, (enum stream_end)of->refuse);
}

static inline void on_idle(void *arg, struct router *r)
{
    (void)arg;
    (void)r;
}

static inline void on_want(struct producer *p, uint64_t want)
{
    (void)p;
    (void)want;
}

static inline void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    (void)track;
    (void)layer;
}

static const struct producer_ops producer_ops = {.on_want = on_want, .on_keyframe = on_keyframe};

static inline void open_all(const struct flv_cfg *cfg)
{
    struct router_set_cfg set = {.cache = {.cap_bytes = 32 << 20, .cap_packets = 65536, .cap_us = 60000000},
                                 .linger_us = 1000,
                                 .on_demand = on_demand,
                                 .on_idle = on_idle,
                                 .arg = &relay};
    struct flv_cfg c = *cfg;

    relay = (struct relay){0};
    producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    round_ = 0;
    scene_init(&scene, NULL);
    assert_int_equal(packet_pool_create(&relay.pool, 60000), 0);
    assert_int_equal(router_set_create(&relay.set, scene.loop.w, &set), 0);
    c.relay = &relay;
    c.server = scene.server;
    assert_int_equal(flv_open(&flv, &c), 0);
}

static inline int begin(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){0});
    return 0;
}

static inline int end(void **state)
{
    (void)state;
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
    http_server_close(&scene.server);
    test_loop_run_for(&scene.loop, 20000); /* connections close, routers go */
    flv_close(&flv);
    router_set_destroy(&relay.set);
    test_loop_fini(&scene.loop);
    pool_destroy(&relay.pool);
    return 0;
}

static inline int make_source(void **state)
{
    (void)state;
    source_create(&source, SOURCE_USUAL);
    return 0;
}

static inline int drop_source(void **state)
{
    (void)state;
    source_destroy(&source);
    return 0;
}

static inline void publish(void)
{
    struct router *r = router_open(relay.set, "live/test");

    assert_non_null(r);
    router_publish(r, &producer, &source.tracks);
    router_ready(&producer);
}

static inline void push(size_t i)
{
    const struct packet *from = source.packets[i];
    struct packet *p = packet_create(relay.pool);

    assert_non_null(p);
    p->seq = from->seq + round_ * 100000;
    p->ts_ticks = from->ts_ticks + round_ * 4 * source.tracks.v[from->track].clock_hz;
    p->capture_us = from->capture_us + round_ * 4000000;
    p->cts_ticks = from->cts_ticks;
    p->track = from->track;
    p->flags = from->flags;
    p->payload_len = from->payload_len;
    memcpy(p->bytes, packet_payload(from), from->payload_len);
    router_push(producer.router, p);
}

/* Packets [from, to) of the source, at most 50 a turn. */
static inline void play(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        push(i);
        if (i % 50 == 49)
            test_loop_run_for(&scene.loop, 0);
    }
    test_loop_run_for(&scene.loop, 0);
}

/* All of it again, with times and numbers that run on (a gap in the numbers is a loss, waited for and given up). */
static inline void play_round(void)
{
    play(0, source.n_packets);
    round_++;
}

static inline void unpublish(void)
{
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
}

static inline struct flv_counters counters(void)
{
    struct flv_counters c;

    flv_counters(flv, &c);
    return c;
}

/* A client whose request has been seen by the server. */
static inline void join(struct client *c, const char *method)
{
    char request[128];
    uint64_t before = counters().viewers;

    snprintf(request, sizeof(request), "%s /live/test.flv HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method);
    client_open(c, &scene);
    client_send(c, request);
    for (int i = 0; i < 2000 && counters().viewers == before; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().viewers, before + 1);
}

/* Until so much has come. */
static inline void receive(struct client *c, size_t bytes)
{
    c->stop_at = bytes;
    while (c->got.len < bytes && !c->ended)
        test_loop_run(&scene.loop);
    c->stop_at = 0;
}

/* ---- What came ------------------------------------------------------------------------------- */

struct seen {
    size_t video, audio, keyframes, sequence_headers;
    uint32_t first_ms, last_ms;
    bool starts_with_key;
    size_t gaps, gaps_to_key; /* video: more than 50 ms since the one before; and it is a keyframe */
};

/* The body without its chunks' sizes; it must be whole. */
static inline uint8_t *unchunk(const struct client *c, size_t *len)
{
    const char *at = body_of(&c->got), *end = c->got.p + c->got.len;
    uint8_t *bytes = malloc(c->got.len);

    assert_non_null(bytes);
    assert_non_null(strstr(c->got.p, "Transfer-Encoding: chunked"));
    *len = 0;
    for (size_t n = 1; n > 0;) {
        char *line_end;
        n = strtoul(at, &line_end, 16);
        at = line_end + 2;
        assert_true(at + n + 2 <= end);
        memcpy(bytes + *len, at, n);
        *len += n;
        at += n + 2;
    }
    assert_ptr_equal(at, end);
    return bytes;
}

/* A response's body must be an FLV, whole to the last tag. */
static inline struct seen look(const struct client *c)
{
    size_t len;
    uint8_t *bytes = unchunk(c, &len), *exact = exact_dup(bytes, len);
    struct reader r = reader_init(exact, len);
    struct seen seen = {0};
    struct flv_tag tag;
    struct flv_media m;
    bool audio, video;
    uint32_t video_ms = 0;

    assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
    while (flv_tag_parse(&r, &tag) == FLV_OK) {
        if (tag.type == FLV_TAG_SCRIPT)
            continue;
        bool is_video = tag.type == FLV_TAG_VIDEO;
        assert_int_equal(is_video ? flv_video_parse(&m, tag.body, tag.body_len)
                                  : flv_audio_parse(&m, tag.body, tag.body_len), FLV_OK);
        seen.sequence_headers += m.packet == FLV_PACKET_SEQUENCE_START;
        if (m.packet != FLV_PACKET_FRAME)
            continue;
        if (seen.video + seen.audio == 0) {
            seen.starts_with_key = is_video && m.keyframe;
            seen.first_ms = tag.ts_ms;
        }
        if (is_video && seen.video && tag.ts_ms - video_ms > 50) {
            seen.gaps++;
            seen.gaps_to_key += m.keyframe;
        }
        seen.keyframes += is_video && m.keyframe;
        seen.video += is_video;
        seen.audio += !is_video;
        seen.last_ms = tag.ts_ms;
        if (is_video)
            video_ms = tag.ts_ms;
    }
    assert_int_equal(reader_left(&r), 0);
    free(bytes);
    free(exact);
    return seen;
}

/* Packets before the nth keyframe (from 0). */
static inline size_t key_position(size_t n)
{
    for (size_t i = 0; i < source.n_packets; i++)
        if (source.packets[i]->track == 0 && source.packets[i]->flags & PACKET_KEYFRAME &&
            source.packets[i]->flags & PACKET_FRAME_START && n-- == 0)
            return i;
    fail();
    return 0;
}
