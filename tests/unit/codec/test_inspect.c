/* SPDX-License-Identifier: Apache-2.0
 * test_inspect.c - what one payload tells about itself, codec by codec, as the RFCs' figures have it. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "codec/inspect.h"

#define OK(...) CODEC_OK, {__VA_ARGS__}
#define BAD(error) error, {0}
#define START .frame_start = true
#define KEY .keyframe = true
#define SETS .parameter_sets = true
#define LAYERS(s, t) .has_layers = true, .spatial_id = s, .temporal_id = t
#define PID(bits, id, at) .picture_id_bits = bits, .picture_id = id, .picture_id_at = at
#define TL0(value, at) .tl0picidx = value, .tl0picidx_at = at

struct row {
    const char *name;
    enum codec codec;
    const char *payload;
    size_t len;
    int err;
    struct payload_marks want;
};

static const struct row h264[] = {
    {"empty", CODEC_H264, BYTES(""), BAD(CODEC_ERR_SHORT)},
    {"SPS alone", CODEC_H264, BYTES("\x67\x42"), OK(START, KEY, SETS)},
    {"PPS alone", CODEC_H264, BYTES("\x68\xce"), OK(START, SETS)},
    {"SEI alone", CODEC_H264, BYTES("\x06\x05"), OK(START)},
    {"delimiter", CODEC_H264, BYTES("\x09\x10"), OK(START)},
    {"IDR slice, first of the picture", CODEC_H264, BYTES("\x65\x88"), OK(START, KEY)},
    {"IDR slice, a later one", CODEC_H264, BYTES("\x65\x48"), OK(0)},
    {"P slice", CODEC_H264, BYTES("\x41\x9a"), OK(START)},
    {"slice that nothing refers to", CODEC_H264, BYTES("\x01\x9a"), OK(START, .discardable = true)},
    {"slice of one byte", CODEC_H264, BYTES("\x41"), OK(0)},
    {"STAP-A of SPS and PPS", CODEC_H264, BYTES("\x78\0\2\x67\x42\0\2\x68\xce"), OK(START, KEY, SETS)},
    {"STAP-A of SPS, PPS and IDR", CODEC_H264, BYTES("\x78\0\2\x67\x42\0\1\x68\0\2\x65\x88"),
     OK(START, KEY, SETS)},
    {"STAP-A of two P slices", CODEC_H264, BYTES("\x58\0\2\x41\x9a\0\2\x41\x40"), OK(START)},
    {"STAP-A, empty", CODEC_H264, BYTES("\x78"), BAD(CODEC_ERR_SHORT)},
    {"STAP-A, unit past the end", CODEC_H264, BYTES("\x78\0\3\x67\x42"), BAD(CODEC_ERR_SHORT)},
    {"STAP-A, unit of no bytes", CODEC_H264, BYTES("\x78\0\0"), BAD(CODEC_ERR_SHORT)},
    {"STAP-A, length cut", CODEC_H264, BYTES("\x78\0\1\x67\0"), BAD(CODEC_ERR_SHORT)},
    {"FU-A, start of IDR", CODEC_H264, BYTES("\x7c\x85\x88"), OK(START, KEY)},
    {"FU-A, start of P", CODEC_H264, BYTES("\x5c\x81\x9a"), OK(START)},
    {"FU-A, middle of IDR", CODEC_H264, BYTES("\x7c\x05\x88"), OK(0)},
    {"FU-A, end of IDR", CODEC_H264, BYTES("\x7c\x45\x88"), OK(0)},
    {"FU-A, middle of a slice that nothing refers to", CODEC_H264, BYTES("\x1c\x01\x88"),
     OK(.discardable = true)},
    {"FU-A, header cut", CODEC_H264, BYTES("\x7c"), BAD(CODEC_ERR_SHORT)},
    {"FU-B", CODEC_H264, BYTES("\x7d\x85\0\0\x88"), BAD(CODEC_ERR_SUPPORT)},
    {"MTAP16", CODEC_H264, BYTES("\x7a\0\0"), BAD(CODEC_ERR_SUPPORT)},
    {"type 0", CODEC_H264, BYTES("\x60\0"), BAD(CODEC_ERR_SYNTAX)},
    {"type 31", CODEC_H264, BYTES("\x7f\0"), BAD(CODEC_ERR_SYNTAX)},
};

static const struct row h265[] = {
    {"VPS", CODEC_H265, BYTES("\x40\1\x0c"), OK(START, KEY, SETS, LAYERS(0, 0))},
    {"SPS", CODEC_H265, BYTES("\x42\1\1"), OK(START, KEY, SETS, LAYERS(0, 0))},
    {"PPS", CODEC_H265, BYTES("\x44\1\1"), OK(START, SETS, LAYERS(0, 0))},
    {"IDR_W_RADL", CODEC_H265, BYTES("\x26\1\xac"), OK(START, KEY, LAYERS(0, 0))},
    {"CRA", CODEC_H265, BYTES("\x2a\1\xac"), OK(START, KEY, LAYERS(0, 0))},
    {"IDR, later slice", CODEC_H265, BYTES("\x26\1\x2c"), OK(LAYERS(0, 0))},
    {"TRAIL_R", CODEC_H265, BYTES("\x02\1\xd0"), OK(START, LAYERS(0, 0))},
    {"TSA_R in temporal layer 2", CODEC_H265, BYTES("\x06\3\xd0"),
     OK(START, LAYERS(0, 2), .switch_up = true)},
    {"AP of VPS and IDR", CODEC_H265, BYTES("\x60\1\0\3\x40\1\x0c\0\3\x26\1\xac"),
     OK(START, KEY, SETS, LAYERS(0, 0))},
    {"AP, unit past the end", CODEC_H265, BYTES("\x60\1\0\4\x40\1\x0c"), BAD(CODEC_ERR_SHORT)},
    {"AP, unit of one byte", CODEC_H265, BYTES("\x60\1\0\1\x40"), BAD(CODEC_ERR_SHORT)},
    {"FU, start of IDR", CODEC_H265, BYTES("\x62\1\x93\xac"), OK(START, KEY, LAYERS(0, 0))},
    {"FU, end of IDR", CODEC_H265, BYTES("\x62\1\x53\xac"), OK(LAYERS(0, 0))},
    {"FU, header cut", CODEC_H265, BYTES("\x62\1"), BAD(CODEC_ERR_SHORT)},
    {"PACI", CODEC_H265, BYTES("\x64\1\0"), BAD(CODEC_ERR_SUPPORT)},
    {"type 63", CODEC_H265, BYTES("\x7e\1\0"), BAD(CODEC_ERR_SYNTAX)},
    {"temporal id plus 1 of zero", CODEC_H265, BYTES("\x26\0\xac"), BAD(CODEC_ERR_SYNTAX)},
    {"one byte", CODEC_H265, BYTES("\x26"), BAD(CODEC_ERR_SHORT)},
};

#define VP8_KEY "\x10\x02\0\x9d\1\x2a\x40\1\xb4\0" /* shown key frame, 320 x 180 */

