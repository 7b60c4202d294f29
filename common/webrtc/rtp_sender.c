/* SPDX-License-Identifier: Apache-2.0
 * rtp_sender.c - segments, numbers, retransmissions and reports of one outgoing track; see rtp_sender.h. */
#include "webrtc/rtp_sender_priv.h"

#include "base/seq.h"

#include <stdlib.h>
#include <string.h>

_Static_assert((RTP_RESEND_SLOTS & (RTP_RESEND_SLOTS - 1)) == 0, "slot by mask");

_Static_assert(65536 % RTP_SENT_NUMBERS == 0 && RTP_SENT_NUMBERS % 64 == 0, "bit by number");

_Static_assert(RTX_OSN_BYTES >= 1, "RED's header of a packet that goes alone takes RTX's place");

enum {
    BUDGET_FIRST_BYTES = 64 * 1024,
    RTT_MAX_US = 60000000,
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
        .rtx_pt = start->red_pt ? 0 : start->rtx_pt,
        .red_pt = start->red_pt,
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
    rtp_sender_judge(s);
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
    s->now.picture_id_offset = cut ? (uint16_t)(s->now.picture_id_offset - s->before.cut->pictures_out) & 0x7fff : s->now.picture_id_offset;
    s->now.cut = cut;
    rtp_sender_judge(s);
}

/* ---- what is left out ------------------------------------------------------------------------------------- */

static const struct rtp_level ALL = {RTP_LEVEL_ALL, RTP_LEVEL_ALL};

