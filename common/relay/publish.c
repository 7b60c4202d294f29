/* SPDX-License-Identifier: Apache-2.0
 *
 * A publication has two ends in one allocation, as a link has: the ingest's (on the worker of its
 * connection) and the feed, a producer in the stream's router on the home worker. They may be on one worker: then packets
 * go straight, and only words go by mail.
 *   1. publish_claim posts CLAIM; the feed asks the hub and answers CLAIMED.
 *   2. publish_start posts the tracks; packets follow; the feed sends WANT, KEYFRAME and REVOKED back.
 *   3. publish_close posts CLOSE; the feed releases the name and posts CLOSED as its last word; the ingest's end frees.
 */
#include "relay/publish.h"

#include "base/log.h"
#include "relay/relay_priv.h"

#include <stdlib.h>
#include <string.h>

enum feed_state {
    FEED_IDLE,     /* no claim, or it was refused or revoked: packets are dropped */
    FEED_CLAIMING, /* the first time, or again for changed tracks */
    FEED_CLAIMED,  /* waits for the tracks */
    FEED_LIVE,
};

/* The home's end. */
struct feed {
    struct supply *supply;
    struct producer producer;
    enum feed_state state;
    uint64_t token, epoch;
    struct track_set *tracks; /* to start with once a renewed claim is granted */
};

struct publication {
    /* The ingest's end. */
    struct relay *ingest;
    const struct publish_ops *ops; /* NULL once closed */
    void *arg;
    struct packet *turn[PARCEL_MAX];
    size_t n_turn;
    size_t parcels, starts; /* under way to ourselves, when both ends are on one worker */
    struct turn_hook flush;
    /* The home's end. */
    struct relay *home;
    struct feed feed;
    struct mail claim_mail, close_mail; /* each is under way at most once */
    char name[STREAM_NAME_MAX + 1], kind[8];
};

/* A word between the two ends. */
struct word {
    struct mail mail;
    struct publication *pub;
    enum { WORD_CLAIMED, WORD_WANT, WORD_KEYFRAME, WORD_REVOKED } what;
    enum publish_result result;
    uint64_t want;
    unsigned track, layer;
    const char *why;
};

struct start {
    struct mail mail;
    struct publication *pub;
    struct track_set tracks;
};

/* ---- Words from the home to the ingest ------------------------------------------------------------------- */

static void run_word(struct mail *m, struct worker *w)
{
    struct word *word = container_of(m, struct word, mail);
    struct publication *p = word->pub;

    (void)w;
    if (p->ops)
        switch (word->what) {
        case WORD_CLAIMED:
            p->ops->on_claimed(p->arg, word->result);
            break;
        case WORD_WANT:
            p->ops->on_want(p->arg, word->want);
            break;
        case WORD_KEYFRAME:
            p->ops->on_keyframe(p->arg, word->track, word->layer);
            break;
        case WORD_REVOKED:
            p->ops->on_revoked(p->arg, word->why);
            break;
        }
    free(word);
}

static void say(struct feed *f, struct word value)
{
    struct publication *p = container_of(f, struct publication, feed);
    struct word *word = malloc(sizeof(*word));

    if (!word) {
        log_error("relay", "out of memory: a word about %s is lost", p->name);
        return;
    }
    *word = value;
    word->mail.run = run_word;
    word->pub = p;
    worker_post(relay_worker(p->ingest), &word->mail);
}

/* ---- The home's end ------------------------------------------------------------------------------------------ */

static void feed_on_want(struct producer *pr, uint64_t want)
{
    say(container_of(pr, struct feed, producer), (struct word){.what = WORD_WANT, .want = want});
}

static void feed_on_keyframe(struct producer *pr, unsigned track, unsigned layer)
{
    say(container_of(pr, struct feed, producer),
        (struct word){.what = WORD_KEYFRAME, .track = track, .layer = layer});
}

static const struct producer_ops feed_ops = {.on_want = feed_on_want, .on_keyframe = feed_on_keyframe};

static void feed_ask(struct feed *f)
{
    struct publication *p = container_of(f, struct publication, feed);
    static _Atomic uint64_t tokens;

    f->state = FEED_CLAIMING;
    f->token = ++tokens;
    hub_ask_claim(relay_hub(p->home), p->home, p->name, f->token);
}

