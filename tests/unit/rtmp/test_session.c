/* SPDX-License-Identifier: Apache-2.0
 * test_session.c - the RTMP server over loopback: ffmpeg publishes a file and every frame of it arrives; refusals,
 * bad input and silence end one connection and touch no other. */
#include "unit/rtmp/stub_publish.h"
#include "unit/wire/exact.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/h264.h"
#include "io/tcp.h"
#include "origin/rtmp.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_handshake.h"
#include "unit/io/loop.h"
#include "wire/flv.h"

struct setting {
    struct test_loop loop;
    struct relay relay;
    struct rtmp *rtmp;
    struct addr addr;
};

static struct setting s;

static void open_server(const struct rtmp_cfg *cfg)
{
    struct rtmp_cfg c = *cfg;

    memset(&s, 0, sizeof(s));
    test_loop_init(&s.loop);
    s.relay.worker = s.loop.w;
    c.relay = &s.relay;
    c.audio_transcode = true;
    assert_int_equal(addr_parse(&c.listen, "127.0.0.1:0"), 0);
    assert_int_equal(rtmp_open(&s.rtmp, s.loop.w, &c), 0);
    rtmp_local(s.rtmp, &s.addr);
}

static int begin(void **state)
{
    (void)state;
    open_server(&(struct rtmp_cfg){0});
    return 0;
}

static int end(void **state)
{
    (void)state;
    rtmp_close(&s.rtmp);
    assert_null(s.rtmp);
    test_loop_run_for(&s.loop, 10000); /* connections close in the loop */
    test_loop_fini(&s.loop);
    stub_relay_fini(&s.relay);
    return 0;
}

/* ---- A real encoder -------------------------------------------------------------------------- */

static pid_t run_ffmpeg(const char *arguments)
{
    char command[1024];
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    snprintf(command, sizeof(command), "exec ffmpeg -nostdin -hide_banner -loglevel error -y %s", arguments);
    execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static uint8_t *read_file(const char *path, size_t *len)
{
    struct stat st;
    FILE *f = fopen(path, "rb");

    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &st), 0);
    *len = (size_t)st.st_size;
    uint8_t *bytes = malloc(*len);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    return bytes;
}

static void stop_when_closed(void *arg)
{
    (void)arg;
    if (s.relay.closes)
        worker_stop(s.loop.w);
}

/* The next frame of this track among those that arrived, or NULL. */
static const struct stub_frame *next_arrived(unsigned track, size_t *at)
{
    while (*at < s.relay.n_frames) {
        const struct stub_frame *f = &s.relay.frames[(*at)++];
        if (f->track == track)
            return f;
    }
    return NULL;
}

/* Keyframes arrive with the parameter sets in front. */
static void assert_same_picture(const struct stub_frame *got, const struct flv_media *sent)
{
    assert_int_equal(got->keyframe, sent->keyframe);
    assert_true(got->len >= sent->data_len);
    assert_true(got->keyframe || got->len == sent->data_len);
    assert_memory_equal(got->data + got->len - sent->data_len, sent->data, sent->data_len);
    if (got->keyframe)
        assert_int_equal(got->data[4] & 0x1f, H264_NAL_SPS);
}

/* All frames of the file, in order, with its times (which begin at 0). */
static void assert_arrived(const char *path)
{
    size_t len, at[2] = {0, 0}, n[2] = {0, 0};
    uint8_t *bytes = read_file(path, &len);
    struct reader r = reader_init(bytes, len);
    struct flv_tag tag;
    struct flv_media m;
    bool audio, video;

    assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
    uint64_t base_ms = RTMP_MEDIA_BASE_MS;
    while (flv_tag_parse(&r, &tag) == FLV_OK) {
        if (tag.type == FLV_TAG_SCRIPT)
            continue;
        unsigned track = tag.type == FLV_TAG_VIDEO ? 0 : 1;
        assert_int_equal(track == 0 ? flv_video_parse(&m, tag.body, tag.body_len)
                                    : flv_audio_parse(&m, tag.body, tag.body_len), FLV_OK);
        if (m.packet != FLV_PACKET_FRAME)
            continue;
        const struct stub_frame *f = next_arrived(track, &at[track]);
        assert_non_null(f);
        if (track == 0) {
            assert_same_picture(f, &m);
            assert_int_equal(f->ts_ticks, (base_ms + tag.ts_ms + (uint64_t)(int64_t)m.cts_ms) * 90);
            assert_int_equal(f->cts_ticks, m.cts_ms * 90);
        } else {
            assert_int_equal(f->len, m.data_len);
            assert_memory_equal(f->data, m.data, f->len);
            assert_in_range(f->ts_ticks, (base_ms + tag.ts_ms) * 441 / 10 - 45, (base_ms + tag.ts_ms) * 441 / 10 + 45);
        }
        n[track]++;
    }
    assert_null(next_arrived(0, &at[0]));
    assert_null(next_arrived(1, &at[1]));
    assert_true(n[0] == 100 && n[1] > 160); /* 4 s */
    free(bytes);
}

