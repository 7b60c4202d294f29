/* SPDX-License-Identifier: Apache-2.0
 * sdp_parse.c - a whole description or trickle fragment: what is checked before gstsdp sees it, and the
 * session level. */
#include "sdp_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* ---- Words ------------------------------------------------------------------------------------- */

struct word sdp_word(const char **at, const char *separators)
{
    const char *p = *at + strspn(*at, separators);
    struct word w = {p, strcspn(p, separators)};

    *at = p + w.len;
    return w;
}

bool sdp_word_is(struct word w, const char *text)
{
    return w.len == strlen(text) && strncasecmp(w.p, text, w.len) == 0;
}

bool sdp_word_number(struct word w, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    if (w.len == 0 || w.len > 19)
        return false;
    for (size_t i = 0; i < w.len; i++) {
        if (w.p[i] < '0' || w.p[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(w.p[i] - '0');
    }
    *out = n;
    return n <= max;
}

bool sdp_word_copy(char *dst, size_t cap, struct word w)
{
    if (w.len >= cap)
        return false;
    memcpy(dst, w.p, w.len);
    dst[w.len] = '\0';
    return true;
}

/* ---- Attributes of both levels ----------------------------------------------------------------- */

static int read_setup(struct sdp_shared *s, const char *value)
{
    struct word w = sdp_word(&value, " ");

    s->setup = sdp_word_is(w, "actpass")   ? SDP_SETUP_ACTPASS
               : sdp_word_is(w, "active")  ? SDP_SETUP_ACTIVE
               : sdp_word_is(w, "passive") ? SDP_SETUP_PASSIVE
                                           : SDP_SETUP_NONE;
    return s->setup ? SDP_OK : SDP_ERR_SETUP;
}

/* The longest digest of those given. One with a hash that we do not know is passed over (RFC 8122 s5). */
static void read_fingerprint(struct sdp_shared *s, const char *value)
{
    struct fingerprint f;

    if (fingerprint_parse(&f, value) == 0 && f.len >= s->fingerprint.len)
        s->fingerprint = f;
}

int sdp_shared_attribute(struct sdp_shared *s, const GstSDPAttribute *a)
{
    if (strcmp(a->key, "ice-ufrag") == 0)
        s->ufrag = sdp_value(a);
    else if (strcmp(a->key, "ice-pwd") == 0)
        s->pwd = sdp_value(a);
    else if (strcmp(a->key, "fingerprint") == 0)
        read_fingerprint(s, sdp_value(a));
    else if (strcmp(a->key, "setup") == 0)
        return read_setup(s, sdp_value(a));
    else if (strcmp(a->key, "extmap-allow-mixed") == 0)
        s->extmap_allow_mixed = true;
    else if (strcmp(a->key, "sendrecv") == 0)
        s->direction = SDP_SENDRECV;
    else if (strcmp(a->key, "sendonly") == 0)
        s->direction = SDP_SENDONLY;
    else if (strcmp(a->key, "recvonly") == 0)
        s->direction = SDP_RECVONLY;
    else if (strcmp(a->key, "inactive") == 0)
        s->direction = SDP_INACTIVE;
    return SDP_OK;
}

/* RFC 8839 s5.1: foundation component transport priority address port "typ" type ... */
static int read_candidate(const struct sdp_candidates *c, const char *value)
{
    struct word foundation = sdp_word(&value, " "), component = sdp_word(&value, " ");
    struct word transport = sdp_word(&value, " "), priority = sdp_word(&value, " ");
    struct word host = sdp_word(&value, " "), port_word = sdp_word(&value, " ");
    struct word typ = sdp_word(&value, " "), type = sdp_word(&value, " ");
    uint64_t component_id, number, port;
    char host_text[ADDR_TEXT_CAP], text[ADDR_TEXT_CAP + 16];
    struct addr a;

    if (!foundation.len || !sdp_word_number(component, 256, &component_id) || !transport.len ||
        !sdp_word_number(priority, UINT32_MAX, &number) || !host.len ||
        !sdp_word_number(port_word, 65535, &port) || !sdp_word_is(typ, "typ") || !type.len)
        return SDP_ERR_CANDIDATE;
    bool fits = component_id == 1 && sdp_word_is(transport, "udp") &&
                sdp_word_copy(host_text, sizeof(host_text), host);
    if (fits)
        snprintf(text, sizeof(text), strchr(host_text, ':') ? "[%s]:%u" : "%s:%u", host_text, (unsigned)port);
    if (!fits || *c->n == SDP_CANDIDATES_MAX || addr_parse(&a, text)) {
        (*c->n_ignored)++; /* an mDNS name, TCP, or more than we can use */
        return SDP_OK;
    }
    c->v[(*c->n)++] = a;
    return SDP_OK;
}

int sdp_candidate_attribute(const struct sdp_candidates *c, const GstSDPAttribute *a)
{
    if (strcmp(a->key, "candidate") == 0)
        return read_candidate(c, sdp_value(a));
    if (strcmp(a->key, "end-of-candidates") == 0)
        *c->end = true;
    return SDP_OK;
}

/* ---- Before gstsdp sees it --------------------------------------------------------------------- */

/* Every line is "x=..." and of a sane length, and sections are as few as we can use: gstsdp makes much of each. Empty lines are passed
 * over, as most parsers do. */
static int check_lines(const char *text)
{
    size_t sections = 0;

    for (const char *line = text; *line;) {
        size_t len = strcspn(line, "\r\n");

        if (len > SDP_LINE_MAX)
            return SDP_ERR_SIZE;
        sections += line[0] == 'm';
        if (sections > SDP_MEDIA_MAX)
            return SDP_ERR_MEDIA;
        if (len > 0 && (len < 2 || line[0] < 'a' || line[0] > 'z' || line[1] != '='))
            return SDP_ERR_SYNTAX;
        line += len;
        line += strspn(line, "\r\n");
    }
    return SDP_OK;
}

static int check_text(const char *text, size_t len)
{
    if (len == 0 || len > SDP_BYTES_MAX)
        return SDP_ERR_SIZE;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];

        if ((c < 0x20 && c != '\r' && c != '\n' && c != '\t') || c == 0x7f)
            return SDP_ERR_TEXT;
    }
    return SDP_OK;
}

