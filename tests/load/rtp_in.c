/* SPDX-License-Identifier: Apache-2.0
 * rtp_in.c - see rtp_in.h. */
#include "rtp_in.h"

#include "base/random.h"
#include "base/seq.h"
#include "codec/inspect.h"
#include "wire/rtcp.h"

#include <stdlib.h>
#include <string.h>

enum {
    REPORT_US = 1000000,
    PLI_GAP_US = 500000,
    TIMER_MAX_US = 1000000,
    FIRST_PACKETS = 3,       /* of a frame: a delimiter and a stamp may come before what says that it is a keyframe */
    UNCHECKED_MAX = 256,     /* however small the share: the roll-over counter must be followed */
    LIVE_AFTER_US = 2000000, /* delay is measured when a viewer's catch-up is over */
    NACKS_MAX = 128,
};

/* ---- What was agreed on -------------------------------------------------------------------------------- */

void rtp_in_init(struct rtp_in *r, struct worker *w, const struct rtp_in_cfg *cfg)
{
    memset(r, 0, sizeof(*r));
    r->cfg = *cfg;
    r->worker = w;
    r->ssrc = random_u32();
}

static void agree_on_section(struct rtp_in *r, const struct sdp_media *m)
{
    uint8_t cc = sdp_extmap_id(m, RTP_EXT_TRANSPORT_CC);

    for (size_t i = 0; i < m->n_codecs; i++) {
        const struct sdp_codec *c = &m->codecs[i];
        struct rtp_in_payload p = {.codec = c->codec, .clock_hz = c->clock_hz, .nack = c->feedback & SDP_FB_NACK};

        p.ext_transport_cc = c->feedback & SDP_FB_TRANSPORT_CC ? cc : 0;
        r->payloads[c->pt] = p;
        if (c->rtx_pt) {
            p.of = c->pt;
            r->payloads[c->rtx_pt] = p;
        }
    }
}

int rtp_in_agree(struct rtp_in *r, const struct sdp_offer *answer)
{
    uint8_t cc = 0;

    for (size_t i = 0; i < answer->n_media; i++)
        if (!answer->media[i].rejected)
            agree_on_section(r, &answer->media[i]);
    for (size_t i = 0; i < LEN(r->payloads); i++)
        if (r->payloads[i].ext_transport_cc)
            cc = r->payloads[i].ext_transport_cc;
    for (size_t i = 0; i < LEN(r->payloads); i++)
        if (r->payloads[i].codec == CODEC_NONE)
            r->payloads[i].ext_transport_cc = cc; /* ids are the transport's (RFC 8843 s15): servers probe by types of their own */
    if (!cc || r->cfg.no_feedback)
        return 0;
    r->twcc = malloc(sizeof(*r->twcc));
    if (!r->twcc)
        return -1;
    twcc_feedback_init(r->twcc);
    return 0;
}

/* ---- Tracks ---------------------------------------------------------------------------------------------- */

static void on_given_up(struct rtp_in *r, struct rtp_in_track *t, uint64_t first, uint64_t last, size_t n)
{
    r->cfg.tally->rtp_lost += n;
    if (t != &r->video) {
        r->cfg.tally->rtp_lost_audio += n;
        return;
    }
    rtp_frames_lose(&r->frames, first, last, worker_now_us(r->worker));
    r->wants_keyframe = true;
}

static void on_video_given_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct rtp_in *r = arg;
    on_given_up(r, &r->video, first, last, n);
}

static void on_audio_given_up(void *arg, uint64_t first, uint64_t last, size_t n)
{
    struct rtp_in *r = arg;
    on_given_up(r, &r->audio, first, last, n);
}

static void on_keyframe(void *arg, uint64_t at_us)
{
    struct rtp_in *r = arg;

    r->wants_keyframe = false;
    if (r->first_keyframe)
        return;
    r->first_keyframe = true;
    r->cfg.on_first_keyframe(r->cfg.arg, at_us);
}

/* The receiver of this source's kind; begun anew when the server changes its SSRC. */
static struct rtp_in_track *track_of(struct rtp_in *r, uint32_t ssrc, uint8_t pt)
{
    const struct rtp_in_payload *p = &r->payloads[pt];
    bool video = codec_kind(p->codec) == CODEC_KIND_VIDEO;
    struct rtp_in_track *t = video ? &r->video : &r->audio;

    if (t->started && t->receiver.ssrc == ssrc)
        return t;
    rtp_receiver_init(&t->receiver,
                      &(struct rtp_receiver_cfg){
                          .ssrc = ssrc,
                          .clock_hz = p->clock_hz,
                          .clock = &r->clock,
                          .no_nack = !p->nack || r->cfg.no_feedback,
                          .nack = {.on_give_up = video ? on_video_given_up : on_audio_given_up, .arg = r},
                      });
    t->started = true;
    t->pt = pt;
    if (video) {
        rtp_frames_init(&r->frames, r->cfg.tally, on_keyframe, r);
        r->arrivals = (struct stamp_arrivals){0};
    }
    return t;
}