static void every_frame_that_ffmpeg_publishes_arrives_unchanged(void **state)
{
    char file[64], arguments[512], peer[ADDR_TEXT_CAP];

    (void)state;
    snprintf(file, sizeof(file), "/tmp/millrace-test-rtmp-%d.flv", (int)getpid());
    snprintf(arguments, sizeof(arguments),
             "-f lavfi -i testsrc2=size=640x360:rate=25 -f lavfi -i sine=frequency=440:sample_rate=44100 -t 4 "
             "-pix_fmt yuv420p -c:v libx264 -preset veryfast -bf 2 -g 25 -threads 1 -c:a aac -ac 2 -f flv %s", file);
    wait_for(run_ffmpeg(arguments));
    s.relay.on_change = stop_when_closed;
    snprintf(arguments, sizeof(arguments), "-i %s -c copy -f flv 'rtmp://%s/live/test?token=abc'", file,
             addr_print(&s.addr, peer));
    pid_t ffmpeg = run_ffmpeg(arguments);
    test_loop_run(&s.loop);
    wait_for(ffmpeg);

    assert_string_equal(s.relay.name, "live/test");
    assert_string_equal(s.relay.kind, "rtmp");
    assert_int_equal(s.relay.starts, 1);
    assert_int_equal(s.relay.tracks.n, 3);
    assert_int_equal(s.relay.tracks.v[0].codec, CODEC_H264);
    assert_int_equal(s.relay.tracks.v[0].layers[0].width, 640);
    assert_int_equal(s.relay.tracks.v[0].layers[0].height, 360);
    assert_true(s.relay.tracks.v[0].b_frames);
    assert_int_equal(s.relay.tracks.v[1].codec, CODEC_AAC);
    assert_int_equal(s.relay.tracks.v[1].clock_hz, 44100);
    assert_int_equal(s.relay.tracks.v[1].channels, 2);
    assert_true(s.relay.tracks.v[2].derived);
    assert_int_equal(s.relay.broken, 0);
    assert_arrived(file);
    unlink(file);
    assert_int_equal(rtmp_counters(s.rtmp)->publishes, 1);
    for (unsigned i = 0; i < RTMP_BAD_INPUTS; i++)
        assert_int_equal(rtmp_counters(s.rtmp)->bad_input[i], 0);
}

/* ---- A client made of bytes ------------------------------------------------------------------ */

struct client {
    struct tcp *tcp;
    struct rtmp_chunk_reader *chunks;
    size_t handshake_left;
    bool closed;
    size_t awaited_pongs; /* the loop stops when there are so many, or when it has closed; 0: it runs on */
    char code[64]; /* of the last onStatus, _result or _error that had one */
    size_t replies, pongs, acks;
};

static void take_command(struct client *c, const struct rtmp_message *m)
{
    struct amf0_reader a = amf0_reader_init(m->body, m->len);
    struct amf0_value v;

    c->replies++;
    while (amf0_next(&a, &v) == 1)
        if (amf0_str_is(v.key, "code") && v.type == AMF0_STRING)
            snprintf(c->code, sizeof(c->code), "%.*s", (int)v.string.len, v.string.p);
}

static void stop_when_awaited(const struct client *c)
{
    if (c->awaited_pongs && (c->closed || c->pongs >= c->awaited_pongs))
        worker_stop(s.loop.w);
}

