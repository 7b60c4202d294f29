/* SPDX-License-Identifier: Apache-2.0
 * test_pipe_rtp.c - a packet as RTP and back; requests and hellos as RTCP and back. */
#include "../wire/exact.h"

#include "base/compiler.h"
#include "base/writer.h"
#include "pipe/pipe_feedback.h"
#include "pipe/pipe_rtp.h"
#include "wire/rtp_view.h"
#include "wire/rtp_write.h"

/* One packet, not from a pool. */
static struct packet make(uint64_t seq, uint64_t ts_ticks, int32_t cts_ticks)
{
    return (struct packet){.seq = seq,
                           .ts_ticks = ts_ticks,
                           .capture_us = 1790000000123456,
                           .cts_ticks = cts_ticks,
                           .flags = PACKET_FRAME_END,
                           .payload_len = 100};
}

static void check_round_trip(const struct packet *p)
{
    uint8_t hdr[PIPE_RTP_HEADER_MAX];
    struct rtp_view v;
    struct packet got = {0};
    size_t len = pipe_rtp_write(hdr, sizeof(hdr), p, 0x12345678), hdr_len;
    uint8_t *exact = exact_dup(hdr, len);

    assert_int_equal(rtp_view_parse(&v, exact, len), RTP_OK);
    assert_int_equal(v.ssrc, 0x12345678);
    assert_int_equal(v.seq, p->seq & 0xffff);
    assert_int_equal(v.ts_ticks, p->ts_ticks & UINT32_MAX);
    assert_int_equal(v.marker, (p->flags & PACKET_MARKER) != 0);
    assert_int_equal(v.pt, PIPE_RTP_PT);
    assert_int_equal(pipe_rtp_parse(&got, exact, len, &hdr_len), RTP_OK);
    assert_int_equal(hdr_len, len);
    assert_int_equal(got.seq, p->seq);
    assert_int_equal(got.ts_ticks, p->ts_ticks);
    assert_int_equal(got.capture_us, p->capture_us);
    assert_int_equal(got.cts_ticks, p->cts_ticks);
    assert_int_equal(got.flags, p->flags);
    assert_int_equal(got.spatial, p->spatial);
    assert_int_equal(got.temporal, p->temporal);
    assert_int_equal(got.ext_len, p->ext_len);
    assert_memory_equal(got.bytes, p->bytes, p->ext_len);
    free(exact);
}

static void every_field_goes_through_at_its_bounds(void **state)
{
    static const uint64_t seqs[] = {0, 65535, 65536, (1U << 23) - 1, UINT32_MAX, (uint64_t)1 << 48, UINT64_MAX};
    static const uint64_t times[] = {0, UINT32_MAX, (uint64_t)1 << 32, UINT64_MAX};
    static const int32_t offsets[] = {0, 1, -1, 63, -64, 64, 8191, -8193, INT32_MAX, INT32_MIN};

    (void)state;
    for (size_t s = 0; s < LEN(seqs); s++)
        for (size_t t = 0; t < LEN(times); t++)
            for (size_t o = 0; o < LEN(offsets); o++) {
                struct packet p = make(seqs[s], times[t], offsets[o]);
                check_round_trip(&p);
            }
    for (unsigned flags = 0; flags < 128; flags++) {
        struct packet p = make(1 << 20, 90000, 0);
        p.flags = (uint8_t)flags;
        p.spatial = flags % 8;
        p.temporal = flags / 8 % 8;
        p.capture_us = flags % 2 ? ((uint64_t)1 << 56) - 1 : 0;
        check_round_trip(&p);
    }
}

/* n elements of len bytes each. */
static void add_elements(struct packet *p, size_t n, size_t len)
{
    struct writer w = writer_init(p->bytes, PACKET_EXT_MAX);

    for (size_t i = 0; i < n; i++) {
        writer_u8(&w, (uint8_t)(PACKET_EXT_AUDIO_LEVEL + i));
        writer_u8(&w, (uint8_t)len);
        for (size_t k = 0; k < len; k++)
            writer_u8(&w, (uint8_t)(i + k));
    }
    assert_false(w.bad);
    p->ext_len = (uint8_t)writer_len(&w);
}

