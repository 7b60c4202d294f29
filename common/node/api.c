/* SPDX-License-Identifier: Apache-2.0
 *
 * Every node's own pages of facts: /healthz, /readyz, /metrics, /api/v1/{node,nodes,streams,sessions}, and the folder of web pages.
 */
#include "node/node_priv.h"

#include "http/cors.h"
#include "http/static.h"
#include "node/facts.h"
#include "pipe/pipe_client.h"
#include "pipe/pipe_server.h"
#include "webrtc/endpoint.h"
#include "webrtc/ice_tcp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers ------------------------------------------------------------------------------------------ */

static void reply_json(struct http_exchange *x, json_t *body)
{
    char *text = body ? json_dumps(body, JSON_INDENT(2)) : NULL;

    http_reply_header(x, "Cache-Control", "no-store");
    if (text)
        http_reply(x, 200, "application/json", text, strlen(text));
    else
        http_problem(x, 503, "out of memory, or this node is ending");
    free(text);
}

/* ---- /api/v1 ------------------------------------------------------------------------------------------------ */

/* For people who follow the address that deploy/local prints. */
static void get_index(struct http_exchange *x, void *arg)
{
    static const char *const places[] = {"/api/v1/node",     "/api/v1/nodes",         "/api/v1/streams",
                                         "/api/v1/sessions", "/api/v1/streams/events", "/metrics",
                                         "/healthz",         "/readyz"};
    json_t *list = json_array();

    (void)arg;
    for (size_t i = 0; i < LEN(places); i++)
        json_array_append_new(list, json_string(places[i]));
    json_t *body = json_pack("{s:o}", "see", list);
    reply_json(x, body);
    json_decref(body);
}

/* ---- /healthz, /readyz --------------------------------------------------------------------------------------- */

static void get_healthz(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply(x, 200, "text/plain", "alive\n", 6);
}

static void ready_on_main(struct node *n, struct part *out)
{
    out->json = json_pack("{s:b, s:b, s:s}", "registered", n->ready_once || directory_state(n->directory) == DIRECTORY_UP,
                          "draining", n->self.draining, "directory", directory_state_name(directory_state(n->directory)));
}

static void ready_answer(struct http_exchange *x, struct part *parts, size_t n)
{
    const json_t *main_part = parts[n].json;

    if (!json_is_true(json_object_get(main_part, "registered")))
        http_problem(x, 503, "the directory has not been reached yet");
    else if (json_is_true(json_object_get(main_part, "draining")))
        http_problem(x, 503, "draining");
    else
        http_reply(x, 200, "text/plain", "ready\n", 6);
}

static void get_readyz(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_main = ready_on_main, .answer = ready_answer};

    gather(arg, x, &q);
}

/* ---- /api/v1/node, /api/v1/nodes ------------------------------------------------------------------------------- */

static json_t *node_json(const struct node_record *r)
{
    json_t *o = json_object();

    facts_text(o, "id", r->id);
    facts_text(o, "role", node_role_name(r->role));
    facts_text(o, "region", r->region);
    facts_set(o, "draining", json_boolean(r->draining));
    facts_time(o, "started_at", r->started_us);
    facts_set(o, "addresses", json_pack("{s:s, s:s}", "http", r->http, "pipe", r->pipe));
    facts_set(o, "load", json_pack("{s:I, s:I, s:I, s:I}", "cpu_permille", (json_int_t)r->load_permille, "viewers",
                                   (json_int_t)r->viewers, "streams", (json_int_t)r->streams, "egress_bps",
                                   (json_int_t)r->egress_bps));
    facts_set(o, "capacity", json_pack("{s:I, s:I, s:I}", "cpu_permille", (json_int_t)r->capacity_permille, "viewers",
                                       (json_int_t)r->capacity_viewers, "egress_bps", (json_int_t)r->capacity_bps));
    return o;
}

