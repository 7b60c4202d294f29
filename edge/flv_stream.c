/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "edge/flv_viewer.h"
#include "io/tcp.h"

enum {
    TICK_US = 100000,
    KEYFRAME_TICKS = 10, /* parked viewers ask again each second */
    GOP_CHUNKS_MAX = 8192,
    GOP_CHUNKS_FIRST = 256,
};

/* ---- Chunks ---------------------------------------------------------------------------------- */

static void gop_clear(struct flv_gop *g)
{
    for (size_t i = 0; i < g->n; i++)
        buf_unref(&g->v[i].piece.framed);
    g->n = g->bytes = 0;
    g->whole = false;
}

static bool gop_reserve(struct flv_gop *g)
{
    size_t cap = g->cap ? g->cap * 2 : GOP_CHUNKS_FIRST;

    if (g->n < g->cap)
        return true;
    struct flv_chunk *grown = cap > GOP_CHUNKS_MAX ? NULL : realloc(g->v, cap * sizeof(*g->v));
    if (!grown)
        return false;
    g->v = grown;
    g->cap = cap;
    return true;
}

/* Takes over the chunk's reference. */
static void gop_push(struct flv_gop *g, const struct flv_chunk *chunk, size_t cap_bytes)
{
    struct buf *b = chunk->piece.framed;

    if (chunk->key || chunk->alone) {
        gop_clear(g);
        g->whole = true;
    } else if (g->n && g->v[0].alone) {
        g->whole = false; /* pictures again: what they refer to came long ago */
    }
    if (!g->whole || g->bytes + b->len > cap_bytes || !gop_reserve(g)) {
        gop_clear(g);
        buf_unref(&b);
        return;
    }
    g->v[g->n++] = *chunk;
    g->bytes += b->len;
}

/* A visit waits for memory more than it computes: what those after this viewer will need is fetched while it is served. */
static void look_ahead(const struct flv_stream *s, const struct list *it)
{
    for (unsigned ahead = 1; it->next != &s->viewers && ahead <= HTTP_SOON_STEPS; ahead++) {
        it = it->next;
        http_stream_soon(container_of(it, const struct flv_viewer, link)->exchange, ahead);
    }
    __builtin_prefetch(it->next);
}

static void need_keyframe(struct flv_stream *s)
{
    if (s->video >= 0)
        router_need_keyframe(s->router, (unsigned)s->video, s->layer);
}

static void on_chunk(void *arg, const struct flv_chunk *chunk)
{
    struct flv_stream *s = arg;
    struct buf *hold = buf_ref(chunk->piece.framed);
    struct http_piece sequence = {0};
    bool could_begin = s->gop.whole;

    s->total_bytes += chunk->piece.framed->len;
    s->marks[s->n_marks++ % FLV_MARKS] = (struct flv_mark){s->total_bytes, chunk->to_ms};
    gop_push(&s->gop, chunk, s->host->cfg.gop_bytes);
    tcp_batch_begin(s->host->worker);
    list_for_each(it, &s->viewers) {
        struct flv_viewer *v = container_of(it, struct flv_viewer, link);
        look_ahead(s, it);
        if (v->state == FLV_PARKED)
            flv_viewer_start(v);
        else
            flv_viewer_push(v, chunk, &sequence);
    }
    tcp_batch_end(s->host->worker);
    buf_unref(&sequence.framed);
    buf_unref(&hold);
    if (could_begin && !s->gop.whole)
        need_keyframe(s);
}

/* Once for all viewers, after what arrived in this turn has gone on to other nodes. */
static void on_send(struct turn_hook *hook, uint64_t now_us)
{
    struct flv_stream *s = container_of(hook, struct flv_stream, send);

    timer_stop(&s->waited);
    flv_hold_sent(&s->hold, now_us >= flv_hold_until_us(&s->hold));
    flv_mux_flush(s->mux);
}

static void on_waited(struct timer *t, uint64_t now_us)
{
    struct flv_stream *s = container_of(t, struct flv_stream, waited);

    (void)now_us;
    worker_arm(s->host->worker, &s->send);
}

