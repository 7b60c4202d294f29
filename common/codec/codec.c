/* SPDX-License-Identifier: Apache-2.0
 * codec.c - the table of codecs. Pure; any thread. */
#include "codec/codec.h"

#include <strings.h>

#include <string.h>

#include "wire/flv.h"

static const struct {
    const char *name; /* media subtype as IANA registers it */
    uint32_t fourcc;
    uint32_t clock_hz;
    enum codec_kind kind;
} codecs[CODEC_COUNT] = {
    [CODEC_NONE] = {"none", 0, 90000, CODEC_KIND_NONE},
    [CODEC_H264] = {"H264", FLV_AVC1, 90000, CODEC_KIND_VIDEO},
    [CODEC_H265] = {"H265", FLV_HVC1, 90000, CODEC_KIND_VIDEO},
    [CODEC_VP8] = {"VP8", FLV_VP08, 90000, CODEC_KIND_VIDEO},
    [CODEC_VP9] = {"VP9", FLV_VP09, 90000, CODEC_KIND_VIDEO},
    [CODEC_AV1] = {"AV1", FLV_AV01, 90000, CODEC_KIND_VIDEO},
    [CODEC_OPUS] = {"opus", FLV_OPUS, 48000, CODEC_KIND_AUDIO},
    [CODEC_AAC] = {"mpeg4-generic", FLV_MP4A, 48000, CODEC_KIND_AUDIO},
};

static enum codec known(enum codec c)
{
    return c > CODEC_NONE && c < CODEC_COUNT ? c : CODEC_NONE;
}

enum codec_kind codec_kind(enum codec c)
{
    return c == CODEC_DATA ? CODEC_KIND_DATA : codecs[known(c)].kind;
}

const char *codec_name(enum codec c)
{
    return c == CODEC_DATA ? "data" : codecs[known(c)].name;
}

enum codec codec_of_name(const char *name, size_t name_len)
{
    for (enum codec c = CODEC_H264; c < CODEC_COUNT; c++)
        if (strlen(codecs[c].name) == name_len && strncasecmp(codecs[c].name, name, name_len) == 0)
            return c;
    return CODEC_NONE;
}

uint32_t codec_fourcc(enum codec c)
{
    return codecs[known(c)].fourcc;
}

enum codec codec_of_fourcc(uint32_t fourcc)
{
    for (enum codec c = CODEC_H264; c < CODEC_COUNT; c++)
        if (codecs[c].fourcc == fourcc)
            return c;
    return CODEC_NONE;
}

uint32_t codec_clock_hz(enum codec c)
{
    return codecs[known(c)].clock_hz;
}
