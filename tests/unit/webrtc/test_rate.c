/* SPDX-License-Identifier: Apache-2.0
 * test_rate.c - what sending is steered with, part by part: numbers sent, pacer, fallbacks of the estimator; all of it together is
 * in tests/sim/gcc. */
#include "base/writer.h"
#include "webrtc/gcc.h"
#include "webrtc/pacer.h"
#include "webrtc/remb.h"
#include "wire/rtp_ext.h"
#include "webrtc/resend_watch.h"
#include "webrtc/twcc_send.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* ---- twcc_send.h ------------------------------------------------------------------------------------------- */

/* What the sender makes of a feedback about n packets from seq on; those whose bit in lost is set are said to be missing. */
static size_t feed(struct twcc_send *t, uint16_t seq, size_t n, unsigned lost, int64_t arrival_us, struct twcc_result *out)
{
    struct rtcp_twcc_arrival a[16];
    uint8_t buf[256];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtcp_packet p;
    struct twcc_walk f = {0};
    size_t results = 0;

    for (size_t i = 0; i < n; i++)
        a[i] = (struct rtcp_twcc_arrival){.arrival_us = arrival_us + (int64_t)i * 1000, .seq = (uint16_t)(seq + i),
                                          .received = !(lost >> i & 1)};
    assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, a, n), n);
    struct rtcp_walk walk = rtcp_walk_init(buf, writer_len(&w));
    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(rtcp_twcc_parse(&f.feedback, &p), RTCP_OK);
    while (twcc_send_next(t, &f, 5000000, &out[results]))
        results++;
    return results;
}

static void feedback_finds_what_was_sent_over_the_wrap(void **state)
{
    struct twcc_send *t = malloc(sizeof(*t));
    struct twcc_result r[16];

    (void)state;
    assert_non_null(t);
    twcc_send_init(t, 65534);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(twcc_send_push(t, 100 + i, (uint8_t)i, 1000000 + i * 10000), (uint16_t)(65534 + i));
    assert_int_equal(feed(t, 65534, 6, 2, 64000000, r), 4); /* two more than were sent */
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(r[i].bytes, 100 + i);
        assert_int_equal(r[i].probe, i);
        assert_int_equal(r[i].sent_us, (1000000 + i * 10000) / 64 * 64);
        assert_int_equal(r[i].received, i != 1);
        assert_false(r[i].was_lost);
        if (i != 1)
            assert_int_equal(r[i].arrival_us, 64000000 + i * 1000);
    }
    assert_int_equal(feed(t, 65534, 4, 0, 64000000, r), 1); /* the same again: only the one that was missing is news */
    assert_int_equal(r[0].bytes, 101);
    assert_true(r[0].received && r[0].was_lost);
    assert_int_equal(feed(t, 65534, 4, 0, 64000000, r), 0);
    free(t);
}

/* Pictures of which some packets are lost; the second feedback is no news. */
static void what_left_and_came_together_is_told_together(void **state)
{
    enum { N = 60 };
    struct twcc_send *t = malloc(sizeof(*t));
    uint64_t now_us = 1000000, random = 7;
    uint32_t told[2] = {0}, bytes[2] = {0}, want_bytes[2] = {0};
    struct rtcp_twcc_arrival a[N];
    struct twcc_result r;
    size_t results = 0;

    (void)state;
    assert_non_null(t);
    twcc_send_init(t, 65500);
    for (uint16_t i = 0; i < N; i++) {
        random = random * 6364136223846793005u + 1;
        now_us += i % 8 == 0 ? 33000 : 0; /* a picture's packets leave together, those of a probe between them */
        twcc_send_push(t, 100 + i, i == 20 ? 3 : 0, now_us);
        a[i] = (struct rtcp_twcc_arrival){(int64_t)now_us + (i % 8 > 5 ? 500 : 0), (uint16_t)(65500 + i), random >> 60 != 0};
        want_bytes[a[i].received] += 100 + i;
    }
    for (int again = 0; again < 2; again++) {
        uint8_t buf[256];
        struct writer w = writer_init(buf, sizeof(buf));
        struct rtcp_packet p;
        struct twcc_walk walk = {0};
        assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, a, N), N);
        struct rtcp_walk all = rtcp_walk_init(buf, writer_len(&w));
        assert_int_equal(rtcp_walk_next(&all, &p), 1);
        assert_int_equal(rtcp_twcc_parse(&walk.feedback, &p), RTCP_OK);
        for (; twcc_send_next(t, &walk, now_us, &r); results++) {
            told[r.received] += r.packets;
            bytes[r.received] += r.bytes;
            assert_true(r.probe == 0 || (r.probe == 3 && r.packets == 1 && r.bytes == 120));
            assert_false(r.was_lost);
        }
        assert_int_equal(told[0] + told[1], N);
        assert_memory_equal(bytes, want_bytes, sizeof(bytes));
        assert_int_equal(t->flight_bytes, 0);
    }
    assert_in_range(results, N / 8 * 2, N / 2);
    for (uint16_t i = 0; i < N; i++)
        assert_int_equal(twcc_send_fate(t, (UINT64_C(1) << 16) + 65500 + i), a[i].received ? TWCC_RECEIVED : TWCC_LOST);
    free(t);
}

