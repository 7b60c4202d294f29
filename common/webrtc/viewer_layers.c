/* SPDX-License-Identifier: Apache-2.0
 * viewer_layers.c - which layers of its video track a viewer sees, simulcast's and scalable ones; see viewer.h.
 *
 * Simulcast: a better or a lesser layer shall be seen -> it is wanted too, and a keyframe of it asked for
 *            its keyframe comes -> the sender goes on with it; the old layer is not wanted any more
 * Until then the old layer is sent. A layer that falls silent (browsers under load stop the largest) is replaced by one that
 * is sent, and stays wanted: when it comes back, the viewer goes back to it.
 * Scalable:  all comes, the sender leaves out what is above the level (rtp_cut.h); a keyframe is asked for to go up.
 * Where even the least is more than the path carries, there are keyframes only, as many as it carries.
 *
 * An overloaded worker thins its viewers one by one, whatever their paths carry (io/governor.h): pictures that nothing refers
 * to are left out, then all but keyframes.
 *
 * A track of one layer is looked at when its viewer's path carries less, or when the viewer asks: until then
 * nothing is measured, and nothing kept. */
#include "webrtc/viewer_priv.h"

#include "base/random.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHECK_US = 200000,
    KEYFRAME_AGAIN_US = 1000000,
    LOSS_WINDOW_US = 250000,
    LOSS_LEAST = 10,              /* packets: fewer may be chance */
    STOPPED_US = 500000,          /* a layer behind the others by so much is not sent any more */
    HOLES_MOST = 8,               /* packets that are being repaired */
    PAST_US = 300000,             /* layers are captured at once, and encoded one after the other */
    DOWN_US = 1500000,            /* after a step down: what is lost was under way then */
    MEND_US = 800000,             /* a keyframe is here by then */
    STARVING_US = 2000000,        /* a dip of the estimate does not stop the picture */
    STARVING_PERCENT = 80,        /* of the least that there is */
    WANTED_PERCENT = 125,         /* of the best one's rate: more than it takes to choose it */
};

static uint64_t now_of(const struct rtc_viewer *v)
{
    return worker_now_us(v->worker);
}

static bool is_simulcast(const struct viewer_layers *l)
{
    return l->n > 1;
}

static int layer_of_rid(const struct track *t, const char *rid)
{
    for (uint8_t i = 0; t && rid[0] && i < t->n_layers && i < LAYERS_MAX; i++)
        if (strcmp(t->layers[i].rid, rid) == 0)
            return i;
    return LAYER_ANY;
}

/* Which of AV1's packets make a frame of a layer, only the dependency descriptor tells: without it a viewer can have one. */
static uint8_t most_spatial(const struct rtc_viewer *v)
{
    bool blind = v->video.codec == CODEC_AV1 && !v->video.media.ext_id[RTP_EXT_DEPENDENCY_DESCRIPTOR];

    return blind && !is_simulcast(&v->layers) ? 0 : RTP_LEVEL_ALL;
}

static struct rung_limits limits_of(const struct rtc_viewer *v)
{
    const struct viewer_layers *l = &v->layers;
    int row = is_simulcast(l) ? layer_of_rid(rtc_viewer_video(v), l->wish.rid) : l->wish.spatial;

    if (row < 0)
        row = most_spatial(v);
    return (struct rung_limits){
        .row = (uint8_t)row,
        .temporal = l->wish.temporal < 0 ? RTP_LEVEL_ALL : (uint8_t)l->wish.temporal,
        .keyframes = l->target.temporal < 0 || (l->starving_us && now_of(v) - l->starving_us >= STARVING_US),
    };
}

/* ---- what is wanted ------------------------------------------------------------------------------------------- */

/* The layers that must come: what is sent, what shall be sent, and those that would be but for their silence. */
static bool layer_wanted(const struct rtc_viewer *v, uint8_t layer)
{
    const struct viewer_layers *l = &v->layers;
    uint64_t now_us = now_of(v), wanted_us = l->meter->wanted_us[layer], packet_us = l->meter->packet_us[layer];
    bool silent = wanted_us && now_us - (packet_us > wanted_us ? packet_us : wanted_us) >= METER_SILENT_US;

    return layer == v->video.layer || layer == l->target.row ||
           (silent && layer <= limits_of(v).row && layer > l->target.row);
}

