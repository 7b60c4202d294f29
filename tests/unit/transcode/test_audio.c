/* SPDX-License-Identifier: Apache-2.0
 * test_audio.c - AAC into Opus and back with real frames: length, timestamps, where the sound is; gaps and jumps. */
#include "unit/codec/clip.h"
#include "unit/wire/exact.h"

#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <math.h>

#include "codec/audio.h"
#include "origin/transcode_audio.h"

#define BASE_MS ((uint64_t)1 << 32)

enum { OUT_MAX = 4096 };

struct out {
    struct {
        uint8_t *data;
        size_t len;
        uint64_t ts48;
    } v[OUT_MAX];
    size_t n;
};

static void on_frame(void *arg, const uint8_t *data, size_t len, uint64_t ts48_ticks)
{
    struct out *o = arg;

    assert_true(o->n < OUT_MAX);
    o->v[o->n].data = exact_dup(data, len);
    o->v[o->n].len = len;
    o->v[o->n++].ts48 = ts48_ticks;
}

static void out_fini(struct out *o)
{
    for (size_t i = 0; i < o->n; i++)
        free(o->v[i].data);
    o->n = 0;
}

struct source {
    struct clip clip;
    uint32_t clock_hz;
    uint32_t frame_ticks;
    uint8_t config[8];
    size_t config_len;
};

static void source_create(struct source *s, enum codec codec, const char *input, uint32_t rate_hz)
{
    struct aac_config aac = {.object_type = AAC_OBJECT_LC, .rate_hz = rate_hz, .channels = 2};
    char arguments[512];

    *s = (struct source){.clock_hz = rate_hz, .frame_ticks = codec == CODEC_AAC ? 1024 : 960};
    snprintf(arguments, sizeof(arguments), "-f lavfi -i %s -ac 2 -ar %u %s", input, rate_hz,
             codec == CODEC_AAC ? "-c:a aac -b:a 128k -f adts" : "-c:a libopus -b:a 96k -f ogg");
    s->clip = clip_create(codec, arguments);
    if (codec == CODEC_AAC)
        s->config_len = (size_t)aac_config_write(s->config, sizeof(s->config), &aac);
}

static struct transcode_audio *open_audio(const struct source *s, struct out *o)
{
    struct transcode_audio_cfg cfg = {
        .from = s->clip.codec,
        .to = s->clip.codec == CODEC_AAC ? CODEC_OPUS : CODEC_AAC,
        .clock_hz = s->clock_hz,
        .config = s->config,
        .config_len = s->config_len,
        .on_frame = on_frame,
        .arg = o,
    };
    struct transcode_audio *a;

    assert_int_equal(transcode_audio_create(&a, &cfg), 0);
    return a;
}

static uint64_t base_ticks(const struct source *s)
{
    return BASE_MS / 1000 * s->clock_hz + BASE_MS % 1000 * s->clock_hz / 1000;
}

static void push(struct transcode_audio *a, const struct source *s, size_t i, uint64_t late_ticks)
{
    const struct clip_frame *f = &s->clip.frames[i % s->clip.count];

    assert_int_equal(transcode_audio_push(a, f->data, f->len, base_ticks(s) + i * s->frame_ticks + late_ticks), 0);
}

#define TONE "sine=frequency=440:duration=4"

static const struct {
    enum codec codec;
    uint32_t rate_hz;
    uint64_t frame_ticks; /* out */
    uint64_t delay_ticks; /* the encoder's, which its first packet's timestamp is earlier */
} rows[] = {
    {CODEC_AAC, 48000, 1920, 312},
    {CODEC_AAC, 44100, 1920, 312},
    {CODEC_AAC, 32000, 1920, 312},
    {CODEC_OPUS, 48000, 1024, 1024},
};

static void length_and_timestamps_are_those_of_the_source(void **state)
{
    (void)state;
    for (size_t r = 0; r < LEN(rows); r++) {
        struct source s;
        struct out o = {.n = 0};
        source_create(&s, rows[r].codec, TONE, rows[r].rate_hz);
        struct transcode_audio *a = open_audio(&s, &o);
        uint64_t first = transcode_audio_ts48(a, base_ticks(&s));
        for (size_t i = 0; i < s.clip.count; i++)
            push(a, &s, i, 0);
        assert_int_equal(o.v[0].ts48, first - rows[r].delay_ticks);
        for (size_t i = 1; i < o.n; i++)
            assert_int_equal(o.v[i].ts48 - o.v[i - 1].ts48, rows[r].frame_ticks);
        uint64_t in_ticks = (uint64_t)s.clip.count * s.frame_ticks * 48000 / rows[r].rate_hz;
        uint64_t out_ticks = o.n * rows[r].frame_ticks;
        assert_in_range(in_ticks - out_ticks, 0, rows[r].delay_ticks + 2 * rows[r].frame_ticks); /* what the encoder has */
        assert_int_equal(transcode_audio_resets(a), 0);
        assert_int_equal(transcode_audio_silence(a), 0);
        for (size_t i = 0; rows[r].codec == CODEC_AAC && i < o.n; i++)
            assert_int_equal(opus_packet_ticks(o.v[i].data, o.v[i].len), TRANSCODE_OPUS_TICKS);
        transcode_audio_destroy(&a);
        assert_null(a);
        out_fini(&o);
        clip_destroy(&s.clip);
    }
}

