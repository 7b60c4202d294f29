/* SPDX-License-Identifier: Apache-2.0
 * test_depacketise.c - payloads as browsers and encoders send them, and as they should not: each script is a
 * list of packets, the outcome a line of text. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "codec/depacketise.h"
#include "codec/packetise.h"

struct step {
    const char *payload;
    size_t len;
    uint64_t seq, ts;
    bool marker;
    int result;
};

#define STEPS_MAX 8
#define P(payload, seq, ts, marker, result) {BYTES(payload), seq, ts, marker, result}
#define M true
#define N false

struct script {
    const char *name;
    enum codec codec;
    struct step steps[STEPS_MAX];
    const char *frames; /* "ts[k][!]:hex " each; k = keyframe, ! = after a loss */
};

static const struct script scripts[] = {
    {"H.264 single NAL units",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x68\2", 2, 0, N, 0), P("\x65\x88", 3, 0, M, 0), P("\x41\x9a", 4, 9, M, 0)},
     "0k:000000026701000000026802000000026588 9:00000002419a "},
    {"H.264 STAP-A then FU-A",
     CODEC_H264,
     {P("\x78\0\2\x67\1\0\2\x68\2", 1, 0, N, 0), P("\x7c\x85\x88", 2, 0, N, 0), P("\x7c\x05\x77", 3, 0, N, 0),
      P("\x7c\x45\x66", 4, 0, M, 0)},
     "0k:0000000267010000000268020000000465887766 "},
    {"H.264 FU-A with both ends in one",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x7c\xc5\x88", 2, 0, M, 0)},
     "0k:000000026701000000026588 "},
    {"H.264 joined in the middle of a frame",
     CODEC_H264,
     {P("\x7c\x05\x77", 7, 0, N, 0), P("\x7c\x45\x66", 8, 0, M, 0), P("\x41\x9a", 9, 9, M, 0)},
     "9!:00000002419a "},
    {"H.264 without a marker, the next timestamp ends the frame",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x65\x88", 2, 0, N, 0), P("\x41\x9a", 3, 9, M, 0)},
     "0k:000000026701000000026588 9:00000002419a "},
    {"H.264 gap between frames: the next one's beginning is in doubt",
     CODEC_H264,
     {P("\x67\1", 1, 0, M, 0), P("\x41\x9a", 3, 9, M, DEPACKETISE_LOST), P("\x41\x9a", 4, 18, M, 0)},
     "0:000000026701 18!:00000002419a "},
    {"H.264 gap before an SPS: it is a beginning",
     CODEC_H264,
     {P("\x67\1", 1, 0, M, 0), P("\x67\1", 3, 9, N, DEPACKETISE_LOST), P("\x65\x88", 4, 9, M, 0)},
     "0:000000026701 9k!:000000026701000000026588 "},
    {"H.264 fragment cut off by another unit",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x7c\x85\x88", 2, 0, N, 0), P("\x41\x9a", 3, 0, M, DEPACKETISE_DAMAGED),
      P("\x41\x9a", 4, 9, M, 0)},
     "9!:00000002419a "},
    {"H.264 fragment cut off by the marker",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x7c\x85\x88", 2, 0, M, DEPACKETISE_DAMAGED), P("\x41\x9a", 3, 9, M, 0)},
     "9!:00000002419a "},
    {"H.264 fragment cut off by the next timestamp",
     CODEC_H264,
     {P("\x67\1", 1, 0, N, 0), P("\x7c\x85\x88", 2, 0, N, 0), P("\x41\x9a", 3, 9, M, DEPACKETISE_DAMAGED)},
     "9!:00000002419a "},
    {"H.264 STAP-A that lies about a length",
     CODEC_H264,
     {P("\x67\1", 1, 0, M, 0), P("\x78\0\x9\x67\1", 2, 9, M, DEPACKETISE_DAMAGED),
      P("\x41\x9a", 3, 18, M, 0)},
     "0:000000026701 18!:00000002419a "},
    {"H.264 interleaved mode",
     CODEC_H264,
     {P("\x67\1", 1, 0, M, 0), P("\x7d\x85\0\0\x88", 2, 9, M, DEPACKETISE_DAMAGED)},
     "0:000000026701 "},
    {"padding closes the gap",
     CODEC_H264,
     {P("\x67\1", 1, 0, M, 0), P("", 2, 5, N, 0), P("\x41\x9a", 3, 9, M, 0)},
     "0:000000026701 9:00000002419a "},
    {"old and repeated packets are left out",
     CODEC_H264,
     {P("\x67\1", 5, 0, N, 0), P("\x67\1", 5, 0, N, DEPACKETISE_OLD), P("\x68\2", 3, 0, M, DEPACKETISE_OLD),
      P("\x65\x88", 6, 0, M, 0)},
     "0k:000000026701000000026588 "},
    {"H.265 AP and FU",
     CODEC_H265,
     {P("\x60\1\0\3\x40\1\x0c\0\3\x42\1\1", 1, 0, N, 0), P("\x62\1\x93\xac", 2, 0, N, 0),
      P("\x62\1\x53\xbd", 3, 0, M, 0)},
     "0k:0000000340010c00000003420101000000042601acbd "},
    {"VP8 with the shortest descriptor",
     CODEC_VP8,
     {P("\x10\x10"
        "ab",
        1, 0, N, 0),
      P("\x00"
        "cd",
        2, 0, M, 0),
      P("\x10\x11"
        "e",
        3, 9, M, 0)},
     "0k:1061626364 9:1165 "},
    {"VP8 with picture id, layers and key index",
     CODEC_VP8,
     {P("\x90\xf0\x81\x02\x33\xa5\x10"
        "a",
        1, 0, M, 0),
      P("\x90\x80\x05\x11"
        "b",
        2, 9, M, 0)},
     "0k:1061 9:1162 "},
    {"VP8 gap inside, then a certain beginning",
     CODEC_VP8,
     {P("\x10\x10"
        "ab",
        1, 0, N, 0),
      P("\x00"
        "cd",
        3, 0, M, DEPACKETISE_LOST),
      P("\x10\x11"
        "e",
        4, 9, M, 0)},
     "9!:1165 "},
    {"VP8 two frames of one timestamp",
     CODEC_VP8,
     {P("\x10\x10"
        "a",
        1, 0, M, 0),
      P("\x10\x11"
        "b",
        2, 0, M, 0)},
     "0k:1061 0:1162 "},
    {"VP8 continuation without a beginning",
     CODEC_VP8,
     {P("\x10\x10"
        "a",
        1, 0, M, 0),
      P("\x00"
        "b",
        2, 9, M, DEPACKETISE_DAMAGED),
      P("\x10\x11"
        "c",
        3, 18, M, 0)},
     "0k:1061 18!:1163 "},
    {"VP9 two spatial layers are one picture",
     CODEC_VP9,
     {P("\xac\x05\x00\x09"
        "a",
        1, 0, N, 0),
      P("\xac\x05\x03\x09"
        "b",
        2, 0, M, 0)},
     "0k:6162 "},
    {"VP9 without picture id",
     CODEC_VP9,
     {P("\x08"
        "a",
        1, 0, N, 0),
      P("\x04"
        "b",
        2, 0, M, 0)},
     "0k:6162 "},
    {"AV1 W=2: sequence header and frame",
     CODEC_AV1,
     {P("\x28\2\x08x\x30yz", 1, 0, M, 0)},
     "0k:0a01783202797a "},
    {"AV1 W=0: every element has its length",
     CODEC_AV1,
     {P("\x08\2\x08x\3\x30yz", 1, 0, M, 0)},
     "0k:0a01783202797a "},
    {"AV1 W=3 with a cut last element",
     CODEC_AV1,
     {P("\x78\2\x08x\2\x28m\x30y", 1, 0, N, 0), P("\x90z", 2, 0, M, 0)},
     "0k:0a01782a016d3202797a "},
    {"AV1 OBU that kept its size field", CODEC_AV1, {P("\x18\x0a\1x", 1, 0, M, 0)}, "0k:0a0178 "},
    {"AV1 OBU whose size field lies", CODEC_AV1, {P("\x18\x0a\2x", 1, 0, M, DEPACKETISE_DAMAGED)}, ""},
    {"AV1 OBU whose size field leaves bytes over",
     CODEC_AV1,
     {P("\x18\x0a\1xy", 1, 0, M, DEPACKETISE_DAMAGED)},
     ""},
    {"AV1 temporal delimiter and tile list are left out",
     CODEC_AV1,
     {P("\x38\1\x10\2\x40t\x08x", 1, 0, M, 0)},
     "0k:0a0178 "},
    {"AV1 delimiter in a packet of its own",
     CODEC_AV1,
     {P("\x18\x08x", 1, 0, M, 0), P("\x10\x10", 2, 9, M, 0), P("\x10\x30y", 3, 18, M, 0)},
     "0k:0a0178 18:320179 "},
    {"AV1 with layer ids", CODEC_AV1, {P("\x18\x0cGx", 1, 0, M, 0)}, "0k:0e470178 "},
    {"AV1 continuation of nothing",
     CODEC_AV1,
     {P("\x18\x08x", 1, 0, M, 0), P("\x90z", 2, 9, M, DEPACKETISE_DAMAGED)},
     "0k:0a0178 "},
    {"AV1 fragment that is not continued",
     CODEC_AV1,
     {P("\x58\x08x", 1, 0, N, 0), P("\x10\x30y", 2, 0, M, DEPACKETISE_DAMAGED), P("\x10\x30y", 3, 9, M, 0)},
     "9!:320179 "},
    {"Opus: each packet a frame, whatever the marker",
     CODEC_OPUS,
     {P("\xfc"
        "a",
        1, 0, M, 0),
      P("\xfc"
        "b",
        2, 960, N, 0),
      P("\xfc"
        "c",
        4, 2880, N, DEPACKETISE_LOST)},
     "0k:fc61 960k:fc62 2880k!:fc63 "},
    {"AAC one unit", CODEC_AAC, {P("\0\x10\0\x18raw", 1, 0, M, 0)}, "0k:726177 "},
    {"AAC two units in a packet", CODEC_AAC, {P("\0\x20\0\x10\0\x08xyz", 1, 0, M, 0)}, "0k:7879 1024k:7a "},
    {"AAC fragments",
     CODEC_AAC,
     {P("\0\x10\0\x08x", 1, 0, M, 0), P("\0\x10\0\x18ra", 2, 1024, N, 0), P("\0\x10\0\x18w", 3, 1024, M, 0)},
     "0k:78 1024k:726177 "},
    {"AAC last fragment lost",
     CODEC_AAC,
     {P("\0\x10\0\x08x", 1, 0, M, 0), P("\0\x10\0\x18ra", 2, 1024, N, 0),
      P("\0\x10\0\x08y", 4, 2048, M, DEPACKETISE_LOST)},
     "0k:78 2048k!:79 "},
    {"AAC fragment with its marker too early",
     CODEC_AAC,
     {P("\0\x10\0\x08x", 1, 0, M, 0), P("\0\x10\0\x18ra", 2, 1024, M, DEPACKETISE_DAMAGED),
      P("\0\x10\0\x08y", 3, 2048, M, 0)},
     "0k:78 2048k!:79 "},
    {"AAC headers of another mode", CODEC_AAC,
     {P("\0\x10\0\x08x", 1, 0, M, 0), P("\0\x0c\x18\0raw", 2, 1024, M, DEPACKETISE_DAMAGED)}, "0k:78 "},
    {"AAC unit of no bytes", CODEC_AAC, {P("\0\x10\0\0", 1, 0, M, DEPACKETISE_DAMAGED)}, ""},
};

