/* SPDX-License-Identifier: Apache-2.0
 * origin.c - the origin: from the publisher to the pipe.
 *
 *   OBS, ffmpeg --> rtmp --> rtmp_session --> rtmp_media --+
 *   browser ------> whip --> webrtc/transport ------------+--> relay/publish --> router (cache) --+--> pipe/pipe_server --> children
 *                                                                                               +--> transcode (AAC <-> Opus), back into the router
 *
 * What a worker of the origin has beside the node's own parts (common/node): an RTMP server and a WHIP server.
 */
#include "node/facts.h"
#include "node/node.h"
#include "origin/rtmp.h"
#include "origin/transcode.h"
#include "origin/whip.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct origin {
    struct rtmp *rtmp;
    struct whip *whip;
    struct transcoders *transcoders;
};

/* ---- Requests for other workers: sessions of theirs, POSTs of streams whose home they are ------------------------ */

static void on_forwarded(struct http_exchange *x, void *arg)
{
    struct node_worker *there = arg;
    struct origin *o = there->role;

    if (o)
        whip_on_request(o->whip, x);
    else
        http_problem(x, 503, "this node is ending");
}

static bool forward(void *arg, struct http_exchange *x, unsigned index)
{
    return node_forward(arg, x, index, on_forwarded);
}

static bool admit(void *arg, struct http_exchange *x)
{
    return node_admit(arg, x);
}

static const char *refusal(void *arg)
{
    return node_refusal(arg);
}

/* ---- Opening and closing ------------------------------------------------------------------------------------------- */

/* A stream of which this worker is home has been published: its derived tracks are made here, when wanted. */
static void on_published(void *arg, struct router *router)
{
    struct origin *o = arg;

    transcoders_watch(o->transcoders, router);
}

static int open_servers(struct node_worker *w, struct origin *o, char *error)
{
    const struct config *c = w->config;
    struct whip_cfg whip = {.http = w->http,
                            .relay = w->relay,
                            .endpoint = w->rtc,
                            .index = w->index,
                            .link = node_ice_link(w),
                            .audio_transcode = c->publish.audio_transcode,
                            .key = w->key,
                            .forward = forward,
                            .admit = admit,
                            .arg = w};
    struct rtmp_cfg rtmp = {.listen = c->rtmp.listen,
                            .reuse_port = true,
                            .relay = w->relay,
                            .audio_transcode = c->publish.audio_transcode,
                            .key = w->key,
                            .refusal = refusal,
                            .arg = w};
    char text[ADDR_TEXT_CAP];

    if (whip_open(&o->whip, &whip) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "out of memory");
        return -1;
    }
    int err = rtmp_open(&o->rtmp, w->worker, &rtmp);
    if (err == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "rtmp.listen: %s: %s", addr_print(&rtmp.listen, text), strerror(-err));
    return -1;
}

static int origin_open(struct node_worker *w, char error[CONFIG_ERROR_CAP])
{
    struct origin *o = calloc(1, sizeof(*o));

    w->role = o;
    if (!o || transcoders_create(&o->transcoders, relay_pool(w->relay)) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "out of memory");
        return -1;
    }
    relay_on_published(w->relay, on_published, o);
    return open_servers(w, o, error);
}

static void origin_close(struct node_worker *w)
{
    struct origin *o = w->role;

    whip_close(&o->whip); /* answers those who wait, so before the server */
    http_server_close(&w->http);
    rtmp_close(&o->rtmp);
    relay_on_published(w->relay, NULL, NULL);
    transcoders_destroy(&o->transcoders);
    free(o);
    w->role = NULL;
}

/* ---- Facts ---------------------------------------------------------------------------------------------------- */

static void add_rtmp_session(void *arg, const struct rtmp_session_facts *f)
{
    json_t *o = facts_session("rtmp", f->id, f->stream, f->peer, f->started_unix_us);

    facts_text(o, "state", rtmp_session_state_name(f->state));
    facts_text(o, "encoder", f->encoder);
    facts_number(o, "messages", f->messages);
    facts_number(o, "bytes", f->bytes);
    json_array_append_new(arg, o);
}

static void add_whip_session(void *arg, const struct whip_facts *f)
{
    json_t *o = facts_session("whip", f->id, f->stream, &f->http_peer, f->started_unix_us), *tracks = json_array();
    struct whip_media_counters sum = {0};

    for (size_t i = 0; i < f->media.n_tracks; i++) {
        const struct whip_track_facts *t = &f->media.tracks[i];
        json_array_append_new(tracks, json_string(codec_name(t->codec)));
        sum.packets += t->counters.packets;
        sum.bytes += t->counters.bytes;
        sum.lost += t->counters.lost;
        sum.recovered += t->counters.recovered;
        sum.nacked += t->counters.nacked;
        sum.plis += t->counters.plis;
    }
    facts_text(o, "state", f->live ? "publishing" : "connecting");
    facts_address(o, "media_peer", &f->peer);
    facts_text(o, "transport", f->tcp ? "tcp" : "udp");
    facts_text(o, "srtp", f->profile);
    json_object_set_new(o, "codecs", tracks);
    facts_number(o, "packets", sum.packets);
    facts_number(o, "bytes", sum.bytes);
    facts_number(o, "lost", sum.lost);
    facts_number(o, "recovered", sum.recovered);
    facts_number(o, "nacked", sum.nacked);
    facts_number(o, "plis", sum.plis);
    if (f->carries_data) {
        facts_number(o, "data_messages", f->data.messages);
        facts_number(o, "data_bytes", f->data.bytes);
        facts_number(o, "data_dropped", f->data.dropped);
        facts_number(o, "data_throttled", f->data.throttled);
    }
    json_array_append_new(arg, o);
}

