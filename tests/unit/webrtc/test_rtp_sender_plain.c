/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_sender_plain.c - the short way that most packets take through a sender makes the same of them, bit by bit, as the long
 * one: two senders, random configurations and packets, one sender kept from the short way; see webrtc/rtp_sender_priv.h.
 * An argument is the seed of the only run. */
#include "webrtc/rtp_sender_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RUNS = 400, PACKETS = 600, POOL = 4096 };

#define SEQ0 ((uint64_t)PACKET_SEQ_FIRST + 1000)
#define UNIX0 UINT64_C(1767225600000000)

static uint64_t only_seed, running_seed; /* 0: all; the test went through */

struct both {
    uint64_t random, now_us, seq, ts, epoch;
    struct pool *pool;
    struct cache *cache;
    struct rtp_sender shorter, longer;
    uint8_t layer;
    bool vp8, red, limits;
    uint16_t picture;
    size_t plain; /* packets that took the short way */
    uint64_t sent_seq[65536]; /* by the viewer's number */
    uint8_t sent_layer[65536];
};

static uint32_t draw(struct both *b, uint32_t below)
{
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(b->random >> 33) % below;
}

static bool chance(struct both *b, uint32_t percent)
{
    return draw(b, 100) < percent;
}

/* ---- a random stream ---------------------------------------------------------------------------------------- */

static void describe_vp8(struct both *b, struct packet *p)
{
    uint8_t *d = p->bytes + p->ext_len;
    const uint8_t head[] = {p->flags & PACKET_FRAME_START ? 0x90 : 0x80, 0xf0, (uint8_t)(0x80 | (b->picture >> 8 & 0x7f)),
                            (uint8_t)b->picture, (uint8_t)(b->picture / 4), (uint8_t)(b->picture & 0x1f)};

    memcpy(d, head, sizeof(head));
}

static void add_elements(struct both *b, struct packet *p)
{
    static const uint8_t ids[] = {PACKET_EXT_AUDIO_LEVEL, PACKET_EXT_VIDEO_ORIENTATION, PACKET_EXT_PLAYOUT_DELAY, PACKET_EXT_DEPENDENCY};

    for (size_t i = 0; i < LEN(ids); i++) {
        uint8_t len = (uint8_t)(ids[i] == PACKET_EXT_PLAYOUT_DELAY ? 3 : ids[i] == PACKET_EXT_DEPENDENCY ? 3 + draw(b, 20) : 1);
        if (chance(b, 50))
            continue;
        p->bytes[p->ext_len++] = ids[i];
        p->bytes[p->ext_len++] = len;
        for (uint8_t k = 0; k < len; k++)
            p->bytes[p->ext_len++] = (uint8_t)draw(b, 256);
    }
}

static struct packet *make(struct both *b)
{
    struct packet *p = packet_create(b->pool);
    bool starts = chance(b, 25);

    assert_non_null(p);
    b->seq += 1 + (chance(b, 5) ? draw(b, 4) : 0) + (chance(b, 1) ? draw(b, 2 * RTP_JUMP_MAX) : 0);
    b->ts += starts ? 1 + draw(b, 3000) : 0;
    b->picture = (uint16_t)(b->picture + starts) & 0x7fff;
    p->seq = b->seq;
    p->ts_ticks = b->ts;
    p->capture_us = UNIX0 + b->ts * 100 / 9;
    p->layer = b->layer;
    p->temporal = (uint8_t)draw(b, 3);
    p->flags = (uint8_t)((starts ? PACKET_FRAME_START : 0) | (chance(b, 25) ? PACKET_FRAME_END | PACKET_MARKER : 0) |
                         (chance(b, 10) ? PACKET_KEYFRAME : 0) | (chance(b, 10) ? PACKET_SWITCH_UP : 0));
    if (chance(b, 10))
        add_elements(b, p);
    p->payload_len = (uint16_t)(chance(b, 30) ? PACKET_PAYLOAD_MAX : chance(b, 3) ? 0 : 8 + draw(b, PACKET_PAYLOAD_MAX - 8));
    for (size_t i = 0; i < p->payload_len; i++)
        p->bytes[p->ext_len + i] = (uint8_t)draw(b, 256);
    if (b->vp8 && p->payload_len)
        describe_vp8(b, p);
    return p;
}

/* ---- both ways ------------------------------------------------------------------------------------------------ */

