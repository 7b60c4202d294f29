/* SPDX-License-Identifier: Apache-2.0
 * test_session.c - the RTMP server over loopback: refusals, bad input and silence end one connection and touch no other. An
 * encoder's frames are test_encoder.c's. */
#include "session_scene.h"

#include "origin/rtmp_chunk.h"
#include "origin/rtmp_handshake.h"
#include "unit/wire/exact.h"

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