/* State is made for what the answer agreed on only. */
static struct rtp_in_source *source_of(struct rtp_in *r, const struct rtp_view *v)
{
    for (size_t i = 0; i < RTP_IN_SOURCES_MAX; i++) {
        struct rtp_in_source *s = &r->sources[i];

        if (s->used && s->ssrc == v->ssrc)
            return s;
        if (s->used)
            continue;
        if (r->payloads[v->pt].codec == CODEC_NONE)
            return NULL;
        s->used = true;
        s->ssrc = v->ssrc;
        s->pt = v->pt;
        srtp_window_init(&s->window, v->seq);
        return s;
    }
    return NULL;
}

/* ---- A packet ---------------------------------------------------------------------------------------------- */

struct arrived {
    struct rtp_view view; /* of the original when it was resent */
    struct rtp_in_track *track;
    uint64_t at_us, unix_us;
    bool plain; /* checked and decrypted */
    bool rtx;
};

/* The header of a packet that stays encrypted: its padding cannot be told. */
static int parse_protected(struct rtp_view *v, uint8_t *bytes, size_t len)
{
    uint8_t first = bytes[0];

    bytes[0] = first & 0xdf;
    int err = rtp_view_parse(v, bytes, len);
    bytes[0] = first;
    return err;
}

/* Retransmissions carry their number encrypted, first packets of frames the stamp and the keyframe: those always;
 * of the others the share. */
static bool is_due(struct rtp_in *r, const struct rtp_view *v)
{
    const struct rtp_in_payload *p = &r->payloads[v->pt];

    if (p->of || !r->first_keyframe || r->unchecked >= UNCHECKED_MAX)
        return true;
    r->check_debt += r->cfg.check;
    if (r->check_debt >= 1) {
        r->check_debt -= 1;
        return true;
    }
    if (codec_kind(p->codec) != CODEC_KIND_VIDEO || !r->video.started)
        return false;
    return rtp_frames_begins(&r->frames, seq16_extend(r->video.receiver.highest_seq, v->seq), FIRST_PACKETS);
}

static int check(struct rtp_in *r, struct rtp_in_source *s, uint8_t *bytes, size_t len, struct arrived *a)
{
    size_t plain_len;
    int err = srtp_rx_unprotect(r->cfg.assoc->shared->srtp, r->cfg.assoc->rx, &s->window, bytes, len, &plain_len, NULL);

    r->unchecked = 0;
    if (err == SRTP_ERR_REPLAY || err == SRTP_ERR_OLD)
        r->cfg.tally->rtp_duplicates++;
    else if (err)
        r->cfg.tally->rtp_bad++;
    if (err || rtp_view_parse(&a->view, bytes, plain_len) != RTP_OK)
        return -1;
    a->plain = true;
    r->cfg.tally->rtp_checked++;
    return 0;
}

static void count_congestion(struct rtp_in *r, const struct arrived *a)
{
    uint8_t id = r->payloads[a->view.pt].ext_transport_cc;
    struct rtp_ext e;
    uint16_t seq;

    if (r->twcc && id && rtp_ext_find(&e, a->view.ext_profile, a->view.ext, a->view.ext_len, id) &&
        rtp_ext_transport_cc_parse(&seq, e.data, e.len))
        twcc_feedback_on_packet(r->twcc, seq, a->view.ssrc, a->at_us);
}

/* A frame's first packet: its number and timestamp are told without its key. */
static void look_at_delay(struct rtp_in *r, const struct arrived *a, uint64_t ts_us)
{
    struct stamp_counts counts = {&r->cfg.tally->delay_us, r->cfg.firsts, &r->cfg.tally->delay_first_us};
    struct stamp_arrival frame = {ts_us, a->unix_us};
    struct stamp s;

    if (a->at_us < r->live_from_us)
        return;
    if (a->plain && stamp_find(a->view.payload, a->view.payload_len, &s))
        stamp_count(&r->arrivals, &s, &frame, &counts, a->at_us);
    else
        stamp_arrivals_push(&r->arrivals, ts_us, a->unix_us);
}

