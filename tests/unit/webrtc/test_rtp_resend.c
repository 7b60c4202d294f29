/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_resend.c - what goes to a viewer again, by RTX or as it was, and what is fit to be: RED, transport-wide numbers, send
 * times; see webrtc/rtp_sender.h. */
#include "sender_scene.h"

/* ---- retransmission ------------------------------------------------------------------------------------------------ */

static void send_and_cache(struct fixture *f, uint64_t n, uint64_t now_us, struct sent *d)
{
    struct packet *p = make(f, n);

    assert_true(write_packet(f, p, now_us, d));
    assert_true(cache_push(f->cache, p));
    packet_unref(&p);
}

static bool resend(struct fixture *f, uint16_t seq, uint64_t epoch, uint64_t now_us, struct sent *d)
{
    struct rtp_out out;
    bool ok = rtp_sender_resend(&f->s, seq, f->cache, epoch, now_us, &out);

    if (ok)
        assemble(d, &out);
    return ok;
}

static void rtx_has_its_own_numbers_and_the_original_in_front(void **state)
{
    struct fixture *f = *state;
    struct sent d[10], again;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 10; n++)
        send_and_cache(f, n, 0, &d[n]);
    for (uint16_t k = 0; k < 3; k++) {
        const struct sent *first = &d[3 + k];
        assert_true(resend(f, (uint16_t)(503 + k), 1, 1000, &again));
        assert_int_equal(again.view.ssrc, 0x11);
        assert_int_equal(again.view.pt, 97);
        assert_int_equal(again.view.seq, 9000 + k);
        assert_int_equal(again.index, 9000 + k);
        assert_int_equal(again.view.ts_ticks, first->view.ts_ticks);
        assert_int_equal(again.view.marker, first->view.marker);
        assert_int_equal(again.view.payload_len, first->view.payload_len + 2);
        assert_int_equal(again.view.payload[0] << 8 | again.view.payload[1], first->view.seq);
        assert_memory_equal(again.view.payload + 2, first->view.payload, first->view.payload_len);
    }
    assert_int_equal(f->s.counters.resent, 3);
    assert_int_equal(f->s.counters.resent_octets, 300);
    assert_int_equal(f->s.counters.packets, 10);
}

/* One packet, one nonce: the same index must be the same bytes, squeezed timestamp and extensions included. */
static void without_rtx_the_very_same_packet_goes_out_again(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d[8], again;

    cfg.rtx_ssrc = 0;
    cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME] = 5;
    cfg.ext_id[RTP_EXT_AUDIO_LEVEL] = 2;
    rtp_sender_init(&f->s, &cfg);
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .pt = 96, .rtx_pt = 97, .clock_hz = HZ, .first_seq = SEQ0,
                     .first_ts = TS0, .live_ts = TS0 + 180000, .run_us = 500000}, 0);
    for (uint64_t n = 0; n < 8; n++)
        send_and_cache(f, n, n * 1000, &d[n]);
    for (uint16_t n = 0; n < 8; n++) {
        assert_true(resend(f, (uint16_t)(500 + n), 1, 50000 + n * 100000u, &again));
        assert_int_equal(again.index, d[n].index);
        assert_int_equal(again.len, d[n].len);
        assert_memory_equal(again.bytes, d[n].bytes, d[n].len);
    }
}

/* ---- RED ------------------------------------------------------------------------------------------------------------ */

/* Opus of 20 ms by RED 63; the cache has what was sent. */
struct said {
    uint64_t n, ts_ticks;
    uint16_t len;
};

static void start_red(struct fixture *f, const struct rtp_sender_cfg *cfg)
{
    rtp_sender_init(&f->s, cfg);
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = 1, .pt = 111, .rtx_pt = 112, .red_pt = 63, .clock_hz = 48000,
                     .first_seq = SEQ0, .first_ts = TS0}, 0);
}

static struct packet *say(struct fixture *f, const struct said *w)
{
    struct packet *p = make(f, w->n);

    p->ts_ticks = TS0 + w->ts_ticks;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END;
    p->payload_len = w->len;
    memset(p->bytes, (int)(0xa0 + w->n), w->len);
    return p;
}

static bool send_said(struct fixture *f, const struct said *w, struct sent *d)
{
    struct packet *p = say(f, w);
    struct rtp_out out;

    (void)!cache_push(f->cache, p); /* again: a copy */
    bool ok = rtp_sender_write_after(&f->s, p, cache_find(f->cache, 0, 0, p->seq - 1), 0, &out);
    if (ok)
        assemble(d, &out);
    packet_unref(&p);
    return ok;
}