/* Pointers to what each has of its own apart. */
static void assert_same_state(const struct both *b)
{
    struct rtp_sender s = b->shorter, l = b->longer;

    assert_true(!s.cuts == !l.cuts && !s.now.cut == !l.now.cut && !s.before.cut == !l.before.cut);
    if (s.cuts)
        assert_memory_equal(s.cuts, l.cuts, 2 * sizeof(*s.cuts));
    s.cuts = l.cuts = s.now.cut = l.now.cut = s.before.cut = l.before.cut = NULL;
    s.send_us = l.send_us; /* only says when the last long one was written */
    assert_memory_equal(&s, &l, sizeof(s));
}

static void assert_same_out(const struct rtp_out *s, const struct rtp_out *l)
{
    assert_int_equal(s->index, l->index);
    assert_int_equal(s->numbered, l->numbered);
    assert_int_equal(s->hdr_len, l->hdr_len);
    assert_memory_equal(s->hdr, l->hdr, s->hdr_len);
    assert_int_equal(s->prefix_len, l->prefix_len);
    assert_memory_equal(s->prefix, l->prefix, s->prefix_len);
    assert_ptr_equal(s->payload, l->payload);
    assert_int_equal(s->payload_len, l->payload_len);
}

static void send_one(struct both *b, const struct packet *p)
{
    const struct packet *before = b->red ? cache_find(b->cache, p->track, p->layer, p->seq - 1) : NULL;
    bool plain = rtp_sender_is_next(&b->shorter, p);
    struct rtp_out s, l;

    assert_int_equal(rtp_sender_takes(&b->shorter, p), rtp_sender_takes(&b->longer, p));
    bool sent = rtp_sender_write_after(&b->shorter, p, before, b->now_us, &s);
    assert_int_equal(sent, rtp_sender_write_any(&b->longer, p, before, b->now_us, &l));
    if (sent) {
        assert_same_out(&s, &l);
        b->plain += plain;
        b->shorter.transport_seq++;
        b->longer.transport_seq++;
    }
    assert_same_state(b);
}

static void resend_one(struct both *b)
{
    uint16_t seq = (uint16_t)(b->shorter.highest - draw(b, 100));
    struct rtp_out s, l;
    bool sent = rtp_sender_resend(&b->shorter, seq, b->cache, b->epoch, b->now_us, &s);

    assert_int_equal(sent, rtp_sender_resend(&b->longer, seq, b->cache, b->epoch, b->now_us, &l));
    if (sent)
        assert_same_out(&s, &l);
    assert_same_state(b);
}

static void restart(struct both *b, const struct rtp_start *like)
{
    struct rtp_start start = *like;

    start.first_seq = b->seq + 1;
    start.first_ts = b->ts + 1;
    start.layer = b->layer;
    start.epoch = b->epoch;
    if (chance(b, 50)) {
        start.live_ts = start.first_ts + draw(b, 100000);
        start.run_us = draw(b, 1000000);
    }
    rtp_sender_start(&b->shorter, &start, b->now_us);
    rtp_sender_start(&b->longer, &start, b->now_us);
}

static void limit(struct both *b)
{
    struct rtp_level level = {RTP_LEVEL_ALL, (int8_t)draw(b, 3)};

    assert_int_equal(rtp_sender_limit(&b->shorter, level), 0);
    assert_int_equal(rtp_sender_limit(&b->longer, level), 0);
}

static struct rtp_sender_cfg draw_cfg(struct both *b)
{
    struct rtp_sender_cfg cfg = {.ssrc = 0x10, .rtx_ssrc = chance(b, 70) ? 0x11 : 0, .first_seq = (uint16_t)draw(b, 65536),
                                 .first_rtx_seq = 9000, .first_ts = draw(b, 1u << 31), .two_byte_ext = chance(b, 50)};

    for (size_t i = RTP_EXT_ABS_SEND_TIME; i < RTP_EXT_KINDS; i++)
        if (chance(b, 60))
            cfg.ext_id[i] = (uint8_t)(1 + draw(b, 20));
    if (chance(b, 80)) /* as with most viewers */
        cfg.ext_id[RTP_EXT_ABS_SEND_TIME] = 0;
    if (chance(b, 80))
        cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 5;
    return cfg;
}

static void keep(struct both *b, struct packet *p)
{
    assert_true(cache_push(b->cache, p));
}