static void on_video(struct rtp_in *r, const struct arrived *a, const struct rtp_arrival *arrival)
{
    uint64_t ts_us = arrival->ts_ticks * 100 / 9; /* 90 kHz */
    struct payload_marks marks = {0};

    if (rtp_frames_begins(&r->frames, arrival->seq, 1))
        look_at_delay(r, a, ts_us);
    if (a->plain && a->view.payload_len > 0 &&
        codec_inspect(r->payloads[a->view.pt].codec, a->view.payload, a->view.payload_len, &marks) != CODEC_OK)
        marks = (struct payload_marks){0};
    rtp_frames_push(&r->frames, &(struct rtp_frames_packet){
                                    .seq = arrival->seq,
                                    .ts_us = ts_us,
                                    .at_us = a->at_us,
                                    .marker = a->view.marker,
                                    .keyframe = marks.keyframe,
                                });
}

static void on_new(struct rtp_in *r, const struct arrived *a, const struct rtp_arrival *arrival)
{
    if (!r->first_packet) {
        r->first_packet = true;
        r->live_from_us = a->at_us + LIVE_AFTER_US;
        r->cfg.on_first_packet(r->cfg.arg, a->at_us);
    }
    if (a->track == &r->video)
        on_video(r, a, arrival);
}

static void push(struct rtp_in *r, struct arrived *a)
{
    struct tally *t = r->cfg.tally;
    struct nack_counters before = a->track->receiver.nack.counters;
    struct rtp_arrival arrival;
    enum rtp_push_result result =
        rtp_receiver_push(&a->track->receiver, &a->view, a->rtx, a->at_us, a->unix_us, &arrival);
    const struct nack_counters *after = &a->track->receiver.nack.counters;

    t->rtp_recovered += after->recovered - before.recovered;
    t->rtp_reordered += after->reordered - before.reordered;
    if (result == RTP_PUSH_DUPLICATE)
        t->rtp_duplicates++;
    if (result != RTP_PUSH_NEW)
        return;
    t->rtp_received++;
    on_new(r, a, &arrival);
}

static void schedule(struct rtp_in *r, uint64_t now_us);

void rtp_in_on_rtp(struct rtp_in *r, uint8_t *bytes, size_t len, uint64_t at_us, uint64_t unix_us)
{
    struct arrived a = {.at_us = at_us, .unix_us = unix_us};

    if (len < RTP_HEADER_BYTES || parse_protected(&a.view, bytes, len) != RTP_OK)
        return;
    if (r->payloads[a.view.pt].codec == CODEC_NONE)
        count_congestion(r, &a); /* a probe: that it came is all there is to it */
    struct rtp_in_source *s = source_of(r, &a.view);
    if (!s || r->payloads[a.view.pt].codec == CODEC_NONE)
        return;
    r->cfg.tally->bytes += len;
    r->unchecked++;
    if (is_due(r, &a.view) && check(r, s, bytes, len, &a))
        return;
    count_congestion(r, &a);
    a.rtx = r->payloads[a.view.pt].of != 0;
    if (a.rtx) {
        uint8_t of = r->payloads[a.view.pt].of;
        bool video = codec_kind(r->payloads[of].codec) == CODEC_KIND_VIDEO;
        a.track = video ? &r->video : &r->audio;
        if (!a.track->started || rtx_unwrap(&a.view, a.track->receiver.ssrc, of))
            return; /* a probe, or nothing known that it could repeat */
    } else {
        a.track = track_of(r, a.view.ssrc, a.view.pt);
    }
    push(r, &a);
    if ((a.track->receiver.nack.n || r->twcc) && !r->closed)
        schedule(r, at_us);
}

void rtp_in_on_rtcp(struct rtp_in *r, const uint8_t *bytes, size_t len, uint64_t at_us, uint64_t unix_us)
{
    struct rtcp_walk walk = rtcp_walk_init(bytes, len);
    struct rtcp_packet p;
    struct rtcp_report sr;

    while (rtcp_walk_next(&walk, &p) == 1) {
        if (p.type != RTCP_SR || rtcp_report_parse(&sr, &p) != RTCP_OK)
            continue;
        if (r->video.started && r->video.receiver.ssrc == sr.ssrc)
            rtp_receiver_on_sr(&r->video.receiver, &sr, at_us, unix_us);
        else if (r->audio.started && r->audio.receiver.ssrc == sr.ssrc)
            rtp_receiver_on_sr(&r->audio.receiver, &sr, at_us, unix_us);
    }
}

/* ---- Feedback ------------------------------------------------------------------------------------------------ */

static void write_report(struct rtp_in *r, struct writer *w, uint64_t now_us)
{
    struct rtcp_report rr = {.ssrc = r->ssrc};
    struct rtp_in_track *tracks[] = {&r->video, &r->audio};

    for (size_t i = 0; i < LEN(tracks); i++)
        if (tracks[i]->started && rtp_receiver_report(&tracks[i]->receiver, now_us, &rr.blocks[rr.block_count])) {
            uint64_t hz = tracks[i]->receiver.clock_hz;
            histogram_push(&r->cfg.tally->jitter_us, rr.blocks[rr.block_count].jitter_ticks * UINT64_C(1000000) / hz);
            rr.block_count++;
        }
    rtcp_report_write(w, &rr);
    rtcp_sdes_write(w, &(struct rtcp_cname){.name = "load", .name_len = 4, .ssrc = r->ssrc});
}

