/* SPDX-License-Identifier: Apache-2.0
 * fuzz_rtmp_chunk.c - the chunk stream, cut where its first byte says, and the commands and metadata in it. What is
 * read is written again and must read back the same. */
#include <stdlib.h>

#include "origin/rtmp_chunk.h"
#include "origin/rtmp_command.h"

static void write_again(const struct rtmp_message *m)
{
    size_t cap = m->len + m->len / RTMP_CHUNK_BYTES_DEFAULT * 5 + 64;
    uint8_t *bytes = malloc(cap);
    struct writer w = writer_init(bytes, cap);
    struct rtmp_message out = *m, back;
    struct rtmp_chunk_reader *c;

    out.chunk_stream = 3;
    rtmp_chunk_write(&w, &out, RTMP_CHUNK_BYTES_DEFAULT);
    struct reader in = reader_init(bytes, writer_len(&w));
    if (w.bad || rtmp_chunk_reader_create(&c) || rtmp_chunk_read(c, &in, &back) != 1)
        abort();
    if (back.len != m->len || back.ts_ms != m->ts_ms || back.type != m->type || back.stream_id != m->stream_id ||
        (m->len && memcmp(back.body, m->body, m->len) != 0))
        abort();
    rtmp_chunk_reader_destroy(&c);
    free(bytes);
}

static void look(const struct rtmp_message *m)
{
    char name[STREAM_NAME_MAX + 1], params[RTMP_PARAMS_MAX];
    struct rtmp_command command;
    struct rtmp_metadata metadata;

    if (rtmp_command_parse(&command, m->body, m->len) == 0 &&
        rtmp_stream_name(command.app, command.key, name, params) && strlen(name) > STREAM_NAME_MAX)
        abort();
    if (rtmp_metadata_parse(&metadata, m->body, m->len) != 0)
        return;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rtmp_chunk_reader *c;
    struct rtmp_message m;
    int got = 0;

    if (size == 0 || rtmp_chunk_reader_create(&c))
        return 0;
    size_t piece = data[0] ? data[0] : 4096;
    for (size_t at = 1; at < size && got >= 0; at += piece) {
        struct reader in = reader_init(data + at, size - at < piece ? size - at : piece);
        while ((got = rtmp_chunk_read(c, &in, &m)) == 1) {
            look(&m);
            if (m.type != RTMP_SET_CHUNK_SIZE) /* it would apply to the copy */
                write_again(&m);
        }
    }
    rtmp_chunk_reader_destroy(&c);
    return 0;
}
