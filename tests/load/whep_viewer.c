/* SPDX-License-Identifier: Apache-2.0
 * whep_viewer.c - one viewer by WHEP: POST of an offer, ICE, DTLS, media, DELETE.
 *
 * 307 is followed; 409 and 503 are tried again when the server says Retry-After, until the time to join is over.
 * Source: draft-ietf-wish-whep. */
#include "base/random.h"
#include "http_client.h"
#include "offer.h"
#include "rtp_in.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REDIRECTS_MAX = 5, DELETE_TIMEOUT_US = 1200000 };

struct whep {
    struct viewer v;
    struct url url, session;
    struct addr to;
    bool has_session;
    unsigned redirects;
    struct http_call *call;
    struct timer timer; /* to retry, and the time to join */
    struct assoc assoc;
    bool has_assoc;
    uint64_t answered_us, ice_us;
    struct rtp_in in;
};

static struct whep *whep_of(struct viewer *v)
{
    return container_of(v, struct whep, v);
}

/* ---- Media ------------------------------------------------------------------------------------------------- */

static uint64_t since(uint64_t from_us, uint64_t to_us)
{
    return to_us > from_us ? to_us - from_us : 0;
}

static void on_first_packet(void *arg, uint64_t at_us)
{
    struct whep *p = arg;
    timer_stop(&p->timer);
    viewer_joined(&p->v, at_us);
}

static void on_first_keyframe(void *arg, uint64_t at_us)
{
    struct whep *p = arg;
    viewer_keyframe(&p->v, at_us);
}

static void on_ice(struct assoc *a)
{
    struct whep *p = container_of(a, struct whep, assoc);

    p->ice_us = worker_now_us(p->v.thread->worker);
    histogram_push(&p->v.thread->tally.ice_us, since(p->answered_us, p->ice_us));
}

static void on_connected(struct assoc *a)
{
    struct whep *p = container_of(a, struct whep, assoc);

    histogram_push(&p->v.thread->tally.dtls_us, since(p->ice_us, worker_now_us(p->v.thread->worker)));
    rtp_in_start(&p->in);
}

static void on_rtp(struct assoc *a, uint8_t *bytes, size_t len, uint64_t unix_us)
{
    struct whep *p = container_of(a, struct whep, assoc);
    rtp_in_on_rtp(&p->in, bytes, len, viewer_at_us(&p->v, unix_us), unix_us);
}

static void on_rtcp(struct assoc *a, const uint8_t *bytes, size_t len, uint64_t unix_us)
{
    struct whep *p = container_of(a, struct whep, assoc);
    rtp_in_on_rtcp(&p->in, bytes, len, viewer_at_us(&p->v, unix_us), unix_us);
}

static void on_assoc_failed(struct assoc *a, const char *cause)
{
    viewer_failed(&container_of(a, struct whep, assoc)->v, cause);
}

static const struct assoc_ops assoc_ops = {
    .on_ice = on_ice, .on_connected = on_connected, .on_rtp = on_rtp, .on_rtcp = on_rtcp, .on_failed = on_assoc_failed};

/* ---- The answer ----------------------------------------------------------------------------------------------- */

/* The candidate at the address that HTTP went to first: that one is known to be reachable. */
static size_t order_candidates(const struct whep *p, const struct sdp_offer *answer, struct addr out[ASSOC_CANDIDATES_MAX])
{
    size_t n = 0;

    for (int near = 1; near >= 0; near--)
        for (size_t i = 0; i < answer->n_candidates && n < ASSOC_CANDIDATES_MAX; i++) {
            struct addr c = answer->candidates[i], at = p->to;
            addr_set_port(&at, addr_port(&c));
            if (c.sa.sa_family == p->to.sa.sa_family && addr_equal(&c, &at) == near)
                out[n++] = c;
        }
    return n;
}

static const char *take_answer(struct whep *p, const struct sdp_offer *answer)
{
    struct addr candidates[ASSOC_CANDIDATES_MAX];
    struct rtc_remote remote = {.ufrag = answer->ice_ufrag,
                                .pwd = answer->ice_pwd,
                                .fingerprint = answer->fingerprint,
                                .role = sdp_answer_role(answer),
                                .candidates = candidates};

    remote.n_candidates = order_candidates(p, answer, candidates);
    if (remote.n_candidates == 0)
        return "sdp: no usable candidate";
    if (rtp_in_agree(&p->in, answer) || assoc_start(&p->assoc, &remote))
        return "out of memory";
    return NULL;
}

static void on_answer(struct whep *p, const struct http_answer *a)
{
    struct sdp_offer *answer = malloc(sizeof(*answer));
    char cause[96];
    const char *why = "out of memory";

    p->answered_us = worker_now_us(p->v.thread->worker);
    histogram_push(&p->v.thread->tally.http_us, since(p->v.started_us, p->answered_us));
    if (a->location[0] && url_resolve(&p->session, &p->url, a->location) == 0)
        p->has_session = true;
    int err = answer ? sdp_offer_parse(answer, a->body, a->body_len) : SDP_OK;
    if (err) {
        snprintf(cause, sizeof(cause), "sdp: %s", sdp_error_text(err));
        why = cause;
    } else if (answer) {
        why = take_answer(p, answer);
    }
    free(answer);
    if (why)
        viewer_failed(&p->v, why);
}

