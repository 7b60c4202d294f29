/* SPDX-License-Identifier: Apache-2.0
 * fuzz_flv.c - FLV files and tag bodies; a media header that parses is written and must parse the same. */
#include <stdlib.h>

#include "wire/flv.h"

static void check_media(const uint8_t *body, size_t len, bool audio)
{
    uint8_t out[FLV_MEDIA_HEADER_MAX_BYTES];
    struct writer w = writer_init(out, sizeof(out));
    struct flv_media m, back;

    if (audio ? flv_audio_parse(&m, body, len) : flv_video_parse(&m, body, len))
        return;
    if (audio ? flv_audio_write(&w, &m) : flv_video_write(&w, &m))
        return; /* not one that we send */
    if (audio ? flv_audio_parse(&back, out, writer_len(&w)) : flv_video_parse(&back, out, writer_len(&w)))
        abort();
    if (back.fourcc != m.fourcc || back.packet != m.packet)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct reader r = reader_init(data, size);
    struct flv_tag t;
    bool audio, video;

    check_media(data, size, true);
    check_media(data, size, false);
    if (flv_file_header_parse(&r, &audio, &video))
        r = reader_init(data, size);
    while (flv_tag_parse(&r, &t) == FLV_OK)
        check_media(t.body, t.body_len, t.type == FLV_TAG_AUDIO);
    return 0;
}
