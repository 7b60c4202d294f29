/* SPDX-License-Identifier: Apache-2.0
 * sdp_media.c - one m-section: payload types, feedback, header extensions, sources, simulcast. */
#include "sdp_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    PT_COUNT = 128,
    /* RFC 5761 s4: with rtcp-mux these payload types look like RTCP. */
    PT_RTCP_FIRST = 64,
    PT_RTCP_LAST = 95,
    H264_PROFILE_DEFAULT = 0x42000a, /* RFC 6184 s8.1: Baseline, level 1 */
};

/* What the lines of a section say about a payload type, before it is known which of them count. */
struct payload {
    struct word name;
    uint32_t clock_hz;
    uint8_t channels, feedback, apt;
    bool defined, is_rtx, is_red, taken;
    const char *fmtp; /* parameters; NULL: none */
};

struct section {
    struct sdp_media *out;
    uint8_t feedback_all; /* a=rtcp-fb:* */
    uint32_t extmap_ids[8]; /* bitmap of 256 */
    size_t n_rids_declared;
    char rids_declared[SDP_RIDS_MAX][RID_MAX + 1];
    struct payload payloads[PT_COUNT];
};

/* ---- rtpmap, fmtp, rtcp-fb --------------------------------------------------------------------- */

static bool read_pt(struct word w, uint8_t *pt)
{
    uint64_t n;

    if (!sdp_word_number(w, PT_COUNT - 1, &n))
        return false;
    *pt = (uint8_t)n;
    return true;
}

/* a=rtpmap:111 opus/48000/2 */
static int read_rtpmap(struct section *s, const char *value)
{
    struct word pt_word = sdp_word(&value, " "), name = sdp_word(&value, " /");
    struct word clock = sdp_word(&value, "/"), channels = sdp_word(&value, "/");
    uint64_t clock_hz, n_channels = 1;
    uint8_t pt;

    if (!read_pt(pt_word, &pt) || !name.len || !sdp_word_number(clock, 1000000, &clock_hz) || clock_hz == 0)
        return SDP_ERR_RTPMAP;
    if (channels.len && !sdp_word_number(channels, 255, &n_channels))
        return SDP_ERR_RTPMAP;
    struct payload *p = &s->payloads[pt];
    if (p->defined)
        return SDP_ERR_RTPMAP;
    p->defined = true;
    p->name = name;
    p->clock_hz = (uint32_t)clock_hz;
    p->channels = (uint8_t)n_channels;
    p->is_rtx = sdp_word_is(name, "rtx");
    p->is_red = sdp_word_is(name, "red");
    return SDP_OK;
}

static int read_fmtp(struct section *s, const char *value)
{
    uint8_t pt;

    if (!read_pt(sdp_word(&value, " "), &pt))
        return SDP_ERR_RTPMAP;
    s->payloads[pt].fmtp = value + strspn(value, " ");
    return SDP_OK;
}

static uint8_t feedback_bit(struct word type, struct word parameter)
{
    if (sdp_word_is(type, "nack"))
        return !parameter.len ? SDP_FB_NACK : sdp_word_is(parameter, "pli") ? SDP_FB_NACK_PLI : 0;
    if (sdp_word_is(type, "ccm"))
        return sdp_word_is(parameter, "fir") ? SDP_FB_CCM_FIR : 0;
    if (sdp_word_is(type, "transport-cc"))
        return SDP_FB_TRANSPORT_CC;
    return sdp_word_is(type, "goog-remb") ? SDP_FB_REMB : 0;
}

static int read_feedback(struct section *s, const char *value)
{
    struct word pt_word = sdp_word(&value, " "), type = sdp_word(&value, " "),
                parameter = sdp_word(&value, " ");
    uint8_t pt, bit = feedback_bit(type, parameter);

    if (sdp_word_is(pt_word, "*"))
        s->feedback_all |= bit;
    else if (read_pt(pt_word, &pt))
        s->payloads[pt].feedback |= bit;
    else
        return SDP_ERR_RTPMAP;
    return SDP_OK;
}

