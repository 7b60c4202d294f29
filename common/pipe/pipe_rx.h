/* SPDX-License-Identifier: Apache-2.0
 * pipe_rx.h - the receiving end of one subscription: authenticates datagrams, makes packets of them, and says
 * what to ask for again.
 *
 * The packet's whole number is in the clear part of the datagram, so after a gap of any length the index to
 * authenticate under is known; the replay window moves only for what proved authentic.
 * Hot: pipe_rx_take allocates nothing but a packet from the pool.
 * Thread: the worker's; now_us is its clock. Ownership: embedded in its owner. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/udp.h"
#include "media/packet.h"
#include "media/track.h"
#include "pipe/pipe.h"
#include "pipe/recovery.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RX_HELLO_FIRST_US = 50000, /* until the second hello; then twice as long each time */
    RX_HELLO_US = 1000000,     /* and at most so long; also how long after the answer to one */
    RX_QUIET_US = 300000,      /* media silent for so long: hellos begin again, while the control connection may wait for what it lost */
    RX_KEEP_US = 10000000,     /* a hello at least so often: what goes out keeps a NAT's mapping (RFC 4787 s4.3) */
    RX_DEAF_US = 3000000,      /* hellos unanswered for so long: no datagram comes through */
    RX_WAIT_MIN_US = 100000,   /* or four round trips: how long the end of the past is waited for */
    RX_WAIT_STEP_US = 5000,    /* and how often they are looked for */
};

struct rx_layer {
    bool open; /* a packet was authenticated: window holds */
    uint64_t expected_end; /* all up to here has been sent */
    struct srtp_window window;
    struct recovery recovery;
};

struct pipe_rx {
    struct srtp_engine *engine;
    struct udp_socket *udp;

    /* the association; none when in is NULL */
    struct srtp_rx *in;
    struct srtp_tx *out;
    uint32_t ssrc, feedback_ssrc;

    uint64_t heard_us, hello_us, hello_wait_us; /* last authentic datagram; when the next hello is due */
    uint64_t quiet_us;    /* when the hellos of this silence began; 0: they have not */
    uint64_t wait_until_us; /* what is expected is waited for until then; 0: not */
    uint64_t wake_us;     /* when pipe_rx_poll is due */
    struct pipe_counters counters;
    uint64_t spoke_us;    /* when something was last sent */
    uint64_t give_up_us;
    struct addr peer; /* the parent's media socket */
    struct rx_layer *layers[PIPE_STREAM_LAYERS];
};

/* What a Subscribed says of an association. */
struct pipe_rx_cfg {
    struct srtp_master to_child, to_parent;
    uint32_t ssrc, feedback_ssrc;
    struct addr peer;
    const struct track_set *tracks; /* borrowed */
};

void pipe_rx_init(struct pipe_rx *rx, struct srtp_engine *engine, struct udp_socket *udp, uint64_t give_up_us);
void pipe_rx_fini(struct pipe_rx *rx);
/* Begins an association, ending the one before it, and says hello. 0, or -1 when memory is short (then there
 * is none). */
MUST_USE int pipe_rx_associate(struct pipe_rx *rx, const struct pipe_rx_cfg *cfg, uint64_t now_us);

/* pipe_rx_take comes soon, so what it reads and writes is asked for (prefetch): first its own, then that of the layer, which is returned
 * (0 when the SSRC is none of ours). */
void pipe_rx_soon(const struct pipe_rx *rx);
unsigned pipe_rx_soon_layer(const struct pipe_rx *rx, uint32_t ssrc);
/* One RTP datagram. The packet, with one reference for the caller, or NULL: counted. */
struct packet *pipe_rx_take(struct pipe_rx *rx, struct pool *pool, const uint8_t *bytes, size_t len, uint64_t now_us);
/* One RTCP datagram. False: it was none of ours, counted. *rtt_us: the round trip that it tells; 0: none. */
bool pipe_rx_feedback(struct pipe_rx *rx, uint8_t *bytes, size_t len, uint64_t now_us, uint64_t *rtt_us);

/* Sending of a layer begins with this packet; what is not sent any more; one past the last that was sent so
 * far. */
void pipe_rx_started(struct pipe_rx *rx, const struct pipe_position *first, uint64_t now_us);
void pipe_rx_stopped(struct pipe_rx *rx, uint64_t layers);
void pipe_rx_expect(struct pipe_rx *rx, const struct pipe_position *end, uint64_t now_us);
/* PIPE_RX_COMPLETE follows when all that is expected is here or given up, or after wait_us. */
void pipe_rx_wait(struct pipe_rx *rx, uint64_t now_us, uint64_t wait_us);

enum pipe_rx_event {
    PIPE_RX_NOTHING,
    PIPE_RX_COMPLETE, /* once after pipe_rx_wait */
    PIPE_RX_DEAF,     /* RX_DEAF_US are over */
};
/* Asks for what is missing, says hello when that is due, and sets wake_us anew. */
enum pipe_rx_event pipe_rx_poll(struct pipe_rx *rx, uint64_t now_us, uint64_t rtt_us);