static void feed_begin(struct feed *f)
{
    struct track_set *tracks = f->tracks;

    f->tracks = NULL;
    tracks->epoch = f->epoch;
    f->state = FEED_LIVE;
    router_unpublish(&f->producer, STREAM_UNPUBLISHED, true);
    router_publish(f->supply->router, &f->producer, tracks);
    router_ready(&f->producer);
    free(tracks);
    relay_tell_published(container_of(f, struct publication, feed)->home, f->supply->router);
}

static void feed_release(struct feed *f, enum stream_end why)
{
    struct publication *p = container_of(f, struct publication, feed);

    router_unpublish(&f->producer, why, false);
    if (f->supply && f->supply->feed == f) {
        f->supply->feed = NULL;
        if (f->epoch)
            hub_tell_release(relay_hub(p->home), p->name, f->epoch);
        router_expire(f->supply->router);
    }
    f->supply = NULL;
    f->state = FEED_IDLE;
    free(f->tracks);
    f->tracks = NULL;
}

void feed_revoke(struct feed *f, const char *why)
{
    feed_release(f, STREAM_UNPUBLISHED);
    say(f, (struct word){.what = WORD_REVOKED, .why = why});
}

void feed_on_claim(struct supply *s, uint64_t token, enum claim_result result, uint64_t epoch)
{
    static const enum publish_result words[] = {
        [CLAIM_OK] = PUBLISH_OK, [CLAIM_TAKEN] = PUBLISH_TAKEN, [CLAIM_FAILED] = PUBLISH_OVERLOADED};
    struct feed *f = s->feed;
    struct publication *p = container_of(f, struct publication, feed);

    if (f->token != token) { /* of a publisher before it */
        if (result == CLAIM_OK)
            hub_tell_release(relay_hub(p->home), p->name, epoch);
        return;
    }
    if (result != CLAIM_OK && f->tracks) { /* it was live: the renewed claim failed */
        feed_revoke(f, "the name could not be claimed again");
        return;
    }
    if (result != CLAIM_OK) {
        feed_release(f, STREAM_UNPUBLISHED);
        say(f, (struct word){.what = WORD_CLAIMED, .result = words[result]});
        return;
    }
    f->epoch = epoch;
    f->state = FEED_CLAIMED;
    if (f->tracks)
        feed_begin(f);
    else
        say(f, (struct word){.what = WORD_CLAIMED, .result = PUBLISH_OK});
}

uint64_t feed_epoch(const struct feed *f)
{
    return f->epoch;
}

static void run_claim(struct mail *m, struct worker *w)
{
    struct publication *p = container_of(m, struct publication, claim_mail);
    struct feed *f = &p->feed;
    struct supply *s = supply_open(p->home, p->name);

    (void)w;
    if (!s) {
        say(f, (struct word){.what = WORD_CLAIMED,
                             .result = stream_name_valid(p->name) ? PUBLISH_OVERLOADED : PUBLISH_NAME});
        return;
    }
    if (s->feed && !relay_config(p->home)->takeover) {
        say(f, (struct word){.what = WORD_CLAIMED, .result = PUBLISH_TAKEN});
        return;
    }
    if (s->feed)
        feed_revoke(s->feed, "taken over by another publisher");
    s->feed = f;
    f->supply = s;
    f->producer = (struct producer){.ops = &feed_ops, .kind = p->kind};
    feed_ask(f);
}

static void run_start(struct mail *m, struct worker *w)
{
    struct start *start = container_of(m, struct start, mail);
    struct publication *p = start->pub;
    struct feed *f = &p->feed;

    (void)w;
    if (p->ingest == p->home)
        p->starts--;
    if (f->state == FEED_CLAIMED || f->state == FEED_LIVE || (f->state == FEED_CLAIMING && f->tracks)) {
        if (!f->tracks)
            f->tracks = malloc(sizeof(*f->tracks));
        if (f->tracks)
            *f->tracks = start->tracks;
        if (!f->tracks)
            feed_revoke(f, "out of memory");
        else if (f->state == FEED_CLAIMED)
            feed_begin(f);
        else if (f->state == FEED_LIVE)
            feed_ask(f); /* other tracks are another epoch */
    }
    free(start);
}

