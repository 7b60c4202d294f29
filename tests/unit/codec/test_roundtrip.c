/* SPDX-License-Identifier: Apache-2.0
 * test_roundtrip.c - real frames through packetiser and depacketiser: they come back byte for byte, and no
 * loss of packets ever lets a damaged one out. */
#include "unit/codec/clip.h"
#include "unit/wire/exact.h"

#include "codec/depacketise.h"
#include "codec/h265.h"
#include "codec/inspect.h"
#include "codec/packetise.h"
#include "codec/vpx.h"

/* A clip's payloads, in order. */
struct payload {
    uint8_t *data; /* heap, exactly len bytes */
    size_t len, frame;
    bool last;
};

struct payloads {
    struct payload *list;
    size_t count;
};

static void add_payload(struct payloads *p, const uint8_t *data, size_t len, size_t frame, bool last)
{
    p->list = realloc(p->list, (p->count + 1) * sizeof(*p->list));
    assert_non_null(p->list);
    p->list[p->count++] = (struct payload){exact_dup(data, len), len, frame, last};
}

static void free_payloads(struct payloads *p)
{
    for (size_t i = 0; i < p->count; i++)
        free(p->list[i].data);
    free(p->list);
}

static struct packetise_frame frame_of(const struct clip *c, size_t i)
{
    const struct clip_frame *f = &c->frames[i];
    struct packetise_frame out = {.data = f->data, .len = f->len, .keyframe = f->keyframe};
    struct vpx_frame v;

    if (c->codec == CODEC_VP9 && f->keyframe && vp9_frame_parse(&v, f->data, f->len) == CODEC_OK) {
        out.width = v.width;
        out.height = v.height;
    }
    return out;
}

static struct payloads packetise_clip(const struct clip *c, size_t max)
{
    struct payloads p = {0};
    struct packetiser z;
    uint8_t *buf = malloc(max);

    assert_int_equal(packetiser_init(&z, &(struct packetiser_cfg){.codec = c->codec, .max_payload_bytes = max,
                                                                  .first_picture_id = 32760}), CODEC_OK);
    for (size_t i = 0; i < c->count; i++) {
        struct packetise_frame f = frame_of(c, i);
        bool last = false;
        size_t n, count = 0;
        assert_int_equal(packetise_begin(&z, &f), CODEC_OK);
        for (; (n = packetise_next(&z, buf, max, &last)) > 0; count++) {
            assert_true(n <= max);
            add_payload(&p, buf, n, i, last);
        }
        assert_true(count > 0);
        assert_true(p.list[p.count - 1].last);
    }
    free(buf);
    return p;
}

/* What the depacketiser gives, compared at once with the clip. */
struct sink {
    const struct clip *clip;
    size_t frames, keyframes, next; /* next: no frame before this one may come any more */
};

static void take_frame(void *arg, const struct depacketised_frame *f)
{
    struct sink *s = arg;
    size_t i = f->ts_ticks / 1000;

    assert_true(i >= s->next && i < s->clip->count);
    assert_int_equal(f->len, s->clip->frames[i].len);
    assert_memory_equal(f->data, s->clip->frames[i].data, f->len);
    assert_int_equal(f->keyframe, s->clip->frames[i].keyframe);
    if (s->frames > 0) /* what was lost before the first packet cannot be seen */
        assert_int_equal(f->after_loss, i != s->next);
    s->next = i + 1;
    s->frames++;
    s->keyframes += f->keyframe;
}

/* Push all payloads but list[drop .. drop + burst). */
static struct sink depacketise_clip(const struct clip *c, const struct payloads *p, size_t drop, size_t burst)
{
    struct sink s = {.clip = c};
    struct depacketiser *d;
    size_t lost = 0;

