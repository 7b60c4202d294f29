/* SPDX-License-Identifier: Apache-2.0
 *
 * Start: configuration, ports probed, certificates, workers with their parts, directory; then the loops run. End (SIGTERM, SIGINT):
 * every worker closes its servers and sessions and reports back; what they said to each other by mail is given two more rounds to
 * arrive; the directory releases what is ours; then the loops stop, and everything is freed.
 */
#include "node/node.h"

#include "base/log.h"
#include "http/forward.h"
#include "io/signal.h"
#include "io/tcp.h"
#include "node/node_priv.h"
#include "secure/cert.h"
#include "webrtc/ice_link.h"
#include "webrtc/sctp.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    BEAT_US = 1000000,
    END_ROUNDS = 3,           /* a link's last word takes two mails after the closing */
    END_DEADLINE_S = 5,       /* then the process ends as it is */
    DIRECTORY_WAIT_US = 1000000,
};

bool node_forward(const struct node_worker *w, struct http_exchange *x, unsigned index,
                  void (*handler)(struct http_exchange *x, void *node_worker))
{
    if (index >= w->node->n)
        return false;
    struct node_worker *there = &w->node->seats[index].w;
    http_forward(x, there->worker, handler, there);
    return true;
}

const char *node_ice_link(const struct node_worker *w)
{
    return w->node->ice_link;
}

/* ---- Who we are -------------------------------------------------------------------------------------------- */

/* An address others may reach us at: the one listened on, or when that is any, the first of the machine that
 * is not loopback. */
static void reachable(const struct addr *listen, struct addr *out)
{
    struct addr v[16];
    size_t n = addr_interfaces(v, LEN(v));

    *out = *listen;
    if (!addr_is_any(listen))
        return;
    size_t pick = 0;
    while (pick < n && (addr_is_loopback(&v[pick]) || v[pick].sa.sa_family != AF_INET))
        pick++;
    if (pick < n)
        *out = v[pick];
    else if (addr_parse(out, "127.0.0.1:0") != 0)
        return;
    addr_set_port(out, addr_port(listen));
}

static void describe_self(struct node *n)
{
    const struct config *c = &n->config;
    struct node_record *self = &n->self;
    struct addr at;
    char text[ADDR_TEXT_CAP];

    self->role = c->role;
    self->capacity_viewers = (uint32_t)c->limits.viewers;
    self->capacity_bps = c->limits.egress_bps;
    self->capacity_permille = (uint32_t)c->limits.cpu_permille;
    self->has_coordinates = c->node.latitude.given && c->node.longitude.given;
    self->latitude = c->node.latitude.value;
    self->longitude = c->node.longitude.value;
    self->started_us = n->started_us;
    strcpy(self->id, c->node.id); /* config.c has checked the lengths */
    strcpy(self->region, c->node.region);
    if (c->http.announce[0]) {
        snprintf(self->http, sizeof(self->http), "%s", c->http.announce);
    } else {
        reachable(&c->http.listen, &at);
        snprintf(self->http, sizeof(self->http), "http%s://%s", n->certificates.http ? "s" : "", addr_print(&at, text));
    }
    if (!n->role->serves || !n->certificates.pipe_server)
        return;
    self->pipe_workers = (uint32_t)c->node.workers;
    if (c->pipe.announce[0]) {
        strcpy(self->pipe, c->pipe.announce); /* measured, too */
    } else {
        reachable(&c->pipe.listen, &at);
        snprintf(self->pipe, sizeof(self->pipe), "%s", addr_print(&at, text));
    }
}

/* ---- Start ------------------------------------------------------------------------------------------------- */

static int probe(const char *key, const struct addr *at, char *error)
{
    char text[ADDR_TEXT_CAP];
    int err = tcp_probe(at);

    if (err == 0)
        return 0;
    snprintf(error, CONFIG_ERROR_CAP, "%s: %s: %s", key, addr_print(at, text),
             err == -EADDRINUSE ? "the port is in use" : strerror(-err));
    return -1;
}

