/* SPDX-License-Identifier: Apache-2.0
 * thread.c - when viewers come and go on one thread; see thread.h. */
#include "thread.h"

#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    TICK_US = 5000,
    NAP_US = 1500,           /* with many viewers; see on_nap */
    LONG_NAP_US = 8000,
    NAP_FROM_VIEWERS = 64,
    STARTS_A_TICK = 64,      /* at most, so that media is read in between */
    MAIL_US = 250000,        /* how often the main thread gets the tally */
    SILENT_US = 3000000,     /* without media, and with --reconnect: the server is lost */
    LEAVE_WAIT_US = 1500000, /* for the viewers' DELETEs at the end */
    GOODBYE_US = 300000,     /* for the publishers' */
    RECV_BYTES = 64 << 20,   /* of the shared socket */
};

/* ---- Viewers come ------------------------------------------------------------------------------------------ */

static struct viewer *create(enum plan_kind kind)
{
    switch (kind) {
    case PLAN_WHEP:
        return whep_viewer_create();
    case PLAN_FLV:
        return flv_viewer_create();
    case PLAN_RTMP:
        return rtmp_publisher_create();
    case PLAN_WHIP:
        return whip_publisher_create();
    }
    return NULL;
}

static struct viewer *make_viewer(struct load_thread *t, const struct load_group *g, unsigned number, uint64_t now_us)
{
    struct viewer *v = create(g->plan->kind);

    if (!v)
        return NULL;
    v->publisher = !plan_is_viewer(g->plan);
    v->thread = t;
    v->group = g;
    v->stream = v->publisher ? number : number % g->plan->streams;
    v->started_us = now_us;
    v->deadline_us = now_us + (uint64_t)(t->options->timeout_s * 1e6);
    list_push_back(&t->viewers, &v->link);
    if (!v->publisher)
        t->alive++;
    return v;
}

/* number: which of the group. */
static void start_viewer(struct load_thread *t, const struct load_group *g, unsigned number, uint64_t now_us)
{
    struct viewer *v = make_viewer(t, g, number, now_us);

    if (!v)
        return;
    if (v->publisher)
        t->tally.published++;
    else
        t->tally.asked++;
    (void)v->ops->start(v); /* what fails there has been counted */
}

struct viewer *viewer_replace(struct viewer *old, const char *url)
{
    char *moved_to = url ? strdup(url) : NULL;
    struct viewer *v = url && !moved_to ? NULL : make_viewer(old->thread, old->group, old->stream, worker_now_us(old->thread->worker));

    if (!v) {
        free(moved_to);
        return NULL;
    }
    v->moved_to = moved_to;
    v->comes_back = !url;
    if (url) {
        v->replaces = old;
        old->replacement = v;
    }
    (void)v->ops->start(v);
    return v;
}

/* The group's viewers that should have been started by now, of all threads. */
static double due_count(const struct plan_group *g, double at_s)
{
    if (at_s < g->start_s)
        return 0;
    if (g->ramp <= 0)
        return g->count;
    return fmin(g->count, floor((at_s - g->start_s) * g->ramp) + 1);
}

static unsigned start_due(struct load_thread *t, size_t i, double at_s, uint64_t now_us, unsigned room)
{
    const struct load_group *g = &t->groups[i];
    struct group_progress *p = &t->progress[i];
    double due = due_count(g->plan, at_s);
    unsigned n = 0;

    /* viewer number k is thread k mod n's */
    for (; n < room; n++) {
        unsigned number = p->started * t->n_threads + t->index;
        if (number >= due)
            break;
        p->started++;
        start_viewer(t, g, number, now_us);
    }
    return n;
}

/* ---- Viewers go ---------------------------------------------------------------------------------------------- */

