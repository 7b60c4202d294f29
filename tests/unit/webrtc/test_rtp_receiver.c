/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_receiver.c - the arithmetic of RFC 3550 on one incoming stream; see webrtc/rtp_receiver.h. */
#include "webrtc/rtp_receiver.h"

#include "media/packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define UNIX0 UINT64_C(1767225600000000) /* some wall clock, us */
#define NTP_OFFSET_US UINT64_C(2208988800000000)

static uint64_t ntp_of(uint64_t unix_us)
{
    uint64_t us = unix_us + NTP_OFFSET_US;

    return us / 1000000 << 32 | (us % 1000000 << 32) / 1000000;
}

static struct rtp_receiver *receiver(struct rtp_clock *clock, uint32_t hz)
{
    struct rtp_receiver *r = malloc(sizeof(*r));

    assert_non_null(r);
    rtp_receiver_init(r, &(struct rtp_receiver_cfg){.ssrc = 0x1234, .clock_hz = hz, .clock = clock});
    return r;
}

static enum rtp_push_result push(struct rtp_receiver *r, uint16_t seq, uint32_t ts, uint64_t at_us,
                                 struct rtp_arrival *a)
{
    struct rtp_view v = {.seq = seq, .ts_ticks = ts, .ssrc = 0x1234, .payload_len = 100};

    return rtp_receiver_push(r, &v, false, at_us, UNIX0 + at_us, a);
}

/* ---- numbering ------------------------------------------------------------------------------------------ */

#define FIRST ((uint64_t)PACKET_SEQ_FIRST)
#define OF(cycle, seq) (FIRST + ((uint64_t)(cycle) << 16) + (seq))

struct arrival {
    uint16_t seq;
    enum rtp_push_result result;
    uint64_t extended;
    bool late;
};

static const struct {
    const char *name;
    struct arrival v[8];
    size_t n;
    uint64_t lost;
    uint32_t highest; /* as reported: cycles << 16 | seq */
} numberings[] = {
    {"in order", {{7, 0, OF(0, 7), 0}, {8, 0, OF(0, 8), 0}}, 2, 0, 8},
    {"over the wrap", {{65535, 0, OF(0, 65535), 0}, {0, 0, OF(1, 0), 0}, {1, 0, OF(1, 1), 0}}, 3, 0, 0x10001},
    {"late over the wrap", {{65534, 0, OF(0, 65534), 0}, {1, 0, OF(1, 1), 0}, {65535, 0, OF(0, 65535), 1}}, 3, 1, 0x10001},
    {"before the first at a wrap", {{0, 0, OF(0, 0), 0}, {65535, 0, FIRST - 1, 1}}, 2, 0, 0},
    {"duplicate", {{7, 0, OF(0, 7), 0}, {7, RTP_PUSH_DUPLICATE, 0, 0}}, 2, 0, 7},
    {"three lost", {{7, 0, OF(0, 7), 0}, {11, 0, OF(0, 11), 0}}, 2, 3, 11},
    {"MAX_DROPOUT ahead is loss", {{7, 0, OF(0, 7), 0}, {3007, 0, OF(0, 3007), 0}}, 2, 2999, 3007},
    {"one far ahead is noise", {{7, 0, OF(0, 7), 0}, {3008, RTP_PUSH_FAR, 0, 0}, {8, 0, OF(0, 8), 0}}, 3, 0, 8},
    {"two far ahead are a jump",
     {{7, 0, OF(0, 7), 0}, {20000, RTP_PUSH_FAR, 0, 0}, {20001, 0, OF(0, 20001), 0}}, 3, 19993, 20001},
    {"two far behind are a restart: numbers only grow",
     {{20000, 0, OF(0, 20000), 0}, {50, RTP_PUSH_FAR, 0, 0}, {51, 0, OF(1, 51), 0}}, 3, 45586, 0x10033},
    {"noise, order, then noise again is no restart",
     {{7, 0, OF(0, 7), 0}, {9000, RTP_PUSH_FAR, 0, 0}, {8, 0, OF(0, 8), 0}, {9001, RTP_PUSH_FAR, 0, 0}}, 4, 0, 8},
};

static void numbers_are_extended_and_counted_as_the_rfc_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(numberings); i++) {
        struct rtp_clock clock = {0};
        struct rtp_receiver *r = receiver(&clock, 90000);
        struct rtcp_report_block b;
        print_message("  %s\n", numberings[i].name);
        assert_false(rtp_receiver_report(r, 0, &b));
        for (size_t k = 0; k < numberings[i].n; k++) {
            const struct arrival *want = &numberings[i].v[k];
            struct rtp_arrival a = {0};
            assert_int_equal(push(r, want->seq, 1000, k * 1000, &a), want->result);
            assert_int_equal(a.seq, want->extended);
            assert_int_equal(a.late, want->late);
        }
        assert_int_equal(rtp_receiver_lost(r), numberings[i].lost);
        assert_true(rtp_receiver_report(r, 0, &b));
        assert_int_equal(b.ssrc, 0x1234);
        assert_int_equal(b.highest_seq, numberings[i].highest);
        assert_int_equal(b.lost_total, numberings[i].lost);
        assert_int_equal(b.lsr, 0);
        assert_int_equal(b.dlsr, 0);
        free(r);
    }
}

