/* SPDX-License-Identifier: Apache-2.0
 * test_command.c - commands as ffmpeg and OBS send them, cut everywhere; stream names; the answers. */
#include "unit/wire/exact.h"

#include "origin/rtmp_command.h"

#define STR(len, text) "\x02\0" len text
#define ZERO "\0\0\0\0\0\0\0\0\0"
#define ONE "\0\x3f\xf0\0\0\0\0\0\0"
#define END "\0\0\x09"

static const char connect_ffmpeg[] = STR("\x07", "connect") ONE "\x03"
    "\0\x03" "app" STR("\x04", "live") "\0\x04" "type" STR("\x0a", "nonprivate")
    "\0\x08" "flashVer" STR("\x1f", "FMLE/3.0 (compatible; Lavf59.2)")
    "\0\x05" "tcUrl" STR("\x15", "rtmp://127.0.0.1/live") END;
static const char connect_enhanced[] = STR("\x07", "connect") ONE "\x03"
    "\0\x03" "app" STR("\x04", "live") "\0\x0a" "fourCcList" "\x0a\0\0\0\2" STR("\4", "av01") STR("\4", "hvc1")
    "\0\x12" "videoFourCcInfoMap" "\x03\0\1*\0\x40\x10\0\0\0\0\0\0" END END;

struct row {
    const char *name;
    const char *bytes;
    size_t len;
    int result;
    enum rtmp_command_kind kind;
    double transaction;
    const char *app, *tc_url, *key;
    bool enhanced;
};

static const struct row rows[] = {
    {"connect of ffmpeg", BYTES(connect_ffmpeg), 0, RTMP_CMD_CONNECT, 1, "live", "rtmp://127.0.0.1/live", "", false},
    {"connect with FourCCs", BYTES(connect_enhanced), 0, RTMP_CMD_CONNECT, 1, "live", "", "", true},
    {"connect with arguments behind the object", BYTES(STR("\x07", "connect") ONE "\x03\0\x03" "app" STR("\1", "a") END "\x05"), 0,
     RTMP_CMD_CONNECT, 1, "a", "", "", false},
    {"connect without an app", BYTES(STR("\x07", "connect") ONE "\x03" END), 0, RTMP_CMD_CONNECT, 1, "", "", "", false},
    {"app inside another object is not the app",
     BYTES(STR("\x07", "connect") ONE "\x03\0\1x\x03\0\x03" "app" STR("\1", "a") END END), 0, RTMP_CMD_CONNECT, 1, "", "", "", false},
    {"connect without its object", BYTES(STR("\x07", "connect") ONE), AMF0_ERR_TYPE, 0, 0, "", "", "", false},
    {"connect with a number for it", BYTES(STR("\x07", "connect") ONE ONE), AMF0_ERR_TYPE, 0, 0, "", "", "", false},
    {"releaseStream", BYTES(STR("\x0d", "releaseStream") ONE "\x05" STR("\4", "test")), 0, RTMP_CMD_RELEASE_STREAM, 1, "", "", "", false},
    {"FCPublish", BYTES(STR("\x09", "FCPublish") ONE "\x05" STR("\4", "test")), 0, RTMP_CMD_FC_PUBLISH, 1, "", "", "", false},
    {"createStream", BYTES(STR("\x0c", "createStream") ONE "\x05"), 0, RTMP_CMD_CREATE_STREAM, 1, "", "", "", false},
    {"publish", BYTES(STR("\x07", "publish") ZERO "\x05" STR("\4", "test") STR("\4", "live")), 0, RTMP_CMD_PUBLISH, 0, "", "", "test", false},
    {"publish without a key", BYTES(STR("\x07", "publish") ZERO "\x05"), AMF0_ERR_END, 0, 0, "", "", "", false},
    {"publish with a number as key", BYTES(STR("\x07", "publish") ZERO "\x05" ONE), AMF0_ERR_TYPE, 0, 0, "", "", "", false},
    {"play", BYTES(STR("\4", "play") ZERO "\x05" STR("\4", "test")), 0, RTMP_CMD_PLAY, 0, "", "", "test", false},
    {"FCUnpublish", BYTES(STR("\x0b", "FCUnpublish") ONE "\x05" STR("\4", "test")), 0, RTMP_CMD_FC_UNPUBLISH, 1, "", "", "", false},
    {"closeStream", BYTES(STR("\x0b", "closeStream") ZERO "\x05"), 0, RTMP_CMD_CLOSE_STREAM, 0, "", "", "", false},
    {"deleteStream", BYTES(STR("\x0c", "deleteStream") ONE "\x05" ONE), 0, RTMP_CMD_DELETE_STREAM, 1, "", "", "", false},
    {"anything else", BYTES(STR("\x08", "_checkbw") ONE), 0, RTMP_CMD_OTHER, 0, "", "", "", false},
    {"not even a name", BYTES(""), AMF0_ERR_END, 0, 0, "", "", "", false},
    {"a number for a name", BYTES(ONE), AMF0_ERR_TYPE, 0, 0, "", "", "", false},
    {"no transaction", BYTES(STR("\x0c", "createStream")), AMF0_ERR_END, 0, 0, "", "", "", false},
};