/* Of one group, or of all; first those who are on their way to take another's place. */
static void leave_all(struct load_thread *t, const struct load_group *g, bool publishers)
{
    for (int coming = 1; coming >= 0; coming--)
        list_for_each(it, &t->viewers) {
            struct viewer *v = container_of(it, struct viewer, link);
            if ((!g || v->group == g) && v->publisher == publishers && (!coming || v->replaces))
                viewer_leave(v);
        }
}

/* To whom nothing comes any more: their server may be gone without a word. */
static void look_for_silence(struct load_thread *t, uint64_t now_us)
{
    list_for_each(it, &t->viewers) {
        struct viewer *v = container_of(it, struct viewer, link);
        if (v->joined && !v->publisher && now_us > v->media_us + SILENT_US)
            viewer_failed(v, "media stopped");
    }
}

static struct viewer *oldest(struct load_thread *t, const struct load_group *g)
{
    list_for_each(it, &t->viewers) {
        struct viewer *v = container_of(it, struct viewer, link);
        if (v->group == g && v->joined)
            return v;
    }
    return NULL;
}

/* The one that has been here longest leaves, another comes. */
static void churn(struct load_thread *t, size_t i, uint64_t passed_us, uint64_t now_us)
{
    const struct load_group *g = &t->groups[i];
    struct group_progress *p = &t->progress[i];

    p->churn_debt += g->plan->churn / t->n_threads * (double)passed_us / 1e6;
    for (unsigned n = 0; p->churn_debt >= 1 && n < STARTS_A_TICK; n++) {
        struct viewer *v = oldest(t, g);
        p->churn_debt -= 1;
        if (!v)
            continue;
        unsigned stream = v->stream;
        viewer_leave(v);
        start_viewer(t, g, stream, now_us);
    }
}

static void free_dead(struct load_thread *t)
{
    list_for_each(it, &t->dead) {
        struct viewer *v = container_of(it, struct viewer, link);
        list_remove(it);
        if (v->ops->fini)
            v->ops->fini(v);
        free(v->moved_to);
        free(v); /* the struct viewer is at the head of each kind */
    }
}

/* ---- The tick ------------------------------------------------------------------------------------------------- */

struct tally_mail {
    struct mail mail;
    struct load_thread *from;
    struct tally tally;
    unsigned playing;
    bool last;
};

/* On the main thread. */
static void on_tally_mail(struct mail *m, struct worker *receiver)
{
    struct tally_mail *tm = container_of(m, struct tally_mail, mail);

    (void)receiver;
    tm->from->on_tally(tm->from->arg, tm->from, &tm->tally, tm->playing, tm->last);
    free(tm);
}

static void mail_tally(struct load_thread *t, bool last)
{
    struct tally_mail *m = malloc(sizeof(*m));

    if (!m)
        return;
    m->mail.run = on_tally_mail;
    m->from = t;
    m->tally = t->tally;
    m->playing = t->playing;
    m->last = last;
    worker_post(t->main, &m->mail);
}

/* Whether arrivals have the kernel's time, and nobody waits for an answer. */
static bool may_nap_long(const struct load_thread *t)
{
    if (t->alive > t->playing)
        return false; /* somebody joins */
    for (size_t i = 0; i < t->plan->n_groups; i++)
        if (t->plan->groups[i].kind != PLAN_WHEP)
            return false;
    return true;
}

/* To be woken for each packet costs the sender an interrupt to another processor, which a server would not pay for viewers
 * elsewhere: with many viewers a thread looks for packets at intervals instead. On the server's own processors each look also comes in
 * the midst of what it sends; so looks are rare, and do not interrupt who is at work (sched(7): SCHED_BATCH). Times of arrival are the
 * kernel's, so what is measured of RTP does not change, but feedback leaves up to 8 ms later. HTTP-FLV's delay, publishers' frames and
 * the steps of joining would come later too: while there are any, looks are 1.5 ms apart. */
