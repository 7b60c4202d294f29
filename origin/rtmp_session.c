/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/rtmp_session.h"

#include <stdlib.h>

#include "base/log.h"
#include "base/random.h"
#include "io/timer.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_command.h"
#include "origin/rtmp_handshake.h"
#include "origin/rtmp_send.h"
#include "relay/publish.h"
#include "secure/token.h"

enum {
    SESSION_ID_CHARS = 22,
    ENCODER_MAX = 64,
    OUT_QUEUED_MAX_BYTES = 256 << 10, /* of a peer that asks and does not read */
    ACK_WINDOW_BYTES = 2500000,       /* what servers commonly ask for; encoders take it */
    LINGER_US = 2000000,              /* for the last answer */
    PUBLISHES_MAX = 32,               /* of one connection: each is a claim for the cluster, and a router that lingers */
};

struct rtmp_session {
    struct rtmp_host *host; /* NULL when it has gone */
    struct list link;
    struct conn *conn;
    struct rtmp_handshake *handshake; /* NULL when done */
    struct rtmp_chunk_reader *chunks;
    struct publication *publication; /* NULL unless claiming or publishing */
    struct rtmp_media *media;
    struct timer deadline, announce;
    enum rtmp_session_state state;
    bool connected;
    unsigned publishes;
    uint64_t started_unix_us, messages, bytes, acked_bytes;
    uint32_t ack_window_bytes; /* the peer wants to hear from us after so many */
    char id[SESSION_ID_CHARS + 1];
    char app[STREAM_NAME_MAX + 1 + RTMP_PARAMS_MAX]; /* as connect gave it, query included */
    char name[STREAM_NAME_MAX + 1];
    char params[RTMP_PARAMS_MAX];
    char encoder[ENCODER_MAX];
    char peer[ADDR_TEXT_CAP];
};

/* ---- Ending ---------------------------------------------------------------------------------- */

static void end_publishing(struct rtmp_session *s)
{
    timer_stop(&s->announce);
    rtmp_media_destroy(&s->media);
    if (s->publication)
        publish_close(&s->publication);
}

/* The peer hears the answers that are queued, and nothing more is taken from it. */
static void end_session(struct rtmp_session *s)
{
    end_publishing(s);
    timer_stop(&s->deadline);
    s->state = RTMP_SESSION_ENDED;
    conn_shutdown(s->conn, LINGER_US);
}

static void refuse(struct rtmp_session *s, uint64_t *counter, const char *code, const char *description)
{
    ++*counter;
    LOG_LIMITED("rtmp", "refused: %s stream=%s peer=%s", description, s->name, s->peer);
    rtmp_send_status(s->conn, "error", code, description);
    end_session(s);
}

static void bad_input(struct rtmp_session *s, enum rtmp_bad_input kind, const char *what, int err)
{
    s->host->counters.bad_input[kind]++;
    LOG_LIMITED("rtmp", "bad %s: %s (%d) stream=%s peer=%s", rtmp_bad_input_name(kind), what, err, s->name,
                s->peer);
    end_session(s);
}

static void on_deadline(struct timer *t, uint64_t now_us)
{
    struct rtmp_session *s = container_of(t, struct rtmp_session, deadline);

    (void)now_us;
    s->host->counters.timed_out++;
    LOG_LIMITED("rtmp", "nothing came in time (%s) stream=%s peer=%s", rtmp_session_state_name(s->state),
                s->name, s->peer);
    end_session(s);
}

/* ---- Publishing ------------------------------------------------------------------------------ */

static void on_claimed(void *arg, enum publish_result result)
{
    struct rtmp_session *s = arg;
    struct rtmp_counters *c = &s->host->counters;

    switch (result) {
    case PUBLISH_OK:
        c->publishes++;
        s->state = RTMP_SESSION_PUBLISHING;
        timer_start(&s->deadline, s->host->idle_us);
        rtmp_send_user_control(s->conn, RTMP_STREAM_BEGIN, RTMP_MESSAGE_STREAM);
        rtmp_send_status(s->conn, "status", "NetStream.Publish.Start", s->name);
        rtmp_media_start(s->media, s->publication);
        return;
    case PUBLISH_TAKEN:
        refuse(s, &c->refused_taken, "NetStream.Publish.BadName", "Somebody publishes this name already.");
        return;
    case PUBLISH_NAME:
        refuse(s, &c->refused_name, "NetStream.Publish.BadName",
               "Not a stream name: app/key of A-Z a-z 0-9 . _ -");
        return;
    case PUBLISH_OVERLOADED:
        refuse(s, &c->refused_overload, "NetStream.Publish.Failed",
               "This node takes no more publishers now.");
        return;
    }
}