static void note_frame(void *arg, const struct depacketised_frame *f)
{
    char *text = arg;
    size_t n = strlen(text);

    n += (size_t)sprintf(text + n, "%u%s%s:", (unsigned)f->ts_ticks, f->keyframe ? "k" : "",
                         f->after_loss ? "!" : "");
    for (size_t i = 0; i < f->len; i++)
        n += (size_t)sprintf(text + n, "%02x", f->data[i]);
    strcpy(text + n, " ");
}

static int push(struct depacketiser *d, const struct step *s)
{
    uint8_t *exact = exact_dup(s->payload, s->len);
    struct depacketise_packet p = {exact, s->len, s->ts, s->seq, s->marker};
    int result = depacketise_push(d, &p);

    free(exact);
    return result;
}

static void each_script_gives_its_frames(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(scripts); i++) {
        char text[512] = "";
        struct depacketiser *d;
        struct depacketiser_cfg cfg = {.codec = scripts[i].codec, .on_frame = note_frame, .arg = text};

        print_message("  %s\n", scripts[i].name);
        assert_int_equal(depacketiser_create(&d, &cfg), CODEC_OK);
        for (size_t s = 0; s < STEPS_MAX && scripts[i].steps[s].payload; s++)
            assert_int_equal(push(d, &scripts[i].steps[s]), scripts[i].steps[s].result);
        assert_string_equal(text, scripts[i].frames);
        depacketiser_destroy(&d);
        assert_null(d);
    }
}

