/* SPDX-License-Identifier: Apache-2.0
 * viewer_layers.c - a viewer of a simulcast track: which layer it sees, and the change from one to another; see viewer.h.
 *
 *   a better or a lesser layer shall be seen -> it is wanted too, and a keyframe of it asked for
 *   its keyframe comes -> the sender goes on with it; the old layer is not wanted any more
 * Until then the old layer is sent. A layer that falls silent (browsers under load stop the largest) is replaced by one that
 * is sent, and stays wanted: when it comes back, the viewer goes back to it. */
#include "webrtc/viewer_priv.h"

#include <stdio.h>
#include <string.h>

enum {
    CHECK_US = 200000,
    WINDOW_US = 1000000,         /* over which rates are measured */
    SILENT_US = 1000000,         /* a few frames of the slowest camera */
    KEYFRAME_AGAIN_US = 1000000,
};

static uint64_t now_of(const struct rtc_viewer *v)
{
    return worker_now_us(v->worker);
}

/* ---- what is wanted ------------------------------------------------------------------------------------------- */

/* The layers that must come: what is sent, what shall be sent, and those that would be but for their silence. */
static bool layer_wanted(const struct rtc_viewer *v, uint8_t layer)
{
    const struct viewer_layers *l = &v->layers;
    bool allowed = l->choice.most < 0 || layer <= l->choice.most;

    return layer == v->video.layer || layer == l->target || (l->options[layer].silent && allowed && layer > l->target);
}

void viewer_want(struct rtc_viewer *v)
{
    struct viewer_layers *l = &v->layers;
    uint64_t want = v->audio.codec != CODEC_NONE ? want_bit(v->audio.track, v->audio.layer) : 0;

    if (v->video.codec != CODEC_NONE && l->n <= 1)
        want |= want_bit(v->video.track, v->video.layer);
    for (uint8_t i = 0; l->n > 1 && i < l->n; i++) {
        bool wanted = layer_wanted(v, i);
        if (wanted)
            want |= want_bit(v->video.track, i);
        if (wanted && !l->wanted_us[i])
            l->wanted_us[i] = now_of(v);
        else if (!wanted)
            l->wanted_us[i] = l->packet_us[i] = 0;
    }
    if (v->data && v->data_track >= 0)
        want |= want_bit((unsigned)v->data_track, 0);
    if (want != v->consumer.want)
        consumer_want(&v->consumer, want);
}

uint8_t viewer_layers_needed(const struct rtc_viewer *v)
{
    return v->layers.n > 1 ? v->layers.target : v->video.layer;
}

/* ---- the change -------------------------------------------------------------------------------------------------- */

static void ask_keyframe(struct rtc_viewer *v, uint64_t now_us)
{
    if (now_us - v->layers.asked_us < KEYFRAME_AGAIN_US)
        return;
    v->layers.asked_us = now_us;
    router_need_keyframe(v->consumer.router, v->video.track, v->layers.target);
}

static void aim(struct rtc_viewer *v, uint8_t layer, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;
    bool sending = v->state == RTC_VIEWER_LIVE || v->state == RTC_VIEWER_CATCHING_UP;

    if (layer != l->target)
        l->asked_us = 0;
    l->target = layer;
    if (v->state == RTC_VIEWER_CATCHING_UP && layer != v->video.layer && l->options[v->video.layer].silent) {
        timer_stop(&v->pace); /* with nothing: it begins anew */
        v->state = RTC_VIEWER_WAITING;
        sending = false;
    }
    if (!sending)
        v->video.layer = layer; /* nothing to change from */
    viewer_want(v);
    if (layer == v->video.layer) {
        if (v->state == RTC_VIEWER_WAITING)
            viewer_start_video(v);
        return;
    }
    ask_keyframe(v, now_us);
}

void viewer_layers_on_packet(struct rtc_viewer *v, const struct packet *p, uint64_t now_us)
{
    const uint8_t begins = PACKET_KEYFRAME | PACKET_FRAME_START;
    struct viewer_layers *l = &v->layers;

    if (p->layer >= l->n)
        return;
    l->bytes[p->layer] += p->payload_len;
    l->packet_us[p->layer] = now_us;
    if (p->layer != l->target || p->layer == v->video.layer || (p->flags & begins) != begins ||
        v->state != RTC_VIEWER_LIVE)
        return;
    v->video.layer = p->layer;
    viewer_start_sender(v, &v->video, p, p->ts_ticks, 0, true);
    l->switches++;
    viewer_want(v);
}

/* ---- what is known of the layers ------------------------------------------------------------------------------------ */