/* In the order they come; each must be the packet before it, if it is to be carried, and itself, byte for byte. */
static void red_carries_the_packet_directly_before(void **state)
{
    static const struct {
        const char *name;
        struct said w;
        uint16_t carried; /* bytes of the packet before it; 0: it goes alone */
        uint8_t headers[4];
    } rows[] = {
        {"the first", {0, 0, 4}, 0, {0}},
        {"20 ms later", {1, 960, 3}, 4, {0xef, 0x0f, 0x00, 0x04}},
        {"after a gap", {3, 2880, 3}, 0, {0}},
        {"late: it fills the gap", {2, 1920, 3}, 0, {0}},
        {"after what went alone", {4, 3840, 1023}, 3, {0xef, 0x0f, 0x00, 0x03}},
        {"the longest that can be carried", {5, 3840 + 120, 300}, 1023, {0xef, 0x01, 0xe3, 0xff}},
        {"the oldest that can be carried", {6, 3960 + 16383, 1024}, 300, {0xef, 0xff, 0xfd, 0x2c}},
        {"one too long before it", {7, 20343 + 960, 500}, 0, {0}},
        {"one too old before it", {8, 21303 + 16384, 981}, 0, {0}},
        {"too long together", {9, 37687 + 960, 487}, 0, {0}},
        {"as long as may be", {10, 38647 + 960, 980}, 487, {0xef, 0x0f, 0x01, 0xe7}},
        {"a mark, nothing to be said", {11, 39607 + 960, 0}, 0, {0}},
        {"after a mark", {12, 40567 + 960, 5}, 0, {0}},
    };
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d[LEN(rows)], again;

    cfg.rtx_ssrc = 0;
    start_red(f, &cfg);
    for (size_t i = 0; i < LEN(rows); i++) {
        const struct said *w = &rows[i].w;
        uint8_t want[RTP_OUT_MAX], *to = want;

        print_message("  %s\n", rows[i].name);
        assert_true(send_said(f, w, &d[i]));
        assert_int_equal(d[i].view.pt, w->len ? 63 : 111);
        assert_int_equal(d[i].view.seq, 500 + w->n);
        assert_int_equal(d[i].view.ts_ticks, 7777 + w->ts_ticks);
        if (rows[i].carried) {
            memcpy(to, rows[i].headers, 4);
            to += 4;
        }
        if (w->len)
            *to++ = 0x6f;
        memset(to, (int)(0xa0 + w->n - 1), rows[i].carried);
        memset(to + rows[i].carried, (int)(0xa0 + w->n), w->len);
        to += rows[i].carried + w->len;
        assert_int_equal(d[i].view.payload_len, to - want);
        assert_memory_equal(d[i].view.payload, want, (size_t)(to - want));
    }
    /* The packet before 3 is here by now, that before 1 always was: the same bytes under the same index all the same. */
    for (size_t i = 0; i < LEN(rows); i++) {
        assert_true(resend(f, (uint16_t)(500 + rows[i].w.n), 1, 50000 + i * 100000u, &again));
        assert_int_equal(again.index, d[i].index);
        assert_int_equal(again.len, d[i].len);
        assert_memory_equal(again.bytes, d[i].bytes, d[i].len);
    }
    /* A second copy: not sent where it would be other bytes. */
    assert_false(send_said(f, &rows[1].w, &again));
    assert_true(send_said(f, &rows[2].w, &again));
    assert_memory_equal(again.bytes, d[2].bytes, d[2].len);
}

static void red_that_cannot_be_built_again_is_not_sent_again(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.rtx_ssrc = 0;
    start_red(f, &cfg);
    for (uint64_t n = 0; n < RTP_SENT_NUMBERS + 1; n++)
        assert_true(send_said(f, &(struct said){n, n * 960, 10}, &d));
    assert_false(resend(f, 500, 1, 50000, &d)); /* nobody knows how it was sent */
    assert_int_equal(f->s.counters.resend_gone, 1);
    assert_true(resend(f, 501, 1, 50000, &d));
    cache_clear(f->cache);
    struct packet *p = say(f, &(struct said){700, 700 * 960, 10});
    assert_true(cache_push(f->cache, p));
    packet_unref(&p);
    assert_false(resend(f, 500 + 700, 1, 50000, &d)); /* 699, which it carried, is gone */
    assert_int_equal(f->s.counters.resend_gone, 2);
    assert_int_equal(f->s.counters.resent, 1);
}

