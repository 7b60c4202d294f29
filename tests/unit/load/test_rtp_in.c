/* SPDX-License-Identifier: Apache-2.0
 * test_rtp_in.c - what a simulated viewer does about loss: asks again, takes retransmissions, counts, tells arrivals; and what it
 * makes of packets that are not meant for it. The server's SRTP is real; what the viewer says is caught. */
#include "load/rtp_in.h"
#include "unit/io/loop.h"
#include "wire/rtp_write.h"

#include <stdlib.h>
#include <string.h>

enum { VIDEO_PT = 102, RTX_PT = 103, AUDIO_PT = 111, VIDEO = 1000, RTX = 1001, AUDIO = 2000, FRAME_PACKETS = 4, EXT_CC = 3,
       GIVEN_UP_US = 1500000 };

struct scene {
    struct test_loop loop;
    struct srtp_engine *engine;
    struct srtp_tx *tx; /* the server's */
    struct assoc_shared shared;
    struct assoc assoc;
    struct tally tally;
    struct rtp_in in;
    uint16_t seq, cc;
    unsigned first_packets, keyframes;
    /* What the viewer said. */
    unsigned reports, nacks, plis, feedbacks;
    uint16_t asked[64];
    size_t n_asked, n_arrived, n_missing;
};

static struct scene *S; /* for what is wrapped */

/* ---- What the viewer says ------------------------------------------------------------------------------------ */

static void on_nack(const struct rtcp_packet *p)
{
    struct rtcp_nack nack;
    uint16_t seq;

    assert_int_equal(rtcp_nack_parse(&nack, p), RTCP_OK);
    assert_int_equal(nack.media_ssrc, VIDEO);
    S->nacks++;
    while (rtcp_nack_next(&nack, &seq) && S->n_asked < LEN(S->asked))
        S->asked[S->n_asked++] = seq;
}

static void on_feedback(const struct rtcp_packet *p)
{
    struct rtcp_twcc_arrival a;
    struct rtcp_twcc t;

    assert_int_equal(rtcp_twcc_parse(&t, p), RTCP_OK);
    S->feedbacks++;
    while (rtcp_twcc_next(&t, &a))
        *(a.received ? &S->n_arrived : &S->n_missing) += 1;
}

void __wrap_assoc_send_rtcp(struct assoc *a, uint8_t *bytes, size_t len, size_t cap);

void __wrap_assoc_send_rtcp(struct assoc *a, uint8_t *bytes, size_t len, size_t cap)
{
    struct rtcp_walk walk = rtcp_walk_init(bytes, len);
    struct rtcp_packet p;

    assert_ptr_equal(a, &S->assoc);
    assert_true(len + SRTCP_OVERHEAD_MAX <= cap);
    assert_int_equal(rtcp_compound_check(bytes, len, false), RTCP_OK);
    while (rtcp_walk_next(&walk, &p) == 1) {
        S->reports += p.type == RTCP_RR;
        S->plis += p.type == RTCP_PSFB;
        if (p.type == RTCP_RTPFB && p.count == RTCP_RTPFB_NACK)
            on_nack(&p);
        else if (p.type == RTCP_RTPFB)
            on_feedback(&p);
    }
}

/* ---- What the server sends -------------------------------------------------------------------------------------- */

static void deliver(struct scene *s, const struct rtp_header *h, const void *payload, size_t len)
{
    uint8_t hdr[64], *bytes = malloc(sizeof(hdr) + len + SRTP_TAG_MAX);
    int hdr_len = rtp_header_write(hdr, sizeof(hdr), h);
    uint64_t now_us = worker_now_us(s->loop.w);
    struct srtp_tx_packet p = {.tx = s->tx, .index = h->seq, .hdr = hdr, .hdr_len = (uint16_t)hdr_len, .payload = payload,
                               .payload_len = (uint16_t)len, .dst = bytes};

    assert_non_null(bytes);
    assert_true(hdr_len > 0);
    size_t n = srtp_tx_protect(s->engine, &p);
    rtp_in_on_rtp(&s->in, bytes, n, now_us, worker_unix_us(s->loop.w));
    free(bytes);
}

/* Packet n of the stream, in frames of FRAME_PACKETS; the first frame is a keyframe. as_rtx: it comes again. */
static void send_video(struct scene *s, uint16_t n, bool as_rtx)
{
    uint8_t payload[102] = {(uint8_t)(n >> 8), (uint8_t)n};
    uint8_t cc[] = {EXT_CC << 4 | 1, (uint8_t)(s->cc >> 8), (uint8_t)s->cc, 0};
    bool key = n < FRAME_PACKETS;
    struct rtp_header h = {.ext = cc, .ext_len = sizeof(cc), .ext_profile = RTP_EXT_PROFILE_ONE_BYTE,
                           .ts_ticks = 3000u * (n / FRAME_PACKETS), .ssrc = as_rtx ? RTX : VIDEO, .pt = as_rtx ? RTX_PT : VIDEO_PT,
                           .seq = as_rtx ? s->seq++ : n, .marker = n % FRAME_PACKETS == FRAME_PACKETS - 1};

    s->cc++;
    /* Fragments of one NAL unit: the first begins it, the last ends it. */
    payload[2] = 0x7c;
    payload[3] = (uint8_t)((key ? 5 : 1) | (n % FRAME_PACKETS == 0 ? 0x80 : 0) | (h.marker ? 0x40 : 0));
    payload[4] = 0x88; /* of the first slice of a picture */
    deliver(s, &h, as_rtx ? payload : payload + 2, as_rtx ? sizeof(payload) : sizeof(payload) - 2);
}