static void a_frame_above_the_limit_is_lost_alone(void **state)
{
    char text[128] = "";
    struct depacketiser *d;
    struct depacketiser_cfg cfg = {
        .codec = CODEC_VP8, .max_frame_bytes = 4, .on_frame = note_frame, .arg = text};

    (void)state;
    assert_int_equal(depacketiser_create(&d, &cfg), CODEC_OK);
    assert_int_equal(push(d, &(struct step)P("\x10\x10" "abc", 1, 0, M, 0)), DEPACKETISE_OK);
    assert_int_equal(push(d, &(struct step)P("\x10\x11" "abc", 2, 9, N, 0)), DEPACKETISE_OK);
    assert_int_equal(push(d, &(struct step)P("\x00" "d", 3, 9, N, 0)), DEPACKETISE_TOO_BIG);
    assert_int_equal(push(d, &(struct step)P("\x00" "e", 4, 9, M, 0)), DEPACKETISE_OK); /* skipped */
    assert_int_equal(push(d, &(struct step)P("\x10\x11" "f", 5, 18, M, 0)), DEPACKETISE_OK);
    assert_string_equal(text, "0k:10616263 18!:1166 ");
    depacketiser_destroy(&d);
}

static void after_a_reset_any_sequence_number_may_come(void **state)
{
    char text[128] = "";
    struct depacketiser *d;
    struct depacketiser_cfg cfg = {.codec = CODEC_VP8, .on_frame = note_frame, .arg = text};

    (void)state;
    assert_int_equal(depacketiser_create(&d, &cfg), CODEC_OK);
    assert_int_equal(push(d, &(struct step)P("\x10\x10" "a", 100, 0, N, 0)), DEPACKETISE_OK);
    depacketiser_reset(d);
    assert_int_equal(push(d, &(struct step)P("\x10\x10" "b", 5, 0, M, 0)), DEPACKETISE_OK);
    assert_string_equal(text, "0k:1062 ");
    depacketiser_destroy(&d);
}

