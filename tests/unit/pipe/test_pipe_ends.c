/* SPDX-License-Identifier: Apache-2.0
 * test_pipe_ends.c - what the pair as a whole cannot show: thinning on a virtual clock, what the packet path
 * allocates, a parent that says nothing more, datagrams that do not come through. */
#include "../io/count_alloc.h"
#include "pair.h"

#include "pipe/pipe_tx.h"
#include "secure/conn.h"

/* ---- Thinning -------------------------------------------------------------------------------- */

struct thinned {
    struct pipe_tx tx;
    unsigned told;
    uint64_t allowed;
};

static void ignore_tracks(struct pipe_tx *tx, const struct track_set *tracks)
{
    (void)tx;
    (void)tracks;
}

static void ignore_started(struct pipe_tx *tx, uint64_t layers)
{
    (void)tx;
    (void)layers;
}

static void ignore(struct pipe_tx *tx)
{
    (void)tx;
}

static void note_thinned(struct pipe_tx *tx, uint64_t allowed)
{
    struct thinned *t = container_of(tx, struct thinned, tx);

    t->told++;
    t->allowed = allowed;
}

static void ignore_end(struct pipe_tx *tx, enum stream_end why)
{
    (void)tx;
    (void)why;
}

static const struct pipe_tx_ops tx_ops = {
    .on_associated = ignore_tracks,
    .on_started = ignore_started,
    .on_caught_up = ignore,
    .on_thinned = note_thinned,
    .on_end = ignore_end,
    .on_failed = ignore,
};

static void ignore_catching(struct pipe_tx_shared *s)
{
    (void)s;
}

static void a_pipe_that_loses_persistently_is_thinned_from_the_highest_layer(void **state)
{
    struct pair *p = *state;
    struct pipe_tx_shared shared = {
        .worker = p->loop.w, .engine = p->parent_engine, .on_catching = ignore_catching};
    struct thinned t = {0};
    uint64_t now_us = 1000000, both = want_bit(0, 0) | want_bit(0, 1) | want_bit(1, 0);

    list_init(&shared.catching);
    pair_publish(p, 1);
    pipe_tx_init(&t.tx, &shared, &tx_ops, 0);
    pipe_tx_open(&t.tx, p->router, both);
    assert_int_equal(t.tx.want, both);
    for (unsigned i = 0; i < 10; i++) /* a little is no reason */
        pipe_tx_report(&t.tx, 1000, 100, 10, now_us += 1000000);
    pipe_tx_report(&t.tx, 1000, 200, 100, now_us += 1000000); /* nor is one bad second, nor a second one */
    pipe_tx_report(&t.tx, 1000, 200, 100, now_us += 1000000);
    assert_int_equal(t.told, 0);
    pipe_tx_report(&t.tx, 1000, 200, 100, now_us += 1000000);
    assert_int_equal(t.told, 1);
    assert_int_equal(t.tx.want, want_bit(0, 0) | want_bit(1, 0));
    assert_int_equal(t.tx.consumer.want, want_bit(0, 0) | want_bit(1, 0));
    for (unsigned i = 0; i < 3; i++) /* nothing more to spare */
        pipe_tx_report(&t.tx, 1000, 200, 100, now_us += 1000000);
    assert_int_equal(t.told, 1);
    pipe_tx_report(&t.tx, 1000, 0, 0, now_us += TX_WIDEN_US / 2);
    assert_int_equal(t.told, 1);
    pipe_tx_report(&t.tx, 1000, 0, 0, now_us += TX_WIDEN_US);
    assert_int_equal(t.told, 2);
    assert_int_equal(t.allowed, UINT64_MAX);
    assert_int_equal(t.tx.want, both);
    pipe_tx_close(&t.tx);
}

/* ---- Allocation ------------------------------------------------------------------------------ */

struct pump {
    struct timer timer;
    struct pair *p;
    uint64_t seq;
    size_t left;
};

static void on_pump(struct timer *t, uint64_t now_us)
{
    struct pump *pump = container_of(t, struct pump, timer);

    (void)now_us;
    for (unsigned i = 0; i < 50 && pump->left; i++, pump->left--, pump->seq++)
        pair_push(pump->p, 0, 0, pump->seq, pump->seq % 300 == 0);
    if (pump->left)
        timer_start(t, 0);
}

/* n packets through the pipe; returns how often memory was allocated meanwhile. */
static size_t pump_through(struct pump *pump, size_t n)
{
    struct pair *p = pump->p;
    size_t before = count_allocs();

    pump->left = n;
    timer_start(&pump->timer, 0);
    pair_until_size(p, &p->sink.n, n);
    size_t allocs = count_allocs() - before;
    for (size_t i = 0; i < p->sink.n; i++)
        packet_unref(&p->sink.packets[i]);
    p->sink.n = 0;
    return allocs;
}

