/* SPDX-License-Identifier: Apache-2.0
 * data_peer.h - the data channels of one WebRTC association: who opened which, messages in and out.
 *
 *   data_peer_create (before rtc_transport_start) -> data_peer_start (on_connected) -> on_message, data_peer_send
 *
 * Nothing is there but some bytes until data_peer_start. A channel is known by its stream id; one that is used without
 * having been opened by DCEP was negotiated by the pages themselves.
 * Thread: the worker's. Ownership: heap, the creator's; goes before its transport.
 * Source: RFC 8831 (data channels), RFC 8832 (DCEP). */
#pragma once

#include "base/compiler.h"
#include "webrtc/data_message.h"
#include "webrtc/sctp.h"
#include "webrtc/transport.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct data_peer;

enum data_channel_state {
    DATA_CHANNEL_NONE = 0,
    DATA_CHANNEL_OPEN,
    DATA_CHANNEL_CLOSING, /* our side is closed, the peer's not yet */
};

struct data_channel {
    enum data_channel_state state;
    bool unordered;
    enum dcep_reliability reliability;
    uint32_t limit;
    uint8_t label_len, protocol_len; /* bytes */
    uint8_t label[DCEP_NAME_MAX], protocol[DCEP_NAME_MAX];
};

struct data_peer_ops {
    /* A whole message, borrowed. channel NULL: on a stream that DCEP never opened. */
    void (*on_message)(void *arg, uint16_t stream, const struct data_channel *channel, bool binary,
                       const uint8_t *bytes, size_t len);
    /* The peer has closed a channel. NULL: not interested. */
    void (*on_close)(void *arg, uint16_t stream, const struct data_channel *channel);
    /* The association is up, or there is room again. */
    void (*on_room)(void *arg);
}; /* none of them may destroy the data_peer */

struct data_peer_cfg {
    struct rtc_transport *transport;
    const struct data_peer_ops *ops; /* borrowed */
    void *arg;
    uint16_t port;             /* of the peer's SDP */
    bool active;               /* we are the DTLS client: our stream ids are even (RFC 8832 s6) */
    uint32_t message_max;      /* what our SDP says that we take */
    uint32_t recv_bytes, send_bytes;
};

/* 0, or -1 when memory is short. */
MUST_USE int data_peer_create(struct data_peer **out, const struct data_peer_cfg *cfg);
void data_peer_destroy(struct data_peer **p);
/* The transport is connected. Once. */
void data_peer_start(struct data_peer *p);
/* See rtc_sctp_pause. Before data_peer_start too. */
void data_peer_pause(struct data_peer *p, bool paused);
bool data_peer_up(const struct data_peer *p);

/* Opens a channel; messages may follow at once. Its stream id, or -1: not up, or all ids are in use. */
int data_peer_open(struct data_peer *p, const struct dcep_open *open);
void data_peer_close(struct data_peer *p, uint16_t stream);
/* NULL: never opened, or closed. */
const struct data_channel *data_peer_channel(const struct data_peer *p, uint16_t stream);
/* As rtc_sctp_send. len may be 0. */
int data_peer_send(struct data_peer *p, uint16_t stream, bool binary, const uint8_t *bytes, size_t len);

struct data_peer_counters {
    uint64_t messages_in, bytes_in, messages_out, bytes_out;
    uint64_t bad;      /* DCEP messages out of form, or payload types that are none */
    uint64_t oversize; /* messages longer than message_max */
};
void data_peer_counters(const struct data_peer *p, struct data_peer_counters *out);