static void lose(struct scene *s)
{
    s->cc++;
}

/* ---- The scene ------------------------------------------------------------------------------------------------------ */

static void on_first_packet(void *arg, uint64_t at_us)
{
    (void)at_us;
    ((struct scene *)arg)->first_packets++;
}

static void on_first_keyframe(void *arg, uint64_t at_us)
{
    (void)at_us;
    ((struct scene *)arg)->keyframes++;
}

static void agree(struct scene *s, bool nack)
{
    struct sdp_offer *answer = calloc(1, sizeof(*answer));
    struct sdp_media *m;

    assert_non_null(answer);
    m = &answer->media[0];
    answer->n_media = 2;
    m->kind = SDP_VIDEO;
    m->n_codecs = 1;
    m->codecs[0] = (struct sdp_codec){.codec = CODEC_H264, .pt = VIDEO_PT, .rtx_pt = RTX_PT, .clock_hz = 90000,
                                      .feedback = SDP_FB_TRANSPORT_CC | (nack ? SDP_FB_NACK : 0)};
    m->n_extmaps = 1;
    m->extmaps[0] = (struct sdp_extmap){.kind = RTP_EXT_TRANSPORT_CC, .id = EXT_CC};
    answer->media[1].kind = SDP_AUDIO;
    answer->media[1].n_codecs = 1;
    answer->media[1].codecs[0] = (struct sdp_codec){.codec = CODEC_OPUS, .pt = AUDIO_PT, .clock_hz = 48000, .channels = 2};
    assert_int_equal(rtp_in_agree(&s->in, answer), 0);
    free(answer);
}

static int set_up(void **state)
{
    struct scene *s = S = calloc(1, sizeof(*s));
    struct srtp_master master;

    assert_non_null(s);
    test_loop_init(&s->loop);
    assert_int_equal(srtp_engine_create(&s->engine, SRTP_BACKEND_BEST), 0);
    srtp_master_random(&master, SRTP_PROFILE_GCM_128);
    assert_int_equal(srtp_tx_create(&s->tx, s->engine, &master), 0);
    assert_int_equal(srtp_rx_create(&s->assoc.rx, s->engine, &master), 0);
    s->shared = (struct assoc_shared){.worker = s->loop.w, .srtp = s->engine};
    s->assoc.shared = &s->shared;
    struct rtp_in_cfg cfg = {.assoc = &s->assoc, .tally = &s->tally, .check = 1, .on_first_packet = on_first_packet,
                             .on_first_keyframe = on_first_keyframe, .arg = s};
    rtp_in_init(&s->in, s->loop.w, &cfg);
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    struct scene *s = *state;

    rtp_in_close(&s->in);
    srtp_tx_destroy(&s->tx);
    srtp_rx_destroy(&s->assoc.rx);
    srtp_engine_destroy(&s->engine);
    test_loop_fini(&s->loop);
    free(s);
    return 0;
}

static bool was_asked(const struct scene *s, uint16_t seq)
{
    for (size_t i = 0; i < s->n_asked; i++)
        if (s->asked[i] == seq)
            return true;
    return false;
}

/* ---- Cases ------------------------------------------------------------------------------------------------------------ */

static void what_is_missing_is_asked_for_and_taken_from_rtx(void **state)
{
    struct scene *s = *state;

    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 20; n++)
        n == 7 || n == 8 ? lose(s) : send_video(s, n, false);
    test_loop_run_for(&s->loop, 60000);
    assert_true(was_asked(s, 7) && was_asked(s, 8));
    assert_false(was_asked(s, 6) || was_asked(s, 9));
    assert_true(s->tally.nacks >= 2);
    send_video(s, 7, true);
    send_video(s, 8, true);
    assert_int_equal(s->tally.rtp_recovered, 2);
    assert_int_equal(s->tally.rtp_received, 20);
    assert_int_equal(s->tally.rtp_checked, 20);
    assert_int_equal(s->tally.frames, 5);
    size_t n_asked = s->n_asked;
    test_loop_run_for(&s->loop, 300000);
    assert_int_equal(s->n_asked, n_asked); /* nothing is missing any more */
    assert_int_equal(s->tally.rtp_lost, 0);
    assert_int_equal(s->tally.breaks, 0);
    assert_int_equal(s->plis, 0);
    assert_int_equal(s->first_packets, 1);
    assert_int_equal(s->keyframes, 1);
}

