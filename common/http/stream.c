/* SPDX-License-Identifier: Apache-2.0
 * stream.c - replies without end. */
#include "server_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { CHUNK_LINE_CAP = 24 /* a size in hexadecimal digits and a line's end */ };

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
    text_fini(&x->headers); /* a stream may last for days: what it does not need, it does not keep */
    request_destroy(&x->r);
}

/* The line before a chunk; returns its length. */
static size_t chunk_line(char line[CHUNK_LINE_CAP], size_t len)
{
    return (size_t)snprintf(line, CHUNK_LINE_CAP, "%zx\r\n", len);
}

static void write_chunk_size(struct http_exchange *x, size_t len)
{
    char line[CHUNK_LINE_CAP];

    conn_write(x->c->conn, line, chunk_line(line, len));
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

int http_piece_create(struct http_piece *out, const void *bytes, size_t len)
{
    char line[CHUNK_LINE_CAP];
    size_t n = chunk_line(line, len);
    struct buf *b = buf_create(n + len + 2);

    assert(len > 0);
    *out = (struct http_piece){b, n, n + len};
    if (!b)
        return -1;
    memcpy(b->bytes, line, n);
    memcpy(b->bytes + n, bytes, len);
    memcpy(b->bytes + n + len, "\r\n", 2);
    b->len = n + len + 2;
    return 0;
}

void http_stream_send(struct http_exchange *x, const struct http_piece *p)
{
    if (x->stream == STREAM_CHUNKED)
        conn_send_buf(x->c->conn, p->framed, 0, p->framed->len);
    else if (x->stream == STREAM_PLAIN)
        conn_send_buf(x->c->conn, p->framed, p->from, p->to);
}

size_t http_stream_queued_bytes(const struct http_exchange *x)
{
    return conn_queued_bytes(x->c->conn);
}

void http_stream_soon(const struct http_exchange *x, unsigned steps)
{
    if (steps == HTTP_SOON_STEPS) {
        __builtin_prefetch(x);
        return;
    }
    const struct http_conn *c = x->c;
    if (steps == 3)
        __builtin_prefetch(c);
    else if (steps == 2 && c)
        __builtin_prefetch(c->conn);
    else if (steps == 1 && c)
        conn_soon(c->conn);
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
