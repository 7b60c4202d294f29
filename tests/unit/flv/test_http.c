/* SPDX-License-Identifier: Apache-2.0
 * test_http.c - HTTP-FLV over loopback: joining at once and later, ends and refusals, slow and dead readers, ffprobe
 * as the player. A router fed by the test stands for the relay. */
#include "unit/flv/source.h"
#include "unit/http/scene.h"
#include "unit/wire/exact.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "edge/flv.h"
#include "wire/flv.h"

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

static void on_demand(void *arg, struct router *r)
{
    const struct relay *of = arg;

    if (of->refuse)
        router_refuse(r, (enum stream_end)of->refuse);
}

static void on_idle(void *arg, struct router *r)
{
    (void)arg;
    (void)r;
}

static void on_want(struct producer *p, uint64_t want)
{
    (void)p;
    (void)want;
}

static void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    (void)track;
    (void)layer;
}

static const struct producer_ops producer_ops = {.on_want = on_want, .on_keyframe = on_keyframe};

static void open_all(const struct flv_cfg *cfg)
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

static int begin(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){0});
    return 0;
}

static int end(void **state)
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

static int make_source(void **state)
{
    (void)state;
    source_create(&source, SOURCE_USUAL);
    return 0;
}

static int drop_source(void **state)
{
    (void)state;
    source_destroy(&source);
    return 0;
}

static void publish(void)
{
    struct router *r = router_open(relay.set, "live/test");

    assert_non_null(r);
    router_publish(r, &producer, &source.tracks);
    router_ready(&producer);
}

static void push(size_t i)
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
static void play(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        push(i);
        if (i % 50 == 49)
            test_loop_run_for(&scene.loop, 0);
    }
    test_loop_run_for(&scene.loop, 0);
}

/* All of it again, with times and numbers that run on (a gap in the numbers is a loss, waited for and given up). */
static void play_round(void)
{
    play(0, source.n_packets);
    round_++;
}

static void unpublish(void)
{
    router_unpublish(&producer, STREAM_UNPUBLISHED, false);
}

static struct flv_counters counters(void)
{
    struct flv_counters c;

    flv_counters(flv, &c);
    return c;
}

/* A client whose request has been seen by the server. */
static void join(struct client *c, const char *method)
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
static void receive(struct client *c, size_t bytes)
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
static uint8_t *unchunk(const struct client *c, size_t *len)
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
static struct seen look(const struct client *c)
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
static size_t key_position(size_t n)
{
    for (size_t i = 0; i < source.n_packets; i++)
        if (source.packets[i]->track == 0 && source.packets[i]->flags & PACKET_KEYFRAME &&
            source.packets[i]->flags & PACKET_FRAME_START && n-- == 0)
            return i;
    fail();
    return 0;
}

static void viewers_before_the_publisher_get_all_of_it_and_its_end(void **state)
{
    struct client a, b;

    (void)state;
    join(&a, "GET");
    join(&b, "GET");
    assert_int_equal(counters().joins, 0);
    publish();
    play(0, source.n_packets);
    assert_int_equal(counters().joins, 2);
    unpublish();
    client_run(&a);
    client_run(&b);
    struct seen seen = look(&a);
    assert_non_null(strstr(a.got.p, "200 OK"));
    assert_non_null(strstr(a.got.p, "video/x-flv"));
    assert_non_null(strstr(a.got.p, "Access-Control-Allow-Origin: *"));
    assert_int_equal(seen.video, source.n_video);
    assert_int_equal(seen.audio, source.n_audio);
    assert_int_equal(seen.sequence_headers, 2);
    assert_int_equal(seen.first_ms, FLV_FIRST_MS);
    assert_int_equal(a.got.len, b.got.len);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(counters().mux.video_frames, source.n_video); /* once, not once a viewer */
    client_close(&a);
    client_close(&b);
}

static void a_viewer_in_the_middle_begins_at_once_with_the_newest_keyframe(void **state)
{
    struct client first, later;
    size_t stop = key_position(3) - 20; /* nearly a whole GOP after the third keyframe */

    (void)state;
    publish();
    play(0, stop);
    join(&first, "GET"); /* from the router's cache */
    test_loop_run_for(&scene.loop, 5000);
    assert_int_equal(counters().joins, 1);
    size_t at_once = first.got.len;
    assert_true(at_once > 20000);
    join(&later, "GET"); /* from the muxer's own */
    receive(&later, at_once);
    assert_int_equal(later.got.len, at_once);
    unpublish();
    client_run(&first);
    client_run(&later);
    struct seen seen = look(&first);
    assert_true(seen.starts_with_key);
    assert_int_equal(seen.keyframes, 1);
    assert_in_range(seen.video, 20, 25);
    assert_true(seen.audio > 30);
    assert_int_equal(seen.first_ms, FLV_FIRST_MS);
    assert_int_equal(look(&later).video, seen.video);
    client_close(&first);
    client_close(&later);
}

