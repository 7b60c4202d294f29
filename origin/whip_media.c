/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/whip_media.h"

#include "base/log.h"
#include "base/random.h"
#include "codec/inspect.h"
#include "origin/whip_layers.h"
#include "wire/red.h"
#include "wire/rtp_ext.h"

#include <string.h>

enum {
    KEYFRAME_DEFAULT_US = 4000000, /* well within the 10 s that a cache keeps by default */
    KEYFRAME_AGAIN_US = 500000,    /* between two requests: the publisher has its round trip to answer */
    REPORT_US = 1000000,           /* RFC 3550 s6.2 allows far more often than each 5 s at these bitrates */
    NACK_BATCH = 64,               /* numbers a NACK packet: at most 64 * 4 bytes */
    SILENT_US = 1000000,           /* a track that sends nothing (muted) has no keyframe to give */
    ANNOUNCE_MAX_US = 3000000,     /* simulcast: the tracks are announced without any video then ... */
    ANNOUNCE_US = 1000000,         /* ... and so long after its first picture whatever has come */
    STRANGERS_A_CHANGE = WHIP_STRANGERS_MAX / 20, /* who changes its sources twenty times is no publisher */
};

/* ---- Life -------------------------------------------------------------------------------------- */

static void init_track(struct whip_media *m, size_t i, uint64_t now_us)
{
    struct whip_track *t = &m->tracks[i];

    t->cfg = m->cfg.tracks[i];
    t->sources = &m->sources[m->n_sources];
    t->n_sources = t->cfg.n_rids ? t->cfg.n_rids : 1;
    m->n_sources += t->n_sources;
    for (size_t k = 0; k < t->n_sources; k++)
        whip_source_init(&t->sources[k], &t->cfg, t->cfg.n_rids ? t->cfg.rids[k] : "", m->cfg.stream, now_us);
    m->by_pt[t->cfg.pt & 127] = (uint8_t)(i + 1);
    if (t->cfg.rtx_pt)
        m->by_pt[t->cfg.rtx_pt & 127] = (uint8_t)((i + 1) | WHIP_PT_RTX);
    if (t->cfg.red_pt)
        m->by_pt[t->cfg.red_pt & 127] = (uint8_t)((i + 1) | WHIP_PT_RED);
    if (t->n_sources > 1) {
        m->announced = false;
        return;
    }
    if (t->cfg.ssrc)
        whip_source_start(t->sources, t->cfg.ssrc, &m->clock);
    if (t->cfg.rtx_ssrc)
        whip_source_start_rtx(t->sources, t->cfg.rtx_ssrc, &m->clock);
}

void whip_media_init(struct whip_media *m, const struct whip_media_cfg *cfg, uint64_t now_us)
{
    m->cfg = *cfg;
    if (!m->cfg.keyframe_us)
        m->cfg.keyframe_us = KEYFRAME_DEFAULT_US;
    memset(&m->clock, 0, sizeof(m->clock));
    memset(m->by_pt, 0, sizeof(m->by_pt));
    m->bad_rtp = m->strangers = m->bad_rtcp = 0;
    m->ssrc = random_u32();
    m->report_us = now_us + REPORT_US;
    m->announced = true;
    m->announce_us = now_us + ANNOUNCE_MAX_US;
    m->n_sources = 0;
    twcc_feedback_init(&m->twcc);
    remb_init(&m->remb);
    for (size_t i = 0; i < cfg->n_tracks; i++)
        init_track(m, i, now_us);
}

void whip_media_tracks(const struct whip_media *m, struct track_set *out)
{
    *out = (struct track_set){.n = m->cfg.n_tracks};
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        out->v[m->tracks[i].cfg.index] = m->tracks[i].cfg.facts;
}

/* ---- Simulcast: the layers become known ---------------------------------------------------------- */

static bool all_sizes_known(const struct whip_media *m)
{
    for (size_t i = 0; i < m->n_sources; i++)
        if (m->sources[i].rid[0] && !m->sources[i].width)
            return false;
    return true;
}