static void client_on_data(void *arg, const uint8_t *bytes, size_t len)
{
    struct client *c = arg;
    struct reader r = reader_init(bytes, len);
    struct rtmp_message m;
    size_t skip = c->handshake_left < len ? c->handshake_left : len;

    reader_take(&r, skip);
    c->handshake_left -= skip;
    while (rtmp_chunk_read(c->chunks, &r, &m) == 1) {
        c->pongs += m.type == RTMP_USER_CONTROL && m.len == 6 && m.body[1] == 7;
        c->acks += m.type == RTMP_ACK;
        if (m.type == RTMP_COMMAND_AMF0)
            take_command(c, &m);
    }
    stop_when_awaited(c);
}

static void client_on_close(void *arg, int err)
{
    struct client *c = arg;

    (void)err;
    c->closed = true;
    c->tcp = NULL;
    stop_when_awaited(c);
}

static const struct tcp_ops client_ops = {.on_data = client_on_data, .on_close = client_on_close};

static void client_open(struct client *c)
{
    static uint8_t hello[1 + 2 * RTMP_HANDSHAKE_PART_BYTES] = {RTMP_VERSION};

    *c = (struct client){.handshake_left = RTMP_HANDSHAKE_REPLY_BYTES};
    assert_int_equal(rtmp_chunk_reader_create(&c->chunks), 0);
    assert_int_equal(tcp_connect(&c->tcp, s.loop.w, &s.addr, &client_ops, c), 0);
    tcp_write(c->tcp, hello, sizeof(hello));
}

static void client_close(struct client *c)
{
    if (c->tcp)
        tcp_close(c->tcp);
    test_loop_run_for(&s.loop, 20000);
    rtmp_chunk_reader_destroy(&c->chunks);
}

static void send_message(struct client *c, uint8_t type, const void *body, size_t len)
{
    uint8_t bytes[4096];
    struct writer w = writer_init(bytes, sizeof(bytes));

    rtmp_chunk_write(&w, &(struct rtmp_message){.body = body, .len = len, .chunk_stream = 3, .type = type, .stream_id = 1},
                     RTMP_CHUNK_BYTES_DEFAULT);
    assert_false(w.bad);
    if (c->tcp)
        tcp_write(c->tcp, bytes, writer_len(&w));
}

static void send_connect(struct client *c, const char *app)
{
    uint8_t bytes[512];
    struct writer w = writer_init(bytes, sizeof(bytes));

    amf0_write_string(&w, "connect");
    amf0_write_number(&w, 1);
    amf0_write_object_begin(&w);
    amf0_write_member_string(&w, "app", app);
    amf0_write_end(&w);
    send_message(c, RTMP_COMMAND_AMF0, bytes, writer_len(&w));
}

/* type 17: the same behind a zero byte */
static void send_command(struct client *c, uint8_t type, const char *name, const char *key)
{
    uint8_t bytes[512];
    struct writer w = writer_init(bytes, sizeof(bytes));

    if (type == RTMP_COMMAND_AMF3)
        writer_u8(&w, 0);
    amf0_write_string(&w, name);
    amf0_write_number(&w, 4);
    amf0_write_null(&w);
    if (key)
        amf0_write_string(&w, key);
    send_message(c, type, bytes, writer_len(&w));
}

/* What was sent has been dealt with: a ping behind it is answered, or the connection has closed. Three times, since
 * a claim is answered a turn later, and its answer takes another. */
static void settle(struct client *c)
{
    for (int round = 0; round < 3 && !c->closed; round++) {
        c->awaited_pongs = c->pongs + 1;
        send_message(c, RTMP_USER_CONTROL, "\0\6\0\0\1\2", 6);
        test_loop_run(&s.loop);
    }
    c->awaited_pongs = 0;
}

static void publish_is_granted_and_ended_by_command(void **state)
{
    struct client c;

    (void)state;
    client_open(&c);
    send_connect(&c, "live");
    settle(&c);
    assert_string_equal(c.code, "NetConnection.Connect.Success");
    send_command(&c, RTMP_COMMAND_AMF0, "releaseStream", "test");
    send_command(&c, RTMP_COMMAND_AMF0, "FCPublish", "test");
    send_command(&c, RTMP_COMMAND_AMF3, "createStream", NULL);
    settle(&c);
    assert_int_equal(c.replies, 4);
    send_command(&c, RTMP_COMMAND_AMF0, "publish", "test");
    settle(&c);
    assert_string_equal(c.code, "NetStream.Publish.Start");
    send_command(&c, RTMP_COMMAND_AMF0, "FCUnpublish", "test");
    settle(&c);
    assert_string_equal(c.code, "NetStream.Unpublish.Success");
    assert_int_equal(s.relay.closes, 1);
    send_command(&c, RTMP_COMMAND_AMF0, "publish", "again");
    settle(&c);
    assert_string_equal(c.code, "NetStream.Publish.Start");
    assert_string_equal(s.relay.name, "live/again");
    assert_false(c.closed);
    client_close(&c);
    assert_int_equal(s.relay.closes, 2);
}

