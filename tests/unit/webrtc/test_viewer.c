/* SPDX-License-Identifier: Apache-2.0
 * test_viewer.c - a viewer between a real router and a transport that only keeps what it is given. */
#include "fake_transport.h"

#include "router/router.h"
#include "unit/io/count_alloc.h"
#include "unit/io/loop.h"
#include "webrtc/viewer.h"
#include "wire/rtcp.h"

#include <stdlib.h>
#include <string.h>

enum { HZ = 90000, VIDEO = 1, AUDIO = 0, FRAME_TICKS = 3000, PACKETS_A_FRAME = 3 };

static const struct rtc_viewer_media AUDIO_MEDIA = {.n_payloads = 1, .payloads = {{CODEC_OPUS, 0, 111, 0, 0, 0}}};
static const struct rtc_viewer_media VIDEO_MEDIA = {
    .n_payloads = 4,
    .payloads = {{CODEC_VP8, 0, 96, 97, 0, 0}, {CODEC_H264, 0x42001f, 102, 103, 1, 0}, {CODEC_H264, 0x64001f, 104, 105, 0, 0},
                 {CODEC_H264, 0x64001f, 106, 107, 1, 0}},
};

struct fixture {
    struct test_loop loop;
    struct router_set *routers;
    struct router *r;
    struct producer producer;
    struct pool *pool;
    struct rtc_viewer *v;
    struct rtc_transport *t;
    uint64_t epoch, n_video, n_audio; /* packets so far in this epoch */
    unsigned keyframes_wanted, tracks_told, playable, ends, closed;
    enum stream_end why;
};

static struct fixture *F; /* for the producer's callbacks, which have no argument */

static void on_want(struct producer *p, uint64_t want)
{
    (void)p;
    (void)want;
}

static void on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    (void)p;
    assert_int_equal(track, VIDEO);
    assert_int_equal(layer, 0);
    F->keyframes_wanted++;
}

static void ignore_router(void *arg, struct router *r)
{
    (void)arg;
    (void)r;
}

static const struct producer_ops producer_ops = {on_want, on_keyframe};

static void on_tracks(void *arg, bool playable)
{
    struct fixture *f = arg;

    f->tracks_told++;
    f->playable += playable;
}

static void on_end(void *arg, enum stream_end why)
{
    struct fixture *f = arg;

    f->ends++;
    f->why = why;
}

static void on_closed(void *arg, enum rtc_close why, const char *detail)
{
    struct fixture *f = arg;

    assert_int_equal(why, RTC_CLOSE_CONSENT);
    assert_string_equal(detail, "");
    f->closed++;
    rtc_viewer_destroy(&f->v);
}

static const struct rtc_viewer_ops viewer_ops = {on_tracks, on_end, on_closed};

static void create_viewer(struct fixture *f)
{
    struct rtc_viewer_cfg cfg = {.endpoint = fake_endpoint(f->loop.w), .audio = &AUDIO_MEDIA, .video = &VIDEO_MEDIA,
                                 .ops = &viewer_ops, .arg = f};

    assert_int_equal(rtc_viewer_create(&f->v, &cfg), 0);
    f->t = fake_transport();
}

static int set_up(void **state)
{
    struct fixture *f = F = calloc(1, sizeof(*f));
    struct router_set_cfg cfg = {.cache = {.cap_bytes = 1 << 25, .cap_packets = 16384, .cap_us = 10000000}, .linger_us = 10000000,
                                 .on_demand = ignore_router, .on_idle = ignore_router};

    assert_non_null(f);
    test_loop_init(&f->loop);
    assert_int_equal(router_set_create(&f->routers, f->loop.w, &cfg), 0);
    assert_int_equal(packet_pool_create(&f->pool, 20000), 0);
    f->r = router_open(f->routers, "live/test");
    assert_non_null(f->r);
    create_viewer(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    rtc_viewer_destroy(&f->v);
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, false);
    router_set_destroy(&f->routers);
    test_loop_fini(&f->loop);
    pool_destroy(&f->pool);
    free(f);
    return 0;
}

