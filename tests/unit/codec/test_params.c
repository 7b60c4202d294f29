/* SPDX-License-Identifier: Apache-2.0
 * test_params.c - parameter sets and configuration records: those of real encoders, and damaged ones. */
#include "unit/codec/clip.h"
#include "unit/wire/exact.h"

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h265.h"
#include "codec/vpx.h"

/* The first NAL unit of this type in a canonical frame. */
static struct nal find_nal(const struct clip_frame *f, enum codec codec, uint8_t type)
{
    struct reader r = reader_init(f->data, f->len);
    struct nal n = {NULL, 0};

    while (nal_next_prefixed(&r, 4, &n))
        if ((codec == CODEC_H264 ? h264_nal_type(n) : h265_nal_type(n)) == type)
            return n;
    fail();
    return n;
}

/* Cut anywhere, a set is refused or (behind what matters) read, never over-read. */
static void cut_everywhere(struct nal n, int (*parse)(struct sps_info *, struct nal))
{
    for (size_t len = 1; len < n.len; len++) {
        uint8_t *exact = exact_dup(n.p, len);
        struct sps_info s;
        (void)!parse(&s, (struct nal){exact, len});
        free(exact);
    }
}

static void real_h264_sps_tell_size_profile_and_b_frames(void **state)
{
    static const struct {
        const char *size, *options;
        uint32_t width, height;
        uint8_t profile;
        bool b_frames;
    } rows[] = {
        {"320x180", "-profile:v high", 320, 180, 100, true},
        {"320x180", "-profile:v high -bf 0", 320, 180, 100, false},
        {"640x480", "-profile:v baseline", 640, 480, 66, false},
        {"322x182", "-profile:v main", 322, 182, 77, true},
        {"1920x1080", "-preset ultrafast -tune zerolatency", 1920, 1080, 66, false},
        {"320x180", "-x264-params interlaced=1:nal-hrd=cbr:vbv-maxrate=500:vbv-bufsize=500:bitrate=500", 320,
         180, 100, true},
        {"320x180", "-vf format=yuv444p,setsar=4/3 -profile:v high444", 320, 180, 244, true},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        char command[512];
        snprintf(command, sizeof(command),
                 "-f lavfi -i testsrc2=size=%s:rate=20:duration=0.6 -pix_fmt yuv420p "
                 "-c:v libx264 %s -bsf:v h264_metadata=aud=insert -f h264",
                 rows[i].size, rows[i].options);
        if (strstr(rows[i].options, "yuv444p")) /* the option would win over the filter */
            memmove(strstr(command, "-pix_fmt yuv420p"), "                ", 16);
        struct clip c = clip_create(CODEC_H264, command);
        struct nal sps = find_nal(&c.frames[0], CODEC_H264, H264_NAL_SPS);
        struct sps_info s;
        print_message("  %s %s\n", rows[i].size, rows[i].options);
        assert_int_equal(h264_sps_parse(&s, sps), CODEC_OK);
        assert_int_equal(s.width, rows[i].width);
        assert_int_equal(s.height, rows[i].height);
        assert_int_equal(s.profile, rows[i].profile);
        assert_int_equal(s.b_frames_possible, rows[i].b_frames);
        assert_int_equal(h264_profile_level_id(&s) >> 16, rows[i].profile);
        cut_everywhere(sps, h264_sps_parse);
        clip_destroy(&c);
    }
}

static void a_real_h265_sps_tells_size_profile_and_b_frames(void **state)
{
    static const struct {
        const char *options;
        bool b_frames;
    } rows[] = {{"bframes=0", false}, {"bframes=3", true}};

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        char command[512];
        snprintf(command, sizeof(command),
                 "-f lavfi -i testsrc2=size=330x182:rate=20:duration=0.6 -pix_fmt yuv420p "
                 "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none:%s "
                 "-bsf:v hevc_metadata=aud=insert -f hevc",
                 rows[i].options);
        struct clip c = clip_create(CODEC_H265, command);
        struct nal sps = find_nal(&c.frames[0], CODEC_H265, H265_NAL_SPS);
        struct sps_info s;
        assert_int_equal(h265_sps_parse(&s, sps), CODEC_OK);
        assert_int_equal(s.width, 330);
        assert_int_equal(s.height, 182);
        assert_int_equal(s.profile, 1);
        assert_int_equal(s.b_frames_possible, rows[i].b_frames);
        cut_everywhere(sps, h265_sps_parse);
        clip_destroy(&c);
    }
}