static void on_want(void *arg, uint64_t want)
{
    (void)arg; /* an encoder cannot be told to leave a track out */
    (void)want;
}

static void on_keyframe(void *arg, unsigned track, unsigned layer)
{
    (void)arg; /* nor to make a keyframe: RTMP has no word for it */
    (void)track;
    (void)layer;
}

static void on_revoked(void *arg, const char *why)
{
    struct rtmp_session *s = arg;

    refuse(s, &s->host->counters.revoked, "NetStream.Publish.BadName", why);
}

static const struct publish_ops publish_ops = {
    .on_claimed = on_claimed, .on_want = on_want, .on_keyframe = on_keyframe, .on_revoked = on_revoked};

static void on_announce_due(struct timer *t, uint64_t now_us)
{
    struct rtmp_session *s = container_of(t, struct rtmp_session, announce);

    (void)now_us;
    if (s->media)
        rtmp_media_poll(s->media);
}

/* Why the client may not publish s->name; NULL: it may. */
static const char *unauthorized(const struct rtmp_session *s)
{
    const struct token_key *key = s->host->key;
    char token[RTMP_PARAMS_MAX];

    if (!key)
        return NULL;
    rtmp_param(s->params, "token", token);
    if (!token[0])
        return "This stream wants a token: NAME?token=TOKEN.";
    enum token_result result = token_check(key, token, "publish", s->name, worker_unix_us(s->host->worker) / 1000000);
    return result == TOKEN_OK ? NULL : token_result_text(result);
}

static void publish(struct rtmp_session *s, struct amf0_str key)
{
    struct rtmp_counters *c = &s->host->counters;
    struct amf0_str app = {s->app, strlen(s->app)};

    if (s->publication) {
        bad_input(s, RTMP_BAD_COMMAND, "publish while publishing", 0);
        return;
    }
    if (s->publishes++ == PUBLISHES_MAX) {
        bad_input(s, RTMP_BAD_COMMAND, "publish too often", 0);
        return;
    }
    const char *why = s->host->refusal ? s->host->refusal(s->host->arg) : NULL;
    if (why) {
        refuse(s, &c->refused_overload, "NetStream.Publish.Failed", why);
        return;
    }
    if (!rtmp_stream_name(app, key, s->name, s->params)) {
        s->name[0] = s->params[0] = '\0';
        refuse(s, &c->refused_name, "NetStream.Publish.BadName", "The stream's name is too long.");
        return;
    }
    why = unauthorized(s);
    if (why) {
        refuse(s, &c->refused_token, "NetStream.Publish.Unauthorized", why);
        return;
    }
    struct rtmp_media_cfg media = {.name = s->name, .audio_transcode = s->host->audio_transcode};
    if (rtmp_media_create(&s->media, &media) ||
        publish_claim(&s->publication, s->host->relay, s->name, "rtmp", &publish_ops, s)) {
        refuse(s, &c->refused_overload, "NetStream.Publish.Failed", "This node is out of memory.");
        return;
    }
    s->state = RTMP_SESSION_CLAIMING;
    rtmp_chunk_reader_limit(s->chunks, false);
}

static void unpublish(struct rtmp_session *s)
{
    if (!s->publication)
        return;
    end_publishing(s);
    s->state = RTMP_SESSION_COMMANDS;
    timer_start(&s->deadline, s->host->publish_us);
    log_info("rtmp", "unpublished stream=%s peer=%s", s->name, s->peer);
    rtmp_send_status(s->conn, "status", "NetStream.Unpublish.Success", s->name);
}

/* ---- Commands -------------------------------------------------------------------------------- */