static void canonical_elements_of_any_length_go_through(void **state)
{
    (void)state;
    for (size_t n = 0; n <= 4; n++)
        for (size_t len = 0; n * (2 + len) <= PACKET_EXT_MAX && len < 127; len++) {
            struct packet p = make(1 << 20, 1, 0);
            add_elements(&p, n, len);
            check_round_trip(&p);
        }
}

static void elements_are_left_out_of_a_datagram_that_would_be_too_long(void **state)
{
    uint8_t with[PIPE_RTP_HEADER_MAX], without[PIPE_RTP_HEADER_MAX];
    struct packet p = make(UINT64_MAX, UINT64_MAX, INT32_MIN), plain;

    (void)state;
    p.spatial = 1;
    p.payload_len = PACKET_PAYLOAD_MAX;
    plain = p;
    add_elements(&p, 1, 126);
    size_t len = pipe_rtp_write(with, sizeof(with), &p, 1);
    assert_true(len + p.payload_len + PIPE_TAG_BYTES <= PIPE_DATAGRAM_MAX);
    assert_int_equal(pipe_rtp_write(without, sizeof(without), &plain, 1), len);
    assert_memory_equal(with, without, len);
    p.payload_len = 1200;
    assert_true(pipe_rtp_write(with, sizeof(with), &p, 1) > len);
}

static void the_same_packet_gives_the_same_bytes(void **state)
{
    uint8_t a[PIPE_RTP_HEADER_MAX], b[PIPE_RTP_HEADER_MAX];
    struct packet p = make(77777, 1234567, -3000);

    (void)state;
    add_elements(&p, 2, 5);
    memset(a, 0xaa, sizeof(a));
    memset(b, 0x55, sizeof(b));
    size_t len = pipe_rtp_write(a, sizeof(a), &p, 9);
    assert_int_equal(pipe_rtp_write(b, sizeof(b), &p, 9), len);
    assert_memory_equal(a, b, len);
}

/* An RTP header with this extension block, two-byte form, filled up with zeros; then `more` bytes of payload. */
static int parse_block(const char *block, size_t len, size_t more)
{
    uint8_t bytes[512] = {0};
    size_t ext_len = (len + 3) / 4 * 4, whole = (size_t)rtp_header_write(bytes, sizeof(bytes), &(struct rtp_header){
        .ext = bytes + 256, .ext_len = ext_len, .ext_profile = RTP_EXT_PROFILE_TWO_BYTE, .pt = PIPE_RTP_PT}), hdr_len;
    struct packet got;

    if (ext_len)
        memcpy(bytes + whole - ext_len, block, len);
    uint8_t *exact = exact_dup(bytes, whole + more);
    int err = pipe_rtp_parse(&got, exact, whole + more, &hdr_len);
    if (!err)
        assert_int_equal(hdr_len, whole);
    free(exact);
    return err;
}

static void each_damaged_extension_is_refused(void **state)
{
    static const struct {
        const char *name, *block;
        size_t len;
        int err;
    } rows[] = {
        {"whole", BYTES("\1\x0b\x10\0\1\0\0\0\0\0\0\0\0"), RTP_OK},
        {"bytes of a later version after it", BYTES("\1\x0d\x10\0\1\0\0\0\0\0\0\0\0zz"), RTP_OK},
        {"only padding", BYTES("\0\0\0\0"), RTP_ERR_VALUE},
        {"another element only", BYTES("\2\1\x30"), RTP_ERR_VALUE},
        {"another version", BYTES("\1\x0b\x20\0\1\0\0\0\0\0\0\0\0"), RTP_ERR_VALUE},
        {"empty", BYTES("\1\0"), RTP_ERR_VALUE},
        {"ends in the capture time", BYTES("\1\x0a\x10\0\1\0\0\0\0\0\0\0"), RTP_ERR_VALUE},
        {"ends in the number", BYTES("\1\3\x10\0\x81"), RTP_ERR_VALUE},
        {"a number of more than 48 bits", BYTES("\1\x11\x10\0\x80\x80\x80\x80\x80\x80\x80\0\0\0\0\0\0\0\0"),
         RTP_ERR_VALUE},
        {"a layer announced, not there", BYTES("\1\x0b\x12\0\1\0\0\0\0\0\0\0\0"), RTP_ERR_VALUE},
        {"an offset announced, not there", BYTES("\1\x0b\x11\0\1\0\0\0\0\0\0\0\0"), RTP_ERR_VALUE},
        {"twice", BYTES("\1\x0b\x10\0\1\0\0\0\0\0\0\0\0\1\x0b\x10\0\1\0\0\0\0\0\0\0\0"), RTP_ERR_VALUE},
        {"an element past the end", BYTES("\1\x0b\x10\0\1\0\0\0\0\0\0\0\0\2\5a"), RTP_ERR_SHORT},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        for (size_t more = 0; more <= 40; more += 20) {
            int err = parse_block(rows[i].block, rows[i].len, more);
            if (err != rows[i].err)
                fail_msg("%s: %d", rows[i].name, err);
        }
    }
}

