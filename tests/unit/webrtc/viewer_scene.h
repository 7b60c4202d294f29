/* SPDX-License-Identifier: Apache-2.0
 * viewer_scene.h - a viewer between a real router and a transport that only keeps what it is given. */
#pragma once

#include "fake_transport.h"

#include "router/router.h"
#include "unit/io/loop.h"
#include "unit/router/silent.h"
#include "webrtc/viewer.h"

#include <stdlib.h>
#include <string.h>

enum { HZ = 90000, VIDEO = 1, AUDIO = 0, FRAME_TICKS = 3000, PACKETS_A_FRAME = 3 };

static const struct rtc_viewer_media AUDIO_MEDIA = {.n_payloads = 1, .payloads = {{CODEC_OPUS, 0, 111, 0, 0, 0}}};

static const struct rtc_viewer_media VIDEO_MEDIA = {
    .n_payloads = 4,
    .payloads = {{CODEC_VP8, 0, 96, 97, 0, 0}, {CODEC_H264, 0x42001f, 102, 103, 1, 0}, {CODEC_H264, 0x64001f, 104, 105, 0, 0},
                 {CODEC_H264, 0x64001f, 106, 107, 1, 0}},
};

struct fixture {
    struct test_loop loop;
    struct router_set *routers;
    struct router *r;
    struct producer producer;
    struct pool *pool;
    struct rtc_viewer *v;
    struct rtc_transport *t;
    uint64_t epoch, n_video, n_audio; /* packets so far in this epoch */
    unsigned keyframes_wanted, tracks_told, playable, ends, closed;
    enum stream_end why;
};

static struct fixture *F; /* for the producer's callbacks, which have no argument */

static inline void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    assert_int_equal(track, VIDEO);
    assert_int_equal(layer, 0);
    F->keyframes_wanted++;
}

static const struct producer_ops producer_ops = {.on_want = ignore_want, .on_keyframe = on_keyframe};

static inline void on_tracks(void *arg, bool playable)
{
    struct fixture *f = arg;

    f->tracks_told++;
    f->playable += playable;
}

static inline void on_end(void *arg, enum stream_end why)
{
    struct fixture *f = arg;

    f->ends++;
    f->why = why;
}

static inline void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct fixture *f = arg;

    assert_int_equal(why, RTC_CLOSE_CONSENT);
    assert_string_equal(detail, "");
    f->closed++;
    rtc_viewer_destroy(&f->v);
}

static const struct rtc_viewer_ops viewer_ops = {on_tracks, on_end, on_closed};

static inline void create_viewer(struct fixture *f)
{
    struct rtc_viewer_cfg cfg = {.endpoint = fake_endpoint(f->loop.w), .audio = &AUDIO_MEDIA, .video = &VIDEO_MEDIA,
                                 .ops = &viewer_ops, .arg = f};

    assert_int_equal(rtc_viewer_create(&f->v, &cfg), 0);
    f->t = fake_transport();
}

static inline int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 25, .cap_packets = 16384, .cap_us = 10000000}, .linger_us = 10000000,
                                 .on_demand = ignore_router, .on_idle = ignore_router};

    assert_non_null(f);
    test_loop_init(&f->loop);
    assert_int_equal(router_set_create(&f->routers, f->loop.w, &cfg), 0);
    assert_int_equal(packet_pool_create(&f->pool, 20000), 0);
    f->r = router_open(f->routers, "live/test");
    assert_non_null(f->r);
    create_viewer(f);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    rtc_viewer_destroy(&f->v);
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    router_set_destroy(&f->routers);
    test_loop_fini(&f->loop);
    pool_destroy(&f->pool);
    free(f);
    return 0;
}

/* ---- the stream ------------------------------------------------------------------------------------------- */

static inline void publish(struct fixture *f, enum codec video, enum codec audio, uint32_t profile)
{
    struct track_set set = {.epoch = ++f->epoch, .n = 2};

    set.v[AUDIO] = (struct track){.codec = audio, .clock_hz = 48000, .channels = 2, .n_layers = 1};
    set.v[VIDEO] = (struct track){.codec = video, .clock_hz = HZ, .n_layers = 1, .profile = profile};
    f->producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    f->n_video = f->n_audio = 0;
    router_publish(f->r, &f->producer, &set);
}

static inline struct packet *make(struct fixture *f, unsigned track, uint64_t mark)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    p->track = (uint8_t)track;
    p->payload_len = 500;
    memset(p->bytes, 0, p->payload_len);
    memcpy(p->bytes, &mark, sizeof(mark));
    return p;
}

/* The next frame: three packets; its mark is the packet's number in the epoch. */
static inline void push_frame(struct fixture *f, bool key)
{
    uint64_t frame = f->n_video / PACKETS_A_FRAME;

    for (uint64_t i = 0; i < PACKETS_A_FRAME; i++) {
        struct packet *p = make(f, VIDEO, f->n_video);
        p->seq = PACKET_SEQ_FIRST + f->epoch * 1000 + f->n_video++;
        p->ts_ticks = (f->epoch << 33) + frame * FRAME_TICKS;
        p->capture_us = f->epoch * 1000000000 + frame * 33333;
        p->flags = (uint8_t)((key ? PACKET_KEYFRAME : 0) | (i == 0 ? PACKET_FRAME_START : 0) |
                             (i + 1 == PACKETS_A_FRAME ? PACKET_FRAME_END | PACKET_MARKER : 0));
        router_push(f->r, p);
    }
}

static inline void push_audio(struct fixture *f)
{
    struct packet *p = make(f, AUDIO, f->n_audio);

    p->seq = PACKET_SEQ_FIRST + f->n_audio;
    p->ts_ticks = (f->epoch << 33) + f->n_audio * 960;
    p->capture_us = f->epoch * 1000000000 + f->n_audio++ * 20000;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END;
    router_push(f->r, p);
}

static inline void turn(struct fixture *f)
{
    test_loop_run_for(&f->loop, 1000);
}

static inline enum rtc_viewer_state state_of(const struct fixture *f)
{
    struct rtc_viewer_facts facts;

    rtc_viewer_facts(f->v, &facts);
    return facts.state;
}

static inline void live_viewer(struct fixture *f)
{
    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    router_ready(&f->producer);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    push_frame(f, true);
    turn(f);
    push_frame(f, false);
    turn(f);
    assert_int_equal(state_of(f), RTC_VIEWER_LIVE);
}

static inline void feed(struct fixture *f, struct writer *w)
{
    assert_false(w->bad);
    fake_rtcp(f->t, w->start, writer_len(w));
}

static inline void numbered_viewer_not_live(struct fixture *f)
{
    struct rtc_viewer_media audio = AUDIO_MEDIA, video = VIDEO_MEDIA;
    struct rtc_viewer_cfg cfg = {.endpoint = fake_endpoint(f->loop.w), .audio = &audio, .video = &video,
                                 .ops = &viewer_ops, .arg = f};

    audio.ext_id[RTP_EXT_TRANSPORT_CC] = video.ext_id[RTP_EXT_TRANSPORT_CC] = FAKE_TRANSPORT_CC_ID;
    rtc_viewer_destroy(&f->v);
    assert_int_equal(rtc_viewer_create(&f->v, &cfg), 0);
    f->t = fake_transport();
}

#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
