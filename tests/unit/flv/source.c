/* SPDX-License-Identifier: Apache-2.0 */
#include "unit/flv/source.h"

#include "codec/audio.h"
#include "codec/h264.h"
#include "codec/packetise.h"
#include "unit/wire/exact.h"
#include "wire/flv.h"

static uint8_t *run(const char *arguments, size_t *len)
{
    char command[1024];
    size_t cap = 1 << 20, n;
    uint8_t *bytes = malloc(cap);

    snprintf(command, sizeof(command), "ffmpeg -nostdin -hide_banner -loglevel error %s -f flv pipe:1", arguments);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    *len = 0;
    while ((n = fread(bytes + *len, 1, cap - *len, f)) > 0) {
        *len += n;
        if (*len == cap)
            bytes = realloc(bytes, cap *= 2);
        assert_non_null(bytes);
    }
    assert_int_equal(pclose(f), 0);
    return bytes;
}

static void take_sequence_header(struct source *s, unsigned track, const struct flv_media *m)
{
    struct track *t = &s->tracks.v[track];
    struct aac_config aac;

    assert_true(m->data_len <= TRACK_CONFIG_MAX);
    *t = (struct track){.codec = track == 0 ? CODEC_H264 : CODEC_AAC, .clock_hz = 90000, .n_layers = 1};
    memcpy(t->config, m->data, m->data_len);
    t->config_len = m->data_len;
    if (track == 0) {
        memcpy(s->avcc, m->data, m->data_len);
        s->avcc_len = m->data_len;
        return;
    }
    assert_int_equal(aac_config_parse(&aac, m->data, m->data_len), 0);
    t->clock_hz = aac.rate_hz;
    t->channels = aac.channels;
}

static void take_frame(struct source *s, unsigned track, const struct flv_media *m, uint32_t dts_ms)
{
    s->tags = realloc(s->tags, (s->n_tags + 1) * sizeof(*s->tags));
    assert_non_null(s->tags);
    s->tags[s->n_tags++] = (struct source_tag){.data = exact_dup(m->data, m->data_len), .len = m->data_len,
                                               .dts_ms = dts_ms, .cts_ms = m->cts_ms, .track = track,
                                               .keyframe = track == 1 || m->keyframe};
    s->n_video += track == 0;
    s->n_audio += track == 1;
}

static void read_tags(struct source *s, const uint8_t *bytes, size_t len)
{
    struct reader r = reader_init(bytes, len);
    struct flv_tag tag;
    struct flv_media m;
    bool audio, video;

    assert_int_equal(flv_file_header_parse(&r, &audio, &video), FLV_OK);
    while (flv_tag_parse(&r, &tag) == FLV_OK) {
        unsigned track = tag.type == FLV_TAG_VIDEO ? 0 : 1;
        if (tag.type == FLV_TAG_SCRIPT)
            continue;
        assert_int_equal(track == 0 ? flv_video_parse(&m, tag.body, tag.body_len)
                                    : flv_audio_parse(&m, tag.body, tag.body_len), FLV_OK);
        if (m.packet == FLV_PACKET_SEQUENCE_START)
            take_sequence_header(s, track, &m);
        else if (m.packet == FLV_PACKET_FRAME)
            take_frame(s, track, &m, tag.ts_ms);
    }
}

static void add_packet(struct source *s, struct packet *p)
{
    s->packets = realloc(s->packets, (s->n_packets + 1) * sizeof(struct packet *));
    assert_non_null(s->packets);
    s->packets[s->n_packets++] = p;
}

static void cut(struct source *s, const struct source_tag *t, struct packetiser *by, uint64_t *seq, uint64_t ts_ticks)
{
    uint8_t params[512];
    struct avcc record;
    struct packetise_frame f = {.data = t->data, .len = t->len, .keyframe = t->keyframe, .params = params};
    bool last = false, first = true;

    assert_int_equal(avcc_parse(&record, s->avcc, s->avcc_len), 0);
    int n = avcc_params_write(params, sizeof(params), &record);
    assert_true(n > 0);
    f.params_len = (size_t)n;
    assert_int_equal(packetise_begin(by, &f), 0);
    while (!last) {
        struct packet *p = packet_create(s->pool);
        assert_non_null(p);
        p->payload_len = (uint16_t)packetise_next(by, p->bytes, PACKET_PAYLOAD_MAX, &last);
        assert_true(p->payload_len > 0);
        p->seq = (*seq)++;
        p->ts_ticks = ts_ticks;
        p->cts_ticks = t->cts_ms * 90;
        p->capture_us = SOURCE_CAPTURE_US + (uint64_t)((int64_t)t->dts_ms + t->cts_ms) * 1000;
        p->track = (uint8_t)t->track;
        p->flags = (uint8_t)((first ? PACKET_FRAME_START : 0) | (last ? PACKET_FRAME_END | PACKET_MARKER : 0) |
                             (t->keyframe ? PACKET_KEYFRAME : 0));
        first = false;
        add_packet(s, p);
    }
}

static void make_packets(struct source *s)
{
    struct packetiser by[2];
    uint64_t seq[2] = {PACKET_SEQ_FIRST, PACKET_SEQ_FIRST + 65000}; /* audio's low bits wrap soon */
    uint64_t samples = 0;

    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(packetiser_init(&by[i], &(struct packetiser_cfg){.codec = s->tracks.v[i].codec}), 0);
    for (size_t i = 0; i < s->n_tags; i++) {
        const struct source_tag *t = &s->tags[i];
        uint64_t pts_ms = ((uint64_t)1 << 32) + (uint64_t)((int64_t)t->dts_ms + t->cts_ms);
        /* Another base for audio, as with a browser: only capture times tie the two together. */
        uint64_t ts = t->track == 0 ? pts_ms * 90 : ((uint64_t)1 << 40) + samples;
        samples += t->track == 1 ? 1024 : 0;
        cut(s, t, &by[t->track], &seq[t->track], ts);
    }
}

void source_create(struct source *s, const char *ffmpeg_arguments)
{
    size_t len;
    uint8_t *bytes = run(ffmpeg_arguments, &len);

    memset(s, 0, sizeof(*s));
    s->tracks.epoch = 1;
    s->tracks.n = 2;
    assert_int_equal(packet_pool_create(&s->pool, 20000), 0);
    read_tags(s, bytes, len);
    free(bytes);
    make_packets(s);
}

void source_destroy(struct source *s)
{
    for (size_t i = 0; i < s->n_tags; i++)
        free(s->tags[i].data);
    for (size_t i = 0; i < s->n_packets; i++)
        packet_unref(&s->packets[i]);
    free(s->tags);
    free(s->packets);
    pool_destroy(&s->pool);
}