/* What counts is how often a viewer is sent something, not how much. So a picture leaves at once, or with the next one where the
 * worker is busy; and sound with the next picture, if that comes soon. */
static void send_gathered(struct flv_stream *s, uint64_t now_us)
{
    const struct flv_gathered gathered = flv_mux_gathered(s->mux);
    struct worker *w = s->host->worker;

    if (gathered.bytes == 0)
        return;
    if (flv_hold_wants(&s->hold, &gathered, worker_governor(w)->busy_permille, now_us))
        timer_start(&s->waited, flv_hold_until_us(&s->hold) - now_us);
    else if (gathered.pictures > 0)
        worker_arm(w, &s->send);
    else if (!timer_running(&s->waited))
        timer_start(&s->waited, s->host->cfg.sound_wait_us);
}

/* ---- The router's consumer ------------------------------------------------------------------- */

static struct flv_stream *stream_of(struct consumer *c)
{
    return container_of(c, struct flv_stream, consumer);
}

static uint64_t wanted(const struct flv_stream *s)
{
    return (s->video < 0 ? 0 : want_bit((unsigned)s->video, s->layer)) |
           (s->audio < 0 ? 0 : want_bit((unsigned)s->audio, 0));
}

/* All viewers are told, then the stream is done with. */
static void stream_end(struct flv_stream *s, int status, const char *why)
{
    list_for_each(it, &s->viewers)
        flv_viewer_end(container_of(it, struct flv_viewer, link), status, why);
    flv_stream_free_if_idle(s);
}

static uint32_t pixels(const struct layer *l)
{
    return (uint32_t)l->width * l->height;
}

/* The one with the most pixels; the first where nobody said. */
static unsigned best_layer(const struct track *t)
{
    unsigned best = 0;

    for (unsigned i = 1; i < t->n_layers; i++)
        if (pixels(&t->layers[i]) > pixels(&t->layers[best]))
            best = i;
    return best;
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct flv_stream *s = stream_of(c);

    s->grace_until_us = 0;
    flv_mux_choose(tracks, &s->video, &s->audio);
    s->layer = s->video < 0 ? 0 : best_layer(&tracks->v[s->video]);
    s->video_seen_us = worker_now_us(s->host->worker);
    gop_clear(&s->gop);
    if ((s->video < 0 && s->audio < 0) || flv_mux_tracks(s->mux, tracks, s->video, s->layer, s->audio)) {
        log_warn("flv", "no track that FLV can carry stream=%s", s->name);
        stream_end(s, 406, "FLV cannot carry this stream's codecs.");
        return;
    }
    consumer_want(c, wanted(s));
}

/* The lowest number of a track among the cached packets from position on; of one frame only when ts_ticks
 * is not 0. */
static bool lowest_seq(const struct cache *cache, uint64_t position, unsigned track, unsigned layer,
                       uint64_t ts_ticks, uint64_t *seq)
{
    bool found = false;

    for (uint64_t at = position; at < cache_end(cache); at++) {
        const struct packet *p = cache_at(cache, at);
        if (!p || p->track != track || p->layer != layer || (ts_ticks && p->ts_ticks != ts_ticks))
            continue;
        if (!found || p->seq < *seq)
            *seq = p->seq;
        found = true;
    }
    return found;
}

/* The cached GOP, muxed in one go. */
static void replay(struct flv_stream *s)
{
    const struct cache *cache = router_cache(s->router);
    uint64_t now_us = worker_now_us(s->host->worker), position, seq;

    if (s->video < 0 || !cache_keyframe(cache, (unsigned)s->video, s->layer, &position))
        return;
    const struct packet *key = cache_at(cache, position);
    if (!key)
        return;
    if (lowest_seq(cache, position, key->track, key->layer, key->ts_ticks, &seq))
        flv_mux_start(s->mux, key->track, seq);
    if (s->audio >= 0 && lowest_seq(cache, position, (unsigned)s->audio, 0, 0, &seq))
        flv_mux_start(s->mux, (unsigned)s->audio, seq);
    for (uint64_t at = position; at < cache_end(cache); at++) {
        const struct packet *p = cache_at(cache, at);
        if (p)
            flv_mux_push(s->mux, p, now_us);
    }
    flv_mux_flush(s->mux);
}