static size_t run(uint64_t seed)
{
    struct both b = {.random = seed, .now_us = 1000000, .seq = SEQ0, .ts = UINT64_C(5) << 32, .epoch = 1};
    struct rtp_sender_cfg cfg = draw_cfg(&b);

    b.vp8 = chance(&b, 25);
    b.red = !b.vp8 && chance(&b, 15);
    b.limits = chance(&b, 20);
    struct rtp_start like = {.pt = 96, .rtx_pt = 97, .red_pt = b.red ? 63 : 0, .clock_hz = 90000, .vp8 = b.vp8,
                             .playout_ms = chance(&b, 50) ? 60 : 0};
    assert_int_equal(packet_pool_create(&b.pool, POOL), 0);
    assert_int_equal(cache_create(&b.cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = 1024, .cap_us = 60000000}), 0);
    rtp_sender_init(&b.shorter, &cfg);
    rtp_sender_init(&b.longer, &cfg);
    restart(&b, &like);
    for (unsigned n = 0; n < PACKETS; n++) {
        struct packet *p = make(&b), *late = NULL;
        b.now_us += draw(&b, 40000);
        if (chance(&b, 5)) {
            late = p; /* behind the next */
            p = make(&b);
        }
        send_one(&b, p);
        if (late)
            send_one(&b, late);
        if (chance(&b, 3))
            send_one(&b, p); /* twice */
        keep(&b, p);
        if (late)
            keep(&b, late);
        packet_unref(&p);
        packet_unref(&late);
        if (chance(&b, 5))
            resend_one(&b);
        if (b.limits && chance(&b, 1))
            limit(&b);
        b.layer = (uint8_t)(chance(&b, 1) ? draw(&b, 3) : b.layer);
        if (b.layer != b.shorter.now.layer && chance(&b, 80))
            restart(&b, &like);
    }
    rtp_sender_fini(&b.shorter);
    rtp_sender_fini(&b.longer);
    cache_destroy(&b.cache);
    pool_destroy(&b.pool);
    return b.plain;
}

/* ---- a cut that has become idle ------------------------------------------------------------------------------- */

enum { CUT_RUNS = 60, CUT_PACKETS = 12000, CUT_CACHE = 2048 };

static bool is_all(struct rtp_level level)
{
    return level.spatial == RTP_LEVEL_ALL && level.temporal == RTP_LEVEL_ALL;
}

static size_t payload_of(const struct rtp_out *o, uint8_t *dst)
{
    memcpy(dst, o->prefix, o->prefix_len);
    memcpy(dst + o->prefix_len, o->payload, o->payload_len);
    return o->prefix_len + o->payload_len;
}

/* A descriptor that is as it came may be a prefix or not. */
static void assert_same_packet(const struct rtp_out *s, const struct rtp_out *l)
{
    uint8_t one[RTP_OUT_MAX], other[RTP_OUT_MAX];
    size_t len = payload_of(s, one);

    assert_int_equal(s->index, l->index);
    assert_int_equal(s->numbered, l->numbered);
    assert_int_equal(s->hdr_len, l->hdr_len);
    assert_memory_equal(s->hdr, l->hdr, s->hdr_len);
    assert_int_equal(len, payload_of(l, other));
    assert_memory_equal(one, other, len);
}

/* The shorter drops its cut, the longer keeps it for good. */
static void send_cut(struct both *b, const struct packet *p, size_t *dropped)
{
    struct rtp_out s, l;
    bool had = b->shorter.now.cut, takes = rtp_sender_takes(&b->shorter, p);

    assert_int_equal(takes, !b->longer.now.cut || rtp_sender_cut_on(&b->longer, p));
    *dropped += had && !b->shorter.now.cut;
    if (!takes)
        return;
    bool sent = rtp_sender_write_after(&b->shorter, p, NULL, b->now_us, &s);
    assert_int_equal(sent, rtp_sender_write_after(&b->longer, p, NULL, b->now_us, &l));
    if (sent) {
        assert_same_packet(&s, &l);
        b->sent_seq[(uint16_t)s.index] = p->seq;
        b->sent_layer[(uint16_t)s.index] = p->layer;
    }
    b->shorter.transport_seq += sent;
    b->longer.transport_seq += sent;
}

static void resend_cut(struct both *b)
{
    uint16_t seq = (uint16_t)(b->shorter.highest - draw(b, 1500));
    struct rtp_out s, l;
    bool sent = rtp_sender_resend(&b->shorter, seq, b->cache, b->epoch, b->now_us, &s);

    if (rtp_sender_resend(&b->longer, seq, b->cache, b->epoch, b->now_us, &l)) {
        assert_true(sent);
        assert_same_packet(&s, &l);
    } else if (sent) { /* without a cut more is remembered */
        const struct packet *p = cache_find(b->cache, 0, b->sent_layer[seq], b->sent_seq[seq]);
        assert_non_null(p);
        assert_int_equal(s.prefix_len + s.payload_len, RTX_OSN_BYTES + p->payload_len);
        assert_memory_equal(s.payload, packet_payload(p) + (p->payload_len - s.payload_len), s.payload_len);
        b->longer.budget_bytes = b->shorter.budget_bytes;
        b->longer.rtx_next = b->shorter.rtx_next;
        memcpy(b->longer.resent, b->shorter.resent, sizeof(b->longer.resent));
    }
}