static void damaged_sps_are_refused(void **state)
{
    struct sps_info s;
    static const uint8_t pps[] = {0x68, 0xce, 0x3c, 0x80},
                         zeros[] = {0x67, 66, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0};
    static const uint8_t hevc_pps[] = {0x44, 1, 0xc0, 0x80};

    (void)state;
    assert_int_equal(h264_sps_parse(&s, (struct nal){pps, sizeof(pps)}), CODEC_ERR_SYNTAX);
    assert_int_equal(h264_sps_parse(&s, (struct nal){zeros, sizeof(zeros)}), CODEC_ERR_SHORT);
    assert_int_equal(h265_sps_parse(&s, (struct nal){hevc_pps, sizeof(hevc_pps)}), CODEC_ERR_SYNTAX);
    uint64_t noise = 99;
    for (unsigned round = 0; round < 100000; round++) {
        uint8_t bytes[48] = {round & 1 ? 0x67 : 0x42, 1};
        for (size_t i = round & 1 ? 1 : 2; i < sizeof(bytes); i++)
            bytes[i] = (uint8_t)noise_next(&noise);
        uint8_t *exact = exact_dup(bytes, sizeof(bytes));
        struct nal n = {exact, sizeof(bytes)};
        if ((round & 1 ? h264_sps_parse(&s, n) : h265_sps_parse(&s, n)) == CODEC_OK)
            assert_true(s.width > 0 && s.width <= 16384 && s.height > 0 && s.height <= 32768);
        free(exact);
    }
}

/* Parameter sets in a keyframe, canonical; returns their bytes. */
static size_t sets_of(const struct clip *c, uint8_t *dst, size_t cap)
{
    struct reader r = reader_init(c->frames[0].data, c->frames[0].len);
    struct writer w = writer_init(dst, cap);
    struct nal n;

    while (nal_next_prefixed(&r, 4, &n)) {
        uint8_t type = c->codec == CODEC_H264 ? h264_nal_type(n) : h265_nal_type(n);
        if (c->codec == CODEC_H264 ? type == H264_NAL_SPS || type == H264_NAL_PPS
                                   : type >= H265_NAL_VPS && type <= H265_NAL_PPS)
            nal_write_prefixed(&w, n);
    }
    assert_false(w.bad);
    return writer_len(&w);
}

static void avcc_goes_there_and_back(void **state)
{
    struct clip c = clip_of(CODEC_H264);
    uint8_t sets[512], record[512], back[512];
    size_t n = sets_of(&c, sets, sizeof(sets));
    int len = avcc_write(record, sizeof(record), c.frames[0].data, c.frames[0].len); /* picks the sets out */
    struct avcc a;

    (void)state;
    assert_true(len > 0);
    assert_int_equal(avcc_parse(&a, record, (size_t)len), CODEC_OK);
    assert_int_equal(a.length_bytes, 4);
    assert_int_equal(a.sps_count, 1);
    assert_int_equal(a.pps_count, 1);
    assert_int_equal(a.profile, 100);
    assert_int_equal(avcc_params_write(back, sizeof(back), &a), n);
    assert_memory_equal(back, sets, n);
    for (size_t cut = 0; cut < (size_t)len; cut++) {
        uint8_t *exact = exact_dup(record, cut);
        assert_int_equal(avcc_parse(&a, exact, cut), CODEC_ERR_SHORT);
        assert_int_equal(avcc_write(exact, cut, sets, n), CODEC_ERR_ROOM);
        free(exact);
    }
    assert_int_equal(avcc_write(record, sizeof(record), sets, 10), CODEC_ERR_SYNTAX);
    record[0] = 2;
    assert_int_equal(avcc_parse(&a, record, (size_t)len), CODEC_ERR_SYNTAX);
    clip_destroy(&c);
}

