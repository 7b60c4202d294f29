/* SPDX-License-Identifier: Apache-2.0 */
#include "pair.h"

#include "pipe/pipe_rx.h"
#include "pipe/pipe_tx.h"

#include <stdlib.h>
#include <string.h>

/* ---- The path -------------------------------------------------------------------------------- */

static struct pair_path the_path; /* the wrapped functions have no argument for it */

struct pair_path *pair_path(void)
{
    return &the_path;
}

enum { LOST_MAX = 4096 };
static struct {
    uint32_t ssrc;
    uint16_t seq;
    size_t len;
    uint8_t bytes[1500];
} lost_ones[LOST_MAX];

struct packet *__real_pipe_rx_take(struct pipe_rx *rx, struct pool *pool, const uint8_t *bytes, size_t len,
                                   uint64_t now_us);
struct packet *__wrap_pipe_rx_take(struct pipe_rx *rx, struct pool *pool, const uint8_t *bytes, size_t len,
                                   uint64_t now_us);
void __real_pipe_tx_feedback(struct pipe_tx *tx, uint8_t *bytes, size_t len, const struct addr *from,
                             uint64_t now_us);
void __wrap_pipe_tx_feedback(struct pipe_tx *tx, uint8_t *bytes, size_t len, const struct addr *from,
                             uint64_t now_us);

/* True when this one is lost: it came for the first time and the test says so. */
static bool lose(const uint8_t *bytes, size_t len)
{
    uint16_t seq = (uint16_t)(bytes[2] << 8 | bytes[3]);
    uint32_t ssrc = (uint32_t)bytes[8] << 24 | (uint32_t)bytes[9] << 16 | (uint32_t)bytes[10] << 8 | bytes[11];

    for (size_t i = 0; i < the_path.lost; i++) {
        if (lost_ones[i].ssrc != ssrc || lost_ones[i].seq != seq)
            continue;
        the_path.differing += lost_ones[i].len != len || memcmp(lost_ones[i].bytes, bytes, len) != 0;
        return the_path.again && the_path.again--;
    }
    if (!the_path.lose || the_path.lost == LOST_MAX || !the_path.lose(ssrc, seq))
        return false;
    lost_ones[the_path.lost].ssrc = ssrc;
    lost_ones[the_path.lost].seq = seq;
    lost_ones[the_path.lost].len = len;
    memcpy(lost_ones[the_path.lost++].bytes, bytes, len);
    return true;
}

struct packet *__wrap_pipe_rx_take(struct pipe_rx *rx, struct pool *pool, const uint8_t *bytes, size_t len,
                                   uint64_t now_us)
{
    if (the_path.keep) {
        memcpy(the_path.datagram, bytes, len);
        the_path.datagram_len = len;
    }
    return lose(bytes, len) ? NULL : __real_pipe_rx_take(rx, pool, bytes, len, now_us);
}

void __wrap_pipe_tx_feedback(struct pipe_tx *tx, uint8_t *bytes, size_t len, const struct addr *from,
                             uint64_t now_us)
{
    if (the_path.keep) {
        memcpy(the_path.feedback, bytes, len);
        the_path.feedback_len = len;
    }
    if (!the_path.deaf)
        __real_pipe_tx_feedback(tx, bytes, len, from, now_us);
}

/* ---- The parent ------------------------------------------------------------------------------ */

static void on_want(struct producer *producer, uint64_t want)
{
    container_of(producer, struct pair, producer)->producer_want = want;
}

static void on_keyframe(struct producer *producer, unsigned track, unsigned layer)
{
    (void)track;
    (void)layer;
    container_of(producer, struct pair, producer)->keyframes_asked++;
}

static void on_patience(struct producer *producer, uint64_t patience_us)
{
    container_of(producer, struct pair, producer)->producer_patience_us = patience_us;
}

static const struct producer_ops producer_ops = {.on_want = on_want, .on_keyframe = on_keyframe, .on_patience = on_patience};

static void on_demand(void *arg, struct router *r)
{
    (void)arg;
    if (strcmp(router_name(r), "live/unknown") == 0)
        router_refuse(r, STREAM_UNKNOWN);
    if (strcmp(router_name(r), "live/unreachable") == 0)
        router_refuse(r, STREAM_UNREACHABLE);
}

static void on_idle(void *arg, struct router *r)
{
    (void)arg;
    (void)r;
}

static struct router *open_router(void *arg, const char *stream)
{
    return router_open(((struct pair *)arg)->routers, stream);
}

static void stream_source(void *arg, struct router *r, struct pipe_path *out)
{
    (void)r;
    *out = ((struct pair *)arg)->source;
}