    assert_int_equal(
        depacketiser_create(&d,
                            &(struct depacketiser_cfg){.codec = c->codec, .on_frame = take_frame, .arg = &s}),
        CODEC_OK);
    for (size_t i = 0; i < p->count; i++) {
        if (i >= drop && i - drop < burst)
            continue;
        struct depacketise_packet packet = {p->list[i].data, p->list[i].len, p->list[i].frame * 1000,
                                            65530 + i, p->list[i].last};
        int result = depacketise_push(d, &packet);
        assert_true(result == DEPACKETISE_OK || result == DEPACKETISE_LOST);
        lost += result == DEPACKETISE_LOST;
    }
    bool inside = drop > 0 && drop < p->count && drop + burst < p->count;
    assert_int_equal(lost, inside ? 1 : 0); /* a loss before the first packet or after the last is not seen */
    depacketiser_destroy(&d);
    return s;
}

static const size_t sizes[] = {64, 100, 333, 1160, 1400, 60000};

static void check_round_trip(struct clip c)
{
    size_t keyframes = 0;

    for (size_t i = 0; i < c.count; i++)
        keyframes += c.frames[i].keyframe;
    for (size_t i = 0; i < LEN(sizes); i++) {
        if (c.codec == CODEC_OPUS && sizes[i] < 1000)
            continue;
        struct payloads p = packetise_clip(&c, sizes[i]);
        struct sink s = depacketise_clip(&c, &p, SIZE_MAX, 0);
        print_message("  %s, %zu bytes: %zu frames (%zu keyframes) in %zu packets\n", codec_name(c.codec),
                      sizes[i], s.frames, s.keyframes, p.count);
        /* The very first packet as an AAC fragment: it cannot be told whether it is the first fragment. */
        size_t in_doubt = c.codec == CODEC_AAC && !p.list[0].last;
        assert_int_equal(s.frames, c.count - in_doubt);
        assert_int_equal(s.keyframes, keyframes - in_doubt);
        assert_true(keyframes > 1);
        free_payloads(&p);
    }
    clip_destroy(&c);
}

/* Every loss of one packet, and of bursts: what comes out is whole, and little else is lost. */
static void check_losses(struct clip c)
{
    struct payloads p = packetise_clip(&c, c.codec == CODEC_OPUS ? 1160 : 300);
    size_t first = p.count > 250 ? 250 : p.count;

    for (size_t burst = 1; burst <= 7; burst += 3) {
        for (size_t drop = 0; drop < first; drop++) {
            struct sink s = depacketise_clip(&c, &p, drop, burst);
            size_t touched = 0, end = drop + burst < p.count ? drop + burst : p.count;
            for (size_t i = drop; i < end; i++)
                touched += i == drop || p.list[i].frame != p.list[i - 1].frame;
            assert_true(s.frames <= c.count - touched);
            assert_true(s.frames + touched + 1 >= c.count); /* one more: its beginning was in doubt */
        }
    }
    free_payloads(&p);
    clip_destroy(&c);
}

static void packets_with_their_marker_lost_end_at_the_next_timestamp(void **state)
{
    (void)state;
    for (enum codec codec = CODEC_H264; codec <= CODEC_AV1; codec++) {
        struct clip c = clip_of(codec);
        struct payloads p = packetise_clip(&c, 300);
        for (size_t i = 0; i < p.count; i++)
            p.list[i].last = false;
        struct sink s = depacketise_clip(&c, &p, SIZE_MAX, 0);
        assert_int_equal(s.frames, c.count - 1); /* nothing says that the very last one is at its end */
        free_payloads(&p);
        clip_destroy(&c);
    }
}

/* The first fragment's frame has all payloads of one size but the last. */
static void fragments_are_of_one_size_but_the_last(void **state)
{
    static const size_t header_bytes[CODEC_COUNT] = {[CODEC_VP8] = 4, [CODEC_VP9] = 3, [CODEC_AAC] = 4};

    (void)state;
    for (enum codec codec = CODEC_VP8; codec <= CODEC_AAC; codec++) {
        if (codec == CODEC_OPUS)
            continue;
        struct clip c = clip_of(codec);
        for (size_t s = 0; s < LEN(sizes); s++) {
            struct payloads p = packetise_clip(&c, sizes[s]);
            for (size_t i = 0, first = 0; i < p.count; i++) {
                bool ends = i + 1 == p.count || p.list[i + 1].frame != p.list[i].frame;
                if (i > 0 && p.list[i].frame != p.list[i - 1].frame)
                    first = i;
                size_t slack = codec == CODEC_AV1 ? 3 : 0; /* where a length would leave no room */
                assert_true(p.list[i].len <= p.list[first].len + slack);
                assert_true(ends || p.list[i].len + slack >= p.list[first].len);
                size_t n = c.frames[p.list[i].frame].len, room = sizes[s] - header_bytes[codec];
                if (ends && codec != CODEC_AV1 && !(codec == CODEC_VP9 && c.frames[p.list[i].frame].keyframe))
                    assert_int_equal(i - first + 1, (n + room - 1) / room);
            }
            free_payloads(&p);
        }
        clip_destroy(&c);
    }
}

