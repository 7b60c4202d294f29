/* SPDX-License-Identifier: Apache-2.0
 * request_priv.h - bytes of a connection -> one request at a time.
 *
 * The only user of http-parser (whose header also has an enum http_method, so server.h is not seen
 * here). No I/O, no clock. Not thread-safe. Source: RFC 9112. */
#pragma once

#include "base/compiler.h"
#include "target_priv.h"
#include "text_priv.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum request_err {
    REQUEST_OK = 0,
    REQUEST_ERR_BAD = -1,         /* 400 */
    REQUEST_ERR_TARGET_LONG = -2, /* 414 */
    REQUEST_ERR_HEAD_LARGE = -3,  /* 431 */
    REQUEST_ERR_BODY_LARGE = -4,  /* 413 */
    REQUEST_ERR_CODING = -5,      /* 501: a transfer coding other than chunked */
    REQUEST_ERR_VERSION = -6,     /* 505 */
    REQUEST_ERR_MEMORY = -7,      /* 503 */
};

enum {
    REQUEST_HEAD_MAX = 16384,  /* bytes of names and values; browsers' cookies stay below it */
    REQUEST_TARGET_MAX = 8192, /* bytes; RFC 9112 s3 wants 8000 at least */
    REQUEST_FIELDS_MAX = 100,
    REQUEST_PARAMS_MAX = 32,
};

/* Names and values are offsets into text, which grows; all are NUL-terminated there. */
struct request_field {
    uint32_t name, value;
};

struct request {
    const char *method; /* static: "GET" */
    const char *path;   /* decoded; in text, set when the head is complete */
    bool http_1_1;      /* else 1.0 */
    bool keep_alive;    /* the client wants it */
    bool expect_continue;
    bool has_body;
    struct request_field fields[REQUEST_FIELDS_MAX];
    size_t n_fields;
    struct target_param params[REQUEST_PARAMS_MAX];
    size_t n_params;
    struct text text;
    struct text body;
};

struct request_parser;

MUST_USE int request_parser_create(struct request_parser **out, size_t body_cap_bytes);
void request_parser_destroy(struct request_parser **p);

enum request_event {
    REQUEST_MORE, /* all is used up */
    REQUEST_HEAD, /* the head is complete, the body may follow; what follows was not looked at */
    REQUEST_DONE, /* take it, or look at it and go on */
};

/* Returns REQUEST_OK with how much was used up and what came of it; or an error, after which the parser is
 * only good for looking at what it has so far. After REQUEST_DONE, take before the next feed. */
MUST_USE int request_parser_feed(struct request_parser *p, const uint8_t *bytes, size_t len, size_t *used,
                                 enum request_event *event);
/* What is known of the request in the making, NULL before its first byte. Borrowed until the next call. */
const struct request *request_parser_peek(const struct request_parser *p);
/* The request changes hands; the parser starts with the next. NULL before its first byte. */
struct request *request_parser_take(struct request_parser *p);
void request_destroy(struct request **r);
/* The first value of that name, or NULL. */
const char *request_field(const struct request *r, const char *name);
/* Why the last feed failed. Static. */
const char *request_parser_reason(const struct request_parser *p);