static void on_ready(struct consumer *c)
{
    struct flv_stream *s = stream_of(c);

    replay(s);
    if (!s->gop.whole)
        need_keyframe(s);
}

static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct flv_stream *s = stream_of(c);
    uint64_t now_us = worker_now_us(s->host->worker);

    for (size_t i = 0; i < b->n; i++) {
        if (b->v[i]->track == s->video && b->v[i]->layer == s->layer)
            s->video_seen_us = now_us;
        flv_mux_push(s->mux, b->v[i], now_us);
    }
    send_gathered(s, now_us);
}

static void refuse_parked(struct flv_stream *s, int status, const char *why)
{
    list_for_each(it, &s->viewers) {
        struct flv_viewer *v = container_of(it, struct flv_viewer, link);
        if (v->state != FLV_PARKED)
            continue;
        s->host->counters.not_found += status == 404;
        flv_viewer_refuse(v, status, why);
    }
}

/* The publisher has not said that it is over: its origin, or the way there, is lost. It comes back by another one, perhaps. */
static bool waits_for_it(struct flv_stream *s, enum stream_end why)
{
    return why != STREAM_UNPUBLISHED && s->host->cfg.grace_us && !list_empty(&s->viewers);
}

static void on_end(struct consumer *c, enum stream_end why)
{
    struct flv_stream *s = stream_of(c);
    bool unreachable = why == STREAM_UNREACHABLE;
    int status = unreachable ? 503 : 404;
    const char *text = unreachable ? "No node that has the stream could be reached." : "Nobody publishes this stream.";

    flv_mux_flush(s->mux);
    s->host->counters.unreachable += unreachable;
    refuse_parked(s, status, text);
    if (!waits_for_it(s, why)) {
        stream_end(s, status, text);
        return;
    }
    gop_clear(&s->gop);
    if (!s->grace_until_us)
        s->grace_until_us = worker_now_us(s->host->worker) + s->host->cfg.grace_us;
}

static const struct consumer_ops consumer_ops = {
    .on_tracks = on_tracks, .on_ready = on_ready, .on_packets = on_packets, .on_end = on_end};

/* ---- Ten times a second ---------------------------------------------------------------------- */

/* A simulcast publisher without the bandwidth for its best layer does not send it: on to the next. */
static void leave_silent_layer(struct flv_stream *s, uint64_t now_us)
{
    if (s->video < 0 || !router_is_ready(s->router) ||
        now_us - s->video_seen_us < s->host->cfg.layer_silent_us)
        return;
    const struct track_set *tracks = router_tracks(s->router);
    unsigned n = tracks->v[s->video].n_layers;
    if (n < 2)
        return;
    s->layer = (s->layer + n - 1) % n;
    s->video_seen_us = now_us;
    log_info("flv", "nothing came on the chosen layer, trying layer %u stream=%s", s->layer, s->name);
    if (flv_mux_tracks(s->mux, tracks, s->video, s->layer, s->audio))
        return;
    consumer_want(&s->consumer, wanted(s));
    need_keyframe(s);
}

static void drop_stalled(struct flv_stream *s, uint64_t now_us)
{
    list_for_each(it, &s->viewers)
        flv_viewer_drop_if_stalled(container_of(it, struct flv_viewer, link), now_us);
}

static bool anyone_parked(const struct flv_stream *s)
{
    for (const struct list *it = s->viewers.next; it != &s->viewers; it = it->next)
        if (container_of(it, const struct flv_viewer, link)->state == FLV_PARKED)
            return true;
    return false;
}