static void on_nap(struct timer *timer, uint64_t now_us)
{
    struct load_thread *t = container_of(timer, struct load_thread, nap);

    (void)now_us;
    if (t->playing < NAP_FROM_VIEWERS || t->ending)
        return;
    if (!port_is_behind(t->shared.port))
        usleep(may_nap_long(t) ? LONG_NAP_US : NAP_US);
    timer_start(timer, 1);
}

static bool all_ended(const struct load_thread *t)
{
    for (size_t i = 0; i < t->plan->n_groups; i++)
        if (!t->progress[i].ended)
            return false;
    return true;
}

static void run_groups(struct load_thread *t, uint64_t now_us)
{
    double at_s = (double)(now_us - t->start_us) / 1e6;
    unsigned room = STARTS_A_TICK;

    for (size_t i = 0; i < t->plan->n_groups; i++) {
        const struct plan_group *g = &t->plan->groups[i];

        if (t->progress[i].ended)
            continue;
        room -= start_due(t, i, at_s, now_us, room); /* who was due before the end is asked for, however late this is */
        if (at_s >= plan_group_end_s(t->plan, g)) {
            t->progress[i].ended = true;
            if (plan_is_viewer(g) || g->hold_s >= 0) /* publishers who have no end of their own go after the last viewer */
                leave_all(t, &t->groups[i], !plan_is_viewer(g));
            continue;
        }
        if (g->churn > 0 && at_s > plan_group_ramped_s(g))
            churn(t, i, now_us - t->last_tick_us, now_us);
    }
}

static void on_end(struct timer *timer, uint64_t now_us)
{
    struct load_thread *t = container_of(timer, struct load_thread, tick);

    (void)now_us;
    free_dead(t);
    mail_tally(t, true);
    worker_stop(t->worker);
}

static void on_viewers_gone(struct timer *timer, uint64_t now_us)
{
    struct load_thread *t = container_of(timer, struct load_thread, tick);

    (void)now_us;
    leave_all(t, NULL, true);
    timer_init(timer, t->worker, on_end);
    timer_start(timer, GOODBYE_US);
}

/* Viewers first, on all threads, then publishers: else viewers would see their stream end. */
static void begin_end(struct load_thread *t)
{
    if (t->ending)
        return;
    t->ending = true;
    stamp_firsts_settle(&t->firsts, &t->tally.delay_first_us, worker_now_us(t->worker), true);
    mail_tally(t, false); /* before anyone leaves */
    leave_all(t, NULL, false);
    timer_init(&t->tick, t->worker, on_viewers_gone);
    timer_start(&t->tick, LEAVE_WAIT_US);
}

static void on_tick(struct timer *timer, uint64_t now_us)
{
    struct load_thread *t = container_of(timer, struct load_thread, tick);

    free_dead(t);
    run_groups(t, now_us);
    if (t->playing >= NAP_FROM_VIEWERS && !timer_running(&t->nap)) {
        (void)sched_setscheduler(0, SCHED_BATCH, &(struct sched_param){0});
        timer_start(&t->nap, 1);
    }
    t->last_tick_us = now_us;
    if (now_us >= t->next_mail_us) {
        stamp_firsts_settle(&t->firsts, &t->tally.delay_first_us, now_us, false);
        mail_tally(t, false);
        t->next_mail_us = now_us + MAIL_US;
        if (t->options->reconnect)
            look_for_silence(t, now_us);
    }
    if (all_ended(t))
        begin_end(t);
    else
        timer_start(timer, TICK_US);
}

struct stop_mail {
    struct mail mail;
    struct load_thread *t;
};

static void on_stop_mail(struct mail *m, struct worker *receiver)
{
    struct stop_mail *s = container_of(m, struct stop_mail, mail);

    (void)receiver;
    timer_stop(&s->t->tick);
    begin_end(s->t);
    free(s);
}

void load_thread_stop(struct load_thread *t)
{
    struct stop_mail *m = malloc(sizeof(*m));

    if (!m)
        abort();
    *m = (struct stop_mail){.mail = {.run = on_stop_mail}, .t = t};
    worker_post(t->worker, &m->mail);
}

