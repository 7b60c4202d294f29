/* SPDX-License-Identifier: Apache-2.0
 * sender_scene.h - a sender to one viewer, and what its packets say. */
#pragma once

#include "webrtc/rtp_sender.h"

#include "wire/rtp_view.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HZ 90000u
#define SEQ0 ((uint64_t)PACKET_SEQ_FIRST + 1000)
#define TS0 (UINT64_C(5) << 32)
#define UNIX0 UINT64_C(1767225600000000)

static const struct rtp_sender_cfg CFG = {.ssrc = 0x10, .rtx_ssrc = 0x11, .first_seq = 500, .first_rtx_seq = 9000, .first_ts = 7777};

struct fixture {
    struct pool *pool;
    struct cache *cache;
    struct rtp_sender s;
};

static inline int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    assert_int_equal(packet_pool_create(&f->pool, 4096), 0);
    assert_int_equal(cache_create(&f->cache, &(struct cache_cfg){.cap_bytes = 1 << 24, .cap_packets = 4096, .cap_us = 60000000}), 0);
    rtp_sender_init(&f->s, &CFG);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    struct fixture *f = *state;

    cache_destroy(&f->cache);
    pool_destroy(&f->pool);
    free(f);
    return 0;
}

/* Packet number n of a stream of 30 frames a second and 2 packets a frame; its payload tells its number. */
static inline struct packet *make(struct fixture *f, uint64_t n)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    p->seq = SEQ0 + n;
    p->ts_ticks = TS0 + n / 2 * 3000;
    p->capture_us = UNIX0 + n / 2 * 100000 / 3;
    p->flags = (uint8_t)(n % 2 ? PACKET_FRAME_END | PACKET_MARKER : PACKET_FRAME_START);
    p->payload_len = 100;
    memset(p->bytes, 0xee, p->payload_len);
    memcpy(p->bytes, &n, sizeof(n));
    return p;
}

static inline void start(struct fixture *f, uint64_t n, uint64_t epoch, uint64_t now_us)
{
    rtp_sender_start(&f->s, &(struct rtp_start){.epoch = epoch, .pt = 96, .rtx_pt = 97, .clock_hz = HZ,
                     .first_seq = SEQ0 + n, .first_ts = TS0 + n / 2 * 3000}, now_us);
}

/* The datagram before protection, as the viewer would see it. */
struct sent {
    uint8_t bytes[RTP_OUT_MAX];
    size_t len;
    uint64_t index;
    struct rtp_view view;
};

static inline void assemble(struct sent *d, const struct rtp_out *out)
{
    d->len = out->hdr_len + out->prefix_len + out->payload_len;
    d->index = out->index;
    assert_true(d->len <= sizeof(d->bytes));
    memcpy(d->bytes, out->hdr, out->hdr_len);
    memcpy(d->bytes + out->hdr_len, out->prefix, out->prefix_len);
    memcpy(d->bytes + out->hdr_len + out->prefix_len, out->payload, out->payload_len);
    assert_int_equal(rtp_view_parse(&d->view, d->bytes, d->len), RTP_OK);
    assert_int_equal((uint16_t)d->index, d->view.seq); /* or the receiver's SRTP guesses wrong */
}

static inline bool write_packet(struct fixture *f, struct packet *p, uint64_t now_us, struct sent *d)
{
    struct rtp_out out;
    bool ok = rtp_sender_write(&f->s, p, now_us, &out);

    if (ok)
        assemble(d, &out);
    return ok;
}

static inline bool write_n(struct fixture *f, uint64_t n, uint64_t now_us, struct sent *d)
{
    struct packet *p = make(f, n);
    bool ok = write_packet(f, p, now_us, d);

    packet_unref(&p);
    return ok;
}

#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
