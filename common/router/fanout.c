/* SPDX-License-Identifier: Apache-2.0
 * fanout.c - a turn's packets to the consumers: to each what it wants, to the patient sound together with pictures. */
#include "router_priv.h"

#include <string.h>

enum {
    LOOK_AHEAD = 2,
    LOOK_AHEAD_LINES = 3, /* of a consumer and what its owner has beside it: where the rest is */
};

/* ---- Walking the consumers -------------------------------------------------------------------------- */

struct consumer *walk_begin(struct router *r, struct walk *w, int first, int last)
{
    *w = (struct walk){.next = r->consumers[first].next, .outer = r->walks, .list = first, .last = last};
    r->walks = w;
    return NULL;
}

struct consumer *walk_next(struct router *r, struct walk *w)
{
    while (w->next == &r->consumers[w->list]) {
        if (w->list == w->last) {
            r->walks = w->outer;
            return NULL;
        }
        w->next = r->consumers[++w->list].next;
    }
    struct consumer *c = container_of(w->next, struct consumer, link);
    w->next = w->next->next;
    return c;
}

/* ---- Fan-out --------------------------------------------------------------------------------------------- */

/* The wanted ones of v[0..n) into out; returns how many. */
static size_t pick(uint64_t want, struct packet *const *v, size_t n, struct packet **out)
{
    size_t kept = 0;

    for (size_t i = 0; i < n; i++)
        if (want & want_bit(v[i]->track, v[i]->layer))
            out[kept++] = v[i];
    return kept;
}

static uint64_t present_in(struct packet *const *v, size_t n)
{
    uint64_t present = 0;

    for (size_t i = 0; i < n; i++)
        present |= want_bit(v[i]->track, v[i]->layer);
    return present;
}

/* A visit waits for memory more than it computes: that of the next consumers is fetched while this one is served. What is read to
 * know where to fetch from has itself been fetched a visit before. */
static void look_ahead(const struct router *r, const struct walk *w)
{
    const struct list *end = &r->consumers[w->list], *at = w->next;

    for (unsigned ahead = 1; ahead <= LOOK_AHEAD; ahead++, at = at->next) {
        if (at == end)
            return;
        const struct consumer *c = container_of(at, const struct consumer, link);
        if (c->ops->on_soon)
            c->ops->on_soon(c, ahead);
    }
    const uint8_t *c = (const uint8_t *)container_of(at, const struct consumer, link);
    for (unsigned line = 0; at != end && line < LOOK_AHEAD_LINES; line++)
        __builtin_prefetch(c + 64 * line);
}

static void hand_out(struct router *r, int list, struct packet *const *v, size_t n)
{
    struct packet *some[PACKET_BATCH_MAX];
    uint64_t present = present_in(v, n), serial = r->fanouts;

    each_consumer_of(c, r, list, list)
    {
        struct packet_batch b = {v, n};
        look_ahead(r, &c_walk);
        if (c->joined == serial || !(c->want & present))
            continue;
        if ((c->want & present) != present)
            b = (struct packet_batch){some, pick(c->want, v, n, some)};
        c->ops->on_packets(c, &b);
    }
}

void router_let_go(struct packet **v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        packet_unref(&v[i]);
}

/* What waits goes to the patient, alone. */
static void release(struct router *r)
{
    struct packet *v[HOLD_PACKETS_MAX];
    size_t n = hold_take(&r->hold, v);

    timer_stop(&r->held);
    if (n == 0)
        return;
    hand_out(r, PATIENT, v, n);
    router_let_go(v, n);
}

void router_on_held(struct timer *t, uint64_t now_us)
{
    struct router *r = container_of(t, struct router, held);

    (void)now_us;
    r->fanouts++;
    release(r);
}

/* Where the newest packet of sound is, if there are several of its track; n: there are not. */
static size_t newest_of_several(const struct hold *h, struct packet *const *v, size_t n)
{
    size_t newest = n, several = 0;

    for (size_t i = 0; i < n; i++) {
        several += v[i]->track == h->sound_track;
        if (v[i]->track == h->sound_track && v[i]->seq == h->sound_seq)
            newest = i;
    }
    return several > 1 ? newest : n;
}