/* ---- Life -------------------------------------------------------------------------------------------------------- */

static bool all_local(const struct load_thread *t)
{
    for (size_t i = 0; i < t->plan->n_groups; i++)
        for (unsigned k = 0; t->plan->groups[i].kind == PLAN_WHEP && k < t->groups[i].n_to; k++)
            if (t->groups[i].to[k].sa.sa_family != AF_INET || !addr_is_loopback(&t->groups[i].to[k]))
                return false;
    return true;
}

/* One socket where a network of addresses is ours: that of --sources, or 127.0.0.0/8 for servers on this host. Half of
 * the latter is cut among threads; the lower half is left to others. */
static struct port_cfg choose_port(struct load_thread *t)
{
    struct port_cfg cfg = {.mode = PORT_EACH, .recv_bytes = RECV_BYTES, .drops = &t->tally.socket_drops};
    uint32_t network = t->options->network, addresses = network ? 1u << (32 - t->options->network_bits) : 0;

    if (!network && all_local(t) && port_can_buffer(RECV_BYTES)) {
        network = (127u << 24) + (64u << 16);
        addresses = 64u << 16;
    }
    if (t->options->each || !network)
        return cfg;
    uint32_t share = addresses / t->n_threads;
    cfg.mode = PORT_SHARED;
    cfg.count = share > 65536 ? 65536 : share;
    cfg.network = network + share * t->index;
    return cfg;
}

static int make_shared(struct load_thread *t)
{
    struct port_cfg cfg = choose_port(t);

    t->port_mode = cfg.mode;
    t->shared.worker = t->worker;
    if (cert_create_self_signed(&t->shared.cert, "millrace-load") ||
        dtls_ctx_create(&t->shared.dtls, t->shared.cert, t->options->profiles) ||
        srtp_engine_create(&t->shared.srtp, SRTP_BACKEND_BEST))
        return -1;
    for (size_t i = 0; i < LOAD_ICE_AGENTS; i++)
        if (ice_agent_create(&t->ice[i]))
            return -1;
    return port_open(&t->shared.port, t->worker, &cfg);
}

const char *load_thread_sockets(const struct load_thread *t)
{
    return t->port_mode == PORT_SHARED ? "one for all" : "one a viewer";
}

static void on_start(struct mail *m, struct worker *receiver)
{
    struct stop_mail *s = container_of(m, struct stop_mail, mail);
    struct load_thread *t = s->t;

    (void)receiver;
    free(s);
    t->start_us = t->last_tick_us = worker_now_us(t->worker);
    timer_start(&t->tick, 0);
}

int load_thread_init(struct load_thread *t, char err[PLAN_ERROR_CAP])
{
    struct worker_cfg cfg = {.name = "load", .index = t->index};
    struct stop_mail *m = malloc(sizeof(*m));

    list_init(&t->viewers);
    list_init(&t->dead);
    snprintf(err, PLAN_ERROR_CAP, "a thread cannot be set up");
    if (!m || worker_create(&t->worker, &cfg) || make_shared(t)) {
        free(m);
        return -1;
    }
    timer_init(&t->tick, t->worker, on_tick);
    timer_init(&t->nap, t->worker, on_nap);
    *m = (struct stop_mail){.mail = {.run = on_start}, .t = t};
    worker_post(t->worker, &m->mail);
    return worker_start(t->worker);
}

void load_thread_fini(struct load_thread *t)
{
    free_dead(t);
    port_close(&t->shared.port);
    worker_destroy(&t->worker);
    for (size_t i = 0; i < LOAD_ICE_AGENTS; i++)
        ice_agent_destroy(&t->ice[i]);
    dtls_ctx_destroy(&t->shared.dtls);
    srtp_engine_destroy(&t->shared.srtp);
    cert_destroy(&t->shared.cert);
}