static void red_with_transport_cc_uses_no_index_twice(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    start_red(f, &cfg);
    for (uint64_t n = 0; n < 3; n++)
        assert_true(send_said(f, &(struct said){n, n * 960, 10}, &d));
    assert_int_equal(d.view.pt, 63);
    assert_int_equal(d.view.payload_len, 5 + 20);
    assert_false(send_said(f, &(struct said){0, 0, 10}, &d));
    assert_false(send_said(f, &(struct said){2, 1920, 10}, &d));
    assert_false(resend(f, 502, 1, 50000, &d)); /* RED has no RTX, whatever was offered */
    assert_int_equal(f->s.counters.resend_refused, 1);
}

/* A packet within a frame has its number only; the longest that fits still has it, a longer one goes without. */
static void a_packet_within_a_frame_has_only_its_transport_wide_number(void **state)
{
    static const uint8_t header[] = {0x90, 0xe0, 0x01, 0xf5, 0x00, 0x00, 0x1e, 0x61, 0x00, 0x00,
                                     0x00, 0x10, 0xbe, 0xde, 0x00, 0x01, 0x51, 0xab, 0xcd, 0x00};
    static const struct {
        size_t payload_len, hdr_len;
    } rows[] = {{100, 20}, {RTP_OUT_MAX - 22, 20}, {RTP_OUT_MAX - 21, 12}};
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    for (size_t i = 0; i < LEN(rows); i++) {
        struct packet *p = make(f, 1);
        struct rtp_out out;
        rtp_sender_init(&f->s, &cfg);
        start(f, 0, 1, 1000000);
        f->s.transport_seq = 0xabcd;
        p->payload_len = (uint16_t)rows[i].payload_len;
        assert_true(rtp_sender_write(&f->s, p, 1000000, &out));
        assert_int_equal(out.hdr_len, rows[i].hdr_len);
        assert_int_equal(out.numbered, rows[i].hdr_len == sizeof(header));
        assert_int_equal(out.payload_len, rows[i].payload_len);
        assert_memory_equal(out.hdr + 1, header + 1, 11);
        assert_int_equal(out.hdr[0], out.numbered ? 0x90 : 0x80);
        if (out.numbered)
            assert_memory_equal(out.hdr, header, sizeof(header));
        packet_unref(&p);
    }
}

/* A transport-wide number makes each sending another packet: none may share its SRTP index with one before. */
static void with_transport_cc_no_index_is_used_twice(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;

    cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    cfg.rtx_ssrc = 0;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    f->s.transport_seq = 0xabcd;
    send_and_cache(f, 0, 1000000, &d);
    struct rtp_ext e;
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 5));
    assert_int_equal(e.len, 2);
    assert_memory_equal(e.data, "\xab\xcd", 2);
    f->s.transport_seq++;
    assert_false(write_n(f, 0, 1000000, &d));            /* a copy */
    assert_false(resend(f, d.view.seq, 1, 2000000, &d)); /* no RTX */
    assert_int_equal(f->s.counters.resend_refused, 1);
    assert_true(write_n(f, 3, 1000000, &d));
    assert_true(write_n(f, 1, 1000000, &d)); /* late ... */
    assert_false(write_n(f, 1, 1000000, &d)); /* ... but once */
    assert_true(write_n(f, 2 + RTP_SENT_NUMBERS, 1000000, &d));
    assert_false(write_n(f, 2, 1000000, &d)); /* so late that nobody knows */
    assert_true(write_n(f, 4, 1000000, &d));
    assert_true(write_n(f, 9000, 1000000, &d));
    assert_true(write_n(f, 8999, 1000000, &d));
    assert_false(write_n(f, 9000, 1000000, &d));
}

