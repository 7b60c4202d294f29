/* SPDX-License-Identifier: Apache-2.0
 * sim_send.c - one viewer behind a bad network: joins in the middle, loses packets, asks for them again, sees the
 * publisher come back under new epochs. Virtual clock; a run is drawn from a seed, which is printed when a check
 * fails (run it alone: test_sim_send SEED).
 *
 * What must hold whatever happens:
 *   - one SRTP index, one packet: the same (SSRC, index) is the same bytes or not sent at all;
 *   - within an epoch the viewer's number is the cluster's plus a constant, over epochs it runs on by one;
 *   - timestamps never go back, and go together with the time of sending: in the catching up, live, and over epochs;
 *   - after the catching up the viewer is as near to live as one that was there before;
 *   - what the edge has reaches the viewer, in the end. */
#include "net.h"
#include "../seed.h"

#include "base/seq.h"
#include "webrtc/nack.h"
#include "webrtc/rtp_sender.h"
#include "webrtc/rtx.h"
#include "wire/rtp_view.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum {
    SEEDS = 600,
    FPS = 30,
    FRAME_US = 1000000 / FPS,
    FRAMES = 240,      /* an epoch: 8 s */
    EPOCHS = 2,
    FRAME_PACKETS = 4, /* at most */
    PACKETS_MAX = FRAMES * FRAME_PACKETS,
    OUT_MAX = 16384,
    SSRC = 0x10,
    RTX_SSRC = 0x11,
    HZ = 90000,
};

/* What the edge sends is found again by this at the head of each payload. */
struct mark {
    uint32_t epoch, n;     /* n: packet of the epoch, from 0 */
    uint64_t ts;
};

struct sim {
    struct rng rng;
    struct net up;         /* to the edge: late packets are those that were repaired on their way */
    struct net down, back; /* to the viewer, and its NACKs */
    struct pool *pool;
    struct cache *cache;
    struct rtp_sender s;
    bool rtx;
    uint64_t now_us, join_us;
    /* the edge */
    uint64_t epoch, cursor, base_seq, base_ts;
    enum { WAITING, CATCHING_UP, LIVE } state;
    /* the source */
    uint64_t epoch_start_us, frame, next_n, gop;
    bool arrived[EPOCHS + 1][PACKETS_MAX];
    /* the viewer */
    struct nack_gen nack;
    bool got_any;
    uint64_t near_seq;
    struct mark got[OUT_MAX];  /* by extended number less the first */
    uint32_t got_ts[OUT_MAX];
    bool has[OUT_MAX];
    uint64_t hash[2][OUT_MAX]; /* of the datagram under each index, main and RTX */
    uint64_t first_index[2];
    struct {                   /* of each epoch: the first and the highest that was sent */
        uint64_t low, high, low_us, high_us;
        uint32_t low_ts, high_ts;
    } span[EPOCHS + 1];
    uint64_t last_live_lag_us, sent;
};

/* ---- the source: frames of one to four packets, a keyframe each gop frames --------------------------------- */

struct wire_packet { /* as it travels to the edge in this simulation */
    struct mark mark;
    uint64_t capture_us;
    uint8_t flags;
};

static void send_frame(struct sim *s)
{
    bool key = s->frame % s->gop == 0;
    uint64_t packets = key ? FRAME_PACKETS : 1 + rng_below(&s->rng, FRAME_PACKETS);

    for (uint64_t i = 0; i < packets; i++) {
        struct wire_packet w = {.mark = {(uint32_t)s->epoch, (uint32_t)s->next_n++, s->base_ts + s->frame * (HZ / FPS)},
                                .capture_us = s->now_us};
        w.flags = (uint8_t)((i == 0 ? PACKET_FRAME_START : 0) | (key ? PACKET_KEYFRAME : 0) |
                            (i + 1 == packets ? PACKET_FRAME_END | PACKET_MARKER : 0));
        net_send(&s->up, s->now_us, &w, sizeof(w));
    }
    s->frame++;
}

