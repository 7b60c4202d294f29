/* SPDX-License-Identifier: Apache-2.0
 * layer_choice.c - see layer_choice.h. */
#include "webrtc/layer_choice.h"

enum { USUAL_BPS_A_PIXEL = 3 /* 0.1 bit a pixel at 30 frames a second */ };

void layer_choice_init(struct layer_choice *c)
{
    *c = (struct layer_choice){.most = LAYER_ANY, .again_us = LAYER_UP_AGAIN_US};
}

void layer_choice_limit(struct layer_choice *c, int most)
{
    c->most = most;
    c->lowered_us = 0;
    c->raised_us = 0;
    c->again_us = LAYER_UP_AGAIN_US;
    c->room_since_us = 0;
}

uint64_t layer_bps(const struct layer_option *layers, size_t n, size_t i)
{
    if (layers[i].bps)
        return layers[i].bps;
    for (size_t away = 1; away < n; away++) {
        const struct layer_option *below = i >= away ? &layers[i - away] : NULL;
        const struct layer_option *above = i + away < n ? &layers[i + away] : NULL;
        const struct layer_option *known = below && below->bps && below->pixels ? below : above;

        if (known && known->bps && known->pixels)
            return known->bps * layers[i].pixels / known->pixels;
    }
    return (uint64_t)layers[i].pixels * USUAL_BPS_A_PIXEL;
}

/* The best that is sent and has room; a better one than the current needs some room to spare. */
static size_t best_fit(const struct layer_option *layers, size_t n, size_t top, size_t current, uint64_t allowed_bps)
{
    size_t lowest = n;

    for (size_t i = top + 1; i-- > 0;) {
        uint64_t need = layer_bps(layers, n, i);

        if (layers[i].silent)
            continue;
        lowest = i;
        if (allowed_bps == UINT64_MAX || (i > current ? need * LAYER_UP_PERCENT / 100 : need) <= allowed_bps)
            return i;
    }
    return lowest; /* n: nothing comes at all */
}

/* A step down for want of room. One step up fails once, in however many steps down. */
static void lowered(struct layer_choice *c, uint64_t now_us)
{
    bool failed = c->raised_us && now_us - c->raised_us < LAYER_UP_LASTS_US;
    bool follows = c->lowered_us && now_us - c->lowered_us < LAYER_UP_LASTS_US;

    if (failed)
        c->again_us = c->again_us > LAYER_UP_AGAIN_MOST_US / 2 ? LAYER_UP_AGAIN_MOST_US : c->again_us * 2;
    else if (!follows)
        c->again_us = LAYER_UP_AGAIN_US;
    c->raised_us = 0;
    c->lowered_us = now_us;
}

size_t layer_choice_pick(struct layer_choice *c, const struct layer_option *layers, size_t n, size_t current,
                         uint64_t allowed_bps, uint64_t now_us)
{
    size_t top = c->most >= 0 && (size_t)c->most < n ? (size_t)c->most : n - 1;
    size_t fit = best_fit(layers, n, top, current, allowed_bps);

    if (fit == n || fit == current) {
        c->room_since_us = 0;
        return current;
    }
    if (fit < current || layers[current].silent) {
        if (fit < current && current <= top && !layers[current].silent)
            lowered(c, now_us);
        c->room_since_us = 0;
        return fit;
    }
    if (c->room_since_us == 0)
        c->room_since_us = now_us;
    bool wished = c->most >= 0 && !c->lowered_us;
    bool again = c->lowered_us && now_us - c->lowered_us < c->again_us;
    if (!wished && (again || now_us - c->room_since_us < LAYER_UP_US))
        return current;
    c->room_since_us = 0;
    c->raised_us = now_us;
    return fit;
}
