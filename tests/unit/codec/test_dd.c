/* SPDX-License-Identifier: Apache-2.0
 * test_dd.c - the AV1 dependency descriptor (AV1 RTP specification A.8), written bit by bit as its syntax
 * tables have it. */
#include "unit/wire/exact.h"

#include "base/compiler.h"
#include "codec/dd.h"

/* A string of '0' and '1', other characters between them for the eye, padded to bytes. */
static size_t bits_of(const char *text, uint8_t *dst)
{
    size_t n = 0;

    for (; *text; text++) {
        if (*text != '0' && *text != '1')
            continue;
        if (n % 8 == 0)
            dst[n / 8] = 0;
        dst[n / 8] |= (uint8_t)((*text - '0') << (7 - n % 8));
        n++;
    }
    return (n + 7) / 8;
}

/* Parse what the text spells, from a block of exactly its size. */
static int parse(struct dd_frame *f, struct dd_structure *s, const char *text)
{
    uint8_t bytes[256];
    size_t n = bits_of(text, bytes);
    uint8_t *exact = exact_dup(bytes, n);
    int err = dd_parse(f, s, exact, n);

    free(exact);
    return err;
}

/* start, end, template id, frame number; then: structure, active targets, custom dtis, fdiffs, chains */
#define WHOLE "1 1 "
#define NUMBER_256 "0000000100000000 "
#define WITH_STRUCTURE "1 0 0 0 0 "

/* L1T2: offset 5, two targets; three templates: key T0, T0, T1 */
#define L1T2_LAYERS "000101 00001  00 01 11 "
#define L1T2_DTIS "10 10  10 11  00 01 " /* S S, S R, - D */
#define L1T2_FDIFFS "0  1 0001 0  1 0000 0 "
#define L1T2_CHAINS "10  0000 0010 0001 " /* ns(3): 1 chain; ns(1) takes no bits */
#define L1T2_SIZE "1 0000001001111111 0000000101100111 " /* 640 x 360 */
#define L1T2 L1T2_LAYERS L1T2_DTIS L1T2_FDIFFS L1T2_CHAINS L1T2_SIZE

static void a_keyframe_brings_its_structure(void **state)
{
    struct dd_structure s = {0};
    struct dd_frame f;

    (void)state;
    assert_int_equal(parse(&f, &s, WHOLE "000101 " NUMBER_256 WITH_STRUCTURE L1T2), CODEC_OK);
    assert_true(f.start_of_frame && f.end_of_frame && f.has_structure && f.has_active_targets);
    assert_int_equal(f.frame_number, 256);
    assert_int_equal(f.template_id, 5);
    assert_int_equal(f.active_targets, 3);
    assert_int_equal(f.width, 640);
    assert_int_equal(f.height, 360);
    assert_int_equal(f.frame.fdiff_count, 0);
    assert_int_equal(f.frame.chain_fdiffs[0], 0);
    assert_true(s.valid);
    assert_int_equal(s.template_id_offset, 5);
    assert_int_equal(s.template_count, 3);
    assert_int_equal(s.target_count, 2);
    assert_int_equal(s.chain_count, 1);
    assert_int_equal(s.resolution_count, 1);
    assert_int_equal(s.target_temporal[0], 0);
    assert_int_equal(s.target_temporal[1], 1);
    assert_int_equal(s.templates[2].temporal_id, 1);
    assert_int_equal(s.templates[1].fdiffs[0], 2);
}

static void later_frames_refer_to_its_templates(void **state)
{
    struct dd_structure s = {0};
    struct dd_frame f;

    (void)state;
    assert_int_equal(parse(&f, &s, WHOLE "000101 " NUMBER_256 WITH_STRUCTURE L1T2), CODEC_OK);
    assert_int_equal(parse(&f, &s, "1 0 000111 0000000100000001"), CODEC_OK); /* three bytes */
    assert_true(f.start_of_frame && !f.end_of_frame && !f.has_structure && !f.has_active_targets);
    assert_int_equal(f.frame_number, 257);
    assert_int_equal(f.frame.temporal_id, 1);
    assert_int_equal(f.frame.fdiff_count, 1);
    assert_int_equal(f.frame.fdiffs[0], 1);
    assert_int_equal(f.frame.dti[0], DD_NOT_PRESENT);
    assert_int_equal(f.frame.dti[1], DD_DISCARDABLE);
    assert_int_equal(f.frame.chain_fdiffs[0], 1);
    assert_int_equal(f.width, 640);
}

static void a_frame_overrides_its_template(void **state)
{
    struct dd_structure s = {0};
    struct dd_frame f;

    (void)state;
    assert_int_equal(parse(&f, &s, WHOLE "000101 " NUMBER_256 WITH_STRUCTURE L1T2), CODEC_OK);
    assert_int_equal(parse(&f, &s,
                           WHOLE "000110 " NUMBER_256 "0 1 1 1 1 " /* active targets and all customs */
                                 "01  11 10  01 0011 11 111111111111 00  11111111"),
                     CODEC_OK);
    assert_true(f.has_active_targets);
    assert_int_equal(f.active_targets, 1);
    assert_int_equal(f.frame.dti[0], DD_REQUIRED);
    assert_int_equal(f.frame.dti[1], DD_SWITCH);
    assert_int_equal(f.frame.fdiff_count, 2);
    assert_int_equal(f.frame.fdiffs[0], 4);
    assert_int_equal(f.frame.fdiffs[1], 4096);
    assert_int_equal(f.frame.chain_fdiffs[0], 255);
    assert_int_equal(s.templates[1].fdiff_count, 1); /* the template stays */
}

