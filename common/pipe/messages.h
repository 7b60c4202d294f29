/* SPDX-License-Identifier: Apache-2.0
 * messages.h - what control messages mean: our structs to protobuf's and back, every value checked.
 *
 * Pure; any thread. Ownership: a filled message borrows from its struct and from what it was filled from. */
#pragma once

#include "base/compiler.h"
#include "media/track.h"
#include "pipe/pipe.h"

#include "pipe.pb-c.h"

#include <stdbool.h>

enum message_err {
    MESSAGE_OK = 0,
    MESSAGE_ERR_VALUE = -1, /* a number or length out of bounds, a name with characters it must not have */
};

/* 1 .. PIPE_NODE_ID_MAX of [A-Za-z0-9._:-]. */
bool node_id_valid(const char *id);

MUST_USE int message_identity_parse(struct pipe_identity *out, const Pipe__Hello *m);
/* Whether a certificate of this common name is who's. */
bool message_identity_proven(const struct pipe_identity *who, const char *subject);
void message_identity_fill(Pipe__Hello *m, const struct pipe_identity *who);

/* depth is taken to be n. */
MUST_USE int message_path_parse(struct pipe_path *out, size_t n, char *const *ids);
/* ids[0..cap) points into path. Returns how many. */
size_t message_path_fill(char **ids, size_t cap, const struct pipe_path *path);
bool path_has(const struct pipe_path *path, const char *id);
/* False when it is full. An id that is there already is not added again. */
MUST_USE bool path_add(struct pipe_path *path, const char *id);

/* The protobuf form of a track_set, with room for all of it. */
struct message_tracks {
    Pipe__Track tracks[TRACKS_MAX], *list[TRACKS_MAX];
    Pipe__Layer layers[TRACKS_MAX][LAYERS_MAX], *layer_list[TRACKS_MAX][LAYERS_MAX];
};
void message_tracks_fill(struct message_tracks *m, Pipe__Subscribed *into, const struct track_set *tracks);
MUST_USE int message_tracks_parse(struct track_set *out, const Pipe__Subscribed *m);

/* True, and *out, when track and layer are within bounds. */
MUST_USE bool message_position_parse(struct pipe_position *out, const Pipe__Position *m);