void viewer_want(struct rtc_viewer *v)
{
    struct viewer_layers *l = &v->layers;
    uint64_t want = v->audio.codec != CODEC_NONE ? want_bit(v->audio.track, v->audio.layer) : 0;

    if (v->video.codec != CODEC_NONE && !is_simulcast(l))
        want |= want_bit(v->video.track, v->video.layer);
    for (uint8_t i = 0; is_simulcast(l) && i < l->n; i++) {
        bool wanted = layer_wanted(v, i);
        if (wanted)
            want |= want_bit(v->video.track, i);
        if (wanted && !l->meter->wanted_us[i])
            l->meter->wanted_us[i] = now_of(v);
        else if (!wanted)
            l->meter->wanted_us[i] = l->meter->packet_us[i] = 0;
    }
    if (v->data && v->data_track >= 0)
        want |= want_bit((unsigned)v->data_track, 0);
    if (want != v->consumer.want)
        consumer_want(&v->consumer, want);
}

uint8_t viewer_layers_needed(const struct rtc_viewer *v)
{
    return is_simulcast(&v->layers) ? v->layers.target.row : v->video.layer;
}

bool viewer_layers_pauses(const struct rtc_viewer *v)
{
    return v->layers.target.temporal < 0;
}

/* ---- the change -------------------------------------------------------------------------------------------------- */

static void ask_keyframe(struct rtc_viewer *v, uint64_t now_us)
{
    if (now_us - v->layers.asked_us < KEYFRAME_AGAIN_US)
        return;
    v->layers.asked_us = now_us;
    router_need_keyframe(v->consumer.router, v->video.track, viewer_layers_needed(v));
}

/* Of keyframes as many as the path carries. */
static int8_t keyframes_or_nothing(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;
    uint64_t octets = v->video.sender.counters.octets, room = l->allowed_bps / 8 * (now_us - l->budget_us) / 1000000;

    l->debt_bytes += octets - l->octets;
    l->debt_bytes = l->debt_bytes > room ? l->debt_bytes - room : 0;
    l->octets = octets;
    l->budget_us = now_us;
    return l->debt_bytes > 0 ? RTP_LEVEL_NOTHING : RTP_LEVEL_KEYFRAMES;
}

/* The highest temporal layer that an overloaded worker lets it have. */
static int8_t thinned(enum governor_thin thin, int8_t temporal)
{
    if (thin == GOVERNOR_KEYFRAMES && temporal >= 0)
        return RTP_LEVEL_KEYFRAMES;
    return thin == GOVERNOR_TEMPORAL && temporal > 0 ? 0 : temporal;
}

/* Without memory for it nothing is left out, until the next check. */
static void aim_level(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;
    struct rtp_level level = {is_simulcast(l) ? RTP_LEVEL_ALL : l->target.row, l->target.temporal};

    if (level.temporal < 0)
        level.temporal = keyframes_or_nothing(v, now_us);
    level.temporal = thinned(l->thin, level.temporal);
    if (rtp_sender_limit(&v->video.sender, level) < 0 || v->state != RTC_VIEWER_LIVE)
        return;
    struct rtp_level now = rtp_sender_level(&v->video.sender);
    uint8_t top = (uint8_t)(l->meter->rows - 1), wanted = level.spatial < top ? level.spatial : top;
    if ((!is_simulcast(l) && now.spatial < wanted) || (now.temporal < 0 && level.temporal >= 0))
        ask_keyframe(v, now_us);
}

/* Until the keyframe comes that makes what was lost superfluous, that is not sent again, nor what nobody could decode without it: so
 * it finds queues drained. */
static void mend(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;

    if (v->state != RTC_VIEWER_LIVE)
        return;
    if (l->asked_us < l->mend_us)
        l->asked_us = 0;
    ask_keyframe(v, now_us);
    if (rtp_sender_limit(&v->video.sender, (struct rtp_level){0, RTP_LEVEL_NOTHING}) == 0) /* no memory: it is sent in vain */
        rtp_sender_forget(&v->video.sender, now_us + MEND_US);
}

