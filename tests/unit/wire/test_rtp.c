/* SPDX-License-Identifier: Apache-2.0
 * test_rtp.c - RTP header, header extensions and demultiplexing, case by case (RFC 3550 s5.1, RFC 8285,
 * RFC 7983). */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "wire/demux.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_view.h"
#include "wire/rtp_write.h"

/* seq 0x0102, timestamp 0x03040506, ssrc 0x0708090a */
#define FIXED "\1\2\3\4\5\6\7\x8\x9\xa"

static const struct {
    const char *name, *pkt;
    size_t pkt_len;
    int err;
    size_t payload_len, ext_len;
    uint16_t ext_profile;
    bool marker;
    uint8_t pt;
} views[] = {
    {"empty datagram", BYTES(""), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"one byte of STUN", BYTES("\0"), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"header cut", BYTES("\x80\x60\1\2\3\4\5\6\7\x8\x9"), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"no payload", BYTES("\x80\x60" FIXED), RTP_OK, 0, 0, 0, false, 96},
    {"payload follows header", BYTES("\x80\x60" FIXED "abc"), RTP_OK, 3, 0, 0, false, 96},
    {"marker", BYTES("\x80\xef" FIXED "abc"), RTP_OK, 3, 0, 0, true, 111},
    {"DTLS on the same port", BYTES("\x16\xfe" FIXED), RTP_ERR_VERSION, 0, 0, 0, 0, 0},
    {"version 1", BYTES("\x40\x60" FIXED), RTP_ERR_VERSION, 0, 0, 0, 0, 0},
    {"CSRCs skipped", BYTES("\x82\x60" FIXED "aaaabbbbc"), RTP_OK, 1, 0, 0, false, 96},
    {"CSRC past the end", BYTES("\x81\x60" FIXED "abc"), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"extension", BYTES("\x90\x60" FIXED "\xbe\xde\0\1\x10x\0\0ab"), RTP_OK, 2, 4, 0xbede, false, 96},
    {"empty extension", BYTES("\x90\x60" FIXED "\xbe\xde\0\0ab"), RTP_OK, 2, 0, 0xbede, false, 96},
    {"extension header cut", BYTES("\x90\x60" FIXED "\xbe\xde\0"), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"extension past the end", BYTES("\x90\x60" FIXED "\xbe\xde\0\2abcd"), RTP_ERR_SHORT, 0, 0, 0, 0, 0},
    {"padding removed", BYTES("\xa0\x60" FIXED "ab\0\2"), RTP_OK, 2, 0, 0, false, 96},
    {"padding only", BYTES("\xa0\x60" FIXED "\0\0\3"), RTP_OK, 0, 0, 0, false, 96},
    {"padding beyond payload", BYTES("\xa0\x60" FIXED "ab\4"), RTP_ERR_PADDING, 0, 0, 0, 0, 0},
    {"padding of none", BYTES("\xa0\x60" FIXED "ab\0"), RTP_ERR_PADDING, 0, 0, 0, 0, 0},
    {"padding bit without payload", BYTES("\xa0\x60" FIXED), RTP_ERR_PADDING, 0, 0, 0, 0, 0},
    {"padding does not eat the extension", BYTES("\xb0\x60" FIXED "\xbe\xde\0\1\x10x\0\x5"), RTP_ERR_PADDING,
     0, 0, 0, 0, 0},
};

static void each_rtp_packet_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(views); i++) {
        uint8_t *exact = exact_dup(views[i].pkt, views[i].pkt_len);
        struct rtp_view v = {.pt = 255};

        print_message("  %s\n", views[i].name);
        assert_int_equal(rtp_view_parse(&v, exact, views[i].pkt_len), views[i].err);
        if (views[i].err) {
            assert_int_equal(v.pt, 255); /* untouched */
        } else {
            assert_int_equal(v.payload_len, views[i].payload_len);
            assert_int_equal(v.ext_len, views[i].ext_len);
            assert_int_equal(v.ext_profile, views[i].ext_profile);
            assert_int_equal(v.marker, views[i].marker);
            assert_int_equal(v.pt, views[i].pt);
            assert_int_equal(v.seq, 0x0102);
            assert_int_equal(v.ts_ticks, 0x03040506);
            assert_int_equal(v.ssrc, 0x0708090a);
        }
        free(exact);
    }
}

