/* SPDX-License-Identifier: Apache-2.0
 * media_source.c - frames of a file; see media_source.h. media_make.c makes them. */
#include "media_source_priv.h"

#include "codec/h264.h"

#include <libavformat/avformat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FRAMES_STEP = 1024, PREFIX_GROWTH = 4096 /* bytes that canonical form may be longer by */ };

int media_frame_push(struct media_source *m, const struct media_frame *f)
{
    if (m->n_frames == m->cap_frames) {
        struct media_frame *more = realloc(m->frames, (m->cap_frames + FRAMES_STEP) * sizeof(*more));
        if (!more)
            return -1;
        m->frames = more;
        m->cap_frames += FRAMES_STEP;
    }
    struct media_frame copy = *f;
    copy.data = malloc(f->len ? f->len : 1);
    if (!copy.data)
        return -1;
    memcpy(copy.data, f->data, f->len);
    m->frames[m->n_frames++] = copy;
    return 0;
}

static int by_dts(const void *a, const void *b)
{
    const struct media_frame *x = a, *y = b;

    if (x->dts_us != y->dts_us)
        return x->dts_us < y->dts_us ? -1 : 1;
    return (int)y->video - (int)x->video;
}

void media_source_sort(struct media_source *m)
{
    qsort(m->frames, m->n_frames, sizeof(*m->frames), by_dts);
}

int media_video_push(struct media_source *m, const AVPacket *pkt, bool annexb, uint8_t length_bytes, AVRational base)
{
    size_t cap = (size_t)pkt->size + PREFIX_GROWTH;
    uint8_t *bytes = malloc(cap);
    int n = -1, err = -1;

    if (bytes)
        n = annexb ? nal_canonical_from_annexb(bytes, cap, pkt->data, (size_t)pkt->size)
                   : nal_canonical_from_prefixed(bytes, cap, pkt->data, (size_t)pkt->size, length_bytes);
    if (n > 0) {
        int64_t dts = pkt->dts != AV_NOPTS_VALUE ? pkt->dts : pkt->pts;
        struct media_frame f = {.data = bytes, .len = (size_t)n, .video = true, .keyframe = pkt->flags & AV_PKT_FLAG_KEY};
        f.dts_us = (uint64_t)av_rescale_q(dts, base, AV_TIME_BASE_Q);
        f.pts_us = (uint64_t)av_rescale_q(pkt->pts != AV_NOPTS_VALUE ? pkt->pts : dts, base, AV_TIME_BASE_Q);
        err = media_frame_push(m, &f);
    }
    free(bytes);
    return err;
}

int media_params_take(struct media_source *m, const uint8_t *extra, size_t len)
{
    uint8_t record[sizeof(m->params) + 64];
    struct avcc a;
    int n;

    if (len > 4 && extra[0] == 1) {
        if (avcc_parse(&a, extra, len))
            return -1;
        n = avcc_params_write(m->params, sizeof(m->params), &a);
    } else {
        n = nal_canonical_from_annexb(m->params, sizeof(m->params), extra, len);
    }
    if (n <= 0)
        return -1;
    m->params_len = (size_t)n;
    n = avcc_write(record, sizeof(record), m->params, m->params_len);
    if (n <= 0 || avcc_parse(&a, record, (size_t)n))
        return -1;
    m->h264_profile = (uint32_t)a.profile << 16 | (uint32_t)a.constraints << 8 | a.level;
    return media_copy(&m->avcc, &m->avcc_len, record, (size_t)n);
}

int media_copy(uint8_t **out, size_t *out_len, const uint8_t *bytes, size_t len)
{
    *out = malloc(len ? len : 1);
    if (!*out)
        return -1;
    memcpy(*out, bytes, len);
    *out_len = len;
    return 0;
}

void media_source_destroy(struct media_source **pm)
{
    struct media_source *m = *pm;

    *pm = NULL;
    if (!m)
        return;
    for (size_t i = 0; i < m->n_frames; i++)
        free(m->frames[i].data);
    free(m->frames);
    free(m->avcc);
    free(m->asc);
    free(m);
}

void media_source_quiet(void)
{
    av_log_set_level(AV_LOG_ERROR);
}

/* ---- Files ------------------------------------------------------------------------------------------------ */

struct file {
    struct media_source *m;
    AVFormatContext *av;
    int video, audio; /* stream indices; -1: none */
    bool annexb;
    uint8_t length_bytes;
    int64_t first_us; /* the earliest time, which becomes 0 */
    char *err;
};

static int complain(struct file *f, const char *path, const char *what)
{
    snprintf(f->err, MEDIA_ERROR_CAP, "%s: %s", path, what);
    return -1;
}

