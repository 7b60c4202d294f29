/* SPDX-License-Identifier: Apache-2.0
 * static.h - the files of a folder as pages.
 *
 * Nothing outside the folder is ever served: each name of the path is opened in the folder before it,
 * symbolic links are not followed, and names that begin with a dot do not exist. "/" and "/x/" mean
 * index.html there. Files are read whole, by a job, so that a slow disk holds up no media; those
 * over 16 MiB are refused. Replies have an ETag (modification time and size) and ask the browser to
 * come back with it each time (no-cache), so that new pages show at once.
 * Thread: the worker's. Source: RFC 9110 s8.8.3, s13.1.2. */
#pragma once

#include "base/compiler.h"
#include "http/server.h"

struct http_static;

/* The folder itself may be a symbolic link. 0 or a negative errno (-ENOENT, -ENOTDIR, ...). */
MUST_USE int http_static_open(struct http_static **out, struct worker *w, const char *folder);
/* Requests in work are still answered. Clears the pointer. */
void http_static_close(struct http_static **s);
/* A route's handler for GET, its arg being the struct http_static: serves http_path(x). */
void http_static_handler(struct http_exchange *x, void *arg);
/* Serves the file at `path` ("/watch.html") in place of the request's own. */
void http_static_serve(struct http_exchange *x, struct http_static *s, const char *path);
