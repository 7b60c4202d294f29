/* SPDX-License-Identifier: Apache-2.0
 * test_flv.c - FLV tags and media headers, legacy and enhanced, against bytes written by hand. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "wire/flv.h"

static void the_file_header_goes_there_and_back(void **state)
{
    uint8_t buf[FLV_FILE_HEADER_BYTES];

    (void)state;
    for (int mask = 0; mask < 4; mask++) {
        struct writer w = writer_init(buf, sizeof(buf));
        bool audio, video;
        flv_file_header_write(&w, mask & 1, mask & 2);
        assert_false(w.bad);
        assert_int_equal(writer_len(&w), FLV_FILE_HEADER_BYTES);
        for (size_t len = 0; len < sizeof(buf); len++) {
            uint8_t *exact = exact_dup(buf, len);
            struct reader r = reader_init(exact, len);
            assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_ERR_SHORT);
            free(exact);
        }
        struct reader r = reader_init(buf, sizeof(buf));
        assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
        assert_int_equal(reader_left(&r), 0);
        assert_int_equal(audio, mask & 1);
        assert_int_equal(video, mask >> 1);
    }
    struct reader r = reader_init("GIF89a.......", 13);
    bool a, v;
    assert_int_equal(flv_file_header_parse(&r, &a, &v), FLV_ERR_SIGNATURE);
    r = reader_init("FLV\1\5\0\0\0\4....", 13);
    assert_int_equal(flv_file_header_parse(&r, &a, &v), FLV_ERR_SIGNATURE);
}

static void a_tag_goes_there_and_back_and_cut_asks_for_more(void **state)
{
    static const uint32_t times[] = {0, 1, 0xffffff, 0x1000000, 0xffffffff};
    uint8_t buf[64];

    (void)state;
    for (size_t i = 0; i < LEN(times); i++) {
        struct writer w = writer_init(buf, sizeof(buf));
        struct flv_tag t;
        flv_tag_header_write(&w, FLV_TAG_VIDEO, 5, times[i]);
        writer_bytes(&w, "frame", 5);
        flv_tag_trailer_write(&w, 5);
        assert_int_equal(writer_len(&w), 11 + 5 + 4);
        assert_memory_equal(buf + 16, "\0\0\0\x10", 4);
        for (size_t len = 0; len < writer_len(&w); len++) {
            uint8_t *exact = exact_dup(buf, len);
            struct reader r = reader_init(exact, len);
            assert_int_equal(flv_tag_parse(&r, &t), FLV_ERR_MORE);
            assert_int_equal(reader_left(&r), len); /* stays where it was */
            free(exact);
        }
        struct reader r = reader_init(buf, writer_len(&w));
        assert_int_equal(flv_tag_parse(&r, &t), FLV_OK);
        assert_int_equal(t.ts_ms, times[i]);
        assert_int_equal(t.type, FLV_TAG_VIDEO);
        assert_int_equal(t.body_len, 5);
        assert_memory_equal(t.body, "frame", 5);
        assert_int_equal(reader_left(&r), 0);
    }
}

struct row {
    const char *name, *body;
    size_t len;
    int err;
    uint32_t fourcc;
    enum flv_packet packet;
    int32_t cts_ms;
    bool keyframe, enhanced;
    const char *data;
    uint32_t nano;
};

#define K true
#define P false
#define EX true
#define OLD false
#define BAD(error) error, 0, 0, 0, 0, 0, NULL, 0