/* gstsdp wants a NUL at the end and does not look at the length it is given. */
static int parse_text(GstSDPMessage **out, const char *text, size_t len)
{
    int err = check_text(text, len);
    if (err)
        return err;
    char *copy = malloc(len + 1);
    if (!copy)
        return SDP_ERR_SIZE;
    memcpy(copy, text, len);
    copy[len] = '\0';
    err = check_lines(copy);
    if (!err) {
        gst_sdp_message_new(out);
        if (gst_sdp_message_parse_buffer((const guint8 *)copy, (guint)len, *out) != GST_SDP_OK) {
            gst_sdp_message_free(*out);
            err = SDP_ERR_SYNTAX;
        }
    }
    free(copy);
    return err;
}

/* ---- The session level ------------------------------------------------------------------------- */

/* Separated by spaces, says RFC 8839; libdatachannel puts a comma. */
static void read_ice_options(struct sdp_offer *o, const char *value)
{
    for (struct word w = sdp_word(&value, " ,"); w.len; w = sdp_word(&value, " ,")) {
        o->ice_trickle = o->ice_trickle || sdp_word_is(w, "trickle");
        o->ice_renomination = o->ice_renomination || sdp_word_is(w, "renomination");
    }
}

static int read_session(struct sdp_offer *o, const GstSDPMessage *msg, struct sdp_shared *shared,
                        const struct sdp_candidates *candidates)
{
    for (guint i = 0; i < gst_sdp_message_attributes_len(msg); i++) {
        const GstSDPAttribute *a = gst_sdp_message_get_attribute(msg, i);
        int err = sdp_shared_attribute(shared, a);

        if (!err)
            err = sdp_candidate_attribute(candidates, a);
        if (err)
            return err;
        if (strcmp(a->key, "ice-lite") == 0)
            o->ice_lite = true;
        else if (strcmp(a->key, "ice-options") == 0)
            read_ice_options(o, sdp_value(a));
    }
    return SDP_OK;
}

