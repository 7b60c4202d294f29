/* SPDX-License-Identifier: Apache-2.0
 *
 * A link has two ends in one allocation: `in` is a producer in the asking worker's router, `out` a
 * consumer in the home's. Each end is touched by its own worker only; they talk by mail, which keeps the order.
 *   1. link_open (asker) posts OPEN; the home attaches `out`.
 *   2. The home sends TRACKS, packets (first the cache), READY, END; the asker sends WANT and KEYFRAME.
 *      What cannot be sent because the asker is far behind is sent later, from the home's cache: nobody could repair a gap here.
 *   3. link_close (asker) posts CLOSE; the home detaches `out` and posts CLOSED as its last word; the asker frees.
 */
#include "relay/relay_priv.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

struct link {
    /* The asker's end. */
    struct supply *supply; /* NULL once closed */
    struct producer in;
    struct relay *asker;
    struct pipe_path source; /* nodes that the stream comes through */
    /* The home's end. */
    struct relay *home;
    struct consumer out;
    struct list home_link;   /* in the supply of the home's router while `out` is attached */
    struct pipe_path path;   /* nodes that take the stream from the asker; set before it is opened */
    uint64_t cursor;         /* while behind, and before live: where it goes on in the home's cache */
    bool behind, owes_ready; /* READY follows when it has caught up */
    struct resume *resume;   /* on its way to the home's supply */
    struct mail open_mail, close_mail; /* each is under way at most once */
    char name[STREAM_NAME_MAX + 1];
};

/* Home to asker, beside parcels of packets. */
struct news {
    struct mail mail;
    struct link *link;
    enum news_kind { NEWS_TRACKS, NEWS_READY, NEWS_END } what;
    enum stream_end why;
    bool passes; /* of the tracks' producer */
    struct track_set tracks;
    struct pipe_path source;
};

/* Asker to home. */
struct wish {
    struct mail mail;
    struct link *link;
    enum { WISH_WANT, WISH_KEYFRAME, WISH_DEMAND, WISH_PATIENCE } what;
    uint64_t want, patience_us;
    unsigned track, layer;
};

/* ---- The asker's end -------------------------------------------------------------------------------------- */

static void catch_up(struct link *l);

/* The asker's viewers say what they want when they have heard of the tracks. What the home has had since it told them so,
 * and nobody wanted, goes over too: it comes after what the copy's cache has. */
static void want(struct link *l, uint64_t mask)
{
    bool first = l->out.want == 0 && mask != 0;

    consumer_want(&l->out, mask);
    if (!first || !l->out.router || !router_is_ready(l->out.router))
        return;
    l->behind = true;
    catch_up(l);
}

static void run_wish(struct mail *m, struct worker *w)
{
    struct wish *wish = container_of(m, struct wish, mail);
    struct link *l = wish->link;

    (void)w;
    switch (wish->what) {
    case WISH_WANT:
        want(l, wish->want);
        break;
    case WISH_KEYFRAME:
        if (l->out.router)
            router_need_keyframe(l->out.router, wish->track, wish->layer);
        break;
    case WISH_PATIENCE:
        consumer_patience(&l->out, wish->patience_us);
        break;
    case WISH_DEMAND:
        if (l->out.router && !router_live(l->out.router) && router_user(l->out.router)) /* none: this worker has closed */
            supply_demand(router_user(l->out.router));
        break;
    }
    free(wish);
}

static void post_wish(struct link *l, struct wish value)
{
    struct wish *wish = malloc(sizeof(*wish));

    if (!wish) {
        log_error("relay", "out of memory: a wish for %s is lost", l->name);
        return;
    }
    *wish = value;
    wish->mail.run = run_wish;
    wish->link = l;
    worker_post(relay_worker(l->home), &wish->mail);
}

static void in_on_want(struct producer *p, uint64_t want)
{
    post_wish(container_of(p, struct link, in), (struct wish){.what = WISH_WANT, .want = want});
}

static void in_on_keyframe(struct producer *p, unsigned track, unsigned layer)
{
    post_wish(container_of(p, struct link, in), (struct wish){.what = WISH_KEYFRAME, .track = track, .layer = layer});
}

static void in_on_patience(struct producer *p, uint64_t patience_us)
{
    post_wish(container_of(p, struct link, in), (struct wish){.what = WISH_PATIENCE, .patience_us = patience_us});
}