/* ---- the stream ------------------------------------------------------------------------------------------- */

static void publish(struct fixture *f, enum codec video, enum codec audio, uint32_t profile)
{
    struct track_set set = {.epoch = ++f->epoch, .n = 2};

    set.v[AUDIO] = (struct track){.codec = audio, .clock_hz = 48000, .channels = 2, .n_layers = 1};
    set.v[VIDEO] = (struct track){.codec = video, .clock_hz = HZ, .n_layers = 1, .profile = profile};
    f->producer = (struct producer){.ops = &producer_ops, .kind = "test"};
    f->n_video = f->n_audio = 0;
    router_publish(f->r, &f->producer, &set);
}

static struct packet *make(struct fixture *f, unsigned track, uint64_t mark)
{
    struct packet *p = packet_create(f->pool);

    assert_non_null(p);
    p->track = (uint8_t)track;
    p->payload_len = 500;
    memset(p->bytes, 0, p->payload_len);
    memcpy(p->bytes, &mark, sizeof(mark));
    return p;
}

/* The next frame: three packets; its mark is the packet's number in the epoch. */
static void push_frame(struct fixture *f, bool key)
{
    uint64_t frame = f->n_video / PACKETS_A_FRAME;

    for (uint64_t i = 0; i < PACKETS_A_FRAME; i++) {
        struct packet *p = make(f, VIDEO, f->n_video);
        p->seq = PACKET_SEQ_FIRST + f->epoch * 1000 + f->n_video++;
        p->ts_ticks = (f->epoch << 33) + frame * FRAME_TICKS;
        p->capture_us = f->epoch * 1000000000 + frame * 33333;
        p->flags = (uint8_t)((key ? PACKET_KEYFRAME : 0) | (i == 0 ? PACKET_FRAME_START : 0) |
                             (i + 1 == PACKETS_A_FRAME ? PACKET_FRAME_END | PACKET_MARKER : 0));
        router_push(f->r, p);
    }
}

static void push_audio(struct fixture *f)
{
    struct packet *p = make(f, AUDIO, f->n_audio);

    p->seq = PACKET_SEQ_FIRST + f->n_audio;
    p->ts_ticks = (f->epoch << 33) + f->n_audio * 960;
    p->capture_us = f->epoch * 1000000000 + f->n_audio++ * 20000;
    p->flags = PACKET_FRAME_START | PACKET_FRAME_END;
    router_push(f->r, p);
}

static void turn(struct fixture *f)
{
    test_loop_run_for(&f->loop, 1000);
}

static enum rtc_viewer_state state_of(const struct fixture *f)
{
    struct rtc_viewer_facts facts;

    rtc_viewer_facts(f->v, &facts);
    return facts.state;
}

static void live_viewer(struct fixture *f)
{
    publish(f, CODEC_VP8, CODEC_OPUS, 0);
    router_ready(&f->producer);
    rtc_viewer_play(f->v, f->r);
    fake_connect(f->t);
    push_frame(f, true);
    turn(f);
    push_frame(f, false);
    turn(f);
    assert_int_equal(state_of(f), RTC_VIEWER_LIVE);
}

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

/* ---- reports and feedback ---------------------------------------------------------------------------------------- */

