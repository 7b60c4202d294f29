/* SPDX-License-Identifier: Apache-2.0
 * pipe_tx.h - the sending end of one subscription: a consumer that protects packets and sends them to a
 * child.
 *
 * A layer that is wanted anew catches up first: its packets are taken out of the cache in the order they
 * came, at a pace, live ones after them; so within a layer the order is kept. What was sent of it when it was wanted before
 * is not sent again. Meanwhile the layers that have
 * caught up are sent as they come. Retransmissions are made anew from the cache: header and ciphertext are
 * functions of the packet, the SSRC and the keys, so they are the very same bytes. An association serves one
 * epoch only; with the next epoch keys and SSRCs are new, so that no two packets ever meet under one nonce.
 *
 * Nothing is sent before the child has spoken (an authenticated RTCP packet), and only such a packet moves
 * the address.
 *
 * Hot: on_packets allocates nothing; each packet is written straight into the socket's arena.
 * Thread: the worker's. Ownership: embedded in its owner; detach with pipe_tx_close. */
#pragma once

#include "base/compiler.h"
#include "base/list.h"
#include "io/addr.h"
#include "io/udp.h"
#include "pipe/pipe.h"
#include "pipe/pipe_feedback.h"
#include "router/router.h"
#include "secure/srtp_rx.h"
#include "secure/srtp_tx.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TX_TICK_US = 2000,          /* between two helpings of backfill */
    TX_BURST_BYTES = 192 * 1024, /* at once at the start: a keyframe and more; receivers have buffers of megabytes */
    TX_PATIENCE_MOST_US = 100000,
    TX_STEPS_MAX = 4096,        /* cache positions looked at in one go */
    TX_PAUSE_US = 1000000,      /* a layer with nothing so new in the cache has stopped */
    TX_THIN_PERCENT = 2,        /* given up by the child, for TX_THIN_REPORTS reports in a row: a layer less */
    TX_THIN_REPORTS = 3,
    TX_WIDEN_US = 10000000,     /* without such a report: a layer more */
};

/* Bytes that may be spent, filled by time. */
struct tx_bucket {
    int64_t bytes, cap_bytes;
    uint64_t bps, filled_us;
};
void tx_bucket_fill(struct tx_bucket *b, uint64_t now_us);

/* What all senders of a worker share. */
struct pipe_tx_shared {
    struct worker *worker;
    struct srtp_engine *engine;
    struct udp_socket *udp;
    struct tx_bucket resend;  /* retransmissions of all */
    struct list catching;     /* pipe_tx.catching_link: those that want a helping each tick */
    void (*on_catching)(struct pipe_tx_shared *s); /* the list is no longer empty */
};

struct pipe_tx;

/* What its owner tells the child. None may close the tx but on_end and on_failed. */
struct pipe_tx_ops {
    void (*on_associated)(struct pipe_tx *tx, const struct track_set *tracks); /* keys and SSRCs are new */
    void (*on_started)(struct pipe_tx *tx, uint64_t layers);                   /* layers[].first is sent */
    void (*on_caught_up)(struct pipe_tx *tx);
    void (*on_thinned)(struct pipe_tx *tx, uint64_t allowed);
    void (*on_end)(struct pipe_tx *tx, enum stream_end why);
    void (*on_failed)(struct pipe_tx *tx); /* no memory for an association */
};

struct tx_layer {
    uint64_t start;    /* cache position from which it catches up */
    uint64_t min_seq;  /* and the lowest number sent */
    uint64_t whole;    /* from which on the child is to have all; 0: from the first packet sent on */
    uint64_t first;    /* number of the first packet sent */
    uint64_t end;      /* highest number sent + 1; 0: none */
    uint64_t from;     /* where the child goes on; 0: at the newest keyframe */
};

struct pipe_tx {
    /* What each packet touches, together. */
    struct consumer consumer;
    struct pipe_tx_shared *shared;
    struct srtp_tx *out;
    uint64_t epoch; /* of the association; 0: there is none */
    uint64_t want;  /* asked & allowed */
    uint64_t catching;             /* layers that are taken from the cache at cursor */
    uint64_t unstarted, started;   /* nothing sent yet; started since the owner was told */
    uint64_t caught, caught_us;    /* layers that went live, and when: in that turn ... */
    bool heard;                    /* peer holds */
    uint32_t ssrc;
    struct addr peer;
    struct pipe_counters counters;

    /* the rest of the association */
    struct srtp_rx *in;
    struct srtp_master to_child, to_parent;
    uint32_t ssrc_block, feedback_ssrc;
    uint32_t generation;
    const struct pipe_tx_ops *ops;

    /* what is sent */
    uint64_t asked, allowed;
    uint64_t patience_us; /* the child's */
    bool ready;                    /* the router's cache holds what came before live */
    bool passing;                  /* or it comes now, and goes on as it comes */
    bool told_caught_up;
    struct list catching_link;
    uint64_t cursor;
    uint64_t caught_end;           /* ... what lies in the cache before this is sent */
    int64_t credit_bytes;
    uint64_t from_epoch;
    struct tx_layer layers[PIPE_STREAM_LAYERS];

    unsigned bad_reports;
    uint64_t thinned_us;
};

/* ssrc_block: where the child's SSRCs for it begin. */
void pipe_tx_init(struct pipe_tx *tx, struct pipe_tx_shared *shared, const struct pipe_tx_ops *ops,
                  uint32_t ssrc_block);
/* A layer that goes on where it stopped; before pipe_tx_open. */
void pipe_tx_from(struct pipe_tx *tx, uint64_t epoch, const struct pipe_position *from);
/* Attaches. on_associated and on_end may be called before it returns. */
void pipe_tx_open(struct pipe_tx *tx, struct router *r, uint64_t want);
/* Detaches and forgets the keys. Harmless when closed. */
void pipe_tx_close(struct pipe_tx *tx);
void pipe_tx_want(struct pipe_tx *tx, uint64_t want);
/* Sound waits so long at most for the next pictures (router.h), TX_PATIENCE_MOST_US whatever the child says; not while something is
 * taken from the cache, where it lies already. */
void pipe_tx_patience(struct pipe_tx *tx, uint64_t patience_us);
/* One RTCP datagram for feedback_ssrc; decrypted in place. */
void pipe_tx_feedback(struct pipe_tx *tx, uint8_t *bytes, size_t len, const struct addr *from, uint64_t now_us);
/* A helping of backfill. */
void pipe_tx_tick(struct pipe_tx *tx, int64_t bytes);
/* What the child says of the last second or more. */
void pipe_tx_report(struct pipe_tx *tx, uint64_t received, uint64_t lost, uint64_t given_up, uint64_t now_us);
