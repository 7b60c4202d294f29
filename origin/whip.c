/* SPDX-License-Identifier: Apache-2.0
 * whip.c - the HTTP side of WHIP: endpoints and session resources; see whip.h. */
#include "origin/whip_priv.h"

#include "base/log.h"
#include "base/random.h"
#include "http/bearer.h"

#include <stdlib.h>
#include <string.h>

#define ENDPOINT "/whip/"
#define SESSION "/whip/session/"

enum { OVERLOAD_RETRY_S = 5 };

static void count_bad(struct whip *w, const struct addr *from, int status, const char *detail)
{
    char peer[ADDR_TEXT_CAP];

    w->counters.bad_requests++;
    LOG_LIMITED("whip", "%d: %s peer=%s", status, detail, addr_print(from, peer));
}

static void refuse_request(struct whip *w, struct http_exchange *x, int status, const char *detail)
{
    count_bad(w, http_peer(x), status, detail);
    rtc_http_refuse(x, status, 0, detail);
}

/* ---- The endpoint ------------------------------------------------------------------------------ */

/* The offer in the body and what we agree to of it; NULL: refused already. */
static struct sdp_offer *read_offer(struct whip *w, struct http_exchange *x, struct whip_media_cfg *agreed)
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
        err = sdp_offer_check(o, true);
    if (err == SDP_OK)
        err = whip_agree(o, agreed);
    if (err == SDP_OK)
        return o;
    free(o);
    refuse_request(w, x, sdp_http_status(err), sdp_error_text(err));
    return NULL;
}

/* True: another worker, the stream's home, has it now. */
static bool forward_home(struct whip *w, struct http_exchange *x, const char *stream)
{
    unsigned home = relay_home(w->cfg.relay, stream);

    return home != w->cfg.index && w->cfg.forward && w->cfg.forward(w->cfg.arg, x, home);
}

static void publish(struct whip *w, struct http_exchange *x, const char *stream)
{
    struct whip_media_cfg agreed;

    if (!rtc_http_has_type(x, RTC_TYPE_SDP)) {
        refuse_request(w, x, 415, "the body must be " RTC_TYPE_SDP);
        return;
    }
    if (!stream_name_valid(stream)) {
        refuse_request(w, x, 400, "not a stream name: app/name");
        return;
    }
    if (w->cfg.publishers_max && w->sessions.count >= w->cfg.publishers_max) {
        w->counters.overloaded++;
        rtc_http_refuse(x, 503, OVERLOAD_RETRY_S + random_u32() % OVERLOAD_RETRY_S,
                    "this node takes no more publishers");
        return;
    }
    struct sdp_offer *offer = read_offer(w, x, &agreed);
    if (offer)
        whip_session_open(w, x, stream, offer, &agreed);
}

static void on_post(struct http_exchange *x, void *arg)
{
    struct whip *w = arg;
    const char *stream = http_path(x) + strlen(ENDPOINT);

    if (!http_bearer(x, w->cfg.key, "publish", stream)) {
        w->counters.unauthorized++;
        return;
    }
    if (w->cfg.admit && !w->cfg.admit(w->cfg.arg, x)) {
        w->counters.overloaded++;
        return;
    }
    if (!stream_name_valid(stream) || !forward_home(w, x, stream))
        publish(w, x, stream);
}

/* RFC 9725 s4.2: any 2xx, without content. */
static void on_get(struct http_exchange *x, void *arg)
{
    const struct whip *w = arg;

    if (http_bearer(x, w->cfg.key, "publish", http_path(x) + strlen(ENDPOINT)))
        http_reply(x, http_method(x) == HTTP_M_HEAD ? 200 : 204, NULL, NULL, 0);
}

/* ---- The session resource ---------------------------------------------------------------------- */

static void patch(struct whip *w, struct whip_session *s, struct http_exchange *x)
{
    struct addr from = *http_peer(x);
    int status = rtc_resource_patch(&s->resource, s->transport, x); /* x has ended */

    if (status)
        count_bad(w, &from, status, "a PATCH that is no fragment");
}

static void delete(struct whip *w, struct whip_session *s, struct http_exchange *x)
{
    char id[RTC_ID_CAP];

    log_info("whip", "session %s over: deleted stream=%s", rtc_resource_shown(&s->resource, id), s->stream);
    w->counters.deleted++;
    whip_session_destroy(s);
    http_reply(x, 200, NULL, NULL, 0);
}

static void on_session(struct http_exchange *x, void *arg)
{
    struct whip *w = arg;
    unsigned index;
    const char *token = rtc_resource_split(http_path(x) + strlen(SESSION), &index);

    if (token && index != w->cfg.index && w->cfg.forward && w->cfg.forward(w->cfg.arg, x, index))
        return;
    struct whip_session *s = token && index == w->cfg.index ? whip_session_find(w, token) : NULL;
    if (!s)
        http_problem(x, 404, "no such session");
    else if (!http_bearer_session(x, w->cfg.key, &s->resource.begun_with, "publish", s->stream))
        return; /* it has been answered */
    else if (http_method(x) == HTTP_M_PATCH)
        patch(w, s, x);
    else
        delete(w, s, x);
}

/* Here it is meant for this worker: nothing is forwarded twice. */
void whip_on_request(struct whip *w, struct http_exchange *x)
{
    if (strncmp(http_path(x), SESSION, strlen(SESSION)) == 0)
        on_session(x, w);
    else
        publish(w, x, http_path(x) + strlen(ENDPOINT));
}

/* ---- Life -------------------------------------------------------------------------------------- */

static void add_routes(struct whip *w)
{
    static const struct http_cors session = {
        .methods = "PATCH, DELETE, OPTIONS",
        .headers = "Authorization, Content-Type, If-Match",
        .expose = "ETag, Link",
        .accept_patch = RTC_TYPE_FRAGMENT,
    };
    struct http_server *http = w->cfg.http;

    w->cors = (struct http_cors){
        .methods = "POST, GET, HEAD, OPTIONS",
        .headers = "Authorization, Content-Type",
        .expose = "Location, ETag, Link, Retry-After",
        .accept_post = RTC_TYPE_SDP,
        .link = w->cfg.link,
    };
    http_route(http, HTTP_M_POST, ENDPOINT "*", on_post, w);
    http_route(http, HTTP_M_GET, ENDPOINT "*", on_get, w);
    http_route(http, HTTP_M_PATCH, SESSION "*", on_session, w);
    http_route(http, HTTP_M_DELETE, SESSION "*", on_session, w);
    http_cors_route(http, ENDPOINT "*", &w->cors);
    http_cors_route(http, SESSION "*", &session);
}

int whip_open(struct whip **out, const struct whip_cfg *cfg)
{
    struct whip *w = calloc(1, sizeof(*w));

    if (!w || hash_init(&w->sessions) < 0) {
        free(w);
        return -1;
    }
    w->cfg = *cfg;
    w->worker = rtc_endpoint_worker(cfg->endpoint);
    add_routes(w);
    *out = w;
    return 0;
}

void whip_close(struct whip **whip)
{
    struct whip *w = *whip;

    *whip = NULL;
    if (!w)
        return;
    hash_for_each(it, &w->sessions)
    {
        struct whip_session *s = container_of(it, struct whip_session, item);
        if (s->state == WHIP_CLAIMING)
            rtc_http_refuse(s->x, 503, 1, "this node is stopping");
        whip_session_destroy(s);
    }
    hash_fini(&w->sessions);
    free(w);
}

const struct whip_counters *whip_counters(const struct whip *w)
{
    return &w->counters;
}

size_t whip_publishers(const struct whip *w)
{
    return w->publishers;
}
