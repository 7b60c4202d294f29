/* SPDX-License-Identifier: Apache-2.0
 * test_rtcp.c - compound RTCP and each packet type, against bytes written by hand from the RFCs. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "wire/rtcp.h"

#define RR0 "\x80\xc9\0\1\0\0\0\1"             /* RR of ssrc 1, no block */
#define PLI "\x81\xce\0\2\0\0\0\1\0\0\0\2"     /* PLI from 1 about 2 */
#define PADDED "\xa1\xce\0\3\0\0\0\1\0\0\0\2\0\0\0\4"

static const struct {
    const char *name, *pkt;
    size_t len;
    int full, reduced; /* results of rtcp_compound_check */
} compounds[] = {
    {"empty", BYTES(""), RTCP_ERR_SHORT, RTCP_ERR_SHORT},
    {"three bytes", BYTES("\x80\xc9\0"), RTCP_ERR_SHORT, RTCP_ERR_SHORT},
    {"receiver report alone", BYTES(RR0), RTCP_OK, RTCP_OK},
    {"report and PLI", BYTES(RR0 PLI), RTCP_OK, RTCP_OK},
    {"PLI alone is reduced size", BYTES(PLI), RTCP_ERR_FIRST, RTCP_OK},
    {"length past the end", BYTES("\x80\xc9\0\2\0\0\0\1"), RTCP_ERR_SHORT, RTCP_ERR_SHORT},
    {"second packet cut", BYTES(RR0 "\x81\xce\0\2\0\0\0\1"), RTCP_ERR_SHORT, RTCP_ERR_SHORT},
    {"trailing bytes", BYTES(RR0 "\x81\xce"), RTCP_ERR_SHORT, RTCP_ERR_SHORT},
    {"version 1", BYTES("\x40\xc9\0\1\0\0\0\1"), RTCP_ERR_VERSION, RTCP_ERR_VERSION},
    {"padding on the last", BYTES(RR0 PADDED), RTCP_OK, RTCP_OK},
    {"padding before the last", BYTES("\xa0\xc9\0\2\0\0\0\1\0\0\0\4" PLI), RTCP_OK, RTCP_OK},
    {"padding no multiple of four", BYTES("\xa0\xc9\0\2\0\0\0\1\0\0\0\3"), RTCP_OK, RTCP_OK},
    {"padding of nothing", BYTES("\xa0\xc9\0\2\0\0\0\1\0\0\0\0"), RTCP_ERR_PADDING, RTCP_ERR_PADDING},
    {"feedback that a browser fills up to a word, twice",
     BYTES("\xaf\xcd\0\6\0\0\0\1\0\0\0\2\0\5\0\3\0\0\3\7\x20\3\4\0\1\0\0\3"
           "\xaf\xcd\0\6\0\0\0\1\0\0\0\2\0\5\0\3\0\0\3\7\x20\3\4\0\1\0\0\3"), RTCP_ERR_FIRST, RTCP_OK},
    {"padding longer than the packet", BYTES("\xa0\xc9\0\1\0\0\0\x8"), RTCP_ERR_PADDING, RTCP_ERR_PADDING},
    {"padding bit on an empty body", BYTES("\xa0\xc9\0\0"), RTCP_ERR_PADDING, RTCP_ERR_PADDING},
};

static void each_compound_is_judged_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(compounds); i++) {
        uint8_t *exact = exact_dup(compounds[i].pkt, compounds[i].len);
        print_message("  %s\n", compounds[i].name);
        assert_int_equal(rtcp_compound_check(exact, compounds[i].len, false), compounds[i].full);
        assert_int_equal(rtcp_compound_check(exact, compounds[i].len, true), compounds[i].reduced);
        free(exact);
    }
}

/* The n-th packet of bytes, which must be there. */
static struct rtcp_packet nth_packet(const uint8_t *bytes, size_t len, int n)
{
    struct rtcp_walk walk = rtcp_walk_init(bytes, len);
    struct rtcp_packet p = {0};

    for (int i = 0; i <= n; i++)
        assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    return p;
}

