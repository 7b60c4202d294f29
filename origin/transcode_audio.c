/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/transcode_audio.h"

#include <libavcodec/avcodec.h>
#include <libavutil/audio_fifo.h>
#include <libavutil/channel_layout.h>
#include <libavutil/opt.h>
#include <libswresample/swresample.h>
#include <stdlib.h>
#include <string.h>

#include "codec/audio.h"
#include "origin/transcode_tracks.h"

enum {
    RATE_HZ = TRANSCODE_CLOCK_HZ,
    FOLLOW_TICKS = RATE_HZ / 1000, /* off by less than a ms: rounding, let be */
    GAP_TICKS = RATE_HZ / 100,   /* off by less than 10 ms: another clock; timestamps follow, sound stays */
    SILENCE_MAX_TICKS = RATE_HZ, /* a longer gap is a jump */
    ENCODER_DELAY_FRAMES_MAX =
        8, /* frames that an encoder keeps before the first packet: aac one, opus none */
};

struct transcode_audio {
    struct transcode_audio_cfg cfg;
    AVCodecContext *decoder, *encoder;
    SwrContext *resampler;
    AVAudioFifo *samples;     /* 48 kHz stereo, in the encoder's format */
    AVFrame *decoded, *frame; /* from the decoder; to the encoder */
    AVPacket *packet;
    uint8_t *pcm[AV_NUM_DATA_POINTERS]; /* out of the resampler; grows */
    int pcm_samples;
    bool started;
    uint64_t next_in48; /* where the next source frame is expected */
    uint64_t next_rest; /* and the fraction of a tick, in 1 / (the decoder's rate) */
    uint64_t fifo_ts48; /* of the first sample in the FIFO */
    uint64_t in_flight[ENCODER_DELAY_FRAMES_MAX]; /* timestamps of frames in the encoder, oldest first */
    size_t n_in_flight;
    uint64_t resets, silence;
};

/* ---- Making ---------------------------------------------------------------------------------- */

static int open_decoder(struct transcode_audio *a)
{
    const struct transcode_audio_cfg *cfg = &a->cfg;
    const AVCodec *codec =
        avcodec_find_decoder(cfg->from == CODEC_AAC ? AV_CODEC_ID_AAC : AV_CODEC_ID_OPUS);
    uint8_t head[OPUS_HEAD_BYTES];
    const uint8_t *extra = cfg->config;
    size_t extra_len = cfg->config_len;

    if (cfg->from == CODEC_OPUS) { /* pre-skip 0: the source's timestamps are those of all its samples */
        struct opus_head h = {.input_rate_hz = OPUS_CLOCK_HZ, .channels = TRANSCODE_CHANNELS};
        extra = head;
        extra_len = (size_t)opus_head_write(head, sizeof(head), &h);
    }
    a->decoder = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!a->decoder)
        return TRANSCODE_ERR_CODEC;
    a->decoder->extradata = av_mallocz(extra_len + AV_INPUT_BUFFER_PADDING_SIZE);
    if (!a->decoder->extradata)
        return TRANSCODE_ERR_MEMORY;
    if (extra_len)
        memcpy(a->decoder->extradata, extra, extra_len);
    a->decoder->extradata_size = (int)extra_len;
    return avcodec_open2(a->decoder, codec, NULL) < 0 ? TRANSCODE_ERR_CODEC : TRANSCODE_OK;
}

static int open_encoder(struct transcode_audio *a)
{
    bool opus = a->cfg.to == CODEC_OPUS;
    const AVCodec *codec =
        opus ? avcodec_find_encoder_by_name("libopus") : avcodec_find_encoder(AV_CODEC_ID_AAC);

    a->encoder = codec ? avcodec_alloc_context3(codec) : NULL;
    if (!a->encoder)
        return TRANSCODE_ERR_CODEC;
    a->encoder->sample_rate = RATE_HZ;
    a->encoder->sample_fmt = opus ? AV_SAMPLE_FMT_FLT : AV_SAMPLE_FMT_FLTP;
    a->encoder->bit_rate = opus ? TRANSCODE_OPUS_BPS : TRANSCODE_AAC_BPS;
    a->encoder->flags |= AV_CODEC_FLAG_GLOBAL_HEADER; /* raw AAC frames, no ADTS */
    av_channel_layout_default(&a->encoder->ch_layout, TRANSCODE_CHANNELS);
    if (opus && av_opt_set_double(a->encoder->priv_data, "frame_duration", TRANSCODE_OPUS_TICKS * 1000.0 / RATE_HZ, 0) < 0)
        return TRANSCODE_ERR_CODEC;
    if (avcodec_open2(a->encoder, codec, NULL) < 0)
        return TRANSCODE_ERR_CODEC;
    a->samples = av_audio_fifo_alloc(a->encoder->sample_fmt, TRANSCODE_CHANNELS, RATE_HZ);
    return a->samples ? TRANSCODE_OK : TRANSCODE_ERR_MEMORY;
}

