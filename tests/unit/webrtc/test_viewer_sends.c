/* SPDX-License-Identifier: Apache-2.0
 * test_viewer_sends.c - what a viewer is sent, packet by packet, and answers to what it says: reports, RTX, transport-wide numbers,
 * messages that are filled up, RED, the pacer. */
#include "viewer_scene.h"
#include "unit/io/count_alloc.h"
#include "wire/rtcp.h"

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

static void of_a_datagram_that_asks_for_thousands_the_first_five_hundred_are_looked_for(void **state)
{
    enum { ASKED = 1020 };
    struct fixture *f = *state;
    uint8_t buf[512];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtc_viewer_facts facts;
    uint16_t seqs[ASKED];

    live_viewer(f);
    for (uint16_t i = 0; i < ASKED; i++)
        seqs[i] = (uint16_t)(f->t->sent[1].view.seq + i);
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), seqs, ASKED / 2), ASKED / 2);
    assert_int_equal(rtcp_nack_write(&w, 1, rtc_viewer_ssrc(f->v, CODEC_KIND_VIDEO), seqs + ASKED / 2, ASKED / 2), ASKED / 2);
    feed(f, &w);
    rtc_viewer_facts(f->v, &facts);
    assert_int_equal(facts.sent[0].nacked, 512);
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

/* ---- transport-cc --------------------------------------------------------------------------------------------------- */

static void numbered_viewer(struct fixture *f)
{
    numbered_viewer_not_live(f);
    live_viewer(f);
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

/* ---- the hot path -------------------------------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FIXTURE(sender_reports_of_both_tracks_are_of_one_clock),
        IN_FIXTURE(sender_reports_leave_with_pictures_or_alone),
        IN_FIXTURE(a_nack_is_answered_by_rtx_from_the_cache),
        IN_FIXTURE(of_a_datagram_that_asks_for_thousands_the_first_five_hundred_are_looked_for),
        IN_FIXTURE(pli_and_fir_go_upstream_as_one),
        IN_FIXTURE(malformed_rtcp_is_counted_and_does_nothing),
        IN_FIXTURE(all_that_leaves_has_the_next_transport_wide_number),
        IN_FIXTURE(fragments_are_filled_up_so_that_sound_is_in_the_same_message),
        IN_FIXTURE(nothing_is_filled_up_that_may_be_sent_again_as_it_was),
        IN_FIXTURE(audio_that_has_no_rtx_is_not_sent_again_with_another_number),
        IN_FIXTURE(red_is_sent_to_who_wants_it),
        IN_FIXTURE(feedback_tells_what_arrives),
        IN_FIXTURE(a_frame_that_is_larger_than_the_burst_is_spaced),
        IN_FIXTURE(ten_thousand_packets_allocate_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