static const struct row vp8[] = {
    {"key frame, one-byte descriptor", CODEC_VP8, BYTES("\x10" VP8_KEY),
     OK(START, KEY, .header_bytes = 1, .width = 320, .height = 180)},
    {"key frame cut behind its tag", CODEC_VP8, BYTES("\x10\x10\2\0"), OK(START, KEY, .header_bytes = 1)},
    {"inter frame", CODEC_VP8, BYTES("\x10\x11\2\0"), OK(START, .header_bytes = 1)},
    {"continuation", CODEC_VP8, BYTES("\x00\x10"), OK(.header_bytes = 1)},
    {"start of partition 2", CODEC_VP8, BYTES("\x12\x10"), OK(.header_bytes = 1)},
    {"N: not referred to", CODEC_VP8, BYTES("\x30\x11"), OK(START, .discardable = true, .header_bytes = 1)},
    {"picture id of 7 bits", CODEC_VP8, BYTES("\x90\x80\x7f\x11"),
     OK(START, PID(7, 127, 2), .header_bytes = 3)},
    {"picture id of 15 bits", CODEC_VP8, BYTES("\x90\x80\xff\xfe\x11"),
     OK(START, PID(15, 32766, 2), .header_bytes = 4)},
    {"all extensions", CODEC_VP8, BYTES("\x90\xf0\x81\x02\x33\xa5\x11"),
     OK(START, PID(15, 258, 2), TL0(0x33, 4), LAYERS(0, 2), .switch_up = true, .keyidx = 5, .keyidx_at = 5,
        .header_bytes = 6)},
    {"temporal id without picture id", CODEC_VP8, BYTES("\x90\x20\x40\x11"),
     OK(START, LAYERS(0, 1), .header_bytes = 3)},
    {"key index without temporal id", CODEC_VP8, BYTES("\x90\x10\xdf\x11"),
     OK(START, .keyidx = 31, .keyidx_at = 2, .header_bytes = 3)},
    {"extension cut", CODEC_VP8, BYTES("\x90"), BAD(CODEC_ERR_SHORT)},
    {"picture id cut", CODEC_VP8, BYTES("\x90\x80\xff"), BAD(CODEC_ERR_SHORT)},
    {"descriptor and nothing", CODEC_VP8, BYTES("\x90\x80\x7f"), BAD(CODEC_ERR_SHORT)},
};

