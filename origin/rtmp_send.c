/* SPDX-License-Identifier: Apache-2.0
 * rtmp_send.c - see rtmp_send.h. */
#include "origin/rtmp_send.h"

#include "origin/rtmp_command.h"

enum { CHUNK_STREAM_CONTROL = 2 /* s5.4 */, CHUNK_STREAM_COMMAND = 3, CHUNK_STREAM_STATUS = 5 };

static void send_message(struct conn *conn, const struct rtmp_message *m)
{
    uint8_t bytes[RTMP_OUT_MESSAGE_MAX_BYTES + 32];
    struct writer w = writer_init(bytes, sizeof(bytes));

    rtmp_chunk_write(&w, m, RTMP_OUT_CHUNK_BYTES);
    if (!w.bad)
        conn_write(conn, bytes, writer_len(&w));
}

static void send_control(struct conn *conn, enum rtmp_message_type type, const struct writer *body)
{
    send_message(conn, &(struct rtmp_message){.body = body->start,
                                              .len = writer_len(body),
                                              .chunk_stream = CHUNK_STREAM_CONTROL,
                                              .type = (uint8_t)type});
}

void rtmp_send_control_u32(struct conn *conn, enum rtmp_message_type type, uint32_t value)
{
    uint8_t bytes[8];
    struct writer w = writer_init(bytes, sizeof(bytes));

    writer_u32(&w, value);
    if (type == RTMP_SET_PEER_BANDWIDTH)
        writer_u8(&w, 2); /* s5.4.5: limit type dynamic */
    send_control(conn, type, &w);
}

void rtmp_send_user_control(struct conn *conn, enum rtmp_user_control event, uint32_t value)
{
    uint8_t bytes[8];
    struct writer w = writer_init(bytes, sizeof(bytes));

    writer_u16(&w, (uint16_t)event);
    writer_u32(&w, value);
    send_control(conn, RTMP_USER_CONTROL, &w);
}

void rtmp_send_command(struct conn *conn, uint32_t stream_id, const struct writer *body)
{
    if (body->bad)
        return;
    send_message(conn, &(struct rtmp_message){.body = body->start,
                                              .len = writer_len(body),
                                              .stream_id = stream_id,
                                              .chunk_stream = stream_id ? CHUNK_STREAM_STATUS : CHUNK_STREAM_COMMAND,
                                              .type = RTMP_COMMAND_AMF0});
}

void rtmp_send_status(struct conn *conn, const char *level, const char *code, const char *description)
{
    uint8_t bytes[RTMP_OUT_MESSAGE_MAX_BYTES];
    struct writer w = writer_init(bytes, sizeof(bytes));

    rtmp_status_write(&w, level, code, description);
    rtmp_send_command(conn, RTMP_MESSAGE_STREAM, &w);
}
