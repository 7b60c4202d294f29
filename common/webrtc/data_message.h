/* SPDX-License-Identifier: Apache-2.0
 * data_message.h - a data channel's message as packets of the stream's data track.
 *
 * A stream with data channels has one track of codec CODEC_DATA for all of them. A message is a frame of it: its first
 * packet (PACKET_FRAME_START) begins with a header that names channel, label, protocol and reliability, so whoever
 * joins understands the next message without having heard of what was before; the last has PACKET_FRAME_END. Messages
 * follow each other whole, in the order in which the origin got them; a packet with PACKET_PADDING is none.
 *
 * Pure; any thread. Ownership: parsed values borrow label and protocol from the payload.
 * Source: RFC 8832 s5.1 for what a channel is. The form is our own: version and kind, channel type, channel (16 bits),
 * reliability limit (32), length (32), label and protocol after a length byte each; big-endian. */
#pragma once

#include "base/compiler.h"
#include "webrtc/dcep.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    DATA_MESSAGE_MAX = 65536, /* bytes; what RFC 8841 s6.1 has every implementation take */
    DATA_HEADER_MAX = 14 + 2 * DCEP_NAME_MAX,
};

enum data_kind {
    DATA_STRING = 0,
    DATA_BINARY = 1,
    DATA_CLOSE = 2, /* no message: the publisher has closed the channel */
    DATA_KINDS
};

struct data_header {
    enum data_kind kind;
    bool negotiated;     /* never opened by DCEP: both ends know the channel by its number */
    uint16_t channel;    /* the publisher's stream id */
    uint32_t len;        /* bytes of the message, 0 .. DATA_MESSAGE_MAX */
    struct dcep_open open; /* of no meaning when negotiated */
};

enum data_err {
    DATA_OK = 0,
    DATA_ERR_SHORT = -1, /* a length passes the end */
    DATA_ERR_VALUE = -2, /* another version, or something out of range */
};

/* Bytes written. */
size_t data_header_write(uint8_t dst[DATA_HEADER_MAX], const struct data_header *h);
/* Fills *out and *header_len, behind which the message's bytes begin; or a data_err, both untouched. */
MUST_USE int data_header_parse(struct data_header *out, size_t *header_len, const uint8_t *payload, size_t len);
