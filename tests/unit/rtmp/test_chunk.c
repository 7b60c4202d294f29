/* SPDX-License-Identifier: Apache-2.0
 * test_chunk.c - the RTMP chunk stream against bytes written by hand (Adobe RTMP 1.0, s5.3), and round trips. */
#include "unit/wire/exact.h"

#include "origin/rtmp_chunk.h"

enum { MESSAGES_MAX = 4 };

struct expected {
    const char *body;
    size_t len;
    uint32_t ts_ms, stream_id, chunk_stream;
    uint8_t type;
};

struct row {
    const char *name;
    const char *bytes;
    size_t bytes_len;
    int end; /* what the last call returns: 0 or an rtmp_chunk_err */
    size_t n;
    struct expected messages[MESSAGES_MAX];
};

static const struct row rows[] = {
    {"nothing", BYTES(""), 0, 0, {{0}}},
    {"full header, body in one chunk", BYTES("\x04\0\0\x0a\0\0\3\x08\1\0\0\0abc"), 0, 1, {{"abc", 3, 10, 1, 4, 8}}},
    {"a message without a body", BYTES("\x04\0\0\x0a\0\0\0\x08\1\0\0\0"), 0, 1, {{"", 0, 10, 1, 4, 8}}},
    {"the message stream is little-endian", BYTES("\x04\0\0\0\0\0\1\x09\1\2\3\4x"), 0, 1, {{"x", 1, 0, 0x04030201, 4, 9}}},
    {"two-byte id: 64 and what follows", BYTES("\0\xff\0\0\0\0\0\1\x08\1\0\0\0x"), 0, 1, {{"x", 1, 0, 1, 64 + 255, 8}}},
    {"three-byte id: 64 and little-endian", BYTES("\1\2\1\0\0\0\0\0\1\x08\1\0\0\0x"), 0, 1, {{"x", 1, 0, 1, 64 + 2 + 256, 8}}},
    {"fmt 1: another length, type and a delta", BYTES("\x04\0\0\x0a\0\0\1\x08\1\0\0\0a" "\x44\0\0\5\0\0\2\x09" "bc"), 0, 2,
     {{"a", 1, 10, 1, 4, 8}, {"bc", 2, 15, 1, 4, 9}}},
    {"fmt 2: a delta only; fmt 3: the same delta again",
     BYTES("\x04\0\0\x0a\0\0\1\x08\1\0\0\0a" "\x84\0\0\x14" "b" "\xc4" "c"), 0, 3,
     {{"a", 1, 10, 1, 4, 8}, {"b", 1, 30, 1, 4, 8}, {"c", 1, 50, 1, 4, 8}}},
    {"fmt 3 after fmt 0: its time is the delta", BYTES("\x04\0\0\x14\0\0\1\x08\1\0\0\0a" "\xc4" "b"), 0, 2,
     {{"a", 1, 20, 1, 4, 8}, {"b", 1, 40, 1, 4, 8}}},
    {"fmt 1 on a fresh chunk stream, as librtmp sends", BYTES("\x44\0\0\5\0\0\1\x14" "x"), 0, 1, {{"x", 1, 5, 0, 4, 20}}},
    {"extended timestamp, repeated in fmt 3 chunks",
     BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\2" "\x04\xff\xff\xff\0\0\3\x08\1\0\0\0\1\0\0\0" "ab" "\xc4\1\0\0\0" "c"), 0, 2,
     {{"\0\0\0\2", 4, 0, 0, 2, 1}, {"abc", 3, 0x01000000, 1, 4, 8}}},
    {"extended timestamp of less than 24 bits", BYTES("\x04\xff\xff\xff\0\0\1\x08\1\0\0\0\0\0\0\7x"), 0, 1, {{"x", 1, 7, 1, 4, 8}}},
    {"extended delta, and fmt 3 repeats it",
     BYTES("\x04\0\0\1\0\0\1\x08\1\0\0\0a" "\x84\xff\xff\xff\1\0\0\0" "b" "\xc4\1\0\0\0" "c"), 0, 3,
     {{"a", 1, 1, 1, 4, 8}, {"b", 1, 0x01000001, 1, 4, 8}, {"c", 1, 0x02000001, 1, 4, 8}}},
    {"timestamps wrap", BYTES("\x04\xff\xff\xff\0\0\1\x08\1\0\0\0\xff\xff\xff\xff" "a" "\x84\0\0\2" "b"), 0, 2,
     {{"a", 1, 0xffffffff, 1, 4, 8}, {"b", 1, 1, 1, 4, 8}}},
    {"two messages interleaved on two chunk streams",
     BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\2" "\x04\0\0\1\0\0\3\x08\1\0\0\0" "ab" "\x05\0\0\2\0\0\3\x09\1\0\0\0" "xy" "\xc4" "c" "\xc5" "z"),
     0, 3, {{"\0\0\0\2", 4, 0, 0, 2, 1}, {"abc", 3, 1, 1, 4, 8}, {"xyz", 3, 2, 1, 5, 9}}},
    {"Abort drops what was gathered",
     BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\2" "\x04\0\0\1\0\0\3\x08\1\0\0\0" "ab" "\x02\0\0\0\0\0\4\2\0\0\0\0\0\0" "\xc2" "\0\4"
           "\x04\0\0\1\0\0\1\x08\1\0\0\0" "x"),
     0, 3, {{"\0\0\0\2", 4, 0, 0, 2, 1}, {"\0\0\0\4", 4, 0, 0, 2, 2}, {"x", 1, 1, 1, 4, 8}}},
    {"Abort of a chunk stream nobody knows", BYTES("\x02\0\0\0\0\0\4\2\0\0\0\0\0\0\0\x09"), 0, 1, {{"\0\0\0\x09", 4, 0, 0, 2, 2}}},
    {"fmt 2 with nothing before it", BYTES("\x84\0\0\1"), RTMP_CHUNK_ERR_HEADER, 0, {{0}}},
    {"fmt 3 with nothing before it", BYTES("\xc4"), RTMP_CHUNK_ERR_HEADER, 0, {{0}}},
    {"a new message inside another",
     BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\2" "\x04\0\0\1\0\0\3\x08\1\0\0\0" "ab" "\x04\0\0\1\0\0\1\x08\1\0\0\0"),
     RTMP_CHUNK_ERR_HEADER, 1, {{"\0\0\0\2", 4, 0, 0, 2, 1}}},
    {"chunk size 0", BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\0\0"), RTMP_CHUNK_ERR_CONTROL, 0, {{0}}},
    {"chunk size with its top bit set", BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\x80\0\0\1"), RTMP_CHUNK_ERR_CONTROL, 0, {{0}}},
    {"chunk size of three bytes", BYTES("\x02\0\0\0\0\0\3\1\0\0\0\0\0\0\1"), RTMP_CHUNK_ERR_CONTROL, 0, {{0}}},
    {"Abort of two bytes", BYTES("\x02\0\0\0\0\0\2\2\0\0\0\0\0\4"), RTMP_CHUNK_ERR_CONTROL, 0, {{0}}},
    {"a command beyond 64 KiB", BYTES("\x03\0\0\0\1\0\1\x14\0\0\0\0"), RTMP_CHUNK_ERR_BIG, 0, {{0}}},
    {"video beyond 8 MiB", BYTES("\x04\0\0\0\x80\0\1\x09\1\0\0\0"), RTMP_CHUNK_ERR_BIG, 0, {{0}}},
};

static void check_message(const struct row *row, size_t i, const struct rtmp_message *m)
{
    const struct expected *e = &row->messages[i];

    assert_true(i < row->n);
    assert_int_equal(m->len, e->len);
    if (e->len)
        assert_memory_equal(m->body, e->body, e->len);
    assert_int_equal(m->ts_ms, e->ts_ms);
    assert_int_equal(m->stream_id, e->stream_id);
    assert_int_equal(m->chunk_stream, e->chunk_stream);
    assert_int_equal(m->type, e->type);
}

/* The row's bytes in pieces of piece_bytes. */
static void run(const struct row *row, size_t piece_bytes)
{
    struct rtmp_chunk_reader *c;
    struct rtmp_message m;
    size_t n = 0;
    int got = 0;

    assert_int_equal(rtmp_chunk_reader_create(&c), 0);
    for (size_t at = 0; at < row->bytes_len && got >= 0; at += piece_bytes) {
        size_t len = row->bytes_len - at < piece_bytes ? row->bytes_len - at : piece_bytes;
        uint8_t *exact = exact_dup(row->bytes + at, len);
        struct reader in = reader_init(exact, len);
        while ((got = rtmp_chunk_read(c, &in, &m)) == 1)
            check_message(row, n++, &m);
        if (got == 0)
            assert_int_equal(reader_left(&in), 0);
        free(exact);
    }
    if (got != row->end || n != row->n)
        print_message("row: %s, pieces of %zu\n", row->name, piece_bytes);
    assert_int_equal(got, row->end);
    assert_int_equal(n, row->n);
    rtmp_chunk_reader_destroy(&c);
    assert_null(c);
}

static void each_row_reads_as_written_however_it_is_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++)
        for (size_t piece = 1; piece <= rows[i].bytes_len + 1; piece++)
            run(&rows[i], piece);
}

