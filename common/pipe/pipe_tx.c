/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_tx.h"

#include "base/random.h"
#include "base/seq.h"
#include "pipe/pipe_rtp.h"
#include "pipe/recovery.h"

enum { GENERATIONS = 64 /* associations that a block of SSRCs serves before numbers come again */ };

void tx_bucket_fill(struct tx_bucket *b, uint64_t now_us)
{
    uint64_t passed_us = now_us - b->filled_us;

    if (passed_us > 1000000)
        passed_us = 1000000;
    b->bytes += (int64_t)(b->bps / 8 * passed_us / 1000000);
    if (b->bytes > b->cap_bytes)
        b->bytes = b->cap_bytes;
    b->filled_us = now_us;
}

static unsigned layer_of(const struct packet *p)
{
    return (unsigned)p->track * LAYERS_MAX + p->layer;
}

/* ---- Sending --------------------------------------------------------------------------------- */

/* Returns the datagram's length. */
static size_t send_packet(struct pipe_tx *tx, const struct packet *p)
{
    uint8_t *dst = udp_reserve(tx->shared->udp, &tx->peer, PIPE_DATAGRAM_MAX);
    size_t hdr_len = pipe_rtp_write(dst, PIPE_DATAGRAM_MAX, p, tx->ssrc + layer_of(p));
    size_t len = srtp_tx_protect(tx->shared->engine, &(struct srtp_tx_packet){
        .tx = tx->out,
        .index = p->seq & PIPE_INDEX_MASK,
        .hdr = dst,
        .payload = packet_payload(p),
        .dst = dst,
        .hdr_len = (uint16_t)hdr_len,
        .payload_len = p->payload_len,
    });

    udp_commit(tx->shared->udp, len);
    return len;
}

static size_t send_first_time(struct pipe_tx *tx, const struct packet *p)
{
    struct tx_layer *l = &tx->layers[layer_of(p)];
    uint64_t bit = want_bit(p->track, p->layer);

    if (tx->unstarted & bit) {
        l->first = l->whole && l->whole <= p->seq ? l->whole : p->seq; /* what is missing between is lost */
        tx->unstarted &= ~bit;
        tx->started |= bit;
    }
    if (p->seq >= l->end)
        l->end = p->seq + 1;
    tx->counters.packets++;
    tx->counters.bytes += p->payload_len;
    return send_packet(tx, p);
}

static void tell_started(struct pipe_tx *tx)
{
    uint64_t started = tx->started;

    tx->started = 0;
    if (started)
        tx->ops->on_started(tx, started);
}

/* ---- Catching up ----------------------------------------------------------------------------- */

/* Helpings each tick, until the end of the cache is reached; what comes after that comes in turns. */
static void ask_help(struct pipe_tx *tx)
{
    if (!tx->heard || !tx->catching || !list_empty(&tx->catching_link))
        return;
    list_push_back(&tx->shared->catching, &tx->catching_link);
    tx->shared->on_catching(tx->shared);
}

static void set_patience(struct pipe_tx *tx)
{
    consumer_patience(&tx->consumer, tx->catching ? 0 : tx->patience_us);
}

static void set_catching(struct pipe_tx *tx, uint64_t layers)
{
    tx->catching = layers;
    if (layers)
        ask_help(tx);
    else
        list_remove(&tx->catching_link);
    set_patience(tx);
}

static struct cache *cache_of(const struct pipe_tx *tx)
{
    return router_cache(tx->consumer.router);
}

/* The packets in the cache are those of this association: its nonces belong to one epoch. */
static bool associated(const struct pipe_tx *tx)
{
    return tx->epoch && tx->consumer.router && router_epoch(tx->consumer.router) == tx->epoch;
}

static bool due_from_cache(const struct pipe_tx *tx, const struct packet *p)
{
    const struct tx_layer *l = &tx->layers[layer_of(p)];

    return tx->catching & want_bit(p->track, p->layer) && tx->cursor >= l->start && p->seq >= l->min_seq;
}

/* Sends from the cache while there is credit. True when it has come to the end. */
static bool send_from_cache(struct pipe_tx *tx)
{
    const struct cache *cache = cache_of(tx);
    uint64_t end = cache_end(cache);

    if (tx->cursor < cache_begin(cache))
        tx->cursor = cache_begin(cache);
    for (int steps = 0; tx->cursor < end && tx->credit_bytes > 0 && steps < TX_STEPS_MAX; steps++) {
        const struct packet *p = cache_at(cache, tx->cursor);
        if (p && due_from_cache(tx, p)) {
            tx->credit_bytes -= (int64_t)send_first_time(tx, p);
            tx->counters.backfilled++;
        }
        tx->cursor++;
    }
    if (tx->credit_bytes > TX_BURST_BYTES) /* not used up: it is no savings account */
        tx->credit_bytes = TX_BURST_BYTES;
    return tx->cursor == end;
}

