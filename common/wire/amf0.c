/* SPDX-License-Identifier: Apache-2.0
 * amf0.c - Action Message Format 0: pull reader and writer. Pure; any thread. */
#include "wire/amf0.h"

enum marker { /* s2.1 */
    MARKER_NUMBER = 0x00,
    MARKER_BOOLEAN = 0x01,
    MARKER_STRING = 0x02,
    MARKER_OBJECT = 0x03,
    MARKER_NULL = 0x05,
    MARKER_UNDEFINED = 0x06,
    MARKER_ECMA_ARRAY = 0x08,
    MARKER_OBJECT_END = 0x09,
    MARKER_STRICT_ARRAY = 0x0a,
    MARKER_DATE = 0x0b,
    MARKER_LONG_STRING = 0x0c,
    MARKER_UNSUPPORTED = 0x0d,
    MARKER_XML = 0x0f,
    MARKER_TYPED_OBJECT = 0x10,
};

#define ENDS_WITH_MARKER UINT32_MAX

struct amf0_reader amf0_reader_init(const uint8_t *bytes, size_t len)
{
    return (struct amf0_reader){.r = reader_init(bytes, len)};
}

static double read_double(struct reader *r)
{
    uint64_t bits = reader_u64(r);
    double v;

    memcpy(&v, &bits, sizeof(v));
    return v;
}

static struct amf0_str read_str(struct reader *r, size_t len)
{
    const uint8_t *b = reader_take(r, len);

    return b ? (struct amf0_str){(const char *)b, len} : (struct amf0_str){"", 0};
}

/* A container's members come next; `left` of them, or until its end marker. */
static int open_container(struct amf0_reader *a, struct amf0_value *v, enum amf0_type type, uint32_t left)
{
    if (a->depth == AMF0_DEPTH_MAX)
        return AMF0_ERR_DEPTH;
    v->type = type;
    a->left[a->depth++] = left;
    return AMF0_OK;
}

static int open_strict_array(struct amf0_reader *a, struct amf0_value *v)
{
    uint32_t count = reader_u32(&a->r);

    if (count > reader_left(&a->r)) /* every member has one byte at least */
        return AMF0_ERR_SHORT;
    return open_container(a, v, AMF0_STRICT_ARRAY, count);
}

static int read_date(struct amf0_reader *a, struct amf0_value *v)
{
    v->type = AMF0_DATE;
    v->number = read_double(&a->r);
    reader_u16(&a->r); /* time zone: "reserved, not supported" */
    return AMF0_OK;
}

static int read_value(struct amf0_reader *a, struct amf0_value *v)
{
    switch (reader_u8(&a->r)) {
    case MARKER_NUMBER:
        v->type = AMF0_NUMBER;
        v->number = read_double(&a->r);
        return AMF0_OK;
    case MARKER_BOOLEAN:
        v->type = AMF0_BOOLEAN;
        v->boolean = reader_u8(&a->r) != 0;
        return AMF0_OK;
    case MARKER_STRING:
        v->type = AMF0_STRING;
        v->string = read_str(&a->r, reader_u16(&a->r));
        return AMF0_OK;
    case MARKER_LONG_STRING:
    case MARKER_XML:
        v->type = AMF0_STRING;
        v->string = read_str(&a->r, reader_u32(&a->r));
        return AMF0_OK;
    case MARKER_NULL: v->type = AMF0_NULL; return AMF0_OK;
    case MARKER_UNDEFINED:
    case MARKER_UNSUPPORTED: v->type = AMF0_UNDEFINED; return AMF0_OK;
    case MARKER_DATE: return read_date(a, v);
    case MARKER_OBJECT: return open_container(a, v, AMF0_OBJECT, ENDS_WITH_MARKER);
    case MARKER_TYPED_OBJECT:
        v->string = read_str(&a->r, reader_u16(&a->r)); /* class name */
        return open_container(a, v, AMF0_OBJECT, ENDS_WITH_MARKER);
    case MARKER_ECMA_ARRAY:
        reader_u32(&a->r); /* associative count: a hint that senders get wrong */
        return open_container(a, v, AMF0_ECMA_ARRAY, ENDS_WITH_MARKER);
    case MARKER_STRICT_ARRAY: return open_strict_array(a, v);
    default: return AMF0_ERR_TYPE;
    }
}

/* s2.5: a member is a key and a value; an empty key with the end marker closes. 1 = closed. */
static int read_key(struct amf0_reader *a, struct amf0_value *v)
{
    v->key = read_str(&a->r, reader_u16(&a->r));
    if (v->key.len > 0 || reader_left(&a->r) == 0 || a->r.p[0] != MARKER_OBJECT_END)
        return 0;
    reader_u8(&a->r);
    return 1;
}

/* Close the container, or read the key of its next member. 1 = closed. */
static int step_inside(struct amf0_reader *a, struct amf0_value *v)
{
    uint32_t *left = &a->left[a->depth - 1];
    bool closed = *left == ENDS_WITH_MARKER ? read_key(a, v) == 1 : *left == 0;

    if (closed) {
        a->depth--;
        v->type = AMF0_END;
        v->depth = a->depth;
    } else if (*left != ENDS_WITH_MARKER) {
        (*left)--;
    }
    return closed;
}