struct tls_ctx *pair_make_tls(const char *folder, enum tls_use use, const char *name)
{
    char certificate[PKI_PATH_CAP], key[PKI_PATH_CAP], ca[PKI_PATH_CAP], err[CERT_ERROR_CAP];
    struct tls_ctx *ctx;
    struct tls_cfg cfg = {
        .use = use,
        .certificate = pki_path(certificate, folder, name, ".pem"),
        .key = pki_path(key, folder, name, ".key"),
        .ca = pki_path(ca, folder, "ca", ".pem"),
    };

    if (tls_ctx_create(&ctx, &cfg, err) != 0)
        fail_msg("%s", err);
    return ctx;
}

static struct addr loopback(void)
{
    struct addr a;

    assert_int_equal(addr_parse(&a, "127.0.0.1:0"), 0);
    return a;
}

static void open_parent(struct pair *p)
{
    struct router_set_cfg routers = {
        .cache = {.cap_bytes = 64 << 20, .cap_packets = 20000, .cap_us = 3600000000},
        .linger_us = 1000000,
        .on_demand = on_demand,
        .on_idle = on_idle,
    };

    assert_int_equal(srtp_engine_create(&p->parent_engine, SRTP_BACKEND_BEST), 0);
    p->parent_tls = pair_make_tls(p->folder, TLS_MUTUAL_SERVER, "parent");
    assert_int_equal(packet_pool_create(&p->parent_pool, PAIR_POOL), 0);
    assert_int_equal(router_set_create(&p->routers, p->loop.w, &routers), 0);
    p->router = router_open(p->routers, "live/test");
    assert_non_null(p->router);
    p->producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    struct pipe_server_cfg cfg = {
        .engine = p->parent_engine,
        .tls = p->parent_tls,
        .self = {.id = "parent", .role = "backbone", .region = "eu"},
        .listen = loopback(),
        .media = loopback(),
        .open_router = open_router,
        .source = stream_source,
        .arg = p,
    };
    assert_int_equal(pipe_server_open(&p->server, p->loop.w, &cfg), 0);
    pipe_server_local(p->server, &p->control, &p->media);
    addr_print(&p->control, p->control_text);
}

static void open_child(struct pair *p)
{
    assert_int_equal(srtp_engine_create(&p->child_engine, SRTP_BACKEND_BEST), 0);
    p->child_tls = pair_make_tls(p->folder, TLS_MUTUAL_CLIENT, "child");
    p->stranger_tls = pair_make_tls(p->folder, TLS_MUTUAL_CLIENT, "stranger");
    assert_int_equal(packet_pool_create(&p->child_pool, PAIR_POOL), 0);
    struct pipe_client_cfg cfg = {
        .engine = p->child_engine,
        .pool = p->child_pool,
        .tls = p->child_tls,
        .self = {.id = "child", .role = "edge", .region = "eu"},
        .bind = loopback(),
    };
    assert_int_equal(pipe_client_open(&p->client, p->loop.w, &cfg), 0);
}

int pair_setup(void **state)
{
    struct pair *p = calloc(1, sizeof(*p));

    if (!p)
        return -1;
    the_path = (struct pair_path){0};
    strcpy(p->folder, "/tmp/test_pipe_XXXXXX");
    pki_open(p->folder);
    pki_make_cert(p->folder, "parent", "ca", "parent");
    pki_make_cert(p->folder, "child", "ca", "child");
    test_loop_init(&p->loop);
    open_parent(p);
    open_child(p);
    *state = p;
    return 0;
}

int pair_teardown(void **state)
{
    struct pair *p = *state;

    pair_sink_fini(&p->sink);
    pipe_client_close(&p->client);
    pipe_server_close(&p->server);
    pair_run_for(p, 50000); /* the connections end */
    router_unpublish(&p->producer, STREAM_UNPUBLISHED, false);
    router_set_destroy(&p->routers);
    pool_destroy(&p->parent_pool);
    pool_destroy(&p->child_pool);
    srtp_engine_destroy(&p->parent_engine);
    srtp_engine_destroy(&p->child_engine);
    tls_ctx_unref(&p->parent_tls);
    tls_ctx_unref(&p->child_tls);
    tls_ctx_unref(&p->stranger_tls);
    test_loop_fini(&p->loop);
    pki_close(p->folder);
    free(p);
    return 0;
}

struct track_set pair_tracks(uint64_t epoch)
{
    struct track_set set = {.epoch = epoch, .n = 2};

