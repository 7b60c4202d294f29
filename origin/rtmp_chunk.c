/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_chunk.h"

#include <assert.h>
#include <stdlib.h>

enum {
    HEADER_MAX_BYTES = 18,  /* basic 3, message 11, extended timestamp 4 */
    TS_EXTENDED = 0xffffff, /* s5.3.1.3: the time is in four bytes more */
    BODY_FIRST_BYTES = 4096,
};

/* What the next compressed header on this chunk stream refers to, and the message being gathered. */
struct chunk_stream {
    uint8_t *body;
    size_t got, cap_bytes;
    uint32_t id;
    uint32_t ts_ms, delta_ms;
    uint32_t len;
    uint32_t message_stream;
    uint8_t type;
    bool extended; /* the last header had an extended timestamp: fmt 3 has one too */
    bool open;     /* in the middle of a message */
};

struct rtmp_chunk_reader {
    struct chunk_stream *streams[RTMP_CHUNK_STREAMS_MAX];
    size_t n_streams;
    size_t bodies_bytes; /* sum of cap_bytes */
    uint32_t chunk_bytes;
    bool stranger;
    struct chunk_stream *in_chunk; /* NULL: a header is being gathered */
    size_t chunk_left;
    uint8_t header[HEADER_MAX_BYTES];
    size_t header_len;
};

int rtmp_chunk_reader_create(struct rtmp_chunk_reader **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return RTMP_CHUNK_ERR_MEMORY;
    (*out)->chunk_bytes = RTMP_CHUNK_BYTES_DEFAULT;
    return RTMP_CHUNK_OK;
}

void rtmp_chunk_reader_destroy(struct rtmp_chunk_reader **r)
{
    if (!*r)
        return;
    for (size_t i = 0; i < (*r)->n_streams; i++) {
        free((*r)->streams[i]->body);
        free((*r)->streams[i]);
    }
    free(*r);
    *r = NULL;
}

void rtmp_chunk_reader_limit(struct rtmp_chunk_reader *r, bool stranger)
{
    r->stranger = stranger;
}

static struct chunk_stream *stream_find(const struct rtmp_chunk_reader *r, uint32_t id)
{
    for (size_t i = 0; i < r->n_streams; i++)
        if (r->streams[i]->id == id)
            return r->streams[i];
    return NULL;
}

/* ---- Header ---------------------------------------------------------------------------------- */

/* s5.3.1.1: ids 0 and 1 in the first byte mean that one or two more bytes hold the id. */
static size_t basic_bytes(uint8_t first)
{
    uint8_t id = first & 0x3f;

    return id == 0 ? 2 : id == 1 ? 3 : 1;
}

static uint32_t basic_id(const uint8_t *h)
{
    uint8_t id = h[0] & 0x3f;

    if (id == 0)
        return 64u + h[1];
    return id == 1 ? 64u + h[1] + 256u * h[2] : id;
}

static size_t message_header_bytes(uint8_t fmt)
{
    static const uint8_t bytes[] = {11, 7, 3, 0}; /* s5.3.1.2 */
    return bytes[fmt];
}

/* How long the header is, as far as the bytes gathered so far tell. */
static size_t header_want(const struct rtmp_chunk_reader *r)
{
    if (r->header_len == 0)
        return 1;
    uint8_t fmt = r->header[0] >> 6;
    size_t basic = basic_bytes(r->header[0]), want = basic + message_header_bytes(fmt);

    if (r->header_len < want)
        return want;
    const uint8_t *m = r->header + basic;
    if (fmt < 3)
        return want + (m[0] == 0xff && m[1] == 0xff && m[2] == 0xff ? 4 : 0);
    const struct chunk_stream *s = stream_find(r, basic_id(r->header));
    return want + (s && s->extended ? 4 : 0);
}

static struct chunk_stream *stream_open(struct rtmp_chunk_reader *r, uint32_t id)
{
    struct chunk_stream *s = stream_find(r, id);