static void spatial_layers_have_their_own_sizes_and_chains(void **state)
{
    static const char text[] =
        WHOLE "000001 " NUMBER_256 WITH_STRUCTURE "000000 00010  10 10 11 " /* three targets; S0, S1, S2 */
        "10 10 10  00 10 10  00 00 10  0  1 0000 0  1 0000 0 "
        "10  0 1 1  0000 0000  0001 0001  0010 0010 " /* two chains */
        "1 0000000010011111 0000000001011001 0000000100111111 0000000010110011 "
        "0000001001111111 0000000101100111";
    struct dd_structure s = {0};
    struct dd_frame f;

    (void)state;
    assert_int_equal(parse(&f, &s, text), CODEC_OK);
    assert_int_equal(s.chain_count, 2);
    assert_int_equal(s.target_chain[0], 0);
    assert_int_equal(s.target_chain[1], 1);
    assert_int_equal(s.target_chain[2], 1);
    assert_int_equal(s.target_spatial[0], 0);
    assert_int_equal(s.target_spatial[1], 1);
    assert_int_equal(s.target_spatial[2], 2);
    assert_int_equal(s.resolution_count, 3);
    assert_int_equal(s.widths[0], 160);
    assert_int_equal(s.heights[2], 360);
    assert_int_equal(f.frame.spatial_id, 1);
    assert_int_equal(f.width, 320);
    assert_int_equal(f.frame.chain_fdiffs[1], 1);
}

static const struct {
    const char *name, *bits;
    int err;
} bad[] = {
    {"nothing", "", CODEC_ERR_SHORT},
    {"two bytes", "1100000000000000", CODEC_ERR_SHORT},
    {"template of no structure", "1 1 000100 0000000100000000", CODEC_ERR_SYNTAX},
    {"template beyond the structure", "1 1 001000 0000000100000000", CODEC_ERR_SYNTAX},
    {"structure cut", WHOLE "000101 " NUMBER_256 WITH_STRUCTURE L1T2_LAYERS, CODEC_ERR_SHORT},
    {"layers that never end", WHOLE "000101 " NUMBER_256 WITH_STRUCTURE "000101 00001 00 00 00 00",
     CODEC_ERR_SHORT},
    {"temporal id 8", WHOLE "000101 " NUMBER_256 WITH_STRUCTURE "000101 00001 01 01 01 01 01 01 01 01 11",
     CODEC_ERR_SYNTAX},
    {"spatial id 4", WHOLE "000101 " NUMBER_256 WITH_STRUCTURE "000101 00001 10 10 10 10 11",
     CODEC_ERR_SYNTAX},
    {"nine references",
     WHOLE "000101 " NUMBER_256
           "0 0 0 1 0  01 0000 01 0000 01 0000 01 0000 01 0000 01 0000 01 0000 01 0000 01 0000 00",
     CODEC_ERR_SYNTAX},
    {"customs cut", WHOLE "000101 " NUMBER_256 "0 0 0 1 0 010", CODEC_ERR_SHORT},
};

static void damaged_descriptors_change_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < LEN(bad); i++) {
        struct dd_structure s = {0}, before;
        struct dd_frame f;
        assert_int_equal(parse(&f, &s, WHOLE "000101 " NUMBER_256 WITH_STRUCTURE L1T2), CODEC_OK);
        before = s;
        f.frame_number = 4711;
        print_message("  %s\n", bad[i].name);
        assert_int_equal(parse(&f, &s, bad[i].bits), bad[i].err);
        assert_int_equal(f.frame_number, 4711);
        assert_memory_equal(&s, &before, sizeof(s));
    }
}

static void before_any_structure_nothing_can_be_told(void **state)
{
    struct dd_structure s = {0};
    struct dd_frame f;

    (void)state;
    assert_int_equal(parse(&f, &s, "1 1 000101 0000000100000000"), CODEC_ERR_SUPPORT);
}

static void noise_is_parsed_or_refused_but_never_over_read(void **state)
{
    struct dd_structure s = {0};
    uint64_t noise = 3;

    (void)state;
    for (unsigned round = 0; round < 100000; round++) {
        uint8_t bytes[80];
        size_t len = noise_next(&noise) % sizeof(bytes);
        struct dd_frame f;
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)noise_next(&noise);
        if (len > 3)
            bytes[3] |= 0x80; /* mostly with a structure */
        uint8_t *exact = exact_dup(bytes, len);
        (void)!dd_parse(&f, &s, exact, len);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_keyframe_brings_its_structure),
        cmocka_unit_test(later_frames_refer_to_its_templates),
        cmocka_unit_test(a_frame_overrides_its_template),
        cmocka_unit_test(spatial_layers_have_their_own_sizes_and_chains),
        cmocka_unit_test(damaged_descriptors_change_nothing),
        cmocka_unit_test(before_any_structure_nothing_can_be_told),
        cmocka_unit_test(noise_is_parsed_or_refused_but_never_over_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