/* A keyframe of each layer is needed: what came before was not passed on. */
static void announce(struct whip_media *m)
{
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        if (m->tracks[i].n_sources > 1)
            whip_layers_arrange(&m->tracks[i].cfg.facts, m->tracks[i].sources, m->tracks[i].n_sources);
    for (size_t i = 0; i < m->n_sources; i++)
        m->sources[i].want_keyframe = m->sources[i].cfg->pli && m->sources[i].has_source;
    m->announced = true;
    m->cfg.ops->on_source(m->cfg.arg);
}

/* The layers that a publisher's bandwidth does not allow for yet are not waited for long. */
static void watch_sizes(struct whip_media *m, uint64_t now_us)
{
    if (m->announce_us > now_us + ANNOUNCE_US)
        m->announce_us = now_us + ANNOUNCE_US;
    if (all_sizes_known(m))
        announce(m);
}

/* ---- A packet ---------------------------------------------------------------------------------- */

static void push_packet(struct whip_media *m, struct whip_source *s, const struct rtp_view *v,
                        const struct rtp_arrival *a, uint64_t now_us)
{
    struct payload_marks marks;
    bool padding = v->payload_len == 0;

    if (v->payload_len > PACKET_PAYLOAD_MAX) {
        s->counters.oversize++;
        LOG_LIMITED("whip", "a payload of %zu bytes is more than the %d that are carried stream=%s",
                    v->payload_len, PACKET_PAYLOAD_MAX, m->cfg.stream);
        return;
    }
    if (!padding && codec_inspect(s->cfg->facts.codec, v->payload, v->payload_len, &marks) != CODEC_OK) {
        s->counters.bad_payload++;
        return;
    }
    if (!padding && marks.keyframe && codec_kind(s->cfg->facts.codec) == CODEC_KIND_VIDEO) {
        whip_source_note_size(s, v, &marks);
        if (!m->announced)
            watch_sizes(m, now_us);
    }
    if (!m->announced)
        return;
    struct packet *p = packet_create(m->cfg.pool);
    if (!p) {
        s->counters.dropped_pool++;
        return;
    }
    whip_source_fill(s, v, a, padding ? NULL : &marks, p, now_us);
    s->counters.packets++;
    s->counters.bytes += v->payload_len;
    m->cfg.ops->push(m->cfg.arg, p);
}

/* The publisher changed its SSRC (an encoder restarted): its numbers and timestamps begin anew. */
static void change_source(struct whip_media *m, struct whip_source *s, uint32_t ssrc)
{
    bool had = s->has_source && s->counters.packets > 0;

    s->counters = whip_source_counters(s);
    whip_source_start(s, ssrc, &m->clock);
    if (!had)
        return;
    m->strangers += STRANGERS_A_CHANGE;
    log_info("whip", "the %s%s%s has a new source, a new epoch begins stream=%s",
             codec_name(s->cfg->facts.codec), s->rid[0] ? " layer " : "", s->rid, m->cfg.stream);
    m->cfg.ops->on_source(m->cfg.arg);
}

/* False: nothing to pass on. */
static bool unwrap_rtx(struct whip_media *m, struct whip_source *s, struct rtp_view *v, uint64_t now_us,
                       uint64_t unix_us)
{
    struct rtp_arrival a;

    if (!s->has_rtx_source || s->rtx_receiver.ssrc != v->ssrc)
        whip_source_start_rtx(s, v->ssrc, &m->clock);
    if (rtp_receiver_push(&s->rtx_receiver, v, true, now_us, unix_us, &a) != RTP_PUSH_NEW)
        return false;
    return s->has_source && rtx_unwrap(v, s->receiver.ssrc, s->cfg->pt) == 0;
}

/* Sound and pictures are in step from the first packet on, before a report has come. */
static void note_capture_time(struct whip_source *s, const struct rtp_view *v, struct rtp_arrival *a, uint64_t now_us,
                              uint64_t unix_us)
{
    struct rtp_abs_capture_time at;
    struct rtp_ext ext;

    if (!whip_find_extension(s->cfg, v, RTP_EXT_ABS_CAPTURE_TIME, &ext) || !rtp_ext_abs_capture_time_parse(&at, ext.data, ext.len))
        return;
    rtp_receiver_on_capture_time(&s->receiver, at.ntp, v->ts_ticks, now_us, unix_us);
    a->capture_us = rtp_receiver_capture_us(&s->receiver, a->ts_ticks);
}

