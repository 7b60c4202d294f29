/* SPDX-License-Identifier: Apache-2.0
 * scene.h - a server on its worker, and raw clients of it on the same loop. */
#pragma once

#include "http/server.h"
#include "http/text_priv.h"
#include "unit/io/loop.h"

#include "io/fd_watch.h"

struct scene {
    struct test_loop loop;
    struct http_server *server;
    struct addr addr;
};

struct client {
    struct scene *scene;
    int fd;
    struct fd_watch *watch;
    struct text got; /* all that came */
    size_t stop_at;  /* stops the loop at so many bytes, if not 0 */
    bool ended;      /* the server ended; stops the loop */
};

/* cfg may be NULL; its listen is not used. */
void scene_init(struct scene *s, const struct http_server_cfg *cfg);
void scene_fini(struct scene *s);

void client_open(struct client *c, struct scene *s);
void client_send(struct client *c, const char *bytes);
/* Ends the client's direction: a server that keeps connections alive ends its own. */
void client_end(struct client *c);
/* Stops taking what comes, or goes on. */
void client_read(struct client *c, bool on);
void client_run(struct client *c); /* until the server ends */
void client_close(struct client *c);

/* One connection: sends bytes, ends, and returns what came, to be freed with text_fini. */
struct text scene_ask(struct scene *s, const char *bytes);
/* The same without ending, for replies that come later; the request must say Connection: close. */
struct text scene_ask_open(struct scene *s, const char *bytes);
/* The status lines in it: "200 404". */
const char *statuses(const struct text *t, char out[256]);
/* Behind the first head; "" when there is none. */
const char *body_of(const struct text *t);