static struct text ask(const char *path, const char *method)
{
    char request[256];

    snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", method, path);
    return scene_ask_open(&scene, request);
}

static void assert_answer(const char *path, const char *method, const char *status, const char *header)
{
    struct text t = ask(path, method);
    char all[256];

    assert_string_equal(statuses(&t, all), status);
    assert_non_null(strstr(t.p, header));
    assert_non_null(strstr(t.p, "Access-Control-Allow-Origin: *"));
    text_fini(&t);
}

static void what_cannot_be_played_is_refused(void **state)
{
    (void)state;
    relay.refuse = STREAM_UNKNOWN;
    assert_answer("/live/test.flv", "GET", "404", "problem+json");
    assert_answer("/live/test.flv", "HEAD", "404", "problem+json");
    assert_answer("/test.flv", "GET", "404", "problem+json");
    assert_answer("/live/.flv", "GET", "404", "problem+json");
    assert_answer("/live/te%20st.flv", "GET", "404", "problem+json");
    relay.refuse = STREAM_UNREACHABLE;
    assert_answer("/live/test.flv", "GET", "503", "Retry-After");
    assert_answer("/live/test.flv", "OPTIONS", "200", "Access-Control-Allow-Methods");
    assert_int_equal(counters().not_found, 5);
    assert_int_equal(counters().unreachable, 1);
    assert_int_equal(counters().viewers, 0);
}

static void a_stream_that_does_not_begin_is_not_waited_for_forever(void **state)
{
    (void)state;
    open_all(&(struct flv_cfg){.park_us = 50000});
    assert_answer("/live/test.flv", "GET", "504", "Retry-After");
    assert_int_equal(counters().timed_out, 1);
    end(state);
}

static void more_viewers_than_allowed_are_refused(void **state)
{
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.cap_viewers = 1});
    join(&a, "GET");
    assert_answer("/live/test.flv", "GET", "503", "Retry-After");
    assert_int_equal(counters().overloaded, 1);
    client_close(&a);
    end(state);
}

static void head_is_answered_without_a_body(void **state)
{
    (void)state;
    publish();
    play(0, key_position(1));
    struct text t = ask("/live/test.flv", "HEAD");
    assert_non_null(strstr(t.p, "200 OK"));
    assert_non_null(strstr(t.p, "video/x-flv"));
    assert_string_equal(body_of(&t), "");
    assert_int_equal(counters().viewers, 0);
    text_fini(&t);
}

