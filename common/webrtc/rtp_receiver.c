/* SPDX-License-Identifier: Apache-2.0
 * rtp_receiver.c - numbering, statistics and capture time of one incoming SSRC; see rtp_receiver.h. */
#include "webrtc/rtp_receiver.h"

#include "base/seq.h"
#include "media/packet.h"

#include <string.h>

_Static_assert((int)RTP_MISORDER_MAX == (int)NACK_HISTORY, "what is accepted is known to be new or duplicate");

enum {
    CLOCK_STEP_US = 2000000,  /* the publisher set its clock: take the new one over at once */
    CLOCK_DRIFT = 10000,      /* quartz drifts by less than 1 in 10,000 */
    CAPTURE_STEP_US = 1000000, /* a line so far off is not slewed but moved */
    CAPTURE_SLEW = 20,        /* else: 1 us in 20 */
};

/* ---- the publisher's clock --------------------------------------------------------------------------- */

/* 32.32 seconds as microseconds, the epoch left as it is: some senders count from their own start. */
static int64_t ntp_us(uint64_t ntp)
{
    return (int64_t)((ntp >> 32) * 1000000 + ((ntp & 0xffffffff) * 1000000 >> 32));
}

/* A report took the offset plus its way here, so the smallest difference is the truest; one that is larger is
 * believed only as far as clocks drift. */
static void clock_learn(struct rtp_clock *c, int64_t sample_us, uint64_t now_us)
{
    int64_t more = sample_us - c->offset_us, drift = (int64_t)((now_us - c->learnt_us) / CLOCK_DRIFT);

    if (!c->known || more < 0 || more > CLOCK_STEP_US)
        c->offset_us = sample_us;
    else
        c->offset_us += more < drift ? more : drift;
    c->known = true;
    c->learnt_us = now_us;
}

/* ---- capture time ------------------------------------------------------------------------------------- */

static int64_t ticks_to_us(const struct rtp_receiver *r, int64_t ticks)
{
    int64_t hz = r->clock_hz;

    return ticks / hz * 1000000 + ticks % hz * 1000000 / hz;
}

static int64_t clamp(int64_t v, int64_t limit)
{
    return v > limit ? limit : v < -limit ? -limit : v;
}

static int64_t capture_at(const struct rtp_receiver *r, uint64_t ts)
{
    int64_t run_us = ticks_to_us(r, (int64_t)(ts - r->anchor_ts));
    int64_t slew_us = run_us > 0 ? clamp(r->slew_us, run_us / CAPTURE_SLEW) : 0;

    return r->anchor_us + run_us + slew_us;
}

uint64_t rtp_receiver_capture_us(const struct rtp_receiver *r, uint64_t ts_ticks)
{
    int64_t us = capture_at(r, ts_ticks);

    return us > 0 ? (uint64_t)us : 0;
}

static void anchor(struct rtp_receiver *r, uint64_t ts, int64_t us, int64_t slew_us)
{
    r->anchor_ts = ts;
    r->anchor_us = us;
    r->slew_us = slew_us;
}

/* The sender says that this timestamp is of that time. */
static void learn(struct rtp_receiver *r, int64_t sender_us, uint32_t ts_ticks, uint64_t now_us, uint64_t unix_us)
{
    clock_learn(r->clock, (int64_t)unix_us - sender_us, now_us);
    if (!r->started)
        return;
    uint64_t ts = ts32_extend(r->last_ts, ts_ticks);
    int64_t is = capture_at(r, ts), ought = sender_us + r->clock->offset_us, error = ought - is;
    if (error > CAPTURE_STEP_US || error < -CAPTURE_STEP_US)
        anchor(r, ts, ought, 0);
    else
        anchor(r, ts, is, error);
}

void rtp_receiver_on_sr(struct rtp_receiver *r, const struct rtcp_report *sr, uint64_t now_us, uint64_t unix_us)
{
    r->has_sr = true;
    r->sr_ntp = sr->ntp;
    r->sr_now_us = now_us;
    learn(r, ntp_us(sr->ntp), sr->ts_ticks, now_us, unix_us);
}

void rtp_receiver_on_capture_time(struct rtp_receiver *r, uint64_t ntp, uint32_t ts_ticks, uint64_t now_us, uint64_t unix_us)
{
    if (r->has_sr)
        return; /* from then on they say the same */
    learn(r, ntp_us(ntp), ts_ticks, now_us, unix_us);
    if (!r->has_capture_time) /* nothing was promised before */
        anchor(r, ts32_extend(r->last_ts, ts_ticks), ntp_us(ntp) + r->clock->offset_us, 0);
    r->has_capture_time = true;
}

/* ---- packets -------------------------------------------------------------------------------------------- */

void rtp_receiver_init(struct rtp_receiver *r, const struct rtp_receiver_cfg *cfg)
{
    struct nack_cfg nack = cfg->nack;

    memset(r, 0, offsetof(struct rtp_receiver, nack));
    r->ssrc = cfg->ssrc;
    r->clock_hz = cfg->clock_hz;
    r->clock = cfg->clock;
    nack.count_only |= cfg->no_nack;
    nack_gen_init(&r->nack, &nack);
}

static void start(struct rtp_receiver *r, const struct rtp_view *v, uint64_t unix_us)
{
    r->started = true;
    r->first_seq = r->highest_seq = PACKET_SEQ_FIRST | v->seq;
    r->last_ts = (uint64_t)1 << 32 | v->ts_ticks;
    anchor(r, r->last_ts, (int64_t)unix_us, 0);
}

