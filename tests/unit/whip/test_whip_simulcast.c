/* SPDX-License-Identifier: Apache-2.0
 * Three simulcast layers of a publisher into one track: told apart by rid, numbered by quality. */
#include "origin/whip_media.h"

#include "unit/wire/exact.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_write.h"

enum { VIDEO_PT = 96, RTX_PT = 97, RID = 10, REPAIRED = 11, SSRC = 1000, RTX_SSRC = 5000 };

/* VP8: a whole key frame of the size that follows, and an interframe. */
#define KEY "\x10\x10\x00\x00\x9d\x01\x2a"
#define INTER "\x10\x11\x00\x00"

struct fixture {
    struct whip_media *media;
    struct pool *pool;
    uint64_t now_us, unix_us;
    size_t n_packets, n_announced, n_pli;
    struct packet *packets[64];
    uint32_t pli_ssrc[16];
    struct track_set tracks;
};

static void push(void *arg, struct packet *p)
{
    struct fixture *f = arg;

    assert_true(f->n_packets < LEN(f->packets));
    f->packets[f->n_packets++] = p;
}

static void on_source(void *arg)
{
    struct fixture *f = arg;

    f->n_announced++;
    whip_media_tracks(f->media, &f->tracks);
}

static void send_rtcp(void *arg, const uint8_t *pkt, size_t len)
{
    struct fixture *f = arg;
    struct rtcp_walk walk = rtcp_walk_init(pkt, len);
    struct rtcp_packet p;
    struct rtcp_pli pli;

    while (rtcp_walk_next(&walk, &p) > 0)
        if (p.type == RTCP_PSFB && p.count == RTCP_PSFB_PLI && rtcp_pli_parse(&pli, &p) == RTCP_OK)
            f->pli_ssrc[f->n_pli++ % LEN(f->pli_ssrc)] = pli.media_ssrc;
}

static const struct whip_media_ops ops = {.push = push, .on_source = on_source, .send_rtcp = send_rtcp};

static void fixture_init(struct fixture *f, const char *const rids[3])
{
    *f = (struct fixture){.now_us = 1000000000, .unix_us = 1700000000000000};
    f->media = malloc(sizeof(*f->media));
    assert_non_null(f->media);
    assert_int_equal(packet_pool_create(&f->pool, 128), 0);
    struct whip_media_cfg cfg = {.ops = &ops, .arg = f, .pool = f->pool, .stream = "live/test", .n_tracks = 1};
    cfg.tracks[0] = (struct whip_track_cfg){.facts = {.codec = CODEC_VP8, .clock_hz = 90000, .n_layers = 3},
                                            .pt = VIDEO_PT, .rtx_pt = RTX_PT, .nack = true, .pli = true, .n_rids = 3};
    for (size_t i = 0; i < 3; i++)
        strcpy(cfg.tracks[0].rids[i], rids[i]);
    cfg.tracks[0].ext_id[RTP_EXT_RID] = RID;
    cfg.tracks[0].ext_id[RTP_EXT_REPAIRED_RID] = REPAIRED;
    whip_media_init(f->media, &cfg, f->now_us);
}

static void fixture_fini(struct fixture *f)
{
    for (size_t i = 0; i < f->n_packets; i++)
        packet_unref(&f->packets[i]);
    pool_destroy(&f->pool);
    free(f->media);
}

struct sent {
    uint8_t pt, ext_id; /* ext_id 0: without rid */
    const char *rid;
    uint32_t ssrc;
    uint16_t seq;
    const void *payload;
    size_t len;
};