static bool is(struct amf0_str s, const char *text)
{
    return text[0] == '\0' ? s.len == 0 : amf0_str_is(s, text);
}

static void each_row_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        uint8_t *exact = exact_dup(rows[i].bytes, rows[i].len);
        struct rtmp_command c = {0};
        int got = rtmp_command_parse(&c, exact, rows[i].len);
        if (got != rows[i].result)
            print_message("row: %s\n", rows[i].name);
        assert_int_equal(got, rows[i].result);
        assert_int_equal(c.kind, rows[i].kind);
        assert_true(c.transaction == rows[i].transaction);
        assert_true(is(c.app, rows[i].app));
        assert_true(is(c.tc_url, rows[i].tc_url));
        assert_true(is(c.key, rows[i].key));
        assert_int_equal(c.enhanced, rows[i].enhanced);
        free(exact);
    }
}

/* What is needed stands at the end in these, so that any cut is an error. */
static void a_command_cut_short_is_an_error(void **state)
{
    static const char publish[] = STR("\x07", "publish") ZERO "\x05" STR("\4", "test");
    const struct {
        const char *bytes;
        size_t len;
    } whole[] = {{BYTES(connect_ffmpeg)}, {BYTES(connect_enhanced)}, {BYTES(publish)}};

    (void)state;
    for (size_t i = 0; i < LEN(whole); i++) {
        for (size_t len = 0; len < whole[i].len; len++) {
            uint8_t *exact = exact_dup(whole[i].bytes, len);
            struct rtmp_command c;
            if (rtmp_command_parse(&c, exact, len) >= 0)
                fail_msg("command %zu was taken though cut at %zu of %zu", i, len, whole[i].len);
            free(exact);
        }
    }
}

static void metadata_tells_what_will_come(void **state)
{
    static const char both[] = STR("\x0d", "@setDataFrame") STR("\x0a", "onMetaData") "\x08\0\0\0\5"
        "\0\x05" "width" "\0\x40\x94\0\0\0\0\0\0" "\0\x06" "height" "\0\x40\x86\x80\0\0\0\0\0"
        "\0\x0c" "videocodecid" "\0\x40\x1c\0\0\0\0\0\0" "\0\x0c" "audiocodecid" STR("\4", "mp4a")
        "\0\x07" "encoder" STR("\4", "Lavf") END;
    static const char video_only[] = STR("\x0a", "onMetaData") "\x03\0\x0c" "videocodecid" "\0\x40\x1c\0\0\0\0\0\0" END;
    static const char other[] = STR("\x0b", "onTextData..") ZERO;
    struct rtmp_metadata m;

    (void)state;
    assert_int_equal(rtmp_metadata_parse(&m, (const uint8_t *)both, sizeof(both) - 1), 0);
    assert_true(m.known && m.video && m.audio);
    assert_true(m.width == 1280 && m.height == 720);
    assert_true(amf0_str_is(m.encoder, "Lavf"));
    assert_int_equal(rtmp_metadata_parse(&m, (const uint8_t *)video_only, sizeof(video_only) - 1), 0);
    assert_true(m.known && m.video && !m.audio);
    assert_int_equal(rtmp_metadata_parse(&m, (const uint8_t *)other, sizeof(other) - 1), 0);
    assert_false(m.known);
    for (size_t len = 0; len < sizeof(both) - 1; len++) {
        uint8_t *exact = exact_dup(both, len);
        int got = rtmp_metadata_parse(&m, exact, len);
        (void)got; /* an array whose end is missing at the very end is let pass */
        free(exact);
    }
}

static const struct {
    const char *app, *key;
    bool fits;
    const char *name, *params;
} names[] = {
    {"live", "test", true, "live/test", ""},
    {"live", "test?token=abc&x=1", true, "live/test", "token=abc&x=1"},
    {"live?vhost=a", "test?token=b", true, "live/test", "vhost=a&token=b"},
    {"/live/", "/test/", true, "live/test", ""},
    {"live/room", "test", true, "live/room/test", ""},
    {"live", "", true, "live", ""},
    {"", "live/test", true, "live/test", ""},
    {"", "", true, "", ""},
    {"live", "?token=x", true, "live", "token=x"},
};

static void names_are_app_and_key_without_their_queries(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(names); i++) {
        char name[STREAM_NAME_MAX + 1], params[RTMP_PARAMS_MAX];
        struct amf0_str app = {names[i].app, strlen(names[i].app)}, key = {names[i].key, strlen(names[i].key)};
        assert_int_equal(rtmp_stream_name(app, key, name, params), names[i].fits);
        assert_string_equal(name, names[i].name);
        assert_string_equal(params, names[i].params);
    }
}

