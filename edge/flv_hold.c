/* SPDX-License-Identifier: Apache-2.0
 * flv_hold.c - see flv_hold.h. */
#include "edge/flv_hold.h"

enum {
    AT_ONCE_MAX = 256, /* after which it is tried again, with pictures that come however unevenly */
};

bool flv_hold_wants(struct flv_hold *h, const struct flv_gathered *g, uint32_t busy_permille, uint64_t now_us)
{
    bool more = g->pictures > h->pictures;

    if (more) {
        h->since_us = h->pictures ? h->since_us : now_us;
        h->pictures = g->pictures;
        governor_mark_push(&h->busy, busy_permille);
    }
    if (g->pictures == 0 || g->key || !h->busy.past || g->interval_us == 0)
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