static void what_never_comes_is_lost_breaks_the_picture_and_asks_for_a_keyframe(void **state)
{
    struct scene *s = *state;

    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 40; n++)
        n == 9 ? lose(s) : send_video(s, n, false);
    for (unsigned i = 0; i < GIVEN_UP_US / 100000 && !s->tally.rtp_lost; i++)
        test_loop_run_for(&s->loop, 100000);
    assert_int_equal(s->tally.rtp_lost, 1);
    assert_int_equal(s->tally.rtp_lost_audio, 0);
    test_loop_run_for(&s->loop, 50000);
    assert_int_equal(s->tally.breaks, 1);
    assert_true(s->plis >= 1);
    assert_true(s->tally.nacks >= 2); /* it asked more than once */
}

static void arrivals_are_told_and_what_did_not_arrive(void **state)
{
    struct scene *s = *state;

    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 30; n++)
        n % 10 == 4 ? lose(s) : send_video(s, n, false);
    test_loop_run_for(&s->loop, 300000);
    assert_true(s->feedbacks >= 1);
    assert_int_equal(s->n_arrived, 27);
    assert_int_equal(s->n_missing, 3);
}

static void probes_of_a_payload_type_of_the_servers_own_are_told_too(void **state)
{
    struct scene *s = *state;
    uint8_t cc[] = {EXT_CC << 4 | 1, 0, 2, 0}, nothing[200] = {0};
    struct rtp_header probe = {.ext = cc, .ext_len = sizeof(cc), .ext_profile = RTP_EXT_PROFILE_ONE_BYTE, .ssrc = 1234, .pt = 127, .seq = 9};

    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 2; n++)
        send_video(s, n, false);
    deliver(s, &probe, nothing, sizeof(nothing));
    lose(s); /* its number */
    for (uint16_t n = 2; n < 8; n++)
        send_video(s, n, false);
    test_loop_run_for(&s->loop, 300000);
    assert_int_equal(s->n_arrived, 9);
    assert_int_equal(s->n_missing, 0);
    assert_int_equal(s->tally.rtp_received, 8);
}

static void without_nack_agreed_on_nothing_is_asked_for_again(void **state)
{
    struct scene *s = *state;

    agree(s, false);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 20; n++)
        n == 7 ? lose(s) : send_video(s, n, false);
    for (unsigned i = 0; i < GIVEN_UP_US / 100000 && !s->tally.rtp_lost; i++)
        test_loop_run_for(&s->loop, 100000);
    assert_int_equal(s->nacks, 0);
    assert_int_equal(s->tally.rtp_lost, 1);
    assert_true(s->reports >= 1);
}

static void without_a_share_to_check_only_the_beginnings_of_frames_are_decrypted(void **state)
{
    struct scene *s = *state;

    s->in.cfg.check = 0;
    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 10 * FRAME_PACKETS; n++)
        send_video(s, n, false);
    assert_int_equal(s->tally.rtp_received, 10 * FRAME_PACKETS);
    assert_int_equal(s->tally.rtp_checked, FRAME_PACKETS + 9 * (FRAME_PACKETS - 1)); /* all of the first keyframe, then three of four */
    assert_int_equal(s->tally.frames, 10);
    assert_int_equal(s->keyframes, 1);
}

static void duplicates_and_packets_of_others_are_counted_and_change_nothing(void **state)
{
    struct scene *s = *state;
    struct rtp_header stranger = {.ssrc = 77, .pt = 50, .seq = 1};
    uint8_t forged[64] = {0x80, VIDEO_PT, 0, 5};

    agree(s, true);
    rtp_in_start(&s->in);
    for (uint16_t n = 0; n < 4; n++)
        send_video(s, n, false);
    send_video(s, 2, false);
    assert_int_equal(s->tally.rtp_duplicates, 1);
    deliver(s, &stranger, "x", 1); /* of a payload type that was not agreed on */
    forged[10] = VIDEO >> 8;
    forged[11] = VIDEO & 0xff;
    uint8_t *exact = malloc(sizeof(forged));
    memcpy(exact, forged, sizeof(forged));
    rtp_in_on_rtp(&s->in, exact, sizeof(forged), worker_now_us(s->loop.w), worker_unix_us(s->loop.w));
    free(exact);
    assert_int_equal(s->tally.rtp_bad, 1);
    assert_int_equal(s->tally.rtp_received, 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(what_is_missing_is_asked_for_and_taken_from_rtx),
        TEST(what_never_comes_is_lost_breaks_the_picture_and_asks_for_a_keyframe),
        TEST(arrivals_are_told_and_what_did_not_arrive),
        TEST(probes_of_a_payload_type_of_the_servers_own_are_told_too),
        TEST(without_nack_agreed_on_nothing_is_asked_for_again),
        TEST(without_a_share_to_check_only_the_beginnings_of_frames_are_decrypted),
        TEST(duplicates_and_packets_of_others_are_counted_and_change_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
