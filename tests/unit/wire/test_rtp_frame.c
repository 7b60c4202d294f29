/* SPDX-License-Identifier: Apache-2.0
 * Packets on a byte stream, however the stream is cut. */
#include "wire/rtp_frame.h"

#include "exact.h"

struct row {
    const char *name, *bytes;
    size_t len;
    const char *packets[3]; /* ended by NULL */
    int end;
};

static const struct row rows[] = {
    {"nothing", BYTES(""), {NULL}, RTP_FRAME_MORE},
    {"half a header", BYTES("\0"), {NULL}, RTP_FRAME_MORE},
    {"a header only", BYTES("\0\3"), {NULL}, RTP_FRAME_MORE},
    {"one packet", BYTES("\0\3abc"), {"abc"}, RTP_FRAME_MORE},
    {"two, and the beginning of a third", BYTES("\0\3abc\0\1d\0\5ef"), {"abc", "d"}, RTP_FRAME_MORE},
    {"packets of no bytes say nothing", BYTES("\0\0\0\0\0\2ab\0\0"), {"ab"}, RTP_FRAME_MORE},
    {"a length over a datagram's", BYTES("\0\1a\5\335bcd"), {"a"}, RTP_FRAME_ERR_LONG},
    {"noise", BYTES("GET / HTTP/1.1\r\n"), {NULL}, RTP_FRAME_ERR_LONG},
};

/* In pieces of step bytes, each of its own exact size. */
static void push_in_pieces(const struct row *row, size_t step)
{
    struct rtp_deframer d;
    size_t n = 0;
    int state = RTP_FRAME_MORE;

    rtp_deframer_init(&d);
    for (size_t at = 0; at < row->len && state != RTP_FRAME_ERR_LONG; at += step) {
        size_t len = row->len - at < step ? row->len - at : step;
        uint8_t *piece = exact_dup(row->bytes + at, len);
        struct reader r = reader_init(piece, len);

        while ((state = rtp_deframer_push(&d, &r)) == RTP_FRAME_READY) {
            size_t got;
            const uint8_t *packet = rtp_deframer_packet(&d, &got);

            assert_non_null(row->packets[n]);
            assert_int_equal(got, strlen(row->packets[n]));
            assert_memory_equal(packet, row->packets[n], got);
            n++;
        }
        assert_true(state == RTP_FRAME_ERR_LONG || reader_left(&r) == 0);
        assert_false(r.bad);
        free(piece);
    }
    assert_int_equal(state, row->end);
    assert_null(row->packets[n]);
}

static void each_row_gives_its_packets_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("%s\n", rows[i].name);
        for (size_t step = 1; step <= rows[i].len + 1; step++)
            push_in_pieces(&rows[i], step);
    }
}

static void the_longest_packet_fits(void **state)
{
    uint8_t header[RTP_FRAME_HEADER_BYTES], body[RTP_FRAME_MAX];
    struct rtp_deframer d;
    size_t len;

    (void)state;
    memset(body, 'x', sizeof(body));
    rtp_frame_write(header, sizeof(body));
    rtp_deframer_init(&d);
    for (int i = 0; i < 2; i++) {
        struct reader r = reader_init(header, sizeof(header));
        assert_int_equal(rtp_deframer_push(&d, &r), RTP_FRAME_MORE);
        r = reader_init(body, sizeof(body));
        assert_int_equal(rtp_deframer_push(&d, &r), RTP_FRAME_READY);
        assert_memory_equal(rtp_deframer_packet(&d, &len), body, sizeof(body));
        assert_int_equal(len, sizeof(body));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_gives_its_packets_however_it_is_cut),
        cmocka_unit_test(the_longest_packet_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
