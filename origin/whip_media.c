/* SPDX-License-Identifier: Apache-2.0 */
#include "origin/whip_media.h"

#include "base/log.h"
#include "base/random.h"
#include "codec/inspect.h"
#include "wire/rtp_ext.h"

#include <string.h>

enum {
    KEYFRAME_DEFAULT_US = 4000000, /* well within the 10 s that a cache keeps by default */
    KEYFRAME_AGAIN_US = 500000,    /* between two requests: the publisher has its round trip to answer */
    REPORT_US = 1000000,           /* RFC 3550 s6.2 allows far more often than each 5 s at these bitrates */
    NACK_BATCH = 64,               /* numbers a NACK packet: at most 64 * 4 bytes */
    SILENT_US = 1000000,           /* a track that sends nothing (muted) has no keyframe to give */
    STRANGERS_A_CHANGE = WHIP_STRANGERS_MAX / 20, /* who changes its sources twenty times is no publisher */
};

_Static_assert(65536 % WHIP_RECENT == 0, "numbers wrap on the ring's border");

/* ---- Life -------------------------------------------------------------------------------------- */

static void on_give_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct whip_track *t = arg;

    (void)first, (void)last, (void)n;
    t->want_keyframe = t->cfg.pli;
}

static void start_source(struct whip_media *m, struct whip_track *t, uint32_t ssrc)
{
    struct rtp_receiver_cfg cfg = {.ssrc = ssrc, .clock_hz = t->cfg.facts.clock_hz, .clock = &m->clock,
                                   .nack = {.on_give_up = on_give_up, .arg = t}, .no_nack = !t->cfg.nack};

    rtp_receiver_init(&t->receiver, &cfg);
    memset(t->recent, 0, sizeof(t->recent));
    memset(t->key_ts, 0, sizeof(t->key_ts));
    t->newest_ts = 0;
    t->dd.valid = false;
    t->has_source = true;
}

static void start_rtx_source(struct whip_media *m, struct whip_track *t, uint32_t ssrc)
{
    struct rtp_receiver_cfg cfg = {
        .ssrc = ssrc, .clock_hz = t->cfg.facts.clock_hz, .clock = &m->clock, .no_nack = true};

    rtp_receiver_init(&t->rtx_receiver, &cfg);
    t->has_rtx_source = true;
}

static void init_track(struct whip_media *m, size_t i, uint64_t now_us)
{
    struct whip_track *t = &m->tracks[i];

    memset(t, 0, sizeof(*t));
    t->cfg = m->cfg.tracks[i];
    t->keyframe_us = now_us;
    m->by_pt[t->cfg.pt & 127] = (uint8_t)(i + 1);
    if (t->cfg.rtx_pt)
        m->by_pt[t->cfg.rtx_pt & 127] = (uint8_t)((i + 1) | WHIP_PT_RTX);
    if (t->cfg.ssrc)
        start_source(m, t, t->cfg.ssrc);
    if (t->cfg.rtx_ssrc)
        start_rtx_source(m, t, t->cfg.rtx_ssrc);
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
    twcc_feedback_init(&m->twcc);
    for (size_t i = 0; i < cfg->n_tracks; i++)
        init_track(m, i, now_us);
}

void whip_media_tracks(const struct whip_media *m, struct track_set *out)
{
    *out = (struct track_set){.n = m->cfg.n_tracks};
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        out->v[m->tracks[i].cfg.index] = m->tracks[i].cfg.facts;
}

/* ---- Where frames begin, and which are keyframes ----------------------------------------------- */

/* For H.264, H.265 and AV1 the payload alone does not tell the first packet of a frame for certain: the
 * packet before it does, by its timestamp. Where that one is missing, the payload's word counts. */
static bool starts_frame(const struct whip_track *t, const struct packet *p, bool may_start)
{
    const struct whip_recent *before = &t->recent[(p->seq - 1) % WHIP_RECENT];

    if (t->cfg.facts.codec == CODEC_VP8 || t->cfg.facts.codec == CODEC_VP9)
        return may_start;
    if (before->seq != p->seq - 1)
        return may_start;
    return before->ts_ticks != p->ts_ticks;
}

/* The marker belongs to the packet's frame; VP9's layer frames end by their own mark (inspect.h). */
static bool ends_frame(const struct whip_track *t, const struct payload_marks *marks, bool marker)
{
    return t->cfg.facts.codec == CODEC_VP9 ? marks->frame_end || marker : marker;
}

