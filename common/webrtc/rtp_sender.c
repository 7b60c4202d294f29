/* SPDX-License-Identifier: Apache-2.0
 * rtp_sender.c - segments, headers, retransmissions and reports of one outgoing track; see rtp_sender.h. */
#include "webrtc/rtp_sender.h"

#include "base/seq.h"
#include "webrtc/rtx.h"
#include "wire/rtp_write.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((RTP_RESEND_SLOTS & (RTP_RESEND_SLOTS - 1)) == 0, "slot by mask");

_Static_assert(65536 % RTP_SENT_NUMBERS == 0 && RTP_SENT_NUMBERS % 64 == 0, "bit by number");

_Static_assert(RTP_OUT_PREFIX_MAX >= RTX_OSN_BYTES + 6, "RTX of a rewritten VP8 descriptor");

enum {
    BUDGET_FIRST_BYTES = 64 * 1024,
    RTT_MAX_US = 60000000,
    PLAYOUT_MAX_MS = 10000,
    ONE_BYTE_MAX = 16, /* bytes of an element in the one-byte form */
};

/* ---- time lines ---------------------------------------------------------------------------------------- */

static uint64_t us_to_ticks(uint64_t us, uint32_t hz)
{
    return us / 1000000 * hz + us % 1000000 * hz / 1000000;
}

