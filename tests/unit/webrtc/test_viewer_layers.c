/* SPDX-License-Identifier: Apache-2.0
 * test_viewer_layers.c - a viewer of a simulcast track between a real router and a transport that only keeps what it is
 * given; see webrtc/viewer_layers.c. */
#include "fake_transport.h"

#include "router/router.h"
#include "base/writer.h"
#include "unit/io/loop.h"
#include "unit/router/silent.h"
#include "webrtc/viewer.h"
#include "wire/rtcp.h"

#include <stdlib.h>
#include <string.h>

enum { HZ = 90000, LOW = 0, MID = 1, TOP = 2, LAYERS = 3, FRAME_TICKS = 3000 };

static const struct rtc_viewer_media VIDEO_MEDIA = {.n_payloads = 1, .payloads = {{CODEC_H264, 0x42001f, 102, 103, 1, 0}}};

struct fixture {
    struct test_loop loop;
    struct router_set *routers;
    struct router *r;
    struct producer producer;
    struct pool *pool;
    struct rtc_viewer *v;
    struct rtc_transport *t;
    uint64_t epoch, frames[LAYERS];
    bool unneeded; /* nothing refers to the frames that come */
    unsigned keyframes_wanted[LAYERS];
};

static enum governor_thin thin; /* what the worker spares everyone */

enum governor_thin __wrap_worker_thinning(const struct worker *w, uint32_t rank);

enum governor_thin __wrap_worker_thinning(const struct worker *w, uint32_t rank)
{
    assert_non_null(w);
    assert_in_range(rank, 0, GOVERNOR_RANKS - 1);
    return thin;
}

static struct fixture *F; /* for the producer's callbacks, which have no argument */

static void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    assert_int_equal(track, 0);
    assert_in_range(layer, 0, LAYERS - 1);
    F->keyframes_wanted[layer]++;
}

static void on_tracks(void *arg, bool playable)
{
    (void)arg;
    assert_true(playable);
}

static void on_end(void *arg, enum stream_end why)
{
    (void)arg, (void)why;
}

static const struct producer_ops producer_ops = {.on_want = ignore_want, .on_keyframe = on_keyframe};
static const struct rtc_viewer_ops viewer_ops = {.on_tracks = on_tracks, .on_end = on_end};

static void publish(struct fixture *f)
{
    static const char *const rids[LAYERS] = {"q", "h", "f"};
    struct track_set set = {.epoch = ++f->epoch, .n = 1};

    set.v[0] = (struct track){.codec = CODEC_H264, .clock_hz = HZ, .n_layers = LAYERS, .profile = 0x42001f};
    for (unsigned i = 0; i < LAYERS; i++) {
        strcpy(set.v[0].layers[i].rid, rids[i]);
        set.v[0].layers[i].width = (uint16_t)(320 << i);
        set.v[0].layers[i].height = (uint16_t)(180 << i);
        f->frames[i] = 0;
    }
    f->producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    router_publish(f->r, &f->producer, &set);
    router_ready(&f->producer);
}

static int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 22, .cap_packets = 4096, .cap_us = 10000000}, .linger_us = 10000000,
                                 .on_demand = ignore_router, .on_idle = ignore_router};

    thin = GOVERNOR_WHOLE;
    assert_non_null(f);
    test_loop_init(&f->loop);
    assert_int_equal(router_set_create(&f->routers, f->loop.w, &cfg), 0);
    assert_int_equal(packet_pool_create(&f->pool, 2000), 0);
    f->r = router_open(f->routers, "live/test");
    assert_non_null(f->r);
    struct rtc_viewer_cfg viewer = {.endpoint = fake_endpoint(f->loop.w), .video = &VIDEO_MEDIA, .ops = &viewer_ops, .arg = f};
    assert_int_equal(rtc_viewer_create(&f->v, &viewer), 0);
    f->t = fake_transport();
    publish(f);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    *state = f;
    return 0;
}

static int tear_down(void **state)
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

