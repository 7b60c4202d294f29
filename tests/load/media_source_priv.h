/* SPDX-License-Identifier: Apache-2.0
 * media_source_priv.h - what files (media_source.c) and made media (media_make.c) share. Results: 0 or -1. */
#pragma once

#include "media_source.h"

#include <libavcodec/avcodec.h>

/* Copies the bytes. */
MUST_USE int media_frame_push(struct media_source *m, const struct media_frame *f);
MUST_USE int media_video_push(struct media_source *m, const AVPacket *pkt, bool annexb, uint8_t length_bytes, AVRational base);
/* SPS and PPS from a decoder's extra data, avcC or Annex B. */
MUST_USE int media_params_take(struct media_source *m, const uint8_t *extra, size_t len);
MUST_USE int media_copy(uint8_t **out, size_t *out_len, const uint8_t *bytes, size_t len);
void media_source_sort(struct media_source *m);
