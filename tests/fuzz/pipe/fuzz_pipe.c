/* SPDX-License-Identifier: Apache-2.0
 * fuzz_pipe.c - bytes from a peer node into the readers of control frames and of their messages, of RTP and of
 * feedback. The first byte picks which; what can be written again must read the same. */
#include "pipe/control.h"
#include "pipe/messages.h"
#include "pipe/pipe_feedback.h"
#include "pipe/pipe_rtp.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void must(bool ok)
{
    if (!ok)
        abort();
}

/* ---- Control ---- */

static void on_subscribed(const Pipe__Subscribed *m)
{
    static struct message_tracks room;
    struct track_set tracks, again;
    Pipe__Subscribed out;

    if (message_tracks_parse(&tracks, m) != MESSAGE_OK)
        return;
    pipe__subscribed__init(&out);
    message_tracks_fill(&room, &out, &tracks);
    must(message_tracks_parse(&again, &out) == MESSAGE_OK && memcmp(&again, &tracks, sizeof(tracks)) == 0);
}

static void on_message(void *arg, const Pipe__Envelope *e)
{
    struct pipe_identity who;
    struct pipe_position at;
    struct pipe_path path;

    (void)arg;
    switch (e->message_case) {
    case PIPE__ENVELOPE__MESSAGE_HELLO:
        must(message_identity_parse(&who, e->hello) != MESSAGE_OK || node_id_valid(who.id));
        break;
    case PIPE__ENVELOPE__MESSAGE_SUBSCRIBE:
        (void)!message_path_parse(&path, e->subscribe->n_path, e->subscribe->path);
        for (size_t i = 0; i < e->subscribe->n_from; i++)
            must(!message_position_parse(&at, e->subscribe->from[i]) || (at.track < TRACKS_MAX && at.layer < LAYERS_MAX));
        break;
    case PIPE__ENVELOPE__MESSAGE_SUBSCRIBED:
        on_subscribed(e->subscribed);
        break;
    default:
        break;
    }
}

/* In two pieces, as a stream may bring it; the same bytes as one frame, so that messages are reached easily. */
static void feed_control(const uint8_t *bytes, size_t len)
{
    uint8_t frame[CONTROL_HEADER_BYTES + 2048] = {0, 0, (uint8_t)(len >> 8), (uint8_t)len};
    struct control_reader r;

    control_reader_init(&r, on_message, NULL);
    if (control_reader_feed(&r, bytes, len / 3) == CONTROL_OK)
        (void)!control_reader_feed(&r, bytes + len / 3, len - len / 3);
    control_reader_fini(&r);
    if (len > sizeof(frame) - CONTROL_HEADER_BYTES)
        return;
    memcpy(frame + CONTROL_HEADER_BYTES, bytes, len);
    control_reader_init(&r, on_message, NULL);
    (void)!control_reader_feed(&r, frame, CONTROL_HEADER_BYTES + len);
    control_reader_fini(&r);
}

/* ---- Media ---- */

static void feed_rtp(const uint8_t *bytes, size_t len)
{
    uint8_t hdr[PIPE_RTP_HEADER_MAX];
    struct packet p = {0}, again = {0};
    size_t hdr_len, again_len;

    if (pipe_rtp_parse(&p, bytes, len, &hdr_len) != RTP_OK)
        return;
    must(hdr_len <= len);
    hdr_len = pipe_rtp_write(hdr, sizeof(hdr), &p, 1);
    must(pipe_rtp_parse(&again, hdr, hdr_len, &again_len) == RTP_OK && again_len == hdr_len);
    must(again.seq == p.seq && again.ts_ticks == p.ts_ticks && again.capture_us == p.capture_us &&
         again.cts_ticks == p.cts_ticks && again.flags == p.flags && again.spatial == p.spatial &&
         again.temporal == p.temporal && again.ext_len == p.ext_len && memcmp(again.bytes, p.bytes, p.ext_len) == 0);
}

static void feed_feedback(const uint8_t *bytes, size_t len)
{
    struct feedback_range range;
    struct feedback f;
    size_t n = 0;

    if (feedback_parse(&f, bytes, len) != FEEDBACK_OK)
        return;
    while (feedback_next(&f, &range))
        n++;
    must(n * FEEDBACK_RANGE_BYTES <= len);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    if (len == 0)
        return 0;
    switch (bytes[0] % 3) {
    case 0: feed_control(bytes + 1, len - 1); break;
    case 1: feed_rtp(bytes + 1, len - 1); break;
    default: feed_feedback(bytes + 1, len - 1); break;
    }
    return 0;
}
