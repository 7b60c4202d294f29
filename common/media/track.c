/* SPDX-License-Identifier: Apache-2.0 */
#include "media/track.h"

#include <string.h>

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
}

bool stream_name_valid(const char *name)
{
    size_t len = strnlen(name, STREAM_NAME_MAX + 1), segments = 1;
    bool at_start = true;

    if (len == 0 || len > STREAM_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (name[i] == '/') {
            if (at_start)
                return false; /* an empty segment */
            segments++;
            at_start = true;
        } else if (!name_char(name[i]) || (at_start && name[i] == '.')) {
            return false;
        } else {
            at_start = false;
        }
    }
    return !at_start && segments >= 2;
}

uint64_t track_set_native(const struct track_set *set)
{
    uint64_t mask = 0;

    for (unsigned t = 0; t < set->n; t++)
        for (unsigned l = 0; !set->v[t].derived && l < set->v[t].n_layers; l++)
            mask |= want_bit(t, l);
    return mask;
}

int track_set_find(const struct track_set *set, enum codec codec)
{
    for (size_t t = 0; t < set->n; t++)
        if (set->v[t].codec == codec)
            return (int)t;
    return -1;
}

int track_set_video(const struct track_set *set)
{
    for (size_t t = 0; t < set->n; t++)
        if (codec_kind(set->v[t].codec) == CODEC_KIND_VIDEO)
            return (int)t;
    return -1;
}