static void aim_layer(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;
    bool sending = v->state == RTC_VIEWER_LIVE || v->state == RTC_VIEWER_CATCHING_UP;
    uint8_t layer = l->target.row;

    if (v->state == RTC_VIEWER_CATCHING_UP && layer != v->video.layer && l->silent) {
        timer_stop(&v->pace); /* with nothing: it begins anew */
        v->state = RTC_VIEWER_WAITING;
        sending = false;
    }
    if (!sending)
        v->video.layer = layer; /* nothing to change from */
    viewer_want(v);
    if (layer != v->video.layer)
        ask_keyframe(v, now_us);
    else if (v->state == RTC_VIEWER_WAITING)
        viewer_start_video(v);
}

/* What is cached of a simulcast layer may end long ago, or have a hole of the time in which nobody wanted it. */
static bool is_whole(const struct rtc_viewer *v, uint64_t position)
{
    const struct cache *cache = router_cache(v->consumer.router);
    uint64_t newest_us = 0, layer_us = 0, first = cache_at(cache, position)->seq, last = first, n = 0;

    for (uint64_t at = position; at < cache_end(cache); at++) {
        const struct packet *p = cache_at(cache, at);
        if (!p || p->track != v->video.track)
            continue;
        newest_us = p->capture_us > newest_us ? p->capture_us : newest_us;
        if (p->layer != v->video.layer)
            continue;
        layer_us = p->capture_us > layer_us ? p->capture_us : layer_us;
        last = p->seq > last ? p->seq : last;
        n += p->seq >= first;
    }
    return layer_us + STOPPED_US >= newest_us && n + HOLES_MOST > last - first;
}

bool viewer_layers_keyframe(const struct rtc_viewer *v, uint64_t *position)
{
    return cache_keyframe(router_cache(v->consumer.router), v->video.track, v->video.layer, position) &&
           (!is_simulcast(&v->layers) || is_whole(v, *position));
}

/* A parent's cache may have given it: then what follows it is old too, or missing. A new one was asked for. */
static bool is_past(const struct rtc_viewer *v, const struct packet *key)
{
    return key->capture_us + PAST_US < v->video.sender.last_capture_us;
}

void viewer_layers_on_packet(struct rtc_viewer *v, const struct packet *p, uint64_t now_us)
{
    const uint8_t begins = PACKET_KEYFRAME | PACKET_FRAME_START;
    struct viewer_layers *l = &v->layers;

    if (p->layer >= METER_ROWS || (!is_simulcast(l) && p->layer != v->video.layer))
        return;
    layer_meter_push(l->meter, p, now_us);
    if (!is_simulcast(l) && (p->flags & begins) == begins && v->state == RTC_VIEWER_LIVE) {
        l->key_us = now_us;
        if (l->mend_us) {
            l->mend_us = 0;
            aim_level(v, now_us);
        }
    }
    if (!is_simulcast(l) || p->layer != l->target.row || p->layer == v->video.layer || (p->flags & begins) != begins ||
        v->state != RTC_VIEWER_LIVE || is_past(v, p))
        return;
    v->video.layer = p->layer;
    viewer_start_sender(v, &v->video, p, p->ts_ticks, 0, true);
    l->switches++;
    viewer_want(v);
}

/* ---- the choice ------------------------------------------------------------------------------------------------------ */

static void watch_starving(struct viewer_layers *l, const struct rung *rungs, const struct layer_option *options, size_t n,
                           uint64_t now_us)
{
    size_t least = rungs[0].temporal < 0 && n > 1 ? 1 : 0;
    uint64_t need_bps = layer_bps(options, n, least) * STARVING_PERCENT / 100;

    if (l->allowed_bps >= need_bps)
        l->starving_us = 0;
    else if (!l->starving_us)
        l->starving_us = now_us;
}

/* What the viewer chose may be less than what it sees; a better one takes its time. */
static struct rung within(struct rung rung, struct rung_limits limits)
{
    rung.row = rung.row < limits.row ? rung.row : limits.row;
    if (rung.temporal > (int8_t)limits.temporal)
        rung.temporal = (int8_t)limits.temporal;
    return rung;
}