    set.v[0] = (struct track){
        .codec = CODEC_H264, .clock_hz = 90000, .n_layers = 2, .b_frames = true, .profile = 0x42e01f};
    set.v[0].layers[0] = (struct layer){.rid = "lo", .width = 640, .height = 360, .max_bps = 500000};
    set.v[0].layers[1] = (struct layer){.rid = "hi", .width = 1280, .height = 720, .max_bps = 2500000};
    set.v[0].config_len = 5;
    memcpy(set.v[0].config, "avcC!", 5);
    set.v[1] = (struct track){.codec = CODEC_OPUS, .clock_hz = 48000, .channels = 2, .n_layers = 1};
    return set;
}

void pair_publish(struct pair *p, uint64_t epoch)
{
    struct track_set tracks = pair_tracks(epoch);

    router_publish(p->router, &p->producer, &tracks);
    router_ready(&p->producer);
}

static void fill(struct packet *k, unsigned track, unsigned layer, uint64_t seq, bool key)
{
    static const uint8_t level[] = {PACKET_EXT_AUDIO_LEVEL, 1, 0x30};

    k->track = (uint8_t)track;
    k->layer = (uint8_t)layer;
    k->seq = seq;
    k->ts_ticks = ((uint64_t)3 << 32) + seq * 3000;
    k->capture_us = 1790000000000000 + seq * 33333;
    k->cts_ticks = (int32_t)(seq % 3) * 3000 - 3000;
    k->flags = (uint8_t)(PACKET_FRAME_START | PACKET_FRAME_END | (key ? PACKET_KEYFRAME : 0) |
                         (seq % 5 == 0 ? PACKET_MARKER : 0) | (seq % 7 == 0 ? PACKET_DISCARDABLE : 0));
    k->spatial = seq % 2;
    k->temporal = seq % 4;
    if (track == 1) {
        memcpy(k->bytes, level, sizeof(level));
        k->ext_len = sizeof(level);
    }
    k->payload_len = (uint16_t)(track == 1 ? 80 + seq % 40 : seq % 10 == 9 ? 300 + seq % 700 : 1180);
    memset(k->bytes + k->ext_len, (int)(seq * 31 + track + layer), k->payload_len);
}

struct packet *pair_packet(struct pair *p, unsigned track, unsigned layer, uint64_t seq, bool key)
{
    struct packet *k = packet_create(p->parent_pool);

    assert_non_null(k);
    fill(k, track, layer, seq, key);
    return k;
}

void pair_push(struct pair *p, unsigned track, unsigned layer, uint64_t seq, bool key)
{
    router_push(p->router, pair_packet(p, track, layer, seq, key));
}

void pair_push_run(struct pair *p, uint64_t seq, size_t n, size_t gop, size_t a_turn)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t at = seq + i;
        pair_push(p, 0, 0, at, at % gop == 0);
        if (at % 4 == 3)
            pair_push(p, 1, 0, at / 4, false);
        if (a_turn && i % a_turn == a_turn - 1)
            pair_run_for(p, 1000);
    }
}

/* ---- The child ------------------------------------------------------------------------------- */

static void on_subscribed(void *arg, const struct track_set *tracks, const struct pipe_path *source)
{
    struct pair_sink *sink = arg;

    sink->tracks = *tracks;
    sink->source = *source;
    sink->subscribed++;
}

static void on_packet(void *arg, struct packet *p)
{
    struct pair_sink *sink = arg;

    assert_true(sink->n < PAIR_PACKETS_MAX);
    sink->packets[sink->n++] = p;
    if (sink->close_at_first)
        pipe_subscription_close(&sink->s);
}

static void on_caught_up(void *arg)
{
    struct pair_sink *sink = arg;

    sink->caught_up++;
    sink->n_at_caught_up = sink->n;
}

static void on_end(void *arg, enum stream_end why)
{
    ((struct pair_sink *)arg)->ended = (int)why;
}

static void on_refused(void *arg, enum pipe_refusal reason)
{
    ((struct pair_sink *)arg)->refused = (int)reason;
}

static void on_lost(void *arg, enum pipe_lost why)
{
    struct pair_sink *sink = arg;

    sink->lost = (int)why;
    pipe_subscription_close(&sink->s);
}

static void on_go_away(void *arg)
{
    ((struct pair_sink *)arg)->went_away++;
}

static void on_thinned(void *arg, uint64_t allowed)
{
    (void)allowed;
    ((struct pair_sink *)arg)->thinned++;
}

static const struct pipe_subscription_ops sink_ops = {
    .on_subscribed = on_subscribed,
    .on_packet = on_packet,
    .on_caught_up = on_caught_up,
    .on_end = on_end,
    .on_refused = on_refused,
    .on_lost = on_lost,
    .on_go_away = on_go_away,
    .on_thinned = on_thinned,
};