int amf0_next(struct amf0_reader *a, struct amf0_value *out)
{
    struct amf0_value v = {.key = {"", 0}, .string = {"", 0}, .depth = a->depth};
    int err = AMF0_OK;

    if (a->r.bad)
        return AMF0_ERR_SHORT;
    bool at_end = reader_left(&a->r) == 0;
    if (at_end && (a->depth == 0 || a->left[a->depth - 1] == ENDS_WITH_MARKER))
        return 0;
    if (a->depth == 0 || !step_inside(a, &v))
        err = read_value(a, &v);
    if (!err && a->r.bad)
        err = AMF0_ERR_SHORT;
    if (err) {
        reader_take(&a->r, reader_left(&a->r)); /* so that the error repeats */
        a->r.bad = true;
        return err;
    }
    *out = v;
    return 1;
}

int amf0_skip(struct amf0_reader *a, const struct amf0_value *v)
{
    struct amf0_value inner;
    uint8_t depth = v->depth;

    if (v->type != AMF0_OBJECT && v->type != AMF0_ECMA_ARRAY && v->type != AMF0_STRICT_ARRAY)
        return AMF0_OK;
    for (;;) {
        int got = amf0_next(a, &inner);
        if (got <= 0)
            return got < 0 ? got : AMF0_ERR_END;
        if (inner.type == AMF0_END && inner.depth == depth)
            return AMF0_OK;
    }
}

static int next_of_type(struct amf0_reader *a, enum amf0_type type, struct amf0_value *v)
{
    int got = amf0_next(a, v);

    if (got <= 0)
        return got < 0 ? got : AMF0_ERR_END;
    return v->type == type ? AMF0_OK : AMF0_ERR_TYPE;
}

int amf0_next_string(struct amf0_reader *a, struct amf0_str *out)
{
    struct amf0_value v;
    int err = next_of_type(a, AMF0_STRING, &v);

    if (!err)
        *out = v.string;
    return err;
}

int amf0_next_number(struct amf0_reader *a, double *out)
{
    struct amf0_value v;
    int err = next_of_type(a, AMF0_NUMBER, &v);

    if (!err)
        *out = v.number;
    return err;
}

int amf0_next_boolean(struct amf0_reader *a, bool *out)
{
    struct amf0_value v;
    int err = next_of_type(a, AMF0_BOOLEAN, &v);

    if (!err)
        *out = v.boolean;
    return err;
}

bool amf0_str_is(struct amf0_str s, const char *text)
{
    return strlen(text) == s.len && memcmp(s.p, text, s.len) == 0;
}

/* ---- writing ---- */

static void write_double(struct writer *w, double v)
{
    uint64_t bits;

    memcpy(&bits, &v, sizeof(bits));
    writer_u64(w, bits);
}

void amf0_write_number(struct writer *w, double v)
{
    writer_u8(w, MARKER_NUMBER);
    write_double(w, v);
}

void amf0_write_boolean(struct writer *w, bool v)
{
    writer_u8(w, MARKER_BOOLEAN);
    writer_u8(w, v);
}

void amf0_write_str(struct writer *w, struct amf0_str s)
{
    if (s.len <= UINT16_MAX) {
        writer_u8(w, MARKER_STRING);
        writer_u16(w, (uint16_t)s.len);
    } else {
        writer_u8(w, MARKER_LONG_STRING);
        writer_u32(w, (uint32_t)s.len);
    }
    writer_bytes(w, s.p, s.len);
}

void amf0_write_string(struct writer *w, const char *text)
{
    amf0_write_str(w, (struct amf0_str){text, strlen(text)});
}

void amf0_write_null(struct writer *w)
{
    writer_u8(w, MARKER_NULL);
}

void amf0_write_undefined(struct writer *w)
{
    writer_u8(w, MARKER_UNDEFINED);
}

void amf0_write_date(struct writer *w, double unix_ms)
{
    writer_u8(w, MARKER_DATE);
    write_double(w, unix_ms);
    writer_u16(w, 0);
}

void amf0_write_object_begin(struct writer *w)
{
    writer_u8(w, MARKER_OBJECT);
}

void amf0_write_ecma_array_begin(struct writer *w, uint32_t count)
{
    writer_u8(w, MARKER_ECMA_ARRAY);
    writer_u32(w, count);
}

void amf0_write_strict_array_begin(struct writer *w, uint32_t count)
{
    writer_u8(w, MARKER_STRICT_ARRAY);
    writer_u32(w, count);
}

void amf0_write_end(struct writer *w)
{
    writer_u16(w, 0);
    writer_u8(w, MARKER_OBJECT_END);
}

void amf0_write_key(struct writer *w, const char *key)
{
    size_t len = strlen(key);

    if (len > UINT16_MAX)
        w->bad = true;
    writer_u16(w, (uint16_t)len);
    writer_bytes(w, key, len);
}

void amf0_write_member_number(struct writer *w, const char *key, double v)
{
    amf0_write_key(w, key);
    amf0_write_number(w, v);
}

void amf0_write_member_boolean(struct writer *w, const char *key, bool v)
{
    amf0_write_key(w, key);
    amf0_write_boolean(w, v);
}

void amf0_write_member_string(struct writer *w, const char *key, const char *text)
{
    amf0_write_key(w, key);
    amf0_write_string(w, text);
}