static void node_on_main(struct node *n, struct part *out)
{
    const struct directory_counters *d = directory_counters(n->directory);
    json_t *o = out->json = node_json(&n->self);

    facts_text(o, "version", MILLRACE_VERSION);
    facts_number(o, "workers", n->n);
    facts_number(o, "uptime_s", (worker_unix_us(n->main) - n->started_us) / 1000000);
    facts_set(o, "directory",
              json_pack("{s:s, s:I, s:I, s:I, s:I, s:I}", "state", directory_state_name(directory_state(n->directory)),
                        "connects", (json_int_t)d->connects, "failures", (json_int_t)d->failures, "commands",
                        (json_int_t)d->commands, "finds", (json_int_t)d->finds, "finds_cached", (json_int_t)d->finds_cached));
}

static void main_answer(struct http_exchange *x, struct part *parts, size_t n)
{
    reply_json(x, parts[n].json);
}

static void get_node(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_main = node_on_main, .answer = main_answer};

    gather(arg, x, &q);
}

static bool add_stream_record(void *arg, const struct stream_record *s)
{
    json_array_append_new(arg, json_pack("{s:s, s:s, s:I}", "name", s->name, "owner", s->owner, "epoch",
                                         (json_int_t)s->epoch));
    return true;
}

static void nodes_on_main(struct node *n, struct part *out)
{
    const struct node_record *v;
    size_t count = directory_nodes(n->directory, &v);
    json_t *nodes = json_array(), *streams = json_array();

    directory_want_loads(n->directory); /* for the next time */
    for (size_t i = 0; i < count; i++)
        json_array_append_new(nodes, node_json(&v[i]));
    directory_each_stream(n->directory, add_stream_record, streams);
    out->json = json_pack("{s:s, s:o, s:o}", "self", n->self.id, "nodes", nodes, "streams", streams);
}

static void get_nodes(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_main = nodes_on_main, .answer = main_answer};

    gather(arg, x, &q);
}

/* ---- /api/v1/streams --------------------------------------------------------------------------------------------- */

/* Simulcast layers from the smallest up; wanted: by consumers here, so that they are pulled. */
static json_t *encodings_json(const struct track *t, uint64_t want)
{
    json_t *list = json_array();

    for (unsigned i = 0; i < t->n_layers && i < LAYERS_MAX; i++)
        json_array_append_new(list, json_pack("{s:s, s:i, s:i, s:b}", "rid", t->layers[i].rid, "width", t->layers[i].width,
                                              "height", t->layers[i].height, "wanted", (int)(want >> i & 1)));
    return list;
}

static const char *kind_name(enum codec c)
{
    switch (codec_kind(c)) {
    case CODEC_KIND_VIDEO: return "video";
    case CODEC_KIND_DATA: return "data";
    default: return "audio";
    }
}

/* want: of this track, a bit a layer. */
static json_t *track_json(const struct track *t, uint64_t want)
{
    json_t *o = json_object();

    facts_text(o, "codec", codec_name(t->codec));
    facts_text(o, "kind", kind_name(t->codec));
    facts_number(o, "layers", t->n_layers);
    facts_set(o, "derived", json_boolean(t->derived));
    facts_set(o, "b_frames", json_boolean(t->b_frames));
    if (t->layers[0].width)
        facts_set(o, "size", json_pack("[i, i]", t->layers[0].width, t->layers[0].height));
    if (t->n_layers > 1)
        facts_set(o, "encodings", encodings_json(t, want));
    return o;
}

static json_t *pipe_json(const struct pipe_counters *c)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "packets", (json_int_t)c->packets, "bytes",
                     (json_int_t)c->bytes, "lost", (json_int_t)c->lost, "recovered", (json_int_t)c->recovered, "given_up",
                     (json_int_t)c->given_up, "gone", (json_int_t)c->gone, "late", (json_int_t)c->late, "duplicates",
                     (json_int_t)c->duplicates, "requested", (json_int_t)c->requested, "repair_us",
                     (json_int_t)c->repair_us, "slow_repairs", (json_int_t)c->slow_repairs);
}

