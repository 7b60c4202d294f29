/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/data_peer.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct data_peer {
    struct data_peer_cfg cfg;
    struct rtc_sctp *sctp; /* NULL: not started, or it failed */
    bool started, paused;
    struct data_peer_counters counters;
    uint64_t oversize_past;
    struct data_channel channels[RTC_SCTP_STREAMS];
};

/* ---- Channels ------------------------------------------------------------------------------------ */

static void set_channel(struct data_channel *c, const struct dcep_open *open)
{
    *c = (struct data_channel){
        .state = DATA_CHANNEL_OPEN,
        .unordered = open->unordered,
        .reliability = open->reliability,
        .limit = open->limit,
        .label_len = (uint8_t)open->label_len,
        .protocol_len = (uint8_t)open->protocol_len,
    };
    if (open->label_len)
        memcpy(c->label, open->label, open->label_len);
    if (open->protocol_len)
        memcpy(c->protocol, open->protocol, open->protocol_len);
}

const struct data_channel *data_peer_channel(const struct data_peer *p, uint16_t stream)
{
    return stream < RTC_SCTP_STREAMS && p->channels[stream].state == DATA_CHANNEL_OPEN ? &p->channels[stream] : NULL;
}

static int send_dcep(struct data_peer *p, uint16_t stream, const uint8_t *bytes, size_t len)
{
    return rtc_sctp_send(p->sctp, &(struct rtc_sctp_message){
        .stream = stream, .retransmits = -1, .lifetime_ms = -1, .ppid = PPID_DCEP, .bytes = bytes, .len = len});
}

int data_peer_open(struct data_peer *p, const struct dcep_open *open)
{
    uint8_t bytes[DCEP_OPEN_MAX];
    uint16_t stream = p->cfg.active ? 0 : 1;

    while (stream < RTC_SCTP_STREAMS && p->channels[stream].state != DATA_CHANNEL_NONE)
        stream += 2;
    if (stream >= RTC_SCTP_STREAMS || !data_peer_up(p) ||
        send_dcep(p, stream, bytes, dcep_write_open(bytes, open)) != RTC_SCTP_OK)
        return -1;
    set_channel(&p->channels[stream], open);
    return stream;
}

void data_peer_close(struct data_peer *p, uint16_t stream)
{
    if (!data_peer_channel(p, stream) || !p->sctp)
        return;
    p->channels[stream].state = DATA_CHANNEL_CLOSING;
    rtc_sctp_reset(p->sctp, stream);
}

/* The peer opens a channel. RFC 8832 s6: on a stream that is in use it may not; the newer word counts. */
static void on_dcep(struct data_peer *p, uint16_t stream, const uint8_t *bytes, size_t len)
{
    struct dcep_message m;
    uint8_t ack[DCEP_ACK_BYTES];

    if (stream >= RTC_SCTP_STREAMS || dcep_parse(&m, bytes, len) != DCEP_OK) {
        p->counters.bad++;
        return;
    }
    if (m.ack)
        return;
    set_channel(&p->channels[stream], &m.open);
    dcep_write_ack(ack);
    (void)send_dcep(p, stream, ack, sizeof(ack)); /* without it the peer does not mind its ordered messages being first */
}

/* ---- The association's callbacks ----------------------------------------------------------------- */

static void on_send(void *arg, const uint8_t *packet, size_t len)
{
    struct data_peer *p = arg;

    (void)rtc_transport_send_data(p->cfg.transport, packet, len); /* what is refused is counted there */
}

static void on_up(void *arg)
{
    struct data_peer *p = arg;

    p->cfg.ops->on_room(p->cfg.arg);
}

static void on_message(void *arg, uint16_t stream, uint32_t ppid, const uint8_t *bytes, size_t len)
{
    struct data_peer *p = arg;
    bool empty = ppid == PPID_STRING_EMPTY || ppid == PPID_BINARY_EMPTY;

    if (ppid == PPID_DCEP) {
        on_dcep(p, stream, bytes, len);
        return;
    }
    if (!empty && ppid != PPID_STRING && ppid != PPID_BINARY) {
        p->counters.bad++;
        return;
    }
    len = empty ? 0 : len;
    p->counters.messages_in++;
    p->counters.bytes_in += len;
    p->cfg.ops->on_message(p->cfg.arg, stream, data_peer_channel(p, stream),
                           ppid == PPID_BINARY || ppid == PPID_BINARY_EMPTY, bytes, len);
}