static struct sdp_media *find_mid(struct sdp_offer *o, struct word mid)
{
    for (size_t i = 0; i < o->n_media; i++)
        if (strlen(o->media[i].mid) == mid.len && memcmp(o->media[i].mid, mid.p, mid.len) == 0)
            return &o->media[i];
    return NULL;
}

/* RFC 9143 s7: which sections share one transport. The first such group counts. */
static int read_bundle(struct sdp_offer *o, const GstSDPMessage *msg)
{
    for (guint i = 0; i < gst_sdp_message_attributes_len(msg) && !o->has_bundle; i++) {
        const GstSDPAttribute *a = gst_sdp_message_get_attribute(msg, i);
        const char *value = sdp_value(a);

        if (strcmp(a->key, "group") != 0 || !sdp_word_is(sdp_word(&value, " "), "BUNDLE"))
            continue;
        o->has_bundle = true;
        for (struct word w = sdp_word(&value, " "); w.len; w = sdp_word(&value, " ")) {
            struct sdp_media *m = find_mid(o, w);
            if (!m)
                return SDP_ERR_MID;
            m->bundled = true;
        }
    }
    return SDP_OK;
}

static int read_media_candidates(const struct sdp_candidates *c, const GstSDPMedia *media)
{
    for (guint i = 0; i < gst_sdp_media_attributes_len(media); i++) {
        int err = sdp_candidate_attribute(c, gst_sdp_media_get_attribute(media, i));
        if (err)
            return err;
    }
    return SDP_OK;
}

/* The transport is that of the first section in use; with BUNDLE the others say the same. */
static int take_transport(struct sdp_offer *o, const struct sdp_shared *s)
{
    size_t ufrag_len = s->ufrag ? strlen(s->ufrag) : 0, pwd_len = s->pwd ? strlen(s->pwd) : 0;

    if (ufrag_len < 4 || ufrag_len > ICE_CREDENTIAL_MAX || pwd_len < 22 || pwd_len > ICE_CREDENTIAL_MAX)
        return SDP_ERR_ICE; /* RFC 8839 s5.4 */
    if (s->fingerprint.len == 0)
        return SDP_ERR_FINGERPRINT;
    if (s->setup == SDP_SETUP_NONE)
        return SDP_ERR_SETUP;
    memcpy(o->ice_ufrag, s->ufrag, ufrag_len + 1);
    memcpy(o->ice_pwd, s->pwd, pwd_len + 1);
    o->fingerprint = s->fingerprint;
    o->setup = s->setup;
    return SDP_OK;
}

static int read_media(struct sdp_offer *o, const GstSDPMessage *msg, const struct sdp_shared *session,
                      const struct sdp_candidates *candidates)
{
    guint n = gst_sdp_message_medias_len(msg);

    if (n == 0 || n > SDP_MEDIA_MAX)
        return SDP_ERR_MEDIA;
    for (guint i = 0; i < n; i++) {
        const GstSDPMedia *media = gst_sdp_message_get_media(msg, i);
        struct sdp_shared shared = *session;
        struct sdp_media *m = &o->media[i];
        int err = sdp_media_parse(m, media, &shared);

        if (!err && m->mid[0] && find_mid(o, (struct word){m->mid, strlen(m->mid)}))
            err = SDP_ERR_MID;
        if (!err)
            err = read_media_candidates(candidates, media);
        if (!err && !m->rejected && !o->ice_ufrag[0])
            err = take_transport(o, &shared);
        if (err)
            return err;
        const char *options = gst_sdp_media_get_attribute_val(media, "ice-options");
        if (options)
            read_ice_options(o, options);
        o->n_media++;
    }
    return SDP_OK;
}

