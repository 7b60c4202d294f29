/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /route/play/<app>/<name>     the edge to watch it at
 * GET /route/publish/<app>/<name>  the origin to publish it to
 *
 * Any node answers, as JSON; with ?to=whep, flv, watch (play) or whip, publish (publish) the answer is 307 to that URL. 503 with Retry-After when no
 * node can take the client.
 */
#include "node/node_priv.h"

#include "base/random.h"
#include "directory/choose.h"
#include "http/cors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { URL_CAP = HTTP_BASE_MAX + STREAM_NAME_MAX + 64, RETRY_MIN_S = 1, RETRY_SPREAD_S = 4 };

/* ---- Configuration ------------------------------------------------------------------------------------------- */

int route_init(struct node *n, char error[CONFIG_ERROR_CAP])
{
    const struct config *c = &n->config;
    char why[LOCATE_ERROR_CAP];

    if (locator_create(&n->locator, (const char(*)[256])c->route.ranges.v, c->route.ranges.n, c->route.mmdb, why) != 0) {
        snprintf(error, CONFIG_ERROR_CAP, "route: %s", why);
        return -1;
    }
    n->proxies = calloc(c->route.trusted_proxies.n + 1, sizeof(*n->proxies));
    for (size_t i = 0; n->proxies && i < c->route.trusted_proxies.n; i++) {
        const char *text = c->route.trusted_proxies.v[i];
        if (cidr_parse(&n->proxies[n->n_proxies++], text, strlen(text)) != 0) {
            snprintf(error, CONFIG_ERROR_CAP, "route.trusted_proxies: '%.64s': expected an address or range, as 10.0.0.0/8", text);
            return -1;
        }
    }
    return n->proxies ? 0 : -1;
}

void route_fini(struct node *n)
{
    locator_destroy(&n->locator);
    free(n->proxies);
}

/* ---- Who asks ------------------------------------------------------------------------------------------------- */

static bool trusted(const struct node *n, const struct addr *a)
{
    for (size_t i = 0; i < n->n_proxies; i++)
        if (cidr_match(&n->proxies[i], a))
            return true;
    return false;
}

/* One entry of X-Forwarded-For: an address, perhaps with port or brackets, which are dropped. */
static bool parse_entry(const char *text, size_t len, struct addr *out)
{
    char with_port[ADDR_TEXT_CAP];

    while (len && *text == ' ')
        text++, len--;
    while (len && text[len - 1] == ' ')
        len--;
    if (len == 0 || len + 6 > sizeof(with_port))
        return false;
    bool bare6 = *text != '[' && memchr(text, ':', len) != memrchr(text, ':', len);
    snprintf(with_port, sizeof(with_port), bare6 ? "[%.*s]:0" : "%.*s", (int)len, text);
    if (addr_parse(out, with_port) == 0)
        return true;
    snprintf(with_port, sizeof(with_port), "%.*s:0", (int)len, text);
    return addr_parse(out, with_port) == 0;
}

/* The client behind proxies that we trust: the last entry that no trusted proxy wrote about itself. */
static void client_of(const struct node *n, const struct http_exchange *x, struct addr *out)
{
    const char *list = http_header(x, "X-Forwarded-For");
    size_t end = list ? strlen(list) : 0;

    *out = *http_peer(x);
    while (end && trusted(n, out)) {
        size_t start = end;
        struct addr a;
        while (start && list[start - 1] != ',')
            start--;
        if (!parse_entry(list + start, end - start, &a))
            return;
        *out = a;
        end = start ? start - 1 : 0;
    }
}

/* ---- The question, to the main thread and back ------------------------------------------------------------------ */

struct route {
    struct mail mail;
    struct node *node;
    struct worker *asker;
    struct http_exchange *x; /* NULL once the client has gone */
    enum node_role role;
    char name[STREAM_NAME_MAX + 1];
    struct addr client;
    bool elsewhere;  /* not to this node itself */
    bool may_stay;   /* this node would take the client: it stays when it is near */
    bool found, stay;
    /* What the answer is for: a request about routes (all NULL), a WHEP POST, or whoever asks for an edge. */
    void (*go)(struct http_exchange *x, void *arg);
    void (*on_known)(void *arg, uint64_t id, const char *url);
    void *arg;
    uint64_t id;
    struct node_worker *w;
    struct node_record chosen;
    const char (*ids)[NODE_ID_MAX + 1]; /* while choosing: who has the stream */
    size_t n_ids;
};

