/* SPDX-License-Identifier: Apache-2.0
 * transcode_tracks.h - which derived tracks an origin announces: Opus beside AAC, AAC beside Opus.
 *
 * Pure; any thread. What makes their packets is transcode.h. */
#pragma once

#include "base/compiler.h"
#include "media/track.h"

enum {
    TRANSCODE_CLOCK_HZ = 48000, /* of both derived codecs */
    TRANSCODE_CHANNELS = 2,
};

/* Appends what can be derived from the set's audio tracks and is not there already. A set that is full
 * stays as it is. */
void transcode_derive_tracks(struct track_set *set);
