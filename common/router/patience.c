/* SPDX-License-Identifier: Apache-2.0
 * patience.c - for whom sound waits here, and whether it may wait where it comes from. */
#include "router_priv.h"

static uint64_t patience_now(const struct router *r)
{
    const struct list *prompt = &r->consumers[PROMPT];

    if (!hold_on(&r->hold) || list_empty(&r->consumers[PATIENT]))
        return 0;
    for (const struct list *l = prompt->next; l != prompt; l = l->next)
        if (container_of(l, const struct consumer, link)->want & ~r->pictures)
            return 0;
    return r->hold.limit_us;
}

/* NULL: whoever brings the sound cannot let it wait, or has not quite come, or is leaving. */
static struct producer *who_can_wait(const struct router *r)
{
    for (const struct list *l = r->producers.next; l != &r->producers; l = l->next)
        if (container_of(l, const struct producer, link) == r->primary)
            return r->primary->ops->on_patience ? r->primary : NULL;
    return NULL;
}

void router_reconsider_patience(struct router *r)
{
    uint64_t now_us = patience_now(r);
    struct producer *p = who_can_wait(r);

    r->hold.upstream = p && now_us > 0;
    if (!p || now_us == r->patience_us)
        return;
    r->patience_us = now_us;
    p->ops->on_patience(p, now_us);
}

void router_set_hold(struct router *r)
{
    const struct router_set_cfg *cfg = &r->set->cfg;

    r->hold.limit_us = r->asked_us ? r->asked_us : cfg->hold_us;
    r->hold.asked = r->asked_us > 0;
}

void router_reconsider_asked(struct router *r)
{
    const struct list *patient = &r->consumers[PATIENT];

    r->asked_us = 0;
    for (const struct list *l = patient->next; l != patient; l = l->next) {
        uint64_t us = container_of(l, const struct consumer, link)->patience_us;
        if (us && (!r->asked_us || us < r->asked_us))
            r->asked_us = us;
    }
    router_set_hold(r);
}
