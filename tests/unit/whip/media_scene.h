/* SPDX-License-Identifier: Apache-2.0
 * media_scene.h - the media of a publisher without its transport: RTP in, packets and RTCP out. */
#pragma once

#include "origin/whip_media.h"

#include "unit/wire/exact.h"
#include "wire/rtp_ext.h"
#include "wire/rtp_write.h"

enum { VIDEO_PT = 96, RTX_PT = 97, AUDIO_PT = 111, VIDEO_SSRC = 1000, RTX_SSRC = 1001, AUDIO_SSRC = 2000 };

struct fixture {
    struct whip_media *media;
    struct pool *pool;
    uint64_t now_us, unix_us;
    size_t n_packets, n_rtcp, n_sources;
    bool discards; /* what comes out is counted only */
    struct packet *packets[64];
    uint8_t rtcp[16][WHIP_RTCP_CAP];
    size_t rtcp_len[16];
};

static inline void push(void *arg, struct packet *p)
{
    struct fixture *f = arg;

    if (f->discards) {
        f->n_packets++;
        packet_unref(&p);
        return;
    }
    assert_true(f->n_packets < LEN(f->packets));
    f->packets[f->n_packets++] = p;
}

static inline void on_source(void *arg)
{
    ((struct fixture *)arg)->n_sources++;
}

static inline void send_rtcp(void *arg, const uint8_t *pkt, size_t len)
{
    struct fixture *f = arg;

    if (f->discards) {
        f->n_rtcp++;
        return;
    }
    assert_true(f->n_rtcp < LEN(f->rtcp));
    assert_int_equal(rtcp_compound_check(pkt, len, false), RTCP_OK);
    memcpy(f->rtcp[f->n_rtcp], pkt, len);
    f->rtcp_len[f->n_rtcp++] = len;
}

static const struct whip_media_ops ops = {.push = push, .on_source = on_source, .send_rtcp = send_rtcp};

static inline void fixture_init(struct fixture *f, enum codec video)
{
    *f = (struct fixture){.now_us = 1000000000, .unix_us = 1700000000000000};
    f->media = malloc(sizeof(*f->media));
    assert_non_null(f->media);
    assert_int_equal(packet_pool_create(&f->pool, 128), 0);
    struct whip_media_cfg cfg = {
        .ops = &ops, .arg = f, .pool = f->pool, .stream = "live/test", .n_tracks = 2};
    cfg.tracks[0] = (struct whip_track_cfg){.facts = {.codec = CODEC_OPUS, .clock_hz = 48000, .n_layers = 1},
                                            .index = 0, .pt = AUDIO_PT, .ssrc = AUDIO_SSRC};
    cfg.tracks[1] = (struct whip_track_cfg){.facts = {.codec = video, .clock_hz = 90000, .n_layers = 1},
                                            .index = 1, .pt = VIDEO_PT, .rtx_pt = RTX_PT, .ssrc = VIDEO_SSRC,
                                            .rtx_ssrc = RTX_SSRC, .nack = true, .pli = true};
    cfg.tracks[0].ext_id[RTP_EXT_AUDIO_LEVEL] = 1;
    cfg.tracks[1].ext_id[RTP_EXT_TRANSPORT_CC] = 3;
    cfg.tracks[1].ext_id[RTP_EXT_VIDEO_ORIENTATION] = 13;
    cfg.tracks[1].ext_id[RTP_EXT_MID] = 4;
    whip_media_init(f->media, &cfg, f->now_us);
}

static inline void fixture_fini(struct fixture *f)
{
    for (size_t i = 0; i < f->n_packets; i++)
        packet_unref(&f->packets[i]);
    pool_destroy(&f->pool);
    free(f->media);
}

struct sent {
    uint8_t pt;
    uint32_t ssrc;
    uint16_t seq;
    uint32_t ts;
    bool marker;
    const char *payload;
    size_t payload_len;
    const uint8_t *ext;
    size_t ext_len;
};

static inline void deliver(struct fixture *f, const struct sent *s)
{
    uint8_t buf[2000];
    struct rtp_header h = {.ext = s->ext,
                           .ext_len = s->ext_len,
                           .ext_profile = RTP_EXT_PROFILE_ONE_BYTE,
                           .ts_ticks = s->ts,
                           .ssrc = s->ssrc,
                           .seq = s->seq,
                           .pt = s->pt,
                           .marker = s->marker};
    int n = rtp_header_write(buf, sizeof(buf), &h);

    assert_true(n > 0);
    if (s->payload_len)
        memcpy(buf + n, s->payload, s->payload_len);
    uint8_t *exact = exact_dup(buf, (size_t)n + s->payload_len);
    whip_media_on_rtp(f->media, exact, (size_t)n + s->payload_len, f->now_us, f->unix_us);
    free(exact);
    f->now_us += 1000;
    f->unix_us += 1000;
}

static inline void video(struct fixture *f, uint16_t seq, uint32_t ts, bool marker, const char *payload, size_t len)
{
    deliver(f, &(struct sent){.pt = VIDEO_PT,
                              .ssrc = VIDEO_SSRC,
                              .seq = seq,
                              .ts = ts,
                              .marker = marker,
                              .payload = payload,
                              .payload_len = len});
}

#define H264_SPS "\x67\x42\xe0\x1f"
#define H264_SLICE "\x61\x9a\x00"