static void hvcc_goes_there_and_back(void **state)
{
    struct clip c = clip_of(CODEC_H265);
    uint8_t sets[512], record[512], back[512];
    size_t n = sets_of(&c, sets, sizeof(sets));
    int len = hvcc_write(record, sizeof(record), c.frames[0].data, c.frames[0].len);
    struct hvcc h;

    (void)state;
    assert_true(len > 0);
    assert_int_equal(hvcc_parse(&h, record, (size_t)len), CODEC_OK);
    assert_int_equal(h.length_bytes, 4);
    assert_int_equal(h.profile, 1);
    assert_int_equal(hvcc_params_write(back, sizeof(back), &h), n);
    assert_memory_equal(back, sets, n);
    for (size_t cut = 0; cut < (size_t)len; cut++) {
        uint8_t *exact = exact_dup(record, cut);
        assert_int_equal(hvcc_parse(&h, exact, cut), CODEC_ERR_SHORT);
        assert_int_equal(hvcc_write(exact, cut, sets, n), CODEC_ERR_ROOM);
        free(exact);
    }
    assert_int_equal(hvcc_write(record, sizeof(record), sets, 10), CODEC_ERR_SYNTAX);
    clip_destroy(&c);
}

static void av1_sequence_and_av1c_of_a_real_stream(void **state)
{
    struct clip c = clip_of(CODEC_AV1);
    struct reader r = reader_init(c.frames[0].data, c.frames[0].len);
    uint8_t record[128];
    struct av1_obu o;
    struct av1_sequence s;
    struct av1c a;

    (void)state;
    assert_int_equal(av1_obu_next(&r, &o), 1);
    assert_int_equal(o.type, AV1_OBU_SEQUENCE_HEADER);
    assert_int_equal(av1_sequence_parse(&s, o.payload, o.payload_len), CODEC_OK);
    assert_int_equal(s.width, 320);
    assert_int_equal(s.height, 180);
    assert_int_equal(s.profile, 0);
    assert_int_equal(s.bit_depth, 8);
    assert_true(s.subsampling_x && s.subsampling_y && !s.monochrome);
    for (size_t len = 0; len < o.payload_len; len++) {
        uint8_t *exact = exact_dup(o.payload, len);
        struct av1_sequence cut;
        (void)!av1_sequence_parse(&cut, exact, len);
        free(exact);
    }
    int n = av1c_write(record, sizeof(record), c.frames[0].data, c.frames[0].len);
    assert_true(n > 4);
    assert_int_equal(av1c_parse(&a, record, (size_t)n), CODEC_OK);
    assert_int_equal(a.level, s.level);
    assert_int_equal(a.obus_len, (size_t)n - 4);
    assert_true(av1_unit_is_key(a.obus, a.obus_len));
    assert_int_equal(av1c_write(record, sizeof(record), c.frames[1].data, c.frames[1].len), CODEC_ERR_SYNTAX);
    assert_int_equal(av1c_parse(&a, record, 3), CODEC_ERR_SHORT);
    record[0] = 1;
    assert_int_equal(av1c_parse(&a, record, (size_t)n), CODEC_ERR_SYNTAX);
    clip_destroy(&c);
}

static void leb128_goes_there_and_back(void **state)
{
    static const uint32_t values[] = {0,       1,       127,       128,       16383,     16384,
                                      2097151, 2097152, 268435455, 268435456, UINT32_MAX};
    uint8_t buf[8];

    (void)state;
    for (size_t i = 0; i < LEN(values); i++) {
        struct writer w = writer_init(buf, sizeof(buf));
        av1_leb128_write(&w, values[i]);
        assert_int_equal(writer_len(&w), av1_leb128_bytes(values[i]));
        struct reader r = reader_init(buf, writer_len(&w));
        assert_int_equal(av1_leb128_read(&r), values[i]);
        assert_false(r.bad);
        assert_int_equal(reader_left(&r), 0);
    }
    struct reader r = reader_init("\x80\x80\x80\x80\x10", 5); /* 1 << 32 */
    av1_leb128_read(&r);
    assert_true(r.bad);
}