/* The next moment of the camera in every layer, one packet each; keys: bits of layers. Their marks are layer * 1000 + moment. */
static void moment(struct fixture *f, unsigned keys)
{
    for (unsigned i = 0; i < LAYERS; i++) {
        struct packet *p = packet_create(f->pool);
        uint64_t n = f->frames[i]++, mark = i * 1000 + n;

        assert_non_null(p);
        p->layer = (uint8_t)i;
        p->seq = PACKET_SEQ_FIRST + i * 20000 + n;
        p->ts_ticks = (f->epoch << 33) + i * 123456 + n * FRAME_TICKS;
        p->capture_us = f->epoch * 1000000000 + n * 33333;
        p->flags = PACKET_FRAME_START | PACKET_FRAME_END | PACKET_MARKER | (keys >> i & 1 ? PACKET_KEYFRAME : 0);
        if (f->unneeded) {
            p->temporal = 1;
            p->flags |= PACKET_DISCARDABLE | PACKET_LAYER_SYNC;
        }
        p->payload_len = 100;
        memset(p->bytes, 0, p->payload_len);
        memcpy(p->bytes, &mark, sizeof(mark));
        router_push(f->r, p);
    }
    test_loop_run_for(&f->loop, 1000);
}

static bool choose(struct rtc_viewer *v, const char *rid)
{
    struct rtc_layer_wish wish = {.spatial = -1, .temporal = -1};

    strcpy(wish.rid, rid);
    return rtc_viewer_choose_layer(v, &wish);
}

static uint64_t last_mark(const struct fixture *f)
{
    return f->t->sent[f->t->n_sent - 1].mark;
}

static void the_best_layer_is_wanted_and_sent_alone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(router_want(f->r), want_bit(0, TOP));
    assert_int_equal(f->keyframes_wanted[TOP], 1);
    moment(f, 7);
    moment(f, 0);
    assert_int_equal(f->t->n_sent, 2);
    assert_int_equal(last_mark(f), TOP * 1000 + 1);
}

static void the_old_layer_is_sent_until_a_keyframe_of_the_new_one_comes(void **state)
{
    struct fixture *f = *state;

    moment(f, 7);
    moment(f, 0);
    assert_true(choose(f->v, "q"));
    test_loop_run_for(&f->loop, 1000);
    assert_int_equal(router_want(f->r), want_bit(0, TOP) | want_bit(0, LOW));
    assert_int_equal(f->keyframes_wanted[LOW], 1);
    moment(f, 0);
    assert_int_equal(last_mark(f), TOP * 1000 + 2);
    moment(f, 1 << LOW);
    assert_int_equal(last_mark(f), LOW * 1000 + 3);
    moment(f, 0);
    moment(f, 1 << TOP); /* no reason to go back */
    assert_int_equal(last_mark(f), LOW * 1000 + 5);
    for (size_t i = 1; i < f->t->n_sent; i++) {
        const struct rtp_view *a = &f->t->sent[i - 1].view, *b = &f->t->sent[i].view;
        assert_int_equal(b->seq, (uint16_t)(a->seq + 1));
        assert_int_equal(b->ssrc, a->ssrc);
        if (i > 2) /* what comes before catches up */
            assert_in_range(b->ts_ticks - a->ts_ticks, HZ / 1000, FRAME_TICKS);
    }
    assert_int_equal(rtc_viewer_layer(f->v), LOW);
    assert_string_equal(rtc_viewer_layer_wish(f->v)->rid, "q");
}

/* A layer that was wanted by somebody a while ago: what is cached of it ends then, here and at the parents. */
static void pushed_late(struct fixture *f, unsigned layer, uint64_t n, bool key)
{
    struct packet *p = packet_create(f->pool);
    uint64_t mark = 9000 + n;

    assert_non_null(p);
    p->layer = (uint8_t)layer;
    p->seq = PACKET_SEQ_FIRST + layer * 20000 + n;
    p->ts_ticks = (f->epoch << 33) + layer * 123456 + n * FRAME_TICKS;
    p->capture_us = f->epoch * 1000000000 + n * 33333;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END | PACKET_MARKER | (key ? PACKET_KEYFRAME : 0);
    p->payload_len = 100;
    memset(p->bytes, 0, p->payload_len);
    memcpy(p->bytes, &mark, sizeof(mark));
    router_push(f->r, p);
    test_loop_run_for(&f->loop, 1000);
}