static void a_packet_cut_anywhere_is_short_or_has_less_payload(void **state)
{
    static const char pkt[] = "\x92\x60" FIXED "aaaabbbb\xbe\xde\0\1\x10x\0\0payload";
    enum { HEADER = 12 + 8 + 8 };

    (void)state;
    for (size_t len = 0; len < sizeof(pkt); len++) {
        uint8_t *exact = exact_dup(pkt, len);
        struct rtp_view v;
        int err = rtp_view_parse(&v, exact, len);
        assert_int_equal(err, len < HEADER ? RTP_ERR_SHORT : RTP_OK);
        if (!err)
            assert_int_equal(v.payload_len, len - HEADER);
        free(exact);
    }
}

static void a_written_header_reads_back_the_same(void **state)
{
    static const uint8_t ext[8] = {0x10, 'x', 0, 0, 0x21, 'y', 'z', 0};
    uint8_t buf[64];
    struct rtp_view v;

    (void)state;
    for (size_t ext_len = 0; ext_len <= sizeof(ext); ext_len += 4) {
        struct rtp_header h = {.ext = ext,
                               .ext_len = ext_len,
                               .ts_ticks = 0xfffffffe,
                               .ssrc = 0x80000001,
                               .seq = 65535,
                               .ext_profile = RTP_EXT_PROFILE_ONE_BYTE,
                               .pt = 127,
                               .marker = true};
        int n = rtp_header_write(buf, sizeof(buf), &h);
        assert_int_equal(n, 12 + (ext_len ? 4 + (int)ext_len : 0));
        buf[n] = 'p';
        assert_int_equal(rtp_view_parse(&v, buf, (size_t)n + 1), RTP_OK);
        assert_int_equal(v.ts_ticks, h.ts_ticks);
        assert_int_equal(v.ssrc, h.ssrc);
        assert_int_equal(v.seq, h.seq);
        assert_int_equal(v.pt, h.pt);
        assert_true(v.marker);
        assert_int_equal(v.ext_len, ext_len);
        if (ext_len)
            assert_memory_equal(v.ext, ext, ext_len);
        assert_int_equal(v.payload_len, 1);
        for (size_t cap = 0; cap < (size_t)n; cap++) {
            uint8_t *small = exact_dup(buf, cap);
            assert_int_equal(rtp_header_write(small, cap, &h), RTP_ERR_ROOM);
            free(small);
        }
    }
}

static void a_header_that_the_wire_cannot_carry_is_refused(void **state)
{
    uint8_t buf[32];

    (void)state;
    assert_int_equal(rtp_header_write(buf, sizeof(buf), &(struct rtp_header){.pt = 128}), RTP_ERR_VALUE);
    assert_int_equal(rtp_header_write(buf, sizeof(buf), &(struct rtp_header){.ext = buf, .ext_len = 3}),
                     RTP_ERR_VALUE);
}

/* ---- extensions ---- */

static const struct {
    const char *name, *ext;
    size_t ext_len;
    uint16_t profile;
    bool bad;
    const char *found; /* "id:text " for each element */
} blocks[] = {
    {"none", BYTES(""), 0xbede, false, ""},
    {"one element", BYTES("\x10x\0\0"), 0xbede, false, "1:x "},
    {"two elements and padding", BYTES("\x10x\0\0\x21yz\0"), 0xbede, false, "1:x 2:yz "},
    {"padding between elements", BYTES("\0\x10x\0\0\x20y\0"), 0xbede, false, "1:x 2:y "},
    {"longest one-byte element",
     BYTES("\xef"
           "0123456789abcdef\0\0\0"),
     0xbede, false, "14:0123456789abcdef "},
    {"id 15 ends the block", BYTES("\x10x\xf0\x20y\0\0\0"), 0xbede, false, "1:x "},
    {"element past the end", BYTES("\x10x\x22y"), 0xbede, true, "1:x "},
    {"two-byte form", BYTES("\x1\x1x\x10\x2yz\0"), 0x1000, false, "1:x 16:yz "},
    {"two-byte form with application bits", BYTES("\x1\x1x\0"), 0x100f, false, "1:x "},
    {"two-byte form, empty element", BYTES("\x7\x0\x1\x1x\0\0\0"), 0x1000, false, "7: 1:x "},
    {"two-byte form, length missing", BYTES("\x1\x1x\x2"), 0x1000, true, "1:x "},
    {"two-byte form, element past the end", BYTES("\x1\x3x\0"), 0x1000, true, ""},
    {"a profile that is neither", BYTES("\x10x\0\0"), 0x1234, false, ""},
};

