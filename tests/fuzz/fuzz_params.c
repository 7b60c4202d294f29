/* SPDX-License-Identifier: Apache-2.0
 * fuzz_params.c - parameter sets, configuration records and frame headers of all codecs. */
#include <stdlib.h>

#include "codec/audio.h"
#include "codec/av1.h"
#include "codec/h265.h"
#include "codec/vpx.h"

static void nal_records(const uint8_t *data, size_t size)
{
    static uint8_t out[1 << 16], record[1 << 16];
    struct avcc a;
    struct hvcc h;

    /* What comes out of a record, written as a record, parses again. */
    if (avcc_parse(&a, data, size) == CODEC_OK) {
        int n = avcc_params_write(out, sizeof(out), &a);
        n = n > 0 ? avcc_write(record, sizeof(record), out, (size_t)n) : n;
        if (n > 0 && avcc_parse(&a, record, (size_t)n))
            abort();
    }
    if (hvcc_parse(&h, data, size) == CODEC_OK) {
        int n = hvcc_params_write(out, sizeof(out), &h);
        n = n > 0 ? hvcc_write(record, sizeof(record), out, (size_t)n) : n;
        if (n > 0 && hvcc_parse(&h, record, (size_t)n))
            abort();
    }
    for (uint8_t bytes = 1; bytes <= 4; bytes++)
        (void)!nal_canonical_from_prefixed(out, sizeof(out), data, size, bytes);
    int n = nal_canonical_from_annexb(out, sizeof(out), data, size);
    if (n > 0) {
        h264_frame_is_key(out, (size_t)n);
        h265_frame_is_key(out, (size_t)n);
    }
}

static void others(const uint8_t *data, size_t size)
{
    uint8_t out[2048 + 64];
    struct vpx_frame f;
    struct vpcc v;
    struct av1_sequence s;
    struct av1c c;
    struct aac_config config;
    struct opus_head head;
    size_t header;

    (void)!vp8_frame_parse(&f, data, size);
    (void)!vp9_frame_parse(&f, data, size);
    (void)!vpcc_parse(&v, data, size);
    (void)!av1_sequence_parse(&s, data, size);
    (void)!av1c_parse(&c, data, size);
    (void)!av1c_write(out, sizeof(out), data, size);
    if (aac_config_parse(&config, data, size) == CODEC_OK)
        (void)!aac_config_write(out, sizeof(out), &config);
    int n = aac_adts_parse(&config, &header, data, size);
    if (n > 0 && ((size_t)n > size || header >= (size_t)n))
        abort();
    (void)!opus_packet_ticks(data, size);
    (void)!opus_head_parse(&head, data, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sps_info s;

    if (size > 0) {
        if (h264_sps_parse(&s, (struct nal){data, size}) == CODEC_OK && (s.width == 0 || s.height == 0))
            abort();
        if (h265_sps_parse(&s, (struct nal){data, size}) == CODEC_OK && (s.width == 0 || s.height == 0))
            abort();
    }
    nal_records(data, size);
    others(data, size);
    return 0;
}
