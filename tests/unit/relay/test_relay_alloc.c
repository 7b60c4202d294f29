/* SPDX-License-Identifier: Apache-2.0
 * From a publisher's connection on one worker to the stream's home worker, through its router, over a link and through the
 * router of a third worker to a consumer there: nothing is allocated for a packet. Three real threads. */
#include "relay/publish.h"
#include "relay/relay_priv.h"
#include "unit/io/count_alloc.h"
#include "unit/io/loop.h"

#include <stdatomic.h>
#include <stdio.h>

enum { PUBLISHER, WATCHER, HOME, WORKERS, PACKETS = 10000, WARM = 3000, A_TURN = 10, EPOCH = 7 };

struct scene {
    struct test_loop loop; /* the watcher's: it runs in the test's thread */
    struct worker *workers[WORKERS];
    struct relay *relays[WORKERS];
    char name[STREAM_NAME_MAX + 1];
    struct publication *pub; /* the publisher's from here on */
    struct timer tick;
    uint64_t next;
    struct consumer ear; /* the watcher's */
    uint64_t got, expected;
    size_t allocs;
    bool stopped;
    _Atomic unsigned ended;
};

static struct scene s;

void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token);
void __wrap_hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token)
{
    (void)h;
    relay_on_claim(asker, name, token, CLAIM_OK, EPOCH, "");
}

void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch);
void __wrap_hub_tell_release(struct hub *h, const char *name, uint64_t epoch)
{
    (void)h, (void)name, (void)epoch;
}

/* ---- The publisher ------------------------------------------------------------------------------------------ */

static void on_tick(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    for (unsigned i = 0; i < A_TURN; i++) {
        struct packet *p = packet_create(publish_pool(s.pub));

        if (!p)
            break; /* all are under way */
        p->seq = s.next;
        p->ts_ticks = s.next / 5 * 3000;
        p->capture_us = s.next / 5 * 33333;
        p->flags = PACKET_FRAME_START | PACKET_FRAME_END | (s.next % 100 == 0 ? PACKET_KEYFRAME : 0);
        p->payload_len = 1000;
        s.next++;
        publish_push(s.pub, p);
    }
    timer_start(t, 0);
}

static void on_claimed(void *arg, enum publish_result result)
{
    struct track_set tracks = {.n = 1, .v = {{.codec = CODEC_H264, .clock_hz = 90000, .n_layers = 1}}};

    (void)arg;
    assert_int_equal(result, PUBLISH_OK);
    publish_start(s.pub, &tracks);
    s.next = PACKET_SEQ_FIRST;
    timer_init(&s.tick, s.workers[PUBLISHER], on_tick);
    timer_start(&s.tick, 0);
}

static void on_want(void *arg, uint64_t want)
{
    (void)arg, (void)want;
}

static void on_keyframe(void *arg, unsigned track, unsigned layer)
{
    (void)arg, (void)track, (void)layer;
}

static void on_revoked(void *arg, const char *why)
{
    (void)arg, (void)why;
}

static const struct publish_ops publish_ops = {on_claimed, on_want, on_keyframe, on_revoked};

/* ---- The watcher --------------------------------------------------------------------------------------------- */

static void ear_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    (void)c;
    assert_int_equal(tracks->epoch, EPOCH);
}

/* Some packets let pools and caches grow to their sizes; of what follows each is there, and none cost an allocation. */
static void ear_on_packets(struct consumer *c, const struct packet_batch *b)
{
    (void)c;
    for (size_t i = 0; i < b->n; i++) {
        if (s.expected)
            assert_int_equal(b->v[i]->seq, s.expected);
        s.expected = b->v[i]->seq + 1;
    }
    if (s.got < WARM && s.got + b->n >= WARM)
        s.allocs = count_allocs();
    s.got += b->n;
    if (s.got < WARM + PACKETS || s.stopped)
        return;
    s.allocs = count_allocs() - s.allocs;
    s.stopped = true;
    worker_stop(s.workers[WATCHER]);
}

