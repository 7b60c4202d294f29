/* SPDX-License-Identifier: Apache-2.0 */
#include "pipe/control.h"

#include "base/reader.h"
#include "base/writer.h"

#include <stdlib.h>
#include <string.h>

const char *control_err_text(int err)
{
    switch (err) {
    case CONTROL_OK: return "ok";
    case CONTROL_ERR_LENGTH: return "frame length out of bounds";
    case CONTROL_ERR_MESSAGE: return "not a message";
    case CONTROL_ERR_MEMORY: return "out of memory";
    default: return "unknown error";
    }
}

void control_reader_init(struct control_reader *r, void (*on_message)(void *, const Pipe__Envelope *),
                         void *arg)
{
    *r = (struct control_reader){.on_message = on_message, .arg = arg};
}

void control_reader_fini(struct control_reader *r)
{
    free(r->bytes);
    *r = (struct control_reader){.stopped = true};
}

void control_reader_stop(struct control_reader *r)
{
    r->stopped = true;
}

/* A message of a later version is skipped, so that old nodes live on in a cluster that is being updated. */
static int give_message(struct control_reader *r, const uint8_t *bytes, size_t len)
{
    Pipe__Envelope *m = pipe__envelope__unpack(NULL, len, bytes);
    if (!m)
        return CONTROL_ERR_MESSAGE;
    if (m->message_case != PIPE__ENVELOPE__MESSAGE__NOT_SET)
        r->on_message(r->arg, m);
    pipe__envelope__free_unpacked(m, NULL);
    return CONTROL_OK;
}

/* Takes one frame off in. 1: given; 0: there is not a whole one; else a control_err. */
static int take_frame(struct control_reader *r, struct reader *in)
{
    struct reader look = *in;
    uint32_t len = reader_u32(&look);

    if (look.bad)
        return 0;
    if (len == 0 || len > CONTROL_FRAME_MAX)
        return CONTROL_ERR_LENGTH;
    const uint8_t *body = reader_take(&look, len);
    if (look.bad)
        return 0;
    *in = look;
    int err = give_message(r, body, len);
    return err ? err : 1;
}

static int take_frames(struct control_reader *r, struct reader *in)
{
    int got = 1;

    while (got > 0 && !r->stopped)
        got = take_frame(r, in);
    if (r->stopped)
        in->p = in->end;
    return got < 0 ? got : CONTROL_OK;
}

/* Appends to the unfinished frame. The bound on len keeps r->len below two frames and what one read gives. */
static int keep(struct control_reader *r, const uint8_t *bytes, size_t len)
{
    if (r->len + len > r->cap) {
        size_t cap = r->len + len < 1024 ? 1024 : (r->len + len) * 2;
        uint8_t *grown = realloc(r->bytes, cap);
        if (!grown)
            return CONTROL_ERR_MEMORY;
        r->bytes = grown;
        r->cap = cap;
    }
    if (len)
        memcpy(r->bytes + r->len, bytes, len);
    r->len += len;
    return CONTROL_OK;
}

static int feed_kept(struct control_reader *r, const uint8_t *bytes, size_t len)
{
    int err = keep(r, bytes, len);
    if (err)
        return err;
    struct reader in = reader_init(r->bytes, r->len);
    err = take_frames(r, &in);
    if (err)
        return err;
    size_t left = reader_left(&in);
    memmove(r->bytes, in.p, left);
    r->len = left;
    return CONTROL_OK;
}

int control_reader_feed(struct control_reader *r, const uint8_t *bytes, size_t len)
{
    if (r->stopped || len == 0)
        return CONTROL_OK;

    int err;
    if (r->len) {
        err = feed_kept(r, bytes, len);
    } else {
        struct reader in = reader_init(bytes, len);
        err = take_frames(r, &in);
        if (!err && reader_left(&in))
            err = keep(r, in.p, reader_left(&in));
    }
    if (err)
        r->stopped = true;
    return err;
}

int control_write(uint8_t *dst, size_t cap, const Pipe__Envelope *m)
{
    size_t len = pipe__envelope__get_packed_size(m);
    struct writer w = writer_init(dst, cap);

    if (len > CONTROL_FRAME_MAX)
        return CONTROL_ERR_LENGTH;
    writer_u32(&w, (uint32_t)len);
    uint8_t *body = writer_take(&w, len);
    if (!body)
        return CONTROL_ERR_LENGTH;
    pipe__envelope__pack(m, body);
    return (int)writer_len(&w);
}

void control_send(struct conn *c, const Pipe__Envelope *m)
{
    uint8_t small[2048], *frame = small; /* all but Subscribed with long track configurations */
    size_t cap = CONTROL_HEADER_BYTES + pipe__envelope__get_packed_size(m);

    if (cap > sizeof(small))
        frame = malloc(cap);
    int len = frame ? control_write(frame, cap, m) : CONTROL_ERR_MEMORY;
    if (len < 0 || conn_queued_bytes(c) > CONTROL_QUEUE_MAX)
        conn_close(c);
    else
        conn_write(c, frame, (size_t)len);
    if (frame != small)
        free(frame);
}
