/* SPDX-License-Identifier: Apache-2.0
 * test_viewer.c - the life of a viewer: its tracks, its start, new epochs, its end. */
#include "viewer_scene.h"
#include "wire/rtcp.h"

/* ---- which tracks ------------------------------------------------------------------------------------------ */

static void the_payload_type_that_fits_a_track_best_is_found(void **state)
{
    static const struct {
        const char *name;
        struct track track;
        int at;
    } rows[] = {
        {"the only VP8", {.codec = CODEC_VP8}, 0},
        {"same profile, mode 1", {.codec = CODEC_H264, .profile = 0x64002a}, 3},
        {"baseline", {.codec = CODEC_H264, .profile = 0x42c01f}, 1},
        {"main is contained in high", {.codec = CODEC_H264, .profile = 0x4d401f}, 3},
        {"unknown profile: mode 1 that is preferred", {.codec = CODEC_H264}, 1},
        {"a profile nobody offered: decoders go by what is in the stream", {.codec = CODEC_H264, .profile = 0x7a001f}, 1},
        {"not offered", {.codec = CODEC_AV1}, -1},
        {"not offered audio", {.codec = CODEC_AAC}, -1},
    };

    (void)state;
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        assert_int_equal(rtc_payload_find(&VIDEO_MEDIA, &rows[i].track), rows[i].at);
    }
}

static void only_what_is_played_is_wanted(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_VP8, CODEC_AAC, 0);
    rtc_viewer_play(f->v, f->r);
    assert_int_equal(router_want(f->r), want_bit(VIDEO, 0));
    assert_int_equal(f->tracks_told, 1);
    assert_int_equal(f->playable, 1);
}

static void nothing_in_common_is_said_so(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_AV1, CODEC_AAC, 0);
    rtc_viewer_play(f->v, f->r);
    assert_int_equal(f->tracks_told, 1);
    assert_int_equal(f->playable, 0);
    assert_int_equal(router_want(f->r), 0);
}

static void tracks_that_come_later_are_told_then(void **state)
{
    struct fixture *f = *state;

    rtc_viewer_play(f->v, f->r);
    turn(f);
    assert_int_equal(f->tracks_told, 0);
    publish(f, CODEC_H264, CODEC_OPUS, 0x64001f);
    assert_int_equal(f->tracks_told, 1);
    assert_int_equal(f->playable, 1);
    assert_int_equal(router_want(f->r), want_bit(VIDEO, 0) | want_bit(AUDIO, 0));
}

/* ---- beginning ------------------------------------------------------------------------------------------------ */

static void a_viewer_of_a_stream_without_keyframe_asks_for_one_and_begins_there(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    router_ready(&f->producer);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    assert_int_equal(f->keyframes_wanted, 1);
    assert_int_equal(state_of(f), RTC_VIEWER_WAITING);
    push_frame(f, false);
    push_audio(f);
    turn(f);
    assert_int_equal(f->t->n_sent, 1); /* sound does not wait */
    assert_int_equal(f->t->sent[0].view.pt, 111);
    push_frame(f, true);
    turn(f);
    assert_int_equal(f->t->n_sent, 4);
    assert_int_equal(f->t->sent[1].mark, 3);
    assert_int_equal(f->t->sent[1].view.pt, 96);
    assert_int_equal(f->t->sent[3].view.marker, true);
    push_frame(f, false);
    turn(f);
    assert_int_equal(state_of(f), RTC_VIEWER_LIVE);
    assert_int_equal(f->t->n_sent, 7);
}

static void nothing_is_sent_before_the_connection_and_the_routers_word(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    push_frame(f, true); /* the past: it fills the cache */
    turn(f);
    assert_int_equal(f->t->n_sent, 0);
    assert_int_equal(state_of(f), RTC_VIEWER_IDLE);
    router_ready(&f->producer);
    turn(f);
    assert_int_equal(f->t->n_sent, 3);
    assert_int_equal(f->t->sent[0].mark, 0);
}

/* Joins 30 frames after a keyframe: gets them from the cache in a fourth of their time, with timestamps to match, then
 * what is new; nothing twice, nothing left out, and reports only then. */