static void take_text(char *dst, size_t cap, struct amf0_str src)
{
    size_t n = src.len < cap - 1 ? src.len : cap - 1;

    for (size_t i = 0; i < n; i++) /* it goes into logs and JSON */
        dst[i] = src.p[i] >= ' ' && src.p[i] < 0x7f ? src.p[i] : '?';
    dst[n] = '\0';
}

static void connect_client(struct rtmp_session *s, const struct rtmp_command *c)
{
    uint8_t bytes[RTMP_OUT_MESSAGE_MAX_BYTES];
    struct writer w = writer_init(bytes, sizeof(bytes));

    if (c->app.len >= sizeof(s->app)) {
        rtmp_connect_error_write(&w, c->transaction, "NetConnection.Connect.InvalidApp",
                                 "The app's name is too long.");
        rtmp_send_command(s->conn, 0, &w);
        end_session(s);
        return;
    }
    take_text(s->app, sizeof(s->app), c->app);
    take_text(s->encoder, sizeof(s->encoder), c->flash_ver);
    s->connected = true;
    rtmp_send_control_u32(s->conn, RTMP_WINDOW_ACK_SIZE, ACK_WINDOW_BYTES);
    rtmp_send_control_u32(s->conn, RTMP_SET_PEER_BANDWIDTH, ACK_WINDOW_BYTES);
    rtmp_send_control_u32(s->conn, RTMP_SET_CHUNK_SIZE, RTMP_OUT_CHUNK_BYTES);
    rtmp_connect_result_write(&w, c->transaction, c->enhanced);
    rtmp_send_command(s->conn, 0, &w);
}

static void answer(struct rtmp_session *s, const struct rtmp_command *c)
{
    uint8_t bytes[RTMP_OUT_MESSAGE_MAX_BYTES];
    struct writer w = writer_init(bytes, sizeof(bytes));

    if (c->kind == RTMP_CMD_CREATE_STREAM)
        rtmp_stream_id_write(&w, c->transaction, RTMP_MESSAGE_STREAM);
    else
        rtmp_result_write(&w, c->transaction);
    rtmp_send_command(s->conn, 0, &w);
}

static void on_command(struct rtmp_session *s, const uint8_t *body, size_t len)
{
    struct rtmp_command c;
    int err = rtmp_command_parse(&c, body, len);

    if (err) {
        bad_input(s, RTMP_BAD_COMMAND, "AMF0", err);
        return;
    }
    if (c.kind == RTMP_CMD_OTHER)
        return;
    if ((c.kind == RTMP_CMD_CONNECT) == s->connected) {
        bad_input(s, RTMP_BAD_COMMAND, s->connected ? "connect twice" : "no connect", 0);
        return;
    }
    switch (c.kind) {
    case RTMP_CMD_CONNECT:
        connect_client(s, &c);
        return;
    case RTMP_CMD_RELEASE_STREAM:
    case RTMP_CMD_FC_PUBLISH:
    case RTMP_CMD_CREATE_STREAM:
        answer(s, &c);
        return;
    case RTMP_CMD_PUBLISH:
        publish(s, c.key);
        return;
    case RTMP_CMD_FC_UNPUBLISH:
    case RTMP_CMD_CLOSE_STREAM:
    case RTMP_CMD_DELETE_STREAM:
        unpublish(s);
        return;
    case RTMP_CMD_PLAY:
        refuse(s, &s->host->counters.refused_play, "NetStream.Play.Failed",
               "Nothing is played here: an edge plays by WHEP and HTTP-FLV.");
        return;
    case RTMP_CMD_OTHER:
        return;
    }
}

/* ---- Messages -------------------------------------------------------------------------------- */

static void on_metadata(struct rtmp_session *s, const uint8_t *body, size_t len)
{
    struct rtmp_metadata metadata;
    int err = rtmp_metadata_parse(&metadata, body, len);

    if (err) {
        bad_input(s, RTMP_BAD_COMMAND, "metadata", err);
        return;
    }
    if (metadata.encoder.len)
        take_text(s->encoder, sizeof(s->encoder), metadata.encoder);
    if (s->media)
        rtmp_media_metadata(s->media, &metadata);
}

