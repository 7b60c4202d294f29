/* SPDX-License-Identifier: Apache-2.0
 * sdp_answer.c - the answer: ICE-lite, one transport, all candidates inside (RFC 9725 s4.2 to s4.4). */
#include "webrtc/sdp.h"

#include <gst/sdp/gstsdpmessage.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum dtls_role sdp_answer_role(const struct sdp_offer *o)
{
    return o->setup == SDP_SETUP_PASSIVE ? DTLS_ACTIVE : DTLS_PASSIVE;
}

void sdp_answer_init(struct sdp_answer *a, const struct sdp_offer *offer)
{
    memset(a, 0, sizeof(*a));
    a->offer = offer;
    a->role = sdp_answer_role(offer);
}

/* ---- Attributes -------------------------------------------------------------------------------- */

enum { VALUE_CAP = 640 /* bytes; the longest are fmtp and extmap lines */ };

PRINTF_LIKE(3, 4) static void add(GstSDPMedia *media, const char *key, const char *fmt, ...)
{
    char value[VALUE_CAP];
    va_list args;

    va_start(args, fmt);
    vsnprintf(value, sizeof(value), fmt, args);
    va_end(args);
    gst_sdp_media_add_attribute(media, key, value);
}

static void flag(GstSDPMedia *media, const char *key)
{
    gst_sdp_media_add_attribute(media, key, NULL);
}

static const char *direction_name(enum sdp_direction d)
{
    static const char *const names[] = {"sendrecv", "sendonly", "recvonly", "inactive"};

    return names[d];
}

enum {
    CANDIDATE_CAP = 128,
    TYPE_HOST = 126, /* RFC 8445 s5.1.2.2 */
    TYPE_TCP = 90,   /* less than any of UDP: RFC 6544 s4.2 */
    TCP_PASSIVE = 4, /* s4.2: direction-pref of a host's passive candidate */
};

/* RFC 8445 s5.1.2.1: the first with the greatest local preference; of TCP its upper three bits are the direction. */
static unsigned priority(size_t index, bool tcp)
{
    unsigned type = tcp ? TYPE_TCP : TYPE_HOST;
    unsigned local = tcp ? (TCP_PASSIVE << 13) + (8191u - (unsigned)index) : 65535u - (unsigned)index;

    return type << 24 | local << 8 | 255u;
}

static size_t n_candidates(const struct sdp_answer *a)
{
    return a->n_candidates + a->n_tcp_candidates;
}

/* The value of an a=candidate line, those of UDP first (RFC 8839 s5.1, RFC 6544 s4.5). */
static const char *print_candidate(char out[CANDIDATE_CAP], const struct sdp_answer *a, size_t i)
{
    bool tcp = i >= a->n_candidates;
    size_t index = tcp ? i - a->n_candidates : i;
    const struct addr *at = tcp ? &a->tcp_candidates[index] : &a->candidates[index];
    char host[ADDR_TEXT_CAP];

    snprintf(out, CANDIDATE_CAP, "%zu 1 %s %u %s %u typ host%s", i + 1, tcp ? "tcp" : "udp", priority(index, tcp),
             addr_print_host(at, host), addr_port(at), tcp ? " tcptype passive" : "");
    return out;
}

static void add_candidates(GstSDPMedia *media, const struct sdp_answer *a)
{
    char value[CANDIDATE_CAP];

    for (size_t i = 0; i < n_candidates(a); i++)
        add(media, "candidate", "%s", print_candidate(value, a, i));
    flag(media, "end-of-candidates");
}

static void add_feedback(GstSDPMedia *media, uint8_t pt, uint8_t mask)
{
    static const struct {
        enum sdp_feedback bit;
        const char *text;
    } table[] = {{SDP_FB_REMB, "goog-remb"},
                 {SDP_FB_TRANSPORT_CC, "transport-cc"},
                 {SDP_FB_CCM_FIR, "ccm fir"},
                 {SDP_FB_NACK, "nack"},
                 {SDP_FB_NACK_PLI, "nack pli"}};

    for (size_t i = 0; i < LEN(table); i++)
        if (mask & table[i].bit)
            add(media, "rtcp-fb", "%u %s", pt, table[i].text);
}

/* The parameters of the offer come back as they were: what RFC 6184 s8.2.2 wants of H.264, and our wish as
 * receiver of Opus is whatever the sender offers. */
static void add_codec(GstSDPMedia *media, const struct sdp_codec *c, const struct sdp_answer_media *m)
{
    if (c->channels > 1)
        add(media, "rtpmap", "%u %s/%u/%u", c->pt, codec_name(c->codec), c->clock_hz, c->channels);
    else
        add(media, "rtpmap", "%u %s/%u", c->pt, codec_name(c->codec), c->clock_hz);
    add_feedback(media, c->pt, c->feedback & m->feedback);
    if (m->start_kbps)
        add(media, "fmtp", "%u %s%sx-google-start-bitrate=%u", c->pt, c->fmtp, c->fmtp[0] ? ";" : "", m->start_kbps);
    else if (c->fmtp[0])
        add(media, "fmtp", "%u %s", c->pt, c->fmtp);
    if (m->red && c->red_pt) {
        add(media, "rtpmap", "%u red/%u/%u", c->red_pt, c->clock_hz, c->channels);
        add(media, "fmtp", "%u %u/%u", c->red_pt, c->pt, c->pt);
    }
    if (m->rtx && c->rtx_pt) {
        add(media, "rtpmap", "%u rtx/%u", c->rtx_pt, c->clock_hz);
        add(media, "fmtp", "%u apt=%u", c->rtx_pt, c->pt);
    }
}