static void each_extension_block_iterates_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(blocks); i++) {
        uint8_t *exact = exact_dup(blocks[i].ext, blocks[i].ext_len);
        struct rtp_ext_iter it = rtp_ext_iter_init(blocks[i].profile, exact, blocks[i].ext_len);
        char found[128] = "";
        struct rtp_ext e;
        size_t n = 0;

        while (rtp_ext_next(&it, &e))
            n +=
                (size_t)snprintf(found + n, sizeof(found) - n, "%u:%.*s ", e.id, e.len, (const char *)e.data);
        print_message("  %s\n", blocks[i].name);
        assert_string_equal(found, blocks[i].found);
        assert_int_equal(it.r.bad, blocks[i].bad);
        free(exact);
    }
}

static void a_written_block_reads_back_in_both_forms(void **state)
{
    (void)state;
    for (int two_byte = 0; two_byte <= 1; two_byte++) {
        uint8_t buf[64];
        struct rtp_ext_writer w = rtp_ext_writer_init(buf, sizeof(buf), two_byte);
        struct rtp_ext e;

        rtp_ext_write(&w, 3, (const uint8_t *)"ab", 2);
        rtp_ext_write(&w, 14, (const uint8_t *)"0123456789abcdef", 16);
        int n = rtp_ext_writer_finish(&w);
        assert_int_equal(n % 4, 0);
        uint16_t profile = rtp_ext_writer_profile(&w);
        assert_true(rtp_ext_find(&e, profile, buf, (size_t)n, 14));
        assert_int_equal(e.len, 16);
        assert_memory_equal(e.data, "0123456789abcdef", 16);
        assert_true(rtp_ext_find(&e, profile, buf, (size_t)n, 3));
        assert_int_equal(e.len, 2);
        assert_false(rtp_ext_find(&e, profile, buf, (size_t)n, 4));
    }
}

static void elements_that_a_form_cannot_carry_are_refused(void **state)
{
    static const struct {
        uint8_t id;
        size_t len;
        bool two_byte;
        int result;
    } rows[] = {
        {0, 1, false, RTP_ERR_VALUE},  {15, 1, false, RTP_ERR_VALUE}, {1, 0, false, RTP_ERR_VALUE},
        {1, 17, false, RTP_ERR_VALUE}, {1, 16, false, 20},            {0, 1, true, RTP_ERR_VALUE},
        {15, 17, true, 20},            {1, 0, true, 4},               {1, 30, true, RTP_ERR_ROOM},
    };
    static const uint8_t data[32];

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t buf[24];
        struct rtp_ext_writer w = rtp_ext_writer_init(buf, sizeof(buf), rows[i].two_byte);
        rtp_ext_write(&w, rows[i].id, data, rows[i].len);
        assert_int_equal(rtp_ext_writer_finish(&w), rows[i].result);
    }
}

static void every_known_uri_is_found_again(void **state)
{
    (void)state;
    for (enum rtp_ext_kind k = RTP_EXT_MID; k < RTP_EXT_KINDS; k++) {
        const char *uri = rtp_ext_uri(k);
        assert_non_null(uri);
        assert_int_equal(rtp_ext_kind_of_uri(uri, strlen(uri)), k);
        assert_int_equal(rtp_ext_kind_of_uri(uri, strlen(uri) - 1), RTP_EXT_UNKNOWN);
    }
    assert_null(rtp_ext_uri(RTP_EXT_UNKNOWN));
    assert_null(rtp_ext_uri(RTP_EXT_KINDS));
}

static void abs_send_time_is_6_18_seconds(void **state)
{
    static const struct {
        uint64_t us;
        uint32_t value;
    } rows[] = {{0, 0},        {1000000, 1 << 18}, {500000, 1 << 17},
                {63999999, 0}, {64000000, 0},      {65000000, 1 << 18}};
    uint8_t wire[3];
    uint32_t back;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        rtp_ext_abs_send_time_write(wire, rows[i].us);
        assert_true(rtp_ext_abs_send_time_parse(&back, wire, 3));
        assert_int_equal(back, rows[i].value);
    }
    assert_false(rtp_ext_abs_send_time_parse(&back, wire, 2));
}