static void walking_gives_bodies_without_padding(void **state)
{
    struct rtcp_walk walk = rtcp_walk_init((const uint8_t *)RR0 PADDED, sizeof(RR0 PADDED) - 1);
    struct rtcp_packet p;

    (void)state;
    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(p.type, RTCP_RR);
    assert_int_equal(p.count, 0);
    assert_int_equal(p.body_len, 4);
    assert_int_equal(rtcp_walk_next(&walk, &p), 1);
    assert_int_equal(p.type, RTCP_PSFB);
    assert_int_equal(p.count, RTCP_PSFB_PLI);
    assert_int_equal(p.body_len, 8);
    assert_int_equal(rtcp_walk_next(&walk, &p), 0);
    assert_int_equal(rtcp_walk_next(&walk, &p), 0);
}

static void a_sender_report_is_read_and_written_byte_for_byte(void **state)
{
    static const char bytes[] = "\x81\xc8\0\xc\0\0\0\1" /* SR, one block, 13 words */
                                "\1\2\3\4\5\6\7\x8\0\0\0\x9\0\0\0\xa\0\0\0\xb"
                                "\0\0\0\xc\x40\xff\xff\xfe\0\1\xff\xff\0\0\0\xd\0\0\0\xe\0\0\0\xf";
    struct rtcp_packet p = nth_packet((const uint8_t *)bytes, sizeof(bytes) - 1, 0);
    struct rtcp_report r;
    uint8_t buf[128];

    (void)state;
    assert_int_equal(rtcp_report_parse(&r, &p), RTCP_OK);
    assert_true(r.sender);
    assert_int_equal(r.ssrc, 1);
    assert_true(r.ntp == 0x0102030405060708);
    assert_int_equal(r.ts_ticks, 9);
    assert_int_equal(r.packets, 10);
    assert_int_equal(r.octets, 11);
    assert_int_equal(r.block_count, 1);
    assert_int_equal(r.blocks[0].ssrc, 12);
    assert_int_equal(r.blocks[0].lost_fraction, 0x40);
    assert_int_equal(r.blocks[0].lost_total, -2);
    assert_int_equal(r.blocks[0].highest_seq, 0x1ffff);
    assert_int_equal(r.blocks[0].jitter_ticks, 13);
    assert_int_equal(r.blocks[0].lsr, 14);
    assert_int_equal(r.blocks[0].dlsr, 15);

    struct writer w = writer_init(buf, sizeof(buf));
    rtcp_report_write(&w, &r);
    assert_int_equal(writer_len(&w), sizeof(bytes) - 1);
    assert_memory_equal(buf, bytes, sizeof(bytes) - 1);
}

static void losses_beyond_24_bits_are_clamped(void **state)
{
    struct rtcp_report r = {.block_count = 2,
                            .blocks = {{.lost_total = 100000000}, {.lost_total = -100000000}}},
                       back;
    uint8_t buf[128];
    struct writer w = writer_init(buf, sizeof(buf));

    (void)state;
    rtcp_report_write(&w, &r);
    struct rtcp_packet p = nth_packet(buf, writer_len(&w), 0);
    assert_int_equal(p.type, RTCP_RR);
    assert_int_equal(rtcp_report_parse(&back, &p), RTCP_OK);
    assert_int_equal(back.blocks[0].lost_total, 0x7fffff);
    assert_int_equal(back.blocks[1].lost_total, -0x800000);
}

static void a_report_without_the_blocks_it_counts_is_short(void **state)
{
    struct rtcp_packet p = nth_packet((const uint8_t *)"\x81\xc9\0\1\0\0\0\1", 8, 0);
    struct rtcp_report r;

    (void)state;
    assert_int_equal(rtcp_report_parse(&r, &p), RTCP_ERR_SHORT);
    p = nth_packet((const uint8_t *)PLI, 12, 0);
    assert_int_equal(rtcp_report_parse(&r, &p), RTCP_ERR_TYPE);
}