/* RFC 8831 s6.7: who hears of it closes its own side too. */
static void on_reset(void *arg, uint16_t stream)
{
    struct data_peer *p = arg;
    const struct data_channel *c = data_peer_channel(p, stream);

    if (stream >= RTC_SCTP_STREAMS)
        return;
    if (c) {
        rtc_sctp_reset(p->sctp, stream);
        if (p->cfg.ops->on_close)
            p->cfg.ops->on_close(p->cfg.arg, stream, c);
    }
    p->channels[stream].state = DATA_CHANNEL_NONE;
}

static void on_room(void *arg)
{
    struct data_peer *p = arg;

    p->cfg.ops->on_room(p->cfg.arg);
}

static void on_down(void *arg)
{
    struct data_peer *p = arg;

    p->oversize_past += rtc_sctp_counters(p->sctp)->oversize;
    rtc_sctp_destroy(&p->sctp);
    memset(p->channels, 0, sizeof(p->channels));
}

static const struct rtc_sctp_ops sctp_ops = {
    .send = on_send, .on_up = on_up, .on_message = on_message, .on_reset = on_reset, .on_room = on_room, .on_down = on_down};

static void on_packet(void *arg, const uint8_t *bytes, size_t len)
{
    struct data_peer *p = arg;

    if (p->sctp)
        rtc_sctp_feed(p->sctp, bytes, len);
}

/* ---- Life ---------------------------------------------------------------------------------------- */

int data_peer_create(struct data_peer **out, const struct data_peer_cfg *cfg)
{
    struct data_peer *p = calloc(1, sizeof(*p));

    if (!p)
        return -1;
    p->cfg = *cfg;
    rtc_transport_carry_data(cfg->transport, on_packet, p);
    *out = p;
    return 0;
}

void data_peer_destroy(struct data_peer **peer)
{
    struct data_peer *p = *peer;

    *peer = NULL;
    if (!p)
        return;
    rtc_sctp_destroy(&p->sctp);
    rtc_transport_carry_data(p->cfg.transport, NULL, NULL);
    free(p);
}

void data_peer_start(struct data_peer *p)
{
    struct rtc_endpoint *e = rtc_transport_endpoint(p->cfg.transport);
    struct rtc_sctp_cfg cfg = {
        .stack = rtc_endpoint_sctp(e),
        .worker = rtc_endpoint_worker(e),
        .ops = &sctp_ops,
        .arg = p,
        .port = p->cfg.port,
        .message_max = p->cfg.message_max,
        .recv_bytes = p->cfg.recv_bytes,
        .send_bytes = p->cfg.send_bytes,
    };

    if (p->started)
        return;
    p->started = true;
    if (rtc_sctp_create(&p->sctp, &cfg) != 0)
        LOG_LIMITED("webrtc", "out of memory: a session has no data channels");
    else if (p->paused)
        rtc_sctp_pause(p->sctp, true);
}

void data_peer_pause(struct data_peer *p, bool paused)
{
    p->paused = paused;
    if (p->sctp)
        rtc_sctp_pause(p->sctp, paused);
}

bool data_peer_up(const struct data_peer *p)
{
    return p->sctp && rtc_sctp_up(p->sctp);
}

/* ---- Messages ------------------------------------------------------------------------------------ */

int data_peer_send(struct data_peer *p, uint16_t stream, bool binary, const uint8_t *bytes, size_t len)
{
    static const uint8_t nothing[1] = {0};
    const struct data_channel *c = data_peer_channel(p, stream);
    struct rtc_sctp_message m = {
        .stream = stream,
        .unordered = c && c->unordered,
        .retransmits = c && c->reliability == DCEP_RETRANSMITS ? (int32_t)(c->limit & INT32_MAX) : -1,
        .lifetime_ms = c && c->reliability == DCEP_LIFETIME ? (int32_t)(c->limit & INT32_MAX) : -1,
        .ppid = len ? (binary ? PPID_BINARY : PPID_STRING) : (binary ? PPID_BINARY_EMPTY : PPID_STRING_EMPTY),
        .bytes = len ? bytes : nothing,
        .len = len ? len : sizeof(nothing),
    };
    int err = p->sctp ? rtc_sctp_send(p->sctp, &m) : RTC_SCTP_DOWN;

    if (err == RTC_SCTP_OK) {
        p->counters.messages_out++;
        p->counters.bytes_out += len;
    }
    return err;
}

void data_peer_counters(const struct data_peer *p, struct data_peer_counters *out)
{
    *out = p->counters;
    out->oversize = p->oversize_past + (p->sctp ? rtc_sctp_counters(p->sctp)->oversize : 0);
}
