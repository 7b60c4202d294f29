/* SPDX-License-Identifier: Apache-2.0
 * edge.c - the edge: from the pipe to the viewer.
 *
 *   parent --pipe/pipe_client--> relay/pull --> router (cache) --+--> webrtc/viewer --> whep session --> browser
 *                                                 |              +--> flv_mux ------> flv -----------> ffmpeg, VLC, mpegts.js
 *                                                 +--> relay/link --> the same stream's router on another worker
 *
 * What a worker of the edge has beside the node's own parts (common/node): a WHEP server and an HTTP-FLV server on its HTTP port.
 */
#include "edge/flv.h"
#include "edge/whep.h"
#include "edge/whep_events.h"
#include "node/facts.h"
#include "node/node.h"

#include <stdio.h>
#include <stdlib.h>

struct edge {
    struct whep *whep;
    struct whep_events *events;
    struct flv *flv;
};

/* ---- Sessions of other workers ------------------------------------------------------------------------------- */

static void on_forwarded(struct http_exchange *x, void *arg)
{
    struct node_worker *there = arg;
    struct edge *e = there->role;

    if (e)
        whep_on_session(e->whep, x);
    else
        http_problem(x, 503, "this node is ending");
}

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    return node_forward(arg, x, index, on_forwarded);
}

/* ---- Who is let in, and who is sent elsewhere ------------------------------------------------------------------- */

static void admit_whep(void *arg, struct http_exchange *x, const char *stream, void (*go)(struct http_exchange *x, void *whep),
                       void *whep)
{
    node_admit_viewer(arg, x, stream, go, whep);
}

static bool admit_flv(void *arg, struct http_exchange *x)
{
    return node_admit(arg, x);
}

static void client_of(void *arg, const struct http_exchange *x, struct addr *out)
{
    node_client(arg, x, out);
}

static void on_edge_known(void *arg, uint64_t id, const char *url)
{
    struct node_worker *w = arg;
    struct edge *e = w->role;

    whep_events_on_edge(e->events, id, url);
}

static void find_edge(void *arg, const struct addr *client, const char *stream, uint64_t id)
{
    node_find_edge(arg, client, stream, on_edge_known, arg, id);
}

static void on_viewers_known(void *arg, const char *stream, uint64_t viewers)
{
    struct node_worker *w = arg;
    struct edge *e = w->role;

    whep_events_on_viewers(e->events, stream, viewers);
}

static void count_viewers(void *arg, const char *stream)
{
    node_count_viewers(arg, stream, on_viewers_known, arg);
}

static void edge_drain(struct node_worker *w, bool on, uint64_t spread_us)
{
    struct edge *e = w->role;

    whep_events_drain(e->events, on, spread_us);
}

/* ---- Opening and closing ---------------------------------------------------------------------------------------- */

static int edge_open(struct node_worker *w, char error[CONFIG_ERROR_CAP])
{
    struct edge *e = calloc(1, sizeof(*e));
    struct whep_events_cfg events = {
        .http = w->http, .relay = w->relay, .find_edge = find_edge, .count_viewers = count_viewers, .client = client_of,
        .key = w->key, .arg = w};
    struct whep_cfg whep = {.http = w->http,
                            .relay = w->relay,
                            .endpoint = w->rtc,
                            .index = w->index,
                            .link = node_ice_link(w),
                            .grace_us = w->config->relay.grace_ms * 1000,
                            .forward = forward,
                            .admit = admit_whep,
                            .key = w->key,
                            .arg = w};
    struct flv_cfg flv = {.relay = w->relay,
                          .server = w->http,
                          .admit = admit_flv,
                          .key = w->key,
                          .arg = w,
                          .hold_us = w->config->flv.hold_ms * 1000,
                          .hold_from_permille = (uint32_t)w->config->flv.hold_load * 10,
                          .grace_us = w->config->relay.grace_ms * 1000};

    w->role = e;
    if (e && whep_events_open(&e->events, &events) == 0)
        whep.events = e->events;
    if (e && e->events && whep_open(&e->whep, &whep) == 0 && flv_open(&e->flv, &flv) == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "out of memory");
    return -1;
}

static void edge_close(struct node_worker *w)
{
    struct edge *e = w->role;

    whep_events_close(&e->events);
    whep_close(&e->whep); /* answers those who wait, so before the server */
    http_server_close(&w->http);
    flv_close(&e->flv); /* its responses have ended with the server */
    free(e);
    w->role = NULL;
}

/* ---- Facts ---------------------------------------------------------------------------------------------------------- */

