/* SPDX-License-Identifier: Apache-2.0
 * test_twcc.c - transport-wide feedback: chunks as in the draft's figures, and round trips. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "wire/rtcp.h"

/* sender 1, media 2, base 5, then count, reference time 3 x 64 ms, feedback 7 */
#define TWCC(words, count) "\x8f\xcd\0" words "\0\0\0\1\0\0\0\2\0\5\0" count "\0\0\3\7"

static const struct {
    const char *name, *pkt;
    size_t len;
    int err;
    const char *arrivals; /* each: '.' lost, or the ticks since the reference time */
} rows[] = {
    {"run of small deltas", BYTES(TWCC("\6", "\3") "\x20\3\4\0\1\0\0\0"), RTCP_OK, "4 4 5"},
    {"run of lost ones", BYTES(TWCC("\5", "\3") "\0\3\0\0"), RTCP_OK, ". . ."},
    {"run longer than the count is cut", BYTES(TWCC("\6", "\2") "\x20\x9\4\1\0\0\0\0"), RTCP_OK, "4 5"},
    {"large deltas go back in time", BYTES(TWCC("\6", "\2") "\x40\2\1\0\xff\xff\0\0"), RTCP_OK, "256 255"},
    {"one-bit vector", BYTES(TWCC("\6", "\4") "\xa8\0\4\1\0\0\0\0"), RTCP_OK, "4 . 5 ."},
    {"two-bit vector", BYTES(TWCC("\6", "\4") "\xd2\x40\4\0\6\1\0\0"), RTCP_OK, "4 . 10 11"},
    {"two chunks", BYTES(TWCC("\6", "\3") "\0\1\x20\2\1\2\0\0"), RTCP_OK, ". 1 3"},
    {"no status at all", BYTES(TWCC("\4", "\0")), RTCP_OK, ""},
    {"fixed part cut", BYTES("\x8f\xcd\0\3\0\0\0\1\0\0\0\2\0\5\0\1"), RTCP_ERR_SHORT, NULL},
    {"chunk missing", BYTES(TWCC("\4", "\1")), RTCP_ERR_SHORT, NULL},
    {"chunks do not reach the count", BYTES(TWCC("\5", "\x9") "\0\1\0\1"), RTCP_ERR_SHORT, NULL},
    {"delta missing", BYTES(TWCC("\5", "\3") "\x20\3\4\0"), RTCP_ERR_SHORT, NULL},
    {"empty run", BYTES(TWCC("\5", "\3") "\x20\0\4\0"), RTCP_ERR_VALUE, NULL},
    {"reserved symbol", BYTES(TWCC("\5", "\1") "\x60\1\4\0"), RTCP_ERR_VALUE, NULL},
};

static struct rtcp_packet first_packet(const uint8_t *bytes, size_t len)
{
    struct rtcp_walk walk = rtcp_walk_init(bytes, len);
    struct rtcp_packet p = {0};

    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(4 + p.body_len, len);
    return p;
}

static void each_feedback_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(rows[i].pkt, rows[i].len);
        struct rtcp_packet p = first_packet(exact, rows[i].len);
        struct rtcp_twcc t;
        struct rtcp_twcc_arrival a;
        char got[128] = "";
        size_t n = 0;
        uint16_t seq = 5;

        print_message("  %s\n", rows[i].name);
        assert_int_equal(rtcp_twcc_parse(&t, &p), rows[i].err);
        while (!rows[i].err && rtcp_twcc_next(&t, &a)) {
            assert_int_equal(a.seq, seq++);
            long ticks = (long)(a.arrival_us - 3 * 64000) / 250;
            if (a.received)
                n += (size_t)snprintf(got + n, sizeof(got) - n, "%s%ld", n ? " " : "", ticks);
            else
                n += (size_t)snprintf(got + n, sizeof(got) - n, "%s.", n ? " " : "");
        }
        if (!rows[i].err) {
            assert_string_equal(got, rows[i].arrivals);
            assert_int_equal(t.sender_ssrc, 1);
            assert_int_equal(t.media_ssrc, 2);
            assert_int_equal(t.feedback_count, 7);
        }
        free(exact);
    }
}