static void a_keyframe_of_the_past_is_not_gone_on_with(void **state)
{
    struct fixture *f = *state;

    f->frames[TOP] = 0;
    for (unsigned i = 0; i < 60; i++) /* two seconds, TOP alone */
        pushed_late(f, TOP, i, i == 0);
    assert_true(choose(f->v, "q"));
    test_loop_run_for(&f->loop, 1000);
    pushed_late(f, LOW, 10, true); /* of a parent's cache */
    pushed_late(f, LOW, 11, false);
    assert_int_equal(rtc_viewer_layer(f->v), TOP);
    pushed_late(f, TOP, 60, false);
    assert_int_equal(last_mark(f), 9060);
    pushed_late(f, LOW, 60, true);
    assert_int_equal(rtc_viewer_layer(f->v), LOW);
    for (size_t i = 1; i < f->t->n_sent; i++)
        assert_int_equal(f->t->sent[i].view.seq, (uint16_t)(f->t->sent[i - 1].view.seq + 1));
}

static void who_joins_does_not_begin_with_a_layer_that_has_stopped_or_has_a_hole(void **state)
{
    static const struct {
        uint64_t from, to; /* of TOP, which begins with a keyframe */
        bool begins;
    } rows[] = {{0, 60, true}, {0, 20, false}, {30, 60, false}};
    struct fixture *f = *state;

    for (size_t r = 0; r < LEN(rows); r++) {
        rtc_viewer_destroy(&f->v);
        router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
        publish(f);
        for (unsigned i = 0; i < 60; i++) {
            pushed_late(f, LOW, i, i == 0);
            if (i >= rows[r].from && i < rows[r].to)
                pushed_late(f, TOP, i, i == rows[r].from);
        }
        if (r == LEN(rows) - 1)
            pushed_late(f, TOP, 100, false); /* wanted again: forty are missing */
        struct rtc_viewer_cfg viewer = {.endpoint = fake_endpoint(f->loop.w), .video = &VIDEO_MEDIA, .ops = &viewer_ops, .arg = f};
        assert_int_equal(rtc_viewer_create(&f->v, &viewer), 0);
        f->t = fake_transport();
        rtc_viewer_play(f->v, f->r);
        unsigned asked = f->keyframes_wanted[TOP];
        fake_connect(f->t);
        assert_int_equal(f->t->n_sent > 0, rows[r].begins);
        assert_int_equal(f->keyframes_wanted[TOP] - asked, rows[r].begins ? 0 : 1);
    }
}

static void a_choice_holds_for_later_epochs_too(void **state)
{
    struct fixture *f = *state;

    assert_true(choose(f->v, "h"));
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    publish(f);
    assert_int_equal(rtc_viewer_layer(f->v), MID);
    moment(f, 7);
    assert_int_equal(last_mark(f), MID * 1000);
}

static void a_layer_that_is_not_there_cannot_be_chosen(void **state)
{
    struct fixture *f = *state;

    assert_false(choose(f->v, "x"));
    assert_string_equal(rtc_viewer_layer_wish(f->v)->rid, "");
    assert_true(choose(f->v, ""));
    assert_int_equal(rtc_viewer_layer(f->v), TOP);
}

static void assert_no_gaps(const struct fixture *f)
{
    for (size_t i = 1; i < f->t->n_sent; i++)
        assert_int_equal(f->t->sent[i].view.seq, (uint16_t)(f->t->sent[i - 1].view.seq + 1));
}

static enum governor_thin told(const struct fixture *f)
{
    struct rtc_viewer_facts facts;

    rtc_viewer_facts(f->v, &facts);
    return facts.thin;
}

