/* SPDX-License-Identifier: Apache-2.0
 * test_stamp.c - how delay is measured, and a publisher that was stopped for a while. */
#include "load/pacer.h"
#include "unit/io/loop.h"

#include <stdlib.h>
#include <string.h>

enum { PAST = 30, INTERVAL_US = 33333, SENT_US = 1000, T0_US = 1700000000 };

/* A stamp after PAST frames without, each sent SENT_US late. */
static size_t write_stamp(uint8_t nal[STAMP_NAL_MAX_BYTES], unsigned n_past)
{
    struct stamp_past past = {0};

    for (unsigned i = 0; i < n_past; i++)
        stamp_past_push(&past, &(struct stamp_frame){(uint64_t)i * INTERVAL_US, (uint64_t)T0_US + i * INTERVAL_US + SENT_US});
    size_t len = stamp_write(nal, &(struct stamp_frame){(uint64_t)n_past * INTERVAL_US, (uint64_t)T0_US + n_past * INTERVAL_US + SENT_US}, &past);
    assert_int_equal(past.n, 0);
    return len;
}

static bool find(const uint8_t *bytes, size_t len, struct stamp *s)
{
    uint8_t *copy = malloc(len ? len : 1);

    memcpy(copy, bytes, len);
    bool found = stamp_find(copy, len, s);
    free(copy);
    return found;
}

static void a_stamp_is_found_where_a_relay_puts_it(void **state)
{
    uint8_t nal[STAMP_NAL_MAX_BYTES], frame[100 + STAMP_NAL_MAX_BYTES];
    size_t len = write_stamp(nal, 0);
    struct stamp s;

    (void)state;
    for (size_t at = 0; at <= 100; at += 25) {
        memset(frame, 0x41, sizeof(frame));
        memcpy(frame + at, nal, len);
        assert_true(find(frame, 100 + len, &s));
        assert_int_equal(s.sent_us, T0_US + SENT_US);
        assert_int_equal(s.n_past, 0);
    }
    assert_false(find(frame, 100 + 20, &s)); /* cut */
    assert_false(find(frame, 0, &s));
    frame[100 + 3 + 16 + 2] = 'x';
    assert_false(find(frame, 100 + len, &s));
}

static void a_stamp_needs_no_emulation_prevention_and_fits_a_packet(void **state)
{
    uint8_t nal[STAMP_NAL_MAX_BYTES];

    (void)state;
    for (unsigned n = 0; n <= STAMP_PAST_MAX + 5; n++) {
        size_t len = write_stamp(nal, n), size = 0, at = 2;
        assert_true(len <= 800);
        assert_int_equal(nal[0] & 0x1f, 6);
        while (nal[at] == 255)
            size += nal[at++];
        size += nal[at++];
        assert_int_equal(at + size + 1, len);
        for (size_t i = 0; i + 2 < len; i++)
            assert_false(nal[i] == 0 && nal[i + 1] == 0 && nal[i + 2] <= 3);
    }
}

static void the_past_is_told_as_far_as_it_is_there(void **state)
{
    uint8_t nal[STAMP_NAL_MAX_BYTES];
    size_t len = write_stamp(nal, PAST);
    struct stamp s;

    (void)state;
    assert_true(find(nal, len, &s));
    assert_int_equal(s.n_past, PAST);
    for (unsigned i = 0; i < PAST; i++) {
        assert_int_equal(s.past[i].pts_before_us, (PAST - i) * INTERVAL_US);
        assert_int_equal(s.past[i].sent_us, T0_US + i * INTERVAL_US + SENT_US);
    }
    assert_true(find(nal, len - 1 - STAMP_PAST_BYTES - 1, &s));
    assert_int_equal(s.n_past, PAST - 2);
    write_stamp(nal, STAMP_PAST_MAX + 3);
    assert_true(find(nal, sizeof(nal), &s));
    assert_int_equal(s.n_past, STAMP_PAST_MAX);
    /* One of long ago, and one that is shown after this one. */
    struct stamp_past past = {0};
    stamp_past_push(&past, &(struct stamp_frame){0, 5});
    stamp_past_push(&past, &(struct stamp_frame){30000000 + INTERVAL_US, 29999000});
    len = stamp_write(nal, &(struct stamp_frame){30000000, 30000000}, &past);
    assert_true(find(nal, len, &s));
    assert_int_equal(s.n_past, 1);
    assert_int_equal(s.past[0].pts_before_us, -INTERVAL_US);
    assert_int_equal(s.past[0].sent_us, 29999000);
}

struct scene {
    struct stamp_arrivals arrivals;
    struct stamp_firsts firsts;
    struct histogram delay_us, first_us;
};

/* A viewer gets PAST frames, each later than the one before, by another clock's whole milliseconds, and then a stamped one. n_past: what that tells. */
static void view(struct scene *s, unsigned n_past, uint64_t more_us, uint64_t shift_us)
{
    struct stamp_counts counts = {&s->delay_us, &s->firsts, &s->first_us};
    uint8_t nal[STAMP_NAL_MAX_BYTES];
    struct stamp stamp;
    uint64_t ts_us = 0;

    s->arrivals = (struct stamp_arrivals){0};
    for (unsigned i = 0; i <= PAST; i++) {
        ts_us = shift_us + ((uint64_t)i * INTERVAL_US + 500) / 1000 * 1000;
        if (i < PAST && i != 3) /* that one was lost */
            stamp_arrivals_push(&s->arrivals, ts_us, (uint64_t)T0_US + i * INTERVAL_US + SENT_US + 100 * i + more_us);
    }
    size_t len = write_stamp(nal, PAST);
    assert_true(find(nal, len, &stamp));
    stamp.n_past = n_past;
    struct stamp_arrival frame = {ts_us, stamp.sent_us + 77000};
    stamp_count(&s->arrivals, &stamp, &frame, &counts, 5000000);
}