static void small_extension_values_go_there_and_back(void **state)
{
    uint8_t wire[16];
    uint16_t seq;
    struct rtp_audio_level level;
    struct rtp_video_orientation turn;
    struct rtp_playout_delay delay;

    (void)state;
    rtp_ext_transport_cc_write(wire, 0xfedc);
    assert_true(rtp_ext_transport_cc_parse(&seq, wire, 2));
    assert_int_equal(seq, 0xfedc);
    assert_false(rtp_ext_transport_cc_parse(&seq, wire, 1));

    rtp_ext_audio_level_write(wire, &(struct rtp_audio_level){.level_dbov = 42, .voice = true});
    assert_int_equal(wire[0], 0x80 | 42);
    assert_true(rtp_ext_audio_level_parse(&level, wire, 1));
    assert_int_equal(level.level_dbov, 42);
    assert_true(level.voice);
    assert_false(rtp_ext_audio_level_parse(&level, wire, 0));

    rtp_ext_video_orientation_write(
        wire, &(struct rtp_video_orientation){.rotation_degrees = 270, .back_camera = true});
    assert_int_equal(wire[0], 0x0b);
    assert_true(rtp_ext_video_orientation_parse(&turn, wire, 1));
    assert_int_equal(turn.rotation_degrees, 270);
    assert_true(turn.back_camera);
    assert_false(turn.flipped);

    rtp_ext_playout_delay_write(wire, &(struct rtp_playout_delay){.min_ms = 100, .max_ms = 99999});
    assert_memory_equal(wire, "\x00\xaf\xff", 3);
    assert_true(rtp_ext_playout_delay_parse(&delay, wire, 3));
    assert_int_equal(delay.min_ms, 100);
    assert_int_equal(delay.max_ms, 40950);
    assert_false(rtp_ext_playout_delay_parse(&delay, wire, 4));
}

static void abs_capture_time_has_two_lengths(void **state)
{
    struct rtp_abs_capture_time in = {.ntp = 0x0123456789abcdef, .clock_offset = -5}, out;
    uint8_t wire[16];

    (void)state;
    assert_int_equal(rtp_ext_abs_capture_time_write(wire, &in), 8);
    assert_true(rtp_ext_abs_capture_time_parse(&out, wire, 8));
    assert_true(out.ntp == in.ntp && out.clock_offset == 0 && !out.has_clock_offset);
    in.has_clock_offset = true;
    assert_int_equal(rtp_ext_abs_capture_time_write(wire, &in), 16);
    assert_true(rtp_ext_abs_capture_time_parse(&out, wire, 16));
    assert_true(out.ntp == in.ntp && out.clock_offset == -5 && out.has_clock_offset);
    assert_false(rtp_ext_abs_capture_time_parse(&out, wire, 12));
}

static void ntp_and_unix_time_are_one_clock(void **state)
{
    (void)state;
    assert_true(ntp_of_unix_us(0) == (uint64_t)2208988800 << 32);
    assert_true(ntp_of_unix_us(500000) == ((uint64_t)2208988800 << 32 | 0x80000000));
    for (uint64_t us = 1700000000000000; us < 1700000000000000 + 100; us++)
        assert_true(ntp_to_unix_us(ntp_of_unix_us(us)) == us);
}

static void each_first_byte_goes_to_its_protocol(void **state)
{
    (void)state;
    for (unsigned first = 0; first < 256; first++) {
        enum demux_kind want = first <= 3                  ? DEMUX_STUN
                               : first >= 20 && first < 64 ? DEMUX_DTLS
                               : first >= 64 && first < 80 ? DEMUX_TURN
                               : first >= 128 && first < 192 ? DEMUX_RTP
                                                             : DEMUX_UNKNOWN;
        assert_int_equal(demux_datagram((uint8_t[]){(uint8_t)first, 96}, 2), want);
    }
    for (unsigned second = 0; second < 256; second++) {
        enum demux_kind want = second >= 192 && second < 224 ? DEMUX_RTCP : DEMUX_RTP;
        assert_int_equal(demux_datagram((uint8_t[]){0x80, (uint8_t)second}, 2), want);
    }
    assert_int_equal(demux_datagram((uint8_t[]){0x80}, 1), DEMUX_UNKNOWN);
    assert_int_equal(demux_datagram((uint8_t[]){0}, 0), DEMUX_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rtp_packet_parses_as_written),
        cmocka_unit_test(a_packet_cut_anywhere_is_short_or_has_less_payload),
        cmocka_unit_test(a_written_header_reads_back_the_same),
        cmocka_unit_test(a_header_that_the_wire_cannot_carry_is_refused),
        cmocka_unit_test(each_extension_block_iterates_as_written),
        cmocka_unit_test(a_written_block_reads_back_in_both_forms),
        cmocka_unit_test(elements_that_a_form_cannot_carry_are_refused),
        cmocka_unit_test(every_known_uri_is_found_again),
        cmocka_unit_test(abs_send_time_is_6_18_seconds),
        cmocka_unit_test(small_extension_values_go_there_and_back),
        cmocka_unit_test(abs_capture_time_has_two_lengths),
        cmocka_unit_test(ntp_and_unix_time_are_one_clock),
        cmocka_unit_test(each_first_byte_goes_to_its_protocol),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