static void begin_epoch(struct sim *s)
{
    s->epoch++;
    s->epoch_start_us = s->now_us;
    s->frame = s->next_n = 0;
    s->gop = 20 + rng_below(&s->rng, 100);
    s->base_seq = PACKET_SEQ_FIRST + rng_below(&s->rng, 1 << 20);
    s->base_ts = (UINT64_C(1) << 32) + rng_next(&s->rng) % (UINT64_C(1) << 33);
    cache_clear(s->cache);
    rtp_sender_stop(&s->s);
    s->state = WAITING;
}

/* ---- the edge: what viewer.c does, in small ------------------------------------------------------------------ */

static uint64_t mix(const uint8_t *p, size_t len, uint64_t h)
{
    for (size_t i = 0; i < len; i++)
        h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

/* Over epochs: the next number, and a timestamp later by the time that passed. */
static void note_span(struct sim *s, uint64_t index, uint32_t ts)
{
    uint64_t e = s->epoch;

    if (s->span[e].low == 0) {
        s->span[e].low = index;
        s->span[e].low_us = s->now_us;
        s->span[e].low_ts = ts;
        if (e > 1) {
            uint64_t passed = (s->now_us - s->span[e - 1].high_us) * 9 / 100;
            assert_int_equal(index, s->span[e - 1].high + 1);
            assert_in_range(ts - s->span[e - 1].high_ts + 2 - (uint32_t)passed, 0, 4);
        }
    }
    if (index >= s->span[e].high) {
        s->span[e].high = index;
        s->span[e].high_us = s->now_us;
        s->span[e].high_ts = ts;
    }
}

static void transmit(struct sim *s, const struct rtp_out *out, bool again)
{
    uint8_t d[RTP_OUT_MAX];
    size_t len = 0;
    struct rtp_view v;

    memcpy(d, out->hdr, out->hdr_len);
    len += out->hdr_len;
    memcpy(d + len, out->prefix, out->prefix_len);
    len += out->prefix_len;
    memcpy(d + len, out->payload, out->payload_len);
    len += out->payload_len;
    assert_int_equal(rtp_view_parse(&v, d, len), RTP_OK);
    int which = v.ssrc == RTX_SSRC;
    assert_true(which || v.ssrc == SSRC);
    assert_int_equal((uint16_t)out->index, v.seq);
    if (!s->first_index[which])
        s->first_index[which] = out->index;
    if (!again)
        note_span(s, out->index, v.ts_ticks);
    uint64_t at = out->index - s->first_index[which];
    assert_true(at < OUT_MAX);
    uint64_t h = mix(d, len, UINT64_C(0xcbf29ce484222325)) | 1;
    assert_true(s->hash[which][at] == 0 || s->hash[which][at] == h); /* one index, one packet */
    s->hash[which][at] = h;
    s->sent++;
    net_send(&s->down, s->now_us, d, len);
}

static void write_packet(struct sim *s, const struct packet *p)
{
    struct rtp_out out;

    if (rtp_sender_write(&s->s, p, s->now_us, &out))
        transmit(s, &out, false);
}

static void pump(struct sim *s)
{
    for (; s->cursor < cache_end(s->cache); s->cursor++) {
        const struct packet *p = cache_at(s->cache, s->cursor);
        if (p && rtp_segment_due_us(&s->s.now, p->ts_ticks) > s->now_us)
            return;
        if (p)
            write_packet(s, p);
    }
}

static void start(struct sim *s)
{
    uint64_t at, bytes = 0;

    if (s->now_us < s->join_us || !cache_keyframe(s->cache, 0, 0, &at))
        return;
    const struct packet *first = cache_at(s->cache, at);
    uint64_t newest = first->ts_ticks;
    for (uint64_t i = at; i < cache_end(s->cache); i++) {
        const struct packet *p = cache_at(s->cache, i);
        newest = p && p->ts_ticks > newest ? p->ts_ticks : newest;
        bytes += p ? p->payload_len : 0;
    }
    uint64_t span_us = (newest - first->ts_ticks) * 1000000 / HZ;
    rtp_sender_start(&s->s, &(struct rtp_start){.epoch = s->epoch, .pt = 96, .rtx_pt = s->rtx ? 97 : 0, .clock_hz = HZ,
                     .first_seq = first->seq, .first_ts = first->ts_ticks, .live_ts = newest,
                     .run_us = rtp_catch_up_us(span_us, bytes)}, s->now_us);
    s->cursor = at;
    s->state = CATCHING_UP;
}

static void on_cluster_packet(struct sim *s, const struct wire_packet *w)
{
    struct packet *p;

    if (w->mark.epoch != s->epoch)
        return;
    p = packet_create(s->pool);
    assert_non_null(p);
    p->seq = s->base_seq + w->mark.n;
    p->ts_ticks = w->mark.ts;
    p->capture_us = w->capture_us;
    p->flags = w->flags;
    p->payload_len = 300;
    memset(p->bytes, 0, p->payload_len);
    memcpy(p->bytes, &w->mark, sizeof(w->mark));
    if (cache_push(s->cache, p)) {
        s->arrived[s->epoch][w->mark.n] = true;
        if (s->state == LIVE)
            write_packet(s, p);
        else if (s->state == WAITING)
            start(s);
        if (s->state == CATCHING_UP) {
            pump(s);
            if (s->cursor == cache_end(s->cache))
                s->state = LIVE;
        }
    }
    packet_unref(&p);
}

/* ---- the viewer --------------------------------------------------------------------------------------------------- */

static void on_media(struct sim *s, const struct net_datagram *d)
{
    struct rtp_view v;
    struct mark m;
    bool resent;

    assert_int_equal(rtp_view_parse(&v, d->bytes, d->len), RTP_OK);
    resent = v.ssrc == RTX_SSRC;
    if (resent) {
        assert_int_equal(v.pt, 97);
        assert_int_equal(rtx_unwrap(&v, SSRC, 96), 0);
    }
    assert_int_equal(v.pt, 96);
    if (!s->got_any) {
        s->got_any = true;
        s->near_seq = (s->first_index[0] & ~UINT64_C(0xffff)) | v.seq;
    }
    uint64_t seq = seq16_extend(s->near_seq, v.seq), at = seq - s->first_index[0];
    assert_true(at < OUT_MAX);
    s->near_seq = seq > s->near_seq ? seq : s->near_seq;
    enum nack_seen seen = resent ? nack_gen_on_resent(&s->nack, seq, s->now_us) : nack_gen_on_packet(&s->nack, seq, s->now_us);
    memcpy(&m, v.payload, sizeof(m));
    if (seen != NACK_DUPLICATE) {
        assert_false(s->has[at]);
        s->has[at] = true;
        s->got[at] = m;
        s->got_ts[at] = v.ts_ticks;
    }
    assert_memory_equal(&s->got[at], &m, sizeof(m));
    assert_int_equal(s->got_ts[at], v.ts_ticks);
}

static void ask(struct sim *s)
{
    uint64_t seqs[64];
    size_t n;

    while ((n = nack_gen_poll(&s->nack, s->now_us, seqs, LEN(seqs))) > 0)
        for (size_t i = 0; i < n; i++) {
            uint16_t seq = (uint16_t)seqs[i];
            net_send(&s->back, s->now_us, &seq, sizeof(seq));
        }
}

static void on_nack(struct sim *s, const struct net_datagram *d)
{
    struct rtp_out out;
    uint16_t seq;

    memcpy(&seq, d->bytes, sizeof(seq));
    if (rtp_sender_resend(&s->s, seq, s->cache, s->epoch, s->now_us, &out))
        transmit(s, &out, true);
}

/* ---- the run -------------------------------------------------------------------------------------------------------- */

static void drain(struct sim *s)
{
    struct net_datagram *d;

    while ((d = net_pop(&s->up, s->now_us))) {
        struct wire_packet w;
        memcpy(&w, d->bytes, sizeof(w));
        on_cluster_packet(s, &w);
        free(d);
    }
    if (s->state == CATCHING_UP)
        pump(s);
    while ((d = net_pop(&s->back, s->now_us))) {
        on_nack(s, d);
        free(d);
    }
    while ((d = net_pop(&s->down, s->now_us))) {
        on_media(s, d);
        free(d);
    }
    ask(s);
}

static uint64_t pump_due_us(const struct sim *s)
{
    const struct packet *p = s->state == CATCHING_UP ? cache_at(s->cache, s->cursor) : NULL;

    return p ? rtp_segment_due_us(&s->s.now, p->ts_ticks) : UINT64_MAX;
}

static void run_until(struct sim *s, uint64_t end_us)
{
    while (s->now_us < end_us) {
        uint64_t frame_us = s->frame < FRAMES ? s->epoch_start_us + s->frame * FRAME_US : UINT64_MAX;
        uint64_t next = earliest(frame_us, earliest(net_due_us(&s->up), net_due_us(&s->down)));
        next = earliest(next, earliest(net_due_us(&s->back), nack_gen_due_us(&s->nack)));
        next = earliest(earliest(next, pump_due_us(s)), end_us);
        s->now_us = next > s->now_us ? next : s->now_us;
        if (frame_us <= s->now_us)
            send_frame(s);
        drain(s);
    }
}

/* ---- what must hold --------------------------------------------------------------------------------------------------- */

/* Numbers and timestamps, over all that the viewer has. Returns how many it has. */
static uint64_t check_order(const struct sim *s)
{
    const struct mark *last = NULL;
    uint64_t last_at = 0, count = 0;

    for (uint64_t at = 0; at < OUT_MAX; at++) {
        const struct mark *m = &s->got[at];
        if (!s->has[at])
            continue;
        count++;
        if (last && last->epoch == m->epoch) {
            assert_int_equal(at - last_at, m->n - last->n);
            assert_true(m->ts == last->ts ? s->got_ts[at] == s->got_ts[last_at]
                                          : ts32_before(s->got_ts[last_at], s->got_ts[at]));
        } else if (last) {
            assert_int_equal(m->epoch, last->epoch + 1);
            assert_true(ts32_before(s->got_ts[last_at], s->got_ts[at]));
        }
        last = m;
        last_at = at;
    }
    return count;
}

/* Everything that the edge had from the first packet of the epoch on that was sent. */
static uint64_t missing_at_viewer(const struct sim *s, uint32_t epoch)
{
    bool viewer[PACKETS_MAX] = {false};
    uint32_t first = UINT32_MAX;
    uint64_t missing = 0;

    for (uint64_t at = 0; at < OUT_MAX; at++)
        if (s->has[at] && s->got[at].epoch == epoch) {
            viewer[s->got[at].n] = true;
            first = s->got[at].n < first ? s->got[at].n : first;
        }
    if (first == UINT32_MAX)
        return UINT64_MAX; /* nothing of it at all */
    for (uint32_t n = first; n < PACKETS_MAX; n++)
        missing += s->arrived[epoch][n] && !viewer[n];
    return missing;
}

static struct sim *sim_create(uint64_t seed)
{
    struct sim *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->rng.state = seed;
    s->up = (struct net){.rng = &s->rng, .cfg = {.delay_us = 10000, .jitter_us = rng_below(&s->rng, 25000), .loss = rng_below(&s->rng, 50)}};
    s->down = (struct net){.rng = &s->rng,
                           .cfg = {.delay_us = 1000 + rng_below(&s->rng, 80000), .jitter_us = rng_below(&s->rng, 20000),
                                   .loss = rng_below(&s->rng, 1000), .duplicate = rng_below(&s->rng, 300)}};
    s->back = (struct net){.rng = &s->rng, .cfg = {.delay_us = s->down.cfg.delay_us, .loss = rng_below(&s->rng, 500)}};
    s->rtx = rng_below(&s->rng, 2);
    s->join_us = 500000 + rng_below(&s->rng, 4000000);
    assert_int_equal(packet_pool_create(&s->pool, 8192), 0);
    assert_int_equal(cache_create(&s->cache, &(struct cache_cfg){.cap_bytes = 64 << 20, .cap_packets = 4096, .cap_us = 20000000}), 0);
    rtp_sender_init(&s->s, &(struct rtp_sender_cfg){.ssrc = SSRC, .rtx_ssrc = s->rtx ? RTX_SSRC : 0,
                    .first_seq = (uint16_t)rng_next(&s->rng), .first_rtx_seq = (uint16_t)rng_next(&s->rng),
                    .first_ts = (uint32_t)rng_next(&s->rng)});
    nack_gen_init(&s->nack, &(struct nack_cfg){.max_age_us = 2500000});
    return s;
}

static void sim_destroy(struct sim *s)
{
    net_drain(&s->up);
    net_drain(&s->down);
    net_drain(&s->back);
    cache_destroy(&s->cache);
    pool_destroy(&s->pool);
    free(s);
}

static void a_viewer_gets_one_whole_stream_out_of_all_that(void **state)
{
    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : SEEDS); seed++) {
        struct sim *s = sim_create(seed);
        running_seed = seed;
        for (unsigned e = 0; e < EPOCHS; e++) {
            begin_epoch(s);
            run_until(s, s->epoch_start_us + (uint64_t)FRAMES * FRAME_US + 3000000); /* the publisher is away for 3 s */
            assert_int_equal(s->state, LIVE);
        }
        assert_true(check_order(s) > 100);
        for (uint32_t e = 1; e <= EPOCHS; e++)
            assert_in_range(missing_at_viewer(s, e), 0, 40); /* the tail: nothing tells the viewer of it */
        assert_true(s->s.counters.resend_refused <= s->s.counters.nacked / 2 + 20);
        sim_destroy(s);
    }
    running_seed = 0;
}