static void frames_between_stamps_are_measured_by_their_timestamps(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    (void)state;
    view(s, PAST, 0, 987654321);
    assert_int_equal(s->delay_us.count, PAST - 1); /* the stamped one is not, as it is more than the others are */
    assert_int_equal(s->delay_us.max, 100 * (PAST - 1));
    assert_int_equal(s->delay_us.sum, 100 * (PAST - 1) * PAST / 2 - 300);
    view(s, PAST, 5000, 5); /* another viewer, later */
    assert_int_equal(s->delay_us.count, 2 * (PAST - 1));
    stamp_firsts_settle(&s->firsts, &s->first_us, 5900000, false);
    assert_int_equal(s->first_us.count, 0);
    stamp_firsts_settle(&s->firsts, &s->first_us, 6000000, false);
    assert_int_equal(s->first_us.count, PAST - 1);
    assert_int_equal(s->first_us.max, 100 * (PAST - 1));
    stamp_firsts_settle(&s->firsts, &s->first_us, 9000000, true);
    assert_int_equal(s->first_us.count, PAST - 1);
    free(s);
}

static void without_a_past_the_stamped_frame_is_measured(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    (void)state;
    view(s, 0, 0, 1);
    assert_int_equal(s->delay_us.count, 1);
    assert_int_equal(s->delay_us.max, 77000);
    stamp_firsts_settle(&s->firsts, &s->first_us, 0, true);
    assert_int_equal(s->first_us.count, 1);
    free(s);
}

static void a_full_set_tells_of_its_oldest(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));
    struct stamp_counts counts = {&s->delay_us, &s->firsts, &s->first_us};

    (void)state;
    for (unsigned i = 1; i <= 3 * STAMP_FIRSTS; i++) {
        struct stamp stamp = {.sent_us = (uint64_t)i * INTERVAL_US};
        stamp_count(&s->arrivals, &stamp, &(struct stamp_arrival){1, stamp.sent_us + i}, &counts, i);
    }
    assert_true(s->first_us.count >= 2 * STAMP_FIRSTS);
    stamp_firsts_settle(&s->firsts, &s->first_us, 0, true);
    assert_int_equal(s->first_us.count, 3 * STAMP_FIRSTS);
    assert_int_equal(s->first_us.sum, s->delay_us.sum);
    free(s);
}

/* ---- The publisher ------------------------------------------------------------------------------------------ */

enum { FRAMES = 12, KEY_EVERY = 5, STEP_US = 2000, STOPPED_US = 700000 };

struct publisher {
    struct test_loop loop;
    struct pacer pacer;
    struct tally tally;
    struct media_source media;
    struct media_frame frames[FRAMES];
    uint8_t bytes[FRAMES][8];
    uint64_t last_us, resumed_us;
    unsigned sent;
};

static void on_frame(void *arg, const struct media_frame *f, uint64_t round_us)
{
    struct publisher *p = arg;
    uint64_t at_us = round_us + f->dts_us;

    assert_true(p->sent == 0 || at_us > p->last_us);
    p->sent++;
    if (p->sent == 9) { /* as if the process had been stopped then */
        p->pacer.start_us -= STOPPED_US;
    } else if (p->sent == 10) {
        assert_true(f->keyframe);
        p->resumed_us = at_us - p->last_us;
    } else if (p->sent == 20) {
        worker_stop(p->loop.w);
    }
    p->last_us = at_us;
}

static void a_publisher_that_was_stopped_goes_on_with_a_keyframe_at_that_time(void **state)
{
    struct publisher *p = calloc(1, sizeof(*p));

    (void)state;
    test_loop_init(&p->loop);
    for (unsigned i = 0; i < FRAMES; i++)
        p->frames[i] = (struct media_frame){.data = p->bytes[i], .len = 8, .dts_us = i * STEP_US, .pts_us = i * STEP_US, .video = true,
                                            .keyframe = i % KEY_EVERY == 0};
    p->media = (struct media_source){.frames = p->frames, .n_frames = FRAMES, .duration_us = FRAMES * STEP_US, .has_video = true};
    assert_int_equal(pacer_start(&p->pacer, p->loop.w, &p->media, 3, &p->tally, on_frame, p), 0);
    test_loop_run(&p->loop);
    assert_true(p->resumed_us >= STOPPED_US);
    assert_true(p->resumed_us < STOPPED_US + 400000); /* and not a whole round more */
    pacer_stop(&p->pacer);
    test_loop_fini(&p->loop);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stamp_is_found_where_a_relay_puts_it),
        cmocka_unit_test(a_stamp_needs_no_emulation_prevention_and_fits_a_packet),
        cmocka_unit_test(the_past_is_told_as_far_as_it_is_there),
        cmocka_unit_test(frames_between_stamps_are_measured_by_their_timestamps),
        cmocka_unit_test(without_a_past_the_stamped_frame_is_measured),
        cmocka_unit_test(a_full_set_tells_of_its_oldest),
        cmocka_unit_test(a_publisher_that_was_stopped_goes_on_with_a_keyframe_at_that_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