/* Workers share most ports, so one that another process has would go unnoticed. */
static int probe_ports(const struct node *n, char *error)
{
    const struct config *c = &n->config;

    if (probe("http.listen", &c->http.listen, error) != 0)
        return -1;
    if (c->role == NODE_ORIGIN && probe("rtmp.listen", &c->rtmp.listen, error) != 0)
        return -1;
    for (unsigned i = 0; n->role->serves && i < c->node.workers; i++) {
        struct addr at = port_of_worker(&c->pipe.listen, i);
        if (probe("pipe.listen", &at, error) != 0)
            return -1;
    }
    return 0;
}

static int open_secrets(struct node *n, char *error)
{
    if (n->role->webrtc && cert_create_self_signed(&n->cert, "millrace") != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "no certificate for WebRTC could be made");
        return -1;
    }
    if (certificates_open(&n->certificates, &n->config, error) != 0)
        return -1;
    if (!n->certificates.pipe_server)
        log_warn("node", "pipe.ca, pipe.certificate and pipe.key are not set: this node neither pulls from others nor "
                         "serves them (deploy/make-certs makes them)");
    return 0;
}

/* "a, b": one Link field for all of them. */
static int open_ice_link(struct node *n, char *error)
{
    const struct config_list *servers = &n->config.rtc.ice_servers;
    size_t cap = servers->n * (RTC_ICE_LINK_CAP + 2), len = 0;

    if (servers->n == 0)
        return 0;
    n->ice_link = malloc(cap);
    for (size_t i = 0; n->ice_link && i < servers->n; i++) {
        if (i)
            len += (size_t)sprintf(n->ice_link + len, ", ");
        int added = rtc_ice_link_write(n->ice_link + len, RTC_ICE_LINK_CAP, servers->v[i]);
        if (added < 0) {
            snprintf(error, CONFIG_ERROR_CAP,
                     "rtc.ice_servers: number %zu is neither \"stun:HOST:PORT\" nor \"turn:HOST:PORT USER PASSWORD\"", i + 1);
            return -1;
        }
        len += (size_t)added;
    }
    return n->ice_link ? 0 : -1;
}

static void share_threads(struct node *n)
{
    struct worker *v[WORKERS_MAX];

    for (size_t i = 0; i < n->n; i++)
        v[i] = n->seats[i].w.worker;
    worker_share(v, n->n);
}

static int open_workers(struct node *n, char *error)
{
    struct hub_cfg hub_cfg = {.self = n->self,
                              .prefetch = (enum prefetch)n->config.relay.prefetch,
                              .takeover = n->config.publish.takeover};

    n->n = n->config.node.workers;
    n->seats = calloc(n->n, sizeof(*n->seats));
    if (!n->seats || hub_create(&n->hub, n->main, &hub_cfg) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "out of memory");
        return -1;
    }
    events_init(n);
    n->budget.cap_bytes = n->config.cache.node_bytes;
    for (unsigned i = 0; i < n->n; i++)
        if (seat_open(n, i, error) != 0)
            return -1;
    if (n->role->gather_us)
        share_threads(n);
    for (size_t i = 0; i < n->n; i++)
        relay_set_peers(n->relays[i], n->relays);
    hub_set_relays(n->hub, n->relays, n->n);
    return 0;
}

static int open_directory(struct node *n, char *error)
{
    const struct config *c = &n->config;
    struct directory_cfg cfg = {.address = c->redis.address,
                                .sentinels = (const char(*)[256])c->redis.sentinels.v,
                                .n_sentinels = c->redis.sentinels.n,
                                .master_name = c->redis.master_name,
                                .password = c->redis.password,
                                .database = (unsigned)c->redis.database,
                                .prefix = c->redis.prefix,
                                .lease_us = c->directory.lease_ms * 1000,
                                .self = n->self,
                                .ops = hub_directory_ops(),
                                .arg = n->hub};
    const char *why;

    if (directory_open(&n->directory, n->main, &cfg, &why) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "redis: %s: %s", c->redis.address, why);
        return -1;
    }
    hub_set_directory(n->hub, n->directory);
    return 0;
}

/* ---- While it runs ------------------------------------------------------------------------------------------- */

