/* SPDX-License-Identifier: Apache-2.0
 * http_client.h - one HTTP/1.1 request and its answer, on a connection of its own.
 *
 *   http_call_start -> on_done once: the answer is whole, or it failed
 *                      (with .on_body: on_head, then on_body as bytes come, then on_done at the end)
 * http_call_cancel is fine at any time, from within a callback too; no callback after it.
 * Thread: the worker's. Ownership: heap, the client's own; it frees itself after on_done returned.
 * Source: RFC 9112. */
#pragma once

#include "base/compiler.h"
#include "io/addr.h"
#include "io/worker.h"
#include "secure/tls.h"
#include "url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HTTP_BODY_MAX = 256 * 1024 /* bytes of an answer that is kept */ };

struct http_call;

struct http_answer {
    unsigned status;        /* 0: there was no answer, see error */
    const char *error;      /* "connection refused", "timeout", ... ; "" when there is an answer */
    const char *location;   /* "" when absent */
    const char *link;       /* all Link fields, with commas; "" when absent */
    uint32_t retry_after_s; /* 0 when absent or a date */
    const char *body;       /* NUL-terminated; empty with .on_body */
    size_t body_len;
    struct addr peer;       /* the server's */
};

struct http_call_cfg {
    struct url url;
    struct addr to;            /* the URL's host, resolved */
    struct tls_ctx *tls;       /* for https; borrowed for the call */
    const char *method;
    const char *content_type;  /* NULL: no body */
    const char *accept;        /* NULL: none */
    const char *bearer;        /* token for Authorization; NULL or "": none */
    const void *body;          /* copied */
    size_t body_len;
    uint64_t timeout_us;       /* until the head of the answer is here (without .on_body: the whole answer) */
    /* Only status 2xx; return false to end the call (on_done comes). */
    bool (*on_body)(void *arg, const uint8_t *bytes, size_t len);
    void (*on_done)(void *arg, const struct http_answer *a);
    void *arg;
};

/* 0 or a negative errno (then no callback comes). */
MUST_USE int http_call_start(struct http_call **out, struct worker *w, const struct http_call_cfg *cfg);
/* DELETE of a session, whose answer nobody waits for: at most timeout_us. */
void http_delete(struct worker *w, const struct url *url, const struct addr *to, struct tls_ctx *tls, const char *bearer,
                 uint64_t timeout_us);
/* Clears the pointer; NULL inside is fine. */
void http_call_cancel(struct http_call **c);