static void what_no_pipe_sends_is_refused(void **state)
{
    static const struct {
        const char *name;
        size_t at;
        uint8_t byte;
        int err;
    } rows[] = {
        {"as it was", 2, 0, RTP_OK},
        {"bits of the application", 13, 0x03, RTP_OK},
        {"version 1", 0, 0x50, RTP_ERR_VALUE},
        {"padding", 0, 0xb0, RTP_ERR_VALUE},
        {"a CSRC", 0, 0x91, RTP_ERR_VALUE},
        {"no extension", 0, 0x80, RTP_ERR_VALUE},
        {"one-byte elements", 12, 0xbe, RTP_ERR_VALUE},
        {"more words than came", 15, 5, RTP_ERR_SHORT},
        {"an element longer than its words", 17, 16, RTP_ERR_SHORT},
    };
    struct packet p = make(1 << 20, 90000, 0), got;
    uint8_t hdr[PIPE_RTP_HEADER_MAX];
    size_t len = pipe_rtp_write(hdr, sizeof(hdr), &p, 1), hdr_len;

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(hdr, len);
        exact[rows[i].at] = rows[i].byte;
        int err = pipe_rtp_parse(&got, exact, len, &hdr_len);
        if (err != rows[i].err)
            fail_msg("%s: %d", rows[i].name, err);
        free(exact);
    }
    for (size_t cut = 0; cut < len; cut++) {
        uint8_t *exact = exact_dup(hdr, cut);
        assert_int_equal(pipe_rtp_parse(&got, exact, cut, &hdr_len), RTP_ERR_SHORT);
        free(exact);
    }
}

static void more_elements_than_a_packet_holds_are_refused(void **state)
{
    char block[256] = "\1\x0b\x10\0\1\0\0\0\0\0\0\0\0";

    (void)state;
    block[13] = 2;
    block[14] = 126;
    assert_int_equal(parse_block(block, 13 + 2 + 126, 0), RTP_OK);
    block[14] = 127;
    assert_int_equal(parse_block(block, 13 + 2 + 127, 0), RTP_ERR_VALUE);
}

/* ---- Feedback -------------------------------------------------------------------------------- */

static void hello_and_welcome_go_through(void **state)
{
    static const enum feedback_kind kinds[] = {FEEDBACK_HELLO, FEEDBACK_WELCOME};
    uint8_t bytes[FEEDBACK_HELLO_BYTES];

    (void)state;
    for (size_t i = 0; i < LEN(kinds); i++) {
        struct feedback f;
        assert_int_equal(feedback_write_hello(bytes, kinds[i], 0xdeadbeef, UINT64_MAX - 1), sizeof(bytes));
        for (size_t cut = 0; cut < sizeof(bytes); cut++) {
            uint8_t *exact = exact_dup(bytes, cut);
            assert_int_equal(feedback_parse(&f, exact, cut), FEEDBACK_ERR_SHORT);
            free(exact);
        }
        assert_int_equal(feedback_parse(&f, bytes, sizeof(bytes)), FEEDBACK_OK);
        assert_int_equal(f.kind, kinds[i]);
        assert_int_equal(f.ssrc, 0xdeadbeef);
        assert_int_equal(f.sent_us, UINT64_MAX - 1);
    }
}

