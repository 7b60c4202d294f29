/* SPDX-License-Identifier: Apache-2.0
 * sim_receive.c - a publisher behind a bad network: what rtp_receiver and its NACKs make of it. Virtual clock; every
 * network is drawn from a seed, which is printed when a check fails (run it alone: test_sim_receive SEED). */
#include "net.h"
#include "../seed.h"

#include "webrtc/rtp_receiver.h"
#include "wire/rtp_write.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SEEDS = 2000, PACKETS = 1200, INTERVAL_US = 3000, SSRC = 1, RTX_SSRC = 2, PT = 96, RTX_PT = 97, PAYLOAD = 200 };

struct sim {
    struct rng rng;
    struct net there, back;
    struct rtp_clock clock;
    struct rtp_receiver r;
    uint16_t first_seq, rtx_seq;
    uint64_t now_us, given_up, sent_again, duplicates;
    uint8_t came[PACKETS];
};

static void on_give_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct sim *s = arg;

    assert_true(first <= last);
    s->given_up += n;
}

static void send_packet(struct sim *s, uint64_t n, bool rtx)
{
    uint8_t d[12 + 2 + PAYLOAD];
    struct rtp_header h = {.ssrc = rtx ? RTX_SSRC : SSRC, .pt = rtx ? RTX_PT : PT, .ts_ticks = (uint32_t)(n * 270),
                           .seq = (uint16_t)(rtx ? s->rtx_seq++ : s->first_seq + n)};
    int len = rtp_header_write(d, sizeof(d), &h);
    uint16_t osn = (uint16_t)(s->first_seq + n);

    assert_int_equal(len, 12);
    if (rtx) {
        d[len++] = (uint8_t)(osn >> 8);
        d[len++] = (uint8_t)osn;
        s->sent_again++;
    }
    memset(d + len, (int)(n & 0xff), PAYLOAD);
    net_send(&s->there, s->now_us, d, (size_t)len + PAYLOAD);
}

static void receive(struct sim *s, const struct net_datagram *d)
{
    struct rtp_view v;
    struct rtp_arrival a;
    bool rtx;

    assert_int_equal(rtp_view_parse(&v, d->bytes, d->len), RTP_OK);
    rtx = v.ssrc == RTX_SSRC;
    if (rtx)
        assert_int_equal(rtx_unwrap(&v, SSRC, PT), 0);
    enum rtp_push_result result = rtp_receiver_push(&s->r, &v, rtx, s->now_us, s->now_us, &a);
    s->duplicates += result == RTP_PUSH_DUPLICATE;
    if (result != RTP_PUSH_NEW)
        return;
    /* The first to arrive need not be the first sent; the receiver counts from it. */
    uint16_t n16 = (uint16_t)(v.seq - s->first_seq);
    assert_true(n16 < PACKETS);
    assert_int_equal((uint16_t)a.seq, v.seq);
    assert_int_equal((uint32_t)a.ts_ticks, (uint32_t)(n16 * 270));
    assert_int_equal(v.payload_len, PAYLOAD);
    assert_int_equal(v.payload[PAYLOAD - 1], n16 & 0xff);
    assert_int_equal(s->came[n16], 0); /* nothing comes out twice */
    s->came[n16] = 1;
}

static void send_nacks(struct sim *s)
{
    uint16_t seqs[256];
    uint8_t buf[1200];
    size_t n = rtp_receiver_poll_nack(&s->r, s->now_us, seqs, LEN(seqs));

    for (size_t done = 0; done < n;) {
        struct writer w = writer_init(buf, sizeof(buf));
        size_t taken = rtcp_nack_write(&w, 99, SSRC, seqs + done, n - done);
        assert_true(taken > 0 && !w.bad);
        net_send(&s->back, s->now_us, buf, writer_len(&w));
        done += taken;
    }
}

static void answer_nacks(struct sim *s, const struct net_datagram *d, uint64_t sent)
{
    struct rtcp_walk walk = rtcp_walk_init(d->bytes, d->len);
    struct rtcp_packet p;
    struct rtcp_nack nack;
    uint16_t seq;

    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(rtcp_nack_parse(&nack, &p), RTCP_OK);
    while (rtcp_nack_next(&nack, &seq)) {
        uint16_t n = (uint16_t)(seq - s->first_seq);
        assert_true(n < sent); /* nothing is asked for that was not sent */
        send_packet(s, n, true);
    }
}