/* ---- HTTP --------------------------------------------------------------------------------------------------------- */

static void post_offer(struct whep *p);

static void redirect(struct whep *p, const struct http_answer *a)
{
    char authority[URL_HOST_MAX + 10];
    struct url to;

    if (p->redirects++ == REDIRECTS_MAX || url_resolve(&to, &p->url, a->location)) {
        viewer_failed(&p->v, "redirect that leads nowhere");
        return;
    }
    url_authority(&to, authority);
    if (addr_resolve(&p->to, authority)) {
        viewer_failed(&p->v, "redirect to an unknown host");
        return;
    }
    p->url = to;
    p->v.thread->tally.redirects++;
    post_offer(p);
}

/* Too long a wait is a failure of this status. */
static void retry(struct whep *p, const struct http_answer *a)
{
    uint64_t now_us = worker_now_us(p->v.thread->worker), wait_us = (uint64_t)a->retry_after_s * 1000000;

    if (a->retry_after_s == 0 || now_us + wait_us >= p->v.deadline_us) {
        viewer_http_failed(&p->v, a);
        return;
    }
    p->v.thread->tally.retries++;
    timer_start(&p->timer, wait_us);
}

static void on_done(void *arg, const struct http_answer *a)
{
    struct whep *p = arg;

    p->call = NULL;
    if (a->status == 201 || a->status == 200) {
        on_answer(p, a);
    } else if (a->status == 307 || a->status == 308) {
        redirect(p, a);
    } else if (a->status == 409 || a->status == 503) {
        retry(p, a);
    } else {
        viewer_http_failed(&p->v, a);
    }
}

static void post_offer(struct whep *p)
{
    const struct load_options *options = p->v.thread->options;
    char text[OFFER_BYTES_MAX];
    struct offer o = {.ufrag = p->assoc.ufrag, .pwd = p->assoc.pwd,
                      .fingerprint = cert_fingerprint(p->v.thread->shared.cert),
                      .candidate = &p->assoc.slot.local, .audio = true, .video = true,
                      .rtx = !options->no_rtx, .transport_cc = !options->no_transport_cc};
    int len = offer_write(text, sizeof(text), &o);
    struct http_call_cfg cfg = {.url = p->url, .to = p->to, .method = "POST", .content_type = "application/sdp",
                                .accept = "application/sdp", .bearer = options->bearer, .body = text,
                                .body_len = (size_t)len, .timeout_us = (uint64_t)(options->timeout_s * 1e6),
                                .on_done = on_done, .arg = p};

    timer_start(&p->timer, viewer_left_us(&p->v));
    if (len < 0 || http_call_start(&p->call, p->v.thread->worker, &cfg))
        viewer_failed(&p->v, "http: no connection could be made");
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct whep *p = container_of(t, struct whep, timer);

    if (now_us < p->v.deadline_us) {
        post_offer(p);
        return;
    }
    viewer_failed(&p->v, p->answered_us == 0     ? "http timeout"
                         : p->ice_us == 0        ? "ice timeout"
                         : assoc_connected(&p->assoc) ? "no media" : "dtls timeout");
}

/* ---- Life ------------------------------------------------------------------------------------------------------------ */

static int start(struct viewer *v)
{
    struct whep *p = whep_of(v);
    struct load_thread *t = v->thread;
    struct rtp_in_cfg cfg = {.assoc = &p->assoc, .tally = &t->tally, .check = t->options->check,
                             .no_feedback = t->options->no_feedback, .on_first_packet = on_first_packet,
                             .on_first_keyframe = on_first_keyframe, .arg = p};

    timer_init(&p->timer, t->worker, on_due);
    p->to = *viewer_to(v);
    rtp_in_init(&p->in, t->worker, &cfg);
    int err = assoc_open(&p->assoc, &t->shared, t->ice[t->next_ice++ % LOAD_ICE_AGENTS], &p->to, &assoc_ops);
    p->has_assoc = true;
    if (err) {
        viewer_failed(v, "no socket for another viewer");
        return -1;
    }
    if (viewer_url(v, &p->url)) {
        viewer_failed(v, "not a URL");
        return -1;
    }
    post_offer(p);
    return 0;
}

static void close_viewer(struct viewer *v, bool politely)
{
    struct whep *p = whep_of(v);

    timer_stop(&p->timer);
    http_call_cancel(&p->call);
    if (p->has_session && politely)
        http_delete(v->thread->worker, &p->session, &p->to, v->thread->options->bearer, DELETE_TIMEOUT_US);
    rtp_in_close(&p->in);
    if (p->has_assoc)
        assoc_close(&p->assoc);
}

struct viewer *whep_viewer_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_viewer};
    struct whep *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