static void tell_caught_up(struct pipe_tx *tx)
{
    tell_started(tx);
    if (tx->told_caught_up)
        return;
    tx->told_caught_up = true;
    tx->ops->on_caught_up(tx);
}

/* A batch that follows in the turn in which its layer went live may begin with packets that were in the cache by then; sound that
 * waits may be handed out later still. */
static bool was_in_cache(const struct pipe_tx *tx, const struct packet *p)
{
    const struct cache *cache = cache_of(tx);
    uint64_t begin = tx->caught_end > PACKET_BATCH_MAX ? tx->caught_end - PACKET_BATCH_MAX : 0;

    for (uint64_t at = tx->caught_end; at > begin; at--)
        if (cache_at(cache, at - 1) == p)
            return true;
    return false;
}

/* Layers go live only here, with the turn's packets in hand: all of them are in the cache, so all are sent. */
static void catch_up_in_turn(struct pipe_tx *tx)
{
    if (!send_from_cache(tx)) {
        ask_help(tx);
        return;
    }
    tx->caught = tx->catching;
    tx->caught_us = worker_now_us(tx->shared->worker);
    tx->caught_end = tx->cursor;
    set_catching(tx, 0);
    tell_caught_up(tx);
}

void pipe_tx_tick(struct pipe_tx *tx, int64_t bytes)
{
    if (!tx->heard || !associated(tx))
        return;
    tx->credit_bytes += bytes;
    if (send_from_cache(tx) && tx->ready) {
        list_remove(&tx->catching_link);
        tell_caught_up(tx);
    }
    tell_started(tx);
}

/* The newest keyframe of any wanted video layer, the oldest of these; else live. */
static uint64_t start_with_pictures(const struct pipe_tx *tx)
{
    const struct track_set *tracks = router_tracks(tx->consumer.router);
    uint64_t start = cache_end(cache_of(tx)), at;

    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        unsigned track = i / LAYERS_MAX, layer = i % LAYERS_MAX;
        bool video = track < tracks->n && codec_kind(tracks->v[track].codec) == CODEC_KIND_VIDEO;
        if (video && tx->want & want_bit(track, layer) && cache_keyframe(cache_of(tx), track, layer, &at) &&
            at < start)
            start = at;
    }
    return start;
}

/* All of a layer from `from` on is in the cache or about to come. One that nobody wanted stopped some time ago, and comes back after
 * a gap. */
static bool runs_on(const struct cache *cache, unsigned track, unsigned layer, uint64_t from)
{
    const struct packet *newest = cache_at(cache, cache_end(cache) - 1);
    uint64_t begin, end;

    if (!cache_range(cache, track, layer, &begin, &end) || (end != from && !cache_find(cache, track, layer, from)))
        return false;
    const struct packet *p = cache_find(cache, track, layer, end - 1);
    return p && newest && p->capture_us + TX_PAUSE_US > newest->capture_us;
}

/* A layer that was sent before goes on behind that, and from its keyframe on the child is to have all. Where something is missing
 * between, what follows cannot be shown without the next keyframe. */
static void go_on(struct pipe_tx *tx, unsigned i)
{
    struct tx_layer *l = &tx->layers[i];
    uint64_t keyframe = cache_at(cache_of(tx), l->start)->seq;

    if (keyframe >= l->end)
        return;
    if (runs_on(cache_of(tx), i / LAYERS_MAX, i % LAYERS_MAX, l->end))
        l->whole = keyframe;
    else
        l->start = cache_end(cache_of(tx));
}

static void start_layer(struct pipe_tx *tx, unsigned i, uint64_t pictures)
{
    const struct track_set *tracks = router_tracks(tx->consumer.router);
    unsigned track = i / LAYERS_MAX;
    enum codec_kind kind = track < tracks->n ? codec_kind(tracks->v[track].codec) : CODEC_KIND_AUDIO;
    struct tx_layer *l = &tx->layers[i];

    l->whole = tx->from_epoch == tx->epoch ? l->from : 0;
    l->from = 0; /* once */
    l->min_seq = l->whole ? l->whole : l->end;
    if (l->whole)
        l->start = cache_begin(cache_of(tx));
    else if (kind == CODEC_KIND_AUDIO)
        l->start = pictures; /* sound begins with them */
    else if (kind == CODEC_KIND_VIDEO && cache_keyframe(cache_of(tx), track, i % LAYERS_MAX, &l->start))
        go_on(tx, i);
    else
        l->start = cache_end(cache_of(tx)); /* messages have no past */
}