static void ear_on_end(struct consumer *c, enum stream_end why)
{
    (void)c, (void)why;
}

static const struct consumer_ops ear_ops = {.on_tracks = ear_on_tracks, .on_packets = ear_on_packets, .on_end = ear_on_end};

/* ---- Threads --------------------------------------------------------------------------------------------------- */

static void run_claim(struct mail *m, struct worker *w)
{
    (void)m, (void)w;
    assert_int_equal(publish_claim(&s.pub, s.relays[PUBLISHER], s.name, "test", &publish_ops, NULL), 0);
}

static void run_unpublish(struct mail *m, struct worker *w)
{
    (void)m, (void)w;
    timer_stop(&s.tick);
    publish_close(&s.pub);
    s.ended++;
}

static void run_close(struct mail *m, struct worker *w)
{
    (void)m;
    for (unsigned i = 0; i < WORKERS; i++)
        if (s.workers[i] == w)
            relay_close(s.relays[i]);
    s.ended++;
}

static void run_stop(struct mail *m, struct worker *w)
{
    (void)m;
    worker_stop(w);
}

static void find_name(void)
{
    for (unsigned i = 0; s.name[0] == '\0' || relay_home(s.relays[0], s.name) != HOME; i++)
        snprintf(s.name, sizeof(s.name), "live/s%u", i);
}

static void wait_ended(unsigned n)
{
    while (s.ended < n)
        test_loop_run_for(&s.loop, 1000);
}

static void ten_thousand_packets_go_over_three_workers_without_an_allocation(void **state)
{
    struct relay_cfg cfg = {.workers = WORKERS, .linger_us = 1000, .packets = 4000,
                            .cache = {.cap_bytes = 1 << 24, .cap_packets = 256, .cap_us = 1000000000}};
    struct mail claim = {.run = run_claim}, unpublish = {.run = run_unpublish}, close[WORKERS], stop[WORKERS];

    (void)state;
    test_loop_init(&s.loop);
    s.ear = (struct consumer){.ops = &ear_ops, .kind = "test"};
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker_cfg worker = {.name = "w", .index = i};
        s.workers[i] = s.loop.w;
        if (i != WATCHER)
            assert_int_equal(worker_create(&s.workers[i], &worker), 0);
        cfg.index = i;
        assert_int_equal(relay_create(&s.relays[i], s.workers[i], &cfg), 0);
    }
    for (unsigned i = 0; i < WORKERS; i++)
        relay_set_peers(s.relays[i], s.relays);
    find_name();
    worker_post(s.workers[PUBLISHER], &claim);
    assert_int_equal(worker_start(s.workers[HOME]), 0);
    router_attach(relay_router(s.relays[WATCHER], s.name), &s.ear, want_track(0));
    assert_int_equal(worker_start(s.workers[PUBLISHER]), 0);
    test_loop_run(&s.loop);
    assert_int_equal(s.allocs, 0);

    router_detach(&s.ear);
    worker_post(s.workers[PUBLISHER], &unpublish);
    wait_ended(1);
    test_loop_run_for(&s.loop, 20000);
    for (unsigned i = 0; i < WORKERS; i++) {
        close[i] = (struct mail){.run = run_close};
        worker_post(s.workers[i], &close[i]);
    }
    wait_ended(1 + WORKERS);
    test_loop_run_for(&s.loop, 20000);
    for (unsigned i = 0; i < WORKERS; i++) {
        stop[i] = (struct mail){.run = run_stop};
        if (i == WATCHER)
            continue;
        worker_post(s.workers[i], &stop[i]);
        worker_join(s.workers[i]);
    }
    assert_int_equal(relay_counters(s.relays[PUBLISHER])->dropped_pool, 0);
    for (unsigned i = 0; i < WORKERS; i++)
        relay_clear(s.relays[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        relay_destroy(&s.relays[i]);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_destroy(&s.workers[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_packets_go_over_three_workers_without_an_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