static void run(struct sim *s)
{
    struct net_datagram *d;
    uint64_t sent = 0, end_us = (uint64_t)PACKETS * INTERVAL_US + 6000000;

    while (s->now_us < end_us) {
        uint64_t next = sent < PACKETS ? sent * INTERVAL_US : end_us;
        next = earliest(next, earliest(net_due_us(&s->there), net_due_us(&s->back)));
        next = earliest(next, rtp_receiver_due_us(&s->r));
        s->now_us = next > s->now_us ? next : s->now_us;
        while (sent < PACKETS && sent * INTERVAL_US <= s->now_us)
            send_packet(s, sent++, false);
        while ((d = net_pop(&s->there, s->now_us))) {
            receive(s, d);
            free(d);
        }
        while ((d = net_pop(&s->back, s->now_us))) {
            answer_nacks(s, d, sent);
            free(d);
        }
        send_nacks(s);
    }
    net_drain(&s->there);
    net_drain(&s->back);
}

static struct sim *sim_create(uint64_t seed, const struct net_cfg *there, const struct net_cfg *back)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->rng.state = seed;
    s->there = (struct net){.cfg = *there, .rng = &s->rng};
    s->back = (struct net){.cfg = *back, .rng = &s->rng};
    s->first_seq = (uint16_t)rng_next(&s->rng);
    s->rtx_seq = (uint16_t)rng_next(&s->rng);
    rtp_receiver_init(&s->r, &(struct rtp_receiver_cfg){.ssrc = SSRC, .clock_hz = 90000, .clock = &s->clock,
                      .nack = {.max_age_us = 4000000, .on_give_up = on_give_up, .arg = s}});
    return s;
}

/* The packets before the first that arrived cannot be known to have been sent. */
static uint64_t holes(const struct sim *s)
{
    uint64_t first = 0, n = 0;

    while (first < PACKETS && !s->came[first])
        first++;
    for (uint64_t i = first; i < PACKETS; i++)
        n += !s->came[i];
    return n;
}

static void what_is_lost_is_repaired_on_any_network(void **state)
{
    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : SEEDS); seed++) {
        struct rng draw = {seed};
        struct net_cfg there = {.delay_us = 500 + rng_below(&draw, 100000), .jitter_us = rng_below(&draw, 40000),
                                .loss = rng_below(&draw, 1500), .duplicate = rng_below(&draw, 500)};
        struct net_cfg back = {.delay_us = there.delay_us, .jitter_us = rng_below(&draw, 20000), .loss = rng_below(&draw, 1000)};
        struct sim *s = sim_create(seed, &there, &back);
        struct rtcp_report_block report;
        running_seed = seed;
        run(s);
        const struct nack_counters *c = &s->r.nack.counters;
        assert_int_equal(nack_gen_missing(&s->r.nack), 0);
        assert_in_range(holes(s), 0, s->given_up + 40); /* the tail: nothing higher comes to tell of it */
        assert_in_range(s->given_up, 0, 4);
        assert_int_equal(c->given_up, s->given_up);
        assert_true(c->requested <= c->missed * NACK_TRIES_MAX);
        assert_int_equal(c->missed, c->recovered + c->reordered + c->given_up);
        assert_true(rtp_receiver_report(&s->r, s->now_us, &report));
        assert_int_equal(report.lost_total, rtp_receiver_lost(&s->r));
        /* asking twice for one is rare where the way is steady */
        if (there.jitter_us < 2000 && back.jitter_us < 2000 && there.loss < 300 && back.loss < 300)
            assert_true(c->requested <= c->missed + c->missed / 4 + 10);
        free(s);
    }
    running_seed = 0;
}

static void reordering_within_the_window_asks_for_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 500; seed++) {
        struct net_cfg there = {.delay_us = 20000, .jitter_us = 4900, .duplicate = 300}, back = {0};
        struct sim *s = sim_create(seed, &there, &back);
        running_seed = seed;
        run(s);
        assert_int_equal(s->r.nack.counters.requested, 0);
        assert_int_equal(s->sent_again, 0);
        assert_int_equal(holes(s), 0);
        free(s);
    }
    running_seed = 0;
}

static void nobody_answering_is_given_up_and_costs_ten_tries_at_most(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct net_cfg there = {.delay_us = 5000, .loss = 500}, back = {.loss = 10000};
        struct sim *s = sim_create(seed, &there, &back);
        running_seed = seed;
        run(s);
        const struct nack_counters *c = &s->r.nack.counters;
        assert_int_equal(c->given_up, c->missed);
        assert_int_equal(c->requested, c->missed * NACK_TRIES_MAX);
        assert_int_equal(rtp_receiver_lost(&s->r), c->missed);
        free(s);
    }
    running_seed = 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_is_lost_is_repaired_on_any_network, tell_seed),
        cmocka_unit_test_teardown(reordering_within_the_window_asks_for_nothing, tell_seed),
        cmocka_unit_test_teardown(nobody_answering_is_given_up_and_costs_ten_tries_at_most, tell_seed),
    };

    take_seed(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