struct streams_walk {
    struct node_worker *w;
    json_t *array;
};

/* One worker's view of a stream; stream_merge makes one of all views. */
static void add_stream(void *arg, struct router *r)
{
    struct streams_walk *walk = arg;
    const struct track_set *tracks = router_tracks(r);
    const struct router_counters *c = router_counters(r);
    const struct pipe_counters *pipe = relay_pipe_counters(r);
    const char *parent, *source = relay_source(walk->w->relay, r, &parent);
    json_t *o = json_object(), *list = json_array();

    for (size_t i = 0; tracks && i < tracks->n; i++)
        json_array_append_new(list, track_json(&tracks->v[i], router_want(r) >> (i * LAYERS_MAX)));
    facts_text(o, "name", router_name(r));
    facts_number(o, "epoch", router_epoch(r));
    facts_text(o, "state", router_live(r) ? "live" : tracks ? "ended" : "waiting");
    facts_text(o, "source", source);
    facts_text(o, "parent", parent);
    facts_set(o, "tracks", list);
    facts_number(o, "viewers", router_viewers(r));
    facts_number(o, "children", router_consumers(r, "pipe"));
    facts_number(o, "packets", c->packets);
    facts_number(o, "bytes", c->bytes);
    facts_number(o, "duplicates", c->duplicates);
    facts_number(o, "keyframe_requests", c->keyframe_requests);
    facts_number(o, "epochs", c->epochs);
    facts_number(o, "cached_bytes", cache_bytes(router_cache(r)));
    if (pipe)
        facts_set(o, "pipe", pipe_json(pipe));
    json_array_append_new(walk->array, o);
}

static void streams_on_worker(struct node_worker *w, struct part *out)
{
    struct streams_walk walk = {w, out->json = json_array()};

    router_set_each(relay_routers(w->relay), add_stream, &walk);
}

static void add_count(json_t *into, const json_t *from, const char *key)
{
    facts_number(into, key,
                 (uint64_t)(json_integer_value(json_object_get(into, key)) + json_integer_value(json_object_get(from, key))));
}

/* The home's view is the stream's; other workers' copies only add those they serve. */
static void stream_merge(json_t *streams, json_t *view)
{
    const char *name = json_string_value(json_object_get(view, "name"));
    bool copy = strcmp(json_string_value(json_object_get(view, "source")), "link") == 0;
    json_t *have = json_object_get(streams, name);

    if (!have) {
        json_object_set(streams, name, view);
        return;
    }
    json_t *whole = copy ? have : view;
    const json_t *other = copy ? view : have;
    add_count(whole, other, "viewers");
    add_count(whole, other, "children");
    json_object_set(streams, name, whole);
}

static void streams_answer(struct http_exchange *x, struct part *parts, size_t n)
{
    const char *prefix = http_query(x, "prefix"), *name;
    json_t *by_name = json_object(), *list = json_array(), *value;

    for (size_t i = 0; i < n; i++) {
        size_t at;
        json_array_foreach(parts[i].json, at, value) stream_merge(by_name, value);
    }
    json_object_foreach(by_name, name, value) {
        if (!prefix || strncmp(name, prefix, strlen(prefix)) == 0)
            json_array_append(list, value);
    }
    json_t *body = json_pack("{s:o}", "streams", list);
    reply_json(x, body);
    json_decref(body);
    json_decref(by_name);
}

static void get_streams(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_worker = streams_on_worker, .answer = streams_answer};

    gather(arg, x, &q);
}

/* ---- /api/v1/sessions ----------------------------------------------------------------------------------------------- */