/* Pictures leave: one packet of sound may have to wait for the next. Returns how many are left of v. */
static size_t keep_newest(struct router *r, struct packet **v, size_t n)
{
    uint64_t now_us = worker_now_us(r->set->worker);
    size_t at = hold_keeps(&r->hold, now_us) ? newest_of_several(&r->hold, v, n) : n;

    if (at == n)
        return n;
    struct packet *p = packet_ref(v[at]);
    memmove(v + at, v + at + 1, (n - at - 1) * sizeof(*v));
    hold_push(&r->hold, &p, 1);
    timer_start(&r->held, hold_left_us(&r->hold, now_us));
    return n - 1;
}

/* To the patient: what waits, and these, as one batch. */
static void hand_to_patient(struct router *r, struct packet *const *v, size_t n)
{
    struct packet *all[PACKET_BATCH_MAX], *waited[HOLD_PACKETS_MAX];

    if (r->hold.n + n > PACKET_BATCH_MAX)
        release(r);
    if (list_empty(&r->consumers[PATIENT]) && r->hold.n == 0)
        return;
    size_t held = hold_take(&r->hold, waited);
    timer_stop(&r->held);
    memcpy(all, waited, held * sizeof(*all));
    memcpy(all + held, v, n * sizeof(*v));
    size_t left = present_in(v, n) & r->pictures ? keep_newest(r, all, held + n) : held + n;
    hand_out(r, PATIENT, all, left);
    router_let_go(waited, held);
}

/* Sound alone, which the patient shall have with the pictures that are due. */
static bool may_wait(struct router *r, struct packet *const *v, size_t n)
{
    uint64_t now_us = worker_now_us(r->set->worker);

    for (size_t i = 0; i < n; i++)
        if (!(want_track(v[i]->track) & r->pictures))
            hold_on_sound(&r->hold, v[i], r->tracks.v[v[i]->track].clock_hz, now_us);
    if (present_in(v, n) & r->pictures) {
        hold_on_pictures(&r->hold, now_us, worker_governor(r->set->worker)->busy_permille);
        router_reconsider_patience(r);
        return false;
    }
    return !list_empty(&r->consumers[PATIENT]) && hold_wants(&r->hold, n, now_us);
}

static const struct packet *newest_picture(const struct router *r)
{
    for (size_t i = r->n_turn; i > 0; i--)
        if (want_track(r->turn[i - 1]->track) & r->pictures)
            return r->turn[i - 1];
    return NULL;
}

bool router_waits(struct router *r, uint64_t now_us)
{
    const struct packet *newest = r->whole.limit_us && r->hold.busy.past ? newest_picture(r) : NULL;

    if (!newest || list_empty(&r->consumers[PATIENT]) || !whole_waits(&r->whole, newest, now_us))
        return false;
    if (!timer_running(&r->rest))
        timer_start(&r->rest, r->whole.limit_us);
    return true;
}

void router_on_rest(struct timer *t, uint64_t now_us)
{
    struct router *r = container_of(t, struct router, rest);

    (void)now_us;
    if (r->n_turn)
        router_deliver(r);
}

void router_deliver(struct router *r)
{
    struct packet *v[PACKET_BATCH_MAX];
    size_t n = r->n_turn;

    memcpy(v, r->turn, n * sizeof(*v));
    timer_stop(&r->rest);
    r->n_turn = 0; /* a consumer may push in turn (a transcoder): that is the next batch */
    r->fanouts++;
    hand_out(r, PROMPT, v, n);
    if (may_wait(r, v, n)) {
        hold_push(&r->hold, v, n);
        if (!timer_running(&r->held))
            timer_start(&r->held, hold_us(&r->hold));
        return;
    }
    hand_to_patient(r, v, n);
    router_let_go(v, n);
}

/* Behind this, all have had all that was pushed. */
void router_deliver_all(struct router *r)
{
    if (r->walks)
        return;
    if (r->n_turn)
        router_deliver(r);
    r->fanouts++;
    release(r);
}