static void a_viewer_that_leaves_is_forgotten(void **state)
{
    struct client a;

    (void)state;
    publish();
    play(0, 200);
    join(&a, "GET");
    client_close(&a);
    for (int i = 0; i < 2000 && counters().viewers; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(router_consumers(producer.router, "flv"), 0);
    play(200, source.n_packets); /* nobody there */
}

static void add_queued(void *arg, const struct flv_viewer_facts *v)
{
    *(size_t *)arg += v->queued_bytes;
}

static size_t all_queued(void)
{
    size_t bytes = 0;

    flv_each(flv, add_queued, &bytes);
    return bytes;
}

/* Enough rounds that the kernel's socket buffers are full too. */
static void a_slow_reader_skips_to_a_keyframe_and_the_other_gets_all(void **state)
{
    struct client slow, good;
    int small = 16 << 10;
    size_t rounds = 0;

    (void)state;
    open_all(&(struct flv_cfg){.queue_bytes = 200 << 10, .queue_ms = 1000000, .reorder_wait_us = 1});
    join(&slow, "GET");
    setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    join(&good, "GET");
    publish();
    play_round();
    client_read(&slow, false);
    for (rounds = 1; rounds < 40 && counters().dropped_to_keyframe == 0; rounds++)
        play_round();
    assert_int_equal(counters().dropped_to_keyframe, 1);
    play_round(); /* not for the slow one */
    client_read(&slow, true);
    while (all_queued() > 0) /* it takes what was queued */
        test_loop_run_for(&scene.loop, 2000);
    play_round();
    unpublish();
    client_run(&slow);
    client_run(&good);
    struct seen of_slow = look(&slow), of_good = look(&good);
    assert_int_equal(of_good.gaps, 0);
    assert_int_equal(of_good.video, (rounds + 2) * source.n_video);
    assert_int_equal(of_slow.gaps, 1);
    assert_int_equal(of_slow.gaps_to_key, 1);
    assert_int_equal(of_slow.last_ms, of_good.last_ms);
    assert_int_equal(counters().dropped_to_keyframe, 1);
    client_close(&slow);
    client_close(&good);
    end(state);
}

static void a_reader_too_far_behind_in_time_skips_too(void **state)
{
    struct client slow;
    int small = 16 << 10;

    (void)state;
    open_all(&(struct flv_cfg){.queue_bytes = 64 << 20, .queue_ms = 8000, .reorder_wait_us = 1});
    join(&slow, "GET");
    setsockopt(slow.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    publish();
    play_round();
    receive(&slow, 50000);
    test_loop_run_for(&scene.loop, 20000); /* its beginning has been read */
    client_read(&slow, false);
    for (int i = 0; i < 60 && counters().dropped_to_keyframe == 0; i++)
        play_round();
    assert_true(counters().dropped_to_keyframe >= 1);
    client_close(&slow);
    end(state);
}

static void a_reader_that_reads_nothing_is_dropped_in_the_end(void **state)
{
    struct client dead;
    int small = 16 << 10;

    (void)state;
    open_all(&(struct flv_cfg){.stall_us = 100000, .reorder_wait_us = 1});
    join(&dead, "GET");
    setsockopt(dead.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    client_read(&dead, false);
    publish();
    for (int i = 0; i < 30; i++)
        play_round();
    for (int i = 0; i < 100 && counters().viewers; i++)
        test_loop_run_for(&scene.loop, 50000);
    assert_int_equal(counters().viewers, 0);
    assert_int_equal(counters().stalled, 1);
    client_close(&dead);
    end(state);
}

static void note_viewer(void *arg, const struct flv_viewer_facts *v)
{
    struct flv_viewer_facts *out = arg;

    *out = *v;
    assert_string_equal(v->stream, "live/test");
    assert_int_equal(strlen(v->id), 22);
    assert_true(addr_is_loopback(v->peer));
}

static void viewers_are_listed(void **state)
{
    struct flv_viewer_facts facts = {0};
    struct client a;

    (void)state;
    join(&a, "GET");
    flv_each(flv, note_viewer, &facts);
    assert_int_equal(facts.state, FLV_PARKED);
    publish();
    play(0, source.n_packets);
    receive(&a, 100000);
    flv_each(flv, note_viewer, &facts);
    assert_int_equal(facts.state, FLV_LIVE);
    assert_string_equal(flv_viewer_state_name(facts.state), "live");
    assert_true(facts.bytes >= 99000);
    assert_int_equal(facts.dropped_to_keyframe, 0);
    client_close(&a);
}

static void a_new_epoch_plays_on_for_who_is_there(void **state)
{
    struct track_set again = source.tracks;
    struct client a;

    (void)state;
    join(&a, "GET");
    publish();
    play_round();
    router_unpublish(&producer, STREAM_UNPUBLISHED, true); /* the tracks are announced anew, as RTMP does for a late one */
    again.epoch = 2;
    router_publish(router_open(relay.set, "live/test"), &producer, &again);
    router_ready(&producer);
    play_round();
    unpublish();
    client_run(&a);
    struct seen seen = look(&a);
    assert_int_equal(seen.video, 2 * source.n_video);
    assert_int_equal(seen.gaps, 0);
    assert_int_equal(seen.sequence_headers, 4);
    client_close(&a);
}

static void a_simulcast_layer_that_is_not_sent_is_left_for_another(void **state)
{
    struct track_set two = source.tracks;
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.layer_silent_us = 50000});
    two.v[0].n_layers = 2;
    two.v[0].layers[1] = (struct layer){.width = 1280, .height = 720}; /* the packets are of layer 0 */
    join(&a, "GET");
    router_publish(router_open(relay.set, "live/test"), &producer, &two);
    router_ready(&producer);
    play(0, key_position(1));
    assert_int_equal(counters().joins, 0);
    for (int i = 0; i < 100 && !(router_want(producer.router) & want_bit(0, 0)); i++)
        test_loop_run_for(&scene.loop, 20000);
    play(key_position(1), source.n_packets);
    assert_int_equal(counters().joins, 1);
    unpublish();
    client_run(&a);
    struct seen seen = look(&a);
    assert_true(seen.starts_with_key);
    assert_int_equal(seen.video, 75);
    client_close(&a);
    end(state);
}

/* A packet a turn: what leaves together was put together by the waiting. */
static void play_slowly(size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        push(i);
        test_loop_run_for(&scene.loop, 0);
    }
}