static uint64_t ticks_to_us(uint64_t ticks, uint32_t hz)
{
    return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

uint64_t rtp_catch_up_us(uint64_t span_us, uint64_t bytes)
{
    uint64_t by_time = span_us / 4, by_rate = bytes * 8 * 1000000 / RTP_CATCH_UP_BPS;
    uint64_t us = by_time > by_rate ? by_time : by_rate;

    return us < RTP_CATCH_UP_MAX_US ? us : RTP_CATCH_UP_MAX_US;
}

uint64_t rtp_segment_ts(const struct rtp_segment *g, uint64_t ts_ticks)
{
    uint64_t meet = g->meet_ts + g->ts_offset;

    if ((int64_t)(ts_ticks - g->meet_ts) >= 0)
        return ts_ticks + g->ts_offset;
    /* Rounded up, so that what is before the meeting never reaches it. */
    return meet - ((g->meet_ts - ts_ticks) * g->run_ticks + g->span_ticks - 1) / g->span_ticks;
}

uint64_t rtp_segment_due_us(const struct rtp_segment *g, uint64_t ts_ticks)
{
    uint64_t first = g->meet_ts + g->ts_offset - g->run_ticks;
    int64_t since = (int64_t)(rtp_segment_ts(g, ts_ticks) - first);

    if (since > (int64_t)g->run_ticks)
        since = (int64_t)g->run_ticks; /* live goes out as it comes: some of it comes sooner than the line says */
    return since > 0 ? g->start_us + ticks_to_us((uint64_t)since, g->clock_hz) : g->start_us;
}

/* ---- segments --------------------------------------------------------------------------------------------- */

void rtp_sender_init(struct rtp_sender *s, const struct rtp_sender_cfg *cfg)
{
    memset(s, 0, sizeof(*s));
    s->cfg = *cfg;
    for (size_t i = 0; i < LEN(s->cfg.ext_id); i++)
        if (s->cfg.ext_id[i] > 14 && (!cfg->two_byte_ext || i == RTP_EXT_ABS_CAPTURE_TIME ||
                                      i == RTP_EXT_PLAYOUT_DELAY || i == RTP_EXT_TRANSPORT_CC ||
                                      i == RTP_EXT_ABS_SEND_TIME))
            s->cfg.ext_id[i] = 0; /* the one-byte form cannot carry it */
    s->highest = (cfg->first_seq & 0x7fff) + (uint64_t)PACKET_SEQ_FIRST - 1;
    s->rtx_next = (cfg->first_rtx_seq & 0x7fff) + (uint64_t)PACKET_SEQ_FIRST;
    s->last_ts = (uint64_t)1 << 32 | cfg->first_ts;
    s->budget_bytes = BUDGET_FIRST_BYTES;
}

void rtp_sender_fini(struct rtp_sender *s)
{
    free(s->cuts);
    s->cuts = s->now.cut = s->before.cut = NULL;
}

/* Ticks from the last that was sent to the first that will be. A picture of the other layer that was captured with or
 * before the last one is a little later all the same: no two frames have one timestamp. */
static uint64_t elapsed_ticks(const struct rtp_sender *s, const struct rtp_start *start, uint64_t now_us)
{
    uint64_t least = start->first_capture_us ? start->clock_hz / 1000 : 1;
    uint64_t us = now_us - s->last_us;

    if (!s->sent_any)
        return 0;
    if (start->first_capture_us)
        us = start->first_capture_us > s->last_capture_us ? start->first_capture_us - s->last_capture_us : 0;
    uint64_t ticks = us_to_ticks(us, start->clock_hz);
    return ticks > least ? ticks : least;
}

/* For a segment in place of the present one: the same layers are left out. */
static struct rtp_cut *next_cut(struct rtp_sender *s, uint64_t newest)
{
    if (!s->now.cut)
        return NULL;
    struct rtp_cut *next = s->now.cut == s->cuts ? s->cuts + 1 : s->cuts;
    rtp_cut_init(next, newest, s->now.cut->target);
    next->skipped = s->now.cut->skipped;
    return next;
}

void rtp_sender_start(struct rtp_sender *s, const struct rtp_start *start, uint64_t now_us)
{
    uint32_t hz = start->clock_hz;
    uint64_t first_out = s->last_ts + elapsed_ticks(s, start, now_us);
    struct rtp_segment g = {
        .epoch = start->epoch,
        .first_seq = start->first_seq,
        .seq_offset = s->highest + 1 - start->first_seq,
        .start_us = now_us,
        .clock_hz = hz,
        .playout_ms = start->playout_ms,
        .track = start->track,
        .layer = start->layer,
        .pt = start->pt,
        .rtx_pt = start->rtx_pt,
        .vp8 = start->vp8,
    };
    int64_t behind = (int64_t)(start->live_ts - start->first_ts);

    g.run_ticks = g.span_ticks = 1;
    if (behind > 0 && us_to_ticks(start->run_us, hz) > 0) {
        /* In run_us the past is sent, and what is new by then: live is met at live_ts + run. */
        g.run_ticks = us_to_ticks(start->run_us, hz);
        g.span_ticks = (uint64_t)behind + g.run_ticks;
    }
    g.meet_ts = start->first_ts + g.span_ticks;
    g.ts_offset = first_out + g.run_ticks - g.meet_ts;

    bool same_epoch = s->now.epoch == start->epoch;
    g.cut = next_cut(s, start->first_seq - 1);
    s->before = same_epoch ? s->now : (struct rtp_segment){0};
    s->now = g;
    s->running = true;
}

void rtp_sender_stop(struct rtp_sender *s)
{
    s->running = false;
}

/* The cluster's numbers make a jump that would put the receiver's roll-over guess at risk (RFC 3711 s3.3.1): the
 * viewer's go on without it. */
static void close_jump(struct rtp_sender *s, uint64_t seq)
{
    struct rtp_cut *cut = next_cut(s, seq);

    s->before = s->now;
    s->now.first_seq = seq;
    s->now.seq_offset = s->highest + 1 - seq;
    s->now.cut = cut;
}

/* ---- what is left out ------------------------------------------------------------------------------------- */

static const struct rtp_level ALL = {RTP_LEVEL_ALL, RTP_LEVEL_ALL};

int rtp_sender_limit(struct rtp_sender *s, struct rtp_level level)
{
    if (!s->now.cut) {
        if (level.spatial == ALL.spatial && level.temporal == ALL.temporal)
            return 0;
        s->cuts = calloc(2, sizeof(*s->cuts));
        if (!s->cuts)
            return -1;
        s->now.cut = s->cuts;
        rtp_cut_init(s->now.cut, s->highest - s->now.seq_offset, ALL); /* what waits for the pacer is behind that, and settled with the next */
    }
    rtp_cut_aim(s->now.cut, level);
    return 0;
}

struct rtp_level rtp_sender_level(const struct rtp_sender *s)
{
    return s->now.cut ? rtp_cut_level(s->now.cut) : ALL;
}

struct rtp_level rtp_sender_target(const struct rtp_sender *s)
{
    return s->now.cut ? s->now.cut->target : ALL;
}

uint64_t rtp_sender_skipped(const struct rtp_sender *s)
{
    return s->now.cut ? s->now.cut->skipped : 0;
}

static bool vp8_marks(const struct packet *p, struct payload_marks *m)
{
    return p->payload_len > 0 && codec_inspect(CODEC_VP8, packet_payload(p), p->payload_len, m) == CODEC_OK;
}

bool rtp_sender_cut(struct rtp_sender *s, const struct packet *p)
{
    struct rtp_segment *g = &s->now;
    struct payload_marks m;

    if (p->track != g->track || p->layer != g->layer || p->seq < g->first_seq)
        return true; /* rtp_sender_write knows better */
    bool newer = p->seq > g->cut->newest, taken = rtp_cut_push(g->cut, p);
    if (newer && g->vp8 && p->flags & PACKET_FRAME_START && vp8_marks(p, &m))
        rtp_cut_on_picture(g->cut, m.picture_id, m.picture_id_bits, !taken);
    return taken;
}

/* The viewer's number of the cluster's. False: nobody knows any more what was left out before it. */
static bool number_of(const struct rtp_segment *g, uint64_t seq, uint64_t *number)
{
    uint64_t out = 0;

    if (g->cut && !rtp_cut_before(g->cut, seq, &out))
        return false;
    *number = seq + g->seq_offset - out;
    return true;
}

/* And back. */
static bool seq_of(const struct rtp_segment *g, uint64_t number, uint64_t *seq)
{
    *seq = number - g->seq_offset;
    return !g->cut || rtp_cut_seq(g->cut, number - g->seq_offset, seq);
}

static bool is_empty(const struct rtp_segment *g, const struct packet *p)
{
    return g->cut && !rtp_cut_shows(g->cut, p);
}

static bool has_marker(const struct rtp_segment *g, const struct packet *p)
{
    return g->cut ? rtp_cut_ends_picture(g->cut, p) : (p->flags & PACKET_MARKER) != 0;
}

/* ---- headers ------------------------------------------------------------------------------------------------ */

static enum rtp_ext_kind kind_of_canonical(uint8_t id)
{
    switch (id) {
    case PACKET_EXT_AUDIO_LEVEL: return RTP_EXT_AUDIO_LEVEL;
    case PACKET_EXT_VIDEO_ORIENTATION: return RTP_EXT_VIDEO_ORIENTATION;
    case PACKET_EXT_PLAYOUT_DELAY: return RTP_EXT_PLAYOUT_DELAY;
    case PACKET_EXT_DEPENDENCY: return RTP_EXT_DEPENDENCY_DESCRIPTOR;
    default: return RTP_EXT_UNKNOWN;
    }
}

/* The packet's canonical elements (id, length, data)*, one at a time. */
static bool next_element(struct reader *r, struct rtp_ext *e)
{
    if (reader_left(r) == 0)
        return false;
    e->id = reader_u8(r);
    e->len = reader_u8(r);
    e->data = reader_take(r, e->len);
    return !r->bad;
}

static bool fits_one_byte(const struct rtp_ext *e, uint8_t id)
{
    return e->len >= 1 && e->len <= ONE_BYTE_MAX && id <= 14;
}

/* Whether an element needs the two-byte form, which is then used for all of the packet. */
static bool needs_two_byte(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p)
{
    struct reader r = reader_init(p->bytes, p->ext_len);
    struct rtp_ext e;

    while (s->cfg.two_byte_ext && next_element(&r, &e)) {
        uint8_t id = s->cfg.ext_id[kind_of_canonical(e.id)];
        if (g->cut && e.id == PACKET_EXT_DEPENDENCY)
            e.len = (uint8_t)(e.len + DD_RESTRICT_MORE);
        if (id && e.len > 0 && !fits_one_byte(&e, id))
            return true;
    }
    return false;
}

/* What we have to say of the packet's time: when it was captured, with each frame; the least delay to play with, with
 * each keyframe (receivers keep it) unless the publisher says one. */
static void write_own_elements(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                               bool has_playout, struct rtp_ext_writer *w)
{
    uint8_t capture_id = s->cfg.ext_id[RTP_EXT_ABS_CAPTURE_TIME], playout_id = s->cfg.ext_id[RTP_EXT_PLAYOUT_DELAY];
    uint8_t value[RTP_EXT_ABS_CAPTURE_TIME_LONG_BYTES];

    if (!(p->flags & PACKET_FRAME_START))
        return;
    if (capture_id) {
        struct rtp_abs_capture_time at = {.ntp = ntp_of_unix_us(p->capture_us)};
        rtp_ext_write(w, capture_id, value, rtp_ext_abs_capture_time_write(value, &at));
    }
    if (playout_id && g->playout_ms && (p->flags & PACKET_KEYFRAME) && !has_playout) {
        rtp_ext_playout_delay_write(value, &(struct rtp_playout_delay){g->playout_ms, PLAYOUT_MAX_MS});
        rtp_ext_write(w, playout_id, value, RTP_EXT_PLAYOUT_DELAY_BYTES);
    }
}

/* Each sending of a packet is another one then. */
static bool is_stamped(const struct rtp_sender *s)
{
    return s->cfg.ext_id[RTP_EXT_TRANSPORT_CC] || s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME];
}

