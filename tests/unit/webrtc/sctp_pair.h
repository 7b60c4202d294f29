/* SPDX-License-Identifier: Apache-2.0
 * sctp_pair.h - two associations with a wire between them that loses what it is told to, and what they were told. */
#pragma once

#include "base/random.h"
#include "unit/io/loop.h"
#include "webrtc/sctp.h"

#include <stdlib.h>
#include <string.h>

enum { WIRE_PACKETS = 512, HEARD_MAX = 1024 };

struct wire_packet {
    size_t len;
    uint8_t bytes[RTC_SCTP_PACKET_MAX];
};

struct heard {
    uint16_t stream;
    uint32_t ppid;
    size_t len;
    uint8_t *bytes;
};

struct sctp_end {
    struct rtc_sctp *a;
    struct wire_packet *wire; /* to the other end: WIRE_PACKETS */
    size_t first, end;
    unsigned lose_percent, seed, lost;
    bool up, down, destroy_on_message, destroy_on_up;
    size_t n_heard, rooms, n_resets;
    uint16_t resets[8];
    struct heard heard[HEARD_MAX];
};

static inline void sctp_end_send(void *arg, const uint8_t *packet, size_t len)
{
    struct sctp_end *e = arg;

    assert_in_range(len, 1, RTC_SCTP_PACKET_MAX);
    if (e->lose_percent && rand_r(&e->seed) % 100 < (int)e->lose_percent) {
        e->lost++;
        return;
    }
    if (e->end - e->first == WIRE_PACKETS)
        return; /* a full wire loses too */
    struct wire_packet *p = &e->wire[e->end++ % WIRE_PACKETS];
    p->len = len;
    memcpy(p->bytes, packet, len);
}

static inline void sctp_end_on_up(void *arg)
{
    struct sctp_end *e = arg;

    assert_false(e->up);
    e->up = true;
    if (e->destroy_on_up)
        rtc_sctp_destroy(&e->a);
}

static inline void sctp_end_on_message(void *arg, uint16_t stream, uint32_t ppid, const uint8_t *bytes, size_t len)
{
    struct sctp_end *e = arg;

    assert_true(e->n_heard < HEARD_MAX);
    struct heard *h = &e->heard[e->n_heard++];
    *h = (struct heard){stream, ppid, len, malloc(len)};
    assert_non_null(h->bytes);
    memcpy(h->bytes, bytes, len);
    if (e->destroy_on_message)
        rtc_sctp_destroy(&e->a);
}

static inline void sctp_end_on_reset(void *arg, uint16_t stream)
{
    struct sctp_end *e = arg;

    assert_true(e->n_resets < 8);
    e->resets[e->n_resets++] = stream;
}

static inline void sctp_end_on_room(void *arg)
{
    struct sctp_end *e = arg;

    e->rooms++;
}

static inline void sctp_end_on_down(void *arg)
{
    struct sctp_end *e = arg;

    assert_false(e->down);
    e->down = true;
}

static const struct rtc_sctp_ops sctp_end_ops = {
    .send = sctp_end_send, .on_up = sctp_end_on_up, .on_message = sctp_end_on_message,
    .on_reset = sctp_end_on_reset, .on_room = sctp_end_on_room, .on_down = sctp_end_on_down,
};

static inline void sctp_end_open(struct sctp_end *e, struct rtc_sctp_stack *stack, struct worker *w)
{
    struct rtc_sctp_cfg cfg = {.stack = stack, .worker = w, .ops = &sctp_end_ops, .arg = e,
                               .port = SCTP_PORT_DEFAULT, .message_max = 65536, .recv_bytes = 128 * 1024,
                               .send_bytes = 128 * 1024};

    e->seed = 1;
    e->wire = calloc(WIRE_PACKETS, sizeof(*e->wire));
    assert_non_null(e->wire);
    assert_int_equal(rtc_sctp_create(&e->a, &cfg), 0);
}

static inline void sctp_end_fini(struct sctp_end *e)
{
    rtc_sctp_destroy(&e->a);
    for (size_t i = 0; i < e->n_heard; i++)
        free(e->heard[i].bytes);
    free(e->wire);
}

/* What is on the wire from `from`, to `to`; in a copy of its own size, as ASan likes it. */
static inline bool sctp_wire_run(struct sctp_end *from, struct sctp_end *to)
{
    bool any = false;

    while (from->first < from->end) {
        struct wire_packet *p = &from->wire[from->first++ % WIRE_PACKETS];
        uint8_t *exact = malloc(p->len);

        assert_non_null(exact);
        memcpy(exact, p->bytes, p->len);
        if (to->a)
            rtc_sctp_feed(to->a, exact, p->len);
        free(exact);
        any = true;
    }
    return any;
}

/* Both ways, once. */
static inline bool sctp_wires_run(struct sctp_end *a, struct sctp_end *b)
{
    bool any = sctp_wire_run(a, b);

    return sctp_wire_run(b, a) || any;
}