static void sound_leaves_with_the_next_picture(void **state)
{
    struct client a;

    (void)state;
    open_all(&(struct flv_cfg){.sound_wait_us = 60000000});
    join(&a, "GET");
    publish();
    play_slowly(0, source.n_packets);
    struct flv_mux_counters mux = counters().mux;
    assert_int_equal(mux.video_frames, source.n_video);
    assert_int_equal(mux.audio_frames, source.n_audio);
    assert_in_range(mux.chunks, source.n_video, source.n_video + 4); /* what waits at a keyframe goes before it */
    unpublish();
    client_run(&a);
    assert_int_equal(look(&a).audio, source.n_audio); /* the last of it at the end */
    client_close(&a);
    end(state);
}

static void sound_does_not_wait_long_for_a_picture(void **state)
{
    struct client a;
    size_t sounds = 0;

    (void)state;
    open_all(&(struct flv_cfg){.sound_wait_us = 3000});
    join(&a, "GET");
    publish();
    play(0, key_position(1));
    uint64_t chunks = counters().mux.chunks;
    for (size_t i = key_position(1); sounds < 10; i++) {
        if (source.packets[i]->track == 0)
            continue;
        push(i);
        sounds++;
    }
    test_loop_run_for(&scene.loop, 0);
    assert_int_equal(counters().mux.chunks, chunks);
    for (int i = 0; i < 1000 && counters().mux.chunks == chunks; i++)
        test_loop_run_for(&scene.loop, 1000);
    assert_int_equal(counters().mux.chunks, chunks + 1);
    client_close(&a);
    end(state);
}

static void ffprobe_plays_it(void **state)
{
    char command[256], addr[ADDR_TEXT_CAP], got[64] = "", want[64];
    FILE *f;

    (void)state;
    snprintf(command, sizeof(command),
             "ffprobe -v error -count_frames -show_entries stream=nb_read_frames -of csv=p=0 http://%s/live/test.flv",
             addr_print(&scene.addr, addr));
    f = popen(command, "r");
    assert_non_null(f);
    for (int i = 0; i < 10000 && counters().viewers == 0; i++)
        test_loop_run_for(&scene.loop, 1000);
    publish();
    play(0, source.n_packets);
    unpublish();
    assert_int_equal(fcntl(fileno(f), F_SETFL, O_NONBLOCK), 0);
    size_t n = 0;
    for (ssize_t one = -1; one != 0 && n < sizeof(got) - 1; n += one > 0 ? (size_t)one : 0) {
        test_loop_run_for(&scene.loop, 10000); /* the rest leaves, however slowly it is read */
        one = read(fileno(f), got + n, sizeof(got) - 1 - n);
    }
    got[n] = '\0';
    assert_int_equal(pclose(f), 0);
    snprintf(want, sizeof(want), "%zu\n%zu\n", source.n_video, source.n_audio);
    assert_string_equal(got, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(viewers_before_the_publisher_get_all_of_it_and_its_end, begin, end),
        cmocka_unit_test_setup_teardown(a_viewer_in_the_middle_begins_at_once_with_the_newest_keyframe, begin, end),
        cmocka_unit_test_setup_teardown(what_cannot_be_played_is_refused, begin, end),
        cmocka_unit_test(a_stream_that_does_not_begin_is_not_waited_for_forever),
        cmocka_unit_test(more_viewers_than_allowed_are_refused),
        cmocka_unit_test_setup_teardown(head_is_answered_without_a_body, begin, end),
        cmocka_unit_test_setup_teardown(a_viewer_that_leaves_is_forgotten, begin, end),
        cmocka_unit_test(a_slow_reader_skips_to_a_keyframe_and_the_other_gets_all),
        cmocka_unit_test(a_reader_too_far_behind_in_time_skips_too),
        cmocka_unit_test(a_reader_that_reads_nothing_is_dropped_in_the_end),
        cmocka_unit_test_setup_teardown(viewers_are_listed, begin, end),
        cmocka_unit_test_setup_teardown(a_new_epoch_plays_on_for_who_is_there, begin, end),
        cmocka_unit_test(a_simulcast_layer_that_is_not_sent_is_left_for_another),
        cmocka_unit_test(sound_leaves_with_the_next_picture),
        cmocka_unit_test(sound_does_not_wait_long_for_a_picture),
        cmocka_unit_test_setup_teardown(ffprobe_plays_it, begin, end),
    };
    return cmocka_run_group_tests(tests, make_source, drop_source);
}