static void sender_reports_of_both_tracks_are_of_one_clock(void **state)
{
    struct fixture *f = *state;
    struct rtcp_report sr[2];
    struct rtcp_cname name[2];
    struct rtcp_packet p;
    unsigned n_sr = 0, n_name = 0;

    live_viewer(f);
    for (int i = 0; i < 3; i++) {
        push_frame(f, false);
        push_audio(f);
        push_audio(f);
        turn(f);
    }
    test_loop_run_for(&f->loop, 150000); /* the first is due in 50 to 100 ms, the second 250 ms after it */
    assert_int_equal(f->t->n_rtcp, 1);
    assert_int_equal(rtcp_compound_check(f->t->rtcp[0], f->t->rtcp_len[0], false), RTCP_OK);
    struct rtcp_walk walk = rtcp_walk_init(f->t->rtcp[0], f->t->rtcp_len[0]);
    while (rtcp_walk_next(&walk, &p) > 0) {
        if (p.type == RTCP_SR)
            assert_int_equal(rtcp_report_parse(&sr[n_sr++], &p), RTCP_OK);
        else
            assert_int_equal(rtcp_sdes_parse(&name[n_name++], &p), RTCP_OK);
    }
    assert_int_equal(n_sr, 2);
    assert_int_equal(n_name, 2);
    assert_int_equal(sr[0].ssrc, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO));
    assert_int_equal(sr[1].ssrc, rtc_viewer_ssrc(f->v, CODEC_KIND_AUDIO));
    assert_int_equal(name[0].ssrc, sr[0].ssrc);
    assert_int_equal(name[1].ssrc, sr[1].ssrc);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(name[i].name_len, strlen(rtc_viewer_cname(f->v)));
        assert_memory_equal(name[i].name, rtc_viewer_cname(f->v), name[i].name_len);
    }
    assert_int_equal(sr[0].packets, 15);
    assert_int_equal(sr[1].packets, 6);
    assert_int_equal(sr[1].octets, 3000);
    /* Captured at the epoch's start is the first packet of either: extrapolate both to that. */
    uint64_t video_us = ntp_to_unix_us(sr[0].ntp), audio_us = ntp_to_unix_us(sr[1].ntp);
    uint32_t video_first = 0, audio_first = 0;
    for (size_t i = 0; i < f->t->n_sent; i++) {
        const struct fake_rtp *s = &f->t->sent[i];
        if (s->mark == 0 && s->view.pt == 96)
            video_first = s->view.ts_ticks;
        if (s->mark == 0 && s->view.pt == 111)
            audio_first = s->view.ts_ticks;
    }
    int64_t video_0 = (int64_t)video_us - (int64_t)(uint32_t)(sr[0].ts_ticks - video_first) * 1000 / 90;
    int64_t audio_0 = (int64_t)audio_us - (int64_t)(uint32_t)(sr[1].ts_ticks - audio_first) * 1000 / 48;
    assert_in_range(video_0 - audio_0 + 1000, 0, 2000);
}

static void report_at(const struct rtc_transport *t, size_t n, struct rtcp_report *sr)
{
    struct rtcp_walk walk = rtcp_walk_init(t->rtcp[n], t->rtcp_len[n]);
    struct rtcp_packet p;

    assert_true(rtcp_walk_next(&walk, &p) > 0);
    assert_int_equal(rtcp_report_parse(sr, &p), RTCP_OK);
}

/* From 800 ms after the last one on with a picture, of whose moment they are then; where none can take them or none comes, within 1.1 s
 * all the same. */
static void sender_reports_leave_with_pictures_or_alone(void **state)
{
    struct fixture *f = *state;
    struct rtcp_report sr;

    live_viewer(f);
    for (int i = 0; i < 200 && f->t->n_rtcp < 2; i++)
        test_loop_run_for(&f->loop, 10000);
    uint64_t second_us = worker_now_us(f->loop.w);
    assert_int_equal(f->t->n_rtcp, 2);
    f->t->joins = true;
    push_frame(f, false);
    turn(f);
    bool early = worker_now_us(f->loop.w) - second_us < 790000;
    assert_true(!early || f->t->n_rtcp == 2);
    test_loop_run_for(&f->loop, 830000);
    push_frame(f, false);
    turn(f);
    assert_int_equal(f->t->n_rtcp, 3);
    report_at(f->t, 2, &sr);
    const struct fake_rtp *last = &f->t->sent[f->t->n_sent - 1];
    if (worker_now_us(f->loop.w) - second_us < 1040000) { /* not alone, on a machine that is late */
        assert_int_equal(sr.ts_ticks, last->view.ts_ticks);
        assert_in_range(ntp_to_unix_us(sr.ntp) + 1 - (f->epoch * 1000000000 + (f->n_video / PACKETS_A_FRAME - 1) * 33333), 0, 2);
    }
    assert_int_equal(sr.packets, f->n_video);
    f->t->joins = false;
    for (int i = 0; i < 9; i++) {
        test_loop_run_for(&f->loop, 100000);
        push_frame(f, false);
    }
    turn(f);
    test_loop_run_for(&f->loop, 220000);
    assert_int_equal(f->t->n_rtcp, 4);
}

