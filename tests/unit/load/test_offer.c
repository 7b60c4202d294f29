/* SPDX-License-Identifier: Apache-2.0
 * test_offer.c - offers are what a WHEP or WHIP server demands. */
#include "load/offer.h"
#include "webrtc/sdp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static struct offer example(const struct addr *candidate)
{
    return (struct offer){.ufrag = "abcdefgh", .pwd = "abcdefghijklmnopqrstuvwx", .candidate = candidate,
                          .fingerprint = "sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:"
                                         "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
                          .audio = true, .video = true, .rtx = true, .transport_cc = true};
}

static struct sdp_offer *parse(const struct offer *o)
{
    char text[OFFER_BYTES_MAX];
    struct sdp_offer *parsed = calloc(1, sizeof(*parsed));
    int len = offer_write(text, sizeof(text), o);

    assert_true(len > 0);
    assert_int_equal(sdp_offer_parse(parsed, text, (size_t)len), SDP_OK);
    return parsed;
}

static void a_viewers_offer_is_valid_for_whep(void **state)
{
    struct addr candidate;
    (void)state;
    assert_int_equal(addr_parse(&candidate, "127.64.0.1:5000"), 0);
    struct offer o = example(&candidate);
    struct sdp_offer *p = parse(&o);

    assert_int_equal(sdp_offer_check(p, false), SDP_OK);
    assert_int_equal(p->n_media, 2);
    assert_int_equal(p->n_candidates, 2);
    assert_true(addr_equal(&p->candidates[0], &candidate));
    const struct sdp_codec *h264 = sdp_choose(&p->media[1], CODEC_H264, 0x42e01f, 0);
    assert_non_null(h264);
    assert_int_equal(h264->rtx_pt, h264->pt + 1);
    assert_int_equal(h264->feedback, SDP_FB_NACK | SDP_FB_NACK_PLI | SDP_FB_CCM_FIR | SDP_FB_TRANSPORT_CC);
    assert_non_null(sdp_choose(&p->media[1], CODEC_VP8, 0, 0));
    assert_non_null(sdp_choose(&p->media[1], CODEC_VP9, 0, 0));
    assert_non_null(sdp_choose(&p->media[1], CODEC_AV1, 0, 0));
    assert_non_null(sdp_choose(&p->media[0], CODEC_OPUS, 0, 0));
    free(p);
}

static void what_is_switched_off_is_not_offered(void **state)
{
    struct offer o = example(NULL);

    (void)state;
    o.rtx = o.transport_cc = false;
    struct sdp_offer *p = parse(&o);
    for (size_t i = 0; i < p->n_media; i++) {
        assert_int_equal(sdp_extmap_id(&p->media[i], RTP_EXT_TRANSPORT_CC), 0);
        for (size_t k = 0; k < p->media[i].n_codecs; k++) {
            assert_int_equal(p->media[i].codecs[k].rtx_pt, 0);
            assert_false(p->media[i].codecs[k].feedback & SDP_FB_TRANSPORT_CC);
        }
    }
    assert_int_equal(p->n_candidates, 0);
    free(p);
}

static void a_publishers_offer_is_valid_for_whip(void **state)
{
    struct offer o = example(NULL);

    (void)state;
    o.publish = true;
    o.audio_ssrc = 1;
    o.video_ssrc = 2;
    o.rtx_ssrc = 3;
    struct sdp_offer *p = parse(&o);
    assert_int_equal(sdp_offer_check(p, true), SDP_OK);
    assert_int_equal(p->media[1].n_ssrcs, 1);
    assert_int_equal(p->media[1].ssrcs[0].ssrc, 2);
    assert_int_equal(p->media[1].ssrcs[0].rtx_ssrc, 3);
    assert_int_equal(p->media[1].n_codecs, 1);
    free(p);
}

static void what_does_not_fit_is_refused(void **state)
{
    struct offer o = example(NULL);
    char text[OFFER_BYTES_MAX];
    int whole = offer_write(text, sizeof(text), &o);

    (void)state;
    for (size_t cap = 3; cap < (size_t)whole; cap += 131) {
        char *exact = malloc(cap);
        assert_int_equal(offer_write(exact, cap, &o), -1);
        free(exact);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_viewers_offer_is_valid_for_whep),
        cmocka_unit_test(what_is_switched_off_is_not_offered),
        cmocka_unit_test(a_publishers_offer_is_valid_for_whip),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
