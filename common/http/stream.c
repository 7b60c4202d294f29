/* SPDX-License-Identifier: Apache-2.0
 * stream.c - replies without end. */
#include "server_priv.h"

#include <assert.h>
#include <stdio.h>

void http_stream_begin(struct http_exchange *x, int status, const char *content_type, bool chunked,
                       void (*on_drain)(struct http_exchange *x, void *arg), void *arg)
{
    struct http_conn *c = x->c;
    struct text head = {0};

    assert(x->stream == STREAM_NO && !x->forward);
    x->stream = chunked && x->http_1_1 ? STREAM_CHUNKED : STREAM_PLAIN;
    if (x->stream == STREAM_CHUNKED)
        http_reply_header(x, "Transfer-Encoding",
                          "chunked"); /* its end is marked: the connection may go on */
    if (x->stream == STREAM_PLAIN || x->method == HTTP_M_HEAD)
        x->close = true;
    exchange_head(x, &head, status, content_type, false, 0);
    if (!head.bad)
        conn_write(c->conn, head.p, head.len);
    if (head.bad || x->method == HTTP_M_HEAD) {
        x->stream = STREAM_HEAD;
        http_conn_end(c);
    }
    text_fini(&head);
    x->on_drain = on_drain;
    x->drain_arg = arg;
}

static void write_chunk_size(struct http_exchange *x, size_t len)
{
    char line[24];
    int n = snprintf(line, sizeof(line), "%zx\r\n", len);

    conn_write(x->c->conn, line, (size_t)n);
}

void http_stream_write(struct http_exchange *x, const void *bytes, size_t len)
{
    if (len == 0 || x->stream == STREAM_HEAD) /* a chunk of 0 would be the end */
        return;
    if (x->stream == STREAM_CHUNKED)
        write_chunk_size(x, len);
    conn_write(x->c->conn, bytes, len);
    if (x->stream == STREAM_CHUNKED)
        conn_write(x->c->conn, "\r\n", 2);
}

void http_stream_write_buf(struct http_exchange *x, struct buf *b, size_t from)
{
    if (from >= b->len || x->stream == STREAM_HEAD)
        return;
    if (x->stream == STREAM_CHUNKED)
        write_chunk_size(x, b->len - from);
    conn_write_buf(x->c->conn, b, from);
    if (x->stream == STREAM_CHUNKED)
        conn_write(x->c->conn, "\r\n", 2);
}

size_t http_stream_queued_bytes(const struct http_exchange *x)
{
    return conn_queued_bytes(x->c->conn);
}

void http_stream_end(struct http_exchange *x)
{
    struct http_conn *c = x->c;
    bool keep = !x->close;

    if (x->stream == STREAM_CHUNKED)
        conn_write(c->conn, "0\r\n\r\n", 5);
    exchange_destroy(&x);
    http_conn_done(c, keep);
}

void http_stream_abort(struct http_exchange *x)
{
    struct http_conn *c = x->c;

    exchange_destroy(&x);
    c->x = NULL;
    http_conn_abort(c);
}
