/* SPDX-License-Identifier: Apache-2.0
 * token.h - bearer tokens: a JSON Web Token that says who may publish or play which streams until when.
 *
 *   {"sub": "live/test", "act": "publish", "exp": 1767225600}
 *
 * Claims: sub, a stream "app/name" or, with "app/ *" without the space, all that begin with "app/"; act, "publish" or "play"; exp,
 * required; nbf, honoured where it is. The key decides the algorithm: a secret takes HS256 only, a public key ES256 (P-256) or
 * RS256 (2048 bits and more) only, whatever the token's header says.
 * Pure; any thread: a key is read-only once made, but for token_key_replace.
 * Source: RFC 7519 (JWT), RFC 7515 (JWS), RFC 7518 s3.2-3.4 (algorithms and least sizes), RFC 8725 (best current practice). */
#pragma once

#include "base/compiler.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct token_key;

/* Which token: by it one is compared with another, in a time that says nothing of either. A session keeps that of its first one; all
 * zero: none was wanted. */
struct token_mark {
    uint8_t sha256[32];
};

enum { TOKEN_MAX_BYTES = 4096, TOKEN_ERROR_CAP = 128, TOKEN_KEY_MAX_BYTES = 16384 };

enum token_result {
    TOKEN_OK = 0,
    TOKEN_MALFORMED, /* no JWT, another algorithm, or not signed with this key */
    TOKEN_EXPIRED,   /* or without exp */
    TOKEN_EARLY,     /* before nbf */
    TOKEN_ACT,       /* good, but for something else ... */
    TOKEN_STREAM,    /* ... or for other streams */
};

/* The file's key: PEM, or else a secret of 32 bytes or more, line ends behind it left out. 0, or -1 with the reason in error. The
 * caller's, for token_key_free. */
MUST_USE int token_key_load(struct token_key **out, const char *path, char error[TOKEN_ERROR_CAP]);
/* Clears the pointer; NULL inside is fine. */
void token_key_free(struct token_key **key);
/* Whether the token lets its bearer do act ("publish", "play") with the stream at this time (seconds of the unix epoch). */
MUST_USE enum token_result token_check(const struct token_key *key, const char *token, const char *act, const char *stream,
                                       uint64_t now_unix_s);
void token_mark(struct token_mark *out, const char *token);
MUST_USE bool token_has_mark(const char *token, const struct token_mark *mark);
/* As token_check, for what belongs to a session that is there already: a token of the key before is good, too, and the one that the
 * session was begun with is, while it has not expired, whatever the key is by now. begun_with: NULL where that is not known. */
MUST_USE enum token_result token_check_session(const struct token_key *key, const struct token_mark *begun_with, const char *token,
                                               const char *act, const char *stream, uint64_t now_unix_s);
/* From now on key is what *fresh was, which is taken over and cleared; what it was so far is the key before. Nothing changes when both
 * are the same. On the thread that uses key. */
void token_key_replace(struct token_key *key, struct token_key **fresh);
/* In words for the bearer. */
const char *token_result_text(enum token_result result);
