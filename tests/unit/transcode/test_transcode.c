/* SPDX-License-Identifier: Apache-2.0
 * test_transcode.c - the derived track of a router: only while wanted, in time with its source, over epochs and ends. */
#include "unit/codec/clip.h"
#include "unit/io/loop.h"
#include "unit/router/silent.h"
#include "unit/wire/exact.h"

#include "codec/packetise.h"
#include "origin/transcode.h"
#include "origin/transcode_audio.h"
#include "origin/transcode_tracks.h"

#define CAPTURE_US 1700000000000000u
#define BASE_TICKS ((uint64_t)1 << 38)

/* Wants the derived track and writes down what comes. */
struct ear {
    struct consumer c;
    size_t packets;
    uint64_t first_ts, last_ts, last_seq;
    int64_t worst_us; /* capture time against the source's, at the same timestamp */
    size_t bad_steps, bad_seqs;
};

static struct test_loop loop;
static struct pool *pool;
static struct router_set *set;
static struct router *router;
static struct transcoders *transcoders;
static struct producer producer;
static struct clip clip;
static struct packetiser packetiser;
static struct track_set tracks;
static uint64_t next_seq, n_pushed;

static const struct producer_ops producer_ops = {.on_want = ignore_want, .on_keyframe = ignore_keyframe};

static void publish(uint64_t epoch)
{
    tracks.epoch = epoch;
    router_publish(router, &producer, &tracks);
    router_ready(&producer);
}

static int begin_codec(enum codec codec)
{
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 20, .cap_packets = 1000, .cap_us = 1000000},
                                 .linger_us = 1000, .on_demand = ignore_router, .on_idle = ignore_router};

    test_loop_init(&loop);
    assert_int_equal(packet_pool_create(&pool, 4096), 0);
    assert_int_equal(router_set_create(&set, loop.w, &cfg), 0);
    assert_int_equal(transcoders_create(&transcoders, pool), 0);
    router = router_open(set, "live/test");
    clip = clip_of(codec);
    tracks = (struct track_set){.n = 1, .v = {{.codec = codec, .clock_hz = 48000, .channels = 2, .n_layers = 1}}};
    if (codec == CODEC_AAC) {
        memcpy(tracks.v[0].config, "\x11\x90", 2);
        tracks.v[0].config_len = 2;
    }
    transcode_derive_tracks(&tracks);
    assert_int_equal(tracks.n, 2);
    assert_int_equal(packetiser_init(&packetiser, &(struct packetiser_cfg){.codec = codec}), 0);
    producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    next_seq = PACKET_SEQ_FIRST;
    n_pushed = 0;
    publish(1);
    transcoders_watch(transcoders, router);
    transcoders_watch(transcoders, router); /* twice does no harm */
    return 0;
}

static int begin(void **state)
{
    (void)state;
    return begin_codec(CODEC_AAC);
}

static int end(void **state)
{
    (void)state;
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
    transcoders_destroy(&transcoders);
    test_loop_run_for(&loop, 20000); /* the job under way comes back, routers go */
    router_set_destroy(&set);
    test_loop_fini(&loop);
    pool_destroy(&pool);
    clip_destroy(&clip);
    return 0;
}

static uint64_t frame_ticks(void)
{
    return tracks.v[0].codec == CODEC_AAC ? 1024 : 960;
}

/* The next frames of the source, a turn each. */
static void play(size_t n)
{
    for (size_t i = 0; i < n; i++, n_pushed++) {
        const struct clip_frame *f = &clip.frames[n_pushed % clip.count];
        bool last = false;
        assert_int_equal(packetise_begin(&packetiser, &(struct packetise_frame){.data = f->data, .len = f->len}), 0);
        while (!last) {
            struct packet *p = packet_create(pool);
            assert_non_null(p);
            p->payload_len = (uint16_t)packetise_next(&packetiser, p->bytes, PACKET_PAYLOAD_MAX, &last);
            p->seq = next_seq++;
            p->ts_ticks = BASE_TICKS + n_pushed * frame_ticks();
            p->capture_us = CAPTURE_US + n_pushed * frame_ticks() * 1000000 / 48000;
            p->flags = last ? PACKET_MARKER | PACKET_FRAME_END : 0;
            router_push(router, p);
        }
        test_loop_run_for(&loop, 0);
    }
}