static void an_overloaded_worker_leaves_out_what_nothing_refers_to(void **state)
{
    struct fixture *f = *state;

    moment(f, 7);
    moment(f, 0);
    thin = GOVERNOR_TEMPORAL;
    moment(f, 0); /* with this it is noticed */
    assert_int_equal(told(f), GOVERNOR_TEMPORAL);
    for (unsigned i = 0; i < 4; i++) {
        size_t n = f->t->n_sent;
        f->unneeded = true;
        moment(f, 0);
        assert_int_equal(f->t->n_sent, n);
        f->unneeded = false;
        moment(f, 0);
        assert_int_equal(f->t->n_sent, n + 1);
    }
    thin = GOVERNOR_WHOLE;
    moment(f, 0);
    f->unneeded = true;
    size_t n = f->t->n_sent;
    moment(f, 0); /* up again where a picture allows it */
    moment(f, 0);
    assert_int_equal(f->t->n_sent, n + 2);
    assert_int_equal(told(f), GOVERNOR_WHOLE);
    assert_no_gaps(f);
}

static void an_overloaded_worker_skips_to_keyframes_and_asks_for_one_when_it_is_over(void **state)
{
    struct fixture *f = *state;

    moment(f, 7);
    moment(f, 0);
    thin = GOVERNOR_KEYFRAMES;
    moment(f, 0);
    assert_int_equal(told(f), GOVERNOR_KEYFRAMES);
    size_t n = f->t->n_sent;
    unsigned asked = f->keyframes_wanted[TOP];
    for (unsigned i = 0; i < 5; i++)
        moment(f, 0);
    assert_int_equal(f->t->n_sent, n);
    moment(f, 1 << TOP);
    assert_int_equal(f->t->n_sent, n + 1);
    moment(f, 0);
    assert_int_equal(f->t->n_sent, n + 1);
    assert_int_equal(f->keyframes_wanted[TOP], asked);
    test_loop_run_for(&f->loop, 500000); /* the router lets the next one through */
    thin = GOVERNOR_WHOLE;
    moment(f, 0);
    assert_int_equal(f->keyframes_wanted[TOP], asked + 1);
    moment(f, 0);
    assert_int_equal(f->t->n_sent, n + 1); /* of no use without the keyframe */
    moment(f, 1 << TOP);
    moment(f, 0);
    assert_int_equal(f->t->n_sent, n + 3);
    assert_no_gaps(f);
}

/* A stream of one layer in place of the present one. */
static void publish_one(struct fixture *f)
{
    struct track_set set = {.epoch = ++f->epoch, .n = 1};

    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    set.v[0] = (struct track){.codec = CODEC_H264, .clock_hz = HZ, .n_layers = 1, .profile = 0x42001f};
    f->frames[0] = 0;
    f->producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    router_publish(f->r, &f->producer, &set);
    router_ready(&f->producer);
}

static void picture(struct fixture *f, bool key, uint8_t temporal)
{
    struct packet *p = packet_create(f->pool);
    uint64_t n = f->frames[0]++;

    assert_non_null(p);
    p->seq = PACKET_SEQ_FIRST + n;
    p->ts_ticks = (f->epoch << 33) + n * HZ / 1000;
    p->capture_us = f->epoch * 1000000000 + n * 1000; /* 8 Mbit/s */
    p->temporal = temporal;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END | PACKET_MARKER | (key ? PACKET_KEYFRAME : 0) | (temporal ? PACKET_LAYER_SYNC : 0);
    p->payload_len = 1000;
    memset(p->bytes, 0, p->payload_len);
    memcpy(p->bytes, &n, sizeof(n));
    router_push(f->r, p);
    test_loop_run_for(&f->loop, 1000);
}

static void tell_remb(struct fixture *f, uint64_t bps)
{
    uint8_t buf[128];
    struct writer w = writer_init(buf, sizeof(buf));
    uint32_t ssrc = rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO);
    struct rtcp_report empty = {.ssrc = 1};

    rtcp_report_write(&w, &empty);
    rtcp_remb_write(&w, 1, bps, &ssrc, 1);
    assert_false(w.bad);
    fake_rtcp(f->t, buf, writer_len(&w));
}

/* Of a second or so of pictures how many are sent; pictures: 0 and 1 in turn. */
static size_t sent_of(struct fixture *f, unsigned pictures, bool layers)
{
    size_t n = f->t->n_sent;

    for (unsigned i = 0; i < pictures; i++)
        picture(f, false, layers && i % 2);
    return f->t->n_sent - n;
}