static int make_frame(struct transcode_audio *a)
{
    a->decoded = av_frame_alloc();
    a->frame = av_frame_alloc();
    a->packet = av_packet_alloc();
    if (!a->decoded || !a->frame || !a->packet)
        return TRANSCODE_ERR_MEMORY;
    a->frame->nb_samples = a->encoder->frame_size;
    a->frame->format = a->encoder->sample_fmt;
    a->frame->sample_rate = RATE_HZ;
    if (av_channel_layout_copy(&a->frame->ch_layout, &a->encoder->ch_layout) < 0)
        return TRANSCODE_ERR_MEMORY;
    return av_frame_get_buffer(a->frame, 0) < 0 ? TRANSCODE_ERR_MEMORY : TRANSCODE_OK;
}

int transcode_audio_create(struct transcode_audio **out, const struct transcode_audio_cfg *cfg)
{
    struct transcode_audio *a = calloc(1, sizeof(*a));

    *out = NULL;
    if (!a)
        return TRANSCODE_ERR_MEMORY;
    a->cfg = *cfg;
    av_log_set_level(AV_LOG_QUIET); /* its lines have no limit and no peer; we count and say what matters */
    int err = open_decoder(a);
    if (!err)
        err = open_encoder(a);
    if (!err)
        err = make_frame(a);
    a->cfg.config = NULL;
    if (err)
        transcode_audio_destroy(&a);
    *out = a;
    return err;
}

void transcode_audio_destroy(struct transcode_audio **a)
{
    struct transcode_audio *gone = *a;

    *a = NULL;
    if (!gone)
        return;
    avcodec_free_context(&gone->decoder);
    avcodec_free_context(&gone->encoder);
    swr_free(&gone->resampler);
    if (gone->samples)
        av_audio_fifo_free(gone->samples);
    av_frame_free(&gone->decoded);
    av_frame_free(&gone->frame);
    av_packet_free(&gone->packet);
    av_freep(&gone->pcm[0]);
    free(gone);
}

/* ---- Encoding -------------------------------------------------------------------------------- */

static void take_packets(struct transcode_audio *a)
{
    while (avcodec_receive_packet(a->encoder, a->packet) == 0) {
        uint64_t frame_ts = a->in_flight[0];
        if (a->n_in_flight > 0)
            memmove(a->in_flight, a->in_flight + 1, --a->n_in_flight * sizeof(a->in_flight[0]));
        /* The encoder's delay is a number of samples: its first packet holds so many from before the first
         * frame. */
        a->cfg.on_frame(a->cfg.arg, a->packet->data, (size_t)a->packet->size,
                        frame_ts - (uint64_t)a->encoder->initial_padding);
        av_packet_unref(a->packet);
    }
}

/* Whole frames of what the FIFO has. */
static int encode(struct transcode_audio *a)
{
    int frame_samples = a->encoder->frame_size;

    while (av_audio_fifo_size(a->samples) >= frame_samples) {
        if (av_frame_make_writable(a->frame) < 0)
            return TRANSCODE_ERR_MEMORY;
        if (av_audio_fifo_read(a->samples, (void **)a->frame->data, frame_samples) < frame_samples)
            return TRANSCODE_ERR_MEMORY;
        a->frame->pts = (int64_t)a->fifo_ts48;
        if (a->n_in_flight < ENCODER_DELAY_FRAMES_MAX)
            a->in_flight[a->n_in_flight++] = a->fifo_ts48;
        a->fifo_ts48 += (uint64_t)frame_samples;
        if (avcodec_send_frame(a->encoder, a->frame) < 0)
            return TRANSCODE_ERR_CODEC;
        take_packets(a);
    }
    return TRANSCODE_OK;
}

/* ---- Resampling ------------------------------------------------------------------------------ */

/* For the format that the decoder gives now; it may change with a new configuration in-band. */
static int prepare_resampler(struct transcode_audio *a)
{
    AVFrame *f = a->decoded;

    if (a->resampler) {
        int64_t rate = 0, format = -1;
        AVChannelLayout layout = {0};
        av_opt_get_int(a->resampler, "isr", 0, &rate);
        av_opt_get_int(a->resampler, "isf", 0, &format);
        av_opt_get_chlayout(a->resampler, "ichl", 0, &layout);
        bool same = rate == f->sample_rate && format == f->format &&
                    av_channel_layout_compare(&layout, &f->ch_layout) == 0;
        av_channel_layout_uninit(&layout);
        if (same)
            return TRANSCODE_OK;
        swr_free(&a->resampler);
    }
    if (swr_alloc_set_opts2(&a->resampler, &a->encoder->ch_layout, a->encoder->sample_fmt, RATE_HZ,
                            &f->ch_layout, (enum AVSampleFormat)f->format, f->sample_rate, 0, NULL) < 0)
        return TRANSCODE_ERR_MEMORY;
    return swr_init(a->resampler) < 0 ? TRANSCODE_ERR_CODEC : TRANSCODE_OK;
}

