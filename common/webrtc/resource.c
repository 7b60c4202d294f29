/* SPDX-License-Identifier: Apache-2.0 */
#include "webrtc/resource.h"

#include "base/hash.h"
#include "base/random.h"
#include "webrtc/endpoint.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FRAGMENT_CAP = 4096, RETRY_MIN_S = 1, RETRY_SPREAD_S = 3 };

/* ---- The id ------------------------------------------------------------------------------------ */

static uint64_t ufrag_code(const char *ufrag)
{
    return hash_code(ufrag, strlen(ufrag));
}

void rtc_resource_init(struct rtc_resource *r, unsigned worker_index, const struct sdp_offer *offer)
{
    *r = (struct rtc_resource){.remote_ufrag = ufrag_code(offer->ice_ufrag)};
    r->token_at = (size_t)snprintf(r->id, sizeof(r->id), "%u-", worker_index);
    random_token(r->id + r->token_at, RTC_TOKEN_BYTES);
}

void rtc_resource_set_remote(struct rtc_resource *r, const char *ufrag)
{
    r->remote_ufrag = ufrag_code(ufrag);
}

const char *rtc_resource_shown(const struct rtc_resource *r, char out[RTC_ID_CAP])
{
    snprintf(out, RTC_ID_CAP, "%.*s", (int)(r->token_at + RTC_TOKEN_SHOWN), r->id);
    return out;
}

const char *rtc_resource_split(const char *id, unsigned *worker_index)
{
    char *end;
    unsigned long n = id[0] >= '0' && id[0] <= '9' ? strtoul(id, &end, 10) : WORKER_MAIN;

    if (n >= WORKER_MAIN || *end != '-' || end - id > 5)
        return NULL;
    *worker_index = (unsigned)n;
    return end + 1;
}

static void write_etag(const struct rtc_resource *r, char out[RTC_ID_CAP])
{
    snprintf(out, RTC_ID_CAP, "\"%.*s-%u\"", RTC_TOKEN_SHOWN, rtc_resource_token(r), r->generation);
}

/* ---- The answer -------------------------------------------------------------------------------- */

static void fill_transport(const struct rtc_resource *r, struct rtc_transport *t, struct sdp_answer *a)
{
    struct rtc_endpoint *e = rtc_transport_endpoint(t);

    a->session_id = hash_code(r->id, strlen(r->id)) >> 2;
    a->version = r->generation;
    a->ice_ufrag = rtc_transport_ufrag(t);
    a->ice_pwd = rtc_transport_pwd(t);
    a->fingerprint = rtc_endpoint_fingerprint(e);
    a->candidates = rtc_endpoint_candidates(e, &a->n_candidates);
    a->tcp_candidates = rtc_endpoint_tcp_candidates(e, &a->n_tcp_candidates);
}

void rtc_resource_answer(struct rtc_resource *r, struct rtc_transport *t, struct sdp_answer *a)
{
    size_t first = 0;

    fill_transport(r, t, a);
    while (first + 1 < a->offer->n_media && !a->media[first].accepted)
        first++;
    r->kind = a->offer->media[first].kind;
    memcpy(r->mid, a->offer->media[first].mid, sizeof(r->mid));
}

static void reply_session(const struct rtc_resource *r, struct http_exchange *x, int status, const char *prefix,
                          const char *link, const char *sdp, size_t len)
{
    char location[32 + RTC_ID_CAP], etag[RTC_ID_CAP];

    snprintf(location, sizeof(location), "%s%s", prefix, r->id);
    write_etag(r, etag);
    http_reply_header(x, "Location", location);
    http_reply_header(x, "ETag", etag);
    if (link)
        http_reply_header(x, "Link", link);
    http_reply(x, status, RTC_TYPE_SDP, sdp, len);
}

void rtc_resource_created(const struct rtc_resource *r, struct http_exchange *x, const char *prefix,
                          const char *link, const char *answer, size_t len)
{
    reply_session(r, x, 201, prefix, link, answer, len);
}

void rtc_resource_offered(const struct rtc_resource *r, struct http_exchange *x, const char *prefix, const char *link,
                          const char *offer, size_t len)
{
    reply_session(r, x, 406, prefix, link, offer, len);
}

/* ---- PATCH ------------------------------------------------------------------------------------- */

