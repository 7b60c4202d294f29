/* SPDX-License-Identifier: Apache-2.0
 * bearer.h - whether a request carries a token for what it wants.
 *
 * "Authorization: Bearer TOKEN"; GET and HEAD may have it as ?token=TOKEN instead, for players and EventSource, which cannot set a
 * field. The Authorization field goes before the query.
 * Thread: the worker's. Source: RFC 6750 s2.1, s3 (401 with WWW-Authenticate, 403 for what the token does not cover). */
#pragma once

#include "http/server.h"

#include <stdbool.h>

struct token_key; /* secure/token.h */
struct token_mark;

/* act, stream: as in token_check. False: x has been answered, 401 or 403. key NULL: everybody may. */
MUST_USE bool http_bearer(struct http_exchange *x, const struct token_key *key, const char *act, const char *stream);
/* For a session that x begins: the mark of its token, or zero where key is NULL. */
void http_bearer_mark(const struct http_exchange *x, const struct token_key *key, struct token_mark *out);
/* As http_bearer, for what belongs to a session that is there already (token_check_session); and whoever has begun it may DELETE it,
 * even when the token has expired. */
MUST_USE bool http_bearer_session(struct http_exchange *x, const struct token_key *key, const struct token_mark *begun_with,
                                  const char *act, const char *stream);
