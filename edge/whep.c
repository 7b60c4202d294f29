/* SPDX-License-Identifier: Apache-2.0
 * whep.c - the HTTP side of WHEP: endpoints and session resources; see whep.h. */
#include "edge/whep_priv.h"

#include "base/log.h"
#include "base/random.h"
#include "http/cors.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ENDPOINT "/whep/"
#define SESSION "/whep/session/"
#define TYPE_SDP "application/sdp"
#define TYPE_FRAGMENT "application/trickle-ice-sdpfrag"

enum { JOIN_US = 4000000, OVERLOAD_RETRY_S = 5 };

/* A media type, its parameters left out. */
static bool has_type(const struct http_exchange *x, const char *type)
{
    const char *v = http_header(x, "Content-Type");
    size_t len = strlen(type);

    return v && strncasecmp(v, type, len) == 0 && (v[len] == '\0' || v[len] == ';' || v[len] == ' ');
}

/* ---- POST, GET on the endpoint ------------------------------------------------------------------------------ */

static void refuse_request(struct whep *w, struct http_exchange *x, int status, const char *detail)
{
    char peer[ADDR_TEXT_CAP];

    w->counters.bad_requests++;
    LOG_LIMITED("whep", "%d: %s peer=%s", status, detail, addr_print(http_peer(x), peer));
    whep_refuse(x, status, 0, detail);
}

/* The offer in the body, parsed and checked; NULL: refused already. */
static struct sdp_offer *read_offer(struct whep *w, struct http_exchange *x)
{
    struct sdp_offer *o = malloc(sizeof(*o));
    size_t len;
    const uint8_t *body = http_body(x, &len);

