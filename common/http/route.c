/* SPDX-License-Identifier: Apache-2.0 */
#include "server_priv.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

void http_route(struct http_server *s, enum http_method method, const char *pattern,
                void (*handler)(struct http_exchange *x, void *arg), void *arg)
{
    assert(s->n_routes < ROUTES_MAX && method != HTTP_M_OTHER);
    s->routes[s->n_routes++] = (struct http_route){method, pattern, handler, arg};
}

/* The length of what is matched literally, plus 1; 0 when it does not match. An exact pattern beats
 * one with '*' and the same letters. */
static size_t match(const char *pattern, const char *path)
{
    size_t n = strlen(pattern), path_len = strlen(path);

    if (n > 0 && pattern[n - 1] == '*')
        return strncmp(pattern, path, n - 1) == 0 ? n : 0;
    if (pattern[0] == '*')
        return path_len >= n - 1 && strcmp(path + path_len - (n - 1), pattern + 1) == 0 ? n : 0;
    return strcmp(pattern, path) == 0 ? n + 2 : 0;
}

unsigned route_find(const struct http_server *s, const char *path, enum http_method method,
                    const struct http_route **route)
{
    size_t best = 0;
    unsigned methods = 0;

    *route = NULL;
    for (size_t i = 0; i < s->n_routes; i++) {
        const struct http_route *r = &s->routes[i];
        size_t n = match(r->pattern, path);

        if (n == 0 || n < best)
            continue;
        if (n > best) { /* better than all before */
            best = n;
            methods = 0;
            *route = NULL;
        }
        methods |= 1u << r->method;
        if (r->method == method || (r->method == HTTP_M_GET && method == HTTP_M_HEAD && !*route))
            *route = r;
    }
    if (methods & 1u << HTTP_M_GET)
        methods |= 1u << HTTP_M_HEAD;
    return methods;
}

const struct http_cors *route_cors(const struct http_server *s, const char *path)
{
    const struct http_cors *cors = NULL;
    size_t best = 0;

    for (size_t i = 0; i < s->n_cors; i++) {
        size_t n = match(s->cors[i].pattern, path);

        if (n > best) {
            best = n;
            cors = s->cors[i].cors;
        }
    }
    return cors;
}

void route_print_methods(unsigned methods, char *out, size_t cap)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    size_t n = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < LEN(names) && n < cap; i++)
        if (methods & 1u << i)
            n += (size_t)snprintf(out + n, cap - n, "%s%s", n ? ", " : "", names[i]);
}