static bool of_keyframe(const struct whip_track *t, uint64_t ts_ticks)
{
    for (size_t i = 0; i < WHIP_KEY_FRAMES; i++)
        if (t->key_ts[i] == ts_ticks)
            return true;
    return false;
}

/* Only the first packets of a keyframe tell that it is one; the others are known by the timestamp. */
static bool note_keyframe(struct whip_track *t, uint64_t ts_ticks, bool told, uint64_t now_us)
{
    bool known = of_keyframe(t, ts_ticks);

    if (!told || known)
        return known;
    t->key_ts[t->next_key++ % WHIP_KEY_FRAMES] = ts_ticks;
    t->keyframe_us = now_us;
    t->want_keyframe = false;
    t->counters.keyframes++;
    return true;
}

/* In WebRTC frames come in the order of presentation. */
static void watch_b_frames(struct whip_media *m, struct whip_track *t, uint64_t ts_ticks)
{
    if (ts_ticks >= t->newest_ts) {
        t->newest_ts = ts_ticks;
        return;
    }
    if (t->b_frames)
        return;
    t->b_frames = true;
    log_warn("whip", "the video has B-frames: WebRTC viewers will see it jump; turn them off stream=%s",
             m->cfg.stream);
}

static void mark_video(struct whip_media *m, struct whip_track *t, struct packet *p,
                       const struct payload_marks *marks, bool late, uint64_t now_us)
{
    bool marker = p->flags & PACKET_MARKER, start = starts_frame(t, p, marks->frame_start);

    p->flags |=
        (uint8_t)((start ? PACKET_FRAME_START : 0) | (ends_frame(t, marks, marker) ? PACKET_FRAME_END : 0) |
                  (note_keyframe(t, p->ts_ticks, marks->keyframe, now_us) ? PACKET_KEYFRAME : 0) |
                  (marks->discardable ? PACKET_DISCARDABLE : 0) | (marks->switch_up ? PACKET_SWITCH_UP : 0));
    p->spatial = marks->spatial_id;
    p->temporal = marks->temporal_id;
    t->counters.frames += start;
    if (start && !late)
        watch_b_frames(m, t, p->ts_ticks);
}

/* What the AV1 dependency descriptor says is certain; the payload does not tell layers. */
static void mark_by_descriptor(struct whip_track *t, struct packet *p, const struct rtp_ext *ext,
                               uint64_t now_us)
{
    struct dd_frame f;

    if (dd_parse(&f, &t->dd, ext->data, ext->len) != CODEC_OK)
        return; /* no structure yet, or damaged: the payload's word stands */
    p->flags &= (uint8_t)~(PACKET_FRAME_START | PACKET_FRAME_END);
    p->flags |= (uint8_t)((f.start_of_frame ? PACKET_FRAME_START : 0) |
                          (f.end_of_frame ? PACKET_FRAME_END : 0));
    if (note_keyframe(t, p->ts_ticks, f.has_structure, now_us))
        p->flags |= PACKET_KEYFRAME;
    p->spatial = f.frame.spatial_id;
    p->temporal = f.frame.temporal_id;
}

/* ---- Header extensions ------------------------------------------------------------------------- */

/* What means something beyond this hop, and its id inside the cluster. */
static const struct {
    enum rtp_ext_kind kind;
    enum packet_ext_id id;
} carried[] = {
    {RTP_EXT_AUDIO_LEVEL, PACKET_EXT_AUDIO_LEVEL},
    {RTP_EXT_VIDEO_ORIENTATION, PACKET_EXT_VIDEO_ORIENTATION},
    {RTP_EXT_PLAYOUT_DELAY, PACKET_EXT_PLAYOUT_DELAY},
    {RTP_EXT_DEPENDENCY_DESCRIPTOR, PACKET_EXT_DEPENDENCY},
};

static enum packet_ext_id cluster_id(const struct whip_track *t, uint8_t id)
{
    for (size_t i = 0; i < LEN(carried); i++)
        if (t->cfg.ext_id[carried[i].kind] == id)
            return carried[i].id;
    return 0;
}

