/* SPDX-License-Identifier: Apache-2.0
 * rtmp_chunk.h - the RTMP chunk stream: bytes of a connection into messages, and back.
 *
 * The reader takes bytes as they come, cut anywhere, and applies by itself what concerns chunks
 * only: Set Chunk Size and Abort. Its memory grows with what was received, never with what a header
 * promises.
 * Thread: any, one at a time. Ownership: a message's body is the reader's, borrowed until the next
 * rtmp_chunk_read.
 * Source: Adobe RTMP specification 1.0, s5.3 (chunking), s5.4 (protocol control messages). */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"
#include "base/writer.h"

enum rtmp_chunk_err {
    RTMP_CHUNK_OK = 0,
    RTMP_CHUNK_ERR_HEADER =
        -1, /* a compressed header with nothing before it, or a new message inside another */
    RTMP_CHUNK_ERR_BIG = -2,     /* a message, or all unfinished ones together, beyond the bound */
    RTMP_CHUNK_ERR_STREAMS = -3, /* more than RTMP_CHUNK_STREAMS_MAX chunk streams */
    RTMP_CHUNK_ERR_CONTROL = -4, /* Set Chunk Size or Abort that says nothing valid */
    RTMP_CHUNK_ERR_MEMORY = -5,
};

enum rtmp_message_type { /* s5.4, s7.1 */
                         RTMP_SET_CHUNK_SIZE = 1,
                         RTMP_ABORT = 2,
                         RTMP_ACK = 3,
                         RTMP_USER_CONTROL = 4,
                         RTMP_WINDOW_ACK_SIZE = 5,
                         RTMP_SET_PEER_BANDWIDTH = 6,
                         RTMP_AUDIO = 8,
                         RTMP_VIDEO = 9,
                         RTMP_DATA_AMF3 = 15,
                         RTMP_COMMAND_AMF3 = 17,
                         RTMP_DATA_AMF0 = 18,
                         RTMP_COMMAND_AMF0 = 20,
                         RTMP_AGGREGATE = 22,
};

enum {
    RTMP_CHUNK_BYTES_DEFAULT = 128,       /* s5.4.1 */
    RTMP_CHUNK_STREAMS_MAX = 64,          /* encoders use three to five */
    RTMP_MEDIA_MAX_BYTES = 8 << 20,       /* a message of type 8, 9 or 22: a 4K keyframe is about 2 MiB */
    RTMP_COMMAND_MAX_BYTES = 64 << 10,    /* any other message */
    RTMP_UNFINISHED_MAX_BYTES = 12 << 20, /* memory for bodies, all chunk streams together */
    RTMP_STRANGER_MAX_BYTES = 256 << 10,  /* the same, of a peer that may not publish yet */
};

struct rtmp_message {
    const uint8_t *body;
    size_t len;         /* bytes */
    uint32_t ts_ms;     /* wraps */
    uint32_t stream_id; /* message stream, as createStream gave it; 0: the connection's own */
    uint32_t chunk_stream;
    uint8_t type; /* enum rtmp_message_type */
};

struct rtmp_chunk_reader;

/* 0 or RTMP_CHUNK_ERR_MEMORY. */
MUST_USE int rtmp_chunk_reader_create(struct rtmp_chunk_reader **out);
void rtmp_chunk_reader_destroy(struct rtmp_chunk_reader **r);
/* A stranger's messages have RTMP_COMMAND_MAX_BYTES at most, whatever their type, and all together RTMP_STRANGER_MAX_BYTES. */
void rtmp_chunk_reader_limit(struct rtmp_chunk_reader *r, bool stranger);

/* Takes bytes from in. 1 and the next whole message (bytes may be left in in: call again), 0 when all
 * bytes are taken, or an rtmp_chunk_err: the stream cannot be followed any further. */
MUST_USE int rtmp_chunk_read(struct rtmp_chunk_reader *r, struct reader *in, struct rtmp_message *out);

/* Writes a message: a full header, then chunks of chunk_bytes. chunk_stream is 2..63 and len below
 * 1 << 24. w->bad when it does not fit. */
void rtmp_chunk_write(struct writer *w, const struct rtmp_message *m, size_t chunk_bytes);
