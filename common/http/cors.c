/* SPDX-License-Identifier: Apache-2.0 */
#include "http/cors.h"

#include "server_priv.h"

#include <assert.h>

/* RFC 9725 s4.2 wants 200 to OPTIONS. */
static void answer_preflight(struct http_exchange *x, void *arg)
{
    const struct http_cors *cors = route_cors(x->c->server, http_path(x));

    (void)arg;
    http_reply_header(x, "Access-Control-Allow-Methods", cors->methods);
    if (cors->headers)
        http_reply_header(x, "Access-Control-Allow-Headers", cors->headers);
    http_reply_header(x, "Access-Control-Max-Age", "86400");
    http_reply_header(x, "Allow", cors->methods);
    if (cors->accept_post)
        http_reply_header(x, "Accept-Post", cors->accept_post);
    if (cors->accept_patch)
        http_reply_header(x, "Accept-Patch", cors->accept_patch);
    if (cors->link)
        http_reply_header(x, "Link", cors->link);
    http_reply(x, 200, NULL, NULL, 0);
}

void http_cors_route(struct http_server *s, const char *pattern, const struct http_cors *cors)
{
    assert(s->n_cors < CORS_ROUTES_MAX);
    s->cors[s->n_cors++] = (struct http_cors_route){pattern, cors};
    http_route(s, HTTP_M_OPTIONS, pattern, answer_preflight, NULL);
}
