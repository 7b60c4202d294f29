/* SPDX-License-Identifier: Apache-2.0
 * whip_layers.h - the simulcast layers of a track in the order of their quality.
 *
 * Pure. Source: RFC 8853 (an offer's order says nothing about quality). */
#pragma once

#include "origin/whip_source.h"

/* Gives each source its layer number, the smallest picture 0, and fills in the track's layers: rid and size. Publishers
 * name their layers from the smallest to the largest or the other way: two known sizes tell, else the former is
 * believed. A size that is not known yet is half or twice its neighbour's, as browsers scale. */
void whip_layers_arrange(struct track *track, struct whip_source *sources, size_t n);
