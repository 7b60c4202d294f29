/* SPDX-License-Identifier: Apache-2.0
 * packet.h - the one unit of media: an RTP packet with what is known about it.
 *
 * Its identity is the origin's - (stream, epoch, track, layer, seq) - and stays the same on every
 * node, so any cache in the cluster answers for it. Written once by whoever makes it (ingest,
 * pipe_rx), immutable from the push into a router on.
 * Ownership: reference-counted. Thread: the count is atomic, packets cross workers; the
 * pool of a worker gives packets to that worker only and takes them back from any. */
#pragma once

#include "base/compiler.h"
#include "base/pool.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CACHE_LINE_BYTES = 64,     /* of the processor */
    PACKET_PAYLOAD_MAX = 1400, /* bytes; with IP, UDP, RTP, our pipe extension and the GCM tag below 1,500 */
    PACKET_EXT_MAX = 128,      /* bytes of canonical header extension elements; a longer set is dropped whole */
    PACKET_BATCH_MAX = 256,    /* packets; a 4 Mbit keyframe at once; more in a turn make a second batch */
    PACKET_SEQ_FIRST = 1 << 16, /* 64-bit sequence numbers start here or above: "before the first" stays positive */
};

enum packet_flags {
    PACKET_FRAME_START = 1 << 0,
    PACKET_FRAME_END = 1 << 1,   /* last packet of the frame in this spatial layer */
    PACKET_KEYFRAME = 1 << 2,    /* of a frame at which decoding can start */
    PACKET_MARKER = 1 << 3,      /* the RTP marker bit: end of picture; for audio the start of talk */
    PACKET_DISCARDABLE = 1 << 4, /* nothing refers to its frame */
    PACKET_SWITCH_UP = 1 << 5,   /* no frame after it refers to one before it of a temporal layer above its own: with this
                                    frame a receiver may go up to any */
    PACKET_PADDING = 1 << 6,     /* no payload: keeps its place in the sequence, carries no medium */
    PACKET_LAYER_SYNC = 1 << 7,  /* its frame refers to lower temporal layers only: a receiver of the one below may go up to its own */
};

/* Ids of RTP header extension elements inside the cluster (packet.ext, pipes), two-byte form
 * of RFC 8285. What only one hop means (transport-cc, abs-send-time, mid, rid) is not kept. */
enum packet_ext_id {
    PACKET_EXT_PIPE = 1, /* pipe.h's own; never inside packet.ext */
    PACKET_EXT_AUDIO_LEVEL = 2,
    PACKET_EXT_VIDEO_ORIENTATION = 3,
    PACKET_EXT_PLAYOUT_DELAY = 4,
    PACKET_EXT_DEPENDENCY = 5, /* AV1 dependency descriptor */
};

struct packet {
    _Atomic uint32_t refs;
    struct pool *pool;   /* where it goes back to */
    uint64_t seq;        /* extended sequence of its (epoch, track, layer); the low 16 bits are the RTP number */
    uint64_t ts_ticks;   /* extended presentation time, the track's clock */
    uint64_t capture_us; /* origin's wall clock (unix) when it was captured; linear in ts_ticks over a track */
    int32_t cts_ticks;   /* presentation minus decode time */
    uint8_t track;       /* index into the stream's track_set */
    uint8_t layer;       /* simulcast layer of the track; 0 when there is one */
    uint8_t flags;       /* enum packet_flags */
    uint8_t spatial, temporal;
    uint8_t ext_len;      /* bytes of canonical extension elements (id, length, data)* at bytes[0] */
    uint16_t payload_len; /* bytes at bytes[ext_len] */
    uint8_t bytes[PACKET_EXT_MAX + PACKET_PAYLOAD_MAX];
};

static inline const uint8_t *packet_payload(const struct packet *p)
{
    return p->bytes + p->ext_len;
}

/* Bytes that a packet counts for in budgets. */
static inline size_t packet_cost_bytes(const struct packet *p)
{
    (void)p;
    return sizeof(struct packet);
}

/* A pool of at most cap packets for one worker. 0, or -1 when memory is short. Destroy with pool_destroy. */
MUST_USE int packet_pool_create(struct pool **out, size_t cap);
/* One reference; all fields but refs and pool zero, bytes undefined. NULL when the pool is exhausted: count
 * it and drop. Owner of the pool only. */
struct packet *packet_create(struct pool *pool);

/* Will soon be written: its memory, which nobody has used for as long as caches reach back, is fetched meanwhile. */
static inline void packet_fetch(struct packet *p, size_t payload_bytes)
{
    for (uint8_t *at = p->bytes, *end = at + payload_bytes; at < end; at += 4 * CACHE_LINE_BYTES)
        for (unsigned line = 0; line < 4; line++)
            __builtin_prefetch(at + line * CACHE_LINE_BYTES, 1);
}

static inline struct packet *packet_ref(const struct packet *p)
{
    struct packet *shared = (struct packet *)(uintptr_t)p; /* the count is not part of the value */
    atomic_fetch_add_explicit(&shared->refs, 1, memory_order_relaxed);
    return shared;
}

/* Whether it was the last. */
static inline bool packet_drop(struct packet *p)
{
    return atomic_load_explicit(&p->refs, memory_order_acquire) == 1 || /* nobody else knows of it: one locked operation less */
           atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1;
}

/* Gives the reference back and clears the pointer; NULL inside is fine. Any thread. */
static inline void packet_unref(struct packet **p)
{
    struct packet *gone = *p;
    *p = NULL;
    if (gone && packet_drop(gone))
        pool_give(gone->pool, gone);
}

/* The same, not NULL, in the thread that owns `own`: what comes from there is what is made next. */
static inline void packet_unref_own(struct packet *p, struct pool *own)
{
    if (!packet_drop(p))
        return;
    if (p->pool == own)
        pool_give_own(own, p);
    else
        pool_give(p->pool, p);
}

/* Packets of one stream in the order they came; a borrowed view. */
struct packet_batch {
    struct packet *const *v;
    size_t n; /* 1 .. PACKET_BATCH_MAX */
};

/* Bit of (track, layer) in a mask of wants. */
enum { TRACKS_MAX = 8, LAYERS_MAX = 8 };
static inline uint64_t want_bit(unsigned track, unsigned layer)
{
    return (uint64_t)1 << (track * LAYERS_MAX + layer);
}
static inline uint64_t want_track(unsigned track)
{
    return (uint64_t)0xff << (track * LAYERS_MAX);
}
