/* SPDX-License-Identifier: Apache-2.0
 * viewer_data.h - the messages of a stream's data track to one viewer, over data channels.
 *
 * Packets are put in order (a missing one holds up what is behind it for VIEWER_DATA_WAIT_US at most, then its message
 * is skipped), gathered to whole messages, and sent on the viewer's channel of the same label and protocol: one that
 * the viewer opened itself, or else one that is opened to it. What its association does not take waits in a bounded
 * queue, of which the oldest messages go. There is no past: a viewer has the messages that come from its join on.
 * Thread: the worker's. Ownership: heap, the viewer's; goes before its transport. Only a viewer that has offered data
 * channels has one; whether its stream has a data track may change with each epoch. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "webrtc/transport.h"

#include <stdbool.h>
#include <stdint.h>

struct viewer_data;

enum {
    VIEWER_DATA_WAIT_US = 1500000, /* more than a pipe asks for what is missing */
    VIEWER_DATA_QUEUE = 256,       /* packets that wait: five messages of the longest kind, or 256 short ones */
    VIEWER_DATA_TAKES = 1024,      /* bytes of a message that a viewer may send; it has nothing to say but DCEP */
};

struct viewer_data_counters {
    uint64_t sent, bytes; /* messages */
    uint64_t dropped;     /* messages that the viewer was too slow for, or does not take */
    uint64_t skipped;     /* messages of which a packet never came, or that are malformed */
    uint64_t received;    /* messages from the viewer: not wanted, and forgotten */
};

struct viewer_data_cfg {
    struct rtc_transport *transport;
    struct worker *worker;
    uint16_t port;        /* from the viewer's SDP */
    uint32_t message_max; /* bytes of a message that it takes */
    bool active;          /* we are the DTLS client */
};

/* Before rtc_transport_start. 0, or -1 when memory is short. */
MUST_USE int viewer_data_create(struct viewer_data **out, const struct viewer_data_cfg *cfg);
void viewer_data_destroy(struct viewer_data **d);
/* The transport is connected. */
void viewer_data_start(struct viewer_data *d);
/* A new epoch, or the stream has ended: what is here of the last one is forgotten, the channels stay. */
void viewer_data_reset(struct viewer_data *d);
/* The first packet to come is this one: a message is not missed for a later one that came before it. After a reset. */
void viewer_data_expect(struct viewer_data *d, uint64_t seq);
/* A packet of the data track. */
void viewer_data_push(struct viewer_data *d, const struct packet *p, uint64_t now_us);
void viewer_data_counters(const struct viewer_data *d, struct viewer_data_counters *out);