static void write_stamps(const struct rtp_sender *s, struct rtp_ext_writer *w)
{
    uint8_t seq[RTP_EXT_TRANSPORT_CC_BYTES], time[RTP_EXT_ABS_SEND_TIME_BYTES];

    if (s->cfg.ext_id[RTP_EXT_TRANSPORT_CC]) {
        rtp_ext_transport_cc_write(seq, s->transport_seq);
        rtp_ext_write(w, s->cfg.ext_id[RTP_EXT_TRANSPORT_CC], seq, sizeof(seq));
    }
    if (s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME]) {
        rtp_ext_abs_send_time_write(time, s->send_us);
        rtp_ext_write(w, s->cfg.ext_id[RTP_EXT_ABS_SEND_TIME], time, sizeof(time));
    }
}

/* The bytes of a finished block, or 0 when it does not fit beside the payload. */
static size_t fitting(const struct packet *p, struct rtp_ext_writer *w, uint16_t *profile)
{
    int len = rtp_ext_writer_finish(w);

    if (len <= 0 || (size_t)len + RTP_HEADER_BYTES + 4 + RTX_OSN_BYTES + p->payload_len > RTP_OUT_MAX)
        return 0;
    *profile = rtp_ext_writer_profile(w);
    return (size_t)len;
}

