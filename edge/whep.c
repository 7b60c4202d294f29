/* SPDX-License-Identifier: Apache-2.0
 * whep.c - the HTTP side of WHEP: endpoints and session resources; see whep.h. */
#include "edge/whep_events.h"
#include "edge/whep_priv.h"

#include "base/log.h"
#include "http/bearer.h"

#include <stdlib.h>
#include <string.h>

#define ENDPOINT "/whep/"
#define SESSION "/whep/session/"

enum { JOIN_US = 4000000, OVERLOAD_RETRY_S = 5 };

/* ---- POST, GET on the endpoint ------------------------------------------------------------------ */

static void count_bad(struct whep *w, const struct addr *from, int status, const char *detail)
{
    char peer[ADDR_TEXT_CAP];

    w->counters.bad_requests++;
    LOG_LIMITED("whep", "%d: %s peer=%s", status, detail, addr_print(from, peer));
}

static void refuse_request(struct whep *w, struct http_exchange *x, int status, const char *detail)
{
    count_bad(w, http_peer(x), status, detail);
    rtc_http_refuse(x, status, 0, detail);
}

/* The offer in the body, parsed and checked; NULL: refused already. */
static struct sdp_offer *read_offer(struct whep *w, struct http_exchange *x)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    size_t len;
    const uint8_t *body = http_body(x, &len);

    if (!o) {
        w->counters.overloaded++;
        rtc_http_refuse(x, 503, OVERLOAD_RETRY_S, "out of memory");
        return NULL;
    }
    int err = sdp_offer_parse(o, (const char *)body, len);
    if (err == SDP_OK)
        err = sdp_offer_check(o, false);
    if (err == SDP_OK)
        return o;
    free(o);
    refuse_request(w, x, sdp_http_status(err), sdp_error_text(err));
    return NULL;
}

static bool has_common_codec(const struct sdp_offer *o)
{
    struct whep_section audio, video;

    whep_agree(o, &audio, &video);
    return audio.at >= 0 || video.at >= 0;
}

/* A POST with neither body nor type asks for our own offer. */
static bool asks_for_offer(const struct http_exchange *x)
{
    size_t len;

    http_body(x, &len);
    return len == 0 && !http_header(x, "Content-Type");
}

static void on_admitted(struct http_exchange *x, void *arg)
{
    struct whep *w = arg;
    const char *stream = http_path(x) + strlen(ENDPOINT);
    bool counter = asks_for_offer(x);
    struct sdp_offer *offer = counter ? whep_counter_create() : read_offer(w, x);

    if (!offer && !counter)
        return;
    if (offer && !counter && !has_common_codec(offer)) {
        free(offer);
        offer = whep_counter_create();
        counter = true;
    }
    if (offer) {
        whep_session_open(w, x, stream, offer, counter);
        return;
    }
    w->counters.overloaded++;
    rtc_http_refuse(x, 503, OVERLOAD_RETRY_S, "out of memory");
}

static void on_post(struct http_exchange *x, void *arg)
{
    struct whep *w = arg;
    const char *stream = http_path(x) + strlen(ENDPOINT);

    if (!http_bearer(x, w->cfg.key, "play", stream)) {
        w->counters.unauthorized++;
        return;
    }
    if (!asks_for_offer(x) && !rtc_http_has_type(x, RTC_TYPE_SDP)) {
        refuse_request(w, x, 415, "the body must be " RTC_TYPE_SDP);
        return;
    }
    if (!stream_name_valid(stream)) {
        refuse_request(w, x, 400, "not a stream name: app/name");
        return;
    }
    if (w->cfg.admit)
        w->cfg.admit(w->cfg.arg, x, stream, on_admitted, w);
    else
        on_admitted(x, w);
}

static void on_get(struct http_exchange *x, void *arg)
{
    const struct whep *w = arg;

    if (http_bearer(x, w->cfg.key, "play", http_path(x) + strlen(ENDPOINT)))
        http_reply(x, http_method(x) == HTTP_M_HEAD ? 200 : 204, NULL, NULL, 0);
}

/* ---- PATCH, DELETE on a session ----------------------------------------------------------------- */

static void patch(struct whep *w, struct whep_session *s, struct http_exchange *x)
{
    struct addr from = *http_peer(x);
    bool answer = s->state == WHEP_OFFERING && rtc_http_has_type(x, RTC_TYPE_SDP);
    int status = answer ? whep_counter_on_answer(s, x)
                        : rtc_resource_patch(&s->resource, rtc_viewer_transport(s->viewer), x); /* x has ended */

    if (status)
        count_bad(w, &from, status, answer ? "an answer that does not go with our offer" : "a PATCH that is no fragment");
}

/* Splits <worker>-<token>[/layer|/events]; sub is what follows the token. */
static const char *read_session_path(const char *path, char id[RTC_ID_CAP], unsigned *index, const char **sub)
{
    size_t len = strcspn(path, "/");

    *sub = path + len;
    if (len >= RTC_ID_CAP)
        return NULL;
    memcpy(id, path, len);
    id[len] = '\0';
    return rtc_resource_split(id, index);
}