static void add_format(GstSDPMedia *media, uint8_t pt)
{
    char text[8];

    snprintf(text, sizeof(text), "%u", pt);
    gst_sdp_media_add_format(media, text);
}

static void add_formats(GstSDPMedia *media, const struct sdp_answer_media *m)
{
    for (size_t i = 0; i < m->n_codecs; i++) {
        const struct sdp_codec *c = m->codecs[i];
        bool red = m->red && c->red_pt;

        if (red && c->red_first)
            add_format(media, c->red_pt);
        add_format(media, c->pt);
        if (red && !c->red_first)
            add_format(media, c->red_pt);
        if (m->rtx && c->rtx_pt)
            add_format(media, c->rtx_pt);
    }
}

static void add_extensions(GstSDPMedia *media, const struct sdp_media *offer, uint32_t mask)
{
    for (size_t i = 0; i < offer->n_extmaps; i++)
        if (mask >> offer->extmaps[i].kind & 1)
            add(media, "extmap", "%u %s", offer->extmaps[i].id, rtp_ext_uri(offer->extmaps[i].kind));
}

/* RFC 8853 s5.3.2: what is offered to be sent is answered with recv, streams in their order. */
static void add_simulcast(GstSDPMedia *media, const struct sdp_media *offer)
{
    char list[SDP_RIDS_MAX * (RID_MAX + 1) + 1] = "";

    for (size_t i = 0; i < offer->n_rids; i++) {
        add(media, "rid", "%s recv", offer->rids[i]);
        strcat(list, i ? ";" : "");
        strcat(list, offer->rids[i]);
    }
    if (offer->n_rids)
        add(media, "simulcast", "recv %s", list);
}

static void add_source(GstSDPMedia *media, uint32_t ssrc, const struct sdp_answer_media *m)
{
    add(media, "ssrc", "%" PRIu32 " cname:%s", ssrc, m->cname);
    if (m->msid_stream)
        add(media, "ssrc", "%" PRIu32 " msid:%s %s", ssrc, m->msid_stream, m->msid_track);
}

static void add_sources(GstSDPMedia *media, const struct sdp_answer_media *m)
{
    if (m->msid_stream)
        add(media, "msid", "%s %s", m->msid_stream, m->msid_track);
    if (!m->ssrc)
        return;
    if (m->rtx_ssrc)
        add(media, "ssrc-group", "FID %" PRIu32 " %" PRIu32, m->ssrc, m->rtx_ssrc);
    add_source(media, m->ssrc, m);
    if (m->rtx_ssrc)
        add_source(media, m->rtx_ssrc, m);
}

static void add_transport(GstSDPMedia *media, const struct sdp_answer *a)
{
    add(media, "ice-ufrag", "%s", a->ice_ufrag);
    add(media, "ice-pwd", "%s", a->ice_pwd);
    add(media, "fingerprint", "%s", a->fingerprint);
    add(media, "setup", a->role == DTLS_ACTIVE ? "active" : "passive");
}

/* ---- Sections and session ---------------------------------------------------------------------- */

static void add_mid(GstSDPMedia *media, const struct sdp_media *offer)
{
    if (offer->mid[0])
        add(media, "mid", "%s", offer->mid);
}

static void fill_data(GstSDPMedia *media, const struct sdp_answer *a, size_t i, bool first)
{
    const struct sdp_answer_media *m = &a->media[i];

    gst_sdp_media_add_format(media, a->offer->media[i].fmt);
    gst_sdp_media_add_connection(media, "IN", "IP4", "0.0.0.0", 0, 0);
    add_transport(media, a);
    add_mid(media, &a->offer->media[i]);
    add(media, "sctp-port", "%u", m->sctp_port);
    add(media, "max-message-size", "%u", m->message_max);
    if (first)
        add_candidates(media, a);
}

static void fill_accepted(GstSDPMedia *media, const struct sdp_answer *a, size_t i, bool first)
{
    const struct sdp_media *offer = &a->offer->media[i];
    const struct sdp_answer_media *m = &a->media[i];

    add_formats(media, m);
    gst_sdp_media_add_connection(media, "IN", "IP4", "0.0.0.0", 0, 0);
    add_transport(media, a);
    add_mid(media, offer);
    flag(media, direction_name(m->direction));
    flag(media, "rtcp-mux");
    if (offer->rtcp_rsize)
        flag(media, "rtcp-rsize");
    if (offer->extmap_allow_mixed)
        flag(media, "extmap-allow-mixed");
    add_extensions(media, offer, m->extensions);
    for (size_t c = 0; c < m->n_codecs; c++)
        add_codec(media, m->codecs[c], m);
    if (m->simulcast)
        add_simulcast(media, offer);
    add_sources(media, m);
    if (first)
        add_candidates(media, a);
}