    if (s || r->n_streams == RTMP_CHUNK_STREAMS_MAX)
        return s;
    s = calloc(1, sizeof(*s));
    if (s) {
        s->id = id;
        r->streams[r->n_streams++] = s;
    }
    return s;
}

static size_t message_cap(const struct rtmp_chunk_reader *r, uint8_t type)
{
    bool media = type == RTMP_AUDIO || type == RTMP_VIDEO || type == RTMP_AGGREGATE;

    return media && !r->stranger ? RTMP_MEDIA_MAX_BYTES : RTMP_COMMAND_MAX_BYTES;
}

static void read_message_header(struct chunk_stream *s, uint8_t fmt, struct reader h)
{
    uint32_t time_ms = 0;

    if (fmt < 3)
        time_ms = reader_u24(&h);
    if (fmt < 2) {
        s->len = reader_u24(&h);
        s->type = reader_u8(&h);
    }
    if (fmt == 0) { /* the only little-endian field */
        uint32_t b0 = reader_u8(&h), b1 = reader_u8(&h), b2 = reader_u8(&h), b3 = reader_u8(&h);
        s->message_stream = b0 | b1 << 8 | b2 << 16 | b3 << 24;
    }
    if (fmt == 3)
        return; /* the extended timestamp, when there is one, repeats what is known */
    s->extended = time_ms == TS_EXTENDED;
    if (s->extended)
        time_ms = reader_u32(&h);
    s->delta_ms = time_ms; /* also after fmt 0: s5.3.1.2.4, last sentence */
    if (fmt == 0)
        s->ts_ms = 0;
}

/* The header is whole: which chunk begins here? */
static int begin_chunk(struct rtmp_chunk_reader *r)
{
    uint8_t fmt = r->header[0] >> 6;
    uint32_t id = basic_id(r->header);
    size_t basic = basic_bytes(r->header[0]);
    struct chunk_stream *s = stream_find(r, id);

    if (!s && fmt > 1) /* fmt 1 says all but the message stream; librtmp begins with it */
        return RTMP_CHUNK_ERR_HEADER;
    if (!s)
        s = stream_open(r, id);
    if (!s)
        return r->n_streams == RTMP_CHUNK_STREAMS_MAX ? RTMP_CHUNK_ERR_STREAMS : RTMP_CHUNK_ERR_MEMORY;
    if (s->open && fmt != 3)
        return RTMP_CHUNK_ERR_HEADER;
    if (!s->open) {
        read_message_header(s, fmt, reader_init(r->header + basic, r->header_len - basic));
        if (s->len > message_cap(r, s->type))
            return RTMP_CHUNK_ERR_BIG;
        s->ts_ms += s->delta_ms;
        s->got = 0;
        s->open = true;
    }
    r->in_chunk = s;
    r->chunk_left = s->len - s->got < r->chunk_bytes ? s->len - s->got : r->chunk_bytes;
    r->header_len = 0;
    return RTMP_CHUNK_OK;
}

/* 1: a chunk begins; 0: more bytes are needed. */
static int read_header(struct rtmp_chunk_reader *r, struct reader *in)
{
    size_t want;

    while (r->header_len < (want = header_want(r))) {
        size_t n = want - r->header_len;
        if (n > reader_left(in))
            n = reader_left(in);
        if (n == 0)
            return 0;
        memcpy(r->header + r->header_len, reader_take(in, n), n);
        r->header_len += n;
    }
    int err = begin_chunk(r);
    return err ? err : 1;
}

/* ---- Body ------------------------------------------------------------------------------------ */

/* Room for n bytes more; doubles, so that a promise of megabytes costs the sender megabytes too. */
static int body_reserve(struct rtmp_chunk_reader *r, struct chunk_stream *s, size_t n)
{
    size_t need = s->got + n, cap = s->cap_bytes ? s->cap_bytes : BODY_FIRST_BYTES;
    size_t most = r->stranger ? RTMP_STRANGER_MAX_BYTES : RTMP_UNFINISHED_MAX_BYTES;

    if (need <= s->cap_bytes)
        return RTMP_CHUNK_OK;
    while (cap < need)
        cap *= 2;
    if (r->bodies_bytes - s->cap_bytes + cap > most)
        return RTMP_CHUNK_ERR_BIG;
    uint8_t *grown = realloc(s->body, cap);
    if (!grown)
        return RTMP_CHUNK_ERR_MEMORY;
    r->bodies_bytes += cap - s->cap_bytes;
    s->body = grown;
    s->cap_bytes = cap;
    return RTMP_CHUNK_OK;
}

