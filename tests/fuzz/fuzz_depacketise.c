/* SPDX-License-Identifier: Apache-2.0
 * fuzz_depacketise.c - a codec and a list of packets (flags, length, payload) into its depacketiser. What
 * comes out must be canonical: packetise.h takes it. */
#include <stdlib.h>
#include <string.h>

#include "codec/depacketise.h"
#include "codec/packetise.h"

static void check_frame(void *arg, const struct depacketised_frame *f)
{
    enum codec *codec = arg;
    struct packetiser p;
    struct packetise_frame again = {.data = f->data, .len = f->len, .keyframe = f->keyframe};

    if (f->len == 0 || f->last_seq < f->first_seq ||
        packetiser_init(&p, &(struct packetiser_cfg){.codec = *codec, .max_payload_bytes = 4096}))
        abort();
    if (packetise_begin(&p, &again))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MARKER = 1, NEW_TIME = 2, GAP = 4 };
    struct depacketiser *d;
    uint64_t seq = 1, ts_ticks = 0;

    if (size == 0)
        return 0;
    enum codec codec = (enum codec)(1 + data[0] % (CODEC_COUNT - 1));
    struct depacketiser_cfg cfg = {
        .codec = codec, .max_frame_bytes = 4096, .on_frame = check_frame, .arg = &codec};
    if (depacketiser_create(&d, &cfg))
        abort();
    for (size_t at = 1; at + 2 <= size;) {
        uint8_t flags = data[at], want = data[at + 1];
        size_t len = want < size - at - 2 ? want : size - at - 2;
        uint8_t *payload = malloc(len ? len : 1);
        memcpy(payload, data + at + 2, len);
        seq += flags & GAP ? 2 : 1;
        ts_ticks += flags & NEW_TIME ? 3000 : 0;
        struct depacketise_packet p = {payload, len, ts_ticks, seq, flags & MARKER};
        depacketise_push(d, &p);
        free(payload);
        at += 2 + len;
    }
    depacketiser_destroy(&d);
    return 0;
}
