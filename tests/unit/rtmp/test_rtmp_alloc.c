/* SPDX-License-Identifier: Apache-2.0
 * test_rtmp_alloc.c - from an RTMP publisher's bytes to packets nothing is allocated: chunks, messages, frames, packets. */
#include "unit/codec/clip.h"
#include "unit/io/count_alloc.h"
#include "unit/rtmp/stub_publish.h"

#include "codec/h264.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_media.h"
#include "wire/flv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOW_US 1700000000000000u

enum { PACKETS = 10000, FRAME_MS = 33, PICTURE_BYTES = 9000, SOUND_BYTES = 250, CHUNK_BYTES = 4096, ROOM = 1 << 16 };

static const uint8_t ASC[] = {0x11, 0x90}; /* AAC-LC, 48 kHz, stereo */

struct scene {
    struct relay relay;
    struct publication *publication;
    struct rtmp_media *media;
    struct rtmp_chunk_reader *reader;
    uint8_t bytes[ROOM], body[ROOM];
    uint32_t ts_ms;
};

/* One message as it comes from the network, in pieces, up to the relay. */
static void feed(struct scene *s, enum rtmp_message_type type, const struct flv_media *v)
{
    struct writer body = writer_init(s->body, sizeof(s->body)), w = writer_init(s->bytes, sizeof(s->bytes));
    struct rtmp_message m;

    assert_int_equal(type == RTMP_VIDEO ? flv_video_write(&body, v) : flv_audio_write(&body, v), 0);
    writer_bytes(&body, v->data, v->data_len);
    rtmp_chunk_write(&w, &(struct rtmp_message){.body = s->body, .len = writer_len(&body), .ts_ms = s->ts_ms, .stream_id = 1,
                                                .chunk_stream = type == RTMP_VIDEO ? 6 : 4, .type = (uint8_t)type}, CHUNK_BYTES);
    assert_false(body.bad || w.bad);
    for (size_t at = 0; at < writer_len(&w); at += 1448) {
        size_t n = writer_len(&w) - at < 1448 ? writer_len(&w) - at : 1448;
        struct reader in = reader_init(s->bytes + at, n);
        while (reader_left(&in) && rtmp_chunk_read(s->reader, &in, &m) == 1)
            assert_int_equal(rtmp_media_push(s->media, &m, NOW_US + s->ts_ms * 1000u), RTMP_MEDIA_OK);
    }
}

static void begin(struct scene *s)
{
    static const struct publish_ops ops;
    uint8_t size[4] = {0, 0, CHUNK_BYTES >> 8, 0};
    struct reader in;
    struct rtmp_message m;
    struct clip clip = clip_of(CODEC_H264);
    uint8_t bytes[64], avcc[512];
    int avcc_len = avcc_write(avcc, sizeof(avcc), clip.frames[0].data, clip.frames[0].len);
    struct writer w = writer_init(bytes, sizeof(bytes));

    assert_true(avcc_len > 0);
    memset(s, 0, sizeof(*s));
    s->relay.discards = true;
    assert_int_equal(publish_claim(&s->publication, &s->relay, "live/test", "rtmp", &ops, NULL), 0);
    assert_int_equal(rtmp_media_create(&s->media, &(struct rtmp_media_cfg){.name = "live/test"}), 0);
    assert_int_equal(rtmp_chunk_reader_create(&s->reader), RTMP_CHUNK_OK);
    rtmp_chunk_write(&w, &(struct rtmp_message){.body = size, .len = 4, .chunk_stream = 2, .type = RTMP_SET_CHUNK_SIZE}, 128);
    in = reader_init(bytes, writer_len(&w));
    assert_true(rtmp_chunk_read(s->reader, &in, &m) >= 0);
    rtmp_media_start(s->media, s->publication);
    feed(s, RTMP_VIDEO, &(struct flv_media){.fourcc = FLV_AVC1, .packet = FLV_PACKET_SEQUENCE_START, .keyframe = true,
                                            .data = avcc, .data_len = (size_t)avcc_len});
    clip_destroy(&clip);
    feed(s, RTMP_AUDIO, &(struct flv_media){.fourcc = FLV_MP4A, .packet = FLV_PACKET_SEQUENCE_START, .data = ASC, .data_len = sizeof(ASC)});
}

/* A picture and a piece of sound. */
static void moment(struct scene *s, bool key)
{
    static uint8_t picture[PICTURE_BYTES] = {0, 0, (PICTURE_BYTES - 4) >> 8, (PICTURE_BYTES - 4) & 0xff};
    static const uint8_t sound[SOUND_BYTES] = {0x21};

    picture[4] = key ? 0x65 : 0x41;
    picture[5] = key ? 0x88 : 0x9a;
    feed(s, RTMP_VIDEO, &(struct flv_media){.fourcc = FLV_AVC1, .packet = FLV_PACKET_FRAME, .keyframe = key, .data = picture,
                                            .data_len = sizeof(picture)});
    feed(s, RTMP_AUDIO, &(struct flv_media){.fourcc = FLV_MP4A, .packet = FLV_PACKET_FRAME, .data = sound, .data_len = sizeof(sound)});
    s->ts_ms += FRAME_MS;
}

static void ten_thousand_packets_are_made_without_an_allocation(void **state)
{
    struct scene *s = malloc(sizeof(*s));

    (void)state;
    assert_non_null(s);
    begin(s);
    for (unsigned i = 0; i < 60; i++) /* buffers grow to their sizes */
        moment(s, i % 30 == 0);
    size_t before = count_allocs(), packets = s->relay.n_packets;
    assert_true(packets > 0);
    for (unsigned i = 0; s->relay.n_packets < packets + PACKETS; i++)
        moment(s, i % 30 == 0);
    assert_int_equal(count_allocs() - before, 0);
    rtmp_media_destroy(&s->media);
    rtmp_chunk_reader_destroy(&s->reader);
    publish_close(&s->publication);
    stub_relay_fini(&s->relay);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ten_thousand_packets_are_made_without_an_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
