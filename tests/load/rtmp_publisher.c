/* SPDX-License-Identifier: Apache-2.0
 * rtmp_publisher.c - publishes a source by RTMP: H.264 and AAC.
 *
 * Source: Adobe RTMP specification 1.0, s5.2 (handshake), s7.2 (commands). */
#include "base/random.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_handshake.h"
#include "pacer.h"
#include "secure/conn.h"
#include "thread.h"
#include "wire/amf0.h"
#include "wire/flv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_BYTES = 65536, /* told by Set Chunk Size before anything else */
    CHUNK_STREAM_CONTROL = 2,
    CHUNK_STREAM_COMMAND = 3,
    CHUNK_STREAM_VIDEO = 6,
    CHUNK_STREAM_AUDIO = 4,
    MEDIA_STREAM = 1,
    COMMAND_BYTES_MAX = 4096,
    QUEUE_BYTES_MAX = 8 << 20, /* a server that reads too slowly: given up */
    CONNECT = 1, CREATE_STREAM = 2, PUBLISH = 3, /* transactions */
};

struct rtmp {
    struct viewer v;
    struct url url;
    char app[256], key[512];
    struct conn *conn;
    struct timer timer; /* the time to be accepted */
    struct rtmp_chunk_reader *reader;
    size_t handshake_got; /* of S0, S1, S2 */
    uint8_t handshake[RTMP_HANDSHAKE_REPLY_BYTES];
    struct pacer pacer;
    uint8_t *message; /* room for one media message with its chunk headers */
    size_t message_cap;
};

static struct rtmp *rtmp_of(struct viewer *v)
{
    return container_of(v, struct rtmp, v);
}

/* ---- Messages ------------------------------------------------------------------------------------------------- */

static void send_message(struct rtmp *p, uint8_t type, uint32_t chunk_stream, uint32_t stream_id, const struct writer *body)
{
    uint8_t bytes[COMMAND_BYTES_MAX + 64];
    struct writer w = writer_init(bytes, sizeof(bytes));

    rtmp_chunk_write(&w, &(struct rtmp_message){.body = body->start, .len = writer_len(body), .stream_id = stream_id,
                                                .chunk_stream = chunk_stream, .type = type}, CHUNK_BYTES);
    if (!w.bad && !body->bad && p->conn)
        conn_write(p->conn, bytes, writer_len(&w));
}

static void send_command(struct rtmp *p, uint32_t stream_id, const struct writer *body)
{
    send_message(p, RTMP_COMMAND_AMF0, CHUNK_STREAM_COMMAND, stream_id, body);
}

static void send_connect(struct rtmp *p)
{
    uint8_t bytes[COMMAND_BYTES_MAX];
    struct writer w = writer_init(bytes, sizeof(bytes));
    char tc_url[URL_BYTES_MAX + 300], authority[URL_HOST_MAX + 10];

    writer_u32(&w, CHUNK_BYTES);
    send_message(p, RTMP_SET_CHUNK_SIZE, CHUNK_STREAM_CONTROL, 0, &w);
    url_authority(&p->url, authority);
    snprintf(tc_url, sizeof(tc_url), "%s://%s/%s", p->url.scheme, authority, p->app);
    w = writer_init(bytes, sizeof(bytes));
    amf0_write_string(&w, "connect");
    amf0_write_number(&w, CONNECT);
    amf0_write_object_begin(&w);
    amf0_write_member_string(&w, "app", p->app);
    amf0_write_member_string(&w, "type", "nonprivate");
    amf0_write_member_string(&w, "flashVer", "FMLE/3.0 (compatible; millrace-load)");
    amf0_write_member_string(&w, "tcUrl", tc_url);
    amf0_write_end(&w);
    send_command(p, 0, &w);
}

static void send_create_stream(struct rtmp *p)
{
    uint8_t bytes[COMMAND_BYTES_MAX];
    struct writer w = writer_init(bytes, sizeof(bytes));

    amf0_write_string(&w, "createStream");
    amf0_write_number(&w, CREATE_STREAM);
    amf0_write_null(&w);
    send_command(p, 0, &w);
}

static void send_publish(struct rtmp *p, uint32_t stream_id)
{
    uint8_t bytes[COMMAND_BYTES_MAX];
    struct writer w = writer_init(bytes, sizeof(bytes));

    amf0_write_string(&w, "publish");
    amf0_write_number(&w, PUBLISH);
    amf0_write_null(&w);
    amf0_write_string(&w, p->key);
    amf0_write_string(&w, "live");
    send_command(p, stream_id, &w);
}

/* ---- Media ------------------------------------------------------------------------------------------------------- */