static void add_whep_session(void *arg, const struct whep_facts *f)
{
    const struct rtp_sender_counters *video = &f->viewer.sent[0], *audio = &f->viewer.sent[1];
    json_t *o = facts_session("whep", f->id, f->stream, &f->http_peer, f->started_unix_us);

    facts_text(o, "state", f->ended ? "waiting for the publisher" : rtc_viewer_state_name(f->viewer.state));
    facts_address(o, "media_peer", &f->peer);
    facts_text(o, "transport", f->tcp ? "tcp" : "udp");
    facts_text(o, "srtp", f->profile);
    facts_text(o, "video", codec_name(f->viewer.video));
    facts_text(o, "audio", codec_name(f->viewer.audio));
    facts_number(o, "packets", video->packets + audio->packets);
    facts_number(o, "bytes", video->octets + audio->octets);
    facts_number(o, "retransmitted", video->resent + audio->resent);
    facts_number(o, "nacked", video->nacked + audio->nacked);
    facts_number(o, "nacked_in_vain", video->resend_gone + audio->resend_gone);
    facts_number(o, "keyframes_asked", f->viewer.keyframes_asked);
    facts_number(o, "dropped_to_keyframe", f->viewer.skips);
    facts_number(o, "moves", f->transport->moves);
    facts_number(o, "rtt_us", f->viewer.rtt_us);
    facts_number(o, "lost_permille", f->viewer.lost_fraction * 1000u / 256);
    facts_number(o, "catch_up_us", f->viewer.catch_up_us);
    facts_text(o, "path", f->viewer.path);
    facts_number(o, "target_bps", f->viewer.target_bps);
    facts_number(o, "acked_bps", f->viewer.acked_bps);
    facts_number(o, "probes", f->viewer.probes);
    facts_number(o, "paced_us", f->viewer.paced_us);
    if (f->viewer.layers > 1)
        facts_number(o, "layer", f->viewer.layer);
    if (f->viewer.level.spatial != RTP_LEVEL_ALL)
        facts_number(o, "spatial_layer", f->viewer.level.spatial);
    if (f->viewer.level.temporal >= 0 && f->viewer.level.temporal != RTP_LEVEL_ALL)
        facts_number(o, "temporal_layer", (uint64_t)f->viewer.level.temporal);
    facts_number(o, "layer_switches", f->viewer.layer_switches);
    json_object_set_new(o, "keyframes_only", json_boolean(f->viewer.level.temporal < 0));
    facts_number(o, "pauses", f->viewer.pauses);
    facts_text(o, "thinned", f->viewer.thin == GOVERNOR_KEYFRAMES ? "keyframes" : f->viewer.thin == GOVERNOR_TEMPORAL ? "temporal" : "");
    facts_number(o, "pictures_skipped", f->viewer.skipped);
    if (f->viewer.carries_data) {
        facts_number(o, "data_messages", f->viewer.data.sent);
        facts_number(o, "data_bytes", f->viewer.data.bytes);
        facts_number(o, "data_dropped", f->viewer.data.dropped);
        facts_number(o, "data_skipped", f->viewer.data.skipped);
    }
    json_array_append_new(arg, o);
}

static void add_flv_session(void *arg, const struct flv_viewer_facts *f)
{
    json_t *o = facts_session("flv", f->id, f->stream, f->peer, f->started_unix_us);

    facts_text(o, "state", flv_viewer_state_name(f->state));
    facts_number(o, "bytes", f->bytes);
    facts_number(o, "queued_bytes", f->queued_bytes);
    facts_number(o, "lag_ms", f->lag_ms);
    facts_number(o, "dropped_to_keyframe", f->dropped_to_keyframe);
    facts_number(o, "thinned_bytes", f->thinned_bytes);
    json_array_append_new(arg, o);
}

static void edge_sessions(struct node_worker *w, json_t *array)
{
    struct edge *e = w->role;

    whep_each(e->whep, add_whep_session, array);
    flv_each(e->flv, add_flv_session, array);
}

static void edge_facts(struct node_worker *w, struct role_facts *out)
{
    struct edge *e = w->role;
    struct flv_counters flv;

    flv_counters(e->flv, &flv);
    out->viewers = (unsigned)(whep_sessions(e->whep) + flv.viewers); /* who joins takes a place already */
    out->sent_bytes = flv.bytes;
}

static const struct metric m_viewers = {"millrace_viewers", "Viewers now", METRIC_GAUGE};
static const struct metric m_joins = {"millrace_joins_total", "Viewers who got media", METRIC_COUNTER};
static const struct metric m_join_failures = {"millrace_join_failures_total", "Viewers refused, by cause", METRIC_COUNTER};
static const struct metric m_viewers_thinned = {"millrace_viewers_thinned", "Viewers served less now, as a worker is overloaded",
                                                METRIC_GAUGE};