static void a_parameter_is_found_by_its_whole_name(void **state)
{
    static const struct {
        const char *params, *value;
    } queries[] = {
        {"token=a.b.c", "a.b.c"},  {"x=1&token=a.b=c&y=2", "a.b=c"}, {"token=", ""}, {"token", ""}, {"", ""},
        {"tokens=1&xtoken=2", ""}, {"token&token=a", "a"},           {"&&token=a&token=b", "a"},
    };
    char value[RTMP_PARAMS_MAX];

    (void)state;
    for (size_t i = 0; i < LEN(queries); i++) {
        rtmp_param(queries[i].params, "token", value);
        assert_string_equal(value, queries[i].value);
    }
}

static void names_that_do_not_fit_are_refused(void **state)
{
    char name[STREAM_NAME_MAX + 1], params[RTMP_PARAMS_MAX], longest[STREAM_NAME_MAX + 2], query[RTMP_PARAMS_MAX + 2];
    struct amf0_str live = {"live", 4};

    (void)state;
    memset(longest, 'a', sizeof(longest));
    memset(query, 'q', sizeof(query));
    query[0] = '?';
    assert_true(rtmp_stream_name(live, (struct amf0_str){longest, STREAM_NAME_MAX - 5}, name, params));
    assert_int_equal(strlen(name), STREAM_NAME_MAX);
    assert_false(rtmp_stream_name(live, (struct amf0_str){longest, STREAM_NAME_MAX - 4}, name, params));
    assert_false(rtmp_stream_name(live, (struct amf0_str){"a\0b", 3}, name, params));
    assert_true(rtmp_stream_name(live, (struct amf0_str){query, RTMP_PARAMS_MAX}, name, params));
    assert_false(rtmp_stream_name(live, (struct amf0_str){query, RTMP_PARAMS_MAX + 1}, name, params));
}

/* The member of the last object in an answer. */
static bool answer_has(const struct writer *w, const char *key, const char *text)
{
    struct amf0_reader a = amf0_reader_init(w->start, writer_len(w));
    struct amf0_value v;

    while (amf0_next(&a, &v) == 1)
        if (amf0_str_is(v.key, key) && v.type == AMF0_STRING && amf0_str_is(v.string, text))
            return true;
    return false;
}

static size_t count_key(const struct writer *w, const char *key)
{
    struct amf0_reader a = amf0_reader_init(w->start, writer_len(w));
    struct amf0_value v;
    size_t n = 0;

    while (amf0_next(&a, &v) == 1)
        n += amf0_str_is(v.key, key);
    return n;
}

static void answers_say_what_encoders_look_for(void **state)
{
    uint8_t bytes[1024];
    struct writer w = writer_init(bytes, sizeof(bytes));

    (void)state;
    rtmp_connect_result_write(&w, 1, false);
    assert_false(w.bad);
    assert_true(answer_has(&w, "code", "NetConnection.Connect.Success"));
    assert_true(answer_has(&w, "level", "status"));
    assert_int_equal(count_key(&w, "fourCcList"), 0);

    w = writer_init(bytes, sizeof(bytes));
    rtmp_connect_result_write(&w, 1, true);
    assert_false(w.bad);
    assert_true(answer_has(&w, "code", "NetConnection.Connect.Success"));
    assert_int_equal(count_key(&w, "fourCcList"), 1);
    assert_int_equal(count_key(&w, "videoFourCcInfoMap"), 1);
    assert_int_equal(count_key(&w, "hvc1"), 1);
    assert_int_equal(count_key(&w, "Opus"), 1);

    w = writer_init(bytes, sizeof(bytes));
    rtmp_status_write(&w, "error", "NetStream.Publish.BadName", "why");
    assert_true(answer_has(&w, "level", "error"));
    assert_true(answer_has(&w, "code", "NetStream.Publish.BadName"));
    assert_true(answer_has(&w, "description", "why"));

    w = writer_init(bytes, sizeof(bytes));
    rtmp_connect_error_write(&w, 1, "NetConnection.Connect.InvalidApp", "why");
    assert_true(answer_has(&w, "code", "NetConnection.Connect.InvalidApp"));

    w = writer_init(bytes, sizeof(bytes));
    rtmp_stream_id_write(&w, 4, 1);
    assert_int_equal(writer_len(&w), 3 + 7 + 9 + 1 + 9);
    assert_memory_equal(bytes + writer_len(&w) - 10, "\x05\0\x3f\xf0\0\0\0\0\0\0", 10);

    w = writer_init(bytes, sizeof(bytes));
    rtmp_result_write(&w, 4);
    assert_int_equal(writer_len(&w), 3 + 7 + 9 + 1 + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_parses_as_written),
        cmocka_unit_test(a_command_cut_short_is_an_error),
        cmocka_unit_test(metadata_tells_what_will_come),
        cmocka_unit_test(names_are_app_and_key_without_their_queries),
        cmocka_unit_test(a_parameter_is_found_by_its_whole_name),
        cmocka_unit_test(names_that_do_not_fit_are_refused),
        cmocka_unit_test(answers_say_what_encoders_look_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