void pair_subscribe(struct pair *p, struct pair_sink *sink, const struct pipe_subscribe_cfg *cfg)
{
    struct pipe_subscribe_cfg full = *cfg;

    full.parent_id = cfg->parent_id ? cfg->parent_id : "parent";
    full.parent_address = cfg->parent_address ? cfg->parent_address : p->control_text;
    full.stream = cfg->stream ? cfg->stream : "live/test";
    full.ops = &sink_ops;
    full.arg = sink;
    assert_int_equal(pipe_subscribe(&sink->s, p->client, &full), 0);
}

void pair_join(struct pair *p)
{
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_track(0) | want_track(1)});
    pair_until(p, &p->sink.subscribed, 1);
}

void pair_sink_fini(struct pair_sink *sink)
{
    pipe_subscription_close(&sink->s);
    for (size_t i = 0; i < sink->n; i++)
        packet_unref(&sink->packets[i]);
    sink->n = 0;
}

void pair_check_packet(struct pair *p, const struct packet *got)
{
    struct packet *sent = pair_packet(p, got->track, got->layer, got->seq, got->flags & PACKET_KEYFRAME);

    assert_int_equal(got->seq, sent->seq);
    assert_int_equal(got->ts_ticks, sent->ts_ticks);
    assert_int_equal(got->capture_us, sent->capture_us);
    assert_int_equal(got->cts_ticks, sent->cts_ticks);
    assert_int_equal(got->flags, sent->flags);
    assert_int_equal(got->spatial, sent->spatial);
    assert_int_equal(got->temporal, sent->temporal);
    assert_int_equal(got->ext_len, sent->ext_len);
    assert_int_equal(got->payload_len, sent->payload_len);
    assert_memory_equal(got->bytes, sent->bytes, (size_t)(sent->ext_len + sent->payload_len));
    packet_unref(&sent);
}

size_t pair_count(const struct pair_sink *sink, unsigned track, unsigned layer)
{
    size_t n = 0;

    for (size_t i = 0; i < sink->n; i++)
        n += sink->packets[i]->track == track && sink->packets[i]->layer == layer;
    return n;
}

void pair_check_layer(const struct pair_sink *sink, unsigned track, unsigned layer, uint64_t first,
                      size_t count)
{
    bool *seen = calloc(count ? count : 1, sizeof(*seen));

    assert_non_null(seen);
    for (size_t i = 0; i < sink->n; i++) {
        const struct packet *k = sink->packets[i];
        if (k->track != track || k->layer != layer)
            continue;
        if (k->seq < first || k->seq >= first + count || seen[k->seq - first])
            fail_msg("packet %llu of track %u layer %u is not of the %zu from %llu, or came twice",
                     (unsigned long long)k->seq, track, layer, count, (unsigned long long)first);
        seen[k->seq - first] = true;
    }
    for (size_t i = 0; i < count; i++)
        if (!seen[i])
            fail_msg("packet %llu of track %u layer %u is missing", (unsigned long long)(first + i), track,
                     layer);
    free(seen);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

struct until {
    struct timer timer;
    const void *value;
    bool (*reached)(const struct until *u);
    size_t least;
};

static void on_look(struct timer *t, uint64_t now_us)
{
    struct until *u = container_of(t, struct until, timer);

    (void)now_us;
    if (u->reached(u))
        worker_stop(t->worker);
    else
        timer_start(t, 1000);
}

/* Not on the stack, which is gone when the loop's deadline fails the test. */
static void until(struct pair *p, const struct until *wanted)
{
    static struct until the_one, *u = &the_one;

    *u = *wanted;
    if (u->reached(u))
        return;
    timer_init(&u->timer, p->loop.w, on_look);
    timer_start(&u->timer, 0);
    test_loop_run(&p->loop);
    timer_stop(&u->timer);
}

static bool size_reached(const struct until *u)
{
    return *(const size_t *)u->value >= u->least;
}

static bool unsigned_reached(const struct until *u)
{
    return *(const unsigned *)u->value >= u->least;
}

static bool int_set(const struct until *u)
{
    return *(const int *)u->value != 0;
}

void pair_until_size(struct pair *p, const size_t *value, size_t least)
{
    until(p, &(struct until){.value = value, .reached = size_reached, .least = least});
}

void pair_until(struct pair *p, const unsigned *value, unsigned least)
{
    until(p, &(struct until){.value = value, .reached = unsigned_reached, .least = least});
}

void pair_until_set(struct pair *p, const int *value)
{
    until(p, &(struct until){.value = value, .reached = int_set});
}

void pair_run_for(struct pair *p, uint64_t us)
{
    test_loop_run_for(&p->loop, us);
}
