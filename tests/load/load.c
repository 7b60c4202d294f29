/* SPDX-License-Identifier: Apache-2.0
 * load.c - millrace-load: simulated viewers and publishers for any WHEP, HTTP-FLV, RTMP and WHIP server.
 *
 * The main thread sets up, starts the threads, adds up what they count, and writes the reports. */
#include "args.h"
#include "io/signal.h"
#include "media_source.h"
#include "report.h"
#include "thread.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SAMPLE_US = 1000000 };


struct run {
    struct args args;
    struct load_group groups[PLAN_GROUPS_MAX];
    struct media_source *media[PLAN_GROUPS_MAX];
    struct load_thread *threads[LOAD_THREADS_MAX];
    struct tally latest[LOAD_THREADS_MAX]; /* of each thread */
    unsigned playing[LOAD_THREADS_MAX];
    struct tally sum, sampled, steady_begin, steady_end;
    struct report report;
    struct worker *worker;
    struct timer sample;
    struct signal_watch *on_int, *on_term;
    uint64_t start_us, sampled_us;
    unsigned ended;
    bool stopping, steady_has_begun, steady_has_ended, terminal;
};

/* ---- What comes from the threads ---------------------------------------------------------------------------- */

static unsigned playing(const struct run *r)
{
    unsigned n = 0;

    for (unsigned i = 0; i < r->args.threads; i++)
        n += r->playing[i];
    return n;
}

static void add_up(struct run *r)
{
    memset(&r->sum, 0, sizeof(r->sum));
    for (unsigned i = 0; i < r->args.threads; i++)
        tally_add(&r->sum, &r->latest[i]);
}

static void on_tally(void *arg, struct load_thread *t, const struct tally *tally, unsigned playing_now, bool last)
{
    struct run *r = arg;

    r->latest[t->index] = *tally;
    r->playing[t->index] = playing_now;
    if (!last)
        return;
    if (++r->ended == r->args.threads)
        worker_stop(r->worker);
}

static double since_start_s(const struct run *r, uint64_t now_us)
{
    return (double)(now_us - r->start_us) / 1e6;
}

/* The steady window: from when all viewers were started to when the first group leaves. */
static void watch_steady(struct run *r, double at_s)
{
    double from_s = plan_ramped_s(&r->args.plan) + r->args.settle_s, to_s = plan_end_s(&r->args.plan);

    for (size_t i = 0; i < r->args.plan.n_groups; i++) {
        const struct plan_group *g = &r->args.plan.groups[i];
        if (plan_is_viewer(g) && plan_group_end_s(&r->args.plan, g) < to_s)
            to_s = plan_group_end_s(&r->args.plan, g);
    }
    if (!r->steady_has_begun && at_s >= from_s) {
        r->steady_has_begun = true;
        r->steady_begin = r->sum;
        r->report.steady_from_s = at_s;
    }
    if (r->steady_has_begun && !r->steady_has_ended && at_s < to_s) {
        r->steady_end = r->sum;
        r->report.steady_s = at_s - r->report.steady_from_s;
        r->report.playing_at_end = playing(r);
    }
    if (at_s >= to_s || r->stopping)
        r->steady_has_ended = true;
}

static void take_sample(struct run *r, uint64_t now_us)
{
    struct report_sample s;
    struct tally *delta = malloc(sizeof(*delta));

    add_up(r);
    watch_steady(r, since_start_s(r, now_us));
    if (delta && now_us > r->sampled_us) {
        *delta = r->sum;
        tally_subtract(delta, &r->sampled);
        report_sample_make(&s, delta, since_start_s(r, now_us), (double)(now_us - r->sampled_us) / 1e6, playing(r));
        if (report_sample_push(&r->report, &s) == 0 && !r->args.quiet)
            report_print_line(&s, &r->sum, r->terminal);
    }
    free(delta);
    r->sampled = r->sum;
    r->sampled_us = now_us;
}

static void on_sample(struct timer *t, uint64_t now_us)
{
    take_sample(container_of(t, struct run, sample), now_us);
    timer_start(t, SAMPLE_US);
}

static void on_signal(void *arg, int signum)
{
    struct run *r = arg;

    (void)signum;
    if (r->stopping)
        _exit(1); /* asked twice */
    r->stopping = true;
    for (unsigned i = 0; i < r->args.threads; i++)
        load_thread_stop(r->threads[i]);
}

/* ---- Setting up --------------------------------------------------------------------------------------------------- */

static int resolve_group(struct load_group *g)
{
    const struct plan_group *plan = g->plan;
    unsigned n = plan_is_viewer(plan) ? plan->streams : plan->count;
    char text[URL_BYTES_MAX + 1], authority[URL_HOST_MAX + 10];
    struct url u;

    if (!strstr(plan->url, "{n}"))
        n = 1;
    g->to = calloc(n, sizeof(*g->to));
    for (unsigned i = 0; g->to && i < n; i++) {
        url_number(text, sizeof(text), plan->url, i);
        if (url_parse(&u, text))
            return -1;
        url_authority(&u, authority);
        if (addr_resolve(&g->to[i], authority)) {
            fprintf(stderr, "millrace-load: %s: unknown host\n", authority);
            return -1;
        }
    }
    g->n_to = n;
    return g->to ? 0 : -1;
}