static void feed(struct fixture *f, struct writer *w)
{
    assert_false(w->bad);
    fake_rtcp(f->t, w->start, writer_len(w));
}

static void a_nack_is_answered_by_rtx_from_the_cache(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtc_viewer_facts facts;

    live_viewer(f);
    uint16_t seqs[] = {f->t->sent[1].view.seq, f->t->sent[2].view.seq, (uint16_t)(f->t->sent[5].view.seq + 3)};
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), seqs, 3), 3);
    feed(f, &w);
    assert_int_equal(f->t->n_sent, 8);
    for (int i = 0; i < 2; i++) {
        const struct fake_rtp *again = &f->t->sent[6 + i];
        assert_int_equal(again->view.ssrc, rtc_viewer_rtx_ssrc(f->v, CODEC_KIND_VIDEO));
        assert_int_equal(again->view.pt, 97);
        assert_int_equal(again->mark, 1 + i);
    }
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.sent[0].nacked, 3);
    assert_int_equal(facts.sent[0].resent, 2);
    assert_int_equal(facts.sent[0].resend_gone, 1);
    assert_int_equal(facts.bad_rtcp, 0);
}

static void pli_and_fir_go_upstream_as_one(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[256];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtc_viewer_facts facts;

    live_viewer(f);
    unsigned before = f->keyframes_wanted;
    test_loop_run_for(&f->loop, KEYFRAME_GATE_US + 20000);
    uint32_t ssrc = rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO);
    rtcp_pli_write(&w, &(struct rtcp_pli){1, ssrc});
    rtcp_pli_write(&w, &(struct rtcp_pli){1, ssrc});
    rtcp_fir_write(&w, 1, ssrc, 7);
    rtcp_pli_write(&w, &(struct rtcp_pli){1, rtc_viewer_ssrc(f->v, CODEC_KIND_AUDIO)}); /* nonsense, but well-formed */
    feed(f, &w);
    assert_int_equal(f->keyframes_wanted, before + 1);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.keyframes_asked, 3);
    assert_int_equal(facts.bad_rtcp, 0);
}

static void malformed_rtcp_is_counted_and_does_nothing(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
    } rows[] = {
        {"empty", "", 0},
        {"half a header", "\x81\xc8", 2},
        {"version 1", "\x41\xc9\0\1" "\0\0\0\1", 8},
        {"length past the end", "\x80\xc9\0\5" "\0\0\0\1", 8},
        {"one block promised, none there", "\x81\xc9\0\1" "\0\0\0\1", 8},
        {"NACK without media source", "\x81\xcd\0\1" "\0\0\0\1", 8},
        {"FIR cut in an entry", "\x84\xce\0\3" "\0\0\0\1" "\0\0\0\0" "\0\0\0\2", 16},
    };
    struct fixture *f = *state;
    struct rtc_viewer_facts facts;

    live_viewer(f);
    for (size_t i = 0; i < LEN(rows); i++) {
        print_message("  %s\n", rows[i].name);
        fake_rtcp(f->t, (const uint8_t *)rows[i].bytes, rows[i].len);
        rtc_viewer_facts(f->v, &facts);
        assert_int_equal(facts.bad_rtcp, i + 1);
        assert_int_equal(f->t->n_sent, 6);
    }
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

/* ---- the hot path ------------------------------------------------------------------------------------------------------ */

