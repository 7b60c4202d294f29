/* SPDX-License-Identifier: Apache-2.0
 * flv_viewer.h - one FLV viewer of a stream: it waits (parked), is given the group of pictures there is and then each chunk;
 * who is slow goes on at a keyframe, who takes nothing is dropped.
 *
 * Thread: the worker's. Ownership: made for an exchange, freed when that is over. With its last viewer the stream is freed too where
 * the exchange or the viewer's own timer ends it; the functions below leave that to the caller. */
#pragma once

#include "edge/flv_stream.h"

/* Parked, and counted; NULL: out of memory, and the exchange is not answered. */
struct flv_viewer *flv_viewer_open(struct flv_stream *s, struct http_exchange *x);
/* Everything since the newest keyframe, if there is one: it is live then. A HEAD is answered, and v gone. */
void flv_viewer_start(struct flv_viewer *v);
/* To one that is not parked. sequence: made for the first viewer that needs it. */
void flv_viewer_push(struct flv_viewer *v, const struct flv_chunk *chunk, struct http_piece *sequence);
/* The response is over; parked, it is refused. Frees v. */
void flv_viewer_end(struct flv_viewer *v, int status, const char *why);
/* One that is parked. Frees v. */
void flv_viewer_refuse(struct flv_viewer *v, int status, const char *why);
/* Once a second: who has taken nothing of what waits for longer than cfg.stall_us is cut off, and freed. */
void flv_viewer_drop_if_stalled(struct flv_viewer *v, uint64_t now_us);
/* How far behind the newest chunk is what it takes now. */
uint32_t flv_viewer_lag_ms(const struct flv_viewer *v);
