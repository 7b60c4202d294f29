/* SPDX-License-Identifier: Apache-2.0
 * fuzz_packetise.c - any bytes as a frame through packetiser and depacketiser: what is accepted comes back,
 * no payload is larger than asked for, and a keyframe's parameter sets come first. */
#include <stdlib.h>
#include <string.h>

#include "codec/depacketise.h"
#include "codec/packetise.h"

struct expect {
    const uint8_t *data;
    size_t len, frames;
    bool exact;
};

static void check_frame(void *arg, const struct depacketised_frame *f)
{
    struct expect *e = arg;

    e->frames++;
    if (e->exact && (f->len != e->len || memcmp(f->data, e->data, f->len) != 0))
        abort();
}

/* Push the frame's payloads; returns how many there were. */
static size_t send(struct packetiser *p, struct depacketiser *d, size_t max)
{
    uint8_t buf[2048];
    uint64_t seq = 2;
    size_t n;
    bool last, ended = false;

    while ((n = packetise_next(p, buf, sizeof(buf), &last)) > 0) {
        if (n > max || ended)
            abort();
        ended = last;
        depacketise_push(d, &(struct depacketise_packet){buf, n, 3000, seq++, last});
    }
    if (seq > 2 && !ended)
        abort();
    return (size_t)(seq - 2);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct packetiser p;
    struct depacketiser *d;

    if (size < 3)
        return 0;
    enum codec codec = (enum codec)(1 + data[0] % (CODEC_COUNT - 1));
    size_t max = PACKETISE_PAYLOAD_MIN_BYTES + (size_t)data[1] * 4;
    struct packetise_frame f = {.data = data + 3, .len = size - 3, .keyframe = data[2] & 1};
    struct expect e = {.data = f.data, .len = f.len};
    struct depacketiser_cfg cfg = {.codec = codec, .on_frame = check_frame, .arg = &e};

    if (data[2] & 2) { /* parameter sets of their own */
        f.params_len = f.len / 4;
        f.params = f.data + f.len - f.params_len;
        f.len -= f.params_len;
    }
    if (data[2] & 4)
        f.width = f.height = 100;
    if (depacketiser_create(&d, &cfg) ||
        packetiser_init(&p, &(struct packetiser_cfg){.codec = codec, .max_payload_bytes = max}))
        abort();
    /* A packet before, so that the first one of the frame is known for one. */
    depacketise_push(d, &(struct depacketise_packet){(const uint8_t *)"\x10\x10x", 3, 0, 1, true});
    e.frames = 0;
    e.len = f.len;
    /* These come back as they are; the NAL and OBU formats leave units out. */
    e.exact = codec >= CODEC_VP8 && codec != CODEC_AV1;
    if (packetise_begin(&p, &f) == CODEC_OK && send(&p, d, max) > 0 && e.exact && e.frames != 1)
        abort();
    depacketiser_destroy(&d);
    return 0;
}
