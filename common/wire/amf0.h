/* SPDX-License-Identifier: Apache-2.0
 * amf0.h - Action Message Format 0: a pull reader and a writer for RTMP commands and onMetaData.
 *
 * Pure; any thread. Ownership: strings borrow the message's bytes.
 * Source: Adobe AMF 0 specification (amf0-file-format-specification.pdf).
 *
 * Reading "connect":
 *     struct amf0_reader a = amf0_reader_init(msg, len);
 *     struct amf0_value v;
 *     if (amf0_next_string(&a, &name) || amf0_next_number(&a, &transaction)) ...bad message
 *     if (amf0_next(&a, &v) == 1 && v.type == AMF0_OBJECT)
 *         while (amf0_next(&a, &v) == 1 && !(v.type == AMF0_END && v.depth == 0))
 *             if (v.depth == 1 && amf0_str_is(v.key, "app")) ... v.string */
#pragma once

#include "base/compiler.h"
#include "base/reader.h"
#include "base/writer.h"

enum amf0_err {
    AMF0_OK = 0,
    AMF0_ERR_SHORT = -1, /* a value passes the end */
    AMF0_ERR_DEPTH = -2, /* deeper than AMF0_DEPTH_MAX */
    AMF0_ERR_TYPE = -3,  /* unknown or unsupported marker (reference, AMF3), or not the type asked for */
    AMF0_ERR_END = -4,   /* asked for a value, the message is at its end */
};

enum { AMF0_DEPTH_MAX = 8 }; /* onMetaData and connect nest two deep; a bound for hostile input */

enum amf0_type {
    AMF0_NUMBER,
    AMF0_BOOLEAN,
    AMF0_STRING, /* also long strings and XML documents */
    AMF0_NULL,
    AMF0_UNDEFINED, /* also "unsupported" */
    AMF0_DATE,      /* number: ms since 1970 */
    AMF0_OBJECT,     /* these three open a container; its members follow, each with depth one more */
    AMF0_ECMA_ARRAY,
    AMF0_STRICT_ARRAY,
    AMF0_END, /* closes the container, with the depth it was opened at */
};

struct amf0_str {
    const char *p; /* not terminated; UTF-8 as sent */
    size_t len;
};

struct amf0_value {
    struct amf0_str key;    /* name of an object's or ECMA array's member; empty elsewhere */
    struct amf0_str string; /* AMF0_STRING */
    double number;          /* AMF0_NUMBER, AMF0_DATE */
    enum amf0_type type;
    uint8_t depth; /* containers around it: 0 = an argument of the command */
    bool boolean;  /* AMF0_BOOLEAN */
};

struct amf0_reader {
    struct reader r;
    uint8_t depth;
    uint32_t left[AMF0_DEPTH_MAX]; /* strict arrays: members to come; UINT32_MAX: ends with a marker */
};

struct amf0_reader amf0_reader_init(const uint8_t *bytes, size_t len);

/* 1 and the next value, 0 at the end of the message (also inside an ECMA array whose end marker was
 * left out by the sender at the very end), or a negative amf0_err, which repeats. */
MUST_USE int amf0_next(struct amf0_reader *a, struct amf0_value *out);

/* Having read v: when it opened a container, go behind its end. AMF0_OK or an amf0_err. */
MUST_USE int amf0_skip(struct amf0_reader *a, const struct amf0_value *v);

/* The next value, which must be of this type. AMF0_OK or an amf0_err. */
MUST_USE int amf0_next_string(struct amf0_reader *a, struct amf0_str *out);
MUST_USE int amf0_next_number(struct amf0_reader *a, double *out);
MUST_USE int amf0_next_boolean(struct amf0_reader *a, bool *out);

bool amf0_str_is(struct amf0_str s, const char *text);

/* ---- writing: appends to w, whose .bad tells of overflow ---- */

void amf0_write_number(struct writer *w, double v);
void amf0_write_boolean(struct writer *w, bool v);
void amf0_write_string(struct writer *w, const char *text); /* long form above 65535 bytes */
void amf0_write_str(struct writer *w, struct amf0_str s);
void amf0_write_null(struct writer *w);
void amf0_write_undefined(struct writer *w);
void amf0_write_date(struct writer *w, double unix_ms);
void amf0_write_object_begin(struct writer *w);
void amf0_write_ecma_array_begin(struct writer *w, uint32_t count);
void amf0_write_strict_array_begin(struct writer *w, uint32_t count); /* has no end marker */
void amf0_write_end(struct writer *w);                                /* of an object or ECMA array */
void amf0_write_key(struct writer *w, const char *key); /* before each member's value; <= 65535 bytes */

/* A member of an object: key and value. */
void amf0_write_member_number(struct writer *w, const char *key, double v);
void amf0_write_member_boolean(struct writer *w, const char *key, bool v);
void amf0_write_member_string(struct writer *w, const char *key, const char *text);