/* packet.h: elements as (id, length, data); a set that does not fit is dropped whole. */
static void copy_extensions(const struct whip_track *t, const struct rtp_view *v, struct packet *p)
{
    struct rtp_ext_iter it = rtp_ext_iter_init(v->ext_profile, v->ext, v->ext_len);
    struct writer w = writer_init(p->bytes, PACKET_EXT_MAX);
    struct rtp_ext ext;

    while (v->ext_len && rtp_ext_next(&it, &ext)) {
        enum packet_ext_id id = cluster_id(t, ext.id);

        if (!id)
            continue;
        writer_u8(&w, (uint8_t)id);
        writer_u8(&w, ext.len);
        writer_bytes(&w, ext.data, ext.len);
    }
    p->ext_len = w.bad ? 0 : (uint8_t)writer_len(&w);
}

static bool find_extension(const struct whip_track *t, const struct rtp_view *v, enum rtp_ext_kind kind,
                           struct rtp_ext *out)
{
    uint8_t id = t->cfg.ext_id[kind];

    return id && v->ext_len && rtp_ext_find(out, v->ext_profile, v->ext, v->ext_len, id);
}

/* ---- A packet ---------------------------------------------------------------------------------- */

static void fill_packet(struct whip_media *m, struct whip_track *t, const struct rtp_view *v,
                        const struct rtp_arrival *a, const struct payload_marks *marks, struct packet *p,
                        uint64_t now_us)
{
    struct rtp_ext descriptor;

    p->seq = a->seq;
    p->ts_ticks = a->ts_ticks;
    p->capture_us = a->capture_us;
    p->track = t->cfg.index;
    p->flags = v->marker ? PACKET_MARKER : 0;
    copy_extensions(t, v, p);
    p->payload_len = (uint16_t)v->payload_len;
    if (v->payload_len)
        memcpy(p->bytes + p->ext_len, v->payload, v->payload_len);
    if (!marks)
        p->flags |= PACKET_PADDING;
    else if (codec_kind(t->cfg.facts.codec) == CODEC_KIND_AUDIO)
        p->flags |= PACKET_FRAME_START | PACKET_FRAME_END | PACKET_KEYFRAME;
    else
        mark_video(m, t, p, marks, a->late, now_us);
    if (marks && find_extension(t, v, RTP_EXT_DEPENDENCY_DESCRIPTOR, &descriptor))
        mark_by_descriptor(t, p, &descriptor, now_us);
    t->recent[p->seq % WHIP_RECENT] = (struct whip_recent){.seq = p->seq, .ts_ticks = p->ts_ticks};
}

static void push_packet(struct whip_media *m, struct whip_track *t, const struct rtp_view *v,
                        const struct rtp_arrival *a, uint64_t now_us)
{
    struct payload_marks marks;
    bool padding = v->payload_len == 0;

    if (v->payload_len > PACKET_PAYLOAD_MAX) {
        t->counters.oversize++;
        LOG_LIMITED("whip", "a payload of %zu bytes is more than the %d that are carried stream=%s",
                    v->payload_len, PACKET_PAYLOAD_MAX, m->cfg.stream);
        return;
    }
    if (!padding && codec_inspect(t->cfg.facts.codec, v->payload, v->payload_len, &marks) != CODEC_OK) {
        t->counters.bad_payload++;
        return;
    }
    struct packet *p = packet_create(m->cfg.pool);
    if (!p) {
        t->counters.dropped_pool++;
        return;
    }
    fill_packet(m, t, v, a, padding ? NULL : &marks, p, now_us);
    t->counters.packets++;
    t->counters.bytes += v->payload_len;
    m->cfg.ops->push(m->cfg.arg, p);
}

/* With what the present source's receiver has counted. */
static struct whip_media_counters track_counters(const struct whip_track *t)
{
    struct whip_media_counters c = t->counters;

    if (!t->has_source)
        return c;
    c.lost += rtp_receiver_lost(&t->receiver);
    c.recovered += t->receiver.nack.counters.recovered;
    return c;
}

/* The publisher changed its SSRC (an encoder restarted): its numbers and timestamps begin anew. */
static void change_source(struct whip_media *m, struct whip_track *t, uint32_t ssrc)
{
    bool had = t->has_source && t->counters.packets > 0;

    t->counters = track_counters(t);
    start_source(m, t, ssrc);
    if (!had)
        return;
    m->strangers += STRANGERS_A_CHANGE;
    log_info("whip", "the %s has a new source, a new epoch begins stream=%s", codec_name(t->cfg.facts.codec),
             m->cfg.stream);
    m->cfg.ops->on_source(m->cfg.arg);
}

