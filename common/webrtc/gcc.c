/* SPDX-License-Identifier: Apache-2.0
 * gcc.c - see gcc.h. */
#include "webrtc/gcc.h"

#include <math.h>
#include <string.h>

enum {
    RATE_LEAST_US = 200000,    /* of arrivals, before their rate means something */
    FULL_BUCKETS = 4,          /* the rate at which a full path delivers is that of 150 to 200 ms */
    FULL_LEAST_US = 150000,
    PROBE_SHADOW_US = 300000,  /* the queue that a probe makes is no reason to go down */
    LOSS_SOON_US = 300000,     /* heavy losses are acted on after that ... */
    FLOOD_PACKETS = 8,         /* ... and at once where of one feedback's packets more than half are, and so many: a full queue */
    RAISE_STEP_US = 1000000,   /* the longest time that one increase counts for */
    REDUCE_LEAST_US = 10000,   /* from one reduction to the next: a round trip within these */
    REDUCE_MOST_US = 200000,
    REST_US = 600000,          /* after a reduction: the queue that caused it is gone */
    RTT_DEFAULT_US = 200000,
    RESPONSE_US = 100000,      /* s5.5: beside the round trip, until a change of the rate shows */
    PACKET_BITS = 9600,
    RUN_US = 1000,             /* from first to last: far less than a bucket of the rate */
    LOSS_US = 1000000,         /* losses are counted for so long */
    LOSS_PACKETS = 50,         /* and for so many: fewer say little */
    HEADROOM_BPS = 10000,
};

enum {
    FEEDBACK_LATE_US = 1000000, /* ten of a receiver's intervals */
    QUEUE_US = 350000,          /* that may lie on the way, beside a round trip's worth */
    WINDOW_LEAST_BYTES = 3000,
    PUSH_US = 50000,            /* one step of it */
};

static const double RAISE = 1.08, REDUCE = 0.85, LOSS_LOW = 0.02, LOSS_HIGH = 0.10, LINK_WEIGHT = 0.05,
                    DEVIATION_FIRST = 0.4, DEVIATION_MOST = 2.5;

/* ---- what arrives ------------------------------------------------------------------------------------------- */

static void rate_push(struct gcc_rate *r, int64_t arrival_us, uint32_t bytes)
{
    int64_t bucket = arrival_us / GCC_RATE_BUCKET_US;

    if (!r->any || bucket - r->newest_bucket >= GCC_RATE_BUCKETS * 4 || r->newest_bucket - bucket >= GCC_RATE_BUCKETS * 4)
        *r = (struct gcc_rate){.any = true, .first_us = arrival_us, .newest_us = arrival_us, .newest_bucket = bucket};
    if (r->newest_bucket - bucket >= GCC_RATE_BUCKETS)
        return;
    for (; r->newest_bucket < bucket; r->newest_bucket++)
        r->bytes[(uint64_t)(r->newest_bucket + 1) % GCC_RATE_BUCKETS] = 0;
    r->newest_us = arrival_us > r->newest_us ? arrival_us : r->newest_us;
    r->bytes[(uint64_t)bucket % GCC_RATE_BUCKETS] += bytes;
}

/* Over that many buckets, the newest among them; 0: not known. */
static uint64_t rate_bps(const struct gcc_rate *r, unsigned buckets, int64_t least_us)
{
    int64_t from_us = (r->newest_bucket - buckets + 1) * GCC_RATE_BUCKET_US;
    uint64_t bytes = 0;

    if (r->first_us > from_us)
        from_us = r->first_us;
    if (!r->any || r->newest_us - from_us < least_us)
        return 0;
    for (unsigned i = 0; i < buckets; i++)
        bytes += r->bytes[(uint64_t)(r->newest_bucket + GCC_RATE_BUCKETS - i) % GCC_RATE_BUCKETS];
    return bytes * 8000000 / (uint64_t)(r->newest_us - from_us);
}

uint64_t gcc_acked_bps(const struct gcc *g)
{
    return rate_bps(&g->acked, GCC_RATE_BUCKETS, RATE_LEAST_US);
}

/* What the path carries while it is full. A source that rests between frames would make it less over the longer time. */
static uint64_t full_bps(const struct gcc *g)
{
    uint64_t longer = gcc_acked_bps(g), shorter = rate_bps(&g->acked, FULL_BUCKETS, FULL_LEAST_US);

    return longer > shorter ? longer : shorter;
}

/* ---- the delay part: AIMD -------------------------------------------------------------------------------------- */

static uint64_t bounded(const struct gcc *g, uint64_t bps)
{
    if (bps < g->cfg.min_bps)
        return g->cfg.min_bps;
    return bps < g->cfg.max_bps ? bps : g->cfg.max_bps;
}

static double link_spread_kbps(const struct gcc *g)
{
    return 3 * sqrt(g->link_deviation * g->link_kbps);
}