/* Until the viewer is in that state; no fewer pictures than it takes on a slow machine. */
static void pictures_until(struct fixture *f, bool layers, bool (*is)(const struct rtc_viewer_facts *facts))
{
    struct rtc_viewer_facts facts;

    for (unsigned i = 0; i < 4000; i++) {
        picture(f, false, layers && i % 2);
        rtc_viewer_facts(f->v, &facts);
        if (is(&facts))
            return;
    }
    fail();
}

static bool sees_lower_layer(const struct rtc_viewer_facts *facts)
{
    return facts->level.temporal == 0;
}

static bool sees_keyframes(const struct rtc_viewer_facts *facts)
{
    return facts->level.temporal < 0;
}

static void a_path_that_carries_half_of_a_stream_gets_its_lower_temporal_layer(void **state)
{
    struct fixture *f = *state;
    struct rtc_layer known[RTC_LAYERS_MAX];
    struct rtc_viewer_facts facts;

    publish_one(f);
    picture(f, true, 0);
    sent_of(f, 100, true);
    assert_int_equal(rtc_viewer_layers(f->v, known, LEN(known)), 2);
    tell_remb(f, 5000000);
    pictures_until(f, true, sees_lower_layer);
    assert_int_equal(sent_of(f, 20, true), 10);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.pauses, 0);
    assert_true(facts.skipped >= 10);
    assert_no_gaps(f);
}

static void a_path_that_carries_far_less_than_the_least_gets_keyframes_only(void **state)
{
    struct fixture *f = *state;
    struct rtc_layer known[RTC_LAYERS_MAX];
    struct rtc_viewer_facts facts;

    publish_one(f);
    picture(f, true, 0);
    sent_of(f, 100, false);
    assert_int_equal(rtc_viewer_layers(f->v, known, LEN(known)), 1);
    tell_remb(f, 150000);
    pictures_until(f, false, sees_keyframes); /* there has been no room for two seconds */
    size_t n = f->t->n_sent;
    assert_int_equal(sent_of(f, 10, false), 0);
    picture(f, true, 0);
    assert_in_range(f->t->n_sent, n, n + 1); /* if there is room for it */
    assert_int_equal(sent_of(f, 10, false), 0);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.pauses, 1);
    assert_true(facts.skipped >= 20);
    assert_true(f->t->n_sent <= FAKE_SENT_MAX);
    assert_no_gaps(f);
}

static void a_wish_for_a_temporal_layer_needs_no_trouble(void **state)
{
    struct fixture *f = *state;
    struct rtc_layer known[RTC_LAYERS_MAX];

    publish_one(f);
    picture(f, true, 0);
    sent_of(f, 60, true);
    assert_int_equal(rtc_viewer_layers(f->v, known, LEN(known)), 2);
    assert_int_equal(known[0].temporal, 0);
    assert_true(known[0].bps > 0 && known[1].bps > known[0].bps);
    assert_true(rtc_viewer_choose_layer(f->v, &(struct rtc_layer_wish){.spatial = -1, .temporal = 0}));
    sent_of(f, 4, true);
    assert_int_equal(sent_of(f, 20, true), 10);
    assert_true(rtc_viewer_choose_layer(f->v, &(struct rtc_layer_wish){.spatial = -1, .temporal = 1}));
    sent_of(f, 4, true);
    assert_int_equal(sent_of(f, 20, true), 20);
    assert_no_gaps(f);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(the_best_layer_is_wanted_and_sent_alone),
        TEST(the_old_layer_is_sent_until_a_keyframe_of_the_new_one_comes),
        TEST(a_keyframe_of_the_past_is_not_gone_on_with),
        TEST(who_joins_does_not_begin_with_a_layer_that_has_stopped_or_has_a_hole),
        TEST(a_choice_holds_for_later_epochs_too),
        TEST(a_layer_that_is_not_there_cannot_be_chosen),
        TEST(an_overloaded_worker_leaves_out_what_nothing_refers_to),
        TEST(an_overloaded_worker_skips_to_keyframes_and_asks_for_one_when_it_is_over),
        TEST(a_path_that_carries_half_of_a_stream_gets_its_lower_temporal_layer),
        TEST(a_path_that_carries_far_less_than_the_least_gets_keyframes_only),
        TEST(a_wish_for_a_temporal_layer_needs_no_trouble),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