static void choose(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;
    const struct track *t = rtc_viewer_video(v);
    struct rung rungs[RUNGS_MAX];
    struct layer_option options[RUNGS_MAX];
    struct rung_limits limits = limits_of(v);
    uint32_t pixels[METER_ROWS] = {0};

    for (uint8_t i = 0; is_simulcast(l) && t && i < l->n; i++)
        pixels[i] = (uint32_t)t->layers[i].width * t->layers[i].height;
    size_t n = layer_rungs(l->meter, pixels, limits, now_us, rungs, options);
    size_t current = layer_rung_find(rungs, n, l->target);
    bool wished = l->wish.rid[0] || l->wish.spatial >= 0 || l->wish.temporal >= 0;

    l->choice.most = wished ? (int)n - 1 : LAYER_ANY;
    l->wanted_bps = layer_bps(options, n, n - 1) * WANTED_PERCENT / 100;
    l->silent = options[current].silent;
    watch_starving(l, rungs, options, n, now_us);
    size_t next = layer_choice_pick(&l->choice, options, n, current, l->allowed_bps, now_us);
    l->sent_bps = options[next].bps;
    struct rung target = next == current ? within(l->target, limits) : rungs[next];
    if (!is_simulcast(l) && next != current && next == n - 1 && limits.row == RTP_LEVEL_ALL)
        target.row = RTP_LEVEL_ALL; /* and those that may yet come */
    if (target.row == l->target.row && target.temporal == l->target.temporal)
        return;
    if (!is_simulcast(l) && target.row < l->target.row && target.temporal >= 0)
        l->down_us = now_us;
    l->pauses += target.temporal < 0 && l->target.temporal >= 0;
    l->switches += !is_simulcast(l);
    l->asked_us = 0;
    l->octets = v->video.sender.counters.octets;
    l->budget_us = now_us;
    l->target = target;
}

/* What the cache has tells the rates at once. */
static void look_back(const struct rtc_viewer *v, struct layer_meter *m, uint64_t now_us)
{
    const struct cache *cache = router_cache(v->consumer.router);
    uint64_t at, first_us = 0, last_us = 0;

    if (!cache_keyframe(cache, v->video.track, v->video.layer, &at))
        return;
    for (; at < cache_end(cache); at++) {
        const struct packet *p = cache_at(cache, at);
        if (!p || p->track != v->video.track || p->layer != v->video.layer)
            continue;
        layer_meter_push(m, p, now_us);
        first_us = first_us ? first_us : p->capture_us;
        last_us = p->capture_us > last_us ? p->capture_us : last_us;
    }
    layer_meter_settle(m, last_us - first_us, now_us);
}

/* False when memory is short. */
static bool start_meter(struct rtc_viewer *v, uint64_t now_us)
{
    struct viewer_layers *l = &v->layers;

    if (!l->meter) {
        l->meter = malloc(sizeof(*l->meter));
        if (!l->meter)
            return false;
        layer_meter_init(l->meter, l->n, now_us);
        if (!is_simulcast(l))
            look_back(v, l->meter, now_us);
    }
    if (!timer_running(&l->check))
        timer_start(&l->check, CHECK_US);
    return true;
}

static void on_check(struct timer *t, uint64_t now_us)
{
    struct rtc_viewer *v = container_of(t, struct rtc_viewer, layers.check);
    struct viewer_layers *l = &v->layers;

    if (!v->consumer.router || v->video.codec == CODEC_NONE || !start_meter(v, now_us))
        return;
    layer_meter_poll(l->meter, now_us);
    if (!v->ready)
        return;
    choose(v, now_us);
    /* A picture of which an upper layer was lost is not shown, and so none after it, until that was sent again: a keyframe of the
     * lower layers is here sooner. */
    bool lost = now_us - l->down_us < DOWN_US && l->nacked != v->video.sender.counters.nacked;
    bool mended = l->key_us > l->down_us && now_us - l->key_us < KEYFRAME_AGAIN_US;
    if (lost && !l->mend_us && !mended) {
        l->mend_us = now_us;
        l->target = (struct rung){0, RTP_LEVEL_ALL}; /* a small one, as queues are full */
    }
    if (l->mend_us)
        mend(v, now_us);
    else
        aim_level(v, now_us);
    if (is_simulcast(l))
        aim_layer(v, now_us);
    l->nacked = v->video.sender.counters.nacked;
}