/* The rate at which the path was full, with its normalised deviation. */
static void note_link(struct gcc *g, double kbps)
{
    if (g->link_kbps == 0) {
        g->link_kbps = kbps;
        g->link_deviation = DEVIATION_FIRST;
        return;
    }
    g->link_kbps += LINK_WEIGHT * (kbps - g->link_kbps);
    double off = g->link_kbps - kbps, deviation = off * off / fmax(g->link_kbps, 1);
    g->link_deviation += LINK_WEIGHT * (deviation - g->link_deviation);
    g->link_deviation = fmin(fmax(g->link_deviation, DEVIATION_FIRST), DEVIATION_MOST);
}

static void reduce(struct gcc *g, uint64_t now_us)
{
    uint64_t acked = full_bps(g);
    uint64_t pause_us = g->rtt_us < REDUCE_LEAST_US ? REDUCE_LEAST_US : g->rtt_us;

    if (pause_us > REDUCE_MOST_US)
        pause_us = REDUCE_MOST_US;
    g->aimd = GCC_HOLD;
    if (now_us - g->probe.start_us < PROBE_SHADOW_US || now_us - g->probed_us < PROBE_SHADOW_US)
        return;
    if (now_us - g->reduced_us < pause_us && !(acked && acked < g->delay_bps / 2))
        return;
    g->reduced_us = now_us;
    g->overuses++;
    if (!acked) {
        g->delay_bps = bounded(g, g->delay_bps / 2);
        return;
    }
    uint64_t bps = (uint64_t)(REDUCE * (double)acked);
    double kbps = (double)acked / 1000;
    if (g->link_kbps != 0 && fabs(kbps - g->link_kbps) > link_spread_kbps(g))
        g->link_kbps = 0;
    note_link(g, kbps);
    if (bps < g->delay_bps)
        g->delay_bps = bounded(g, bps);
}

static void raise(struct gcc *g, uint64_t now_us)
{
    uint64_t acked = gcc_acked_bps(g), most = acked + acked / 2 + HEADROOM_BPS;
    double passed_s = (double)(now_us - g->raised_us < RAISE_STEP_US ? now_us - g->raised_us : RAISE_STEP_US) / 1e6;
    uint64_t rtt_us = g->rtt_us ? g->rtt_us : RTT_DEFAULT_US, bps;

    g->raised_us = now_us;
    if (g->link_kbps != 0 && (double)acked / 1000 > g->link_kbps + link_spread_kbps(g))
        g->link_kbps = 0; /* the path carries more than it did */
    if (g->delay_bps >= most)
        return; /* nothing is known of rates that were not sent */
    if (g->link_kbps != 0)
        bps = g->delay_bps + (uint64_t)(passed_s * PACKET_BITS * 1e6 / (double)(rtt_us + RESPONSE_US));
    else
        bps = (uint64_t)((double)g->delay_bps * pow(RAISE, passed_s)) + 1;
    g->delay_bps = bounded(g, bps < most ? bps : most);
}

static void steer(struct gcc *g, uint64_t now_us)
{
    if (g->delay.usage == GCC_OVERUSED) {
        reduce(g, now_us);
    } else if (g->delay.usage == GCC_UNDERUSED) {
        g->aimd = GCC_HOLD; /* queues are draining */
    } else if (g->aimd == GCC_HOLD) {
        g->aimd = GCC_INCREASE;
        g->raised_us = now_us;
    } else {
        raise(g, now_us);
    }
}

/* The lower of the parts, or of the fallbacks. */
static uint64_t unpushed_bps(const struct gcc *g)
{
    uint64_t other_bps = g->delay_bps;

    if (g->feedback_us == 0)
        other_bps = g->remb_bps ? g->remb_bps : UINT64_MAX;
    return bounded(g, other_bps < g->loss_bps ? other_bps : g->loss_bps);
}

/* ---- the loss part ------------------------------------------------------------------------------------------------ */

static void on_loss(struct gcc *g, double loss, uint64_t passed_us, uint64_t now_us)
{
    double passed_s = fmin((double)passed_us / 1e6, 2);

    if (loss > LOSS_HIGH) {
        uint64_t sent = (uint64_t)((double)gcc_acked_bps(g) / (1 - fmin(loss, 0.9))), from = unpushed_bps(g);
        if (sent && sent < from)
            from = sent; /* the target says nothing when less is sent */
        g->loss_bps = bounded(g, (uint64_t)((double)from * (1 - loss / 2)));
        g->loss_reduced_us = now_us;
    } else if (loss < LOSS_LOW) {
        uint64_t most = g->delay_bps * 2; /* what goes on there is the other part's affair */
        uint64_t bps = (uint64_t)((double)g->loss_bps * pow(RAISE, passed_s)) + 1000;
        g->loss_bps = bounded(g, bps < most || g->feedback_us == 0 ? bps : most);
    }
}