static const struct row vp9[] = {
    {"key picture in one packet", CODEC_VP9, BYTES("\x8c\x81\2x"),
     OK(START, KEY, .frame_end = true, PID(15, 258, 1), .header_bytes = 3)},
    {"no picture id", CODEC_VP9, BYTES("\x0cx"), OK(START, KEY, .frame_end = true, .header_bytes = 1)},
    {"P not set, but the frame says that it is no key frame", CODEC_VP9, BYTES("\x8c\x05\x86\0"),
     OK(START, .frame_end = true, PID(7, 5, 1), .header_bytes = 2)},
    {"inter picture begins", CODEC_VP9, BYTES("\xc8\x05x"), OK(START, PID(7, 5, 1), .header_bytes = 2)},
    {"middle of a picture", CODEC_VP9, BYTES("\xc0\x05x"), OK(PID(7, 5, 1), .header_bytes = 2)},
    {"layers, non-flexible", CODEC_VP9, BYTES("\xe8\x05\x30\x09x"),
     OK(START, PID(7, 5, 1), LAYERS(0, 1), .switch_up = true, TL0(9, 3), .header_bytes = 4)},
    {"upper spatial layer of a key picture", CODEC_VP9, BYTES("\xac\x05\x03\x09x"),
     OK(PID(7, 5, 1), LAYERS(1, 0), .inter_layer = true, .frame_end = true, TL0(9, 3), .header_bytes = 4)},
    {"Z: no upper layer refers to it", CODEC_VP9, BYTES("\xa9\x05\x00\x09x"),
     OK(START, KEY, PID(7, 5, 1), LAYERS(0, 0), .not_upper_reference = true, TL0(9, 3), .header_bytes = 4)},
    {"flexible, three references", CODEC_VP9, BYTES("\xf8\x05\x40\x03\x05\x06x"),
     OK(START, PID(7, 5, 1), LAYERS(0, 2), .header_bytes = 6)},
    {"flexible, four references", CODEC_VP9, BYTES("\xf8\x05\x40\x03\x05\x07\x08x"), BAD(CODEC_ERR_SYNTAX)},
    {"structure of two layers and a group of two", CODEC_VP9,
     BYTES("\x8a\x05\x38\0\xa0\0\x5a\1\x40\0\xb4\2\x04\1\x38\2\1x"),
     OK(START, KEY, PID(7, 5, 1), .width = 320, .height = 180, .header_bytes = 17)},
    {"structure without sizes and group", CODEC_VP9, BYTES("\x8a\x05\0x"),
     OK(START, KEY, PID(7, 5, 1), .header_bytes = 3)},
    {"structure cut", CODEC_VP9, BYTES("\x8a\x05\x18\1\x40\0\xb4\1\x04"), BAD(CODEC_ERR_SHORT)},
    {"layer indices cut", CODEC_VP9, BYTES("\xe8\x05\x30"), BAD(CODEC_ERR_SHORT)},
    {"descriptor and nothing", CODEC_VP9, BYTES("\x8c\x05"), BAD(CODEC_ERR_SHORT)},
};