/* header | data as one message of the media stream. */
static void send_media(struct rtmp *p, bool video, uint64_t ts_us, const struct flv_media *m)
{
    uint8_t head[FLV_MEDIA_HEADER_MAX_BYTES];
    struct writer h = writer_init(head, sizeof(head));
    int err = video ? flv_video_write(&h, m) : flv_audio_write(&h, m);
    size_t len = writer_len(&h) + m->data_len, at = p->message_cap - len; /* the body at the end of the room */
    struct writer w = writer_init(p->message, at);

    if (err || h.bad || len + len / 16 + 64 > p->message_cap / 2)
        return;
    memcpy(p->message + at, head, writer_len(&h));
    memcpy(p->message + at + writer_len(&h), m->data, m->data_len);
    rtmp_chunk_write(&w, &(struct rtmp_message){.body = p->message + at, .len = len,
                                                .ts_ms = (uint32_t)((ts_us + 500) / 1000), .stream_id = MEDIA_STREAM,
                                                .chunk_stream = video ? CHUNK_STREAM_VIDEO : CHUNK_STREAM_AUDIO,
                                                .type = video ? RTMP_VIDEO : RTMP_AUDIO}, CHUNK_BYTES);
    if (!w.bad)
        conn_write(p->conn, p->message, writer_len(&w));
}

static void on_frame(void *arg, const struct media_frame *f, uint64_t round_us)
{
    struct rtmp *p = arg;
    struct flv_media m = {.data = f->data, .data_len = f->len, .packet = FLV_PACKET_FRAME, .keyframe = f->keyframe,
                          .fourcc = f->video ? FLV_AVC1 : FLV_MP4A,
                          .cts_ms = f->video ? (int32_t)((int64_t)(f->pts_us - f->dts_us) / 1000) : 0};

    if (conn_queued_bytes(p->conn) > QUEUE_BYTES_MAX)
        viewer_failed(&p->v, "rtmp: the server reads too slowly");
    else
        send_media(p, f->video, round_us + f->dts_us, &m);
}

static void send_sequence_starts(struct rtmp *p)
{
    const struct media_source *m = p->v.group->media;
    struct flv_media video = {.data = m->avcc, .data_len = m->avcc_len, .packet = FLV_PACKET_SEQUENCE_START,
                              .fourcc = FLV_AVC1, .keyframe = true};
    struct flv_media audio = {.data = m->asc, .data_len = m->asc_len, .packet = FLV_PACKET_SEQUENCE_START,
                              .fourcc = FLV_MP4A};
    uint8_t bytes[COMMAND_BYTES_MAX];
    struct writer w = writer_init(bytes, sizeof(bytes));

    amf0_write_string(&w, "@setDataFrame");
    amf0_write_string(&w, "onMetaData");
    amf0_write_object_begin(&w);
    amf0_write_member_number(&w, "width", m->width);
    amf0_write_member_number(&w, "height", m->height);
    amf0_write_member_number(&w, "framerate", m->fps);
    amf0_write_member_number(&w, "videocodecid", 7);
    if (m->has_audio)
        amf0_write_member_number(&w, "audiocodecid", 10);
    amf0_write_member_string(&w, "encoder", "millrace-load");
    amf0_write_end(&w);
    send_message(p, RTMP_DATA_AMF0, CHUNK_STREAM_AUDIO, MEDIA_STREAM, &w);
    send_media(p, true, 0, &video);
    if (m->has_audio)
        send_media(p, false, 0, &audio);
}

static void on_accepted(struct rtmp *p)
{
    struct worker *w = p->v.thread->worker;

    if (p->v.joined)
        return;
    timer_stop(&p->timer);
    viewer_joined(&p->v, worker_now_us(w));
    send_sequence_starts(p);
    if (pacer_start(&p->pacer, w, p->v.group->media, p->v.group->plan->stamp_every, &p->v.thread->tally, on_frame, p))
        viewer_failed(&p->v, "out of memory");
}

/* ---- Answers --------------------------------------------------------------------------------------------------------- */

/* onStatus: "code" is in the object that is its fourth value. */
static void on_status(struct rtmp *p, struct amf0_reader *a)
{
    struct amf0_value v;
    char cause[96];

    while (amf0_next(a, &v) == 1) {
        if (v.type != AMF0_STRING || !amf0_str_is(v.key, "code"))
            continue;
        if (amf0_str_is(v.string, "NetStream.Publish.Start")) {
            on_accepted(p);
        } else if (v.string.len > 8 && memcmp(v.string.p, "NetStream.Publish", 17 < v.string.len ? 17 : v.string.len) == 0) {
            snprintf(cause, sizeof(cause), "rtmp: %.*s", (int)v.string.len, v.string.p);
            viewer_failed(&p->v, cause);
        }
        return;
    }
}

static void on_result(struct rtmp *p, struct amf0_reader *a)
{
    struct amf0_value v;
    double transaction, id = MEDIA_STREAM;

    if (amf0_next_number(a, &transaction))
        return;
    if (transaction == CONNECT)
        send_create_stream(p);
    if (transaction != CREATE_STREAM)
        return;
    while (amf0_next(a, &v) == 1)
        if (v.type == AMF0_NUMBER)
            id = v.number;
    send_publish(p, (uint32_t)id);
}

