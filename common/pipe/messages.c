/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/messages.h"

#include <stdint.h>
#include <string.h>

/* protobuf-c's structs are not const-correct; packing does not write to what they point to. */
static char *borrow(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* ---- Names ----------------------------------------------------------------------------------- */

bool node_id_valid(const char *id)
{
    size_t len = strspn(id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-");

    return len > 0 && len <= PIPE_NODE_ID_MAX && id[len] == '\0';
}

/* Into dst[0..cap), NUL included. May be empty. */
static bool copy_word(char *dst, size_t cap, const char *src)
{
    size_t len = strnlen(src, cap);

    if (len == cap || (len && !node_id_valid(src)))
        return false;
    memcpy(dst, src, len + 1);
    return true;
}

int message_identity_parse(struct pipe_identity *out, const Pipe__Hello *m)
{
    struct pipe_identity who = {0};

    if (!copy_word(who.id, sizeof(who.id), m->node_id) || !who.id[0] ||
        !copy_word(who.role, sizeof(who.role), m->role) ||
        !copy_word(who.region, sizeof(who.region), m->region))
        return MESSAGE_ERR_VALUE;
    *out = who;
    return MESSAGE_OK;
}

bool message_identity_proven(const struct pipe_identity *who, const char *subject)
{
    return strcmp(subject, who->id) == 0 || strcmp(subject, "*") == 0;
}

void message_identity_fill(Pipe__Hello *m, const struct pipe_identity *who)
{
    m->version = PIPE_VERSION;
    m->node_id = borrow(who->id);
    m->role = borrow(who->role);
    m->region = borrow(who->region);
}

bool path_has(const struct pipe_path *path, const char *id)
{
    for (size_t i = 0; i < path->n; i++)
        if (strcmp(path->ids[i], id) == 0)
            return true;
    return false;
}

bool path_add(struct pipe_path *path, const char *id)
{
    if (path_has(path, id))
        return true;
    if (path->n == PIPE_PATH_IDS_MAX)
        return false;
    if (!copy_word(path->ids[path->n], sizeof(path->ids[0]), id))
        return false;
    path->n++;
    return true;
}

int message_path_parse(struct pipe_path *out, size_t n, char *const *ids)
{
    struct pipe_path path = {0};

    if (n > PIPE_PATH_IDS_MAX)
        return MESSAGE_ERR_VALUE;
    path.depth = n;
    for (size_t i = 0; i < n; i++)
        if (!node_id_valid(ids[i]) || !path_add(&path, ids[i]))
            return MESSAGE_ERR_VALUE;
    *out = path;
    return MESSAGE_OK;
}

size_t message_path_fill(char **ids, size_t cap, const struct pipe_path *path)
{
    size_t n = path->n < cap ? path->n : cap;

    for (size_t i = 0; i < n; i++)
        ids[i] = borrow(path->ids[i]);
    return n;
}

/* ---- Tracks ---------------------------------------------------------------------------------- */

static void fill_layer(Pipe__Layer *m, const struct layer *l)
{
    pipe__layer__init(m);
    m->rid = borrow(l->rid);
    m->width = l->width;
    m->height = l->height;
    m->max_bps = l->max_bps;
}

static void fill_track(Pipe__Track *m, const struct track *t)
{
    pipe__track__init(m);
    m->codec = (uint32_t)t->codec;
    m->clock_hz = t->clock_hz;
    m->channels = t->channels;
    m->derived = t->derived;
    m->source = t->source;
    m->b_frames = t->b_frames;
    m->spatial_layers = t->spatial_layers;
    m->temporal_layers = t->temporal_layers;
    m->profile = t->profile;
    m->config.len = t->config_len;
    m->config.data = (uint8_t *)(uintptr_t)t->config;
}

void message_tracks_fill(struct message_tracks *m, Pipe__Subscribed *into, const struct track_set *tracks)
{
    for (size_t t = 0; t < tracks->n; t++) {
        const struct track *track = &tracks->v[t];
        fill_track(&m->tracks[t], track);
        for (size_t l = 0; l < track->n_layers; l++) {
            fill_layer(&m->layers[t][l], &track->layers[l]);
            m->layer_list[t][l] = &m->layers[t][l];
        }
        m->tracks[t].n_layers = track->n_layers;
        m->tracks[t].layers = m->layer_list[t];
        m->list[t] = &m->tracks[t];
    }
    into->epoch = tracks->epoch;
    into->n_tracks = tracks->n;
    into->tracks = m->list;
}

static bool parse_layer(struct layer *out, const Pipe__Layer *m)
{
    if (m->width > UINT16_MAX || m->height > UINT16_MAX)
        return false;
    out->width = (uint16_t)m->width;
    out->height = (uint16_t)m->height;
    out->max_bps = m->max_bps;
    return copy_word(out->rid, sizeof(out->rid), m->rid);
}

static bool parse_track(struct track *out, const Pipe__Track *m, size_t n_tracks)
{
    if (codec_kind((enum codec)m->codec) == CODEC_KIND_NONE || m->clock_hz == 0 || m->channels > UINT8_MAX ||
        m->n_layers == 0 || m->n_layers > LAYERS_MAX || m->source >= n_tracks ||
        m->spatial_layers > LAYERS_MAX || m->temporal_layers > LAYERS_MAX || m->config.len > TRACK_CONFIG_MAX)
        return false;
    *out = (struct track){
        .codec = (enum codec)m->codec,
        .clock_hz = m->clock_hz,
        .channels = (uint8_t)m->channels,
        .n_layers = (uint8_t)m->n_layers,
        .derived = m->derived,
        .source = (uint8_t)m->source,
        .b_frames = m->b_frames,
        .spatial_layers = (uint8_t)m->spatial_layers,
        .temporal_layers = (uint8_t)m->temporal_layers,
        .profile = m->profile,
        .config_len = m->config.len,
    };
    if (m->config.len)
        memcpy(out->config, m->config.data, m->config.len);
    for (size_t l = 0; l < m->n_layers; l++)
        if (!parse_layer(&out->layers[l], m->layers[l]))
            return false;
    return true;
}

int message_tracks_parse(struct track_set *out, const Pipe__Subscribed *m)
{
    if (m->epoch == 0 || m->n_tracks == 0 || m->n_tracks > TRACKS_MAX)
        return MESSAGE_ERR_VALUE;
    *out = (struct track_set){.epoch = m->epoch, .n = m->n_tracks};
    for (size_t t = 0; t < m->n_tracks; t++)
        if (!parse_track(&out->v[t], m->tracks[t], m->n_tracks))
            return MESSAGE_ERR_VALUE;
    return MESSAGE_OK;
}

bool message_position_parse(struct pipe_position *out, const Pipe__Position *m)
{
    if (m->track >= TRACKS_MAX || m->layer >= LAYERS_MAX)
        return false;
    *out = (struct pipe_position){(uint8_t)m->track, (uint8_t)m->layer, m->seq};
    return true;
}
