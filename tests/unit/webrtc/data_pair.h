/* SPDX-License-Identifier: Apache-2.0
 * data_pair.h - a transport that is the test's own, with a browser's association at its other end: .far says and hears what a
 * page would. */
#pragma once

#include "unit/webrtc/fake_transport.h"
#include "unit/webrtc/sctp_pair.h"
#include "webrtc/dcep.h"

struct data_pair {
    struct test_loop loop;
    struct rtc_sctp_stack *stack;
    struct rtc_transport *transport;
    struct sctp_end far, near_wire; /* near_wire: only the wire of what the transport sends */
    struct timer pump;
    bool (*done)(const struct data_pair *p);
};

static inline void data_pair_on_connected(void *arg)
{
    (void)arg;
}

static const struct rtc_transport_ops data_pair_transport_ops = {.on_connected = data_pair_on_connected};

static inline void data_pair_init(struct data_pair *p)
{
    struct rtc_transport_cfg cfg = {.ops = &data_pair_transport_ops};

    *p = (struct data_pair){0};
    test_loop_init(&p->loop);
    assert_int_equal(rtc_sctp_stack_open(&p->stack, p->loop.w), 0);
    struct rtc_endpoint *e = fake_endpoint(p->loop.w);
    fake_endpoint_sctp(p->stack);
    assert_int_equal(rtc_transport_create(&p->transport, e, &cfg), 0);
    p->near_wire.wire = calloc(WIRE_PACKETS, sizeof(*p->near_wire.wire));
    assert_non_null(p->near_wire.wire);
    p->transport->send_data = sctp_end_send;
    p->transport->send_data_arg = &p->near_wire;
    fake_connect(p->transport);
    sctp_end_open(&p->far, p->stack, p->loop.w);
}

/* After what uses the transport has gone. */
static inline void data_pair_fini(struct data_pair *p)
{
    timer_stop(&p->pump);
    sctp_end_fini(&p->far);
    sctp_end_fini(&p->near_wire);
    rtc_transport_destroy(&p->transport);
    assert_int_equal(rtc_sctp_stack_alive(p->stack), 0);
    rtc_sctp_stack_close(&p->stack);
    test_loop_fini(&p->loop);
}

/* What is on the wires, once; whether anything was. */
static inline bool data_pair_carry(struct data_pair *p)
{
    bool any = sctp_wire_run(&p->near_wire, &p->far);

    while (p->far.first < p->far.end) {
        const struct wire_packet *w = &p->far.wire[p->far.first++ % WIRE_PACKETS];

        if (p->transport->on_data)
            p->transport->on_data(p->transport->data_arg, w->bytes, w->len);
        any = true;
    }
    return any;
}

static inline void data_pair_on_pump(struct timer *t, uint64_t now_us)
{
    struct data_pair *p = container_of(t, struct data_pair, pump);

    (void)now_us;
    while (data_pair_carry(p))
        ;
    if (p->done(p))
        worker_stop(p->loop.w);
    else
        timer_start(t, 1000);
}

static inline void data_pair_run(struct data_pair *p, bool (*done)(const struct data_pair *p))
{
    p->done = done;
    timer_init(&p->pump, p->loop.w, data_pair_on_pump);
    timer_start(&p->pump, 0);
    test_loop_run(&p->loop);
}

static inline void far_send(struct data_pair *p, uint16_t stream, uint32_t ppid, const void *bytes, size_t len)
{
    struct rtc_sctp_message m = {
        .stream = stream, .retransmits = -1, .lifetime_ms = -1, .ppid = ppid, .bytes = bytes, .len = len};

    assert_int_equal(rtc_sctp_send(p->far.a, &m), RTC_SCTP_OK);
}

static inline void far_open(struct data_pair *p, uint16_t stream, const char *label)
{
    uint8_t bytes[DCEP_OPEN_MAX];
    struct dcep_open open = {.label = (const uint8_t *)label, .label_len = strlen(label)};

    far_send(p, stream, PPID_DCEP, bytes, dcep_write_open(bytes, &open));
}

static inline void assert_far_heard(const struct data_pair *p, size_t at, uint16_t stream, uint32_t ppid, const void *bytes, size_t len)
{
    assert_true(at < p->far.n_heard);
    const struct heard *h = &p->far.heard[at];
    assert_int_equal(h->stream, stream);
    assert_int_equal(h->ppid, ppid);
    assert_int_equal(h->len, len);
    assert_memory_equal(h->bytes, bytes, len);
}

static inline void assert_far_opened(const struct data_pair *p, size_t at, uint16_t stream, const char *label, const char *protocol)
{
    struct dcep_message m;

    assert_true(at < p->far.n_heard);
    assert_int_equal(p->far.heard[at].stream, stream);
    assert_int_equal(p->far.heard[at].ppid, PPID_DCEP);
    assert_int_equal(dcep_parse(&m, p->far.heard[at].bytes, p->far.heard[at].len), DCEP_OK);
    assert_false(m.ack);
    assert_int_equal(m.open.label_len, strlen(label));
    assert_memory_equal(m.open.label, label, strlen(label));
    assert_int_equal(m.open.protocol_len, strlen(protocol));
    assert_memory_equal(m.open.protocol, protocol, strlen(protocol));
}
