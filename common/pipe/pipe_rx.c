/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/pipe_rx.h"

#include "base/bytes.h"
#include "base/seq.h"
#include "pipe/pipe_feedback.h"
#include "pipe/pipe_rtp.h"

#include <stdlib.h>
#include <string.h>

enum { RTP_SSRC_AT = 8 };

/* ---- Life ------------------------------------------------------------------------------------ */

void pipe_rx_init(struct pipe_rx *rx, struct srtp_engine *engine, struct udp_socket *udp, uint64_t give_up_us)
{
    *rx = (struct pipe_rx){.engine = engine, .udp = udp, .give_up_us = give_up_us, .wake_us = UINT64_MAX};
}

static void dissociate(struct pipe_rx *rx)
{
    srtp_rx_destroy(&rx->in);
    srtp_tx_destroy(&rx->out);
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        free(rx->layers[i]);
        rx->layers[i] = NULL;
    }
    rx->wait_until_us = rx->quiet_us = 0;
    rx->wake_us = UINT64_MAX;
}

void pipe_rx_fini(struct pipe_rx *rx)
{
    dissociate(rx);
}

static int open_layers(struct pipe_rx *rx, const struct track_set *tracks)
{
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        unsigned track = i / LAYERS_MAX;
        if (track >= tracks->n || i % LAYERS_MAX >= tracks->v[track].n_layers)
            continue;
        rx->layers[i] = calloc(1, sizeof(struct rx_layer));
        if (!rx->layers[i])
            return -1;
        recovery_init(&rx->layers[i]->recovery, rx->give_up_us, &rx->counters);
    }
    return 0;
}

int pipe_rx_associate(struct pipe_rx *rx, const struct pipe_rx_cfg *cfg, uint64_t now_us)
{
    dissociate(rx);
    if (srtp_rx_create(&rx->in, rx->engine, &cfg->to_child) != 0 ||
        srtp_tx_create(&rx->out, rx->engine, &cfg->to_parent) != 0 || open_layers(rx, cfg->tracks) != 0) {
        dissociate(rx);
        return -1;
    }
    rx->ssrc = cfg->ssrc;
    rx->feedback_ssrc = cfg->feedback_ssrc;
    rx->peer = cfg->peer;
    rx->hello_wait_us = RX_HELLO_FIRST_US;
    rx->hello_us = rx->wake_us = now_us;
    return 0;
}

/* ---- Datagrams ------------------------------------------------------------------------------- */

/* Anything authentic: the parent knows where we are. */
static void heard(struct pipe_rx *rx, uint64_t now_us, uint64_t hello_us)
{
    rx->heard_us = now_us;
    rx->hello_wait_us = RX_HELLO_FIRST_US;
    rx->hello_us = now_us + hello_us;
    if (rx->hello_us < rx->wake_us)
        rx->wake_us = rx->hello_us;
    rx->quiet_us = 0;
}

/* Its payload is decrypted into the packet. */
static int fill_packet(struct pipe_rx *rx, struct rx_layer *l, struct packet *p, const uint8_t *bytes, size_t len)
{
    size_t hdr_len;

    if (pipe_rtp_parse(p, bytes, len, &hdr_len) != RTP_OK || len < hdr_len + PIPE_TAG_BYTES ||
        len > hdr_len + PIPE_TAG_BYTES + PACKET_PAYLOAD_MAX)
        return SRTP_ERR_AUTH;
    p->payload_len = (uint16_t)(len - hdr_len - PIPE_TAG_BYTES);
    packet_fetch(p, p->payload_len);
    uint64_t index = p->seq & PIPE_INDEX_MASK;
    if (!l->open)
        srtp_window_init(&l->window, index);
    int err = srtp_rx_open(rx->engine, rx->in, &l->window, &(struct srtp_rx_packet){
        .index = index, .bytes = bytes, .len = len, .hdr_len = hdr_len, .dst = p->bytes + p->ext_len});
    l->open |= err == SRTP_OK;
    return err;
}

static void count_refused(struct pipe_rx *rx, int err)
{
    if (err == SRTP_ERR_REPLAY || err == SRTP_ERR_OLD)
        rx->counters.duplicates++;
    else
        rx->counters.unauthenticated++;
}

static bool complete(const struct pipe_rx *rx)
{
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        const struct rx_layer *l = rx->layers[i];
        if (l && l->recovery.running && !recovery_complete(&l->recovery, l->expected_end))
            return false;
    }
    return true;
}

static void arrived(struct pipe_rx *rx, struct rx_layer *l, const struct packet *p, uint64_t now_us)
{
    size_t gaps = l->recovery.n;

    rx->counters.packets++;
    rx->counters.bytes += p->payload_len;
    (void)recovery_push(&l->recovery, p->seq, now_us);
    if (l->recovery.n > gaps && now_us + l->recovery.reorder_us < rx->wake_us)
        rx->wake_us = now_us + l->recovery.reorder_us;
    if (rx->wait_until_us && complete(rx))
        rx->wake_us = now_us;
    heard(rx, now_us, RX_QUIET_US);
}