    if (!o) {
        w->counters.overloaded++;
        whep_refuse(x, 503, OVERLOAD_RETRY_S, "out of memory");
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

static void on_post(struct http_exchange *x, void *arg)
{
    struct whep *w = arg;
    const char *stream = http_path(x) + strlen(ENDPOINT);

    if (!has_type(x, TYPE_SDP)) {
        refuse_request(w, x, 415, "the body must be " TYPE_SDP);
        return;
    }
    if (!stream_name_valid(stream)) {
        refuse_request(w, x, 400, "not a stream name: app/name");
        return;
    }
    if (w->cfg.viewers_max && w->sessions.count >= w->cfg.viewers_max) {
        w->counters.overloaded++;
        whep_refuse(x, 503, OVERLOAD_RETRY_S + random_u32() % OVERLOAD_RETRY_S, "this node has all the viewers it can take");
        return;
    }
    struct sdp_offer *offer = read_offer(w, x);
    if (!offer)
        return;
    if (!has_common_codec(offer)) {
        free(offer);
        w->counters.not_acceptable++;
        whep_refuse(x, 406, 0, "the offer has no codec that is carried here");
        return;
    }
    whep_session_open(w, x, stream, offer);
}

static void on_get(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply(x, http_method(x) == HTTP_M_HEAD ? 200 : 204, NULL, NULL, 0);
}

/* ---- PATCH, DELETE on a session ---------------------------------------------------------------------------------- */

static void restart(struct whep_session *s, struct http_exchange *x, const struct sdp_fragment *f)
{
    char text[4096], etag[WHEP_ID_CAP];

    if (rtc_transport_restart_ice(rtc_viewer_transport(s->viewer), f->ice_ufrag, f->ice_pwd) < 0) {
        http_problem(x, 400, "%s", sdp_error_text(SDP_ERR_ICE));
        return;
    }
    s->generation++;
    s->remote_ufrag = hash_code(f->ice_ufrag, strlen(f->ice_ufrag));
    int len = whep_restart_write(text, sizeof(text), s);
    if (len < 0) {
        http_problem(x, 500, "%s", sdp_error_text(len));
        return;
    }
    whep_session_etag(s, etag);
    http_reply_header(x, "ETag", etag);
    http_reply(x, 200, TYPE_FRAGMENT, text, (size_t)len);
}

/* RFC 9725 s4.3.1: If-Match names the ICE session that the fragment is about; "*" with other credentials starts anew. As the
 * client is the one that checks, its candidates tell us nothing. */
static void patch(struct whep *w, struct whep_session *s, struct http_exchange *x)
{
    const char *match = http_header(x, "If-Match");
    struct sdp_fragment *f;
    char etag[WHEP_ID_CAP];
    size_t len;
    const uint8_t *body = http_body(x, &len);

    if (!has_type(x, TYPE_FRAGMENT)) {
        refuse_request(w, x, 415, "the body must be " TYPE_FRAGMENT);
        return;
    }
    if (!match) {
        http_problem(x, 428, "If-Match is required");
        return;
    }
    whep_session_etag(s, etag);
    bool any = strcmp(match, "*") == 0;
    if (!any && strcmp(match, etag) != 0) {
        http_problem(x, 412, "If-Match is not the ETag of the present ICE session");
        return;
    }
    f = malloc(sizeof(*f));
    int err = f ? sdp_fragment_parse(f, (const char *)body, len) : SDP_ERR_ROOM;
    if (err != SDP_OK)
        refuse_request(w, x, sdp_http_status(err), sdp_error_text(err));
    else if (any && f->has_credentials && hash_code(f->ice_ufrag, strlen(f->ice_ufrag)) != s->remote_ufrag)
        restart(s, x, f);
    else
        http_reply(x, 204, NULL, NULL, 0);
    free(f);
}

/* Splits "<worker>-<token>"; NULL when it is not of that form. */
static const char *session_token(const char *id, unsigned *index)
{
    char *end;
    unsigned long n = id[0] >= '0' && id[0] <= '9' ? strtoul(id, &end, 10) : WORKER_MAIN;

    if (n >= WORKER_MAIN || *end != '-' || end - id > 5)
        return NULL;
    *index = (unsigned)n;
    return end + 1;
}

void whep_on_session(struct whep *w, struct http_exchange *x)
{
    unsigned index;
    const char *token = session_token(http_path(x) + strlen(SESSION), &index);

    if (token && index != w->cfg.index && w->cfg.forward && w->cfg.forward(w->cfg.arg, x, index))
        return;
    struct whep_session *s = token && index == w->cfg.index ? whep_session_find(w, token) : NULL;
    if (!s) {
        http_problem(x, 404, "no such session");
    } else if (http_method(x) == HTTP_M_PATCH) {
        patch(w, s, x);
    } else {
        w->counters.deleted++;
        whep_session_destroy(s);
        http_reply(x, 200, NULL, NULL, 0);
    }
}

static void on_session(struct http_exchange *x, void *arg)
{
    whep_on_session(arg, x);
}

/* ---- life ----------------------------------------------------------------------------------------------------------- */

int whep_open(struct whep **out, const struct whep_cfg *cfg)
{
    static const struct http_cors endpoint = {
        .methods = "POST, GET, HEAD, OPTIONS",
        .headers = "Authorization, Content-Type",
        .expose = "Location, ETag, Link, Retry-After",
        .accept_post = TYPE_SDP,
    };
    static const struct http_cors session = {
        .methods = "PATCH, DELETE, OPTIONS",
        .headers = "Authorization, Content-Type, If-Match",
        .expose = "ETag, Link",
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
    http_route(cfg->http, HTTP_M_POST, ENDPOINT "*", on_post, w);
    http_route(cfg->http, HTTP_M_GET, ENDPOINT "*", on_get, w);
    http_route(cfg->http, HTTP_M_PATCH, SESSION "*", on_session, w);
    http_route(cfg->http, HTTP_M_DELETE, SESSION "*", on_session, w);
    http_cors_route(cfg->http, ENDPOINT "*", &endpoint);
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
            whep_refuse(s->x, 503, 1, "this node is stopping");
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