/* These layers are wanted from now on. Those that were catching up already do not go back. */
static void begin_layers(struct pipe_tx *tx, uint64_t begun)
{
    uint64_t pictures = start_with_pictures(tx), cursor = tx->catching ? tx->cursor : UINT64_MAX;

    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        struct tx_layer *l = &tx->layers[i];
        uint64_t bit = (uint64_t)1 << i;
        if (tx->catching & bit & ~begun && l->start < tx->cursor)
            l->start = tx->cursor;
        if (!(begun & bit))
            continue;
        start_layer(tx, i, pictures);
        if (l->start < cursor)
            cursor = l->start;
    }
    tx->cursor = cursor;
    tx->unstarted |= begun;
    set_catching(tx, tx->catching | begun);
}

/* ---- What is wanted -------------------------------------------------------------------------- */

static void apply_want(struct pipe_tx *tx)
{
    uint64_t want = tx->asked & tx->allowed, begun = want & ~tx->want, ended = tx->want & ~want;

    tx->want = want;
    tx->unstarted &= ~ended;
    set_catching(tx, tx->catching & ~ended);
    consumer_want(&tx->consumer, want);
    if ((tx->ready || tx->passing) && begun && associated(tx))
        begin_layers(tx, begun);
}

void pipe_tx_want(struct pipe_tx *tx, uint64_t want)
{
    tx->asked = want;
    apply_want(tx);
}

void pipe_tx_patience(struct pipe_tx *tx, uint64_t patience_us)
{
    tx->patience_us = patience_us < TX_PATIENCE_MOST_US ? patience_us : TX_PATIENCE_MOST_US;
    set_patience(tx);
}

/* The highest wanted layer of a track that has several; 0 when there is none to spare. */
static uint64_t spare_layer(const struct pipe_tx *tx)
{
    for (unsigned track = 0; track < TRACKS_MAX; track++) {
        uint64_t of_track = tx->want & want_track(track);
        if (of_track & (of_track - 1)) /* more than one bit */
            return (uint64_t)1 << (63 - __builtin_clzll(of_track));
    }
    return 0;
}

static void thin(struct pipe_tx *tx, uint64_t allowed, uint64_t now_us)
{
    tx->thinned_us = now_us;
    tx->bad_reports = 0;
    if (allowed == tx->allowed)
        return;
    tx->allowed = allowed;
    apply_want(tx);
    tx->ops->on_thinned(tx, allowed);
}

void pipe_tx_report(struct pipe_tx *tx, uint64_t received, uint64_t lost, uint64_t given_up, uint64_t now_us)
{
    tx->counters.lost += lost;
    tx->counters.given_up += given_up;
    bool bad = given_up * 100 > (received + given_up) * TX_THIN_PERCENT;
    uint64_t held_back = tx->asked & ~tx->allowed;

    tx->bad_reports = bad ? tx->bad_reports + 1 : 0;
    if (bad)
        tx->thinned_us = now_us;
    if (tx->bad_reports >= TX_THIN_REPORTS)
        thin(tx, tx->allowed & ~spare_layer(tx), now_us);
    else if (held_back && now_us - tx->thinned_us > TX_WIDEN_US)
        thin(tx, tx->allowed | (held_back & -held_back), now_us);
}

/* ---- What the router says -------------------------------------------------------------------- */

static struct pipe_tx *tx_of(struct consumer *c)
{
    return container_of(c, struct pipe_tx, consumer);
}

static void dissociate(struct pipe_tx *tx)
{
    tx->epoch = 0;
    tx->heard = tx->ready = tx->passing = tx->told_caught_up = false;
    tx->caught = tx->started = tx->unstarted = 0;
    set_catching(tx, 0);
    srtp_tx_destroy(&tx->out);
    srtp_rx_destroy(&tx->in);
}

static int associate(struct pipe_tx *tx)
{
    struct srtp_engine *engine = tx->shared->engine;

    srtp_master_random(&tx->to_child, SRTP_PROFILE_GCM_128);
    srtp_master_random(&tx->to_parent, SRTP_PROFILE_GCM_128);
    if (srtp_tx_create(&tx->out, engine, &tx->to_child) != 0 ||
        srtp_rx_create(&tx->in, engine, &tx->to_parent) != 0)
        return -1;
    tx->ssrc = tx->ssrc_block + tx->generation++ % GENERATIONS * PIPE_STREAM_LAYERS;
    tx->feedback_ssrc = random_u32();
    return 0;
}