/* Bytes or a negative error. What a fragment repeats of the offer is one section's line. */
static int write_restart(const struct rtc_resource *r, struct rtc_transport *t, char *dst, size_t cap)
{
    struct sdp_offer *o = calloc(1, sizeof(*o));
    struct sdp_answer a;

    if (!o)
        return SDP_ERR_ROOM;
    o->n_media = 1;
    o->media[0].kind = r->kind;
    strcpy(o->media[0].media, r->kind == SDP_AUDIO ? "audio" : "video");
    strcpy(o->media[0].proto, "UDP/TLS/RTP/SAVPF");
    strcpy(o->media[0].fmt, "0");
    memcpy(o->media[0].mid, r->mid, sizeof(r->mid));
    sdp_answer_init(&a, o);
    fill_transport(r, t, &a);
    a.media[0].accepted = true;
    int len = sdp_fragment_write(dst, cap, &a);
    free(o);
    return len;
}

static void restart(struct rtc_resource *r, struct rtc_transport *t, struct http_exchange *x,
                    const struct sdp_fragment *f)
{
    char text[FRAGMENT_CAP], etag[RTC_ID_CAP];

    if (rtc_transport_restart_ice(t, f->ice_ufrag, f->ice_pwd) < 0) {
        http_problem(x, 400, "%s", sdp_error_text(SDP_ERR_ICE));
        return;
    }
    r->generation++;
    r->remote_ufrag = ufrag_code(f->ice_ufrag);
    int len = write_restart(r, t, text, sizeof(text));
    if (len < 0) {
        http_problem(x, 500, "%s", sdp_error_text(len));
        return;
    }
    write_etag(r, etag);
    http_reply_header(x, "ETag", etag);
    http_reply(x, 200, RTC_TYPE_FRAGMENT, text, (size_t)len);
}

static int apply_fragment(struct rtc_resource *r, struct rtc_transport *t, struct http_exchange *x, bool any)
{
    struct sdp_fragment *f = malloc(sizeof(*f));
    size_t len;
    const uint8_t *body = http_body(x, &len);
    int err = f ? sdp_fragment_parse(f, (const char *)body, len) : SDP_ERR_ROOM;

    if (err != SDP_OK)
        http_problem(x, sdp_http_status(err), "%s", sdp_error_text(err));
    else if (any && f->has_credentials && ufrag_code(f->ice_ufrag) != r->remote_ufrag)
        restart(r, t, x, f);
    else
        http_reply(x, 204, NULL, NULL,
                   0); /* as the client is the one that checks, its candidates tell nothing */
    free(f);
    return err == SDP_OK ? 0 : sdp_http_status(err);
}

/* RFC 9725 s4.3.1: If-Match names the ICE session that the fragment is about; "*" with other credentials
 * starts a new one. */
int rtc_resource_patch(struct rtc_resource *r, struct rtc_transport *t, struct http_exchange *x)
{
    const char *match = http_header(x, "If-Match");
    char etag[RTC_ID_CAP];

    if (!rtc_http_has_type(x, RTC_TYPE_FRAGMENT)) {
        http_reply_header(x, "Accept-Patch", RTC_TYPE_FRAGMENT); /* RFC 5789 s2.2 */
        http_problem(x, 415, "the body must be " RTC_TYPE_FRAGMENT);
        return 415;
    }
    if (!match) {
        http_problem(x, 428, "If-Match is required");
        return 0;
    }
    write_etag(r, etag);
    bool any = strcmp(match, "*") == 0;
    if (!any && strcmp(match, etag) != 0) {
        http_problem(x, 412, "If-Match is not the ETag of the present ICE session");
        return 0;
    }
    return apply_fragment(r, t, x, any);
}

/* ---- Small things of both servers -------------------------------------------------------------- */

bool rtc_http_has_type(const struct http_exchange *x, const char *type)
{
    const char *v = http_header(x, "Content-Type");
    size_t len = strlen(type);

    return v && strncasecmp(v, type, len) == 0 && (v[len] == '\0' || v[len] == ';' || v[len] == ' ');
}

void rtc_http_refuse(struct http_exchange *x, int status, unsigned retry_after_s, const char *detail)
{
    char seconds[16];

    if (retry_after_s) {
        snprintf(seconds, sizeof(seconds), "%u", retry_after_s);
        http_reply_header(x, "Retry-After", seconds);
    }
    http_problem(x, status, "%s", detail);
}

unsigned rtc_http_retry_s(void)
{
    return RETRY_MIN_S + random_u32() % RETRY_SPREAD_S;
}