static struct transcode_counters counters(void)
{
    struct transcode_counters c;

    transcoders_counters(transcoders, &c);
    return c;
}

/* Until all that was pushed has gone through, and been fanned out. */
static void settle(void)
{
    do
        test_loop_run_for(&loop, 2000);
    while (counters().frames_waiting > 0);
    test_loop_run_for(&loop, 0);
}

static void ear_on_tracks(struct consumer *c, const struct track_set *t)
{
    (void)c;
    (void)t;
}

static void note(struct ear *e, const struct packet *p)
{
    uint64_t step = tracks.v[1].codec == CODEC_OPUS ? TRANSCODE_OPUS_TICKS : 1024;
    int64_t at_us = (int64_t)(p->ts_ticks - BASE_TICKS) * 1000000 / 48000;
    int64_t off_us = (int64_t)(p->capture_us - CAPTURE_US) - at_us;

    assert_int_equal(p->track, 1);
    if (e->packets == 0)
        e->first_ts = p->ts_ticks;
    e->bad_steps += e->packets > 0 && p->ts_ticks - e->last_ts != step;
    e->bad_seqs += e->packets > 0 && p->seq != e->last_seq + 1;
    e->worst_us = llabs(off_us) > e->worst_us ? llabs(off_us) : e->worst_us;
    e->last_ts = p->ts_ticks;
    e->last_seq = p->seq;
    e->packets++;
}

static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        note(container_of(c, struct ear, c), b->v[i]);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    (void)c;
    (void)why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_packets = ear_on_packets, .on_end = ear_on_end};

/* Returns when the transcoder is ready. */
static void listen_to_derived(struct ear *e)
{
    *e = (struct ear){.c = {.ops = &ear_ops, .kind = "test"}};
    router_attach(router, &e->c, want_track(1));
    while (transcoders_running(transcoders) == 0)
        test_loop_run_for(&loop, 2000);
}

static void nothing_is_made_unless_wanted(void **state)
{
    (void)state;
    play(20);
    settle();
    assert_int_equal(transcoders_running(transcoders), 0);
    assert_int_equal(counters().starts, 0);
    assert_int_equal(counters().frames_in, 0);
    assert_int_equal(counters().packets_out, 0);
}

static void what_is_wanted_comes_in_time_with_its_source(void **state)
{
    static const enum codec codecs[] = {CODEC_AAC, CODEC_OPUS};

    for (size_t i = 0; i < LEN(codecs); i++) {
        struct ear ear;
        begin_codec(codecs[i]);
        listen_to_derived(&ear);
        play(50);
        settle();
        play(50);
        settle();
        assert_int_equal(counters().starts, 1);
        assert_int_equal(counters().frames_in, 100);
        assert_int_equal(counters().dropped_frames, 0);
        uint64_t out_ticks = ear.packets * (tracks.v[1].codec == CODEC_OPUS ? TRANSCODE_OPUS_TICKS : 1024);
        assert_in_range(100 * frame_ticks() - out_ticks, 0, 4 * 1024);
        assert_int_equal(ear.bad_steps, 0);
        assert_int_equal(ear.bad_seqs, 0);
        assert_true(ear.worst_us <= 1000);
        router_detach(&ear.c);
        end(state);
    }
}

