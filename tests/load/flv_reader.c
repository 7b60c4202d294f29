/* SPDX-License-Identifier: Apache-2.0
 * flv_reader.c - FLV in pieces; see flv_reader.h. */
#include "flv_reader.h"

#include "base/reader.h"
#include "wire/flv.h"

enum { FILE_HEADER, TAG_HEADER, BODY, TRAILER };

static void expect(struct flv_reader *r, uint8_t state, size_t want)
{
    r->state = state;
    r->want = want;
    r->got = 0;
}

void flv_reader_init(struct flv_reader *r, void (*on_tag)(void *arg, const struct flv_seen *tag), void *arg)
{
    memset(r, 0, sizeof(*r));
    r->on_tag = on_tag;
    r->arg = arg;
    expect(r, FILE_HEADER, FLV_FILE_HEADER_BYTES);
}

static bool on_file_header(struct flv_reader *r)
{
    struct reader in = reader_init(r->part, FLV_FILE_HEADER_BYTES);
    bool audio, video;

    expect(r, TAG_HEADER, FLV_TAG_HEADER_BYTES);
    return flv_file_header_parse(&in, &audio, &video) == FLV_OK;
}

static bool on_tag_header(struct flv_reader *r)
{
    struct reader in = reader_init(r->part, FLV_TAG_HEADER_BYTES);

    r->tag = (struct flv_seen){.head = r->head, .type = reader_u8(&in)};
    r->tag.body_len = reader_u24(&in);
    r->tag.ts_ms = reader_u24(&in);
    r->tag.ts_ms |= (uint32_t)reader_u8(&in) << 24;
    expect(r, BODY, r->tag.body_len);
    /* annex E.4.1: two bits reserved, one for encryption, stream id always 0 */
    return !(r->tag.type & 0xe0) && reader_u24(&in) == 0;
}

/* The part is whole. */
static bool on_part(struct flv_reader *r)
{
    switch (r->state) {
    case FILE_HEADER:
        return on_file_header(r);
    case TAG_HEADER:
        return on_tag_header(r);
    case BODY:
        expect(r, TRAILER, FLV_TAG_TRAILER_BYTES);
        r->on_tag(r->arg, &r->tag);
        return true;
    default:
        expect(r, TAG_HEADER, FLV_TAG_HEADER_BYTES);
        return true;
    }
}

/* Keeps what is to be kept of the next n bytes of the part. */
static void keep(struct flv_reader *r, const uint8_t *bytes, size_t n)
{
    bool body = r->state == BODY;
    uint8_t *to = body ? r->head : r->part;
    size_t cap = body ? sizeof(r->head) : sizeof(r->part);

    if (r->got < cap) {
        size_t fits = n < cap - r->got ? n : cap - r->got;
        memcpy(to + r->got, bytes, fits);
        if (body)
            r->tag.head_len += fits;
    }
    r->got += n;
}

bool flv_reader_push(struct flv_reader *r, const uint8_t *bytes, size_t len)
{
    while (!r->bad && (len > 0 || r->want == r->got)) {
        size_t n = r->want - r->got < len ? r->want - r->got : len;

        keep(r, bytes, n);
        bytes += n;
        len -= n;
        if (r->got == r->want)
            r->bad = !on_part(r);
    }
    return !r->bad;
}
