/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/whip_data.h"

#include "io/timer.h"
#include "webrtc/data_peer.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECV_BYTES = 2 * WHIP_DATA_MESSAGE_MAX, /* what may wait; the longest message must fit */
    SEND_BYTES = 8192,                      /* nothing but DCEP */
    PAUSE_US = 100000,                      /* the bucket is filled so far before messages are taken again */
    CLOCK_HZ = 90000,
};

_Static_assert((int)WHIP_DATA_MESSAGE_MAX == (int)DATA_MESSAGE_MAX, "what we take, viewers can be given");

/* After a message, and after each other; the last goes on. Well below a second at first: captions are read by people. */
static const uint32_t padding_us[] = {50000, 150000, 800000, 4000000};

struct whip_data {
    struct whip_data_cfg cfg;
    struct data_peer *peer;
    struct timer padding, refill;
    size_t paddings;     /* since the last message */
    bool ready;
    uint64_t seq;
    int64_t bucket_bytes;
    uint64_t filled_us;
    struct whip_data_counters counters;
};

/* ---- Packets ------------------------------------------------------------------------------------- */

/* NULL: the pool is exhausted. */
static struct packet *make_packet(struct whip_data *d, uint8_t flags)
{
    struct packet *p = packet_create(d->cfg.pool);

    if (!p)
        return NULL;
    p->seq = d->seq++;
    p->capture_us = worker_unix_us(d->cfg.worker);
    p->ts_ticks = p->capture_us / 1000000 * CLOCK_HZ + p->capture_us % 1000000 * CLOCK_HZ / 1000000;
    p->track = d->cfg.track;
    p->flags = flags;
    return p;
}

static bool push_part(struct whip_data *d, uint8_t flags, const uint8_t *head, size_t head_len, const uint8_t *bytes,
                      size_t len)
{
    struct packet *p = make_packet(d, flags);

    if (!p)
        return false;
    if (head_len)
        memcpy(p->bytes, head, head_len);
    if (len)
        memcpy(p->bytes + head_len, bytes, len);
    p->payload_len = (uint16_t)(head_len + len);
    d->bucket_bytes -= PACKET_PAYLOAD_MAX;
    d->cfg.push(d->cfg.arg, p);
    return true;
}

/* A message of which one packet cannot be had is skipped by all viewers. */
static bool push_message(struct whip_data *d, const struct data_header *h, const uint8_t *bytes)
{
    uint8_t head[DATA_HEADER_MAX];
    size_t head_len = data_header_write(head, h), at = 0;

    do {
        size_t room = PACKET_PAYLOAD_MAX - head_len, left = h->len - at, len = left < room ? left : room;
        uint8_t flags = (uint8_t)((head_len ? PACKET_FRAME_START : 0) | (len == left ? PACKET_FRAME_END : 0));

        if (!push_part(d, flags, head, head_len, bytes + at, len))
            return false;
        at += len;
        head_len = 0;
    } while (at < h->len);
    return true;
}

static void on_padding(struct timer *t, uint64_t now_us)
{
    struct whip_data *d = container_of(t, struct whip_data, padding);
    struct packet *p = make_packet(d, PACKET_PADDING);

    (void)now_us;
    if (p)
        d->cfg.push(d->cfg.arg, p);
    if (d->paddings + 1 < LEN(padding_us))
        d->paddings++;
    timer_start(t, padding_us[d->paddings]);
}

/* ---- How much ------------------------------------------------------------------------------------ */

static void fill_bucket(struct whip_data *d)
{
    uint64_t now_us = worker_now_us(d->cfg.worker), passed_us = now_us - d->filled_us;

    if (passed_us > 10000000)
        passed_us = 10000000;
    d->bucket_bytes += (int64_t)(passed_us * (WHIP_DATA_BPS / 8) / 1000000);
    if (d->bucket_bytes > WHIP_DATA_BURST)
        d->bucket_bytes = WHIP_DATA_BURST;
    d->filled_us = now_us;
}