static const struct metric m_left_out = {"millrace_pictures_left_out_total",
                                         "Pictures not sent: above what a path, a choice or an overloaded worker allows", METRIC_COUNTER};
static const struct metric m_skips = {"millrace_viewer_skips_total", "Times a slow viewer was dropped to the next keyframe",
                                      METRIC_COUNTER};
static const struct metric m_thinned = {"millrace_bytes_thinned_total", "Media not sent because a worker was overloaded",
                                        METRIC_COUNTER};

static const struct metric m_data = {"millrace_data_messages_total", "Messages of data channels", METRIC_COUNTER};
static const struct metric m_data_dropped = {"millrace_data_messages_dropped_total", "Messages of data channels given up, by cause",
                                             METRIC_COUNTER};

static void edge_data_metrics(const struct viewer_data_counters *d, struct metrics *m)
{
    metrics_add(m, &m_data, "direction=\"out\"", (double)d->sent);
    metrics_add(m, &m_data_dropped, "cause=\"slow_viewer\"", (double)d->dropped);
    metrics_add(m, &m_data_dropped, "cause=\"lost\"", (double)d->skipped);
    metrics_add(m, &m_data_dropped, "cause=\"from_viewer\"", (double)d->received);
}

static void edge_whep_metrics(struct edge *e, struct metrics *m)
{
    const struct whep_counters *c = whep_counters(e->whep);
    struct whep_totals t;

    whep_totals(e->whep, &t);
    metrics_add(m, &m_viewers, "kind=\"whep\"", (double)whep_viewers(e->whep));
    metrics_add(m, &m_joins, "kind=\"whep\"", (double)c->joins);
    metrics_add(m, &m_skips, "kind=\"whep\"", (double)t.skips);
    metrics_add(m, &m_left_out, "kind=\"whep\"", (double)t.pictures_left_out);
    metrics_add(m, &m_viewers_thinned, "kind=\"whep\",to=\"temporal\"", (double)t.thinned);
    metrics_add(m, &m_viewers_thinned, "kind=\"whep\",to=\"keyframes\"", (double)t.thinned_to_keyframes);
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"bad_request\"", (double)c->bad_requests);
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"token\"", (double)c->unauthorized);
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"not_acceptable\"", (double)c->not_acceptable);
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"no_publisher\"", (double)c->no_publisher);
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"unreachable\"", (double)(c->unreachable + c->timeouts));
    metrics_add(m, &m_join_failures, "kind=\"whep\",cause=\"overloaded\"", (double)c->overloaded);
    metrics_add(m, &metric_packets_sent, "transport=\"webrtc\"", (double)t.packets);
    metrics_add(m, &metric_bytes_sent, "transport=\"webrtc\"", (double)t.octets);
    metrics_add(m, &metric_retransmitted, "transport=\"webrtc\"", (double)t.resent);
    metrics_add(m, &metric_bad_input, "protocol=\"whep\"", (double)c->bad_requests);
    metrics_add(m, &metric_bad_input, "protocol=\"rtcp\"", (double)t.bad_rtcp);
    edge_data_metrics(&t.data, m);
}

static void edge_metrics(struct node_worker *w, struct metrics *m)
{
    struct edge *e = w->role;
    struct flv_counters f;

    edge_whep_metrics(e, m);
    flv_counters(e->flv, &f);
    metrics_add(m, &m_viewers, "kind=\"flv\"", (double)f.viewers);
    metrics_add(m, &m_joins, "kind=\"flv\"", (double)f.joins);
    metrics_add(m, &m_join_failures, "kind=\"flv\",cause=\"no_publisher\"", (double)f.not_found);
    metrics_add(m, &m_join_failures, "kind=\"flv\",cause=\"token\"", (double)f.unauthorized);
    metrics_add(m, &m_join_failures, "kind=\"flv\",cause=\"unreachable\"", (double)(f.unreachable + f.timed_out));
    metrics_add(m, &m_join_failures, "kind=\"flv\",cause=\"overloaded\"", (double)f.overloaded);
    metrics_add(m, &m_skips, "kind=\"flv\"", (double)f.dropped_to_keyframe);
    metrics_add(m, &m_thinned, "kind=\"flv\"", (double)f.thinned_bytes);
    metrics_add(m, &metric_bytes_sent, "transport=\"flv\"", (double)f.bytes);
}

static const struct role edge_role = {
    .role = NODE_EDGE,
    .webrtc = true,
    .pulls = true,
    .open = edge_open,
    .close = edge_close,
    .sessions = edge_sessions,
    .metrics = edge_metrics,
    .facts = edge_facts,
    .drain = edge_drain,
};

int main(int argc, char **argv)
{
    return node_main(argc, argv, &edge_role);
}