static void refuse_method(struct http_exchange *x, const char *allow, const char *detail)
{
    http_reply_header(x, "Allow", allow); /* RFC 9110 s15.5.6 */
    http_problem(x, 405, "%s", detail);
}

static void on_events(struct whep *w, struct whep_session *s, struct http_exchange *x)
{
    if (!w->cfg.events)
        http_problem(x, 404, "no events here");
    else if (http_method(x) == HTTP_M_POST)
        whep_events_create(x, s->stream);
    else
        refuse_method(x, "POST, OPTIONS", "a session's events take POST");
}

static void on_resource(struct whep *w, struct whep_session *s, struct http_exchange *x)
{
    switch (http_method(x)) {
    case HTTP_M_PATCH:
        patch(w, s, x);
        break;
    case HTTP_M_DELETE:
        w->counters.deleted++;
        whep_session_destroy(s);
        http_reply(x, 200, NULL, NULL, 0);
        break;
    default:
        refuse_method(x, "PATCH, DELETE, OPTIONS", "a session takes PATCH and DELETE");
        break;
    }
}

void whep_on_session(struct whep *w, struct http_exchange *x)
{
    char id[RTC_ID_CAP];
    unsigned index;
    const char *sub, *token = read_session_path(http_path(x) + strlen(SESSION), id, &index, &sub);

    if (token && index != w->cfg.index && w->cfg.forward && w->cfg.forward(w->cfg.arg, x, index))
        return;
    struct whep_session *s = token && index == w->cfg.index ? whep_session_find(w, token) : NULL;
    if (!s)
        http_problem(x, 404, "no such session");
    else if (!http_bearer_session(x, w->cfg.key, &s->resource.begun_with, "play", s->stream))
        return; /* it has been answered */
    else if (strcmp(sub, WHEP_LAYER_PATH) == 0)
        whep_layer_on_request(s, x);
    else if (strcmp(sub, WHEP_EVENTS_PATH) == 0)
        on_events(w, s, x);
    else if (sub[0])
        http_problem(x, 404, "no such part of a session");
    else
        on_resource(w, s, x);
}

static void on_session(struct http_exchange *x, void *arg)
{
    whep_on_session(arg, x);
}

/* ---- life --------------------------------------------------------------------------------------- */

int whep_open(struct whep **out, const struct whep_cfg *cfg)
{
    static const struct http_cors session = {
        .methods = "GET, POST, PATCH, DELETE, OPTIONS",
        .headers = "Authorization, Content-Type, If-Match",
        .expose = "ETag, Link, Location",
        .accept_patch = RTC_TYPE_FRAGMENT ", " RTC_TYPE_SDP, /* an answer to our own offer */
    };
    struct whep *w = calloc(1, sizeof(*w));

    if (!w || hash_init(&w->sessions) < 0) {
        free(w);
        return -1;
    }
    w->cfg = *cfg;
    w->worker = relay_worker(cfg->relay);
    if (!w->cfg.join_us)
        w->cfg.join_us = JOIN_US;
    w->cors = (struct http_cors){
        .methods = "POST, GET, HEAD, OPTIONS",
        .headers = "Authorization, Content-Type",
        .expose = "Location, ETag, Link, Retry-After",
        .accept_post = RTC_TYPE_SDP,
        .link = w->cfg.link,
    };
    http_route(cfg->http, HTTP_M_POST, ENDPOINT "*", on_post, w);
    http_route(cfg->http, HTTP_M_GET, ENDPOINT "*", on_get, w);
    http_route(cfg->http, HTTP_M_PATCH, SESSION "*", on_session, w);
    http_route(cfg->http, HTTP_M_DELETE, SESSION "*", on_session, w);
    http_route(cfg->http, HTTP_M_GET, SESSION "*", on_session, w); /* the layer extension's */
    http_route(cfg->http, HTTP_M_POST, SESSION "*", on_session, w);
    http_cors_route(cfg->http, ENDPOINT "*", &w->cors);
    http_cors_route(cfg->http, SESSION "*", &session);
    *out = w;
    return 0;
}

void whep_close(struct whep **w)
{
    struct whep *gone = *w;

    *w = NULL;
    if (!gone)
        return;
    hash_for_each(it, &gone->sessions)
    {
        struct whep_session *s = container_of(it, struct whep_session, item);
        if (s->state == WHEP_JOINING)
            rtc_http_refuse(s->x, 503, 1, "this node is stopping");
        whep_session_destroy(s);
    }
    hash_fini(&gone->sessions);
    free(gone);
}

const struct whep_counters *whep_counters(const struct whep *w)
{
    return &w->counters;
}

size_t whep_viewers(const struct whep *w)
{
    return w->viewers;
}

size_t whep_sessions(const struct whep *w)
{
    return w->sessions.count;
}
