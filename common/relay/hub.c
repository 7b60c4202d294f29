/* SPDX-License-Identifier: Apache-2.0 */
#include "relay/hub.h"

#include "base/log.h"
#include "relay/parents.h"
#include "relay/relay_priv.h"

#include <stdlib.h>
#include <string.h>

struct hub {
    struct hub_cfg cfg;
    struct worker *worker; /* the main one */
    struct directory *directory;
    struct relay *const *relays;
    size_t n_relays;
    void (*observer)(void *arg, const char *name, const struct stream_record *record);
    void *observer_arg;
};

/* A worker's question on its way to the main thread; freed when its answer leaves. */
struct question {
    struct mail mail;
    struct hub *hub;
    struct relay *asker;
    char name[STREAM_NAME_MAX + 1];
    uint64_t number; /* the epoch to release, the token of a claim, or present */
};

/* What the main thread has to say to a worker's relay. */
struct answer {
    struct mail mail;
    struct relay *relay;
    char name[STREAM_NAME_MAX + 1];
    bool has_record, known, prefetch;
    struct stream_record record;
    struct parent_list parents;
    enum claim_result claim;
    uint64_t epoch, token;
    char owner[NODE_ID_MAX + 1];
};

int hub_create(struct hub **out, struct worker *main_worker, const struct hub_cfg *cfg)
{
    struct hub *h = calloc(1, sizeof(*h));
    if (!h)
        return -1;
    h->cfg = *cfg;
    h->worker = main_worker;
    *out = h;
    return 0;
}

void hub_destroy(struct hub **h)
{
    free(*h);
    *h = NULL;
}

void hub_set_directory(struct hub *h, struct directory *d)
{
    h->directory = d;
}

void hub_set_observer(struct hub *h, void (*on_stream)(void *arg, const char *name, const struct stream_record *record),
                      void *arg)
{
    h->observer = on_stream;
    h->observer_arg = arg;
}

void hub_set_relays(struct hub *h, struct relay *const *relays, size_t n)
{
    h->relays = relays;
    h->n_relays = n;
}

const struct node_record *hub_self(const struct hub *h)
{
    return &h->cfg.self;
}

/* ---- Answers ----------------------------------------------------------------------------------------- */

static struct answer *answer_create(struct relay *to, const char *name, void (*run)(struct mail *, struct worker *))
{
    struct answer *a = calloc(1, sizeof(*a));

    if (!a) {
        log_error("relay", "out of memory: an answer about %s is lost", name);
        return NULL;
    }
    a->mail.run = run;
    a->relay = to;
    strcpy(a->name, name);
    return a;
}

static void answer_post(struct answer *a)
{
    worker_post(relay_worker(a->relay), &a->mail);
}

static void answer_set_record(struct hub *h, struct answer *a, const struct stream_record *record)
{
    const struct node_record *nodes;

    if (!record || !h->directory) /* NULL: this node ends */
        return;
    a->has_record = true;
    a->record = *record;
    size_t n = directory_nodes(h->directory, &nodes);
    parents_choose(&a->parents, &h->cfg.self, nodes, n, record->name, record->owner);
}

static void run_found(struct mail *m, struct worker *w)
{
    struct answer *a = container_of(m, struct answer, mail);

    (void)w;
    relay_on_found(a->relay, a->name, a->has_record ? &a->record : NULL, a->known, &a->parents);
    free(a);
}

static void run_claim(struct mail *m, struct worker *w)
{
    struct answer *a = container_of(m, struct answer, mail);

    (void)w;
    relay_on_claim(a->relay, a->name, a->token, a->claim, a->epoch, a->owner);
    free(a);
}

static void run_claim_lost(struct mail *m, struct worker *w)
{
    struct answer *a = container_of(m, struct answer, mail);

    (void)w;
    relay_on_claim_lost(a->relay, a->name, a->epoch, a->owner);
    free(a);
}

static void run_stream(struct mail *m, struct worker *w)
{
    struct answer *a = container_of(m, struct answer, mail);

    (void)w;
    relay_on_stream(a->relay, a->name, a->has_record, a->prefetch);
    free(a);
}

static void run_nodes(struct mail *m, struct worker *w)
{
    struct answer *a = container_of(m, struct answer, mail);

    (void)w;
    relay_on_nodes(a->relay);
    free(a);
}

/* ---- Questions ------------------------------------------------------------------------------------------ */

static void question_post(struct hub *h, struct relay *asker, const char *name, uint64_t number,
                          void (*run)(struct mail *, struct worker *))
{
    struct question *q = calloc(1, sizeof(*q));

    if (!q) {
        log_error("relay", "out of memory: a question about %s is lost", name);
        return;
    }
    *q = (struct question){.mail.run = run, .hub = h, .asker = asker, .number = number};
    strcpy(q->name, name);
    worker_post(h->worker, &q->mail);
}

static void on_directory_found(void *arg, const struct stream_record *record, bool known)
{
    struct question *q = arg;
    struct answer *a = answer_create(q->asker, q->name, run_found);

    if (a) {
        a->known = known && q->hub->directory;
        answer_set_record(q->hub, a, record);
        answer_post(a);
    }
    free(q);
}

