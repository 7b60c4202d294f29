/* SPDX-License-Identifier: Apache-2.0
 * cors.h - which routes pages of other origins may use.
 *
 * Every reply on a matching path, also those the server makes itself (404, 413, ...), carries the
 * fields, so handlers need not think of them. Preflights are answered here.
 * Source: Fetch standard, "CORS protocol". Thread: the worker's. */
#pragma once

#include "http/server.h"

/* Strings are borrowed for the server's life. Any origin is let in; there are no cookies to protect. */
struct http_cors {
    const char *methods; /* "POST, GET, OPTIONS" */
    const char *headers; /* that a page may send; "Authorization, Content-Type, If-Match" */
    const char *expose;  /* that a page may read; "Location, ETag, Link"; NULL: none beyond the simple ones */
    const char *accept_post; /* content type, for OPTIONS (RFC 9725 s4.2); NULL: none */
    const char *accept_patch; /* content types, for OPTIONS (RFC 5789 s3.1); NULL: none */
    const char *link;        /* Link values, for OPTIONS (RFC 9725 s4.6); NULL: none */
};

/* Applies cors to the pattern (as in http_route) and answers OPTIONS on it. */
void http_cors_route(struct http_server *s, const char *pattern, const struct http_cors *cors);
