/* SPDX-License-Identifier: Apache-2.0
 * whip_layers.c - simulcast layers by quality; see whip_layers.h. */
#include "origin/whip_layers.h"

#include <stdio.h>

static bool is_descending(const struct whip_source *sources, size_t n)
{
    uint16_t before = 0;
    int direction = 0;

    for (size_t i = 0; i < n; i++) {
        if (!sources[i].width)
            continue;
        if (before)
            direction += sources[i].width < before ? -1 : sources[i].width > before ? 1 : 0;
        before = sources[i].width;
    }
    return direction < 0;
}

static void guess_size(struct layer *l, const struct layer *below, const struct layer *above)
{
    if (l->width)
        return;
    if (below && below->width && below->width < UINT16_MAX / 2 && below->height < UINT16_MAX / 2) {
        l->width = (uint16_t)(below->width * 2);
        l->height = (uint16_t)(below->height * 2);
    } else if (above && above->width) {
        l->width = above->width / 2;
        l->height = above->height / 2;
    }
}

void whip_layers_arrange(struct track *track, struct whip_source *sources, size_t n)
{
    bool descending = is_descending(sources, n);

    track->n_layers = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        struct whip_source *s = &sources[i];
        struct layer *l;

        s->layer = (uint8_t)(descending ? n - 1 - i : i);
        l = &track->layers[s->layer];
        *l = (struct layer){.width = s->width, .height = s->height};
        snprintf(l->rid, sizeof(l->rid), "%s", s->rid);
    }
    for (size_t i = 1; i < n; i++)
        guess_size(&track->layers[i], &track->layers[i - 1], NULL);
    for (size_t i = n - 1; i-- > 0;)
        guess_size(&track->layers[i], NULL, &track->layers[i + 1]);
}