static void on_source_packet(struct whip_media *m, struct whip_source *s, struct rtp_view *v, bool rtx,
                             uint64_t now_us, uint64_t unix_us)
{
    struct rtp_arrival a;

    if (rtx && !unwrap_rtx(m, s, v, now_us, unix_us))
        return;
    if (!s->has_source || s->receiver.ssrc != v->ssrc)
        change_source(m, s, v->ssrc);
    s->packet_us = now_us;
    switch (rtp_receiver_push(&s->receiver, v, rtx, now_us, unix_us, &a)) {
    case RTP_PUSH_NEW:
        note_capture_time(s, v, &a, now_us, unix_us);
        push_packet(m, s, v, &a, now_us);
        break;
    case RTP_PUSH_DUPLICATE:
        s->counters.duplicates++;
        break;
    case RTP_PUSH_FAR:
        break;
    }
}

/* A block of sound that went before the packet, which has it again: taken when it did not come. */
static void recover(struct whip_media *m, struct whip_source *s, const struct rtp_view *v, const struct red_block *b,
                    uint16_t back, uint64_t now_us, uint64_t unix_us)
{
    struct rtp_view old = *v;
    struct rtp_arrival a;

    old.seq = (uint16_t)(v->seq - back);
    old.ts_ticks = v->ts_ticks - b->ts_before;
    old.pt = s->cfg->pt;
    old.payload = b->data;
    old.payload_len = b->len;
    old.ext = NULL;
    old.ext_len = 0;
    old.marker = false;
    if (rtp_receiver_push(&s->receiver, &old, true, now_us, unix_us, &a) == RTP_PUSH_NEW)
        push_packet(m, s, &old, &a, now_us);
}

/* RED (RFC 2198) is taken apart here: in the cluster and to viewers there is one kind of Opus packet. */
static void on_red_packet(struct whip_media *m, struct whip_source *s, struct rtp_view *v, uint64_t now_us, uint64_t unix_us)
{
    struct red_block blocks[RED_BLOCKS_MAX];
    int n = red_parse(blocks, v->payload, v->payload_len);
    bool known = s->has_source && s->receiver.ssrc == v->ssrc && s->receiver.started;

    if (n < 0 || blocks[n - 1].pt != s->cfg->pt) {
        s->counters.bad_payload++;
        return;
    }
    for (int i = 0; known && i < n - 1; i++)
        if (blocks[i].len > 0 && blocks[i].pt == s->cfg->pt)
            recover(m, s, v, &blocks[i], (uint16_t)(n - 1 - i), now_us, unix_us);
    v->pt = s->cfg->pt;
    v->payload = blocks[n - 1].data;
    v->payload_len = blocks[n - 1].len;
    on_source_packet(m, s, v, false, now_us, unix_us);
}

/* RFC 8853 s5.4: a packet's rid, or repaired-rid, names its layer until its SSRC is known. NULL: of no layer. */
static struct whip_source *find_source(struct whip_track *t, const struct rtp_view *v, bool rtx)
{
    struct rtp_ext rid;

    if (t->n_sources == 1)
        return t->sources;
    for (size_t i = 0; i < t->n_sources; i++) {
        struct whip_source *s = &t->sources[i];
        if (rtx ? s->has_rtx_source && s->rtx_receiver.ssrc == v->ssrc
                : s->has_source && s->receiver.ssrc == v->ssrc)
            return s;
    }
    if (!whip_find_extension(&t->cfg, v, rtx ? RTP_EXT_REPAIRED_RID : RTP_EXT_RID, &rid))
        return NULL;
    for (size_t i = 0; i < t->n_sources; i++)
        if (strlen(t->sources[i].rid) == rid.len && memcmp(t->sources[i].rid, rid.data, rid.len) == 0)
            return &t->sources[i];
    return NULL;
}