static void measure(struct viewer_layers *l, uint64_t now_us)
{
    uint64_t run_us = now_us - l->window_us;

    if (run_us < WINDOW_US)
        return;
    for (uint8_t i = 0; i < l->n; i++) {
        if (l->bytes[i] && l->wanted_us[i] && l->wanted_us[i] <= l->window_us)
            l->options[i].bps = l->bytes[i] * 8 * 1000000 / run_us;
        l->bytes[i] = 0;
    }
    l->window_us = now_us;
}

static void watch_silence(struct viewer_layers *l, uint64_t now_us)
{
    for (uint8_t i = 0; i < l->n; i++) {
        uint64_t since_us = l->packet_us[i] > l->wanted_us[i] ? l->packet_us[i] : l->wanted_us[i];
        l->options[i].silent = l->wanted_us[i] && now_us - since_us >= SILENT_US;
    }
}

static void on_check(struct timer *t, uint64_t now_us)
{
    struct rtc_viewer *v = container_of(t, struct rtc_viewer, layers.check);
    struct viewer_layers *l = &v->layers;

    if (!v->consumer.router || l->n <= 1)
        return;
    timer_start(&l->check, CHECK_US);
    measure(l, now_us);
    if (!v->ready)
        return;
    watch_silence(l, now_us);
    aim(v, (uint8_t)layer_choice_pick(&l->choice, l->options, l->n, l->target, l->allowed_bps, now_us), now_us);
}

/* ---- epochs, and the viewer's own choice ------------------------------------------------------------------------------ */

void viewer_layers_init(struct rtc_viewer *v)
{
    v->layers.allowed_bps = UINT64_MAX;
    layer_choice_init(&v->layers.choice);
    timer_init(&v->layers.check, v->worker, on_check);
}

static int layer_of_rid(const struct track *t, const char *rid)
{
    for (uint8_t i = 0; rid[0] && i < t->n_layers && i < LAYERS_MAX; i++)
        if (strcmp(t->layers[i].rid, rid) == 0)
            return i;
    return LAYER_ANY;
}

void viewer_layers_start(struct rtc_viewer *v, const struct track *video)
{
    struct viewer_layers *l = &v->layers;
    uint64_t now_us = now_of(v);

    l->n = video && video->n_layers <= LAYERS_MAX ? video->n_layers : 0;
    timer_stop(&l->check);
    if (l->n <= 1)
        return;
    memset(l->options, 0, sizeof(l->options));
    memset(l->bytes, 0, sizeof(l->bytes));
    memset(l->wanted_us, 0, sizeof(l->wanted_us));
    memset(l->packet_us, 0, sizeof(l->packet_us));
    l->window_us = now_us;
    for (uint8_t i = 0; i < l->n; i++)
        l->options[i].pixels = (uint32_t)video->layers[i].width * video->layers[i].height;
    layer_choice_limit(&l->choice, layer_of_rid(video, l->wished));
    if (l->choice.most >= 0)
        v->video.layer = (uint8_t)l->choice.most;
    while (v->video.layer > 0 && layer_bps(l->options, l->n, v->video.layer) > l->allowed_bps)
        v->video.layer--;
    l->target = v->video.layer;
    timer_start(&l->check, CHECK_US);
}

void viewer_allow(struct rtc_viewer *v, uint64_t video_bps)
{
    v->layers.allowed_bps = video_bps; /* acted on by the next check */
}

bool rtc_viewer_choose_layer(struct rtc_viewer *v, const char *rid)
{
    const struct track *t = rtc_viewer_video(v);
    struct viewer_layers *l = &v->layers;
    int layer = t ? layer_of_rid(t, rid) : LAYER_ANY;

    if (rid[0] && layer < 0)
        return false;
    snprintf(l->wished, sizeof(l->wished), "%s", rid);
    layer_choice_limit(&l->choice, layer);
    if (l->n > 1 && v->ready)
        timer_start(&l->check, 0);
    return true;
}

const char *rtc_viewer_layer_choice(const struct rtc_viewer *v)
{
    return v->layers.wished;
}

const struct track *rtc_viewer_video(const struct rtc_viewer *v)
{
    const struct track_set *tracks = rtc_viewer_tracks(v);

    return tracks && v->video.codec != CODEC_NONE && v->video.track < tracks->n ? &tracks->v[v->video.track] : NULL;
}

uint64_t rtc_viewer_layer_bps(const struct rtc_viewer *v, unsigned layer)
{
    return layer < v->layers.n ? v->layers.options[layer].bps : 0;
}

uint8_t rtc_viewer_layer(const struct rtc_viewer *v)
{
    return v->video.layer;
}