static void nal_fragments_are_of_one_size_but_the_last(void **state)
{
    (void)state;
    for (enum codec codec = CODEC_H264; codec <= CODEC_H265; codec++) {
        struct clip c = clip_of(codec);
        struct payloads p = packetise_clip(&c, 333);
        size_t size = 0, fragments = 0, at = codec == CODEC_H264 ? 1 : 2;
        for (size_t i = 0; i < p.count; i++) {
            const uint8_t *b = p.list[i].data;
            struct nal n = {b, p.list[i].len};
            bool fu =
                codec == CODEC_H264 ? h264_nal_type(n) == H264_NAL_FU_A : h265_nal_type(n) == H265_NAL_FU;
            if (!fu)
                continue;
            fragments++;
            if (b[at] & 0x80)
                size = p.list[i].len;
            assert_true(b[at] & 0x40 ? p.list[i].len <= size : p.list[i].len == size);
        }
        assert_true(fragments > 20);
        free_payloads(&p);
        clip_destroy(&c);
    }
}

/* Inspection agrees with what the encoder said, packet by packet. */
static void marks_of_real_packets_tell_keyframes_and_borders(void **state)
{
    (void)state;
    for (enum codec codec = CODEC_H264; codec < CODEC_COUNT; codec++) {
        struct clip c = clip_of(codec);
        struct payloads p = packetise_clip(&c, 1160);
        bool audio = codec_kind(codec) == CODEC_KIND_AUDIO;
        for (size_t i = 0; i < p.count; i++) {
            struct payload_marks m;
            bool first = i == 0 || p.list[i].frame != p.list[i - 1].frame;
            assert_int_equal(codec_inspect(codec, p.list[i].data, p.list[i].len, &m), CODEC_OK);
            if (first) {
                assert_true(m.frame_start);
                assert_int_equal(m.keyframe, c.frames[p.list[i].frame].keyframe);
            } else if (codec == CODEC_VP8 || codec == CODEC_VP9) {
                assert_false(m.frame_start);
                assert_false(m.keyframe);
            }
            if (codec == CODEC_VP9 || audio)
                assert_int_equal(m.frame_end, p.list[i].last);
            if (codec == CODEC_VP8 || codec == CODEC_VP9) {
                assert_int_equal(m.picture_id_bits, 15);
                assert_int_equal(m.picture_id, (32760 + p.list[i].frame) & 0x7fff);
                assert_int_equal(m.width, first && m.keyframe ? 320 : 0);
                assert_int_equal(m.height, first && m.keyframe ? 180 : 0);
            }
        }
        free_payloads(&p);
        clip_destroy(&c);
    }
}

