/* SPDX-License-Identifier: Apache-2.0
 * flv_reader.h - an FLV stream as it comes, cut anywhere: each tag's header and the first bytes of its body.
 *
 * What a load tester needs of a tag is in its first bytes, so bodies are counted and not kept: a reader is half a
 * kilobyte, whatever comes.
 * Pure; one thread at a time. Ownership: embedded. Source: Adobe FLV specification 10.1 annex E. */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FLV_HEAD_MAX = 256 /* bytes of a body that are kept: media header, parameter NALs, a stamp */ };

struct flv_seen {
    const uint8_t *head; /* the first head_len bytes of the body, borrowed */
    size_t head_len;     /* at most FLV_HEAD_MAX */
    size_t body_len;
    uint32_t ts_ms;
    uint8_t type;        /* enum flv_tag_type, or one that is not known */
};

struct flv_reader {
    void (*on_tag)(void *arg, const struct flv_seen *tag); /* each whole tag */
    void *arg;
    bool bad;       /* it is no FLV stream: the rest is thrown away */
    uint8_t state;
    size_t want, got; /* bytes of the present part */
    struct flv_seen tag;
    uint8_t part[16];
    uint8_t head[FLV_HEAD_MAX];
};

void flv_reader_init(struct flv_reader *r, void (*on_tag)(void *arg, const struct flv_seen *tag), void *arg);
/* Takes all bytes. false when it is no FLV stream. */
bool flv_reader_push(struct flv_reader *r, const uint8_t *bytes, size_t len);