static const struct {
    const char *name, *pkt;
    size_t len;
    int err;
    const char *cname;
    uint32_t ssrc;
} sdes[] = {
    {"one chunk", BYTES("\x81\xca\0\3\0\0\0\7\1\3abc\0\0\0"), RTCP_OK, "abc", 7},
    {"chunk that needs no padding but the end", BYTES("\x81\xca\0\3\0\0\0\7\1\5abcde\0"), RTCP_OK, "abcde",
     7},
    {"another item first", BYTES("\x81\xca\0\4\0\0\0\7\2\1x\1\3abc\0\0\0\0"), RTCP_OK, "abc", 7},
    {"CNAME in the second chunk", BYTES("\x82\xca\0\5\0\0\0\7\2\1x\0\0\0\0\x8\1\3abc\0\0\0"), RTCP_OK, "abc",
     8},
    {"empty CNAME", BYTES("\x81\xca\0\2\0\0\0\7\1\0\0\0"), RTCP_OK, "", 7},
    {"no chunk", BYTES("\x80\xca\0\0"), RTCP_ERR_VALUE, NULL, 0},
    {"no CNAME", BYTES("\x81\xca\0\2\0\0\0\7\2\1x\0"), RTCP_ERR_VALUE, NULL, 0},
    {"item past the end", BYTES("\x81\xca\0\2\0\0\0\7\1\x9zz"), RTCP_ERR_SHORT, NULL, 0},
    {"chunk missing", BYTES("\x82\xca\0\2\0\0\0\7\2\1x\0"), RTCP_ERR_SHORT, NULL, 0},
    {"not SDES", BYTES(RR0), RTCP_ERR_TYPE, NULL, 0},
};

static void each_sdes_gives_its_cname(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(sdes); i++) {
        uint8_t *exact = exact_dup(sdes[i].pkt, sdes[i].len);
        struct rtcp_packet p = nth_packet(exact, sdes[i].len, 0);
        struct rtcp_cname c = {0};

        print_message("  %s\n", sdes[i].name);
        assert_int_equal(rtcp_sdes_parse(&c, &p), sdes[i].err);
        if (!sdes[i].err) {
            assert_int_equal(c.ssrc, sdes[i].ssrc);
            assert_int_equal(c.name_len, strlen(sdes[i].cname));
            assert_memory_equal(c.name, sdes[i].cname, c.name_len);
        }
        free(exact);
    }
}

static void a_written_cname_of_any_length_reads_back(void **state)
{
    char name[255];

    (void)state;
    memset(name, 'n', sizeof(name));
    for (size_t len = 0; len <= sizeof(name); len++) {
        uint8_t buf[300];
        struct writer w = writer_init(buf, sizeof(buf));
        struct rtcp_cname c = {name, len, 77}, back;
        rtcp_sdes_write(&w, &c);
        assert_false(w.bad);
        assert_int_equal(rtcp_compound_check(buf, writer_len(&w), true), RTCP_OK);
        struct rtcp_packet p = nth_packet(buf, writer_len(&w), 0);
        assert_int_equal(rtcp_sdes_parse(&back, &p), RTCP_OK);
        assert_int_equal(back.name_len, len);
        assert_int_equal(back.ssrc, 77);
    }
}

static void bye_goes_there_and_back(void **state)
{
    struct rtcp_bye bye = {.reason = "going", .reason_len = 5, .ssrc_count = 2, .ssrcs = {1, 2}}, back;
    uint8_t buf[64];

    (void)state;
    for (int with_reason = 0; with_reason <= 1; with_reason++) {
        struct writer w = writer_init(buf, sizeof(buf));
        bye.reason_len = with_reason ? 5 : 0;
        rtcp_bye_write(&w, &bye);
        assert_int_equal(rtcp_compound_check(buf, writer_len(&w), true), RTCP_OK);
        struct rtcp_packet p = nth_packet(buf, writer_len(&w), 0);
        assert_int_equal(rtcp_bye_parse(&back, &p), RTCP_OK);
        assert_int_equal(back.ssrc_count, 2);
        assert_int_equal(back.ssrcs[1], 2);
        assert_int_equal(back.reason_len, bye.reason_len);
        if (with_reason)
            assert_memory_equal(back.reason, "going", 5);
    }
    struct rtcp_packet cut = nth_packet((const uint8_t *)"\x82\xcb\0\1\0\0\0\1", 8, 0);
    assert_int_equal(rtcp_bye_parse(&back, &cut), RTCP_ERR_SHORT);
    struct rtcp_packet long_reason = nth_packet((const uint8_t *)"\x81\xcb\0\2\0\0\0\1\x9zzz", 12, 0);
    assert_int_equal(rtcp_bye_parse(&back, &long_reason), RTCP_ERR_SHORT);
}