int rtp_sender_limit(struct rtp_sender *s, struct rtp_level level)
{
    if (!s->now.cut) {
        if (level.spatial == ALL.spatial && level.temporal == ALL.temporal)
            return 0;
        s->cuts = s->cuts ? s->cuts : calloc(2, sizeof(*s->cuts));
        if (!s->cuts)
            return -1;
        s->now.cut = s->before.cut == s->cuts ? s->cuts + 1 : s->cuts;
        rtp_cut_init(s->now.cut, s->highest - s->now.seq_offset, ALL); /* what waits for the pacer is behind that, and settled with the next */
        s->now.cut->skipped = s->skipped;
        rtp_sender_judge(s);
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
    return s->now.cut ? s->now.cut->skipped : s->skipped;
}

/* The segment goes on with constant offsets, from what its cut remembers on: so its packets take the short way again. */
static void drop_cut(struct rtp_sender *s)
{
    struct rtp_segment *g = &s->now;
    uint64_t since = rtp_cut_since(g->cut);

    g->seq_offset -= g->cut->total;
    g->picture_id_offset = (uint16_t)(g->picture_id_offset - g->cut->pictures_out) & 0x7fff;
    if (since > g->first_seq) {
        g->first_seq = since;
        s->before = (struct rtp_segment){0};
    }
    s->skipped = g->cut->skipped;
    g->cut = NULL;
    rtp_sender_judge(s);
}

bool rtp_sender_cut(struct rtp_sender *s, const struct packet *p)
{
    bool taken = rtp_sender_cut_on(s, p);

    /* Once in a while: with stamps alone, where nothing is sent again under its index, as a cut may have asked for another form of extensions. */
    if (taken && p->seq % 64 == 0 && rtp_sender_stamps(s) && p->seq == s->now.cut->newest && rtp_cut_is_idle(s->now.cut))
        drop_cut(s);
    return taken;
}

bool rtp_sender_cut_on(struct rtp_sender *s, const struct packet *p)
{
    struct rtp_segment *g = &s->now;
    struct payload_marks m;

    if (p->track != g->track || p->layer != g->layer || p->seq < g->first_seq)
        return true; /* rtp_sender_write knows better */
    bool newer = p->seq > g->cut->newest, taken = rtp_cut_push(g->cut, p);
    if (newer && g->vp8 && p->flags & PACKET_FRAME_START && rtp_sender_vp8_marks(p, &m))
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

/* ---- packets ------------------------------------------------------------------------------------------------------ */

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

static bool is_noted(const struct rtp_sender *s, uint64_t number)
{
    return s->sent[number % RTP_SENT_NUMBERS / 64] >> number % 64 & 1;
}

/* A copy of what was sent, or so late that nobody knows, would be another packet under the same index. A copy of one that went
 * alone by RED goes alone again, and is the same. */
static bool was_sent(const struct rtp_sender *s, uint64_t number)
{
    if (!(rtp_sender_stamps(s) || s->now.red_pt) || number > s->highest)
        return false;
    return s->highest - number >= RTP_SENT_NUMBERS || is_noted(s, number);
}

/* carries: the one before it, too. */
static void note_sent(struct rtp_sender *s, uint64_t number, bool carries)
{
    uint64_t from = s->highest + 1;

    if (!rtp_sender_stamps(s) && !s->now.red_pt)
        return;
    if (number >= from + RTP_SENT_NUMBERS)
        from = number - RTP_SENT_NUMBERS + 1;
    for (uint64_t n = from; n <= number; n++)
        s->sent[n % RTP_SENT_NUMBERS / 64] &= ~(UINT64_C(1) << n % 64);
    if (rtp_sender_stamps(s) || carries)
        s->sent[number % RTP_SENT_NUMBERS / 64] |= UINT64_C(1) << number % 64;
}

static void note_newest(struct rtp_sender *s, uint64_t number, uint64_t ts, const struct packet *p, uint64_t now_us)
{
    s->highest = number;
    s->last_ts = ts;
    s->last_us = now_us;
    s->last_capture_us = p->capture_us;
    s->sent_any = true;
}

static void count_packet(struct rtp_sender *s, const struct packet *p, size_t octets)
{
    s->counters.packets++;
    s->counters.octets += octets;
    fill_budget(s, p);
}

bool rtp_sender_write_any(struct rtp_sender *s, const struct packet *p, const struct packet *before, uint64_t now_us,
                          struct rtp_out *out)
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
    struct rtp_header h = {.ssrc = s->cfg.ssrc, .seq = (uint16_t)number, .pt = rtp_sender_pt(g, p)};
    if (was_sent(s, number))
        return false;
    rtp_sender_follow_vp8(s, p, number > s->highest);
    s->send_us = now_us;
    if (!rtp_sender_write_packet(s, g, p, &h, out))
        return false;
    out->index = srtp_index(number);
    bool carries = g->red_pt && number == s->highest + 1 && rtp_sender_red_carries(g, p, before, out);
    if (g->red_pt)
        rtp_sender_wrap_red(g, p, carries ? before : NULL, out);
    note_sent(s, number, carries);
    if (number > s->highest)
        note_newest(s, number, rtp_segment_ts(g, p->ts_ticks), p, now_us);
    else
        s->counters.late++;
    count_packet(s, p, out->payload_len + out->prefix_len);
    return true;
}

size_t rtp_sender_write_next(struct rtp_sender *s, const struct packet *p, bool padded, uint64_t now_us, uint8_t *dst, uint64_t *index)
{
    uint64_t number = s->highest + 1, ts = rtp_segment_ts(&s->now, p->ts_ticks);
    size_t len = rtp_sender_write_plain(s, p, (uint16_t)number, (uint32_t)ts, padded, dst);

    *index = srtp_index(number);
    s->sent[number % RTP_SENT_NUMBERS / 64] |= UINT64_C(1) << number % 64;
    note_newest(s, number, ts, p, now_us);
    count_packet(s, p, p->payload_len);
    return len;
}

bool rtp_sender_write_after(struct rtp_sender *s, const struct packet *p, const struct packet *before, uint64_t now_us,
                            struct rtp_out *out)
{
    if (!rtp_sender_is_next(s, p))
        return rtp_sender_write_any(s, p, before, now_us, out);
    out->hdr_len = rtp_sender_write_next(s, p, false, now_us, out->hdr, &out->index);
    out->numbered = true;
    out->prefix_len = 0;
    out->payload = packet_payload(p);
    out->payload_len = p->payload_len;
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

    if (!rtp_sender_write_packet(s, g, p, &h, out))
        return false;
    out->index = srtp_index(s->rtx_next++);
    memmove(out->prefix + RTX_OSN_BYTES, out->prefix, out->prefix_len);
    out->prefix_len += RTX_OSN_BYTES;
    out->prefix[0] = (uint8_t)(seq >> 8);
    out->prefix[1] = (uint8_t)seq;
    return true;
}

/* What the packet of this number was sent with by RED (NULL: nothing). False: nobody knows, or it has gone. */
static bool sent_with(const struct rtp_sender *s, const struct rtp_segment *g, uint64_t number, const struct packet *p,
                      const struct cache *cache, const struct packet **before)
{
    *before = NULL;
    if (!g->red_pt)
        return true;
    if (s->highest - number >= RTP_SENT_NUMBERS)
        return false;
    if (!is_noted(s, number))
        return true;
    *before = cache_find(cache, g->track, g->layer, p->seq - 1);
    return *before != NULL;
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
    const struct packet *before;
    if (!p || !sent_with(s, g, number, p, cache, &before)) {
        s->counters.resend_gone++;
        return false;
    }
    bool rtx = has_rtx(s, g), forgotten = number < s->forget_below && now_us < s->forget_until_us;
    if (forgotten || (!rtx && rtp_sender_stamps(s)) || !resend_allowed(s, seq, p, now_us)) {
        s->counters.resend_refused++;
        return false;
    }
    struct rtp_header h = {.ssrc = s->cfg.ssrc, .seq = seq, .pt = rtp_sender_pt(g, p)};
    s->send_us = now_us;
    if (!(rtx ? write_rtx(s, g, p, seq, out) : rtp_sender_write_packet(s, g, p, &h, out)))
        return false;
    if (!rtx)
        out->index = srtp_index(number);
    if (g->red_pt)
        rtp_sender_wrap_red(g, p, before, out);
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