static void on_media(struct rtmp_session *s, const struct rtmp_message *m)
{
    if (!s->media)
        return; /* before publish or after FCUnpublish: encoders send a little more than they should */
    int err = rtmp_media_push(s->media, m, worker_unix_us(s->host->worker));
    if (err == RTMP_MEDIA_ERR_CODEC) {
        refuse(s, &s->host->counters.refused_codec, "NetStream.Publish.Rejected",
               "Not carried: send H.264, H.265, AV1 or VP9 video, and AAC or Opus audio, one track each.");
        return;
    }
    if (err) {
        bad_input(s, RTMP_BAD_MEDIA, m->type == RTMP_VIDEO ? "video" : "audio", err);
        return;
    }
    if (rtmp_media_waits(s->media))
        timer_start(&s->announce, RTMP_ANNOUNCE_WAIT_US);
}

static void on_control(struct rtmp_session *s, const struct rtmp_message *m)
{
    struct reader r = reader_init(m->body, m->len);
    uint16_t event = m->type == RTMP_USER_CONTROL ? reader_u16(&r) : 0;
    uint32_t value = 0;

    if (m->type != RTMP_USER_CONTROL || event == RTMP_PING_REQUEST)
        value = reader_u32(&r);
    if (r.bad) {
        bad_input(s, RTMP_BAD_COMMAND, "control message", m->type);
        return;
    }
    if (m->type == RTMP_WINDOW_ACK_SIZE && value > 0)
        s->ack_window_bytes = value;
    else if (m->type == RTMP_USER_CONTROL && event == RTMP_PING_REQUEST)
        rtmp_send_user_control(s->conn, RTMP_PING_RESPONSE, value);
}

/* AMF3 messages begin with a format byte; 0 is AMF0, and nobody sends anything else to publish. */
static void on_amf(struct rtmp_session *s, const struct rtmp_message *m)
{
    bool wrapped = m->type == RTMP_COMMAND_AMF3 || m->type == RTMP_DATA_AMF3;
    bool command = m->type == RTMP_COMMAND_AMF3 || m->type == RTMP_COMMAND_AMF0;

    if (wrapped && (m->len == 0 || m->body[0] != 0)) {
        bad_input(s, RTMP_BAD_COMMAND, "AMF3", 0);
        return;
    }
    if (command)
        on_command(s, m->body + wrapped, m->len - wrapped);
    else
        on_metadata(s, m->body + wrapped, m->len - wrapped);
}

static void on_message(struct rtmp_session *s, const struct rtmp_message *m)
{
    s->messages++;
    s->host->counters.messages++;
    switch (m->type) {
    case RTMP_AUDIO:
    case RTMP_VIDEO:
        on_media(s, m);
        return;
    case RTMP_COMMAND_AMF0:
    case RTMP_COMMAND_AMF3:
    case RTMP_DATA_AMF0:
    case RTMP_DATA_AMF3:
        on_amf(s, m);
        return;
    case RTMP_ACK:
    case RTMP_USER_CONTROL:
    case RTMP_WINDOW_ACK_SIZE:
    case RTMP_SET_PEER_BANDWIDTH:
        on_control(s, m);
        return;
    default: /* Set Chunk Size and Abort are done; shared objects, aggregates: not used to publish */
        return;
    }
}

/* ---- The connection -------------------------------------------------------------------------- */

static void read_chunks(struct rtmp_session *s, struct reader *in)
{
    struct rtmp_message m;
    int got = 0;

    while (s->state != RTMP_SESSION_ENDED && (got = rtmp_chunk_read(s->chunks, in, &m)) == 1)
        on_message(s, &m);
    if (s->state != RTMP_SESSION_ENDED && got < 0)
        bad_input(s, RTMP_BAD_CHUNK, "chunk", got);
}

static void read_handshake(struct rtmp_session *s, struct reader *in)
{
    uint8_t random[RTMP_HANDSHAKE_PART_BYTES - 8], reply[RTMP_HANDSHAKE_REPLY_BYTES];
    int got;

    while ((got = rtmp_handshake_read(s->handshake, in)) == RTMP_HANDSHAKE_REPLY) {
        random_bytes(random, sizeof(random));
        rtmp_handshake_write(s->handshake, random, reply);
        conn_write(s->conn, reply, sizeof(reply));
    }
    if (got < 0)
        bad_input(s, RTMP_BAD_HANDSHAKE, "version", got);
    if (got != RTMP_HANDSHAKE_FINISHED)
        return;
    free(s->handshake);
    s->handshake = NULL;
    s->state = RTMP_SESSION_COMMANDS;
    timer_start(&s->deadline, s->host->publish_us);
}

