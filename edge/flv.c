/* SPDX-License-Identifier: Apache-2.0 */
#include "edge/flv.h"

#include <stdlib.h>
#include <string.h>

#include "edge/flv_stream.h"
#include "edge/flv_viewer.h"
#include "http/bearer.h"
#include "http/cors.h"

struct flv {
    struct flv_host host;
};

/* "/live/test.flv" -> "live/test". false: not the name of a stream. */
static bool name_of_path(const char *path, char name[STREAM_NAME_MAX + 1])
{
    static const char suffix[] = ".flv";
    size_t len = strlen(path), tail = sizeof(suffix) - 1;

    if (len < tail + 1 || len - tail - 1 > STREAM_NAME_MAX || strcmp(path + len - tail, suffix) != 0)
        return false;
    memcpy(name, path + 1, len - tail - 1);
    name[len - tail - 1] = '\0';
    return stream_name_valid(name);
}

static void on_get(struct http_exchange *x, void *arg)
{
    struct flv *f = arg;
    struct flv_host *host = &f->host;
    char name[STREAM_NAME_MAX + 1];

    if (!name_of_path(http_path(x), name)) {
        host->counters.not_found++;
        http_problem(x, 404, "Streams are at /<app>/<name>.flv");
        return;
    }
    if (!http_bearer(x, host->cfg.key, "play", name)) {
        host->counters.unauthorized++;
        return;
    }
    if (host->cfg.admit && http_method(x) == HTTP_M_GET && !host->cfg.admit(host->cfg.arg, x)) {
        host->counters.overloaded++;
        return;
    }
    if (host->counters.viewers >= host->cfg.cap_viewers) {
        host->counters.overloaded++;
        http_reply_header(x, "Retry-After", "5");
        http_problem(x, 503, "This node has as many viewers as it takes.");
        return;
    }
    flv_stream_view(host, name, x);
}

static void set_defaults(struct flv_cfg *c)
{
    c->park_us = c->park_us ? c->park_us : 10000000;
    c->queue_bytes = c->queue_bytes ? c->queue_bytes : 8 << 20;
    c->queue_ms = c->queue_ms ? c->queue_ms : 5000;
    c->stall_us = c->stall_us ? c->stall_us : 30000000;
    c->gop_bytes = c->gop_bytes ? c->gop_bytes : 16 << 20;
    c->reorder_wait_us = c->reorder_wait_us ? c->reorder_wait_us : 400000;
    c->sound_wait_us = c->sound_wait_us ? c->sound_wait_us : 34000;
    c->layer_silent_us = c->layer_silent_us ? c->layer_silent_us : 2000000;
    c->cap_viewers = c->cap_viewers ? c->cap_viewers : 20000;
}

int flv_open(struct flv **out, const struct flv_cfg *cfg)
{
    static const struct http_cors cors = {
        .methods = "GET, HEAD, OPTIONS", .headers = "*, Authorization", .expose = "Retry-After"}; /* "*" is all but that one */
    struct flv *f = calloc(1, sizeof(*f));

    *out = NULL;
    if (!f)
        return -1;
    f->host.cfg = *cfg;
    set_defaults(&f->host.cfg);
    f->host.worker = relay_worker(cfg->relay);
    if (hash_init(&f->host.streams)) {
        free(f);
        return -1;
    }
    http_route(cfg->server, HTTP_M_GET, "*.flv", on_get, f);
    http_cors_route(cfg->server, "*.flv", &cors);
    *out = f;
    return 0;
}

void flv_close(struct flv **f)
{
    if (!*f)
        return;
    hash_for_each(it, &(*f)->host.streams)
        flv_stream_close(container_of(it, struct flv_stream, item));
    hash_fini(&(*f)->host.streams);
    free(*f);
    *f = NULL;
}

void flv_counters(const struct flv *f, struct flv_counters *out)
{
    *out = f->host.counters;
    hash_for_each(it, &f->host.streams) {
        struct flv_mux_counters c = flv_mux_counters(container_of(it, struct flv_stream, item)->mux);
        out->mux.chunks += c.chunks;
        out->mux.video_frames += c.video_frames;
        out->mux.audio_frames += c.audio_frames;
        out->mux.bytes += c.bytes;
        out->mux.lost_packets += c.lost_packets;
        out->mux.damaged_frames += c.damaged_frames;
        out->mux.resyncs += c.resyncs;
    }
}

const char *flv_viewer_state_name(enum flv_viewer_state state)
{
    static const char *const names[] = {"parked", "live", "skipping"};
    return names[state];
}

static void tell(const struct flv_viewer *v, void (*fn)(void *arg, const struct flv_viewer_facts *v),
                 void *arg)
{
    size_t queued = v->state == FLV_PARKED ? 0 : http_stream_queued_bytes(v->exchange);
    struct flv_viewer_facts facts = {
        .id = v->id,
        .stream = v->stream->name,
        .peer = http_peer(v->exchange),
        .started_unix_us = v->started_unix_us,
        .state = v->state,
        .bytes = v->written_bytes > queued ? v->written_bytes - queued : 0,
        .dropped_to_keyframe = v->dropped_to_keyframe,
        .thinned_bytes = v->thinned_bytes,
        .queued_bytes = queued,
        .lag_ms = flv_viewer_lag_ms(v),
    };

    fn(arg, &facts);
}

void flv_each(const struct flv *f, void (*fn)(void *arg, const struct flv_viewer_facts *v), void *arg)
{
    hash_for_each(it, &f->host.streams) {
        const struct flv_stream *s = container_of(it, struct flv_stream, item);
        for (const struct list *l = s->viewers.next; l != &s->viewers; l = l->next)
            tell(container_of(l, const struct flv_viewer, link), fn, arg);
    }
}