/* ---- epochs, and the viewer's own choice ------------------------------------------------------------------------------ */

void viewer_layers_init(struct rtc_viewer *v)
{
    v->layers.allowed_bps = UINT64_MAX;
    v->layers.rank = random_u32() % GOVERNOR_RANKS;
    v->layers.wish.spatial = v->layers.wish.temporal = LAYER_ANY;
    layer_choice_init(&v->layers.choice);
    timer_init(&v->layers.check, v->worker, on_check);
}

void viewer_layers_fini(struct rtc_viewer *v)
{
    timer_stop(&v->layers.check);
    free(v->layers.meter);
    v->layers.meter = NULL;
}

/* The layer to begin with: nothing is measured yet. */
static uint8_t first_layer(const struct rtc_viewer *v, const struct track *t)
{
    struct layer_option options[LAYERS_MAX] = {0};
    int most = layer_of_rid(t, v->layers.wish.rid);
    uint8_t layer = most >= 0 ? (uint8_t)most : v->video.layer;

    for (uint8_t i = 0; i < v->layers.n; i++)
        options[i].pixels = (uint32_t)t->layers[i].width * t->layers[i].height;
    while (layer > 0 && layer_bps(options, v->layers.n, layer) > v->layers.allowed_bps)
        layer--;
    return layer;
}

void viewer_layers_start(struct rtc_viewer *v, const struct track *video)
{
    struct viewer_layers *l = &v->layers;
    struct rtp_level level = rtp_sender_target(&v->video.sender);

    viewer_layers_fini(v);
    l->n = video && video->n_layers <= LAYERS_MAX ? video->n_layers : 0;
    l->wanted_bps = l->sent_bps = l->starving_us = 0;
    if (!is_simulcast(l) && most_spatial(v) < level.spatial) {
        level.spatial = most_spatial(v);
        if (rtp_sender_limit(&v->video.sender, level) < 0)
            v->video.codec = CODEC_NONE; /* no picture rather than a broken one */
    }
    l->target = (struct rung){level.spatial, level.temporal};
    if (is_simulcast(l) && start_meter(v, now_of(v)))
        l->target.row = v->video.layer = first_layer(v, video);
    else
        l->n = l->n ? 1 : 0; /* no memory to choose with */
    bool limited = level.spatial != RTP_LEVEL_ALL || level.temporal != RTP_LEVEL_ALL || l->thin != GOVERNOR_WHOLE;
    if (l->n == 1 && (limited || l->wish.spatial >= 0 || l->wish.temporal >= 0))
        timer_start(&l->check, CHECK_US);
}

/* At the turn's end, as memory may be needed. */
void viewer_layers_thin(struct rtc_viewer *v, enum governor_thin thin)
{
    v->layers.thin = thin;
    if (v->ready)
        timer_start(&v->layers.check, 0);
}

void viewer_allow(struct rtc_viewer *v, uint64_t video_bps)
{
    struct viewer_layers *l = &v->layers;

    l->allowed_bps = video_bps; /* acted on by the next check */
    if (l->meter && video_bps < l->sent_bps && v->state == RTC_VIEWER_LIVE)
        timer_start(&l->check, 0);
    if (!l->meter && v->state == RTC_VIEWER_LIVE && video_bps < v->rate.media_bps && !timer_running(&l->check))
        timer_start(&l->check, 0);
}