static const struct {
    enum publish_result answer;
    const char *command, *key, *code;
} refusals[] = {
    {PUBLISH_TAKEN, "publish", "test", "NetStream.Publish.BadName"},
    {PUBLISH_NAME, "publish", "te st", "NetStream.Publish.BadName"},
    {PUBLISH_OVERLOADED, "publish", "test", "NetStream.Publish.Failed"},
    {PUBLISH_OK, "play", "test", "NetStream.Play.Failed"},
};

static void each_refusal_says_why_and_closes(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(refusals); i++) {
        struct client c;
        s.relay.answer = refusals[i].answer;
        client_open(&c);
        send_connect(&c, "live");
        send_command(&c, RTMP_COMMAND_AMF0, refusals[i].command, refusals[i].key);
        settle(&c);
        assert_string_equal(c.code, refusals[i].code);
        assert_true(c.closed);
        client_close(&c);
        assert_null(s.relay.open);
    }
    const struct rtmp_counters *n = rtmp_counters(s.rtmp);
    assert_int_equal(n->refused_taken, 1);
    assert_int_equal(n->refused_name, 1);
    assert_int_equal(n->refused_overload, 1);
    assert_int_equal(n->refused_play, 1);
    assert_int_equal(n->publishes, 0);
}

static void an_unknown_codec_and_a_takeover_are_told(void **state)
{
    struct client c, d;

    (void)state;
    client_open(&c);
    send_connect(&c, "live");
    send_command(&c, RTMP_COMMAND_AMF0, "publish", "test");
    settle(&c);
    send_message(&c, RTMP_VIDEO, "\x12\0\0\0", 4);
    settle(&c);
    assert_string_equal(c.code, "NetStream.Publish.Rejected");
    assert_true(c.closed);
    client_close(&c);

    client_open(&d);
    send_connect(&d, "live");
    send_command(&d, RTMP_COMMAND_AMF0, "publish", "test");
    settle(&d);
    stub_revoke(&s.relay, "Somebody else took over.");
    settle(&d);
    assert_string_equal(d.code, "NetStream.Publish.BadName");
    assert_true(d.closed);
    client_close(&d);
    assert_int_equal(rtmp_counters(s.rtmp)->revoked, 1);
    assert_int_equal(rtmp_counters(s.rtmp)->refused_codec, 1);
}

static void a_ping_is_answered_and_bytes_are_acknowledged(void **state)
{
    struct client c;

    (void)state;
    client_open(&c);
    send_message(&c, RTMP_WINDOW_ACK_SIZE, "\0\0\x10\0", 4);
    settle(&c);
    assert_int_equal(c.pongs, 3);
    size_t before = c.acks;
    for (int i = 0; i < 5; i++)
        send_message(&c, RTMP_VIDEO, "", 0), send_message(&c, RTMP_AUDIO, (uint8_t[1000]){0}, 1000);
    settle(&c);
    assert_true(c.acks > before);
    client_close(&c);
}

struct bad_row {
    const char *name;
    enum rtmp_bad_input kind;
    bool connected;
    uint8_t type;
    const char *body;
    size_t len;
};

static const struct bad_row bad_rows[] = {
    {"a command that is no AMF0", RTMP_BAD_COMMAND, false, RTMP_COMMAND_AMF0, BYTES("\xff\xff")},
    {"publish before connect", RTMP_BAD_COMMAND, false, RTMP_COMMAND_AMF0,
     BYTES("\x02\0\x07publish\0\0\0\0\0\0\0\0\0\x05\x02\0\4test")},
    {"connect twice", RTMP_BAD_COMMAND, true, RTMP_COMMAND_AMF0, BYTES("\x02\0\x07" "connect\0\x3f\xf0\0\0\0\0\0\0\x03\0\0\x09")},
    {"AMF3 that is AMF3", RTMP_BAD_COMMAND, true, RTMP_COMMAND_AMF3, BYTES("\x11")},
    {"metadata that is no AMF0", RTMP_BAD_COMMAND, true, RTMP_DATA_AMF0, BYTES("\x02\0")},
    {"a ping of three bytes", RTMP_BAD_COMMAND, true, RTMP_USER_CONTROL, BYTES("\0\6\0")},
    {"a window of two bytes", RTMP_BAD_COMMAND, true, RTMP_WINDOW_ACK_SIZE, BYTES("\0\6")},
    {"chunk size 0", RTMP_BAD_CHUNK, true, RTMP_SET_CHUNK_SIZE, BYTES("\0\0\0\0")},
};

