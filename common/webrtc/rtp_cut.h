/* SPDX-License-Identifier: Apache-2.0
 * rtp_cut.h - what a viewer is not sent of its track: spatial and temporal layers above a level, or all but keyframes; and
 * what number the rest has.
 *
 * The viewer's numbers have no gap where packets were left out, but keep one for each packet that has not come
 * yet. So there is a bit for each of the cluster's last numbers: left out or not, settled when a packet at or behind it
 * comes. One that comes later than those behind it and is of no use to the viewer has its number all the same: it is
 * sent empty.
 *
 * The level changes with a picture only: down with any, up to a spatial layer with a keyframe, up to a temporal layer where the
 * packet says so (packet.h). The last changes are remembered with the number that each began at, so that a
 * packet is judged alike whenever it comes or is asked for.
 *
 * Lower spatial layers are always sent along, also where the upper ones do not refer to them (L3T3_KEY): so a viewer goes
 * down with the next picture, and needs nothing of the publisher.
 *
 * Pure. Hot: no allocation. Thread: the worker's. Ownership: embedded.
 * Source: RFC 9628 s4 (VP9), RFC 7741 s4.2 (VP8), AV1 RTP specification s6, A.4. */
#pragma once

#include "base/compiler.h"
#include "codec/dd.h"
#include "media/packet.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    RTP_CUT_WORDS = 32,      /* of 64 numbers each: two seconds at 1,000 packets a second */
    RTP_CUT_CHANGES = 8,
    RTP_CUT_TELLS = 64,      /* numbers after a change whose dependency descriptors tell it */
    RTP_CUT_PICTURES = 64,   /* VP8's, behind the newest; half of what 7 bits of picture id tell apart */
    RTP_LEVEL_ALL = 7,       /* more than any layer's id */
    RTP_LEVEL_KEYFRAMES = -1, /* as temporal: keyframes only */
    RTP_LEVEL_NOTHING = -2,
};

/* The highest layers that are sent. */
struct rtp_level {
    uint8_t spatial;
    int8_t temporal;
};

struct rtp_cut_change {
    uint64_t seq; /* from here on */
    struct rtp_level level;
};

struct rtp_cut {
    uint64_t newest;                 /* the cluster's number: up to it all is settled */
    uint64_t out[RTP_CUT_WORDS];     /* word seq / 64, bit seq % 64: left out */
    uint32_t before[RTP_CUT_WORDS];  /* left out before that word, low bits */
    uint64_t total;                  /* left out */
    uint64_t ts_ticks;               /* of the newest picture */
    bool begun;                      /* ts_ticks is one */
    struct rtp_level target;
    struct rtp_cut_change changes[RTP_CUT_CHANGES]; /* the newest at [next - 1] */
    uint8_t next;
    uint64_t recent_out;             /* VP8: bit n: picture picture_id - n was left out */
    uint16_t picture_id, pictures_out; /* the newest; so many were left out */
    bool has_picture;
    uint64_t skipped;                /* pictures of which nothing was sent, of any codec: for whoever counts */
    struct dd_targets targets;       /* of the dependency descriptor; none: not known */
};

/* Everything up to `newest` was sent, at this level, and so is what follows until the level changes. */
void rtp_cut_init(struct rtp_cut *c, uint64_t newest, struct rtp_level level);
/* From the next picture on that allows it. */
static inline void rtp_cut_aim(struct rtp_cut *c, struct rtp_level target)
{
    c->target = target;
}

static inline struct rtp_level rtp_cut_level(const struct rtp_cut *c)
{
    return c->changes[(c->next + RTP_CUT_CHANGES - 1) % RTP_CUT_CHANGES].level;
}

/* A packet has come. False: it is left out. True: it is to be sent, empty if rtp_cut_shows says so. */
bool rtp_cut_push(struct rtp_cut *c, const struct packet *p);
/* Whether the viewer gets its payload. */
bool rtp_cut_shows(const struct rtp_cut *c, const struct packet *p);
/* It is the last of what is sent of its picture. */
bool rtp_cut_ends_picture(const struct rtp_cut *c, const struct packet *p);

/* How many were left out before this number. False: it is too long ago. */
MUST_USE bool rtp_cut_before(const struct rtp_cut *c, uint64_t seq, uint64_t *out);
/* The number of the packet that is the n-th when those left out are not counted: seq with seq - rtp_cut_before(seq) == n. False: too
 * long ago, or not come yet. */
MUST_USE bool rtp_cut_seq(const struct rtp_cut *c, uint64_t n, uint64_t *seq);

/* All is sent and will be, and nothing it remembers was left out: it only takes .total off numbers and .pictures_out off picture ids. */
bool rtp_cut_is_idle(const struct rtp_cut *c);
/* The first number that it remembers. */
static inline uint64_t rtp_cut_since(const struct rtp_cut *c)
{
    return c->newest / 64 < RTP_CUT_WORDS ? 0 : (c->newest / 64 - RTP_CUT_WORDS + 1) * 64;
}

/* VP8: a picture begins in order, picture_id of so many bits. */
void rtp_cut_on_picture(struct rtp_cut *c, uint16_t picture_id, unsigned bits, bool left_out);
/* VP8: how many pictures were left out before this one. */
uint16_t rtp_cut_pictures_before(const struct rtp_cut *c, uint16_t picture_id, unsigned bits);

/* The dependency descriptor of p (data) with the targets that the viewer gets, if p has to tell them: its length in dst, else 0. */
size_t rtp_cut_descriptor(const struct rtp_cut *c, const struct packet *p, const uint8_t *data, size_t len, uint8_t *dst,
                          size_t cap);
/* Learns the targets from a packet with a structure. */
void rtp_cut_learn(struct rtp_cut *c, const struct packet *p);
/* The template structure that the packet's dependency descriptor brings; false: none. */
bool packet_dependency_structure(const struct packet *p, struct dd_structure *out);