static void a_late_viewer_catches_up_from_the_cache(void **state)
{
    struct fixture *f = *state;
    uint64_t start_us;

    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    router_ready(&f->producer);
    push_frame(f, false);
    push_frame(f, true);
    for (int i = 0; i < 30; i++)
        push_frame(f, false);
    turn(f);
    rtc_viewer_play(f->v, f->r);
    start_us = worker_now_us(f->loop.w);
    fake_connect(f->t);
    assert_int_equal(state_of(f), RTC_VIEWER_CATCHING_UP);
    assert_int_equal(f->t->n_sent, PACKETS_A_FRAME);
    for (int i = 0; i < 15; i++) { /* live goes on */
        test_loop_run_for(&f->loop, 33000);
        push_frame(f, false);
        push_audio(f);
    }
    turn(f);
    assert_int_equal(state_of(f), RTC_VIEWER_LIVE);
    uint64_t mark = PACKETS_A_FRAME, n_video = 0;
    for (size_t i = 0; i < f->t->n_sent; i++) {
        const struct fake_rtp *p = &f->t->sent[i];
        if (p->view.pt == 111)
            continue;
        assert_int_equal(p->mark, mark++);
        assert_int_equal((uint16_t)(p->view.seq - f->t->sent[0].view.seq), n_video++);
        /* said of it and sent go together: never before its time, and after it by what a busy machine takes */
        int64_t said_us = (int64_t)(uint32_t)(p->view.ts_ticks - f->t->sent[0].view.ts_ticks) * 100 / 9;
        if (said_us < 240000)
            assert_in_range((int64_t)(p->at_us - start_us) - said_us + 1000, 0, 100000);
    }
    assert_int_equal(mark, f->n_video);
    test_loop_run_for(&f->loop, 400000);
    assert_true(f->t->n_rtcp >= 2);
}

static void audio_of_the_past_is_not_sent(void **state)
{
    struct fixture *f = *state;

    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    router_ready(&f->producer);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    push_frame(f, true);
    for (int i = 0; i < 29; i++)
        push_frame(f, false); /* 30 frames: a second of video */
    for (int i = 0; i < 50; i++)
        push_audio(f); /* the track begins now, with a second of the past */
    turn(f);
    size_t audio = 0, first = 0;
    for (size_t i = 0; i < f->t->n_sent; i++)
        if (f->t->sent[i].view.pt == 111 && audio++ == 0)
            first = f->t->sent[i].mark;
    assert_int_equal(first, 41); /* 820 ms: 150 ms before the last frame, at 967 ms */
    assert_int_equal(audio, 50 - 41);
}

/* ---- epochs and the end --------------------------------------------------------------------------------------------- */

static void a_new_epoch_with_another_codec_plays_on_in_the_same_stream(void **state)
{
    struct fixture *f = *state;

    live_viewer(f);
    const struct fake_rtp last = f->t->sent[5];
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, STREAM_UNPUBLISHED);
    assert_int_equal(state_of(f), RTC_VIEWER_IDLE);
    test_loop_run_for(&f->loop, 50000);
    publish(f, CODEC_H264, CODEC_OPUS, 0x64001f);
    router_ready(&f->producer);
    assert_int_equal(f->playable, 2);
    push_frame(f, true);
    turn(f);
    assert_int_equal(f->t->n_sent, 9);
    const struct fake_rtp *next = &f->t->sent[6];
    assert_int_equal(next->view.ssrc, last.view.ssrc);
    assert_int_equal(next->view.pt, 106);
    assert_int_equal(next->view.seq, (uint16_t)(last.view.seq + 1));
    assert_int_equal(next->index, last.index + 1);
    uint32_t passed = (uint32_t)((next->at_us - last.at_us) * 9 / 100);
    assert_in_range(next->view.ts_ticks - last.view.ts_ticks + 2 - passed, 0, 4);
}

static void a_stream_that_cannot_be_had_is_told(void **state)
{
    struct fixture *f = *state;

    rtc_viewer_play(f->v, f->r);
    router_refuse(f->r, STREAM_UNKNOWN);
    assert_int_equal(f->ends, 1);
    assert_int_equal(f->why, STREAM_UNKNOWN);
}