static void feed_push(struct feed *f, struct packet *packet)
{
    const struct track_set *tracks = f->state == FEED_LIVE ? router_tracks(f->supply->router) : NULL;

    if (tracks && packet->track < tracks->n)
        router_push(f->supply->router, packet);
    else
        packet_unref(&packet);
}

static void run_parcel(struct mail *m, struct worker *w)
{
    struct parcel *parcel = container_of(m, struct parcel, mail);
    struct publication *p = parcel->to;

    (void)w;
    if (p->ingest == p->home)
        p->parcels--;
    for (size_t i = 0; i < parcel->n; i++) {
        feed_push(&p->feed, parcel->v[i]);
        parcel->v[i] = NULL;
    }
    parcel_give(parcel);
}

static void run_closed(struct mail *m, struct worker *w)
{
    struct publication *p = container_of(m, struct publication, close_mail);

    (void)w;
    free(p);
}

static void run_close(struct mail *m, struct worker *w)
{
    struct publication *p = container_of(m, struct publication, close_mail);

    (void)w;
    feed_release(&p->feed, STREAM_UNPUBLISHED);
    p->close_mail.run = run_closed;
    worker_post(relay_worker(p->ingest), &p->close_mail);
}

/* ---- The ingest's end ------------------------------------------------------------------------------------------- */

static void flush(struct publication *p)
{
    size_t posted = parcel_post(p->ingest, relay_worker(p->home), run_parcel, p, p->turn, p->n_turn);

    if (p->ingest == p->home)
        p->parcels += posted > 0; /* PARCEL_MAX are one */
    relay_count(p->ingest)->dropped_pool += p->n_turn - posted;
    for (size_t i = 0; i < p->n_turn; i++)
        packet_unref(&p->turn[i]);
    p->n_turn = 0;
}

static void on_turn_end(struct turn_hook *hook, uint64_t now_us)
{
    (void)now_us;
    flush(container_of(hook, struct publication, flush));
}

int publish_claim(struct publication **out, struct relay *relay, const char *name, const char *kind,
                  const struct publish_ops *ops, void *arg)
{
    struct publication *p = calloc(1, sizeof(*p));
    if (!p)
        return -1;
    strncpy(p->name, name, STREAM_NAME_MAX); /* a longer name: refused below, valid or not */
    if (strlen(name) > STREAM_NAME_MAX)
        p->name[0] = '\0';
    strncpy(p->kind, kind, sizeof(p->kind) - 1);
    p->ingest = relay;
    p->home = relay_peer(relay, relay_home(relay, p->name));
    p->ops = ops;
    p->arg = arg;
    p->flush = (struct turn_hook){.run = on_turn_end, .stage = TURN_FANOUT};
    list_init(&p->flush.link);
    p->claim_mail.run = run_claim;
    worker_post(relay_worker(p->home), &p->claim_mail);
    *out = p;
    return 0;
}

void publish_start(struct publication *p, const struct track_set *tracks)
{
    struct start *start = malloc(sizeof(*start));

    if (!start) {
        log_error("relay", "out of memory: %s cannot start", p->name);
        return;
    }
    *start = (struct start){.mail.run = run_start, .pub = p, .tracks = *tracks};
    flush(p); /* what came before belongs to the tracks before */
    p->starts += p->ingest == p->home;
    worker_post(relay_worker(p->home), &start->mail);
}

/* On one worker packets would overtake the mail that carries the tracks, and those that followed it by mail: they go straight only once it
 * is live and none of these is under way. */
void publish_push(struct publication *p, struct packet *packet)
{
    if (p->ingest == p->home && p->feed.state == FEED_LIVE && !p->n_turn && !p->parcels && !p->starts) {
        feed_push(&p->feed, packet);
        return;
    }
    p->turn[p->n_turn++] = packet;
    if (p->n_turn == PARCEL_MAX)
        flush(p);
    else
        worker_arm(relay_worker(p->ingest), &p->flush);
}

struct pool *publish_pool(struct publication *p)
{
    return relay_pool(p->ingest);
}

void publish_close(struct publication **pub)
{
    struct publication *p = *pub;

    *pub = NULL;
    if (!p)
        return;
    flush(p);
    worker_disarm(&p->flush);
    p->ops = NULL;
    p->close_mail.run = run_close;
    worker_post(relay_worker(p->home), &p->close_mail);
}
