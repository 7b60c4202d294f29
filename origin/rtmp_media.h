/* SPDX-License-Identifier: Apache-2.0
 * rtmp_media.h - the audio and video messages of one publishing into a publication.
 *
 * The tracks are announced when what was promised is known: both sequence headers, or those that
 * onMetaData names, and the first video frame, whose composition offset tells whether there are B-frames.
 * After RTMP_ANNOUNCE_WAIT_US whatever is known is announced. Frames that come earlier are held, bounded.
 * A track that appears later makes a new announcement (a new epoch), as do another codec and another configuration of audio.
 * Thread: the worker's. Ownership: borrows the publication and the messages. */
#pragma once

#include "base/compiler.h"
#include "origin/rtmp_chunk.h"
#include "origin/rtmp_clock.h"
#include "origin/rtmp_command.h"
#include "origin/rtmp_track.h"
#include "relay/publish.h"

enum {
    RTMP_ANNOUNCE_WAIT_US = 1000000, /* from the first media message */
    RTMP_HELD_MAX_BYTES = 4 << 20,
    RTMP_HELD_MAX_FRAMES = 2048, /* small ones cost more than their bytes */
    RTMP_CHANGES_MAX = 20,       /* announcements anew, each an epoch for the whole cluster; a playlist needs one a piece ... */
    RTMP_CHANGE_US = 10000000,   /* ... so one more is granted in so long */
};

enum rtmp_media_err {
    RTMP_MEDIA_OK = 0,
    RTMP_MEDIA_ERR_SYNTAX = -1, /* a header or sequence header that cannot be read: close */
    RTMP_MEDIA_ERR_CODEC = -2,  /* a codec, or a way of packing it, that is not carried: refuse */
    RTMP_MEDIA_ERR_MEMORY = -3,
    RTMP_MEDIA_ERR_RESTLESS = -4, /* other tracks again and again: close */
};

struct rtmp_media_cfg {
    const char *name;     /* of the stream, for log lines; borrowed */
    bool audio_transcode; /* announce a derived track beside the audio */
};

struct rtmp_media;

MUST_USE int rtmp_media_create(struct rtmp_media **out, const struct rtmp_media_cfg *cfg);
void rtmp_media_destroy(struct rtmp_media **m);

/* The claim was granted: packets may go to p, which outlives m. */
void rtmp_media_start(struct rtmp_media *m, struct publication *p);
void rtmp_media_metadata(struct rtmp_media *m, const struct rtmp_metadata *metadata);
/* A message of type 8 or 9 that arrived at unix_us. RTMP_MEDIA_OK or an rtmp_media_err. A single damaged
 * frame is counted and left out. */
MUST_USE int rtmp_media_push(struct rtmp_media *m, const struct rtmp_message *msg, uint64_t unix_us);
/* True once, when the caller should call rtmp_media_poll RTMP_ANNOUNCE_WAIT_US from now. */
bool rtmp_media_waits(struct rtmp_media *m);
/* The wait is over. */
void rtmp_media_poll(struct rtmp_media *m);

/* ---- For statistics -------------------------------------------------------------------------- */

struct rtmp_media_facts {
    bool announced;
    enum codec video_codec, audio_codec;
    uint16_t width, height;
    bool b_frames; /* seen in any frame, also after the announcement */
    uint64_t video_frames, video_keyframes, audio_frames, packets, bytes;
    uint64_t dropped_frames;               /* damaged, no packets in the pool, or held too long */
    uint64_t clock_jumps, clock_reanchors; /* timestamps that jumped; capture time tied to arrival anew */
    uint64_t audio_resyncs;
};

void rtmp_media_facts(const struct rtmp_media *m, struct rtmp_media_facts *out);
