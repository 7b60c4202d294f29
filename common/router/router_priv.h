/* SPDX-License-Identifier: Apache-2.0
 * router_priv.h - the insides of a router: router.c is its life, who is attached and what they want, fanout.c hands packets out,
 * hold.c keeps sound back for the next pictures, patience.c says for whom, whole.c waits for a picture's end. */
#pragma once

#include "hold.h"
#include "router/router.h"
#include "whole.h"

struct media_clock {
    uint64_t capture_us, ts_ticks;
    bool known;
};

/* Consumers by whether sound is kept for them. */
enum { PROMPT, PATIENT, LISTS };

/* A walk over the consumers that is under way; a consumer that detaches meanwhile moves it on. */
struct walk {
    struct list *next;
    struct walk *outer;
    int list, last; /* the list it is in, and the last one that it will visit */
};

struct router {
    /* What each packet touches, together; of turn and tracks the beginning. */
    _Alignas(CACHE_LINE_BYTES) struct router_set *set;
    struct cache *cache;
    size_t n_turn;
    struct walk *walks;
    uint64_t fanouts;  /* times that packets went out; see consumer.joined */
    struct list consumers[LISTS];
    uint64_t pictures; /* mask of the tracks that are */
    struct turn_hook fanout;
    bool ended; /* consumers were told so; the next publish tells them the tracks anew */
    bool ready; /* live packets are fanned out; before, they only fill the cache */
    struct router_counters counters;
    struct media_clock clocks[TRACKS_MAX];
    struct track_set tracks;

    struct hash_item item;
    char name[STREAM_NAME_MAX + 1];
    void *user;
    struct producer *primary;
    struct list producers; /* the primary one too */
    size_t n_consumers;
    uint64_t tellings; /* walks about something else; see consumer.told */
    uint64_t want;     /* grows at once, shrinks linger_us later */
    uint64_t asked_us;    /* the least patience of the patient who have said so; 0: nobody has */
    uint64_t patience_us; /* what the primary producer was told */
    struct hold hold;  /* what the prompt have had, and the patient have not */
    struct timer held;
    struct whole whole; /* of what was pushed, for the patient's sake */
    struct timer rest;
    struct timer linger;
    uint64_t expired_us; /* when router_expire was called last */
    uint64_t keyframe_asked_us[TRACKS_MAX][LAYERS_MAX];
    _Alignas(CACHE_LINE_BYTES) struct packet *turn[PACKET_BATCH_MAX]; /* pushed in this loop turn; one reference each */
};

struct router_set {
    struct router_set_cfg cfg;
    struct worker *worker;
    struct hash by_name;
    struct cache_group caches;
    struct timer relief; /* room for other workers' streams */
};

/* ---- Walking the consumers -------------------------------------------------------------------------- */

/* NULL, to begin with; first and last: lists. */
struct consumer *walk_begin(struct router *r, struct walk *w, int first, int last);
struct consumer *walk_next(struct router *r, struct walk *w);

/* Calls may detach any of them. */
#define each_consumer_of(c, r, first, last) \
    struct walk c##_walk; \
    for (struct consumer *c = walk_begin(r, &c##_walk, first, last); (c = walk_next(r, &c##_walk));)

/* Each once, though it may change from one list to the other when it hears it. */
#define each_consumer(c, r) \
    struct walk c##_walk; \
    for (struct consumer *c = ((r)->tellings++, walk_begin(r, &c##_walk, PROMPT, PATIENT)); (c = walk_next(r, &c##_walk));) \
        if (c->told != (r)->tellings && (c->told = (r)->tellings))

/* Without calling them. */
#define each_link(l, r) \
    for (int l##_list = PROMPT; l##_list < LISTS; l##_list++) \
        for (const struct list *l = (r)->consumers[l##_list].next; l != &(r)->consumers[l##_list]; l = l->next)

/* ---- Fan-out ------------------------------------------------------------------------------------------ */

/* What was pushed in this turn goes out; sound may wait for the patient. */
void router_deliver(struct router *r);
/* The same, and what waits: behind this all have had all that was pushed. Not while consumers are being walked. */
void router_deliver_all(struct router *r);
/* Whether the turn's packets wait for the rest of their picture; router_on_rest is the timer of it. */
bool router_waits(struct router *r, uint64_t now_us);
void router_on_rest(struct timer *t, uint64_t now_us);
/* The timer of what waits. */
void router_on_held(struct timer *t, uint64_t now_us);
void router_let_go(struct packet **v, size_t n);

/* ---- Patience (patience.c) -------------------------------------------------------------------------------- */

/* The primary producer hears whether all consumers are patient. */
void router_reconsider_patience(struct router *r);
/* One that says how patient it is has come, changed or gone. */
void router_reconsider_asked(struct router *r);
/* How long sound waits, in r->hold. */
void router_set_hold(struct router *r);
