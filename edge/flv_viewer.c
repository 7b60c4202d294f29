/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv_viewer.h"

#include <stdlib.h>

#include "base/random.h"

/* ---- Leaving --------------------------------------------------------------------------------- */

/* The exchange is dead or about to be answered for good. */
static void viewer_free(struct flv_viewer *v)
{
    timer_stop(&v->parked);
    list_remove(&v->link);
    v->stream->host->counters.viewers--;
    v->stream->consumer.viewers--;
    free(v);
}

static void viewer_gone(struct http_exchange *x, void *arg)
{
    struct flv_viewer *v = arg;
    struct flv_stream *s = v->stream;

    (void)x;
    viewer_free(v);
    flv_stream_free_if_idle(s);
}

void flv_viewer_refuse(struct flv_viewer *v, int status, const char *why)
{
    struct http_exchange *x = v->exchange;

    viewer_free(v);
    if (status != 404)
        http_reply_header(x, "Retry-After", "2");
    http_problem(x, status, "%s", why);
}

void flv_viewer_end(struct flv_viewer *v, int status, const char *why)
{
    struct http_exchange *x = v->exchange;

    if (v->state == FLV_PARKED) {
        flv_viewer_refuse(v, status, why);
        return;
    }
    viewer_free(v);
    http_stream_end(x);
}

static void on_parked_long(struct timer *t, uint64_t now_us)
{
    struct flv_viewer *v = container_of(t, struct flv_viewer, parked);
    struct flv_stream *s = v->stream;

    (void)now_us;
    s->host->counters.timed_out++;
    flv_viewer_refuse(v, 504, "The stream did not begin in time.");
    flv_stream_free_if_idle(s);
}

/* ---- Media ----------------------------------------------------------------------------------- */

static void viewer_write(struct flv_viewer *v, const struct http_piece *p)
{
    size_t len = p->to - p->from;

    http_stream_send(v->exchange, p);
    v->written_bytes += len;
    v->stream->host->counters.bytes += len;
}

static void on_drain(struct http_exchange *x, void *arg)
{
    struct flv_viewer *v = arg;

    (void)x;
    v->bursting = false;
}

/* HEAD: what a GET would be answered with, as far as that is known now. */
static void viewer_answer_head(struct flv_viewer *v)
{
    struct http_exchange *x = v->exchange;

    viewer_free(v);
    http_reply(x, 200, "video/x-flv", NULL, 0);
}

void flv_viewer_start(struct flv_viewer *v)
{
    struct flv_stream *s = v->stream;
    const struct http_piece *head = flv_mux_head(s->mux);

    if (!s->gop.whole || !head)
        return;
    timer_stop(&v->parked);
    http_reply_header(v->exchange, "Cache-Control", "no-store");
    if (http_method(v->exchange) == HTTP_M_HEAD) {
        viewer_answer_head(v);
        return;
    }
    /* Chunked, so that the stream's end can be told from a broken connection. */
    http_stream_begin(v->exchange, 200, "video/x-flv", true, on_drain, v);
    v->state = FLV_LIVE;
    v->bursting = true;
    v->serial = flv_mux_serial(s->mux);
    v->progress_us = worker_now_us(s->host->worker);
    viewer_write(v, head);
    for (size_t i = 0; i < s->gop.n; i++)
        viewer_write(v, &s->gop.v[i].piece);
    v->burst_bytes = v->written_bytes;
    s->host->counters.joins++;
}

uint32_t flv_viewer_lag_ms(const struct flv_viewer *v)
{
    const struct flv_stream *s = v->stream;
    size_t queued = v->state == FLV_PARKED ? 0 : http_stream_queued_bytes(v->exchange);
    uint64_t oldest = s->n_marks < FLV_MARKS ? 0 : s->n_marks - FLV_MARKS, at = s->n_marks;

    if (queued == 0 || at == 0 || queued > s->total_bytes)
        return 0;
    while (at > oldest && s->marks[(at - 1) % FLV_MARKS].end_bytes > s->total_bytes - queued)
        at--;
    if (at == s->n_marks)
        return 0;
    return s->marks[(s->n_marks - 1) % FLV_MARKS].to_ms - s->marks[at % FLV_MARKS].to_ms;
}