/* For the publisher's bitrate: transport-wide feedback, or REMB. */
static void note_arrival(struct whip_media *m, const struct whip_track *t, const struct rtp_view *v, size_t len,
                         uint64_t now_us)
{
    struct rtp_ext ext;
    uint16_t transport_seq;
    uint32_t sent;

    if (whip_find_extension(&t->cfg, v, RTP_EXT_TRANSPORT_CC, &ext) &&
        rtp_ext_transport_cc_parse(&transport_seq, ext.data, ext.len))
        twcc_feedback_on_packet(&m->twcc, transport_seq, v->ssrc, now_us);
    if (whip_find_extension(&t->cfg, v, RTP_EXT_ABS_SEND_TIME, &ext) && rtp_ext_abs_send_time_parse(&sent, ext.data, ext.len))
        remb_on_packet(&m->remb, sent, len, now_us);
}

void whip_media_on_rtp(struct whip_media *m, const uint8_t *pkt, size_t len, uint64_t now_us,
                       uint64_t unix_us)
{
    struct rtp_view v;

    if (rtp_view_parse(&v, pkt, len) != RTP_OK) {
        m->bad_rtp++;
        return;
    }
    uint8_t to = m->by_pt[v.pt];
    if (!to) {
        m->strangers++;
        return;
    }
    struct whip_track *t = &m->tracks[(to & ~(WHIP_PT_RTX | WHIP_PT_RED)) - 1];
    note_arrival(m, t, &v, len, now_us);
    struct whip_source *s = find_source(t, &v, to & WHIP_PT_RTX);
    if (!s)
        m->strangers++;
    else if (to & WHIP_PT_RED)
        on_red_packet(m, s, &v, now_us, unix_us);
    else
        on_source_packet(m, s, &v, to & WHIP_PT_RTX, now_us, unix_us);
}

/* ---- RTCP in ----------------------------------------------------------------------------------- */

static void on_sender_report(struct whip_media *m, const struct rtcp_report *r, uint64_t now_us,
                             uint64_t unix_us)
{
    for (size_t i = 0; i < m->n_sources; i++) {
        struct whip_source *s = &m->sources[i];

        if (s->has_source && s->receiver.ssrc == r->ssrc)
            rtp_receiver_on_sr(&s->receiver, r, now_us, unix_us);
        else if (s->has_rtx_source && s->rtx_receiver.ssrc == r->ssrc)
            rtp_receiver_on_sr(&s->rtx_receiver, r, now_us, unix_us);
    }
}

void whip_media_on_rtcp(struct whip_media *m, const uint8_t *pkt, size_t len, uint64_t now_us,
                        uint64_t unix_us)
{
    struct rtcp_walk walk = rtcp_walk_init(pkt, len);
    struct rtcp_packet p;
    struct rtcp_report report;

    if (rtcp_compound_check(pkt, len, true) != RTCP_OK) {
        m->bad_rtcp++;
        return;
    }
    while (rtcp_walk_next(&walk, &p) > 0) {
        if (p.type != RTCP_SR)
            continue; /* SDES, XR, APP: nothing we act on; BYE: the session's own end counts */
        if (rtcp_report_parse(&report, &p) == RTCP_OK)
            on_sender_report(m, &report, now_us, unix_us);
        else
            m->bad_rtcp++;
    }
}

/* ---- Feedback ---------------------------------------------------------------------------------- */

static void send_rtcp(struct whip_media *m, const struct writer *w)
{
    if (!w->bad && writer_len(w) > 0)
        m->cfg.ops->send_rtcp(m->cfg.arg, w->start, writer_len(w));
}

/* RFC 3550 s6.1: a compound packet begins with a report, and names its sender. */
static struct writer begin_compound(struct whip_media *m, uint8_t *buf)
{
    struct writer w = writer_init(buf, WHIP_RTCP_CAP);
    struct rtcp_report empty = {.ssrc = m->ssrc};
    struct rtcp_cname cname = {.name = "millrace", .name_len = 8, .ssrc = m->ssrc};

    rtcp_report_write(&w, &empty);
    rtcp_sdes_write(&w, &cname);
    return w;
}