/* The dependency descriptor with what is left of the layers, where it has to say so. */
static void tell_targets(const struct rtp_segment *g, const struct packet *p, struct rtp_ext *e, bool two_byte,
                         uint8_t *dst, size_t cap)
{
    size_t len = rtp_cut_descriptor(g->cut, p, e->data, e->len, dst, cap);

    if (len == 0 || (!two_byte && len > ONE_BYTE_MAX))
        return;
    e->data = dst;
    e->len = (uint8_t)len;
}

/* The extension block of p in the viewer's ids. But for its stamps it depends on segment and packet alone, so
 * that a packet that is sent again is the same. Returns its bytes, 0 for none. */
static size_t write_extensions(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                               uint8_t *block, size_t cap, uint16_t *profile)
{
    struct reader r = reader_init(p->bytes, p->ext_len);
    bool has_playout = false, stamped = is_stamped(s);
    uint8_t targets[PACKET_EXT_MAX];
    struct rtp_ext e;

    if (p->ext_len == 0 && !(p->flags & PACKET_FRAME_START) && !stamped)
        return 0;
    struct rtp_ext_writer w = rtp_ext_writer_init(block, cap, needs_two_byte(s, g, p));
    if (stamped)
        write_stamps(s, &w);
    while (next_element(&r, &e)) {
        uint8_t id = s->cfg.ext_id[kind_of_canonical(e.id)];
        has_playout |= e.id == PACKET_EXT_PLAYOUT_DELAY;
        if (g->cut && e.id == PACKET_EXT_DEPENDENCY)
            tell_targets(g, p, &e, w.two_byte, targets, sizeof(targets));
        if (id && (w.two_byte || fits_one_byte(&e, id)))
            rtp_ext_write(&w, id, e.data, e.len);
    }
    write_own_elements(s, g, p, has_playout, &w);
    size_t len = fitting(p, &w, profile);
    if (len > 0 || !stamped)
        return len; /* 0: the medium goes before what describes it */
    w = rtp_ext_writer_init(block, cap, false);
    write_stamps(s, &w);
    return fitting(p, &w, profile);
}

