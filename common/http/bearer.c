/* SPDX-License-Identifier: Apache-2.0 */
#include "http/bearer.h"

#include "secure/token.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* NULL: none. */
static const char *token_of(const struct http_exchange *x)
{
    static const char scheme[] = "Bearer ";
    const char *field = http_header(x, "Authorization");
    bool may_query = http_method(x) == HTTP_M_GET || http_method(x) == HTTP_M_HEAD;

    if (!field)
        return may_query ? http_query(x, "token") : NULL;
    if (strncasecmp(field, scheme, sizeof(scheme) - 1) != 0)
        return NULL;
    field += sizeof(scheme) - 1;
    return field + strspn(field, " ");
}

static void refuse(struct http_exchange *x, int status, const char *error, const char *detail)
{
    char field[64] = "Bearer";

    if (error)
        snprintf(field, sizeof(field), "Bearer error=\"%s\"", error);
    http_reply_header(x, "WWW-Authenticate", field);
    http_problem(x, status, "%s", detail);
}

static const char *wanted_token(struct http_exchange *x)
{
    const char *token = token_of(x);

    if (!token)
        refuse(x, 401, NULL, "This stream wants a token."); /* RFC 6750 s3.1: no error where none was given */
    return token;
}

static bool is_good(struct http_exchange *x, enum token_result result)
{
    if (result == TOKEN_ACT || result == TOKEN_STREAM)
        refuse(x, 403, "insufficient_scope", token_result_text(result));
    else if (result != TOKEN_OK)
        refuse(x, 401, "invalid_token", token_result_text(result));
    return result == TOKEN_OK;
}

bool http_bearer(struct http_exchange *x, const struct token_key *key, const char *act, const char *stream)
{
    const char *token = key ? wanted_token(x) : NULL;

    return !key || (token && is_good(x, token_check(key, token, act, stream, (uint64_t)time(NULL))));
}

void http_bearer_mark(const struct http_exchange *x, const struct token_key *key, struct token_mark *out)
{
    const char *token = key ? token_of(x) : NULL;

    *out = (struct token_mark){0};
    if (token)
        token_mark(out, token);
}

bool http_bearer_session(struct http_exchange *x, const struct token_key *key, const struct token_mark *begun_with, const char *act,
                         const char *stream)
{
    const char *token = key ? wanted_token(x) : NULL;

    if (!token)
        return !key;
    if (http_method(x) == HTTP_M_DELETE && begun_with && token_has_mark(token, begun_with))
        return true;
    return is_good(x, token_check_session(key, begun_with, token, act, stream, (uint64_t)time(NULL)));
}