static void vpx_frames_tell_their_size(void **state)
{
    static const enum codec codecs[] = {CODEC_VP8, CODEC_VP9};

    (void)state;
    for (size_t i = 0; i < LEN(codecs); i++) {
        struct clip c = clip_of(codecs[i]);
        int (*parse)(struct vpx_frame *, const uint8_t *, size_t) = codecs[i] == CODEC_VP8 ? vp8_frame_parse
                                                                                           : vp9_frame_parse;
        struct vpx_frame f;
        assert_int_equal(parse(&f, c.frames[0].data, c.frames[0].len), CODEC_OK);
        assert_true(f.keyframe && f.shown);
        assert_int_equal(f.width, 320);
        assert_int_equal(f.height, 180);
        assert_int_equal(f.profile, 0);
        assert_int_equal(f.bit_depth, 8);
        assert_int_equal(f.chroma, 1);
        assert_int_equal(parse(&f, c.frames[1].data, c.frames[1].len), CODEC_OK);
        assert_false(f.keyframe);
        for (size_t len = 0; len < 9; len++) {
            uint8_t *exact = exact_dup(c.frames[0].data, len);
            assert_int_equal(parse(&f, exact, len), CODEC_ERR_SHORT);
            free(exact);
        }
        clip_destroy(&c);
    }
    struct vpx_frame f;
    assert_int_equal(vp9_frame_parse(&f, (const uint8_t *)"\x00", 1), CODEC_ERR_SYNTAX);
    assert_int_equal(vp8_frame_parse(&f, (const uint8_t *)"\x10\0\0abcdefg", 10), CODEC_ERR_SYNTAX);
}

static void vpcc_goes_there_and_back_with_or_without_its_box_header(void **state)
{
    struct vpcc v = {.profile = 2,
                     .level = 31,
                     .bit_depth = 10,
                     .chroma = 1,
                     .full_range = true,
                     .primaries = 9,
                     .transfer = 16,
                     .matrix = 9},
                back;
    uint8_t buf[12];

    (void)state;
    assert_int_equal(vpcc_write(buf, sizeof(buf), &v), 12);
    for (size_t skip = 0; skip <= 4; skip += 4) {
        assert_int_equal(vpcc_parse(&back, buf + skip, 12 - skip), CODEC_OK);
        assert_int_equal(back.profile, 2);
        assert_int_equal(back.level, 31);
        assert_int_equal(back.bit_depth, 10);
        assert_int_equal(back.chroma, 1);
        assert_true(back.full_range);
        assert_int_equal(back.primaries, 9);
        assert_int_equal(back.transfer, 16);
        assert_int_equal(back.matrix, 9);
        assert_int_equal(vpcc_parse(&back, buf + skip, 7), CODEC_ERR_SHORT);
    }
    assert_int_equal(vpcc_write(buf, 11, &v), CODEC_ERR_ROOM);
}

/* ---- audio ---- */