/* ---- VP8's descriptor ------------------------------------------------------------------------------------------- */

/* Gapless too. */
static uint16_t vp8_picture_id(const struct rtp_segment *g, const struct payload_marks *m)
{
    uint16_t out = g->cut ? rtp_cut_pictures_before(g->cut, m->picture_id, m->picture_id_bits) : 0;

    return (uint16_t)(m->picture_id + g->picture_id_offset - out) & 0x7fff;
}

/* Offsets of the segment by its first packet, and what was sent last. */
static void follow_vp8(struct rtp_sender *s, const struct packet *p, bool newest)
{
    struct rtp_segment *g = &s->now;
    struct payload_marks m;

    if (!g->vp8 || (g->vp8_known && !(newest && p->flags & PACKET_FRAME_START)) || !vp8_marks(p, &m))
        return;
    if (!g->vp8_known && s->sent_vp8) {
        g->picture_id_offset = (s->picture_id + 1 - m.picture_id) & 0x7fff;
        g->tl0picidx_offset = (uint8_t)(s->tl0picidx + 1 - m.tl0picidx);
        g->keyidx_offset = (s->keyidx + 1 - m.keyidx) & 0x1f;
    }
    g->vp8_known = s->sent_vp8 = true;
    if (!newest)
        return;
    s->picture_id = vp8_picture_id(g, &m);
    s->tl0picidx = (uint8_t)(m.tl0picidx + g->tl0picidx_offset);
    s->keyidx = (m.keyidx + g->keyidx_offset) & 0x1f;
}

static void rewrite_vp8(const struct rtp_segment *g, const struct payload_marks *m, uint8_t *d)
{
    uint16_t id = vp8_picture_id(g, m);

    if (m->picture_id_bits == 15) {
        d[m->picture_id_at] = (uint8_t)(0x80 | id >> 8);
        d[m->picture_id_at + 1] = (uint8_t)id;
    } else if (m->picture_id_bits == 7) {
        d[m->picture_id_at] = id & 0x7f;
    }
    if (m->tl0picidx_at)
        d[m->tl0picidx_at] = (uint8_t)(m->tl0picidx + g->tl0picidx_offset);
    if (m->keyidx_at)
        d[m->keyidx_at] = (uint8_t)((d[m->keyidx_at] & 0xe0) | ((m->keyidx + g->keyidx_offset) & 0x1f));
}