/* Where the sound begins in the frames, in samples since the first one's timestamp: decoded by libavcodec. */
static double onset(enum AVCodecID id, const struct out *o, const uint8_t *extra, size_t extra_len)
{
    AVCodecContext *d = avcodec_alloc_context3(avcodec_find_decoder(id));
    AVFrame *f = av_frame_alloc();
    AVPacket *p = av_packet_alloc();
    double at = 0, found = -1;

    if (extra_len) {
        d->extradata = av_mallocz(extra_len + AV_INPUT_BUFFER_PADDING_SIZE);
        memcpy(d->extradata, extra, extra_len);
        d->extradata_size = (int)extra_len;
    }
    assert_int_equal(avcodec_open2(d, NULL, NULL), 0);
    for (size_t i = 0; i < o->n; i++) {
        assert_int_equal(av_new_packet(p, (int)o->v[i].len), 0);
        memcpy(p->data, o->v[i].data, o->v[i].len);
        assert_int_equal(avcodec_send_packet(d, p), 0);
        av_packet_unref(p);
        while (avcodec_receive_frame(d, f) == 0) {
            const float *pcm = (const void *)f->data[0];
            assert_int_equal(f->format, AV_SAMPLE_FMT_FLTP);
            for (int k = 0; k < f->nb_samples && found < 0; k++)
                if (fabsf(pcm[k]) > 0.02f)
                    found = at + k;
            at += f->nb_samples;
        }
    }
    av_packet_free(&p);
    av_frame_free(&f);
    avcodec_free_context(&d);
    return found;
}

/* Silence for half a second, then a tone. */
#define BURST "aevalsrc='if(lt(t\\,0.5)\\,0\\,0.5*sin(2*PI*1000*t))':s=48000:d=1.5"

static void the_sound_stays_where_it_was(void **state)
{
    static const struct {
        enum codec codec;
        enum AVCodecID from, to;
    } ways[] = {{CODEC_AAC, AV_CODEC_ID_AAC, AV_CODEC_ID_OPUS}, {CODEC_OPUS, AV_CODEC_ID_OPUS, AV_CODEC_ID_AAC}};

    (void)state;
    for (size_t w = 0; w < LEN(ways); w++) {
        static const uint8_t aac48[] = {0x11, 0x90};
        struct source s;
        struct out in = {.n = 0}, out = {.n = 0};
        source_create(&s, ways[w].codec, BURST, 48000);
        struct transcode_audio *a = open_audio(&s, &out);
        for (size_t i = 0; i < s.clip.count; i++) {
            on_frame(&in, s.clip.frames[i].data, s.clip.frames[i].len, base_ticks(&s) + i * s.frame_ticks);
            push(a, &s, i, 0);
        }
        bool to_aac = ways[w].to == AV_CODEC_ID_AAC;
        double before = onset(ways[w].from, &in, s.config, s.config_len);
        double after = onset(ways[w].to, &out, aac48, to_aac ? sizeof(aac48) : 0);
        assert_true(before > 20000 && after > 20000);
        double moved = (double)(int64_t)(out.v[0].ts48 - in.v[0].ts48) + after - before;
        if (fabs(moved) > 96)
            print_message("way %zu: the sound moved by %g samples\n", w, moved);
        assert_true(fabs(moved) <= 96); /* 2 ms: codecs smear an onset */
        transcode_audio_destroy(&a);
        out_fini(&in);
        out_fini(&out);
        clip_destroy(&s.clip);
    }
}

static void each_step(const struct out *o, uint64_t frame_ticks, size_t *odd, uint64_t *largest)
{
    *odd = 0;
    *largest = 0;
    for (size_t i = 1; i < o->n; i++) {
        uint64_t step = o->v[i].ts48 - o->v[i - 1].ts48;
        *odd += step != frame_ticks;
        *largest = step > *largest ? step : *largest;
    }
}