static uint64_t cpu_used_us(void)
{
    struct rusage u;

    getrusage(RUSAGE_SELF, &u);
    return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void on_beat(struct timer *t, uint64_t now_us)
{
    struct node *n = container_of(t, struct node, beat);
    uint64_t cpu_us = cpu_used_us(), passed_us = now_us - n->cpu_at_us, sent = 0;
    struct node_record *self = &n->self;

    self->viewers = self->streams = 0;
    self->overloaded = false;
    for (size_t i = 0; i < n->n; i++) {
        struct worker_facts *f = &n->seats[i].facts;
        self->viewers += atomic_load(&f->viewers);
        self->streams += atomic_load(&f->streams);
        self->overloaded |= atomic_load(&f->overloaded);
        sent += atomic_load(&f->sent_bytes);
    }
    if (passed_us) {
        self->load_permille = (uint32_t)((cpu_us - n->cpu_us) * 1000 / (passed_us * n->n));
        self->egress_bps = (sent - n->sent_bytes) * 8 * 1000000 / passed_us;
    }
    n->cpu_us = cpu_us;
    n->cpu_at_us = now_us;
    n->sent_bytes = sent;
    if (directory_state(n->directory) == DIRECTORY_UP)
        n->ready_once = true;
    atomic_store(&n->egress_bps, self->egress_bps);
    atomic_store(&n->cpu_permille, self->load_permille);
    directory_set_self(n->directory, self);
    timer_start(t, BEAT_US);
}

/* ---- The end ---------------------------------------------------------------------------------------------------- */

static void run_stop(struct mail *m, struct worker *w)
{
    (void)m;
    worker_stop(w);
}

static void end_if_done(struct node *n)
{
    if (n->rounds_left || !n->directory_closed)
        return;
    for (size_t i = 0; i < n->n; i++) {
        n->seats[i].round.run = run_stop;
        worker_post(n->seats[i].w.worker, &n->seats[i].round);
    }
    worker_stop(n->main);
}

static void start_round(struct node *n);

static void run_answered(struct mail *m, struct worker *w)
{
    struct node *n = container_of(m, struct seat, round)->w.node;

    (void)w;
    if (--n->answers_left)
        return;
    if (--n->rounds_left)
        start_round(n);
    else
        end_if_done(n);
}

static void run_round(struct mail *m, struct worker *w)
{
    struct seat *s = container_of(m, struct seat, round);

    (void)w;
    if (!s->closed) /* the first round */
        seat_close(s);
    m->run = run_answered;
    worker_post(s->w.node->main, m);
}

static void start_round(struct node *n)
{
    n->answers_left = (unsigned)n->n;
    for (size_t i = 0; i < n->n; i++) {
        n->seats[i].round.run = run_round;
        worker_post(n->seats[i].w.worker, &n->seats[i].round);
    }
}

static void on_directory_closed(void *arg)
{
    struct node *n = arg;

    n->directory_closed = true;
    end_if_done(n);
}

static void on_signal(void *arg, int signum)
{
    struct node *n = arg;

    if (signum == SIGHUP) {
        certificates_reload(n);
        return;
    }
    if (n->ending) {
        log_warn("node", "another signal: ending at once");
        _exit(1);
    }
    const char *name = signum == SIGTERM ? "SIGTERM" : "SIGINT";
    if (signum == SIGTERM && drain_to_end(n)) {
        log_info("node", "%s: draining, then ending; another signal ends at once", name);
        return;
    }
    log_info("node", "%s: ending", name);
    node_end(n);
}

void node_end(struct node *n)
{
    n->ending = true;
    alarm(END_DEADLINE_S); /* SIGALRM's default action ends the process */
    timer_stop(&n->beat);
    timer_stop(&n->drain);
    audience_end(n);
    hub_set_directory(n->hub, NULL);
    struct directory *d = n->directory;
    n->directory = NULL;
    directory_close(d, DIRECTORY_WAIT_US, on_directory_closed, n);
    n->rounds_left = END_ROUNDS;
    start_round(n);
}

static void node_fini(struct node *n)
{
    for (size_t i = 0; i < LEN(n->signals); i++)
        if (n->signals[i])
            signal_watch_close(&n->signals[i]);
    for (size_t i = 0; n->seats && i < n->n; i++)
        if (n->relays[i])
            relay_clear(n->relays[i]);
    for (size_t i = 0; n->seats && i < n->n; i++)
        seat_destroy(&n->seats[i]);
    free(n->seats);
    hub_destroy(&n->hub);
    audience_close(n);
    route_fini(n);
    rtc_sctp_stack_close(&n->sctp);
    if (n->main)
        worker_destroy(&n->main);
    cert_destroy(&n->cert);
    free(n->ice_link);
    certificates_fini(&n->certificates);
}

/* ---- main -------------------------------------------------------------------------------------------------------- */

/* Each viewer of HTTP-FLV, publisher of RTMP and path over TCP takes a descriptor; what a shell and systemd give is 1024 at first, and
 * leave to be raised by programs that do not use select(2). */
static void raise_file_limit(void)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == files.rlim_max)
        return;
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) != 0)
        log_warn("node", "the limit of open files cannot be raised: %s", strerror(errno));
}