/* Write arrivals in as many packets as it takes, read them back, and compare to 250 us. */
static size_t round_trip(const struct rtcp_twcc_arrival *in, size_t count, size_t cap)
{
    size_t at = 0, packets = 0;

    while (at < count) {
        uint8_t *buf = malloc(cap);
        struct writer w = writer_init(buf, cap);
        size_t taken = rtcp_twcc_write(&w, 1, 2, (uint8_t)packets, in + at, count - at);
        struct rtcp_twcc t;
        struct rtcp_twcc_arrival a;

        assert_true(taken > 0);
        assert_false(w.bad);
        struct rtcp_packet p = first_packet(buf, writer_len(&w));
        assert_int_equal(rtcp_twcc_parse(&t, &p), RTCP_OK);
        assert_int_equal(t.status_count, taken);
        struct rtcp_twcc many = t;
        struct rtcp_twcc_run run = {0};
        for (size_t i = 0; i < taken; i++) {
            const struct rtcp_twcc_arrival *want = &in[at + i];
            assert_true(rtcp_twcc_next(&t, &a));
            assert_true(run.n > 0 || rtcp_twcc_next_run(&many, &run));
            assert_int_equal(run.seq++, a.seq);
            assert_int_equal(run.received, a.received);
            assert_true(!a.received || run.arrival_us == a.arrival_us);
            run.n--;
            assert_int_equal(a.seq, want->seq);
            assert_int_equal(a.received, want->received);
            if (a.received) /* rounded down to a tick */
                assert_true(want->arrival_us - a.arrival_us >= 0 && want->arrival_us - a.arrival_us < 250);
        }
        assert_false(rtcp_twcc_next(&t, &a));
        assert_true(run.n == 0 && !rtcp_twcc_next_run(&many, &run));
        at += taken;
        packets++;
        free(buf);
    }
    return packets;
}

static void what_came_together_is_one_run(void **state)
{
    static const struct rtcp_twcc_run runs[] = {{500, 10, 5, true}, {0, 15, 2, false}, {750, 17, 1, true}, {500, 18, 1, true}, {250000, 19, 3, true}};
    struct rtcp_twcc_arrival in[12];
    struct rtcp_twcc_run run;
    struct rtcp_twcc t;
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < LEN(runs); i++)
        for (uint16_t k = 0; k < runs[i].n; k++)
            in[n++] = (struct rtcp_twcc_arrival){runs[i].arrival_us, (uint16_t)(runs[i].seq + k), runs[i].received};
    assert_int_equal(n, LEN(in));
    assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, in, n), n);
    struct rtcp_packet p = first_packet(buf, writer_len(&w));
    assert_int_equal(rtcp_twcc_parse(&t, &p), RTCP_OK);
    for (size_t i = 0; i < LEN(runs); i++) {
        for (uint16_t seen = 0; seen < runs[i].n; seen = (uint16_t)(seen + run.n)) { /* a chunk ends where it will */
            assert_true(rtcp_twcc_next_run(&t, &run));
            assert_int_equal(run.seq, runs[i].seq + seen);
            assert_int_equal(run.received, runs[i].received);
            if (run.received)
                assert_int_equal(run.arrival_us, runs[i].arrival_us);
            assert_true(i > 0 || run.n > 1);
        }
    }
    assert_false(rtcp_twcc_next_run(&t, &run));
}

static void written_feedback_reads_back_for_any_pattern_of_loss_and_delay(void **state)
{
    enum { COUNT = 3000 };
    static struct rtcp_twcc_arrival in[COUNT];
    uint64_t noise = 20240229;

    (void)state;
    for (unsigned loss = 0; loss <= 100; loss += 20) {
        for (unsigned spread_us = 1; spread_us < 1000000; spread_us *= 10) {
            int64_t now = 123456789012; /* below the 6 days where the reference time wraps */
            for (size_t i = 0; i < COUNT; i++) {
                now += (int64_t)(noise_next(&noise) % spread_us) - (int64_t)(spread_us / 4);
                in[i] =
                    (struct rtcp_twcc_arrival){now, (uint16_t)(64000 + i), noise_next(&noise) % 100 >= loss};
            }
            in[0].received = true;
            round_trip(in, COUNT, 1200);
            round_trip(in, 200, 64);
        }
    }
}