static void add_child(void *arg, const struct pipe_child_stats *c)
{
    json_t *o = facts_session("pipe", c->id, c->stream, &c->address, c->started_at_us);

    facts_address(o, "media_peer", &c->media);
    facts_number(o, "rtt_us", c->rtt_us);
    facts_number(o, "packets", c->counters->packets);
    facts_number(o, "bytes", c->counters->bytes);
    facts_number(o, "retransmitted", c->counters->retransmitted);
    json_array_append_new(arg, o);
}

static void sessions_on_worker(struct node_worker *w, struct part *out)
{
    out->json = json_array();
    if (w->node->role->sessions)
        w->node->role->sessions(w, out->json);
    if (w->pipe_server)
        pipe_server_each(w->pipe_server, add_child, out->json);
}

static void sessions_answer(struct http_exchange *x, struct part *parts, size_t n)
{
    const char *stream = http_query(x, "stream");
    json_t *list = json_array(), *value;

    for (size_t i = 0; i < n; i++) {
        size_t at;
        json_array_foreach(parts[i].json, at, value) {
            const char *of = json_string_value(json_object_get(value, "stream"));
            if (!stream || (of && strcmp(of, stream) == 0))
                json_array_append(list, value);
        }
    }
    json_t *body = json_pack("{s:o}", "sessions", list);
    reply_json(x, body);
    json_decref(body);
}

/* The operator's: it tells people's addresses, and of thousands of viewers it takes long. */
static void get_sessions(struct http_exchange *x, void *arg)
{
    static const struct question q = {.on_worker = sessions_on_worker, .answer = sessions_answer};

    operator_ask(arg, x, &q);
}

/* ---- /metrics -------------------------------------------------------------------------------------------------------- */

static const struct metric m_streams = {"millrace_streams", "Streams that play here now", METRIC_GAUGE};
static const struct metric m_pulls = {"millrace_pulls_total", "Subscriptions begun at a parent", METRIC_COUNTER};
static const struct metric m_pulls_failed = {"millrace_pulls_failed_total", "Of them refused or lost", METRIC_COUNTER};
static const struct metric m_children = {"millrace_children", "Subscriptions of other nodes to this one", METRIC_GAUGE};
static const struct metric m_refused = {"millrace_clients_refused_total", "Clients answered 503: limits, or draining", METRIC_COUNTER};
static const struct metric m_redirected = {"millrace_clients_redirected_total", "Viewers answered 307", METRIC_COUNTER};
static const struct metric m_http = {"millrace_http_requests_total", "HTTP requests", METRIC_COUNTER};
static const struct metric m_cache = {"millrace_cache_bytes", "Memory of cached packets", METRIC_GAUGE};
static const struct metric m_directory = {"millrace_directory_up", "1 while Redis answers", METRIC_GAUGE};
static const struct metric m_nodes = {"millrace_nodes", "Nodes known to be alive", METRIC_GAUGE};
static const struct metric m_messages = {"millrace_messages_sent_total", "What packets left in: a message is one or several of a size",
                                         METRIC_COUNTER};
static const struct metric m_cpu = {"millrace_cpu_permille", "CPU of the process against its workers", METRIC_GAUGE};

static const struct metric m_pressure = {
    "millrace_overload_pressure", "Of 1000 viewers, so many without frames that nothing refers to; beyond 1000, with keyframes only", METRIC_GAUGE};
static const struct metric m_overload_level = {
    "millrace_overload_level", "1: frames are left out, 2: some viewers see keyframes only, 3: no more are let in", METRIC_GAUGE};
static const struct metric m_overloaded = {"millrace_overload_seconds_total", "Time for which a worker was late and never waited",
                                           METRIC_COUNTER};
static const struct metric m_busy = {"millrace_worker_busy_permille", "Of the last 100 ms, what a worker did not wait", METRIC_GAUGE};
static const struct metric m_turn = {"millrace_worker_turn_seconds", "Its longest loop turn in them", METRIC_GAUGE};