static void write_nacks(struct rtp_in *r, struct writer *w, struct rtp_in_track *t, uint64_t now_us)
{
    uint16_t seqs[NACKS_MAX];
    size_t n = t->started ? rtp_receiver_poll_nack(&t->receiver, now_us, seqs, LEN(seqs)) : 0;

    r->cfg.tally->nacks += n;
    if (n)
        (void)rtcp_nack_write(w, r->ssrc, t->receiver.ssrc, seqs, n);
}

static void write_pli(struct rtp_in *r, struct writer *w, uint64_t now_us)
{
    bool waits = !r->first_keyframe && now_us > r->live_from_us - LIVE_AFTER_US + REPORT_US;

    if (!r->video.started || r->cfg.no_feedback || !(r->wants_keyframe || waits) || now_us < r->pli_due_us)
        return;
    rtcp_pli_write(w, &(struct rtcp_pli){.sender_ssrc = r->ssrc, .media_ssrc = r->video.receiver.ssrc});
    r->pli_due_us = now_us + PLI_GAP_US;
    r->cfg.tally->plis++;
}

static void send_congestion(struct rtp_in *r, uint64_t now_us)
{
    uint8_t bytes[ASSOC_RTCP_MAX + SRTCP_OVERHEAD_MAX];

    for (;;) {
        struct writer w = writer_init(bytes, ASSOC_RTCP_MAX);

        rtcp_report_write(&w, &(struct rtcp_report){.ssrc = r->ssrc});
        if (!twcc_feedback_write(r->twcc, &w, r->ssrc, now_us) || w.bad)
            return;
        assoc_send_rtcp(r->cfg.assoc, bytes, writer_len(&w), sizeof(bytes));
    }
}

/* A full compound packet each second, and whenever something is missing. */
static void send_feedback(struct rtp_in *r, uint64_t now_us)
{
    uint8_t bytes[ASSOC_RTCP_MAX + SRTCP_OVERHEAD_MAX];
    struct writer w = writer_init(bytes, ASSOC_RTCP_MAX);
    bool report = now_us >= r->report_due_us;

    if (report) {
        write_report(r, &w, now_us);
        r->report_due_us = now_us + REPORT_US * 8 / 10 + random_u32() % (REPORT_US * 4 / 10);
    } else {
        rtcp_report_write(&w, &(struct rtcp_report){.ssrc = r->ssrc});
    }
    size_t without = writer_len(&w);
    write_nacks(r, &w, &r->video, now_us);
    write_nacks(r, &w, &r->audio, now_us);
    write_pli(r, &w, now_us);
    if (!w.bad && (report || writer_len(&w) > without))
        assoc_send_rtcp(r->cfg.assoc, bytes, writer_len(&w), sizeof(bytes));
    if (r->twcc && now_us >= twcc_feedback_due_us(r->twcc))
        send_congestion(r, now_us);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void schedule(struct rtp_in *r, uint64_t now_us)
{
    uint64_t due_us = earlier(r->report_due_us, now_us + TIMER_MAX_US);

    if (r->video.started)
        due_us = earlier(due_us, rtp_receiver_due_us(&r->video.receiver));
    if (r->audio.started)
        due_us = earlier(due_us, rtp_receiver_due_us(&r->audio.receiver));
    if (r->twcc)
        due_us = earlier(due_us, twcc_feedback_due_us(r->twcc));
    if (timer_running(&r->timer) && r->timer.due_us <= due_us)
        return;
    timer_start(&r->timer, due_us > now_us ? due_us - now_us : 0);
}

static void on_due(struct timer *t, uint64_t now_us)
{
    struct rtp_in *r = container_of(t, struct rtp_in, timer);

    send_feedback(r, now_us);
    schedule(r, now_us);
}

void rtp_in_start(struct rtp_in *r)
{
    uint64_t now_us = worker_now_us(r->worker);

    timer_init(&r->timer, r->worker, on_due);
    r->report_due_us = now_us + random_u32() % REPORT_US;
    r->live_from_us = now_us + LIVE_AFTER_US;
    schedule(r, now_us);
}

void rtp_in_close(struct rtp_in *r)
{
    if (r->closed)
        return;
    r->closed = true;
    if (r->timer.worker)
        timer_stop(&r->timer);
    if (r->video.started)
        frame_watch_end(&r->frames.watch, worker_now_us(r->worker));
    free(r->twcc);
    r->twcc = NULL;
}
