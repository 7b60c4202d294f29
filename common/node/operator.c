/* SPDX-License-Identifier: Apache-2.0
 *
 * What is the operator's alone: to drain a node, and to see who its clients are. Viewers reach the same port.
 */
#include "node/node_priv.h"

#include "secure/token.h"

#include <string.h>
#include <strings.h>

/* Somebody else's request that this host only passes on: a proxy's, or a browser's for a page of whatever origin (a simple POST is sent
 * without asking first). */
static bool is_passed_on(const struct http_exchange *x)
{
    return http_header(x, "X-Forwarded-For") || http_header(x, "Forwarded") || http_header(x, "Origin");
}

/* Asked for by an address or as localhost. Any other name may be one that a page's owner has made to lead here (DNS rebinding): then a
 * browser takes this node for the page's own server, and says no Origin. */
static bool is_asked_by_address(const struct http_exchange *x)
{
    const char *host = http_header(x, "Host");

    if (!host)
        return true; /* HTTP/1.0, so no browser */
    if (strncasecmp(host, "localhost", 9) == 0)
        return !host[9] || host[9] == ':';
    return host[0] == '[' || !host[strspn(host, "0123456789.:")];
}

/* With the token; without one configured, from this host. */
static bool authorized(const struct node *n, const struct http_exchange *x)
{
    static const char scheme[] = "Bearer ";
    const char *given = http_header(x, "Authorization"), *token = n->config.http.admin_token;

    if (!token[0])
        return addr_is_loopback(http_peer(x)) && !is_passed_on(x) && is_asked_by_address(x);
    struct token_mark mark;
    token_mark(&mark, token);
    return given && strncmp(given, scheme, strlen(scheme)) == 0 && token_has_mark(given + strlen(scheme), &mark);
}

void operator_ask(struct node_worker *w, struct http_exchange *x, const struct question *q)
{
    if (authorized(w->node, x)) {
        gather(w, x, q);
        return;
    }
    http_reply_header(x, "WWW-Authenticate", "Bearer");
    http_problem(x, 401, "this is for the operator: http.admin_token, or from this host where none is configured");
}