/* Where a third of what is sent has to be sent again, the estimate is late: what arrives is all that the path carries. */
void viewer_layers_on_nack(struct rtc_viewer *v, uint64_t now_us)
{
    const struct rtp_sender_counters *c = &v->video.sender.counters;
    struct viewer_layers *l = &v->layers;
    uint64_t resent = c->resent - l->loss.resent, packets = c->packets - l->loss.packets;

    if (!is_simulcast(l) && now_us - l->down_us < DOWN_US && !l->mend_us)
        timer_start(&l->check, 0);
    if (now_us - l->loss.since_us >= LOSS_WINDOW_US) {
        l->loss.since_us = now_us;
        l->loss.resent = c->resent;
        l->loss.packets = c->packets;
        return;
    }
    uint64_t acked_bps = gcc_acked_bps(&v->rate.gcc);
    if (resent < LOSS_LEAST || resent * 3 < packets || acked_bps == 0 || acked_bps >= l->allowed_bps ||
        v->state != RTC_VIEWER_LIVE)
        return;
    l->allowed_bps = acked_bps;
    timer_start(&l->check, 0);
}

void viewer_layers_on_hole(struct rtc_viewer *v)
{
    struct viewer_layers *l = &v->layers;

    if (is_simulcast(l) || l->mend_us)
        return;
    l->mend_us = now_of(v);
    timer_start(&l->check, 0);
}

bool rtc_viewer_choose_layer(struct rtc_viewer *v, const struct rtc_layer_wish *wish)
{
    struct viewer_layers *l = &v->layers;

    if (wish->rid[0] && layer_of_rid(rtc_viewer_video(v), wish->rid) < 0)
        return false;
    l->wish = *wish;
    layer_choice_limit(&l->choice, LAYER_ANY);
    if (v->ready)
        timer_start(&l->check, 0);
    return true;
}

/* ---- what is known ------------------------------------------------------------------------------------------------------- */

const struct rtc_layer_wish *rtc_viewer_layer_wish(const struct rtc_viewer *v)
{
    return &v->layers.wish;
}

const struct track *rtc_viewer_video(const struct rtc_viewer *v)
{
    const struct track_set *tracks = rtc_viewer_tracks(v);

    return tracks && v->video.codec != CODEC_NONE && v->video.track < tracks->n ? &tracks->v[v->video.track] : NULL;
}

/* The spatial layers' sizes, as the newest keyframe's dependency descriptor says; VP9's own structure has the best one's. */
static void find_sizes(const struct rtc_viewer *v, struct rtc_layer *layers, size_t n)
{
    const struct cache *cache = router_cache(v->consumer.router);
    struct dd_structure s = {0};
    struct payload_marks marks = {0};
    uint64_t at;

    if (n == 0 || !cache_keyframe(cache, v->video.track, v->video.layer, &at))
        return;
    const struct packet *key = cache_at(cache, at);
    if (!packet_dependency_structure(key, &s) &&
        codec_inspect(v->video.codec, packet_payload(key), key->payload_len, &marks) != CODEC_OK)
        return;
    for (size_t i = 0; i < n; i++) {
        unsigned row = layers[i].row, below_best = layers[n - 1].row - row;
        bool told = row < s.resolution_count;
        layers[i].width = (uint16_t)(told ? s.widths[row] : marks.width >> below_best); /* browsers scale by two */
        layers[i].height = (uint16_t)(told ? s.heights[row] : marks.height >> below_best);
    }
}

size_t rtc_viewer_layers(struct rtc_viewer *v, struct rtc_layer *out, size_t cap)
{
    const struct track *track = rtc_viewer_video(v);
    struct viewer_layers *l = &v->layers;
    size_t n = 0;

    if (!track || !v->ready || !start_meter(v, now_of(v)))
        return 0;
    for (uint8_t row = 0; row < l->meter->rows; row++) {
        unsigned top = layer_meter_temporal(l->meter, row);
        for (unsigned t = is_simulcast(l) ? top : 0; t <= top && n < cap; t++)
            out[n++] = (struct rtc_layer){.row = row, .temporal = (uint8_t)t, .bps = layer_meter_bps(l->meter, row, t),
                                          .width = track->layers[row].width, .height = track->layers[row].height};
    }
    if (!is_simulcast(l))
        find_sizes(v, out, n);
    return n;
}

uint8_t rtc_viewer_layer(const struct rtc_viewer *v)
{
    return v->video.layer;
}

struct rtp_level rtc_viewer_level(const struct rtc_viewer *v)
{
    return rtp_sender_level(&v->video.sender);
}