/* ---- transport-cc --------------------------------------------------------------------------------------------------- */

static void numbered_viewer_not_live(struct fixture *f)
{
    struct rtc_viewer_media audio = AUDIO_MEDIA, video = VIDEO_MEDIA;
    struct rtc_viewer_cfg cfg = {.endpoint = fake_endpoint(f->loop.w), .audio = &audio, .video = &video,
                                 .ops = &viewer_ops, .arg = f};

    audio.ext_id[RTP_EXT_TRANSPORT_CC] = video.ext_id[RTP_EXT_TRANSPORT_CC] = FAKE_TRANSPORT_CC_ID;
    rtc_viewer_destroy(&f->v);
    assert_int_equal(rtc_viewer_create(&f->v, &cfg), 0);
    f->t = fake_transport();
}

static void numbered_viewer(struct fixture *f)
{
    numbered_viewer_not_live(f);
    live_viewer(f);
}

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

static void all_that_leaves_has_the_next_transport_wide_number(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));

    numbered_viewer(f);
    push_audio(f);
    turn(f);
    uint16_t asked = f->t->sent[1].view.seq;
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), &asked, 1), 1);
    feed(f, &w);
    push_frame(f, false);
    turn(f);
    assert_int_equal(f->t->n_sent, 6 + 1 + 1 + 3);
    assert_int_equal(f->t->sent[7].view.ssrc, rtc_viewer_rtx_ssrc(f->v, CODEC_KIND_VIDEO));
    for (size_t i = 0; i < f->t->n_sent; i++) {
        assert_true(f->t->sent[i].transport_seq >= 0);
        assert_int_equal(f->t->sent[i].transport_seq, (uint16_t)(f->t->sent[0].transport_seq + (int)i));
    }
}

/* A frame of fragments so long, and sound in the same turn, which comes first. */
static void push_fragments_and_sound(struct fixture *f, const uint16_t *bytes, size_t n)
{
    push_audio(f);
    for (size_t i = 0; i < n; i++) {
        struct packet *p = make(f, VIDEO, f->n_video);
        p->seq = PACKET_SEQ_FIRST + f->epoch * 1000 + f->n_video;
        p->ts_ticks = (f->epoch << 33) + f->n_video++ / PACKETS_A_FRAME * FRAME_TICKS;
        p->flags = (uint8_t)(i + 1 == n ? PACKET_FRAME_END | PACKET_MARKER : 0);
        p->payload_len = bytes[i];
        memset(p->bytes + 8, 0x55, bytes[i] - 8u);
        router_push(f->r, p);
    }
    turn(f);
}

static void fragments_are_filled_up_so_that_sound_is_in_the_same_message(void **state)
{
    static const struct {
        const char *name;
        uint16_t bytes[3], sent[3]; /* payloads, and with padding */
    } rows[] = {
        {"the last one is a little shorter", {900, 900, 891}, {900, 900, 900}},
        {"the last one is much shorter", {900, 900, 600}, {900, 900, 600}},
        {"equal but for a byte, as browsers cut them", {899, 899, 900}, {900, 900, 900}},
        {"one of another size", {700, 900, 880}, {700, 900, 900}},
    };
    struct fixture *f = *state;

    numbered_viewer(f);
    for (size_t row = 0; row < LEN(rows); row++) {
        size_t from = f->t->n_sent;
        print_message("  %s\n", rows[row].name);
        push_fragments_and_sound(f, rows[row].bytes, 3);
        assert_int_equal(f->t->n_sent, from + 4);
        for (size_t i = 0; i < 3; i++) {
            const struct fake_rtp *sent = &f->t->sent[from + i];
            assert_int_equal(sent->view.payload_len, rows[row].bytes[i]); /* the padding is none of it */
            assert_int_equal(sent->len - RTP_HEADER_BYTES - 4 - sent->view.ext_len, rows[row].sent[i]);
            assert_int_equal(sent->view.pt, 96);
        }
        assert_int_equal(f->t->sent[from + 3].view.pt, 111);
    }
}