static const struct row av1[] = {
    {"new sequence: N, one OBU element", CODEC_AV1, BYTES("\x18\x08x"),
     OK(START, KEY, SETS, .header_bytes = 1)},
    {"N with something else first", CODEC_AV1, BYTES("\x18\x28x"), OK(START, KEY, .header_bytes = 1)},
    {"sequence header and frame, N forgotten", CODEC_AV1, BYTES("\x20\2\x08x\x30y"),
     OK(START, KEY, SETS, .header_bytes = 1)},
    {"frame", CODEC_AV1, BYTES("\x10\x30x"), OK(START, .header_bytes = 1)},
    {"continuation", CODEC_AV1, BYTES("\x90\x08x"), OK(.header_bytes = 1)},
    {"continuation, then a frame", CODEC_AV1, BYTES("\xa0\1z\x34\x28y"), OK(LAYERS(1, 1), .header_bytes = 1)},
    {"layers in the extension", CODEC_AV1, BYTES("\x10\x34\x50x"),
     OK(START, LAYERS(2, 2), .header_bytes = 1)},
    {"W=0: each with a length", CODEC_AV1, BYTES("\x00\2\x08x\2\x30y"),
     OK(START, KEY, SETS, .header_bytes = 1)},
    {"length of two bytes, not minimal", CODEC_AV1, BYTES("\x00\x82\x00\x30y"), OK(START, .header_bytes = 1)},
    {"length past the end", CODEC_AV1, BYTES("\x00\x03\x30y"), BAD(CODEC_ERR_SHORT)},
    {"length that never ends", CODEC_AV1, BYTES("\x00\x80\x80\x80\x80\x80\x80\x80\x80\x80"),
     BAD(CODEC_ERR_SHORT)},
    {"N on a continuation", CODEC_AV1, BYTES("\x98x"), BAD(CODEC_ERR_SYNTAX)},
    {"aggregation header and nothing", CODEC_AV1, BYTES("\x10"), BAD(CODEC_ERR_SHORT)},
};

#define WHOLE START, KEY, .frame_end = true

static const struct row others[] = {
    {"Opus", CODEC_OPUS, BYTES("\xfc"), OK(WHOLE)},
    {"Opus, nothing", CODEC_OPUS, BYTES(""), BAD(CODEC_ERR_SHORT)},
    {"AAC", CODEC_AAC, BYTES("\0\x10\0\x18raw"), OK(WHOLE)},
    {"AAC, headers past the end", CODEC_AAC, BYTES("\0\x20\0\x18"), BAD(CODEC_ERR_SHORT)},
    {"no codec", CODEC_NONE, BYTES("x"), BAD(CODEC_ERR_SUPPORT)},
};