static void send_reports(struct whip_media *m, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    struct writer w = writer_init(buf, sizeof(buf));
    struct rtcp_report r = {.ssrc = m->ssrc};
    struct rtcp_cname cname = {.name = "millrace", .name_len = 8, .ssrc = m->ssrc};

    for (size_t i = 0; i < m->n_sources; i++) {
        struct whip_source *s = &m->sources[i];

        if (s->has_source && rtp_receiver_report(&s->receiver, now_us, &r.blocks[r.block_count]))
            r.block_count++;
        if (s->has_rtx_source && rtp_receiver_report(&s->rtx_receiver, now_us, &r.blocks[r.block_count]))
            r.block_count++;
    }
    rtcp_report_write(&w, &r);
    rtcp_sdes_write(&w, &cname);
    send_rtcp(m, &w);
}

static void send_nacks(struct whip_media *m, struct whip_source *s, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    uint16_t seqs[NACK_BATCH];
    size_t n;

    while (s->has_source && s->cfg->nack &&
           (n = rtp_receiver_poll_nack(&s->receiver, now_us, seqs, NACK_BATCH)) > 0) {
        struct writer w = begin_compound(m, buf);

        s->counters.nacked += rtcp_nack_write(&w, m->ssrc, s->receiver.ssrc, seqs, n);
        send_rtcp(m, &w);
        if (n < NACK_BATCH)
            break;
    }
}

/* A keyframe is asked for when someone needs it, when a hole was given up, or when the last one is too long
 * ago. */
static bool keyframe_wanted(const struct whip_media *m, const struct whip_source *s, uint64_t now_us)
{
    if (!s->cfg->pli || !s->has_source || codec_kind(s->cfg->facts.codec) != CODEC_KIND_VIDEO)
        return false;
    bool overdue = now_us - s->keyframe_us >= m->cfg.keyframe_us && now_us - s->packet_us < SILENT_US;
    return (s->want_keyframe || overdue) && now_us - s->asked_us >= KEYFRAME_AGAIN_US;
}

static void send_pli(struct whip_media *m, struct whip_source *s, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    struct writer w = begin_compound(m, buf);
    struct rtcp_pli pli = {.sender_ssrc = m->ssrc, .media_ssrc = s->receiver.ssrc};

    rtcp_pli_write(&w, &pli);
    send_rtcp(m, &w);
    s->asked_us = now_us;
    s->want_keyframe = false;
    s->counters.plis++;
}

static void send_arrivals(struct whip_media *m, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];

    for (;;) {
        struct writer w = begin_compound(m, buf);

        if (!twcc_feedback_write(&m->twcc, &w, m->ssrc, now_us))
            return;
        send_rtcp(m, &w);
    }
}

static void send_remb(struct whip_media *m, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    uint32_t ssrcs[WHIP_SOURCES_MAX];
    uint8_t n = 0;
    uint64_t bps;

    if (!remb_poll(&m->remb, now_us, &bps))
        return;
    for (size_t i = 0; i < m->n_sources; i++)
        if (m->sources[i].has_source && codec_kind(m->sources[i].cfg->facts.codec) == CODEC_KIND_VIDEO)
            ssrcs[n++] = m->sources[i].receiver.ssrc;
    struct writer w = begin_compound(m, buf);
    rtcp_remb_write(&w, m->ssrc, bps, ssrcs, n);
    send_rtcp(m, &w);
}

static void watch_silence(struct whip_media *m, struct whip_source *s, uint64_t now_us)
{
    bool silent = s->packet_us && now_us - s->packet_us >= WHIP_SILENT_US;

    if (silent && !s->silent)
        log_info("whip", "no %s%s%s for %d s stream=%s", codec_name(s->cfg->facts.codec), s->rid[0] ? " layer " : "",
                 s->rid, WHIP_SILENT_US / 1000000, m->cfg.stream);
    else if (s->silent && !silent)
        log_info("whip", "%s%s%s is back stream=%s", codec_name(s->cfg->facts.codec), s->rid[0] ? " layer " : "", s->rid,
                 m->cfg.stream);
    s->silent = silent;
}