static int take_video(struct file *f, const char *path)
{
    const AVCodecParameters *p = f->av->streams[f->video]->codecpar;

    if (p->codec_id != AV_CODEC_ID_H264)
        return complain(f, path, "its video is not H.264");
    f->annexb = p->extradata_size < 5 || p->extradata[0] != 1;
    f->length_bytes = f->annexb ? 4 : (uint8_t)((p->extradata[4] & 3) + 1);
    if (p->extradata_size <= 0 || media_params_take(f->m, p->extradata, (size_t)p->extradata_size))
        return complain(f, path, "no parameter sets of its video");
    f->m->has_video = true;
    f->m->width = (unsigned)p->width;
    f->m->height = (unsigned)p->height;
    return 0;
}

/* Sound of another codec is left out. */
static int take_audio(struct file *f, const char *path, bool webrtc)
{
    const AVCodecParameters *p = f->av->streams[f->audio]->codecpar;
    enum AVCodecID wanted = webrtc ? AV_CODEC_ID_OPUS : AV_CODEC_ID_AAC;

    if (p->codec_id != wanted) {
        fprintf(stderr, "millrace-load: %s: its sound is not %s and is left out\n", path, webrtc ? "Opus" : "AAC");
        f->audio = -1;
        return 0;
    }
    f->m->has_audio = true;
    f->m->audio_codec = webrtc ? CODEC_OPUS : CODEC_AAC;
    f->m->sample_hz = (unsigned)p->sample_rate;
    f->m->channels = (unsigned)p->ch_layout.nb_channels;
    return webrtc ? 0 : media_copy(&f->m->asc, &f->m->asc_len, p->extradata, (size_t)p->extradata_size);
}

static int take_packet(struct file *f, const AVPacket *pkt)
{
    AVRational base = f->av->streams[pkt->stream_index]->time_base;

    if (pkt->stream_index == f->video)
        return media_video_push(f->m, pkt, f->annexb, f->length_bytes, base);
    if (pkt->stream_index != f->audio)
        return 0;
    struct media_frame a = {.data = pkt->data, .len = (size_t)pkt->size, .keyframe = true};
    a.pts_us = a.dts_us = (uint64_t)av_rescale_q(pkt->pts, base, AV_TIME_BASE_Q);
    return media_frame_push(f->m, &a);
}

/* Times from 0 on, and how long a round is: the frame interval goes from the last frame to the first. */
static int finish(struct file *f, const char *path)
{
    struct media_source *m = f->m;
    int64_t first = INT64_MAX, last = 0;
    size_t n_video = 0;

    for (size_t i = 0; i < m->n_frames; i++) {
        first = (int64_t)m->frames[i].dts_us < first ? (int64_t)m->frames[i].dts_us : first;
        n_video += m->frames[i].video;
    }
    if (n_video < 2)
        return complain(f, path, "less than two frames of video");
    for (size_t i = 0; i < m->n_frames; i++) {
        m->frames[i].dts_us -= (uint64_t)first;
        m->frames[i].pts_us -= (uint64_t)first;
        last = (int64_t)m->frames[i].dts_us > last && m->frames[i].video ? (int64_t)m->frames[i].dts_us : last;
    }
    media_source_sort(m);
    m->duration_us = (uint64_t)last + (uint64_t)last / (n_video - 1);
    m->fps = (unsigned)(UINT64_C(1000000) * n_video / m->duration_us);
    return 0;
}

static int read_file(struct file *f, const char *path, bool webrtc)
{
    AVPacket *pkt = av_packet_alloc();
    int err = pkt && avformat_open_input(&f->av, path, NULL, NULL) == 0 && avformat_find_stream_info(f->av, NULL) >= 0
                  ? 0
                  : complain(f, path, "cannot be read");

    if (!err) {
        f->video = av_find_best_stream(f->av, AVMEDIA_TYPE_VIDEO, -1, -1, NULL, 0);
        f->audio = av_find_best_stream(f->av, AVMEDIA_TYPE_AUDIO, -1, -1, NULL, 0);
        err = f->video >= 0 ? take_video(f, path) : complain(f, path, "no video in it");
    }
    if (!err && f->audio >= 0)
        err = take_audio(f, path, webrtc);
    while (!err && av_read_frame(f->av, pkt) >= 0) {
        if (take_packet(f, pkt))
            err = complain(f, path, "a frame cannot be understood");
        av_packet_unref(pkt);
    }
    av_packet_free(&pkt);
    avformat_close_input(&f->av);
    return err ? err : finish(f, path);
}

int media_source_open_file(struct media_source **out, const char *path, bool webrtc, char err[MEDIA_ERROR_CAP])
{
    struct file f = {.m = calloc(1, sizeof(struct media_source)), .video = -1, .audio = -1, .err = err};

    if (!f.m)
        return complain(&f, path, "out of memory");
    if (read_file(&f, path, webrtc)) {
        media_source_destroy(&f.m);
        return -1;
    }
    *out = f.m;
    return 0;
}