static void a_short_gap_is_filled_with_silence(void **state)
{
    struct source s;
    struct out o = {.n = 0};
    uint64_t largest;
    size_t odd;

    (void)state;
    source_create(&s, CODEC_AAC, TONE, 48000);
    struct transcode_audio *a = open_audio(&s, &o);
    for (size_t i = 0; i < 100; i++)
        if (i < 50 || i >= 55) /* five frames are lost */
            push(a, &s, i, 0);
    each_step(&o, TRANSCODE_OPUS_TICKS, &odd, &largest);
    assert_int_equal(odd, 0);
    assert_int_equal(transcode_audio_silence(a), 5 * 1024);
    assert_int_equal(transcode_audio_resets(a), 0);
    transcode_audio_destroy(&a);
    out_fini(&o);
    clip_destroy(&s.clip);
}

static void a_jump_begins_anew_where_the_source_is(void **state)
{
    static const int64_t jumps[] = {48000 * 10, -48000 * 10};

    (void)state;
    for (size_t j = 0; j < LEN(jumps); j++) {
        struct source s;
        struct out o = {.n = 0};
        source_create(&s, CODEC_AAC, TONE, 48000);
        struct transcode_audio *a = open_audio(&s, &o);
        for (size_t i = 0; i < 100; i++)
            push(a, &s, i, i < 50 ? 0 : (uint64_t)jumps[j]);
        assert_int_equal(transcode_audio_resets(a), 1);
        uint64_t want = base_ticks(&s) + 99 * 1024 + (uint64_t)jumps[j];
        uint64_t last = o.v[o.n - 1].ts48;
        assert_true(want - last < 3000);
        transcode_audio_destroy(&a);
        out_fini(&o);
        clip_destroy(&s.clip);
    }
}

static void another_clock_is_followed_within_a_millisecond(void **state)
{
    struct source s;
    struct out o = {.n = 0};
    uint64_t largest;
    size_t odd;

    (void)state;
    source_create(&s, CODEC_AAC, TONE, 48000);
    struct transcode_audio *a = open_audio(&s, &o);
    for (size_t i = 0; i < 2000; i++)
        push(a, &s, i, i * 3 / 10); /* 300 ppm slow */
    each_step(&o, TRANSCODE_OPUS_TICKS, &odd, &largest);
    assert_true(largest <= TRANSCODE_OPUS_TICKS + 50);
    uint64_t want = base_ticks(&s) + 2000 * 1024 + 600;
    assert_in_range(want - (o.v[o.n - 1].ts48 + TRANSCODE_OPUS_TICKS + 312), 0, TRANSCODE_OPUS_TICKS + 100);
    assert_int_equal(transcode_audio_resets(a), 0);
    assert_int_equal(transcode_audio_silence(a), 0);
    transcode_audio_destroy(&a);
    out_fini(&o);
    clip_destroy(&s.clip);
}

static void damaged_frames_are_left_out_and_the_next_goes_on(void **state)
{
    static const uint8_t junk[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct source s;
    struct out o = {.n = 0};

    (void)state;
    source_create(&s, CODEC_AAC, TONE, 48000);
    struct transcode_audio *a = open_audio(&s, &o);
    for (size_t i = 0; i < 100; i++) {
        uint8_t *exact = exact_dup(junk, sizeof(junk));
        if (i % 10 == 5)
            assert_int_equal(transcode_audio_push(a, exact, sizeof(junk), base_ticks(&s) + i * 1024),
                             TRANSCODE_ERR_FRAME);
        else
            push(a, &s, i, 0);
        free(exact);
    }
    assert_true(o.n > 50);
    transcode_audio_destroy(&a);
    out_fini(&o);
    clip_destroy(&s.clip);
}

static void what_cannot_be_made_is_said(void **state)
{
    struct transcode_audio *a;
    struct transcode_audio_cfg cfg = {.from = CODEC_AAC, .to = CODEC_OPUS, .clock_hz = 48000,
                                      .config = (const uint8_t *)"\xff\xff", .config_len = 2};

    (void)state;
    assert_int_equal(transcode_audio_create(&a, &cfg), TRANSCODE_ERR_CODEC);
    assert_null(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(length_and_timestamps_are_those_of_the_source),
        cmocka_unit_test(the_sound_stays_where_it_was),
        cmocka_unit_test(a_short_gap_is_filled_with_silence),
        cmocka_unit_test(a_jump_begins_anew_where_the_source_is),
        cmocka_unit_test(another_clock_is_followed_within_a_millisecond),
        cmocka_unit_test(damaged_frames_are_left_out_and_the_next_goes_on),
        cmocka_unit_test(what_cannot_be_made_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