static bool viewer_is_slow(const struct flv_viewer *v)
{
    const struct flv_cfg *cfg = &v->stream->host->cfg;
    size_t queued = http_stream_queued_bytes(v->exchange);

    if (v->bursting)
        return queued > cfg->queue_bytes + v->burst_bytes;
    return queued > cfg->queue_bytes || (queued > 0 && flv_viewer_lag_ms(v) > cfg->queue_ms);
}

/* May go on at a keyframe when most of what it was behind has been sent. */
static bool viewer_caught_up(const struct flv_viewer *v)
{
    return http_stream_queued_bytes(v->exchange) < v->stream->host->cfg.queue_bytes / 4;
}

static void viewer_skip(struct flv_viewer *v)
{
    v->state = FLV_SKIPPING;
    v->dropped_to_keyframe++;
    v->stream->host->counters.dropped_to_keyframe++;
}

/* The worker is overloaded: this viewer gets the chunks that begin with a keyframe only. True: not this one. */
static bool viewer_is_thinned(struct flv_viewer *v, const struct flv_chunk *chunk)
{
    struct flv_host *host = v->stream->host;

    if (chunk->key)
        v->thinned = false; /* wherever it goes on, it is from here */
    else if (v->state == FLV_LIVE && worker_thinning(host->worker, v->rank) == GOVERNOR_KEYFRAMES)
        v->thinned = true;
    if (!v->thinned)
        return false;
    v->thinned_bytes += chunk->piece.to - chunk->piece.from;
    host->counters.thinned_bytes += chunk->piece.to - chunk->piece.from;
    return true;
}

void flv_viewer_push(struct flv_viewer *v, const struct flv_chunk *chunk, struct http_piece *sequence)
{
    struct flv_stream *s = v->stream;

    if (viewer_is_thinned(v, chunk))
        return;
    if (v->state == FLV_LIVE && viewer_is_slow(v))
        viewer_skip(v);
    if (v->state == FLV_SKIPPING) {
        if (!chunk->key || !viewer_caught_up(v))
            return;
        v->state = FLV_LIVE;
    }
    if (v->serial != flv_mux_serial(s->mux)) {
        if (!sequence->framed && flv_mux_sequence(s->mux, chunk->from_ms, sequence))
            return;
        viewer_write(v, sequence);
        v->serial = flv_mux_serial(s->mux);
    }
    viewer_write(v, &chunk->piece);
}

void flv_viewer_drop_if_stalled(struct flv_viewer *v, uint64_t now_us)
{
    struct flv_host *host = v->stream->host;
    struct http_exchange *x = v->exchange;

    if (v->state == FLV_PARKED)
        return;
    size_t queued = http_stream_queued_bytes(x);
    uint64_t taken = v->written_bytes - (queued < v->written_bytes ? queued : v->written_bytes);
    if (queued == 0 || taken != v->progress_bytes) {
        v->progress_bytes = taken;
        v->progress_us = now_us;
    } else if (now_us - v->progress_us > host->cfg.stall_us) {
        host->counters.stalled++;
        viewer_free(v);
        http_stream_abort(x);
    }
}

/* ---- Joining --------------------------------------------------------------------------------- */

struct flv_viewer *flv_viewer_open(struct flv_stream *s, struct http_exchange *x)
{
    struct flv_viewer *v = calloc(1, sizeof(*v));

    if (!v)
        return NULL;
    v->stream = s;
    v->exchange = x;
    v->started_unix_us = worker_unix_us(s->host->worker);
    v->rank = random_u32() % GOVERNOR_RANKS;
    random_token(v->id, FLV_VIEWER_ID_CHARS);
    timer_init(&v->parked, s->host->worker, on_parked_long);
    timer_start(&v->parked, s->host->cfg.park_us);
    list_push_back(&s->viewers, &v->link);
    s->host->counters.viewers++;
    s->consumer.viewers++;
    http_on_gone(x, viewer_gone, v);
    return v;
}