static void count_live(void *arg, struct router *r)
{
    unsigned *n = arg;
    const char *parent;

    *n += router_live(r) && strcmp(relay_source(NULL, r, &parent), "link") != 0;
}

static void sum_parent(void *arg, const struct pipe_parent_stats *s)
{
    struct metrics *m = arg;

    metrics_add(m, &metric_packets_received, "transport=\"pipe\"", (double)s->total.packets);
    metrics_add(m, &metric_bytes_received, "transport=\"pipe\"", (double)s->total.bytes);
    metrics_add(m, &metric_lost, "transport=\"pipe\"", (double)s->total.given_up);
    metrics_add(m, &metric_recovered, "transport=\"pipe\"", (double)s->total.recovered);
}

/* What a socket lost: sent, and received by the kernel faster than the worker read it. */
static void socket_metrics(struct metrics *m, const char *send, const char *receive, const struct udp_counters *u)
{
    metrics_add(m, &metric_dropped, send, (double)(u->dropped_full + u->dropped_error));
    metrics_add(m, &metric_dropped, receive, (double)u->dropped_kernel);
}

static void worker_metrics(const struct node_worker *w, struct metrics *m)
{
    const struct governor *g = worker_governor(w->worker);
    char label[24];

    snprintf(label, sizeof(label), "worker=\"%u\"", w->index);
    metrics_add(m, &m_pressure, label, g->pressure);
    metrics_add(m, &m_overload_level, label, governor_level(g));
    metrics_add(m, &m_overloaded, label, (double)g->overloaded_us / 1e6);
    metrics_add(m, &m_busy, label, g->busy_permille);
    metrics_add(m, &m_turn, label, (double)g->turn_us / 1e6);
}

static void pipe_metrics(struct node_worker *w, struct metrics *m)
{
    if (w->pipe_client) {
        pipe_client_each_parent(w->pipe_client, sum_parent, m);
        socket_metrics(m, "where=\"pull_send\"", "where=\"pull_receive\"", pipe_client_udp_counters(w->pipe_client));
    }
    if (!w->pipe_server)
        return;
    const struct pipe_server_counters c = pipe_server_counters(w->pipe_server);
    metrics_add(m, &metric_packets_sent, "transport=\"pipe\"", (double)c.total.packets);
    metrics_add(m, &metric_bytes_sent, "transport=\"pipe\"", (double)c.total.bytes);
    metrics_add(m, &metric_retransmitted, "transport=\"pipe\"", (double)c.total.retransmitted);
    metrics_add(m, &m_children, "", (double)c.subscriptions);
    socket_metrics(m, "where=\"pipe_send\"", "where=\"pipe_receive\"", pipe_server_udp_counters(w->pipe_server));
    metrics_add(m, &metric_bad_input, "protocol=\"pipe\"", (double)c.bad_input);
}

static void rtc_metrics(struct node_worker *w, struct metrics *m)
{
    const struct rtc_endpoint_counters *c = rtc_endpoint_counters(w->rtc);
    const struct ice_tcp_counters *tcp = rtc_endpoint_tcp_counters(w->rtc);

    metrics_add(m, &metric_bad_input, "protocol=\"stun\"", (double)(c->stun_malformed + c->stun_unauthorized));
    if (tcp) {
        metrics_add(m, &metric_bad_input, "protocol=\"ice-tcp\"", (double)(tcp->malformed + tcp->strangers));
        metrics_add(m, &metric_dropped, "where=\"webrtc_tcp\"", (double)tcp->dropped);
    }
    metrics_add(m, &m_messages, "transport=\"webrtc\"", (double)rtc_endpoint_udp_counters(w->rtc)->send_messages);
    socket_metrics(m, "where=\"webrtc_send\"", "where=\"webrtc_receive\"", rtc_endpoint_udp_counters(w->rtc));
}