void whip_media_poll(struct whip_media *m, uint64_t now_us)
{
    if (now_us >= twcc_feedback_due_us(&m->twcc))
        send_arrivals(m, now_us);
    if (now_us >= remb_due_us(&m->remb))
        send_remb(m, now_us);
    if (!m->announced && now_us >= m->announce_us)
        announce(m);
    for (size_t i = 0; i < m->n_sources; i++) {
        struct whip_source *s = &m->sources[i];

        send_nacks(m, s, now_us);
        if (keyframe_wanted(m, s, now_us))
            send_pli(m, s, now_us);
    }
    if (now_us < m->report_us)
        return;
    for (size_t i = 0; i < m->n_sources; i++)
        watch_silence(m, &m->sources[i], now_us);
    send_reports(m, now_us);
    m->report_us = now_us + REPORT_US / 2 + random_u32() % REPORT_US; /* s6.2: randomised */
}

static uint64_t source_due_us(const struct whip_source *s)
{
    uint64_t nack_us = s->has_source && s->cfg->nack ? rtp_receiver_due_us(&s->receiver) : UINT64_MAX;
    uint64_t pli_us = s->want_keyframe ? s->asked_us + KEYFRAME_AGAIN_US : UINT64_MAX;

    return nack_us < pli_us ? nack_us : pli_us;
}

/* Keyframes that are overdue are asked for with the reports: it need not be to the millisecond. */
uint64_t whip_media_due_us(const struct whip_media *m)
{
    uint64_t due_us = m->report_us;

    if (twcc_feedback_due_us(&m->twcc) < due_us)
        due_us = twcc_feedback_due_us(&m->twcc);
    if (remb_due_us(&m->remb) < due_us)
        due_us = remb_due_us(&m->remb);
    if (!m->announced && m->announce_us < due_us)
        due_us = m->announce_us;
    for (size_t i = 0; i < m->n_sources; i++)
        if (source_due_us(&m->sources[i]) < due_us)
            due_us = source_due_us(&m->sources[i]);
    return due_us;
}

void whip_media_need_keyframe(struct whip_media *m, unsigned track, unsigned layer)
{
    for (size_t i = 0; i < m->n_sources; i++) {
        struct whip_source *s = &m->sources[i];
        if (s->cfg->index == track && s->layer == layer)
            s->want_keyframe = s->cfg->pli && s->has_source;
    }
}

/* ---- Facts ------------------------------------------------------------------------------------- */

static void add_counters(struct whip_media_counters *to, const struct whip_media_counters *c)
{
    to->packets += c->packets;
    to->bytes += c->bytes;
    to->keyframes += c->keyframes;
    to->frames += c->frames;
    to->duplicates += c->duplicates;
    to->recovered += c->recovered;
    to->lost += c->lost;
    to->nacked += c->nacked;
    to->plis += c->plis;
    to->bad_payload += c->bad_payload;
    to->oversize += c->oversize;
    to->dropped_pool += c->dropped_pool;
}

static void add_facts(struct whip_track_facts *f, const struct whip_source *s, uint64_t now_us)
{
    struct whip_media_counters c = whip_source_counters(s);
    uint64_t silent_us = s->packet_us ? now_us - s->packet_us : UINT64_MAX;
    uint32_t jitter_ticks = (uint32_t)(s->receiver.jitter_x16 / 16);

    f->silent_us = silent_us < f->silent_us ? silent_us : f->silent_us;
    f->jitter_ticks = jitter_ticks > f->jitter_ticks ? jitter_ticks : f->jitter_ticks;
    f->b_frames |= s->b_frames;
    add_counters(&f->counters, &c);
}

void whip_media_facts(const struct whip_media *m, uint64_t now_us, struct whip_media_facts *out)
{
    *out = (struct whip_media_facts){.n_tracks = m->cfg.n_tracks};
    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        const struct whip_track *t = &m->tracks[i];

        out->tracks[i] = (struct whip_track_facts){.codec = t->cfg.facts.codec, .silent_us = UINT64_MAX};
        for (size_t k = 0; k < t->n_sources; k++)
            add_facts(&out->tracks[i], &t->sources[k], now_us);
    }
}

void whip_media_count(const struct whip_media *m, struct whip_media_counters *out)
{
    out->bad_rtp += m->bad_rtp;
    out->strangers += m->strangers;
    out->bad_rtcp += m->bad_rtcp;
    for (size_t i = 0; i < m->n_sources; i++) {
        struct whip_media_counters c = whip_source_counters(&m->sources[i]);
        add_counters(out, &c);
    }
}