/* s5.4.3: an acknowledgement each window. */
static void acknowledge(struct rtmp_session *s)
{
    if (s->bytes - s->acked_bytes < s->ack_window_bytes)
        return;
    s->acked_bytes = s->bytes;
    rtmp_send_control_u32(s->conn, RTMP_ACK, (uint32_t)s->bytes);
}

static void on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct rtmp_session *s = arg;
    struct reader in = reader_init(bytes, len);

    if (s->state == RTMP_SESSION_ENDED)
        return;
    s->bytes += len;
    s->host->counters.bytes += len;
    if (s->state == RTMP_SESSION_PUBLISHING)
        timer_start(&s->deadline, s->host->idle_us);
    if (s->handshake)
        read_handshake(s, &in);
    if (!s->handshake)
        read_chunks(s, &in);
    if (s->state == RTMP_SESSION_ENDED)
        return;
    acknowledge(s);
    if (conn_queued_bytes(s->conn) > OUT_QUEUED_MAX_BYTES)
        bad_input(s, RTMP_BAD_COMMAND, "asks and does not read", 0);
}

static void on_close(void *arg, int err)
{
    struct rtmp_session *s = arg;

    if (s->state == RTMP_SESSION_PUBLISHING)
        log_info("rtmp", "publisher went away stream=%s peer=%s err=%d", s->name, s->peer, err);
    end_publishing(s);
    timer_stop(&s->deadline);
    if (s->host) {
        list_remove(&s->link);
        s->host->n_sessions--;
    }
    rtmp_chunk_reader_destroy(&s->chunks);
    free(s->handshake);
    free(s);
}

static const struct conn_ops conn_ops = {.on_data = on_data, .on_close = on_close};

void rtmp_session_open(struct rtmp_host *host, struct conn *conn)
{
    struct rtmp_session *s = calloc(1, sizeof(*s));

    if (!s || rtmp_chunk_reader_create(&s->chunks)) {
        free(s);
        conn_close(conn);
        return;
    }
    s->handshake = calloc(1, sizeof(*s->handshake));
    if (!s->handshake) {
        rtmp_chunk_reader_destroy(&s->chunks);
        free(s);
        conn_close(conn);
        return;
    }
    rtmp_chunk_reader_limit(s->chunks, true);
    s->host = host;
    s->conn = conn;
    s->started_unix_us = worker_unix_us(host->worker);
    s->ack_window_bytes = ACK_WINDOW_BYTES;
    random_token(s->id, SESSION_ID_CHARS);
    addr_print(conn_peer(conn), s->peer);
    list_push_back(&host->sessions, &s->link);
    host->n_sessions++;
    host->counters.connections++;
    conn_set_ops(conn, &conn_ops, s);
    timer_init(&s->deadline, host->worker, on_deadline);
    timer_init(&s->announce, host->worker, on_announce_due);
    timer_start(&s->deadline, host->handshake_us);
}

void rtmp_session_close(struct rtmp_session *s)
{
    end_publishing(s);
    timer_stop(&s->deadline);
    s->state = RTMP_SESSION_ENDED;
    list_remove(&s->link);
    s->host = NULL;
    conn_close(s->conn);
}

struct rtmp_session *rtmp_session_of(struct list *link)
{
    return container_of(link, struct rtmp_session, link);
}

void rtmp_session_facts(const struct rtmp_session *s, struct rtmp_session_facts *out)
{
    *out = (struct rtmp_session_facts){
        .id = s->id,
        .stream = s->name,
        .params = s->params,
        .encoder = s->encoder,
        .peer = conn_peer(s->conn),
        .started_unix_us = s->started_unix_us,
        .bytes = s->bytes,
        .messages = s->messages,
        .state = s->state,
    };
    if (s->media)
        rtmp_media_facts(s->media, &out->media);
}