static bool has(void *arg, const char *node_id)
{
    const struct route *r = arg;

    for (size_t i = 0; i < r->n_ids; i++)
        if (strcmp(r->ids[i], node_id) == 0)
            return true;
    return false;
}

static const char *url_of(const struct route *r, const char *what, char out[URL_CAP])
{
    static const struct {
        const char *what, *format;
        enum node_role role;
    } forms[] = {
        {"whep", "%s/whep/%s", NODE_EDGE},
        {"flv", "%s/%s.flv", NODE_EDGE},
        {"watch", "%s/watch.html?stream=%s", NODE_EDGE},
        {"whip", "%s/whip/%s", NODE_ORIGIN},
        {"publish", "%s/publish.html?stream=%s", NODE_ORIGIN},
    };

    for (size_t i = 0; i < LEN(forms); i++)
        if (strcmp(forms[i].what, what) == 0 && forms[i].role == r->role) {
            size_t n = (size_t)snprintf(out, URL_CAP, "%s", r->chosen.http);
            const char *rest = forms[i].format + 2; /* behind the first %s */
            const char *name_at = strstr(rest, "%s");
            snprintf(out + n, URL_CAP - n, "%.*s%s%s", (int)(name_at - rest), rest, r->name, name_at + 2);
            return out;
        }
    return NULL;
}

static void reply_refusal(struct http_exchange *x)
{
    char after[8];

    snprintf(after, sizeof(after), "%u", RETRY_MIN_S + random_u32() % RETRY_SPREAD_S);
    http_reply_header(x, "Retry-After", after);
    http_problem(x, 503, "no node can take this client now");
}

static void add_url(const struct route *r, json_t *o, const char *what)
{
    char url[URL_CAP];

    if (url_of(r, what, url))
        json_object_set_new(o, what, json_string(url));
}

static void reply_choice(const struct route *r)
{
    const char *to = http_query(r->x, "to");
    char url[URL_CAP];

    http_reply_header(r->x, "Cache-Control", "no-store");
    if (to && url_of(r, to, url)) {
        http_reply_header(r->x, "Location", url);
        http_reply(r->x, 307, NULL, NULL, 0);
        return;
    }
    json_t *o = json_pack("{s:s, s:s, s:s}", "node", r->chosen.id, "region", r->chosen.region, "http", r->chosen.http);
    static const char *const all[] = {"whep", "flv", "watch", "whip", "publish"};
    for (size_t i = 0; i < LEN(all); i++)
        add_url(r, o, all[i]);
    char *text = json_dumps(o, JSON_INDENT(2));
    if (text)
        http_reply(r->x, 200, "application/json", text, strlen(text));
    else
        http_problem(r->x, 503, "out of memory");
    free(text);
    json_decref(o);
}

static void tell_edge(struct route *r)
{
    char url[URL_CAP];

    if (!container_of(r->w, struct seat, w)->closed)
        r->on_known(r->arg, r->id, r->found ? url_of(r, "whep", url) : NULL);
}

/* A WHEP POST: served here when we are near or nobody else is there; else sent on. */
static void admit_or_send(struct route *r)
{
    const char *why = admission_refusal(r->w);
    char url[URL_CAP];

    if (r->found && !r->stay) {
        atomic_fetch_add(&container_of(r->w, struct seat, w)->facts.redirected, 1);
        http_reply_header(r->x, "Location", url_of(r, "whep", url));
        http_reply(r->x, 307, NULL, NULL, 0);
    } else if (why) {
        admission_refuse(r->w, r->x, why);
    } else {
        admission_count(r->w);
        r->go(r->x, r->arg);
    }
}

static void run_back(struct mail *m, struct worker *w)
{
    struct route *r = container_of(m, struct route, mail);

    (void)w;
    if (r->on_known)
        tell_edge(r);
    else if (r->go && r->x)
        admit_or_send(r);
    else if (r->x && r->found)
        reply_choice(r);
    else if (r->x)
        reply_refusal(r->x);
    free(r);
}