static void forget_losses(struct gcc *g, uint64_t now_us)
{
    g->received = g->lost = 0;
    g->loss_us = now_us;
}

/* Of one feedback. What still comes through a full queue is all that the path carries. */
static void watch_flood(struct gcc *g, uint32_t received, uint32_t lost, uint64_t now_us)
{
    uint64_t through = rate_bps(&g->acked, FULL_BUCKETS, FULL_LEAST_US);

    if (lost < FLOOD_PACKETS || lost <= received || !through || now_us - g->loss_reduced_us < LOSS_SOON_US)
        return;
    if ((uint64_t)(REDUCE * (double)through) < g->loss_bps)
        g->loss_bps = bounded(g, (uint64_t)(REDUCE * (double)through));
    g->loss_reduced_us = now_us;
    forget_losses(g, now_us);
}

static void count_losses(struct gcc *g, uint64_t now_us)
{
    uint32_t total = g->received + g->lost;

    if (g->loss_us == 0)
        g->loss_us = now_us;
    if (total < LOSS_PACKETS || now_us - g->loss_us < LOSS_SOON_US)
        return;
    double loss = (double)g->lost / total;
    if (now_us - g->loss_us < LOSS_US && loss <= LOSS_HIGH)
        return;
    on_loss(g, loss, now_us - g->loss_us, now_us);
    forget_losses(g, now_us);
}

/* ---- feedback ---------------------------------------------------------------------------------------------------------- */

void gcc_init(struct gcc *g, const struct gcc_cfg *cfg)
{
    memset(g, 0, sizeof(*g));
    g->cfg = *cfg;
    g->delay_bps = g->loss_bps = cfg->start_bps;
    g->pushback = 1;
    gcc_delay_init(&g->delay);
    probe_init(&g->probe);
}

static void on_probe(struct gcc *g, const struct probe_result *r, uint64_t now_us)
{
    if (!r->limited && r->bps > g->delay_bps) {
        g->delay_bps = bounded(g, r->bps);
        g->link_kbps = 0;
    } else if (r->limited) {
        /* All that the path carries: in both directions better than a guess, but never below what arrives anyway. */
        uint64_t acked = (uint64_t)(REDUCE * (double)gcc_acked_bps(g));
        g->delay_bps = bounded(g, r->bps > acked ? r->bps : acked);
        g->link_kbps = (double)g->delay_bps / 1000;
        g->link_deviation = DEVIATION_FIRST;
    }
    g->probed_us = now_us;
    gcc_delay_restart(&g->delay);
    if (g->loss_bps < r->bps && (r->whole || g->lost * 10 <= g->received))
        g->loss_bps = bounded(g, r->bps);
    if (r->whole && !r->limited)
        forget_losses(g, now_us); /* where little is sent, those of the step down are counted for many seconds */
}

static void count_result(struct gcc *g, const struct twcc_result *r)
{
    /* What was sent before the last step down says nothing of the rate that came after it. */
    if (r->sent_us < g->reduced_us || r->sent_us < g->loss_reduced_us)
        return;
    if (r->received)
        g->received += r->packets;
    else
        g->lost += r->packets;
    if (r->was_lost) /* late, not lost */
        g->lost -= r->packets < g->lost ? r->packets : g->lost;
}

/* A frame's packets leave together, and most of them come together: to rate and delay they are one, of which the first and the last
 * arrival count. */
struct run {
    uint64_t sent_us;
    int64_t first_us, last_us; /* arrivals */
    uint32_t bytes;            /* 0: none */
};

static void end_run(struct gcc *g, struct run *run, uint64_t now_us)
{
    if (run->bytes == 0)
        return;
    rate_push(&g->acked, run->last_us, run->bytes);
    gcc_delay_on_packet(&g->delay, run->sent_us, run->first_us, now_us);
    if (run->last_us != run->first_us)
        gcc_delay_on_packet(&g->delay, run->sent_us, run->last_us, now_us);
    run->bytes = 0;
}

static void on_arrived(struct gcc *g, struct run *run, const struct twcc_result *r, uint64_t now_us)
{
    probe_on_arrival(&g->probe, r->probe, r->sent_us, r->arrival_us, r->bytes);
    if (run->bytes && r->sent_us == run->sent_us && r->arrival_us >= run->last_us && r->arrival_us - run->first_us <= RUN_US) {
        run->last_us = r->arrival_us;
        run->bytes += r->bytes;
        return;
    }
    end_run(g, run, now_us);
    *run = (struct run){r->sent_us, r->arrival_us, r->arrival_us, r->bytes};
}