/* What is asked for again leaves under the same index, and must be the same bytes. */
static void nothing_is_filled_up_that_may_be_sent_again_as_it_was(void **state)
{
    struct fixture *f = *state;
    const uint16_t bytes[] = {900, 900, 891};

    live_viewer(f);
    size_t from = f->t->n_sent;
    push_fragments_and_sound(f, bytes, 3);
    assert_int_equal(f->t->n_sent, from + 4);
    assert_int_equal(f->t->sent[from + 2].view.payload_len, 891);
    assert_int_equal(f->t->sent[from + 2].len, RTP_HEADER_BYTES + 891);
}

static void audio_that_has_no_rtx_is_not_sent_again_with_another_number(void **state)
{
    struct fixture *f = *state;
    uint8_t buf[64];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtc_viewer_facts facts;

    numbered_viewer(f);
    push_audio(f);
    turn(f);
    uint16_t asked = f->t->sent[6].view.seq;
    assert_int_equal(f->t->sent[6].view.pt, 111);
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_AUDIO), &asked, 1), 1);
    feed(f, &w);
    assert_int_equal(f->t->n_sent, 7);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.sent[1].resend_refused, 1);
}

/* RED is Opus and the Opus before it, taken from the cache; it is in the message of the pictures before it as plain Opus is. */
static void red_is_sent_to_who_wants_it(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_media audio = AUDIO_MEDIA;
    struct rtc_viewer_cfg cfg = {.endpoint = fake_endpoint(f->loop.w), .audio = &audio, .video = &VIDEO_MEDIA,
                                 .ops = &viewer_ops, .arg = f};
    const uint16_t bytes[] = {1100, 1100, 1100};

    audio.payloads[0].red_pt = 63;
    rtc_viewer_destroy(&f->v);
    assert_int_equal(rtc_viewer_create(&f->v, &cfg), 0);
    f->t = fake_transport();
    live_viewer(f);
    push_audio(f);
    turn(f);
    assert_int_equal(f->t->n_sent, 7);
    assert_int_equal(f->t->sent[6].view.pt, 63);
    assert_int_equal(f->t->sent[6].len, RTP_HEADER_BYTES + 1 + 500); /* there was none before it */
    push_audio(f);
    push_audio(f); /* two in a turn: the second carries the first */
    turn(f);
    assert_int_equal(f->t->n_sent, 9);
    for (size_t i = 7; i < 9; i++) {
        assert_int_equal(f->t->sent[i].view.pt, 63);
        assert_int_equal(f->t->sent[i].len, RTP_HEADER_BYTES + 5 + 500 + 500);
        assert_int_equal(f->t->sent[i].view.seq, (uint16_t)(f->t->sent[i - 1].view.seq + 1));
        assert_int_equal(f->t->sent[i].view.ts_ticks, f->t->sent[i - 1].view.ts_ticks + 960);
    }
    push_fragments_and_sound(f, bytes, 3);
    assert_int_equal(f->t->n_sent, 9 + 4);
    assert_int_equal(f->t->sent[12].view.pt, 63); /* behind the pictures, and shorter: it ends their message */
}

static void feedback_tells_what_arrives(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_facts facts;
    struct rtcp_twcc_arrival arrivals[6];
    uint8_t buf[128];
    struct writer w = writer_init(buf, sizeof(buf));

    numbered_viewer(f);
    rtc_viewer_facts(f->v, &facts);
    assert_string_equal(facts.path, "no feedback");
    for (int i = 0; i < 6; i++)
        arrivals[i] = (struct rtcp_twcc_arrival){.arrival_us = 64000000 + i * 60000,
                                                 .seq = (uint16_t)(f->t->sent[0].transport_seq + i), .received = true};
    assert_int_equal(rtcp_twcc_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), 0, arrivals, 6), 6);
    feed(f, &w);
    rtc_viewer_facts(f->v, &facts);
    assert_string_equal(facts.path, "normal");
    assert_true(facts.acked_bps > 0 && facts.target_bps >= facts.acked_bps);
    assert_int_equal(facts.bad_rtcp, 0);
}

