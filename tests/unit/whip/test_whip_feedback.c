/* SPDX-License-Identifier: Apache-2.0
 * test_whip_feedback.c - what a publisher is told: what is missing, keyframes, reports, arrivals. */
#include "media_scene.h"

/* ---- Feedback ---------------------------------------------------------------------------------- */

static bool find_rtcp(const struct fixture *f, size_t i, uint8_t type, uint8_t count, struct rtcp_packet *out)
{
    struct rtcp_walk walk = rtcp_walk_init(f->rtcp[i], f->rtcp_len[i]);

    while (rtcp_walk_next(&walk, out) > 0)
        if (out->type == type && (count == 255 || out->count == count))
            return true;
    return false;
}

static void a_lost_number_is_asked_for(void **state)
{
    struct fixture f;
    struct rtcp_packet p;
    struct rtcp_nack nack;
    uint16_t seq;

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 65534, 9000, true, H264_SLICE, 3);
    video(&f, 1, 18000, true, H264_SLICE, 3);
    f.now_us += 20000;
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    assert_true(find_rtcp(&f, 0, RTCP_RTPFB, RTCP_RTPFB_NACK, &p));
    assert_int_equal(rtcp_nack_parse(&nack, &p), RTCP_OK);
    assert_int_equal(nack.media_ssrc, VIDEO_SSRC);
    assert_true(rtcp_nack_next(&nack, &seq));
    assert_int_equal(seq, 65535);
    assert_true(rtcp_nack_next(&nack, &seq));
    assert_int_equal(seq, 0);
    assert_false(rtcp_nack_next(&nack, &seq));
    fixture_fini(&f);
}

static void a_keyframe_is_asked_for_once_until_the_round_trip_is_over(void **state)
{
    struct fixture f;
    struct rtcp_packet p;
    struct rtcp_pli pli;

    (void)state;
    fixture_init(&f, CODEC_H264);
    whip_media_need_keyframe(f.media, 0, 0); /* audio has none */
    whip_media_need_keyframe(f.media, 1, 0);
    assert_true(whip_media_due_us(f.media) <= f.now_us);
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    assert_true(find_rtcp(&f, 0, RTCP_PSFB, RTCP_PSFB_PLI, &p));
    assert_int_equal(rtcp_pli_parse(&pli, &p), RTCP_OK);
    assert_int_equal(pli.media_ssrc, VIDEO_SSRC);
    whip_media_need_keyframe(f.media, 1, 0);
    f.now_us += 100000;
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    f.now_us += 400000;
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 2);
    fixture_fini(&f);
}

static void a_keyframe_too_long_ago_is_asked_for_while_media_comes(void **state)
{
    struct fixture f;
    struct whip_media_counters c = {0};

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SPS, 4);
    f.now_us += 3900000;
    video(&f, 11, 12000, true, H264_SLICE, 3);
    whip_media_poll(f.media, f.now_us);
    whip_media_count(f.media, &c);
    assert_int_equal(c.plis, 0);
    f.now_us += 200000;
    whip_media_poll(f.media, f.now_us);
    f.now_us += 5000000; /* silence */
    whip_media_poll(f.media, f.now_us);
    c = (struct whip_media_counters){0};
    whip_media_count(f.media, &c);
    assert_int_equal(c.plis, 1);
    fixture_fini(&f);
}

static void reports_come_each_second_with_a_block_a_source(void **state)
{
    struct fixture f;
    struct rtcp_packet p;
    struct rtcp_report r;
    uint8_t sr[64];
    struct writer w = writer_init(sr, sizeof(sr));

    (void)state;
    fixture_init(&f, CODEC_H264);
    video(&f, 10, 9000, true, H264_SLICE, 3);
    deliver(&f,
            &(struct sent){
                .pt = AUDIO_PT, .ssrc = AUDIO_SSRC, .seq = 1, .ts = 1, .payload = "\x78", .payload_len = 1});
    struct rtcp_report sender = {
        .sender = true, .ssrc = VIDEO_SSRC, .ntp = ntp_of_unix_us(f.unix_us), .ts_ticks = 9000};
    rtcp_report_write(&w, &sender);
    whip_media_on_rtcp(f.media, sr, writer_len(&w), f.now_us, f.unix_us);
    f.now_us += 1100000;
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    assert_true(find_rtcp(&f, 0, RTCP_RR, 255, &p));
    assert_int_equal(rtcp_report_parse(&r, &p), RTCP_OK);
    assert_int_equal(r.block_count, 2);
    for (int i = 0; i < 2; i++) {
        assert_true(r.blocks[i].ssrc == (i ? VIDEO_SSRC : AUDIO_SSRC));
        assert_int_equal(r.blocks[i].lost_total, 0);
        assert_int_equal(r.blocks[i].lsr != 0, i == 1);
    }
    assert_in_range(r.blocks[1].dlsr, 65536, 65536 * 12 / 10);
    assert_true(find_rtcp(&f, 0, RTCP_SDES, 255, &p));
    assert_true(whip_media_due_us(f.media) > f.now_us + 400000);
    fixture_fini(&f);
}