/* False: nothing to pass on. */
static bool unwrap_rtx(struct whip_media *m, struct whip_track *t, struct rtp_view *v, uint64_t now_us,
                       uint64_t unix_us)
{
    struct rtp_arrival a;

    if (!t->has_rtx_source || t->rtx_receiver.ssrc != v->ssrc)
        start_rtx_source(m, t, v->ssrc);
    if (rtp_receiver_push(&t->rtx_receiver, v, true, now_us, unix_us, &a) != RTP_PUSH_NEW)
        return false;
    return t->has_source && rtx_unwrap(v, t->receiver.ssrc, t->cfg.pt) == 0;
}

static void on_track_packet(struct whip_media *m, struct whip_track *t, struct rtp_view *v, bool rtx,
                            uint64_t now_us, uint64_t unix_us)
{
    struct rtp_arrival a;

    if (rtx && !unwrap_rtx(m, t, v, now_us, unix_us))
        return;
    if (!t->has_source || t->receiver.ssrc != v->ssrc)
        change_source(m, t, v->ssrc);
    t->packet_us = now_us;
    switch (rtp_receiver_push(&t->receiver, v, rtx, now_us, unix_us, &a)) {
    case RTP_PUSH_NEW:
        push_packet(m, t, v, &a, now_us);
        break;
    case RTP_PUSH_DUPLICATE:
        t->counters.duplicates++;
        break;
    case RTP_PUSH_FAR:
        break;
    }
}

void whip_media_on_rtp(struct whip_media *m, const uint8_t *pkt, size_t len, uint64_t now_us,
                       uint64_t unix_us)
{
    struct rtp_view v;
    struct rtp_ext ext;
    uint16_t transport_seq;

    if (rtp_view_parse(&v, pkt, len) != RTP_OK) {
        m->bad_rtp++;
        return;
    }
    uint8_t to = m->by_pt[v.pt];
    if (!to) {
        m->strangers++;
        return;
    }
    struct whip_track *t = &m->tracks[(to & ~WHIP_PT_RTX) - 1];
    if (find_extension(t, &v, RTP_EXT_TRANSPORT_CC, &ext) &&
        rtp_ext_transport_cc_parse(&transport_seq, ext.data, ext.len))
        twcc_feedback_on_packet(&m->twcc, transport_seq, v.ssrc, now_us);
    on_track_packet(m, t, &v, to & WHIP_PT_RTX, now_us, unix_us);
}

/* ---- RTCP in ----------------------------------------------------------------------------------- */

static void on_sender_report(struct whip_media *m, const struct rtcp_report *r, uint64_t now_us,
                             uint64_t unix_us)
{
    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        struct whip_track *t = &m->tracks[i];

        if (t->has_source && t->receiver.ssrc == r->ssrc)
            rtp_receiver_on_sr(&t->receiver, r, now_us, unix_us);
        else if (t->has_rtx_source && t->rtx_receiver.ssrc == r->ssrc)
            rtp_receiver_on_sr(&t->rtx_receiver, r, now_us, unix_us);
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

    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        struct whip_track *t = &m->tracks[i];

        if (t->has_source && rtp_receiver_report(&t->receiver, now_us, &r.blocks[r.block_count]))
            r.block_count++;
        if (t->has_rtx_source && rtp_receiver_report(&t->rtx_receiver, now_us, &r.blocks[r.block_count]))
            r.block_count++;
    }
    rtcp_report_write(&w, &r);
    rtcp_sdes_write(&w, &cname);
    send_rtcp(m, &w);
}

static void send_nacks(struct whip_media *m, struct whip_track *t, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    uint16_t seqs[NACK_BATCH];
    size_t n;

    while (t->has_source && t->cfg.nack &&
           (n = rtp_receiver_poll_nack(&t->receiver, now_us, seqs, NACK_BATCH)) > 0) {
        struct writer w = begin_compound(m, buf);

        t->counters.nacked += rtcp_nack_write(&w, m->ssrc, t->receiver.ssrc, seqs, n);
        send_rtcp(m, &w);
        if (n < NACK_BATCH)
            break;
    }
}

/* A keyframe is asked for when someone needs it, when a hole was given up, or when the last one is too long
 * ago. */