void pipe_rx_soon(const struct pipe_rx *rx)
{
    const uint8_t *at = (const uint8_t *)rx, *end = (const uint8_t *)(&rx->counters.bytes + 1);

    for (; at < end; at += CACHE_LINE_BYTES)
        __builtin_prefetch(at, 1);
    __builtin_prefetch(&rx->layers[0]); /* of the first two tracks, as publishers have */
    __builtin_prefetch(&rx->layers[LAYERS_MAX]);
}

unsigned pipe_rx_soon_layer(const struct pipe_rx *rx, uint32_t ssrc)
{
    uint32_t i = ssrc - rx->ssrc;
    const struct rx_layer *l = rx->in && i < PIPE_STREAM_LAYERS ? rx->layers[i] : NULL;

    if (!l)
        return 0;
    srtp_rx_prefetch(rx->in);
    __builtin_prefetch(l, 1);
    __builtin_prefetch(&l->window.seen[(l->window.top + 1) % SRTP_WINDOW_PACKETS / 64], 1);
    __builtin_prefetch(&l->recovery, 1);
    __builtin_prefetch(&l->recovery.n, 1);
    return i;
}

struct packet *pipe_rx_take(struct pipe_rx *rx, struct pool *pool, const uint8_t *bytes, size_t len, uint64_t now_us)
{
    if (!rx->in || len < RTP_SSRC_AT + sizeof(uint32_t)) {
        rx->counters.unauthenticated++;
        return NULL;
    }
    uint32_t i = get32(bytes + RTP_SSRC_AT) - rx->ssrc;
    if (i >= PIPE_STREAM_LAYERS || !rx->layers[i]) {
        rx->counters.stale++;
        return NULL;
    }
    struct packet *p = packet_create(pool); /* before it counts as seen: it can be asked for again */
    if (!p) {
        rx->counters.exhausted++;
        return NULL;
    }
    int err = fill_packet(rx, rx->layers[i], p, bytes, len);
    if (err) {
        count_refused(rx, err);
        packet_unref(&p);
        return NULL;
    }
    p->track = (uint8_t)(i / LAYERS_MAX);
    p->layer = (uint8_t)(i % LAYERS_MAX);
    arrived(rx, rx->layers[i], p, now_us);
    return p;
}

/* What the parent has not got. */
static void take_gone(struct pipe_rx *rx, struct feedback *f, uint64_t now_us)
{
    struct feedback_range range;

    while (feedback_next(f, &range)) {
        bool within = range.track < TRACKS_MAX && range.layer < LAYERS_MAX;
        struct rx_layer *l = within ? rx->layers[range.track * LAYERS_MAX + range.layer] : NULL;
        if (!l || !l->recovery.running)
            continue;
        uint64_t first = ts32_extend(l->recovery.end, range.first);
        recovery_gone(&l->recovery, first, first + range.count, now_us);
    }
}

bool pipe_rx_feedback(struct pipe_rx *rx, uint8_t *bytes, size_t len, uint64_t now_us, uint64_t *rtt_us)
{
    struct feedback f;
    size_t plain_len;
    bool ours = rx->in && srtp_rx_unprotect_rtcp(rx->engine, rx->in, bytes, len, &plain_len) == SRTP_OK &&
                feedback_parse(&f, bytes, plain_len) == FEEDBACK_OK;

    *rtt_us = 0;
    if (ours && f.kind == FEEDBACK_WELCOME && f.sent_us <= now_us) {
        *rtt_us = now_us - f.sent_us;
    } else if (ours && f.kind == FEEDBACK_GONE) {
        take_gone(rx, &f, now_us);
    } else {
        rx->counters.unauthenticated++;
        return false;
    }
    heard(rx, now_us, RX_HELLO_US);
    return true;
}

/* ---- What the parent says by control --------------------------------------------------------- */

static struct rx_layer *layer_at(const struct pipe_rx *rx, const struct pipe_position *at)
{
    return rx->layers[at->track * LAYERS_MAX + at->layer];
}

/* Of a layer that was wanted before, some of what it starts with may be here, and would be refused when it came again. */
static void start_layer(struct rx_layer *l, uint64_t first, uint64_t now_us)
{
    uint64_t top = l->window.top, index = first & PIPE_INDEX_MASK;
    uint64_t ahead = l->open && top >= index ? top - index + 1 : 0; /* numbers from first on up to the newest that came */
    uint64_t too_old = ahead > SRTP_WINDOW_PACKETS ? ahead - SRTP_WINDOW_PACKETS : 0;

    recovery_start(&l->recovery, first + too_old, now_us);
    for (uint64_t i = too_old; i < ahead; i++)
        if (srtp_window_refuses(&l->window, index + i))
            recovery_have(&l->recovery, first + i, now_us);
}

void pipe_rx_started(struct pipe_rx *rx, const struct pipe_position *first, uint64_t now_us)
{
    struct rx_layer *l = layer_at(rx, first);

    if (!l)
        return;
    start_layer(l, first->seq, now_us);
    if (recovery_deadline_us(&l->recovery) < rx->wake_us)
        rx->wake_us = recovery_deadline_us(&l->recovery);
}