static void timestamps_are_extended_over_the_wrap_and_back(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtp_arrival a;
    const uint64_t base = (uint64_t)1 << 32;

    (void)state;
    push(r, 1, 0xfffffff0, 0, &a);
    assert_int_equal(a.ts_ticks, base + 0xfffffff0);
    push(r, 3, 0x10, 0, &a);
    assert_int_equal(a.ts_ticks, 2 * base + 0x10);
    push(r, 2, 0xffffffff, 0, &a);
    assert_int_equal(a.ts_ticks, base + 0xffffffff);
    free(r);
}

/* ---- reports ---------------------------------------------------------------------------------------------- */

static void the_lost_fraction_is_of_the_interval_since_the_last_report(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtcp_report_block b;
    struct rtp_arrival a;

    (void)state;
    for (uint16_t s = 0; s < 100; s++)
        if (s % 4 != 3) /* 75 of 99: 3, 7, ... 95 are lost; 99 has not been heard of */
            push(r, s, s, s, &a);
    assert_true(rtp_receiver_report(r, 0, &b));
    assert_int_equal(b.lost_total, 24);
    assert_int_equal(b.lost_fraction, 24 * 256 / 99);
    for (uint16_t s = 99; s < 199; s++)
        push(r, s, s, s, &a);
    assert_true(rtp_receiver_report(r, 0, &b));
    assert_int_equal(b.lost_total, 24);
    assert_int_equal(b.lost_fraction, 0);
    push(r, 3, 3, 0, &a); /* a retransmission makes up for one of the past */
    assert_true(rtp_receiver_report(r, 0, &b));
    assert_int_equal(b.lost_total, 23);
    assert_int_equal(b.lost_fraction, 0);
    free(r);
}

static void all_lost_but_the_last_is_nearly_256_of_256(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtcp_report_block b;
    struct rtp_arrival a;

    (void)state;
    push(r, 0, 0, 0, &a);
    assert_true(rtp_receiver_report(r, 0, &b));
    push(r, 3000, 0, 0, &a);
    assert_true(rtp_receiver_report(r, 0, &b));
    assert_int_equal(b.lost_fraction, 255);
    free(r);
}

static void jitter_goes_a_sixteenth_of_each_difference(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 8000);
    struct rtcp_report_block b;
    struct rtp_arrival a;
    uint64_t expect_x16 = 0;

    (void)state;
    for (uint16_t s = 0; s < 200; s++) { /* 20 ms packets, every second one 4 ms late: |D| is 32 ticks each time */
        push(r, s, s * 160u, s * 20000u + (s % 2) * 4000u, &a);
        if (s)
            expect_x16 += 32 - ((expect_x16 + 8) >> 4);
    }
    assert_true(rtp_receiver_report(r, 0, &b));
    assert_int_equal(b.jitter_ticks, expect_x16 >> 4);
    assert_in_range(b.jitter_ticks, 30, 32);
    free(r);
}

static void a_sender_report_is_answered_with_its_middle_and_the_delay_since(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtcp_report_block b;
    struct rtp_arrival a;
    struct rtcp_report sr = {.sender = true, .ssrc = 0x1234, .ntp = UINT64_C(0x1122334455667788), .ts_ticks = 500};

    (void)state;
    push(r, 0, 0, 0, &a);
    rtp_receiver_on_sr(r, &sr, 1000000, UNIX0 + 1000000);
    assert_true(rtp_receiver_report(r, 2500000, &b));
    assert_int_equal(b.lsr, 0x33445566);
    assert_int_equal(b.dlsr, 3 * 65536 / 2);
    free(r);
}

/* ---- capture time ------------------------------------------------------------------------------------------- */

static void capture_time_is_arrival_until_a_report_tells_better(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtp_arrival a;

    (void)state;
    push(r, 0, 90000, 0, &a);
    assert_int_equal(a.capture_us, UNIX0);
    push(r, 1, 90000 + 3000, 50000, &a); /* late on its way: the line holds */
    assert_int_equal(a.capture_us, UNIX0 + 33333);
    free(r);
}