/* 16 KiB leave at once; more than that is spaced, in its order, none of it lost. */
static void a_frame_that_is_larger_than_the_burst_is_spaced(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_facts facts;

    numbered_viewer(f);
    size_t before = f->t->n_sent;
    for (int i = 0; i < 40; i++) /* 60 KB in one turn */
        push_frame(f, false);
    turn(f);
    size_t at_once = f->t->n_sent - before;
    /* The burst, and not all: on a machine that stalls within the turn the pacer's clock has moved on. */
    assert_in_range(at_once, 16384 / 540, 40 * PACKETS_A_FRAME - 1);
    for (int i = 0; i < 200; i++)
        turn(f);
    assert_int_equal(f->t->n_sent - before, 40 * PACKETS_A_FRAME);
    for (size_t i = 0; i < f->t->n_sent; i++)
        assert_int_equal(f->t->sent[i].mark, i);
    rtc_viewer_facts(f->v, &facts);
    assert_in_range(facts.paced_us, 1000, 100000);
}

/* ---- over TCP -------------------------------------------------------------------------------------------------------- */

static void a_viewer_that_does_not_read_goes_on_with_the_next_keyframe(void **state)
{
    struct fixture *f = *state;
    struct rtc_viewer_facts facts;

    live_viewer(f);
    uint16_t last = f->t->sent[f->t->n_sent - 1].view.seq;
    uint32_t last_ts = f->t->sent[f->t->n_sent - 1].view.ts_ticks;
    size_t before = f->t->n_sent;
    f->t->behind = true;
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

static void ten_thousand_packets_allocate_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t sent;

    live_viewer(f);
    for (int i = 0; i < 3400; i++) /* the pool's slabs and the cache's rings come now */
        push_frame(f, i % 100 == 0);
    turn(f);
    sent = f->t->n_sent;
    size_t before = count_allocs();
    for (int i = 0; i < 3400; i++) {
        push_frame(f, i % 100 == 0);
        if (i % 50 == 49)
            turn(f);
    }
    turn(f);
    assert_int_equal(count_allocs() - before, 0);
    assert_int_equal(f->t->n_sent - sent, 3400 * PACKETS_A_FRAME);
}

#define IN_FIXTURE(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)

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
        IN_FIXTURE(sender_reports_of_both_tracks_are_of_one_clock),
        IN_FIXTURE(sender_reports_leave_with_pictures_or_alone),
        IN_FIXTURE(a_nack_is_answered_by_rtx_from_the_cache),
        IN_FIXTURE(pli_and_fir_go_upstream_as_one),
        IN_FIXTURE(malformed_rtcp_is_counted_and_does_nothing),
        IN_FIXTURE(a_new_epoch_with_another_codec_plays_on_in_the_same_stream),
        IN_FIXTURE(a_stream_that_cannot_be_had_is_told),
        IN_FIXTURE(the_transports_end_is_told_and_leaves_the_router),
        IN_FIXTURE(what_an_answer_does_not_take_is_not_sent),
        IN_FIXTURE(all_that_leaves_has_the_next_transport_wide_number),
        IN_FIXTURE(fragments_are_filled_up_so_that_sound_is_in_the_same_message),
        IN_FIXTURE(nothing_is_filled_up_that_may_be_sent_again_as_it_was),
        IN_FIXTURE(audio_that_has_no_rtx_is_not_sent_again_with_another_number),
        IN_FIXTURE(red_is_sent_to_who_wants_it),
        IN_FIXTURE(feedback_tells_what_arrives),
        IN_FIXTURE(a_frame_that_is_larger_than_the_burst_is_spaced),
        IN_FIXTURE(a_viewer_that_does_not_read_goes_on_with_the_next_keyframe),
        IN_FIXTURE(ten_thousand_packets_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