/* The payload in the viewer's counters: the descriptor as a prefix, the shared bytes untouched after it. */
static void write_payload(const struct rtp_segment *g, const struct packet *p, struct rtp_out *out)
{
    bool moved = g->picture_id_offset || g->tl0picidx_offset || g->keyidx_offset || g->cut;
    struct payload_marks m;

    out->prefix_len = 0;
    out->payload = packet_payload(p);
    out->payload_len = is_empty(g, p) ? 0 : p->payload_len;
    if (out->payload_len == 0 || !g->vp8 || !moved || !vp8_marks(p, &m) || m.header_bytes > RTP_OUT_PREFIX_MAX - RTX_OSN_BYTES)
        return;
    memcpy(out->prefix, out->payload, m.header_bytes);
    rewrite_vp8(g, &m, out->prefix);
    out->prefix_len = m.header_bytes;
    out->payload += m.header_bytes;
    out->payload_len -= m.header_bytes;
}

/* ---- packets ------------------------------------------------------------------------------------------------------ */

/* Everything but number, SSRC and payload type, which an RTX packet has of its own. */
static bool write_packet(const struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p,
                         struct rtp_header *h, struct rtp_out *out)
{
    uint8_t block[PACKET_EXT_MAX + 20];

    h->ts_ticks = (uint32_t)rtp_segment_ts(g, p->ts_ticks);
    h->marker = has_marker(g, p);
    h->ext_len = write_extensions(s, g, p, block, sizeof(block), &h->ext_profile);
    h->ext = h->ext_len ? block : NULL;
    out->numbered = h->ext_len && s->cfg.ext_id[RTP_EXT_TRANSPORT_CC];
    int len = rtp_header_write(out->hdr, sizeof(out->hdr), h);
    if (len < 0)
        return false;
    out->hdr_len = (size_t)len;
    write_payload(g, p, out);
    return true;
}

static void fill_budget(struct rtp_sender *s, const struct packet *p)
{
    uint32_t more = s->budget_bytes + p->payload_len / 2u;

    s->budget_bytes = more < RTP_RESEND_BUDGET_BYTES ? more : RTP_RESEND_BUDGET_BYTES;
}

/* RFC 3711 s3.3.1: the roll-over counter begins at zero, while our numbers begin one round higher. */
static uint64_t srtp_index(uint64_t number)
{
    return number - PACKET_SEQ_FIRST;
}

/* A copy of what was sent, or so late that nobody knows, would be another packet under the same index. */
static bool was_sent(const struct rtp_sender *s, uint64_t number)
{
    if (!is_stamped(s) || number > s->highest)
        return false;
    return s->highest - number >= RTP_SENT_NUMBERS || (s->sent[number % RTP_SENT_NUMBERS / 64] >> number % 64 & 1);
}

static void note_sent(struct rtp_sender *s, uint64_t number)
{
    uint64_t from = s->highest + 1;

    if (!is_stamped(s))
        return;
    if (number >= from + RTP_SENT_NUMBERS)
        from = number - RTP_SENT_NUMBERS + 1;
    for (uint64_t n = from; n <= number; n++)
        s->sent[n % RTP_SENT_NUMBERS / 64] &= ~(UINT64_C(1) << n % 64);
    s->sent[number % RTP_SENT_NUMBERS / 64] |= UINT64_C(1) << number % 64;
}