/* Both tracks of a publisher whose clock is 1,000 s off; audio takes 10 ms to us and video 150 ms. */
static void two_tracks_come_into_step_without_a_step(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *audio = receiver(&clock, 48000), *video = receiver(&clock, 90000);
    const int64_t off_us = 1000000000;
    uint64_t before = 0;
    struct rtp_arrival a, v;

    (void)state;
    for (uint64_t t = 0; t < 6000000; t += 20000) {
        uint16_t n = (uint16_t)(t / 20000);
        assert_int_equal(push(audio, n, (uint32_t)(t * 48 / 1000), t + 10000, &a), RTP_PUSH_NEW);
        assert_int_equal(push(video, n, (uint32_t)(t * 90 / 1000), t + 150000, &v), RTP_PUSH_NEW);
        assert_true(v.capture_us > before);
        assert_true(before == 0 || v.capture_us - before <= 21001);
        before = v.capture_us;
        if (n % 50 == 10) {
            uint64_t ntp = ntp_of(UNIX0 + t - (uint64_t)off_us);
            rtp_receiver_on_sr(audio, &(struct rtcp_report){.ntp = ntp, .ts_ticks = (uint32_t)(t * 48 / 1000)},
                               t + 10000, UNIX0 + t + 10000);
            rtp_receiver_on_sr(video, &(struct rtcp_report){.ntp = ntp, .ts_ticks = (uint32_t)(t * 90 / 1000)},
                               t + 150000, UNIX0 + t + 150000);
        }
    }
    int64_t apart = (int64_t)(a.capture_us - v.capture_us);
    assert_in_range(apart + 2000, 0, 4000);
    assert_in_range(a.capture_us - UNIX0, 5980000, 5995000); /* within the quickest way here of the truth */
    free(audio);
    free(video);
}

static void a_clock_that_was_set_is_taken_over_at_once(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtp_arrival a;

    (void)state;
    push(r, 0, 0, 0, &a);
    rtp_receiver_on_sr(r, &(struct rtcp_report){.ntp = ntp_of(UNIX0), .ts_ticks = 0}, 0, UNIX0);
    /* ten seconds of wall clock, but the timestamps ran for twenty: the line is far off and is moved */
    push(r, 1, 20 * 90000, 10000000, &a);
    rtp_receiver_on_sr(r, &(struct rtcp_report){.ntp = ntp_of(UNIX0 + 10000000), .ts_ticks = 20 * 90000}, 10000000,
                       UNIX0 + 10000000);
    assert_in_range(rtp_receiver_capture_us(r, a.ts_ticks), UNIX0 + 9999990, UNIX0 + 10000010);
    free(r);
}

/* ---- RTX ------------------------------------------------------------------------------------------------------- */

static void a_retransmission_is_unwrapped_into_its_original(void **state)
{
    static const uint8_t bytes[] = {0x12, 0x34, 0xaa, 0xbb};
    static const struct {
        size_t len;
        int result;
    } rows[] = {{0, -1}, {1, -1}, {2, -1}, {3, 0}, {4, 0}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = malloc(rows[i].len ? rows[i].len : 1);
        assert_non_null(exact);
        memcpy(exact, bytes, rows[i].len);
        struct rtp_view v = {.payload = exact, .payload_len = rows[i].len, .seq = 9, .ts_ticks = 77, .ssrc = 1, .pt = 97,
                             .marker = true};
        assert_int_equal(rtx_unwrap(&v, 42, 96), rows[i].result);
        bool ok = rows[i].result == 0;
        assert_int_equal(v.seq, ok ? 0x1234 : 9);
        assert_int_equal(v.ssrc, ok ? 42 : 1);
        assert_int_equal(v.pt, ok ? 96 : 97);
        assert_int_equal(v.payload_len, ok ? rows[i].len - 2 : rows[i].len);
        assert_ptr_equal(v.payload, ok ? exact + 2 : exact);
        assert_int_equal(v.ts_ticks, 77);
        assert_true(v.marker);
        free(exact);
    }
}

static void what_is_missing_is_asked_for_by_its_16_bit_number(void **state)
{
    struct rtp_clock clock = {0};
    struct rtp_receiver *r = receiver(&clock, 90000);
    struct rtp_arrival a;
    uint16_t out[256];

    (void)state;
    push(r, 65500, 0, 0, &a);
    assert_int_equal(rtp_receiver_due_us(r), UINT64_MAX);
    push(r, 100, 0, 0, &a);
    assert_true(rtp_receiver_due_us(r) <= 5000);
    assert_int_equal(rtp_receiver_poll_nack(r, 5000, out, LEN(out)), 135);
    for (size_t i = 0; i < 135; i++)
        assert_int_equal(out[i], (uint16_t)(65501 + i));
    assert_int_equal(rtp_receiver_poll_nack(r, 5000, out, LEN(out)), 0);
    free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_extended_and_counted_as_the_rfc_says),
        cmocka_unit_test(timestamps_are_extended_over_the_wrap_and_back),
        cmocka_unit_test(the_lost_fraction_is_of_the_interval_since_the_last_report),
        cmocka_unit_test(all_lost_but_the_last_is_nearly_256_of_256),
        cmocka_unit_test(jitter_goes_a_sixteenth_of_each_difference),
        cmocka_unit_test(a_sender_report_is_answered_with_its_middle_and_the_delay_since),
        cmocka_unit_test(capture_time_is_arrival_until_a_report_tells_better),
        cmocka_unit_test(two_tracks_come_into_step_without_a_step),
        cmocka_unit_test(a_clock_that_was_set_is_taken_over_at_once),
        cmocka_unit_test(a_retransmission_is_unwrapped_into_its_original),
        cmocka_unit_test(what_is_missing_is_asked_for_by_its_16_bit_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
