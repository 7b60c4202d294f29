/* SPDX-License-Identifier: Apache-2.0 */
#include "node/node_priv.h"

#include "io/tcp.h"
#include "pipe/pipe_client.h"
#include "pipe/pipe_server.h"
#include "secure/srtp.h"
#include "secure/token.h"
#include "webrtc/endpoint.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PACKETS_PER_WORKER = 1 << 19, /* cap of the pool, 800 MiB; it grows with use, the caches' budgets bound it first */
    BEAT_US = 1000000,
    RECV_BYTES = 4 << 20, /* of a media socket: 100 ms at 300 Mbit/s */
    SEND_BYTES = 4 << 20,
    PICTURE_END_US = 1000, /* an edge that is busy waits so long for it */
};

static int fail(char *error, const char *what, const struct addr *at, int err)
{
    char text[ADDR_TEXT_CAP];

    snprintf(error, CONFIG_ERROR_CAP, "%s %s: %s", what, at ? addr_print(at, text) : "", strerror(-err));
    return -1;
}

static void set_identity(const struct config *c, struct pipe_identity *out)
{
    memcpy(out->id, c->node.id, strlen(c->node.id) + 1);
    memcpy(out->region, c->node.region, strlen(c->node.region) + 1);
    snprintf(out->role, sizeof(out->role), "%s", node_role_name(c->role));
}

static int open_relay(struct node *n, struct node_worker *w, char *error)
{
    const struct config *c = &n->config;
    struct relay_cfg cfg = {
        .hub = n->hub,
        .index = w->index,
        .workers = (unsigned)n->n,
        .cache = {.cap_bytes = c->cache.stream_bytes,
                  .cap_packets = c->cache.packets,
                  .cap_us = c->cache.duration_ms * 1000,
                  .budget = &n->budget},
        .hold_us = c->rtc.audio_hold_ms * 1000,
        .hold_from_permille = (uint32_t)c->rtc.audio_hold_load * 10,
        .whole_us = c->role == NODE_EDGE ? PICTURE_END_US : 0,
        .linger_us = c->role == NODE_ORIGIN ? 10000000 : c->relay.linger_ms * 1000,
        .packets = PACKETS_PER_WORKER,
        .takeover = c->publish.takeover,
        .pulls = n->role->pulls,
    };

    if (relay_create(&w->relay, w->worker, &cfg) != 0)
        return fail(error, "relay", NULL, -ENOMEM);
    n->relays[w->index] = w->relay;
    return 0;
}

/* Where the pages are when the configuration does not say: beside the installed program, or in the source tree. */
static const char *web_folder(const struct config *c, char out[PATH_MAX])
{
    static const char *const places[] = {"../share/millrace/web", "../../../web"};
    char self[PATH_MAX];
    ssize_t n = c->http.web[0] ? 0 : readlink("/proc/self/exe", self, sizeof(self) - 1);

    if (c->http.web[0])
        return c->http.web;
    while (n > 0 && self[n - 1] != '/')
        n--;
    for (size_t i = 0; n > 0 && i < LEN(places); i++)
        if (snprintf(out, PATH_MAX, "%.*s%s", (int)n, self, places[i]) < PATH_MAX && access(out, R_OK) == 0)
            return out;
    return NULL;
}

static int open_pages(struct seat *s, char *error)
{
    char path[PATH_MAX];
    const char *folder = web_folder(s->w.config, path);
    int err = folder ? http_static_open(&s->pages, s->w.worker, folder) : 0;

    if (err == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "http.web: %.512s: %s", folder, strerror(-err));
    return -1;
}

static int open_http(struct node *n, struct node_worker *w, char *error)
{
    struct seat *s = container_of(w, struct seat, w);
    struct http_server_cfg cfg = {.listen = n->config.http.listen, .tls = n->certificates.http, .reuse_port = true};
    int err = http_server_open(&w->http, w->worker, &cfg);

    if (err != 0)
        return fail(error, "http.listen", &cfg.listen, err);
    if (open_pages(s, error) != 0)
        return -1;
    api_open(w, s->pages);
    route_open(w);
    return 0;
}