/* The node to send the client to; -1: none. Sets stay when it had better be served here. */
static int choose(struct route *r, struct choose_query *q)
{
    const struct node_record *nodes;
    size_t n = directory_nodes(r->node->directory, &nodes); /* nodes[0] is this one */

    directory_want_loads(r->node->directory);
    if (r->may_stay && n && choose_keeps(nodes, n, q, 0)) {
        r->stay = true;
        return -1;
    }
    int at = r->elsewhere ? choose_node(nodes + 1, n - 1, q) : choose_node(nodes, n, q);
    if (at < 0)
        return -1;
    r->chosen = nodes[at + r->elsewhere];
    return at;
}

static void on_holders(void *arg, const char (*ids)[NODE_ID_MAX + 1], size_t n)
{
    struct route *r = arg;
    struct place place;
    struct choose_query q = {.role = r->role, .has = has, .arg = r, .random = random_u32()};

    r->ids = ids;
    r->n_ids = n;
    if (locator_find(r->node->locator, &r->client, &place))
        q.place = &place;
    r->found = r->node->directory && choose(r, &q) >= 0;
    r->ids = NULL;
    r->mail.run = run_back;
    worker_post(r->asker, &r->mail);
}

static void run_there(struct mail *m, struct worker *w)
{
    struct route *r = container_of(m, struct route, mail);

    (void)w;
    if (r->node->directory && r->role == NODE_EDGE)
        directory_who_has(r->node->directory, r->name, on_holders, r);
    else
        on_holders(r, NULL, 0);
}

static void on_gone(struct http_exchange *x, void *arg)
{
    struct route *r = arg;

    (void)x;
    r->x = NULL;
}

static void ask(struct http_exchange *x, struct node_worker *w, enum node_role role, const char *prefix)
{
    const char *name = http_path(x) + strlen(prefix);
    struct route *r = stream_name_valid(name) ? calloc(1, sizeof(*r)) : NULL;

    if (!r) {
        http_problem(x, 400, "not a stream name: expected %s<app>/<name>", prefix);
        return;
    }
    r->mail.run = run_there;
    r->node = w->node;
    r->asker = w->worker;
    r->x = x;
    r->role = role;
    strcpy(r->name, name);
    client_of(w->node, x, &r->client);
    http_on_gone(x, on_gone, r);
    worker_post(w->node->main, &r->mail);
}

static struct route *route_create(struct node_worker *w, const char *stream)
{
    struct route *r = calloc(1, sizeof(*r));

    if (!r)
        return NULL;
    *r = (struct route){.mail.run = run_there, .node = w->node, .asker = w->worker, .w = w, .role = NODE_EDGE, .elsewhere = true};
    snprintf(r->name, sizeof(r->name), "%s", stream);
    return r;
}

void node_admit_viewer(struct node_worker *w, struct http_exchange *x, const char *stream,
                       void (*go)(struct http_exchange *x, void *arg), void *arg)
{
    struct route *r = w->config->route.redirect ? route_create(w, stream) : NULL;

    if (!r) {
        if (node_admit(w, x))
            go(x, arg);
        return;
    }
    r->may_stay = !admission_refusal(w);
    r->go = go;
    r->arg = arg;
    r->x = x;
    client_of(w->node, x, &r->client);
    http_on_gone(x, on_gone, r);
    worker_post(w->node->main, &r->mail);
}

void node_find_edge(struct node_worker *w, const struct addr *client, const char *stream,
                    void (*on_known)(void *arg, uint64_t id, const char *url), void *arg, uint64_t id)
{
    struct route *r = route_create(w, stream);

    if (!r)
        return; /* who asked will ask again */
    r->on_known = on_known;
    r->arg = arg;
    r->id = id;
    r->client = *client;
    worker_post(w->node->main, &r->mail);
}

void node_client(const struct node_worker *w, const struct http_exchange *x, struct addr *out)
{
    client_of(w->node, x, out);
}

static void get_play(struct http_exchange *x, void *arg)
{
    ask(x, arg, NODE_EDGE, "/route/play/");
}

static void get_publish(struct http_exchange *x, void *arg)
{
    ask(x, arg, NODE_ORIGIN, "/route/publish/");
}

void route_open(struct node_worker *w)
{
    static const struct http_cors cors = {.methods = "GET, HEAD, OPTIONS", .expose = "Retry-After"};

    http_cors_route(w->http, "/route/*", &cors);
    http_route(w->http, HTTP_M_GET, "/route/play/*", get_play, w);
    http_route(w->http, HTTP_M_GET, "/route/publish/*", get_publish, w);
}