static void add_section(GstSDPMessage *msg, const struct sdp_answer *a, size_t i, bool first)
{
    const struct sdp_media *offer = &a->offer->media[i];
    GstSDPMedia *media;

    gst_sdp_media_new(&media);
    gst_sdp_media_set_media(media, offer->media);
    gst_sdp_media_set_proto(media, offer->proto);
    gst_sdp_media_set_port_info(media, a->media[i].accepted ? 9 : 0, 1);
    if (a->media[i].accepted && a->media[i].sctp_port) {
        fill_data(media, a, i, first);
    } else if (a->media[i].accepted) {
        fill_accepted(media, a, i, first);
    } else {
        gst_sdp_media_add_format(media, offer->fmt);
        gst_sdp_media_add_connection(media, "IN", "IP4", "0.0.0.0", 0, 0);
        add_mid(media, offer);
        flag(media, "inactive");
    }
    gst_sdp_message_add_media(msg, media);
    gst_sdp_media_free(media);
}

static void add_bundle(GstSDPMessage *msg, const struct sdp_answer *a)
{
    char group[SDP_MEDIA_MAX * (SDP_TOKEN_MAX + 1) + 8] = "BUNDLE";
    bool any = false;

    for (size_t i = 0; i < a->offer->n_media; i++) {
        if (!a->media[i].accepted || !a->offer->media[i].bundled)
            continue;
        strcat(group, " ");
        strcat(group, a->offer->media[i].mid);
        any = true;
    }
    if (any)
        gst_sdp_message_add_attribute(msg, "group", group);
}

static int copy_out(char *dst, size_t cap, GstSDPMessage *msg)
{
    char *text = gst_sdp_message_as_text(msg);
    size_t len = strlen(text);

    if (len < cap)
        memcpy(dst, text, len + 1);
    g_free(text);
    gst_sdp_message_free(msg);
    return len < cap ? (int)len : SDP_ERR_ROOM;
}

int sdp_answer_write(char *dst, size_t cap, const struct sdp_answer *a)
{
    GstSDPMessage *msg;
    char id[24], version[24];
    bool first = true;

    snprintf(id, sizeof(id), "%" PRIu64, a->session_id);
    snprintf(version, sizeof(version), "%" PRIu64, a->version);
    gst_sdp_message_new(&msg);
    gst_sdp_message_set_version(msg, "0");
    gst_sdp_message_set_origin(msg, "-", id, version, "IN", "IP4", "127.0.0.1");
    gst_sdp_message_set_session_name(msg, "-");
    gst_sdp_message_add_time(msg, "0", "0", NULL);
    gst_sdp_message_add_attribute(msg, "ice-lite", NULL);
    if (a->offer->ice_trickle)
        gst_sdp_message_add_attribute(msg, "ice-options", "trickle");
    add_bundle(msg, a);
    gst_sdp_message_add_attribute(msg, "msid-semantic", " WMS *");
    for (size_t i = 0; i < a->offer->n_media; i++) {
        add_section(msg, a, i, first);
        first = first && !a->media[i].accepted;
    }
    return copy_out(dst, cap, msg);
}

/* ---- The answer to an ICE restart (RFC 8840 s9, RFC 9725 s4.3.3) ------------------------------- */

struct text {
    char *p, *end;
    bool bad; /* a line did not fit */
};

PRINTF_LIKE(2, 3) static void line(struct text *t, const char *fmt, ...)
{
    va_list args;
    size_t cap = (size_t)(t->end - t->p);

    if (t->bad)
        return;
    va_start(args, fmt);
    int n = vsnprintf(t->p, cap, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n + 2 >= cap) {
        t->bad = true;
        return;
    }
    memcpy(t->p + n, "\r\n", 3);
    t->p += n + 2;
}

int sdp_fragment_write(char *dst, size_t cap, const struct sdp_answer *a)
{
    struct text t = {dst, dst + cap, false};
    char value[CANDIDATE_CAP];
    size_t i = 0;

    while (i < a->offer->n_media && !a->media[i].accepted)
        i++;
    if (i == a->offer->n_media)
        return SDP_ERR_MEDIA;
    line(&t, "a=ice-lite");
    line(&t, "m=%s 9 %s %s", a->offer->media[i].media, a->offer->media[i].proto, a->offer->media[i].fmt);
    if (a->offer->media[i].mid[0])
        line(&t, "a=mid:%s", a->offer->media[i].mid);
    line(&t, "a=ice-ufrag:%s", a->ice_ufrag);
    line(&t, "a=ice-pwd:%s", a->ice_pwd);
    for (size_t c = 0; c < n_candidates(a); c++)
        line(&t, "a=candidate:%s", print_candidate(value, a, c));
    line(&t, "a=end-of-candidates");
    return t.bad ? SDP_ERR_ROOM : (int)(t.p - dst);
}