struct addr port_of_worker(const struct addr *at, unsigned index)
{
    struct addr a = *at;

    addr_set_port(&a, (uint16_t)(addr_port(at) + (addr_port(at) ? index : 0)));
    return a;
}

/* Announced addresses without a port get this worker's. */
static int open_rtc(struct node *n, struct node_worker *w, char *error)
{
    const struct config *c = &n->config;
    struct addr announce[CONFIG_LIST_MAX];
    struct rtc_endpoint_cfg cfg = {.announce = announce,
                                   .n_announce = c->rtc.announce.n,
                                   .cert = n->cert,
                                   .srtp = w->srtp,
                                   .sctp = n->sctp,
                                   .recv_bytes = RECV_BYTES,
                                   .send_bytes = SEND_BYTES,
                                   .after_media = n->role->pulls};

    for (size_t i = 0; i < c->rtc.announce.n; i++) {
        char text[CONFIG_TEXT_MAX + 8];
        bool bare6 = strchr(c->rtc.announce.v[i], ':') && !strchr(c->rtc.announce.v[i], ']');
        snprintf(text, sizeof(text), bare6 ? "[%s]:0" : "%s:0", c->rtc.announce.v[i]);
        if (addr_parse(&announce[i], text) != 0) {
            snprintf(error, CONFIG_ERROR_CAP, "rtc.announce: '%s' is not an IP address", c->rtc.announce.v[i]);
            return -1;
        }
    }
    cfg.listen = port_of_worker(&c->rtc.listen, w->index);
    if (!c->rtc.tcp.off)
        cfg.tcp = port_of_worker(c->rtc.tcp.at.sa.sa_family == AF_UNSPEC ? &c->rtc.listen : &c->rtc.tcp.at, w->index);
    int err = c->rtc.tcp.off ? 0 : tcp_probe(&cfg.tcp); /* so that the error names the right one of the two */
    if (err)
        return fail(error, "rtc.tcp", &cfg.tcp, err);
    err = rtc_endpoint_open(&w->rtc, w->worker, &cfg);
    return err ? fail(error, "rtc.listen", &cfg.listen, err) : 0;
}

static struct router *open_router(void *arg, const char *stream)
{
    struct node_worker *w = arg;

    return relay_router(w->relay, stream);
}

static void resume_at(void *arg, struct router *r, uint64_t epoch, const struct pipe_position *from, size_t n)
{
    (void)arg;
    relay_resume(r, epoch, from, n);
}

static void source_of(void *arg, struct router *r, struct pipe_path *out)
{
    (void)arg;
    relay_source_path(r, out);
}

static void path_of(void *arg, const struct router *r, struct pipe_path *out)
{
    struct node_worker *w = arg;

    pipe_server_path(w->pipe_server, r, out);
}

static int open_pipes(struct node *n, struct node_worker *w, char *error)
{
    const struct config *c = &n->config;
    struct addr at = port_of_worker(&c->pipe.listen, w->index);
    int err = 0;

    if (n->role->serves && n->certificates.pipe_server) {
        struct pipe_server_cfg cfg = {.engine = w->srtp,
                                      .tls = n->certificates.pipe_server,
                                      .listen = at,
                                      .media = at,
                                      .open_router = open_router,
                                      .resume = resume_at,
                                      .source = source_of,
                                      .arg = w};
        set_identity(c, &cfg.self);
        err = pipe_server_open(&w->pipe_server, w->worker, &cfg);
    }
    if (!err && n->role->pulls && n->certificates.pipe_client) {
        struct pipe_client_cfg cfg = {.engine = w->srtp, .pool = relay_pool(w->relay), .tls = n->certificates.pipe_client,
                                      .gather_us = n->role->gather_us};
        set_identity(c, &cfg.self);
        err = pipe_client_open(&w->pipe_client, w->worker, &cfg);
        relay_set_client(w->relay, w->pipe_client, w->pipe_server ? path_of : NULL, w);
    }
    return err ? fail(error, "pipe.listen", &at, err) : 0;
}