/* ---- Format parameters: "a=1;b=2" -------------------------------------------------------------- */

static bool fmtp_find(const char *fmtp, const char *key, struct word *out)
{
    while (fmtp && *fmtp) {
        struct word pair = sdp_word(&fmtp, "; \t");
        const char *equals = pair.len ? memchr(pair.p, '=', pair.len) : NULL;

        if (!equals || !sdp_word_is((struct word){pair.p, (size_t)(equals - pair.p)}, key))
            continue;
        *out = (struct word){equals + 1, pair.len - (size_t)(equals + 1 - pair.p)};
        return true;
    }
    return false;
}

/* The value of a small number; what stands there in vain is an error. */
static int fmtp_number(const char *fmtp, const char *key, uint8_t unsaid, uint8_t *out)
{
    struct word w;
    uint64_t n = unsaid;

    if (fmtp_find(fmtp, key, &w) && !sdp_word_number(w, 255, &n))
        return SDP_ERR_RTPMAP;
    *out = (uint8_t)n;
    return SDP_OK;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int read_profile_level_id(const char *fmtp, uint32_t *out)
{
    struct word w;

    *out = H264_PROFILE_DEFAULT;
    if (!fmtp_find(fmtp, "profile-level-id", &w))
        return SDP_OK;
    *out = 0;
    for (size_t i = 0; i < w.len; i++) {
        int digit = hex_digit(w.p[i]);
        if (digit < 0)
            return SDP_ERR_RTPMAP;
        *out = *out << 4 | (uint32_t)digit;
    }
    return w.len == 6 ? SDP_OK : SDP_ERR_RTPMAP;
}

static int read_parameters(struct sdp_codec *c, const char *fmtp)
{
    uint8_t stereo, fec;
    int err;

    switch (c->codec) {
    case CODEC_H264:
        err = read_profile_level_id(fmtp, &c->h264_profile);
        return err ? err : fmtp_number(fmtp, "packetization-mode", 0, &c->h264_packetization);
    case CODEC_H265:
        return fmtp_number(fmtp, "profile-id", 1, &c->profile); /* RFC 7798 s7.1 */
    case CODEC_VP9:
        return fmtp_number(fmtp, "profile-id", 0, &c->profile); /* RFC 9628 s6 */
    case CODEC_AV1:
        return fmtp_number(fmtp, "profile", 0, &c->profile);
    case CODEC_OPUS:
        err = fmtp_number(fmtp, "stereo", 0, &stereo);
        if (!err)
            err = fmtp_number(fmtp, "useinbandfec", 0, &fec);
        c->stereo = !err && stereo == 1;
        c->fec = !err && fec == 1;
        return err;
    default:
        return SDP_OK;
    }
}

/* ---- Which payload types count ----------------------------------------------------------------- */

static bool carried(const struct sdp_codec *c)
{
    if (c->codec == CODEC_NONE || c->codec == CODEC_AAC) /* AAC never comes by WebRTC */
        return false;
    if (c->pt >= PT_RTCP_FIRST && c->pt <= PT_RTCP_LAST)
        return false;
    if (c->h264_packetization > 1) /* interleaved mode */
        return false;
    return c->clock_hz == codec_clock_hz(c->codec);
}

static int add_codec(struct section *s, uint8_t pt)
{
    const struct payload *p = &s->payloads[pt];
    struct sdp_codec c = {.codec = codec_of_name(p->name.p, p->name.len), .pt = pt, .channels = p->channels,
                          .feedback = p->feedback | s->feedback_all, .clock_hz = p->clock_hz};
    int err = read_parameters(&c, p->fmtp);

    if (err || !carried(&c) || s->out->n_codecs == SDP_CODECS_MAX)
        return err;
    if (p->fmtp && strlen(p->fmtp) <= SDP_FMTP_MAX)
        memcpy(c.fmtp, p->fmtp, strlen(p->fmtp) + 1);
    s->out->codecs[s->out->n_codecs++] = c;
    return SDP_OK;
}

static int add_rtx(struct section *s, uint8_t pt)
{
    uint8_t apt;
    struct word w;

    if (!fmtp_find(s->payloads[pt].fmtp, "apt", &w) || !read_pt(w, &apt))
        return SDP_ERR_RTPMAP; /* RFC 4588 s8.6: apt is required */
    for (size_t i = 0; i < s->out->n_codecs; i++)
        if (s->out->codecs[i].pt == apt && !s->out->codecs[i].rtx_pt)
            s->out->codecs[i].rtx_pt = pt;
    return SDP_OK;
}

static guint place_of(const GstSDPMedia *media, uint8_t pt)
{
    guint i = 0;

    while (i < gst_sdp_media_formats_len(media) && (uint8_t)atoi(gst_sdp_media_get_format(media, i)) != pt)
        i++;
    return i;
}

/* RFC 2198 s5: "111/111", the payload types of its blocks. One whose blocks are not all of one codec is none of ours. */
static int add_red(struct section *s, const GstSDPMedia *media, uint8_t pt)
{
    const char *fmtp = s->payloads[pt].fmtp;
    uint8_t first, next;

    if (!fmtp || !read_pt(sdp_word(&fmtp, "/"), &first))
        return SDP_OK;
    while (*fmtp)
        if (!read_pt(sdp_word(&fmtp, "/"), &next) || next != first)
            return SDP_OK;
    for (size_t i = 0; i < s->out->n_codecs; i++) {
        struct sdp_codec *c = &s->out->codecs[i];
        if (c->pt != first || c->red_pt || codec_kind(c->codec) != CODEC_KIND_AUDIO)
            continue;
        c->red_pt = pt;
        c->red_first = place_of(media, pt) < place_of(media, c->pt);
    }
    return SDP_OK;
}

/* In the order of the m= line, which is that of preference; RTX and RED after what they repeat. Each once: an m= line may name a
 * payload type hundreds of times, and its parameters are a line long. */
static int take_codecs(struct section *s, const GstSDPMedia *media)
{
    for (int helpers = 0; helpers < 2; helpers++) {
        for (guint i = 0; i < gst_sdp_media_formats_len(media); i++) {
            const char *format = gst_sdp_media_get_format(media, i);
            uint8_t pt;
            int err;

            if (!read_pt(sdp_word(&format, " "), &pt))
                return SDP_ERR_RTPMAP;
            struct payload *p = &s->payloads[pt];
            if (!p->defined || p->taken || (p->is_rtx || p->is_red) != helpers)
                continue;
            p->taken = true;
            err = p->is_rtx ? add_rtx(s, pt) : p->is_red ? add_red(s, media, pt) : add_codec(s, pt);
            if (err)
                return err;
        }
    }
    return SDP_OK;
}

/* ---- extmap, ssrc, rid ------------------------------------------------------------------------- */

/* a=extmap:3[/direction] URI [attributes]. RFC 8285 s5: 1..14 and 16..255, or 4096..4351: chosen later. */
static int read_extmap(struct section *s, const char *value)
{
    struct word id_word = sdp_word(&value, " /");
    uint64_t id;

    if (*value == '/')
        sdp_word(&value, " ");
    struct word uri = sdp_word(&value, " ");
    if (!sdp_word_number(id_word, 4351, &id) || id == 0 || id == 15 || (id > 255 && id < 4096) || !uri.len)
        return SDP_ERR_EXTMAP;
    if (id > 255)
        return SDP_OK;
    if (s->extmap_ids[id / 32] >> (id % 32) & 1)
        return SDP_ERR_EXTMAP;
    s->extmap_ids[id / 32] |= 1u << (id % 32);
    enum rtp_ext_kind kind = rtp_ext_kind_of_uri(uri.p, uri.len);
    struct sdp_media *m = s->out;
    if (kind != RTP_EXT_UNKNOWN && m->n_extmaps < SDP_EXTMAPS_MAX && !sdp_extmap_id(m, kind))
        m->extmaps[m->n_extmaps++] = (struct sdp_extmap){.kind = kind, .id = (uint8_t)id};
    return SDP_OK;
}

static struct sdp_ssrc *find_ssrc(struct sdp_media *m, uint32_t ssrc)
{
    for (size_t i = 0; i < m->n_ssrcs; i++)
        if (m->ssrcs[i].ssrc == ssrc || (m->ssrcs[i].rtx_ssrc && m->ssrcs[i].rtx_ssrc == ssrc))
            return &m->ssrcs[i];
    return NULL;
}

static struct sdp_ssrc *push_ssrc(struct sdp_media *m, uint32_t ssrc)
{
    struct sdp_ssrc *known = find_ssrc(m, ssrc);

    if (known || m->n_ssrcs == SDP_SSRCS_MAX)
        return known;
    m->ssrcs[m->n_ssrcs] = (struct sdp_ssrc){.ssrc = ssrc};
    return &m->ssrcs[m->n_ssrcs++];
}

/* a=ssrc:1234 cname:name (RFC 5576 s4.1) */
static int read_ssrc(struct section *s, const char *value)
{
    struct word id = sdp_word(&value, " "), key = sdp_word(&value, " :");
    uint64_t ssrc;

    if (!sdp_word_number(id, UINT32_MAX, &ssrc))
        return SDP_ERR_SSRC;
    push_ssrc(s->out, (uint32_t)ssrc);
    if (sdp_word_is(key, "cname") && !s->out->cname[0]) {
        struct word name = sdp_word(&value, ": ");
        (void)sdp_word_copy(s->out->cname, sizeof(s->out->cname), name); /* a longer one is of no use to us */
    }
    return SDP_OK;
}

/* a=ssrc-group:FID source rtx (RFC 5576 s4.2, RFC 4588 s8.3) */
static int read_ssrc_group(struct section *s, const char *value)
{
    uint64_t ssrc, rtx;

    if (!sdp_word_is(sdp_word(&value, " "), "FID"))
        return SDP_OK;
    if (!sdp_word_number(sdp_word(&value, " "), UINT32_MAX, &ssrc) ||
        !sdp_word_number(sdp_word(&value, " "), UINT32_MAX, &rtx) || ssrc == rtx)
        return SDP_ERR_SSRC;
    struct sdp_media *m = s->out;
    struct sdp_ssrc *source = push_ssrc(m, (uint32_t)ssrc), *alone = find_ssrc(m, (uint32_t)rtx);
    if (!source || source->ssrc != ssrc)
        return source ? SDP_ERR_SSRC : SDP_OK;
    if (alone && alone != source) { /* an a=ssrc line of it came first */
        size_t at = (size_t)(alone - m->ssrcs);
        if (alone->rtx_ssrc)
            return SDP_ERR_SSRC;
        memmove(alone, alone + 1, (--m->n_ssrcs - at) * sizeof(*alone));
        source = find_ssrc(m, (uint32_t)ssrc);
    }
    source->rtx_ssrc = (uint32_t)rtx;
    return SDP_OK;
}

static bool rid_valid(struct word w)
{
    for (size_t i = 0; i < w.len; i++) /* RFC 8851 s10 */
        if (!((w.p[i] >= 'a' && w.p[i] <= 'z') || (w.p[i] >= 'A' && w.p[i] <= 'Z') ||
              (w.p[i] >= '0' && w.p[i] <= '9') || w.p[i] == '-' || w.p[i] == '_'))
            return false;
    return w.len > 0 && w.len <= RID_MAX;
}

/* a=rid:hi send [restrictions] */
static int read_rid(struct section *s, const char *value)
{
    struct word id = sdp_word(&value, " "), direction = sdp_word(&value, " ");

    if (!rid_valid(id) || (!sdp_word_is(direction, "send") && !sdp_word_is(direction, "recv")))
        return SDP_ERR_RID;
    if (!sdp_word_is(direction, "send"))
        return SDP_OK;
    if (s->n_rids_declared == SDP_RIDS_MAX)
        return SDP_ERR_RID;
    (void)sdp_word_copy(s->rids_declared[s->n_rids_declared++], RID_MAX + 1, id);
    return SDP_OK;
}

static bool rid_declared(const struct section *s, struct word w)
{
    for (size_t i = 0; i < s->n_rids_declared; i++)
        if (strlen(s->rids_declared[i]) == w.len && memcmp(s->rids_declared[i], w.p, w.len) == 0)
            return true;
    return false;
}

static bool rid_taken(const struct sdp_media *m, struct word w)
{
    for (size_t i = 0; i < m->n_rids; i++)
        if (strlen(m->rids[i]) == w.len && memcmp(m->rids[i], w.p, w.len) == 0)
            return true;
    return false;
}

/* a=simulcast:send q;~h,h2;f recv ... (RFC 8853 s5.1): streams by ';', alternatives by ','; '~': paused. */
static int take_simulcast(struct section *s, const GstSDPMedia *media)
{
    const char *value = gst_sdp_media_get_attribute_val(media, "simulcast");
    struct sdp_media *m = s->out;

    if (!value)
        return SDP_OK;
    struct word direction = sdp_word(&value, " "), list = sdp_word(&value, " ");
    if (!sdp_word_is(direction, "send")) {
        direction = sdp_word(&value, " ");
        list = sdp_word(&value, " ");
    }
    if (!sdp_word_is(direction, "send"))
        return SDP_OK;
    for (const char *p = list.p; p < list.p + list.len;) {
        size_t stream_len = strcspn(p, "; "), first_len = strcspn(p, ",; ");
        size_t paused = *p == '~';
        struct word id = {p + paused, first_len - paused};

        if (!rid_valid(id) || !rid_declared(s, id) || rid_taken(m, id) || m->n_rids == SDP_RIDS_MAX)
            return SDP_ERR_RID;
        (void)sdp_word_copy(m->rids[m->n_rids++], RID_MAX + 1, id);
        p += stream_len + (p[stream_len] == ';');
    }
    return SDP_OK;
}

/* ---- The section ------------------------------------------------------------------------------- */

static void read_msid(struct sdp_media *m, const char *value)
{
    struct word stream = sdp_word(&value, " "), track = sdp_word(&value, " ");

    if (m->msid_stream[0] || !sdp_word_copy(m->msid_stream, sizeof(m->msid_stream), stream) ||
        !sdp_word_copy(m->msid_track, sizeof(m->msid_track), track))
        return; /* the first that fits; we make no use of it but to show it */
}

static int read_mid(struct sdp_media *m, const char *value)
{
    struct word w = sdp_word(&value, " ");

    return w.len && sdp_word_copy(m->mid, sizeof(m->mid), w) ? SDP_OK : SDP_ERR_MID;
}

static int read_attribute(struct section *s, const GstSDPAttribute *a)
{
    static const struct {
        const char *key;
        int (*read)(struct section *s, const char *value);
    } table[] = {
        {"rtpmap", read_rtpmap}, {"fmtp", read_fmtp}, {"rtcp-fb", read_feedback},
        {"extmap", read_extmap}, {"ssrc", read_ssrc}, {"ssrc-group", read_ssrc_group},
        {"rid", read_rid},
    };

    for (size_t i = 0; i < LEN(table); i++)
        if (strcmp(a->key, table[i].key) == 0)
            return table[i].read(s, sdp_value(a));
    if (strcmp(a->key, "mid") == 0)
        return read_mid(s->out, sdp_value(a));
    if (strcmp(a->key, "msid") == 0)
        read_msid(s->out, sdp_value(a));
    s->out->rtcp_mux = s->out->rtcp_mux || strcmp(a->key, "rtcp-mux") == 0;
    s->out->rtcp_rsize = s->out->rtcp_rsize || strcmp(a->key, "rtcp-rsize") == 0;
    return SDP_OK;
}

static int read_line(struct sdp_media *m, const GstSDPMedia *media)
{
    const char *kind = gst_sdp_media_get_media(media), *proto = gst_sdp_media_get_proto(media);
    const char *fmt = gst_sdp_media_formats_len(media) ? gst_sdp_media_get_format(media, 0) : NULL;

    if (!kind || !proto || !fmt || !*kind || !*proto || !*fmt)
        return SDP_ERR_SYNTAX;
    if (!sdp_word_copy(m->media, sizeof(m->media), (struct word){kind, strlen(kind)}) ||
        !sdp_word_copy(m->proto, sizeof(m->proto), (struct word){proto, strlen(proto)}) ||
        !sdp_word_copy(m->fmt, sizeof(m->fmt), (struct word){fmt, strlen(fmt)}))
        return SDP_ERR_SYNTAX;
    m->kind = strcmp(kind, "audio") == 0         ? SDP_AUDIO
              : strcmp(kind, "video") == 0       ? SDP_VIDEO
              : strcmp(kind, "application") == 0 ? SDP_APPLICATION
                                                 : SDP_OTHER;
    m->rejected = gst_sdp_media_get_port(media) == 0 &&
                  !gst_sdp_media_get_attribute_val(media, "bundle-only");
    return SDP_OK;
}

/* The attributes of a section that carries RTP. */
static int read_rtp(struct section *s, const GstSDPMedia *media)
{
    int err = SDP_OK;

    for (guint i = 0; !err && i < gst_sdp_media_attributes_len(media); i++)
        err = read_attribute(s, gst_sdp_media_get_attribute(media, i));
    if (!err)
        err = take_codecs(s, media);
    return err ? err : take_simulcast(s, media);
}

/* The attributes of a section of data channels (RFC 8841). What is out of form leaves it without a port: unusable. */
static void read_data(struct sdp_media *m, const GstSDPMedia *media)
{
    const char *port = gst_sdp_media_get_attribute_val(media, "sctp-port");
    const char *size = gst_sdp_media_get_attribute_val(media, "max-message-size");
    uint64_t port_number = 0, bytes = SDP_MESSAGE_DEFAULT;

    if (!port || !sdp_word_number(sdp_word(&port, " "), UINT16_MAX, &port_number) ||
        (size && !sdp_word_number(sdp_word(&size, " "), UINT64_MAX, &bytes)))
        return;
    m->sctp_port = (uint16_t)port_number;
    m->message_max = bytes == 0 || bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)bytes; /* s6.1: 0: of any size */
}

int sdp_media_parse(struct sdp_media *out, const GstSDPMedia *media, struct sdp_shared *shared)
{
    int err = read_line(out, media);

    for (guint i = 0; !err && i < gst_sdp_media_attributes_len(media); i++)
        err = sdp_shared_attribute(shared, gst_sdp_media_get_attribute(media, i));
    if (err)
        return err;
    out->direction = shared->direction;
    out->extmap_allow_mixed = shared->extmap_allow_mixed;
    if (out->kind != SDP_AUDIO && out->kind != SDP_VIDEO) {
        const char *mid = gst_sdp_media_get_attribute_val(media, "mid");
        read_data(out, media);
        return mid ? read_mid(out, mid) : SDP_OK;
    }
    struct section *s = calloc(1, sizeof(*s));
    if (!s)
        return SDP_ERR_SIZE;
    s->out = out;
    err = read_rtp(s, media);
    free(s);
    return err;
}