static void what_was_sent_too_long_ago_is_passed_over(void **state)
{
    struct twcc_send *t = malloc(sizeof(*t));
    struct twcc_result r[16];

    (void)state;
    assert_non_null(t);
    twcc_send_init(t, 0);
    for (unsigned i = 0; i < TWCC_SEND_SLOTS + 2; i++)
        twcc_send_push(t, 100, 0, 1000000);
    assert_int_equal(feed(t, 0, 4, 0, 64000000, r), 2);
    free(t);
}

/* ---- resend_watch.h ----------------------------------------------------------------------------------------- */

static void a_retransmission_that_is_lost_is_sent_again_unasked(void **state)
{
    struct twcc_send *t = malloc(sizeof(*t));
    struct resend_watch w = {0};
    struct twcc_result r[16];
    unsigned gave_up = 0;
    uint16_t seq;

    (void)state;
    assert_non_null(t);
    twcc_send_init(t, 0);
    for (uint16_t i = 0; i < 3; i++) {
        resend_watch_on_sent(&w, (uint16_t)(500 + i), t->next);
        twcc_send_push(t, 100, 0, 1000000);
    }
    for (uint16_t i = 0; i < 3; i++)
        assert_true(resend_watch_has(&w, t, (uint16_t)(500 + i))); /* asked for again: it is on its way */
    assert_false(resend_watch_has(&w, t, 503));
    assert_false(resend_watch_next(&w, t, &seq, &gave_up));
    assert_int_equal(feed(t, 0, 2, 2, 64000000, r), 2); /* the first came, the second did not */
    assert_true(resend_watch_next(&w, t, &seq, &gave_up));
    assert_int_equal(seq, 501);
    assert_false(resend_watch_next(&w, t, &seq, &gave_up)); /* told once */
    assert_false(resend_watch_has(&w, t, 500)); /* who asks for it now has lost it otherwise */
    assert_true(resend_watch_has(&w, t, 501));
    assert_true(resend_watch_has(&w, t, 502));
    resend_watch_drop(&w, 501);
    assert_false(resend_watch_has(&w, t, 501));
    resend_watch_clear(&w);
    assert_false(resend_watch_has(&w, t, 502));
    assert_int_equal(gave_up, 0);
    free(t);
}

static void what_is_lost_each_time_is_given_up_and_lost_feedback_proves_nothing(void **state)
{
    struct twcc_send *t = malloc(sizeof(*t));
    struct resend_watch w = {0};
    struct twcc_result r[16];
    unsigned gave_up = 0, again = 0;
    uint16_t seq;

    (void)state;
    assert_non_null(t);
    twcc_send_init(t, 0);
    do {
        resend_watch_on_sent(&w, 9, t->next);
        uint16_t number = twcc_send_push(t, 100, 0, 1000000);
        twcc_send_push(t, 100, 0, 1000000);
        assert_int_equal(feed(t, number, 2, 1, 64000000, r), 2);
    } while (resend_watch_next(&w, t, &seq, &gave_up) && ++again < 100);
    assert_int_equal(again, RESEND_WATCH_TRIES - 1);
    assert_int_equal(gave_up, 1);
    assert_int_equal(w.n, 0);

    resend_watch_on_sent(&w, 10, t->next);
    twcc_send_push(t, 100, 0, 1000000);
    uint16_t later = twcc_send_push(t, 100, 0, 1000000);
    assert_int_equal(feed(t, later, 1, 0, 64000000, r), 1); /* of the one before it nothing is heard any more */
    assert_false(resend_watch_has(&w, t, 10));
    assert_false(resend_watch_next(&w, t, &seq, &gave_up));
    assert_int_equal(gave_up, 1);
    assert_int_equal(w.n, 0);

    for (uint16_t i = 0; i < RESEND_WATCH_SLOTS + 1; i++) {
        resend_watch_on_sent(&w, i, t->next);
        twcc_send_push(t, 100, 0, 1000000);
    }
    assert_int_equal(w.n, RESEND_WATCH_SLOTS);
    assert_false(resend_watch_has(&w, t, 0)); /* the oldest made room */
    assert_true(resend_watch_has(&w, t, 1));
    free(t);
}