void link_demand(struct supply *s)
{
    post_wish(s->link, (struct wish){.what = WISH_DEMAND});
}

static const struct producer_ops in_ops = {
    .on_want = in_on_want, .on_keyframe = in_on_keyframe, .on_patience = in_on_patience};

static void run_parcel(struct mail *m, struct worker *w)
{
    struct parcel *parcel = container_of(m, struct parcel, mail);
    struct link *l = parcel->to;

    (void)w;
    for (size_t i = 0; i < parcel->n && l->in.router; i++) {
        router_push(l->in.router, parcel->v[i]);
        parcel->v[i] = NULL;
    }
    parcel_give(parcel);
}

static void run_news(struct mail *m, struct worker *w)
{
    struct news *news = container_of(m, struct news, mail);
    struct link *l = news->link;

    (void)w;
    if (!l->supply) {
        free(news);
        return;
    }
    switch (news->what) {
    case NEWS_TRACKS:
        l->source = news->source;
        l->in.passes = news->passes;
        router_unpublish(&l->in, STREAM_UNPUBLISHED, true);
        router_publish(l->supply->router, &l->in, &news->tracks);
        break;
    case NEWS_READY:
        router_ready(&l->in);
        break;
    case NEWS_END:
        if (l->in.router)
            router_unpublish(&l->in, news->why, false);
        else
            router_refuse(l->supply->router, news->why);
        break;
    }
    free(news);
}

/* ---- The home's end ---------------------------------------------------------------------------------------- */

static struct news *news_create(struct link *l, enum news_kind what)
{
    struct news *news = calloc(1, sizeof(*news));

    if (!news) {
        log_error("relay", "out of memory: news of %s are lost", l->name);
        return NULL;
    }
    news->mail.run = run_news;
    news->link = l;
    news->what = what;
    return news;
}

static void post_news(struct link *l, struct news *news)
{
    if (news)
        worker_post(relay_worker(l->asker), &news->mail);
}

static void out_on_tracks(struct consumer *c, const struct track_set *tracks)
{
    struct link *l = container_of(c, struct link, out);
    struct news *news = news_create(l, NEWS_TRACKS);

    l->behind = l->owes_ready = false;
    l->cursor = cache_begin(router_cache(c->router));
    if (news) {
        news->passes = router_passes(c->router);
        news->tracks = *tracks;
        relay_source_path(c->router, &news->source);
    }
    post_news(l, news);
}

static size_t post_packets(struct link *l, struct packet *const *v, size_t n)
{
    return parcel_post(l->home, relay_worker(l->asker), run_parcel, l, v, n);
}

/* From the cursor on, all there is in the home's cache, until no parcel is left. */
static void catch_up(struct link *l)
{
    const struct cache *cache = router_cache(l->out.router);
    struct packet *v[PARCEL_MAX];

    if (l->cursor < cache_begin(cache))
        l->cursor = cache_begin(cache);
    while (l->cursor < cache_end(cache)) {
        uint64_t at = l->cursor;
        size_t n = 0;
        for (; at < cache_end(cache) && n < PARCEL_MAX; at++)
            v[n++] = cache_at(cache, at);
        if (post_packets(l, v, n) < n)
            return;
        l->cursor = at;
    }
    l->behind = false;
    if (l->owes_ready)
        post_news(l, news_create(l, NEWS_READY));
    l->owes_ready = false;
}

/* Everything the home still has goes over: the copy answers retransmissions from it too. */
static void out_on_past(struct consumer *c)
{
    struct link *l = container_of(c, struct link, out);

    l->behind = true;
    catch_up(l);
}

static void out_on_ready(struct consumer *c)
{
    struct link *l = container_of(c, struct link, out);

    l->behind = l->owes_ready = true;
    catch_up(l);
}

/* The cache's newest packets are those of the turn. */
static uint64_t position_of(const struct cache *cache, const struct packet *p)
{
    uint64_t at = cache_end(cache);

    while (at > cache_begin(cache) && cache_at(cache, at - 1) != p)
        at--;
    return at > cache_begin(cache) ? at - 1 : at;
}