void pipe_rx_stopped(struct pipe_rx *rx, uint64_t layers)
{
    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++)
        if (rx->layers[i] && layers >> i & 1)
            recovery_stop(&rx->layers[i]->recovery);
}

void pipe_rx_expect(struct pipe_rx *rx, const struct pipe_position *end, uint64_t now_us)
{
    struct rx_layer *l = layer_at(rx, end);

    if (!l)
        return;
    l->expected_end = end->seq;
    recovery_expect(&l->recovery, end->seq, now_us);
}

void pipe_rx_wait(struct pipe_rx *rx, uint64_t now_us, uint64_t wait_us)
{
    rx->wait_until_us = now_us + wait_us;
    rx->wake_us = now_us;
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static void send_feedback(struct pipe_rx *rx, uint8_t *dst, size_t len, size_t cap, uint64_t now_us)
{
    int sealed = srtp_tx_protect_rtcp(rx->engine, rx->out, dst, len, cap);

    udp_commit(rx->udp, sealed > 0 ? (size_t)sealed : 0);
    rx->spoke_us = now_us;
}

static void say_hello(struct pipe_rx *rx, uint64_t now_us)
{
    size_t cap = FEEDBACK_HELLO_BYTES + SRTCP_OVERHEAD_MAX;
    uint8_t *dst = udp_reserve(rx->udp, &rx->peer, cap);

    send_feedback(rx, dst, feedback_write_hello(dst, FEEDBACK_HELLO, rx->feedback_ssrc, now_us), cap, now_us);
}

static void call_out(struct pipe_rx *rx, uint64_t now_us)
{
    say_hello(rx, now_us);
    if (!rx->quiet_us)
        rx->quiet_us = now_us;
    rx->hello_us = now_us + rx->hello_wait_us;
    rx->hello_wait_us = rx->hello_wait_us * 2 < RX_HELLO_US ? rx->hello_wait_us * 2 : RX_HELLO_US;
}

static void send_ask(struct pipe_rx *rx, const struct feedback_range *v, size_t n, uint64_t now_us)
{
    size_t cap = FEEDBACK_BYTES_MAX + SRTCP_OVERHEAD_MAX;
    uint8_t *dst = udp_reserve(rx->udp, &rx->peer, cap);

    send_feedback(rx, dst, feedback_write_ranges(dst, FEEDBACK_ASK, rx->feedback_ssrc, v, n), cap, now_us);
}

static void ask_for_missing(struct pipe_rx *rx, uint64_t now_us, uint64_t rtt_us)
{
    struct feedback_range ranges[FEEDBACK_RANGES_MAX];
    struct recovery_ask asks[FEEDBACK_RANGES_MAX];
    size_t n = 0;

    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        struct rx_layer *l = rx->layers[i];
        size_t more = l && l->recovery.n ? recovery_poll(&l->recovery, now_us, rtt_us, asks, LEN(asks) - n) : 0;
        for (size_t k = 0; k < more; k++)
            ranges[n++] = (struct feedback_range){
                .track = (uint8_t)(i / LAYERS_MAX),
                .layer = (uint8_t)(i % LAYERS_MAX),
                .count = (uint16_t)asks[k].count,
                .first = (uint32_t)asks[k].first,
            };
    }
    if (n)
        send_ask(rx, ranges, n, now_us);
}

static uint64_t next_wake(const struct pipe_rx *rx, uint64_t now_us)
{
    uint64_t keep_us = rx->spoke_us + RX_KEEP_US, wake_us = rx->hello_us < keep_us ? rx->hello_us : keep_us;

    for (unsigned i = 0; i < PIPE_STREAM_LAYERS; i++) {
        const struct rx_layer *l = rx->layers[i];
        uint64_t due_us = l && l->recovery.n ? recovery_deadline_us(&l->recovery) : UINT64_MAX;
        if (due_us < wake_us)
            wake_us = due_us;
    }
    if (rx->wait_until_us && now_us + RX_WAIT_STEP_US < wake_us)
        wake_us = now_us + RX_WAIT_STEP_US;
    return wake_us;
}

enum pipe_rx_event pipe_rx_poll(struct pipe_rx *rx, uint64_t now_us, uint64_t rtt_us)
{
    enum pipe_rx_event event = PIPE_RX_NOTHING;

    if (!rx->in)
        return event;
    ask_for_missing(rx, now_us, rtt_us);
    if (now_us >= rx->hello_us)
        call_out(rx, now_us);
    else if (now_us - rx->spoke_us >= RX_KEEP_US)
        say_hello(rx, now_us);
    if (rx->wait_until_us && (now_us >= rx->wait_until_us || complete(rx))) {
        rx->wait_until_us = 0;
        event = PIPE_RX_COMPLETE;
    } else if (rx->quiet_us && now_us - rx->quiet_us >= RX_DEAF_US) {
        event = PIPE_RX_DEAF;
    }
    rx->wake_us = next_wake(rx, now_us);
    return event;
}
