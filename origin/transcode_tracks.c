/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/transcode_tracks.h"

#include <assert.h>

#include "codec/audio.h"

static enum codec counterpart(enum codec c)
{
    switch (c) {
    case CODEC_AAC:
        return CODEC_OPUS;
    case CODEC_OPUS:
        return CODEC_AAC;
    default:
        return CODEC_NONE;
    }
}

static void describe(struct track *out, enum codec codec, unsigned source)
{
    *out = (struct track){
        .codec = codec,
        .clock_hz = TRANSCODE_CLOCK_HZ,
        .channels = TRANSCODE_CHANNELS,
        .n_layers = 1,
        .derived = true,
        .source = (uint8_t)source,
    };
    if (codec != CODEC_AAC)
        return;
    struct aac_config config = {
        .rate_hz = TRANSCODE_CLOCK_HZ, .object_type = AAC_OBJECT_LC, .channels = TRANSCODE_CHANNELS};
    int len = aac_config_write(out->config, sizeof(out->config), &config);
    assert(len > 0);
    out->config_len = (size_t)len;
}

void transcode_derive_tracks(struct track_set *set)
{
    size_t native = set->n;

    for (unsigned t = 0; t < native && set->n < TRACKS_MAX; t++) {
        enum codec other = counterpart(set->v[t].codec);
        if (other != CODEC_NONE && !set->v[t].derived && track_set_find(set, other) < 0)
            describe(&set->v[set->n++], other, t);
    }
}