/* ---- pacer.h ------------------------------------------------------------------------------------------------- */

static void push(struct pacer *p, struct pool *pool, uint64_t now_us)
{
    struct packet *packet = packet_create(pool);

    assert_non_null(packet);
    packet->payload_len = 1000;
    assert_true(pacer_push(p, packet, now_us));
    packet_unref(&packet);
}

static unsigned pop_all(struct pacer *p, uint64_t now_us)
{
    struct packet *packet;
    unsigned n = 0;

    for (; (packet = pacer_pop(p, false, now_us)); n++) {
        pacer_on_sent(p, packet->payload_len);
        packet_unref(&packet);
    }
    return n;
}

static void a_burst_leaves_at_once_and_the_rest_at_the_pace(void **state)
{
    struct pacer *p = malloc(sizeof(*p));
    struct pool *pool;
    uint64_t now_us = 1000000;

    (void)state;
    assert_non_null(p);
    assert_int_equal(packet_pool_create(&pool, 256), 0);
    pacer_init(p, 800000, now_us); /* 2.5 times: 250 bytes a millisecond */
    assert_true(pacer_may_send(p, 60000, now_us));
    assert_true(pacer_due_us(p) == UINT64_MAX);
    for (int i = 0; i < 60; i++)
        push(p, pool, now_us);
    assert_false(pacer_may_send(p, 1000, now_us)); /* not before those that wait */
    assert_int_equal(pop_all(p, now_us), 10); /* 40 ms at that pace */
    assert_in_range(pacer_due_us(p), now_us + PACER_TURN_US, now_us + PACER_TURN_US + 4000);
    assert_int_equal(pop_all(p, now_us + 1000), 1); /* the last one just fits */
    assert_int_equal(pop_all(p, now_us + 2000), 0);
    assert_int_equal(pop_all(p, now_us + 100000), 10); /* the burst again, not 25 KB */
    assert_int_equal(pop_all(p, now_us + 600000), 39); /* waited half a second: out, whatever the pace */
    assert_true(pacer_due_us(p) == UINT64_MAX);
    push(p, pool, now_us + 600000);
    pacer_fini(p);
    pool_destroy(&pool);
    free(p);
}

/* What is left over of a frame goes along, as much as the pace lets go in a turn, 4 KiB at most. */
static void the_tail_of_a_frame_leaves_with_it(void **state)
{
    static const struct {
        uint64_t target_bps;
        unsigned packets, leave; /* of 1,000 bytes */
    } rows[] = {
        {10000000, 17, 17},
        {10000000, 20, 20}, /* 384 bytes of the burst, and 4 KiB are not exceeded by 3,000 */
        {10000000, 21, 17},
        {800000, 20, 10}, /* a burst is 10,000 bytes here, and 1,250 go in a turn */
        {800000, 11, 11},
        {800000, 12, 10},
        {100000, 4, 3},   /* 3,000 bytes at least */
    };
    struct pool *pool;

    (void)state;
    assert_int_equal(packet_pool_create(&pool, 64), 0);
    for (size_t i = 0; i < LEN(rows); i++) {
        struct pacer *p = malloc(sizeof(*p));
        unsigned sent = 0;
        assert_non_null(p);
        pacer_init(p, rows[i].target_bps, 1000000);
        for (; sent < rows[i].packets && pacer_may_send(p, (rows[i].packets - sent) * 1000, 1000000); sent++)
            pacer_on_sent(p, 1000);
        assert_int_equal(sent, rows[i].leave);
        pacer_refresh(p);
        for (sent = 0; sent < rows[i].packets; sent++)
            push(p, pool, 1000000);
        assert_int_equal(pop_all(p, 1000000), rows[i].leave); /* those that waited, alike */
        pacer_fini(p);
        free(p);
    }
    pool_destroy(&pool);
}