/* Two viewers of one stream, one there from the start: three seconds after the other joined they are at the same place. */
static void three_seconds_after_joining_the_delay_is_that_of_an_old_viewer(void **state)
{
    (void)state;
    for (uint64_t seed = only_seed ? only_seed : 1; seed <= (only_seed ? only_seed : 200); seed++) {
        struct sim *s = sim_create(seed);
        running_seed = seed;
        s->up.cfg = (struct net_cfg){.delay_us = 10000, .jitter_us = rng_below(&s->rng, 10000)};
        s->down.cfg = s->back.cfg = (struct net_cfg){.delay_us = 5000};
        begin_epoch(s);
        run_until(s, s->join_us + 3000000);
        assert_int_equal(s->state, LIVE);
        /* Play as a jitter buffer would that takes the first frame's delay: how late is the newest against its
         * capture, if every frame is shown by its timestamp from then on? */
        uint64_t last = OUT_MAX - 1;
        while (!s->has[last])
            last--;
        assert_true(s->has[0]);
        /* both at start and now, timestamp and time of sending are of one line */
        uint64_t shown_us = s->s.now.start_us + (uint64_t)(uint32_t)(s->got_ts[last] - s->got_ts[0]) * 1000000 / HZ;
        uint64_t captured_us = s->epoch_start_us + (s->got[last].ts - s->base_ts) * 1000000 / HZ;
        assert_in_range(shown_us - captured_us, 0, 10000 + 10000 + FRAME_US + 40000);
        sim_destroy(s);
    }
    running_seed = 0;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_viewer_gets_one_whole_stream_out_of_all_that, tell_seed),
        cmocka_unit_test_teardown(three_seconds_after_joining_the_delay_is_that_of_an_old_viewer, tell_seed),
    };

    take_seed(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