/* Rows of whole messages only: cut short, nothing that is not there may come out. */
static void a_stream_cut_short_waits_for_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        for (size_t len = 0; rows[i].end == 0 && len < rows[i].bytes_len; len++) {
            struct rtmp_chunk_reader *c;
            struct rtmp_message m;
            uint8_t *exact = exact_dup(rows[i].bytes, len);
            struct reader in = reader_init(exact, len);
            size_t n = 0;
            int got;
            assert_int_equal(rtmp_chunk_reader_create(&c), 0);
            while ((got = rtmp_chunk_read(c, &in, &m)) == 1)
                check_message(&rows[i], n++, &m);
            assert_int_equal(got, 0);
            assert_true(n <= rows[i].n);
            rtmp_chunk_reader_destroy(&c);
            free(exact);
        }
    }
}

static void more_chunk_streams_than_allowed_end_it(void **state)
{
    struct rtmp_chunk_reader *c;
    struct rtmp_message m;

    (void)state;
    assert_int_equal(rtmp_chunk_reader_create(&c), 0);
    for (unsigned i = 0; i <= RTMP_CHUNK_STREAMS_MAX; i++) {
        uint8_t bytes[] = {0, (uint8_t)i, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0};
        struct reader in = reader_init(bytes, sizeof(bytes));
        int got = rtmp_chunk_read(c, &in, &m);
        assert_int_equal(got, i < RTMP_CHUNK_STREAMS_MAX ? 1 : RTMP_CHUNK_ERR_STREAMS);
    }
    rtmp_chunk_reader_destroy(&c);
}