static const struct row videos[] = {
    {"empty", BYTES(""), BAD(FLV_ERR_SHORT)},
    {"AVC config", BYTES("\x17\0\0\0\0cfg"), FLV_OK, FLV_AVC1, FLV_PACKET_SEQUENCE_START, 0, K, OLD, "cfg",
     0},
    {"AVC keyframe", BYTES("\x17\1\0\0\x50nal"), FLV_OK, FLV_AVC1, FLV_PACKET_FRAME, 80, K, OLD, "nal", 0},
    {"AVC inter, negative cts", BYTES("\x27\1\xff\xff\xffnal"), FLV_OK, FLV_AVC1, FLV_PACKET_FRAME, -1, P,
     OLD, "nal", 0},
    {"AVC end", BYTES("\x17\2\0\0\0"), FLV_OK, FLV_AVC1, FLV_PACKET_SEQUENCE_END, 0, K, OLD, "", 0},
    {"AVC packet type 3", BYTES("\x17\3\0\0\0"), BAD(FLV_ERR_PACKET_TYPE)},
    {"AVC header cut", BYTES("\x17\1\0\0"), BAD(FLV_ERR_SHORT)},
    {"HEVC by codec id 12", BYTES("\x1c\1\0\0\0nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 0, K, OLD, "nal",
     0},
    {"Sorenson", BYTES("\x12\0\0\0\0"), BAD(FLV_ERR_CODEC)},
    {"VP6", BYTES("\x14\0"), BAD(FLV_ERR_CODEC)},
    {"command frame", BYTES("\x57\0"), FLV_OK, 0, FLV_PACKET_OTHER, 0, P, OLD, "", 0},
    {"enhanced HEVC config", BYTES("\x90hvc1cfg"), FLV_OK, FLV_HVC1, FLV_PACKET_SEQUENCE_START, 0, K, EX,
     "cfg", 0},
    {"enhanced HEVC frame with cts", BYTES("\xa1hvc1\0\0\x21nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 33, P,
     EX, "nal", 0},
    {"enhanced HEVC frame X", BYTES("\xa3hvc1nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 0, P, EX, "nal", 0},
    {"enhanced AVC frame with cts",
     BYTES("\x91"
           "avc1\0\0\1nal"),
     FLV_OK, FLV_AVC1, FLV_PACKET_FRAME, 1, K, EX, "nal", 0},
    {"enhanced AV1 frame has no cts",
     BYTES("\x91"
           "av01obu"),
     FLV_OK, FLV_AV01, FLV_PACKET_FRAME, 0, K, EX, "obu", 0},
    {"enhanced VP9 frame", BYTES("\xa1vp09vp9"), FLV_OK, FLV_VP09, FLV_PACKET_FRAME, 0, P, EX, "vp9", 0},
    {"enhanced VP8 frame", BYTES("\xa3vp08vp8"), FLV_OK, FLV_VP08, FLV_PACKET_FRAME, 0, P, EX, "vp8", 0},
    {"enhanced end", BYTES("\x92hvc1"), FLV_OK, FLV_HVC1, FLV_PACKET_SEQUENCE_END, 0, K, EX, "", 0},
    {"enhanced metadata", BYTES("\xd4hvc1amf"), FLV_OK, FLV_HVC1, FLV_PACKET_METADATA, 0, P, EX, "amf", 0},
    {"enhanced MPEG-2 TS start",
     BYTES("\x95"
           "av01x"),
     FLV_OK, FLV_AV01, FLV_PACKET_OTHER, 0, K, EX, "x", 0},
    {"enhanced command", BYTES("\xd1\0"), FLV_OK, 0, FLV_PACKET_OTHER, 0, P, EX, "", 0},
    {"enhanced multitrack", BYTES("\x96\x01hvc1\0"), BAD(FLV_ERR_MULTITRACK)},
    {"enhanced with an unknown FourCC", BYTES("\x91vvc1x"), BAD(FLV_ERR_CODEC)},
    {"enhanced packet type 9", BYTES("\x99hvc1x"), BAD(FLV_ERR_PACKET_TYPE)},
    {"enhanced FourCC cut", BYTES("\x91hvc"), BAD(FLV_ERR_SHORT)},
    {"enhanced cts cut", BYTES("\x91hvc1\0\0"), BAD(FLV_ERR_SHORT)},
    {"ModEx with nanoseconds", BYTES("\x97\2\0\1\2\3hvc1nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 0, K, EX,
     "nal", 258},
    {"two ModEx", BYTES("\x97\0x\x17\2\0\0\x5\3hvc1nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 0, K, EX, "nal",
     5},
    {"ModEx long form", BYTES("\x97\xff\0\1xy\x13hvc1nal"), FLV_OK, FLV_HVC1, FLV_PACKET_FRAME, 0, K, EX,
     "nal", 0},
    {"ModEx past the end", BYTES("\x97\x9xy"), BAD(FLV_ERR_SHORT)},
    {"ModEx and nothing", BYTES("\x97"), BAD(FLV_ERR_SHORT)},
};

static const struct row audios[] = {
    {"empty", BYTES(""), BAD(FLV_ERR_SHORT)},
    {"AAC config", BYTES("\xaf\0cf"), FLV_OK, FLV_MP4A, FLV_PACKET_SEQUENCE_START, 0, P, OLD, "cf", 0},
    {"AAC frame", BYTES("\xaf\1raw"), FLV_OK, FLV_MP4A, FLV_PACKET_FRAME, 0, P, OLD, "raw", 0},
    {"AAC packet type 2", BYTES("\xaf\2"), BAD(FLV_ERR_PACKET_TYPE)},
    {"AAC header cut", BYTES("\xaf"), BAD(FLV_ERR_SHORT)},
    {"MP3", BYTES("\x2fxyz"), BAD(FLV_ERR_CODEC)},
    {"enhanced Opus head", BYTES("\x90OpusOpusHead"), FLV_OK, FLV_OPUS, FLV_PACKET_SEQUENCE_START, 0, P, EX,
     "OpusHead", 0},
    {"enhanced Opus packet", BYTES("\x91Opusopu"), FLV_OK, FLV_OPUS, FLV_PACKET_FRAME, 0, P, EX, "opu", 0},
    {"enhanced AAC packet", BYTES("\x91mp4araw"), FLV_OK, FLV_MP4A, FLV_PACKET_FRAME, 0, P, EX, "raw", 0},
    {"enhanced end", BYTES("\x92Opus"), FLV_OK, FLV_OPUS, FLV_PACKET_SEQUENCE_END, 0, P, EX, "", 0},
    {"enhanced channel layout", BYTES("\x94Opus\1\2"), FLV_OK, FLV_OPUS, FLV_PACKET_OTHER, 0, P, EX, "\1\2",
     0},
    {"enhanced multitrack", BYTES("\x95\1Opus\0"), BAD(FLV_ERR_MULTITRACK)},
    {"enhanced ModEx", BYTES("\x97\2\0\0\7\1Opusopu"), FLV_OK, FLV_OPUS, FLV_PACKET_FRAME, 0, P, EX, "opu",
     7},
    {"enhanced FLAC",
     BYTES("\x91"
           "fLaCx"),
     BAD(FLV_ERR_CODEC)},
    {"enhanced packet type 6", BYTES("\x96Opusx"), BAD(FLV_ERR_PACKET_TYPE)},
    {"enhanced FourCC cut", BYTES("\x91Opu"), BAD(FLV_ERR_SHORT)},
};

typedef int parse_fn(struct flv_media *, const uint8_t *, size_t);

static void check_rows(const struct row *rows, size_t count, parse_fn *parse)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        uint8_t *exact = exact_dup(row->body, row->len);
        struct flv_media m = {.cts_ms = 12345};

        print_message("  %s\n", row->name);
        assert_int_equal(parse(&m, exact, row->len), row->err);
        if (row->err) {
            assert_int_equal(m.cts_ms, 12345); /* untouched */
        } else {
            assert_int_equal(m.fourcc, row->fourcc);
            assert_int_equal(m.packet, row->packet);
            assert_int_equal(m.cts_ms, row->cts_ms);
            assert_int_equal(m.keyframe, row->keyframe);
            assert_int_equal(m.enhanced, row->enhanced);
            assert_int_equal(m.nano_offset, row->nano);
            if (row->packet != FLV_PACKET_OTHER || row->data[0]) {
                assert_int_equal(m.data_len, strlen(row->data));
                assert_memory_equal(m.data, row->data, m.data_len);
            }
        }
        free(exact);
        for (size_t len = 0; len < row->len; len++) { /* cut anywhere: no matter what, no over-read */
            exact = exact_dup(row->body, len);
            (void)!parse(&m, exact, len);
            free(exact);
        }
    }
}

static void each_video_body_parses_as_written(void **state)
{
    (void)state;
    check_rows(videos, LEN(videos), flv_video_parse);
}

static void each_audio_body_parses_as_written(void **state)
{
    (void)state;
    check_rows(audios, LEN(audios), flv_audio_parse);
}

/* What is written is what a row has, except where a shorter form says the same. */
static void written_headers_read_back(void **state)
{
    static const uint32_t codecs[] = {FLV_AVC1, FLV_HVC1, FLV_AV01, FLV_VP09, FLV_VP08, FLV_MP4A, FLV_OPUS};
    static const int32_t times[] = {0, 40, -40};

    (void)state;
    for (size_t c = 0; c < LEN(codecs); c++) {
        for (size_t i = 0; i < 3u * 3 * 2 * 2; i++) {
            bool audio = codecs[c] == FLV_MP4A || codecs[c] == FLV_OPUS;
            struct flv_media m = {.fourcc = codecs[c],
                                  .packet = (enum flv_packet)(i % 3),
                                  .cts_ms = times[i / 3 % 3],
                                  .keyframe = i / 9 % 2,
                                  .enhanced = i / 18 % 2},
                             back;
            uint8_t buf[FLV_MEDIA_HEADER_MAX_BYTES + 4];
            struct writer w = writer_init(buf, FLV_MEDIA_HEADER_MAX_BYTES);
            int err = audio ? flv_audio_write(&w, &m) : flv_video_write(&w, &m);
            if (codecs[c] == FLV_MP4A && !m.enhanced && m.packet == FLV_PACKET_SEQUENCE_END) {
                assert_int_equal(err, FLV_ERR_PACKET_TYPE);
                continue;
            }
            assert_int_equal(err, FLV_OK);
            size_t n = writer_len(&w);
            memcpy(buf + n, "data", 4);
            assert_int_equal(audio ? flv_audio_parse(&back, buf, n + 4) : flv_video_parse(&back, buf, n + 4),
                             FLV_OK);
            assert_int_equal(back.fourcc, m.fourcc);
            assert_int_equal(back.packet, m.packet);
            assert_int_equal(back.data_len, 4);
            bool legacy = (codecs[c] == FLV_AVC1 || codecs[c] == FLV_MP4A) && !m.enhanced;
            assert_int_equal(back.enhanced, !legacy);
            bool reorders = codecs[c] == FLV_AVC1 || codecs[c] == FLV_HVC1;
            assert_int_equal(back.cts_ms, reorders && m.packet == FLV_PACKET_FRAME ? m.cts_ms : 0);
            assert_int_equal(back.keyframe, audio ? false : m.keyframe);
        }
    }
}

static void what_cannot_be_written_is_refused(void **state)
{
    uint8_t buf[16];
    struct writer w = writer_init(buf, sizeof(buf));

    (void)state;
    assert_int_equal(flv_video_write(&w, &(struct flv_media){.fourcc = FLV_OPUS}), FLV_ERR_CODEC);
    assert_int_equal(flv_audio_write(&w, &(struct flv_media){.fourcc = FLV_AVC1}), FLV_ERR_CODEC);
    assert_int_equal(flv_video_write(&w, &(struct flv_media){.fourcc = FLV_AVC1, .packet = FLV_PACKET_OTHER}),
                     FLV_ERR_PACKET_TYPE);
    w = writer_init(buf, 4);
    assert_int_equal(flv_video_write(&w, &(struct flv_media){.fourcc = FLV_AVC1}), FLV_ERR_SHORT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_header_goes_there_and_back),
        cmocka_unit_test(a_tag_goes_there_and_back_and_cut_asks_for_more),
        cmocka_unit_test(each_video_body_parses_as_written),
        cmocka_unit_test(each_audio_body_parses_as_written),
        cmocka_unit_test(written_headers_read_back),
        cmocka_unit_test(what_cannot_be_written_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