/* In stretches, because pings on the control connection, four a second, do allocate. */
static void ten_thousand_packets_allocate_nothing(void **state)
{
    struct pair *p = *state;
    struct pump pump = {.p = p, .seq = 100000};
    unsigned clean = 0;

    assert_int_equal(pool_reserve(p->parent_pool, PAIR_POOL), 0);
    assert_int_equal(pool_reserve(p->child_pool, PAIR_POOL), 0);
    timer_init(&pump.timer, p->loop.w, on_pump);
    pair_publish(p, 1);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){.want = want_bit(0, 0)});
    pair_until(p, &p->sink.subscribed, 1);
    pair_run_for(p, 20000);
    for (unsigned i = 0; i < 22; i++)
        pump_through(&pump, 1000); /* the cache grows to its cap */
    for (unsigned i = 0; i < 200 && clean < 20; i++)
        clean += pump_through(&pump, 500) == 0;
    assert_int_equal(clean, 20);
}

/* ---- Parents that fail ----------------------------------------------------------------------- */

struct mute {
    struct conn_listener *listener;
    struct conn *conn;
    unsigned closed;
};

static void mute_on_open(void *arg)
{
    static const uint8_t hello[] = "\0\0\0\x0a\x0a\x08\x08\1\x12\4mute";

    conn_write(((struct mute *)arg)->conn, hello, sizeof(hello) - 1);
}

static void mute_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    (void)arg;
    (void)bytes;
    (void)len;
}

static void mute_on_close(void *arg, int err)
{
    (void)err;
    ((struct mute *)arg)->closed++;
}

static const struct conn_ops mute_ops = {
    .on_open = mute_on_open, .on_data = mute_on_data, .on_close = mute_on_close};

static void mute_on_accept(void *arg, struct conn *c)
{
    struct mute *m = arg;

    m->conn = c;
    conn_set_ops(c, &mute_ops, m);
}

static void a_parent_that_answers_nothing_is_lost_within_a_second(void **state)
{
    struct pair *p = *state;
    struct mute mute = {0};
    struct addr local;
    char text[ADDR_TEXT_CAP];

    pki_make_cert(p->folder, "parent", "ca", "mute");
    struct tls_ctx *tls = pair_make_tls(p->folder, TLS_MUTUAL_SERVER, "parent");
    assert_int_equal(addr_parse(&local, "127.0.0.1:0"), 0);
    assert_int_equal(conn_listen(&mute.listener, p->loop.w, &local, false, tls, mute_on_accept, &mute), 0);
    conn_listener_local(mute.listener, &local);
    pair_subscribe(p, &p->sink, &(struct pipe_subscribe_cfg){
        .parent_id = "mute", .parent_address = addr_print(&local, text), .want = want_bit(0, 0)});
    pair_until_set(p, &p->sink.lost);
    assert_int_equal(p->sink.lost, PIPE_LOST_SILENCE);
    pair_until(p, &mute.closed, 1);
    conn_listener_close(&mute.listener);
    tls_ctx_unref(&tls);
}

/* Its control connection may wait for a segment that was lost. */
static void a_parent_whose_media_stop_is_greeted_before_it_is_called_lost(void **state)
{
    struct pair *p = *state;

    pair_publish(p, 1);
    pair_join(p);
    pair_until(p, &p->sink.subscribed, 1);
    pair_push_run(p, 100000, 20, 20, 20);
    pair_until_size(p, &p->sink.n, 20);
    pair_run_for(p, 20000);
    pair_path()->keep = true;
    pair_path()->feedback_len = 0;
    while (pair_path()->feedback_len == 0 && p->sink.lost == 0)
        pair_run_for(p, 10000);
    assert_true(pair_path()->feedback_len > 0); /* a parent that is lost is told nothing any more */
}

static void datagrams_that_do_not_come_through_are_noticed_though_control_lives(void **state)
{
    struct pair *p = *state;

    pair_path()->deaf = true;
    pair_publish(p, 1);
    pair_join(p);
    pair_until_set(p, &p->sink.lost);
    assert_int_equal(p->sink.lost, PIPE_LOST_MEDIA);
    pair_run_for(p, 20000);
    assert_int_equal(pipe_server_counters(p->server).subscriptions, 0);
    assert_int_equal(pipe_server_counters(p->server).connections, 1); /* others may play on it */
}

#define PAIR_TEST(f) cmocka_unit_test_setup_teardown(f, pair_setup, pair_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PAIR_TEST(a_pipe_that_loses_persistently_is_thinned_from_the_highest_layer),
        PAIR_TEST(ten_thousand_packets_allocate_nothing),
        PAIR_TEST(a_parent_that_answers_nothing_is_lost_within_a_second),
        PAIR_TEST(a_parent_whose_media_stop_is_greeted_before_it_is_called_lost),
        PAIR_TEST(datagrams_that_do_not_come_through_are_noticed_though_control_lives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
