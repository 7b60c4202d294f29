/* SPDX-License-Identifier: Apache-2.0
 * test_layer_switch.c - from one simulcast layer to another: one stream for the viewer; see webrtc/rtp_sender.h. */
#include "webrtc/rtp_sender.h"

#include "wire/rtp_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { HZ = 90000, LOW = 0, HIGH = 1 };
#define UNIX0 UINT64_C(1767225600000000)
#define NOW0 UINT64_C(1000000)

/* Two layers of one camera: numbers, timestamps and VP8's counters have nothing in common; captures do. */
static const struct layer_line {
    uint64_t seq, ts;
    uint16_t picture_id;
    uint8_t tl0picidx, keyidx;
} LINES[] = {{PACKET_SEQ_FIRST + 100, UINT64_C(5) << 32, 32766, 254, 30}, {PACKET_SEQ_FIRST + 60000, UINT64_C(7) << 32 | 777, 40, 9, 3}};

struct fixture {
    struct pool *pool;
    struct cache *cache;
    struct rtp_sender s;
};

static int set_up(void **state)
{
    static const struct rtp_sender_cfg cfg = {.ssrc = 0x10, .rtx_ssrc = 0x11, .first_seq = 500, .first_rtx_seq = 9000, .first_ts = 7777};
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(packet_pool_create(&f->pool, 256), 0);
    assert_int_equal(cache_create(&f->cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = 256, .cap_us = 60000000}), 0);
    rtp_sender_init(&f->s, &cfg);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    cache_destroy(&f->cache);
    pool_destroy(&f->pool);
    free(f);
    return 0;
}

/* Frame n of a layer, in one packet, of 30 a second; the cache has it too. Borrowed from there. */
static const struct packet *frame(struct fixture *f, unsigned layer, unsigned n)
{
    const struct layer_line *l = &LINES[layer];
    struct packet *p = packet_create(f->pool);
    uint16_t id = (l->picture_id + n) & 0x7fff;
    const uint8_t payload[] = {0x90, 0xf0, (uint8_t)(0x80 | id >> 8), (uint8_t)id, (uint8_t)(l->tl0picidx + n),
                               (uint8_t)(0x20 | ((l->keyidx + n) & 0x1f)), 0x11, (uint8_t)n, (uint8_t)layer};

    assert_non_null(p);
    p->seq = l->seq + n;
    p->ts_ticks = l->ts + n * 3000u;
    p->capture_us = UNIX0 + n * 100000u / 3;
    p->layer = (uint8_t)layer;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END | PACKET_MARKER | (n % 10 == 0 ? PACKET_KEYFRAME : 0);
    p->payload_len = sizeof(payload);
    memcpy(p->bytes, payload, sizeof(payload));
    assert_true(cache_push(f->cache, p));
    packet_unref(&p);
    const struct packet *kept = cache_find(f->cache, 0, (uint8_t)layer, l->seq + n);
    assert_non_null(kept);
    return kept;
}

static void start(struct fixture *f, const struct packet *p, bool from_layer, uint64_t now_us)
{
    rtp_sender_start(&f->s,
                     &(struct rtp_start){.epoch = 1, .layer = p->layer, .pt = 96, .rtx_pt = 97, .clock_hz = HZ, .vp8 = true,
                                         .first_seq = p->seq, .first_ts = p->ts_ticks, .live_ts = p->ts_ticks,
                                         .first_capture_us = from_layer ? p->capture_us : 0},
                     now_us);
}

struct seen {
    uint16_t seq, picture_id;
    uint32_t ts;
    uint8_t tl0picidx, keyidx, n, layer;
};

static struct seen look(const struct rtp_out *out, size_t osn)
{
    uint8_t bytes[256];
    struct rtp_view v;
    struct payload_marks m;

    memcpy(bytes, out->hdr, out->hdr_len);
    memcpy(bytes + out->hdr_len, out->prefix, out->prefix_len);
    memcpy(bytes + out->hdr_len + out->prefix_len, out->payload, out->payload_len);
    assert_int_equal(rtp_view_parse(&v, bytes, out->hdr_len + out->prefix_len + out->payload_len), RTP_OK);
    assert_int_equal(v.payload_len, 9 + osn);
    assert_int_equal(codec_inspect(CODEC_VP8, v.payload + osn, v.payload_len - osn, &m), CODEC_OK);
    return (struct seen){v.seq, m.picture_id, v.ts_ticks, m.tl0picidx, m.keyidx, v.payload[osn + 7], v.payload[osn + 8]};
}

static struct seen send(struct fixture *f, unsigned layer, unsigned n)
{
    struct rtp_out out;

    assert_true(rtp_sender_write(&f->s, frame(f, layer, n), NOW0 + n * 100000u / 3, &out));
    return look(&out, 0);
}

