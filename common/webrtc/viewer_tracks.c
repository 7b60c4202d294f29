/* SPDX-License-Identifier: Apache-2.0
 * viewer_tracks.c - which of a stream's tracks a viewer plays, and by which of the payload types that it offered. See viewer.h. */
#include "media/track.h"
#include "webrtc/viewer_priv.h"

/* Main contains Constrained Baseline, High contains Main (H.264 A.2); everything else is equal or foreign. */
static unsigned h264_rank(uint32_t profile_level_id)
{
    switch (profile_level_id >> 16) {
    case 0x42: return 1;
    case 0x4d: return 2;
    case 0x64: return 3;
    default: return 0;
    }
}

static unsigned payload_score(const struct rtc_payload *p, const struct track *t)
{
    if (p->codec != t->codec)
        return 0;
    if (p->codec != CODEC_H264)
        return 1;
    unsigned score = 1 + (p->packetization == 1 ? 4 : 0);
    unsigned has = h264_rank(p->h264_profile), wants = h264_rank(t->profile);
    if (t->profile == 0 || (has == wants && p->h264_profile >> 16 == t->profile >> 16))
        return score + 3;
    return score + (has > wants && wants ? 2 : 0);
}

int rtc_payload_find(const struct rtc_viewer_media *m, const struct track *track)
{
    unsigned best = 0;
    int at = -1;

    for (size_t i = 0; i < m->n_payloads; i++) {
        unsigned score = payload_score(&m->payloads[i], track);
        if (score > best) {
            best = score;
            at = (int)i;
        }
    }
    return at;
}

/* The layer of most pixels, or of most bits where those are not known. */
static uint8_t best_layer(const struct track *t)
{
    uint8_t best = 0;

    for (uint8_t i = 1; i < t->n_layers && i < LAYERS_MAX; i++) {
        const struct layer *a = &t->layers[i], *b = &t->layers[best];
        uint32_t pixels = (uint32_t)a->width * a->height, most = (uint32_t)b->width * b->height;
        if (pixels > most || (pixels == most && a->max_bps > b->max_bps))
            best = i;
    }
    return best;
}

void viewer_choose_track(struct viewer_track *out, enum codec_kind kind, const struct track_set *set)
{
    out->codec = CODEC_NONE;
    for (uint8_t i = 0; i < set->n; i++) {
        const struct track *t = &set->v[i];
        int at = codec_kind(t->codec) == kind ? rtc_payload_find(&out->media, t) : -1;
        if (at < 0)
            continue;
        out->codec = t->codec;
        out->clock_hz = t->clock_hz;
        out->derived = t->derived;
        out->track = i;
        out->layer = best_layer(t);
        out->payload = (uint8_t)at;
        return;
    }
}
