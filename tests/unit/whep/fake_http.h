/* SPDX-License-Identifier: Apache-2.0
 * fake_http.h - an HTTP server without sockets, in place of http/: the test makes requests and reads the replies. */
#pragma once

#include "http/server.h"

struct http_exchange {
    enum http_method method;
    const char *path, *type, *if_match, *body;
    size_t body_len;
    bool replied, dead;
    int status;
    char location[128], etag[64], link[256], retry_after[16], content_type[64];
    char allow[64], accept_patch[64];
    char reply[32 * 1024];
    size_t reply_len;
    void (*on_gone)(struct http_exchange *x, void *arg);
    void *gone_arg;
};

/* Gives x to the route that was registered for it; fails the test when there is none. */
void fake_request(struct http_exchange *x);
/* The client goes away. */
void fake_gone(struct http_exchange *x);
void fake_forget_routes(void);