static int read_message(struct sdp_offer *o, const GstSDPMessage *msg)
{
    struct sdp_shared session = {0};
    struct sdp_candidates candidates = {o->candidates, &o->n_candidates, &o->n_candidates_ignored,
                                        &o->end_of_candidates};
    int err = read_session(o, msg, &session, &candidates);

    if (!err)
        err = read_media(o, msg, &session, &candidates);
    return err ? err : read_bundle(o, msg);
}

/* gstsdp takes lines in any order and number: these are the ones without which it is no description. */
static bool has_frame(const GstSDPMessage *msg)
{
    const GstSDPOrigin *origin = gst_sdp_message_get_origin(msg);

    return msg->version && strcmp(msg->version, "0") == 0 && origin && origin->sess_id &&
           origin->sess_id[0] && origin->addr && origin->addr[0];
}

int sdp_offer_parse(struct sdp_offer *out, const char *text, size_t len)
{
    GstSDPMessage *msg;
    int err = parse_text(&msg, text, len);
    if (err)
        return err;
    memset(out, 0, sizeof(*out));
    err = has_frame(msg) ? read_message(out, msg) : SDP_ERR_SYNTAX;
    gst_sdp_message_free(msg);
    return err;
}

/* ---- Trickle fragments (RFC 8840 s9) ----------------------------------------------------------- */

static int take_credentials(struct sdp_fragment *f, const struct sdp_shared *s)
{
    if (!s->ufrag && !s->pwd)
        return SDP_OK;
    if (!s->ufrag || !s->pwd || strlen(s->ufrag) < 4 || strlen(s->pwd) < 22 ||
        strlen(s->ufrag) > ICE_CREDENTIAL_MAX || strlen(s->pwd) > ICE_CREDENTIAL_MAX)
        return SDP_ERR_ICE;
    f->has_credentials = true;
    memcpy(f->ice_ufrag, s->ufrag, strlen(s->ufrag) + 1);
    memcpy(f->ice_pwd, s->pwd, strlen(s->pwd) + 1);
    return SDP_OK;
}

static int read_fragment_attribute(struct sdp_shared *s, const struct sdp_candidates *c,
                                   const GstSDPAttribute *a)
{
    int err = sdp_shared_attribute(s, a);
    return err ? err : sdp_candidate_attribute(c, a);
}

static int read_fragment(struct sdp_fragment *f, const GstSDPMessage *msg)
{
    struct sdp_shared shared = {0};
    struct sdp_candidates c = {f->candidates, &f->n_candidates, &f->n_candidates_ignored,
                               &f->end_of_candidates};
    int err = SDP_OK;

    for (guint i = 0; !err && i < gst_sdp_message_attributes_len(msg); i++)
        err = read_fragment_attribute(&shared, &c, gst_sdp_message_get_attribute(msg, i));
    for (guint m = 0; !err && m < gst_sdp_message_medias_len(msg); m++) {
        const GstSDPMedia *media = gst_sdp_message_get_media(msg, m);

        for (guint i = 0; !err && i < gst_sdp_media_attributes_len(media); i++)
            err = read_fragment_attribute(&shared, &c, gst_sdp_media_get_attribute(media, i));
    }
    return err ? err : take_credentials(f, &shared);
}

int sdp_fragment_parse(struct sdp_fragment *out, const char *text, size_t len)
{
    GstSDPMessage *msg;
    int err = parse_text(&msg, text, len);
    if (err)
        return err;
    memset(out, 0, sizeof(*out));
    err = read_fragment(out, msg);
    gst_sdp_message_free(msg);
    return err;
}