static void on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct pipe_tx *tx = tx_of(c);

    dissociate(tx);
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++)
        tx->layers[i] = (struct tx_layer){.from = tx->layers[i].from};
    if (associate(tx) != 0) {
        dissociate(tx);
        tx->ops->on_failed(tx);
        return;
    }
    tx->epoch = tracks->epoch;
    tx->credit_bytes = TX_BURST_BYTES;
    tx->passing = router_passes(c->router); /* the past is not gathered at each node on its way */
    if (tx->passing && tx->want)
        begin_layers(tx, tx->want);
    tx->ops->on_associated(tx, tracks);
}

static void on_ready(struct consumer *c)
{
    struct pipe_tx *tx = tx_of(c);

    tx->ready = true;
    if (!tx->passing && tx->want && associated(tx))
        begin_layers(tx, tx->want);
    else if (tx->catching)
        pipe_tx_tick(tx, 0);
}

static void on_past(struct consumer *c)
{
    struct pipe_tx *tx = tx_of(c);

    if (tx->catching)
        pipe_tx_tick(tx, 0);
}

/* Live packets of layers that catch up are taken from the cache in their turn; they bring the credit for it,
 * and half as much again, so that the end is reached however many others share the backfill. */
static void on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct pipe_tx *tx = tx_of(c);

    if (!tx->heard || !associated(tx))
        return;
    if (tx->caught && worker_now_us(tx->shared->worker) - tx->caught_us > (tx->patience_us ? TX_PATIENCE_MOST_US : 0))
        tx->caught = 0;
    uint64_t live = tx->want & ~tx->catching;
    for (size_t i = 0; i < b->n; i++) {
        const struct packet *p = b->v[i];
        uint64_t bit = want_bit(p->track, p->layer);
        if (tx->caught & bit && was_in_cache(tx, p))
            continue;
        if (live & bit)
            send_first_time(tx, p);
        else if (tx->catching & bit)
            tx->credit_bytes += (PIPE_RTP_HEADER_MAX + p->payload_len) * 3 / 2;
    }
    if (tx->catching)
        catch_up_in_turn(tx);
    tell_started(tx);
}

static void on_soon(const struct consumer *c, unsigned ahead)
{
    const struct pipe_tx *tx = container_of(c, const struct pipe_tx, consumer);
    const uint8_t *at = (const uint8_t *)tx, *end = (const uint8_t *)(&tx->counters.bytes + 1);

    if (ahead > 1) {
        for (; at < end; at += CACHE_LINE_BYTES)
            __builtin_prefetch(at, 1);
    } else if (tx->out) {
        srtp_tx_prefetch(tx->out);
        __builtin_prefetch(&tx->layers[0], 1); /* of the first two tracks, as publishers have */
        __builtin_prefetch(&tx->layers[LAYERS_MAX], 1);
    }
}

static void on_end(struct consumer *c, enum stream_end why)
{
    struct pipe_tx *tx = tx_of(c);

    tx->ops->on_end(tx, why);
}

static const struct consumer_ops consumer_ops = {
    .on_tracks = on_tracks, .on_ready = on_ready, .on_past = on_past, .on_packets = on_packets, .on_end = on_end, .on_soon = on_soon};

/* ---- What the child says --------------------------------------------------------------------- */

static void welcome(struct pipe_tx *tx, uint64_t sent_us)
{
    size_t cap = FEEDBACK_HELLO_BYTES + SRTCP_OVERHEAD_MAX;
    uint8_t *dst = udp_reserve(tx->shared->udp, &tx->peer, cap);
    size_t len = feedback_write_hello(dst, FEEDBACK_WELCOME, tx->ssrc, sent_us);
    int sealed = srtp_tx_protect_rtcp(tx->shared->engine, tx->out, dst, len, cap);

    udp_commit(tx->shared->udp, sealed > 0 ? (size_t)sealed : 0);
}

/* What was asked for and is not here. */
struct gone {
    struct feedback_range v[FEEDBACK_RANGES_MAX];
    size_t n;
};

