/* SPDX-License-Identifier: Apache-2.0
 * browser.h - the receiving end of scalable video as Chromium does it, as far as it decides over what is shown and asked for:
 *
 *   - a missing packet is asked for at once and then each 100 ms, up to ten times; but a frame (one spatial layer of a picture) that is
 *     whole and whose references are there ends that for all that came before it;
 *   - a picture (all frames of one timestamp) is decoded when its last frame, which the RTP marker tells, is there and all
 *     that its frames refer to was decoded before or is in it;
 *   - after three seconds without a picture a keyframe is asked for.
 * So where a packet of an upper layer was lost, the next frame of the lowest ends the asking, while nothing that refers to the picture
 * with the hole can be decoded. Pure; for simulations. Source: libwebrtc's nack_requester.cc and frame_buffer.cc. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BROWSER_PACKETS = 8192, BROWSER_FRAMES = 4096, BROWSER_NACKS = 1024, BROWSER_SPATIALS = 4 };

/* At the head of each payload. A frame's id is picture * BROWSER_SPATIALS + spatial; picture > 0. */
struct browser_mark {
    uint32_t picture, refers_to; /* a frame's id; 0: a keyframe's lowest layer */
    uint8_t spatial, temporal;
    bool start, end;
};

struct browser_packet {
    uint64_t seq; /* 0: did not come */
    struct browser_mark mark;
    bool marker;
};

struct browser_frame {
    uint64_t id, last_seq; /* id 0: not whole */
    uint32_t refers_to;
    bool marker, continuous, decoded;
};

struct browser {
    struct browser_packet packets[BROWSER_PACKETS];
    struct browser_frame frames[BROWSER_FRAMES];
    struct {
        uint64_t seq, asked_us;
        unsigned tries;
    } missing[BROWSER_NACKS];
    size_t n_missing, n_first;
    uint16_t first[BROWSER_NACKS]; /* asked for at once: whatever comes after it */
    uint64_t highest;              /* number */
    uint64_t newest, shown;        /* frames' ids */
    uint64_t whole;                /* the last frame of the newest picture that may come to be shown */
    uint64_t shown_us, longest_us; /* the last picture; the longest time between two */
    uint64_t asked_us, keyframes_asked, nacked, pictures;
    uint8_t spatial;               /* of the last picture */
};

void browser_init(struct browser *b, uint64_t now_us);
/* seq: extended, > 0. */
void browser_on_packet(struct browser *b, uint64_t seq, const struct browser_mark *mark, bool marker, uint64_t now_us);
/* What is asked for now. */
size_t browser_nacks(struct browser *b, uint64_t now_us, uint16_t *seqs, size_t cap);
/* True: a keyframe is. */
bool browser_wants_keyframe(struct browser *b, uint64_t now_us);