static void deliver(struct fixture *f, const struct sent *s)
{
    uint8_t buf[200], block[32];
    struct rtp_ext_writer w = rtp_ext_writer_init(block, sizeof(block), false);
    struct rtp_header h = {.ts_ticks = s->seq * 3000u, .ssrc = s->ssrc, .seq = s->seq, .pt = s->pt, .marker = true};

    if (s->ext_id) {
        rtp_ext_write(&w, s->ext_id, (const uint8_t *)s->rid, strlen(s->rid));
        h.ext_len = (size_t)rtp_ext_writer_finish(&w);
        h.ext = block;
        h.ext_profile = rtp_ext_writer_profile(&w);
    }
    int n = rtp_header_write(buf, sizeof(buf), &h);
    assert_true(n > 0);
    memcpy(buf + n, s->payload, s->len);
    uint8_t *exact = exact_dup(buf, (size_t)n + s->len);
    whip_media_on_rtp(f->media, exact, (size_t)n + s->len, f->now_us, f->unix_us);
    free(exact);
    f->now_us += 1000;
    f->unix_us += 1000;
}

static void key(struct fixture *f, const char *rid, uint32_t ssrc, uint16_t seq, uint16_t width)
{
    uint8_t frame[11] = KEY;
    uint16_t height = (uint16_t)(width * 9 / 16);

    frame[7] = (uint8_t)width, frame[8] = (uint8_t)(width >> 8);
    frame[9] = (uint8_t)height, frame[10] = (uint8_t)(height >> 8);
    deliver(f, &(struct sent){VIDEO_PT, rid ? RID : 0, rid, ssrc, seq, frame, 11});
}

static void inter(struct fixture *f, const char *rid, uint32_t ssrc, uint16_t seq)
{
    deliver(f, &(struct sent){VIDEO_PT, rid ? RID : 0, rid, ssrc, seq, INTER, 4});
}

static const char *const up[3] = {"q", "h", "f"}, *const down[3] = {"0", "1", "2"};

static void check_layer(const struct fixture *f, size_t i, const char *rid, uint16_t width)
{
    assert_string_equal(f->tracks.v[0].layers[i].rid, rid);
    assert_int_equal(f->tracks.v[0].layers[i].width, width);
    assert_int_equal(f->tracks.v[0].layers[i].height, width * 9 / 16);
}

static void the_track_is_announced_when_each_layer_has_shown_its_size(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, up);
    assert_false(whip_media_announced(f.media));
    key(&f, "q", SSRC, 10, 320);
    key(&f, "h", SSRC + 1, 20, 640);
    assert_int_equal(f.n_announced, 0);
    assert_int_equal(f.n_packets, 0);
    key(&f, "f", SSRC + 2, 30, 1280);
    assert_true(whip_media_announced(f.media));
    assert_int_equal(f.n_announced, 1);
    assert_int_equal(f.tracks.v[0].n_layers, 3);
    check_layer(&f, 0, "q", 320);
    check_layer(&f, 1, "h", 640);
    check_layer(&f, 2, "f", 1280);
    assert_int_equal(f.n_packets, 1); /* the one that made it known, and all from now on */
    assert_int_equal(f.packets[0]->layer, 2);
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_pli, 2); /* of what came before nothing was passed on */
    fixture_fini(&f);
}

static void layers_that_are_named_from_the_largest_down_are_numbered_up(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, down);
    key(&f, "0", SSRC, 10, 1280);
    key(&f, "1", SSRC + 1, 20, 640);
    key(&f, "2", SSRC + 2, 30, 320);
    check_layer(&f, 0, "2", 320);
    check_layer(&f, 1, "1", 640);
    check_layer(&f, 2, "0", 1280);
    inter(&f, NULL, SSRC, 11);
    assert_int_equal(f.packets[1]->layer, 2);
    fixture_fini(&f);
}

static void layers_that_do_not_come_are_not_waited_for_long(void **state)
{
    struct fixture f;

    (void)state;
    fixture_init(&f, up);
    key(&f, "q", SSRC, 10, 320);
    assert_true(whip_media_due_us(f.media) <= f.now_us + 1000000);
    f.now_us += 999000;
    whip_media_poll(f.media, f.now_us - 1001);
    assert_int_equal(f.n_announced, 0);
    f.now_us += 1000;
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_announced, 1);
    check_layer(&f, 0, "q", 320); /* the others' sizes as browsers scale */
    check_layer(&f, 1, "h", 640);
    check_layer(&f, 2, "f", 1280);
    key(&f, "f", SSRC + 2, 30, 1280);
    assert_int_equal(f.packets[0]->layer, 2);
    fixture_fini(&f);
}