static void a_nack_lists_its_packets_across_the_wrap(void **state)
{
    static const char bytes[] = "\x81\xcd\0\4\0\0\0\1\0\0\0\2\xff\xfe\x80\x05\0\x64\0\0";
    static const uint16_t want[] = {65534, 65535, 1, 14, 100};
    struct rtcp_packet p = nth_packet((const uint8_t *)bytes, sizeof(bytes) - 1, 0);
    struct rtcp_nack n;
    uint16_t seq;
    uint8_t buf[64];

    (void)state;
    assert_int_equal(rtcp_nack_parse(&n, &p), RTCP_OK);
    assert_int_equal(n.sender_ssrc, 1);
    assert_int_equal(n.media_ssrc, 2);
    for (size_t i = 0; i < LEN(want); i++) {
        assert_true(rtcp_nack_next(&n, &seq));
        assert_int_equal(seq, want[i]);
    }
    assert_false(rtcp_nack_next(&n, &seq));

    struct writer w = writer_init(buf, sizeof(buf));
    assert_int_equal(rtcp_nack_write(&w, 1, 2, want, LEN(want)), LEN(want));
    assert_int_equal(writer_len(&w), sizeof(bytes) - 1);
    assert_memory_equal(buf, bytes, sizeof(bytes) - 1);
}

static void a_nack_takes_what_fits_the_buffer(void **state)
{
    static const uint16_t far[] = {0, 100, 200, 300};
    uint8_t buf[64];

    (void)state;
    for (size_t cap = 0; cap <= 32; cap++) {
        struct writer w = writer_init(buf, cap);
        size_t taken = rtcp_nack_write(&w, 1, 2, far, LEN(far)), fits = cap < 16 ? 0 : (cap - 12) / 4;
        assert_int_equal(taken, fits > LEN(far) ? LEN(far) : fits);
        assert_int_equal(w.bad, taken == 0);
        if (taken)
            assert_int_equal(rtcp_compound_check(buf, writer_len(&w), true), RTCP_OK);
    }
}

static void pli_and_fir_go_there_and_back(void **state)
{
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtcp_pli pli;
    struct rtcp_fir fir;
    uint32_t ssrc;
    uint8_t command;

    (void)state;
    rtcp_pli_write(&w, &(struct rtcp_pli){1, 2});
    assert_int_equal(writer_len(&w), sizeof(PLI) - 1);
    assert_memory_equal(buf, PLI, sizeof(PLI) - 1);
    rtcp_fir_write(&w, 3, 4, 5);
    struct rtcp_packet p = nth_packet(buf, writer_len(&w), 0);
    assert_int_equal(rtcp_pli_parse(&pli, &p), RTCP_OK);
    assert_int_equal(pli.sender_ssrc, 1);
    assert_int_equal(pli.media_ssrc, 2);
    assert_int_equal(rtcp_fir_parse(&fir, &p), RTCP_ERR_TYPE);
    p = nth_packet(buf, writer_len(&w), 1);
    assert_int_equal(rtcp_pli_parse(&pli, &p), RTCP_ERR_TYPE);
    assert_int_equal(rtcp_fir_parse(&fir, &p), RTCP_OK);
    assert_int_equal(fir.sender_ssrc, 3);
    assert_true(rtcp_fir_next(&fir, &ssrc, &command));
    assert_int_equal(ssrc, 4);
    assert_int_equal(command, 5);
    assert_false(rtcp_fir_next(&fir, &ssrc, &command));
}