static void origin_sessions(struct node_worker *w, json_t *array)
{
    struct origin *o = w->role;

    whip_each(o->whip, add_whip_session, array);
    rtmp_each(o->rtmp, add_rtmp_session, array);
}

static void count_rtmp(void *arg, const struct rtmp_session_facts *f)
{
    struct role_facts *out = arg;

    out->publishers += f->state == RTMP_SESSION_PUBLISHING;
}

static void origin_facts(struct node_worker *w, struct role_facts *out)
{
    struct origin *o = w->role;

    out->publishers = (unsigned)whip_publishers(o->whip);
    rtmp_each(o->rtmp, count_rtmp, out);
}

static const struct metric m_publishes = {"millrace_publishes_total", "Publishings granted", METRIC_COUNTER};
static const struct metric m_transcodes = {"millrace_transcodes", "Audio tracks being transcoded now", METRIC_GAUGE};
static const struct metric m_refused = {"millrace_publish_refusals_total", "Publishings refused, by cause", METRIC_COUNTER};

static const struct metric m_data = {"millrace_data_messages_total", "Messages of data channels", METRIC_COUNTER};
static const struct metric m_data_dropped = {"millrace_data_messages_dropped_total", "Messages of data channels given up, by cause",
                                             METRIC_COUNTER};
static const struct metric m_data_waits = {"millrace_data_throttled_total", "Times that a publisher's data channels were made to wait",
                                           METRIC_COUNTER};

static void origin_data_metrics(struct origin *o, struct metrics *m)
{
    struct whip_data_counters d = {0};

    whip_data_totals(o->whip, &d);
    metrics_add(m, &m_data, "direction=\"in\"", (double)d.messages);
    metrics_add(m, &m_data_waits, "", (double)d.throttled);
    metrics_add(m, &m_data_dropped, "cause=\"oversize\"", (double)d.dropped);
    metrics_add(m, &metric_bad_input, "protocol=\"data_channel\"", (double)d.bad);
}

static void origin_whip_metrics(struct origin *o, struct metrics *m)
{
    const struct whip_counters *c = whip_counters(o->whip);
    struct whip_media_counters t = {0};

    whip_totals(o->whip, &t);
    metrics_add(m, &m_publishes, "kind=\"whip\"", (double)c->publishes);
    metrics_add(m, &m_refused, "kind=\"whip\",cause=\"taken\"", (double)c->taken);
    metrics_add(m, &m_refused, "kind=\"whip\",cause=\"token\"", (double)c->unauthorized);
    metrics_add(m, &m_refused, "kind=\"whip\",cause=\"bad_request\"", (double)c->bad_requests);
    metrics_add(m, &m_refused, "kind=\"whip\",cause=\"overload\"", (double)c->overloaded);
    metrics_add(m, &metric_packets_received, "transport=\"webrtc\"", (double)t.packets);
    metrics_add(m, &metric_bytes_received, "transport=\"webrtc\"", (double)t.bytes);
    metrics_add(m, &metric_lost, "transport=\"webrtc\"", (double)t.lost);
    metrics_add(m, &metric_recovered, "transport=\"webrtc\"", (double)t.recovered);
    metrics_add(m, &metric_dropped, "where=\"whip_pool\"", (double)t.dropped_pool);
    metrics_add(m, &metric_bad_input, "protocol=\"whip\"", (double)c->bad_requests);
    metrics_add(m, &metric_bad_input, "protocol=\"rtp\"",
                (double)(t.bad_rtp + t.bad_payload + t.oversize + t.strangers));
    metrics_add(m, &metric_bad_input, "protocol=\"rtcp\"", (double)t.bad_rtcp);
}

static void origin_metrics(struct node_worker *w, struct metrics *m)
{
    struct origin *o = w->role;
    const struct rtmp_counters *c = rtmp_counters(o->rtmp);
    char label[64];

    origin_whip_metrics(o, m);
    origin_data_metrics(o, m);
    metrics_add(m, &m_publishes, "kind=\"rtmp\"", (double)c->publishes);
    metrics_add(m, &m_refused, "kind=\"rtmp\",cause=\"taken\"", (double)c->refused_taken);
    metrics_add(m, &m_refused, "kind=\"rtmp\",cause=\"name\"", (double)c->refused_name);
    metrics_add(m, &m_refused, "kind=\"rtmp\",cause=\"token\"", (double)c->refused_token);
    metrics_add(m, &m_refused, "kind=\"rtmp\",cause=\"codec\"", (double)c->refused_codec);
    metrics_add(m, &m_refused, "kind=\"rtmp\",cause=\"overload\"", (double)c->refused_overload);
    metrics_add(m, &metric_bytes_received, "transport=\"rtmp\"", (double)c->bytes);
    metrics_add(m, &m_transcodes, "", (double)transcoders_running(o->transcoders));
    for (int i = 0; i < RTMP_BAD_INPUTS; i++) {
        snprintf(label, sizeof(label), "protocol=\"rtmp\",part=\"%s\"", rtmp_bad_input_name((enum rtmp_bad_input)i));
        metrics_add(m, &metric_bad_input, label, (double)c->bad_input[i]);
    }
}

static const struct role origin_role = {
    .role = NODE_ORIGIN,
    .webrtc = true,
    .serves = true,
    .open = origin_open,
    .close = origin_close,
    .sessions = origin_sessions,
    .metrics = origin_metrics,
    .facts = origin_facts,
};

int main(int argc, char **argv)
{
    return node_main(argc, argv, &origin_role);
}