static void check(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        const struct payload_marks *want = &row->want;
        uint8_t *exact = exact_dup(row->payload, row->len);
        struct payload_marks m = {.header_bytes = 999};

        print_message("  %s: %s\n", codec_name(row->codec), row->name);
        assert_int_equal(codec_inspect(row->codec, exact, row->len, &m), row->err);
        free(exact);
        if (row->err) {
            assert_int_equal(m.header_bytes, 999); /* untouched */
            continue;
        }
        assert_int_equal(m.frame_start, want->frame_start);
        assert_int_equal(m.frame_end, want->frame_end);
        assert_int_equal(m.keyframe, want->keyframe);
        assert_int_equal(m.parameter_sets, want->parameter_sets);
        assert_int_equal(m.discardable, want->discardable);
        assert_int_equal(m.switch_up, want->switch_up);
        assert_int_equal(m.inter_layer, want->inter_layer);
        assert_int_equal(m.not_upper_reference, want->not_upper_reference);
        assert_int_equal(m.has_layers, want->has_layers);
        assert_int_equal(m.spatial_id, want->spatial_id);
        assert_int_equal(m.temporal_id, want->temporal_id);
        assert_int_equal(m.picture_id_bits, want->picture_id_bits);
        assert_int_equal(m.picture_id, want->picture_id);
        assert_int_equal(m.picture_id_at, want->picture_id_at);
        assert_int_equal(m.tl0picidx, want->tl0picidx);
        assert_int_equal(m.tl0picidx_at, want->tl0picidx_at);
        assert_int_equal(m.keyidx, want->keyidx);
        assert_int_equal(m.keyidx_at, want->keyidx_at);
        assert_int_equal(m.width, want->width);
        assert_int_equal(m.height, want->height);
        assert_int_equal(m.header_bytes, want->header_bytes);
        for (size_t len = 0; len < row->len; len++) {
            exact = exact_dup(row->payload, len);
            (void)!codec_inspect(row->codec, exact, len, &m);
            free(exact);
        }
    }
}

#define EACH(name) \
    static void each_##name##_payload_is_marked_as_written(void **state) \
    { \
        (void)state; \
        check(name, LEN(name)); \
    }

EACH(h264)
EACH(h265)
EACH(vp8)
EACH(vp9)
EACH(av1)
EACH(others)

static void noise_is_marked_or_refused_but_never_over_read(void **state)
{
    uint64_t noise = 7;

    (void)state;
    for (unsigned round = 0; round < 200000; round++) {
        uint8_t bytes[24];
        size_t len = noise_next(&noise) % sizeof(bytes);
        struct payload_marks m;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)noise_next(&noise);
        uint8_t *exact = exact_dup(bytes, len);
        (void)!codec_inspect((enum codec)(round % CODEC_COUNT), exact, len, &m);
        free(exact);
    }
}

static void codec_names_and_fourccs_are_found_again(void **state)
{
    (void)state;
    for (enum codec c = CODEC_H264; c < CODEC_COUNT; c++) {
        assert_int_equal(codec_of_name(codec_name(c), strlen(codec_name(c))), c);
        assert_int_equal(codec_of_fourcc(codec_fourcc(c)), c);
        assert_true(codec_clock_hz(c) == (codec_kind(c) == CODEC_KIND_VIDEO ? 90000 : 48000));
    }
    assert_int_equal(codec_of_name("OPUS/48000", 4), CODEC_OPUS);
    assert_int_equal(codec_of_name("h26", 3), CODEC_NONE);
    assert_int_equal(codec_of_fourcc(0), CODEC_NONE);
    assert_int_equal(codec_kind((enum codec)99), CODEC_KIND_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_h264_payload_is_marked_as_written),
        cmocka_unit_test(each_h265_payload_is_marked_as_written),
        cmocka_unit_test(each_vp8_payload_is_marked_as_written),
        cmocka_unit_test(each_vp9_payload_is_marked_as_written),
        cmocka_unit_test(each_av1_payload_is_marked_as_written),
        cmocka_unit_test(each_others_payload_is_marked_as_written),
        cmocka_unit_test(noise_is_marked_or_refused_but_never_over_read),
        cmocka_unit_test(codec_names_and_fourccs_are_found_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