/* REMB's receivers are told when each packet left, also what goes by RTX. */
static void a_send_time_is_that_of_each_sending(void **state)
{
    struct fixture *f = *state;
    struct rtp_sender_cfg cfg = CFG;
    struct sent d;
    struct rtp_ext e;
    uint32_t first, again;

    cfg.ext_id[RTP_EXT_ABS_SEND_TIME] = 6;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    send_and_cache(f, 0, 1000000, &d);
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 6));
    assert_true(rtp_ext_abs_send_time_parse(&first, e.data, e.len));
    assert_false(write_n(f, 0, 1000000, &d)); /* a copy */
    assert_true(resend(f, d.view.seq, 1, 1500000, &d));
    assert_int_equal(d.view.ssrc, cfg.rtx_ssrc);
    assert_true(rtp_ext_find(&e, d.view.ext_profile, d.view.ext, d.view.ext_len, 6));
    assert_true(rtp_ext_abs_send_time_parse(&again, e.data, e.len));
    assert_in_range(again - first, (1 << 18) / 2 - 1, (1 << 18) / 2 + 1); /* half a second */

    cfg.rtx_ssrc = 0;
    rtp_sender_init(&f->s, &cfg);
    start(f, 0, 1, 1000000);
    assert_true(write_n(f, 0, 1000000, &d));
    assert_false(resend(f, d.view.seq, 1, 2000000, &d)); /* another packet under the same index */
    assert_int_equal(f->s.counters.resend_refused, 1);
}

static void what_cannot_be_sent_again_is_counted_by_its_cause(void **state)
{
    struct fixture *f = *state;
    struct sent d;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 10; n++)
        if (n != 4)
            send_and_cache(f, n, 0, &d);
    assert_false(resend(f, 504, 1, 0, &d));   /* never came */
    assert_false(resend(f, 510, 1, 0, &d));   /* not sent yet */
    assert_false(resend(f, 499, 1, 0, &d));   /* before the first */
    assert_false(resend(f, 503, 2, 0, &d));   /* the cache is of another epoch */
    assert_int_equal(f->s.counters.resend_gone, 4);
    assert_true(resend(f, 503, 1, 10000, &d));
    assert_false(resend(f, 503, 1, 14000, &d)); /* still on its way */
    assert_true(resend(f, 503, 1, 15000, &d));
    f->s.rtt_us = 80000;
    assert_false(resend(f, 503, 1, 54000, &d));
    assert_true(resend(f, 503, 1, 55000, &d));
    f->s.budget_bytes = 99;
    assert_false(resend(f, 505, 1, 60000, &d));
    assert_int_equal(f->s.counters.resend_refused, 3);
    assert_int_equal(f->s.counters.nacked, 10);
    assert_int_equal(f->s.counters.resent, 3);
    send_and_cache(f, 10, 0, &d); /* what is sent earns half of it */
    assert_true(resend(f, 505, 1, 60000, &d));
}

static void the_segment_before_can_be_asked_for_within_an_epoch(void **state)
{
    struct fixture *f = *state;
    struct sent d, again;

    start(f, 0, 1, 0);
    for (uint64_t n = 0; n < 4; n++)
        send_and_cache(f, n, 0, &d);
    struct sent third = d; /* 503 */
    assert_int_equal(rtp_view_parse(&third.view, third.bytes, third.len), RTP_OK);
    start(f, 20, 1, 0);    /* went on elsewhere */
    send_and_cache(f, 20, 0, &d);
    assert_int_equal(d.view.seq, 504);
    assert_true(resend(f, 503, 1, 10000, &again));
    assert_memory_equal(again.view.payload + 2, third.view.payload, 100);
    assert_int_equal(again.view.ts_ticks, third.view.ts_ticks);
    assert_true(resend(f, 504, 1, 10000, &again));
    assert_memory_equal(again.view.payload + 2, d.view.payload, 100);
    start(f, 40, 2, 0); /* a new epoch: the cache holds other packets under those numbers */
    assert_false(resend(f, 503, 2, 20000, &again));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(rtx_has_its_own_numbers_and_the_original_in_front),
        IN_FIXTURE(without_rtx_the_very_same_packet_goes_out_again),
        IN_FIXTURE(red_carries_the_packet_directly_before),
        IN_FIXTURE(red_that_cannot_be_built_again_is_not_sent_again),
        IN_FIXTURE(red_with_transport_cc_uses_no_index_twice),
        IN_FIXTURE(a_packet_within_a_frame_has_only_its_transport_wide_number),
        IN_FIXTURE(with_transport_cc_no_index_is_used_twice),
        IN_FIXTURE(a_send_time_is_that_of_each_sending),
        IN_FIXTURE(what_cannot_be_sent_again_is_counted_by_its_cause),
        IN_FIXTURE(the_segment_before_can_be_asked_for_within_an_epoch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
