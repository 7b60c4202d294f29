/* SPDX-License-Identifier: Apache-2.0
 * tally.h - everything that is counted, of one thread or of all: it only grows, so the difference of two states is
 * what happened between them, and the sum of the threads' is the whole.
 *
 * Thread: plain data, its owner's. */
#pragma once

#include "histogram.h"

#include <stddef.h>
#include <stdint.h>

/* Counters and histograms by name: the struct, the sums and the reports are made from these lists. */
#define TALLY_COUNTERS(X) \
    X(asked)            /* viewers that were started */ \
    X(joined)           /* to which media came */ \
    X(failed)           /* that gave up before */ \
    X(cut_off)          /* that were on their way in when the end came, for no longer than others took */ \
    X(dropped)          /* that lost the server after, and did not come back */ \
    X(left)             /* that left as planned */ \
    X(retries)          /* HTTP requests repeated because the server said Retry-After */ \
    X(redirects)        /* 307 and entry points followed */ \
    X(events)           /* WHEP sessions whose server-sent events are listened to */ \
    X(events_failed)    /* that offered them in vain */ \
    X(moves)            /* viewers who were sent elsewhere by such an event, and are playing there */ \
    X(moves_failed)     /* who could not, and stayed as long as they were let */ \
    X(lost)             /* viewers whose server was lost to them; those who do not come back are dropped */ \
    X(reconnects)       /* who came back */ \
    X(bytes)            /* of media: RTP packets, FLV stream */ \
    X(rtp_received)     /* packets, without duplicates, retransmitted ones included */ \
    X(rtp_checked)      /* of these: authenticated and decrypted */ \
    X(rtp_bad)          /* whose authentication failed */ \
    X(rtp_duplicates) \
    X(rtp_lost)         /* after repair: did not come within the playout deadline */ \
    X(rtp_lost_audio)   /* of these: sound, which nobody asks for again where NACK was not agreed on */ \
    X(rtp_recovered)    /* came after a NACK */ \
    X(rtp_reordered)    /* came late by themselves */ \
    X(nacks)            /* packet numbers asked for again */ \
    X(plis)             /* keyframes asked for */ \
    X(flv_tags) \
    X(frames)           /* whole video frames */ \
    X(keyframes) \
    X(breaks)           /* times that the picture was broken until the next keyframe */ \
    X(jumps)            /* times that decode time jumped (HTTP-FLV: the server left frames out) */ \
    X(freezes) \
    X(frozen_us)        /* length of all freezes */ \
    X(socket_drops)     /* datagrams that this program was too slow to read: not the server's fault */ \
    X(published)        /* publishers that were started */ \
    X(publishing)       /* that the server accepted */ \
    X(publish_failed)   /* refused, or lost later */ \
    X(publish_frames) \
    X(publish_bytes) \
    X(publish_late)     /* frames sent more than 5 ms after their time: this program was too slow */

#define TALLY_HISTOGRAMS(X) \
    X(http_us)           /* start -> answer of the server */ \
    X(ice_us)            /* answer -> first ICE check answered */ \
    X(dtls_us)           /* ICE -> keys */ \
    X(join_us)           /* start -> first packet of media */ \
    X(first_keyframe_us) /* start -> first whole keyframe */ \
    X(delay_us)          /* frame: sent by the publisher -> arrived here */ \
    X(delay_first_us)    /* the same at the first of a thread's WHEP viewers to get the frame */ \
    X(jitter_us)         /* RFC 3550 interarrival jitter, each viewer once a second */ \
    X(freeze_us)         /* length of a freeze */ \
    X(step_us)           /* between the timestamps of two frames in a row: one that is left out shows */ \
    X(move_us)           /* sent elsewhere -> first packet from there */ \
    X(reconnect_us)      /* loss noticed -> first packet again */

enum { TALLY_CAUSES_MAX = 24, TALLY_CAUSE_BYTES = 96 };

struct tally_cause {
    char name[TALLY_CAUSE_BYTES]; /* "http 404", "ice timeout"; "" ends the list */
    uint64_t count;
};

struct tally {
#define X(name) uint64_t name;
    TALLY_COUNTERS(X)
#undef X
#define X(name) struct histogram name;
    TALLY_HISTOGRAMS(X)
#undef X
    struct tally_cause causes[TALLY_CAUSES_MAX];
};

void tally_add(struct tally *t, const struct tally *other);
/* t -= earlier. Causes stay. */
void tally_subtract(struct tally *t, const struct tally *earlier);
/* One more failure of this cause; when the list is full it counts as "other". */
void tally_cause_push(struct tally *t, const char *name, uint64_t count);
