/* SPDX-License-Identifier: Apache-2.0
 * flv_hold.c - see flv_hold.h. */
#include "edge/flv_hold.h"

enum {
    BUSY_WEIGHT_LOG2 = 5, /* a second of pictures */
    AT_ONCE_MAX = 256,    /* after which it is tried again, with pictures that come however unevenly */
};

/* What it saves makes the worker less busy: so it goes on until half of that is enough. */
static void look_at_load(struct flv_hold *h, uint32_t busy_permille)
{
    h->busy_sum += busy_permille - (h->busy_sum >> BUSY_WEIGHT_LOG2);
    uint32_t from_permille = h->saving ? h->from_permille / 2 : h->from_permille;
    h->saving = h->busy_sum >> BUSY_WEIGHT_LOG2 >= from_permille;
}

bool flv_hold_wants(struct flv_hold *h, const struct flv_gathered *g, uint32_t busy_permille, uint64_t now_us)
{
    bool more = g->pictures > h->pictures;

    if (more) {
        h->since_us = h->pictures ? h->since_us : now_us;
        h->pictures = g->pictures;
        look_at_load(h, busy_permille);
    }
    if (g->pictures == 0 || g->key || !h->saving || g->interval_us == 0)
        return false;
    if (h->at_once > 0) {
        h->at_once -= more;
        return false;
    }
    uint64_t due_us = more ? now_us + g->interval_us : now_us; /* asked before: it goes on waiting */
    return due_us < flv_hold_until_us(h);
}

uint64_t flv_hold_until_us(const struct flv_hold *h)
{
    return h->since_us + h->limit_us;
}

void flv_hold_sent(struct flv_hold *h, bool late)
{
    if (late && h->pictures == 1) {
        h->in_vain = h->in_vain == 0 ? 1 : h->in_vain < AT_ONCE_MAX ? 2 * h->in_vain : AT_ONCE_MAX;
        h->at_once = h->in_vain;
    } else if (h->pictures > 1) {
        h->in_vain = 0;
    }
    h->pictures = 0;
}