static void long_runs_are_short_packets(void **state)
{
    enum { COUNT = 9000 };
    static struct rtcp_twcc_arrival in[COUNT];
    uint8_t buf[64];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        in[i] = (struct rtcp_twcc_arrival){0, (uint16_t)i, false};
    in[0].received = true;
    struct writer w = writer_init(buf, sizeof(buf));
    size_t taken = rtcp_twcc_write(&w, 1, 2, 0, in, 100);
    assert_int_equal(taken, 100);
    assert_int_equal(writer_len(&w), 28); /* a vector or two, a run, one delta */
    assert_int_equal(round_trip(in, COUNT, 4000), 1);
}

static void times_before_the_clock_s_zero_are_times_too(void **state)
{
    struct rtcp_twcc_arrival in[] = {
        {-100001, 1, true}, {-90000, 2, false}, {-64000, 3, true}, {-1, 4, true}, {1, 5, true}};

    (void)state;
    assert_int_equal(round_trip(in, LEN(in), 64), 1);
}

static void a_jump_of_more_than_eight_seconds_begins_a_new_packet(void **state)
{
    struct rtcp_twcc_arrival in[] = {{0, 1, true}, {1000, 2, true}, {20000000, 3, true}, {20000250, 4, true}};
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));

    (void)state;
    assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, in, LEN(in)), 2);
    assert_int_equal(round_trip(in, LEN(in), 64), 2);
}

static void a_buffer_too_small_for_one_is_refused(void **state)
{
    struct rtcp_twcc_arrival in[] = {{0, 1, true}};

    (void)state;
    for (size_t cap = 0; cap < 24; cap++) {
        uint8_t *buf = malloc(cap ? cap : 1);
        struct writer w = writer_init(buf, cap);
        assert_int_equal(rtcp_twcc_write(&w, 1, 2, 0, in, 1), 0);
        assert_true(w.bad);
        free(buf);
    }
}

/* As Chromium sends it: 25 bytes, and a padding of three to the next word. */
static void padding_to_a_word_is_no_part_of_it(void **state)
{
    static const uint8_t pkt[] = {0xaf, 0xcd, 0, 6, 0, 0, 0, 1, 0, 0, 0, 2, 0, 5, 0, 3, 0, 0, 3, 7, 0x20, 3, 4, 0, 1, 0, 0, 3};
    struct rtcp_walk walk = rtcp_walk_init(pkt, sizeof(pkt));
    struct rtcp_packet p;
    struct rtcp_twcc t;
    struct rtcp_twcc_arrival a;
    int n = 0;

    (void)state;
    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(p.body_len, sizeof(pkt) - 4 - 3);
    assert_int_equal(rtcp_twcc_parse(&t, &p), RTCP_OK);
    while (rtcp_twcc_next(&t, &a))
        assert_int_equal(a.seq, 5 + n++);
    assert_int_equal(n, 3);
    assert_int_equal(rtcp_walk_next(&walk, &p), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_feedback_parses_as_written),
        cmocka_unit_test(padding_to_a_word_is_no_part_of_it),
        cmocka_unit_test(what_came_together_is_one_run),
        cmocka_unit_test(written_feedback_reads_back_for_any_pattern_of_loss_and_delay),
        cmocka_unit_test(long_runs_are_short_packets),
        cmocka_unit_test(times_before_the_clock_s_zero_are_times_too),
        cmocka_unit_test(a_jump_of_more_than_eight_seconds_begins_a_new_packet),
        cmocka_unit_test(a_buffer_too_small_for_one_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