static void requests_and_answers_of_every_size_go_through(void **state)
{
    struct feedback_range sent[FEEDBACK_RANGES_MAX] = {0}, got;

    (void)state;
    for (size_t n = 0; n <= FEEDBACK_RANGES_MAX; n++) {
        uint8_t bytes[FEEDBACK_BYTES_MAX];
        struct feedback f;
        for (size_t i = 0; i < n; i++)
            sent[i] = (struct feedback_range){(uint8_t)(i % 8), (uint8_t)(i / 8 % 8), (uint16_t)(i * 500),
                                              (uint32_t)(i << 25)};
        enum feedback_kind kind = n % 2 ? FEEDBACK_ASK : FEEDBACK_GONE;
        size_t len = feedback_write_ranges(bytes, kind, 5, sent, n);
        uint8_t *exact = exact_dup(bytes, len);
        assert_int_equal(feedback_parse(&f, exact, len), FEEDBACK_OK);
        assert_int_equal(f.kind, kind);
        for (size_t i = 0; i < n; i++) {
            assert_true(feedback_next(&f, &got));
            assert_int_equal(got.track, sent[i].track);
            assert_int_equal(got.layer, sent[i].layer);
            assert_int_equal(got.count, sent[i].count);
            assert_int_equal(got.first, sent[i].first);
        }
        assert_false(feedback_next(&f, &got));
        free(exact);
    }
}

static void each_damaged_feedback_is_refused(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
        int err;
    } rows[] = {
        {"whole hello", BYTES("\x81\xcc\0\4\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_OK},
        {"empty request", BYTES("\x83\xcc\0\2\0\0\0\1MRP1"), FEEDBACK_OK},
        {"version 1", BYTES("\x41\xcc\0\4\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_KIND},
        {"padding", BYTES("\xa1\xcc\0\4\0\0\0\1MRP1\0\0\0\0\0\0\0\4"), FEEDBACK_ERR_KIND},
        {"a receiver report", BYTES("\x81\xc9\0\4\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_KIND},
        {"another name", BYTES("\x81\xcc\0\4\0\0\0\1MRP2\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_KIND},
        {"a kind that is none", BYTES("\x85\xcc\0\4\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_KIND},
        {"a length below the packet's", BYTES("\x81\xcc\0\3\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_SHORT},
        {"a length above the packet's", BYTES("\x81\xcc\0\5\0\0\0\1MRP1\0\0\0\0\0\0\0\1"), FEEDBACK_ERR_SHORT},
        {"half a range", BYTES("\x83\xcc\0\3\0\0\0\1MRP1\0\0\0\1"), FEEDBACK_ERR_SHORT},
        {"half a range of an answer", BYTES("\x84\xcc\0\3\0\0\0\1MRP1\0\0\0\1"), FEEDBACK_ERR_SHORT},
        {"a hello without its time", BYTES("\x81\xcc\0\2\0\0\0\1MRP1"), FEEDBACK_ERR_SHORT},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(rows[i].bytes, rows[i].len);
        struct feedback f;
        int err = feedback_parse(&f, exact, rows[i].len);
        if (err != rows[i].err)
            fail_msg("%s: %d", rows[i].name, err);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field_goes_through_at_its_bounds),
        cmocka_unit_test(canonical_elements_of_any_length_go_through),
        cmocka_unit_test(elements_are_left_out_of_a_datagram_that_would_be_too_long),
        cmocka_unit_test(the_same_packet_gives_the_same_bytes),
        cmocka_unit_test(each_damaged_extension_is_refused),
        cmocka_unit_test(what_no_pipe_sends_is_refused),
        cmocka_unit_test(more_elements_than_a_packet_holds_are_refused),
        cmocka_unit_test(hello_and_welcome_go_through),
        cmocka_unit_test(requests_and_answers_of_every_size_go_through),
        cmocka_unit_test(each_damaged_feedback_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