/* Parameter sets from outside, for frames that do not have them: RTMP's case. */
static void parameter_sets_come_before_each_keyframe(void **state)
{
    (void)state;
    for (enum codec codec = CODEC_H264; codec <= CODEC_H265; codec++) {
        struct clip c = clip_of(codec);
        uint8_t params[1024], record[1024], stripped[65536];
        struct writer pw = writer_init(params, sizeof(params));
        struct reader r = reader_init(c.frames[0].data, c.frames[0].len);
        struct nal n;
        struct writer fw = writer_init(stripped, sizeof(stripped));
        while (nal_next_prefixed(&r, 4, &n)) {
            uint8_t type = codec == CODEC_H264 ? h264_nal_type(n) : h265_nal_type(n);
            bool set = codec == CODEC_H264 ? type == H264_NAL_SPS || type == H264_NAL_PPS
                                           : type >= H265_NAL_VPS && type <= H265_NAL_PPS;
            nal_write_prefixed(set ? &pw : &fw, n);
        }
        assert_false(pw.bad || fw.bad);
        int len = codec == CODEC_H264 ? avcc_write(record, sizeof(record), params, writer_len(&pw))
                                      : hvcc_write(record, sizeof(record), params, writer_len(&pw));
        assert_true(len > 0);

        struct packetiser z;
        uint8_t buf[1160];
        bool last;
        assert_int_equal(packetiser_init(&z, &(struct packetiser_cfg){.codec = codec}), CODEC_OK);
        struct packetise_frame f = {.data = stripped, .len = writer_len(&fw), .params = params,
                                    .params_len = writer_len(&pw), .keyframe = true};
        for (int key = 0; key <= 1; key++) {
            struct payload_marks m;
            f.keyframe = key;
            assert_int_equal(packetise_begin(&z, &f), CODEC_OK);
            size_t size = packetise_next(&z, buf, sizeof(buf), &last);
            assert_int_equal(codec_inspect(codec, buf, size, &m), CODEC_OK);
            assert_int_equal(m.parameter_sets, key);
        }
        /* Sets inside: those of the caller are not repeated. */
        f.data = c.frames[0].data;
        f.len = c.frames[0].len;
        size_t without = 0, with = 0, size;
        assert_int_equal(packetise_begin(&z, &f), CODEC_OK);
        while ((size = packetise_next(&z, buf, sizeof(buf), &last)) > 0)
            with += size;
        f.params_len = 0;
        assert_int_equal(packetise_begin(&z, &f), CODEC_OK);
        while ((size = packetise_next(&z, buf, sizeof(buf), &last)) > 0)
            without += size;
        assert_int_equal(with, without);
        clip_destroy(&c);
    }
}

#define ROUND_TRIP(name, codec) \
    static void name##_frames_come_back_byte_for_byte(void **state) \
    { \
        (void)state; \
        check_round_trip(clip_of(codec)); \
    } \
    static void no_loss_of_##name##_packets_lets_a_damaged_frame_out(void **state) \
    { \
        (void)state; \
        check_losses(clip_of(codec)); \
    }

ROUND_TRIP(h264, CODEC_H264)
ROUND_TRIP(h265, CODEC_H265)
ROUND_TRIP(vp8, CODEC_VP8)
ROUND_TRIP(vp9, CODEC_VP9)
ROUND_TRIP(av1, CODEC_AV1)
ROUND_TRIP(opus, CODEC_OPUS)
ROUND_TRIP(aac, CODEC_AAC)

#define BOTH(name) \
    cmocka_unit_test(name##_frames_come_back_byte_for_byte), \
        cmocka_unit_test(no_loss_of_##name##_packets_lets_a_damaged_frame_out)

static void h264_of_many_slices_comes_back_byte_for_byte(void **state)
{
    (void)state;
    check_round_trip(clip_create(CODEC_H264,
                                 "-f lavfi -i testsrc2=size=640x360:rate=20:duration=1 -pix_fmt yuv420p "
                                 "-c:v libx264 -preset ultrafast -tune zerolatency -g 8 "
                                 "-x264-params slices=6 -bsf:v h264_metadata=aud=insert -f h264"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(h264),
        BOTH(h265),
        BOTH(vp8),
        BOTH(vp9),
        BOTH(av1),
        BOTH(opus),
        BOTH(aac),
        cmocka_unit_test(h264_of_many_slices_comes_back_byte_for_byte),
        cmocka_unit_test(packets_with_their_marker_lost_end_at_the_next_timestamp),
        cmocka_unit_test(fragments_are_of_one_size_but_the_last),
        cmocka_unit_test(nal_fragments_are_of_one_size_but_the_last),
        cmocka_unit_test(marks_of_real_packets_tell_keyframes_and_borders),
        cmocka_unit_test(parameter_sets_come_before_each_keyframe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