static const struct {
    const char *name, *bytes;
    size_t len;
    int err;
    struct aac_config want;
} configs[] = {
    {"LC 44.1 kHz stereo", BYTES("\x12\x10"), CODEC_OK, {44100, 44100, 1024, 2, 2, false, false}},
    {"LC 48 kHz mono", BYTES("\x11\x88"), CODEC_OK, {48000, 48000, 1024, 2, 1, false, false}},
    {"LC 48 kHz 5.1", BYTES("\x11\xb0"), CODEC_OK, {48000, 48000, 1024, 2, 6, false, false}},
    {"960 samples", BYTES("\x11\x94"), CODEC_OK, {48000, 48000, 960, 2, 2, false, false}},
    {"HE-AAC, explicit", BYTES("\x2b\x11\x88\x00"), CODEC_OK, {24000, 48000, 1024, 2, 2, true, false}},
    {"HE-AAC v2, explicit", BYTES("\xeb\x09\x88\x00"), CODEC_OK, {24000, 48000, 1024, 2, 1, true, true}},
    {"HE-AAC by sync extension",
     BYTES("\x13\x10\x56\xe5\x98"),
     CODEC_OK,
     {24000, 48000, 1024, 2, 2, true, false}},
    {"rate in full", BYTES("\x17\x80\x5d\xc0\x10"), CODEC_OK, {48000, 48000, 1024, 2, 2, false, false}},
    {"reserved rate index 14", BYTES("\x17\x10"), CODEC_ERR_SYNTAX, {0}},
    {"reserved rate index 13", BYTES("\x16\x90"), CODEC_ERR_SYNTAX, {0}},
    {"object type 0", BYTES("\x02\x10"), CODEC_ERR_SYNTAX, {0}},
    {"one byte", BYTES("\x12"), CODEC_ERR_SHORT, {0}},
    {"nothing", BYTES(""), CODEC_ERR_SHORT, {0}},
};

static void each_audio_specific_config_parses_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(configs); i++) {
        uint8_t *exact = exact_dup(configs[i].bytes, configs[i].len);
        const struct aac_config *want = &configs[i].want;
        struct aac_config c;
        print_message("  %s\n", configs[i].name);
        assert_int_equal(aac_config_parse(&c, exact, configs[i].len), configs[i].err);
        if (!configs[i].err) {
            assert_int_equal(c.rate_hz, want->rate_hz);
            assert_int_equal(c.output_rate_hz, want->output_rate_hz);
            assert_int_equal(c.frame_samples, want->frame_samples);
            assert_int_equal(c.object_type, want->object_type);
            assert_int_equal(c.channels, want->channels);
            assert_int_equal(c.sbr, want->sbr);
            assert_int_equal(c.ps, want->ps);
        }
        free(exact);
    }
}

static void written_aac_configs_read_back(void **state)
{
    static const uint32_t rates[] = {96000, 48000, 44100, 8000, 7350, 12345};
    static const uint8_t channels[] = {1, 2, 3, 4, 5, 6, 8};

    (void)state;
    for (size_t r = 0; r < LEN(rates); r++) {
        for (size_t ch = 0; ch < LEN(channels); ch++) {
            struct aac_config c = {rates[r], rates[r], r & 1 ? 960 : 1024, 2, channels[ch], false, false},
                              back;
            uint8_t buf[8];
            int n = aac_config_write(buf, sizeof(buf), &c);
            assert_int_equal(n, rates[r] == 12345 ? 5 : 2);
            assert_int_equal(aac_config_parse(&back, buf, (size_t)n), CODEC_OK);
            assert_int_equal(back.rate_hz, c.rate_hz);
            assert_int_equal(back.channels, c.channels);
            assert_int_equal(back.frame_samples, c.frame_samples);
            assert_int_equal(aac_config_write(buf, (size_t)n - 1, &c), CODEC_ERR_ROOM);
        }
    }
    uint8_t buf[8];
    assert_int_equal(aac_config_write(buf, 8, &(struct aac_config){.object_type = 2}), CODEC_ERR_SUPPORT);
    assert_int_equal(
        aac_config_write(buf, 8, &(struct aac_config){.rate_hz = 48000, .object_type = 2, .channels = 9}),
        CODEC_ERR_SUPPORT);
}