static void each_bad_message_closes_its_connection_only(void **state)
{
    struct client good;

    (void)state;
    client_open(&good);
    send_connect(&good, "live");
    send_command(&good, RTMP_COMMAND_AMF0, "publish", "test");
    settle(&good);
    for (size_t i = 0; i < LEN(bad_rows); i++) {
        struct client c;
        uint64_t before = rtmp_counters(s.rtmp)->bad_input[bad_rows[i].kind];
        client_open(&c);
        if (bad_rows[i].connected)
            send_connect(&c, "live");
        send_message(&c, bad_rows[i].type, bad_rows[i].body, bad_rows[i].len);
        settle(&c);
        if (!c.closed)
            print_message("row: %s\n", bad_rows[i].name);
        assert_true(c.closed);
        assert_int_equal(rtmp_counters(s.rtmp)->bad_input[bad_rows[i].kind], before + 1);
        client_close(&c);
    }
    assert_false(good.closed);
    assert_non_null(s.relay.open);
    client_close(&good);
}

/* The header of a video of 100,000 bytes and the first of them. */
static void begin_large_video(struct client *c)
{
    static const uint8_t begin[] = {6, 0, 0, 0, 1, 0x86, 0xa0, RTMP_VIDEO, 1, 0, 0, 0, 0x17, 1};

    tcp_write(c->tcp, begin, sizeof(begin));
}

static void who_may_not_publish_sends_no_large_messages(void **state)
{
    struct client c;

    (void)state;
    for (int publishes = 0; publishes < 2; publishes++) {
        client_open(&c);
        send_connect(&c, "live");
        if (publishes)
            send_command(&c, RTMP_COMMAND_AMF0, "publish", "test");
        begin_large_video(&c);
        test_loop_run_for(&s.loop, 20000);
        assert_int_equal(c.closed, !publishes);
        client_close(&c);
    }
    assert_int_equal(rtmp_counters(s.rtmp)->bad_input[RTMP_BAD_CHUNK], 1);
}

/* Each publish is a claim that all the cluster hears of. */
static void a_connection_publishes_so_often_and_no_more(void **state)
{
    struct client c;
    char name[16];

    (void)state;
    client_open(&c);
    send_connect(&c, "live");
    for (unsigned i = 0; i < 200; i++) {
        snprintf(name, sizeof(name), "test%u", i);
        send_command(&c, RTMP_COMMAND_AMF0, "publish", name);
        send_command(&c, RTMP_COMMAND_AMF0, "FCUnpublish", name);
    }
    settle(&c);
    assert_true(c.closed);
    assert_int_equal(s.relay.claims, 32);
    assert_int_equal(s.relay.closes, 32);
    client_close(&c);
}

static void noise_and_other_protocols_are_closed_at_once(void **state)
{
    static const char *const hellos[] = {"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01", "\x06"};

    (void)state;
    for (size_t i = 0; i < LEN(hellos); i++) {
        struct client c = {0};
        assert_int_equal(rtmp_chunk_reader_create(&c.chunks), 0);
        assert_int_equal(tcp_connect(&c.tcp, s.loop.w, &s.addr, &client_ops, &c), 0);
        tcp_write(c.tcp, hellos[i], strlen(hellos[i]));
        c.awaited_pongs = 1;
        test_loop_run(&s.loop);
        assert_true(c.closed);
        client_close(&c);
    }
    assert_int_equal(rtmp_counters(s.rtmp)->bad_input[RTMP_BAD_HANDSHAKE], LEN(hellos));
}

/* Until the server has closed it. */
static void run_until_closed(struct client *c)
{
    c->awaited_pongs = SIZE_MAX;
    while (!c->closed)
        test_loop_run(&s.loop);
}

