/* SPDX-License-Identifier: Apache-2.0
 * media_make.c - a moving picture and a tone, encoded once; see media_source.h.
 *
 * The picture is noise that moves over a gradient, so that it takes the bits it is given, keyframes about five times
 * those of other frames, as a camera does. */
#include "media_source_priv.h"

#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GOP_S = 2,
    ROUND_S = 8, /* a whole number of AAC frames (1,024 samples of 48 kHz: 375), of Opus frames and of GOPs */
    SAMPLE_HZ = 48000,
    TONE_HZ = 440,
    AUDIO_BPS = 96000,
};

static int complain(char *err, const char *what)
{
    snprintf(err, MEDIA_ERROR_CAP, "synthetic media: %s", what);
    return -1;
}

/* ---- Encoding ------------------------------------------------------------------------------------------------ */

/* All that comes out by now. */
static int drain(struct media_source *m, AVCodecContext *c, AVPacket *pkt, bool video)
{
    while (avcodec_receive_packet(c, pkt) == 0) {
        struct media_frame a = {.data = pkt->data, .len = (size_t)pkt->size, .keyframe = true};
        int err;

        /* encoders begin before 0 by their delay; what a listener would skip is left out */
        a.dts_us = a.pts_us = (uint64_t)av_rescale_q(pkt->pts, c->time_base, AV_TIME_BASE_Q);
        if (video)
            err = media_video_push(m, pkt, true, 0, c->time_base);
        else
            err = pkt->pts >= 0 && a.pts_us < (uint64_t)ROUND_S * 1000000 ? media_frame_push(m, &a) : 0;
        av_packet_unref(pkt);
        if (err)
            return -1;
    }
    return 0;
}

typedef void draw(AVFrame *f, const AVCodecContext *c, unsigned n);

static int encode(struct media_source *m, AVCodecContext *c, unsigned n_frames, bool video, draw *draw_frame)
{
    AVPacket *pkt = av_packet_alloc();
    AVFrame *f = av_frame_alloc();
    int err = pkt && f ? 0 : -1;

    for (unsigned n = 0; !err && n < n_frames; n++) {
        draw_frame(f, c, n);
        err = f->data[0] && avcodec_send_frame(c, f) == 0 ? drain(m, c, pkt, video) : -1;
        av_frame_unref(f);
    }
    if (!err)
        err = avcodec_send_frame(c, NULL) == 0 ? drain(m, c, pkt, video) : -1;
    av_frame_free(&f);
    av_packet_free(&pkt);
    return err;
}

/* ---- The picture ------------------------------------------------------------------------------------------------ */

static AVCodecContext *open_video(const struct plan_synthetic *s)
{
    const AVCodec *codec = avcodec_find_encoder_by_name("libx264");
    AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;

    if (!c)
        return NULL;
    c->width = (int)s->width;
    c->height = (int)s->height;
    c->pix_fmt = AV_PIX_FMT_YUV420P;
    c->time_base = (AVRational){1, (int)s->fps};
    c->framerate = (AVRational){(int)s->fps, 1};
    c->gop_size = (int)s->fps * GOP_S;
    c->max_b_frames = 0;
    c->thread_count = 2;
    c->bit_rate = c->rc_max_rate = (int64_t)s->bps;
    c->rc_buffer_size = (int)(s->bps / 2);
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    (void)av_opt_set(c->priv_data, "preset", "superfast", 0);
    (void)av_opt_set(c->priv_data, "tune", "zerolatency", 0);
    (void)av_opt_set(c->priv_data, "profile", "baseline", 0);
    (void)av_opt_set(c->priv_data, "x264-params", "scenecut=0:sliced-threads=0:slices=1", 0);
    if (avcodec_open2(c, codec, NULL) < 0)
        avcodec_free_context(&c);
    return c;
}

static void draw_picture(AVFrame *f, const AVCodecContext *c, unsigned n)
{
    uint32_t seed = 1; /* the same noise in each frame, moved by two pixels: motion that is found */

    f->width = c->width;
    f->height = c->height;
    f->format = c->pix_fmt;
    f->pts = n;
    if (av_frame_get_buffer(f, 0) < 0)
        return;
    for (int y = 0; y < c->height; y++)
        for (int x = 0; x < c->width; x++) {
            seed = seed * 1664525 + 1013904223;
            int at = (x + 2 * (int)n) % c->width;
            f->data[0][y * f->linesize[0] + at] = (uint8_t)(64 + x * 96 / c->width + (int)(seed >> 24) / 6);
        }
    for (int plane = 1; plane < 3; plane++)
        for (int y = 0; y < c->height / 2; y++)
            memset(f->data[plane] + y * f->linesize[plane], 128 + (int)(n % 32) - 16, (size_t)c->width / 2);
}

