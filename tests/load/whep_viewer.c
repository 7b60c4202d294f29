/* SPDX-License-Identifier: Apache-2.0
 * whep_viewer.c - one viewer by WHEP: POST of an offer, ICE, DTLS, media, DELETE.
 *
 * How it gets its answer is fetch.h's. When the server sends it elsewhere (events.h), another viewer joins there and
 * takes its place with the first packet.
 * Source: draft-ietf-wish-whep. */
#include "events.h"
#include "fetch.h"
#include "offer.h"
#include "rtp_in.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>

enum { DELETE_TIMEOUT_US = 1200000 };

struct whep {
    struct viewer v;
    struct fetch fetch;
    struct url session;
    bool has_session;
    struct events events;
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
    fetch_stop_timer(&p->fetch);
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

    p->v.media_us = worker_now_us(p->v.thread->worker);
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

/* Those that can be sent to from here, the one at the address that HTTP went to first: that one is known to be reachable. */
static size_t order_candidates(const struct whep *p, const struct sdp_offer *answer, struct addr out[ASSOC_CANDIDATES_MAX])
{
    sa_family_t family = p->assoc.slot.local.sa.sa_family;
    size_t n = 0;

    for (int near = 1; near >= 0; near--)
        for (size_t i = 0; i < answer->n_candidates && n < ASSOC_CANDIDATES_MAX; i++) {
            struct addr c = answer->candidates[i], at = p->fetch.to;
            addr_set_port(&at, addr_port(&c));
            if (c.sa.sa_family == family && addr_equal(&c, &at) == near)
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
    /* HTTP came by IPv6 and media go by IPv4, or the other way round */
    if (remote.n_candidates == 0 && answer->n_candidates && assoc_turn(&p->assoc, &answer->candidates[0]) == 0)
        remote.n_candidates = order_candidates(p, answer, candidates);
    if (remote.n_candidates == 0)
        return "sdp: no usable candidate";
    if (rtp_in_agree(&p->in, answer) || assoc_start(&p->assoc, &remote))
        return "out of memory";
    return NULL;
}

static void on_reconnect(void *arg, const char *url)
{
    viewer_move(&((struct whep *)arg)->v, url);
}

static void on_answer(void *arg, const struct http_answer *a)
{
    struct whep *p = arg;
    struct sdp_offer *answer = malloc(sizeof(*answer));
    char cause[96];
    const char *why = "out of memory";

    p->answered_us = worker_now_us(p->v.thread->worker);
    histogram_push(&p->v.thread->tally.http_us, since(p->v.started_us, p->answered_us));
    if (a->location[0] && url_resolve(&p->session, &p->fetch.url, a->location) == 0)
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
    else if (!p->v.thread->options->no_events)
        events_open(&p->events, &p->v, &p->fetch.url, &p->fetch.to, a, on_reconnect, p);
}

static const char *awaits(const struct viewer *v)
{
    const struct whep *p = container_of(v, const struct whep, v);

    if (p->answered_us == 0)
        return "http";
    if (p->ice_us == 0)
        return "ice";
    return assoc_connected(&p->assoc) ? "media" : "dtls";
}

static void on_late(void *arg)
{
    struct whep *p = arg;
    char cause[32];

    snprintf(cause, sizeof(cause), "%s timeout", awaits(&p->v));
    viewer_failed(&p->v, cause);
}

static int write_offer(const struct whep *p, char text[OFFER_BYTES_MAX])
{
    const struct load_options *options = p->v.thread->options;
    struct offer o = {.ufrag = p->assoc.ufrag, .pwd = p->assoc.pwd,
                      .fingerprint = cert_fingerprint(p->v.thread->shared.cert),
                      .candidate = &p->assoc.slot.local, .audio = true, .video = true,
                      .rtx = !options->no_rtx, .transport_cc = !options->no_transport_cc};

    return offer_write(text, OFFER_BYTES_MAX, &o);
}

/* ---- Life ------------------------------------------------------------------------------------------------------------ */

static int open_parts(struct whep *p, const struct url *url, const struct addr *to)
{
    struct load_thread *t = p->v.thread;
    struct fetch_cfg fetch = {.v = &p->v, .method = "POST", .content_type = "application/sdp", .accept = "application/sdp",
                              .name = "whep", .on_answer = on_answer, .on_late = on_late, .arg = p};
    struct rtp_in_cfg in = {.assoc = &p->assoc, .tally = &t->tally, .firsts = &t->firsts, .check = t->options->check,
                            .no_feedback = t->options->no_feedback, .on_first_packet = on_first_packet,
                            .on_first_keyframe = on_first_keyframe, .arg = p};

    fetch_init(&p->fetch, &fetch, url, to);
    rtp_in_init(&p->in, t->worker, &in);
    p->has_assoc = true;
    return assoc_open(&p->assoc, &t->shared, t->ice[t->next_ice++ % LOAD_ICE_AGENTS], to, &assoc_ops);
}

static int start(struct viewer *v)
{
    struct whep *p = whep_of(v);
    char text[OFFER_BYTES_MAX];
    struct addr to;
    struct url url;
    int len = 0;
    const char *why = viewer_url(v, &url, &to)       ? "not a URL of a known host"
                      : open_parts(p, &url, &to)     ? "no socket for another viewer"
                      : (len = write_offer(p, text)) < 0 ? "sdp: the offer has no room" : NULL;

    if (why) {
        viewer_failed(v, why);
        return -1;
    }
    fetch_start(&p->fetch, text, (size_t)len);
    return 0;
}

static void close_viewer(struct viewer *v, bool politely)
{
    struct whep *p = whep_of(v);
    const struct load_options *options = v->thread->options;

    fetch_close(&p->fetch);
    events_close(&p->events);
    if (p->has_session && politely)
        http_delete(v->thread->worker, &p->session, &p->fetch.to, options->tls, options->bearer, DELETE_TIMEOUT_US);
    rtp_in_close(&p->in);
    if (p->has_assoc)
        assoc_close(&p->assoc);
}

struct viewer *whep_viewer_create(void)
{
    static const struct viewer_ops ops = {.start = start, .close = close_viewer, .awaits = awaits};
    struct whep *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->v.ops = &ops;
    return &p->v;
}