static void check_follows(const struct seen *a, const struct seen *b, uint32_t ticks)
{
    assert_int_equal(b->seq, (uint16_t)(a->seq + 1));
    assert_int_equal(b->ts - a->ts, ticks);
    assert_int_equal(b->picture_id, (a->picture_id + 1) & 0x7fff);
    assert_int_equal(b->tl0picidx, (uint8_t)(a->tl0picidx + 1));
    assert_int_equal(b->keyidx, (a->keyidx + 1) & 0x1f);
}

static void the_first_layer_goes_out_as_it_is(void **state)
{
    struct fixture *f = *state;

    start(f, frame(f, LOW, 0), false, NOW0);
    struct seen a = send(f, LOW, 1);
    assert_int_equal(a.picture_id, 32767);
    assert_int_equal(a.tl0picidx, 255);
    assert_int_equal(a.keyidx, 31);
}

static void every_counter_runs_on_from_layer_to_layer_and_back(void **state)
{
    static const unsigned layers[] = {LOW, LOW, LOW, LOW, LOW, HIGH, HIGH, HIGH, HIGH, HIGH, LOW, LOW, LOW};
    struct fixture *f = *state;
    struct seen before = {0};

    for (unsigned n = 0; n < sizeof(layers) / sizeof(layers[0]); n++) {
        if (n == 0 || layers[n] != layers[n - 1])
            start(f, frame(f, layers[n], n), n > 0, NOW0 + n * 100000u / 3);
        struct rtp_out out;
        const struct packet *p = cache_find(f->cache, 0, (uint8_t)layers[n], LINES[layers[n]].seq + n);
        if (!p)
            p = frame(f, layers[n], n);
        assert_true(rtp_sender_write(&f->s, p, NOW0 + n * 100000u / 3, &out));
        struct seen s = look(&out, 0);
        assert_int_equal(s.n, n);
        assert_int_equal(s.layer, layers[n]);
        if (n)
            check_follows(&before, &s, n == 5 || n == 10 ? s.ts - before.ts : 3000);
        if (n == 5 || n == 10)
            assert_in_range(s.ts - before.ts, 2990, 3000); /* by captures, in whole microseconds */
        before = s;
    }
}

static void the_picture_of_a_moment_that_was_sent_already_is_a_little_later(void **state)
{
    struct fixture *f = *state;

    start(f, frame(f, LOW, 0), false, NOW0);
    struct seen a = send(f, LOW, 10);
    const struct packet *p = frame(f, HIGH, 10);
    struct rtp_out out;
    start(f, p, true, NOW0 + 400000);
    assert_true(rtp_sender_write(&f->s, p, NOW0 + 400000, &out));
    struct seen b = look(&out, 0);
    assert_int_equal(b.ts - a.ts, HZ / 1000);
}

static void the_old_layer_is_not_sent_any_more_but_its_losses_are_repaired(void **state)
{
    struct fixture *f = *state;
    struct rtp_out out;

    start(f, frame(f, LOW, 0), false, NOW0);
    struct seen a = send(f, LOW, 1);
    const struct packet *key = frame(f, HIGH, 10);
    start(f, key, true, NOW0 + 100000);
    assert_false(rtp_sender_write(&f->s, frame(f, LOW, 2), NOW0 + 100000, &out));
    assert_true(rtp_sender_write(&f->s, key, NOW0 + 100000, &out));
    struct seen b = look(&out, 0);

    assert_true(rtp_sender_resend(&f->s, a.seq, f->cache, 1, NOW0 + 200000, &out));
    struct seen again = look(&out, 2);
    assert_int_equal(out.prefix[0] << 8 | out.prefix[1], a.seq);
    assert_int_equal(again.picture_id, a.picture_id);
    assert_int_equal(again.ts, a.ts);
    assert_int_equal(again.layer, LOW);

    assert_true(rtp_sender_resend(&f->s, b.seq, f->cache, 1, NOW0 + 200000, &out));
    again = look(&out, 2);
    assert_int_equal(out.prefix[0] << 8 | out.prefix[1], b.seq);
    assert_int_equal(again.picture_id, b.picture_id); /* rewritten the same way */
    assert_int_equal(again.tl0picidx, b.tl0picidx);
    assert_int_equal(again.keyidx, b.keyidx);
    assert_int_equal(again.layer, HIGH);
    assert_memory_equal(packet_payload(key), "\x90\xf0\x80\x32", 4); /* the shared bytes are as they were */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(the_first_layer_goes_out_as_it_is),
        TEST(every_counter_runs_on_from_layer_to_layer_and_back),
        TEST(the_picture_of_a_moment_that_was_sent_already_is_a_little_later),
        TEST(the_old_layer_is_not_sent_any_more_but_its_losses_are_repaired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