static void run_find(struct mail *m, struct worker *w)
{
    struct question *q = container_of(m, struct question, mail);

    (void)w;
    if (q->hub->directory)
        directory_find(q->hub->directory, q->name, on_directory_found, q);
    else
        on_directory_found(q, NULL, false);
}

void hub_ask_find(struct hub *h, struct relay *asker, const char *name)
{
    question_post(h, asker, name, 0, run_find);
}

static void on_directory_claimed(void *arg, enum claim_result result, uint64_t epoch, const char *owner)
{
    struct question *q = arg;
    struct answer *a = answer_create(q->asker, q->name, run_claim);

    if (a) {
        a->claim = result;
        a->token = q->number;
        a->epoch = epoch;
        strncpy(a->owner, owner ? owner : "", NODE_ID_MAX);
        answer_post(a);
    }
    free(q);
}

static void run_ask_claim(struct mail *m, struct worker *w)
{
    struct question *q = container_of(m, struct question, mail);

    (void)w;
    if (q->hub->directory)
        directory_claim(q->hub->directory, q->name, q->hub->cfg.takeover, on_directory_claimed, q);
    else
        on_directory_claimed(q, CLAIM_FAILED, 0, NULL);
}

void hub_ask_claim(struct hub *h, struct relay *asker, const char *name, uint64_t token)
{
    question_post(h, asker, name, token, run_ask_claim);
}

static void run_release(struct mail *m, struct worker *w)
{
    struct question *q = container_of(m, struct question, mail);

    (void)w;
    if (q->hub->directory)
        directory_release(q->hub->directory, q->name, q->number);
    free(q);
}

void hub_tell_release(struct hub *h, const char *name, uint64_t epoch)
{
    question_post(h, NULL, name, epoch, run_release);
}

static void run_presence(struct mail *m, struct worker *w)
{
    struct question *q = container_of(m, struct question, mail);

    (void)w;
    if (q->hub->directory)
        directory_set_present(q->hub->directory, q->name, q->number != 0);
    free(q);
}

void hub_tell_presence(struct hub *h, const char *name, bool present)
{
    question_post(h, NULL, name, present, run_presence);
}

/* ---- What the directory tells by itself ------------------------------------------------------------------- */

static struct relay *home_of(const struct hub *h, const char *name)
{
    return h->n_relays ? h->relays[relay_home(h->relays[0], name)] : NULL;
}

static bool wants_by_itself(const struct hub *h, const struct stream_record *record)
{
    if (h->cfg.self.role != NODE_BACKBONE || h->cfg.prefetch == PREFETCH_DEMAND)
        return false;
    if (h->cfg.prefetch == PREFETCH_ALL)
        return true;
    const struct node_record *owner = directory_node(h->directory, record->owner);
    return owner && strcmp(owner->region, h->cfg.self.region) == 0;
}

/* Of most streams a node hears and never needs them, so the parents are chosen when the relay asks for them. */
static void tell_home(struct hub *h, const char *name, const struct stream_record *record)
{
    struct relay *home = home_of(h, name);
    struct answer *a = home ? answer_create(home, name, run_stream) : NULL;

    if (!a)
        return;
    a->has_record = record != NULL;
    a->prefetch = record && wants_by_itself(h, record);
    answer_post(a);
}

static void on_stream(void *arg, const char *name, const struct stream_record *record)
{
    struct hub *h = arg;

    if (!h->directory)
        return; /* this node ends */
    tell_home(h, name, record);
    if (h->observer)
        h->observer(h->observer_arg, name, record);
}

static bool retell(void *arg, const struct stream_record *record)
{
    struct hub *h = arg;

    if (wants_by_itself(h, record))
        tell_home(h, record->name, record);
    return true;
}

/* A parent may have come that lets a waiting stream play, or the present one may drain: relays ask anew for what they have. A
 * backbone may have learnt in which region a stream's owner is. */
static void on_nodes(void *arg)
{
    struct hub *h = arg;

    if (h->cfg.self.role == NODE_ORIGIN || !h->directory)
        return;
    for (size_t i = 0; i < h->n_relays; i++) {
        struct answer *a = answer_create(h->relays[i], "", run_nodes);
        if (a)
            answer_post(a);
    }
    if (h->cfg.self.role == NODE_BACKBONE && h->cfg.prefetch == PREFETCH_REGION)
        directory_each_stream(h->directory, retell, h);
}

static void on_claim_lost(void *arg, const char *name, uint64_t epoch, const char *new_owner)
{
    struct hub *h = arg;
    struct relay *home = home_of(h, name);
    struct answer *a = home ? answer_create(home, name, run_claim_lost) : NULL;

    if (!a)
        return;
    a->epoch = epoch;
    strncpy(a->owner, new_owner ? new_owner : "", NODE_ID_MAX);
    answer_post(a);
}

const struct directory_ops *hub_directory_ops(void)
{
    static const struct directory_ops ops = {
        .on_stream = on_stream, .on_nodes = on_nodes, .on_claim_lost = on_claim_lost};
    return &ops;
}