/* The same source for the same words is read once. */
static int load_media(struct run *r, size_t i)
{
    const struct plan_group *g = &r->args.plan.groups[i];
    bool webrtc = g->kind == PLAN_WHIP;
    char err[MEDIA_ERROR_CAP];
    struct plan_synthetic s;

    for (size_t k = 0; k < i; k++) {
        const struct plan_group *o = &r->args.plan.groups[k];
        if (r->media[k] && (o->kind == PLAN_WHIP) == webrtc && strcmp(o->source, g->source) == 0 &&
            strcmp(o->synthetic, g->synthetic) == 0) {
            r->groups[i].media = r->media[k];
            return 0;
        }
    }
    int failed = g->synthetic[0] ? plan_synthetic(g->synthetic, &s) || media_source_make(&r->media[i], &s, webrtc, err)
                                 : media_source_open_file(&r->media[i], g->source, webrtc, err);
    if (failed)
        fprintf(stderr, "millrace-load: %s\n", err);
    r->groups[i].media = r->media[i];
    return failed ? -1 : 0;
}

static int prepare(struct run *r)
{
    for (size_t i = 0; i < r->args.plan.n_groups; i++) {
        r->groups[i].plan = &r->args.plan.groups[i];
        if (resolve_group(&r->groups[i]))
            return -1;
        if (!plan_is_viewer(r->groups[i].plan) && load_media(r, i))
            return -1;
    }
    return 0;
}

/* Connections of FLV viewers and sockets of WebRTC viewers: as many descriptors as there may be. */
static void raise_descriptors(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &l);
    }
}

static int open_tls(struct run *r)
{
    struct tls_cfg cfg = {.use = TLS_CLIENT, .ca = r->args.ca[0] ? r->args.ca : NULL, .insecure = r->args.insecure};
    char err[CERT_ERROR_CAP];

    if (tls_ctx_create(&r->args.options.tls, &cfg, err) == 0)
        return 0;
    fprintf(stderr, "millrace-load: --ca: %s\n", err);
    return -1;
}

static int start_threads(struct run *r)
{
    char err[PLAN_ERROR_CAP];

    for (unsigned i = 0; i < r->args.threads; i++) {
        struct load_thread *t = r->threads[i] = calloc(1, sizeof(*t));
        if (!t)
            return -1;
        *t = (struct load_thread){.index = i, .n_threads = r->args.threads, .options = &r->args.options,
                                  .plan = &r->args.plan, .groups = r->groups, .main = r->worker,
                                  .on_tally = on_tally, .arg = r};
        if (load_thread_init(t, err)) {
            fprintf(stderr, "millrace-load: %s\n", err);
            return -1;
        }
    }
    return 0;
}

static int write_reports(struct run *r)
{
    const struct args *a = &r->args;
    int err = 0;

    if (a->json[0] && report_write_json(&r->report, a->json))
        err = -1;
    if (a->csv[0] && report_write_csv(&r->report, a->csv))
        err = -1;
    if (a->html[0] && report_write_html(&r->report, a->html))
        err = -1;
    return err;
}

static void finish(struct run *r)
{
    uint64_t now_us = worker_now_us(r->worker);

    take_sample(r, now_us);
    r->report.total = r->sum;
    r->report.steady = r->steady_end;
    tally_subtract(&r->report.steady, &r->steady_begin);
    r->report.seconds = since_start_s(r, now_us);
    r->report.threads = r->args.threads;
    r->report.socket_mode = load_thread_sockets(r->threads[0]);
    if (r->terminal && !r->args.quiet)
        fputc('\n', stderr);
    report_print_end(&r->report);
}

static void clean_up(struct run *r)
{
    for (unsigned i = 0; i < r->args.threads; i++) {
        worker_join(r->threads[i]->worker);
        load_thread_fini(r->threads[i]);
        free(r->threads[i]);
    }
    timer_stop(&r->sample);
    signal_watch_close(&r->on_int);
    signal_watch_close(&r->on_term);
    worker_destroy(&r->worker);
    for (size_t i = 0; i < PLAN_GROUPS_MAX; i++) {
        media_source_destroy(&r->media[i]);
        free(r->groups[i].to);
    }
    report_fini(&r->report);
    tls_ctx_unref(&r->args.options.tls);
}

/* Did everyone get what was asked for? */
static int verdict(const struct tally *t)
{
    return t->failed || t->dropped || t->publish_failed ? 2 : 0;
}

static int run_all(struct run *r)
{
    struct worker_cfg cfg = {.name = "main", .index = WORKER_MAIN};

    if (worker_create(&r->worker, &cfg) || signal_watch_open(&r->on_int, r->worker, SIGINT, on_signal, r) ||
        signal_watch_open(&r->on_term, r->worker, SIGTERM, on_signal, r) || prepare(r) || open_tls(r) ||
        start_threads(r))
        return 1; /* the process ends: nothing to clean */
    r->terminal = isatty(STDERR_FILENO);
    r->start_us = r->sampled_us = worker_now_us(r->worker);
    timer_init(&r->sample, r->worker, on_sample);
    timer_start(&r->sample, SAMPLE_US);
    worker_run(r->worker);
    finish(r);
    int code = write_reports(r) ? 1 : verdict(&r->report.total);
    clean_up(r);
    return code;
}

int main(int argc, char **argv)
{
    struct run *r = calloc(1, sizeof(*r));
    int code = r ? args_parse(&r->args, argc, argv) : 1;

    if (code >= 0) {
        free(r);
        return code;
    }
    for (int i = 0; i < argc; i++) {
        size_t n = strlen(r->report.command);
        snprintf(r->report.command + n, sizeof(r->report.command) - n, "%s%s", i ? " " : "", argv[i]);
    }
    media_source_quiet();
    raise_descriptors();
    code = run_all(r);
    free(r);
    return code;
}