static void on_tick(struct timer *t, uint64_t now_us)
{
    struct flv_stream *s = container_of(t, struct flv_stream, tick);

    timer_start(t, TICK_US);
    if (s->grace_until_us && now_us >= s->grace_until_us) {
        stream_end(s, 503, "The stream did not come back.");
        return;
    }
    flv_mux_poll(s->mux, now_us);
    send_gathered(s, now_us);
    leave_silent_layer(s, now_us);
    if (++s->ticks % KEYFRAME_TICKS == 0) {
        drop_stalled(s, now_us);
        if (router_is_ready(s->router) && anyone_parked(s))
            need_keyframe(s);
    }
    flv_stream_free_if_idle(s);
}

/* ---- Life ------------------------------------------------------------------------------------ */

static void add_up(struct flv_mux_counters *sum, const struct flv_mux_counters *one)
{
    sum->chunks += one->chunks;
    sum->video_frames += one->video_frames;
    sum->audio_frames += one->audio_frames;
    sum->bytes += one->bytes;
    sum->lost_packets += one->lost_packets;
    sum->damaged_frames += one->damaged_frames;
    sum->resyncs += one->resyncs;
}

static void stream_free(struct flv_stream *s)
{
    struct flv_mux_counters last = flv_mux_counters(s->mux);

    add_up(&s->host->counters.mux, &last);
    router_detach(&s->consumer);
    timer_stop(&s->tick);
    timer_stop(&s->waited);
    worker_disarm(&s->send);
    hash_remove(&s->host->streams, &s->item);
    flv_mux_destroy(&s->mux);
    gop_clear(&s->gop);
    free(s->gop.v);
    free(s);
}

void flv_stream_free_if_idle(struct flv_stream *s)
{
    if (!s->opening && list_empty(&s->viewers))
        stream_free(s);
}

static struct flv_stream *stream_open(struct flv_host *host, const char *name)
{
    struct flv_stream *s = calloc(1, sizeof(*s));
    struct flv_mux_cfg mux = {.reorder_wait_us = host->cfg.reorder_wait_us, .on_chunk = on_chunk, .arg = s};

    if (!s)
        return NULL;
    s->router = relay_router(host->cfg.relay, name);
    if (!s->router || flv_mux_create(&s->mux, &mux)) {
        free(s);
        return NULL;
    }
    s->host = host;
    s->video = s->audio = -1;
    s->hold = (struct flv_hold){.limit_us = host->cfg.hold_us, .busy.from_permille = host->cfg.hold_from_permille};
    list_init(&s->viewers);
    strcpy(s->name, name);
    hash_push(&host->streams, &s->item, s->name, strlen(s->name));
    s->consumer.ops = &consumer_ops;
    s->consumer.kind = "flv";
    s->send = (struct turn_hook){.run = on_send, .stage = TURN_FLUSH};
    timer_init(&s->waited, host->worker, on_waited);
    timer_init(&s->tick, host->worker, on_tick);
    timer_start(&s->tick, TICK_US);
    return s;
}

void flv_stream_view(struct flv_host *host, const char *name, struct http_exchange *x)
{
    struct hash_item *item = hash_find(&host->streams, name, strlen(name));
    struct flv_stream *s = item ? container_of(item, struct flv_stream, item) : stream_open(host, name);
    struct flv_viewer *v = s ? flv_viewer_open(s, x) : NULL;

    if (!v) {
        http_problem(x, 503, "This node is out of memory.");
        if (s)
            flv_stream_free_if_idle(s);
        return;
    }
    if (item) {
        flv_viewer_start(v);
        if (!s->gop.whole && router_is_ready(s->router))
            need_keyframe(s);
        flv_stream_free_if_idle(s); /* it was a HEAD */
        return;
    }
    s->opening = true;
    router_attach(s->router, &s->consumer, 0);
    s->opening = false;
    flv_stream_free_if_idle(s);
}

void flv_stream_close(struct flv_stream *s)
{
    s->opening = true;
    list_for_each(it, &s->viewers)
        flv_viewer_end(container_of(it, struct flv_viewer, link), 503, "This node stops.");
    s->opening = false;
    stream_free(s);
}