static void retransmissions_have_a_budget_of_their_own(void **state)
{
    struct pacer *p = malloc(sizeof(*p));
    struct pool *pool;
    struct pacer_resend r;
    unsigned n = 0;

    (void)state;
    assert_non_null(p);
    assert_int_equal(packet_pool_create(&pool, 16), 0);
    pacer_init(p, 800000, 1000000);
    for (uint16_t i = 0; i < PACER_RESENDS; i++)
        assert_true(pacer_push_resend(p, i, i & 1));
    assert_false(pacer_push_resend(p, 1, 0));
    push(p, pool, 1000000);
    for (; pacer_pop_resend(p, &r, 1000000); n++) {
        assert_int_equal(r.seq, n);
        assert_int_equal(r.track, n & 1);
        pacer_refresh(p);
        pacer_on_resent(p, 1000);
    }
    assert_int_equal(n, 33); /* 32 KiB, while video waits */
    assert_int_equal(pop_all(p, 1000000), 1);
    assert_true(pacer_pop_resend(p, &r, 1000000)); /* nothing else wants to leave */
    pacer_fini(p);
    pool_destroy(&pool);
    free(p);
}

/* ---- gcc.h ------------------------------------------------------------------------------------------------------ */

static void without_feedback_remb_and_reported_losses_count(void **state)
{
    struct gcc g;

    (void)state;
    gcc_init(&g, &(struct gcc_cfg){.start_bps = 10000000, .min_bps = 100000, .max_bps = 20000000});
    assert_string_equal(gcc_state_name(&g), "no feedback");
    assert_int_equal(gcc_target_bps(&g), 10000000);
    assert_int_equal(gcc_acked_bps(&g), 0);
    gcc_on_loss_report(&g, 128, 1000000); /* half: a fourth less */
    assert_int_equal(gcc_target_bps(&g), 7500000);
    gcc_on_loss_report(&g, 13, 2000000); /* 5 %: as it is */
    assert_int_equal(gcc_target_bps(&g), 7500000);
    gcc_on_loss_report(&g, 0, 3000000); /* 8 % a second up */
    assert_in_range(gcc_target_bps(&g), 8100000, 8102000);
    gcc_on_remb(&g, 600000);
    assert_int_equal(gcc_target_bps(&g), 600000);
    assert_string_equal(gcc_state_name(&g), "remb");
    gcc_on_remb(&g, 0);
    assert_int_equal(gcc_target_bps(&g), 100000);
    for (uint64_t i = 4; i < 60; i++)
        gcc_on_loss_report(&g, 0, i * 1000000);
    gcc_on_remb(&g, UINT64_MAX);
    assert_int_equal(gcc_target_bps(&g), 20000000);
}

/* Feedback of every packet from..to-1 but one in `lose`; 0: none is lost. */
static void hear(struct gcc *g, struct twcc_send *sent, uint16_t from, uint16_t to, uint16_t lose, uint64_t now_us)
{
    struct rtcp_twcc_arrival a[200];
    uint8_t buf[1200];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtcp_packet p;

    for (uint16_t i = from; i < to; i++)
        a[i - from] = (struct rtcp_twcc_arrival){.arrival_us = 64000000 + i * 5000, .seq = i, .received = !lose || i % lose};
    assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, a, (size_t)(to - from)), to - from);
    struct rtcp_walk walk = rtcp_walk_init(buf, writer_len(&w));
    assert_true(rtcp_walk_next(&walk, &p) > 0);
    assert_int_equal(gcc_on_feedback(g, sent, &p, now_us), RTCP_OK);
}