static void unfinished_messages_are_bounded_together(void **state)
{
    static uint8_t piece[7 << 20];
    struct rtmp_chunk_reader *c;
    struct rtmp_message m;
    struct reader in = reader_init(BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\x70\0\0"));
    int got = 0;

    (void)state;
    assert_int_equal(rtmp_chunk_reader_create(&c), 0);
    assert_int_equal(rtmp_chunk_read(c, &in, &m), 1);
    for (uint8_t i = 0; i < 3 && got == 0; i++) { /* each of 8 MiB less a byte, each with its first chunk only */
        uint8_t header[] = {(uint8_t)(4 + i), 0, 0, 0, 0x7f, 0xff, 0xff, 9, 1, 0, 0, 0};
        in = reader_init(header, sizeof(header));
        assert_int_equal(rtmp_chunk_read(c, &in, &m), 0);
        in = reader_init(piece, sizeof(piece));
        got = rtmp_chunk_read(c, &in, &m);
    }
    assert_int_equal(got, RTMP_CHUNK_ERR_BIG);
    rtmp_chunk_reader_destroy(&c);
}

/* Before it may publish, a peer takes no more memory than commands need. */
static void a_strangers_messages_are_small_and_bounded_together(void **state)
{
    static uint8_t piece[60 << 10];
    static const uint8_t large[] = {8, 0, 0, 0, 1, 0, 1, 9, 1, 0, 0, 0};
    struct rtmp_chunk_reader *c;
    struct rtmp_message m;

    (void)state;
    for (int stranger = 0; stranger < 2; stranger++) {
        struct reader in = reader_init(BYTES("\x02\0\0\0\0\0\4\1\0\0\0\0\0\0\xf0\0"));
        size_t begun = 0;
        int got = 0;
        assert_int_equal(rtmp_chunk_reader_create(&c), 0);
        rtmp_chunk_reader_limit(c, stranger);
        assert_int_equal(rtmp_chunk_read(c, &in, &m), 1);
        for (; begun < 10 && got == 0; begun++) { /* of 64 KiB each, but for the last bytes */
            uint8_t header[] = {(uint8_t)(16 + begun), 0, 0, 0, 1, 0, 0, 9, 1, 0, 0, 0};
            in = reader_init(header, sizeof(header));
            assert_int_equal(rtmp_chunk_read(c, &in, &m), 0);
            in = reader_init(piece, sizeof(piece));
            got = rtmp_chunk_read(c, &in, &m);
        }
        assert_int_equal(got, stranger ? RTMP_CHUNK_ERR_BIG : 0);
        assert_int_equal(begun, stranger ? 4 : 10); /* 4 KiB are the control message's */
        rtmp_chunk_reader_destroy(&c);
        assert_int_equal(rtmp_chunk_reader_create(&c), 0);
        rtmp_chunk_reader_limit(c, stranger);
        in = reader_init(large, sizeof(large));
        assert_int_equal(rtmp_chunk_read(c, &in, &m), stranger ? RTMP_CHUNK_ERR_BIG : 0);
        rtmp_chunk_reader_destroy(&c);
    }
}

static void what_is_written_reads_back(void **state)
{
    static const size_t lens[] = {0, 1, 127, 128, 129, 4096, 10000};
    static const uint32_t times[] = {0, 1, 0xfffffe, 0xffffff, 0x1000000, 0xffffffff};
    static uint8_t body[10000], bytes[12000];
    uint64_t noise = 7;

    (void)state;
    for (size_t i = 0; i < sizeof(body); i++)
        body[i] = (uint8_t)noise_next(&noise);
    for (size_t i = 0; i < LEN(lens) * LEN(times); i++) {
        struct rtmp_message m = {.body = body, .len = lens[i / LEN(times)], .ts_ms = times[i % LEN(times)],
                                 .stream_id = 0x01020304, .chunk_stream = 5, .type = RTMP_VIDEO}, back;
        struct writer w = writer_init(bytes, sizeof(bytes));
        struct rtmp_chunk_reader *c;
        rtmp_chunk_write(&w, &m, RTMP_CHUNK_BYTES_DEFAULT);
        assert_false(w.bad);
        struct reader in = reader_init(bytes, writer_len(&w));
        assert_int_equal(rtmp_chunk_reader_create(&c), 0);
        assert_int_equal(rtmp_chunk_read(c, &in, &back), 1);
        assert_int_equal(reader_left(&in), 0);
        assert_int_equal(back.len, m.len);
        if (m.len)
            assert_memory_equal(back.body, body, m.len);
        assert_int_equal(back.ts_ms, m.ts_ms);
        assert_int_equal(back.stream_id, m.stream_id);
        assert_int_equal(back.chunk_stream, m.chunk_stream);
        assert_int_equal(back.type, m.type);
        rtmp_chunk_reader_destroy(&c);
    }
}

static void a_message_that_does_not_fit_is_not_written(void **state)
{
    uint8_t bytes[14];
    struct rtmp_message m = {.body = (const uint8_t *)"abc", .len = 3, .chunk_stream = 3, .type = RTMP_COMMAND_AMF0};

    (void)state;
    for (size_t cap = 0; cap < 15; cap++) {
        struct writer w = writer_init(bytes, cap);
        rtmp_chunk_write(&w, &m, RTMP_CHUNK_BYTES_DEFAULT);
        assert_true(w.bad);
    }
}

static void noise_ends_in_an_error_or_in_waiting(void **state)
{
    uint64_t noise = 20261122;

    (void)state;
    for (int i = 0; i < 2000; i++) {
        struct rtmp_chunk_reader *c;
        struct rtmp_message m;
        uint8_t bytes[300];
        size_t len = noise_next(&noise) % sizeof(bytes);
        for (size_t j = 0; j < len; j++)
            bytes[j] = (uint8_t)(noise_next(&noise) & (i % 2 ? 0xff : 0x87));
        uint8_t *exact = exact_dup(bytes, len);
        struct reader in = reader_init(exact, len);
        int got;
        assert_int_equal(rtmp_chunk_reader_create(&c), 0);
        while ((got = rtmp_chunk_read(c, &in, &m)) == 1)
            ;
        assert_true(got <= 0);
        rtmp_chunk_reader_destroy(&c);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_row_reads_as_written_however_it_is_cut),
        cmocka_unit_test(a_stream_cut_short_waits_for_more),
        cmocka_unit_test(more_chunk_streams_than_allowed_end_it),
        cmocka_unit_test(unfinished_messages_are_bounded_together),
        cmocka_unit_test(a_strangers_messages_are_small_and_bounded_together),
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(a_message_that_does_not_fit_is_not_written),
        cmocka_unit_test(noise_ends_in_an_error_or_in_waiting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