static void the_transports_end_is_told_and_leaves_the_router(void **state)
{
    struct fixture *f = *state;

    live_viewer(f);
    assert_int_equal(router_consumers(f->r, "whep"), 1);
    fake_close(f->t, RTC_CLOSE_CONSENT);
    assert_int_equal(f->closed, 1);
    assert_null(f->v);
    assert_null(fake_transport());
    assert_int_equal(router_consumers(f->r, "whep"), 0);
    push_frame(f, false);
    turn(f);
}

/* ---- its answer, its connection -------------------------------------------------------------------------- */

/* Our counter-offer has more in it than this player's answer takes. */
static void what_an_answer_does_not_take_is_not_sent(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_media video = VIDEO_MEDIA;
    struct rtc_viewer_facts facts;
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));

    video.payloads[0].rtx_pt = 0;
    numbered_viewer_not_live(f);
    assert_int_equal(rtc_viewer_narrow(f->v, &AUDIO_MEDIA, &video), 0);
    live_viewer(f);
    uint16_t asked = f->t->sent[1].view.seq;
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), &asked, 1), 1);
    feed(f, &w);
    assert_int_equal(f->t->n_sent, 7);
    assert_int_equal(f->t->sent[6].view.seq, asked); /* as it was, not by RTX */
    assert_int_equal(f->t->sent[6].index, f->t->sent[1].index);
    for (size_t i = 0; i < f->t->n_sent; i++)
        assert_int_equal(f->t->sent[i].transport_seq, -1);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.bad_rtcp, 0);
}

static void a_viewer_that_does_not_read_goes_on_with_the_next_keyframe(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_facts facts;

    live_viewer(f);
    uint16_t last = f->t->sent[f->t->n_sent - 1].view.seq;
    uint32_t last_ts = f->t->sent[f->t->n_sent - 1].view.ts_ticks;
    size_t before = f->t->n_sent;
    f->t->tcp = f->t->behind = true;
    push_frame(f, false);
    push_frame(f, true); /* still behind: of no use to it */
    push_audio(f);
    turn(f);
    assert_int_equal(f->t->n_sent - before, 1);
    assert_int_equal(f->t->sent[before].view.pt, 111); /* sound goes on */
    f->t->behind = false;
    unsigned asked = f->keyframes_wanted, frames = 3; /* with the one it goes on with */
    while (f->keyframes_wanted == asked) { /* the router's gate lets one through a second */
        assert_true(frames++ < 3000);
        push_frame(f, false);
        turn(f);
    }
    assert_int_equal(f->t->n_sent - before, 1);
    push_frame(f, true);
    push_frame(f, false);
    turn(f);
    assert_int_equal(f->t->n_sent - before, 1 + 2 * PACKETS_A_FRAME);
    assert_int_equal(f->t->sent[before + 1].view.seq, (uint16_t)(last + 1)); /* nothing is missing that it could ask for */
    assert_in_range(f->t->sent[before + 1].view.ts_ticks - last_ts, frames * FRAME_TICKS - 90, frames * FRAME_TICKS + 90);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.skips, 1);
    assert_int_equal(facts.state, RTC_VIEWER_LIVE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_payload_type_that_fits_a_track_best_is_found),
        IN_FIXTURE(only_what_is_played_is_wanted),
        IN_FIXTURE(nothing_in_common_is_said_so),
        IN_FIXTURE(tracks_that_come_later_are_told_then),
        IN_FIXTURE(a_viewer_of_a_stream_without_keyframe_asks_for_one_and_begins_there),
        IN_FIXTURE(nothing_is_sent_before_the_connection_and_the_routers_word),
        IN_FIXTURE(a_late_viewer_catches_up_from_the_cache),
        IN_FIXTURE(audio_of_the_past_is_not_sent),
        IN_FIXTURE(a_new_epoch_with_another_codec_plays_on_in_the_same_stream),
        IN_FIXTURE(a_stream_that_cannot_be_had_is_told),
        IN_FIXTURE(the_transports_end_is_told_and_leaves_the_router),
        IN_FIXTURE(what_an_answer_does_not_take_is_not_sent),
        IN_FIXTURE(a_viewer_that_does_not_read_goes_on_with_the_next_keyframe),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