static void more_under_way_than_fits_pushes_back_and_silence_takes_away(void **state)
{
    struct twcc_send *sent = malloc(sizeof(*sent));
    struct gcc g;
    uint64_t now_us = 1000000;

    (void)state;
    gcc_init(&g, &(struct gcc_cfg){.start_bps = 1000000, .min_bps = 50000, .max_bps = 20000000});
    twcc_send_init(sent, 0);
    for (uint16_t i = 0; i < 100; i++, now_us += 5000)
        assert_int_equal(twcc_send_push(sent, 600, 0, now_us), i);
    assert_int_equal(sent->flight_bytes, 60000);
    hear(&g, sent, 0, 90, 3, now_us); /* lost or not, they are not under way */
    assert_int_equal(sent->flight_bytes, 6000);
    hear(&g, sent, 90, 100, 0, now_us);
    assert_int_equal(sent->flight_bytes, 0);
    gcc_poll(&g, 0, 0, now_us);
    uint64_t whole_bps = gcc_target_bps(&g);
    for (int i = 1; i <= 10; i++)
        gcc_poll(&g, 0, 200000, now_us + (uint64_t)i * 50000);
    assert_in_range(gcc_target_bps(&g), whole_bps * 34 / 100, whole_bps * 36 / 100); /* 0.9 to the tenth */
    gcc_poll(&g, 0, 0, now_us + 550000);
    assert_int_equal(gcc_target_bps(&g), whole_bps); /* all has arrived */
    for (int i = 1; i <= 3; i++)
        gcc_poll(&g, 0, 0, now_us + (uint64_t)i * 1000000);
    assert_in_range(gcc_target_bps(&g), whole_bps * 51 / 100 - 1, whole_bps * 52 / 100); /* 0.8 to the third */
    for (unsigned i = 0; i < 3 * TWCC_SEND_SLOTS; i++) /* never heard of */
        (void)twcc_send_push(sent, 600, 0, now_us);
    assert_int_equal(sent->flight_bytes, 600 * TWCC_SEND_SLOTS);
    free(sent);
}

/* ---- remb.h ------------------------------------------------------------------------------------------------------ */

static const uint64_t PACKET_BITS_US = 1200 * UINT64_C(8000000);

/* A sender that obeys, over a path of that many bits a second with a long queue, for some seconds. Returns what it was told
 * last; *queue_us: the longest that a packet waited in the last two seconds. */
static uint64_t obey(struct remb *r, uint64_t *now_us, uint64_t path_bps, uint64_t from_bps, unsigned seconds, uint64_t *queue_us)
{
    uint64_t end_us = *now_us + seconds * UINT64_C(1000000), free_us = *now_us, told_bps = from_bps, bps;

    *queue_us = 0;
    while (*now_us < end_us) {
        uint64_t sent_us = *now_us, rate_bps = told_bps < 2500000 ? told_bps : 2500000;
        free_us = (free_us > sent_us ? free_us : sent_us) + PACKET_BITS_US / path_bps;
        uint64_t arrival_us = free_us + 20000;
        remb_on_packet(r, rtp_ext_abs_send_time_of_us(sent_us), 1200, arrival_us);
        if (remb_poll(r, arrival_us, &bps))
            told_bps = bps;
        if (end_us - sent_us < 2000000 && free_us - sent_us > *queue_us)
            *queue_us = free_us - sent_us;
        *now_us += PACKET_BITS_US / rate_bps;
    }
    *now_us = free_us > *now_us ? free_us : *now_us;
    return told_bps;
}

static void a_publisher_without_transport_cc_is_told_what_its_path_carries(void **state)
{
    struct remb r;
    uint64_t now_us = 63000000, queue_us, bps; /* the send time wraps in the first second */

    (void)state;
    remb_init(&r);
    assert_int_equal(remb_due_us(&r), UINT64_MAX);
    bps = obey(&r, &now_us, 20000000, 2500000, 5, &queue_us);
    assert_true(bps >= 2500000); /* nothing is in its way */
    bps = obey(&r, &now_us, 1000000, bps, 8, &queue_us);
    assert_in_range(bps, 700000, 1200000);
    assert_true(queue_us < 500000);
    bps = obey(&r, &now_us, 20000000, bps, 20, &queue_us); /* 8 % a second */
    assert_true(bps >= 2000000);
    assert_true(remb_due_us(&r) != UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(feedback_finds_what_was_sent_over_the_wrap),
        cmocka_unit_test(what_left_and_came_together_is_told_together),
        cmocka_unit_test(what_was_sent_too_long_ago_is_passed_over),
        cmocka_unit_test(a_retransmission_that_is_lost_is_sent_again_unasked),
        cmocka_unit_test(what_is_lost_each_time_is_given_up_and_lost_feedback_proves_nothing),
        cmocka_unit_test(a_burst_leaves_at_once_and_the_rest_at_the_pace),
        cmocka_unit_test(the_tail_of_a_frame_leaves_with_it),
        cmocka_unit_test(retransmissions_have_a_budget_of_their_own),
        cmocka_unit_test(more_under_way_than_fits_pushes_back_and_silence_takes_away),
        cmocka_unit_test(a_publisher_without_transport_cc_is_told_what_its_path_carries),
        cmocka_unit_test(without_feedback_remb_and_reported_losses_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
