/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/viewer_data.h"

#include "io/timer.h"
#include "media/reorder.h"
#include "webrtc/data_peer.h"

#include <stdlib.h>
#include <string.h>

enum {
    SEND_BYTES = 2 * DATA_MESSAGE_MAX, /* within the library; the longest message must fit */
    RECV_BYTES = 8192,
    NO_SOURCE = -1,
};

_Static_assert((VIEWER_DATA_QUEUE & (VIEWER_DATA_QUEUE - 1)) == 0, "slots are found by masking");
_Static_assert(DATA_MESSAGE_MAX + DATA_HEADER_MAX < VIEWER_DATA_QUEUE / 2 * PACKET_PAYLOAD_MAX, "any message fits half of it");

struct viewer_data {
    struct viewer_data_cfg cfg;
    struct data_peer *peer;
    struct timer gap; /* a missing packet is given up */
    struct reorder order;
    /* Packets of whole messages, [first, whole), and of the one that is coming, [whole, end). */
    struct packet *queue[VIEWER_DATA_QUEUE];
    uint64_t first, whole, end;
    uint64_t last_seq; /* of queue[end - 1] */
    bool gathering;    /* the beginning of the one that is coming is there */
    int source[RTC_SCTP_STREAMS]; /* the publisher's channel that goes out on this stream; NO_SOURCE: none yet */
    struct viewer_data_counters counters;
};

static struct packet **slot(struct viewer_data *d, uint64_t at)
{
    return &d->queue[at & (VIEWER_DATA_QUEUE - 1)];
}

/* ---- Which channel ------------------------------------------------------------------------------- */

static bool is_named(const struct data_channel *c, const struct dcep_open *open)
{
    return c && c->label_len == open->label_len && c->protocol_len == open->protocol_len &&
           memcmp(c->label, open->label, open->label_len) == 0 &&
           memcmp(c->protocol, open->protocol, open->protocol_len) == 0;
}

/* The stream that goes with the publisher's channel; -1: none. */
static int find_stream(const struct viewer_data *d, const struct data_header *h)
{
    int unbound = -1;

    for (uint16_t i = 0; i < RTC_SCTP_STREAMS; i++) {
        if (!is_named(data_peer_channel(d->peer, i), &h->open))
            continue;
        if (d->source[i] == h->channel)
            return i;
        if (d->source[i] == NO_SOURCE && unbound < 0)
            unbound = i;
    }
    return unbound;
}

static int stream_of(struct viewer_data *d, const struct data_header *h)
{
    if (h->negotiated) /* the viewer's page must have it too */
        return data_peer_channel(d->peer, h->channel) ? -1 : h->channel;
    int stream = find_stream(d, h);
    if (stream < 0)
        stream = data_peer_open(d->peer, &h->open);
    if (stream >= 0)
        d->source[stream] = h->channel;
    return stream;
}

static void close_channel(struct viewer_data *d, const struct data_header *h)
{
    int stream = h->negotiated ? -1 : find_stream(d, h);

    if (stream < 0 || d->source[stream] != h->channel)
        return;
    d->source[stream] = NO_SOURCE;
    data_peer_close(d->peer, (uint16_t)stream);
}

/* ---- Out ----------------------------------------------------------------------------------------- */

/* The packets of the first whole message: [first, end). */
static uint64_t message_end(struct viewer_data *d)
{
    uint64_t at = d->first;

    while (!((*slot(d, at))->flags & PACKET_FRAME_END))
        at++;
    return at + 1;
}

static void drop_message(struct viewer_data *d)
{
    for (uint64_t end = message_end(d); d->first < end; d->first++)
        packet_unref(slot(d, d->first));
}

/* The message's bytes into out; false: they are not as many as its header says. */
static bool gather(struct viewer_data *d, const struct data_header *h, size_t header_len, uint8_t out[DATA_MESSAGE_MAX])
{
    size_t n = 0, skip = header_len;

    for (uint64_t at = d->first, end = message_end(d); at < end; at++) {
        const struct packet *p = *slot(d, at);
        size_t len = p->payload_len - skip;

        if (len > h->len - n)
            return false;
        memcpy(out + n, packet_payload(p) + skip, len);
        n += len;
        skip = 0;
    }
    return n == h->len;
}

/* False: it waits. Else the first message has been dealt with. */
static bool send_first(struct viewer_data *d)
{
    uint8_t bytes[DATA_MESSAGE_MAX];
    const struct packet *p = *slot(d, d->first);
    struct data_header h;
    size_t header_len;
    int stream;

    if (data_header_parse(&h, &header_len, packet_payload(p), p->payload_len) != DATA_OK ||
        !gather(d, &h, header_len, bytes)) {
        d->counters.skipped++;
        return true;
    }
    if (h.kind == DATA_CLOSE) {
        close_channel(d, &h);
        return true;
    }
    int err = RTC_SCTP_DOWN;
    if (h.len <= d->cfg.message_max && (stream = stream_of(d, &h)) >= 0)
        err = data_peer_send(d->peer, (uint16_t)stream, h.kind == DATA_BINARY, bytes, h.len);
    if (err == RTC_SCTP_FULL)
        return false;
    d->counters.sent += err == RTC_SCTP_OK;
    d->counters.bytes += err == RTC_SCTP_OK ? h.len : 0;
    d->counters.dropped += err != RTC_SCTP_OK;
    return true;
}