static void remb_keeps_18_bits_of_the_rate(void **state)
{
    static const struct {
        uint64_t rate, back;
    } rows[] = {{0, 0}, {262143, 262143}, {262145, 262144}, {2500000, 2500000}, {2500001, 2500000},
                {UINT64_MAX, (uint64_t)0x3ffff << 46}};
    static const uint32_t ssrcs[] = {9, 10};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t buf[64];
        struct writer w = writer_init(buf, sizeof(buf));
        struct rtcp_remb remb;
        uint32_t ssrc = 0;
        rtcp_remb_write(&w, 1, rows[i].rate, ssrcs, 2);
        struct rtcp_packet p = nth_packet(buf, writer_len(&w), 0);
        assert_int_equal(rtcp_remb_parse(&remb, &p), RTCP_OK);
        assert_true(remb.bitrate_bps == rows[i].back);
        assert_true(rtcp_remb_next(&remb, &ssrc) && ssrc == 9);
        assert_true(rtcp_remb_next(&remb, &ssrc) && ssrc == 10);
        assert_false(rtcp_remb_next(&remb, &ssrc));
    }
}

static void remb_that_is_cut_foreign_or_too_large_is_refused(void **state)
{
    static const struct {
        const char *pkt;
        size_t len;
        int err;
    } rows[] = {
        {BYTES("\x8f\xce\0\4\0\0\0\1\0\0\0\0REMB\1\0\0\1"), RTCP_ERR_SHORT},
        {BYTES("\x8f\xce\0\4\0\0\0\1\0\0\0\0ABCD\0\0\0\1"), RTCP_ERR_TYPE},
        {BYTES("\x8f\xce\0\3\0\0\0\1\0\0\0\0REMB"), RTCP_ERR_SHORT},
        {BYTES("\x8f\xce\0\4\0\0\0\1\0\0\0\0REMB\0\xff\xff\xff"), RTCP_ERR_VALUE},
        {BYTES("\x8f\xce\0\4\0\0\0\1\0\0\0\0REMB\0\xfc\0\1"), RTCP_OK}, /* 1 << 63 */
    };
    struct rtcp_remb remb;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(rows[i].pkt, rows[i].len);
        struct rtcp_packet p = nth_packet(exact, rows[i].len, 0);
        assert_int_equal(rtcp_remb_parse(&remb, &p), rows[i].err);
        free(exact);
    }
}

static void writers_say_when_the_buffer_is_full(void **state)
{
    struct rtcp_report r = {.sender = true, .block_count = 1};
    uint8_t buf[16];

    (void)state;
    struct writer w = writer_init(buf, sizeof(buf));
    rtcp_report_write(&w, &r);
    assert_true(w.bad);
    w = writer_init(buf, 11);
    rtcp_pli_write(&w, &(struct rtcp_pli){1, 2});
    assert_true(w.bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_compound_is_judged_as_written),
        cmocka_unit_test(walking_gives_bodies_without_padding),
        cmocka_unit_test(a_sender_report_is_read_and_written_byte_for_byte),
        cmocka_unit_test(losses_beyond_24_bits_are_clamped),
        cmocka_unit_test(a_report_without_the_blocks_it_counts_is_short),
        cmocka_unit_test(each_sdes_gives_its_cname),
        cmocka_unit_test(a_written_cname_of_any_length_reads_back),
        cmocka_unit_test(bye_goes_there_and_back),
        cmocka_unit_test(a_nack_lists_its_packets_across_the_wrap),
        cmocka_unit_test(a_nack_takes_what_fits_the_buffer),
        cmocka_unit_test(pli_and_fir_go_there_and_back),
        cmocka_unit_test(remb_keeps_18_bits_of_the_rate),
        cmocka_unit_test(remb_that_is_cut_foreign_or_too_large_is_refused),
        cmocka_unit_test(writers_say_when_the_buffer_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