static int node_run(struct node *n, char *error)
{
    static const int signums[] = {SIGTERM, SIGINT, SIGHUP};

    struct worker_cfg cfg = {.name = "main", .index = WORKER_MAIN};

    raise_file_limit();
    if (probe_ports(n, error) != 0 || open_secrets(n, error) != 0 ||
        open_ice_link(n, error) != 0 || route_init(n, error) != 0)
        return -1;
    if (worker_create(&n->main, &cfg) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "the event loop cannot be made");
        return -1;
    }
    if (n->role->webrtc && n->config.rtc.data && rtc_sctp_stack_open(&n->sctp, n->main) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "out of memory");
        return -1;
    }
    n->started_us = worker_unix_us(n->main);
    describe_self(n);
    if (audience_open(n) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "out of memory");
        return -1;
    }
    if (open_workers(n, error) != 0 || open_directory(n, error) != 0)
        return -1;
    for (size_t i = 0; i < LEN(signums); i++)
        if (signal_watch_open(&n->signals[i], n->main, signums[i], on_signal, n) != 0) {
            snprintf(error, CONFIG_ERROR_CAP, "signals cannot be watched");
            return -1;
        }
    timer_init(&n->beat, n->main, on_beat);
    drain_init(n);
    timer_start(&n->beat, BEAT_US / 10);
    for (size_t i = 0; i < n->n; i++)
        if (worker_start(n->seats[i].w.worker) != 0) {
            fprintf(stderr, "millrace-%s: threads cannot be started\n", node_role_name(n->config.role));
            _exit(1); /* some run already: there is nothing yet to end in order */
        }
    log_info("node", "%s %s: %zu workers, %s", node_role_name(n->config.role), n->self.id, n->n, n->self.http);
    worker_run(n->main);
    for (size_t i = 0; i < n->n; i++)
        worker_join(n->seats[i].w.worker);
    return 0;
}

static void usage(const char *program, FILE *to)
{
    fprintf(to,
            "usage: %s [--config FILE] [--check] [--version]\n"
            "  --config FILE  YAML; every key has a default (see deploy/config/)\n"
            "  --check        reads the configuration, says what is wrong with it, and ends\n",
            program);
}

int node_main(int argc, char **argv, const struct role *role)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check", no_argument, NULL, 'k'},
                                            {"version", no_argument, NULL, 'v'},
                                            {"help", no_argument, NULL, 'h'},
                                            {0}};
    static struct node node; /* large, and the process's only one */
    char error[CONFIG_ERROR_CAP] = "";
    const char *path = NULL;
    bool check = false;

    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'c':
            path = optarg;
            break;
        case 'k':
            check = true;
            break;
        case 'v':
            printf("millrace-%s %s\n", node_role_name(role->role), MILLRACE_VERSION);
            return 0;
        case 'h':
            usage(argv[0], stdout);
            return 0;
        default:
            usage(argv[0], stderr);
            return 1;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    node.role = role;
    int err = config_load(&node.config, role->role, path, error);
    if (err == 0 && check)
        return 0;
    if (err == 0) {
        log_set_level((enum log_level)node.config.node.log);
        err = node_run(&node, error);
    }
    if (err != 0) {
        fprintf(stderr, "millrace-%s: %s\n", node_role_name(role->role), error);
        return 1;
    }
    node_fini(&node);
    return 0;
}