static void on_message(struct rtmp *p, const struct rtmp_message *m)
{
    struct amf0_reader a = amf0_reader_init(m->body, m->len);
    struct amf0_str name;

    if (m->type != RTMP_COMMAND_AMF0 || amf0_next_string(&a, &name))
        return;
    if (amf0_str_is(name, "_result"))
        on_result(p, &a);
    else if (amf0_str_is(name, "onStatus"))
        on_status(p, &a);
    else if (amf0_str_is(name, "_error"))
        viewer_failed(&p->v, "rtmp: refused");
}

/* S0, S1 and S2; C2 is S1 again. */
static void take_handshake(struct rtmp *p, struct reader *in)
{
    size_t n = sizeof(p->handshake) - p->handshake_got;

    n = n < reader_left(in) ? n : reader_left(in);
    memcpy(p->handshake + p->handshake_got, reader_take(in, n), n);
    p->handshake_got += n;
    if (p->handshake_got < sizeof(p->handshake))
        return;
    conn_write(p->conn, p->handshake + 1, RTMP_HANDSHAKE_PART_BYTES);
    send_connect(p);
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct rtmp *p = arg;
    struct reader in = reader_init(bytes, len);
    struct rtmp_message m;
    int got = 1;

    if (p->handshake_got < sizeof(p->handshake))
        take_handshake(p, &in);
    while (!p->v.closed && reader_left(&in) && (got = rtmp_chunk_read(p->reader, &in, &m)) == 1)
        on_message(p, &m);
    if (got < 0)
        viewer_failed(&p->v, "rtmp: not RTMP");
}

static void on_open(void *arg)
{
    struct rtmp *p = arg;
    uint8_t c0c1[1 + RTMP_HANDSHAKE_PART_BYTES] = {RTMP_VERSION};

    random_bytes(c0c1 + 9, sizeof(c0c1) - 9); /* after version, time and zero */
    conn_write(p->conn, c0c1, sizeof(c0c1));
}

static void on_close(void *arg, int err)
{
    struct rtmp *p = arg;
    char cause[96];

    snprintf(cause, sizeof(cause), "rtmp: %s", err == CONN_ERR_TLS      ? conn_error(p->conn)
                                               : err == -ECONNREFUSED ? "connection refused" : "closed by the server");
    p->conn = NULL;
    if (!p->v.closed)
        viewer_failed(&p->v, cause);
}

static void on_timeout(struct timer *t, uint64_t now_us)
{
    (void)now_us;
    viewer_failed(&container_of(t, struct rtmp, timer)->v, "rtmp timeout");
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

/* "/app/key": the last part is the key, with its query. */
static int split_path(struct rtmp *p)
{
    const char *path = p->url.path + 1, *query = strchr(path, '?');
    size_t before = query ? (size_t)(query - path) : strlen(path);
    const char *slash = memrchr(path, '/', before);

    if (!slash || slash == path || (size_t)(slash - path) >= sizeof(p->app) || strlen(slash + 1) >= sizeof(p->key))
        return -1;
    snprintf(p->app, sizeof(p->app), "%.*s", (int)(slash - path), path);
    snprintf(p->key, sizeof(p->key), "%s", slash + 1);
    return p->key[0] ? 0 : -1;
}

static size_t largest(const struct media_source *m)
{
    size_t max = 0;

    for (size_t i = 0; i < m->n_frames; i++)
        max = m->frames[i].len > max ? m->frames[i].len : max;
    return max;
}

static int start(struct viewer *v)
{
    static const struct conn_ops ops = {.on_open = on_open, .on_data = on_data, .on_close = on_close};
    struct rtmp *p = rtmp_of(v);
    struct tls_ctx *tls = NULL;
    const char *cause = "rtmp: no connection could be made";
    struct addr to;

    timer_init(&p->timer, v->thread->worker, on_timeout);
    p->message_cap = 2 * (largest(v->group->media) * 17 / 16 + 1024);
    p->message = malloc(p->message_cap);
    if (viewer_url(v, &p->url, &to) || split_path(p))
        cause = "rtmp: the URL needs an application and a stream";
    else if (url_is_secure(&p->url))
        tls = v->thread->options->tls;
    if (p->key[0] && p->message && rtmp_chunk_reader_create(&p->reader) == RTMP_CHUNK_OK &&
             conn_connect(&p->conn, v->thread->worker, &to, tls, tls ? p->url.host : NULL, &ops, p) == 0) {
        timer_start(&p->timer, viewer_left_us(v));
        return 0;
    }
    viewer_failed(v, cause);
    return -1;
}

static void close_publisher(struct viewer *v, bool politely)
{
    static const struct conn_ops nobody = {0};
    struct rtmp *p = rtmp_of(v);

    (void)politely;
    timer_stop(&p->timer);
    pacer_stop(&p->pacer);
    if (p->conn) { /* what it calls back goes nowhere, as this may be freed by then */
        conn_set_ops(p->conn, &nobody, NULL);
        conn_close(p->conn);
    }
    p->conn = NULL;
    rtmp_chunk_reader_destroy(&p->reader);
    free(p->message);
    p->message = NULL;
}

struct viewer *rtmp_publisher_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_publisher};
    struct rtmp *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