bool rtp_sender_write(struct rtp_sender *s, const struct packet *p, uint64_t now_us, struct rtp_out *out)
{
    const struct rtp_segment *g = &s->now;

    if (!s->running || p->track != g->track || p->layer != g->layer || p->seq < g->first_seq)
        return false;
    uint64_t number;
    if (!number_of(g, p->seq, &number))
        return false;
    if (number > s->highest + RTP_JUMP_MAX) {
        number = s->highest + 1;
        close_jump(s, p->seq);
    }
    struct rtp_header h = {.ssrc = s->cfg.ssrc, .seq = (uint16_t)number, .pt = g->pt};
    if (was_sent(s, number))
        return false;
    follow_vp8(s, p, number > s->highest);
    s->send_us = now_us;
    if (!write_packet(s, g, p, &h, out))
        return false;
    out->index = srtp_index(number);
    note_sent(s, number);
    if (number > s->highest) {
        s->highest = number;
        s->last_ts = rtp_segment_ts(g, p->ts_ticks);
        s->last_us = now_us;
        s->last_capture_us = p->capture_us;
        s->sent_any = true;
    } else {
        s->counters.late++;
    }
    s->counters.packets++;
    s->counters.octets += out->payload_len + out->prefix_len;
    fill_budget(s, p);
    return true;
}

void rtp_sender_pad(struct rtp_out *out, uint8_t *room, size_t pad_len)
{
    memcpy(room, out->payload, out->payload_len);
    memset(room + out->payload_len, 0, pad_len - 1);
    room[out->payload_len + pad_len - 1] = (uint8_t)pad_len;
    out->hdr[0] |= 0x20;
    out->payload = room;
    out->payload_len += pad_len;
}

/* ---- retransmission ------------------------------------------------------------------------------------------------ */

static const struct rtp_segment *segment_of(const struct rtp_sender *s, uint64_t number)
{
    if (s->now.epoch && number >= s->now.first_seq + s->now.seq_offset)
        return &s->now;
    if (s->before.epoch && number >= s->before.first_seq + s->before.seq_offset)
        return &s->before;
    return NULL;
}

/* Whether seq may be sent again now: not right after the last time, which is still on its way. */
static bool resend_allowed(struct rtp_sender *s, uint16_t seq, const struct packet *p, uint64_t now_us)
{
    size_t slot = seq & (RTP_RESEND_SLOTS - 1);
    uint32_t now_ms = (uint32_t)(now_us / 1000);
    uint64_t gap_us = s->rtt_us / 2 > RTP_RESEND_GAP_US ? s->rtt_us / 2 : RTP_RESEND_GAP_US;

    if (s->resent[slot].used && s->resent[slot].seq == seq && (now_ms - s->resent[slot].at_ms) * 1000ull < gap_us)
        return false;
    if (s->budget_bytes < p->payload_len)
        return false;
    s->budget_bytes -= p->payload_len;
    s->resent[slot].used = true;
    s->resent[slot].seq = seq;
    s->resent[slot].at_ms = now_ms;
    return true;
}

static bool has_rtx(const struct rtp_sender *s, const struct rtp_segment *g)
{
    return s->cfg.rtx_ssrc != 0 && g->rtx_pt != 0;
}

/* RFC 4588 s4: the original's number, then its payload, under a number of the RTX stream. */
static bool write_rtx(struct rtp_sender *s, const struct rtp_segment *g, const struct packet *p, uint16_t seq,
                      struct rtp_out *out)
{
    struct rtp_header h = {.ssrc = s->cfg.rtx_ssrc, .seq = (uint16_t)s->rtx_next, .pt = g->rtx_pt};

    if (!write_packet(s, g, p, &h, out))
        return false;
    out->index = srtp_index(s->rtx_next++);
    memmove(out->prefix + RTX_OSN_BYTES, out->prefix, out->prefix_len);
    out->prefix_len += RTX_OSN_BYTES;
    out->prefix[0] = (uint8_t)(seq >> 8);
    out->prefix[1] = (uint8_t)seq;
    return true;
}

bool rtp_sender_resend(struct rtp_sender *s, uint16_t seq, const struct cache *cache, uint64_t epoch, uint64_t now_us,
                       struct rtp_out *out)
{
    uint64_t number = seq16_extend(s->highest, seq);
    const struct rtp_segment *g = number <= s->highest ? segment_of(s, number) : NULL;