static void all_live(struct fixture *f)
{
    fixture_init(f, up);
    key(f, "q", SSRC, 10, 320);
    key(f, "h", SSRC + 1, 20, 640);
    key(f, "f", SSRC + 2, 30, 1280);
}

static void a_layer_is_known_by_its_ssrc_once_a_rid_has_named_it(void **state)
{
    struct fixture f;

    (void)state;
    all_live(&f);
    inter(&f, NULL, SSRC, 11);
    inter(&f, NULL, SSRC + 1, 21);
    inter(&f, NULL, SSRC + 2, 31);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(f.packets[1 + i]->layer, i);
        assert_int_equal(f.packets[1 + i]->seq, PACKET_SEQ_FIRST + 10 * (i + 1) + 1);
    }
    inter(&f, NULL, SSRC + 7, 1);  /* of no layer */
    inter(&f, "x", SSRC + 8, 1);
    assert_int_equal(f.n_packets, 4);
    assert_int_equal(f.media->strangers, 2);
    assert_int_equal(f.n_announced, 1);
    fixture_fini(&f);
}

static void a_retransmission_is_of_the_layer_that_its_repaired_rid_names(void **state)
{
    struct fixture f;

    (void)state;
    all_live(&f);
    inter(&f, NULL, SSRC + 1, 22); /* 21 is missing */
    deliver(&f, &(struct sent){RTX_PT, REPAIRED, "h", RTX_SSRC, 7, "\x00\x15" INTER, 6});
    assert_int_equal(f.n_packets, 3);
    assert_int_equal(f.packets[2]->layer, 1);
    assert_int_equal(f.packets[2]->seq & 0xffff, 21);
    fixture_fini(&f);
}

static void a_keyframe_is_asked_of_the_layer_that_needs_it(void **state)
{
    struct fixture f;

    (void)state;
    all_live(&f);
    whip_media_poll(f.media, f.now_us);
    f.n_pli = 0;
    f.now_us += 600000;
    key(&f, NULL, SSRC, 11, 320);
    key(&f, NULL, SSRC + 1, 21, 640);
    key(&f, NULL, SSRC + 2, 31, 1280);
    whip_media_need_keyframe(f.media, 0, 1);
    whip_media_poll(f.media, f.now_us);
    assert_int_equal(f.n_pli, 1);
    assert_int_equal(f.pli_ssrc[0], SSRC + 1);
    fixture_fini(&f);
}

static void a_layer_that_stops_and_comes_back_goes_on_in_the_same_epoch(void **state)
{
    struct fixture f;

    (void)state;
    all_live(&f);
    for (uint16_t i = 0; i < 20; i++) {
        inter(&f, NULL, SSRC, (uint16_t)(11 + i));
        f.now_us += 1000000;
        f.unix_us += 1000000;
        whip_media_poll(f.media, f.now_us);
    }
    key(&f, NULL, SSRC + 2, 31, 1280);
    const struct packet *p = f.packets[f.n_packets - 1];
    assert_int_equal(p->layer, 2);
    assert_int_equal(p->seq, PACKET_SEQ_FIRST + 31);
    assert_true(p->flags & PACKET_KEYFRAME);
    assert_int_equal(f.n_announced, 1);
    fixture_fini(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_track_is_announced_when_each_layer_has_shown_its_size),
        cmocka_unit_test(layers_that_are_named_from_the_largest_down_are_numbered_up),
        cmocka_unit_test(layers_that_do_not_come_are_not_waited_for_long),
        cmocka_unit_test(a_layer_is_known_by_its_ssrc_once_a_rid_has_named_it),
        cmocka_unit_test(a_retransmission_is_of_the_layer_that_its_repaired_rid_names),
        cmocka_unit_test(a_keyframe_is_asked_of_the_layer_that_needs_it),
        cmocka_unit_test(a_layer_that_stops_and_comes_back_goes_on_in_the_same_epoch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