static void it_stops_when_nobody_wants_it_and_starts_again(void **state)
{
    struct ear ear;

    (void)state;
    listen_to_derived(&ear);
    play(30);
    settle();
    assert_int_equal(transcoders_running(transcoders), 1);
    uint64_t last_seq = ear.last_seq;
    router_detach(&ear.c);
    for (int i = 0; i < 100 && transcoders_running(transcoders); i++)
        test_loop_run_for(&loop, 5000); /* the router lingers */
    assert_int_equal(transcoders_running(transcoders), 0);
    settle();
    uint64_t out = counters().packets_out;
    play(30);
    settle();
    assert_int_equal(counters().packets_out, out);

    listen_to_derived(&ear);
    play(30);
    settle();
    assert_int_equal(counters().starts, 2);
    assert_true(ear.packets > 10);
    assert_int_equal(ear.bad_steps, 0);
    assert_true(ear.last_seq > last_seq); /* numbers are never used again */
    assert_in_range(ear.first_ts, BASE_TICKS + 60 * 1024 - 312, BASE_TICKS + 60 * 1024 + TRANSCODE_OPUS_TICKS);
    router_detach(&ear.c);
}

static void what_comes_before_it_is_ready_is_left_out(void **state)
{
    struct ear ear = {.c = {.ops = &ear_ops, .kind = "test"}};

    (void)state;
    router_attach(router, &ear.c, want_track(1));
    while (transcoders_running(transcoders) == 0) /* the source plays on meanwhile */
        play(1);
    uint64_t begins_at = BASE_TICKS + n_pushed * 1024;
    play(30);
    settle();
    assert_in_range(ear.first_ts, begins_at - 1024 - 312, begins_at + TRANSCODE_OPUS_TICKS); /* no run of the past */
    assert_int_equal(ear.bad_steps, 0);
    router_detach(&ear.c);
}

static void one_that_cannot_be_made_is_tried_once(void **state)
{
    struct ear ear = {.c = {.ops = &ear_ops, .kind = "test"}};

    (void)state;
    router_unpublish(&producer, STREAM_UNPUBLISHED, true);
    memcpy(tracks.v[0].config, "\xff\xff", 2);
    publish(2);
    router_attach(router, &ear.c, want_track(1));
    for (int i = 0; i < 20; i++)
        play(1), test_loop_run_for(&loop, 1000);
    assert_int_equal(transcoders_running(transcoders), 0);
    assert_int_equal(counters().starts, 1);
    assert_int_equal(counters().frames_in, 0);
    assert_int_equal(ear.packets, 0);
    router_detach(&ear.c);
}

static void a_new_epoch_gets_a_new_transcoder(void **state)
{
    struct ear ear;

    (void)state;
    listen_to_derived(&ear);
    play(30);
    router_unpublish(&producer, STREAM_UNPUBLISHED, true);
    publish(2);
    while (transcoders_running(transcoders) == 0)
        test_loop_run_for(&loop, 2000);
    size_t before = ear.packets;
    play(30);
    settle();
    assert_int_equal(counters().starts, 2);
    assert_true(ear.packets > before + 10);
    router_detach(&ear.c);
}

static void the_end_comes_while_a_job_is_under_way(void **state)
{
    struct ear ear;

    (void)state;
    listen_to_derived(&ear);
    play(5);
    assert_true(counters().frames_waiting > 0);
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
    assert_int_equal(transcoders_running(transcoders), 0);
    assert_int_equal(router_consumers(router, "transcode"), 0);
    test_loop_run_for(&loop, 20000);
    assert_true(counters().starts == 1);
    router_detach(&ear.c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_made_unless_wanted, begin, end),
        cmocka_unit_test(what_is_wanted_comes_in_time_with_its_source),
        cmocka_unit_test_setup_teardown(it_stops_when_nobody_wants_it_and_starts_again, begin, end),
        cmocka_unit_test_setup_teardown(what_comes_before_it_is_ready_is_left_out, begin, end),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_made_is_tried_once, begin, end),
        cmocka_unit_test_setup_teardown(a_new_epoch_gets_a_new_transcoder, begin, end),
        cmocka_unit_test_setup_teardown(the_end_comes_while_a_job_is_under_way, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