/* Of more ranges than a datagram holds the child hears when it asks again. */
static void add_gone(struct gone *g, const struct feedback_range *asked, uint64_t seq)
{
    struct feedback_range *last = g->n ? &g->v[g->n - 1] : NULL;

    if (last && last->track == asked->track && last->layer == asked->layer && last->first + last->count == (uint32_t)seq)
        last->count++;
    else if (g->n < LEN(g->v))
        g->v[g->n++] = (struct feedback_range){asked->track, asked->layer, 1, (uint32_t)seq};
}

static void tell_gone(struct pipe_tx *tx, const struct gone *g)
{
    size_t cap = FEEDBACK_BYTES_MAX + SRTCP_OVERHEAD_MAX;
    uint8_t *dst = udp_reserve(tx->shared->udp, &tx->peer, cap);
    size_t len = feedback_write_ranges(dst, FEEDBACK_GONE, tx->ssrc, g->v, g->n);
    int sealed = srtp_tx_protect_rtcp(tx->shared->engine, tx->out, dst, len, cap);

    udp_commit(tx->shared->udp, sealed > 0 ? (size_t)sealed : 0);
}

static void resend(struct pipe_tx *tx, const struct feedback_range *range, struct gone *gone)
{
    if (range->track >= TRACKS_MAX || range->layer >= LAYERS_MAX)
        return;
    const struct tx_layer *l = &tx->layers[range->track * LAYERS_MAX + range->layer];
    if (l->end == 0)
        return;
    uint64_t seq = ts32_extend(l->end, range->first);
    uint64_t end = seq + (range->count < RECOVERY_SPAN_MAX ? range->count : RECOVERY_SPAN_MAX);

    for (; seq < end && seq < l->end && tx->shared->resend.bytes > 0; seq++) {
        const struct packet *p = cache_find(cache_of(tx), range->track, range->layer, seq);
        tx->counters.requested++;
        if (!p) {
            tx->counters.gone++;
            add_gone(gone, range, seq);
            continue;
        }
        tx->shared->resend.bytes -= (int64_t)send_packet(tx, p);
        tx->counters.retransmitted++;
    }
}

static void resend_all(struct pipe_tx *tx, struct feedback *f)
{
    struct feedback_range range;
    struct gone gone = {.n = 0};

    while (associated(tx) && feedback_next(f, &range))
        resend(tx, &range, &gone);
    if (gone.n)
        tell_gone(tx, &gone);
}

static void answer(struct pipe_tx *tx, struct feedback *f)
{
    switch (f->kind) {
    case FEEDBACK_HELLO:
        welcome(tx, f->sent_us);
        break;
    case FEEDBACK_ASK:
        resend_all(tx, f);
        break;
    case FEEDBACK_WELCOME:
    case FEEDBACK_GONE:
        break; /* not the child's to say */
    }
}

void pipe_tx_feedback(struct pipe_tx *tx, uint8_t *bytes, size_t len, const struct addr *from, uint64_t now_us)
{
    struct feedback f;
    size_t plain_len;

    if (!tx->in || srtp_rx_unprotect_rtcp(tx->shared->engine, tx->in, bytes, len, &plain_len) != SRTP_OK ||
        feedback_parse(&f, bytes, plain_len) != FEEDBACK_OK) {
        tx->counters.unauthenticated++;
        return;
    }
    bool first = !tx->heard;
    tx->peer = *from;
    tx->heard = true;
    tx_bucket_fill(&tx->shared->resend, now_us);
    answer(tx, &f);
    if (first && tx->catching) {
        ask_help(tx);
        pipe_tx_tick(tx, 0); /* the picture at once */
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

void pipe_tx_init(struct pipe_tx *tx, struct pipe_tx_shared *shared, const struct pipe_tx_ops *ops,
                  uint32_t ssrc_block)
{
    *tx = (struct pipe_tx){
        .consumer = {.ops = &consumer_ops, .kind = "pipe"},
        .shared = shared,
        .ops = ops,
        .ssrc_block = ssrc_block,
        .allowed = UINT64_MAX,
    };
    list_init(&tx->catching_link);
}

void pipe_tx_from(struct pipe_tx *tx, uint64_t epoch, const struct pipe_position *from)
{
    tx->from_epoch = epoch;
    tx->layers[from->track * LAYERS_MAX + from->layer].from = from->seq;
}

void pipe_tx_open(struct pipe_tx *tx, struct router *r, uint64_t want)
{
    tx->asked = tx->want = want;
    router_attach(r, &tx->consumer, want);
}

void pipe_tx_close(struct pipe_tx *tx)
{
    router_detach(&tx->consumer);
    dissociate(tx);
}
