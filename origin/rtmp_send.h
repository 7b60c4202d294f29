/* SPDX-License-Identifier: Apache-2.0
 * rtmp_send.h - what the server says on an RTMP connection: control messages, answers to commands, status. Each fits one chunk.
 *
 * Thread: the connection's worker. Ownership: nothing is kept; what the connection refuses is gone with it.
 * Source: Adobe RTMP specification 1.0, s5.4 (protocol control), s7.1.7 (user control), s7.2 (commands). */
#pragma once

#include "base/writer.h"
#include "origin/rtmp_chunk.h"
#include "secure/conn.h"

enum {
    RTMP_OUT_CHUNK_BYTES = 4096, /* what Set Chunk Size is to say */
    RTMP_OUT_MESSAGE_MAX_BYTES = 2048,
    RTMP_MESSAGE_STREAM = 1, /* the one that createStream gives */
};

enum rtmp_user_control { RTMP_STREAM_BEGIN = 0, RTMP_PING_REQUEST = 6, RTMP_PING_RESPONSE = 7 };

/* A protocol control message of one number. */
void rtmp_send_control_u32(struct conn *conn, enum rtmp_message_type type, uint32_t value);
void rtmp_send_user_control(struct conn *conn, enum rtmp_user_control event, uint32_t value);
/* A command in AMF0; stream_id: 0, or RTMP_MESSAGE_STREAM. Nothing is sent when it did not fit its writer. */
void rtmp_send_command(struct conn *conn, uint32_t stream_id, const struct writer *body);
/* onStatus (s7.2.2); level: "status" or "error". */
void rtmp_send_status(struct conn *conn, const char *level, const char *code, const char *description);