static void adts_headers_are_checked(void **state)
{
    static const uint8_t frame[] = {0xff, 0xf1, 0x4c, 0x80, 0x01,
                                    0x3f, 0xfc, 'r',  'a'}; /* 48 kHz stereo, 9 bytes */
    struct aac_config c;
    size_t header;

    (void)state;
    assert_int_equal(aac_adts_parse(&c, &header, frame, sizeof(frame)), 9);
    assert_int_equal(header, 7);
    assert_int_equal(c.rate_hz, 48000);
    assert_int_equal(c.channels, 2);
    assert_int_equal(c.object_type, 2);
    for (size_t len = 0; len < sizeof(frame); len++) {
        uint8_t *exact = exact_dup(frame, len);
        assert_int_equal(aac_adts_parse(&c, &header, exact, len), CODEC_ERR_SHORT);
        free(exact);
    }
    assert_int_equal(aac_adts_parse(&c, &header, (const uint8_t *)"\xff\xe1\x4c\x80\x01\x3f\xfc..", 9),
                     CODEC_ERR_SYNTAX);
    assert_int_equal(aac_adts_parse(&c, &header, (const uint8_t *)"\xff\xf1\x4c\x80\x00\x3f\xfc..", 9),
                     CODEC_ERR_SYNTAX);
}

static const struct {
    const char *name, *bytes;
    size_t len;
    int ticks;
} opus[] = {
    {"nothing", BYTES(""), CODEC_ERR_SHORT},
    {"SILK 10 ms", BYTES("\x00"), 480},
    {"SILK 60 ms", BYTES("\x58"), 2880},
    {"hybrid 20 ms", BYTES("\x68"), 960},
    {"CELT 2.5 ms", BYTES("\x80"), 120},
    {"CELT 20 ms, stereo", BYTES("\xfc"), 960},
    {"two CELT frames of 20 ms", BYTES("\xf9"), 1920},
    {"code 3, three of 20 ms", BYTES("\xfb\x03"), 2880},
    {"code 3, 48 of 2.5 ms", BYTES("\x83\x30"), 5760},
    {"code 3, no frames", BYTES("\xfb\x00"), CODEC_ERR_SYNTAX},
    {"code 3, more than 120 ms", BYTES("\xfb\x07"), CODEC_ERR_SYNTAX},
    {"code 3, count cut", BYTES("\xfb"), CODEC_ERR_SHORT},
};

static void each_opus_packet_tells_its_duration(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(opus); i++) {
        uint8_t *exact = exact_dup(opus[i].bytes, opus[i].len);
        print_message("  %s\n", opus[i].name);
        assert_int_equal(opus_packet_ticks(exact, opus[i].len), opus[i].ticks);
        free(exact);
    }
    assert_true(opus_packet_is_stereo((const uint8_t *)"\xfc", 1));
    assert_false(opus_packet_is_stereo((const uint8_t *)"\xf8", 1));
    struct clip c = clip_of(CODEC_OPUS);
    for (size_t f = 0; f < c.count; f++)
        assert_int_equal(opus_packet_ticks(c.frames[f].data, c.frames[f].len), 960);
    clip_destroy(&c);
}

static void opus_head_goes_there_and_back(void **state)
{
    struct opus_head h = {.input_rate_hz = 48000, .pre_skip_ticks = 312, .channels = 2}, back;
    uint8_t buf[OPUS_HEAD_BYTES];

    (void)state;
    assert_int_equal(opus_head_write(buf, sizeof(buf), &h), OPUS_HEAD_BYTES);
    assert_int_equal(opus_head_parse(&back, buf, sizeof(buf)), CODEC_OK);
    assert_int_equal(back.input_rate_hz, 48000);
    assert_int_equal(back.pre_skip_ticks, 312);
    assert_int_equal(back.channels, 2);
    for (size_t len = 0; len < sizeof(buf); len++) {
        uint8_t *exact = exact_dup(buf, len);
        assert_int_equal(opus_head_parse(&back, exact, len), CODEC_ERR_SHORT);
        free(exact);
    }
    buf[18] = 1;
    assert_int_equal(opus_head_parse(&back, buf, sizeof(buf)), CODEC_ERR_SUPPORT);
    buf[0] = 'o';
    assert_int_equal(opus_head_parse(&back, buf, sizeof(buf)), CODEC_ERR_SYNTAX);
}

/* ---- NAL units ---- */