static int read_body(struct rtmp_chunk_reader *r, struct reader *in)
{
    struct chunk_stream *s = r->in_chunk;
    size_t n = r->chunk_left < reader_left(in) ? r->chunk_left : reader_left(in);

    if (n == 0)
        return RTMP_CHUNK_OK;
    int err = body_reserve(r, s, n);
    if (err)
        return err;
    memcpy(s->body + s->got, reader_take(in, n), n);
    s->got += n;
    r->chunk_left -= n;
    return RTMP_CHUNK_OK;
}

/* s5.4.1, s5.4.2: what concerns this layer alone. */
static int apply_control(struct rtmp_chunk_reader *r, const struct rtmp_message *m)
{
    struct reader b = reader_init(m->body, m->len);

    if (m->type == RTMP_SET_CHUNK_SIZE) {
        uint32_t bytes = reader_u32(&b);
        if (b.bad || bytes == 0 || bytes >> 31)
            return RTMP_CHUNK_ERR_CONTROL;
        r->chunk_bytes = bytes;
    } else if (m->type == RTMP_ABORT) {
        struct chunk_stream *s = stream_find(r, reader_u32(&b));
        if (b.bad)
            return RTMP_CHUNK_ERR_CONTROL;
        if (s)
            s->open = false;
    }
    return RTMP_CHUNK_OK;
}

static struct rtmp_message finish_message(struct chunk_stream *s)
{
    s->open = false;
    return (struct rtmp_message){
        .body = s->body, /* NULL only with len 0 */
        .len = s->len,
        .ts_ms = s->ts_ms,
        .stream_id = s->message_stream,
        .chunk_stream = s->id,
        .type = s->type,
    };
}

int rtmp_chunk_read(struct rtmp_chunk_reader *r, struct reader *in, struct rtmp_message *out)
{
    for (;;) {
        if (!r->in_chunk) {
            int got = read_header(r, in);
            if (got <= 0)
                return got;
        }
        int err = read_body(r, in);
        if (err)
            return err;
        if (r->chunk_left > 0)
            return 0;
        struct chunk_stream *s = r->in_chunk;
        r->in_chunk = NULL;
        if (s->got < s->len)
            continue;
        *out = finish_message(s);
        err = apply_control(r, out);
        return err ? err : 1;
    }
}

/* ---- Writing --------------------------------------------------------------------------------- */

void rtmp_chunk_write(struct writer *w, const struct rtmp_message *m, size_t chunk_bytes)
{
    assert(m->chunk_stream >= 2 && m->chunk_stream < 64 && m->len < 1 << 24 && chunk_bytes > 0);
    bool extended = m->ts_ms >= TS_EXTENDED;

    writer_u8(w, (uint8_t)m->chunk_stream);
    writer_u24(w, extended ? TS_EXTENDED : m->ts_ms);
    writer_u24(w, (uint32_t)m->len);
    writer_u8(w, m->type);
    for (unsigned shift = 0; shift < 32; shift += 8)
        writer_u8(w, (uint8_t)(m->stream_id >> shift));
    if (extended)
        writer_u32(w, m->ts_ms);
    for (size_t at = 0; at < m->len; at += chunk_bytes) {
        if (at > 0) {
            writer_u8(w, (uint8_t)(0xc0 | m->chunk_stream));
            if (extended)
                writer_u32(w, m->ts_ms);
        }
        writer_bytes(w, m->body + at, m->len - at < chunk_bytes ? m->len - at : chunk_bytes);
    }
}