static void flush(struct viewer_data *d)
{
    while (d->first < d->whole && data_peer_up(d->peer) && send_first(d))
        drop_message(d);
}

/* ---- In ------------------------------------------------------------------------------------------ */

static void forget_coming(struct viewer_data *d)
{
    while (d->end > d->whole)
        packet_unref(slot(d, --d->end));
    d->gathering = false;
}

/* Takes over the reference. */
static void append(struct viewer_data *d, struct packet *p)
{
    bool start = p->flags & PACKET_FRAME_START;

    if (d->gathering && (start || p->seq != d->last_seq + 1 || d->end - d->whole == VIEWER_DATA_QUEUE / 2)) {
        forget_coming(d);
        d->counters.skipped++;
    }
    d->gathering = d->gathering || start;
    if (!d->gathering) { /* the rest of a message whose beginning was missed */
        packet_unref(&p);
        return;
    }
    if (d->end - d->first == VIEWER_DATA_QUEUE) {
        drop_message(d);
        d->counters.dropped++;
    }
    *slot(d, d->end++) = p;
    d->last_seq = p->seq;
    if (p->flags & PACKET_FRAME_END) {
        d->whole = d->end;
        d->gathering = false;
    }
}

static void take_in_order(struct viewer_data *d, uint64_t now_us)
{
    struct packet *p;

    while ((p = reorder_pop(&d->order, now_us))) {
        if (p->flags & PACKET_PADDING) {
            d->last_seq++;
            packet_unref(&p);
        } else {
            append(d, p);
        }
    }
    if (reorder_due_us(&d->order) != UINT64_MAX)
        timer_start(&d->gap, reorder_due_us(&d->order) - now_us);
    flush(d);
}

static void on_gap(struct timer *t, uint64_t now_us)
{
    take_in_order(container_of(t, struct viewer_data, gap), now_us);
}

void viewer_data_expect(struct viewer_data *d, uint64_t seq)
{
    reorder_start(&d->order, seq);
}

void viewer_data_push(struct viewer_data *d, const struct packet *p, uint64_t now_us)
{
    reorder_push(&d->order, p);
    take_in_order(d, now_us);
}

/* ---- The peer's callbacks ------------------------------------------------------------------------ */

static void on_message(void *arg, uint16_t stream, const struct data_channel *channel, bool binary, const uint8_t *bytes,
                       size_t len)
{
    struct viewer_data *d = arg;

    (void)stream, (void)channel, (void)binary, (void)bytes, (void)len;
    d->counters.received++;
}

static void on_close(void *arg, uint16_t stream, const struct data_channel *channel)
{
    struct viewer_data *d = arg;

    (void)channel;
    d->source[stream] = NO_SOURCE;
}

static void on_room(void *arg)
{
    flush(arg);
}

static const struct data_peer_ops peer_ops = {.on_message = on_message, .on_close = on_close, .on_room = on_room};

/* ---- Life ---------------------------------------------------------------------------------------- */

int viewer_data_create(struct viewer_data **out, const struct viewer_data_cfg *cfg)
{
    struct viewer_data *d = calloc(1, sizeof(*d));
    struct data_peer_cfg peer = {
        .transport = cfg->transport,
        .ops = &peer_ops,
        .arg = d,
        .port = cfg->port,
        .active = cfg->active,
        .message_max = VIEWER_DATA_TAKES,
        .recv_bytes = RECV_BYTES,
        .send_bytes = SEND_BYTES,
    };

    if (!d || data_peer_create(&d->peer, &peer) != 0) {
        free(d);
        return -1;
    }
    d->cfg = *cfg;
    timer_init(&d->gap, cfg->worker, on_gap);
    reorder_init(&d->order, VIEWER_DATA_WAIT_US);
    for (size_t i = 0; i < RTC_SCTP_STREAMS; i++)
        d->source[i] = NO_SOURCE;
    *out = d;
    return 0;
}

void viewer_data_destroy(struct viewer_data **data)
{
    struct viewer_data *d = *data;

    *data = NULL;
    if (!d)
        return;
    timer_stop(&d->gap);
    forget_coming(d);
    while (d->first < d->end)
        packet_unref(slot(d, d->first++));
    reorder_fini(&d->order);
    data_peer_destroy(&d->peer);
    free(d);
}

void viewer_data_start(struct viewer_data *d)
{
    data_peer_start(d->peer);
}

/* Whole messages that wait are sent yet. */
void viewer_data_reset(struct viewer_data *d)
{
    timer_stop(&d->gap);
    reorder_reset(&d->order);
    forget_coming(d);
    for (size_t i = 0; i < RTC_SCTP_STREAMS; i++)
        d->source[i] = NO_SOURCE; /* the next publisher numbers them anew; labels stay */
}

void viewer_data_counters(const struct viewer_data *d, struct viewer_data_counters *out)
{
    *out = d->counters;
}