static int reserve_pcm(struct transcode_audio *a, int samples)
{
    if (samples <= a->pcm_samples)
        return TRANSCODE_OK;
    av_freep(&a->pcm[0]);
    a->pcm_samples = 0;
    if (av_samples_alloc(a->pcm, NULL, TRANSCODE_CHANNELS, samples, a->encoder->sample_fmt, 0) < 0)
        return TRANSCODE_ERR_MEMORY;
    a->pcm_samples = samples;
    return TRANSCODE_OK;
}

static int write_fifo(struct transcode_audio *a, int samples)
{
    return av_audio_fifo_write(a->samples, (void **)a->pcm, samples) < samples ? TRANSCODE_ERR_MEMORY
                                                                               : TRANSCODE_OK;
}

static int resample(struct transcode_audio *a)
{
    int err = prepare_resampler(a);

    if (err)
        return err;
    int room = swr_get_out_samples(a->resampler, a->decoded->nb_samples);
    err = room < 0 ? TRANSCODE_ERR_CODEC : reserve_pcm(a, room);
    if (err)
        return err;
    const uint8_t **in = (const uint8_t **)(uintptr_t)a->decoded->extended_data;
    int n = swr_convert(a->resampler, a->pcm, room, in, a->decoded->nb_samples);
    return n < 0 ? TRANSCODE_ERR_CODEC : write_fifo(a, n);
}

/* ---- Timestamps ------------------------------------------------------------------------------ */

uint64_t transcode_audio_ts48(const struct transcode_audio *a, uint64_t ts_ticks)
{
    uint32_t hz = a->cfg.clock_hz;

    return ts_ticks / hz * RATE_HZ + ts_ticks % hz * RATE_HZ / hz;
}

static int fill_silence(struct transcode_audio *a, int samples)
{
    int err = reserve_pcm(a, samples);

    if (err)
        return err;
    av_samples_set_silence(a->pcm, 0, samples, TRANSCODE_CHANNELS, a->encoder->sample_fmt);
    a->silence += (uint64_t)samples;
    a->next_in48 += (uint64_t)samples;
    return write_fifo(a, samples);
}

static void start_at(struct transcode_audio *a, uint64_t ts48)
{
    if (a->started)
        a->resets++;
    a->started = true;
    av_audio_fifo_reset(a->samples);
    swr_free(&a->resampler);
    avcodec_flush_buffers(a->decoder);
    a->next_in48 = a->fifo_ts48 = ts48;
    a->next_rest = 0;
}

/* The next frame begins at ts48: does it join on to what came before? */
static int join(struct transcode_audio *a, uint64_t ts48)
{
    int64_t off = (int64_t)(ts48 - a->next_in48);

    if (!a->started || off < -GAP_TICKS || off > SILENCE_MAX_TICKS) {
        start_at(a, ts48);
        return TRANSCODE_OK;
    }
    if (off > GAP_TICKS)
        return fill_silence(a, (int)off);
    if (off > FOLLOW_TICKS || off < -FOLLOW_TICKS) {
        a->fifo_ts48 += (uint64_t)off;
        a->next_in48 = ts48;
    }
    return TRANSCODE_OK;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void advance(struct transcode_audio *a, int samples, int rate_hz)
{
    uint64_t ticks = (uint64_t)samples * RATE_HZ + a->next_rest;

    a->next_in48 += ticks / (uint64_t)rate_hz;
    a->next_rest = ticks % (uint64_t)rate_hz;
}

static int take_decoded(struct transcode_audio *a)
{
    int err = TRANSCODE_OK;

    while (!err && avcodec_receive_frame(a->decoder, a->decoded) == 0) {
        advance(a, a->decoded->nb_samples, a->decoded->sample_rate);
        err = resample(a);
        av_frame_unref(a->decoded);
    }
    return err;
}

int transcode_audio_push(struct transcode_audio *a, const uint8_t *data, size_t len, uint64_t ts_ticks)
{
    int err = join(a, transcode_audio_ts48(a, ts_ticks));

    if (err)
        return err;
    if (av_new_packet(a->packet, (int)len) < 0) /* with the padding that decoders read over */
        return TRANSCODE_ERR_MEMORY;
    memcpy(a->packet->data, data, len);
    int sent = avcodec_send_packet(a->decoder, a->packet);
    av_packet_unref(a->packet);
    if (sent < 0)
        return TRANSCODE_ERR_FRAME;
    err = take_decoded(a);
    return err ? err : encode(a);
}

uint64_t transcode_audio_resets(const struct transcode_audio *a)
{
    return a->resets;
}

uint64_t transcode_audio_silence(const struct transcode_audio *a)
{
    return a->silence;
}