static void out_on_packets(struct consumer *c, const struct packet_batch *b)
{
    struct link *l = container_of(c, struct link, out);
    size_t posted = l->behind ? 0 : post_packets(l, b->v, b->n);

    if (!l->behind && posted < b->n) {
        log_warn("relay", "%s: worker %u is far behind", l->name, relay_config(l->asker)->index);
        l->cursor = position_of(router_cache(c->router), b->v[posted]);
        l->behind = true;
    } else if (l->behind) {
        catch_up(l);
    }
}

static void out_on_end(struct consumer *c, enum stream_end why)
{
    struct link *l = container_of(c, struct link, out);
    struct news *news = news_create(l, NEWS_END);

    if (l->behind)
        catch_up(l);

    if (news)
        news->why = why;
    post_news(l, news);
}

static const struct consumer_ops out_ops = {.on_tracks = out_on_tracks,
                                            .on_ready = out_on_ready,
                                            .on_past = out_on_past,
                                            .on_packets = out_on_packets,
                                            .on_end = out_on_end};

static void run_open(struct mail *m, struct worker *w)
{
    struct link *l = container_of(m, struct link, open_mail);
    struct router *router = relay_router(l->home, l->name);

    (void)w;
    if (router) {
        struct supply *s = router_user(router);
        if (l->resume)
            relay_resume(router, l->resume->epoch, l->resume->from, l->resume->n);
        list_push_back(&s->links, &l->home_link);
        router_attach(router, &l->out, l->out.want);
    } else {
        out_on_end(&l->out, STREAM_UNREACHABLE);
    }
    free(l->resume);
    l->resume = NULL;
}

/* ---- Opening and closing -------------------------------------------------------------------------------------- */

int link_open(struct supply *s)
{
    struct link *l = calloc(1, sizeof(*l));

    if (!l)
        return -1;
    const struct relay_pipes *pipes = relay_pipes(s->relay);

    strcpy(l->name, router_name(s->router));
    l->supply = s;
    l->resume = s->resume;
    s->resume = NULL;
    list_init(&l->home_link);
    if (pipes->path)
        pipes->path(pipes->arg, s->router, &l->path);
    l->asker = s->relay;
    l->home = relay_peer(s->relay, relay_home(s->relay, l->name));
    l->in = (struct producer){.ops = &in_ops, .kind = "link"};
    l->out = (struct consumer){.ops = &out_ops, .kind = "link", .want = router_want(s->router)};
    l->out.patience_us = router_patience_us(s->router);
    l->out.patient = l->out.patience_us > 0;
    l->open_mail.run = run_open;
    s->link = l;
    relay_count(s->relay)->links++;
    worker_post(relay_worker(l->home), &l->open_mail);
    return 0;
}

const struct pipe_path *link_source(const struct link *l)
{
    return &l->source;
}

/* A node behind several links counts once; one place stays free for ourselves. */
static void add_ids(struct pipe_path *sum, const struct pipe_path *path)
{
    for (size_t i = 0; i < path->n && sum->n < PIPE_PATH_IDS_MAX - 1; i++) {
        size_t at = 0;
        while (at < sum->n && strcmp(sum->ids[at], path->ids[i]) != 0)
            at++;
        if (at == sum->n)
            strcpy(sum->ids[sum->n++], path->ids[i]);
    }
}

void links_add_paths(const struct supply *s, struct pipe_path *sum)
{
    for (const struct list *l = s->links.next; l != &s->links; l = l->next) {
        const struct pipe_path *path = &container_of(l, const struct link, home_link)->path;
        if (path->n && (!sum->n || path->depth < sum->depth))
            sum->depth = path->depth;
        add_ids(sum, path);
    }
}

void links_forget(struct supply *s)
{
    list_for_each(l, &s->links) list_remove(l);
}

static void run_closed(struct mail *m, struct worker *w)
{
    (void)w;
    free(container_of(m, struct link, close_mail));
}

static void run_close(struct mail *m, struct worker *w)
{
    struct link *l = container_of(m, struct link, close_mail);

    (void)w;
    router_detach(&l->out);
    list_remove(&l->home_link);
    l->close_mail.run = run_closed;
    worker_post(relay_worker(l->asker), &l->close_mail);
}

void link_close(struct supply *s)
{
    struct link *l = s->link;

    s->link = NULL;
    router_unpublish(&l->in, STREAM_UNPUBLISHED, false);
    l->supply = NULL;
    l->close_mail.run = run_close;
    worker_post(relay_worker(l->home), &l->close_mail);
}
