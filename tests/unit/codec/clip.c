/* SPDX-License-Identifier: Apache-2.0
 * clip.c - running ffmpeg and splitting Annex B, IVF, ADTS and Ogg into frames. */
#include "unit/codec/clip.h"

#include "unit/wire/exact.h"

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h265.h"
#include "codec/vpx.h"

static uint8_t *read_command(const char *command, size_t *len)
{
    FILE *f = popen(command, "r");
    size_t cap = 1 << 16, n;
    uint8_t *bytes = malloc(cap);

    assert_non_null(f);
    *len = 0;
    while ((n = fread(bytes + *len, 1, cap - *len, f)) > 0) {
        *len += n;
        if (*len == cap)
            bytes = realloc(bytes, cap *= 2);
        assert_non_null(bytes);
    }
    assert_int_equal(pclose(f), 0);
    assert_true(*len > 0);
    return bytes;
}

static void add_frame(struct clip *c, const uint8_t *data, size_t len, bool keyframe)
{
    c->frames = realloc(c->frames, (c->count + 1) * sizeof(*c->frames));
    assert_non_null(c->frames);
    c->frames[c->count++] = (struct clip_frame){exact_dup(data, len), len, keyframe};
}

/* A frame begins at each access unit delimiter (the bitstream filter put them in); they are left out. */
static void split_annexb(struct clip *c, const uint8_t *bytes, size_t len)
{
    bool h264 = c->codec == CODEC_H264;
    struct reader r = reader_init(bytes, len);
    uint8_t *buf = malloc(len * 2);
    struct writer w = writer_init(buf, len * 2);
    struct nal n;

    for (bool more = true; more;) {
        more = nal_next_annexb(&r, &n);
        bool aud = more && (h264 ? h264_nal_type(n) == H264_NAL_AUD : h265_nal_type(n) == H265_NAL_AUD);
        if ((aud || !more) && writer_len(&w) > 0) {
            bool key = h264 ? h264_frame_is_key(buf, writer_len(&w)) : h265_frame_is_key(buf, writer_len(&w));
            add_frame(c, buf, writer_len(&w), key);
            w = writer_init(buf, len * 2);
        }
        if (more && !aud)
            nal_write_prefixed(&w, n);
    }
    free(buf);
}

static size_t read_le(const uint8_t *p, unsigned n)
{
    size_t v = 0;

    while (n-- > 0)
        v = v << 8 | p[n];
    return v;
}

/* AV1: the temporal delimiter that IVF keeps at the beginning goes. */
static void add_ivf_frame(struct clip *c, const uint8_t *data, size_t len)
{
    struct vpx_frame f = {0};
    struct av1_obu obu;
    struct reader r = reader_init(data, len);

    if (c->codec == CODEC_AV1) {
        assert_int_equal(av1_obu_next(&r, &obu), 1);
        if (obu.type == AV1_OBU_TEMPORAL_DELIMITER)
            add_frame(c, r.p, reader_left(&r), av1_unit_is_key(data, len));
        else
            add_frame(c, data, len, av1_unit_is_key(data, len));
        return;
    }
    assert_int_equal(c->codec == CODEC_VP8 ? vp8_frame_parse(&f, data, len) : vp9_frame_parse(&f, data, len),
                     0);
    add_frame(c, data, len, f.keyframe);
}

static void split_ivf(struct clip *c, const uint8_t *bytes, size_t len)
{
    assert_memory_equal(bytes, "DKIF", 4);
    for (size_t at = read_le(bytes + 6, 2); at + 12 <= len;) {
        size_t n = read_le(bytes + at, 4);
        assert_true(at + 12 + n <= len);
        add_ivf_frame(c, bytes + at + 12, n);
        at += 12 + n;
    }
}

static void split_adts(struct clip *c, const uint8_t *bytes, size_t len)
{
    struct aac_config config;
    size_t header;

    for (size_t at = 0; at < len;) {
        int n = aac_adts_parse(&config, &header, bytes + at, len - at);
        assert_true(n > 0);
        add_frame(c, bytes + at + header, (size_t)n - header, true);
        at += (size_t)n;
    }
}

/* Ogg pages (RFC 3533); the first two packets are OpusHead and OpusTags. */
static void split_ogg(struct clip *c, const uint8_t *bytes, size_t len)
{
    uint8_t packet[65536];
    size_t n = 0, packets = 0;

    for (size_t at = 0; at + 27 <= len;) {
        assert_memory_equal(bytes + at, "OggS", 4);
        size_t segments = bytes[at + 26], body = at + 27 + segments;
        for (size_t i = 0; i < segments; i++) {
            size_t lace = bytes[at + 27 + i];
            assert_true(body + lace <= len && n + lace <= sizeof(packet));
            memcpy(packet + n, bytes + body, lace);
            n += lace;
            body += lace;
            if (lace == 255)
                continue;
            if (packets++ >= 2)
                add_frame(c, packet, n, true);
            n = 0;
        }
        at = body;
    }
}

struct clip clip_create(enum codec codec, const char *ffmpeg_arguments)
{
    struct clip c = {.codec = codec};
    char command[1024];
    size_t len;

    snprintf(command, sizeof(command), "ffmpeg -hide_banner -loglevel error -nostdin %s pipe:1",
             ffmpeg_arguments);
    uint8_t *bytes = read_command(command, &len);
    switch (codec) {
    case CODEC_H264:
    case CODEC_H265: split_annexb(&c, bytes, len); break;
    case CODEC_OPUS: split_ogg(&c, bytes, len); break;
    case CODEC_AAC: split_adts(&c, bytes, len); break;
    default: split_ivf(&c, bytes, len); break;
    }
    free(bytes);
    assert_true(c.count > 10);
    return c;
}

void clip_destroy(struct clip *c)
{
    for (size_t i = 0; i < c->count; i++)
        free(c->frames[i].data);
    free(c->frames);
    *c = (struct clip){0};
}

#define PICTURE "-f lavfi -i testsrc2=size=320x180:rate=20:duration=2 -pix_fmt yuv420p -threads 1 "
#define TONE "-f lavfi -i sine=frequency=440:sample_rate=48000:duration=1 -ac 2 "

struct clip clip_of(enum codec codec)
{
    static const char *const arguments[CODEC_COUNT] = {
        [CODEC_H264] = PICTURE "-c:v libx264 -preset veryfast -g 10 -bsf:v h264_metadata=aud=insert -f h264",
        [CODEC_H265] =
            PICTURE "-c:v libx265 -preset ultrafast -x265-params log-level=none:pools=none:keyint=10 "
                    "-bsf:v hevc_metadata=aud=insert -f hevc",
        [CODEC_VP8] = PICTURE "-c:v libvpx -deadline realtime -cpu-used 8 -g 10 -b:v 1M -f ivf",
        [CODEC_VP9] = PICTURE "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -g 10 -b:v 1M -f ivf",
        [CODEC_AV1] = PICTURE "-c:v libaom-av1 -usage realtime -cpu-used 8 -g 10 -b:v 1M -f ivf",
        [CODEC_OPUS] = TONE "-c:a libopus -b:a 96k -f ogg",
        [CODEC_AAC] = TONE "-c:a aac -b:a 128k -f adts",
    };

    return clip_create(codec, arguments[codec]);
}
