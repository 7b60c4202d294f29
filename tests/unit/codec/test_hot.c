/* SPDX-License-Identifier: Apache-2.0
 * test_hot.c - ten thousand packets of each codec through packetiser, inspection and depacketiser: once the
 * frame buffer has its size, nothing is allocated. The linker puts the counting functions below before the
 * allocator's (--wrap). */
#include "unit/codec/clip.h"
#include "unit/wire/exact.h"

#include "codec/depacketise.h"
#include "codec/inspect.h"
#include "codec/packetise.h"

static size_t allocations;

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t n);
void *__real_realloc(void *p, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t count, size_t n);
void *__wrap_realloc(void *p, size_t n);

void *__wrap_malloc(size_t n)
{
    allocations++;
    return __real_malloc(n);
}

void *__wrap_calloc(size_t count, size_t n)
{
    allocations++;
    return __real_calloc(count, n);
}

void *__wrap_realloc(void *p, size_t n)
{
    allocations++;
    return __real_realloc(p, n);
}

static void count_frame(void *arg, const struct depacketised_frame *f)
{
    size_t *frames = arg;

    *frames += f->len > 0;
}

/* Send the clip over and over until `packets` have passed. */
static uint64_t run(struct packetiser *p, struct depacketiser *d, const struct clip *c, uint64_t seq,
                    size_t packets)
{
    uint64_t end = seq + packets;

    for (size_t i = 0; seq < end; i++) {
        const struct clip_frame *f = &c->frames[i % c->count];
        uint8_t buf[PACKETISE_PAYLOAD_DEFAULT_BYTES];
        struct payload_marks m;
        size_t n;
        bool last;

        assert_int_equal(packetise_begin(p, &(struct packetise_frame){.data = f->data, .len = f->len}),
                         CODEC_OK);
        while ((n = packetise_next(p, buf, sizeof(buf), &last)) > 0) {
            assert_int_equal(codec_inspect(c->codec, buf, n, &m), CODEC_OK);
            struct depacketise_packet packet = {buf, n, 3000 * i, seq, last};
            assert_int_equal(depacketise_push(d, &packet), DEPACKETISE_OK);
            seq++;
        }
    }
    return seq;
}

static void ten_thousand_packets_allocate_nothing(void **state)
{
    (void)state;
    for (enum codec codec = CODEC_H264; codec < CODEC_COUNT; codec++) {
        struct clip c = clip_of(codec);
        size_t frames = 0;
        struct packetiser p;
        struct depacketiser *d;
        struct depacketiser_cfg cfg = {.codec = codec, .on_frame = count_frame, .arg = &frames};

        assert_int_equal(packetiser_init(&p, &(struct packetiser_cfg){.codec = codec}), CODEC_OK);
        assert_int_equal(depacketiser_create(&d, &cfg), CODEC_OK);
        uint64_t seq = run(&p, d, &c, 1, 2 * c.count * 8); /* the buffer grows to the largest frame */
        size_t before = allocations;
        run(&p, d, &c, seq, 10000);
        assert_int_equal(allocations, before);
        assert_true(before > 0);
        assert_true(frames > 1000);
        depacketiser_destroy(&d);
        clip_destroy(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(ten_thousand_packets_allocate_nothing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