    s->counters.nacked++;
    uint64_t theirs;
    const struct packet *p =
        g && g->epoch == epoch && seq_of(g, number, &theirs) ? cache_find(cache, g->track, g->layer, theirs) : NULL;
    if (!p) {
        s->counters.resend_gone++;
        return false;
    }
    bool rtx = has_rtx(s, g), forgotten = number < s->forget_below && now_us < s->forget_until_us;
    if (forgotten || (!rtx && is_stamped(s)) || !resend_allowed(s, seq, p, now_us)) {
        s->counters.resend_refused++;
        return false;
    }
    struct rtp_header h = {.ssrc = s->cfg.ssrc, .seq = seq, .pt = g->pt};
    s->send_us = now_us;
    if (!(rtx ? write_rtx(s, g, p, seq, out) : write_packet(s, g, p, &h, out)))
        return false;
    if (!rtx)
        out->index = srtp_index(number);
    s->counters.resent++;
    s->counters.resent_octets += p->payload_len;
    return true;
}

bool rtp_sender_repeat(struct rtp_sender *s, uint64_t n, const struct cache *cache, uint64_t epoch, struct rtp_out *out)
{
    const struct rtp_segment *g = &s->now;
    uint64_t number = s->highest - n;

    if (!s->sent_any || !s->running || g->epoch != epoch || !has_rtx(s, g) || number < g->first_seq + g->seq_offset ||
        number > s->highest)
        return false;
    uint64_t theirs;
    const struct packet *p = seq_of(g, number, &theirs) ? cache_find(cache, g->track, g->layer, theirs) : NULL;
    if (!p || !write_rtx(s, g, p, (uint16_t)number, out))
        return false;
    s->counters.repeated++;
    return true;
}

/* ---- reports ---------------------------------------------------------------------------------------------------------- */

bool rtp_sender_report(struct rtp_sender *s, uint64_t now_us, struct rtcp_report *out)
{
    const struct rtp_segment *g = &s->now;
    uint64_t meet = g->meet_ts + g->ts_offset;

    if (!s->running || !s->sent_any || (int64_t)(s->last_ts - meet) < 0 || s->last_us < g->start_us)
        return false;
    /* Both clocks go on from the last packet, so that capture time and timestamp stay a pair. */
    uint64_t since_us = now_us - s->last_us;
    *out = (struct rtcp_report){
        .sender = true,
        .ssrc = s->cfg.ssrc,
        .ntp = ntp_of_unix_us(s->last_capture_us + since_us),
        .ts_ticks = (uint32_t)(s->last_ts + us_to_ticks(since_us, g->clock_hz)),
        .packets = (uint32_t)s->counters.packets,
        .octets = (uint32_t)s->counters.octets,
    };
    s->reports[s->next_report].at_us = now_us;
    s->reports[s->next_report].lsr = (uint32_t)(out->ntp >> 16);
    s->next_report = (s->next_report + 1) % LEN(s->reports);
    return true;
}

void rtp_sender_on_report(struct rtp_sender *s, const struct rtcp_report_block *b, uint64_t now_us)
{
    s->lost_total = b->lost_total > 0 ? (uint32_t)b->lost_total : 0;
    s->lost_fraction = b->lost_fraction;
    s->jitter_ticks = b->jitter_ticks;
    for (size_t i = 0; i < LEN(s->reports); i++) {
        if (b->lsr == 0 || s->reports[i].lsr != b->lsr)
            continue;
        uint64_t held_us = ((uint64_t)b->dlsr * 1000000) >> 16, total_us = now_us - s->reports[i].at_us;
        uint64_t sample_us = total_us > held_us ? total_us - held_us : 0;
        if (sample_us > RTT_MAX_US)
            return;
        s->rtt_us = s->rtt_us ? s->rtt_us - s->rtt_us / 8 + sample_us / 8 : sample_us;
        return;
    }
}