int gcc_on_feedback(struct gcc *g, struct twcc_send *sent, const struct rtcp_packet *p, uint64_t now_us)
{
    struct twcc_walk walk = {0};
    struct twcc_result r;
    struct probe_result found;
    struct run run = {0};
    uint64_t newest_us = sent->newest_sent_us;
    int err = rtcp_twcc_parse(&walk.feedback, p);

    if (err != RTCP_OK)
        return err;
    g->feedback_us = now_us;
    g->feedbacks++;
    uint32_t received = g->received, lost = g->lost;
    while (twcc_send_next(sent, &walk, now_us, &r)) {
        count_result(g, &r);
        if (r.received)
            on_arrived(g, &run, &r, now_us);
    }
    end_run(g, &run, now_us);
    if (sent->newest_sent_us > newest_us) {
        /* The feedback's own waiting time is in it: an upper bound, which is what pauses are wanted for. */
        uint64_t sample_us = now_us - sent->newest_sent_us;
        g->rtt_us = g->rtt_us ? g->rtt_us - g->rtt_us / 8 + sample_us / 8 : sample_us;
    }
    steer(g, now_us);
    watch_flood(g, g->received - received, g->lost > lost ? g->lost - lost : 0, now_us);
    count_losses(g, now_us);
    if (probe_conclude(&g->probe, now_us, &found))
        on_probe(g, &found, now_us);
    return RTCP_OK;
}

void gcc_on_arrival(struct gcc *g, uint64_t sent_us, int64_t arrival_us, uint32_t bytes, uint64_t now_us)
{
    g->feedback_us = now_us;
    rate_push(&g->acked, arrival_us, bytes);
    gcc_delay_on_packet(&g->delay, sent_us, arrival_us, now_us);
}

void gcc_on_arrivals_end(struct gcc *g, uint64_t now_us)
{
    g->feedbacks++;
    steer(g, now_us);
}

void gcc_on_remb(struct gcc *g, uint64_t bps)
{
    g->remb_bps = bps ? bps : 1;
}

void gcc_on_loss_report(struct gcc *g, uint8_t fraction, uint64_t now_us)
{
    if (g->feedback_us)
        return;
    uint64_t passed_us = g->loss_us ? now_us - g->loss_us : 0;
    g->loss_us = now_us;
    on_loss(g, fraction / 256.0, passed_us, now_us);
}

/* Where more is under way than fits, the estimate is late: the path has become less, or is gone. */
static void push_back(struct gcc *g, uint64_t flight_bytes, uint64_t now_us)
{
    if (now_us - g->pushed_us < PUSH_US)
        return;
    g->pushed_us = now_us;
    uint64_t window = unpushed_bps(g) / 8 * (g->rtt_us + QUEUE_US) / 1000000;
    double fill = (double)flight_bytes / (double)(window > WINDOW_LEAST_BYTES ? window : WINDOW_LEAST_BYTES);

    if (fill > 1.5)
        g->pushback *= 0.9;
    else if (fill > 1)
        g->pushback *= 0.95;
    else if (fill < 0.1)
        g->pushback = 1;
    else
        g->pushback *= 1.05;
    g->pushback = fmin(fmax(g->pushback, 0.1), 1);
}

/* Nothing is known of the path any more: it is believed to carry less and less, until it is heard of again. */
static void watch_feedback(struct gcc *g, uint64_t now_us)
{
    uint64_t since_us = g->late_us > g->feedback_us ? g->late_us : g->feedback_us;

    if (now_us - since_us < FEEDBACK_LATE_US)
        return;
    g->late_us = now_us;
    g->delay_bps = bounded(g, g->delay_bps * 4 / 5);
    g->link_kbps = 0;
    g->aimd = GCC_HOLD;
}

void gcc_poll(struct gcc *g, uint64_t wanted_bps, uint64_t flight_bytes, uint64_t now_us)
{
    bool at_rest = g->feedback_us && now_us - g->feedback_us < REST_US && g->delay.usage == GCC_NORMAL &&
                   now_us - g->reduced_us > REST_US && (g->loss_reduced_us == 0 || now_us - g->loss_reduced_us > REST_US * 2);

    if (!g->feedback_us)
        return;
    watch_feedback(g, now_us);
    push_back(g, flight_bytes, now_us);
    probe_poll(&g->probe, unpushed_bps(g), wanted_bps < g->cfg.max_bps ? wanted_bps : g->cfg.max_bps, at_rest, now_us);
}

uint64_t gcc_target_bps(const struct gcc *g)
{
    uint64_t bps = (uint64_t)((double)unpushed_bps(g) * g->pushback);

    return bps > g->cfg.min_bps ? bps : g->cfg.min_bps;
}

const char *gcc_state_name(const struct gcc *g)
{
    if (g->feedback_us == 0)
        return g->remb_bps ? "remb" : "no feedback";
    switch (g->delay.usage) {
    case GCC_OVERUSED: return "overused";
    case GCC_UNDERUSED: return "underused";
    default: return "normal";
    }
}