static void what_cannot_be_made_is_refused(void **state)
{
    struct depacketiser *d;
    struct packetiser p;
    char text[8] = "";

    (void)state;
    assert_int_equal(depacketiser_create(&d, &(struct depacketiser_cfg){.codec = CODEC_VP8}),
                     CODEC_ERR_SUPPORT);
    assert_null(d);
    depacketiser_destroy(&d);
    struct depacketiser_cfg none = {.codec = CODEC_NONE, .on_frame = note_frame, .arg = text};
    assert_int_equal(depacketiser_create(&d, &none), CODEC_ERR_SUPPORT);
    assert_int_equal(packetiser_init(&p, &(struct packetiser_cfg){.codec = CODEC_NONE}), CODEC_ERR_SUPPORT);
    struct packetiser_cfg small = {.codec = CODEC_VP8, .max_payload_bytes = 63};
    assert_int_equal(packetiser_init(&p, &small), CODEC_ERR_SUPPORT);
}

static const struct {
    const char *name;
    enum codec codec;
    const char *frame;
    size_t len;
    int err;
} bad_frames[] = {
    {"H.264 length past the end", CODEC_H264, BYTES("\0\0\0\3\x65x"), CODEC_ERR_SHORT},
    {"H.264 length cut", CODEC_H264, BYTES("\0\0\0\1\x65\0\0"), CODEC_ERR_SHORT},
    {"H.264 with nothing in it", CODEC_H264, BYTES(""), CODEC_OK},
    {"H.264 of a delimiter only", CODEC_H264, BYTES("\0\0\0\2\x09\x10"), CODEC_OK},
    {"H.265 unit of one byte", CODEC_H265, BYTES("\0\0\0\1\x26"), CODEC_OK},
    {"VP8 empty", CODEC_VP8, BYTES(""), CODEC_ERR_SHORT},
    {"AV1 size past the end", CODEC_AV1, BYTES("\x32\2x"), CODEC_ERR_SHORT},
    {"AV1 forbidden bit", CODEC_AV1, BYTES("\xb2\1x"), CODEC_ERR_SYNTAX},
    {"AV1 of a delimiter only", CODEC_AV1, BYTES("\x12\0"), CODEC_OK},
    {"Opus empty", CODEC_OPUS, BYTES(""), CODEC_ERR_SHORT},
    {"AAC empty", CODEC_AAC, BYTES(""), CODEC_ERR_SHORT},
};