/* One GOP is encoded, and stands there for all of the round. */
static int repeat_gop(struct media_source *m)
{
    size_t n = m->n_frames;

    for (unsigned round = 1; round < ROUND_S / GOP_S; round++)
        for (size_t i = 0; i < n; i++) {
            struct media_frame f = m->frames[i];
            f.dts_us += (uint64_t)round * GOP_S * 1000000;
            f.pts_us += (uint64_t)round * GOP_S * 1000000;
            if (media_frame_push(m, &f))
                return -1;
        }
    return 0;
}

static int make_video(struct media_source *m, const struct plan_synthetic *s, char *err)
{
    AVCodecContext *c = open_video(s);

    if (!c)
        return complain(err, "libavcodec has no libx264 here");
    int result = media_params_take(m, c->extradata, (size_t)c->extradata_size);
    if (!result)
        result = encode(m, c, s->fps * GOP_S, true, draw_picture);
    avcodec_free_context(&c);
    m->has_video = true;
    m->width = s->width;
    m->height = s->height;
    m->fps = s->fps;
    return result || repeat_gop(m) ? complain(err, "the picture cannot be encoded") : 0;
}

/* ---- The tone ------------------------------------------------------------------------------------------------------ */

static AVCodecContext *open_audio(bool webrtc)
{
    const AVCodec *codec = avcodec_find_encoder_by_name(webrtc ? "libopus" : "aac");
    AVCodecContext *c = codec ? avcodec_alloc_context3(codec) : NULL;

    if (!c)
        return NULL;
    c->sample_rate = SAMPLE_HZ;
    c->sample_fmt = webrtc ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
    c->bit_rate = AUDIO_BPS;
    c->time_base = (AVRational){1, SAMPLE_HZ};
    c->flags |= AV_CODEC_FLAG_GLOBAL_HEADER;
    av_channel_layout_default(&c->ch_layout, 2);
    if (avcodec_open2(c, codec, NULL) < 0)
        avcodec_free_context(&c);
    return c;
}

static void draw_tone(AVFrame *f, const AVCodecContext *c, unsigned n)
{
    f->nb_samples = c->frame_size;
    f->format = c->sample_fmt;
    f->sample_rate = c->sample_rate;
    f->pts = (int64_t)n * c->frame_size;
    if (av_channel_layout_copy(&f->ch_layout, &c->ch_layout) < 0 || av_frame_get_buffer(f, 0) < 0)
        return;
    for (int i = 0; i < f->nb_samples; i++) {
        float v = (float)sin(2 * M_PI * TONE_HZ * (double)(f->pts + i) / SAMPLE_HZ) / 4;
        bool planar = c->sample_fmt == AV_SAMPLE_FMT_FLTP;
        for (int ch = 0; ch < 2; ch++) {
            uint8_t *at = planar ? f->data[ch] + (size_t)i * sizeof(v) : f->data[0] + (size_t)(2 * i + ch) * sizeof(v);
            memcpy(at, &v, sizeof(v));
        }
    }
}

static int make_audio(struct media_source *m, bool webrtc, char *err)
{
    AVCodecContext *c = open_audio(webrtc);

    if (!c)
        return complain(err, webrtc ? "libavcodec has no libopus here" : "libavcodec has no AAC encoder here");
    unsigned n = (unsigned)(ROUND_S * SAMPLE_HZ / c->frame_size) + 2;
    int result = encode(m, c, n, false, draw_tone);
    if (!result && !webrtc)
        result = media_copy(&m->asc, &m->asc_len, c->extradata, (size_t)c->extradata_size);
    avcodec_free_context(&c);
    m->has_audio = true;
    m->audio_codec = webrtc ? CODEC_OPUS : CODEC_AAC;
    m->sample_hz = SAMPLE_HZ;
    m->channels = 2;
    return result ? complain(err, "the tone cannot be encoded") : 0;
}

int media_source_make(struct media_source **out, const struct plan_synthetic *s, bool webrtc, char err[MEDIA_ERROR_CAP])
{
    struct media_source *m = calloc(1, sizeof(*m));

    if (!m)
        return complain(err, "out of memory");
    if (make_video(m, s, err) || make_audio(m, webrtc, err)) {
        media_source_destroy(&m);
        return -1;
    }
    m->duration_us = (uint64_t)ROUND_S * 1000000;
    media_source_sort(m);
    *out = m;
    return 0;
}