/* The 64-bit number, or 0 when it is too far off to be believed before the next one confirms it (A.1). */
static uint64_t extend_seq(struct rtp_receiver *r, uint16_t seq, bool retransmitted)
{
    int diff = seq16_diff(seq, (uint16_t)r->highest_seq);
    uint64_t to = r->highest_seq + (uint64_t)(int64_t)diff;

    if (diff <= RTP_DROPOUT_MAX && diff > -RTP_MISORDER_MAX) {
        r->resync = retransmitted && r->resync;
        return to;
    }
    if (retransmitted)
        return 0;
    if (!r->resync || seq != r->resync_seq) {
        r->resync = true;
        r->resync_seq = (uint16_t)(seq + 1);
        return 0;
    }
    r->resync = false; /* two in a row: the source made a jump; our numbers only grow */
    return diff > 0 ? to : to + 65536;
}

/* A.8 */
static void measure_jitter(struct rtp_receiver *r, uint64_t ts, uint64_t now_us)
{
    int64_t arrival = (int64_t)(now_us / 1000000 * r->clock_hz + now_us % 1000000 * r->clock_hz / 1000000);
    int64_t transit = arrival - (int64_t)ts, d = transit - r->transit_ticks;

    if (r->received > 0)
        r->jitter_x16 += (uint64_t)(d < 0 ? -d : d) - ((r->jitter_x16 + 8) >> 4);
    r->transit_ticks = transit;
}

enum rtp_push_result rtp_receiver_push(struct rtp_receiver *r, const struct rtp_view *v, bool retransmitted,
                                       uint64_t now_us, uint64_t unix_us, struct rtp_arrival *out)
{
    if (!r->started)
        start(r, v, unix_us);
    uint64_t seq = extend_seq(r, v->seq, retransmitted);
    if (seq == 0)
        return RTP_PUSH_FAR;
    enum nack_seen seen =
        retransmitted ? nack_gen_on_resent(&r->nack, seq, now_us) : nack_gen_on_packet(&r->nack, seq, now_us);
    if (seen == NACK_DUPLICATE)
        return RTP_PUSH_DUPLICATE;

    uint64_t ts = ts32_extend(r->last_ts, v->ts_ticks);
    if (seen == NACK_NEW) {
        r->highest_seq = seq;
        r->last_ts = ts;
    }
    if (seq < r->first_seq)
        r->first_seq = seq;
    if (!retransmitted)
        measure_jitter(r, ts, now_us);
    r->received++;
    r->received_bytes += v->payload_len;
    *out = (struct rtp_arrival){.seq = seq, .ts_ticks = ts, .late = seen != NACK_NEW};
    out->capture_us = rtp_receiver_capture_us(r, ts);
    return RTP_PUSH_NEW;
}

/* ---- feedback --------------------------------------------------------------------------------------------- */

static uint64_t expected(const struct rtp_receiver *r)
{
    return r->started ? r->highest_seq - r->first_seq + 1 : 0;
}

uint64_t rtp_receiver_lost(const struct rtp_receiver *r)
{
    uint64_t e = expected(r);

    return e > r->received ? e - r->received : 0;
}

/* Of 256; all of them lost is 255. */
static uint8_t lost_fraction(uint64_t lost, uint64_t of)
{
    uint64_t f = of ? (lost << 8) / of : 0;

    return (uint8_t)(f < 255 ? f : 255);
}

bool rtp_receiver_report(struct rtp_receiver *r, uint64_t now_us, struct rtcp_report_block *out)
{
    if (!r->started)
        return false;
    /* A.3 */
    uint64_t e = expected(r), expected_now = e - r->expected_prior;
    uint64_t received_now = r->received - r->received_prior;
    uint64_t lost_now = expected_now > received_now ? expected_now - received_now : 0;
    uint64_t lost = rtp_receiver_lost(r);

    r->expected_prior = e;
    r->received_prior = r->received;
    *out = (struct rtcp_report_block){
        .ssrc = r->ssrc,
        .lost_fraction = lost_fraction(lost_now, expected_now),
        .lost_total = (int32_t)(lost < 0x7fffff ? lost : 0x7fffff),
        .highest_seq = (uint32_t)(r->highest_seq - PACKET_SEQ_FIRST),
        .jitter_ticks = (uint32_t)(r->jitter_x16 >> 4),
    };
    if (r->has_sr) {
        uint64_t since_us = now_us - r->sr_now_us;
        out->lsr = (uint32_t)(r->sr_ntp >> 16);
        out->dlsr = (uint32_t)(since_us / 1000000 << 16 | (since_us % 1000000 << 16) / 1000000);
    }
    return true;
}

size_t rtp_receiver_poll_nack(struct rtp_receiver *r, uint64_t now_us, uint16_t *out, size_t cap)
{
    uint64_t seqs[64];
    size_t n = 0, got;

    do {
        size_t want = cap - n < LEN(seqs) ? cap - n : LEN(seqs);
        got = nack_gen_poll(&r->nack, now_us, seqs, want);
        for (size_t i = 0; i < got; i++)
            out[n + i] = (uint16_t)seqs[i];
        n += got;
    } while (got == LEN(seqs) && n < cap);
    return n;
}

uint64_t rtp_receiver_due_us(const struct rtp_receiver *r)
{
    return nack_gen_due_us(&r->nack);
}
