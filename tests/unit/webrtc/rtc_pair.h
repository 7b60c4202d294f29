/* SPDX-License-Identifier: Apache-2.0
 * rtc_pair.h - a server and a client transport over loopback, in one loop, and what they were told. */
#pragma once

#include "unit/io/loop.h"
#include "unit/wire/exact.h"
#include "webrtc/transport_priv.h"

struct rtc_side {
    struct test_loop *loop;
    struct rtc_endpoint *endpoint;
    struct rtc_transport *transport;
    struct rtc_side *other;
    bool destroy_when_connected, destroy_on_rtp, destroy_on_rtcp, quiet;
    bool connected, closed;
    enum rtc_close why;
    char detail[256];
    size_t n_rtp, n_rtcp, stop_after_rtp, stop_after_rtcp;
    uint8_t rtp[2048], rtcp[2048];
    size_t rtp_len, rtcp_len;
};

static inline void rtc_side_on_connected(void *arg)
{
    struct rtc_side *s = arg;

    assert_false(s->connected || s->closed);
    s->connected = true;
    if (s->destroy_when_connected)
        rtc_transport_destroy(&s->transport);
    if (!s->quiet && (!s->other || s->other->connected))
        worker_stop(s->loop->w);
}

static inline void rtc_side_on_rtp(void *arg, uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct rtc_side *s = arg;

    (void)now_us;
    assert_true(s->connected && !s->closed && len <= sizeof(s->rtp));
    memcpy(s->rtp, pkt, len);
    s->rtp_len = len;
    if (s->destroy_on_rtp)
        rtc_transport_destroy(&s->transport);
    if (++s->n_rtp == s->stop_after_rtp)
        worker_stop(s->loop->w);
}

static inline void rtc_side_on_rtcp(void *arg, const uint8_t *pkt, size_t len, uint64_t now_us)
{
    struct rtc_side *s = arg;

    (void)now_us;
    assert_true(s->connected && !s->closed && len <= sizeof(s->rtcp));
    memcpy(s->rtcp, pkt, len);
    s->rtcp_len = len;
    if (s->destroy_on_rtcp)
        rtc_transport_destroy(&s->transport);
    if (++s->n_rtcp == s->stop_after_rtcp)
        worker_stop(s->loop->w);
}

static inline void rtc_side_on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct rtc_side *s = arg;

    assert_false(s->closed);
    s->closed = true;
    s->why = why;
    snprintf(s->detail, sizeof(s->detail), "%s", detail);
    if (!s->quiet)
        worker_stop(s->loop->w);
}

static const struct rtc_transport_ops rtc_side_ops = {
    .on_connected = rtc_side_on_connected,
    .on_rtp = rtc_side_on_rtp,
    .on_rtcp = rtc_side_on_rtcp,
    .on_closed = rtc_side_on_closed,
};

struct rtc_pair {
    struct test_loop loop;
    struct cert *cert;
    struct srtp_engine *srtp;
    struct rtc_side server, client;
};

static inline void rtc_side_open(struct rtc_pair *p, struct rtc_side *s, const char *listen)
{
    struct rtc_endpoint_cfg cfg = {.cert = p->cert, .srtp = p->srtp};

    assert_int_equal(addr_parse(&cfg.listen, listen), 0);
    assert_int_equal(rtc_endpoint_open(&s->endpoint, p->loop.w, &cfg), 0);
    s->loop = &p->loop;
}

static inline void rtc_pair_init(struct rtc_pair *p)
{
    *p = (struct rtc_pair){0};
    test_loop_init(&p->loop);
    assert_int_equal(cert_create_self_signed(&p->cert, "test"), 0);
    assert_int_equal(srtp_engine_create(&p->srtp, SRTP_BACKEND_BEST), 0);
    rtc_side_open(p, &p->server, "127.0.0.1:0");
    rtc_side_open(p, &p->client, "127.0.0.1:0");
    p->server.other = &p->client;
    p->client.other = &p->server;
}

static inline void rtc_pair_fini(struct rtc_pair *p)
{
    rtc_transport_destroy(&p->server.transport);
    rtc_transport_destroy(&p->client.transport);
    assert_int_equal(rtc_endpoint_transports(p->server.endpoint), 0);
    rtc_endpoint_close(&p->server.endpoint);
    rtc_endpoint_close(&p->client.endpoint);
    srtp_engine_destroy(&p->srtp);
    cert_destroy(&p->cert);
    test_loop_run_for(&p->loop, 1000); /* closing handles */
    test_loop_fini(&p->loop);
}

static inline void rtc_side_create(struct rtc_side *s, bool receive_media, bool controlling)
{
    struct rtc_transport_cfg cfg = {.ops = &rtc_side_ops, .arg = s, .receive_media = receive_media,
                                    .controlling = controlling};

    s->connected = s->closed = false;
    assert_int_equal(rtc_transport_create(&s->transport, s->endpoint, &cfg), 0);
}

static inline void rtc_side_start(struct rtc_side *s, const struct rtc_side *remote, enum dtls_role role)
{
    struct addr to;
    struct rtc_remote r = {.ufrag = rtc_transport_ufrag(remote->transport), .pwd = rtc_transport_pwd(remote->transport),
                           .role = role, .candidates = &to, .n_candidates = 1};

    rtc_endpoint_local(remote->endpoint, &to);
    assert_int_equal(fingerprint_parse(&r.fingerprint, rtc_endpoint_fingerprint(remote->endpoint)), 0);
    assert_int_equal(rtc_transport_start(s->transport, &r), 0);
}

/* Both ends made and started, not yet run. publish: the client sends media, else the server. */
static inline void rtc_pair_start(struct rtc_pair *p, bool publish, enum dtls_role server_role)
{
    rtc_side_create(&p->server, publish, false);
    rtc_side_create(&p->client, !publish, true);
    rtc_side_start(&p->server, &p->client, server_role);
    rtc_side_start(&p->client, &p->server, server_role == DTLS_PASSIVE ? DTLS_ACTIVE : DTLS_PASSIVE);
}

static inline void rtc_pair_connect(struct rtc_pair *p, bool publish)
{
    rtc_pair_start(p, publish, DTLS_PASSIVE);
    test_loop_run(&p->loop);
    assert_true(p->server.connected && p->client.connected);
}

/* An RTP packet of n payload bytes (the low byte of the sequence number) under that index. */
static inline size_t rtc_side_send(struct rtc_side *s, uint64_t index, uint32_t ssrc, size_t n)
{
    uint8_t hdr[12] = {0x80, 96, (uint8_t)(index >> 8), (uint8_t)index, 0, 0, 0, 1};
    uint8_t payload[1400];
    struct rtc_rtp p = {.index = index, .hdr = hdr, .hdr_len = sizeof(hdr), .payload = payload, .payload_len = n};

    for (int i = 0; i < 4; i++)
        hdr[8 + i] = (uint8_t)(ssrc >> (24 - 8 * i));
    memset(payload, (int)(index & 0xff), sizeof(payload));
    return rtc_transport_send_rtp(s->transport, &p);
}

static const uint8_t rtc_pair_rr[] = {0x80, 201, 0, 1, 0, 0, 0, 9};
