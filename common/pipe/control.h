/* SPDX-License-Identifier: Apache-2.0
 * control.h - control messages as frames: a 32-bit big-endian length, then one Envelope (pipe.proto).
 *
 * Thread: the worker's. Ownership: the reader owns the bytes of a frame that came in pieces; a message
 * given to on_message is borrowed until it returns. */
#pragma once

#include "base/compiler.h"
#include "secure/conn.h"

#include "pipe.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONTROL_FRAME_MAX = 64 * 1024, /* bytes of an Envelope; the largest honest one, Subscribed, has 6 KiB */
    CONTROL_HEADER_BYTES = 4,
    CONTROL_QUEUE_MAX = 1024 * 1024, /* bytes; some thousand answers */
};

enum control_err {
    CONTROL_OK = 0,
    CONTROL_ERR_LENGTH = -1,  /* a frame of length 0 or above CONTROL_FRAME_MAX */
    CONTROL_ERR_MESSAGE = -2, /* not an Envelope */
    CONTROL_ERR_MEMORY = -4,
};
const char *control_err_text(int err);

struct control_reader {
    void (*on_message)(void *arg, const Pipe__Envelope *m);
    void *arg;
    uint8_t *bytes; /* of an unfinished frame, header included */
    size_t len, cap;
    bool stopped;
};

void control_reader_init(struct control_reader *r, void (*on_message)(void *arg, const Pipe__Envelope *m),
                         void *arg);
void control_reader_fini(struct control_reader *r);
/* Gives every whole message in order. Returns 0, or the control_err of the first bad frame; nothing is read
 * after it. */
MUST_USE int control_reader_feed(struct control_reader *r, const uint8_t *bytes, size_t len);
/* From within on_message or after an error: no further message is given. */
void control_reader_stop(struct control_reader *r);

/* Writes m as a frame into dst[0..cap). Returns its length, or CONTROL_ERR_LENGTH when it does not fit. */
MUST_USE int control_write(uint8_t *dst, size_t cap, const Pipe__Envelope *m);
/* Sends m on a connection. One that has no memory for it, or too long a queue (its peer does not read), is
 * closed: its owner hears of it by on_close. */
void control_send(struct conn *c, const Pipe__Envelope *m);