static const struct {
    const char *name, *annexb;
    size_t len;
    const char *canonical;
    size_t canonical_len;
} units[] = {
    {"nothing", BYTES(""), BYTES("")},
    {"no start code", BYTES("abc"), BYTES("")},
    {"three-byte start code", BYTES("\0\0\1ab"), BYTES("\0\0\0\2ab")},
    {"four-byte start code", BYTES("\0\0\0\1ab"), BYTES("\0\0\0\2ab")},
    {"two units", BYTES("\0\0\1a\0\0\0\1bc"), BYTES("\0\0\0\1a\0\0\0\2bc")},
    {"trailing zeros", BYTES("\0\0\1ab\0\0\0"), BYTES("\0\0\0\2ab")},
    {"empty unit", BYTES("\0\0\1\0\0\1a"), BYTES("\0\0\0\1a")},
    {"start code at the end", BYTES("\0\0\1a\0\0\1"), BYTES("\0\0\0\1a")},
    {"bytes before the first", BYTES("x\0\0\1a"), BYTES("\0\0\0\1a")},
};

static void each_annexb_stream_becomes_canonical_as_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(units); i++) {
        uint8_t *exact = exact_dup(units[i].annexb, units[i].len);
        uint8_t out[64];
        print_message("  %s\n", units[i].name);
        assert_int_equal(nal_canonical_from_annexb(out, sizeof(out), exact, units[i].len),
                         units[i].canonical_len);
        assert_memory_equal(out, units[i].canonical, units[i].canonical_len);
        free(exact);
    }
    uint8_t out[64];
    assert_int_equal(nal_canonical_from_annexb(out, 4, (const uint8_t *)"\0\0\1ab", 5), CODEC_ERR_ROOM);
}

static void short_prefixes_become_canonical(void **state)
{
    uint8_t out[64];

    (void)state;
    assert_int_equal(nal_canonical_from_prefixed(out, 64, (const uint8_t *)"\2ab\0\1c", 6, 1), 11);
    assert_memory_equal(out, "\0\0\0\2ab\0\0\0\1c", 11);
    assert_int_equal(nal_canonical_from_prefixed(out, 64, (const uint8_t *)"\0\2ab", 4, 2), 6);
    assert_int_equal(nal_canonical_from_prefixed(out, 64, (const uint8_t *)"\0\3ab", 4, 2), CODEC_ERR_SHORT);
    assert_int_equal(nal_canonical_from_prefixed(out, 64, (const uint8_t *)"\0\0\0\2ab\0", 7, 4),
                     CODEC_ERR_SHORT);
    assert_int_equal(nal_canonical_from_prefixed(out, 64, (const uint8_t *)"\0\2ab", 4, 3), CODEC_ERR_SHORT);
    assert_int_equal(nal_canonical_from_prefixed(out, 5, (const uint8_t *)"\0\2ab", 4, 2), CODEC_ERR_ROOM);
    struct writer w = writer_init(out, sizeof(out));
    nal_write_annexb(&w, (struct nal){(const uint8_t *)"ab", 2});
    assert_memory_equal(out, "\0\0\0\1ab", 6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_h264_sps_tell_size_profile_and_b_frames),
        cmocka_unit_test(a_real_h265_sps_tells_size_profile_and_b_frames),
        cmocka_unit_test(damaged_sps_are_refused),
        cmocka_unit_test(avcc_goes_there_and_back),
        cmocka_unit_test(hvcc_goes_there_and_back),
        cmocka_unit_test(av1_sequence_and_av1c_of_a_real_stream),
        cmocka_unit_test(leb128_goes_there_and_back),
        cmocka_unit_test(vpx_frames_tell_their_size),
        cmocka_unit_test(vpcc_goes_there_and_back_with_or_without_its_box_header),
        cmocka_unit_test(each_audio_specific_config_parses_as_written),
        cmocka_unit_test(written_aac_configs_read_back),
        cmocka_unit_test(adts_headers_are_checked),
        cmocka_unit_test(each_opus_packet_tells_its_duration),
        cmocka_unit_test(opus_head_goes_there_and_back),
        cmocka_unit_test(each_annexb_stream_becomes_canonical_as_written),
        cmocka_unit_test(short_prefixes_become_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