static void throttle(struct whip_data *d)
{
    uint64_t lacks = d->bucket_bytes < 0 ? (uint64_t)-d->bucket_bytes : 0;

    d->counters.throttled++;
    data_peer_pause(d->peer, true);
    timer_start(&d->refill, lacks * 1000000 / (WHIP_DATA_BPS / 8) + PAUSE_US);
}

static void on_refill(struct timer *t, uint64_t now_us)
{
    struct whip_data *d = container_of(t, struct whip_data, refill);

    (void)now_us;
    fill_bucket(d);
    data_peer_pause(d->peer, false);
}

/* ---- The peer's callbacks ------------------------------------------------------------------------ */

static void push(struct whip_data *d, uint16_t stream, const struct data_channel *c, enum data_kind kind,
                 const uint8_t *bytes, size_t len)
{
    struct data_header h = {.kind = kind, .channel = stream, .len = (uint32_t)len, .negotiated = !c};

    if (c)
        h.open = (struct dcep_open){.unordered = c->unordered, .reliability = c->reliability, .limit = c->limit,
                                    .label = c->label, .label_len = c->label_len,
                                    .protocol = c->protocol, .protocol_len = c->protocol_len};
    fill_bucket(d);
    if (push_message(d, &h, bytes)) {
        d->counters.messages += kind != DATA_CLOSE;
        d->counters.bytes += len;
    } else {
        d->counters.dropped++;
    }
    d->paddings = 0;
    timer_start(&d->padding, padding_us[0]);
    if (d->bucket_bytes <= 0)
        throttle(d);
}

static void on_message(void *arg, uint16_t stream, const struct data_channel *c, bool binary, const uint8_t *bytes,
                       size_t len)
{
    push(arg, stream, c, binary ? DATA_BINARY : DATA_STRING, bytes, len);
}

static void on_close(void *arg, uint16_t stream, const struct data_channel *c)
{
    push(arg, stream, c, DATA_CLOSE, NULL, 0);
}

static void on_room(void *arg)
{
    (void)arg; /* we send a publisher nothing */
}

static const struct data_peer_ops peer_ops = {.on_message = on_message, .on_close = on_close, .on_room = on_room};

/* ---- Life ---------------------------------------------------------------------------------------- */

int whip_data_create(struct whip_data **out, const struct whip_data_cfg *cfg)
{
    struct whip_data *d = calloc(1, sizeof(*d));
    struct data_peer_cfg peer = {
        .transport = cfg->transport,
        .ops = &peer_ops,
        .arg = d,
        .port = cfg->offered->sctp_port,
        .active = cfg->active,
        .message_max = WHIP_DATA_MESSAGE_MAX,
        .recv_bytes = RECV_BYTES,
        .send_bytes = SEND_BYTES,
    };

    if (!d || data_peer_create(&d->peer, &peer) != 0) {
        free(d);
        return -1;
    }
    d->cfg = *cfg;
    d->cfg.offered = NULL;
    d->seq = PACKET_SEQ_FIRST;
    d->bucket_bytes = WHIP_DATA_BURST;
    d->filled_us = worker_now_us(cfg->worker);
    timer_init(&d->padding, cfg->worker, on_padding);
    timer_init(&d->refill, cfg->worker, on_refill);
    data_peer_pause(d->peer, true);
    *out = d;
    return 0;
}

void whip_data_destroy(struct whip_data **data)
{
    struct whip_data *d = *data;

    *data = NULL;
    if (!d)
        return;
    timer_stop(&d->padding);
    timer_stop(&d->refill);
    data_peer_destroy(&d->peer);
    free(d);
}

void whip_data_start(struct whip_data *d)
{
    data_peer_start(d->peer);
}

void whip_data_ready(struct whip_data *d)
{
    if (d->ready)
        return;
    d->ready = true;
    timer_start(&d->padding, padding_us[0]);
    data_peer_pause(d->peer, false);
}

void whip_data_counters(const struct whip_data *d, struct whip_data_counters *out)
{
    struct data_peer_counters peer;

    data_peer_counters(d->peer, &peer);
    *out = d->counters;
    out->dropped += peer.oversize;
    out->bad += peer.bad;
}