static void metrics_on_worker(struct node_worker *w, struct part *out)
{
    const struct relay_counters *relay = relay_counters(w->relay);
    const struct http_counters *http = http_server_counters(w->http);
    unsigned live = 0;

    if (metrics_create(&out->metrics) != 0)
        return;
    struct metrics *m = out->metrics;
    router_set_each(relay_routers(w->relay), count_live, &live);
    metrics_add(m, &m_streams, "", live);
    metrics_add(m, &m_pulls, "", (double)relay->pulls);
    metrics_add(m, &m_pulls_failed, "", (double)relay->pulls_failed);
    metrics_add(m, &metric_dropped, "where=\"pool\"", (double)relay->dropped_pool);
    metrics_add(m, &m_http, "", (double)http->requests);
    const struct worker_facts *facts = &container_of(w, struct seat, w)->facts;
    metrics_add(m, &m_refused, "", (double)atomic_load(&facts->refused));
    metrics_add(m, &m_redirected, "", (double)atomic_load(&facts->redirected));
    metrics_add(m, &metric_bad_input, "protocol=\"http\"", (double)http->bad);
    worker_metrics(w, m);
    pipe_metrics(w, m);
    if (w->rtc)
        rtc_metrics(w, m);
    if (w->node->role->metrics)
        w->node->role->metrics(w, m);
}

static void metrics_on_main(struct node *n, struct part *out)
{
    const struct node_record *v;

    if (metrics_create(&out->metrics) != 0)
        return;
    metrics_add(out->metrics, &m_cache, "", (double)atomic_load(&n->budget.used_bytes));
    metrics_add(out->metrics, &m_directory, "", directory_state(n->directory) == DIRECTORY_UP);
    metrics_add(out->metrics, &m_nodes, "", (double)directory_nodes(n->directory, &v));
    metrics_add(out->metrics, &m_cpu, "", n->self.load_permille);
}

static void metrics_answer(struct http_exchange *x, struct part *parts, size_t n)
{
    struct metrics *sum = parts[n].metrics;
    size_t len = 0;

    for (size_t i = 0; sum && i < n; i++)
        if (parts[i].metrics)
            metrics_merge(sum, parts[i].metrics);
    char *text = sum ? metrics_print(sum, &len) : NULL;
    if (text)
        http_reply(x, 200, "text/plain; version=0.0.4", text, len);
    else
        http_problem(x, 503, "out of memory");
    free(text);
}

static void get_metrics(struct http_exchange *x, void *arg)
{
    static const struct question q = {
        .on_worker = metrics_on_worker, .on_main = metrics_on_main, .answer = metrics_answer};

    gather(arg, x, &q);
}

/* /room/<app>: the page finds the name in its address. */
static void get_room(struct http_exchange *x, void *arg)
{
    http_static_serve(x, arg, "/room.html");
}

void api_open(struct node_worker *w, struct http_static *pages)
{
    static const struct http_cors cors = {.methods = "GET, HEAD, OPTIONS", .headers = "Authorization"};

    http_cors_route(w->http, "/api/*", &cors);
    http_route(w->http, HTTP_M_GET, "/healthz", get_healthz, w);
    http_route(w->http, HTTP_M_GET, "/readyz", get_readyz, w);
    http_route(w->http, HTTP_M_GET, "/metrics", get_metrics, w);
    http_route(w->http, HTTP_M_GET, "/api/v1", get_index, w);
    http_route(w->http, HTTP_M_GET, "/api/v1/node", get_node, w);
    http_route(w->http, HTTP_M_GET, "/api/v1/nodes", get_nodes, w);
    http_route(w->http, HTTP_M_GET, "/api/v1/streams", get_streams, w);
    events_open(w);
    drain_open(w);
    http_route(w->http, HTTP_M_GET, "/api/v1/sessions", get_sessions, w);
    if (!pages)
        return;
    http_route(w->http, HTTP_M_GET, "/room/*", get_room, pages);
    http_route(w->http, HTTP_M_GET, "/*", http_static_handler, pages);
}
