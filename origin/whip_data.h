/* SPDX-License-Identifier: Apache-2.0
 * whip_data.h - the messages of a publisher's data channels into packets of the stream's data track.
 *
 * What a publisher may bring is bounded by WHIP_DATA_BPS of packets; beyond it its messages are left in the association, whose
 * window closes: the publisher waits, nothing is lost. They wait there too until the stream is announced.
 * A message that nothing follows is followed by packets of padding, at growing distance: so whoever missed its end hears of it
 * on lossy pipes, and who joins knows where the numbers are.
 * Thread: the worker's. Ownership: heap, the session's; goes before its transport.
 * Source: webrtc/data_message.h for the form. */
#pragma once

#include "base/compiler.h"
#include "media/packet.h"
#include "webrtc/sdp.h"
#include "webrtc/transport.h"

#include <stdbool.h>
#include <stdint.h>

struct whip_data;

enum {
    WHIP_DATA_BPS = 8000000,      /* bits a second of packets, each counted as a full one ... */
    WHIP_DATA_BURST = 2000000,    /* ... after a burst of so many bytes; the cache's default stream bound is 16 times that */
    WHIP_DATA_MESSAGE_MAX = 65536, /* bytes; what our SDP says */
};

struct whip_data_counters {
    uint64_t messages, bytes; /* pushed */
    uint64_t throttled;       /* times that the publisher was made to wait */
    uint64_t dropped;         /* messages for which there was no packet to be had, or which are too long */
    uint64_t bad;             /* of DCEP, or of no known payload type */
};

struct whip_data_cfg {
    struct rtc_transport *transport;
    struct worker *worker;
    const struct sdp_media *offered; /* the section; read at once */
    bool active;                     /* we are the DTLS client */
    struct pool *pool;               /* of packets */
    uint8_t track;                   /* in the announced set */
    /* Takes over the reference. */
    void (*push)(void *arg, struct packet *p);
    void *arg;
};

/* Before rtc_transport_start. 0, or -1 when memory is short. */
MUST_USE int whip_data_create(struct whip_data **out, const struct whip_data_cfg *cfg);
void whip_data_destroy(struct whip_data **d);
/* The transport is connected. */
void whip_data_start(struct whip_data *d);
/* The stream is announced: messages may be pushed. */
void whip_data_ready(struct whip_data *d);
void whip_data_counters(const struct whip_data *d, struct whip_data_counters *out);