/* A copy fed by another worker is the same stream. */
static void count_router(void *arg, struct router *r)
{
    unsigned *streams = arg;
    const char *parent;

    *streams += router_live(r) && strcmp(relay_source(NULL, r, &parent), "link") != 0;
}

static uint64_t sent_bytes(const struct node_worker *w)
{
    uint64_t sum = 0;

    if (w->rtc)
        sum += rtc_endpoint_udp_counters(w->rtc)->sent_bytes;
    if (w->pipe_server)
        sum += pipe_server_counters(w->pipe_server).total.bytes;
    return sum;
}

void seat_count(struct seat *s)
{
    struct role_facts facts = {0};
    unsigned streams = 0;

    s->w.node->role->facts(&s->w, &facts);
    router_set_each(relay_routers(s->w.relay), count_router, &streams);
    atomic_store(&s->facts.publishers, facts.publishers);
    atomic_store(&s->facts.admitted, 0);
    atomic_store(&s->facts.viewers, facts.viewers);
    atomic_store(&s->facts.children, s->w.pipe_server ? (unsigned)pipe_server_counters(s->w.pipe_server).subscriptions : 0);
    atomic_store(&s->facts.streams, streams);
    atomic_store(&s->facts.overloaded, governor_level(worker_governor(s->w.worker)) == 3);
    atomic_store(&s->facts.sent_bytes, facts.sent_bytes + sent_bytes(&s->w));
}

static void on_beat(struct timer *t, uint64_t now_us)
{
    struct seat *s = container_of(t, struct seat, beat);

    (void)now_us;
    seat_count(s);
    audience_report(s);
    timer_start(t, BEAT_US);
}

int seat_open(struct node *n, unsigned index, char error[CONFIG_ERROR_CAP])
{
    struct seat *s = &n->seats[index];
    struct node_worker *w = &s->w;

    *w = (struct node_worker){.node = n, .config = &n->config, .index = index};
    snprintf(s->name, sizeof(s->name), "w%u", index);
    struct worker_cfg cfg = {.name = s->name, .index = index};
    int err = worker_create(&w->worker, &cfg);
    if (err)
        return fail(error, "worker", NULL, err);
    if (srtp_engine_create(&w->srtp, SRTP_BACKEND_BEST) != 0)
        return fail(error, "SRTP", NULL, -ENOMEM);
    if (config_token_key(&w->key, w->config, error) != 0 || open_relay(n, w, error) != 0 || open_http(n, w, error) != 0 ||
        (n->role->webrtc && open_rtc(n, w, error) != 0) || open_pipes(n, w, error) != 0 ||
        n->role->open(w, error) != 0)
        return -1;
    timer_init(&s->beat, w->worker, on_beat);
    timer_start(&s->beat, BEAT_US);
    return 0;
}

void seat_close(struct seat *s)
{
    struct node_worker *w = &s->w;

    s->closed = true;
    timer_stop(&s->beat);
    w->node->role->close(w);
    if (w->http)
        http_server_close(&w->http);
    if (s->pages)
        http_static_close(&s->pages);
    if (w->pipe_server)
        pipe_server_close(&w->pipe_server);
    relay_close(w->relay);
    if (w->pipe_client)
        pipe_client_close(&w->pipe_client);
    if (w->rtc)
        rtc_endpoint_close(&w->rtc);
}

void seat_destroy(struct seat *s)
{
    struct node_worker *w = &s->w;

    relay_destroy(&w->relay);
    token_key_free(&w->key);
    if (w->srtp)
        srtp_engine_destroy(&w->srtp);
    if (w->worker)
        worker_destroy(&w->worker);
}