/* Some pictures are left out, then nothing for up to 6,000 packets. */
static void limit_sometimes(struct both *b, unsigned *until, unsigned n)
{
    struct rtp_level level = {RTP_LEVEL_ALL, (int8_t)draw(b, 2)};

    if (n < *until)
        return;
    if (is_all(rtp_sender_target(&b->longer))) {
        *until = n + 1 + draw(b, 300);
    } else {
        level.temporal = RTP_LEVEL_ALL;
        *until = n + draw(b, 6000);
    }
    assert_int_equal(rtp_sender_limit(&b->shorter, level), 0);
    assert_int_equal(rtp_sender_limit(&b->longer, level), 0);
}

static size_t run_cut(uint64_t seed)
{
    static struct both b;
    unsigned until = 0;
    size_t dropped = 0;

    b = (struct both){.random = seed, .now_us = 1000000, .seq = SEQ0, .ts = UINT64_C(5) << 32, .epoch = 1};
    struct rtp_sender_cfg cfg = draw_cfg(&b);
    cfg.two_byte_ext = false; /* a cut asks for that form sooner, for descriptors that it makes longer */
    b.vp8 = chance(&b, 40);
    struct rtp_start like = {.pt = 96, .rtx_pt = 97, .clock_hz = 90000, .vp8 = b.vp8};
    assert_int_equal(packet_pool_create(&b.pool, POOL), 0);
    assert_int_equal(cache_create(&b.cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = CUT_CACHE, .cap_us = 600000000}), 0);
    rtp_sender_init(&b.shorter, &cfg);
    rtp_sender_init(&b.longer, &cfg);
    restart(&b, &like);
    for (unsigned n = 0; n < CUT_PACKETS; n++) {
        struct packet *p = make(&b), *late = NULL;
        b.now_us += draw(&b, 10000);
        if (chance(&b, 5) && !(p->flags & PACKET_FRAME_START)) { /* a new cut waits for a picture's first packet, an old one for its timestamp */
            late = p;
            p = make(&b);
        }
        limit_sometimes(&b, &until, n);
        send_cut(&b, p, &dropped);
        if (late)
            send_cut(&b, late, &dropped);
        keep(&b, p);
        if (late)
            keep(&b, late);
        packet_unref(&p);
        packet_unref(&late);
        if (chance(&b, 10))
            resend_cut(&b);
        if (draw(&b, 5000) == 0)
            restart(&b, &like);
        assert_int_equal(rtp_sender_skipped(&b.shorter), rtp_sender_skipped(&b.longer));
        assert_true(is_all(rtp_sender_level(&b.shorter)) == is_all(rtp_sender_level(&b.longer)));
    }
    rtp_sender_fini(&b.shorter);
    rtp_sender_fini(&b.longer);
    cache_destroy(&b.cache);
    pool_destroy(&b.pool);
    return dropped;
}

static void a_sender_that_was_limited_once_makes_the_same_without_its_cut(void **state)
{
    size_t dropped = 0;

    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : CUT_RUNS); seed++) {
        running_seed = seed;
        dropped += run_cut(seed);
    }
    running_seed = 0;
    if (!only_seed)
        assert_true(dropped > CUT_RUNS / 2);
}

static void the_short_way_makes_the_same_of_every_packet(void **state)
{
    size_t plain = 0;

    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : RUNS); seed++) {
        running_seed = seed;
        plain += run(seed);
    }
    running_seed = 0;
    if (!only_seed)
        assert_true(plain > RUNS * PACKETS / 10); /* it was taken */
}

static int tell(void **state)
{
    (void)state;
    if (running_seed)
        print_message("seed %llu\n", (unsigned long long)running_seed);
    return 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(the_short_way_makes_the_same_of_every_packet, tell),
        cmocka_unit_test_teardown(a_sender_that_was_limited_once_makes_the_same_without_its_cut, tell),
    };

    only_seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
    return cmocka_run_group_tests_name("rtp_sender_plain", tests, NULL, NULL);
}