static void who_is_silent_too_long_is_dropped(void **state)
{
    static const struct {
        struct rtmp_cfg cfg;
        bool hello, publish;
    } silences[] = {
        {{.handshake_us = 20000}, false, false},
        {{.publish_us = 20000}, true, false},
        {{.idle_us = 20000}, true, true},
    };

    for (size_t i = 0; i < LEN(silences); i++) {
        struct client c = {.handshake_left = RTMP_HANDSHAKE_REPLY_BYTES};
        open_server(&silences[i].cfg);
        if (silences[i].hello) {
            client_open(&c);
        } else {
            assert_int_equal(rtmp_chunk_reader_create(&c.chunks), 0);
            assert_int_equal(tcp_connect(&c.tcp, s.loop.w, &s.addr, &client_ops, &c), 0);
        }
        if (silences[i].publish) {
            send_connect(&c, "live");
            send_command(&c, RTMP_COMMAND_AMF0, "publish", "test");
        }
        run_until_closed(&c);
        assert_int_equal(rtmp_counters(s.rtmp)->timed_out, 1);
        assert_int_equal(s.relay.closes, silences[i].publish);
        client_close(&c);
        end(state);
    }
}

static void more_connections_than_allowed_are_closed(void **state)
{
    struct client a, b;

    open_server(&(struct rtmp_cfg){.cap_connections = 1});
    client_open(&a);
    settle(&a);
    client_open(&b);
    run_until_closed(&b);
    assert_false(a.closed);
    assert_int_equal(rtmp_counters(s.rtmp)->refused_overload, 1);
    client_close(&a);
    client_close(&b);
    end(state);
}

static void count_session(void *arg, const struct rtmp_session_facts *f)
{
    size_t *n = arg;

    ++*n;
    assert_int_equal(strlen(f->id), 22);
    assert_string_equal(f->stream, "live/test");
    assert_string_equal(f->params, "token=x");
    assert_int_equal(f->state, RTMP_SESSION_PUBLISHING);
    assert_string_equal(rtmp_session_state_name(f->state), "publishing");
    assert_true(f->bytes > RTMP_HANDSHAKE_REPLY_BYTES);
    assert_true(addr_is_loopback(f->peer));
}

static void sessions_are_listed(void **state)
{
    struct client c;
    size_t n = 0;

    (void)state;
    client_open(&c);
    send_connect(&c, "live");
    send_command(&c, RTMP_COMMAND_AMF0, "publish", "test?token=x");
    settle(&c);
    rtmp_each(s.rtmp, count_session, &n);
    assert_int_equal(n, 1);
    client_close(&c);
    n = 0;
    rtmp_each(s.rtmp, count_session, &n);
    assert_int_equal(n, 0);
}

static void closing_the_server_ends_what_is_published(void **state)
{
    struct client c;

    (void)state;
    client_open(&c);
    send_connect(&c, "live");
    send_command(&c, RTMP_COMMAND_AMF0, "publish", "test");
    settle(&c);
    assert_non_null(s.relay.open);
    rtmp_close(&s.rtmp);
    assert_null(s.relay.open);
    settle(&c);
    assert_true(c.closed);
    client_close(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_frame_that_ffmpeg_publishes_arrives_unchanged, begin, end),
        cmocka_unit_test_setup_teardown(publish_is_granted_and_ended_by_command, begin, end),
        cmocka_unit_test_setup_teardown(each_refusal_says_why_and_closes, begin, end),
        cmocka_unit_test_setup_teardown(an_unknown_codec_and_a_takeover_are_told, begin, end),
        cmocka_unit_test_setup_teardown(a_ping_is_answered_and_bytes_are_acknowledged, begin, end),
        cmocka_unit_test_setup_teardown(each_bad_message_closes_its_connection_only, begin, end),
        cmocka_unit_test_setup_teardown(who_may_not_publish_sends_no_large_messages, begin, end),
        cmocka_unit_test_setup_teardown(a_connection_publishes_so_often_and_no_more, begin, end),
        cmocka_unit_test_setup_teardown(noise_and_other_protocols_are_closed_at_once, begin, end),
        cmocka_unit_test(who_is_silent_too_long_is_dropped),
        cmocka_unit_test(more_connections_than_allowed_are_closed),
        cmocka_unit_test_setup_teardown(sessions_are_listed, begin, end),
        cmocka_unit_test_setup_teardown(closing_the_server_ends_what_is_published, begin, end),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