static void frames_that_cannot_be_sent_give_no_payload(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(bad_frames); i++) {
        uint8_t *exact = exact_dup(bad_frames[i].frame, bad_frames[i].len);
        struct packetise_frame f = {.data = exact, .len = bad_frames[i].len, .keyframe = true};
        struct packetiser p;
        uint8_t buf[PACKETISE_PAYLOAD_DEFAULT_BYTES];
        bool last;

        print_message("  %s\n", bad_frames[i].name);
        assert_int_equal(packetiser_init(&p, &(struct packetiser_cfg){.codec = bad_frames[i].codec}),
                         CODEC_OK);
        assert_int_equal(packetise_next(&p, buf, sizeof(buf), &last), 0); /* before any begin */
        assert_int_equal(packetise_begin(&p, &f), bad_frames[i].err);
        assert_int_equal(packetise_next(&p, buf, sizeof(buf), &last), 0);
        free(exact);
    }
}

static void large_audio_is_refused_where_it_cannot_be_cut(void **state)
{
    static const uint8_t large[9000];
    struct packetiser p;

    (void)state;
    assert_int_equal(packetiser_init(&p, &(struct packetiser_cfg){.codec = CODEC_OPUS}), CODEC_OK);
    assert_int_equal(packetise_begin(&p, &(struct packetise_frame){.data = large, .len = 1161}),
                     CODEC_ERR_SUPPORT);
    assert_int_equal(packetiser_init(&p, &(struct packetiser_cfg){.codec = CODEC_AAC}), CODEC_OK);
    assert_int_equal(packetise_begin(&p, &(struct packetise_frame){.data = large, .len = 8192}),
                     CODEC_ERR_SYNTAX);
    assert_int_equal(packetise_begin(&p, &(struct packetise_frame){.data = large, .len = 8191}), CODEC_OK);
}

static void noise_never_breaks_a_depacketiser(void **state)
{
    static char text[1 << 16];
    uint64_t noise = 4711;

    (void)state;
    for (enum codec codec = CODEC_H264; codec < CODEC_COUNT; codec++) {
        struct depacketiser *d;
        struct depacketiser_cfg cfg = {
            .codec = codec, .max_frame_bytes = 512, .on_frame = note_frame, .arg = text};
        uint64_t seq = 1, ts = 0;
        assert_int_equal(depacketiser_create(&d, &cfg), CODEC_OK);
        for (unsigned i = 0; i < 20000; i++) {
            uint8_t bytes[40];
            size_t len = noise_next(&noise) % sizeof(bytes);
            for (size_t b = 0; b < len; b++)
                bytes[b] = (uint8_t)noise_next(&noise);
            uint32_t dice = noise_next(&noise);
            seq += dice % 16 ? 1 : 2;
            ts += dice % 5 ? 0 : 3000;
            uint8_t *exact = exact_dup(bytes, len);
            struct depacketise_packet p = {exact, len, ts, seq, dice % 7 == 0};
            depacketise_push(d, &p);
            free(exact);
            text[0] = '\0';
        }
        depacketiser_destroy(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_script_gives_its_frames),
        cmocka_unit_test(a_frame_above_the_limit_is_lost_alone),
        cmocka_unit_test(after_a_reset_any_sequence_number_may_come),
        cmocka_unit_test(what_cannot_be_made_is_refused),
        cmocka_unit_test(frames_that_cannot_be_sent_give_no_payload),
        cmocka_unit_test(large_audio_is_refused_where_it_cannot_be_cut),
        cmocka_unit_test(noise_never_breaks_a_depacketiser),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