static void arrivals_are_told_each_100_ms(void **state)
{
    struct fixture f;
    struct rtcp_packet p;
    struct rtcp_twcc twcc;
    struct rtcp_twcc_arrival a;
    size_t n = 0, received = 0;

    (void)state;
    fixture_init(&f, CODEC_VP8);
    for (uint16_t i = 0; i < 20; i++) {
        uint8_t seq[2] = {0xff, (uint8_t)(0xf8 + i)}, block[8];
        struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), false);

        rtp_ext_transport_cc_write(seq, (uint16_t)(0xfff8 + i));
        rtp_ext_write(&w, 3, seq, 2);
        int len = rtp_ext_writer_finish(&w);
        if (i == 5)
            continue; /* lost */
        deliver(&f, &(struct sent){.pt = VIDEO_PT,
                                   .ssrc = VIDEO_SSRC,
                                   .seq = (uint16_t)(i - (i > 5)),
                                   .ts = i * 3000u,
                                   .marker = true,
                                   .payload = "\x10\x11\0\0",
                                   .payload_len = 4,
                                   .ext = block,
                                   .ext_len = (size_t)len});
    }
    assert_int_equal(f.n_rtcp, 0);
    f.now_us += 100000;
    assert_true(whip_media_due_us(f.media) <= f.now_us);
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    assert_true(find_rtcp(&f, 0, RTCP_RTPFB, RTCP_RTPFB_TWCC, &p));
    assert_int_equal(rtcp_twcc_parse(&twcc, &p), RTCP_OK);
    assert_int_equal(twcc.base_seq, 0xfff8);
    while (rtcp_twcc_next(&twcc, &a)) {
        assert_int_equal(a.seq, (uint16_t)(0xfff8 + n));
        assert_int_equal(a.received, n != 5);
        received += a.received;
        n++;
    }
    assert_int_equal(n, 20);
    assert_int_equal(received, 19);
    f.now_us += 200000; /* nothing new: nothing more */
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_rtcp, 1);
    fixture_fini(&f);
}

/* 24 packets of 1,000 bytes a second each 10 ms, of which the path carries half: each arrives 10 ms later than the one before. */
static void a_publisher_without_transport_cc_gets_remb(void **state)
{
    static char payload[1000] = "\x10\x11\0\0";
    struct fixture f;
    struct rtcp_packet p;
    struct rtcp_remb remb = {0};
    uint32_t ssrc = 0;
    uint64_t least_bps = UINT64_MAX;

    (void)state;
    fixture_init(&f, CODEC_VP8);
    f.media->tracks[1].cfg.ext_id[RTP_EXT_TRANSPORT_CC] = 0;
    f.media->tracks[1].cfg.ext_id[RTP_EXT_ABS_SEND_TIME] = 3;
    for (uint16_t i = 0; i < 100; i++) {
        uint8_t time[3], block[8];
        struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), false);

        rtp_ext_abs_send_time_write(time, i * 10000u);
        rtp_ext_write(&w, 3, time, sizeof(time));
        int len = rtp_ext_writer_finish(&w);
        deliver(&f, &(struct sent){.pt = VIDEO_PT, .ssrc = VIDEO_SSRC, .seq = i, .ts = i * 900u, .marker = true,
                                   .payload = payload, .payload_len = sizeof(payload), .ext = block, .ext_len = (size_t)len});
        f.now_us += 19000;
        packet_unref(&f.packets[--f.n_packets]);
        if (whip_media_due_us(f.media) > f.now_us)
            continue;
        f.n_rtcp = 0;
        whip_media_poll(f.media, f.now_us);
        for (size_t k = 0; k < f.n_rtcp; k++)
            if (find_rtcp(&f, k, RTCP_PSFB, RTCP_PSFB_AFB, &p) && rtcp_remb_parse(&remb, &p) == RTCP_OK) {
                least_bps = remb.bitrate_bps < least_bps ? remb.bitrate_bps : least_bps;
                assert_true(rtcp_remb_next(&remb, &ssrc));
                assert_int_equal(ssrc, VIDEO_SSRC);
            }
    }
    assert_in_range(least_bps, 250000, 450000); /* of the 412 kbit/s that arrive, 0.85 */
    fixture_fini(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_publisher_without_transport_cc_gets_remb),
        cmocka_unit_test(a_lost_number_is_asked_for),
        cmocka_unit_test(a_keyframe_is_asked_for_once_until_the_round_trip_is_over),
        cmocka_unit_test(a_keyframe_too_long_ago_is_asked_for_while_media_comes),
        cmocka_unit_test(reports_come_each_second_with_a_block_a_source),
        cmocka_unit_test(arrivals_are_told_each_100_ms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