static bool keyframe_wanted(const struct whip_media *m, const struct whip_track *t, uint64_t now_us)
{
    if (!t->cfg.pli || !t->has_source || codec_kind(t->cfg.facts.codec) != CODEC_KIND_VIDEO)
        return false;
    bool overdue = now_us - t->keyframe_us >= m->cfg.keyframe_us && now_us - t->packet_us < SILENT_US;
    return (t->want_keyframe || overdue) && now_us - t->asked_us >= KEYFRAME_AGAIN_US;
}

static void send_pli(struct whip_media *m, struct whip_track *t, uint64_t now_us)
{
    uint8_t buf[WHIP_RTCP_CAP];
    struct writer w = begin_compound(m, buf);
    struct rtcp_pli pli = {.sender_ssrc = m->ssrc, .media_ssrc = t->receiver.ssrc};

    rtcp_pli_write(&w, &pli);
    send_rtcp(m, &w);
    t->asked_us = now_us;
    t->want_keyframe = false;
    t->counters.plis++;
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

static void watch_silence(struct whip_media *m, struct whip_track *t, uint64_t now_us)
{
    bool silent = t->packet_us && now_us - t->packet_us >= WHIP_SILENT_US;

    if (silent && !t->silent)
        log_info("whip", "no %s for %d s stream=%s", codec_name(t->cfg.facts.codec), WHIP_SILENT_US / 1000000,
                 m->cfg.stream);
    else if (t->silent && !silent)
        log_info("whip", "%s is back stream=%s", codec_name(t->cfg.facts.codec), m->cfg.stream);
    t->silent = silent;
}

void whip_media_poll(struct whip_media *m, uint64_t now_us)
{
    if (now_us >= twcc_feedback_due_us(&m->twcc))
        send_arrivals(m, now_us);
    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        struct whip_track *t = &m->tracks[i];

        send_nacks(m, t, now_us);
        if (keyframe_wanted(m, t, now_us))
            send_pli(m, t, now_us);
    }
    if (now_us < m->report_us)
        return;
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        watch_silence(m, &m->tracks[i], now_us);
    send_reports(m, now_us);
    m->report_us = now_us + REPORT_US / 2 + random_u32() % REPORT_US; /* s6.2: randomised */
}

static uint64_t track_due_us(const struct whip_track *t)
{
    uint64_t nack_us = t->has_source && t->cfg.nack ? rtp_receiver_due_us(&t->receiver) : UINT64_MAX;
    uint64_t pli_us = t->want_keyframe ? t->asked_us + KEYFRAME_AGAIN_US : UINT64_MAX;

    return nack_us < pli_us ? nack_us : pli_us;
}

/* Keyframes that are overdue are asked for with the reports: it need not be to the millisecond. */
uint64_t whip_media_due_us(const struct whip_media *m)
{
    uint64_t due_us = m->report_us;

    if (twcc_feedback_due_us(&m->twcc) < due_us)
        due_us = twcc_feedback_due_us(&m->twcc);
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        if (track_due_us(&m->tracks[i]) < due_us)
            due_us = track_due_us(&m->tracks[i]);
    return due_us;
}

void whip_media_need_keyframe(struct whip_media *m, unsigned track)
{
    for (size_t i = 0; i < m->cfg.n_tracks; i++)
        if (m->tracks[i].cfg.index == track)
            m->tracks[i].want_keyframe = m->tracks[i].cfg.pli && m->tracks[i].has_source;
}

/* ---- Facts ------------------------------------------------------------------------------------- */

void whip_media_facts(const struct whip_media *m, uint64_t now_us, struct whip_media_facts *out)
{
    *out = (struct whip_media_facts){.n_tracks = m->cfg.n_tracks};
    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        const struct whip_track *t = &m->tracks[i];

        out->tracks[i] = (struct whip_track_facts){
            .codec = t->cfg.facts.codec,
            .silent_us = t->packet_us ? now_us - t->packet_us : UINT64_MAX,
            .jitter_ticks = (uint32_t)(t->receiver.jitter_x16 / 16),
            .b_frames = t->b_frames,
            .counters = track_counters(t),
        };
    }
}

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

void whip_media_count(const struct whip_media *m, struct whip_media_counters *out)
{
    out->bad_rtp += m->bad_rtp;
    out->strangers += m->strangers;
    out->bad_rtcp += m->bad_rtcp;
    for (size_t i = 0; i < m->cfg.n_tracks; i++) {
        struct whip_media_counters c = track_counters(&m->tracks[i]);
        add_counters(out, &c);
    }
}
